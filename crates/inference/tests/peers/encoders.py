"""Writes small encoders with random weights as their own libraries save them, and what those libraries compute.

Usage: encoders.py FOLDER. Needs torch, transformers, sentence-transformers and model2vec. Each model lies in a folder
of its own with `expected.json` beside its files: texts and vectors, or query, passages and logits.
"""

import json
import os
import random
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
# Models this small lose more by waiting for each other's threads than they gain.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
)

SENTENCES = [
    "민원 처리 기한은 접수한 날부터 14일 이내입니다.",
    "예산 1,234,567천원을 집행하고 잔액은 반납한다.",
    "정보통신과는 공공망 대응을 위한 보안 계획을 세운다.",
    "The city council approved the plan on 3 May 2026.",
    "시민의 개인정보는 마스킹한 뒤에만 외부로 나갈 수 있다.",
    "회의록을 요약하고 후속 조치를 표로 정리해 주세요.",
]


def texts(longest):
    rng = random.Random(7)
    words = " ".join(SENTENCES).split()
    lengths = [0, 1, 2, 5, 13, 40, longest // 2, longest]
    return [" ".join(rng.choice(words) for _ in range(n)) for n in lengths]


def tokenizer(kind):
    if kind == "unigram":
        tok = Tokenizer(models.Unigram())
        tok.normalizer = normalizers.NFKC()
        tok.pre_tokenizer = pre_tokenizers.Metaspace()
        tok.decoder = decoders.Metaspace()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    elif kind == "wordpiece":
        tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tok.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
        tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    else:
        tok = Tokenizer(models.BPE(unk_token=None))
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tok.decoder = decoders.ByteLevel()
        special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    tok.train_from_iterator(SENTENCES, trainer)
    return tok


def framed(kind):
    tok = tokenizer(kind)
    if kind == "unigram":
        first, last, pad, unk = "<s>", "</s>", "<pad>", "<unk>"
        single, pair = f"{first} $A {last}", f"{first} $A {last} {last} $B {last}"
    else:
        first, last, pad, unk = "[CLS]", "[SEP]", "[PAD]", "[UNK]"
        single, pair = f"{first} $A {last}", f"{first} $A {last} $B:1 {last}:1"
    ids = [(t, tok.token_to_id(t)) for t in (first, last)]
    tok.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok, cls_token=first, sep_token=last, pad_token=pad, unk_token=unk,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"] if kind == "wordpiece" else ["input_ids", "attention_mask"],
    )
    return fast


def config(kind, tok, **more):
    sizes = dict(vocab_size=len(tok), hidden_size=64, num_hidden_layers=4, num_attention_heads=4, pad_token_id=tok.pad_token_id)
    if kind == "bert":
        return BertConfig(**sizes, intermediate_size=96, max_position_embeddings=200, initializer_range=0.2, **more)
    if kind == "xlm-roberta":
        sizes["layer_norm_eps"] = 1e-5
        return XLMRobertaConfig(
            **sizes, intermediate_size=96, max_position_embeddings=202, type_vocab_size=1, initializer_range=0.2, **more
        )
    sizes.update(bos_token_id=None, eos_token_id=None, cls_token_id=tok.cls_token_id, sep_token_id=tok.sep_token_id)
    return ModernBertConfig(
        **sizes, intermediate_size=80, max_position_embeddings=2048, local_attention=32, initializer_range=0.2, **more
    )


def randomise(model):
    """Norms and biases too, which start as ones and zeros."""
    torch.manual_seed(11)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.dim() == 1:
                tensor.add_(0.2 * torch.randn_like(tensor))


def write(folder, expected):
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False))


def embedder(root, name, arch, kind, pooling, prompts, dense=False):
    folder = root / name
    tok = framed(kind)
    base = root / (name + ".base")
    torch.manual_seed(5)
    model = AutoModel.from_config(config(arch, tok), attn_implementation="eager")
    randomise(model)
    model.save_pretrained(base)
    tok.save_pretrained(base)
    longest = 700 if arch == "modernbert" else 60
    transformer = Transformer(str(base), max_seq_length=1500 if arch == "modernbert" else 128)
    modules = [transformer, Pooling(64, pooling_mode=pooling)]
    if dense:
        torch.manual_seed(6)
        modules.append(Dense(64, 24))
    whole = SentenceTransformer(modules=modules + [Normalize()], prompts=prompts, device="cpu")
    whole.save(str(folder))
    given = texts(longest)
    write(folder, {
        "texts": given,
        "query": whole.encode_query(given, batch_size=3).tolist(),
        "passage": whole.encode_document(given, batch_size=3).tolist(),
    })


def reranker(root, name, arch, kind, **more):
    folder = root / name
    tok = framed(kind)
    torch.manual_seed(5)
    model = AutoModelForSequenceClassification.from_config(config(arch, tok, num_labels=1, **more)).eval()
    randomise(model)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    query, passages = SENTENCES[0], texts(60)
    batch = tok([query] * len(passages), passages, padding=True, return_tensors="pt", truncation=True, max_length=190)
    with torch.no_grad():
        logits = model(**batch).logits[:, 0]
    write(folder, {"query": query, "passages": passages, "max_tokens": 190, "logits": logits.tolist()})


def qwen(root, name, tok, rows, head):
    """A decoder folder of the Qwen3 family; returns the model. Embedders are published without an output (as Qwen3Model
    saves them, no `model.` before the names), and files name the base as published ones do."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=rows, hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=4096, tie_word_embeddings=True,
        initializer_range=0.2, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    )
    model = Qwen3ForCausalLM(config).eval()
    randomise(model)
    (model if head else model.model).save_pretrained(root / name)
    tok.save_pretrained(root / name)
    file = root / name / "config.json"
    published = {"rope_theta": 1000000.0, "architectures": ["Qwen3ForCausalLM"]}
    file.write_text(json.dumps({**json.loads(file.read_text()), **published}))
    return model


def qwen_tokenizer():
    """Byte-level BPE with the marks of the Qwen3 family."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    pattern = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=380, initial_alphabet=alphabet, show_progress=False)
    tok.train_from_iterator(SENTENCES + ["yes no " * 20], trainer)
    tok.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tok.add_tokens(["<think>", "</think>"])
    return tok


def qwen_embedder(root, name):
    tok = qwen_tokenizer()
    rows = tok.get_vocab_size()
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="<|endoftext|>")
    model = qwen(root, name, fast, rows, head=False)
    (root / name / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 64, "pooling_mode_lasttoken": True, "include_prompt": True}
    (root / name / "1_Pooling/config.json").write_text(json.dumps(pooling))
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + t} for i, (p, t) in enumerate(kinds)]
    (root / name / "modules.json").write_text(json.dumps(modules))
    instruct = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    given = texts(120)

    def vectors(prefix):
        out = []
        for text in given:
            ids = fast(prefix + text, add_special_tokens=False)["input_ids"] + [fast.pad_token_id]
            with torch.no_grad():
                state = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
            out.append(torch.nn.functional.normalize(state, dim=0).tolist())
        return out

    write(root / name, {"texts": given, "query": vectors(instruct), "passage": vectors("")})


def qwen_reranker(root, name):
    tok = qwen_tokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="<|endoftext|>")
    model = qwen(root, name, fast, tok.get_vocab_size(), head=True)
    task = "Given a web search query, retrieve relevant passages that answer the query"
    before = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    after = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    query, passages, odds = SENTENCES[0], texts(60), []
    yes, no = fast.convert_tokens_to_ids("yes"), fast.convert_tokens_to_ids("no")
    for passage in passages:
        body = f"<Instruct>: {task}\n<Query>: {query}\n<Document>: {passage}"
        ids = [i for part in (before, body, after) for i in fast(part, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        odds.append((logits[yes] - logits[no]).item())
    write(root / name, {"query": query, "passages": passages, "max_tokens": 4096, "logits": odds})


def static(root, name, kind, weights=False, mapping=False):
    folder = root / name
    tok = tokenizer(kind)
    rng = np.random.default_rng(3)
    count = tok.get_vocab_size()
    rows = 50 if mapping else count
    model = StaticModel(
        rng.standard_normal((rows, 32)).astype(np.float16 if weights else np.float32), tok, normalize=True,
        weights=rng.random(count) if weights else None,
        token_mapping=rng.integers(0, rows, count) if mapping else None,
    )
    model.save_pretrained(folder)
    # Below the length at which model2vec cuts characters before it counts tokens.
    given = texts(60)
    vectors = model.encode(given).astype(np.float32).tolist()
    write(folder, {"texts": given, "query": vectors, "passage": vectors})


def main():
    root = Path(sys.argv[1])
    e5 = {"query": "query: ", "document": "passage: "}
    embedder(root, "embed-bert-mean", "bert", "wordpiece", "mean", e5)
    embedder(root, "embed-bert-dense", "bert", "unigram", "cls", {}, dense=True)
    embedder(root, "embed-xlmr-cls", "xlm-roberta", "unigram", "cls", {})
    embedder(root, "embed-xlmr-mean", "xlm-roberta", "unigram", "mean", e5)
    embedder(root, "embed-modern-cls", "modernbert", "bpe", "cls", {})
    embedder(root, "embed-modern-last", "modernbert", "bpe", "lasttoken", {"query": "질문: ", "document": ""})
    reranker(root, "rerank-xlmr", "xlm-roberta", "unigram")
    reranker(root, "rerank-bert", "bert", "wordpiece")
    reranker(root, "rerank-modern", "modernbert", "bpe", classifier_pooling="mean", classifier_bias=True)
    qwen_embedder(root, "embed-qwen3")
    qwen_reranker(root, "rerank-qwen3")
    static(root, "embed-static", "wordpiece")
    static(root, "embed-static-weights", "unigram", weights=True)
    static(root, "embed-static-mapping", "bpe", weights=True, mapping=True)


main()

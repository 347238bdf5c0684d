#!/usr/bin/env python3
"""llama.cpp as a peer: logits, greedy text, token ids and speed of a GGUF file, for comparison with our own engine.

Runs over the C API of the `llama-cpp-python` package, so that batches, sequences and threads are exactly those asked
for. Every command prints one JSON document on one line. What is compared, and how, lives with the caller.
"""

import argparse
import ctypes
import json
import resource
import sys
import time

import llama_cpp as c
import numpy

FLASH = {"auto": -1, "off": 0, "on": 1}
# ggml's numbers of types
KV = {"f32": 0, "f16": 1, "q8_0": 8}


class Failure(Exception):
    """Something that the caller should read."""


@c.llama_log_callback
def _silent(_level, _text, _data):
    """llama.cpp tells much on stderr; a failure is told by the return value."""


def peak_bytes():
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Model:
    """A loaded file."""

    def __init__(self, args):
        self.args = args
        params = c.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = not args.no_repack
        started = time.perf_counter()
        self.handle = c.llama_model_load_from_file(args.model.encode(), params)
        if not self.handle:
            raise Failure(f"llama.cpp does not load {args.model}")
        self.load_seconds = time.perf_counter() - started
        self.vocab = c.llama_model_get_vocab(self.handle)
        self.n_vocab = c.llama_vocab_n_tokens(self.vocab)

    def context(self, tokens, sequences=1):
        """A fresh context that holds `tokens` for each of `sequences`."""
        return Context(self, tokens, sequences)


class Context:
    """KV cache and scratch memory of one model."""

    def __init__(self, model, tokens, sequences):
        self.model = model
        args = model.args
        params = c.llama_context_default_params()
        # llama.cpp rounds the share of a sequence up to 256
        params.n_ctx = -(-tokens // 256) * 256 * sequences
        params.n_batch = args.batch
        params.n_ubatch = min(args.ubatch, args.batch)
        params.n_seq_max = sequences
        params.n_threads = args.threads
        params.n_threads_batch = args.threads
        params.flash_attn_type = FLASH[args.flash_attn]
        params.type_k = params.type_v = KV[args.kv]
        self.handle = c.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise Failure(f"llama.cpp makes no context of {tokens} tokens for {sequences} sequences")
        self.memory = c.llama_get_memory(self.handle)
        self.batch = c.llama_batch_init(args.batch, 0, 1)

    def close(self):
        """Frees the memory at once."""
        c.llama_batch_free(self.batch)
        c.llama_free(self.handle)

    def decode(self, items):
        """Computes one batch of `(token, position, sequence, wants_logits)`."""
        batch = self.batch
        batch.n_tokens = len(items)
        for i, (token, position, sequence, wanted) in enumerate(items):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        code = c.llama_decode(self.handle, batch)
        if code != 0:
            raise Failure(f"llama_decode returned {code}")
        c.llama_synchronize(self.handle)

    def logits(self, index):
        """A copy of the logits of entry `index` of the last batch; -1 for the last that wanted some."""
        pointer = c.llama_get_logits_ith(self.handle, index)
        if not pointer:
            raise Failure(f"no logits at {index}")
        return numpy.ctypeslib.as_array(pointer, shape=(self.model.n_vocab,)).copy()

    def prefill(self, tokens, start=0, sequence=0, wanted=()):
        """Computes `tokens` from position `start`; logits of the positions in `wanted` and, always, of the last."""
        found = {}
        size = self.model.args.batch
        last = start + len(tokens) - 1
        for begin in range(0, len(tokens), size):
            chunk = tokens[begin : begin + size]
            positions = [start + begin + i for i in range(len(chunk))]
            self.decode([(t, p, sequence, p in wanted or p == last) for t, p in zip(chunk, positions)])
            found.update((p, self.logits(i)) for i, p in enumerate(positions) if p in wanted)
        return found


def read_tokens(path):
    """Token ids of a file: a JSON list or numbers between blanks or commas."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return [int(word) for word in text.replace("[", " ").replace("]", " ").replace(",", " ").split()]


def top(logits, count):
    """The `count` largest as `[id, logit]`, largest first."""
    order = numpy.argsort(-logits, kind="stable")[:count]
    return [[int(i), float(logits[i])] for i in order]


def logits(args):
    """Logits at chosen positions, after the token there has been read."""
    model, tokens = Model(args), read_tokens(args.tokens_file)
    positions = sorted({p if p >= 0 else len(tokens) + p for p in numbers(args.positions)})
    if not positions or positions[0] < 0 or positions[-1] >= len(tokens):
        raise Failure(f"positions must lie within {len(tokens)} tokens")
    context = model.context(len(tokens))
    found = context.prefill(tokens[: positions[-1] + 1], wanted=set(positions))
    rows = [found[p] for p in positions]
    if args.out:
        numpy.stack(rows).astype("<f4").tofile(args.out)
    return {
        "vocab": model.n_vocab,
        "out": args.out,
        "positions": [{"position": p, "top": top(row, args.top)} for p, row in zip(positions, rows)],
    }


def greedy(args):
    """The likeliest continuation, one token at a time; `gaps` tells how far ahead of the second each token was."""
    model, tokens = Model(args), read_tokens(args.tokens_file)
    context = model.context(len(tokens) + args.n)
    context.prefill(tokens)
    ids, gaps = [], []
    while True:
        best = top(context.logits(-1), 2)
        ids.append(best[0][0])
        gaps.append(best[0][1] - best[1][1])
        if len(ids) == args.n:
            return {"ids": ids, "gaps": gaps}
        context.decode([(ids[-1], len(tokens) + len(ids) - 1, 0, True)])


def tokenize(args):
    """Ids of a UTF-8 file (or of stdin) and their pieces as hexadecimal bytes."""
    model = Model(args)
    with open(args.text_file, "rb") if args.text_file != "-" else sys.stdin.buffer as file:
        text = file.read()
    ids = (c.llama_token * (len(text) + 16))()
    count = c.llama_tokenize(model.vocab, text, len(text), ids, len(ids), args.bos, args.special)
    if count < 0:
        raise Failure("the text has no tokens in this vocabulary")
    pieces = []
    buffer = ctypes.create_string_buffer(512)
    for token in ids[:count]:
        length = c.llama_token_to_piece(model.vocab, token, buffer, len(buffer), 0, True)
        pieces.append(buffer.raw[: max(length, 0)].hex())
    return {"ids": list(ids[:count]), "pieces": pieces}


def random_tokens(model, count, seed):
    """Ids that are the same in every run and in our own bench: x -> 1664525 x + 1013904223 (mod 2^32), high bits."""
    state, ids = seed, []
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        ids.append((state >> 8) % model.n_vocab)
    return ids


def timed(work):
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bench(args):
    """Speed: prefill, decode at depths, several sequences at a time, time to the first token. Each number once."""
    model = Model(args)
    report = {"engine": f"llama.cpp ({c.__version__})", "load_seconds": model.load_seconds}
    warm = model.context(64)
    warm.prefill(random_tokens(model, 32, 9))
    warm.close()
    report["prefill"] = [measure_prefill(model, n) for n in numbers(args.prefill)]
    report["decode"] = [measure_decode(model, depth, args.decode_n) for depth in numbers(args.decode_depth)]
    report["parallel"] = [measure_parallel(model, p, args) for p in numbers(args.parallel)]
    report["first_token"] = measure_first_token(model, args.prefix, args.question) if args.prefix else None
    report["peak_bytes"] = peak_bytes()
    return report


def measure_prefill(model, tokens):
    context = model.context(tokens)
    ids = random_tokens(model, tokens, 1)
    seconds = timed(lambda: context.prefill(ids))
    context.close()
    return {"tokens": tokens, "per_second": tokens / seconds}


def measure_decode(model, depth, count):
    context = model.context(depth + count + 1)
    ids = random_tokens(model, depth + count + 1, 2)
    # at depth 0 one token is there already: an empty context has nothing to attend to
    start = max(depth, 1)
    context.prefill(ids[:start])

    def work():
        for i in range(count):
            context.decode([(ids[start + i], start + i, 0, True)])

    seconds = timed(work)
    context.close()
    return {"depth": depth, "per_second": count / seconds}


def measure_parallel(model, sequences, args):
    """All sequences have their own prompt of `--parallel-prompt` tokens; one batch per step, as llama-batched-bench."""
    prompt, count = args.parallel_prompt, args.parallel_n
    context = model.context(prompt + count, sequences)
    ids = [random_tokens(model, prompt + count, 100 + s) for s in range(sequences)]
    for s in range(sequences):
        context.prefill(ids[s][:prompt], sequence=s)

    def work():
        for i in range(count):
            context.decode([(ids[s][prompt + i], prompt + i, s, True) for s in range(sequences)])

    seconds = timed(work)
    context.close()
    return {"sequences": sequences, "per_second": sequences * count / seconds}


def measure_first_token(model, prefix, question):
    """Seconds until the first token of an answer, without and with the first `prefix` tokens in the cache."""
    context = model.context(prefix + question + 1)
    ids = random_tokens(model, prefix + question, 3)

    def answer(start):
        context.prefill(ids[start:], start=start)
        int(numpy.argmax(context.logits(-1)))

    fresh = timed(lambda: answer(0))
    c.llama_memory_seq_rm(context.memory, 0, prefix, -1)
    shared = timed(lambda: answer(prefix))
    context.close()
    return {"prefix": prefix, "question": question, "fresh_seconds": fresh, "shared_seconds": shared}


def numbers(text):
    """`1,4,8` as numbers."""
    return [int(word) for word in text.split(",") if word.strip()]


def arguments():
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", required=True)
    common.add_argument("--threads", type=int, default=2)
    common.add_argument("--batch", type=int, default=2048, help="tokens of one llama_decode")
    common.add_argument("--ubatch", type=int, default=512)
    common.add_argument("--flash-attn", choices=FLASH, default="auto")
    common.add_argument("--kv", choices=KV, default="f16")
    common.add_argument("--no-repack", action="store_true", help="compute on the file's own layout of the weights")
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(work):
        sub = commands.add_parser(work.__name__, parents=[common], help=work.__doc__)
        sub.set_defaults(work=work)
        return sub

    sub = command(logits)
    sub.add_argument("--tokens-file", required=True)
    sub.add_argument("--positions", default="-1", help="comma-separated; negative from the end")
    sub.add_argument("--top", type=int, default=10)
    sub.add_argument("--out", help="all logits as little-endian f32, one row per position")
    sub = command(greedy)
    sub.add_argument("--tokens-file", required=True)
    sub.add_argument("--n", type=int, default=32)
    sub = command(tokenize)
    sub.add_argument("--text-file", default="-")
    sub.add_argument("--bos", action="store_true", help="add what the file says stands at the beginning")
    sub.add_argument("--special", action="store_true", help="read special tokens in the text as such")
    sub = command(bench)
    sub.add_argument("--prefill", default="128,512,2048")
    sub.add_argument("--decode-depth", default="0,2048")
    sub.add_argument("--decode-n", type=int, default=64)
    sub.add_argument("--parallel", default="1,4,8")
    sub.add_argument("--parallel-prompt", type=int, default=128)
    sub.add_argument("--parallel-n", type=int, default=32)
    sub.add_argument("--prefix", type=int, default=1500, help="0 leaves the time to the first token out")
    sub.add_argument("--question", type=int, default=64)
    return parser.parse_args()


def main():
    """One command, one line of JSON."""
    args = arguments()
    c.llama_log_set(_silent, None)
    c.llama_backend_init()
    try:
        print(json.dumps(args.work(args)))
    except (Failure, OSError, ValueError) as error:
        sys.exit(f"{args.command}: {error}")


if __name__ == "__main__":
    main()

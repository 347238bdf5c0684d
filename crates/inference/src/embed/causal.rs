//! Decoders that embed and rerank (Qwen3-Embedding and Qwen3-Reranker, Zhang et al., 2025): the last token's state as
//! the text's vector, and the odds of "yes" against "no" as a passage's score.
//!
//! Text formats as published with the models. Sequences of a batch that begin alike share the blocks of their beginning:
//! the instruction, and for a reranker the question, are computed once per batch.

use super::config::Architecture;
use super::encoder::Pooling;
use super::folder::Folder;
use super::gate::Gate;
use super::modules::{Modules, read_prefixes};
use super::sentence::unit;
use super::texts::{TEXTS_AT_ONCE, batches_of};
use super::{
    Cancelled, EmbedError, EmbedSettings, Embedder, EmbedderCard, Embedding, Prefixes, Reranker, RerankerCard, TextKind,
};
use crate::ModelError;
use crate::decoder::cache::BlockId;
use crate::decoder::config::Family;
use crate::decoder::weights::MappedFile;
use crate::decoder::{Decoder, Output, Piece, Place, Want};
use crate::tokenizer::{Segment, Tokenizer};
use candle_core::quantized::gguf_file::{Content, Value};
use madang_kernels::{BLOCK, Pool};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Read without another setting: keys and values of every token stay in memory until the text is done.
const USUAL_TOKENS: usize = 2048;
/// Stands at the end of every text to be embedded; its state is the text's.
const END: &str = "<|endoftext|>";
const TASK: &str = "Given a web search query, retrieve relevant passages that answer the query";
const JUDGE: &str = "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the \
                     Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
const ANSWER: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
/// `pooling_type` of GGUF files (llama.cpp, `enum llama_pooling_type`).
const LAST_TOKEN: u32 = 3;
const RANK: u32 = 4;

/// A decoder that computes whole texts, some at a time.
struct Causal {
    decoder: Mutex<Decoder>,
    tokenizer: Tokenizer,
    max_tokens: usize,
    hidden: usize,
    vocabulary: usize,
    batch_tokens: usize,
    gate: Gate,
}

/// What was opened beside the decoder.
struct Opened {
    causal: Causal,
    folder: Folder,
    /// Of a GGUF file that says so.
    pooling: Option<u32>,
}

impl Causal {
    /// A GGUF file, or a folder with `config.json` and safetensors.
    fn open(path: &Path, settings: &EmbedSettings) -> Result<Opened, ModelError> {
        let pool = Arc::new(Pool::new(settings.threads));
        let (mut folder, tokenizer, decoder, pooling) = if path.is_dir() {
            let mut folder = Folder::new(path);
            folder.required("config.json")?;
            folder.weights("")?;
            (folder, Tokenizer::open(path, None)?, Decoder::from_safetensors(path, pool, Place::default())?, None)
        } else {
            let file = MappedFile::open(path)?;
            let content = file.gguf()?;
            let mut folder = Folder::new(path.parent().unwrap_or(Path::new("")));
            folder.note("gguf", file.bytes());
            let tokenizer = Tokenizer::open(path, Some(&content))?;
            let decoder = Decoder::from_gguf(&file, &content, pool, Place::default())?;
            (folder, tokenizer, decoder, pooling_type(&content))
        };
        folder.bytes("tokenizer.json")?;
        let config = decoder.config();
        if config.family != Family::Qwen3 {
            return Err(ModelError::unsupported(format!(
                "임베딩에 쓰는 디코더 {:?} (아는 구조: qwen3)",
                config.family
            )));
        }
        if tokenizer.vocab_size() > config.vocab {
            let words = tokenizer.vocab_size();
            return Err(ModelError::damaged(format!("어휘 {words}개, 임베딩 {}줄", config.vocab)));
        }
        let max_tokens = settings.max_tokens.unwrap_or(USUAL_TOKENS).min(config.context);
        folder.note("max_tokens", &(max_tokens as u64).to_le_bytes());
        let causal = Self {
            tokenizer,
            max_tokens,
            hidden: config.hidden,
            vocabulary: config.vocab,
            batch_tokens: settings.batch_tokens,
            decoder: Mutex::new(decoder),
            gate: Gate::default(),
        };
        Ok(Opened { causal, folder, pooling })
    }

    /// The last token's row of each sequence, computed batch by batch.
    fn last_rows(
        &self,
        kind: TextKind,
        sequences: &[Vec<u32>],
        output: Output,
        cancelled: Cancelled<'_>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let width = if output == Output::Hidden { self.hidden } else { self.vocabulary };
        let mut rows = Vec::with_capacity(sequences.len());
        for batch in batches_of(sequences.iter().map(Vec::len), self.batch_tokens) {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            let _turn = self.gate.enter(kind);
            let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
            let numbers = forward(&mut decoder, sequences.get(batch).unwrap_or_default(), output)
                .map_err(|e| EmbedError::Failed(e.to_string()))?;
            rows.extend(numbers.chunks(width).map(<[f32]>::to_vec));
        }
        match rows.iter().flatten().all(|x| x.is_finite()) {
            true => Ok(rows),
            false => Err(EmbedError::Failed("수가 아닌 값이 나왔습니다".into())),
        }
    }

    /// The number of a token that the text format needs.
    fn token(&self, text: &str) -> Result<u32, ModelError> {
        let missing = || ModelError::unsupported(format!("토큰 {text}이 없는 모델"));
        match self.tokenizer.token_id(text) {
            Some(id) => Ok(id),
            None => match self.tokenizer.encode(text).as_slice() {
                [id] => Ok(*id),
                _ => Err(missing()),
            },
        }
    }
}

/// One row per sequence. None is empty; what all have in common at their beginning is computed once.
fn forward(decoder: &mut Decoder, sequences: &[Vec<u32>], output: Output) -> Result<Vec<f32>, ModelError> {
    let shared = shared_beginning(sequences);
    let blocks: usize = sequences.iter().map(|s| s.len().div_ceil(BLOCK)).sum();
    let mut cache = decoder.cache(blocks)?;
    let mut next = 0_u32;
    let mut take = |count: usize| -> Vec<BlockId> {
        let from = next;
        next += u32::try_from(count).unwrap_or(u32::MAX);
        (from..next).map(BlockId).collect()
    };
    let common = take(shared / BLOCK);
    if let (Some(first), true) = (sequences.first(), shared > 0) {
        let tokens = first.get(..shared).unwrap_or_default();
        decoder.forward(&mut cache, &[Piece { tokens, start: 0, blocks: &common, want: Want::Nothing }], output)?;
    }
    let blocks: Vec<Vec<BlockId>> = sequences
        .iter()
        .map(|s| common.iter().copied().chain(take((s.len() - shared).div_ceil(BLOCK))).collect())
        .collect();
    let pieces: Vec<_> = sequences
        .iter()
        .zip(&blocks)
        .map(|(s, blocks)| Piece {
            tokens: s.get(shared..).unwrap_or_default(),
            start: shared,
            blocks,
            want: Want::Last,
        })
        .collect();
    decoder.forward(&mut cache, &pieces, output)
}

/// Whole blocks of tokens that all sequences begin with, leaving each at least one token of its own.
fn shared_beginning(sequences: &[Vec<u32>]) -> usize {
    let [first, rest @ ..] = sequences else { return 0 };
    if rest.is_empty() {
        return 0;
    }
    let alike = |other: &Vec<u32>| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    let common = rest.iter().map(alike).min().unwrap_or(0);
    let shortest = sequences.iter().map(Vec::len).min().unwrap_or(0);
    common.min(shortest.saturating_sub(1)) / BLOCK * BLOCK
}

/// The first of the file's `*.pooling_type`.
fn pooling_type(content: &Content) -> Option<u32> {
    let found = content.metadata.iter().find(|(key, _)| key.ends_with(".pooling_type"));
    found.and_then(|(_, value): (_, &Value)| value.to_u32().ok())
}

/// Qwen3-Embedding.
pub(super) struct CausalEmbedder {
    card: EmbedderCard,
    causal: Causal,
    end: u32,
}

impl CausalEmbedder {
    /// # Errors
    /// As [`super::open_embedder`]; a decoder whose files do not say that it embeds by the last token is refused.
    pub fn open(path: &Path, settings: EmbedSettings) -> Result<Self, ModelError> {
        let Opened { causal, mut folder, pooling } = Causal::open(path, &settings)?;
        let published = Prefixes { query: format!("Instruct: {TASK}\nQuery:"), passage: String::new() };
        let prefixes = if path.is_dir() {
            let modules = Modules::read(&mut folder, causal.hidden)?;
            if modules.pooling != Pooling::LastToken || !modules.dense.is_empty() {
                return Err(ModelError::unsupported("마지막 토큰이 아닌 Pooling을 쓰는 디코더"));
            }
            let own = read_prefixes(&mut folder, modules.normalises, &[])?;
            if own == Prefixes::default() { published } else { own }
        } else if pooling == Some(LAST_TOKEN) {
            published
        } else {
            return Err(ModelError::unsupported("임베딩 모델이라는 표시(pooling_type)가 없는 GGUF"));
        };
        let prefixes = settings.prefixes.unwrap_or(prefixes);
        folder.note("query", prefixes.query.as_bytes());
        folder.note("passage", prefixes.passage.as_bytes());
        let end = causal.token(END)?;
        let card = EmbedderCard {
            name: settings.name,
            label: settings.label,
            architecture: "qwen3".into(),
            dimension: causal.hidden,
            max_tokens: causal.max_tokens,
            prefixes,
            fingerprint: folder.fingerprint(),
        };
        Ok(Self { card, causal, end })
    }

    /// Tokens with the closing one, and whether something was cut.
    fn tokens(&self, prefix: &str, text: &str) -> (Vec<u32>, bool) {
        let mut ids = self.causal.tokenizer.encode(&format!("{prefix}{text}"));
        let room = self.causal.max_tokens.saturating_sub(1);
        let cut = ids.len() > room;
        ids.truncate(room);
        ids.push(self.end);
        (ids, cut)
    }
}

impl Embedder for CausalEmbedder {
    fn card(&self) -> &EmbedderCard {
        &self.card
    }

    fn embed(&self, kind: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
        let prefix = match kind {
            TextKind::Query => &self.card.prefixes.query,
            TextKind::Passage => &self.card.prefixes.passage,
        };
        let mut out = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_AT_ONCE) {
            let (sequences, cut): (Vec<_>, Vec<_>) = some.iter().map(|t| self.tokens(prefix, t)).unzip();
            let rows = self.causal.last_rows(kind, &sequences, Output::Hidden, cancelled)?;
            for ((row, ids), truncated) in rows.into_iter().zip(&sequences).zip(cut) {
                out.push(Embedding { vector: unit(row)?, tokens: ids.len(), truncated });
            }
        }
        Ok(out)
    }
}

/// Qwen3-Reranker.
pub(super) struct CausalReranker {
    card: RerankerCard,
    causal: Causal,
    before: Vec<u32>,
    after: Vec<u32>,
    yes: u32,
    no: u32,
}

impl CausalReranker {
    /// # Errors
    /// As [`super::open_reranker`]; a decoder whose files say that it does something else is refused.
    pub fn open(path: &Path, settings: EmbedSettings) -> Result<Self, ModelError> {
        let Opened { causal, folder, pooling } = Causal::open(path, &settings)?;
        if path.is_dir() {
            let named = settings.name.to_lowercase().contains("rerank")
                || path.file_name().is_some_and(|n| n.to_string_lossy().to_lowercase().contains("rerank"));
            if !named {
                return Err(ModelError::unsupported("이름에 rerank가 없는 디코더 폴더"));
            }
        } else if pooling.is_some_and(|p| p != RANK) {
            return Err(ModelError::unsupported("임베딩 모델은 재순위에 쓸 수 없음"));
        }
        let before = causal.tokenizer.encode_segments(&[Segment::Markup(JUDGE)]);
        let after = causal.tokenizer.encode_segments(&[Segment::Markup(ANSWER)]);
        if causal.max_tokens <= before.len() + after.len() {
            return Err(ModelError::unsupported(format!("최대 길이 {}토큰", causal.max_tokens)));
        }
        let (yes, no) = (causal.token("yes")?, causal.token("no")?);
        let card = RerankerCard {
            name: settings.name,
            label: settings.label,
            architecture: "qwen3".into(),
            max_tokens: causal.max_tokens,
            fingerprint: folder.fingerprint(),
        };
        Ok(Self { card, causal, before, after, yes, no })
    }

    /// The published frame around question and passage, the passage cut where all is too long.
    fn tokens(&self, query: &str, passage: &str) -> Vec<u32> {
        let text = format!("<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {passage}");
        let mut ids = self.causal.tokenizer.encode(&text);
        ids.truncate(self.causal.max_tokens.saturating_sub(self.before.len() + self.after.len()));
        [self.before.as_slice(), &ids, &self.after].concat()
    }
}

impl Reranker for CausalReranker {
    fn card(&self) -> &RerankerCard {
        &self.card
    }

    fn score(&self, query: &str, passages: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<f32>, EmbedError> {
        let mut out = Vec::with_capacity(passages.len());
        for some in passages.chunks(TEXTS_AT_ONCE) {
            let sequences: Vec<_> = some.iter().map(|p| self.tokens(query, p)).collect();
            let rows = self.causal.last_rows(TextKind::Query, &sequences, Output::Logits, cancelled)?;
            let odds = |row: &Vec<f32>| Some(row.get(self.yes as usize)? - row.get(self.no as usize)?);
            out.extend(rows.iter().filter_map(odds));
        }
        Ok(out)
    }
}

/// The folder holds a decoder of the family that is known here.
pub(super) fn is_decoder(architecture: &Architecture) -> bool {
    architecture.model_type.as_deref() == Some("qwen3")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Numbers, Tensors, write_json, write_tensors};
    use super::*;
    use serde_json::json;

    #[test]
    fn only_whole_common_blocks_are_shared() {
        let long = |tail: u32| (0..100).chain([tail]).collect::<Vec<u32>>();
        assert_eq!(shared_beginning(&[long(1), long(2)]), 96);
        assert_eq!(shared_beginning(&[long(1)]), 0);
        assert_eq!(shared_beginning(&[]), 0);
        // Equal sequences keep a token of their own.
        assert_eq!(shared_beginning(&[(0..64).collect(), (0..64).collect()]), 32);
        assert_eq!(shared_beginning(&[vec![1; 40], vec![1; 20]]), 0);
    }

    /// Two layers of 4 heads over 2 pairs of keys and values, 60 tokens.
    fn toy(folder: &Path) -> Decoder {
        let (mut tensors, mut numbers) = (Tensors::new(), Numbers(31));
        let mut put = |name: &str, shape: &[usize]| {
            let norm = if shape.len() == 1 { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product()).map(|_| norm + 0.3 * numbers.signed()).collect();
            tensors.insert(name.into(), (shape.to_vec(), values));
        };
        put("model.embed_tokens.weight", &[60, 32]);
        put("model.norm.weight", &[32]);
        for i in 0..2 {
            let sizes: [(&str, &[usize]); 11] = [
                ("input_layernorm", &[32]),
                ("post_attention_layernorm", &[32]),
                ("self_attn.q_proj", &[32, 32]),
                ("self_attn.k_proj", &[16, 32]),
                ("self_attn.v_proj", &[16, 32]),
                ("self_attn.o_proj", &[32, 32]),
                ("self_attn.q_norm", &[8]),
                ("self_attn.k_norm", &[8]),
                ("mlp.gate_proj", &[64, 32]),
                ("mlp.up_proj", &[64, 32]),
                ("mlp.down_proj", &[32, 64]),
            ];
            sizes.iter().for_each(|(part, shape)| put(&format!("model.layers.{i}.{part}.weight"), shape));
        }
        write_tensors(folder, &tensors);
        let config = json!({
            "model_type": "qwen3", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "vocab_size": 60,
            "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "hidden_act": "silu",
        });
        write_json(folder, "config.json", &config);
        let pool = Arc::new(Pool::new(2));
        Decoder::from_safetensors(folder, pool, Place::Cpu).unwrap()
    }

    /// With a shared beginning computed once, every sequence has the row that it has alone, to the last bit.
    #[test]
    fn shared_beginnings_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut decoder = toy(folder.path());
        let mut numbers = Numbers(7);
        let beginning: Vec<u32> = (0..70).map(|_| numbers.below(60) as u32).collect();
        let mut sequence = |more: usize| -> Vec<u32> {
            let tail: Vec<_> = (0..more).map(|_| numbers.below(60) as u32).collect();
            beginning.iter().copied().chain(tail).collect()
        };
        let sequences: Vec<_> = [1, 40, 3, 90].into_iter().map(&mut sequence).collect();
        assert_eq!(shared_beginning(&sequences), 64);
        for (output, width) in [(Output::Hidden, 32), (Output::Logits, 60)] {
            let together = forward(&mut decoder, &sequences, output).unwrap();
            assert_eq!(together.len(), 4 * width);
            for (ours, alone) in together.chunks(width).zip(&sequences) {
                assert_eq!(ours, forward(&mut decoder, std::slice::from_ref(alone), output).unwrap());
            }
        }
    }
}

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
use super::texts::{TEXTS_AT_ONCE, batches_of, guarded};
use super::{
    Cancelled, EmbedError, EmbedSettings, Embedder, EmbedderCard, Embedding, Prefixes, Reranker, RerankerCard, TextKind,
};
use crate::ModelError;
use crate::decoder::cache::BlockId;
use crate::decoder::config::Family;
use crate::decoder::metadata::Metadata;
use crate::decoder::weights::{MappedFile, YES_NO};
use crate::decoder::{Decoder, Head, Output, Piece, Place, Want};
use crate::tokenizer::{Segment, Tokenizer};
use candle_core::quantized::gguf_file::Content;
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
const LAST_TOKEN: usize = 3;
const RANK: usize = 4;

/// A decoder that computes whole texts, some at a time.
struct Causal {
    decoder: Mutex<Decoder>,
    tokenizer: Tokenizer,
    max_tokens: usize,
    hidden: usize,
    vocabulary: usize,
    /// The file's head has the rows of yes and no alone.
    two: bool,
    batch_tokens: usize,
    gate: Gate,
}

/// What was opened beside the decoder.
struct Opened {
    causal: Causal,
    folder: Folder,
    /// Of a GGUF file that says so.
    pooling: Option<usize>,
}

impl Causal {
    /// A GGUF file, or a folder with `config.json` and safetensors.
    fn open(path: &Path, head: Head, settings: &EmbedSettings) -> Result<Opened, ModelError> {
        let pool = Arc::new(Pool::new(settings.threads));
        let mut two = false;
        let (mut folder, tokenizer, decoder, pooling) = if path.is_dir() {
            let mut folder = Folder::new(path);
            folder.required("config.json")?;
            folder.weights("")?;
            let decoder = Decoder::safetensors_with(head, path, pool, Place::default())?;
            (folder, Tokenizer::open(path, None)?, decoder, None)
        } else {
            let file = MappedFile::open(path)?;
            let content = file.gguf()?;
            let mut folder = Folder::new(path.parent().unwrap_or(Path::new("")));
            folder.note("gguf", file.bytes());
            let tokenizer = Tokenizer::open(path, Some(&content))?;
            let decoder = Decoder::gguf_with(head, &file, &content, pool, Place::default())?;
            two = head == Head::Judge && content.tensor_infos.contains_key(YES_NO);
            (folder, tokenizer, decoder, pooling_type(&content)?)
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
            two,
            batch_tokens: settings.batch_tokens,
            decoder: Mutex::new(decoder),
            gate: Gate::default(),
        };
        Ok(Opened { causal, folder, pooling })
    }

    /// What `keep` takes of the last token's row of each sequence, computed batch by batch: the rows themselves are as
    /// long as the vocabulary, and no more of them stand in memory than a batch has.
    fn last_rows<T>(
        &self,
        kind: TextKind,
        sequences: &[Vec<u32>],
        output: Output,
        cancelled: Cancelled<'_>,
        keep: impl Fn(&[f32]) -> Result<T, EmbedError>,
    ) -> Result<Vec<T>, EmbedError> {
        let width = match output {
            Output::Hidden => self.hidden,
            Output::Logits if self.two => 2,
            Output::Logits => self.vocabulary,
        };
        let mut kept = Vec::with_capacity(sequences.len());
        for batch in batches_of(sequences.iter().map(Vec::len), self.batch_tokens) {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            let _turn = self.gate.enter(kind);
            let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
            let numbers = forward(&mut decoder, sequences.get(batch).unwrap_or_default(), output)
                .map_err(|e| EmbedError::Failed(e.to_string()))?;
            for row in numbers.chunks(width) {
                kept.push(keep(row)?);
            }
        }
        Ok(kept)
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

/// The architecture's `pooling_type`.
fn pooling_type(content: &Content) -> Result<Option<usize>, ModelError> {
    let metadata = Metadata::new(content);
    let architecture = metadata.text("general.architecture")?.unwrap_or_default();
    metadata.size(&format!("{architecture}.pooling_type"))
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
        let Opened { causal, mut folder, pooling } = Causal::open(path, Head::None, &settings)?;
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
    fn tokens(&self, prefix: &str, text: &str) -> Result<(Vec<u32>, bool), EmbedError> {
        let mut ids = guarded(|| self.causal.tokenizer.encode(&format!("{prefix}{text}")))?;
        let room = self.causal.max_tokens.saturating_sub(1);
        let cut = ids.len() > room;
        ids.truncate(room);
        ids.push(self.end);
        Ok((ids, cut))
    }
}

impl Embedder for CausalEmbedder {
    fn card(&self) -> &EmbedderCard {
        &self.card
    }

    fn embed(&self, kind: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
        let prefix = self.card.prefixes.of(kind);
        let mut out = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_AT_ONCE) {
            let tokens = some.iter().map(|t| self.tokens(prefix, t)).collect::<Result<Vec<_>, _>>()?;
            let (sequences, cut): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
            let keep = |row: &[f32]| unit(row.to_vec());
            let vectors = self.causal.last_rows(kind, &sequences, Output::Hidden, cancelled, keep)?;
            for ((vector, ids), truncated) in vectors.into_iter().zip(&sequences).zip(cut) {
                out.push(Embedding { vector, tokens: ids.len(), truncated });
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
    /// Places of the two answers in a row of logits.
    yes: usize,
    no: usize,
}

impl CausalReranker {
    /// # Errors
    /// As [`super::open_reranker`]; a decoder whose files say that it does something else is refused.
    pub fn open(path: &Path, settings: EmbedSettings) -> Result<Self, ModelError> {
        let Opened { causal, folder, pooling } = Causal::open(path, Head::Judge, &settings)?;
        // Nothing in the files of a decoder says that it judges; what the shelf calls it was decided when it came.
        let embeds = path.join("modules.json").is_file() || pooling.is_some_and(|p| p != RANK);
        if embeds {
            return Err(ModelError::unsupported("임베딩 모델은 재순위에 쓸 수 없음"));
        }
        let before = causal.tokenizer.encode_segments(&[Segment::Markup(JUDGE)]);
        let after = causal.tokenizer.encode_segments(&[Segment::Markup(ANSWER)]);
        if causal.max_tokens <= before.len() + after.len() {
            return Err(ModelError::unsupported(format!("최대 길이 {}토큰", causal.max_tokens)));
        }
        let (yes, no) = match causal.two {
            true => (0, 1),
            false => (causal.token("yes")? as usize, causal.token("no")? as usize),
        };
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
    fn tokens(&self, query: &str, passage: &str) -> Result<Vec<u32>, EmbedError> {
        let text = format!("<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {passage}");
        let mut ids = guarded(|| self.causal.tokenizer.encode(&text))?;
        ids.truncate(self.causal.max_tokens.saturating_sub(self.before.len() + self.after.len()));
        Ok([self.before.as_slice(), &ids, &self.after].concat())
    }

    /// Of one row of logits.
    fn odds(&self, row: &[f32]) -> Result<f32, EmbedError> {
        let both = row.get(self.yes).zip(row.get(self.no)).map(|(yes, no)| yes - no);
        both.filter(|odds| odds.is_finite()).ok_or_else(|| EmbedError::Failed("점수에 수가 아닌 값이 있습니다".into()))
    }
}

impl Reranker for CausalReranker {
    fn card(&self) -> &RerankerCard {
        &self.card
    }

    fn score(&self, query: &str, passages: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<f32>, EmbedError> {
        let mut out = Vec::with_capacity(passages.len());
        for some in passages.chunks(TEXTS_AT_ONCE) {
            let sequences = some.iter().map(|p| self.tokens(query, p)).collect::<Result<Vec<_>, _>>()?;
            let keep = |row: &[f32]| self.odds(row);
            out.extend(self.causal.last_rows(TextKind::Query, &sequences, Output::Logits, cancelled, keep)?);
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
    use super::super::testing::{Numbers, byte_tokenizer, write_json, write_modules};
    use super::super::{open_embedder, open_reranker};
    use super::*;
    use crate::decoder::testing::{HIDDEN, Tiny, gguf_bytes, tiny};
    use candle_core::quantized::gguf_file::Value;

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

    /// With a shared beginning computed once, every sequence has the row that it has alone, to the last bit.
    #[test]
    fn shared_beginnings_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        tiny("qwen3", 60, 31).write(folder.path());
        let pool = Arc::new(Pool::new(2));
        let mut decoder = Decoder::from_safetensors(folder.path(), pool, Place::Cpu).unwrap();
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

    /// A folder of the family as it is published.
    fn write(folder: &Path, decoder: &Tiny, embeds: bool) {
        decoder.write(folder);
        write_json(folder, "tokenizer.json", &byte_tokenizer());
        if embeds {
            write_modules(folder, HIDDEN, "pooling_mode_lasttoken");
        }
    }

    fn settings() -> EmbedSettings {
        EmbedSettings { threads: 2, ..EmbedSettings::new("toy", "장난감") }
    }

    const TEXTS: [&str; 3] = ["민원 처리 기한은 14일입니다.", "yes", ""];

    #[test]
    fn published_names_of_an_embedder_are_read() {
        let (whole, bare) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rows = byte_tokenizer()["added_tokens"][2]["id"].as_u64().unwrap() as usize + 5;
        write(whole.path(), &tiny("qwen3", rows, 8), true);
        write(bare.path(), &tiny("qwen3", rows, 8).bare(), true);
        let vectors = |folder: &Path| {
            let model = open_embedder(folder, settings()).unwrap();
            model.embed(TextKind::Passage, &TEXTS, &|| false).unwrap()
        };
        assert_eq!(vectors(bare.path()), vectors(whole.path()));
        assert!(open_reranker(whole.path(), settings()).err().unwrap().to_string().contains("재순위"));
        // A model of another name judges as well: the shelf knows what it is.
        std::fs::remove_file(whole.path().join("modules.json")).unwrap();
        let model = open_reranker(whole.path(), settings()).unwrap();
        let scores = model.score("기한", &TEXTS, &|| false).unwrap();
        for (text, together) in TEXTS.iter().zip(&scores) {
            assert_eq!(model.score("기한", &[text], &|| false).unwrap(), [*together]);
        }
    }

    /// The rows of yes and no alone give what the whole vocabulary gives.
    #[test]
    fn a_head_of_two_gives_the_same_odds() {
        let tokens = byte_tokenizer();
        let id = |text: &str| tokens["model"]["vocab"][text].as_u64().unwrap() as usize;
        let rows = tokens["added_tokens"][2]["id"].as_u64().unwrap() as usize + 5;
        let folder = tempfile::tempdir().unwrap();
        write_json(folder.path(), "tokenizer.json", &tokens);
        let file = folder.path().join("model.gguf");
        let rank = [("qwen3.pooling_type", Value::U32(4))];
        let odds = || open_reranker(&file, settings()).unwrap().score("기한", &TEXTS, &|| false).unwrap();
        std::fs::write(&file, gguf_bytes("qwen3", rows, &rank, &[])).unwrap();
        let whole = odds();
        let (shape, embedding) = &tiny("qwen3", rows, 5).tensors["model.embed_tokens.weight"];
        let row = |id: usize| embedding[id * shape[1]..(id + 1) * shape[1]].to_vec();
        let two = [row(id("yes")), row(id("no"))].concat();
        std::fs::write(&file, gguf_bytes("qwen3", rows, &rank, &[(YES_NO, &[2, HIDDEN], Some(two))])).unwrap();
        // The same sums, though the kernel may take two rows otherwise than many.
        assert!(odds().iter().zip(&whole).all(|(two, all)| (two - all).abs() < 1e-4), "{whole:?}");
        assert!(open_embedder(&file, settings()).err().unwrap().to_string().contains("지원하지 않습니다"));
    }
}

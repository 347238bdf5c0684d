//! Texts as vectors: encoders (BERT, XLM-RoBERTa, ModernBERT), static token vectors and decoders that embed
//! (Qwen3-Embedding); and rerankers that read question and passage together.
//!
//! What a model gives for a text depends on the text alone, whatever is computed beside it, with one exception: encoders
//! multiply the rows of a batch together, and candle sums in an order that depends on how many there are. Alone and in
//! a batch, their vectors differ in the last bits (up to 2e-6 per number); decoders and static vectors are the same to
//! the last bit.
//!
//! What does not live here: the index that keeps the vectors (`search`), and the decoder itself.

mod attention;
mod bert;
mod calibration;
mod causal;
mod config;
mod cross_encoder;
mod encoder;
mod folder;
mod gate;
mod layers;
mod modernbert;
mod modules;
mod sentence;
mod static_vectors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod texts;
mod weights;

pub use calibration::least_similarity;

use crate::ModelError;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// What a text is to the model: many are trained to see a question and what may answer it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextKind {
    Query,
    Passage,
}

/// What stands before every text given to the model, as it was trained.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prefixes {
    pub query: String,
    pub passage: String,
}

impl Prefixes {
    /// Before texts of this kind.
    pub fn of(&self, kind: TextKind) -> &str {
        match kind {
            TextKind::Query => &self.query,
            TextKind::Passage => &self.passage,
        }
    }
}

/// What an embedding model says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderCard {
    /// Stable name, as in the catalogue.
    pub name: String,
    /// For screens.
    pub label: String,
    /// As its files call it: `xlm-roberta`, `modernbert`, `model2vec`.
    pub architecture: String,
    /// Length of a vector.
    pub dimension: usize,
    /// What goes beyond, special tokens included, is cut off and reported.
    pub max_tokens: usize,
    pub prefixes: Prefixes,
    /// SHA-256 (hex) over weights, tokenizer and every setting that changes vectors: only vectors of equal
    /// fingerprints may be compared.
    pub fingerprint: String,
}

/// One text's vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Of length 1; all zeros where the text holds nothing that the model knows (static vectors of an empty text).
    pub vector: Vec<f32>,
    /// Tokens that the model read, prefix and special tokens included.
    pub tokens: usize,
    /// The text was longer than the model reads.
    pub truncated: bool,
}

/// Why a loaded model gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// For the operator, in Korean.
    #[error("임베딩 모델이 계산하지 못했습니다. 모델 파일과 남은 메모리를 확인해 주세요: {0}")]
    Failed(String),
}

impl From<candle_core::Error> for EmbedError {
    fn from(error: candle_core::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Asked between batches; `true` stops the work.
pub type Cancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// Turns texts into vectors whose cosine tells how near their meanings are. Implementations: encoders, static vectors,
/// decoders with last-token pooling. Calls block for as long as they compute: keep them off the async threads.
pub trait Embedder: Send + Sync {
    fn card(&self) -> &EmbedderCard;

    /// One vector per text, in their order. Questions go before passages that wait; memory is bounded by the batch,
    /// not by the number of texts.
    ///
    /// # Errors
    /// [`EmbedError::Stopped`] within one batch after `cancelled` turns true; [`EmbedError::Failed`].
    fn embed(&self, kind: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError>;
}

/// What a reranker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerankerCard {
    pub name: String,
    pub label: String,
    pub architecture: String,
    /// For question and passage together. Encoders cut the longer of the two, decoders the end of the passage.
    pub max_tokens: usize,
    pub fingerprint: String,
}

/// Reads a question beside each passage. Implementations: cross-encoders, decoders that answer yes or no.
pub trait Reranker: Send + Sync {
    fn card(&self) -> &RerankerCard;

    /// Log-odds that each passage answers the question, in the passages' order: above 0 is more likely than not.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    fn score(&self, query: &str, passages: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<f32>, EmbedError>;
}

/// How a model folder is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedSettings {
    pub name: String,
    pub label: String,
    /// In place of what the folder's own settings or the model's family ask for.
    pub prefixes: Option<Prefixes>,
    /// Read less than the model could: attention costs grow with the square of the length.
    pub max_tokens: Option<usize>,
    /// Tokens computed at once: bounds memory, and the wait of a question behind passages. A single text may be longer.
    pub batch_tokens: usize,
    /// Threads of a decoder; encoders use as many as there are processors.
    pub threads: usize,
}

impl EmbedSettings {
    /// The model's own settings.
    pub fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { name: name.into(), label: label.into(), prefixes: None, max_tokens: None, batch_tokens: 512, threads }
    }
}

/// Opens a folder of `config.json`, `tokenizer.json` and `model.safetensors` (an encoder or Qwen3-Embedding with
/// sentence-transformers' `modules.json`, or model2vec's static vectors), or a GGUF file of Qwen3-Embedding.
///
/// # Errors
/// [`ModelError::Unsupported`] names the architecture, activation, pooling or module that is not known;
/// [`ModelError::Damaged`], [`ModelError::Io`].
pub fn open_embedder(path: &Path, settings: EmbedSettings) -> Result<Arc<dyn Embedder>, ModelError> {
    if path.is_file() {
        return Ok(Arc::new(causal::CausalEmbedder::open(path, settings)?));
    }
    let mut folder = folder::Folder::new(path);
    let architecture: config::Architecture = folder.required_json("config.json")?;
    if causal::is_decoder(&architecture) {
        return Ok(Arc::new(causal::CausalEmbedder::open(path, settings)?));
    }
    if architecture.is_static() || modules::starts_with_static_vectors(&mut folder)? {
        return Ok(Arc::new(static_vectors::StaticEmbedder::open(folder, settings)?));
    }
    Ok(Arc::new(sentence::SentenceEncoder::open(folder, &architecture, settings)?))
}

/// Opens a folder of `config.json`, `tokenizer.json` and `model.safetensors` that holds a cross-encoder with one output
/// (bge-reranker and kin) or Qwen3-Reranker, or a GGUF file of Qwen3-Reranker.
///
/// # Errors
/// As [`open_embedder`].
pub fn open_reranker(path: &Path, settings: EmbedSettings) -> Result<Arc<dyn Reranker>, ModelError> {
    if path.is_file() {
        return Ok(Arc::new(causal::CausalReranker::open(path, settings)?));
    }
    let mut folder = folder::Folder::new(path);
    let architecture: config::Architecture = folder.required_json("config.json")?;
    if causal::is_decoder(&architecture) {
        return Ok(Arc::new(causal::CausalReranker::open(path, settings)?));
    }
    Ok(Arc::new(cross_encoder::CrossEncoder::open(folder, &architecture, settings)?))
}

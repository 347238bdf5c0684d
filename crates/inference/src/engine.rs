//! The text engine trait and the task it is given.

use async_trait::async_trait;
use madang_domain::{Citation, Passage, Plan};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Names the engine on every screen that shows its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCard {
    /// Stable name, stored with the run: `quoting`, later a model's name.
    pub name: String,
    /// Korean name for screens: "인용 엔진".
    pub label: String,
    /// Writes text of its own (a model) or only quotes.
    pub generates: bool,
}

/// One filled field of the app's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInput {
    pub key: String,
    pub label: String,
    pub value: String,
}

/// Everything an engine needs for one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineTask {
    pub title: String,
    pub purpose: String,
    /// The sheet's sentences in order.
    pub instructions: Vec<String>,
    pub plan: Plan,
    pub inputs: Vec<EngineInput>,
    /// Passages the reader may read, best first; empty when nothing was found or the app has no sources.
    pub passages: Vec<Passage>,
    /// The app has sources: an empty `passages` then means that nothing was found.
    pub has_sources: bool,
}

/// What streams out of an engine.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// More Markdown, whole UTF-8, with citations as `[n]`.
    Text(String),
    /// Source number `n`, sent before or right after its first mention.
    Citation(Citation),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Finish {
    /// `false`: the sources hold no answer, and the text says so.
    pub answered: bool,
    /// Sections, columns or fields that the sources could not fill.
    pub unfilled: Vec<String>,
}

/// Why an engine gave up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The reader is gone: the receiver was dropped.
    #[error("stopped")]
    Stopped,
    /// In Korean, for the reader.
    #[error("{0}")]
    Failed(String),
}

/// Answers a task as a stream. Implementations: the quoting engine, local models, internal model servers.
#[async_trait]
pub trait TextEngine: Send + Sync {
    fn card(&self) -> EngineCard;

    /// Streams the answer into `out` and returns how it ended.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] as soon as `out` is closed; [`EngineError::Failed`] otherwise.
    async fn answer(&self, task: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError>;
}

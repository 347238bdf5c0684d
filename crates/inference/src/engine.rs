//! The text engine trait and the task it is given.

use crate::chat::{Asker, ScopeKey};
use async_trait::async_trait;
use madang_domain::{Citation, Passage, Plan, TaskKind};
use madang_korean::normalise;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::mpsc;

/// Largest pasted text that an engine reads, in characters; what lies behind is left out, and the answer says so.
pub const MAX_PASTED: usize = 200_000;
/// A single input at least this long, or of several lines, is a pasted text rather than a question.
const PASTED: usize = 120;
/// Keys that the composer gives to the field for a pasted text.
const DOCUMENT_KEYS: [&str; 4] = ["document", "text", "content", "body"];

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
    /// Whose computed context a model may reuse.
    pub scope: ScopeKey,
    /// Who waits for the answer.
    pub asker: Asker,
}

impl EngineTask {
    /// Index of the input that holds a pasted text: by its key, else by its length where the task works on a text.
    pub fn pasted_input(&self) -> Option<usize> {
        let filled = |i: &usize| self.inputs.get(*i).is_some_and(|x| !x.value.trim().is_empty());
        let keyed = self.inputs.iter().position(|i| DOCUMENT_KEYS.contains(&i.key.as_str())).filter(filled);
        if keyed.is_some() {
            return keyed;
        }
        let works_on_text = matches!(
            self.plan.task,
            TaskKind::Summary | TaskKind::Extraction | TaskKind::Classification | TaskKind::RuleCheck
        );
        // An app without sources has nothing but what is typed in.
        let works_on_text = works_on_text || !self.has_sources;
        let any_length = !self.has_sources || matches!(self.plan.task, TaskKind::Classification | TaskKind::RuleCheck);
        let (at, longest) = self.inputs.iter().enumerate().max_by_key(|(_, i)| i.value.len())?;
        let n = longest.value.chars().count();
        let long = n >= PASTED || longest.value.trim().contains('\n');
        (works_on_text && n > 0 && (long || any_length) && !longest.value.trim().is_empty()).then_some(at)
    }

    /// The pasted text, at most [`MAX_PASTED`] characters, and whether it was longer.
    pub fn pasted(&self) -> Option<(String, bool)> {
        let value = &self.inputs.get(self.pasted_input()?)?.value;
        Some((value.chars().take(MAX_PASTED).collect(), value.chars().nth(MAX_PASTED).is_some()))
    }

    /// What the reader asks or names: the inputs beside the pasted text.
    pub fn query(&self) -> String {
        let document = self.pasted_input();
        let others = self.inputs.iter().enumerate().filter(|(i, _)| Some(*i) != document);
        others.map(|(_, input)| input.value.trim()).filter(|v| !v.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Indices of the passages that bear the words which the sheet demands, all where it demands none.
    pub fn demanded(&self) -> Vec<usize> {
        let words: Vec<String> = self.plan.must_mention.iter().map(|w| normalise(w)).collect();
        let bears = |p: &Passage| {
            words.is_empty() || {
                let whole = format!("{} {} {}", p.document_title, p.heading_path.join(" "), p.text);
                let whole = normalise(&whole);
                words.iter().all(|w| whole.contains(w.as_str()))
            }
        };
        self.passages.iter().enumerate().filter(|(_, p)| bears(p)).map(|(i, _)| i).collect()
    }
}

/// What a long piece of work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Parts of the material are read one after another.
    Reading,
    /// What was noted down of the parts is drawn together.
    Gathering,
    /// Parts of the answer are written one after another.
    Writing,
}

/// What streams out of an engine.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// More Markdown, whole UTF-8, with citations as `[n]`.
    Text(String),
    /// Source number `n`, sent before or right after its first mention.
    Citation(Citation),
    /// Parts of a long piece of work that are done, of all.
    Progress { stage: Stage, done: usize, total: usize },
    /// From here on another engine speaks than the one asked: for this task, or because that one cannot.
    Speaker(EngineCard),
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
    /// Too many wait: try again after this long (429). In Korean, for the reader.
    #[error("{message}")]
    Busy { message: String, retry_after: Duration },
    /// The engine cannot answer at all and has written nothing: another one may. In Korean, for the reader.
    #[error("{0}")]
    Unavailable(String),
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

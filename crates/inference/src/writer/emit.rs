//! Sends the pieces of an answer and numbers its citations in the order of their first mention.

use crate::engine::{EngineError, EngineEvent, EngineTask, Stage};
use madang_domain::{Citation, Span};
use std::ops::Range;
use tokio::sync::mpsc;

/// Ends an answer whose reply came to its bound.
pub(super) const CUT: &str =
    "\n_(⚠ 답이 길어 여기에서 잘렸습니다. 뒤에 빠진 것이 있을 수 있으니 글을 나누어 다시 해 주세요.)_\n\n";
const CUT_ENGLISH: &str = "\n_(⚠ The answer was cut here because it grew too long. Something may be missing: please try again in parts.)_\n\n";

/// Where the pieces of one answer go.
pub(super) struct Emitter<'a> {
    task: &'a EngineTask,
    out: &'a mpsc::Sender<EngineEvent>,
    /// Passage and characters cited so far; the number of each is its place.
    cited: Vec<(usize, Range<usize>)>,
    written: bool,
    /// Some of it was Korean.
    korean: bool,
    /// Goes out with the next words: until then another engine may still answer in this one's place.
    held: String,
}

impl<'a> Emitter<'a> {
    pub fn new(task: &'a EngineTask, out: &'a mpsc::Sender<EngineEvent>) -> Self {
        Self { task, out, cited: vec![], written: false, korean: false, held: String::new() }
    }

    /// Has the reader seen anything?
    pub fn written(&self) -> bool {
        self.written
    }

    /// Sends Markdown.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn text(&mut self, markdown: &str) -> Result<(), EngineError> {
        if markdown.is_empty() {
            return Ok(());
        }
        self.written = true;
        self.korean = self.korean || markdown.chars().any(|c| ('가'..='힣').contains(&c));
        let mut text = std::mem::take(&mut self.held);
        text.push_str(markdown);
        self.send(EngineEvent::Text(text)).await
    }

    /// Says in the answer's language that the reply ended at its bound, so that something may be missing.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn cut(&mut self) -> Result<(), EngineError> {
        self.text(if self.korean || !self.written { CUT } else { CUT_ENGLISH }).await
    }

    /// Markdown that goes out with the next words.
    pub fn hold(&mut self, markdown: &str) {
        self.held.push_str(markdown);
    }

    /// Tells how far a long piece of work is.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn progress(&self, stage: Stage, done: usize, total: usize) -> Result<(), EngineError> {
        self.send(EngineEvent::Progress { stage, done, total }).await
    }

    /// " [1][2]" for these places; sends the citations that are new.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn marks(&mut self, places: &[(usize, Range<usize>)]) -> Result<String, EngineError> {
        let mut numbers: Vec<usize> = Vec::new();
        for place in places {
            let number = match self.cited.iter().position(|c| c == place) {
                Some(at) => at + 1,
                None => {
                    let number = self.cited.len() + 1;
                    let Some(citation) = self.citation(place, number) else { continue };
                    self.cited.push(place.clone());
                    self.send(EngineEvent::Citation(citation)).await?;
                    number
                }
            };
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        let marks: String = numbers.iter().map(|n| format!("[{n}]")).collect();
        Ok(if marks.is_empty() { marks } else { format!(" {marks}") })
    }

    /// The stored span. Where the passage's text is not its span character for character, the whole span is cited, so
    /// that what is cited always can be opened.
    fn citation(&self, (index, chars): &(usize, Range<usize>), number: usize) -> Option<Citation> {
        let p = self.task.passages.get(*index)?;
        let exact = p.span.end.checked_sub(p.span.start) == Some(p.text.chars().count());
        let span =
            if exact { Span { start: p.span.start + chars.start, end: p.span.start + chars.end } } else { p.span };
        Some(Citation {
            number: u32::try_from(number).ok()?,
            passage: p.id,
            document: p.document,
            document_title: p.document_title.clone(),
            grade: p.grade,
            heading_path: p.heading_path.clone(),
            page: p.page,
            page_estimated: p.page_estimated,
            quote: p.text.chars().skip(chars.start).take(chars.len()).collect(),
            span,
        })
    }

    async fn send(&self, event: EngineEvent) -> Result<(), EngineError> {
        self.out.send(event).await.map_err(|_| EngineError::Stopped)
    }
}

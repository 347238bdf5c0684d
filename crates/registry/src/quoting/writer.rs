//! Streams an answer piece by piece and numbers its citations.

use super::units::{Origin, Unit};
use crate::phrases::escape_markdown;
use madang_domain::{Citation, Span};
use madang_inference::{EngineError, EngineEvent, EngineTask};
use tokio::sync::mpsc;

/// Where the pieces of one answer go.
pub(crate) struct Writer<'a> {
    task: &'a EngineTask,
    out: &'a mpsc::Sender<EngineEvent>,
    /// Spans cited so far; the number of each is its place.
    cited: Vec<(Origin, usize, usize)>,
}

impl<'a> Writer<'a> {
    pub fn new(task: &'a EngineTask, out: &'a mpsc::Sender<EngineEvent>) -> Self {
        Self { task, out, cited: vec![] }
    }

    /// Sends Markdown, then lets others run: a stop takes effect between sentences.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn line(&mut self, markdown: &str) -> Result<(), EngineError> {
        self.send(EngineEvent::Text(markdown.to_owned())).await?;
        tokio::task::yield_now().await;
        Ok(())
    }

    /// The unit as shown, escaped, with its mark: "…원이다. [1]". Sends the citation when it is new; words of the
    /// reader's own text bear no mark.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn quote(&mut self, unit: &Unit) -> Result<String, EngineError> {
        let mark = self.mark(unit).await?;
        Ok(format!("{}{mark}", escape_markdown(&unit.shown())))
    }

    /// " [n]" for a unit of a passage, empty for one of the input.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] once the receiver is gone.
    pub async fn mark(&mut self, unit: &Unit) -> Result<String, EngineError> {
        let Origin::Passage(index) = unit.origin else {
            return Ok(String::new());
        };
        let key = (unit.origin, unit.start, unit.end);
        if let Some(at) = self.cited.iter().position(|c| *c == key) {
            return Ok(format!(" [{}]", at + 1));
        }
        let number = u32::try_from(self.cited.len() + 1).unwrap_or(u32::MAX);
        let Some(citation) = citation(self.task, index, unit, number) else {
            return Ok(String::new());
        };
        self.cited.push(key);
        self.send(EngineEvent::Citation(citation)).await?;
        Ok(format!(" [{number}]"))
    }

    async fn send(&self, event: EngineEvent) -> Result<(), EngineError> {
        self.out.send(event).await.map_err(|_| EngineError::Stopped)
    }
}

/// The citation of a unit. Where the passage's text is not its stored span character for character, the whole stored
/// span is cited, so that what is cited always can be opened.
fn citation(task: &EngineTask, index: usize, unit: &Unit, number: u32) -> Option<Citation> {
    let p = task.passages.get(index)?;
    let exact = p.span.end.checked_sub(p.span.start) == Some(p.text.chars().count());
    let span = if exact { Span { start: p.span.start + unit.start, end: p.span.start + unit.end } } else { p.span };
    Some(Citation {
        number,
        passage: p.id,
        document: p.document,
        document_title: p.document_title.clone(),
        grade: p.grade,
        heading_path: p.heading_path.clone(),
        page: p.page,
        page_estimated: p.page_estimated,
        quote: unit.text.clone(),
        span,
    })
}

//! The composer: what an official types becomes a design sheet, with what was understood, what was guessed and at most
//! three questions, each answered by a button.
//!
//! By rules alone ([`compose`]), or by a model within the sheet's schema ([`compose_with`]). No I/O of its own. Rights are the caller's: the catalogue holds only collections the author may read.

mod fields;
mod intent;
mod kinds;
mod model;
mod prompt;
mod questions;
mod schedule;
mod schema;
mod sheet;
mod sources;

pub use model::compose_with;
pub use schema::{read_sheet, sheet_schema, sheet_schema_over};

use madang_domain::{CollectionId, DesignSheet, Grade, InputField, OutputForm, Schedule, Source, TaskKind};
use prompt::Prompt;
use serde::{Deserialize, Serialize};

/// Longest prompt read, in characters.
pub const MAX_PROMPT: usize = 4000;
/// Most questions asked back.
pub const MAX_QUESTIONS: usize = 3;

/// What the composer knows of a collection that the author may read.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionSummary {
    pub id: CollectionId,
    pub name: String,
    pub grade: Grade,
    pub documents: usize,
    /// Titles of some of its documents.
    pub sample_titles: Vec<String>,
    /// Content words of its passages with their weights, the heaviest about 1.
    pub keywords: Vec<(String, f32)>,
}

/// A sheet made from a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// Sound: [`DesignSheet::faults`] is empty.
    pub sheet: DesignSheet,
    /// Korean sentences: what the prompt said.
    pub understood: Vec<String>,
    /// Korean sentences: what was filled in without being said.
    pub guessed: Vec<String>,
    /// At most [`MAX_QUESTIONS`].
    pub questions: Vec<Question>,
    /// Korean name of what composed it, for the screen.
    pub engine: String,
}

/// Something the prompt left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub text: String,
    pub options: Vec<Choice>,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub label: String,
    pub patch: SheetPatch,
}

/// What a button does to the sheet as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SheetPatch {
    /// Composed anew as another kind of task.
    Sheet { sheet: Box<DesignSheet> },
    /// Other sources.
    Sources { sources: Vec<Source> },
    /// Another form of the answer; `sentence` replaces those that named one.
    Form { output: OutputForm, sentence: String },
    /// The sentence that begins with `opening` now reads `sentence`, and the output with it.
    Sentence { opening: String, sentence: String, output: Option<OutputForm> },
    /// Another time to run by itself.
    Schedule { schedule: Option<Schedule> },
    /// One more field in the form.
    Input { input: InputField },
}

impl SheetPatch {
    /// The sheet with the patch applied; a field whose key is taken and a sentence already there are not added twice.
    pub fn apply(&self, sheet: &DesignSheet) -> DesignSheet {
        let mut out = sheet.clone();
        match self {
            SheetPatch::Sheet { sheet } => return (**sheet).clone(),
            SheetPatch::Sources { sources } => out.sources = sources.clone(),
            SheetPatch::Form { output, sentence } => {
                out.sentences.retain(|s| !crate::plan::names_form(&s.text));
                sheet::push(&mut out.sentences, sentence.clone(), false);
                out.output = output.clone();
            }
            SheetPatch::Sentence { opening, sentence, output } => {
                match out.sentences.iter_mut().find(|s| s.text.starts_with(opening.as_str())) {
                    Some(found) => *found = madang_domain::Sentence { text: sentence.clone(), guessed: false },
                    None => sheet::push(&mut out.sentences, sentence.clone(), false),
                }
                if let Some(output) = output {
                    out.output = output.clone();
                }
            }
            SheetPatch::Schedule { schedule } => out.schedule = schedule.clone(),
            SheetPatch::Input { input } => {
                if !out.inputs.iter().any(|i| i.key == input.key) {
                    out.inputs.push(input.clone());
                }
            }
        }
        out
    }
}

/// Why nothing was composed, in Korean for the author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("무엇을 하는 앱인지 적어 주세요. 예: 조례에서 궁금한 것을 찾아 근거와 함께 답해 줘")]
    Empty,
    #[error("설명이 너무 깁니다. {MAX_PROMPT}자 안으로 줄여 주세요.")]
    TooLong,
}

/// Composes a sheet from what the author typed and the collections the author may read.
///
/// # Errors
/// [`ComposeError::Empty`] for a prompt without a letter or digit, [`ComposeError::TooLong`] past [`MAX_PROMPT`].
pub fn compose(prompt: &str, catalogue: &[CollectionSummary]) -> Result<Composition, ComposeError> {
    if !prompt.chars().any(char::is_alphanumeric) {
        return Err(ComposeError::Empty);
    }
    if prompt.chars().nth(MAX_PROMPT).is_some() {
        return Err(ComposeError::TooLong);
    }
    let prompt = Prompt::read(prompt);
    let intent = intent::recognise(&prompt);
    let mut notes = Notes::default();
    let brief = Brief::read(&prompt, intent.task, catalogue, &mut notes);
    let sheet = sheet::build(&brief, &mut notes);
    let questions = questions::ask(&prompt, &intent, &brief, &sheet, catalogue);
    Ok(Composition {
        sheet,
        understood: notes.understood,
        guessed: notes.guessed,
        questions,
        engine: "규칙 작성기".into(),
    })
}

/// What is told the author beside the sheet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub understood: Vec<String>,
    pub guessed: Vec<String>,
}

/// A value with whether the prompt said it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Read<T> {
    pub value: T,
    pub guessed: bool,
}

/// Everything read from the prompt that the sheet is built from.
#[derive(Debug, Clone)]
pub(crate) struct Brief {
    pub task: TaskKind,
    /// What it is about: at most three words.
    pub topic: String,
    /// Extraction fields, classes, sections or rules, by task.
    pub items: Read<Vec<String>>,
    /// Kind of document drafted: "보도자료".
    pub document: Option<&'static str>,
    pub form: Read<OutputForm>,
    pub limit: Read<String>,
    pub inputs: Vec<InputField>,
    pub sources: Vec<Source>,
    pub schedule: Option<schedule::Found>,
    /// Further sentences that the prompt asks for ("2026년 자료만 쓴다.").
    pub wishes: Vec<String>,
}

impl Brief {
    fn read(prompt: &Prompt, task: TaskKind, catalogue: &[CollectionSummary], notes: &mut Notes) -> Brief {
        notes.understood.push(format!("하는 일: {}", task.korean()));
        let schedule = schedule::find(&prompt.text);
        let document = kinds::document_kind(prompt);
        let items = kinds::items(prompt, task, document);
        let topic = prompt.topic(&items.value, document);
        let picked = sources::pick(prompt, catalogue);
        let inputs = fields::inputs(prompt, task, !picked.is_empty(), schedule.as_ref(), &items.value);
        let sources = sources::sources(prompt, task, picked, &inputs, notes);
        let form = kinds::form(prompt, task, &items.value);
        Brief {
            task,
            topic,
            document,
            form,
            limit: kinds::limit(prompt, task),
            inputs,
            sources,
            schedule,
            wishes: kinds::wishes(prompt),
            items,
        }
    }
}

#[cfg(test)]
mod tests;

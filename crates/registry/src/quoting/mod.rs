//! The quoting engine: answers with the best sentences of the best passages, word for word and cited, without a model.
//!
//! A task is cut into units ([`units`]), ranked against the question ([`rank`]) and written in the plan's form. What
//! does not live here: retrieval (the passages arrive best first) and rights (the reader may read them all).

mod answer;
mod draft;
mod label;
mod lexicon;
mod question;
mod rank;
mod summary;
mod table;
mod units;
mod writer;

pub use rank::ANSWER_THRESHOLD;

use crate::checks;
use async_trait::async_trait;
use madang_domain::{OutputForm, Passage, TaskKind};
use madang_inference::{EngineCard, EngineError, EngineEvent, EngineTask, Finish, TextEngine};
use std::collections::HashSet;
use tokio::sync::mpsc;
use units::Unit;
use writer::Writer;

/// Largest pasted text that is read, in characters; what lies behind is left out, and the answer says so.
pub const MAX_INPUT: usize = 200_000;
/// A single input at least this long, or of several lines, is a pasted text rather than a question.
const PASTED: usize = 120;
/// Keys that the composer gives to the field for a pasted text.
const DOCUMENT_KEYS: [&str; 4] = ["document", "text", "content", "body"];

/// Answers by quoting. Stateless and cheap: make one wherever one is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotingEngine;

#[async_trait]
impl TextEngine for QuotingEngine {
    fn card(&self) -> EngineCard {
        EngineCard { name: "quoting".into(), label: "인용 엔진".into(), generates: false }
    }

    async fn answer(&self, task: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        let material = Material::read(task);
        let mut writer = Writer::new(task, out);
        if material.cut {
            writer.line(&format!("붙여 넣은 글이 길어 앞의 {MAX_INPUT}자까지만 읽었습니다.\n\n")).await?;
        }
        write(task, &material, &mut writer).await
    }
}

/// How much of the question the best sentence of the passages and its surroundings cover, from 0 to 1; answers are
/// refused below [`ANSWER_THRESHOLD`].
pub fn coverage(question: &str, passages: &[Passage]) -> f32 {
    let units: Vec<Unit> = passages.iter().enumerate().flat_map(|(i, p)| units::of_passage(i, p)).collect();
    rank::rank(&question::Question::read(question), &units).coverage
}

async fn write(task: &EngineTask, material: &Material, writer: &mut Writer<'_>) -> Result<Finish, EngineError> {
    match task.plan.task {
        TaskKind::RuleCheck => return check(task, material, writer).await,
        TaskKind::Classification => return label::write(task, material, writer).await,
        TaskKind::TableAnalysis => {
            writer.line("표 분석은 표 기능과 함께 제공됩니다. 아래는 문서에서 찾은 관련 문장이며, 계산한 값이 아닙니다.\n\n").await?;
        }
        _ => {}
    }
    if let Some(reason) = material.nothing(task) {
        writer.line(&reason).await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    }
    match &task.plan.form {
        OutputForm::Draft { sections } => draft::write(task, sections, material, writer).await,
        OutputForm::Label { .. } => label::write(task, material, writer).await,
        OutputForm::Checklist => check(task, material, writer).await,
        OutputForm::Table { columns } => table::write_table(columns, task, material, writer).await,
        OutputForm::Answer | OutputForm::Bullets
            if task.plan.task == TaskKind::Extraction && !task.plan.fields.is_empty() =>
        {
            table::write_list(task, material, writer).await
        }
        OutputForm::Answer | OutputForm::Bullets if material.summarises(task) => {
            summary::write(task, material, writer).await
        }
        OutputForm::Answer | OutputForm::Bullets => answer::write(task, material, writer).await,
    }
}

/// Checks the pasted text against the plan's rules.
async fn check(task: &EngineTask, material: &Material, writer: &mut Writer<'_>) -> Result<Finish, EngineError> {
    let Some(text) = &material.pasted else {
        writer.line("점검할 글이 없습니다. 입력 칸에 점검할 글을 붙여 넣어 주세요.").await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    };
    if task.plan.rules.is_empty() {
        writer.line("점검할 기준이 없습니다. 설계서에 “날짜는 ‘2026. 11. 22.’ 형식으로 표기한다.”와 같은 문장을 더해 주세요.").await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    }
    let results = checks::run(text, &task.plan.rules);
    writer.line(&checks::markdown_summary(&results)).await?;
    for result in &results {
        writer.line(&checks::markdown_item(result)).await?;
    }
    let left = results.iter().filter(|r| r.outcome == checks::Outcome::AskPerson).map(|r| r.rule.clone()).collect();
    Ok(Finish { answered: true, unfilled: left })
}

/// What an answer is made from.
pub(crate) struct Material {
    /// The pasted text, at most [`MAX_INPUT`] characters.
    pub pasted: Option<String>,
    /// The pasted text was longer.
    pub cut: bool,
    /// What the reader asks or names: the other inputs.
    pub query: String,
    /// Units of the pasted text.
    pub input_units: Vec<Unit>,
    /// Units of the passages, best passage first, overlapping passages once.
    pub passage_units: Vec<Unit>,
    /// Passages were given, but none bears the words that the sheet demands.
    pub all_filtered: bool,
}

impl Material {
    pub fn read(task: &EngineTask) -> Material {
        let document = pasted_input(task);
        let pasted: Option<String> =
            document.map(|i| task.inputs.get(i).map_or("", |x| &x.value).chars().take(MAX_INPUT).collect());
        let cut = document.and_then(|i| task.inputs.get(i)).is_some_and(|x| x.value.chars().nth(MAX_INPUT).is_some());
        let query = task
            .inputs
            .iter()
            .enumerate()
            .filter(|(i, _)| Some(*i) != document)
            .map(|(_, input)| input.value.trim())
            .filter(|v| !v.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let passage_units = passage_units(task);
        Material {
            cut,
            query,
            input_units: pasted.as_deref().map(units::of_input).unwrap_or_default(),
            pasted,
            all_filtered: passage_units.is_empty() && !task.passages.is_empty() && !task.plan.must_mention.is_empty(),
            passage_units,
        }
    }

    /// What is asked, or what the app is for where nothing was asked.
    pub fn question(&self, task: &EngineTask) -> String {
        if self.query.is_empty() { format!("{} {}", task.title, task.purpose) } else { self.query.clone() }
    }

    /// A summary of the pasted text, or of the passages where nothing was asked.
    fn summarises(&self, task: &EngineTask) -> bool {
        task.plan.task == TaskKind::Summary && (!self.input_units.is_empty() || self.query.is_empty())
    }

    /// Why there is nothing to work on, with what to do; `None` where there is something.
    fn nothing(&self, task: &EngineTask) -> Option<String> {
        if !self.input_units.is_empty() || !self.passage_units.is_empty() {
            return None;
        }
        Some(if self.all_filtered {
            let words = task.plan.must_mention.join("’, ‘");
            format!(
                "설계서가 정한 말(‘{words}’)이 들어간 자료를 찾지 못했습니다. 그 문장을 고치거나 자료를 더해 주세요."
            )
        } else if task.has_sources {
            "자료에서 관련된 내용을 찾지 못했습니다. 다른 낱말로 묻거나, 이 앱이 보는 자료 모음에 문서를 더해 주세요."
                .into()
        } else {
            "이 앱에는 찾아볼 자료가 없습니다. 입력 칸에 글을 붙여 넣거나, 설계서에 자료를 더해 주세요.".into()
        })
    }
}

/// Index of the input that holds a pasted text: by its key, else by its length where the task works on a text.
fn pasted_input(task: &EngineTask) -> Option<usize> {
    let filled = |i: &usize| task.inputs.get(*i).is_some_and(|x| !x.value.trim().is_empty());
    let keyed = task.inputs.iter().position(|i| DOCUMENT_KEYS.contains(&i.key.as_str())).filter(filled);
    if keyed.is_some() {
        return keyed;
    }
    let works_on_text = matches!(
        task.plan.task,
        TaskKind::Summary | TaskKind::Extraction | TaskKind::Classification | TaskKind::RuleCheck
    );
    // An app without sources has nothing but what is typed in.
    let works_on_text = works_on_text || !task.has_sources;
    let any_length = !task.has_sources || matches!(task.plan.task, TaskKind::Classification | TaskKind::RuleCheck);
    let (at, longest) = task.inputs.iter().enumerate().max_by_key(|(_, i)| i.value.len())?;
    let n = longest.value.chars().count();
    let long = n >= PASTED || longest.value.trim().contains('\n');
    (works_on_text && n > 0 && (long || any_length) && !longest.value.trim().is_empty()).then_some(at)
}

fn passage_units(task: &EngineTask) -> Vec<Unit> {
    let bears = |text: &str, word: &str| madang_korean::normalise(text).contains(&madang_korean::normalise(word));
    // Neighbouring passages of a document overlap: the same stored characters are quoted once.
    let mut seen = HashSet::new();
    task.passages
        .iter()
        .enumerate()
        .filter(|(_, p)| {
            let whole = || format!("{} {} {}", p.document_title, p.heading_path.join(" "), p.text);
            task.plan.must_mention.iter().all(|w| bears(&whole(), w))
        })
        .flat_map(|(i, p)| units::of_passage(i, p).into_iter().map(move |u| (p.document, p.span.start + u.start, u)))
        .filter_map(|(document, start, u)| seen.insert((document, start, u.text.clone())).then_some(u))
        .collect()
}

#[cfg(test)]
mod tests;

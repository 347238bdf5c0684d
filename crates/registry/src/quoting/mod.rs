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

use crate::checks::{self, Detector};
use async_trait::async_trait;
use madang_domain::{OutputForm, TaskKind};
use madang_inference::{EngineCard, EngineError, EngineEvent, EngineTask, Finish, MAX_PASTED, TextEngine};
use madang_pii::Rules;
use std::collections::HashSet;
use tokio::sync::mpsc;
use units::Unit;
use writer::Writer;

/// Answers by quoting. Cheap: make one wherever one is needed. The default knows no dictionary of the body's own.
#[derive(Debug, Clone, Default)]
pub struct QuotingEngine {
    detector: Detector,
}

impl QuotingEngine {
    /// Checks texts with the words of `detector`, as they are when it is asked.
    pub fn with_detector(detector: Detector) -> Self {
        Self { detector }
    }
}

#[async_trait]
impl TextEngine for QuotingEngine {
    fn card(&self) -> EngineCard {
        EngineCard { name: "quoting".into(), label: "인용 엔진".into(), generates: false }
    }

    async fn answer(&self, task: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        let material = Material::read(task);
        let mut writer = Writer::new(task, out);
        if material.cut {
            writer.line(&format!("붙여 넣은 글이 길어 앞의 {MAX_PASTED}자까지만 읽었습니다.\n\n")).await?;
        }
        write(task, &material, &self.detector.rules(), &mut writer).await
    }
}

async fn write(
    task: &EngineTask,
    material: &Material,
    dictionary: &Rules,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    match task.plan.task {
        TaskKind::RuleCheck => return check(task, material, dictionary, writer).await,
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
        OutputForm::Checklist => check(task, material, dictionary, writer).await,
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
async fn check(
    task: &EngineTask,
    material: &Material,
    dictionary: &Rules,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let Some(text) = &material.pasted else {
        writer.line("점검할 글이 없습니다. 입력 칸에 점검할 글을 붙여 넣어 주세요.").await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    };
    if task.plan.rules.is_empty() {
        writer.line("점검할 기준이 없습니다. 설계서에 “날짜는 ‘2026. 11. 22.’ 형식으로 표기한다.”와 같은 문장을 더해 주세요.").await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    }
    let results = checks::run(text, &task.plan.rules, dictionary);
    writer.line(&checks::markdown_summary(&results)).await?;
    for result in &results {
        writer.line(&checks::markdown_item(result)).await?;
    }
    let left = results.iter().filter(|r| r.outcome == checks::Outcome::AskPerson).map(|r| r.rule.clone()).collect();
    Ok(Finish { answered: true, unfilled: left })
}

/// What an answer is made from.
pub(crate) struct Material {
    /// The pasted text, at most [`MAX_PASTED`] characters.
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
        let pasted = task.pasted();
        let cut = pasted.as_ref().is_some_and(|(_, longer)| *longer);
        let pasted = pasted.map(|(text, _)| text);
        let passage_units = passage_units(task);
        Material {
            cut,
            query: task.query(),
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

fn passage_units(task: &EngineTask) -> Vec<Unit> {
    // Neighbouring passages of a document overlap: the same stored characters are quoted once.
    let mut seen = HashSet::new();
    task.demanded()
        .into_iter()
        .filter_map(|i| Some((i, task.passages.get(i)?)))
        .flat_map(|(i, p)| units::of_passage(i, p).into_iter().map(move |u| (p.document, p.span.start + u.start, u)))
        .filter_map(|(document, start, u)| seen.insert((document, start, u.text.clone())).then_some(u))
        .collect()
}

#[cfg(test)]
mod tests;

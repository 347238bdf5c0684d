//! Answer and bullets: the best sentences for the question, or a plain word that there are none.

use super::Material;
use super::question::Question;
use super::rank::{ANSWER_THRESHOLD, Ranking, choose, rank};
use super::units::Unit;
use super::writer::Writer;
use madang_domain::OutputForm;
use madang_inference::{EngineError, EngineTask, Finish, shape};
use std::collections::HashSet;

pattern!(ANNOUNCES, r"다음\s*각\s*(?:호|목)|다음\s*(?:과|각|의|사항|서류|항목)|아래(?:와| )");
pattern!(ITEM, r"^(?:[0-9]{1,2}[.)]|\([0-9]{1,2}\)|[가-하][.)]|[①-⑳㉮-㉻]|[-*•·○ㅇ])\s*\S");

/// Items of an announced list that are quoted.
const MOST_LISTED: usize = 12;

/// Writes up to `plan.max_items` sentences, best first, each with its source.
pub(super) async fn write(
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let units = if material.passage_units.is_empty() { &material.input_units } else { &material.passage_units };
    let asked = material.question(task);
    let ranking = rank(&Question::read(&asked), units);
    if ranking.confidence < ANSWER_THRESHOLD || ranking.best.is_empty() {
        no_answer(task, &ranking, units, writer).await?;
        return Ok(Finish { answered: false, unfilled: vec![] });
    }
    let bullets = task.plan.form == OutputForm::Bullets;
    let mut told: HashSet<usize> = HashSet::new();
    for index in choose(&ranking, units, task.plan.max_items.max(1)) {
        let Some(unit) = units.get(index).filter(|_| told.insert(index)) else {
            continue;
        };
        let quoted = writer.quote(unit).await?;
        let items = listed_after(index, units);
        let piece = match (bullets, items.is_empty()) {
            (true, _) => format!("- {quoted}\n"),
            (false, true) => format!("{quoted}\n\n"),
            (false, false) => format!("\n{quoted}\n\n"),
        };
        writer.line(&piece).await?;
        let indent = if bullets { "  " } else { "" };
        for item in items {
            told.insert(item);
            if let Some(unit) = units.get(item) {
                let quoted = writer.quote(unit).await?;
                writer.line(&format!("{indent}- {quoted}\n")).await?;
            }
        }
        if told.len() > 1 && !bullets {
            writer.line("\n").await?;
        }
    }
    Ok(Finish { answered: true, unfilled: vec![] })
}

/// The list items that a sentence such as "다음 각 호의 …" announces: what it says stands in them.
fn listed_after(index: usize, units: &[Unit]) -> Vec<usize> {
    let Some(unit) = units.get(index).filter(|u| ANNOUNCES.is_match(&u.text)) else {
        return vec![];
    };
    (index + 1..units.len())
        .take(MOST_LISTED)
        .take_while(|i| units.get(*i).is_some_and(|u| u.origin == unit.origin && ITEM.is_match(u.text.trim_start())))
        .collect()
}

/// Says what was not found, what comes nearest and what to do.
pub(super) async fn no_answer(
    task: &EngineTask,
    ranking: &Ranking,
    units: &[Unit],
    writer: &mut Writer<'_>,
) -> Result<(), EngineError> {
    let nearest = ranking.best.first().and_then(|r| units.get(r.unit)).and_then(|u| match u.origin {
        super::units::Origin::Passage(i) => task.passages.get(i),
        super::units::Origin::Input => None,
    });
    writer.line(&shape::no_answer(&ranking.missing, nearest.map(|p| p.document_title.as_str()))).await
}

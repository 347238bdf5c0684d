//! Classification: the class whose words the text bears, with the sentence that shows it.

use super::Material;
use super::lexicon::topic_words;
use super::units::Unit;
use super::writer::Writer;
use crate::phrases::{escape_markdown, list_items, unspaced};
use madang_domain::OutputForm;
use madang_inference::{EngineError, EngineTask, Finish, shape};
use madang_korean::{content_words, normalise};

/// Weight of a hit of the class's own name, of a word that the sheet gives it, and of a word of the built-in topics.
const NAME: f32 = 3.0;
const TOLD: f32 = 2.0;
const TOPIC: f32 = 1.0;

/// A class with the words that point to it.
struct Class {
    name: String,
    words: Vec<(String, f32)>,
}

/// Writes the class, the runner-up where it is close, and the sentence that decided.
pub(super) async fn write(
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let names = match &task.plan.form {
        OutputForm::Label { classes } if !classes.is_empty() => classes,
        _ => &task.plan.classes,
    };
    let unanswered = Finish { answered: false, unfilled: vec![] };
    if names.len() < 2 {
        writer
            .line("분류할 갈래가 정해지지 않았습니다. 설계서에 “교통, 환경, 복지로 분류한다.”와 같이 적어 주세요.")
            .await?;
        return Ok(unanswered);
    }
    if material.input_units.is_empty() {
        writer.line("분류할 글이 없습니다. 입력 칸에 글을 붙여 넣어 주세요.").await?;
        return Ok(unanswered);
    }
    let classes: Vec<Class> = names.iter().map(|n| class(n, &task.instructions)).collect();
    let mut scored: Vec<(&Class, f32, Option<&Unit>)> =
        classes.iter().map(|c| score(c, &material.input_units)).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    let other = names.iter().find(|n| n.starts_with("기타") || n.starts_with("그 밖"));
    match scored.first() {
        Some((best, value, unit)) if *value > 0.0 => {
            let second = scored.get(1).filter(|s| s.1 > 0.0 && s.1 >= 0.7 * value);
            verdict(best, *unit, second.map(|s| s.0), writer).await?;
            Ok(Finish { answered: true, unfilled: vec![] })
        }
        _ => match other {
            Some(other) => {
                writer.line(&shape::class(other)).await?;
                writer.line("다른 갈래를 가리키는 말이 글에 없습니다. 사람이 확인해 주세요.\n").await?;
                Ok(Finish { answered: true, unfilled: vec![] })
            }
            None => {
                let all = names.join(", ");
                writer
                    .line(&format!(
                        "어느 갈래인지 가리키는 말을 글에서 찾지 못했습니다({}).\n\n",
                        escape_markdown(&all)
                    ))
                    .await?;
                writer
                    .line("설계서에 “교통: 버스, 주차, 도로”처럼 갈래마다 쓰이는 말을 적으면 더 잘 나눕니다.\n")
                    .await?;
                Ok(unanswered)
            }
        },
    }
}

async fn verdict(
    best: &Class,
    unit: Option<&Unit>,
    second: Option<&Class>,
    writer: &mut Writer<'_>,
) -> Result<(), EngineError> {
    writer.line(&shape::class(&best.name)).await?;
    if let Some(unit) = unit {
        let hits: Vec<String> =
            hits(best, unit).into_iter().take(5).map(|(w, _)| format!("‘{}’", escape_markdown(w))).collect();
        writer.line(&format!("- 까닭: “{}” ({})\n", escape_markdown(&unit.shown()), hits.join(", "))).await?;
    }
    if let Some(second) = second {
        writer.line(&shape::second_class(&second.name)).await?;
    }
    Ok(())
}

/// The class's name, the words that a sheet's sentence lists behind it ("교통: 버스, 주차"), and the built-in topics.
fn class(name: &str, instructions: &[String]) -> Class {
    let mut words: Vec<(String, f32)> = vec![(unspaced(&normalise(name)), NAME)];
    let parts = content_words(name).into_iter().filter(|w| w.chars().count() >= 2);
    words.extend(parts.map(|w| (w, NAME)));
    for sentence in instructions {
        let told = sentence.split(['.', ';', '\n']).filter_map(|part| part.split_once([':', '：']));
        for (_, list) in told.filter(|(label, _)| label.trim().trim_matches(['‘', '’', '\'', '-', ' ']) == name) {
            words.extend(list_items(list).into_iter().map(|w| (unspaced(&normalise(&w)), TOLD)));
        }
    }
    words.extend(topic_words(name).iter().map(|w| ((*w).to_owned(), TOPIC)));
    let mut seen = std::collections::HashSet::new();
    words.retain(|(w, _)| !w.is_empty() && seen.insert(w.clone()));
    Class { name: name.to_owned(), words }
}

/// Sum over the units, and the unit that tells most.
fn score<'a>(class: &'a Class, units: &'a [Unit]) -> (&'a Class, f32, Option<&'a Unit>) {
    let mut total = 0.0;
    let mut best: Option<(f32, &Unit)> = None;
    for unit in units {
        let value: f32 = hits(class, unit).iter().map(|(_, w)| w).sum();
        total += value;
        if value > 0.0 && best.is_none_or(|(b, _)| value > b) {
            best = Some((value, unit));
        }
    }
    (class, total, best.map(|(_, u)| u))
}

fn hits<'a>(class: &'a Class, unit: &Unit) -> Vec<(&'a str, f32)> {
    class
        .words
        .iter()
        // One syllable ("세", "물") is a word only by itself.
        .filter(|(w, _)| unit.words.contains(w) || (w.chars().count() >= 2 && unit.flat.contains(w.as_str())))
        .map(|(w, weight)| (w.as_str(), *weight))
        .collect()
}

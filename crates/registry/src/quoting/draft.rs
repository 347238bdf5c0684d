//! Document draft: each section filled with quoted sentences, or named as unfilled.

use super::Material;
use super::lexicon::section_words;
use super::question::{Question, alike, match_above, match_word};
use super::rank::rank;
use super::units::{Origin, Unit};
use super::writer::Writer;
use crate::phrases::escape_markdown;
use madang_domain::DocumentId;
use madang_inference::{EngineError, EngineTask, Finish, shape};
use madang_korean::content_words;
use std::collections::{HashMap, HashSet};

/// A unit must fit the section at least so well: a matching label or heading does alone.
const FITS: f32 = 0.55;
/// From here on a heading or label names the section.
const NAMED: f32 = 0.9;
/// Of a section's fit, the part that the subject of the draft makes up.
const SUBJECT: f32 = 0.8;

/// Writes all sections in order and lists those that the sources could not fill.
pub(super) async fn write(
    task: &EngineTask,
    sections: &[String],
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let units: Vec<&Unit> = material.input_units.iter().chain(&material.passage_units).filter(|u| !u.heading).collect();
    let relevance = relevance(material, task);
    let each = shape::items_of_section(task.plan.max_items, sections.len());
    let mut used: HashSet<usize> = HashSet::new();
    let mut unfilled = Vec::new();
    let mut filled = 0;
    for section in sections {
        writer.line(&shape::section(section)).await?;
        let chosen = if shape::is_title_section(section) && !material.query.is_empty() {
            writer.line(&format!("{}\n\n", escape_markdown(&one_line(&material.query)))).await?;
            filled += 1;
            continue;
        } else {
            fitting(section, &units, &relevance, &used, each)
        };
        if chosen.is_empty() {
            writer.line(shape::UNFILLED_SECTION).await?;
            unfilled.push(section.clone());
            continue;
        }
        filled += 1;
        for index in chosen {
            used.insert(index);
            if let Some(unit) = units.get(index) {
                let quoted = writer.quote(unit).await?;
                writer.line(&format!("- {quoted}\n")).await?;
            }
        }
        writer.line("\n").await?;
    }
    if !unfilled.is_empty() {
        writer.line(&shape::unfilled_sections(&unfilled)).await?;
    }
    Ok(Finish { answered: filled > 0, unfilled })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How well a unit, and its document as a whole, fits the subject of the draft: 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
struct About {
    unit: f32,
    document: f32,
}

/// Fitness of each unit, by its place; all alike for units of the pasted text, which is the subject.
fn relevance(material: &Material, task: &EngineTask) -> Vec<About> {
    let units: Vec<Unit> = material.passage_units.iter().filter(|u| !u.heading).cloned().collect();
    let inputs = material.input_units.iter().filter(|u| !u.heading).count();
    let mut out = vec![About { unit: 1.0, document: 1.0 }; inputs];
    let ranking = rank(&subject(material, task), &units);
    let top = ranking.best.first().map_or(1.0, |r| r.score).max(f32::EPSILON);
    let mut scores = vec![0.0f32; units.len()];
    for ranked in &ranking.best {
        if let Some(slot) = scores.get_mut(ranked.unit) {
            *slot = (ranked.score / top).min(1.0);
        }
    }
    let document = |unit: &Unit| match unit.origin {
        Origin::Passage(i) => task.passages.get(i).map(|p| p.document),
        Origin::Input => None,
    };
    let mut documents: HashMap<Option<DocumentId>, f32> = HashMap::new();
    for (unit, score) in units.iter().zip(&scores) {
        let best = documents.entry(document(unit)).or_default();
        *best = best.max(*score);
    }
    out.extend(units.iter().zip(scores).map(|(unit, score)| About {
        unit: score,
        document: documents.get(&document(unit)).copied().unwrap_or_default(),
    }));
    out
}

/// What the draft is about: a date or a single word says too little without the app's title.
fn subject(material: &Material, task: &EngineTask) -> Question {
    let asked = material.question(task);
    if content_words(&asked).len() < 2 {
        Question::read(&format!("{asked} {}", task.title))
    } else {
        Question::read(&asked)
    }
}

/// Up to `count` units that belong under `section`, in the order of the material.
fn fitting(section: &str, units: &[&Unit], relevance: &[About], used: &HashSet<usize>, count: usize) -> Vec<usize> {
    let words = section_words(section);
    let own = Question::read(section);
    let mut scored: Vec<(usize, f32)> = units
        .iter()
        .enumerate()
        .filter(|(i, _)| !used.contains(i))
        .map(|(i, unit)| {
            let about = relevance.get(i).copied().unwrap_or(About { unit: 0.0, document: 0.0 });
            (i, fit(section, &own, &words, unit), about)
        })
        .filter(|(_, fit, about)| {
            // What stands under the section's own heading need not name the subject again.
            *fit >= FITS && (about.unit > 0.15 || (*fit >= NAMED && about.document > 0.5))
        })
        .map(|(i, fit, about)| (i, fit + SUBJECT * about.unit))
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut chosen: Vec<usize> = Vec::new();
    for (i, _) in scored {
        let repeat = chosen.iter().any(|c| match (units.get(*c), units.get(i)) {
            (Some(a), Some(b)) => super::rank::overlap(a, b) > 0.8,
            _ => false,
        });
        if !repeat {
            chosen.push(i);
        }
        if chosen.len() == count {
            break;
        }
    }
    chosen.sort_unstable();
    chosen
}

/// 0 to about 1.5: the heading or label above says so, or the words of such sections stand in the unit.
fn fit(section: &str, own: &Question, words: &[&str], unit: &Unit) -> f32 {
    let label = unit.labelled().map_or(0.0, |(label, _)| alike(section, label));
    // The document's own title stands first and names no section.
    let titles = usize::from(matches!(unit.origin, Origin::Passage(_)));
    let heading = unit.above.iter().skip(titles).map(|h| alike(section, h)).fold(0.0, f32::max);
    let named = own.words.iter().map(|w| match_word(w, unit).max(0.8 * match_above(w, unit))).sum::<f32>()
        / own.words.len().max(1) as f32;
    let typical = words.iter().filter(|w| unit.flat.contains(**w)).count() as f32;
    let by_words = (0.3 * typical).min(0.6) + 0.4 * named;
    label.max(heading) + if label.max(heading) >= 0.7 { 0.2 * by_words } else { by_words }
}

#[cfg(test)]
mod tests {
    use super::super::units::of_input;
    use super::*;

    #[test]
    fn headings_and_typical_words_place_sentences() {
        let all = of_input(
            "□ 추진배경\n- 장비가 낡아 통화가 끊긴다.\n□ 예산\n- 21백만 원(시비)\n- 만족도가 향상될 것으로 기대된다.",
        );
        let units: Vec<&Unit> = all.iter().filter(|u| !u.heading).collect();
        let relevance = vec![About { unit: 1.0, document: 1.0 }; units.len()];
        let texts = |section: &str| {
            fitting(section, &units, &relevance, &HashSet::new(), 1)
                .iter()
                .map(|i| units[*i].shown())
                .collect::<String>()
        };
        assert_eq!(texts("추진배경"), "장비가 낡아 통화가 끊긴다.");
        assert_eq!(texts("소요예산"), "21백만 원(시비)");
        assert_eq!(texts("기대효과"), "만족도가 향상될 것으로 기대된다.");
        assert_eq!(texts("참석자"), "");
    }
}

//! Which collections fit: content words shared with the prompt, rare ones counting more.

use super::fields::brings_text;
use super::prompt::Prompt;
use super::{CollectionSummary, Notes};
use crate::phrases::{unspaced, with_particle};
use madang_domain::{InputField, Source, TaskKind};
use madang_korean::{content_words, normalise};

/// Weight of a shared word by where the collection bears it.
const IN_NAME: f32 = 3.0;
const IN_TITLE: f32 = 1.5;
const IN_TEXT: f32 = 0.7;
/// Least score, and least share of the best one's.
const LEAST: f32 = 0.9;
const SHARE: f32 = 0.6;
const MOST: usize = 3;

/// A collection that fits, with the words that say why.
#[derive(Debug, Clone)]
pub(super) struct Picked<'a> {
    pub collection: &'a CollectionSummary,
    pub score: f32,
    pub words: Vec<String>,
    /// The prompt names the collection itself.
    pub named: bool,
}

/// Collections that fit the prompt, best first, at most three.
pub(super) fn pick<'a>(prompt: &Prompt, catalogue: &'a [CollectionSummary]) -> Vec<Picked<'a>> {
    let mut all = scored(prompt, catalogue);
    let Some(best) = all.first().map(|p| p.score) else {
        return vec![];
    };
    let any_named = all.iter().any(|p| p.named);
    all.retain(|p| if any_named { p.named } else { p.score >= LEAST && p.score >= SHARE * best });
    all.truncate(MOST);
    all
}

/// All collections with their score, best first.
pub(super) fn scored<'a>(prompt: &Prompt, catalogue: &'a [CollectionSummary]) -> Vec<Picked<'a>> {
    let words = prompt.subject_words(&[], None);
    let hits: Vec<Vec<f32>> = catalogue.iter().map(|c| words.iter().map(|w| weight(w, c)).collect()).collect();
    let n = catalogue.len() as f32;
    let rarity: Vec<f32> = (0..words.len())
        .map(|k| {
            let df = hits.iter().filter(|h| h.get(k).is_some_and(|x| *x > 0.0)).count() as f32;
            (1.0 + n / df.max(1.0)).ln()
        })
        .collect();
    let mut out: Vec<Picked<'a>> = catalogue
        .iter()
        .zip(&hits)
        .map(|(collection, row)| {
            let score = row.iter().zip(&rarity).map(|(h, r)| h * r).sum();
            let shared = words.iter().zip(row).filter(|(_, h)| **h > 0.0).map(|(w, _)| w.clone()).collect();
            let name = unspaced(&normalise(&collection.name));
            let named = name.chars().count() >= 3 && prompt.flat.contains(&name);
            Picked { collection, score, words: shared, named }
        })
        .collect();
    out.sort_by(|a, b| {
        b.named.cmp(&a.named).then(b.score.total_cmp(&a.score)).then(a.collection.name.cmp(&b.collection.name))
    });
    out
}

/// Where the collection bears the word.
fn weight(word: &str, c: &CollectionSummary) -> f32 {
    let bears = |text: &str| {
        let flat = unspaced(&normalise(text));
        flat.contains(word) || content_words(text).iter().any(|w| w.chars().count() >= 2 && word.contains(w.as_str()))
    };
    if bears(&c.name) {
        IN_NAME
    } else if c.sample_titles.iter().any(|t| bears(t)) {
        IN_TITLE
    } else {
        c.keywords.iter().find(|(k, _)| k == word).map_or(0.0, |(_, w)| IN_TEXT * w.clamp(0.2, 1.0))
    }
}

/// Sources of the sheet, with a word on why.
pub(super) fn sources(
    prompt: &Prompt,
    task: TaskKind,
    picked: Vec<Picked<'_>>,
    inputs: &[InputField],
    notes: &mut Notes,
) -> Vec<Source> {
    let on_text = inputs.iter().any(|i| i.key == "document" && i.required)
        || matches!(task, TaskKind::Classification | TaskKind::RuleCheck)
        || (brings_text(prompt) && matches!(task, TaskKind::Summary | TaskKind::Extraction));
    if on_text {
        notes.understood.push("이용자가 넣은 글을 읽고, 자료 모음은 찾지 않습니다.".into());
        return vec![];
    }
    if picked.is_empty() {
        notes.guessed.push("꼭 맞는 자료 모음을 찾지 못해, 이용자가 읽을 수 있는 모든 자료에서 찾습니다.".into());
        return vec![Source::Readable];
    }
    for p in &picked {
        let name = &p.collection.name;
        if p.named {
            notes.understood.push(format!("자료 모음 ‘{name}’에서 찾습니다."));
        } else {
            let words: Vec<String> = p.words.iter().take(3).map(|w| format!("‘{w}’")).collect();
            let why = with_particle(&words.join(", "), "이", "가");
            notes
                .guessed
                .push(format!("{why} 들어 있어 자료 모음 ‘{name}’에서 찾습니다({}개 문서).", p.collection.documents));
        }
    }
    let source =
        |p: &Picked<'_>| Source::Collection { id: p.collection.id, name: p.collection.name.clone(), guessed: !p.named };
    picked.iter().map(source).collect()
}

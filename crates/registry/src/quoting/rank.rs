//! Ranks units for a question and decides whether they hold an answer.
//!
//! Weights follow the rarity of each word among the units given (Robertson–Spärck Jones idf); the choice among the best
//! follows maximal marginal relevance (Carbonell and Goldstein, 1998).

use super::question::{Question, match_above, match_word};
use super::units::{Origin, Unit};
use std::collections::HashMap;

/// Share of the question's weight that the best unit and its surroundings must cover. Measured with
/// `examples/measure_quoting.rs` on 425 questions of an encyclopaedic set: at 0.40 the answer lies inside three quotes
/// for 87.5 % and 8.2 % are wrongly refused, while 99.8 % of questions put to unrelated paragraphs and 85.9 % of those
/// put to the five nearest wrong ones are refused; 0.35 gives 90.8, 4.7, 99.5 and 77.6.
pub const ANSWER_THRESHOLD: f32 = 0.4;
/// A further sentence must reach this share of the best one's score.
const KEEP: f32 = 0.5;
/// Relevance against novelty in the choice.
const LAMBDA: f32 = 0.75;
/// Weight of a match in the headings, and in the sentence before.
const ABOVE: f32 = 0.6;
const BEFORE: f32 = 0.35;
/// Share of the score that a unit keeps when its passage bears none of the question's words.
const PASSAGE_FLOOR: f32 = 0.4;
/// A further sentence from another passage must itself cover this share of the question.
const OWN_WORDS: f32 = 0.4;
/// Added when a unit holds the kind of thing asked for.
const KIND_BONUS: f32 = 0.18;

/// A unit with its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked {
    /// Index among the units ranked.
    pub unit: usize,
    pub score: f32,
    /// Share of the question's weight in the unit's own words.
    pub own: f32,
}

/// The units best first, with how much of the question they cover.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    pub best: Vec<Ranked>,
    /// 0 to 1: share of the question's weight found in the best unit and its surroundings.
    pub coverage: f32,
    /// Words of the question that no unit bears.
    pub missing: Vec<String>,
}

/// Ranks `units` for `question`. Headings and units that match nothing are left out.
pub(crate) fn rank(question: &Question, units: &[Unit]) -> Ranking {
    let matches: Vec<Vec<f32>> =
        units.iter().map(|u| question.words.iter().map(|w| match_word(w, u)).collect()).collect();
    let weights = weights(question, units, &matches);
    let total: f32 = weights.iter().sum();
    if total <= 0.0 {
        return Ranking { best: vec![], coverage: 0.0, missing: question.words.clone() };
    }
    let passages = passage_coverage(question, units, &matches, &weights);
    let mut best = Vec::new();
    let mut coverage = 0.0f32;
    for (i, unit) in units.iter().enumerate() {
        let own = matches.get(i).map_or(&[][..], Vec::as_slice);
        let before = i.checked_sub(1).filter(|p| units.get(*p).is_some_and(|u| u.origin == unit.origin));
        let before = before.and_then(|p| matches.get(p)).map_or(&[][..], Vec::as_slice);
        let after = units.get(i + 1).filter(|u| u.origin == unit.origin).and_then(|_| matches.get(i + 1));
        let after = after.map_or(&[][..], Vec::as_slice);
        let (mut score, mut near, mut mine) = (0.0, 0.0, 0.0);
        for (k, word) in question.words.iter().enumerate() {
            let of = |m: &[f32]| m.get(k).copied().unwrap_or(0.0);
            let above = match_above(word, unit);
            let w = weights.get(k).copied().unwrap_or(0.0);
            score += w * of(own).max(ABOVE * above).max(BEFORE * of(before));
            mine += w * of(own);
            near += w * of(own).max(above).max(0.8 * of(before)).max(0.8 * of(after));
        }
        let around = passages.get(&unit.origin).copied().unwrap_or(0.0);
        let score = score / total * (PASSAGE_FLOOR + (1.0 - PASSAGE_FLOOR) * around);
        if unit.heading || score < 0.05 {
            continue;
        }
        coverage = coverage.max(near / total);
        best.push(Ranked { unit: i, score: adjust(score, question, unit), own: mine / total });
    }
    best.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.unit.cmp(&b.unit)));
    let missing = question
        .words
        .iter()
        .enumerate()
        .filter(|(k, w)| {
            !units.iter().any(|u| match_above(w, u) > 0.0)
                && !matches.iter().any(|m| m.get(*k).is_some_and(|x| *x >= 0.5))
        })
        .map(|(_, w)| w.clone())
        .collect();
    Ranking { best, coverage: coverage.min(1.0), missing }
}

/// Share of the question's weight that each passage bears anywhere in its text or headings: a sentence that fits from a
/// passage about something else is not the answer.
fn passage_coverage(
    question: &Question,
    units: &[Unit],
    matches: &[Vec<f32>],
    weights: &[f32],
) -> HashMap<Origin, f32> {
    let mut found: HashMap<Origin, Vec<f32>> = HashMap::new();
    for (unit, own) in units.iter().zip(matches) {
        let words = found.entry(unit.origin).or_insert_with(|| vec![0.0; question.words.len()]);
        for ((held, word), own) in words.iter_mut().zip(&question.words).zip(own) {
            *held = held.max(*own).max(match_above(word, unit));
        }
    }
    let total: f32 = weights.iter().sum();
    found
        .into_iter()
        .map(|(origin, words)| (origin, words.iter().zip(weights).map(|(m, w)| m * w).sum::<f32>() / total))
        .collect()
}

/// Rarity of each word among the units; longer words tell more than short ones.
fn weights(question: &Question, units: &[Unit], matches: &[Vec<f32>]) -> Vec<f32> {
    let n = units.len() as f32;
    question
        .words
        .iter()
        .enumerate()
        .map(|(k, word)| {
            let df = matches.iter().filter(|m| m.get(k).is_some_and(|x| *x >= 0.5)).count() as f32;
            // A word in no unit weighs as one in a single unit: it may only be inflected or worded otherwise.
            let df = df.max(1.0);
            let idf = (1.0 + (n - df + 0.5).max(0.0) / (df + 0.5)).ln().max(0.15);
            let length = (word.chars().count() as f32 / 3.0).clamp(0.7, 1.5);
            idf * length
        })
        .collect()
}

/// Kind asked for, place in the list of passages, and length.
fn adjust(score: f32, question: &Question, unit: &Unit) -> f32 {
    let kind = if question.asked.held_by(&unit.text) { KIND_BONUS } else { 0.0 };
    let rank = match unit.origin {
        Origin::Passage(i) => 1.0 / (1.0 + 0.04 * i as f32),
        Origin::Input => 1.0,
    };
    let n = unit.text.chars().count();
    let length = match n {
        0..=7 => 0.7,
        8..=250 => 1.0,
        _ => 0.9,
    };
    (score + kind) * rank * length
}

/// Up to `count` units: good ones that do not repeat each other, best first.
pub(crate) fn choose(ranking: &Ranking, units: &[Unit], count: usize) -> Vec<usize> {
    let Some(top) = ranking.best.first().map(|r| r.score) else {
        return vec![];
    };
    let mut pool: Vec<Ranked> = ranking.best.iter().copied().take_while(|r| r.score >= KEEP * top).take(60).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count && !pool.is_empty() {
        let worth = |r: &Ranked| {
            let beside = |c: &usize| units.get(*c).map(|u| u.origin) == units.get(r.unit).map(|u| u.origin);
            if !chosen.is_empty() && r.own < OWN_WORDS && !chosen.iter().any(beside) {
                return f32::NEG_INFINITY;
            }
            let repeat =
                chosen.iter().filter_map(|c| Some(overlap(units.get(*c)?, units.get(r.unit)?))).fold(0.0, f32::max);
            // The same words again add nothing, whatever the score.
            if repeat > 0.9 { f32::NEG_INFINITY } else { LAMBDA * r.score / top - (1.0 - LAMBDA) * repeat }
        };
        let Some((at, value)) =
            pool.iter().enumerate().map(|(i, r)| (i, worth(r))).max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        else {
            break;
        };
        let taken = pool.remove(at);
        if value.is_finite() {
            chosen.push(taken.unit);
        }
    }
    chosen
}

/// Shared words over all words of two units.
pub(crate) fn overlap(a: &Unit, b: &Unit) -> f32 {
    if a.flat == b.flat {
        return 1.0;
    }
    let shared = a.words.intersection(&b.words).count() as f32;
    let all = a.words.union(&b.words).count() as f32;
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::units::of_input;
    use super::*;

    fn first(question: &str, text: &str) -> String {
        let units = of_input(text);
        let ranking = rank(&Question::read(question), &units);
        choose(&ranking, &units, 1).first().map(|i| units[*i].text.clone()).unwrap_or_default()
    }

    #[test]
    fn the_heading_points_to_its_item() {
        let text = "□ 사업개요\n- 사업내용: 장비 교체\n□ 소요예산\n- 21백만 원(시비)\n□ 기대효과\n- 만족도 향상";
        assert_eq!(first("소요예산은 얼마인가요?", text), "- 21백만 원(시비)");
    }

    #[test]
    fn the_kind_asked_for_decides_between_equals() {
        let text =
            "체육관 개관 행사에는 주민이 많이 모였다. 체육관 개관은 2026년 5월 3일이다. 체육관 개관은 시설과가 맡았다.";
        assert_eq!(first("체육관 개관은 언제인가요?", text), "체육관 개관은 2026년 5월 3일이다.");
        assert_eq!(first("체육관 개관은 누가 맡았나요?", text), "체육관 개관은 시설과가 맡았다.");
    }

    #[test]
    fn off_topic_questions_cover_little() {
        let units = of_input("체육관 개관은 2026년 5월 3일이다. 주차장은 지하에 있다.");
        let off = rank(&Question::read("여권 재발급 수수료는 얼마인가요?"), &units);
        assert!(off.coverage < ANSWER_THRESHOLD, "{off:?}");
        assert_eq!(off.missing, ["여권", "재발급", "수수료"]);
        let on = rank(&Question::read("주차장은 어디에 있나요?"), &units);
        assert!(on.coverage >= ANSWER_THRESHOLD, "{on:?}");
    }

    #[test]
    fn the_same_sentence_is_chosen_once() {
        let units = of_input("주차장은 지하에 있다. 주차장은 지하에 있다. 주차장 요금은 지하 1층에서 낸다.");
        let ranking = rank(&Question::read("지하 주차장"), &units);
        assert_eq!(choose(&ranking, &units, 3).len(), 2);
    }
}

//! Ranks units for a question and tells how likely they hold an answer.
//!
//! A unit's score is a weighted sum of shares of the question's terms: in the unit itself, added by the headings above,
//! added by the sentence before, and in its passage as a whole. The weights were fitted (softmax over the units of the
//! eight best passages, one half of an encyclopaedic set's documents, checked on the other half) and rounded; see
//! docs/search.md.

use super::question::{Question, match_above, match_word};
use super::units::{Origin, Unit};
use std::collections::{HashMap, HashSet};

/// Confidence below which no answer is given. Of 1,273 encyclopaedic questions, 4 % of those that the eight passages
/// answer are refused, and 85 % of those whose document was taken away; 0.3 gives 6 and 89.
pub(crate) const ANSWER_THRESHOLD: f32 = 0.25;
/// Weight of the question's terms in the unit's own text.
const OWN: f32 = 7.0;
/// … of those that only the headings above add.
const ABOVE: f32 = 10.0;
/// … of those that only the sentence before adds.
const BEFORE: f32 = 3.5;
/// … of those anywhere in the unit's passage: a sentence that fits from a passage about something else is no answer.
const AROUND: f32 = 6.5;
/// … of matching content words, and of the last two: Korean asks at the end.
const WORDS: f32 = 3.5;
const LAST: f32 = 1.5;
/// A word that the headings above say counts as this much of one in the unit: an item of a plan leaves its subject to them.
const NAMED: f32 = 0.6;
/// … of holding the kind of thing asked for.
const KIND: f32 = 0.5;
/// … of the passage's place in the list, as 1/place.
const PLACE: f32 = 3.0;
/// All of them together: what a perfect unit reaches.
const ALL: f32 = ABOVE + AROUND + WORDS + LAST + KIND + PLACE;
/// Sentences are added until the chosen ones hold this much of the probability.
const ENOUGH: f32 = 0.95;
/// Units that share more than this of their words say the same.
const REPEAT: f32 = 0.8;
/// A further sentence must hold this share of the best one's probability.
const KEEP: f32 = 0.05;

/// A unit with its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked {
    /// Index among the units ranked.
    pub unit: usize,
    /// 0 to 1, comparable among the units of one ranking.
    pub score: f32,
    /// Share of all units' probability to be the answer.
    pub probability: f32,
}

/// The units best first, with how sure an answer is among them.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    pub best: Vec<Ranked>,
    /// 0 to 1: that the units hold an answer at all.
    pub confidence: f32,
    /// Words of the question that no unit bears.
    pub missing: Vec<String>,
}

/// Shares of the question's terms by where they stand.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    own: f32,
    above: f32,
    before: f32,
    around: f32,
    /// Content words of the question in the unit or above it.
    words: f32,
    last: f32,
    kind: f32,
    place: f32,
}

impl Shares {
    fn points(&self) -> f32 {
        OWN * self.own
            + ABOVE * self.above
            + BEFORE * self.before
            + AROUND * self.around
            + WORDS * self.words
            + LAST * self.last
            + KIND * self.kind
            + PLACE * self.place
    }
}

/// Ranks `units` for `question`. Headings and units that bear nothing of it, nor stand near what does, are left out.
pub(crate) fn rank(question: &Question, units: &[Unit]) -> Ranking {
    let around = around(question, units);
    let mut found: Vec<(usize, Shares)> = Vec::new();
    for (i, unit) in units.iter().enumerate().filter(|(_, u)| !u.heading) {
        let before = i.checked_sub(1).and_then(|p| units.get(p)).filter(|u| u.origin == unit.origin);
        let shares = shares(question, unit, before, around.get(&unit.origin).copied().unwrap_or(0.0));
        if shares.own + shares.above + shares.before + shares.words > 0.0 {
            found.push((i, shares));
        }
    }
    found.sort_by(|a, b| b.1.points().total_cmp(&a.1.points()).then(a.0.cmp(&b.0)));
    let top = found.first().map_or(0.0, |(_, s)| s.points());
    let total: f32 = found.iter().map(|(_, s)| (s.points() - top).exp()).sum();
    let best = found.iter().map(|(unit, s)| Ranked {
        unit: *unit,
        score: s.points() / ALL,
        probability: (s.points() - top).exp() / total,
    });
    Ranking {
        best: best.collect(),
        confidence: found.first().map_or(0.0, |(_, s)| confidence(question, s)),
        missing: missing(question, units),
    }
}

fn shares(question: &Question, unit: &Unit, before: Option<&Unit>, around: f32) -> Shares {
    let mut shares = Shares { around, ..Shares::default() };
    for (term, weight) in &question.terms {
        let place = if unit.terms.contains(term) {
            &mut shares.own
        } else if unit.terms_above.contains(term) {
            &mut shares.above
        } else if before.is_some_and(|u| u.terms.contains(term)) {
            &mut shares.before
        } else {
            continue;
        };
        *place += weight;
    }
    let matches: Vec<f32> =
        question.words.iter().map(|w| match_word(w, unit).max(NAMED * match_above(w, unit))).collect();
    let mean = |some: &[f32]| some.iter().sum::<f32>() / some.len().max(1) as f32;
    shares.words = mean(&matches);
    shares.last = mean(matches.get(matches.len().saturating_sub(2)..).unwrap_or_default());
    shares.kind = if question.answered_in(&unit.text) { 1.0 } else { 0.0 };
    shares.place = match unit.origin {
        Origin::Passage(i) => 1.0 / (1.0 + i as f32),
        Origin::Input => 1.0,
    };
    shares
}

/// Share of the question's terms that each passage bears anywhere in its text or headings.
fn around(question: &Question, units: &[Unit]) -> HashMap<Origin, f32> {
    let mut held: HashMap<Origin, HashSet<u32>> = HashMap::new();
    for unit in units {
        let terms = held.entry(unit.origin).or_default();
        let there = |t: &u32| unit.terms.contains(t) || unit.terms_above.contains(t);
        terms.extend(question.terms.iter().map(|(t, _)| *t).filter(there));
    }
    let share = |terms: HashSet<u32>| question.terms.iter().filter(|(t, _)| terms.contains(t)).map(|(_, w)| w).sum();
    held.into_iter().map(|(origin, terms)| (origin, share(terms))).collect()
}

/// Words of the question that no unit bears.
fn missing(question: &Question, units: &[Unit]) -> Vec<String> {
    let borne = |w: &str| units.iter().any(|u| match_above(w, u) > 0.0 || match_word(w, u) >= 0.5);
    question.words.iter().filter(|w| !borne(w)).cloned().collect()
}

/// That the best unit answers: a logistic regression over encyclopaedic and web questions, asked with and without the
/// document that answers them. A long question shares less of its words with what answers it, hence the length.
fn confidence(question: &Question, best: &Shares) -> f32 {
    let near = best.own + best.above + best.before;
    let length = (1.0 + question.terms.len() as f32).ln();
    let points = 3.8 * near + 4.3 * best.around + 2.8 * best.words + 1.7 * length - 10.7;
    1.0 / (1.0 + (-points).exp())
}

/// Up to `count` units: likely ones that do not repeat each other, best first; fewer where these are enough.
pub(crate) fn choose(ranking: &Ranking, units: &[Unit], count: usize) -> Vec<usize> {
    let Some(top) = ranking.best.first().map(|r| r.probability) else {
        return vec![];
    };
    let mut chosen: Vec<usize> = Vec::new();
    let mut held = 0.0;
    for ranked in ranking.best.iter().take_while(|r| r.probability >= KEEP * top) {
        let Some(unit) = units.get(ranked.unit) else { continue };
        // The same words again add nothing.
        if chosen.iter().filter_map(|c| units.get(*c)).any(|c| overlap(c, unit) > REPEAT) {
            continue;
        }
        chosen.push(ranked.unit);
        held += ranked.probability;
        if chosen.len() == count || held >= ENOUGH {
            break;
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
        assert!(off.confidence < ANSWER_THRESHOLD, "{off:?}");
        assert_eq!(off.missing, ["여권", "재발급", "수수료"]);
        let on = rank(&Question::read("주차장은 어디에 있나요?"), &units);
        assert!(on.confidence >= ANSWER_THRESHOLD, "{on:?}");
    }

    #[test]
    fn the_same_sentence_is_chosen_once() {
        let units = of_input("주차장은 지하에 있다. 주차장은 지하에 있다. 주차장 요금은 지하 1층에서 낸다.");
        let ranking = rank(&Question::read("지하 주차장"), &units);
        assert_eq!(choose(&ranking, &units, 3).len(), 2);
    }
}

//! The monthly review's sample (개인정보의 안전성 확보조치 기준 §8: 접속기록 월 1회 이상 점검): which calls somebody
//! looks at by hand, and why each.
//!
//! Stratified by department, decision and grade, so that a small department and a rare decision are seen every month.
//! Who is drawn depends on the seed and the identifiers alone: the same month drawn twice gives the same sample, and
//! whoever reviews can show that nobody chose. Draw the seed from something that nobody could know when the calls were
//! made, such as the last checkpoint of the month.

use crate::evaluate::Verdict;
use crate::model::Unit;
use madang_domain::{ExternalCallId, Grade};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const DOMAIN: &[u8] = b"madang.sample.v1\n";

/// A call that may be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub id: ExternalCallId,
    pub department: Unit,
    pub decision: Verdict,
    /// Highest grade that any source of it ever had.
    pub grade: Grade,
    /// Looked at whatever is drawn, for this reason (Korean), such as an anomaly.
    pub always: Option<String>,
}

/// How many are drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Share of each stratum, in thousandths, rounded up. Default 50: five percent.
    pub per_mille: u64,
    /// At least so many of each stratum, all of a smaller one. Default 2.
    pub per_stratum: usize,
    /// At least so many altogether, all of a smaller month. Default 30: if one call in ten were wrong, thirty drawn
    /// would miss every one of them less than once in twenty months (0.9³⁰ ≈ 0.042).
    pub in_all: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { per_mille: 50, per_stratum: 2, in_all: 30 }
    }
}

/// A call to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pick {
    pub id: ExternalCallId,
    /// Korean.
    pub why: String,
}

/// A stratum and how much of it was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stratum {
    pub department: Unit,
    pub decision: Verdict,
    pub grade: Grade,
    pub calls: usize,
    pub picked: usize,
}

/// The month's sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// In the order of their identifiers.
    pub picks: Vec<Pick>,
    pub strata: Vec<Stratum>,
}

/// Draws the sample; candidates may come in any order, each identifier once.
pub fn sample(candidates: &[Candidate], seed: &[u8], sizes: &Sizes) -> Sample {
    type Key = (String, Verdict, Grade);
    let mut strata: BTreeMap<Key, Vec<(&Candidate, [u8; 32])>> = BTreeMap::new();
    for candidate in candidates {
        let key = (candidate.department.id.clone(), candidate.decision, candidate.grade);
        strata.entry(key).or_default().push((candidate, rank(seed, candidate)));
    }
    let mut why: BTreeMap<ExternalCallId, String> = BTreeMap::new();
    for drawn in strata.values_mut() {
        drawn.sort_by_key(|(c, rank)| (*rank, c.id));
        let wanted = wanted(drawn.len(), sizes);
        for (i, (candidate, _)) in drawn.iter().enumerate() {
            if let Some(reason) = &candidate.always {
                why.insert(candidate.id, reason.clone());
            } else if i < wanted {
                why.insert(candidate.id, stratum_words(candidate, drawn.len(), wanted));
            }
        }
    }
    fill(&mut why, strata.values().flatten(), sizes.in_all);
    let strata = strata.values().filter_map(|drawn| {
        let (first, _) = drawn.first()?;
        let picked = drawn.iter().filter(|(c, _)| why.contains_key(&c.id)).count();
        let department = first.department.clone();
        Some(Stratum { department, decision: first.decision, grade: first.grade, calls: drawn.len(), picked })
    });
    let strata = strata.collect();
    Sample { picks: why.into_iter().map(|(id, why)| Pick { id, why }).collect(), strata }
}

/// Ordered by this, the first are drawn: uniform, and the same for every order of the candidates.
fn rank(seed: &[u8], candidate: &Candidate) -> [u8; 32] {
    let length = u64::try_from(seed.len()).unwrap_or(u64::MAX).to_be_bytes();
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(length)
        .chain_update(seed)
        .chain_update(candidate.id.to_string())
        .finalize()
        .into()
}

fn wanted(calls: usize, sizes: &Sizes) -> usize {
    let share = (calls as u128 * u128::from(sizes.per_mille)).div_ceil(1000);
    usize::try_from(share).unwrap_or(usize::MAX).max(sizes.per_stratum).min(calls)
}

fn stratum_words(c: &Candidate, calls: usize, wanted: usize) -> String {
    format!(
        "'{}' 부서, {}, {} 등급 {calls}건 가운데 뽑은 {wanted}건에 들었습니다.",
        c.department.name,
        c.decision.korean(),
        c.grade.letter()
    )
}

/// A small month is topped up from everything that is left.
fn fill<'a>(
    why: &mut BTreeMap<ExternalCallId, String>,
    all: impl Iterator<Item = &'a (&'a Candidate, [u8; 32])>,
    in_all: usize,
) {
    let taken: BTreeSet<ExternalCallId> = why.keys().copied().collect();
    let mut left: Vec<_> = all.filter(|(c, _)| !taken.contains(&c.id)).collect();
    left.sort_by_key(|(c, rank)| (*rank, c.id));
    for (candidate, _) in left.into_iter().take(in_all.saturating_sub(taken.len())) {
        why.insert(candidate.id, format!("한 달에 적어도 {in_all}건을 점검하려고 나머지에서 더 뽑았습니다."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(n: usize, department: &str, decision: Verdict) -> Vec<Candidate> {
        let of = |_| Candidate {
            id: ExternalCallId::new(),
            department: Unit::new(department, department),
            decision,
            grade: Grade::Open,
            always: None,
        };
        (0..n).map(of).collect()
    }

    fn ids(sample: &Sample) -> Vec<ExternalCallId> {
        sample.picks.iter().map(|p| p.id).collect()
    }

    #[test]
    fn every_stratum_is_seen_and_the_order_of_the_calls_does_not_matter() {
        let mut all =
            [candidates(1000, "교통과", Verdict::OneOfficer), candidates(1, "세정과", Verdict::Deny)].concat();
        let first = sample(&all, b"seed", &Sizes::default());
        let picked: Vec<_> = first.strata.iter().map(|s| (s.department.name.as_str(), s.picked)).collect();
        assert_eq!(picked, [("교통과", 50), ("세정과", 1)]);
        all.reverse();
        assert_eq!(sample(&all, b"seed", &Sizes::default()), first);
        assert_ne!(ids(&sample(&all, b"other", &Sizes::default())), ids(&first));
    }

    #[test]
    fn a_small_month_is_topped_up_and_what_must_be_seen_is() {
        let mut all = candidates(100, "교통과", Verdict::Allow);
        all[7].always = Some("이상 징후입니다.".into());
        let drawn = sample(&all, b"s", &Sizes::default());
        assert_eq!(drawn.picks.len(), 30);
        assert!(drawn.picks.iter().any(|p| p.id == all[7].id && p.why == "이상 징후입니다."));
        assert_eq!(sample(&all[..12], b"s", &Sizes::default()).picks.len(), 12);
        assert_eq!(sample(&[], b"s", &Sizes::default()), Sample { picks: vec![], strata: vec![] });
    }

    #[test]
    fn over_many_seeds_everyone_is_drawn_about_equally() {
        let all = candidates(40, "교통과", Verdict::Allow);
        let sizes = Sizes { per_mille: 250, per_stratum: 0, in_all: 0 };
        let mut times: BTreeMap<ExternalCallId, usize> = BTreeMap::new();
        for seed in 0u32..400 {
            ids(&sample(&all, &seed.to_be_bytes(), &sizes))
                .into_iter()
                .for_each(|id| *times.entry(id).or_default() += 1);
        }
        // Expected 100 each, standard deviation under 9.
        assert_eq!(times.len(), 40);
        assert!(times.values().all(|n| (55..=145).contains(n)), "{times:?}");
    }
}

//! What a scan reports, and how overlapping findings become one list.

use crate::kind::{Action, Kind};
use serde::{Deserialize, Serialize};

/// One identifier in a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub action: Action,
    /// First character, counted in Unicode scalar values of the text scanned.
    pub start: usize,
    /// Character after the last.
    pub end: usize,
    /// 0 to 1; a failed check digit lowers it and never removes a finding.
    pub confidence: f32,
}

/// Everything found in one text, in order and without overlaps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The strictest action among the findings.
    pub action: Action,
    pub findings: Vec<Finding>,
}

impl Report {
    /// Settles overlaps: the stricter action keeps its place, findings of one action join under the stricter kind, and
    /// what a milder one covers beside a stricter one stays covered.
    pub(crate) fn settle(found: Vec<Finding>) -> Report {
        let mut settled: Vec<Finding> = Vec::new();
        for action in [Action::Block, Action::Mask, Action::Pass] {
            let joined = join(found.iter().filter(|f| f.action == action).cloned().collect());
            let rest = if action == Action::Pass { untouched(joined, &settled) } else { outside(joined, &settled) };
            settled.extend(rest);
            settled.sort_by_key(|f| f.start);
        }
        let action = settled.iter().map(|f| f.action).max().unwrap_or_default();
        Report { action, findings: settled }
    }

    /// How many findings of each kind, for records that must not hold the values.
    pub fn counts(&self) -> std::collections::BTreeMap<Kind, usize> {
        self.findings.iter().fold(Default::default(), |mut counts, f| {
            *counts.entry(f.kind).or_default() += 1;
            counts
        })
    }
}

fn join(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|f| (f.start, std::cmp::Reverse(f.end)));
    let mut out: Vec<Finding> = Vec::new();
    for next in found {
        match out.last_mut() {
            Some(last) if next.start < last.end => {
                last.end = last.end.max(next.end);
                last.kind = last.kind.min(next.kind);
                last.confidence = last.confidence.max(next.confidence);
            }
            _ => out.push(next),
        }
    }
    out
}

fn untouched(found: Vec<Finding>, taken: &[Finding]) -> Vec<Finding> {
    found.into_iter().filter(|f| taken_in(f, taken).is_empty()).collect()
}

/// The findings of `taken` (sorted, apart) that overlap `f`.
fn taken_in<'a>(f: &Finding, taken: &'a [Finding]) -> &'a [Finding] {
    let from = taken.partition_point(|t| t.end <= f.start);
    let to = taken.partition_point(|t| t.start < f.end);
    taken.get(from..to).unwrap_or_default()
}

/// The pieces of each finding that `taken` leaves.
fn outside(found: Vec<Finding>, taken: &[Finding]) -> Vec<Finding> {
    let mut out = Vec::new();
    for f in found {
        let mut start = f.start;
        for t in taken_in(&f, taken) {
            if start < t.start {
                out.push(Finding { start, end: t.start, ..f.clone() });
            }
            start = start.max(t.end);
        }
        if start < f.end {
            out.push(Finding { start, ..f });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: Kind, start: usize, end: usize) -> Finding {
        Finding { kind, action: kind.action(), start, end, confidence: 0.5 }
    }

    #[test]
    fn the_stricter_keeps_its_place_and_nothing_is_uncovered() {
        let report = Report::settle(vec![
            finding(Kind::Address, 0, 20),
            finding(Kind::Rrn, 5, 19),
            finding(Kind::Phone, 30, 40),
            finding(Kind::Account, 35, 45),
            finding(Kind::BusinessNumber, 44, 50),
        ]);
        let places: Vec<_> = report.findings.iter().map(|f| (f.kind, f.start, f.end)).collect();
        assert_eq!(
            places,
            [(Kind::Address, 0, 5), (Kind::Rrn, 5, 19), (Kind::Address, 19, 20), (Kind::Account, 30, 45)]
        );
        assert_eq!(report.action, Action::Block);
        assert_eq!(report.counts().get(&Kind::Address), Some(&2));
    }
}

//! What a scan reports, and how overlapping findings become one list.

use crate::detect::Hit;
use crate::kind::{Action, Kind};
use crate::markings::Marked;
use madang_domain::Grade;
use serde::{Deserialize, Serialize};
use std::ops::Range;

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
    /// The rule of the body's own dictionary that found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A word that raises the grade of the text that it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marking {
    /// The least grade of a text with this marking.
    pub grade: Grade,
    /// First character, counted in Unicode scalar values of the text scanned.
    pub start: usize,
    /// Character after the last.
    pub end: usize,
    /// The word without its blanks: 대외비, 비공개.
    pub word: String,
    /// Why it counts as a marking, in Korean, for screens.
    pub reason: String,
}

/// Everything found in one text, in order and without overlaps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The strictest action among the findings.
    pub action: Action,
    pub findings: Vec<Finding>,
    /// Grade markings; they change no action, but the grade of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub markings: Vec<Marking>,
}

impl Report {
    pub(crate) fn of(text: &str, hits: Vec<Hit>, marked: Vec<Marked>) -> Report {
        let settled = settle(hits);
        let action = settled.iter().map(|hit| hit.action).max().unwrap_or_default();
        let mut places = Characters::new(text);
        let findings = settled
            .into_iter()
            .map(|hit| {
                let Range { start, end } = places.of(hit.range);
                Finding {
                    kind: hit.kind,
                    action: hit.action,
                    start,
                    end,
                    confidence: hit.confidence,
                    rule: hit.rule.map(|r| r.to_string()),
                }
            })
            .collect();
        let mut places = Characters::new(text);
        let markings = marked
            .into_iter()
            .map(|m| {
                let Range { start, end } = places.of(m.range);
                Marking { grade: m.grade, start, end, word: m.word, reason: m.reason.to_string() }
            })
            .collect();
        Report { action, findings, markings }
    }

    /// How many findings of each kind, for records that must not hold the values.
    pub fn counts(&self) -> std::collections::BTreeMap<Kind, usize> {
        self.findings.iter().fold(Default::default(), |mut counts, f| {
            *counts.entry(f.kind).or_default() += 1;
            counts
        })
    }

    /// The least grade that the markings give the text; [`Grade::Open`] without any.
    pub fn raised_grade(&self) -> Grade {
        Grade::highest(self.markings.iter().map(|m| m.grade))
    }
}

/// Counts characters up to bytes that come in order.
struct Characters<'t> {
    text: &'t str,
    byte: usize,
    chars: usize,
}

impl<'t> Characters<'t> {
    fn new(text: &'t str) -> Self {
        Characters { text, byte: 0, chars: 0 }
    }

    fn upto(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.chars) = (0, 0);
        }
        let passed = self.text.get(self.byte..byte).map_or(0, |part| part.chars().count());
        (self.byte, self.chars) = (byte, self.chars + passed);
        self.chars
    }

    fn of(&mut self, range: Range<usize>) -> Range<usize> {
        let start = self.upto(range.start);
        start..self.upto(range.end)
    }
}

/// Settles overlaps: the stricter action keeps its place, findings of one action join under the stricter kind, and
/// what a milder one covers beside a stricter one stays covered.
pub(crate) fn settle(found: Vec<Hit>) -> Vec<Hit> {
    let mut by_action: [Vec<Hit>; 3] = Default::default();
    for hit in found.into_iter().filter(|hit| hit.range.start < hit.range.end) {
        let [block, mask, pass] = &mut by_action;
        match hit.action {
            Action::Block => block.push(hit),
            Action::Mask => mask.push(hit),
            Action::Pass => pass.push(hit),
        }
    }
    let mut settled: Vec<Hit> = Vec::new();
    for (i, hits) in by_action.into_iter().enumerate() {
        let joined = join(hits);
        let rest = if i == 2 { untouched(joined, &settled) } else { outside(joined, &settled) };
        settled.extend(rest);
        settled.sort_by_key(|hit| hit.range.start);
    }
    settled
}

fn join(mut found: Vec<Hit>) -> Vec<Hit> {
    found.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
    let mut out: Vec<Hit> = Vec::new();
    for next in found {
        match out.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
                last.kind = last.kind.min(next.kind);
                last.confidence = last.confidence.max(next.confidence);
                last.rule = last.rule.take().or(next.rule);
            }
            _ => out.push(next),
        }
    }
    out
}

fn untouched(found: Vec<Hit>, taken: &[Hit]) -> Vec<Hit> {
    found.into_iter().filter(|hit| taken_in(hit, taken).is_empty()).collect()
}

/// The findings of `taken` (sorted, apart) that overlap `hit`.
fn taken_in<'a>(hit: &Hit, taken: &'a [Hit]) -> &'a [Hit] {
    let from = taken.partition_point(|t| t.range.end <= hit.range.start);
    let to = taken.partition_point(|t| t.range.start < hit.range.end);
    taken.get(from..to).unwrap_or_default()
}

/// The pieces of each finding that `taken` leaves.
fn outside(found: Vec<Hit>, taken: &[Hit]) -> Vec<Hit> {
    let mut out = Vec::new();
    for hit in found {
        let mut start = hit.range.start;
        for t in taken_in(&hit, taken) {
            if start < t.range.start {
                out.push(Hit { range: start..t.range.start, ..hit.clone() });
            }
            start = start.max(t.range.end);
        }
        if start < hit.range.end {
            out.push(Hit { range: start..hit.range.end, ..hit });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(kind: Kind, start: usize, end: usize) -> Hit {
        Hit { kind, action: kind.action(), range: start..end, confidence: 0.5, rule: None }
    }

    #[test]
    fn the_stricter_keeps_its_place_and_nothing_is_uncovered() {
        let text = "가".repeat(20);
        let at = |kind, start: usize, end: usize| hit(kind, start * 3, end * 3);
        let hits = vec![
            at(Kind::Address, 0, 8),
            at(Kind::Rrn, 2, 7),
            at(Kind::Phone, 10, 12),
            at(Kind::Account, 11, 15),
            at(Kind::BusinessNumber, 14, 18),
        ];
        let report = Report::of(&text, hits, Vec::new());
        let places: Vec<_> = report.findings.iter().map(|f| (f.kind, f.start, f.end)).collect();
        assert_eq!(places, [(Kind::Address, 0, 2), (Kind::Rrn, 2, 7), (Kind::Address, 7, 8), (Kind::Account, 10, 15)]);
        assert_eq!(report.action, Action::Block);
        assert_eq!(report.counts().get(&Kind::Address), Some(&2));
        assert_eq!(report.raised_grade(), Grade::Open);
    }
}

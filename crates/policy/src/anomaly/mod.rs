//! What stands out among past calls: patterns that a reviewer should look at, each with the records behind it. A finding
//! is a reason to look, never a judgement. Pure functions over call facts; thresholds are [`Thresholds`].

mod approvers;
mod retries;
mod sketch;
mod spikes;
mod splitting;
mod times;

use crate::model::Unit;
use crate::time::{CalendarDay, Window};
use madang_domain::{ExternalCallId, PersonId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use sketch::{MIN_SHINGLES, Sketch, SketchKey};

/// How a call ended, as far as anomalies care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The detector or the floor refused it.
    Blocked,
    /// A rule refused it, or an officer returned it.
    Refused,
    /// Still waiting, lapsed or cancelled.
    Waiting,
    /// Approved, or allowed without approval; sent or not.
    Allowed,
}

/// A decision of one officer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfficerDecision {
    pub officer: PersonId,
    /// Unix milliseconds.
    pub decided_ms: i64,
    /// When the officer opened the envelope; `None`: it was never opened.
    pub opened_ms: Option<i64>,
    pub approved: bool,
}

/// One call or attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFact {
    pub id: ExternalCallId,
    /// Unix milliseconds.
    pub at_ms: i64,
    pub person: PersonId,
    pub department: Unit,
    /// Host of the destination.
    pub host: String,
    pub outcome: Outcome,
    /// Outgoing bytes.
    pub bytes: u64,
    /// Characters that an officer has to read.
    pub characters: u64,
    pub sketch: Option<Sketch>,
    pub decisions: Vec<OfficerDecision>,
}

/// What kind of pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// Blocked, then asked again in other words.
    AlteredRetry,
    /// Many calls just under a limit.
    Splitting,
    OffHours,
    /// A person or department sends where it never sent.
    NewDestination,
    /// Far more calls in a day than ever before.
    Spike,
    /// The same asker and officer over and over.
    SamePair,
    /// Approved faster than it can be read.
    HastyApproval,
}

impl AnomalyKind {
    pub fn korean(self) -> &'static str {
        match self {
            AnomalyKind::AlteredRetry => "차단 뒤 고쳐 다시 신청",
            AnomalyKind::Splitting => "한도 아래로 나누어 신청",
            AnomalyKind::OffHours => "근무시간 밖 신청",
            AnomalyKind::NewDestination => "처음 보내는 곳",
            AnomalyKind::Spike => "갑자기 늘어난 신청",
            AnomalyKind::SamePair => "같은 두 사람의 반복 승인",
            AnomalyKind::HastyApproval => "읽지 못할 만큼 빠른 승인",
        }
    }
}

/// How soon to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    pub severity: Severity,
    /// When it was complete, Unix milliseconds.
    pub at_ms: i64,
    /// The asker, or the officer for hasty approvals; `None` for a department's pattern.
    pub person: Option<PersonId>,
    /// Korean.
    pub sentence: String,
    /// Calls behind it, in the order of time.
    pub calls: Vec<ExternalCallId>,
}

/// When a pattern is one. The defaults are starting points to be tuned on the body's own calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// Altered retry: within this long of the block. Default 24 hours.
    pub retry_window_ms: i64,
    /// Altered retry: likeness in percent of 64-bit sketches. Default 50: on 407 letters of a hundred words it found 99 %
    /// of those with every tenth word changed, and 60 in a million pairs of different letters (`tests/likeness.rs`).
    pub retry_likeness: u8,
    /// Splitting: within this long. Default 60 minutes.
    pub split_window_ms: i64,
    /// Splitting: at least so many calls. Default 3.
    pub split_calls: usize,
    /// Splitting: each at least this share of the limit, in percent. Default 70.
    pub split_share: u64,
    /// New destination: the person or department had sent at least so many calls before. Default 10, so that newcomers
    /// are not reported.
    pub known_calls: usize,
    /// Spike: days of own past. Default 28.
    pub spike_days: i64,
    /// Spike: days with any calls that the past must hold, else there is nothing to compare with. Default 5.
    pub spike_active_days: usize,
    /// Spike: modified z-score (Iglewicz & Hoaglin 1993). Default 3.5, their recommendation.
    pub spike_score: f64,
    /// Spike: fewest calls in the day. Default 5.
    pub spike_calls: usize,
    /// Same pair: within this long. Default 30 days.
    pub pair_window_ms: i64,
    /// Same pair: at least so many approvals. Default 10.
    pub pair_approvals: usize,
    /// Same pair: at least this share of the asker's approvals, in percent. Default 80. Bodies with one active officer
    /// are not reported.
    pub pair_share: usize,
    /// Hasty: characters a minute that nobody reads with care. Default 3,000, several times the pace of silent reading.
    pub skim_per_minute: u64,
    /// Hasty: texts under this are read at a glance. Default 200 characters.
    pub glance_characters: u64,
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            retry_window_ms: DAY,
            retry_likeness: 50,
            split_window_ms: 60 * MINUTE,
            split_calls: 3,
            split_share: 70,
            known_calls: 10,
            spike_days: 28,
            spike_active_days: 5,
            spike_score: 3.5,
            spike_calls: 5,
            pair_window_ms: 30 * DAY,
            pair_approvals: 10,
            pair_share: 80,
            skim_per_minute: 3000,
            glance_characters: 200,
        }
    }
}

/// What normal is in this body.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Working hours; none: no call is off hours.
    pub office: Vec<Window>,
    pub holidays: BTreeSet<CalendarDay>,
    /// Bytes at which rules change, from [`crate::Policy::size_limits`].
    pub size_limits: BTreeSet<u64>,
}

/// Every pattern that was complete at `since_ms` or later, in the order of time. Calls may come in any order; those
/// before `since_ms` are the past that the others are compared with.
pub fn anomalies(calls: &[CallFact], setting: &Setting, thresholds: &Thresholds, since_ms: i64) -> Vec<Anomaly> {
    let mut sorted: Vec<&CallFact> = calls.iter().collect();
    sorted.sort_by_key(|c| (c.at_ms, c.id));
    let mut out = Vec::new();
    for own in by_person(&sorted).values() {
        retries::find(&mut out, own, thresholds);
        splitting::find(&mut out, own, setting, thresholds);
        times::off_hours(&mut out, own, setting);
    }
    times::new_destinations(&mut out, &sorted, thresholds);
    spikes::find(&mut out, &sorted, thresholds);
    approvers::pairs(&mut out, &sorted, thresholds);
    approvers::hasty(&mut out, &sorted, thresholds);
    out.retain(|a| a.at_ms >= since_ms);
    out.sort_by(|a, b| (a.at_ms, a.kind, &a.calls).cmp(&(b.at_ms, b.kind, &b.calls)));
    out
}

/// Calls of each person, in the order of time.
fn by_person<'a>(sorted: &[&'a CallFact]) -> BTreeMap<PersonId, Vec<&'a CallFact>> {
    let mut out: BTreeMap<PersonId, Vec<&CallFact>> = BTreeMap::new();
    for call in sorted {
        out.entry(call.person).or_default().push(call);
    }
    out
}

fn ids(calls: &[&CallFact]) -> Vec<ExternalCallId> {
    calls.iter().map(|c| c.id).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) const HOUR: i64 = 60 * MINUTE;
    /// Monday 2026-11-02, 10:00 in Korea.
    pub(super) const MONDAY: i64 = 1_793_581_200_000;

    pub(super) fn person(n: u128) -> PersonId {
        serde_json::from_value(serde_json::json!(format!("00000000-0000-0000-0000-{n:012x}"))).unwrap()
    }

    pub(super) fn call(who: u128, at_ms: i64) -> CallFact {
        CallFact {
            id: ExternalCallId::new(),
            at_ms,
            person: person(who),
            department: Unit::new("d1", "교통과"),
            host: "api.example.kr".into(),
            outcome: Outcome::Allowed,
            bytes: 1000,
            characters: 400,
            sketch: None,
            decisions: Vec::new(),
        }
    }

    pub(super) fn found(calls: &[CallFact], setting: &Setting) -> Vec<(AnomalyKind, usize)> {
        let all = anomalies(calls, setting, &Thresholds::default(), i64::MIN);
        all.iter().for_each(|a| assert!(!a.calls.is_empty() && a.sentence.ends_with('.'), "{a:?}"));
        all.into_iter().map(|a| (a.kind, a.calls.len())).collect()
    }

    #[test]
    fn an_ordinary_month_has_none_and_the_past_is_not_reported_again() {
        let days = (0..28).filter(|d| d % 7 < 5);
        let calls: Vec<_> = days.flat_map(|d| (0..3).map(move |i| call(1, MONDAY + d * DAY + i * HOUR))).collect();
        assert_eq!(found(&calls, &Setting::default()), []);
        let mut calls = calls;
        calls.push(CallFact { host: "new.example.com".into(), ..call(1, MONDAY + 28 * DAY) });
        let since = |ms| anomalies(&calls, &Setting::default(), &Thresholds::default(), ms).len();
        assert_eq!((since(MONDAY), since(MONDAY + 28 * DAY + 1)), (2, 0));
    }
}

//! Calls out of working hours, and calls to where somebody never sent before.

use super::{Anomaly, AnomalyKind, CallFact, Outcome, Setting, Severity, Thresholds, ids};
use crate::time::{korean_time, shown};
use std::collections::{BTreeMap, BTreeSet};

/// Calls of one person, in the order of time; those of one Korean day are told together.
pub(super) fn off_hours(out: &mut Vec<Anomaly>, own: &[&CallFact], setting: &Setting) {
    if setting.office.is_empty() {
        return;
    }
    let mut days: BTreeMap<_, Vec<&CallFact>> = BTreeMap::new();
    for call in own {
        let Some(local) = korean_time(call.at_ms) else { continue };
        if !setting.office.iter().any(|w| w.contains(local, &setting.holidays)) {
            days.entry(local.date()).or_default().push(call);
        }
    }
    for calls in days.values() {
        let (Some(first), Some(last)) = (calls.first(), calls.last()) else { continue };
        let severity = if calls.len() >= 3 { Severity::Medium } else { Severity::Low };
        let sentence = format!("근무시간이 아닌 {}부터 외부호출을 {}건 신청했습니다.", shown(first.at_ms), calls.len());
        let (at_ms, person) = (last.at_ms, Some(last.person));
        out.push(Anomaly { kind: AnomalyKind::OffHours, severity, at_ms, person, sentence, calls: ids(calls) });
    }
}

/// Who has sent where, and how often at all.
#[derive(Default)]
struct Known<'a> {
    hosts: BTreeSet<&'a str>,
    calls: usize,
}

impl<'a> Known<'a> {
    /// New to somebody who has sent enough to have habits.
    fn meets(&mut self, host: &'a str, thresholds: &Thresholds) -> bool {
        let new = self.hosts.insert(host) && self.calls >= thresholds.known_calls;
        self.calls += 1;
        new
    }
}

/// All calls, in the order of time. Only calls that were allowed count: what was refused went nowhere.
pub(super) fn new_destinations(out: &mut Vec<Anomaly>, sorted: &[&CallFact], thresholds: &Thresholds) {
    let mut people: BTreeMap<_, Known> = BTreeMap::new();
    let mut departments: BTreeMap<&str, Known> = BTreeMap::new();
    for call in sorted.iter().filter(|c| c.outcome == Outcome::Allowed) {
        let new_to_person = people.entry(call.person).or_default().meets(&call.host, thresholds);
        let new_to_department = departments.entry(&call.department.id).or_default().meets(&call.host, thresholds);
        let mut add = |severity, person, who: String| {
            let sentence = format!("{who} {}에 처음으로 보냈습니다({}).", call.host, shown(call.at_ms));
            let kind = AnomalyKind::NewDestination;
            out.push(Anomaly { kind, severity, at_ms: call.at_ms, person, sentence, calls: vec![call.id] });
        };
        if new_to_department {
            add(Severity::Medium, None, format!("'{}' 부서에서", call.department.name));
        }
        if new_to_person {
            add(Severity::Low, Some(call.person), "이 직원이".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, MONDAY, call, found};
    use super::super::{AnomalyKind, DAY};
    use super::*;
    use crate::Policy;

    #[test]
    fn nights_weekends_and_holidays_are_off_hours() {
        let policy = Policy::template().unwrap();
        let holidays = [crate::time::CalendarDay::try_from("2026-11-03".to_owned()).unwrap()].into();
        let setting = Setting { office: policy.windows().to_vec(), holidays, ..Setting::default() };
        let one = |at: i64| found(&[call(1, at)], &setting);
        assert_eq!(one(MONDAY), []);
        for off in [MONDAY + 12 * HOUR, MONDAY + DAY, MONDAY + 5 * DAY] {
            assert_eq!(one(off), [(AnomalyKind::OffHours, 1)]);
        }
    }

    #[test]
    fn a_new_host_counts_for_those_with_habits_and_once() {
        let mut calls: Vec<_> = (0..10).map(|i| call(1, MONDAY + i * HOUR / 20)).collect();
        let elsewhere = |at| CallFact { host: "new.example.com".into(), ..call(1, at) };
        assert_eq!(found(&[calls.clone(), vec![elsewhere(MONDAY)]].concat(), &Setting::default()), [], "a newcomer");
        calls.extend([elsewhere(MONDAY + HOUR), elsewhere(MONDAY + 2 * HOUR)]);
        assert_eq!(
            found(&calls, &Setting::default()),
            [(AnomalyKind::NewDestination, 1), (AnomalyKind::NewDestination, 1)]
        );
    }
}

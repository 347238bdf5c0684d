//! How officers approve: the same two people over and over, and approvals faster than reading.

use super::{Anomaly, AnomalyKind, CallFact, Severity, Thresholds};
use crate::money::grouped;
use madang_domain::{ExternalCallId, PersonId};
use std::collections::{BTreeMap, BTreeSet};

/// An approval: when, by whom, of which call.
type Given = (i64, PersonId, ExternalCallId);

fn approvals<'a>(calls: impl Iterator<Item = &'a &'a CallFact>) -> Vec<Given> {
    let of = |c: &'a &'a CallFact| c.decisions.iter().filter(|d| d.approved).map(|d| (d.decided_ms, d.officer, c.id));
    let mut all: Vec<Given> = calls.flat_map(of).collect();
    all.sort();
    all
}

/// When each officer approved anything, in the order of time.
type Active = BTreeMap<PersonId, Vec<i64>>;

/// All calls, in the order of time.
pub(super) fn pairs(out: &mut Vec<Anomaly>, sorted: &[&CallFact], thresholds: &Thresholds) {
    let mut active = Active::new();
    for (at, officer, _) in approvals(sorted.iter()) {
        active.entry(officer).or_default().push(at);
    }
    let mut askers: BTreeMap<PersonId, Vec<&CallFact>> = BTreeMap::new();
    for call in sorted {
        askers.entry(call.person).or_default().push(call);
    }
    for (asker, own) in askers {
        let given = approvals(own.iter());
        let officers: BTreeSet<PersonId> = given.iter().map(|(_, officer, _)| *officer).collect();
        officers.into_iter().for_each(|officer| pair(out, asker, officer, &given, &active, thresholds));
    }
}

/// The latest window in which a pair stands out, told once.
fn pair(
    out: &mut Vec<Anomaly>,
    asker: PersonId,
    officer: PersonId,
    given: &[Given],
    active: &Active,
    thresholds: &Thresholds,
) {
    let Some(end) = given.iter().rev().find(|g| g.1 == officer).map(|g| g.0) else { return };
    let begin = end.saturating_sub(thresholds.pair_window_ms);
    let inside = |g: &&Given| (begin..=end).contains(&g.0);
    let calls: Vec<ExternalCallId> = given.iter().filter(inside).filter(|g| g.1 == officer).map(|g| g.2).collect();
    if calls.len() < thresholds.pair_approvals {
        return;
    }
    let of_asker: BTreeSet<ExternalCallId> = given.iter().filter(inside).map(|g| g.2).collect();
    let share = calls.len() * 100 / of_asker.len().max(1);
    let at_work = |times: &[i64]| times.get(times.partition_point(|at| *at < begin)).is_some_and(|at| *at <= end);
    let colleagues = active.iter().filter(|(person, times)| **person != asker && at_work(times)).count();
    if share < thresholds.pair_share || colleagues < 2 {
        return;
    }
    let sentence = format!(
        "최근 {}일 동안 이 직원의 외부호출 {}건 가운데 {}건({share}%)을 같은 담당관이 승인했습니다. 승인하는 담당관은 모두 {}명입니다.",
        thresholds.pair_window_ms / super::DAY,
        of_asker.len(),
        calls.len(),
        colleagues
    );
    let severity =
        if calls.len() >= thresholds.pair_approvals.saturating_mul(3) { Severity::Medium } else { Severity::Low };
    out.push(Anomaly { kind: AnomalyKind::SamePair, severity, at_ms: end, person: Some(asker), sentence, calls });
}

/// All calls, in the order of time.
pub(super) fn hasty(out: &mut Vec<Anomaly>, sorted: &[&CallFact], thresholds: &Thresholds) {
    for call in sorted.iter().filter(|c| c.characters > thresholds.glance_characters) {
        let needed = call.characters.saturating_mul(60_000) / thresholds.skim_per_minute.max(1);
        for decision in call.decisions.iter().filter(|d| d.approved) {
            // Not opened at all: nothing was read.
            let taken =
                decision.opened_ms.map(|opened| decision.decided_ms.saturating_sub(opened).max(0).unsigned_abs());
            if taken.is_some_and(|taken| taken >= needed) {
                continue;
            }
            let (severity, how) = match taken {
                None => (Severity::High, "봉투를 열지 않고".to_owned()),
                Some(ms) => (Severity::Medium, format!("{}초 만에", ms / 1000)),
            };
            out.push(Anomaly {
                kind: AnomalyKind::HastyApproval,
                severity,
                at_ms: decision.decided_ms,
                person: Some(decision.officer),
                sentence: format!("{}자의 봉투를 {how} 승인했습니다.", grouped(call.characters)),
                calls: vec![call.id],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, MONDAY, call, found, person};
    use super::super::{AnomalyKind, OfficerDecision, Setting};
    use super::*;

    fn approved(who: u128, officer: u128, at: i64, seconds: Option<i64>) -> CallFact {
        let decided_ms = at + HOUR;
        let opened_ms = seconds.map(|s| decided_ms - s * 1000);
        let decision = OfficerDecision { officer: person(officer), decided_ms, opened_ms, approved: true };
        CallFact { decisions: vec![decision], ..call(who, at) }
    }

    #[test]
    fn a_pair_stands_out_only_where_others_could_have_approved() {
        let own = |n: i64| -> Vec<_> { (0..n).map(|i| approved(1, 9, MONDAY + i * HOUR, Some(60))).collect() };
        assert_eq!(found(&own(10), &Setting::default()), [], "one officer approves everything");
        let other = approved(2, 8, MONDAY, Some(60));
        let with = |n| found(&[own(n), vec![other.clone()]].concat(), &Setting::default());
        assert_eq!(with(10), [(AnomalyKind::SamePair, 10)]);
        assert_eq!(with(9), []);
    }

    #[test]
    fn an_approval_faster_than_reading_is_told() {
        // 400 characters at 3,000 a minute: 8 seconds.
        let kinds = |seconds| found(&[approved(1, 9, MONDAY, seconds)], &Setting::default());
        assert_eq!(kinds(Some(8)), []);
        assert_eq!(kinds(Some(7)), [(AnomalyKind::HastyApproval, 1)]);
        assert_eq!(kinds(None), [(AnomalyKind::HastyApproval, 1)]);
        let short = CallFact { characters: 200, ..approved(1, 9, MONDAY, Some(0)) };
        assert_eq!(found(&[short], &Setting::default()), []);
    }
}

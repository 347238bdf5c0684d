//! Many calls just under a size at which rules change.

use super::{Anomaly, AnomalyKind, CallFact, Setting, Severity, Thresholds, ids};
use crate::money::grouped;

/// Calls of one person, in the order of time. Runs of the same calls are told once, for the lowest limit they stay under.
pub(super) fn find(out: &mut Vec<Anomaly>, own: &[&CallFact], setting: &Setting, thresholds: &Thresholds) {
    let mut below = 0;
    for limit in &setting.size_limits {
        let least = limit.saturating_mul(thresholds.split_share).div_ceil(100).max(below + 1);
        let near: Vec<&CallFact> = own.iter().copied().filter(|c| (least..=*limit).contains(&c.bytes)).collect();
        below = *limit;
        let mut rest = near.as_slice();
        while let Some(first) = rest.first() {
            let reach = |c: &&&CallFact| c.at_ms.saturating_sub(first.at_ms) <= thresholds.split_window_ms;
            let run = rest.iter().take_while(reach).count();
            if run < thresholds.split_calls.max(2) {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let (calls, after) = rest.split_at(run);
            rest = after;
            let Some(last) = calls.last() else { continue };
            let total = calls.iter().fold(0u64, |sum, c| sum.saturating_add(c.bytes));
            out.push(Anomaly {
                kind: AnomalyKind::Splitting,
                severity: if run >= thresholds.split_calls.saturating_mul(2) {
                    Severity::High
                } else {
                    Severity::Medium
                },
                at_ms: last.at_ms,
                person: Some(last.person),
                sentence: format!(
                    "{}바이트 기준 바로 아래의 외부호출을 {}분 안에 {run}건(모두 {}바이트) 신청했습니다.",
                    grouped(*limit),
                    thresholds.split_window_ms / 60_000,
                    grouped(total)
                ),
                calls: ids(calls),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::AnomalyKind;
    use super::super::tests::{HOUR, MONDAY, call, found};
    use super::*;

    #[test]
    fn three_just_under_in_an_hour_and_not_two_nor_small_ones_nor_over_a_day() {
        let setting = Setting { size_limits: [10_000].into(), ..Setting::default() };
        let kinds = |bytes: u64, n: i64, apart: i64| {
            let calls: Vec<_> = (0..n).map(|i| CallFact { bytes, ..call(1, MONDAY + i * apart) }).collect();
            found(&calls, &setting)
        };
        assert_eq!(kinds(9_000, 3, HOUR / 4), [(AnomalyKind::Splitting, 3)]);
        assert_eq!(kinds(9_000, 2, HOUR / 4), []);
        assert_eq!(kinds(6_999, 3, HOUR / 4), []);
        assert_eq!(kinds(10_001, 3, HOUR / 4), []);
        assert_eq!(kinds(9_000, 3, HOUR), []);
        assert_eq!(kinds(10_000, 4, HOUR / 4), [(AnomalyKind::Splitting, 4)]);
    }
}

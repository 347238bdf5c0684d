//! Blocked, then asked again in other words.

use super::{Anomaly, AnomalyKind, CallFact, Outcome, Severity, Thresholds};
use crate::time::shown;

/// Calls of one person, in the order of time.
pub(super) fn find(out: &mut Vec<Anomaly>, own: &[&CallFact], thresholds: &Thresholds) {
    for (i, later) in own.iter().enumerate() {
        let Some(sketch) = later.sketch else { continue };
        let near: Vec<_> = own
            .iter()
            .take(i)
            .rev()
            .take_while(|c| later.at_ms.saturating_sub(c.at_ms) <= thresholds.retry_window_ms)
            .filter(|c| c.outcome == Outcome::Blocked)
            .filter_map(|c| Some((c, c.sketch?.likeness(sketch))))
            .filter(|(_, likeness)| *likeness >= thresholds.retry_likeness)
            .collect();
        let Some((nearest, likeness)) = near.iter().max_by_key(|(_, l)| *l) else { continue };
        // Blocked again is the detector at work; getting through is what matters.
        let (severity, ended) = match later.outcome {
            Outcome::Blocked => (Severity::Low, "다시 차단되었습니다"),
            Outcome::Refused | Outcome::Waiting => (Severity::Medium, "이번에는 차단되지 않았습니다"),
            Outcome::Allowed => (Severity::High, "이번에는 허용되었습니다"),
        };
        let mut calls: Vec<_> = near.iter().rev().map(|(c, _)| c.id).collect();
        calls.push(later.id);
        out.push(Anomaly {
            kind: AnomalyKind::AlteredRetry,
            severity,
            at_ms: later.at_ms,
            person: Some(later.person),
            sentence: format!(
                "{}에 차단된 내용과 비슷한({likeness}%) 내용을 {}에 다시 신청해 {ended}.",
                shown(nearest.at_ms),
                shown(later.at_ms)
            ),
            calls,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, MONDAY, call, found};
    use super::super::{AnomalyKind, Setting, Sketch};
    use super::*;

    #[test]
    fn only_a_near_text_after_a_block_counts() {
        let of = |bits: u64, outcome, at| CallFact { sketch: Some(Sketch(bits)), outcome, ..call(1, MONDAY + at) };
        let blocked = of(0, Outcome::Blocked, 0);
        let near = of(0xF, Outcome::Allowed, HOUR);
        let far = of(0xFFFF_FFFF, Outcome::Allowed, HOUR);
        let kinds = |calls: &[CallFact]| found(calls, &Setting::default());
        assert_eq!(kinds(&[blocked.clone(), near.clone()]), [(AnomalyKind::AlteredRetry, 2)]);
        assert_eq!(kinds(&[blocked.clone(), far]), []);
        assert_eq!(kinds(&[blocked.clone(), CallFact { at_ms: MONDAY + 25 * HOUR, ..near.clone() }]), []);
        assert_eq!(kinds(&[blocked.clone(), CallFact { person: super::super::tests::person(2), ..near.clone() }]), []);
        assert_eq!(kinds(&[CallFact { outcome: Outcome::Allowed, ..blocked }, near]), []);
    }
}

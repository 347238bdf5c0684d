//! Far more calls in a day than in the own past, told by median and MAD, which a few odd days do not move.

use super::{Anomaly, AnomalyKind, CallFact, Severity, Thresholds, ids};
use crate::time::korean_time;
use jiff::ToSpan;
use jiff::civil::Date;
use madang_domain::PersonId;
use std::collections::BTreeMap;

/// All calls, in the order of time; by person and by department.
pub(super) fn find(out: &mut Vec<Anomaly>, sorted: &[&CallFact], thresholds: &Thresholds) {
    let mut people: BTreeMap<PersonId, Vec<&CallFact>> = BTreeMap::new();
    let mut departments: BTreeMap<&str, Vec<&CallFact>> = BTreeMap::new();
    for call in sorted {
        people.entry(call.person).or_default().push(call);
        departments.entry(&call.department.id).or_default().push(call);
    }
    for (person, calls) in &people {
        series(out, calls, Some(*person), "이 직원이", thresholds);
    }
    for calls in departments.values() {
        let name = calls.last().map_or("", |c| c.department.name.as_str());
        series(out, calls, None, &format!("'{name}' 부서에서"), thresholds);
    }
}

fn series(out: &mut Vec<Anomaly>, calls: &[&CallFact], person: Option<PersonId>, who: &str, thresholds: &Thresholds) {
    let mut days: BTreeMap<Date, Vec<&CallFact>> = BTreeMap::new();
    for call in calls {
        if let Some(local) = korean_time(call.at_ms) {
            days.entry(local.date()).or_default().push(call);
        }
    }
    for (day, today) in days.iter().filter(|(_, today)| today.len() >= thresholds.spike_calls) {
        let Some(past) = past(&days, *day, thresholds) else { continue };
        let count = today.len() as f64;
        let (score, median) = modified_z(count, &past);
        let Some(last) = today.last() else { continue };
        if score <= thresholds.spike_score {
            continue;
        }
        out.push(Anomaly {
            kind: AnomalyKind::Spike,
            severity: if count >= 10.0 * median.max(1.0) { Severity::High } else { Severity::Medium },
            at_ms: last.at_ms,
            person,
            sentence: format!(
                "{who} {day}에 외부호출을 {}건 신청했습니다. 지난 {}일의 하루 중앙값은 {median}건입니다.",
                today.len(),
                thresholds.spike_days
            ),
            calls: ids(today),
        });
    }
}

/// Calls on each active day of the past; days without any are left out, so that weekends and holidays do not make every
/// working day a spike. `None`: too few to compare with.
fn past(days: &BTreeMap<Date, Vec<&CallFact>>, day: Date, thresholds: &Thresholds) -> Option<Vec<f64>> {
    let begin = day.checked_sub(thresholds.spike_days.clamp(1, 3660).days()).ok()?;
    let counts: Vec<f64> = days.range(begin..day).map(|(_, calls)| calls.len() as f64).collect();
    (counts.len() >= thresholds.spike_active_days.max(1)).then_some(counts)
}

/// Modified z-score (Iglewicz & Hoaglin 1993) and the median. Where more than half of the past is equal the MAD is zero
/// and the mean absolute deviation takes its place, as they recommend; where all of it is equal, a third of the median.
fn modified_z(value: f64, past: &[f64]) -> (f64, f64) {
    let median = median(past);
    let deviations: Vec<f64> = past.iter().map(|x| (x - median).abs()).collect();
    let mad = self::median(&deviations);
    let mean = deviations.iter().sum::<f64>() / deviations.len().max(1) as f64;
    let scale = match (mad > 0.0, mean > 0.0) {
        (true, _) => mad / 0.6745,
        (false, true) => 1.253_314 * mean,
        (false, false) => (median / 3.0).max(0.5),
    };
    ((value - median) / scale, median)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, MONDAY, call, found};
    use super::super::{AnomalyKind, CallFact, DAY, Setting};
    use super::*;

    fn days(counts: &[i64]) -> Vec<CallFact> {
        let of = |(day, n): (usize, &i64)| {
            let start = MONDAY + day as i64 * DAY;
            (0..*n).map(move |i| call(1, start + i * HOUR / 20)).collect::<Vec<_>>()
        };
        counts.iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn a_spike_stands_out_of_the_own_past_and_one_odd_day_does_not_hide_the_next() {
        let spike = [(AnomalyKind::Spike, 30), (AnomalyKind::Spike, 30)];
        assert_eq!(found(&days(&[2, 3, 2, 4, 3, 2, 30]), &Setting::default()), spike);
        let twice = found(&days(&[2, 3, 2, 4, 3, 2, 30, 30]), &Setting::default());
        assert_eq!(twice.len(), 4, "{twice:?}");
        assert_eq!(found(&days(&[2, 3, 2, 4, 3, 2, 5]), &Setting::default()), []);
        assert_eq!(found(&days(&[2, 30]), &Setting::default()), [], "no past to speak of");
        assert_eq!(found(&days(&[3, 3, 3, 3, 3, 3, 6]), &Setting::default()), []);
        assert_eq!(found(&days(&[3, 3, 3, 3, 3, 3, 7]), &Setting::default()).len(), 2);
    }

    #[test]
    fn the_score_is_that_of_the_book() {
        // Iglewicz & Hoaglin: 0.6745 (x − median) / MAD.
        let (score, median) = modified_z(10.0, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(median, 3.0);
        assert!((score - 0.6745 * 7.0).abs() < 1e-9, "{score}");
    }
}

//! Calls as the anomaly search and the monthly sample take them.

use super::verdict;
use crate::app::App;
use crate::error::Handled;
use madang_domain::{ExternalCallId, Grade, PersonId, Scope};
use madang_policy::anomaly::{
    Anomaly, AnomalyKind, CallFact, OfficerDecision, Outcome, Setting, Severity, Sketch, Thresholds, anomalies,
};
use madang_policy::evaluate::Refuser;
use madang_policy::sampling::Candidate;
use madang_policy::time::Window;
use madang_policy::{Decision, Facts, Policy, Unit};
use madang_store::calls_review::{OfficersDecision, ReviewFilter, ReviewedCall};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

const DAY: i64 = 86_400_000;
/// Days that are looked into.
pub const DAYS: i64 = 90;
/// Calls read at once.
const BATCH: i64 = 1000;

/// A pattern, with what tells it from others.
#[derive(Debug, Clone)]
pub struct Found {
    /// Hash over kind and calls.
    pub key: String,
    pub anomaly: Anomaly,
    /// Who it is about, as far as one person is.
    pub who: String,
}

/// What stands out over the last [`DAYS`] days, the gravest and newest first.
///
/// # Errors
/// 403 for all but security officers.
pub async fn found(app: &App, scope: &Scope) -> Handled<Vec<Found>> {
    let now = app.store.now();
    found_between(app, scope, now - DAYS * DAY, now + 1).await
}

/// What stands out in a period, whenever that is asked: under the policy that was in force at its end.
///
/// # Errors
/// 403 for all but security officers.
pub async fn found_between(app: &App, scope: &Scope, since: i64, until: i64) -> Handled<Vec<Found>> {
    let thresholds = Thresholds::default();
    let from = since - thresholds.spike_days * DAY;
    let decisions = decisions(app, scope, from, until).await?;
    let (mut names, mut facts): (HashMap<PersonId, String>, Vec<CallFact>) = Default::default();
    each(app, scope, (from, until), |call| {
        facts.push(fact(&call, &decisions));
        named(&call, &mut names);
    })
    .await?;
    let mut out: Vec<Found> = anomalies(&facts, &setting(app, scope, until).await?, &thresholds, since)
        .into_iter()
        .map(|anomaly| Found {
            key: key(&anomaly),
            who: anomaly.person.and_then(|p| names.get(&p).cloned()).unwrap_or_default(),
            anomaly,
        })
        .collect();
    out.sort_by_key(|f| std::cmp::Reverse((f.anomaly.severity, f.anomaly.at_ms)));
    Ok(out)
}

/// All calls of a period, newest first, without what the policy was told and said of them.
///
/// # Errors
/// 403 for all but security officers.
pub async fn calls(app: &App, scope: &Scope, from: i64, until: i64) -> Handled<Vec<ReviewedCall>> {
    let mut out = Vec::new();
    // Facts and decisions are most of a call, and nobody asks for them here.
    each(app, scope, (from, until), |call| out.push(ReviewedCall { facts: None, decision: None, ..call })).await?;
    Ok(out)
}

/// Every call of a period, newest first, a batch in memory at once.
async fn each(app: &App, scope: &Scope, (from, until): (i64, i64), mut take: impl FnMut(ReviewedCall)) -> Handled<()> {
    let filter = ReviewFilter { from: Some(from), until: Some(until), ..ReviewFilter::default() };
    let mut before = None;
    loop {
        let batch = app.store.reviewed_calls_before(scope, &filter, before, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        before = Some((last.created_at, last.id));
        batch.into_iter().for_each(&mut take);
    }
}

type Decisions = HashMap<ExternalCallId, Vec<OfficersDecision>>;

async fn decisions(app: &App, scope: &Scope, from: i64, until: i64) -> Handled<Decisions> {
    let mut out: Decisions = HashMap::new();
    for decision in app.store.officers_decisions(scope, from, until).await? {
        out.entry(decision.call).or_default().push(decision);
    }
    Ok(out)
}

/// Notes what the people of a call are called: its asker with their department, as they asked last.
fn named(call: &ReviewedCall, names: &mut HashMap<PersonId, String>) {
    if let (Some(officer), Some(name)) = (call.approver, &call.approver_name) {
        names.entry(officer).or_insert_with(|| name.clone());
    }
    names.entry(call.person).or_insert_with(|| format!("{} {}", call.department_name, call.person_name));
}

fn fact(call: &ReviewedCall, decisions: &Decisions) -> CallFact {
    let given = decisions.get(&call.id).into_iter().flatten().map(|d| OfficerDecision {
        officer: d.officer,
        decided_ms: d.decided_at,
        opened_ms: d.opened_at,
        approved: d.approved,
    });
    CallFact {
        id: call.id,
        at_ms: call.created_at,
        person: call.person,
        department: Unit::new(call.department.clone(), &call.department_name),
        host: call.host.clone(),
        outcome: outcome(call),
        bytes: call.body_bytes,
        characters: call.characters,
        sketch: call.sketch.as_deref().and_then(|hex| u64::from_str_radix(hex, 16).ok()).map(Sketch),
        decisions: given.collect(),
    }
}

fn outcome(call: &ReviewedCall) -> Outcome {
    match call.state.as_str() {
        "denied" if blocked(call) => Outcome::Blocked,
        "denied" | "returned" => Outcome::Refused,
        "waiting" | "lapsed" | "cancelled" => Outcome::Waiting,
        _ => Outcome::Allowed,
    }
}

/// The detector or the floor refused it, rather than a rule.
fn blocked(call: &ReviewedCall) -> bool {
    let facts = call.facts.as_deref().and_then(|text| serde_json::from_str::<Facts>(text).ok());
    let decision = call.decision.as_deref().and_then(|text| serde_json::from_str::<Decision>(text).ok());
    facts.is_some_and(|f| f.detector_blocked)
        || decision.is_some_and(|d| d.denied.iter().any(|denial| matches!(denial.by, Refuser::Floor { .. })))
}

/// What normal is here: the policy's windows for work, or weekdays from eight to seven where it names none.
async fn setting(app: &App, scope: &Scope, at: i64) -> Handled<Setting> {
    let policy = app.store.policy_for_review(scope, at).await?.and_then(|(_, text)| Policy::parse(&text).ok());
    let Some(policy) = policy else {
        return Ok(Setting { office: ordinary_hours(), ..Setting::default() });
    };
    let at_work = |w: &&Window| ["근무", "업무"].iter().any(|word| w.name.as_str().contains(word));
    let mut office: Vec<Window> = policy.windows().iter().filter(at_work).cloned().collect();
    if office.is_empty() {
        office = ordinary_hours();
    }
    Ok(Setting { office, holidays: policy.holidays().clone(), size_limits: policy.size_limits() })
}

fn ordinary_hours() -> Vec<Window> {
    let days = ["mon", "tue", "wed", "thu", "fri"];
    serde_json::from_value(json!([{ "name": "근무시간", "days": days, "from": "08:00", "to": "19:00" }]))
        .unwrap_or_default()
}

fn key(anomaly: &Anomaly) -> String {
    let calls: Vec<String> = anomaly.calls.iter().map(ToString::to_string).collect();
    let text = json!({ "kind": anomaly.kind, "person": anomaly.person, "calls": calls }).to_string();
    hex::encode(Sha256::digest(text))
}

/// Stored name of a kind.
pub fn kind_name(kind: AnomalyKind) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

pub fn severity_korean(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "참고",
        Severity::Medium => "확인",
        Severity::High => "우선 확인",
    }
}

/// What to do about a pattern. Korean.
pub fn advice(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::AlteredRetry => {
            "막힌 봉투와 다시 신청한 봉투를 나란히 열어, 같은 내용을 표현만 바꿔 보냈는지 보세요."
        }
        AnomalyKind::Splitting => "이어진 봉투를 차례로 읽어, 한 문서를 한도 아래로 나누어 보냈는지 보세요.",
        AnomalyKind::OffHours => "신청한 사람의 부서장에게 그 시각에 업무가 있었는지 확인하세요.",
        AnomalyKind::NewDestination => "받는 곳이 계약된 제공자인지, 바꾼 까닭이 정책에 있는지 확인하세요.",
        AnomalyKind::Spike => "그날의 실행을 열어, 사람이 아니라 프로그램이 돌린 것은 아닌지 보세요.",
        AnomalyKind::SamePair => "다른 보안담당이 표본을 다시 읽고, 승인을 나누어 맡기세요.",
        AnomalyKind::HastyApproval => {
            "승인한 봉투를 다른 보안담당이 다시 읽고, 문제가 있으면 제공자에게 삭제를 요청하세요."
        }
    }
}

/// Numbers at which a pattern is one, for the screen. Korean.
pub fn thresholds() -> Vec<(&'static str, String)> {
    let t = Thresholds::default();
    vec![
        (
            AnomalyKind::AlteredRetry.korean(),
            format!("막힌 뒤 {}시간 안에 {}% 이상 비슷한 글", t.retry_window_ms / 3_600_000, t.retry_likeness),
        ),
        (
            AnomalyKind::Splitting.korean(),
            format!(
                "{}분 안에 {}건 이상, 저마다 한도의 {}% 이상",
                t.split_window_ms / 60_000,
                t.split_calls,
                t.split_share
            ),
        ),
        (AnomalyKind::OffHours.korean(), "정책의 근무시간 밖. 정책에 없으면 평일 08:00~19:00 밖".to_owned()),
        (AnomalyKind::NewDestination.korean(), format!("{}건 넘게 보낸 뒤 처음 보내는 곳", t.known_calls)),
        (
            AnomalyKind::Spike.korean(),
            format!("하루 {}건 이상이며 앞 {}일의 수정 z점수 {} 초과", t.spike_calls, t.spike_days, t.spike_score),
        ),
        (
            AnomalyKind::SamePair.korean(),
            format!(
                "{}일 안에 {}건 이상, 그 사람 승인의 {}% 이상",
                t.pair_window_ms / DAY,
                t.pair_approvals,
                t.pair_share
            ),
        ),
        (
            AnomalyKind::HastyApproval.korean(),
            format!("1분에 {}자보다 빠른 승인({}자 미만은 뺌)", t.skim_per_minute, t.glance_characters),
        ),
    ]
}

/// Calls of a month that may be drawn; those of grave patterns are looked at whatever is drawn.
pub fn candidates(calls: &[ReviewedCall], found: &[Found]) -> Vec<Candidate> {
    let mut always: HashMap<ExternalCallId, String> = HashMap::new();
    for pattern in found.iter().filter(|f| f.anomaly.severity == Severity::High) {
        for call in &pattern.anomaly.calls {
            always
                .entry(*call)
                .or_insert_with(|| format!("이상 징후({})에 들어 있습니다.", pattern.anomaly.kind.korean()));
        }
    }
    let grade = |c: &ReviewedCall| Grade::highest([Some(c.grade), c.regraded_from].into_iter().flatten());
    calls
        .iter()
        .map(|c| Candidate {
            id: c.id,
            department: Unit::new(c.department.clone(), &c.department_name),
            decision: verdict(c),
            grade: grade(c),
            always: always.get(&c.id).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_hours_are_a_window() {
        assert_eq!(ordinary_hours().len(), 1);
        assert_eq!(thresholds().len(), 7);
        assert_eq!(kind_name(AnomalyKind::AlteredRetry), "altered_retry");
    }
}

//! Time in the life of an outside call, with a moved clock: whose turn it is after how many hours, deadlines, approvals
//! that run out, outcomes that never came. On SQLite and, where `MADANG_TEST_POSTGRES` names a database, on PostgreSQL.

use crate::StoreError;
use crate::call_approvals::Bound;
use crate::calls::{Call, CallState};
use crate::desk_tests::{House, houses};
use crate::row::to_json;
use crate::test_house::signed_in;
use madang_domain::{ExternalCallId, Grade, Role, Scope};
use madang_policy::approval::Eligibility;
use madang_policy::{Facts, Policy, Unit};
use std::collections::BTreeMap;

const HOUR: i64 = 3_600_000;
const RULES: &str = r#"format = 1
revision = 1
[[rule]]
id = "open"
effect = "needs_approval"
[rule.when]
grades = ["O"]
[rule.approval]
officers = 1
from = { role = "security" }
deadline_hours = 48
valid_hours = 24
substitutes = [{ role = "manager", own_department = true }]
substitutes_after_hours = 4
"#;

/// A call that waits for what these rules ask.
async fn waiting(house: &House) -> ExternalCallId {
    let id = house.asked("body").await;
    let policy = Policy::parse(RULES).expect("rules");
    let facts = Facts {
        at_ms: house.store.now(),
        person: house.asker.person(),
        login: "asker".into(),
        departments: vec![Unit::new(house.here.to_string(), "정보통신과")],
        app: None,
        provider: Unit::new(house.provider.to_string(), "제공자"),
        host: "api.example.kr".into(),
        model: "m".into(),
        purpose: "목적".into(),
        grade: Some(Grade::Open),
        regraded_from: None,
        found: Some(BTreeMap::new()),
        detector_blocked: false,
        bytes: 4,
    };
    let decision = policy.decide(&facts);
    assert_eq!(decision.needs.len(), 1, "{decision:?}");
    sqlx::query(
        "UPDATE external_calls SET decision = $1, needs = $2, facts = $3, policy_revision = 1, policy_hash = 'h', deadline_at = $4 WHERE id = $5",
    )
    .bind(to_json(&decision))
    .bind(to_json(&decision.needs))
    .bind(to_json(&facts))
    .bind(decision.needs[0].deadline_ms(house.store.now()))
    .bind(id.to_string())
    .execute(&house.store.pool)
    .await
    .expect("decided");
    id
}

async fn state(house: &House, id: ExternalCallId) -> CallState {
    house.store.call(&house.asker, id).await.expect("call").state
}

async fn manager(house: &House) -> Scope {
    signed_in(&house.store, house.here, "manager", &[Role::Manager]).await
}

fn bound(call: &Call, now: i64, hours: i64) -> Bound<'_> {
    Bound { binding: &call.body_hmac, expires_at: now + hours * HOUR, hours, said: hours }
}

#[tokio::test]
async fn who_stands_in_waits_for_their_hours_and_what_they_approve_counts() {
    for house in houses().await {
        let manager = manager(&house).await;
        let id = waiting(&house).await;
        let call = house.store.call(&house.officer, id).await.expect("call");
        let may = async |scope: &Scope| house.store.eligibility(scope, &call).await.expect("eligibility");
        assert_eq!(may(&manager).await, Eligibility::NotYet);
        assert_eq!(may(&house.officer).await, Eligibility::Regular);
        assert_eq!(may(&house.asker).await, Eligibility::Asker);
        house.later(4 * HOUR - 1);
        let early = house.store.approve_call(&manager, &call, bound(&call, house.store.now(), 1), "").await;
        assert!(matches!(early, Err(StoreError::Denied(_))), "{early:?}");
        house.later(1);
        assert_eq!(may(&manager).await, Eligibility::Substitute);
        // Longer than the rule allows, or than it was bound for, is nobody's to say.
        let long = house.store.approve_call(&manager, &call, bound(&call, house.store.now(), 25), "").await;
        assert!(matches!(long, Err(StoreError::Conflict(_))), "{long:?}");
        let given = house.store.approve_call(&manager, &call, bound(&call, house.store.now(), 24), "확인").await;
        assert!(given.expect("their turn").complete);
        let (_, record) = house.last_record().await;
        assert_eq!(record["detail"]["stood_in"], true, "{record}");
        house.later(24 * HOUR - 1);
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 0);
        house.later(1);
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 1);
        assert_eq!(state(&house, id).await, CallState::Expired);
    }
}

#[tokio::test]
async fn where_nobody_regular_is_there_whoever_stands_in_need_not_wait() {
    for house in houses().await {
        let manager = manager(&house).await;
        let id = waiting(&house).await;
        let call = house.store.call(&house.officer, id).await.expect("call");
        for officer in [&house.officer, &house.second] {
            assert_eq!(house.store.eligibility(&manager, &call).await.expect("eligibility"), Eligibility::NotYet);
            house.store.set_person_active(&house.admin, officer.person(), false).await.expect("deactivated");
        }
        assert_eq!(house.store.eligibility(&manager, &call).await.expect("eligibility"), Eligibility::Substitute);
    }
}

#[tokio::test]
async fn a_request_lapses_at_its_deadline_and_nobody_decides_on_it_afterwards() {
    for house in houses().await {
        let id = waiting(&house).await;
        let call = house.store.call(&house.officer, id).await.expect("call");
        house.later(48 * HOUR - 1);
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 0);
        house.later(1);
        let late = house.store.approve_call(&house.officer, &call, bound(&call, house.store.now(), 1), "").await;
        assert!(matches!(late, Err(StoreError::Denied(_))), "before anybody has looked: {late:?}");
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 1);
        assert_eq!(state(&house, id).await, CallState::Lapsed);
        assert_eq!(house.last_record().await.1["action"], "outside_call_lapsed");
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 0, "once");
    }
}

#[tokio::test]
async fn a_call_whose_outcome_never_came_counts_as_sent() {
    for house in houses().await {
        let id = waiting(&house).await;
        house.move_to(id, "sending").await;
        house.later(15 * 60_000);
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 0, "a slow provider may still answer");
        house.later(5 * 60_000);
        assert_eq!(house.store.end_overdue_calls().await.expect("looked"), 1);
        assert_eq!(state(&house, id).await, CallState::Unknown);
        let (_, record) = house.last_record().await;
        assert_eq!(
            (&record["action"], &record["detail"]["outcome"]),
            (&"outside_call_outcome".into(), &"unknown".into())
        );
    }
}

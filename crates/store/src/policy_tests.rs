//! Policies, proposals and absences, on SQLite and, where `MADANG_TEST_POSTGRES` names a database, in a schema of its
//! own there: who may change what, who is the second person, and what two people at once do to each other.

use crate::policies::NewPolicy;
use crate::policy_proposals::ProposalState;
use crate::test_house::{BEGIN, Database, databases, signed_in};
use crate::{Store, StoreError};
use madang_domain::{DepartmentId, PersonId, Role, Scope};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const HOUR: i64 = 3_600_000;

struct House {
    store: Store,
    now: Arc<AtomicI64>,
    department: DepartmentId,
    _database: Database,
}

/// Databases to run on, each with the first policy.
async fn houses() -> Vec<House> {
    let mut out = Vec::new();
    for database in databases().await {
        out.push(House::open(database).await);
    }
    out
}

impl House {
    async fn open(database: Database) -> Self {
        let now = Arc::new(AtomicI64::new(BEGIN));
        let store = database.open_at(&now).await;
        let department = store.create_department_locally("정보통신과", None).await.expect("department");
        store.ensure_policy("first", "h1", 1).await.expect("first policy");
        Self { store, now, department, _database: database }
    }

    async fn person(&self, login: &str, roles: &[Role]) -> (Scope, PersonId) {
        let scope = signed_in(&self.store, self.department, login, roles).await;
        let id = scope.person();
        (scope, id)
    }

    async fn records(&self, action: &str) -> usize {
        let mark = format!("\"action\":\"{action}\"");
        let all = self.store.ledger_chain(1, 1000).await.expect("the record");
        all.iter().filter(|e| e.payload.contains(&mark)).count()
    }
}

fn policy<'a>(text: &'a str, revision: u32, changes: &'a [String]) -> NewPolicy<'a> {
    NewPolicy { text, hash: text, revision, compared_with: revision - 1, reason: "감사 지적", changes }
}

#[tokio::test]
async fn the_first_policy_is_put_once_and_the_highest_revision_is_in_force() {
    for house in houses().await {
        house.store.ensure_policy("another", "h9", 9).await.unwrap();
        let first = house.store.policy_in_force().await.unwrap();
        assert_eq!((first.revision, first.text.as_str(), first.by), (1, "first", None));
        assert_eq!(house.records("policy_changed").await, 1);
        let (officer, _) = house.person("sujin", &[Role::Security]).await;
        let changes = vec!["'m' 예산: 2건 → 1건".to_owned()];
        house.store.put_policy_in_force(&officer, &policy("second", 2, &changes), 1).await.unwrap();
        let second = house.store.policy_in_force().await.unwrap();
        assert_eq!((second.revision, second.text.as_str(), second.by.as_deref()), (2, "second", Some("sujin")));
        let listed = house.store.policy_revisions(&officer, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|r| r.revision).collect::<Vec<_>>(), [2, 1]);
        let before = house.store.policy_revisions(&officer, Some(2), 10).await.unwrap();
        assert_eq!(before.iter().map(|r| r.revision).collect::<Vec<_>>(), [1]);
        assert_eq!(house.store.policy_revision(&officer, 1).await.unwrap().text, "first");
        let record = house.store.ledger_chain(1, 1000).await.unwrap().pop().unwrap();
        for said in ["\"old_revision\":1", "\"old_policy_hash\":\"h1\"", "2건 → 1건", "\"loosens\":false"] {
            assert!(record.payload.contains(said), "{said} in {}", record.payload);
        }
    }
}

#[tokio::test]
async fn only_officers_change_it_from_the_revision_they_saw_with_a_reason() {
    for house in houses().await {
        let (officer, _) = house.person("sujin", &[Role::Security]).await;
        let (admin, _) = house.person("admin", &[Role::Admin]).await;
        let (official, _) = house.person("jihun", &[Role::Official, Role::Manager]).await;
        let new = policy("second", 2, &[]);
        for other in [&admin, &official] {
            let refused = house.store.put_policy_in_force(other, &new, 1).await;
            assert!(matches!(refused, Err(StoreError::Denied(_))), "{refused:?}");
            let refused = house.store.propose_policy(other, &new, 1).await;
            assert!(matches!(refused, Err(StoreError::Denied(_))), "{refused:?}");
        }
        assert!(house.store.policy_revisions(&official, None, 9).await.is_err());
        assert!(house.store.past_calls(&official, 0, BEGIN).await.is_err());
        assert!(house.store.policy_revision(&admin, 1).await.is_ok());
        let (_, secret) = {
            let rights = madang_domain::TokenScope::Write;
            house.store.create_token(&officer, "t", rights, 1).await.unwrap()
        };
        let token = house.store.authenticate_token(&secret).await.unwrap().unwrap().scope;
        assert!(house.store.put_policy_in_force(&token, &new, 1).await.is_err(), "not by token");
        assert!(house.store.policy_proposals(&token, 9).await.is_err(), "nor read by token");
        let skipped = house.store.put_policy_in_force(&officer, &policy("second", 3, &[]), 1).await;
        assert!(matches!(skipped, Err(StoreError::Invalid { .. })), "{skipped:?}");
        let silent = NewPolicy { reason: " ", ..new.clone() };
        let silent = house.store.put_policy_in_force(&officer, &silent, 1).await;
        assert!(matches!(silent, Err(StoreError::Invalid { ref field, .. }) if field == "reason"), "{silent:?}");
        house.store.put_policy_in_force(&officer, &new, 1).await.unwrap();
        let (second, _) = house.person("minho", &[Role::Security]).await;
        let late = house.store.put_policy_in_force(&second, &policy("late", 2, &[]), 1).await;
        assert!(matches!(late, Err(StoreError::Conflict(ref words)) if words.contains("sujin")), "{late:?}");
        assert_eq!(house.store.policy_in_force().await.unwrap().text, "second");
    }
}

#[tokio::test]
async fn what_was_compared_with_another_policy_is_refused() {
    for house in houses().await {
        let (officer, _) = house.person("sujin", &[Role::Security]).await;
        house.store.put_policy_in_force(&officer, &policy("stricter", 2, &[]), 1).await.unwrap();
        // The first one again: no change against itself, but it would undo the second.
        let undoing = NewPolicy { compared_with: 1, ..policy("first", 3, &[]) };
        let put = house.store.put_policy_in_force(&officer, &undoing, 2).await;
        assert!(matches!(put, Err(StoreError::Conflict(_))), "{put:?}");
        let proposed = house.store.propose_policy(&officer, &undoing, 2).await;
        assert!(matches!(proposed, Err(StoreError::Conflict(_))), "{proposed:?}");
        assert_eq!(house.store.policy_in_force().await.unwrap().text, "stricter");
    }
}

#[tokio::test]
async fn a_proposal_waits_for_another_officer() {
    for house in houses().await {
        let (officer, _) = house.person("sujin", &[Role::Security, Role::Admin]).await;
        let (second, _) = house.person("minho", &[Role::Security]).await;
        let (admin, _) = house.person("admin", &[Role::Admin]).await;
        let store = &house.store;
        let id = store.propose_policy(&officer, &policy("looser", 2, &[]), 1).await.unwrap();
        assert_eq!(store.policy_in_force().await.unwrap().revision, 1, "nothing changed yet");
        let waits = [&officer, &second, &admin];
        let mut counts = Vec::new();
        for who in waits {
            counts.push(store.policy_proposals_waiting(who).await.unwrap());
        }
        assert_eq!(counts, [0, 1, 0]);
        for refused in [store.confirm_policy(&officer, id).await, store.confirm_policy(&admin, id).await] {
            assert!(matches!(refused, Err(StoreError::Denied(_))), "{refused:?}");
        }
        assert!(matches!(store.decline_policy(&officer, id, "싫음").await, Err(StoreError::Denied(_))));
        assert!(matches!(store.withdraw_policy(&second, id).await, Err(StoreError::Denied(_))));
        store.confirm_policy(&second, id).await.unwrap();
        let now = store.policy_in_force().await.unwrap();
        assert_eq!((now.revision, now.text.as_str(), now.by.as_deref()), (2, "looser", Some("sujin")));
        let listed = store.policy_revisions(&second, None, 1).await.unwrap();
        assert_eq!(listed[0].confirmed_by.as_deref(), Some("minho"));
        assert!(matches!(store.confirm_policy(&second, id).await, Err(StoreError::Conflict(_))), "once");
        let record = store.ledger_chain(1, 1000).await.unwrap().pop().unwrap();
        assert!(record.payload.contains("\"loosens\":true") && record.payload.contains("\"proposer\""), "{record:?}");
        assert_eq!((house.records("policy_proposed").await, house.records("policy_changed").await), (1, 2));
    }
}

#[tokio::test]
async fn a_body_with_one_officer_asks_an_admin_and_nobody_is_their_own_second() {
    for house in houses().await {
        let (officer, officer_id) = house.person("sujin", &[Role::Security, Role::Admin]).await;
        let (admin, _) = house.person("admin", &[Role::Admin]).await;
        let (official, _) = house.person("jihun", &[Role::Official]).await;
        let store = &house.store;
        let id = store.propose_policy(&officer, &policy("looser", 2, &[]), 1).await.unwrap();
        assert!(store.confirm_policy(&officer, id).await.is_err(), "not by being admin too");
        assert!(store.confirm_policy(&official, id).await.is_err());
        assert!(store.policy_proposal(&admin, id).await.unwrap().may_decide);
        assert_eq!(store.policy_proposals_waiting(&admin).await.unwrap(), 1);
        // A second officer who may not sign in is no second person.
        let (_, second) = house.person("minho", &[Role::Security]).await;
        assert!(!store.policy_proposal(&admin, id).await.unwrap().may_decide, "there is another officer now");
        store.set_person_active(&admin, second, false).await.unwrap();
        assert_ne!(officer_id, second);
        store.confirm_policy(&admin, id).await.unwrap();
        assert_eq!(store.policy_in_force().await.unwrap().revision, 2);
    }
}

#[tokio::test]
async fn proposals_end_when_declined_withdrawn_replaced_or_overtaken() {
    for house in houses().await {
        let (officer, _) = house.person("sujin", &[Role::Security]).await;
        let (second, _) = house.person("minho", &[Role::Security]).await;
        let store = &house.store;
        let state = async |id| store.policy_proposal(&second, id).await.unwrap().state;
        let declined = store.propose_policy(&officer, &policy("a", 2, &[]), 1).await.unwrap();
        assert!(matches!(store.decline_policy(&second, declined, "").await, Err(StoreError::Invalid { .. })));
        store.decline_policy(&second, declined, "근거가 없음").await.unwrap();
        let withdrawn = store.propose_policy(&officer, &policy("b", 2, &[]), 1).await.unwrap();
        store.withdraw_policy(&officer, withdrawn).await.unwrap();
        let replaced = store.propose_policy(&officer, &policy("c", 2, &[]), 1).await.unwrap();
        let waiting = store.propose_policy(&officer, &policy("d", 2, &[]), 1).await.unwrap();
        let other = store.propose_policy(&second, &policy("e", 2, &[]), 1).await.unwrap();
        store.put_policy_in_force(&second, &policy("stricter", 2, &[]), 1).await.unwrap();
        let ends = [state(declined).await, state(withdrawn).await, state(replaced).await, state(waiting).await];
        use ProposalState::{Declined, Overtaken, Withdrawn};
        assert_eq!(ends, [Declined, Withdrawn, Withdrawn, Overtaken]);
        assert_eq!(state(other).await, Overtaken);
        assert!(matches!(store.confirm_policy(&second, waiting).await, Err(StoreError::Conflict(_))));
        assert_eq!(store.policy_proposals_waiting(&second).await.unwrap(), 0);
        assert_eq!((house.records("policy_declined").await, house.records("policy_withdrawn").await), (1, 1));
    }
}

#[tokio::test]
async fn officers_say_when_they_are_away_and_take_it_back() {
    for house in houses().await {
        let (officer, id) = house.person("sujin", &[Role::Security]).await;
        let (manager, _) = house.person("taeho", &[Role::Manager]).await;
        let (official, _) = house.person("jihun", &[Role::Official]).await;
        let store = &house.store;
        assert!(matches!(store.add_absence(&official, BEGIN, BEGIN + HOUR).await, Err(StoreError::Denied(_))));
        for (from, until) in [(BEGIN + 2, BEGIN + 1), (BEGIN - 2 * HOUR, BEGIN), (BEGIN, BEGIN + 400 * 24 * HOUR)] {
            let refused = store.add_absence(&officer, from, until).await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
        }
        let absence = store.add_absence(&officer, BEGIN + HOUR, BEGIN + 3 * HOUR).await.unwrap();
        let away = async |at| store.officers_away(at).await.unwrap();
        assert_eq!(away(BEGIN + HOUR - 1).await, BTreeSet::new());
        assert_eq!(away(BEGIN + HOUR).await, BTreeSet::from([id]));
        assert_eq!(away(BEGIN + 3 * HOUR).await, BTreeSet::new());
        let seen = store.absences(&manager).await.unwrap();
        assert!(seen.len() == 1 && !seen[0].own && seen[0].name == "sujin", "{seen:?}");
        assert!(matches!(store.remove_absence(&manager, absence).await, Err(StoreError::NotFound)));
        house.now.store(BEGIN + 2 * HOUR, Ordering::SeqCst);
        store.remove_absence(&officer, absence).await.unwrap();
        assert_eq!(away(BEGIN + 2 * HOUR).await, BTreeSet::new());
        let recorded = (house.records("officer_absence_added").await, house.records("officer_absence_removed").await);
        assert_eq!(recorded, (1, 1));
    }
}

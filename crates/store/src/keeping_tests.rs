//! Two people for what lets texts go earlier, reads that are records, and pages of calls that move meanwhile: on SQLite
//! and, where `MADANG_TEST_POSTGRES` names a database, on PostgreSQL.

use crate::StoreError;
use crate::calls_review::ReviewFilter;
use crate::desk_tests::{DAY, House, houses};
use crate::keeping::Change;
use crate::ledger::LedgerFilter;
use crate::retention::{HoldTarget, NewHold, TextKind};
use madang_domain::ExternalCallId;

impl House {
    /// One officer proposes to lift a hold, another confirms.
    pub(crate) async fn lifted(&self, hold: &str) {
        let proposal = self.store.lift_hold(&self.officer, hold, "끝").await.expect("proposed");
        self.store.confirm_keeping(&self.second, &proposal).await.expect("confirmed");
    }

    async fn records(&self, action: &str) -> usize {
        let by_index = self.store.records_of(&self.officer, action, "2000-01-01T00:00:00.000Z").await.expect("counted");
        let filter = LedgerFilter { action: Some(action.into()), ..LedgerFilter::default() };
        assert_eq!(self.store.ledger_count(&self.officer, &filter).await.expect("counted"), by_index, "{action}");
        by_index
    }
}

#[tokio::test]
async fn fewer_days_wait_for_a_second_person() {
    for house in houses().await {
        let store = &house.store;
        let set = async |scope, days| store.set_retention(scope, TextKind::Runs, days, "까닭").await;
        assert!(matches!(set(&house.admin, 400).await, Err(StoreError::Denied(_))), "not the operator");
        assert_eq!(set(&house.admin, 2000).await.unwrap(), None, "longer is in force at once");
        let id = set(&house.officer, 400).await.unwrap().expect("a proposal");
        assert!(matches!(set(&house.second, 500).await, Err(StoreError::Conflict(_))), "one at a time");
        for scope in [&house.officer, &house.admin, &house.asker] {
            assert!(matches!(store.confirm_keeping(scope, &id).await, Err(StoreError::Denied(_))));
        }
        assert_eq!(store.keeping_waiting(&house.second).await.unwrap(), 1);
        assert_eq!(store.keeping_waiting(&house.officer).await.unwrap(), 0);
        let waiting = store.keeping_proposals(&house.second).await.unwrap();
        assert_eq!(waiting[0].change, Change::Shorten { kind: TextKind::Runs, days: 400 });
        assert!(waiting[0].may_decide && !waiting[0].own);
        let days = async || store.retention(&house.officer).await.unwrap()[1].days;
        assert_eq!(days().await, 2000);
        store.confirm_keeping(&house.second, &id).await.unwrap();
        assert_eq!(days().await, 400);
        let (_, record) = house.last_record().await;
        assert_eq!((&record["detail"]["proposal"], &record["detail"]["proposer"]), (&id.into(), &"officer".into()));
        // Taken back, and declined.
        for (decider, action) in [(&house.officer, "keeping_withdrawn"), (&house.second, "keeping_declined")] {
            let id = set(&house.officer, 365).await.unwrap().expect("a proposal");
            assert!(matches!(store.decline_keeping(&house.admin, &id).await, Err(StoreError::Denied(_))));
            store.decline_keeping(decider, &id).await.unwrap();
            assert!(matches!(store.confirm_keeping(&house.second, &id).await, Err(StoreError::Conflict(_))));
            assert_eq!(house.records(action).await, 1);
        }
        assert_eq!((days().await, house.records("keeping_proposed").await), (400, 3));
    }
}

#[tokio::test]
async fn where_there_is_one_officer_an_admin_is_the_second_person() {
    for house in houses().await {
        let call = house.sent("held").await.to_string();
        let new = NewHold { target: HoldTarget::Call, subject: &call, from: None, until: None, reason: "감사" };
        let hold = house.store.place_hold(&house.admin, new).await.unwrap();
        assert!(matches!(house.store.lift_hold(&house.admin, &hold, "끝").await, Err(StoreError::Denied(_))));
        let id = house.store.lift_hold(&house.officer, &hold, "끝").await.unwrap();
        assert!(house.store.holds(&house.officer).await.unwrap()[0].lifted_at.is_none());
        assert!(matches!(house.store.confirm_keeping(&house.admin, &id).await, Err(StoreError::Denied(_))));
        sqlx::query("UPDATE people SET active = 0 WHERE id = $1")
            .bind(house.second.person().to_string())
            .execute(&house.store.pool)
            .await
            .unwrap();
        house.store.confirm_keeping(&house.admin, &id).await.unwrap();
        assert!(house.store.holds(&house.officer).await.unwrap()[0].lifted_at.is_some());
    }
}

#[tokio::test]
async fn reads_are_recorded_once_a_day_and_found_by_their_call() {
    for house in houses().await {
        let (id, other) = (house.sent("a").await, house.sent("b").await);
        let call = house.store.call(&house.officer, id).await.unwrap();
        for (days, expected) in [(0, 1), (0, 1), (1, 2)] {
            house.later(days * DAY);
            house.store.note_read(&house.officer, &call).await.unwrap();
            assert_eq!(house.records("outside_call_read").await, expected);
        }
        house.store.note_read(&house.second, &call).await.unwrap();
        assert_eq!(house.records("outside_call_read").await, 3);
        let (last, _) = house.last_record().await;
        let seqs = house.store.call_records(&house.officer, id).await.unwrap();
        assert_eq!((seqs.len(), seqs.last().copied()), (3, u64::try_from(last).ok()));
        assert_eq!(house.store.call_records(&house.officer, other).await.unwrap(), Vec::<u64>::new());
        assert!(house.store.call_records(&house.asker, id).await.is_err());
    }
}

#[tokio::test]
async fn pages_of_calls_lose_none_that_moves_meanwhile() {
    for house in houses().await {
        let mut all: Vec<ExternalCallId> = Vec::new();
        for body in ["a", "b", "c", "d"] {
            all.insert(0, house.asked(body).await);
        }
        let waiting = ReviewFilter { state: Some("waiting".into()), ..ReviewFilter::default() };
        let page = async |before| house.store.reviewed_calls_before(&house.officer, &waiting, before, 2).await.unwrap();
        let first = page(None).await;
        // What the first page showed leaves the filter: counted by places, two would be passed over.
        for call in &first {
            house.store.cancel_call(&house.asker, call.id).await.unwrap();
        }
        let last = first.last().unwrap();
        let rest = page(Some((last.created_at, last.id))).await;
        assert_eq!(first.iter().chain(&rest).map(|c| c.id).collect::<Vec<_>>(), all);
        assert!(house.store.reviewed_calls_before(&house.asker, &waiting, None, 2).await.is_err());
    }
}

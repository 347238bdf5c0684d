//! The path of a collection and its documents through the database, on SQLite and, where `MADANG_TEST_POSTGRES` names
//! a database, on PostgreSQL: who may read, who may change, grades, states of documents, ends of the process.

mod house;

use house::{houses, new_document, read};
use madang_domain::{DepartmentId, Grade, PassageId};
use madang_store::StoreError;
use madang_store::collection_changes::{CollectionChange, NewCollection};
use madang_store::collections::Because;
use madang_store::documents::{DocumentState, NewDocument};
use madang_store::ingest::MadeReady;
use madang_store::ledger::LedgerFilter;

fn lower(grade: Grade, reason: &str) -> CollectionChange {
    CollectionChange { grade: Some(grade), reason: Some(reason.into()), ..CollectionChange::default() }
}

#[tokio::test]
async fn readers_are_named_and_counted_person_by_person() {
    for house in houses().await {
        let (store, id) = (&house.store, house.collection(Grade::Sensitive).await);
        assert!(matches!(store.collection_summary(&house.stranger, id).await, Err(StoreError::NotFound)));
        assert!(!store.readable_collections(&house.stranger).await.expect("readable").contains(id));
        let readers = store.collection_readers(&house.writer, id).await.expect("readers");
        assert!(readers.iter().all(|r| r.because == Because::OwningDepartment));
        assert_eq!(readers.len(), 2);
        store.set_collection_readers(&house.writer, id, false, &[house.there, house.here]).await.expect("opened");
        let summary = store.collection_summary(&house.stranger, id).await.expect("reads now");
        assert!(!summary.can_change && summary.reader_departments == 1, "the owner is no named reader: {summary:?}");
        let readers = store.collection_readers(&house.stranger, id).await.expect("readers");
        assert_eq!(readers.iter().filter(|r| r.because == Because::ReaderDepartment).count(), 2);
        let denied = store.set_collection_readers(&house.stranger, id, true, &[]).await;
        assert!(matches!(denied, Err(StoreError::Denied(_))), "a reader changes nothing");
        let unknown = store.set_collection_readers(&house.writer, id, false, &[DepartmentId::new()]).await;
        assert!(matches!(unknown, Err(StoreError::Invalid { .. })));
        store.set_collection_readers(&house.writer, id, true, &[]).await.expect("everyone");
        let readers = store.collection_readers(&house.writer, id).await.expect("readers");
        assert!(readers.iter().any(|r| r.id == house.security.person() && r.because == Because::Everyone));
        store.set_collection_readers(&house.writer, id, false, &[]).await.expect("closed");
        assert!(matches!(store.collection_summary(&house.stranger, id).await, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn grades_rise_freely_and_fall_by_a_named_officer() {
    for house in houses().await {
        let (store, id) = (&house.store, house.collection(Grade::Sensitive).await);
        store.set_collection_readers(&house.writer, id, true, &[]).await.expect("everyone");
        store.change_collection(&house.writer, id, lower(Grade::Classified, "")).await.expect("raised");
        let summary = store.collection_summary(&house.writer, id).await.expect("summary");
        assert!(!summary.everyone, "a classified collection is closed to everyone");
        assert!(matches!(store.collection_summary(&house.stranger, id).await, Err(StoreError::NotFound)));
        let refused = store.set_collection_readers(&house.writer, id, true, &[]).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })));
        let reason = "심의회가 공개로 정함";
        let refused = store.change_collection(&house.writer, id, lower(Grade::Open, reason)).await;
        assert!(matches!(refused, Err(StoreError::Denied(_))), "an official does not lower");
        let refused = store.change_collection(&house.manager, id, lower(Grade::Open, " ")).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "nor anyone without a reason");
        store.change_collection(&house.manager, id, lower(Grade::Open, reason)).await.expect("lowered");
        let filter = LedgerFilter { action: Some("grade_lowered".into()), ..LedgerFilter::default() };
        let records = store.ledger(&house.security, &filter, 10, 0).await.expect("ledger");
        assert!(records.iter().any(|r| r.payload.contains(reason) && r.payload.contains("c-manager")));
        let own = NewCollection {
            name: "내 것".into(),
            description: String::new(),
            department: None,
            grade: Grade::Sensitive,
        };
        let own = store.create_collection(&house.manager, own).await.expect("personal");
        let refused = store.change_collection(&house.manager, own, lower(Grade::Open, reason)).await;
        assert!(matches!(refused, Err(StoreError::Denied(_))), "nobody officiates in their own matter");
        let hand = CollectionChange { department: Some(house.here), ..CollectionChange::default() };
        store.change_collection(&house.manager, own, hand).await.expect("handed to the department");
        assert!(store.collection_summary(&house.writer, own).await.expect("readable").can_change);
        let foreign = CollectionChange { department: Some(house.there), ..CollectionChange::default() };
        assert!(store.change_collection(&house.writer, own, foreign).await.is_err());
    }
}

#[tokio::test]
async fn nothing_is_read_of_a_document_that_is_not_ready() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let document = house.document(collection, 'a').await;
        house.claim(document).await;
        let ids = store.store_read_document(document, &read()).await.expect("stored").expect("wanted");
        assert_eq!(house.state(document).await, DocumentState::Indexing);
        assert!(store.passages(&house.writer, &ids).await.expect("query").is_empty(), "half a document");
        assert!(store.passages_by_id(&ids).await.expect("query").is_empty(), "nor for the worker");
        assert!(store.surroundings(&house.writer, ids[0], 5).await.is_err());
        store.make_ready(document).await.expect("ready").expect("wanted");
        let reversed: Vec<_> = ids.iter().rev().copied().collect();
        let passages = store.passages(&house.writer, &reversed).await.expect("query");
        assert_eq!(passages.iter().map(|p| p.id).collect::<Vec<_>>(), reversed, "in the order asked");
        assert!(store.passages(&house.stranger, &ids).await.expect("query").is_empty(), "no right, no word");
        let gone = PassageId::new();
        let asked = [reversed.as_slice(), &[gone]].concat();
        let stored = store.passages_by_id(&asked).await.expect("query");
        assert_eq!(
            stored.iter().map(|p| p.id).collect::<Vec<_>>(),
            reversed,
            "in the order asked, without what is gone"
        );
        assert!(stored.iter().zip(&passages).all(|(s, p)| s.text == p.text && s.document == p.document));
        let around = store.surroundings(&house.writer, ids[1], 4).await.expect("surroundings");
        assert_eq!((around.before.as_str(), around.after.as_str()), ("이다. ", "."));
        let originals = store.delete_document(&house.writer, document).await.expect("deleted");
        assert_eq!(originals, ["a".repeat(64)]);
        assert!(store.passages(&house.writer, &ids).await.expect("query").is_empty());
        assert!(store.pending_index_removals(10).await.expect("queue").contains(&document));
        store.index_removals_done(&[document]).await.expect("done");
        assert!(!store.pending_index_removals(10).await.expect("queue").contains(&document));
    }
}

#[tokio::test]
async fn the_same_bytes_enter_once_and_replacement_waits_for_the_new_one() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let old = house.document(collection, 'b').await;
        let again = store.add_document(&house.writer, collection, new_document('b')).await.expect("again");
        assert!(again.duplicate && again.id == old);
        let refused = store.add_document(&house.stranger, collection, new_document('c')).await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
        house.ready(old).await;
        let elsewhere = house.collection(Grade::Open).await;
        let foreign = NewDocument { replaces: Some(old), ..new_document('d') };
        let refused = store.add_document(&house.writer, elsewhere, foreign.clone()).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "parent and child are checked together");
        let new = store.add_document(&house.writer, collection, foreign).await.expect("added").id;
        assert_eq!(house.state(old).await, DocumentState::Ready, "the old one stays until the new one is read");
        house.claim(new).await;
        store.store_read_document(new, &read()).await.expect("stored").expect("wanted");
        let made = store.make_ready(new).await.expect("ready").expect("wanted");
        let title = new_document('d').title;
        assert_eq!(made, MadeReady { title, replaced: true, unused_originals: Vec::new() });
        assert_eq!(house.state(old).await, DocumentState::Superseded);
    }
}

#[tokio::test]
async fn ends_of_the_process_are_survived_and_counted() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let document = house.document(collection, 'e').await;
        for attempt in 1..=2 {
            assert_eq!(house.claim(document).await.attempt, attempt);
            store.store_read_document(document, &read()).await.expect("stored").expect("wanted");
            assert_eq!(store.recover_documents().await.expect("recovery"), [document]);
            assert_eq!(house.state(document).await, DocumentState::Waiting);
            assert_eq!(store.make_ready(document).await.expect("query"), None, "an old worker cannot finish it");
        }
        house.claim(document).await;
        store.release_document(document).await.expect("a clean stop");
        assert_eq!(house.claim(document).await.attempt, 3, "which is not counted");
        store.recover_documents().await.expect("recovery");
        let view = store.document(&house.writer, document).await.expect("document");
        assert_eq!(view.state, DocumentState::Failed);
        assert!(view.error.is_some_and(|e| e.contains("세 번")));
        store.retry_document(&house.writer, document).await.expect("by hand");
        assert_eq!(house.claim(document).await.attempt, 1);
        store.cancel_document(&house.writer, document).await.expect("cancelled");
        assert_eq!(store.store_read_document(document, &read()).await.expect("query"), None, "the worker is told");
        let refused = store.cancel_document(&house.writer, document).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
    }
}

#[tokio::test]
async fn a_deleted_collection_takes_everything_along() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let (ready, waiting) = (house.document(collection, 'f').await, house.document(collection, '1').await);
        house.ready(ready).await;
        let passages = store.document_passages(&house.writer, ready, 0, 10).await.expect("passages");
        assert_eq!(passages.len(), 2);
        assert!(matches!(store.delete_collection(&house.stranger, collection).await, Err(StoreError::NotFound)));
        let deleted = store.delete_collection(&house.writer, collection).await.expect("deleted");
        assert_eq!(deleted.documents.len(), 2);
        assert!(store.originals_in_use(&deleted.originals).await.expect("query").is_empty());
        assert!(store.passages(&house.writer, &[passages[0].id]).await.expect("query").is_empty());
        assert_eq!(store.claim_document(waiting).await.expect("query").map(|j| j.document), None);
        let removals = store.pending_index_removals(10).await.expect("queue");
        assert!(removals.contains(&ready) && removals.contains(&waiting));
        assert!(matches!(store.collection_summary(&house.writer, collection).await, Err(StoreError::NotFound)));
    }
}

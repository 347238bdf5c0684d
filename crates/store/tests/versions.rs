//! Versions of documents through the database: whichever is read first, the youngest is found, and what was never read
//! leaves nothing behind.

mod house;

use house::{House, houses, read};
use madang_domain::{CollectionId, DocumentId, Grade};
use madang_store::StoreError;

/// Documents that a search of the collection may find.
async fn found(house: &House, collection: CollectionId) -> Vec<DocumentId> {
    house.store.ready_documents_of(collection).await.expect("query")
}

async fn taken_by(house: &House, document: DocumentId) -> Option<DocumentId> {
    house.store.document(&house.writer, document).await.expect("document").superseded_by
}

#[tokio::test]
async fn older_versions_stay_open_and_are_found_no_more() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let first = house.document(collection, 'b').await;
        house.ready(first).await;
        let cited = store.document_passages(&house.writer, first, 0, 9).await.expect("passages");
        let second = house.replace(first, 'c').await;
        // Meant for the first as well, and read after the second.
        let third = house.replace(first, 'd').await;
        house.ready(second).await;
        house.ready(third).await;
        let listed = store.documents(&house.writer, collection, 0, 9).await.expect("list");
        assert_eq!(listed.iter().map(|d| d.id).collect::<Vec<_>>(), [third]);
        assert_eq!(store.collection_summary(&house.writer, collection).await.expect("summary").documents, 1);
        let older = store.document_versions(&house.writer, third).await.expect("versions");
        assert_eq!(
            older.iter().map(|d| (d.id, d.superseded_by)).collect::<Vec<_>>(),
            [(second, Some(third)), (first, Some(second))]
        );
        let ids: Vec<_> = cited.iter().map(|p| p.id).collect();
        assert!(
            store.passages(&house.writer, &ids).await.expect("query").is_empty(),
            "a search finds the newest alone"
        );
        assert!(store.passages_to_index(first).await.expect("query").is_empty());
        assert!(store.pending_index_removals(9).await.expect("queue").contains(&first));
        for passage in &cited {
            let around = store.surroundings(&house.writer, passage.id, 4).await.expect("still open");
            assert_eq!(around.passage.text, passage.text);
            let strange = store.surroundings(&house.stranger, passage.id, 4).await;
            assert!(matches!(strange, Err(StoreError::NotFound)), "to its readers alone");
        }
        // The bytes of an older version may come back as the newest.
        let back = house.replace(third, 'b').await;
        assert_ne!(back, first);
        house.ready(back).await;
        let gone = store.delete_document(&house.writer, back).await.expect("deleted");
        assert_eq!(gone.len(), 4, "with all its versions");
        assert!(matches!(store.document(&house.writer, first).await, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn a_version_that_was_never_read_does_not_shield_the_one_before() {
    for house in houses().await {
        let collection = house.collection(Grade::Open).await;
        let first = house.document(collection, 'a').await;
        house.ready(first).await;
        let second = house.replace(first, 'b').await;
        house.fail(second).await;
        let third = house.replace(second, 'c').await;
        let made = house.ready(third).await;
        assert_eq!(found(&house, collection).await, [third]);
        assert_eq!((made.replaced, made.unused_originals), (true, vec!["b".repeat(64)]));
        assert_eq!(taken_by(&house, first).await, Some(third));
        assert!(matches!(house.store.document(&house.writer, second).await, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn a_slow_older_version_does_not_take_a_younger_ones_place() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let first = house.document(collection, 'a').await;
        house.ready(first).await;
        let second = house.replace(first, 'b').await;
        let third = house.replace(first, 'c').await;
        house.ready(third).await;
        let made = house.ready(second).await;
        assert!(made.replaced, "the index must drop what came in late");
        assert_eq!(found(&house, collection).await, [third]);
        assert_eq!(taken_by(&house, second).await, Some(third));
        assert!(store.pending_index_removals(9).await.expect("queue").contains(&second));
        let versions = store.document_versions(&house.writer, third).await.expect("versions");
        assert_eq!(versions.iter().map(|d| d.id).collect::<Vec<_>>(), [second, first]);
        // One that had failed and is read again by hand is no younger for it.
        let failed = house.replace(third, 'd').await;
        house.fail(failed).await;
        let newest = house.replace(third, 'e').await;
        house.ready(newest).await;
        store.retry_document(&house.writer, failed).await.expect("again");
        house.ready(failed).await;
        assert_eq!(found(&house, collection).await, [newest]);
    }
}

#[tokio::test]
async fn bytes_that_come_back_as_the_newest_version_are_the_newest() {
    for house in houses().await {
        let collection = house.collection(Grade::Open).await;
        let first = house.document(collection, 'a').await;
        house.ready(first).await;
        let failed = house.replace(first, 'b').await;
        house.fail(failed).await;
        let third = house.replace(first, 'c').await;
        house.ready(third).await;
        let back = house.replace(third, 'b').await;
        assert_ne!(back, failed);
        house.ready(back).await;
        assert_eq!(found(&house, collection).await, [back]);
        // Sent twice as the same version, they are one document.
        let again = house.replace(back, 'd').await;
        assert_eq!(house.replace(back, 'd').await, again);
    }
}

#[tokio::test]
async fn deleting_a_version_in_the_middle_leaves_no_gap() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let first = house.document(collection, 'a').await;
        house.ready(first).await;
        let second = house.replace(first, 'b').await;
        house.ready(second).await;
        let third = house.replace(second, 'c').await;
        house.ready(third).await;
        let (of_first, of_second) = (house.replace(first, 'd').await, house.replace(second, 'e').await);
        store.delete_document(&house.writer, second).await.expect("deleted");
        assert_eq!(taken_by(&house, first).await, Some(third));
        house.ready(of_first).await;
        house.ready(of_second).await;
        assert_eq!(found(&house, collection).await, [of_second]);
        assert_eq!(taken_by(&house, third).await, Some(of_first));
        let gone = store.delete_document(&house.writer, of_second).await.expect("deleted");
        assert_eq!(gone.len(), 4, "with all that is left of its versions");
    }
}

#[tokio::test]
async fn what_must_leave_the_index_leaves_before_it_is_read_again() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let document = house.document(collection, 'a').await;
        house.claim(document).await;
        store.cancel_document(&house.writer, document).await.expect("cancelled");
        store.queue_index_removal(document).await.expect("noted");
        store.retry_document(&house.writer, document).await.expect("again");
        let next = house.document(collection, 'b').await;
        let heads = store.waiting_heads().await.expect("heads");
        assert!(heads.iter().all(|h| h.document != document) && heads.iter().any(|h| h.document == next));
        assert!(store.claim_document(document).await.expect("query").is_none());
        store.index_removals_done(&[document]).await.expect("done");
        house.claim(document).await;
        store.queue_index_removal(document).await.expect("noted late");
        store.store_read_document(document, &read()).await.expect("stored").expect("wanted");
        store.make_ready(document).await.expect("ready").expect("wanted");
        assert!(!store.pending_index_removals(9).await.expect("queue").contains(&document));
        assert!(store.was_made_ready(document).await.expect("query"));
        assert!(!store.was_made_ready(next).await.expect("query"));
    }
}

#[tokio::test]
async fn two_versions_that_are_ready_at_once_leave_one() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let first = house.document(collection, 'a').await;
        house.ready(first).await;
        let new = [house.replace(first, 'b').await, house.replace(first, 'c').await];
        for document in new {
            house.claim(document).await;
            store.store_read_document(document, &read()).await.expect("stored").expect("wanted");
        }
        let (one, other) = tokio::join!(store.make_ready(new[0]), store.make_ready(new[1]));
        one.expect("ready").expect("wanted");
        other.expect("ready").expect("wanted");
        assert_eq!(found(&house, collection).await, [new[1]]);
    }
}

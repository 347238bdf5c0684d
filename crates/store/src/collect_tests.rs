//! The path of a collection and its documents through the database, on SQLite and, where `MADANG_TEST_POSTGRES` names
//! an empty database, on PostgreSQL: who may read, who may change, grades, states of documents, ends of the process.

use crate::collection_changes::{CollectionChange, NewCollection};
use crate::collections::Because;
use crate::documents::{DocumentState, NewDocument};
use crate::ingest::{Job, MadeReady, ReadDocument};
use crate::ledger::LedgerFilter;
use crate::people::NewPerson;
use crate::watched::WatchedFile;
use crate::{Clock, Store, StoreError};
use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade, PassageDraft, PassageId, Role, Scope, Span};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

struct House {
    store: Store,
    here: DepartmentId,
    there: DepartmentId,
    writer: Scope,
    manager: Scope,
    stranger: Scope,
    security: Scope,
    _home: tempfile::TempDir,
}

/// Databases to run on, each with a name.
async fn houses() -> Vec<House> {
    let mut urls = vec![None];
    urls.extend(std::env::var("MADANG_TEST_POSTGRES").ok().map(|base| Some(format!("{base}_collect"))));
    let mut out = Vec::new();
    for url in urls {
        out.push(House::open(url).await);
    }
    out
}

impl House {
    async fn open(url: Option<String>) -> Self {
        let home = tempfile::tempdir().expect("temporary folder");
        let clock = Clock::Manual(Arc::new(AtomicI64::new(1_795_328_400_000)));
        let store = match url {
            Some(url) => Store::open(&url, clock).await.expect("PostgreSQL opens"),
            None => Store::open_sqlite(&home.path().join("house.db"), clock).await.expect("SQLite opens"),
        };
        let here = store.create_department_locally("기록과", None).await.expect("department");
        let there = store.create_department_locally("세무과", None).await.expect("department");
        let person = async |login: &str, department, roles: &[Role]| {
            let post = store.create_post_locally(department, login, roles).await.expect("post");
            let new =
                NewPerson { login: login.into(), name: login.into(), password_hash: String::new(), posts: vec![post] };
            let id = store.create_person_locally(new).await.expect("person");
            let secret = store.open_session(id, "127.0.0.1", "test").await.expect("session");
            store.authenticate_session(&secret).await.expect("authentication").expect("signed in").scope
        };
        Self {
            writer: person("c-writer", here, &[Role::Official]).await,
            manager: person("c-manager", here, &[Role::Official, Role::Manager]).await,
            stranger: person("c-stranger", there, &[Role::Official, Role::Manager]).await,
            security: person("c-security", there, &[Role::Official, Role::Security]).await,
            here,
            there,
            _home: home,
            store,
        }
    }

    async fn collection(&self, grade: Grade) -> CollectionId {
        let new =
            NewCollection { name: "기록물".into(), description: String::new(), department: Some(self.here), grade };
        self.store.create_collection(&self.writer, new).await.expect("made")
    }

    async fn document(&self, collection: CollectionId, digest: char) -> DocumentId {
        self.store.add_document(&self.writer, collection, new_document(digest)).await.expect("added").id
    }

    async fn claim(&self, document: DocumentId) -> Job {
        self.store.claim_document(document).await.expect("claim").expect("waits")
    }

    async fn ready(&self, document: DocumentId) {
        self.claim(document).await;
        self.store.store_read_document(document, &read()).await.expect("stored").expect("still wanted");
        self.store.make_ready(document).await.expect("ready").expect("still wanted");
    }

    async fn state(&self, document: DocumentId) -> DocumentState {
        self.store.document(&self.writer, document).await.expect("document").state
    }
}

fn new_document(digest: char) -> NewDocument {
    NewDocument {
        title: "기록물 편람".into(),
        file_name: "기록물 편람.md".into(),
        format: "MD".into(),
        original: digest.to_string().repeat(64),
        bytes: 10,
        replaces: None,
    }
}

fn read() -> ReadDocument {
    let text = "보존기간은 10년이다. 폐기는 심의한다.";
    let passage = |start: usize, end: usize| PassageDraft {
        heading_path: vec!["보존".into()],
        page: None,
        page_estimated: false,
        text: text.chars().skip(start).take(end - start).collect(),
        span: Span { start, end },
    };
    ReadDocument {
        format: "Markdown".into(),
        text: text.into(),
        pages: None,
        pages_estimated: false,
        warnings: Vec::new(),
        passages: vec![passage(0, 12), passage(13, 21)],
    }
}

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
        assert_eq!(made, MadeReady { replaced: true, unused_original: None });
        assert_eq!(house.state(old).await, DocumentState::Superseded);
    }
}

#[tokio::test]
async fn older_versions_stay_open_to_those_who_cited_them_and_are_found_no_more() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let first = house.document(collection, 'b').await;
        house.ready(first).await;
        let cited = store.document_passages(&house.writer, first, 0, 9).await.expect("passages");
        let replace = |old, digest| {
            store.add_document(&house.writer, collection, NewDocument { replaces: Some(old), ..new_document(digest) })
        };
        let second = replace(first, 'c').await.expect("added").id;
        // Meant for the first as well, and read after the second.
        let third = replace(first, 'd').await.expect("added").id;
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
        let back = replace(third, 'b').await.expect("added");
        assert!(!back.duplicate);
        house.ready(back.id).await;
        let gone = store.delete_document(&house.writer, back.id).await.expect("deleted");
        assert_eq!(gone.len(), 4, "with all its versions");
        assert!(matches!(store.document(&house.writer, first).await, Err(StoreError::NotFound)));
    }
}

#[tokio::test]
async fn a_followed_folder_keeps_its_documents_in_step() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let refused = store.connect_folder(&house.stranger, collection, "계획").await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
        store.connect_folder(&house.writer, collection, "계획").await.expect("connected");
        let folder = store.folder_to_look_at(collection).await.expect("query").expect("followed");
        let file = |path: &str, digest: char| WatchedFile {
            path: path.into(),
            bytes: 10,
            modified: 1,
            original: Some(digest.to_string().repeat(64)),
            document: None,
            reason: None,
        };
        let added = store.take_in_file(&folder, file("가.md", 'a'), new_document('a')).await;
        let first = added.expect("query").expect("followed").id;
        house.ready(first).await;
        let known = store.watched_files(collection).await.expect("files");
        assert_eq!(known, [WatchedFile { document: Some(first), ..file("가.md", 'a') }]);
        let moved = WatchedFile { path: "나/다.md".into(), ..known[0].clone() };
        store.move_file(&folder, "가.md", &moved, "다").await.expect("moved");
        let view = store.document(&house.writer, first).await.expect("document");
        assert_eq!((view.title.as_str(), view.file_name.as_str(), view.state), ("다", "다.md", DocumentState::Ready));
        store.remove_file(&folder, &moved).await.expect("removed");
        assert_eq!(house.state(first).await, DocumentState::Superseded);
        assert!(store.watched_files(collection).await.expect("files").is_empty());
        store.disconnect_folder(&house.writer, collection).await.expect("ended");
        let late = store.take_in_file(&folder, file("라.md", 'd'), new_document('d')).await.expect("query");
        assert_eq!(late, None, "a look that was under way adds nothing any more");
        let own =
            NewCollection { name: "내 것".into(), description: String::new(), department: None, grade: Grade::Open };
        let own = store.create_collection(&house.writer, own).await.expect("made");
        assert!(matches!(store.connect_folder(&house.writer, own, "").await, Err(StoreError::Conflict(_))));
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

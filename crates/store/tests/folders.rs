//! Followed folders through the database: files that share a document, documents that somebody uploaded, replacements
//! under way, and whose right it is.

mod house;

use house::{House, houses, member, new_document, read};
use madang_domain::{CollectionId, DocumentId, Grade, Role};
use madang_store::StoreError;
use madang_store::collection_changes::NewCollection;
use madang_store::documents::DocumentState;
use madang_store::ledger::LedgerFilter;
use madang_store::watched::{LetGo, Looked, MOST_WAITING, TakenIn, WatchedFile, WatchedFolder};

fn file(path: &str, digest: char) -> WatchedFile {
    WatchedFile {
        path: path.into(),
        bytes: 10,
        modified: 1,
        original: Some(digest.to_string().repeat(64)),
        document: None,
        reason: None,
    }
}

async fn followed(house: &House, collection: CollectionId) -> WatchedFolder {
    house.store.folder_to_look_at(collection).await.expect("query").expect("followed")
}

/// A collection that follows a folder.
async fn following(house: &House) -> (CollectionId, WatchedFolder) {
    let collection = house.collection(Grade::Open).await;
    house.store.connect_folder(&house.writer, collection, "계획").await.expect("connected");
    (collection, followed(house, collection).await)
}

async fn take_in(house: &House, folder: &WatchedFolder, path: &str, digest: char) -> TakenIn {
    let taken = house.store.take_in_file(folder, file(path, digest), new_document(digest)).await;
    taken.expect("query").expect("followed")
}

async fn taken_and_ready(house: &House, folder: &WatchedFolder, path: &str, digest: char) -> DocumentId {
    let document = take_in(house, folder, path, digest).await.document;
    house.ready(document).await;
    document
}

/// The file as the last look saw it.
async fn known(house: &House, folder: &WatchedFolder, path: &str) -> WatchedFile {
    let files = house.store.watched_files(folder.collection).await.expect("files");
    files.into_iter().find(|f| f.path == path).expect("known")
}

async fn is_gone(house: &House, document: DocumentId) -> bool {
    matches!(house.store.document(&house.writer, document).await, Err(StoreError::NotFound))
}

#[tokio::test]
async fn a_followed_folder_keeps_its_documents_in_step() {
    for house in houses().await {
        let (store, collection) = (&house.store, house.collection(Grade::Open).await);
        let refused = store.connect_folder(&house.stranger, collection, "계획").await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
        store.connect_folder(&house.writer, collection, "계획").await.expect("connected");
        let folder = followed(&house, collection).await;
        let added = store.take_in_file(&folder, file("가.md", 'a'), new_document('a')).await;
        let first = added.expect("query").expect("followed").document;
        house.ready(first).await;
        let known = store.watched_files(collection).await.expect("files");
        assert_eq!(known, [WatchedFile { document: Some(first), ..file("가.md", 'a') }]);
        let moved = WatchedFile { path: "나/다.md".into(), ..known[0].clone() };
        store.move_file(&folder, "가.md", &moved, "다.md", "다").await.expect("moved");
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
async fn a_file_that_goes_while_its_change_is_read_takes_both_along() {
    for house in houses().await {
        let (_, folder) = following(&house).await;
        let first = taken_and_ready(&house, &folder, "가.md", 'a').await;
        let second = take_in(&house, &folder, "가.md", 'b').await.document;
        let gone = house.store.remove_file(&folder, &known(&house, &folder, "가.md").await).await.expect("removed");
        assert_eq!(gone, LetGo { documents: vec![second, first], unused: vec!["b".repeat(64)] });
        assert_eq!(house.state(first).await, DocumentState::Superseded);
        assert!(is_gone(&house, second).await);
    }
}

#[tokio::test]
async fn files_of_the_same_bytes_keep_their_document() {
    for house in houses().await {
        let (_, folder) = following(&house).await;
        let shared = taken_and_ready(&house, &folder, "가.md", 'a').await;
        let other = take_in(&house, &folder, "나.md", 'a').await;
        assert!(other.duplicate && other.document == shared);
        let edited = taken_and_ready(&house, &folder, "나.md", 'b').await;
        assert_eq!(house.state(shared).await, DocumentState::Ready, "the other file holds it");
        // The last of them to change takes it along.
        let last = taken_and_ready(&house, &folder, "가.md", 'c').await;
        assert_eq!(house.state(shared).await, DocumentState::Superseded);
        for document in [edited, last] {
            assert_eq!(house.state(document).await, DocumentState::Ready);
        }
        // One that becomes a copy of the other leaves nothing behind.
        let copied = take_in(&house, &folder, "가.md", 'b').await;
        assert_eq!((copied.document, copied.gone.documents), (edited, vec![last]));
        assert_eq!(house.state(last).await, DocumentState::Superseded);
        // A shared document keeps its name when one of its files moves.
        let moved = WatchedFile { path: "다.md".into(), ..known(&house, &folder, "가.md").await };
        house.store.move_file(&folder, "가.md", &moved, "다.md", "다").await.expect("moved");
        assert_eq!(house.store.document(&house.writer, edited).await.expect("document").title, new_document('b').title);
    }
}

#[tokio::test]
async fn a_file_that_goes_back_to_what_it_was_keeps_it() {
    for house in houses().await {
        let (collection, folder) = following(&house).await;
        let first = taken_and_ready(&house, &folder, "가.md", 'a').await;
        let second = take_in(&house, &folder, "가.md", 'b').await.document;
        let back = take_in(&house, &folder, "가.md", 'a').await;
        assert_eq!((back.document, back.gone.documents), (first, vec![second]));
        assert!(is_gone(&house, second).await);
        // A change under way in another file of its own does not take it either.
        let third = take_in(&house, &folder, "가.md", 'c').await.document;
        assert_eq!(take_in(&house, &folder, "나.md", 'a').await.document, first);
        house.ready(third).await;
        let found = house.store.ready_documents_of(collection).await.expect("query");
        assert_eq!(found, [first, third]);
    }
}

#[tokio::test]
async fn what_somebody_uploaded_is_not_the_folders_to_take_away() {
    for house in houses().await {
        let (store, (collection, folder)) = (&house.store, following(&house).await);
        let own = house.document(collection, 'a').await;
        house.ready(own).await;
        assert_eq!(take_in(&house, &folder, "가.md", 'a').await.document, own);
        let gone = store.remove_file(&folder, &known(&house, &folder, "가.md").await).await.expect("removed");
        assert_eq!(gone, LetGo::default());
        assert_eq!(house.state(own).await, DocumentState::Ready);
        // Nor does a change of the file replace it.
        take_in(&house, &folder, "가.md", 'a').await;
        let edited = taken_and_ready(&house, &folder, "가.md", 'b').await;
        assert_eq!(house.state(own).await, DocumentState::Ready);
        // What a folder brought and somebody uploads as well is theirs.
        let again = store.add_document(&house.writer, collection, new_document('b')).await.expect("again");
        assert!(again.duplicate && again.id == edited);
        store.remove_file(&folder, &known(&house, &folder, "가.md").await).await.expect("removed");
        assert_eq!(house.state(edited).await, DocumentState::Ready);
    }
}

#[tokio::test]
async fn what_is_gone_already_is_not_recorded_again() {
    for house in houses().await {
        let (store, (_, folder)) = (&house.store, following(&house).await);
        let document = taken_and_ready(&house, &folder, "가.md", 'a').await;
        store.delete_document(&house.writer, document).await.expect("by hand");
        store.remove_file(&folder, &known(&house, &folder, "가.md").await).await.expect("removed");
        let only = LedgerFilter { action: Some("document_withdrawn".into()), ..LedgerFilter::default() };
        let entries = store.ledger_count(&house.security, &only).await.expect("record");
        assert_eq!(entries, 0);
    }
}

#[tokio::test]
async fn the_right_of_whoever_connected_is_asked_at_every_step() {
    for house in houses().await {
        let (store, (collection, folder)) = (&house.store, following(&house).await);
        let admin = member(store, "f-admin", house.there, &[Role::Admin]).await;
        let allowed = async || followed(&house, collection).await.allowed;
        let refused = async |folder: &WatchedFolder| {
            store.take_in_file(folder, file("가.md", 'a'), new_document('a')).await.expect("query").is_none()
        };
        assert!(allowed().await);
        store.set_person_active(&admin, house.writer.person(), false).await.expect("suspended");
        assert!(!allowed().await && refused(&folder).await, "suspended");
        store.set_person_active(&admin, house.writer.person(), true).await.expect("restored");
        assert!(allowed().await);
        let elsewhere = store.create_post_locally(house.there, "옮긴 자리", &[Role::Official]).await.expect("post");
        store.move_person(&admin, house.writer.person(), None, Some(elsewhere)).await.expect("moved");
        assert!(!allowed().await && refused(&folder).await, "moved");
        // Whoever connects the same folder anew goes on where it stood.
        let first = {
            store.connect_folder(&house.manager, collection, "계획").await.expect("anew");
            let folder = followed(&house, collection).await;
            assert!(folder.allowed);
            take_in(&house, &folder, "가.md", 'a').await.document
        };
        assert!(refused(&folder).await, "a look in the name of the other is over");
        store.connect_folder(&house.manager, collection, "계획").await.expect("again");
        let folder = followed(&house, collection).await;
        assert_eq!(known(&house, &folder, "가.md").await.document, Some(first));
    }
}

#[tokio::test]
async fn a_folder_leaves_room_for_what_people_upload() {
    for house in houses().await {
        let (store, (collection, folder)) = (&house.store, following(&house).await);
        assert_eq!(store.folder_room(collection).await.expect("room"), MOST_WAITING);
        take_in(&house, &folder, "가.md", 'a').await;
        assert_eq!(store.folder_room(collection).await.expect("room"), MOST_WAITING - 1);
    }
}

#[tokio::test]
async fn many_missing_files_go_when_somebody_says_so() {
    for house in houses().await {
        let (store, (collection, folder)) = (&house.store, following(&house).await);
        let refused = store.allow_removals(&house.writer, collection).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "none is missing");
        let looked = Looked { files: 3, missing: 7, ..Looked::default() };
        store.looked_at_folder(&folder, Ok(looked)).await.expect("noted");
        assert!(matches!(store.allow_removals(&house.stranger, collection).await, Err(StoreError::NotFound)));
        store.allow_removals(&house.writer, collection).await.expect("allowed");
        // A look that began before does not use it up.
        store.looked_at_folder(&folder, Ok(looked)).await.expect("noted");
        let next = followed(&house, collection).await;
        assert_eq!(next.removal_allowed, 7);
        store.looked_at_folder(&next, Ok(looked)).await.expect("noted");
        assert_eq!(followed(&house, collection).await.removal_allowed, 0);
    }
}

#[tokio::test]
async fn a_file_renamed_while_it_is_read_is_told_of() {
    for house in houses().await {
        let (store, (_, folder)) = (&house.store, following(&house).await);
        let document = take_in(&house, &folder, "가.md", 'a').await.document;
        let claimed = house.claim(document).await.title;
        store.store_read_document(document, &read()).await.expect("stored").expect("wanted");
        let moved = WatchedFile { path: "나.md".into(), ..known(&house, &folder, "가.md").await };
        store.move_file(&folder, "가.md", &moved, "나.md", "나").await.expect("moved");
        let made = store.make_ready(document).await.expect("ready").expect("wanted");
        assert!(made.title == "나" && made.title != claimed, "{made:?}");
    }
}

#[tokio::test]
async fn withdrawn_documents_are_listed_until_they_are_deleted() {
    for house in houses().await {
        let (store, (collection, folder)) = (&house.store, following(&house).await);
        let first = taken_and_ready(&house, &folder, "가.md", 'a').await;
        let second = taken_and_ready(&house, &folder, "가.md", 'b').await;
        let listed = async || {
            let listed = store.withdrawn_documents(&house.writer, collection, 9).await.expect("list");
            listed.iter().map(|d| d.id).collect::<Vec<_>>()
        };
        assert_eq!(listed().await, [], "an older version has a successor");
        store.remove_file(&folder, &known(&house, &folder, "가.md").await).await.expect("removed");
        assert_eq!(listed().await, [second]);
        let gone = store.delete_document(&house.writer, second).await.expect("deleted");
        assert_eq!(gone.len(), 2, "with its older version");
        assert!(is_gone(&house, first).await);
    }
}

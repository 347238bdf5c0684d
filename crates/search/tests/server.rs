//! What can go wrong on the way to a Qdrant server, at a stand-in: keys, certificates, broken lines, collections that are
//! lost or that somebody else opened.
#![allow(clippy::disallowed_methods, reason = "tests make their own readers")]

#[path = "../../../tests/src/certificate.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod certificate;
mod support;

use madang_domain::{CollectionId, DocumentId};
use madang_search::{Index, PassageVector, Place, QdrantServer, SearchError, VectorModel};
use std::sync::atomic::Ordering;
use support::qdrant::{Manner, StandIn};
use support::{folder, passage, search};

fn place(at: QdrantServer) -> Place {
    Place::Server(Box::new(at))
}

fn three(index: &Index) -> (CollectionId, DocumentId) {
    let (collection, document) = (CollectionId::new(), DocumentId::new());
    let texts = ["여권 발급", "주차 요금", "등본 발급"];
    index.upsert(&texts.map(|t| passage(collection, document, "", t))).expect("upsert");
    (collection, document)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn a_wrong_key_is_told_and_never_printed() {
    let server = StandIn::start(Manner { key: Some("right-key".into()), ..Manner::default() });
    let dir = folder();
    let index = Index::open_at(dir.path(), &place(server.address())).expect("the right key opens");
    let (collection, _) = three(&index);
    assert_eq!(search(&index, "발급", &[collection]).len(), 2);
    drop(index);
    for key in [Some("wrong-key".to_owned()), None] {
        let Err(error) = Index::open_at(dir.path(), &place(QdrantServer { key, ..server.address() })) else {
            panic!("opened without the key");
        };
        assert!(matches!(error, SearchError::Refused), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("-key"));
    }
    assert_eq!(
        Index::open_at(dir.path(), &place(server.address())).expect("nothing was lost").count().expect("count"),
        3
    );
}

#[test]
fn a_certificate_must_be_of_the_named_authority() {
    let (ours, theirs) =
        (certificate::Authority::new().expect("authority"), certificate::Authority::new().expect("authority"));
    let leaf = ours.leaf().expect("leaf");
    let dir = folder();
    let file = |name: &str, authority: &certificate::Authority| {
        let path = dir.path().join(name);
        std::fs::write(&path, authority.pem()).expect("write");
        path
    };
    let (right, wrong) = (file("ours.pem", &ours), file("theirs.pem", &theirs));
    let tls = Some((pem("CERTIFICATE", &leaf.certificate), pem("PRIVATE KEY", &leaf.key), right));
    let server = StandIn::start(Manner { tls, key: Some("k".into()) });
    let at = server.address();
    let home = dir.path().join("index");
    let index = Index::open_at(&home, &place(at.clone())).expect("over TLS");
    let (collection, _) = three(&index);
    assert_eq!(search(&index, "주차", &[collection]).len(), 1);
    drop(index);
    let untrusted = QdrantServer { authority: Some(wrong), ..at.clone() };
    assert!(matches!(Index::open_at(&home, &place(untrusted)), Err(SearchError::Unreachable(_))));
    let plain = QdrantServer { url: at.url.replace("https", "http"), ..at };
    assert!(matches!(Index::open_at(&home, &place(plain)), Err(SearchError::Unreachable(_))));
}

#[test]
fn collections_are_made_as_the_settings_say() {
    let (server, dir) = (StandIn::start(Manner::default()), folder());
    let at = QdrantServer { prefix: "city".into(), shards: Some(3), replicas: 2, ..server.address() };
    let index = Index::open_at(dir.path(), &place(at)).expect("open");
    index.choose_vectors(Some(VectorModel { fingerprint: "m1".into(), dimension: 4 })).expect("choose");
    let names = server.rooms.names();
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("city-") && names[1].ends_with("-dense-m1"), "{names:?}");
    for name in &names {
        let made = server.rooms.made(name);
        assert_eq!(
            (made.shard_number, made.replication_factor, made.write_consistency_factor),
            (Some(3), Some(2), Some(2))
        );
    }
    index.choose_vectors(None).expect("choose");
    assert_eq!(server.rooms.names(), names[..1]);
}

#[test]
fn a_lost_collection_asks_for_a_rebuild() {
    let (server, dir) = (StandIn::start(Manner::default()), folder());
    let at = place(server.address());
    let index = Index::open_at(dir.path(), &at).expect("open");
    let (collection, document) = three(&index);
    drop(index);
    let name = server.rooms.names().remove(0);
    server.rooms.lose(&name);
    assert!(matches!(Index::open_at(dir.path(), &at), Err(SearchError::NeedsRebuild { .. })));
    let index = Index::recreate_at(dir.path(), &at).expect("recreate");
    assert_eq!(index.count().expect("count"), 0);
    three(&index);
    // The notes of the folder lost: what lies on the server is not taken for the index of this one.
    drop(index);
    std::fs::remove_file(dir.path().join("meta.json")).expect("remove");
    let index = Index::open_at(dir.path(), &at).expect("a new one");
    assert_eq!(index.count_document(document).expect("count"), 0);
    assert!(search(&index, "여권", &[collection]).is_empty());
    // A folder of the other home is not opened as this one.
    drop(index);
    assert!(matches!(Index::open(dir.path()), Err(SearchError::NeedsRebuild { .. })));
}

#[test]
fn lost_vectors_are_waited_for_again() {
    let (server, dir) = (StandIn::start(Manner::default()), folder());
    let at = place(server.address());
    let model = VectorModel { fingerprint: "m1".into(), dimension: 2 };
    let give = |index: &Index| {
        let waiting = index.waiting("m1", None, 10).expect("waiting");
        let vector = |w: &madang_search::Waiting| PassageVector {
            passage: w.passage,
            document: w.document,
            vector: vec![1.0, 0.5],
        };
        index.put_vectors("m1", &waiting.iter().map(vector).collect::<Vec<_>>()).expect("put")
    };
    let index = Index::open_at(dir.path(), &at).expect("open");
    three(&index);
    index.choose_vectors(Some(model)).expect("choose");
    assert_eq!(give(&index), 3);
    assert_eq!(give(&index), 0);
    drop(index);
    let dense = server.rooms.names().into_iter().find(|n| n.ends_with("-dense-m1")).expect("vectors");
    server.rooms.lose(&dense);
    let index = Index::open_at(dir.path(), &at).expect("words are whole");
    assert_eq!((index.count().expect("count"), give(&index)), (3, 3));
    assert_eq!(index.vector_coverage("m1").expect("coverage").done, 3);
}

#[test]
fn a_write_that_failed_is_known_to_the_next_start() {
    let (server, dir) = (StandIn::start(Manner::default()), folder());
    let at = place(server.address());
    let index = Index::open_at(dir.path(), &at).expect("open");
    let (collection, kept) = three(&index);
    let broken = DocumentId::new();
    server.rooms.failing.store(1, Ordering::SeqCst);
    let failed = index.upsert(&[passage(collection, broken, "", "청사 방호")]);
    assert!(matches!(failed, Err(SearchError::Unreachable(_))), "{failed:?}");
    // The line is there again: nothing is left open.
    index.upsert(&[passage(collection, broken, "", "청사 방호")]).expect("upsert");
    assert_eq!((index.count().expect("count"), index.count_document(kept).expect("count")), (4, 3));
    drop(index);
    let index = Index::open_at(dir.path(), &at).expect("open");
    assert!(index.interrupted().is_empty());
    drop(index);
    // Cut off in the middle: dropped and named.
    let unsettled = serde_json::json!({ "documents": [broken], "collections": [] });
    std::fs::write(dir.path().join("unsettled.json"), unsettled.to_string()).expect("write");
    let index = Index::open_at(dir.path(), &at).expect("open");
    assert_eq!(index.interrupted(), [broken]);
    assert_eq!(index.count().expect("count"), 3);
}

#[test]
fn a_copied_home_cannot_write_beside_the_other() {
    let (server, dir, copied) = (StandIn::start(Manner::default()), folder(), folder());
    let at = place(server.address());
    let first = Index::open_at(dir.path(), &at).expect("open");
    let (collection, _) = three(&first);
    std::fs::copy(dir.path().join("meta.json"), copied.path().join("meta.json")).expect("copy");
    let second = Index::open_at(copied.path(), &at).expect("open the copy");
    second.upsert(&[passage(collection, DocumentId::new(), "", "여권 사진")]).expect("the last one writes");
    let refused = first.upsert(&[passage(collection, DocumentId::new(), "", "여권 접수")]);
    assert!(matches!(refused, Err(SearchError::Taken)), "{refused:?}");
    assert!(matches!(
        first.choose_vectors(Some(VectorModel { fingerprint: "m".into(), dimension: 2 })),
        Err(SearchError::Taken)
    ));
    assert_eq!(second.count().expect("count"), 4);
}

#[test]
fn a_server_that_ends_is_told_and_found_again_by_nobody() {
    let (server, dir) = (StandIn::start(Manner::default()), folder());
    let at = server.address();
    let index = Index::open_at(dir.path(), &place(at)).expect("open");
    let (collection, _) = three(&index);
    drop(server);
    let readable = support::readable(&[collection]);
    let asked = index.search("여권", &readable, &madang_search::SearchOptions::default());
    assert!(matches!(asked, Err(SearchError::Unreachable(_))), "{asked:?}");
    assert!(matches!(index.remove_documents(&[DocumentId::new()]), Err(SearchError::Unreachable(_))));
}

/// Set, the stand-in serves at the printed address until its input ends: for trying the program against it by hand.
#[test]
fn stands_in_by_itself() {
    if std::env::var_os("MADANG_TEST_STAND_IN").is_some() {
        let server = StandIn::start(Manner::default());
        println!("{}", server.address().url);
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("input");
    }
}

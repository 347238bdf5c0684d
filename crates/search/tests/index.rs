//! The index through its public face: isolation, removal, durability, damage, copies, odd queries.
#![allow(clippy::disallowed_methods, reason = "tests make their own readers")]

use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use madang_search::{Hit, Index, IndexedPassage, SearchError, SearchOptions};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

fn passage(collection: CollectionId, document: DocumentId, title: &str, text: &str) -> IndexedPassage {
    IndexedPassage {
        id: PassageId::new(),
        collection,
        document,
        title: title.into(),
        heading_path: vec!["개요".into()],
        text: text.into(),
    }
}

fn search(index: &Index, query: &str, readable: &[CollectionId]) -> Vec<Hit> {
    let readable = ReadableCollections::resolved(readable.to_vec());
    index.search(query, &readable, &SearchOptions::default()).expect("search")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// Twenty documents of two passages each in one collection.
fn filled(dir: &Path) -> (Index, CollectionId, Vec<DocumentId>) {
    let index = Index::open(dir).expect("open");
    let collection = CollectionId::new();
    let documents: Vec<_> = (0..20).map(|_| DocumentId::new()).collect();
    let passages: Vec<_> = documents
        .iter()
        .enumerate()
        .flat_map(|(i, d)| {
            ["여권 발급 수수료", "공영주차장 정기권 요금"]
                .map(|text| passage(collection, *d, &format!("안내 {i}"), &format!("{text} {i}호 안내문입니다.")))
        })
        .collect();
    index.upsert(&passages).expect("upsert");
    (index, collection, documents)
}

#[test]
fn finds_through_particles_spacing_and_titles() {
    let dir = temporary();
    let index = Index::open(dir.path()).expect("open");
    let collection = CollectionId::new();
    let resident = passage(collection, DocumentId::new(), "민원 안내", "주민등록등본은 무인발급기에서 뗄 수 있다.");
    let parking =
        passage(collection, DocumentId::new(), "주차 요금표", "한 시간에 천 원이며 하루 만 원을 넘지 않는다.");
    index.upsert(&[resident.clone(), parking.clone()]).expect("upsert");
    for (query, wanted) in [
        ("주민등록 등본을 어디서 떼나요?", &resident),
        ("무인 발급기", &resident),
        ("주차요금은 얼마인가요", &parking),
        ("개요 주차", &parking),
    ] {
        assert_eq!(search(&index, query, &[collection]).first().map(|h| h.passage), Some(wanted.id), "{query}");
    }
}

#[test]
fn readers_see_their_collections_only() {
    let dir = temporary();
    let index = Index::open(dir.path()).expect("open");
    let (mine, theirs) = (CollectionId::new(), CollectionId::new());
    let passages: Vec<_> = (0..30)
        .map(|i| passage(if i % 3 == 0 { mine } else { theirs }, DocumentId::new(), "감사 결과", "징계 의결 내용"))
        .collect();
    index.upsert(&passages).expect("upsert");
    let readable = ReadableCollections::resolved(vec![mine]);
    let options = SearchOptions { limit: 100, ..SearchOptions::default() };
    let hits = index.search("징계 의결", &readable, &options).expect("search");
    assert_eq!(hits.len(), 10);
    assert!(hits.iter().all(|h| h.collection == mine));
    assert!(search(&index, "징계", &[CollectionId::new()]).is_empty());
    assert!(search(&index, "징계", &[]).is_empty());

    // A document of a collection that is not readable stays closed when asked for by id.
    let closed = passages.iter().find(|p| p.collection == theirs).expect("one").document;
    let options = SearchOptions { documents: Some(vec![closed]), ..SearchOptions::default() };
    assert!(index.search("징계", &readable, &options).expect("search").is_empty());
    let open = passages.iter().find(|p| p.collection == mine).expect("one").document;
    let options = SearchOptions { documents: Some(vec![open]), ..SearchOptions::default() };
    assert_eq!(index.search("징계", &readable, &options).expect("search").len(), 1);
}

#[test]
fn removal_is_seen_at_once_and_stays() {
    let dir = temporary();
    let (index, collection, documents) = filled(dir.path());
    index.remove_documents(&documents[..1]).expect("remove");
    assert_eq!(index.count().expect("count"), 38);
    assert_eq!(index.count_document(documents[0]).expect("count"), 0);
    index.optimise().expect("optimise");
    index.remove_documents(&documents[1..2]).expect("remove");
    let readable = ReadableCollections::resolved(vec![collection]);
    let options = SearchOptions { limit: 100, ..SearchOptions::default() };
    let left: HashSet<_> =
        index.search("여권", &readable, &options).expect("search").into_iter().map(|h| h.document).collect();
    assert_eq!(left, documents[2..].iter().copied().collect());
    drop(index);
    let index = Index::open(dir.path()).expect("open");
    assert_eq!(index.count().expect("count"), 36);
    index.remove_collection(collection).expect("remove");
    assert_eq!(index.count().expect("count"), 0);
    assert!(search(&index, "여권", &[collection]).is_empty());
}

#[test]
fn the_same_passage_replaces_itself() {
    let dir = temporary();
    let index = Index::open(dir.path()).expect("open");
    let collection = CollectionId::new();
    let mut one = passage(collection, DocumentId::new(), "", "상수도 요금 감면");
    index.upsert(std::slice::from_ref(&one)).expect("upsert");
    one.text = "하수도 준설 계획".into();
    index.upsert(&[one]).expect("upsert");
    assert_eq!(index.count().expect("count"), 1);
    assert!(search(&index, "요금 감면", &[collection]).is_empty());
    assert_eq!(search(&index, "준설", &[collection]).len(), 1);
}

#[test]
fn reopening_keeps_scores_and_one_process_holds_it() {
    let dir = temporary();
    let (index, collection, _) = filled(dir.path());
    let before = search(&index, "공영주차장 요금", &[collection]);
    assert!(matches!(Index::open(dir.path()), Err(SearchError::InUse(_))));
    drop(index);
    let index = Index::open(dir.path()).expect("open");
    assert_eq!(search(&index, "공영주차장 요금", &[collection]), before);
    let health = index.check().expect("sound");
    assert_eq!((health.passages, health.interrupted), (40, vec![]));
}

#[test]
fn a_closed_folder_opens_elsewhere() {
    let (dir, other) = (temporary(), temporary());
    let (index, collection, _) = filled(dir.path());
    drop(index);
    let to = other.path().join("copy");
    copy_tree(dir.path(), &to);
    Index::open(dir.path()).expect("open").remove_collection(collection).expect("remove");
    let copy = Index::open(&to).expect("open the copy");
    assert_eq!(copy.count().expect("count"), 40);
    assert!(!search(&copy, "여권", &[collection]).is_empty());
}

#[test]
fn passages_without_words_do_no_harm() {
    let dir = temporary();
    let index = Index::open(dir.path()).expect("open");
    let collection = CollectionId::new();
    let mut empty = passage(collection, DocumentId::new(), "", "--- ***");
    empty.heading_path.clear();
    index.upsert(&[empty, passage(collection, DocumentId::new(), "", "가로등 보수")]).expect("upsert");
    assert_eq!(search(&index, "가로등", &[collection]).len(), 1);
}

#[test]
fn write_ahead_files_do_not_pile_up() {
    let dir = temporary();
    let index = Index::open(dir.path()).expect("open");
    let (collection, document) = (CollectionId::new(), DocumentId::new());
    let words: String = (0..3000).map(|i| format!("{i} ")).collect();
    for _ in 0..12 {
        let batch: Vec<_> = (0..64).map(|_| passage(collection, document, "", &words)).collect();
        index.upsert(&batch).expect("upsert");
    }
    let closed = |dir: &Path| {
        let entries = fs::read_dir(dir.join("shard/wal")).expect("wal").flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with("closed-")).count()
    };
    assert!(closed(dir.path()) > 4, "the test writes too little: {}", closed(dir.path()));
    index.optimise().expect("optimise");
    assert!(closed(dir.path()) <= 1);
    // The operation counter went on: a later write is not taken for an old one.
    index.remove_documents(&[document]).expect("remove");
    assert_eq!(index.count().expect("count"), 0);
    index.upsert(&[passage(collection, document, "", "다시 넣은 글")]).expect("upsert");
    drop(index);
    assert_eq!(search(&Index::open(dir.path()).expect("open"), "다시 넣은", &[collection]).len(), 1);
}

// ---- damage ----------------------------------------------------------------------------------------------------

/// Opens a damaged index: it is either sound (and whole) or asks for a rebuild.
fn survives(dir: &Path, passages: usize, what: &str) {
    match Index::open(dir) {
        Ok(index) => assert_eq!(index.count().expect("count"), passages, "{what}: silently lost passages"),
        Err(SearchError::NeedsRebuild { reason }) => assert!(!reason.is_empty()),
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Whatever is in the folder, a new index can be made there.
fn can_start_anew(dir: &Path) {
    let index = Index::recreate(dir).expect("recreate");
    assert_eq!(index.count().expect("count"), 0);
}

fn needs_rebuild(dir: &Path) -> bool {
    matches!(Index::open(dir), Err(SearchError::NeedsRebuild { .. }))
}

#[test]
fn another_analyser_version_asks_for_a_rebuild() {
    let dir = temporary();
    drop(filled(dir.path()));
    let path = dir.path().join("meta.json");
    let mut meta: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("meta")).expect("json");
    meta["analyser"] = 9999.into();
    fs::write(&path, meta.to_string()).expect("write");
    assert!(needs_rebuild(dir.path()));
    fs::write(&path, "{").expect("write");
    assert!(needs_rebuild(dir.path()));
    fs::remove_file(&path).expect("remove");
    assert!(needs_rebuild(dir.path()));
    can_start_anew(dir.path());
}

#[test]
fn a_lost_shard_asks_for_a_rebuild() {
    let dir = temporary();
    drop(filled(dir.path()));
    fs::remove_dir_all(dir.path().join("shard/segments")).expect("remove");
    assert!(needs_rebuild(dir.path()));
    fs::remove_dir_all(dir.path().join("shard")).expect("remove");
    assert!(needs_rebuild(dir.path()));
    can_start_anew(dir.path());
    fs::write(dir.path().join("stray"), "x").expect("write");
    fs::remove_dir_all(dir.path().join("shard")).expect("remove");
    fs::write(dir.path().join("shard"), "a file in the folder's place").expect("write");
    assert!(needs_rebuild(dir.path()));
    can_start_anew(dir.path());
}

fn files_below(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("folder").flatten() {
        if entry.path().is_dir() {
            files_below(&entry.path(), out);
        } else {
            out.push(entry.path());
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let whole = temporary();
    let (index, _, _) = filled(whole.path());
    let copies = temporary();
    let original = copies.path().join("original");
    drop(index);
    copy_tree(whole.path(), &original);
    fs::remove_file(original.join("lock")).expect("the lock says nothing");
    let mut names = Vec::new();
    files_below(&original, &mut names);
    let names: Vec<_> = names.iter().map(|n| n.strip_prefix(&original).expect("below").to_owned()).collect();
    assert!(names.len() > 10, "an index has many files");
    for (i, name) in names.iter().enumerate() {
        // Every file is cut in half; every other one is also lost or overwritten.
        for kind in ["halved", if i % 2 == 0 { "removed" } else { "overwritten" }] {
            let dir = copies.path().join(format!("{i}-{kind}"));
            copy_tree(&original, &dir);
            let file = dir.join(name);
            match kind {
                "removed" => fs::remove_file(&file).expect("remove"),
                "overwritten" => fs::write(&file, [0xA5_u8; 64]).expect("write"),
                _ => {
                    let half = fs::metadata(&file).expect("metadata").len() / 2;
                    fs::File::options().write(true).open(&file).and_then(|f| f.set_len(half)).expect("cut");
                }
            }
            survives(&dir, 40, &format!("{} {kind}", name.display()));
            fs::remove_dir_all(&dir).expect("clean");
        }
    }
}

/// Set for the child process that opens a damaged index: damage can end a whole process.
const OPENED: &str = "MADANG_SEARCH_TEST_OPENED";

/// Bytes turned over in every file: whatever still opens holds every passage; what does not, or ends the process that
/// opens it, is made anew from the passages with the same results.
#[test]
fn damage_is_mended_with_the_same_results() {
    if let Some(dir) = std::env::var_os(OPENED) {
        let index = Index::open(Path::new(&dir));
        std::process::exit(if index.is_ok() { 0 } else { 1 });
    }
    let whole = temporary();
    let collection = CollectionId::new();
    let passages: Vec<_> = texts(200).iter().map(|t| passage(collection, DocumentId::new(), "안내", t)).collect();
    let index = Index::open(whole.path()).expect("open");
    index.upsert(&passages).expect("upsert");
    index.optimise().expect("optimise");
    let queries = ["여권 7호", "주차 요금 31호", "안내문"];
    let readable = ReadableCollections::resolved(vec![collection]);
    // All of them: among equals the engine cuts off where it likes.
    let all = SearchOptions { limit: 1000, ..SearchOptions::default() };
    let answers = |index: &Index| queries.map(|q| index.search(q, &readable, &all).unwrap_or_default());
    let before = answers(&index);
    drop(index);
    let mut names = Vec::new();
    files_below(whole.path(), &mut names);
    let (mut found, mut ended) = (0, 0);
    for (n, name) in names.iter().enumerate() {
        let dir = temporary();
        copy_tree(whole.path(), dir.path());
        let file = dir.path().join(name.strip_prefix(whole.path()).expect("below"));
        turn_bytes(&file, n);
        // Who restarts the program does so until it stays up.
        let outcomes: Vec<_> = (0..3).map(|_| opened_by_a_child(dir.path())).take_while(Option::is_none).collect();
        ended += usize::from(!outcomes.is_empty());
        if opened_by_a_child(dir.path()) == Some(true) {
            continue;
        }
        found += 1;
        assert!(needs_rebuild(dir.path()), "{}", file.display());
        let index = Index::recreate(dir.path()).expect("recreate");
        index.upsert(&passages).expect("upsert");
        assert_eq!(answers(&index), before, "made anew after {}", file.display());
    }
    eprintln!("files damaged: {}, found at opening: {found}, of which ended the process: {ended}", names.len());
    assert!(found > 0);
}

/// `None`: it ended.
fn opened_by_a_child(dir: &Path) -> Option<bool> {
    let mut child = std::process::Command::new(std::env::current_exe().expect("test binary"));
    child.args(["--exact", "damage_is_mended_with_the_same_results", "--nocapture"]).env(OPENED, dir);
    let status = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().expect("child");
    status.code().map(|code| code == 0)
}

fn texts(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{} {i}호 안내문입니다.", ["여권 발급 수수료", "공영주차장 정기권 요금"][i % 2])).collect()
}

/// One byte in every 500, from a place of its own in each file.
fn turn_bytes(file: &Path, seed: usize) {
    let mut bytes = fs::read(file).expect("read");
    let start = seed % 100;
    bytes.iter_mut().skip(start).step_by(500).for_each(|b| *b = !*b);
    fs::write(file, bytes).expect("write");
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

// ---- a killed process ------------------------------------------------------------------------------------------

/// Set for the child process that [`a_killed_process_leaves_whole_documents`] starts and kills.
const VICTIM: &str = "MADANG_SEARCH_TEST_VICTIM";

#[test]
fn a_killed_process_leaves_whole_documents() {
    use std::io::{BufRead, BufReader, Write};
    const PASSAGES: usize = 40;
    if let Some(dir) = std::env::var_os(VICTIM) {
        let index = Index::open(Path::new(&dir)).expect("open");
        let collection = CollectionId::new();
        loop {
            let document = DocumentId::new();
            let batch: Vec<_> =
                (0..PASSAGES).map(|i| passage(collection, document, "기록", &format!("구절 {i} 내용"))).collect();
            index.upsert(&batch).expect("upsert");
            println!("written {document}");
            std::io::stdout().flush().expect("flush");
        }
    }
    for documents in [1, 4, 9] {
        let dir = temporary();
        let mut victim = std::process::Command::new(std::env::current_exe().expect("test binary"))
            .args(["--exact", "a_killed_process_leaves_whole_documents", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("spawn");
        let lines = BufReader::new(victim.stdout.take().expect("stdout")).lines().map_while(Result::ok);
        let written: Vec<DocumentId> = lines
            .filter_map(|l| l.split_once("written ").and_then(|(_, id)| id.trim().parse().ok()))
            .take(documents)
            .collect();
        victim.kill().expect("kill");
        victim.wait().expect("wait");
        assert_eq!(written.len(), documents);
        let index = Index::open(dir.path()).expect("a killed index opens");
        for document in written.iter().filter(|d| !index.interrupted().contains(d)) {
            assert_eq!(index.count_document(*document).expect("count"), PASSAGES, "written means kept");
        }
        assert_eq!(index.count().expect("count") % PASSAGES, 0, "no half document");
        for document in index.interrupted() {
            assert_eq!(index.count_document(*document).expect("count"), 0);
        }
        index.check().expect("sound");
    }
}

#[test]
fn a_write_that_was_cut_off_is_undone() {
    let dir = temporary();
    let (index, collection, documents) = filled(dir.path());
    drop(index);
    let unsettled = serde_json::json!({ "documents": [documents[3]], "collections": [] });
    fs::write(dir.path().join("unsettled.json"), unsettled.to_string()).expect("write");
    let index = Index::open(dir.path()).expect("open");
    assert_eq!(index.interrupted(), &documents[3..4]);
    assert_eq!(index.count().expect("count"), 38);
    assert!(search(&index, "여권 3호", &[collection]).iter().all(|h| h.document != documents[3]));
    drop(index);
    assert!(Index::open(dir.path()).expect("open").interrupted().is_empty(), "told once");
}

// ---- odd queries -----------------------------------------------------------------------------------------------

static SHARED: LazyLock<(TempDir, Index, CollectionId)> = LazyLock::new(|| {
    let dir = temporary();
    let (index, collection, _) = filled(dir.path());
    (dir, index, collection)
});

#[test]
fn nothing_to_look_for_finds_nothing() {
    for query in ["", "   ", "?!…", "어떻게 하나요?", "\u{0}\u{200b}"] {
        assert!(search(&SHARED.1, query, &[SHARED.2]).is_empty(), "{query:?}");
    }
    let readable = ReadableCollections::resolved(vec![SHARED.2]);
    let none = SearchOptions { limit: 0, ..SearchOptions::default() };
    assert!(SHARED.1.search("여권", &readable, &none).expect("search").is_empty());
    let huge = SearchOptions { limit: usize::MAX, ..SearchOptions::default() };
    assert!(SHARED.1.search(&"여권 ".repeat(100_000), &readable, &huge).expect("search").len() <= 40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_query_is_answered(query in "(\\PC|[가-힣 ]|[\u{0}-\u{1f}]){0,80}") {
        let hits = search(&SHARED.1, &query, &[SHARED.2]);
        prop_assert!(hits.len() <= 10 && hits.is_sorted_by(|a, b| a.score >= b.score));
    }
}

//! Dense vectors through the index's public face: fusion under the same filter, filling in the background, change of
//! model, cuts and restarts. The embedder is a table of concepts: near are texts that mean the same in other words.
#![allow(clippy::disallowed_methods, reason = "tests make their own readers")]

use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use madang_search::{
    Coverage, Filled, Hit, Index, IndexedPassage, PassageVector, QueryVector, SearchError, SearchOptions, VectorModel,
    Waiting,
};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Words that mean the same share a row.
const CONCEPTS: [&[&str]; 4] =
    [&["주차", "차를 세우"], &["수수료", "얼마", "요금"], &["여권", "해외에 나갈"], &["등본", "가족이 적힌"]];

/// A model of that many dimensions, the concepts first.
fn model(name: &str, dimension: usize) -> VectorModel {
    VectorModel { fingerprint: name.into(), dimension }
}

fn embed(model: &VectorModel, text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; model.dimension];
    for (place, words) in vector.iter_mut().zip(CONCEPTS) {
        *place = words.iter().map(|w| text.matches(w).count() as f32).sum();
    }
    vector
}

fn meaning(model: &VectorModel, query: &str) -> QueryVector {
    QueryVector { fingerprint: model.fingerprint.clone(), vector: embed(model, query), least_similarity: 0.3 }
}

/// Texts as the store would hold them.
type Texts = BTreeMap<PassageId, (DocumentId, String)>;

fn passage(collection: CollectionId, text: &str) -> IndexedPassage {
    let (id, document) = (PassageId::new(), DocumentId::new());
    IndexedPassage { id, collection, document, title: String::new(), heading_path: Vec::new(), text: text.into() }
}

fn add(index: &Index, texts: &mut Texts, passages: &[IndexedPassage]) {
    index.upsert(passages).expect("upsert");
    texts.extend(passages.iter().map(|p| (p.id, (p.document, p.text.clone()))));
}

fn make(model: &VectorModel, texts: &Texts, waiting: &[Waiting]) -> Result<Vec<PassageVector>, SearchError> {
    let known = waiting.iter().filter_map(|w| texts.get(&w.passage).map(|(_, text)| (w, text)));
    let vector = |(w, text): (&Waiting, &String)| PassageVector {
        passage: w.passage,
        document: w.document,
        vector: embed(model, text),
    };
    Ok(known.map(vector).collect())
}

fn fill(index: &Index, model: &VectorModel, texts: &Texts) {
    let filled = index.fill_vectors(&model.fingerprint, 7, |w| make(model, texts, w), |_| {}, || false);
    assert_eq!(filled.expect("fill"), Filled::Complete);
}

fn search(index: &Index, query: &str, model: Option<&VectorModel>, readable: &[CollectionId]) -> Vec<Hit> {
    let readable = ReadableCollections::resolved(readable.to_vec());
    let meaning = model.map(|m| meaning(m, query));
    index.search_with(query, meaning.as_ref(), &readable, &SearchOptions::default()).expect("search")
}

fn first(hits: &[Hit]) -> Option<PassageId> {
    hits.first().map(|h| h.passage)
}

/// An index of four passages on different things, and a model that serves.
fn served(dir: &Path) -> (Index, Texts, Vec<IndexedPassage>, VectorModel) {
    let (index, mut texts, model) = (Index::open(dir).expect("open"), Texts::new(), model("concepts-1", 6));
    let collection = CollectionId::new();
    let lines = ["주차 구역 안내", "여권 발급 절차", "주민등록 등본 발급 창구", "회의실 예약 규정"];
    let passages: Vec<_> = lines.iter().map(|t| passage(collection, t)).collect();
    add(&index, &mut texts, &passages);
    index.choose_vectors(Some(model.clone())).expect("choose");
    fill(&index, &model, &texts);
    (index, texts, passages, model)
}

#[test]
fn meaning_finds_what_words_do_not() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, _, passages, model) = served(dir.path());
    let readable = [passages[0].collection];
    let query = "내 차를 세우려면 어디로 가나";
    assert!(search(&index, query, None, &readable).is_empty());
    assert_eq!(first(&search(&index, query, Some(&model), &readable)), Some(passages[0].id));
    // Words and meaning agree on one of two passages that share a word.
    let hits = search(&index, "해외에 나갈 때 발급", Some(&model), &readable);
    assert_eq!(first(&hits), Some(passages[1].id));
    assert!(hits.iter().any(|h| h.passage == passages[2].id));
    // Nothing of the kind: neither words nor a near enough meaning.
    assert!(search(&index, "공룡 화석", Some(&model), &readable).is_empty());
}

#[test]
fn meaning_stays_behind_the_same_filter() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, mut texts, passages, model) = served(dir.path());
    let other = passage(CollectionId::new(), "주차 단속 내부 지침");
    add(&index, &mut texts, std::slice::from_ref(&other));
    fill(&index, &model, &texts);
    let query = "차를 세우";
    let mine = search(&index, query, Some(&model), &[passages[0].collection]);
    assert!(!mine.is_empty() && mine.iter().all(|h| h.collection == passages[0].collection));
    assert_eq!(first(&search(&index, query, Some(&model), &[other.collection])), Some(other.id));
    assert!(search(&index, query, Some(&model), &[CollectionId::new()]).is_empty());
    assert!(search(&index, query, Some(&model), &[]).is_empty());
    let readable = ReadableCollections::resolved(vec![passages[0].collection]);
    let options =
        SearchOptions { documents: Some(vec![other.document, passages[3].document]), ..SearchOptions::default() };
    let hits = index.search_with(query, Some(&meaning(&model, query)), &readable, &options).expect("search");
    assert!(hits.is_empty());
}

#[test]
fn new_passages_are_found_by_words_until_they_are_filled() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, mut texts, passages, model) = served(dir.path());
    let late = passage(passages[0].collection, "수수료 면제 대상");
    add(&index, &mut texts, std::slice::from_ref(&late));
    let readable = [late.collection];
    assert_eq!(first(&search(&index, "면제 대상", Some(&model), &readable)), Some(late.id));
    assert!(search(&index, "얼마", Some(&model), &readable).is_empty());
    assert_eq!(index.waiting(&model.fingerprint, None, 10).expect("waiting").len(), 1);
    fill(&index, &model, &texts);
    assert_eq!(first(&search(&index, "얼마", Some(&model), &readable)), Some(late.id));
    // Replaced, a passage waits again: its old meaning is gone with its old words.
    let replaced = IndexedPassage { text: "회의실 예약".into(), ..late.clone() };
    add(&index, &mut texts, &[replaced]);
    assert!(search(&index, "얼마", Some(&model), &readable).is_empty());
    assert_eq!(index.waiting(&model.fingerprint, None, 10).expect("waiting").len(), 1);
}

#[test]
fn the_old_model_serves_until_the_new_one_is_complete() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, mut texts, passages, old) = served(dir.path());
    let more: Vec<_> = (0..40).map(|i| passage(passages[0].collection, &format!("여권 사진 규격 {i}"))).collect();
    add(&index, &mut texts, &more);
    fill(&index, &old, &texts);
    index.optimise().expect("optimise");
    let new = model("concepts-2", 9);
    index.choose_vectors(Some(new.clone())).expect("choose");
    let readable = [passages[0].collection];
    let serves = |index: &Index, model: &VectorModel| {
        first(&search(index, "차를 세우", Some(model), &readable)) == Some(passages[0].id)
    };
    let (steps, stop_after) = (Cell::new(0), 3);
    let seen = std::cell::RefCell::new(Vec::<Coverage>::new());
    let stopped = index.fill_vectors(
        &new.fingerprint,
        7,
        |w| {
            assert!(serves(&index, &old) && !serves(&index, &new));
            steps.set(steps.get() + 1);
            make(&new, &texts, w)
        },
        |c| seen.borrow_mut().push(c),
        || steps.get() == stop_after,
    );
    assert_eq!(stopped.expect("fill"), Filled::Stopped);
    assert_eq!(
        seen.take().iter().map(|c| (c.done, c.total)).collect::<Vec<_>>(),
        [(0, 44), (7, 44), (14, 44), (21, 44)]
    );
    drop(index);

    // After a restart it goes on with what is missing.
    let index = Index::open(dir.path()).expect("open");
    assert_eq!(index.vector_models().coming, Some(new.clone()));
    assert_eq!(index.vector_models().serving, Some(old.clone()));
    assert!(serves(&index, &old));
    let offered = Cell::new(0);
    let filled = index.fill_vectors(
        &new.fingerprint,
        7,
        |w| {
            offered.set(offered.get() + w.len());
            make(&new, &texts, w)
        },
        |_| {},
        || false,
    );
    assert_eq!(filled.expect("fill"), Filled::Complete);
    assert_eq!(offered.get(), 44 - 21);
    assert!(serves(&index, &new) && !serves(&index, &old));
    assert!(matches!(index.waiting(&old.fingerprint, None, 1), Err(SearchError::Vectors(_))));
    index.optimise().expect("optimise");
    drop(index);
    let index = Index::open(dir.path()).expect("open");
    assert!(serves(&index, &new));
    assert_eq!(index.vector_coverage(&new.fingerprint).expect("coverage"), Coverage { done: 44, total: 44 });
    index.check().expect("sound");
}

#[test]
fn a_failing_embedder_leaves_the_old_model_serving() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, texts, passages, old) = served(dir.path());
    let new = model("concepts-2", 6);
    index.choose_vectors(Some(new.clone())).expect("choose");
    let calls = Cell::new(0);
    let failed = index.fill_vectors(
        &new.fingerprint,
        2,
        |w| {
            calls.set(calls.get() + 1);
            if calls.get() == 2 { Err(SearchError::Engine("broken".into())) } else { make(&new, &texts, w) }
        },
        |_| {},
        || false,
    );
    assert!(failed.is_err());
    assert_eq!(index.vector_models().serving, Some(old.clone()));
    assert_eq!(index.vector_coverage(&new.fingerprint).expect("coverage").done, 2);
    // Going back to the model that serves drops what was begun.
    index.choose_vectors(Some(old.clone())).expect("choose");
    assert_eq!(index.vector_models().coming, None);
    assert!(matches!(index.vector_coverage(&new.fingerprint), Err(SearchError::Vectors(_))));
    assert_eq!(first(&search(&index, "차를 세우", Some(&old), &[passages[0].collection])), Some(passages[0].id));
    index.choose_vectors(None).expect("choose");
    assert!(search(&index, "차를 세우", Some(&old), &[passages[0].collection]).is_empty());
    assert_eq!(search(&index, "주차", None, &[passages[0].collection]).len(), 1);
}

#[test]
fn passages_whose_text_is_gone_do_not_hold_the_change_up() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, mut texts, passages, _) = served(dir.path());
    let new = model("concepts-2", 6);
    index.choose_vectors(Some(new.clone())).expect("choose");
    texts.remove(&passages[2].id);
    fill(&index, &new, &texts);
    assert_eq!(index.vector_coverage(&new.fingerprint).expect("coverage"), Coverage { done: 3, total: 4 });
    // Removed between reading its text and putting its vector.
    index.remove_documents(&[passages[1].document]).expect("remove");
    let late = PassageVector { passage: passages[1].id, document: passages[1].document, vector: vec![1.0; 6] };
    assert_eq!(index.put_vectors(&new.fingerprint, &[late]).expect("put"), 0);
    assert_eq!(index.count().expect("count"), 3);
}

#[test]
fn wrong_vectors_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, _, passages, model_in_use) = served(dir.path());
    let put = |fingerprint: &str, vector: Vec<f32>| {
        let one = PassageVector { passage: passages[0].id, document: passages[0].document, vector };
        index.put_vectors(fingerprint, &[one])
    };
    assert!(matches!(put("concepts-1", vec![1.0; 5]), Err(SearchError::Vectors(_))));
    assert!(matches!(put("concepts-1", vec![f32::NAN; 6]), Err(SearchError::Vectors(_))));
    assert!(matches!(put("unknown", vec![1.0; 6]), Err(SearchError::Vectors(_))));
    for wrong in [model("", 6), model("a/b", 6), model("a", 0), model("a", 70_000), model(&"a".repeat(129), 6)] {
        assert!(matches!(index.choose_vectors(Some(wrong)), Err(SearchError::Vectors(_))));
    }
    let readable = ReadableCollections::resolved(vec![passages[0].collection]);
    let short = QueryVector { fingerprint: "concepts-1".into(), vector: vec![1.0; 5], least_similarity: 0.0 };
    let found = index.search_with("주차", Some(&short), &readable, &SearchOptions::default());
    assert!(matches!(found, Err(SearchError::Vectors(_))));
    assert_eq!(index.vector_models().serving, Some(model_in_use));
    index.check().expect("sound");
}

/// A process that ends between noting the model and telling the engine, and one that ends while vectors are put.
#[test]
fn a_cut_off_change_is_finished_at_the_next_opening() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, texts, passages, old) = served(dir.path());
    drop(index);
    let meta = dir.path().join("meta.json");
    let mut noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&meta).expect("read")).expect("json");
    noted["vectors"]["coming"] = serde_json::json!({ "fingerprint": "concepts-2", "dimension": 9 });
    std::fs::write(&meta, noted.to_string()).expect("write");
    let index = Index::open(dir.path()).expect("open");
    let new = model("concepts-2", 9);
    fill(&index, &new, &texts);
    assert_eq!(first(&search(&index, "차를 세우", Some(&new), &[passages[0].collection])), Some(passages[0].id));
    drop(index);

    let mut noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&meta).expect("read")).expect("json");
    noted["vectors"] = serde_json::json!({ "serving": null, "coming": null });
    std::fs::write(&meta, noted.to_string()).expect("write");
    let cut = serde_json::json!({ "documents": [passages[0].document], "collections": [] });
    std::fs::write(dir.path().join("unsettled.json"), cut.to_string()).expect("write");
    let index = Index::open(dir.path()).expect("open");
    assert_eq!(index.interrupted(), [passages[0].document]);
    assert_eq!(index.count().expect("count"), 3);
    // The old name was removed long ago and may come again.
    index.choose_vectors(Some(old.clone())).expect("choose");
    fill(&index, &old, &texts);
    assert_eq!(first(&search(&index, "해외에 나갈", Some(&old), &[passages[1].collection])), Some(passages[1].id));
}

/// An index written before there were dense vectors opens as it is.
#[test]
fn an_index_without_vectors_opens_and_gains_them() {
    let dir = tempfile::tempdir().expect("folder");
    let (index, mut texts) = (Index::open(dir.path()).expect("open"), Texts::new());
    let parking = passage(CollectionId::new(), "주차 구역");
    add(&index, &mut texts, std::slice::from_ref(&parking));
    index.optimise().expect("optimise");
    drop(index);
    let meta = dir.path().join("meta.json");
    let mut noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&meta).expect("read")).expect("json");
    noted.as_object_mut().expect("object").remove("vectors").expect("field");
    std::fs::write(&meta, noted.to_string()).expect("write");
    let index = Index::open(dir.path()).expect("open");
    let model = model("concepts-1", 4);
    index.choose_vectors(Some(model.clone())).expect("choose");
    drop(index);
    let index = Index::open(dir.path()).expect("open");
    fill(&index, &model, &texts);
    assert_eq!(first(&search(&index, "차를 세우", Some(&model), &[parking.collection])), Some(parking.id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is added, removed, filled, optimised and reopened, every hit is readable and exists, and what waits is
    /// exactly what has no vector.
    #[test]
    fn hits_are_readable_and_waiting_is_exact(steps in prop::collection::vec((0_u8..5, 0_usize..6), 1..14)) {
        let dir = tempfile::tempdir().expect("folder");
        let mut index = Index::open(dir.path()).expect("open");
        let model = model("concepts-1", 5);
        index.choose_vectors(Some(model.clone())).expect("choose");
        let collections = [CollectionId::new(), CollectionId::new()];
        let (mut texts, mut filled, mut owner) = (Texts::new(), HashSet::new(), BTreeMap::new());
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let words = CONCEPTS[n % 4][0];
                    let new: Vec<_> = (0..=n).map(|i| passage(collections[i % 2], words)).collect();
                    owner.extend(new.iter().map(|p| (p.id, p.collection)));
                    add(&index, &mut texts, &new);
                }
                2 => {
                    let gone: Vec<_> = texts.iter().take(n).map(|(id, (document, _))| (*id, *document)).collect();
                    index.remove_documents(&gone.iter().map(|g| g.1).collect::<Vec<_>>()).expect("remove");
                    for (id, _) in gone {
                        texts.remove(&id);
                        filled.remove(&id);
                    }
                }
                3 => {
                    fill(&index, &model, &texts);
                    filled.extend(texts.keys().copied());
                }
                _ => {
                    index.optimise().expect("optimise");
                    drop(index);
                    index = Index::open(dir.path()).expect("open");
                }
            }
            let waiting: HashSet<_> =
                index.waiting("concepts-1", None, 1000).expect("waiting").into_iter().map(|w| w.passage).collect();
            let expected: HashSet<_> = texts.keys().copied().filter(|id| !filled.contains(id)).collect();
            prop_assert_eq!(waiting, expected);
            let hits = search(&index, "차를 세우 여권", Some(&model), &collections[..1]);
            prop_assert!(hits.iter().all(|h| owner[&h.passage] == collections[0] && texts.contains_key(&h.passage)));
        }
    }
}

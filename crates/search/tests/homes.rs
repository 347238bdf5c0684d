//! One suite over every home of the index: embedded, over gRPC to a stand-in, and on a real Qdrant server where
//! `MADANG_TEST_QDRANT_URL` names one. What only one home can do wrong is in `index` and `server`.
#![allow(clippy::disallowed_methods, reason = "tests make their own readers")]

mod support;

use madang_domain::{CollectionId, DocumentId, PassageId};
use madang_search::{
    Coverage, Filled, Index, IndexedPassage, PassageVector, QueryVector, SearchError, SearchOptions, VectorModel,
    Waiting,
};
use std::collections::{BTreeMap, HashSet};
use support::{House, passage, readable, search};

macro_rules! suite {
    ($($behaviour:ident)*) => {
        mod embedded {
            use super::*;
            $(#[test] fn $behaviour() { super::$behaviour(&House::embedded()); })*
        }
        mod over_the_wire {
            use super::*;
            $(#[test] fn $behaviour() { super::$behaviour(&House::over_the_wire()); })*
        }
        mod real_server {
            use super::*;
            $(#[test] fn $behaviour() {
                if let Some(house) = House::server() {
                    super::$behaviour(&house);
                }
            })*
        }
    };
}

suite! {
    words_are_found_through_particles_and_titles
    every_search_stays_inside_its_scope
    documents_narrow_a_search
    nothing_readable_or_asked_finds_nothing
    the_same_passage_replaces_itself
    removal_is_seen_by_the_next_search
    a_passage_that_changes_collections_changes_readers_at_once
    counts_are_exact
    reopening_changes_nothing
    many_batches_arrive_whole
    all_scripts_and_odd_signs_do_no_harm
    vectors_come_serve_and_go
    what_waits_is_what_has_no_vector
    a_replaced_passage_waits_again
    meaning_stays_inside_the_scope
    wrong_vectors_change_nothing
    recreating_leaves_nothing_behind
}

const BOTH: [&str; 2] = ["여권 발급 수수료", "공영주차장 정기권 요금"];

/// Documents of two passages each in one collection.
fn fill(index: &Index, documents: usize) -> (CollectionId, Vec<DocumentId>) {
    let collection = CollectionId::new();
    let documents: Vec<_> = (0..documents).map(|_| DocumentId::new()).collect();
    let passages: Vec<_> = documents
        .iter()
        .enumerate()
        .flat_map(|(i, d)| {
            BOTH.map(|text| passage(collection, *d, &format!("안내 {i}"), &format!("{text} {i}호입니다.")))
        })
        .collect();
    index.upsert(&passages).expect("upsert");
    (collection, documents)
}

fn words_are_found_through_particles_and_titles(house: &House) {
    let (index, collection) = (house.open(), CollectionId::new());
    let resident = passage(collection, DocumentId::new(), "민원 안내", "주민등록등본은 무인발급기에서 뗄 수 있다.");
    let parking = passage(collection, DocumentId::new(), "주차 요금표", "한 시간에 천 원이며 만 원을 넘지 않는다.");
    index.upsert(&[resident.clone(), parking.clone()]).expect("upsert");
    for (query, wanted) in
        [("주민등록 등본을 어디서 떼나요?", &resident), ("무인 발급기", &resident), ("주차요금은 얼마인가요", &parking)]
    {
        assert_eq!(search(&index, query, &[collection]).first().map(|h| h.passage), Some(wanted.id), "{query}");
    }
}

fn every_search_stays_inside_its_scope(house: &House) {
    let (index, mine, theirs) = (house.open(), CollectionId::new(), CollectionId::new());
    let collection = |i: usize| if i.is_multiple_of(3) { mine } else { theirs };
    let passages: Vec<_> =
        (0..30).map(|i| passage(collection(i), DocumentId::new(), "감사 결과", "징계 의결 내용")).collect();
    index.upsert(&passages).expect("upsert");
    let options = SearchOptions { limit: 100, ..SearchOptions::default() };
    let hits = index.search("징계 의결", &readable(&[mine]), &options).expect("search");
    assert_eq!(hits.len(), 10);
    assert!(hits.iter().all(|h| h.collection == mine));
    assert_eq!(index.search("징계", &readable(&[mine, theirs]), &options).expect("search").len(), 30);
    assert!(search(&index, "징계", &[CollectionId::new()]).is_empty());
}

fn documents_narrow_a_search(house: &House) {
    let index = house.open();
    let (collection, documents) = fill(&index, 5);
    let (other, hidden) = fill(&index, 1);
    let narrowed = |documents: Vec<DocumentId>| {
        let options = SearchOptions { limit: 50, documents: Some(documents), ..SearchOptions::default() };
        let hits = index.search("여권 발급", &readable(&[collection]), &options).expect("search");
        hits.into_iter().map(|h| h.document).collect::<HashSet<_>>()
    };
    assert_eq!(narrowed(documents[..2].to_vec()), documents[..2].iter().copied().collect());
    assert!(narrowed(Vec::new()).is_empty());
    // A document of a collection that is not readable stays closed when asked for by id.
    assert!(narrowed(hidden.clone()).is_empty());
    let options = SearchOptions { limit: 5, documents: Some(hidden), ..SearchOptions::default() };
    assert_eq!(index.search("여권", &readable(&[other]), &options).expect("search").len(), 1);
}

fn nothing_readable_or_asked_finds_nothing(house: &House) {
    let index = house.open();
    let (collection, _) = fill(&index, 2);
    assert!(search(&index, "여권", &[]).is_empty());
    for query in ["", "   ", "?!…", "\u{0}\u{200b}"] {
        assert!(search(&index, query, &[collection]).is_empty(), "{query:?}");
    }
    let none = SearchOptions { limit: 0, ..SearchOptions::default() };
    assert!(index.search("여권", &readable(&[collection]), &none).expect("search").is_empty());
}

fn the_same_passage_replaces_itself(house: &House) {
    let (index, collection) = (house.open(), CollectionId::new());
    let mut one = passage(collection, DocumentId::new(), "", "상수도 요금 감면");
    index.upsert(std::slice::from_ref(&one)).expect("upsert");
    one.text = "하수도 준설 계획".into();
    index.upsert(&[one]).expect("upsert");
    assert_eq!(index.count().expect("count"), 1);
    assert!(search(&index, "요금 감면", &[collection]).is_empty());
    assert_eq!(search(&index, "준설", &[collection]).len(), 1);
}

fn removal_is_seen_by_the_next_search(house: &House) {
    let index = house.open();
    let (collection, documents) = fill(&index, 20);
    index.remove_documents(&documents[..1]).expect("remove");
    let options = SearchOptions { limit: 100, ..SearchOptions::default() };
    let left = |index: &Index| {
        let hits = index.search("여권", &readable(&[collection]), &options).expect("search");
        hits.into_iter().map(|h| h.document).collect::<HashSet<_>>()
    };
    assert_eq!(left(&index), documents[1..].iter().copied().collect());
    index.optimise().expect("optimise");
    index.remove_documents(&documents[1..3]).expect("remove");
    assert_eq!(left(&index), documents[3..].iter().copied().collect());
    index.remove_documents(&[DocumentId::new()]).expect("unknown ones are passed over");
    let (other, _) = fill(&index, 3);
    index.remove_collection(collection).expect("remove");
    assert!(left(&index).is_empty());
    assert_eq!(search(&index, "여권", &[other]).len(), 3);
}

fn a_passage_that_changes_collections_changes_readers_at_once(house: &House) {
    let (index, from, to) = (house.open(), CollectionId::new(), CollectionId::new());
    let mut one = passage(from, DocumentId::new(), "", "가로등 보수 계획");
    index.upsert(std::slice::from_ref(&one)).expect("upsert");
    assert_eq!(search(&index, "가로등", &[from]).len(), 1);
    one.collection = to;
    index.upsert(&[one]).expect("upsert");
    assert!(search(&index, "가로등", &[from]).is_empty());
    assert_eq!(search(&index, "가로등", &[to]).len(), 1);
}

fn counts_are_exact(house: &House) {
    let index = house.open();
    assert_eq!((index.count().expect("count"), index.settled_passages()), (0, 0));
    let (collection, documents) = fill(&index, 7);
    let (other, _) = fill(&index, 2);
    assert_eq!((index.count().expect("count"), index.settled_passages()), (18, 18));
    assert_eq!(index.count_document(documents[3]).expect("count"), 2);
    assert_eq!(index.count_document(DocumentId::new()).expect("count"), 0);
    assert_eq!(index.count_collections(&[collection]).expect("count"), 14);
    assert_eq!(index.count_collections(&[collection, other]).expect("count"), 18);
    let health = index.check().expect("sound");
    assert_eq!((health.passages, health.interrupted), (18, vec![]));
    let mut known = passage(collection, DocumentId::new(), "", "수영장 이용 안내");
    index.upsert(std::slice::from_ref(&known)).expect("upsert");
    assert!(index.finds(&known).expect("asked"));
    known.document = DocumentId::new();
    assert!(!index.finds(&known).expect("asked"));
}

fn reopening_changes_nothing(house: &House) {
    let index = house.open();
    let (collection, _) = fill(&index, 20);
    let before = search(&index, "공영주차장 요금", &[collection]);
    assert!(!before.is_empty());
    assert!(matches!(Index::open_at(house.dir(), &house.place), Err(SearchError::InUse(_))));
    drop(index);
    let index = house.open();
    assert_eq!(search(&index, "공영주차장 요금", &[collection]), before);
    assert_eq!(index.check().expect("sound").passages, 40);
    fill(&index, 1);
    drop(index);
    assert_eq!(house.open().count().expect("count"), 42);
}

fn many_batches_arrive_whole(house: &House) {
    let (index, collection) = (house.open(), CollectionId::new());
    for batch in 0..4 {
        let document = DocumentId::new();
        let passages: Vec<_> =
            (0..300).map(|i| passage(collection, document, "", &format!("조례 제{i}조 {batch}항 보칙"))).collect();
        index.upsert(&passages).expect("upsert");
        assert_eq!(index.count_document(document).expect("count"), 300);
    }
    assert_eq!(index.count().expect("count"), 1200);
    let options = SearchOptions { limit: 1000, ..SearchOptions::default() };
    assert_eq!(index.search("보칙", &readable(&[collection]), &options).expect("search").len(), 1000);
    index.optimise().expect("optimise");
    assert_eq!(search(&index, "조례 제7조", &[collection]).len(), 10);
}

fn all_scripts_and_odd_signs_do_no_harm(house: &House) {
    let (index, collection) = (house.open(), CollectionId::new());
    let texts =
        ["훈민정음 訓民正音 반포", "주소 Straße №5 naïve café", "지원금 ①만 원 ㎡ ㏊", "이모지 🏛️ 안내 👨‍👩‍👧", "--- ***"];
    let texts: Vec<_> = texts.map(|t| passage(collection, DocumentId::new(), "", t)).into();
    index.upsert(&texts).expect("upsert");
    for (query, at) in [("訓民正音", 0), ("naïve café", 1), ("지원금", 2), ("이모지 안내", 3)] {
        assert_eq!(search(&index, query, &[collection]).first().map(|h| h.passage), Some(texts[at].id), "{query}");
    }
    search(&index, &"여권 ".repeat(50_000), &[collection]);
    assert_eq!(index.count().expect("count"), 5);
}

// ---- vectors ---------------------------------------------------------------------------------------------------

/// Words that mean the same share a place.
const CONCEPTS: [&[&str]; 3] = [&["주차", "차를 세우"], &["여권", "해외에 나갈"], &["등본", "가족이 적힌"]];

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

type Texts = BTreeMap<PassageId, IndexedPassage>;

fn give(index: &Index, model: &VectorModel, texts: &Texts) -> usize {
    let mut offered = 0;
    let make = |waiting: &[Waiting]| {
        offered += waiting.len();
        let vector = |w: &Waiting| PassageVector {
            passage: w.passage,
            document: w.document,
            vector: embed(model, &texts[&w.passage].text),
        };
        Ok::<_, SearchError>(waiting.iter().map(vector).collect())
    };
    let filled = index.fill_vectors(&model.fingerprint, 3, make, |_| {}, || false).expect("fill");
    assert_eq!(filled, Filled::Complete);
    offered
}

fn meant(index: &Index, model: &VectorModel, query: &str, ids: &[CollectionId]) -> Vec<PassageId> {
    let meaning =
        QueryVector { fingerprint: model.fingerprint.clone(), vector: embed(model, query), least_similarity: 0.3 };
    let hits = index.search_with(query, Some(&meaning), &readable(ids), &SearchOptions::default()).expect("search");
    hits.into_iter().map(|h| h.passage).collect()
}

fn served(index: &Index) -> (CollectionId, Vec<IndexedPassage>, Texts, VectorModel) {
    let (collection, model) = (CollectionId::new(), model("concepts-1", 6));
    let lines = ["주차 구역 안내", "여권 발급 절차", "주민등록 등본 발급 창구", "회의실 예약 규정"];
    let passages: Vec<_> = lines.iter().map(|t| passage(collection, DocumentId::new(), "", t)).collect();
    index.upsert(&passages).expect("upsert");
    let texts: Texts = passages.iter().map(|p| (p.id, p.clone())).collect();
    index.choose_vectors(Some(model.clone())).expect("choose");
    assert_eq!(give(index, &model, &texts), 4);
    (collection, passages, texts, model)
}

fn vectors_come_serve_and_go(house: &House) {
    let index = house.open();
    let (collection, passages, texts, old) = served(&index);
    let query = "내 차를 세우려면";
    assert!(search(&index, query, &[collection]).is_empty());
    assert_eq!(meant(&index, &old, query, &[collection]), [passages[0].id]);
    assert_eq!(index.vector_coverage("concepts-1").expect("coverage"), Coverage { done: 4, total: 4 });
    let carried: Vec<_> = passages[..2].iter().map(|p| (p.id, p.document)).collect();
    let kept = index.vectors_of("concepts-1", &carried).expect("vectors");
    assert!(
        kept.iter().any(|v| v.passage == passages[0].id && (v.vector[0] - 1.0).abs() < 1e-3 && v.vector.len() == 6)
    );
    // Another model: the old one serves until every passage has one of the new one's.
    let new = model("concepts-2", 9);
    index.choose_vectors(Some(new.clone())).expect("choose");
    assert_eq!(meant(&index, &old, query, &[collection]), [passages[0].id]);
    assert!(meant(&index, &new, query, &[collection]).is_empty());
    drop(index);
    let index = house.open();
    assert_eq!(index.vector_models().coming, Some(new.clone()));
    assert_eq!(give(&index, &new, &texts), 4);
    assert_eq!(meant(&index, &new, query, &[collection]), [passages[0].id]);
    assert!(meant(&index, &old, query, &[collection]).is_empty());
    // The first again, whose vectors are long gone; then none.
    index.choose_vectors(Some(old.clone())).expect("choose");
    assert_eq!(give(&index, &old, &texts), 4);
    drop(index);
    let index = house.open();
    assert_eq!(meant(&index, &old, query, &[collection]), [passages[0].id]);
    index.choose_vectors(None).expect("choose");
    assert!(meant(&index, &old, query, &[collection]).is_empty());
    assert_eq!(search(&index, "주차", &[collection]).len(), 1);
}

fn what_waits_is_what_has_no_vector(house: &House) {
    let index = house.open();
    let (collection, passages, mut texts, model) = served(&index);
    let more: Vec<_> = (0..5).map(|i| passage(collection, DocumentId::new(), "", &format!("여권 사진 {i}"))).collect();
    index.upsert(&more).expect("upsert");
    texts.extend(more.iter().map(|p| (p.id, p.clone())));
    let waiting = index.waiting("concepts-1", None, 100).expect("waiting");
    let expected: Vec<_> = more.iter().map(|p| Waiting { passage: p.id, document: p.document }).collect();
    assert_eq!(waiting, expected, "in order");
    let page = index.waiting("concepts-1", Some(expected[1].passage), 2).expect("waiting");
    assert_eq!(page, expected[2..4]);
    index.remove_documents(&[more[0].document, passages[0].document]).expect("remove");
    assert_eq!(index.vector_coverage("concepts-1").expect("coverage"), Coverage { done: 3, total: 7 });
    assert_eq!(give(&index, &model, &texts), 4);
    assert!(index.waiting("concepts-1", None, 1).expect("waiting").is_empty());
    assert_eq!(meant(&index, &model, "해외에 나갈", &[collection]).len(), 5);
    // Too late: removed while its vector was made.
    let late = PassageVector { passage: passages[0].id, document: passages[0].document, vector: vec![1.0; 6] };
    assert_eq!(index.put_vectors("concepts-1", &[late]).expect("put"), 0);
    assert_eq!(index.count().expect("count"), 7);
    // One without meaning waits no more, and nothing is near it.
    let empty = passage(collection, DocumentId::new(), "", "아무것도 아닌 글");
    index.upsert(std::slice::from_ref(&empty)).expect("upsert");
    texts.insert(empty.id, empty.clone());
    assert_eq!(give(&index, &model, &texts), 1);
    assert!(index.waiting("concepts-1", None, 1).expect("waiting").is_empty());
    assert!(!meant(&index, &model, "해외에 나갈", &[collection]).contains(&empty.id));
}

fn a_replaced_passage_waits_again(house: &House) {
    let index = house.open();
    let (collection, passages, mut texts, model) = served(&index);
    let replaced = IndexedPassage { text: "여권 사진 규격".into(), ..passages[0].clone() };
    index.upsert(std::slice::from_ref(&replaced)).expect("upsert");
    assert!(meant(&index, &model, "차를 세우", &[collection]).is_empty(), "the old meaning went with the old words");
    assert_eq!(index.waiting("concepts-1", None, 9).expect("waiting").len(), 1);
    texts.insert(replaced.id, replaced.clone());
    assert_eq!(give(&index, &model, &texts), 1);
    assert!(meant(&index, &model, "해외에 나갈", &[collection]).contains(&replaced.id));
    index.check().expect("sound");
}

fn meaning_stays_inside_the_scope(house: &House) {
    let index = house.open();
    let (collection, passages, mut texts, model) = served(&index);
    let other = passage(CollectionId::new(), DocumentId::new(), "", "주차 단속 내부 지침");
    index.upsert(std::slice::from_ref(&other)).expect("upsert");
    texts.insert(other.id, other.clone());
    give(&index, &model, &texts);
    let query = "차를 세우";
    assert_eq!(meant(&index, &model, query, &[collection]), [passages[0].id]);
    assert_eq!(meant(&index, &model, query, &[other.collection]), [other.id]);
    assert!(meant(&index, &model, query, &[]).is_empty());
    let meaning = QueryVector { fingerprint: "concepts-1".into(), vector: embed(&model, query), least_similarity: 0.3 };
    let options =
        SearchOptions { documents: Some(vec![other.document, passages[3].document]), ..SearchOptions::default() };
    let hits = index.search_with(query, Some(&meaning), &readable(&[collection]), &options).expect("search");
    assert!(hits.is_empty());
}

fn wrong_vectors_change_nothing(house: &House) {
    let index = house.open();
    let (_, passages, _, model) = served(&index);
    let put = |fingerprint: &str, vector: Vec<f32>| {
        let one = PassageVector { passage: passages[0].id, document: passages[0].document, vector };
        index.put_vectors(fingerprint, &[one])
    };
    assert!(matches!(put("concepts-1", vec![1.0; 5]), Err(SearchError::Vectors(_))));
    assert!(matches!(put("concepts-1", vec![f32::NAN; 6]), Err(SearchError::Vectors(_))));
    assert!(matches!(put("unknown", vec![1.0; 6]), Err(SearchError::Vectors(_))));
    assert_eq!(index.vector_models().serving, Some(model));
    index.check().expect("sound");
}

fn recreating_leaves_nothing_behind(house: &House) {
    let index = house.open();
    let (collection, ..) = served(&index);
    drop(index);
    let index = Index::recreate_at(house.dir(), &house.place).expect("recreate");
    assert_eq!(index.count().expect("count"), 0);
    assert!(search(&index, "주차", &[collection]).is_empty());
    assert_eq!(index.vector_models(), madang_search::VectorModels::default());
    fill(&index, 1);
    assert_eq!(index.count().expect("count"), 2);
}

//! Both indexes as one: where passages of which grade lie, one answer from two, grades that change, and the way from one
//! home to another with all vectors.
#![allow(clippy::disallowed_methods, reason = "tests make their own readers")]

mod support;

use madang_domain::{CollectionId, DocumentId, Grade, PassageId};
use madang_search::{
    Coverage, Filled, Hit, IndexedPassage, Library, PassageVector, Place, QueryVector, SearchError, SearchOptions,
    Shelved, VectorModel, Waiting,
};
use support::{House, folder, passage, readable};

fn find(library: &Library, query: &str, ids: &[CollectionId]) -> Vec<Hit> {
    library.search(query, &readable(ids), &SearchOptions { limit: 50, ..SearchOptions::default() }).expect("search")
}

/// Ten passages of a collection of that grade, one a document.
fn add(library: &Library, grade: Grade, text: &str) -> (CollectionId, Vec<IndexedPassage>) {
    let collection = CollectionId::new();
    let passages: Vec<_> =
        (0..10).map(|i| passage(collection, DocumentId::new(), "", &format!("{text} {i}번"))).collect();
    library.upsert(grade, &passages).expect("upsert");
    (collection, passages)
}

fn distinct(hits: &[Hit]) -> usize {
    hits.iter().map(|h| h.passage).collect::<std::collections::HashSet<PassageId>>().len()
}

fn houses() -> impl Iterator<Item = House> {
    [Some(House::embedded()), Some(House::over_the_wire()), House::server()].into_iter().flatten()
}

#[test]
fn classified_passages_lie_apart_and_answer_with_the_others() {
    for house in houses() {
        let library = Library::open(house.dir(), &house.place).expect("open");
        let (open, _) = add(&library, Grade::Open, "청사 방호 안내");
        let (sensitive, _) = add(&library, Grade::Sensitive, "청사 방호 지침");
        let (closed, secret) = add(&library, Grade::Classified, "청사 방호 계획");
        assert_eq!(library.count().expect("count"), Shelved { open: 20, closed: 10 });
        assert_eq!(library.count_collections(&[closed]).expect("count"), Shelved { open: 0, closed: 10 });
        assert_eq!(find(&library, "청사 방호", &[open, sensitive, closed]).len(), 30);
        assert_eq!(find(&library, "청사 방호", &[open]).len(), 10);
        let hits = find(&library, "청사 방호 계획", &[closed]);
        assert!(hits.len() == 10 && hits.iter().all(|h| h.collection == closed));
        let hits = find(&library, "방호 계획", &[open, closed]);
        assert_eq!(hits.first().map(|h| h.collection), Some(closed), "the better one leads, wherever it lies");
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
        library.remove_documents(&[secret[0].document]).expect("remove");
        assert_eq!(find(&library, "방호 계획", &[closed]).len(), 9);
        drop(library);
        let library = Library::open(house.dir(), &house.place).expect("open");
        assert_eq!(library.count().expect("count"), Shelved { open: 20, closed: 9 });
        assert_eq!(library.check().expect("sound").map(|h| h.passages), [20, 9]);
    }
}

#[test]
fn a_changed_grade_moves_passages_with_their_vectors() {
    for house in houses() {
        let library = Library::open(house.dir(), &house.place).expect("open");
        let (collection, passages) = add(&library, Grade::Open, "청사 방호 안내");
        let (other, _) = add(&library, Grade::Classified, "비상 대피 계획");
        serve(&library, "m1");
        assert_eq!(meant(&library, "m1", &[collection]), 10);
        for (grade, expected) in [
            (Grade::Classified, Shelved { open: 0, closed: 20 }),
            (Grade::Classified, Shelved { open: 0, closed: 20 }),
            (Grade::Sensitive, Shelved { open: 10, closed: 10 }),
        ] {
            for passage in &passages {
                library.shelve(grade, std::slice::from_ref(passage)).expect("shelve");
                let hits = find(&library, "청사 방호", &[collection, other]);
                assert_eq!((hits.len(), distinct(&hits)), (10, 10), "each is found once at every moment");
            }
            assert_eq!(library.count().expect("count"), expected);
            assert_eq!(library.vector_coverage("m1").expect("coverage"), Coverage { done: 20, total: 20 });
            assert_eq!(meant(&library, "m1", &[collection]), 10, "{grade:?}");
        }
        // Cut off between the two indexes: in both, found once, and finished by the next call.
        library.upsert(Grade::Classified, &passages[..1]).expect("upsert");
        let hits = find(&library, "청사 방호", &[collection]);
        assert_eq!((hits.len(), distinct(&hits)), (10, 10));
        library.shelve(Grade::Classified, &passages[..1]).expect("shelve");
        assert_eq!(library.count_collections(&[collection]).expect("count"), Shelved { open: 9, closed: 1 });
    }
}

#[test]
fn from_home_to_home_with_all_vectors() {
    let (first, second, third) = (House::embedded(), House::over_the_wire(), folder());
    let from = Library::open(first.dir(), &first.place).expect("open");
    let (open, passages) = add(&from, Grade::Open, "청사 방호 안내");
    let (closed, secret) = add(&from, Grade::Classified, "청사 방호 계획");
    serve(&from, "m1");
    let answers =
        |library: &Library| (find(library, "방호 계획 3번", &[open, closed]), meant(library, "m1", &[open, closed]));
    let before = answers(&from);
    let copy = |from: &Library, to: &Library| {
        to.take_models(from).expect("models");
        for (grade, some) in [(Grade::Open, &passages), (Grade::Classified, &secret)] {
            to.upsert(grade, some).expect("upsert");
            let ids: Vec<_> = some.iter().map(|p| (p.id, p.document)).collect();
            to.take_vectors(from, grade, &ids).expect("vectors");
        }
    };
    let there = Library::open(second.dir(), &second.place).expect("open");
    copy(&from, &there);
    assert_eq!(answers(&there), before);
    assert_eq!(there.vector_coverage("m1").expect("coverage"), Coverage { done: 20, total: 20 });
    let back = Library::open(third.path(), &Place::Embedded).expect("open");
    copy(&there, &back);
    assert_eq!(answers(&back), before);
    drop(from);
    Library::remove(first.dir(), &first.place).expect("remove");
    assert_eq!(Library::open(first.dir(), &first.place).expect("a new one").count().expect("count").total(), 0);
}

/// A model that finds everything alike, and gives every passage its vector.
fn serve(library: &Library, name: &str) {
    library.choose_vectors(Some(VectorModel { fingerprint: name.into(), dimension: 3 })).expect("choose");
    let make = |waiting: &[Waiting]| {
        let vector =
            |w: &Waiting| PassageVector { passage: w.passage, document: w.document, vector: vec![0.0, 1.0, 0.5] };
        Ok::<_, SearchError>(waiting.iter().map(vector).collect())
    };
    assert_eq!(library.fill_vectors(name, 4, make, || false).expect("fill"), Filled::Complete);
}

/// How many are found by meaning alone.
fn meant(library: &Library, name: &str, ids: &[CollectionId]) -> usize {
    let meaning = QueryVector { fingerprint: name.into(), vector: vec![0.0, 1.0, 0.5], least_similarity: 0.5 };
    let options = SearchOptions { limit: 50, ..SearchOptions::default() };
    library.search_with("?!", Some(&meaning), &readable(ids), &options).expect("search").len()
}

//! What is said to a Qdrant server and how its answers read: messages of `qdrant-client` made and taken apart. Sends
//! nothing; the line is `server`'s.
//!
//! Passages lie in two kinds of collections. The first has words, `collection`, `document` and, for each embedding model
//! whose vector the passage has, a mark. For each model there is a second one with the vectors under the same ids. A
//! vector name added to a collection that is in use can be lost by the server's optimiser (known in 1.18 and 1.19).

use crate::SearchError;
use crate::bm25::Sparse;
use crate::fusion::Found;
use crate::home::{COLLECTION, DOCUMENT, Dense, LEXICAL, Point, QdrantServer, Which, unknown_entry};
use madang_domain::{DocumentId, PassageId};
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::{
    BoolIndexParams, Condition, CountPoints, CreateCollection, CreateFieldIndexCollection, Datatype,
    DeletePayloadPoints, DeletePoints, DenseVector, Distance, FieldCondition, FieldType, Filter, GetPoints,
    KeywordIndexParams, Match, Modifier, NamedVectors, PayloadIndexParams, PointId, PointStruct, PointsIdsList,
    PointsSelector, Query, QueryPoints, RepeatedStrings, RetrievedPoint, ScoredPoint, ScrollPoints, SetPayloadPoints,
    SparseVector, SparseVectorConfig, SparseVectorParams, UpsertPoints, Value, Vector, VectorInput, VectorParams,
    VectorParamsMap, Vectors, VectorsConfig, VectorsSelector, WithPayloadSelector, WithVectorsSelector, WriteOrdering,
    WriteOrderingType, query, vector, vector_input, vector_output, vectors_config, with_payload_selector,
    with_vectors_selector,
};
use std::collections::HashMap;

/// Name of the one vector in a model's collection.
const MEANING: &str = "meaning";
/// Key of a collection's metadata: who opened it last.
pub(crate) const SESSION: &str = "madang_session";

/// The collection of a model's vectors.
pub(crate) fn dense_collection(words: &str, name: &str) -> String {
    format!("{words}-{name}")
}

pub(crate) fn create(at: &QdrantServer, name: &str, dimension: Option<usize>) -> CreateCollection {
    let idf = SparseVectorParams { modifier: Some(Modifier::Idf.into()), ..Default::default() };
    let lexical = SparseVectorConfig { map: [(LEXICAL.to_owned(), idf)].into() };
    let meaning = |size: usize| {
        let params = VectorParams {
            size: size as u64,
            distance: Distance::Cosine.into(),
            // Half the memory; cosines of unit vectors change in the fourth digit.
            datatype: Some(Datatype::Float16.into()),
            ..Default::default()
        };
        let map = VectorParamsMap { map: [(MEANING.to_owned(), params)].into() };
        VectorsConfig { config: Some(vectors_config::Config::ParamsMap(map)) }
    };
    CreateCollection {
        collection_name: name.to_owned(),
        shard_number: at.shards,
        replication_factor: Some(at.replicas),
        write_consistency_factor: Some(at.write_consistency.unwrap_or(at.replicas)),
        sparse_vectors_config: dimension.is_none().then_some(lexical),
        vectors_config: dimension.map(meaning),
        ..Default::default()
    }
}

/// The payload indexes of a collection: `collection` keeps each one's points together.
pub(crate) fn indexes(name: &str) -> [CreateFieldIndexCollection; 2] {
    [(COLLECTION, true), (DOCUMENT, false)].map(|(field, is_tenant)| {
        let params = KeywordIndexParams { is_tenant: Some(is_tenant), ..Default::default() };
        field_index(name, field, FieldType::Keyword, IndexParams::KeywordIndexParams(params))
    })
}

/// The index of a model's marks.
pub(crate) fn mark_index(words: &str, name: &str) -> CreateFieldIndexCollection {
    field_index(words, name, FieldType::Bool, IndexParams::BoolIndexParams(BoolIndexParams::default()))
}

fn field_index(name: &str, field: &str, kind: FieldType, params: IndexParams) -> CreateFieldIndexCollection {
    CreateFieldIndexCollection {
        collection_name: name.to_owned(),
        wait: Some(true),
        field_name: field.to_owned(),
        field_type: Some(kind.into()),
        field_index_params: Some(PayloadIndexParams { index_params: Some(params) }),
        ordering: strong(),
        ..Default::default()
    }
}

pub(crate) fn upsert_words(words: &str, points: Vec<Point>) -> UpsertPoints {
    let point = |p: Point| {
        let (indices, values) = p.weights.into_iter().unzip();
        let sparse = vector::Vector::Sparse(SparseVector { values, indices });
        point(p.passage, payload(p.collection, p.document), LEXICAL, sparse)
    };
    upsert(words, points.into_iter().map(point).collect())
}

/// Vectors of passages that are there, with their place as [`place`] read it.
pub(crate) fn upsert_vectors(dense: &str, vectors: Vec<(RetrievedPoint, Vec<f32>)>) -> UpsertPoints {
    let point = |(there, data): (RetrievedPoint, Vec<f32>)| PointStruct {
        id: there.id,
        payload: there
            .payload
            .into_iter()
            .filter(|(field, _)| [COLLECTION, DOCUMENT].contains(&field.as_str()))
            .collect(),
        vectors: named(MEANING, vector::Vector::Dense(DenseVector { data })),
    };
    upsert(dense, vectors.into_iter().map(point).collect())
}

fn upsert(collection: &str, points: Vec<PointStruct>) -> UpsertPoints {
    UpsertPoints {
        collection_name: collection.to_owned(),
        wait: Some(true),
        points,
        ordering: strong(),
        ..Default::default()
    }
}

fn point(passage: PassageId, payload: HashMap<String, Value>, name: &str, vector: vector::Vector) -> PointStruct {
    PointStruct { id: Some(point_id(passage.0)), payload, vectors: named(name, vector) }
}

fn named(name: &str, vector: vector::Vector) -> Option<Vectors> {
    let vector = Vector { vector: Some(vector), ..Default::default() };
    let vectors = NamedVectors { vectors: [(name.to_owned(), vector)].into() };
    Some(Vectors { vectors_options: Some(VectorsOptions::Vectors(vectors)) })
}

fn payload(collection: impl ToString, document: impl ToString) -> HashMap<String, Value> {
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    [(COLLECTION.to_owned(), text(collection.to_string())), (DOCUMENT.to_owned(), text(document.to_string()))].into()
}

pub(crate) fn delete(collection: &str, which: &Which<'_>) -> DeletePoints {
    delete_points(collection, PointsSelectorOneOf::Filter(all_of(std::slice::from_ref(which))))
}

pub(crate) fn delete_ids(collection: &str, passages: &[PassageId]) -> DeletePoints {
    delete_points(collection, PointsSelectorOneOf::Points(ids(passages)))
}

fn delete_points(collection: &str, points: PointsSelectorOneOf) -> DeletePoints {
    DeletePoints {
        collection_name: collection.to_owned(),
        wait: Some(true),
        points: selector(points),
        ordering: strong(),
        ..Default::default()
    }
}

/// Marks passages as having the model's vector.
pub(crate) fn mark(words: &str, name: &str, passages: &[PassageId]) -> SetPayloadPoints {
    SetPayloadPoints {
        collection_name: words.to_owned(),
        wait: Some(true),
        payload: [(name.to_owned(), Value { kind: Some(Kind::BoolValue(true)) })].into(),
        points_selector: selector(PointsSelectorOneOf::Points(ids(passages))),
        ordering: strong(),
        ..Default::default()
    }
}

/// Takes the model's mark from every passage.
pub(crate) fn unmark(words: &str, name: &str) -> DeletePayloadPoints {
    DeletePayloadPoints {
        collection_name: words.to_owned(),
        wait: Some(true),
        keys: vec![name.to_owned()],
        points_selector: selector(PointsSelectorOneOf::Filter(Filter {
            must: vec![marked(name)],
            ..Default::default()
        })),
        ordering: strong(),
        ..Default::default()
    }
}

pub(crate) fn by_words(words: &str, weights: Sparse, which: &[Which<'_>], limit: usize) -> QueryPoints {
    let (indices, values) = weights.into_iter().unzip();
    let vector = vector_input::Variant::Sparse(SparseVector { values, indices });
    nearest(words, vector, LEXICAL, None, which, limit)
}

pub(crate) fn by_meaning(words: &str, dense: &Dense<'_>, which: &[Which<'_>], limit: usize) -> QueryPoints {
    let vector = vector_input::Variant::Dense(DenseVector { data: dense.vector.to_vec() });
    nearest(&dense_collection(words, dense.name), vector, MEANING, Some(dense.least), which, limit)
}

fn nearest(
    collection: &str,
    vector: vector_input::Variant,
    using: &str,
    least: Option<f32>,
    which: &[Which<'_>],
    limit: usize,
) -> QueryPoints {
    QueryPoints {
        collection_name: collection.to_owned(),
        query: Some(Query { variant: Some(query::Variant::Nearest(VectorInput { variant: Some(vector) })) }),
        using: Some(using.to_owned()),
        filter: Some(all_of(which)),
        score_threshold: least,
        limit: Some(limit as u64),
        with_payload: with_payload(true),
        ..Default::default()
    }
}

/// Passages without the model's mark, from an id on.
pub(crate) fn unmarked(words: &str, name: &str, from: Option<uuid::Uuid>, limit: usize) -> ScrollPoints {
    ScrollPoints {
        collection_name: words.to_owned(),
        filter: Some(Filter { must_not: vec![marked(name)], ..Default::default() }),
        offset: from.map(point_id),
        limit: Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        with_payload: with_payload(true),
        ..Default::default()
    }
}

/// Where passages stand, of those that are there.
pub(crate) fn place(words: &str, passages: &[PassageId]) -> GetPoints {
    GetPoints {
        collection_name: words.to_owned(),
        ids: ids(passages).ids,
        with_payload: with_payload(true),
        ..Default::default()
    }
}

pub(crate) fn vectors(dense: &str, passages: &[PassageId]) -> GetPoints {
    let names = VectorsSelector { names: vec![MEANING.to_owned()] };
    let selector = with_vectors_selector::SelectorOptions::Include(names);
    GetPoints {
        collection_name: dense.to_owned(),
        ids: ids(passages).ids,
        with_payload: with_payload(false),
        with_vectors: Some(WithVectorsSelector { selector_options: Some(selector) }),
        ..Default::default()
    }
}

pub(crate) fn count(collection: &str, which: Option<&Which<'_>>) -> CountPoints {
    let filter = which.map(|w| all_of(std::slice::from_ref(w)));
    CountPoints { collection_name: collection.to_owned(), filter, exact: Some(true), ..Default::default() }
}

pub(crate) fn count_marked(words: &str, name: &str) -> CountPoints {
    let filter = Some(Filter { must: vec![marked(name)], ..Default::default() });
    CountPoints { filter, ..count(words, None) }
}

/// A point found, as it reads.
pub(crate) fn found(point: ScoredPoint) -> Result<Found, SearchError> {
    let text = |field: &str| text(&point.payload, field).ok_or_else(unknown_entry);
    Ok(Found {
        passage: passage(point.id.as_ref())?,
        collection: text(COLLECTION)?.parse().map_err(|_| unknown_entry())?,
        document: text(DOCUMENT)?.parse().map_err(|_| unknown_entry())?,
        score: point.score,
    })
}

pub(crate) fn document_of(point: &RetrievedPoint) -> Result<(PassageId, DocumentId), SearchError> {
    let document = text(&point.payload, DOCUMENT).ok_or_else(unknown_entry)?;
    Ok((passage(point.id.as_ref())?, document.parse().map_err(|_| unknown_entry())?))
}

pub(crate) fn vector_of(point: &RetrievedPoint) -> Result<(PassageId, Vec<f32>), SearchError> {
    let vector = point.vectors.as_ref().and_then(|v| v.get_vector_by_name(MEANING));
    match vector {
        Some(vector_output::Vector::Dense(dense)) => Ok((passage(point.id.as_ref())?, dense.data)),
        _ => Err(unknown_entry()),
    }
}

pub(crate) fn passage(id: Option<&PointId>) -> Result<PassageId, SearchError> {
    match id.and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Uuid(text)) => text.parse().map(PassageId).map_err(|_| unknown_entry()),
        _ => Err(unknown_entry()),
    }
}

pub(crate) fn text<'a>(payload: &'a HashMap<String, Value>, field: &str) -> Option<&'a str> {
    match payload.get(field)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn session(id: &str) -> HashMap<String, Value> {
    [(SESSION.to_owned(), Value { kind: Some(Kind::StringValue(id.to_owned())) })].into()
}

fn all_of(which: &[Which<'_>]) -> Filter {
    let condition = |which: &Which<'_>| {
        let (field, strings) = which.field();
        matches(field, MatchValue::Keywords(RepeatedStrings { strings }))
    };
    Filter { must: which.iter().map(condition).collect(), ..Default::default() }
}

fn marked(name: &str) -> Condition {
    matches(name, MatchValue::Boolean(true))
}

fn matches(field: &str, value: MatchValue) -> Condition {
    let r#match = Some(Match { match_value: Some(value) });
    let field = FieldCondition { key: field.to_owned(), r#match, ..Default::default() };
    Condition { condition_one_of: Some(ConditionOneOf::Field(field)) }
}

fn selector(points: PointsSelectorOneOf) -> Option<PointsSelector> {
    Some(PointsSelector { points_selector_one_of: Some(points) })
}

fn ids(passages: &[PassageId]) -> PointsIdsList {
    PointsIdsList { ids: passages.iter().map(|p| point_id(p.0)).collect() }
}

fn point_id(id: uuid::Uuid) -> PointId {
    PointId { point_id_options: Some(PointIdOptions::Uuid(id.to_string())) }
}

fn with_payload(enable: bool) -> Option<WithPayloadSelector> {
    Some(WithPayloadSelector { selector_options: Some(with_payload_selector::SelectorOptions::Enable(enable)) })
}

/// Through the one leader: writes are applied in the order in which they were sent.
fn strong() -> Option<WriteOrdering> {
    Some(WriteOrdering { r#type: WriteOrderingType::Strong.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::CollectionId;

    #[test]
    fn every_question_carries_the_readers_filter() {
        let (collections, documents) = ([CollectionId::new()], [DocumentId::new(), DocumentId::new()]);
        let which = [Which::Collections(&collections), Which::Documents(&documents)];
        let dense = Dense { name: "dense-a", vector: &[1.0, 0.0], least: 0.4 };
        let (words, meaning) = (by_words("c", vec![(7, 0.5)], &which, 9), by_meaning("c", &dense, &which, 9));
        assert_eq!(words.filter, meaning.filter);
        let must = words.filter.expect("filter").must;
        let fields: Vec<_> = must
            .into_iter()
            .map(|c| match c.condition_one_of {
                Some(ConditionOneOf::Field(f)) => (f.key, f.r#match.and_then(|m| m.match_value)),
                other => panic!("{other:?}"),
            })
            .collect();
        let keywords = |ids: Vec<String>| Some(MatchValue::Keywords(RepeatedStrings { strings: ids }));
        assert_eq!(fields[0], (COLLECTION.to_owned(), keywords(vec![collections[0].to_string()])));
        assert_eq!(fields[1].1, keywords(documents.iter().map(ToString::to_string).collect()));
        assert_eq!((meaning.collection_name.as_str(), meaning.score_threshold), ("c-dense-a", Some(0.4)));
    }

    #[test]
    fn writes_are_awaited_in_order_and_copies_agree() {
        let write = delete("c", &Which::Documents(&[]));
        assert_eq!((write.wait, write.ordering), (Some(true), strong()));
        let mut at = QdrantServer::at("http://localhost");
        at.replicas = 3;
        let made = create(&at, "c", None);
        assert_eq!((made.replication_factor, made.write_consistency_factor), (Some(3), Some(3)));
        assert!(made.vectors_config.is_none() && made.sparse_vectors_config.is_some());
        at.write_consistency = Some(2);
        assert_eq!(create(&at, "c", Some(8)).write_consistency_factor, Some(2));
        assert!(indexes("c").iter().all(|i| i.wait == Some(true)));
    }
}

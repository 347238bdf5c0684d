//! The embedded Qdrant shard: the only file that knows its types.
//!
//! One point per passage: the named sparse vector [`LEXICAL`], a payload of `collection` and `document`, and for each
//! embedding model a dense vector under a name of its own, which a passage may still lack. The engine panics where it meets damage or a full disk; every call is
//! caught here and comes back as an error.

use crate::SearchError;
use crate::bm25::Sparse;
use madang_domain::{CollectionId, DocumentId, PassageId};
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, CountRequest, CreateIndex, CreateVectorName, DeleteVectorName, DenseVectorConfig, Distance, EdgeConfig,
    EdgeOptimizersConfig, EdgeShard, EdgeSparseVectorParams, FieldCondition, FieldIndexOperations, Filter, Fusion,
    HasVectorCondition, JsonPath, KeywordIndexParams, Match, Modifier, NamedQuery, OperationResult, PayloadFieldSchema,
    PayloadSchemaParams, PointId, PointInsertOperations, PointOperations, PointStruct, PointVectorsPersisted, Prefetch,
    QueryEnum, QueryRequest, Record, ScoredPoint, ScoringQuery, ScrollRequest, SparseVector, UpdateOperation,
    UpdateVectorsOp, Vector, VectorInternal, VectorNameConfig, VectorNameOperations, VectorOperations, VectorPersisted,
    VectorStorageDatatype, VectorStructPersisted, Vectors, WalOptions, WithPayloadInterface, WithVector,
};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Name of the sparse vector.
const LEXICAL: &str = "lexical";
const COLLECTION: &str = "collection";
const DOCUMENT: &str = "document";
/// Points per operation: keeps one write-ahead record well below a segment of the log.
const POINTS_PER_OPERATION: usize = 128;
/// Dense vectors per operation: as [`POINTS_PER_OPERATION`], at 65,536 numbers each.
const VECTORS_PER_OPERATION: usize = 8;
/// Reciprocal rank fusion: Cormack, Clarke & Büttcher (2009) found 60 to serve widely.
const RANK_CONSTANT: usize = 60;
/// Hits of either side that are fused, where fewer are wanted.
const LEAST_FUSED: usize = 50;
/// The default of 32 MiB is allocated at once, too much for a small office's index.
const WAL_SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// A passage ready for the engine.
pub(crate) struct Point {
    pub passage: PassageId,
    pub collection: CollectionId,
    pub document: DocumentId,
    pub weights: Sparse,
}

/// What a query finds.
pub(crate) struct Found {
    pub passage: PassageId,
    pub collection: CollectionId,
    pub document: DocumentId,
    pub score: f32,
}

/// A dense vector to look for.
pub(crate) struct Dense<'a> {
    pub name: &'a str,
    pub vector: &'a [f32],
    /// Cosine below which nothing counts as found.
    pub least: f32,
}

/// Which points a deletion or a query is about.
pub(crate) enum Which<'a> {
    Documents(&'a [DocumentId]),
    Collections(&'a [CollectionId]),
}

/// An open shard. Writers must not run beside each other, see [`Engine::flush`].
pub(crate) struct Engine(Option<EdgeShard>);

impl Engine {
    /// A new shard in the empty folder `path`.
    pub fn create(path: &Path) -> Result<Self, SearchError> {
        std::fs::create_dir_all(path).map_err(SearchError::io(path))?;
        let engine = Self(Some(guarded(|| EdgeShard::new(path, config()))?));
        for (field, is_tenant) in [(COLLECTION, true), (DOCUMENT, false)] {
            let params = KeywordIndexParams { is_tenant: Some(is_tenant), ..Default::default() };
            let schema = PayloadFieldSchema::FieldParams(PayloadSchemaParams::Keyword(params));
            let create = CreateIndex { field_name: json_path(field)?, field_schema: Some(schema) };
            engine.update(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(create)))?;
        }
        engine.flush()?;
        Ok(engine)
    }

    /// The shard that is there, with the dense vectors that it has.
    pub fn load(path: &Path) -> Result<Self, SearchError> {
        let stored = guarded(|| EdgeConfig::load(path).transpose())?;
        let vectors = stored.map(|c| c.vectors).unwrap_or_default();
        guarded(|| EdgeShard::load(path, Some(EdgeConfig { vectors, ..config() }))).map(|shard| Self(Some(shard)))
    }

    /// In the place of a shard while its files are worked on: every call is refused.
    pub fn closed() -> Self {
        Self(None)
    }

    pub fn upsert(&self, points: Vec<Point>) -> Result<(), SearchError> {
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let batch = points.by_ref().take(POINTS_PER_OPERATION).map(point).collect::<Result<Vec<_>, _>>()?;
            let insert = PointInsertOperations::PointsList(batch.into_iter().map(Into::into).collect());
            self.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(insert)))?;
        }
        Ok(())
    }

    pub fn delete(&self, which: &Which<'_>) -> Result<(), SearchError> {
        let filter = Filter::new_must(condition(which)?);
        self.update(UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(filter)))
    }

    /// The best `limit` points that satisfy all of `which`: by words, by meaning, or both fused by rank. Nothing
    /// without either.
    pub fn query(
        &self,
        weights: Sparse,
        dense: Option<Dense<'_>>,
        which: &[Which<'_>],
        limit: usize,
    ) -> Result<Vec<Found>, SearchError> {
        let must = which.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
        let filter = Some(Filter { must: Some(must), ..Filter::new() });
        let lexical = if weights.is_empty() { None } else { Some(nearest_words(weights)?) };
        let dense = dense.map(|d| (nearest_meaning(&d), Some(OrderedFloat(d.least))));
        let (prefetches, query, score_threshold) = match (lexical, dense) {
            (None, None) => return Ok(Vec::new()),
            (Some(lexical), None) => (Vec::new(), lexical, None),
            (None, Some((meaning, least))) => (Vec::new(), meaning, least),
            (Some(lexical), Some((meaning, least))) => {
                let side = |query, score_threshold| Prefetch {
                    prefetches: Vec::new(),
                    query: Some(query),
                    limit: limit.max(LEAST_FUSED),
                    params: None,
                    filter: filter.clone(),
                    score_threshold,
                };
                let fusion = Fusion::Rrf { k: RANK_CONSTANT, weights: None };
                (vec![side(lexical, None), side(meaning, least)], ScoringQuery::Fusion(fusion), None)
            }
        };
        let request = QueryRequest {
            prefetches,
            query: Some(query),
            filter,
            score_threshold,
            limit,
            offset: 0,
            params: None,
            with_vector: WithVector::Bool(false),
            with_payload: WithPayloadInterface::Bool(true),
        };
        let shard = self.shard()?;
        guarded(|| shard.query(request))?.into_iter().map(found).collect()
    }

    /// Names of the dense vectors.
    pub fn vector_names(&self) -> Result<Vec<String>, SearchError> {
        let shard = self.shard()?;
        guarded(|| Ok(shard.config().vectors.keys().cloned().collect()))
    }

    /// A dense vector that every point lacks so far; nothing happens where the name is there.
    pub fn create_vector(&self, name: &str, dimension: usize) -> Result<(), SearchError> {
        let config = DenseVectorConfig {
            size: dimension,
            distance: Distance::Cosine,
            multivector_config: None,
            // Half the memory; cosines of unit vectors change in the fourth digit.
            datatype: Some(VectorStorageDatatype::Float16),
        };
        let create = CreateVectorName { vector_name: name.into(), config: VectorNameConfig::dense(config) };
        self.update(UpdateOperation::VectorNameOperation(VectorNameOperations::CreateVectorName(create)))
    }

    /// Removes a dense vector from every point.
    pub fn delete_vector(&self, name: &str) -> Result<(), SearchError> {
        let delete = DeleteVectorName { vector_name: name.into() };
        self.update(UpdateOperation::VectorNameOperation(VectorNameOperations::DeleteVectorName(delete)))
    }

    /// Points that lack the dense vector, by id, those after `after` only.
    pub fn without_vector(
        &self,
        name: &str,
        after: Option<PassageId>,
        limit: usize,
    ) -> Result<Vec<(PassageId, DocumentId)>, SearchError> {
        let request = ScrollRequest {
            // The engine begins with the offset itself.
            offset: after.map(|id| PointId::Uuid(uuid::Uuid::from_u128(id.0.as_u128().saturating_add(1)))),
            limit: Some(limit),
            filter: Some(Filter::new_must_not(has_vector(name))),
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(false),
            order_by: None,
        };
        let shard = self.shard()?;
        let (records, _) = guarded(|| shard.scroll(request))?;
        records.into_iter().map(|r| document_of(&r)).collect()
    }

    /// Number of points that have the dense vector.
    pub fn count_with_vector(&self, name: &str) -> Result<usize, SearchError> {
        let shard = self.shard()?;
        let filter = Some(Filter::new_must(has_vector(name)));
        guarded(|| shard.count(CountRequest { filter, exact: true }))
    }

    /// Gives points their dense vector; those that are not there are passed over. Returns how many were there.
    pub fn put_vectors(&self, name: &str, vectors: &[(PassageId, &[f32])]) -> Result<usize, SearchError> {
        let mut put = 0;
        for some in vectors.chunks(VECTORS_PER_OPERATION) {
            let ids: Vec<_> = some.iter().map(|(id, _)| PointId::Uuid(id.0)).collect();
            let shard = self.shard()?;
            let none = WithPayloadInterface::Bool(false);
            let there = guarded(|| shard.retrieve(&ids, Some(none), None))?;
            let there: HashSet<_> = there.into_iter().map(|r| r.id).collect();
            let points = some.iter().filter(|(id, _)| there.contains(&PointId::Uuid(id.0)));
            let points: Vec<_> = points.map(|(id, vector)| point_vector(name, *id, vector)).collect();
            put += points.len();
            if !points.is_empty() {
                let update = UpdateVectorsOp { points, update_filter: None };
                self.update(UpdateOperation::VectorOperation(VectorOperations::UpdateVectors(update)))?;
            }
        }
        Ok(put)
    }

    /// Exact number of points.
    pub fn count(&self, which: Option<&Which<'_>>) -> Result<usize, SearchError> {
        let filter = which.map(condition).transpose()?.map(Filter::new_must);
        let shard = self.shard()?;
        guarded(|| shard.count(CountRequest { filter, exact: true }))
    }

    /// Merges and indexes segments; true if anything was done.
    pub fn optimise(&self) -> Result<bool, SearchError> {
        let shard = self.shard()?;
        guarded(|| shard.optimize())
    }

    /// Puts everything on disk. The engine panics if a writer runs meanwhile: hold the writers' lock.
    pub fn flush(&self) -> Result<(), SearchError> {
        let shard = self.shard()?;
        guarded(|| {
            shard.flush();
            Ok(())
        })
    }

    fn update(&self, operation: UpdateOperation) -> Result<(), SearchError> {
        let shard = self.shard()?;
        guarded(|| shard.update(operation))
    }

    fn shard(&self) -> Result<&EdgeShard, SearchError> {
        self.0.as_ref().ok_or_else(|| SearchError::Engine("색인이 닫혔습니다.".into()))
    }
}

impl Drop for Engine {
    /// The shard flushes as it goes and panics where it cannot.
    fn drop(&mut self) {
        let shard = self.0.take();
        if let Err(e) = guarded(move || {
            drop(shard);
            Ok(())
        }) {
            tracing::error!("closing the index: {e}");
        }
    }
}

fn config() -> EdgeConfig {
    let lexical = EdgeSparseVectorParams { modifier: Some(Modifier::Idf), ..Default::default() };
    EdgeConfig {
        on_disk_payload: true,
        sparse_vectors: [(LEXICAL.into(), lexical)].into(),
        optimizers: EdgeOptimizersConfig::default(),
        wal_options: Some(WalOptions { segment_capacity: WAL_SEGMENT_BYTES, ..Default::default() }),
        ..Default::default()
    }
}

/// Turns the engine's errors and panics into ours.
fn guarded<T>(call: impl FnOnce() -> OperationResult<T>) -> Result<T, SearchError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| SearchError::Engine(e.to_string())),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            Err(SearchError::Engine(format!("engine stopped: {words}")))
        }
    }
}

fn nearest_words(weights: Sparse) -> Result<ScoringQuery, SearchError> {
    let (indices, values) = weights.into_iter().unzip();
    let vector = SparseVector::new(indices, values).map_err(|e| SearchError::Engine(e.to_string()))?;
    Ok(ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(VectorInternal::Sparse(vector), LEXICAL))))
}

fn nearest_meaning(dense: &Dense<'_>) -> ScoringQuery {
    let vector = VectorInternal::Dense(dense.vector.to_vec());
    ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(vector, dense.name)))
}

fn has_vector(name: &str) -> Condition {
    Condition::HasVector(HasVectorCondition::from(name.to_owned()))
}

fn point_vector(name: &str, id: PassageId, vector: &[f32]) -> PointVectorsPersisted {
    let named = [(name.to_owned(), VectorPersisted::Dense(vector.to_vec()))].into();
    PointVectorsPersisted { id: PointId::Uuid(id.0), vector: VectorStructPersisted::Named(named) }
}

fn json_path(field: &str) -> Result<JsonPath, SearchError> {
    field.parse().map_err(|()| SearchError::Engine(format!("field {field}")))
}

fn condition(which: &Which<'_>) -> Result<Condition, SearchError> {
    let (field, values): (_, Vec<String>) = match which {
        Which::Documents(ids) => (DOCUMENT, ids.iter().map(ToString::to_string).collect()),
        Which::Collections(ids) => (COLLECTION, ids.iter().map(ToString::to_string).collect()),
    };
    Ok(Condition::Field(FieldCondition::new_match(json_path(field)?, Match::from(values))))
}

fn point(point: Point) -> Result<PointStruct, SearchError> {
    let (indices, values): (Vec<u32>, Vec<f32>) = point.weights.into_iter().unzip();
    let vector = Vector::new_sparse(indices, values).map_err(|e| SearchError::Engine(e.to_string()))?;
    let payload = serde_json::json!({ COLLECTION: point.collection.to_string(), DOCUMENT: point.document.to_string() });
    Ok(PointStruct::new(PointId::Uuid(point.passage.0), Vectors::new_named([(LEXICAL, vector)]), payload))
}

fn document_of(record: &Record) -> Result<(PassageId, DocumentId), SearchError> {
    let damaged = || SearchError::rebuild("색인에 알 수 없는 항목이 있습니다.");
    let PointId::Uuid(passage) = record.id else {
        return Err(damaged());
    };
    let document = record.payload.as_ref().and_then(|p| p.0.get(DOCUMENT)).and_then(|v| v.as_str());
    Ok((PassageId(passage), document.ok_or_else(damaged)?.parse().map_err(|_| damaged())?))
}

fn found(point: ScoredPoint) -> Result<Found, SearchError> {
    let damaged = || SearchError::rebuild("색인에 알 수 없는 항목이 있습니다.");
    let PointId::Uuid(passage) = point.id else {
        return Err(damaged());
    };
    let payload = point.payload.ok_or_else(damaged)?;
    let text = |field: &str| payload.0.get(field).and_then(|v| v.as_str()).ok_or_else(damaged);
    Ok(Found {
        passage: PassageId(passage),
        collection: text(COLLECTION)?.parse().map_err(|_| damaged())?,
        document: text(DOCUMENT)?.parse().map_err(|_| damaged())?,
        score: point.score,
    })
}

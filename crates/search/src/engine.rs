//! The embedded Qdrant shard: the only file that knows its types.
//!
//! One point per passage: the named sparse vector [`LEXICAL`], and a payload of `collection` and `document`. A dense
//! vector would be a second name beside it. The engine panics where it meets damage or a full disk; every call is
//! caught here and comes back as an error.

use crate::SearchError;
use crate::bm25::Sparse;
use madang_domain::{CollectionId, DocumentId, PassageId};
use qdrant_edge::{
    Condition, CountRequest, CreateIndex, EdgeConfig, EdgeOptimizersConfig, EdgeShard, EdgeSparseVectorParams,
    FieldCondition, FieldIndexOperations, Filter, JsonPath, KeywordIndexParams, Match, Modifier, NamedQuery,
    OperationResult, PayloadFieldSchema, PayloadSchemaParams, PointId, PointInsertOperations, PointOperations,
    PointStruct, QueryEnum, QueryRequest, ScoredPoint, ScoringQuery, SparseVector, UpdateOperation, Vector,
    VectorInternal, Vectors, WalOptions, WithPayloadInterface, WithVector,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Name of the sparse vector.
const LEXICAL: &str = "lexical";
const COLLECTION: &str = "collection";
const DOCUMENT: &str = "document";
/// Points per operation: keeps one write-ahead record well below a segment of the log.
const POINTS_PER_OPERATION: usize = 128;
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

    /// The shard that is there.
    pub fn load(path: &Path) -> Result<Self, SearchError> {
        guarded(|| EdgeShard::load(path, Some(config()))).map(|shard| Self(Some(shard)))
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

    /// The best `limit` points that satisfy all of `which`.
    pub fn query(&self, weights: Sparse, which: &[Which<'_>], limit: usize) -> Result<Vec<Found>, SearchError> {
        let must = which.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
        let (indices, values) = weights.into_iter().unzip();
        let vector = SparseVector::new(indices, values).map_err(|e| SearchError::Engine(e.to_string()))?;
        let request = QueryRequest {
            prefetches: Vec::new(),
            query: Some(ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(
                VectorInternal::Sparse(vector),
                LEXICAL,
            )))),
            filter: Some(Filter { must: Some(must), ..Filter::new() }),
            score_threshold: None,
            limit,
            offset: 0,
            params: None,
            with_vector: WithVector::Bool(false),
            with_payload: WithPayloadInterface::Bool(true),
        };
        let shard = self.shard()?;
        guarded(|| shard.query(request))?.into_iter().map(found).collect()
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

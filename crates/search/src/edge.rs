//! The embedded home: a Qdrant shard in this process. The only file that knows its types, and its folder's.
//!
//! The engine panics where it meets damage or a full disk; every call is caught here and comes back as an error.

use crate::SearchError;
use crate::bm25::Sparse;
use crate::files::remove;
use crate::fusion::{Found, Nearest};
use crate::home::{
    COLLECTION, DOCUMENT, Dense, Home, LEXICAL, POINTS_PER_OPERATION, Point, Which, following, unknown_entry,
};
use madang_domain::{DocumentId, PassageId};
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, CountRequest, CreateIndex, CreateVectorName, DeleteVectorName, DenseVectorConfig, Distance, EdgeConfig,
    EdgeOptimizersConfig, EdgeShard, EdgeSparseVectorParams, FieldCondition, FieldIndexOperations, Filter,
    HasVectorCondition, JsonPath, KeywordIndexParams, Match, Modifier, NamedQuery, OperationResult, PayloadFieldSchema,
    PayloadSchemaParams, PointId, PointInsertOperations, PointOperations, PointStruct, PointVectorsPersisted,
    QueryEnum, QueryRequest, Record, ScoredPoint, ScoringQuery, ScrollRequest, SearchParams, SparseVector,
    UpdateOperation, UpdateVectorsOp, Vector, VectorInternal, VectorNameConfig, VectorNameOperations, VectorOperations,
    VectorPersisted, VectorStorageDatatype, VectorStructInternal, VectorStructPersisted, Vectors, WalOptions,
    WithPayloadInterface, WithVector,
};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// Bytes of dense vectors per operation: as [`POINTS_PER_OPERATION`].
const VECTOR_BYTES_PER_OPERATION: usize = 1 << 20;
/// The default of 32 MiB is allocated at once, too much for a small office's index.
const WAL_SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// Points written before they are sealed, that is made into a segment that takes no more. Until then each new one walks
/// every entry of its terms' posting lists (0.7.2 says that it stops early and does not), so that a million in one go would
/// take days.
const MOST_UNSEALED: usize = 4_096;
/// Least size of what is sealed, KiB: less than [`MOST_UNSEALED`] points of one vector take.
const LEAST_SEALED_KIB: usize = 1_000;
/// Segments that may gather while much is written; the smallest are merged beyond, so that each point is rewritten a few
/// times at most.
const MOST_SEALED: usize = 32;
/// Segments after [`Home::optimise`], where their sizes allow.
const MERGED: usize = 8;
/// Share of a segment that must be deleted before it is rewritten, while much is written and at [`Home::optimise`]: whoever
/// gives all points their vectors empties one old segment after the other.
const MOST_DELETED: [f64; 2] = [0.8, 0.2];
/// Largest segment that merging makes, KiB.
const MOST_SEGMENT_KIB: usize = 512_000;
/// Candidates that a search by meaning keeps: at 100, the engine's own, a tenth more of the nearest were missed (docs/scale.md).
const CANDIDATES: usize = 256;
/// Write-ahead segments that may gather before [`Home::optimise`] removes them.
const MOST_WRITE_AHEAD_SEGMENTS: usize = 4;

/// An open shard.
pub(crate) struct Edge {
    path: PathBuf,
    /// Empty while its files are worked on, and after it could not be opened again: the next call tries once more.
    shard: RwLock<Option<EdgeShard>>,
    /// Points written since the last were sealed.
    added: AtomicUsize,
}

impl Edge {
    /// A new shard in the empty folder `path`.
    pub fn create(path: &Path) -> Result<Self, SearchError> {
        std::fs::create_dir_all(path).map_err(SearchError::io(path))?;
        let shard = guarded(|| EdgeShard::new(path, config()))?;
        let edge = Self { path: path.to_owned(), shard: RwLock::new(Some(shard)), added: AtomicUsize::new(0) };
        for (field, is_tenant) in [(COLLECTION, true), (DOCUMENT, false)] {
            let params = KeywordIndexParams { is_tenant: Some(is_tenant), ..Default::default() };
            let schema = PayloadFieldSchema::FieldParams(PayloadSchemaParams::Keyword(params));
            let create = CreateIndex { field_name: json_path(field)?, field_schema: Some(schema) };
            edge.update(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(create)))?;
        }
        edge.flush()?;
        Ok(edge)
    }

    /// The shard that is there, with the dense vectors that it has.
    pub fn load(path: &Path) -> Result<Self, SearchError> {
        trim_write_ahead_log(path)?;
        Ok(Self { path: path.to_owned(), shard: RwLock::new(Some(load(path)?)), added: AtomicUsize::new(0) })
    }

    /// The best `limit` points by one vector.
    fn find(
        &self,
        query: ScoringQuery,
        least: Option<f32>,
        which: &[Which<'_>],
        limit: usize,
    ) -> Result<Nearest, SearchError> {
        let must = which.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
        let request = QueryRequest {
            prefetches: Vec::new(),
            query: Some(query),
            filter: Some(Filter { must: Some(must), ..Filter::new() }),
            score_threshold: least.map(OrderedFloat),
            limit,
            offset: 0,
            params: Some(SearchParams { hnsw_ef: Some(CANDIDATES), ..SearchParams::default() }),
            with_vector: WithVector::Bool(false),
            with_payload: WithPayloadInterface::Bool(true),
        };
        self.ask(|shard| shard.query(request))?.into_iter().map(found).collect()
    }

    fn update(&self, operation: UpdateOperation) -> Result<(), SearchError> {
        self.ask(|shard| shard.update(operation))
    }

    /// Seals when enough points were written since the last time. A vector counts as its point, which moves with it.
    fn wrote(&self, points: usize) -> Result<(), SearchError> {
        if self.added.fetch_add(points, Ordering::Relaxed) + points >= MOST_UNSEALED {
            self.merge(MOST_SEALED)?;
        }
        Ok(())
    }

    /// Seals what was written and merges the smallest segments where there are more than `segments`.
    fn merge(&self, segments: usize) -> Result<(), SearchError> {
        self.ask(|shard| shard.set_optimizers_config(optimizers(segments)).and_then(|()| shard.optimize()))?;
        self.added.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn ask<T>(&self, call: impl FnOnce(&EdgeShard) -> OperationResult<T>) -> Result<T, SearchError> {
        let mut shard = self.shard.read().unwrap_or_else(PoisonError::into_inner);
        if shard.is_none() {
            drop(shard);
            self.reopen()?;
            shard = self.shard.read().unwrap_or_else(PoisonError::into_inner);
        }
        let shard = shard.as_ref().ok_or_else(|| SearchError::Engine("색인이 닫혔습니다.".into()))?;
        guarded(|| call(shard))
    }

    /// Opens the shard where it could not be opened before.
    fn reopen(&self) -> Result<(), SearchError> {
        let mut shard = self.shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.is_none() {
            *shard = Some(load(&self.path)?);
        }
        Ok(())
    }
}

impl Home for Edge {
    fn may_write(&self) -> Result<(), SearchError> {
        // The folder is locked to this process.
        Ok(())
    }

    fn upsert(&self, points: Vec<Point>) -> Result<(), SearchError> {
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let batch = points.by_ref().take(POINTS_PER_OPERATION).map(point).collect::<Result<Vec<_>, _>>()?;
            let count = batch.len();
            let insert = PointInsertOperations::PointsList(batch.into_iter().map(Into::into).collect());
            self.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(insert)))?;
            self.wrote(count)?;
        }
        Ok(())
    }

    fn delete(&self, which: &Which<'_>) -> Result<(), SearchError> {
        let filter = Filter::new_must(condition(which)?);
        self.update(UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(filter)))
    }

    fn nearest_words(&self, words: Sparse, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let (indices, values) = words.into_iter().unzip();
        let vector = SparseVector::new(indices, values).map_err(|e| SearchError::Engine(e.to_string()))?;
        self.find(nearest(VectorInternal::Sparse(vector), LEXICAL), None, which, limit)
    }

    fn nearest_meaning(&self, dense: &Dense<'_>, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError> {
        let vector = VectorInternal::Dense(dense.vector.to_vec());
        self.find(nearest(vector, dense.name), Some(dense.least), which, limit)
    }

    fn vector_names(&self) -> Result<Vec<String>, SearchError> {
        self.ask(|shard| Ok(shard.config().vectors.keys().cloned().collect()))
    }

    fn create_vector(&self, name: &str, dimension: usize) -> Result<(), SearchError> {
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

    fn delete_vector(&self, name: &str) -> Result<(), SearchError> {
        let delete = DeleteVectorName { vector_name: name.into() };
        self.update(UpdateOperation::VectorNameOperation(VectorNameOperations::DeleteVectorName(delete)))
    }

    fn without_vector(
        &self,
        name: &str,
        after: Option<PassageId>,
        limit: usize,
    ) -> Result<Vec<(PassageId, DocumentId)>, SearchError> {
        let request = ScrollRequest {
            offset: after.map(|id| PointId::Uuid(following(id))),
            limit: Some(limit),
            filter: Some(Filter::new_must_not(has_vector(name))),
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(false),
            order_by: None,
        };
        let (records, _) = self.ask(|shard| shard.scroll(request))?;
        records.into_iter().map(|r| document_of(&r)).collect()
    }

    fn count_with_vector(&self, name: &str) -> Result<usize, SearchError> {
        let filter = Some(Filter::new_must(has_vector(name)));
        self.ask(|shard| shard.count(CountRequest { filter, exact: true }))
    }

    fn put_vectors(&self, name: &str, vectors: &[(PassageId, &[f32])]) -> Result<usize, SearchError> {
        let mut put = 0;
        let bytes = vectors.first().map_or(0, |(_, v)| size_of_val(*v)).max(1);
        for some in vectors.chunks((VECTOR_BYTES_PER_OPERATION / bytes).max(1)) {
            let ids: Vec<_> = some.iter().map(|(id, _)| PointId::Uuid(id.0)).collect();
            let none = WithPayloadInterface::Bool(false);
            let there = self.ask(|shard| shard.retrieve(&ids, Some(none), None))?;
            let there: HashSet<_> = there.into_iter().map(|r| r.id).collect();
            let points = some.iter().filter(|(id, _)| there.contains(&PointId::Uuid(id.0)));
            let points: Vec<_> = points.map(|(id, vector)| point_vector(name, *id, vector)).collect();
            put += points.len();
            if !points.is_empty() {
                let update = UpdateVectorsOp { points, update_filter: None };
                self.update(UpdateOperation::VectorOperation(VectorOperations::UpdateVectors(update)))?;
                self.wrote(some.len())?;
            }
        }
        Ok(put)
    }

    fn vectors(&self, name: &str, passages: &[PassageId]) -> Result<Vec<(PassageId, Vec<f32>)>, SearchError> {
        let ids: Vec<_> = passages.iter().map(|id| PointId::Uuid(id.0)).collect();
        let (payload, vector) = (WithPayloadInterface::Bool(false), WithVector::Selector(vec![name.to_owned()]));
        let records = self.ask(|shard| shard.retrieve(&ids, Some(payload), Some(vector)))?;
        Ok(records.into_iter().filter_map(|r| dense_of(name, r)).collect())
    }

    fn count(&self, which: Option<&Which<'_>>) -> Result<usize, SearchError> {
        let Some(which) = which else {
            // The sum of the segments' own numbers: the engine's exact count lists every point, and each write counts.
            return self.ask(|shard| Ok(shard.info().points_count));
        };
        let filter = Some(Filter::new_must(condition(which)?));
        self.ask(|shard| shard.count(CountRequest { filter, exact: true }))
    }

    fn optimise(&self) -> Result<(), SearchError> {
        self.merge(MERGED)?;
        self.flush()?;
        if closed_segments(&self.path.join("wal"))?.len() <= MOST_WRITE_AHEAD_SEGMENTS {
            return Ok(());
        }
        let mut shard = self.shard.write().unwrap_or_else(PoisonError::into_inner);
        let trimmed = close(shard.take()).and_then(|()| trim_write_ahead_log(&self.path));
        // Whatever became of the log: searches wait for this.
        *shard = Some(load(&self.path)?);
        trimmed
    }

    fn flush(&self) -> Result<(), SearchError> {
        // The engine panics if a writer runs meanwhile: whoever calls holds the writers' lock.
        self.ask(|shard| {
            shard.flush();
            Ok(())
        })
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let shard = self.shard.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(e) = close(shard) {
            tracing::error!("closing the index: {e}");
        }
    }
}

fn load(path: &Path) -> Result<EdgeShard, SearchError> {
    let stored = guarded(|| EdgeConfig::load(path).transpose())?;
    let vectors = stored.map(|c| c.vectors).unwrap_or_default();
    guarded(|| EdgeShard::load(path, Some(EdgeConfig { vectors, ..config() })))
}

/// The shard flushes as it goes and panics where it cannot.
fn close(shard: Option<EdgeShard>) -> Result<(), SearchError> {
    guarded(move || {
        drop(shard);
        Ok(())
    })
}

/// Removes closed write-ahead segments but the newest, which carries the operation counter on. The engine never reads
/// them back and never removes them itself. Call only while the shard is closed and settled.
fn trim_write_ahead_log(shard: &Path) -> Result<(), SearchError> {
    let wal = shard.join("wal");
    let mut closed = closed_segments(&wal)?;
    closed.sort_unstable();
    closed.pop();
    closed.into_iter().try_for_each(|(_, path)| remove(&path))
}

fn config() -> EdgeConfig {
    let lexical = EdgeSparseVectorParams { modifier: Some(Modifier::Idf), ..Default::default() };
    EdgeConfig {
        on_disk_payload: true,
        sparse_vectors: [(LEXICAL.into(), lexical)].into(),
        optimizers: optimizers(MERGED),
        wal_options: Some(WalOptions { segment_capacity: WAL_SEGMENT_BYTES, ..Default::default() }),
        ..Default::default()
    }
}

fn optimizers(segments: usize) -> EdgeOptimizersConfig {
    let [writing, idle] = MOST_DELETED;
    EdgeOptimizersConfig {
        deleted_threshold: Some(if segments > MERGED { writing } else { idle }),
        default_segment_number: Some(segments),
        max_segment_size: Some(MOST_SEGMENT_KIB),
        indexing_threshold: Some(LEAST_SEALED_KIB),
        ..EdgeOptimizersConfig::default()
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

fn nearest(vector: VectorInternal, using: &str) -> ScoringQuery {
    ScoringQuery::Vector(QueryEnum::Nearest(NamedQuery::new(vector, using)))
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
    let (field, values) = which.field();
    Ok(Condition::Field(FieldCondition::new_match(json_path(field)?, Match::from(values))))
}

fn point(point: Point) -> Result<PointStruct, SearchError> {
    let (indices, values): (Vec<u32>, Vec<f32>) = point.weights.into_iter().unzip();
    let vector = Vector::new_sparse(indices, values).map_err(|e| SearchError::Engine(e.to_string()))?;
    let payload = serde_json::json!({ COLLECTION: point.collection.to_string(), DOCUMENT: point.document.to_string() });
    Ok(PointStruct::new(PointId::Uuid(point.passage.0), Vectors::new_named([(LEXICAL, vector)]), payload))
}

fn document_of(record: &Record) -> Result<(PassageId, DocumentId), SearchError> {
    let PointId::Uuid(passage) = record.id else {
        return Err(unknown_entry());
    };
    let document = record.payload.as_ref().and_then(|p| p.0.get(DOCUMENT)).and_then(|v| v.as_str());
    let document = document.ok_or_else(unknown_entry)?.parse().map_err(|_| unknown_entry())?;
    Ok((PassageId(passage), document))
}

fn dense_of(name: &str, record: Record) -> Option<(PassageId, Vec<f32>)> {
    let (PointId::Uuid(passage), Some(VectorStructInternal::Named(mut named))) = (record.id, record.vector) else {
        return None;
    };
    match named.remove(name) {
        Some(VectorInternal::Dense(vector)) => Some((PassageId(passage), vector)),
        _ => None,
    }
}

fn found(point: ScoredPoint) -> Result<Found, SearchError> {
    let PointId::Uuid(passage) = point.id else {
        return Err(unknown_entry());
    };
    let payload = point.payload.ok_or_else(unknown_entry)?;
    let text = |field: &str| payload.0.get(field).and_then(|v| v.as_str()).ok_or_else(unknown_entry);
    Ok(Found {
        passage: PassageId(passage),
        collection: text(COLLECTION)?.parse().map_err(|_| unknown_entry())?,
        document: text(DOCUMENT)?.parse().map_err(|_| unknown_entry())?,
        score: point.score,
    })
}

/// Files `closed-N` of a write-ahead log with their N.
fn closed_segments(wal: &Path) -> Result<Vec<(u64, PathBuf)>, SearchError> {
    let entries = match std::fs::read_dir(wal) {
        Ok(entries) => entries,
        // A missing log is for the engine to complain of.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(SearchError::io(wal)(e)),
    };
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.map_err(SearchError::io(wal))?.path();
        let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("closed-")?.parse().ok());
        out.extend(number.map(|n| (n, path)));
    }
    Ok(out)
}

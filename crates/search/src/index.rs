//! The index as the rest of Madang sees it: add, remove, search, copy; durable when a call returns.

use crate::bm25::{Counted, query_weights};
use crate::engine::{Dense, Engine, Point, Which};
use crate::files::{Folder, Meta, Unsettled};
use crate::vectors::{QueryVector, VectorModels, agree_on_vectors};
use crate::{SearchError, Synonyms};
use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// Most hits of one search.
const MOST_HITS: usize = 1000;
/// Write-ahead segments (4 MiB each) that may gather before [`Index::optimise`] removes them.
const MOST_WRITE_AHEAD_SEGMENTS: usize = 4;

/// A passage to be indexed. Its words are analysed and not stored.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedPassage {
    pub id: PassageId,
    pub collection: CollectionId,
    pub document: DocumentId,
    /// The document's title.
    pub title: String,
    /// Headings above the passage, outermost first.
    pub heading_path: Vec<String>,
    pub text: String,
}

/// What to search for beside the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchOptions {
    /// Most hits wanted; at most 1,000 are given.
    pub limit: usize,
    /// Only in these documents; an empty list finds nothing.
    pub documents: Option<Vec<DocumentId>>,
    /// Other words to look for.
    pub synonyms: Arc<Synonyms>,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { limit: 10, documents: None, synonyms: Arc::default() }
    }
}

/// A passage found, to be checked again by the store before it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    pub passage: PassageId,
    pub document: DocumentId,
    pub collection: CollectionId,
    /// BM25, cosine, or both fused by rank: comparable within one answer, not between queries.
    pub score: f32,
}

/// What [`Index::check`] sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub passages: usize,
    /// Average passage length by which weights are computed now.
    pub average_length: f32,
    /// Documents dropped at opening because their last write was cut off; add them again.
    pub interrupted: Vec<DocumentId>,
}

/// The one index over passages, in one folder, open in one process. `Send + Sync`; calls block, so run them off the
/// async threads. Writes run one after another, searches beside them.
///
/// Every write is on disk when it returns. The documents of a write that was cut off (killed process, power loss)
/// are removed at the next opening and named by [`Index::interrupted`].
pub struct Index {
    /// Models whose vectors are kept, readable while a write is under way.
    pub(crate) vectors: RwLock<VectorModels>,
    engine: RwLock<Engine>,
    writer: Mutex<Meta>,
    interrupted: Vec<DocumentId>,
    /// Last, so that the folder is unlocked after the engine has closed.
    pub(crate) folder: Folder,
}

impl Index {
    /// Opens the index in `dir`, creating it where nothing is there.
    ///
    /// # Errors
    /// [`SearchError::NeedsRebuild`] if another analyser made it or it is damaged: [`Index::recreate`] it and add all
    /// passages again. [`SearchError::InUse`] if another process has it open.
    pub fn open(dir: &Path) -> Result<Self, SearchError> {
        let folder = Folder::lock(dir)?;
        if folder.is_new() {
            return Self::create(folder);
        }
        let mut meta = folder.read_meta()?;
        let unsettled = folder.read_unsettled()?;
        folder.trim_write_ahead_log()?;
        let engine = Engine::load(&folder.shard()).map_err(damaged)?;
        agree_on_vectors(&engine, &meta.vectors).map_err(damaged)?;
        let interrupted = match unsettled {
            Some(unsettled) => finish(&folder, &engine, &mut meta, unsettled).map_err(damaged)?,
            None => agree(&meta, engine.count(None).map_err(damaged)?).map(|()| Vec::new())?,
        };
        Ok(Self::of(folder, engine, meta, interrupted))
    }

    /// Removes whatever is in `dir` and starts an empty index there.
    ///
    /// # Errors
    /// [`SearchError::InUse`] if another process has it open; [`SearchError::Io`].
    pub fn recreate(dir: &Path) -> Result<Self, SearchError> {
        let folder = Folder::lock(dir)?;
        folder.clear()?;
        Self::create(folder)
    }

    fn create(folder: Folder) -> Result<Self, SearchError> {
        let engine = Engine::create(&folder.shard())?;
        let meta = Meta::default();
        folder.write_meta(&meta)?;
        Ok(Self::of(folder, engine, meta, Vec::new()))
    }

    fn of(folder: Folder, engine: Engine, meta: Meta, interrupted: Vec<DocumentId>) -> Self {
        let vectors = RwLock::new(meta.vectors.clone());
        Self { vectors, engine: RwLock::new(engine), writer: Mutex::new(meta), interrupted, folder }
    }

    /// Documents dropped at opening because their last write was cut off: add them again, or finish removing them.
    pub fn interrupted(&self) -> &[DocumentId] {
        &self.interrupted
    }

    /// Adds passages, replacing those with the same id. Durable when it returns; one call per document, or per some
    /// hundred passages, is fast.
    ///
    /// # Errors
    /// [`SearchError::Engine`] or [`SearchError::Io`]; the passages then count as not added, and the documents should
    /// be removed or added again.
    pub fn upsert(&self, passages: &[IndexedPassage]) -> Result<(), SearchError> {
        if passages.is_empty() {
            return Ok(());
        }
        let counted: Vec<_> = passages.iter().map(|p| Counted::of(&p.title, &p.heading_path, &p.text)).collect();
        let unsettled = Unsettled { documents: passages.iter().map(|p| p.document).collect(), ..Unsettled::default() };
        self.write(unsettled, |engine, meta| {
            counted.iter().for_each(|c| meta.lengths.add(c.length));
            let average = meta.lengths.average();
            let points = passages.iter().zip(&counted).map(|(p, c)| Point {
                passage: p.id,
                collection: p.collection,
                document: p.document,
                weights: c.weights(average),
            });
            engine.upsert(points.collect())
        })
    }

    /// Removes all passages of the documents; unknown documents are passed over. No later search finds them.
    ///
    /// # Errors
    /// As [`Index::upsert`].
    pub fn remove_documents(&self, documents: &[DocumentId]) -> Result<(), SearchError> {
        if documents.is_empty() {
            return Ok(());
        }
        let unsettled = Unsettled { documents: documents.iter().copied().collect(), ..Unsettled::default() };
        self.write(unsettled, |engine, _| engine.delete(&Which::Documents(documents)))
    }

    /// Removes all passages of the collection. Cut off half-way, it is finished at the next opening.
    ///
    /// # Errors
    /// As [`Index::upsert`].
    pub fn remove_collection(&self, collection: CollectionId) -> Result<(), SearchError> {
        let unsettled = Unsettled { collections: [collection].into(), ..Unsettled::default() };
        self.write(unsettled, |engine, _| engine.delete(&Which::Collections(&[collection])))
    }

    /// The best passages for `query` among the collections that the reader may read, best first. Empty without asking
    /// the index when nothing is readable or the query holds nothing to look for.
    ///
    /// # Errors
    /// [`SearchError::Engine`], or [`SearchError::NeedsRebuild`] for an entry that cannot be read.
    pub fn search(
        &self,
        query: &str,
        readable: &ReadableCollections,
        options: &SearchOptions,
    ) -> Result<Vec<Hit>, SearchError> {
        self.search_with(query, None, readable, options)
    }

    /// As [`Index::search`], with the query's meaning beside its words: either finds passages under the same filter,
    /// and ranks are fused. A vector of another model than the one that serves is left aside, as are passages that
    /// have no vector yet: they are found by their words.
    ///
    /// # Errors
    /// As [`Index::search`]; [`SearchError::Vectors`] for a vector of another length than the model's.
    pub fn search_with(
        &self,
        query: &str,
        meaning: Option<&QueryVector>,
        readable: &ReadableCollections,
        options: &SearchOptions,
    ) -> Result<Vec<Hit>, SearchError> {
        let documents = options.documents.as_deref();
        if readable.ids().is_empty() || options.limit == 0 || documents.is_some_and(<[_]>::is_empty) {
            return Ok(Vec::new());
        }
        let mut which = vec![Which::Collections(readable.ids())];
        which.extend(documents.map(Which::Documents));
        let engine = self.engine();
        // Held while the engine searches: the vectors' name must not go away meanwhile.
        let models = self.vectors.read().unwrap_or_else(PoisonError::into_inner);
        let name = meaning.map(|m| models.serving_name(m)).transpose()?.flatten();
        let dense = meaning.zip(name.as_deref());
        let dense = dense.map(|(m, name)| Dense { name, vector: &m.vector, least: m.least_similarity });
        let found =
            engine.query(query_weights(query, &options.synonyms), dense, &which, options.limit.min(MOST_HITS))?;
        let mut hits: Vec<_> = found
            .into_iter()
            // The filter has seen to this; a fault of the engine must not open a door.
            .filter(|f| readable.contains(f.collection) && documents.is_none_or(|d| d.contains(&f.document)))
            .map(|f| Hit { passage: f.passage, document: f.document, collection: f.collection, score: f.score })
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)));
        Ok(hits)
    }

    /// Merges and indexes what was added, and removes write-ahead files no longer needed: call after a large import,
    /// and when idle. Searches wait only while files are removed.
    ///
    /// # Errors
    /// [`SearchError::Engine`] or [`SearchError::Io`]; the index stays as it was.
    pub fn optimise(&self) -> Result<(), SearchError> {
        let meta = self.writer();
        self.engine().optimise()?;
        self.engine().flush()?;
        if self.folder.write_ahead_segments()? > MOST_WRITE_AHEAD_SEGMENTS {
            let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
            *engine = Engine::closed();
            self.folder.trim_write_ahead_log()?;
            *engine = Engine::load(&self.folder.shard()).map_err(damaged)?;
        }
        drop(meta);
        Ok(())
    }

    /// Number of passages.
    ///
    /// # Errors
    /// [`SearchError::Engine`].
    pub fn count(&self) -> Result<usize, SearchError> {
        self.engine().count(None)
    }

    /// Number of passages of one document: compared with the store's, it shows what is missing.
    ///
    /// # Errors
    /// [`SearchError::Engine`].
    pub fn count_document(&self, document: DocumentId) -> Result<usize, SearchError> {
        self.engine().count(Some(&Which::Documents(&[document])))
    }

    /// Counts what is there against what was written.
    ///
    /// # Errors
    /// [`SearchError::NeedsRebuild`] if they differ; [`SearchError::Engine`].
    pub fn check(&self) -> Result<Health, SearchError> {
        let meta = self.writer();
        let passages = self.count()?;
        agree(&meta, passages)?;
        let interrupted = self.interrupted.clone();
        Ok(Health { passages, average_length: meta.lengths.average(), interrupted })
    }

    /// Copies the index into the empty or missing folder `to`, from which [`Index::open`] reads it. Writes wait,
    /// searches do not.
    ///
    /// # Errors
    /// [`SearchError::NotEmpty`], [`SearchError::Io`].
    pub fn copy_to(&self, to: &Path) -> Result<(), SearchError> {
        let _meta = self.writer();
        self.engine().flush()?;
        self.folder.copy_to(to)
    }

    /// The folder the index lies in.
    pub fn dir(&self) -> &Path {
        self.folder.root()
    }

    /// One write: intent to disk, engine, everything to disk, intent cleared.
    pub(crate) fn write(
        &self,
        unsettled: Unsettled,
        change: impl FnOnce(&Engine, &mut Meta) -> Result<(), SearchError>,
    ) -> Result<(), SearchError> {
        let mut meta = self.writer();
        let engine = self.engine();
        self.folder.write_unsettled(&unsettled)?;
        let mut changed = meta.clone();
        let outcome = change(&engine, &mut changed);
        // Settle even a failed change: what of it reached the engine must agree with the count.
        settle(&self.folder, &engine, &mut changed)?;
        *meta = changed;
        outcome
    }

    pub(crate) fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Meta> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything to disk, then the note that it is.
fn settle(folder: &Folder, engine: &Engine, meta: &mut Meta) -> Result<(), SearchError> {
    engine.flush()?;
    meta.passages = engine.count(None)?;
    folder.write_meta(meta)?;
    folder.clear_unsettled()
}

/// Ends a write that was cut off by dropping what it touched; returns the documents dropped.
fn finish(
    folder: &Folder,
    engine: &Engine,
    meta: &mut Meta,
    unsettled: Unsettled,
) -> Result<Vec<DocumentId>, SearchError> {
    let documents: Vec<_> = unsettled.documents.into_iter().collect();
    let collections: Vec<_> = unsettled.collections.into_iter().collect();
    engine.delete(&Which::Documents(&documents))?;
    engine.delete(&Which::Collections(&collections))?;
    settle(folder, engine, meta)?;
    tracing::warn!(documents = documents.len(), "dropped documents whose indexing was cut off");
    Ok(documents)
}

/// The engine must hold as many passages as were written.
fn agree(meta: &Meta, found: usize) -> Result<(), SearchError> {
    if found == meta.passages {
        return Ok(());
    }
    Err(SearchError::rebuild(format!("색인의 구절 수가 맞지 않습니다({} → {found}).", meta.passages)))
}

/// What goes wrong while opening is damage, unless it is about files.
fn damaged(error: SearchError) -> SearchError {
    match error {
        SearchError::Engine(reason) => SearchError::rebuild(format!("색인이 손상되었습니다: {reason}")),
        other => other,
    }
}

//! The index as the rest of Madang sees it: add, remove, search, copy; durable when a call returns.

use crate::bm25::{Counted, query_weights};
use crate::edge::Edge;
use crate::files::{Folder, Meta, Unsettled};
use crate::fusion::{Found, LEAST_FUSED, Nearest, fuse, merge};
use crate::home::{Dense, Home, Place, Point, Which};
use crate::server::Server;
use crate::vectors::{QueryVector, VectorModels, agree_on_vectors};
use crate::{SearchError, Synonyms};
use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Most hits of one search.
const MOST_HITS: usize = 1000;

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
    /// Its meaning is near, whether or not it shares words with the question.
    pub near: bool,
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

/// Openings that may have ended with the process, as a kill does, before the index counts as damaged.
const MOST_OPENINGS: u32 = 2;

/// One index over passages, in one folder or on a server, open in one process. `Send + Sync`; calls block, so run them
/// off the async threads. Writes run one after another, searches beside them.
///
/// Every write is on disk when it returns. The documents of a write that was cut off (killed process, power loss)
/// are removed at the next opening and named by [`Index::interrupted`].
pub struct Index {
    /// Models whose vectors are kept, readable while a write is under way.
    pub(crate) vectors: RwLock<VectorModels>,
    home: Box<dyn Home>,
    writer: Mutex<Writer>,
    /// Passages at the last settled write, for those who must not wait for a write under way.
    passages: AtomicUsize,
    interrupted: Vec<DocumentId>,
    /// Last, so that the folder is unlocked after the engine has closed.
    pub(crate) folder: Folder,
}

/// What whoever writes holds.
pub(crate) struct Writer {
    pub meta: Meta,
    /// What writes touched whose end is not known, as after a broken line to a server: noted on disk until a write has
    /// settled.
    open: Unsettled,
}

/// What both sides of a search found, before they are joined.
#[derive(Default)]
pub(crate) struct Sides {
    words: Nearest,
    meaning: Nearest,
}

impl Sides {
    /// Each side with the same side of another index, as if the two were one.
    pub fn merged(self, other: Self, options: &SearchOptions) -> Self {
        let depth = options.limit.clamp(LEAST_FUSED, MOST_HITS);
        Self { words: merge(self.words, other.words, depth), meaning: merge(self.meaning, other.meaning, depth) }
    }

    /// One list of both, best first.
    pub fn joined(self, options: &SearchOptions) -> Vec<Hit> {
        let near: HashSet<_> = self.meaning.iter().map(|f| f.passage).collect();
        let found = fuse(self.words, self.meaning, options.limit.min(MOST_HITS));
        let hit = |f: Found| Hit {
            passage: f.passage,
            document: f.document,
            collection: f.collection,
            score: f.score,
            near: near.contains(&f.passage),
        };
        found.into_iter().map(hit).collect()
    }
}

/// A home with what is noted of it, and the documents at whose change it was cut off.
type Opened = (Box<dyn Home>, Meta, Vec<DocumentId>);

impl Index {
    /// Opens the embedded index in `dir`, creating it where nothing is there.
    ///
    /// # Errors
    /// As [`Index::open_at`].
    pub fn open(dir: &Path) -> Result<Self, SearchError> {
        Self::open_at(dir, &Place::Embedded)
    }

    /// Opens the index of the folder `dir` whose points live at `place`, creating it where nothing is there.
    ///
    /// # Errors
    /// [`SearchError::NeedsRebuild`] if another analyser made it, it is damaged, or its points live elsewhere:
    /// [`Index::recreate_at`] it and add all passages again. [`SearchError::InUse`] if another process has it open. The
    /// errors of a server that cannot be asked.
    pub fn open_at(dir: &Path, place: &Place) -> Result<Self, SearchError> {
        let folder = Folder::lock(dir)?;
        if folder.is_new() {
            return Self::create(folder, place);
        }
        if folder.begin_opening()? >= MOST_OPENINGS {
            return Err(SearchError::rebuild("색인을 여는 동안 프로그램이 거듭 끝났습니다."));
        }
        let opened = Self::read(&folder, place);
        folder.end_opening()?;
        let (home, meta, interrupted) = opened?;
        Ok(Self::of(folder, home, meta, interrupted))
    }

    /// What is there, brought in step with what the folder notes.
    fn read(folder: &Folder, place: &Place) -> Result<Opened, SearchError> {
        let mut meta = folder.read_meta()?;
        let unsettled = folder.read_unsettled()?;
        let home = load(folder, &meta, place).map_err(damaged)?;
        agree_on_vectors(&*home, &meta.vectors).map_err(damaged)?;
        let interrupted = match unsettled {
            Some(unsettled) => finish(folder, &*home, &mut meta, unsettled).map_err(damaged)?,
            None => agree(&meta, home.count(None).map_err(damaged)?).map(|()| Vec::new())?,
        };
        Ok((home, meta, interrupted))
    }

    /// Removes whatever is in `dir` and starts an empty embedded index there.
    ///
    /// # Errors
    /// As [`Index::recreate_at`].
    pub fn recreate(dir: &Path) -> Result<Self, SearchError> {
        Self::recreate_at(dir, &Place::Embedded)
    }

    /// Removes whatever is in `dir`, and what it noted on the server of `place`, and starts an empty index.
    ///
    /// # Errors
    /// [`SearchError::InUse`] if another process has it open; [`SearchError::Io`]; those of a server.
    pub fn recreate_at(dir: &Path, place: &Place) -> Result<Self, SearchError> {
        let folder = Folder::lock(dir)?;
        clear(&folder, place)?;
        Self::create(folder, place)
    }

    /// Removes the index of the folder `dir` and its points at `place`; the empty folder stays.
    ///
    /// # Errors
    /// As [`Index::recreate_at`].
    pub fn remove(dir: &Path, place: &Place) -> Result<(), SearchError> {
        clear(&Folder::lock(dir)?, place)
    }

    fn create(folder: Folder, place: &Place) -> Result<Self, SearchError> {
        let mut meta = Meta::default();
        let home: Box<dyn Home> = match place {
            Place::Embedded => {
                let edge = Edge::create(&folder.shard())?;
                folder.write_meta(&meta)?;
                Box::new(edge)
            }
            Place::Server(at) => {
                let name = Server::new_name(at)?;
                meta.remote = Some(name.clone());
                // Noted first: what is cut off now is found, and removed, by name.
                folder.write_meta(&meta)?;
                Box::new(Server::create(at, &name)?)
            }
        };
        Ok(Self::of(folder, home, meta, Vec::new()))
    }

    fn of(folder: Folder, home: Box<dyn Home>, meta: Meta, interrupted: Vec<DocumentId>) -> Self {
        let (vectors, passages) = (RwLock::new(meta.vectors.clone()), AtomicUsize::new(meta.passages));
        let writer = Mutex::new(Writer { meta, open: Unsettled::default() });
        Self { vectors, home, writer, passages, interrupted, folder }
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
        self.write(unsettled, |home, meta| {
            counted.iter().for_each(|c| meta.lengths.add(c.length));
            let average = meta.lengths.average();
            let points = passages.iter().zip(&counted).map(|(p, c)| Point {
                passage: p.id,
                collection: p.collection,
                document: p.document,
                weights: c.weights(average),
            });
            home.upsert(points.collect())
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
        if self.is_empty_for_sure() {
            return Ok(());
        }
        self.write(unsettled, |home, _| home.delete(&Which::Documents(documents)))
    }

    /// Removes all passages of the collection. Cut off half-way, it is finished at the next opening.
    ///
    /// # Errors
    /// As [`Index::upsert`].
    pub fn remove_collection(&self, collection: CollectionId) -> Result<(), SearchError> {
        let unsettled = Unsettled { collections: [collection].into(), ..Unsettled::default() };
        self.write(unsettled, |home, _| home.delete(&Which::Collections(&[collection])))
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
        Ok(self.sides(query, meaning, readable, options)?.joined(options))
    }

    /// What words and meaning find, each alone and best first, all of it readable.
    pub(crate) fn sides(
        &self,
        query: &str,
        meaning: Option<&QueryVector>,
        readable: &ReadableCollections,
        options: &SearchOptions,
    ) -> Result<Sides, SearchError> {
        let documents = options.documents.as_deref();
        if readable.ids().is_empty() || options.limit == 0 || documents.is_some_and(<[_]>::is_empty) {
            return Ok(Sides::default());
        }
        let mut which = vec![Which::Collections(readable.ids())];
        which.extend(documents.map(Which::Documents));
        // Held while the engine searches: the vectors' name must not go away meanwhile.
        let models = self.vectors.read().unwrap_or_else(PoisonError::into_inner);
        let name = meaning.map(|m| models.serving_name(m)).transpose()?.flatten();
        let dense = meaning.zip(name.as_deref());
        let dense = dense.map(|(m, name)| Dense { name, vector: &m.vector, least: m.least_similarity });
        let (words, limit) = (query_weights(query, &options.synonyms), options.limit.min(MOST_HITS));
        let (mut words, mut meaning) = match dense {
            Some(dense) if words.is_empty() => (Vec::new(), self.home.nearest_meaning(&dense, &which, limit)?),
            Some(dense) => self.home.nearest(words, &dense, &which, limit.max(LEAST_FUSED))?,
            None => (self.home.nearest_words(words, &which, limit)?, Vec::new()),
        };
        // The filter has seen to this; a fault of the engine must not open a door.
        for side in [&mut words, &mut meaning] {
            side.retain(|f| readable.contains(f.collection) && documents.is_none_or(|d| d.contains(&f.document)));
        }
        Ok(Sides { words, meaning })
    }

    /// Merges and indexes what was added, and removes write-ahead files no longer needed: call after a large import,
    /// and when idle. Searches wait only while files are removed. A server does this by itself.
    ///
    /// # Errors
    /// [`SearchError::Engine`] or [`SearchError::Io`]; the index stays as it was.
    pub fn optimise(&self) -> Result<(), SearchError> {
        let _writer = self.writer();
        self.home.optimise()
    }

    /// Number of passages.
    ///
    /// # Errors
    /// [`SearchError::Engine`].
    pub fn count(&self) -> Result<usize, SearchError> {
        self.home.count(None)
    }

    /// Number of passages of one document: compared with the store's, it shows what is missing.
    ///
    /// # Errors
    /// [`SearchError::Engine`].
    pub fn count_document(&self, document: DocumentId) -> Result<usize, SearchError> {
        self.home.count(Some(&Which::Documents(&[document])))
    }

    /// Counts what is there against what was written.
    ///
    /// # Errors
    /// [`SearchError::NeedsRebuild`] if they differ; [`SearchError::Engine`].
    pub fn check(&self) -> Result<Health, SearchError> {
        let writer = self.writer();
        let passages = self.count()?;
        agree(&writer.meta, passages)?;
        let interrupted = self.interrupted.clone();
        Ok(Health { passages, average_length: writer.meta.lengths.average(), interrupted })
    }

    /// Number of passages of these collections.
    ///
    /// # Errors
    /// [`SearchError::Engine`].
    pub fn count_collections(&self, collections: &[CollectionId]) -> Result<usize, SearchError> {
        self.home.count(Some(&Which::Collections(collections)))
    }

    /// Is the passage found by its own words? One without words is.
    ///
    /// # Errors
    /// [`SearchError::Engine`], or [`SearchError::NeedsRebuild`] for an entry that cannot be read.
    pub fn finds(&self, passage: &IndexedPassage) -> Result<bool, SearchError> {
        let words = query_weights(&passage.text, &Synonyms::default());
        if words.is_empty() {
            return Ok(true);
        }
        let which = [Which::Documents(&[passage.document]), Which::Collections(&[passage.collection])];
        let found = self.home.nearest_words(words, &which, MOST_HITS)?;
        Ok(found.iter().any(|f| f.passage == passage.id && f.document == passage.document) || found.len() == MOST_HITS)
    }

    /// Passages at the last settled write, without asking the engine or waiting for a write.
    pub fn settled_passages(&self) -> usize {
        self.passages.load(Ordering::Acquire)
    }

    /// The folder the index lies in.
    pub fn dir(&self) -> &Path {
        self.folder.root()
    }

    /// One write: intent to disk, engine, everything to disk, intent cleared.
    pub(crate) fn write(
        &self,
        unsettled: Unsettled,
        change: impl FnOnce(&dyn Home, &mut Meta) -> Result<(), SearchError>,
    ) -> Result<(), SearchError> {
        let mut writer = self.writer();
        self.home.may_write()?;
        let open = unsettled.and(&writer.open);
        self.folder.write_unsettled(&open)?;
        writer.open = open;
        let mut changed = writer.meta.clone();
        let outcome = change(&*self.home, &mut changed);
        // Settle even a failed change: what of it reached the engine must agree with the count.
        settle(&self.folder, &*self.home, &mut changed)?;
        self.passages.store(changed.passages, Ordering::Release);
        *writer = Writer { meta: changed, open: Unsettled::default() };
        outcome
    }

    pub(crate) fn home(&self) -> &dyn Home {
        &*self.home
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is in it, and no write is under way that could change that.
    fn is_empty_for_sure(&self) -> bool {
        let writer = self.writer();
        writer.meta.passages == 0 && writer.open == Unsettled::default()
    }
}

/// The points of an index that is there.
fn load(folder: &Folder, meta: &Meta, place: &Place) -> Result<Box<dyn Home>, SearchError> {
    match (place, &meta.remote) {
        (Place::Embedded, None) => Ok(Box::new(Edge::load(&folder.shard())?)),
        (Place::Server(at), Some(name)) => Ok(Box::new(Server::load(at, name)?)),
        _ => Err(SearchError::rebuild("색인을 둔 곳이 설정과 다릅니다.")),
    }
}

/// Removes the points, here and on the server, and what the folder notes of them.
fn clear(folder: &Folder, place: &Place) -> Result<(), SearchError> {
    if let (Place::Server(at), Some(name)) = (place, folder.remote()) {
        Server::remove(at, &name)?;
    }
    folder.clear()
}

/// Everything to disk, then the note that it is.
fn settle(folder: &Folder, home: &dyn Home, meta: &mut Meta) -> Result<(), SearchError> {
    home.flush()?;
    meta.passages = home.count(None)?;
    folder.write_meta(meta)?;
    folder.clear_unsettled()
}

/// Ends a write that was cut off by dropping what it touched; returns the documents dropped.
fn finish(
    folder: &Folder,
    home: &dyn Home,
    meta: &mut Meta,
    unsettled: Unsettled,
) -> Result<Vec<DocumentId>, SearchError> {
    let documents: Vec<_> = unsettled.documents.into_iter().collect();
    let collections: Vec<_> = unsettled.collections.into_iter().collect();
    if !documents.is_empty() {
        home.delete(&Which::Documents(&documents))?;
    }
    if !collections.is_empty() {
        home.delete(&Which::Collections(&collections))?;
    }
    settle(folder, home, meta)?;
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

/// What goes wrong while opening is damage, unless it is about files or a server.
fn damaged(error: SearchError) -> SearchError {
    match error {
        SearchError::Engine(reason) => SearchError::rebuild(format!("색인이 손상되었습니다: {reason}")),
        other => other,
    }
}

//! The index that answers now and, while one is made beside it, the one that comes: what is written goes into both.
//! How one is made is `ingest::remake`'s.

use madang_domain::{DocumentId, Grade};
use madang_search::{IndexedPassage, Library, SearchError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Calls of the index block: use `blocking::run`.
pub struct Serving {
    now: RwLock<Arc<Library>>,
    coming: RwLock<Option<Arc<Library>>>,
    /// A write reached the serving index and not the coming one, which is then given up.
    missed: AtomicBool,
    /// Held for reading from a document's first passage in the index until it is ready, and for writing where an index
    /// begins to come or to serve: so that each document is in it by its writes or by the database, whole.
    pub gate: tokio::sync::RwLock<()>,
}

impl Serving {
    pub fn new(now: Arc<Library>) -> Self {
        Self {
            now: RwLock::new(now),
            coming: RwLock::default(),
            missed: AtomicBool::new(false),
            gate: tokio::sync::RwLock::default(),
        }
    }

    /// The index to ask.
    pub fn now(&self) -> Arc<Library> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds passages of collections of this grade; durable when it returns.
    ///
    /// # Errors
    /// Those of the serving index.
    pub fn upsert(&self, grade: Grade, passages: &[IndexedPassage]) -> Result<(), SearchError> {
        self.write(|index| index.upsert(grade, passages))
    }

    /// Removes documents; durable when it returns.
    ///
    /// # Errors
    /// Those of the serving index.
    pub fn remove_documents(&self, documents: &[DocumentId]) -> Result<(), SearchError> {
        self.write(|index| index.remove_documents(documents))
    }

    /// Brings a whole document to where its grade belongs, if it is not there.
    ///
    /// # Errors
    /// Those of the serving index.
    pub fn shelve(&self, grade: Grade, passages: &[IndexedPassage]) -> Result<(), SearchError> {
        self.write(|index| index.shelve(grade, passages))
    }

    fn write(&self, call: impl Fn(&Library) -> Result<(), SearchError>) -> Result<(), SearchError> {
        call(&self.now())?;
        let coming = self.coming.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(coming) = coming
            && let Err(error) = call(&coming)
        {
            tracing::error!(%error, "the index that is being made missed a write");
            self.missed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// From here on writes go into this one too.
    pub fn begin(&self, coming: Arc<Library>) {
        self.missed.store(false, Ordering::SeqCst);
        *self.coming.write().unwrap_or_else(PoisonError::into_inner) = Some(coming);
    }

    /// Did the coming index miss a write?
    pub fn missed(&self) -> bool {
        self.missed.load(Ordering::SeqCst)
    }

    /// Ends the coming of an index: one that serves from here on takes the old one's place, which is returned.
    pub fn end(&self, serves: Option<Arc<Library>>) -> Option<Arc<Library>> {
        *self.coming.write().unwrap_or_else(PoisonError::into_inner) = None;
        let serves = serves?;
        Some(std::mem::replace(&mut *self.now.write().unwrap_or_else(PoisonError::into_inner), serves))
    }
}

//! The whole index as the server uses it: passages of classified collections (grade C) in an index of their own, all
//! others in the first; a search asks both and reads as one.
//!
//! Which grade a collection has is the store's to know. A passage lies where the grade was when it was put; whoever
//! changes a grade calls [`Library::shelve`] with the new one.

use crate::files::Folder;
use crate::{
    Coverage, Filled, Health, Hit, Index, IndexedPassage, PassageVector, Place, QueryVector, SearchError,
    SearchOptions, VectorModel, VectorModels, Waiting,
};
use madang_domain::{CollectionId, DocumentId, Grade, PassageId, ReadableCollections};
use std::collections::BTreeSet;
use std::path::Path;

/// Folder of the classified index below that of the first.
const CLOSED: &str = "closed";
/// Vectors carried over at a time.
const CARRIED: usize = 256;

/// Numbers of passages in both indexes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shelved {
    /// Grades O and S.
    pub open: usize,
    /// Grade C.
    pub closed: usize,
}

impl Shelved {
    pub fn total(&self) -> usize {
        self.open + self.closed
    }
}

/// Both indexes, in one folder each, at one place. Calls block, as those of [`Index`].
pub struct Library {
    open: Index,
    closed: Index,
}

impl Library {
    /// Opens both, creating what is not there.
    ///
    /// # Errors
    /// As [`Index::open_at`]: where one of them cannot be used, neither is.
    pub fn open(dir: &Path, place: &Place) -> Result<Self, SearchError> {
        let open = Index::open_at(dir, place)?;
        Ok(Self { open, closed: Index::open_at(&dir.join(CLOSED), place)? })
    }

    /// Removes whatever is there and starts two empty ones.
    ///
    /// # Errors
    /// As [`Index::recreate_at`].
    pub fn recreate(dir: &Path, place: &Place) -> Result<Self, SearchError> {
        let open = Index::recreate_at(dir, place)?;
        Ok(Self { open, closed: Index::recreate_at(&dir.join(CLOSED), place)? })
    }

    /// Removes both indexes with their points; empty folders stay.
    ///
    /// # Errors
    /// As [`Index::remove`].
    pub fn remove(dir: &Path, place: &Place) -> Result<(), SearchError> {
        Index::remove(&dir.join(CLOSED), place)?;
        Index::remove(dir, place)
    }

    /// Does a process have the library of this folder open?
    ///
    /// # Errors
    /// [`SearchError::Io`].
    pub fn is_in_use(dir: &Path) -> Result<bool, SearchError> {
        Folder::is_locked(dir)
    }

    /// Documents dropped at opening because their last write was cut off: add them again, or finish removing them.
    pub fn interrupted(&self) -> Vec<DocumentId> {
        let both: BTreeSet<_> = self.open.interrupted().iter().chain(self.closed.interrupted()).copied().collect();
        both.into_iter().collect()
    }

    /// Adds passages of collections of this grade; see [`Index::upsert`].
    ///
    /// # Errors
    /// As [`Index::upsert`].
    pub fn upsert(&self, grade: Grade, passages: &[IndexedPassage]) -> Result<(), SearchError> {
        self.of(grade).upsert(passages)
    }

    /// Brings whole documents to where their grade belongs, with the vectors that they have; until they have left the
    /// other index they are in both and found once. Those that are not in the other one stay as they are.
    ///
    /// # Errors
    /// As [`Index::upsert`]; call it again.
    pub fn shelve(&self, grade: Grade, passages: &[IndexedPassage]) -> Result<(), SearchError> {
        let (to, from) = (self.of(grade), self.other(grade));
        let mut documents: Vec<_> = passages.iter().map(|p| p.document).collect();
        documents.sort();
        documents.dedup();
        let mut misplaced = Vec::new();
        for document in documents {
            if from.count_document(document)? > 0 {
                misplaced.push(document);
            }
        }
        let moved: Vec<_> = passages.iter().filter(|p| misplaced.contains(&p.document)).cloned().collect();
        to.upsert(&moved)?;
        carry(from, to, &moved.iter().map(|p| (p.id, p.document)).collect::<Vec<_>>())?;
        from.remove_documents(&misplaced)
    }

    /// Removes all passages of the documents from both; unknown ones are passed over.
    ///
    /// # Errors
    /// As [`Index::upsert`].
    pub fn remove_documents(&self, documents: &[DocumentId]) -> Result<(), SearchError> {
        self.closed.remove_documents(documents)?;
        self.open.remove_documents(documents)
    }

    /// The best passages by words; see [`Index::search`].
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search(
        &self,
        query: &str,
        readable: &ReadableCollections,
        options: &SearchOptions,
    ) -> Result<Vec<Hit>, SearchError> {
        self.search_with(query, None, readable, options)
    }

    /// The best passages of both by words and meaning; see [`Index::search_with`]. Each side is read as one list before
    /// the two sides are fused.
    ///
    /// # Errors
    /// As [`Index::search_with`].
    pub fn search_with(
        &self,
        query: &str,
        meaning: Option<&QueryVector>,
        readable: &ReadableCollections,
        options: &SearchOptions,
    ) -> Result<Vec<Hit>, SearchError> {
        let mut sides = self.open.sides(query, meaning, readable, options)?;
        // Most bodies have nothing classified in here, and a server would be asked in vain.
        if self.closed.settled_passages() > 0 {
            sides = sides.merged(self.closed.sides(query, meaning, readable, options)?, options);
        }
        Ok(sides.joined(options))
    }

    /// See [`Index::optimise`].
    ///
    /// # Errors
    /// As [`Index::optimise`].
    pub fn optimise(&self) -> Result<(), SearchError> {
        self.open.optimise()?;
        self.closed.optimise()
    }

    /// Numbers of passages.
    ///
    /// # Errors
    /// As [`Index::count`].
    pub fn count(&self) -> Result<Shelved, SearchError> {
        Ok(Shelved { open: self.open.count()?, closed: self.closed.count()? })
    }

    /// Number of passages of one document in both.
    ///
    /// # Errors
    /// As [`Index::count`].
    pub fn count_document(&self, document: DocumentId) -> Result<usize, SearchError> {
        Ok(self.open.count_document(document)? + self.closed.count_document(document)?)
    }

    /// Numbers of passages of these collections.
    ///
    /// # Errors
    /// As [`Index::count`].
    pub fn count_collections(&self, collections: &[CollectionId]) -> Result<Shelved, SearchError> {
        let (open, closed) = (&self.open, &self.closed);
        Ok(Shelved { open: open.count_collections(collections)?, closed: closed.count_collections(collections)? })
    }

    /// Is the passage found by its own words where its grade belongs?
    ///
    /// # Errors
    /// As [`Index::finds`].
    pub fn finds(&self, grade: Grade, passage: &IndexedPassage) -> Result<bool, SearchError> {
        self.of(grade).finds(passage)
    }

    /// Counts what is there against what was written: the first index, then the classified one.
    ///
    /// # Errors
    /// As [`Index::check`].
    pub fn check(&self) -> Result<[Health; 2], SearchError> {
        Ok([self.open.check()?, self.closed.check()?])
    }

    /// The models whose vectors are kept.
    pub fn vector_models(&self) -> VectorModels {
        self.open.vector_models()
    }

    /// Chooses the embedding model; see [`Index::choose_vectors`].
    ///
    /// # Errors
    /// As [`Index::choose_vectors`].
    pub fn choose_vectors(&self, model: Option<VectorModel>) -> Result<(), SearchError> {
        self.open.choose_vectors(model.clone())?;
        self.closed.choose_vectors(model)
    }

    /// How many passages of both have a vector of this model.
    ///
    /// # Errors
    /// As [`Index::vector_coverage`].
    pub fn vector_coverage(&self, fingerprint: &str) -> Result<Coverage, SearchError> {
        let (open, closed) = (self.open.vector_coverage(fingerprint)?, self.closed.vector_coverage(fingerprint)?);
        Ok(Coverage { done: open.done + closed.done, total: open.total + closed.total })
    }

    /// Offers every passage of both that lacks a vector to `make`; see [`Index::fill_vectors`].
    ///
    /// # Errors
    /// As [`Index::fill_vectors`].
    pub fn fill_vectors<E: From<SearchError>>(
        &self,
        fingerprint: &str,
        batch: usize,
        mut make: impl FnMut(&[Waiting]) -> Result<Vec<PassageVector>, E>,
        stop: impl Fn() -> bool,
    ) -> Result<Filled, E> {
        for index in [&self.open, &self.closed] {
            if index.fill_vectors(fingerprint, batch, &mut make, |_| (), &stop)? == Filled::Stopped {
                return Ok(Filled::Stopped);
            }
        }
        Ok(Filled::Complete)
    }

    /// Takes over the vectors that these passages have in another library, of models that both keep. Both hold the
    /// passages already.
    ///
    /// # Errors
    /// As [`Index::put_vectors`].
    pub fn take_vectors(
        &self,
        from: &Library,
        grade: Grade,
        passages: &[(PassageId, DocumentId)],
    ) -> Result<(), SearchError> {
        carry(from.of(grade), self.of(grade), passages)
    }

    /// Keeps the models of another library: the one that serves there serves here.
    ///
    /// # Errors
    /// As [`Index::choose_vectors`].
    pub fn take_models(&self, from: &Library) -> Result<(), SearchError> {
        let models = from.vector_models();
        for index in [&self.open, &self.closed] {
            if let Some(serving) = &models.serving {
                index.choose_vectors(Some(serving.clone()))?;
                index.serve_vectors(&serving.fingerprint)?;
            }
            if let Some(coming) = &models.coming {
                index.choose_vectors(Some(coming.clone()))?;
            }
        }
        Ok(())
    }

    /// The folder of the first index; the other lies below.
    pub fn dir(&self) -> &Path {
        self.open.dir()
    }

    fn of(&self, grade: Grade) -> &Index {
        if grade == Grade::Classified { &self.closed } else { &self.open }
    }

    fn other(&self, grade: Grade) -> &Index {
        if grade == Grade::Classified { &self.open } else { &self.closed }
    }
}

/// Gives passages in one index the vectors that they have in another, of models that both keep.
fn carry(from: &Index, to: &Index, passages: &[(PassageId, DocumentId)]) -> Result<(), SearchError> {
    if from.settled_passages() == 0 {
        return Ok(());
    }
    let (theirs, ours) = (from.vector_models(), to.vector_models());
    for model in theirs.all().filter(|m| ours.all().any(|o| o == *m)) {
        for some in passages.chunks(CARRIED) {
            let vectors = from.vectors_of(&model.fingerprint, some)?;
            to.put_vectors(&model.fingerprint, &vectors)?;
        }
    }
    Ok(())
}

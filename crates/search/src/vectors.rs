//! Dense vectors of embedding models: which model serves, which is coming, and how passages get their vectors.
//!
//! An upsert writes words alone, so that a passage is found at once; its vector follows from outside, in the
//! background. Changing the model is the same work under another name: the old vectors serve until every passage has
//! been offered a new one. What is missing is asked of the index itself, so that work cut off goes on where it ended.

use crate::files::Unsettled;
use crate::home::Home;
use crate::{Index, SearchError};
use madang_domain::{DocumentId, PassageId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::PoisonError;

/// The engine's own bound.
const MOST_DIMENSIONS: usize = 65_536;
/// Fingerprints name folders inside the shard.
const MOST_FINGERPRINT: usize = 128;

/// An embedding model as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorModel {
    /// Of weights and settings: vectors of different fingerprints are never compared.
    pub fingerprint: String,
    /// Length of a vector.
    pub dimension: usize,
}

/// The models whose vectors the index keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorModels {
    /// Answers searches.
    pub serving: Option<VectorModel>,
    /// Will, once filled.
    pub coming: Option<VectorModel>,
}

impl VectorModels {
    pub(crate) fn all(&self) -> impl Iterator<Item = &VectorModel> {
        self.serving.iter().chain(&self.coming)
    }

    fn find(&self, fingerprint: &str) -> Result<&VectorModel, SearchError> {
        let found = self.all().find(|m| m.fingerprint == fingerprint);
        found.ok_or_else(|| SearchError::Vectors(format!("모르는 모델 {fingerprint}")))
    }

    /// The name of the serving vectors, if the query is of their model.
    pub(crate) fn serving_name(&self, query: &QueryVector) -> Result<Option<String>, SearchError> {
        let Some(model) = self.serving.as_ref().filter(|m| m.fingerprint == query.fingerprint) else {
            return Ok(None);
        };
        check_vector(model, &query.vector)?;
        // Nothing is near a vector of zeros: the model knew no word of the query.
        Ok(query.vector.iter().any(|x| *x != 0.0).then(|| name(model)))
    }
}

/// A query's meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryVector {
    /// Of the model that made it.
    pub fingerprint: String,
    pub vector: Vec<f32>,
    /// Cosine below which a passage is not found by meaning: every text is somewhat near every other, and what is near
    /// enough depends on the model. −1 for no bound.
    pub least_similarity: f32,
}

/// A passage that lacks a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub passage: PassageId,
    pub document: DocumentId,
}

/// A passage's vector. All zeros for one that has no meaning to the model: nothing is near it, and it does not wait any
/// more.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageVector {
    pub passage: PassageId,
    pub document: DocumentId,
    pub vector: Vec<f32>,
}

/// How far the vectors of a model have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub done: usize,
    /// All passages.
    pub total: usize,
}

/// How [`Index::fill_vectors`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Every passage was offered a vector, and the model serves.
    Complete,
    /// Asked to stop; the next call goes on from here.
    Stopped,
}

/// Vectors. All calls block; see [`Index`].
impl Index {
    /// The models whose vectors are kept.
    pub fn vector_models(&self) -> VectorModels {
        self.vectors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Chooses the embedding model, durable when it returns. One that serves stays as it is; another becomes the
    /// coming one, to be filled by [`Index::fill_vectors`] while the old one serves; `None` removes all vectors. What was
    /// filled of a coming model that is no longer wanted is removed.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] for a dimension of 0 or above 65,536 or a fingerprint that is not 1 to 128 letters,
    /// digits, `-` or `_`; [`SearchError::Engine`], [`SearchError::Io`].
    pub fn choose_vectors(&self, model: Option<VectorModel>) -> Result<(), SearchError> {
        if let Some(model) = &model {
            check_model(model)?;
        }
        self.change_models(|models| {
            match model {
                None => *models = VectorModels::default(),
                Some(model) if models.serving.as_ref() == Some(&model) => models.coming = None,
                Some(model) => models.coming = Some(model),
            }
            Ok(())
        })
    }

    /// Lets the coming model serve and removes the old one's vectors.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] where that model is neither coming nor serving; [`SearchError::Engine`],
    /// [`SearchError::Io`].
    pub fn serve_vectors(&self, fingerprint: &str) -> Result<(), SearchError> {
        self.change_models(|models| {
            models.find(fingerprint)?;
            if models.coming.as_ref().is_some_and(|m| m.fingerprint == fingerprint) {
                models.serving = models.coming.take();
            }
            Ok(())
        })
    }

    /// Passages that lack a vector of this model, by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] for a model that the index does not keep; [`SearchError::Engine`].
    pub fn waiting(
        &self,
        fingerprint: &str,
        after: Option<PassageId>,
        limit: usize,
    ) -> Result<Vec<Waiting>, SearchError> {
        let name = name(self.vector_models().find(fingerprint)?);
        let found = self.home().without_vector(&name, after, limit.max(1))?;
        Ok(found.into_iter().map(|(passage, document)| Waiting { passage, document }).collect())
    }

    /// Gives passages their vectors; passages removed meanwhile are passed over. Durable when it returns. Cut off
    /// half-way, the documents count as [`Index::interrupted`].
    ///
    /// # Errors
    /// [`SearchError::Vectors`] for a model that the index does not keep, or a vector of another length or with a number
    /// that is not finite; [`SearchError::Engine`], [`SearchError::Io`].
    pub fn put_vectors(&self, fingerprint: &str, vectors: &[PassageVector]) -> Result<usize, SearchError> {
        if vectors.is_empty() {
            return Ok(0);
        }
        let unsettled = Unsettled { documents: vectors.iter().map(|v| v.document).collect(), ..Unsettled::default() };
        let points: Vec<_> = vectors.iter().map(|v| (v.passage, v.vector.as_slice())).collect();
        // Known before anything is noted as under way: a refusal changes nothing.
        let model = self.vector_models().find(fingerprint)?.clone();
        vectors.iter().try_for_each(|v| check_vector(&model, &v.vector))?;
        let mut put = 0;
        self.write(unsettled, |home, meta| {
            // Again, now that no other write can change it.
            let name = name(meta.vectors.find(fingerprint)?);
            put = home.put_vectors(&name, &points)?;
            Ok(())
        })?;
        Ok(put)
    }

    /// How many passages have a vector of this model.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] for a model that the index does not keep; [`SearchError::Engine`].
    pub fn vector_coverage(&self, fingerprint: &str) -> Result<Coverage, SearchError> {
        let name = name(self.vector_models().find(fingerprint)?);
        Ok(Coverage { done: self.home().count_with_vector(&name)?, total: self.home().count(None)? })
    }

    /// The vectors of this model that passages of these documents have, to be put into another index.
    ///
    /// # Errors
    /// [`SearchError::Vectors`] for a model that the index does not keep; [`SearchError::Engine`].
    pub fn vectors_of(
        &self,
        fingerprint: &str,
        passages: &[(PassageId, DocumentId)],
    ) -> Result<Vec<PassageVector>, SearchError> {
        let name = name(self.vector_models().find(fingerprint)?);
        let ids: Vec<_> = passages.iter().map(|(passage, _)| *passage).collect();
        let documents: HashMap<_, _> = passages.iter().copied().collect();
        let found = self.home().vectors(&name, &ids)?.into_iter();
        let vector = |(passage, vector)| {
            documents.get(&passage).map(|document| PassageVector { passage, document: *document, vector })
        };
        Ok(found.filter_map(vector).collect())
    }

    /// Offers every passage that lacks a vector of this model to `make`, `batch` at a time, and lets the model serve
    /// when none is left. `make` may leave passages out (their text is gone): they are offered again by the next call.
    /// Passages that the model cannot read get zeros instead, so that the work comes to its end.
    /// Call it after the model was chosen, at each start, and after documents were added; [`Index::optimise`] after a
    /// large one.
    ///
    /// # Errors
    /// Those of `make`; as [`Index::put_vectors`]. What was put stays.
    pub fn fill_vectors<E: From<SearchError>>(
        &self,
        fingerprint: &str,
        batch: usize,
        mut make: impl FnMut(&[Waiting]) -> Result<Vec<PassageVector>, E>,
        mut progress: impl FnMut(Coverage),
        stop: impl Fn() -> bool,
    ) -> Result<Filled, E> {
        let mut coverage = self.vector_coverage(fingerprint)?;
        let mut after = None;
        loop {
            progress(coverage);
            if stop() {
                return Ok(Filled::Stopped);
            }
            let waiting = self.waiting(fingerprint, after, batch)?;
            let Some(last) = waiting.last() else { break };
            after = Some(last.passage);
            coverage.done += self.put_vectors(fingerprint, &make(&waiting)?)?;
            coverage.total = coverage.total.max(coverage.done);
        }
        self.serve_vectors(fingerprint)?;
        Ok(Filled::Complete)
    }

    /// Changes the models on disk, then in the engine; cut off between, the next opening brings them in step.
    fn change_models(
        &self,
        change: impl FnOnce(&mut VectorModels) -> Result<(), SearchError>,
    ) -> Result<(), SearchError> {
        let mut writer = self.writer();
        let mut changed = writer.meta.clone();
        change(&mut changed.vectors)?;
        if changed.vectors == writer.meta.vectors {
            return Ok(());
        }
        self.home().may_write()?;
        self.folder.write_meta(&changed)?;
        writer.meta = changed;
        let (home, models) = (self.home(), &writer.meta.vectors);
        create_missing(home, models)?;
        // Waits for searches that use the old name.
        let mut shared = self.vectors.write().unwrap_or_else(PoisonError::into_inner);
        *shared = models.clone();
        delete_unknown(home, models)?;
        drop(shared);
        home.flush()
    }
}

/// Gives the engine the dense vectors of these models and no others.
pub(crate) fn agree_on_vectors(home: &dyn Home, models: &VectorModels) -> Result<(), SearchError> {
    create_missing(home, models)?;
    delete_unknown(home, models)
}

fn create_missing(home: &dyn Home, models: &VectorModels) -> Result<(), SearchError> {
    let there = home.vector_names()?;
    let mut missing = models.all().filter(|m| !there.contains(&name(m)));
    missing.try_for_each(|m| home.create_vector(&name(m), m.dimension))
}

fn delete_unknown(home: &dyn Home, models: &VectorModels) -> Result<(), SearchError> {
    let known: Vec<_> = models.all().map(name).collect();
    let there = home.vector_names()?;
    there.iter().filter(|n| !known.contains(n)).try_for_each(|n| home.delete_vector(n))
}

/// The name of a model's vectors in the engine.
fn name(model: &VectorModel) -> String {
    format!("dense-{}", model.fingerprint)
}

fn check_model(model: &VectorModel) -> Result<(), SearchError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let named = (1..=MOST_FINGERPRINT).contains(&model.fingerprint.len()) && model.fingerprint.chars().all(plain);
    if named && (1..=MOST_DIMENSIONS).contains(&model.dimension) {
        return Ok(());
    }
    Err(SearchError::Vectors(format!("이름 {:?}, 길이 {}", model.fingerprint, model.dimension)))
}

fn check_vector(model: &VectorModel, vector: &[f32]) -> Result<(), SearchError> {
    if vector.len() != model.dimension {
        return Err(SearchError::Vectors(format!("벡터 길이 {}, 모델은 {}", vector.len(), model.dimension)));
    }
    if vector.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(SearchError::Vectors("수가 아닌 값이 든 벡터".into()))
}

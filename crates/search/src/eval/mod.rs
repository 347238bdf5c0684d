//! Retrieval evaluation: a folder in BEIR layout (`corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`) through the
//! real analyser and a real index in a temporary folder.
//!
//! Measures, as in trec_eval with binary gains taken from positive judgements: hit@k, nDCG@10, MRR@10.

mod beir;

pub use beir::{Entry, Question, TestSet};

use crate::{Index, IndexedPassage, PassageVector, QueryVector, SearchError, SearchOptions, VectorModel};
use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Ranks looked at.
const DEPTH: usize = 10;
/// Passages per write while indexing.
const BATCH: usize = 1024;

/// Means over the judged queries of a split, and speed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Share of queries with a relevant passage first.
    #[serde(rename = "hit@1")]
    pub hit_at_1: f64,
    /// Share of queries with a relevant passage among the first five.
    #[serde(rename = "hit@5")]
    pub hit_at_5: f64,
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: f64,
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: f64,
    /// Judged queries asked.
    pub queries: usize,
    /// Passages indexed.
    pub passages: usize,
    /// Analysed, written to disk and optimised.
    pub passages_per_second: f64,
    /// Median time of a search in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the time of a search in milliseconds.
    pub p99_ms: f64,
}

/// Why no report could be made.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file of the folder is missing or not as BEIR lays it out.
    #[error("평가 자료를 읽을 수 없습니다. BEIR 형식의 폴더인지 확인해 주세요: {} {reason}", path.display())]
    Folder { path: PathBuf, reason: String },
    #[error("임시 폴더를 만들지 못했습니다: {0}")]
    Temporary(std::io::Error),
    #[error("임베딩 모델이 글을 읽지 못했습니다: {0}")]
    Model(String),
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// Vectors of texts, or why there are none.
pub type MakeVectors<'a> = dyn Fn(bool, &[&str]) -> Result<Vec<Vec<f32>>, String> + 'a;

/// A model that turns texts into vectors, for what the words do not say.
pub struct Meaning<'a> {
    pub model: VectorModel,
    /// As [`QueryVector::least_similarity`].
    pub least_similarity: f32,
    /// Vectors of passages (title, a line break, text) or, where the first is true, of questions.
    pub make: &'a MakeVectors<'a>,
}

/// What is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// BM25.
    Words,
    /// Nearest vectors alone.
    Meaning,
    /// Both, fused.
    Hybrid,
}

/// Searches by words every judged question of `split` (the name of a file in `qrels/`) over the corpus of `dir`.
///
/// # Errors
/// As [`TestSet::read`]; [`EvalError::Search`].
pub fn evaluate(dir: &Path, split: &str) -> Result<Report, EvalError> {
    let set = TestSet::read(dir, split)?;
    let searchable = Searchable::with(&set, None)?;
    searchable.ask(&set, Method::Words)
}

/// As [`evaluate`], by words, by meaning and by both.
///
/// # Errors
/// As [`evaluate`]; [`EvalError::Model`] where the model fails.
pub fn compare(dir: &Path, split: &str, meaning: &Meaning<'_>) -> Result<Vec<(Method, Report)>, EvalError> {
    let set = TestSet::read(dir, split)?;
    let searchable = Searchable::with(&set, Some(meaning))?;
    let methods = [Method::Words, Method::Meaning, Method::Hybrid];
    methods.into_iter().map(|m| Ok((m, searchable.ask(&set, m)?))).collect()
}

/// A throw-away index over a corpus. Passage ids carry the number in the corpus, so that a hit leads back to it; passages
/// of one title are one document.
pub struct Searchable<'a> {
    pub index: Index,
    collection: CollectionId,
    meaning: Option<&'a Meaning<'a>>,
    took: Duration,
    _folder: tempfile::TempDir,
}

impl<'a> Searchable<'a> {
    /// Indexes the corpus in a temporary folder.
    ///
    /// # Errors
    /// [`EvalError::Temporary`], [`EvalError::Search`], [`EvalError::Model`].
    pub fn with(set: &TestSet, meaning: Option<&'a Meaning<'a>>) -> Result<Self, EvalError> {
        let folder = tempfile::tempdir().map_err(EvalError::Temporary)?;
        let index = Index::open(&folder.path().join("index"))?;
        let collection = CollectionId::new();
        let start = Instant::now();
        let passages = indexed(set, collection);
        passages.chunks(BATCH).try_for_each(|some| index.upsert(some))?;
        if let Some(meaning) = meaning {
            put_vectors(&index, set, &passages, meaning)?;
        }
        index.optimise()?;
        Ok(Self { index, collection, meaning, took: start.elapsed(), _folder: folder })
    }

    /// Numbers in the corpus of the best passages, best first.
    ///
    /// # Errors
    /// [`EvalError::Search`], [`EvalError::Model`].
    pub fn best(&self, question: &str, method: Method, limit: usize) -> Result<Vec<usize>, EvalError> {
        // The evaluation's own throw-away collection: no reader's rights are involved.
        #[allow(clippy::disallowed_methods)]
        let readable = ReadableCollections::resolved(vec![self.collection]);
        let options = SearchOptions { limit, ..SearchOptions::default() };
        let vector = match (method, self.meaning) {
            (Method::Words, _) | (_, None) => None,
            (_, Some(meaning)) => query_vector(meaning, question)?,
        };
        let words = if method == Method::Meaning { "" } else { question };
        let hits = self.index.search_with(words, vector.as_ref(), &readable, &options)?;
        Ok(hits.iter().filter_map(|h| number(h.passage)).collect())
    }

    fn ask(&self, set: &TestSet, method: Method) -> Result<Report, EvalError> {
        let mut tally = Tally::default();
        for question in &set.questions {
            let start = Instant::now();
            let found = self.best(&question.text, method, DEPTH)?;
            let took = start.elapsed();
            let ranks = found.iter().enumerate().filter(|(_, n)| question.relevant.contains(n)).map(|(rank, _)| rank);
            tally.add(&ranks.collect::<Vec<_>>(), question.relevant.len(), took);
        }
        // A set that was read has a question.
        Ok(tally.report(set.corpus.len(), self.took).unwrap_or_default())
    }
}

fn indexed(set: &TestSet, collection: CollectionId) -> Vec<IndexedPassage> {
    let mut documents: HashMap<&str, DocumentId> = HashMap::new();
    let passage = |(number, entry): (usize, &'_ Entry)| IndexedPassage {
        id: passage_id(number),
        collection,
        document: DocumentId::new(),
        title: entry.title.clone(),
        heading_path: Vec::new(),
        text: entry.text.clone(),
    };
    let mut passages: Vec<_> = set.corpus.iter().enumerate().map(passage).collect();
    for (passage, entry) in passages.iter_mut().zip(&set.corpus).filter(|(_, e)| !e.title.is_empty()) {
        passage.document = *documents.entry(&entry.title).or_insert(passage.document);
    }
    passages
}

fn put_vectors(
    index: &Index,
    set: &TestSet,
    passages: &[IndexedPassage],
    meaning: &Meaning<'_>,
) -> Result<(), EvalError> {
    index.choose_vectors(Some(meaning.model.clone()))?;
    for (some, entries) in passages.chunks(BATCH).zip(set.corpus.chunks(BATCH)) {
        let texts: Vec<String> = entries.iter().map(|e| format!("{}\n{}", e.title, e.text)).collect();
        let texts: Vec<&str> = texts.iter().map(|t| t.trim_start()).collect();
        let made = (meaning.make)(false, &texts).map_err(EvalError::Model)?;
        let vectors = some.iter().zip(made);
        let vectors: Vec<_> =
            vectors.map(|(p, vector)| PassageVector { passage: p.id, document: p.document, vector }).collect();
        index.put_vectors(&meaning.model.fingerprint, &vectors)?;
    }
    Ok(index.serve_vectors(&meaning.model.fingerprint)?)
}

fn query_vector(meaning: &Meaning<'_>, question: &str) -> Result<Option<QueryVector>, EvalError> {
    let made = (meaning.make)(true, &[question]).map_err(EvalError::Model)?;
    let least_similarity = meaning.least_similarity;
    let fingerprint = meaning.model.fingerprint.clone();
    Ok(made.into_iter().next().map(|vector| QueryVector { fingerprint, vector, least_similarity }))
}

/// The id of a passage of the corpus.
fn passage_id(number: usize) -> PassageId {
    PassageId(Uuid::from_u128(number as u128 + 1))
}

fn number(id: PassageId) -> Option<usize> {
    id.0.as_u128().checked_sub(1).and_then(|n| usize::try_from(n).ok())
}

#[derive(Default)]
struct Tally {
    first: f64,
    five: f64,
    gain: f64,
    reciprocal: f64,
    times: Vec<Duration>,
}

impl Tally {
    /// `ranks` are the 0-based ranks of relevant hits, ascending; `relevant` the number of relevant passages.
    fn add(&mut self, ranks: &[usize], relevant: usize, took: Duration) {
        self.times.push(took);
        if let Some(best) = ranks.first() {
            self.first += f64::from(*best == 0);
            self.five += f64::from(*best < 5);
            self.reciprocal += 1.0 / (*best as f64 + 1.0);
        }
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let ideal: f64 = (0..relevant.min(DEPTH)).map(discount).sum();
        if ideal > 0.0 {
            self.gain += ranks.iter().copied().map(discount).sum::<f64>() / ideal;
        }
    }

    fn report(mut self, passages: usize, indexing: Duration) -> Option<Report> {
        self.times.sort_unstable();
        let queries = self.times.len();
        let mean = |sum: f64| sum / queries as f64;
        let percentile = |share: f64| {
            let at = ((queries as f64 * share).ceil() as usize).saturating_sub(1);
            self.times.get(at).map(|t| t.as_secs_f64() * 1000.0)
        };
        Some(Report {
            p50_ms: percentile(0.5)?,
            p99_ms: percentile(0.99)?,
            hit_at_1: mean(self.first),
            hit_at_5: mean(self.five),
            ndcg_at_10: mean(self.gain),
            mrr_at_10: mean(self.reciprocal),
            queries,
            passages,
            passages_per_second: passages as f64 / indexing.as_secs_f64().max(f64::EPSILON),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_the_field() {
        let mut tally = Tally::default();
        tally.add(&[0], 1, Duration::from_millis(1));
        tally.add(&[2], 2, Duration::from_millis(3));
        tally.add(&[], 1, Duration::from_millis(2));
        let report = tally.report(5, Duration::from_secs(1)).expect("three queries");
        assert!((report.hit_at_1 - 1.0 / 3.0).abs() < 1e-9);
        assert!((report.hit_at_5 - 2.0 / 3.0).abs() < 1e-9);
        assert!((report.mrr_at_10 - (1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-9);
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert!((report.ndcg_at_10 - (1.0 + 0.5 / ideal) / 3.0).abs() < 1e-9);
        assert!((report.p50_ms - 2.0).abs() < 1e-9 && (report.p99_ms - 3.0).abs() < 1e-9);
    }
}

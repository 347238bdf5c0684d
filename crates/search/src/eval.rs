//! Retrieval evaluation: a folder in BEIR layout (`corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`) through the
//! real analyser and a real index in a temporary folder.
//!
//! Measures, as in trec_eval with binary gains taken from positive judgements: hit@k, nDCG@10, MRR@10.

use crate::{Index, IndexedPassage, SearchError, SearchOptions};
use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Ranks looked at.
const DEPTH: usize = 10;
/// Passages per write while indexing.
const BATCH: usize = 1024;

/// Means over the judged queries of a split, and speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    #[error(transparent)]
    Search(#[from] SearchError),
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
}

/// Runs the queries of `split` (the name of a file in `qrels/`) over the corpus of `dir`.
///
/// # Errors
/// [`EvalError::Folder`] names the file and line at fault; a split without a positive judgement is one.
pub fn evaluate(dir: &Path, split: &str) -> Result<Report, EvalError> {
    let corpus: Vec<Entry> = read_lines(&dir.join("corpus.jsonl"))?;
    let queries: Vec<Entry> = read_lines(&dir.join("queries.jsonl"))?;
    let judgements = read_judgements(&dir.join("qrels"), split)?;
    let numbers: HashMap<&str, usize> = corpus.iter().enumerate().map(|(i, e)| (e.id.as_str(), i)).collect();

    let temporary = tempfile::tempdir().map_err(EvalError::Temporary)?;
    let index = Index::open(&temporary.path().join("index"))?;
    let collection = CollectionId::new();
    let indexing = fill(&index, collection, &corpus)?;

    let mut tally = Tally::default();
    // The evaluation's own throw-away collection: no reader's rights are involved.
    #[allow(clippy::disallowed_methods)]
    let readable = ReadableCollections::resolved(vec![collection]);
    let options = SearchOptions { limit: DEPTH, documents: None };
    for query in &queries {
        let Some(relevant) = judgements.get(&query.id) else {
            continue;
        };
        let relevant: HashSet<usize> = relevant.iter().filter_map(|id| numbers.get(id.as_str()).copied()).collect();
        let start = Instant::now();
        let hits = index.search(&query.text, &readable, &options)?;
        let took = start.elapsed();
        let ranks = hits.iter().enumerate().filter(|(_, h)| number(h.passage).is_some_and(|n| relevant.contains(&n)));
        tally.add(&ranks.map(|(rank, _)| rank).collect::<Vec<_>>(), relevant.len(), took);
    }
    tally.report(corpus.len(), indexing).ok_or_else(|| EvalError::Folder {
        path: dir.to_owned(),
        reason: format!("qrels/{split}.tsv에 queries.jsonl의 질문과 이어지는 정답이 없습니다."),
    })
}

/// Passage ids carry the line number of the corpus, so that a hit leads back to it.
fn passage_id(number: usize) -> PassageId {
    PassageId(Uuid::from_u128(number as u128 + 1))
}

fn number(id: PassageId) -> Option<usize> {
    id.0.as_u128().checked_sub(1).and_then(|n| usize::try_from(n).ok())
}

fn fill(index: &Index, collection: CollectionId, corpus: &[Entry]) -> Result<Duration, EvalError> {
    let start = Instant::now();
    for (batch, entries) in corpus.chunks(BATCH).enumerate() {
        let passages: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(i, entry)| IndexedPassage {
                id: passage_id(batch * BATCH + i),
                collection,
                document: DocumentId::new(),
                title: entry.title.clone().unwrap_or_default(),
                heading_path: Vec::new(),
                text: entry.text.clone(),
            })
            .collect();
        index.upsert(&passages)?;
    }
    index.optimise()?;
    Ok(start.elapsed())
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

fn folder_error(path: &Path, reason: impl std::fmt::Display) -> EvalError {
    EvalError::Folder { path: path.to_owned(), reason: reason.to_string() }
}

/// Lines with their 1-based numbers, empty ones left out.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String), EvalError>>, EvalError> {
    let file = File::open(path).map_err(|e| folder_error(path, e))?;
    let path = path.to_owned();
    Ok(BufReader::new(file).lines().enumerate().filter_map(move |(i, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(Ok((i + 1, line))),
        Err(e) => Some(Err(folder_error(&path, format!("{}째 줄: {e}", i + 1)))),
    }))
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, EvalError> {
    lines(path)?
        .map(|line| {
            let (number, line) = line?;
            serde_json::from_str(&line).map_err(|e| folder_error(path, format!("{number}째 줄: {e}")))
        })
        .collect()
}

/// Query id → ids of the passages judged relevant.
fn read_judgements(folder: &Path, split: &str) -> Result<HashMap<String, Vec<String>>, EvalError> {
    // The split is a file's name, never a way to another folder.
    if split.is_empty() || !split.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
        return Err(folder_error(folder, format!("'{split}'은 쓸 수 없는 분할 이름입니다.")));
    }
    let path = folder.join(format!("{split}.tsv"));
    let mut out: HashMap<String, Vec<String>> = HashMap::new();
    for line in lines(&path)? {
        let (number, line) = line?;
        let mut fields = line.split('\t').map(str::trim);
        let (Some(query), Some(passage), Some(score)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(folder_error(&path, format!("{number}째 줄: 칸이 세 개가 아닙니다.")));
        };
        match score.parse::<f64>() {
            Ok(score) if score > 0.0 => out.entry(query.to_owned()).or_default().push(passage.to_owned()),
            Ok(_) => {}
            // The heading.
            Err(_) if number == 1 => {}
            Err(e) => return Err(folder_error(&path, format!("{number}째 줄: {e}"))),
        }
    }
    Ok(out)
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

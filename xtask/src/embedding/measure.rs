//! What the table is worth: hit@1, hit@5 and nDCG@10 of BM25 alone and of both together, on sets in BEIR layout that
//! training did not read.

use super::lexical::Lexical;
use super::soft::{damping, matches};
use super::table::Table;
use super::texts::json_lines;
use super::words::{Vocabulary, Words};
use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Passages of BM25 that are looked at again.
const DEPTH: usize = 50;
const MEASURED: usize = 10;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    title: Option<String>,
    text: String,
}

/// Means over the questions.
#[derive(Default, Clone, Copy)]
struct Figures {
    first: f64,
    five: f64,
    gain: f64,
}

impl Figures {
    fn of(ranking: &[u32], right: &HashSet<u32>) -> Self {
        let ranks = ranking.iter().take(MEASURED).enumerate().filter(|(_, p)| right.contains(p));
        let ranks: Vec<usize> = ranks.map(|(rank, _)| rank).collect();
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let ideal: f64 = (0..right.len().min(MEASURED)).map(discount).sum();
        let within = |depth: usize| f64::from(ranks.first().is_some_and(|r| *r < depth));
        Self { first: within(1), five: within(5), gain: ranks.into_iter().map(discount).sum::<f64>() / ideal }
    }

    fn mean(all: impl ExactSizeIterator<Item = Self>) -> Self {
        let n = all.len().max(1) as f64;
        all.fold(Self::default(), |sum, f| Self {
            first: sum.first + f.first / n,
            five: sum.five + f.five / n,
            gain: sum.gain + f.gain / n,
        })
    }
}

/// One line of a Markdown table for the set in `folder`, at this weight of the soft match beside BM25.
///
/// # Errors
/// A set that is missing or not in BEIR layout.
pub fn line(folder: &Path, table: &Table, vocabulary: &Vocabulary, weight: f32) -> Result<String> {
    let corpus: Vec<Entry> = json_lines(&folder.join("corpus.jsonl"))?;
    let queries: Vec<Entry> = json_lines(&folder.join("queries.jsonl"))?;
    let numbers: HashMap<&str, u32> = corpus.iter().enumerate().map(|(i, e)| (e.id.as_str(), i as u32)).collect();
    let path = folder.join("qrels/dev.tsv");
    let judgements = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut right: HashMap<&str, HashSet<u32>> = HashMap::new();
    for line in judgements.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if let [query, passage, score] = fields[..]
            && score.parse::<f64>().is_ok_and(|s| s > 0.0)
            && let Some(number) = numbers.get(passage)
        {
            right.entry(query).or_default().insert(*number);
        }
    }
    // A title counts twice, as in the index.
    let title = |e: &Entry| e.title.as_deref().map(|t| format!("{t}\n{t}\n")).unwrap_or_default();
    let texts: Vec<String> = corpus.iter().map(|e| format!("{}{}", title(e), e.text)).collect();
    let lexical = Lexical::of(&texts);
    let mut words = Words::default();
    let passages: Vec<Vec<u32>> = texts.iter().map(|t| words.passage(t, vocabulary)).collect();
    let average = passages.iter().map(Vec::len).sum::<usize>() as f32 / passages.len().max(1) as f32;
    let asked: Vec<_> = queries
        .iter()
        .filter_map(|q| right.get(q.id.as_str()).map(|r| (q.text.as_str(), words.question(&q.text, vocabulary), r)))
        .collect();
    let vectors: Vec<Vec<f32>> = words.rows.par_iter().map(|rows| table.word(rows).0).collect();
    let both = |(text, question, right): &(&str, Vec<(u32, f32)>, &HashSet<u32>)| {
        let question: Vec<_> = question.iter().map(|(w, n)| (*w, n * words.idf[*w as usize])).collect();
        let found = lexical.ask(text, DEPTH);
        let mut fused: Vec<(u32, f32)> = found
            .iter()
            .map(|(passage, score)| {
                let words = &passages[*passage as usize];
                let near = matches(&question, words, damping(words.len(), average), |w| &vectors[w as usize]);
                (*passage, score + weight * near.iter().map(|n| n.gain).sum::<f32>())
            })
            .collect();
        fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let of = |ranking: &[(u32, f32)]| Figures::of(&ranking.iter().map(|r| r.0).collect::<Vec<_>>(), right);
        (of(&found), of(&fused))
    };
    let figures: Vec<(Figures, Figures)> = asked.par_iter().map(both).collect();
    let alone = Figures::mean(figures.iter().map(|f| f.0));
    let fused = Figures::mean(figures.iter().map(|f| f.1));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!(
        "| {name} | {} | {:.3} | {:.3} | {:.3} | {:.3} ({:+.3}) | {:.3} ({:+.3}) | {:.3} ({:+.3}) |",
        asked.len(),
        alone.first,
        alone.five,
        alone.gain,
        fused.first,
        fused.first - alone.first,
        fused.five,
        fused.five - alone.five,
        fused.gain,
        fused.gain - alone.gain
    ))
}

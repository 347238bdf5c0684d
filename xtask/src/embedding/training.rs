//! Second vectors: the table learns what BM25 misses. For each question the right passage stands among those that BM25
//! finds; the loss is the cross-entropy of softmax(bm25 + soft match), so that what BM25 already tells apart moves nothing
//! (the residual objective of Gao et al., "Complement Lexical Retrieval Model with Semantic Residual Embeddings", 2021).

use super::lexical::{Lexical, Ranking};
use super::soft::{Near, damping, matches};
use super::table::Table;
use super::texts::Pairs;
use super::words::{Vocabulary, Words};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// What BM25 finds first is what it may be wrong about.
const DEPTH: usize = 50;
const NEGATIVES: usize = 7;
const BATCH: usize = 64;
/// Row-wise Adagrad (Duchi, Hazan & Singer, 2011), falling to nothing.
const LEARNING_RATE: f32 = 0.02;
/// Weights of the two scores in the softmax.
const LEXICAL_SCALE: f32 = 20.0;
const SOFT_SCALE: f32 = 12.0;
const SEED: u64 = 3;

/// Pairs as numbers.
pub struct Source {
    pub passages: Vec<Vec<u32>>,
    pub average: f32,
    items: Vec<Item>,
}

struct Item {
    question: Vec<(u32, f32)>,
    right: (u32, f32),
    wrong: Ranking,
}

impl Source {
    /// Looks up every question; those that find nothing else teach nothing.
    pub fn of(pairs: &Pairs, vocabulary: &Vocabulary, words: &mut Words) -> Self {
        let passages: Vec<_> = pairs.passages.iter().map(|p| words.passage(p, vocabulary)).collect();
        let lexical = Lexical::of(&pairs.passages);
        let rankings: Vec<Ranking> = pairs.questions.par_iter().map(|(q, _)| lexical.ask(q, DEPTH)).collect();
        let mut items = Vec::new();
        for ((question, right), ranking) in pairs.questions.iter().zip(rankings) {
            let right = *right as u32;
            let score = ranking.iter().find(|r| r.0 == right).map_or(0.0, |r| r.1);
            let question = words.question(question, vocabulary).into_iter();
            let question: Vec<_> = question.map(|(word, n)| (word, n * words.idf[word as usize])).collect();
            let wrong: Ranking = ranking.into_iter().filter(|r| r.0 != right).collect();
            if !question.is_empty() && !wrong.is_empty() {
                items.push(Item { question, right: (right, score), wrong });
            }
        }
        let average = passages.iter().map(Vec::len).sum::<usize>() as f32 / passages.len().max(1) as f32;
        Self { passages, average, items }
    }
}

/// What one question asks of the table.
struct Step {
    /// Gradient of each word's vector.
    gradients: BTreeMap<u32, Vec<f32>>,
    loss: f32,
}

/// Trains in place. The same table for the same input, however many threads there are.
pub fn train(table: &mut Table, words: &Words, sources: &[Source], epochs: usize, mut report: impl FnMut(usize, f64)) {
    let mut order: Vec<(&Source, &Item)> = sources.iter().flat_map(|s| s.items.iter().map(move |i| (s, i))).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut squares: HashMap<u32, f32> = HashMap::new();
    let steps = (epochs * order.len().div_ceil(BATCH)).max(1);
    let mut done = 0;
    for epoch in 0..epochs {
        for i in (1..order.len()).rev() {
            order.swap(i, random.random_range(0..=i));
        }
        let mut loss = 0.0;
        for batch in order.chunks(BATCH) {
            let rate = LEARNING_RATE * (1.0 - done as f32 / steps as f32).max(0.02);
            done += 1;
            let chosen: Vec<Ranking> = batch.iter().map(|(_, item)| candidates(item, &mut random)).collect();
            let results = one_batch(table, words, batch, &chosen);
            let mut sums: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
            for step in results {
                loss += f64::from(step.loss);
                for (word, gradient) in step.gradients {
                    for (row, weight) in &words.rows[word as usize] {
                        add(sums.entry(*row).or_insert_with(|| vec![0.0; table.dimension]), *weight, &gradient);
                    }
                }
            }
            for (row, gradient) in sums {
                let square = squares.entry(row).or_insert(1e-8);
                *square += gradient.iter().map(|x| x * x).sum::<f32>() / table.dimension as f32;
                add(table.row_mut(row as usize), -rate / square.sqrt(), &gradient);
            }
        }
        report(epoch, loss / order.len().max(1) as f64);
    }
}

/// The right passage and some wrong ones, more often those that BM25 finds first.
fn candidates(item: &Item, random: &mut Xoshiro256PlusPlus) -> Ranking {
    let mut out = vec![item.right];
    for _ in 0..NEGATIVES.min(item.wrong.len()) {
        let draw: f32 = random.random();
        let at = ((draw * draw * item.wrong.len() as f32) as usize).min(item.wrong.len() - 1);
        if !out.contains(&item.wrong[at]) {
            out.push(item.wrong[at]);
        }
    }
    out
}

fn one_batch(table: &Table, words: &Words, batch: &[(&Source, &Item)], chosen: &[Ranking]) -> Vec<Step> {
    let mut numbers: Vec<u32> = Vec::new();
    for ((source, item), candidates) in batch.iter().zip(chosen) {
        numbers.extend(item.question.iter().map(|q| q.0));
        candidates.iter().for_each(|c| numbers.extend(&source.passages[c.0 as usize]));
    }
    numbers.sort_unstable();
    numbers.dedup();
    let made: Vec<(Vec<f32>, f32)> = numbers.par_iter().map(|w| table.word(&words.rows[*w as usize])).collect();
    let vectors: HashMap<u32, &(Vec<f32>, f32)> = numbers.into_iter().zip(&made).collect();
    let step = |((source, item), candidates): (&(&Source, &Item), &Ranking)| {
        let found: Vec<Vec<Near>> = candidates
            .iter()
            .map(|(passage, _)| {
                let passage = &source.passages[*passage as usize];
                matches(&item.question, passage, damping(passage.len(), source.average), |w| &vectors[&w].0)
            })
            .collect();
        let scores: Vec<f32> = candidates
            .iter()
            .zip(&found)
            .map(|(c, f)| LEXICAL_SCALE * c.1 + SOFT_SCALE * f.iter().map(|n| n.gain).sum::<f32>())
            .collect();
        let shares = softmax(&scores);
        let mut gradients: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        for (i, found) in found.iter().enumerate() {
            let error = SOFT_SCALE * (shares[i] - if i == 0 { 1.0 } else { 0.0 });
            if error.abs() < 1e-3 {
                continue;
            }
            for near in found.iter().filter(|n| n.asked != n.found) {
                for (of, other) in [(near.asked, near.found), (near.found, near.asked)] {
                    let ((own, length), (other, _)) = (vectors[&of], vectors[&other]);
                    // The part of the other vector that is at right angles to this one.
                    let factor = error * near.slope / length.max(1e-4);
                    let sum = gradients.entry(of).or_insert_with(|| vec![0.0; own.len()]);
                    add(sum, factor, other);
                    add(sum, -factor * near.cosine, own);
                }
            }
        }
        Step { gradients, loss: -shares[0].max(1e-9).ln() }
    };
    batch.par_iter().zip(chosen).map(step).collect()
}

fn add(sum: &mut [f32], weight: f32, numbers: &[f32]) {
    sum.iter_mut().zip(numbers).for_each(|(s, x)| *s += weight * x);
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f32> = scores.iter().map(|s| (s - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::words::content;

    /// Two words that never share a passage grow near each other because the one asks for the other.
    #[test]
    fn the_loss_falls_and_a_second_run_gives_the_same() {
        let passages = ["생활폐기물 배출 안내", "생활체육 교실 안내", "생활민원 접수 안내"].map(str::to_owned);
        let pairs = Pairs { passages: passages.to_vec(), questions: vec![("생활쓰레기 안내".to_owned(), 0)] };
        let texts: Vec<_> = passages.iter().map(|p| content(p)).chain([content("생활쓰레기 안내")]).collect();
        let vocabulary = Vocabulary::of(&texts, 1, 100);
        let run = || {
            let mut words = Words::default();
            let sources = [Source::of(&pairs, &vocabulary, &mut words)];
            let mut table = Table::zeros(vocabulary.names.len(), 16);
            (0..vocabulary.names.len()).for_each(|r| {
                table.row_mut(r)[0] = 0.3;
                table.row_mut(r)[1 + r % 15] += 0.5;
            });
            let mut losses = Vec::new();
            train(&mut table, &words, &sources, 20, |_, loss| losses.push(loss));
            (table.row(0).to_vec(), losses)
        };
        let (first, losses) = run();
        assert!(losses.last() < losses.first(), "{losses:?}");
        assert_eq!(first, run().0);
    }
}

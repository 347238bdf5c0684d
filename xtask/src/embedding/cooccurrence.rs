//! First vectors without any question: words that keep the same company lie near each other. Positive pointwise mutual
//! information within a window, smoothed contexts, singular vectors (Levy, Goldberg & Dagan, "Improving Distributional
//! Similarity with Lessons Learned from Word Embeddings", 2015).

use super::svd::Sparse;
use super::table::{Table, unit};
use super::words::{Vocabulary, grams};
use rayon::prelude::*;

/// Words on either side; nearer ones count more, as 1/distance.
const WINDOW: usize = 4;
/// Contexts' probabilities are raised to this, so that rare ones do not look informative.
const SMOOTHING: f64 = 0.75;
const MOST_CONTEXTS: usize = 20_000;
/// A word seen less often has no company of its own.
const LEAST_OCCURRENCES: usize = 3;
/// A word's own vector counts as this many words that merely hold it.
const OWN: f32 = 3.0;
/// Frequent rows count less: root of a/(a + p), after Arora, Liang & Ma (2017).
const FREQUENT: f32 = 0.002;

/// A table whose rows stand for the company of their words.
pub fn first_table(texts: &[Vec<String>], vocabulary: &Vocabulary, dimension: usize) -> Table {
    let ids: Vec<Vec<Option<u32>>> =
        texts.par_iter().map(|t| t.iter().map(|w| vocabulary.rows.get(w).copied()).collect()).collect();
    let rows = vocabulary.names.len();
    let mut places: Vec<Vec<(u32, u32)>> = vec![Vec::new(); rows];
    for (text, words) in ids.iter().enumerate() {
        for (at, row) in words.iter().enumerate().filter_map(|(at, row)| row.map(|r| (at, r))) {
            places[row as usize].push((text as u32, at as u32));
        }
    }
    // Words that stand alone somewhere, most frequent first.
    let mut words: Vec<usize> = (0..rows).filter(|r| places[*r].len() >= LEAST_OCCURRENCES).collect();
    words.sort_by(|a, b| places[*b].len().cmp(&places[*a].len()).then(a.cmp(b)));
    let contexts = words.len().min(MOST_CONTEXTS);
    let mut context_of = vec![usize::MAX; rows];
    words.iter().take(contexts).enumerate().for_each(|(i, row)| context_of[*row] = i);

    let counts: Vec<Vec<(u32, f32)>> = words
        .par_iter()
        .map_init(
            || vec![0.0_f32; contexts],
            |sums, word| {
                let mut touched = Vec::new();
                for (text, at) in &places[*word] {
                    let (text, at) = (&ids[*text as usize], *at as usize);
                    for other in at.saturating_sub(WINDOW)..(at + WINDOW + 1).min(text.len()) {
                        let context = text[other].map_or(usize::MAX, |row| context_of[row as usize]);
                        if context == usize::MAX || text[other] == text[at] {
                            continue;
                        }
                        if sums[context] == 0.0 {
                            touched.push(context);
                        }
                        sums[context] += 1.0 / other.abs_diff(at) as f32;
                    }
                }
                touched.sort_unstable();
                touched.into_iter().map(|c| (c as u32, std::mem::take(&mut sums[c]))).collect()
            },
        )
        .collect();
    let vectors = information(counts, contexts).decompose(dimension);
    spread(&vectors, &words, &places.iter().map(Vec::len).collect::<Vec<_>>(), vocabulary, dimension)
}

/// `ln(p(c|w) / p(c))` where it is positive.
fn information(counts: Vec<Vec<(u32, f32)>>, contexts: usize) -> Sparse {
    let mut of_context = vec![0.0_f64; contexts];
    counts.iter().flatten().for_each(|(c, n)| of_context[*c as usize] += f64::from(*n));
    of_context.iter_mut().for_each(|n| *n = n.powf(SMOOTHING));
    let all: f64 = of_context.iter().sum();
    let row = |row: Vec<(u32, f32)>| {
        let of_word: f64 = row.iter().map(|(_, n)| f64::from(*n)).sum();
        let informed = row.into_iter().map(|(c, n)| {
            let ratio = f64::from(n) / of_word * all / of_context[c as usize];
            (c, ratio.ln() as f32)
        });
        informed.filter(|(_, x)| *x > 0.0).collect()
    };
    Sparse { columns: contexts, rows: counts.into_par_iter().map(row).collect() }
}

/// Gives parts the mean of the words that hold them, and every row its weight.
fn spread(vectors: &[f32], words: &[usize], occurrences: &[usize], vocabulary: &Vocabulary, dimension: usize) -> Table {
    let mut table = Table::zeros(vocabulary.names.len(), dimension);
    let mut shares = vec![0.0_f32; vocabulary.names.len()];
    for (word, vector) in words.iter().zip(vectors.chunks(dimension)) {
        let (vector, _) = unit(vector.to_vec());
        let weight = (occurrences[*word] as f32).sqrt();
        let parts = grams(&vocabulary.names[*word]);
        let parts = parts.iter().filter_map(|g| vocabulary.rows.get(g)).map(|row| (*row as usize, weight));
        for (row, weight) in parts.chain([(*word, OWN * weight)]) {
            table.row_mut(row).iter_mut().zip(&vector).for_each(|(t, v)| *t += weight * v);
            shares[row] += weight;
        }
    }
    for (row, share) in shares.into_iter().enumerate().filter(|(_, s)| *s > 0.0) {
        let often = vocabulary.texts_with[row] / vocabulary.texts;
        let factor = (FREQUENT / (FREQUENT + often)).sqrt() / share;
        table.row_mut(row).iter_mut().for_each(|x| *x *= factor);
    }
    table
}

//! BM25 in memory, as the index weighs it (`crates/search/src/bm25.rs`): finds what a question would find by its words
//! alone. Titles and headings are read as text; the running average of lengths is the plain one.

use madang_korean::{Token, analyse, analyse_query};
use std::collections::HashMap;

const K1: f32 = 0.9;
const B: f32 = 0.8;

pub struct Lexical {
    numbers: HashMap<Token, u32>,
    /// For each term the passages that hold it with their weight.
    postings: Vec<Vec<(u32, f32)>>,
    passages: usize,
}

/// What a question finds, best first, divided by the highest score that any passage could reach.
pub type Ranking = Vec<(u32, f32)>;

impl Lexical {
    #[must_use]
    pub fn of(passages: &[String]) -> Self {
        let mut numbers = HashMap::new();
        let mut counted = Vec::with_capacity(passages.len());
        for passage in passages {
            let (mut times, mut length) = (HashMap::<u32, f32>::new(), 0.0_f32);
            for token in analyse(passage) {
                length += token.kind.weight();
                let next = numbers.len() as u32;
                // Bigrams of every kind are one name space.
                *times.entry(*numbers.entry(plain(token)).or_insert(next)).or_default() += 1.0;
            }
            counted.push((times, length));
        }
        let average = counted.iter().map(|c| c.1).sum::<f32>() / counted.len().max(1) as f32;
        let mut postings = vec![Vec::new(); numbers.len()];
        for (passage, (times, length)) in counted.into_iter().enumerate() {
            let norm = K1 * (1.0 - B + B * length / average.max(1.0));
            for (term, tf) in times {
                if let Some(list) = postings.get_mut(term as usize) {
                    list.push((passage as u32, tf * (K1 + 1.0) / (tf + norm)));
                }
            }
        }
        Self { numbers, postings, passages: passages.len() }
    }

    /// The best `depth` passages.
    pub fn ask(&self, question: &str, depth: usize) -> Ranking {
        let mut weights: HashMap<u32, f32> = HashMap::new();
        for token in analyse_query(question) {
            let weight = token.kind.weight();
            if let Some(term) = self.numbers.get(&plain(token)) {
                *weights.entry(*term).or_default() += weight;
            }
        }
        let mut weights: Vec<_> = weights.into_iter().collect();
        // Sums in one order, so that a second run gives the same table.
        weights.sort_unstable_by_key(|w| w.0);
        let (mut scores, mut bound) = (vec![0.0_f32; self.passages], 0.0);
        for (term, sum) in weights {
            let list = self.postings.get(term as usize).map(Vec::as_slice).unwrap_or_default();
            let with = list.len() as f32;
            let weight = sum.sqrt() * (1.0 + (self.passages as f32 - with + 0.5) / (with + 0.5)).ln();
            bound += weight * (K1 + 1.0);
            for (passage, in_passage) in list {
                if let Some(score) = scores.get_mut(*passage as usize) {
                    *score += weight * in_passage;
                }
            }
        }
        let found = scores.into_iter().enumerate().filter(|(_, s)| *s > 0.0);
        let mut found: Ranking = found.map(|(i, s)| (i as u32, s / bound)).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(depth);
        found
    }
}

/// The token under the kind that stands for its name space.
fn plain(token: Token) -> Token {
    use madang_korean::TokenKind::{Bigram, EdgeBigram, JointBigram};
    match token.kind {
        EdgeBigram | JointBigram => Token { kind: Bigram, ..token },
        _ => token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passage_that_holds_the_words_comes_first() {
        let passages = ["여권 발급 수수료", "가로등 고장 신고", "여권 사진"].map(str::to_owned);
        let found = Lexical::of(&passages).ask("여권 발급은 얼마인가요", 3);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 2]);
        assert!(found.iter().all(|f| f.1 > 0.0 && f.1 <= 1.0));
    }
}

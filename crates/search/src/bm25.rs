//! BM25 split between document weights (stored) and query weights, with the inverse document frequency left to the
//! engine: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), §3.1 and, for the
//! weighted fields, §3.6 (BM25F).
//!
//! Terms are hashed to 32 bits; a collision can lift a wrong passage slightly and can never hide one.

use crate::Synonyms;
use crate::synonyms::SYNONYM;
use madang_korean::{analyse, analyse_query, retyped};
use std::collections::HashMap;

/// How fast repeats of a term stop counting.
const K1: f32 = 0.9;
/// How strongly long passages are held back.
const B: f32 = 0.8;
/// An occurrence in the document's title counts as this many in the text.
const TITLE: f32 = 2.0;
/// An occurrence in a heading above the passage counts as this many in the text.
const HEADING: f32 = 1.0;
/// Longest query in distinct terms; a pasted document is searched by its beginning.
const MOST_QUERY_TERMS: usize = 1024;

/// Raised with every change of the weights: an index of another version must be rebuilt.
pub(crate) const WEIGHTS_VERSION: u32 = 1;

/// A sparse vector: distinct dimensions with a weight each.
pub(crate) type Sparse = Vec<(u32, f32)>;

/// Term frequencies and length of one passage with its title and headings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counted {
    frequencies: HashMap<u32, f32>,
    /// Sum of the weights of the kinds of all tokens.
    pub length: f32,
}

impl Counted {
    pub fn of(title: &str, heading_path: &[String], text: &str) -> Self {
        let mut counted = Self { frequencies: HashMap::new(), length: 0.0 };
        counted.add(text, 1.0);
        counted.add(title, TITLE);
        for heading in heading_path {
            counted.add(heading, HEADING);
        }
        counted
    }

    fn add(&mut self, text: &str, field: f32) {
        for token in analyse(text) {
            *self.frequencies.entry(token.term()).or_default() += field;
            self.length += field * token.kind.weight();
        }
    }

    /// `tf·(k1+1) / (tf + k1·(1 − b + b·length/average))` for each term.
    pub fn weights(&self, average_length: f32) -> Sparse {
        let norm = K1 * (1.0 - B + B * self.length / average_length.max(1.0));
        self.frequencies.iter().map(|(term, tf)| (*term, tf * (K1 + 1.0) / (tf + norm))).collect()
    }
}

/// Weights of a query's terms and, less, of those of its synonyms and of words that were typed in the wrong keyboard
/// language: the root of the summed weights of their kinds, so
/// that a long question does not turn on the word it repeats. Empty when the query asks for nothing.
pub(crate) fn query_weights(query: &str, synonyms: &Synonyms) -> Sparse {
    let mut sums: HashMap<u32, f32> = HashMap::new();
    for token in analyse_query(query) {
        let term = token.term();
        if sums.len() < MOST_QUERY_TERMS || sums.contains_key(&term) {
            *sums.entry(term).or_default() += token.kind.weight();
        }
    }
    let mut weights: HashMap<u32, f32> = sums.into_iter().map(|(term, sum)| (term, sum.sqrt())).collect();
    let slips = query.split(|c: char| !c.is_alphanumeric()).filter_map(retyped);
    for token in synonyms.of_question(query).into_iter().chain(slips).flat_map(|word| analyse_query(&word)) {
        if weights.len() < MOST_QUERY_TERMS {
            // What the question says itself keeps its weight.
            weights.entry(token.term()).or_insert(SYNONYM * token.kind.weight().sqrt());
        }
    }
    weights.into_iter().collect()
}

/// Running average length of what was ever added.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LengthStatistics {
    passages: u64,
    total: f64,
}

impl Default for LengthStatistics {
    /// A few passages of about 600 characters, so that the very first batch does not set the scale alone.
    fn default() -> Self {
        Self { passages: 4, total: 4.0 * 300.0 }
    }
}

impl LengthStatistics {
    pub fn add(&mut self, length: f32) {
        self.passages += 1;
        self.total += f64::from(length);
    }

    pub fn average(&self) -> f32 {
        (self.total / self.passages.max(1) as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(counted: &Counted, term: &str) -> f32 {
        let query = query_weights(term, &Synonyms::default());
        let stored: HashMap<u32, f32> = counted.weights(100.0).into_iter().collect();
        query.iter().filter_map(|(t, _)| stored.get(t)).sum()
    }

    #[test]
    fn titles_count_more_than_text_and_long_texts_less() {
        let in_text = Counted::of("", &[], "여권");
        let in_title = Counted::of("여권", &[], "");
        assert!(weight(&in_title, "여권") > weight(&in_text, "여권"));
        let long = Counted::of("", &[], &format!("여권 {}", "다른 이야기를 길게 적는다. ".repeat(50)));
        assert!(weight(&long, "여권") < weight(&in_text, "여권"));
    }

    #[test]
    fn nothing_asked_nothing_weighed() {
        assert!(query_weights("  ?!  어떻게 ", &Synonyms::default()).is_empty());
        assert!(query_weights(&"가나다라마바사 ".repeat(10_000), &Synonyms::default()).len() <= MOST_QUERY_TERMS);
    }

    #[test]
    fn a_word_typed_in_the_wrong_language_finds_what_was_meant() {
        let counted = Counted::of("", &[], "여권 발급 수수료");
        assert!(weight(&counted, "durnjs 수수료") > weight(&counted, "수수료"));
        assert_eq!(weight(&counted, "sports 수수료"), weight(&counted, "수수료"));
    }

    #[test]
    fn dimensions_are_distinct_and_fixed() {
        let all = Counted::of("", &[], "여권 발급 수수료는 얼마인가요 2026년 3월");
        assert_eq!(all.frequencies.len(), analyse("여권 발급 수수료는 얼마인가요 2026년 3월").len());
        let stem = madang_korean::Token { text: "여권".into(), kind: madang_korean::TokenKind::Stem };
        let bigram = madang_korean::Token { text: "여권".into(), kind: madang_korean::TokenKind::Bigram };
        assert_ne!(stem.term(), bigram.term());
    }
}

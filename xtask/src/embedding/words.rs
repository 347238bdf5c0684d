//! What stands for a word in the table: its stem as the analyser cuts it, and the syllable pairs and triples in it, so that
//! a word never seen has a vector too (Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017).

use madang_korean::{Token, TokenKind, analyse, analyse_query};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rows with their statistics; a row's number is its rank by frequency.
pub struct Vocabulary {
    pub rows: HashMap<String, u32>,
    pub names: Vec<String>,
    /// Texts that hold the row's word, or a word with it inside.
    pub texts_with: Vec<f32>,
    /// Texts in all.
    pub texts: f32,
}

/// Distinct words of many texts, numbered as they come.
#[derive(Default)]
pub struct Words {
    numbers: HashMap<Token, u32>,
    /// Rows of each word with their weights.
    pub rows: Vec<Vec<(u32, f32)>>,
    /// Of the training texts: what a match of the word is worth in any collection.
    pub idf: Vec<f32>,
}

/// Words that name something, in order: no bare numbers.
pub fn content(text: &str) -> Vec<String> {
    let named = analyse(text).into_iter().filter(|t| match t.kind {
        TokenKind::Stem => true,
        TokenKind::Run => !t.text.chars().all(char::is_numeric),
        _ => false,
    });
    named.map(|t| t.text).collect()
}

/// Syllable pairs and triples of a Hangul word that are shorter than it.
pub fn grams(word: &str) -> Vec<String> {
    let syllables: Vec<char> = word.chars().collect();
    if !syllables.iter().all(|c| ('가'..='힣').contains(c)) {
        return Vec::new();
    }
    let sizes = [2, 3].into_iter().filter(|n| *n < syllables.len());
    sizes.flat_map(|n| syllables.windows(n).map(String::from_iter)).collect()
}

impl Vocabulary {
    /// The `most` rows that stand in the most texts, each in at least `least`.
    #[must_use]
    pub fn of(texts: &[Vec<String>], least: u32, most: usize) -> Self {
        let mut words: BTreeMap<&str, u32> = BTreeMap::new();
        for text in texts {
            for word in text.iter().map(String::as_str).collect::<BTreeSet<_>>() {
                *words.entry(word).or_default() += 1;
            }
        }
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for (word, n) in words {
            for row in grams(word).into_iter().chain([word.to_owned()]) {
                *counts.entry(row).or_default() += n;
            }
        }
        let mut rows: Vec<_> = counts.into_iter().filter(|(_, n)| *n >= least).collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rows.truncate(most);
        Self {
            rows: rows.iter().enumerate().map(|(i, (name, _))| (name.clone(), i as u32)).collect(),
            texts_with: rows.iter().map(|(_, n)| *n as f32).collect(),
            names: rows.into_iter().map(|(name, _)| name).collect(),
            texts: texts.len() as f32,
        }
    }

    /// The word's own row, and its parts' rows at weight 1 together.
    pub fn word(&self, word: &str) -> Vec<(u32, f32)> {
        let parts: Vec<u32> = grams(word).iter().filter_map(|g| self.rows.get(g).copied()).collect();
        let each = 1.0 / parts.len().max(1) as f32;
        let own = self.rows.get(word).map(|row| (*row, 1.0));
        own.into_iter().chain(parts.into_iter().map(|row| (row, each))).collect()
    }

    fn idf(&self, word: &str) -> f32 {
        let row = self.rows.get(word).and_then(|r| self.texts_with.get(*r as usize));
        row.map_or(self.texts.ln(), |with| (self.texts / with).ln().max(0.2))
    }
}

impl Words {
    /// Distinct words of a passage, ascending.
    pub fn passage(&mut self, text: &str, vocabulary: &Vocabulary) -> Vec<u32> {
        let numbers: BTreeSet<u32> = analyse(text).into_iter().filter_map(|t| self.number(t, vocabulary)).collect();
        numbers.into_iter().collect()
    }

    /// Words of a question, ascending, with the root of how often each stands there.
    pub fn question(&mut self, text: &str, vocabulary: &Vocabulary) -> Vec<(u32, f32)> {
        let mut times: BTreeMap<u32, f32> = BTreeMap::new();
        for number in analyse_query(text).into_iter().filter_map(|t| self.number(t, vocabulary)) {
            *times.entry(number).or_default() += 1.0;
        }
        times.into_iter().map(|(number, n)| (number, n.sqrt())).collect()
    }

    fn number(&mut self, token: Token, vocabulary: &Vocabulary) -> Option<u32> {
        if !matches!(token.kind, TokenKind::Stem | TokenKind::Run | TokenKind::Counter) {
            return None;
        }
        if let Some(number) = self.numbers.get(&token) {
            return Some(*number);
        }
        let number = self.rows.len() as u32;
        let counter = token.kind == TokenKind::Counter;
        self.rows.push(if counter { Vec::new() } else { vocabulary.word(&token.text) });
        self.idf.push(vocabulary.idf(&token.text));
        self.numbers.insert(token, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_parts_and_an_unknown_one_shares_them() {
        assert_eq!(grams("보조금"), ["보조", "조금"]);
        assert!(grams("시청").is_empty() && grams("ai").is_empty());
        let texts = vec![content("보조금을 지원한다"), content("보조금")];
        let vocabulary = Vocabulary::of(&texts, 1, 100);
        let known = vocabulary.word("보조금");
        assert_eq!(known.len(), 3);
        let unknown = vocabulary.word("국고보조금");
        assert!(unknown.iter().any(|(row, _)| known.iter().any(|(k, _)| k == row)));
    }
}

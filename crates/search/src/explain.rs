//! Why a passage was found: which words of the question stand in its title, its headings, its text, and how much of the
//! question that is. Looks at texts alone; scores are the index's.

use crate::Synonyms;
use madang_korean::{analyse, analyse_query, normalise, retyped, stem};
use serde::Serialize;
use std::collections::HashSet;

/// Part of a word that must stand in a field for the word to count as found there: a compound of two known words is,
/// a common ending is not.
const STANDS: f32 = 0.5;

/// A part of a passage that is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Title,
    Heading,
    Text,
}

/// A word of the question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// As it was asked, without its particle.
    pub word: String,
    /// Where it stands; empty where it does not.
    pub fields: Vec<Field>,
    /// Words of the same meaning, or what its keys spell in the other language, that stand there in its place.
    pub instead: Vec<String>,
    /// Its share of the question, 0 to 1; all words make up 1.
    pub share: f32,
}

/// Why a passage was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub words: Vec<Word>,
    /// Share of the question that the passage bears, 0 to 1.
    pub covered: f32,
}

/// Compares the question with the parts of a passage.
pub fn explain(question: &str, title: &str, heading_path: &[String], text: &str, synonyms: &Synonyms) -> Explanation {
    let fields =
        [(Field::Title, terms(title)), (Field::Heading, terms(&heading_path.join("\n"))), (Field::Text, terms(text))];
    let standing = |word: &str| -> Vec<Field> {
        fields.iter().filter(|(_, terms)| stands(word, terms)).map(|(field, _)| *field).collect()
    };
    let mut words: Vec<Word> = Vec::new();
    for asked in question.split_whitespace() {
        let weight = weight(asked);
        let asked = asked.trim_matches(|c: char| !c.is_alphanumeric());
        let word = stem(asked).to_owned();
        if weight == 0.0 || words.iter().any(|w| w.word == word) {
            continue;
        }
        let mut instead = synonyms.of(&normalise(&word));
        instead.extend(retyped(asked));
        instead.retain(|other| !standing(other).is_empty());
        words.push(Word { fields: standing(&word), word, instead, share: weight });
    }
    let total: f32 = words.iter().map(|w| w.share).sum();
    words.iter_mut().for_each(|w| w.share /= total.max(f32::EPSILON));
    let found = |w: &&Word| !w.fields.is_empty() || !w.instead.is_empty();
    let covered = words.iter().filter(found).map(|w| w.share).sum::<f32>().min(1.0);
    Explanation { words, covered }
}

fn terms(text: &str) -> HashSet<u32> {
    analyse(text).iter().map(|t| t.term()).collect()
}

/// What the word weighs in a question; 0 for a word that only asks.
fn weight(word: &str) -> f32 {
    analyse_query(word).iter().map(|t| t.kind.weight()).sum::<f32>().sqrt()
}

fn stands(word: &str, terms: &HashSet<u32>) -> bool {
    let tokens = analyse_query(word);
    let all: f32 = tokens.iter().map(|t| t.kind.weight()).sum();
    let there: f32 = tokens.iter().filter(|t| terms.contains(&t.term())).map(|t| t.kind.weight()).sum();
    all > 0.0 && there >= STANDS * all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_where_they_stand() {
        let headings = ["여권 안내".to_owned()];
        let text = "여권 발급 수수료는 5만 원이다.";
        let why = explain("여권 수수료는 얼마인가요, 재발급?", "민원 편람", &headings, text, &Synonyms::default());
        let words: Vec<_> = why.words.iter().map(|w| (w.word.as_str(), w.fields.as_slice())).collect();
        assert_eq!(words[0], ("여권", [Field::Heading, Field::Text].as_slice()));
        assert_eq!(words[1], ("수수료", [Field::Text].as_slice()));
        assert!(!words.iter().any(|(w, _)| w.starts_with("얼마")), "{words:?}");
        assert!((why.words.iter().map(|w| w.share).sum::<f32>() - 1.0).abs() < 1e-4);
        assert!(why.covered > 0.5 && why.covered <= 1.0, "{why:?}");
    }

    #[test]
    fn another_word_of_the_same_meaning_is_named() {
        let synonyms = Synonyms::parse("육아휴직, 부모휴직");
        let why = explain("육아휴직 기간", "", &[], "부모휴직은 1년이다.", &synonyms);
        assert_eq!(
            (why.words[0].fields.len(), why.words[0].instead.as_slice()),
            (0, ["부모휴직".to_owned()].as_slice())
        );
        assert!(why.covered > 0.3);
        let nothing = explain("??", "", &[], "글", &synonyms);
        assert!(nothing.words.is_empty() && nothing.covered == 0.0);
    }
}

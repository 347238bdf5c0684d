//! The lexical analyser: text → weighted tokens for the index and for queries.
//!
//! Language only: term frequencies, lengths and inverse document frequencies belong to the index.

use crate::particles::{is_particle, stem};
use crate::stopwords::is_stop_word;
use unicode_normalization::UnicodeNormalization;

/// Goes up with every change of what [`analyse`] returns: an index of another version must be rebuilt.
pub const ANALYSER_VERSION: u32 = 1;

/// What a token stands for. Tokens of different [`TokenKind::tag`] never match each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Two neighbouring syllables inside a word's stem, or the only syllable of a one-syllable word.
    Bigram,
    /// Two neighbouring syllables of which at least one belongs to the particle or ending.
    EdgeBigram,
    /// Last syllable of a stem and first of the next word: finds compounds that are spaced differently.
    JointBigram,
    /// Particle-stripped Hangul word of at least two syllables.
    Stem,
    /// Whole run of Latin (or other alphabetic) letters or of digits; a single Han character.
    Run,
    /// Digits with the syllable glued behind them ("3월", "120억").
    Counter,
}

impl TokenKind {
    /// Name space of the token's text: a stem "서울" and a bigram "서울" are different terms.
    pub fn tag(self) -> u8 {
        match self {
            TokenKind::Bigram | TokenKind::EdgeBigram | TokenKind::JointBigram => b'b',
            TokenKind::Stem => b's',
            TokenKind::Run => b'r',
            TokenKind::Counter => b'c',
        }
    }

    /// How much a token of this kind counts in a query, and in the length of a text. Measured over four
    /// Korean retrieval sets with one configuration for all.
    pub fn weight(self) -> f32 {
        match self {
            TokenKind::Bigram | TokenKind::Stem | TokenKind::Counter => 1.0,
            TokenKind::EdgeBigram => 0.3,
            TokenKind::JointBigram => 0.5,
            TokenKind::Run => 1.3,
        }
    }
}

/// One term of a text, in order of appearance; repeats are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    pub text: String,
    pub kind: TokenKind,
}

impl Token {
    /// The term as a number: 64-bit FNV-1a of name space and text, folded to 32 bits. Stable across machines and
    /// versions; among 200,000 distinct terms about five pairs are expected to share one.
    pub fn term(&self) -> u32 {
        let bytes = std::iter::once(self.kind.tag()).chain(self.text.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
    }
}

/// NFKC (composes jamo, folds widths, unfolds ㎡ and ①) and lower case: the form that every comparison is made in.
pub fn normalise(text: &str) -> String {
    // Lower-casing can decompose (İ), so compose once more.
    text.nfkc().flat_map(char::to_lowercase).nfc().collect()
}

/// Tokens of a text to be indexed.
pub fn analyse(text: &str) -> Vec<Token> {
    tokens(text, false)
}

/// Tokens of a question: as [`analyse`], without words that only ask ("어떻게", "인가요"). Empty for punctuation or
/// stop words alone.
pub fn analyse_query(text: &str) -> Vec<Token> {
    tokens(text, true)
}

/// The texts of [`analyse`].
pub fn terms(text: &str) -> Vec<String> {
    analyse(text).into_iter().map(|t| t.text).collect()
}

/// What a run of characters is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    Hangul,
    Han,
    Letters,
    Digits,
}

fn script(c: char) -> Option<Script> {
    match c {
        '가'..='힣' => Some(Script::Hangul),
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => Some(Script::Han),
        c if c.is_numeric() => Some(Script::Digits),
        c if c.is_alphabetic() => Some(Script::Letters),
        _ => None,
    }
}

/// A maximal run of one script in normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub script: Script,
    pub text: &'a str,
    /// The run before it touches it: "2026" and "년" in "2026년".
    pub glued: bool,
}

/// Splits normalised text into runs; whatever is neither letter nor digit separates.
pub(crate) fn runs(text: &str) -> Vec<Run<'_>> {
    let mut out: Vec<Run<'_>> = Vec::new();
    let mut open: Option<(Script, usize, bool)> = None;
    for (at, c) in text.char_indices() {
        let now = script(c);
        if let Some((was, start, glued)) = open {
            if now == Some(was) {
                continue;
            }
            out.extend(text.get(start..at).map(|text| Run { script: was, text, glued }));
        }
        open = now.map(|s| (s, at, open.is_some()));
    }
    if let Some((was, start, glued)) = open {
        out.extend(text.get(start..).map(|text| Run { script: was, text, glued }));
    }
    out
}

fn tokens(text: &str, query: bool) -> Vec<Token> {
    let text = normalise(text);
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut previous: Option<Run<'_>> = None;
    let mut previous_stem: Option<&str> = None;
    for run in runs(&text) {
        let mut this_stem = None;
        match run.script {
            Script::Han => out.extend(run.text.chars().map(|c| token(c.to_string(), TokenKind::Run))),
            Script::Letters | Script::Digits => out.push(token(run.text.to_owned(), TokenKind::Run)),
            Script::Hangul => {
                let number = previous.filter(|p| run.glued && p.script == Script::Digits);
                if let (Some(number), Some(unit)) = (number, run.text.chars().next()) {
                    out.push(token(format!("{}{unit}", number.text), TokenKind::Counter));
                }
                let stem = stem(run.text);
                let stop = is_stop_word(run.text, stem);
                let particle = run.glued && is_particle(run.text);
                if !(particle || query && stop) {
                    if let (Some(before), false) = (previous_stem, run.glued) {
                        join(&mut out, before, run.text);
                    }
                    word(&mut out, run.text, stem);
                }
                this_stem = (!stop && !particle).then_some(stem);
            }
        }
        previous = Some(run);
        previous_stem = this_stem;
    }
    out
}

fn token(text: String, kind: TokenKind) -> Token {
    Token { text, kind }
}

/// Bigrams and stem of one Hangul word.
fn word(out: &mut Vec<Token>, word: &str, stem: &str) {
    let mut syllables = word.char_indices();
    let mut ahead = word.char_indices().skip(1).peekable();
    if ahead.peek().is_none() {
        out.push(token(word.to_owned(), TokenKind::Bigram));
        return;
    }
    while let (Some((start, _)), Some((at, c))) = (syllables.next(), ahead.next()) {
        let end = at + c.len_utf8();
        let kind = if end <= stem.len() { TokenKind::Bigram } else { TokenKind::EdgeBigram };
        out.extend(word.get(start..end).map(|pair| token(pair.to_owned(), kind)));
    }
    if stem.chars().nth(1).is_some() {
        out.push(token(stem.to_owned(), TokenKind::Stem));
    }
}

fn join(out: &mut Vec<Token>, before: &str, word: &str) {
    if let (Some(a), Some(b)) = (before.chars().next_back(), word.chars().next()) {
        out.push(token([a, b].iter().collect(), TokenKind::JointBigram));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(kind: TokenKind, text: &str) -> Vec<String> {
        analyse(text).into_iter().filter(|t| t.kind == kind).map(|t| t.text).collect()
    }

    #[test]
    fn words_become_bigrams_and_stems() {
        assert_eq!(texts(TokenKind::Bigram, "보조금을"), ["보조", "조금"]);
        assert_eq!(texts(TokenKind::EdgeBigram, "보조금을"), ["금을"]);
        assert_eq!(texts(TokenKind::Stem, "보조금을 신청하려면"), ["보조금", "신청"]);
        assert_eq!(texts(TokenKind::JointBigram, "주민등록 등본"), ["록등"]);
    }

    #[test]
    fn latin_digits_and_hangul_part() {
        assert_eq!(texts(TokenKind::Run, "AI가 2026년 Wi-Fi"), ["ai", "2026", "wi", "fi"]);
        assert_eq!(texts(TokenKind::Counter, "2026년 3월에"), ["2026년", "3월"]);
        assert!(texts(TokenKind::Bigram, "AI가").is_empty(), "a particle behind Latin letters is no word");
    }

    #[test]
    fn forms_of_writing_are_folded() {
        assert_eq!(analyse("ＡＩ１２"), analyse("ai12"));
        let decomposed: String = "한글".nfd().collect();
        assert_eq!(analyse(&decomposed), analyse("한글"));
    }

    #[test]
    fn queries_lose_stop_words_only() {
        let query = analyse_query("여권은 어떻게 신청하나요?");
        assert!(query.iter().any(|t| t.text == "여권"));
        assert!(query.iter().any(|t| t.text == "신청"));
        assert!(!query.iter().any(|t| t.text == "어떻"));
        assert!(analyse_query("어떻게 있나요 ?! ...").is_empty());
        assert!(analyse_query("").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_yields_empty(text in "\\PC*") {
            for t in analyse(&text).into_iter().chain(analyse_query(&text)) {
                prop_assert!(!t.text.is_empty());
            }
        }

        #[test]
        fn query_tokens_are_index_tokens(text in "[가-힣a-z0-9 ]{0,60}") {
            let indexed = analyse(&text);
            for t in analyse_query(&text) {
                prop_assert!(indexed.contains(&t), "{t:?}");
            }
        }
    }
}

//! Tokens in place of identifiers, the same token for the same words throughout one request, and back again.

use crate::kind::{Action, Kind};
use crate::report::{Finding, Report};
use crate::tokens;
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Masking again finds what the first tokens brought together; texts are clean after two or three rounds.
const MAX_PASSES: usize = 8;

/// A text with tokens in place of identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Masked {
    pub text: String,
    /// Each token with the words it stands for; blocked identifiers are left out, so that nothing brings them back.
    pub tokens: Vec<(String, String)>,
}

/// Masks the texts of one request with one set of tokens.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    known: HashMap<(Kind, String), String>,
    tokens: Vec<(String, String)>,
    next: BTreeMap<Kind, usize>,
    reserved: HashSet<String>,
}

impl Masker {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps tokens that the text already holds as plain words from being given to an identifier. Call it with every
    /// text of the request before the first [`Masker::mask`].
    pub fn reserve(&mut self, text: &str) {
        self.reserved.extend(tokens::tokens(text).filter_map(|range| text.get(range)).map(str::to_string));
    }

    /// The text with a token such as `[전화번호-1]` for each finding that is masked or blocked.
    ///
    /// `report` must be the scan of this very text: its places are character offsets in it.
    pub fn mask(&mut self, text: &str, report: &Report) -> String {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        let mut at = 0;
        for finding in report.findings.iter().filter(|f| f.action != Action::Pass && f.end > f.start) {
            out.extend(chars.by_ref().take(finding.start.saturating_sub(at)));
            let words: String = chars.by_ref().take(finding.end - finding.start).collect();
            at = finding.end.max(at);
            out.push_str(&self.token(finding, words));
        }
        out.extend(chars);
        out
    }

    /// Each token given so far with the words it stands for, without blocked identifiers.
    pub fn tokens(&self) -> &[(String, String)] {
        &self.tokens
    }

    fn token(&mut self, finding: &Finding, words: String) -> String {
        let kind = finding.kind;
        // Words of a later round may hold earlier tokens.
        let words = if tokens::tokens(&words).next().is_some() { restore(&words, &self.tokens) } else { words };
        if let Some(token) = self.known.get(&(kind, words.clone())) {
            return token.clone();
        }
        let next = self.next.entry(kind).or_insert(0);
        let token = loop {
            *next += 1;
            let token = tokens::token(kind, *next);
            if !self.reserved.contains(&token) {
                break token;
            }
        };
        if finding.action == Action::Mask {
            self.tokens.push((token.clone(), words.clone()));
        }
        self.known.insert((kind, words), token.clone());
        token
    }
}

/// Masks one text by its report, and again until nothing is left to mask: masking the result changes nothing.
pub fn mask(text: &str, report: &Report) -> Masked {
    mask_with(text, report, crate::scan)
}

/// As [`mask`], with the scan that made the report (one with the body's own dictionary, say).
pub fn mask_with(text: &str, report: &Report, scan: impl Fn(&str) -> Report) -> Masked {
    let mut masker = Masker::new();
    masker.reserve(text);
    let mut masked = masker.mask(text, report);
    for _ in 1..MAX_PASSES {
        let again = scan(&masked);
        if again.action == Action::Pass {
            break;
        }
        masked = masker.mask(&masked, &again);
    }
    Masked { text: masked, tokens: masker.tokens }
}

/// The reply with the words that its tokens stand for.
///
/// One pass: words put back are not searched again, so a token inside them stays as it was written.
pub fn restore(reply: &str, tokens: &[(String, String)]) -> String {
    let finder =
        AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(tokens.iter().map(|(token, _)| token));
    let words: Vec<&str> = tokens.iter().map(|(_, words)| words.as_str()).collect();
    match finder {
        Ok(finder) if !words.is_empty() => finder.replace_all(reply, &words),
        _ => reply.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;
    use proptest::prelude::*;

    fn masked(text: &str) -> Masked {
        mask(text, &scan(text))
    }

    #[test]
    fn one_token_for_the_same_words_and_back() {
        let text = "연락처 010-1234-5678, 다시 010-1234-5678, 또는 a@b.kr";
        let m = masked(text);
        assert_eq!(m.text, "연락처 [전화번호-1], 다시 [전화번호-1], 또는 [전자우편-1]");
        assert_eq!(m.tokens.len(), 2);
        assert_eq!(restore(&m.text, &m.tokens), text);
    }

    #[test]
    fn a_token_written_by_the_user_is_not_given_again() {
        let text = "[전화번호-1]는 예시이고 010-1234-5678은 번호";
        let m = masked(text);
        assert_eq!(m.tokens[0].0, "[전화번호-2]");
        assert_eq!(restore(&m.text, &m.tokens), text);
    }

    #[test]
    fn blocked_words_do_not_come_back() {
        let m = masked("주민번호 900101-1970000");
        assert_eq!(m.text, "주민번호 [주민등록번호-1]");
        assert!(m.tokens.is_empty());
    }

    proptest! {
        #[test]
        fn masking_and_restoring_is_the_identity_without_blocked(text in r"[가나 0-9@.\-\[\]a-c전화번호\n]{0,80}") {
            let report = scan(&text);
            if report.action != Action::Block {
                let m = mask(&text, &report);
                prop_assert_eq!(restore(&m.text, &m.tokens), text);
            }
        }
    }
}

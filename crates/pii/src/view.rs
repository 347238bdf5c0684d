//! A text as characters that each remember where in the original they came from, and its normal form.
//!
//! Decoding of URL, HTML and base64 is in `decode`; detection is elsewhere.

use std::ops::Range;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Longest run of combining characters composed together: the bound of Unicode's stream-safe format (UAX #15).
const GROUP_LIMIT: usize = 31;

/// Characters with the range of original characters that each stands for.
///
/// Ranges never run backwards, so that a range of view characters covers one range of the original.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    chars: Vec<char>,
    spans: Vec<(u32, u32)>,
}

impl View {
    /// The text as it is, character by character.
    pub fn of(text: &str) -> Self {
        let mut view = View::default();
        for (i, c) in text.chars().enumerate() {
            let at = u32::try_from(i).unwrap_or(u32::MAX - 1);
            view.push(c, (at, at + 1));
        }
        view
    }

    /// Decoded text, all of which stands for the original range `span`.
    pub fn standing_for(text: &str, span: (u32, u32)) -> Self {
        let mut view = View::default();
        text.chars().for_each(|c| view.push(c, span));
        view
    }

    pub fn push(&mut self, c: char, span: (u32, u32)) {
        self.chars.push(c);
        self.spans.push(span);
    }

    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// The character at `i`, or `None` outside.
    pub fn get(&self, i: usize) -> Option<char> {
        self.chars.get(i).copied()
    }

    /// The original range of view character `i`; empty at the start of the text when there is no such character.
    pub fn span(&self, i: usize) -> (u32, u32) {
        self.spans.get(i).copied().unwrap_or_default()
    }

    /// The original characters that the view characters `range` stand for.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.span(range.start).0 as usize;
        let end = range.end.checked_sub(1).map_or(start, |last| self.span(last).1 as usize);
        start..end.max(start)
    }

    /// NFKC, without invisible characters and marks, with every dash as `-` and every decimal digit as `0`–`9`.
    pub fn normalised(&self) -> View {
        let mut out = View { chars: Vec::with_capacity(self.chars.len()), spans: Vec::with_capacity(self.chars.len()) };
        let mut i = 0;
        while let Some(c) = self.get(i) {
            let end = self.group_end(i);
            if end == i + 1 && is_plain(c) {
                out.push(c, self.span(i));
            } else {
                let span = (self.span(i).0, self.span(end - 1).1);
                let group = self.chars.get(i..end).unwrap_or_default();
                for composed in group.iter().copied().nfkc() {
                    if let Some(folded) = fold(composed) {
                        out.push(folded, span);
                    }
                }
            }
            i = end;
        }
        out
    }

    /// End of the run of characters that compose with the one at `start`.
    fn group_end(&self, start: usize) -> usize {
        let mut end = start + 1;
        while end - start < GROUP_LIMIT && self.get(end).is_some_and(composes_with_previous) {
            end += 1;
        }
        end
    }
}

/// Normal form is the character itself.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~' | '\n' | '\r' | '\t' | '가'..='힣')
}

fn composes_with_previous(c: char) -> bool {
    !c.is_ascii()
        && (canonical_combining_class(c) != 0 || matches!(c, '\u{1160}'..='\u{11FF}' | '\u{FFA0}'..='\u{FFDC}'))
}

/// The character that detection sees for one of the normal form; `None` for one that shows nothing.
fn fold(c: char) -> Option<char> {
    if is_plain(c) {
        return Some(c);
    }
    if c.is_whitespace() || c == '\u{2800}' {
        return Some(if matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{B}' | '\u{C}') { '\n' } else { ' ' });
    }
    if c.is_control() || is_invisible(c) || is_combining_mark(c) {
        return None;
    }
    if is_dash(c) {
        return Some('-');
    }
    Some(decimal_digit(c).unwrap_or(c))
}

fn is_dash(c: char) -> bool {
    matches!(
        c,
        '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2212}'
                | '\u{2796}'
                | '\u{2500}'
                | '\u{2501}'
                | '\u{2504}'
                | '\u{2505}'
                | '\u{30FC}'
                | '\u{3161}'
                | '\u{1173}'
                | '\u{301C}'
                | '\u{3030}'
                | '\u{02D7}'
                | '\u{058A}'
                | '\u{05BE}'
                | '\u{1806}'
                | '\u{2E3A}'
                | '\u{2E3B}'
    )
}

/// Format characters (general category Cf) and letters that draw nothing.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{110BD}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// First digit of each run of ten decimal digits (general category Nd) that NFKC leaves alone.
const DIGIT_ZEROS: [u32; 37] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x11066,
];

fn decimal_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let below = DIGIT_ZEROS.partition_point(|&zero| zero <= code);
    let zero = DIGIT_ZEROS.get(below.checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> String {
        View::of(text).normalised().chars().iter().collect()
    }

    #[test]
    fn folds_width_dashes_digits_and_drops_the_invisible() {
        assert_eq!(normal("９００１０１－１９"), "900101-19");
        assert_eq!(normal("9\u{200B}0\u{FE0F}\u{20E3}0–1"), "900-1");
        assert_eq!(normal("٠١٢ ०१"), "012 01");
        assert_eq!(normal("한\u{1112}\u{1161}\u{11AB}"), "한한");
        assert_eq!(normal("a\u{3000}b\u{2028}c"), "a b\nc");
    }

    #[test]
    fn a_composed_character_covers_its_parts() {
        let view = View::of("x\u{1112}\u{1161}\u{11AB}y").normalised();
        assert_eq!(view.chars(), ['x', '한', 'y']);
        assert_eq!(view.original(1..2), 1..4);
    }

    #[test]
    fn zeros_are_sorted_for_the_search() {
        assert!(DIGIT_ZEROS.windows(2).all(|w| w[0] + 10 <= w[1]));
    }

    proptest! {
        #[test]
        fn ranges_stay_inside_and_in_order(text in any::<String>()) {
            let count = text.chars().count();
            let view = View::of(&text).normalised();
            for i in 0..view.chars().len() {
                let range = view.original(i..i + 1);
                prop_assert!(range.start < range.end && range.end <= count);
                if i > 0 { prop_assert!(view.span(i - 1).0 <= view.span(i).0 && view.span(i - 1).1 <= view.span(i).1); }
            }
        }
    }
}

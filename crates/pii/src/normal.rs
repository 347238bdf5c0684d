//! The normal form that detection reads: NFKC, nothing invisible, one dash, one kind of digits, syllables put together
//! from loose jamo. Text that is in normal form already is borrowed, not copied.

use crate::view::{Builder, View};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// Longest run of combining characters composed together: the bound of Unicode's stream-safe format (UAX #15).
const GROUP_LIMIT: usize = 31;

/// The view in normal form.
pub(crate) fn normalise<'v>(view: &'v View<'v>) -> View<'v> {
    let text = view.text();
    let Some(first) = next_strange(text, 0) else { return view.borrowed() };
    let mut builder = Builder::new(view);
    let (mut copied, mut strange) = (0, Some(first));
    while let Some(at) = strange {
        let start = if composes(text, at) { text.floor_char_boundary(at.saturating_sub(1)).max(copied) } else { at };
        let end = group_end(text, start);
        builder.copy(copied..start);
        let group = text.get(start..end).unwrap_or_default();
        let mut folded: String = compose_jamo(group).nfkc().filter_map(fold).collect();
        // The number of an item in its ring is no digit of the number that it touches: "①900101-1970000②…".
        if group.chars().next().is_some_and(is_ringed) {
            let figure = |c: Option<char>| c.is_some_and(|c| c.is_numeric() && !is_ringed(c));
            let (before, after) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
            if figure(before.chars().next_back()) || figure(after.chars().next()) {
                folded = format!(" {folded})");
            }
        }
        match folded.as_str() {
            // "\r\n" is one line break.
            "\r" if text.get(end..).is_some_and(|rest| rest.starts_with('\n')) => {}
            "\r" => builder.replace(start..end, "\n"),
            other => builder.replace(start..end, other),
        }
        copied = end;
        strange = next_strange(text, end);
    }
    builder.copy(copied..text.len());
    builder.finish()
}

/// First byte at or after `from` of a character that is not in normal form.
fn next_strange(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        match *bytes.get(at)? {
            b' '..=b'~' | b'\n' | b'\t' => at += 1,
            // 가 is EA B0 80, 힣 is ED 9E A3.
            0xEB | 0xEC => at += 3,
            0xEA if bytes.get(at + 1).is_some_and(|b| *b >= 0xB0) => at += 3,
            0xED if bytes.get(at + 1).is_some_and(|b| *b <= 0x9D) => at += 3,
            _ => {
                let c = text.get(at..)?.chars().next()?;
                if !is_inert(c) {
                    return Some(at);
                }
                at += c.len_utf8();
            }
        }
    }
}

/// Not ASCII, and its own normal form, whatever stands before or after it.
fn is_inert(c: char) -> bool {
    matches!(c,
        '가'..='힣' | 'ㆍ' | '\u{B7}' | '\u{2018}'..='\u{201F}' | '\u{203B}' | '\u{2190}'..='\u{21FF}' | '\u{25A0}'..='\u{25FF}'
        | '\u{2605}' | '\u{2606}' | '\u{260E}' | '\u{260F}' | '\u{2713}' | '\u{2714}' | '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}'
        | '\u{3014}'..='\u{301B}' | '\u{4E00}'..='\u{9FFF}' | '\u{FFFD}')
}

/// A digit in a ring, or what stands for one.
fn is_ringed(c: char) -> bool {
    matches!(c, '\u{2460}'..='\u{2473}' | '\u{24EA}'..='\u{24FF}' | '\u{2776}'..='\u{2793}')
}

fn composes(text: &str, at: usize) -> bool {
    text.get(at..).and_then(|t| t.chars().next()).is_some_and(composes_with_previous)
}

fn composes_with_previous(c: char) -> bool {
    !c.is_ascii()
        && (canonical_combining_class(c) != 0 || matches!(c, '\u{1160}'..='\u{11FF}' | '\u{FFA0}'..='\u{FFDC}'))
}

/// End of the run of characters that compose with the one at `start`; loose jamo stay together.
fn group_end(text: &str, start: usize) -> usize {
    let mut chars = text.get(start..).unwrap_or_default().char_indices();
    let Some((_, first)) = chars.next() else { return text.len() };
    if first == '\r' {
        return start + 1;
    }
    let jamo = is_jamo(first);
    for (n, (at, c)) in chars.enumerate() {
        if n + 1 >= GROUP_LIMIT || !(composes_with_previous(c) || jamo && is_jamo(c)) {
            return start + at;
        }
    }
    text.len()
}

fn is_jamo(c: char) -> bool {
    matches!(c, 'ㄱ'..='ㅣ')
}

const INITIALS: &str = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ";
const FINALS: &str = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ";

fn place(list: &str, c: char) -> Option<u32> {
    list.chars().position(|l| l == c).and_then(|i| u32::try_from(i).ok())
}

/// Loose jamo as a keyboard without an input method leaves them ("ㄱㅗㅇ"), put together into syllables.
fn compose_jamo(group: &str) -> impl Iterator<Item = char> {
    let chars: Vec<char> = group.chars().collect();
    let mut out = Vec::with_capacity(chars.len());
    let at = |i: usize| chars.get(i).copied();
    let vowel = |i: usize| at(i).filter(|c| matches!(c, 'ㅏ'..='ㅣ')).map(|c| u32::from(c) - u32::from('ㅏ'));
    // "ㅇㅣㅇ" is how 010 is written by eye.
    let figures = !chars.is_empty() && chars.iter().all(|c| matches!(c, 'ㅇ' | 'ㅣ'));
    let mut i = 0;
    while let Some(c) = at(i).filter(|_| !figures) {
        let syllable = place(INITIALS, c).zip(vowel(i + 1)).map(|(initial, v)| {
            let last = at(i + 2).and_then(|c| place(FINALS, c)).filter(|_| vowel(i + 3).is_none());
            (0xAC00 + (initial * 21 + v) * 28 + last.map_or(0, |l| l + 1), 2 + usize::from(last.is_some()))
        });
        match syllable.and_then(|(code, used)| Some((char::from_u32(code)?, used))) {
            Some((composed, used)) => {
                out.push(composed);
                i += used;
            }
            None => {
                out.push(c);
                i += 1;
            }
        }
    }
    if figures {
        // As letters of another script, since NFKC would put the jamo together.
        out = chars.iter().map(|c| if *c == 'ㅇ' { 'O' } else { 'I' }).collect();
    }
    out.into_iter()
}

/// The character that detection sees for one of NFKC; `None` for one that shows nothing.
fn fold(c: char) -> Option<char> {
    match c {
        ' '..='~' | '\n' | '\t' | '\r' | '가'..='힣' => return Some(c),
        '\u{1173}' => return Some('-'),
        _ => {}
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
                | '\u{301C}'
                | '\u{3030}'
                | '\u{02D7}'
                | '\u{058A}'
                | '\u{05BE}'
                | '\u{1806}'
                | '\u{2E3A}'
                | '\u{2E3B}'
                | '\u{AF}'
                | '\u{02C9}'
                | '\u{2053}'
                | '\u{223C}'
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

/// Digits in rings and of counting rods' kin, from one to nine, that NFKC leaves alone: ❶ ➀ ➊ ⓵ 〡.
const RINGED_ONES: [u32; 5] = [0x24F5, 0x2776, 0x2780, 0x278A, 0x3021];

fn decimal_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    if code < 0x660 {
        return None;
    }
    if matches!(c, '\u{24FF}' | '\u{1F10B}' | '\u{1F10C}') {
        return Some('0');
    }
    if let Some(one) = RINGED_ONES.iter().find(|one| (**one..**one + 9).contains(&code)) {
        return char::from_digit(code - one + 1, 10);
    }
    let below = DIGIT_ZEROS.partition_point(|&zero| zero <= code);
    let zero = DIGIT_ZEROS.get(below.checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> String {
        normalise(&View::of(text)).text().to_string()
    }

    #[test]
    fn folds_width_dashes_digits_and_drops_the_invisible() {
        assert_eq!(normal("９００１０１－１９"), "900101-19");
        assert_eq!(normal("9\u{200B}0\u{FE0F}\u{20E3}0–1"), "900-1");
        assert_eq!(normal("٠١٢ ०१ ❶➒⓿"), "012 01 190");
        assert_eq!(normal("한\u{1112}\u{1161}\u{11AB}"), "한한");
        assert_eq!(normal("a\u{3000}b\u{2028}c\r\nd\re"), "a b\nc\nd\ne");
        assert_eq!(normal("ㄱㅗㅇ ㅇㅣㄹㄱㅜ"), "공 일구");
        assert_eq!(normal("「법」 제1조 · ‘가’"), "「법」 제1조 · ‘가’");
    }

    #[test]
    fn a_composed_character_covers_its_parts() {
        let source = View::of("x\u{1112}\u{1161}\u{11AB}y");
        let view = normalise(&source);
        assert_eq!(view.text(), "x한y");
        assert_eq!(view.original(1..4), 1..10);
    }

    #[test]
    fn zeros_are_sorted_for_the_search() {
        assert!(DIGIT_ZEROS.windows(2).all(|w| w[0] + 10 <= w[1]));
    }

    proptest! {
        #[test]
        fn ranges_stay_inside_and_in_order(text in any::<String>()) {
            let source = View::of(&text);
            let view = normalise(&source);
            let mut last = 0..0;
            for (at, c) in view.text().char_indices() {
                let range = view.original(at..at + c.len_utf8());
                prop_assert!(range.start < range.end && range.end <= text.len());
                prop_assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
                prop_assert!(last.start <= range.start && last.end <= range.end);
                last = range;
            }
        }

        #[test]
        fn what_is_inert_is_its_own_normal_form(c in any::<char>(), before in any::<char>()) {
            if is_inert(c) && is_inert(before) {
                let pair: String = [before, c].iter().collect();
                // The dot of Korean lists (ㆍ) has another normal form, which is a separator as much as it is.
                prop_assert!(pair.contains('ㆍ') || pair.nfkc().eq(pair.chars()));
            }
        }
    }
}

//! Figures in text by their value: "1억 2천만 원", "120,000천원" and "120백만 원" are the same amount, "63억" and "63백만"
//! are not.

use madang_korean::normalise;

/// Figures of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures(Vec<Figure>);

/// A figure as written, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub written: String,
    /// The value with the scales behind it.
    value: f64,
}

impl Figures {
    /// Reads all figures; dates come as their year, month and day.
    pub fn of(text: &str) -> Self {
        let chars: Vec<char> = normalise(text).chars().collect();
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(c) = chars.get(at) {
            if !c.is_ascii_digit() {
                at += 1;
                continue;
            }
            let (figure, next) = read(&chars, at);
            let year = at > 0 && matches!(chars.get(at - 1), Some('\'' | '‘' | '’')) && figure.value < 100.0;
            if year {
                out.push(Figure { value: 2000.0 + figure.value, ..figure.clone() });
            } else {
                out.push(figure);
            }
            at = next.max(at + 1);
        }
        Self(out)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Does a figure of this value stand here?
    pub fn hold(&self, figure: &Figure) -> bool {
        self.0.iter().any(|f| same(f.value, figure.value))
    }

    /// Those of `self` that stand in none of `sources`.
    pub fn missing<'a>(&'a self, sources: &[&Figures]) -> Vec<&'a Figure> {
        self.0.iter().filter(|f| !sources.iter().any(|s| s.hold(f))).collect()
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Reads one figure with its scales from `at`, a digit; returns where the text goes on.
fn read(chars: &[char], at: usize) -> (Figure, usize) {
    // "제10조 제2항": an ordinal has no scale.
    if at > 0 && chars.get(at - 1) == Some(&'제') {
        let (value, end) = number(chars, at).unwrap_or((0.0, at + 1));
        return (Figure { written: chars.get(at..end).unwrap_or_default().iter().collect(), value }, end);
    }
    let (mut total, mut next) = (0.0, at);
    let mut last_big = f64::INFINITY;
    let mut end = at;
    while let Some((group, behind_group)) = group(chars, next) {
        let (big, behind_big) = scales(chars, behind_group, big_scale);
        // "1억 2천만": parts follow each other only downwards, from a part that had a big scale.
        if end > at && big >= last_big {
            break;
        }
        total += group * big;
        end = behind_big;
        if big <= 1.0 {
            break;
        }
        last_big = big;
        next = if chars.get(end) == Some(&' ') { end + 1 } else { end };
    }
    let written: String = chars.get(at..end).unwrap_or_default().iter().collect();
    (Figure { written: written.trim().to_owned(), value: total }, end)
}

/// What stands before a big scale: "63", "2천", "6천3백".
fn group(chars: &[char], at: usize) -> Option<(f64, usize)> {
    let (first, behind) = number(chars, at)?;
    let (mut small, mut end) = scales(chars, behind, small_scale);
    let mut total = first * small;
    while small > 1.0 {
        let Some((next, behind)) = number(chars, end) else { break };
        let (smaller, behind) = scales(chars, behind, small_scale);
        if smaller >= small {
            break;
        }
        total += next * smaller;
        (small, end) = (smaller, behind);
    }
    Some((total, end))
}

/// Digits with groups of three behind commas and one decimal point.
fn number(chars: &[char], at: usize) -> Option<(f64, usize)> {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    if !digit(at) {
        return None;
    }
    let mut text = String::new();
    let mut i = at;
    let mut point = false;
    while let Some(c) = chars.get(i) {
        match c {
            c if c.is_ascii_digit() => text.push(*c),
            ',' if !point && (1..=3).all(|k| digit(i + k)) && !digit(i + 4) => {}
            // "3.5" is a decimal, "2026.3.5" and "3. 5" are dates.
            '.' if !point && digit(i + 1) && !text.is_empty() && !date_like(chars, at, i) => {
                point = true;
                text.push('.');
            }
            _ => break,
        }
        i += 1;
    }
    // More digits than a value holds exactly are an identifier, compared as far as they reach.
    text.parse().ok().map(|value| (value, i))
}

/// Is the full stop at `i` one of "2026.3.5" rather than a decimal point?
fn date_like(chars: &[char], start: usize, i: usize) -> bool {
    let mut j = i + 1;
    while chars.get(j).is_some_and(char::is_ascii_digit) {
        j += 1;
    }
    let another = chars.get(j) == Some(&'.');
    let behind =
        start > 1 && chars.get(start - 1) == Some(&'.') && chars.get(start - 2).is_some_and(char::is_ascii_digit);
    another || behind
}

/// The product of the scales that follow, and where they end.
fn scales(chars: &[char], mut at: usize, scale: fn(&[char]) -> Option<(f64, usize)>) -> (f64, usize) {
    let mut product = 1.0;
    loop {
        let skip = usize::from(chars.get(at) == Some(&' '));
        let found = chars.get(at..).and_then(scale).map(|f| (f, 0));
        // A space may stand before a scale only where it is a word of its own: "21 백만", "3 million".
        let found = found.or_else(|| (skip > 0).then(|| chars.get(at + 1..).and_then(scale).map(|f| (f, 1))).flatten());
        let Some(((value, length), space)) = found else { return (product, at) };
        product *= value;
        at += length + space;
    }
}

fn small_scale(rest: &[char]) -> Option<(f64, usize)> {
    let value = match rest.first()? {
        '천' | '千' => 1e3,
        '백' | '百' => 1e2,
        _ => return None,
    };
    // "백석동", "천안": a scale is followed by another scale, a unit of money or the end of the word.
    let behind = rest.get(1);
    let counts = behind.is_none_or(|c| {
        matches!(c, '만' | '억' | '조' | '원' | '명' | '개' | '건' | '万' | '億' | '元')
            || "백천".contains(*c)
            || !c.is_alphabetic()
    });
    counts.then_some((value, 1))
}

fn big_scale(rest: &[char]) -> Option<(f64, usize)> {
    const WORDS: [(&str, f64); 4] = [("thousand", 1e3), ("million", 1e6), ("billion", 1e9), ("trillion", 1e12)];
    match rest.first()? {
        '만' | '万' | '萬' => Some((1e4, 1)),
        '억' | '億' => Some((1e8, 1)),
        // "8조" of a law is an article.
        '조' | '兆' if rest.iter().skip(1).find(|c| **c != ' ').is_some_and(|c| *c == '원' || c.is_ascii_digit()) => {
            Some((1e12, 1))
        }
        _ => WORDS
            .iter()
            .find(|(w, _)| rest.iter().take(w.len()).copied().eq(w.chars()))
            .map(|(w, value)| (*value, w.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<f64> {
        Figures::of(text).0.iter().map(|f| f.value).collect()
    }

    #[test]
    fn amounts_by_their_value() {
        for (text, value) in [
            ("63백만 원", 63e6),
            ("63,000천원", 63e6),
            ("6천3백만 원", 63e6),
            ("1억 2천만 원", 1.2e8),
            ("120,000,000원", 1.2e8),
            ("3.5%", 3.5),
            ("1,234", 1234.0),
            ("2조 원", 2e12),
            ("300 million won", 3e8),
            ("21 백만 원", 21e6),
        ] {
            assert_eq!(values(text), [value], "{text}");
        }
        assert_eq!(values("2026. 3. 5."), [2026.0, 3.0, 5.0]);
        assert_eq!(values("2026.3.5. '26년"), [2026.0, 3.0, 5.0, 2026.0]);
        assert_eq!(values("제10조 제2항"), [10.0, 2.0]);
        assert_eq!(values("50개소, 3백석동"), [50.0, 3.0]);
    }

    #[test]
    fn another_scale_is_another_figure() {
        let source = Figures::of("운영비 63백만 원(시비), 2026. 3.~11.");
        let missing =
            |text: &str| Figures::of(text).missing(&[&source]).iter().map(|f| f.written.clone()).collect::<Vec<_>>();
        assert!(missing("2026년 3월부터 6,300만 원").is_empty());
        assert_eq!(missing("2026년 4월부터 63억 원"), ["4", "63억"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_holds_its_own_figures(text in "[0-9,.억만천백조원 a'%-]{0,40}") {
            let figures = Figures::of(&text);
            prop_assert!(figures.missing(&[&figures]).is_empty());
        }

        #[test]
        fn grouping_does_not_matter(n in 1u64..1_000_000_000_000) {
            let digits: Vec<char> = n.to_string().chars().rev().collect();
            let grouped: String = digits.chunks(3).map(|c| c.iter().collect::<String>()).collect::<Vec<_>>().join(",").chars().rev().collect();
            prop_assert_eq!(values(&grouped), values(&n.to_string()));
        }
    }
}

//! Runs of digits with the separators between them, in two readings: as written, and with letters and Korean
//! numerals that stand for digits read as digits. What the digits mean is in `numbers`.

use crate::view::View;

/// Separators allowed between two digits of one run.
const MAX_SEPARATORS: usize = 3;
/// A run is read with look-alike letters and Korean numerals only when it is at least this long.
const MIN_FOLDED: usize = 6;
/// … and at least so many of its digits are not look-alike letters.
const MIN_CERTAIN: usize = 3;

/// What stands between a digit and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing: the digits adjoin.
    None,
    /// A single dash.
    Dash,
    /// A single blank.
    Blank,
    /// Something else, up to three separators.
    Other,
    /// Too much: a new run begins here.
    Break,
}

/// One digit of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digit {
    pub value: u8,
    /// Character position in the view.
    pub at: usize,
    /// Read from a letter or a Korean numeral.
    pub soft: bool,
    /// Look-alike Latin letter.
    letter: bool,
    /// What stands before it.
    pub gap: Gap,
}

/// Value of a character read as a digit, and whether it is a look-alike letter.
fn soft_value(c: char) -> Option<(u8, bool)> {
    let value = match c {
        'O' | 'o' | 'О' | 'о' | 'Ο' | 'ο' => return Some((0, true)),
        'l' | 'I' | 'i' | 'ı' | 'І' | 'Ι' => return Some((1, true)),
        '공' | '영' | '〇' | '零' => 0,
        '일' | '一' | '壹' => 1,
        '이' | '二' | '貳' => 2,
        '삼' | '三' | '參' => 3,
        '사' | '四' => 4,
        '오' | '五' => 5,
        '육' | '륙' | '六' => 6,
        '칠' | '七' => 7,
        '팔' | '八' => 8,
        '구' | '九' => 9,
        _ => return None,
    };
    Some((value, false))
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '/' | '_' | '~' | '(' | ')' | '\u{B7}' | '\u{2022}' | '\u{30FB}' | '\u{119E}')
}

/// A spoken dash ("다시", "대시", "에") at `i`: its length in characters.
fn spoken_dash(view: &View, i: usize) -> Option<usize> {
    match (view.get(i)?, view.get(i + 1)) {
        ('다' | '대', Some('시')) => Some(2),
        ('에', _) => Some(1),
        _ => None,
    }
}

/// Every digit of the view in order; [`Gap::Break`] marks the first of each run.
pub(crate) fn read(view: &View) -> Vec<Digit> {
    collect(view, false)
}

/// The runs that hold letters or Korean numerals read as digits, long enough to be a number.
pub(crate) fn read_folded(view: &View) -> Vec<Digit> {
    let all = collect(view, true);
    let mut kept = Vec::new();
    for run in runs(&all) {
        let certain = run.iter().filter(|d| !d.letter).count();
        if run.len() >= MIN_FOLDED && certain >= MIN_CERTAIN && run.iter().any(|d| d.soft) {
            kept.extend_from_slice(run);
        }
    }
    kept
}

/// Splits digits into their runs.
pub(crate) fn runs(digits: &[Digit]) -> impl Iterator<Item = &[Digit]> {
    digits.chunk_by(|_, next| next.gap != Gap::Break)
}

fn collect(view: &View, fold: bool) -> Vec<Digit> {
    let mut out: Vec<Digit> = Vec::new();
    let (mut i, mut separators, mut last) = (0, 0usize, None);
    while let Some(c) = view.get(i) {
        let hard = c.to_digit(10).and_then(|v| u8::try_from(v).ok());
        let read = hard.map(|v| (v, false)).or_else(|| fold.then(|| soft_value(c)).flatten());
        let mut step = 1;
        if let Some((value, letter)) = read {
            let gap = match (out.is_empty() || separators > MAX_SEPARATORS, separators, last) {
                (true, ..) => Gap::Break,
                (_, 0, _) => Gap::None,
                (_, 1, Some('-')) => Gap::Dash,
                (_, 1, Some(' ')) => Gap::Blank,
                _ => Gap::Other,
            };
            out.push(Digit { value, at: i, soft: hard.is_none(), letter, gap });
            separators = 0;
        } else if is_separator(c) {
            separators += 1;
        } else if let Some(length) = fold.then(|| spoken_dash(view, i)).flatten() {
            separators += 1;
            step = length;
        } else {
            separators = MAX_SEPARATORS + 1;
        }
        last = Some(c);
        i += step;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        read_folded(&View::of(text).normalised()).iter().map(|d| char::from(b'0' + d.value)).collect()
    }

    #[test]
    fn reads_letters_and_korean_numerals_in_long_runs_only() {
        assert_eq!(folded("9OO1O1-197OOOO"), "9001011970000");
        assert_eq!(folded("구공공일공일 다시 일구칠공공공공"), "9001011970000");
        assert_eq!(folded("이 사업은 오늘 공고"), "");
        assert_eq!(folded("OlOlOlOl"), "");
    }

    #[test]
    fn four_separators_break_a_run() {
        let digits = read(&View::of("1 - 2----3"));
        assert_eq!(digits.iter().map(|d| d.gap).collect::<Vec<_>>(), [Gap::Break, Gap::Other, Gap::Break]);
    }
}

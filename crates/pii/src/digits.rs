//! Runs of digits with the separators between them, in two readings: as written, and with letters, Korean numerals and
//! spelt-out digits read as digits. What the digits mean is in `numbers`.

use crate::tokens;
use std::ops::Range;
use std::sync::LazyLock;

/// Separators allowed between two digits of one run; white space of any length is one.
const MAX_SEPARATORS: u8 = 3;
/// White space longer than this is a column, or another page.
const MAX_BLANKS: u8 = 12;
/// A run is read with look-alike letters and Korean numerals only when it is at least this long.
const MIN_FOLDED: usize = 6;
/// … and at least so many of its digits are not look-alike letters.
const MIN_CERTAIN: usize = 3;
/// Korean numerals without a digit among them are kept from this length on.
const MIN_SPOKEN: usize = 2;

/// What stands between a digit and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Gap {
    /// How many separators.
    pub count: u8,
    flags: u8,
}

impl Gap {
    const DASH: u8 = 1;
    const BLANK: u8 = 2;
    const MARK: u8 = 4;
    const CELL: u8 = 8;
    const STRANGE: u8 = 16;
    const SPOKEN: u8 = 32;
    const PLUS: u8 = 64;
    const BREAK: u8 = 128;

    /// Nothing: the digits adjoin.
    pub fn is_none(self) -> bool {
        self.count == 0 && self.flags == 0
    }

    /// Too much: a new run begins here.
    pub fn is_break(self) -> bool {
        self.flags & Self::BREAK != 0
    }

    /// A single dash.
    pub fn is_dash(self) -> bool {
        self.count == 1 && self.flags == Self::DASH
    }

    /// White space alone.
    pub fn is_blank(self) -> bool {
        self.flags == Self::BLANK
    }

    pub fn has_dash(self) -> bool {
        self.flags & Self::DASH != 0
    }

    /// What divides the cells of a table: comma, bar, tab, a wide blank.
    pub fn is_cell(self) -> bool {
        self.flags & Self::CELL != 0
    }

    /// Signs that seldom stand inside a number: colon, quotes, pictures.
    pub fn is_strange(self) -> bool {
        self.flags & Self::STRANGE != 0
    }

    pub fn has_plus(self) -> bool {
        self.flags & Self::PLUS != 0
    }

    fn is_spoken(self) -> bool {
        self.flags & Self::SPOKEN != 0
    }
}

/// One digit of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digit {
    pub value: u8,
    /// First byte in the view.
    pub at: usize,
    /// Length in bytes.
    length: u8,
    pub sort: Sort,
    /// What stands before it.
    pub gap: Gap,
}

/// How a digit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// As a digit.
    Hard,
    /// As a Korean numeral or word.
    Numeral,
    /// As a letter that looks like 0 or 1.
    Letter,
    /// As a letter that resembles another digit (S for 5).
    Doubtful,
}

impl Digit {
    /// Byte after it.
    pub fn end(&self) -> usize {
        self.at + usize::from(self.length)
    }

    pub fn soft(&self) -> bool {
        self.sort != Sort::Hard
    }
}

/// What a character is to a run of digits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    Digit(u8, Sort),
    /// First syllable of a word for a digit or a dash; see [`word`].
    Word,
    Separator(u8),
    /// The end of a line: white space, and the indent behind it is no column.
    Line,
    /// `>`: a separator, or part of a line break in a quoted letter.
    Quote,
    Bracket,
}

const ASCII: [Class; 128] = ascii_classes();

const fn ascii_classes() -> [Class; 128] {
    let mut table = [Class::Other; 128];
    let mut i = 0;
    while i < 128 {
        table[i] = match i as u8 {
            d @ b'0'..=b'9' => Class::Digit(d - b'0', Sort::Hard),
            b'O' | b'o' => Class::Digit(0, Sort::Letter),
            b'l' | b'I' | b'i' => Class::Digit(1, Sort::Letter),
            b'Z' | b'z' => Class::Digit(2, Sort::Doubtful),
            b'S' => Class::Digit(5, Sort::Doubtful),
            b'b' => Class::Digit(6, Sort::Doubtful),
            b'B' => Class::Digit(8, Sort::Doubtful),
            b'g' | b'q' => Class::Digit(9, Sort::Doubtful),
            b' ' => Class::Separator(Gap::BLANK),
            b'\n' => Class::Line,
            b'\t' | b',' | b'|' => Class::Separator(Gap::CELL),
            b'-' => Class::Separator(Gap::DASH),
            b'[' => Class::Bracket,
            b'>' => Class::Quote,
            b'.' | b'/' | b'_' | b'~' | b'(' | b')' | b']' | b'{' | b'}' | b'<' | b'*' | b'#' | b'=' | b'^' | b'\\' => {
                Class::Separator(Gap::MARK)
            }
            b':' | b';' | b'\'' | b'"' | b'`' | b'!' | b'?' | b'@' | b'&' | b'%' | b'$' => {
                Class::Separator(Gap::STRANGE)
            }
            b'+' => Class::Separator(Gap::PLUS),
            _ => Class::Other,
        };
        i += 1;
    }
    table
}

/// Code in [`SYLLABLES`] of a syllable that is nothing to a run.
const PLAIN: u8 = 0;
/// … of one that a word may begin with; a numeral is its value and [`NUMERAL`].
const WORD: u8 = 1;
const NUMERAL: u8 = 16;

/// Codes of the syllables 가 to 힣, a byte each so that they stay in the fastest cache.
static SYLLABLES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut table = vec![PLAIN; 0xD7A4 - 0xAC00];
    let numerals = ["공영", "일", "이", "삼", "사", "오", "육륙", "칠", "팔", "구"];
    let mut set = |c: char, code| {
        if let Some(slot) = usize::try_from(u32::from(c) - 0xAC00).ok().and_then(|i| table.get_mut(i)) {
            *slot = code;
        }
    };
    WORDS.iter().filter_map(|(word, _)| word.chars().next()).for_each(|c| set(c, WORD));
    // "일곱" begins with a numeral, which stays one.
    for (value, syllables) in (0u8..).zip(numerals) {
        syllables.chars().for_each(|c| set(c, NUMERAL + value));
    }
    table
});

fn decoded(code: u8) -> Class {
    match code {
        PLAIN => Class::Other,
        WORD => Class::Word,
        numeral => Class::Digit(numeral - NUMERAL, Sort::Numeral),
    }
}

/// Words for digits and for the dash between them; `None` is a dash. Those that begin with a numeral are tried first.
const WORDS: [(&str, Option<u8>); 17] = [
    ("다시", None),
    ("빼기", None),
    ("그리고", None),
    ("대시", None),
    ("하이픈", None),
    ("에", None),
    ("하나", Some(1)),
    ("둘", Some(2)),
    ("셋", Some(3)),
    ("넷", Some(4)),
    ("다섯", Some(5)),
    ("여섯", Some(6)),
    ("일곱", Some(7)),
    ("여덟", Some(8)),
    ("아홉", Some(9)),
    ("제로", Some(0)),
    ("빵", Some(0)),
];

fn word(rest: &str) -> Option<(usize, Option<u8>)> {
    WORDS.iter().find(|(word, _)| rest.starts_with(word)).map(|(word, value)| (word.len(), *value))
}

fn class(c: char) -> Class {
    let code = u32::from(c);
    if let Some(class) = usize::try_from(code).ok().and_then(|i| ASCII.get(i)) {
        return *class;
    }
    if let Some(class) = code.checked_sub(0xAC00).and_then(|i| SYLLABLES.get(i as usize)) {
        return decoded(*class);
    }
    match c {
        'О' | 'о' | 'Ο' | 'ο' | 'ø' | 'Ø' | '\u{110B}' => Class::Digit(0, Sort::Letter),
        'ı' | 'І' | 'і' | 'Ι' | '\u{1175}' | 'ǀ' | '∣' => Class::Digit(1, Sort::Letter),
        '〇' | '零' => Class::Digit(0, Sort::Numeral),
        '一' | '壹' | '壱' => Class::Digit(1, Sort::Numeral),
        '二' | '貳' | '弐' => Class::Digit(2, Sort::Numeral),
        '三' | '參' | '参' => Class::Digit(3, Sort::Numeral),
        '四' => Class::Digit(4, Sort::Numeral),
        '五' => Class::Digit(5, Sort::Numeral),
        '六' => Class::Digit(6, Sort::Numeral),
        '七' => Class::Digit(7, Sort::Numeral),
        '八' => Class::Digit(8, Sort::Numeral),
        '九' => Class::Digit(9, Sort::Numeral),
        '·' | '•' | '・' | 'ᆞ' | 'ㆍ' | '∙' | '⋅' | '、' | '。' => Class::Separator(Gap::MARK),
        // Circles and boxes stand for what was taken out: "010-○○○○-1234".
        '○' | '●' | '◯' | '□' | '■' | '◎' | '◇' | '△' | '☆' | '★' | '\u{FFFD}' => Class::Other,
        '\u{2010}'..='\u{206F}' | '\u{2190}'..='\u{2BFF}' | '\u{3003}'..='\u{303F}' | '\u{1F000}'..='\u{1FAFF}' => {
            Class::Separator(Gap::STRANGE)
        }
        _ => Class::Other,
    }
}

/// The digits of a text, with its runs.
pub(crate) struct Digits {
    pub all: Vec<Digit>,
    pub runs: Vec<Run>,
}

/// Digits that separators alone divide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    places: Range<usize>,
    /// Letters, numerals or spoken dashes are among them.
    pub mixed: bool,
}

impl Digits {
    pub fn run(&self, run: &Run) -> &[Digit] {
        self.all.get(run.places.clone()).unwrap_or_default()
    }

    /// The runs as written: those of digits alone, cut at letters, numerals and spoken dashes.
    pub fn written(&self) -> impl Iterator<Item = &[Digit]> {
        let pieces = self.runs.iter().flat_map(|run| {
            let mixed = run.mixed;
            self.run(run).chunk_by(move |a, b| !mixed || !a.soft() && !b.soft() && !b.gap.is_spoken())
        });
        pieces.filter(|piece| piece.first().is_some_and(|d| !d.soft()))
    }

    /// The runs that hold letters or Korean numerals read as digits, long enough to be a number.
    pub fn folded(&self) -> impl Iterator<Item = &[Digit]> {
        self.runs.iter().filter(|run| run.mixed).map(|run| self.run(run)).filter(|run| {
            let certain = run.iter().filter(|d| matches!(d.sort, Sort::Hard | Sort::Numeral)).count();
            run.len() >= MIN_FOLDED && certain >= MIN_CERTAIN
        })
    }
}

/// Reads the digits of `text`.
pub(crate) fn read(text: &str) -> Digits {
    let mut reader = Reader::default();
    let (bytes, syllables) = (text.as_bytes(), SYLLABLES.as_slice());
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        if let Some(class) = ASCII.get(usize::from(first)) {
            at = reader.take(text, at, *class, 1);
            continue;
        }
        // Nearly every character of Korean prose leaves here.
        if let (0xEA..=0xED, Some(&[second, third])) = (first, bytes.get(at + 1..).and_then(|rest| rest.first_chunk()))
            && let Some(i) = syllable(first, second, third)
        {
            at = match syllables.get(i).copied().unwrap_or(PLAIN) {
                PLAIN => {
                    reader.interrupt();
                    at + 3
                }
                code => reader.take(text, at, decoded(code), 3),
            };
            continue;
        }
        let c = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(char::REPLACEMENT_CHARACTER);
        at = reader.take(text, at, class(c), c.len_utf8());
    }
    reader.finish()
}

/// Place among 가 to 힣 of a character of three bytes.
fn syllable(first: u8, second: u8, third: u8) -> Option<usize> {
    let code = usize::from(first & 0xF) << 12 | usize::from(second & 0x3F) << 6 | usize::from(third & 0x3F);
    code.checked_sub(0xAC00)
}

#[derive(Default)]
struct Reader {
    all: Vec<Digit>,
    runs: Vec<Run>,
    /// First digit of the run under way.
    start: usize,
    open: bool,
    gap: Gap,
    blanks: u8,
    /// A line ended since the last digit.
    wrapped: bool,
}

impl Reader {
    /// Takes the character of `length` bytes at `at`; returns where the next one begins.
    #[inline]
    fn take(&mut self, text: &str, at: usize, class: Class, length: usize) -> usize {
        match class {
            Class::Other => self.interrupt(),
            Class::Digit(value, Sort::Numeral) => {
                return at + self.spoken(text.get(at..).unwrap_or_default(), at, Some(value), length);
            }
            Class::Word => return at + self.spoken(text.get(at..).unwrap_or_default(), at, None, length),
            Class::Digit(value, sort) => self.digit(value, at..at + length, sort),
            Class::Separator(flags) => self.separate(flags),
            Class::Line => {
                self.wrapped = self.open;
                self.separate(Gap::BLANK);
            }
            Class::Quote => self.separate(if self.blanks > 0 { Gap::BLANK } else { Gap::MARK }),
            Class::Bracket => match tokens::token_end(text, at) {
                Some(end) => {
                    self.interrupt();
                    return end;
                }
                None => self.separate(Gap::MARK),
            },
        }
        at + length
    }

    fn digit(&mut self, value: u8, place: Range<usize>, sort: Sort) {
        let mut gap = self.gap;
        if !self.open || gap.count > MAX_SEPARATORS {
            self.close();
            self.open = true;
            gap = Gap { count: 0, flags: Gap::BREAK };
        }
        let length = u8::try_from(place.len()).unwrap_or(u8::MAX);
        self.all.push(Digit { value, at: place.start, length, sort, gap });
        (self.gap, self.blanks, self.wrapped) = (Gap::default(), 0, false);
    }

    fn separate(&mut self, flags: u8) {
        if !self.open {
            return;
        }
        if flags == Gap::BLANK && self.blanks > 0 {
            self.blanks += 1;
            // Many blanks are a column of a table as often as not.
            if self.blanks > MAX_SEPARATORS && !self.wrapped {
                self.gap.flags |= Gap::CELL;
            }
            if self.blanks > MAX_BLANKS {
                self.interrupt();
            }
            return;
        }
        self.blanks = u8::from(flags == Gap::BLANK);
        self.gap.flags |= flags;
        self.gap.count += 1;
        if self.gap.count > MAX_SEPARATORS {
            self.interrupt();
        }
    }

    fn interrupt(&mut self) {
        if self.open {
            self.close();
        }
    }

    /// A numeral or a word for a digit or a dash at the head of `rest`; returns the bytes used.
    fn spoken(&mut self, rest: &str, at: usize, numeral: Option<u8>, length: usize) -> usize {
        // "일곱" begins with "일".
        match word(rest).or(numeral.map(|value| (length, Some(value)))) {
            Some((used, Some(value))) => {
                self.digit(value, at..at + used, Sort::Numeral);
                used
            }
            Some((used, None)) => {
                self.separate(Gap::SPOKEN);
                used
            }
            None => {
                self.interrupt();
                length
            }
        }
    }

    /// Ends the run under way and drops it where it cannot be part of anything.
    fn close(&mut self) {
        let run = self.all.get(self.start..).unwrap_or_default();
        let numerals = run.iter().filter(|d| d.sort == Sort::Numeral).count();
        if run.iter().any(|d| !d.soft()) || numerals >= MIN_SPOKEN {
            let mixed = run.iter().any(|d| d.soft() || d.gap.is_spoken());
            self.runs.push(Run { places: self.start..self.all.len(), mixed });
        } else {
            self.all.truncate(self.start);
        }
        self.start = self.all.len();
        self.open = false;
        (self.gap, self.blanks, self.wrapped) = (Gap::default(), 0, false);
    }

    fn finish(mut self) -> Digits {
        self.interrupt();
        Digits { all: self.all, runs: self.runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        read(text).folded().flatten().map(|d| char::from(b'0' + d.value)).collect()
    }

    #[test]
    fn reads_letters_and_korean_numerals_in_long_runs_only() {
        assert_eq!(folded("9OO1O1-197OOOO"), "9001011970000");
        assert_eq!(folded("구공공일공일 다시 일구칠공공공공"), "9001011970000");
        assert_eq!(folded("아홉공공하나공하나 일곱여덟"), "90010178");
        assert_eq!(folded("이 사업은 오늘 공고"), "");
        assert_eq!(folded("OlOlOlOl"), "");
    }

    #[test]
    fn four_separators_break_a_run_and_white_space_is_one() {
        let runs = |text| read(text).runs.len();
        assert_eq!(runs("1 - 2----3"), 2);
        assert_eq!(runs("1-\n     2"), 1);
        assert_eq!(runs("1                  2"), 2);
        assert_eq!(runs("1○2"), 2);
    }

    #[test]
    fn tokens_are_no_digits() {
        assert!(read("[전화번호-12]").runs.is_empty());
        assert_eq!(read("[제2조-12]").runs.len(), 2);
    }
}

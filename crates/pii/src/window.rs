//! Digits from one start inside a run, and what a matcher of numbers asks about them. The matchers are in
//! `registration`, `numbers` and `phones`.

use crate::digits::{Digit, Gap, Sort};
use crate::kind::Kind;
use crate::labels::Label;
use crate::text::Text;
use std::ops::{Deref, Range};

/// An identifier at bytes of a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub kind: Kind,
    pub range: Range<usize>,
    /// 0 to 1.
    pub confidence: f32,
}

/// Longest identifier, with country code.
pub(crate) const LONGEST: usize = 16;
/// Digits beside a number that is alone.
const MAX_BESIDE: usize = 2;
/// How far a label reaches, in characters.
pub(crate) const LABEL_REACH: usize = 30;

/// The values of up to [`LONGEST`] digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    digits: [u8; LONGEST],
    count: usize,
}

impl Deref for Values {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

/// Digits from one start inside a run.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub run: &'a [Digit],
    pub start: usize,
    pub text: &'a Text<'a>,
}

/// Gap positions as bits: bit `k` stands for a gap before digit `k`.
pub(crate) const fn gaps_at(positions: &[u32]) -> u32 {
    let (mut mask, mut i) = (0, 0);
    while i < positions.len() {
        mask |= 1 << positions[i];
        i += 1;
    }
    mask
}

impl<'a> Window<'a> {
    pub fn digit(&self, offset: usize) -> Option<&'a Digit> {
        self.run.get(self.start + offset)
    }

    fn previous(&self) -> Option<&'a Digit> {
        self.run.get(self.start.checked_sub(1)?)
    }

    /// A number may begin here: no digit adjoins on the left.
    pub fn opens(&self) -> bool {
        let Some(first) = self.digit(0) else { return false };
        self.start == 0 || !first.gap.is_none() || first.soft() || self.previous().is_some_and(Digit::soft)
    }

    /// The values of the next `n` digits, where a number of that length may end: no digit adjoins on the right.
    pub fn values(&self, n: usize) -> Option<Values> {
        let digits = self.run.get(self.start..self.start + n)?;
        let ends = match (digits.last(), self.digit(n)) {
            (Some(last), Some(next)) => !next.gap.is_none() || next.soft() || last.soft(),
            _ => true,
        };
        let mut values = Values { digits: [0; LONGEST], count: n.min(LONGEST) };
        values.digits.iter_mut().zip(digits).for_each(|(value, digit)| *value = digit.value);
        ends.then_some(values)
    }

    /// The gaps inside the first `n` digits.
    pub fn inner_gaps(&self, n: usize) -> impl Iterator<Item = Gap> {
        self.run.get(self.start..self.start + n).unwrap_or_default().iter().skip(1).map(|d| d.gap)
    }

    /// Gaps inside the first `n` digits, as bits.
    pub fn gaps(&self, n: usize) -> u32 {
        (1..n).filter(|&k| self.digit(k).is_some_and(|d| !d.gap.is_none())).fold(0, |mask, k| mask | 1 << k)
    }

    /// Gaps stand nowhere but at `allowed`, or between all digits.
    pub fn shaped(&self, n: usize, allowed: u32) -> bool {
        self.gaps(n) & !allowed == 0 || self.spaced(n)
    }

    /// Gaps stand between all of the first `n` digits.
    pub fn spaced(&self, n: usize) -> bool {
        self.gaps(n).count_ones() as usize == n - 1
    }

    /// A cell of a table ends somewhere inside; numerals spelt out with commas between are no table.
    pub fn in_cells(&self, n: usize) -> bool {
        self.inner_gaps(n).any(|g| g.is_cell()) && !(self.spaced(n) && self.of_sort(n, Sort::Numeral) == n)
    }

    /// What follows the first `n` digits is what they count: won, square metres, pieces.
    pub fn is_an_amount(&self, n: usize) -> bool {
        let after = self.text.str().get(self.end(n)..).unwrap_or_default();
        let after = after.strip_prefix(' ').unwrap_or(after);
        ["원", "천원", "만원", "백만", "억", "㎡", "명", "건", "개", "톤", "kWh", "KRW"].iter().any(|unit| {
            after.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(['장', '본', '인', '단', '의', '별']))
        })
    }

    pub fn of_sort(&self, n: usize, sort: Sort) -> usize {
        self.run.get(self.start..self.start + n).unwrap_or_default().iter().filter(|d| d.sort == sort).count()
    }

    /// How many of the first `n` digits were read from letters or Korean numerals.
    pub fn soft(&self, n: usize) -> usize {
        n - self.of_sort(n, Sort::Hard)
    }

    /// Letters that resemble other digits than 0 and 1 count only among many that are certain.
    pub fn believable(&self, n: usize) -> bool {
        let doubtful = self.of_sort(n, Sort::Doubtful);
        doubtful == 0 || self.of_sort(n, Sort::Hard) * 3 >= n * 2
    }

    /// The last `tail` of `n` digits are all look-alike zeros: what was taken out ("900101-1OOOOOO").
    pub fn redacted(&self, n: usize, tail: usize) -> bool {
        let last = self.run.get(self.start + n - tail.min(n)..self.start + n).unwrap_or_default();
        last.iter().all(|d| d.value == 0 && d.soft())
            && last.windows(2).all(|w| w.first().map(|d| d.sort) == w.last().map(|d| d.sort))
            && self.of_sort(n, Sort::Numeral) < n
    }

    /// A dash joins the first `n` digits to more digits: a part of a longer number.
    pub fn joined(&self, n: usize) -> bool {
        let dash = |d: Option<&Digit>| d.is_some_and(|d| d.gap.is_dash());
        dash(self.digit(0)) || dash(self.digit(n))
    }

    /// A dash and more digits follow the first `n`.
    pub fn goes_on(&self, n: usize) -> bool {
        self.digit(n).is_some_and(|d| d.gap.is_dash())
    }

    /// Nothing else is in the run but particles and endings that read as numerals ("…0000이고") and numbers of items.
    pub fn alone(&self, n: usize) -> bool {
        let rest = self.run.len().saturating_sub(n);
        // "1) 010-1234-5678 2) 미상"
        let item = |d: &Digit| {
            let before = self.text.slice(self.text.back(d.at, 2)..d.at);
            let listed = self.text.after(d.end()) == Some(')') && !before.ends_with('(');
            // "H-2", "F-6": a code of its own.
            listed || before.ends_with('-') && before.starts_with(|c: char| c.is_ascii_alphabetic())
        };
        let numerals =
            |digits: Option<&[Digit]>| digits.unwrap_or_default().iter().all(|d| d.sort == Sort::Numeral || item(d));
        rest <= MAX_BESIDE && numerals(self.run.get(..self.start)) && numerals(self.run.get(self.start + n..))
    }

    pub fn at(&self, offset: usize) -> usize {
        self.digit(offset).map_or(0, |d| d.at)
    }

    /// Byte after the first `n` digits.
    pub fn end(&self, n: usize) -> usize {
        n.checked_sub(1).and_then(|last| self.digit(last)).map_or(0, |d| d.end())
    }

    /// The nearest label before.
    pub fn label(&self, window: usize) -> Option<Label> {
        self.text.label_before(self.at(0), window)
    }

    /// The label stands before, whatever stands between.
    pub fn labelled(&self, window: usize, label: Label) -> bool {
        self.text.has_label_before(self.at(0), window, label)
    }

    pub fn candidate(&self, kind: Kind, n: usize, confidence: f32) -> Option<Candidate> {
        let (first, last) = (self.digit(0)?, self.digit(n.checked_sub(1)?)?);
        Some(Candidate { kind, range: first.at..last.end(), confidence })
    }

    /// The groups of the first `n` digits: how many digits, and their value.
    pub fn groups(&self, n: usize) -> Vec<(usize, u64)> {
        let mut groups: Vec<(usize, u64)> = Vec::new();
        for (k, digit) in self.run.get(self.start..self.start + n).unwrap_or_default().iter().enumerate() {
            let value = u64::from(digit.value);
            match groups.last_mut() {
                Some((count, sum)) if k > 0 && digit.gap.is_none() => (*count, *sum) = (*count + 1, *sum * 10 + value),
                _ => groups.push((1, value)),
            }
        }
        groups
    }

    /// The first or the last groups are a year, a month and a day, in three or in one: dates, not a number.
    pub fn holds_a_date(&self, n: usize) -> bool {
        let groups = self.groups(n);
        let date =
            |g: Option<&[(usize, u64)]>| matches!(g, Some(&[(4, 1900..=2099), (1 | 2, 1..=12), (1 | 2, 1..=31)]));
        let day = |g: Option<&(usize, u64)>| {
            g.is_some_and(|&(count, value)| {
                count == 8
                    && (19_000_101..=20_991_231).contains(&value)
                    && (1..=12).contains(&(value / 100 % 100))
                    && (1..=31).contains(&(value % 100))
            })
        };
        date(groups.get(..3))
            || date(groups.get(groups.len().saturating_sub(3)..))
            || day(groups.first())
            || day(groups.last())
    }
}

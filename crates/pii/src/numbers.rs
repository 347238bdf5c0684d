//! Identifiers that are digits: registration numbers, licences, telephones, cards, accounts.
//!
//! Each matcher looks at no more than sixteen digits from one start, so a scan takes time linear in the text.

use crate::checks;
use crate::digits::{Digit, Gap, runs};
use crate::kind::Kind;
use crate::text::{Label, Text};
use std::ops::Range;

/// An identifier at character positions of a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub kind: Kind,
    pub range: Range<usize>,
    /// 0 to 1.
    pub confidence: f32,
}

/// Longest identifier, with country code.
const LONGEST: usize = 16;
/// How far a label reaches, in characters.
const LABEL_REACH: usize = 30;

/// Digits from one start inside a run.
struct Window<'a> {
    run: &'a [Digit],
    start: usize,
    text: &'a Text,
}

/// Identifiers among `digits`; `work` counts the digits looked at.
pub(crate) fn find(text: &Text, digits: &[Digit], work: &mut u64) -> Vec<Candidate> {
    let mut out = Vec::new();
    for run in runs(digits) {
        for start in 0..run.len() {
            *work += 1;
            let window = Window { run, start, text };
            if window.opens() {
                *work += LONGEST as u64;
                let found = [
                    window.registration(),
                    window.license(),
                    window.phone(),
                    window.card(),
                    window.business(),
                    window.health(),
                    window.account(),
                ];
                out.extend(found.into_iter().flatten());
            }
        }
    }
    out
}

/// Gap positions as bits: bit `k` stands for a gap before digit `k`.
const fn gaps_at(positions: &[u32]) -> u32 {
    let (mut mask, mut i) = (0, 0);
    while i < positions.len() {
        mask |= 1 << positions[i];
        i += 1;
    }
    mask
}

impl Window<'_> {
    fn digit(&self, offset: usize) -> Option<&Digit> {
        self.run.get(self.start + offset)
    }

    /// A number may begin here: no digit adjoins on the left.
    fn opens(&self) -> bool {
        let Some(first) = self.digit(0) else { return false };
        first.gap != Gap::None
            || first.soft
            || self.start.checked_sub(1).is_some_and(|i| self.run.get(i).is_some_and(|d| d.soft))
    }

    /// The values of the next `n` digits, where a number of that length may end: no digit adjoins on the right.
    fn values(&self, n: usize) -> Option<Vec<u8>> {
        let digits = self.run.get(self.start..self.start + n)?;
        let ends = match (digits.last(), self.digit(n)) {
            (Some(last), Some(next)) => next.gap != Gap::None || next.soft || last.soft,
            _ => true,
        };
        ends.then(|| digits.iter().map(|d| d.value).collect())
    }

    /// Gaps inside the first `n` digits, as bits.
    fn gaps(&self, n: usize) -> u32 {
        (1..n).filter(|&k| self.digit(k).is_some_and(|d| d.gap != Gap::None)).fold(0, |mask, k| mask | 1 << k)
    }

    /// Gaps stand nowhere but at `allowed`, or between all digits.
    fn shaped(&self, n: usize, allowed: u32) -> bool {
        let gaps = self.gaps(n);
        gaps & !allowed == 0 || self.spaced(n)
    }

    /// How many of the first `n` digits were read from letters or Korean numerals.
    fn soft(&self, n: usize) -> usize {
        (0..n).filter(|&k| self.digit(k).is_some_and(|d| d.soft)).count()
    }

    fn spaced(&self, n: usize) -> bool {
        self.gaps(n).count_ones() as usize == n - 1
    }

    /// A dash joins the first `n` digits to more digits: a part of a longer number.
    fn joined(&self, n: usize) -> bool {
        let dash = |d: Option<&Digit>| d.is_some_and(|d| d.gap == Gap::Dash);
        dash(self.digit(0)) || dash(self.digit(n))
    }

    fn at(&self, offset: usize) -> usize {
        self.digit(offset).map_or(0, |d| d.at)
    }

    fn label(&self, window: usize) -> Option<Label> {
        self.text.label_before(self.at(0), window)
    }

    fn candidate(&self, kind: Kind, n: usize, confidence: f32) -> Option<Candidate> {
        let (first, last) = (self.digit(0)?, self.digit(n.checked_sub(1)?)?);
        Some(Candidate { kind, range: first.at..last.at + 1, confidence })
    }

    /// 주민등록번호, 외국인등록번호, 법인등록번호: thirteen digits however separated.
    fn registration(&self) -> Option<Candidate> {
        let d = self.values(13)?;
        let century = *d.get(6)?;
        let labelled = self.label(LABEL_REACH) == Some(Label::Corporate);
        if checks::corporation(&d) && (labelled || is_seoul_company(&d)) {
            return self.candidate(Kind::CorporateNumber, 13, if labelled { 0.95 } else { 0.6 });
        }
        if !checks::birth_date(d.get(..6)?) {
            return None;
        }
        let (kind, checked) = match century {
            1..=4 => (Kind::Rrn, checks::resident(&d)),
            5..=8 => (Kind::ForeignerRegistration, checks::foreigner(&d)),
            _ => return None,
        };
        if !checked && self.gaps(13) == 0 && checks::dated_serial(&d) {
            return None;
        }
        let tidy = self.shaped(13, gaps_at(&[6])) || self.gaps(13) == gaps_at(&[2, 4, 6]);
        // "2018.09.04 ~ 2018.12.04일": one syllable read as a digit must not make a number of dates.
        if !checked && !tidy && matches!(self.soft(13), 1 | 2) {
            return None;
        }
        self.candidate(
            kind,
            13,
            match (checked, tidy) {
                (true, true) => 0.99,
                (true, false) => 0.9,
                (false, true) => 0.7,
                (false, false) => 0.5,
            },
        )
    }

    /// 운전면허번호, AA-BB-CCCCCC-DD with AA a police agency: 11–26 or 28.
    fn license(&self) -> Option<Candidate> {
        let d = self.values(12)?;
        let agency = d.first()? * 10 + d.get(1)?;
        if !matches!(agency, 11..=26 | 28) {
            return None;
        }
        let full = gaps_at(&[2, 4, 10]);
        let labelled = self.label(LABEL_REACH) == Some(Label::License);
        match self.gaps(12) == full && !self.joined(12) {
            true => self.candidate(Kind::DriversLicense, 12, if labelled { 0.95 } else { 0.8 }),
            false if labelled && self.shaped(12, full) => self.candidate(Kind::DriversLicense, 12, 0.8),
            false => None,
        }
    }

    /// Mobile, fixed and internet telephones, with or without the country code 82.
    fn phone(&self) -> Option<Candidate> {
        let (prefix, implied) = self.country_code();
        let head: Vec<u8> =
            [0].into_iter().filter(|_| implied).chain((0..4).filter_map(|k| self.national(prefix, k))).collect();
        let area = area_code(&head)?;
        for subscriber in [8, 7] {
            let total = area.digits + subscriber;
            let n = prefix + total - usize::from(implied);
            if area.mobile_eleven && total != 11 || self.values(n).is_none() {
                continue;
            }
            if prefix > 0 {
                return self.candidate(Kind::Phone, n, 0.9);
            }
            let split = gaps_at(&[area.digits as u32, (total - 4) as u32]);
            if area.mobile {
                let tidy = self.shaped(n, split);
                return (tidy || area.mobile_eleven)
                    .then(|| self.candidate(Kind::Phone, n, if tidy { 0.95 } else { 0.6 }))?;
            }
            let labelled = matches!(self.label(LABEL_REACH), Some(Label::Phone));
            if self.joined(n) || !self.shaped(n, split) || self.gaps(n) == 0 && !labelled {
                continue;
            }
            let agency = self.label(15) == Some(Label::Agency);
            return self.candidate(
                if agency { Kind::AgencyPhone } else { Kind::Phone },
                n,
                if labelled { 0.95 } else { 0.8 },
            );
        }
        None
    }

    fn national(&self, prefix: usize, k: usize) -> Option<u8> {
        self.digit(prefix + k).map(|d| d.value)
    }

    /// Digits of a country code at this start, and whether the leading 0 of the area code is left out.
    fn country_code(&self) -> (usize, bool) {
        let digit = |k| self.digit(k).map(|d| d.value);
        let plus = self.at(0).checked_sub(1).and_then(|i| self.text.view.get(i)) == Some('+');
        let prefix = match (digit(0), digit(1), digit(2), digit(3)) {
            (Some(8), Some(2), ..) if plus => 2,
            (Some(0), Some(0), Some(8), Some(2)) => 4,
            _ => return (0, false),
        };
        (prefix, digit(prefix) != Some(0))
    }

    /// 카드번호: an issuer's prefix and Luhn's check.
    fn card(&self) -> Option<Candidate> {
        for (n, split) in [(16, gaps_at(&[4, 8, 12])), (15, gaps_at(&[4, 10])), (14, gaps_at(&[4, 10]))] {
            let Some(d) = self.values(n) else { continue };
            if !self.shaped(n, split) || !checks::card_issuer(&d) || !checks::luhn(&d) {
                continue;
            }
            if self.gaps(n) == 0 && self.label(LABEL_REACH) == Some(Label::Reference) {
                continue;
            }
            return self.candidate(Kind::Card, n, 0.9);
        }
        None
    }

    /// 사업자등록번호: 3-2-5 with its check digit; without dashes only where a label says so.
    fn business(&self) -> Option<Candidate> {
        let d = self.values(10)?;
        let labelled = self.label(LABEL_REACH) == Some(Label::Business);
        let dashed = self.gaps(10) == gaps_at(&[3, 5]) && !self.joined(10);
        (checks::business(&d) && (dashed || labelled && self.gaps(10) == 0))
            .then(|| self.candidate(Kind::BusinessNumber, 10, if labelled { 0.95 } else { 0.7 }))?
    }

    /// 건강보험증번호: eleven digits after their label.
    fn health(&self) -> Option<Candidate> {
        self.values(11)?;
        (self.label(LABEL_REACH) == Some(Label::Health) && self.shaped(11, gaps_at(&[1])))
            .then(|| self.candidate(Kind::HealthInsurance, 11, 0.8))?
    }

    /// 계좌번호: 10 to 14 digits joined by dashes or blanks, near the word for an account or a bank.
    fn account(&self) -> Option<Candidate> {
        if self.digit(0)?.gap == Gap::Dash || self.phone().is_some() {
            return None;
        }
        let length = |joins: fn(Gap) -> bool| {
            1 + (1..LONGEST).take_while(|&k| self.digit(k).is_some_and(|d| joins(d.gap))).count()
        };
        let n = [
            length(|g| matches!(g, Gap::None | Gap::Dash)),
            length(|g| matches!(g, Gap::None | Gap::Dash | Gap::Blank)),
        ]
        .into_iter()
        .find(|n| (10..=14).contains(n))?;
        let end = self.at(n - 1) + 1;
        let other = matches!(
            self.label(LABEL_REACH),
            Some(Label::Reference | Label::Business | Label::Corporate | Label::Health)
        );
        (!other && self.text.has_label_near(self.at(0), end, LABEL_REACH, Label::Account))
            .then(|| self.candidate(Kind::Account, n, 0.7))?
    }
}

/// Registry office 1101 (Seoul), kind of company, then a number that as a birth would be of 1911 or 1912: only with
/// its own check digit and without a resident's is it a company's number.
fn is_seoul_company(d: &[u8]) -> bool {
    matches!(d, [1, 1, 0, 1, 1..=3, 1..=9, 0..=2, ..]) && !checks::resident(d)
}

struct AreaCode {
    digits: usize,
    mobile: bool,
    /// 010 always takes eleven digits in all.
    mobile_eleven: bool,
}

/// Area code at the head of a telephone number that begins with 0.
fn area_code(head: &[u8]) -> Option<AreaCode> {
    let of = |digits, mobile, mobile_eleven| Some(AreaCode { digits, mobile, mobile_eleven });
    match *head {
        [0, 1, 0, ..] => of(3, true, true),
        [0, 1, 1 | 6..=9, ..] => of(3, true, false),
        [0, 2, ..] => of(2, false, false),
        [0, 5, 0, 2..=8, ..] => of(4, false, false),
        [0, 3..=6, 1..=5, ..] | [0, 7, 0, ..] => of(3, false, false),
        _ => None,
    }
}

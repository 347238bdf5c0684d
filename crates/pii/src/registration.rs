//! Unique identifiers that are digits: 주민등록번호, 외국인등록번호 and 운전면허번호, and the 법인등록번호 that looks like
//! the first of them. Numbers with letters in them are in `lettered`.

use crate::checks;
use crate::digits::{Digits, Sort};
use crate::kind::Kind;
use crate::labels::{Cue, Label};
use crate::text::Text;
use crate::window::{Candidate, LABEL_REACH, Window, gaps_at};

/// Characters that may stand between the halves of a number when something else says what they are.
const BETWEEN_HALVES: usize = 25;
/// How far a label reaches that stands behind the number.
const LABEL_BEHIND: usize = 12;
/// How far "뒷자리" reaches.
const BACK_REACH: usize = 12;
/// Regions that driving licences began with until they began with two digits.
const REGIONS: [&str; 22] = [
    "서울",
    "부산",
    "대구",
    "인천",
    "광주",
    "대전",
    "울산",
    "세종",
    "경기",
    "경기남부",
    "경기북부",
    "강원",
    "충북",
    "충남",
    "전북",
    "전남",
    "경북",
    "경남",
    "제주",
    "경기남",
    "경기북",
    "강원도",
];

/// Signs in a row between the letters of a region's name, and between it and the digits: "**경기**  12".
const MAX_SIGNS: usize = 4;
/// Syllables of the longest region.
const LONGEST_REGION: usize = 4;

impl Window<'_> {
    fn resident_label(&self) -> bool {
        self.labelled(LABEL_REACH, Label::Resident)
            || self.text.has_label_near(self.at(0), self.end(13), LABEL_BEHIND, Label::Resident)
    }

    /// 주민등록번호, 외국인등록번호, 법인등록번호: thirteen digits however separated.
    pub fn registration(&self) -> Option<Candidate> {
        let d = self.values(13)?;
        let dated = d.get(..6).is_some_and(checks::birth_date);
        if !dated && !checks::corporation(&d) || !self.believable(13) || self.redacted(13, 6) {
            return None;
        }
        let labelled = self.resident_label();
        if self.is_company(&d, labelled) {
            let confidence = if self.labelled(LABEL_REACH, Label::Corporate) { 0.95 } else { 0.6 };
            return self.candidate(Kind::CorporateNumber, 13, confidence);
        }
        let (kind, checked) = resident_kind(&d, labelled)?;
        let tidy = [gaps_at(&[6]), gaps_at(&[2, 4, 6])].contains(&self.gaps(13)) || self.gaps(13) == 0;
        let written = self.as_a_resident_would(&d, checked, labelled);
        let confidence = match (checked, tidy || self.spaced(13)) {
            (true, true) => 0.99,
            (true, false) => 0.9,
            (false, true) => 0.7,
            (false, false) => 0.5,
        };
        written.then(|| self.candidate(kind, 13, confidence))?
    }

    /// The way it is written speaks for a person's number rather than for figures that happen to fit.
    fn as_a_resident_would(&self, d: &[u8], checked: bool, labelled: bool) -> bool {
        let sure = checked || labelled;
        let strange = self.inner_gaps(13).any(|g| g.is_strange());
        let cells = self.in_cells(13);
        if self.inner_gaps(13).any(|g| g.has_plus()) && !labelled || self.holds_a_date(13) && !(checked && labelled) {
            return false;
        }
        let gaps = self.gaps(13);
        if gaps == 0 {
            let numbered = matches!(self.label(6), Some(Label::Reference | Label::Corporate));
            let dated = checks::dated_serial(d) && (!checked || checks::hardly_a_birth(d));
            let account = self.labelled(15, Label::Account);
            // The bar code of goods has a check digit of its own.
            let goods = numbered && checks::goods(d);
            return labelled || !dated && !goods && !self.is_an_amount(13) && (checked || !numbered && !account);
        }
        if gaps == gaps_at(&[6]) {
            return sure || self.alone(13) || !cells && !self.in_a_row_of_figures();
        }
        if gaps == gaps_at(&[2, 4, 6]) || self.spaced(13) {
            // A form with a box for each digit leaves cells of one digit.
            let boxes = checked && self.spaced(13) && self.alone(13);
            return labelled || boxes || !cells && (sure || self.alone(13) || gaps == gaps_at(&[2, 4, 6]));
        }
        // "2018.09.04 ~ 2018.12.04일": syllables read as digits must not make a number of dates.
        let numerals = self.of_sort(13, Sort::Numeral);
        if !labelled && (!checked && (1..=2).contains(&self.soft(13)) || numerals > 0 && !self.mixed_numerals(13)) {
            return false;
        }
        let account = self.labelled(15, Label::Account) && !checked;
        let numbered = self.label(10) == Some(Label::Reference) && !checked;
        let titled = self.text.before(self.at(0)) == Some('제') && self.text.after(self.end(13)) == Some('호');
        let fits = self.alone(13) && !cells && !account && !numbered && !titled && (checked || !strange);
        labelled || fits && (checked || !self.holds_a_telephone())
    }

    /// A telephone stands whole among the digits, with the number of a list's item before or behind it.
    fn holds_a_telephone(&self) -> bool {
        let phone = |k: usize| Window { start: self.start + k, ..*self }.phone().filter(|p| p.confidence > 0.9);
        [1, 2].into_iter().any(|k| self.digit(k).is_some_and(|d| !d.gap.is_none() || d.soft()) && phone(k).is_some())
    }

    /// Blanks divide it, and another long number follows behind a blank: a row of a table.
    fn in_a_row_of_figures(&self) -> bool {
        let blank = |k: usize| self.digit(k).is_some_and(|d| d.gap.is_blank());
        blank(6) && blank(13) && (14..18).all(|k| self.digit(k).is_some_and(|d| d.gap.is_none()))
    }

    /// Among the numerals are at least two different ones: not the 일 of several dates.
    fn mixed_numerals(&self, n: usize) -> bool {
        let mut values = (0..n).filter_map(|k| self.digit(k)).filter(|d| d.sort == Sort::Numeral).map(|d| d.value);
        values.next().is_some_and(|first| values.any(|v| v != first))
    }

    /// A registration number of a company: by its label, or by its own check digit where it looks like a person's.
    fn is_company(&self, d: &[u8], resident: bool) -> bool {
        let labelled = self.labelled(15, Label::Corporate) && !self.labelled(6, Label::Resident);
        let plausible = matches!(d, [1..=2, _, _, _, 1, 1..=5, ..] | [1..=2, _, _, _, 2..=8, 1..=6, ..]);
        labelled && plausible && (checks::corporation(d) || !checks::resident(d))
            || !resident && checks::corporation(d) && is_seoul_company(d)
    }

    /// "19900101-1970000": the year written in full.
    pub fn full_year_registration(&self) -> Option<Candidate> {
        let d = self.values(15)?;
        let (century, rest) = d.split_at_checked(2)?;
        let (kind, checked) = resident_kind(rest, false)?;
        let born_then = match rest.get(6) {
            Some(1 | 2 | 5 | 6) => century == [1, 9],
            _ => century == [2, 0],
        };
        let tidy = [gaps_at(&[8]), gaps_at(&[4, 6, 8])].contains(&self.gaps(15));
        let sure = checked || self.resident_label();
        let fits = (born_then || self.resident_label()) && self.believable(15) && (tidy || sure && self.gaps(15) == 0);
        let cells = self.inner_gaps(15).any(|g| g.is_cell() || g.has_plus());
        (fits && (sure || !cells)).then(|| self.candidate(kind, 15, if sure { 0.95 } else { 0.7 }))?
    }

    /// 운전면허번호, AA-BB-CCCCCC-DD with AA a police agency: 11–26 or 28.
    pub fn license(&self) -> Option<Candidate> {
        let d = self.values(12)?;
        let agency = d.first()? * 10 + d.get(1)?;
        if !matches!(agency, 11..=26 | 28) || !self.believable(12) {
            return None;
        }
        let full = gaps_at(&[2, 4, 10]);
        let labelled = self.labelled(LABEL_REACH, Label::License);
        let cells = self.in_cells(12) || self.inner_gaps(12).any(|g| g.has_plus());
        let gaps = self.gaps(12);
        let other = matches!(
            self.label(LABEL_REACH),
            Some(Label::Account | Label::Reference | Label::Business | Label::Corporate | Label::Phone | Label::Card)
        ) || self.text.has_label_near(self.at(0), self.end(12), 10, Label::Account);
        let plain = gaps == full && !self.joined(12) && (!cells || self.alone(12)) || self.disguised(12) && !other;
        let path = self.text.before(self.at(0)).is_some_and(|c| c.is_ascii_alphanumeric() || "/=&?#_-.".contains(c));
        let bare = (gaps == 0 || self.spaced(12))
            && self.alone(12)
            && !other
            && !cells
            && !path
            && !is_moment(&d)
            && !is_a_year(&d)
            && !self.is_an_amount(12);
        let fits = plain || bare || labelled && (gaps & !full == 0 || self.alone(12) || self.spaced(12));
        let confidence = match (plain, labelled) {
            (_, true) => 0.95,
            (true, false) => 0.8,
            (false, false) => 0.4,
        };
        fits.then(|| self.candidate(Kind::DriversLicense, 12, confidence))?
    }

    /// Nobody writes a number, a date or a list like that: many gaps, or several separators in one.
    fn disguised(&self, n: usize) -> bool {
        let odd = self.inner_gaps(n).any(|g| g.count >= 2 && !g.is_blank()) || self.gaps(n).count_ones() >= 5;
        let plain = self.inner_gaps(n).all(|g| !(g.is_cell() || g.is_strange() || g.has_plus()));
        let paired = self.groups(n).iter().all(|(count, _)| *count <= 2) && !self.spaced(n);
        odd && plain && !paired && self.soft(n) == 0 && self.alone(n) && !self.holds_a_date(n)
    }

    /// 운전면허번호 of the old form: a region and ten digits, "서울 00-123456-78".
    pub fn old_license(&self) -> Option<Candidate> {
        // The last syllable of 대구 reads as a numeral.
        if self.start > 1 || self.run.get(..self.start)?.iter().any(|d| d.sort != Sort::Numeral) {
            return None;
        }
        self.values(10)?;
        let region = self.region_before()?;
        let gaps = self.gaps(10);
        let full = gaps_at(&[2, 8]);
        let labelled = self.labelled(LABEL_REACH, Label::License);
        let cells = self.in_cells(10) || self.inner_gaps(10).any(|g| g.has_plus());
        let other = matches!(
            self.label(LABEL_REACH),
            Some(Label::Account | Label::Reference | Label::Business | Label::Corporate | Label::Phone | Label::Agency)
        );
        let loose = self.alone(10) && (labelled || !other && self.phone().is_none());
        let fits = gaps == full && (!cells || self.alone(10)) || labelled && gaps & !full == 0 || loose;
        let mut found = self.candidate(Kind::DriversLicense, 10, if labelled { 0.95 } else { 0.85 })?;
        found.range.start = region;
        (fits && self.believable(10)).then_some(found)
    }

    /// Start of the region's name that stands before; no more than three separators stand between, or inside it.
    fn region_before(&self) -> Option<usize> {
        let at = self.at(0);
        let before = self.text.slice(self.text.back(at, 20)..at);
        let mut letters: Vec<(usize, char)> = Vec::new();
        let mut signs = 0;
        for (i, c) in before.char_indices().rev() {
            let goes_on =
                c.is_whitespace() && before.get(i + c.len_utf8()..).is_some_and(|b| b.starts_with(char::is_whitespace));
            signs = if c.is_alphanumeric() { 0 } else { signs + usize::from(!goes_on) };
            if signs > MAX_SIGNS || letters.len() == LONGEST_REGION {
                break;
            }
            letters.extend(c.is_alphanumeric().then_some((i, c)));
        }
        let name: String = letters.iter().rev().map(|(_, c)| c).collect();
        let region = REGIONS.iter().filter(|r| name.ends_with(**r)).max_by_key(|r| r.len())?;
        let (first, _) = letters.get(region.chars().count().checked_sub(1)?)?;
        Some(at - (before.len() - first))
    }
}

/// Kind of a resident's number and whether its check digit is right; `None` for no such number. Persons born before
/// 1900 (9 and 0) count only beside a label.
fn resident_kind(d: &[u8], labelled: bool) -> Option<(Kind, bool)> {
    if !checks::birth_date(d.get(..6)?) {
        return None;
    }
    match d.get(6)? {
        1..=4 => Some((Kind::Rrn, checks::resident(d))),
        5..=8 => Some((Kind::ForeignerRegistration, checks::foreigner(d))),
        _ if labelled => Some((Kind::Rrn, checks::resident(d))),
        _ => None,
    }
}

/// Registry office 1101 (Seoul), kind of company, then a number that as a birth would be of 1911 or 1912: only with
/// its own check digit and without a resident's is it a company's number.
fn is_seoul_company(d: &[u8]) -> bool {
    matches!(d, [1, 1, 0, 1, 1..=3, 1..=9, 0..=2, ..]) && !checks::resident(d)
}

/// Begins with a year of our times, as the numbers of papers do: "202690007197".
fn is_a_year(d: &[u8]) -> bool {
    matches!(d, [2, 0, 1, 5..=9, ..] | [2, 0, 2, ..])
}

/// `YYMMDDhhmm` and seconds: twelve digits that say when.
fn is_moment(d: &[u8]) -> bool {
    let pair = |i: usize| d.get(i).zip(d.get(i + 1)).map_or(99, |(a, b)| a * 10 + b);
    let short = d.get(..6).is_some_and(checks::birth_date) && pair(6) < 24 && pair(8) < 60 && pair(10) < 60;
    let long =
        matches!(pair(0), 19 | 20) && d.get(2..8).is_some_and(checks::birth_date) && pair(8) < 24 && pair(10) < 60;
    short || long
}

/// The halves of resident's numbers with words between them, and second halves that their label names.
///
/// "생년월일 900101, 뒷자리 1970000"
pub(crate) fn halves(text: &Text, digits: &Digits) -> Vec<Candidate> {
    let mut out = Vec::new();
    for reading in [digits.written().collect::<Vec<_>>(), digits.folded().collect()] {
        for (i, run) in reading.iter().enumerate() {
            // "jumin2: 1970000": the name of the field ends in a figure.
            let start = usize::from(run.len() == 8 && run.get(1).is_some_and(|d| !d.gap.is_none()));
            let back = Window { run, start, text };
            if run.len() > 8 || back.values(7).is_none() || !matches!(back.digit(0).map(|d| d.value), Some(1..=8)) {
                continue;
            }
            let field = reading.get(i.saturating_sub(1)).is_some_and(|run| run.len() <= 2);
            let fronts = [Some(1), field.then_some(2)].into_iter().flatten();
            let fronts = fronts.filter_map(|k| i.checked_sub(k).and_then(|i| reading.get(i)));
            let before = fronts.filter_map(|front| front_half(front, &back)).next();
            out.extend(before.or_else(|| labelled_back(&back)));
        }
    }
    out
}

fn back_label(back: &Window, from: usize) -> bool {
    let text = back.text;
    let upto = text.cues.partition_point(|f| f.range.end <= back.at(0));
    let mut left = text.cues.get(..upto).unwrap_or_default().iter().rev().take_while(|f| f.range.start >= from);
    left.any(|f| f.cue == Cue::BackPart)
}

fn front_half(run: &[crate::digits::Digit], back: &Window) -> Option<Candidate> {
    let front = Window { run, start: run.len().checked_sub(6)?, text: back.text };
    let (d, b) = (front.values(6)?, back.values(7)?);
    let number: Vec<u8> = d.iter().chain(b.iter()).copied().collect();
    let between = back.text.slice(front.end(6)..back.at(0));
    let (kind, checked) = resident_kind(&number, false)?;
    let resident = front.labelled(LABEL_REACH, Label::Resident);
    let reach = if resident { 2 * BETWEEN_HALVES } else { BETWEEN_HALVES };
    if !front.opens() || between.chars().nth(reach).is_some() {
        return None;
    }
    let labelled = resident
        || front.labelled(LABEL_REACH, Label::Resident)
        || back.text.has_label_near(front.at(0), back.end(7), LABEL_BEHIND, Label::Resident)
        || back_label(back, front.end(6));
    // "제2003-12호, 고시 제2027-820호": numbers with gaps of their own are others.
    let whole = (front.gaps(6) == 0 || front.gaps(6) == gaps_at(&[2, 4])) && back.gaps(7) == 0;
    let signs = between.chars().all(|c| !c.is_alphanumeric());
    let fits =
        labelled || whole && only_inline_tags(between) || checked && whole && (signs || between.chars().count() <= 12);
    let confidence = if checked { 0.9 } else { 0.7 };
    fits.then_some(Candidate { kind, range: front.at(0)..back.end(7), confidence })
}

/// Nothing but tags that change how a text looks, and not where it stands: "900101<br>1970000".
fn only_inline_tags(between: &str) -> bool {
    const TAGS: [&str; 12] = ["br", "wbr", "b", "i", "u", "em", "strong", "span", "font", "sub", "sup", "small"];
    let mut tags = 0;
    let mut rest = between;
    while let Some((before, after)) = rest.split_once('<') {
        let Some((tag, behind)) = after.split_once('>') else { return false };
        let name = tag.trim_matches('/').split([' ', '/']).next().unwrap_or_default().to_ascii_lowercase();
        if before.chars().any(char::is_alphanumeric) || !TAGS.contains(&name.as_str()) {
            return false;
        }
        (tags, rest) = (tags + 1, behind);
    }
    tags > 0 && !rest.chars().any(char::is_alphanumeric)
}

fn labelled_back(back: &Window) -> Option<Candidate> {
    let from = back.text.back(back.at(0), BACK_REACH + 6);
    let kind = match back.values(7)?.first()? {
        1..=4 => Kind::Rrn,
        _ => Kind::ForeignerRegistration,
    };
    back_label(back, from).then(|| back.candidate(kind, 7, 0.6))?
}

//! Identifiers that are digits and that many people may share or change: telephones, cards, accounts, insurance, and
//! the numbers of bodies. Unique identifiers are in `registration`.
//!
//! Each matcher looks at no more than sixteen digits from one start, so a scan takes time linear in the text.

use crate::checks;
use crate::digits::{Digit, Digits, Gap, Sort};
use crate::kind::Kind;
use crate::labels::Label;
use crate::text::Text;
use crate::window::{Candidate, LABEL_REACH, LONGEST, Window, gaps_at};

/// Shortest number that a matcher here or in `registration` looks for.
const SHORTEST: usize = 8;
/// How far an office's word reaches to the number of its telephone.
const AGENCY_REACH: usize = 18;
/// How far a telephone's word reaches that stands behind: "031-940-1234로 전화 주세요".
const PHONE_BEHIND: usize = 6;

/// Identifiers in both readings of the digits; `work` counts the digits looked at.
pub(crate) fn find(text: &Text, digits: &Digits, work: &mut u64) -> Vec<Candidate> {
    let mut out = Vec::new();
    digits.written().for_each(|run| in_run(text, run, work, &mut out));
    digits.folded().for_each(|run| in_run(text, run, work, &mut out));
    out
}

fn in_run(text: &Text, run: &[Digit], work: &mut u64, out: &mut Vec<Candidate>) {
    *work += run.len() as u64;
    if run.len() < SHORTEST {
        return;
    }
    for start in 0..=run.len() - SHORTEST {
        let window = Window { run, start, text };
        if window.opens() {
            *work += LONGEST as u64;
            let found = [
                window.registration(),
                window.full_year_registration(),
                window.license(),
                window.old_license(),
                window.phone(),
                window.card(),
                window.business(),
                window.health(),
                window.account(),
                window.service_line(),
            ];
            out.extend(found.into_iter().flatten());
        }
    }
}

impl Window<'_> {
    /// Mobile, fixed and internet telephones, with or without the country code 82.
    pub fn phone(&self) -> Option<Candidate> {
        let (prefix, implied) = self.country_code();
        let national = (0..4).filter_map(|k| self.digit(prefix + k).map(|d| d.value));
        let mut head = [u8::MAX; 5];
        let shown = [0].into_iter().filter(|_| implied).chain(national);
        head.iter_mut().zip(shown).for_each(|(slot, digit)| *slot = digit);
        let area = area_code(&head)?;
        [8, 7].into_iter().find_map(|subscriber| self.subscriber(&area, subscriber, prefix, implied))
    }

    fn subscriber(&self, area: &AreaCode, subscriber: usize, prefix: usize, implied: bool) -> Option<Candidate> {
        let total = area.digits + subscriber;
        let n = prefix + total - usize::from(implied);
        if area.mobile_eleven && total != 11 || n > LONGEST {
            return None;
        }
        self.values(n)?;
        let cells = self.in_cells(n) && !self.alone(n);
        if !self.believable(n) || self.redacted(n, 4) {
            return None;
        }
        let labelled = matches!(self.label(LABEL_REACH), Some(Label::Phone));
        if self.of_sort(n, Sort::Doubtful) > 0 && !labelled {
            return None;
        }
        if prefix > 0 {
            return self.candidate(Kind::Phone, n, 0.9);
        }
        let split = gaps_at(&[area.digits as u32, (total - 4) as u32]);
        let behind = || self.text.has_label_near(self.end(n), self.end(n), PHONE_BEHIND, Label::Phone);
        let labelled = labelled || self.alone(n) && behind();
        if area.mobile {
            // "016-7677-4721-04": the account goes on.
            if self.goes_on(n) && self.labelled(LABEL_REACH, Label::Account) {
                return None;
            }
            let tidy = self.shaped(n, split) && !cells;
            let numbered = self.gaps(n) == 0 && self.label(8) == Some(Label::Reference);
            // Numbers of the old codes are as long as others: only as nothing else is written.
            let account = self.labelled(15, Label::Account);
            let old = self.spaced(n) && !cells
                || self.soft(n) == n
                || !account && self.inner_gaps(n).any(|g| g.has_dash()) && self.gaps(n).count_ones() <= 3;
            let loose = labelled || (area.mobile_eleven || old) && self.alone(n) && !self.holds_a_date(n);
            let fits = !numbered && (loose || tidy && !self.spaced(n));
            return fits.then(|| self.candidate(Kind::Phone, n, if tidy { 0.95 } else { 0.6 }))?;
        }
        let shaped = self.shaped(n, split) && (!cells || labelled);
        // Twelve digits behind 050 are nothing else.
        let unlike = area.digits == 4 && self.alone(n) && n == 12;
        let loose = (labelled || unlike) && self.alone(n);
        let sure = labelled || unlike;
        if self.joined(n) || !(shaped || loose) || self.gaps(n) == 0 && !sure || self.spaced(n) && !sure {
            return None;
        }
        if area.short && !labelled && !self.dashed_at_end(n) {
            return None;
        }
        let kind = if self.is_an_office() { Kind::AgencyPhone } else { Kind::Phone };
        self.candidate(kind, n, if labelled { 0.95 } else { 0.8 })
    }

    /// The last four digits stand behind a dash, a dot or a bracket.
    fn dashed_at_end(&self, n: usize) -> bool {
        self.digit(n - 4).is_some_and(|d| !d.gap.is_none() && !d.gap.is_blank())
    }

    /// An office's word stands right before, and nothing says that the number is a person's.
    fn is_an_office(&self) -> bool {
        let at = self.at(0);
        let before = self.text.slice(self.text.back(at, AGENCY_REACH)..at);
        self.label(AGENCY_REACH) == Some(Label::Agency)
            || self.labelled(AGENCY_REACH, Label::Agency) && self.labelled(6, Label::Phone)
            || names_a_unit(before)
    }

    /// Digits of a country code at this start, and whether the leading 0 of the area code is left out.
    fn country_code(&self) -> (usize, bool) {
        let digit = |k| self.digit(k).map(|d| d.value);
        let plus = self.text.before(self.at(0)) == Some('+') || self.digit(0).is_some_and(|d| d.gap.has_plus());
        let prefix = match (digit(0), digit(1), digit(2), digit(3)) {
            (Some(8), Some(2), ..) if plus => 2,
            (Some(8), Some(2), Some(1), Some(0)) if self.digit(2).is_some_and(|d| !d.gap.is_none()) => 2,
            (Some(0), Some(0), Some(8), Some(2)) => 4,
            _ => return (0, false),
        };
        (prefix, digit(prefix) != Some(0))
    }

    /// 대표번호, 1588-1234 and kin: a body's, not a person's.
    fn service_line(&self) -> Option<Candidate> {
        let d = self.values(8)?;
        let known = matches!(
            *d,
            [1, 5, 2..=9, ..]
                | [1, 6, 0..=2 | 4..=9, ..]
                | [1, 8, 0 | 1 | 3 | 5..=7 | 9, ..]
        );
        if !known {
            return None;
        }
        let labelled = matches!(self.label(LABEL_REACH), Some(Label::Phone | Label::Agency));
        let dashed = self.gaps(8) == gaps_at(&[4]) && self.digit(4).is_some_and(|d| d.gap.is_dash());
        (dashed && !self.joined(8) || labelled && self.gaps(8) == 0 && self.alone(8))
            .then(|| self.candidate(Kind::AgencyPhone, 8, 0.8))?
    }

    /// 카드번호: an issuer's prefix, and Luhn's check or a form or label that no other number has.
    fn card(&self) -> Option<Candidate> {
        for (n, split) in [(16, gaps_at(&[4, 8, 12])), (15, gaps_at(&[4, 10])), (14, gaps_at(&[4, 10]))] {
            let Some(d) = self.values(n) else { continue };
            if !checks::card_issuer(&d) || !self.believable(n) {
                continue;
            }
            let labelled = self.labelled(LABEL_REACH, Label::Card);
            let numbered = self.label(LABEL_REACH) == Some(Label::Reference);
            let passes = checks::luhn(&d);
            let shaped = self.shaped(n, split);
            let cells = self.inner_gaps(n).any(|g| g.is_cell() || g.has_plus()) && !self.alone(n);
            let dashed = n == 16 && self.gaps(n) == split && self.inner_gaps(n).all(|g| g.is_none() || g.has_dash());
            let usual = passes && shaped && (labelled || !cells) && (dashed || !numbered) && !self.is_an_amount(n);
            let loose =
                passes && self.alone(n) && !(self.in_cells(n) || numbered) || labelled && self.alone(n) && n == 16;
            if usual || loose || dashed && !self.joined(n) && !numbered {
                return self.candidate(Kind::Card, n, if passes { 0.9 } else { 0.5 });
            }
        }
        None
    }

    /// 사업자등록번호: 3-2-5 with its check digit; beside its label in any form.
    fn business(&self) -> Option<Candidate> {
        let d = self.values(10)?;
        if !self.shaped(10, gaps_at(&[3, 5])) {
            return None;
        }
        let labelled = self.label(LABEL_REACH) == Some(Label::Business);
        let dashed = self.gaps(10) == gaps_at(&[3, 5]) && self.inner_gaps(10).all(|g| g.is_none() || g.has_dash());
        (dashed && !self.joined(10) && checks::business(&d) || labelled)
            .then(|| self.candidate(Kind::BusinessNumber, 10, if labelled { 0.95 } else { 0.7 }))?
    }

    /// 건강보험증번호: eleven digits after their label.
    fn health(&self) -> Option<Candidate> {
        self.values(11)?;
        let labelled = self.label(LABEL_REACH) == Some(Label::Health);
        (labelled && (self.shaped(11, gaps_at(&[1])) || self.alone(11)))
            .then(|| self.candidate(Kind::HealthInsurance, 11, 0.8))?
    }

    /// 계좌번호: 10 to 14 digits joined by dashes, blanks or dots, near the word for an account or a bank.
    fn account(&self) -> Option<Candidate> {
        let start = self.at(0);
        let somewhere = self.text.has_label_near(start, start, 2 * LABEL_REACH, Label::Account)
            || self.text.has_label_near(start, start, LABEL_REACH, Label::Bank);
        if !somewhere || self.digit(0)?.gap.is_dash() || self.phone().is_some() {
            return None;
        }
        let n = self.account_length()?;
        let (at, end) = (start, self.end(n));
        let other = matches!(
            self.label(LABEL_REACH),
            Some(Label::Reference | Label::Business | Label::Corporate | Label::Health)
        );
        let bare = self.gaps(n) == 0;
        let near = self.labelled(LABEL_REACH, Label::Account)
            || self.text.has_label_near(at, end, if bare { 10 } else { LABEL_REACH }, Label::Account)
            || self.text.has_label_near(at, end, 3, Label::Bank);
        // "이체 수수료 1,234,567,890원"
        let amount = self.text.after(end).is_some_and(|c| "원천만백억".contains(c))
            || self.inner_gaps(n).any(|g| g.is_cell()) && self.groups(n).iter().skip(1).all(|(count, _)| *count == 3);
        (near && !other && !amount && !self.holds_a_date(n)).then(|| self.candidate(Kind::Account, n, 0.7))?
    }

    /// How many digits an account's number takes from here: as far as dashes go, else dots and blanks.
    fn account_length(&self) -> Option<usize> {
        let length = |joins: fn(Gap) -> bool| {
            1 + (1..LONGEST).take_while(|&k| self.digit(k).is_some_and(|d| joins(d.gap))).count()
        };
        let joins: [fn(Gap) -> bool; 3] = [
            |g| g.is_none() || g.is_dash(),
            |g| g.is_none() || !(g.is_cell() || g.is_strange() || g.is_break() || g.has_plus()),
            |g| !(g.is_break() || g.has_plus()),
        ];
        let loose = if self.labelled(15, Label::Account) { joins.len() } else { 2 };
        joins.into_iter().take(loose).map(length).find(|n| (10..=14).contains(n))
    }
}

/// The text ends in the name of a unit of a body: "여성보육과 (☎".
fn names_a_unit(before: &str) -> bool {
    let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
    let word = ["전화번호", "전화", "연락처", "tel", "Tel", "TEL", "내선"]
        .iter()
        .find_map(|label| word.strip_suffix(label))
        .map_or(word, |rest| rest.trim_end_matches(|c: char| !c.is_alphanumeric()));
    let mut chars = word.chars().rev();
    let last = chars.next();
    let hangul = |c: Option<char>| c.is_some_and(|c| matches!(c, '가'..='힣'));
    let two = (chars.next(), chars.next());
    let unit =
        matches!(last, Some('과' | '팀' | '국' | '청' | '소' | '원' | '관' | '단' | '처' | '실' | '부' | '터' | '회'));
    unit && hangul(two.0) && hangul(two.1)
}

struct AreaCode {
    digits: usize,
    mobile: bool,
    /// 010 always takes eleven digits in all.
    mobile_eleven: bool,
    /// 02 and a short number: nine digits, which other numbers have too.
    short: bool,
}

/// Area code at the head of a telephone number that begins with 0.
fn area_code(head: &[u8]) -> Option<AreaCode> {
    let of = |digits, mobile, mobile_eleven, short| Some(AreaCode { digits, mobile, mobile_eleven, short });
    match *head {
        [0, 1, 0, ..] => of(3, true, true, false),
        [0, 1, 1 | 6..=9, ..] => of(3, true, false, false),
        [0, 2, ..] => of(2, false, false, true),
        [0, 5, 0, 2..=8, ..] => of(4, false, false, false),
        [0, 3..=6, 1..=5, ..] | [0, 7, 0, ..] => of(3, false, false, false),
        _ => None,
    }
}

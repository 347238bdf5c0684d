//! What counts as found, and how many of each kind were. The strings are in the files beside.

use super::values::Dice;
use madang_pii::{Action, Finding, Kind, mask, scan};
use std::collections::BTreeMap;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Makes a value.
pub type Make = fn(&mut Dice) -> String;

/// One string and what must be found in it.
pub struct Case {
    pub kind: Kind,
    /// Which change, or "clean".
    pub change: &'static str,
    pub text: String,
    /// The value as it stands in the text; empty where the whole text is encoded.
    pub value: String,
}

pub fn put(sentence: &str, value: &str) -> String {
    sentence.replacen("{}", value, 1)
}

/// Changes that put letters beside the digits which may stay.
const WITH_LETTERS: [&str; 6] = ["tag inside", "link", "particle", "glued before", "comment inside", "span inside"];

impl Case {
    /// Stopped as this kind must be, all of its letters and digits covered, nothing of it in the masked text, and
    /// masking again changes nothing.
    fn is_found(&self) -> bool {
        let report = scan(&self.text);
        let masked = mask(&self.text, &report).text;
        let again = mask(&masked, &scan(&masked)).text;
        assert_eq!(again, masked, "masked twice: {:?}", self.text);
        report.action >= self.kind.action() && self.is_covered(&report.findings) && !self.leaks(&masked)
    }

    fn is_covered(&self, findings: &[Finding]) -> bool {
        let Some(at) = self.text.find(&self.value).filter(|_| !self.value.is_empty()) else { return true };
        let start = self.text[..at].chars().count();
        let bare = |i: usize| !findings.iter().any(|f| f.action != Action::Pass && (f.start..f.end).contains(&i));
        let digits = WITH_LETTERS.contains(&self.change);
        let counts = |c: char| if digits { c.is_ascii_digit() } else { c.is_alphanumeric() };
        !self.value.chars().enumerate().any(|(i, c)| counts(c) && bare(start + i))
    }

    /// Six digits of the value in a row are in the masked text.
    fn leaks(&self, masked: &str) -> bool {
        let plain = |s: &str| -> String { s.nfkc().filter(char::is_ascii_digit).collect() };
        let (value, masked) = (plain(&self.value), plain(masked));
        (0..value.len().saturating_sub(5)).any(|i| masked.contains(&value[i..i + 6]))
    }
}

/// Found and all, by kind, clean and changed.
#[derive(Default)]
pub struct Tally {
    counts: BTreeMap<(Kind, bool), [usize; 2]>,
    missed: Vec<String>,
}

impl Tally {
    pub fn of(cases: &[Case]) -> Tally {
        let mut tally = Tally::default();
        for case in cases {
            let found = case.is_found();
            let [hits, all] = tally.counts.entry((case.kind, case.change == "clean")).or_default();
            (*hits, *all) = (*hits + usize::from(found), *all + 1);
            if !found {
                tally.missed.push(format!("{} {}: {:?}", case.kind, case.change, case.text));
            }
        }
        tally
    }

    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.counts.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        kinds
    }

    fn share(&self, accept: impl Fn(&(Kind, bool)) -> bool) -> f64 {
        let of = |i: usize| self.counts.iter().filter(|(key, _)| accept(key)).map(|(_, n)| n[i]).sum::<usize>() as f64;
        of(0) / of(1).max(1.0)
    }

    /// Share of the clean or of the changed strings of a kind that were found.
    pub fn blocked(&self, kind: Kind, clean: bool) -> f64 {
        self.share(|key| *key == (kind, clean))
    }

    /// Share of all strings of a kind that were found.
    pub fn found(&self, kind: Kind) -> f64 {
        self.share(|key| key.0 == kind)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, clean), [hits, all]) in &self.counts {
            let share = *hits as f64 * 100.0 / (*all).max(1) as f64;
            writeln!(
                f,
                "{kind:<24} {:<8} {hits:>6} of {all:>6} {share:>6.2} %",
                if *clean { "clean" } else { "changed" }
            )?;
        }
        self.missed.iter().take(40).try_for_each(|missed| writeln!(f, "    {missed}"))
    }
}

//! Finds identifiers of persons and secrets in Korean text, says what to do with each, and masks what may leave masked.
//!
//! ```text
//! text ─► normal form (NFKC, nothing invisible, one dash, loose jamo joined), with a map to the bytes of the original
//!      ─► one pass for digit runs, up to three separators, O/l and 공일이… read as digits ─► registration, numbers, lettered
//!      ─► one automaton for all cues (labels, also those at the head of a table's column, honorifics, heads of keys, @) ─► names, address, mail, secrets, markings
//!      ─► the body's own dictionary (rules)
//!      ─► encoded parts (URL, HTML, string escapes, quoted-printable, base64, hex) ─► the same again, bounded in depth
//!                                    └─► one list without overlaps, in characters of the original
//! ```
//!
//! Pure and linear in the text: no I/O, no look-around, no backtracking; regular expressions read only windows around
//! cues, and windows that meet are one. A failed check digit lowers the confidence and never removes a finding, since
//! numbers given since October 2020 have none; labels, form and neighbours decide instead. Unique identifiers block,
//! other personal data is masked, data of bodies passes.

mod address;
mod checks;
mod decode;
mod detect;
mod digits;
mod faults;
mod kind;
mod labels;
mod lettered;
mod mail;
mod markings;
mod mask;
mod name_words;
mod names;
mod normal;
mod numbers;
mod passes;
mod registration;
mod report;
mod rules;
mod secrets;
mod stream;
mod tables;
mod text;
mod tokens;
mod view;
mod window;

pub use faults::{Fault, FaultField};
pub use kind::{Action, Kind};
pub use mask::{Masked, Masker, mask, mask_with, restore};
pub use report::{Finding, Marking, Report};
pub use rules::{Dictionary, Entry, Rule, RuleAction, Rules, RulesError};
pub use stream::{StreamFinding, StreamMarking, StreamPart, StreamScanner, StreamSummary, scan_reader};

/// Version of the detector, stored with what it inspected.
pub const DETECTOR_VERSION: &str = concat!("madang-pii ", env!("CARGO_PKG_VERSION"), " rules 3");

/// Everything found in `text`, with character offsets in it.
pub fn scan(text: &str) -> Report {
    let found = passes::through(text, None);
    Report::of(text, found.hits, found.markings)
}

/// As [`scan`], with the body's own dictionary besides.
pub fn scan_with(text: &str, rules: &Rules) -> Report {
    let found = passes::through(text, Some(rules));
    Report::of(text, found.hits, found.markings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(text: &str) -> u64 {
        passes::through(text, None).work
    }

    /// Twice the text is at most twice the work and what windows overlap, on inputs made to provoke more.
    #[test]
    fn work_is_linear_in_a_million_characters() {
        for unit in [
            "9",
            "9 ",
            "9001",
            "공",
            "O1",
            "%39",
            "&#57;",
            "MDEw",
            "a@",
            "-----BEGIN PRIVATE KEY-----",
            "계좌1-",
            "\\u0039",
        ] {
            let n = 500_000 / unit.chars().count();
            let (once, twice) = (work(&unit.repeat(n)), work(&unit.repeat(2 * n)));
            assert!(twice <= once * 9 / 4 + 1000, "{unit:?}: {once} then {twice}");
        }
    }
}

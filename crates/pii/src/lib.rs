//! Finds identifiers of persons in Korean text, says what to do with each, and masks what may leave masked.
//!
//! ```text
//! text ─► characters with original ranges ─► (decoded: URL, HTML, string escapes, base64) ─► normal form
//!      ─► digit runs, as written and with O/l and 공일이… read as digits ─► numbers ─┐
//!      ─► regular expressions, names ────────────────────────────────────────────────┴─► one list, original offsets
//! ```
//!
//! Pure and linear in the text: no I/O, no look-around, no backtracking. A failed check digit lowers the confidence and
//! never removes a finding, since numbers given since October 2020 have none.

mod checks;
mod decode;
mod digits;
mod kind;
mod mask;
mod names;
mod numbers;
mod patterns;
mod report;
mod text;
mod view;

pub use kind::{Action, Kind};
pub use mask::{Masked, Masker, mask, restore};
pub use report::{Finding, Report};

use numbers::Candidate;
use text::Text;
use view::View;

/// Version of the detector, stored with what it inspected.
pub const DETECTOR_VERSION: &str = concat!("madang-pii ", env!("CARGO_PKG_VERSION"), " rules 1");

/// Encodings within encodings that are undone.
const MAX_ROUNDS: usize = 3;
/// base64 within base64 that is read.
const MAX_DEPTH: usize = 2;

/// Everything found in `text`, with character offsets in it.
pub fn scan(text: &str) -> Report {
    Scan::default().run(text)
}

/// A scan under way; `work` counts characters and digits looked at.
#[derive(Default)]
struct Scan {
    found: Vec<Finding>,
    work: u64,
}

impl Scan {
    fn run(&mut self, text: &str) -> Report {
        self.layers(View::of(text), 0);
        Report::settle(std::mem::take(&mut self.found))
    }

    /// The view as it is, then each round of its decoding, then the base64 in each.
    fn layers(&mut self, view: View, depth: usize) {
        let mut current = view;
        for round in 0..=MAX_ROUNDS {
            self.detect(current.normalised());
            if depth < MAX_DEPTH {
                for (text, span) in decode::base64_texts(&current) {
                    self.layers(View::standing_for(&text, span), depth + 1);
                }
            }
            match decode::unescape(&current) {
                Some(next) if round < MAX_ROUNDS => current = next,
                _ => break,
            }
        }
    }

    fn detect(&mut self, view: View) {
        self.work += view.chars().len() as u64;
        let written = digits::read(&view);
        let folded = digits::read_folded(&view);
        let text = Text::new(view);
        for candidate in patterns::find(&text) {
            self.keep(&text, candidate);
        }
        for candidate in numbers::find(&text, &written, &mut self.work) {
            self.keep(&text, candidate);
        }
        for candidate in numbers::find(&text, &folded, &mut self.work) {
            self.keep(&text, candidate);
        }
    }

    fn keep(&mut self, text: &Text, candidate: Candidate) {
        let Candidate { kind, range, confidence } = candidate;
        let original = text.view.original(range);
        self.found.push(Finding { kind, action: kind.action(), start: original.start, end: original.end, confidence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(text: &str) -> u64 {
        let mut scan = Scan::default();
        scan.run(text);
        scan.work
    }

    /// Twice the text is at most twice the work and a little, on inputs made to provoke more.
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
            assert!(twice <= once * 2 + 1000, "{unit:?}: {once} then {twice}");
        }
    }
}

//! A normalised view with the cues in it: what every detector reads.

use crate::labels::{CUES, Cue, Label};
use crate::tables;
use crate::tokens;
use crate::view::View;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

/// Longest run of UTF-8 bytes that a distance of so many characters can take.
const BYTES_PER_CHAR: usize = 4;

struct Finder {
    automaton: AhoCorasick,
    /// The cues of each pattern.
    cues: Vec<Vec<Cue>>,
}

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let mut words: BTreeMap<&str, Vec<Cue>> = BTreeMap::new();
    for (cue, list) in CUES {
        list.split('|').for_each(|word| words.entry(word).or_default().push(*cue));
    }
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .build(words.keys())
        .expect("the words of this crate build");
    Finder { automaton, cues: words.into_values().collect() }
});

/// A cue that is no label, with its place in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub cue: Cue,
    pub range: Range<usize>,
}

/// A normalised view and where its cues stand. All places are bytes of the view.
pub(crate) struct Text<'v> {
    pub view: View<'v>,
    /// Labels in order, not overlapping.
    labels: Vec<(Range<usize>, Label)>,
    /// Other cues in order, not overlapping.
    pub cues: Vec<Found>,
    /// Tokens that stand in place of identifiers.
    tokens: Vec<Range<usize>>,
}

impl<'v> Text<'v> {
    /// Reads a view that is normalised already.
    pub fn new(view: View<'v>) -> Self {
        let tokens: Vec<Range<usize>> = tokens::tokens(view.text()).collect();
        let mut text = Text { labels: Vec::new(), cues: Vec::new(), tokens, view };
        let (mut labels, mut cues) = (Vec::new(), Vec::new());
        for found in FINDER.automaton.find_iter(text.view.text()) {
            let range = found.range();
            let known = FINDER.cues.get(found.pattern().as_usize());
            if !text.is_whole_word(&range) || text.touches_token(&range) {
                continue;
            }
            for cue in known.into_iter().flatten() {
                match cue {
                    Cue::Label(label) => labels.push((range.clone(), *label)),
                    Cue::Nothing => {}
                    cue => cues.push(Found { cue: *cue, range: range.clone() }),
                }
            }
        }
        let cells = tables::find(text.view.text(), &labels, &cues);
        if !cells.labels.is_empty() {
            labels.extend(cells.labels);
            labels.sort_by_key(|(range, _)| (range.start, range.end));
        }
        if !cells.cues.is_empty() {
            cues.extend(cells.cues);
            cues.sort_by_key(|found| found.range.start);
        }
        (text.labels, text.cues) = (labels, cues);
        text
    }

    pub fn str(&self) -> &str {
        self.view.text()
    }

    /// The text of a range of bytes; empty where that cuts a character.
    pub fn slice(&self, range: Range<usize>) -> &str {
        self.str().get(range).unwrap_or_default()
    }

    /// The character that ends at byte `at`.
    pub fn before(&self, at: usize) -> Option<char> {
        self.slice(0..at).chars().next_back()
    }

    /// The character that begins at byte `at`.
    pub fn after(&self, at: usize) -> Option<char> {
        self.str().get(at..)?.chars().next()
    }

    /// The part of the line of `at` that stands before it, no more than `limit` characters.
    pub fn line_before(&self, at: usize, limit: usize) -> &str {
        let before = self.slice(self.back(at, limit)..at);
        before.rsplit('\n').next().unwrap_or_default()
    }

    /// The part of the line of `at` that stands after it, no more than `limit` characters.
    pub fn line_after(&self, at: usize, limit: usize) -> &str {
        let after = self.slice(at..self.forth(at, limit));
        after.split('\n').next().unwrap_or_default()
    }

    /// The byte `chars` characters before `at`, or the start.
    pub fn back(&self, at: usize, chars: usize) -> usize {
        let Some(last) = chars.checked_sub(1) else { return at };
        self.slice(0..at).char_indices().rev().nth(last).map_or(0, |(i, _)| i)
    }

    /// The byte `chars` characters after `at`, or the end.
    pub fn forth(&self, at: usize, chars: usize) -> usize {
        let rest = self.str().get(at..).unwrap_or_default();
        rest.char_indices().nth(chars).map_or(self.str().len(), |(i, _)| at + i)
    }

    /// What stands behind byte `at`, no more than `limit` bytes and a character.
    pub fn ahead(&self, at: usize, limit: usize) -> &str {
        self.slice(at..self.str().ceil_char_boundary(at.saturating_add(limit).min(self.str().len())))
    }

    /// Latin letters do not go on into another word.
    fn is_whole_word(&self, range: &Range<usize>) -> bool {
        let bytes = self.str().as_bytes();
        let letter = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_alphabetic);
        let (small, capital) = (
            |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_lowercase),
            |i: usize| bytes.get(i).is_some_and(u8::is_ascii_uppercase),
        );
        // "clientSecret", "phoneNumber": a capital behind a small letter begins a word.
        let before = range.start.checked_sub(1);
        let word_starts = letter(Some(range.start)) && letter(before) && !(small(before) && capital(range.start));
        let last = range.end.checked_sub(1);
        let word_goes_on = letter(last) && letter(Some(range.end)) && !(small(last) && capital(range.end));
        // Heads of keys end in letters and go on in letters.
        let head = word_goes_on && !bytes.get(range.clone()).is_some_and(is_key_head);
        !(word_starts || head)
    }

    /// A token stands somewhere in the range.
    pub fn touches_token(&self, range: &Range<usize>) -> bool {
        let after = self.tokens.partition_point(|t| t.end <= range.start);
        self.tokens.get(after).is_some_and(|t| t.start < range.end)
    }

    /// No more than `window` characters stand between the bytes `from` and `to`.
    fn is_near(&self, from: usize, to: usize, window: usize) -> bool {
        let bytes = to.saturating_sub(from);
        bytes <= window || bytes <= window * BYTES_PER_CHAR && self.slice(from..to).chars().nth(window).is_none()
    }

    /// The label that ends last before `at`, no more than `window` characters away.
    pub fn label_before(&self, at: usize, window: usize) -> Option<Label> {
        let before = self.labels.partition_point(|(range, _)| range.end <= at);
        let left = self.labels.get(..before).unwrap_or_default().iter().rev();
        let mut near = left.take_while(|(range, _)| self.is_near(range.end, at, window));
        near.find(|(_, label)| *label != Label::Bank).map(|(_, label)| *label)
    }

    /// `label` ends within `window` characters before `at`, whatever other labels stand between.
    pub fn has_label_before(&self, at: usize, window: usize, label: Label) -> bool {
        let before = self.labels.partition_point(|(range, _)| range.end <= at);
        let left = self.labels.get(..before).unwrap_or_default().iter().rev();
        left.take_while(|(range, _)| self.is_near(range.end, at, window)).any(|(_, l)| *l == label)
    }

    /// `label` stands within `window` characters before `start` or after `end`.
    ///
    /// Labels do not overlap, so at most `window` of them are looked at on each side.
    pub fn has_label_near(&self, start: usize, end: usize, window: usize, label: Label) -> bool {
        let right = self.labels.get(self.labels.partition_point(|(r, _)| r.start < end)..).unwrap_or_default();
        self.has_label_before(start, window, label)
            || right.iter().take_while(|(r, _)| self.is_near(end, r.start, window)).any(|(_, l)| *l == label)
    }
}

fn is_key_head(word: &[u8]) -> bool {
    CUES.iter()
        .filter(|(cue, _)| *cue == Cue::KeyHead)
        .flat_map(|(_, words)| words.split('|'))
        .any(|head| head.as_bytes().eq_ignore_ascii_case(word))
}

/// Windows of `before` and `after` bytes around places, in order; those that meet are one, so that all of them together
/// are no longer than the text.
pub(crate) fn windows(
    text: &str,
    places: impl IntoIterator<Item = Range<usize>>,
    before: usize,
    after: usize,
) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for place in places {
        let wide = place.start.saturating_sub(before)..place.end.saturating_add(after);
        let next = crate::view::whole_chars(text, wide);
        match out.last_mut() {
            Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_label_wins() {
        let text = Text::new(View::of("농협 접수번호 2026"));
        let at = text.str().find('2').unwrap_or_default();
        assert_eq!(text.label_before(at, 30), Some(Label::Reference));
        assert!(text.has_label_near(at, at + 4, 30, Label::Account));
        assert!(!text.has_label_near(at, at + 4, 3, Label::Account));
        assert_eq!(text.label_before(1, 30), None);
    }

    #[test]
    fn latin_labels_are_whole_words() {
        let labels = |t: &str| Text::new(View::of(t)).labels.len();
        assert_eq!((labels("zip 1"), labels("IP 1"), labels("서버ip는"), labels("ipconfig")), (0, 1, 2, 0));
    }

    #[test]
    fn windows_meet_and_never_cut_characters() {
        assert_eq!(windows("가나다라마바사", [3..6, 12..15], 2, 2), vec![0..18]);
        assert_eq!(windows("가나다라마바사", [0..3, 18..21], 1, 1), [0..6, 15..21]);
    }
}

//! A text beside the original it came from: normalised or decoded, with a map from its bytes back to those of the
//! original. Normalisation is in `normal`, decoding in `decode`, detection elsewhere.

use std::borrow::Cow;
use std::ops::Range;

/// A stretch of a view and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// First byte in the view.
    at: usize,
    /// The bytes of the original.
    from: usize,
    to: usize,
    /// Byte for byte the same as the original; otherwise the whole stretch stands for the whole range.
    copied: bool,
}

/// A text whose every byte knows the range of original bytes that it stands for.
///
/// Ranges never run backwards, so that a range of the view covers one range of the original.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View<'a> {
    text: Cow<'a, str>,
    segments: Vec<Segment>,
}

impl<'a> View<'a> {
    /// The text as it is.
    pub fn of(text: &'a str) -> Self {
        let whole = Segment { at: 0, from: 0, to: text.len(), copied: true };
        View { text: Cow::Borrowed(text), segments: vec![whole] }
    }

    /// Bytes of any kind; what is no UTF-8 reads as U+FFFD, one for each broken sequence.
    pub fn lossy(bytes: &'a [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return View::of(text);
        }
        let mut view = View::default();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            view.push(chunk.valid(), at..at + chunk.valid().len(), true);
            at += chunk.valid().len();
            if !chunk.invalid().is_empty() {
                view.push("\u{FFFD}", at..at + chunk.invalid().len(), false);
                at += chunk.invalid().len();
            }
        }
        view
    }

    /// Decoded text, all of which stands for `original`.
    pub fn standing_for(text: String, original: Range<usize>) -> View<'static> {
        let whole = Segment { at: 0, from: original.start, to: original.end, copied: false };
        View { text: Cow::Owned(text), segments: vec![whole] }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same view without a copy of its text.
    pub fn borrowed(&self) -> View<'_> {
        View { text: Cow::Borrowed(&self.text), segments: self.segments.clone() }
    }

    fn segment(&self, at: usize) -> Segment {
        let after = self.segments.partition_point(|s| s.at <= at);
        let none = Segment { at: 0, from: 0, to: 0, copied: false };
        after.checked_sub(1).and_then(|i| self.segments.get(i)).copied().unwrap_or(none)
    }

    /// The original bytes that the bytes `range` of this view stand for.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let first = self.segment(range.start);
        let start = if first.copied { first.from + (range.start - first.at) } else { first.from };
        let Some(last_at) = range.end.checked_sub(1).filter(|last| *last >= range.start) else { return start..start };
        let last = self.segment(last_at);
        let end = if last.copied { last.from + (range.end - last.at) } else { last.to };
        start..end.max(start)
    }

    fn push(&mut self, text: &str, original: Range<usize>, copied: bool) {
        if text.is_empty() {
            return;
        }
        let at = self.text.len();
        self.text.to_mut().push_str(text);
        let goes_on = self.segments.last().is_some_and(|s| s.copied && copied && s.to == original.start);
        match self.segments.last_mut() {
            Some(last) if goes_on => last.to = original.end,
            _ => self.segments.push(Segment { at, from: original.start, to: original.end, copied }),
        }
    }
}

/// Makes a view out of pieces of another, in order.
pub(crate) struct Builder<'s> {
    source: &'s View<'s>,
    view: View<'static>,
}

impl<'s> Builder<'s> {
    pub fn new(source: &'s View<'s>) -> Self {
        Builder { source, view: View::default() }
    }

    /// Takes bytes `range` of the source over as they are.
    pub fn copy(&mut self, range: Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            let after = self.source.segments.partition_point(|s| s.at <= at);
            let next = self.source.segments.get(after).map_or(self.source.text.len(), |s| s.at);
            let end = next.clamp(at + 1, range.end.max(at + 1));
            let copied = self.source.segment(at).copied;
            let original = self.source.original(at..end);
            if let Some(piece) = self.source.text.get(at..end) {
                self.view.push(piece, original, copied);
            }
            at = end;
        }
    }

    /// `text` in place of the bytes `range` of the source.
    pub fn replace(&mut self, range: Range<usize>, text: &str) {
        self.view.push(text, self.source.original(range), false);
    }

    /// Length so far, in bytes.
    pub fn len(&self) -> usize {
        self.view.text.len()
    }

    pub fn finish(self) -> View<'static> {
        self.view
    }
}

/// `range` widened to whole characters of `text` and cut to its length.
pub(crate) fn whole_chars(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len()));
    let end = text.ceil_char_boundary(range.end.min(text.len()));
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_know_where_they_came_from() {
        let source = View::of("ab%41cd");
        let mut builder = Builder::new(&source);
        builder.copy(0..2);
        builder.replace(2..5, "A");
        builder.copy(5..7);
        let view = builder.finish();
        assert_eq!(view.text(), "abAcd");
        assert_eq!(view.original(1..2), 1..2);
        assert_eq!(view.original(2..3), 2..5);
        assert_eq!(view.original(1..4), 1..6);
        let mut again = Builder::new(&view);
        again.copy(1..4);
        let again = again.finish();
        assert_eq!((again.text(), again.original(0..2), again.original(2..3)), ("bAc", 1..5, 5..6));
    }

    #[test]
    fn broken_bytes_keep_their_places() {
        let view = View::lossy(b"a\xFF\xFEb");
        assert_eq!(view.text(), "a\u{FFFD}\u{FFFD}b");
        assert_eq!(view.original(7..8), 3..4);
        assert_eq!(view.original(1..7), 1..3);
    }

    #[test]
    fn whole_characters() {
        assert_eq!(whole_chars("가나", 1..4), 0..6);
        assert_eq!(whole_chars("가나", 3..99), 3..6);
    }
}

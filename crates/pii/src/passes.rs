//! Long texts in windows that overlap, so that memory stays bounded and each identifier lies whole in some window.

use crate::detect::{Detection, Hit};
use crate::markings::Marked;
use crate::rules::Rules;
use crate::view::View;

/// Bytes of a window.
pub(crate) const WINDOW: usize = 512 * 1024;
/// Bytes at the end of a window that belong to the next one: longer than any identifier, private keys included.
pub(crate) const OVERLAP: usize = 36 * 1024;
/// Bytes before a window's own that are read for labels and neighbours.
pub(crate) const CONTEXT: usize = 2 * 1024;

/// What a window found that begins in its own part.
#[derive(Default)]
pub(crate) struct Found {
    pub hits: Vec<Hit>,
    pub markings: Vec<Marked>,
    pub work: u64,
}

impl Found {
    /// Looks through one window that begins at byte `base` of the whole and owns what begins in `own`.
    pub fn look(&mut self, view: &View, base: usize, own: std::ops::Range<usize>, rules: Option<&Rules>) {
        let mut detection = Detection::new(rules);
        detection.run(view);
        self.work += detection.work;
        let shift = |range: std::ops::Range<usize>| range.start + base..range.end + base;
        let hits = detection.hits.into_iter().map(|hit| Hit { range: shift(hit.range.clone()), ..hit });
        self.hits.extend(hits.filter(|hit| own.contains(&hit.range.start)));
        // A word of the dictionary may have been read both as it stands and decoded.
        detection.markings.sort_by_key(|m| (m.range.start, m.range.end));
        detection.markings.dedup();
        let markings = detection.markings.into_iter().map(|m| Marked { range: shift(m.range.clone()), ..m });
        self.markings.extend(markings.filter(|m| own.contains(&m.range.start)));
    }
}

/// Looks through a whole text, window by window.
pub(crate) fn through(text: &str, rules: Option<&Rules>) -> Found {
    let mut found = Found::default();
    let (mut base, mut from) = (0, 0);
    while from < text.len() {
        let end = text.floor_char_boundary(base + WINDOW);
        let upto = if end >= text.len() { text.len() } else { text.floor_char_boundary(end - OVERLAP) };
        found.look(&View::of(text.get(base..end).unwrap_or_default()), base, from..upto, rules);
        from = upto.max(from + 1);
        base = text.floor_char_boundary(from.saturating_sub(CONTEXT));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    /// Identifiers are found once, wherever the borders of windows fall.
    #[test]
    fn borders_lose_and_repeat_nothing() {
        let filler = "가나다라 마바사 ".repeat(20);
        let mut text = String::new();
        let mut places = Vec::new();
        while text.len() < 3 * WINDOW {
            text.push_str(&filler);
            places.push(text.len());
            text.push_str("900101-1970000");
        }
        let settled = crate::report::settle(through(&text, None).hits);
        assert!(settled.iter().all(|hit| hit.kind == Kind::Rrn && hit.range.len() == 14));
        assert!(settled.iter().map(|hit| hit.range.start).eq(places));
    }
}

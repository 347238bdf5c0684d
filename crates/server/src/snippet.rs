//! The stretch of a passage that answers a query best, in pieces with the query's words marked.

use madang_korean::{content_words, stem};
use std::ops::Range;

/// Shown of a passage, characters.
const WIDTH: usize = 220;
/// Shown before the first mark, characters.
const LEAD: usize = 40;

/// Pieces of `text`, the marked ones with `true`; an ellipsis stands where text was left out.
pub fn snippet(text: &str, query: &str) -> Vec<(bool, String)> {
    let text: Vec<char> = plain(text).chars().collect();
    let marks = marks(&text, &words(query));
    let window = window(text.len(), &marks);
    let mut pieces = Vec::new();
    let mut push = |marked, range: Range<usize>| {
        if let Some(part) = text.get(range).filter(|p| !p.is_empty()) {
            pieces.push((marked, part.iter().collect::<String>()));
        }
    };
    let mut at = window.start;
    for mark in marks.iter().filter(|m| m.start >= window.start && m.end <= window.end) {
        push(false, at..mark.start);
        push(true, mark.clone());
        at = mark.end;
    }
    push(false, at..window.end);
    if window.start > 0 {
        pieces.insert(0, (false, "… ".to_owned()));
    }
    if window.end < text.len() {
        pieces.push((false, " …".to_owned()));
    }
    pieces
}

/// The words of Markdown without its signs, on one line.
fn plain(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let rule = |line: &str| line.contains("--") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
    lines
        .filter(|line| !rule(line))
        .flat_map(|line| line.trim_start_matches('#').split(['|', '*']).flat_map(str::split_whitespace))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What to look for: stems of content words, numbers, and single words that hold nothing else; longest first.
fn words(query: &str) -> Vec<Vec<char>> {
    let mut words = content_words(query);
    words.extend(query.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(str::to_owned));
    if words.is_empty() {
        words.extend(query.split_whitespace().map(|w| stem(w).to_owned()));
    }
    let mut words: Vec<Vec<char>> = words.iter().map(|w| w.chars().map(|c| c.to_ascii_lowercase()).collect()).collect();
    words.retain(|w| !w.is_empty());
    words.sort_by_key(|w| std::cmp::Reverse(w.len()));
    words.dedup();
    words
}

/// Where the words stand, in order, without overlaps.
fn marks(text: &[char], words: &[Vec<char>]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let hit = words
            .iter()
            .find(|w| rest.len() >= w.len() && rest.iter().zip(w.iter()).all(|(a, b)| a.to_ascii_lowercase() == *b));
        match hit {
            Some(word) => {
                out.push(at..at + word.len());
                at += word.len();
            }
            None => at += 1,
        }
    }
    out
}

/// The window with the most marks; the beginning where there are none.
fn window(length: usize, marks: &[Range<usize>]) -> Range<usize> {
    let held = |start: usize| marks.iter().filter(|m| m.start >= start && m.end <= start + WIDTH).count();
    let starts = marks.iter().map(|m| m.start.saturating_sub(LEAD));
    // The first of the best: `max_by_key` would give the last.
    let best = starts.rev().max_by_key(|s| held(*s)).unwrap_or(0);
    let start = best.min(length.saturating_sub(WIDTH));
    start..(start + WIDTH).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_words_without_their_particles() {
        let pieces = snippet("회의실 예약은 3일 전까지\n 신청한다.", "예약을 3일 전에 하나요?");
        let marked: Vec<_> = pieces.iter().filter(|(m, _)| *m).map(|(_, t)| t.as_str()).collect();
        assert!(marked.contains(&"예약") && marked.contains(&"3"), "{pieces:?}");
        assert_eq!(pieces.iter().map(|(_, t)| t.as_str()).collect::<String>(), "회의실 예약은 3일 전까지 신청한다.");
    }

    #[test]
    fn shows_the_part_that_matches() {
        let text = format!("{} 제설 대책 상황실은 시청 2층에 둔다. {}", "가나다라 ".repeat(200), "마바사 ".repeat(200));
        let pieces = snippet(&text, "제설 상황실은 어디");
        assert!(pieces.iter().any(|(m, t)| *m && t == "제설"), "{pieces:?}");
        assert_eq!(pieces.first().map(|(_, t)| t.as_str()), Some("… "));
        assert_eq!(pieces.last().map(|(_, t)| t.as_str()), Some(" …"));
        assert!(pieces.iter().map(|(_, t)| t.chars().count()).sum::<usize>() <= WIDTH + 4);
    }

    #[test]
    fn signs_of_markdown_are_not_shown() {
        let text = "### 3.3 금액\n\n| 항목 | 예산 |\n| --- | :--: |\n| **서버** | 218,000 |";
        assert_eq!(plain(text), "3.3 금액 항목 예산 서버 218,000");
    }

    #[test]
    fn nothing_to_mark() {
        assert_eq!(snippet("짧은 글", "없는말"), [(false, "짧은 글".to_owned())]);
        assert!(snippet("", "무엇").is_empty());
    }
}

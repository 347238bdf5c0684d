//! Lines that a PDF repeats at the edges of its pages: running heads, footers, page numbers. They say something once
//! and then tear sentences apart that run over a page end.

use regex::Regex;
use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// Blocks at each edge that may be repeated ones.
const EDGE: usize = 2;
/// Longest line that is taken for a running head, in characters.
const LONGEST: usize = 80;
/// Pages on which a line must stand to be one.
const LEAST: usize = 3;

static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^[-–—―\[(<\s]*(?:p\.?|page|쪽)?\s*([0-9]{1,4})\s*(?:[/|]\s*[0-9]{1,4}|쪽|페이지)?[-–—―\])>\s]*$").ok()
});

/// Which blocks to leave out: page and index of the block on it. `pages`: the blocks of each page as text, `None` where
/// a block is no paragraph.
pub(super) fn repeated(pages: &[Vec<Option<String>>]) -> HashSet<(usize, usize)> {
    let mut places: HashMap<(bool, String), Vec<(usize, usize)>> = HashMap::new();
    let mut numbers: Vec<(usize, usize, i64)> = Vec::new();
    for (page, blocks) in pages.iter().enumerate() {
        let edges = edges(blocks);
        for (top, index) in edges {
            let Some(text) = blocks.get(index).and_then(Option::as_deref) else { continue };
            if let Some(number) = page_number(text) {
                numbers.push((page, index, number - page as i64));
            } else if let Some(key) = key(text) {
                places.entry((top, key)).or_default().push((page, index));
            }
        }
    }
    let mut out = HashSet::new();
    for found in places.into_values() {
        let on_pages: HashSet<usize> = found.iter().map(|(page, _)| *page).collect();
        if on_pages.len() >= LEAST && on_pages.len() * 5 >= pages.len() {
            // Its first appearance stays: it may be the only place that names the document.
            out.extend(found.into_iter().skip(1));
        }
    }
    out.extend(counting(&numbers));
    out
}

/// Numbers that count as the pages do.
fn counting(numbers: &[(usize, usize, i64)]) -> Vec<(usize, usize)> {
    let mut by_shift: HashMap<i64, HashSet<usize>> = HashMap::new();
    for (page, _, shift) in numbers {
        by_shift.entry(*shift).or_default().insert(*page);
    }
    let counts = |shift: &i64| by_shift.get(shift).is_some_and(|pages| pages.len() >= 2);
    numbers.iter().filter(|(_, _, shift)| counts(shift)).map(|(page, index, _)| (*page, *index)).collect()
}

/// Indices of the first and last blocks, each with whether it stands at the top.
fn edges(blocks: &[Option<String>]) -> Vec<(bool, usize)> {
    let top = (0..blocks.len().min(EDGE)).map(|i| (true, i));
    let bottom = (blocks.len().saturating_sub(EDGE)..blocks.len()).map(|i| (false, i));
    top.chain(bottom).collect()
}

fn page_number(text: &str) -> Option<i64> {
    let found = NUMBER.as_ref()?.captures(text.trim())?;
    found.get(1)?.as_str().parse().ok()
}

/// The line without what changes from page to page: numbers and white space.
fn key(text: &str) -> Option<String> {
    if text.chars().count() > LONGEST || text.trim().is_empty() {
        return None;
    }
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if c != '0' || !out.ends_with('0') {
            out.push(c);
        }
    }
    // A bare number is a page number or a value.
    out.chars().any(char::is_alphabetic).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: &[&str]) -> Vec<Option<String>> {
        lines.iter().map(|l| Some((*l).to_owned())).collect()
    }

    #[test]
    fn running_heads_stay_once_and_page_numbers_go() {
        let pages: Vec<_> = (1..=4)
            .map(|n| {
                let (head, body, foot) = (format!("업무계획 2026 | {n}"), format!("본문 {n}가"), format!("- {n} -"));
                page(&[&head, "가 나 다", &body, "라", "마", "바", &foot])
            })
            .collect();
        let out = repeated(&pages);
        assert!(!out.contains(&(0, 0)) && (1..4).all(|p| out.contains(&(p, 0))));
        assert!((0..4).all(|p| out.contains(&(p, 6))), "{out:?}");
        assert!(!out.contains(&(2, 2)), "what stands away from the edges stays");
    }

    #[test]
    fn numbers_that_do_not_count_pages_are_values() {
        let pages = vec![page(&["12", "본문"]), page(&["12", "다른 본문"]), page(&["40", "글"])];
        assert!(repeated(&pages).is_empty());
        assert!(repeated(&[]).is_empty());
    }
}

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
    let mut places: HashMap<(bool, Key), Vec<(usize, usize)>> = HashMap::new();
    let mut numbers: Vec<(usize, usize, i64)> = Vec::new();
    for (page, blocks) in pages.iter().enumerate() {
        let edges = edges(blocks);
        for (top, index) in edges {
            let Some(text) = blocks.get(index).and_then(Option::as_deref) else { continue };
            if let Some(number) = page_number(text) {
                numbers.push((page, index, number - page as i64));
                continue;
            }
            for key in keys(text, page) {
                places.entry((top, key)).or_default().push((page, index));
            }
        }
    }
    let mut out = HashSet::new();
    for ((_, key), found) in places {
        let on_pages: HashSet<usize> = found.iter().map(|(page, _)| *page).collect();
        // Attachments and questions are numbered too, one a page, but not through the whole document.
        let least_share = if matches!(key, Key::Same(_)) { 5 } else { 2 };
        if on_pages.len() >= LEAST && on_pages.len() * least_share >= pages.len() {
            // Its first appearance stays: it may be the only place that names the document.
            out.extend(found.into_iter().skip(1));
        }
    }
    out.extend(counting(&numbers, pages.len()));
    out
}

/// How a line is known again on another page.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Same(String),
    /// With a number that is always as much above the page's own.
    Counting(String, i64),
}

/// Numbers that count as the pages do.
fn counting(numbers: &[(usize, usize, i64)], pages: usize) -> Vec<(usize, usize)> {
    let mut by_shift: HashMap<i64, HashSet<usize>> = HashMap::new();
    for (page, _, shift) in numbers {
        by_shift.entry(*shift).or_default().insert(*page);
    }
    // Years may head the pages of a few years in a row.
    let least = |page: usize, shift: i64| {
        if (1900..2100).contains(&(page as i64 + shift)) { LEAST.max(pages.div_ceil(2)) } else { 2 }
    };
    let counts = |page: usize, shift: &i64| by_shift.get(shift).is_some_and(|on| on.len() >= least(page, *shift));
    numbers.iter().filter(|(page, _, shift)| counts(*page, shift)).map(|(page, index, _)| (*page, *index)).collect()
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

/// What the line looks like on other pages if it is a repeated one: word for word, or with one number at its beginning or
/// end that counts as the pages do. White space is left out.
fn keys(text: &str, page: usize) -> Vec<Key> {
    // A bare number is a page number or a value.
    if text.chars().count() > LONGEST || !text.chars().any(char::is_alphabetic) {
        return Vec::new();
    }
    let line: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let is_digit = |c: char| c.is_ascii_digit();
    let shift = |digits: &str| digits.parse::<i64>().ok().filter(|_| digits.len() <= 4).map(|n| n - page as i64);
    let body = line.trim_start_matches(is_digit);
    let first = shift(&line[..line.len() - body.len()]).map(|s| Key::Counting(format!("#{body}"), s));
    let framed = line.trim_end_matches(|c: char| !c.is_alphanumeric()).trim_end_matches(['쪽', '면']);
    let body = framed.trim_end_matches(is_digit);
    let last = shift(&framed[body.len()..]).map(|s| Key::Counting(format!("{body}#"), s));
    [Some(Key::Same(line.clone())), first, last].into_iter().flatten().collect()
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

    #[test]
    fn numbered_labels_are_no_running_heads() {
        let labels = ["[별지 제1호 서식]", "[별지 제2호 서식]", "[별지 제3호 서식]", "붙임 1", "붙임 2", "붙임 3"];
        let years = ["2024", "2025", "2026"];
        let labelled = labels.iter().chain(&years).map(|label| page(&[label, "본문", "글", "말", "끝"]));
        let plain = ["가", "나", "다", "라"].map(|body| page(&[body, "글", "말", "끝", "뒤"]));
        let pages: Vec<_> = labelled.chain(plain).collect();
        let out = repeated(&pages);
        assert!((0..9).all(|p| !out.contains(&(p, 0))), "{out:?}");
    }
}

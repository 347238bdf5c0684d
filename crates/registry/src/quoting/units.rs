//! Texts cut into units that can be quoted: sentences, list items and table rows, each with the headings above it.
//!
//! Offsets are in characters of the text a unit came from, so that a quote is always an exact stored span.

use crate::phrases::unspaced;
use madang_domain::Passage;
use madang_korean::{Token, analyse, content_words, normalise, sentences, without_marker};
use std::collections::HashSet;

pattern!(ARTICLE, r"^제[0-9]+(?:조|장|절|편)(?:의[0-9]+)?\s*(?:\([^()]{1,40}\)|[^.다]{1,30})?$");

/// Longest unit that is quoted whole; a run-on longer than this is passed over.
pub(crate) const MAX_UNIT: usize = 600;

/// Where a unit was cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// Index into the task's passages.
    Passage(usize),
    /// The text that the reader pasted.
    Input,
}

/// A sentence, list item or table row.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub origin: Origin,
    /// Half-open range in characters of the origin's text.
    pub start: usize,
    pub end: usize,
    /// Exactly the characters `start..end`.
    pub text: String,
    /// Cells by column heading, where the unit is a row of a table.
    pub row: Option<Vec<(String, String)>>,
    /// A heading or a label without a value: names what follows, answers nothing.
    pub heading: bool,
    /// Nearest headings and label above, outermost first.
    pub above: Vec<String>,
    /// Place among the units of its origin.
    pub position: usize,
    /// Particle-stripped words.
    pub words: HashSet<String>,
    /// Terms of the analyser in the unit's own text.
    pub terms: HashSet<u32>,
    /// Terms of the headings above.
    pub terms_above: HashSet<u32>,
    /// Normalised text without spaces.
    pub flat: String,
    /// Normalised headings above, document title included, without spaces.
    pub flat_above: String,
}

impl Unit {
    /// As shown in an answer: without list marks; a table row as "heading cell" pairs.
    pub fn shown(&self) -> String {
        match &self.row {
            Some(cells) => cells
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| if name.is_empty() { value.clone() } else { format!("{name}: {value}") })
                .collect::<Vec<_>>()
                .join(" / "),
            None => without_marker(&self.text).split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// "label: value" of a line such as "- 사업기간: 2026. 1.~12."; the label at most 20 characters.
    pub fn labelled(&self) -> Option<(&str, &str)> {
        let body = without_marker(&self.text);
        let at = body.find([':', '：'])?;
        let (label, value) = (body.get(..at)?.trim(), body.get(at..)?.trim_start_matches([':', '：']).trim());
        // "15:20" is a time and "http://" an address, not a label.
        let named = label.chars().any(char::is_alphabetic) && !label.ends_with(|c: char| c.is_ascii_digit());
        (named && (1..=20).contains(&label.chars().count()) && !value.is_empty() && !value.starts_with("//"))
            .then_some((label, value))
    }
}

/// Units of a passage, its title and heading path standing above them all.
pub(crate) fn of_passage(index: usize, passage: &Passage) -> Vec<Unit> {
    let mut above = vec![passage.document_title.clone()];
    above.extend(passage.heading_path.iter().cloned());
    cut(Origin::Passage(index), &passage.text, &above)
}

/// Units of a pasted text.
pub(crate) fn of_input(text: &str) -> Vec<Unit> {
    cut(Origin::Input, text, &[])
}

/// Headings met so far within a text.
#[derive(Default)]
struct Headings {
    /// Mark depth and words, outermost first.
    open: Vec<(usize, String)>,
    /// Column names of the table under way.
    columns: Option<Vec<String>>,
    /// Byte where the last row ended.
    last_row_end: usize,
}

fn cut(origin: Origin, text: &str, above: &[String]) -> Vec<Unit> {
    let mut headings = Headings::default();
    let mut out: Vec<Unit> = Vec::new();
    let (mut byte, mut chars) = (0, 0);
    for range in pieces(text) {
        let Some(body) = text.get(range.clone()) else { continue };
        chars += text.get(byte..range.start).map_or(0, |t| t.chars().count());
        let (start, end) = (chars, chars + body.chars().count());
        byte = range.end;
        chars = end;
        let row = row_of(text, &range, body, &mut headings);
        if matches!(row, RowReading::Header) || end - start > MAX_UNIT {
            continue;
        }
        let row = match row {
            RowReading::Row(cells) => Some(cells),
            _ => None,
        };
        let heading = row.is_none() && is_heading(body);
        if row.is_none() {
            let depth = depth_of(body, indent(text, range.start));
            headings.open.retain(|(d, _)| *d < depth);
            out.push(unit(origin, (start, end), body, row, heading, above, &headings, out.len()));
            if heading || body.trim_end().ends_with([':', '：']) {
                headings.open.push((depth, without_marker(body).trim_end_matches([':', '：', ' ']).to_owned()));
            }
        } else {
            out.push(unit(origin, (start, end), body, row, heading, above, &headings, out.len()));
        }
    }
    out
}

/// Sentence ranges, those holding tabbed lines cut at their line breaks.
fn pieces(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    for range in sentences(text) {
        let body = text.get(range.clone()).unwrap_or("");
        if !(body.contains('\t') && body.contains('\n')) {
            out.push(range);
            continue;
        }
        let mut at = range.start;
        for line in body.split_inclusive('\n') {
            let trimmed = line.trim();
            if !trimmed.is_empty() {
                let from = at + (line.len() - line.trim_start().len());
                out.push(from..from + trimmed.len());
            }
            at += line.len();
        }
    }
    out
}

#[allow(clippy::too_many_arguments)]
fn unit(
    origin: Origin,
    span: (usize, usize),
    body: &str,
    row: Option<Vec<(String, String)>>,
    heading: bool,
    above: &[String],
    headings: &Headings,
    position: usize,
) -> Unit {
    let mut all = above.to_vec();
    all.extend(headings.open.iter().map(|(_, words)| words.clone()));
    // A row's column headings say what its cells are.
    let named = row.as_ref().map(|cells| cells.iter().map(|(n, v)| format!("{n} {v} ")).collect::<String>());
    let words_of = named.as_deref().unwrap_or(body);
    Unit {
        origin,
        start: span.0,
        end: span.1,
        text: body.to_owned(),
        heading,
        position,
        words: content_words(words_of).into_iter().collect(),
        terms: terms(words_of),
        terms_above: terms(&all.join(" ")),
        flat: unspaced(&normalise(words_of)),
        flat_above: unspaced(&normalise(&all.join(" "))),
        above: all,
        row,
    }
}

fn terms(text: &str) -> HashSet<u32> {
    analyse(text).iter().map(Token::term).collect()
}

enum RowReading {
    No,
    Header,
    Row(Vec<(String, String)>),
}

/// Reads Markdown rows and tabbed rows; the first row of a table names the columns.
fn row_of(text: &str, range: &std::ops::Range<usize>, body: &str, headings: &mut Headings) -> RowReading {
    let cells = cells(body);
    if cells.len() < 2 {
        headings.columns = None;
        return RowReading::No;
    }
    let gap = text.get(headings.last_row_end..range.start).unwrap_or("");
    let apart = gap.matches('\n').count() > 2 || gap.chars().any(char::is_alphanumeric);
    headings.last_row_end = range.end;
    match &headings.columns {
        Some(columns) if !apart => {
            let name = |i: usize| columns.get(i).cloned().unwrap_or_default();
            RowReading::Row(cells.into_iter().enumerate().map(|(i, c)| (name(i), c)).collect())
        }
        _ => {
            headings.columns = Some(cells);
            RowReading::Header
        }
    }
}

/// Cells of a table row, trimmed; one cell for what is no row.
fn cells(body: &str) -> Vec<String> {
    let trimmed = body.trim();
    if trimmed.starts_with('|') {
        return trimmed.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    }
    trimmed.split('\t').map(|c| c.trim().to_owned()).collect()
}

/// How deep a line stands: by its mark, then by its indent.
fn depth_of(line: &str, indent: usize) -> usize {
    let t = line.trim_start();
    let mark = match t.chars().next() {
        Some('#') => return t.chars().take_while(|c| *c == '#').count().min(6),
        Some(c) if c.is_ascii_digit() => 1,
        Some('□' | '■' | '◆' | '◇' | '▣') => 2,
        Some('○' | '◦' | '●' | 'ㅇ' | '〇') => 3,
        Some('-' | '–' | '*' | '•' | '·' | '▪' | '▸' | '▶') => 4,
        _ => 5,
    };
    mark * 10 + indent.min(9)
}

/// White space between the start of the line and byte `at`.
fn indent(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or("").chars().rev().take_while(|c| *c == ' ' || *c == '\t' || *c == '\u{3000}').count()
}

/// A line that names what follows: marked as a heading, or short, without an ending, figure or colon of its own.
fn is_heading(body: &str) -> bool {
    let t = body.trim();
    let bare = without_marker(t);
    let n = bare.chars().count();
    if ARTICLE.is_match(t) {
        return true;
    }
    if t.starts_with('#') || bare.ends_with([':', '：']) {
        return n <= 60;
    }
    let marked = t.starts_with(['□', '■', '◆', '◇', '▣', '○', '◦', '●']) || t.starts_with(|c: char| c.is_ascii_digit());
    marked
        && n <= 25
        && !bare.ends_with(['.', '다', '음', '함', '임', ')'])
        && !bare.contains([':', '：', ','])
        && !bare.chars().any(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headings_stand_above_their_items() {
        let units = of_input("□ 소요예산\n- 21백만 원(시비)\n□ 사업개요\n- 사업대상:\n - 전 부서\n- 기간: 3월");
        let of = |words: &str| units.iter().find(|u| u.text.contains(words)).expect(words);
        assert_eq!(of("21백만").above, ["소요예산"]);
        assert_eq!(of("전 부서").above, ["사업개요", "사업대상"]);
        assert!(of_input("제7조(당직의 면제)\n임신 중인 사람은 면제한다.")[0].heading);
        assert!(of("□ 소요예산").heading && !of("21백만").heading);
        assert_eq!(of("기간").labelled(), Some(("기간", "3월")));
    }

    #[test]
    fn rows_know_their_columns() {
        for text in ["| 장비 | 수량 |\n|---|---|\n| 서버 | 42 |", "장비\t수량\n서버\t42"] {
            let units = of_input(text);
            assert_eq!(units.len(), 1, "{units:?}");
            assert_eq!(units[0].shown(), "장비: 서버 / 수량: 42");
        }
    }

    proptest! {
        #[test]
        fn spans_are_exact(text in "([가-힣 .:|\t\n#□-]|[0-9a-z]|\\PC){0,160}") {
            let chars: Vec<char> = text.chars().collect();
            for u in of_input(&text) {
                let quoted: String = chars[u.start..u.end].iter().collect();
                prop_assert_eq!(&quoted, &u.text);
            }
        }
    }
}

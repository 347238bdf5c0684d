//! The one writer of stored text: readers push headings, paragraphs, items, tables and page starts, and get
//! normalised Markdown with character offsets. Cutting into passages comes later and reads only that text.

pub(crate) use crate::tables::Cell;
use crate::{
    PageStart, ReadError, tables,
    text::{normalise, one_line},
};
use regex::Regex;
use std::sync::LazyLock;

/// What a reader hands back.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub title: Option<String>,
    pub text: String,
    pub pages: Vec<PageStart>,
    pub warnings: Vec<String>,
}

/// Collects blocks into stored text.
pub(crate) struct Builder {
    out: String,
    chars: usize,
    limit: usize,
    overflow: bool,
    pages: Vec<PageStart>,
    waiting: Option<PageStart>,
    last_was_item: bool,
    pub title: Option<String>,
    pub warnings: Vec<String>,
}

impl Builder {
    /// `limit`: most characters of stored text.
    pub fn new(limit: usize) -> Self {
        Self {
            out: String::new(),
            chars: 0,
            limit,
            overflow: false,
            pages: Vec::new(),
            waiting: None,
            last_was_item: false,
            title: None,
            warnings: Vec::new(),
        }
    }

    /// What follows stands on this page.
    pub fn page(&mut self, page: u32) {
        self.waiting = Some(PageStart { page, offset: 0, estimated: false });
    }

    /// What follows stands on this page, as far as line positions tell.
    pub fn page_estimated(&mut self, page: u32) {
        self.waiting = Some(PageStart { page, offset: 0, estimated: true });
    }

    /// A paragraph inside which pages begin: letters (no white space) before each, and its number. Estimates.
    pub fn paragraph_over_pages(&mut self, text: &str, starts: &[(usize, u32)]) {
        let (bytes, chars) = (self.out.len(), self.chars);
        self.paragraph(text);
        let own = self.out.get(bytes..).unwrap_or_default();
        let mut starts = starts.iter().peekable();
        let mut found = Vec::new();
        let own_letters = own.chars().enumerate().filter(|(_, c)| !c.is_whitespace());
        for (letters, (at, _)) in own_letters.enumerate() {
            while let Some((_, page)) = starts.next_if(|(before, _)| *before <= letters) {
                found.push(PageStart { page: *page, offset: chars + at, estimated: true });
            }
        }
        self.pages.append(&mut found);
        // Pages that begin behind the last letter begin with the next block.
        if let Some((_, page)) = starts.last() {
            self.page_estimated(*page);
        }
    }

    /// A heading; a line of a table of contents is a paragraph instead.
    pub fn heading(&mut self, level: u8, text: &str) {
        let text = one_line(text);
        let entry = without_leaders(&text);
        if entry != text {
            self.paragraph(&entry);
        } else if !text.is_empty() {
            let marks = "#".repeat(usize::from(level.clamp(1, 6)));
            self.block(&format!("{marks} {text}"), false);
        }
    }

    /// A paragraph; its line feeds stay, blank lines in it do not.
    pub fn paragraph(&mut self, text: &str) {
        let text = normalise(text);
        let lines: Vec<String> =
            text.lines().map(|l| escaped(without_leaders(l).trim_end())).filter(|l| !l.trim().is_empty()).collect();
        if !lines.is_empty() {
            self.block(&lines.join("\n"), false);
        }
    }

    /// A list item with its marker (`-`, `1.`, `가.`).
    pub fn item(&mut self, depth: u8, marker: &str, text: &str) {
        let text = one_line(text);
        if !text.is_empty() {
            let indent = "  ".repeat(usize::from(depth.min(8)));
            let marker = one_line(marker);
            self.block(&format!("{indent}{marker} {text}"), true);
        }
    }

    /// A table. One of a single column is a box around paragraphs, which is what it becomes.
    pub fn table(&mut self, rows: &[Vec<Cell>]) {
        self.table_with_header(rows, None);
    }

    /// A table whose first rows are its header, as the document says.
    pub fn table_with_header(&mut self, rows: &[Vec<Cell>], header: Option<usize>) {
        let laid = tables::lay(rows, header);
        let Some(width) = laid.rows.first().map(Vec::len) else {
            rows.iter().flatten().for_each(|cell| self.paragraph(&cell.text));
            return;
        };
        laid.titles.iter().for_each(|title| self.paragraph(title));
        let mut text = String::new();
        for (index, row) in laid.rows.iter().enumerate() {
            push_row(&mut text, row);
            if index == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(width)));
            }
        }
        self.block(text.trim_end(), false);
    }

    /// Text that is Markdown already.
    pub fn markdown(&mut self, text: &str) {
        let text = normalise(text);
        let mut lines: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim_end) {
            if !(line.is_empty() && lines.last().is_none_or(|l| l.is_empty())) {
                lines.push(line);
            }
        }
        let text = lines.join("\n");
        if !text.trim().is_empty() {
            self.block(text.trim_end(), false);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Too much text already: a reader may stop.
    pub fn is_full(&self) -> bool {
        self.overflow
    }

    fn block(&mut self, text: &str, item: bool) {
        if self.overflow {
            return;
        }
        if !self.out.is_empty() {
            let gap = if item && self.last_was_item { "\n" } else { "\n\n" };
            self.out.push_str(gap);
            self.chars += gap.len();
        }
        if let Some(mut start) = self.waiting.take() {
            start.offset = self.chars;
            self.pages.push(start);
        }
        self.chars += text.chars().count();
        self.out.push_str(text);
        self.last_was_item = item;
        self.overflow = self.chars > self.limit;
    }

    /// # Errors
    /// [`ReadError::TooLarge`] when the text outgrew the limit.
    pub fn finish(self) -> Result<Body, ReadError> {
        if self.overflow {
            return Err(ReadError::TooLarge);
        }
        let title = self.title.map(|t| one_line(&t)).filter(|t| !t.is_empty() && t.chars().count() <= 200);
        Ok(Body { title, text: self.out, pages: self.pages, warnings: self.warnings })
    }
}

/// Rows of dots that lead the eye to a page number become one ellipsis.
fn without_leaders(line: &str) -> String {
    static LEADERS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\s*(?:[.·・‥…]\s?){6,}\s*").ok());
    LEADERS.as_ref().map_or_else(|| line.to_owned(), |re| re.replace_all(line, " … ").into_owned())
}

/// A paragraph's line that Markdown would take for a heading or a table row is escaped.
fn escaped(line: &str) -> String {
    let rest = line.trim_start();
    let hashes = rest.bytes().take_while(|b| *b == b'#').count();
    let heading = (1..=6).contains(&hashes) && rest.as_bytes().get(hashes).is_none_or(|b| *b == b' ');
    if heading || rest.starts_with('|') { format!("\\{rest}") } else { line.to_owned() }
}

fn push_row(out: &mut String, row: &[String]) {
    out.push('|');
    for text in row {
        out.push(' ');
        out.push_str(&text.replace('|', "\\|"));
        out.push_str(if text.is_empty() { "|" } else { " |" });
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_labels_are_repeated_down_their_rows() {
        let rows = vec![
            vec![Cell::new("부서"), Cell::new("사업"), Cell::new("예산")],
            vec![Cell::spanning("정보통신과", 2, 1), Cell::new("가|나"), Cell::new("10")],
            vec![Cell::new("다"), Cell::new("20")],
            vec![Cell::spanning("계", 1, 2), Cell::new("30")],
        ];
        let mut builder = Builder::new(1000);
        builder.table(&rows);
        let body = builder.finish().expect("small");
        let expected = "| 부서 | 사업 | 예산 |\n| --- | --- | --- |\n| 정보통신과 | 가\\|나 | 10 |\n\
                        | 정보통신과 | 다 | 20 |\n| 계 | | 30 |";
        assert_eq!(body.text, expected);
    }

    #[test]
    fn pages_count_characters_and_empty_pages_leave_no_start() {
        let mut builder = Builder::new(1000);
        builder.page(1);
        builder.paragraph("첫째\u{0}\n\n 줄");
        builder.page(2);
        builder.page(3);
        builder.item(0, "-", "하나");
        builder.item(1, "-", "둘");
        let body = builder.finish().expect("small");
        assert_eq!(body.text, "첫째\n 줄\n\n- 하나\n  - 둘");
        assert_eq!(body.pages.iter().map(|p| (p.page, p.offset)).collect::<Vec<_>>(), [(1, 0), (3, 7)]);
    }

    #[test]
    fn contents_are_no_headings() {
        let mut builder = Builder::new(100);
        builder.heading(1, "1. 개요 . . . . . . . . . 5");
        builder.heading(1, "1. 개요");
        assert_eq!(builder.out, "1. 개요 … 5\n\n# 1. 개요");
    }

    #[test]
    fn a_box_of_one_column_is_paragraphs_and_overflow_is_refused() {
        let mut builder = Builder::new(20);
        builder.table(&[vec![Cell::new("# 알림\n본문")]]);
        assert_eq!(builder.out, "\\# 알림\n본문");
        builder.paragraph("스무 글자를 훌쩍 넘는 문단입니다. 그렇습니다.");
        assert!(matches!(builder.finish(), Err(ReadError::TooLarge)));
    }
}

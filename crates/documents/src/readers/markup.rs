//! HTML through html5ever's tokenizer, as a stream: no tree is built, so no depth of nesting can overflow a stack.

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder, Cell},
    text::{self, one_line},
};
use html5ever::{
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
    },
};
use std::cell::RefCell;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let source = text::decode_markup(bytes).ok_or_else(|| ReadError::unsupported("알 수 없는 이진 파일"))?;
    if source.len() > u32::MAX as usize / 2 {
        return Err(ReadError::TooLarge);
    }
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from(source.as_str()));
    let sink = Sink(RefCell::new(Reader::new(limits.text_chars)));
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    // A script element hands control back; nothing is run, so go on until the input is used up.
    while !queue.is_empty() {
        let _ = tokenizer.feed(&queue);
    }
    tokenizer.end();
    let mut reader = tokenizer.sink.0.into_inner();
    reader.flush();
    while !reader.tables.is_empty() {
        reader.close_table();
    }
    reader.builder.finish()
}

struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Ok(mut reader) = self.0.try_borrow_mut() else {
            return TokenSinkResult::Continue;
        };
        match token {
            Token::CharacterTokens(text) => reader.characters(&text),
            Token::TagToken(tag) => return reader.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// A table that is open, with its open row and cell.
#[derive(Default)]
struct OpenTable {
    rows: Vec<Vec<Cell>>,
    in_cell: bool,
}

/// Deepest table inside a table that is kept apart; deeper ones flow into the cell around them.
const MAX_TABLES: usize = 16;

struct Reader {
    builder: Builder,
    /// Text of the open block.
    line: String,
    heading: Option<u8>,
    /// Per open list: the next number, or `None` for bullets.
    lists: Vec<Option<u32>>,
    marker: Option<String>,
    tables: Vec<OpenTable>,
    /// The open element whose raw text is not shown.
    hidden: Option<String>,
    in_title: bool,
    title: String,
    preformatted: usize,
}

impl Reader {
    fn new(limit: usize) -> Self {
        Self {
            builder: Builder::new(limit),
            line: String::new(),
            heading: None,
            lists: Vec::new(),
            marker: None,
            tables: Vec::new(),
            hidden: None,
            in_title: false,
            title: String::new(),
            preformatted: 0,
        }
    }

    fn characters(&mut self, text: &str) {
        if self.in_title {
            self.title.push_str(text);
        } else if self.hidden.is_none() && !self.builder.is_full() {
            self.text(text);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(table) = self.tables.last_mut() {
            if table.in_cell
                && let Some(cell) = table.rows.last_mut().and_then(|r| r.last_mut())
            {
                cell.text.push_str(text);
            }
            return;
        }
        if self.preformatted > 0 {
            self.line.push_str(text);
            return;
        }
        for c in text.chars() {
            if !c.is_whitespace() {
                self.line.push(c);
            } else if !self.line.is_empty() && !self.line.ends_with([' ', '\n']) {
                self.line.push(' ');
            }
        }
    }

    /// Writes the open block.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.line);
        let marker = self.marker.take();
        match (self.heading.take(), marker) {
            (Some(level), _) => self.builder.heading(level, &text),
            (None, Some(marker)) if !text.trim().is_empty() => {
                self.builder.item(self.lists.len().saturating_sub(1).min(8) as u8, &marker, &text);
            }
            (None, Some(marker)) => self.marker = Some(marker),
            (None, None) => self.builder.paragraph(&text),
        }
    }

    /// A block ends or begins: inside a cell that is only a space.
    fn boundary(&mut self) {
        if self.tables.is_empty() { self.flush() } else { self.text(" ") }
    }

    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        let opens = tag.kind == TagKind::StartTag;
        if let Some(hidden) = &self.hidden {
            if !opens && hidden == name {
                self.hidden = None;
            }
            return TokenSinkResult::Continue;
        }
        match name {
            "script" if opens => return self.hide(name, RawKind::ScriptData),
            "style" | "noscript" | "iframe" | "noembed" | "noframes" if opens => {
                return self.hide(name, RawKind::Rawtext);
            }
            "title" => {
                self.in_title = opens && self.title.is_empty();
                self.builder.title = Some(one_line(&self.title));
                if opens {
                    return TokenSinkResult::RawData(RawKind::Rcdata);
                }
            }
            "textarea" if opens => return self.hide(name, RawKind::Rcdata),
            "table" | "tr" | "td" | "th" => self.table_tag(name, tag, opens),
            "ul" | "ol" | "li" => self.list_tag(name, opens),
            "br" => self.line_break(),
            "pre" => {
                self.boundary();
                self.preformatted = if opens { self.preformatted + 1 } else { self.preformatted.saturating_sub(1) };
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.boundary();
                let level = name.as_bytes().get(1).map(|digit| digit.saturating_sub(b'0'));
                self.heading = level.filter(|_| opens && self.tables.is_empty());
            }
            "p" | "div" | "section" | "article" | "header" | "footer" | "main" | "nav" | "aside" | "blockquote"
            | "dl" | "dt" | "dd" | "hr" | "form" | "fieldset" | "legend" | "figure" | "figcaption" | "caption"
            | "address" | "body" | "html" | "head" | "thead" | "tbody" | "tfoot" => self.boundary(),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn hide(&mut self, name: &str, kind: RawKind) -> TokenSinkResult<()> {
        self.hidden = Some(name.to_owned());
        TokenSinkResult::RawData(kind)
    }

    fn line_break(&mut self) {
        if self.tables.is_empty() {
            self.line.push('\n');
        } else {
            self.text(" ");
        }
    }

    fn list_tag(&mut self, name: &str, opens: bool) {
        if !self.tables.is_empty() {
            self.text(" ");
            return;
        }
        self.flush();
        match (name, opens) {
            ("li", true) => {
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(next)) => {
                        *next = next.saturating_add(1);
                        format!("{}.", next.saturating_sub(1))
                    }
                    _ => "-".to_owned(),
                });
            }
            ("li", false) => self.marker = None,
            (_, true) if self.lists.len() < 64 => self.lists.push((name == "ol").then_some(1)),
            (_, false) => {
                self.lists.pop();
                self.marker = None;
            }
            _ => {}
        }
    }

    fn table_tag(&mut self, name: &str, tag: &Tag, opens: bool) {
        match (name, opens) {
            ("table", true) => {
                if self.tables.is_empty() {
                    self.flush();
                }
                if self.tables.len() < MAX_TABLES {
                    self.tables.push(OpenTable::default());
                }
            }
            ("table", false) => self.close_table(),
            _ => {
                let Some(table) = self.tables.last_mut() else {
                    return self.boundary();
                };
                match (name, opens) {
                    ("tr", true) => table.rows.push(Vec::new()),
                    ("tr", false) => table.in_cell = false,
                    (_, true) => {
                        if table.rows.is_empty() {
                            table.rows.push(Vec::new());
                        }
                        let cell = Cell::spanning("", span(tag, "rowspan"), span(tag, "colspan"));
                        if let Some(row) = table.rows.last_mut() {
                            row.push(cell);
                        }
                        table.in_cell = true;
                    }
                    (_, false) => table.in_cell = false,
                }
            }
        }
    }

    /// An inner table of one column flows into the cell around it; a real one is written at once.
    fn close_table(&mut self) {
        let Some(table) = self.tables.pop() else { return };
        let wide = table.rows.iter().any(|r| r.len() > 1);
        if self.tables.is_empty() || wide {
            self.builder.table(&table.rows);
        } else {
            let words: Vec<String> = table.rows.into_iter().flatten().map(|c| c.text).collect();
            self.text(&format!(" {} ", words.join(" ")));
        }
    }
}

/// A span attribute within reason.
fn span(tag: &Tag, name: &str) -> usize {
    let value = tag.attrs.iter().find(|a| &*a.name.local == name);
    value.and_then(|a| a.value.trim().parse::<usize>().ok()).map_or(1, |n| n.clamp(1, 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(html: &str) -> String {
        read(html.as_bytes(), &Limits::default()).expect("HTML").text
    }

    #[test]
    fn structure_becomes_markdown() {
        let html = "<html><head><title>알림 &amp; 소식</title><style>p{}</style></head><body><h2>제목</h2>\
                    <p>첫\n 줄<br>둘째 <b>줄</b></p><script>if (a < b) '<p>x</p>'</script><ul><li>하나<li>둘</ul>\
                    <ol><li><p>가</p></li><li>나</li></ol><table><tr><th rowspan=2>부서<th>값<tr><td>1<tr><td>계<td>2</table>끝";
        let body = read(html.as_bytes(), &Limits::default()).expect("HTML");
        assert_eq!(body.title.as_deref(), Some("알림 & 소식"));
        assert_eq!(
            body.text,
            "## 제목\n\n첫 줄\n둘째 줄\n\n- 하나\n- 둘\n1. 가\n2. 나\n\n| 부서 | 값 |\n| --- | --- |\n| 부서 | 1 |\n| 계 | 2 |\n\n끝"
        );
    }

    #[test]
    fn layout_tables_keep_their_text() {
        let text = markdown("<table><tr><td>바깥<table><tr><td>안 글</td></tr></table></td><td>옆</td></tr></table>");
        assert!(text.contains("바깥 안 글") && text.contains("옆"));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(
            "{}글{}",
            "<div><table><tr><td><ul>".repeat(20_000),
            "</ul></td></tr></table></div>".repeat(20_000)
        );
        assert!(markdown(&deep).contains('글'));
    }
}

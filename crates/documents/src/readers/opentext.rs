//! ODT: the body of an OpenDocument text, walked as a stream of tags. A file states no pages, so it has none.

use crate::{
    Limits, ReadError, archive,
    blocks::{Body, Builder, Cell},
    xml::{Event, Tag, Tags},
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let content = archive::zip_text(bytes, "content.xml", limits.inflated_bytes).ok_or(ReadError::Damaged)?;
    let mut builder = Builder::new(limits.text_chars);
    builder.title = archive::zip_text(bytes, "meta.xml", 1 << 20).and_then(|meta| title(&meta));
    let mut walker = Walker { tags: Tags::new(&content), builder: &mut builder, notes: Vec::new() };
    while let Some(tag) = walker.next_start() {
        if tag.name == "text" {
            walker.blocks(0, 0);
        }
    }
    let broken = walker.tags.is_broken();
    if broken {
        if builder.is_empty() {
            return Err(ReadError::Damaged);
        }
        builder.warnings.push("파일 일부가 손상되어 읽지 못한 부분이 있습니다.".to_owned());
    }
    builder.finish()
}

fn title(meta: &str) -> Option<String> {
    let mut tags = Tags::new(meta);
    loop {
        match tags.next() {
            Event::Start(tag) if tag.name == "title" => match tags.next() {
                Event::Text(text) => return Some(text),
                _ => return None,
            },
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// Deepest list, table or text box followed.
const MAX_DEPTH: usize = 24;
/// Most repetitions of a cell or row that are kept; empty ones fill a sheet to its edge.
const MAX_REPEATED: usize = 64;

struct Walker<'a> {
    tags: Tags<'a>,
    builder: &'a mut Builder,
    /// What text boxes in the open paragraph say, to be written behind it.
    notes: Vec<String>,
}

impl Walker<'_> {
    fn next_start(&mut self) -> Option<Tag> {
        loop {
            match self.tags.next() {
                Event::Start(tag) => return Some(tag),
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// Blocks up to the end of the open element. `list`: how many lists are open.
    fn blocks(&mut self, list: u8, depth: usize) {
        loop {
            match self.tags.next() {
                Event::Start(tag) if depth >= MAX_DEPTH || is_hidden(&tag.name) => self.tags.skip(),
                Event::Start(tag) => match tag.name.as_str() {
                    "h" => {
                        let level = tag.get("outline-level").and_then(|l| l.parse().ok()).unwrap_or(1);
                        let text = self.words(depth);
                        self.builder.heading(level, &text);
                        self.write_notes();
                    }
                    "p" => {
                        let text = self.words(depth);
                        match list {
                            0 => self.builder.paragraph(&text),
                            _ => self.builder.item(list - 1, "-", &text),
                        }
                        self.write_notes();
                    }
                    "list" => self.blocks(list.saturating_add(1), depth + 1),
                    "table" => self.table(depth + 1),
                    _ => self.blocks(list, depth + 1),
                },
                Event::End(_) | Event::Eof => return,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
    }

    fn write_notes(&mut self) {
        for note in std::mem::take(&mut self.notes) {
            self.builder.paragraph(&note);
        }
    }

    /// Text of the open paragraph, notes in brackets where they are called.
    fn words(&mut self, depth: usize) -> String {
        let mut out = String::new();
        let mut open = 0usize;
        loop {
            match self.tags.next() {
                // White space runs collapse, as the format says; those that count are elements.
                Event::Text(text) => push_collapsed(&mut out, &text),
                Event::Empty(tag) => space(&tag, &mut out),
                Event::Start(tag) if depth >= MAX_DEPTH || is_hidden(&tag.name) => self.tags.skip(),
                Event::Start(tag) => match tag.name.as_str() {
                    "note" => {
                        let note = self.note(depth + 1);
                        if !note.is_empty() {
                            out.push_str(&format!(" (주: {note})"));
                        }
                    }
                    "text-box" => {
                        let text = self.paragraphs(depth + 1);
                        self.notes.push(text);
                    }
                    "s" | "tab" | "line-break" => {
                        space(&tag, &mut out);
                        self.tags.skip();
                    }
                    _ => open += 1,
                },
                Event::End(_) if open > 0 => open -= 1,
                Event::End(_) | Event::Eof => return out,
            }
        }
    }

    fn note(&mut self, depth: usize) -> String {
        let mut out = String::new();
        loop {
            match self.tags.next() {
                Event::Start(tag) if tag.name == "note-body" => out = self.paragraphs(depth),
                Event::Start(_) => self.tags.skip(),
                Event::End(_) | Event::Eof => return out.split_whitespace().collect::<Vec<_>>().join(" "),
                _ => {}
            }
        }
    }

    /// Paragraphs of the open element as lines, however deep they lie.
    fn paragraphs(&mut self, depth: usize) -> String {
        let mut lines = Vec::new();
        let mut open = 0usize;
        loop {
            match self.tags.next() {
                Event::Start(tag) if depth >= MAX_DEPTH || is_hidden(&tag.name) => self.tags.skip(),
                Event::Start(tag) if matches!(tag.name.as_str(), "p" | "h") => lines.push(self.words(depth + 1)),
                Event::Start(_) => open += 1,
                Event::End(_) if open > 0 => open -= 1,
                Event::End(_) | Event::Eof => return lines.join("\n"),
                _ => {}
            }
        }
    }

    fn table(&mut self, depth: usize) {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut header = 0;
        let mut in_header = false;
        let mut open = 0usize;
        loop {
            match self.tags.next() {
                Event::Start(tag) => match tag.name.as_str() {
                    "table-row" => {
                        let row = self.row(depth);
                        for _ in 0..repeated(&tag, "number-rows-repeated") {
                            rows.push(row.clone());
                        }
                        header += usize::from(in_header);
                    }
                    name => {
                        in_header |= name == "table-header-rows";
                        open += 1;
                    }
                },
                Event::End(name) if open > 0 => {
                    in_header &= name != "table-header-rows";
                    open -= 1;
                }
                Event::End(_) | Event::Eof => break,
                _ => {}
            }
        }
        self.builder.table_with_header(&rows, (header > 0).then_some(header));
        self.write_notes();
    }

    /// Covered cells are not read: their places follow from the spans.
    fn row(&mut self, depth: usize) -> Vec<Cell> {
        let mut cells = Vec::new();
        loop {
            match self.tags.next() {
                Event::Start(tag) if tag.name == "table-cell" => {
                    let text = self.paragraphs(depth);
                    push_cell(&tag, text, &mut cells);
                }
                Event::Empty(tag) if tag.name == "table-cell" => push_cell(&tag, String::new(), &mut cells),
                Event::Start(_) => self.tags.skip(),
                Event::End(_) | Event::Eof => return cells,
                _ => {}
            }
        }
    }
}

fn push_cell(tag: &Tag, text: String, cells: &mut Vec<Cell>) {
    let span = |name: &str| tag.get(name).and_then(|v| v.parse::<usize>().ok()).unwrap_or(1);
    let cell = Cell::spanning(text, span("number-rows-spanned"), span("number-columns-spanned"));
    for _ in 0..repeated(tag, "number-columns-repeated") {
        cells.push(cell.clone());
    }
}

fn repeated(tag: &Tag, name: &str) -> usize {
    tag.get(name).and_then(|v| v.parse::<usize>().ok()).map_or(1, |n| n.clamp(1, MAX_REPEATED))
}

/// Comments, tracked deletions, fields' definitions: not the document's words.
fn is_hidden(name: &str) -> bool {
    matches!(
        name,
        "annotation" | "tracked-changes" | "sequence-decls" | "user-field-decls" | "forms" | "title" | "desc"
    )
}

fn push_collapsed(out: &mut String, text: &str) {
    for c in text.chars() {
        if !c.is_ascii_whitespace() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}

fn space(tag: &Tag, out: &mut String) {
    match tag.name.as_str() {
        "s" => {
            let count = tag.get("c").and_then(|c| c.parse::<usize>().ok()).unwrap_or(1);
            out.push_str(&" ".repeat(count.clamp(1, 100)));
        }
        "tab" => out.push('\t'),
        "line-break" => out.push('\n'),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(body: &str) -> String {
        let content = format!("<o:document-content><o:body><o:text>{body}</o:text></o:body></o:document-content>");
        let mut builder = Builder::new(10_000);
        let mut walker = Walker { tags: Tags::new(&content), builder: &mut builder, notes: Vec::new() };
        while let Some(tag) = walker.next_start() {
            if tag.name == "text" {
                walker.blocks(0, 0);
            }
        }
        builder.finish().expect("small").text
    }

    #[test]
    fn structure_becomes_markdown() {
        let text = markdown(
            "<t:h t:outline-level='2'>추진 <t:span>계획</t:span></t:h><t:p>본문<t:note><t:note-citation>1</t:note-citation>\
             <t:note-body><t:p>근거는 조례</t:p></t:note-body></t:note>이다.<o:annotation><t:p>의견</t:p></o:annotation></t:p>\
             <t:list><t:list-item><t:p>하나</t:p><t:list><t:list-item><t:p>안</t:p></t:list-item></t:list></t:list-item></t:list>\
             <t:p><d:frame><d:text-box><t:p>상자 글</t:p></d:text-box></d:frame></t:p>\
             <t:table><t:table-header-rows><t:table-row><t:table-cell><t:p>부서</t:p></t:table-cell><t:table-cell><t:p>금액</t:p>\
             </t:table-cell></t:table-row></t:table-header-rows><t:table-row><t:table-cell t:number-rows-spanned='2'><t:p>과</t:p>\
             </t:table-cell><t:table-cell><t:p>1</t:p></t:table-cell></t:table-row><t:table-row><t:covered-table-cell/>\
             <t:table-cell><t:p>2</t:p></t:table-cell></t:table-row></t:table>",
        );
        assert_eq!(
            text,
            "## 추진 계획\n\n본문 (주: 근거는 조례)이다.\n\n- 하나\n  - 안\n\n상자 글\n\n| 부서 | 금액 |\n| --- | --- |\n| 과 | 1 |\n| 과 | 2 |"
        );
    }
}

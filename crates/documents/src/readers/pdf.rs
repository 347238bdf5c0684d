//! PDF through unpdf, page by page: page numbers are exact, a slow page is stopped between pages.

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder, Cell},
};
use std::{ops::ControlFlow, time::Instant};
use unpdf::{
    Block, Error, InlineContent, Page, PageStreamOptions, Paragraph, ParseEvent, ParseOptions, PdfParser, Table,
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let started = Instant::now();
    // The signature may stand behind a few stray bytes.
    let start = crate::format::find(bytes.get(..bytes.len().min(1024)).unwrap_or(bytes), b"%PDF-").unwrap_or(0);
    let bytes = bytes.get(start..).unwrap_or(bytes);
    let options = ParseOptions::new().lenient().with_resources(false).sequential();
    let parser = PdfParser::from_bytes_with_options(bytes, options).map_err(|e| refusal(&e))?;
    let mut builder = Builder::new(limits.text_chars);
    let mut seen = Seen::default();
    let stream = PageStreamOptions { parallel: false, window_size: 1, ..PageStreamOptions::default() };
    let outcome = parser.for_each_page(stream, |event| {
        if started.elapsed() > limits.time {
            seen.late = true;
            return ControlFlow::Break(());
        }
        match event {
            ParseEvent::DocumentStart { metadata, .. } => builder.title = metadata.title,
            ParseEvent::PageParsed(page) => {
                seen.note(&page);
                push_page(&mut builder, &page);
            }
            ParseEvent::PageFailed { .. } => seen.failed += 1,
            _ => {}
        }
        if builder.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if seen.late {
        return Err(ReadError::Timeout);
    }
    let quality = outcome.map_err(|e| refusal(&e))?;
    builder.title = builder.title.take().filter(|t| is_telling(t));
    let body = builder.finish()?;
    judge(body, &seen, quality.pages_incomplete || quality.undecodable_content_streams > 0)
}

/// What the pages held beside text.
#[derive(Default)]
struct Seen {
    pages: u32,
    pictures: u32,
    unreadable: u32,
    without_text: u32,
    failed: u32,
    late: bool,
}

impl Seen {
    fn note(&mut self, page: &Page) {
        let silent = !page.plain_text().chars().any(char::is_alphanumeric);
        let pictured = page.image_op_count > 0 || page.image_coverage > 0.0 || page.ocr_text_suppressed;
        self.pages += 1;
        self.without_text += u32::from(silent && pictured);
        self.pictures += u32::from(pictured);
        self.unreadable += u32::from(page.suppressed_text_runs > 0 || page.undecoded_text_codes > 0);
    }
}

fn judge(mut body: Body, seen: &Seen, incomplete: bool) -> Result<Body, ReadError> {
    if !body.text.chars().any(char::is_alphanumeric) {
        return Err(match (seen.pictures, seen.failed + seen.unreadable) {
            (1.., _) => ReadError::Scanned,
            (0, 1..) => ReadError::Damaged,
            (0, 0) if seen.pages == 0 || incomplete => ReadError::Damaged,
            _ => ReadError::Empty,
        });
    }
    if seen.without_text > 0 {
        body.warnings.push(format!("그림뿐인 {}쪽은 글자를 읽지 못했습니다.", seen.without_text));
    }
    if seen.unreadable > 0 {
        body.warnings.push(format!("글꼴 정보가 없는 글자가 {}쪽에서 빠졌습니다.", seen.unreadable));
    }
    if seen.failed > 0 || incomplete {
        body.warnings.push("파일 일부가 손상되어 빠진 쪽이 있을 수 있습니다.".to_owned());
    }
    Ok(body)
}

/// Titles that programs leave behind say nothing.
fn is_telling(title: &str) -> bool {
    let title = title.trim();
    let lower = title.to_lowercase();
    let left = ["untitled", "microsoft word", "microsoft powerpoint", "제목 없음", "presentation"];
    let file = [".hwp", ".hwpx", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".indd"];
    !title.is_empty() && !left.iter().any(|l| lower.starts_with(l)) && !file.iter().any(|f| lower.ends_with(f))
}

fn push_page(builder: &mut Builder, page: &Page) {
    builder.page(page.number);
    for block in &page.elements {
        match block {
            Block::Paragraph(paragraph) => push_paragraph(builder, paragraph),
            Block::Table(table) => push_table(builder, table),
            Block::Code { content } | Block::Raw { content } => builder.paragraph(content),
            _ => {}
        }
    }
}

fn push_paragraph(builder: &mut Builder, paragraph: &Paragraph) {
    match paragraph.heading_level() {
        Some(level) => builder.heading(level, &paragraph.plain_text()),
        None => builder.paragraph(&joined(paragraph)),
    }
}

/// The words of a paragraph; alternative texts of pictures are left out.
fn joined(paragraph: &Paragraph) -> String {
    if paragraph.content.iter().any(|c| matches!(c, InlineContent::Image { .. })) {
        let words = paragraph.content.iter().map(|c| match c {
            InlineContent::Text(run) => run.text.as_str(),
            InlineContent::Link { text, .. } => text.as_str(),
            InlineContent::LineBreak => "\n",
            InlineContent::Image { .. } => "",
        });
        return words.collect();
    }
    paragraph.plain_text()
}

fn push_table(builder: &mut Builder, table: &Table) {
    let rows: Vec<Vec<Cell>> = table
        .rows
        .iter()
        .map(|row| {
            let cell = |c: &unpdf::TableCell| Cell::spanning(c.plain_text(), c.rowspan.into(), c.colspan.into());
            row.cells.iter().map(cell).collect()
        })
        .collect();
    builder.table(&rows);
}

fn refusal(error: &Error) -> ReadError {
    match error {
        Error::Encrypted | Error::InvalidPassword => ReadError::PasswordProtected,
        _ => ReadError::Damaged,
    }
}

//! DOCX and PPTX through undoc. A slide is a page; a Word file states no pages, so it has none.

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder, Cell},
};
use undoc::{Block, Document, Error, ListType, Paragraph, Section, Table};

pub(super) fn read_docx(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let parsed = undoc::docx::DocxParser::from_bytes(bytes.to_vec()).and_then(|mut p| p.parse());
    let document = parsed.map_err(|e| refusal(&e))?;
    let mut builder = Builder::new(limits.text_chars);
    builder.title = title(&document);
    for section in &document.sections {
        push_section(&mut builder, section);
    }
    builder.finish()
}

pub(super) fn read_pptx(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let parsed = undoc::pptx::PptxParser::from_bytes(bytes.to_vec()).and_then(|mut p| p.parse());
    let document = parsed.map_err(|e| refusal(&e))?;
    let mut builder = Builder::new(limits.text_chars);
    builder.title = title(&document);
    for (slide, section) in (1u32..).zip(&document.sections) {
        builder.page(slide);
        push_section(&mut builder, section);
        for note in section.notes.iter().flatten() {
            let text = note.plain_text();
            if !text.trim().is_empty() {
                builder.paragraph(&format!("(발표자 메모) {text}"));
            }
        }
    }
    builder.finish()
}

fn refusal(error: &Error) -> ReadError {
    match error {
        Error::Encrypted => ReadError::PasswordProtected,
        _ => ReadError::Damaged,
    }
}

/// Titles that programs leave behind say nothing.
fn title(document: &Document) -> Option<String> {
    let title = document.metadata.title.as_deref()?.trim();
    let empty = ["PowerPoint 프레젠테이션", "PowerPoint Presentation", "제목 없음", "Untitled"];
    (!title.is_empty() && !empty.contains(&title)).then(|| title.to_owned())
}

fn push_section(builder: &mut Builder, section: &Section) {
    for block in &section.content {
        match block {
            Block::Paragraph(paragraph) => push_paragraph(builder, paragraph),
            Block::Table(table) => push_table(builder, table, 0),
            Block::Note { label, content } => {
                let text: Vec<String> = content.iter().map(Paragraph::plain_text).collect();
                builder.paragraph(&format!("(주 {label}) {}", text.join(" ")));
            }
            Block::PageBreak | Block::SectionBreak | Block::Image { .. } => {}
        }
    }
}

fn push_paragraph(builder: &mut Builder, paragraph: &Paragraph) {
    let text = words(paragraph);
    let level = paragraph.heading.level();
    if level > 0 {
        builder.heading(level, &text);
        return;
    }
    match &paragraph.list_info {
        Some(list) if list.list_type == ListType::Numbered => {
            let marker = list.number.map_or("-".to_owned(), |n| format!("{n}."));
            builder.item(list.level, &marker, &text);
        }
        Some(list) if list.list_type == ListType::Bullet => builder.item(list.level, "-", &text),
        _ => builder.paragraph(&text),
    }
}

/// Text of a paragraph as it stands after accepted revisions.
fn words(paragraph: &Paragraph) -> String {
    let mut out = String::new();
    for run in &paragraph.runs {
        if run.revision == undoc::model::RevisionType::Deleted {
            continue;
        }
        out.push_str(&run.text);
        if let Some(label) = &run.note {
            out.push_str(&format!("(주 {label})"));
        }
        if run.line_break || run.page_break {
            out.push('\n');
        }
    }
    out
}

/// Deepest nested table followed.
const MAX_NESTING: usize = 16;

/// A table, and behind it the tables inside its cells.
fn push_table(builder: &mut Builder, table: &Table, depth: usize) {
    let mut nested = Vec::new();
    let mut rows = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let mut cells = Vec::with_capacity(row.cells.len());
        for cell in &row.cells {
            nested.extend(&cell.nested_tables);
            let lines: Vec<String> = cell.content.iter().map(words).collect();
            cells.push(Cell::spanning(lines.join("\n"), cell.row_span as usize, cell.col_span as usize));
        }
        rows.push(cells);
    }
    let header = table.rows.iter().take_while(|row| row.is_header).count();
    builder.table_with_header(&rows, (header > 0).then_some(header));
    if depth < MAX_NESTING {
        for table in nested {
            push_table(builder, table, depth + 1);
        }
    }
}

//! HWP 5 and HWPX through unhwp. Distribution-protected and encrypted files are refused before they come here.

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder, Cell},
};
use unhwp::{
    Document, ErrorKind, ParseOptions,
    model::{Block, InlineContent, Paragraph, Table},
    render::HeadingAnalyzer,
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let strict = ParseOptions { extract_resources: false, parallel: false, ..ParseOptions::default() };
    let (document, whole) = match unhwp::parse_bytes_with_options(bytes, &strict) {
        Ok(document) => (document, true),
        Err(error) => match refusal(error.kind()) {
            ReadError::Damaged => (lenient(bytes, strict)?, false),
            refused => return Err(refused),
        },
    };
    if document.metadata.is_distribution {
        return Err(ReadError::Distribution);
    }
    let mut builder = Builder::new(limits.text_chars);
    push(&mut builder, &document);
    if !whole {
        if builder.is_empty() {
            return Err(ReadError::Damaged);
        }
        builder.warnings.push("파일 일부가 손상되어 읽지 못한 부분이 있습니다.".to_owned());
    }
    builder.finish()
}

fn lenient(bytes: &[u8], strict: ParseOptions) -> Result<Document, ReadError> {
    unhwp::parse_bytes_with_options(bytes, &strict.lenient()).map_err(|e| refusal(e.kind()))
}

fn refusal(kind: ErrorKind) -> ReadError {
    match kind {
        ErrorKind::Encrypted => ReadError::PasswordProtected,
        ErrorKind::DistributionRestricted => ReadError::Distribution,
        _ => ReadError::Damaged,
    }
}

fn push(builder: &mut Builder, document: &Document) {
    // One decision per top-level paragraph, in order.
    let mut decisions = HeadingAnalyzer::with_defaults().analyze(document).into_iter();
    for section in &document.sections {
        for block in &section.content {
            match block {
                Block::Paragraph(paragraph) => {
                    let level = decisions.next().and_then(|d| d.level());
                    push_paragraph(builder, paragraph, level);
                }
                Block::Table(table) => push_table(builder, table, 0),
            }
        }
    }
}

fn push_paragraph(builder: &mut Builder, paragraph: &Paragraph, level: Option<u8>) {
    let text = words(paragraph);
    match level {
        // Whole sentences in large letters are no headings.
        Some(level) if text.chars().count() <= 80 => builder.heading(level, &text),
        _ => builder.paragraph(&text),
    }
}

/// Text of a paragraph with its footnotes in brackets.
fn words(paragraph: &Paragraph) -> String {
    let mut out = String::new();
    for part in &paragraph.content {
        match part {
            InlineContent::Text(run) => out.push_str(&run.text),
            InlineContent::LineBreak => out.push('\n'),
            InlineContent::Link { text, .. } => out.push_str(text),
            InlineContent::Equation(equation) => out.push_str(&equation.script),
            InlineContent::Footnote(note) if !note.trim().is_empty() => {
                out.push_str(&format!(" (주: {})", note.trim()));
            }
            InlineContent::Footnote(_) | InlineContent::Image(_) => {}
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
            cells.push(Cell::spanning(lines.join("\n"), cell.rowspan as usize, cell.colspan as usize));
        }
        rows.push(cells);
    }
    builder.table(&rows);
    if depth < MAX_NESTING {
        for table in nested {
            push_table(builder, table, depth + 1);
        }
    }
}

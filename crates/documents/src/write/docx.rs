//! Markdown → DOCX through docx-rs: heading styles, lists as numbered paragraphs, bordered tables.

use super::{
    WriteError, bounded,
    markdown::{Block, Run, blocks},
};
use docx_rs::{
    AbstractNumbering, Docx, IndentLevel, Level, LevelJc, LevelText, NumberFormat, Numbering, NumberingId, Paragraph,
    Run as Word, RunFonts, SpecialIndentType, Start, Style, StyleType, Table, TableCell, TableRow, WidthType,
};
use std::io::Cursor;

/// Deepest list level that Word knows.
const LEVELS: usize = 9;
const BULLETS: usize = 2;
/// Ordered lists restart: each gets a numbering of its own from here on.
const FIRST_ORDERED: usize = 10;
/// Width of the text on A4 with the default margins, in twentieths of a point.
const TEXT_WIDTH: usize = 9000;

/// Writes Markdown as a DOCX file under a title.
///
/// # Errors
/// When the text is longer than any report, or packing fails.
pub fn markdown_to_docx(markdown: &str, title: &str) -> Result<Vec<u8>, WriteError> {
    bounded(markdown)?;
    let mut docx = styled(Docx::new());
    if !title.trim().is_empty() {
        docx = docx.add_paragraph(paragraph(&[Run { text: title.trim().to_owned(), ..Run::default() }]).style("Title"));
    }
    let mut ordered = FIRST_ORDERED;
    for block in blocks(markdown) {
        docx = match block {
            Block::Heading(level, runs) => docx.add_paragraph(paragraph(&runs).style(&format!("Heading{level}"))),
            Block::Paragraph(runs) => docx.add_paragraph(paragraph(&runs)),
            Block::Item(depth, number, runs) => {
                if number == Some(1) {
                    ordered += 1;
                    docx = docx
                        .add_abstract_numbering(numbering(ordered, "decimal"))
                        .add_numbering(Numbering::new(ordered, ordered));
                }
                let id = if number.is_some() { ordered.max(FIRST_ORDERED) } else { BULLETS };
                let level = IndentLevel::new(depth.min(LEVELS - 1));
                docx.add_paragraph(paragraph(&runs).numbering(NumberingId::new(id), level))
            }
            Block::Table(rows) => docx.add_table(table(&rows)).add_paragraph(Paragraph::new()),
        };
    }
    let mut out = Cursor::new(Vec::new());
    docx.build().pack(&mut out).map_err(|e| WriteError(e.to_string()))?;
    Ok(out.into_inner())
}

fn styled(docx: Docx) -> Docx {
    let font = RunFonts::new().east_asia("맑은 고딕").ascii("맑은 고딕").hi_ansi("맑은 고딕");
    let mut docx = docx
        .default_fonts(font)
        .default_size(22)
        .add_style(Style::new("Title", StyleType::Paragraph).name("Title").size(36).bold())
        .add_abstract_numbering(numbering(BULLETS, "bullet"))
        .add_numbering(Numbering::new(BULLETS, BULLETS))
        .add_abstract_numbering(numbering(FIRST_ORDERED, "decimal"))
        .add_numbering(Numbering::new(FIRST_ORDERED, FIRST_ORDERED));
    for (level, size) in (1usize..=6).zip([32usize, 28, 26, 24, 22, 22]) {
        let style = Style::new(format!("Heading{level}"), StyleType::Paragraph).name(format!("heading {level}"));
        docx = docx.add_style(style.size(size).bold().outline_lvl(level - 1));
    }
    docx
}

fn numbering(id: usize, format: &str) -> AbstractNumbering {
    (0..LEVELS).fold(AbstractNumbering::new(id), |numbering, level| {
        let text = if format == "bullet" { "•".to_owned() } else { format!("%{}.", level + 1) };
        let format = NumberFormat::new(format);
        let left = 400 * (level as i32 + 1);
        numbering.add_level(
            Level::new(level, Start::new(1), format, LevelText::new(text), LevelJc::new("left")).indent(
                Some(left),
                Some(SpecialIndentType::Hanging(400)),
                None,
                None,
            ),
        )
    })
}

fn paragraph(runs: &[Run]) -> Paragraph {
    runs.iter().fold(Paragraph::new(), |paragraph, run| {
        let mut word = Word::new();
        for (index, line) in run.text.lines().enumerate() {
            if index > 0 {
                word = word.add_break(docx_rs::BreakType::TextWrapping);
            }
            word = word.add_text(line);
        }
        if run.bold {
            word = word.bold();
        }
        if run.italic {
            word = word.italic();
        }
        paragraph.add_run(word)
    })
}

fn table(rows: &[Vec<Vec<Run>>]) -> Table {
    let width = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let rows = rows.iter().enumerate().map(|(index, row)| {
        let cells = (0..width).map(|column| {
            let mut runs = row.get(column).cloned().unwrap_or_default();
            if index == 0 {
                runs.iter_mut().for_each(|r| r.bold = true);
            }
            TableCell::new().add_paragraph(paragraph(&runs)).width(TEXT_WIDTH / width, WidthType::Dxa)
        });
        TableRow::new(cells.collect())
    });
    Table::new(rows.collect()).set_grid(vec![TEXT_WIDTH / width; width])
}

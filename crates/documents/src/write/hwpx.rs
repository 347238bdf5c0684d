//! Markdown → HWPX through hwpforge. Its heading styles number themselves (가., 나.), so a number that the author
//! wrote is taken off first.

use super::{
    WriteError, bounded,
    markdown::{Block, Run, blocks},
};
use hwpforge::{
    core::ImageStore,
    hwpx::{HwpxEncoder, HwpxRegistryBridge},
    md::MdDecoder,
};
use regex::Regex;
use std::{fmt::Write, sync::LazyLock};

static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:[0-9]{1,2}|[가나다라마바사아자차카타파하])[.)]\s+").ok());

/// Writes Markdown as an HWPX file under a title.
///
/// # Errors
/// When the text is longer than any report, or the encoder refuses it.
pub fn markdown_to_hwpx(markdown: &str, title: &str) -> Result<Vec<u8>, WriteError> {
    bounded(markdown)?;
    let failed = |stage: &str, e: String| WriteError(format!("{stage}: {e}"));
    let decoded =
        MdDecoder::decode_with_default(&plain(markdown, title)).map_err(|e| failed("markdown", e.to_string()))?;
    let bridge =
        HwpxRegistryBridge::from_registry(&decoded.style_registry).map_err(|e| failed("styles", e.to_string()))?;
    let document = bridge.rebind_draft_document(decoded.document).map_err(|e| failed("styles", e.to_string()))?;
    let document = document.validate().map_err(|e| failed("document", e.to_string()))?;
    HwpxEncoder::encode(&document, bridge.style_store(), &ImageStore::new())
        .map_err(|e| failed("package", e.to_string()))
}

/// The same answer in the Markdown that the encoder takes: no pictures, HTML or front matter, one blank line between
/// blocks, headings without numbers.
fn plain(markdown: &str, title: &str) -> String {
    let mut out = String::new();
    if !title.trim().is_empty() {
        let _ = writeln!(out, "**{}**\n", escaped(title.trim()));
    }
    for block in blocks(markdown) {
        let _ = match block {
            Block::Heading(level, runs) => writeln!(out, "{} {}\n", "#".repeat(level), unnumbered(&inline(&runs))),
            Block::Paragraph(runs) => writeln!(out, "{}\n", inline(&runs)),
            Block::Item(depth, number, runs) => {
                let marker = number.map_or("-".to_owned(), |n| format!("{n}."));
                writeln!(out, "{}{marker} {}", "    ".repeat(depth.min(6)), inline(&runs))
            }
            Block::Table(rows) => writeln!(out, "\n{}", table(&rows)),
        };
    }
    out
}

fn unnumbered(heading: &str) -> String {
    NUMBER.as_ref().map_or_else(|| heading.to_owned(), |re| re.replace(heading, "").into_owned())
}

/// Words on one line, with bold kept where Markdown can carry it.
fn inline(runs: &[Run]) -> String {
    let mut out = String::new();
    for run in runs {
        let text = run.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (lead, trail) = (run.text.starts_with(char::is_whitespace), run.text.ends_with(char::is_whitespace));
        if lead && !out.ends_with(' ') {
            out.push(' ');
        }
        if run.bold && !text.is_empty() {
            let _ = write!(out, "**{}**", escaped(&text));
        } else {
            out.push_str(&escaped(&text));
        }
        if trail {
            out.push(' ');
        }
    }
    out.trim().to_owned()
}

/// Keeps text from being read as markup again.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        let mark = matches!(c, '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '&' | '~' | '$');
        if mark || index == 0 && matches!(c, '#' | '-' | '+' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    // A paragraph that begins like "1." stays a paragraph.
    match out.find(['.', ')']) {
        Some(at) if at > 0 && out.bytes().take(at).all(|b| b.is_ascii_digit()) => out.insert(at, '\\'),
        _ => {}
    }
    out
}

fn table(rows: &[Vec<Vec<Run>>]) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = (0..width).map(|c| row.get(c).map(|r| inline(r)).unwrap_or_default()).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(out, "|{}", " --- |".repeat(width));
        }
    }
    out
}

//! Every file below some folders through the sandbox, counted by format: what was read, refused and why, warned of, and
//! found. For a person who wants to know how their documents fare; nothing is stored.

use crate::{Extracted, ReadError, child::Sandbox, detect};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Instant,
};

/// Counts of one format.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Row {
    pub files: usize,
    pub read: usize,
    /// Refused files by [`ReadError::kind`].
    pub refused: BTreeMap<&'static str, usize>,
    /// Files read with at least one warning.
    pub warned: usize,
    /// Pages of all files, 0 where the format knows none.
    pub pages: u64,
    /// Files whose pages are guessed.
    pub estimated: usize,
    pub headings: usize,
    pub tables: usize,
    /// Footnotes and endnotes.
    pub notes: usize,
    pub passages: usize,
    pub characters: usize,
    pub slowest_ms: u128,
    pub slowest: String,
}

/// Counts by format; prints as a table.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Survey {
    pub rows: BTreeMap<String, Row>,
}

/// Reads every file below `folders`, one after another. `refused` hears of each file that gave no text.
///
/// # Errors
/// When a folder or a file cannot be read from disk.
pub async fn survey(
    sandbox: &Sandbox,
    folders: &[PathBuf],
    mut refused: impl FnMut(&Path, &ReadError),
) -> std::io::Result<Survey> {
    let mut files = Vec::new();
    for folder in folders {
        collect(folder, &mut files)?;
    }
    files.sort();
    let mut survey = Survey::default();
    for path in &files {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = std::fs::read(path)?;
        let started = Instant::now();
        let outcome = sandbox.read(&bytes, &name).await;
        let took = started.elapsed().as_millis();
        let row = survey.rows.entry(label(&bytes, &name)).or_default();
        row.files += 1;
        if took >= row.slowest_ms {
            (row.slowest_ms, row.slowest) = (took, name);
        }
        match outcome {
            Ok(extracted) => row.add(&extracted),
            Err(error) => {
                refused(path, &error);
                *row.refused.entry(error.kind()).or_default() += 1;
            }
        }
    }
    Ok(survey)
}

impl Row {
    fn add(&mut self, extracted: &Extracted) {
        self.read += 1;
        self.warned += usize::from(!extracted.warnings.is_empty());
        self.pages += extracted.pages.last().map_or(0, |p| u64::from(p.page));
        self.estimated += usize::from(extracted.pages.iter().any(|p| p.estimated));
        self.headings += extracted.headings.len();
        self.tables += extracted.text.lines().filter(|l| l.starts_with("| --- |")).count();
        self.notes += extracted.text.matches("(주: ").count() + extracted.text.matches("\n(주 ").count();
        self.passages += extracted.passages.len();
        self.characters += extracted.text.chars().count();
    }
}

/// Name of the format, or in brackets the extension of what is none.
fn label(bytes: &[u8], name: &str) -> String {
    match detect(bytes, name) {
        Ok(found) => found.format.label().to_owned(),
        Err(_) => format!("({})", name.rsplit_once('.').map_or("none", |(_, e)| e)),
    }
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.is_file() {
        out.push(folder.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        collect(&entry?.path(), out)?;
    }
    Ok(())
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>6} {:>6} {:>7} {:>7} {:>6} {:>9} {:>7} {:>6} {:>9} {:>10} {:>9}  refused [slowest]",
            "format",
            "files",
            "read",
            "warned",
            "pages",
            "approx",
            "headings",
            "tables",
            "notes",
            "passages",
            "chars",
            "slowest"
        )?;
        for (format, row) in &self.rows {
            let refused: Vec<String> = row.refused.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
            writeln!(
                f,
                "{format:<10} {:>6} {:>6} {:>7} {:>7} {:>6} {:>9} {:>7} {:>6} {:>9} {:>10} {:>6} ms  {} [{}]",
                row.files,
                row.read,
                row.warned,
                row.pages,
                row.estimated,
                row.headings,
                row.tables,
                row.notes,
                row.passages,
                row.characters,
                row.slowest_ms,
                refused.join(", "),
                row.slowest
            )?;
        }
        Ok(())
    }
}

//! Documents: bytes → text with pages, headings and tables → passages; and answers → DOCX and HWPX.
//!
//! Pure but for [`child`], which runs [`read`] in a process of its own with limits on memory, time and output:
//! untrusted bytes are parsed there. No database, no index, no network.

mod archive;
mod blocks;
pub mod child;
mod error;
mod format;
mod headings;
mod limits;
mod passages;
mod readers;
mod text;
pub mod write;

pub use error::ReadError;
pub use format::{Detected, Format, detect};
pub use limits::{Limits, PassageSize};
pub use passages::passages;

use madang_domain::PassageDraft;
use serde::{Deserialize, Serialize};

/// Where a page begins in the stored text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    /// 1-based page or slide.
    pub page: u32,
    /// Offset in characters.
    pub offset: usize,
    /// Guessed from line positions rather than stated by the file.
    #[serde(default)]
    pub estimated: bool,
}

/// A heading of the stored text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Depth in its document, from 1.
    pub level: usize,
    pub text: String,
    /// Offset of its line in characters.
    pub offset: usize,
}

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    pub format: Format,
    /// What the document calls itself, where it does.
    pub title: Option<String>,
    /// NFC Markdown: the document's stored text, which spans and pages count into.
    pub text: String,
    /// In order; empty where the format knows no pages.
    pub pages: Vec<PageStart>,
    /// In order.
    pub headings: Vec<Heading>,
    /// Korean sentences for the owner: what was mislabelled, left out or guessed.
    pub warnings: Vec<String>,
    pub passages: Vec<PassageDraft>,
}

/// Reads a document.
///
/// `file_name` only helps where the content itself does not tell the format.
///
/// # Errors
/// See [`ReadError`]. A document without any text is [`ReadError::Empty`], never an empty success.
pub fn read(bytes: &[u8], file_name: &str, limits: &Limits) -> Result<Extracted, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    if bytes.len() as u64 > limits.input_bytes {
        return Err(ReadError::TooLarge);
    }
    let detected = detect(bytes, file_name)?;
    archive::check(bytes, detected.format, limits)?;
    let body = readers::read(bytes, detected.format, limits)?;
    if !body.text.chars().any(char::is_alphanumeric) {
        return Err(ReadError::Empty);
    }
    let mut warnings: Vec<String> = detected.warning.into_iter().collect();
    warnings.extend(body.warnings);
    let cut = passages::cut(&body.text, &body.pages, limits.passages);
    let title = body.title.or_else(|| leading_title(&cut.headings));
    Ok(Extracted {
        format: detected.format,
        title,
        text: body.text,
        pages: body.pages,
        headings: cut.headings,
        warnings,
        passages: cut.passages,
    })
}

/// A heading near the top serves as the title of a document that names none.
fn leading_title(headings: &[Heading]) -> Option<String> {
    headings.first().filter(|h| h.offset < 400 && h.level == 1).map(|h| h.text.clone())
}

//! Documents: bytes → text with pages, headings and tables → passages; and answers → DOCX and HWPX.
//!
//! Pure but for [`child`], which runs [`read`] in processes of their own with limits on memory, time and output:
//! untrusted bytes are parsed there; and [`survey`], which reads files from disk. No database, no index, no network.

mod archive;
mod blocks;
pub mod child;
mod error;
mod format;
mod headings;
mod johab;
mod limits;
mod passages;
mod readers;
pub mod survey;
mod tables;
mod text;
pub mod write;
mod xml;

pub use error::ReadError;
pub use format::{Detected, Format, detect};
pub use limits::{DistributionPolicy, Limits, PassageSize};
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
    let private = text::private(&body.text);
    if private > 0 {
        warnings.push(format!("특정 글꼴에만 있는 글자 {private}개는 표준 글자로 옮기지 못했습니다(옛한글이나 기호)."));
    }
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

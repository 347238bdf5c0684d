//! Answers → office documents: Markdown to DOCX and HWPX. Nothing of reading is here.

mod docx;
mod hwpx;
mod markdown;

pub use docx::markdown_to_docx;
pub use hwpx::markdown_to_hwpx;

/// The answer could not be written as a document.
#[derive(Debug, thiserror::Error)]
#[error("문서를 만들지 못했습니다. 다른 형식으로 내려받아 주세요. ({0})")]
pub struct WriteError(pub(crate) String);

/// Longest answer written: far beyond any report.
const MAX_MARKDOWN: usize = 2 << 20;

fn bounded(markdown: &str) -> Result<(), WriteError> {
    if markdown.len() > MAX_MARKDOWN {
        return Err(WriteError("글이 너무 깁니다".to_owned()));
    }
    Ok(())
}

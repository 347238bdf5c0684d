//! What a file is: by content first, by extension where the content is plain text.

use crate::{ReadError, archive, readers};
use serde::{Deserialize, Serialize};

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Txt,
    Markdown,
    Html,
    /// Comma, tab, semicolon or bar separated.
    Csv,
    Pdf,
    Docx,
    Xlsx,
    /// Excel 97–2003.
    Xls,
    Pptx,
    /// HWP 5.
    Hwp,
    Hwpx,
    /// OpenDocument text.
    Odt,
    /// OpenDocument spreadsheet.
    Ods,
    /// A mail.
    Eml,
}

impl Format {
    pub const ALL: [Format; 14] = [
        Format::Txt,
        Format::Markdown,
        Format::Html,
        Format::Csv,
        Format::Pdf,
        Format::Docx,
        Format::Xlsx,
        Format::Xls,
        Format::Pptx,
        Format::Hwp,
        Format::Hwpx,
        Format::Odt,
        Format::Ods,
        Format::Eml,
    ];

    /// Name for screens.
    pub fn label(self) -> &'static str {
        match self {
            Format::Txt => "TXT",
            Format::Markdown => "Markdown",
            Format::Html => "HTML",
            Format::Csv => "CSV",
            Format::Pdf => "PDF",
            Format::Docx => "DOCX",
            Format::Xlsx => "XLSX",
            Format::Xls => "XLS",
            Format::Pptx => "PPTX",
            Format::Hwp => "HWP",
            Format::Hwpx => "HWPX",
            Format::Odt => "ODT",
            Format::Ods => "ODS",
            Format::Eml => "EML",
        }
    }

    /// Media type for serving the original.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Txt => "text/plain",
            Format::Markdown => "text/markdown",
            Format::Html => "text/html",
            Format::Csv => "text/csv",
            Format::Pdf => "application/pdf",
            Format::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Format::Xls => "application/vnd.ms-excel",
            Format::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            Format::Hwp => "application/x-hwp",
            Format::Hwpx => "application/hwp+zip",
            Format::Odt => "application/vnd.oasis.opendocument.text",
            Format::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            Format::Eml => "message/rfc822",
        }
    }

    fn of_extension(extension: &str) -> Option<Format> {
        Some(match extension {
            "txt" | "text" | "log" => Format::Txt,
            "md" | "markdown" => Format::Markdown,
            "html" | "htm" | "xhtml" => Format::Html,
            "csv" | "tsv" => Format::Csv,
            "pdf" => Format::Pdf,
            "docx" | "docm" => Format::Docx,
            "xlsx" | "xlsm" => Format::Xlsx,
            "xls" => Format::Xls,
            "pptx" | "pptm" => Format::Pptx,
            "hwp" => Format::Hwp,
            "hwpx" => Format::Hwpx,
            "odt" | "ott" => Format::Odt,
            "ods" | "ots" => Format::Ods,
            "eml" => Format::Eml,
            _ => return None,
        })
    }

    fn is_text(self) -> bool {
        matches!(self, Format::Txt | Format::Markdown | Format::Html | Format::Csv | Format::Eml)
    }
}

/// A format, and what to tell the owner when the name says another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    pub format: Format,
    pub warning: Option<String>,
}

/// Tells the format of `bytes`.
///
/// # Errors
/// [`ReadError::Empty`] for no bytes, [`ReadError::Unsupported`] for what is no document, and
/// [`ReadError::PasswordProtected`], [`ReadError::Distribution`], [`ReadError::Hwp3`] where the container says so.
pub fn detect(bytes: &[u8], file_name: &str) -> Result<Detected, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Empty);
    }
    let extension = file_name.rsplit_once('.').map(|(_, e)| e.trim().to_lowercase()).unwrap_or_default();
    let named = Format::of_extension(&extension);
    let format = match by_magic(bytes)? {
        Some(format) => format,
        None => by_text(bytes, named)?,
    };
    let warning = match named {
        Some(n) if n != format && !(n.is_text() && format.is_text()) => {
            Some(format!("확장자는 .{extension}이지만 내용은 {} 문서라 그렇게 읽었습니다.", format.label()))
        }
        None if !extension.is_empty() && extension.len() <= 12 && format.is_text() => {
            Some(format!("알지 못하는 확장자(.{extension})라 {} 문서로 읽었습니다.", format.label()))
        }
        _ => None,
    };
    Ok(Detected { format, warning })
}

/// Signatures of what people upload by mistake, with the Korean name shown in the refusal.
const REFUSED: &[(&[u8], &str)] = &[
    (b"\x89PNG", "그림"),
    (b"\xFF\xD8\xFF", "그림"),
    (b"GIF8", "그림"),
    (b"II*\0", "그림"),
    (b"MM\0*", "그림"),
    (b"MZ", "실행 파일"),
    (b"\x7FELF", "실행 파일"),
    (b"Rar!", "압축 파일"),
    (b"7z\xBC\xAF", "압축 파일"),
    (b"\x1F\x8B", "압축 파일"),
    (b"ALZ\x01", "압축 파일"),
    (b"EGGA", "압축 파일"),
    (b"{\\rtf", "RTF"),
    (b"\0\0\0", "동영상"),
    (b"ID3", "소리 파일"),
    (b"SQLite format 3", "데이터베이스"),
];

fn by_magic(bytes: &[u8]) -> Result<Option<Format>, ReadError> {
    if bytes.starts_with(b"HWP Document File V") {
        return Err(ReadError::Hwp3);
    }
    // The signature of a PDF may stand anywhere in the first kilobyte.
    if bytes.get(..bytes.len().min(1024)).is_some_and(|head| find(head, b"%PDF-").is_some()) {
        return Ok(Some(Format::Pdf));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return archive::zip_format(bytes).map(Some);
    }
    if bytes.starts_with(&[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1]) {
        return archive::ole_format(bytes).map(Some);
    }
    match REFUSED.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, what)) => Err(ReadError::unsupported(*what)),
        None => Ok(None),
    }
}

/// Offset of `needle` in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn by_text(bytes: &[u8], named: Option<Format>) -> Result<Format, ReadError> {
    let head = bytes.get(..bytes.len().min(64 << 10)).unwrap_or(bytes);
    let decoded = crate::text::decode(head).ok_or_else(|| ReadError::unsupported("알 수 없는 이진 파일"))?;
    let lower: String = decoded.chars().take(4096).collect::<String>().to_ascii_lowercase();
    let lower = lower.trim_start();
    if lower.contains("<hwpml") {
        return Err(ReadError::unsupported("HWPML"));
    }
    if readers::is_letter(&decoded) {
        return Ok(Format::Eml);
    }
    let markup = lower.starts_with("<!doctype html") || lower.contains("<html") || lower.contains("<body");
    // "Excel" downloads of many public systems are HTML tables.
    let table = lower.starts_with('<') && lower.contains("<table");
    Ok(match named {
        _ if markup || table => Format::Html,
        Some(Format::Html) if lower.contains('<') => Format::Html,
        Some(Format::Markdown) => Format::Markdown,
        Some(Format::Csv) => Format::Csv,
        Some(Format::Eml) => Format::Eml,
        _ => Format::Txt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_wins_over_the_name() {
        let pdf = detect(b"%PDF-1.4\n", "plan.hwp").expect("a PDF");
        assert_eq!(pdf.format, Format::Pdf);
        assert!(pdf.warning.is_some_and(|w| w.contains("PDF")));
        let sheet = detect("<html><table><tr><td>값</td></tr></table>".as_bytes(), "현황.xls").expect("HTML");
        assert_eq!(sheet.format, Format::Html);
        assert!(sheet.warning.is_some());
        let plain = detect("그냥 글".as_bytes(), "a.txt").expect("text");
        assert_eq!((plain.format, plain.warning), (Format::Txt, None));
    }

    #[test]
    fn refuses_what_is_no_document() {
        assert_eq!(detect(b"", "a.txt"), Err(ReadError::Empty));
        assert_eq!(detect(b"HWP Document File V3.00", "a.hwp"), Err(ReadError::Hwp3));
        for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"MZ\x90\0", &[1, 2, 3, 0, 0, 7, 9, 200, 0, 0, 1, 2, 5, 1, 0, 3]] {
            assert!(matches!(detect(bytes, "a.pdf"), Err(ReadError::Unsupported { .. })), "{bytes:?}");
        }
    }
}

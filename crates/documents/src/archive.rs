//! Containers: what a ZIP package or an OLE compound file holds, and whether it is safe to hand to a library
//! (entry count, inflated size, nesting). Reading the documents inside is for `readers`.

use crate::{Format, Limits, ReadError};
use std::io::{Cursor, Read};

type Archive<'a> = zip::ZipArchive<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<Archive<'_>, ReadError> {
    zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| ReadError::Damaged)
}

/// Format of a ZIP package by the parts that it names.
pub(crate) fn zip_format(bytes: &[u8]) -> Result<Format, ReadError> {
    let mut archive = open(bytes)?;
    let names: Vec<String> = archive.file_names().flatten().map(|n| n.into_owned()).collect();
    let has = |wanted: &str| names.iter().any(|n| n == wanted);
    let starts = |wanted: &str| names.iter().any(|n| n.starts_with(wanted));
    if has("Contents/content.hpf") || starts("Contents/section") {
        return if names_cipher(&mut archive) { Err(ReadError::PasswordProtected) } else { Ok(Format::Hwpx) };
    }
    if has("EncryptedPackage") {
        return Err(ReadError::PasswordProtected);
    }
    if has("xl/workbook.bin") {
        return Err(ReadError::unsupported("XLSB"));
    }
    if starts("word/") {
        return Ok(Format::Docx);
    }
    if starts("xl/") {
        return Ok(Format::Xlsx);
    }
    if starts("ppt/") {
        return Ok(Format::Pptx);
    }
    if has("content.xml") && has("META-INF/manifest.xml") {
        if names_cipher(&mut archive) {
            return Err(ReadError::PasswordProtected);
        }
        return match odf_kind(&mut archive) {
            Some(kind) if kind.starts_with("application/vnd.oasis.opendocument.text") => Ok(Format::Odt),
            Some(kind) if kind.starts_with("application/vnd.oasis.opendocument.spreadsheet") => Ok(Format::Ods),
            Some(kind) if kind.starts_with("application/vnd.oasis.opendocument.presentation") => {
                Err(ReadError::unsupported("ODP"))
            }
            _ => Err(ReadError::unsupported("ODF")),
        };
    }
    Err(ReadError::unsupported("압축 파일"))
}

/// The media type that an OpenDocument file states of itself.
fn odf_kind(archive: &mut Archive<'_>) -> Option<String> {
    let mut kind = String::new();
    archive.by_name("mimetype").ok()?.take(200).read_to_string(&mut kind).ok()?;
    Some(kind.trim().to_owned())
}

/// An encrypted HWPX or OpenDocument file names its cipher in the manifest.
fn names_cipher(archive: &mut Archive<'_>) -> bool {
    let Ok(entry) = archive.by_name("META-INF/manifest.xml") else {
        return false;
    };
    let mut manifest = Vec::new();
    entry.take(1 << 20).read_to_end(&mut manifest).is_ok()
        && crate::format::find(&manifest, b"encryption-data").is_some()
}

/// Flags of HWP 5's FileHeader, from Hancom's published format.
mod hwp_flags {
    pub const COMPRESSED: u32 = 1;
    pub const ENCRYPTED: u32 = 1 << 1;
    pub const DISTRIBUTION: u32 = 1 << 2;
    pub const DRM: u32 = 1 << 4;
    pub const PUBLIC_KEY: u32 = 1 << 8;
    pub const CERTIFICATE_DRM: u32 = 1 << 10;
}

type Compound<'a> = cfb::CompoundFile<Cursor<&'a [u8]>>;

fn open_ole(bytes: &[u8]) -> Result<Compound<'_>, ReadError> {
    cfb::CompoundFile::open(Cursor::new(bytes)).map_err(|_| ReadError::Damaged)
}

/// Format of an OLE compound file by its streams.
pub(crate) fn ole_format(bytes: &[u8]) -> Result<Format, ReadError> {
    let mut file = open_ole(bytes)?;
    if file.is_stream("/FileHeader") {
        let flags = hwp_properties(&mut file)?;
        let sealed = hwp_flags::ENCRYPTED | hwp_flags::DRM | hwp_flags::PUBLIC_KEY | hwp_flags::CERTIFICATE_DRM;
        return if flags & sealed != 0 { Err(ReadError::PasswordProtected) } else { Ok(Format::Hwp) };
    }
    if file.is_stream("/EncryptedPackage") || file.is_stream("/EncryptionInfo") {
        return Err(ReadError::PasswordProtected);
    }
    if file.is_stream("/Workbook") || file.is_stream("/Book") {
        return Ok(Format::Xls);
    }
    if file.is_stream("/WordDocument") {
        return Err(ReadError::unsupported("DOC(옛 워드)"));
    }
    if file.is_stream("/PowerPoint Document") {
        return Err(ReadError::unsupported("PPT(옛 파워포인트)"));
    }
    Err(ReadError::unsupported("알 수 없는 복합 파일"))
}

/// Property flags of HWP 5's FileHeader stream.
fn hwp_properties(file: &mut Compound<'_>) -> Result<u32, ReadError> {
    let mut header = [0u8; 40];
    let mut stream = file.open_stream("/FileHeader").map_err(|_| ReadError::Damaged)?;
    stream.read_exact(&mut header).map_err(|_| ReadError::Damaged)?;
    if !header.starts_with(b"HWP Document File") {
        return Err(ReadError::Damaged);
    }
    let flags = header.last_chunk::<4>().copied().unwrap_or_default();
    Ok(u32::from_le_bytes(flags))
}

/// What a reader must know of HWP 5's FileHeader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HwpHeader {
    pub compressed: bool,
    /// 배포용: the body is sealed in ViewText, BodyText holds a notice.
    pub distribution: bool,
}

pub(crate) fn hwp_header(bytes: &[u8]) -> Result<HwpHeader, ReadError> {
    let flags = hwp_properties(&mut open_ole(bytes)?)?;
    Ok(HwpHeader { compressed: flags & hwp_flags::COMPRESSED != 0, distribution: flags & hwp_flags::DISTRIBUTION != 0 })
}

/// Streams of HWP 5's body in order, opened and inflated to at most `most` bytes together.
pub(crate) fn hwp_sections(
    bytes: &[u8],
    header: HwpHeader,
    most: u64,
    unseal: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut file = open_ole(bytes)?;
    let folder = if header.distribution { "/ViewText" } else { "/BodyText" };
    let number = |path: &std::path::Path| -> Option<u32> {
        path.strip_prefix(folder).ok()?.to_str()?.strip_prefix("Section")?.parse().ok()
    };
    let mut paths: Vec<_> = file.walk().filter_map(|e| Some((number(e.path())?, e.path().to_path_buf()))).collect();
    paths.sort_unstable();
    let mut left = most;
    let mut out = Vec::new();
    for (_, path) in paths {
        let mut raw = Vec::new();
        file.open_stream(&path).and_then(|mut s| s.read_to_end(&mut raw)).map_err(|_| ReadError::Damaged)?;
        if header.distribution {
            raw = unseal(&raw).ok_or(ReadError::Damaged)?;
        }
        let mut stream = Vec::new();
        if header.compressed {
            // What came out before damage is kept: its records say themselves where they are cut.
            let _ =
                flate2::read::DeflateDecoder::new(raw.as_slice()).take(left.saturating_add(1)).read_to_end(&mut stream);
        } else {
            stream = raw;
        }
        left = left.checked_sub(stream.len() as u64).ok_or(ReadError::ZipBomb)?;
        out.push(stream);
    }
    Ok(out)
}

/// Names of a package's parts.
pub(crate) fn zip_names(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    Ok(open(bytes)?.file_names().flatten().map(|n| n.into_owned()).collect())
}

/// A part of a package as text, up to `most` bytes; `None` when it is absent or unreadable. Stray bytes are replaced.
pub(crate) fn zip_text(bytes: &[u8], name: &str, most: u64) -> Option<String> {
    let mut archive = open(bytes).ok()?;
    let entry = archive.by_name(name).ok()?;
    let mut out = Vec::new();
    let read = entry.take(most).read_to_end(&mut out);
    if read.is_err() && out.is_empty() {
        return None;
    }
    let text = String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Some(text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text))
}

/// Refuses a container that inflates, branches or nests beyond the limits, before any library sees it.
pub(crate) fn check(bytes: &[u8], format: Format, limits: &Limits) -> Result<(), ReadError> {
    match format {
        Format::Docx | Format::Xlsx | Format::Pptx | Format::Hwpx | Format::Odt | Format::Ods => {
            check_zip(bytes, limits)
        }
        Format::Hwp => check_hwp(bytes, limits),
        _ => Ok(()),
    }
}

fn check_zip(bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let mut archive = open(bytes)?;
    if archive.len() > limits.entries {
        return Err(ReadError::ZipBomb);
    }
    let mut left = limits.inflated_bytes;
    for index in 0..archive.len() {
        let Ok(entry) = archive.by_index(index) else {
            // A locked entry means a password; an unreadable one is left to the library, which may not need it.
            if archive.by_index_raw(index).is_ok_and(|e| e.encrypted()) {
                return Err(ReadError::PasswordProtected);
            }
            continue;
        };
        if entry.size() > left {
            return Err(ReadError::ZipBomb);
        }
        let xml = entry.name().is_ok_and(|n| n.ends_with(".xml") || n.ends_with(".hpf") || n.ends_with(".rels"));
        left = left.checked_sub(drain(entry, left, xml.then_some(limits.depth))?).ok_or(ReadError::ZipBomb)?;
    }
    Ok(())
}

/// Reads a stream to its end and returns its true size; an unreadable rest is left to the library to judge.
fn drain(mut stream: impl Read, most: u64, depth: Option<usize>) -> Result<u64, ReadError> {
    let mut nesting = Nesting::default();
    let mut buffer = vec![0u8; 64 << 10];
    let mut total = 0u64;
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        total += n as u64;
        if total > most {
            return Err(ReadError::ZipBomb);
        }
        if let Some(limit) = depth
            && nesting.feed(buffer.get(..n).unwrap_or_default()) > limit
        {
            return Err(ReadError::TooDeep);
        }
    }
    Ok(total)
}

/// Depth of open elements in a stream of XML; enough of a scanner to bound recursion, not a parser.
#[derive(Default)]
struct Nesting {
    depth: usize,
    deepest: usize,
    state: Scan,
    previous: u8,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Scan {
    #[default]
    Text,
    Opening,
    Start,
    Quoted(u8),
    End,
    Other,
}

impl Nesting {
    /// Deepest nesting so far.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (Scan::Text, b'<') => Scan::Opening,
                (Scan::Opening, b'/') => Scan::End,
                (Scan::Opening, b'?' | b'!') => Scan::Other,
                (Scan::Opening, _) => Scan::Start,
                (Scan::Start, b'"' | b'\'') => Scan::Quoted(byte),
                (Scan::Quoted(quote), _) if byte == quote => Scan::Start,
                (Scan::Start, b'>') => {
                    if self.previous != b'/' {
                        self.depth += 1;
                        self.deepest = self.deepest.max(self.depth);
                    }
                    Scan::Text
                }
                (Scan::End, b'>') => {
                    self.depth = self.depth.saturating_sub(1);
                    Scan::Text
                }
                (Scan::Other, b'>') => Scan::Text,
                (state, _) => state,
            };
            self.previous = byte;
        }
        self.deepest
    }
}

fn check_hwp(bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let mut file = open_ole(bytes)?;
    let compressed = hwp_properties(&mut file)? & hwp_flags::COMPRESSED != 0;
    let streams: Vec<_> = file.walk().filter(|e| e.is_stream()).map(|e| e.path().to_path_buf()).collect();
    if streams.len() > limits.entries {
        return Err(ReadError::ZipBomb);
    }
    let mut left = limits.inflated_bytes;
    for path in streams {
        let Ok(stream) = file.open_stream(&path) else { continue };
        let parsed = path.starts_with("/BodyText") || path.starts_with("/DocInfo") || path.starts_with("/BinData");
        let size = if compressed && parsed {
            drain(flate2::read::DeflateDecoder::new(stream), left, None)?
        } else {
            stream.len()
        };
        left = left.checked_sub(size).ok_or(ReadError::ZipBomb)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_across_chunks() {
        let mut nesting = Nesting::default();
        assert_eq!(nesting.feed(b"<?xml v='1'?><a x=\"1/>2\"><b/><"), 1);
        assert_eq!(nesting.feed(b"c><!-- <x> --></c></a><a>"), 2);
    }
}

//! Broken files of every format: whatever the bytes, reading ends with a document or a refusal. `MADANG_FUZZ_CASES`
//! sets how many are tried; a failing one is kept by proptest and tried again first.

mod common;

use common::*;
use madang_documents::{DistributionPolicy, Limits, read, write};
use proptest::prelude::*;
use std::{
    io::{Cursor, Read},
    sync::LazyLock,
};

fn cases(least: u32) -> ProptestConfig {
    let asked = std::env::var("MADANG_FUZZ_CASES").ok().and_then(|c| c.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(least)) }
}

/// Reads whatever it is and checks what holds for any outcome.
fn check(bytes: &[u8], name: &str) {
    let limits = Limits { inflated_bytes: 8 << 20, distribution: DistributionPolicy::Decrypt, ..Limits::default() };
    if let Ok(read) = read(bytes, name, &limits) {
        assert!(read.text.chars().any(char::is_alphanumeric) && !read.passages.is_empty());
        assert!(unicode_normalization::is_nfc(&read.text));
        let length = read.text.chars().count();
        assert!(read.pages.iter().all(|p| p.offset < length) && read.headings.iter().all(|h| h.offset < length));
        assert!(read.pages.windows(2).all(|w| w[0].offset <= w[1].offset));
        assert!(read.passages.windows(2).all(|w| w[0].span.end <= w[1].span.start));
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize, usize),
    Insert(prop::sample::Index, &'static [u8]),
    /// Copies a stretch from elsewhere in the file.
    Splice(prop::sample::Index, prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

/// What parsers stumble over: tags without partners, numbers at their ends, lengths that lie.
const TOKENS: &[&[u8]] = &[
    b"<hp:p>",
    b"</hp:p>",
    b"<hp:tbl>",
    b"</hp:tbl>",
    b"<hp:tc>",
    b"<hp:run>",
    b"</hp:run>",
    b"<hp:subList>",
    b"<w:p>",
    b"</w:tbl>",
    b"<text:p>",
    b"<table:table>",
    b"</table:table-cell>",
    b"65535",
    b"-1",
    b"99999999999",
    b"&#0;",
    b"&#xD800;",
    b"<!--",
    b"<![CDATA[",
    b"]]>",
    b"\xFF\xFF\xFF\xFF",
    b"\0\0\0\0",
    b"\xFF\x0F\0\0",
    b"colSpan=\"65535\"",
    b"endobj",
    b"stream\n",
    b"<<",
    b">>",
    b"/Kids [4 0 R]",
    b"\r\n\r\n",
    b"--b",
    b"|",
    b"\"",
];

fn edit() -> impl Strategy<Value = Edit> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Edit::Set(at, value)),
        2 => (any::<Index>(), 1usize..200).prop_map(|(at, n)| Edit::Remove(at, n)),
        1 => (any::<Index>(), 1usize..100, 2usize..50).prop_map(|(at, n, times)| Edit::Repeat(at, n, times)),
        3 => (any::<Index>(), prop::sample::select(TOKENS)).prop_map(|(at, token)| Edit::Insert(at, token)),
        2 => (any::<Index>(), any::<Index>(), 1usize..300).prop_map(|(at, from, n)| Edit::Splice(at, from, n)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let length = bytes.len();
        if length == 0 || length > 1 << 20 {
            break;
        }
        let stretch = |at: usize, n: usize| at..length.min(at + n);
        match edit {
            Edit::Set(at, value) => bytes[at.index(length)] = *value,
            Edit::Remove(at, n) => drop(bytes.drain(stretch(at.index(length), *n))),
            Edit::Repeat(at, n, times) => {
                let at = at.index(length);
                let piece = bytes[stretch(at, *n)].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Edit::Insert(at, token) => drop(bytes.splice(at.index(length)..at.index(length), token.iter().copied())),
            Edit::Splice(at, from, n) => {
                let piece = bytes[stretch(from.index(length), *n)].to_vec();
                bytes.splice(at.index(length)..at.index(length), piece);
            }
            Edit::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec(edit(), 1..10)
}

/// A file of each format, richer than those of the other tests.
static FILES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let mut files = all();
    files.push(("본문.hwp", hwp_of(&hwp_body())));
    files.push(("배포.hwp", sealed_hwp(&hwp_body())));
    files.push(("본문.hwpx", hwpx(&hwpx_body())));
    files.push(("그림.pdf", pdf(&[PICTURE, &pdf_text("A page")], "")));
    files
});

/// Parts of a package.
type Parts = Vec<(String, Vec<u8>)>;

fn parts(package: &[u8]) -> Parts {
    let mut archive = zip::ZipArchive::new(Cursor::new(package)).expect("a package");
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("readable");
            (entry.name().expect("a name").to_string(), bytes)
        })
        .collect()
}

static PACKAGES: LazyLock<Vec<(&str, Parts)>> = LazyLock::new(|| {
    let rows = [
        "<text:p>글</text:p>",
        "<table:table><table:table-row><table:table-cell><text:p>칸</text:p></table:table-cell>",
    ];
    let body = format!(
        "{}{}</table:table-row></table:table><text:list><text:list-item><text:p>항목</text:p></text:list-item></text:list>",
        rows[0], rows[1]
    );
    vec![
        ("a.hwpx", parts(&hwpx(&hwpx_body()))),
        ("b.hwpx", parts(&write::markdown_to_hwpx(ANSWER, "보고").expect("hwpx"))),
        ("a.docx", parts(&write::markdown_to_docx(ANSWER, "보고").expect("docx"))),
        ("a.odt", parts(&odt(&body))),
        ("a.ods", parts(&ods())),
        ("a.xlsx", parts(&xlsx())),
        ("a.pptx", parts(&pptx(&["첫 장", KOREAN]))),
    ]
});

const MAGICS: &[&[u8]] = &[
    b"",
    b"PK\x03\x04",
    b"%PDF-1.4\n",
    b"<html>",
    b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
    b"From: a\nTo: b\nSubject: c\n",
];

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn random_bytes_end_in_a_document_or_a_refusal(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        magic in prop::sample::select(MAGICS),
    ) {
        check(&[magic, &bytes].concat(), "a.bin");
    }

    #[test]
    fn broken_files_end_in_a_document_or_a_refusal(which in any::<prop::sample::Index>(), edits in edits()) {
        let (name, whole) = which.get(&FILES);
        check(&edited(whole.clone(), &edits), name);
    }

    #[test]
    fn broken_parts_in_sound_packages(
        which in any::<prop::sample::Index>(),
        part in any::<prop::sample::Index>(),
        edits in edits(),
    ) {
        let (name, parts) = which.get(&PACKAGES);
        let mut parts = parts.clone();
        let at = part.index(parts.len());
        parts[at].1 = edited(std::mem::take(&mut parts[at].1), &edits);
        let parts: Vec<(&str, &[u8])> = parts.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        check(&zip(&parts), name);
    }

    #[test]
    fn broken_bodies_of_hwp(sealed in any::<bool>(), edits in edits()) {
        let body = edited(hwp_body(), &edits);
        check(&if sealed { sealed_hwp(&body) } else { hwp_of(&body) }, "a.hwp");
    }

    #[test]
    fn broken_contents_of_pdf(edits in edits()) {
        let content = edited(pdf_text("A page of the plan").into_bytes(), &edits);
        check(&pdf(&[&String::from_utf8_lossy(&content), PICTURE], ""), "a.pdf");
    }
}

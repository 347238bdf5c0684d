//! Each format read end to end, each kind of bad file refused with its reason, and no input that panics.

mod common;

use common::*;
use madang_documents::{Extracted, Format, Limits, ReadError, read, write};
use std::io::Write;

fn text_of(bytes: &[u8], name: &str) -> Extracted {
    read(bytes, name, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

fn refused(bytes: &[u8], name: &str) -> ReadError {
    read(bytes, name, &Limits::default()).map(|e| e.text).expect_err(name)
}

#[test]
fn every_format_gives_its_text() {
    for (name, bytes) in all() {
        let read = text_of(&bytes, name);
        assert!(!read.passages.is_empty() && read.warnings.is_empty(), "{name}: {:?}", read.warnings);
        let expected = if read.format == Format::Pdf { "Second page of the plan" } else { "정보통신과" };
        assert!(read.text.contains(expected), "{name}: {}", read.text);
    }
}

#[test]
fn written_answers_read_back() {
    let docx = text_of(&write::markdown_to_docx(ANSWER, "업무 보고").expect("docx"), "a.docx");
    let table = "| 부서 | 예산 |\n| --- | --- |\n| 정보통신과 | 441 |";
    for part in [
        "업무 보고",
        "## 1. 추진 배경",
        "행정 업무를 표준화한다 [1].",
        "- 첫째 항목\n- 둘째 항목",
        "1. 조사한다\n2. 보고한다",
        table,
    ] {
        assert!(docx.text.contains(part), "{part:?} in {}", docx.text);
    }
    let hwpx = text_of(&write::markdown_to_hwpx(ANSWER, "업무 보고").expect("hwpx"), "a.hwpx");
    for part in [
        "업무 보고",
        "추진 배경",
        "행정 업무를 표준화한다 [1].",
        "첫째 항목",
        "둘째 항목",
        "조사한다",
        "보고한다",
        table,
    ] {
        assert!(hwpx.text.contains(part), "{part:?} in {}", hwpx.text);
    }
    let heading = hwpx.text.lines().find(|l| l.contains("추진 배경")).expect("the heading");
    let numbers = heading.chars().filter(char::is_ascii_digit).count();
    assert!(numbers <= 1, "the written number came on top of the automatic one: {heading}");
}

#[test]
fn pages_of_a_pdf_and_slides_are_exact() {
    let pdf = text_of(&pdf(&[&pdf_text("Alpha plan"), &pdf_text("Beta plan")], ""), "a.pdf");
    let page_of =
        |read: &Extracted, word: &str| read.passages.iter().find(|p| p.text.contains(word)).and_then(|p| p.page);
    assert_eq!((page_of(&pdf, "Alpha"), page_of(&pdf, "Beta")), (Some(1), Some(2)));
    let slides = text_of(&pptx(&["가나다 현황", "라마바 계획"]), "a.pptx");
    assert_eq!((page_of(&slides, "가나다"), page_of(&slides, "라마바")), (Some(1), Some(2)));
}

#[test]
fn a_workbook_keeps_numbers_merged_labels_and_far_cells() {
    let text = text_of(&xlsx(), "a.xlsx").text;
    assert!(text.contains("| 정보통신과 | 망 점검 | 0.3 |"), "{text}");
    assert!(text.contains("| 정보통신과 | 인공지능 | 441000000 |"), "{text}");
    assert!(text.contains("끝칸"), "{text}");
}

#[test]
fn mislabelled_files_are_read_as_what_they_are() {
    let packed = ["x", "hwp", "pdf", "odt", "ods"];
    for (name, bytes) in all().into_iter().filter(|(n, _)| packed.iter().any(|p| n.ends_with(p))) {
        let read = text_of(&bytes, "이름.txt");
        assert_eq!(read.warnings.len(), 1, "{name}");
    }
    let text = text_of(KOREAN.as_bytes(), "보고서.hwp");
    assert_eq!((text.format, text.warnings.len()), (Format::Txt, 1));
}

#[test]
fn empty_documents_are_never_a_silent_success() {
    let blank_docx = write::markdown_to_docx("", "").expect("docx");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "a.txt"),
        (b" \n\t".to_vec(), "a.txt"),
        (b"<html><body><p> </p></body></html>".to_vec(), "a.html"),
        (b",,\n,,\n".to_vec(), "a.csv"),
        (blank_docx, "a.docx"),
        (hwp(" "), "a.hwp"),
        (pptx(&[""]), "a.pptx"),
        (pdf(&["q Q"], ""), "a.pdf"),
        (odt("<text:p> </text:p>"), "a.odt"),
        (hwpx("<hp:p><hp:run><hp:t> </hp:t></hp:run></hp:p>"), "a.hwpx"),
    ];
    for (bytes, name) in cases {
        assert_eq!(refused(&bytes, name), ReadError::Empty, "{name}");
    }
}

#[test]
fn each_bad_file_has_its_reason() {
    assert_eq!(refused(&pdf(&[PICTURE], ""), "scan.pdf"), ReadError::Scanned);
    assert_eq!(refused(&ole(&[("/FileHeader", &hwp_header(1 << 2))]), "a.hwp"), ReadError::Distribution);
    assert_eq!(refused(&ole(&[("/FileHeader", &hwp_header(1 << 1))]), "a.hwp"), ReadError::PasswordProtected);
    let sealed = ole(&[("/EncryptionInfo", b"x"), ("/EncryptedPackage", b"y")]);
    assert_eq!(refused(&sealed, "a.docx"), ReadError::PasswordProtected);
    let encrypted = "/Encrypt << /Filter /Standard /V 1 /R 2 /O (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) /U (bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb) /P -4 >> /ID [(1) (1)]";
    assert_eq!(refused(&pdf(&[&pdf_text("secret")], encrypted), "a.pdf"), ReadError::PasswordProtected);
    let hwpx = zip(&[("Contents/section0.xml", b"<x/>"), ("META-INF/manifest.xml", b"<a><odf:encryption-data/></a>")]);
    assert_eq!(refused(&hwpx, "a.hwpx"), ReadError::PasswordProtected);
    assert_eq!(refused(b"PK\x03\x04 cut short", "a.docx"), ReadError::Damaged);
    assert_eq!(refused(b"%PDF-1.7 nothing follows", "a.pdf"), ReadError::Damaged);
    assert!(matches!(refused(&ole(&[("/WordDocument", b"x")]), "a.doc"), ReadError::Unsupported { .. }));
    assert!(matches!(refused(&zip(&[("a.exe", b"x")]), "a.zip"), ReadError::Unsupported { .. }));
}

#[test]
fn bombs_and_giants_are_refused_before_a_library_sees_them() {
    let limits = Limits { inflated_bytes: 1 << 20, entries: 100, text_chars: 10_000, ..Limits::default() };
    let zeroes = vec![b' '; 4 << 20];
    let bomb = zip(&[("word/document.xml", &zeroes)]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(read(&bomb, "a.docx", &limits).map(|e| e.text), Err(ReadError::ZipBomb));
    let names: Vec<String> = (0..200).map(|i| format!("word/{i}.xml")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
    assert_eq!(read(&zip(&many), "a.docx", &limits).map(|e| e.text), Err(ReadError::ZipBomb));
    let deep = format!("{}{}", "<w:p>".repeat(5_000), "</w:p>".repeat(5_000));
    assert_eq!(
        read(&zip(&[("word/document.xml", deep.as_bytes())]), "a.docx", &limits).map(|e| e.text),
        Err(ReadError::TooDeep)
    );
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(&zeroes).expect("deflate");
    let body = deflated.finish().expect("deflate");
    let hwp = ole(&[("/FileHeader", &hwp_header(1)), ("/BodyText/Section0", &body)]);
    assert_eq!(read(&hwp, "a.hwp", &limits).map(|e| e.text), Err(ReadError::ZipBomb));
    let line = "가".repeat(20_000);
    assert_eq!(read(line.as_bytes(), "a.txt", &limits).map(|e| e.text), Err(ReadError::TooLarge));
    let small = Limits { input_bytes: 10, ..Limits::default() };
    assert_eq!(read(KOREAN.as_bytes(), "a.txt", &small).map(|e| e.text), Err(ReadError::TooLarge));
}

#[test]
fn a_giant_line_is_cut_into_passages() {
    let text = "쉬지 않고 이어지는 글 ".repeat(20_000);
    let read = text_of(text.as_bytes(), "a.txt");
    assert!(read.passages.len() > 200 && read.passages.iter().all(|p| p.text.chars().count() <= 900));
}

#[test]
fn scanned_pages_are_named() {
    let text = pdf_text("A page of the plan");
    let read = text_of(&pdf(&[PICTURE, &text, PICTURE, PICTURE], ""), "a.pdf");
    assert_eq!(read.warnings.len(), 1);
    assert!(read.warnings[0].contains("1, 3–4쪽"), "{:?}", read.warnings);
    assert_eq!(read.pages.iter().map(|p| (p.page, p.estimated)).collect::<Vec<_>>(), [(2, false)]);
}

#[test]
fn what_every_page_repeats_stands_once() {
    let page = |n: u32| {
        let line = |y: u32, text: String| format!("BT /F1 11 Tf 72 {y} Td ({text}) Tj ET");
        let body = ["budget", "network", "school", "library", "park"][n as usize % 5];
        let mut lines = vec![line(800, "City work plan - Division of information".to_owned())];
        for row in 0..30 {
            lines.push(line(
                740 - row * 20,
                format!("Line {row} of what the {body} costs in this year, as planned for {n}."),
            ));
        }
        lines.push(line(30, format!("- {n} -")));
        lines.join("\n")
    };
    let pages: Vec<String> = (1..=5).map(page).collect();
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let text = text_of(&pdf(&pages, ""), "a.pdf").text;
    assert_eq!(text.matches("Division of information").count(), 1, "{text}");
    assert!(text.contains("Line 29 of what the park") && !text.contains("- 3 -"), "{text}");
}

#[test]
fn a_mail_names_its_attachments() {
    let mail = "From: a@city.example\nTo: b@city.example\nSubject: plan\nMIME-Version: 1.0\n\
                Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nSee the plan.\n\
                --b\nContent-Type: application/pdf; name=\"plan.pdf\"\n\nx\n--b--\n";
    let read = text_of(mail.as_bytes(), "memo.eml");
    assert_eq!((read.format, read.title.as_deref()), (Format::Eml, Some("plan")));
    assert!(read.text.contains("See the plan.") && read.text.ends_with("첨부: plan.pdf"), "{}", read.text);
    assert_eq!(read.warnings.len(), 1);
}

#[test]
fn opendocument_is_told_by_its_content() {
    assert_eq!(text_of(&ods(), "표.ods").format, Format::Ods);
    assert!(text_of(&ods(), "표.ods").text.contains("| 정보통신과 | 441 |"));
    let locked = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", b"x"),
        ("META-INF/manifest.xml", b"<m><manifest:encryption-data/></m>"),
    ]);
    assert_eq!(refused(&locked, "a.odt"), ReadError::PasswordProtected);
    let slides = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.presentation"),
        ("content.xml", b"<x/>"),
        ("META-INF/manifest.xml", b"<m/>"),
    ]);
    assert!(matches!(refused(&slides, "a.odp"), ReadError::Unsupported { .. }));
}

#[test]
fn text_far_from_its_page_takes_no_memory() {
    let far = "BT /F1 12 Tf 72 720 Td (near) Tj 1000000000000 0 Td (far) Tj ET";
    assert_eq!(refused(&pdf(&[far], ""), "a.pdf"), ReadError::Damaged);
    let read = text_of(&pdf(&[far, &pdf_text("A sound page")], ""), "a.pdf");
    assert!(read.text.contains("A sound page") && read.warnings.iter().any(|w| w.contains("1쪽")), "{read:?}");
}

#[test]
fn an_unclosed_table_of_a_spreadsheet_is_damage_and_no_endless_loop() {
    let content = b"<office:document-content><office:body><office:spreadsheet><table:table table:name='a'>";
    let cut = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
        ("content.xml", content),
        ("META-INF/manifest.xml", b"<m/>"),
    ]);
    assert_eq!(refused(&cut, "a.ods"), ReadError::Damaged);
}

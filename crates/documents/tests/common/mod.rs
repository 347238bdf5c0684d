//! Small documents of each format, written here byte by byte or by the crate's own writers.
#![allow(dead_code, reason = "each test binary uses some")]

use std::io::{Cursor, Write};

pub const KOREAN: &str = "정보통신과는 행정망을 점검한다.";

pub fn zip(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("start");
        zip.write_all(bytes).expect("write");
    }
    zip.finish().expect("finish").into_inner()
}

const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>"#;
const RELS: &str =
    r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#;
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// A workbook of one sheet: a date, a merged label, a number, a far-off cell.
pub fn xlsx() -> Vec<u8> {
    let text = |at: &str, value: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{value}</t></is></c>"#);
    let sheet = format!(
        r#"<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">{}{}{}</row><row r="2">{}{}<c r="C2"><v>0.30000000000000004</v></c></row><row r="3">{}<c r="C3"><v>441000000</v></c></row><row r="1048576">{}</row></sheetData><mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells></worksheet>"#,
        text("A1", "부서"),
        text("B1", "사업"),
        text("C1", "금액"),
        text("A2", "정보통신과"),
        text("B2", "망 점검"),
        text("B3", "인공지능"),
        text("XFD1048576", "끝칸"),
    );
    let types = format!(
        r#"{TYPES}<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"#
    );
    let top = format!(
        r#"{RELS}<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
    );
    let book = format!(
        r#"<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{OFFICE}"><sheets><sheet name="현황" sheetId="1" r:id="rId1"/></sheets></workbook>"#
    );
    let links = format!(
        r#"{RELS}<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#
    );
    zip(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", top.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", links.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

/// A presentation of these slides, one text box each.
pub fn pptx(slides: &[&str]) -> Vec<u8> {
    let mut types = TYPES.to_owned();
    let mut ids = String::new();
    let mut links = RELS.to_owned();
    let mut parts: Vec<(String, String)> = Vec::new();
    for (index, text) in slides.iter().enumerate() {
        let n = index + 1;
        types.push_str(&format!(r#"<Override PartName="/ppt/slides/slide{n}.xml" ContentType="application/vnd.openxmlformats-officedocument.presentationml.slide+xml"/>"#));
        ids.push_str(&format!(r#"<p:sldId id="{}" r:id="rId{n}"/>"#, 255 + n));
        links.push_str(&format!(r#"<Relationship Id="rId{n}" Type="{OFFICE}/slide" Target="slides/slide{n}.xml"/>"#));
        parts.push((format!("ppt/slides/slide{n}.xml"), format!(r#"<?xml version="1.0"?><p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/><p:sp><p:nvSpPr><p:cNvPr id="2" name="글"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"#)));
    }
    types.push_str(r#"<Override PartName="/ppt/presentation.xml" ContentType="application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"/></Types>"#);
    links.push_str("</Relationships>");
    parts.push(("[Content_Types].xml".into(), types));
    parts.push(("_rels/.rels".into(), format!(r#"{RELS}<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="ppt/presentation.xml"/></Relationships>"#)));
    parts.push(("ppt/presentation.xml".into(), format!(r#"<?xml version="1.0"?><p:presentation xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="{OFFICE}"><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"#)));
    parts.push(("ppt/_rels/presentation.xml.rels".into(), links));
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(n, t)| (n.as_str(), t.as_bytes())).collect();
    zip(&parts)
}

/// A PDF with one page per content stream; `extra` goes into the trailer.
pub fn pdf(contents: &[&str], extra: &str) -> Vec<u8> {
    let count = contents.len();
    let kids: Vec<String> = (0..count).map(|i| format!("{} 0 R", 4 + i * 2)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {count} >>", kids.join(" ")),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let image = 4 + count * 2;
    for (index, content) in contents.iter().enumerate() {
        objects.push(format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> /XObject << /Im1 {image} 0 R >> >> /Contents {} 0 R >>", 5 + index * 2));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    objects.push("<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\nstream\nA\nendstream".to_owned());
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend(format!("{} 0 obj\n{object}\nendobj\n", index + 1).bytes());
    }
    let start = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        out.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    out.extend(
        format!("trailer\n<< /Size {} /Root 1 0 R {extra} >>\nstartxref\n{start}\n%%EOF", objects.len() + 1).bytes(),
    );
    out
}

pub fn pdf_text(line: &str) -> String {
    format!("BT /F1 12 Tf 72 720 Td ({line}) Tj ET")
}

/// Paints the picture over the whole page.
pub const PICTURE: &str = "q 595 0 0 842 0 0 cm /Im1 Do Q";

/// An OLE file with these streams.
pub fn ole(streams: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).expect("create");
    for (name, bytes) in streams {
        if let Some((folder, _)) = name.rsplit_once('/').filter(|(f, _)| !f.is_empty()) {
            file.create_storage_all(folder).expect("storage");
        }
        file.create_stream(name).expect("stream").write_all(bytes).expect("write");
    }
    file.flush().expect("flush");
    file.into_inner().into_inner()
}

/// HWP 5's FileHeader with these property flags.
pub fn hwp_header(flags: u32) -> Vec<u8> {
    let mut header = vec![0u8; 256];
    header[..17].copy_from_slice(b"HWP Document File");
    header[32..36].copy_from_slice(&[0, 3, 0, 5]);
    header[36..40].copy_from_slice(&flags.to_le_bytes());
    header
}

/// An HWP 5 file of one plain paragraph.
pub fn hwp(text: &str) -> Vec<u8> {
    hwp_of(&[paragraph(0, text, &[], &[])].concat())
}

/// An HWP 5 file with this body, not deflated.
pub fn hwp_of(section: &[u8]) -> Vec<u8> {
    ole(&[("/FileHeader", &hwp_header(0)), ("/DocInfo", &hwp_info()), ("/BodyText/Section0", section)])
}

pub fn hwp_info() -> Vec<u8> {
    let mut properties = vec![0u8; 26];
    properties[0] = 1;
    record(16, 0, &properties)
}

/// A record of HWP 5.
pub fn record(tag: u32, level: u32, body: &[u8]) -> Vec<u8> {
    let head = tag | level << 10 | (body.len() as u32) << 20;
    [&head.to_le_bytes()[..], body].concat()
}

/// A paragraph at a level. `{` in its text calls the next of `controls`; `lines` are (position, down, right).
pub fn paragraph(level: u32, text: &str, controls: &[Vec<u8>], lines: &[(u32, i32, i32)]) -> Vec<u8> {
    let mut units: Vec<u16> = Vec::new();
    for c in text.chars() {
        match c {
            '{' => units.extend([11, 0, 0, 0, 0, 0, 0, 11]),
            c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    units.push(13);
    let bytes: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
    let mut header = vec![0u8; 24];
    header[..4].copy_from_slice(&(units.len() as u32 | 1 << 31).to_le_bytes());
    let mut out = [record(66, level, &header), record(67, level + 1, &bytes)].concat();
    let mut places = Vec::new();
    for (at, down, right) in lines {
        let numbers = [*at as i32, *down, 1000, 1000, 850, 600, *right, 42000, 0];
        places.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    }
    if !places.is_empty() {
        out.extend(record(69, level + 1, &places));
    }
    out.extend(controls.concat());
    out
}

/// A control of this id (as it is written in the published format) with what lies below it.
pub fn control(level: u32, id: &str, data: &[u8], below: &[Vec<u8>]) -> Vec<u8> {
    let id: Vec<u8> = id.bytes().rev().collect();
    [record(71, level, &[&id, data].concat()), below.concat()].concat()
}

/// A table of texts; a cell is (row, column, rows, columns, title, text).
pub fn hwp_table(level: u32, cells: &[(u16, u16, u16, u16, bool, &str)]) -> Vec<u8> {
    let mut table = vec![0u8; 18];
    table[4..6].copy_from_slice(&cells.iter().map(|c| c.0 + c.2).max().unwrap_or(0).to_le_bytes());
    table[6..8].copy_from_slice(&cells.iter().map(|c| c.1 + c.3).max().unwrap_or(0).to_le_bytes());
    let mut below = vec![record(77, level + 1, &table)];
    for (row, column, rows, columns, title, text) in cells {
        let mut list = vec![0u8; 34];
        list[0] = 1;
        list[4..8].copy_from_slice(&(u32::from(*title) << 18).to_le_bytes());
        for (at, number) in [(8, column), (10, row), (12, columns), (14, rows)] {
            list[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        below.push(record(72, level + 1, &list));
        below.push(paragraph(level + 1, text, &[], &[]));
    }
    control(level, "tbl ", &[0; 42], &below)
}

/// A body with a running head, a note, a text box, a table and an equation, on three pages.
pub fn hwp_body() -> Vec<u8> {
    let list = record(72, 2, &[0; 8]);
    let head = control(1, "head", &[0; 8], &[list.clone(), paragraph(2, "머리말이다", &[], &[])]);
    let note = control(1, "fn  ", &[0; 16], &[list.clone(), paragraph(2, "각주의 글이다", &[], &[])]);
    let inner = [record(76, 2, &[0; 40]), record(72, 3, &[0; 8]), paragraph(3, "상자 속의 글", &[], &[])];
    let shape = control(1, "gso ", &[0; 42], &inner);
    let table = hwp_table(
        1,
        &[
            (0, 0, 2, 1, true, "부서"),
            (0, 1, 1, 2, true, "예산"),
            (1, 1, 1, 1, true, "2025"),
            (1, 2, 1, 1, true, "2026"),
            (2, 0, 1, 1, false, "정보통신과"),
            (2, 1, 1, 1, false, "10"),
            (2, 2, 1, 1, false, "20"),
        ],
    );
    let script: Vec<u8> = "a over b".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let equation = [&[0u8, 0, 0, 0, 8, 0][..], &script].concat();
    let equation = control(1, "eqed", &[0; 42], &[record(88, 2, &equation)]);
    [
        paragraph(0, "{정보통신과는{ 행정망을 점검한다.", &[head, note], &[(0, 0, 0), (12, 1600, 0)]),
        paragraph(0, "{", &[shape], &[(0, 3200, 0)]),
        paragraph(0, "{", &[table], &[(0, 0, 0)]),
        paragraph(0, "식은 {이다. 다음 쪽에서 이어지는 글이다.", &[equation], &[(0, 9000, 0), (17, 0, 0)]),
    ]
    .concat()
}

/// An HWPX package around one section.
pub fn hwpx(section: &str) -> Vec<u8> {
    let hpf = r#"<?xml version="1.0"?><opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata><opf:title/></opf:metadata><opf:manifest><opf:item id="section0" href="Contents/section0.xml" media-type="application/xml"/></opf:manifest><opf:spine><opf:itemref idref="section0"/></opf:spine></opf:package>"#;
    let section = format!(
        r#"<?xml version="1.0"?><hs:sec xmlns:hs="http://www.hancom.co.kr/hwpml/2011/section" xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph">{section}</hs:sec>"#
    );
    zip(&[
        ("mimetype", b"application/hwp+zip"),
        ("Contents/content.hpf", hpf.as_bytes()),
        ("Contents/section0.xml", section.as_bytes()),
    ])
}

fn xml_lines(lines: &[(u32, i32, i32)]) -> String {
    let line = |(at, down, right): &(u32, i32, i32)| {
        format!(r#"<hp:lineseg textpos="{at}" vertpos="{down}" vertsize="1000" horzpos="{right}" flags="0"/>"#)
    };
    format!("<hp:linesegarray>{}</hp:linesegarray>", lines.iter().map(line).collect::<String>())
}

/// The same body as [`hwp_body`], as a section of HWPX.
pub fn hwpx_body() -> String {
    let p = |inner: &str, lines: &[(u32, i32, i32)]| {
        format!(
            r#"<hp:p paraPrIDRef="0" styleIDRef="0"><hp:run charPrIDRef="0">{inner}</hp:run>{}</hp:p>"#,
            xml_lines(lines)
        )
    };
    let list = |text: &str| format!("<hp:subList>{}</hp:subList>", p(&format!("<hp:t>{text}</hp:t>"), &[(0, 0, 0)]));
    let cell = |text: &str, rows: u8, columns: u8, title: u8| {
        format!(
            r#"<hp:tc header="{title}">{}<hp:cellAddr colAddr="0" rowAddr="0"/><hp:cellSpan colSpan="{columns}" rowSpan="{rows}"/></hp:tc>"#,
            list(text)
        )
    };
    let table = format!(
        r#"<hp:tbl repeatHeader="1"><hp:sz width="1"/><hp:tr>{}{}</hp:tr><hp:tr>{}{}</hp:tr><hp:tr>{}{}{}</hp:tr></hp:tbl>"#,
        cell("부서", 2, 1, 1),
        cell("예산", 1, 2, 1),
        cell("2025", 1, 1, 1),
        cell("2026", 1, 1, 1),
        cell("정보통신과", 1, 1, 0),
        cell("10", 1, 1, 0),
        cell("20", 1, 1, 0)
    );
    let head = format!(r#"<hp:ctrl><hp:header id="1">{}</hp:header></hp:ctrl>"#, list("머리말이다"));
    let note = format!(r#"<hp:ctrl><hp:footNote number="1">{}</hp:footNote></hp:ctrl>"#, list("각주의 글이다"));
    let shape = format!("<hp:rect><hp:drawText>{}</hp:drawText></hp:rect>", list("상자 속의 글"));
    let equation = "<hp:equation><hp:script>a over b</hp:script></hp:equation>";
    [
        p(
            &format!("{head}<hp:t>정보통신과는</hp:t>{note}<hp:t> 행정망을 점검한다.</hp:t>"),
            &[(0, 0, 0), (12, 1600, 0)],
        ),
        p(&shape, &[(0, 3200, 0)]),
        p(&table, &[(0, 0, 0)]),
        p(
            &format!("<hp:t>식은 </hp:t>{equation}<hp:t>이다. 다음 쪽에서 이어지는 글이다.</hp:t>"),
            &[(0, 9000, 0), (17, 0, 0)],
        ),
    ]
    .concat()
}

const OPEN_MANIFEST: &[u8] =
    b"<manifest:manifest xmlns:manifest='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'/>";

/// An OpenDocument text around this body.
pub fn odt(body: &str) -> Vec<u8> {
    let content = format!(
        r#"<?xml version="1.0"?><office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b"><office:body><office:text>{body}</office:text></office:body></office:document-content>"#
    );
    zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", content.as_bytes()),
        ("META-INF/manifest.xml", OPEN_MANIFEST),
    ])
}

/// An OpenDocument spreadsheet of one sheet.
pub fn ods() -> Vec<u8> {
    let text = |value: &str| {
        format!(r#"<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>"#)
    };
    let content = format!(
        r#"<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet><table:table table:name="현황"><table:table-row>{}{}</table:table-row><table:table-row>{}<table:table-cell office:value-type="float" office:value="441"><text:p>441</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"#,
        text("부서"),
        text("예산"),
        text("정보통신과")
    );
    zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
        ("content.xml", content.as_bytes()),
        ("META-INF/manifest.xml", OPEN_MANIFEST),
    ])
}

/// A mail with a body and an attachment.
pub fn eml() -> Vec<u8> {
    format!(
        "From: it@city.example\r\nTo: a@city.example\r\nSubject: notice\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         {KOREAN}\r\n--b--\r\n"
    )
    .into_bytes()
}

pub const ANSWER: &str = "## 1. 추진 배경\n\n행정 업무를 **표준화**한다 [1].\n\n- 첫째 항목\n- 둘째 항목\n\n1. 조사한다\n2. 보고한다\n\n\
    | 부서 | 예산 |\n| --- | --- |\n| 정보통신과 | 441 |\n";

/// One sound file of each format with its name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    use madang_documents::write::{markdown_to_docx, markdown_to_hwpx};
    vec![
        ("글.txt", KOREAN.as_bytes().to_vec()),
        ("글.md", ANSWER.as_bytes().to_vec()),
        ("글.html", format!("<html><body><h1>제목</h1><p>{KOREAN}</p></body></html>").into_bytes()),
        ("표.csv", "부서,예산\n정보통신과,441\n".as_bytes().to_vec()),
        ("표.xlsx", xlsx()),
        ("발표.pptx", pptx(&["첫 장", KOREAN])),
        ("글.pdf", pdf(&[&pdf_text("First page of the plan"), &pdf_text("Second page of the plan")], "")),
        ("글.hwp", hwp(KOREAN)),
        ("글.odt", odt(&format!("<text:h text:outline-level='1'>제목</text:h><text:p>{KOREAN}</text:p>"))),
        ("표.ods", ods()),
        ("알림.eml", eml()),
        ("글.docx", markdown_to_docx(ANSWER, "업무 보고").expect("docx")),
        ("글.hwpx", markdown_to_hwpx(ANSWER, "업무 보고").expect("hwpx")),
    ]
}

/// A 배포용 HWP: the body sealed in ViewText as Hancom's published format says, a notice in BodyText.
pub fn sealed_hwp(section: &[u8]) -> Vec<u8> {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    let (seed, key) = (0x0000_2B67u32, *b"0123456789abcdef");
    let mut record_body = vec![0x5Au8; 256];
    record_body[..4].copy_from_slice(&seed.to_le_bytes());
    let offset = 4 + (seed & 0xF) as usize;
    record_body[offset..offset + 16].copy_from_slice(&key);
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(214_013).wrapping_add(2_531_011);
        state >> 16 & 0x7FFF
    };
    let (mut mask, mut left) = (0, 0);
    for (at, byte) in record_body.iter_mut().enumerate() {
        if left == 0 {
            mask = (random() & 0xFF) as u8;
            left = (random() & 0xF) + 1;
        }
        left -= 1;
        if at >= 4 {
            *byte ^= mask;
        }
    }
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(section).expect("deflate");
    let mut body = deflated.finish().expect("deflate");
    body.resize(body.len().next_multiple_of(16), 0);
    let cipher = aes::Aes128::new(&key.into());
    for block in body.chunks_exact_mut(16) {
        let block: &mut [u8; 16] = block.try_into().expect("a block");
        cipher.encrypt_block(block.into());
    }
    let stream = [record(28, 0, &record_body), body].concat();
    let deflate = |bytes: &[u8]| {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).expect("deflate");
        out.finish().expect("deflate")
    };
    let notice = paragraph(0, "상위 버전의 배포용 문서입니다.", &[], &[]);
    ole(&[
        ("/FileHeader", &hwp_header(1 | 1 << 2)),
        ("/DocInfo", &deflate(&hwp_info())),
        ("/BodyText/Section0", &deflate(&notice)),
        ("/ViewText/Section0", &stream),
    ])
}

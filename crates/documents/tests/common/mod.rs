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
    let record = |tag: u32, level: u32, body: &[u8]| -> Vec<u8> {
        let head = tag | level << 10 | (body.len() as u32) << 20;
        [&head.to_le_bytes()[..], body].concat()
    };
    let units: Vec<u8> = text.encode_utf16().chain([13]).flat_map(u16::to_le_bytes).collect();
    let mut paragraph = vec![0u8; 24];
    paragraph[..4].copy_from_slice(&((units.len() / 2) as u32 | 1 << 31).to_le_bytes());
    let section = [record(66, 0, &paragraph), record(67, 1, &units)].concat();
    let mut properties = vec![0u8; 26];
    properties[0] = 1;
    let info = record(16, 0, &properties);
    ole(&[("/FileHeader", &hwp_header(0)), ("/DocInfo", &info), ("/BodyText/Section0", &section)])
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
        ("글.docx", markdown_to_docx(ANSWER, "업무 보고").expect("docx")),
        ("글.hwpx", markdown_to_hwpx(ANSWER, "업무 보고").expect("hwpx")),
    ]
}

//! An answer as a Markdown document with its list of sources, for download; DOCX and HWPX are made from it elsewhere.

use crate::phrases::escape_markdown as escaped;
use madang_domain::{Citation, Grade};
use serde::{Deserialize, Serialize};

/// What stands under the answer: who made it, when, under which grade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportMeta {
    /// Korean name of the engine: "인용 엔진".
    pub engine: String,
    /// The engine writes words of its own, see `EngineCard::generates`.
    pub generates: bool,
    /// Local time of the run as shown: "2026. 11. 22. 15:20".
    pub time: String,
    /// Highest grade of the sources and inputs.
    pub grade: Grade,
    /// Version of the app: "3판".
    pub version: String,
}

/// The answer as Markdown: title, answer, "근거" with exact quotes, and the notice that a machine wrote or assembled it.
///
/// Titles and quotes are escaped, so that a document's name cannot become a heading, a link or a picture.
pub fn answer_markdown(title: &str, answer: &str, citations: &[Citation], meta: &ExportMeta) -> String {
    let mut out = format!("# {}\n\n{}\n", escaped(&one_line(title)), answer.trim());
    if !citations.is_empty() {
        out.push_str("\n## 근거\n\n");
        let mut sorted: Vec<&Citation> = citations.iter().collect();
        sorted.sort_by_key(|c| c.number);
        for c in sorted {
            out.push_str(&source_line(c));
        }
    }
    out.push_str("\n---\n\n");
    out.push_str(&notice(meta));
    out
}

/// `[1]` line of the list: document, headings, page, grade and the quote below.
fn source_line(c: &Citation) -> String {
    let mut place = vec![format!("「{}」", escaped(&one_line(&c.document_title)))];
    if !c.heading_path.is_empty() {
        place.push(escaped(&one_line(&c.heading_path.join(" > "))));
    }
    match (c.page, c.page_estimated) {
        (Some(page), false) => place.push(format!("{page}쪽")),
        (Some(page), true) => place.push(format!("약 {page}쪽")),
        (None, _) => {}
    }
    place.push(format!("등급 {}", c.grade.letter()));
    format!("- \\[{}\\] {}\n  > {}\n", c.number, place.join(", "), escaped(&one_line(&c.quote)))
}

fn notice(meta: &ExportMeta) -> String {
    let how = if meta.generates {
        "이 문서는 인공지능이 작성했습니다. 사실과 다를 수 있으니 근거와 맞는지 확인한 뒤 쓰세요."
    } else {
        "이 문서는 인공지능 도구가 자료의 문장을 그대로 인용해 엮었습니다. 빠진 내용이 있을 수 있으니 원문을 확인한 뒤 쓰세요."
    };
    format!(
        "{how}\n\n엔진: {} · 작성: {} · 등급: {} · 앱 판: {}\n",
        escaped(&one_line(&meta.engine)),
        escaped(&one_line(&meta.time)),
        meta.grade.letter(),
        escaped(&one_line(&meta.version)),
    )
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{DocumentId, PassageId, Span};

    fn citation(number: u32, title: &str) -> Citation {
        Citation {
            number,
            passage: PassageId::new(),
            document: DocumentId::new(),
            document_title: title.into(),
            grade: Grade::Sensitive,
            heading_path: vec!["제2장".into(), "지원".into()],
            page: Some(4),
            page_estimated: true,
            quote: "지원금은\n월 10만 원이다.".into(),
            span: Span { start: 3, end: 17 },
        }
    }

    fn meta(generates: bool) -> ExportMeta {
        ExportMeta {
            engine: "인용 엔진".into(),
            generates,
            time: "2026. 11. 22. 15:20".into(),
            grade: Grade::Sensitive,
            version: "3판".into(),
        }
    }

    #[test]
    fn sources_follow_in_the_order_of_their_numbers() {
        let md = answer_markdown(
            "지원금",
            "월 10만 원입니다. [1][2]",
            &[citation(2, "나"), citation(1, "가")],
            &meta(false),
        );
        let one = md.find("\\[1\\] 「가」, 제2장 \\> 지원, 약 4쪽, 등급 S").expect("first source");
        assert!(one < md.find("\\[2\\] 「나」").expect("second source"));
        assert!(md.contains("> 지원금은 월 10만 원이다."));
        assert!(md.contains("등급: S") && md.contains("3판") && md.contains("인용해 엮었습니다"));
    }

    #[test]
    fn titles_cannot_become_markup() {
        let md = answer_markdown("# x\n![a](b)", "답", &[citation(1, "[누름](javascript:1)<img>")], &meta(true));
        assert!(md.starts_with("# \\# x !\\[a\\](b)\n"));
        assert!(md.contains("\\[누름\\](javascript:1)\\<img\\>"));
        assert!(md.contains("인공지능이 작성했습니다"));
    }

    #[test]
    fn no_sources_no_list() {
        assert!(!answer_markdown("제목", "답", &[], &meta(false)).contains("## 근거"));
    }
}

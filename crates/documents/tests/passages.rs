//! Invariants of passages over generated Markdown, and examples of official documents.

use madang_documents::{PageStart, PassageSize, passages};
use madang_domain::PassageDraft;
use proptest::prelude::*;

fn slice(text: &str, passage: &PassageDraft) -> String {
    text.chars().skip(passage.span.start).take(passage.span.end - passage.span.start).collect()
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "(#{1,6} |□ |1\\. |가\\. |제[1-9]조\\(목적\\) )?[가-힣 a-z.]{0,40}",
        "[가-힣 .]{0,400}",
        "(\\| [가-힣]{0,12} ){1,4}\\|",
        Just("| --- | --- |".to_owned()),
        Just(String::new()),
        "\\PC{0,30}",
    ]
}

fn document() -> impl Strategy<Value = String> {
    proptest::collection::vec(line(), 0..60).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn spans_hold_their_text_in_order_and_nothing_is_lost(
        text in document(),
        cuts in proptest::collection::btree_set(0usize..2000, 0..5),
        target in 1usize..300,
    ) {
        let pages: Vec<PageStart> = cuts.iter().enumerate()
            .map(|(i, &offset)| PageStart { page: i as u32 + 1, offset, estimated: false })
            .collect();
        let size = PassageSize { target, max: target * 3 / 2 };
        let cut = passages(&text, &pages, size);
        let mut covered = vec![false; text.chars().count()];
        let mut end = 0;
        for passage in &cut {
            prop_assert!(passage.span.start >= end && passage.span.end > passage.span.start);
            end = passage.span.end;
            let own = slice(&text, passage);
            prop_assert_eq!(own.trim(), own.as_str());
            if passage.text != own {
                // Only a table's later chunk differs: by the repeated header before it.
                let tail = ["\n", &own].concat();
                prop_assert!(passage.text.ends_with(&tail) && passage.text.starts_with('|'));
            }
            for slot in covered.iter_mut().take(passage.span.end).skip(passage.span.start) {
                *slot = true;
            }
            let before = pages.iter().rfind(|p| p.offset <= passage.span.start);
            prop_assert_eq!(passage.page, before.map(|p| p.page));
        }
        for (c, seen) in text.chars().zip(covered) {
            prop_assert!(seen || c.is_whitespace());
        }
    }

    #[test]
    fn bounded_lengths(text in document()) {
        let size = PassageSize { target: 100, max: 150 };
        for passage in passages(&text, &[], size) {
            // Headings that lead a piece, and a repeated header, may come on top of the largest size.
            prop_assert!(slice(&text, &passage).chars().count() <= 2 * 150 + 2, "{:?}", passage);
        }
    }
}

#[test]
fn headings_stay_with_their_text_and_make_the_path() {
    let text = "# 교복 지원 조례\n\n제1조(목적) 이 조례는 지원에 필요한 사항을 정한다.\n\n제2조(정의) 용어는 다음과 같다.\n\
                1. 학교란 배우는 곳을 말한다.\n2. 교복이란 입는 옷을 말한다.";
    let cut = passages(text, &[], PassageSize::default());
    assert_eq!(cut.len(), 2);
    assert!(cut[0].text.starts_with("# 교복 지원 조례") && cut[0].text.contains("제1조(목적)"));
    assert_eq!(cut[0].heading_path, ["교복 지원 조례", "제1조(목적)"]);
    assert_eq!(cut[1].heading_path, ["교복 지원 조례", "제2조(정의)"]);
    assert!(cut[1].text.ends_with("입는 옷을 말한다."));
}

#[test]
fn each_chunk_of_a_long_table_carries_its_header() {
    let header = "| 부서 | 사업 | 예산 |\n| --- | --- | --- |";
    let rows: Vec<String> = (0..60).map(|i| format!("| 부서{i} | 공공시설 정비 사업 {i} | {} |", i * 100)).collect();
    let text = format!("## 사업 목록\n\n{header}\n{}", rows.join("\n"));
    let cut = passages(&text, &[], PassageSize { target: 300, max: 450 });
    assert!(cut.len() > 3);
    assert!(cut[0].text.starts_with("## 사업 목록\n\n| 부서"));
    for passage in &cut[1..] {
        assert!(passage.text.starts_with(header), "{}", passage.text);
        assert!(slice(&text, passage).starts_with("| 부서"));
        assert_eq!(passage.heading_path, ["사업 목록"]);
    }
}

#[test]
fn pages_are_not_crossed() {
    let text = "첫 쪽의 글입니다.\n\n둘째 쪽의 글입니다.";
    let second = text.chars().position(|c| c == '둘').expect("second page");
    let page = |page, offset| PageStart { page, offset, estimated: false };
    let cut = passages(text, &[page(1, 0), page(2, second)], PassageSize::default());
    assert_eq!(cut.iter().map(|p| p.page).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

#[test]
fn boxed_titles_of_work_plans_make_the_path() {
    let text = "총무과 주요업무 추진계획\n\n1\n\n열린 청사 운영\n\n□ 현황\n\n- 개방 3회\n\n| 2 | 인재 양성 |\n| --- | --- |\n\n교육을 한다.";
    let cut = passages(text, &[], PassageSize::default());
    assert_eq!(cut[0].heading_path, ["총무과 주요업무 추진계획", "1. 열린 청사 운영", "□ 현황"]);
    assert!(cut[0].text.starts_with("총무과") && cut[0].text.ends_with("개방 3회"));
    assert_eq!(cut[1].heading_path, ["총무과 주요업무 추진계획", "2. 인재 양성"]);
}

#[test]
fn a_heading_goes_with_its_text_even_when_the_passage_before_is_short() {
    let text = format!("# 계획\n\n앞선 짧은 글이다.\n\n1. 추진 배경\n\n{}", "배경을 설명하는 문장이다. ".repeat(60));
    let cut = passages(&text, &[], PassageSize { target: 600, max: 900 });
    let holder = cut.iter().find(|p| p.text.contains("1. 추진 배경")).expect("the heading");
    assert!(holder.text.contains("배경을 설명하는"), "{}", holder.text);
    assert_eq!(cut[0].text, "# 계획\n\n앞선 짧은 글이다.");
}

#[test]
fn a_long_article_is_split_at_its_paragraphs_and_keeps_its_heading_in_the_path() {
    let paragraph = |n: char| format!("{n} {}", "시장은 지원에 필요한 사항을 정하여 시행한다. ".repeat(12).trim());
    let text = format!(
        "제4조(지원 절차) {}\n{}\n{}\n\n제5조(위임) 규칙으로 정한다.",
        paragraph('①'),
        paragraph('②'),
        paragraph('③')
    );
    let cut = passages(&text, &[], PassageSize { target: 300, max: 450 });
    assert!(cut[1].text.starts_with('②') && cut[2].text.starts_with('③'), "{cut:?}");
    assert!(cut[..3].iter().all(|p| p.heading_path == ["제4조(지원 절차)"]));
    assert_eq!(cut[3].heading_path, ["제5조(위임)"]);
}

#[test]
fn inner_marks_of_official_documents_make_the_path() {
    let text = "Ⅰ. 개요\n\n1. 지원 계획\n\n가. 신청\n\n1) 신청 방법\n\n가) 온라인 신청\n\n- 누리집에서 한다\n\n나) 방문 신청\n\n- 창구에서 한다";
    let cut = passages(text, &[], PassageSize { target: 10, max: 60 });
    let of = |word: &str| cut.iter().find(|p| p.text.contains(word)).map(|p| p.heading_path.join(" > "));
    assert_eq!(of("누리집").as_deref(), Some("Ⅰ. 개요 > 1. 지원 계획 > 가. 신청 > 1) 신청 방법 > 가) 온라인 신청"));
    assert_eq!(of("창구").as_deref(), Some("Ⅰ. 개요 > 1. 지원 계획 > 가. 신청 > 1) 신청 방법 > 나) 방문 신청"));
}

#[test]
fn guessed_pages_do_not_tear_short_passages() {
    let text = "첫 문단입니다.\n\n둘째 문단입니다.";
    let second = text.chars().position(|c| c == '둘').expect("second");
    let page = |page, offset| PageStart { page, offset, estimated: true };
    let cut = passages(text, &[page(1, 0), page(2, second)], PassageSize::default());
    assert_eq!(cut.iter().map(|p| (p.page, p.page_estimated)).collect::<Vec<_>>(), [(Some(1), true)]);
}

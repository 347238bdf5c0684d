//! HWP 5 and HWPX: structure, guessed pages, and sealed documents; and the real ones at hand where they are.

mod common;

use common::*;
use madang_documents::{DistributionPolicy, Extracted, Limits, ReadError, read};

fn text_of(bytes: &[u8], name: &str) -> Extracted {
    read(bytes, name, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"))
}

const EXPECTED: &str = "정보통신과는 (주: 각주의 글이다) 행정망을 점검한다.\n\n상자 속의 글\n\n\
    | 부서 | 예산 2025 | 예산 2026 |\n| --- | --- | --- |\n| 정보통신과 | 10 | 20 |\n\n\
    식은 a/b이다. 다음 쪽에서 이어지는 글이다.";

#[test]
fn notes_boxes_tables_and_equations_are_kept_and_running_heads_are_not() {
    assert_eq!(text_of(&hwp_of(&hwp_body()), "a.hwp").text, EXPECTED);
    assert_eq!(text_of(&hwpx(&hwpx_body()), "a.hwpx").text, EXPECTED);
}

#[test]
fn pages_are_guessed_from_line_positions() {
    for read in [text_of(&hwp_of(&hwp_body()), "a.hwp"), text_of(&hwpx(&hwpx_body()), "a.hwpx")] {
        let at = |word: &str| EXPECTED.find(word).map(|b| EXPECTED[..b].chars().count()).expect(word);
        let starts: Vec<_> = read.pages.iter().map(|p| (p.page, p.offset, p.estimated)).collect();
        assert_eq!(starts, [(1, 0, true), (2, at("| 부서"), true), (3, at("쪽에서"), true)]);
        assert!(read.passages.iter().all(|p| p.page_estimated));
    }
}

#[test]
fn a_program_that_lays_nothing_out_gives_no_pages() {
    let section: Vec<u8> = (0..4).flat_map(|n| paragraph(0, &format!("{n}째 문단이다."), &[], &[(0, 0, 0)])).collect();
    let read = text_of(&hwp_of(&section), "a.hwp");
    assert!(read.pages.is_empty() && read.passages.iter().all(|p| p.page.is_none()));
    assert!(text_of(&hwp(KOREAN), "a.hwp").pages.is_empty());
}

#[test]
fn characters_beyond_the_first_plane_and_old_ones_are_kept() {
    let section = paragraph(0, "𠀀자와 \u{F02B1}번", &[], &[]);
    assert_eq!(text_of(&hwp_of(&section), "a.hwp").text, "𠀀자와 ①번");
}

#[test]
fn a_cut_body_gives_what_is_whole_and_says_so() {
    let mut section = [paragraph(0, KOREAN, &[], &[]), paragraph(0, "둘째 문단이다.", &[], &[])].concat();
    section.truncate(section.len() - 3);
    let read = text_of(&hwp_of(&section), "a.hwp");
    assert!(read.text.starts_with(KOREAN) && read.warnings.len() == 1, "{:?}", read.warnings);
    let broken = hwpx("<hp:p><hp:run><hp:t>앞은 성하다</hp:t></hp:run></hp:p><hp:p><hp:run><hp:t>뒤는 </hp");
    let read = text_of(&broken, "a.hwpx");
    assert!(read.text.starts_with("앞은 성하다") && read.warnings.len() == 1, "{read:?}");
}

#[test]
fn nesting_without_end_is_survived() {
    let mut inner = paragraph(400, "속", &[], &[]);
    for level in (0..400).rev() {
        inner = if level % 2 == 0 {
            paragraph(level, "{", &[inner], &[])
        } else {
            control(level, "gso ", &[0; 8], &[inner])
        };
    }
    let section = [inner, paragraph(0, KOREAN, &[], &[])].concat();
    assert!(text_of(&hwp_of(&section), "a.hwp").text.contains(KOREAN));
}

#[test]
fn sealed_documents_are_refused_unless_the_setting_opens_them() {
    let sealed = common::sealed_hwp(&hwp_body());
    assert_eq!(read(&sealed, "a.hwp", &Limits::default()).map(|e| e.text), Err(ReadError::Distribution));
    let open = Limits { distribution: DistributionPolicy::Decrypt, ..Limits::default() };
    let opened = read(&sealed, "a.hwp", &open).expect("opened");
    assert_eq!(opened.text, EXPECTED);
    assert!(opened.warnings.iter().any(|w| w.contains("배포용")));
    // Its notice is never taken for its text.
    let notice = paragraph(0, "상위 버전의 배포용 문서입니다.", &[], &[]);
    let only_notice =
        ole(&[("/FileHeader", &hwp_header(1 << 2)), ("/DocInfo", &hwp_info()), ("/BodyText/Section0", &notice)]);
    assert_eq!(read(&only_notice, "a.hwp", &open).map(|e| e.text), Err(ReadError::Damaged));
}

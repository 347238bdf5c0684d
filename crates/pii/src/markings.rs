//! Grade markings: words such as 대외비 or 비공개 where they stand as a stamp, a header or a field, and not where
//! somebody writes about them.
//!
//! A word counts as a marking when it stands in brackets of its own, alone on its line, behind the name of a field
//! ("공개구분: 비공개"), with the numbers of the reasons in the law ("비공개(5)"), spaced out like a stamp ("대 외 비"), at
//! the head of a line set apart by a bar, or with the number of a copy. "비공개 회의를 연다" and "비공개 대상 정보" are
//! prose.

use crate::labels::Cue;
use crate::text::Text;
use madang_domain::Grade;
use std::ops::Range;

/// Characters of a line looked at on each side of a word.
const LINE: usize = 80;
/// Words that may stand beside a marking on its own line.
const COMPANIONS: [&str; 24] = [
    "문서",
    "자료",
    "본",
    "보고",
    "보고서",
    "사본",
    "등급",
    "대외비",
    "비밀",
    "비공개",
    "관리",
    "회의자료",
    "검토자료",
    "내부자료",
    "취급",
    "대상",
    "급",
    "페이지",
    "쪽",
    "page",
    "결재",
    "사본번호",
    "자",
    "용",
];
/// Names of fields whose value is a grade.
const FIELDS: [&str; 16] = [
    "보안등급",
    "보안 등급",
    "비밀등급",
    "비밀구분",
    "공개구분",
    "공개 구분",
    "공개여부",
    "공개 여부",
    "문서등급",
    "자료등급",
    "정보등급",
    "취급구분",
    "보안구분",
    "등급",
    "공개범위",
    "classification",
];

/// A grade marking at bytes of the original.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Marked {
    pub grade: Grade,
    pub range: Range<usize>,
    pub word: String,
    pub reason: &'static str,
}

/// The markings of the text.
pub(crate) fn find(text: &Text, out: &mut Vec<Marked>) {
    for found in &text.cues {
        let Cue::Marking(grade) = found.cue else { continue };
        if let Some(reason) = reason(text, &found.range) {
            let word = text.slice(found.range.clone()).split_whitespace().collect();
            out.push(Marked { grade, range: text.view.original(found.range.clone()), word, reason });
        }
    }
}

/// Why the word at `range` is a marking; `None` in prose.
fn reason(text: &Text, range: &Range<usize>) -> Option<&'static str> {
    let word = text.slice(range.clone());
    let (before, after) = (text.line_before(range.start, LINE), text.line_after(range.end, LINE));
    let open = word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains("등급");
    if in_brackets(before, after) {
        Some("괄호 안에 홀로 표시되어 있습니다")
    } else if fields(before) && ends_value(after) {
        Some("등급을 적는 칸에 적혀 있습니다")
    } else if numbered_reasons(after) {
        Some("비공개 사유의 호수와 함께 표시되어 있습니다")
    } else if alone(before) && alone(after) && !(open && word.len() < 6) {
        Some("한 줄에 홀로 표시되어 있습니다")
    } else if matches!(word.chars().filter(|c| *c == ' ').count(), 2..) && word.starts_with('대') {
        Some("도장처럼 글자를 띄어 표시되어 있습니다")
    } else if heads_a_line(before, after) {
        Some("줄 머리에 구분하여 표시되어 있습니다")
    } else {
        None
    }
}

/// Brackets of its own; round ones only at the head or the end of a line, where they are no remark in a sentence.
fn in_brackets(before: &str, after: &str) -> bool {
    let left = before.trim_end_matches([' ', '*', '※']);
    let rest = strip_companions(after.trim_start_matches([' ', '*']));
    let Some(opening) = left.chars().next_back() else { return false };
    let Some(closing) = rest.chars().next() else { return false };
    let outside = (
        left.get(..left.len() - opening.len_utf8()).unwrap_or_default(),
        rest.get(closing.len_utf8()..).unwrap_or_default(),
    );
    match (opening, closing) {
        ('[', ']')
        | ('【', '】')
        | ('〔', '〕')
        | ('<', '>')
        | ('《', '》')
        | ('〈', '〉')
        | ('{', '}')
        | ('『', '』') => true,
        ('(', ')') => {
            alone(outside.0)
                || outside.1.trim_matches(|c: char| c.is_whitespace() || c == '.').is_empty()
                    && !outside.0.ends_with(['은', '는'])
                || outside.1.starts_with(['_', '-'])
        }
        _ => false,
    }
}

fn strip_companions(text: &str) -> &str {
    let mut rest = text;
    while let Some(next) = COMPANIONS.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = next.trim_start();
    }
    rest
}

/// Nothing but signs, numbers of pages and companions of a marking.
fn alone(part: &str) -> bool {
    part.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .all(|word| COMPANIONS.contains(&word) || word.chars().all(|c| c.is_ascii_digit()) && word.len() <= 4)
        && !part.contains(['?', '"', '\'', '“', '”', '‘', '’', ':'])
        && part.chars().filter(char::is_ascii_digit).count() <= 4
}

/// The name of a field and a sign stand right before.
fn fields(before: &str) -> bool {
    let left = before.trim_end();
    let name = left.trim_end_matches([':', '=', '|', '>', '-', '\t', ' ', '"', '[', '(', '■', '☑', '✓', '✔', '/']);
    let signed = name.len() < left.len() || before.ends_with([' ', '\t']);
    let lower = name.to_lowercase();
    signed && FIELDS.iter().any(|field| lower.ends_with(field))
}

/// The value ends here: no particle, no word goes on.
fn ends_value(after: &str) -> bool {
    let rest = strip_companions(after);
    let next = rest.trim_start().chars().next();
    !rest.starts_with(|c: char| c.is_alphanumeric())
        && next.is_none_or(|c| !c.is_alphanumeric() || rest.starts_with("  "))
}

/// "비공개(5)", "부분공개(1, 6)": the numbers of the law's reasons.
fn numbered_reasons(after: &str) -> bool {
    let Some((inside, _)) = after.strip_prefix('(').and_then(|rest| rest.split_once(')')) else { return false };
    let numbers = inside.trim_end_matches("호");
    !numbers.is_empty()
        && numbers.len() <= 16
        && numbers.bytes().any(|b| b.is_ascii_digit())
        && numbers.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '·' | '호' | '제'))
}

/// "대외비 | 2027 예산안", "비공개_회의록", "대외비 사본번호 3": the head of a line set apart, or with a copy's number.
fn heads_a_line(before: &str, after: &str) -> bool {
    let rest = after.trim_start();
    let apart = rest.starts_with(['|', '_', '】', '/']) || rest.starts_with("- ") && after.starts_with(' ');
    let copy =
        ["사본번호", "사본 번호", "관리번호", "보존기간", "예고문", "제"].iter().any(|word| rest.starts_with(word))
            && rest.chars().take(14).any(|c| c.is_ascii_digit())
            && (!rest.starts_with('제') || rest.chars().take(6).any(|c| c == '호'));
    let last = before.ends_with('_') && (rest.is_empty() || rest.starts_with(['.', '_']));
    alone(before) && !before.contains(|c: char| c.is_ascii_digit()) && (apart || copy) || last
}

#[cfg(test)]
mod tests {
    use crate::scan;
    use madang_domain::Grade;

    #[test]
    fn markings_where_they_stand_as_such() {
        for (text, grade) in [
            ("대외비", Grade::Classified),
            ("대 외 비\n2027년 조직 개편", Grade::Classified),
            ("[대외비] 2027년 예산안", Grade::Classified),
            ("【비공개】 면담 결과", Grade::Sensitive),
            ("면담 결과(비공개)", Grade::Sensitive),
            ("(대외비)2027_예산.hwpx", Grade::Classified),
            ("대외비_예산안.hwpx", Grade::Classified),
            ("- 대외비 -", Grade::Classified),
            ("**대외비**", Grade::Classified),
            ("Ⅲ급비밀", Grade::Classified),
            ("Ⅱ급 비밀 사본번호 3", Grade::Classified),
            ("보안등급: 대외비", Grade::Classified),
            ("공개구분 : 비공개", Grade::Sensitive),
            ("| 공개여부 | 부분공개 |", Grade::Sensitive),
            ("우 10892 가람시 행복로 12 / 비공개(5)", Grade::Sensitive),
            ("전화 031-940-1234 / hong@garam.go.kr / 부분공개(1,6)", Grade::Sensitive),
            ("비  밀", Grade::Classified),
            ("대\u{200B}외비", Grade::Classified),
            ("[대외주의] 관계기관 회의", Grade::Sensitive),
            ("<내부검토용>", Grade::Sensitive),
            ("등급: S등급", Grade::Sensitive),
            ("CONFIDENTIAL", Grade::Classified),
            ("대외비 | 감사 계획", Grade::Classified),
            ("가람시\n비공개 문서\n제목: 인사 계획", Grade::Sensitive),
        ] {
            let report = scan(text);
            assert_eq!(report.raised_grade(), grade, "{text:?}: {:?}", report.markings);
            assert!(report.markings.iter().all(|m| m.start < m.end && !m.reason.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn prose_about_grades_raises_none() {
        for text in [
            "비공개 회의를 연다.",
            "정보공개법상 비공개 대상 정보이다.",
            "대외비 문서를 요약한다.",
            "이 문서는 대외비로 분류한다.",
            "비밀 취급 인가를 받은 직원",
            "비밀번호를 바꾼다.",
            "영업비밀을 지킨다(비밀유지 의무).",
            "공개 12건, 비공개 3건이다.",
            "비공개 사유를 적는다.",
            "회의를 비공개로 진행하며(비공개 사유는 별첨) 결과를 알린다.",
            "‘대외비’라는 말의 뜻을 묻는다.",
            "\"비공개\"로 표시한다",
            "위원회는 비공개(非公開)로 한다",
            "기밀 유지와 보안 교육",
        ] {
            assert_eq!(scan(text).markings, [], "{text}");
        }
    }
}

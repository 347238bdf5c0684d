//! Names of persons where a label or an honorific says that a word is one. Names without such a sign are not looked for.

use crate::kind::Kind;
use crate::numbers::Candidate;
use crate::text::Text;
use regex::Regex;
use std::sync::LazyLock;

const SURNAMES: &str = "김이박최정강조윤장임한오서신권황안송류유전홍고문양손배백허남심노하곽성차주우구민진나지엄채원천방공현함변염여추도소석선설마길연위표명기반라왕금옥육인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간견";
const DOUBLE_SURNAMES: [&str; 10] = ["남궁", "황보", "제갈", "선우", "독고", "사공", "서문", "동방", "망절", "어금"];

/// Words that begin like a name and stand where a name would.
const NOT_NAMES: &[&str] = &[
    "본인",
    "없음",
    "미상",
    "한글",
    "기재",
    "공무원",
    "대리인",
    "주민",
    "시장",
    "신청자",
    "신청인",
    "민원인",
    "이용자",
    "사용자",
    "주무관",
    "구청장",
    "도지사",
    "변호사",
    "조합원",
    "선생",
    "고객",
    "여러분",
    "담당자",
    "관리자",
    "관계자",
    "책임자",
    "보호자",
    "대표자",
    "이사장",
    "위원장",
    "위원",
    "국장",
    "과장",
    "팀장",
    "부장",
    "차장",
    "실장",
    "소장",
    "원장",
    "교장",
    "교감",
    "교수",
    "의원",
    "의장",
    "기사",
    "기자",
    "간호사",
    "부모",
    "어머",
    "아버",
    "할머",
    "할아버",
    "사장",
    "회장",
    "이장",
    "통장",
    "반장",
    "주임",
    "서기",
    "사무관",
    "서기관",
    "비공개",
    "공개",
    "기관",
    "동의",
    "서명",
    "정보",
    "성명",
    "이름",
    "주소",
    "연락처",
    "생략",
    "해당",
    "전체",
    "우리",
    "모두",
    "임차인",
    "임대인",
    "소유자",
    "도민",
    "시민",
    "구민",
    "국민",
    "군민",
    "이하",
    "아래",
    "전화",
    "신고자",
    "신고인",
    "제보자",
    "유족",
    "가족",
    "장애인",
    "어르신",
    "노인",
    "학생",
    "환자",
    "방문자",
    "외국인",
    "내국인",
    "마음",
    "소방관",
    "조합장",
    "경찰관",
    "소비자",
    "사업자",
    "근로자",
    "지원자",
    "제안자",
    "수급자",
    "이의",
    "신분증",
    "증명서",
    "신청서",
    "구분",
    "유형",
    "여부",
    "사유",
    "현황",
    "주민번호",
    "생년월일",
];

static LABELLED: LazyLock<Regex> = LazyLock::new(|| {
    let labels = "신청인|신청자|성명|이름|성함|민원인|대표자|보호자|신고인|신고자|피해자|수급자|세대주|예금주|담당자|작성자|대리인|\
                  당사자|채무자|채권자|청구인|피청구인|고소인|피고소인|원고|피고|환자명|고객명|수취인|받는 ?사람|보내는 ?사람|임차인|임대인|배우자|동거인";
    let pattern = format!(
        r"(?:(?:{labels})(?: ?\([^()\n]{{1,10}}\))?(?: {{0,2}}[:=|] {{0,3}}|( {{1,3}}))|(?:이름|성명|성함)([은는이]) )([가-힣](?: [가-힣]){{1,3}}|[가-힣]{{2,8}})"
    );
    Regex::new(&pattern).expect("tested below")
});

static HONOURED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"([가-힣]{3,4}) ?(?:님|씨|귀하)").expect("tested below"));

/// What may follow a name in the same word.
const ENDINGS: [&str; 18] = [
    "이",
    "가",
    "은",
    "는",
    "을",
    "를",
    "의",
    "와",
    "과",
    "도",
    "에게",
    "께서",
    "님",
    "씨",
    "귀하",
    "이며",
    "이고",
    "입니다",
];

/// Names with a label before or an honorific after them, in order.
pub(crate) fn find(text: &Text) -> Vec<Candidate> {
    let mut out = Vec::new();
    for found in LABELLED.captures_iter(&text.string) {
        let Some(word) = found.get(3) else { continue };
        let range = text.chars(word.range());
        let next = text.view.get(range.end);
        let (blank, particle, spaced) = (found.get(1).is_some(), found.get(2).is_some(), word.as_str().contains(' '));
        let length = match (blank || particle, spaced) {
            (false, true) => spaced_name(word.as_str(), next),
            (false, false) => name_length(word.as_str()),
            // A blank or a particle between label and word is weak: the word must be a whole name, and after a blank
            // it must end like a field.
            (true, false) if particle || ends_field(text, range.end) => weak_name(word.as_str()),
            (true, _) => None,
        };
        if let Some(n) = length {
            out.push(Candidate { kind: Kind::Name, range: range.start..range.start + n, confidence: 0.75 });
        }
    }
    for word in HONOURED.captures_iter(&text.string).filter_map(|c| c.get(1)) {
        let range = text.chars(word.range());
        let starts_word = range.start.checked_sub(1).and_then(|i| text.view.get(i)).is_none_or(|c| !is_hangul(c));
        let inflected = word.as_str().ends_with(['의', '는', '을', '를', '에', '로']);
        if starts_word && !inflected && is_name(word.as_str()) {
            out.push(Candidate { kind: Kind::Name, range, confidence: 0.7 });
        }
    }
    out.sort_by_key(|c| c.range.start);
    out
}

fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}

/// The line, or a cell or list item, ends at `at`.
fn ends_field(text: &Text, at: usize) -> bool {
    match (text.view.get(at), text.view.get(at + 1)) {
        (None | Some('\n' | ',' | '(' | '/' | '|' | ';' | '\t'), _) => true,
        (Some(' '), next) => next.is_none_or(|c| c.is_ascii_digit() || matches!(c, '(' | '[' | '|' | '\n')),
        _ => false,
    }
}

/// Length of the name that the word begins with, endings left out.
fn name_length(word: &str) -> Option<usize> {
    let chars: Vec<char> = word.chars().collect();
    [3, 4, 2].into_iter().filter(|&n| n <= chars.len()).find(|&n| {
        let (name, rest) = chars.split_at(n);
        let (name, rest) = (name.iter().collect::<String>(), rest.iter().collect::<String>());
        is_name(&name) && (rest.is_empty() || ENDINGS.contains(&rest.as_str()))
    })
}

/// A word of three syllables, or four with a surname of two, that does not end like an inflected noun or verb; the
/// ending of a sentence may follow.
fn weak_name(word: &str) -> Option<usize> {
    let bare = ["입니다", "이며", "이고", "이다"].iter().find_map(|e| word.strip_suffix(e)).unwrap_or(word);
    let n = bare.chars().count();
    let inflected = bare.ends_with([
        '의', '이', '가', '은', '는', '을', '를', '에', '로', '도', '와', '과', '한', '할', '된', '음', '함', '고',
    ]);
    (n >= 3 && !inflected && is_name(bare)).then_some(n)
}

/// "홍 길 동": single syllables with blanks between them, then no more letters.
fn spaced_name(word: &str, next: Option<char>) -> Option<usize> {
    let joined: String = word.chars().filter(|c| *c != ' ').collect();
    (next.is_none_or(|c| !is_hangul(c)) && is_name(&joined)).then(|| word.chars().count())
}

/// A surname with a given name of one or two syllables, and not a known other word.
fn is_name(word: &str) -> bool {
    let n = word.chars().count();
    let double = DOUBLE_SURNAMES.iter().any(|s| word.starts_with(s));
    let single = word.chars().next().is_some_and(|c| SURNAMES.contains(c));
    let known = NOT_NAMES.iter().any(|w| word.starts_with(w) || n == 3 && word.ends_with(w));
    !known && (double && (3..=4).contains(&n) || single && (2..=3).contains(&n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    fn names(text: &str) -> Vec<String> {
        let text = Text::new(View::of(text).normalised());
        let chars = text.view.chars();
        find(&text).into_iter().map(|c| chars[c.range].iter().collect()).collect()
    }

    #[test]
    fn labelled_and_honoured() {
        assert_eq!(names("신청인: 남궁민수"), ["남궁민수"]);
        assert_eq!(names("성명 : 홍길동은 서울"), ["홍길동"]);
        assert_eq!(names("성 명, 이름 = 홍 길 동"), ["홍 길 동"]);
        assert_eq!(names("홍길동 님께, 김철수씨가"), ["홍길동", "김철수"]);
        assert_eq!(names("신청인 홍길동 (남)"), ["홍길동"]);
        assert_eq!(names("이름은 홍길동입니다"), ["홍길동"]);
    }

    #[test]
    fn words_that_are_not_names() {
        for text in [
            "성명: 기재하세요",
            "신청인: 본인",
            "주무관님",
            "담당자 지정",
            "신청인 정보를 적는다",
            "구청장님",
            "민원인 이용 안내",
            "당사자는 정당한 사유",
            "이름은 주위의 경치",
            "대리인은 이 법 제3조",
            "사랑의 씨앗",
        ] {
            assert_eq!(names(text), Vec::<String>::new(), "{text}");
        }
    }
}

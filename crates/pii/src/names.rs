//! Names of persons where a label, an honorific or a title says that a word is one. Names without such a sign are not
//! looked for. The lists of surnames and of other words are in `name_words`.

use crate::kind::Kind;
use crate::labels::Cue;
use crate::name_words::{DOUBLE_SURNAMES, FIRST_SYLLABLES, LAST_SYLLABLES, NOT_NAMES, SURNAMES, USUAL_SURNAMES};
use crate::text::Text;
use crate::window::Candidate;
use regex::Regex;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Bytes behind a label in which a name stands.
const REACH: usize = 120;

/// What stands between a label and a name, and the name with what follows it.
static BEHIND_LABEL: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"^(?:명|자|인)?(?: ?\([^()\n]{1,10}\))?["'”’]?(?: {0,2}[:=|\t>-] {0,3}\n? ?["'‘“]?| ?\n ?|( {1,3})|([은는이가] ))["'‘“]?([가-힣](?: {1,2}[가-힣]){1,3}|[가-힣]{2,8}|[\u{4E00}-\u{9FFF}]{2,4}|[A-Z][A-Za-z'.-]{1,19}(?:,? [A-Z][A-Za-z'.-]{0,19}){1,4})"#;
    Regex::new(pattern).expect("tested below")
});

/// Endings of a word behind a name.
const ENDINGS: [&str; 27] = [
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
    "이다",
    "님의",
    "님이",
    "씨의",
    "씨가",
    "외",
    "으로",
    "로",
    "이라",
];

/// Syllables that foreign names are written with, and Korean names hardly.
const FOREIGN_SYLLABLES: [char; 45] = [
    '응', '옌', '웬', '쩐', '쭝', '티', '칸', '즈', '샤', '쉬', '쑨', '쥔', '췬', '뤄', '흐', '므', '르', '트', '스',
    '크', '프', '드', '브', '그', '쿠', '투', '푸', '누', '루', '카', '타', '파', '차', '라', '마', '바', '나', '아',
    '레', '로', '리', '니', '토', '코', '케',
];

/// Last syllables of bodies and their parts.
const OFFICES: [char; 24] = [
    '과', '팀', '국', '청', '시', '군', '구', '동', '읍', '면', '관', '회', '사', '소', '터', '교', '합', '단', '인',
    '조', '음', '략', '기', '함',
];

/// Syllables that make another word of a word, so that "정보란" is none of a name where "정도현" is.
const SUFFIXES: &str = "은는이가을를의에도로와과자인증서일별란등용비금적성화물품실원장부팀율률권법료세액형점처측건당제도상하내외한할된들님함음고면서며때후전간중식";

static KNOWN_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| NOT_NAMES.split('|').collect());

/// Names with a label before, or an honorific or a title beside them, in order.
pub(crate) fn find(text: &Text) -> Vec<Candidate> {
    let mut out = Vec::new();
    for found in &text.cues {
        let candidate = match found.cue {
            Cue::NameLabel => behind_label(text, &found.range).map(|range| name(range, 0.75)),
            Cue::NameCell => in_cell(text, found.range.start).map(|range| name(range, 0.7)),
            Cue::Honorific => honoured(text, &found.range).map(|range| name(range, 0.7)),
            Cue::Title => titled(text, &found.range).map(|range| name(range, 0.6)),
            _ => None,
        };
        out.extend(candidate.filter(|c| !text.touches_token(&c.range)));
    }
    out.sort_by_key(|c| c.range.start);
    // A label before and a title behind say the same.
    out.dedup_by(|next, last| next.range == last.range);
    out
}

fn name(range: Range<usize>, confidence: f32) -> Candidate {
    Candidate { kind: Kind::Name, range, confidence }
}

fn behind_label(text: &Text, label: &Range<usize>) -> Option<Range<usize>> {
    // Nearly always another word goes on, or a particle makes it the subject of a sentence.
    let called = is_called(text, label) || speaks_of_self(text, label);
    let goes_on = |c: char| is_hangul(c) && !"명자인".contains(c) && !(called && "은는이가".contains(c));
    if text.after(label.end).is_some_and(goes_on) {
        return None;
    }
    let rest = text.ahead(label.end, REACH);
    let found = BEHIND_LABEL.captures(rest)?;
    let word = found.get(3)?;
    let (start, end) = (label.end + word.start(), label.end + word.end());
    let (blank, particle, spaced) = (found.get(1).is_some(), found.get(2).is_some(), word.as_str().contains(' '));
    let latin = word.as_str().starts_with(|c: char| c.is_ascii_uppercase());
    let length = match (blank || particle, spaced) {
        (weak, _) if latin => (!weak).then_some(word.as_str().len()),
        _ if is_han(word.as_str()) => ends_field(text, end).then_some(word.as_str().len()),
        (false, true) => spaced_name(word.as_str(), text.after(end)),
        (false, false) => {
            let foreign = || foreign_name(text, label, start, word.as_str());
            name_length(word.as_str()).or_else(foreign)
        }
        // A blank or a particle between label and word is weak: the word must be a whole name, and after a blank
        // it must end like a field.
        (true, false) if speaks_of_self(text, label) => stated_name(word.as_str()),
        (true, false)
            if particle && is_called(text, label) || blank && (ends_field(text, end) || is_kin(text, label)) =>
        {
            weak_name(word.as_str(), blank && ends_line(text, end))
        }
        (true, _) => None,
    };
    length.map(|n| start..start + n)
}

/// "남편 홍길동 명의": the name follows at once.
fn is_kin(text: &Text, label: &Range<usize>) -> bool {
    matches!(
        text.slice(label.clone()),
        "남편" | "아내" | "아들" | "장남" | "장녀" | "세입자" | "집주인" | "故" | "고(故)"
    )
}

/// "저는 홍길동입니다": who writes gives the own name.
fn speaks_of_self(text: &Text, label: &Range<usize>) -> bool {
    matches!(text.slice(label.clone()), "저는" | "저 는" | "본인은")
}

/// A whole name, and then the ending that states it.
fn stated_name(word: &str) -> Option<usize> {
    let name = ["입니다", "이라고", "라고", "이며", "이고"].iter().find_map(|e| word.strip_suffix(e))?;
    let double = DOUBLE_SURNAMES.iter().any(|s| name.starts_with(s)) && is_name(name);
    (name.chars().count() >= 3 && (is_sure_name(name) || double)).then_some(name.len())
}

fn is_han(word: &str) -> bool {
    word.starts_with(|c: char| matches!(c, '\u{4E00}'..='\u{9FFF}'))
}

/// A foreign name in Korean letters fills the whole field behind the word for a name: "성명: 응우옌티란".
fn foreign_name(text: &Text, label: &Range<usize>, start: usize, word: &str) -> Option<usize> {
    let personal =
        ["성명", "이름", "성함", "외국인", "체류자"].iter().any(|w| text.slice(label.clone()).starts_with(w));
    let line = text.line_after(start, 24);
    let field = line.split(['|', ',', '"', '(', '/', '\'', '<', ';']).next().unwrap_or_default();
    let field = field.split("  ").next().unwrap_or_default().trim_end();
    let syllables = field.chars().filter(|c| *c != ' ').count();
    let hangul = field.chars().all(|c| is_hangul(c) || c == ' ');
    let known = field.split(' ').any(|part| is_known_word(part, part.chars().count()));
    let office = field.ends_with(OFFICES);
    let foreign = field.contains(FOREIGN_SYLLABLES);
    let fits = personal && hangul && foreign && (3..=10).contains(&syllables) && !known && !office;
    (fits && field.starts_with(word)).then_some(field.len())
}

/// The cell at byte `at` of a column of names holds a name and nothing else.
fn in_cell(text: &Text, at: usize) -> Option<Range<usize>> {
    let line = text.line_after(at, 24);
    let cell = line.split(['|', ',', '\t', '"', '(', '<']).next().unwrap_or_default().trim_end();
    let joined: String = cell.chars().filter(|c| *c != ' ').collect();
    let hangul = !cell.is_empty() && cell.chars().all(|c| is_hangul(c) || c == ' ');
    let short = joined.chars().count() == 2;
    (hangul && is_name(&joined) && (!short || is_given_like(&joined))).then_some(at..at + cell.len())
}

/// "이름은", "성명이": what follows a particle is the name itself.
fn is_called(text: &Text, label: &Range<usize>) -> bool {
    matches!(text.slice(label.clone()), "이름" | "성명" | "성함")
}

/// The word before 씨, 님 or 귀하.
fn honoured(text: &Text, honorific: &Range<usize>) -> Option<Range<usize>> {
    let before = text.slice(text.back(honorific.start, 6)..honorific.start);
    let word = before.trim_end_matches(' ');
    let start = honorific.start - before.len();
    let begin = word
        .rfind(|c| !is_hangul(c))
        .map_or(0, |at| at + word.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
    let word = word.get(begin..)?;
    let count = word.chars().count();
    let goes_on = text.after(honorific.end).is_some_and(is_hangul) && !text.slice(honorific.clone()).contains('귀');
    let follows = text.slice(honorific.end..text.forth(honorific.end, 4));
    let inflected = word.ends_with(['의', '는', '을', '를', '에', '로']);
    // "씨족", "님비": another word.
    let other = goes_on
        && !starts_with_any(
            follows,
            &[
                "의", "이", "가", "은", "는", "을", "를", "께", "과", "와", "도", "에게", "라고", "입", "하고", "한테",
                "로", "만", "처럼", "에 ", "서", "측", "댁", "네", "등", "외", "및", "포함",
            ],
        );
    let starts_word = begin > 0 || text.before(start).is_none_or(|c| !is_hangul(c));
    let long_enough = (3..=4).contains(&count) || count == 2 && is_given_like(word);
    (starts_word
        && !inflected
        && !other
        && long_enough
        && before.len() - before.trim_end_matches(' ').len() <= 1
        && is_name(word))
    .then_some(start + begin..start + begin + word.len())
}

fn starts_with_any(text: &str, heads: &[&str]) -> bool {
    heads.iter().any(|head| text.starts_with(head))
}

/// "홍길동 주무관", "주무관 홍길동": beside a title a word must look like a name in every syllable.
fn titled(text: &Text, title: &Range<usize>) -> Option<Range<usize>> {
    let after = text.after(title.end);
    let before = text.slice(text.back(title.start, 6)..title.start);
    let word = before.strip_suffix(' ').unwrap_or(before);
    let begin = word
        .rfind(|c| !is_hangul(c))
        .map_or(0, |at| at + word.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
    let apart = begin > 0 || before.chars().count() < 6;
    let candidate = word.get(begin..).unwrap_or_default();
    let ends = after.is_none_or(|c| !is_hangul(c) || "이가은는을를의과와도님께에".contains(c));
    if apart && ends && is_sure_name(candidate) {
        let start = title.start - before.len() + begin;
        return Some(start..start + candidate.len());
    }
    let rest = text.slice(title.end..text.forth(title.end, 12));
    let rest = rest.strip_prefix(" : ").or_else(|| rest.strip_prefix(": ")).or_else(|| rest.strip_prefix(' '))?;
    let word: String = rest.chars().take_while(|c| is_hangul(*c)).collect();
    let n = [3, 4].into_iter().find_map(|n| {
        let at = word.char_indices().nth(n).map_or(word.len(), |(i, _)| i);
        let (name, ending) = (word.get(..at)?, word.get(at..)?);
        let fits = name.chars().count() == n && is_sure_name(name) && (ending.is_empty() || ENDINGS.contains(&ending));
        fits.then_some(at)
    })?;
    let joined = text.before(title.start).is_some_and(is_hangul) && title.len() <= 6;
    let field = ends_field(
        text,
        title.end + (text.slice(title.end..text.forth(title.end, 12)).len() - rest.len()) + word.len(),
    );
    let start = title.end + (text.slice(title.end..text.forth(title.end, 12)).len() - rest.len());
    (field || !joined && n == word.len()).then_some(start..start + n)
}

fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}

/// The line ends at byte `at`, or a bracket or a number follows.
fn ends_line(text: &Text, at: usize) -> bool {
    let rest = text.line_after(at, 3).trim_start_matches(' ');
    rest.is_empty() || rest.starts_with(['(', '☎', '/', '|']) || rest.starts_with(|c: char| c.is_ascii_digit())
}

/// The line, or a cell or list item, ends at `at`.
fn ends_field(text: &Text, at: usize) -> bool {
    let mut chars = text.str().get(at..).unwrap_or_default().chars();
    match (chars.next(), chars.next()) {
        (None | Some('\n' | ',' | '(' | ')' | '/' | '|' | ';' | '\t' | '.' | '"' | '\\' | '·'), _) => true,
        (Some(' '), next) => next.is_none_or(|c| c.is_ascii_digit() || matches!(c, '(' | '[' | '|' | '\n' | '☎' | '/')),
        _ => false,
    }
}

/// Length in bytes of the name that the word begins with, endings left out.
fn name_length(word: &str) -> Option<usize> {
    // "정자로": whole a word, though a name and a particle would be in it.
    if KNOWN_WORDS.contains(word) {
        return None;
    }
    let chars: Vec<char> = word.chars().collect();
    let double = DOUBLE_SURNAMES.iter().any(|s| word.starts_with(s));
    let lengths = if double { [4, 3, 2] } else { [3, 4, 2] };
    lengths.into_iter().filter(|&n| n <= chars.len()).find_map(|n| {
        let (name, rest) = chars.split_at(n);
        let (name, rest) = (name.iter().collect::<String>(), rest.iter().collect::<String>());
        (is_name(&name) && (rest.is_empty() || ENDINGS.contains(&rest.as_str()))).then_some(name.len())
    })
}

/// A word of three syllables, or four with a surname of two, that does not end like an inflected noun or verb; the
/// ending of a sentence may follow.
fn weak_name(word: &str, closed: bool) -> Option<usize> {
    let bare = ["입니다", "이며", "이고", "이다", "인"].iter().find_map(|e| word.strip_suffix(e)).unwrap_or(word);
    let n = bare.chars().count();
    // "담당자 조하은 (031-…": what ends a field is no particle.
    let given = (closed || bare.len() < word.len()) && bare.ends_with(['은', '이', '한', '도']);
    let inflected = !given
        && bare.ends_with([
            '의', '이', '가', '은', '는', '을', '를', '에', '로', '도', '와', '과', '한', '할', '된', '음', '함', '고',
        ]);
    let double = DOUBLE_SURNAMES.iter().any(|s| bare.starts_with(s)) && is_name(bare);
    (n >= 3 && !inflected && (is_sure_name(bare) || double)).then_some(bare.len())
}

/// "홍 길 동": single syllables with blanks between them, then no more letters.
fn spaced_name(word: &str, next: Option<char>) -> Option<usize> {
    let joined: String = word.chars().filter(|c| *c != ' ').collect();
    (next.is_none_or(|c| !is_hangul(c)) && is_name(&joined)).then_some(word.len())
}

/// A surname with a given name of one or two syllables, and not a known other word.
fn is_name(word: &str) -> bool {
    let n = word.chars().count();
    let double = DOUBLE_SURNAMES.iter().any(|s| word.starts_with(s));
    let single = word.chars().next().is_some_and(|c| SURNAMES.contains(c));
    !is_known_word(word, n) && (double && (3..=4).contains(&n) || single && (2..=3).contains(&n))
}

/// The word is, begins with, or at three syllables ends with a word that is no name.
fn is_known_word(word: &str, n: usize) -> bool {
    let known = |part: Option<&str>| part.is_some_and(|p| KNOWN_WORDS.contains(p));
    let cut = |k: usize| word.char_indices().nth(k).map_or(word.len(), |(i, _)| i);
    let goes_on = word.chars().next_back().is_some_and(|c| SUFFIXES.contains(c));
    let double = n > 2 && DOUBLE_SURNAMES.iter().any(|s| word.starts_with(s));
    known(Some(word))
        || known(word.get(..cut(2))) && (n != 3 || goes_on)
        || n > 3 && known(word.get(..cut(3)))
        || n == 3 && !double && known(word.get(cut(1)..))
}

/// Given names of two syllables without surname are too much like other words: only the most usual surnames count.
fn is_given_like(word: &str) -> bool {
    word.chars().next().is_some_and(|c| "김이박최정강조윤장임한오서신권황안송".contains(c))
        && word.chars().nth(1).is_some_and(|c| LAST_SYLLABLES.contains(c))
}

/// A usual surname and two syllables that given names are made of.
fn is_sure_name(word: &str) -> bool {
    let chars: Vec<char> = word.chars().collect();
    let given = |first: char, last: char| FIRST_SYLLABLES.contains(first) && LAST_SYLLABLES.contains(last);
    let shaped = match *chars.as_slice() {
        [surname, first, last] => USUAL_SURNAMES.contains(surname) && given(first, last),
        [_, _, first, last] => DOUBLE_SURNAMES.iter().any(|s| word.starts_with(s)) && given(first, last),
        _ => false,
    };
    shaped && !is_known_word(word, chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::View;

    fn names(text: &str) -> Vec<String> {
        let text = Text::new(View::of(text));
        find(&text).into_iter().map(|c| text.slice(c.range).to_string()).collect()
    }

    #[test]
    fn labelled_and_honoured() {
        assert_eq!(names("신청인: 남궁민수"), ["남궁민수"]);
        assert_eq!(names("성명 : 홍길동은 서울"), ["홍길동"]);
        assert_eq!(names("성 명, 이름 = 홍 길 동"), ["홍 길 동"]);
        assert_eq!(names("홍길동 님께, 김철수씨가"), ["홍길동", "김철수"]);
        assert_eq!(names("신청인 홍길동 (남)"), ["홍길동"]);
        assert_eq!(names("이름은 홍길동입니다"), ["홍길동"]);
        assert_eq!(names("복지과 김서연 주무관에게"), ["김서연"]);
        assert_eq!(names("담당 주무관 박지훈(내선 1234)"), ["박지훈"]);
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
            "기획팀 팀장",
            "정보통신과 과장",
        ] {
            assert_eq!(names(text), Vec::<String>::new(), "{text}");
        }
    }
}

//! Sentence splitting for Korean official documents (공문서): bullets, enumerations and table rows as well as prose.
//!
//! Returns ranges, never copies; what a sentence means is not looked at.

use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// Lines at least this long (in characters) that end without a stop are taken to be wrapped, and run on.
const WRAPPED_LINE: usize = 24;
/// A sentence does not run on over a line break past this many characters.
const LONGEST_RUN_ON: usize = 500;

/// Bullet, number or other mark at the start of a line, with the space after it.
static MARKER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let enumerators = r"\((?:[0-9]{1,2}|[가-힣])\)|(?:[0-9]{1,3}|[가나다라마바사아자차카타파하])[.)]";
    let bullets = r"[-–—*+•·∙●○◦□■▪▫◇◆▶▷►▸☐☑✓✔※☞➢⇒→〇ㅇ㉠-㉻㈀-㈛①-⑳]";
    Regex::new(&format!(r"^[ \t\u{{a0}}\u{{3000}}]*(?:#{{1,6}}|>+|{bullets}+|(?:{enumerators})(?:[ \t]|$))[ \t]*")).ok()
});

/// Byte ranges of the sentences of `text`: ascending, not overlapping, on character boundaries, without surrounding
/// white space. Every letter and digit of the text lies in exactly one of them; lines of punctuation alone (`---`,
/// `|---|`) lie in none. A bullet, an enumerated item, a heading and a table row are each at least one sentence of
/// their own and keep their mark (see [`without_marker`]).
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    for block in blocks(text) {
        split_block(text, block, &mut out);
    }
    out
}

/// The sentence without the bullet, number or heading mark in front of it.
pub fn without_marker(sentence: &str) -> &str {
    let bare = marker_end(sentence).and_then(|end| sentence.get(end..)).unwrap_or(sentence);
    if bare.trim().is_empty() { sentence.trim() } else { bare.trim() }
}

fn marker_end(line: &str) -> Option<usize> {
    let found = MARKER.as_ref()?.find(line)?.end();
    // "2026. 11. 22." opens with a date and "1.5배" with a figure, not with a number of an item.
    let rest = line.get(found..)?;
    let numbered = line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    (!(numbered && rest.starts_with(|c: char| c.is_ascii_digit()))).then_some(found)
}

/// Lines, joined where a wrapped line runs on.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut runs_on = false;
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\r', '\u{2028}', '\u{2029}', '\u{c}']) {
        let range = start..start + line.len();
        start = range.end;
        let trimmed = line.trim();
        if trimmed.is_empty() {
            // A lone "\n" after "\r" is the same line break.
            runs_on &= line == "\n" && text.get(..range.start).is_some_and(|t| t.ends_with('\r'));
            continue;
        }
        let stands_alone = trimmed.starts_with('|') || trimmed.starts_with('#');
        let opens = stands_alone || marker_end(line).is_some();
        match out.last_mut() {
            Some(last) if runs_on && !opens && range.end - last.start < LONGEST_RUN_ON * 3 => last.end = range.end,
            _ => out.push(range),
        }
        runs_on = !stands_alone && trimmed.chars().count() >= WRAPPED_LINE && !ends_sentence(trimmed);
    }
    out
}

/// Does the line end like a sentence or a noun-form item of a report?
fn ends_sentence(line: &str) -> bool {
    let bare = line.trim_end_matches(is_closing);
    bare.ends_with(['.', '!', '?', '。', '…', ':', ';', '다', '요', '함', '음', '임', '됨', '것', '|'])
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | ')' | ']' | '」' | '』' | '》' | '〉' | '）')
}

fn split_block(text: &str, block: Range<usize>, out: &mut Vec<Range<usize>>) {
    let Some(body) = text.get(block.clone()) else { return };
    if body.trim_start().starts_with('|') {
        push(text, block, out);
        return;
    }
    // A mark's own stop ("가.", "1.") ends nothing.
    let skip = marker_end(body).unwrap_or(0);
    let mut start = block.start;
    for (at, c) in body.char_indices().filter(|(at, _)| *at >= skip) {
        if !matches!(c, '.' | '!' | '?' | '。' | '！' | '？') {
            continue;
        }
        let (before, after) = (body.get(..at).unwrap_or(""), body.get(at + c.len_utf8()..).unwrap_or(""));
        if !is_boundary(c, before, after) {
            continue;
        }
        let end = block.start + at + c.len_utf8() + closing_length(after);
        if end > start {
            push(text, start..end, out);
            start = end;
        }
    }
    push(text, start..block.end, out);
}

/// Length in bytes of quotes and brackets that close right behind a stop.
fn closing_length(after: &str) -> usize {
    after.chars().take_while(|c| is_closing(*c)).map(char::len_utf8).sum()
}

fn is_boundary(stop: char, before: &str, after: &str) -> bool {
    let rest = after.get(closing_length(after)..).unwrap_or("");
    let next = rest.chars().next();
    let spaced = next.is_none_or(char::is_whitespace);
    match stop {
        '。' | '！' | '？' => true,
        '!' | '?' => spaced || next.is_some_and(is_hangul),
        _ => full_stop_ends(before, rest, spaced),
    }
}

/// Does the full stop between `before` and `rest` end a sentence? Not in decimals, dates, enumerators, initials.
fn full_stop_ends(before: &str, rest: &str, spaced: bool) -> bool {
    let Some(last) = before.chars().next_back() else {
        return false;
    };
    let word_start = before.rfind(|c: char| c.is_whitespace() || c == '(').map_or(0, |at| at + 1);
    let word = before.get(word_start..).unwrap_or(before);
    let only_one = word.chars().nth(1).is_none();
    if last.is_ascii_digit() || last == '.' {
        return false;
    }
    if is_hangul(last) {
        // "있습니다.다음은": the stop counts without a space only behind an ending.
        let ending = matches!(last, '다' | '요' | '까' | '죠' | '함' | '음' | '임' | '됨');
        return (spaced && !only_one) || (ending && !only_one && rest.chars().next().is_some_and(is_hangul));
    }
    if last.is_ascii_alphabetic() {
        let next = rest.trim_start().chars().next();
        let abbreviation = matches!(
            word.to_ascii_lowercase().as_str(),
            "no" | "vol" | "mr" | "mrs" | "ms" | "dr" | "st" | "tel" | "fig" | "cf" | "vs" | "pp"
        );
        return spaced
            && !only_one
            && !abbreviation
            && !word.contains('.')
            && !next.is_some_and(|c| c.is_ascii_digit());
    }
    spaced
}

fn is_hangul(c: char) -> bool {
    ('가'..='힣').contains(&c)
}

/// Adds the range without surrounding white space if it holds a letter or digit; otherwise what little punctuation
/// it holds is left out.
fn push(text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
    let Some(body) = text.get(range.clone()) else { return };
    let start = range.start + (body.len() - body.trim_start().len());
    let end = range.start + body.trim_end().len();
    if start < end && body.chars().any(char::is_alphanumeric) {
        out.push(start..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().filter_map(|r| text.get(r)).collect()
    }

    #[test]
    fn prose() {
        assert_eq!(
            split("신청은 3월까지입니다. 문의는 어디로 하나요? 담당자에게 전화해 주세요!"),
            ["신청은 3월까지입니다.", "문의는 어디로 하나요?", "담당자에게 전화해 주세요!"]
        );
        assert_eq!(
            split("그는 \"그렇습니다.\" 라고 했다.다음 날이다."),
            ["그는 \"그렇습니다.\"", "라고 했다.", "다음 날이다."]
        );
    }

    #[test]
    fn dates_decimals_and_abbreviations_stay() {
        assert_eq!(
            split("2026. 11. 22. 개최한다. 증가율은 3.5%이다."),
            ["2026. 11. 22. 개최한다.", "증가율은 3.5%이다."]
        );
        assert_eq!(split("'26. 6. 3.(수) 시행"), ["'26. 6. 3.(수) 시행"]);
        assert_eq!(split("서식은 No. 3을 쓴다."), ["서식은 No. 3을 쓴다."]);
    }

    #[test]
    fn bullets_tables_and_headings_stand_alone() {
        let text = "# 추진 계획\n□ 목적\n ○ 주민 편의를 높이고 처리 기간을 줄이기 위한\n   창구 통합을 추진\n  - 1단계: 상반기\n※ 예산 범위에서 조정\n가. 대상\n1. 접수\n| 구분 | 금액 |\n|---|---|\n| 계 | 10 |";
        assert_eq!(
            split(text),
            [
                "# 추진 계획",
                "□ 목적",
                "○ 주민 편의를 높이고 처리 기간을 줄이기 위한\n   창구 통합을 추진",
                "- 1단계: 상반기",
                "※ 예산 범위에서 조정",
                "가. 대상",
                "1. 접수",
                "| 구분 | 금액 |",
                "| 계 | 10 |"
            ]
        );
    }

    #[test]
    fn markers_come_off() {
        for (with, without) in [
            ("- 항목", "항목"),
            ("  ○ 항목", "항목"),
            ("가. 항목", "항목"),
            ("(1) 항목", "항목"),
            ("## 제목", "제목"),
            ("2026. 11. 22. 시행", "2026. 11. 22. 시행"),
            ("가로수 정비", "가로수 정비"),
            ("1.5배 증가", "1.5배 증가"),
        ] {
            assert_eq!(without_marker(with), without);
        }
    }

    #[test]
    fn windows_line_ends() {
        assert_eq!(split("첫째 줄이다.\r\n둘째 줄이다.\r\n"), ["첫째 줄이다.", "둘째 줄이다."]);
    }

    proptest! {
        #[test]
        fn ranges_are_sound(text in "([가-힣 .?!\n|0-9a-z-]|[□○※\"')(]|\\PC){0,200}") {
            let ranges = sentences(&text);
            let mut last = 0;
            let mut covered = 0;
            for r in &ranges {
                prop_assert!(r.start >= last && r.end > r.start);
                let s = text.get(r.clone());
                prop_assert!(s.is_some_and(|s| s == s.trim() && without_marker(s).len() <= s.len()));
                covered += s.map_or(0, |s| s.chars().filter(|c| c.is_alphanumeric()).count());
                last = r.end;
            }
            prop_assert_eq!(covered, text.chars().filter(|c| c.is_alphanumeric()).count());
        }
    }
}

//! Which checks a rule sentence asks for.

use crate::phrases::{count_word, list_items, quoted_words};

/// One check, with what the sentence says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Date,
    Time,
    Amount,
    Numbering,
    Ending,
    /// These very words must not appear.
    Forbidden(Vec<String>),
    /// Foreign loan words and stiff words of the built-in list.
    Plain,
    /// Latin letters outside brackets.
    Foreign,
    /// These items must appear and be filled.
    Required(Vec<String>),
    Length(Limit),
    Personal,
    /// Makes the text with personal data masked.
    Masked,
}

impl Check {
    /// Name in results.
    pub fn korean(&self) -> &'static str {
        match self {
            Check::Date => "날짜 표기",
            Check::Time => "시각 표기",
            Check::Amount => "금액 표기",
            Check::Numbering => "항목 번호",
            Check::Ending => "끝 표시",
            Check::Forbidden(_) => "쓰지 않을 말",
            Check::Plain => "다듬을 말",
            Check::Foreign => "외국 글자",
            Check::Required(_) => "필수 항목",
            Check::Length(_) => "분량",
            Check::Personal | Check::Masked => "개인정보",
        }
    }
}

/// A limit of length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    pub count: usize,
    pub unit: Unit,
    pub scope: LengthScope,
    /// `true`: at least; `false`: at most.
    pub at_least: bool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Characters,
    Words,
    Lines,
    Sentences,
}

/// Of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LengthScope {
    Document,
    /// The first line that is not blank.
    Title,
    EachSentence,
    EachLine,
}

pattern!(
    LENGTH,
    r"([0-9][0-9,]*|한|두|세|네|다섯|열)\s*(글자|자|어절|단어|줄|행|문장)\s*(이내|이하|까지|미만|이상|을 넘|를 넘|넘지)"
);
pattern!(
    LISTED,
    r"^(.{2,120}?)\s*(?:항목|칸|내용|사항)?\s*(?:이|가|을|를|은|는)?\s*(?:모두|반드시|빠짐없이|각각)?\s*(?:있어야|포함|들어가야|들어 있어야|빠지|명시|기재|적어야|밝혀야|갖춰야|갖추어야)"
);
pattern!(BAN, r"쓰지\s*(?:않|말)|사용하지\s*(?:않|말)|금지|넣지\s*(?:않|말)|안\s*된다|피한다|없어야");
pattern!(NEED, r"있어야|포함|들어가|들어 있|빠지|빠졌|명시|기재|적어야|밝혀야|갖춰|갖추|필수");

/// Reads a rule sentence; empty when no check understands it.
pub(crate) fn read(rule: &str) -> Vec<Check> {
    let has = |words: &[&str]| words.iter().any(|w| rule.contains(w));
    let quoted = quoted_words(rule);
    let mut out = Vec::new();
    if let Some(limit) = limit(rule) {
        out.push(Check::Length(limit));
    }
    if has(&["개인정보", "고유식별정보"]) && has(&["가린 글", "지운 글", "바꾼 글"]) {
        return vec![Check::Masked];
    }
    if has(&["개인정보", "주민등록번호", "주민번호", "전화번호가", "연락처가", "계좌번호가"]) && !NEED.is_match(rule)
    {
        return vec![Check::Personal];
    }
    if let Some(required) = required(rule, &quoted) {
        out.push(Check::Required(required));
        return out;
    }
    let format_words =
        ["형식", "표기", "적는다", "쓴다", "표시", "지킨다", "따른다", "맞", "점검", "확인", "검토", "올바"];
    let about_form = has(&format_words);
    if about_form && has(&["날짜", "일자", "연월일"]) {
        out.push(Check::Date);
    }
    if about_form && (has(&["시각", "시·분", "24시"]) || (has(&["시간"]) && has(&["쌍점", "24시간제", "표기", "형식"])))
    {
        out.push(Check::Time);
    }
    if about_form && has(&["금액"]) {
        out.push(Check::Amount);
    }
    if has(&["항목 번호", "항목번호", "번호 체계", "항목 기호", "번호 순서", "항목의 순서", "항목 구분"])
        || (has(&["1."]) && has(&["가."]) && !has(&["0."]))
    {
        out.push(Check::Numbering);
    }
    if rule.contains("끝.") || has(&["끝 표시", "‘끝’", "'끝'", "끝표시", "\"끝\""]) {
        out.push(Check::Ending);
    }
    let banned: Vec<String> = quoted.iter().filter(|q| *q != "끝" && *q != "끝.").cloned().collect();
    if BAN.is_match(rule) && !banned.is_empty() {
        out.push(Check::Forbidden(banned));
    } else if has(&["외래어", "순화", "어려운 말", "쉬운 말", "쉬운 우리말", "다듬", "일본식", "어려운 한자어"])
    {
        out.push(Check::Plain);
    }
    if has(&["외국어", "외국 글자", "외국 문자", "로마자", "영문", "영어"]) {
        out.push(Check::Foreign);
    }
    out
}

fn limit(rule: &str) -> Option<Limit> {
    let found = LENGTH.captures(rule)?;
    let group = |n: usize| found.get(n).map_or("", |m| m.as_str());
    let count = count_word(&group(1).replace(',', ""))?;
    let unit = match group(2) {
        "어절" | "단어" => Unit::Words,
        "줄" | "행" => Unit::Lines,
        "문장" => Unit::Sentences,
        _ => Unit::Characters,
    };
    let scope = if rule.contains("제목") {
        LengthScope::Title
    } else if rule.contains("한 문장")
        || rule.contains("문장마다")
        || rule.contains("각 문장")
        || rule.contains("문장은")
    {
        LengthScope::EachSentence
    } else if rule.contains("한 줄") || rule.contains("각 줄") || rule.contains("줄마다") {
        LengthScope::EachLine
    } else {
        LengthScope::Document
    };
    Some(Limit { count, unit, scope, at_least: group(3) == "이상" })
}

/// "'소요예산' 항목이 있어야 한다", "소요예산, 추진일정이 빠지지 않았는지 확인한다".
fn required(rule: &str, quoted: &[String]) -> Option<Vec<String>> {
    if !NEED.is_match(rule) || rule.contains("끝.") {
        return None;
    }
    if !quoted.is_empty() {
        return Some(quoted.to_vec());
    }
    if let Some((_, listed)) = rule.split_once([':', '：']) {
        let items = list_items(listed.trim_end_matches('.'));
        if !items.is_empty() {
            return Some(items);
        }
    }
    let list = LISTED.captures(rule)?.get(1)?.as_str();
    let from = ["에는 ", "에 ", "에서 "].iter().filter_map(|p| list.rfind(p).map(|at| at + p.len())).max().unwrap_or(0);
    let items: Vec<String> = list_items(list.get(from..).unwrap_or(list))
        .into_iter()
        .map(|i| i.trim_end_matches("항목").trim().to_owned())
        .map(|i| i.strip_suffix(['이', '가']).filter(|s| s.chars().count() >= 3).map(str::to_owned).unwrap_or(i))
        .filter(|i| !i.is_empty() && i.split_whitespace().count() <= 3)
        .collect();
    (!items.is_empty()).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_their_checks() {
        let words = |w: &[&str]| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let cases: Vec<(&str, Vec<Check>)> = vec![
            ("날짜는 '2026. 11. 22.'처럼 연월일 뒤에 온점을 찍어 표기한다.", vec![Check::Date]),
            ("시각은 24시각제로 쌍점을 써서 표기한다.", vec![Check::Time]),
            ("금액은 숫자와 한글을 함께 적는다.", vec![Check::Amount]),
            ("항목 번호는 1. 가. 1) 가) 차례를 따른다.", vec![Check::Numbering]),
            ("본문은 두 칸 띄우고 '끝.'으로 맺는다.", vec![Check::Ending]),
            ("'소요예산' 항목이 있어야 한다.", vec![Check::Required(words(&["소요예산"]))]),
            (
                "소요예산, 추진일정, 담당부서가 빠지지 않아야 한다.",
                vec![Check::Required(words(&["소요예산", "추진일정", "담당부서"]))],
            ),
            (
                "다음 항목이 모두 있어야 한다: 목적, 일시, 장소.",
                vec![Check::Required(words(&["목적", "일시", "장소"]))],
            ),
            ("'금번', '익일'을 쓰지 않는다.", vec![Check::Forbidden(words(&["금번", "익일"]))]),
            ("외래어는 쉬운 우리말로 다듬는다.", vec![Check::Plain]),
            ("주민등록번호 등 개인정보가 없어야 한다.", vec![Check::Personal]),
            ("개인정보를 표시로 바꾼 글을 만든다.", vec![Check::Masked]),
            ("보고서가 시민의 눈높이에 맞는다.", vec![]),
        ];
        for (rule, expected) in cases {
            assert_eq!(read(rule), expected, "{rule}");
        }
    }

    #[test]
    fn limits_know_their_unit_and_scope() {
        let of = |rule: &str| match read(rule).as_slice() {
            [Check::Length(l)] => l.clone(),
            other => panic!("{rule}: {other:?}"),
        };
        let l = of("전체 분량은 1,500자 이내로 한다.");
        assert_eq!((l.count, l.unit, l.scope, l.at_least), (1500, Unit::Characters, LengthScope::Document, false));
        assert_eq!(of("제목은 30자 이내여야 한다.").scope, LengthScope::Title);
        assert_eq!(of("한 문장은 60자를 넘지 않는다. 60자 이내").scope, LengthScope::EachSentence);
        assert_eq!(of("본문은 열 줄 이상이어야 한다.").count, 10);
    }
}

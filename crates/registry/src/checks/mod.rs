//! Rule checks of a document without a model: each rule sentence is read into checks, each check says pass, fail or
//! not applicable, where, and how to put it right. A rule that no check understands says so.
//!
//! Korean official writing follows 「행정업무의 운영 및 혁신에 관한 규정 시행규칙」: dates, times, amounts, numbering
//! and the closing 끝. What does not live here: judging content.

mod amounts;
mod content;
mod dates;
mod detector;
mod numbering;
mod personal;
mod rule;
mod words;

pub use amounts::{hangul_amount, parse_hangul_amount};
pub use detector::Detector;

use crate::phrases::escape_markdown;
use madang_pii::Rules;
use rule::Check;
use serde::{Deserialize, Serialize};

/// How a rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
    /// The document has nothing that the rule speaks of.
    NotApplicable,
    /// No check understands the rule: a person must look.
    AskPerson,
}

impl Outcome {
    /// Korean word for screens.
    pub fn korean(self) -> &'static str {
        match self {
            Outcome::Pass => "지킴",
            Outcome::Fail => "고칠 것",
            Outcome::NotApplicable => "해당 없음",
            Outcome::AskPerson => "사람이 확인",
        }
    }
}

/// Where a rule is broken and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// 1-based line of the text; 0 for the document as a whole.
    pub line: usize,
    /// The words found; personal data is masked. Empty where something is missing.
    pub quote: String,
    /// What to do, in Korean.
    pub fix: String,
}

/// Result of one rule sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The rule as the sheet states it.
    pub rule: String,
    pub outcome: Outcome,
    /// One Korean sentence on what was looked at.
    pub note: String,
    /// At most [`MAX_PLACES`], in the order of the text.
    pub places: Vec<Place>,
    /// The text that the rule asks for, as it may be copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

/// Most places listed for one rule.
pub const MAX_PLACES: usize = 20;

/// What one check found: how many things it looked at, and those that break the rule.
pub(crate) struct Looked {
    pub seen: usize,
    pub places: Vec<Place>,
}

/// Checks `text` against each rule sentence, in order. Never fails; an empty text gives [`Outcome::NotApplicable`].
/// `dictionary`: the body's own words that count as personal or secret data.
pub fn run(text: &str, rules: &[String], dictionary: &Rules) -> Vec<CheckResult> {
    rules.iter().map(|rule| run_one(text, rule, dictionary)).collect()
}

fn run_one(text: &str, rule: &str, dictionary: &Rules) -> CheckResult {
    let result = |outcome, note: &str, places| CheckResult {
        rule: rule.to_owned(),
        outcome,
        note: note.to_owned(),
        places,
        made: None,
    };
    if text.trim().is_empty() {
        return result(Outcome::NotApplicable, "점검할 글이 비어 있습니다.", vec![]);
    }
    let checks = rule::read(rule);
    if checks.is_empty() {
        return result(Outcome::AskPerson, "규칙만으로는 판단할 수 없습니다. 사람이 확인해 주세요.", vec![]);
    }
    if checks == [Check::Masked] {
        return match personal::without(text, dictionary) {
            None => result(Outcome::NotApplicable, "이 글에는 가릴 개인정보가 없습니다.", vec![]),
            Some((note, made)) => CheckResult { made: Some(made), ..result(Outcome::Pass, &note, vec![]) },
        };
    }
    let mut seen = 0;
    let mut places = Vec::new();
    let mut names = Vec::new();
    for check in &checks {
        let looked = look(text, check, dictionary);
        seen += looked.seen;
        places.extend(looked.places);
        names.push(check.korean());
    }
    places.sort_by_key(|p| p.line);
    let found = places.len();
    places.truncate(MAX_PLACES);
    let what = names.join(", ");
    match (found, seen) {
        (0, 0) => result(Outcome::NotApplicable, &format!("이 글에는 {what}에 해당하는 내용이 없습니다."), vec![]),
        (0, n) => result(Outcome::Pass, &format!("{what} {n}곳을 살폈고 고칠 곳이 없습니다."), vec![]),
        (n, _) if n > MAX_PLACES => {
            result(Outcome::Fail, &format!("{what}: 고칠 곳이 {n}곳이며 앞의 {MAX_PLACES}곳만 보입니다."), places)
        }
        (n, _) => result(Outcome::Fail, &format!("{what}: 고칠 곳이 {n}곳 있습니다."), places),
    }
}

fn look(text: &str, check: &Check, dictionary: &Rules) -> Looked {
    match check {
        Check::Date => dates::dates(text),
        Check::Time => dates::times(text),
        Check::Amount => amounts::amounts(text),
        Check::Numbering => numbering::numbering(text),
        Check::Ending => content::ending(text),
        Check::Forbidden(words) => words::forbidden(text, words),
        Check::Plain => words::plain(text),
        Check::Foreign => words::foreign(text),
        Check::Required(items) => content::required(text, items),
        Check::Length(limit) => content::length(text, limit),
        Check::Personal | Check::Masked => personal::personal(text, dictionary),
    }
}

/// Markdown: how many rules came out which way.
pub fn markdown_summary(results: &[CheckResult]) -> String {
    let count = |o: Outcome| results.iter().filter(|r| r.outcome == o).count();
    let all = [Outcome::Fail, Outcome::Pass, Outcome::NotApplicable, Outcome::AskPerson];
    let parts: Vec<String> =
        all.iter().filter(|o| count(**o) > 0).map(|o| format!("{} {}개", o.korean(), count(*o))).collect();
    format!("기준 {}개: {}\n\n", results.len(), parts.join(", "))
}

/// Markdown of one result: a box of the list, the rule, and each place below it.
pub fn markdown_item(result: &CheckResult) -> String {
    let tick = if result.outcome == Outcome::Pass { "x" } else { " " };
    let rule = escape_markdown(&result.rule);
    let mut out = format!("- [{tick}] **{}** {rule}\n  - {}\n", result.outcome.korean(), result.note);
    for place in &result.places {
        let at = if place.line > 0 { format!("{}째 줄", place.line) } else { "문서 전체".to_owned() };
        let quote =
            if place.quote.is_empty() { String::new() } else { format!(" “{}”", escape_markdown(&place.quote)) };
        out.push_str(&format!("  - {at}{quote} → {}\n", escape_markdown(&place.fix)));
    }
    if let Some(made) = &result.made {
        let fence = "`".repeat(longest_run(made, '`').max(2) + 1);
        out.push_str(&format!("\n{fence}\n{}\n{fence}\n\n", made.trim_end()));
    }
    out
}

/// Length of the longest run of `c`.
fn longest_run(text: &str, c: char) -> usize {
    text.split(|other| other != c).map(str::len).max().unwrap_or(0)
}

/// A place for a match at byte `at` of `text`.
pub(crate) fn place_at(text: &str, at: usize, quote: &str, fix: String) -> Place {
    let line = text.get(..at).unwrap_or("").matches('\n').count() + 1;
    Place { line, quote: quote.trim().to_owned(), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str, rule: &str) -> CheckResult {
        run(text, &[rule.to_owned()], &Rules::default()).remove(0)
    }

    #[test]
    fn a_rule_no_check_understands_asks_a_person() {
        let r = outcome("회의를 열었다.", "글의 앞뒤가 자연스럽게 이어져야 한다.");
        assert_eq!(r.outcome, Outcome::AskPerson);
        assert!(r.note.contains("사람이 확인해 주세요"));
    }

    #[test]
    fn nothing_to_look_at_is_not_a_pass() {
        assert_eq!(outcome("회의를 열었다.", "날짜는 '2026. 11. 22.' 형식으로 쓴다.").outcome, Outcome::NotApplicable);
        assert_eq!(outcome("  \n", "날짜 형식을 지킨다.").outcome, Outcome::NotApplicable);
    }

    #[test]
    fn one_sentence_may_hold_several_checks() {
        let text = "회의는 2026년 3월 2일 오후 3시에 연다.";
        let r = outcome(text, "날짜와 시각은 공문서 표기 형식을 따른다.");
        assert_eq!(r.outcome, Outcome::Fail);
        let fixes: Vec<_> = r.places.iter().map(|p| p.fix.as_str()).collect();
        assert!(fixes.iter().any(|f| f.contains("2026. 3. 2.")), "{fixes:?}");
        assert!(fixes.iter().any(|f| f.contains("15:00")), "{fixes:?}");
    }

    #[test]
    fn a_text_is_made_without_personal_data() {
        let rule = "개인정보를 표시로 바꾼 글을 만든다.";
        let made = outcome("```\n신청인 010-1234-5678, 900101-1970000\n문의 010-1234-5678", rule);
        assert_eq!(made.outcome, Outcome::Pass);
        assert!(made.note.contains("주민등록번호 1곳") && made.note.contains("전화번호 2곳"), "{}", made.note);
        let text = made.made.clone().unwrap_or_default();
        assert_eq!(text, "```\n신청인 [전화번호-1], [주민등록번호-1]\n문의 [전화번호-1]");
        assert!(markdown_item(&made).contains("\n````\n```\n신청인"), "the fence is longer than any within");
        assert_eq!(outcome("예산은 2,700천 원이다.", rule).outcome, Outcome::NotApplicable);
    }

    #[test]
    fn many_places_are_cut_and_counted() {
        let text = "2026년 3월 2일\n".repeat(30);
        let r = outcome(&text, "날짜 표기를 지킨다.");
        assert_eq!(r.places.len(), MAX_PLACES);
        assert!(r.note.contains("30곳"));
        assert_eq!((r.places[0].line, r.places[19].line), (1, 20));
    }
}

//! A body's own dictionary: words and patterns that its admin wants masked, blocked or flagged, such as names of plans
//! that are not public yet. Read from a TOML file that an official can read and write.
//!
//! ```toml
//! [[rule]]
//! name = "비공개 사업명"
//! terms = ["가람 신도시", "청사 이전"]
//! patterns = ["GR-[0-9]{4}"]
//! action = "block"      # mask, block, flag, grade_s, grade_c
//! ```
//!
//! Terms are looked for in the same normal form as identifiers, in either case, and however they are spaced or
//! hyphenated. Patterns are regular expressions without look-around and references, which take time linear in the
//! text; they see the normal form.

use crate::detect::Hit;
use crate::kind::{Action, Kind};
use crate::markings::Marked;
use crate::normal::normalise;
use crate::text::Text;
use crate::view::View;
use aho_corasick::{AhoCorasick, MatchKind};
use madang_domain::Grade;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Most rules of a dictionary.
pub const MAX_RULES: usize = 200;
/// Most terms of all rules together.
pub const MAX_TERMS: usize = 20_000;
/// Most patterns of all rules together.
pub const MAX_PATTERNS: usize = 200;
/// Longest term and pattern, in characters.
pub const MAX_LENGTH: usize = 200;
/// Shortest term, in characters without blanks and signs.
pub const MIN_TERM: usize = 2;
/// Most bytes a compiled pattern takes.
const MAX_COMPILED: usize = 256 * 1024;
/// Separators between two characters of a term, at most.
const MAX_SEPARATORS: usize = 3;

/// What is done with what a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Leaves with a token in its place.
    #[default]
    Mask,
    /// Does not leave.
    Block,
    /// Is reported and may leave.
    Flag,
    /// Raises the text to grade S, and is masked where the text is kept.
    GradeS,
    /// Raises the text to grade C, and is masked where the text is kept.
    GradeC,
}

impl RuleAction {
    /// What happens to the words themselves.
    pub fn action(self) -> Action {
        match self {
            RuleAction::Mask | RuleAction::GradeS | RuleAction::GradeC => Action::Mask,
            RuleAction::Block => Action::Block,
            RuleAction::Flag => Action::Pass,
        }
    }

    /// The least grade of a text with such words.
    pub fn grade(self) -> Option<Grade> {
        match self {
            RuleAction::GradeS => Some(Grade::Sensitive),
            RuleAction::GradeC => Some(Grade::Classified),
            RuleAction::Mask | RuleAction::Block | RuleAction::Flag => None,
        }
    }
}

/// A term or pattern by its place in the dictionary; all places count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub rule: usize,
    /// Among the patterns of the rule, not among its terms.
    pub is_pattern: bool,
    pub line: usize,
}

/// One rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Named on screens and in records.
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    #[serde(default)]
    pub action: RuleAction,
}

/// The file of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dictionary {
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Why a dictionary cannot be used: a Korean sentence that names the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesError(String);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RulesError {}

fn refuse<T>(words: String) -> Result<T, RulesError> {
    Err(RulesError(words))
}

impl Dictionary {
    /// Reads the TOML of a dictionary.
    ///
    /// # Errors
    /// A Korean sentence with the line at fault, for the admin.
    pub fn from_toml(text: &str) -> Result<Dictionary, RulesError> {
        toml::from_str(text).or_else(|error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            let place = line.map_or(String::new(), |line| format!("{line}번째 줄을 "));
            refuse(format!(
                "사전 파일의 {place}읽을 수 없습니다. name, terms, patterns, action(mask·block·flag·grade_s·grade_c)만 쓸 수 있습니다: {}",
                error.message()
            ))
        })
    }

    /// The dictionary as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
struct Named {
    name: Arc<str>,
    action: RuleAction,
}

/// A dictionary ready for use.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Named>,
    terms: Option<AhoCorasick>,
    /// The place of each term.
    of_term: Vec<Entry>,
    patterns: Vec<(Entry, Regex)>,
}

impl Rules {
    /// Reads and compiles a dictionary.
    ///
    /// # Errors
    /// A Korean sentence that names the rule and says what to change.
    pub fn from_toml(text: &str) -> Result<Rules, RulesError> {
        Rules::new(&Dictionary::from_toml(text)?)
    }

    /// Compiles a dictionary.
    ///
    /// # Errors
    /// A Korean sentence that names the rule and says what to change.
    pub fn new(dictionary: &Dictionary) -> Result<Rules, RulesError> {
        check_size(dictionary)?;
        let mut rules = Rules::default();
        let mut terms = Vec::new();
        for (i, rule) in dictionary.rules.iter().enumerate() {
            let name = rule.name.trim();
            if name.is_empty() {
                return refuse(format!("{}번째 규칙에 이름(name)이 없습니다. 무엇을 지키는 규칙인지 적으세요.", i + 1));
            }
            if rule.terms.is_empty() && rule.patterns.is_empty() {
                return refuse(format!("규칙 ‘{name}’에 낱말(terms)도 형식(patterns)도 없습니다. 하나 이상 적으세요."));
            }
            for (line, term) in rule.terms.iter().enumerate() {
                terms.push(checked_term(name, term)?);
                rules.of_term.push(Entry { rule: i, is_pattern: false, line });
            }
            for (line, pattern) in rule.patterns.iter().enumerate() {
                rules.patterns.push((Entry { rule: i, is_pattern: true, line }, compiled(name, pattern)?));
            }
            rules.rules.push(Named { name: name.into(), action: rule.action });
        }
        if !terms.is_empty() {
            let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&terms);
            rules.terms = Some(built.or_else(|_| refuse("낱말이 너무 많습니다. 줄인 뒤 다시 저장하세요.".into()))?);
        }
        Ok(rules)
    }

    /// No rule is in it.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Which terms and patterns stand in a text; of terms that overlap, the longest. For telling how common they are: what
    /// is written in another encoding is left to the scan.
    pub fn entries_in(&self, text: &str) -> BTreeSet<Entry> {
        let mut found = BTreeSet::new();
        self.each(normalise(&View::of(text)).text(), |entry, _| {
            found.insert(entry);
        });
        found
    }

    /// What the rules find in a normalised text.
    pub(crate) fn find(&self, text: &Text, hits: &mut Vec<Hit>, markings: &mut Vec<Marked>) {
        self.each(text.str(), |entry, range| {
            let Some(rule) = self.rules.get(entry.rule) else { return };
            if text.touches_token(&range) {
                return;
            }
            let range = text.view.original(range);
            if let Some(grade) = rule.action.grade() {
                let word = Kind::Custom.korean().to_owned();
                markings.push(Marked {
                    grade, range: range.clone(), word, reason: "기관 사전에 등록된 말입니다"
                });
            }
            hits.push(Hit {
                kind: Kind::Custom,
                action: rule.action.action(),
                range,
                confidence: 1.0,
                rule: Some(rule.name.clone()),
            });
        });
    }

    /// Calls `found` for each place of each entry.
    fn each(&self, text: &str, mut found: impl FnMut(Entry, std::ops::Range<usize>)) {
        if let Some(terms) = &self.terms {
            let squeezed = Squeezed::new(text);
            for hit in terms.find_iter(&squeezed.text) {
                if let (Some(entry), Some(range)) =
                    (self.of_term.get(hit.pattern().as_usize()), squeezed.place(hit.range()))
                {
                    found(*entry, range);
                }
            }
        }
        for (entry, pattern) in &self.patterns {
            pattern.find_iter(text).filter(|m| !m.is_empty()).for_each(|m| found(*entry, m.range()));
        }
    }
}

pub(crate) fn check_size(dictionary: &Dictionary) -> Result<(), RulesError> {
    let terms: usize = dictionary.rules.iter().map(|r| r.terms.len()).sum();
    let patterns: usize = dictionary.rules.iter().map(|r| r.patterns.len()).sum();
    for (what, count, most) in
        [("규칙", dictionary.rules.len(), MAX_RULES), ("낱말", terms, MAX_TERMS), ("형식", patterns, MAX_PATTERNS)]
    {
        if count > most {
            return refuse(format!("{what}이 {count}개입니다. {most}개까지 쓸 수 있으니 줄이세요."));
        }
    }
    Ok(())
}

/// The term as it is looked for: in normal form, in small letters, without blanks and signs.
pub(crate) fn checked_term(rule: &str, term: &str) -> Result<String, RulesError> {
    let view = View::of(term);
    let squeezed = Squeezed::new(normalise(&view).text()).text;
    let length = squeezed.chars().count();
    if length < MIN_TERM {
        return refuse(format!("규칙 ‘{rule}’의 낱말 ‘{term}’이 너무 짧습니다. 글자로 {MIN_TERM}자 이상 적으세요."));
    }
    if length > MAX_LENGTH {
        return refuse(format!("규칙 ‘{rule}’에 {MAX_LENGTH}자보다 긴 낱말이 있습니다. 줄이세요."));
    }
    Ok(squeezed)
}

pub(crate) fn compiled(rule: &str, pattern: &str) -> Result<Regex, RulesError> {
    if pattern.chars().count() > MAX_LENGTH {
        return refuse(format!("규칙 ‘{rule}’에 {MAX_LENGTH}자보다 긴 형식이 있습니다. 줄이세요."));
    }
    let built =
        RegexBuilder::new(pattern).size_limit(MAX_COMPILED).dfa_size_limit(4 * MAX_COMPILED).nest_limit(20).build();
    let regex = match built {
        Ok(regex) => regex,
        Err(regex::Error::CompiledTooBig(_)) => {
            return refuse(format!("규칙 ‘{rule}’의 형식 ‘{pattern}’이 너무 큽니다. 반복 횟수를 줄이세요."));
        }
        Err(_) => {
            return refuse(format!(
                "규칙 ‘{rule}’의 형식 ‘{pattern}’을 읽을 수 없습니다. 정규표현식의 괄호와 기호를 확인하세요. 앞뒤 보기와 되참조는 쓸 수 없습니다."
            ));
        }
    };
    if regex.is_match("") {
        return refuse(format!("규칙 ‘{rule}’의 형식 ‘{pattern}’은 빈 글에도 맞습니다. 한 글자 이상에 맞게 고치세요."));
    }
    Ok(regex)
}

/// A text in small letters without blanks and signs, with the place of each of its bytes.
struct Squeezed {
    text: String,
    places: Vec<usize>,
    /// Signs left out before each byte since the last one kept.
    skipped: Vec<u8>,
}

impl Squeezed {
    fn new(text: &str) -> Squeezed {
        let mut out = Squeezed { text: String::with_capacity(text.len()), places: Vec::new(), skipped: Vec::new() };
        let mut skipped = 0u8;
        for (at, c) in text.char_indices() {
            if !c.is_alphanumeric() {
                skipped = skipped.saturating_add(1);
                continue;
            }
            for small in c.to_lowercase() {
                for _ in 0..small.len_utf8() {
                    out.places.push(at);
                    out.skipped.push(std::mem::take(&mut skipped));
                }
                out.text.push(small);
            }
        }
        out.places.push(text.len());
        out
    }

    /// Where the bytes `range` stand in the text, unless its characters are too far apart.
    fn place(&self, range: std::ops::Range<usize>) -> Option<std::ops::Range<usize>> {
        let inner = self.skipped.get(range.start + 1..range.end)?;
        if inner.iter().any(|n| usize::from(*n) > MAX_SEPARATORS) {
            return None;
        }
        let (start, last) = (*self.places.get(range.start)?, *self.places.get(range.end.checked_sub(1)?)?);
        // The last character may be longer than one byte: it ends where the next one, or what was left out, begins.
        let length = self.text.get(range.clone())?.chars().next_back().map_or(1, char::len_utf8);
        Some(start..last + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan_with;

    const SAMPLE: &str = r#"
[[rule]]
name = "비공개 사업명"
terms = ["가람 신도시", "Project Blue"]
action = "block"

[[rule]]
name = "과제 번호"
patterns = ["GR-[0-9]{4}"]

[[rule]]
name = "살펴볼 말"
terms = ["감사 결과"]
action = "flag"
"#;

    fn found(text: &str) -> Vec<(Action, String)> {
        let rules = Rules::from_toml(SAMPLE).unwrap_or_default();
        let report = scan_with(text, &rules);
        report.findings.into_iter().map(|f| (f.action, f.rule.unwrap_or_default())).collect()
    }

    #[test]
    fn terms_are_found_however_written() {
        for text in [
            "가람신도시 계획",
            "가-람 신.도.시",
            "가\u{200B}람신도시",
            "PROJECT_blue",
            "ｐｒｏｊｅｃｔ ｂｌｕｅ",
            "%EA%B0%80람신도시",
        ] {
            assert_eq!(found(text), [(Action::Block, "비공개 사업명".to_string())], "{text}");
        }
        assert_eq!(
            found("GR-2026과 감사결과"),
            [(Action::Mask, "과제 번호".into()), (Action::Pass, "살펴볼 말".into())]
        );
        assert_eq!(found("가람 ---- 신도시, GR-26"), []);
    }

    #[test]
    fn a_graded_word_raises_the_grade_and_is_masked() {
        let toml = "[[rule]]\nname = \"감사\"\nterms = [\"한울 감사\"]\naction = \"grade_c\"\n";
        let rules = Rules::from_toml(toml).unwrap_or_default();
        for text in ["한-울 감사 결과", "%ED%95%9C울감사", "앞\n한울\n감사"] {
            let report = scan_with(text, &rules);
            assert_eq!((report.raised_grade(), report.action), (Grade::Classified, Action::Mask), "{text}");
            assert_eq!(report.markings.len(), 1, "{text}: {:?}", report.markings);
            assert!(report.markings.iter().all(|m| m.word == "등록어"), "the word itself is not told");
        }
        assert_eq!(scan_with("감사 결과", &rules).raised_grade(), Grade::Open);
    }

    #[test]
    fn entries_are_told_by_their_place() {
        let rules = Rules::from_toml(SAMPLE).unwrap_or_default();
        let at = |rule, is_pattern, line| Entry { rule, is_pattern, line };
        let found = rules.entries_in("PROJECT-blue, GR-2026, 프로젝트");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [at(0, false, 1), at(1, true, 0)]);
    }

    #[test]
    fn errors_name_the_rule() {
        let error = |toml: &str| Rules::from_toml(toml).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error("[[rule]]\nname = \"ㄱ\"\nterms = [\"가\"]").contains("‘ㄱ’의 낱말 ‘가’이 너무 짧습니다"));
        assert!(error("[[rule]]\nname = \"x\"\npatterns = [\"(?=a)\"]").contains("읽을 수 없습니다"));
        assert!(error("[[rule]]\nname = \"x\"\npatterns = [\"a*\"]").contains("빈 글에도"));
        assert!(error("[[rule]]\nname = \"x\"\npatterns = [\"(\\\\p{L}{100}){100}\"]").contains("너무 큽니다"));
        assert!(error("[[rule]]\nname = \"x\"").contains("하나 이상"));
        assert!(
            error("[[rule]]\nname = \"x\"\ncolour = 1").contains("2번째 줄")
                || error("[[rule]]\nname = \"x\"\ncolour = 1").contains("번째 줄")
        );
    }

    #[test]
    fn a_dictionary_is_written_as_it_is_read() {
        let dictionary = Dictionary::from_toml(SAMPLE).unwrap_or_default();
        assert_eq!(dictionary.rules.len(), 3);
        assert_eq!(Dictionary::from_toml(&dictionary.to_toml()), Ok(dictionary));
    }
}

//! The policy file: TOML to a checked [`Policy`] and back, strict, with the line and a Korean sentence for each fault.
//! What a fault is beyond the file's form is in `check`.

use crate::check;
use crate::model::{Approval, Budget, Conditions, Effect, Name, Policy, Preapproval, Prices, Rule};
use crate::time::{CalendarDay, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Version of the file's form that this program reads.
pub const FORMAT: u32 = 1;
/// Longest policy file, bytes.
pub const MAX_TEXT: usize = 512 * 1024;

/// Most faults told at once.
const MAX_FAULTS: usize = 100;

/// One fault of a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// From 1; `None` where the fault has no place.
    pub line: Option<usize>,
    /// Where in the file, such as `rule[2].when.grades`; empty for the file as a whole.
    pub path: String,
    /// Korean, says what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}번째 줄: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Everything that keeps a file from being a policy; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// Name of an effect in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EffectName {
    #[serde(alias = "허용")]
    Allow,
    #[serde(alias = "마스킹 후 허용")]
    AllowWithMasking,
    #[serde(alias = "승인 필요")]
    NeedsApproval,
    #[serde(alias = "거부")]
    Deny,
}

/// A rule as the file writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    pub id: Name,
    #[serde(default)]
    pub title: String,
    pub effect: EffectName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    pub when: Conditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Conditions>,
}

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPolicy {
    pub format: u32,
    pub revision: u32,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub holidays: BTreeSet<CalendarDay>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window: Vec<Window>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<RawRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preapproval: Vec<Preapproval>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<Budget>,
    #[serde(default)]
    pub prices: Prices,
}

impl Policy {
    /// Reads and checks a policy file.
    ///
    /// # Errors
    /// The first fault of form, or the faults of content (a hundred at most), in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let whole = |message: String| Faults(vec![Fault { line: None, path: String::new(), message }]);
        if text.len() > MAX_TEXT {
            return Err(whole(format!("정책 파일이 너무 큽니다. {}KiB보다 작게 줄여 주세요.", MAX_TEXT / 1024)));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: RawPolicy = toml::from_str(text).map_err(|e| Faults(vec![fault(text, &e)]))?;
        let places = Places::read(text);
        let mut faults: Vec<Fault> = check::faults(&raw)
            .into_iter()
            .take(MAX_FAULTS)
            .map(|f| Fault { line: places.line(&f.path), path: f.path, message: f.message })
            .collect();
        if faults.is_empty() {
            return policy(raw).ok_or_else(|| whole("정책을 읽을 수 없습니다. 규칙의 effect를 확인해 주세요.".into()));
        }
        faults.sort_by_key(|f| f.line.unwrap_or(0));
        Err(Faults(faults))
    }

    /// The policy as a file that [`Policy::parse`] reads back as the same policy. Comments of the file that it came
    /// from are not in it.
    pub fn print(&self) -> String {
        let rule = self.rules.iter().map(raw_rule).collect();
        let raw = RawPolicy {
            format: FORMAT,
            revision: self.revision,
            title: self.title.clone(),
            note: self.note.clone(),
            holidays: self.holidays.clone(),
            window: self.windows.clone(),
            rule,
            preapproval: self.preapprovals.clone(),
            budget: self.budgets.clone(),
            prices: self.prices.clone(),
        };
        // Strings, integers and tables only: nothing in it is beyond TOML.
        toml::to_string_pretty(&raw).unwrap_or_default()
    }
}

/// `None` where a rule lacks what its effect needs, which the check has refused before.
fn policy(raw: RawPolicy) -> Option<Policy> {
    Some(Policy {
        revision: raw.revision,
        title: raw.title,
        note: raw.note,
        holidays: raw.holidays,
        windows: raw.window,
        rules: raw.rule.into_iter().map(rule).collect::<Option<_>>()?,
        preapprovals: raw.preapproval,
        budgets: raw.budget,
        prices: raw.prices,
    })
}

fn rule(raw: RawRule) -> Option<Rule> {
    let effect = match raw.effect {
        EffectName::Allow => Effect::Allow,
        EffectName::AllowWithMasking => Effect::AllowWithMasking,
        EffectName::NeedsApproval => Effect::NeedsApproval(raw.approval?),
        EffectName::Deny => Effect::Deny { reason: raw.reason?.trim().to_owned() },
    };
    Some(Rule { id: raw.id, title: raw.title, effect, when: raw.when, unless: raw.unless })
}

fn raw_rule(rule: &Rule) -> RawRule {
    let (effect, reason, approval) = match &rule.effect {
        Effect::Allow => (EffectName::Allow, None, None),
        Effect::AllowWithMasking => (EffectName::AllowWithMasking, None, None),
        Effect::NeedsApproval(approval) => (EffectName::NeedsApproval, None, Some(approval.clone())),
        Effect::Deny { reason } => (EffectName::Deny, Some(reason.clone()), None),
    };
    RawRule {
        id: rule.id.clone(),
        title: rule.title.clone(),
        effect,
        reason,
        approval,
        when: rule.when.clone(),
        unless: rule.unless.clone(),
    }
}

fn fault(text: &str, error: &toml::de::Error) -> Fault {
    let line = error.span().map(|span| line_at(text, span.start));
    Fault { line, path: String::new(), message: in_korean(error.message()) }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// What the parser says, for somebody who never saw TOML. Our own types speak Korean already.
fn in_korean(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let first = quoted.first().copied().unwrap_or_default();
    let others = quoted.get(1..).unwrap_or_default().join(", ");
    if message.starts_with("unknown field") {
        if matches!(first, "floor" | "allow_self_approval" | "self_approval" | "allow_grades") {
            return format!(
                "'{first}'은(는) 적을 수 없습니다. 바닥 원칙은 정책으로 바꿀 수 없습니다. 이 줄을 지워 주세요."
            );
        }
        return format!("'{first}'은(는) 없는 항목입니다. 철자를 확인하거나 지워 주세요. 쓸 수 있는 항목: {others}.");
    }
    if message.starts_with("unknown variant") {
        return format!("'{first}'은(는) 고를 수 없는 값입니다. 다음 가운데 하나를 적어 주세요: {others}.");
    }
    if message.starts_with("missing field") {
        return format!("'{first}' 항목이 빠졌습니다. 이 자리에 적어 주세요.");
    }
    if message.starts_with("duplicate") {
        return "같은 항목이 두 번 나옵니다. 하나를 지워 주세요.".to_owned();
    }
    if message.starts_with("invalid type") || message.starts_with("invalid value") {
        return "값의 꼴이 맞지 않습니다. 글은 \"따옴표\" 안에, 수는 0 이상의 정수로, 여러 값은 [대괄호] 안에 적어 주세요.".to_owned();
    }
    if message.contains(|c: char| ('가'..='힣').contains(&c)) {
        return message.trim().to_owned();
    }
    format!("파일의 문법이 맞지 않습니다({message}). 이 줄의 따옴표, 괄호, 등호를 확인해 주세요.")
}

/// Where things stand in the text.
struct Places<'a> {
    text: &'a str,
    root: Option<Spanned<DeTable<'a>>>,
}

impl<'a> Places<'a> {
    fn read(text: &'a str) -> Self {
        Self { text, root: DeTable::parse(text).ok() }
    }

    /// Line of a path such as `rule[2].when.grades`, or of the nearest thing above it that has a place.
    fn line(&self, path: &str) -> Option<usize> {
        let mut table = Some(self.root.as_ref()?.get_ref());
        let mut span: Option<Range<usize>> = None;
        for step in path.split('.') {
            let (key, index) = match step.split_once('[') {
                Some((key, rest)) => (key, rest.trim_end_matches(']').parse::<usize>().ok()),
                None => (step, None),
            };
            let Some((name, value)) = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == key)) else { break };
            let mut value = value;
            if index.is_none() && !name.span().is_empty() {
                span = Some(name.span());
            }
            if let (Some(index), DeValue::Array(items)) = (index, value.get_ref()) {
                let Some(item) = items.get(index) else { break };
                span = Some(item.span());
                value = item;
            }
            table = match value.get_ref() {
                DeValue::Table(inner) => Some(inner),
                _ => None,
            };
        }
        span.map(|s| line_at(self.text, s.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Fault {
        Policy::parse(text).unwrap_err().0.remove(0)
    }

    const HEAD: &str = "format = 1\nrevision = 1\n";

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        let fault = first(&format!("{HEAD}# 주석\nfoo = 1\n"));
        assert_eq!(fault.line, Some(4));
        assert!(fault.message.contains("'foo'") && fault.message.contains("revision"), "{}", fault.message);
        let inside = first(&format!("{HEAD}[[rule]]\nid = \"a\"\neffect = \"allow\"\n[rule.when]\ngrade = \"O\"\n"));
        assert_eq!(inside.line, Some(7), "{}", inside.message);
        assert!(inside.message.contains("grades"), "{}", inside.message);
    }

    #[test]
    fn form_faults_are_korean_and_say_what_to_do() {
        let cases = [
            ("revision = 1\n", "format"),
            ("format = \"1\"\nrevision = 1\n", "꼴"),
            ("format = \"하나\"\nrevision = 1\n", "꼴"),
            ("format = 1\nrevision = 1\nrevision = 2\n", "두 번"),
            ("format = 1\nrevision = \n", "문법"),
            ("format = 1\nrevision = 1\nholidays = [\"2026-13-01\"]\n", "날짜"),
            ("format = 1\nrevision = 1\n[[budget]]\nid=\"a\"\nper=\"team\"\nperiod=\"day\"\n", "'team'"),
            ("format = 1\nrevision = 1\n[floor]\ngrades=[\"S\"]\n", "바닥 원칙"),
            (
                "format = 1\nrevision = 1\n[[rule]]\nid=\"a\"\neffect=\"needs_approval\"\nwhen={}\n\
              [rule.approval]\nofficers=1\nfrom={role=\"king\"}\n",
                "'king'",
            ),
        ];
        for (text, expected) in cases {
            let fault = first(text);
            assert!(fault.message.contains(expected), "{text}: {fault}");
            assert!(fault.message.ends_with('.'), "{fault}");
        }
        assert!(first(&" ".repeat(MAX_TEXT + 1)).message.contains("너무 큽니다"));
    }

    #[test]
    fn faults_of_content_all_come_with_their_lines() {
        let text = format!(
            "{HEAD}[[rule]]\nid = \"a\"\neffect = \"allow\"\n[rule.when]\ngrades = [\"S\"]\n\n\
             [[rule]]\nid = \"a\"\neffect = \"deny\"\nreason = \"\"\n[rule.when]\nduring = [\"없는 창\"]\n"
        );
        let faults = Policy::parse(&text).unwrap_err().0;
        let lines: Vec<_> = faults.iter().map(|f| (f.line, f.path.as_str())).collect();
        assert_eq!(
            lines,
            [
                (Some(7), "rule[0].when.grades"),
                (Some(10), "rule[1].id"),
                (Some(12), "rule[1].reason"),
                (Some(14), "rule[1].when.during"),
            ],
            "{faults:?}"
        );
    }
}

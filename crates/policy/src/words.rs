//! A policy in Korean sentences: rule by rule for the admin's screen, and the pieces that `diff` and `lint` speak with.

use crate::evaluate::{Decision, Did, Verdict};
use crate::kinds::{KindName, PERSONAL};
use crate::model::{Approval, ApproverKind, Budget, Conditions, Effect, ModelPrice, Names, Policy, Preapproval, Rule};
use crate::money::{MicroWon, grouped};
use crate::time::{OnHolidays, Window};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a line of a preview speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// What no policy can change.
    Floor,
    Rule,
    /// What no rule speaks of.
    Rest,
    Preapproval,
    Budget,
    Price,
    Window,
    Holidays,
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub kind: LineKind,
    /// Identifier of the rule, budget or pre-approval; empty for the policy as a whole.
    pub id: String,
    pub title: String,
    pub sentence: String,
}

impl Policy {
    /// What the policy does, sentence by sentence: the floor, each rule, what is left over, pre-approvals, budgets,
    /// prices, windows, holidays.
    pub fn preview(&self) -> Vec<Line> {
        let line = |kind: LineKind, id: &str, title: &str, sentence: String| Line {
            kind,
            id: id.to_owned(),
            title: title.to_owned(),
            sentence,
        };
        let mut out = vec![line(
            LineKind::Floor,
            "",
            "바닥 원칙",
            "기밀(C)과 민감(S) 등급 자료, 주민등록번호·외국인등록번호·운전면허번호·여권번호·인증정보는 어떤 규칙으로도 나가지 않습니다. \
             개인정보는 늘 가리고, 신청한 사람은 자기 신청을 승인할 수 없습니다."
                .to_owned(),
        )];
        out.extend(self.rules.iter().map(|r| line(LineKind::Rule, r.id.as_str(), &r.title, rule(self, r))));
        let left = if self.rules.is_empty() {
            "규칙이 없어 모든 외부호출을 거부합니다."
        } else {
            "어느 규칙으로도 허용되지 않은 외부호출은 거부합니다. 여러 규칙에 걸리면 가장 엄격한 것을 따르고, 규칙의 순서는 상관없습니다."
        };
        out.push(line(LineKind::Rest, "", "나머지", left.to_owned()));
        out.extend(
            self.preapprovals.iter().map(|p| line(LineKind::Preapproval, p.id.as_str(), "사전승인", preapproval(p))),
        );
        out.extend(self.budgets.iter().map(|b| line(LineKind::Budget, b.id.as_str(), "예산", budget(b))));
        let version = &self.prices.version;
        out.extend(self.prices.models.iter().map(|p| line(LineKind::Price, version, "단가", price(p))));
        out.extend(self.windows.iter().map(|w| line(LineKind::Window, w.name.as_str(), "시간대", window(w))));
        if !self.holidays.is_empty() {
            let days: Vec<_> = self.holidays.iter().map(ToString::to_string).collect();
            out.push(line(LineKind::Holidays, "", "공휴일", days.join(", ")));
        }
        out
    }
}

impl Decision {
    /// The decision in Korean sentences: the verdict, why it is denied or what is owed, and what each rule did that had
    /// a part in it.
    pub fn explain(&self) -> Vec<String> {
        let masking = if self.masking && self.verdict > Verdict::AllowMasked && self.verdict < Verdict::Deny {
            " 개인정보는 가리고 보냅니다."
        } else {
            ""
        };
        let mut out = vec![format!("결정: {}.{masking}", self.verdict.korean())];
        out.extend(self.denied.iter().map(|d| d.reason.clone()));
        out.extend(self.needs.iter().map(|n| {
            format!("{} 규칙에 따라 {}이 필요합니다.", quoted(n.rules.iter()), approval_of(n.officers, &n.from))
        }));
        out.extend(self.preapprovals.iter().map(|p| match &p.why {
            None => format!("'{}' 사전승인(근거 {})이 승인을 갈음합니다.", p.id, p.record),
            Some(why) => format!("'{}' 사전승인은 쓰지 못합니다: {why}.", p.id),
        }));
        let told = self.hit().map(|l| {
            let did = match &l.did {
                Did::Grants => "해당하여 보낼 수 있게 합니다".to_owned(),
                Did::Demands { why } => format!("허용하지는 않고 요구만 더합니다({why})"),
                Did::Denies => "거부합니다".to_owned(),
                Did::Undecided { missing } => format!("판단할 수 없습니다({missing}을(를) 알 수 없음)"),
                Did::NotHit { .. } | Did::Excepted => String::new(),
            };
            format!("'{}' 규칙: {did}.", l.rule)
        });
        out.extend(told);
        out
    }
}

/// A rule as one sentence.
pub(crate) fn rule(policy: &Policy, rule: &Rule) -> String {
    let subject = conditions(policy, &rule.when);
    let exception = rule.unless.as_ref().map(|u| format!(" 다만 {}에는 적용하지 않습니다.", conditions(policy, u)));
    let predicate = match &rule.effect {
        Effect::Allow => "개인정보가 없으면 승인 없이 보낼 수 있습니다.".to_owned(),
        Effect::AllowWithMasking => "개인정보를 가리고 승인 없이 보낼 수 있습니다.".to_owned(),
        Effect::NeedsApproval(a) if rule.when.has_from() => {
            format!("다른 규칙이 허용하더라도 {}을 받아야 합니다.", approval(a))
        }
        Effect::NeedsApproval(a) => format!("개인정보를 가리고 {}을 받으면 보낼 수 있습니다.", approval(a)),
        Effect::Deny { reason } => format!("보낼 수 없습니다(까닭: {}).", reason.trim_end_matches('.')),
    };
    format!("{subject}: {predicate}{}", exception.unwrap_or_default())
}

/// Conditions as a noun phrase that ends in 요청.
pub(crate) fn conditions(policy: &Policy, c: &Conditions) -> String {
    let mut parts = who(c);
    parts.extend(when(policy, c));
    parts.extend(risk(c));
    if parts.is_empty() { "모든 요청".to_owned() } else { format!("{} 요청", parts.join(", ")) }
}

/// Whom, what and where to.
pub(crate) fn who(c: &Conditions) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(grades) = &c.grades {
        let letters: Vec<_> = grades.iter().map(|g| g.letter()).collect();
        parts.push(format!("{} 등급", letters.join("·")));
    }
    let below = if c.sub_departments { "(하위 부서 포함)" } else { "" };
    let named: [(&Names, &str); 8] = [
        (&c.departments, "부서"),
        (&c.apps, "앱"),
        (&c.versions, "판"),
        (&c.people, "직원"),
        (&c.providers, "제공자"),
        (&c.hosts, "주소"),
        (&c.models, "모델"),
        (&c.purposes, "용도"),
    ];
    for (names, what) in named {
        let Some(names) = names else { continue };
        let suffix = if what == "부서" { below } else { "" };
        parts.push(format!("{} {what}{suffix}", quoted(names.iter())));
    }
    parts
}

fn when(policy: &Policy, c: &Conditions) -> Vec<String> {
    let phrase = |names: &Names, words: &str| {
        let names = names.as_ref()?;
        let shown: Vec<_> = names
            .iter()
            .map(|n| policy.window(n).map_or_else(|| format!("'{n}'"), |w| format!("'{n}'({})", window(w))))
            .collect();
        Some(format!("{} {words}", shown.join(", ")))
    };
    [phrase(&c.during, "시간의"), phrase(&c.outside, "시간이 아닌 때의")].into_iter().flatten().collect()
}

fn risk(c: &Conditions) -> Vec<String> {
    let found_any = c.found_any.as_ref().map(|k| format!("{} 가운데 하나라도 든", kinds(k)));
    let found_at_most = c.found_at_most.as_ref().map(found_up_to);
    let regraded = c.regraded.map(|yes| match yes {
        true => "등급을 내린 자료가 든".to_owned(),
        false => "등급을 내린 자료가 없는".to_owned(),
    });
    let over = c.bytes_over.map(|n| format!("{}바이트보다 큰", grouped(n)));
    let up_to = c.bytes_up_to.map(|n| format!("{}바이트 이하인", grouped(n)));
    [found_any, found_at_most, regraded, over, up_to].into_iter().flatten().collect()
}

/// The most personal data that is let pass.
fn found_up_to(allowed: &BTreeSet<KindName>) -> String {
    if allowed.is_empty() {
        "개인정보가 없는".to_owned()
    } else if allowed.iter().any(|k| k.as_str() == PERSONAL) {
        "가릴 수 있는 개인정보까지만 든".to_owned()
    } else {
        format!("개인정보는 {}까지만 든", kinds(allowed))
    }
}

pub(crate) fn quoted<T: ToString>(names: impl Iterator<Item = T>) -> String {
    names.map(|n| format!("'{}'", n.to_string())).collect::<Vec<_>>().join(", ")
}

pub(crate) fn kinds(kinds: &BTreeSet<KindName>) -> String {
    kinds.iter().map(KindName::to_string).collect::<Vec<_>>().join(", ")
}

/// A window's days and hours.
pub(crate) fn window(w: &Window) -> String {
    let days: String = w.days.iter().map(|d| d.korean()).collect();
    let holidays = match w.holidays {
        OnHolidays::Skip => "",
        OnHolidays::Include => ", 공휴일 포함",
        OnHolidays::Only => ", 공휴일만",
    };
    format!("{days} {}~{}{holidays}", w.from, w.to)
}

fn approver(kind: &ApproverKind) -> String {
    let role = kind.role.map_or("누구나", |r| r.korean());
    match (&kind.department, kind.own_department) {
        (Some(department), _) => format!("'{department}' 부서의 {role}"),
        (None, true) => format!("신청한 부서의 {role}"),
        (None, false) => role.to_owned(),
    }
}

fn approval_of(officers: u8, from: &ApproverKind) -> String {
    let people = if officers <= 1 { "한 명".to_owned() } else { format!("{officers}명") };
    format!("{} {people}의 승인", approver(from))
}

fn approval(a: &Approval) -> String {
    let mut out = approval_of(a.officers, &a.from);
    let mut terms = vec![format!("{}시간 안에 결정", a.deadline_hours), format!("승인 뒤 {}시간 유효", a.valid_hours)];
    if !a.substitutes.is_empty() {
        let names: Vec<_> = a.substitutes.iter().map(approver).collect();
        let after = a.substitutes_after_hours.map_or_else(String::new, |h| format!(" 또는 {h}시간 뒤"));
        terms.push(format!("자리를 비우면{after} {}이(가) 대신", names.join(", ")));
    }
    out.push_str(&format!("({})", terms.join(", ")));
    out
}

/// An effect in a few words, as both sides of a change.
pub(crate) fn effect(e: &Effect) -> String {
    match e {
        Effect::Allow => "허용".to_owned(),
        Effect::AllowWithMasking => "마스킹 후 허용".to_owned(),
        Effect::NeedsApproval(a) if a.officers <= 1 => "담당관 승인 필요".to_owned(),
        Effect::NeedsApproval(_) => "담당관 두 명 승인 필요".to_owned(),
        Effect::Deny { .. } => "거부".to_owned(),
    }
}

/// An effect with everything that it says.
pub(crate) fn effect_in_full(e: &Effect) -> String {
    match e {
        Effect::NeedsApproval(a) => format!("{}: {}", effect(e), approval(a)),
        Effect::Deny { reason } => format!("거부: {reason}"),
        _ => effect(e),
    }
}

pub(crate) fn preapproval(p: &Preapproval) -> String {
    let found = found_up_to(&p.found_at_most);
    let mut limits = Vec::new();
    limits.extend(p.bytes_up_to.map(|n| format!("{}바이트까지", grouped(n))));
    limits.extend(p.providers.as_ref().map(|n| format!("제공자 {}", quoted(n.iter()))));
    limits.extend(p.models.as_ref().map(|n| format!("모델 {}", quoted(n.iter()))));
    let limits = if limits.is_empty() { String::new() } else { format!(" 한도: {}.", limits.join(", ")) };
    let short: String = p.version.as_str().chars().take(12).collect();
    format!(
        "'{}' 앱의 판 {short}에서 {found} 요청은 {}까지 {} 규칙의 승인을 받은 것으로 봅니다(담당관 {}명이 승인, 근거 {}).{limits} 앱의 판이 바뀌면 효력이 없습니다.",
        p.app,
        p.until,
        quoted(p.covers.iter()),
        p.by.len(),
        p.record
    )
}

/// Limits of a budget, such as `1,000원, 20건`.
pub(crate) fn limits(b: &Budget) -> String {
    let won = b.won.map(|w| MicroWon::won(w).to_string());
    let tokens = b.tokens.map(|t| format!("{}토큰", grouped(t)));
    let calls = b.calls.map(|c| format!("{}건", grouped(c)));
    [won, tokens, calls].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Whose budget it is over what time.
pub(crate) fn budget_subject(b: &Budget) -> String {
    let whose = match (&b.only, b.per) {
        (_, crate::model::Per::Body) => "기관 전체".to_owned(),
        (Some(only), per) => format!("{} {}마다", quoted(only.iter()), per.korean()),
        (None, per) => format!("모든 {}마다", per.korean()),
    };
    format!("{whose} {}", b.period.korean())
}

fn price(p: &ModelPrice) -> String {
    format!(
        "{} {}: {}부터 백만 토큰에 입력 {}원, 출력 {}원",
        p.provider,
        p.model,
        p.from,
        grouped(p.input),
        grouped(p.output)
    )
}

fn budget(b: &Budget) -> String {
    format!("{}에 {}까지 쓸 수 있습니다. 넘으면 보내지 않습니다.", budget_subject(b), limits(b))
}

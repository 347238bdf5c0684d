//! What a policy file may not say although its form is right: above all anything that would loosen the floor. Finds
//! every fault; lines are `text`'s.

use crate::floor::KOREAN_FLOOR;
use crate::kinds::{self, Class, KindName};
use crate::model::{Approval, Conditions, MAX_HOURS, MAX_NAME, Name, Names};
use crate::text::{EffectName, FORMAT, RawPolicy, RawRule};
use madang_domain::Grade;
use std::collections::BTreeSet;

/// Most rules, pre-approvals, budgets, windows and prices each.
const MAX_ITEMS: usize = 1000;
/// Longest title, note and reason, characters.
const MAX_WORDS: usize = 1000;
/// Largest number that a limit may name: whole won, tokens, calls or bytes. Times a million it is still an `i64`.
pub(crate) const MAX_LIMIT: u64 = 1_000_000_000_000;

/// A fault by its place in the file.
pub(crate) struct Found {
    pub path: String,
    pub message: String,
}

#[derive(Default)]
struct Faults(Vec<Found>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Found { path: path.into(), message: message.into() });
    }

    fn unless(&mut self, holds: bool, path: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.add(path, message);
        }
    }

    fn unique<'a>(&mut self, list: &str, field: &str, names: impl Iterator<Item = &'a Name>) {
        let mut seen = BTreeSet::new();
        for (i, name) in names.enumerate() {
            let path = format!("{list}[{i}].{field}");
            self.unless(seen.insert(name), path, format!("'{name}'이(가) 두 번 나옵니다. 서로 다르게 적어 주세요."));
        }
        self.unless(seen.len() <= MAX_ITEMS, list, format!("{list}은(는) {MAX_ITEMS}개까지 적을 수 있습니다."));
    }
}

/// Every fault of a file whose form is right.
pub(crate) fn faults(raw: &RawPolicy) -> Vec<Found> {
    let mut out = Faults::default();
    out.unless(
        raw.format == FORMAT,
        "format",
        format!("이 프로그램은 format = {FORMAT} 정책만 읽습니다. {FORMAT}로 적어 주세요."),
    );
    out.unless(raw.revision >= 1, "revision", "revision은 1부터 적고, 고칠 때마다 1씩 늘려 주세요.");
    words(&mut out, "title", &raw.title);
    words(&mut out, "note", &raw.note);
    windows(&mut out, raw);
    out.unique("rule", "id", raw.rule.iter().map(|r| &r.id));
    let known: BTreeSet<&Name> = raw.window.iter().map(|w| &w.name).collect();
    for (i, rule) in raw.rule.iter().enumerate() {
        check_rule(&mut out, &format!("rule[{i}]"), rule, &known);
    }
    preapprovals(&mut out, raw);
    budgets(&mut out, raw);
    out.0
}

fn words(out: &mut Faults, path: &str, text: &str) {
    out.unless(text.chars().count() <= MAX_WORDS, path, format!("{MAX_WORDS}자보다 짧게 줄여 주세요."));
}

fn windows(out: &mut Faults, raw: &RawPolicy) {
    out.unique("window", "name", raw.window.iter().map(|w| &w.name));
    for (i, window) in raw.window.iter().enumerate() {
        let at = |field: &str| format!("window[{i}].{field}");
        out.unless(!window.days.is_empty(), at("days"), "요일을 하나 이상 적어 주세요. 예: [\"월\", \"화\"].");
        out.unless(
            window.from != window.to,
            at("to"),
            "시작과 끝이 같습니다. 하루 전체는 00:00부터 24:00까지로 적어 주세요.",
        );
    }
}

fn check_rule(out: &mut Faults, at: &str, rule: &RawRule, windows: &BTreeSet<&Name>) {
    let path = |field: &str| format!("{at}.{field}");
    words(out, &path("title"), &rule.title);
    match (rule.effect, rule.reason.as_deref().map(str::trim)) {
        (EffectName::Deny, None | Some("")) => {
            out.add(path("reason"), "거부하는 까닭을 reason에 적어 주세요. 신청한 사람이 읽습니다.");
        }
        (EffectName::Deny, Some(reason)) => words(out, &path("reason"), reason),
        (_, Some(_)) => out.add(path("reason"), "reason은 거부(deny) 규칙에만 적습니다. 지우거나 title에 적어 주세요."),
        (_, None) => {}
    }
    match (rule.effect, &rule.approval) {
        (EffectName::NeedsApproval, None) => out.add(
            path("effect"),
            "승인 규칙에는 [rule.approval]이 있어야 합니다. 승인할 사람 수(officers)와 역할(from)을 적어 주세요.",
        ),
        (EffectName::NeedsApproval, Some(approval)) => check_approval(out, &path("approval"), approval),
        (_, Some(_)) => {
            out.add(path("approval"), "[rule.approval]은 승인 필요(needs_approval) 규칙에만 적습니다. 지워 주세요.")
        }
        (_, None) => {}
    }
    conditions(out, &path("when"), &rule.when, windows);
    risks(out, &path("when"), rule);
    if let Some(unless) = &rule.unless {
        exception(out, &path("unless"), unless, windows);
    }
}

fn check_approval(out: &mut Faults, at: &str, approval: &Approval) {
    out.unless(
        (1..=2).contains(&approval.officers),
        format!("{at}.officers"),
        "승인할 담당관 수는 1이나 2로 적어 주세요. 승인 없이 보내려면 allow나 allow_with_masking을 쓰세요.",
    );
    let hours = [
        ("deadline_hours", Some(approval.deadline_hours)),
        ("valid_hours", Some(approval.valid_hours)),
        ("substitutes_after_hours", approval.substitutes_after_hours),
    ];
    for (field, value) in hours {
        let fits = value.is_none_or(|v| (1..=MAX_HOURS).contains(&v));
        out.unless(fits, format!("{at}.{field}"), format!("시간은 1부터 {MAX_HOURS}까지 적어 주세요."));
    }
    let named = |k: &crate::model::ApproverKind| k.role.is_some() || k.department.is_some() || k.own_department;
    out.unless(named(&approval.from), format!("{at}.from"), "누가 승인하는지 role이나 department로 적어 주세요.");
    out.unless(
        approval.substitutes.iter().all(named),
        format!("{at}.substitutes"),
        "대신 승인할 사람을 role이나 department로 적어 주세요.",
    );
    out.unless(
        approval.substitutes_after_hours.is_none() || !approval.substitutes.is_empty(),
        format!("{at}.substitutes_after_hours"),
        "대신 승인할 사람(substitutes)이 없습니다. 적거나 이 줄을 지워 주세요.",
    );
    let both =
        [&approval.from].into_iter().chain(&approval.substitutes).any(|k| k.department.is_some() && k.own_department);
    out.unless(!both, format!("{at}.from"), "department와 own_department 가운데 하나만 적어 주세요.");
}

fn conditions(out: &mut Faults, at: &str, when: &Conditions, windows: &BTreeSet<&Name>) {
    let lists: [(&str, &Names); 10] = [
        ("departments", &when.departments),
        ("apps", &when.apps),
        ("versions", &when.versions),
        ("people", &when.people),
        ("providers", &when.providers),
        ("hosts", &when.hosts),
        ("models", &when.models),
        ("purposes", &when.purposes),
        ("during", &when.during),
        ("outside", &when.outside),
    ];
    let empty = "빈 목록은 쓸 수 없습니다. 값을 적거나, 가리지 않으려면 이 줄을 지워 주세요.";
    for (field, list) in lists {
        out.unless(list.as_ref().is_none_or(|l| !l.is_empty()), format!("{at}.{field}"), empty);
    }
    out.unless(when.grades.as_ref().is_none_or(|g| !g.is_empty()), format!("{at}.grades"), empty);
    out.unless(when.found_any.as_ref().is_none_or(|k| !k.is_empty()), format!("{at}.found_any"), empty);
    for (field, bytes) in [("bytes_over", when.bytes_over), ("bytes_up_to", when.bytes_up_to)] {
        size(out, &format!("{at}.{field}"), bytes);
    }
    out.unless(
        !when.sub_departments || when.departments.is_some(),
        format!("{at}.sub_departments"),
        "sub_departments는 departments와 함께 적어 주세요.",
    );
    for (field, list) in [("during", &when.during), ("outside", &when.outside)] {
        for name in list.iter().flatten().filter(|name| !windows.contains(name)) {
            let message = format!("'{name}' 시간대가 없습니다. [[window]]에 같은 name으로 정해 주세요.");
            out.add(format!("{at}.{field}"), message);
        }
    }
}

fn size(out: &mut Faults, path: &str, bytes: Option<u64>) {
    out.unless(bytes.is_none_or(|b| b <= MAX_LIMIT), path, format!("크기는 {MAX_LIMIT}바이트까지 적을 수 있습니다."));
}

/// Which conditions on risk an effect may carry, and that nothing lets pass what the floor keeps in.
fn risks(out: &mut Faults, at: &str, rule: &RawRule) {
    let (when, deny) = (&rule.when, rule.effect == EffectName::Deny);
    if !deny {
        let raised = when.grades.iter().flatten().any(|g| *g != Grade::Open);
        let message = format!("S, C 등급은 내보낼 수 없습니다. O만 적어 주세요. {KOREAN_FLOOR}");
        out.unless(!raised, format!("{at}.grades"), message);
        blocked(out, &format!("{at}.found_any"), when.found_any.as_ref());
        blocked(out, &format!("{at}.found_at_most"), when.found_at_most.as_ref());
    }
    let (from, up_to) = (when.has_from(), when.has_up_to());
    let from_words = "'~부터' 조건(found_any, regraded = true, bytes_over)";
    let up_to_words = "'~까지' 조건(found_at_most, regraded = false, bytes_up_to)";
    match rule.effect {
        EffectName::Deny if up_to => {
            out.add(at, format!("거부 규칙에는 {up_to_words}을 쓸 수 없습니다. {from_words}으로 바꿔 주세요."));
        }
        EffectName::Allow | EffectName::AllowWithMasking if from => {
            out.add(at, format!("허용 규칙에는 {from_words}을 쓸 수 없습니다. {up_to_words}으로 바꿔 주세요."));
        }
        EffectName::NeedsApproval if from && up_to => {
            out.add(
                at,
                format!("한 규칙에 {from_words}과 {up_to_words}을 함께 쓸 수 없습니다. 규칙을 둘로 나눠 주세요."),
            );
        }
        _ => {}
    }
    let personal = |k: &KindName| kinds::class(k.as_str()) == Class::Personal;
    if rule.effect == EffectName::Allow && when.found_at_most.iter().flatten().any(personal) {
        out.add(
            format!("{at}.found_at_most"),
            "개인정보가 든 요청을 가리지 않고 보낼 수 없습니다. effect를 allow_with_masking으로 바꿔 주세요.",
        );
    }
}

fn blocked(out: &mut Faults, path: &str, listed: Option<&BTreeSet<KindName>>) {
    for kind in listed.into_iter().flatten().filter(|k| kinds::class(k.as_str()) == Class::Blocked) {
        out.add(path, format!("'{kind}'은(는) 절대 내보낼 수 없습니다. 목록에서 지워 주세요. {KOREAN_FLOOR}"));
    }
}

fn exception(out: &mut Faults, at: &str, unless: &Conditions, windows: &BTreeSet<&Name>) {
    conditions(out, at, unless, windows);
    let risky = unless.grades.is_some() || unless.has_from() || unless.has_up_to();
    out.unless(
        !risky,
        at,
        "예외(unless)에는 등급, 개인정보, 크기 조건을 쓸 수 없습니다. 부서, 앱, 사람, 제공자, 모델, 목적, 시간대만 적어 주세요.",
    );
    out.unless(
        *unless != Conditions::default(),
        at,
        "예외(unless)에 조건이 없어 규칙이 아무에게도 적용되지 않습니다. 조건을 적거나 예외를 지워 주세요.",
    );
}

fn preapprovals(out: &mut Faults, raw: &RawPolicy) {
    out.unique("preapproval", "id", raw.preapproval.iter().map(|p| &p.id));
    for (i, pre) in raw.preapproval.iter().enumerate() {
        let at = |field: &str| format!("preapproval[{i}].{field}");
        out.unless(
            (1..=2).contains(&pre.by.len()),
            at("by"),
            "사전승인을 한 담당관의 고유번호를 한 명이나 두 명 적어 주세요.",
        );
        out.unless(!pre.covers.is_empty(), at("covers"), "어느 규칙의 승인을 갈음하는지 규칙 id를 적어 주세요.");
        for id in &pre.covers {
            let message = match raw.rule.iter().find(|r| r.id == *id) {
                Some(rule) if rule.effect == EffectName::NeedsApproval => continue,
                Some(_) => format!("'{id}' 규칙은 승인을 요구하지 않습니다. covers에서 지워 주세요."),
                None => format!("'{id}' 규칙이 없습니다. 규칙 id를 확인해 주세요."),
            };
            out.add(at("covers"), message);
        }
        blocked(out, &at("found_at_most"), Some(&pre.found_at_most));
        size(out, &at("bytes_up_to"), pre.bytes_up_to);
        let empty = [&pre.providers, &pre.models].into_iter().any(|l| l.as_ref().is_some_and(BTreeSet::is_empty));
        out.unless(!empty, at("id"), "빈 목록은 쓸 수 없습니다. 값을 적거나 그 줄을 지워 주세요.");
    }
}

fn budgets(out: &mut Faults, raw: &RawPolicy) {
    out.unique("budget", "id", raw.budget.iter().map(|b| &b.id));
    for (i, budget) in raw.budget.iter().enumerate() {
        let at = |field: &str| format!("budget[{i}].{field}");
        for (field, limit) in [("won", budget.won), ("tokens", budget.tokens), ("calls", budget.calls)] {
            let fits = limit.is_none_or(|l| l <= MAX_LIMIT);
            out.unless(fits, at(field), format!("한도는 {MAX_LIMIT}까지 적을 수 있습니다."));
        }
        let limited = budget.won.is_some() || budget.tokens.is_some() || budget.calls.is_some();
        out.unless(limited, at("id"), "won, tokens, calls 가운데 하나 이상의 한도를 적어 주세요.");
        let only = budget.only.as_ref();
        out.unless(
            only.is_none_or(|o| !o.is_empty()),
            at("only"),
            "빈 목록은 쓸 수 없습니다. 이름을 적거나 이 줄을 지워 주세요.",
        );
        let body = budget.per == crate::model::Per::Body && only.is_some();
        out.unless(!body, at("only"), "기관 전체 예산에는 only를 쓸 수 없습니다. 이 줄을 지워 주세요.");
    }
    out.unless(
        raw.prices.models.is_empty() || !raw.prices.version.trim().is_empty(),
        "prices.version",
        "단가표의 판(version)을 적어 주세요. 예: \"2026-11\".",
    );
    out.unless(raw.prices.version.chars().count() <= MAX_NAME, "prices.version", "단가표의 판이 너무 깁니다.");
    let mut seen = BTreeSet::new();
    for (i, price) in raw.prices.models.iter().enumerate() {
        let at = format!("prices.model[{i}].model");
        let message = "같은 제공자, 모델, 시작일의 단가가 두 번 나옵니다. 하나를 지워 주세요.";
        out.unless(seen.insert((&price.provider, &price.model, price.from)), at.clone(), message);
        out.unless(
            price.input <= MAX_LIMIT && price.output <= MAX_LIMIT,
            at,
            format!("단가는 {MAX_LIMIT}원까지 적을 수 있습니다."),
        );
    }
    out.unless(raw.prices.models.len() <= MAX_ITEMS, "prices", format!("단가는 {MAX_ITEMS}개까지 적을 수 있습니다."));
}

//! What is probably not meant in a policy that is valid: names that do not exist, rules that decide nothing, things
//! past their time. Nothing here changes a decision.

mod cover;
mod names;

use crate::evaluate::Verdict;
use crate::model::{Budget, Conditions, Effect, Per, Period, Policy, Rule, Unit};
use crate::time::{CalendarDay, korean_time};
use madang_domain::{PersonId, Role};
use serde::Serialize;
use std::collections::BTreeSet;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// For information.
    Note,
    /// Probably not meant.
    Warning,
    /// Part of the policy cannot work as it is.
    Error,
}

/// What kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Issue {
    UnknownName,
    /// More than one thing answers to it.
    AmbiguousName,
    /// No request can meet its conditions.
    NeverMatches,
    /// Another rule always decides more strictly.
    Shadowed,
    /// Says what another rule says.
    Duplicate,
    /// A permitting and a refusing rule meet in part.
    Contradiction,
    ExpiredPreapproval,
    IdlePreapproval,
    ZeroBudget,
    IdleBudget,
    MissingPrice,
    UnusedWindow,
    OldHolidays,
    WeakGround,
    WeakApprover,
    NothingAllowed,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub issue: Issue,
    pub weight: Weight,
    /// Where, such as `rule.night` or `budget.person-day`.
    pub at: String,
    /// Korean, says what to do.
    pub sentence: String,
}

/// An app and the digests of its versions.
#[derive(Debug, Clone)]
pub struct KnownApp {
    pub unit: Unit,
    pub versions: Vec<String>,
}

/// A provider that is registered.
#[derive(Debug, Clone)]
pub struct KnownProvider {
    pub unit: Unit,
    pub host: String,
    pub models: Vec<String>,
}

/// A person by identifier and login.
#[derive(Debug, Clone)]
pub struct KnownPerson {
    pub id: PersonId,
    pub login: String,
}

/// What exists in the body now.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub departments: Vec<Unit>,
    pub apps: Vec<KnownApp>,
    pub providers: Vec<KnownProvider>,
    pub people: Vec<KnownPerson>,
}

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, issue: Issue, weight: Weight, at: impl Into<String>, sentence: impl Into<String>) {
        self.0.push(Finding { issue, weight, at: at.into(), sentence: sentence.into() });
    }
}

/// Everything worth telling about a policy, the weightiest first. `now_ms`: Unix milliseconds.
pub fn lint(policy: &Policy, directory: &Directory, now_ms: i64) -> Vec<Finding> {
    let mut out = Findings::default();
    names::unknown(&mut out, policy, directory);
    for rule in &policy.rules {
        never(&mut out, policy, directory, rule);
        weak(&mut out, directory, rule);
    }
    cover::pairs(&mut out, policy);
    preapprovals(&mut out, policy, now_ms);
    budgets(&mut out, policy);
    unused(&mut out, policy, now_ms);
    let grants = policy.rules.iter().any(|r| r.effect.strictness() < 4 && !r.when.has_from());
    if !grants {
        let sentence = "보낼 수 있게 하는 규칙이 없어 모든 외부호출을 거부합니다. 뜻한 것이면 그대로 두세요.";
        out.add(Issue::NothingAllowed, Weight::Note, "rule", sentence);
    }
    out.0.sort_by_key(|f| std::cmp::Reverse(f.weight));
    out.0
}

/// Conditions that exclude each other.
fn never(out: &mut Findings, policy: &Policy, directory: &Directory, rule: &Rule) {
    let when = &rule.when;
    let mut add = |why: &str| {
        let sentence =
            format!("'{}' 규칙은 {why} 어떤 요청에도 적용되지 않습니다. 조건을 고치거나 규칙을 지워 주세요.", rule.id);
        out.add(Issue::NeverMatches, Weight::Warning, format!("rule.{}", rule.id), sentence);
    };
    if let Some(unless) = &rule.unless
        && cover::covers(unless, &Conditions { grades: None, ..when.clone() })
    {
        add("예외가 조건을 모두 덮어");
    }
    if let (Some(during), Some(outside)) = (&when.during, &when.outside)
        && during.is_subset(outside)
    {
        add("같은 시간대의 안이면서 밖이어야 해서");
    }
    if let Some(during) = &when.during
        && during.iter().filter_map(|n| policy.window(n)).all(|w| only_holidays_without_any(policy, w))
    {
        add("공휴일에만 여는 시간대인데 공휴일(holidays)이 비어 있어");
    }
    // A named version of a named app that the app does not have.
    if let (Some(apps), Some(versions)) = (&when.apps, &when.versions) {
        let known: Vec<_> = directory.apps.iter().filter(|a| apps.iter().any(|n| n.is(&a.unit))).collect();
        let has = known.iter().any(|a| a.versions.iter().any(|v| versions.iter().any(|n| n.as_str() == v)));
        if !known.is_empty() && !has {
            add("적은 앱에 적은 판이 없어");
        }
    }
}

fn only_holidays_without_any(policy: &Policy, window: &crate::time::Window) -> bool {
    window.holidays == crate::time::OnHolidays::Only && policy.holidays.is_empty()
}

fn weak(out: &mut Findings, directory: &Directory, rule: &Rule) {
    let at = format!("rule.{}", rule.id);
    let open = matches!(rule.effect, Effect::Allow | Effect::AllowWithMasking);
    if open && rule.when.purposes.is_some() {
        let sentence = format!(
            "'{}' 규칙은 신청한 사람이 적는 용도를 보고 승인 없이 허용합니다. 용도는 누구나 적을 수 있으니 앱이나 부서로 좁혀 주세요.",
            rule.id
        );
        out.add(Issue::WeakGround, Weight::Warning, at.clone(), sentence);
    }
    let titled = |app: &&KnownApp| rule.when.apps.iter().flatten().any(|n| n.as_str() == app.unit.name);
    if open && let Some(app) = directory.apps.iter().find(titled) {
        let sentence = format!(
            "'{}' 규칙은 앱을 이름 '{}'(으)로 가려 승인 없이 허용합니다. 누구나 같은 이름의 앱을 만들 수 있으니 앱의 고유번호({})로 적어 주세요.",
            rule.id, app.unit.name, app.unit.id
        );
        out.add(Issue::WeakGround, Weight::Warning, at.clone(), sentence);
    }
    let Effect::NeedsApproval(approval) = &rule.effect else { return };
    let everyone = |k: &crate::model::ApproverKind| matches!(k.role, None | Some(Role::Official));
    if everyone(&approval.from) || approval.substitutes.iter().any(everyone) {
        let sentence =
            format!("'{}' 규칙은 일반 직원도 승인할 수 있습니다. 부서장이나 보안담당으로 좁혀 주세요.", rule.id);
        out.add(Issue::WeakApprover, Weight::Warning, at, sentence);
    }
}

fn preapprovals(out: &mut Findings, policy: &Policy, now_ms: i64) {
    for pre in &policy.preapprovals {
        let at = format!("preapproval.{}", pre.id);
        if now_ms >= pre.until.ends_ms() {
            let sentence =
                format!("'{}' 사전승인은 {}에 끝났습니다. 지우거나 다시 승인받아 주세요.", pre.id, pre.until);
            out.add(Issue::ExpiredPreapproval, Weight::Warning, at.clone(), sentence);
        }
        let asks = |r: &&Rule| pre.covers.contains(&r.id);
        for rule in policy.rules.iter().filter(asks) {
            let short = matches!(&rule.effect, Effect::NeedsApproval(a) if usize::from(a.officers) > pre.by.len());
            if short {
                let sentence = format!(
                    "'{}' 사전승인은 한 명이 했지만 '{}' 규칙은 두 명을 요구해 쓰이지 않습니다. 두 명의 승인을 받아 주세요.",
                    pre.id, rule.id
                );
                out.add(Issue::IdlePreapproval, Weight::Warning, at.clone(), sentence);
            }
        }
    }
}

fn budgets(out: &mut Findings, policy: &Policy) {
    for budget in &policy.budgets {
        let at = format!("budget.{}", budget.id);
        if [budget.won, budget.tokens, budget.calls].contains(&Some(0)) {
            let sentence = format!(
                "'{}' 예산의 한도가 0이라 해당하는 외부호출을 모두 막습니다. 뜻한 것이면 거부 규칙으로 까닭을 알려 주세요.",
                budget.id
            );
            out.add(Issue::ZeroBudget, Weight::Warning, at.clone(), sentence);
        }
        if budget.won.is_some() && policy.prices.models.is_empty() {
            let sentence = format!(
                "'{}' 예산은 원으로 정했는데 단가표가 비어 있어 모두 막습니다. [prices]에 단가를 적어 주세요.",
                budget.id
            );
            out.add(Issue::MissingPrice, Weight::Error, at.clone(), sentence);
        }
        if let Some(wider) = policy.budgets.iter().find(|b| idle_under(budget, b)) {
            let sentence = format!(
                "'{}' 예산은 '{}' 예산이 먼저 차서 쓰이지 않습니다. 한도를 확인해 주세요.",
                budget.id, wider.id
            );
            out.add(Issue::IdleBudget, Weight::Note, at, sentence);
        }
    }
}

/// Whatever the first would refuse, the other refuses too: it counts at least as much and allows no more.
fn idle_under(narrow: &Budget, wide: &Budget) -> bool {
    let same = narrow.per == wide.per && (wide.only.is_none() || wide.only == narrow.only);
    let counts_more = (same || wide.per == Per::Body)
        && (narrow.period == wide.period || wide.period == Period::Month)
        && (narrow.per, narrow.period, &narrow.only) != (wide.per, wide.period, &wide.only);
    let limits = |b: &Budget| [b.won, b.tokens, b.calls];
    counts_more && limits(narrow).iter().zip(limits(wide)).all(|(n, w)| n.is_none() || w.is_some() && w <= *n)
}

fn unused(out: &mut Findings, policy: &Policy, now_ms: i64) {
    let named = |r: &Rule| -> BTreeSet<String> {
        let parts = [Some(&r.when), r.unless.as_ref()].into_iter().flatten();
        parts.flat_map(|c| c.during.iter().chain(&c.outside).flatten()).map(ToString::to_string).collect()
    };
    let used: BTreeSet<String> = policy.rules.iter().flat_map(named).collect();
    for window in policy.windows.iter().filter(|w| !used.contains(w.name.as_str())) {
        let sentence = format!("'{}' 시간대를 쓰는 규칙이 없습니다. 필요 없으면 지워 주세요.", window.name);
        out.add(Issue::UnusedWindow, Weight::Note, format!("window.{}", window.name), sentence);
    }
    let cares =
        policy.windows.iter().any(|w| used.contains(w.name.as_str()) && w.holidays != crate::time::OnHolidays::Include);
    let Some(today) = korean_time(now_ms) else { return };
    let year = |d: &CalendarDay| d.0.year();
    if cares && !policy.holidays.iter().any(|d| year(d) == today.year()) {
        let sentence = format!("{}년 공휴일이 없습니다. holidays에 적지 않으면 공휴일도 평일로 봅니다.", today.year());
        out.add(Issue::OldHolidays, Weight::Warning, "holidays", sentence);
    }
}

/// The verdict that an effect gives where it decides alone, for sentences.
pub(super) fn verdict(effect: &Effect) -> Verdict {
    match effect {
        Effect::Allow => Verdict::Allow,
        Effect::AllowWithMasking => Verdict::AllowMasked,
        Effect::NeedsApproval(a) if a.officers <= 1 => Verdict::OneOfficer,
        Effect::NeedsApproval(_) => Verdict::TwoOfficers,
        Effect::Deny { .. } => Verdict::Deny,
    }
}

//! A dry run: what a policy would have said to calls of the past, beside what was said to them.

use crate::budget::{Book, BudgetError, Request, Subjects};
use crate::evaluate::{Did, Verdict};
use crate::facts::Facts;
use crate::model::Policy;
use crate::money::{Amounts, MicroWon};
use crate::time::shown;
use madang_domain::ExternalCallId;
use serde::Serialize;
use std::collections::BTreeMap;

/// A call of the past with what was decided then.
#[derive(Debug, Clone)]
pub struct PastCall {
    pub id: ExternalCallId,
    pub facts: Facts,
    /// Decision on record.
    pub decided: Verdict,
    /// Masking on record.
    pub masked: bool,
    /// What it cost; `None` where nothing was sent.
    pub spent: Option<Amounts>,
}

/// A call that the new policy treats otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turned {
    pub id: ExternalCallId,
    pub at_ms: i64,
    pub before: Verdict,
    pub after: Verdict,
    /// Rules of the new policy that had a part in it.
    pub rules: Vec<String>,
    /// Korean: what changes for this call and why.
    pub sentence: String,
}

/// A call that was sent and would not fit the new policy's budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverBudget {
    pub id: ExternalCallId,
    pub at_ms: i64,
    /// Korean: which budget.
    pub reason: String,
}

/// What a dry run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    pub calls: usize,
    pub unchanged: usize,
    pub stricter: usize,
    pub looser: usize,
    /// From one verdict to another: how many, unchanged ones included.
    pub moves: Vec<(Verdict, Verdict, usize)>,
    /// In the order of time.
    pub turned: Vec<Turned>,
    pub over_budget: Vec<OverBudget>,
    /// Korean, for the top of the screen.
    pub summary: Vec<String>,
}

/// Puts past calls, in any order, before a new policy. Budgets start empty and count what was really spent.
pub fn rehearse(policy: &Policy, past: &[PastCall]) -> Rehearsal {
    let mut calls: Vec<&PastCall> = past.iter().collect();
    calls.sort_by_key(|c| (c.facts.at_ms, c.id));
    let mut moves: BTreeMap<(Verdict, Verdict), usize> = BTreeMap::new();
    let (mut turned, mut over_budget, mut book) = (Vec::new(), Vec::new(), Book::default());
    for call in calls {
        let after = turn(policy, call, &mut moves, &mut turned);
        if after != Verdict::Deny
            && let Some(reason) = over(policy, call, &mut book)
        {
            over_budget.push(OverBudget { id: call.id, at_ms: call.facts.at_ms, reason });
        }
    }
    let count = |pick: fn(Verdict, Verdict) -> bool| -> usize {
        moves.iter().filter(|((b, a), _)| pick(*b, *a)).map(|(_, n)| n).sum()
    };
    let (stricter, looser) = (count(|b, a| a > b), count(|b, a| a < b));
    let moves: Vec<_> = moves.into_iter().map(|((b, a), n)| (b, a, n)).collect();
    let summary = summary(past.len(), &moves, over_budget.len());
    let unchanged = past.len().saturating_sub(stricter + looser);
    Rehearsal { calls: past.len(), unchanged, stricter, looser, moves, turned, over_budget, summary }
}

fn turn(
    policy: &Policy,
    call: &PastCall,
    moves: &mut BTreeMap<(Verdict, Verdict), usize>,
    turned: &mut Vec<Turned>,
) -> Verdict {
    let decision = policy.decide(&call.facts);
    let (before, after) = (call.decided, decision.verdict);
    *moves.entry((before, after)).or_default() += 1;
    let masking = decision.masking && !call.masked && after != Verdict::Deny;
    if before == after && !masking {
        return after;
    }
    let rules: Vec<String> = decision.hit().map(|l| l.rule.clone()).collect();
    let why = match decision.denied.first() {
        Some(denial) => denial.reason.clone(),
        None => {
            let names = decision.hit().filter(|l| l.did != Did::Denies).map(|l| format!("'{}'", l.rule));
            format!("{} 규칙에 해당합니다.", names.collect::<Vec<_>>().join(", "))
        }
    };
    let masked = if masking && before == after { " (이제 마스킹함)" } else { "" };
    let sentence = format!(
        "{} {}: {} → {}{masked}. {why}",
        shown(call.facts.at_ms),
        call.facts.login,
        before.korean(),
        after.korean()
    );
    turned.push(Turned { id: call.id, at_ms: call.facts.at_ms, before, after, rules, sentence });
    after
}

/// Books what a call spent; Korean: why it would not have fitted.
fn over(policy: &Policy, call: &PastCall, book: &mut Book) -> Option<String> {
    let spent = call.spent?;
    let (Some(department), Some(app)) = (call.facts.departments.first(), &call.facts.app) else { return None };
    let subjects = Subjects {
        person: call.facts.asker(),
        department: department.clone(),
        app: app.app.clone(),
        provider: call.facts.provider.clone(),
    };
    let won = MicroWon(spent.won.0.max(0));
    let request = Request { call: call.id, subjects: &subjects, won: Some(won), tokens: spent.tokens };
    match book.reserve(policy, &request, call.facts.at_ms) {
        Ok(_) => {
            // It was reserved a line above: settling cannot miss it.
            let _ = book.settle(call.id, spent);
            None
        }
        Err(BudgetError::AlreadyReserved) => None,
        Err(refused) => Some(refused.to_string()),
    }
}

fn summary(calls: usize, moves: &[(Verdict, Verdict, usize)], over: usize) -> Vec<String> {
    let changed: usize = moves.iter().filter(|(b, a, _)| b != a).map(|(_, _, n)| n).sum();
    let mut out = vec![match (calls, changed) {
        (0, _) => "비교할 외부호출이 없습니다.".to_owned(),
        (_, 0) => format!("외부호출 {calls}건의 결정이 모두 그대로입니다."),
        _ => format!("외부호출 {calls}건 가운데 {changed}건의 결정이 달라집니다."),
    }];
    let turned = moves.iter().filter(|(b, a, _)| b != a);
    out.extend(turned.map(|(b, a, n)| format!("{} → {}: {n}건", b.korean(), a.korean())));
    if over > 0 {
        out.push(format!("실제로 보낸 것 가운데 {over}건이 새 예산을 넘습니다."));
    }
    out
}

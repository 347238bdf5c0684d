//! What the policy's screen and its API share: a text read and compared with the policy in force, warnings against what
//! there is in the body, a dry run over past calls. What a policy decides is `madang-policy`'s, who may change it the
//! store's.

use crate::app::App;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::pages::when;
use axum::http::Uri;
use madang_domain::{ExternalCallId, PersonId, Role, Scope};
use madang_policy::diff::{Change, diff};
use madang_policy::lint::{Directory, Finding, KnownApp, KnownPerson, KnownProvider, lint};
use madang_policy::money::{Amounts, MicroWon};
use madang_policy::rehearse::{OverBudget, PastCall, Rehearsal, Turned, rehearse};
use madang_policy::{Facts, Fault, Line, Policy, Unit, Verdict};
use madang_store::policies::{PAST_CALLS, PastCallRow, StoredPolicy};
use madang_store::policy_names::PolicyNames;
use serde::Serialize;
use std::collections::HashMap;

/// A dry run without a month looks this far back, milliseconds: thirty days.
const BACK_MS: i64 = 30 * 86_400_000;
/// Calls of a dry run shown one by one.
const SHOWN: usize = 200;

/// A policy of the database, read. One that does not read back cannot be in force.
///
/// # Errors
/// A failure of ours.
pub fn read_stored(stored: &StoredPolicy) -> Handled<Policy> {
    Policy::parse(&stored.text)
        .map_err(|faults| Failure::internal(format!("policy {} does not read back: {faults}", stored.revision)))
}

/// The sentences of a change.
pub fn sentences(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|c| c.sentence.clone()).collect()
}

/// What is wrong with a text, or what it would mean.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// It can be a policy.
    pub sound: bool,
    pub faults: Vec<Fault>,
    pub meaning: Option<Meaning>,
    /// The policy in force that it was compared with.
    pub base_revision: u32,
    pub base_hash: String,
}

/// A sound text, as people read it.
#[derive(Debug, Serialize)]
pub struct Meaning {
    pub revision: u32,
    pub hash: String,
    pub preview: Vec<Line>,
    /// Against the policy in force.
    pub changes: Vec<Change>,
    /// It may let something pass that does not pass now: a second person puts it into force.
    pub needs_second: bool,
    pub findings: Vec<Finding>,
}

/// Reads a text and says what it would mean in place of the policy in force.
///
/// # Errors
/// [`Failure`] for those who may not read the policy.
pub async fn check(app: &App, scope: &Scope, text: String) -> Handled<Checked> {
    let directory = directory(app, scope).await?;
    let stored = app.store.policy_in_force().await?;
    let now = app.store.now();
    blocking::run(move || {
        let in_force = read_stored(&stored)?;
        let (faults, meaning) = match Policy::parse(&text) {
            Ok(policy) => {
                let changes = diff(&in_force, &policy);
                let meaning = Meaning {
                    revision: policy.revision(),
                    hash: policy.hash(),
                    preview: policy.preview(),
                    needs_second: changes.iter().any(Change::may_loosen),
                    changes,
                    findings: lint(&policy, &directory, now),
                };
                (Vec::new(), Some(meaning))
            }
            Err(faults) => (faults.0, None),
        };
        Ok(Checked {
            sound: meaning.is_some(),
            faults,
            meaning,
            base_revision: stored.revision,
            base_hash: stored.hash,
        })
    })
    .await
    .map_err(Failure::internal)?
}

/// Nobody gives a pre-approval in another's name: those whom a new one names are officers who put it into force, the
/// proposer and whoever confirms.
///
/// # Errors
/// [`Failure`] that names the first pre-approval which neither of the two gave. `second`: `None` before there is one.
pub fn require_given(policy: &Policy, in_force: &Policy, proposer: PersonId, second: Option<&Scope>) -> Handled<()> {
    for new in policy.preapprovals_since(in_force) {
        let mut others = new.by.iter().filter(|by| **by != proposer);
        let given = match second {
            None => others.count() <= 1,
            Some(second) => others.all(|by| *by == second.person() && second.has_role(Role::Security)),
        };
        if !given {
            let words = format!(
                "사전승인 '{}'의 by에는 이 정책을 올린 담당관과 확인하는 담당관만 적을 수 있습니다. 남의 이름으로 승인할 수 없습니다.",
                new.id
            );
            return Err(if second.is_none() { Failure::invalid("text", words) } else { Failure::conflict(words) });
        }
    }
    Ok(())
}

/// What there is that a policy may name.
async fn directory(app: &App, scope: &Scope) -> Handled<Directory> {
    let PolicyNames { apps, providers, people } = app.store.policy_names(scope).await?;
    let departments = app.store.departments().await?;
    let host = |url: &str| url.parse::<Uri>().ok().and_then(|u| u.host().map(str::to_lowercase)).unwrap_or_default();
    Ok(Directory {
        departments: departments.into_iter().map(|d| Unit::new(d.id.to_string(), &d.name)).collect(),
        apps: apps
            .into_iter()
            .map(|a| KnownApp { unit: Unit::new(a.id.to_string(), &a.title), versions: a.versions })
            .collect(),
        providers: providers
            .into_iter()
            .map(|p| KnownProvider {
                unit: Unit::new(p.id.to_string(), &p.name),
                host: host(&p.base_url),
                models: vec![p.model],
            })
            .collect(),
        people: people.into_iter().map(|(id, login)| KnownPerson { id, login }).collect(),
    })
}

/// A dry run, as it is told.
#[derive(Debug, Serialize)]
pub struct DryRun {
    /// Unix milliseconds, the end not included.
    pub from: i64,
    pub until: i64,
    /// Korean, for the top of the screen.
    pub summary: Vec<String>,
    pub calls: usize,
    pub unchanged: usize,
    pub stricter: usize,
    pub looser: usize,
    /// From one verdict to another: how many.
    pub moves: Vec<(Verdict, Verdict, usize)>,
    /// The first of those that are decided otherwise.
    pub turned: Vec<Explained>,
    pub turned_in_all: usize,
    /// The first of those that would not fit the budgets.
    pub over_budget: Vec<OverBudget>,
    pub over_budget_in_all: usize,
    /// Asked for before there was a policy: nothing to compare.
    pub without_facts: usize,
    /// With facts that this program does not read.
    pub unreadable: usize,
    /// Older ones of the time that were left out.
    pub left_out: usize,
}

/// A call that would be decided otherwise, and why, rule by rule.
#[derive(Debug, Serialize)]
pub struct Explained {
    #[serde(flatten)]
    pub turned: Turned,
    /// Korean sentences of the new decision.
    pub explained: Vec<String>,
}

/// Puts the calls of a month (`2026-10`), or of the last thirty days, before a policy.
///
/// # Errors
/// 422 for a month that is none, 403 for those who may not read the policy.
pub async fn dry_run(app: &App, scope: &Scope, policy: Policy, month: Option<&str>) -> Handled<DryRun> {
    let now = app.store.now();
    let (from, until) = match month.map(str::trim).filter(|m| !m.is_empty()) {
        Some(month) => {
            month_bounds(month).ok_or_else(|| Failure::invalid("month", "달을 2026-10처럼 연도와 월로 적어 주세요."))?
        }
        None => (now.saturating_sub(BACK_MS), now.saturating_add(1)),
    };
    let past = app.store.past_calls(scope, from, until).await?;
    let run = blocking::run(move || {
        let rows = past.calls.len();
        let calls: Vec<PastCall> = past.calls.into_iter().filter_map(past_call).collect();
        let found = rehearse(&policy, &calls);
        let mut run = told(&policy, &calls, found);
        run.unreadable = rows.saturating_sub(calls.len());
        run.without_facts = past.without_facts;
        run.left_out = past.total.saturating_sub(rows);
        run
    });
    let mut run = run.await.map_err(Failure::internal)?;
    (run.from, run.until) = (from, until);
    run.summary.extend(asides(&run));
    Ok(run)
}

fn told(policy: &Policy, calls: &[PastCall], found: Rehearsal) -> DryRun {
    let facts: HashMap<ExternalCallId, &Facts> = calls.iter().map(|c| (c.id, &c.facts)).collect();
    let turned_in_all = found.turned.len();
    let over_budget_in_all = found.over_budget.len();
    let explain = |turned: Turned| Explained {
        explained: facts.get(&turned.id).map(|f| policy.decide(f).explain()).unwrap_or_default(),
        turned,
    };
    DryRun {
        from: 0,
        until: 0,
        summary: found.summary,
        calls: found.calls,
        unchanged: found.unchanged,
        stricter: found.stricter,
        looser: found.looser,
        moves: found.moves,
        turned: found.turned.into_iter().take(SHOWN).map(explain).collect(),
        turned_in_all,
        over_budget: found.over_budget.into_iter().take(SHOWN).collect(),
        over_budget_in_all,
        without_facts: 0,
        unreadable: 0,
        left_out: 0,
    }
}

/// What was not compared is said, never passed over.
fn asides(run: &DryRun) -> Vec<String> {
    let mut out = Vec::new();
    if run.without_facts > 0 {
        out.push(format!("정책이 생기기 전에 신청한 {}건은 판단할 근거가 남아 있지 않아 뺐습니다.", run.without_facts));
    }
    if run.unreadable > 0 {
        out.push(format!("기록을 읽을 수 없는 {}건은 뺐습니다. 운영자에게 알려 주세요.", run.unreadable));
    }
    if run.left_out > 0 {
        out.push(format!("최근 {PAST_CALLS}건만 보았습니다. 더 오래된 {}건은 뺐습니다.", run.left_out));
    }
    out
}

/// `None` for facts or a verdict that this program does not read.
fn past_call(row: PastCallRow) -> Option<PastCall> {
    let spent = || Amounts { won: MicroWon(row.won), tokens: u64::try_from(row.tokens).unwrap_or(0), calls: 1 };
    Some(PastCall {
        id: row.id,
        facts: serde_json::from_str(&row.facts).ok()?,
        decided: serde_json::from_value(serde_json::Value::String(row.verdict.clone())).ok()?,
        masked: row.masked,
        spent: row.left.then(spent),
    })
}

/// First and following millisecond of a month in Korea.
fn month_bounds(month: &str) -> Option<(i64, i64)> {
    if month.len() != 7 {
        return None;
    }
    let first: jiff::civil::Date = format!("{month}-01").parse().ok()?;
    let next = first.checked_add(jiff::Span::new().months(1)).ok()?;
    let starts = |day: jiff::civil::Date| Some(day.to_zoned(when::korea()).ok()?.timestamp().as_millisecond());
    Some((starts(first)?, starts(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_runs_from_midnight_in_korea_to_the_next() {
        // 2026-01-31T15:00:00Z, 2026-02-28T15:00:00Z
        assert_eq!(month_bounds("2026-02"), Some((1_769_871_600_000, 1_772_290_800_000)));
        for bad in ["", "2026-13", "2026-2", "26-02-1", "2026-02-01", "9999-12", "가나다"] {
            assert_eq!(month_bounds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_call_that_does_not_read_is_no_call() {
        let row = |facts: &str, verdict: &str| PastCallRow {
            id: ExternalCallId::new(),
            facts: facts.into(),
            verdict: verdict.into(),
            masked: false,
            left: true,
            won: 5,
            tokens: -1,
        };
        let facts = r#"{"at_ms":0,"person":"00000000-0000-0000-0000-000000000001","login":"a","departments":[],"app":null,
            "provider":{"id":"p","name":"p"},"host":"h","model":"m","purpose":"","grade":"O","regraded_from":null,
            "found":{},"detector_blocked":false,"bytes":1}"#;
        let read = past_call(row(facts, "two_officers")).map(|c| (c.decided, c.spent));
        let spent = Amounts { won: MicroWon(5), tokens: 0, calls: 1 };
        assert_eq!(read, Some((Verdict::TwoOfficers, Some(spent))));
        assert!(past_call(row("{}", "deny")).is_none() && past_call(row(facts, "perhaps")).is_none());
    }
}

//! A month in Korea, and its figures: how much went outside, what led to it, and what would have kept it inside.

use super::left;
use crate::app::App;
use crate::error::{Failure, Handled};
use jiff::civil::Date;
use madang_domain::{AppId, Scope};
use madang_policy::money::MicroWon;
use madang_policy::time::{CalendarDay, korean_time};
use madang_store::calls_review::ReviewedCall;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A calendar month, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(Date);

impl Month {
    /// # Errors
    /// 404 for anything but `YYYY-MM`.
    pub fn parse(text: &str) -> Handled<Self> {
        let digits = text.len() == 7
            && text.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_digit() });
        let date = digits.then(|| format!("{text}-01").parse().ok()).flatten();
        date.map(Self).ok_or_else(Failure::not_found)
    }

    /// The month in which a moment lies.
    pub fn of(at_ms: i64) -> Self {
        Self(korean_time(at_ms).map_or(Date::constant(1970, 1, 1), |t| t.date()).first_of_month())
    }

    pub fn starts_ms(self) -> i64 {
        CalendarDay(self.0).starts_ms()
    }

    /// First millisecond after it.
    pub fn ends_ms(self) -> i64 {
        CalendarDay(self.0.last_of_month()).ends_ms()
    }

    /// The month before; itself at the beginning of time.
    pub fn before(self) -> Self {
        self.0.first_of_month().yesterday().map_or(self, |day| Self(day.first_of_month()))
    }

    /// `2026년 11월`
    pub fn korean(self) -> String {
        format!("{}년 {}월", self.0.year(), self.0.month())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// Calls of one department, app or provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    pub name: String,
    pub asked: u64,
    pub left: u64,
    /// Micro-won.
    pub won: MicroWon,
    /// Runs of the app; 0 for the others.
    pub runs: u64,
}

/// What would have kept calls of an app inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avoidable {
    pub app: AppId,
    pub title: String,
    pub calls: u64,
    /// Names of the collections that it looks into.
    pub collections: Vec<String>,
    /// Korean.
    pub advice: String,
}

/// A month's figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub runs: u64,
    /// Runs after which something left.
    pub runs_outside: u64,
    pub asked: u64,
    pub left: u64,
    pub denied: u64,
    /// Answered from an earlier reply: nothing left.
    pub reused: u64,
    /// Calls where the engine inside had found no answer, and where it had.
    pub none_inside: u64,
    pub some_inside: u64,
    pub won: MicroWon,
    pub tokens: u64,
    pub departments: Vec<Share>,
    pub apps: Vec<Share>,
    pub providers: Vec<Share>,
    pub avoidable: Vec<Avoidable>,
}

impl Figures {
    /// Share of runs after which something left, in thousandths; `None` without runs.
    pub fn per_mille(&self) -> Option<u64> {
        (self.runs_outside * 1000 + self.runs / 2).checked_div(self.runs)
    }
}

/// # Errors
/// 403 for all but security officers.
pub async fn figures(app: &App, scope: &Scope, month: Month) -> Handled<Figures> {
    let (from, until) = (month.starts_ms(), month.ends_ms());
    let calls = super::facts::calls(app, scope, from, until).await?;
    let runs = app.store.run_counts(scope, from, until).await?;
    let mut out = totals(&calls);
    out.runs = runs.runs;
    out.departments = shares(&calls, |c| (c.department.clone(), c.department_name.clone()));
    out.providers = shares(&calls, |c| (c.provider.to_string(), c.provider_name.clone()));
    out.apps = shares(&calls, |c| (c.app.to_string(), c.app_title.clone()));
    let by_title: BTreeMap<&str, AppId> = calls.iter().map(|c| (c.app_title.as_str(), c.app)).collect();
    for share in &mut out.apps {
        share.runs = by_title.get(share.name.as_str()).and_then(|id| runs.by_app.get(id)).copied().unwrap_or(0);
    }
    out.avoidable = avoidable(app, scope, &calls).await?;
    Ok(out)
}

fn totals(calls: &[ReviewedCall]) -> Figures {
    let count = |test: &dyn Fn(&ReviewedCall) -> bool| calls.iter().filter(|c| test(c)).count() as u64;
    let tokens = |c: &ReviewedCall| c.tokens_in.unwrap_or(0).saturating_add(c.tokens_out.unwrap_or(0));
    Figures {
        asked: calls.len() as u64,
        left: count(&left),
        runs_outside: calls.iter().filter(|c| left(c)).map(|c| c.run).collect::<BTreeSet<_>>().len() as u64,
        denied: count(&|c| matches!(c.state.as_str(), "denied" | "returned")),
        reused: count(&|c| c.reply_from.is_some()),
        none_inside: count(&|c| !c.answered_inside),
        some_inside: count(&|c| c.answered_inside),
        won: MicroWon(calls.iter().filter_map(|c| c.won_spent).fold(0, i64::saturating_add)),
        tokens: calls.iter().map(|c| u64::try_from(tokens(c)).unwrap_or(0)).fold(0, u64::saturating_add),
        ..Figures::default()
    }
}

/// By whatever `key` says (identifier and name), those that asked most first.
fn shares(calls: &[ReviewedCall], key: impl Fn(&ReviewedCall) -> (String, String)) -> Vec<Share> {
    let mut by: BTreeMap<String, Share> = BTreeMap::new();
    for call in calls {
        let (id, name) = key(call);
        let share = by.entry(id).or_insert_with(|| Share { name, ..Share::default() });
        share.asked += 1;
        share.left += u64::from(left(call));
        share.won = MicroWon(share.won.0.saturating_add(call.won_spent.unwrap_or(0)));
    }
    let mut out: Vec<Share> = by.into_values().collect();
    out.sort_by(|a, b| (b.asked, &a.name).cmp(&(a.asked, &b.name)));
    out
}

async fn avoidable(app: &App, scope: &Scope, calls: &[ReviewedCall]) -> Handled<Vec<Avoidable>> {
    let none: Vec<&ReviewedCall> = calls.iter().filter(|c| !c.answered_inside).collect();
    let mut newest: BTreeMap<AppId, (&ReviewedCall, u64)> = BTreeMap::new();
    for call in none {
        newest.entry(call.app).or_insert((call, 0)).1 += 1;
    }
    // One version of each app: five hundred apps that go outside in a month are more than any body has.
    let versions = newest.values().take(500).map(|(c, _)| c.version).collect();
    let sources = app.store.sources_of_versions(scope, &versions).await?;
    let mut out: Vec<Avoidable> = newest
        .into_iter()
        .map(|(id, (call, calls))| {
            let named = sources.get(&call.version).into_iter().flatten().map(|(_, name)| name.clone());
            let collections: Vec<String> = named.collect();
            Avoidable { app: id, title: call.app_title.clone(), calls, advice: advice(&collections), collections }
        })
        .collect();
    out.sort_by(|a, b| (b.calls, &a.title).cmp(&(a.calls, &b.title)));
    Ok(out)
}

fn advice(collections: &[String]) -> String {
    match collections {
        [] => {
            "정해진 자료 없이 답하는 앱입니다. 내부 모델을 올리거나, 자주 묻는 내용을 자료 모음으로 만들어 연결하세요."
                .to_owned()
        }
        [one] => format!(
            "자료 모음 '{one}'에서 답을 찾지 못했습니다. 물은 내용의 문서를 더하거나, 문장을 쓰는 내부 모델을 올리세요."
        ),
        more => format!(
            "자료 모음 {}개({})에서 답을 찾지 못했습니다. 빠진 문서를 더하거나, 문장을 쓰는 내부 모델을 올리세요.",
            more.len(),
            more.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_korean_and_strict() {
        let month = Month::parse("2026-11").unwrap();
        assert_eq!((month.to_string(), month.before().to_string()), ("2026-11".into(), "2026-10".into()));
        assert_eq!(Month::parse("2026-01").unwrap().before().to_string(), "2025-12");
        // 2026-11-01T00:00 in Seoul.
        assert_eq!(month.starts_ms(), 1_793_458_800_000);
        assert_eq!((Month::of(month.starts_ms()), Month::of(month.starts_ms() - 1)), (month, month.before()));
        assert_eq!(month.before().ends_ms(), month.starts_ms());
        for bad in ["2026-13", "2026-1", "26-11", "2026/11", "2026-11-01", ""] {
            assert!(Month::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Figures { runs: 3, runs_outside: 1, ..Figures::default() }.per_mille(), Some(333));
        assert_eq!(Figures::default().per_mille(), None);
    }
}

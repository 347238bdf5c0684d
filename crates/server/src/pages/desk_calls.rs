//! The list of outside calls, and what stands out among them.

use super::{encode, page, when};
use crate::api::review_calls::{CallFilters, PAGE, page_of};
use crate::app::App;
use crate::auth::Security;
use crate::desk::facts::{self, DAYS, Found, advice, severity_korean};
use crate::desk::{left, state_korean, verdict, verdict_name};
use crate::frame::{Page, frame, render};
use crate::record_words::pii_kind;
use crate::views::desk::{AnomaliesPage, AnomalyCard, CallLine, CallsPage};
use crate::views::{Choice, Pager};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::Grade;
use madang_gateway::SearchLimits;
use madang_policy::Verdict;
use madang_policy::anomaly::Severity;
use madang_store::calls::CallState;
use madang_store::calls_review::ReviewedCall;
use madang_store::reviews::AnomalySeen;

/// Calls behind a pattern that are linked; the rest are counted.
const LINKED: usize = 12;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/review/calls", list), page("/review/anomalies", anomalies)]
}

async fn list(
    State(app): State<App>,
    Security(reader): Security,
    uri: Uri,
    Query(filters): Query<CallFilters>,
) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let listed = page_of(&app, scope, &filters).await?;
    let newest = listed.calls.first().map_or(0, |c| c.created_at);
    let anchor = filters.before.parse::<i64>().unwrap_or(if newest > 0 { newest } else { app.store.now() });
    let (apps, providers) = app.store.reviewed_choices(scope).await?;
    let departments = app.store.departments().await?.into_iter().map(|d| (d.id.to_string(), d.name)).collect();
    let kept: String = filters.given().iter().map(|(k, v)| format!("{k}={}&", encode(v))).collect();
    render(CallsPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        departments: choices(departments, &filters.department),
        apps: choices(apps, &filters.app),
        providers: choices(providers, &filters.provider),
        grades: choices(Grade::ALL.map(|g| (g.letter().to_owned(), g.letter().to_owned())).to_vec(), &filters.grade),
        kinds: choices(kinds(), &filters.kind),
        verdicts: choices(Verdict::ALL.map(|v| (verdict_name(v), v.korean().to_owned())).to_vec(), &filters.verdict),
        states: choices(
            CallState::ALL.map(|s| (s.as_str().to_owned(), s.korean().to_owned())).to_vec(),
            &filters.state,
        ),
        pager: pager(&filters, &kept, listed.total, anchor),
        total: listed.total,
        newest: if newest > 0 { newest } else { app.store.now() },
        given: filters.given().into_iter().map(|(k, v)| (k, v.to_owned())).collect(),
        rows: listed.calls.into_iter().map(line).collect(),
        person: filters.person,
        from: filters.from,
        to: filters.to,
        kept,
        search_calls: SearchLimits::default().calls,
    })
}

fn kinds() -> Vec<(String, String)> {
    madang_pii::Kind::ALL.into_iter().map(|k| (k.as_str().to_owned(), k.korean().to_owned())).collect()
}

pub(super) fn choices(all: Vec<(String, String)>, selected: &str) -> Vec<Choice> {
    let first = Choice { value: String::new(), label: "전체".to_owned(), selected: selected.is_empty() };
    let rest = all.into_iter().map(|(value, label)| Choice { selected: value == selected, value, label });
    std::iter::once(first).chain(rest).collect()
}

/// Links that keep the filters, and the list's end as it was on the first page.
fn pager(filters: &CallFilters, kept: &str, total: usize, anchor: i64) -> Pager {
    let pages = total.div_ceil(usize::try_from(PAGE).unwrap_or(1)).max(1);
    let at = usize::try_from(filters.page()).unwrap_or(1);
    let link = |page: usize| format!("/review/calls?{kept}page={page}&before={anchor}");
    Pager {
        page: at,
        pages,
        previous: (at > 1).then(|| link((at - 1).min(pages))),
        next: (at < pages).then(|| link(at + 1)),
    }
}

fn line(call: ReviewedCall) -> CallLine {
    let found: Vec<String> =
        call.findings.iter().filter(|(_, n)| **n > 0).map(|(k, n)| format!("{} {n}", pii_kind(k))).collect();
    CallLine {
        id: call.id,
        when: when::date_time(call.created_at),
        verdict: verdict(&call).korean(),
        state: state_korean(&call.state).to_owned(),
        left: left(&call),
        erased: call.erased_at.is_some(),
        who: call.person_name,
        department: call.department_name,
        app: call.app_title,
        provider: call.provider_name,
        host: call.host,
        grade: call.grade,
        found: found.join(", "),
    }
}

async fn anomalies(State(app): State<App>, Security(reader): Security, uri: Uri) -> Page {
    let scope = reader.scope();
    let found = facts::found(&app, scope).await?;
    let looked = app.store.anomalies_seen(scope).await?;
    let (seen, open): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|f| looked.contains_key(&f.key));
    let one = |f: Found| {
        let by = looked.get(&f.key);
        card(f, by)
    };
    render(AnomaliesPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        days: DAYS,
        open: open.into_iter().map(one).collect(),
        seen: seen.into_iter().map(one).collect(),
        thresholds: facts::thresholds(),
    })
}

fn card(found: Found, seen: Option<&AnomalySeen>) -> AnomalyCard {
    let a = found.anomaly;
    AnomalyCard {
        key: found.key,
        kind: a.kind.korean(),
        severity: severity_korean(a.severity),
        grave: a.severity == Severity::High,
        when: when::date_time(a.at_ms),
        who: found.who,
        sentence: a.sentence,
        advice: advice(a.kind),
        more: a.calls.len().saturating_sub(LINKED),
        calls: a.calls.into_iter().take(LINKED).collect(),
        seen: seen.map(|s| (s.by.clone(), when::date_time(s.at), s.note.clone())),
    }
}

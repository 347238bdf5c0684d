//! Months: the sample and its sign-off, and the figures.

use super::{page, when};
use crate::app::App;
use crate::auth::Security;
use crate::desk::month::{Avoidable, Figures, Month, Share, figures};
use crate::desk::state_korean;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::Lang;
use crate::views::desk::{
    AvoidRow, BarChart, MonthPage, MonthRow, MonthlyPage, MonthsPage, PickRow, SampleView, ShareRow, StratumRow,
};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{Grade, Scope};
use madang_policy::money::{MICRO_PER_WON, MicroWon, grouped};
use madang_policy::{Unit, Verdict};
use madang_store::calls_review::ReviewFilter;
use madang_store::reviews::{MonthlyReview, PickVerdict, ReviewPick};
use serde::Deserialize;

/// Months listed.
const MONTHS: usize = 13;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        page("/review/monthly", months),
        page("/review/monthly/{month}", monthly),
        page("/review/month/{month}", month_figures),
    ]
}

async fn calls_of(app: &App, scope: &Scope, month: Month) -> Handled<usize> {
    let filter =
        ReviewFilter { from: Some(month.starts_ms()), until: Some(month.ends_ms()), ..ReviewFilter::default() };
    Ok(app.store.reviewed_calls_count(scope, &filter).await?)
}

async fn months(State(app): State<App>, Security(reader): Security, uri: Uri) -> Page {
    let scope = reader.scope();
    let reviews = app.store.monthly_reviews(scope).await?;
    let mut month = Month::of(app.store.now());
    let mut rows = Vec::new();
    for _ in 0..MONTHS {
        let name = month.to_string();
        let review = reviews.iter().find(|r| r.month == name);
        rows.push(MonthRow {
            calls: calls_of(&app, scope, month).await?,
            picks: review.map(|r| (r.picks, r.looked_at)),
            signed: review.and_then(|r| Some((r.signed_by.clone()?, when::date_time(r.signed_at?)))),
            over: month.ends_ms() <= app.store.now(),
            name: month.korean(),
            month: name,
        });
        month = month.before();
    }
    render(MonthsPage { frame: frame(&app, &reader, &uri).await?, l: reader.lang, months: rows })
}

async fn monthly(State(app): State<App>, Security(reader): Security, uri: Uri, Path(month): Path<String>) -> Page {
    let scope = reader.scope();
    let month = Month::parse(&month)?;
    let review = app.store.monthly_review(scope, &month.to_string()).await?;
    let picks = if review.is_some() { app.store.review_picks(scope, &month.to_string()).await? } else { Vec::new() };
    render(MonthlyPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        calls: calls_of(&app, scope, month).await?,
        over: month.ends_ms() <= app.store.now(),
        sample: review.map(|r| sample(r, &picks)),
        picks: picks.into_iter().map(pick).collect(),
        name: month.korean(),
        month: month.to_string(),
    })
}

/// A stratum as it was kept.
#[derive(Deserialize)]
struct KeptStratum {
    department: Unit,
    decision: Verdict,
    grade: Grade,
    calls: usize,
    picked: usize,
}

fn sample(r: MonthlyReview, picks: &[ReviewPick]) -> SampleView {
    let count = |verdict| picks.iter().filter(|p| p.verdict == Some(verdict)).count();
    let strata: Vec<KeptStratum> = serde_json::from_str(&r.strata).unwrap_or_default();
    let row = |s: KeptStratum| StratumRow {
        department: s.department.name,
        decision: s.decision.korean(),
        grade: s.grade,
        calls: s.calls,
        picked: s.picked,
    };
    SampleView {
        checkpoint: r.checkpoint,
        seed: r.seed,
        drawn: (r.drawn_by, when::date_time(r.drawn_at)),
        signed: r.signed_by.zip(r.signed_at.map(when::date_time)),
        summary: r.summary,
        looked_at: r.looked_at,
        sound: count(PickVerdict::Sound),
        questions: count(PickVerdict::Question),
        faults: count(PickVerdict::Fault),
        strata: strata.into_iter().map(row).collect(),
    }
}

fn pick(p: ReviewPick) -> PickRow {
    PickRow {
        call: p.call,
        when: when::date_time(p.created_at),
        who: format!("{} {}", p.department_name, p.person_name),
        app: p.app_title,
        provider: p.provider_name,
        grade: p.grade,
        state: state_korean(&p.state).to_owned(),
        why: p.why,
        verdict: p.verdict.map(PickVerdict::korean),
        fault: matches!(p.verdict, Some(PickVerdict::Fault)),
        note: p.note,
        reviewed: p.reviewer.zip(p.reviewed_at.map(when::date_time)),
        may_review: p.may_review,
    }
}

async fn month_figures(
    State(app): State<App>,
    Security(reader): Security,
    uri: Uri,
    Path(month): Path<String>,
) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let month = Month::parse(&month)?;
    let f = figures(&app, scope, month).await?;
    let before = month.before();
    let after = Month::of(month.ends_ms());
    let after = (after.starts_ms() <= app.store.now()).then(|| (after.to_string(), after.korean()));
    let chart = |id, title: &str, rows: &[Share]| shares_chart(l, id, title, rows);
    render(MonthPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        name: month.korean(),
        month: month.to_string(),
        before: (before.to_string(), before.korean()),
        after,
        runs: grouped(f.runs),
        runs_outside: grouped(f.runs_outside),
        share: f.per_mille().map(|n| format!("{}.{}", n / 10, n % 10)),
        asked: grouped(f.asked),
        left: grouped(f.left),
        denied: grouped(f.denied),
        reused: grouped(f.reused),
        won: won(f.won),
        tokens: grouped(f.tokens),
        trigger: trigger(l, &f),
        departments: chart("departments", l.t("부서별 외부호출"), &f.departments),
        apps: chart("apps", l.t("앱별 외부호출"), &f.apps),
        providers: chart("providers", l.t("제공자별 외부호출"), &f.providers),
        app_rows: rows(l, &f.apps),
        department_rows: rows(l, &f.departments),
        provider_rows: rows(l, &f.providers),
        avoidable: f.avoidable.into_iter().map(avoid).collect(),
    })
}

/// Whole won, for a page: to the nearest.
fn won(amount: MicroWon) -> String {
    let whole = amount.0.saturating_add(MICRO_PER_WON / 2) / MICRO_PER_WON;
    format!("{}원", grouped(u64::try_from(whole).unwrap_or(0)))
}

fn trigger(l: Lang, f: &Figures) -> BarChart {
    let rows = [
        (l.t("내부 엔진이 답을 찾지 못함").to_owned(), f.none_inside),
        (l.t("내부 엔진의 답이 있었으나 신청함").to_owned(), f.some_inside),
    ];
    let desc = l.f2("답을 찾지 못해 {a}건, 답이 있었으나 {b}건", f.none_inside, f.some_inside);
    BarChart::new("trigger", l.t("무엇 때문에 신청했나"), &desc, &rows)
}

fn shares_chart(l: Lang, id: &'static str, title: &str, shares: &[Share]) -> BarChart {
    let rows: Vec<(String, u64)> = shares.iter().map(|s| (s.name.clone(), s.asked)).collect();
    let desc = match shares.first() {
        None => l.t("신청이 없습니다.").to_owned(),
        Some(first) => l.f2("가장 많은 곳은 {a}, {b}건", &first.name, first.asked),
    };
    BarChart::new(id, title, &desc, &rows)
}

fn rows(l: Lang, shares: &[Share]) -> Vec<ShareRow> {
    let share = |s: &Share| match s.runs {
        0 => String::new(),
        runs => l.f2("실행 {a}번 가운데 {b}건 나감", grouped(runs), grouped(s.left)),
    };
    let row =
        |s: &Share| ShareRow { name: s.name.clone(), asked: s.asked, left: s.left, won: won(s.won), share: share(s) };
    shares.iter().map(row).collect()
}

fn avoid(a: Avoidable) -> AvoidRow {
    AvoidRow { app: a.app, title: a.title, calls: a.calls, advice: a.advice }
}

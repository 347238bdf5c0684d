//! Home: the big box, what to go on with, what waits, and the apps of one's department and of the house.

use super::{build, page, when};
use crate::app::App;
use crate::auth::Reader;
use crate::catalogue::card;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::home::{HomePage, ResumeItem};
use crate::waiting;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_store::drafts::DraftLine;
use madang_store::runs::{RunFilter, RunLine};
use madang_store::shelves::StoreApp;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Things to go on with.
const RESUMED: usize = 5;
/// Cards of a row.
const CARDS: usize = 4;
/// "Lately" for the department's apps, milliseconds.
const LATELY_MS: i64 = 90 * 86_400_000;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/", home)]
}

async fn home(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let department = reader.identity.posts.first().map(|p| p.department_name.clone()).unwrap_or_default();
    let apps = app.store.store_apps(scope).await?;
    let uses = app.store.uses_of_my_departments(scope, app.store.now() - LATELY_MS).await?;
    let newest: Vec<&StoreApp> = newest(&apps);
    render(HomePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        examples: build::examples(&department),
        resume: resume(&app, &reader).await?,
        popular: popular(&apps, &uses).into_iter().map(|a| card(a, l)).collect(),
        newest: newest.into_iter().map(|a| card(a, l)).collect(),
        waiting: waiting::items(&app, &reader).await?,
        engine_label: l.t(&app.engine.card().label).to_owned(),
    })
}

/// Used most by the reader's departments.
fn popular<'a>(apps: &'a [StoreApp], uses: &HashMap<madang_domain::AppId, usize>) -> Vec<&'a StoreApp> {
    let mut used: Vec<(&StoreApp, usize)> = apps.iter().filter_map(|a| uses.get(&a.id).map(|n| (a, *n))).collect();
    used.sort_by_key(|(_, n)| Reverse(*n));
    used.into_iter().take(CARDS).map(|(a, _)| a).collect()
}

/// Latest of the house; what departments made comes before what the product brought.
fn newest(apps: &[StoreApp]) -> Vec<&StoreApp> {
    let (made, bundled): (Vec<&StoreApp>, Vec<&StoreApp>) = apps.iter().partition(|a| a.department.is_some());
    made.into_iter().chain(bundled).take(CARDS).collect()
}

/// The reader's drafts and runs together, latest first; of several runs of one app the last.
async fn resume(app: &App, reader: &Reader) -> Handled<Vec<ResumeItem>> {
    let (scope, l) = (reader.scope(), reader.lang);
    let now = app.store.now();
    let (runs, _) = app.store.runs(scope, &RunFilter::default(), 30, 0).await?;
    let drafts = app.store.own_drafts(scope, 30).await?;
    let mut items: Vec<(i64, ResumeItem)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for run in runs.into_iter().filter(|r| seen.insert(r.app)) {
        items.push((run.started_at, from_run(run, now, l)));
    }
    items.extend(drafts.into_iter().map(|d| (d.updated_at, from_draft(d, now, l))));
    items.sort_by_key(|(at, _)| Reverse(*at));
    Ok(items.into_iter().take(RESUMED).map(|(_, item)| item).collect())
}

fn from_run(run: RunLine, now: i64, l: crate::views::Lang) -> ResumeItem {
    let asked = match run.erased_at {
        Some(_) => l.t("글 삭제됨(보존기간 만료)").to_owned(),
        None => run.inputs.into_iter().map(|i| i.value).find(|v| !v.trim().is_empty()).unwrap_or(run.answer),
    };
    ResumeItem {
        title: run.title,
        draft: false,
        detail: asked.chars().take(120).collect(),
        when: when::ago(run.started_at, now, l),
        href: format!("/runs/{}", run.id),
    }
}

fn from_draft(draft: DraftLine, now: i64, l: crate::views::Lang) -> ResumeItem {
    ResumeItem {
        title: draft.title,
        draft: true,
        detail: draft.purpose,
        when: when::ago(draft.updated_at, now, l),
        href: format!("/build/{}", draft.id),
    }
}

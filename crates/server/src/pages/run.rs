//! Running an app, and a run as it is kept.

use super::{page, redirect, when};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::markdown;
use crate::views::JsonIsland;
use crate::views::run::{FieldView, RunDetailPage, RunPage};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use madang_domain::{AppId, DesignSheet, FieldKind, OutsideCalls, RunId, Scope};
use madang_registry::runner::RunSources;
use madang_store::auth::parse_id;
use madang_store::runs::RunState;
use serde::Deserialize;
use std::collections::HashMap;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/apps/{id}/run", form), page("/runs/{id}", detail)]
}

#[derive(Deserialize)]
struct Prefill {
    /// A run of mine to start from.
    from: Option<String>,
    /// Words for the first field.
    q: Option<String>,
    /// Another version than the usual one.
    version: Option<String>,
}

async fn form(
    State(app): State<App>,
    reader: Reader,
    uri: Uri,
    Path(id): Path<String>,
    Query(query): Query<Prefill>,
) -> Page {
    let scope = reader.scope();
    let id: AppId = parse_id(&id)?;
    let stored = app.store.app(scope, id).await?;
    let version = match query.version.as_deref().filter(|v| !v.is_empty()) {
        Some(number) => app.store.app_version(scope, id, parse_id(number)?).await?,
        None => app.store.current_version(scope, id).await?,
    };
    let values = prefill(&app, scope, &query, &version.sheet).await?;
    let readable = app.store.readable_collections(scope).await?;
    let card = app.engine.card();
    let l = reader.lang;
    render(RunPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        app: id,
        version: version.number,
        department: owner(&stored).map_or_else(|| l.t("기본 제공 앱").to_owned(), str::to_owned),
        grade: app.store.grade_of(&version.sheet.collections()).await?,
        engine_label: card.label,
        engine_generates: card.generates,
        unreadable: RunSources::of(&version.sheet, &readable).unreadable,
        outside_allowed: version.sheet.outside == OutsideCalls::Ask,
        fields: fields(&version.sheet, values),
        title: version.sheet.title,
        purpose: version.sheet.purpose,
    })
}

/// Department or person that owns an app; `None` for a bundled one.
fn owner(app: &madang_store::apps::App) -> Option<&str> {
    app.department_name.as_deref().or(app.created_by_name.as_deref())
}

/// Values brought along: those of a former run, or words for the first field that takes words.
async fn prefill(app: &App, scope: &Scope, query: &Prefill, sheet: &DesignSheet) -> Handled<HashMap<String, String>> {
    if let Some(from) = query.from.as_deref().filter(|f| !f.is_empty()) {
        let run = app.store.run(scope, parse_id(from)?).await?;
        return Ok(run.inputs.into_iter().map(|i| (i.key, i.value)).collect());
    }
    let first = sheet.inputs.iter().find(|i| matches!(i.kind, FieldKind::Text | FieldKind::LongText));
    let words = query.q.as_deref().map(|q| q.chars().take(2000).collect::<String>());
    Ok(first.zip(words).map(|(field, words)| (field.key.clone(), words)).into_iter().collect())
}

fn fields(sheet: &DesignSheet, mut values: HashMap<String, String>) -> Vec<FieldView> {
    let view = |field: &madang_domain::InputField| FieldView {
        value: values.remove(&field.key).unwrap_or_default(),
        field: field.clone(),
    };
    sheet.inputs.iter().map(view).collect()
}

async fn detail(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>) -> Handled<Response> {
    let id: RunId = parse_id(&id)?;
    let run = app.store.run(reader.scope(), id).await?;
    let Some(of) = run.app else {
        // A trial belongs to its draft.
        return Ok(redirect(&run.draft.map_or("/build".to_owned(), |d| format!("/build/{d}"))));
    };
    let (outside, outside_reply) = super::outside::of_run(&app, reader.scope(), &run).await?;
    let seconds = run.ended_at.map_or(0, |end| (end - run.started_at).max(0)) as f64 / 1000.0;
    let page = render(RunDetailPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        id,
        app: of,
        version: run.version_number.unwrap_or_default(),
        when: when::date_time(run.started_at),
        grade: run.grade,
        state: run.state.korean(),
        // A run that was stopped or still goes on has not failed to find an answer.
        answered: run.answered || run.state != RunState::Done || run.erased_at.is_some(),
        erased: run.erased_at.map(when::date),
        engine_label: run.engine.label.clone(),
        seconds: format!("{seconds:.1}"),
        answer: markdown::answer(&run.answer, run.citations.iter().map(|c| c.number)),
        data: JsonIsland::new(&run.citations),
        outside,
        outside_reply,
        title: run.title,
        unfilled: run.unfilled,
        inputs: run.inputs.into_iter().map(|i| (i.label, i.value)).collect(),
        citations: run.citations,
        withheld: run.withheld,
        error: run.error,
    })?;
    Ok(page.into_response())
}

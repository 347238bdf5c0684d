//! Runs: use an app, try a draft, stop, read one's own, download, report a wrong answer.

use super::body::Body;
use crate::app::App;
use crate::auth::{Reader, Runner};
use crate::error::{Failure, Handled};
use crate::markdown;
use crate::pages::{encode, when};
use crate::running::{self, RunEvent, Running};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use madang_documents::write;
use madang_domain::{AppId, RunId, Scope};
use madang_registry::export::{ExportMeta, answer_markdown};
use madang_store::auth::parse_id;
use madang_store::ledger;
use madang_store::runs::{Report, Run, RunFilter, RunLine, RunOf, RunState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Runs on a page of a list.
pub const PAGE: i64 = 20;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(run_app))
        .routes(routes!(try_draft))
        .routes(routes!(stop))
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(export))
        .routes(routes!(report))
        .routes(routes!(reports))
}

#[derive(Deserialize, ToSchema)]
struct NewRun {
    /// Number of the version; absent: the one in the store, or the latest of an unpublished app.
    version: Option<u32>,
    /// Field key → value.
    #[serde(default)]
    inputs: BTreeMap<String, String>,
}

/// Runs an app with the reader's rights. With `Accept: text/event-stream` the answer streams as events `run`,
/// `engine`, `text`, `citation`, then `done`, `stopped` or `error`; otherwise the finished run is the answer.
#[utoipa::path(post, path = "/api/v1/apps/{id}/runs", tag = "runs", params(("id" = String, Path)), request_body = NewRun, responses((status = 200, body = Object), (status = 404), (status = 422), (status = 429)))]
async fn run_app(
    State(app): State<App>,
    Runner(reader): Runner,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(body): Body<NewRun>,
) -> Handled<Response> {
    let id: AppId = parse_id(&id)?;
    let version = match body.version {
        Some(number) => app.store.app_version(reader.scope(), id, number).await?,
        None => app.store.current_version(reader.scope(), id).await?,
    };
    let running = running::start(&app, reader.scope(), RunOf::Version(&version), &body.inputs).await?;
    respond(&app, reader.scope(), running, &headers).await
}

#[derive(Deserialize, ToSchema)]
struct Trial {
    /// Revision on the screen: another one is refused.
    revision: Option<i64>,
    #[serde(default)]
    inputs: BTreeMap<String, String>,
}

/// Tries a draft as it stands; answers like a run.
#[utoipa::path(post, path = "/api/v1/drafts/{id}/trial", tag = "drafts", params(("id" = String, Path)), request_body = Trial, responses((status = 200, body = Object), (status = 404), (status = 409), (status = 422), (status = 429)))]
async fn try_draft(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(body): Body<Trial>,
) -> Handled<Response> {
    let draft = app.store.draft(reader.scope(), parse_id(&id)?).await?;
    if body.revision.is_some_and(|r| r != draft.revision) {
        return Err(super::drafts::stale_words(&draft));
    }
    if let Some(fault) = draft.sheet.faults().into_iter().next() {
        return Err(Failure::conflict(format!("설계서에 고칠 곳이 있습니다. {}", fault.message)));
    }
    let running = running::start(&app, reader.scope(), RunOf::Trial(&draft), &body.inputs).await?;
    respond(&app, reader.scope(), running, &headers).await
}

async fn respond(app: &App, scope: &Scope, running: Running, headers: &HeaderMap) -> Handled<Response> {
    let accepts = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        let mut response = Sse::new(events(running)).keep_alive(KeepAlive::new()).into_response();
        // A proxy in front must not gather the stream either.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        return Ok(response);
    }
    let (id, mut events) = (running.id, running.events);
    while events.recv().await.is_some() {}
    Ok(Json(view(app.store.run(scope, id).await?)).into_response())
}

fn events(running: Running) -> impl Stream<Item = Result<Event, Infallible>> {
    ReceiverStream::new(running.events).map(|event| {
        let (name, data) = match event {
            RunEvent::Run(id) => ("run", json!({ "id": id })),
            RunEvent::Engine(card) => ("engine", json!(card)),
            RunEvent::Text(text) => ("text", json!({ "text": text })),
            RunEvent::Citation(citation) => ("citation", json!(citation)),
            RunEvent::Progress { stage, done, total } => {
                ("progress", json!({ "stage": stage, "done": done, "total": total }))
            }
            RunEvent::Done(done) => ("done", json!(done)),
            RunEvent::Stopped => ("stopped", json!({})),
            RunEvent::Error(message) => ("error", json!({ "message": message })),
        };
        Ok(Event::default().event(name).data(data.to_string()))
    })
}

/// A run with its answer as HTML.
#[derive(Serialize)]
struct RunView {
    #[serde(flatten)]
    run: Run,
    /// Sanitised.
    html: String,
}

fn view(run: Run) -> RunView {
    let html = markdown::answer(&run.answer, run.citations.iter().map(|c| c.number)).0;
    RunView { run, html }
}

/// Stops a run of the reader's own; one that has ended stays as it is.
#[utoipa::path(post, path = "/api/v1/runs/{id}/stop", tag = "runs", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn stop(State(app): State<App>, Runner(reader): Runner, Path(id): Path<String>) -> Handled<StatusCode> {
    let id: RunId = parse_id(&id)?;
    if !app.board.stop(id, reader.scope().person()) {
        app.store.run(reader.scope(), id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
struct Listing {
    /// Words in inputs, answer or title.
    q: Option<String>,
    app: Option<String>,
    /// From 1.
    page: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct RunList {
    #[schema(value_type = Vec<Object>)]
    runs: Vec<RunLine>,
    total: usize,
    page: i64,
}

/// The reader's own runs, newest first, twenty a page.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Listing), responses((status = 200, body = RunList)))]
async fn list(State(app): State<App>, reader: Reader, Query(query): Query<Listing>) -> Handled<Json<RunList>> {
    let filter = filter(query.q, query.app.as_deref())?;
    let page = query.page.unwrap_or(1).clamp(1, 1_000_000);
    let (runs, total) = app.store.runs(reader.scope(), &filter, PAGE, (page - 1) * PAGE).await?;
    Ok(Json(RunList { runs, total, page }))
}

/// The filter of a list from its query.
pub fn filter(text: Option<String>, app: Option<&str>) -> Handled<RunFilter> {
    let text = text.map(|t| t.chars().take(200).collect());
    let app = app.filter(|a| !a.is_empty()).map(parse_id).transpose()?;
    Ok(RunFilter { text, app })
}

/// One run of the reader's own.
#[utoipa::path(get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn read(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<RunView>> {
    Ok(Json(view(app.store.run(reader.scope(), parse_id(&id)?).await?)))
}

#[derive(Deserialize, IntoParams)]
struct Format {
    /// `md`, `docx` or `hwpx`.
    format: String,
}

/// Downloads an answer with its sources.
#[utoipa::path(get, path = "/api/v1/runs/{id}/export", tag = "runs", params(("id" = String, Path), Format), responses((status = 200, content_type = "application/octet-stream"), (status = 404), (status = 409), (status = 422)))]
async fn export(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Query(query): Query<Format>,
) -> Handled<Response> {
    let run = app.store.run(reader.scope(), parse_id(&id)?).await?;
    if run.state == RunState::Running {
        return Err(Failure::conflict("아직 답하고 있습니다. 끝난 뒤 내려받아 주세요."));
    }
    if run.erased_at.is_some() {
        return Err(Failure::conflict("보존기간이 지나 글을 지운 실행입니다. 내려받을 답이 없습니다."));
    }
    let (bytes, kind) = written(&run, &query.format).await?;
    let detail = json!({ "run": run.id, "format": query.format, "grade": run.grade });
    app.store.record(ledger::Event::new("run_exported", Some(reader.scope().person()), detail)).await?;
    let name = encode(&format!("{}.{}", file_name(&run.title), query.format));
    let disposition = format!("attachment; filename=\"answer.{}\"; filename*=UTF-8''{name}", query.format);
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], bytes).into_response())
}

/// The file and its content type.
async fn written(run: &Run, format: &str) -> Handled<(Vec<u8>, &'static str)> {
    let meta = ExportMeta {
        engine: run.engine.label.clone(),
        generates: run.engine.generates,
        time: when::date_time(run.ended_at.unwrap_or(run.started_at)),
        grade: run.grade,
        version: run.version_number.map_or("저장 전".to_owned(), |n| format!("{n}판")),
    };
    let text = answer_markdown(&run.title, &run.answer, &run.citations, &meta);
    type Writer = fn(&str, &str) -> Result<Vec<u8>, write::WriteError>;
    let (writer, kind): (Writer, _) = match format {
        "md" => return Ok((text.into_bytes(), "text/markdown; charset=utf-8")),
        "docx" => (write::markdown_to_docx, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        "hwpx" => (write::markdown_to_hwpx, "application/hwp+zip"),
        _ => return Err(Failure::invalid("format", "형식은 md, docx, hwpx 가운데 하나입니다.")),
    };
    // The text begins with the title.
    let bytes = tokio::task::spawn_blocking(move || writer(&text, "")).await.map_err(Failure::internal)?;
    Ok((bytes.map_err(|e| Failure::conflict(e.to_string()))?, kind))
}

/// The title without what a file system refuses.
fn file_name(title: &str) -> String {
    let name: String =
        title.chars().map(|c| if c.is_control() || r#"\/:*?"<>|"#.contains(c) { ' ' } else { c }).collect();
    let name = name.trim().trim_matches('.').to_owned();
    if name.is_empty() { "answer".to_owned() } else { name }
}

#[derive(Deserialize, ToSchema)]
struct WrongAnswer {
    /// What is wrong.
    note: String,
}

/// Reports a wrong answer; the app's owner sees these words, not the run.
#[utoipa::path(post, path = "/api/v1/runs/{id}/reports", tag = "runs", params(("id" = String, Path)), request_body = WrongAnswer, responses((status = 204), (status = 404), (status = 422)))]
async fn report(
    State(app): State<App>,
    Runner(reader): Runner,
    Path(id): Path<String>,
    Body(body): Body<WrongAnswer>,
) -> Handled<StatusCode> {
    app.store.report_run(reader.scope(), parse_id(&id)?, &body.note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports on an app of the reader's department, newest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/reports", tag = "apps", params(("id" = String, Path)), responses((status = 200, body = Vec<Object>), (status = 403), (status = 404)))]
async fn reports(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Vec<Report>>> {
    Ok(Json(app.store.reports(reader.scope(), parse_id(&id)?, 100).await?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles_become_file_names() {
        assert_eq!(super::file_name("예산/기간: \"표\""), "예산 기간   표");
        assert_eq!(super::file_name("/.\u{0}"), "answer");
    }
}

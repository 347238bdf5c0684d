//! Apps and their versions, and the way back to the builder. The store's shelves, ratings and approvals live elsewhere.

use super::Created;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::{AppId, Grade};
use madang_registry::diff::{self, SheetChange};
use madang_registry::runner::RunSources;
use madang_store::apps::{App as StoredApp, AppVersion};
use madang_store::auth::parse_id;
use madang_store::lineage::Relative;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(versions)).routes(routes!(version)).routes(routes!(edit))
}

#[derive(Serialize)]
struct AppView {
    #[serde(flatten)]
    app: StoredApp,
    /// The version that a run uses.
    current: AppVersion,
    /// Highest grade of the collections it names.
    grade: Grade,
    /// Names of sources that the reader may not read.
    unreadable: Vec<String>,
    /// The app it was forked from, where the reader may see that.
    parent: Option<Relative>,
    /// Apps forked from it that the reader may see.
    forks: Vec<Relative>,
}

/// One app with the version that a run uses.
#[utoipa::path(get, path = "/api/v1/apps/{id}", tag = "apps", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn read(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<AppView>> {
    let scope = reader.scope();
    let id: AppId = parse_id(&id)?;
    let stored = app.store.app(scope, id).await?;
    let current = app.store.current_version(scope, id).await?;
    let grade = app.store.grade_of(&current.sheet.collections()).await?;
    let readable = app.store.readable_collections(scope).await?;
    let unreadable = RunSources::of(&current.sheet, &readable).unreadable;
    let parent = app.store.forked_from(scope, id).await?;
    let forks = app.store.forks(scope, id).await?;
    Ok(Json(AppView { app: stored, current, grade, unreadable, parent, forks }))
}

#[derive(Serialize)]
struct VersionView {
    #[serde(flatten)]
    version: AppVersion,
    /// Against the version before; empty for the first.
    changes: Vec<SheetChange>,
}

/// Versions that the reader may see, newest first, each with what changed.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions", tag = "apps", params(("id" = String, Path)), responses((status = 200, body = Vec<Object>), (status = 404)))]
async fn versions(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Vec<VersionView>>> {
    let all = app.store.app_versions(reader.scope(), parse_id(&id)?).await?;
    Ok(Json(with_changes(all)))
}

/// One version, by its number.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions/{number}", tag = "apps", params(("id" = String, Path), ("number" = u32, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn version(
    State(app): State<App>,
    reader: Reader,
    Path((id, number)): Path<(String, String)>,
) -> Handled<Json<VersionView>> {
    let number: u32 = parse_id(&number)?;
    let all = app.store.app_versions(reader.scope(), parse_id(&id)?).await?;
    with_changes(all).into_iter().find(|v| v.version.number == number).map(Json).ok_or_else(Failure::not_found)
}

/// Newest first in, newest first out.
fn with_changes(all: Vec<AppVersion>) -> Vec<VersionView> {
    let before: Vec<_> = all.iter().skip(1).map(|v| Some(v.sheet.clone())).chain([None]).collect();
    all.into_iter()
        .zip(before)
        .map(|(version, before)| VersionView {
            changes: before.map(|b| diff::sentences(&b, &version.sheet)).unwrap_or_default(),
            version,
        })
        .collect()
}

/// Opens the one draft of an app of the reader's department.
#[utoipa::path(post, path = "/api/v1/apps/{id}/draft", tag = "apps", params(("id" = String, Path)), responses((status = 201, body = Created), (status = 403), (status = 404)))]
async fn edit(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<(StatusCode, Json<Created>)> {
    let draft = app.store.open_app_draft(reader.scope(), parse_id(&id)?).await?;
    Ok((StatusCode::CREATED, Created::new(draft)))
}

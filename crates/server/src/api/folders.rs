//! The folder that a collection follows: choosing one in the department's share, looking into it now, ending it.

use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::watch::{LookError, SILENT, Share, reasons, share_of};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::CollectionId;
use madang_store::auth::parse_id;
use madang_store::collections::CollectionSummary;
use madang_store::watched::WatchedFolder;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest path, characters.
const MAX_PATH: usize = 1000;
/// Longest that somebody waits for a share to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, connect, disconnect)).routes(routes!(look)).routes(routes!(allow))
}

/// What a collection follows and could follow.
#[derive(Serialize)]
pub struct Followed {
    /// Absent where it follows none.
    pub folder: Option<WatchedFolder>,
    /// Why files are not taken in, with how many each keeps out.
    pub skipped: Vec<(String, usize)>,
    /// Folders of the department's share, for those who may connect one; absent where the department has no share.
    pub choices: Option<Vec<String>>,
    /// Why they may be out of date or missing.
    pub choices_note: Option<String>,
}

/// As [`Followed`] for a collection that the reader may read.
pub async fn followed(app: &App, reader: &Reader, summary: &CollectionSummary) -> Handled<Followed> {
    let folder = app.store.watched_folder(reader.scope(), summary.id).await?;
    let skipped = match folder {
        Some(_) => reasons(&app.store.skipped_files(reader.scope(), summary.id).await?),
        None => Vec::new(),
    };
    let share = (summary.can_change && summary.owner_department.is_some()).then(|| share_of(app, &summary.owner));
    let Some(share) = share.flatten() else {
        return Ok(Followed { folder, skipped, choices: None, choices_note: None });
    };
    let door = app.watch.door(&share.department);
    let offered = door.folders(share, PATIENCE).await.map_err(Failure::internal)?;
    Ok(Followed { folder, skipped, choices: Some(offered.folders), choices_note: offered.note })
}

/// The folder that a collection follows, and what it could follow.
#[utoipa::path(get, path = "/api/v1/collections/{id}/folder", tag = "documents", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404)))]
async fn show(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Followed>> {
    let summary = app.store.collection_summary(reader.scope(), parse_id(&id)?).await?;
    Ok(Json(followed(&app, &reader, &summary).await?))
}

#[derive(Deserialize, ToSchema)]
struct Chosen {
    /// Below the department's share; empty for the share itself.
    path: String,
}

/// Follows a folder of the department's share: its files become documents and stay in step with it.
#[utoipa::path(put, path = "/api/v1/collections/{id}/folder", tag = "documents", params(("id" = String, Path)),
    request_body = Chosen, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422), (status = 503)))]
async fn connect(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(chosen): Body<Chosen>,
) -> Handled<StatusCode> {
    let id: CollectionId = parse_id(&id)?;
    app.store.check_changeable(reader.scope(), id).await?;
    let summary = app.store.collection_summary(reader.scope(), id).await?;
    let path = chosen.path.trim().trim_matches('/').to_owned();
    if path.chars().count() > MAX_PATH {
        return Err(Failure::invalid("path", "폴더 경로가 너무 깁니다."));
    }
    let share = summary.owner_department.and_then(|_| share_of(&app, &summary.owner)).cloned();
    if let Some(share) = share {
        try_open(&app, share, path.clone()).await?;
    } else if summary.owner_department.is_some() {
        return Err(Failure::new(StatusCode::CONFLICT, "conflict", LookError::NoShare.to_string()));
    }
    app.store.connect_folder(reader.scope(), id, &path).await?;
    app.watch.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn try_open(app: &App, share: Share, path: String) -> Handled<()> {
    let door = app.watch.door(&share.department);
    let opened = door.within(PATIENCE, move || share.open(&path).map(drop)).await.map_err(Failure::internal)?;
    opened
        .ok_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "silent", SILENT))?
        .map_err(|_| Failure::invalid("path", "부서 공유 폴더 안에서 그 폴더를 열 수 없습니다. 목록에서 골라 주세요."))
}

/// Ends following; documents stay.
#[utoipa::path(delete, path = "/api/v1/collections/{id}/folder", tag = "documents", params(("id" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
async fn disconnect(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.disconnect_folder(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks into the folder now.
#[utoipa::path(post, path = "/api/v1/collections/{id}/folder/look", tag = "documents", params(("id" = String, Path)),
    responses((status = 202), (status = 403), (status = 404)))]
async fn look(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.check_changeable(reader.scope(), parse_id(&id)?).await?;
    app.watch.wake();
    Ok(StatusCode::ACCEPTED)
}

/// Says that the many files which the last look missed are gone on purpose: their documents are withdrawn.
#[utoipa::path(post, path = "/api/v1/collections/{id}/folder/removals", tag = "documents", params(("id" = String, Path)),
    responses((status = 202), (status = 403), (status = 404), (status = 409)))]
async fn allow(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.allow_removals(reader.scope(), parse_id(&id)?).await?;
    app.watch.wake();
    Ok(StatusCode::ACCEPTED)
}

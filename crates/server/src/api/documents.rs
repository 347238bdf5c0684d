//! Documents of a collection: listing, cancelling, retrying, deleting, fetching the original, and single passages.
//! Taking files in is `uploads`.

use crate::app::App;
use crate::auth::Reader;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::ingest::{Queue, sweep_originals};
use crate::pages::encode;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use madang_domain::{CollectionId, DocumentId};
use madang_store::auth::parse_id;
use madang_store::documents::{DocumentState, DocumentView, Surroundings};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Most documents of one answer.
const MAX_LIST: usize = 500;
/// Characters of text given on each side of a passage.
const AROUND: usize = 600;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, delete))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(original))
        .routes(routes!(passage))
}

/// A document with what a screen says of its state.
#[derive(Serialize)]
pub struct Item {
    #[serde(flatten)]
    pub view: DocumentView,
    /// 0 to 100.
    pub percent: u8,
    /// Why it failed, or what its reader should know.
    pub note: String,
}

impl Item {
    pub fn new(app: &App, view: DocumentView) -> Self {
        let percent = if view.state.is_active() { app.ingest.percent(view.id) } else { 100 };
        let note = match view.state {
            DocumentState::Failed => view.error.clone().unwrap_or_default(),
            DocumentState::Ready => view.warnings.join(" "),
            _ => String::new(),
        };
        Self { view, percent, note }
    }
}

#[derive(Deserialize, IntoParams)]
struct Window {
    /// Documents to pass over; 0 if absent.
    #[serde(default)]
    offset: usize,
    /// At most 500; 200 if absent.
    limit: Option<usize>,
}

#[derive(Serialize)]
struct List {
    documents: Vec<Item>,
    /// All documents of the collection.
    total: usize,
    /// Absent where nothing waits.
    queue: Option<Queue>,
}

/// The queue as a collection's readers see it.
pub async fn queue(app: &App, waiting: usize) -> Handled<Option<Queue>> {
    if waiting == 0 {
        return Ok(None);
    }
    let heads = app.store.waiting_heads().await?;
    let owners: HashSet<_> = heads.iter().map(|h| h.owner.as_str()).collect();
    Ok(Some(app.ingest.queue(waiting, owners.len())))
}

/// Documents of a collection with their states, latest first.
#[utoipa::path(get, path = "/api/v1/collections/{id}/documents", tag = "documents", params(("id" = String, Path), Window), responses((status = 200, body = Object), (status = 404)))]
async fn list(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Query(window): Query<Window>,
) -> Handled<Json<List>> {
    let id: CollectionId = parse_id(&id)?;
    let summary = app.store.collection_summary(reader.scope(), id).await?;
    let limit = window.limit.unwrap_or(200).min(MAX_LIST);
    let documents = app.store.documents(reader.scope(), id, window.offset, limit).await?;
    Ok(Json(List {
        documents: documents.into_iter().map(|d| Item::new(&app, d)).collect(),
        total: summary.documents,
        queue: queue(&app, summary.waiting).await?,
    }))
}

/// One document with its state.
#[utoipa::path(get, path = "/api/v1/documents/{id}", tag = "documents", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn one(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Item>> {
    let view = app.store.document(reader.scope(), parse_id(&id)?).await?;
    Ok(Json(Item::new(&app, view)))
}

/// Deletes a document with its older versions; its passages are gone from search at once.
#[utoipa::path(delete, path = "/api/v1/documents/{id}", tag = "documents", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn delete(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    let id: DocumentId = parse_id(&id)?;
    let originals = app.store.delete_document(reader.scope(), id).await?;
    app.ingest.removed(&[id]);
    sweep_originals(&app, originals).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops a document that waits or is being read.
#[utoipa::path(post, path = "/api/v1/documents/{id}/cancel", tag = "documents", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn cancel(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    let id: DocumentId = parse_id(&id)?;
    app.store.cancel_document(reader.scope(), id).await?;
    app.ingest.stop(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a failed or cancelled document again.
#[utoipa::path(post, path = "/api/v1/documents/{id}/retry", tag = "documents", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn retry(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.retry_document(reader.scope(), parse_id(&id)?).await?;
    app.ingest.wake();
    Ok(StatusCode::NO_CONTENT)
}

/// The file as it was uploaded.
#[utoipa::path(get, path = "/api/v1/documents/{id}/original", tag = "documents", params(("id" = String, Path)), responses((status = 200, content_type = "application/octet-stream"), (status = 404)))]
async fn original(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Response> {
    let view = app.store.document(reader.scope(), parse_id(&id)?).await?;
    let originals = app.originals.clone();
    let (file, length) = blocking::run(move || originals.file(&view.original)).await.map_err(Failure::internal)??;
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    // Never a type that a browser would open in this origin.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let disposition = format!("attachment; filename*=UTF-8''{}", encode(&view.file_name));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).map_err(Failure::internal)?);
    Ok(response)
}

/// A passage with the text around it.
#[utoipa::path(get, path = "/api/v1/passages/{id}", tag = "documents", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn passage(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Surroundings>> {
    Ok(Json(app.store.surroundings(reader.scope(), parse_id(&id)?, AROUND).await?))
}

//! Trying the detector: a text or a document looked through for whoever is signed in. Nothing is kept of it.

use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::looking::{Looked, Names, PageAt, look};
use crate::names::clean_name;
use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::StatusCode;
use madang_documents::Extracted;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest text, characters.
pub const MAX_TEXT: usize = 200_000;
/// Largest document, bytes.
pub const MAX_DOCUMENT: usize = 20 << 20;
/// Longest text of a document, characters.
const MAX_READ: usize = 2_000_000;
/// What a form takes around its file, bytes.
const FORM: usize = 64 << 10;
/// Longest time for a document to arrive: a place is held meanwhile.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Seconds after which to try again when too many look at once.
const AGAIN: u64 = 5;

pub fn router() -> OpenApiRouter<App> {
    let document = OpenApiRouter::new().routes(routes!(document)).layer(DefaultBodyLimit::max(MAX_DOCUMENT + FORM));
    OpenApiRouter::new().routes(routes!(text)).merge(document)
}

#[derive(Deserialize, ToSchema)]
struct Given {
    /// At most 200,000 characters.
    text: String,
}

/// Looks through a text: what would be blocked, masked or passed, the masked text, the grade that its markings ask for.
/// Keeps nothing.
#[utoipa::path(post, path = "/api/v1/tools/pii", tag = "tools", request_body = Given, responses((status = 200, body = Object), (status = 422), (status = 503)))]
async fn text(State(app): State<App>, _: Reader, Body(given): Body<Given>) -> Handled<Json<Looked>> {
    if given.text.trim().is_empty() {
        return Err(Failure::invalid("text", "살펴볼 글을 적거나 파일을 골라 주세요."));
    }
    if given.text.chars().nth(MAX_TEXT).is_some() {
        return Err(Failure::invalid("text", "200,000자까지 살펴볼 수 있습니다. 나누어 살펴보세요."));
    }
    looked(&app, given.text, Vec::new()).await.map(Json)
}

/// A document, looked through.
#[derive(Serialize)]
struct LookedDocument {
    name: String,
    /// What the reading program says of the file, in Korean.
    warnings: Vec<String>,
    #[serde(flatten)]
    looked: Looked,
}

/// As for a text, with a document (HWP, HWPX, PDF, DOCX and kin) that a program of its own reads. Keeps nothing.
#[utoipa::path(post, path = "/api/v1/tools/pii/document", tag = "tools",
    request_body(content = Object, content_type = "multipart/form-data", description = "One part with a file name, at most 20 MiB"),
    responses((status = 200, body = Object), (status = 413), (status = 422), (status = 429), (status = 503)))]
async fn document(
    State(app): State<App>,
    _: Reader,
    multipart: Result<Multipart, MultipartRejection>,
) -> Handled<Json<LookedDocument>> {
    // Held while the file is in memory and read, so that many at once do not crowd out the others' documents.
    let _place = app
        .looking
        .try_acquire()
        .map_err(|_| Failure::busy("지금 여러 사람이 문서를 살펴보고 있습니다. 잠시 뒤 다시 해 주세요.", AGAIN))?;
    let (name, bytes) = tokio::time::timeout(ARRIVAL, receive(multipart)).await.map_err(|_| {
        Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "파일을 받는 데 너무 오래 걸려 멈췄습니다. 다시 해 주세요.",
        )
    })??;
    let read = app.sandbox.read(&bytes, &name).await;
    drop(bytes);
    let Extracted { text, pages, warnings, .. } = read.map_err(|e| Failure::invalid("file", e.to_string()))?;
    if text.chars().nth(MAX_READ).is_some() {
        return Err(Failure::invalid("file", "글이 2,000,000자를 넘습니다. 문서를 나누어 살펴보세요."));
    }
    let pages = pages.iter().map(|p| PageAt { offset: p.offset, number: Some(p.page) }).collect();
    Ok(Json(LookedDocument { name, warnings, looked: looked(&app, text, pages).await? }))
}

async fn looked(app: &App, text: String, pages: Vec<PageAt>) -> Handled<Looked> {
    let inspector = app.gateway.inspector().await?;
    blocking::run(move || look(&text, &inspector, &pages, Names::Kinds)).await.map_err(Failure::internal)
}

/// The first file of the form.
async fn receive(multipart: Result<Multipart, MultipartRejection>) -> Handled<(String, Vec<u8>)> {
    let broken = |status: StatusCode| match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(status, "too_large", "20MB까지 살펴볼 수 있습니다. 문서를 나누어 살펴보세요.")
        }
        _ => Failure::new(status, "bad_request", "파일을 multipart/form-data 형식으로 보내 주세요."),
    };
    let mut multipart = multipart.map_err(|e| broken(e.status()))?;
    while let Some(field) = multipart.next_field().await.map_err(|e| broken(e.status()))? {
        let Some(name) = field.file_name().map(clean_name) else { continue };
        let bytes = field.bytes().await.map_err(|e| broken(e.status()))?;
        return Ok((name, bytes.to_vec()));
    }
    Err(Failure::invalid("file", "살펴볼 파일이 없습니다. 파일을 골라 주세요."))
}

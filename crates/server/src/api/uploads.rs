//! Taking files into a collection: streamed to the disk, each with an outcome of its own, whole or not at all.

use crate::app::App;
use crate::auth::Reader;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::ingest::sweep_originals;
use crate::names::{clean_name, split_name};
use axum::Json;
use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use madang_domain::{CollectionId, DocumentId};
use madang_store::Incoming;
use madang_store::auth::parse_id;
use madang_store::documents::{AddedDocument, NewDocument};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Most files of one request.
const MAX_FILES: usize = 500;
/// Bytes gathered before they go to the disk.
const CHUNK: usize = 1 << 20;
/// What is read on and thrown away of a file that is too large, so that the sender gets to see the answer.
const MAX_DISCARD: usize = 4 << 30;

pub fn router() -> OpenApiRouter<App> {
    // Files have a limit each, see `receive`; the limit of JSON bodies does not hold here.
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(replace)).layer(DefaultBodyLimit::disable())
}

/// Adds files; those that the collection already holds add nothing. The answer names each file's outcome:
/// `{"documents": [{"name", "id", "duplicate"} or {"name", "error"}]}`, for a single file also `id` and `duplicate`.
#[utoipa::path(post, path = "/api/v1/collections/{id}/documents", tag = "documents", params(("id" = String, Path)),
    request_body(content = Object, content_type = "multipart/form-data", description = "Any number of parts with a file name"),
    responses((status = 201, body = Object), (status = 403), (status = 404), (status = 413), (status = 422), (status = 507)))]
async fn upload(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Handled<Response> {
    let collection: CollectionId = parse_id(&id)?;
    app.store.check_changeable(reader.scope(), collection).await?;
    take_all(&app, &reader, collection, None, multipart.map_err(no_multipart)?).await
}

/// Puts a new file in the place of a document, which stays until the new one is ready.
#[utoipa::path(post, path = "/api/v1/documents/{id}/replacement", tag = "documents", params(("id" = String, Path)),
    request_body(content = Object, content_type = "multipart/form-data", description = "One part with a file name"),
    responses((status = 201, body = Object), (status = 403), (status = 404), (status = 413), (status = 422), (status = 507)))]
async fn replace(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Handled<Response> {
    let old = app.store.document(reader.scope(), parse_id(&id)?).await?;
    app.store.check_changeable(reader.scope(), old.collection).await?;
    take_all(&app, &reader, old.collection, Some(old.id), multipart.map_err(no_multipart)?).await
}

async fn take_all(
    app: &App,
    reader: &Reader,
    collection: CollectionId,
    replaces: Option<DocumentId>,
    mut multipart: Multipart,
) -> Handled<Response> {
    let most = if replaces.is_some() { 1 } else { MAX_FILES };
    let mut outcomes = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(|e| cut_off(&e))? {
        let Some(name) = field.file_name().map(clean_name) else { continue };
        if outcomes.len() == most {
            return Err(Failure::invalid(
                "file",
                format!("한 번에 {most}개까지 올릴 수 있습니다. 나누어 올려 주세요."),
            ));
        }
        let outcome = take(app, reader, collection, replaces, &name, field).await;
        outcomes.push((name, outcome));
    }
    answer(outcomes)
}

/// One file's way in.
async fn take(
    app: &App,
    reader: &Reader,
    collection: CollectionId,
    replaces: Option<DocumentId>,
    name: &str,
    mut field: Field<'_>,
) -> Handled<AddedDocument> {
    let incoming = match receive(app, &mut field).await {
        Ok(incoming) => incoming,
        Err(failure) => {
            discard(&mut field).await;
            return Err(failure);
        }
    };
    let bytes = i64::try_from(incoming.written()).map_err(Failure::internal)?;
    if bytes == 0 {
        return Err(Failure::invalid("file", "빈 파일입니다. 내용이 있는 파일을 올려 주세요."));
    }
    let gate = app.originals.adding().await;
    let original = blocking::run(move || incoming.store()).await.map_err(Failure::internal)??;
    let (title, format) = split_name(name);
    let new = NewDocument { title, file_name: name.to_owned(), format, original: original.clone(), bytes, replaces };
    let added = app.store.add_document(reader.scope(), collection, new).await;
    drop(gate);
    if added.is_err() {
        sweep_originals(app, vec![original]).await;
    }
    app.ingest.wake();
    Ok(added?)
}

/// Streams a file to the disk.
async fn receive(app: &App, field: &mut Field<'_>) -> Handled<Incoming> {
    let most = app.settings.max_upload as u64;
    let originals = app.originals.clone();
    let mut incoming = blocking::run(move || originals.receive()).await.map_err(Failure::internal)??;
    let mut gathered = Vec::new();
    loop {
        let chunk = field.chunk().await.map_err(|e| cut_off(&e))?;
        let last = chunk.is_none();
        gathered.extend_from_slice(chunk.as_deref().unwrap_or_default());
        if incoming.written() + gathered.len() as u64 > most {
            return Err(too_large(most));
        }
        if gathered.len() >= CHUNK || last {
            let bytes = std::mem::take(&mut gathered);
            let (back, written) = blocking::run(move || {
                let written = incoming.write(&bytes);
                (incoming, written)
            })
            .await
            .map_err(Failure::internal)?;
            written?;
            incoming = back;
        }
        if last {
            return Ok(incoming);
        }
    }
}

async fn discard(field: &mut Field<'_>) {
    let mut read = 0;
    while let Ok(Some(chunk)) = field.chunk().await {
        read += chunk.len();
        if read > MAX_DISCARD {
            return;
        }
    }
}

fn too_large(most: u64) -> Failure {
    let message = format!("한 파일은 {}MB까지 올릴 수 있습니다. 나누어 올려 주세요.", most >> 20);
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn no_multipart(rejection: MultipartRejection) -> Failure {
    Failure::new(rejection.status(), "bad_request", "파일을 multipart/form-data 형식으로 보내 주세요.")
}

fn cut_off(error: &MultipartError) -> Failure {
    Failure::new(error.status(), "bad_request", "파일을 받다가 끊겼습니다. 다시 올려 주세요.")
}

/// One file that failed fails the request; of several, each tells its own, and the request fails when all did.
fn answer(outcomes: Vec<(String, Handled<AddedDocument>)>) -> Handled<Response> {
    let Some((_, first)) = outcomes.first() else {
        return Err(Failure::invalid("file", "올릴 파일이 없습니다. 파일을 골라 주세요."));
    };
    if let (1, Err(failure)) = (outcomes.len(), first) {
        return Err(failure.clone());
    }
    let failed =
        outcomes.iter().find_map(|(_, o)| o.as_ref().err()).filter(|_| outcomes.iter().all(|(_, o)| o.is_err()));
    let status = failed.map_or(StatusCode::CREATED, |f| f.status);
    let mut body = match (outcomes.len(), first) {
        (1, Ok(added)) => json!({ "id": added.id, "duplicate": added.duplicate }),
        _ => json!({}),
    };
    if let Some(failure) = failed {
        body["error"] = problem(failure);
    }
    let documents: Vec<Value> = outcomes
        .iter()
        .map(|(name, outcome)| match outcome {
            Ok(added) => json!({ "name": name, "id": added.id, "duplicate": added.duplicate }),
            Err(failure) => json!({ "name": name, "error": problem(failure) }),
        })
        .collect();
    body["documents"] = Value::Array(documents);
    Ok((status, Json(body)).into_response())
}

fn problem(failure: &Failure) -> Value {
    json!({ "code": failure.code, "message": failure.message })
}

//! Collections: making, changing, naming readers, asking who may read, deleting.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::ingest::sweep_originals;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::{CollectionId, DepartmentId, Grade};
use madang_store::auth::parse_id;
use madang_store::collection_changes::{CollectionChange, NewCollection};
use madang_store::collections::{CollectionReader, CollectionSummary, NamedReaders};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, change, delete))
        .routes(routes!(readers, set_readers))
}

/// Collections that the reader may read.
#[utoipa::path(get, path = "/api/v1/collections", tag = "collections", responses((status = 200, body = Vec<Object>)))]
async fn list(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<CollectionSummary>>> {
    Ok(Json(app.store.collection_summaries(reader.scope()).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewBody {
    name: String,
    #[serde(default)]
    description: String,
    /// Owning department, one of the reader's own; absent or empty: the reader.
    #[serde(default)]
    department: String,
    /// `C`, `S` or `O`.
    grade: String,
}

/// Makes a collection, readable by its owner alone.
#[utoipa::path(post, path = "/api/v1/collections", tag = "collections", request_body = NewBody, responses((status = 201, body = Created), (status = 403), (status = 422)))]
async fn create(
    State(app): State<App>,
    reader: Reader,
    Body(body): Body<NewBody>,
) -> Handled<(StatusCode, Json<Created>)> {
    let new = NewCollection {
        name: body.name,
        description: body.description,
        department: department(&body.department)?,
        grade: grade(&body.grade)?,
    };
    let id = app.store.create_collection(reader.scope(), new).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

#[derive(Serialize)]
struct One {
    #[serde(flatten)]
    summary: CollectionSummary,
    readers: NamedReaders,
    /// Published apps that look in it.
    apps: usize,
}

/// One collection, its named readers, and how many published apps look in it.
#[utoipa::path(get, path = "/api/v1/collections/{id}", tag = "collections", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn one(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<One>> {
    let id: CollectionId = parse_id(&id)?;
    let scope = reader.scope();
    Ok(Json(One {
        summary: app.store.collection_summary(scope, id).await?,
        readers: app.store.named_readers(scope, id).await?,
        apps: app.store.apps_using_collection(scope, id).await?,
    }))
}

#[derive(Deserialize, ToSchema)]
struct ChangeBody {
    name: Option<String>,
    description: Option<String>,
    /// `C`, `S` or `O`. Lowering takes a manager of the owning department and a reason.
    grade: Option<String>,
    /// Why the grade is lowered; recorded.
    reason: Option<String>,
    /// Hands a personal collection to one of the reader's departments.
    department: Option<String>,
}

/// Changes name, description, grade or owner.
#[utoipa::path(patch, path = "/api/v1/collections/{id}", tag = "collections", params(("id" = String, Path)), request_body = ChangeBody, responses((status = 204), (status = 403), (status = 404), (status = 422)))]
async fn change(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<ChangeBody>,
) -> Handled<StatusCode> {
    let change = CollectionChange {
        name: body.name,
        description: body.description,
        grade: body.grade.as_deref().map(grade).transpose()?,
        reason: body.reason,
        department: department(&body.department.unwrap_or_default())?,
    };
    let (id, regraded) = (parse_id(&id)?, change.grade.is_some());
    app.store.change_collection(reader.scope(), id, change).await?;
    if regraded {
        app.ingest.regraded(id);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a collection with its documents.
#[utoipa::path(delete, path = "/api/v1/collections/{id}", tag = "collections", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn delete(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    let deleted = app.store.delete_collection(reader.scope(), parse_id(&id)?).await?;
    app.ingest.removed(&deleted.documents);
    sweep_originals(&app, deleted.originals).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct Readers {
    #[serde(flatten)]
    named: NamedReaders,
    /// Everybody who may read now, and why.
    people: Vec<CollectionReader>,
}

/// Who may read: as named, and person by person.
#[utoipa::path(get, path = "/api/v1/collections/{id}/readers", tag = "collections", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn readers(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Readers>> {
    let id: CollectionId = parse_id(&id)?;
    let named = app.store.named_readers(reader.scope(), id).await?;
    let people = app.store.collection_readers(reader.scope(), id).await?;
    Ok(Json(Readers { named, people }))
}

#[derive(Deserialize, ToSchema)]
struct ReadersBody {
    #[serde(default)]
    everyone: bool,
    /// Departments beside the owner.
    #[serde(default)]
    departments: Vec<String>,
}

/// Names who may read beside the owner.
#[utoipa::path(put, path = "/api/v1/collections/{id}/readers", tag = "collections", params(("id" = String, Path)), request_body = ReadersBody, responses((status = 204), (status = 403), (status = 404), (status = 422)))]
async fn set_readers(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<ReadersBody>,
) -> Handled<StatusCode> {
    let departments = body.departments.iter().map(|d| known_department(d)).collect::<Handled<Vec<_>>>()?;
    app.store.set_collection_readers(reader.scope(), parse_id(&id)?, body.everyone, &departments).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn grade(text: &str) -> Handled<Grade> {
    text.parse().map_err(|_| Failure::invalid("grade", "등급을 골라 주세요: C, S, O."))
}

fn department(text: &str) -> Handled<Option<DepartmentId>> {
    if text.is_empty() { Ok(None) } else { known_department(text).map(Some) }
}

fn known_department(text: &str) -> Handled<DepartmentId> {
    text.parse().map_err(|_| Failure::invalid("department", "부서를 다시 골라 주세요."))
}

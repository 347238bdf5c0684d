//! Sharing: submitting a version, deciding on it, withdrawing, rolling back, forking, comparing versions.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::{Manager, Reader};
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::DesignSheet;
use madang_registry::diff::{self, SheetChange};
use madang_registry::leak::{Leak, leaks};
use madang_store::auth::parse_id;
use madang_store::sharing::{Submission, SubmissionDetail};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit))
        .routes(routes!(waiting))
        .routes(routes!(submission))
        .routes(routes!(approve))
        .routes(routes!(send_back))
        .routes(routes!(withdraw))
        .routes(routes!(unpublish))
        .routes(routes!(roll_back))
        .routes(routes!(fork))
        .routes(routes!(compare))
}

#[derive(Deserialize, ToSchema)]
struct NewSubmission {
    /// Number of the version; the latest when absent.
    version: Option<u32>,
    /// What gets better: for the manager.
    #[serde(default)]
    note: String,
}

/// Asks for a version to be put into the store. Its sheet is searched for personal identifiers first.
#[utoipa::path(post, path = "/api/v1/apps/{id}/submissions", tag = "sharing", params(("id" = String, Path)), request_body = NewSubmission,
    responses((status = 201, body = Created), (status = 403), (status = 404), (status = 409), (status = 422, description = "identifiers in the sheet, named by field")))]
async fn submit(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<NewSubmission>,
) -> Handled<(StatusCode, Json<Created>)> {
    let id = parse_id(&id)?;
    let scope = reader.scope();
    let version = match body.version {
        Some(number) => app.store.app_version(scope, id, number).await?,
        None => app.store.latest_version(scope, id).await?,
    };
    refuse_leaks(&version.sheet)?;
    let submission = app.store.submit(scope, id, version.id, &body.note).await?;
    Ok((StatusCode::CREATED, Created::new(submission)))
}

/// A sheet that everybody will read holds nobody's identifiers.
fn refuse_leaks(sheet: &DesignSheet) -> Handled<()> {
    let refused: Vec<Leak> = leaks(sheet).into_iter().filter(|l| l.refused).collect();
    let Some(first) = refused.first() else { return Ok(()) };
    let message =
        format!("설계서에 {}이(가) 있어 공유할 수 없습니다. 지우고 새 판으로 저장한 뒤 신청해 주세요.", first.what);
    let fields = refused.iter().map(|l| (l.field.clone(), format!("{}을(를) 지워 주세요.", l.what))).collect();
    Err(Failure { fields, ..Failure::invalid(&first.field, message) })
}

/// Submissions that wait for the reader's decision, oldest first.
#[utoipa::path(get, path = "/api/v1/submissions", tag = "sharing", responses((status = 200, body = Vec<Object>)))]
async fn waiting(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<Submission>>> {
    Ok(Json(app.store.submissions_to_decide(reader.scope()).await?))
}

#[derive(Serialize, ToSchema)]
struct Reviewed {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    detail: SubmissionDetail,
    #[schema(value_type = Object)]
    sheet: DesignSheet,
    /// What the leak test found.
    #[schema(value_type = Vec<Object>)]
    leaks: Vec<Leak>,
    /// Against the version in the store; empty when there is none.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<SheetChange>,
}

/// One submission with what its approver weighs.
#[utoipa::path(get, path = "/api/v1/submissions/{id}", tag = "sharing", params(("id" = String, Path)), responses((status = 200, body = Reviewed), (status = 404)))]
async fn submission(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Reviewed>> {
    let detail = app.store.submission(reader.scope(), parse_id(&id)?).await?;
    let sheet = detail.submission.sheet.clone();
    let changes = detail.published.as_ref().map(|(_, old)| diff::sentences(old, &sheet)).unwrap_or_default();
    Ok(Json(Reviewed { leaks: leaks(&sheet), changes, sheet, detail }))
}

#[derive(Deserialize, ToSchema)]
struct Reason {
    /// At most 400 characters.
    #[serde(default)]
    reason: String,
}

/// Puts the submitted version into the store.
#[utoipa::path(post, path = "/api/v1/submissions/{id}/approve", tag = "sharing", params(("id" = String, Path)), request_body = Reason,
    responses((status = 204), (status = 403, description = "not the manager, or their own"), (status = 404), (status = 409)))]
async fn approve(
    State(app): State<App>,
    Manager(reader): Manager,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<StatusCode> {
    app.store.approve_submission(reader.scope(), parse_id(&id)?, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a submission back with a reason.
#[utoipa::path(post, path = "/api/v1/submissions/{id}/return", tag = "sharing", params(("id" = String, Path)), request_body = Reason,
    responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn send_back(
    State(app): State<App>,
    Manager(reader): Manager,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<StatusCode> {
    app.store.return_submission(reader.scope(), parse_id(&id)?, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a waiting submission back.
#[utoipa::path(post, path = "/api/v1/submissions/{id}/withdraw", tag = "sharing", params(("id" = String, Path)),
    responses((status = 204), (status = 404), (status = 409)))]
async fn withdraw(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.withdraw_submission(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an app out of the store.
#[utoipa::path(post, path = "/api/v1/apps/{id}/unpublish", tag = "sharing", params(("id" = String, Path)), request_body = Reason,
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn unpublish(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<StatusCode> {
    app.store.unpublish(reader.scope(), parse_id(&id)?, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct NamedVersion {
    version: u32,
    /// For the record.
    #[serde(default)]
    reason: String,
}

/// Puts an earlier approved version in the place of the one in the store.
#[utoipa::path(post, path = "/api/v1/apps/{id}/rollback", tag = "sharing", params(("id" = String, Path)), request_body = NamedVersion,
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn roll_back(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<NamedVersion>,
) -> Handled<StatusCode> {
    app.store.roll_back(reader.scope(), parse_id(&id)?, body.version, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct ForkOf {
    /// Number of the version; the one in the store when absent.
    version: Option<u32>,
}

#[derive(Serialize, ToSchema)]
struct ForkMade {
    /// The new app.
    id: String,
    /// A draft of it, ready to be edited.
    draft: String,
    /// Names of source collections that the forker may not read, now "everything I may read".
    replaced: Vec<String>,
}

/// Copies a version into a new app of the reader's department and opens a draft of it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/fork", tag = "sharing", params(("id" = String, Path)), request_body = ForkOf,
    responses((status = 201, body = ForkMade), (status = 404)))]
async fn fork(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<ForkOf>,
) -> Handled<(StatusCode, Json<ForkMade>)> {
    let forked = app.store.fork(reader.scope(), parse_id(&id)?, body.version).await?;
    let draft = app.store.open_app_draft(reader.scope(), forked.app).await?;
    let made = ForkMade { id: forked.app.to_string(), draft: draft.to_string(), replaced: forked.replaced };
    Ok((StatusCode::CREATED, Json(made)))
}

/// What changed from version `a` to version `b`, sentence by sentence.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions/{a}/diff/{b}", tag = "sharing",
    params(("id" = String, Path), ("a" = u32, Path), ("b" = u32, Path)), responses((status = 200, body = Vec<Object>), (status = 404)))]
async fn compare(
    State(app): State<App>,
    reader: Reader,
    Path((id, a, b)): Path<(String, String, String)>,
) -> Handled<Json<Vec<SheetChange>>> {
    let id = parse_id(&id)?;
    let old = app.store.app_version(reader.scope(), id, parse_id(&a)?).await?;
    let new = app.store.app_version(reader.scope(), id, parse_id(&b)?).await?;
    Ok(Json(diff::sentences(&old.sheet, &new.sheet)))
}

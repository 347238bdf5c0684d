//! How long the texts of outside calls and of runs are kept, legal holds, and deletion now. For security officers and admins.

use super::Created;
use super::body::Body;
use super::words::checked_reason;
use crate::app::App;
use crate::auth::Reader;
use crate::desk::erasing;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_policy::time::CalendarDay;
use madang_store::erasures::{Erasure, Retained};
use madang_store::keeping::KeepingProposal;
use madang_store::retention::{Hold, HoldTarget, NewHold, Retention, TextKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Deletions listed.
pub const LISTED: i64 = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read, set))
        .routes(routes!(erase))
        .routes(routes!(items))
        .routes(routes!(hold))
        .routes(routes!(lift))
        .routes(routes!(confirm))
        .routes(routes!(decline))
}

#[derive(Serialize)]
struct View {
    retention: Vec<Retention>,
    retained: Vec<Retained>,
    holds: Vec<Hold>,
    /// What would let texts be deleted earlier and waits for a second person.
    proposals: Vec<KeepingProposal>,
    erasures: Vec<Erasure>,
}

/// Retention of each kind of texts and how much of it there is, holds, and deletions with their proofs.
#[utoipa::path(get, path = "/api/v1/outside/retention", tag = "review", responses((status = 200, body = Object), (status = 403)))]
async fn read(State(app): State<App>, reader: Reader) -> Handled<Json<View>> {
    let scope = reader.scope();
    Ok(Json(View {
        retention: app.store.retention(scope).await?,
        retained: app.store.retained(scope).await?,
        holds: app.store.holds(scope).await?,
        proposals: app.store.keeping_proposals(scope).await?,
        erasures: app.store.erasures(scope, LISTED).await?,
    }))
}

#[derive(Deserialize, ToSchema)]
struct Days {
    /// `outside_bodies` or `runs`.
    #[serde(default)]
    kind: String,
    #[serde(default)]
    days: i64,
    #[serde(default)]
    reason: String,
}

/// What became of a change.
#[derive(Serialize, ToSchema)]
struct Put {
    /// `in_force`, or `proposed` where a second person is needed.
    state: &'static str,
    /// The proposal.
    proposal: Option<String>,
}

impl Put {
    fn of(proposal: Option<String>) -> Json<Self> {
        Json(Self { state: if proposal.is_some() { "proposed" } else { "in_force" }, proposal })
    }
}

/// Sets how many days texts of a kind are kept, 365 to 3650. Fewer days are proposed by a security officer and confirmed
/// by a second person.
#[utoipa::path(put, path = "/api/v1/outside/retention", tag = "review", request_body = Days, responses((status = 200, body = Put), (status = 403), (status = 409), (status = 422)))]
async fn set(State(app): State<App>, reader: Reader, Body(body): Body<Days>) -> Handled<Json<Put>> {
    reader.require_browser()?;
    // The right first: who may not do it learns nothing of how it is done.
    app.store.retention(reader.scope()).await?;
    let reason = checked_reason(&app, &body.reason).await?;
    let kind: TextKind = body
        .kind
        .parse()
        .map_err(|_| Failure::invalid("kind", "외부호출의 글과 실행의 글 가운데 하나를 골라 주세요."))?;
    Ok(Put::of(app.store.set_retention(reader.scope(), kind, body.days, &reason).await?))
}

/// Deletes now what the daily job would delete.
#[utoipa::path(post, path = "/api/v1/outside/retention/erasures", tag = "review", responses((status = 200, body = erasing::Erased), (status = 403)))]
async fn erase(State(app): State<App>, reader: Reader) -> Handled<Json<erasing::Erased>> {
    reader.require_browser()?;
    app.store.retention(reader.scope()).await?;
    Ok(Json(erasing::erase(&app).await?))
}

/// Calls or runs of a deletion: id and HMAC of each, over which its digest is.
#[utoipa::path(get, path = "/api/v1/outside/retention/erasures/{id}", tag = "review", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 403)))]
async fn items(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Vec<(String, String)>>> {
    Ok(Json(app.store.erasure_items(reader.scope(), &id).await?))
}

#[derive(Deserialize, ToSchema)]
struct Asked {
    /// `call`, `run`, `app`, `person` or `period`.
    #[serde(default)]
    target: String,
    /// An identifier; for a person a login too.
    #[serde(default)]
    subject: String,
    /// First and last day of a period, `YYYY-MM-DD` in Korea.
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    reason: String,
}

/// Holds texts beyond their time.
#[utoipa::path(post, path = "/api/v1/outside/holds", tag = "review", request_body = Asked, responses((status = 201, body = Created), (status = 403), (status = 422)))]
async fn hold(
    State(app): State<App>,
    reader: Reader,
    Body(asked): Body<Asked>,
) -> Handled<(StatusCode, Json<Created>)> {
    reader.require_browser()?;
    app.store.retention(reader.scope()).await?;
    let reason = checked_reason(&app, &asked.reason).await?;
    let target: HoldTarget = asked
        .target
        .parse()
        .map_err(|_| Failure::invalid("target", "외부호출, 실행, 앱, 직원, 기간 가운데 하나를 골라 주세요."))?;
    let day = |field: &str, text: &str| match (target, text.trim()) {
        (HoldTarget::Period, text) => CalendarDay::try_from(text.to_owned())
            .map(Some)
            .map_err(|_| Failure::invalid(field, "날짜를 2026-11-22처럼 적어 주세요.")),
        _ => Ok(None),
    };
    let new = NewHold {
        target,
        subject: &asked.subject,
        from: day("from", &asked.from)?.map(CalendarDay::starts_ms),
        until: day("to", &asked.to)?.map(CalendarDay::ends_ms),
        reason: &reason,
    };
    Ok((StatusCode::CREATED, Created::new(app.store.place_hold(reader.scope(), new).await?)))
}

#[derive(Deserialize, ToSchema)]
struct Lifted {
    #[serde(default)]
    reason: String,
}

/// A security officer proposes to lift a hold; a second person confirms it.
#[utoipa::path(post, path = "/api/v1/outside/holds/{id}/lift", tag = "review", params(("id" = String, Path)), request_body = Lifted, responses((status = 200, body = Put), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn lift(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Lifted>,
) -> Handled<Json<Put>> {
    reader.require_browser()?;
    app.store.retention(reader.scope()).await?;
    let reason = checked_reason(&app, &body.reason).await?;
    Ok(Put::of(Some(app.store.lift_hold(reader.scope(), &id, &reason).await?)))
}

/// The second person puts a shorter retention into force, or lifts a hold: another security officer than the proposer, an
/// admin where there is none.
#[utoipa::path(post, path = "/api/v1/outside/retention/changes/{id}/confirm", tag = "review", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn confirm(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.store.confirm_keeping(reader.scope(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The second person declines it, or its proposer takes it back.
#[utoipa::path(post, path = "/api/v1/outside/retention/changes/{id}/decline", tag = "review", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn decline(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.store.decline_keeping(reader.scope(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

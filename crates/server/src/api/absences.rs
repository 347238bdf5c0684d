//! Times in which security officers and managers are away, said by themselves.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::pages::when;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_store::absences::Absence;
use madang_store::auth::parse_id;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// Absences that are not over. For security officers and managers.
#[utoipa::path(get, path = "/api/v1/absences", tag = "policy", responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn list(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<Absence>>> {
    Ok(Json(app.store.absences(reader.scope()).await?))
}

#[derive(Deserialize, ToSchema)]
struct Away {
    /// Korean time, such as `2026-11-23T09:00`.
    from: String,
    until: String,
}

/// Says that the reader is away: those who stand in for them may decide meanwhile.
#[utoipa::path(post, path = "/api/v1/absences", tag = "policy", request_body = Away, responses((status = 201, body = Created), (status = 403), (status = 409), (status = 422)))]
async fn add(State(app): State<App>, reader: Reader, Body(body): Body<Away>) -> Handled<(StatusCode, Json<Created>)> {
    // The right comes before the form.
    app.store.absences(reader.scope()).await?;
    let (from, until) = (moment("from", &body.from)?, moment("until", &body.until)?);
    let id = app.store.add_absence(reader.scope(), from, until).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

/// Takes back an absence of the reader's own.
#[utoipa::path(delete, path = "/api/v1/absences/{id}", tag = "policy", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn remove(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.remove_absence(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unix milliseconds of a time in Korea.
fn moment(field: &str, text: &str) -> Handled<i64> {
    let local = text.trim().parse::<jiff::civil::DateTime>().ok();
    let zoned = local.and_then(|local| local.to_zoned(when::korea()).ok());
    zoned.map(|z| z.timestamp().as_millisecond()).ok_or_else(|| Failure::invalid(field, "날짜와 시각을 골라 주세요."))
}

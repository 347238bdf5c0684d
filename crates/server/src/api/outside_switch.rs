//! The emergency stop: everybody may know it, security officers and admins stop, a security officer opens again.

use super::body::Body;
use crate::app::App;
use crate::auth::{Reader, Security};
use crate::error::Handled;
use axum::Json;
use axum::extract::State;
use madang_store::outside_switch::OutsideSwitch;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(stop)).routes(routes!(resume))
}

#[derive(Deserialize, ToSchema)]
struct Moved {
    /// Why; kept in the record.
    reason: String,
}

/// Does anything leave at all?
#[utoipa::path(get, path = "/api/v1/outside/switch", tag = "outside", responses((status = 200, body = Object)))]
async fn read(State(app): State<App>, _: Reader) -> Handled<Json<OutsideSwitch>> {
    Ok(Json(app.store.outside_switch().await?))
}

/// Stops everything outside, what is on its way too: it counts as sent.
#[utoipa::path(post, path = "/api/v1/outside/switch/stop", tag = "outside", request_body = Moved, responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn stop(State(app): State<App>, reader: Reader, Body(body): Body<Moved>) -> Handled<Json<OutsideSwitch>> {
    reader.require_browser()?;
    Ok(Json(app.gateway.stop_outside(reader.scope(), &body.reason).await?))
}

/// Opens the way out again.
#[utoipa::path(post, path = "/api/v1/outside/switch/resume", tag = "outside", request_body = Moved, responses((status = 200, body = Object), (status = 403), (status = 409), (status = 422)))]
async fn resume(
    State(app): State<App>,
    Security(reader): Security,
    Body(body): Body<Moved>,
) -> Handled<Json<OutsideSwitch>> {
    Ok(Json(app.gateway.resume_outside(reader.scope(), &body.reason).await?))
}

//! Outside providers, for the admin: registered switched off; the key goes in and never comes out.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Admin;
use crate::error::Handled;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_store::auth::parse_id;
use madang_store::providers::Provider;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(remove))
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    provider: Provider,
    /// Last letters of the key.
    key_hint: String,
}

/// All providers.
#[utoipa::path(get, path = "/api/v1/providers", tag = "outside", responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn list(State(app): State<App>, Admin(reader): Admin) -> Handled<Json<Vec<Listed>>> {
    let all = app.gateway.providers(reader.scope()).await?;
    Ok(Json(all.into_iter().map(|(provider, key_hint)| Listed { provider, key_hint }).collect()))
}

#[derive(Deserialize, ToSchema)]
struct NewProvider {
    name: String,
    /// Base of an OpenAI-compatible API, such as `https://api.example.kr/v1`.
    base_url: String,
    model: String,
    api_key: String,
}

/// Registers a provider, switched off.
#[utoipa::path(post, path = "/api/v1/providers", tag = "outside", request_body = NewProvider, responses((status = 201, body = Created), (status = 403), (status = 422)))]
async fn create(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<NewProvider>,
) -> Handled<(StatusCode, Json<Created>)> {
    let id = app.gateway.add_provider(reader.scope(), &body.name, &body.base_url, &body.model, &body.api_key).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

/// Switches a provider on.
#[utoipa::path(post, path = "/api/v1/providers/{id}/enable", tag = "outside", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn enable(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.set_provider_enabled(reader.scope(), parse_id(&id)?, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Switches a provider off: what is approved for it cannot be sent.
#[utoipa::path(post, path = "/api/v1/providers/{id}/disable", tag = "outside", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn disable(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.set_provider_enabled(reader.scope(), parse_id(&id)?, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a provider and its key; calls that wait for it are cancelled.
#[utoipa::path(delete, path = "/api/v1/providers/{id}", tag = "outside", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404)))]
async fn remove(State(app): State<App>, Admin(reader): Admin, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.delete_provider(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

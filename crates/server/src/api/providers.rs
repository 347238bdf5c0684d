//! Outside providers, for the admin: registered switched off; the key goes in and never comes out.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Admin;
use crate::error::Handled;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_gateway::{Circuit, Registration, WireForm};
use madang_store::auth::parse_id;
use madang_store::providers::{Edited, Patience, Provider};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(edit, remove))
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    provider: Provider,
    /// Last letters of the key.
    key_hint: String,
    /// `closed`, `open` (nothing is tried for a while) or `half_open` (one call is).
    circuit: &'static str,
    /// Until when it is open, Unix milliseconds.
    open_until: Option<i64>,
}

fn circuit(circuit: Circuit) -> (&'static str, Option<i64>) {
    match circuit {
        Circuit::Closed => ("closed", None),
        Circuit::Open { until } => ("open", Some(until)),
        Circuit::HalfOpen => ("half_open", None),
    }
}

/// All providers.
#[utoipa::path(get, path = "/api/v1/providers", tag = "outside", responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn list(State(app): State<App>, Admin(reader): Admin) -> Handled<Json<Vec<Listed>>> {
    let all = app.gateway.providers(reader.scope()).await?;
    let listed = all.into_iter().map(|(provider, key_hint)| {
        let (circuit, open_until) = circuit(app.gateway.circuit(provider.id));
        Listed { provider, key_hint, circuit, open_until }
    });
    Ok(Json(listed.collect()))
}

#[derive(Deserialize, ToSchema)]
struct NewProvider {
    name: String,
    /// Base of the API, such as `https://api.example.kr/v1`: what comes after it is the form's.
    base_url: String,
    /// Name of the model or, for Azure, of the deployment.
    model: String,
    api_key: String,
    /// `openai` (default), `anthropic`, `azure` or `clova`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    wire: WireForm,
    /// For Azure: the version of the API.
    #[serde(default)]
    api_version: String,
    /// Most tokens of a reply; 2,048 when absent.
    max_output_tokens: Option<u32>,
    /// Have replies come as a stream.
    #[serde(default)]
    stream: bool,
    /// SHA-256 of public keys, base64: the provider's certificate must have one of them, beside verifying.
    #[serde(default)]
    pins: Vec<String>,
    /// PEM of the only authority that is trusted; empty: the machine's.
    #[serde(default)]
    authority: String,
    /// PEM of the client's certificate and key, sealed like the API key.
    #[serde(default)]
    identity: String,
    /// Seconds until a connection stands, until the reply begins, and for the whole call.
    connect_seconds: Option<u32>,
    first_byte_seconds: Option<u32>,
    total_seconds: Option<u32>,
}

impl NewProvider {
    fn registration(&self) -> Registration<'_> {
        let usual = Registration::default();
        let ms = |seconds: Option<u32>, usual| seconds.map_or(usual, |s| u64::from(s) * 1000);
        Registration {
            name: &self.name,
            base_url: &self.base_url,
            model: &self.model,
            api_key: &self.api_key,
            wire: self.wire,
            api_version: &self.api_version,
            max_output_tokens: self.max_output_tokens.unwrap_or(usual.max_output_tokens),
            stream: self.stream,
            pins: &self.pins,
            authority: &self.authority,
            identity: &self.identity,
            patience: Patience {
                connect_ms: ms(self.connect_seconds, usual.patience.connect_ms),
                first_byte_ms: ms(self.first_byte_seconds, usual.patience.first_byte_ms),
                total_ms: ms(self.total_seconds, usual.patience.total_ms),
            },
        }
    }
}

/// Registers a provider, switched off.
#[utoipa::path(post, path = "/api/v1/providers", tag = "outside", request_body = NewProvider, responses((status = 201, body = Created), (status = 403), (status = 422)))]
async fn create(
    State(app): State<App>,
    Admin(reader): Admin,
    Body(body): Body<NewProvider>,
) -> Handled<(StatusCode, Json<Created>)> {
    let id = app.gateway.add_provider(reader.scope(), &body.registration()).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
struct ProviderChange {
    name: Option<String>,
    base_url: Option<String>,
    model: Option<String>,
    /// Empty or absent: the key that is kept stays.
    #[serde(default)]
    api_key: String,
    /// `openai`, `anthropic`, `azure` or `clova`.
    #[schema(value_type = Option<String>)]
    wire: Option<WireForm>,
    api_version: Option<String>,
    max_output_tokens: Option<u32>,
    stream: Option<bool>,
    pins: Option<Vec<String>>,
    authority: Option<String>,
    /// Empty or absent: what is kept stays, unless `remove_identity`.
    #[serde(default)]
    identity: String,
    #[serde(default)]
    remove_identity: bool,
    connect_seconds: Option<u32>,
    first_byte_seconds: Option<u32>,
    total_seconds: Option<u32>,
}

impl ProviderChange {
    /// The provider as it shall be.
    fn registration<'a>(&'a self, now: &'a Provider) -> Registration<'a> {
        let ms = |seconds: Option<u32>, now| seconds.map_or(now, |s| u64::from(s) * 1000);
        Registration {
            name: self.name.as_deref().unwrap_or(&now.name),
            base_url: self.base_url.as_deref().unwrap_or(&now.base_url),
            model: self.model.as_deref().unwrap_or(&now.model),
            api_key: &self.api_key,
            wire: self.wire.unwrap_or(now.wire),
            api_version: self.api_version.as_deref().unwrap_or(&now.api_version),
            max_output_tokens: self.max_output_tokens.unwrap_or(now.max_output_tokens),
            stream: self.stream.unwrap_or(now.stream),
            pins: self.pins.as_deref().unwrap_or(&now.pins),
            authority: self.authority.as_deref().unwrap_or(&now.authority),
            identity: &self.identity,
            patience: Patience {
                connect_ms: ms(self.connect_seconds, now.patience.connect_ms),
                first_byte_ms: ms(self.first_byte_seconds, now.patience.first_byte_ms),
                total_ms: ms(self.total_seconds, now.patience.total_ms),
            },
        }
    }
}

/// Changes a provider. Another address, form, model, pin or authority switches it off and takes back the calls that
/// waited for it or were approved.
#[utoipa::path(patch, path = "/api/v1/providers/{id}", tag = "outside", params(("id" = String, Path)), request_body = ProviderChange, responses((status = 200, body = Object), (status = 403), (status = 404), (status = 422)))]
async fn edit(
    State(app): State<App>,
    Admin(reader): Admin,
    Path(id): Path<String>,
    Body(body): Body<ProviderChange>,
) -> Handled<Json<Edited>> {
    let id = parse_id(&id)?;
    let (now, _) = app.gateway.provider(reader.scope(), id).await?;
    let typed = body.registration(&now);
    Ok(Json(app.gateway.edit_provider(reader.scope(), id, &typed, body.remove_identity).await?))
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

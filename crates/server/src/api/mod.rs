//! The JSON API under `/api/v1`: one file per resource, everything a screen does, described by an OpenAPI document
//! at `/api/v1/openapi.json`; and the routes of OpenAI's clients under `/v1`.

pub mod absences;
pub mod apps;
pub mod body;
pub mod calls;
pub mod collections;
pub mod dictionary;
pub mod directory;
pub mod documents;
pub mod drafts;
pub mod folders;
pub mod ledger;
mod ledger_export;
pub mod ledger_signing;
pub mod model_servers;
pub mod models;
pub mod openai;
pub mod outside_switch;
pub mod policy;
pub mod providers;
pub mod retention;
pub mod review_calls;
pub mod review_desk;
pub mod runs;
pub mod search;
pub mod session;
pub mod sharing;
pub mod store;
pub mod synonyms;
pub mod tokens;
pub mod tools;
pub mod uploads;
pub mod words;

use crate::app::App;
use axum::Json;
use axum::Router;
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Madang",
        description = "Errors are `{\"error\": {\"code\", \"message\", \"field\"?, \"fields\"?, \"reference\"?}}` with a Korean message that says what to do. Scripts authenticate with a personal access token; browsers with a session cookie and, for changes, the `X-CSRF-Token` header."
    ),
    modifiers(&Credentials),
    security(("token" = []), ("session" = []))
)]
struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("madang_session")));
        components.add_security_scheme("session", cookie);
    }
}

/// Identifier of something just created.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    pub id: String,
}

impl Created {
    pub fn new(id: impl ToString) -> Json<Self> {
        Json(Self { id: id.to_string() })
    }
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(session::router())
        .merge(tokens::router())
        .merge(directory::router())
        .merge(sharing::router())
        .merge(store::router())
        .merge(apps::router())
        .merge(drafts::router())
        .merge(runs::router())
        .merge(providers::router())
        .merge(outside_switch::router())
        .merge(calls::router())
        .merge(policy::router())
        .merge(absences::router())
        .merge(review_calls::router())
        .merge(review_desk::router())
        .merge(retention::router())
        .merge(ledger::router())
        .merge(collections::router())
        .merge(documents::router())
        .merge(folders::router())
        .merge(uploads::router())
        .merge(search::router())
        .merge(tools::router())
        .merge(dictionary::router())
        .merge(synonyms::router())
        .merge(models::router())
        .merge(model_servers::router())
        .merge(openai::router())
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().split_for_parts().1
}

/// All API routes and the document that describes them.
pub fn router() -> Router<App> {
    let (router, document) = described().split_for_parts();
    router.route("/api/v1/openapi.json", get(async move || Json(document)))
}

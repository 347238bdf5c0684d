//! Personal access tokens: hashed, scoped, expiring.

use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::TokenScope;
use madang_store::auth::{TokenView, parse_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// The reader's tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = Vec<Object>)))]
async fn list(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<TokenView>>> {
    reader.require_browser()?;
    Ok(Json(app.store.tokens(reader.scope()).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewToken {
    name: String,
    /// `read`, `run` or `write`.
    scope: String,
    /// Life in days, 1 to 365.
    days: i64,
}

#[derive(Serialize, ToSchema)]
struct CreatedToken {
    id: String,
    /// Shown this once.
    secret: String,
}

/// Creates a token; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken, responses((status = 201, body = CreatedToken), (status = 422)))]
async fn create(
    State(app): State<App>,
    reader: Reader,
    Body(body): Body<NewToken>,
) -> Handled<(StatusCode, Json<CreatedToken>)> {
    reader.require_browser()?;
    let scope = TokenScope::ALL
        .into_iter()
        .find(|s| s.as_str() == body.scope)
        .ok_or_else(|| Failure::invalid("scope", "토큰 권한을 골라 주세요: 읽기, 실행, 쓰기."))?;
    let (id, secret) = app.store.create_token(reader.scope(), &body.name, scope, body.days).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { id: id.to_string(), secret })))
}

/// Revokes a token at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn revoke(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.store.revoke_token(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

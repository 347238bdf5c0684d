//! Signing in and out, the first set-up, the reader's own account.

use super::body::Body;
use crate::app::App;
use crate::auth::{Address, Reader, check_origin};
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};
use madang_store::auth::{HeldPost, SessionView, parse_id};
use madang_store::people::NewPerson;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_in, sign_out))
        .routes(routes!(sessions, sign_out_everywhere))
        .routes(routes!(end_session))
        .routes(routes!(set_up))
        .routes(routes!(me))
        .routes(routes!(change_password))
}

#[derive(Deserialize, ToSchema)]
struct SignIn {
    login: String,
    password: String,
    /// Path to go to afterwards.
    #[serde(default)]
    next: String,
}

#[derive(Serialize, ToSchema)]
struct SignedIn {
    /// A path of this server.
    next: String,
}

/// Signs in: sets the session cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn,
    responses((status = 200, body = SignedIn), (status = 401, description = "wrong name or password"), (status = 429, description = "locked")), security(()))]
async fn sign_in(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Body(body): Body<SignIn>,
) -> Handled<Response> {
    check_origin(&headers)?;
    let login = body.login.trim().to_lowercase();
    let record = app.store.login_record(&login).await?;
    let now = app.store.now();
    if let Some(until) = record.as_ref().and_then(|r| r.locked_until).filter(|until| *until > now) {
        let seconds = u64::try_from((until - now) / 1000 + 1).unwrap_or(1);
        return Err(Failure::busy(
            "비밀번호를 여러 번 틀려 잠시 잠겼습니다. 10분 뒤 다시 하거나 운영자에게 문의하세요.",
            seconds,
        ));
    }
    let matches = app.passwords.verify(&body.password, record.as_ref().map(|r| r.password_hash.as_str())).await?;
    let Some(record) = record.as_ref().filter(|r| matches && r.active) else {
        app.store.note_failed_sign_in(record.as_ref().map(|r| r.person), &login, &address.0).await?;
        return Err(Failure::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "아이디나 비밀번호가 맞지 않습니다."));
    };
    let agent = headers.get(header::USER_AGENT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    let secret = app.store.open_session(record.person, &address.0, agent).await?;
    let next = if is_own_path(&body.next) { body.next } else { "/".to_owned() };
    Ok(with_cookie(&app, &secret, Json(SignedIn { next }).into_response()))
}

/// A path of this server and nothing that a browser reads as another host.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && !path.chars().any(char::is_control)
}

fn with_cookie(app: &App, secret: &str, mut response: Response) -> Response {
    let mut cookie = Cookie::build((app.cookie_name(), secret.to_owned()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.settings.is_https());
    if secret.is_empty() {
        cookie = cookie.removal();
    }
    if let Ok(value) = HeaderValue::from_str(&cookie.build().to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Signs out of this browser.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204)))]
async fn sign_out(State(app): State<App>, reader: Reader) -> Handled<Response> {
    reader.require_browser()?;
    if let Some(session) = reader.session() {
        app.store.end_session(reader.scope(), session).await?;
    }
    Ok(with_cookie(&app, "", StatusCode::NO_CONTENT.into_response()))
}

/// Browsers in which the reader is signed in.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", responses((status = 200, body = Vec<Object>)))]
async fn sessions(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<SessionView>>> {
    reader.require_browser()?;
    Ok(Json(app.store.sessions(reader.scope()).await?))
}

/// Signs out everywhere, this browser too.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "session", responses((status = 204)))]
async fn sign_out_everywhere(State(app): State<App>, reader: Reader) -> Handled<Response> {
    reader.require_browser()?;
    app.store.end_all_sessions(reader.scope()).await?;
    Ok(with_cookie(&app, "", StatusCode::NO_CONTENT.into_response()))
}

/// Signs out of one other browser.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "session", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn end_session(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.store.end_session(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct SetUp {
    /// Secret of the one-time link that the server printed.
    token: String,
    /// Department of the first admin.
    department: String,
    /// Title of their post.
    post: String,
    /// Name of the public body, shown on every page.
    #[serde(default)]
    body_name: String,
    login: String,
    name: String,
    password: String,
}

/// Creates the first admin with the one-time link and signs them in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "session", request_body = SetUp,
    responses((status = 200, body = SignedIn), (status = 403), (status = 409)), security(()))]
async fn set_up(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Body(body): Body<SetUp>,
) -> Handled<Response> {
    check_origin(&headers)?;
    if !app.is_setup_token(&body.token).await? {
        return Err(Failure::denied("이미 썼거나 맞지 않는 설정 링크입니다. 서버가 출력한 링크를 다시 확인해 주세요."));
    }
    let password_hash = app.passwords.hash(&body.password).await?;
    let person =
        NewPerson { login: body.login.trim().to_lowercase(), name: body.name, password_hash, posts: Vec::new() };
    let person = app.store.create_first_admin(&body.department, &body.post, person).await?;
    if !body.body_name.trim().is_empty() {
        app.store.set_meta("body_name", Some(body.body_name.trim())).await?;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    let secret = app.store.open_session(person, &address.0, agent).await?;
    Ok(with_cookie(&app, &secret, Json(SignedIn { next: "/admin".to_owned() }).into_response()))
}

#[derive(Serialize, ToSchema)]
struct Me {
    id: String,
    login: String,
    name: String,
    #[schema(value_type = Vec<Object>)]
    posts: Vec<HeldPost>,
}

/// The reader.
#[utoipa::path(get, path = "/api/v1/me", tag = "session", responses((status = 200, body = Me)))]
async fn me(reader: Reader) -> Json<Me> {
    let identity = reader.identity;
    Json(Me {
        id: identity.scope.person().to_string(),
        login: identity.login,
        name: identity.name,
        posts: identity.posts,
    })
}

#[derive(Deserialize, ToSchema)]
struct ChangePassword {
    current: String,
    password: String,
}

/// Changes the reader's password and signs out everywhere.
#[utoipa::path(put, path = "/api/v1/me/password", tag = "session", request_body = ChangePassword, responses((status = 204), (status = 422)))]
async fn change_password(
    State(app): State<App>,
    reader: Reader,
    Body(body): Body<ChangePassword>,
) -> Handled<Response> {
    reader.require_browser()?;
    let stored = app.store.own_password_hash(reader.scope()).await?;
    if !app.passwords.verify(&body.current, Some(&stored)).await? {
        return Err(Failure::invalid("current", "지금 비밀번호가 맞지 않습니다."));
    }
    let hash = app.passwords.hash(&body.password).await?;
    app.store.change_own_password(reader.scope(), &hash).await?;
    Ok(with_cookie(&app, "", StatusCode::NO_CONTENT.into_response()))
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn next_stays_on_this_server() {
        assert!(is_own_path("/store?task=summary"));
        for bad in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\nb"] {
            assert!(!is_own_path(bad), "{bad:?}");
        }
    }
}

//! The router: pages, API, assets, health, and the layers around them all: security headers, body limits, panics
//! turned into answers, failures shown as pages to people.

use crate::app::App;
use crate::error::Failure;
use crate::signing::Signing;
use crate::views::Lang;
use crate::views::home::ErrorPage;
use crate::{api, assets, auth, pages};
use askama::Template;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use madang_store::StoreError;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

/// Largest JSON body, bytes; uploads set their own limit.
const MAX_JSON: usize = 2 * 1024 * 1024;

const CSP: &str = "default-src 'self'; img-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// All routes of the application.
pub fn router(app: App) -> Router {
    // A stream must not wait in a compressor's buffer.
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new("text/event-stream"));
    Router::new()
        .merge(pages::router())
        .merge(api::router())
        .route("/assets/{*path}", get(assets::serve))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async || {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "이 주소에서는 할 수 없는 요청입니다.")
        })
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(middleware::from_fn_with_state(app.clone(), show_failures))
        .layer(CatchPanicLayer::custom(|_| Failure::internal("panic in a handler").into_response()))
        .layer(middleware::from_fn_with_state(app.clone(), security_headers))
        .layer(CompressionLayer::new().compress_when(compressible))
        .with_state(app)
}

/// The process runs.
async fn healthz() -> &'static str {
    "ok"
}

/// What monitoring reads.
#[derive(Serialize)]
struct Readiness {
    /// `ready`, or `degraded`: people can work, and somebody has to look.
    status: &'static str,
    ledger: Signing,
}

/// The database answers. A record that cannot be signed takes nobody's work away, since records go on being appended:
/// it is said in the answer, whose status stays 200.
async fn readyz(State(app): State<App>) -> Result<Json<Readiness>, Failure> {
    let failed = |error: StoreError| {
        tracing::error!(%error, "not ready");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "데이터베이스가 응답하지 않습니다.")
    };
    app.store.ping().await.map_err(failed)?;
    let ledger = app.signer.state().await.map_err(failed)?;
    Ok(Json(Readiness { status: if ledger.signed { "ready" } else { "degraded" }, ledger }))
}

async fn security_headers(State(app): State<App>, request: Request, next: Next) -> Response {
    let cacheable = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CSP);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    if app.settings.is_https() {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if !cacheable {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// A person sees a page where a script sees a JSON problem; one who is not signed in is led to the sign-in page.
async fn show_failures(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map(|p| p.as_str().to_owned()).unwrap_or_default();
    let lang = auth::lang_of(request.headers());
    let for_person = request.method() == Method::GET
        && !path.starts_with("/api/")
        && request.headers().get(header::ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    let response = next.run(request).await;
    let Some(failure) = response.extensions().get::<Failure>().cloned() else { return response };
    if !for_person {
        // A page script shows the message as it comes; whoever asks without a language reads Korean.
        return if lang == Lang::Ko { response } else { failure.said_in(lang).into_response() };
    }
    if failure.status == StatusCode::UNAUTHORIZED {
        return pages::to_sign_in(&path);
    }
    let title = match failure.status {
        StatusCode::NOT_FOUND => "찾을 수 없습니다",
        StatusCode::FORBIDDEN => "볼 권한이 없습니다",
        _ => "문제가 생겼습니다",
    };
    let page = ErrorPage {
        l: lang,
        body_name: app.settings.body_name.clone(),
        status: failure.status.as_u16(),
        title: lang.t(title).to_owned(),
        message: lang.said(&failure.message),
        reference: failure.reference,
    };
    match page.render() {
        Ok(html) => (failure.status, Html(html)).into_response(),
        Err(_) => (failure.status, Body::from(failure.message)).into_response(),
    }
}

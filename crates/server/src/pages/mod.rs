//! Pages: GET requests that read and render. Everything that changes something is the API's.

pub mod account;
pub mod admin;
pub mod app_page;
pub mod build;
mod changes;
pub mod collections;
mod desk_calls;
mod desk_keeping;
mod desk_months;
pub mod documents;
pub mod home;
pub mod ledger;
pub mod models;
pub mod outside;
mod pii;
pub mod policy;
pub mod providers;
pub mod records;
pub mod review;
pub mod run;
pub mod search;
pub mod size;
pub mod store;
pub mod when;
mod words;

use crate::app::App;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

/// Every page: its path and handler. The rights test reads this list, so a page cannot be forgotten there.
fn all() -> Vec<(&'static str, MethodRouter<App>)> {
    let mut pages = Vec::new();
    pages.extend(account::pages());
    pages.extend(admin::pages());
    pages.extend(app_page::pages());
    pages.extend(home::pages());
    pages.extend(review::pages());
    pages.extend(desk_calls::pages());
    pages.extend(desk_months::pages());
    pages.extend(desk_keeping::pages());
    pages.extend(store::pages());
    pages.extend(words::pages());
    pages.extend(build::pages());
    pages.extend(run::pages());
    pages.extend(outside::pages());
    pages.extend(models::pages());
    pages.extend(providers::pages());
    pages.extend(policy::pages());
    pages.extend(ledger::pages());
    pages.extend(records::pages());
    pages.extend(collections::pages());
    pages.extend(documents::pages());
    pages.extend(search::pages());
    pages.extend(pii::pages());
    pages
}

/// Paths of all pages, as the router knows them.
pub fn paths() -> Vec<&'static str> {
    all().into_iter().map(|(path, _)| path).collect()
}

pub fn router() -> Router<App> {
    all().into_iter().fold(Router::new(), |router, (path, page)| router.route(path, page))
}

/// One page.
fn page<H, T>(path: &'static str, handler: H) -> (&'static str, MethodRouter<App>)
where
    H: axum::handler::Handler<T, App>,
    T: 'static,
{
    (path, get(handler))
}

/// Leads to the sign-in page and back to `path` afterwards.
pub fn to_sign_in(path: &str) -> Response {
    redirect(&format!("/sign-in?next={}", encode(path)))
}

/// 303 to a path of this server.
pub fn redirect(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.to_owned())]).into_response()
}

/// Percent-encodes a value for a query string.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => (b as char).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

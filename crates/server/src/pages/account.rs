//! Signing in, the first set-up, the language switch, one's own account.

use super::{page, redirect, when};
use crate::app::App;
use crate::auth::{Reader, lang_of};
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::views::Lang;
use crate::views::account::{ProfilePage, SessionRow, SetupPage, SignInPage, TokenRow};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::Deserialize;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        page("/sign-in", sign_in),
        page("/setup/{token}", set_up),
        page("/language/{code}", language),
        page("/profile", profile),
    ]
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
    #[serde(default)]
    expired: Option<String>,
}

async fn sign_in(State(app): State<App>, headers: HeaderMap, Query(query): Query<Next>) -> Page {
    render(SignInPage {
        l: lang_of(&headers),
        body_name: app.body_name().await?,
        csrf: String::new(),
        next: query.next,
        expired: query.expired.is_some(),
    })
}

async fn set_up(State(app): State<App>, headers: HeaderMap, Path(token): Path<String>) -> Page {
    let valid = app.is_setup_token(&token).await?;
    render(SetupPage { l: lang_of(&headers), csrf: String::new(), token, valid })
}

/// Sets the language cookie and goes back.
async fn language(Path(code): Path<String>, Query(query): Query<Next>) -> Response {
    let code = Lang::from_code(&code).code();
    let next = if query.next.starts_with('/') && !query.next.starts_with("//") && !query.next.contains('\\') {
        query.next.as_str()
    } else {
        "/"
    };
    let mut response = redirect(next).into_response();
    let cookie = format!("madang_lang={code}; Path=/; Max-Age=31536000; SameSite=Lax");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

async fn profile(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let now = app.store.now();
    let l = reader.lang;
    let current = reader.session();
    let sessions = app.store.sessions(reader.scope()).await?;
    let tokens = app.store.tokens(reader.scope()).await?;
    render(ProfilePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        login: reader.identity.login.clone(),
        posts: reader.identity.posts.iter().map(|p| (p.department_name.clone(), p.title.clone())).collect(),
        sessions: sessions
            .into_iter()
            .map(|s| SessionRow {
                id: s.id,
                device: device(&s.user_agent),
                address: s.address,
                last_seen: when::ago(s.last_seen, now, l),
                current: Some(s.id) == current,
            })
            .collect(),
        tokens: tokens.into_iter().filter(|t| !t.revoked).map(|t| token_row(t, now, l)).collect::<Handled<_>>()?,
    })
}

fn token_row(token: madang_store::auth::TokenView, now: i64, l: Lang) -> Handled<TokenRow> {
    let scope = madang_domain::TokenScope::ALL.into_iter().find(|s| s.as_str() == token.scope);
    Ok(TokenRow {
        id: token.id,
        name: token.name,
        scope: scope.map_or("", |s| s.as_str()),
        created: when::date(token.created_at),
        expires: when::date(token.expires_at),
        last_used: token.last_used.map(|at| when::ago(at, now, l)),
    })
}

/// Browser and system in a word each, from the user agent.
fn device(agent: &str) -> String {
    let find = |names: &[(&'static str, &'static str)]| names.iter().find(|(k, _)| agent.contains(k)).map(|(_, v)| *v);
    let browser = find(&[
        ("Whale", "Whale"),
        ("Edg", "Edge"),
        ("Firefox", "Firefox"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    ]);
    let system = find(&[
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(b), Some(s)) => format!("{b} · {s}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

//! Who is asking: one credential extractor for browser sessions and personal access tokens, CSRF protection, and
//! password hashing. Rights themselves are decided in `store`.

use crate::app::App;
use crate::error::Failure;
use crate::views::Lang;
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use madang_domain::{Role, Scope, SessionId, TokenScope};
use madang_store::auth::Identity;
use std::net::SocketAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Shortest password accepted, characters.
pub const MIN_PASSWORD: usize = 10;
/// Longest password accepted, bytes: hashing time must not be the sender's choice.
pub const MAX_PASSWORD: usize = 256;

/// The authenticated reader of a request. A token must allow writing for anything but GET.
pub struct Reader {
    pub identity: Identity,
    pub lang: Lang,
}

/// A reader whose token may be limited to running apps and searching.
pub struct Runner(pub Reader);

/// An admin in a browser: tokens cannot administer.
pub struct Admin(pub Reader);

/// A security officer in a browser.
pub struct Security(pub Reader);

/// A department manager in a browser.
pub struct Manager(pub Reader);

impl Reader {
    pub fn scope(&self) -> &Scope {
        &self.identity.scope
    }

    /// The browser session, absent for a token.
    pub fn session(&self) -> Option<SessionId> {
        self.identity.session.as_ref().map(|(id, _)| *id)
    }

    /// Acts that belong to a person at a screen: approvals, tokens, sessions.
    pub fn require_browser(&self) -> Result<(), Failure> {
        match self.session() {
            Some(_) => Ok(()),
            None => Err(Failure::denied("토큰으로는 할 수 없는 일입니다. 브라우저로 로그인해 주세요.")),
        }
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        authenticate(parts, app, TokenScope::Write).await
    }
}

impl FromRequestParts<App> for Runner {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        authenticate(parts, app, TokenScope::Run).await.map(Self)
    }
}

macro_rules! officer {
    ($name:ident, $role:expr, $message:literal) => {
        impl FromRequestParts<App> for $name {
            type Rejection = Failure;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
                let reader = authenticate(parts, app, TokenScope::Write).await?;
                reader.require_browser()?;
                if reader.scope().has_role($role) { Ok(Self(reader)) } else { Err(Failure::denied($message)) }
            }
        }
    };
}
officer!(Admin, Role::Admin, "운영자만 할 수 있는 일입니다.");
officer!(Security, Role::Security, "보안담당만 할 수 있는 일입니다.");
officer!(Manager, Role::Manager, "부서장만 할 수 있는 일입니다.");

/// `needed`: the token right that a changing request asks for.
async fn authenticate(parts: &Parts, app: &App, needed: TokenScope) -> Result<Reader, Failure> {
    let lang = lang_of(&parts.headers);
    let safe = matches!(parts.method, Method::GET | Method::HEAD);
    if let Some(token) = bearer(&parts.headers) {
        let identity = app.store.authenticate_token(token).await?.ok_or_else(Failure::unauthenticated)?;
        let allowed = match identity.scope.token() {
            Some(TokenScope::Write) => true,
            Some(TokenScope::Run) => safe || needed == TokenScope::Run,
            Some(TokenScope::Read) | None => safe,
        };
        return if allowed {
            Ok(Reader { identity, lang })
        } else {
            Err(Failure::denied("이 토큰의 권한으로는 할 수 없는 일입니다."))
        };
    }
    let secret = cookie(&parts.headers, app.cookie_name()).ok_or_else(Failure::unauthenticated)?;
    let identity = app.store.authenticate_session(&secret).await?.ok_or_else(Failure::unauthenticated)?;
    if !safe {
        check_origin(&parts.headers)?;
        check_csrf(&parts.headers, &identity)?;
    }
    Ok(Reader { identity, lang })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// Value of a cookie of the request.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(cookie::Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|c| c.name() == name)
        .map(|c| c.value().to_owned())
}

/// Language of the reader: a cookie set by the switch in the frame.
pub fn lang_of(headers: &HeaderMap) -> Lang {
    Lang::from_code(&cookie(headers, "madang_lang").unwrap_or_default())
}

/// A changing request from a browser must come from our own pages.
///
/// # Errors
/// 403 when the `Origin` header names another host.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let same =
        origin.to_str().ok().and_then(|o| o.split_once("://")).is_some_and(|(_, o)| o == host && !host.is_empty());
    if same { Ok(()) } else { Err(Failure::denied("다른 곳에서 보낸 요청이라 받지 않았습니다.")) }
}

fn check_csrf(headers: &HeaderMap, identity: &Identity) -> Result<(), Failure> {
    let sent = headers.get("x-csrf-token").map(|v| v.as_bytes()).unwrap_or_default();
    let expected = identity.session.as_ref().map(|(_, csrf)| csrf.as_bytes()).unwrap_or_default();
    if !expected.is_empty() && bool::from(sent.ct_eq(expected)) {
        Ok(())
    } else {
        Err(Failure::denied("화면이 오래되었습니다. 새로 고친 뒤 다시 해 주세요."))
    }
}

/// Address of the other end of the connection.
pub struct Address(pub String);

impl FromRequestParts<App> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip().to_string());
        Ok(Self(address.unwrap_or_default()))
    }
}

/// Argon2id (19 MiB, t=2, p=1) off the async threads, at most as many at once as there are cores.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// Verified against when the account is unknown, so that both cases take as long.
    decoy: Arc<str>,
}

impl Passwords {
    /// # Errors
    /// Only when the machine has no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let decoy = hash(&madang_store::auth::new_secret())?;
        Ok(Self { permits: Arc::new(Semaphore::new(cores)), decoy: decoy.into() })
    }

    /// Checks the rules for a new password and hashes it.
    pub async fn hash(&self, password: &str) -> Result<String, Failure> {
        check_new_password(password)?;
        let _permit = self.permits.acquire().await.map_err(Failure::internal)?;
        let password = password.to_owned();
        tokio::task::spawn_blocking(move || hash(&password))
            .await
            .map_err(Failure::internal)?
            .map_err(Failure::internal)
    }

    /// Is this the password behind the hash? `None` verifies against a decoy and says no.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, Failure> {
        if password.len() > MAX_PASSWORD {
            return Ok(false);
        }
        let _permit = self.permits.acquire().await.map_err(Failure::internal)?;
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.decoy).to_owned();
        let password = password.to_owned();
        let matches = tokio::task::spawn_blocking(move || {
            let verified: Result<(), _> = Argon2::default().verify_password(password.as_bytes(), stored.as_str());
            verified.is_ok()
        })
        .await
        .map_err(Failure::internal)?;
        Ok(matches && known)
    }
}

fn hash(password: &str) -> anyhow::Result<String> {
    let hashed = Argon2::default().hash_password(password.as_bytes()).map_err(|e| anyhow::anyhow!("argon2: {e}"))?;
    Ok(hashed.to_string())
}

fn check_new_password(password: &str) -> Result<(), Failure> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(Failure::invalid("password", format!("비밀번호는 {MIN_PASSWORD}자 이상으로 정해 주세요.")));
    }
    if password.len() > MAX_PASSWORD {
        return Err(Failure::invalid("password", "비밀번호가 너무 깁니다."));
    }
    let distinct = password.chars().collect::<std::collections::HashSet<_>>().len();
    if distinct < 5 {
        return Err(Failure::invalid("password", "같은 글자가 너무 많습니다. 다른 글자를 섞어 주세요."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        let mut h = HeaderMap::new();
        h.insert(header::HOST, HeaderValue::from_static("madang.local:7878"));
        if let Some(o) = origin {
            h.insert(header::ORIGIN, HeaderValue::from_static(o));
        }
        h
    }

    #[test]
    fn foreign_origins_are_refused() {
        assert!(check_origin(&headers(Some("http://madang.local:7878"))).is_ok());
        assert!(check_origin(&headers(None)).is_ok());
        for bad in ["http://evil.example", "null", "http://madang.local", "http://madang.local:7878.evil"] {
            assert!(check_origin(&headers(Some(bad))).is_err(), "{bad}");
        }
    }

    #[test]
    fn weak_passwords_are_refused() {
        assert!(check_new_password("짧다").is_err());
        assert!(check_new_password("aaaaaaaaaaaaaaaa").is_err());
        assert!(check_new_password("봄바람이-분다-2026").is_ok());
        assert!(check_new_password(&"가나다라마바사".repeat(60)).is_err());
    }
}

//! The one place that opens a connection beyond the body's own hosts: posts exact bytes to a [`Destination`] once.
//! Whether it may is decided, and recorded, before.

use crate::destination::{Destination, DestinationError};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// The whole call, the reply's last byte included.
    pub total: Duration,
    /// Bytes of the reply that are read; the rest is cut.
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connect: Duration::from_secs(10), total: Duration::from_secs(120), reply_bytes: 4 << 20 }
    }
}

/// Tokens that the provider says it counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
    #[serde(default)]
    pub total_tokens: u64,
}

/// What came back, whatever its status. Redirects are not followed: they come back as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// The reply was longer than [`Limits::reply_bytes`] and was cut there.
    pub truncated: bool,
    pub provider_request_id: Option<String>,
    /// `None` where the provider did not say.
    pub usage: Option<Usage>,
}

impl Reply {
    /// The first choice's text of a successful, whole reply.
    pub fn text(&self) -> Option<String> {
        if self.status != 200 || self.truncated {
            return None;
        }
        let json: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        json.pointer("/choices/0/message/content")?.as_str().map(str::to_owned)
    }
}

/// The call did not end with a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No byte of the body left: the address was refused, or no connection came about.
    #[error("외부로 아무것도 나가지 않았습니다: {0}")]
    NothingLeft(String),
    /// It may have left: count it as sent.
    #[error("보낸 뒤 답을 받지 못했습니다. 나간 것으로 셉니다: {0}")]
    Unknown(String),
}

impl From<DestinationError> for SendError {
    fn from(e: DestinationError) -> Self {
        SendError::NothingLeft(e.to_string())
    }
}

/// Posts `body` as it is to `{base}/chat/completions`, once, within the default [`Limits`].
///
/// # Errors
/// [`SendError`], which says whether anything may have left.
pub async fn send(destination: &Destination, api_key: &str, body: &[u8]) -> Result<Reply, SendError> {
    send_within(destination, api_key, body, &Limits::default()).await
}

/// As [`send`], within `limits`.
///
/// # Errors
/// [`SendError`], which says whether anything may have left.
pub async fn send_within(
    destination: &Destination,
    api_key: &str,
    body: &[u8],
    limits: &Limits,
) -> Result<Reply, SendError> {
    let addresses = destination.resolve().await?;
    let headers = headers(api_key)?;
    let request = request(destination, &addresses, limits).map_err(nothing_left)?.headers(headers).body(body.to_vec());
    let response = request
        .send()
        .await
        .map_err(|e| if e.is_connect() || e.is_builder() { nothing_left(e) } else { unknown(e) })?;
    read(response, limits.reply_bytes).await
}

fn nothing_left(e: reqwest::Error) -> SendError {
    SendError::NothingLeft(reason(e))
}

fn unknown(e: reqwest::Error) -> SendError {
    SendError::Unknown(reason(e))
}

/// The error with its causes: the outermost alone says only that a request failed.
pub(crate) fn reason(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut text = e.to_string();
    let mut source = std::error::Error::source(&e);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn headers(api_key: &str) -> Result<HeaderMap, SendError> {
    let mut key = HeaderValue::from_str(&format!("Bearer {api_key}")).map_err(|_| {
        SendError::NothingLeft("제공자 키에 쓸 수 없는 글자가 있습니다. 키를 다시 등록해 주세요.".into())
    })?;
    key.set_sensitive(true);
    let json = HeaderValue::from_static("application/json");
    Ok(HeaderMap::from_iter([(AUTHORIZATION, key), (CONTENT_TYPE, json.clone()), (ACCEPT, json)]))
}

/// A client for one call, pinned to the addresses that were checked.
fn request(
    destination: &Destination,
    addresses: &[SocketAddr],
    limits: &Limits,
) -> reqwest::Result<reqwest::RequestBuilder> {
    let builder = pinned(destination.host(), addresses, limits.connect).timeout(limits.total);
    // Plain http has no use for the machine's certificates, and a bare machine may have none.
    let builder = if destination.is_plain() { builder.tls_certs_only([]) } else { builder.https_only(true) };
    Ok(builder.build()?.post(destination.endpoint()))
}

/// The beginnings of every client: pinned to the addresses that were checked, verified TLS, HTTP/1.1, no redirect, no
/// proxy, no retry, no connection kept.
#[allow(clippy::disallowed_types)] // This is the one door: nothing else makes a client for the outside.
pub(crate) fn pinned(host: &str, addresses: &[SocketAddr], connect: Duration) -> reqwest::ClientBuilder {
    // Fails only when a provider is installed already, which serves as well.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .resolve_to_addrs(host, addresses)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(connect)
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Reply, SendError> {
    let status = response.status().as_u16();
    let header_id =
        ["x-request-id", "request-id"].iter().find_map(|name| response.headers().get(*name)?.to_str().ok().map(short));
    let mut body = Vec::new();
    let mut truncated = false;
    while let Some(chunk) = response.chunk().await.map_err(unknown)? {
        let room = limit - body.len();
        truncated = chunk.len() > room;
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if truncated {
            break;
        }
    }
    let said: Said = serde_json::from_slice(&body).unwrap_or_default();
    let provider_request_id = header_id.or_else(|| said.id.as_deref().map(short));
    Ok(Reply { status, body, truncated, provider_request_id, usage: said.usage })
}

/// The parts of a reply that are recorded.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    usage: Option<Usage>,
}

/// An id is the provider's word: keep it short and printable.
fn short(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(120).collect()
}

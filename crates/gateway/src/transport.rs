//! The one place that sends a prompt beyond the body's own hosts: posts exact bytes to a [`Destination`], at most once
//! as far as anybody can know. Whether it may is decided, and recorded, before; how a provider writes is in `wire`.

use crate::connect::{self, Closing, Proxy};
use crate::destination::{Destination, DestinationError};
use crate::wire::{self, Fault, Form, Gathering, Said};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response};
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use url::Url;
use zeroize::Zeroizing;

pub use crate::wire::Usage;

const EVENTS: &str = "text/event-stream";
/// Headers that providers name a request in.
const IDS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "x-ncp-clovastudio-request-id"];

/// Bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands, for each attempt.
    pub connect: Duration,
    /// From then until the reply begins.
    pub first_byte: Duration,
    /// The whole call, every attempt and the reply's last byte included.
    pub total: Duration,
    /// Bytes of the reply that are read; the rest is cut.
    pub reply_bytes: usize,
    /// Attempts where nothing was processed before.
    pub attempts: u32,
    /// Between attempts that found no connection.
    pub pause: Duration,
    /// Longest wait that a provider may ask for; who asks for more is not asked again.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(90),
            total: Duration::from_secs(120),
            reply_bytes: 4 << 20,
            attempts: 3,
            pause: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
        }
    }
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
    /// The reply ended at the output limit.
    pub at_limit: bool,
    /// What the provider says is wrong.
    pub fault: Option<Fault>,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// From the first attempt to the last byte.
    pub latency_ms: u64,
    text: Option<String>,
}

impl Reply {
    /// The text of a successful, whole reply.
    pub fn text(&self) -> Option<String> {
        self.text.clone()
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

/// The way to one model of one provider.
pub struct Line {
    destination: Destination,
    endpoint: String,
    form: Form,
    api_key: Zeroizing<String>,
    tls: Option<Arc<ClientConfig>>,
    proxy: Option<Proxy>,
    limits: Limits,
}

impl Line {
    /// To a provider's model, as its form addresses it. Over https it needs [`Line::with_tls`].
    pub fn new(destination: Destination, form: Form, model: &str, api_version: &str, api_key: String) -> Self {
        let endpoint = destination.endpoint(&wire::path(form.wire, model, api_version));
        let api_key = Zeroizing::new(api_key);
        Self { destination, endpoint, form, api_key, tls: None, proxy: None, limits: Limits::default() }
    }

    pub fn with_tls(mut self, tls: Arc<ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where it posts: approvals are bound to this.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Posts `body` as it is. `call` names it to the provider, the same in every attempt. Once `stop` ends, the
    /// connection is closed at once; it gives the reason.
    ///
    /// # Errors
    /// [`SendError`], which says whether anything may have left.
    pub async fn send(&self, call: &str, body: &[u8], stop: impl Future<Output = String>) -> Result<Reply, SendError> {
        // Attempts whose bytes may have left: what happens after the first of them is never "nothing left".
        let left = AtomicU32::new(0);
        let cut = |reason: String| match left.load(Ordering::SeqCst) {
            0 => SendError::NothingLeft(reason),
            _ => SendError::Unknown(reason),
        };
        tokio::select! {
            biased;
            reason = stop => Err(cut(reason)),
            sent = tokio::time::timeout(self.limits.total, self.attempts(call, body, &left)) => {
                sent.unwrap_or_else(|_| Err(cut("정해진 시간 안에 끝나지 않았습니다".to_owned())))
            }
        }
    }

    async fn attempts(&self, call: &str, body: &[u8], left: &AtomicU32) -> Result<Reply, SendError> {
        let begun = Instant::now();
        let headers = self.headers(call)?;
        let addresses = self.destination.resolve().await?;
        let mut turned_away: Option<Reply> = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let more = attempt < self.limits.attempts;
            match self.attempt(&addresses, &headers, body, left).await {
                Ok((mut reply, wait)) => {
                    reply.attempts = attempt;
                    reply.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    match wait.filter(|wait| more && *wait <= self.limits.longest_wait) {
                        Some(wait) => {
                            turned_away = Some(reply);
                            tokio::time::sleep(wait).await;
                        }
                        None => return Ok(reply),
                    }
                }
                Err(SendError::NothingLeft(_)) if more && turned_away.is_none() => {
                    tokio::time::sleep(self.limits.pause.saturating_mul(attempt)).await;
                }
                Err(SendError::NothingLeft(reason)) => {
                    // An earlier attempt was heard and turned away: that is what became of the call.
                    let Some(mut reply) = turned_away else {
                        return Err(SendError::NothingLeft(format!("{reason} ({attempt}번 시도)")));
                    };
                    reply.attempts = attempt;
                    return Ok(reply);
                }
                Err(unknown) => return Err(unknown),
            }
        }
    }

    /// One attempt: the reply, and how long to wait where it says that nothing was processed.
    async fn attempt(
        &self,
        addresses: &[SocketAddr],
        headers: &HeaderMap,
        body: &[u8],
        left: &AtomicU32,
    ) -> Result<(Reply, Option<Duration>), SendError> {
        let limits = &self.limits;
        let nothing = |e: String| SendError::NothingLeft(e);
        let opened =
            connect::open(&self.destination, addresses, self.proxy.as_ref(), self.tls.as_ref(), limits.connect);
        let io = opened.await.map_err(nothing)?;
        let request = self.request(headers, body).map_err(nothing)?;
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| nothing(e.to_string()))?;
        // Closed with this attempt, however it ends.
        let _closing = Closing::driving(connection);
        left.fetch_add(1, Ordering::SeqCst);
        let asked = tokio::time::timeout(limits.first_byte, sender.send_request(request)).await;
        let response = asked
            .map_err(|_| SendError::Unknown("제공자가 시간 안에 답하기 시작하지 않았습니다".to_owned()))?
            .map_err(unknown)?;
        let wait = retry_after(&response);
        let reply = self.read(response).await?;
        let again = matches!(reply.status, 429 | 503 | 529) && wire::turned_away(self.form.wire, &reply.body);
        Ok((reply, wait.filter(|_| again)))
    }

    fn headers(&self, call: &str) -> Result<HeaderMap, SendError> {
        let bad = |_| SendError::NothingLeft("제공자 키에 쓸 수 없는 글자가 있습니다. 키를 다시 등록해 주세요.".into());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("idempotency-key", HeaderValue::from_str(call).map_err(bad)?);
        for (name, value) in wire::headers(self.form.wire, &self.api_key, call) {
            let mut value = HeaderValue::from_str(&value).map_err(bad)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn request(&self, headers: &HeaderMap, body: &[u8]) -> Result<Request<Full<Bytes>>, String> {
        let url = Url::parse(&self.endpoint).map_err(|e| e.to_string())?;
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(HOST, self.destination.authority())
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|e| e.to_string())?;
        let accept = if self.form.stream { EVENTS } else { "application/json" };
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        request.headers_mut().extend(headers.clone());
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Reply, SendError> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let header_id = IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok().map(wire::short));
        let plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        let streamed = status == 200
            && self.form.stream
            && headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()));
        let mut body = Body { incoming: response.into_body(), taken: Vec::new(), most: self.limits.reply_bytes };
        let (said, truncated) =
            if streamed { self.gather(&mut body).await? } else { self.whole(&mut body, status).await? };
        let said = if plain { said } else { Said { text: None, ..said } };
        Ok(Reply {
            status,
            body: body.taken,
            truncated,
            provider_request_id: header_id.or_else(|| said.id.as_deref().map(wire::short)),
            usage: said.usage,
            at_limit: said.at_limit,
            fault: said.fault,
            attempts: 1,
            latency_ms: 0,
            text: said.text,
        })
    }

    async fn whole(&self, body: &mut Body, status: u16) -> Result<(Said, bool), SendError> {
        while let Some(piece) = body.next().await? {
            if piece.truncated {
                return Ok((Said::default(), true));
            }
        }
        Ok((wire::read(self.form.wire, status, &body.taken), false))
    }

    async fn gather(&self, body: &mut Body) -> Result<(Said, bool), SendError> {
        let mut gathering = Gathering::new(self.form.wire);
        while let Some(piece) = body.next().await? {
            let bytes = body.taken.get(piece.start..).unwrap_or_default();
            match gathering.take(bytes) {
                Ok(true) => break,
                Ok(false) if piece.truncated => return Ok((Said::default(), true)),
                Ok(false) => {}
                // It came, and cannot be read.
                Err(_) => return Ok((Said::default(), false)),
            }
        }
        let cut = || SendError::Unknown("답이 끝나기 전에 끊어졌습니다".to_owned());
        Ok((gathering.end().ok_or_else(cut)?, false))
    }
}

/// A body as it comes, bounded.
struct Body {
    incoming: Incoming,
    taken: Vec<u8>,
    most: usize,
}

/// Bytes that came, from there on in what was taken.
struct Piece {
    start: usize,
    truncated: bool,
}

impl Body {
    async fn next(&mut self) -> Result<Option<Piece>, SendError> {
        loop {
            let Some(frame) = self.incoming.frame().await else { return Ok(None) };
            // Trailers say nothing that is asked for.
            let Ok(data) = frame.map_err(unknown)?.into_data() else { continue };
            let (start, room) = (self.taken.len(), self.most.saturating_sub(self.taken.len()));
            let truncated = data.len() > room;
            self.taken.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            return Ok(Some(Piece { start, truncated }));
        }
    }
}

/// Seconds that a provider asks to wait; dates are for clocks that agree, and are not read.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The error with its causes: the outermost alone says only that a request failed.
fn unknown(e: hyper::Error) -> SendError {
    let mut text = e.to_string();
    let mut source = std::error::Error::source(&e);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    SendError::Unknown(text)
}

//! One request under way: tries a server, moves to another one before the first words have been passed on, and streams
//! the reply. Which server, and who waits, is decided in `pool`.

use super::pool::{Needs, Place, Slot};
use super::sse::EventReader;
use super::wire::{self, Chunk, WireUsage};
use super::{Endpoint, RemoteLimits, Shared};
use crate::chat::{ChatError, ChatEvent, ChatRequest, StopReason, Usage};
use crate::thinking::Thinking;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Largest body of a refusal that is read.
const MAX_REFUSAL: usize = 64 * 1024;
/// Assumed where a busy server does not say when to come back.
const BUSY_FOR: Duration = Duration::from_secs(5);

/// Where a reply goes.
type Out = mpsc::Sender<Result<ChatEvent, ChatError>>;

/// Why one server gave no reply.
enum Trouble {
    /// The server's fault, before any words: another one may do better.
    Server(String),
    /// The server has too much to do.
    Busy(Duration),
    /// The request's fault: no server would do better.
    Request(ChatError),
    /// The server's fault, after words have been passed on.
    Cut(String),
    /// Nobody reads any more.
    Gone,
}

/// An admitted request.
pub(super) struct Job {
    pub shared: Arc<Shared>,
    pub request: ChatRequest,
    pub needs: Needs,
    pub place: Place,
    pub accepted: Instant,
}

impl Job {
    /// Streams the reply into `out`; returns as soon as nobody reads, which closes the connection.
    pub async fn run(self, out: Out) {
        let longest = self.accepted + self.shared.limits.total;
        let until = self.request.deadline.map_or(longest, |d| d.min(longest));
        let result = tokio::select! {
            () = out.closed() => return,
            result = tokio::time::timeout_at(until.into(), self.stream(&out)) => result.unwrap_or(Err(ChatError::Deadline)),
        };
        if let Err(error) = result {
            // Where the reader has gone, nobody is told.
            let _ = out.send(Err(error)).await;
        }
    }

    async fn stream(&self, out: &Out) -> Result<(), ChatError> {
        let mut needs = self.needs.clone();
        let mut busy: Option<Duration> = None;
        loop {
            let slot = match self.place.slot(&needs).await {
                Ok(slot) => slot,
                Err(unreachable) => {
                    return Err(busy.map_or(unreachable, |retry_after| ChatError::Busy { retry_after, person: false }));
                }
            };
            let Some(endpoint) = self.shared.endpoints.get(slot.server) else {
                return Err(super::pool::unreachable_servers());
            };
            match self.attempt(endpoint, &slot, out).await {
                Ok(()) | Err(Trouble::Gone) => return Ok(()),
                Err(Trouble::Request(error)) => return Err(error),
                Err(Trouble::Cut(error)) => {
                    self.shared.pool.failed(slot.server, error);
                    return Err(ChatError::Failed("모델 서버의 답이 중간에 끊겼습니다. 다시 해 주세요.".into()));
                }
                Err(Trouble::Server(error)) => {
                    tracing::warn!(server = endpoint.name, error, "model server failed");
                    self.shared.pool.failed(slot.server, error);
                }
                Err(Trouble::Busy(retry_after)) => {
                    self.shared.pool.noted(slot.server, "서버가 바쁘다고 답했습니다".into());
                    busy = Some(busy.map_or(retry_after, |b| b.min(retry_after)));
                }
            }
            needs.not.push(slot.server);
        }
    }

    async fn attempt(&self, endpoint: &Endpoint, slot: &Slot, out: &Out) -> Result<(), Trouble> {
        let limits = &self.shared.limits;
        let body = wire::body(&self.request, &endpoint.model, endpoint.grammar).map_err(Trouble::Request)?;
        let post = endpoint.client.post("chat/completions", body).await.map_err(|e| Trouble::Server(e.to_string()))?;
        let sent = tokio::time::timeout(limits.first_token, post.send()).await.map_err(|_| silent())?;
        let response = sent.map_err(|e| Trouble::Server(reason(e)))?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        let mut reply = Reply::new(limits, self.accepted, out);
        match reply.read(response).await {
            Ok(reason) => {
                let usage = reply.usage();
                self.shared.pool.well(slot.server);
                self.shared.pool.answered(slot.server, usage.first_token, usage.total);
                reply.send(ChatEvent::Done { reason, usage }).await
            }
            Err(Trouble::Server(error)) if reply.passed_on => Err(Trouble::Cut(error)),
            Err(other) => Err(other),
        }
    }

    /// What a status other than 200 means.
    async fn refused(&self, response: Response) -> Trouble {
        let status = response.status();
        let retry_after = retry_after(&response);
        let message = refusal(response).await;
        let said = format!("{}: {message}", status.as_u16());
        match status {
            StatusCode::TOO_MANY_REQUESTS => Trouble::Busy(retry_after.unwrap_or(BUSY_FOR)),
            StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => Trouble::Busy(retry_after.unwrap_or(BUSY_FOR)),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                if wire::says_too_long(&message) {
                    let prompt =
                        self.request.messages.iter().map(|m| super::estimate::estimate_tokens(&m.content)).sum();
                    Trouble::Request(ChatError::TooLong { prompt, context: self.shared.card.context })
                } else {
                    Trouble::Request(ChatError::Invalid(format!("모델 서버가 요청을 받지 않았습니다({said}).")))
                }
            }
            _ => Trouble::Server(said),
        }
    }
}

fn silent() -> Trouble {
    Trouble::Server("정해진 시간 안에 답이 오지 않았습니다".into())
}

/// What went wrong in plain words, for the admin's screen; what is rarer with its causes, without the address.
pub(super) fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "정해진 시간 안에 연결되지 않았습니다. 서버가 켜져 있는지, 방화벽이 막지 않는지 확인해 주세요.".into();
    }
    let error = error.without_url();
    if error.is_connect() && refused_connection(&error) {
        return "연결을 받지 않습니다. 서버가 켜져 있는지, 주소의 포트가 맞는지 확인해 주세요.".into();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.chars().take(300).collect()
}

/// Nobody listens at the port.
fn refused_connection(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let io = cause.downcast_ref::<std::io::Error>();
        if io.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Seconds; the form with a date is not used by model servers.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 600)))
}

async fn refusal(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(BUSY_FOR, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_REFUSAL {
            break;
        }
    }
    match serde_json::from_slice(&body) {
        Ok(json) => wire::message_of(&json),
        Err(_) => String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect(),
    }
}

/// A reply as it comes in.
struct Reply<'a> {
    limits: &'a RemoteLimits,
    out: &'a Out,
    accepted: Instant,
    thinking: Thinking,
    first_token: Option<Duration>,
    reason: Option<StopReason>,
    counted: WireUsage,
    /// Words have reached the reader: no other server may begin anew.
    passed_on: bool,
}

impl<'a> Reply<'a> {
    fn new(limits: &'a RemoteLimits, accepted: Instant, out: &'a Out) -> Self {
        Self {
            limits,
            out,
            accepted,
            // Where the template opened the thinking, servers tell it apart themselves.
            thinking: Thinking::new(""),
            first_token: None,
            reason: None,
            counted: WireUsage::default(),
            passed_on: false,
        }
    }

    /// Reads events to the end of the reply.
    async fn read(&mut self, mut response: Response) -> Result<StopReason, Trouble> {
        let mut events = EventReader::new(self.limits.line_bytes, self.limits.line_bytes);
        let mut total = 0usize;
        loop {
            let wait = if self.first_token.is_some() { self.limits.idle } else { self.limits.first_token };
            let chunk = tokio::time::timeout(wait, response.chunk()).await.map_err(|_| silent())?;
            let Some(bytes) = chunk.map_err(|e| Trouble::Server(reason(e)))? else { break };
            total = total.saturating_add(bytes.len());
            if total > self.limits.reply_bytes {
                return Err(Trouble::Server("답이 너무 깁니다".into()));
            }
            for data in events.feed(&bytes).map_err(|e| Trouble::Server(e.to_string()))? {
                if data.trim() == "[DONE]" {
                    // Some servers end without a reason.
                    return self.end(self.reason.unwrap_or(StopReason::Stop)).await;
                }
                self.take(Chunk::read(&data).map_err(Trouble::Server)?).await?;
            }
        }
        match self.reason {
            Some(reason) => self.end(reason).await,
            None => Err(Trouble::Server("답이 끝나기 전에 연결이 끊겼습니다".into())),
        }
    }

    async fn take(&mut self, mut chunk: Chunk) -> Result<(), Trouble> {
        if let Some(usage) = chunk.usage {
            self.counted = usage;
        }
        let said = chunk.said();
        self.reason = said.reason.or(self.reason);
        if !said.text.is_empty() {
            self.first_token.get_or_insert_with(|| self.accepted.elapsed());
        }
        // Log-probabilities of thinking go with it.
        let Some(text) = self.thinking.pass(&said.text) else { return Ok(()) };
        let logprobs = said.logprobs;
        if text.is_empty() && logprobs.is_empty() {
            return Ok(());
        }
        self.send(ChatEvent::Text { text, logprobs }).await
    }

    async fn end(&mut self, reason: StopReason) -> Result<StopReason, Trouble> {
        let rest = self.thinking.finish();
        if !rest.is_empty() {
            self.send(ChatEvent::Text { text: rest, logprobs: vec![] }).await?;
        }
        Ok(reason)
    }

    async fn send(&mut self, event: ChatEvent) -> Result<(), Trouble> {
        self.out.send(Ok(event)).await.map_err(|_| Trouble::Gone)?;
        self.passed_on = true;
        Ok(())
    }

    fn usage(&self) -> Usage {
        let total = self.accepted.elapsed();
        Usage {
            prompt_tokens: self.counted.prompt_tokens,
            cached_tokens: self.counted.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or_default(),
            completion_tokens: self.counted.completion_tokens,
            first_token: self.first_token.unwrap_or(total),
            total,
        }
    }
}

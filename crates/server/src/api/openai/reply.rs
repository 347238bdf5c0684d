//! A model's stream or a run's events as OpenAI's chat completions: whole, or as server-sent chunks.

use super::failure;
use super::wire::ChatBody;
use crate::app::App;
use crate::error::{Failure, Handled};
use crate::running::{RunEvent, Running};
use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use madang_domain::{Citation, Scope};
use madang_inference::{ChatError, ChatEvent, ChatStream, StepLogprobs, StopReason, Usage};
use madang_store::runs::RunState;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt::Write as _;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

/// What every part of a reply repeats.
pub struct About {
    id: String,
    model: String,
    created: i64,
    stream: bool,
    tells_usage: bool,
}

impl About {
    /// `now`: Unix seconds.
    pub fn new(body: &ChatBody, now: i64) -> Self {
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            model: body.model.clone(),
            created: now,
            stream: body.stream,
            tells_usage: body.tells_usage(),
        }
    }

    fn whole(&self, message: Value, finish: &str, logprobs: Value, usage: Value) -> Response {
        Json(json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{ "index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs }],
            "usage": usage,
        }))
        .into_response()
    }

    fn chunk(&self, delta: Value, finish: Option<&str>, logprobs: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs }],
        })
    }

    fn usage_chunk(&self, usage: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [], "usage": usage,
        })
    }

    fn first(&self) -> Value {
        self.chunk(json!({ "role": "assistant", "content": "" }), None, Value::Null)
    }

    /// The last chunks of a reply.
    fn last(&self, finish: &str, usage: Value) -> Vec<Value> {
        let mut last = vec![self.chunk(json!({}), Some(finish), Value::Null)];
        if self.tells_usage {
            last.push(self.usage_chunk(usage));
        }
        last
    }
}

fn finish(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Stop => "stop",
        StopReason::Length => "length",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
    })
}

fn logprobs(steps: &[StepLogprobs]) -> Value {
    if steps.is_empty() {
        return Value::Null;
    }
    let content: Vec<Value> = steps
        .iter()
        .map(|s| {
            json!({
                "token": s.chosen.token, "logprob": s.chosen.logprob, "bytes": s.chosen.bytes, "top_logprobs": s.top,
            })
        })
        .collect();
    json!({ "content": content })
}

/// A failure inside a stream that has begun.
fn told(failure: &Failure) -> Value {
    json!({ "error": { "message": failure.message, "code": failure.code, "type": failure.code } })
}

/// A model's reply.
///
/// # Errors
/// What went wrong, where nothing was sent yet.
pub async fn of_model(mut events: ChatStream, about: About) -> Handled<Response> {
    if about.stream {
        let first = about.first();
        let chunks = ReceiverStream::new(events).flat_map(move |event| {
            stream::iter(match event {
                Ok(ChatEvent::Text { text, logprobs: steps }) => {
                    vec![about.chunk(json!({ "content": text }), None, logprobs(&steps))]
                }
                Ok(ChatEvent::Done { reason, usage: cost }) => about.last(finish(reason), usage(cost)),
                Err(error) => vec![told(&failure(error))],
            })
        });
        return Ok(sse(first, chunks));
    }
    let (mut all, mut steps) = (String::new(), Vec::new());
    while let Some(event) = events.recv().await {
        match event.map_err(failure)? {
            ChatEvent::Text { text, logprobs } => {
                all.push_str(&text);
                steps.extend(logprobs);
            }
            ChatEvent::Done { reason, usage: cost } => {
                let message = json!({ "role": "assistant", "content": all });
                return Ok(about.whole(message, finish(reason), logprobs(&steps), usage(cost)));
            }
        }
    }
    Err(failure(ChatError::Failed("모델이 답을 마치지 못했습니다. 다시 보내 주세요.".to_owned())))
}

/// An app's answer, with its sources named at the end and, for those who read it, as `citations`.
///
/// # Errors
/// What went wrong, where nothing was sent yet.
pub async fn of_app(app: &App, scope: &Scope, running: Running, about: About) -> Handled<Response> {
    if about.stream {
        let mut cited: Vec<Citation> = Vec::new();
        let first = about.first();
        let chunks = ReceiverStream::new(running.events).flat_map(move |event| {
            stream::iter(match event {
                RunEvent::Text(text) => vec![about.chunk(json!({ "content": text }), None, Value::Null)],
                RunEvent::Citation(citation) => {
                    cited.push(*citation);
                    Vec::new()
                }
                RunEvent::Done(_) => {
                    let delta = json!({ "content": sources(&cited), "citations": cited });
                    let mut last = vec![about.chunk(delta, None, Value::Null)];
                    last.extend(about.last("stop", Value::Null));
                    last
                }
                RunEvent::Stopped => vec![told(&failure(ChatError::Stopped))],
                RunEvent::Error(message) => vec![json!({ "error": { "message": message, "code": "failed" } })],
                RunEvent::Run(_) | RunEvent::Engine(_) | RunEvent::Progress { .. } => Vec::new(),
            })
        });
        return Ok(sse(first, chunks));
    }
    let (id, mut events) = (running.id, running.events);
    let mut failed = None;
    while let Some(event) = events.recv().await {
        if let RunEvent::Error(message) = event {
            failed = Some(message);
        }
    }
    let run = app.store.run(scope, id).await?;
    if run.state != RunState::Done {
        let message = failed.unwrap_or_else(|| "답이 멈췄습니다. 다시 보내 주세요.".to_owned());
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "failed", message));
    }
    let content = run.answer.clone() + &sources(&run.citations);
    let message = json!({ "role": "assistant", "content": content, "citations": run.citations, "run": run.id });
    Ok(about.whole(message, "stop", Value::Null, Value::Null))
}

/// The sources as text: clients know no other place for them.
fn sources(citations: &[Citation]) -> String {
    let mut text = String::new();
    for (i, c) in citations.iter().enumerate() {
        text.push_str(if i == 0 { "\n\n근거\n" } else { "" });
        let _ = writeln!(text, "[{}] {} {}", c.number, c.document_title, c.heading_path.join(" > "));
    }
    text
}

fn sse(first: Value, chunks: impl Stream<Item = Value> + Send + 'static) -> Response {
    let all = stream::once(async { first }).chain(chunks).map(|c| c.to_string());
    let all = all.chain(stream::once(async { "[DONE]".to_owned() }));
    let events = all.map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    let mut response = Sse::new(events).keep_alive(KeepAlive::new()).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

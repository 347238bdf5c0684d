//! A model's stream or a run's events as OpenAI's chat completions: whole, or as server-sent chunks.

use super::failure;
use super::wire::ChatBody;
use crate::app::App;
use crate::error::{Failure, Handled};
use crate::running::{RunEvent, Running};
use axum::Json;
use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use madang_domain::{Citation, Scope};
use madang_inference::{ChatError, ChatEvent, ChatModel, ChatStream, StepLogprobs, StopReason, Usage};
use madang_store::runs::RunState;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::mpsc;
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
            stream: body.streams(),
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
    let mut error = json!({ "message": failure.message, "code": failure.code, "type": failure.code });
    if let Some(reference) = &failure.reference {
        error["reference"] = json!(reference);
    }
    json!({ "error": error })
}

/// A reply that stopped without an end: the model went away or could not say why.
fn unfinished() -> Failure {
    failure(ChatError::Failed("모델이 답을 마치지 못했습니다. 다시 보내 주세요.".to_owned()))
}

/// The events, and `None` behind the last.
fn to_the_end<T: Send + 'static>(events: mpsc::Receiver<T>) -> impl Stream<Item = Option<T>> + Send + 'static {
    ReceiverStream::new(events).map(Some).chain(stream::once(async { None }))
}

/// A model's reply. The model is held until the reply's end: one that is unloaded finishes what it has begun.
///
/// # Errors
/// What went wrong, where nothing was sent yet.
pub async fn of_model(model: Arc<dyn ChatModel>, mut events: ChatStream, about: About) -> Handled<Response> {
    if about.stream {
        let first = about.first();
        let mut ended = false;
        let chunks = to_the_end(events).flat_map(move |event| {
            let _held = &model;
            let was_ended = ended;
            ended |= !matches!(event, Some(Ok(ChatEvent::Text { .. })));
            stream::iter(match event {
                Some(Ok(ChatEvent::Text { text, logprobs: steps })) => {
                    vec![about.chunk(json!({ "content": text }), None, logprobs(&steps))]
                }
                Some(Ok(ChatEvent::Done { reason, usage: cost })) => about.last(finish(reason), usage(cost)),
                Some(Err(error)) => vec![told(&failure(error))],
                None if was_ended => Vec::new(),
                None => vec![told(&unfinished())],
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
    Err(unfinished())
}

/// An app's answer, with its sources named at the end and, for those who read it, as `citations`.
///
/// # Errors
/// What went wrong, where nothing was sent yet.
pub async fn of_app(app: &App, scope: &Scope, running: Running, about: About) -> Handled<Response> {
    if about.stream {
        let first = about.first();
        return Ok(sse(first, app_chunks(running.events, about)));
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
        return Err(failure(failed.map_or(ChatError::Stopped, ChatError::Failed)));
    }
    let content = run.answer.clone() + &sources(&run.citations);
    let message = json!({ "role": "assistant", "content": content, "citations": run.citations, "run": run.id });
    Ok(about.whole(message, "stop", Value::Null, Value::Null))
}

fn app_chunks(events: mpsc::Receiver<RunEvent>, about: About) -> impl Stream<Item = Value> + Send + 'static {
    let mut cited: Vec<Citation> = Vec::new();
    let mut ended = false;
    to_the_end(events).flat_map(move |event| {
        let was_ended = ended;
        ended |= matches!(event, Some(RunEvent::Done(_) | RunEvent::Stopped | RunEvent::Error(_)));
        stream::iter(match event {
            Some(RunEvent::Text(text)) => vec![about.chunk(json!({ "content": text }), None, Value::Null)],
            Some(RunEvent::Citation(citation)) => {
                cited.push(*citation);
                Vec::new()
            }
            Some(RunEvent::Done(_)) => {
                let delta = json!({ "content": sources(&cited), "citations": cited });
                let mut last = vec![about.chunk(delta, None, Value::Null)];
                last.extend(about.last("stop", Value::Null));
                last
            }
            Some(RunEvent::Stopped) => vec![told(&failure(ChatError::Stopped))],
            Some(RunEvent::Error(message)) => vec![told(&failure(ChatError::Failed(message)))],
            Some(RunEvent::Run(_) | RunEvent::Engine(_) | RunEvent::Progress { .. }) => Vec::new(),
            None if was_ended => Vec::new(),
            None => vec![told(&unfinished())],
        })
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    struct Silent;

    #[async_trait::async_trait]
    impl ChatModel for Silent {
        fn card(&self) -> madang_inference::ModelCard {
            madang_inference::ModelCard { name: "m".into(), label: "m".into(), context: 1 }
        }

        fn count_tokens(&self, _: &str) -> usize {
            0
        }

        async fn chat(&self, _: madang_inference::ChatRequest) -> Result<ChatStream, ChatError> {
            Err(ChatError::Stopped)
        }
    }

    fn about(stream: bool) -> About {
        About { id: "c".into(), model: "m".into(), created: 0, stream, tells_usage: false }
    }

    fn events(all: Vec<Result<ChatEvent, ChatError>>) -> ChatStream {
        let (out, stream) = mpsc::channel(8);
        all.into_iter().for_each(|e| out.try_send(e).expect("room"));
        stream
    }

    fn text() -> Result<ChatEvent, ChatError> {
        Ok(ChatEvent::Text { text: "가".into(), logprobs: vec![] })
    }

    async fn streamed(all: Vec<Result<ChatEvent, ChatError>>) -> String {
        let reply = of_model(Arc::new(Silent), events(all), about(true)).await.expect("a stream");
        String::from_utf8(to_bytes(reply.into_body(), 1 << 20).await.expect("a body").to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_reply_without_an_end_is_told() {
        let done = || Ok(ChatEvent::Done { reason: StopReason::Length, usage: Usage::default() });
        let whole = streamed(vec![text(), done()]).await;
        assert!(whole.contains("length") && !whole.contains("error"), "{whole}");
        let broken = streamed(vec![text()]).await;
        assert!(broken.contains("마치지 못했습니다") && broken.contains("[DONE]"), "{broken}");
        let failed = streamed(vec![text(), Err(ChatError::Failed("모델을 내렸습니다.".into()))]).await;
        assert!(failed.contains("모델을 내렸습니다.") && failed.matches("error").count() == 1, "{failed}");
        let failed = of_model(Arc::new(Silent), events(vec![text()]), about(false)).await.unwrap_err();
        assert_eq!((failed.status.as_u16(), failed.code), (503, "failed"));
        assert_eq!(failure(ChatError::Stopped).code, "stopped");
        assert_eq!(told(&Failure::internal("x"))["error"]["reference"].as_str().map(str::len), Some(12));
    }

    #[tokio::test]
    async fn a_stream_holds_its_model() {
        let model: Arc<dyn ChatModel> = Arc::new(Silent);
        let reply = of_model(Arc::clone(&model), events(vec![text()]), about(true)).await.expect("a stream");
        assert_eq!(Arc::strong_count(&model), 2);
        drop(reply);
        assert_eq!(Arc::strong_count(&model), 1);
    }
}

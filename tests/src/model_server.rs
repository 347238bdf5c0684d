//! A model server as it stands in a body's network: the OpenAI routes, a key where one is set, replies that are held back
//! until a test lets them go.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

struct Shared {
    models: Vec<String>,
    key: Option<String>,
    /// One permit lets one reply go.
    go: Semaphore,
    asked: AtomicUsize,
}

/// A server on loopback; gone when dropped.
pub struct ModelServer {
    /// Base of its OpenAI routes.
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl ModelServer {
    /// Serves these models to whoever has the key.
    pub async fn start(models: &[&str], key: Option<&str>) -> anyhow::Result<Self> {
        let server = Self::start_held(models, key).await?;
        server.release(Semaphore::MAX_PERMITS / 2);
        Ok(server)
    }

    /// The same; every reply waits for [`ModelServer::release`].
    pub async fn start_held(models: &[&str], key: Option<&str>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            models: models.iter().map(|m| (*m).to_owned()).collect(),
            key: key.map(str::to_owned),
            go: Semaphore::new(0),
            asked: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let routes = Router::new().route("/v1/models", get(list)).route("/v1/chat/completions", post(chat));
        let app = routes.with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let _ended = axum::serve(listener, app).await;
        });
        Ok(Self { url, shared, task })
    }

    /// Lets so many replies go.
    pub fn release(&self, replies: usize) {
        self.shared.go.add_permits(replies);
    }

    /// Requests for replies that have come.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn refused(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let key = shared.key.as_ref()?;
    let sent = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    (sent != format!("Bearer {key}")).then(|| StatusCode::UNAUTHORIZED.into_response())
}

async fn list(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let data: Vec<Value> = shared.models.iter().map(|id| json!({ "id": id, "object": "model" })).collect();
    refused(&shared, &headers).unwrap_or_else(|| Json(json!({ "object": "list", "data": data })).into_response())
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(refused) = refused(&shared, &headers) {
        return refused;
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    match shared.go.acquire().await {
        Ok(permit) => permit.forget(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let said = "내부망의 모델이 적은 글입니다.";
    if body["stream"] != true {
        let choice = json!({ "message": { "role": "assistant", "content": said }, "finish_reason": "stop" });
        return Json(json!({ "choices": [choice] })).into_response();
    }
    let piece = json!({ "choices": [{ "delta": { "content": said } }] });
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let stream = format!("data: {piece}\n\ndata: {end}\n\ndata: [DONE]\n\n");
    ([("content-type", "text/event-stream")], stream).into_response()
}

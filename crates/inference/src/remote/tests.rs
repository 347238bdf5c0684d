//! Model servers as their callers see them, against real servers on loopback: streams, failover, queues, stopping.

use super::*;
use crate::chat::{Asker, ChatEvent, Message, Role, Sampling, ScopeKey, StopReason, Usage};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What a server does with one request.
#[derive(Clone)]
enum Act {
    /// Streams these pieces of bytes and ends.
    Stream(Vec<Vec<u8>>),
    /// Streams these pieces, then keeps the connection open.
    Hang(Vec<Vec<u8>>),
    /// Streams these pieces, then breaks the connection when told to go.
    Break(Vec<Vec<u8>>),
    Status(u16, Option<&'static str>, &'static str),
}

/// A server that does what it is told, and remembers what it was asked.
struct Fake {
    acts: Mutex<VecDeque<Act>>,
    models: Mutex<u16>,
    asked: Mutex<Vec<(HeaderMap, Value)>>,
    open: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    go: Notify,
    url: String,
}

/// Counts a reply's body as open until it is dropped.
struct Open(Arc<AtomicUsize>, Arc<Notify>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.notify_waiters();
    }
}

async fn serve(acts: Vec<Act>) -> Arc<Fake> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Arc::new(Fake {
        acts: Mutex::new(acts.into()),
        models: Mutex::new(200),
        asked: Mutex::default(),
        open: Arc::default(),
        changed: Arc::default(),
        go: Notify::new(),
        url: format!("http://{}/v1", listener.local_addr().unwrap()),
    });
    let app = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(|State(f): State<Arc<Fake>>| async move { status(*f.models.lock().unwrap()) }))
        .route("/health", get(|| async { "ok" }))
        .with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, app).await });
    fake
}

fn status(code: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(code).unwrap()
}

async fn chat(State(fake): State<Arc<Fake>>, headers: HeaderMap, body: Bytes) -> Response {
    fake.asked.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
    let act = fake.acts.lock().unwrap().pop_front();
    let (pieces, then) = match act {
        None => (whole("답"), None),
        Some(Act::Status(code, after, body)) => {
            let mut response = (status(code), body).into_response();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.parse().unwrap());
            }
            return response;
        }
        Some(Act::Stream(pieces)) => (pieces, None),
        Some(Act::Hang(pieces)) => (pieces, Some(false)),
        Some(Act::Break(pieces)) => (pieces, Some(true)),
    };
    fake.open.fetch_add(1, Ordering::SeqCst);
    fake.changed.notify_waiters();
    let open = Open(Arc::clone(&fake.open), Arc::clone(&fake.changed));
    let head = futures_util::stream::iter(pieces.into_iter().map(|p| Ok::<_, std::io::Error>(Bytes::from(p))));
    let tail = futures_util::stream::once(async move {
        let _open = open;
        match then {
            Some(true) => {
                fake.go.notified().await;
                Err(std::io::Error::other("broken"))
            }
            Some(false) => std::future::pending().await,
            None => Ok(Bytes::new()),
        }
    });
    Body::from_stream(futures_util::StreamExt::chain(head, tail)).into_response()
}

fn event(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

fn words(text: &str) -> Vec<Vec<u8>> {
    vec![event(text).into_bytes()]
}

fn whole(text: &str) -> Vec<Vec<u8>> {
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": { "cached_tokens": 5 } } });
    vec![format!("{}data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n", event(text)).into_bytes()]
}

fn config(fake: &Fake) -> ServerConfig {
    ServerConfig {
        name: fake.url.clone(),
        url: fake.url.clone(),
        model: "served".into(),
        grammar: GrammarSupport::None,
        weight: 1,
        capacity: 2,
        key: Some("열쇠-1".replace("열쇠", "key").into()),
        authority: None,
    }
}

fn inside() -> InternalNetworks {
    InternalNetworks::parse(["127.0.0.0/8"]).unwrap()
}

fn limits() -> RemoteLimits {
    RemoteLimits { first_token: Duration::from_secs(2), idle: Duration::from_secs(2), ..RemoteLimits::default() }
}

fn over(servers: Vec<ServerConfig>, limits: RemoteLimits) -> ModelServers {
    let card = ModelCard { name: "served".into(), label: "모델".into(), context: 4096 };
    ModelServers::new(card, servers, &inside(), limits).unwrap()
}

fn request(asker: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::new(Role::User, "물음")],
        max_tokens: 16,
        sampling: Sampling::default(),
        stop: vec![],
        constraint: None,
        logprobs: None,
        thinking: false,
        scope: ScopeKey([0; 32]),
        asker: Asker(asker.into()),
        deadline: None,
    }
}

async fn read(stream: &mut ChatStream) -> (String, Result<Usage, ChatError>) {
    let mut text = String::new();
    while let Some(event) = stream.recv().await {
        match event {
            Ok(ChatEvent::Text { text: more, .. }) => text.push_str(&more),
            Ok(ChatEvent::Done { reason, usage }) => {
                assert_eq!(reason, StopReason::Stop);
                return (text, Ok(usage));
            }
            Err(error) => return (text, Err(error)),
        }
    }
    panic!("the stream ended without an end: {text}");
}

async fn ask(model: &ModelServers) -> (String, Result<Usage, ChatError>) {
    let mut stream = model.chat(request("kim")).await.unwrap();
    read(&mut stream).await
}

/// Waits until the server has exactly `n` replies open.
async fn until_open(fake: &Fake, n: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let changed = fake.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fake.open.load(Ordering::SeqCst) == n {
                return;
            }
            changed.await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{} replies open, not {n}", fake.open.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_reply_cut_inside_syllables_arrives_whole() {
    let bytes = [": 안녕\r\n\r\n".as_bytes(), &whole("한글 답")[0]].concat();
    let fake = serve(vec![Act::Stream(bytes.iter().map(|b| vec![*b]).collect())]).await;
    let model = over(vec![config(&fake)], limits());
    let (text, usage) = ask(&model).await;
    let usage = usage.unwrap();
    assert_eq!(
        (text.as_str(), usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens),
        ("한글 답", 7, 5, 2)
    );
    let asked = fake.asked.lock().unwrap();
    assert_eq!(
        (&asked[0].0["authorization"], &asked[0].1["model"]),
        (&"Bearer key-1".parse().unwrap(), &json!("served"))
    );
    let status = model.status();
    assert_eq!((status.servers[0].health, status.servers[0].answered), (Health::Healthy, 1));
    assert!(model.healthy());
}

#[tokio::test]
async fn another_server_takes_over_before_the_first_words() {
    let thinking = vec![event("<think>음").into_bytes()];
    for bad in [
        Act::Status(500, None, "{\"error\":{\"message\":\"out of memory\"}}"),
        Act::Break(vec![]),
        Act::Break(thinking),
        Act::Hang(vec![]),
        Act::Stream(vec![b"data: {\"error\":{\"message\":\"gone\"}}\n\n".to_vec()]),
        Act::Stream(vec![vec![b'x'; 3000]]),
        Act::Status(302, None, ""),
    ] {
        let (first, second) = (serve(vec![bad]).await, serve(vec![]).await);
        first.go.notify_one();
        let heavy = ServerConfig { weight: 9, ..config(&first) };
        let model = over(vec![heavy, config(&second)], RemoteLimits { line_bytes: 2000, ..limits() });
        let (text, usage) = ask(&model).await;
        assert!(usage.is_ok() && text == "답", "{usage:?}");
        let status = model.status();
        assert_eq!(status.servers.iter().map(|s| s.health).collect::<Vec<_>>(), [Health::Unhealthy, Health::Healthy]);
        assert!(status.servers[0].last_error.is_some() && status.servers.iter().all(|s| s.in_flight == 0));
        // Its circuit is open: the next request does not go there.
        assert!(ask(&model).await.1.is_ok());
        assert_eq!((first.asked.lock().unwrap().len(), second.asked.lock().unwrap().len()), (1, 2));
    }
}

#[tokio::test]
async fn after_the_first_words_a_failure_is_told() {
    let (first, second) = (serve(vec![Act::Break(words("반"))]).await, serve(vec![]).await);
    let heavy = ServerConfig { weight: 9, ..config(&first) };
    let mut stream = over(vec![heavy, config(&second)], RemoteLimits::default()).chat(request("kim")).await.unwrap();
    assert!(matches!(stream.recv().await, Some(Ok(ChatEvent::Text { text, .. })) if text == "반"));
    first.go.notify_one();
    let (text, usage) = read(&mut stream).await;
    assert!(text.is_empty() && matches!(usage, Err(ChatError::Failed(m)) if m.contains("중간에 끊겼습니다")));
    assert!(second.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn busy_servers_say_when_to_come_back() {
    let (first, second) =
        (serve(vec![Act::Status(429, Some("7"), "")]).await, serve(vec![Act::Status(429, Some("3"), "")]).await);
    let model = over(vec![config(&first), config(&second)], limits());
    let (_, usage) = ask(&model).await;
    assert_eq!(usage, Err(ChatError::Busy { retry_after: Duration::from_secs(3), person: false }));
    assert!(model.status().servers.iter().all(|s| s.health == Health::Unknown), "busy is not ill");
}

#[tokio::test]
async fn a_wrong_request_is_not_tried_elsewhere() {
    let long = "{\"error\":{\"message\":\"This model's maximum context length is 4096 tokens\"}}";
    for (body, too_long) in [(long, true), ("{\"error\":{\"message\":\"bad schema\"}}", false)] {
        let (first, second) = (serve(vec![Act::Status(400, None, body)]).await, serve(vec![]).await);
        let heavy = ServerConfig { weight: 9, ..config(&first) };
        let (_, usage) = ask(&over(vec![heavy, config(&second)], limits())).await;
        assert_eq!(matches!(usage, Err(ChatError::TooLong { context: 4096, .. })), too_long, "{usage:?}");
        assert_eq!(matches!(usage, Err(ChatError::Invalid(m)) if m.contains("bad schema")), !too_long);
        assert!(second.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_dropped_reader_closes_the_connection_and_frees_the_place() {
    let fake = serve(vec![Act::Hang(words("가"))]).await;
    let model = over(vec![config(&fake)], RemoteLimits::default());
    let mut stream = model.chat(request("kim")).await.unwrap();
    assert!(matches!(stream.recv().await, Some(Ok(ChatEvent::Text { text, .. })) if text == "가"));
    until_open(&fake, 1).await;
    drop(stream);
    until_open(&fake, 0).await;
    assert!(ask(&model).await.1.is_ok());
    assert_eq!(model.status().servers[0].failed, 0, "stopping is no failure");
}

#[tokio::test]
async fn queues_are_bounded_in_total_and_per_person() {
    let fake = serve(vec![Act::Hang(words("가")); 3]).await;
    let one = ServerConfig { capacity: 1, ..config(&fake) };
    let model = over(vec![one], RemoteLimits { waiting: 1, per_person: 2, ..RemoteLimits::default() });
    let mut kept = vec![model.chat(request("kim")).await.unwrap()];
    until_open(&fake, 1).await;
    kept.push(model.chat(request("kim")).await.unwrap());
    let third = model.chat(request("kim")).await;
    assert!(matches!(third, Err(ChatError::Busy { person: true, retry_after }) if !retry_after.is_zero()));
    while model.status().waiting < 1 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(model.chat(request("lee")).await, Err(ChatError::Busy { person: false, .. })));
    // The first reader leaves: the second is served, and there is room again.
    kept.remove(0);
    assert!(matches!(kept[0].recv().await, Some(Ok(ChatEvent::Text { .. }))));
    assert!(model.chat(request("lee")).await.is_ok());
}

#[tokio::test]
async fn the_queue_is_fair_between_people() {
    let fake = serve(vec![Act::Hang(words("가")); 4]).await;
    let two = ServerConfig { capacity: 2, ..config(&fake) };
    let model = over(vec![two], RemoteLimits::default());
    let mut kim = vec![];
    for n in 1..=2 {
        kim.push(model.chat(request("kim")).await.unwrap());
        until_open(&fake, n).await;
    }
    let mut waiting = model.chat(request("kim")).await.unwrap();
    while model.status().waiting < 1 {
        tokio::task::yield_now().await;
    }
    let mut lee = model.chat(request("lee")).await.unwrap();
    while model.status().waiting < 2 {
        tokio::task::yield_now().await;
    }
    kim.remove(0);
    // Lee came last and has nothing under way.
    assert!(matches!(lee.recv().await, Some(Ok(ChatEvent::Text { .. }))));
    assert!(waiting.try_recv().is_err());
    assert_eq!(model.status().waiting, 1);
}

#[tokio::test]
async fn load_spreads_by_weight() {
    let (small, large) = (serve(vec![Act::Hang(words("가")); 9]).await, serve(vec![Act::Hang(words("나")); 9]).await);
    let with = |fake: &Fake, weight| ServerConfig { weight, capacity: 9, ..config(fake) };
    let limits = RemoteLimits { per_person: 20, ..RemoteLimits::default() };
    let model = over(vec![with(&small, 1), with(&large, 2)], limits);
    let mut kept = vec![];
    for _ in 0..6 {
        let mut stream = model.chat(request("kim")).await.unwrap();
        assert!(stream.recv().await.is_some_and(|e| e.is_ok()));
        kept.push(stream);
    }
    assert_eq!(model.status().servers.iter().map(|s| s.in_flight).collect::<Vec<_>>(), [2, 4]);
}

#[tokio::test]
async fn checks_open_and_close_circuits() {
    let fake = serve(vec![]).await;
    let model = over(vec![config(&fake)], limits());
    assert!(!model.healthy());
    model.check().await;
    assert!(model.healthy());
    // A server without the route of models is asked for its health.
    *fake.models.lock().unwrap() = 404;
    model.check().await;
    assert!(model.healthy());
    *fake.models.lock().unwrap() = 503;
    model.check().await;
    let status = model.status().servers.remove(0);
    assert!(status.health == Health::Unhealthy && status.last_error.unwrap().starts_with("503"));
    // During its pause it is not asked, neither by checks nor by requests.
    *fake.models.lock().unwrap() = 200;
    model.check().await;
    assert!(!model.healthy());
    assert!(matches!(model.chat(request("kim")).await, Err(ChatError::Failed(_))));
}

#[tokio::test]
async fn deadlines_and_grammars() {
    let fake = serve(vec![Act::Hang(words("가"))]).await;
    let model = over(vec![config(&fake)], RemoteLimits::default());
    let soon = ChatRequest { deadline: Some(Instant::now() + Duration::from_secs(1)), ..request("kim") };
    let mut stream = model.chat(soon).await.unwrap();
    assert_eq!(read(&mut stream).await, ("가".to_owned(), Err(ChatError::Deadline)));
    until_open(&fake, 0).await;
    let lark = ChatRequest { constraint: Some(Constraint::Lark("start: \"x\"".into())), ..request("kim") };
    assert!(matches!(model.chat(lark.clone()).await, Err(ChatError::Invalid(_))));
    let able = ServerConfig { grammar: GrammarSupport::LlamaCpp, ..config(&fake) };
    let mut stream = over(vec![config(&fake), able], limits()).chat(lark).await.unwrap();
    assert!(read(&mut stream).await.1.is_ok());
    assert!(fake.asked.lock().unwrap().last().unwrap().1["grammar"].as_str().unwrap().starts_with("%llguidance"));
}

#[tokio::test]
async fn servers_outside_are_refused_before_and_at_connecting() {
    let card = || ModelCard { name: "m".into(), label: "모델".into(), context: 1 };
    let fake = serve(vec![]).await;
    let elsewhere = InternalNetworks::parse(["10.0.0.0/8"]).unwrap();
    let refused = ModelServers::new(card(), vec![config(&fake)], &elsewhere, limits());
    assert!(matches!(refused.err(), Some(ClientError::Network(NetworkError::Outside(_)))));
    let named = ServerConfig { url: fake.url.replace("127.0.0.1", "localhost"), ..config(&fake) };
    let model = ModelServers::new(card(), vec![named.clone()], &elsewhere, limits()).unwrap();
    assert!(matches!(ask(&model).await.1, Err(ChatError::Failed(_))));
    assert!(model.status().servers[0].last_error.as_ref().is_some_and(|e| e.contains("내부망에 들지 않아")));
    assert!(fake.asked.lock().unwrap().is_empty());
    let home = InternalNetworks::parse(["127.0.0.0/8", "::1"]).unwrap();
    assert!(ask(&ModelServers::new(card(), vec![named], &home, limits()).unwrap()).await.1.is_ok());
}

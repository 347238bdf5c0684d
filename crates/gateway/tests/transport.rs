//! What really goes over the wire, seen from a server on loopback.

use madang_gateway::{Destination, Fault, Form, Limits, Line, Policy, Reply, SendError, Usage, WireForm};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const CALL: &str = "0198c2a0-0000-7000-8000-000000000001";
const ANSWER: &str = r#"{"id":"c-1","choices":[{"message":{"content":"답"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

/// Serves one connection after the other, each with its reply, and returns every byte that the caller sent on each.
async fn serve_all(replies: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut seen = Vec::new();
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            seen.push(read_request(&mut socket).await);
            // The caller may stop reading a reply that is too long.
            let _cut = socket.write_all(&reply).await;
        }
        seen
    });
    (port, task)
}

async fn serve(reply: Vec<u8>) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
    serve_all(vec![reply]).await
}

async fn read_request(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
        if n == 0 || bytes.len() >= end + 4 + length {
            return bytes;
        }
    }
}

fn destination(url: &str) -> Destination {
    Destination::parse(url, Policy { allow_loopback: true, ..Policy::default() }).unwrap()
}

fn form(wire: WireForm, stream: bool) -> Form {
    Form { wire, max_output_tokens: 16, stream }
}

/// Without pauses between attempts.
fn limits() -> Limits {
    Limits { pause: Duration::ZERO, ..Limits::default() }
}

fn line(port: u16, form: Form) -> Line {
    let to = destination(&format!("http://127.0.0.1:{port}/v1"));
    Line::new(to, form, "m-1", "", "key-1".to_owned()).with_limits(limits())
}

fn to(port: u16) -> Line {
    line(port, form(WireForm::OpenAi, false))
}

async fn send(line: &Line, body: &[u8]) -> Result<Reply, SendError> {
    line.send(CALL, body, std::future::pending()).await
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn the_exact_bytes_arrive_once_with_the_key() {
    let (port, server) = serve(http("200 OK", "x-request-id: r-7\r\n", ANSWER)).await;
    let body = "{\"model\":\"m\",\"messages\":[]}  \n가".as_bytes();
    let reply = send(&to(port), body).await.unwrap();
    assert_eq!((reply.status, reply.text().as_deref(), reply.truncated), (200, Some("답"), false));
    assert_eq!(reply.provider_request_id.as_deref(), Some("r-7"));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }));
    assert_eq!(reply.attempts, 1);
    let request = server.await.unwrap().remove(0);
    let expected = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\n\
         content-type: application/json\r\nidempotency-key: {CALL}\r\nauthorization: Bearer key-1\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(String::from_utf8_lossy(&request), expected + &String::from_utf8_lossy(body), "and not a byte more");
}

#[tokio::test]
async fn each_form_goes_to_its_path_with_its_headers() {
    let cases = [
        (WireForm::Anthropic, "/v1/messages", "x-api-key: key-1\r\nanthropic-version: 2023-06-01\r\n"),
        (WireForm::Azure, "/openai/deployments/m-1/chat/completions?api-version=2024-10-21", "api-key: key-1\r\n"),
        (
            WireForm::Clova,
            "/v3/chat-completions/m-1",
            "authorization: Bearer key-1\r\nx-ncp-clovastudio-request-id: 0198c2a0-0000-7000-8000-000000000001\r\n",
        ),
    ];
    for (wire, path, headers) in cases {
        let (port, server) = serve(http("200 OK", "", "{}")).await;
        let base = destination(&format!("http://127.0.0.1:{port}"));
        let line = Line::new(base, form(wire, true), "m-1", "", "key-1".to_owned());
        assert_eq!(line.endpoint(), format!("http://127.0.0.1:{port}{path}"));
        let reply = send(&line, b"{}").await.unwrap();
        assert_eq!(reply.text(), None, "a reply without an answer is none");
        let request = String::from_utf8(server.await.unwrap().remove(0)).unwrap();
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
        assert!(request.contains(headers) && request.contains("accept: text/event-stream\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("location: http://{}/v1/chat/completions\r\n", other.local_addr().unwrap());
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (port, _server) = serve(http(status, &location, ANSWER)).await;
        let reply = send(&to(port), b"{}").await.unwrap();
        assert!((300..400).contains(&reply.status) && reply.text().is_none());
        assert_eq!(reply.fault, Some(Fault::Rejected));
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), other.accept()).await;
    assert!(nobody.is_err(), "the redirect was followed");
}

#[tokio::test]
async fn an_oversize_reply_is_cut() {
    let small = Limits { reply_bytes: 1000, ..limits() };
    let (port, _server) = serve(http("200 OK", "", &"x".repeat(3_000_000))).await;
    let reply = send(&to(port).with_limits(small), b"{}").await.unwrap();
    assert_eq!((reply.body.len(), reply.truncated, reply.text()), (1000, true, None));
    let (port, _server) = serve(http("200 OK", "", &"x".repeat(1000))).await;
    let whole = send(&to(port).with_limits(small), b"{}").await.unwrap();
    assert_eq!((whole.body.len(), whole.truncated), (1000, false));
    let stream = format!("data: {}\n\ndata: [DONE]\n\n", "x".repeat(2000));
    let (port, _server) = serve(http("200 OK", "content-type: text/event-stream\r\n", &stream)).await;
    let line = line(port, form(WireForm::OpenAi, true)).with_limits(small);
    let reply = send(&line, b"{}").await.unwrap();
    assert_eq!((reply.body.len(), reply.truncated, reply.text()), (1000, true, None));
}

#[tokio::test]
async fn without_a_connection_nothing_left() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let refused = send(&to(port), b"{}").await;
    assert!(matches!(&refused, Err(SendError::NothingLeft(why)) if why.contains("3번 시도")), "{refused:?}");
    let bad = Line::new(destination("http://127.0.0.1:1"), form(WireForm::OpenAi, false), "m", "", "bad\nkey".into());
    assert!(matches!(send(&bad, b"{}").await, Err(SendError::NothingLeft(_))));
    let inside = Destination::parse("https://localhost/v1", Policy::default()).unwrap();
    let inside = Line::new(inside, form(WireForm::OpenAi, false), "m", "", "k".into());
    assert!(matches!(send(&inside, b"{}").await, Err(SendError::NothingLeft(_))));
}

#[tokio::test]
async fn silence_and_a_broken_reply_count_as_sent_and_are_not_tried_again() {
    for reply in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", b"not http at all\r\n\r\n"] {
        // A second attempt would find nobody: it would be another error.
        let (port, _server) = serve(reply.to_vec()).await;
        let sent = send(&to(port), b"{}").await;
        assert!(matches!(sent, Err(SendError::Unknown(_))), "{sent:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for short in [
        Limits { first_byte: Duration::from_millis(50), ..limits() },
        Limits { total: Duration::from_millis(50), ..limits() },
    ] {
        let late = to(listener.local_addr().unwrap().port()).with_limits(short);
        let sent = send(&late, b"{}").await;
        assert!(matches!(sent, Err(SendError::Unknown(_))), "{sent:?}");
    }
}

const BUSY: &str = r#"{"error":{"code":"rate_limit_exceeded"}}"#;

#[tokio::test]
async fn who_was_turned_away_unread_asks_again_under_the_same_name() {
    let away = http("429 Too Many Requests", "retry-after: 0\r\n", BUSY);
    let replies = vec![away.clone(), http("503 Unavailable", "retry-after: 0\r\n", BUSY), http("200 OK", "", ANSWER)];
    let (port, server) = serve_all(replies).await;
    let reply = send(&to(port), b"{\"a\":1}").await.unwrap();
    assert_eq!((reply.attempts, reply.text().as_deref()), (3, Some("답")));
    let seen = server.await.unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| *request == seen[0]), "the same bytes under the same name");
    assert!(String::from_utf8_lossy(&seen[0]).contains(&format!("idempotency-key: {CALL}\r\n")));

    let (port, server) = serve_all(vec![away.clone(); 3]).await;
    let reply = send(&to(port), b"{}").await.unwrap();
    assert_eq!((reply.status, reply.attempts, reply.fault), (429, 3, Some(Fault::RateLimited)), "and then no more");
    assert_eq!(server.await.unwrap().len(), 3);

    // Turned away, and then nobody is there: it was heard, so that "nothing left" would be a lie.
    let (port, _server) = serve(away).await;
    let reply = send(&to(port), b"{}").await.unwrap();
    assert_eq!((reply.status, reply.attempts), (429, 2));
}

#[tokio::test]
async fn whoever_may_have_been_read_does_not_ask_again() {
    let cases = [
        http("429 Too Many Requests", "", BUSY),
        http("429 Too Many Requests", "retry-after: 3600\r\n", BUSY),
        http("429 Too Many Requests", "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", BUSY),
        http("429 Too Many Requests", "retry-after: 0\r\n", "slow down"),
        http("429 Too Many Requests", "retry-after: 0\r\n", r#"{"error":{"code":"insufficient_quota"}}"#),
        http("503 Unavailable", "retry-after: 0\r\n", ""),
        http("500 Error", "retry-after: 0\r\n", BUSY),
        http("200 OK", "retry-after: 0\r\n", BUSY),
    ];
    for reply in cases {
        let (port, server) = serve(reply.clone()).await;
        let got = send(&to(port), b"{}").await.unwrap();
        assert_eq!((got.attempts, got.text()), (1, None), "{}", String::from_utf8_lossy(&reply));
        assert_eq!(server.await.unwrap().len(), 1);
    }
}

const STREAM: &str = concat!(
    "data: {\"id\":\"r-1\",\"choices\":[{\"delta\":{\"content\":\"답 \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"하나\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
);

/// As a server sends a stream: in chunks.
fn chunked(pieces: &[&str]) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks: String = pieces.iter().map(|p| format!("{:x}\r\n{p}\r\n", p.len())).collect();
    format!("{head}{chunks}0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_stream_is_put_together_and_one_cut_at_any_byte_counts_as_sent() {
    let (first, rest) = STREAM.split_at(STREAM.find("하").unwrap());
    let whole = chunked(&[first, rest]);
    // From here on the stream has come to its own end, and only the frame around it is missing.
    let enough = whole.windows(8).position(|w| w == b"[DONE]\n\n").unwrap() + 8;
    for cut in 0..=whole.len() {
        let (port, _server) = serve(whole[..cut].to_vec()).await;
        let sent = send(&line(port, form(WireForm::OpenAi, true)), b"{}").await;
        if cut < enough {
            assert!(matches!(sent, Err(SendError::Unknown(_))), "at {cut}: {sent:?}");
        } else {
            let reply = sent.unwrap();
            let usage = Usage { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 };
            assert_eq!((reply.text().as_deref(), reply.usage), (Some("답 하나"), Some(usage)), "at {cut}");
            assert_eq!(reply.provider_request_id.as_deref(), Some("r-1"));
        }
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_is_no_answer() {
    for stream in ["data: {\"choices\":[{\"delta\"\n\ndata: [DONE]\n\n", "data: {\"error\":{\"code\":\"x\"}}\n\n"] {
        let (port, _server) = serve(chunked(&[stream])).await;
        let reply = send(&line(port, form(WireForm::OpenAi, true)), b"{}").await.unwrap();
        assert_eq!((reply.status, reply.text()), (200, None), "{stream}");
    }
    // Asked to stream, a server may answer whole.
    let (port, _server) = serve(http("200 OK", "content-type: application/json\r\n", ANSWER)).await;
    let reply = send(&line(port, form(WireForm::OpenAi, true)), b"{}").await.unwrap();
    assert_eq!(reply.text().as_deref(), Some("답"));
    let (port, _server) = serve(http("200 OK", "content-encoding: gzip\r\n", ANSWER)).await;
    assert_eq!(send(&to(port), b"{}").await.unwrap().text(), None, "what was not asked for is not read");
}

#[tokio::test]
async fn a_stop_closes_the_connection_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n").await.unwrap();
        tell.send(()).unwrap();
        // Ends when the other side does.
        socket.read(&mut [0; 16]).await
    });
    let stop = async {
        stopped.await.unwrap();
        "멈춤".to_owned()
    };
    let line = line(port, form(WireForm::OpenAi, true));
    let sent = line.send(CALL, b"{}", stop).await;
    assert_eq!(sent, Err(SendError::Unknown("멈춤".into())));
    assert!(matches!(server.await.unwrap(), Ok(0) | Err(_)), "the connection is closed");
    let (port, _server) = serve(http("200 OK", "", ANSWER)).await;
    let sent = to(port).send(CALL, b"{}", async { "멈춤".to_owned() }).await;
    assert_eq!(sent, Err(SendError::NothingLeft("멈춤".into())), "before the first byte nothing left");
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    // Port 1 of loopback serves nobody: a call that asked this proxy would fail.
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_exact_bytes_arrive_once_with_the_key"])
        .envs(
            ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"]
                .map(|name| (name, "http://127.0.0.1:1")),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

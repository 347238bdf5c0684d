//! What really goes over the wire, seen from a server on loopback.

use madang_gateway::{Destination, Limits, Policy, SendError, Usage, send, send_within};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Serves one connection with `reply` and returns every byte that the caller sent.
async fn serve(reply: Vec<u8>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read_request(&mut socket).await;
        // The caller may stop reading a reply that is too long.
        let _cut = socket.write_all(&reply).await;
        request
    });
    (port, task)
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

fn to(port: u16) -> Destination {
    Destination::parse(&format!("http://127.0.0.1:{port}/v1"), Policy { allow_loopback: true, ..Policy::default() })
        .unwrap()
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn the_exact_bytes_arrive_once_with_the_key() {
    let answer = r#"{"id":"c-1","choices":[{"message":{"content":"답"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    let (port, server) = serve(http("200 OK", "x-request-id: r-7\r\n", answer)).await;
    let body = "{\"model\":\"m\",\"messages\":[]}  \n가".as_bytes();
    let reply = send(&to(port), "key-1", body).await.unwrap();
    assert_eq!((reply.status, reply.text().as_deref(), reply.truncated), (200, Some("답"), false));
    assert_eq!(reply.provider_request_id.as_deref(), Some("r-7"));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }));
    let request = server.await.unwrap();
    let head = String::from_utf8_lossy(&request).to_lowercase();
    assert!(
        head.starts_with("post /v1/chat/completions http/1.1\r\n") && head.contains("authorization: bearer key-1\r\n"),
        "{head}"
    );
    assert!(request.ends_with(&[b"\r\n\r\n", body].concat()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("location: http://{}/v1/chat/completions\r\n", other.local_addr().unwrap());
    for status in ["302 Found", "307 Temporary Redirect"] {
        let (port, _server) = serve(http(status, &location, "")).await;
        let reply = send(&to(port), "key", b"{}").await.unwrap();
        assert!((300..400).contains(&reply.status) && reply.text().is_none());
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), other.accept()).await;
    assert!(nobody.is_err(), "the redirect was followed");
}

#[tokio::test]
async fn an_oversize_reply_is_cut() {
    let (port, _server) = serve(http("200 OK", "", &"x".repeat(3_000_000))).await;
    let limits = Limits { reply_bytes: 1000, ..Limits::default() };
    let reply = send_within(&to(port), "key", b"{}", &limits).await.unwrap();
    assert_eq!((reply.body.len(), reply.truncated, reply.text()), (1000, true, None));
    let (port, _server) = serve(http("200 OK", "", &"x".repeat(1000))).await;
    let whole = send_within(&to(port), "key", b"{}", &limits).await.unwrap();
    assert_eq!((whole.body.len(), whole.truncated), (1000, false));
}

#[tokio::test]
async fn without_a_connection_nothing_left() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    assert!(matches!(send(&to(port), "key", b"{}").await, Err(SendError::NothingLeft(_))));
    assert!(matches!(send(&to(port), "bad\nkey", b"{}").await, Err(SendError::NothingLeft(_))));
    let inside = Destination::parse("https://localhost/v1", Policy::default()).unwrap();
    assert!(matches!(send(&inside, "key", b"{}").await, Err(SendError::NothingLeft(_))));
}

#[tokio::test]
async fn a_server_without_tls_gets_no_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let n = socket.read(&mut hello).await.unwrap();
        let _closed = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        hello.truncate(n);
        hello
    });
    let destination = Destination::parse(
        &format!("https://127.0.0.1:{port}/v1"),
        Policy { allow_loopback: true, ..Policy::default() },
    )
    .unwrap();
    let sent = send(&destination, "secret-key", b"secret-body").await;
    assert!(matches!(sent, Err(SendError::NothingLeft(_))), "{sent:?}");
    if let Ok(seen) = tokio::time::timeout(Duration::from_secs(1), server).await {
        let seen = String::from_utf8_lossy(&seen.unwrap()).into_owned();
        assert!(!seen.contains("secret"), "{seen}");
    } else {
        eprintln!("skipped in part: this machine has no certificates, so no connection was tried");
    }
}

#[tokio::test]
async fn silence_and_a_broken_reply_count_as_sent() {
    let (port, _server) = serve(Vec::new()).await;
    assert!(matches!(send(&to(port), "key", b"{}").await, Err(SendError::Unknown(_))));
    let (port, _server) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()).await;
    assert!(matches!(send(&to(port), "key", b"{}").await, Err(SendError::Unknown(_))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { total: Duration::from_millis(100), ..Limits::default() };
    let late = send_within(&to(listener.local_addr().unwrap().port()), "key", b"{}", &limits).await;
    assert!(matches!(late, Err(SendError::Unknown(_))), "{late:?}");
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

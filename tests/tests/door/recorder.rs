//! The provider that records: what arrives, whether its intent was on disk by then, and whether anything in it was
//! closed at that moment. It answers, fails, breaks off or leads elsewhere, by chance.

use crate::chance::Chance;
use anyhow::Context;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Row, SqlitePool};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What arrived of one call, over all its attempts.
#[derive(Debug, Default)]
pub struct Arrived {
    pub times: usize,
    pub bodies: BTreeSet<Vec<u8>>,
}

/// What was seen so far.
#[derive(Default)]
pub struct Seen {
    pub calls: Mutex<BTreeMap<String, Arrived>>,
    /// What went wrong, in words.
    pub faults: Mutex<Vec<String>>,
    /// Words that must not arrive now.
    pub closed: Mutex<BTreeSet<String>>,
    /// Requests that came where a redirect led.
    pub trapped: AtomicUsize,
    pub bytes: AtomicUsize,
    chance: Mutex<Chance>,
}

impl Seen {
    pub fn fault(&self, words: String) {
        self.faults.lock().expect("no poison").push(words);
    }

    fn draw(&self, of: usize) -> usize {
        self.chance.lock().expect("no poison").below(of)
    }
}

/// A provider on loopback, and the place that its redirects lead to.
pub struct Recorder {
    pub url: String,
    pub seen: Arc<Seen>,
}

impl Recorder {
    /// # Errors
    /// When it cannot listen.
    pub async fn start(home: &Path, seed: u64) -> anyhow::Result<Self> {
        let seen = Arc::new(Seen { chance: Mutex::new(Chance::new(seed)), ..Seen::default() });
        let trap = TcpListener::bind("127.0.0.1:0").await?;
        let elsewhere = format!("http://{}/v1/chat/completions", trap.local_addr()?);
        let trapped = Arc::clone(&seen);
        tokio::spawn(async move {
            while trap.accept().await.is_ok() {
                trapped.trapped.fetch_add(1, Ordering::SeqCst);
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let options = SqliteConnectOptions::new().filename(home.join("madang.db")).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options);
        let recording = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, pool, elsewhere) = (Arc::clone(&recording), pool.clone(), elsewhere.clone());
                tokio::spawn(async move {
                    // A connection that breaks is the server's end or its kill: what arrived before it is recorded.
                    let _broken = serve(socket, &seen, &pool, &elsewhere).await;
                });
            }
        });
        Ok(Self { url, seen })
    }
}

async fn serve(mut socket: TcpStream, seen: &Seen, pool: &SqlitePool, elsewhere: &str) -> anyhow::Result<()> {
    let manner = seen.draw(40);
    if manner == 0 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let n = socket.read(&mut chunk).await.unwrap_or(0);
        seen.bytes.fetch_add(n, Ordering::SeqCst);
        bytes.extend_from_slice(chunk.get(..n).context("chunk")?);
        // Half a request has left too.
        closed_words(seen, &bytes);
        match whole(&bytes) {
            Some((call, body)) => {
                record(seen, pool, call, body).await?;
                break;
            }
            None if n == 0 => return Ok(()),
            None if manner == 1 => return Ok(()),
            None => {}
        }
    }
    answer(&mut socket, manner, elsewhere).await
}

/// The call's id and the body, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).to_lowercase();
    let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let length: usize = field("content-length:")?.parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some((field("idempotency-key:").unwrap_or_default(), body))
}

fn closed_words(seen: &Seen, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let closed = seen.closed.lock().expect("no poison").clone();
    for word in closed.iter().filter(|w| text.contains(w.as_str())) {
        seen.fault(format!("{word} arrived while it was closed"));
    }
}

async fn record(seen: &Seen, pool: &SqlitePool, call: String, body: Vec<u8>) -> anyhow::Result<()> {
    let intents: i64 = sqlx::query(
        "SELECT COUNT(*) AS n FROM ledger WHERE seq > (SELECT MAX(seq) FROM ledger) - 400 \
         AND payload LIKE '%\"action\":\"outside_call_intent\"%' AND payload LIKE '%' || $1 || '%'",
    )
    .bind(format!("\"call\":\"{call}\""))
    .fetch_one(pool)
    .await?
    .get("n");
    if intents != 1 {
        seen.fault(format!("{intents} intents on disk when {call} arrived"));
    }
    let mut calls = seen.calls.lock().expect("no poison");
    let arrived = calls.entry(call).or_default();
    arrived.times += 1;
    arrived.bodies.insert(body);
    Ok(())
}

async fn answer(socket: &mut TcpStream, manner: usize, elsewhere: &str) -> anyhow::Result<()> {
    let words = "매월 1일에 받습니다. [전화번호-1] 900101-1970000 <b>굵게</b>";
    let reply = json!({ "id": "r", "choices": [{ "message": { "content": words } }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16 } })
    .to_string();
    let full = |status: &str, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let text = match manner {
        2 => return Ok(()),
        3 => full("500 Error", "", "{}"),
        4 => full("302 Found", &format!("location: {elsewhere}\r\n"), ""),
        5 => full("307 Temporary Redirect", &format!("location: {elsewhere}\r\n"), ""),
        6 => full("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
        7 => full("200 OK", "", "no JSON at all"),
        8 => full("200 OK", "", &reply).chars().take(120).collect(),
        9 => full("401 Unauthorized", "", "{\"error\":{\"message\":\"key\"}}"),
        10 => {
            // Silent until the other side gives up.
            let _gone = socket.read(&mut [0; 16]).await;
            return Ok(());
        }
        _ => full("200 OK", "", &reply),
    };
    Ok(socket.write_all(text.as_bytes()).await?)
}

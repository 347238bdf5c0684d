//! Going outside: a provider on loopback that tells what it saw, and a city with an app that may ask.

use crate::{City, Client, Madang, Member};
use anyhow::{Context, ensure};
use madang_store::{Clock, Store};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The document that the app answers from.
pub const TEXT: &str = "# 캠핑장 안내\n\n## 예약\n가람 캠핑장은 매월 1일 오전 9시에 다음 달 예약을 받는다. 담당자 휴대전화는 010-2345-6789이다.\n";
/// The telephone number in it.
pub const PHONE: &str = "010-2345-6789";
/// Why an official asks.
pub const PURPOSE: &str = "안내문을 시민이 읽기 쉬운 말로 고쳐 씀";

/// What the provider saw of one request.
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    /// A record of the intent was in the database when the bytes arrived.
    pub intended: bool,
}

/// A provider that answers every request, or falls silent, and tells what it saw.
pub struct Provider {
    pub url: String,
    pub seen: mpsc::UnboundedReceiver<Seen>,
}

/// What a provider does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// Reads the request and says nothing.
    Silent,
    Fails,
}

impl Provider {
    /// Listens. `home`: where the server keeps its database.
    pub async fn start(home: &Path, manner: Manner) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let (tell, seen) = mpsc::unbounded_channel();
        let database = home.join("madang.db");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if answer(socket, &database, &tell, manner).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { url, seen })
    }

    /// Nothing arrived that was not taken yet.
    pub fn nothing_more(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }
}

async fn answer(
    mut socket: tokio::net::TcpStream,
    database: &PathBuf,
    tell: &mpsc::UnboundedSender<Seen>,
    manner: Manner,
) -> anyhow::Result<()> {
    let (head, body) = request(&mut socket).await?;
    let store = Store::open_sqlite(database, Clock::System).await?;
    let intended = store.ledger_chain(1, 100_000).await?.iter().any(|e| e.payload.contains("\"outside_call_intent\""));
    store.close().await;
    tell.send(Seen { head, body, intended })?;
    if manner == Manner::Silent {
        // Until the other side goes away.
        let _gone = socket.read(&mut [0; 16]).await;
        return Ok(());
    }
    if manner == Manner::Fails {
        return Ok(socket.write_all(b"HTTP/1.1 500 Error\r\ncontent-length: 0\r\n\r\n").await?);
    }
    let words = "매월 1일 아침 9시에 예약하세요. 문의 [전화번호-1], 900101-1970000 <script>alert(1)</script>";
    let reply = json!({ "id": "r-1", "choices": [{ "message": { "content": words } }], "usage": { "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 } }).to_string();
    let http = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reply}",
        reply.len()
    );
    Ok(socket.write_all(http.as_bytes()).await?)
}

async fn request(socket: &mut tokio::net::TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await?;
        ensure!(n > 0, "the request ended early");
        bytes.extend_from_slice(chunk.get(..n).context("chunk")?);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end).context("head")?).to_lowercase();
        let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).context("length")?.parse()?;
        if let Some(body) = bytes.get(end + 4..end + 4 + length) {
            return Ok((head, body.to_vec()));
        }
    }
}

/// The server, with providers on loopback allowed.
///
/// # Errors
/// When it does not start.
pub fn start(home: &Path) -> anyhow::Result<Madang> {
    Madang::start_in(home, &["--allow-loopback-providers"])
}

/// Registers a provider and switches it on.
pub async fn register(city: &City, url: &str) -> anyhow::Result<String> {
    let admin = &city.admin.client;
    let body =
        json!({ "name": "시험 제공자", "base_url": url, "model": "model-1", "api_key": "secret-key-0123456789" });
    let id = admin.ok(Method::POST, "/api/v1/providers", body).await?["id"].as_str().context("id")?.to_owned();
    let listed = admin.json("/api/v1/providers").await?;
    ensure!(listed[0]["enabled"] == false && listed[0]["key_hint"] == "6789", "off by default");
    ensure!(!listed.to_string().contains("secret-key"), "the key never comes back");
    admin.ok(Method::POST, &format!("/api/v1/providers/{id}/enable"), json!({})).await?;
    Ok(id)
}

/// An app that may ask, over a collection; its id and the key of its field.
pub async fn app_over(client: &Client, collection: &str) -> anyhow::Result<(String, String)> {
    app_of(client, json!({ "type": "collection", "id": collection, "name": "자료" })).await
}

/// An app that may ask, over all that its reader may read.
pub async fn app_over_all(client: &Client) -> anyhow::Result<(String, String)> {
    app_of(client, json!({ "type": "readable" })).await
}

async fn app_of(client: &Client, source: Value) -> anyhow::Result<(String, String)> {
    let prompt = json!({ "prompt": "캠핑장 안내에 대한 질문에 근거를 붙여 답해줘" });
    let draft = client.ok(Method::POST, "/api/v1/drafts", prompt).await?["id"].as_str().context("draft")?.to_owned();
    let path = format!("/api/v1/drafts/{draft}");
    let read = client.json(&path).await?;
    let mut sheet = read["sheet"].clone();
    sheet["outside"] = json!("ask");
    sheet["sources"] = json!([source]);
    let put = client.ok(Method::PUT, &path, json!({ "revision": read["revision"], "sheet": sheet })).await?;
    let saved = client.ok(Method::POST, &format!("{path}/versions"), json!({ "revision": put["revision"] })).await?;
    let key = sheet["inputs"][0]["key"].as_str().context("field")?.to_owned();
    Ok((saved["app"].as_str().context("app")?.to_owned(), key))
}

/// Runs it; the run's id.
pub async fn run(client: &Client, (app, key): &(String, String), question: &str) -> anyhow::Result<String> {
    let inputs = json!({ "inputs": { key.as_str(): question } });
    let run = client.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), inputs).await?;
    Ok(run["id"].as_str().context("run")?.to_owned())
}

/// A city with an app over an open document and a provider that is switched on.
pub struct Stage {
    pub city: City,
    pub collection: String,
    pub app: (String, String),
    pub provider: Provider,
    pub server: Madang,
}

/// Builds it in a fresh home.
pub async fn stage(home: &Path, manner: Manner) -> anyhow::Result<Stage> {
    let server = start(home)?;
    let city = City::build(&server).await?;
    let collection = city.collection("캠핑장 자료", "O", true).await?;
    city.ict_official.client.upload_ready(&collection, "캠핑장 안내.md", TEXT).await?;
    let app = app_over(&city.ict_official.client, &collection).await?;
    let provider = Provider::start(home, manner).await?;
    register(&city, &provider.url).await?;
    Ok(Stage { city, collection, app, provider, server })
}

impl Stage {
    /// Another collection with the same document, of this grade.
    pub async fn collection_of(&self, grade: &str) -> anyhow::Result<String> {
        let collection = self.city.collection("다른 자료", grade, true).await?;
        self.city.ict_official.client.upload_ready(&collection, "캠핑장 안내.md", TEXT).await?;
        Ok(collection)
    }
}

/// Asks and has it approved; the call's id.
pub async fn approved(stage: &Stage, question: &str) -> anyhow::Result<String> {
    let (official, officer) = (&stage.city.ict_official.client, &stage.city.security.client);
    let run = run(official, &stage.app, question).await?;
    let asked =
        official.ok(Method::POST, &format!("/api/v1/runs/{run}/outside"), json!({ "purpose": PURPOSE })).await?;
    let call = asked["id"].as_str().context("call")?.to_owned();
    officer
        .ok(Method::POST, &format!("/api/v1/outside/{call}/approve"), json!({ "hours": 1, "reason": "공개 자료" }))
        .await?;
    Ok(call)
}

/// Puts a policy of these rules into force: one officer proposes it, another confirms where that is needed.
pub async fn policy(stage: &Stage, second: &Member, rules: &str) -> anyhow::Result<()> {
    let officer = &stage.city.security.client;
    let now = officer.json("/api/v1/policy").await?;
    let revision = now["revision"].as_u64().context("revision")?;
    let text = format!("format = 1\nrevision = {}\n{rules}", revision + 1);
    let new = json!({ "text": text, "reason": "시험", "expected_revision": revision });
    let put = officer.ok(Method::PUT, "/api/v1/policy", new).await?;
    if let Some(proposal) = put["proposal"].as_str() {
        let path = format!("/api/v1/policy/proposals/{proposal}/confirm");
        second.client.ok(Method::POST, &path, json!({})).await?;
    }
    Ok(())
}

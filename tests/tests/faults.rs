//! What happens when things break: a full disk, a killed process, a browser that goes away, two servers on one home.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang, PASSWORD, binary};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

type Test = anyhow::Result<()>;

/// A file system of a few MiB, taken away again when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    fn new(mebibytes: usize) -> anyhow::Result<Option<Self>> {
        let dir = tempfile::tempdir()?;
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Ok(Some(Self(dir)));
        }
        eprintln!("skipped: mounting a small file system needs root");
        Ok(None)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing_half_written() -> Test {
    let Some(disk) = SmallDisk::new(24)? else { return Ok(()) };
    let home = disk.path().join("home");
    let server = Madang::start_in(&home, &[])?;
    let city = City::build(&server).await?;
    let collection = city.collection("좁은 자료", "O", true).await?;
    let official = &city.ict_official.client;
    let known = official.upload_ready(&collection, "먼저.md", "# 안내\n\n창구는 아홉 시에 연다.\n").await?;
    let refused = official.upload(&collection, "큰 파일.txt", "가나다라 ".repeat(3 << 20)).await?;
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    let words: Value = refused.json().await?;
    ensure!(words.to_string().contains('니'), "no Korean sentence: {words}");
    let listed = official.json(&format!("/api/v1/collections/{collection}/documents")).await?;
    assert_eq!(listed["total"], 1, "only what was there before: {listed}");
    let left = incoming(&home.join("originals"))?;
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(official.get("/readyz").await?.status(), StatusCode::OK);
    assert_eq!(official.get(&format!("/api/v1/documents/{known}")).await?.status(), StatusCode::OK);
    official.upload_ready(&collection, "나중.md", "# 안내\n\n창구는 여섯 시에 닫는다.\n").await?;
    Ok(())
}

/// Files below `dir` larger than the small ones that were stored on purpose.
fn incoming(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(incoming(&path)?);
        } else if path.metadata()?.len() > 4096 {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

const FILES: usize = 30;

#[tokio::test]
async fn killed_while_reading_files_and_started_again() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    let collection = city.collection("많은 자료", "O", true).await?;
    let mut accepted = Vec::new();
    for n in 0..FILES {
        let text = format!("# 규정 {n}\n\n")
            + &format!("제{n}호 규정의 보고 기한은 {n}일이다. 담당자는 빠짐없이 적는다.\n\n").repeat(400);
        let answer: Value =
            city.ict_official.client.upload(&collection, &format!("규정 {n}.md"), text).await?.json().await?;
        accepted.push(answer["documents"][0]["id"].as_str().context("not accepted")?.to_owned());
    }
    server.kill()?;
    drop(server);
    let server = Madang::start_in(home.path(), &[])?;
    let mut official = Client::new(&server.base)?;
    official.sign_in(&city.ict_official.login, PASSWORD).await?;
    let path = format!("/api/v1/collections/{collection}/documents");
    let documents = madang_tests::eventually("all files are settled", || async {
        let list = official.json(&path).await?;
        let documents = list["documents"].as_array().context("documents")?.clone();
        // A hit never comes from a document that is not ready.
        check_hits(&official, &collection).await?;
        let settled = documents.iter().all(|d| matches!(d["state"].as_str(), Some("ready" | "failed")));
        Ok((settled && documents.len() == FILES).then_some(documents))
    })
    .await?;
    for document in &documents {
        let failed_with_reason =
            document["state"] == "failed" && document["note"].as_str().is_some_and(|n| !n.is_empty());
        ensure!(document["state"] == "ready" || failed_with_reason, "{document}");
        ensure!(accepted.iter().any(|id| document["id"] == id.as_str()), "nobody uploaded {document}");
    }
    let ready = documents.iter().filter(|d| d["state"] == "ready").count();
    assert_eq!(ready, FILES, "sound files are read after the restart");
    let found = official.json(&format!("/api/v1/search?q=제7호 규정의 보고 기한&collection={collection}")).await?;
    assert!(found["hits"].to_string().contains("제7호"), "{found}");
    Ok(())
}

async fn check_hits(by: &Client, collection: &str) -> Test {
    let found = by.json(&format!("/api/v1/search?q=규정의 보고 기한&limit=50&collection={collection}")).await?;
    for hit in found["hits"].as_array().context("hits")? {
        let id = hit["document"].as_str().or(hit["document_id"].as_str()).with_context(|| hit.to_string())?;
        let document = by.json(&format!("/api/v1/documents/{id}")).await?;
        assert_eq!(document["state"], "ready", "a hit of a half-read document: {hit}");
    }
    Ok(())
}

#[tokio::test]
async fn a_browser_that_goes_away_mid_answer_ends_the_run() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let official = &city.ict_official.client;
    let collection = city.collection("자료", "O", true).await?;
    let text =
        "# 당직\n\n".to_owned() + &"당직자는 사고가 나면 30분 이내에 당직사령에게 보고하여야 한다.\n\n".repeat(50);
    official.upload_ready(&collection, "당직.md", text).await?;
    let sheet = json!({ "title": "당직 질문", "purpose": "당직 규정을 찾는다.", "task": "question_answering",
        "sentences": [{ "text": "당직 규정에서 답을 찾는다." }], "output": { "type": "answer" }, "sources": [{ "type": "readable" }],
        "inputs": [{ "key": "question", "label": "질문", "kind": { "type": "text" }, "required": true }] });
    let draft = official.ok(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
    let path = format!("/api/v1/drafts/{}/trial", draft["id"].as_str().context("no draft")?);
    for _ in 0..10 {
        let body = json!({ "inputs": { "question": "당직자는 언제 보고합니까?" } });
        let answer =
            official.request(Method::POST, &path).header("accept", "text/event-stream").json(&body).send().await?;
        assert_eq!(answer.status(), StatusCode::OK);
        drop(answer); // the connection closes with the answer unread
    }
    madang_tests::eventually("no run is left running", || async {
        let runs = official.json("/api/v1/runs").await?;
        let running = runs["runs"].as_array().context("runs")?.iter().any(|r| r["state"] == "running");
        Ok((!running).then_some(()))
    })
    .await?;
    assert_eq!(official.get("/readyz").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn term_ends_it_in_order_and_it_starts_again_quickly() -> Test {
    let home = tempfile::tempdir()?;
    let mut server = Madang::start_in(home.path(), &[])?;
    let city = City::build(&server).await?;
    let collection = city.collection("자료", "O", true).await?;
    city.ict_official.client.upload_ready(&collection, "가.md", "# 가\n\n가나다라.\n").await?;
    let status = server.stop()?;
    assert!(status.success(), "TERM: {status}");
    let began = Instant::now();
    let server = Madang::start_in(home.path(), &[])?;
    eprintln!("start on an existing home: {} ms", began.elapsed().as_millis());
    assert!(server.setup.is_none(), "set up once");
    let mut again = Client::new(&server.base)?;
    again.sign_in(&city.ict_official.login, PASSWORD).await?;
    assert_eq!(again.get(&format!("/api/v1/collections/{collection}")).await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_second_server_on_the_same_home_is_refused() -> Test {
    let home = tempfile::tempdir()?;
    let server = Madang::start_in(home.path(), &[])?;
    let second =
        Command::new(binary()?).args(["serve", "--addr", "127.0.0.1:0", "--home"]).arg(home.path()).output()?;
    assert!(!second.status.success(), "two servers on one home");
    let words = String::from_utf8_lossy(&second.stderr);
    let korean = words.lines().filter(|l| l.chars().any(|c| ('가'..='힣').contains(&c))).count();
    assert!(korean > 0 && !words.contains("panicked"), "no reason given: {words}");
    assert_eq!(Client::new(&server.base)?.get("/readyz").await?.status(), StatusCode::OK, "the first goes on");
    Ok(())
}

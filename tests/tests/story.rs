//! The main job as three people over HTTP, against the real binary: collect, find, build by prompt, run, share,
//! reuse elsewhere. The same story on SQLite and, where installed, on PostgreSQL: one suite over both databases.

use anyhow::Context;
use madang_tests::{City, Madang, Postgres};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

type Test = anyhow::Result<()>;

const RULES: &str = "# 당직 근무 지침\n\n## 제1조(당직 시간)\n평일 당직은 오후 6시부터 다음 날 오전 9시까지 한다.\n\n\
## 제2조(당직 보고)\n당직자는 사고가 나면 30분 이내에 당직사령에게 보고하여야 한다.\n\n\
## 제3조(당직 수당)\n당직 수당은 1회 60,000원으로 한다.\n";

#[tokio::test]
async fn main_job_on_sqlite() -> Test {
    story(&Madang::start()?).await
}

#[tokio::test]
async fn main_job_on_postgres() -> Test {
    let Some(cluster) = Postgres::start()? else { return Ok(()) };
    story(&Madang::start_with(&["--database-url", &cluster.database("story")?])?).await
}

async fn story(server: &Madang) -> Test {
    let city = City::build(server).await?;
    let collection = collect_and_find(&city).await?;
    let app = build_and_run(&city, &collection).await?;
    share(&city, &app).await?;
    reuse(&city, &app, &collection).await?;
    improve(&city, &app).await
}

async fn collect_and_find(city: &City) -> anyhow::Result<String> {
    let collection = city.collection("당직 자료", "O", true).await?;
    let official = &city.ict_official.client;
    let document = official.upload_ready(&collection, "당직 근무 지침.md", RULES).await?;
    let again: Value = official.upload(&collection, "다른 이름.md", RULES).await?.json().await?;
    assert_eq!(again["documents"][0]["duplicate"], true, "{again}");
    assert_eq!(again["documents"][0]["id"], document.as_str());
    let found = city.civil_official.client.json("/api/v1/search?q=당직사령에게 언제 보고하나").await?;
    assert!(found.to_string().contains("30분 이내"), "{found}");
    Ok(collection)
}

/// Builds an app by prompt, tries it, saves it, runs it; returns its id.
async fn build_and_run(city: &City, collection: &str) -> anyhow::Result<String> {
    let official = &city.ict_official.client;
    let prompt = json!({ "prompt": "당직 근무 지침에 대한 질문에 근거를 붙여 답해줘" });
    let draft =
        official.ok(Method::POST, "/api/v1/drafts", prompt).await?["id"].as_str().context("no draft")?.to_owned();
    let read = official.json(&format!("/api/v1/drafts/{draft}")).await?;
    let sheet = &read["sheet"];
    assert_eq!(sheet["task"], "question_answering", "{read}");
    assert!(sheet["sources"].to_string().contains(collection), "the fitting collection is picked: {sheet}");
    assert!(!sheet["sentences"].as_array().context("sentences")?.is_empty());
    let field = sheet["inputs"][0]["key"].as_str().context("an input field")?.to_owned();
    let inputs = json!({ field.as_str(): "당직자는 사고가 나면 언제까지 누구에게 보고해야 합니까?" });
    let trial = json!({ "revision": read["revision"], "inputs": inputs });
    let events = official.events(&format!("/api/v1/drafts/{draft}/trial"), trial).await?;
    let names: Vec<_> = events.iter().map(|e| e.event.as_str()).collect();
    assert_eq!(names.first(), Some(&"run"));
    assert_eq!(names.get(1), Some(&"engine"), "the engine is named before it speaks");
    assert_eq!(names.last(), Some(&"done"), "{names:?}");
    let stale = json!({ "revision": -1, "sheet": sheet });
    assert_eq!(
        official.send(Method::PUT, &format!("/api/v1/drafts/{draft}"), stale).await?.status(),
        StatusCode::CONFLICT
    );
    let save = json!({ "revision": read["revision"], "note": "첫 판" });
    let saved = official.ok(Method::POST, &format!("/api/v1/drafts/{draft}/versions"), save).await?;
    assert_eq!(saved["version"], 1);
    let app = saved["app"].as_str().context("no app")?.to_owned();
    let run = official.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), json!({ "inputs": inputs })).await?;
    check_answer(city, &run).await?;
    Ok(app)
}

/// The answer holds the figure, its citation opens at the passage, the record is the reader's alone.
async fn check_answer(city: &City, run: &Value) -> Test {
    let official = &city.ict_official.client;
    assert_eq!(run["state"], "done", "{run}");
    assert_eq!(run["answered"], true, "{run}");
    assert!(run["answer"].as_str().is_some_and(|a| a.contains("30분 이내")), "{run}");
    let citation = &run["citations"][0];
    let passage = citation["passage"].as_str().context("no citation")?;
    let opened = official.json(&format!("/api/v1/passages/{passage}")).await?;
    let quote = citation["quote"].as_str().unwrap_or_default();
    assert!(opened["text"].as_str().is_some_and(|t| t.contains(quote)), "{quote:?} in {opened}");
    let id = run["id"].as_str().context("no run id")?;
    assert_eq!(city.ict_manager.client.get(&format!("/api/v1/runs/{id}")).await?.status(), StatusCode::NOT_FOUND);
    for (format, start) in [("md", &b"#"[..]), ("docx", b"PK"), ("hwpx", b"PK")] {
        let answer = official.get(&format!("/api/v1/runs/{id}/export?format={format}")).await?;
        assert_eq!(answer.status(), StatusCode::OK, "{format}");
        let bytes = answer.bytes().await?;
        assert!(bytes.starts_with(start), "{format}");
        if format != "md" {
            let read = madang_documents::read(&bytes, &format!("답.{format}"), &madang_documents::Limits::default())
                .map_err(|e| anyhow::anyhow!("{format}: {e}"))?;
            assert!(read.text.contains("30분 이내"), "{format}: {}", read.text);
        }
    }
    let history = official.json("/api/v1/runs").await?;
    assert!(history["total"].as_u64().is_some_and(|n| n >= 1), "{history}");
    Ok(())
}

async fn share(city: &City, app: &str) -> Test {
    let (official, manager) = (&city.ict_official.client, &city.ict_manager.client);
    let path = format!("/api/v1/apps/{app}");
    assert_eq!(city.civil_official.client.get(&path).await?.status(), StatusCode::NOT_FOUND, "not shared yet");
    let submit = json!({ "version": 1, "note": "함께 써요" });
    let first = submitted(official, app, submit.clone()).await?;
    let foreign = city.civil_manager.client.post(&format!("/api/v1/submissions/{first}/approve"), json!({})).await?;
    assert!([StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&foreign.status()), "another department's manager");
    manager
        .ok(Method::POST, &format!("/api/v1/submissions/{first}/return"), json!({ "reason": "제목을 다듬어 주세요" }))
        .await?;
    assert_eq!(city.civil_official.client.get(&path).await?.status(), StatusCode::NOT_FOUND);
    let second = submitted(official, app, submit).await?;
    let own = official.post(&format!("/api/v1/submissions/{second}/approve"), json!({})).await?;
    assert_eq!(own.status(), StatusCode::FORBIDDEN, "an official approves nothing");
    manager.ok(Method::POST, &format!("/api/v1/submissions/{second}/approve"), json!({})).await?;
    Ok(())
}

async fn submitted(by: &madang_tests::Client, app: &str, body: Value) -> anyhow::Result<String> {
    let made = by.ok(Method::POST, &format!("/api/v1/apps/{app}/submissions"), body).await?;
    Ok(made["id"].as_str().context("no submission id")?.to_owned())
}

async fn reuse(city: &City, app: &str, collection: &str) -> Test {
    let other = &city.civil_official.client;
    let shelf = other.json("/api/v1/store?q=당직").await?;
    assert!(shelf.to_string().contains(app), "found in the store: {shelf}");
    let read = other.json(&format!("/api/v1/apps/{app}")).await?;
    let question = json!({ "inputs": first_input(&read, "당직 수당은 얼마입니까?")? });
    let run = other.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), question.clone()).await?;
    assert!(run["answer"].as_str().is_some_and(|a| a.contains("60,000원")), "{run}");
    other
        .ok(Method::PUT, &format!("/api/v1/apps/{app}/rating"), json!({ "stars": 5, "comment": "바로 썼습니다" }))
        .await?;
    let fork = other.ok(Method::POST, &format!("/api/v1/apps/{app}/fork"), json!({})).await?;
    let fork = fork["app"].as_str().or(fork["id"].as_str()).context("no fork")?.to_owned();
    let forked = other.json(&format!("/api/v1/apps/{fork}")).await?;
    assert!(forked.to_string().contains(app), "where it came from: {forked}");
    // The owner closes the collection: the app stays, its passages are gone for this reader at the next run.
    let path = format!("/api/v1/collections/{collection}/readers");
    city.ict_official.client.ok(Method::PUT, &path, json!({ "everyone": false, "departments": [] })).await?;
    let run = other.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), question).await?;
    assert_eq!(run["answered"], false, "a run has the reader's rights: {run}");
    assert!(!run.to_string().contains("60,000원"), "{run}");
    Ok(())
}

fn first_input(app: &Value, value: &str) -> anyhow::Result<Value> {
    let key = app.pointer("/current/sheet/inputs/0/key");
    let key = key.and_then(Value::as_str).with_context(|| format!("no inputs in {app}"))?;
    Ok(json!({ key: value }))
}

/// A second version, its difference from the first, and the way back.
async fn improve(city: &City, app: &str) -> Test {
    let official = &city.ict_official.client;
    let draft = official.ok(Method::POST, &format!("/api/v1/apps/{app}/draft"), json!({})).await?;
    let draft = draft["id"].as_str().context("no draft")?.to_owned();
    let read = official.json(&format!("/api/v1/drafts/{draft}")).await?;
    let mut sheet = read["sheet"].clone();
    sheet["sentences"].as_array_mut().context("sentences")?.push(json!({ "text": "담당 부서를 함께 밝힌다." }));
    let path = format!("/api/v1/drafts/{draft}");
    let put = official.ok(Method::PUT, &path, json!({ "revision": read["revision"], "sheet": sheet })).await?;
    let save = json!({ "revision": put["revision"], "note": "짧게" });
    let saved = official.ok(Method::POST, &format!("/api/v1/drafts/{draft}/versions"), save).await?;
    assert_eq!(saved["version"], 2);
    let diff = official.json(&format!("/api/v1/apps/{app}/versions/1/diff/2")).await?;
    assert!(diff.to_string().contains("담당 부서를 함께"), "{diff}");
    let second = submitted(official, app, json!({ "version": 2, "note": "짧게" })).await?;
    city.ict_manager.client.ok(Method::POST, &format!("/api/v1/submissions/{second}/approve"), json!({})).await?;
    let rollback = json!({ "version": 1, "reason": "다시 첫 판으로" });
    city.ict_manager.client.ok(Method::POST, &format!("/api/v1/apps/{app}/rollback"), rollback).await?;
    let first = official.json(&format!("/api/v1/apps/{app}/versions/1")).await?;
    assert!(!first.to_string().contains("담당 부서를 함께"), "versions are immutable");
    Ok(())
}

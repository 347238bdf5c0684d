//! Building, running, stopping and downloading, over the real router, store, index and engines; streams are held by
//! a gated engine, so that nothing here waits for a clock.

mod support;

use axum::http::{Method, StatusCode};
use futures_util::StreamExt;
use madang_documents::Limits;
use madang_domain::{Grade, Role};
use madang_inference::{EngineCard, EngineError, EngineEvent, EngineTask, Finish, TextEngine};
use madang_registry::quoting::QuotingEngine;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{House, Person, read};
use tokio::sync::{Notify, mpsc};

const RULES: &str = "# 당직 규칙\n\n## 제3조 당직 면제\n\n임신 중인 사람과 전입 1개월 이내인 사람은 당직을 면제한다.\n\n## 제4조 준비물\n\n당직 근무자는 공무원증과 손전등을 지참한다.\n";
const SECRET: &str = "# 감사 계획\n\n불시 감사는 3월 둘째 주에 당직 근무 실태를 대상으로 한다.\n";

fn quoting() -> Arc<dyn TextEngine> {
    Arc::new(QuotingEngine::default())
}

async fn official(house: &House) -> Person {
    let department = house.department("자치행정과").await;
    house.person("official", department, &[Role::Official]).await
}

async fn draft(house: &House, person: &Person, prompt: &str) -> (String, Value) {
    let made = house.post(person, "/api/v1/drafts", json!({ "prompt": prompt })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let draft = house.get(person, &format!("/api/v1/drafts/{id}")).await.json();
    (id, draft)
}

/// The first field that takes words, filled.
fn ask(draft: &Value, words: &str) -> Value {
    let inputs = draft["sheet"]["inputs"].as_array().expect("inputs");
    let first = inputs
        .iter()
        .find(|i| i["kind"]["type"] == "text" || i["kind"]["type"] == "long_text")
        .expect("a field for words");
    json!({ first["key"].as_str().expect("a key"): words })
}

/// Names and data of the events of a stream.
fn events(text: &str) -> Vec<(String, Value)> {
    text.split("\n\n")
        .filter_map(|block| {
            let name = block.lines().find_map(|l| l.strip_prefix("event: "))?;
            let data = block.lines().find_map(|l| l.strip_prefix("data: "))?;
            Some((name.to_owned(), serde_json::from_str(data).expect("JSON")))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn compose_try_save_run_and_open_the_source() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    house.collection(&person, "당직 규정", Grade::Sensitive, &[("당직 규칙.md", RULES.as_bytes())]).await;
    let (id, made) = draft(&house, &person, "당직 규정에서 궁금한 것을 찾아 근거와 함께 답해 줘").await;
    assert_eq!(made["sheet"]["sources"][0]["name"], "당직 규정", "{}", made["sheet"]);

    let trial = json!({ "revision": 1, "inputs": ask(&made, "당직을 면제받는 사람은 누구입니까?") });
    let tried = house.post(&person, &format!("/api/v1/drafts/{id}/trial"), trial).await.json();
    assert_eq!((tried["state"].as_str(), tried["answered"].as_bool()), (Some("done"), Some(true)), "{tried}");

    let saved =
        house.post(&person, &format!("/api/v1/drafts/{id}/versions"), json!({ "revision": 1, "note": "첫 판" })).await;
    assert_eq!(saved.status, StatusCode::CREATED, "{}", saved.text());
    let app = saved.json()["app"].as_str().expect("an app").to_owned();
    let body = json!({ "version": 1, "inputs": ask(&made, "당직을 면제받는 사람은 누구입니까?") });
    let stream = house
        .open_request(&person, Method::POST, &format!("/api/v1/apps/{app}/runs"), Some(body), "text/event-stream")
        .await;
    let all = events(&read(stream).await.text());

    let names: Vec<_> = all.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names[..2], ["run", "engine"], "{names:?}");
    assert_eq!(names.last(), Some(&"done"));
    assert!(names[2..names.len() - 1].iter().all(|n| ["text", "citation"].contains(n)));
    assert_eq!(all[1].1["label"], "인용 엔진");
    let done = &all.last().expect("done").1;
    assert_eq!((done["answered"].as_bool(), done["grade"].as_str()), (Some(true), Some("S")));
    assert!(done["html"].as_str().is_some_and(|h| h.contains("data-cite=\"1\"") && h.contains("면제")), "{done}");

    let citation = &all.iter().find(|(n, _)| n == "citation").expect("a source").1;
    let passage = citation["passage"].as_str().expect("a passage").parse().expect("an id");
    let opened =
        house.app.store.surroundings(&person.identity.scope, passage, 200).await.expect("the reader may open it");
    assert!(opened.passage.text.contains("전입 1개월"));

    let run = house.get(&person, &format!("/api/v1/runs/{}", all[0].1["id"].as_str().expect("id"))).await.json();
    assert_eq!((run["state"].as_str(), run["citations"].as_array().map(Vec::len)), (Some("done"), Some(1)));
    let list = house.get(&person, "/api/v1/runs").await.json();
    assert_eq!(list["total"], 1, "a trial is not listed: {list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_slice_render() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    let (id, made) = draft(&house, &person, "회의록을 세 문장으로 요약해 줘").await;
    let saved = house.post(&person, &format!("/api/v1/drafts/{id}/versions"), json!({ "revision": 1 })).await.json();
    let app = saved["app"].as_str().expect("an app");
    let inputs = ask(&made, "회의를 열었다. 예산을 3억 원으로 정하였다. 다음 회의는 6월에 연다. 모두 찬성하였다.");
    let run = house.post(&person, &format!("/api/v1/apps/{app}/runs"), json!({ "inputs": inputs })).await.json();
    let run = run["id"].as_str().expect("a run");
    for (path, words) in [
        ("/build".to_owned(), "무엇을 하는 앱이"),
        (format!("/build/{id}"), "이 설계서로 답 받기"),
        (format!("/apps/{app}/run"), "답 받기"),
        (format!("/apps/{app}/run?from={run}"), "예산을 3억"),
        (format!("/runs/{run}"), "인용 엔진"),
        ("/records".to_owned(), "예산을 3억"),
    ] {
        let page = house.get(&person, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text());
        assert!(page.text().contains(words), "{path} lacks {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_the_readers_rights_not_the_authors() {
    let house = House::open(quoting()).await;
    let author = official(&house).await;
    let other = house.department("민원여권과").await;
    let reader = house.person("reader", other, &[Role::Official]).await;
    let collection =
        house.collection(&author, "감사 자료", Grade::Sensitive, &[("감사 계획.md", SECRET.as_bytes())]).await;
    let (id, made) = draft(&house, &author, "감사 자료에서 불시 감사 일정을 찾아 답해 줘").await;
    let saved = house.post(&author, &format!("/api/v1/drafts/{id}/versions"), json!({ "revision": 1 })).await.json();
    let app = saved["app"].as_str().expect("an app").to_owned();
    let runs = format!("/api/v1/apps/{app}/runs");
    let body = json!({ "inputs": ask(&made, "불시 감사는 언제 합니까?") });

    let hidden = house.post(&reader, &runs, body.clone()).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND, "an unpublished app is its department's");
    assert_eq!(house.get(&reader, &format!("/api/v1/drafts/{id}")).await.status, StatusCode::NOT_FOUND);

    publish(&house, &author, &app).await;
    let mine = house.post(&author, &runs, body.clone()).await.json();
    assert!(mine["answer"].as_str().is_some_and(|a| a.contains("3월 둘째 주")), "{mine}");
    let theirs = house.post(&reader, &runs, body).await.json();
    let answer = theirs["answer"].as_str().expect("an answer");
    assert!(answer.contains("볼 권한이 없습니다") && !answer.contains("3월"), "{answer}");
    assert_eq!((theirs["answered"].as_bool(), theirs["grade"].as_str()), (Some(false), Some("O")));
    assert_eq!(theirs["citations"].as_array().map(Vec::len), Some(0));

    let run = mine["id"].as_str().expect("a run");
    for path in [format!("/api/v1/runs/{run}"), format!("/api/v1/runs/{run}/export?format=md"), format!("/runs/{run}")]
    {
        assert_eq!(house.get(&reader, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // A reader who writes the collection's id into a sheet of their own is refused as well.
    let mut sheet = made["sheet"].clone();
    sheet["sources"] = json!([{ "type": "collection", "id": collection, "name": "내 것" }]);
    let refused = house.post(&reader, "/api/v1/drafts", json!({ "sheet": sheet })).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["field"].as_str().map(str::to_owned)),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("sources.0".into()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn citations_go_with_the_right_to_read() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    let collection = house.collection(&person, "당직 규정", Grade::Open, &[]).await;
    let document = house.document(&person, collection, "당직 규칙.md", RULES.as_bytes()).await;
    let (id, made) = draft(&house, &person, "당직 규정에서 궁금한 것을 찾아 답해 줘").await;
    let trial = json!({ "inputs": ask(&made, "당직 근무자는 무엇을 지참합니까?") });
    let run = house.post(&person, &format!("/api/v1/drafts/{id}/trial"), trial).await.json();
    assert!(!run["citations"].as_array().expect("citations").is_empty());
    house.app.store.delete_document(&person.identity.scope, document).await.expect("deleted");
    let later = house.get(&person, &format!("/api/v1/runs/{}", run["id"].as_str().expect("id"))).await.json();
    assert_eq!(later["citations"], json!([]));
    assert!(later["withheld"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_editing_one_sheet_notice_each_other() {
    let house = House::open(quoting()).await;
    let department = house.department("자치행정과").await;
    let one = house.person("one", department, &[Role::Official]).await;
    let two = house.person("two", department, &[Role::Official]).await;
    let (id, made) = draft(&house, &one, "회의록을 세 문장으로 요약해 줘").await;
    let path = format!("/api/v1/drafts/{id}");
    assert_eq!(house.get(&two, &path).await.status, StatusCode::NOT_FOUND, "before the first save it is the author's");
    let saved = house.post(&one, &format!("{path}/versions"), json!({ "revision": 1 })).await.json();
    let app = saved["app"].as_str().expect("an app");
    let opened = house.post(&two, &format!("/api/v1/apps/{app}/draft"), json!({})).await;
    assert_eq!(opened.json()["id"], json!(id), "one draft per app");

    let mut theirs = made["sheet"].clone();
    theirs["title"] = json!("두 번째 사람의 제목");
    let put = |sheet: Value, revision: i64| json!({ "revision": revision, "sheet": sheet });
    let first = house.request(&two, Method::PUT, &path, Some(put(theirs, 1))).await;
    assert_eq!((first.status, first.json()["revision"].as_i64()), (StatusCode::OK, Some(2)));
    let second = house.request(&one, Method::PUT, &path, Some(put(made["sheet"].clone(), 1))).await;
    let body = second.json();
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert!(body["error"]["message"].as_str().is_some_and(|m| m.contains("two 이름")), "{body}");
    assert_eq!(
        (body["current"]["revision"].as_i64(), body["current"]["sheet"]["title"].as_str()),
        (Some(2), Some("두 번째 사람의 제목"))
    );
    assert!(body["current"]["changes"][0].as_str().is_some_and(|c| c.contains("두 번째")), "{body}");
    let stale = house.post(&one, &format!("{path}/versions"), json!({ "revision": 1 })).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let next = house.post(&two, &format!("{path}/versions"), json!({ "revision": 2, "note": "제목" })).await.json();
    assert_eq!(next["version"], 2);
    let again = house.post(&two, &format!("{path}/versions"), json!({ "revision": 2 })).await.json();
    assert_eq!(again["version"], 2, "nothing changed, no new version");
    let versions = house.get(&one, &format!("/api/v1/apps/{app}/versions")).await.json();
    assert_eq!(versions[0]["changes"].as_array().map(Vec::len), Some(1), "{versions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_and_keep_a_sheet_from_becoming_a_version() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    let (id, made) = draft(&house, &person, "회의록을 요약해 줘").await;
    let mut sheet = made["sheet"].clone();
    sheet["title"] = json!("");
    let kept = house
        .request(&person, Method::PUT, &format!("/api/v1/drafts/{id}"), Some(json!({ "revision": 1, "sheet": sheet })))
        .await;
    assert_eq!(kept.json()["faults"][0]["field"], "title");
    let refused = house.post(&person, &format!("/api/v1/drafts/{id}/versions"), json!({ "revision": 2 })).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["fields"][0]["field"].as_str().map(str::to_owned)),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("title".into()))
    );
    for bad in [json!({ "prompt": "" }), json!({ "prompt": "가".repeat(5000) }), json!({})] {
        assert_eq!(house.post(&person, "/api/v1/drafts", bad).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let unknown = json!({ "revision": 2, "inputs": { "no_such_field": "x" } });
    let trial = house.post(&person, &format!("/api/v1/drafts/{id}/trial"), unknown).await;
    assert_eq!(trial.status, StatusCode::CONFLICT, "an unsound sheet is not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_read_back() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    house.collection(&person, "당직 규정", Grade::Open, &[("당직 규칙.md", RULES.as_bytes())]).await;
    let (id, made) = draft(&house, &person, "당직 규정에서 궁금한 것을 찾아 답해 줘").await;
    let trial = json!({ "inputs": ask(&made, "당직 근무자는 무엇을 지참합니까?") });
    let run = house.post(&person, &format!("/api/v1/drafts/{id}/trial"), trial).await.json();
    let path = format!("/api/v1/runs/{}/export", run["id"].as_str().expect("id"));
    for format in ["md", "docx", "hwpx"] {
        let file = house.get(&person, &format!("{path}?format={format}")).await;
        assert_eq!(file.status, StatusCode::OK, "{format}: {}", file.text());
        let back =
            madang_documents::read(&file.bytes, &format!("answer.{format}"), &Limits::default()).expect("reads back");
        assert!(
            back.text.contains("손전등") && back.text.contains("당직 규칙") && back.text.contains("인용 엔진"),
            "{format}: {}",
            back.text
        );
        let title = made["sheet"]["title"].as_str().expect("a title");
        assert_eq!(back.text.matches(title).count(), 1, "{format}: the title stands once: {}", back.text);
    }
    assert_eq!(house.get(&person, &format!("{path}?format=exe")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// Says one sentence, then waits until it is let go.
#[derive(Default)]
struct Gated {
    spoke: Notify,
    go: Notify,
    /// Dropped mid-answer: the run was really stopped.
    stopped: Arc<Notify>,
}

struct OnDrop(Arc<Notify>, bool);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if self.1 {
            self.0.notify_one();
        }
    }
}

#[async_trait::async_trait]
impl TextEngine for Gated {
    fn card(&self) -> EngineCard {
        EngineCard { name: "gated".into(), label: "문지기 엔진".into(), generates: true }
    }

    async fn answer(&self, _: &EngineTask, out: &mpsc::Sender<EngineEvent>) -> Result<Finish, EngineError> {
        let mut guard = OnDrop(Arc::clone(&self.stopped), true);
        out.send(EngineEvent::Text("첫 문장. ".into())).await.map_err(|_| EngineError::Stopped)?;
        self.spoke.notify_one();
        self.go.notified().await;
        out.send(EngineEvent::Text("둘째 문장.".into())).await.map_err(|_| EngineError::Stopped)?;
        guard.1 = false;
        Ok(Finish { answered: true, unfilled: vec![] })
    }
}

/// A house with a gated engine, a draft and its trial's path.
async fn gated() -> (House, Arc<Gated>, Person, String, Value) {
    let engine = Arc::new(Gated::default());
    let house = House::open(engine.clone()).await;
    let person = official(&house).await;
    let (id, made) = draft(&house, &person, "회의록을 세 문장으로 요약해 줘").await;
    let inputs = ask(&made, "회의를 열었다. 예산을 정하였다.");
    (house, engine, person, format!("/api/v1/drafts/{id}/trial"), json!({ "inputs": inputs }))
}

/// The stream's body and the run's id, once the engine has spoken.
async fn begun(
    house: &House,
    engine: &Gated,
    person: &Person,
    path: &str,
    body: &Value,
) -> (axum::body::BodyDataStream, String) {
    let stream = house.open_request(person, Method::POST, path, Some(body.clone()), "text/event-stream").await;
    assert_eq!(stream.status(), StatusCode::OK);
    let mut body = stream.into_body().into_data_stream();
    let first = body.next().await.expect("an event").expect("bytes");
    let id = events(&String::from_utf8_lossy(&first))[0].1["id"].as_str().expect("an id").to_owned();
    engine.spoke.notified().await;
    (body, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_really_stops() {
    let (house, engine, person, path, body) = gated().await;
    let (mut stream, id) = begun(&house, &engine, &person, &path, &body).await;
    // What the reader has seen is kept: wait until the words are on the screen.
    let mut seen = String::new();
    while !seen.contains("첫 문장") {
        seen.push_str(&String::from_utf8_lossy(&stream.next().await.expect("an event").expect("bytes")));
    }
    let stopped = house.request(&person, Method::POST, &format!("/api/v1/runs/{id}/stop"), None).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);
    engine.stopped.notified().await;
    let mut rest = String::new();
    while let Some(chunk) = stream.next().await {
        rest.push_str(&String::from_utf8_lossy(&chunk.expect("bytes")));
    }
    assert_eq!(events(&rest).last().map(|(n, _)| n.as_str()), Some("stopped"));
    house.app.board.idle().await;
    let run = house.get(&person, &format!("/api/v1/runs/{id}")).await.json();
    assert_eq!((run["state"].as_str(), run["answer"].as_str()), (Some("stopped"), Some("첫 문장. ")));
    let again = house.request(&person, Method::POST, &format!("/api/v1/runs/{id}/stop"), None).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "stopping twice is no mistake");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_goes_away_stops_its_run() {
    let (house, engine, person, path, body) = gated().await;
    let (stream, id) = begun(&house, &engine, &person, &path, &body).await;
    drop(stream);
    engine.stopped.notified().await;
    house.app.board.idle().await;
    let run = house.get(&person, &format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(run["state"].as_str(), Some("stopped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_person_stops_nothing_and_the_answer_ends_whole() {
    let (house, engine, person, path, body) = gated().await;
    let (mut stream, id) = begun(&house, &engine, &person, &path, &body).await;
    let refused = house.request(&house.admin, Method::POST, &format!("/api/v1/runs/{id}/stop"), None).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    engine.go.notify_one();
    let mut rest = String::new();
    while let Some(chunk) = stream.next().await {
        rest.push_str(&String::from_utf8_lossy(&chunk.expect("bytes")));
    }
    let all = events(&rest);
    assert_eq!(all.last().map(|(n, _)| n.as_str()), Some("done"));
    let run = house.get(&person, &format!("/api/v1/runs/{id}")).await.json();
    assert_eq!((run["state"].as_str(), run["answer"].as_str()), (Some("done"), Some("첫 문장. 둘째 문장.")));
    assert_eq!(run["engine"]["label"], "문지기 엔진");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_runs_of_one_person_wait() {
    let (house, engine, person, path, body) = gated().await;
    let mut held = Vec::new();
    for _ in 0..madang_server::board::MAX_RUNS_OF_ONE {
        held.push(begun(&house, &engine, &person, &path, &body).await);
    }
    let refused = house.post(&person, &path, body.clone()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key("retry-after"));
    drop(held);
    house.app.board.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_end_stops_runs_and_a_crash_leaves_them_failed() {
    let (house, engine, person, path, body) = gated().await;
    let (stream, id) = begun(&house, &engine, &person, &path, &body).await;
    house.app.shutdown.cancel();
    house.app.board.idle().await;
    let run = house.get(&person, &format!("/api/v1/runs/{id}")).await.json();
    assert_eq!(run["state"].as_str(), Some("stopped"));
    drop(stream);
    // What a killed server leaves behind.
    let scope = person.identity.scope.clone();
    let drafts = house.app.store.own_drafts(&scope, 10).await.expect("drafts");
    let left = house.app.store.draft(&scope, drafts[0].id).await.expect("a draft");
    let of = madang_store::runs::RunOf::Trial(&left);
    let run = house.app.store.start_run(&scope, of, &[], &Default::default()).await.expect("started");
    let (app, _home) = house.reopen(quoting()).await;
    let run = app.store.run(&scope, run).await.expect("kept");
    assert_eq!(run.state, madang_store::runs::RunState::Failed);
    assert!(run.error.is_some_and(|e| e.contains("다시 실행")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundled_apps_are_there_once_and_open_to_all() {
    let house = House::open(quoting()).await;
    let person = official(&house).await;
    let scope = person.identity.scope.clone();
    let apps = madang_server::bundled::apps().expect("sound apps");
    assert_eq!(house.app.store.own_apps(&scope, 100).await.expect("own apps").len(), 0);
    let (app, _home) = house.reopen(quoting()).await;
    let sheets: Vec<_> = apps
        .iter()
        .map(|a| madang_store::apps::BundledSheet {
            slug: a.slug.clone(),
            icon: a.icon.clone(),
            sheet: a.sheet.clone(),
        })
        .collect();
    assert_eq!(app.store.sync_bundled(&sheets).await.expect("nothing to do"), 0, "a second start changes nothing");
    let mut changed = sheets;
    changed[0].sheet.purpose = "바뀐 목적이다.".into();
    assert_eq!(app.store.sync_bundled(&changed).await.expect("one changed"), 1);
}

/// Version 1 goes into the store: submitted by its author, approved by the department's manager.
async fn publish(house: &House, author: &Person, app: &str) {
    let department = author.identity.scope.home_department().expect("a department");
    let manager = house.person("manager", department, &[Role::Manager]).await;
    let version =
        house.app.store.app_version(&author.identity.scope, app.parse().expect("an id"), 1).await.expect("version 1");
    let store = &house.app.store;
    let submission = store.submit(&author.identity.scope, version.app, version.id, "").await.expect("submitted");
    store.approve_submission(&manager.identity.scope, submission, "").await.expect("approved");
}

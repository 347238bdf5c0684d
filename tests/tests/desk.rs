//! The reviewer's desk over HTTP, against the real binary: list, search in sealed texts, exports, the monthly review with
//! four eyes, retention with its proof, a bill compared, and records at the body's SIEM.

use anyhow::{Context, ensure};
use madang_server::desk::month::Month;
use madang_tests::outside::app_over;
use madang_tests::{Authority, City, Client, Madang, PASSWORD, SyslogReceiver, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::AnyPool;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Test = anyhow::Result<()>;

const TEXT: &str = "# 캠핑장 안내\n\n## 예약\n가람 캠핑장은 매월 1일 오전 9시에 다음 달 예약을 받는다. 담당자 휴대전화는 010-2345-6789이다.\n";
const PURPOSE: &str = "안내문을 시민이 읽기 쉬운 말로 고쳐 씀";
const REPLY: &str = "매월 1일 아침 9시에 예약하세요. 무지개다리 앞입니다.";
const DAY: i64 = 86_400_000;
const EXPORT: &str = "/api/v1/outside/calls/export";

/// A provider that answers every request alike.
async fn provider() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if answer(socket).await.is_err() {
                break;
            }
        }
    });
    Ok(url)
}

async fn answer(mut socket: tokio::net::TcpStream) -> Test {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await?;
        ensure!(n > 0, "the request ended early");
        bytes.extend_from_slice(chunk.get(..n).context("chunk")?);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).context("length")?.parse()?;
        if body.len() >= length {
            break;
        }
    }
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 });
    let reply = json!({ "id": "r-1", "choices": [{ "message": { "content": REPLY } }], "usage": usage }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req-1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.len()
    );
    socket.write_all(head.as_bytes()).await?;
    Ok(socket.write_all(reply.as_bytes()).await?)
}

struct Desk {
    city: City,
    /// Another security officer.
    second: Client,
    app: (String, String),
    server: Madang,
    _home: tempfile::TempDir,
}

impl Desk {
    async fn open() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let server = Madang::start_in(&home.path().join("home"), &["--allow-loopback-providers"])?;
        let city = City::build(&server).await?;
        let collection = city.collection("캠핑장 자료", "O", true).await?;
        city.ict_official.client.upload_ready(&collection, "캠핑장 안내.md", TEXT).await?;
        let app = app_over(&city.ict_official.client, &collection).await?;
        let body = json!({ "name": "시험 제공자", "base_url": provider().await?, "model": "model-1", "api_key": "secret-key-0123456789" });
        let made = city.admin.client.ok(Method::POST, "/api/v1/providers", body).await?;
        let enable = format!("/api/v1/providers/{}/enable", made["id"].as_str().context("provider")?);
        city.admin.client.ok(Method::POST, &enable, json!({})).await?;
        let second = city.officer(&server.base, "minho").await?.client;
        Ok(Self { city, second, app, server, _home: home })
    }

    fn officer(&self) -> &Client {
        &self.city.security.client
    }

    /// Asks, has it approved and sends it; the call's id.
    async fn sent(&self) -> anyhow::Result<String> {
        let (official, (app, key)) = (&self.city.ict_official.client, &self.app);
        let inputs = json!({ "inputs": { key.as_str(): "캠핑장 예약은 언제 받습니까?" } });
        let run = official.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), inputs).await?;
        let ask = format!("/api/v1/runs/{}/outside", run["id"].as_str().context("run")?);
        let asked = official.ok(Method::POST, &ask, json!({ "purpose": PURPOSE })).await?;
        let id = asked["id"].as_str().context("call")?.to_owned();
        let path = format!("/api/v1/outside/{id}");
        self.officer().ok(Method::POST, &format!("{path}/approve"), json!({ "reason": "공개 자료" })).await?;
        let sent = official.ok(Method::POST, &format!("{path}/send"), json!({})).await?;
        ensure!(sent["state"] == "sent", "{sent}");
        Ok(id)
    }

    /// As somebody who turns the clock: times of all calls and runs so many days back.
    async fn age(&self, days: i64) -> Test {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(&format!("sqlite://{}", self.server.home().join("madang.db").display())).await?;
        let by = days * DAY;
        sqlx::query(
            "UPDATE external_calls SET created_at = created_at - $1, ended_at = ended_at - $1, sent_at = sent_at - $1",
        )
        .bind(by)
        .execute(&pool)
        .await?;
        sqlx::query("UPDATE runs SET started_at = started_at - $1, ended_at = ended_at - $1")
            .bind(by)
            .execute(&pool)
            .await?;
        pool.close().await;
        Ok(())
    }

    /// The other officer confirms a change that the first one proposed.
    async fn confirmed(&self, change: &Value) -> Test {
        let id = change["proposal"].as_str().context("proposal")?;
        let confirm = format!("/api/v1/outside/retention/changes/{id}/confirm");
        self.second.ok(Method::POST, &confirm, json!({})).await?;
        Ok(())
    }

    async fn records(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let found = self.officer().json(&format!("/api/v1/ledger?kind={kind}")).await?;
        Ok(found["records"].as_array().context("records")?.clone())
    }
}

#[tokio::test]
async fn the_list_the_search_and_the_exports_show_no_more_than_they_should() -> Test {
    let desk = Desk::open().await?;
    let call = desk.sent().await?;
    let officer = desk.officer();
    for (query, total) in [
        ("", 1),
        ("?state=sent&grade=O&person=jihun", 1),
        ("?kind=phone", 1),
        ("?state=waiting", 0),
        ("?verdict=deny", 0),
        ("?to=2020-01-01", 0),
    ] {
        let listed = officer.json(&format!("/api/v1/outside/calls{query}")).await?;
        assert_eq!(listed["total"], total, "{query}");
        assert!(!listed.to_string().contains("예약을 받는다"), "no texts in a list");
    }
    assert_eq!(officer.get("/api/v1/outside/calls?grade=X").await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(officer.json("/api/v1/outside/calls/news?after=0").await?["count"], 1);
    assert_eq!(officer.json("/api/v1/outside/calls/news?after=99999999999999").await?["count"], 0);
    let (_, page) = officer.page("/review/calls?state=sent").await?;
    assert!(page.contains(&format!("/review/outside/{call}")) && page.contains("state=sent"), "{page}");
    search(&desk, &call).await?;
    exports(&desk, &call).await?;
    let (_, month) = officer.page("/review/month/2020-01").await?;
    assert!(month.contains("앱 실행이 없던 달입니다"));
    let listed = officer.json("/api/v1/outside/calls").await?;
    let now = Month::of(listed["calls"][0]["created_at"].as_i64().context("time")?);
    let (_, month) = officer.page(&format!("/review/month/{now}")).await?;
    assert!(month.contains("<svg class=\"bars\" role=\"img\"") && month.contains("100.0%"), "{month}");
    let (_, evidence) = officer.page("/review/evidence").await?;
    assert!(evidence.contains("C 0건, S 0건, O 1건") && evidence.contains("법률 자문 확인 필요"), "{evidence}");
    assert_eq!(officer.page("/review/anomalies").await?.0, StatusCode::OK);
    Ok(())
}

async fn search(desk: &Desk, call: &str) -> Test {
    let officer = desk.officer();
    let path = "/api/v1/outside/bodies/search";
    let none = officer.post(path, json!({ "words": "무지개다리" })).await?;
    assert_eq!(none.status(), StatusCode::UNPROCESSABLE_ENTITY, "a reason is needed");
    let found = officer.ok(Method::POST, path, json!({ "words": "무지개다리 아침", "reason": "민원 확인" })).await?;
    assert_eq!((&found["hits"][0]["call"], &found["hits"][0]["side"]), (&json!(call), &json!("reply")), "{found}");
    assert_eq!((&found["looked"], &found["whole"], &found["unreadable"]), (&json!(1), &json!(true), &json!(0)));
    let found = officer.ok(Method::POST, path, json!({ "words": "캠핑장은", "reason": "민원 확인" })).await?;
    assert_eq!(found["hits"][0]["side"], "outgoing");
    let none = officer.ok(Method::POST, path, json!({ "words": "010-2345-6789", "reason": "민원 확인" })).await?;
    assert_eq!(none["hits"], json!([]), "what was masked is not found");
    let records = desk.records("outside_bodies_searched").await?;
    assert_eq!(records.len(), 3);
    let text = json!(records).to_string();
    assert!(!text.contains("무지개다리") && !text.contains("6789") && text.contains("민원 확인"), "{text}");
    assert_eq!(records[0]["payload"]["detail"]["looked"], 1);
    Ok(())
}

async fn exports(desk: &Desk, call: &str) -> Test {
    let officer = desk.officer();
    let export = async |format: &str| -> anyhow::Result<String> {
        let answer = officer.post(EXPORT, json!({ "format": format, "reason": "정기 점검", "state": "sent" })).await?;
        ensure!(answer.status() == StatusCode::OK, "{format}: {}", answer.status());
        let text = answer.text().await?;
        for secret in [PURPOSE, "캠핑장은", "아침", "6789", "안의 답"] {
            ensure!(!text.contains(secret), "{format} holds {secret}");
        }
        ensure!(text.contains(call), "{format} lacks the call");
        Ok(text)
    };
    let csv = export("csv").await?;
    let lines: Vec<&str> = csv.trim_end().split("\r\n").collect();
    assert_eq!((lines.len(), lines[0].split(',').count()), (2, lines[1].split(',').count()), "{csv}");
    let line: Value = serde_json::from_str(export("jsonl").await?.trim_end())?;
    assert_eq!((&line["state"], &line["left"], &line["findings"]["phone"]), (&json!("sent"), &json!(true), &json!(1)));
    let event: Value = serde_json::from_str(export("ocsf").await?.trim_end())?;
    for (pointer, expected) in [
        ("/class_uid", json!(6003)),
        ("/category_uid", json!(6)),
        ("/type_uid", json!(600301)),
        ("/metadata/version", json!("1.8.0")),
        ("/metadata/profiles/0", json!("ai_operation")),
        ("/metadata/uid", json!(call)),
        ("/ai_model/model_name", json!("model-1")),
        ("/message_context/total_tokens", json!(12)),
        ("/status_id", json!(1)),
        ("/actor/user/name", json!("jihun")),
        ("/src_endpoint/svc_name", json!("madang")),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer}: {event}");
    }
    let cef = export("cef").await?;
    assert!(
        cef.starts_with("CEF:0|Madang|Madang|") && cef.contains(" suser=jihun ") && cef.contains("outcome=sent"),
        "{cef}"
    );
    let records = desk.records("outside_calls_exported").await?;
    assert_eq!((records.len(), &records[0]["payload"]["detail"]["records"]), (4, &json!(1)));
    let linked = officer.get(&format!("{EXPORT}?format=csv&reason=점검")).await?;
    assert!(linked.status().is_client_error(), "a link exports nothing: {}", linked.status());
    let refused = officer.post(EXPORT, json!({ "format": "csv" })).await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "a reason is needed");
    Ok(())
}

#[tokio::test]
async fn a_month_is_drawn_once_looked_at_by_others_and_signed_off() -> Test {
    let desk = Desk::open().await?;
    let call = desk.sent().await?;
    desk.age(40).await?;
    let (officer, second) = (desk.officer(), &desk.second);
    let listed = officer.json("/api/v1/outside/calls").await?;
    let at = listed["calls"][0]["created_at"].as_i64().context("time")?;
    let month = Month::of(at).to_string();
    let path = format!("/api/v1/outside/months/{month}");
    let pick = format!("{path}/picks/{call}");
    let sound = json!({ "verdict": "sound" });
    let early = officer.post(&format!("{path}/signature"), json!({ "summary": "이상 없음" })).await?;
    assert_eq!(early.status(), StatusCode::NOT_FOUND, "not drawn yet");
    // An export signs what is not signed yet: the seed is a checkpoint.
    officer.post("/api/v1/ledger/export", json!({ "format": "jsonl", "reason": "점검" })).await?.text().await?;
    let drawn = officer.ok(Method::POST, &format!("{path}/sample"), json!({})).await?;
    assert_eq!((&drawn["calls"], &drawn["picks"]), (&json!(1), &json!(1)));
    assert_eq!(officer.post(&format!("{path}/sample"), json!({})).await?.status(), StatusCode::CONFLICT, "once");
    assert_eq!(officer.post(&pick, sound.clone()).await?.status(), StatusCode::FORBIDDEN, "the approver");
    let early = officer.post(&format!("{path}/signature"), json!({ "summary": "이상 없음" })).await?;
    assert_eq!(early.status(), StatusCode::CONFLICT, "not all was looked at");
    let (_, page) = officer.page(&format!("/review/monthly/{month}")).await?;
    assert!(page.contains("다른 보안담당이 봅니다"), "{page}");
    let bare = second.post(&pick, json!({ "verdict": "fault" })).await?;
    assert_eq!(bare.status(), StatusCode::UNPROCESSABLE_ENTITY, "a fault needs words");
    second.ok(Method::POST, &pick, sound.clone()).await?;
    officer.ok(Method::POST, &format!("{path}/signature"), json!({ "summary": "이상 없음" })).await?;
    assert_eq!(second.post(&pick, sound).await?.status(), StatusCode::CONFLICT, "signed off");
    let (_, page) = officer.page("/review/monthly").await?;
    assert!(page.contains("sujin") && page.contains("1건 가운데 1건 봄"), "{page}");
    for kind in ["monthly_sample_drawn", "monthly_pick_reviewed", "monthly_review_signed"] {
        assert_eq!(desk.records(kind).await?.len(), 1, "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn texts_past_their_time_are_gone_and_the_proof_verifies() -> Test {
    let desk = Desk::open().await?;
    let call = desk.sent().await?;
    let officer = desk.officer();
    let erase = "/api/v1/outside/retention/erasures";
    assert_eq!(officer.ok(Method::POST, erase, json!({})).await?["calls"], 0);
    desk.age(3 * 365 + 1).await?;
    let hold = json!({ "target": "call", "subject": call, "reason": "감사 진행" });
    let hold = desk.city.admin.client.ok(Method::POST, "/api/v1/outside/holds", hold).await?;
    assert_eq!(officer.ok(Method::POST, erase, json!({})).await?["calls"], 0, "held");
    let lift = format!("/api/v1/outside/holds/{}/lift", hold["id"].as_str().context("hold")?);
    let admin = desk.city.admin.client.post(&lift, json!({ "reason": "감사 끝" })).await?;
    assert_eq!(admin.status(), StatusCode::FORBIDDEN, "an officer's to propose");
    let change = officer.ok(Method::POST, &lift, json!({ "reason": "감사 끝" })).await?;
    assert_eq!(officer.post(&lift, json!({ "reason": "다시" })).await?.status(), StatusCode::CONFLICT, "once");
    assert_eq!(officer.ok(Method::POST, erase, json!({})).await?["calls"], 0, "held until another confirms");
    let confirm = format!("/api/v1/outside/retention/changes/{}/confirm", change["proposal"].as_str().context("id")?);
    for client in [officer, &desk.city.admin.client] {
        assert_eq!(client.post(&confirm, json!({})).await?.status(), StatusCode::FORBIDDEN, "another officer's");
    }
    let (_, page) = desk.second.page("/review").await?;
    assert!(page.contains("제안 1건이 두 번째 사람의 확인"), "{page}");
    assert!(desk.second.page("/review/retention").await?.1.contains("삭제 보류 풂: 감사 진행"));
    desk.second.ok(Method::POST, &confirm, json!({})).await?;
    assert_eq!(desk.second.post(&confirm, json!({})).await?.status(), StatusCode::CONFLICT);
    let (_, page) = officer.page("/review/retention").await?;
    assert!(page.contains("감사 진행") && page.contains("감사 끝") && page.contains("지금 지우기"), "{page}");
    let erased = officer.ok(Method::POST, erase, json!({})).await?;
    assert_eq!(erased, json!({ "calls": 1, "runs": 1 }), "its run as well");
    for client in [officer, &desk.city.ict_official.client] {
        let (status, page) = client.page(&format!("/review/outside/{call}")).await?;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("원문 삭제됨(보존기간 만료)") && !page.contains("캠핑장은"), "{page}");
        let read = client.json(&format!("/api/v1/outside/{call}")).await?;
        assert_eq!((&read["reply"], &read["body"]), (&Value::Null, &json!("")));
        assert!(read["erased_at"].is_i64(), "{read}");
    }
    let search = json!({ "words": "캠핑장은", "reason": "확인" });
    let found = officer.ok(Method::POST, "/api/v1/outside/bodies/search", search).await?;
    assert_eq!((&found["looked"], &found["hits"]), (&json!(0), &json!([])));
    // By hand, as an auditor would with the exported record: the digest over the ids and HMACs that the page gives.
    let kept = officer.json("/api/v1/outside/retention").await?;
    let erasures = kept["erasures"].as_array().context("erasures")?;
    let proof = erasures.iter().find(|e| e["kind"] == "outside_bodies").context("of calls")?;
    assert_eq!((&proof["holds"], &proof["items"]), (&json!(true), &json!(1)));
    let items = officer.json(&format!("{erase}/{}", proof["id"].as_str().context("id")?)).await?;
    let mut hash = Sha256::new_with_prefix("madang.erasure.v1\n");
    for item in items.as_array().context("items")? {
        hash.update(format!("{} {}\n", item[0].as_str().context("id")?, item[1].as_str().context("hmac")?));
    }
    let export = officer.post("/api/v1/ledger/export", json!({ "format": "jsonl", "reason": "확인" })).await?;
    let export = export.text().await?;
    assert!(export.contains(&hex::encode(hash.finalize())), "the exported record holds the same digest");
    assert!(export.contains(items[0][1].as_str().context("hmac")?), "and the HMAC of what was sent");
    Ok(())
}

#[tokio::test]
async fn texts_of_runs_past_their_time_are_gone_and_the_screens_say_so() -> Test {
    let desk = Desk::open().await?;
    let (officer, official) = (desk.officer(), &desk.city.ict_official.client);
    desk.sent().await?;
    let listed = official.json("/api/v1/runs").await?;
    let run = listed["runs"][0]["id"].as_str().context("run")?.to_owned();
    let (api, page) = (format!("/api/v1/runs/{run}"), format!("/runs/{run}"));
    official.ok(Method::POST, &format!("{api}/reports"), json!({ "note": "예약 날짜가 틀립니다" })).await?;
    // A period of its own, which the officer sets.
    let set = "/api/v1/outside/retention";
    let wrong = officer.send(Method::PUT, set, json!({ "kind": "x", "days": 400, "reason": "줄임" })).await?;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let shorter = json!({ "kind": "runs", "days": 400, "reason": "줄임" });
    let admin = desk.city.admin.client.send(Method::PUT, set, shorter.clone()).await?;
    assert_eq!(admin.status(), StatusCode::FORBIDDEN, "the operator shortens nothing");
    let change = officer.ok(Method::PUT, set, shorter).await?;
    assert_eq!(officer.json(set).await?["retention"][1]["days"], 1095, "not yet");
    desk.confirmed(&change).await?;
    desk.age(401).await?;
    let erase = "/api/v1/outside/retention/erasures";
    let hold = json!({ "target": "run", "subject": run, "reason": "민원 조사" });
    let hold = officer.ok(Method::POST, "/api/v1/outside/holds", hold).await?;
    assert_eq!(officer.ok(Method::POST, erase, json!({})).await?, json!({ "calls": 0, "runs": 0 }), "held");
    let lift = format!("/api/v1/outside/holds/{}/lift", hold["id"].as_str().context("hold")?);
    desk.confirmed(&officer.ok(Method::POST, &lift, json!({ "reason": "조사 끝" })).await?).await?;
    assert!(official.page(&page).await?.1.contains("예약은 언제"));
    assert_eq!(officer.ok(Method::POST, erase, json!({})).await?, json!({ "calls": 0, "runs": 1 }));
    let read = official.json(&api).await?;
    assert_eq!((&read["inputs"], &read["answer"], &read["report"]), (&json!([]), &json!(""), &Value::Null));
    assert!(read["erased_at"].is_i64() && read["title"] == listed["runs"][0]["title"], "{read}");
    let (status, shown) = official.page(&page).await?;
    assert_eq!(status, StatusCode::OK);
    assert!(
        shown.contains("물은 것과 답을 지웠습니다") && !shown.contains("예약은 언제") && !shown.contains("format=hwpx"),
        "{shown}"
    );
    for place in ["/records", "/"] {
        assert!(official.page(place).await?.1.contains("글 삭제됨(보존기간 만료)"), "{place}");
    }
    assert_eq!(official.get(&format!("{api}/export?format=md")).await?.status(), StatusCode::CONFLICT);
    let again = official.post(&format!("{api}/reports"), json!({ "note": "다시" })).await?;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let ask = official.post(&format!("{api}/outside"), json!({ "purpose": PURPOSE })).await?;
    assert_eq!(ask.status(), StatusCode::CONFLICT);
    let kept = officer.json(set).await?;
    assert_eq!((&kept["retention"][1]["days"], &kept["retained"][1]["gone"]), (&json!(400), &json!(1)));
    let proof = &kept["erasures"][0];
    assert_eq!((&proof["kind"], &proof["holds"], &proof["items"]), (&json!("runs"), &json!(true), &json!(1)));
    let records = desk.records("run_texts_erased").await?;
    assert_eq!(records.len(), 1);
    assert!(!serde_json::to_string(&records)?.contains("예약은 언제"));
    let (_, keeping) = officer.page("/review/retention").await?;
    assert!(keeping.contains("실행의 글") && keeping.contains("400일") && keeping.contains("민원 조사"), "{keeping}");
    Ok(())
}

#[tokio::test]
async fn a_bill_is_compared_with_the_record() -> Test {
    let desk = Desk::open().await?;
    let call = desk.sent().await?;
    let listed = desk.officer().json("/api/v1/outside/calls").await?;
    let sent = &listed["calls"][0];
    let at = sent["sent_at"].as_i64().context("sent")?;
    let month = Month::of(at).to_string();
    let request = sent["provider_request_id"].as_str().context("request id")?;
    let bill = |name: &str, rows: &str| -> anyhow::Result<String> {
        let file = desk.server.home().join(name);
        std::fs::write(&file, format!("request_id,timestamp,model,input_tokens,output_tokens\n{rows}"))?;
        Ok(file.to_string_lossy().into_owned())
    };
    let run = |file: &str, more: &[&str]| {
        let arguments = [&["ledger", "reconcile", file, "--provider", "시험 제공자"], more].concat();
        desk.server.command(&arguments)
    };
    let stamp = at / 1000;
    let right = bill("right.csv", &format!("{request},{stamp},model-1,7,5\n"))?;
    let told = run(&right, &["--month", &month])?;
    let text = String::from_utf8(told.stdout)?;
    assert_eq!(told.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("맞음 1건") && text.contains("모두 맞습니다"), "{text}");
    let wrong = bill("wrong.csv", &format!("{request},{stamp},model-1,9,5\nother,{stamp},model-1,100,1\n"))?;
    let told = run(&wrong, &["--json", "--month", &month])?;
    assert_eq!(told.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!((&found["agrees"], &found["comparison"]["pairs"][0]["call"]), (&json!(false), &json!(call)));
    assert_eq!(found["comparison"]["only_billed"].as_array().map(Vec::len), Some(1));
    let unbilled = run(&bill("empty.csv", "")?, &["--month", &month])?;
    assert_eq!(unbilled.status.code(), Some(1));
    assert!(String::from_utf8(unbilled.stdout)?.contains("원장에만 있음 1건"));
    let unknown = desk.server.command(&["ledger", "reconcile", &right, "--provider", "없는 곳"])?;
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(run(&right, &["--month", "2026-13"])?.status.code(), Some(2));
    Ok(())
}

/// Sequence number of a message.
fn seq(message: &str) -> anyhow::Result<u64> {
    let rest = message.split_once(" seq=\"").context("seq")?.1;
    Ok(rest.split('"').next().context("seq")?.parse()?)
}

/// Reads until a message of this kind comes; all of them in their order.
fn until(receiver: &SyslogReceiver, kind: &str) -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    loop {
        let message = receiver.next()?;
        let last = message.contains(&format!(" - {kind} ["));
        out.push(message);
        if last {
            return Ok(out);
        }
    }
}

fn start(home: &Path, authority: &Path, receiver: &SyslogReceiver, form: &str) -> anyhow::Result<Madang> {
    let ca = authority.to_string_lossy().into_owned();
    Madang::start_in(home, &["--siem", &receiver.name(), "--siem-ca", &ca, "--siem-format", form])
}

#[tokio::test]
async fn every_record_reaches_the_siem_once_and_in_order() -> Test {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("home");
    let authority = Authority::new()?;
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let receiver = SyslogReceiver::start(&authority)?;
    let mut server = start(&home, &ca, &receiver, "structured")?;
    let first = receiver.next()?;
    assert!(first.starts_with("<110>1 ") && first.contains(" - siem_target_changed [madang@32473 seq=\""), "{first}");
    let city = City::build(&server).await?;
    city.admin.client.ok(Method::POST, "/api/v1/departments", json!({ "name": "비밀 사업 부서" })).await?;
    receiver.cut(2);
    city.security.client.json("/api/v1/ledger?q=비밀말").await?;
    let mut all = until(&receiver, "ledger_read")?;
    server.kill()?;
    // Another start goes on behind the last record that was delivered.
    let server = start(&home, &ca, &receiver, "cef")?;
    let mut again = Client::new(&server.base)?;
    again.sign_in("sujin", PASSWORD).await?;
    again.json("/api/v1/ledger/verify").await?;
    let after = until(&receiver, "ledger_verified")?;
    assert!(after.last().context("last")?.contains("\u{feff}CEF:0|Madang|Madang|"), "{after:?}");
    all.extend(after);
    let mut last = seq(&first)?;
    for message in &all {
        let seq = seq(message)?;
        // What was delivered in the moment of the kill may come twice, and says so by its number.
        ensure!(seq == last + 1 || seq <= last, "after {last} came {seq}");
        last = last.max(seq);
        for secret in ["비밀", "secret", "password"] {
            ensure!(!message.contains(secret), "{message}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_siem_that_nobody_vouches_for_gets_nothing() -> Test {
    let dir = tempfile::tempdir()?;
    let (trusted, stranger) = (Authority::new()?, Authority::new()?);
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, trusted.pem())?;
    let receiver = SyslogReceiver::start(&stranger)?;
    let server = start(&dir.path().join("home"), &ca, &receiver, "structured")?;
    let city = City::build(&server).await?;
    let page = eventually("the fault is shown", || async {
        let (_, page) = city.security.client.page("/review/evidence").await?;
        Ok(page.contains("멈춰 있습니다").then_some(page))
    });
    assert!(page.await?.contains(&receiver.name()));
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "")?;
    assert!(start(&dir.path().join("other"), &empty, &receiver, "structured").is_err(), "no authority, no start");
    Ok(())
}

//! Who looks at outside calls, from outside: what is read is on record, the body's own words show to whoever decides and
//! stand in no record, a month is drawn alike whenever that is done, and the evidence page says what is so.

use anyhow::{Context, ensure};
use madang_policy::Policy;
use madang_server::desk::month::Month;
use madang_tests::outside::{Manner, PURPOSE, Stage, approved, run, stage};
use madang_tests::{Client, Member};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AnyPool;

type Test = anyhow::Result<()>;

const QUESTION: &str = "캠핑장 예약은 언제 받습니까?";
const DAY: i64 = 86_400_000;

async fn ask(stage: &Stage, question: &str) -> anyhow::Result<String> {
    let official = &stage.city.ict_official.client;
    let path = format!("/api/v1/runs/{}/outside", run(official, &stage.app, question).await?);
    let asked = official.ok(Method::POST, &path, json!({ "purpose": PURPOSE })).await?;
    Ok(asked["id"].as_str().context("call")?.to_owned())
}

async fn send(stage: &Stage, call: &str) -> anyhow::Result<Value> {
    stage.city.ict_official.client.ok(Method::POST, &format!("/api/v1/outside/{call}/send"), json!({})).await
}

async fn records(stage: &Stage, kind: &str) -> anyhow::Result<Value> {
    stage.city.security.client.json(&format!("/api/v1/ledger?kind={kind}")).await
}

/// Puts these rules into force: one officer proposes, another confirms where that is needed.
async fn policy(stage: &Stage, second: &Member, rules: &str) -> Test {
    let officer = &stage.city.security.client;
    let revision = officer.json("/api/v1/policy").await?["revision"].as_u64().context("revision")?;
    let text = format!("format = 1\nrevision = {}\n{rules}", revision + 1);
    Policy::parse(&text).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let new = json!({ "text": text, "reason": "시험", "expected_revision": revision });
    let put = officer.ok(Method::PUT, "/api/v1/policy", new).await?;
    if let Some(proposal) = put["proposal"].as_str() {
        let path = format!("/api/v1/policy/proposals/{proposal}/confirm");
        second.client.ok(Method::POST, &path, json!({})).await?;
    }
    Ok(())
}

/// Rules of the body's own dictionary: a word of the document, and one that nobody may write down.
async fn dictionary(officer: &Client) -> Test {
    let rules = json!([
        { "name": "무지개 과제", "terms": ["가람 캠핑장"], "patterns": [], "action": "mask" },
        { "name": "비공개 사업", "terms": ["한울 신도시"], "patterns": [], "action": "mask" },
    ]);
    let body = json!({ "revision": 0, "rules": rules, "reason": "이름을 지킴" });
    officer.ok(Method::PUT, "/api/v1/pii/dictionary", body).await?;
    Ok(())
}

#[tokio::test]
async fn whoever_reads_anothers_envelope_is_on_record() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let (officer, official) = (stage.city.security.client.clone(), stage.city.ict_official.client.clone());
    let call = ask(&stage, QUESTION).await?;
    let (api, page) = (format!("/api/v1/outside/{call}"), format!("/review/outside/{call}"));
    official.json(&api).await?;
    assert_eq!(records(&stage, "outside_call_read").await?["total"], 0, "their own");
    officer.json(&api).await?;
    officer.page(&page).await?;
    assert_eq!(records(&stage, "outside_call_opened").await?["total"], 1, "to decide, once");
    assert_eq!(records(&stage, "outside_call_read").await?["total"], 0);
    officer.ok(Method::POST, &format!("{api}/approve"), json!({ "reason": "공개 자료" })).await?;
    send(&stage, &call).await?;
    stage.provider.seen.recv().await.context("nothing arrived")?;
    for _ in 0..2 {
        assert!(officer.json(&api).await?["reply"].is_string(), "the whole of it");
        assert_eq!(second.client.page(&page).await?.0, StatusCode::OK);
        official.page(&page).await?;
    }
    let read = records(&stage, "outside_call_read").await?;
    assert_eq!(read["total"], 2, "once for each officer and day: {read}");
    for record in read["records"].as_array().context("records")? {
        assert_eq!(record["payload"]["detail"]["call"], json!(call));
    }
    let (_, shown) = officer.page(&page).await?;
    let seq = read["records"][0]["seq"].as_u64().context("number")?;
    assert!(shown.contains(&format!("/ledger/{seq}")), "the envelope names its records");
    assert!(officer.page("/review/evidence").await?.1.contains("최근 90일 봉투 열람 3건"));
    assert!(!read.to_string().contains("캠핑장은"), "no text in it");
    Ok(())
}

#[tokio::test]
async fn the_bodys_own_words_show_to_whoever_decides_and_stand_in_no_record() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let officer = &stage.city.security.client;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    dictionary(officer).await?;
    let call = ask(&stage, QUESTION).await?;
    let (_, shown) = officer.page(&format!("/review/outside/{call}")).await?;
    assert!(shown.contains("무지개 과제"), "in the envelope");
    let (_, desk) = officer.page("/review").await?;
    assert!(desk.contains("곳 가림") && !desk.contains("제안 1건"), "on the desk: {desk}");
    for (kind, total) in [("custom", 1), ("custom:무지개%20과제", 1), ("custom:비공개%20사업", 0), ("rrn", 0)]
    {
        let listed = officer.json(&format!("/api/v1/outside/calls?kind={kind}")).await?;
        assert_eq!(listed["total"], total, "{kind}");
    }
    let asked = records(&stage, "outside_call_requested").await?;
    let detector = asked["records"][0]["payload"]["detail"]["detector"].as_str().context("detector")?;
    assert!(detector.contains("rules") && detector.ends_with("dictionary 1"), "{detector}");
    // Reasons, notes and filters that hold such words.
    let reason = "한울-신도시 민원 확인";
    let export = |path: &'static str| officer.post(path, json!({ "format": "csv", "reason": reason, "q": reason }));
    for path in ["/api/v1/ledger/export", "/api/v1/outside/calls/export"] {
        assert_eq!(export(path).await?.status(), StatusCode::OK, "{path}");
        let linked = officer.get(&format!("{path}?format=csv&reason=점검")).await?;
        assert!(!linked.status().is_success(), "a link exports nothing");
    }
    let search = json!({ "words": "캠핑장은", "reason": reason });
    officer.ok(Method::POST, "/api/v1/outside/bodies/search", search).await?;
    officer.json("/api/v1/ledger?q=한울신도시").await?;
    let hold = json!({ "target": "call", "subject": call, "reason": reason });
    officer.ok(Method::POST, "/api/v1/outside/holds", hold).await?;
    let revision = officer.json("/api/v1/policy").await?["revision"].as_u64().context("revision")?;
    let closed = "[[rule]]\nid = \"closed\"\neffect = \"deny\"\nreason = \"점검\"\n[rule.when]\n";
    let text = format!("format = 1\nrevision = {}\n{closed}", revision + 1);
    let put = json!({ "text": text, "reason": reason, "expected_revision": revision });
    let put = officer.ok(Method::PUT, "/api/v1/policy", put).await?;
    let decline = format!("/api/v1/policy/proposals/{}/decline", put["proposal"].as_str().context("proposal")?);
    second.client.ok(Method::POST, &decline, json!({ "reason": reason })).await?;
    let all =
        officer.post("/api/v1/ledger/export", json!({ "format": "jsonl", "reason": "점검" })).await?.text().await?;
    for kind in ["ledger_exported", "outside_calls_exported", "outside_bodies_searched", "policy_declined"] {
        assert!(all.contains(kind), "{kind} is there");
    }
    assert!(all.contains("민원 확인") && !all.contains("한울"), "no record holds the word");
    Ok(())
}

#[tokio::test]
async fn a_manager_whom_the_policy_names_finds_what_waits_and_nobody_learns_of_other_rules() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let rules = "[[rule]]\nid = \"open\"\ntitle = \"공개\"\neffect = \"needs_approval\"\n[rule.when]\ngrades = [\"O\"]\n\
                 found_at_most = [\"personal\"]\n[rule.approval]\nofficers = 1\nfrom = { role = \"manager\", own_department = true }\n\
                 [[rule]]\nid = \"hidden\"\ntitle = \"감춘 규칙\"\neffect = \"deny\"\nreason = \"크다\"\n[rule.when]\nbytes_over = 9000000\n";
    policy(&stage, &second, rules).await?;
    let (official, manager) = (&stage.city.ict_official.client, &stage.city.ict_manager.client);
    let asking = run(official, &stage.app, QUESTION).await?;
    let preview = official.ok(Method::POST, &format!("/api/v1/runs/{asking}/outside/preview"), json!({})).await?;
    assert_eq!(preview["decision"]["looked"][0]["rule"], "open", "{preview}");
    let call = ask(&stage, "캠핑장 예약 접수일은?").await?;
    let read = official.json(&format!("/api/v1/outside/{call}")).await?;
    for told in [preview, read] {
        assert!(!told.to_string().contains("감춘 규칙"), "rules that were not hit are the policy's readers': {told}");
    }
    let link = format!("/review/outside/{call}");
    let (_, desk) = manager.page("/review").await?;
    assert!(desk.contains("기다리는 외부호출") && desk.contains(&link), "{desk}");
    let (_, other) = stage.city.civil_manager.client.page("/review").await?;
    assert!(!other.contains("기다리는 외부호출"), "none waits for the manager of another department");
    Ok(())
}

/// As somebody who turns the clock: all calls so many days back.
async fn age(stage: &Stage, days: i64) -> Test {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&format!("sqlite://{}", stage.server.home().join("madang.db").display())).await?;
    sqlx::query("UPDATE external_calls SET created_at = created_at - $1").bind(days * DAY).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn a_month_that_is_drawn_late_holds_its_own_anomalies() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let officer = &stage.city.security.client;
    // Approved without having been opened.
    let call = approved(&stage, &format!("{QUESTION} {}", "자세히 알려 주세요. ".repeat(20))).await?;
    age(&stage, 200).await?;
    let listed = officer.json("/api/v1/outside/calls").await?;
    let month = Month::of(listed["calls"][0]["created_at"].as_i64().context("time")?).to_string();
    // An export signs what is not signed yet: the seed is a checkpoint.
    officer.post("/api/v1/ledger/export", json!({ "format": "jsonl", "reason": "점검" })).await?.text().await?;
    officer.ok(Method::POST, &format!("/api/v1/outside/months/{month}/sample"), json!({})).await?;
    let (_, page) = officer.page(&format!("/review/monthly/{month}")).await?;
    assert!(page.contains(&call) && page.contains("읽지 못할 만큼 빠른 승인"), "{page}");
    let drawn = records(&stage, "monthly_sample_drawn").await?;
    let detail = &drawn["records"][0]["payload"]["detail"];
    assert_eq!((&detail["always_in_all"], detail["always"].as_array().map(Vec::len)), (&json!(1), Some(1)), "{detail}");
    ensure!(detail["always_digest"].as_str().is_some_and(|d| d.len() == 64), "{detail}");
    Ok(())
}

#[tokio::test]
async fn the_evidence_page_counts_what_left_and_what_was_lowered() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let officer = stage.city.security.client.clone();
    for _ in 0..2 {
        let call = approved(&stage, QUESTION).await?;
        assert_eq!(send(&stage, &call).await?["state"], "sent");
    }
    stage.provider.seen.recv().await.context("nothing arrived")?;
    assert!(stage.provider.nothing_more(), "the second was answered from the first");
    let other = stage.collection_of("S").await?;
    let lowered = json!({ "grade": "O", "reason": "공개 심의를 마침" });
    let path = format!("/api/v1/collections/{other}");
    stage.city.ict_manager.client.ok(Method::PATCH, &path, lowered).await?;
    let (_, page) = officer.page("/review/evidence").await?;
    assert!(page.contains("C 0건, S 0건, O 1건"), "one left: {page}");
    assert!(page.contains("등급을 낮춘 일 1건") && page.contains("/ledger?kind=grade_lowered"), "{page}");
    assert_eq!(stage.city.admin.client.json("/api/v1/providers").await?[0]["calls"], 1);
    Ok(())
}

#[tokio::test]
async fn calls_that_end_with_their_provider_have_a_record_each() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let calls = [ask(&stage, QUESTION).await?, approved(&stage, "캠핑장 예약 날짜는?").await?];
    let admin = &stage.city.admin.client;
    let provider = admin.json("/api/v1/providers").await?[0]["id"].as_str().context("provider")?.to_owned();
    admin.ok(Method::DELETE, &format!("/api/v1/providers/{provider}"), json!({})).await?;
    let recorded = records(&stage, "outside_call_cancelled").await?;
    assert_eq!(recorded["total"], 2, "{recorded}");
    for call in calls {
        assert!(recorded.to_string().contains(&call));
        let read = stage.city.ict_official.client.json(&format!("/api/v1/outside/{call}")).await?;
        assert_eq!(read["state"], "cancelled");
    }
    Ok(())
}

//! What was approved is judged again when it is sent, against the real binary: grades that rose, documents that are
//! gone, an asker who moved, whose approval counts for which need, for how long. Also refusals that nobody asked for.

use anyhow::Context;
use madang_tests::outside::{Manner, PURPOSE, Stage, app_over_all, approved, policy, run, stage};
use reqwest::{Method, StatusCode};
use serde_json::json;

type Test = anyhow::Result<()>;

const QUESTION: &str = "캠핑장 예약은 언제 받습니까?";

async fn send(stage: &Stage, call: &str) -> anyhow::Result<(StatusCode, String)> {
    let told = stage.city.ict_official.client.post(&format!("/api/v1/outside/{call}/send"), json!({})).await?;
    Ok((told.status(), told.text().await?))
}

async fn ask(stage: &Stage, question: &str) -> anyhow::Result<String> {
    let official = &stage.city.ict_official.client;
    let run = run(official, &stage.app, question).await?;
    let asked =
        official.ok(Method::POST, &format!("/api/v1/runs/{run}/outside"), json!({ "purpose": PURPOSE })).await?;
    Ok(asked["id"].as_str().context("call")?.to_owned())
}

/// An app over all that its reader may read names no collection: what it cited is asked all the same.
#[tokio::test]
async fn a_source_whose_grade_rose_does_not_leave() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    stage.app = app_over_all(&stage.city.ict_official.client).await?;
    let call = approved(&stage, QUESTION).await?;
    let sources = stage.city.ict_official.client.json(&format!("/api/v1/outside/{call}")).await?["sources"].clone();
    assert_eq!(sources.as_array().map(Vec::len), Some(1), "it cites the document: {sources}");
    let path = format!("/api/v1/collections/{}", stage.collection);
    stage.city.ict_official.client.ok(Method::PATCH, &path, json!({ "grade": "S" })).await?;
    let (status, words) = send(&stage, &call).await?;
    assert_eq!(status, StatusCode::FORBIDDEN, "{words}");
    assert!(words.contains("등급"), "{words}");
    assert!(stage.provider.nothing_more());
    let records = stage.city.security.client.json("/api/v1/ledger?kind=outside_call_denied").await?;
    assert_eq!(records["total"], 1, "{records}");
    // Lowered again by a named officer, a rule about such sources finds it.
    let lower = json!({ "grade": "O", "reason": "점검을 마치고 공개하기로 함" });
    stage.city.ict_manager.client.ok(Method::PATCH, &path, lower).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let deny = "[[rule]]\nid = \"once-closed\"\neffect = \"deny\"\nreason = \"등급을 내린 자료입니다.\"\n[rule.when]\nregraded = true\n";
    policy(&stage, &second, &format!("{}{deny}", needs("security", ""))).await?;
    let (status, words) = send(&stage, &call).await?;
    assert_eq!(status, StatusCode::FORBIDDEN, "{words}");
    assert!(words.contains("등급을 내린 자료"), "{words}");
    assert!(stage.provider.nothing_more());
    Ok(())
}

#[tokio::test]
async fn neither_a_document_that_is_gone_nor_an_asker_who_moved() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let (gone, moved) = (approved(&stage, QUESTION).await?, approved(&stage, "캠핑장 예약일은?").await?);
    let official = stage.city.ict_official.client.clone();
    let admin = stage.city.admin.client.clone();
    let own = &stage.city.ict_official;
    let path = format!("/api/v1/people/{}/move", own.id);
    admin.ok(Method::POST, &path, json!({ "from": own.post, "to": stage.city.civil_official.post })).await?;
    let (status, words) = send(&stage, &moved).await?;
    assert!(status.is_client_error(), "the app is no longer theirs to run: {status} {words}");
    admin.ok(Method::POST, &path, json!({ "from": stage.city.civil_official.post, "to": own.post })).await?;
    let document = official.json(&format!("/api/v1/outside/{gone}")).await?["sources"][0]["document"].clone();
    let path = format!("/api/v1/documents/{}", document.as_str().context("document")?);
    assert!(official.send(Method::DELETE, &path, json!(null)).await?.status().is_success());
    let (status, words) = send(&stage, &gone).await?;
    assert!(status.is_client_error() && words.contains("지워져"), "{status} {words}");
    assert!(stage.provider.nothing_more());
    Ok(())
}

fn needs(role: &str, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"by-{role}\"\ntitle = \"공개\"\neffect = \"needs_approval\"\n[rule.when]\ngrades = [\"O\"]\n\
         found_at_most = [\"personal\"]\n[rule.approval]\nofficers = 1\nfrom = {{ role = \"{role}\" }}\n{more}\n"
    )
}

/// Two rules ask for two people; whoever may decide for one of them only stands in for the other.
#[tokio::test]
async fn an_approval_counts_for_the_needs_that_were_its_turn() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let both = needs("security", "") + &needs("manager", "substitutes = [{ role = \"security\" }]");
    policy(&stage, &second, &both).await?;
    let call = ask(&stage, QUESTION).await?;
    let path = format!("/api/v1/outside/{call}/approve");
    let officer = &stage.city.security.client;
    let given = officer.ok(Method::POST, &path, json!({ "reason": "확인", "hours": 5 })).await?;
    assert_eq!(given, json!({ "given": 1, "asked": 2, "complete": false }), "nobody is away");
    let given = second.client.ok(Method::POST, &path, json!({ "reason": "확인" })).await?;
    assert_eq!(given["complete"], false, "another of the same kind is not the manager");
    let given = stage.city.ict_manager.client.ok(Method::POST, &path, json!({ "reason": "확인", "hours": 24 })).await?;
    assert_eq!(given["complete"], true);
    let call = officer.json(&format!("/api/v1/outside/{call}")).await?;
    let ms = |key: &str| call[key].as_i64().context("time");
    let hours = (ms("expires_at")? - ms("decided_at")?) as f64 / 3_600_000.0;
    assert!((4.9..=5.0).contains(&hours), "the shortest that anybody said: {hours}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_was_only_looked_at_is_on_record_once() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let official = &stage.city.ict_official.client;
    let run = run(official, &stage.app, "900101-1970000 님의 캠핑장 예약은 언제 받습니까?").await?;
    for _ in 0..3 {
        assert_eq!(official.get(&format!("/runs/{run}/outside")).await?.status(), StatusCode::OK);
    }
    let records = stage.city.security.client.json("/api/v1/ledger?kind=outside_call_denied").await?;
    assert_eq!(records["total"], 1, "{records}");
    assert!(!records.to_string().contains("1970000"));
    let (_, page) = official.in_english().page(&format!("/runs/{run}/outside")).await?;
    assert!(page.contains("Decision: refused.") && page.contains("may not leave"), "in the reader's language: {page}");
    assert!(!page.contains("결정:"), "{page}");
    let own = official.json("/api/v1/outside").await?;
    assert_eq!((own.as_array().map(Vec::len), &own[0]["state"]), (Some(1), &json!("denied")), "{own}");
    Ok(())
}

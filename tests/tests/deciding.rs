//! Who and what decides on an outside call, against the real binary: two officers, somebody who stands in, the policy
//! alone, a policy that changes, budgets, replies to the same bytes, masks that an officer adds.

use anyhow::Context;
use jiff::ToSpan;
use madang_tests::Client;
use madang_tests::outside::{Manner, PHONE, PURPOSE, Stage, approved, policy, run, stage};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

type Test = anyhow::Result<()>;

const QUESTION: &str = "캠핑장 예약은 언제 받습니까?";

fn needs(officers: u8, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"open\"\ntitle = \"공개\"\neffect = \"needs_approval\"\n[rule.when]\ngrades = [\"O\"]\n\
         found_at_most = [\"personal\"]\n[rule.approval]\nofficers = {officers}\nfrom = {{ role = \"security\" }}\n{more}\n"
    )
}

const PASSES: &str = "[[rule]]\nid = \"open\"\ntitle = \"공개\"\neffect = \"allow_with_masking\"\n[rule.when]\n\
                      grades = [\"O\"]\nfound_at_most = [\"personal\"]\n";

async fn ask(stage: &Stage, question: &str) -> anyhow::Result<String> {
    let official = &stage.city.ict_official.client;
    let run = run(official, &stage.app, question).await?;
    let asked =
        official.ok(Method::POST, &format!("/api/v1/runs/{run}/outside"), json!({ "purpose": PURPOSE })).await?;
    Ok(asked["id"].as_str().context("call")?.to_owned())
}

async fn approve(client: &Client, call: &str) -> anyhow::Result<Value> {
    client.ok(Method::POST, &format!("/api/v1/outside/{call}/approve"), json!({ "reason": "확인" })).await
}

async fn send(stage: &Stage, call: &str) -> anyhow::Result<reqwest::Response> {
    stage.city.ict_official.client.post(&format!("/api/v1/outside/{call}/send"), json!({})).await
}

async fn state(stage: &Stage, call: &str) -> anyhow::Result<Value> {
    stage.city.ict_official.client.json(&format!("/api/v1/outside/{call}")).await
}

#[tokio::test]
async fn two_officers_and_those_who_stand_in() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let stand_in = "substitutes = [{ role = \"manager\", own_department = true }]";
    policy(&stage, &second, &needs(2, stand_in)).await?;
    let (first, manager) = (stage.city.security.client.clone(), stage.city.ict_manager.client.clone());
    let call = ask(&stage, QUESTION).await?;
    let path = format!("/api/v1/outside/{call}");
    assert_eq!(manager.get(&path).await?.status(), StatusCode::NOT_FOUND, "not their turn");
    assert_eq!(approve(&first, &call).await?, json!({ "given": 1, "asked": 2, "complete": false }));
    assert_eq!(approve(&first, &call).await?["given"], 1, "nobody counts twice");
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::CONFLICT);
    assert_eq!(approve(&second.client, &call).await?["complete"], true);
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::OK);
    assert!(stage.provider.seen.recv().await.context("nothing arrived")?.intended);
    let told = first.json(&path).await?;
    assert_eq!(told["decisions"].as_array().map(Vec::len), Some(2), "{told}");
    assert!(told["decisions"][0]["decided_at"].is_i64());
    // One of two officers is away: no turn yet. Both are: the manager of the asker's department may.
    let call = ask(&stage, "캠핑장 예약 접수일은?").await?;
    let path = format!("/api/v1/outside/{call}");
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
    let at = |days: i64| now.saturating_add(days.days()).strftime("%Y-%m-%dT%H:%M").to_string();
    let (from, until) = (at(-1), at(30));
    for (n, officer) in [&first, &second.client].into_iter().enumerate() {
        officer.ok(Method::POST, "/api/v1/absences", json!({ "from": from, "until": until })).await?;
        let expected = if n == 0 { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(manager.get(&path).await?.status(), expected, "after {n}");
    }
    let listed = manager.json("/api/v1/outside?which=waiting").await?;
    assert_eq!(listed[0]["id"], json!(call), "it waits for the manager");
    assert_eq!(approve(&manager, &call).await?, json!({ "given": 1, "asked": 2, "complete": false }));
    assert_eq!(stage.city.civil_manager.client.get(&path).await?.status(), StatusCode::NOT_FOUND, "another department");
    // Who has moved on reads it no more, though they approved it once.
    assert_eq!(manager.get(&path).await?.status(), StatusCode::OK);
    let post = format!("/api/v1/posts/{}", stage.city.ict_manager.post);
    let changed = json!({ "title": "주무관", "roles": ["official"] });
    stage.city.admin.client.ok(Method::PATCH, &post, changed).await?;
    assert_eq!(manager.get(&path).await?.status(), StatusCode::NOT_FOUND, "the right ended with the post");
    Ok(())
}

#[tokio::test]
async fn what_the_policy_lets_pass_and_what_it_stops() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    // Approved under one policy, refused by the next one.
    let call = approved(&stage, QUESTION).await?;
    let closed = "[[rule]]\nid = \"closed\"\neffect = \"deny\"\nreason = \"점검 기간입니다. 다음 주에 신청해 주세요.\"\n[rule.when]\n";
    policy(&stage, &second, closed).await?;
    let refused = send(&stage, &call).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.text().await?.contains("점검 기간"), "in the policy's words");
    let official = stage.city.ict_official.client.clone();
    let denied = run(&official, &stage.app, "캠핑장 예약은 며칠에 받습니까?").await?;
    let asked = official.post(&format!("/api/v1/runs/{denied}/outside"), json!({ "purpose": PURPOSE })).await?;
    assert_eq!(asked.status(), StatusCode::FORBIDDEN);
    let records = stage.city.security.client.json("/api/v1/ledger?kind=outside_call_denied").await?;
    assert_eq!(records["total"], 2, "both refusals are on record: {records}");
    assert!(stage.provider.nothing_more());
    // Nobody is asked where the policy lets it pass; the budget still counts.
    policy(
        &stage,
        &second,
        &format!("{PASSES}[[budget]]\nid = \"day\"\nper = \"person\"\nperiod = \"day\"\ncalls = 1\n"),
    )
    .await?;
    let passing = ask(&stage, "캠핑장 예약일을 알려 줘").await?;
    assert_eq!(state(&stage, &passing).await?["state"], "approved");
    assert_eq!(send(&stage, &passing).await?.status(), StatusCode::OK);
    let arrived = stage.provider.seen.recv().await.context("nothing arrived")?;
    assert!(!String::from_utf8_lossy(&arrived.body).contains(PHONE));
    let over = ask(&stage, "캠핑장 예약 시작은 언제야?").await?;
    let told = send(&stage, &over).await?;
    assert_eq!(told.status(), StatusCode::CONFLICT);
    assert!(told.text().await?.contains("예산"), "says which budget");
    assert!(stage.provider.nothing_more());
    assert_eq!(state(&stage, &over).await?["state"], "approved", "kept for tomorrow");
    Ok(())
}

#[tokio::test]
async fn the_same_bytes_are_not_sent_twice_and_masks_can_be_added() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let officer = stage.city.security.client.clone();
    let first = approved(&stage, QUESTION).await?;
    assert_eq!(send(&stage, &first).await?.status(), StatusCode::OK);
    stage.provider.seen.recv().await.context("nothing arrived")?;
    let again = approved(&stage, QUESTION).await?;
    assert_eq!(send(&stage, &again).await?.status(), StatusCode::OK);
    let answered = state(&stage, &again).await?;
    assert_eq!((&answered["state"], &answered["reply_from"]), (&json!("sent"), &json!(first)), "{answered}");
    assert!(answered["reply"].as_str().is_some_and(|r| r.contains(PHONE)), "with the asker's own words back");
    assert!(stage.provider.nothing_more(), "nothing left the second time");
    // An officer masks more; what was approved before counts for nothing, and the asker reads their own words again.
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    policy(&stage, &second, &needs(2, "")).await?;
    let call = ask(&stage, QUESTION).await?;
    let path = format!("/api/v1/outside/{call}");
    approve(&officer, &call).await?;
    let missing = second.client.post(&format!("{path}/mask"), json!({ "phrases": ["여기 없는 말"] })).await?;
    assert_eq!(missing.status(), StatusCode::UNPROCESSABLE_ENTITY);
    second.client.ok(Method::POST, &format!("{path}/mask"), json!({ "phrases": ["가람 캠핑장"] })).await?;
    let seen = second.client.json(&path).await?;
    let body = seen["body"].as_str().context("body")?.to_owned();
    assert!(body.contains("[가림-1]") && !body.contains("가람 캠핑장"), "{body}");
    assert_eq!(seen["progress"]["given"], 0, "approved for other bytes: {seen}");
    let revealed =
        second.client.ok(Method::POST, &format!("{path}/reveal"), json!({ "reason": "가림이 맞는지 봄" })).await?;
    assert!(revealed.to_string().contains("가람 캠핑장") && revealed.to_string().contains(PHONE), "{revealed}");
    let records = officer.json("/api/v1/ledger?kind=outside_call_revealed").await?;
    assert_eq!(records["total"], 1);
    assert!(!records.to_string().contains(PHONE));
    approve(&officer, &call).await?;
    approve(&second.client, &call).await?;
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::OK);
    let arrived = stage.provider.seen.recv().await.context("nothing arrived")?;
    assert_eq!(String::from_utf8(arrived.body)?, body, "what was approved last");
    assert_eq!(officer.json("/api/v1/ledger/verify").await?["sound"], true);
    Ok(())
}

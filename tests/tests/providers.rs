//! Changing a provider over HTTP, against the real binary: what stays, what is taken back, and that an approval given
//! before sends nothing to where the provider stands afterwards.

use anyhow::Context;
use madang_tests::outside::{Manner, Provider, Stage, approved, run, stage};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AnyPool;

type Test = anyhow::Result<()>;

const KEY: &str = "secret-key-0123456789";
const OTHER_KEY: &str = "another-key-abcdefghi";

async fn listed(stage: &Stage) -> anyhow::Result<Value> {
    Ok(stage.city.admin.client.json("/api/v1/providers").await?[0].clone())
}

async fn edit(stage: &Stage, change: Value) -> anyhow::Result<Value> {
    let id = listed(stage).await?["id"].as_str().context("provider")?.to_owned();
    stage.city.admin.client.ok(Method::PATCH, &format!("/api/v1/providers/{id}"), change).await
}

async fn switch_on(stage: &Stage) -> Test {
    let id = listed(stage).await?["id"].as_str().context("provider")?.to_owned();
    stage.city.admin.client.ok(Method::POST, &format!("/api/v1/providers/{id}/enable"), json!({})).await?;
    Ok(())
}

async fn send(stage: &Stage, call: &str) -> anyhow::Result<reqwest::Response> {
    stage.city.ict_official.client.post(&format!("/api/v1/outside/{call}/send"), json!({})).await
}

async fn records(stage: &Stage) -> anyhow::Result<Vec<Value>> {
    let found = stage.city.security.client.json("/api/v1/ledger?kind=provider_changed").await?;
    Ok(found["records"].as_array().context("records")?.clone())
}

/// As whoever has the database: a call reads as approved again, with the binding of its approval.
async fn revive(stage: &Stage, call: &str) -> Test {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&format!("sqlite://{}", stage.server.home().join("madang.db").display())).await?;
    let done = sqlx::query("UPDATE external_calls SET state = 'approved', ended_at = NULL, error = NULL WHERE id = $1")
        .bind(call.to_owned())
        .execute(&pool)
        .await?;
    assert_eq!(done.rows_affected(), 1);
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn an_approval_of_before_sends_nothing_to_where_a_provider_stands_now() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let mut elsewhere = Provider::start(stage.server.home(), Manner::Answers).await?;
    let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
    let waiting = run(&stage.city.ict_official.client, &stage.app, "캠핑장 담당자는 누구입니까?").await?;
    let ask = json!({ "purpose": "안내문을 쉬운 말로 고쳐 씀" });
    stage.city.ict_official.client.ok(Method::POST, &format!("/api/v1/runs/{waiting}/outside"), ask).await?;

    let edited = edit(&stage, json!({ "base_url": elsewhere.url })).await?;
    assert_eq!(edited, json!({ "elsewhere": true, "calls_cancelled": 2 }));
    let now = listed(&stage).await?;
    assert_eq!(
        (&now["enabled"], &now["base_url"]),
        (&json!(false), &json!(elsewhere.url)),
        "off until somebody switches it on"
    );
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::CONFLICT);
    switch_on(&stage).await?;
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::CONFLICT);
    let read = stage.city.ict_official.client.json(&format!("/api/v1/outside/{call}")).await?;
    assert_eq!(read["state"], "cancelled");
    assert!(read.to_string().contains("다시 신청해 주세요"), "the asker reads why: {read}");
    // Even where somebody gives the row its state back, the approval is bound to the place of its time.
    revive(&stage, &call).await?;
    let refused = send(&stage, &call).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await?.contains("보낼 곳"));
    assert!(stage.provider.nothing_more() && elsewhere.nothing_more(), "not a byte");
    let record = records(&stage).await?.to_vec();
    assert_eq!(record.len(), 1);
    let text = serde_json::to_string(&record)?;
    assert!(text.contains(&elsewhere.url) && text.contains(&stage.provider.url) && text.contains(&call), "{text}");

    // Asked and approved anew it goes to where it was approved for.
    let anew = approved(&stage, "캠핑장 예약은 어떻게 합니까?").await?;
    assert_eq!(send(&stage, &anew).await?.status(), StatusCode::OK);
    let seen = elsewhere.seen.recv().await.context("seen")?;
    assert!(seen.intended && seen.head.contains(KEY), "the key stayed: {}", seen.head);
    Ok(())
}

#[tokio::test]
async fn another_model_form_or_pin_takes_approvals_back_and_a_name_does_not() -> Test {
    let home = tempfile::tempdir()?;
    let mut stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let pin = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let moves = [
        json!({ "model": "model-2" }),
        json!({ "wire": "anthropic" }),
        json!({ "pins": [pin] }),
        json!({ "stream": true }),
    ];
    for (n, change) in moves.into_iter().enumerate() {
        let call = approved(&stage, &format!("캠핑장 예약은 언제 받습니까? {n}번째로 묻습니다.")).await?;
        let edited = edit(&stage, change.clone()).await?;
        assert_eq!(edited, json!({ "elsewhere": true, "calls_cancelled": 1 }), "{change}");
        switch_on(&stage).await?;
        assert_eq!(send(&stage, &call).await?.status(), StatusCode::CONFLICT, "{change}");
    }
    edit(&stage, json!({ "model": "model-1", "wire": "openai", "pins": [], "stream": false })).await?;
    switch_on(&stage).await?;
    assert!(stage.provider.nothing_more());
    // What does not lead elsewhere leaves an approval as it is, and the provider on.
    let call = approved(&stage, "캠핑장 예약은 언제부터입니까?").await?;
    let calm = json!({ "name": "새 이름", "max_output_tokens": 777, "first_byte_seconds": 30, "total_seconds": 60, "api_key": OTHER_KEY });
    assert_eq!(edit(&stage, calm.clone()).await?, json!({ "elsewhere": false, "calls_cancelled": 0 }));
    let now = listed(&stage).await?;
    assert_eq!(
        (&now["name"], &now["max_output_tokens"], &now["enabled"]),
        (&json!("새 이름"), &json!(777), &json!(true))
    );
    assert_eq!(now["patience"]["total_ms"], 60_000);
    assert_eq!(send(&stage, &call).await?.status(), StatusCode::OK);
    let seen = stage.provider.seen.recv().await.context("seen")?;
    assert!(seen.head.contains(OTHER_KEY) && !seen.head.contains(KEY), "the other key is shown: {}", seen.head);
    Ok(())
}

#[tokio::test]
async fn the_key_is_never_shown_and_a_wrong_field_changes_nothing() -> Test {
    let home = tempfile::tempdir()?;
    let stage = stage(&home.path().join("home"), Manner::Answers).await?;
    let admin = &stage.city.admin.client;
    let before = listed(&stage).await?;
    let path = format!("/api/v1/providers/{}", before["id"].as_str().context("id")?);
    let page = format!("/admin/providers/{}", before["id"].as_str().context("id")?);
    for (change, field) in [
        (json!({ "base_url": "ftp://x" }), "base_url"),
        (json!({ "api_key": "두 낱말" }), "api_key"),
        (json!({ "name": " " }), "name"),
        (json!({ "model": "" }), "model"),
        (json!({ "pins": ["x"] }), "pins"),
        (json!({ "max_output_tokens": 0 }), "max_output_tokens"),
        (json!({ "identity": "x" }), "identity"),
    ] {
        let refused = admin.send(Method::PATCH, &path, change.clone()).await?;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{change}");
        let problem: Value = refused.json().await?;
        assert!(
            problem["error"].to_string().contains(&format!("\"{field}\"")),
            "beside its field, so that the form keeps the rest: {problem}"
        );
    }
    assert_eq!(listed(&stage).await?, before);
    assert_eq!(edit(&stage, json!({})).await?, json!({ "elsewhere": false, "calls_cancelled": 0 }));
    assert!(records(&stage).await?.is_empty(), "nothing changed, nothing is on record");
    edit(&stage, json!({ "api_key": OTHER_KEY })).await?;
    let (status, shown) = admin.page(&page).await?;
    assert_eq!(status, StatusCode::OK);
    assert!(shown.contains("value=\"model-1\"") && shown.contains("••••fghi"), "{shown}");
    let told = format!("{}{shown}{}", listed(&stage).await?, serde_json::to_string(&records(&stage).await?)?);
    assert!(!told.contains(KEY) && !told.contains(OTHER_KEY));
    assert!(records(&stage).await?[0].to_string().contains("api_key"), "that it was replaced is on record");
    for other in [&stage.city.security.client, &stage.city.ict_official.client] {
        assert_eq!(other.send(Method::PATCH, &path, json!({ "name": "x" })).await?.status(), StatusCode::FORBIDDEN);
    }
    Ok(())
}

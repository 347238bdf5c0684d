//! Going outside, against the real binary and a provider on loopback: the exact bytes that were approved arrive, the
//! intent is on disk before them, and nothing else ever arrives; stops, and a provider that fails.

use anyhow::Context;
use madang_tests::Client;
use madang_tests::outside::{Manner, PHONE, PURPOSE, Stage, app_over, approved, run, stage, start};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;

type Test = anyhow::Result<()>;

#[tokio::test]
async fn what_was_approved_arrives_once_after_its_intent() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Answers).await?;
    let (official, officer) = (stage.city.ict_official.client.clone(), stage.city.security.client.clone());
    let run = run(&official, &stage.app, "캠핑장 예약은 언제 받습니까?").await?;
    let preview = official.ok(Method::POST, &format!("/api/v1/runs/{run}/outside/preview"), json!({})).await?;
    let body = preview["body"].as_str().context("body")?;
    assert!(!body.contains(PHONE) && body.contains("[전화번호-1]") && body.contains("매월 1일"), "{preview}");
    assert_eq!(
        (&preview["findings"][0]["words"], &preview["findings"][0]["token"]),
        (&json!(PHONE), &json!("[전화번호-1]"))
    );
    let ask = json!({ "purpose": PURPOSE, "legal_basis": "" });
    let asked = official.ok(Method::POST, &format!("/api/v1/runs/{run}/outside"), ask.clone()).await?;
    let call = asked["id"].as_str().context("call")?.to_owned();
    let again = official.post(&format!("/api/v1/runs/{run}/outside"), ask).await?;
    assert_eq!(again.status(), StatusCode::CONFLICT, "one at a time");
    let path = format!("/api/v1/outside/{call}");
    assert_eq!(
        official.post(&format!("{path}/send"), json!({})).await?.status(),
        StatusCode::CONFLICT,
        "not before approval"
    );
    assert_eq!(official.post(&format!("{path}/approve"), json!({})).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(stage.city.civil_official.client.get(&path).await?.status(), StatusCode::NOT_FOUND);
    officer.ok(Method::POST, &format!("{path}/approve"), json!({ "reason": "공개 자료" })).await?;
    assert!(stage.provider.nothing_more(), "nothing left before it was sent");
    let sent = official.ok(Method::POST, &format!("{path}/send"), json!({})).await?;
    assert_eq!((&sent["state"], &sent["tokens_in"]), (&json!("sent"), &json!(7)), "{sent}");
    let seen = stage.provider.seen.recv().await.context("nothing arrived")?;
    assert_eq!(String::from_utf8(seen.body)?, body, "byte for byte what was shown");
    assert!(seen.intended, "the intent was on disk before the bytes arrived");
    assert!(seen.head.contains("authorization: bearer secret-key-0123456789"));
    assert_eq!(official.post(&format!("{path}/send"), json!({})).await?.status(), StatusCode::CONFLICT, "once");
    assert!(stage.provider.nothing_more());
    check_reply(&stage, &run, &path).await?;
    check_records(&stage, &home).await
}

/// The asker's own words are back, an identifier that came with the reply is not, and markup is text.
async fn check_reply(stage: &Stage, run: &str, path: &str) -> Test {
    let (official, officer) = (&stage.city.ict_official.client, &stage.city.security.client);
    let mine = official.json(path).await?;
    let reply = mine["reply"].as_str().context("reply")?;
    assert!(reply.contains(PHONE) && !reply.contains("1970000"), "{reply}");
    assert!(!mine["reply_html"].as_str().context("html")?.contains("<script"), "{mine}");
    let theirs = officer.json(path).await?;
    assert!(!theirs.to_string().contains(PHONE), "an officer needs no citizen's number");
    let (status, page) = official.page(&format!("/runs/{run}")).await?;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("시험 제공자") && page.contains("아침 9시"), "the run names who wrote the reply");
    Ok(())
}

/// Records hold no text; an export and the database verify, and one that was altered does not.
async fn check_records(stage: &Stage, home: &Path) -> Test {
    let officer = &stage.city.security.client;
    for action in ["outside_call_requested", "outside_call_approved", "outside_call_intent", "outside_call_outcome"] {
        let found = officer.json(&format!("/api/v1/ledger?kind={action}")).await?;
        assert_eq!(found["total"], 1, "{action}");
        assert!(!found.to_string().contains("캠핑장은"), "a record never holds the text");
    }
    assert_eq!(officer.json("/api/v1/ledger/verify").await?["sound"], true);
    let export = async |format: &str, reason: &str| {
        officer.post("/api/v1/ledger/export", json!({ "format": format, "reason": reason })).await
    };
    assert_eq!(export("jsonl", "").await?.status(), StatusCode::UNPROCESSABLE_ENTITY, "a reason is needed");
    let lines = export("jsonl", "정기 점검").await?.text().await?;
    let file = home.with_extension("jsonl");
    std::fs::write(&file, &lines)?;
    let key = officer.json("/api/v1/ledger/signed").await?["keys"][0].as_str().context("key")?.to_owned();
    let verify =
        |file: &Path| stage.server.command(&["ledger", "verify", &file.to_string_lossy(), "--public-key", &key]);
    assert!(verify(&file)?.status.success());
    std::fs::write(&file, lines.replacen("outside_call_intent", "outside_call_intenT", 1))?;
    let told = verify(&file)?;
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8(told.stdout)?.contains("번 기록"), "the first bad record is named");
    assert!(stage.server.command(&["ledger", "verify"])?.status.success(), "works beside the server");
    let csv = export("csv", "정기 점검").await?.text().await?;
    assert!(csv.contains("외부호출 승인"));
    assert_eq!(stage.city.ict_manager.client.get("/api/v1/ledger").await?.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn what_may_not_leave_is_refused() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Answers).await?;
    let official = stage.city.ict_official.client.clone();
    let blocked = run(&official, &stage.app, "900101-1970000의 캠핑장 예약은 언제 받습니까?").await?;
    let preview = official.ok(Method::POST, &format!("/api/v1/runs/{blocked}/outside/preview"), json!({})).await?;
    assert_eq!(preview["findings"][0]["block"], true, "{preview}");
    assert!(
        preview["findings"][0]["place"].as_str().is_some_and(|p| p.contains("입력"))
            && !preview.to_string().contains("1970000")
    );
    let asked = official.post(&format!("/api/v1/runs/{blocked}/outside"), json!({ "purpose": PURPOSE })).await?;
    assert_eq!(asked.status(), StatusCode::UNPROCESSABLE_ENTITY);
    // An approved call is void when its provider is switched off, and one whose bytes were altered never opens.
    let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
    let provider = stage.city.admin.client.json("/api/v1/providers").await?[0]["id"].as_str().context("id")?.to_owned();
    stage.city.admin.client.ok(Method::POST, &format!("/api/v1/providers/{provider}/disable"), json!({})).await?;
    let send = format!("/api/v1/outside/{call}/send");
    assert_eq!(official.post(&send, json!({})).await?.status(), StatusCode::CONFLICT);
    stage.city.admin.client.ok(Method::DELETE, &format!("/api/v1/providers/{provider}"), json!({})).await?;
    assert_eq!(official.json(&format!("/api/v1/outside/{call}")).await?["state"], "cancelled");
    // Grade S: no app over it may ask, and what was asked for while it was O may not be asked for once it is S.
    let refused = app_over(&official, &stage.collection_of("S").await?).await;
    assert!(
        refused.is_err_and(|e| e.to_string().contains("outside")),
        "an app over S cannot be saved as one that asks"
    );
    let open = run(&official, &stage.app, "캠핑장 예약은 언제 받습니까?").await?;
    official.ok(Method::PATCH, &format!("/api/v1/collections/{}", stage.collection), json!({ "grade": "S" })).await?;
    let refused = official.post(&format!("/api/v1/runs/{open}/outside/preview"), json!({})).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(stage.provider.nothing_more(), "nothing ever arrived");
    Ok(())
}

#[tokio::test]
async fn the_emergency_stop_cuts_what_is_on_its_way_and_lets_nothing_out() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Silent).await?;
    let (official, officer) = (stage.city.ict_official.client.clone(), stage.city.security.client.clone());
    let admin = stage.city.admin.client.clone();
    let (call, later) =
        (approved(&stage, "캠핑장 예약은 언제 받습니까?").await?, approved(&stage, "예약 날짜는?").await?);
    let (asker, path) = (official.clone(), format!("/api/v1/outside/{call}/send"));
    let sending = tokio::spawn(async move { asker.ok(Method::POST, &path, json!({})).await });
    stage.provider.seen.recv().await.context("nothing arrived")?;
    let stop = "/api/v1/outside/switch/stop";
    let (reason, resume) = (json!({ "reason": "이상한 요청 010-1234-5678" }), "/api/v1/outside/switch/resume");
    assert_eq!(official.post(stop, reason.clone()).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(officer.post(stop, json!({ "reason": " " })).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    admin.ok(Method::POST, stop, reason.clone()).await?;
    let cut = sending.await??;
    assert_eq!(cut["state"], "unknown", "{cut}");
    assert!(cut["error"].as_str().is_some_and(|e| e.contains("비상 정지")), "{cut}");
    let refused = official.post(&format!("/api/v1/outside/{later}/send"), json!({})).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await?.contains("비상 정지"));
    assert!(stage.provider.nothing_more(), "nothing left after the stop");
    for (client, page) in [(&official, format!("/review/outside/{later}")), (&admin, "/admin/providers".to_owned())] {
        let (_, html) = client.page(&page).await?;
        assert!(html.contains("비상 정지") && html.contains("이상한 요청") && !html.contains("1234-5678"), "{page}");
    }
    assert_eq!(admin.post(resume, reason.clone()).await?.status(), StatusCode::FORBIDDEN, "an officer's alone");
    officer.ok(Method::POST, resume, json!({ "reason": "확인했음" })).await?;
    assert_eq!(officer.post(resume, json!({ "reason": "또" })).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(officer.post(resume, json!({ "reason": "다시" })).await?.status(), StatusCode::CONFLICT);
    assert_eq!(official.json("/api/v1/outside/switch").await?["stopped"], false);
    for (action, n) in [("outside_stopped", 1), ("outside_resumed", 1), ("outside_call_intent", 1)] {
        assert_eq!(officer.json(&format!("/api/v1/ledger?kind={action}")).await?["total"], n, "{action}");
    }
    let outcome = officer.json("/api/v1/ledger?kind=outside_call_outcome").await?;
    assert!(outcome.to_string().contains("비상 정지"), "the record says that it was stopped: {outcome}");
    let asker = official.clone();
    let again = tokio::spawn(async move { asker.post(&format!("/api/v1/outside/{later}/send"), json!({})).await });
    stage.provider.seen.recv().await.context("the approval still held")?;
    again.abort();
    Ok(())
}

#[tokio::test]
async fn a_stop_outlives_the_server() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Answers).await?;
    let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
    stage.city.security.client.ok(Method::POST, "/api/v1/outside/switch/stop", json!({ "reason": "점검" })).await?;
    stage.server.kill()?;
    let server = start(&home)?;
    let mut official = Client::new(&server.base)?;
    official.sign_in("jihun", madang_tests::PASSWORD).await?;
    assert_eq!(official.json("/api/v1/outside/switch").await?["stopped"], true);
    let refused = official.post(&format!("/api/v1/outside/{call}/send"), json!({})).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(official.page(&format!("/review/outside/{call}")).await?.1.contains("비상 정지"));
    assert!(stage.provider.nothing_more());
    Ok(())
}

#[tokio::test]
async fn a_provider_that_fails_again_and_again_is_left_alone_for_a_while() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Fails).await?;
    let (official, admin) = (stage.city.ict_official.client.clone(), stage.city.admin.client.clone());
    for n in 0..5 {
        assert_eq!(admin.json("/api/v1/providers").await?[0]["circuit"], "closed", "after {n}");
        let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
        let sent = official.ok(Method::POST, &format!("/api/v1/outside/{call}/send"), json!({})).await?;
        assert_eq!((&sent["state"], &sent["status"]), (&json!("sent"), &json!(500)), "{sent}");
        stage.provider.seen.recv().await.context("nothing arrived")?;
    }
    assert_eq!(admin.json("/api/v1/providers").await?[0]["circuit"], "open");
    assert!(admin.page("/admin/providers").await?.1.contains("잇달아 실패해 쉬는 중"));
    let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
    let refused = official.post(&format!("/api/v1/outside/{call}/send"), json!({})).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await?.contains("초 뒤에 다시"), "the asker is told in Korean");
    assert_eq!(official.json(&format!("/api/v1/outside/{call}")).await?["state"], "approved", "and may send later");
    assert!(stage.provider.nothing_more());
    Ok(())
}

#[tokio::test]
async fn a_server_killed_while_sending_counts_it_as_sent() -> Test {
    let home = tempfile::tempdir()?;
    let home = home.path().join("home");
    let mut stage = stage(&home, Manner::Silent).await?;
    let call = approved(&stage, "캠핑장 예약은 언제 받습니까?").await?;
    let official = stage.city.ict_official.client.clone();
    let path = format!("/api/v1/outside/{call}/send");
    let sending = tokio::spawn(async move { official.post(&path, json!({})).await });
    stage.provider.seen.recv().await.context("nothing arrived")?;
    stage.server.kill()?;
    assert!(sending.await?.is_err(), "the connection broke");
    let file = home.with_extension("cut.jsonl");
    let export = ["ledger", "export", "--reason", "서버가 멈춘 뒤", "-o", &file.to_string_lossy()];
    assert!(stage.server.command(&export)?.status.success());
    let key = String::from_utf8(stage.server.command(&["ledger", "key"])?.stdout)?;
    let verify = ["ledger", "verify", &file.to_string_lossy(), "--public-key", key.trim()];
    let told = stage.server.command(&verify)?;
    let words = String::from_utf8(told.stdout)?;
    assert!(told.status.success() && words.contains("알 수 없음(나간 것으로 셈)") && words.contains(&call), "{words}");
    let server = start(&home)?;
    let mut official = Client::new(&server.base)?;
    official.sign_in("jihun", madang_tests::PASSWORD).await?;
    let read: Value = official.json(&format!("/api/v1/outside/{call}")).await?;
    assert_eq!(read["state"], "unknown", "{read}");
    assert!(server.command(&["ledger", "verify"])?.status.success());
    Ok(())
}

//! Sharing over HTTP: who may submit, decide, withdraw and roll back; what the leak test refuses; what the store
//! shows to whom; what becomes of apps when their department is deleted.

use anyhow::{Context, Result};
use madang_tests::{City, Client, Madang, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// An app of the ICT department, forked from a bundled one and saved as version 2 with `change` applied to its sheet.
async fn own_app(by: &Client, change: impl Fn(&mut Value)) -> Result<(String, String)> {
    let store = by.json("/api/v1/store").await?;
    let bundled = store["apps"][0]["id"].as_str().context("no bundled app")?.to_owned();
    let fork = by.ok(Method::POST, &format!("/api/v1/apps/{bundled}/fork"), json!({})).await?;
    let app = fork["id"].as_str().context("no app")?.to_owned();
    let draft = fork["draft"].as_str().context("no draft")?.to_owned();
    assert_eq!(save(by, &draft, change).await?, 2);
    Ok((app, draft))
}

/// Saves the draft's sheet, changed, as the next version; returns its number.
async fn save(by: &Client, draft: &str, change: impl Fn(&mut Value)) -> Result<u64> {
    let path = format!("/api/v1/drafts/{draft}");
    let read = by.json(&path).await?;
    let mut sheet = read["sheet"].clone();
    change(&mut sheet);
    let put = by.ok(Method::PUT, &path, json!({ "revision": read["revision"], "sheet": sheet })).await?;
    let saved =
        by.ok(Method::POST, &format!("{path}/versions"), json!({ "revision": put["revision"], "note": "" })).await?;
    saved["version"].as_u64().context("no version")
}

async fn submit(by: &Client, app: &str, version: u64) -> Result<String> {
    let made = by
        .ok(Method::POST, &format!("/api/v1/apps/{app}/submissions"), json!({ "version": version, "note": "함께" }))
        .await?;
    Ok(made["id"].as_str().context("no submission")?.to_owned())
}

async fn status(by: &Client, method: Method, path: &str, body: Value) -> Result<u16> {
    Ok(by.send(method, path, body).await?.status().as_u16())
}

fn titled(title: &'static str) -> impl Fn(&mut Value) {
    move |sheet| sheet["title"] = json!(title)
}

#[tokio::test]
async fn only_the_right_manager_decides_and_never_their_own() -> Result<()> {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let (official, manager) = (&city.ict_official.client, &city.ict_manager.client);
    let (app, _) = own_app(official, titled("규정 도우미")).await?;
    let path = format!("/api/v1/apps/{app}/submissions");
    for stranger in [&city.civil_official.client, &city.civil_manager.client, &city.security.client, &city.admin.client]
    {
        assert_eq!(status(stranger, Method::POST, &path, json!({ "version": 2 })).await?, 404);
    }
    let id = submit(official, &app, 2).await?;
    assert_eq!(status(official, Method::POST, &path, json!({ "version": 2 })).await?, 409, "one waits already");
    for decision in ["approve", "return"] {
        let path = format!("/api/v1/submissions/{id}/{decision}");
        let body = json!({ "reason": "까닭" });
        assert_eq!(status(official, Method::POST, &path, body.clone()).await?, 403, "an official, {decision}");
        assert_eq!(
            status(&city.civil_manager.client, Method::POST, &path, body.clone()).await?,
            404,
            "another department's manager"
        );
        assert_eq!(status(&city.admin.client, Method::POST, &path, body).await?, 403, "an admin is no manager");
    }
    assert_eq!(
        city.civil_manager.client.get(&format!("/api/v1/submissions/{id}")).await?.status(),
        StatusCode::NOT_FOUND
    );
    let token =
        manager.ok(Method::POST, "/api/v1/tokens", json!({ "name": "script", "scope": "write", "days": 1 })).await?;
    let script = Client::with_token(&server.base, token["secret"].as_str().context("no secret")?)?;
    assert_eq!(
        status(&script, Method::POST, &format!("/api/v1/submissions/{id}/approve"), json!({})).await?,
        403,
        "a token approves nothing"
    );
    assert_eq!(
        status(manager, Method::POST, &format!("/api/v1/submissions/{id}/return"), json!({ "reason": " " })).await?,
        422
    );

    manager.ok(Method::POST, &format!("/api/v1/submissions/{id}/approve"), json!({})).await?;
    assert_eq!(
        status(manager, Method::POST, &format!("/api/v1/submissions/{id}/approve"), json!({})).await?,
        409,
        "twice"
    );
    let (theirs, _) = own_app(manager, titled("과장의 앱")).await?;
    let own = submit(manager, &theirs, 2).await?;
    assert_eq!(
        status(manager, Method::POST, &format!("/api/v1/submissions/{own}/approve"), json!({})).await?,
        403,
        "one's own"
    );
    let (_, page) = manager.page(&format!("/review/submissions/{own}")).await?;
    assert!(!page.contains("승인해서 스토어에 올리기"), "no button for what is refused");
    official.ok(Method::POST, &format!("/api/v1/submissions/{own}/withdraw"), json!({})).await?;
    assert_eq!(status(official, Method::POST, &format!("/api/v1/submissions/{own}/withdraw"), json!({})).await?, 409);
    Ok(())
}

#[tokio::test]
async fn the_leak_test_stands_before_the_store() -> Result<()> {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let official = &city.ict_official.client;
    let leaking = |sheet: &mut Value| {
        if let Some(sentences) = sheet["sentences"].as_array_mut() {
            sentences.push(json!({ "text": "예: 신청인 900101-1970000" }));
        }
    };
    let (app, draft) = own_app(official, leaking).await?;
    let path = format!("/api/v1/apps/{app}/submissions");
    let refused = official.post(&path, json!({ "version": 2 })).await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let body: Value = refused.json().await?;
    let text = body.to_string();
    assert!(text.contains("주민등록번호") && !text.contains("1970000"), "named, not repeated: {text}");
    assert!(body["error"]["field"].as_str().is_some_and(|f| f.starts_with("sentences.")), "{body}");

    let clean = |sheet: &mut Value| {
        if let Some(last) = sheet["sentences"].as_array_mut().and_then(|s| s.last_mut()) {
            *last = json!({ "text": "대외비 문서는 다루지 않는다." });
        }
    };
    let number = save(official, &draft, clean).await?;
    let id = submit(official, &app, number).await?;
    let read = city.ict_manager.client.json(&format!("/api/v1/submissions/{id}")).await?;
    assert!(read["leaks"].to_string().contains("대외비"), "a marking is a question to the approver: {read}");
    let (_, page) = city.ict_manager.client.page(&format!("/review/submissions/{id}")).await?;
    assert!(page.contains("등급 표시 ‘대외비’") && page.contains("승인해서 스토어에 올리기"));
    Ok(())
}

#[tokio::test]
async fn rolling_back_withdrawing_and_what_people_say() -> Result<()> {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let (official, manager, reader) =
        (&city.ict_official.client, &city.ict_manager.client, &city.civil_official.client);
    let (app, draft) = own_app(official, titled("둘째 이름")).await?;
    let approve = async |version: u64| -> Result<()> {
        let id = submit(official, &app, version).await?;
        manager.ok(Method::POST, &format!("/api/v1/submissions/{id}/approve"), json!({})).await.map(|_| ())
    };
    approve(2).await?;
    assert_eq!(save(official, &draft, titled("아무도 승인하지 않은 이름")).await?, 3);
    assert_eq!(save(official, &draft, titled("넷째 이름")).await?, 4);
    approve(4).await?;
    let rollback = format!("/api/v1/apps/{app}/rollback");
    assert_eq!(status(official, Method::POST, &rollback, json!({ "version": 3 })).await?, 409, "never approved");
    assert_eq!(status(reader, Method::POST, &rollback, json!({ "version": 2 })).await?, 403);
    official.ok(Method::POST, &rollback, json!({ "version": 2, "reason": "새 이름이 헷갈립니다." })).await?;
    let (_, page) = reader.page(&format!("/apps/{app}")).await?;
    assert!(
        page.contains("<h1>둘째 이름</h1>") && page.contains("넷째 이름"),
        "the store's version on top, both in the history"
    );
    assert!(!page.contains("아무도 승인하지 않은 이름"), "what nobody approved stays in the department");
    assert_eq!(reader.get(&format!("/api/v1/apps/{app}/versions/2/diff/4")).await?.status(), StatusCode::OK);
    assert_eq!(reader.get(&format!("/api/v1/apps/{app}/versions/2/diff/3")).await?.status(), StatusCode::NOT_FOUND);

    let rating = format!("/api/v1/apps/{app}/rating");
    assert_eq!(status(reader, Method::PUT, &rating, json!({ "stars": 5 })).await?, 403, "not used yet");
    let read = reader.json(&format!("/api/v1/apps/{app}")).await?;
    let inputs: serde_json::Map<String, Value> = read["current"]["sheet"]["inputs"]
        .as_array()
        .context("inputs")?
        .iter()
        .filter_map(|i| Some((i["key"].as_str()?.to_owned(), json!("당직 수당을 알려 주세요."))))
        .collect();
    reader.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), json!({ "inputs": inputs })).await?;
    for bad in
        [json!({ "stars": 0 }), json!({ "stars": 6 }), json!({ "stars": 4, "comment": "900101-1970000 님 감사합니다" })]
    {
        assert_eq!(status(reader, Method::PUT, &rating, bad.clone()).await?, 422, "{bad}");
    }
    reader.ok(Method::PUT, &rating, json!({ "stars": 4, "comment": "<b>빨라요</b>" })).await?;
    official.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), json!({ "inputs": inputs })).await?;
    assert_eq!(status(official, Method::PUT, &rating, json!({ "stars": 5 })).await?, 403, "its author");
    let (_, page) = manager.page(&format!("/apps/{app}")).await?;
    assert!(
        page.contains("&#60;b&#62;빨라요") && page.contains("4.0") && page.contains("민원여권과"),
        "escaped, averaged, by department"
    );

    let unpublish = format!("/api/v1/apps/{app}/unpublish");
    assert_eq!(status(reader, Method::POST, &unpublish, json!({})).await?, 403);
    official.ok(Method::POST, &unpublish, json!({ "reason": "새로 만듭니다." })).await?;
    assert_eq!(reader.get(&format!("/api/v1/apps/{app}")).await?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn the_store_filters_offers_and_outlives_a_department() -> Result<()> {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let (official, manager, reader) =
        (&city.ict_official.client, &city.ict_manager.client, &city.civil_official.client);
    let collection = city.collection("우리 과 지침", "S", false).await?;
    let closed = |sheet: &mut Value| {
        sheet["title"] = json!("통신공사 감리 도우미");
        sheet["purpose"] = json!("통신공사 감리의 질문에 답한다.");
        sheet["sources"] = json!([{ "type": "collection", "id": collection, "name": "우리 과 지침" }]);
    };
    let (app, _) = own_app(official, closed).await?;
    let id = submit(official, &app, 2).await?;
    let (_, page) = manager.page(&format!("/review/submissions/{id}")).await?;
    assert!(
        page.contains("볼 수 있는 부서: 정보통신과.") && page.contains("민원여권과"),
        "who reads the source and who cannot"
    );
    let (_, home) = manager.page("/").await?;
    assert!(home.contains(&format!("/review/submissions/{id}")), "it waits on the manager's home");
    manager.ok(Method::POST, &format!("/api/v1/submissions/{id}/approve"), json!({})).await?;

    let listed = async |by: &Client, query: &str| -> Result<bool> {
        Ok(by.json(&format!("/api/v1/store?{query}")).await?.to_string().contains(&app))
    };
    assert!(listed(reader, "grade=S").await? && !listed(reader, "grade=O").await?);
    assert!(listed(reader, &format!("department={}", city.ict)).await? && !listed(reader, "department=bundled").await?);
    assert!(listed(official, "ready=1").await? && !listed(reader, "ready=1").await?);
    assert!(listed(reader, "q=통신공사").await? && !listed(reader, "q=보도자료").await?);
    assert_eq!(reader.get("/api/v1/store?sort=best").await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let offered = reader.json("/api/v1/apps/suggest?q=통신공사 감리 질문에 답하는 앱").await?;
    assert_eq!(offered["apps"][0]["id"], app.as_str(), "{offered}");
    assert_eq!(reader.json("/api/v1/apps/suggest?q=우주정거장 왕복선 좌석 요금표").await?["apps"], json!([]));
    for path in ["/store", "/store?q=감리", "/store?task=summary&grade=C"] {
        assert_eq!(reader.page(path).await?.0, StatusCode::OK, "{path}");
    }
    assert_eq!(reader.page("/review").await?.0, StatusCode::FORBIDDEN);
    let fork = reader.ok(Method::POST, &format!("/api/v1/apps/{app}/fork"), json!({})).await?;
    assert_eq!(fork["replaced"], json!(["우리 과 지침"]));
    let copy = reader.json(&format!("/api/v1/apps/{}", fork["id"].as_str().context("no fork")?)).await?;
    assert_eq!(copy["parent"]["id"], app.as_str(), "{copy}");

    let admin = &city.admin.client;
    for gone in [&city.ict_official, &city.ict_manager] {
        let body = json!({ "from": gone.post, "to": null });
        admin.ok(Method::POST, &format!("/api/v1/people/{}/move", gone.id), body).await?;
    }
    let path = format!("/api/v1/departments/{}", city.ict);
    assert_eq!(status(admin, Method::DELETE, &path, json!({})).await?, 409, "it owns an app");
    admin.ok(Method::DELETE, &path, json!({ "heir": city.civil })).await?;
    let kept = reader.json(&format!("/api/v1/apps/{app}")).await?;
    assert_eq!(
        (kept["owned"].as_bool(), kept["owner_department"].as_str()),
        (Some(true), Some(city.civil.as_str())),
        "{kept}"
    );
    let mut moved = Client::new(&server.base)?;
    moved.sign_in(&city.ict_official.login, PASSWORD).await?;
    assert_eq!(
        status(&moved, Method::POST, &format!("/api/v1/apps/{app}/unpublish"), json!({})).await?,
        403,
        "the author left"
    );
    Ok(())
}

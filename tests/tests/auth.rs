//! Signing in, sessions, tokens, and what becomes of them when a person is suspended or moved.

use madang_tests::{City, Client, Madang, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::json;

type Test = anyhow::Result<()>;

#[tokio::test]
async fn set_up_link_works_once() -> Test {
    let server = Madang::start()?;
    let secret = server.setup.clone().expect("fresh server prints the link");
    let client = Client::new(&server.base)?;
    let body = |token: &str| json!({ "token": token, "body_name": "시험시", "department": "운영과", "post": "주무관", "login": "first", "name": "첫 운영자", "password": PASSWORD });
    let wrong = client.post("/api/v1/setup", body(&"0".repeat(64))).await?;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    let (status, page) = client.page(&format!("/setup/{secret}")).await?;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("/api/v1/setup"));
    assert_eq!(client.post("/api/v1/setup", body(&secret)).await?.status(), StatusCode::OK);
    let again = client.post("/api/v1/setup", body(&secret)).await?;
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn five_wrong_passwords_lock_the_account() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let client = Client::new(&server.base)?;
    let attempt = async |login: &str, password: &str| {
        client.post("/api/v1/session", json!({ "login": login, "password": password })).await
    };
    for _ in 0..5 {
        assert_eq!(attempt("jihun", "틀린-비밀번호-1").await?.status(), StatusCode::UNAUTHORIZED);
    }
    let locked = attempt("jihun", PASSWORD).await?;
    assert_eq!(locked.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.headers().contains_key("retry-after"));
    assert_eq!(attempt("daeun", PASSWORD).await?.status(), StatusCode::OK, "others are not locked");
    assert_eq!(attempt("nobody", PASSWORD).await?.status(), StatusCode::UNAUTHORIZED, "an unknown name reads the same");
    let path = format!("/api/v1/people/{}/activate", city.ict_official.id);
    city.admin.client.ok(Method::POST, &path, json!({})).await?;
    assert_eq!(attempt("jihun", PASSWORD).await?.status(), StatusCode::OK, "the admin ends the lock");
    Ok(())
}

#[tokio::test]
async fn changes_need_the_token_of_the_page_and_our_origin() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let official = &city.ict_official.client;
    let cookie = official.cookie().expect("signed in").to_owned();
    let bare = Client::new(&server.base)?;
    let body = json!({ "name": "표", "scope": "read", "days": 1 });
    let send = async |csrf: &str, origin: &str| -> anyhow::Result<StatusCode> {
        let request = bare.request(Method::POST, "/api/v1/tokens").header("cookie", &cookie);
        Ok(request.header("x-csrf-token", csrf).header("origin", origin).json(&body).send().await?.status())
    };
    assert_eq!(send("", &server.base).await?, StatusCode::FORBIDDEN);
    assert_eq!(send(&"0".repeat(64), &server.base).await?, StatusCode::FORBIDDEN);
    assert_eq!(send(official.csrf(), "http://evil.example").await?, StatusCode::FORBIDDEN);
    assert_eq!(send(official.csrf(), &server.base).await?, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn sign_out_everywhere_ends_every_browser() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let mut second = Client::new(&server.base)?;
    second.sign_in("jihun", PASSWORD).await?;
    city.ict_official.client.ok(Method::DELETE, "/api/v1/sessions", json!({})).await?;
    assert_eq!(second.get("/api/v1/me").await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(city.ict_official.client.get("/api/v1/me").await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(city.ict_manager.client.get("/api/v1/me").await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn tokens_are_limited_and_die_with_the_account() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let admin = &city.admin.client;
    let token = async |scope: &str| -> anyhow::Result<Client> {
        let made =
            admin.ok(Method::POST, "/api/v1/tokens", json!({ "name": scope, "scope": scope, "days": 7 })).await?;
        Client::with_token(&server.base, made["secret"].as_str().unwrap_or_default())
    };
    let (read, write) = (token("read").await?, token("write").await?);
    assert_eq!(read.get("/api/v1/me").await?.status(), StatusCode::OK);
    let collection = json!({ "name": "모음", "description": "", "grade": "O" });
    assert_eq!(read.post("/api/v1/collections", collection.clone()).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(write.post("/api/v1/collections", collection).await?.status(), StatusCode::CREATED);
    for (method, path) in
        [(Method::POST, "/api/v1/departments"), (Method::POST, "/api/v1/tokens"), (Method::DELETE, "/api/v1/sessions")]
    {
        let body = json!({ "name": "새 부서", "scope": "read", "days": 1 });
        assert_eq!(write.send(method, path, body).await?.status(), StatusCode::FORBIDDEN, "{path} by token");
    }
    assert_eq!(write.get("/api/v1/people").await?.status(), StatusCode::FORBIDDEN, "tokens do not administer");
    let official = &city.ict_official;
    let made =
        official.client.ok(Method::POST, "/api/v1/tokens", json!({ "name": "t", "scope": "read", "days": 7 })).await?;
    let script = Client::with_token(&server.base, made["secret"].as_str().unwrap_or_default())?;
    assert_eq!(script.get("/api/v1/me").await?.status(), StatusCode::OK);
    admin.ok(Method::POST, &format!("/api/v1/people/{}/deactivate", official.id), json!({})).await?;
    assert_eq!(script.get("/api/v1/me").await?.status(), StatusCode::UNAUTHORIZED, "token of a suspended person");
    assert_eq!(
        official.client.get("/api/v1/me").await?.status(),
        StatusCode::UNAUTHORIZED,
        "session of a suspended person"
    );
    Ok(())
}

#[tokio::test]
async fn a_personnel_move_takes_effect_at_the_next_request() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("부서 자료", "S", false).await?;
    let path = format!("/api/v1/collections/{collection}");
    assert_eq!(city.civil_official.client.get(&path).await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(city.ict_manager.client.get(&path).await?.status(), StatusCode::OK);
    let moved = json!({ "from": city.ict_manager.post, "to": city.civil_manager.post });
    city.admin.client.ok(Method::POST, &format!("/api/v1/people/{}/move", city.ict_manager.id), moved).await?;
    assert_eq!(city.ict_manager.client.get(&path).await?.status(), StatusCode::NOT_FOUND, "the data stays behind");
    let moved = json!({ "from": city.civil_official.post, "to": city.ict_official.post });
    city.admin.client.ok(Method::POST, &format!("/api/v1/people/{}/move", city.civil_official.id), moved).await?;
    assert_eq!(city.civil_official.client.get(&path).await?.status(), StatusCode::OK, "the new post opens it");
    Ok(())
}

#[tokio::test]
async fn the_last_admin_cannot_be_lost() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let admin = &city.admin;
    let path = format!("/api/v1/people/{}/deactivate", admin.id);
    assert_eq!(admin.client.post(&path, json!({})).await?.status(), StatusCode::CONFLICT);
    let path = format!("/api/v1/people/{}/move", admin.id);
    let moved = json!({ "from": admin.post, "to": city.ict_official.post });
    assert_eq!(admin.client.post(&path, moved).await?.status(), StatusCode::CONFLICT);
    assert_eq!(admin.client.get("/api/v1/people").await?.status(), StatusCode::OK, "nothing was done by halves");
    Ok(())
}

#[tokio::test]
async fn a_department_with_people_or_holdings_is_not_lost() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let collection = city.collection("부서 자료", "O", false).await?;
    let admin = &city.admin.client;
    let path = format!("/api/v1/departments/{}", city.ict);
    let refused = admin.send(Method::DELETE, &path, json!({ "heir": city.civil })).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT, "people work there");
    for member in [&city.ict_official, &city.ict_manager] {
        let moved = json!({ "from": member.post, "to": city.civil_official.post });
        admin.ok(Method::POST, &format!("/api/v1/people/{}/move", member.id), moved).await?;
    }
    let refused = admin.send(Method::DELETE, &path, json!({})).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT, "a collection would be orphaned");
    admin.ok(Method::DELETE, &path, json!({ "heir": city.civil })).await?;
    let held = city.civil_official.client.json(&format!("/api/v1/collections/{collection}")).await?;
    assert_eq!(held["name"], "부서 자료", "the heir has it");
    Ok(())
}

#[tokio::test]
async fn bad_input_is_the_senders_fault() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let admin = &city.admin.client;
    let long = "가".repeat(500);
    for (path, body) in [
        ("/api/v1/departments", json!({ "name": "" })),
        ("/api/v1/departments", json!({ "name": long })),
        ("/api/v1/departments", json!({ "wrong": 1 })),
        ("/api/v1/people", json!({ "login": "한글", "name": "이름", "password": PASSWORD })),
        ("/api/v1/people", json!({ "login": "short", "name": "이름", "password": "짧다" })),
        ("/api/v1/tokens", json!({ "name": "x", "scope": "everything", "days": 1 })),
        ("/api/v1/tokens", json!({ "name": "x", "scope": "read", "days": 100000 })),
    ] {
        let answer = admin.post(path, body.clone()).await?;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}");
        let problem: serde_json::Value = answer.json().await?;
        assert!(problem["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{problem}");
    }
    let garbage = admin
        .request(Method::POST, "/api/v1/departments")
        .header("content-type", "application/json")
        .body("{")
        .send()
        .await?;
    assert_eq!(garbage.status(), StatusCode::BAD_REQUEST);
    assert_eq!(admin.get("/api/v1/collections/not-an-id").await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(admin.get("/no/such/page").await?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn pages_lead_to_sign_in_and_load_nothing_from_elsewhere() -> Test {
    let server = Madang::start()?;
    let client = Client::new(&server.base)?;
    let answer = client.request(Method::GET, "/store?task=summary").header("accept", "text/html").send().await?;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/sign-in?next=%2Fstore%3Ftask%3Dsummary");
    let page = client.request(Method::GET, "/sign-in").header("accept", "text/html").send().await?;
    let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
    assert!(
        policy.starts_with("default-src 'self'") && !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let html = page.text().await?;
    assert!(!html.contains("http://") && !html.contains("https://"), "a page names another host");
    assert_eq!(client.get("/healthz").await?.status(), StatusCode::OK);
    assert_eq!(client.get("/readyz").await?.status(), StatusCode::OK);
    Ok(())
}

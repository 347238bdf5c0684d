//! The policy from outside: who reads and changes it, faults named by their lines, a second person for what may let
//! more pass, a dry run over past calls, and officers who are away.

use anyhow::Context;
use madang_tests::{City, Client, Madang, PASSWORD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;
use std::path::Path;

type Test = anyhow::Result<()>;

struct Stage {
    server: Madang,
    city: City,
}

impl Stage {
    async fn new() -> anyhow::Result<Self> {
        let server = Madang::start()?;
        let city = City::build(&server).await?;
        Ok(Self { server, city })
    }

    fn officer(&self) -> &Client {
        &self.city.security.client
    }

    /// Another security officer.
    async fn second(&self) -> anyhow::Result<Client> {
        let admin = &self.city.admin.client;
        let post = json!({ "department": self.city.ict, "title": "보안담당 둘", "roles": ["security"] });
        let post = admin.ok(Method::POST, "/api/v1/posts", post).await?["id"].clone();
        let person = json!({ "login": "minho", "name": "minho", "password": PASSWORD, "posts": [post] });
        admin.ok(Method::POST, "/api/v1/people", person).await?;
        let mut client = Client::new(&self.server.base)?;
        client.sign_in("minho", PASSWORD).await?;
        Ok(client)
    }

    /// The file in force with its next revision and another limit of calls for each person and day.
    async fn with_calls(&self, calls: u32) -> anyhow::Result<(u64, String)> {
        let now = self.officer().json("/api/v1/policy").await?;
        let revision = now["revision"].as_u64().context("revision")?;
        let text = now["text"].as_str().context("text")?;
        let (head, tail) = text.split_once("id = \"person-day\"").context("budget")?;
        let (before, rest) = tail.split_once("calls = ").context("calls")?;
        let (_, rest) = rest.split_once('\n').context("line")?;
        let text = format!("{head}id = \"person-day\"{before}calls = {calls}\n{rest}");
        let next = text.replacen(&format!("\nrevision = {revision}\n"), &format!("\nrevision = {}\n", revision + 1), 1);
        Ok((revision, next))
    }

    async fn put(&self, by: &Client, calls: u32) -> anyhow::Result<Value> {
        let (expected, text) = self.with_calls(calls).await?;
        let body = json!({ "text": text, "reason": "한도 조정", "expected_revision": expected });
        by.ok(Method::PUT, "/api/v1/policy", body).await
    }

    async fn revision(&self) -> anyhow::Result<u64> {
        self.officer().json("/api/v1/policy").await?["revision"].as_u64().context("revision")
    }

    async fn records(&self, kind: &str) -> anyhow::Result<Value> {
        self.officer().json(&format!("/api/v1/ledger?kind={kind}")).await
    }
}

#[tokio::test]
async fn officers_change_what_admins_read_and_nobody_else_sees() -> Test {
    let stage = Stage::new().await?;
    let (officer, admin) = (stage.officer(), &stage.city.admin.client);
    for stranger in [&stage.city.ict_official.client, &stage.city.ict_manager.client] {
        for path in ["/api/v1/policy", "/api/v1/policy/revisions", "/api/v1/policy/revisions/1/file", "/review/policy"]
        {
            assert_eq!(stranger.get(path).await?.status(), StatusCode::FORBIDDEN, "{path}");
        }
        for path in ["/api/v1/policy/check", "/api/v1/policy/rehearse"] {
            assert_eq!(stranger.post(path, json!({ "text": "?" })).await?.status(), StatusCode::FORBIDDEN, "{path}");
        }
    }
    let read = admin.json("/api/v1/policy").await?;
    assert!(read["revision"] == 1 && read["by"].is_null() && read["preview"][0]["kind"] == "floor", "{read}");
    let (_, page) = admin.page("/review/policy").await?;
    assert!(page.contains("모든 직원마다 하루에 20건까지") && !page.contains("policy-editor"), "admins read only");
    let (_, page) = officer.page("/review/policy").await?;
    assert!(page.contains("policy-editor") && page.contains("revision = 2"), "the editor counts the revision up");
    let (expected, text) = stage.with_calls(10).await?;
    let body = json!({ "text": text, "reason": "감사 지적", "expected_revision": expected });
    for refused in [admin, &stage.city.ict_official.client] {
        let answer = refused.send(Method::PUT, "/api/v1/policy", body.clone()).await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    let checked = officer.ok(Method::POST, "/api/v1/policy/check", json!({ "text": text })).await?;
    assert_eq!((&checked["sound"], &checked["meaning"]["needs_second"]), (&json!(true), &json!(false)), "{checked}");
    let put = officer.ok(Method::PUT, "/api/v1/policy", body.clone()).await?;
    assert_eq!((&put["state"], &put["revision"]), (&json!("in_force"), &json!(2)));
    let late = officer.send(Method::PUT, "/api/v1/policy", body).await?;
    assert_eq!(late.status(), StatusCode::CONFLICT);
    assert!(late.text().await?.contains("sujin"), "says who changed it meanwhile");
    let silent = json!({ "text": stage.with_calls(9).await?.1, "reason": "", "expected_revision": 2 });
    let silent = officer.send(Method::PUT, "/api/v1/policy", silent).await?;
    assert_eq!(silent.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(silent.text().await?.contains("\"reason\""));
    let recorded = stage.records("policy_changed").await?;
    assert_eq!(recorded["total"], 2, "{recorded}");
    assert!(recorded.to_string().contains("20건 → 모든 직원마다 하루에 10건"), "{recorded}");
    let changes = officer.json("/api/v1/policy/revisions/1/diff/2").await?;
    assert!(changes.to_string().contains("stricter"), "{changes}");
    let (_, page) = admin.page("/review/policy?from=1&to=2").await?;
    assert!(page.contains("1판에서 2판까지 바뀐 것") && page.contains("엄격해짐"));
    let file = officer.get("/api/v1/policy/revisions/1/file").await?;
    let name = file.headers().get("content-disposition").context("name")?.to_str()?.to_owned();
    assert!(name.contains("madang-policy-1.toml") && file.text().await?.contains("calls = 20"), "{name}");
    Ok(())
}

#[tokio::test]
async fn faults_are_named_by_their_lines_and_warnings_by_what_there_is() -> Test {
    let stage = Stage::new().await?;
    let officer = stage.officer();
    let check = async |text: &str| officer.ok(Method::POST, "/api/v1/policy/check", json!({ "text": text })).await;
    let form = check("format = 1\nrevision = 2\nfloor = \"없음\"\n").await?;
    assert_eq!((&form["sound"], &form["faults"][0]["line"]), (&json!(false), &json!(3)), "{form}");
    assert!(form["faults"][0]["message"].as_str().is_some_and(|m| m.contains("바닥 원칙")), "{form}");
    let rule = "[[rule]]\nid = \"r\"\neffect = \"deny\"\nreason = \"안 됨\"\n[rule.when]\n";
    let unknown =
        check(&format!("format = 1\nrevision = 2\n{rule}departments = [\"없는과\", \"민원여권과\"]\n")).await?;
    let findings = unknown["meaning"]["findings"].to_string();
    assert!(findings.contains("없는과") && !findings.contains("'민원여권과'"), "{findings}");
    assert_eq!(unknown["meaning"]["needs_second"], true, "the rules that let pass are gone");
    let broken = json!({ "text": "format = 1\nrevision = 둘\n", "reason": "시험", "expected_revision": 1 });
    let refused = officer.send(Method::PUT, "/api/v1/policy", broken).await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().await?.contains("2번째 줄"));
    let floor = "format = 1\nrevision = 2\n[[rule]]\nid = \"s\"\neffect = \"allow\"\n[rule.when]\ngrades = [\"S\"]\n";
    assert_eq!(check(floor).await?["sound"], false, "no policy lowers the floor");
    assert_eq!(stage.revision().await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_may_loosen_waits_for_a_second_person() -> Test {
    let stage = Stage::new().await?;
    let (officer, admin, second) = (stage.officer(), &stage.city.admin.client, stage.second().await?);
    let proposed = stage.put(officer, 500).await?;
    assert_eq!(proposed["state"], "proposed", "{proposed}");
    let id = proposed["proposal"].as_str().context("proposal")?;
    let path = format!("/api/v1/policy/proposals/{id}");
    assert_eq!(stage.revision().await?, 1, "not in force yet");
    let anchor = format!("/review/policy#proposal-{id}");
    for (client, waits) in [(&second, true), (officer, false), (admin, false)] {
        let (_, home) = client.page("/").await?;
        assert_eq!(home.contains(&anchor), waits, "waits on the home of its second person alone");
    }
    let (_, desk) = second.page("/review").await?;
    assert!(desk.contains(&anchor), "and on the desk");
    for (client, status) in [(officer, 403), (admin, 403), (&stage.city.ict_official.client, 403)] {
        assert_eq!(client.post(&format!("{path}/confirm"), json!({})).await?.status(), status);
        let reason = json!({ "reason": "안 됨" });
        assert_eq!(client.post(&format!("{path}/decline"), reason).await?.status(), status);
    }
    assert_eq!(second.post(&format!("{path}/withdraw"), json!({})).await?.status(), StatusCode::FORBIDDEN);
    second.ok(Method::POST, &format!("{path}/confirm"), json!({})).await?;
    assert_eq!(stage.revision().await?, 2);
    assert_eq!(second.post(&format!("{path}/confirm"), json!({})).await?.status(), StatusCode::CONFLICT, "once");
    let listed = officer.json("/api/v1/policy/revisions").await?;
    assert_eq!((&listed[0]["by"], &listed[0]["confirmed_by"]), (&json!("sujin"), &json!("minho")), "{listed}");
    let (changed, asked) = (stage.records("policy_changed").await?, stage.records("policy_proposed").await?);
    assert_eq!((&changed["total"], &asked["total"]), (&json!(2), &json!(1)));
    // Declined with a reason, taken back, and overtaken by a stricter one that needs nobody.
    let again = stage.put(officer, 600).await?["proposal"].as_str().context("proposal")?.to_owned();
    let decline = format!("/api/v1/policy/proposals/{again}/decline");
    assert_eq!(second.post(&decline, json!({ "reason": "" })).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    second.ok(Method::POST, &decline, json!({ "reason": "근거가 없습니다" })).await?;
    let third = stage.put(officer, 700).await?["proposal"].as_str().context("proposal")?.to_owned();
    officer.ok(Method::POST, &format!("/api/v1/policy/proposals/{third}/withdraw"), json!({})).await?;
    let fourth = stage.put(officer, 800).await?["proposal"].as_str().context("proposal")?.to_owned();
    assert_eq!(stage.put(&second, 5).await?["state"], "in_force");
    let all = officer.json("/api/v1/policy/proposals").await?;
    let state = |id: &str| all.as_array().into_iter().flatten().find(|p| p["id"] == id).map(|p| p["state"].clone());
    let states = [state(&again), state(&third), state(&fourth)].map(Option::unwrap_or_default);
    assert_eq!(states, [json!("declined"), json!("withdrawn"), json!("overtaken")], "{all}");
    Ok(())
}

#[tokio::test]
async fn a_body_with_one_officer_has_an_admin_for_a_second_person() -> Test {
    let stage = Stage::new().await?;
    let admin = &stage.city.admin.client;
    let id = stage.put(stage.officer(), 500).await?["proposal"].as_str().context("proposal")?.to_owned();
    let (_, home) = admin.page("/").await?;
    assert!(home.contains(&format!("/review/policy#proposal-{id}")));
    let (_, page) = admin.page("/review/policy").await?;
    assert!(page.contains("확인하고 시행") && page.contains("500건"), "the admin sees what changes");
    let confirm = format!("/api/v1/policy/proposals/{id}/confirm");
    assert_eq!(stage.officer().post(&confirm, json!({})).await?.status(), StatusCode::FORBIDDEN);
    let token = json!({ "name": "t", "scope": "write", "days": 1 });
    let token = admin.ok(Method::POST, "/api/v1/tokens", token).await?["secret"].as_str().context("secret")?.to_owned();
    let script = Client::with_token(&stage.server.base, &token)?;
    assert_eq!(script.post(&confirm, json!({})).await?.status(), StatusCode::FORBIDDEN, "not by token");
    assert_eq!(script.get("/api/v1/policy").await?.status(), StatusCode::FORBIDDEN);
    admin.ok(Method::POST, &confirm, json!({})).await?;
    assert_eq!(stage.revision().await?, 2);
    Ok(())
}

/// Calls of the past as the gateway keeps them, an hour and a bit ago.
async fn past_calls(home: &Path, person: &str) -> Test {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", home.join("madang.db").display());
    let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await?;
    // What stands around a call plays no part here.
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&pool).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let call = |n: i64, found: Value| {
        json!({ "at_ms": now - 3_600_000 + n, "person": person, "login": "jihun",
            "departments": [{ "id": "d", "name": "정보통신과" }],
            "app": { "app": { "id": "a", "name": "민원 요약" }, "version": "v" }, "provider": { "id": "p", "name": "p" },
            "host": "h.example.kr", "model": "m", "purpose": "번역", "grade": "O", "regraded_from": null,
            "found": found, "detector_blocked": false, "bytes": 100 })
        .to_string()
    };
    let rows = [
        (Some(call(1, json!({}))), "sent"),
        (Some(call(2, json!({}))), "sent"),
        (Some(call(3, json!({ "phone": 1 }))), "returned"),
        (Some("{\"of\": \"another time\"}".to_owned()), "sent"),
        (None, "sent"),
    ];
    for (n, (facts, state)) in (1i64..).zip(rows) {
        sqlx::query(
            "INSERT INTO external_calls (id, run_id, app_id, version_id, person_id, department_id, provider_id, host, model, \
             purpose, legal_basis, grade, state, findings, sources, local_answer, body_bytes, body_hmac, sealed_body, \
             sealed_tokens, reason, created_at, facts, verdict, tokens_in, tokens_out) VALUES \
             ($1, 'r', 'a', 'v', $2, 'd', 'p', 'h', 'm', '번역', '', 'O', $3, '{}', '[]', '', 100, '', '', '', '', $4, $5, \
             'one_officer', 10, 20)",
        )
        .bind(format!("00000000-0000-0000-0000-00000000000{n}"))
        .bind(person)
        .bind(state)
        .bind(now - 3_600_000 + n)
        .bind(facts)
        .execute(&pool)
        .await?;
    }
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_says_what_would_have_been_otherwise() -> Test {
    let stage = Stage::new().await?;
    let officer = stage.officer();
    past_calls(stage.server.home(), &stage.city.ict_official.id).await?;
    let rehearse = async |text: &str, month: Value| {
        officer.ok(Method::POST, "/api/v1/policy/rehearse", json!({ "text": text, "month": month })).await
    };
    let (_, same) = stage.with_calls(20).await?;
    let run = rehearse(&same, Value::Null).await?;
    assert_eq!((&run["calls"], &run["unchanged"]), (&json!(3), &json!(3)), "{run}");
    assert_eq!((&run["without_facts"], &run["unreadable"]), (&json!(1), &json!(1)), "left out, and said so: {run}");
    assert!(run["summary"].to_string().contains("정책이 생기기 전에 신청한 1건"), "{run}");
    let (_, text) = stage.with_calls(1).await?;
    let deny = "[[rule]]\nid = \"no-phone\"\neffect = \"deny\"\nreason = \"전화번호는 보내지 않습니다.\"\n[rule.when]\n\
                found_any = [\"phone\"]\n";
    let run = rehearse(&format!("{text}\n{deny}"), Value::Null).await?;
    assert_eq!((&run["stricter"], &run["looser"], &run["turned_in_all"]), (&json!(1), &json!(0), &json!(1)), "{run}");
    assert_eq!((&run["turned"][0]["before"], &run["turned"][0]["after"]), (&json!("one_officer"), &json!("deny")));
    assert!(run["turned"][0]["explained"].to_string().contains("no-phone"), "{run}");
    assert_eq!(run["over_budget_in_all"], 1, "two were sent where one a day is allowed: {run}");
    assert_eq!(rehearse(&text, json!("2020-01")).await?["calls"], 0);
    let bad = officer.post("/api/v1/policy/rehearse", json!({ "text": text, "month": "지난달" })).await?;
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(stage.revision().await?, 1, "a dry run changes nothing");
    Ok(())
}

#[tokio::test]
async fn officers_and_managers_say_when_they_are_away() -> Test {
    let stage = Stage::new().await?;
    let (officer, manager) = (stage.officer(), &stage.city.ict_manager.client);
    let away = json!({ "from": "2020-01-01T09:00", "until": "2020-01-02T09:00" });
    let over = officer.post("/api/v1/absences", away).await?;
    assert_eq!(over.status(), StatusCode::UNPROCESSABLE_ENTITY, "that is over");
    let year = jiff::Zoned::now().year();
    let away = json!({ "from": format!("{}-03-02T09:00", year + 1), "until": format!("{}-03-04T18:00", year + 1) });
    let refused = stage.city.ict_official.client.post("/api/v1/absences", away.clone()).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let nonsense = officer.post("/api/v1/absences", json!({ "from": "내일", "until": "모레" })).await?;
    assert_eq!(nonsense.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let id = officer.ok(Method::POST, "/api/v1/absences", away).await?["id"].as_str().context("id")?.to_owned();
    let (_, desk) = manager.page("/review").await?;
    assert!(desk.contains(&format!("{}. 3. 2. 09:00", year + 1)) && desk.contains("sujin"), "others see who is away");
    let path = format!("/api/v1/absences/{id}");
    let theirs = manager.send(Method::DELETE, &path, json!({})).await?;
    assert_eq!(theirs.status(), StatusCode::NOT_FOUND);
    officer.ok(Method::DELETE, &path, json!({})).await?;
    assert_eq!(officer.json("/api/v1/absences").await?, json!([]));
    let (added, removed) =
        (stage.records("officer_absence_added").await?, stage.records("officer_absence_removed").await?);
    assert_eq!((&added["total"], &removed["total"]), (&json!(1), &json!(1)));
    Ok(())
}

/// A pre-approval stands for officers who gave it: those who put it into force, and nobody whose name was only typed.
#[tokio::test]
async fn nobody_gives_a_pre_approval_in_anothers_name() -> Test {
    let stage = Stage::new().await?;
    let officer = stage.officer();
    let second = stage.city.officer(&stage.server.base, "minji").await?;
    let third = stage.city.officer(&stage.server.base, "yuna").await?;
    let (own, other, absent) = (&stage.city.security.id, &second.id, &third.id);
    let text = officer.json("/api/v1/policy").await?["text"].as_str().context("text")?.to_owned();
    let rule = text.lines().skip_while(|l| *l != "[[rule]]").find_map(|l| l.strip_prefix("id = \"")).context("rule")?;
    let rule = rule.trim_end_matches('"').to_owned();
    let given = |by: &[&String]| {
        let text = text.replacen("revision = 1", "revision = 2", 1);
        let by = json!(by).to_string();
        let text = format!(
            "{text}\n[[preapproval]]\nid = \"p\"\napp = \"앱\"\nversion = \"{}\"\nuntil = \"2999-12-31\"\nby = {by}\n\
             record = \"정보통신과-12\"\ncovers = [\"{rule}\"]\n",
            "a".repeat(64)
        );
        json!({ "text": text, "reason": "사전승인", "expected_revision": 1 })
    };
    let refused = officer.send(Method::PUT, "/api/v1/policy", given(&[other, absent])).await?;
    let (status, words) = (refused.status(), refused.text().await?);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{words}");
    assert!(words.contains("남의 이름"), "{words}");
    let put = officer.ok(Method::PUT, "/api/v1/policy", given(&[own, absent])).await?;
    let path = format!("/api/v1/policy/proposals/{}/confirm", put["proposal"].as_str().context("proposal")?);
    let refused = second.client.post(&path, json!({})).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT, "who was named is another");
    assert_eq!(stage.revision().await?, 1);
    third.client.ok(Method::POST, &path, json!({})).await?;
    assert_eq!(stage.revision().await?, 2);
    Ok(())
}

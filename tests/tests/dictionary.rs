//! The body's own dictionary from outside: who edits it, that its words stand nowhere in the open and leave in none of
//! their disguises, and that everybody may look through a text without a trace.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type Test = anyhow::Result<()>;

const DICTIONARY: &str = "/api/v1/pii/dictionary";
/// Words that stand in the dictionary alone.
const BLOCKED: &str = "한울 신도시";
const MASKED: &str = "푸른별 사업";
const GRADED: &str = "특별 점검 대상";
const TEXT: &str = "# 캠핑장 안내\n\n가람 캠핑장은 매월 1일 오전 9시에 다음 달 예약을 받는다.\n";

fn rule(name: &str, term: &str, action: &str) -> Value {
    json!({ "name": name, "terms": [term], "patterns": [], "action": action })
}

fn rules() -> Value {
    json!([rule("비공개 사업명", BLOCKED, "block"), rule("과제", MASKED, "mask"), rule("감사", GRADED, "grade_s")])
}

async fn keep(officer: &Client, revision: i64, rules: &Value) -> anyhow::Result<Value> {
    let body = json!({ "revision": revision, "rules": rules, "reason": "새 사업 이름을 지킴" });
    officer.ok(Method::PUT, DICTIONARY, body).await
}

async fn refused(client: &Client, method: Method, path: &str, body: Value) -> anyhow::Result<(StatusCode, Value)> {
    let answer = client.send(method, path, body).await?;
    Ok((answer.status(), serde_json::from_str(&answer.text().await?)?))
}

/// The database's files hold these bytes.
fn database_holds(home: &Path, words: &str) -> anyhow::Result<bool> {
    let mut held = false;
    for entry in std::fs::read_dir(home)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("madang.db")) {
            let bytes = std::fs::read(&path)?;
            held |= bytes.windows(words.len()).any(|w| w == words.as_bytes());
        }
    }
    Ok(held)
}

#[tokio::test]
async fn officers_alone_read_and_change_it() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let officer = &city.security.client;
    for client in [&city.ict_official.client, &city.ict_manager.client, &city.admin.client] {
        let body = json!({ "revision": 0, "rules": rules(), "reason": "시험" });
        assert_eq!(refused(client, Method::PUT, DICTIONARY, body).await?.0, StatusCode::FORBIDDEN);
        assert_eq!(client.get(DICTIONARY).await?.status(), StatusCode::FORBIDDEN);
        assert_eq!(client.page("/review/dictionary").await?.0, StatusCode::FORBIDDEN);
    }
    let token = json!({ "name": "점검", "scope": "write", "days": 1 });
    let token = officer.ok(Method::POST, "/api/v1/tokens", token).await?;
    let script = Client::with_token(&server.base, token["secret"].as_str().context("secret")?)?;
    assert_eq!(script.get(DICTIONARY).await?.status(), StatusCode::FORBIDDEN, "a browser session only");

    assert_eq!(keep(officer, 0, &rules()).await?["revision"], json!(1));
    let read = officer.json(DICTIONARY).await?;
    assert_eq!((&read["revision"], &read["rules"][0]["terms"][0]), (&json!(1), &json!(BLOCKED)));
    assert!(officer.page("/review/dictionary").await?.1.contains("새 사업 이름을 지킴"));
    let stale = json!({ "revision": 0, "rules": [], "reason": "비움" });
    assert_eq!(refused(officer, Method::PUT, DICTIONARY, stale).await?.0, StatusCode::CONFLICT);
    Ok(())
}

#[tokio::test]
async fn faults_are_told_by_their_place_before_anything_is_kept() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let officer = &city.security.client;
    let faulty = json!([{ "name": "사업", "terms": ["한울 신도시", "가"], "patterns": ["(?=a)"], "action": "block" }]);
    let body = json!({ "revision": 0, "rules": faulty, "reason": "시험" });
    let (status, answer) = refused(officer, Method::PUT, DICTIONARY, body).await?;
    let fields: Vec<&str> =
        answer["error"]["fields"].as_array().context("fields")?.iter().filter_map(|f| f["field"].as_str()).collect();
    assert_eq!((status, fields), (StatusCode::UNPROCESSABLE_ENTITY, vec!["rules.1.terms.2", "rules.1.patterns.1"]));
    let check = format!("{DICTIONARY}/check");
    let checked = officer.ok(Method::POST, &check, json!({ "rules": faulty, "text": "" })).await?;
    assert_eq!(checked["faults"].as_array().map(Vec::len), Some(2), "{checked}");
    let telling = json!({ "revision": 0, "rules": rules(), "reason": "한울-신도시를 지킴" });
    let (status, answer) = refused(officer, Method::PUT, DICTIONARY, telling).await?;
    assert_eq!((status, &answer["error"]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("reason")));
    assert_eq!(officer.json(DICTIONARY).await?["revision"], json!(0), "nothing was kept");

    let collection = city.collection("캠핑장 자료", "O", true).await?;
    for n in 0..6 {
        let text = format!("# 안내 {n}\n\n가람 캠핑장 {n}호의 안내문이다.\n");
        city.ict_official.client.upload_ready(&collection, &format!("안내 {n}.md"), text).await?;
    }
    let tried = json!([{ "name": "시험", "terms": ["없는말", "캠핑장"], "patterns": [], "action": "mask" }]);
    let checked = officer.ok(Method::POST, &check, json!({ "rules": tried, "text": "캠핑-장 예약" })).await?;
    let common = &checked["common"][0];
    assert_eq!((&common["line"], &common["passages"]), (&json!(2), &checked["sampled"]), "{checked}");
    assert_eq!(checked["found"]["pages"][0]["pieces"][0]["kind"], json!("시험"), "officers see the rule");
    Ok(())
}

#[tokio::test]
async fn its_words_stand_nowhere_in_the_open() -> Test {
    let mut server = Madang::start()?;
    let city = City::build(&server).await?;
    let officer = &city.security.client;
    keep(officer, 0, &rules()).await?;
    let tried = json!({ "rules": rules(), "text": format!("{BLOCKED}와 {MASKED}") });
    officer.ok(Method::POST, &format!("{DICTIONARY}/check"), tried).await?;
    let ledger = officer.json("/api/v1/ledger?kind=pii_dictionary_changed").await?.to_string();
    assert!(ledger.contains("dictionary_hmac") && ledger.contains("새 사업 이름을 지킴"), "{ledger}");
    let home = server.home().to_owned();
    server.kill()?;
    assert!(database_holds(&home, "새 사업 이름을 지킴")?, "the files are read as they are");
    for word in [BLOCKED, MASKED, GRADED] {
        assert!(!ledger.contains(word) && !database_holds(&home, word)?, "{word}");
    }
    Ok(())
}

#[tokio::test]
async fn everybody_may_look_and_nothing_is_kept() -> Test {
    let mut server = Madang::start()?;
    let city = City::build(&server).await?;
    keep(&city.security.client, 0, &rules()).await?;
    let records = city.security.client.json("/api/v1/ledger/signed").await?["size"].clone();
    let official = &city.civil_official.client;
    let text = format!("(대외비)\n한-울.신도시 담당 010-1234-5678, 900101-1970000, {GRADED}, 사라질 글");
    let looked = official.ok(Method::POST, "/api/v1/tools/pii", json!({ "text": text })).await?;
    assert_eq!((&looked["action"], &looked["grade"]), (&json!("block"), &json!("C")), "{looked}");
    assert!(!looked.to_string().contains("비공개 사업명"), "rules are not named to everybody");
    let masked = looked["masked"].as_str().context("masked")?;
    let tokens = ["[등록어-1]", "[전화번호-1]", "[주민등록번호-1]", "[등록어-2]"];
    assert!(tokens.iter().all(|t| masked.contains(t)) && !masked.contains("1970000"), "{masked}");
    let pieces = looked["pages"][0]["pieces"].as_array().context("pieces")?;
    let joined: String = pieces.iter().filter_map(|p| p["text"].as_str()).collect();
    assert_eq!(joined, text);

    let part = |name: &str, bytes: Vec<u8>| Form::new().part("file", Part::bytes(bytes).file_name(name.to_owned()));
    let path = "/api/v1/tools/pii/document";
    let sent =
        official.request(Method::POST, path).multipart(part("명단.md", text.clone().into_bytes())).send().await?;
    ensure!(sent.status().is_success(), "{}", sent.text().await?);
    let document: Value = serde_json::from_str(&sent.text().await?)?;
    assert_eq!((&document["name"], &document["counts"]), (&json!("명단.md"), &looked["counts"]), "{document}");
    let broken = official.request(Method::POST, path).multipart(part("a.pdf", b"%PDF-1.7 nothing".to_vec())).send();
    assert_eq!(broken.await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    for text in [" ".to_owned(), "가".repeat(200_001)] {
        let (status, _) = refused(official, Method::POST, "/api/v1/tools/pii", json!({ "text": text })).await?;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(city.security.client.json("/api/v1/ledger/signed").await?["size"], records, "no record of it");
    let home = server.home().to_owned();
    server.kill()?;
    assert!(!database_holds(&home, "사라질 글")?);
    Ok(())
}

/// A provider that answers every request and tells the bodies it saw.
async fn provider() -> anyhow::Result<(String, mpsc::UnboundedReceiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if answer(socket, &tell).await.is_err() {
                break;
            }
        }
    });
    Ok((url, seen))
}

async fn answer(mut socket: tokio::net::TcpStream, tell: &mpsc::UnboundedSender<String>) -> Test {
    let mut bytes = Vec::new();
    let body = loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await?;
        ensure!(n > 0, "the request ended early");
        bytes.extend_from_slice(chunk.get(..n).context("chunk")?);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.context("length")?.parse()?;
        if let Some(body) = bytes.get(head.len() + 4..head.len() + 4 + length) {
            break String::from_utf8(body.to_vec())?;
        }
    };
    tell.send(body)?;
    let words = format!("{BLOCKED} 이야기는 하지 않습니다. [등록어-1]은 그대로입니다.");
    let reply = json!({ "choices": [{ "message": { "content": words } }] }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}", reply.len());
    Ok(socket.write_all(format!("{head}\r\nconnection: close\r\n\r\n{reply}").as_bytes()).await?)
}

struct Stage {
    city: City,
    app: String,
    field: String,
    seen: mpsc::UnboundedReceiver<String>,
    _server: Madang,
}

/// An app that may ask outside, over an open document, and a provider that is switched on.
async fn stage() -> anyhow::Result<Stage> {
    let server = Madang::start_with(&["--allow-loopback-providers"])?;
    let city = City::build(&server).await?;
    let client = &city.ict_official.client;
    let collection = city.collection("캠핑장 자료", "O", true).await?;
    client.upload_ready(&collection, "캠핑장 안내.md", TEXT).await?;
    let prompt = json!({ "prompt": "캠핑장 안내에 대한 질문에 근거를 붙여 답해줘" });
    let draft = client.ok(Method::POST, "/api/v1/drafts", prompt).await?;
    let path = format!("/api/v1/drafts/{}", draft["id"].as_str().context("draft")?);
    let read = client.json(&path).await?;
    let mut sheet = read["sheet"].clone();
    sheet["outside"] = json!("ask");
    sheet["sources"] = json!([{ "type": "collection", "id": collection, "name": "자료" }]);
    let field = sheet["inputs"][0]["key"].as_str().context("field")?.to_owned();
    let put = client.ok(Method::PUT, &path, json!({ "revision": read["revision"], "sheet": sheet })).await?;
    let saved = client.ok(Method::POST, &format!("{path}/versions"), json!({ "revision": put["revision"] })).await?;
    let app = saved["app"].as_str().context("app")?.to_owned();
    let (url, seen) = provider().await?;
    let new = json!({ "name": "시험 제공자", "base_url": url, "model": "model-1", "api_key": "secret-key-0123456789" });
    let made = city.admin.client.ok(Method::POST, "/api/v1/providers", new).await?;
    let enable = format!("/api/v1/providers/{}/enable", made["id"].as_str().context("provider")?);
    city.admin.client.ok(Method::POST, &enable, json!({})).await?;
    Ok(Stage { city, app, field, seen, _server: server })
}

impl Stage {
    /// The path of the outside call of a new run.
    async fn run(&self, question: &str) -> anyhow::Result<String> {
        let inputs = json!({ "inputs": { self.field.as_str(): question } });
        let path = format!("/api/v1/apps/{}/runs", self.app);
        let run = self.city.ict_official.client.ok(Method::POST, &path, inputs).await?;
        Ok(format!("/api/v1/runs/{}/outside", run["id"].as_str().context("run")?))
    }

    /// Asked for and approved; its path.
    async fn approved(&self, question: &str) -> anyhow::Result<String> {
        let ask = json!({ "purpose": "안내문을 시민이 읽기 쉬운 말로 고쳐 씀" });
        let call = self.city.ict_official.client.ok(Method::POST, &self.run(question).await?, ask).await?;
        let path = format!("/api/v1/outside/{}", call["id"].as_str().context("call")?);
        let approval = json!({ "hours": 1, "reason": "공개 자료" });
        self.city.security.client.ok(Method::POST, &format!("{path}/approve"), approval).await?;
        Ok(path)
    }
}

#[tokio::test]
async fn a_marking_and_a_blocked_word_refuse_and_say_where() -> Test {
    let mut stage = stage().await?;
    keep(&stage.city.security.client, 0, &rules()).await?;
    let official = stage.city.ict_official.client.clone();
    for (question, grade, word) in [
        ("캠핑장 예약\n(대외비)\n언제 받습니까?", "C 등급", "‘대외비’"),
        ("특별-점검.대상 캠핑장 예약은?", "S 등급", "‘등록어’"),
    ] {
        let path = stage.run(question).await?;
        let (status, answer) = refused(&official, Method::POST, &format!("{path}/preview"), json!({})).await?;
        let message = answer["error"]["message"].as_str().context("message")?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
        assert!(message.contains(grade) && message.contains(word) && message.contains("입력 ‘"), "{message}");
        let ask = json!({ "purpose": "안내문 다듬기" });
        assert_eq!(refused(&official, Method::POST, &path, ask).await?.0, StatusCode::FORBIDDEN);
    }
    let path = stage.run("한 울 신 도 시 캠핑장 예약은?").await?;
    let (status, answer) = refused(&official, Method::POST, &path, json!({ "purpose": "안내문 다듬기" })).await?;
    let message = answer["error"]["message"].as_str().context("message")?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(message.contains("등록어") && !message.contains("한울"), "{message}");
    let path = stage.run("캠핑장 예약은 언제 받습니까?").await?;
    let purpose = json!({ "purpose": "한울신도시 안내문 다듬기" });
    assert_eq!(refused(&official, Method::POST, &path, purpose).await?.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(stage.seen.try_recv().is_err(), "nothing left");
    Ok(())
}

#[tokio::test]
async fn no_word_leaves_and_a_new_word_voids_an_approval() -> Test {
    let mut stage = stage().await?;
    let officer = stage.city.security.client.clone();
    keep(&officer, 0, &rules()).await?;
    let official = stage.city.ict_official.client.clone();
    let question = "푸-른.별\u{200b} 사업의 캠핑장 예약은 언제 받습니까? 푸른별사업 %ED%91%B8른별사업 &#54392;른별사업";
    let call = stage.approved(question).await?;
    let sent = official.ok(Method::POST, &format!("{call}/send"), json!({})).await?;
    assert_eq!((&sent["state"], &sent["findings"]["custom:과제"]), (&json!("sent"), &json!(4)), "{sent}");
    let body = stage.seen.recv().await.context("nothing arrived")?;
    let letters: String = body.chars().filter(|c| c.is_alphanumeric()).collect();
    assert!(!letters.contains("른별") && body.contains("[등록어-1]"), "{body}");
    let reply = official.json(&call).await?["reply"].as_str().context("reply")?.to_owned();
    assert!(!reply.contains(BLOCKED) && reply.contains("푸-른.별"), "blocked words hide, own words are back: {reply}");

    let approved = stage.approved("캠핑장 예약은 언제 받습니까?").await?;
    let mut more = rules();
    more.as_array_mut().context("rules")?.push(rule("새 말", "가람 캠핑장", "mask"));
    keep(&officer, 1, &more).await?;
    let (status, answer) = refused(&official, Method::POST, &format!("{approved}/send"), json!({})).await?;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|m| m.contains("사전")), "{answer}");
    assert!(stage.seen.try_recv().is_err(), "nothing left");
    Ok(())
}

#[tokio::test]
async fn the_bundled_app_masks_the_bodys_own_words_as_they_stand_now() -> Test {
    let server = Madang::start()?;
    let city = City::build(&server).await?;
    let (officer, official) = (&city.security.client, &city.civil_official.client);
    let shelf = official.json("/api/v1/store?q=개인정보").await?;
    let apps = shelf["apps"].as_array().context("apps")?;
    let card =
        apps.iter().find(|a| a["title"] == "개인정보 지우기").with_context(|| format!("no such app: {shelf}"))?;
    let path = format!("/api/v1/apps/{}", card["id"].as_str().context("id")?);
    let text = format!("{BLOCKED} 담당자 연락처는 010-0000-1234입니다. {MASKED}의 회의는 내일입니다.");
    let run = async || -> anyhow::Result<String> {
        let inputs = json!({ "inputs": { "text": text } });
        let run = official.ok(Method::POST, &format!("{path}/runs"), inputs).await?;
        Ok(run["answer"].as_str().context("answer")?.to_owned())
    };
    let before = run().await?;
    assert!(before.contains(BLOCKED) && !before.contains("010-0000"), "{before}");
    keep(officer, 0, &rules()).await?;
    let after = run().await?;
    assert!(!after.contains(BLOCKED) && !after.contains(MASKED) && !after.contains("010-0000"), "{after}");
    assert!(!after.contains("비공개 사업명"), "the names of the rules are the officers' own: {after}");
    keep(officer, 1, &json!([])).await?;
    assert!(run().await?.contains(BLOCKED), "taken out again");
    Ok(())
}

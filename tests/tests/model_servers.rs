//! Model servers inside the network, set by the admin over HTTP: tried before they are added, answering apps from then
//! on, gone when removed; the networks they may stand in; two writers of the list; and the screen.

use anyhow::{Context, ensure};
use madang_inference::catalogue::Shelf;
use madang_tests::{Browser, City, Client, Madang, ModelServer, PASSWORD, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

type Test = anyhow::Result<()>;

const SERVERS: &str = "/api/v1/models/servers";
const TRY: &str = "/api/v1/models/servers/try";
const NETWORKS: &str = "/api/v1/models/networks";
const KEY: &str = "vllm-key-7f3a";

struct World {
    server: Madang,
    city: City,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let server = Madang::start()?;
        let city = City::build(&server).await?;
        Ok(Self { server, city })
    }

    fn admin(&self) -> &Client {
        &self.city.admin.client
    }

    fn list(&self) -> PathBuf {
        self.server.home().join("models/installed.toml")
    }

    async fn networks(&self, networks: &[&str]) -> Test {
        self.admin().ok(Method::PUT, NETWORKS, json!({ "networks": networks })).await?;
        Ok(())
    }

    async fn servers(&self) -> anyhow::Result<Value> {
        self.admin().json(SERVERS).await
    }

    /// Status, field at fault and message of a request that is refused.
    async fn refused(&self, method: Method, path: &str, body: Value) -> anyhow::Result<(u16, String, String)> {
        let answer = self.admin().send(method, path, body).await?;
        let status = answer.status().as_u16();
        let told: Value = answer.json().await?;
        let text = |key: &str| told["error"][key].as_str().unwrap_or_default().to_owned();
        Ok((status, text("field"), text("message")))
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_before_it_is_added() -> Test {
    let world = World::new().await?;
    let model_server = ModelServer::start(&["qwen3-32b", "qwen3-8b"], Some(KEY)).await?;
    let with = |url: &str, model: &str, key: &str| json!({ "url": url, "model": model, "key": key });
    let here = model_server.url.as_str();
    // A port that nobody listens at.
    let closed = format!("http://{}/v1", std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let root = here.trim_end_matches("/v1").to_owned();
    let cases = [
        (with(here, "qwen3-32b", KEY), "url", "내부망에 들지 않아", false),
        (with(here, "qwen3-32b", KEY), "", "", true),
        (with("http://8.8.8.8/v1", "m", ""), "url", "8.8.8.8은(는) 운영자가 정한 내부망에 들지 않아", true),
        (with("http://169.254.169.254/v1", "m", ""), "url", "내부망에 들지 않아", true),
        (with("10.1.2.3:8000", "m", ""), "url", "http://10.1.2.3:8000/v1처럼", true),
        (with("http://user:pass@127.0.0.1/v1", "m", ""), "url", "비밀번호", true),
        (with("http://no-such-host.invalid/v1", "m", ""), "url", "찾지 못했습니다", true),
        (with(&closed, "m", ""), "url", "연결을 받지 않습니다", true),
        (with(&root, "qwen3-32b", KEY), "url", "404", true),
        (with(here, "qwen3-32b", ""), "key", "키를 받지 않습니다", true),
        (with(here, "qwen3-32b", "no\u{7}key"), "key", "쓸 수 없는 글자", true),
        (with(here, "gpt-4", KEY), "model", "qwen3-32b, qwen3-8b", true),
        (json!({ "url": here, "model": "qwen3-8b", "key": KEY, "capacity": 0 }), "capacity", "1에서", true),
    ];
    for (body, field, words, networks) in cases {
        world.networks(if networks { &["127.0.0.0/8"] } else { &[] }).await?;
        if words.is_empty() {
            let tried = world.admin().ok(Method::POST, TRY, body).await?;
            assert_eq!(tried["models"], json!(["qwen3-32b", "qwen3-8b"]));
            ensure!(tried["ms"].is_u64(), "{tried}");
            continue;
        }
        let (status, at, message) = world.refused(Method::POST, SERVERS, body.clone()).await?;
        ensure!(status == 422 && at == field && message.contains(words), "{body}: {status} {at} {message}");
        ensure!(!message.contains(KEY), "{message}");
    }
    let named = world.admin().ok(Method::POST, TRY, json!({ "url": here, "key": KEY })).await?;
    ensure!(named["ms"].is_null() && named["models"][1] == "qwen3-8b", "asked for its models alone: {named}");
    let (status, at, _) = world.refused(Method::POST, SERVERS, json!({ "url": here, "key": KEY })).await?;
    assert_eq!((status, at.as_str()), (422, "model"));
    assert_eq!(world.servers().await?["servers"], json!([]), "nothing was set");
    Ok(())
}

#[tokio::test]
async fn an_added_server_answers_and_a_removed_one_does_not() -> Test {
    let world = World::new().await?;
    let model_server = ModelServer::start(&["qwen3-32b"], Some(KEY)).await?;
    world.networks(&[" 127.0.0.0/8 ", "", "127.0.0.0/8", "10.1.2.0/24"]).await?;
    let form =
        json!({ "name": "GPU 1호/본청", "url": format!("{}/", model_server.url), "model": "qwen3-32b", "key": KEY });
    let made = world.admin().ok(Method::POST, SERVERS, form.clone()).await?;
    assert_eq!(made["name"], "GPU 1호/본청");
    let all = world.servers().await?;
    assert_eq!(all["networks"], json!(["127.0.0.0/8", "10.1.2.0/24"]));
    let server = &all["servers"][0];
    ensure!(server["status"]["health"] == "healthy" && server["has_key"] == true && server["capacity"] == 8, "{all}");
    the_key_is_kept_and_not_shown(&world, &all).await?;
    let again = world.refused(Method::POST, SERVERS, form).await?;
    ensure!(again.0 == 422 && again.1 == "name", "{again:?}");
    let asked = model_server.asked();
    let run = ask(&world.city).await?;
    ensure!(run["engine"]["name"] == "server" && run["engine"]["label"] == "qwen3-32b", "{run}");
    ensure!(model_server.asked() > asked, "the server was asked");
    // Its network cannot go while it stands there.
    let outside = json!({ "networks": ["10.1.2.0/24"] });
    let (status, at, message) = world.refused(Method::PUT, NETWORKS, outside.clone()).await?;
    ensure!(status == 422 && at == "networks" && message.contains("GPU 1호/본청"), "{status} {at} {message}");
    let path = format!("{SERVERS}/GPU%201%ED%98%B8%2F%EB%B3%B8%EC%B2%AD");
    world.admin().ok(Method::DELETE, &path, Value::Null).await?;
    assert_eq!(world.servers().await?["servers"], json!([]));
    assert_eq!(std::fs::read_dir(world.server.home().join("models/.keys"))?.count(), 0, "its key went with it");
    assert_eq!(ask(&world.city).await?["engine"]["name"], "quoting");
    assert_eq!(world.admin().send(Method::DELETE, &path, Value::Null).await?.status(), StatusCode::NOT_FOUND);
    world.admin().ok(Method::PUT, NETWORKS, outside).await?;
    the_ledger_tells(&world).await
}

async fn the_key_is_kept_and_not_shown(world: &World, all: &Value) -> Test {
    let key = world.server.home().join("models/.keys");
    let file = std::fs::read_dir(&key)?.next().context("no key")??.path();
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&file)?, KEY);
    let (_, page) = world.admin().page("/admin/models").await?;
    let overview = world.admin().json("/api/v1/models").await?.to_string();
    for text in [all.to_string(), page, overview, std::fs::read_to_string(world.list())?] {
        ensure!(!text.contains(KEY), "the key is shown: {text}");
    }
    Ok(())
}

async fn the_ledger_tells(world: &World) -> Test {
    let records = world.city.security.client.json("/api/v1/ledger?limit=100").await?.to_string();
    for action in ["internal_networks_changed", "model_server_added", "model_server_removed"] {
        ensure!(records.contains(action), "{action}: {records}");
    }
    ensure!(!records.contains(KEY), "a key in the ledger");
    Ok(())
}

async fn ask(city: &City) -> anyhow::Result<Value> {
    let by = &city.ict_official.client;
    let sheet = json!({ "title": "글 요약", "purpose": "붙여 넣은 글을 간추린다", "task": "summary",
        "sentences": [{ "text": "붙여 넣은 글을 간추린다." }], "sources": [], "output": { "type": "bullets" },
        "inputs": [{ "key": "document", "label": "글", "kind": { "type": "long_text" }, "required": true }],
        "outside": "never" });
    let app = app(by, sheet).await?;
    let body = json!({ "inputs": { "document": "당직자는 30분 이내에 당직사령에게 보고하여야 한다." } });
    by.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), body).await
}

async fn app(by: &Client, sheet: Value) -> anyhow::Result<String> {
    let draft = by.ok(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
    let path = format!("/api/v1/drafts/{}", draft["id"].as_str().context("draft")?);
    let revision = by.json(&path).await?["revision"].clone();
    let saved = by.ok(Method::POST, &format!("{path}/versions"), json!({ "revision": revision, "note": "" })).await?;
    Ok(saved["app"].as_str().with_context(|| saved.to_string())?.to_owned())
}

#[tokio::test]
async fn networks_are_read_strictly() -> Test {
    let world = World::new().await?;
    for (wrong, words) in [("0.0.0.0/0", "너무 넓습니다"), ("inside", "10.0.0.0/8처럼")] {
        let body = json!({ "networks": ["10.0.0.0/8", wrong] });
        let (status, field, message) = world.refused(Method::PUT, NETWORKS, body).await?;
        ensure!(status == 422 && field == "networks" && message.contains(words), "{wrong}: {status} {message}");
    }
    // A page script's reader reads English.
    let request = world.admin().request(Method::PUT, NETWORKS);
    let cookie = format!("{}; madang_lang=en", world.admin().cookie().context("cookie")?);
    let answer = request.header("cookie", cookie).json(&json!({ "networks": ["inside"] })).send().await?;
    let told: Value = answer.json().await?;
    ensure!(told["error"]["message"] == "“inside” is no network. Write it like 10.0.0.0/8.", "{told}");
    Ok(())
}

#[tokio::test]
async fn the_file_may_be_written_by_others_meanwhile() -> Test {
    let world = World::new().await?;
    let models: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = models.iter().map(String::as_str).collect();
    let (first, second) = (ModelServer::start(&["m"], None).await?, ModelServer::start(&names, None).await?);
    world.networks(&["127.0.0.0/8"]).await?;
    // By hand, with a comment and what the screen does not ask for.
    let by_hand = format!(
        "\n# 별관 전산실\n[[servers]]\nname = \"별관\"\nurl = \"{}\"\nmodel = \"m\"\ngrammar = \"llama_cpp\"\nweight = 3 # 큰 기계\n",
        first.url
    );
    let text = std::fs::read_to_string(world.list())?;
    std::fs::write(world.list(), text + &by_hand)?;
    eventually("the server that was written by hand is taken up", || async {
        let all = world.servers().await?;
        Ok((all["servers"][0]["status"]["health"] == "healthy").then_some(()))
    })
    .await?;
    // Another program and the screen, many at a time.
    let home = world.server.home().to_owned();
    let other = std::thread::spawn(move || -> anyhow::Result<()> {
        let mut shelf = Shelf::open(&home)?;
        for n in 0..10 {
            shelf.set_networks(vec!["127.0.0.0/8".to_owned(), format!("10.0.{n}.0/24")])?;
        }
        Ok(())
    });
    let adds = models.iter().map(|model| {
        let body = json!({ "name": format!("화면 {model}"), "url": second.url, "model": model });
        world.admin().ok(Method::POST, SERVERS, body)
    });
    for added in futures_util::future::join_all(adds).await {
        added?;
    }
    other.join().map_err(|_| anyhow::anyhow!("the other program panicked"))??;
    let all = eventually("the other program's last change is taken up", || async {
        let all = world.servers().await?;
        Ok((all["networks"][1] == "10.0.9.0/24").then_some(all))
    })
    .await?;
    assert_eq!(all["servers"].as_array().map(Vec::len), Some(11), "{all}");
    let text = std::fs::read_to_string(world.list())?;
    ensure!(text.contains("# 별관 전산실") && text.contains("weight = 3 # 큰 기계"), "{text}");
    ensure!(text.contains("grammar = \"llama_cpp\""), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_server_is_added_on_the_screen() -> Test {
    let world = World::new().await?;
    let Some(browser) = Browser::start(&world.server.base).await? else { return Ok(()) };
    let model_server = ModelServer::start(&["qwen3-32b"], Some(KEY)).await?;
    browser.sign_in(&world.city.admin.login, PASSWORD).await?;
    browser.open("/admin/models").await?;
    browser.click("#servers [data-open=networks]").await?;
    browser.type_in("#n-list", "127.0.0.0/8").await?;
    browser.click("#networks .primary").await?;
    browser.click("#servers .empty [data-open=new-server]").await?;
    browser.type_in("#s-url", &model_server.url).await?;
    browser.click("[data-server] [formnovalidate]").await?;
    browser.until("the key is asked for", "document.querySelector('#s-key[aria-invalid=true]')").await?;
    browser.type_in("#s-key", KEY).await?;
    browser.click("[data-server] [formnovalidate]").await?;
    browser.until("its model is filled in", "document.querySelector('#s-model').value === 'qwen3-32b'").await?;
    browser.click("[data-server] .primary").await?;
    browser.until("it is healthy", "document.querySelector('#servers tbody .state.good')").await?;
    browser.check_page("/admin/models").await?;
    browser.size(390, 844).await?;
    browser.check_page("/admin/models at 390").await?;
    browser.click("#servers [data-api^=DELETE]").await?;
    browser.click("dialog[open] .danger").await?;
    browser.until("it is gone", "document.querySelector('#servers .empty')").await
}

/// A long text is read in parts while the page tells how far it is; the bar goes when text comes.
#[tokio::test]
async fn progress_of_a_long_run_is_seen() -> Test {
    let world = World::new().await?;
    let Some(browser) = Browser::start(&world.server.base).await? else { return Ok(()) };
    let model_server = ModelServer::start_held(&["m"], None).await?;
    world.networks(&["127.0.0.0/8"]).await?;
    model_server.release(1); // the trial's word
    world.admin().ok(Method::POST, SERVERS, json!({ "url": model_server.url, "model": "m" })).await?;
    let official = &world.city.ict_official;
    let app = app(
        &official.client,
        json!({ "title": "긴 글 요약", "purpose": "붙여 넣은 글을 간추린다", "task": "summary",
        "sentences": [{ "text": "붙여 넣은 글을 간추린다." }], "sources": [], "output": { "type": "bullets" },
        "inputs": [{ "key": "document", "label": "글", "kind": { "type": "long_text" }, "required": true }],
        "outside": "never" }),
    )
    .await?;
    browser.sign_in(&official.login, PASSWORD).await?;
    browser.open(&format!("/apps/{app}/run")).await?;
    let paste = "const text = '당직자는 사고가 나면 30분 이내에 당직사령에게 보고하여야 한다. '.repeat(4000);
        document.querySelector('form[data-fold] textarea').value = text;";
    browser.run(paste).await?;
    browser.click("form[data-fold] [data-send]").await?;
    let bar = "document.querySelector('[data-progress]')";
    browser.until("reading began", &format!("{bar}.checkVisibility() && {bar}.value === 0 && {bar}.max > 2")).await?;
    let parts = browser.run(&format!("return {bar}.max")).await?.as_u64().context("parts")?;
    // Two parts are read at a time.
    model_server.release(2);
    browser.until("two parts are read", &format!("{bar}.value === 2")).await?;
    let words = "document.querySelector('[data-status][role=status]').textContent";
    browser.until("it is said", &format!("{words}.startsWith('문서를 나누어 읽는 중 2/{parts}')")).await?;
    model_server.release(usize::try_from(parts)? * 2);
    browser
        .until("the text is there", "document.querySelector('[data-text]').textContent.includes('내부망의')")
        .await?;
    browser.until("the bar is gone", &format!("!{bar}.checkVisibility()")).await?;
    browser.until("the answer is complete", "document.querySelector('[data-foot]').checkVisibility()").await
}

//! The main job on the real screens, in Chromium: three people share an app, an outside call is asked for and approved,
//! everything again with the keyboard alone, and what every page must do right. Skipped aloud without Chromium.

use anyhow::Context;
use axum::routing::post;
use axum::{Json, Router};
use madang_tests::{Browser, City, Madang, PASSWORD, key};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Test = anyhow::Result<()>;

const RULES: &str = "# 당직 근무 지침\n\n## 제1조(당직 시간)\n평일 당직은 오후 6시부터 다음 날 오전 9시까지 한다.\n\n\
## 제2조(당직 보고)\n당직자는 사고가 나면 30분 이내에 당직사령에게 보고하여야 한다.\n";
const PROMPT: &str = "당직 근무 지침에 대한 질문에 근거를 붙여 답해줘";
const QUESTION: &str = "당직자는 사고가 나면 언제까지 보고해야 합니까?";

/// A server with a city, an open collection with the rules in it, and a browser.
async fn stage(arguments: &[&str]) -> anyhow::Result<Option<(Madang, City, Browser)>> {
    let server = Madang::start_with(arguments)?;
    let Some(browser) = Browser::start(&server.base).await? else { return Ok(None) };
    let city = City::build(&server).await?;
    let collection = city.collection("당직 자료", "O", true).await?;
    city.ict_official.client.upload_ready(&collection, "당직 근무 지침.md", RULES).await?;
    Ok(Some((server, city, browser)))
}

#[tokio::test]
async fn three_people_share_an_app() -> Test {
    let Some((_server, city, browser)) = stage(&[]).await? else { return Ok(()) };
    browser.sign_in(&city.ict_official.login, PASSWORD).await?;
    build_by_prompt(&browser).await?;
    let app = share(&browser).await?;
    browser.sign_in(&city.ict_manager.login, PASSWORD).await?;
    browser.open("/review").await?;
    browser.click("a[href^='/review/submissions/']").await?;
    browser.until_at("/review/submissions/").await?;
    browser.click(".decide button.primary").await?;
    browser.until("back at the desk", "location.pathname === '/review'").await?;
    browser.sign_in(&city.civil_official.login, PASSWORD).await?;
    browser.open("/store?q=당직").await?;
    browser.click(&format!("a[href='/apps/{app}']")).await?;
    browser.until_at(&format!("/apps/{app}")).await?;
    browser.click(&format!("a[href='/apps/{app}/run']")).await?;
    browser.until_at(&format!("/apps/{app}/run")).await?;
    ask(&browser, "form[data-fold]").await?;
    open_a_source(&browser).await?;
    rate_and_fork(&browser, &app).await
}

/// Types the wish into the big box; edits a sentence of what appears; tries it.
async fn build_by_prompt(browser: &Browser) -> Test {
    browser.type_in("#prompt", PROMPT).await?;
    browser.type_in("#prompt", key::ENTER).await?;
    browser.until_at("/build/").await?;
    browser.type_in("[data-sentences] textarea", key::END).await?;
    browser.type_in("[data-sentences] textarea", " 짧게 답한다.").await?;
    browser
        .until(
            "the sheet is saved",
            "document.querySelector('[data-save-state]').textContent.startsWith('저장했습니다')",
        )
        .await?;
    ask(browser, "form[data-run-path*='trial']").await
}

/// Fills the first field of a form, sends it, and waits for the answer to end.
async fn ask(browser: &Browser, form: &str) -> Test {
    let field = format!("{form} textarea, {form} input:not([type=hidden])");
    browser.run(&format!("document.querySelector({}).value = ''", json!(field))).await?;
    browser.type_in(&field, QUESTION).await?;
    browser.click(&format!("{form} [data-send]")).await?;
    browser
        .until("the answer is complete", "document.querySelector('[data-answer] [data-foot]').checkVisibility()")
        .await?;
    browser
        .until(
            "the figure is in it",
            "document.querySelector('[data-answer] [data-text]').innerText.includes('30분 이내')",
        )
        .await
}

/// Saves a version, asks to share it; the app's id.
async fn share(browser: &Browser) -> anyhow::Result<String> {
    browser.click("[data-save]").await?;
    browser.until("the version is saved", "document.querySelector('[data-save-state] a[href^=\"/apps/\"]')").await?;
    browser.click("[data-share]").await?;
    browser.type_in("#share-note", "다른 과도 묻는 내용입니다").await?;
    browser.click("[data-share-form] button.primary").await?;
    browser.until_at("/apps/").await?;
    let path = browser.path().await?;
    Ok(path.trim_start_matches("/apps/").split(['?', '/']).next().unwrap_or_default().to_owned())
}

async fn open_a_source(browser: &Browser) -> Test {
    browser.click("[data-answer] button.cite").await?;
    let quoted = "document.querySelector('[data-source-panel] mark')?.innerText.includes('30분 이내')";
    browser.until("the passage stands in its surroundings", quoted).await?;
    browser.click("[data-source-close]").await
}

async fn rate_and_fork(browser: &Browser, app: &str) -> Test {
    browser.open(&format!("/apps/{app}")).await?;
    browser.run("document.querySelector('form.rate').scrollIntoView()").await?;
    browser.click("label[for='star-5']").await?;
    browser.type_in("#comment", "바로 썼습니다").await?;
    browser.click("form.rate button").await?;
    browser
        .until("the rating is shown", "document.querySelector('#ratings .lines')?.innerText.includes('바로 썼습니다')")
        .await?;
    browser.click(&format!("button[data-api='POST /api/v1/apps/{app}/fork']")).await?;
    browser.until_at("/build/").await?;
    browser.until("where it came from is said", &format!("document.querySelector('a[href=\"/apps/{app}\"]')")).await
}

/// A stranger's model on loopback; counts what it is asked.
async fn provider() -> anyhow::Result<(String, Arc<AtomicUsize>)> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let reply = async move |Json(_): Json<Value>| {
        counted.fetch_add(1, Ordering::SeqCst);
        Json(
            json!({ "id": "x", "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "밖에서 다듬은 **답**입니다." } }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 } }),
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, Router::new().route("/v1/chat/completions", post(reply))).into_future());
    Ok((base, calls))
}

#[tokio::test]
async fn an_outside_call_is_asked_for_read_approved_and_recorded() -> Test {
    let Some((_server, city, browser)) = stage(&["--allow-loopback-providers"]).await? else { return Ok(()) };
    let (base_url, calls) = provider().await?;
    let body = json!({ "name": "바깥 모델", "base_url": base_url, "model": "outer-1", "api_key": "sk-test-only-0000" });
    let made = city.admin.client.ok(Method::POST, "/api/v1/providers", body).await?;
    let enable = format!("/api/v1/providers/{}/enable", made["id"].as_str().context("no provider")?);
    city.admin.client.ok(Method::POST, &enable, json!({})).await?;
    let app = asking_app(&city).await?;
    browser.sign_in(&city.ict_official.login, PASSWORD).await?;
    browser.open(&format!("/apps/{app}/run")).await?;
    ask(&browser, "form[data-fold]").await?;
    browser.click("[data-actions] a[href^='/runs/']").await?;
    browser.until_at("/runs/").await?;
    let run = browser.path().await?;
    browser.click("a[href$='/outside']").await?;
    browser
        .until("the outgoing text is shown", "document.querySelector('pre.outgoing')?.innerText.includes('당직')")
        .await?;
    browser.type_in("#purpose", "민원인에게 줄 글로 다듬어야 합니다").await?;
    browser.click("form[data-api$='/outside'] button.primary").await?;
    browser.until_at("/review/outside/").await?;
    let call = browser.path().await?;
    assert_eq!(calls.load(Ordering::SeqCst), 0, "nothing leaves before it is approved");
    browser.sign_in(&city.security.login, PASSWORD).await?;
    browser.open("/review").await?;
    browser.click("a[href^='/review/outside/']").await?;
    browser.until_at("/review/outside/").await?;
    browser.type_in("#phrases", "당직").await?;
    browser.click("form[data-api$='/mask'] button").await?;
    let masked = "document.querySelector('pre.outgoing')?.innerText.includes('[가림-1]')";
    browser.until("more is masked", masked).await?;
    browser.type_in("#reveal-reason", "가림이 맞는지 봄").await?;
    browser.click("#reveal button").await?;
    browser
        .until("the words behind the mask", "document.querySelector('#revealed td + td')?.innerText === '당직'")
        .await?;
    browser.click(".decide button.primary").await?;
    browser.until("back at the desk", "location.pathname === '/review'").await?;
    browser.sign_in(&city.ict_official.login, PASSWORD).await?;
    browser.open(&call).await?;
    browser.click("button[data-api$='/send']").await?;
    browser.click("dialog[open] .primary").await?;
    browser.until("the reply is shown", "document.body.innerText.includes('밖에서 다듬은')").await?;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "sent once");
    browser.open(&run).await?;
    browser
        .until(
            "the reply stands with the run",
            "document.querySelector('.outside-reply')?.innerText.includes('밖에서 다듬은')",
        )
        .await?;
    browser.sign_in(&city.security.login, PASSWORD).await?;
    browser.open("/ledger").await?;
    browser.until("the record lists it", "document.querySelectorAll('table a[href^=\"/ledger/\"]').length > 5").await?;
    let sound = "[...document.querySelectorAll('.note')].some(n => n.classList.contains('info'))";
    browser.until("the record is sound", sound).await?;
    review(&browser, &call).await
}

/// The reviewer finds the call among all others, and draws up what was sent this month.
async fn review(browser: &Browser, call: &str) -> Test {
    browser.open("/review/calls").await?;
    browser.until("the call is listed", &format!("document.querySelector('a[href=\"{call}\"]')")).await?;
    for path in ["/review/anomalies", "/review/monthly", "/review/policy", "/review/evidence"] {
        browser.click(&format!("nav.tabs a[href='{path}']")).await?;
        browser.until_at(path).await?;
        browser.until("the page stands", "document.querySelector('h1')").await?;
    }
    Ok(())
}

/// An app over open data whose runs may ask for an outside call.
async fn asking_app(city: &City) -> anyhow::Result<String> {
    let by = &city.ict_official.client;
    let id = by.json("/api/v1/collections").await?[0]["id"].clone();
    let sheet = json!({ "title": "당직 질문", "purpose": "당직 규정을 찾는다.", "task": "question_answering",
        "sentences": [{ "text": "당직 규정에서 답을 찾는다." }], "output": { "type": "answer" }, "outside": "ask",
        "sources": [{ "type": "collection", "id": id, "name": "당직 자료" }],
        "inputs": [{ "key": "question", "label": "질문", "kind": { "type": "text" }, "required": true }] });
    let draft = by.ok(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
    let draft = draft["id"].as_str().context("no draft")?;
    let revision = by.json(&format!("/api/v1/drafts/{draft}")).await?["revision"].clone();
    let saved =
        by.ok(Method::POST, &format!("/api/v1/drafts/{draft}/versions"), json!({ "revision": revision })).await?;
    Ok(saved["app"].as_str().context("no app")?.to_owned())
}

#[tokio::test]
async fn the_keyboard_alone_is_enough() -> Test {
    let Some((_server, city, browser)) = stage(&[]).await? else { return Ok(()) };
    browser.open("/sign-in").await?;
    browser.until("the first field has the focus", "document.activeElement.id === 'login'").await?;
    browser.keys(&city.ict_official.login).await?;
    browser.keys(key::TAB).await?;
    browser.keys(PASSWORD).await?;
    browser.keys(key::ENTER).await?;
    browser.until_at("/").await?;
    tab_to(&browser, "document.activeElement.id === 'prompt'").await?;
    browser.keys(PROMPT).await?;
    browser.keys(key::ENTER).await?;
    browser.until_at("/build/").await?;
    browser.until("the sheet is drawn", "document.querySelector('[data-sentences] textarea')").await?;
    tab_to(
        &browser,
        "document.activeElement.closest('[data-trial-fields]') && document.activeElement.matches('textarea, input')",
    )
    .await?;
    browser.run("document.activeElement.select()").await?;
    browser.keys(QUESTION).await?;
    tab_to(&browser, "document.activeElement.matches('[data-send]')").await?;
    browser.keys(key::ENTER).await?;
    browser
        .until("the answer is complete", "document.querySelector('[data-answer] [data-foot]').checkVisibility()")
        .await?;
    tab_to(&browser, "document.activeElement.matches('[data-save]')").await?;
    browser.keys(key::ENTER).await?;
    browser.until("the version is saved", "document.querySelector('[data-save-state] a[href^=\"/apps/\"]')").await
}

/// Does what has the focus, or the box around it, look different without it?
const FOCUS_IS_SEEN: &str = r"
const el = document.activeElement;
const around = [el, el.parentElement, el.parentElement?.parentElement].filter(Boolean);
around.forEach((e) => (e.style.transition = 'none'));
const look = () => around.map((e) => getComputedStyle(e)).map((s) => [s.outline, s.boxShadow, s.border, s.backgroundColor].join()).join();
const on = look();
el.blur();
const off = look();
el.focus({ focusVisible: true });
return on !== off;
";

/// Presses Tab until the expression holds; each stop must be seen.
async fn tab_to(browser: &Browser, reached: &str) -> Test {
    for _ in 0..120 {
        if browser.run(&format!("return Boolean({reached})")).await? == true {
            assert_eq!(browser.run(FOCUS_IS_SEEN).await?, true, "the focus is not to be seen at {reached}");
            return Ok(());
        }
        browser.keys(key::TAB).await?;
    }
    anyhow::bail!("120 times Tab did not reach {reached}")
}

#[tokio::test]
async fn enter_belongs_to_the_input_method_while_it_composes() -> Test {
    let Some((_server, city, browser)) = stage(&[]).await? else { return Ok(()) };
    browser.sign_in(&city.ict_official.login, PASSWORD).await?;
    browser.until("the box is there", "document.querySelector('#prompt')").await?;
    let composing = r##"
        window.sent = 0;
        const real = window.fetch;
        window.fetch = (path, options) => { if (options?.method === "POST") window.sent++; return real(path, options); };
        const box = document.querySelector("#prompt");
        box.focus();
        box.value = "당직 규정 질문에 답해";
        box.dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true, data: "줘" }));
        const enter = (more) => new KeyboardEvent("keydown", { key: "Enter", code: "Enter", bubbles: true, cancelable: true, ...more });
        const first = enter({ isComposing: true, keyCode: 229 });
        box.dispatchEvent(first);
        box.value += "줘";
        box.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true, data: "줘" }));
        return [window.sent, first.defaultPrevented];
    "##;
    assert_eq!(browser.run(composing).await?, json!([0, false]), "an Enter that ends a syllable sends nothing");
    let twice = r##"
        const box = document.querySelector("#prompt");
        for (const _ of [1, 2]) box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", code: "Enter", bubbles: true, cancelable: true }));
        return window.sent;
    "##;
    assert_eq!(browser.run(twice).await?, json!(1), "then Enter sends, once");
    browser.until_at("/build/").await?;
    let drafts = city.ict_official.client.json("/api/v1/drafts").await?;
    assert_eq!(drafts.as_array().map(Vec::len), Some(1), "{drafts}");
    Ok(())
}

#[tokio::test]
async fn every_page_fits_a_phone_and_loads_nothing_from_elsewhere() -> Test {
    let Some((_server, city, browser)) = stage(&[]).await? else { return Ok(()) };
    let paths = visitable(&city).await?;
    browser.size(390, 844).await?;
    for path in ["/sign-in", "/no/such/page"] {
        browser.open(path).await?;
        browser.check_page(path).await?;
    }
    let mut faults = Vec::new();
    for member in [&city.ict_official, &city.ict_manager, &city.security, &city.admin] {
        browser.sign_in(&member.login, PASSWORD).await?;
        for path in &paths {
            browser.open(path).await?;
            if let Err(fault) = browser.check_page(path).await {
                faults.push(format!("{} at {fault}", member.login));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    browser.open("/language/en?next=/").await?;
    browser.until("English", "document.documentElement.lang === 'en'").await?;
    let menu = browser.run("return document.querySelector('nav.menu').textContent").await?;
    assert!(
        !menu.as_str().context("menu")?.chars().any(|c| ('가'..='힣').contains(&c)),
        "Korean left in the menu: {menu}"
    );
    Ok(())
}

/// Every page with something real in its path; a page without a value here fails, so that none is forgotten.
async fn visitable(city: &City) -> anyhow::Result<Vec<String>> {
    let by = &city.ict_official.client;
    let app = asking_app(city).await?;
    let run =
        by.ok(Method::POST, &format!("/api/v1/apps/{app}/runs"), json!({ "inputs": { "question": QUESTION } })).await?;
    let draft = by.ok(Method::POST, "/api/v1/drafts", json!({ "prompt": PROMPT })).await?;
    let submission =
        by.ok(Method::POST, &format!("/api/v1/apps/{app}/submissions"), json!({ "version": 1, "note": "" })).await?;
    let collection = by.json("/api/v1/collections").await?[0]["id"].clone();
    let documents =
        by.json(&format!("/api/v1/collections/{}/documents", collection.as_str().context("collection")?)).await?;
    let provider = json!({ "name": "바깥 모델", "base_url": "https://api.example.com/v1", "model": "m", "api_key": "secret-key-0123456789" });
    let provider = city.admin.client.ok(Method::POST, "/api/v1/providers", provider).await?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let values = [
        ("/providers/", text(&provider["id"])),
        ("/apps/", app),
        ("/runs/", text(&run["id"])),
        ("/build/", text(&draft["id"])),
        ("/collections/", text(&collection)),
        ("/documents/", text(&documents["documents"][0]["id"])),
        ("/submissions/", text(&submission["id"])),
        ("/ledger/", "1".into()),
        ("/month/", "2026-11".into()),
        ("/monthly/", "2026-11".into()),
        ("/moves/", city.civil_official.id.clone()),
        ("/people/", city.civil_official.id.clone()),
    ];
    let mut paths = vec!["/search?q=당직".to_owned(), "/store?q=당직".to_owned()];
    for path in madang_server::pages::paths() {
        // Set-up and the language switch lead elsewhere; an outside call's page is walked through in its own test.
        if ["/sign-in", "/setup/{token}", "/language/{code}", "/review/outside/{id}"].contains(&path) {
            continue;
        }
        let Some((before, rest)) = path.split_once('{') else {
            paths.push(path.to_owned());
            continue;
        };
        let (_, value) =
            values.iter().find(|(end, _)| before.ends_with(end)).with_context(|| format!("no value for {path}"))?;
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        paths.push(format!("{before}{value}{after}"));
    }
    Ok(paths)
}

/// Pictures for the documentation, where `MADANG_SCREENSHOTS` names a folder: four screens of the demo city.
#[tokio::test]
async fn screens_of_the_demo_city() -> Test {
    let Some(folder) = std::env::var_os("MADANG_SCREENSHOTS").map(std::path::PathBuf::from) else { return Ok(()) };
    let server = Madang::start_with(&["--demo"])?;
    let Some(browser) = Browser::start(&server.base).await? else { return Ok(()) };
    let lines = std::fs::read_to_string(server.home().join("demo-sign-in.txt"))?;
    let official = lines.lines().find(|line| line.contains("AI정책팀장")).context("nobody to sign in as")?;
    let mut words = official.split_whitespace();
    let (login, password) = (words.next().context("login")?, words.next().context("password")?);
    browser.sign_in(login, password).await?;
    std::fs::create_dir_all(&folder)?;
    shoot(&browser, &folder, "home", "/").await?;
    shoot(&browser, &folder, "store", "/store").await?;
    browser.open("/").await?;
    browser.type_in("#prompt", "정보통신공사 사용전검사 안내를 보고 민원인의 질문에 근거를 붙여 답해줘").await?;
    browser.type_in("#prompt", key::ENTER).await?;
    browser.until_at("/build/").await?;
    let question = "사용전검사 수수료는 얼마이고 언제 신청합니까?";
    try_with(&browser, "form[data-run-path*='trial']", question).await?;
    picture(&browser, &folder, "build").await?;
    browser.click("[data-save]").await?;
    browser.until("the version is saved", "document.querySelector('[data-save-state] a[href^=\"/apps/\"]')").await?;
    browser.click("[data-save-state] a").await?;
    browser.until_at("/apps/").await?;
    browser.click("a[href$='/run']").await?;
    browser.until("the run page", "location.pathname.endsWith('/run')").await?;
    try_with(&browser, "form[data-fold]", question).await?;
    browser.click("[data-answer] button.cite").await?;
    browser.until("the source", "document.querySelector('[data-source-panel] .here')").await?;
    picture(&browser, &folder, "run").await
}

async fn try_with(browser: &Browser, form: &str, question: &str) -> Test {
    let field = format!("{form} textarea, {form} input:not([type=hidden])");
    browser.run(&format!("document.querySelector({}).value = ''", json!(field))).await?;
    browser.type_in(&field, question).await?;
    browser.click(&format!("{form} [data-send]")).await?;
    browser
        .until("the answer is complete", "document.querySelector('[data-answer] [data-foot]').checkVisibility()")
        .await
}

async fn shoot(browser: &Browser, folder: &std::path::Path, name: &str, path: &str) -> Test {
    browser.open(path).await?;
    picture(browser, folder, name).await
}

/// The page as it is, on a desk and on a phone.
async fn picture(browser: &Browser, folder: &std::path::Path, name: &str) -> Test {
    for (width, height, ending) in [(1440, 900, ""), (390, 844, "-390")] {
        browser.size(width, height).await?;
        browser.until("fonts are there", "document.fonts.status === 'loaded'").await?;
        std::fs::write(folder.join(format!("{name}{ending}.png")), browser.screenshot().await?)?;
    }
    browser.size(1440, 900).await
}

//! Chromium by way of chromedriver: the few commands of the W3C WebDriver protocol that the browser tests need, over
//! the HTTP client that the other tests use already.

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Name of an element's id in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with a profile of its own; ended when dropped.
#[allow(clippy::disallowed_types)] // the tests are the browser, not the product
pub struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    /// Address of the server under test.
    base: String,
    _profile: tempfile::TempDir,
}

/// Keys that have no letter.
pub mod key {
    pub const TAB: &str = "\u{e004}";
    pub const ENTER: &str = "\u{e007}";
    pub const END: &str = "\u{e010}";
}

#[allow(clippy::disallowed_types)]
impl Browser {
    /// `None`, said aloud, where Chromium or its driver is not installed.
    ///
    /// # Errors
    /// When they are installed and do not start.
    pub async fn start(base: &str) -> anyhow::Result<Option<Self>> {
        let (Some(chromium), Some(driver)) = (on_path("chromium"), on_path("chromedriver")) else {
            eprintln!("skipped: chromium and chromedriver are not installed");
            return Ok(None);
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child =
            Command::new(driver).arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let profile = tempfile::tempdir()?;
        let mut browser = Self {
            driver: child,
            http,
            session: format!("http://127.0.0.1:{port}"),
            base: base.to_owned(),
            _profile: profile,
        };
        crate::eventually("chromedriver answers", || async {
            let ready = browser.http.get(format!("{}/status", browser.session)).send().await;
            Ok(ready.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        })
        .await?;
        let made = browser.send(Method::POST, "/session", browser.capabilities(&chromium)).await?;
        browser.session = format!("{}/session/{}", browser.session, made["sessionId"].as_str().context("no session")?);
        browser.size(1440, 900).await?;
        Ok(Some(browser))
    }

    fn capabilities(&self, chromium: &std::path::Path) -> Value {
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            "--lang=ko",
            format!("--user-data-dir={}", self._profile.path().display()),
        ]);
        json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "unhandledPromptBehavior": "accept",
        } } })
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let answer: Value = request.send().await?.json().await?;
        let value = answer["value"].clone();
        if let Some(error) = value["error"].as_str() {
            let words = value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            bail!("{path}: {error}: {words}");
        }
        Ok(value)
    }

    /// Opens a path of the server under test.
    pub async fn open(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::POST, "/url", json!({ "url": format!("{}{path}", self.base) })).await?;
        Ok(())
    }

    /// Path and query of the page that is open.
    pub async fn path(&self) -> anyhow::Result<String> {
        let url = self.send(Method::GET, "/url", Value::Null).await?;
        Ok(url.as_str().and_then(|u| u.strip_prefix(&self.base)).unwrap_or_default().to_owned())
    }

    /// Runs a script and returns what it returns.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        self.send(Method::POST, "/execute/sync", json!({ "script": script, "args": [] }))
            .await
            .with_context(|| script.to_owned())
    }

    /// Waits until the script's expression is true; a page that is just being left answers later.
    pub async fn until(&self, what: &str, expression: &str) -> anyhow::Result<()> {
        let script = format!("return Boolean({expression})");
        let reached =
            crate::eventually(what, || async { Ok(self.run(&script).await.is_ok_and(|v| v == true).then_some(())) })
                .await;
        if reached.is_err() {
            let text = self.run("return location.pathname + '\\n' + document.body.innerText.slice(0, 1500)").await?;
            bail!("never happened: {what}; the page shows: {}", text.as_str().unwrap_or_default());
        }
        Ok(())
    }

    /// Waits until the open page's path begins like this and its scripts have run.
    pub async fn until_at(&self, prefix: &str) -> anyhow::Result<()> {
        let here = format!("location.pathname.startsWith({}) && document.readyState === 'complete'", json!(prefix));
        self.until(&format!("the page {prefix}"), &here).await
    }

    async fn element(&self, css: &str) -> anyhow::Result<String> {
        let script = format!("[...document.querySelectorAll({})].some(e => e.checkVisibility())", json!(css));
        self.until(&format!("{css} is seen"), &script).await?;
        let all = self.send(Method::POST, "/elements", json!({ "using": "css selector", "value": css })).await?;
        for found in all.as_array().into_iter().flatten() {
            let id = found[ELEMENT].as_str().context("no element id")?;
            if self.send(Method::GET, &format!("/element/{id}/displayed"), Value::Null).await? == true {
                return Ok(id.to_owned());
            }
        }
        bail!("{css} is not displayed")
    }

    /// Clicks the first visible element, brought to the middle first: a header that stays may lie over its edge.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let id = self.element(css).await?;
        let to_middle =
            json!({ "script": "arguments[0].scrollIntoView({ block: 'center' })", "args": [{ ELEMENT: id }] });
        self.send(Method::POST, "/execute/sync", to_middle).await?;
        self.send(Method::POST, &format!("/element/{id}/click"), json!({})).await.with_context(|| css.to_owned())?;
        Ok(())
    }

    /// Types into the first visible element, as a keyboard would.
    pub async fn type_in(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let id = self.element(css).await?;
        self.send(Method::POST, &format!("/element/{id}/value"), json!({ "text": text }))
            .await
            .with_context(|| css.to_owned())?;
        Ok(())
    }

    /// Types to whatever has the focus.
    pub async fn keys(&self, text: &str) -> anyhow::Result<()> {
        let strokes: Vec<Value> = text
            .chars()
            .flat_map(|c| {
                [
                    json!({ "type": "keyDown", "value": c.to_string() }),
                    json!({ "type": "keyUp", "value": c.to_string() }),
                ]
            })
            .collect();
        self.send(
            Method::POST,
            "/actions",
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }),
        )
        .await?;
        Ok(())
    }

    /// Size of the page in CSS pixels; also narrower than a window may be.
    pub async fn size(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let parameters = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let body = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": parameters });
        self.send(Method::POST, "/goog/cdp/execute", body).await?;
        Ok(())
    }

    /// PNG of what is seen.
    pub async fn screenshot(&self) -> anyhow::Result<Vec<u8>> {
        use base64::Engine;
        let picture = self.send(Method::GET, "/screenshot", Value::Null).await?;
        Ok(base64::engine::general_purpose::STANDARD.decode(picture.as_str().context("no picture")?)?)
    }

    /// What the console has said since the last call.
    pub async fn console(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.send(Method::POST, "/se/log", json!({ "type": "browser" })).await?;
        let words = |e: &Value| e["message"].as_str().unwrap_or_default().to_owned();
        Ok(entries.as_array().into_iter().flatten().map(words).collect())
    }

    /// Signs in on the screen, after forgetting who was signed in.
    pub async fn sign_in(&self, login: &str, password: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, "/cookie", Value::Null).await?;
        self.open("/sign-in").await?;
        self.type_in("#login", login).await?;
        self.type_in("#password", password).await?;
        self.click("form button.primary").await?;
        self.until_at("/").await?;
        self.until("the page of somebody signed in", "document.querySelector('.me')").await
    }

    /// Fails when something is wrong that every page must do right.
    pub async fn check_page(&self, path: &str) -> anyhow::Result<()> {
        let faults = self.run(CHECKS).await?;
        let mut faults: Vec<String> =
            faults.as_array().into_iter().flatten().filter_map(|f| f.as_str().map(str::to_owned)).collect();
        let bad = |line: &String| line.contains("Content Security Policy") || line.contains("Uncaught");
        faults.extend(self.console().await?.into_iter().filter(bad));
        ensure!(faults.is_empty(), "{path}:\n  {}", faults.join("\n  "));
        Ok(())
    }
}

/// One h1, a language, nothing wider than the window, nothing fetched from another host.
const CHECKS: &str = r#"
const faults = [];
const h1 = document.querySelectorAll("h1").length;
if (h1 !== 1) faults.push(`${h1} h1`);
if (!document.documentElement.lang) faults.push("no lang");
if (!document.title.trim()) faults.push("no title");
const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
if (over > 0) {
  const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3);
  faults.push(`${over} px wider than the window: ${wide.map((e) => e.tagName + "." + e.className).join(", ")}`);
}
for (const entry of performance.getEntriesByType("resource")) if (new URL(entry.name).host !== location.host) faults.push(`fetched ${entry.name}`);
return faults;
"#;

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when it is told to go.
        let gone = Command::new("kill").args(["-TERM", &self.driver.id().to_string()]).status();
        if gone.is_ok_and(|status| status.success()) {
            let _ = self.driver.wait();
        } else {
            let _ = self.driver.kill();
        }
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

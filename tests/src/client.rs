//! A client that behaves like a browser (cookie, CSRF token, Origin) or a script (bearer token).

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// One server-sent event.
#[derive(Debug, Clone)]
pub struct SseEvent {
    pub event: String,
    pub data: Value,
}

/// Talks to one server as one person.
#[derive(Clone)]
#[allow(clippy::disallowed_types)] // the tests are the browser, not the product
pub struct Client {
    http: reqwest::Client,
    pub base: String,
    cookie: Option<String>,
    csrf: String,
    token: Option<String>,
}

#[allow(clippy::disallowed_types)]
impl Client {
    /// Nobody yet.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { http, base: base.to_owned(), cookie: None, csrf: String::new(), token: None })
    }

    /// A script with a personal access token.
    pub fn with_token(base: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self { token: Some(token.to_owned()), ..Self::new(base)? })
    }

    /// Signs in and keeps the cookie and the CSRF token of the page's frame.
    pub async fn sign_in(&mut self, login: &str, password: &str) -> anyhow::Result<()> {
        let answer = self.post("/api/v1/session", json!({ "login": login, "password": password })).await?;
        ensure!(answer.status() == StatusCode::OK, "sign-in: {} {}", answer.status(), answer.text().await?);
        self.take_cookie(&answer)?;
        self.read_csrf().await
    }

    /// Keeps the session cookie of an answer.
    pub fn take_cookie(&mut self, answer: &Response) -> anyhow::Result<()> {
        let cookie = answer.headers().get("set-cookie").context("no cookie set")?.to_str()?;
        self.cookie = cookie.split(';').next().map(str::to_owned);
        Ok(())
    }

    /// Reads the CSRF token from the profile page.
    pub async fn read_csrf(&mut self) -> anyhow::Result<()> {
        let page = self.get("/profile").await?.text().await?;
        let token = page.split("csrf-token\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.csrf = token.context("no CSRF token in the page")?.to_owned();
        ensure!(!self.csrf.is_empty(), "empty CSRF token");
        Ok(())
    }

    /// The same person, reading in English.
    pub fn in_english(&self) -> Self {
        let cookie = self.cookie.as_ref().map(|session| format!("{session}; madang_lang=en"));
        Self { cookie, ..self.clone() }
    }

    /// The session cookie, `name=value`.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// A request with this person's credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
            if method != Method::GET {
                request = request.header("x-csrf-token", &self.csrf).header("origin", &self.base);
            }
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.request(Method::GET, path).send().await?)
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Response> {
        Ok(self.request(Method::POST, path).json(&body).send().await?)
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Response> {
        Ok(self.request(method, path).json(&body).send().await?)
    }

    /// Sends and expects success; the JSON answer, `null` for an empty one.
    pub async fn ok(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.send(method.clone(), path, body).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// GET that expects success and JSON.
    pub async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.get(path).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| text)
    }

    /// GET of a page as a person's browser asks for it.
    pub async fn page(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let answer = self.request(Method::GET, path).header("accept", "text/html").send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Uploads one file.
    pub async fn upload(&self, collection: &str, name: &str, bytes: impl Into<Vec<u8>>) -> anyhow::Result<Response> {
        let form = Form::new().part("file", Part::bytes(bytes.into()).file_name(name.to_owned()));
        let path = format!("/api/v1/collections/{collection}/documents");
        Ok(self.request(Method::POST, &path).multipart(form).send().await?)
    }

    /// Uploads one file, waits until it is read, and returns its id.
    pub async fn upload_ready(
        &self,
        collection: &str,
        name: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> anyhow::Result<String> {
        let answer = self.upload(collection, name, bytes).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "upload {name}: {status} {text}");
        let body: Value = serde_json::from_str(&text)?;
        let id = body["documents"][0]["id"].as_str().with_context(|| text)?.to_owned();
        let path = format!("/api/v1/documents/{id}");
        crate::eventually(&format!("{name} is read"), || async {
            let document = self.json(&path).await?;
            match document["state"].as_str() {
                Some("ready") => Ok(Some(())),
                Some("failed" | "cancelled") => anyhow::bail!("{name}: {document}"),
                _ => Ok(None),
            }
        })
        .await?;
        Ok(id)
    }

    /// POST that answers with server-sent events; all of them.
    pub async fn events(&self, path: &str, body: Value) -> anyhow::Result<Vec<SseEvent>> {
        let answer = self.request(Method::POST, path).header("accept", "text/event-stream").json(&body).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "POST {path}: {status} {}", answer.text().await?);
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        parse_events(&String::from_utf8(bytes)?)
    }
}

fn parse_events(text: &str) -> anyhow::Result<Vec<SseEvent>> {
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let mut event = String::new();
        let mut data = String::new();
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                event = value.trim().to_owned();
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push_str(value.strip_prefix(' ').unwrap_or(value));
            }
        }
        if !data.is_empty() {
            // OpenAI's streams end with a word that is no JSON.
            let data =
                if data == "[DONE]" { Value::String(data) } else { serde_json::from_str(&data).context(data)? };
            events.push(SseEvent { event, data });
        }
    }
    Ok(events)
}

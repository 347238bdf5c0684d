//! Who may do what: every route, asked by every kind of actor, against a golden table.
//!
//! All resources in the paths belong to one department and are closed to others. Requests carry a body that would be
//! accepted: what is judged is the right. A request that succeeded makes the next cell start from fresh resources.
//! `MADANG_BLESS=1` rewrites the table, which is then to be read as an attacker would.

use anyhow::{Context, bail, ensure};
use madang_tests::{City, Client, Madang, ModelServer, PASSWORD};
use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

type Test = anyhow::Result<()>;

/// `other`: an official of another department. `owner`: the official who made everything. `manager`: of the owning
/// department. `token`: a personal access token of the owner that may only read.
const ACTORS: [&str; 7] = ["anonymous", "other", "owner", "manager", "security", "admin", "token"];

/// Open to anybody at all.
const PUBLIC: [&str; 6] = [
    "GET /sign-in",
    "GET /setup/{token}",
    "GET /language/{code}",
    "POST /api/v1/session",
    "POST /api/v1/setup",
    "DELETE /api/v1/session",
];

/// Refused to all these actors by a rule that other tests prove: who made an app does not rate it, and set-up is over.
/// There is no model to embed with, to name, to load or to let go of.
const NOBODY: [&str; 6] = [
    "PUT /api/v1/apps/{id}/rating",
    "POST /api/v1/setup",
    "POST /v1/embeddings",
    "GET /v1/models/{id}",
    "POST /api/v1/models/{name}/load",
    "DELETE /api/v1/models/{name}/load",
];

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    path: String,
    method: String,
    multipart: bool,
}

impl Route {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Names something of the owner's, so that others must not get through.
    fn is_of_owner(&self) -> bool {
        // The chat names its app in the body.
        (self.path.contains('{') || self.path == "/v1/chat/completions") && !PUBLIC.contains(&self.name().as_str())
    }

    fn is_page(&self) -> bool {
        !self.path.starts_with("/api/") && !self.path.starts_with("/v1/")
    }
}

fn routes() -> anyhow::Result<Vec<Route>> {
    let document = serde_json::to_value(madang_server::api::openapi())?;
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().context("paths")? {
        for (method, operation) in methods.as_object().context("methods")? {
            let multipart = operation.pointer("/requestBody/content/multipart~1form-data").is_some();
            routes.push(Route { path: path.clone(), method: method.to_uppercase(), multipart });
        }
    }
    routes.extend(madang_server::pages::paths().iter().map(|path| Route {
        path: (*path).to_owned(),
        method: "GET".into(),
        multipart: false,
    }));
    routes.sort();
    Ok(routes)
}

/// The actors and what belongs to the owner, made when first asked for.
struct World {
    server: Madang,
    city: City,
    token: Client,
    made: HashMap<&'static str, String>,
    count: usize,
    /// Inside the network.
    model_server: ModelServer,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let server = Madang::start_with(&["--allow-loopback-providers"])?;
        let city = City::build(&server).await?;
        let body = json!({ "name": "읽기", "scope": "read", "days": 1 });
        let made = city.ict_official.client.ok(Method::POST, "/api/v1/tokens", body).await?;
        let token = Client::with_token(&server.base, made["secret"].as_str().context("secret")?)?;
        let model_server = ModelServer::start(&["m"], None).await?;
        let networks = json!({ "networks": ["127.0.0.0/8"] });
        city.admin.client.ok(Method::PUT, "/api/v1/models/networks", networks).await?;
        Ok(Self { server, city, token, made: HashMap::new(), count: 0, model_server })
    }

    fn client(&self, actor: &str) -> anyhow::Result<Client> {
        Ok(match actor {
            "anonymous" => Client::new(&self.server.base)?,
            "other" => self.city.civil_official.client.clone(),
            "owner" => self.city.ict_official.client.clone(),
            "manager" => self.city.ict_manager.client.clone(),
            "security" => self.city.security.client.clone(),
            "admin" => self.city.admin.client.clone(),
            "token" => self.token.clone(),
            _ => bail!("no actor {actor}"),
        })
    }

    /// Signs an actor in again whose sessions a request has ended.
    async fn sign_in_again(&mut self, actor: &str) -> Test {
        let member = match actor {
            "other" => &mut self.city.civil_official,
            "owner" => &mut self.city.ict_official,
            "manager" => &mut self.city.ict_manager,
            "security" => &mut self.city.security,
            "admin" => &mut self.city.admin,
            _ => return Ok(()),
        };
        member.client.sign_in(&member.login, PASSWORD).await
    }

    async fn owner(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        self.city.ict_official.client.ok(method, path, body).await
    }

    fn keep(&mut self, kind: &'static str, value: &Value) -> anyhow::Result<String> {
        let id = value.as_str().with_context(|| format!("no id of a {kind}"))?.to_owned();
        self.made.insert(kind, id.clone());
        Ok(id)
    }

    fn unique(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{word}{}", self.count)
    }

    /// What stands at `{parameter}` after the path segment `before`.
    async fn resource(&mut self, before: &str, parameter: &str) -> anyhow::Result<String> {
        Ok(match (before, parameter) {
            ("versions" | "diff" | "ledger" | "revisions", _) => "1".to_owned(),
            // A month that is not over: nothing of it can be drawn or signed.
            ("months" | "monthly" | "month", _) => "2999-12".to_owned(),
            ("erasures" | "models", _) => "none".to_owned(),
            ("picks", _) => self.call().await?,
            ("holds", _) => self.hold().await?,
            ("changes", _) => self.change().await?,
            ("servers", _) => self.server_of_models().await?,
            ("setup", _) => "0".repeat(64),
            ("language", _) => "ko".to_owned(),
            ("departments", _) => self.city.ict.clone(),
            ("collections", _) => self.collection().await?,
            ("documents", _) => self.document().await?,
            ("passages", _) => self.passage().await?,
            ("apps", _) => self.app().await?,
            ("drafts" | "build", _) => self.draft().await?,
            ("runs", _) => self.run().await?,
            ("submissions", _) => self.submission().await?,
            ("posts", _) => self.post().await?,
            ("people" | "moves", _) => self.person().await?,
            ("tokens", _) => self.own_token().await?,
            ("sessions", _) => self.session().await?,
            ("providers", _) => self.provider().await?,
            ("proposals", _) => self.proposal().await?,
            ("absences", _) => self.absence().await?,
            ("outside" | "external-calls" | "calls", _) => self.call().await?,
            _ => bail!("no resource known for {before}/{{{parameter}}}: teach tests/tests/rights.rs to make one"),
        })
    }

    async fn collection(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("collection") {
            return Ok(id.clone());
        }
        let name = self.unique("닫힌 자료 ");
        let id = self.city.collection(&name, "S", false).await?;
        self.keep("collection", &json!(id))
    }

    async fn document(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("document") {
            return Ok(id.clone());
        }
        let collection = self.collection().await?;
        let text = "# 감사 계획\n\n감사 대상 부서는 10월 첫째 주에 통보한다.\n";
        let id = self.city.ict_official.client.upload_ready(&collection, "감사 계획.md", text).await?;
        self.keep("document", &json!(id))
    }

    async fn passage(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("passage") {
            return Ok(id.clone());
        }
        self.document().await?;
        let collection = self.collection().await?;
        let found = self
            .city
            .ict_official
            .client
            .json(&format!("/api/v1/search?q=감사 대상 부서 통보&collection={collection}"))
            .await?;
        self.keep("passage", &found["hits"][0]["id"])
    }

    fn sheet(&mut self, source: &Value, outside: &str) -> Value {
        json!({
            "title": self.unique("감사 질문 "), "purpose": "감사 계획을 찾는다.", "task": "question_answering",
            "sentences": [{ "text": "감사 계획에서 답을 찾는다." }],
            "inputs": [{ "key": "question", "label": "질문", "kind": { "type": "long_text" }, "required": true }],
            "sources": [source], "output": { "type": "answer" }, "outside": outside,
        })
    }

    async fn new_draft(&mut self) -> anyhow::Result<String> {
        let collection = self.collection().await?;
        let sheet = self.sheet(&json!({ "type": "collection", "id": collection, "name": "닫힌 자료" }), "never");
        let made = self.owner(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
        Ok(made["id"].as_str().context("no draft")?.to_owned())
    }

    async fn draft(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("draft") {
            return Ok(id.clone());
        }
        let id = self.new_draft().await?;
        self.keep("draft", &json!(id))
    }

    async fn save(&mut self, draft: &str) -> anyhow::Result<String> {
        let read = self.owner(Method::GET, &format!("/api/v1/drafts/{draft}"), Value::Null).await?;
        let save = json!({ "revision": read["revision"], "note": "" });
        let saved = self.owner(Method::POST, &format!("/api/v1/drafts/{draft}/versions"), save).await?;
        Ok(saved["app"].as_str().context("no app")?.to_owned())
    }

    async fn app(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("app") {
            return Ok(id.clone());
        }
        self.document().await?;
        let draft = self.new_draft().await?;
        let id = self.save(&draft).await?;
        self.keep("app", &json!(id))
    }

    async fn ask(&mut self, app: &str) -> anyhow::Result<Value> {
        let question = json!({ "inputs": { "question": "감사 대상 부서에 언제 통보합니까?" } });
        self.owner(Method::POST, &format!("/api/v1/apps/{app}/runs"), question).await
    }

    async fn run(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("run") {
            return Ok(id.clone());
        }
        let app = self.app().await?;
        let run = self.ask(&app).await?;
        self.keep("run", &run["id"])
    }

    async fn submission(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("submission") {
            return Ok(id.clone());
        }
        let app = self.app().await?;
        let made = self
            .owner(Method::POST, &format!("/api/v1/apps/{app}/submissions"), json!({ "version": 1, "note": "" }))
            .await?;
        self.keep("submission", &made["id"])
    }

    async fn post(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("post") {
            return Ok(id.clone());
        }
        let body = json!({ "department": self.city.ict, "title": self.unique("자리 "), "roles": ["official"] });
        let made = self.city.admin.client.ok(Method::POST, "/api/v1/posts", body).await?;
        self.keep("post", &made["id"])
    }

    async fn person(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("person") {
            return Ok(id.clone());
        }
        let login = self.unique("spare");
        let body =
            json!({ "login": login, "name": "여분", "password": PASSWORD, "posts": [self.city.ict_official.post] });
        let made = self.city.admin.client.ok(Method::POST, "/api/v1/people", body).await?;
        self.keep("person", &made["id"])
    }

    async fn own_token(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("token") {
            return Ok(id.clone());
        }
        let made =
            self.owner(Method::POST, "/api/v1/tokens", json!({ "name": "여분", "scope": "run", "days": 1 })).await?;
        self.keep("token", &made["id"])
    }

    /// Another session of the owner's.
    async fn session(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("session") {
            return Ok(id.clone());
        }
        let ids =
            |list: &Value| -> Vec<Value> { list.as_array().into_iter().flatten().map(|s| s["id"].clone()).collect() };
        let before = ids(&self.owner(Method::GET, "/api/v1/sessions", Value::Null).await?);
        Client::new(&self.server.base)?.sign_in(&self.city.ict_official.login, PASSWORD).await?;
        let after = ids(&self.owner(Method::GET, "/api/v1/sessions", Value::Null).await?);
        let new = after.iter().find(|id| !before.contains(id)).context("no new session")?.clone();
        self.keep("session", &new)
    }

    async fn provider(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("provider") {
            return Ok(id.clone());
        }
        let body = json!({ "name": self.unique("제공자 "), "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key": "sk-not-a-real-key-0000" });
        let made = self.city.admin.client.ok(Method::POST, "/api/v1/providers", body).await?;
        self.keep("provider", &made["id"])
    }

    /// A model server in the list; nobody else adds one of its address.
    async fn server_of_models(&mut self) -> anyhow::Result<String> {
        if let Some(name) = self.made.get("server") {
            return Ok(name.clone());
        }
        self.forget_servers().await?;
        let body = json!({ "name": self.unique("서버-"), "url": self.model_server.url, "model": "m" });
        let made = self.city.admin.client.ok(Method::POST, "/api/v1/models/servers", body).await?;
        self.keep("server", &made["name"])
    }

    async fn forget_servers(&mut self) -> Test {
        let admin = &self.city.admin.client;
        let all = admin.json("/api/v1/models/servers").await?;
        for server in all["servers"].as_array().context("servers")? {
            let name = server["name"].as_str().context("name")?;
            admin.ok(Method::DELETE, &format!("/api/v1/models/servers/{name}"), Value::Null).await?;
        }
        Ok(())
    }

    /// An outside call that waits for the security officer, of an app over open data.
    async fn call(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("call") {
            return Ok(id.clone());
        }
        let provider = self.provider().await?;
        self.city.admin.client.ok(Method::POST, &format!("/api/v1/providers/{provider}/enable"), json!({})).await?;
        let name = self.unique("열린 자료 ");
        let open = self.city.collection(&name, "O", true).await?;
        self.city
            .ict_official
            .client
            .upload_ready(&open, "안내.md", "# 안내\n\n민원실은 아홉 시에 문을 연다.\n")
            .await?;
        let sheet = self.sheet(&json!({ "type": "collection", "id": open, "name": name }), "ask");
        let draft = self.owner(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
        let app = self.save(draft["id"].as_str().context("no draft")?).await?;
        let run = self.ask(&app).await?["id"].as_str().context("no run")?.to_owned();
        let purpose =
            json!({ "provider": provider, "purpose": "어려운 글을 다듬기 위함", "legal_basis": "업무 지침 제3조" });
        let made = self.owner(Method::POST, &format!("/api/v1/runs/{run}/outside"), purpose).await?;
        self.keep("call", &made["id"])
    }

    /// A policy that the security officer proposed: a higher limit on the calls of a month.
    async fn proposal(&mut self) -> anyhow::Result<String> {
        if let Some(id) = self.made.get("proposal") {
            return Ok(id.clone());
        }
        let officer = &self.city.security.client;
        let now = officer.json("/api/v1/policy").await?;
        let (revision, text) = (now["revision"].as_u64().context("revision")?, now["text"].as_str().context("text")?);
        let text = text.replacen(&format!("\nrevision = {revision}\n"), &format!("\nrevision = {}\n", revision + 1), 1);
        let (head, tail) = text.rsplit_once("calls = ").context("a budget")?;
        let (calls, tail) = tail.split_once('\n').context("a line")?;
        let text = format!("{head}calls = {}\n{tail}", calls.trim().parse::<u64>()? + 1);
        let body = json!({ "text": text, "reason": "한도 조정", "expected_revision": revision });
        let put = officer.ok(Method::PUT, "/api/v1/policy", body).await?;
        self.keep("proposal", &put["proposal"])
    }

    /// A time in which the manager is away.
    async fn absence(&mut self) -> anyhow::Result<String> {
        let made = self.city.ict_manager.client.ok(Method::POST, "/api/v1/absences", away()).await?;
        self.keep("absence", &made["id"])
    }

    /// A hold that is in force.
    async fn hold(&mut self) -> anyhow::Result<String> {
        let body = json!({ "target": "person", "subject": "jihun", "reason": "감사" });
        let made = self.city.security.client.ok(Method::POST, "/api/v1/outside/holds", body).await?;
        self.keep("hold", &made["id"])
    }

    /// A hold that the security officer proposed to lift.
    async fn change(&mut self) -> anyhow::Result<String> {
        let lift = format!("/api/v1/outside/holds/{}/lift", self.hold().await?);
        let put = self.city.security.client.ok(Method::POST, &lift, json!({ "reason": "감사 끝" })).await?;
        self.keep("change", &put["proposal"])
    }

    /// The path with resources in place of its parameters.
    async fn fill(&mut self, path: &str) -> anyhow::Result<String> {
        let mut filled = String::new();
        let mut before = "";
        for segment in path.trim_start_matches('/').split('/') {
            match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                Some(parameter) => write!(filled, "/{}", self.resource(before, parameter).await?)?,
                None => write!(filled, "/{segment}")?,
            }
            before = segment;
        }
        Ok(filled)
    }

    /// A body that the handler accepts, as far as that does no harm.
    fn body(&mut self, route: &Route) -> Value {
        let stale = -1; // a revision that no draft has: refused after the right was judged
        let sheet = self.sheet(&json!({ "type": "readable" }), "never");
        match route.name().as_str() {
            "POST /api/v1/collections" => {
                json!({ "name": self.unique("새 "), "grade": "O", "department": self.city.ict })
            }
            "POST /api/v1/drafts" => json!({ "sheet": sheet }),
            "PUT /api/v1/drafts/{id}" => json!({ "revision": stale, "sheet": sheet }),
            "POST /api/v1/drafts/{id}/answers" => json!({ "revision": stale, "question": "q", "option": 0 }),
            "POST /api/v1/drafts/{id}/versions" => json!({ "revision": stale, "note": "" }),
            "POST /api/v1/drafts/{id}/trial" | "POST /api/v1/apps/{id}/runs" => {
                json!({ "inputs": { "question": "감사 통보" } })
            }
            "POST /api/v1/apps/{id}/rollback" => json!({ "version": 1, "reason": "되돌림" }),
            "PUT /api/v1/collections/{id}/folder" => json!({ "path": "" }),
            "PUT /api/v1/synonyms" => json!({ "text": "쓰레기, 폐기물" }),
            "POST /api/v1/tools/pii" => json!({ "text": "문의 010-0000-1234" }),
            "POST /api/v1/pii/dictionary/check" => json!({ "rules": [], "text": "" }),
            "PUT /api/v1/pii/dictionary" => json!({ "revision": stale, "rules": [], "reason": "시험" }),
            "PUT /api/v1/models/choice" => json!({ "choice": "quoting" }),
            "PUT /api/v1/models/networks" => json!({ "networks": ["127.0.0.0/8"] }),
            "POST /api/v1/models/servers" | "POST /api/v1/models/servers/try" => {
                json!({ "url": self.model_server.url, "model": "m" })
            }
            "POST /api/v1/outside/bodies/search" => json!({ "words": "민원실", "reason": "감사" }),
            "POST /api/v1/outside/anomalies/seen" => json!({ "anomaly": "none", "note": "" }),
            "POST /api/v1/outside/months/{month}/picks/{call}" => json!({ "verdict": "" }),
            "POST /api/v1/outside/months/{month}/signature" => json!({ "summary": "" }),
            "PUT /api/v1/outside/retention" => json!({ "kind": "runs", "days": 1095, "reason": "감사" }),
            "POST /api/v1/outside/holds" => json!({ "target": "person", "subject": "jihun", "reason": "감사" }),
            "POST /api/v1/ledger/cosignatures" => json!({ "answer": "— witness AAAAAAA=" }),
            "PUT /api/v1/apps/{id}/rating" => json!({ "stars": 5 }),
            "POST /api/v1/runs/{id}/reports" => json!({ "note": "틀린 답" }),
            "POST /api/v1/absences" => away(),
            "PUT /api/v1/policy" => json!({ "text": "?", "reason": "시험", "expected_revision": 1 }),
            "POST /api/v1/policy/check" | "POST /api/v1/policy/rehearse" => {
                json!({ "text": "format = 1\nrevision = 2\n" })
            }
            "POST /api/v1/policy/proposals/{id}/decline" => json!({ "reason": "다시" }),
            name if ["/return", "/reveal", "/lift"].iter().any(|end| name.ends_with(end)) => {
                json!({ "reason": "다시" })
            }
            "POST /api/v1/outside/switch/stop" | "POST /api/v1/outside/switch/resume" => json!({ "reason": "점검" }),
            name if name.ends_with("/export") => json!({ "format": "csv", "reason": "감사" }),
            "POST /api/v1/outside/{id}/mask" => json!({ "phrases": ["없는 말"] }),
            "POST /api/v1/runs/{id}/outside" => json!({ "purpose": "글을 다듬기 위함", "legal_basis": "업무 지침" }),
            "POST /api/v1/session" => json!({ "login": "nobody", "password": PASSWORD }),
            "POST /api/v1/setup" => {
                json!({ "token": "0".repeat(64), "body_name": "가", "department": "가", "post": "가", "login": "late", "name": "가", "password": PASSWORD })
            }
            _ => json!({}),
        }
    }

    async fn ask_route(&mut self, route: &Route, actor: &str) -> anyhow::Result<StatusCode> {
        let path = self.fill(&route.path).await?;
        let query = match route.path.as_str() {
            "/api/v1/search" | "/api/v1/apps/suggest" => "?q=감사",
            "/api/v1/runs/{id}/export" => "?format=md",
            _ => "",
        };
        let method = Method::from_bytes(route.method.as_bytes())?;
        let body = match route.path.as_str() {
            "/v1/chat/completions" => {
                let model = format!("app:{}", self.app().await?);
                json!({ "model": model, "messages": [{ "role": "user", "content": "감사 통보" }] })
            }
            "/v1/embeddings" => json!({ "model": "none", "input": "감사" }),
            _ => self.body(route),
        };
        let mut request = self.client(actor)?.request(method.clone(), &format!("{path}{query}"));
        request = match (&method, route.multipart) {
            (&Method::GET, _) if route.is_page() => request.header("accept", "text/html"),
            (&Method::GET, _) => request,
            (_, true) => request.multipart(Form::new()),
            (_, false) => request.json(&body),
        };
        let answer = request.send().await.with_context(|| route.name())?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(!status.is_server_error(), "{} as {actor}: {status} {text}", route.name());
        if status.is_success() && method != Method::GET {
            self.made.clear();
            if route.path.starts_with("/api/v1/session") {
                self.sign_in_again(actor).await?;
            }
        }
        Ok(status)
    }
}

/// Now and for long: from in the past, until a day that comes within the longest absence.
fn away() -> Value {
    let now = jiff::Zoned::now();
    let at = |days: i64| {
        let day = now.checked_add(jiff::Span::new().days(days)).unwrap_or_else(|_| now.clone());
        day.strftime("%Y-%m-%dT%H:%M").to_string()
    };
    json!({ "from": at(1), "until": at(3) })
}

/// What an attacker would look for; independent of the golden table.
fn faults(route: &Route, cells: &[StatusCode]) -> Vec<String> {
    let mut faults = Vec::new();
    let name = route.name();
    let public = PUBLIC.contains(&name.as_str());
    for (actor, status) in ACTORS.iter().zip(cells) {
        let refused = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(status);
        let wrong = match *actor {
            "anonymous" if public => false,
            "anonymous" => *status != if route.is_page() { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED },
            "other" => route.is_of_owner() && !refused,
            "token" => route.method != "GET" && !public && *status != StatusCode::FORBIDDEN,
            _ => false,
        };
        if wrong {
            faults.push(format!("{name}: {actor} gets {}", status.as_u16()));
        }
    }
    if !cells.iter().any(|s| !matches!(s.as_u16(), 401 | 403 | 404)) && !public && !NOBODY.contains(&name.as_str()) {
        faults.push(format!("{name}: nobody gets through, so the row proves nothing"));
    }
    faults
}

#[tokio::test]
async fn every_route_answers_every_actor_as_written() -> Test {
    let mut world = World::new().await?;
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let mut problems = Vec::new();
    for route in routes()? {
        let mut cells = Vec::new();
        for actor in ACTORS {
            cells.push(world.ask_route(&route, actor).await.with_context(|| format!("{} as {actor}", route.name()))?);
        }
        let codes: String = cells.iter().map(|s| format!("{:<10}", s.as_u16())).collect();
        rows.insert(
            format!("{} {}", route.path, route.method),
            format!("{:<6} {:<44} {}", route.method, route.path, codes.trim_end()),
        );
        problems.extend(faults(&route, &cells));
    }
    let head: String = ACTORS.iter().map(|a| format!("{a:<10}")).collect();
    let mut table = format!("{:<6} {:<44} {}\n", "", "", head.trim_end());
    for row in rows.values() {
        writeln!(table, "{row}")?;
    }
    compare(&table)?;
    ensure!(problems.is_empty(), "rights:\n  {}", problems.join("\n  "));
    Ok(())
}

fn compare(table: &str) -> Test {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/rights.txt");
    if std::env::var_os("MADANG_BLESS").is_some() {
        return Ok(std::fs::write(path, table)?);
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let gone = golden.lines().filter(|line| !table.lines().any(|l| l == *line)).map(|line| format!("- {line}"));
    let new = table.lines().filter(|line| !golden.lines().any(|l| l == *line)).map(|line| format!("+ {line}"));
    let difference: Vec<_> = gone.chain(new).collect();
    ensure!(
        difference.is_empty(),
        "tests/golden/rights.txt differs (MADANG_BLESS=1 rewrites it):\n{}",
        difference.join("\n")
    );
    Ok(())
}

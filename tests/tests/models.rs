//! A model of random weights behind the real server: apps answer with it, OpenAI's routes serve it and the apps with
//! the caller's rights, the admin chooses the engine.

use anyhow::{Context, ensure};
use madang_tests::{City, Client, Madang, model};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::Command;

type Test = anyhow::Result<()>;

const RULES: &str =
    "# 당직 근무 지침\n\n## 제2조(당직 보고)\n당직자는 사고가 나면 30분 이내에 당직사령에게 보고하여야 한다.\n";

struct World {
    server: Madang,
    city: City,
    /// May run, as a script of the official's.
    script: Client,
    secret: String,
    model: String,
    app: String,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let file = model("qwen3", "q8_0")?;
        let server = Madang::start_with(&["--model", file.to_str().context("path")?])?;
        let city = City::build(&server).await?;
        let collection = city.collection("당직 자료", "O", false).await?;
        let official = &city.ict_official.client;
        official.upload_ready(&collection, "당직 근무 지침.md", RULES).await?;
        let sheet = json!({
            "title": "당직 안내", "purpose": "당직 지침을 찾아 답한다", "task": "question_answering",
            "sentences": [{ "text": "물음에 자료의 근거를 붙여 답한다." }],
            "inputs": [{ "key": "question", "label": "물음", "kind": { "type": "text" }, "required": true }],
            "sources": [{ "type": "collection", "id": collection, "name": "당직 자료" }],
            "output": { "type": "answer" }, "outside": "never"
        });
        let draft = official.ok(Method::POST, "/api/v1/drafts", json!({ "sheet": sheet })).await?;
        let path = format!("/api/v1/drafts/{}", draft["id"].as_str().context("draft")?);
        let revision = official.json(&path).await?["revision"].clone();
        let saved =
            official.ok(Method::POST, &format!("{path}/versions"), json!({ "revision": revision, "note": "" })).await?;
        let app = saved["app"].as_str().with_context(|| saved.to_string())?.to_owned();
        let token = json!({ "name": "스크립트", "scope": "run", "days": 1 });
        let made = official.ok(Method::POST, "/api/v1/tokens", token).await?;
        let secret = made["secret"].as_str().context("secret")?.to_owned();
        let script = Client::with_token(&server.base, &secret)?;
        let model = file.file_stem().context("stem")?.to_string_lossy().into_owned();
        Ok(Self { server, city, script, secret, model, app })
    }

    async fn chat(&self, client: &Client, body: Value) -> anyhow::Result<(StatusCode, Value)> {
        let answer = client.post("/v1/chat/completions", body).await?;
        let status = answer.status();
        Ok((status, answer.json().await?))
    }
}

fn said(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

#[tokio::test]
async fn a_model_answers_apps_and_clients() -> Test {
    let world = World::new().await?;
    the_app_names_its_engine(&world).await?;
    the_model_is_served(&world).await?;
    replies_stream(&world).await?;
    schemas_hold(&world).await?;
    what_is_not_served_is_said(&world).await?;
    an_app_is_a_model_with_the_callers_rights(&world).await?;
    the_admin_chooses(&world).await?;
    openai_clients_work(&world)
}

async fn the_app_names_its_engine(world: &World) -> Test {
    let official = &world.city.ict_official.client;
    let body = json!({ "inputs": { "question": "사고가 나면 언제까지 보고합니까?" } });
    let run = official.ok(Method::POST, &format!("/api/v1/apps/{}/runs", world.app), body).await?;
    assert_eq!(run["engine"]["name"], world.model.as_str(), "{run}");
    assert_eq!(run["state"], "done", "{run}");
    // Random weights write no sense; that no invented source is cited can be seen all the same.
    for citation in run["citations"].as_array().context("citations")? {
        assert_eq!(citation["document_title"], "당직 근무 지침", "{run}");
    }
    Ok(())
}

async fn the_model_is_served(world: &World) -> Test {
    let models = world.script.json("/v1/models").await?;
    let ids: Vec<&str> = models["data"].as_array().context("data")?.iter().filter_map(|m| m["id"].as_str()).collect();
    ensure!(ids.contains(&world.model.as_str()), "{models}");
    ensure!(ids.iter().any(|id| id.starts_with("app:")), "the bundled apps are there: {models}");
    for id in [world.model.as_str(), ids.iter().copied().find(|id| id.starts_with("app:")).context("an app")?] {
        let one = world.script.json(&format!("/v1/models/{id}")).await?;
        ensure!(one["id"] == id && one["object"] == "model", "{one}");
    }
    let body = json!({
        "model": world.model, "messages": said("안녕"), "max_tokens": 8, "temperature": 0, "logprobs": true, "top_logprobs": 2,
    });
    let (status, reply) = world.chat(&world.script, body.clone()).await?;
    ensure!(status == StatusCode::OK, "{reply}");
    let used = reply["usage"]["completion_tokens"].as_u64().context("usage")?;
    ensure!(used <= 8 && reply["usage"]["prompt_tokens"].as_u64() > Some(0), "{reply}");
    let logprobs = reply["choices"][0]["logprobs"]["content"].as_array().context("logprobs")?;
    ensure!(logprobs.len() as u64 == used && logprobs[0]["top_logprobs"].as_array().is_some_and(|t| t.len() == 2));
    let (_, again) = world.chat(&world.script, body).await?;
    assert_eq!(reply["choices"][0]["message"], again["choices"][0]["message"], "greedy says the same twice");
    Ok(())
}

async fn replies_stream(world: &World) -> Test {
    let whole = json!({ "model": world.model, "messages": said("하나"), "max_tokens": 12, "temperature": 0 });
    let (_, reply) = world.chat(&world.script, whole.clone()).await?;
    let mut streamed = whole;
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({ "include_usage": true });
    let events = world.script.events("/v1/chat/completions", streamed).await?;
    ensure!(events.last().is_some_and(|e| e.data == "[DONE]"), "the stream ends");
    let chunks: Vec<&Value> = events[..events.len() - 1].iter().map(|e| &e.data).collect();
    let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, reply["choices"][0]["message"]["content"].as_str().context("content")?);
    ensure!(chunks.last().is_some_and(|c| c["usage"]["total_tokens"].is_u64()), "the last chunk tells the usage");
    Ok(())
}

async fn schemas_hold(world: &World) -> Test {
    let schema = json!({
        "type": "object", "required": ["ok", "word"], "additionalProperties": false,
        "properties": { "ok": { "type": "boolean" }, "word": { "type": "string", "maxLength": 5 } }
    });
    for seed in 0..3 {
        let body = json!({
            "model": world.model, "messages": said("써라"), "max_tokens": 400, "seed": seed,
            "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema } }
        });
        let (status, reply) = world.chat(&world.script, body).await?;
        ensure!(status == StatusCode::OK, "{reply}");
        let text = reply["choices"][0]["message"]["content"].as_str().context("content")?;
        let document: Value = serde_json::from_str(text).with_context(|| text.to_owned())?;
        ensure!(document["ok"].is_boolean() && document["word"].is_string(), "{document}");
    }
    Ok(())
}

async fn what_is_not_served_is_said(world: &World) -> Test {
    let with = |key: &str, value: Value| {
        let mut body = json!({ "model": world.model, "messages": said("안녕") });
        body[key] = value;
        body
    };
    for (key, value, status) in [
        ("model", json!("gpt-4"), 404),
        ("n", json!(2), 422),
        ("tools", json!([{ "type": "function" }]), 422),
        ("messages", json!([]), 422),
        ("messages", json!([{ "role": "user", "content": [{ "type": "image_url" }] }]), 422),
        ("messages", said(&"가".repeat(200_000)), 422),
        ("response_format", json!({ "type": "xml" }), 422),
        ("top_p", json!(0), 422),
        ("max_tokens", json!(0), 422),
        ("functions", json!([{ "name": "f" }]), 422),
        ("top_logprobs", json!(2), 422),
        ("stop", json!(["1", "2", "3", "4", "5"]), 422),
        ("stop", json!("길다".repeat(100)), 422),
    ] {
        let (got, reply) = world.chat(&world.script, with(key, value)).await?;
        ensure!(got.as_u16() == status, "{key}: {got} {reply}");
        ensure!(reply["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{key}: {reply}");
    }
    // What clients send for "nothing" is nothing.
    let mut plain = with("stream", Value::Null);
    (plain["logprobs"], plain["max_tokens"]) = (Value::Null, json!(2));
    let (got, reply) = world.chat(&world.script, plain).await?;
    ensure!(got == StatusCode::OK, "{reply}");
    for input in [json!([[1, 2, 3]]), json!([1, 2])] {
        let body = json!({ "model": world.model, "input": input });
        let reply: Value = world.script.post("/v1/embeddings", body).await?.json().await?;
        ensure!(reply["error"]["message"].as_str().is_some_and(|m| m.contains("토큰 번호")), "{reply}");
    }
    Ok(())
}

async fn an_app_is_a_model_with_the_callers_rights(world: &World) -> Test {
    let body = json!({ "model": format!("app:{}", world.app), "messages": said("언제까지 보고합니까?") });
    let (status, reply) = world.chat(&world.script, body.clone()).await?;
    ensure!(status == StatusCode::OK, "{reply}");
    ensure!(reply["choices"][0]["message"]["content"].is_string(), "{reply}");
    for (key, value) in
        [("stop", json!(".")), ("max_tokens", json!(5)), ("response_format", json!({ "type": "json_object" }))]
    {
        let mut more = body.clone();
        more[key] = value;
        let (status, reply) = world.chat(&world.script, more).await?;
        ensure!(status == StatusCode::UNPROCESSABLE_ENTITY && reply["error"]["field"] == key, "{reply}");
    }
    // Nobody in another department sees the app: it is not shared.
    let (status, reply) = world.chat(&world.city.civil_official.client, body).await?;
    ensure!(status == StatusCode::NOT_FOUND, "{reply}");
    Ok(())
}

async fn the_admin_chooses(world: &World) -> Test {
    let admin = &world.city.admin.client;
    let overview = admin.json("/api/v1/models").await?;
    assert_eq!(overview["choice"], "auto");
    assert_eq!(overview["answering"], world.model.as_str());
    ensure!(overview["loaded"][0]["metrics"]["requests"].as_u64() > Some(0), "{overview}");
    let (status, page) = admin.page("/admin/models").await?;
    ensure!(status == StatusCode::OK && page.contains(&world.model), "{status}");
    admin.ok(Method::PUT, "/api/v1/models/choice", json!({ "choice": "quoting" })).await?;
    let official = &world.city.ict_official.client;
    let body = json!({ "inputs": { "question": "사고가 나면 언제까지 보고합니까?" } });
    let run = official.ok(Method::POST, &format!("/api/v1/apps/{}/runs", world.app), body).await?;
    assert_eq!(run["engine"]["name"], "quoting", "{run}");
    ensure!(run["answer"].as_str().is_some_and(|a| a.contains("30분 이내")), "{run}");
    for (choice, status) in [("model:none", 404), ("gpt", 422)] {
        let answer = admin.send(Method::PUT, "/api/v1/models/choice", json!({ "choice": choice })).await?;
        assert_eq!(answer.status().as_u16(), status, "{choice}");
    }
    admin.ok(Method::PUT, "/api/v1/models/choice", json!({ "choice": "auto" })).await?;
    Ok(())
}

/// The official Python client, where it is installed (`MADANG_PEER_PYTHON`).
fn openai_clients_work(world: &World) -> Test {
    let Some(python) = std::env::var_os("MADANG_PEER_PYTHON") else {
        eprintln!("skipped: MADANG_PEER_PYTHON names no Python with the package openai");
        return Ok(());
    };
    let script = r"
import sys
from openai import OpenAI, NotFoundError
client = OpenAI(base_url=sys.argv[1] + '/v1', api_key=sys.argv[2])
model, app = sys.argv[3], 'app:' + sys.argv[4]
assert model in [m.id for m in client.models.list()]
said = [{'role': 'user', 'content': '안녕'}]
reply = client.chat.completions.create(model=model, messages=said, max_tokens=8, temperature=0)
stream = client.chat.completions.create(model=model, messages=said, max_tokens=8, temperature=0, stream=True)
text = ''.join(c.choices[0].delta.content or '' for c in stream if c.choices)
assert text == reply.choices[0].message.content, (text, reply)
answer = client.chat.completions.create(model=app, messages=[{'role': 'user', 'content': '언제 보고합니까?'}])
assert answer.choices[0].finish_reason == 'stop'
try:
    client.chat.completions.create(model='none', messages=said)
    raise SystemExit('a model that is not there')
except NotFoundError as error:
    assert '모델' in str(error)
";
    let done = Command::new(python)
        .args(["-c", script, &world.server.base, &world.secret, &world.model, &world.app])
        .output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

//! What goes over OpenAI's routes: bodies as their clients send them, checked; what is not served here is refused by its
//! name, never ignored.

use crate::error::{Failure, Handled};
use madang_inference::{ChatRequest, Constraint, Message, Role, Sampling};
use madang_registry::runner::Caller;
use rand::random;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Tokens of a reply where the client names no number.
const TOKENS: usize = 1_024;
/// Most strings that end a reply, as with OpenAI, and the longest of them in bytes: each is looked for after every token.
const MOST_STOPS: usize = 4;
const LONGEST_STOP: usize = 256;
/// Longest time of one reply.
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Serialize, ToSchema)]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
pub struct Model {
    pub id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    /// Title of an app.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Model {
    pub fn local(name: &str) -> Self {
        Self { id: name.to_owned(), object: "model", created: 0, owned_by: "madang", name: None }
    }

    pub fn app(id: &str, title: String, created: i64) -> Self {
        Self { id: format!("app:{id}"), object: "model", created, owned_by: "app", name: Some(title) }
    }
}

/// Text as one string, or in parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Many(texts) => texts.clone(),
        }
    }
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<NamedSchema>,
}

#[derive(Deserialize)]
struct NamedSchema {
    schema: Option<Value>,
}

/// A body of `/v1/chat/completions`.
#[derive(Deserialize)]
pub struct ChatBody {
    pub model: String,
    messages: Vec<Turn>,
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    response_format: Option<ResponseFormat>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
    n: Option<usize>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<serde_json::Map<String, Value>>,
}

impl ChatBody {
    /// # Errors
    /// 422 naming the parameter that is not served here or has a value out of bounds.
    pub fn check(&self) -> Handled<()> {
        let filled = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|l| !l.is_empty());
        let unserved = [
            ("n", self.n.is_some_and(|n| n != 1)),
            ("tools", filled(&self.tools)),
            ("functions", filled(&self.functions)),
            ("presence_penalty", self.presence_penalty.is_some_and(|p| p != 0.0)),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|p| p != 0.0)),
            ("logit_bias", self.logit_bias.as_ref().is_some_and(|b| !b.is_empty())),
        ];
        refuse(&unserved, "여기서 쓸 수 없습니다")?;
        if self.messages.is_empty() {
            return Err(Failure::invalid("messages", "메시지를 하나 이상 보내 주세요."));
        }
        if self.most_tokens() == Some(0) {
            return Err(Failure::invalid("max_tokens", "max_tokens는 1 이상으로 보내 주세요."));
        }
        if self.top_logprobs.is_some_and(|n| n > 20 || (n > 0 && !self.logprobs())) {
            let message = "top_logprobs는 logprobs를 true로 하고 20 이하로 보내 주세요.";
            return Err(Failure::invalid("top_logprobs", message));
        }
        self.check_stop()
    }

    fn check_stop(&self) -> Handled<()> {
        let stops = self.stops();
        if stops.len() > MOST_STOPS || stops.iter().any(|s| s.len() > LONGEST_STOP) {
            let message =
                format!("stop에는 글을 {MOST_STOPS}개까지, 하나에 {LONGEST_STOP}바이트까지 넣을 수 있습니다.");
            return Err(Failure::invalid("stop", message));
        }
        if !stops.is_empty() && self.formatted() {
            let message =
                "stop과 response_format은 함께 쓸 수 없습니다. stop이 JSON을 도중에 끊습니다. 하나를 빼고 보내 주세요.";
            return Err(Failure::invalid("stop", message));
        }
        Ok(())
    }

    /// What only models know: an app's own sheet says how its answer looks and how long it is.
    ///
    /// # Errors
    /// 422 naming the parameter.
    pub fn check_app(&self) -> Handled<()> {
        let unserved = [
            ("response_format", self.formatted()),
            ("stop", !self.stops().is_empty()),
            ("max_tokens", self.most_tokens().is_some()),
            ("logprobs", self.logprobs()),
        ];
        refuse(&unserved, "앱에는 쓸 수 없습니다. 답의 꼴과 길이는 앱이 정합니다")
    }

    fn formatted(&self) -> bool {
        self.response_format.as_ref().is_some_and(|f| f.kind != "text")
    }

    fn stops(&self) -> Vec<String> {
        self.stop.as_ref().map(OneOrMany::list).unwrap_or_default()
    }

    fn most_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn logprobs(&self) -> bool {
        self.logprobs == Some(true)
    }

    pub fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    /// The stream ends with what it cost.
    pub fn tells_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|o| o.include_usage)
    }

    /// The last thing the person said.
    ///
    /// # Errors
    /// 422 where there is none.
    pub fn last_user(&self) -> Handled<&str> {
        let turn = self.messages.iter().rev().find(|t| t.role == "user");
        match turn.and_then(|t| t.content.as_ref()) {
            Some(Content::Text(text)) => Ok(text),
            Some(Content::Parts(parts)) => match parts.as_slice() {
                [Part { kind, text: Some(text) }] if kind == "text" => Ok(text),
                _ => Err(Failure::invalid("messages", "앱에는 글 하나를 보내 주세요.")),
            },
            None => Err(Failure::invalid("messages", "user 메시지를 보내 주세요.")),
        }
    }

    /// The request to a model.
    ///
    /// # Errors
    /// 422 for roles, contents or formats that are not served here.
    pub fn request(&self, caller: Caller) -> Handled<ChatRequest> {
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            seed: self.seed.map_or_else(random, i64::cast_unsigned),
            ..Sampling::default()
        };
        Ok(ChatRequest {
            messages: self.messages.iter().map(message).collect::<Handled<_>>()?,
            max_tokens: self.most_tokens().unwrap_or(TOKENS),
            sampling,
            stop: self.stops(),
            constraint: self.response_format.as_ref().map_or(Ok(None), constraint)?,
            logprobs: self.logprobs().then(|| self.top_logprobs.unwrap_or(0)),
            thinking: false,
            scope: caller.scope,
            asker: caller.asker,
            deadline: Some(Instant::now() + LONGEST),
        })
    }
}

/// Refuses the first parameter that is `true`, by its name.
fn refuse(unserved: &[(&str, bool)], why: &str) -> Handled<()> {
    match unserved.iter().find(|(_, sent)| *sent) {
        Some((name, _)) => Err(Failure::invalid(name, format!("{name} 설정은 {why}. 빼고 보내 주세요."))),
        None => Ok(()),
    }
}

fn message(turn: &Turn) -> Handled<Message> {
    let role = match turn.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(Failure::invalid("messages", format!("역할 ‘{other}’은(는) 여기서 쓸 수 없습니다."))),
    };
    let text = match &turn.content {
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => {
            if let Some(other) = parts.iter().find(|p| p.kind != "text") {
                return Err(Failure::invalid(
                    "messages",
                    format!("‘{}’ 내용은 읽지 못합니다. 글만 보내 주세요.", other.kind),
                ));
            }
            parts.iter().filter_map(|p| p.text.as_deref()).collect()
        }
        None => String::new(),
    };
    Ok(Message::new(role, text))
}

fn constraint(format: &ResponseFormat) -> Handled<Option<Constraint>> {
    match (format.kind.as_str(), &format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Constraint::JsonSchema(serde_json::json!({ "type": "object" })))),
        ("json_schema", Some(NamedSchema { schema: Some(schema) })) => Ok(Some(Constraint::JsonSchema(schema.clone()))),
        _ => Err(Failure::invalid(
            "response_format",
            "response_format은 text, json_object, json_schema 가운데 하나로 보내 주세요.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(more: Value) -> ChatBody {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "안녕" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(body).expect("a body")
    }

    #[test]
    fn what_clients_send_for_nothing_is_taken() {
        for more in [
            json!({ "stream": null, "logprobs": null, "stop": null, "tools": null, "n": null, "stream_options": null }),
            json!({ "stream": false, "logprobs": false, "top_logprobs": 0, "stop": [], "functions": [] }),
            json!({ "stop": ["a", "b", "c", "d"], "response_format": { "type": "text" } }),
        ] {
            body(more.clone()).check().unwrap_or_else(|e| panic!("{more}: {}", e.message));
        }
        assert!(body(json!({ "response_format": { "type": "text" }, "temperature": 0.5 })).check_app().is_ok());
    }

    #[test]
    fn what_is_not_served_is_refused_by_its_name() {
        let format = json!({ "type": "json_object" });
        for (field, more) in [
            ("functions", json!({ "functions": [{ "name": "f" }] })),
            ("top_logprobs", json!({ "top_logprobs": 3 })),
            ("top_logprobs", json!({ "logprobs": true, "top_logprobs": 21 })),
            ("max_tokens", json!({ "max_tokens": 0 })),
            ("stop", json!({ "stop": ["1", "2", "3", "4", "5"] })),
            ("stop", json!({ "stop": "가".repeat(100) })),
            ("stop", json!({ "stop": "}", "response_format": format })),
        ] {
            let refused = body(more.clone()).check().err().unwrap_or_else(|| panic!("{more}"));
            assert_eq!((refused.status.as_u16(), refused.field.as_deref()), (422, Some(field)), "{more}");
        }
        for (field, more) in [
            ("response_format", json!({ "response_format": format })),
            ("stop", json!({ "stop": "." })),
            ("max_tokens", json!({ "max_completion_tokens": 9 })),
            ("logprobs", json!({ "logprobs": true })),
        ] {
            assert_eq!(body(more).check_app().unwrap_err().field.as_deref(), Some(field));
        }
    }
}

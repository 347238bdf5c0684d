//! What goes over OpenAI's routes: bodies as their clients send them, checked; what is not served here is refused by its
//! name, never ignored.

use crate::error::{Failure, Handled};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use madang_inference::embed::Embedding;
use madang_inference::{ChatRequest, Constraint, Message, Role, Sampling};
use madang_registry::runner::Caller;
use rand::random;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Tokens of a reply where the client names no number.
const TOKENS: usize = 1_024;
/// Most texts in one call for embeddings.
const MOST_TEXTS: usize = 256;
/// Longest time of one reply.
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Serialize, ToSchema)]
pub struct ModelList {
    pub object: &'static str,
    pub data: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
pub struct Model {
    id: String,
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
    #[serde(default)]
    pub stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    response_format: Option<ResponseFormat>,
    #[serde(default)]
    logprobs: bool,
    top_logprobs: Option<usize>,
    n: Option<usize>,
    tools: Option<Vec<Value>>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<serde_json::Map<String, Value>>,
}

impl ChatBody {
    /// # Errors
    /// 422 naming the parameter that is not served here.
    pub fn check(&self) -> Handled<()> {
        let unserved = [
            ("n", self.n.is_some_and(|n| n != 1)),
            ("tools", self.tools.as_ref().is_some_and(|t| !t.is_empty())),
            ("presence_penalty", self.presence_penalty.is_some_and(|p| p != 0.0)),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|p| p != 0.0)),
            ("logit_bias", self.logit_bias.as_ref().is_some_and(|b| !b.is_empty())),
            ("top_logprobs", self.top_logprobs.is_some_and(|n| n > 20)),
        ];
        match unserved.iter().find(|(_, wrong)| *wrong) {
            Some((name, _)) => {
                Err(Failure::invalid(name, format!("{name} 설정은 여기서 쓸 수 없습니다. 빼고 보내 주세요.")))
            }
            None if self.messages.is_empty() => Err(Failure::invalid("messages", "메시지를 하나 이상 보내 주세요.")),
            None => Ok(()),
        }
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
            max_tokens: self.max_completion_tokens.or(self.max_tokens).unwrap_or(TOKENS),
            sampling,
            stop: self.stop.as_ref().map(OneOrMany::list).unwrap_or_default(),
            constraint: self.response_format.as_ref().map_or(Ok(None), constraint)?,
            logprobs: self.logprobs.then(|| self.top_logprobs.unwrap_or(0)),
            thinking: false,
            scope: caller.scope,
            asker: caller.asker,
            deadline: Some(Instant::now() + LONGEST),
        })
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

/// A body of `/v1/embeddings`. `query` is ours: the texts are questions, not passages.
#[derive(Deserialize)]
pub struct EmbeddingsBody {
    pub model: String,
    input: OneOrMany,
    encoding_format: Option<String>,
    #[serde(default)]
    pub query: bool,
}

impl EmbeddingsBody {
    /// # Errors
    /// 422 for no texts or too many.
    pub fn texts(&self) -> Handled<Vec<String>> {
        let texts = self.input.list();
        if texts.is_empty() || texts.len() > MOST_TEXTS {
            return Err(Failure::invalid("input", format!("글을 1개에서 {MOST_TEXTS}개까지 보내 주세요.")));
        }
        Ok(texts)
    }

    /// Vectors as base64 of little-endian floats, which OpenAI's own client asks for.
    pub fn base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }
}

#[derive(Serialize, ToSchema)]
pub struct EmbeddingList {
    object: &'static str,
    data: Vec<EmbeddingItem>,
    model: String,
    #[schema(value_type = Object)]
    usage: Value,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingItem {
    object: &'static str,
    index: usize,
    #[schema(value_type = Object)]
    embedding: Value,
}

impl EmbeddingList {
    pub fn new(model: String, made: Vec<Embedding>, base64: bool) -> Self {
        let tokens: usize = made.iter().map(|e| e.tokens).sum();
        let value = |vector: &[f32]| {
            if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
                Value::String(STANDARD.encode(bytes))
            } else {
                Value::from(vector.to_vec())
            }
        };
        let data = made
            .iter()
            .enumerate()
            .map(|(index, e)| EmbeddingItem { object: "embedding", index, embedding: value(&e.vector) })
            .collect();
        let usage = serde_json::json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Self { object: "list", data, model, usage }
    }
}

//! The OpenAI-compatible wire format: a request as JSON, and the pieces of a streamed reply.

use crate::chat::{ChatError, ChatRequest, Constraint, StepLogprobs, StopReason, TokenLogprob};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a server takes a Lark grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrammarSupport {
    /// Not at all: requests with a grammar go to other servers or are refused.
    #[default]
    None,
    /// vLLM with the guidance backend, up to 0.11: `guided_grammar`.
    GuidedGrammar,
    /// vLLM with the guidance backend, since 0.12: `structured_outputs.grammar`.
    StructuredOutputs,
    /// llama.cpp built with llguidance: `grammar` that opens with `%llguidance {}`.
    LlamaCpp,
}

/// The request's body for a server that calls the model `model`.
///
/// # Errors
/// [`ChatError::Invalid`] for a grammar that the server cannot take.
pub(super) fn body(request: &ChatRequest, model: &str, grammar: GrammarSupport) -> Result<Vec<u8>, ChatError> {
    let mut body = json!({
        "model": model,
        "messages": request.messages,
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        // Servers read a signed number.
        "seed": request.sampling.seed & (i64::MAX as u64),
        "stream": true,
        "stream_options": { "include_usage": true },
        "chat_template_kwargs": { "enable_thinking": request.thinking },
    });
    let mut put = |key: &str, value: Value| {
        if let Some(map) = body.as_object_mut() {
            map.insert(key.to_owned(), value);
        }
    };
    let sampling = &request.sampling;
    if sampling.top_p < 1.0 {
        put("top_p", json!(sampling.top_p));
    }
    if sampling.top_k > 0 {
        put("top_k", json!(sampling.top_k));
    }
    if sampling.min_p > 0.0 {
        put("min_p", json!(sampling.min_p));
    }
    if sampling.repetition_penalty != 1.0 {
        // vLLM and TGI, and llama.cpp.
        put("repetition_penalty", json!(sampling.repetition_penalty));
        put("repeat_penalty", json!(sampling.repetition_penalty));
    }
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    if let Some(alternatives) = request.logprobs {
        put("logprobs", json!(true));
        put("top_logprobs", json!(alternatives));
    }
    match &request.constraint {
        None => {}
        Some(Constraint::JsonSchema(schema)) => {
            let named = json!({ "name": "answer", "strict": true, "schema": schema });
            put("response_format", json!({ "type": "json_schema", "json_schema": named }));
        }
        Some(Constraint::Lark(text)) => match grammar {
            GrammarSupport::None => return Err(no_grammar()),
            GrammarSupport::GuidedGrammar => put("guided_grammar", json!(text)),
            GrammarSupport::StructuredOutputs => put("structured_outputs", json!({ "grammar": text })),
            GrammarSupport::LlamaCpp => put("grammar", json!(format!("%llguidance {{}}\n{text}"))),
        },
    }
    serde_json::to_vec(&body).map_err(|e| ChatError::Invalid(format!("요청을 적지 못했습니다: {e}")))
}

/// No server takes a grammar.
pub(super) fn no_grammar() -> ChatError {
    ChatError::Invalid(
        "이 모델 서버는 문법으로 답을 제한할 수 없습니다. 문법을 쓸 수 있는 서버를 더하거나 JSON 스키마를 쓰세요."
            .into(),
    )
}

/// One event of a streamed reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    choices: Vec<Choice>,
    pub usage: Option<WireUsage>,
    /// Servers that fail midway send this in place of a choice.
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Delta,
    logprobs: Option<WireLogprobs>,
    finish_reason: Option<String>,
}

/// Thinking that a server tells apart (`reasoning_content`) is not part of the reply and not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireLogprobs {
    content: Option<Vec<WireStep>>,
}

#[derive(Debug, Deserialize)]
struct WireStep {
    #[serde(flatten)]
    chosen: WireToken,
    #[serde(default)]
    top_logprobs: Vec<WireToken>,
}

#[derive(Debug, Deserialize)]
struct WireToken {
    token: String,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    logprob: f32,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct PromptDetails {
    pub cached_tokens: Option<usize>,
}

/// What one chunk says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub text: String,
    pub logprobs: Vec<StepLogprobs>,
    pub reason: Option<StopReason>,
}

impl Chunk {
    /// Reads the data of one event.
    ///
    /// # Errors
    /// What the server says went wrong, or that it cannot be read; for the admin's screen.
    pub fn read(data: &str) -> Result<Self, String> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|e| format!("읽을 수 없는 조각: {e}"))?;
        match &chunk.error {
            Some(error) => Err(message_of(error)),
            None => Ok(chunk),
        }
    }

    /// The first choice's words: one was asked for.
    pub fn said(&mut self) -> Said {
        let Some(choice) = self.choices.drain(..).next() else {
            return Said::default();
        };
        let steps = choice.logprobs.and_then(|l| l.content).unwrap_or_default();
        Said {
            text: choice.delta.content.unwrap_or_default(),
            logprobs: steps.into_iter().map(step).collect(),
            reason: choice
                .finish_reason
                .map(|reason| if reason == "length" { StopReason::Length } else { StopReason::Stop }),
        }
    }
}

fn step(step: WireStep) -> StepLogprobs {
    StepLogprobs { chosen: token(step.chosen), top: step.top_logprobs.into_iter().map(token).collect() }
}

fn token(token: WireToken) -> TokenLogprob {
    let bytes = token.bytes.unwrap_or_else(|| token.token.clone().into_bytes());
    TokenLogprob { token: token.token, bytes, logprob: token.logprob }
}

/// Longest message of a server that is kept.
const MAX_MESSAGE: usize = 300;

/// The words of an error body, short and printable.
pub(super) fn message_of(error: &Value) -> String {
    let inner = error.get("error").unwrap_or(error);
    let words = inner.get("message").or(inner.get("detail")).unwrap_or(inner);
    let words = words.as_str().map_or_else(|| words.to_string(), str::to_owned);
    words.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

/// Does the message say that the prompt does not fit? vLLM, llama.cpp and TGI word it differently.
pub(super) fn says_too_long(message: &str) -> bool {
    let message = message.to_lowercase();
    ["maximum context length", "context_length", "context size", "exceeds the available context", "inputs tokens +"]
        .iter()
        .any(|w| message.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Asker, Message, Role, Sampling, ScopeKey};

    fn request(constraint: Option<Constraint>) -> ChatRequest {
        ChatRequest {
            messages: vec![Message::new(Role::User, "안녕하세요")],
            max_tokens: 10,
            sampling: Sampling { seed: u64::MAX, top_k: 5, ..Sampling::default() },
            stop: vec!["\n\n".into()],
            constraint,
            logprobs: Some(2),
            thinking: false,
            scope: ScopeKey([0; 32]),
            asker: Asker("kim".into()),
            deadline: None,
        }
    }

    fn sent(constraint: Option<Constraint>, grammar: GrammarSupport) -> Value {
        serde_json::from_slice(&body(&request(constraint), "m", grammar).unwrap()).unwrap()
    }

    #[test]
    fn requests_say_what_was_asked() {
        let body = sent(None, GrammarSupport::None);
        assert_eq!(body["messages"][0], json!({ "role": "user", "content": "안녕하세요" }));
        assert_eq!((&body["top_k"], &body["seed"], &body["top_logprobs"]), (&json!(5), &json!(i64::MAX), &json!(2)));
        assert!(body.get("top_p").is_none() && body.get("response_format").is_none());
        let schema = json!({ "type": "object" });
        let body = sent(Some(Constraint::JsonSchema(schema.clone())), GrammarSupport::None);
        assert_eq!(body["response_format"]["json_schema"]["schema"], schema);
    }

    #[test]
    fn grammars_go_only_where_they_are_understood() {
        let lark = || Some(Constraint::Lark("start: \"x\"".into()));
        assert!(matches!(body(&request(lark()), "m", GrammarSupport::None), Err(ChatError::Invalid(_))));
        assert_eq!(sent(lark(), GrammarSupport::GuidedGrammar)["guided_grammar"], "start: \"x\"");
        assert_eq!(sent(lark(), GrammarSupport::StructuredOutputs)["structured_outputs"]["grammar"], "start: \"x\"");
        assert_eq!(sent(lark(), GrammarSupport::LlamaCpp)["grammar"], "%llguidance {}\nstart: \"x\"");
    }

    #[test]
    fn chunks_are_read_leniently() {
        let mut chunk = Chunk::read(
            r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"가"},"logprobs":{"content":[{"token":"가","logprob":-0.5,"bytes":[234,176,128],"top_logprobs":[{"token":"나","logprob":-1.0}]}]},"finish_reason":null}]}"#,
        )
        .unwrap();
        let said = chunk.said();
        assert_eq!((said.text.as_str(), said.reason, said.logprobs[0].top[0].bytes.len()), ("가", None, 3));
        let mut last = Chunk::read(r#"{"choices":[{"delta":{},"finish_reason":"length"}],"usage":null}"#).unwrap();
        assert_eq!(last.said().reason, Some(StopReason::Length));
        let usage = Chunk::read(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#).unwrap().usage;
        assert_eq!(usage.map(|u| (u.prompt_tokens, u.completion_tokens)), Some((3, 4)));
        assert_eq!(Chunk::read(r#"{"error":{"message":"out of\nmemory"}}"#).unwrap_err(), "out ofmemory");
        assert!(Chunk::read("[DONE").is_err());
    }
}

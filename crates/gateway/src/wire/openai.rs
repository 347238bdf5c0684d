//! Chat completions as OpenAI defined them and most servers speak them: `{base}/chat/completions`, a bearer key, and
//! data-only events that end with `[DONE]`. Azure's form writes and reads the same bodies.

use super::{Adapter, Ask, Said, Usage, text_at};
use crate::envelope::PartRole;
use serde::{Serialize, Serializer};
use serde_json::Value;

pub(super) struct OpenAi;

/// Families that refuse `max_tokens` and want `max_completion_tokens`; other servers know the former alone.
const NEWER: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];

#[derive(Serialize)]
struct Outgoing<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(serialize_with = "role")]
    role: PartRole,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

pub(super) fn role_name(role: PartRole) -> &'static str {
    match role {
        PartRole::System => "system",
        PartRole::User => "user",
        PartRole::Assistant => "assistant",
    }
}

fn role<S: Serializer>(role: &PartRole, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role_name(*role))
}

impl Adapter for OpenAi {
    fn path(&self, _: &str, _: &str) -> String {
        "/chat/completions".to_owned()
    }

    fn headers(&self, key: &str, _: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}"))]
    }

    fn body(&self, ask: &Ask<'_>) -> Vec<u8> {
        let newer = NEWER.iter().any(|family| {
            ask.model.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        });
        let limit = Some(ask.max_output_tokens);
        let messages = ask.messages.iter().map(|(role, content)| Message { role: *role, content }).collect();
        serde_json::to_vec(&Outgoing {
            model: ask.model,
            messages,
            max_tokens: limit.filter(|_| !newer),
            max_completion_tokens: limit.filter(|_| newer),
            stream: ask.stream,
            stream_options: ask.stream.then_some(StreamOptions { include_usage: true }),
        })
        .unwrap_or_default()
    }

    fn whole(&self, json: &Value) -> Said {
        Said {
            text: text_at(json, "/choices/0/message/content"),
            usage: usage(json),
            id: text_at(json, "/id"),
            at_limit: finished(json) == Some("length"),
            fault: None,
        }
    }

    fn event(&self, _: &str, json: &Value, said: &mut Said) -> bool {
        if json.get("error").is_some_and(|e| !e.is_null()) {
            said.fault = super::Fault::named(500, self.error_name(json));
            return true;
        }
        if said.id.is_none() {
            said.id = text_at(json, "/id");
        }
        said.usage = usage(json).or(said.usage);
        said.at_limit |= finished(json) == Some("length");
        if let Some(text) = json.pointer("/choices/0/delta/content").and_then(Value::as_str) {
            said.add(text);
        }
        false
    }

    fn error_name<'a>(&self, json: &'a Value) -> Option<&'a str> {
        let named = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
        // Azure's filter says the more exact word inside.
        named("/error/innererror/code").or_else(|| named("/error/code")).or_else(|| named("/error/type"))
    }
}

fn usage(json: &Value) -> Option<Usage> {
    serde_json::from_value(json.get("usage").filter(|u| u.is_object())?.clone()).ok()
}

fn finished(json: &Value) -> Option<&str> {
    json.pointer("/choices/0/finish_reason")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_limit_follows_the_family() {
        let body = |model| {
            let ask = Ask { model, messages: &[], max_output_tokens: 9, stream: false };
            String::from_utf8(OpenAi.body(&ask)).unwrap()
        };
        for model in ["gpt-4o", "o1000", "qwen3", "gpt-50"] {
            assert!(body(model).contains(r#""max_tokens":9"#), "{model}");
        }
        for model in ["o1", "o3-mini", "gpt-5", "gpt-5.1", "gpt-5-nano"] {
            assert!(body(model).contains(r#""max_completion_tokens":9"#), "{model}");
        }
    }

    #[test]
    fn counts_that_are_missing_or_strange_are_none() {
        assert_eq!(usage(&serde_json::json!({ "usage": null })), None);
        assert_eq!(usage(&serde_json::json!({ "usage": { "prompt_tokens": -1 } })), None);
    }
}

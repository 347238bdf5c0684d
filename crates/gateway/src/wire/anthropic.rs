//! Anthropic's Messages: `/v1/messages`, the key in `x-api-key`, the version of the API in a header, the system's words
//! apart from the messages, and named events that end with `message_stop`.

use super::{Adapter, Ask, Fault, Said, Usage, count_at, openai::role_name, text_at};
use crate::envelope::PartRole;
use serde::Serialize;
use serde_json::Value;

pub(super) struct Anthropic;

const VERSION: &str = "2023-06-01";

#[derive(Serialize)]
struct Outgoing<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Message<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl Adapter for Anthropic {
    fn path(&self, _: &str, _: &str) -> String {
        "/v1/messages".to_owned()
    }

    fn headers(&self, key: &str, _: &str) -> Vec<(&'static str, String)> {
        vec![("x-api-key", key.to_owned()), ("anthropic-version", VERSION.to_owned())]
    }

    fn body(&self, ask: &Ask<'_>) -> Vec<u8> {
        let (system, others): (Vec<_>, Vec<_>) = ask.messages.iter().partition(|(role, _)| *role == PartRole::System);
        let system: Vec<&str> = system.iter().map(|(_, text)| text.as_str()).collect();
        let messages = others.iter().map(|(role, content)| Message { role: role_name(*role), content }).collect();
        serde_json::to_vec(&Outgoing {
            model: ask.model,
            max_tokens: ask.max_output_tokens,
            system: system.join("\n\n"),
            messages,
            stream: ask.stream,
        })
        .unwrap_or_default()
    }

    fn whole(&self, json: &Value) -> Said {
        let blocks = json.get("content").and_then(Value::as_array);
        let texts = blocks.into_iter().flatten().filter(|b| b.get("type").and_then(Value::as_str) == Some("text"));
        let mut said = Said {
            usage: Usage::of(count_at(json, "/usage/input_tokens"), count_at(json, "/usage/output_tokens")),
            id: text_at(json, "/id"),
            at_limit: json.get("stop_reason").and_then(Value::as_str) == Some("max_tokens"),
            ..Said::default()
        };
        texts.filter_map(|b| b.get("text")?.as_str()).for_each(|text| said.add(text));
        said
    }

    fn event(&self, _: &str, json: &Value, said: &mut Said) -> bool {
        match json.get("type").and_then(Value::as_str).unwrap_or_default() {
            "message_start" => {
                said.id = text_at(json, "/message/id");
                said.usage = Usage::of(
                    count_at(json, "/message/usage/input_tokens"),
                    count_at(json, "/message/usage/output_tokens"),
                );
            }
            "content_block_delta" => {
                if let Some(text) = json.pointer("/delta/text").and_then(Value::as_str) {
                    said.add(text);
                }
            }
            "message_delta" => {
                let input = said.usage.map(|u| u.prompt_tokens);
                let input = count_at(json, "/usage/input_tokens").or(input);
                said.usage = Usage::of(input, count_at(json, "/usage/output_tokens")).or(said.usage);
                said.at_limit |= json.pointer("/delta/stop_reason").and_then(Value::as_str) == Some("max_tokens");
            }
            "message_stop" => return true,
            "error" => {
                said.fault = Fault::named(500, self.error_name(json));
                return true;
            }
            // Pings, and kinds of blocks that are not asked for.
            _ => {}
        }
        false
    }

    fn error_name<'a>(&self, json: &'a Value) -> Option<&'a str> {
        json.pointer("/error/type")?.as_str()
    }
}

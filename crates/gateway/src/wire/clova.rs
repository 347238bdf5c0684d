//! NAVER CLOVA Studio, Chat Completions v3, as its API guide describes it
//! (<https://api.ncloud-docs.com/docs/clovastudio-chatcompletionsv3>, for models that think
//! <https://api.ncloud-docs.com/docs/clovastudio-chatcompletionsv3-thinking>, for public bodies
//! <https://api-gov.ncloud-docs.com/docs/clovastudio-chatcompletionsv3>): the model in the path, a bearer key, the id of
//! a request in a header, the reply inside `result` beside a `status`. Whether it streams is said by `Accept` alone;
//! the events are `token` for each piece and `result` for the end.

use super::{Adapter, Ask, Fault, Said, Usage, count_at, openai::role_name, segment, text_at};
use serde::Serialize;
use serde_json::Value;

pub(super) struct Clova;

/// Models that think have another name for the limit, which then holds their thoughts too.
const THINKING: [&str; 1] = ["HCX-007"];
const GOOD: &str = "20000";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl Adapter for Clova {
    fn path(&self, model: &str, _: &str) -> String {
        format!("/v3/chat-completions/{}", segment(model))
    }

    fn headers(&self, key: &str, call: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}")), ("x-ncp-clovastudio-request-id", call.to_owned())]
    }

    fn body(&self, ask: &Ask<'_>) -> Vec<u8> {
        let thinking = THINKING.contains(&ask.model);
        let limit = Some(ask.max_output_tokens);
        let messages = ask.messages.iter().map(|(role, content)| Message { role: role_name(*role), content }).collect();
        serde_json::to_vec(&Outgoing {
            messages,
            max_tokens: limit.filter(|_| !thinking),
            max_completion_tokens: limit.filter(|_| thinking),
        })
        .unwrap_or_default()
    }

    fn whole(&self, json: &Value) -> Said {
        let nothing = Value::Null;
        let result = json.get("result").unwrap_or(&nothing);
        Said { text: text_at(result, "/message/content"), ..of_result(result) }
    }

    fn event(&self, name: &str, json: &Value, said: &mut Said) -> bool {
        match name {
            "token" => {
                if let Some(text) = json.pointer("/message/content").and_then(Value::as_str) {
                    said.add(text);
                }
                false
            }
            "result" => {
                let end = of_result(json);
                said.usage = end.usage.or(said.usage);
                said.at_limit |= end.at_limit;
                // The end repeats the whole text; without pieces before it, it is all there is.
                if said.text.is_none() {
                    said.text = text_at(json, "/message/content");
                }
                true
            }
            "error" => {
                said.fault = Fault::named(500, self.error_name(json));
                true
            }
            _ => false,
        }
    }

    fn error_name<'a>(&self, json: &'a Value) -> Option<&'a str> {
        json.pointer("/status/code")?.as_str().filter(|code| *code != GOOD)
    }
}

fn of_result(result: &Value) -> Said {
    Said {
        usage: Usage::of(count_at(result, "/usage/promptTokens"), count_at(result, "/usage/completionTokens")),
        at_limit: result.get("finishReason").and_then(Value::as_str) == Some("length"),
        ..Said::default()
    }
}

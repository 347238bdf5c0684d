//! The forms in which providers are asked and answer: for each the path, the headers, the exact outgoing bytes, and what
//! a reply says, whole or as a stream. No connection is made here, and nothing is decided.

mod anthropic;
mod azure;
mod clova;
mod openai;
pub mod sse;

pub use madang_store::providers::WireForm;

use crate::envelope::PartRole;
use madang_store::providers::Provider;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sse::{Event, Events};

/// Longest id that is kept, characters.
const MAX_ID: usize = 120;

/// What decides the outgoing bytes beside the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub wire: WireForm,
    /// Always sent: budgets rest on it.
    pub max_output_tokens: u32,
    pub stream: bool,
}

impl Form {
    /// As a provider is set up.
    pub fn of(provider: &Provider) -> Self {
        Self { wire: provider.wire, max_output_tokens: provider.max_output_tokens, stream: provider.stream }
    }

    /// The exact outgoing JSON. Fields stand in a fixed order: the same prompt gives the same bytes.
    pub fn body(&self, model: &str, messages: &[(PartRole, String)]) -> Vec<u8> {
        adapter(self.wire).body(&Ask {
            model,
            messages,
            max_output_tokens: self.max_output_tokens,
            stream: self.stream,
        })
    }
}

/// The part of a provider's address that its form decides, after the base: path and, where there is one, query.
pub fn path(wire: WireForm, model: &str, api_version: &str) -> String {
    adapter(wire).path(model, api_version)
}

/// Headers of a request with their values; `call` names it, so that a second attempt is known as the same.
pub(crate) fn headers(wire: WireForm, key: &str, call: &str) -> Vec<(&'static str, String)> {
    adapter(wire).headers(key, call)
}

/// A prompt about to be written.
pub(crate) struct Ask<'a> {
    pub model: &'a str,
    pub messages: &'a [(PartRole, String)],
    pub max_output_tokens: u32,
    pub stream: bool,
}

/// One form.
trait Adapter: Sync {
    fn path(&self, model: &str, api_version: &str) -> String;
    fn headers(&self, key: &str, call: &str) -> Vec<(&'static str, String)>;
    fn body(&self, ask: &Ask<'_>) -> Vec<u8>;
    /// Reads a whole reply.
    fn whole(&self, json: &Value) -> Said;
    /// Takes one event of a stream by its name and data; `true` at its last.
    fn event(&self, name: &str, json: &Value, said: &mut Said) -> bool;
    /// The provider's own name of what is wrong, from the body of an error.
    fn error_name<'a>(&self, json: &'a Value) -> Option<&'a str>;
}

fn adapter(wire: WireForm) -> &'static dyn Adapter {
    match wire {
        WireForm::OpenAi => &openai::OpenAi,
        WireForm::Anthropic => &anthropic::Anthropic,
        WireForm::Azure => &azure::Azure,
        WireForm::Clova => &clova::Clova,
    }
}

/// Tokens that the provider says it counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
    #[serde(default)]
    pub total_tokens: u64,
}

impl Usage {
    fn of(input: Option<u64>, output: Option<u64>) -> Option<Self> {
        let (prompt_tokens, completion_tokens) = (input?, output.unwrap_or(0));
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Some(Self { prompt_tokens, completion_tokens, total_tokens })
    }
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    pub text: Option<String>,
    /// `None` where the provider did not say.
    pub usage: Option<Usage>,
    /// The provider's name of the request.
    pub id: Option<String>,
    /// It ended at the output limit.
    pub at_limit: bool,
    pub fault: Option<Fault>,
}

impl Said {
    fn add(&mut self, text: &str) {
        self.text.get_or_insert_default().push_str(text);
    }
}

/// Why a provider did not answer, as far as its words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("제공자가 정한 요청 수를 넘었습니다. 잠시 뒤 다시 신청해 주세요.")]
    RateLimited,
    #[error("제공자가 바빠서 받지 못했습니다. 잠시 뒤 다시 신청해 주세요.")]
    Overloaded,
    #[error("제공자에 낼 돈이나 쓸 수 있는 양이 떨어졌습니다. 운영자에게 알려 주세요.")]
    Quota,
    #[error("제공자가 키를 받지 않습니다. 운영자에게 알려 주세요.")]
    Credentials,
    #[error("제공자에 그 모델이나 주소가 없습니다. 운영자에게 알려 주세요.")]
    NotFound,
    #[error("보낸 글이 모델이 읽을 수 있는 길이보다 깁니다. 자료를 줄여 다시 신청해 주세요.")]
    TooLong,
    #[error("제공자의 내용 검사에 걸려 답이 나오지 않았습니다.")]
    Filtered,
    #[error("제공자가 요청을 받아들이지 않았습니다. 운영자에게 알려 주세요.")]
    Rejected,
    #[error("제공자 쪽에서 오류가 났습니다. 잠시 뒤 다시 신청해 주세요.")]
    Server,
}

impl Fault {
    /// From the provider's own name of the error, else from the status; `None` for a reply that is none.
    fn named(status: u16, name: Option<&str>) -> Option<Self> {
        let known = match name.unwrap_or_default() {
            // "429" is Azure's own word for it.
            "rate_limit_error"
            | "rate_limit_exceeded"
            | "requests"
            | "tokens"
            | "RateLimitReached"
            | "429"
            | "42900"
            | "42901" => Self::RateLimited,
            "overloaded_error" | "server_overloaded" | "engine_overloaded" | "EngineOverloaded" | "50300" => {
                Self::Overloaded
            }
            "insufficient_quota" | "billing_error" | "billing_hard_limit_reached" => Self::Quota,
            "invalid_api_key" | "authentication_error" | "permission_error" | "40100" | "40300" => Self::Credentials,
            "model_not_found" | "not_found_error" | "DeploymentNotFound" | "40400" => Self::NotFound,
            "context_length_exceeded" | "request_too_large" | "string_above_max_length" | "40003" => Self::TooLong,
            "content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation" => Self::Filtered,
            _ => return Self::of_status(status),
        };
        Some(known)
    }

    fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            200..=299 => return None,
            401 | 403 => Self::Credentials,
            404 => Self::NotFound,
            413 => Self::TooLong,
            429 => Self::RateLimited,
            529 => Self::Overloaded,
            500..=599 => Self::Server,
            _ => Self::Rejected,
        })
    }
}

/// Does the body itself say that the request was turned away before anything was done with it?
pub(crate) fn turned_away(wire: WireForm, body: &[u8]) -> bool {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    // A status that names an error by itself is left out here: the body has to say it.
    matches!(Fault::named(200, adapter(wire).error_name(&json)), Some(Fault::RateLimited | Fault::Overloaded))
}

/// Reads a reply that came whole.
pub(crate) fn read(wire: WireForm, status: u16, body: &[u8]) -> Said {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut said = adapter(wire).whole(&json);
    said.fault = Fault::named(status, adapter(wire).error_name(&json)).or(said.fault);
    if status != 200 || said.fault.is_some() {
        said.text = None;
    }
    said
}

/// A reply that comes as a stream, put together as it comes.
pub(crate) struct Gathering {
    adapter: &'static dyn Adapter,
    events: Events,
    said: Said,
    ended: bool,
}

impl Gathering {
    pub fn new(wire: WireForm) -> Self {
        Self { adapter: adapter(wire), events: Events::default(), said: Said::default(), ended: false }
    }

    /// Takes the next bytes; `true` once the stream has come to its own end, after which nothing is read.
    ///
    /// # Errors
    /// The stream is none: a line without end, or bytes that are no text.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, sse::Unreadable> {
        for event in self.events.push(bytes)? {
            if !self.ended {
                self.ended = self.one(&event)?;
            }
        }
        Ok(self.ended)
    }

    fn one(&mut self, event: &Event) -> Result<bool, sse::Unreadable> {
        match event.data.trim() {
            "" => Ok(false),
            "[DONE]" => Ok(true),
            // A piece that cannot be read is a hole in the text: better none than one with a hole.
            data => {
                let json = serde_json::from_str(data).map_err(|_| sse::Unreadable)?;
                Ok(self.adapter.event(&event.name, &json, &mut self.said))
            }
        }
    }

    /// What was said; `None` where the stream did not come to its own end, so that part of a reply is never a reply.
    pub fn end(self) -> Option<Said> {
        let mut said = self.ended.then_some(self.said)?;
        if said.fault.is_some() {
            said.text = None;
        }
        Some(said)
    }
}

/// An id is the provider's word: keep it short and printable.
pub(crate) fn short(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(MAX_ID).collect()
}

fn text_at(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer)?.as_str().map(str::to_owned)
}

fn count_at(json: &Value, pointer: &str) -> Option<u64> {
    json.pointer(pointer)?.as_u64()
}

/// A segment of a path: whatever could end it or lead elsewhere is escaped.
fn segment(name: &str) -> String {
    // "." and ".." name nothing, and escaped a parser still walks with them.
    if name.bytes().all(|b| b == b'.') {
        return "_".repeat(name.len().max(1));
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;

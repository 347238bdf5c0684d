//! What a chat model is asked and what it streams back, the same for a model on this machine and for a model server
//! inside the body's network. What an app's task becomes as messages lives in `writer`, not here.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// One turn. The text is data: markup of the model's own template inside it stays text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// How the next token is chosen. The default is greedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 is greedy: the likeliest token always.
    pub temperature: f32,
    /// Only the `top_k` likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Smallest set of tokens whose probabilities sum to `top_p`; 1 for all.
    pub top_p: f32,
    /// Tokens at least `min_p` times as likely as the likeliest; 0 for all.
    pub min_p: f32,
    /// Logits of tokens already in the context are divided (if positive) or multiplied by this; 1 for none (Keskar et
    /// al., CTRL, 2019).
    pub repetition_penalty: f32,
    /// The same seed gives the same text, in whatever company the sequence is computed.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// What the text must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// A JSON document of this schema.
    JsonSchema(serde_json::Value),
    /// A text of this Lark grammar (llguidance's dialect).
    Lark(String),
}

/// Whose blocks of computed context may be reused: two requests share a beginning only where their keys are equal.
///
/// Made from everything that decides what the prompt may hold (the reader and what they may read).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeKey(pub [u8; 32]);

/// Who waits: the queue is fair between these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker(pub Arc<str>);

/// One request.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    pub messages: Vec<Message>,
    /// Most tokens of the reply.
    pub max_tokens: usize,
    pub sampling: Sampling,
    /// The reply ends before the first of these.
    pub stop: Vec<String>,
    pub constraint: Option<Constraint>,
    /// For each token of the reply this many of the likeliest alternatives, with log-probabilities.
    pub logprobs: Option<usize>,
    /// The model may think before it answers, where it knows how; thinking is not part of the reply.
    pub thinking: bool,
    pub scope: ScopeKey,
    pub asker: Asker,
    /// Given up when not finished by then.
    pub deadline: Option<Instant>,
}

/// A token with its log-probability (natural logarithm, before temperature and constraint).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    pub token: String,
    pub bytes: Vec<u8>,
    pub logprob: f32,
}

/// The token that was chosen and the likeliest ones in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLogprobs {
    pub chosen: TokenLogprob,
    pub top: Vec<TokenLogprob>,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn, a stop string came, or the constraint was complete.
    Stop,
    /// `max_tokens` or the model's context was used up.
    Length,
}

/// What a reply cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: usize,
    /// Of the prompt, how many were not computed again.
    pub cached_tokens: usize,
    pub completion_tokens: usize,
    /// From acceptance to the first token; zero where a server does not tell.
    pub first_token: Duration,
    pub total: Duration,
}

/// What streams out of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// More of the reply, always whole UTF-8.
    Text { text: String, logprobs: Vec<StepLogprobs> },
    /// The last event of a reply that came to its end.
    Done { reason: StopReason, usage: Usage },
}

/// Why there is no reply, or none to its end. Messages are Korean, for the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// Too many wait; try again after this long. `person` tells whose bound was reached.
    #[error("지금은 요청이 많습니다. {}초 뒤에 다시 해 주세요.", retry_after.as_secs().max(1))]
    Busy { retry_after: Duration, person: bool },
    /// Prompt and reply do not fit into the context (tokens).
    #[error(
        "넘겨준 글이 이 모델이 읽을 수 있는 길이보다 깁니다({prompt}토큰, 한도 {context}토큰). 글을 줄이거나 나누어 주세요."
    )]
    TooLong { prompt: usize, context: usize },
    /// The request itself cannot be served: an impossible schema, a wrong parameter.
    #[error("{0}")]
    Invalid(String),
    /// The deadline passed.
    #[error("정해진 시간 안에 답을 마치지 못했습니다. 글을 줄이거나 잠시 뒤에 다시 해 주세요.")]
    Deadline,
    /// Nobody reads any more.
    #[error("stopped")]
    Stopped,
    /// The model or its server failed.
    #[error("{0}")]
    Failed(String),
}

/// A reply under way. Dropping it stops the computation and frees its memory.
pub type ChatStream = mpsc::Receiver<Result<ChatEvent, ChatError>>;

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Stable name, as in the catalogue: `qwen3-0.6b-q4_k_m`.
    pub name: String,
    /// For screens.
    pub label: String,
    /// Longest prompt and reply together, tokens.
    pub context: usize,
}

/// Writes text. Implementations: local models on candle, servers inside the body's network.
#[async_trait]
pub trait ChatModel: Send + Sync {
    fn card(&self) -> ModelCard;

    /// Tokens that this text takes up; an upper estimate where the tokenizer is not at hand.
    fn count_tokens(&self, text: &str) -> usize;

    /// Queues the request; the stream yields text as it is computed and ends with `Done` or an error.
    ///
    /// # Errors
    /// At once where the request cannot be accepted: [`ChatError::Busy`], `TooLong`, `Invalid`, `Failed`.
    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError>;
}

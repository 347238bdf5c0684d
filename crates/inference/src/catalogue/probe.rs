//! The trial of a model before it comes onto the shelf: it is loaded as it will be, computes something, and tells how
//! fast it was and how much memory it took.

use super::{ModelKind, ShelfError, machine};
use crate::embed::{EmbedSettings, TextKind, open_embedder, open_reranker};
use crate::{
    Asker, ChatError, ChatEvent, ChatModel, ChatRequest, LocalModel, Message, Options, Role, Sampling, ScopeKey, Usage,
};
use std::path::Path;
use std::thread;
use std::time::Instant;

const QUESTION: &str = "마당의 시험입니다. 한 낱말로 답해 주세요.";
/// Tokens written.
const TOKENS: usize = 8;
const CONTEXT: usize = 512;
const CACHE_BYTES: usize = 64 << 20;

/// What the trial found.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub load_seconds: f64,
    /// From the question to the first token, vector or score.
    pub first_seconds: f64,
    /// Tokens per second written by a chat model, texts per second read by the others.
    pub per_second: f64,
    /// Resident memory of this process with the model loaded, bytes; 0 where the system does not tell.
    pub memory: u64,
}

/// Loads and tries a model as it will be loaded under its name; blocks for as long as that takes.
///
/// # Errors
/// It cannot be loaded, or what it computes is no number.
pub fn probe(path: &Path, kind: ModelKind, name: &str) -> Result<Probe, ShelfError> {
    // A thread of its own: whoever calls may be on a thread of a runtime already.
    thread::scope(|scope| {
        let trial = scope.spawn(|| match kind {
            ModelKind::Chat => chat(path),
            ModelKind::Embedding => embedder(path, EmbedSettings::new(name, name)),
            ModelKind::Reranker => reranker(path, EmbedSettings::new(name, name)),
        });
        trial.join().unwrap_or_else(|_| Err(ShelfError::Probe("시험하다 멈췄습니다".to_owned())))
    })
}

fn chat(path: &Path) -> Result<Probe, ShelfError> {
    let started = Instant::now();
    let options = Options { cache_bytes: CACHE_BYTES, context: CONTEXT, ..Options::default() };
    let model = LocalModel::load(path, &options)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(ShelfError::io(path))?;
    let usage = runtime.block_on(answer(&model))?;
    let first_seconds = usage.first_token.as_secs_f64();
    let writing = usage.total.saturating_sub(usage.first_token).as_secs_f64();
    let per_second = match usage.completion_tokens {
        // It ended with its first token: how fast it read is all there is.
        0 | 1 => usage.prompt_tokens as f64 / first_seconds.max(f64::EPSILON),
        written => (written - 1) as f64 / writing.max(f64::EPSILON),
    };
    Ok(Probe { load_seconds, first_seconds, per_second, memory: machine::resident_bytes().unwrap_or(0) })
}

async fn answer(model: &LocalModel) -> Result<Usage, ChatError> {
    let request = ChatRequest {
        messages: vec![Message::new(Role::User, QUESTION)],
        max_tokens: TOKENS,
        sampling: Sampling::default(),
        stop: Vec::new(),
        constraint: None,
        logprobs: None,
        thinking: false,
        scope: ScopeKey([0; 32]),
        asker: Asker("add".into()),
        deadline: None,
    };
    let mut stream =
        if model.converses() { model.chat(request).await? } else { model.continue_text(QUESTION, request).await? };
    while let Some(event) = stream.recv().await {
        if let ChatEvent::Done { usage, .. } = event? {
            return Ok(usage);
        }
    }
    Err(ChatError::Failed("답이 끝나지 않았습니다".to_owned()))
}

fn embedder(path: &Path, settings: EmbedSettings) -> Result<Probe, ShelfError> {
    let started = Instant::now();
    let model = open_embedder(path, settings)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let asked = Instant::now();
    let vectors = model.embed(TextKind::Query, &[QUESTION], &|| false)?;
    finite(&vectors.into_iter().flat_map(|v| v.vector).collect::<Vec<_>>())?;
    Ok(measured(load_seconds, asked))
}

fn reranker(path: &Path, settings: EmbedSettings) -> Result<Probe, ShelfError> {
    let started = Instant::now();
    let model = open_reranker(path, settings)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let asked = Instant::now();
    finite(&model.score(QUESTION, &[QUESTION], &|| false)?)?;
    Ok(measured(load_seconds, asked))
}

/// Of one text.
fn measured(load_seconds: f64, asked: Instant) -> Probe {
    let seconds = asked.elapsed().as_secs_f64();
    let memory = machine::resident_bytes().unwrap_or(0);
    Probe { load_seconds, first_seconds: seconds, per_second: 1.0 / seconds.max(f64::EPSILON), memory }
}

fn finite(numbers: &[f32]) -> Result<(), ShelfError> {
    let sound = !numbers.is_empty() && numbers.iter().all(|n| n.is_finite());
    if sound { Ok(()) } else { Err(ShelfError::Probe("나온 값이 수가 아닙니다".to_owned())) }
}

//! `madang models run`: one answer of one model, as it comes, or with its figures as one JSON document.

use super::{Home, resolve};
use anyhow::Context;
use madang_inference::{
    Asker, ChatEvent, ChatModel, ChatRequest, ChatStream, Constraint, LocalModel, Message, Options, Role, Sampling,
    ScopeKey, StopReason, Usage,
};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    home: Home,
    /// Name of an installed model, a GGUF file or a model folder.
    model: String,
    #[arg(long)]
    prompt: String,
    /// Instructions that stand before the conversation.
    #[arg(long, conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the text as it stands instead of answering it.
    #[arg(long)]
    raw: bool,
    #[arg(long, default_value_t = 512)]
    max_tokens: usize,
    /// 0 takes the likeliest token always.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The answer is a JSON document of the schema in this file.
    #[arg(long)]
    json_schema: Option<PathBuf>,
    /// Print one JSON document with text, usage and timings.
    #[arg(long)]
    json: bool,
}

/// An answer and what it cost.
struct Answer {
    text: String,
    reason: StopReason,
    usage: Usage,
}

impl Run {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let path = resolve(&self.home, &self.model)?;
        let request = self.request()?;
        let started = Instant::now();
        let options = Options { name: self.model.clone(), running: 1, ..Options::default() };
        let model = tokio::task::spawn_blocking(move || LocalModel::load(&path, &options)).await??;
        let load_seconds = started.elapsed().as_secs_f64();
        let stream =
            if self.raw { model.continue_text(&self.prompt, request).await? } else { model.chat(request).await? };
        let answer = read(stream, !self.json).await?;
        if self.json {
            self.document(&answer, load_seconds)?;
        } else {
            let usage = answer.usage;
            eprintln!(
                "토큰 {}개를 읽고 {}개를 썼습니다. 첫 토큰까지 {:.2}초, 초당 {:.1}토큰, 여는 데 {load_seconds:.1}초",
                usage.prompt_tokens,
                usage.completion_tokens,
                usage.first_token.as_secs_f64(),
                per_second(&usage),
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> anyhow::Result<ChatRequest> {
        let system = self.system.iter().map(|text| Message::new(Role::System, text));
        let constraint = match &self.json_schema {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("{} 파일을 읽을 수 없습니다", file.display()))?;
                let schema = serde_json::from_str(&text)
                    .with_context(|| format!("{} 파일은 JSON 스키마가 아닙니다", file.display()))?;
                Some(Constraint::JsonSchema(schema))
            }
        };
        Ok(ChatRequest {
            messages: system.chain([Message::new(Role::User, &self.prompt)]).collect(),
            max_tokens: self.max_tokens,
            sampling: Sampling { temperature: self.temperature, seed: self.seed, ..Sampling::default() },
            stop: Vec::new(),
            constraint,
            logprobs: None,
            thinking: false,
            scope: ScopeKey([0; 32]),
            asker: Asker("cli".into()),
            deadline: None,
        })
    }

    fn document(&self, answer: &Answer, load_seconds: f64) -> anyhow::Result<()> {
        let usage = answer.usage;
        let document = json!({
            "model": self.model,
            "text": answer.text,
            "finish_reason": answer.reason,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.cached_tokens,
                "completion_tokens": usage.completion_tokens,
            },
            "timings": {
                "load_seconds": load_seconds,
                "first_token_seconds": usage.first_token.as_secs_f64(),
                "total_seconds": usage.total.as_secs_f64(),
                "tokens_per_second": per_second(&usage),
            },
        });
        Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&document)?)?)
    }
}

/// Tokens per second after the first.
fn per_second(usage: &Usage) -> f64 {
    let seconds = usage.total.saturating_sub(usage.first_token).as_secs_f64();
    let written = usage.completion_tokens.saturating_sub(1);
    if seconds > 0.0 { written as f64 / seconds } else { 0.0 }
}

async fn read(mut stream: ChatStream, show: bool) -> anyhow::Result<Answer> {
    let mut whole = String::new();
    while let Some(event) = stream.recv().await {
        match event? {
            ChatEvent::Text { text, .. } => {
                if show {
                    let mut out = std::io::stdout().lock();
                    write!(out, "{text}")?;
                    out.flush()?;
                }
                whole.push_str(&text);
            }
            ChatEvent::Done { reason, usage } => {
                if show {
                    writeln!(std::io::stdout())?;
                }
                return Ok(Answer { text: whole, reason, usage });
            }
        }
    }
    anyhow::bail!("모델이 답을 마치지 못했습니다. 다시 해 주세요.")
}

//! Small models of random weights, made once per test run, and requests to them.

use madang_inference::{
    Asker, Bounds, ChatEvent, ChatRequest, ChatStream, LocalModel, Message, Options, Role, Sampling, ScopeKey,
};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tiny model with one token for each byte.
pub fn model(family: &str, quant: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{family}-{quant}.gguf"));
    // Several test processes may want it at once: each writes its own and moves it into place.
    let own = folder.join(format!("{family}-{quant}-{}-{:?}.gguf", std::process::id(), std::thread::current().id()));
    let args = ["synthetic-model", "--like", "tiny", "--tokenizer", "bytes"];
    let made = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(args)
        .args(["--family", family, "--quant", quant, "--out"])
        .arg(&own)
        .status()
        .expect("xtask runs");
    assert!(made.success());
    std::fs::rename(&own, &file).expect("moved into place");
    file
}

/// Two threads, a little memory.
pub fn options() -> Options {
    Options { threads: 2, cache_bytes: 32 << 20, bounds: Bounds { total: 64, per_person: 32 }, ..Options::default() }
}

pub fn load(file: &Path, options: &Options) -> LocalModel {
    LocalModel::load(file, options).expect("the model loads")
}

pub fn key(n: u8) -> ScopeKey {
    ScopeKey([n; 32])
}

/// A question of 40 tokens at most in reply.
pub fn ask(question: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::new(Role::User, question)],
        max_tokens: 40,
        sampling: Sampling::default(),
        stop: Vec::new(),
        constraint: None,
        logprobs: None,
        thinking: false,
        scope: key(0),
        asker: Asker("somebody".into()),
        deadline: None,
    }
}

/// The whole reply.
pub async fn text(mut stream: ChatStream) -> String {
    let mut all = String::new();
    while let Some(event) = stream.recv().await {
        if let ChatEvent::Text { text, .. } = event.expect("no error") {
            all.push_str(&text);
        }
    }
    all
}

//! Small models of random weights, made once per test run, and requests to them. Each test file uses a part.
#![allow(dead_code)]

use madang_inference::{
    Asker, Bounds, ChatEvent, ChatRequest, ChatStream, LocalModel, Message, Options, Role, Sampling, ScopeKey,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A tiny model with one token for each byte, made once in a process.
pub fn model(family: &str, quant: &str) -> PathBuf {
    model_with(family, quant, &[])
}

/// The same with further options of `xtask synthetic-model`.
pub fn model_with(family: &str, quant: &str, more: &[&str]) -> PathBuf {
    static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let name = format!("{family}-{quant}{}-{}.gguf", more.concat(), std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.insert(file.clone()) {
        let args = ["synthetic-model", "--like", "tiny", "--tokenizer", "bytes", "--family", family, "--quant", quant];
        let xtask = Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).args(more).arg("--out").arg(&file).status();
        assert!(xtask.expect("xtask runs").success());
    }
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

//! llama.cpp's side: runs `peer/llama_cpp_peer.py`.

use crate::peers;
use anyhow::{Context, Result, ensure};
use madang_inference::bench::{Report, Request};
use std::path::Path;
use std::process::{Command, Stdio};

/// One run in a process of its own.
///
/// # Errors
/// When Python or the script fails; its messages are on the terminal.
pub fn run(python: &Path, request: &Request) -> Result<Report> {
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let options = [
        ("--threads", request.threads.to_string()),
        ("--prefill", list(&request.prefill)),
        ("--decode-depth", list(&request.decode_depth)),
        ("--decode-n", request.decode_n.to_string()),
        ("--parallel", list(&request.parallel)),
        ("--parallel-prompt", request.parallel_prompt.to_string()),
        ("--parallel-n", request.parallel_n.to_string()),
        ("--prefix", request.prefix.to_string()),
        ("--question", request.question.to_string()),
    ];
    let mut command = Command::new(python);
    command
        .arg(peers::workspace().join("xtask/peer/llama_cpp_peer.py"))
        .arg("bench")
        .arg("--model")
        .arg(&request.model);
    for (name, value) in options {
        command.arg(name).arg(value);
    }
    let output = command.stderr(Stdio::inherit()).output().with_context(|| python.display().to_string())?;
    ensure!(output.status.success(), "the peer failed ({}); see the messages above", output.status);
    serde_json::from_slice(&output.stdout).context("the peer's report")
}

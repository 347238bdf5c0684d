//! Our side of the benchmark: this program starts itself again, so that the peak memory is one run's own.

use anyhow::{Context, Result, anyhow, ensure};
use madang_inference::bench::{self, Report, Request};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// The hidden command that the child process runs.
pub const COMMAND: &str = "bench-ours";

/// One run in a process of its own.
///
/// # Errors
/// When the engine fails; its messages are on the terminal.
pub fn run(request: &Request) -> Result<Report> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting our side")?;
    // dropped at once: the child reads to the end
    child.stdin.take().context("no pipe to our side")?.write_all(&serde_json::to_vec(request)?)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "our side failed ({}); see the messages above", output.status);
    serde_json::from_slice(&output.stdout).context("our report")
}

/// The child: a request from stdin, the report to stdout.
///
/// # Errors
/// When the request cannot be read or the file cannot be used.
pub fn child() -> Result<()> {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request)?;
    let request: Request = serde_json::from_slice(&request).context("the request")?;
    let report = bench::run(&request).map_err(|error| anyhow!("{error}"))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

//! The parent's side: starts the child, speaks to it within time and size, and reads its death where it dies.

use super::{Reply, Request};
use crate::{Extracted, Limits, ReadError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// How to read documents in a process of their own.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// A program that calls [`super::serve`] when started with `args`.
    pub program: PathBuf,
    pub args: Vec<String>,
    pub limits: Limits,
}

/// What is kept of the child's standard error.
const MAX_STDERR: u64 = 64 << 10;
/// The child ends itself at its own limit; this much later the parent ends it.
const GRACE: Duration = Duration::from_secs(3);

/// Kills the whole group when dropped, so that a cancelled reading leaves nothing running.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Already gone is fine.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Sandbox {
    /// Reads one document in a fresh process. Dropping the future kills the process.
    ///
    /// # Errors
    /// As [`crate::read`]; a crash is [`ReadError::Damaged`], exhausted memory or output [`ReadError::TooLarge`],
    /// a stack that overflowed [`ReadError::TooDeep`], exhausted time [`ReadError::Timeout`], and a program that
    /// does not start or speak [`ReadError::Unavailable`].
    pub async fn read(&self, bytes: &[u8], file_name: &str) -> Result<Extracted, ReadError> {
        if bytes.is_empty() {
            return Err(ReadError::Empty);
        }
        if bytes.len() as u64 > self.limits.input_bytes {
            return Err(ReadError::TooLarge);
        }
        let child = self.spawn()?;
        match tokio::time::timeout(self.limits.time + GRACE, self.converse(child, bytes, file_name)).await {
            Ok(result) => result,
            Err(_) => Err(ReadError::Timeout),
        }
    }

    fn spawn(&self) -> Result<Child, ReadError> {
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| unavailable(format!("{}: {e}", self.program.display())))
    }

    async fn converse(&self, mut child: Child, bytes: &[u8], file_name: &str) -> Result<Extracted, ReadError> {
        // The group's id is its leader's; the guard must not outlive the reaping below.
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(unavailable("no pipes"));
        };
        let request =
            Request { file_name: file_name.to_owned(), length: bytes.len() as u64, limits: self.limits.clone() };
        let mut header = serde_json::to_vec(&request).map_err(|e| unavailable(e.to_string()))?;
        header.push(b'\n');
        let send = async move {
            // A child that dies early closes the pipe; its death is judged below.
            let _ = stdin.write_all(&header).await;
            let _ = stdin.write_all(bytes).await;
        };
        let most = self.limits.output_bytes;
        let (_, output, errors) = tokio::join!(send, gather(stdout, most), gather(stderr, MAX_STDERR));
        if output.len() as u64 > most {
            return Err(ReadError::TooLarge);
        }
        let status = child.wait().await.map_err(|e| unavailable(e.to_string()))?;
        group.0 = None;
        match serde_json::from_slice(&output) {
            Ok(Reply::Read(extracted)) => Ok(*extracted),
            Ok(Reply::Refused(error)) => Err(error),
            Err(_) => Err(judge(status, &String::from_utf8_lossy(&errors))),
        }
    }
}

fn unavailable(detail: impl Into<String>) -> ReadError {
    ReadError::Unavailable { detail: detail.into() }
}

/// At most one byte more than `most`, so that too much can be told from just enough.
async fn gather(stream: impl AsyncRead + Unpin, most: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = stream.take(most.saturating_add(1)).read_to_end(&mut out).await;
    out
}

/// Why a child died without a reply.
fn judge(status: ExitStatus, errors: &str) -> ReadError {
    if errors.contains("memory allocation of") {
        return ReadError::TooLarge;
    }
    if errors.contains("overflowed its stack") {
        return ReadError::TooDeep;
    }
    match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU | Signal::KILL) => ReadError::Timeout,
        Some(_) => ReadError::Damaged,
        None => {
            let last: String = errors.lines().last().unwrap_or_default().chars().take(300).collect();
            unavailable(format!("{status}: {last}"))
        }
    }
}

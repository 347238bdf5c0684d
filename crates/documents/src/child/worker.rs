//! One child process as its parent sees it: start, one conversation at a time, and reading its death where it dies.
//! Which worker serves which request is `sandbox`'s business.

use super::{Reply, Request};
use crate::{Extracted, ReadError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

/// What is kept of the child's standard error.
const MAX_STDERR: usize = 64 << 10;

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

/// A running child. Dropping it kills it.
pub(super) struct Worker {
    // Before `child`: the group's id is its leader's, and must not outlive the reaping.
    group: Group,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    errors: JoinHandle<Vec<u8>>,
    /// Documents answered so far.
    pub served: u32,
}

impl Worker {
    /// # Errors
    /// [`ReadError::Unavailable`] when the program does not start.
    pub fn start(program: &Path, args: &[String]) -> Result<Self, ReadError> {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| unavailable(format!("{}: {e}", program.display())))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(unavailable("no pipes"));
        };
        let errors = tokio::spawn(head_of(stderr));
        Ok(Self { group, child, stdin, stdout: BufReader::new(stdout), errors, served: 0 })
    }

    /// Still there to be asked? One that died while it was idle is no fault of the next document.
    pub fn is_alive(&mut self) -> bool {
        let alive = matches!(self.child.try_wait(), Ok(None));
        if !alive {
            // Reaped: its id may be another's soon.
            self.group.0 = None;
        }
        alive
    }

    /// Memory that the process holds, in bytes; 0 where the system does not say.
    pub fn resident_bytes(&self) -> u64 {
        let pages = self.child.id().and_then(|id| {
            let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
            statm.split(' ').nth(1)?.parse::<u64>().ok()
        });
        pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
    }

    /// Sends one request and waits for its reply. After an error of the conversation itself (`Err` of the outer
    /// result) the worker is spent.
    pub async fn converse(
        &mut self,
        request: &Request,
        bytes: &[u8],
    ) -> Result<Result<Extracted, ReadError>, ReadError> {
        let most = request.limits.output_bytes;
        let mut header = serde_json::to_vec(request).map_err(|e| unavailable(e.to_string()))?;
        header.push(b'\n');
        let Self { stdin, stdout, .. } = self;
        let send = async move {
            // A child that dies early closes the pipe; its death is judged below.
            let _ = stdin.write_all(&header).await;
            let _ = stdin.write_all(bytes).await;
            let _ = stdin.flush().await;
        };
        let mut line = Vec::new();
        // At most one byte more than allowed, so that too much can be told from just enough.
        let mut limited = stdout.take(most.saturating_add(1));
        let _ = tokio::join!(send, limited.read_until(b'\n', &mut line));
        if line.len() as u64 > most {
            return Err(ReadError::TooLarge);
        }
        self.served += 1;
        match serde_json::from_slice(&line) {
            Ok(Reply::Read(extracted)) => Ok(Ok(*extracted)),
            Ok(Reply::Refused(error)) => Ok(Err(error)),
            Err(_) if line.ends_with(b"\n") => Err(unavailable("the reply is no reply")),
            Err(_) => Err(self.autopsy().await),
        }
    }

    /// Why the child gave no reply.
    async fn autopsy(&mut self) -> ReadError {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(e) => return unavailable(e.to_string()),
        };
        self.group.0 = None;
        let errors = (&mut self.errors).await.unwrap_or_default();
        judge(status, &String::from_utf8_lossy(&errors))
    }
}

pub(super) fn unavailable(detail: impl Into<String>) -> ReadError {
    ReadError::Unavailable { detail: detail.into() }
}

/// The first of a stream, which is read to its end so that its writer never blocks.
async fn head_of(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut out = Vec::new();
    let mut buffer = vec![0u8; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let room = MAX_STDERR.saturating_sub(out.len()).min(n);
        out.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
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

//! The child's side: bounds itself, then reads document after document until its parent closes the pipe.

use super::{MAX_HEADER, Reply, Request};
use crate::{Limits, ReadError, read};
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The request could not be taken or the reply not given.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("reading the request or writing the reply: {0}")]
    Io(#[from] io::Error),
    #[error("request header: {0}")]
    Header(#[from] serde_json::Error),
    #[error("limits on this process: {0}")]
    Limits(#[from] rustix::io::Errno),
}

/// Stack of the reading thread: parsers of nested formats recurse.
const STACK: usize = 64 << 20;

/// Reads requests from `stdin` until it ends and writes one reply for each to `stdout`. The first request limits this
/// very process; each gets its own share of processor time.
///
/// Call it first thing in a process of its own: the limits stay, and cannot be raised again.
///
/// # Errors
/// When the pipes fail or the header is no header; a document that cannot be read is a reply, not an error.
pub fn serve(stdin: impl Read, mut stdout: impl Write) -> Result<(), ServeError> {
    let mut input = BufReader::new(stdin);
    let mut confined = false;
    while let Some(request) = next_request(&mut input)? {
        if !confined {
            confine(&request.limits)?;
            confined = true;
        }
        limit_time(&request.limits)?;
        let too_large = request.length > request.limits.input_bytes;
        let reply = if too_large {
            Reply::Refused(ReadError::TooLarge)
        } else {
            let mut bytes = Vec::new();
            (&mut input).take(request.length).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != request.length {
                return Err(ServeError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            answer(bytes, request)
        };
        serde_json::to_writer(&mut stdout, &reply)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
        if too_large {
            // Its bytes are still in the pipe: nothing behind them can be told apart.
            break;
        }
    }
    Ok(())
}

/// The next header; `None` once the parent closed the pipe.
fn next_request(input: &mut impl BufRead) -> Result<Option<Request>, ServeError> {
    let mut header = Vec::new();
    input.take(MAX_HEADER).read_until(b'\n', &mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&header)?))
}

/// Soft and hard limits that stay: memory, open files, no file writing, no core dump.
fn confine(limits: &Limits) -> Result<(), ServeError> {
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, both(limits.memory_bytes))?;
    setrlimit(Resource::Nofile, both(32))?;
    setrlimit(Resource::Fsize, both(0))?;
    setrlimit(Resource::Core, both(0))?;
    Ok(())
}

/// Processor time of one request, counted from what earlier ones used. Only the soft limit moves: it ends the process
/// with SIGXCPU, which the parent tells from other deaths. It also ends a child whose parent is gone.
fn limit_time(limits: &Limits) -> Result<(), ServeError> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    let most = used.saturating_add(limits.time.as_secs()).saturating_add(1);
    setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum: None })?;
    Ok(())
}

/// Reads on a thread with a deep stack; a panic of a library is a damaged file.
fn answer(bytes: Vec<u8>, request: Request) -> Reply {
    let work = move || catch_unwind(AssertUnwindSafe(|| read(&bytes, &request.file_name, &request.limits)));
    let outcome = match std::thread::Builder::new().stack_size(STACK).spawn(work) {
        Ok(thread) => thread.join(),
        Err(_) => return Reply::Refused(ReadError::TooLarge),
    };
    match outcome {
        Ok(Ok(Ok(extracted))) => Reply::Read(Box::new(extracted)),
        Ok(Ok(Err(error))) => Reply::Refused(error),
        Ok(Err(_)) | Err(_) => Reply::Refused(ReadError::Damaged),
    }
}

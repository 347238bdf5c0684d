//! The child's side: bounds itself, then reads one document and answers.

use super::{MAX_HEADER, Reply, Request};
use crate::{Limits, ReadError, read};
use rustix::process::{Resource, Rlimit, setrlimit};
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

/// Reads one request from `stdin`, limits this very process as the request asks, and writes one reply to `stdout`.
///
/// Call it first thing in a process of its own: the limits stay, and cannot be raised again.
///
/// # Errors
/// When the pipes fail or the header is no header; a document that cannot be read is a reply, not an error.
pub fn serve(stdin: impl Read, mut stdout: impl Write) -> Result<(), ServeError> {
    let mut input = BufReader::new(stdin);
    let mut header = Vec::new();
    (&mut input).take(MAX_HEADER).read_until(b'\n', &mut header)?;
    let request: Request = serde_json::from_slice(&header)?;
    confine(&request.limits)?;
    let reply = if request.length > request.limits.input_bytes {
        Reply::Refused(ReadError::TooLarge)
    } else {
        let mut bytes = Vec::new();
        input.take(request.length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == request.length {
            answer(bytes, request)
        } else {
            return Err(ServeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    serde_json::to_writer(&mut stdout, &reply)?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    Ok(())
}

/// Soft and hard limits: memory, processor time, open files, no file writing, no core dump.
fn confine(limits: &Limits) -> Result<(), ServeError> {
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    let seconds = limits.time.as_secs().saturating_add(1);
    setrlimit(Resource::As, both(limits.memory_bytes))?;
    // The soft limit ends the process with SIGXCPU, which the parent tells from other deaths.
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(2)) })?;
    setrlimit(Resource::Nofile, both(32))?;
    setrlimit(Resource::Fsize, both(0))?;
    setrlimit(Resource::Core, both(0))?;
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

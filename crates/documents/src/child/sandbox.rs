//! The parent's side: a few idle children that wait for the next document, so that starting one is not paid for each
//! file. A child serves one request at a time and is replaced when it is worn or anything went wrong in it.

use super::{
    Request,
    worker::{Worker, unavailable},
};
use crate::{Extracted, Limits, ReadError};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The child ends itself at its own limit; this much later the parent ends it.
const GRACE: Duration = Duration::from_secs(3);

/// How long a child is kept and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Idle children kept; more may run while more is asked.
    pub idle: usize,
    /// Documents that one child reads before it is replaced.
    pub documents: u32,
    /// Resident memory in bytes above which a child is replaced after its document.
    pub resident_bytes: u64,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { idle: 4, documents: 200, resident_bytes: 256 << 20 }
    }
}

impl Reuse {
    /// A fresh child for each document.
    pub fn none() -> Self {
        Self { idle: 0, documents: 1, resident_bytes: 0 }
    }
}

/// Reads documents in processes of their own. Clones share their idle children.
#[derive(Clone)]
pub struct Sandbox {
    program: PathBuf,
    args: Vec<String>,
    limits: Limits,
    reuse: Reuse,
    idle: Arc<Mutex<Vec<Worker>>>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("reuse", &self.reuse)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// `program` calls [`super::serve`] when started with `args`. Nothing is started yet.
    pub fn new(program: impl Into<PathBuf>, args: Vec<String>, limits: Limits) -> Self {
        Self { program: program.into(), args, limits, reuse: Reuse::default(), idle: Arc::default() }
    }

    /// With another rule on keeping children.
    #[must_use]
    pub fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// What each reading is held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads one document in an idle child or a fresh one. Dropping the future kills that child and no other.
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
        // A name beyond any file system's would not fit into the header line.
        let file_name: String = file_name.chars().take(1000).collect();
        let request = Request { file_name, length: bytes.len() as u64, limits: self.limits.clone() };
        let worker = self.worker()?;
        let reused = worker.served > 0;
        match self.ask(worker, &request, bytes).await {
            // A child that read others before may have been ended between two documents: only a fresh one's death is
            // this document's doing.
            Err(_) if reused => self.ask(self.start()?, &request, bytes).await.unwrap_or_else(Err),
            answer => answer.unwrap_or_else(Err),
        }
    }

    /// The answer of a child within its time; the outer error is that it died without one.
    async fn ask(
        &self,
        mut worker: Worker,
        request: &Request,
        bytes: &[u8],
    ) -> Result<Result<Extracted, ReadError>, ReadError> {
        let conversation = worker.converse(request, bytes);
        let Ok(answer) = tokio::time::timeout(self.limits.time.saturating_add(GRACE), conversation).await else {
            return Ok(Err(ReadError::Timeout));
        };
        let answer = answer?;
        self.give_back(worker, &answer);
        Ok(answer)
    }

    /// An idle child that still lives, or a new one.
    fn worker(&self) -> Result<Worker, ReadError> {
        while let Some(mut worker) = self.take_idle() {
            if worker.is_alive() {
                return Ok(worker);
            }
        }
        self.start()
    }

    fn start(&self) -> Result<Worker, ReadError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(unavailable("no runtime"));
        }
        Worker::start(&self.program, &self.args)
    }

    fn take_idle(&self) -> Option<Worker> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps the child for the next document unless it is worn or may have been harmed.
    fn give_back(&self, worker: Worker, answer: &Result<Extracted, ReadError>) {
        let worn = worker.served >= self.reuse.documents || worker.resident_bytes() > self.reuse.resident_bytes;
        let sound = match answer {
            Ok(_) => true,
            Err(error) => error.is_plain_refusal(),
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if sound && !worn && idle.len() < self.reuse.idle {
            idle.push(worker);
        }
    }
}

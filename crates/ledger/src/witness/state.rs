//! What a witness remembers of each log, in a folder: one file a log, replaced as a whole and on disk before anything
//! is signed. One process at a time.

use super::WitnessError;
use crate::checkpoint::SignedCheckpoint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Longest file read, bytes.
const MAX_FILE: u64 = 16 << 20;
const LOCK: &str = "lock";

/// What is remembered of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The checkpoint cosigned last, with the log's and the witness's signatures.
    pub latest: Option<SignedCheckpoint>,
    /// Checkpoints in which the log handed over to another key, oldest first.
    pub handovers: Vec<SignedCheckpoint>,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    latest: Option<String>,
    handovers: Vec<String>,
}

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct StateFolder {
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl StateFolder {
    /// Opens the folder, or creates it.
    pub fn open(folder: &Path) -> Result<Self, WitnessError> {
        let failed = |source: io::Error| failure(folder, &source);
        fs::create_dir_all(folder).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(StateFolder { folder: folder.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(WitnessError::InUse(folder.display().to_string())),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where a log's file is: named by the hash of its origin, as in the witness protocol's own addresses.
    fn path(&self, origin: &str) -> PathBuf {
        self.folder.join(format!("{}.json", hex::encode(Sha256::digest(origin))))
    }

    /// What is remembered of a log; nothing of one never seen.
    pub fn load(&self, origin: &str) -> Result<Seen, WitnessError> {
        let path = self.path(origin);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
            other => other.map_err(|source| failure(&path, &source))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|source| failure(&path, &source))?;
        let damaged = || WitnessError::Damaged(path.display().to_string());
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let read = |note: String| note.parse::<SignedCheckpoint>().map_err(|_| damaged());
        Ok(Seen {
            latest: stored.latest.map(read).transpose()?,
            handovers: stored.handovers.into_iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// Replaces what is remembered of a log. On disk when this returns: the new file is written beside the old one,
    /// synchronised, put in its place, and the folder synchronised.
    pub fn save(&self, origin: &str, seen: &Seen) -> Result<(), WitnessError> {
        let path = self.path(origin);
        let stored = Stored {
            latest: seen.latest.as_ref().map(ToString::to_string),
            handovers: seen.handovers.iter().map(ToString::to_string).collect(),
        };
        let draft = path.with_extension("new");
        let written = (|| {
            let bytes = serde_json::to_vec(&stored)?;
            if bytes.len() as u64 >= MAX_FILE {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|source| failure(&path, &source))
    }
}

fn failure(path: &Path, source: &io::Error) -> WitnessError {
    WitnessError::State { path: path.display().to_string(), reason: source.to_string() }
}

//! A model folder: reads its files and keeps the hash of all that was read.

use super::weights::Weights;
use crate::ModelError;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// Largest settings or tokenizer file; real ones stay below 40 MB.
const MOST_BYTES: u64 = 256 << 20;
/// Raised when the same files would give other vectors.
const VECTORS_VERSION: &str = "madang-vectors-1";

/// A folder and the running hash over what was read from it.
pub(super) struct Folder {
    root: PathBuf,
    hash: Sha256,
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        let mut folder = Self { root: root.to_owned(), hash: Sha256::new() };
        folder.note("version", VECTORS_VERSION.as_bytes());
        folder
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds something else that decides the vectors to the fingerprint.
    pub fn note(&mut self, what: &str, bytes: &[u8]) {
        for part in [what.as_bytes(), bytes] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }

    /// The fingerprint, hex.
    pub fn fingerprint(self) -> String {
        self.hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// `None` where the file is missing.
    pub fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        let path = self.path(name)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(ModelError::io(&path)(e)),
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(ModelError::io(&path))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(ModelError::damaged(format!("{name} (너무 큼)")));
        }
        self.note(name, &bytes);
        Ok(Some(bytes))
    }

    pub fn required(&mut self, name: &str) -> Result<Vec<u8>, ModelError> {
        self.bytes(name)?.ok_or_else(|| ModelError::damaged(format!("{name} 없음")))
    }

    pub fn json<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ModelError> {
        let Some(bytes) = self.bytes(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| ModelError::damaged(format!("{name} ({e})")))
    }

    pub fn required_json<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ModelError> {
        self.json(name)?.ok_or_else(|| ModelError::damaged(format!("{name} 없음")))
    }

    /// The weights in `model.safetensors` of the folder `inside` (empty for the root), or in the files that
    /// `model.safetensors.index.json` names.
    pub fn weights(&mut self, inside: &str) -> Result<Weights, ModelError> {
        let directory = if inside.is_empty() { self.root.clone() } else { self.path(inside)? };
        let weights = Weights::open(&directory)?;
        weights.hash_into(&mut self.hash)?;
        Ok(weights)
    }

    /// Never outside the folder: names come from files too.
    fn path(&self, name: &str) -> Result<PathBuf, ModelError> {
        let relative = Path::new(name);
        if name.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(ModelError::damaged(format!("경로 {name:?}")));
        }
        Ok(self.root.join(relative))
    }
}

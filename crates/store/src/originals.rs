//! Originals of uploaded files: content-addressed, on disk, written whole or not at all.

use crate::{Result, StoreError};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder of originals, each named by the SHA-256 of its bytes. Names from uploads are never used as paths.
#[derive(Debug, Clone)]
pub struct Originals {
    dir: PathBuf,
}

impl Originals {
    /// Uses (creating) `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join("incoming"))?;
        Ok(Self { dir: dir.to_owned() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, digest: &str) -> Result<PathBuf> {
        let sound = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !sound {
            return Err(StoreError::Corrupt("original"));
        }
        Ok(self.dir.join(&digest[..2]).join(digest))
    }

    /// Stores `bytes` and returns their SHA-256 in hexadecimal; storing the same bytes again adds nothing.
    /// Blocks on the disk: call it off the async threads.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the disk is; nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<String> {
        let digest = hex::encode(Sha256::digest(bytes));
        let target = self.path(&digest)?;
        if target.exists() {
            return Ok(digest);
        }
        let temporary = self.dir.join("incoming").join(uuid::Uuid::now_v7().to_string());
        let written = write_synced(&temporary, bytes).and_then(|()| {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(&temporary, &target)?;
            File::open(target.parent().unwrap_or(&self.dir))?.sync_all()
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error.into());
        }
        Ok(digest)
    }

    /// Bytes of an original.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone, [`StoreError::Corrupt`] when its bytes changed.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let bytes = match fs::read(self.path(digest)?) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::NotFound),
            other => other?,
        };
        if hex::encode(Sha256::digest(&bytes)) != digest {
            return Err(StoreError::Corrupt("original"));
        }
        Ok(bytes)
    }

    /// Removes an original that no document refers to any more.
    pub fn remove(&self, digest: &str) -> Result<()> {
        match fs::remove_file(self.path(digest)?) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

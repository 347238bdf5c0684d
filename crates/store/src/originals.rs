//! Originals of uploaded files: content-addressed, on disk, written whole or not at all.

use crate::{Result, StoreError};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A folder of originals, each named by the SHA-256 of its bytes. Names from uploads are never used as paths.
#[derive(Debug, Clone)]
pub struct Originals {
    dir: PathBuf,
    /// Shared while an original is stored and its document added; whole while originals without a document go.
    gate: Arc<RwLock<()>>,
}

/// An original on its way in. Dropped before [`Incoming::store`], nothing of it remains.
#[derive(Debug)]
pub struct Incoming {
    originals: Originals,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    written: u64,
}

impl Originals {
    /// Uses (creating) `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join("incoming"))?;
        Ok(Self { dir: dir.to_owned(), gate: Arc::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// To be held from [`Incoming::store`] until the document is in the database.
    pub async fn adding(&self) -> OwnedRwLockReadGuard<()> {
        self.gate.clone().read_owned().await
    }

    /// To be held while originals that no document refers to are looked up and removed.
    pub async fn sweeping(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// Removes what uploads that were cut off left behind; for the start, before any upload.
    pub fn clear_incoming(&self) -> Result<()> {
        for entry in fs::read_dir(self.dir.join("incoming"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> Result<PathBuf> {
        if !is_digest(digest) {
            return Err(StoreError::Corrupt("original"));
        }
        Ok(self.dir.join(&digest[..2]).join(digest))
    }

    /// Begins to take in an original. Blocks on the disk, as all that follows: call it off the async threads.
    pub fn receive(&self) -> Result<Incoming> {
        let path = self.dir.join("incoming").join(uuid::Uuid::now_v7().to_string());
        let file = File::create_new(&path)?;
        Ok(Incoming { originals: self.clone(), path, file, hasher: Sha256::new(), written: 0 })
    }

    /// Stores `bytes` and returns their SHA-256 in hexadecimal; storing the same bytes again adds nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the disk is; nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<String> {
        let mut incoming = self.receive()?;
        incoming.write(bytes)?;
        incoming.store()
    }

    /// Bytes of an original.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone, [`StoreError::Corrupt`] when its bytes changed.
    pub fn get(&self, digest: &str) -> Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest)?).map_err(missing)?;
        if hex::encode(Sha256::digest(&bytes)) != digest {
            return Err(StoreError::Corrupt("original"));
        }
        Ok(bytes)
    }

    /// An original opened for reading, with its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone.
    pub fn file(&self, digest: &str) -> Result<(File, u64)> {
        let file = File::open(self.path(digest)?).map_err(missing)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    /// Removes an original that no document refers to any more.
    pub fn remove(&self, digest: &str) -> Result<()> {
        match fs::remove_file(self.path(digest)?) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Digests of all originals on the disk.
    pub fn digests(&self) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for shelf in fs::read_dir(&self.dir)? {
            let shelf = shelf?;
            if shelf.file_name().len() != 2 || !shelf.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(shelf.path())? {
                out.extend(entry?.file_name().into_string().ok().filter(|name| is_digest(name)));
            }
        }
        Ok(out)
    }
}

impl Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the disk is.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// SHA-256 of the bytes so far, in hexadecimal.
    pub fn digest(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    /// Makes it durable and returns its SHA-256 in hexadecimal. The same bytes again add nothing.
    pub fn store(self) -> Result<String> {
        let digest = self.digest();
        let target = self.originals.path(&digest)?;
        if target.exists() {
            return Ok(digest);
        }
        self.file.sync_all()?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(&self.path, &target)?;
        File::open(target.parent().unwrap_or(&self.originals.dir))?.sync_all()?;
        Ok(digest)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Already gone once it was stored.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn missing(error: std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound => StoreError::NotFound,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let originals = Originals::open(dir.path()).expect("opens");
        let digest = originals.put("감사 자료".as_bytes()).expect("stored");
        assert_eq!(originals.put("감사 자료".as_bytes()).expect("again"), digest);
        assert_eq!(originals.digests().expect("listed"), std::slice::from_ref(&digest));
        let mut cut_off = originals.receive().expect("begins");
        cut_off.write(b"half").expect("written");
        drop(cut_off);
        assert_eq!(fs::read_dir(dir.path().join("incoming")).expect("folder").count(), 0);
        assert_eq!(originals.get(&digest).expect("bytes"), "감사 자료".as_bytes());
        originals.remove(&digest).expect("removed");
        assert!(matches!(originals.get(&digest), Err(StoreError::NotFound)));
        assert!(matches!(originals.get("../../etc/passwd"), Err(StoreError::Corrupt(_))));
    }
}

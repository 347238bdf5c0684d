//! A file on its way: what came lies in `….part`, what is known of it in `….part.note` beside it. Only what is sure to
//! be on the disk is counted, so that a resumed file never holds a gap that a loss of power left.

use super::DownloadError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes between two times that the disk is waited for: at most so many are fetched twice after a crash.
const SYNC_EVERY: u64 = 64 << 20;
const BUFFER: usize = 1 << 20;
/// In a folder of files: where they come from.
const ORIGIN: &str = ".origin";
/// A note is a few hundred bytes.
const MOST_NOTE: u64 = 64 << 10;

/// What a later attempt has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The first address, without the query: another one starts from the beginning.
    origin: String,
    /// Strong, as the host that gave the bytes wrote it.
    etag: Option<String>,
    /// Bytes of the whole file, where the host said so.
    total: Option<u64>,
    /// Bytes that are on the disk.
    synced: u64,
}

/// A partial file that is open for more.
pub struct Part {
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    note: Note,
}

impl Part {
    /// Opens what an earlier attempt from `origin` left, reading it for its hash, or an empty one. Blocks.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, origin: &str) -> Result<Self, DownloadError> {
        let mut options = OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = open.map_err(DownloadError::io(path))?;
        let usable = |n: &Note| n.origin == origin && (n.etag.is_some() || n.total == Some(n.synced));
        let note = read_note(path).filter(usable).unwrap_or_default();
        let mut part = Self { path: path.to_owned(), file, hash: Sha256::new(), length: 0, note };
        let left = part.file.metadata().map_err(DownloadError::io(path))?.len();
        if part.note.synced == 0 || left < part.note.synced {
            origin.clone_into(&mut part.note.origin);
            part.restart()?;
        } else {
            part.take_up()?;
        }
        Ok(part)
    }

    /// Hashes what is there; what lies behind it is cut off.
    fn take_up(&mut self) -> Result<(), DownloadError> {
        let io = || DownloadError::io(&self.path);
        self.file.set_len(self.note.synced).map_err(io())?;
        self.file.seek(SeekFrom::Start(0)).map_err(io())?;
        let mut buffer = vec![0u8; BUFFER];
        loop {
            let read = self.file.read(&mut buffer).map_err(io())?;
            let Some(bytes) = buffer.get(..read).filter(|b| !b.is_empty()) else { break };
            self.hash.update(bytes);
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// Forgets everything that came.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub fn restart(&mut self) -> Result<(), DownloadError> {
        self.note = Note { origin: std::mem::take(&mut self.note.origin), ..Note::default() };
        self.write_note()?;
        self.file.set_len(0).map_err(DownloadError::io(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(DownloadError::io(&self.path))?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
    }

    /// Bytes that are here.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of the whole file, where the host said so.
    pub fn total(&self) -> Option<u64> {
        self.note.total
    }

    /// Nothing is left to fetch.
    pub fn is_whole(&self) -> bool {
        self.note.total.is_some_and(|total| total == self.length)
    }

    /// Tag under which the rest can be asked for; `None` where it has to be the whole file.
    pub fn etag(&self) -> Option<&str> {
        self.note.etag.as_deref().filter(|_| self.length > 0)
    }

    /// What the host says of the file whose bytes follow.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn describe(&mut self, etag: Option<&str>, total: Option<u64>) -> Result<(), DownloadError> {
        self.note.etag = etag.filter(|tag| is_strong(tag)).map(str::to_owned);
        self.note.total = total;
        self.write_note()
    }

    /// Adds bytes. Short writes into the page cache: whoever fetches has nothing else to do.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(DownloadError::io(&self.path))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        if self.length - self.note.synced >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Waits until the disk has everything.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn sync(&mut self) -> Result<(), DownloadError> {
        self.file.sync_data().map_err(DownloadError::io(&self.path))?;
        self.note.synced = self.length;
        self.write_note()
    }

    /// The whole file is here and on the disk: its hash, hexadecimal.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn finish(&mut self) -> Result<String, DownloadError> {
        self.note.total = Some(self.length);
        self.sync()?;
        Ok(hex::encode(self.hash.clone().finalize()))
    }

    /// Takes the file away with its note.
    pub fn discard(self) {
        discard(&self.path);
    }

    fn write_note(&self) -> Result<(), DownloadError> {
        let path = note_path(&self.path);
        let text = serde_json::to_vec(&self.note).unwrap_or_default();
        // A note that a crash cut short reads as none.
        std::fs::write(&path, text).map_err(DownloadError::io(&path))
    }
}

/// Gives a whole file its own name.
///
/// # Errors
/// It cannot be renamed.
pub fn place(part: &Path, to: &Path) -> Result<(), DownloadError> {
    std::fs::rename(part, to).map_err(DownloadError::io(to))?;
    let _ = std::fs::remove_file(note_path(part));
    Ok(())
}

/// Takes away what was fetched: a file with its note, or a folder. What is not there is no matter.
pub fn discard(path: &Path) {
    let _ = std::fs::remove_file(note_path(path));
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

/// Makes a folder for files from `origin`; what another origin left in it goes.
///
/// # Errors
/// The folder cannot be used.
pub fn same_origin(folder: &Path, origin: &str) -> Result<(), DownloadError> {
    let note = folder.join(ORIGIN);
    if std::fs::read_to_string(&note).is_ok_and(|known| known == origin) {
        return Ok(());
    }
    discard(folder);
    std::fs::create_dir_all(folder).map_err(DownloadError::io(folder))?;
    std::fs::write(&note, origin).map_err(DownloadError::io(&note))
}

/// The note beside a partial file.
fn note_path(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".note");
    PathBuf::from(name)
}

fn read_note(part: &Path) -> Option<Note> {
    let path = note_path(part);
    if path.metadata().ok()?.len() > MOST_NOTE {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Weak tags name files that mean the same; bytes are joined only under strong ones (RFC 9110, 13.1.5).
fn is_strong(tag: &str) -> bool {
    tag.len() > 2
        && tag.len() < 1000
        && tag.starts_with('"')
        && tag.ends_with('"')
        && tag.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_disk_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.part");
        let mut part = Part::open(&path, "https://a/x").unwrap();
        part.describe(Some("\"t\""), Some(6)).unwrap();
        part.write(b"abc").unwrap();
        part.sync().unwrap();
        part.write(b"lost").unwrap();
        drop(part);
        let mut part = Part::open(&path, "https://a/x").unwrap();
        assert_eq!((part.length(), part.etag(), part.is_whole()), (3, Some("\"t\""), false));
        part.write(b"def").unwrap();
        assert_eq!(part.finish().unwrap(), hex::encode(Sha256::digest(b"abcdef")));
        assert!(Part::open(&path, "https://a/x").unwrap().is_whole());
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        let other = Part::open(&path, "https://b/x").unwrap();
        assert_eq!((other.length(), other.etag()), (0, None), "another address is another file");
        other.discard();
        assert!(!path.exists() && !note_path(&path).exists());
    }

    #[test]
    fn nothing_is_joined_without_a_strong_tag_or_a_sound_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.part");
        for tag in [None, Some("W/\"t\""), Some("t"), Some("\"\"")] {
            let mut part = Part::open(&path, "o").unwrap();
            part.describe(tag, Some(6)).unwrap();
            part.write(b"abc").unwrap();
            part.sync().unwrap();
            assert_eq!(Part::open(&path, "o").unwrap().length(), 0, "{tag:?}");
        }
        let mut part = Part::open(&path, "o").unwrap();
        part.describe(Some("\"t\""), None).unwrap();
        part.write(b"abc").unwrap();
        part.sync().unwrap();
        std::fs::write(&path, b"ab").unwrap();
        assert_eq!(Part::open(&path, "o").unwrap().length(), 0, "shorter than it was");
        std::fs::write(note_path(&path), b"{").unwrap();
        assert_eq!(Part::open(&path, "o").unwrap().length(), 0);
    }
}

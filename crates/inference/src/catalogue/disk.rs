//! Files that are written whole or not at all: copies that are hashed on the way, atomic replacement, folders that vanish
//! with whoever was filling them, and the lock between two writers.

use super::ShelfError;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BUFFER: usize = 4 << 20;
/// Folders that are being filled begin so; no model's name does.
const STAGING: &str = ".adding-";
/// A folder that holds this file is not whole; its lock says whether somebody still works on it.
const MARK: &str = ".adding";
const SHELF_LOCK: &str = ".lock";
/// A change of the list takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// SHA-256 of what a reader holds and its length; `on` hears of every piece and stops the reading with `Err`.
pub fn hash(
    reader: &mut dyn Read,
    path: &Path,
    on: &mut dyn FnMut(&[u8]) -> Result<(), ShelfError>,
) -> Result<(String, u64), ShelfError> {
    let mut hash = Sha256::new();
    let mut length = 0u64;
    let mut buffer = vec![0u8; BUFFER];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ShelfError::io(path)(e)),
        };
        hash.update(read);
        length += read.len() as u64;
        on(read)?;
    }
    let hex = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok((hex, length))
}

/// Copies a reader into a new file and down to the disk; gives hash and length. `on` hears of the bytes of every piece.
pub fn copy(
    reader: &mut dyn Read,
    from: &Path,
    to: &Path,
    on: &mut dyn FnMut(u64) -> Result<(), ShelfError>,
) -> Result<(String, u64), ShelfError> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(to).map_err(ShelfError::io(to))?;
    let copied = hash(reader, from, &mut |bytes| {
        file.write_all(bytes).map_err(ShelfError::io(to))?;
        on(bytes.len() as u64)
    })?;
    file.sync_all().map_err(ShelfError::io(to))?;
    Ok(copied)
}

/// Replaces a file by `text`: it holds the old text or the new one, also after a loss of power.
pub fn replace(path: &Path, text: &str) -> Result<(), ShelfError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        ShelfError::io(path)(e)
    })?;
    sync_folder(folder)
}

/// Writes a secret into a file that its owner alone reads, in place of what was there.
pub fn write_secret(path: &Path, secret: &str) -> Result<(), ShelfError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // An existing file may be open to others.
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()
    };
    write().map_err(ShelfError::io(path))?;
    sync_folder(folder)
}

/// Names in a folder are on the disk.
pub fn sync_folder(folder: &Path) -> Result<(), ShelfError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(ShelfError::io(folder))
}

/// Held by the one who changes the shelf; given back when dropped, also by a process that dies.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// [`ShelfError::Locked`] while another holds it for longer than a change takes.
    pub fn take(folder: &Path) -> Result<Self, ShelfError> {
        std::fs::create_dir_all(folder).map_err(ShelfError::io(folder))?;
        let path = folder.join(SHELF_LOCK);
        let given_up = Instant::now() + PATIENCE;
        loop {
            match Self::of_file(&path) {
                Err(ShelfError::Locked) if Instant::now() < given_up => thread::sleep(PAUSE),
                taken => return taken,
            }
        }
    }

    fn of_file(path: &Path) -> Result<Self, ShelfError> {
        // Not truncated: the file is another's too.
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = open.map_err(ShelfError::io(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ShelfError::Locked),
            Err(TryLockError::Error(e)) => Err(ShelfError::io(path)(e)),
        }
    }
}

/// A folder under way: its files appear under their name at once, or not at all.
pub struct Staging {
    folder: PathBuf,
    _mark: Lock,
}

impl Staging {
    /// A new folder inside `shelf`, which must exist.
    pub fn new(shelf: &Path) -> Result<Self, ShelfError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let own = format!("{STAGING}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = shelf.join(own);
        std::fs::create_dir(&folder).map_err(ShelfError::io(&folder))?;
        match Lock::of_file(&folder.join(MARK)) {
            Ok(mark) => Ok(Self { folder, _mark: mark }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Gives the folder its name, where nothing may be. It still vanishes unless [`Staging::keep`] follows.
    pub fn publish(&mut self, to: &Path) -> Result<(), ShelfError> {
        if to.symlink_metadata().is_ok() {
            return Err(ShelfError::NameTaken(to.file_name().unwrap_or_default().to_string_lossy().into_owned()));
        }
        sync_folder(&self.folder)?;
        std::fs::rename(&self.folder, to).map_err(ShelfError::io(to))?;
        to.clone_into(&mut self.folder);
        sync_folder(to.parent().unwrap_or(Path::new(".")))
    }

    /// The folder stays.
    pub fn keep(mut self) {
        unmark(&self.folder);
        self.folder = PathBuf::new();
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// From now on the folder is one that [`sweep`] takes away.
pub fn mark(folder: &Path) -> Result<(), ShelfError> {
    let path = folder.join(MARK);
    File::create(&path).map(drop).map_err(ShelfError::io(&path))
}

/// The mark is not the model's.
pub fn is_mark(name: &str) -> bool {
    name == MARK
}

fn unmark(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(MARK));
}

/// Takes away folders that were being filled or emptied when their process died: nobody holds their mark. `known` are
/// the models that the list names; those stay.
pub fn sweep(shelf: &Path, known: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(shelf) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let mark = path.join(MARK);
        if !entry.file_type().is_ok_and(|t| t.is_dir()) || !mark.is_file() || Lock::of_file(&mark).is_err() {
            continue;
        }
        if known(&entry.file_name().to_string_lossy()) {
            unmark(&path);
        } else {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

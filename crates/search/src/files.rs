//! The index folder: `lock`, `meta.json` (versions and statistics), `unsettled.json` (what is being written),
//! `shard/` (the engine's own).

use crate::SearchError;
use crate::bm25::{LengthStatistics, WEIGHTS_VERSION};
use crate::vectors::VectorModels;
use madang_domain::{CollectionId, DocumentId};
use madang_korean::ANALYSER_VERSION;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const META: &str = "meta.json";
const UNSETTLED: &str = "unsettled.json";
const LOCK: &str = "lock";
const SHARD: &str = "shard";
/// Raised when the layout of the folder, the payload or the vectors change.
const LAYOUT_VERSION: u32 = 1;

/// What the index knows of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    layout: u32,
    analyser: u32,
    weights: u32,
    pub lengths: LengthStatistics,
    /// Passages at the last settled write; another number found at opening means damage.
    pub passages: usize,
    /// The truth about dense vectors; the engine is brought in step with it at opening.
    #[serde(default)]
    pub vectors: VectorModels,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            layout: LAYOUT_VERSION,
            analyser: ANALYSER_VERSION,
            weights: WEIGHTS_VERSION,
            lengths: LengthStatistics::default(),
            passages: 0,
            vectors: VectorModels::default(),
        }
    }
}

/// What a write is about to change. On disk before the engine is touched and removed when the write has settled, so
/// that one found at opening tells of a write that was cut off.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unsettled {
    pub documents: BTreeSet<DocumentId>,
    pub collections: BTreeSet<CollectionId>,
}

/// The folder, locked to this process while the value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is missing and locks it.
    pub fn lock(root: &Path) -> Result<Self, SearchError> {
        fs::create_dir_all(root).map_err(SearchError::io(root))?;
        let path = root.join(LOCK);
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(SearchError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(SearchError::InUse(root.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(SearchError::Io { path, source }),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn shard(&self) -> PathBuf {
        self.root.join(SHARD)
    }

    /// Nothing was ever written here.
    pub fn is_new(&self) -> bool {
        !self.root.join(META).exists() && !self.shard().exists()
    }

    /// # Errors
    /// [`SearchError::NeedsRebuild`] when missing, unreadable or of other versions.
    pub fn read_meta(&self) -> Result<Meta, SearchError> {
        let meta: Meta =
            self.read(META)?.ok_or_else(|| SearchError::rebuild("색인의 판 정보(meta.json)가 없습니다."))?;
        let now = Meta::default();
        if meta.layout != now.layout {
            return Err(SearchError::rebuild(format!("색인 구조가 바뀌었습니다({} → {}).", meta.layout, now.layout)));
        }
        if meta.analyser != now.analyser || meta.weights != now.weights {
            return Err(SearchError::rebuild(format!(
                "한국어 분석기가 바뀌었습니다({}.{} → {}.{}).",
                meta.analyser, meta.weights, now.analyser, now.weights
            )));
        }
        Ok(meta)
    }

    pub fn write_meta(&self, meta: &Meta) -> Result<(), SearchError> {
        self.write(META, meta)
    }

    /// The write that was cut off, if any.
    pub fn read_unsettled(&self) -> Result<Option<Unsettled>, SearchError> {
        self.read(UNSETTLED)
    }

    pub fn write_unsettled(&self, unsettled: &Unsettled) -> Result<(), SearchError> {
        self.write(UNSETTLED, unsettled)
    }

    pub fn clear_unsettled(&self) -> Result<(), SearchError> {
        let path = self.root.join(UNSETTLED);
        remove(&path)?;
        sync_directory(&self.root)
    }

    /// Removes everything but the lock.
    pub fn clear(&self) -> Result<(), SearchError> {
        // Meta last: a folder without it, but with a shard, asks for a rebuild.
        let shard = self.shard();
        match fs::remove_dir_all(&shard) {
            Err(e) if e.kind() == ErrorKind::NotADirectory => remove(&shard)?,
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(SearchError::io(&shard)(e)),
            _ => {}
        }
        remove(&self.root.join(UNSETTLED))?;
        remove(&self.root.join(META))
    }

    /// Removes closed write-ahead segments but the newest, which carries the operation counter on. The engine never
    /// reads them back and never removes them itself. Call only while the shard is closed and settled.
    pub fn trim_write_ahead_log(&self) -> Result<(), SearchError> {
        let wal = self.shard().join("wal");
        let mut closed = closed_segments(&wal)?;
        closed.sort_unstable();
        closed.pop();
        closed.into_iter().try_for_each(|(_, path)| remove(&path))
    }

    /// Number of write-ahead segments that [`Folder::trim_write_ahead_log`] could look at.
    pub fn write_ahead_segments(&self) -> Result<usize, SearchError> {
        Ok(closed_segments(&self.shard().join("wal"))?.len())
    }

    /// Copies everything but the lock into `to`, which must be empty or missing.
    pub fn copy_to(&self, to: &Path) -> Result<(), SearchError> {
        fs::create_dir_all(to).map_err(SearchError::io(to))?;
        if fs::read_dir(to).map_err(SearchError::io(to))?.next().is_some() {
            return Err(SearchError::NotEmpty(to.to_owned()));
        }
        copy_tree(&self.shard(), &to.join(SHARD))?;
        let meta = self.root.join(META);
        fs::copy(&meta, to.join(META)).map_err(SearchError::io(&meta))?;
        sync_directory(to)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SearchError> {
        let path = self.root.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SearchError::io(&path)(e)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| SearchError::rebuild(format!("색인 파일 {name}을 읽을 수 없습니다({e}).")))
    }

    /// Whole or not at all: temporary file, fsync, rename, fsync of the folder.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), SearchError> {
        let path = self.root.join(name);
        let temporary = self.root.join(format!("{name}.tmp"));
        let bytes = serde_json::to_vec(value).map_err(|e| SearchError::Engine(e.to_string()))?;
        let mut file = File::create(&temporary).map_err(SearchError::io(&temporary))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(SearchError::io(&temporary))?;
        fs::rename(&temporary, &path).map_err(SearchError::io(&path))?;
        sync_directory(&self.root)
    }
}

fn remove(path: &Path) -> Result<(), SearchError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(SearchError::io(path)(e)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), SearchError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(SearchError::io(path))
}

/// Files `closed-N` of a write-ahead log with their N.
fn closed_segments(wal: &Path) -> Result<Vec<(u64, PathBuf)>, SearchError> {
    let entries = match fs::read_dir(wal) {
        Ok(entries) => entries,
        // A missing log is for the engine to complain of.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(SearchError::io(wal)(e)),
    };
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.map_err(SearchError::io(wal))?.path();
        let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("closed-")?.parse().ok());
        out.extend(number.map(|n| (n, path)));
    }
    Ok(out)
}

/// Copies with holes left as holes: the engine allocates 32 MiB pages of which a small index fills little.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create_new(to)?;
    let mut block = vec![0_u8; 64 * 1024];
    let mut length = 0_u64;
    loop {
        let read = source.read(&mut block)?;
        let bytes = block.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        length += bytes.len() as u64;
        if bytes.iter().all(|b| *b == 0) {
            target.seek(SeekFrom::Start(length))?;
        } else {
            target.write_all(bytes)?;
        }
    }
    target.set_len(length)?;
    target.sync_all()
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), SearchError> {
    fs::create_dir_all(to).map_err(SearchError::io(to))?;
    for entry in fs::read_dir(from).map_err(SearchError::io(from))? {
        let entry = entry.map_err(SearchError::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(SearchError::io(&source))?.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            copy_file(&source, &target).map_err(SearchError::io(&source))?;
        }
    }
    sync_directory(to)
}

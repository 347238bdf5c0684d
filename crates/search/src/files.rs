//! The index folder, wherever the points live: `lock`, `meta.json` (versions and statistics), `unsettled.json` (what is
//! being written), and in the embedded home `shard/` (the engine's own).

use crate::SearchError;
use crate::bm25::{LengthStatistics, WEIGHTS_VERSION};
use crate::vectors::VectorModels;
use madang_domain::{CollectionId, DocumentId};
use madang_korean::ANALYSER_VERSION;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const META: &str = "meta.json";
const UNSETTLED: &str = "unsettled.json";
const OPENING: &str = "opening.json";
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
    /// Where the points are, if not in this folder: the name of the collection on a Qdrant server. Random, so that no
    /// other installation writes into it, and none finds old points after this file was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
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
            remote: None,
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

impl Unsettled {
    pub fn and(mut self, other: &Self) -> Self {
        self.documents.extend(&other.documents);
        self.collections.extend(&other.collections);
        self
    }
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

    /// Does a process hold the folder? Creates nothing.
    pub fn is_locked(root: &Path) -> Result<bool, SearchError> {
        let path = root.join(LOCK);
        match File::open(&path).map(|lock| lock.try_lock_shared()) {
            Ok(Err(fs::TryLockError::WouldBlock)) => Ok(true),
            Ok(Err(fs::TryLockError::Error(source))) => Err(SearchError::Io { path, source }),
            Ok(Ok(())) => Ok(false),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(SearchError::Io { path, source }),
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

    /// The collection on a server that an index of whatever version noted here; `None` where none is known.
    pub fn remote(&self) -> Option<String> {
        let noted: Option<serde_json::Value> = self.read(META).ok().flatten();
        noted?.get("remote")?.as_str().map(str::to_owned)
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

    /// Notes that the engine's files are about to be read, and tells how often that was begun before and not ended.
    /// Damage can end the whole process, which nothing catches: a length turned into one beyond all memory does.
    pub fn begin_opening(&self) -> Result<u32, SearchError> {
        let before = self.read(OPENING).ok().flatten().unwrap_or(0_u32);
        self.write(OPENING, &before.saturating_add(1))?;
        Ok(before)
    }

    pub fn end_opening(&self) -> Result<(), SearchError> {
        remove(&self.root.join(OPENING))
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
        remove(&self.root.join(OPENING))?;
        remove(&self.root.join(META))
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

pub(crate) fn remove(path: &Path) -> Result<(), SearchError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(SearchError::io(path)(e)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), SearchError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(SearchError::io(path))
}

//! How a model comes onto the shelf: its header is read, its files are copied and hashed into a folder without a name,
//! tried, and given their name at once. Whatever goes wrong before leaves nothing behind.

use super::disk::{self, Lock};
use super::source::Source;
use super::state::{Installed, InstalledFile, State};
use super::{
    Entry, ModelFormat, ModelKind, Probe, Shelf, ShelfError, is_name, is_permissive, machine, name_from, probe,
    sha256_from,
};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Disk that stays free beside the copy, bytes.
const DISK_MARGIN: u64 = 64 << 20;
const LICENCE_UNKNOWN: &str = "확인 안 됨";

/// What is known of the model that comes.
#[derive(Debug, Clone, Default)]
pub struct AddOptions {
    /// Its name on the shelf; by default the catalogue's, else one made from the file's.
    pub name: Option<String>,
    /// Expected hash (hex) of the GGUF file, or of the folder's one file of weights.
    pub sha256: Option<String>,
    /// For screens.
    pub label: Option<String>,
    /// In place of what the files tell.
    pub kind: Option<ModelKind>,
    /// Set by whoever wants to stop; nothing stays then.
    pub cancelled: Arc<AtomicBool>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes copied and hashed, of all.
    Copying { done: u64, total: u64 },
    /// The model is being loaded and tried.
    Trying,
}

/// A model that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    pub model: Installed,
    pub probe: Probe,
    /// The hash of all weights was checked against one that was known before, not only computed.
    pub checked: bool,
    /// Korean: what the admin should know.
    pub warnings: Vec<String>,
}

impl Shelf {
    /// Copies a GGUF file or a model folder onto the shelf. Blocks; several may run at a time.
    ///
    /// # Errors
    /// [`ShelfError`] says what is wrong; nothing of the model stays.
    pub fn add(
        &mut self,
        path: &Path,
        options: &AddOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Added, ShelfError> {
        let source = Source::inspect(path, options.name.as_deref())?;
        std::fs::create_dir_all(self.folder()).map_err(ShelfError::io(self.folder()))?;
        self.sweep()?;
        self.refresh()?;
        let name = self.name_for(path, &source, options)?;
        let expected = options.sha256.as_deref();
        let given = expected.map(|h| sha256_from(h).ok_or_else(|| ShelfError::NotAHash(h.to_owned()))).transpose()?;
        if given.is_some() && !source.holds_weights() {
            return Err(ShelfError::Sharded);
        }
        let pinned = self.catalogue().find(&name).map(|e| e.sha256.clone()).filter(|h| !h.is_empty());
        room(self.folder(), source.bytes())?;

        let mut staging = self.stage()?;
        let files = copy(&source, staging.path(), options, progress)?;
        let sha256 = files.iter().find(|f| f.path == source.main).map(|f| f.sha256.clone()).unwrap_or_default();
        for expected in [&given, &pinned].into_iter().flatten() {
            if *expected != sha256 {
                let what = path.display().to_string();
                return Err(ShelfError::Differs { what, expected: expected.clone(), found: sha256 });
            }
        }
        self.free_for(&name, &files)?;
        progress(Progress::Trying);
        let known = self.catalogue().by_sha256(&sha256).or_else(|| self.catalogue().find(&name)).cloned();
        let kind = options.kind.or(known.as_ref().map(|k| k.kind)).unwrap_or(source.kind);
        let probe = probe::probe(&source.loaded(staging.path()), kind, &name)?;
        stopped(options)?;

        // The hash of a list, or of some of the files, says nothing of the weights.
        let checked = (given.is_some() || pinned.is_some()) && source.is_whole();
        let model = described(name, &source, kind, known.as_ref(), options, &probe, sha256, files);
        let warnings = warnings(&model, known.as_ref(), checked);
        let _lock = Lock::take(self.folder())?;
        let mut state = State::read(&self.list())?;
        self.set_state(state.clone());
        self.free_for(&model.name, &model.files)?;
        staging.publish(&self.folder().join(&model.name))?;
        state.models.push(model.clone());
        state.write(&self.list())?;
        staging.keep();
        self.set_state(state);
        Ok(Added { model, probe, checked, warnings })
    }

    fn name_for(&self, path: &Path, source: &Source, options: &AddOptions) -> Result<String, ShelfError> {
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = match &options.name {
            Some(name) if is_name(name) => name.clone(),
            Some(name) => return Err(ShelfError::Name(name.clone())),
            None => {
                let known = self.catalogue().by_file(&file).filter(|_| source.format == ModelFormat::Gguf);
                let stem = file.strip_suffix(".gguf").unwrap_or(&file);
                let made = known.map(|e| e.name.clone()).or_else(|| name_from(stem));
                made.ok_or_else(|| ShelfError::Name(file.clone()))?
            }
        };
        if self.find(&name).is_none() && self.folder().join(&name).symlink_metadata().is_err() {
            return Ok(name);
        }
        // The same file again is told apart from another one of this name by its length; the hash decides later.
        let same = self.find(&name).is_some_and(|m| m.size == source.bytes());
        if same { Ok(name) } else { Err(ShelfError::NameTaken(name)) }
    }

    /// Neither the files nor the name are on the shelf.
    fn free_for(&self, name: &str, files: &[InstalledFile]) -> Result<(), ShelfError> {
        if let Some(same) = self.installed().iter().find(|m| m.files == files) {
            return Err(ShelfError::Already(same.name.clone()));
        }
        if self.find(name).is_some() { Err(ShelfError::NameTaken(name.to_owned())) } else { Ok(()) }
    }
}

fn stopped(options: &AddOptions) -> Result<(), ShelfError> {
    if options.cancelled.load(Ordering::Relaxed) { Err(ShelfError::Stopped) } else { Ok(()) }
}

fn room(folder: &Path, bytes: u64) -> Result<(), ShelfError> {
    let needed = bytes.saturating_add(DISK_MARGIN);
    match machine::free_disk(folder) {
        Some(free) if free < needed => Err(ShelfError::NoRoom { needed, free }),
        _ => Ok(()),
    }
}

fn copy(
    source: &Source,
    to: &Path,
    options: &AddOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<InstalledFile>, ShelfError> {
    let (mut done, total) = (0u64, source.bytes());
    let mut files = Vec::with_capacity(source.files.len());
    for file in &source.files {
        let target = to.join(&file.to);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(ShelfError::io(folder))?;
        }
        let mut reader = File::open(&file.from).map_err(ShelfError::io(&file.from))?;
        let (sha256, size) = disk::copy(&mut reader, &file.from, &target, &mut |bytes| {
            done += bytes;
            progress(Progress::Copying { done, total });
            stopped(options)
        })?;
        files.push(InstalledFile { path: file.to.clone(), size, sha256 });
    }
    Ok(files)
}

#[allow(clippy::too_many_arguments, reason = "one call that brings together what the steps found")]
fn described(
    name: String,
    source: &Source,
    kind: ModelKind,
    known: Option<&Entry>,
    options: &AddOptions,
    probe: &Probe,
    sha256: String,
    files: Vec<InstalledFile>,
) -> Installed {
    let label = options.label.clone().or(known.map(|k| k.label.clone())).or_else(|| source.title.clone());
    let licence = known.map(|k| k.licence.clone()).or_else(|| source.licence.clone());
    let path = source.loaded(Path::new(&name)).to_string_lossy().into_owned();
    Installed {
        label: label.unwrap_or_else(|| name.clone()),
        kind,
        format: source.format,
        path,
        size: files.iter().map(|f| f.size).sum(),
        sha256,
        added: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        licence: licence.unwrap_or_else(|| LICENCE_UNKNOWN.to_owned()),
        source: known.map(|k| k.source.clone()).unwrap_or_default(),
        architecture: source.architecture.clone(),
        context: source.context,
        memory: probe.memory,
        per_second: probe.per_second,
        files,
        name,
    }
}

fn warnings(model: &Installed, known: Option<&Entry>, checked: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !checked {
        warnings.push("출처가 밝힌 SHA-256과 견주지 못했습니다. 위 값을 출처의 값과 눈으로 견주어 주세요.".to_owned());
    }
    if !is_permissive(&model.licence) {
        warnings.push(format!("라이선스({})가 공공기관의 업무 이용을 허락하는지 확인해 주세요.", model.licence));
    }
    warnings.extend(known.map(|k| k.note.clone()).filter(|n| !n.is_empty()));
    if machine::memory_bytes().is_some_and(|all| all < model.size) {
        warnings.push("이 기계의 메모리보다 큰 모델입니다. 느리거나 열리지 않을 수 있습니다.".to_owned());
    }
    warnings
}

//! The installed models of a home folder, `HOME/models`, with one folder for each and `installed.toml` as the list. Every
//! change takes the lock, reads the list anew and replaces it whole; readers never wait.

use super::disk::{self, Lock, Staging};
use super::state::{Installed, InternalServer, State, is_inside};
use super::{Catalogue, ModelKind, ShelfError};
use crate::ModelCard;
use crate::remote::{InternalNetworks, ModelServers, RemoteLimits};
use crate::router::EngineChoice;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const FOLDER: &str = "models";
const LIST: &str = "installed.toml";

/// What tells whether the list changed without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
}

/// A model whose files are as they were when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub sha256: String,
    pub files: usize,
    pub bytes: u64,
}

/// The shelf of one home folder.
#[derive(Debug)]
pub struct Shelf {
    home: PathBuf,
    folder: PathBuf,
    catalogue: Catalogue,
    state: State,
    stamp: Option<Stamp>,
}

impl Shelf {
    /// Reads the shelf of a home folder; writes nothing, and an absent one is empty.
    ///
    /// # Errors
    /// A damaged list or catalogue, which stays as it is.
    pub fn open(home: &Path) -> Result<Self, ShelfError> {
        let folder = home.join(FOLDER);
        let catalogue = Catalogue::with_own(&folder)?;
        let list = folder.join(LIST);
        let stamp = stamp(&list);
        let state = State::read(&list)?;
        Ok(Self { home: home.to_owned(), folder, catalogue, state, stamp })
    }

    /// Reads the list again where it changed; `true` when it says something else now. Cheap enough to ask before every
    /// answer.
    ///
    /// # Errors
    /// As [`Shelf::open`]; what was read before stays in force.
    pub fn refresh(&mut self) -> Result<bool, ShelfError> {
        let now = stamp(&self.list());
        if now == self.stamp {
            return Ok(false);
        }
        let state = State::read(&self.list())?;
        // Also what was written by hand, where nobody counts generations.
        let changed = state != self.state;
        (self.state, self.stamp) = (state, now);
        Ok(changed)
    }

    /// Rises with every change of the list.
    pub fn generation(&self) -> u64 {
        self.state.generation
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `HOME/models`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// In the order in which they came.
    pub fn installed(&self) -> &[Installed] {
        &self.state.models
    }

    pub fn find(&self, name: &str) -> Option<&Installed> {
        self.state.find(name)
    }

    /// The roles that are given, with the models' names.
    pub fn roles(&self) -> &BTreeMap<ModelKind, String> {
        &self.state.roles
    }

    /// The model that has a role.
    pub fn role(&self, role: ModelKind) -> Option<&Installed> {
        self.find(self.state.roles.get(&role)?)
    }

    pub fn choice(&self) -> &EngineChoice {
        &self.state.choice
    }

    /// The body's networks as the admin wrote them down.
    pub fn internal_networks(&self) -> &[String] {
        &self.state.internal_networks
    }

    pub fn servers(&self) -> &[InternalServer] {
        &self.state.servers
    }

    /// What to load for a model: a GGUF file or a folder.
    ///
    /// # Errors
    /// No such model, or something on its path is a link and could lead elsewhere.
    pub fn path(&self, name: &str) -> Result<PathBuf, ShelfError> {
        let model = self.find(name).ok_or_else(|| ShelfError::Unknown(name.to_owned()))?;
        let path = self.folder.join(&model.path);
        plain(&self.folder.join(name))?;
        plain(&path)?;
        Ok(path)
    }

    /// Reads every file of a model again and compares it with what came.
    ///
    /// # Errors
    /// [`ShelfError::Differs`] names the first file that changed, is missing or was not there.
    pub fn verify(&self, name: &str) -> Result<Verified, ShelfError> {
        let model = self.find(name).ok_or_else(|| ShelfError::Unknown(name.to_owned()))?;
        let folder = self.folder.join(name);
        plain(&folder)?;
        let mut bytes = 0;
        for file in &model.files {
            let path = folder.join(&file.path);
            plain(&path)?;
            let mut reader = File::open(&path).map_err(ShelfError::io(&path))?;
            let (found, length) = disk::hash(&mut reader, &path, &mut |_| Ok(()))?;
            if found != file.sha256 {
                let what = format!("{name}/{}", file.path);
                return Err(ShelfError::Differs { what, expected: file.sha256.clone(), found });
            }
            bytes += length;
        }
        let known = |path: &str| model.files.iter().any(|f| f.path == path);
        if let Some(other) = stranger(&folder, "", &known)? {
            let what = format!("{name}/{other}");
            return Err(ShelfError::Differs {
                what, expected: "(없던 파일)".to_owned(), found: "(있음)".to_owned()
            });
        }
        Ok(Verified { sha256: model.sha256.clone(), files: model.files.len(), bytes })
    }

    /// Gives a role to a model.
    ///
    /// # Errors
    /// No such model, or one of another kind.
    pub fn use_role(&mut self, role: ModelKind, name: &str) -> Result<(), ShelfError> {
        self.change(|state| {
            let kind = state.find(name).ok_or_else(|| ShelfError::Unknown(name.to_owned()))?.kind;
            if kind != role {
                return Err(ShelfError::WrongKind { name: name.to_owned(), kind, role });
            }
            state.roles.insert(role, name.to_owned());
            Ok(())
        })
    }

    /// Nobody has the role any more.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn free_role(&mut self, role: ModelKind) -> Result<(), ShelfError> {
        self.change(|state| {
            state.roles.remove(&role);
            Ok(())
        })
    }

    /// Which engine answers.
    ///
    /// # Errors
    /// The choice names a model that is not here or writes no text.
    pub fn set_choice(&mut self, choice: EngineChoice) -> Result<(), ShelfError> {
        self.change(|state| {
            if let EngineChoice::Model(name) = &choice {
                let kind = state.find(name).ok_or_else(|| ShelfError::Unknown(name.clone()))?.kind;
                if kind != ModelKind::Chat {
                    return Err(ShelfError::WrongKind { name: name.clone(), kind, role: ModelKind::Chat });
                }
            }
            state.choice = choice;
            Ok(())
        })
    }

    /// The body's own model servers and the networks they may stand in.
    ///
    /// # Errors
    /// [`ShelfError::Setting`]: a network or address that cannot be used, a key that cannot be read.
    pub fn set_servers(&mut self, networks: Vec<String>, servers: Vec<InternalServer>) -> Result<(), ShelfError> {
        let setting = |e: &dyn std::fmt::Display| ShelfError::Setting(e.to_string());
        let allowed = InternalNetworks::parse(&networks).map_err(|e| setting(&e))?;
        let configs = servers.iter().map(|s| s.config(&self.home)).collect::<Result<Vec<_>, _>>()?;
        if !configs.is_empty() {
            let card = ModelCard { name: "server".to_owned(), label: String::new(), context: 1 };
            ModelServers::new(card, configs, &allowed, RemoteLimits::default()).map_err(|e| setting(&e))?;
        }
        self.change(|state| {
            state.internal_networks = networks;
            state.servers = servers;
            Ok(())
        })
    }

    /// Takes a model off the shelf and deletes its files.
    ///
    /// # Errors
    /// [`ShelfError::InUse`] while it has a role or is the chosen engine, unless `force`, which takes those away.
    pub fn remove(&mut self, name: &str, force: bool) -> Result<(), ShelfError> {
        let folder = self.folder.join(name);
        self.change(|state| {
            let kind = state.find(name).ok_or_else(|| ShelfError::Unknown(name.to_owned()))?.kind;
            let chosen = matches!(&state.choice, EngineChoice::Model(model) if model == name);
            let role = state.roles.iter().find(|(_, n)| *n == name).map(|(role, _)| *role);
            if let Some(role) = role.or(chosen.then_some(kind)).filter(|_| !force) {
                return Err(ShelfError::InUse { name: name.to_owned(), role });
            }
            state.roles.retain(|_, n| n != name);
            state.models.retain(|m| m.name != name);
            if chosen {
                state.choice = EngineChoice::default();
            }
            // Should the deletion be broken off, the next one finishes it.
            if is_folder(&folder) { disk::mark(&folder) } else { Ok(()) }
        })?;
        let removed = if is_folder(&folder) { std::fs::remove_dir_all(&folder) } else { std::fs::remove_file(&folder) };
        match removed {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(ShelfError::io(&folder)(e)),
            _ => Ok(()),
        }
    }

    /// Takes away what killed processes left half done.
    pub(super) fn sweep(&self) -> Result<(), ShelfError> {
        let _lock = Lock::take(&self.folder)?;
        let state = State::read(&self.list())?;
        disk::sweep(&self.folder, |name| state.find(name).is_some());
        Ok(())
    }

    /// A folder to fill. Made under the lock, so that nobody sweeps it away before it is marked.
    pub(super) fn stage(&self) -> Result<Staging, ShelfError> {
        let _lock = Lock::take(&self.folder)?;
        Staging::new(&self.folder)
    }

    pub(super) fn list(&self) -> PathBuf {
        self.folder.join(LIST)
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.state = state;
        self.stamp = stamp(&self.list());
    }

    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut State) -> Result<T, ShelfError>,
    ) -> Result<T, ShelfError> {
        let _lock = Lock::take(&self.folder)?;
        let mut state = State::read(&self.list())?;
        let done = change(&mut state)?;
        state.write(&self.list())?;
        self.set_state(state);
        Ok(done)
    }
}

fn stamp(list: &Path) -> Option<Stamp> {
    let metadata = list.metadata().ok()?;
    Some(Stamp { modified: metadata.modified().ok()?, length: metadata.len() })
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_dir())
}

/// The file or folder itself, not a link to another.
fn plain(path: &Path) -> Result<(), ShelfError> {
    let metadata = path.symlink_metadata().map_err(ShelfError::io(path))?;
    if metadata.is_symlink() { Err(ShelfError::Link(path.to_owned())) } else { Ok(()) }
}

/// A file below `folder` that is not `known`.
fn stranger(folder: &Path, prefix: &str, known: &dyn Fn(&str) -> bool) -> Result<Option<String>, ShelfError> {
    for entry in std::fs::read_dir(folder).map_err(ShelfError::io(folder))? {
        let entry = entry.map_err(ShelfError::io(folder))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if !is_inside(&name) || disk::is_mark(&name) {
            continue;
        }
        let inner = if entry.file_type().is_ok_and(|t| t.is_dir()) {
            stranger(&entry.path(), &format!("{name}/"), known)?
        } else {
            (!known(&name)).then_some(name)
        };
        if inner.is_some() {
            return Ok(inner);
        }
    }
    Ok(None)
}

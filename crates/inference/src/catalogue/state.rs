//! What the shelf remembers, as `installed.toml`: the models with their hashes, roles, the engine's choice, and the
//! body's own model servers. A file with a key that is not known here is refused, so that nothing a newer version wrote
//! is lost.

use super::{ModelFormat, ModelKind, ShelfError, disk, is_name, kept, sha256_from};
use crate::remote::{GrammarSupport, ServerConfig};
use crate::router::EngineChoice;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

/// Raised when an older program could misread the file.
const VERSION: u32 = 1;
/// Largest list; a thousand models stay far below.
const MOST_BYTES: u64 = 4 << 20;
/// Keys of model servers are short.
const MOST_KEY_BYTES: u64 = 16 << 10;

/// One file of an installed model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstalledFile {
    /// Below the model's folder, with `/`.
    pub path: String,
    pub size: u64,
    pub sha256: String,
}

/// A model on the shelf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    pub name: String,
    pub label: String,
    pub kind: ModelKind,
    pub format: ModelFormat,
    /// What is loaded, below the shelf: `qwen3-4b-q4_k_m/model.gguf`, or a folder.
    pub path: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Of the file with the weights, as it was when the model came.
    pub sha256: String,
    /// RFC 3339.
    pub added: String,
    pub licence: String,
    /// Publisher and repository; empty where not known.
    pub source: String,
    pub architecture: String,
    /// Tokens; 0 where the files do not tell.
    pub context: u64,
    /// Memory after loading on this machine, bytes, and tokens (or texts) per second, from the trial at `add`.
    pub memory: u64,
    pub per_second: f64,
    pub files: Vec<InstalledFile>,
}

/// A server inside the body's network as the admin wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalServer {
    /// For screens.
    pub name: String,
    /// Base of the OpenAI routes: `http://10.1.2.3:8000/v1`.
    pub url: String,
    /// What the server calls the model.
    pub model: String,
    #[serde(default)]
    pub grammar: GrammarSupport,
    /// A file below the home folder with the key, readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// A PEM file below the home folder with the authority that is trusted for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_file: Option<String>,
    #[serde(default = "one")]
    pub weight: u32,
    /// Most requests at once.
    #[serde(default = "eight")]
    pub capacity: usize,
}

impl InternalServer {
    /// The server with its key and certificate read from the home folder.
    ///
    /// # Errors
    /// A file outside the home, missing, or readable by others.
    pub fn config(&self, home: &Path) -> Result<ServerConfig, ShelfError> {
        let key = self.key_file.as_deref().map(|f| read_secret(home, f)).transpose()?;
        let authority = self.authority_file.as_deref().map(|f| read_small(home, f)).transpose()?;
        Ok(ServerConfig {
            name: self.name.clone(),
            url: self.url.clone(),
            model: self.model.clone(),
            grammar: self.grammar,
            weight: self.weight.max(1),
            capacity: self.capacity.max(1),
            key: key.map(|k| k.trim().to_owned().into()),
            authority,
        })
    }
}

fn read_small(home: &Path, file: &str) -> Result<Vec<u8>, ShelfError> {
    if !is_inside(file) {
        return Err(ShelfError::Setting(format!("‘{file}’은(는) 홈 폴더 안의 파일이 아닙니다.")));
    }
    let path = home.join(file);
    let length = path.metadata().map_err(ShelfError::io(&path))?.len();
    if length > MOST_BYTES {
        return Err(ShelfError::Setting(format!("‘{file}’ 파일이 너무 큽니다.")));
    }
    std::fs::read(&path).map_err(ShelfError::io(&path))
}

fn read_secret(home: &Path, file: &str) -> Result<String, ShelfError> {
    let bytes = read_small(home, file)?;
    let mode = home.join(file).metadata().map_err(ShelfError::io(&home.join(file)))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(ShelfError::Setting(format!(
            "키 파일 ‘{file}’을(를) 다른 사람도 읽을 수 있습니다. chmod 600으로 막아 주세요."
        )));
    }
    let text = String::from_utf8(bytes).ok().filter(|t| t.len() as u64 <= MOST_KEY_BYTES && !t.trim().is_empty());
    text.ok_or_else(|| ShelfError::Setting(format!("키 파일 ‘{file}’을(를) 읽을 수 없습니다.")))
}

/// A path that stays below the folder it is joined to.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// Raised by every change: a running server reads again when it differs.
    pub generation: u64,
    #[serde(default)]
    pub choice: EngineChoice,
    /// Where model servers may stand (CIDR).
    #[serde(default)]
    pub internal_networks: Vec<String>,
    // Empty lists are left out, so that a person may add a first `[[servers]]` at the end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<ModelKind, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Installed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<InternalServer>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            generation: 0,
            choice: EngineChoice::default(),
            internal_networks: Vec::new(),
            roles: BTreeMap::new(),
            models: Vec::new(),
            servers: Vec::new(),
        }
    }
}

impl State {
    /// The state of a shelf; that of an empty one where there is no file yet.
    ///
    /// # Errors
    /// [`ShelfError::Damaged`]; the file stays as it is.
    pub fn read(path: &Path) -> Result<Self, ShelfError> {
        let length = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(ShelfError::io(path)(e)),
        };
        let damaged = |what: String| ShelfError::Damaged { path: path.to_owned(), what };
        if length > MOST_BYTES {
            return Err(damaged("파일이 너무 큽니다".to_owned()));
        }
        let bytes = std::fs::read(path).map_err(ShelfError::io(path))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("UTF-8이 아닙니다".to_owned()))?;
        let state: Self = toml::from_str(&text).map_err(|e| damaged(e.to_string().trim_end().to_owned()))?;
        match state.fault() {
            None => Ok(state),
            Some(what) => Err(damaged(what)),
        }
    }

    /// Writes the next generation, whole; what stayed the same keeps the words and comments that a person gave it.
    pub fn write(&mut self, path: &Path) -> Result<(), ShelfError> {
        self.generation += 1;
        let text = toml::to_string_pretty(self).map_err(|e| ShelfError::Setting(e.to_string()))?;
        let old = std::fs::read_to_string(path).unwrap_or_default();
        disk::replace(path, &kept::in_old_words(&old, &text).unwrap_or(text))
    }

    pub fn find(&self, name: &str) -> Option<&Installed> {
        self.models.iter().find(|m| m.name == name)
    }

    fn fault(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("version {}을(를) 이 프로그램은 모릅니다", self.version));
        }
        let mut names = BTreeSet::new();
        for model in &self.models {
            let name = &model.name;
            let inside = is_inside(&model.path) && model.files.iter().all(|f| is_inside(&f.path));
            let below = Path::new(&model.path).starts_with(name);
            if !is_name(name) || !names.insert(name) || !inside || !below || model.files.is_empty() {
                return Some(format!("모델 ‘{name}’의 이름이나 경로"));
            }
            let hashes = std::iter::once(&model.sha256).chain(model.files.iter().map(|f| &f.sha256));
            if hashes.into_iter().any(|h| sha256_from(h).is_none()) {
                return Some(format!("모델 ‘{name}’의 sha256"));
            }
        }
        let lost =
            |(role, name): (&ModelKind, &String)| (!names.contains(name)).then(|| format!("roles.{role} = ‘{name}’"));
        self.roles.iter().find_map(lost)
    }
}

fn one() -> u32 {
    1
}

fn eight() -> usize {
    8
}

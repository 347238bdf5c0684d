//! Which models there are: the catalogue of known ones, and the shelf of those that this installation holds, with what
//! each is used for. A model comes onto the shelf as a file that is on this machine already, carried in or fetched by the
//! gateway; nothing here opens a connection.
//!
//! What does not live here: computing with a model (`local`, `embed`), and talking to model servers (`remote`).

mod add;
mod disk;
mod entry;
mod error;
mod kept;
mod machine;
mod probe;
mod servers;
mod shelf;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod wanted;

pub use add::{AddOptions, Added, Progress};
pub use entry::{Catalogue, Entry, is_permissive};
pub use error::{ShelfError, human};
pub use machine::{memory_bytes, peak_resident_bytes, resident_bytes};
pub use probe::Probe;
pub use servers::NewServer;
pub use shelf::{Shelf, Verified};
pub use state::{Installed, InstalledFile, InternalServer};
pub use wanted::Wanted;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name of a model.
const LONGEST_NAME: usize = 64;

/// What a model does, and the role that one of its kind can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Writes text.
    Chat,
    /// Turns texts into vectors.
    Embedding,
    /// Tells how well passages answer a question.
    Reranker,
}

impl ModelKind {
    pub const ALL: [ModelKind; 3] = [ModelKind::Chat, ModelKind::Embedding, ModelKind::Reranker];

    /// As in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelKind::Chat => "chat",
            ModelKind::Embedding => "embedding",
            ModelKind::Reranker => "reranker",
        }
    }

    /// For screens.
    pub fn label(self) -> &'static str {
        match self {
            ModelKind::Chat => "글쓰기",
            ModelKind::Embedding => "의미 검색",
            ModelKind::Reranker => "순위 매기기",
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ModelKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ModelKind::ALL.into_iter().find(|k| k.as_str() == text).ok_or_else(|| {
            format!("‘{text}’은(는) 모델의 역할이 아닙니다. chat, embedding, reranker 가운데 하나를 적어 주세요.")
        })
    }
}

/// How a model's weights lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelFormat {
    /// One GGUF file.
    Gguf,
    /// A folder with `config.json`, tokenizer files and safetensors.
    Safetensors,
}

/// A name that can be a folder's on every file system: lower-case letters, digits, `.`, `-`, `_`, beginning with a letter
/// or digit. Such a name cannot lead out of the shelf.
pub fn is_name(name: &str) -> bool {
    let sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
    let first = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    first && name.len() <= LONGEST_NAME && name.bytes().all(sound) && !name.ends_with('.')
}

/// A name made of any text; `None` where nothing of it can stay.
fn name_from(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name: String = name.trim_matches(['-', '.', '_']).chars().take(LONGEST_NAME).collect();
    let name = name.trim_end_matches('.').to_owned();
    is_name(&name).then_some(name)
}

/// 64 hexadecimal digits, in lower case.
fn sha256_from(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    (text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit())).then_some(text)
}

//! The catalogue: what is known of models before any of them is here. The list is `models/catalogue.toml` of the source
//! tree, built into the binary; a file of the same name in the home's `models` folder adds to it and replaces entries.

use super::{ModelFormat, ModelKind, ShelfError, is_name, sha256_from};
use serde::{Deserialize, Serialize};
use std::path::Path;

const BUILT_IN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/catalogue.toml"));
const FILE: &str = "catalogue.toml";
/// Licences that ask nothing of a public body but to keep their text.
const PERMISSIVE: [&str; 5] = ["Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC"];
/// Tokens of context that the stated memory holds: several conversations, or one long one.
const CONTEXT_IN_MEMORY: u64 = 8192;
/// Tokenizer, activations and the program itself, bytes.
const BESIDE_WEIGHTS: u64 = 400 << 20;
/// Bytes of one key or value in the cache (f16).
const CACHED: u64 = 2;

/// May a public body use a model of this licence as it stands?
pub fn is_permissive(licence: &str) -> bool {
    // Model files write `apache-2.0`.
    PERMISSIVE.iter().any(|p| p.eq_ignore_ascii_case(licence))
}

/// One known model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Stable, also the folder's name on the shelf.
    pub name: String,
    /// Korean name for screens.
    pub label: String,
    pub kind: ModelKind,
    /// As the files call it: `qwen3`, `llama`, `xlm-roberta`, `model2vec`.
    pub architecture: String,
    pub parameters: u64,
    pub format: ModelFormat,
    /// Number format of the weights: `Q4_K_M`, `BF16`, `F32`.
    pub quantisation: String,
    /// The file with the weights.
    pub file: String,
    /// Its bytes, where they are known.
    #[serde(default)]
    pub size: Option<u64>,
    /// SPDX identifier, or the licence's own name.
    pub licence: String,
    /// Publisher and repository.
    pub source: String,
    /// Commit of the repository; empty where none was seen.
    #[serde(default)]
    pub revision: String,
    /// Of `file`; empty where none was seen. It is then computed when the model is added, shown, and pinned.
    #[serde(default)]
    pub sha256: String,
    /// Longest prompt and reply, or text, in tokens.
    pub context: u64,
    /// Layers, heads of keys and their length: what a token in the cache costs. Absent for encoders.
    #[serde(default)]
    pub layers: Option<u64>,
    #[serde(default)]
    pub kv_heads: Option<u64>,
    #[serde(default)]
    pub head_dim: Option<u64>,
    /// One Korean sentence.
    pub good_for: String,
    /// Korean: what to know before use, such as terms of the licence.
    #[serde(default)]
    pub note: String,
    /// The one to begin with, for a machine of its size.
    #[serde(default)]
    pub default: bool,
}

impl Entry {
    /// The licence lets a public body use the model.
    pub fn public_body_ok(&self) -> bool {
        is_permissive(&self.licence)
    }

    /// Bytes of the weights: the file's, else what the number format takes.
    pub fn weight_bytes(&self) -> u64 {
        let bits = match self.quantisation.as_str() {
            "F32" => 32.0,
            "BF16" | "F16" => 16.0,
            "Q8_0" => 8.5,
            "Q6_K" => 6.6,
            "Q5_K_M" => 5.7,
            _ => 4.9,
        };
        self.size.unwrap_or((self.parameters as f64 * bits / 8.0) as u64)
    }

    /// Bytes of keys and values of one token; `None` for a model without a cache or of unknown shape.
    pub fn cache_bytes_per_token(&self) -> Option<u64> {
        Some(2 * self.layers? * self.kv_heads? * self.head_dim? * CACHED)
    }

    /// Memory that the model needs at work: weights, 8,192 tokens of context (or the whole, if shorter) and the rest.
    pub fn memory_needed(&self) -> u64 {
        let cache = self.cache_bytes_per_token().unwrap_or(0) * self.context.min(CONTEXT_IN_MEMORY);
        self.weight_bytes() + cache + BESIDE_WEIGHTS
    }

    fn fault(&self) -> Option<String> {
        let name = &self.name;
        if !is_name(name) {
            return Some(format!("이름 ‘{name}’"));
        }
        if !self.sha256.is_empty() && sha256_from(&self.sha256).as_deref() != Some(self.sha256.as_str()) {
            return Some(format!("{name}의 sha256"));
        }
        if self.default && !self.public_body_ok() {
            return Some(format!("{name}: 이용 조건이 있는 라이선스({})는 default가 될 수 없음", self.licence));
        }
        let empty = [&self.label, &self.architecture, &self.quantisation, &self.file, &self.licence, &self.good_for];
        (empty.iter().any(|t| t.trim().is_empty()) || self.context == 0 || self.parameters == 0)
            .then(|| format!("{name}에 빈 값"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where sources lie: `https://…`; empty where nothing is to be fetched.
    #[serde(default)]
    hub: Option<String>,
    #[serde(default)]
    models: Vec<Entry>,
}

/// Known models, in the order of the file: small ones first within a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    hub: Option<String>,
    entries: Vec<Entry>,
}

impl Catalogue {
    /// The list that is built in.
    ///
    /// # Errors
    /// Never for a binary whose tests passed.
    pub fn built_in() -> Result<Self, ShelfError> {
        Self::parse(BUILT_IN, Path::new(FILE))
    }

    /// The built-in list with the entries of `folder/catalogue.toml`, where there is one.
    ///
    /// # Errors
    /// [`ShelfError::Catalogue`] where that file cannot be read.
    pub fn with_own(folder: &Path) -> Result<Self, ShelfError> {
        let mut catalogue = Self::built_in()?;
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let own = Self::parse(&text, &path)?;
                catalogue.hub = own.hub.or(catalogue.hub);
                own.entries.into_iter().for_each(|own| catalogue.put(own));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(ShelfError::io(&path)(e)),
        }
        Ok(catalogue)
    }

    fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|e| e.name == entry.name) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ShelfError> {
        let fault = |what: String| ShelfError::Catalogue { path: path.to_owned(), what };
        let file: File = toml::from_str(text).map_err(|e| fault(e.to_string()))?;
        for (i, entry) in file.models.iter().enumerate() {
            if let Some(what) = entry.fault() {
                return Err(fault(what));
            }
            if file.models.iter().take(i).any(|other| other.name == entry.name) {
                return Err(fault(format!("이름 ‘{}’이(가) 두 번", entry.name)));
            }
        }
        Ok(Self { hub: file.hub, entries: file.models })
    }

    /// Where the sources lie; empty where none is named.
    pub fn hub(&self) -> &str {
        self.hub.as_deref().unwrap_or_default()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// The model whose weights these are.
    pub fn by_sha256(&self, sha256: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| !e.sha256.is_empty() && e.sha256 == sha256)
    }

    /// The one model with a GGUF file of this name.
    pub fn by_file(&self, file: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.format == ModelFormat::Gguf && e.file.eq_ignore_ascii_case(file))
    }
}

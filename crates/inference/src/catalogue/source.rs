//! A model as somebody carried it in: one GGUF file, or a folder with safetensors. Its header is read before anything is
//! copied, so that a model which cannot be used is refused in a moment.

use super::{ModelFormat, ModelKind, ShelfError};
use crate::decoder::config::Config;
use crate::decoder::metadata::Metadata;
use crate::decoder::shards::INDEX;
use crate::decoder::weights::MappedFile;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The GGUF file's name on the shelf.
pub const GGUF_FILE: &str = "model.gguf";
const MAGIC: &[u8; 4] = b"GGUF";
const CONFIG: &str = "config.json";
/// Files of a model folder that are taken along; pickles, other runtimes' weights and programs are not.
const TAKEN: [&str; 4] = ["safetensors", "json", "jinja", "txt"];
/// Folders within a model folder go no deeper than `1_Pooling/config.json`.
const DEEPEST: usize = 1;
const MOST_FILES: usize = 500;
/// Real settings stay below 100 kB.
const MOST_CONFIG_BYTES: u64 = 4 << 20;

/// One file to be copied.
pub struct SourceFile {
    pub from: PathBuf,
    /// Below the model's folder on the shelf, with `/`.
    pub to: String,
    pub size: u64,
}

/// What was carried in.
pub struct Source {
    pub format: ModelFormat,
    pub kind: ModelKind,
    pub architecture: String,
    /// Tokens; 0 where the files do not tell.
    pub context: u64,
    /// What the file calls itself.
    pub title: Option<String>,
    pub licence: Option<String>,
    /// The file whose hash stands for the model.
    pub main: String,
    pub files: Vec<SourceFile>,
}

impl Source {
    /// Reads the header of a file or the settings of a folder. What the model does is told by these where they say it,
    /// else by its names: the file's and the one it is given.
    ///
    /// # Errors
    /// It is no model, or of a kind that is not known here.
    pub fn inspect(path: &Path, name: Option<&str>) -> Result<Self, ShelfError> {
        let metadata = path.metadata().map_err(ShelfError::io(path))?;
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let names = format!("{file} {}", name.unwrap_or_default()).to_lowercase();
        if metadata.is_dir() { folder(path, &names) } else { gguf(path, metadata.len(), &names) }
    }

    /// One hash speaks for all weights: they lie in the main file.
    pub fn is_whole(&self) -> bool {
        self.main == GGUF_FILE || !self.files.iter().any(|f| is_weights(&f.to) && f.to != self.main)
    }

    /// The main file holds weights, and not only the list of the files that do.
    pub fn holds_weights(&self) -> bool {
        self.main == GGUF_FILE || is_weights(&self.main)
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// What is loaded, in the folder where the files lie.
    pub fn loaded(&self, folder: &Path) -> PathBuf {
        match self.format {
            ModelFormat::Gguf => folder.join(GGUF_FILE),
            ModelFormat::Safetensors => folder.to_owned(),
        }
    }
}

fn not_a_model(path: &Path, why: impl Into<String>) -> ShelfError {
    ShelfError::NotAModel { path: path.to_owned(), why: why.into() }
}

fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors")
}

fn gguf(path: &Path, size: u64, names: &str) -> Result<Source, ShelfError> {
    let file = MappedFile::open(path)?;
    if !file.bytes().starts_with(MAGIC) {
        return Err(not_a_model(path, "GGUF 파일이나 safetensors가 든 폴더를 넣어 주세요."));
    }
    let content = file.gguf()?;
    let metadata = Metadata::new(&content);
    // What the file says of itself for people may be missing or empty.
    let text = |key: &str| metadata.text(key).ok().flatten().filter(|t| !t.is_empty()).map(str::to_owned);
    if metadata.size("split.count")?.is_some_and(|n| n > 1) {
        return Err(not_a_model(path, "여러 조각으로 나뉜 GGUF입니다. 하나로 합친 파일을 넣어 주세요."));
    }
    let config = Config::from_gguf(&content)?;
    let architecture = text("general.architecture").unwrap_or_default();
    let title = text("general.name");
    let names = format!("{} {names}", title.as_deref().unwrap_or_default().to_lowercase());
    Ok(Source {
        format: ModelFormat::Gguf,
        kind: gguf_kind(metadata.size(&format!("{architecture}.pooling_type"))?, &names),
        context: config.context as u64,
        architecture,
        title,
        licence: text("general.license"),
        main: GGUF_FILE.to_owned(),
        files: vec![SourceFile { from: path.to_owned(), to: GGUF_FILE.to_owned(), size }],
    })
}

/// llama.cpp's pooling types: 1 mean, 2 first token, 3 last token, 4 rank. Files without one tell by their names.
fn gguf_kind(pooling: Option<usize>, names: &str) -> ModelKind {
    match pooling {
        Some(4) => ModelKind::Reranker,
        _ if names.contains("reranker") => ModelKind::Reranker,
        Some(1..=3) => ModelKind::Embedding,
        _ if names.contains("embedding") => ModelKind::Embedding,
        _ => ModelKind::Chat,
    }
}

/// What `config.json` says.
#[derive(Deserialize)]
struct FolderConfig {
    model_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    max_position_embeddings: Option<u64>,
}

fn folder(path: &Path, names: &str) -> Result<Source, ShelfError> {
    let file = path.join(CONFIG);
    let length = file.metadata().map_err(|_| not_a_model(path, format!("{CONFIG}이 없습니다.")))?.len();
    if length > MOST_CONFIG_BYTES {
        return Err(not_a_model(path, format!("{CONFIG}이 너무 큽니다.")));
    }
    let text = std::fs::read_to_string(&file).map_err(ShelfError::io(&file))?;
    let config: FolderConfig =
        serde_json::from_str(&text).map_err(|e| not_a_model(path, format!("{CONFIG}을 읽을 수 없습니다({e}).")))?;
    let class = config.architectures.as_ref().and_then(|a| a.first()).cloned().unwrap_or_default();
    let kind = if class.ends_with("ForSequenceClassification") {
        ModelKind::Reranker
    } else if class.ends_with("ForCausalLM") && !path.join("modules.json").is_file() {
        Config::from_json(&text)?;
        // A decoder that judges has the files of one that writes.
        if names.contains("rerank") { ModelKind::Reranker } else { ModelKind::Chat }
    } else {
        ModelKind::Embedding
    };
    let mut files = Vec::new();
    gather(path, "", 0, &mut files)?;
    files.sort_by(|a, b| a.to.cmp(&b.to));
    let named = |name: &str| files.iter().any(|f| f.to == name).then(|| name.to_owned());
    let weights = || files.iter().find(|f| is_weights(&f.to)).map(|f| f.to.clone());
    let main = named("model.safetensors").or_else(|| named(INDEX)).or_else(weights);
    let main =
        main.ok_or_else(|| not_a_model(path, "safetensors 파일이 없습니다. 다른 형식(bin, onnx)은 읽지 않습니다."))?;
    Ok(Source {
        format: ModelFormat::Safetensors,
        kind,
        architecture: config.model_type.unwrap_or(class),
        context: config.max_position_embeddings.unwrap_or(0),
        title: None,
        licence: None,
        main,
        files,
    })
}

/// Files below `folder` that belong to a model. Links are followed here, so that a download cache can be added as it
/// lies; on the shelf they are plain files.
fn gather(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<SourceFile>) -> Result<(), ShelfError> {
    let entries = std::fs::read_dir(folder).map_err(ShelfError::io(folder))?;
    for entry in entries {
        let path = entry.map_err(ShelfError::io(folder))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.starts_with('.')) else { continue };
        let to = format!("{prefix}{name}");
        let metadata = path.metadata().map_err(ShelfError::io(&path))?;
        if metadata.is_dir() {
            if depth < DEEPEST {
                gather(&path, &format!("{to}/"), depth + 1, files)?;
            }
            continue;
        }
        let taken = path.extension().and_then(|e| e.to_str()).is_some_and(|e| TAKEN.contains(&e)) || name == "LICENSE";
        if taken && metadata.is_file() {
            files.push(SourceFile { to, size: metadata.len(), from: path });
        }
        if files.len() > MOST_FILES {
            return Err(not_a_model(folder, "파일이 너무 많습니다. 모델 하나의 폴더를 넣어 주세요."));
        }
    }
    Ok(())
}

//! Which files make up a model at its source, for whoever fetches them: of a GGUF its one file, of a folder those that
//! are known to belong to it, and those that they name.

use super::{Entry, ModelFormat};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Settings and word lists are small.
const MOST_SMALL: u64 = 256 << 20;
/// What a size that is only reckoned may be exceeded by.
const MARGIN: u64 = 1 << 30;
const MOST_SHARDS: usize = 200;
const INDEX: &str = ".safetensors.index.json";
const MODULES: &str = "modules.json";
/// Files of a folder besides the one with the weights; those marked `true` have to be there.
const BESIDE: [(&str, bool); 10] = [
    ("config.json", true),
    ("tokenizer.json", true),
    ("tokenizer_config.json", false),
    ("generation_config.json", false),
    ("special_tokens_map.json", false),
    ("chat_template.jinja", false),
    ("sentence_bert_config.json", false),
    ("config_sentence_transformers.json", false),
    (MODULES, false),
    ("LICENSE", false),
];

/// One file of a model at its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Below the source, with `/`.
    pub path: String,
    /// Without it there is no model.
    pub required: bool,
    /// The exact bytes, where they are known.
    pub size: Option<u64>,
    /// Most bytes that it can have.
    pub most: u64,
    /// Hash (hex), where one is known.
    pub sha256: Option<String>,
}

impl Entry {
    /// Where the files lie at the hub; `None` without a source.
    pub fn address(&self, hub: &str) -> Option<String> {
        let revision = if self.revision.is_empty() { "main" } else { &self.revision };
        let known = !hub.is_empty() && !self.source.is_empty();
        known.then(|| format!("{}/{}/resolve/{revision}", hub.trim_end_matches('/'), self.source))
    }

    /// The files to begin with, small ones first.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut files: Vec<Wanted> = match self.format {
            ModelFormat::Gguf => Vec::new(),
            ModelFormat::Safetensors => BESIDE.into_iter().map(|(path, required)| small(path, required)).collect(),
        };
        let size = self.size;
        let most = size.unwrap_or_else(|| self.weight_bytes().saturating_mul(2).saturating_add(MARGIN));
        let sha256 = Some(self.sha256.clone()).filter(|h| !h.is_empty());
        files.push(Wanted { path: self.file.clone(), required: true, size, most, sha256 });
        files
    }

    /// What the files of a folder name besides: parts of the weights, and layers after the encoder.
    ///
    /// # Errors
    /// A Korean sentence where they name what is no file of a model.
    pub fn wanted_besides(&self, folder: &Path) -> Result<Vec<Wanted>, String> {
        let mut files = Vec::new();
        let most = self.weight_bytes().saturating_mul(2).saturating_add(MARGIN);
        let weights = |path: String| Wanted { path, required: true, size: None, most, sha256: None };
        if self.file.ends_with(INDEX) {
            files.extend(shards(&read(&folder.join(&self.file))?)?.into_iter().map(weights));
        }
        if folder.join(MODULES).is_file() {
            for (path, with_weights) in layers(&read(&folder.join(MODULES))?)? {
                files.push(small(&format!("{path}/config.json"), true));
                files.extend(with_weights.then(|| weights(format!("{path}/model.safetensors"))));
            }
        }
        Ok(files)
    }
}

fn small(path: &str, required: bool) -> Wanted {
    Wanted { path: path.to_owned(), required, size: None, most: MOST_SMALL, sha256: None }
}

fn read(path: &Path) -> Result<Value, String> {
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read(path).map_err(|e| format!("{shown}: {e}"))?;
    serde_json::from_slice(&text).map_err(|_| format!("{shown} 파일을 읽을 수 없습니다."))
}

/// A plain name: it leads nowhere else, on the disk or at the source.
fn is_plain(name: &str) -> bool {
    let sound = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 120 && !name.starts_with('.') && name.bytes().all(sound)
}

fn shards(index: &Value) -> Result<BTreeSet<String>, String> {
    let map = index.get("weight_map").and_then(Value::as_object).ok_or("색인에 weight_map이 없습니다.")?;
    let names: BTreeSet<String> = map.values().filter_map(Value::as_str).map(str::to_owned).collect();
    let sound = names.iter().all(|n| is_plain(n) && n.ends_with(".safetensors"));
    let some = !names.is_empty() && names.len() <= MOST_SHARDS;
    if sound && some {
        Ok(names)
    } else {
        Err("색인이 가리키는 파일 이름을 쓸 수 없습니다.".to_owned())
    }
}

/// Folders of the layers, and whether they have weights of their own.
fn layers(modules: &Value) -> Result<Vec<(String, bool)>, String> {
    let mut found = Vec::new();
    for module in modules.as_array().into_iter().flatten() {
        let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
        let (path, kind) = (text("path"), text("type").rsplit('.').next().unwrap_or_default());
        if path.is_empty() || kind == "Normalize" {
            continue;
        }
        if !is_plain(path) {
            return Err("modules.json이 가리키는 폴더 이름을 쓸 수 없습니다.".to_owned());
        }
        found.push((path.to_owned(), kind == "Dense"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use serde_json::json;

    #[test]
    fn a_gguf_is_one_file_at_its_revision() {
        let catalogue = Catalogue::built_in().unwrap();
        let entry = catalogue.find("qwen3-0.6b-q8_0").unwrap();
        let address = entry.address(catalogue.hub()).unwrap();
        assert_eq!(address, format!("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF/resolve/{}", entry.revision));
        let [file] = entry.wanted().try_into().unwrap();
        assert_eq!((file.size, file.most, file.sha256), (entry.size, entry.size.unwrap(), Some(entry.sha256.clone())));
        assert_eq!(entry.address(""), None);
    }

    #[test]
    fn a_folder_names_its_parts() {
        let catalogue = Catalogue::built_in().unwrap();
        let entry = catalogue.find("kanana-1.5-8b").unwrap();
        assert!(entry.address(catalogue.hub()).unwrap().ends_with("/resolve/main"), "no revision is known");
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, value| std::fs::write(folder.path().join(name), serde_json::to_vec(&value).unwrap());
        assert!(entry.wanted_besides(folder.path()).is_err(), "no index yet");
        write(&entry.file, json!({ "weight_map": { "a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors" } })).unwrap();
        write(
            "modules.json",
            json!([{ "path": "", "type": "x.Transformer" }, { "path": "1_Pooling", "type": "x.Pooling" },
            { "path": "2_Dense", "type": "x.Dense" }, { "path": "3_Normalize", "type": "x.Normalize" }]),
        )
        .unwrap();
        let names: Vec<String> = entry.wanted_besides(folder.path()).unwrap().into_iter().map(|w| w.path).collect();
        let dense = ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"];
        assert_eq!(names, [&["model-1.safetensors", "model-2.safetensors"][..], &dense[..]].concat());
        for bad in ["../x.safetensors", "/etc/x.safetensors", "x.bin", "a/b.safetensors", "x.safetensors?y"] {
            write(&entry.file, json!({ "weight_map": { "a": bad } })).unwrap();
            assert!(entry.wanted_besides(folder.path()).is_err(), "{bad}");
        }
        write(&entry.file, json!({ "weight_map": { "a": "x.safetensors" } })).unwrap();
        write("modules.json", json!([{ "path": "../up", "type": "x.Dense" }])).unwrap();
        assert!(entry.wanted_besides(folder.path()).is_err());
    }
}

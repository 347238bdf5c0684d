//! Which files of a model folder hold its weights.

use crate::error::ModelError;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The list of a model whose weights are cut into several files.
pub const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Shards {
    weight_map: BTreeMap<String, String>,
}

/// One file, the files that an index names, or where there is neither, all files of weights that lie there.
///
/// # Errors
/// [`ModelError::Damaged`] where there are no weights, or a file that the index names is missing;
/// [`ModelError::Unsupported`] where they are of another format; the folder cannot be read.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    let index = folder.join(INDEX);
    match std::fs::read(&index) {
        Ok(bytes) => named(folder, &bytes),
        Err(e) if e.kind() != ErrorKind::NotFound => Err(ModelError::io(&index)(e)),
        Err(_) => lying_there(folder),
    }
}

fn named(folder: &Path, index: &[u8]) -> Result<Vec<PathBuf>, ModelError> {
    let damaged = |what: &dyn std::fmt::Display| ModelError::damaged(format!("{INDEX} ({what})"));
    let shards: Shards = serde_json::from_slice(index).map_err(|e| damaged(&e))?;
    let names: BTreeSet<_> = shards.weight_map.into_values().collect();
    // Never outside the folder.
    if let Some(name) = names.iter().find(|n| Path::new(n).file_name() != Some(n.as_ref())) {
        return Err(damaged(name));
    }
    match names.iter().find(|n| !folder.join(n).is_file()) {
        Some(name) => Err(ModelError::damaged(format!("{name} 없음"))),
        None if names.is_empty() => Err(damaged(&"파일 이름이 없음")),
        None => Ok(names.iter().map(|n| folder.join(n)).collect()),
    }
}

fn lying_there(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let entries = std::fs::read_dir(folder).map_err(ModelError::io(folder))?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    paths.sort();
    match paths.is_empty() {
        false => Ok(paths),
        true if folder.join("pytorch_model.bin").exists() => {
            Err(ModelError::unsupported("pytorch_model.bin (safetensors 형식의 가중치가 필요합니다)"))
        }
        true => Err(ModelError::damaged("model.safetensors 없음")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_an_index_names_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = || weight_files(folder.path()).unwrap_err().to_string();
        assert!(refused().contains("model.safetensors"));
        std::fs::write(at(INDEX), r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#).unwrap();
        std::fs::write(at("1.safetensors"), "x").unwrap();
        assert!(refused().contains("2.safetensors"));
        std::fs::write(at("2.safetensors"), "x").unwrap();
        std::fs::write(at("consolidated.safetensors"), "x").unwrap();
        assert_eq!(weight_files(folder.path()).unwrap(), [at("1.safetensors"), at("2.safetensors")]);
        std::fs::write(at(INDEX), r#"{"weight_map": {"a": "../1.safetensors"}}"#).unwrap();
        assert!(refused().contains("../1"));
        std::fs::write(at("model.safetensors"), "x").unwrap();
        assert_eq!(weight_files(folder.path()).unwrap(), [at("model.safetensors")]);
    }
}

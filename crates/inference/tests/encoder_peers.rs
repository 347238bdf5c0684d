//! Encoders, rerankers and static vectors beside the libraries whose files they read: transformers,
//! sentence-transformers and model2vec compute the same folders. Skipped aloud where their Python is not at hand:
//! MADANG_PEER_PYTHON, else `target/peers/python/bin/python`.

use madang_inference::embed::{EmbedSettings, TextKind, open_embedder, open_reranker};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Both sides compute in f32 by differently ordered sums; unit vectors of 24 to 64 numbers, 4 layers.
const VECTOR_TOLERANCE: f32 = 1e-5;
/// Logits are of size 1 to 10.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// The decoder keeps keys and values in f16.
const CACHE_TOLERANCE: f32 = 2e-3;
/// The static tables include one in f16, whose mean the peer rounds to f16 too.
const HALF_TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Vectors {
    texts: Vec<String>,
    query: Vec<Vec<f32>>,
    passage: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Scores {
    query: String,
    passages: Vec<String>,
    max_tokens: usize,
    logits: Vec<f32>,
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let usual = root.join("target/peers/python/bin/python");
    let python = std::env::var_os("MADANG_PEER_PYTHON").map_or(usual, PathBuf::from);
    let script = "import torch, transformers, sentence_transformers, model2vec";
    let there = Command::new(&python).args(["-c", script]).output().is_ok_and(|o| o.status.success());
    there.then_some(python)
}

fn read<T: for<'a> Deserialize<'a>>(folder: &Path) -> T {
    serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

fn farthest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Largest difference over all texts, both as questions and as passages.
fn vectors(folder: &Path) -> f32 {
    let expected: Vectors = read(folder);
    let model = open_embedder(folder, EmbedSettings::new("peer", "peer")).unwrap();
    let texts: Vec<_> = expected.texts.iter().map(String::as_str).collect();
    let mut most = 0.0_f32;
    for (kind, theirs) in [(TextKind::Query, &expected.query), (TextKind::Passage, &expected.passage)] {
        let ours = model.embed(kind, &texts, &|| false).unwrap();
        assert_eq!(ours.len(), theirs.len());
        most = ours.iter().zip(theirs).map(|(a, b)| farthest(&a.vector, b)).fold(most, f32::max);
    }
    most
}

fn logits(folder: &Path) -> f32 {
    let expected: Scores = read(folder);
    let settings = EmbedSettings { max_tokens: Some(expected.max_tokens), ..EmbedSettings::new("peer", "peer") };
    let model = open_reranker(folder, settings).unwrap();
    let passages: Vec<_> = expected.passages.iter().map(String::as_str).collect();
    farthest(&model.score(&expected.query, &passages, &|| false).unwrap(), &expected.logits)
}

#[test]
fn agrees_with_the_libraries_that_wrote_the_files() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with torch, transformers, sentence-transformers and model2vec");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/encoders.py");
    let run = Command::new(python).arg(script).arg(out.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut compared = 0;
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !folder.join("expected.json").exists() {
            continue;
        }
        let (far, tolerance) = match name.as_str() {
            "rerank-qwen3" => (logits(&folder), 10.0 * CACHE_TOLERANCE),
            n if n.starts_with("rerank-") => (logits(&folder), LOGIT_TOLERANCE),
            "embed-qwen3" => (vectors(&folder), CACHE_TOLERANCE),
            n if n.starts_with("embed-static") => (vectors(&folder), HALF_TOLERANCE),
            _ => (vectors(&folder), VECTOR_TOLERANCE),
        };
        eprintln!("{name}: largest difference {far:e}");
        assert!(far < tolerance, "{name}: {far}");
        compared += 1;
    }
    assert_eq!(compared, 14);
}

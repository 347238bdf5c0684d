//! Where real vocabularies and templates lie, for tests: the folder named by `MADANG_LLAMA_CPP`, else
//! `target/peers/llama_cpp_python`. Tests say so and pass when there is neither.
#![allow(dead_code, reason = "each test file uses its share")]

pub mod bytes;

use candle_core::quantized::gguf_file::Content;
use std::path::{Path, PathBuf};

/// The unpacked source of llama-cpp-python.
pub fn peer() -> Option<PathBuf> {
    let folder = std::env::var_os("MADANG_LLAMA_CPP").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/llama_cpp_python"),
        PathBuf::from,
    );
    if folder.join("vendor/llama.cpp/models").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no vocabularies in {} (cargo run -p xtask -- peers)", folder.display());
    None
}

/// The folder of `ggml-vocab-*.gguf`.
pub fn vocabularies() -> Option<PathBuf> {
    peer().map(|p| p.join("vendor/llama.cpp/models"))
}

/// The metadata of a GGUF file.
pub fn content(file: &Path) -> Content {
    let mut reader = std::io::BufReader::new(std::fs::File::open(file).unwrap());
    Content::read(&mut reader).unwrap()
}

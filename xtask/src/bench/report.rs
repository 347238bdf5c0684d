//! What both engines are asked to measure and what they report.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One run of one engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub model: PathBuf,
    pub threads: usize,
    /// Lengths of prompts.
    pub prefill: Vec<usize>,
    /// Tokens that are in the cache before tokens are decoded one at a time.
    pub decode_depth: Vec<usize>,
    pub decode_n: usize,
    /// Numbers of sequences that are decoded together, each with a prompt of its own.
    pub parallel: Vec<usize>,
    pub parallel_prompt: usize,
    pub parallel_n: usize,
    /// Tokens at the beginning that are in the cache already when the time to the first token is taken again.
    pub prefix: usize,
    /// Tokens after the prefix.
    pub question: usize,
}

impl Request {
    /// The numbers of the published table; `quick` shows only that everything runs.
    pub fn new(model: &Path, threads: usize, quick: bool) -> Self {
        let common = Self {
            model: model.to_owned(),
            threads,
            prefill: vec![128, 512, 2048],
            decode_depth: vec![0, 2048],
            decode_n: 64,
            parallel: vec![1, 4, 8],
            parallel_prompt: 128,
            parallel_n: 32,
            prefix: 1500,
            question: 64,
        };
        if !quick {
            return common;
        }
        Self {
            prefill: vec![128, 512],
            decode_depth: vec![0, 512],
            decode_n: 16,
            parallel_prompt: 32,
            parallel_n: 8,
            prefix: 500,
            ..common
        }
    }
}

/// What one run of one engine measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name and version.
    pub engine: String,
    pub load_seconds: f64,
    pub prefill: Vec<Prefill>,
    pub decode: Vec<Decode>,
    pub parallel: Vec<Parallel>,
    pub first_token: FirstToken,
    /// Largest resident memory of the process, the mapped weights included.
    pub peak_bytes: u64,
}

/// Tokens per second while reading a prompt of `tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prefill {
    pub tokens: usize,
    pub per_second: f64,
}

/// Tokens per second of one sequence after `depth` tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decode {
    pub depth: usize,
    pub per_second: f64,
}

/// Tokens per second of all `sequences` together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parallel {
    pub sequences: usize,
    pub per_second: f64,
}

/// Seconds to the first token of an answer to `prefix + question` tokens, with nothing and with the prefix in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstToken {
    pub prefix: usize,
    pub question: usize,
    pub fresh_seconds: f64,
    pub shared_seconds: f64,
}

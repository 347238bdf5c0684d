//! How fast a model file is on this machine: reading prompts, writing tokens, several at a time, and the first token with
//! and without a beginning that is computed already. The numbers are taken from the decoder itself, with random tokens,
//! so that they can be set beside another engine's.

use crate::catalogue::peak_resident_bytes;
use crate::decoder::cache::{BlockId, KvCache};
use crate::decoder::{Decoder, Output, Piece, Place, Want};
use crate::error::ModelError;
use crate::local::Loaded;
use madang_kernels::{BLOCK, Pool};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub model: PathBuf,
    pub threads: usize,
    /// Lengths of prompts.
    pub prefill: Vec<usize>,
    /// Tokens that are in the cache before tokens are written one at a time.
    pub decode_depth: Vec<usize>,
    pub decode_n: usize,
    /// Numbers of sequences that are written together, each with a prompt of its own.
    pub parallel: Vec<usize>,
    pub parallel_prompt: usize,
    pub parallel_n: usize,
    /// Tokens at the beginning that are in the cache already when the time to the first token is taken again.
    pub prefix: usize,
    /// Tokens after the prefix.
    pub question: usize,
}

impl Request {
    /// The numbers of the published table.
    pub fn new(model: &Path, threads: usize) -> Self {
        Self {
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
        }
    }

    /// Short runs: shows that everything works, not how fast it is.
    pub fn quick(model: &Path, threads: usize) -> Self {
        Self {
            prefill: vec![128, 512],
            decode_depth: vec![0, 512],
            decode_n: 16,
            parallel_prompt: 32,
            parallel_n: 8,
            prefix: 500,
            ..Self::new(model, threads)
        }
    }

    /// Positions that the longest measurement needs.
    fn positions(&self) -> usize {
        let longest = |all: &[usize], more: usize| all.iter().max().map_or(0, |n| n + more);
        let parallel = longest(&self.parallel, 0) * (self.parallel_prompt + self.parallel_n + BLOCK);
        [longest(&self.prefill, 0), longest(&self.decode_depth, self.decode_n), parallel, self.prefix + self.question]
            .into_iter()
            .max()
            .unwrap_or(0)
            + BLOCK
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
    /// Largest resident memory of the process so far, mapped files included.
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

/// Largest resident memory of this process so far, bytes (Linux; 0 elsewhere).
pub fn peak_bytes() -> u64 {
    peak_resident_bytes().unwrap_or(0)
}

struct Bench {
    decoder: Decoder,
    cache: KvCache,
}

/// Measures a file once.
///
/// # Errors
/// The file cannot be used.
pub fn run(request: &Request) -> Result<Report, ModelError> {
    let started = Instant::now();
    let decoder = Loaded::load(&request.model, Arc::new(Pool::new(request.threads)), Place::default())?.decoder;
    let load_seconds = started.elapsed().as_secs_f64();
    let cache = decoder.cache(request.positions().div_ceil(BLOCK))?;
    let mut bench = Bench { decoder, cache };
    bench.prefill(16, 0)?;
    let prefill = request.prefill.iter().map(|n| bench.measure_prefill(*n)).collect::<Result<_, _>>()?;
    let decode =
        request.decode_depth.iter().map(|d| bench.measure_decode(*d, request.decode_n)).collect::<Result<_, _>>()?;
    let parallel = request.parallel.iter().map(|n| bench.measure_parallel(*n, request)).collect::<Result<_, _>>()?;
    let first_token = bench.measure_first_token(request.prefix, request.question)?;
    let engine = format!("Madang {}", env!("CARGO_PKG_VERSION"));
    Ok(Report { engine, load_seconds, prefill, decode, parallel, first_token, peak_bytes: peak_bytes() })
}

impl Bench {
    /// Any token will do: how long a product takes does not depend on its numbers.
    fn token(&self, i: usize) -> u32 {
        (i.wrapping_mul(2_654_435_761) % self.decoder.config().vocab) as u32
    }

    fn prefill(&mut self, to: usize, from: usize) -> Result<(), ModelError> {
        self.prefill_in(&ids(0, to), to, from)
    }

    fn prefill_in(&mut self, blocks: &[BlockId], to: usize, from: usize) -> Result<(), ModelError> {
        let tokens: Vec<u32> = (from..to).map(|i| self.token(i)).collect();
        let mut start = from;
        for chunk in tokens.chunks(512) {
            let want = if start + chunk.len() == to { Want::Last } else { Want::Nothing };
            let piece = Piece { tokens: chunk, start, blocks, want };
            self.decoder.forward(&mut self.cache, &[piece], Output::Logits)?;
            start += chunk.len();
        }
        Ok(())
    }

    fn measure_prefill(&mut self, tokens: usize) -> Result<Prefill, ModelError> {
        let seconds = timed(|| self.prefill(tokens, 0))?;
        Ok(Prefill { tokens, per_second: tokens as f64 / seconds })
    }

    fn measure_decode(&mut self, depth: usize, count: usize) -> Result<Decode, ModelError> {
        self.prefill(depth.max(1), 0)?;
        let blocks = ids(0, depth + count + 1);
        let seconds = timed(|| {
            for i in 0..count {
                let tokens = [self.token(i)];
                let piece = Piece { tokens: &tokens, start: depth + i, blocks: &blocks, want: Want::Last };
                self.decoder.forward(&mut self.cache, &[piece], Output::Logits)?;
            }
            Ok(())
        })?;
        Ok(Decode { depth, per_second: count as f64 / seconds })
    }

    fn measure_parallel(&mut self, sequences: usize, request: &Request) -> Result<Parallel, ModelError> {
        let (prompt, count) = (request.parallel_prompt, request.parallel_n);
        let each = (prompt + count).div_ceil(BLOCK);
        let blocks: Vec<Vec<BlockId>> = (0..sequences).map(|s| ids(s * each, each * BLOCK)).collect();
        let tokens: Vec<u32> = (0..prompt).map(|i| self.token(i)).collect();
        for blocks in &blocks {
            let piece = Piece { tokens: &tokens, start: 0, blocks, want: Want::Nothing };
            self.decoder.forward(&mut self.cache, &[piece], Output::Logits)?;
        }
        let seconds = timed(|| {
            for i in 0..count {
                let tokens: Vec<[u32; 1]> = (0..sequences).map(|s| [self.token(i * 31 + s)]).collect();
                let pieces: Vec<Piece<'_>> = tokens
                    .iter()
                    .zip(&blocks)
                    .map(|(tokens, blocks)| Piece { tokens, start: prompt + i, blocks, want: Want::Last })
                    .collect();
                self.decoder.forward(&mut self.cache, &pieces, Output::Logits)?;
            }
            Ok(())
        })?;
        Ok(Parallel { sequences, per_second: (sequences * count) as f64 / seconds })
    }

    fn measure_first_token(&mut self, prefix: usize, question: usize) -> Result<FirstToken, ModelError> {
        let fresh_seconds = timed(|| self.prefill(prefix + question, 0))?;
        // Whole blocks are shared, the one that the beginning ends in is copied.
        let mut blocks = ids(0, prefix + question);
        let (cut, spare) = (prefix / BLOCK, BlockId(self.cache.blocks() as u32 - 1));
        let shared_seconds = timed(|| {
            if let Some(block) = blocks.get_mut(cut) {
                self.cache.copy(*block, spare)?;
                *block = spare;
            }
            self.prefill_in(&blocks, prefix + question, prefix)
        })?;
        Ok(FirstToken { prefix, question, fresh_seconds, shared_seconds })
    }
}

fn ids(first: usize, positions: usize) -> Vec<BlockId> {
    (0..positions.div_ceil(BLOCK)).map(|i| BlockId((first + i) as u32)).collect()
}

fn timed(work: impl FnOnce() -> Result<(), ModelError>) -> Result<f64, ModelError> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

//! How fast this machine reads memory, and how many bytes of a model one decoded token reads: together the upper bound
//! of decoding.

use anyhow::{Context, Result};
use candle_core::quantized::gguf_file::Content;
use std::path::Path;
use std::time::Instant;

/// Of each thread; far beyond any cache.
const WORDS: usize = 32 << 20;
const PASSES: usize = 5;

/// Bytes per second that `threads` read together, the best of a few passes over memory that no cache holds.
pub fn read_bytes_per_second(threads: usize) -> f64 {
    let buffers: Vec<Vec<u64>> =
        (0..threads).map(|thread| (0..WORDS as u64).map(|i| i ^ thread as u64).collect()).collect();
    let pass = || {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for buffer in &buffers {
                scope.spawn(|| std::hint::black_box(sum(buffer)));
            }
        });
        (threads * WORDS * 8) as f64 / started.elapsed().as_secs_f64()
    };
    (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
}

/// Processes that wanted a processor over the last minute; `None` where the system does not tell.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Independent sums, so that reading and not adding is what takes time.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for chunk in words.chunks_exact(32) {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |one, other| one.wrapping_add(*other))
}

/// What a decoded token reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBytes {
    /// Every weight once; of an embedding that is not also the output only one row, which is left out.
    pub weights: u64,
    /// Keys and values in f16 of each position before it.
    pub per_position: u64,
}

/// Reads the sizes from the file's directory.
///
/// # Errors
/// When the file is no GGUF file or lacks a dimension.
pub fn token_bytes(model: &Path) -> Result<TokenBytes> {
    let file = std::fs::File::open(model).with_context(|| model.display().to_string())?;
    let content = Content::read(&mut std::io::BufReader::new(file)).with_context(|| model.display().to_string())?;
    let tied = !content.tensor_infos.contains_key("output.weight");
    let read = content.tensor_infos.iter().filter(|(name, _)| tied || *name != "token_embd.weight");
    let weights = read
        .map(|(_, info)| {
            let blocks = info.shape.elem_count() / info.ggml_dtype.block_size();
            (blocks * info.ggml_dtype.type_size()) as u64
        })
        .sum();
    let key_widths = content.tensor_infos.iter().filter(|(name, _)| name.ends_with(".attn_k.weight"));
    let per_position = key_widths.map(|(_, info)| info.shape.dims().first().copied().unwrap_or(0) as u64 * 2 * 2).sum();
    Ok(TokenBytes { weights, per_position })
}

#[cfg(test)]
mod tests {
    use super::{TokenBytes, token_bytes};
    use crate::synthetic::{quantisation::Quantisation, write_tiny_model};

    #[test]
    fn bytes_of_a_token_are_the_weights_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tiny.gguf");
        write_tiny_model(Quantisation::F16, &path).expect("written");
        let TokenBytes { weights, per_position } = token_bytes(&path).expect("sizes");
        // tiny qwen3: 4 layers, 256 wide, 4 and 2 heads of 128, 512 in the feed-forward, 512 tokens
        let layer = 2 * (256 * 512 * 2 + 2 * 256 * 256 + 3 * 256 * 512) + 4 * (2 * 256 + 2 * 128);
        assert_eq!(weights, (4 * layer + 2 * 512 * 256 + 4 * 256) as u64);
        assert_eq!(per_position, 4 * 256 * 4);
    }
}

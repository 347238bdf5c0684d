//! Random weights with which a model behaves like one: activations stay of order one through the layers, attention
//! looks at few positions (so that a wrong rotation shows), and the likeliest token stands out from the next.
//!
//! A row depends only on seed, tensor and row number: the same model comes out on any number of threads, and as GGUF
//! and as safetensors.

use super::config::{Family, ModelConfig};
use super::tensors::{Part, TensorSpec};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Standard deviation of a logit before the spread between tokens.
const LOGIT_STD: f32 = 2.0;
/// Token rows differ in length by exp of a normal of this deviation: a heavy tail keeps the likeliest token apart from
/// the second, as in trained models; with equal rows the gap is within rounding.
const TOKEN_SPREAD: f32 = 0.4;
/// Attention scores get about this deviation: at a few thousand positions some handful then carries the weight.
const SCORE_STD: f32 = 2.5;
/// The layers add up to about this times the embedding: else a tied output would name the token just read, for ever.
const RESIDUAL_GAIN: f32 = 16.0;
/// Attention averages values; this brings its output back to the size of the feed-forward's.
const ATTENTION_GAIN: f32 = 2.0;
/// A gated unit is about half as large as its two factors.
const FFN_GAIN: f32 = 2.0;
const BIAS_STD: f32 = 0.3;
const NORM_STD: f32 = 0.1;

/// The weights of one model.
pub struct Weights<'a> {
    config: &'a ModelConfig,
    seed: u64,
    rope_divisors: Vec<f32>,
}

impl<'a> Weights<'a> {
    pub fn new(config: &'a ModelConfig, seed: u64) -> Self {
        Self { config, seed, rope_divisors: config.rope_divisors().unwrap_or_default() }
    }

    /// One row of a tensor in the order of the published weights.
    pub fn row(&self, spec: &TensorSpec, row: usize, values: &mut [f32]) {
        if spec.part == Part::RopeDivisors {
            values.copy_from_slice(&self.rope_divisors);
            return;
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.row_seed(&spec.gguf, row));
        let (mean, std) = self.distribution(spec);
        let std = match spec.part {
            Part::Embedding | Part::Output => std * (TOKEN_SPREAD * rng.sample::<f32, _>(StandardNormal)).exp(),
            _ => std,
        };
        for value in values {
            *value = mean + std * rng.sample::<f32, _>(StandardNormal);
        }
    }

    /// One row of a tensor in GGUF's order: for llama, llama.cpp's converter interleaves the two halves of each head of
    /// query and key, since its rotation pairs neighbours where the published weights pair halves.
    pub fn gguf_row(&self, spec: &TensorSpec, row: usize, values: &mut [f32]) {
        let interleaved = self.config.family == Family::Llama && matches!(spec.part, Part::Query | Part::Key);
        let row = if interleaved { deinterleaved(row, self.config.head_dim) } else { row };
        self.row(spec, row, values);
    }

    /// Mean and standard deviation.
    fn distribution(&self, spec: &TensorSpec) -> (f32, f32) {
        let fan_in = spec.shape.last().copied().unwrap_or(1) as f32;
        let unit = fan_in.sqrt().recip();
        let residual = RESIDUAL_GAIN / ((2 * self.config.layers) as f32).sqrt();
        let score = SCORE_STD.sqrt();
        match spec.part {
            Part::Embedding | Part::Output => (0.0, LOGIT_STD * unit),
            Part::Norm if spec.gguf.contains("attn_q_norm") || spec.gguf.contains("attn_k_norm") => (score, NORM_STD),
            Part::Norm | Part::RopeDivisors => (1.0, NORM_STD),
            Part::Query | Part::Key if self.config.family.qk_norm() => (0.0, unit),
            Part::Query | Part::Key => (0.0, score * unit),
            Part::Value | Part::Gate | Part::Up => (0.0, unit),
            Part::AttentionOutput => (0.0, ATTENTION_GAIN * residual * unit),
            Part::Down => (0.0, FFN_GAIN * residual * unit),
            Part::Bias => (0.0, BIAS_STD),
        }
    }

    /// FNV-1a over seed, name and row.
    fn row_seed(&self, name: &str, row: usize) -> u64 {
        let bytes = self.seed.to_le_bytes().into_iter().chain(name.bytes()).chain((row as u64).to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

/// The published row that stands at `row` after llama.cpp's permutation of heads.
fn deinterleaved(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    head * head_dim + (within % 2) * (head_dim / 2) + within / 2
}

#[cfg(test)]
mod tests {
    use super::deinterleaved;

    #[test]
    fn heads_are_interleaved_within_themselves() {
        let rows: Vec<usize> = (0..12).map(|row| deinterleaved(row, 6)).collect();
        assert_eq!(rows, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }
}

//! What a decoder file says of itself: dimensions, families, position scaling. Anything that is not known is refused by
//! its name; no value is guessed. The two spellings are read in `gguf` and `published`.

mod gguf;
mod published;

use crate::error::ModelError;
use candle_core::quantized::gguf_file::Content;
use madang_kernels::KvShape;

/// Which decoder it is; the families differ in biases, norms and the order of rotated pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
}

impl Family {
    fn of(name: &str) -> Result<Self, ModelError> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            other => Err(ModelError::unsupported(format!("모델 구조 ‘{other}’(아는 구조: llama, qwen2, qwen3)"))),
        }
    }
}

/// How positions beyond the trained length are brought back into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f64,
    },
    /// YaRN (Peng et al., 2023): high frequencies as they are, low ones interpolated, a ramp between.
    Yarn {
        factor: f64,
        original: usize,
        beta_fast: f64,
        beta_slow: f64,
        attention: f64,
    },
    /// Llama 3.1's: as `rope_freqs.weight` in GGUF files, computed from these four where there is none.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: usize,
    },
}

/// Dimensions and constants of one decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub family: Family,
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn: usize,
    pub vocab: usize,
    /// Positions it was made for.
    pub context: usize,
    pub epsilon: f32,
    pub rope_base: f64,
    /// Values of each head that are rotated.
    pub rope_dim: usize,
    pub scaling: Scaling,
    /// Rotated pairs are neighbours (llama's GGUF files) or half a head apart.
    pub interleaved: bool,
    /// The embedding serves as output where the file has none.
    pub tied: bool,
}

impl Config {
    /// Dimensions of a position's keys or values.
    pub fn kv_shape(&self) -> KvShape {
        KvShape { kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// Reads a GGUF file's metadata.
    ///
    /// # Errors
    /// A family or scaling that is not known, a value that is missing or makes no sense.
    pub fn from_gguf(content: &Content) -> Result<Self, ModelError> {
        gguf::read(content)?.checked()
    }

    /// Reads a `config.json` as Hugging Face's transformers write it.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf).
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        published::read(text)?.checked()
    }

    /// Every dimension lies in a range that a real model can have, so that products of them do not overflow.
    fn checked(self) -> Result<Self, ModelError> {
        let sizes = [
            ("layers", self.layers, 1_000),
            ("hidden", self.hidden, 1 << 17),
            ("heads", self.heads, 1 << 10),
            ("kv_heads", self.kv_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 10),
            ("ffn", self.ffn, 1 << 19),
            ("vocab", self.vocab, 1 << 20),
            ("context", self.context, 1 << 24),
            ("rope_dim", self.rope_dim, self.head_dim),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(ModelError::damaged(format!("{name} = {value}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.rope_dim.is_multiple_of(2) {
            return Err(ModelError::damaged(format!("heads {} / {}", self.heads, self.kv_heads)));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0 && self.rope_base.is_finite() && self.rope_base > 1.0) {
            return Err(ModelError::damaged("rms_epsilon, rope base"));
        }
        Ok(self)
    }
}

/// YaRN's factor on attention for a stretch by `factor`.
pub(super) fn yarn_attention(factor: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 1.0 + 0.1 * factor.ln() }
}

//! The dimensions of a model: those published for real ones, and what the command line changes. How they are written
//! as GGUF metadata or a `config.json` lives beside.

use clap::ValueEnum;

/// An architecture the decoder knows, named as GGUF's `general.architecture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    Qwen3,
    Qwen2,
    Llama,
}

impl Family {
    /// GGUF's name of the architecture, also the prefix of its metadata keys.
    pub fn architecture(self) -> &'static str {
        match self {
            Family::Qwen3 => "qwen3",
            Family::Qwen2 => "qwen2",
            Family::Llama => "llama",
        }
    }

    /// Biases on the projections to query, key and value.
    pub fn qkv_bias(self) -> bool {
        self == Family::Qwen2
    }

    /// RMS norms over each head of query and key.
    pub fn qk_norm(self) -> bool {
        self == Family::Qwen3
    }
}

/// A published model whose dimensions are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    #[value(name = "qwen3-0.6b")]
    Qwen3,
    #[value(name = "llama-3.2-1b")]
    Llama,
    #[value(name = "qwen2.5-0.5b")]
    Qwen25,
    /// Small enough for tests, with rows that fill blocks of 256; the family decides the rest.
    Tiny,
}

/// How positions beyond the trained context are squeezed into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    Linear {
        factor: f32,
    },
    /// Peng et al., YaRN, 2023.
    Yarn {
        factor: f32,
        original_context: usize,
    },
    /// Llama 3.1's rule; in GGUF a tensor of divisors, `rope_freqs.weight`.
    Llama3 {
        factor: f32,
        original_context: usize,
    },
}

/// Llama 3.1's `low_freq_factor`: wavelengths longer than context / this are divided by the full factor.
pub const LLAMA3_LOW: f32 = 1.0;
/// Llama 3.1's `high_freq_factor`: wavelengths shorter than context / this are left alone.
pub const LLAMA3_HIGH: f32 = 4.0;

/// Everything that shapes a decoder of these families.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    pub name: String,
    pub family: Family,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn: usize,
    pub vocab: usize,
    pub context: usize,
    pub rope_theta: f32,
    pub rms_eps: f32,
    /// The embedding is the output matrix too.
    pub tied: bool,
    pub scaling: Option<RopeScaling>,
}

impl ModelConfig {
    /// The published `config.json` of the model; for [`Preset::Tiny`] made up, with `family`'s traits.
    pub fn preset(preset: Preset, family: Family) -> Self {
        match preset {
            Preset::Qwen3 => Self {
                name: "synthetic-qwen3-0.6b".into(),
                family: Family::Qwen3,
                hidden: 1024,
                layers: 28,
                heads: 16,
                kv_heads: 8,
                head_dim: 128,
                ffn: 3072,
                vocab: 151_936,
                context: 40_960,
                rope_theta: 1e6,
                rms_eps: 1e-6,
                tied: true,
                scaling: None,
            },
            Preset::Llama => Self {
                name: "synthetic-llama-3.2-1b".into(),
                family: Family::Llama,
                hidden: 2048,
                layers: 16,
                heads: 32,
                kv_heads: 8,
                head_dim: 64,
                ffn: 8192,
                vocab: 128_256,
                context: 131_072,
                rope_theta: 5e5,
                rms_eps: 1e-5,
                tied: true,
                scaling: Some(RopeScaling::Llama3 { factor: 32.0, original_context: 8192 }),
            },
            Preset::Qwen25 => Self {
                name: "synthetic-qwen2.5-0.5b".into(),
                family: Family::Qwen2,
                hidden: 896,
                layers: 24,
                heads: 14,
                kv_heads: 2,
                head_dim: 64,
                ffn: 4864,
                vocab: 151_936,
                context: 32_768,
                rope_theta: 1e6,
                rms_eps: 1e-6,
                tied: true,
                scaling: None,
            },
            Preset::Tiny => Self {
                name: format!("synthetic-{}-tiny", family.architecture()),
                family,
                hidden: 256,
                layers: 4,
                heads: 4,
                kv_heads: 2,
                // qwen3 publishes head_dim apart from hidden / heads: the small model does too
                head_dim: if family == Family::Qwen3 { 128 } else { 64 },
                ffn: 512,
                vocab: 512,
                context: 4096,
                rope_theta: if family == Family::Llama { 1e4 } else { 1e6 },
                rms_eps: 1e-6,
                tied: true,
                scaling: None,
            },
        }
    }

    /// `head_dim` as it follows from the other dimensions where a file does not name it.
    pub fn implied_head_dim(&self) -> usize {
        self.hidden / self.heads.max(1)
    }

    /// Divisors of the `head_dim / 2` rotation frequencies under Llama 3.1's rule; `None` under any other.
    pub fn rope_divisors(&self) -> Option<Vec<f32>> {
        let Some(RopeScaling::Llama3 { factor, original_context }) = self.scaling else { return None };
        let original = original_context as f32;
        let divisor = |pair: usize| {
            let frequency = self.rope_theta.powf(-((2 * pair) as f32) / self.head_dim as f32);
            let wavelength = 2.0 * std::f32::consts::PI / frequency;
            if wavelength < original / LLAMA3_HIGH {
                1.0
            } else if wavelength > original / LLAMA3_LOW {
                factor
            } else {
                let smooth = (original / wavelength - LLAMA3_LOW) / (LLAMA3_HIGH - LLAMA3_LOW);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        Some((0..self.head_dim / 2).map(divisor).collect())
    }
}

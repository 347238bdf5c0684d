//! Which tensor type each tensor gets under a named quantisation, by the rules of llama.cpp's `llama-quant.cpp`
//! (without an importance matrix). The encoding itself is candle's.

use super::tensors::{Part, TensorSpec};
use candle_core::quantized::GgmlDType;
use clap::ValueEnum;

/// A quantisation as files are named by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quantisation {
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q5_k_m")]
    Q5KM,
    #[value(name = "q6_k")]
    Q6K,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    F16,
    F32,
}

impl Quantisation {
    /// llama.cpp's number for `general.file_type`.
    pub fn file_type(self) -> u32 {
        match self {
            Quantisation::F32 => 0,
            Quantisation::F16 => 1,
            Quantisation::Q4_0 => 2,
            Quantisation::Q8_0 => 7,
            Quantisation::Q4KM => 15,
            Quantisation::Q5KM => 17,
            Quantisation::Q6K => 18,
        }
    }

    fn base(self) -> GgmlDType {
        match self {
            Quantisation::F32 => GgmlDType::F32,
            Quantisation::F16 => GgmlDType::F16,
            Quantisation::Q4_0 => GgmlDType::Q4_0,
            Quantisation::Q8_0 => GgmlDType::Q8_0,
            Quantisation::Q4KM => GgmlDType::Q4K,
            Quantisation::Q5KM => GgmlDType::Q5K,
            Quantisation::Q6K => GgmlDType::Q6K,
        }
    }

    /// The type of a tensor in a model of `layers` layers, whose embedding is also the output where `tied`.
    pub fn dtype(self, spec: &TensorSpec, layers: usize, tied: bool) -> GgmlDType {
        let columns = spec.shape.last().copied().unwrap_or(1);
        if spec.shape.len() < 2 {
            return GgmlDType::F32;
        }
        let base = self.base();
        if matches!(self, Quantisation::F32 | Quantisation::F16) {
            return base;
        }
        let is_output = spec.part == Part::Output || (tied && spec.part == Part::Embedding);
        let mixed = matches!(self, Quantisation::Q4KM | Quantisation::Q5KM);
        let wanted = match (spec.part, spec.layer) {
            _ if is_output && !columns.is_multiple_of(base.block_size()) => GgmlDType::Q8_0,
            _ if is_output && base != GgmlDType::Q8_0 => GgmlDType::Q6K,
            (Part::Value | Part::Down, Some(layer)) if mixed && more_bits(layer, layers) => GgmlDType::Q6K,
            _ => base,
        };
        fallback(wanted, columns)
    }
}

/// Layers whose value and down projections get more bits: the first and last eighth and every third between.
fn more_bits(layer: usize, layers: usize) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

/// The nearest type whose blocks such rows fill.
pub fn fallback(wanted: GgmlDType, columns: usize) -> GgmlDType {
    if columns.is_multiple_of(wanted.block_size()) {
        return wanted;
    }
    let smaller = match wanted {
        GgmlDType::Q4K => GgmlDType::Q5_0,
        GgmlDType::Q5K => GgmlDType::Q5_1,
        GgmlDType::Q6K => GgmlDType::Q8_0,
        other => other,
    };
    if columns.is_multiple_of(smaller.block_size()) { smaller } else { GgmlDType::F16 }
}

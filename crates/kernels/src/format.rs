//! The number formats of weights, as they stand in a GGUF file (llama.cpp's `ggml-common.h`), and how to read them one
//! value at a time. Nothing here is fast.

use half::{bf16, f16};

/// How weights are stored. Names as in GGUF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q5_0,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Why a matrix could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Rows of `cols` values cannot be cut into the format's blocks.
    #[error("{format:?} needs rows of a multiple of {block} values, not {cols}")]
    Row { format: Format, block: usize, cols: usize },
    /// The bytes are not `rows * cols` values.
    #[error("{given} bytes instead of {needed}")]
    Size { given: usize, needed: usize },
    #[error("out of memory: {0}")]
    Memory(#[from] std::io::Error),
}

impl Format {
    /// Values in one block.
    pub const fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of one block in the file.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q5_0 => 22,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Bytes of a row of `cols` values in the file.
    ///
    /// # Errors
    /// [`PackError::Row`] when the row is not whole blocks.
    pub fn row_bytes(self, cols: usize) -> Result<usize, PackError> {
        if !cols.is_multiple_of(self.block()) {
            return Err(PackError::Row { format: self, block: self.block(), cols });
        }
        Ok(cols / self.block() * self.block_bytes())
    }
}

pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Scale and minimum number `j` (of 8) of a Q4_K or Q5_K block's twelve bytes, 6 bits each.
pub(crate) fn scale_min(scales: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        (scales[j + 4] & 15 | (scales[j - 4] >> 6) << 4, scales[j + 4] >> 4 | (scales[j] >> 6) << 4)
    }
}

/// The quantised value of element `i` of a block, without scale: 0..=15 for Q4_0 and Q4_K, 0..=31 for Q5_0 and Q5_K,
/// 0..=63 for Q6_K, the signed byte's bits for Q8_0.
pub(crate) fn quant_at(format: Format, block: &[u8], i: usize) -> u8 {
    let nibble = |qs: &[u8], i: usize| if i % 32 < 16 { qs[i % 16] & 15 } else { qs[i % 16] >> 4 };
    match format {
        Format::Q4_0 => nibble(&block[2..], i),
        Format::Q5_0 => {
            let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
            nibble(&block[6..], i) | (((high >> i) & 1) as u8) << 4
        }
        Format::Q8_0 => block[2 + i],
        Format::Q4_K => k_nibble(&block[16..144], i),
        Format::Q5_K => k_nibble(&block[48..176], i) | (block[16 + i % 32] >> (i / 32) & 1) << 4,
        Format::Q6_K => {
            let (half, j) = (i / 128, i % 128);
            let low = block[64 * half + j % 64];
            let low = if j < 64 { low & 15 } else { low >> 4 };
            low | (block[128 + 32 * half + j % 32] >> (2 * (j / 32)) & 3) << 4
        }
        Format::F32 | Format::F16 | Format::BF16 => 0,
    }
}

fn k_nibble(qs: &[u8], i: usize) -> u8 {
    let byte = qs[i / 64 * 32 + i % 32];
    if i % 64 < 32 { byte & 15 } else { byte >> 4 }
}

/// Value `i` of a float format's row.
pub(crate) fn float_at(format: Format, bytes: &[u8], i: usize) -> f32 {
    match format {
        Format::F32 => f32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]),
        Format::BF16 => bf16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32(),
        _ => half_at(bytes, 2 * i),
    }
}

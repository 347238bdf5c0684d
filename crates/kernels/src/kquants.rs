//! Products with K-quantised weights (Q4_K, Q5_K, Q6_K): unsigned quants of up to six bits times signed bytes.
//!
//! Sixteen rows form a panel of two halves, and eight lanes work on the eight rows of a half: no sum is ever taken across
//! lanes. A panel's block of 256 columns is unpacked once into the first-level cache and then met by every token. Four columns are multiplied at a
//! time; as many of these as fit are added in 16 bits, then multiplied by the sub-block's scale into 32 bits.

use crate::activations::BlocksK;
use crate::format::{Format, half_at, quant_at, scale_min};

/// Columns of a block.
pub(crate) const COLS: usize = 256;
/// Rows of half a panel: one for each lane.
pub(crate) const ROWS: usize = 8;
/// Halves of a panel.
pub(crate) const HALVES: usize = 2;

/// Bytes of one block of half a panel: those of eight rows in the file. The two halves' blocks stand side by side, so
/// that a pass over the weights reads memory in order.
pub(crate) const fn half_block_bytes(format: Format) -> usize {
    format.block_bytes() * ROWS
}

/// One block of half a panel, ready to be multiplied.
#[repr(C, align(64))]
#[derive(Clone)]
pub(crate) struct Block {
    /// Columns in groups of four: `[64][row][4]`
    quants: [u8; 2048],
    /// Scale of each sub-block, twice for the two halves of a lane: `[16][row][2]`; Q4_K and Q5_K use 8.
    scales: [[i16; 16]; 16],
    /// What the sums of quants are multiplied by, in pairs of neighbouring sums: `[8][row][2]`; Q4_K and Q5_K use 4.
    offsets: [[i16; 16]; 8],
    d: [f32; 8],
    offset_d: [f32; 8],
}

impl Block {
    pub const ZERO: Self =
        Self { quants: [0; 2048], scales: [[0; 16]; 16], offsets: [[0; 16]; 8], d: [0.0; 8], offset_d: [0.0; 8] };
}

// Packed layout of one block of half a panel, all parts in order:
//   Q4_K, Q5_K: d [8] f16, min d [8] f16, low scales [8 sub][8 rows] (scale & 15 | min << 4),
//               high scales [4][8 rows] (bits 0-1 scale of sub 2i, 2-3 of sub 2i+1, 4-5 and 6-7 their minima)
//   Q6_K:       d [8] f16, scales [16 sub][8 rows] i8
//   then for each sub-block of 32 columns (eight groups of four):
//               low bits [4][row][4]: group 2i in the low nibble, group 2i+1 in the high one
//               Q5_K: fifth bit [row][4]: bit g is group g's
//               Q6_K: fifth and sixth bit [2][row][4]: bits 2i, 2i+1 are group 4h+i's
const HEAD: usize = 32 + 64 + 32;
const HEAD6: usize = 16 + 128;

const fn sub_bytes(format: Format) -> usize {
    match format {
        Format::Q4_K => 128,
        Format::Q5_K => 160,
        _ => 192,
    }
}

const fn head_bytes(format: Format) -> usize {
    match format {
        Format::Q6_K => HEAD6,
        _ => HEAD,
    }
}

/// Packs one block of up to eight rows; missing rows stay zero.
pub(crate) fn pack(format: Format, rows: &[&[u8]], out: &mut [u8]) {
    for (r, block) in rows.iter().enumerate() {
        pack_head(format, r, block, out);
        for i in 0..COLS {
            let q = quant_at(format, block, i);
            let (sub, group, byte) = (i / 32, i % 32 / 4, r * 4 + i % 4);
            let at = head_bytes(format) + sub * sub_bytes(format);
            out[at + group / 2 * 32 + byte] |= (q & 15) << (4 * (group % 2));
            match format {
                Format::Q5_K => out[at + 128 + byte] |= (q >> 4) << group,
                Format::Q6_K => out[at + 128 + group / 4 * 32 + byte] |= (q >> 4) << (2 * (group % 4)),
                _ => {}
            }
        }
    }
}

fn pack_head(format: Format, r: usize, block: &[u8], out: &mut [u8]) {
    if format == Format::Q6_K {
        out[2 * r..2 * r + 2].copy_from_slice(&block[208..210]);
        for s in 0..16 {
            out[16 + 8 * s + r] = block[192 + s];
        }
        return;
    }
    out[2 * r..2 * r + 2].copy_from_slice(&block[0..2]);
    out[16 + 2 * r..18 + 2 * r].copy_from_slice(&block[2..4]);
    for s in 0..8 {
        let (scale, min) = scale_min(&block[4..16], s);
        out[32 + 8 * s + r] = scale & 15 | min << 4;
        out[96 + 8 * (s / 2) + r] |= (scale >> 4) << (2 * (s % 2)) | (min >> 4) << (4 + 2 * (s % 2));
    }
}

/// Row `r` of a packed block as floats.
pub(crate) fn row(format: Format, packed: &[u8], r: usize, out: &mut [f32]) {
    let mut block = Block::ZERO;
    unpack_portable(format, packed, &mut block);
    let per_scale = if format == Format::Q6_K { 16 } else { 32 };
    for (i, v) in out.iter_mut().enumerate() {
        let q = f32::from(block.quants[i / 4 * 32 + r * 4 + i % 4]);
        let s = i / per_scale;
        let scale = f32::from(block.scales[s][2 * r]);
        let offset = f32::from(block.offsets[s / 2][2 * r + s % 2]);
        *v = block.d[r] * scale * q - block.offset_d[r] * offset;
    }
}

/// Unpacks a block without vector instructions: what `avx2::unpack` must equal.
pub(crate) fn unpack_portable(format: Format, packed: &[u8], out: &mut Block) {
    for r in 0..ROWS {
        unpack_head(format, packed, r, out);
        for i in 0..COLS {
            let (sub, group, byte) = (i / 32, i % 32 / 4, r * 4 + i % 4);
            let at = head_bytes(format) + sub * sub_bytes(format);
            let low = packed[at + group / 2 * 32 + byte] >> (4 * (group % 2)) & 15;
            let high = match format {
                Format::Q5_K => packed[at + 128 + byte] >> group & 1,
                Format::Q6_K => packed[at + 128 + group / 4 * 32 + byte] >> (2 * (group % 4)) & 3,
                _ => 0,
            };
            out.quants[i / 4 * 32 + byte] = low | high << 4;
        }
    }
}

fn unpack_head(format: Format, packed: &[u8], r: usize, out: &mut Block) {
    out.d[r] = half_at(packed, 2 * r);
    if format == Format::Q6_K {
        out.offset_d[r] = 32.0 * out.d[r];
        for s in 0..16 {
            let scale = i16::from(packed[16 + 8 * s + r] as i8);
            out.scales[s][2 * r] = scale;
            out.scales[s][2 * r + 1] = scale;
            out.offsets[s / 2][2 * r + s % 2] = scale;
        }
        return;
    }
    out.offset_d[r] = half_at(packed, 16 + 2 * r);
    for s in 0..8 {
        let (low, high) = (packed[32 + 8 * s + r], packed[96 + 8 * (s / 2) + r] >> (2 * (s % 2)));
        let scale = i16::from(low & 15 | (high & 3) << 4);
        out.scales[s][2 * r] = scale;
        out.scales[s][2 * r + 1] = scale;
        out.offsets[s / 2][2 * r + s % 2] = i16::from(low >> 4 | (high >> 4 & 3) << 4);
    }
}

/// The tokens that a block meets: `count` of them from `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Tokens {
    pub first: usize,
    pub count: usize,
}

/// Adds the products of column block `k` of half a panel with some tokens to `sums` (`[token][lane]`, `stride` apart).
/// `total` is the number of tokens of `x`.
pub(crate) fn accumulate_portable(
    format: Format,
    block: &Block,
    x: &BlocksK,
    total: usize,
    k: usize,
    tokens: Tokens,
    sums: &mut [f32],
    stride: usize,
) {
    for t in 0..tokens.count {
        let at = k * total + tokens.first + t;
        let quants = &x.quants[at * COLS..at * COLS + COLS];
        for r in 0..ROWS {
            let per_scale = if format == Format::Q6_K { 16 } else { 32 };
            let mut product = 0i32;
            for (i, q) in quants.iter().enumerate() {
                let w = i32::from(block.quants[i / 4 * 32 + r * 4 + i % 4]);
                product += w * i32::from(*q) * i32::from(block.scales[i / per_scale][2 * r]);
            }
            let pairs: &[i16] =
                if format == Format::Q6_K { &x.sums16[at * 16..at * 16 + 16] } else { &x.sums32[at * 8..at * 8 + 8] };
            let offset: i32 = pairs
                .iter()
                .enumerate()
                .map(|(i, s)| i32::from(*s) * i32::from(block.offsets[i / 2][2 * r + i % 2]))
                .sum();
            let sum = &mut sums[t * stride + r];
            *sum = (product as f32).mul_add(block.d[r] * x.scales[at], *sum);
            *sum = (-(offset as f32)).mul_add(block.offset_d[r] * x.scales[at], *sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;

//! Products with weights in blocks of 32 with one scale each (Q8_0, Q5_0, Q4_0): both sides as 16-bit numbers, products
//! of neighbouring columns added into 32 bits. Panels and halves are those of the K-quants.

use crate::activations::BlocksB;
use crate::format::{Format, half_at, quant_at};
use crate::kquants::{HALVES, ROWS, Tokens};

/// Columns of a block.
pub(crate) const COLS: usize = 32;

/// Bytes of one block of half a panel: those of eight rows in the file.
pub(crate) const fn half_block_bytes(format: Format) -> usize {
    format.block_bytes() * ROWS
}

/// One block of half a panel, ready to be multiplied: `[pair of columns][row][2]`.
#[repr(C, align(64))]
#[derive(Clone)]
pub(crate) struct Block {
    values: [i16; 256],
    d: [f32; 8],
}

impl Block {
    pub const ZERO: Self = Self { values: [0; 256], d: [0.0; 8] };
}

// Packed layout of one block of half a panel: d [8] f16, then
//   Q8_0:       values [16 pairs][8 rows][2]
//   Q4_0, Q5_0: low bits [8 pairs][8 rows][2]: pair p in the low nibbles, pair p + 8 in the high ones
//   Q5_0:       fifth bits [2][8 rows][2]: bit i of plane h is pair 8h + i's
const HEAD: usize = 16;

/// Packs one block of up to eight rows; missing rows stay zero.
pub(crate) fn pack(format: Format, rows: &[&[u8]], out: &mut [u8]) {
    for (r, block) in rows.iter().enumerate() {
        out[2 * r..2 * r + 2].copy_from_slice(&block[0..2]);
        for i in 0..COLS {
            let q = quant_at(format, block, i);
            let (pair, byte) = (i / 2, r * 2 + i % 2);
            if format == Format::Q8_0 {
                out[HEAD + pair * 16 + byte] = q;
                continue;
            }
            out[HEAD + pair % 8 * 16 + byte] |= (q & 15) << (4 * (pair / 8));
            if format == Format::Q5_0 {
                out[HEAD + 128 + pair / 8 * 16 + byte] |= (q >> 4) << (pair % 8);
            }
        }
    }
}

fn value_at(format: Format, packed: &[u8], pair: usize, byte: usize) -> i16 {
    if format == Format::Q8_0 {
        return i16::from(packed[HEAD + pair * 16 + byte] as i8);
    }
    let low = i16::from(packed[HEAD + pair % 8 * 16 + byte] >> (4 * (pair / 8)) & 15);
    if format == Format::Q4_0 {
        return low - 8;
    }
    let high = i16::from(packed[HEAD + 128 + pair / 8 * 16 + byte] >> (pair % 8) & 1);
    (low | high << 4) - 16
}

/// Row `r` of a packed block as floats.
pub(crate) fn row(format: Format, packed: &[u8], r: usize, out: &mut [f32]) {
    let d = half_at(packed, 2 * r);
    for (i, v) in out.iter_mut().enumerate() {
        *v = d * f32::from(value_at(format, packed, i / 2, r * 2 + i % 2));
    }
}

/// Unpacks a block without vector instructions: what `avx2::unpack` must equal.
pub(crate) fn unpack_portable(format: Format, packed: &[u8], out: &mut Block) {
    for r in 0..ROWS {
        out.d[r] = half_at(packed, 2 * r);
    }
    for (i, v) in out.values.iter_mut().enumerate() {
        *v = value_at(format, packed, i / 16, i % 16);
    }
}

/// Adds the products of neighbouring column blocks, from block `k` on, of half a panel with some tokens to `sums`
/// (`[token][lane]`, `stride` apart). `total` is the number of tokens of `x`.
pub(crate) fn accumulate_portable(
    blocks: &[Block],
    x: &BlocksB,
    total: usize,
    k: usize,
    tokens: Tokens,
    sums: &mut [f32],
    stride: usize,
) {
    for t in 0..tokens.count {
        for r in 0..ROWS {
            for (b, block) in blocks.iter().enumerate() {
                let at = (k + b) * total + tokens.first + t;
                let quants = &x.quants[at * COLS..at * COLS + COLS];
                let product: i32 = quants
                    .iter()
                    .enumerate()
                    .map(|(i, q)| i32::from(block.values[i / 2 * 16 + r * 2 + i % 2]) * i32::from(*q))
                    .sum();
                let sum = &mut sums[t * stride + r];
                *sum = (product as f32).mul_add(block.d[r] * x.scales[at], *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2 {
    //! The same with AVX2.

    use super::{Block, COLS, HALVES, HEAD, Tokens};
    use crate::activations::BlocksB;
    use crate::format::Format;
    use crate::{ahead, in_order};
    use std::arch::x86_64::*;

    /// Unpacks one block of Q4_0 or Q5_0.
    ///
    /// # Safety
    /// The CPU has AVX2 and F16C, and `packed` holds a whole block of the format.
    #[target_feature(enable = "avx2,f16c")]
    pub(crate) unsafe fn unpack(format: Format, packed: &[u8], out: &mut Block) {
        debug_assert!(packed.len() >= super::half_block_bytes(format));
        let p = packed.as_ptr();
        ahead(p, packed.len());
        let to = out.values.as_mut_ptr().cast::<__m256i>();
        // SAFETY: all offsets lie inside the block; see the layout above.
        unsafe {
            _mm256_store_ps(out.d.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(p.cast())));
            let p = p.add(HEAD);
            match format {
                Format::Q4_0 => {
                    let (nibble, eight) = (_mm_set1_epi8(15), _mm_set1_epi8(8));
                    for pair in 0..8 {
                        let both = _mm_loadu_si128(p.add(16 * pair).cast());
                        let low = _mm_sub_epi8(_mm_and_si128(both, nibble), eight);
                        let high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16::<4>(both), nibble), eight);
                        _mm256_store_si256(to.add(pair), _mm256_cvtepi8_epi16(low));
                        _mm256_store_si256(to.add(pair + 8), _mm256_cvtepi8_epi16(high));
                    }
                }
                _ => unpack5(p, to),
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn unpack5(p: *const u8, to: *mut __m256i) {
        let nibble = _mm_set1_epi8(15);
        // SAFETY: reads 160 bytes, writes 16 vectors.
        unsafe {
            let planes = [_mm_loadu_si128(p.add(128).cast()), _mm_loadu_si128(p.add(144).cast())];
            for pair in 0..8 {
                let both = _mm_loadu_si128(p.add(16 * pair).cast());
                let bit = _mm_set1_epi8(1 << pair);
                let low = _mm_and_si128(both, nibble);
                let high = _mm_and_si128(_mm_srli_epi16::<4>(both), nibble);
                for (i, four) in [low, high].into_iter().enumerate() {
                    // A set fifth bit adds sixteen to -16 + the low bits: without it sixteen is taken off.
                    let unset = _mm_cmpeq_epi8(_mm_and_si128(planes[i], bit), _mm_setzero_si128());
                    let value = _mm_sub_epi8(four, _mm_and_si128(unset, _mm_set1_epi8(16)));
                    _mm256_store_si256(to.add(pair + 8 * i), _mm256_cvtepi8_epi16(value));
                }
            }
        }
    }

    /// A panel's blocks of neighbouring columns: unpacked, or (Q8_0 alone) as they stand in the weights, where widening
    /// a byte costs less than storing and loading what it becomes.
    #[derive(Clone, Copy)]
    pub(crate) struct Run<'a> {
        halves: [*const u8; HALVES],
        /// From one block to the next of the same half.
        step: usize,
        count: usize,
        weights: std::marker::PhantomData<&'a u8>,
    }

    impl<'a> Run<'a> {
        /// Both halves have as many blocks.
        pub fn unpacked(blocks: [&'a [Block]; HALVES]) -> Self {
            let halves = blocks.map(|b| b.as_ptr().cast());
            Self { halves, step: size_of::<Block>(), count: blocks[0].len(), weights: std::marker::PhantomData }
        }

        /// Whole blocks of Q8_0, the two halves' side by side.
        pub fn packed(bytes: &'a [u8]) -> Self {
            let half = super::half_block_bytes(Format::Q8_0);
            let halves = [bytes.as_ptr(), bytes[half..].as_ptr()];
            let step = HALVES * half;
            Self { halves, step, count: bytes.len() / step, weights: std::marker::PhantomData }
        }
    }

    /// Adds the products of a panel's blocks, the first of them column block `k`, with some tokens; see
    /// [`accumulate_portable`](super::accumulate_portable).
    ///
    /// # Safety
    /// The CPU has AVX2, FMA and F16C; `PACKED` says how `run` was made; `sums` holds a panel's lanes for every token,
    /// `stride` apart.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) unsafe fn accumulate<const PACKED: bool>(
        run: Run<'_>,
        x: &BlocksB,
        total: usize,
        k: usize,
        tokens: Tokens,
        sums: *mut f32,
        stride: usize,
    ) {
        let mut t = 0;
        // SAFETY: tokens first..first+count lie in `x`.
        unsafe {
            while t + 4 <= tokens.count {
                tile::<4, PACKED>(run, x, total, k, tokens, tokens.first + t, sums.add(t * stride), stride);
                t += 4;
            }
            let (at, sums) = (tokens.first + t, sums.add(t * stride));
            match tokens.count - t {
                0 => {}
                1 => tile::<1, PACKED>(run, x, total, k, tokens, at, sums, stride),
                2 => tile::<2, PACKED>(run, x, total, k, tokens, at, sums, stride),
                _ => tile::<3, PACKED>(run, x, total, k, tokens, at, sums, stride),
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn weights<const PACKED: bool>(block: *const u8, pair: usize) -> __m256i {
        // SAFETY: `block` points at a block of the kind that is asked for.
        unsafe {
            if PACKED {
                _mm256_cvtepi8_epi16(_mm_loadu_si128(block.add(HEAD + 16 * pair).cast()))
            } else {
                _mm256_load_si256(block.add(std::mem::offset_of!(Block, values) + 32 * pair).cast())
            }
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn scales<const PACKED: bool>(block: *const u8) -> __m256 {
        // SAFETY: as in `weights`.
        unsafe {
            if PACKED {
                _mm256_cvtph_ps(_mm_loadu_si128(block.cast()))
            } else {
                _mm256_load_ps(block.add(std::mem::offset_of!(Block, d)).cast())
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn tile<const T: usize, const PACKED: bool>(
        run: Run<'_>,
        x: &BlocksB,
        total: usize,
        k: usize,
        tokens: Tokens,
        token: usize,
        sums: *mut f32,
        stride: usize,
    ) {
        // SAFETY: `token..token+T` are tokens of `x`; reads stay in their blocks, writes in their lanes.
        unsafe {
            let at_sum = |p: usize, t: usize| sums.add(t * stride + p * 8);
            let mut sum: [[__m256; T]; HALVES] =
                std::array::from_fn(|p| std::array::from_fn(|t| _mm256_loadu_ps(at_sum(p, t))));
            for b in 0..run.count {
                let at = (k + b) * total + token;
                let block = run.halves.map(|half| half.add(b * run.step));
                // The first tokens to meet a block wait for it; the others find it in the cache.
                if PACKED && token == tokens.first {
                    ahead(block[0], run.step);
                }
                let quants: [*const i16; T] = std::array::from_fn(|t| x.quants.as_ptr().add((at + t) * COLS));
                let mut product = [[_mm256_setzero_si256(); T]; HALVES];
                for pair in 0..16 {
                    let w = block.map(|block| weights::<PACKED>(block, pair));
                    for t in 0..T {
                        let a = _mm256_set1_epi32(quants[t].add(2 * pair).cast::<i32>().read_unaligned());
                        for p in 0..HALVES {
                            product[p][t] = in_order(_mm256_add_epi32(product[p][t], _mm256_madd_epi16(w[p], a)));
                        }
                    }
                }
                for p in 0..HALVES {
                    let d = scales::<PACKED>(block[p]);
                    for t in 0..T {
                        let scale = _mm256_mul_ps(d, _mm256_set1_ps(x.scales[at + t]));
                        sum[p][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product[p][t]), scale, sum[p][t]);
                    }
                }
            }
            for p in 0..HALVES {
                for t in 0..T {
                    _mm256_storeu_ps(at_sum(p, t), sum[p][t]);
                }
            }
        }
    }
}

//! The same with AVX2: one lane of eight 32-bit numbers is one row of the panel.

use super::{Block, COLS, HALVES, HEAD, HEAD6, Tokens, sub_bytes};
use crate::activations::BlocksK;
use crate::format::Format;
use crate::{ahead, in_order};
use std::arch::x86_64::*;

/// Unpacks one block.
///
/// # Safety
/// The CPU has AVX2 and F16C, and `packed` holds a whole block of the format.
#[target_feature(enable = "avx2,f16c")]
pub(crate) unsafe fn unpack(format: Format, packed: &[u8], out: &mut Block) {
    debug_assert!(packed.len() >= super::half_block_bytes(format));
    let p = packed.as_ptr();
    ahead(p, packed.len());
    // SAFETY: all offsets lie inside the block; see the layout in `kquants.rs`.
    unsafe {
        match format {
            Format::Q4_K => {
                head(p, out);
                quants::<4>(p.add(HEAD), out);
            }
            Format::Q5_K => {
                head(p, out);
                quants::<5>(p.add(HEAD), out);
            }
            _ => {
                head6(p, out);
                quants::<6>(p.add(HEAD6), out);
            }
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn halves(p: *const u8) -> __m256 {
    // SAFETY: sixteen readable bytes, promised by the caller.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn head(p: *const u8, out: &mut Block) {
    // SAFETY: reads the 128 bytes of a head, writes fields of `out`.
    unsafe {
        _mm256_store_ps(out.d.as_mut_ptr(), halves(p));
        _mm256_store_ps(out.offset_d.as_mut_ptr(), halves(p.add(16)));
        let nibble = _mm_set1_epi8(15);
        let two = _mm_set1_epi8(3);
        for pair in 0..4 {
            // Sub-blocks 2·pair (low eight bytes) and 2·pair + 1.
            let low = _mm_loadu_si128(p.add(32 + 16 * pair).cast());
            let high = _mm_loadl_epi64(p.add(96 + 8 * pair).cast());
            let high = _mm_unpacklo_epi64(high, _mm_srli_epi16::<2>(high));
            let scale = _mm_or_si128(_mm_and_si128(low, nibble), _mm_slli_epi16::<4>(_mm_and_si128(high, two)));
            let min = _mm_or_si128(
                _mm_and_si128(_mm_srli_epi16::<4>(low), nibble),
                _mm_slli_epi16::<4>(_mm_and_si128(_mm_srli_epi16::<4>(high), two)),
            );
            store_scales(scale, out.scales[2 * pair].as_mut_ptr());
            let pairs = _mm_unpacklo_epi8(min, _mm_srli_si128::<8>(min));
            _mm256_store_si256(out.offsets[pair].as_mut_ptr().cast(), _mm256_cvtepu8_epi16(pairs));
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn head6(p: *const u8, out: &mut Block) {
    // SAFETY: reads the 144 bytes of a head, writes fields of `out`.
    unsafe {
        let d = halves(p);
        _mm256_store_ps(out.d.as_mut_ptr(), d);
        _mm256_store_ps(out.offset_d.as_mut_ptr(), _mm256_mul_ps(d, _mm256_set1_ps(32.0)));
        for pair in 0..8 {
            let scales = _mm_loadu_si128(p.add(16 + 16 * pair).cast());
            store_scales(scales, out.scales[2 * pair].as_mut_ptr());
            let pairs = _mm_unpacklo_epi8(scales, _mm_srli_si128::<8>(scales));
            _mm256_store_si256(out.offsets[pair].as_mut_ptr().cast(), _mm256_cvtepi8_epi16(pairs));
        }
    }
}

/// Two times eight bytes as 16-bit numbers, each twice. Scales of Q4_K and Q5_K are below 64, so signed widening serves
/// all formats.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn store_scales(bytes: __m128i, out: *mut i16) {
    // SAFETY: `out` has room for 32 numbers at an address of 32-byte alignment.
    unsafe {
        _mm256_store_si256(out.cast(), _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(bytes, bytes)));
        _mm256_store_si256(out.add(16).cast(), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(bytes, bytes)));
    }
}

#[target_feature(enable = "avx2")]
#[inline]
unsafe fn quants<const BITS: usize>(p: *const u8, out: &mut Block) {
    let nibble = _mm256_set1_epi8(15);
    let bytes = match BITS {
        4 => sub_bytes(Format::Q4_K),
        5 => sub_bytes(Format::Q5_K),
        _ => sub_bytes(Format::Q6_K),
    };
    // SAFETY: reads the eight sub-blocks, writes the 64 groups.
    unsafe {
        for sub in 0..8 {
            let p = p.add(sub * bytes);
            let to = out.quants.as_mut_ptr().add(sub * 256).cast::<__m256i>();
            for i in 0..4 {
                let both = _mm256_loadu_si256(p.add(32 * i).cast());
                let mut low = _mm256_and_si256(both, nibble);
                let mut high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), nibble);
                if BITS == 5 {
                    let bits = _mm256_loadu_si256(p.add(128).cast());
                    low = _mm256_or_si256(low, fifth(bits, 2 * i));
                    high = _mm256_or_si256(high, fifth(bits, 2 * i + 1));
                }
                if BITS == 6 {
                    let bits = _mm256_loadu_si256(p.add(128 + 32 * (i / 2)).cast());
                    low = _mm256_or_si256(low, sixth(bits, 2 * (i % 2)));
                    high = _mm256_or_si256(high, sixth(bits, 2 * (i % 2) + 1));
                }
                _mm256_store_si256(to.add(2 * i), low);
                _mm256_store_si256(to.add(2 * i + 1), high);
            }
        }
    }
}

/// Bit `group` of each byte, moved to bit 4.
#[target_feature(enable = "avx2")]
#[inline]
fn fifth(bits: __m256i, group: usize) -> __m256i {
    let moved = match group {
        0 => _mm256_slli_epi16::<4>(bits),
        1 => _mm256_slli_epi16::<3>(bits),
        2 => _mm256_slli_epi16::<2>(bits),
        3 => _mm256_slli_epi16::<1>(bits),
        4 => bits,
        5 => _mm256_srli_epi16::<1>(bits),
        6 => _mm256_srli_epi16::<2>(bits),
        _ => _mm256_srli_epi16::<3>(bits),
    };
    _mm256_and_si256(moved, _mm256_set1_epi8(16))
}

/// Bits `2·i` and `2·i + 1` of each byte, moved to bits 4 and 5.
#[target_feature(enable = "avx2")]
#[inline]
fn sixth(bits: __m256i, i: usize) -> __m256i {
    let moved = match i {
        0 => _mm256_slli_epi16::<4>(bits),
        1 => _mm256_slli_epi16::<2>(bits),
        2 => bits,
        _ => _mm256_srli_epi16::<2>(bits),
    };
    _mm256_and_si256(moved, _mm256_set1_epi8(48))
}

/// Adds the products of block column `k` of a panel with some tokens; see
/// [`accumulate_portable`](super::accumulate_portable).
///
/// # Safety
/// The CPU has AVX2 and FMA; `sums` holds a panel's lanes for every token, `stride` apart.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn accumulate(
    format: Format,
    blocks: &[Block; HALVES],
    x: &BlocksK,
    total: usize,
    k: usize,
    tokens: Tokens,
    sums: *mut f32,
    stride: usize,
) {
    // SAFETY: as above; how many quants fit into 16 bits: 8 · 2 · 15 · 127, 4 · 2 · 31 · 127, 2 · 2 · 63 · 127 < 2^15.
    unsafe {
        match format {
            Format::Q4_K => all::<8, 8>(blocks, x, &x.sums32, total, k, tokens, sums, stride),
            Format::Q5_K => all::<4, 8>(blocks, x, &x.sums32, total, k, tokens, sums, stride),
            _ => all::<2, 4>(blocks, x, &x.sums16, total, k, tokens, sums, stride),
        }
    }
}

/// `DEPTH` groups are added in 16 bits; `PER_SCALE` groups share a scale.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn all<const DEPTH: usize, const PER_SCALE: usize>(
    blocks: &[Block; HALVES],
    x: &BlocksK,
    pairs: &[i16],
    total: usize,
    k: usize,
    tokens: Tokens,
    sums: *mut f32,
    stride: usize,
) {
    let mut t = 0;
    // SAFETY: tokens first..first+count lie in `x`.
    unsafe {
        // Short runs add to the 32-bit sums so often that these must stay in registers: three tokens' fit.
        if DEPTH == 8 {
            while t + 4 <= tokens.count {
                let at = k * total + tokens.first + t;
                tile::<4, DEPTH, PER_SCALE>(blocks, x, pairs, at, sums.add(t * stride), stride);
                t += 4;
            }
        }
        while t + 3 <= tokens.count {
            let at = k * total + tokens.first + t;
            tile::<3, DEPTH, PER_SCALE>(blocks, x, pairs, at, sums.add(t * stride), stride);
            t += 3;
        }
        let at = k * total + tokens.first + t;
        let sums = sums.add(t * stride);
        match tokens.count - t {
            0 => {}
            1 => tile::<1, DEPTH, PER_SCALE>(blocks, x, pairs, at, sums, stride),
            _ => tile::<2, DEPTH, PER_SCALE>(blocks, x, pairs, at, sums, stride),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn tile<const T: usize, const DEPTH: usize, const PER_SCALE: usize>(
    blocks: &[Block; HALVES],
    x: &BlocksK,
    pairs: &[i16],
    at: usize,
    sums: *mut f32,
    stride: usize,
) {
    let quants = x.quants.as_ptr();
    // SAFETY: `at..at+T` are tokens of `x`; reads stay in their blocks, writes in their lanes.
    unsafe {
        let quants: [*const i8; T] = std::array::from_fn(|t| quants.add((at + t) * COLS));
        let mut product = [[_mm256_setzero_si256(); T]; HALVES];
        for run in 0..64 / DEPTH {
            let mut short = [[_mm256_setzero_si256(); T]; HALVES];
            for step in 0..DEPTH {
                let group = run * DEPTH + step;
                let w: [__m256i; HALVES] =
                    std::array::from_fn(|p| _mm256_load_si256(blocks[p].quants.as_ptr().add(group * 32).cast()));
                for t in 0..T {
                    let a = _mm256_set1_epi32(quants[t].add(group * 4).cast::<i32>().read_unaligned());
                    for p in 0..HALVES {
                        short[p][t] = in_order(_mm256_add_epi16(short[p][t], _mm256_maddubs_epi16(w[p], a)));
                    }
                }
            }
            for p in 0..HALVES {
                let scale = _mm256_load_si256(blocks[p].scales[run * DEPTH / PER_SCALE].as_ptr().cast());
                for t in 0..T {
                    product[p][t] = _mm256_add_epi32(product[p][t], _mm256_madd_epi16(short[p][t], scale));
                }
            }
        }
        finish::<T, PER_SCALE>(blocks, &x.scales[at..at + T], pairs, at, &product, sums, stride);
    }
}

/// Subtracts the offsets and scales to floats.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn finish<const T: usize, const PER_SCALE: usize>(
    blocks: &[Block; HALVES],
    scales: &[f32],
    pairs: &[i16],
    at: usize,
    product: &[[__m256i; T]; HALVES],
    sums: *mut f32,
    stride: usize,
) {
    let count = 32 / PER_SCALE;
    // SAFETY: `pairs` holds two sums for each of `count` pairs of each token.
    unsafe {
        for t in 0..T {
            let pairs = pairs.as_ptr().add((at + t) * 2 * count);
            for p in 0..HALVES {
                let mut offset = _mm256_setzero_si256();
                for i in 0..count {
                    let pair = _mm256_set1_epi32(pairs.add(2 * i).cast::<i32>().read_unaligned());
                    let by = _mm256_load_si256(blocks[p].offsets[i].as_ptr().cast());
                    offset = _mm256_add_epi32(offset, _mm256_madd_epi16(by, pair));
                }
                let scale = _mm256_set1_ps(scales[t]);
                let sum = sums.add(t * stride + p * 8);
                let d = _mm256_mul_ps(_mm256_load_ps(blocks[p].d.as_ptr()), scale);
                let offset_d = _mm256_mul_ps(_mm256_load_ps(blocks[p].offset_d.as_ptr()), scale);
                let s = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product[p][t]), d, _mm256_loadu_ps(sum));
                _mm256_storeu_ps(sum, _mm256_fnmadd_ps(_mm256_cvtepi32_ps(offset), offset_d, s));
            }
        }
    }
}

//! Products of floats: a few rows of left factors times a strip of up to 32 columns, each lane its own running sum over
//! the inner dimension. Weights in F32, F16 and BF16, and both products of attention, go through this one kernel.

use crate::format::Format;
use half::{bf16, f16};

/// Rows of weights in a panel, lanes of the widest strip.
pub(crate) const STRIP: usize = 32;

/// Right factors: `[inner][lanes]`, rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub format: Format,
    pub data: *const u8,
    pub stride: usize,
}

/// Left factors: rows `stride` apart, inner dimension contiguous.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub data: *const f32,
    pub stride: usize,
    pub rows: usize,
}

/// `sums[row][lane] += left[row][i] * right[i][lane]` for `inner` steps in order, each one fused multiply-add.
/// `lanes` is a multiple of eight.
///
/// # Safety
/// The pointers cover what is described; `sums` has `left.rows` rows, `stride` apart; vectors as `super::vectors` says.
pub(crate) unsafe fn accumulate(left: Left, right: Right, inner: usize, lanes: usize, sums: *mut f32, stride: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if crate::vectors() {
            return avx2::accumulate(left, right, inner, lanes, sums, stride);
        }
        portable(left, right, inner, lanes, sums, stride);
    }
}

/// # Safety
/// As [`accumulate`].
pub(crate) unsafe fn portable(left: Left, right: Right, inner: usize, lanes: usize, sums: *mut f32, stride: usize) {
    // SAFETY: promised by the caller.
    unsafe {
        for row in 0..left.rows {
            for i in 0..inner {
                let a = *left.data.add(row * left.stride + i);
                for lane in 0..lanes {
                    let at = i * right.stride + lane;
                    let b = match right.format {
                        Format::F32 => right.data.cast::<f32>().add(at).read_unaligned(),
                        Format::BF16 => bf16::from_bits(right.data.cast::<u16>().add(at).read_unaligned()).to_f32(),
                        _ => f16::from_bits(right.data.cast::<u16>().add(at).read_unaligned()).to_f32(),
                    };
                    let sum = sums.add(row * stride + lane);
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! The same with AVX2, FMA and F16C.

    use super::{Left, Right, STRIP};
    use crate::format::Format;
    use std::arch::x86_64::*;

    const F32: u8 = 0;
    const F16: u8 = 1;
    const BF16: u8 = 2;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn accumulate(
        left: Left,
        right: Right,
        inner: usize,
        lanes: usize,
        sums: *mut f32,
        stride: usize,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            match right.format {
                Format::F32 => strips::<F32>(left, right, inner, lanes, sums, stride),
                Format::BF16 => strips::<BF16>(left, right, inner, lanes, sums, stride),
                _ => strips::<F16>(left, right, inner, lanes, sums, stride),
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn strips<const KIND: u8>(
        left: Left,
        right: Right,
        inner: usize,
        lanes: usize,
        sums: *mut f32,
        stride: usize,
    ) {
        let width = if KIND == F32 { 4 } else { 2 };
        let mut lane = 0;
        // SAFETY: strips cover `lanes` columns of both sides.
        unsafe {
            while lane < lanes {
                let right = Right { data: right.data.add(lane * width), ..right };
                let sums = sums.add(lane);
                if lane + STRIP <= lanes {
                    rows::<KIND, 4>(left, right, inner, sums, stride);
                    lane += STRIP;
                } else {
                    rows::<KIND, 1>(left, right, inner, sums, stride);
                    lane += 8;
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn rows<const KIND: u8, const V: usize>(
        left: Left,
        right: Right,
        inner: usize,
        sums: *mut f32,
        stride: usize,
    ) {
        let mut row = 0;
        // SAFETY: rows row..row+T exist.
        unsafe {
            while row + 2 <= left.rows {
                tile::<KIND, V, 2>(left, row, right, inner, sums, stride);
                row += 2;
            }
            if row < left.rows {
                tile::<KIND, V, 1>(left, row, right, inner, sums, stride);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn tile<const KIND: u8, const V: usize, const T: usize>(
        left: Left,
        row: usize,
        right: Right,
        inner: usize,
        sums: *mut f32,
        stride: usize,
    ) {
        // SAFETY: reads rows row..row+T and `inner` strips of V vectors; writes the sums of those.
        unsafe {
            let from: [*const f32; T] = std::array::from_fn(|t| left.data.add((row + t) * left.stride));
            let to: [*mut f32; T] = std::array::from_fn(|t| sums.add((row + t) * stride));
            let mut sum: [[__m256; V]; T] =
                std::array::from_fn(|t| std::array::from_fn(|v| _mm256_loadu_ps(to[t].add(8 * v))));
            for i in 0..inner {
                let a: [__m256; T] = std::array::from_fn(|t| _mm256_set1_ps(*from[t].add(i)));
                for v in 0..V {
                    let b = load::<KIND>(right.data, i * right.stride + 8 * v);
                    for t in 0..T {
                        sum[t][v] = _mm256_fmadd_ps(a[t], b, sum[t][v]);
                    }
                }
            }
            for t in 0..T {
                for v in 0..V {
                    _mm256_storeu_ps(to[t].add(8 * v), sum[t][v]);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn load<const KIND: u8>(data: *const u8, at: usize) -> __m256 {
        // SAFETY: eight elements from `at` on are readable.
        unsafe {
            match KIND {
                F32 => _mm256_loadu_ps(data.cast::<f32>().add(at)),
                F16 => _mm256_cvtph_ps(_mm_loadu_si128(data.cast::<u16>().add(at).cast())),
                _ => {
                    let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(data.cast::<u16>().add(at).cast()));
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
                }
            }
        }
    }
}

//! The tokens' side of a product: rows of floats, and the same rows as signed bytes in the two block sizes that the
//! weight formats call for. Quantised as llama.cpp does (`quantize_row_q8_K`, `quantize_row_q8_0`), so that results can
//! be compared.

use crate::pool::{Pool, Shared};
use half::f16;
use std::sync::OnceLock;

/// `rows` tokens of `cols` values each.
pub struct Activations<'a> {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) values: &'a [f32],
    k: OnceLock<BlocksK>,
    b: OnceLock<BlocksB>,
}

/// Blocks of 256 with one scale, block by block and within a block token by token.
pub(crate) struct BlocksK {
    /// `[block][token][256]`
    pub quants: Vec<i8>,
    /// `[block][token]`
    pub scales: Vec<f32>,
    /// Sums of 16 quants: `[block][token][16]`
    pub sums16: Vec<i16>,
    /// Sums of 32 quants: `[block][token][8]`
    pub sums32: Vec<i16>,
}

/// Blocks of 32 with one scale each, widened to 16 bits.
pub(crate) struct BlocksB {
    /// `[block][token][32]`
    pub quants: Vec<i16>,
    /// `[block][token]`
    pub scales: Vec<f32>,
}

impl<'a> Activations<'a> {
    /// Rows of `cols` values, one after the other.
    ///
    /// # Panics
    /// When `values` is not whole rows.
    pub fn new(values: &'a [f32], cols: usize) -> Self {
        assert!(cols > 0 && values.len().is_multiple_of(cols), "activations are not whole rows");
        Self { rows: values.len() / cols, cols, values, k: OnceLock::new(), b: OnceLock::new() }
    }

    pub(crate) fn blocks_k(&self, pool: &Pool) -> &BlocksK {
        self.k.get_or_init(|| BlocksK::of(self, pool))
    }

    pub(crate) fn blocks_b(&self, pool: &Pool) -> &BlocksB {
        self.b.get_or_init(|| BlocksB::of(self, pool))
    }
}

impl BlocksK {
    fn of(x: &Activations<'_>, pool: &Pool) -> Self {
        let blocks = x.cols / 256;
        let n = blocks * x.rows;
        let mut out =
            Self { quants: vec![0; n * 256], scales: vec![0.0; n], sums16: vec![0; n * 16], sums32: vec![0; n * 8] };
        let (q, s) = (Shared::new(&mut out.quants), Shared::new(&mut out.scales));
        let (s16, s32) = (Shared::new(&mut out.sums16), Shared::new(&mut out.sums32));
        each_token(pool, x.rows, |token| {
            for block in 0..blocks {
                let from = token * x.cols + block * 256;
                let at = block * x.rows + token;
                // SAFETY: place `at` belongs to this token alone.
                let (q, s, s16, s32) =
                    unsafe { (q.slice(at * 256, 256), s.slice(at, 1), s16.slice(at * 16, 16), s32.slice(at * 8, 8)) };
                s[0] = quantise_k(&x.values[from..from + 256], q);
                for (i, sum) in s16.iter_mut().enumerate() {
                    *sum = q[16 * i..16 * i + 16].iter().map(|v| i16::from(*v)).sum();
                }
                for (i, sum) in s32.iter_mut().enumerate() {
                    *sum = s16[2 * i] + s16[2 * i + 1];
                }
            }
        });
        out
    }
}

impl BlocksB {
    fn of(x: &Activations<'_>, pool: &Pool) -> Self {
        let blocks = x.cols / 32;
        let n = blocks * x.rows;
        let mut out = Self { quants: vec![0; n * 32], scales: vec![0.0; n] };
        let (q, s) = (Shared::new(&mut out.quants), Shared::new(&mut out.scales));
        each_token(pool, x.rows, |token| {
            for block in 0..blocks {
                let from = token * x.cols + block * 32;
                let at = block * x.rows + token;
                // SAFETY: place `at` belongs to this token alone.
                let (q, s) = unsafe { (q.slice(at * 32, 32), s.slice(at, 1)) };
                s[0] = quantise_b(&x.values[from..from + 32], q);
            }
        });
        out
    }
}

fn each_token(pool: &Pool, rows: usize, body: impl Fn(usize) + Sync) {
    if rows == 1 { body(0) } else { pool.run(rows, body) }
}

fn largest(values: &[f32]) -> (f32, f32) {
    let mut low = [0f32; 8];
    let mut high = [0f32; 8];
    for eight in values.chunks_exact(8) {
        for i in 0..8 {
            low[i] = low[i].min(eight[i]);
            high[i] = high[i].max(eight[i]);
        }
    }
    (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max))
}

/// 256 values as signed bytes; returns the scale, which carries the sign of the value of the largest magnitude.
fn quantise_k(values: &[f32], out: &mut [i8]) -> f32 {
    let (low, high) = largest(values);
    let max = if -low > high { low } else { high };
    if max == 0.0 || !max.is_finite() {
        out.fill(0);
        return 0.0;
    }
    let inverse = -127.0 / max;
    for (q, v) in out.iter_mut().zip(values) {
        *q = nearest(inverse * v).min(127) as i8;
    }
    1.0 / inverse
}

/// 32 values as signed bytes; the scale is rounded to half precision, as the format keeps it.
fn quantise_b(values: &[f32], out: &mut [i16]) -> f32 {
    let (low, high) = largest(values);
    let max = high.max(-low);
    if max == 0.0 || !max.is_finite() {
        out.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / max;
    for (q, v) in out.iter_mut().zip(values) {
        *q = nearest(inverse * v) as i16;
    }
    f16::from_f32(max / 127.0).to_f32()
}

/// Nearest integer, ties to even, for magnitudes below 2^22: adding 1.5 · 2^23 leaves it in the mantissa.
fn nearest(v: f32) -> i32 {
    let bits = (v + 12_582_912.0).to_bits();
    (bits & 0x007f_ffff) as i32 - 0x0040_0000
}

//! Causal attention of a few queries over a cache in half precision, block by block with a running softmax (Milakov and
//! Gimelshein, 2018; Dao et al., FlashAttention, 2022). Blocks are cut at absolute positions, so a query gives the same
//! bits whether it comes alone, in a chunk, or after a shared beginning.

use crate::floats::{self, Left, Right};
use crate::format::Format;
use crate::ops::exp;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Positions in one block of the cache.
pub const BLOCK: usize = 32;
/// Up to this many rows, half-precision factors are widened as they are read; more rows are worth a widened copy.
const DIRECT: usize = 2;

/// One layer's heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    pub kv_heads: usize,
    /// Values of a key, and of a value, in one head.
    pub head_dim: usize,
}

impl KvShape {
    /// Values of one row of V in memory: whole vectors.
    fn v_stride(self) -> usize {
        self.head_dim.next_multiple_of(8)
    }

    fn head_len(self) -> usize {
        BLOCK * (self.head_dim + self.v_stride())
    }

    /// Half-precision numbers that one layer of one block takes: for each head K `[head_dim][BLOCK]`, then V
    /// `[BLOCK][head_dim]`.
    pub fn block_len(self) -> usize {
        self.kv_heads * self.head_len()
    }
}

/// One layer of one block, `shape.block_len()` numbers.
pub type KvBlock<'a> = &'a [f16];

/// Writes the keys and values of one position, all heads, into place `slot` of a block. `k` and `v` are
/// `[kv_heads][head_dim]`.
///
/// # Panics
/// When a length does not match the shape.
pub fn write_kv(shape: KvShape, block: &mut [f16], slot: usize, k: &[f32], v: &[f32]) {
    let dim = shape.head_dim;
    assert!(slot < BLOCK && block.len() == shape.block_len(), "no such place in the cache");
    let mut half = vec![f16::ZERO; dim];
    for (head, block) in block.chunks_exact_mut(shape.head_len()).enumerate() {
        half.convert_from_f32_slice(&k[head * dim..(head + 1) * dim]);
        for (d, value) in half.iter().enumerate() {
            block[d * BLOCK + slot] = *value;
        }
        let at = BLOCK * dim + slot * shape.v_stride();
        block[at..at + dim].convert_from_f32_slice(&v[head * dim..(head + 1) * dim]);
    }
}

/// The queries of one key head: `rows` of them, `head_dim` values each, with the position that each stands at.
pub struct Head<'a> {
    pub shape: KvShape,
    /// Which key head.
    pub kv_head: usize,
    /// One layer's blocks from position 0 on; they cover every position that is seen.
    pub blocks: &'a [KvBlock<'a>],
    /// `[rows][head_dim]`
    pub queries: &'a [f32],
    /// Position of each row: it sees this one and all before.
    pub positions: &'a [usize],
    /// What scores are multiplied by, `1/√head_dim` as a rule.
    pub scale: f32,
}

/// Running state of one row.
#[derive(Clone, Copy)]
struct Row {
    max: f32,
    sum: f32,
}

/// Softmax(scale · q·Kᵀ)·V of each row into `out`, `[rows][head_dim]`.
///
/// # Panics
/// When a length does not match.
pub fn attend(head: &Head<'_>, out: &mut [f32]) {
    let (dim, rows) = (head.shape.head_dim, head.positions.len());
    let lanes = head.shape.v_stride();
    assert!(head.queries.len() == rows * dim && out.len() == rows * dim, "queries and output do not match");
    let Some(last) = head.positions.iter().max() else { return };
    assert!(head.blocks.len() * BLOCK > *last, "the cache does not reach that far");
    let scaled: Vec<f32> = head.queries.iter().map(|q| q * head.scale).collect();
    let mut state = vec![Row { max: f32::NEG_INFINITY, sum: 0.0 }; rows];
    let mut values = vec![0f32; rows * lanes];
    let mut scores = vec![0f32; rows * BLOCK];
    let mut wide = vec![0f32; if rows > DIRECT { BLOCK * lanes.max(dim) } else { 0 }];
    for (b, block) in head.blocks.iter().enumerate().take(last / BLOCK + 1) {
        let first = b * BLOCK;
        let block = &block[head.kv_head * head.shape.head_len()..][..head.shape.head_len()];
        let (keys, vals) = block.split_at(BLOCK * dim);
        scores.fill(0.0);
        let left = Left { data: scaled.as_ptr(), stride: dim, rows };
        let right = widened(keys, BLOCK, &mut wide);
        // SAFETY: `rows` × `dim` queries, `dim` strips of BLOCK keys, BLOCK scores for each row.
        unsafe { floats::accumulate(left, right, dim, BLOCK, scores.as_mut_ptr(), BLOCK) };
        for (r, state) in state.iter_mut().enumerate() {
            let seen = (head.positions[r] + 1).saturating_sub(first).min(BLOCK);
            let scores = &mut scores[r * BLOCK..(r + 1) * BLOCK];
            let shrink = soften(scores, seen, state);
            if shrink != 1.0 {
                values[r * lanes..(r + 1) * lanes].iter_mut().for_each(|v| *v *= shrink);
            }
        }
        let seen = (last + 1 - first).min(BLOCK);
        let left = Left { data: scores.as_ptr(), stride: BLOCK, rows };
        let right = widened(vals, lanes, &mut wide);
        // SAFETY: BLOCK weights for each row, of which `seen` strips of values are met; `lanes` sums for each row.
        unsafe { floats::accumulate(left, right, seen, lanes, values.as_mut_ptr(), lanes) };
    }
    for (r, out) in out.chunks_exact_mut(dim).enumerate() {
        let inverse = 1.0 / state[r].sum;
        for (o, v) in out.iter_mut().zip(&values[r * lanes..]) {
            *o = v * inverse;
        }
    }
}

fn widened(half: &[f16], stride: usize, wide: &mut [f32]) -> Right {
    if wide.is_empty() {
        return Right { format: Format::F16, data: half.as_ptr().cast(), stride };
    }
    let wide = &mut wide[..half.len()];
    half.convert_to_f32_slice(wide);
    Right { format: Format::F32, data: wide.as_ptr().cast(), stride }
}

/// Turns the first `seen` scores into weights against the row's largest score so far, the others into zero; returns what
/// earlier weights shrink by.
fn soften(scores: &mut [f32], seen: usize, state: &mut Row) -> f32 {
    if seen == 0 {
        scores.fill(0.0);
        return 1.0;
    }
    scores[seen..].fill(f32::NEG_INFINITY);
    #[cfg(target_arch = "x86_64")]
    if crate::vectors() {
        // SAFETY: the CPU has AVX2.
        return unsafe { soften_avx2(scores, state) };
    }
    soften_block(scores, state)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn soften_avx2(scores: &mut [f32], state: &mut Row) -> f32 {
    soften_block(scores, state)
}

#[inline(always)]
fn soften_block(scores: &mut [f32], state: &mut Row) -> f32 {
    let mut high = [f32::NEG_INFINITY; 8];
    for eight in scores.chunks_exact(8) {
        for i in 0..8 {
            high[i] = if eight[i] > high[i] { eight[i] } else { high[i] };
        }
    }
    let max = high.into_iter().fold(state.max, f32::max);
    let shrink = if state.max == f32::NEG_INFINITY { 0.0 } else { exp(state.max - max) };
    let mut sums = [0f32; 8];
    for eight in scores.chunks_exact_mut(8) {
        for i in 0..8 {
            let weight = if eight[i] == f32::NEG_INFINITY { 0.0 } else { exp(eight[i] - max) };
            eight[i] = weight;
            sums[i] += weight;
        }
    }
    let shrink = if state.max == max { 1.0 } else { shrink };
    state.sum = state.sum * shrink + sums.iter().sum::<f32>();
    state.max = max;
    shrink
}

//! Attention of texts that are packed one after another: every token sees its own text, and with a window only its
//! neighbours.

use candle_core::{D, Device, Result, Tensor};
use std::ops::Range;

/// Scores held at a time (f32): 32 MiB, however long a text is.
const MOST_SCORES: usize = 8 << 20;
/// Rows at a time under a window, so that few of the scored keys are masked.
const WINDOW_ROWS: usize = 128;

/// How heads look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    pub count: usize,
    /// Length of one head's vectors.
    pub size: usize,
    /// Tokens seen to each side; all without it.
    pub window: Option<usize>,
}

/// Softmax(q·kᵀ/√size)·v within each span. `q`, `k` and `v` are `[tokens, count · size]`, as is the result.
pub(super) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, spans: &[Range<usize>], heads: Heads) -> Result<Tensor> {
    let q = (q * (1.0 / (heads.size as f64).sqrt()))?;
    let mut rows = Vec::with_capacity(spans.len());
    for span in spans {
        let one = |x: &Tensor| -> Result<Tensor> {
            let x = x.narrow(0, span.start, span.len())?.reshape((span.len(), heads.count, heads.size))?;
            x.transpose(0, 1)?.contiguous()
        };
        rows.push(attend_one(&one(&q)?, &one(k)?, &one(v)?, heads)?);
    }
    Tensor::cat(&rows, 0)
}

/// One text: `[count, tokens, size]` to `[tokens, count · size]`, some rows of scores at a time.
fn attend_one(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads) -> Result<Tensor> {
    let length = q.dim(1)?;
    let step = rows_at_once(length, heads);
    let mut parts = Vec::with_capacity(length.div_ceil(step));
    for start in (0..length).step_by(step) {
        let rows = start..(start + step).min(length);
        let keys = visible(&rows, length, heads.window);
        let scores =
            q.narrow(1, rows.start, rows.len())?.matmul(&k.narrow(1, keys.start, keys.len())?.transpose(1, 2)?)?;
        let scores = match heads.window {
            Some(window) if keys.len() > window + 1 => scores.broadcast_add(&band(&rows, &keys, window)?)?,
            _ => scores,
        };
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        debug_assert_eq!(weights.dim(D::Minus1)?, keys.len());
        let seen = weights.matmul(&v.narrow(1, keys.start, keys.len())?)?;
        parts.push(seen.transpose(0, 1)?.reshape((rows.len(), heads.count * heads.size))?);
    }
    Tensor::cat(&parts, 0)
}

fn rows_at_once(length: usize, heads: Heads) -> usize {
    let most = (MOST_SCORES / (heads.count * length).max(1)).max(1);
    if heads.window.is_some() { most.min(WINDOW_ROWS) } else { most }
}

/// Keys that any of the rows sees.
fn visible(rows: &Range<usize>, length: usize, window: Option<usize>) -> Range<usize> {
    match window {
        Some(window) => rows.start.saturating_sub(window)..(rows.end + window).min(length),
        None => 0..length,
    }
}

/// 0 where the key is at most `window` away from the row, else −∞: `[rows, keys]`.
fn band(rows: &Range<usize>, keys: &Range<usize>, window: usize) -> Result<Tensor> {
    let cell = |row: usize, key: usize| if row.abs_diff(key) <= window { 0.0_f32 } else { f32::NEG_INFINITY };
    let mask: Vec<_> = rows.clone().flat_map(|row| keys.clone().map(move |key| cell(row, key))).collect();
    Tensor::from_vec(mask, (rows.len(), keys.len()), &Device::Cpu)
}

//! What stands between the products: norms, rotary embeddings, the gate. One row at a time, in place.

/// `out = x / rms(x) * weight`, all of one length (Zhang and Sennrich, 2019).
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mut lanes = [0f64; 8];
    let mut rest = 0f64;
    let eights = x.chunks_exact(8);
    for v in eights.remainder() {
        rest += f64::from(v * v);
    }
    for eight in eights {
        for i in 0..8 {
            lanes[i] += f64::from(eight[i] * eight[i]);
        }
    }
    let mean = (lanes.iter().sum::<f64>() + rest) / x.len() as f64;
    let scale = 1.0 / (mean as f32 + epsilon).sqrt();
    for ((o, v), w) in out.iter_mut().zip(x).zip(weight) {
        *o = v * scale * w;
    }
}

/// Rotates the pairs (`x[i]`, `x[i + n/2]`) by the angles whose cosines and sines stand in `table` (`[n/2][2]`); `n` is
/// `2 * table.len()`, values beyond stay (Su et al., RoFormer, 2021, in GPT-NeoX's order).
pub fn rope_neox(x: &mut [f32], table: &[[f32; 2]]) {
    let (a, b) = x.split_at_mut(table.len());
    for ((a, b), [cos, sin]) in a.iter_mut().zip(b).zip(table) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

/// Rotates the pairs (`x[2i]`, `x[2i + 1]`), the order of llama's GGUF files.
pub fn rope_interleaved(x: &mut [f32], table: &[[f32; 2]]) {
    for (pair, [cos, sin]) in x.chunks_exact_mut(2).zip(table) {
        (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
    }
}

/// `gate = gate / (1 + e^-gate) * up` (Shazeer, GLU variants, 2020).
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * u;
    }
}

/// `x += y`
pub fn add_assign(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// e^x to within two units in the last place of a float, without a branch, so that loops over it become vectors:
/// 2^n times a polynomial in the rest (Cephes' `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.3);
    // Adding 1.5 · 2^23 leaves the nearest integer in the lowest bits.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1)
        * r
        + 5e-1;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

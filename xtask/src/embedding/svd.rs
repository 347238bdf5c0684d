//! Truncated singular value decomposition of a sparse matrix: Halko, Martinsson & Tropp, "Finding Structure with
//! Randomness" (2011), algorithm 4.4 with a Gaussian test matrix.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Columns beyond those wanted: they take up the error of the last ones.
const OVERSAMPLING: usize = 16;
const POWER_ITERATIONS: usize = 3;
const SEED: u64 = 7;

/// Rows of (column, value), columns ascending.
pub struct Sparse {
    pub columns: usize,
    pub rows: Vec<Vec<(u32, f32)>>,
}

impl Sparse {
    /// `self · dense`, where dense has `width` numbers for each of our columns.
    fn times(&self, dense: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.rows.len() * width];
        out.par_chunks_mut(width).zip(&self.rows).for_each(|(sum, row)| {
            for (column, value) in row {
                let from = *column as usize * width;
                sum.iter_mut().zip(&dense[from..from + width]).for_each(|(s, d)| *s += value * d);
            }
        });
        out
    }

    fn transposed(&self) -> Self {
        let mut rows = vec![Vec::new(); self.columns];
        for (i, row) in self.rows.iter().enumerate() {
            row.iter().for_each(|(column, value)| rows[*column as usize].push((i as u32, *value)));
        }
        Self { columns: self.rows.len(), rows }
    }

    /// Left singular vectors times the root of their values: `dimension` numbers for each row.
    pub fn decompose(&self, dimension: usize) -> Vec<f32> {
        let width = (dimension + OVERSAMPLING).min(self.columns).min(self.rows.len());
        let turned = self.transposed();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let test: Vec<f32> = (0..self.columns * width).map(|_| random.sample(StandardNormal)).collect();
        let mut basis = orthonormal(self.times(&test, width), width);
        for _ in 0..POWER_ITERATIONS {
            let other = orthonormal(turned.times(&basis, width), width);
            basis = orthonormal(self.times(&other, width), width);
        }
        let (values, vectors) = eigen(gram(&turned.times(&basis, width), width), width);
        let mut out = vec![0.0; self.rows.len() * dimension];
        out.par_chunks_mut(dimension).zip(basis.par_chunks(width)).for_each(|(out, row)| {
            for (d, (number, value)) in out.iter_mut().zip(&values).enumerate() {
                let sum: f64 = row.iter().enumerate().map(|(i, x)| f64::from(*x) * vectors[i * width + d]).sum();
                // An eigenvalue of the Gram matrix is a singular value squared.
                *number = (sum * value.max(0.0).sqrt().sqrt()) as f32;
            }
        });
        out
    }
}

/// `aᵀ·a` of a tall matrix, summed block by block in a fixed order.
fn gram(a: &[f32], width: usize) -> Vec<f64> {
    let blocks: Vec<Vec<f32>> = a
        .par_chunks(width * 512)
        .map(|block| {
            let mut out = vec![0.0_f32; width * width];
            for row in block.chunks(width) {
                for (x, sums) in row.iter().zip(out.chunks_mut(width)) {
                    sums.iter_mut().zip(row).for_each(|(s, y)| *s += x * y);
                }
            }
            out
        })
        .collect();
    let mut out = vec![0.0; width * width];
    blocks.iter().for_each(|b| out.iter_mut().zip(b).for_each(|(s, x)| *s += f64::from(*x)));
    out
}

/// Orthonormal columns by Cholesky's factor of the Gram matrix, twice for accuracy.
fn orthonormal(mut a: Vec<f32>, width: usize) -> Vec<f32> {
    for _ in 0..2 {
        let gram = gram(&a, width);
        let mut lower = vec![0.0_f64; width * width];
        for i in 0..width {
            for j in 0..=i {
                let known: f64 = (0..j).map(|p| lower[i * width + p] * lower[j * width + p]).sum();
                let left = gram[i * width + j] - known;
                lower[i * width + j] = if i == j { left.max(1e-12).sqrt() } else { left / lower[j * width + j] };
            }
        }
        a.par_chunks_mut(width).for_each(|row| {
            for i in 0..width {
                let known: f64 = (0..i).map(|p| lower[i * width + p] * f64::from(row[p])).sum();
                row[i] = ((f64::from(row[i]) - known) / lower[i * width + i]) as f32;
            }
        });
    }
    a
}

/// Eigenvalues, largest first, and eigenvectors as columns, by Jacobi's rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..30 {
        let aside: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i].powi(2)).sum();
        let along: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if aside < 1e-18 * along {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let off = a[p * n + q];
                if off == 0.0 {
                    continue;
                }
                let ratio = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
                let tangent = ratio.signum() / (ratio.abs() + (ratio * ratio + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
                for i in 0..n {
                    (a[i * n + p], a[i * n + q]) = turn(a[i * n + p], a[i * n + q]);
                    (vectors[i * n + p], vectors[i * n + q]) = turn(vectors[i * n + p], vectors[i * n + q]);
                }
                for i in 0..n {
                    (a[p * n + i], a[q * n + i]) = turn(a[p * n + i], a[q * n + i]);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|x, y| a[y * n + y].total_cmp(&a[x * n + x]));
    let values = order.iter().map(|i| a[i * n + i]).collect();
    let sorted = (0..n * n).map(|at| vectors[at / n * n + order[at % n]]).collect();
    (values, sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_rank_two_is_found_again() {
        // u1 v1ᵀ·9 + u2 v2ᵀ·4 with orthonormal u and v.
        let h = 0.5_f32.sqrt();
        let (u1, u2, v1, v2) = ([h, h, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0], [0.0, 1.0]);
        let at = |i: usize, j: usize| 9.0 * u1[i] * v1[j] + 4.0 * u2[i] * v2[j];
        let rows = (0..3).map(|i| (0..2).map(|j| (j as u32, at(i, j))).collect()).collect();
        let found = Sparse { columns: 2, rows }.decompose(2);
        for i in 0..3 {
            assert!((found[i * 2].abs() - 3.0 * u1[i]).abs() < 1e-3, "{found:?}");
            assert!((found[i * 2 + 1].abs() - 2.0 * u2[i]).abs() < 1e-3, "{found:?}");
        }
    }
}

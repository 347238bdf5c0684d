//! The table: one vector for each row of the vocabulary, and its file.
//!
//! The file is safetensors: `rows` (u32, ascending: 32-bit hashes of the rows' names, so that no text is shipped),
//! `vectors` (i8, one line for each hash), `scales` (f32: a line times its scale is the vector), `idf` (f32).

use super::words::Vocabulary;
use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::path::Path;

pub struct Table {
    pub dimension: usize,
    numbers: Vec<f32>,
}

/// The vector at length 1, and the length that it had.
pub fn unit(mut vector: Vec<f32>) -> (Vec<f32>, f32) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 1e-9 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    (vector, length)
}

/// Sixteen sums side by side, so that the compiler can use wide registers.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (x, y) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(s, (x, y))| *s += x * y);
    }
    sums.iter().sum()
}

impl Table {
    #[must_use]
    pub fn zeros(rows: usize, dimension: usize) -> Self {
        Self { dimension, numbers: vec![0.0; rows * dimension] }
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.dimension..(row + 1) * self.dimension]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.numbers[row * self.dimension..(row + 1) * self.dimension]
    }

    /// The weighted sum of rows at length 1, and the length that it had.
    pub fn word(&self, rows: &[(u32, f32)]) -> (Vec<f32>, f32) {
        let mut sum = vec![0.0; self.dimension];
        for (row, weight) in rows {
            sum.iter_mut().zip(self.row(*row as usize)).for_each(|(s, x)| *s += weight * x);
        }
        unit(sum)
    }

    /// Rounds every row to 255 steps, as the file holds it.
    pub fn quantise(&mut self) {
        for row in self.numbers.chunks_mut(self.dimension) {
            let scale = scale(row);
            row.iter_mut().for_each(|x| *x = f32::from(step(*x, scale)) * scale);
        }
    }

    /// # Errors
    /// On I/O.
    pub fn write(&self, vocabulary: &Vocabulary, path: &Path) -> Result<()> {
        let mut order: Vec<(u32, usize)> = vocabulary.names.iter().enumerate().map(|(i, n)| (hash(n), i)).collect();
        order.sort_unstable();
        // Two names of one hash: the more frequent one stays.
        order.dedup_by_key(|o| o.0);
        let (mut hashes, mut vectors, mut scales, mut idf) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (hash, row) in &order {
            let scale = scale(self.row(*row));
            hashes.extend(hash.to_le_bytes());
            scales.extend(scale.to_le_bytes());
            vectors.extend(self.row(*row).iter().map(|x| step(*x, scale).to_le_bytes()[0]));
            idf.extend((vocabulary.texts / vocabulary.texts_with[*row]).ln().max(0.2).to_le_bytes());
        }
        let n = order.len();
        let views = [
            ("rows", TensorView::new(Dtype::U32, vec![n], &hashes)?),
            ("vectors", TensorView::new(Dtype::I8, vec![n, self.dimension], &vectors)?),
            ("scales", TensorView::new(Dtype::F32, vec![n], &scales)?),
            ("idf", TensorView::new(Dtype::F32, vec![n], &idf)?),
        ];
        let bytes = serialize(views, None)?;
        std::fs::write(path, bytes).with_context(|| path.display().to_string())
    }
}

fn scale(row: &[f32]) -> f32 {
    row.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 127.0
}

fn step(x: f32, scale: f32) -> i8 {
    if scale > 0.0 { (x / scale).round() as i8 } else { 0 }
}

/// 64-bit FNV-1a folded to 32 bits, as the index hashes its terms.
fn hash(name: &str) -> u32 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::words::content;

    #[test]
    fn the_file_holds_what_quantising_leaves() {
        let vocabulary = Vocabulary::of(&[content("보조금을 지원한다")], 1, 100);
        let mut table = Table::zeros(vocabulary.names.len(), 16);
        (0..vocabulary.names.len()).for_each(|r| table.row_mut(r)[r % 16] = 0.5 + r as f32);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        table.write(&vocabulary, &path).unwrap();
        let before = table.row(0).to_vec();
        table.quantise();
        assert!(table.row(0).iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-5));
        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("vectors").unwrap().shape(), [vocabulary.names.len(), 16]);
        assert_eq!(file.tensor("rows").unwrap().shape(), [vocabulary.names.len()]);
    }
}

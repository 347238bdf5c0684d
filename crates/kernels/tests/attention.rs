//! Attention against the textbook, and against itself cut otherwise.

use half::f16;
use madang_kernels::{BLOCK, Head, KvShape, attend, write_kv};
use proptest::prelude::*;

fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

struct Cache {
    shape: KvShape,
    k: Vec<f32>,
    v: Vec<f32>,
    blocks: Vec<Vec<f16>>,
}

impl Cache {
    fn new(shape: KvShape, positions: usize, seed: u64) -> Self {
        let width = shape.kv_heads * shape.head_dim;
        let (k, v) = (noise(seed, positions * width), noise(seed + 1, positions * width));
        // What stands behind the last position must not matter.
        let mut blocks = vec![vec![f16::from_f32(77.0); shape.block_len()]; positions.div_ceil(BLOCK)];
        for p in 0..positions {
            let row = p * width..(p + 1) * width;
            write_kv(shape, &mut blocks[p / BLOCK], p % BLOCK, &k[row.clone()], &v[row]);
        }
        Self { shape, k, v, blocks }
    }

    fn attend(&self, kv_head: usize, queries: &[f32], positions: &[usize]) -> Vec<f32> {
        let blocks: Vec<&[f16]> = self.blocks.iter().map(Vec::as_slice).collect();
        let mut out = vec![0.0; queries.len()];
        let scale = 1.0 / (self.shape.head_dim as f32).sqrt();
        attend(&Head { shape: self.shape, kv_head, blocks: &blocks, queries, positions, scale }, &mut out);
        out
    }

    /// Softmax(q·Kᵀ/√d)·V in double precision, over keys and values in half precision.
    fn textbook(&self, kv_head: usize, query: &[f32], position: usize) -> Vec<f64> {
        let (dim, width) = (self.shape.head_dim, self.shape.kv_heads * self.shape.head_dim);
        let at =
            |all: &[f32], p: usize, d: usize| f64::from(f16::from_f32(all[p * width + kv_head * dim + d]).to_f32());
        let scores: Vec<f64> = (0..=position)
            .map(|p| (0..dim).map(|d| f64::from(query[d]) * at(&self.k, p, d)).sum::<f64>() / (dim as f64).sqrt())
            .collect();
        let max = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (0..dim).map(|d| weights.iter().enumerate().map(|(p, w)| w * at(&self.v, p, d)).sum::<f64>() / sum).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn as_in_the_textbook_however_it_is_cut(
        positions in 1usize..200, heads in 1usize..4, dim in prop::sample::select(vec![8, 12, 64, 80, 128]),
        rows in 1usize..20, seed in 0u64..1000
    ) {
        let shape = KvShape { kv_heads: heads, head_dim: dim };
        let cache = Cache::new(shape, positions, seed);
        let queries: Vec<f32> = noise(seed + 2, rows * dim).iter().map(|q| q * 4.0).collect();
        let places: Vec<usize> = (0..rows).map(|r| (r * 37 + seed as usize) % positions).collect();
        let together = cache.attend(heads - 1, &queries, &places);
        for r in 0..rows {
            let query = &queries[r * dim..(r + 1) * dim];
            let alone = cache.attend(heads - 1, query, &places[r..=r]);
            prop_assert_eq!(&alone[..], &together[r * dim..(r + 1) * dim]);
            for (got, want) in alone.iter().zip(cache.textbook(heads - 1, query, places[r])) {
                prop_assert!((f64::from(*got) - want).abs() < 2e-5, "{} {}", got, want);
            }
        }
    }
}

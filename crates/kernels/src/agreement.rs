//! The vector code and the portable code give the same bits.

use crate::activations::Activations;
use crate::format::Format;
use crate::kquants::Tokens;
use crate::pool::Pool;
use crate::{blockquants, floats, kquants};
use proptest::prelude::*;

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Random blocks; the first `halves` half-precision scales are made ordinary numbers.
fn packed(seed: u64, len: usize, halves: usize) -> Vec<u8> {
    let mut all = bytes(seed, len);
    for i in 0..halves {
        all[2 * i + 1] = all[2 * i + 1] & 0x83 | 0x28;
    }
    all
}

fn floats_of(seed: u64, len: usize) -> Vec<f32> {
    bytes(seed, len).into_iter().map(|b| (f32::from(b) - 128.0) / 17.0).collect()
}

proptest! {
    #[test]
    fn k_quants(which in 0usize..3, tokens in 1usize..12, seed: u64) {
        if !crate::vectors() {
            return Ok(());
        }
        let format = [Format::Q4_K, Format::Q5_K, Format::Q6_K][which];
        let halves = if format == Format::Q6_K { 8 } else { 16 };
        let pool = Pool::new(1);
        let values = floats_of(seed ^ 5, tokens * 256);
        let x = Activations::new(&values, 256);
        let x = x.blocks_k(&pool);
        let panels: Vec<Vec<u8>> =
            (0..2).map(|p| packed(seed.wrapping_add(p), kquants::half_block_bytes(format), halves)).collect();
        let mut fast = [kquants::Block::ZERO, kquants::Block::ZERO];
        let mut slow = fast.clone();
        for (p, packed) in panels.iter().enumerate() {
            // SAFETY: the CPU was asked.
            unsafe { kquants::avx2::unpack(format, packed, &mut fast[p]) };
            kquants::unpack_portable(format, packed, &mut slow[p]);
        }
        let all = Tokens { first: 0, count: tokens };
        let (mut a, mut b) = (vec![0.5f32; tokens * 16], vec![0.5f32; tokens * 16]);
        // SAFETY: the CPU was asked; two panels of eight lanes for each token.
        unsafe { kquants::avx2::accumulate(format, &fast, x, tokens, 0, all, a.as_mut_ptr(), 16) };
        for p in 0..2 {
            kquants::accumulate_portable(format, &slow[p], x, tokens, 0, all, &mut b[p * 8..], 16);
        }
        prop_assert_eq!(a, b);
    }

    #[test]
    fn block_quants(which in 0usize..3, tokens in 1usize..12, seed: u64) {
        if !crate::vectors() {
            return Ok(());
        }
        let format = [Format::Q4_0, Format::Q5_0, Format::Q8_0][which];
        let pool = Pool::new(1);
        let values = floats_of(seed ^ 5, tokens * 64);
        let x = Activations::new(&values, 64);
        let x = x.blocks_b(&pool);
        // Two halves of two blocks, side by side as in a panel.
        let len = blockquants::half_block_bytes(format);
        let panel: Vec<u8> = (0..4).flat_map(|b| packed(seed.wrapping_add(b), len, 8)).collect();
        let (mut fast, mut slow) = (vec![blockquants::Block::ZERO; 4], vec![blockquants::Block::ZERO; 4]);
        for (b, packed) in panel.chunks_exact(len).enumerate() {
            let at = b % 2 * 2 + b / 2;
            if format != Format::Q8_0 {
                // SAFETY: the CPU was asked.
                unsafe { blockquants::avx2::unpack(format, packed, &mut fast[at]) };
            }
            blockquants::unpack_portable(format, packed, &mut slow[at]);
        }
        let all = Tokens { first: 0, count: tokens };
        let (mut a, mut b) = (vec![0.5f32; tokens * 16], vec![0.5f32; tokens * 16]);
        // SAFETY: the CPU was asked; two halves of eight lanes for each token.
        unsafe {
            use blockquants::avx2::{Run, accumulate};
            if format == Format::Q8_0 {
                accumulate::<true>(Run::packed(&panel), x, tokens, 0, all, a.as_mut_ptr(), 16);
            } else {
                let run = Run::unpacked([&fast[..2], &fast[2..]]);
                accumulate::<false>(run, x, tokens, 0, all, a.as_mut_ptr(), 16);
            }
        }
        for p in 0..2 {
            blockquants::accumulate_portable(&slow[2 * p..2 * p + 2], x, tokens, 0, all, &mut b[p * 8..], 16);
        }
        prop_assert_eq!(a, b);
    }

    #[test]
    fn float_strips(which in 0usize..3, rows in 1usize..6, inner in 1usize..40, lanes in 1usize..8, seed: u64) {
        let format = [Format::F32, Format::F16, Format::BF16][which];
        let lanes = lanes * 8;
        let values: Vec<u8> = floats_of(seed, inner * lanes)
            .iter()
            .flat_map(|v| match format {
                Format::F32 => v.to_le_bytes().to_vec(),
                Format::F16 => half::f16::from_f32(*v).to_le_bytes().to_vec(),
                _ => half::bf16::from_f32(*v).to_le_bytes().to_vec(),
            })
            .collect();
        let x = floats_of(seed ^ 9, rows * inner);
        let left = floats::Left { data: x.as_ptr(), stride: inner, rows };
        let right = floats::Right { format, data: values.as_ptr(), stride: lanes };
        let (mut a, mut b) = (vec![0.25f32; rows * lanes], vec![0.25f32; rows * lanes]);
        // SAFETY: all sizes are as described.
        unsafe {
            floats::accumulate(left, right, inner, lanes, a.as_mut_ptr(), lanes);
            floats::portable(left, right, inner, lanes, b.as_mut_ptr(), lanes);
        }
        prop_assert_eq!(a, b);
    }
}

//! Packed products against plain arithmetic over candle's own quantisation, and against themselves in other company.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use madang_kernels::{Activations, Format, Matrix, Pool, Product, multiply};
use proptest::prelude::*;

const FORMATS: [(Format, GgmlDType); 9] = [
    (Format::F32, GgmlDType::F32),
    (Format::F16, GgmlDType::F16),
    (Format::BF16, GgmlDType::BF16),
    (Format::Q4_0, GgmlDType::Q4_0),
    (Format::Q5_0, GgmlDType::Q5_0),
    (Format::Q8_0, GgmlDType::Q8_0),
    (Format::Q4_K, GgmlDType::Q4K),
    (Format::Q5_K, GgmlDType::Q5K),
    (Format::Q6_K, GgmlDType::Q6K),
];

/// Numbers in a bell, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next() + next() + next()).collect()
}

fn weights(dtype: GgmlDType, rows: usize, cols: usize, seed: u64) -> (Vec<u8>, Vec<f32>) {
    let tensor = Tensor::from_vec(noise(seed, rows * cols), (rows, cols), &Device::Cpu).unwrap();
    let q = QTensor::quantize(&tensor, dtype).unwrap();
    let plain = q.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (q.data().unwrap().into_owned(), plain)
}

fn product(pool: &Pool, m: &Matrix, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / m.cols() * m.rows()];
    multiply(pool, &Activations::new(x, m.cols()), &mut [Product { matrix: m, out: &mut out }]);
    out
}

#[test]
fn rows_are_what_candle_dequantises() {
    let pool = Pool::new(2);
    for (format, dtype) in FORMATS {
        let (rows, cols) = (37, 512);
        let (bytes, plain) = weights(dtype, rows, cols, 1);
        let m = Matrix::pack(format, rows, cols, &bytes, &pool).unwrap();
        let mut out = vec![0.0; cols];
        for r in 0..rows {
            m.row(r, &mut out);
            for (a, b) in out.iter().zip(&plain[r * cols..]) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(0.1), "{format:?} row {r}: {a} {b}");
            }
        }
    }
}

#[test]
fn products_are_plain_products_but_for_the_rounding_of_activations() {
    let pool = Pool::new(2);
    for (format, dtype) in FORMATS {
        let (rows, cols, tokens) = (51, 768, 7);
        let (bytes, plain) = weights(dtype, rows, cols, 2);
        let m = Matrix::pack(format, rows, cols, &bytes, &pool).unwrap();
        let x = noise(3, tokens * cols);
        let got = product(&pool, &m, &x);
        // A signed byte keeps 1/254 of the largest value of its block; errors of 768 products add up as a walk.
        let bound = if matches!(format, Format::F32 | Format::F16 | Format::BF16) { 1e-3 } else { 0.25 };
        for t in 0..tokens {
            for r in 0..rows {
                let want: f32 = (0..cols).map(|i| plain[r * cols + i] * x[t * cols + i]).sum();
                let got = got[t * rows + r];
                assert!((got - want).abs() < bound, "{format:?} token {t} row {r}: {got} {want}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_token_alone_is_the_token_in_company(
        which in 0usize..9, rows in 1usize..70, blocks in 1usize..4, tokens in 1usize..140, threads in 1usize..4, seed: u64
    ) {
        let (format, dtype) = FORMATS[which];
        let cols = blocks * 256;
        let pool = Pool::new(threads);
        let (bytes, _) = weights(dtype, rows, cols, seed);
        let m = Matrix::pack(format, rows, cols, &bytes, &pool).unwrap();
        let x = noise(seed ^ 7, tokens * cols);
        let together = product(&pool, &m, &x);
        for t in [0, tokens / 2, tokens - 1] {
            let alone = product(&pool, &m, &x[t * cols..(t + 1) * cols]);
            prop_assert_eq!(&alone[..], &together[t * rows..(t + 1) * rows]);
        }
    }
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused() {
    let pool = Pool::new(1);
    let error = Matrix::pack(Format::Q4_K, 1, 172, &[0; 144], &pool).err().map(|e| e.to_string());
    assert_eq!(error.as_deref(), Some("Q4_K needs rows of a multiple of 256 values, not 172"));
    assert!(Matrix::pack(Format::Q8_0, 2, 32, &[0; 34], &pool).is_err());
}

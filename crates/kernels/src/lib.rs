//! Arithmetic of the inference engine on CPUs: packed quantised matrices, matrix products, attention over half-precision
//! caches, and a small thread pool. AVX2 where the CPU has it, otherwise the portable code that the tests hold the
//! vector code against, bit for bit.
//!
//! Every result for one token depends on that token's own inputs alone, in one fixed order of operations: computed with
//! seven others or by itself, in one piece or in chunks, it is the same to the last bit. The scheduler relies on it.
//!
//! What does not live here: files, models, tokens. The only crate of ours where `unsafe` is at home.

// Kernels name every dimension they work on, and their tiles are indexed as the registers are.
#![allow(clippy::too_many_arguments, clippy::needless_range_loop)]

mod activations;
#[cfg(all(test, target_arch = "x86_64"))]
mod agreement;
mod attention;
mod blockquants;
mod floats;
mod format;
mod kquants;
mod matrix;
mod memory;
mod ops;
mod pool;

pub use activations::Activations;
pub use attention::{BLOCK, Head, KvBlock, KvShape, attend, write_kv};
pub use format::{Format, PackError};
pub use matrix::{Matrix, Product, multiply};
pub use ops::{add_assign, rms_norm, rope_interleaved, rope_neox, swiglu};
pub use pool::Pool;

/// The vector code can run here.
fn vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The same number, but what is computed from it is computed where it is written. The compiler else regroups the sums of
/// a whole tile, token by token, and keeps the weights in memory for want of registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn in_order(mut v: std::arch::x86_64::__m256i) -> std::arch::x86_64::__m256i {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// Asks for the `len` bytes that stand some way behind `p`: one pass over the weights waits for memory more than for
/// anything else. Nothing is read, so nothing behind the end of the weights is touched either.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ahead(p: *const u8, len: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const DISTANCE: usize = 4096;
    for line in (0..len).step_by(64) {
        // SAFETY: a prefetch of any address is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(DISTANCE + line).cast()) };
    }
}

//! Any bytes as any format: reading ends with a document or a refusal. `cargo +nightly fuzz run read` in this folder's
//! parent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use madang_documents::{DistributionPolicy, Limits, read};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { inflated_bytes: 8 << 20, distribution: DistributionPolicy::Decrypt, ..Limits::default() };
    let _ = read(bytes, "a.bin", &limits);
});

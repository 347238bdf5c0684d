//! The decoder over candle's tensors, as a graphics processor computes it, beside the kernels: the same files, pieces of
//! several sequences in one step, a shared beginning, chunks that end inside blocks. It runs in main memory; with
//! `MADANG_DEVICE=gpu` and the feature `cuda` on the graphics processor itself.

mod common;

use common::model;
use madang_inference::decoder::cache::BlockId;
use madang_inference::decoder::weights::MappedFile;
use madang_inference::decoder::{Decoder, Output, Piece, Place, Want};
use madang_inference::{ChatModel, LocalModel, Options};
use madang_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

/// Root mean square of the differences, in standard deviations of the results. Both sides keep keys and values in half
/// precision and round the inputs of quantised products to eight bits; `peer.rs` measures how far two correct engines
/// lie apart for it.
fn tolerance(quant: &str) -> f64 {
    if quant == "f32" { 2e-3 } else { 0.1 }
}

fn rms(numbers: impl Iterator<Item = f32> + Clone) -> f64 {
    let squares: f64 = numbers.clone().map(|n| f64::from(n).powi(2)).sum();
    (squares / numbers.count() as f64).sqrt()
}

fn place() -> Place {
    std::env::var("MADANG_DEVICE").map_or(Place::Tensors, |place| place.parse().expect("a place"))
}

fn open(file: &Path, place: Place) -> Decoder {
    let map = MappedFile::open(file).unwrap();
    let content = map.gguf().unwrap();
    Decoder::from_gguf(&map, &content, Arc::new(Pool::new(2)), place).unwrap()
}

/// Three steps: a beginning, two sequences that go on from it beside a third, and one token of each.
fn compute(decoder: &mut Decoder, output: Output) -> Vec<f32> {
    let ids = |numbers: &[u32]| numbers.iter().copied().map(BlockId).collect::<Vec<_>>();
    let tokens = |from: u32, count: u32| (from..from + count).map(|i| i * 37 % 250).collect::<Vec<u32>>();
    let mut cache = decoder.cache(8).unwrap();
    let (a, b, c) = (ids(&[5, 2, 7]), ids(&[5, 0, 1]), ids(&[4]));
    let (beginning, next) = (tokens(0, 45), [tokens(100, 30), tokens(7, 3), tokens(9, 11)]);
    let first = Piece { tokens: &beginning, start: 0, blocks: &a, want: Want::Nothing };
    assert!(decoder.forward(&mut cache, &[first], output).unwrap().is_empty());
    let pieces = [
        Piece { tokens: &next[0], start: 45, blocks: &a, want: Want::All },
        // Block 5 alone is shared: this one goes on after its 32 tokens.
        Piece { tokens: &next[1], start: 32, blocks: &b, want: Want::Last },
        Piece { tokens: &next[2], start: 0, blocks: &c, want: Want::Last },
    ];
    let mut rows = decoder.forward(&mut cache, &pieces, output).unwrap();
    let ones = [[3u32], [4], [5]];
    let pieces = [
        Piece { tokens: &ones[0], start: 75, blocks: &a, want: Want::Last },
        Piece { tokens: &ones[1], start: 35, blocks: &b, want: Want::Last },
        Piece { tokens: &ones[2], start: 11, blocks: &c, want: Want::Last },
    ];
    rows.extend(decoder.forward(&mut cache, &pieces, output).unwrap());
    rows
}

#[test]
fn tensors_compute_what_the_kernels_compute() {
    for (family, quant) in [
        ("qwen3", "f32"),
        ("qwen2", "f32"),
        ("llama", "f32"),
        ("llama", "q4_k_m"),
        ("qwen2", "q8_0"),
        ("qwen3", "q6_k"),
    ] {
        let file = model(family, quant);
        let (mut kernels, mut tensors) = (open(&file, Place::Cpu), open(&file, place()));
        assert!(kernels.exact() && !tensors.exact());
        for output in [Output::Logits, Output::Hidden] {
            let (ours, theirs) = (compute(&mut kernels, output), compute(&mut tensors, output));
            assert_eq!(ours.len(), theirs.len());
            assert!(theirs.iter().any(|v| v.abs() > 0.1), "{family} {quant}: something is computed");
            let away = rms(ours.iter().zip(&theirs).map(|(a, b)| a - b)) / rms(ours.iter().copied());
            println!("{family} {quant} {output:?}: {away}");
            assert!(away < tolerance(quant), "{family} {quant} {output:?}: {away}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_runs_on_tensors() {
    let options = Options { place: place(), cache_bytes: 4 << 20, ..common::options() };
    let model = LocalModel::load(&model("qwen3", "f32"), &options).unwrap();
    let mut streams = Vec::new();
    for i in 0..4 {
        streams.push(model.chat(common::ask(&format!("민원 처리 기한은 {i}일인가요?"))).await.unwrap());
    }
    for stream in streams {
        assert!(!common::text(stream).await.is_empty());
    }
    let metrics = model.metrics();
    assert_eq!(metrics.guessed_tokens, 0, "guesses could change the text");
    assert_eq!(model.card().name, options.name);
}

#[test]
fn a_place_that_is_not_there_is_refused() {
    let options = Options { place: Place::Gpu(0), ..common::options() };
    let Err(error) = LocalModel::load(&model("qwen3", "f32"), &options) else { panic!("no graphics processor here") };
    assert!(error.to_string().contains("madang-cuda"), "{error}");
    for text in ["gpu:", "gpu:x", "GPU", "", "cpu "] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    assert_eq!("gpu:3".parse(), Ok(Place::Gpu(3)));
}

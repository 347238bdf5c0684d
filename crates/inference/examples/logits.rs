//! Logits of a GGUF file at chosen positions, and greedy tokens after them, as raw numbers for comparison:
//! `logits FILE TOKENS_FILE POSITIONS OUT.f32 GREEDY CHUNK`.

use madang_inference::decoder::cache::BlockId;
use madang_inference::decoder::weights::{MappedFile, from_gguf};
use madang_inference::decoder::{Decoder, Output, Piece, Want};
use madang_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

#[allow(clippy::print_stdout)]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let pool = Arc::new(Pool::new(2));
    let file = MappedFile::open(Path::new(&args[1])).unwrap();
    let content = file.gguf().unwrap();
    let mut decoder = Decoder::new(from_gguf(&file, &content, &pool).unwrap(), pool);
    let tokens: Vec<u32> =
        std::fs::read_to_string(&args[2]).unwrap().split_whitespace().map(|t| t.parse().unwrap()).collect();
    let positions: Vec<usize> = args[3].split(',').map(|p| p.parse().unwrap()).collect();
    let (greedy, chunk): (usize, usize) = (args[5].parse().unwrap(), args[6].parse().unwrap());
    let blocks: Vec<BlockId> = (0..(tokens.len() + greedy) / 32 + 1).map(|i| BlockId(i as u32)).collect();
    let mut cache = decoder.cache(blocks.len());
    let vocab = decoder.config().vocab;
    let mut out = Vec::new();
    let mut last = Vec::new();
    let start_time = std::time::Instant::now();
    for (i, part) in tokens.chunks(chunk).enumerate() {
        let start = i * chunk;
        let wanted = positions.iter().any(|p| (start..start + part.len()).contains(p));
        let want = if wanted { Want::All } else { Want::Last };
        let logits =
            decoder.forward(&mut cache, &[Piece { tokens: part, start, blocks: &blocks, want }], Output::Logits);
        for p in &positions {
            if (start..start + part.len()).contains(p) {
                out.extend_from_slice(&logits[(p - start) * vocab..(p - start + 1) * vocab]);
            }
        }
        last = logits[logits.len() - vocab..].to_vec();
    }
    eprintln!("prefill {:.1} tokens/s", tokens.len() as f64 / start_time.elapsed().as_secs_f64());
    let mut chosen = Vec::new();
    let start_time = std::time::Instant::now();
    for i in 0..greedy {
        let best = (0..vocab).reduce(|a, b| if last[b] > last[a] { b } else { a }).unwrap();
        chosen.push(best as u32);
        let piece = Piece { tokens: &[best as u32], start: tokens.len() + i, blocks: &blocks, want: Want::Last };
        last = decoder.forward(&mut cache, &[piece], Output::Logits);
    }
    eprintln!("decode {:.1} tokens/s", greedy as f64 / start_time.elapsed().as_secs_f64());
    println!("{chosen:?}");
    let bytes: Vec<u8> = out.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
    std::fs::write(&args[4], bytes).unwrap();
}

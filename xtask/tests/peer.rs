//! The decoder beside llama.cpp on the same files: logits near the beginning, at 600, 2,100 and the end of the context,
//! and greedy text. Random weights in the real dimensions of three families, small files of every format and position
//! scaling, and real weights (stories260K) where `MADANG_STORIES` names the folder of `stories260K.bin` and `tok512.bin`.
//!
//! Skipped aloud without llama.cpp's Python package (`xtask peers --build`, or `MADANG_PEER_PYTHON`). The files in real
//! dimensions take minutes: `cargo test --release -p xtask --test peer -- --ignored`.
//!
//! # Tolerance
//! Both engines keep keys and values in half precision and, with quantised weights, round each token's inputs to eight
//! bits before every product. A difference in the last bit of a sum can move such a rounding by a whole step, and layers
//! after it carry that on: the results of one correct engine spread as well. How far is measured, not assumed: llama.cpp
//! computes each file with and without its fused attention, which differ in nothing but the order of sums. Ours must lie
//! no farther from it than [`TIMES`] that spread, as root mean square over the vocabulary; files whose spread is nearly
//! nothing (single and half precision) have [`LEAST`] of the logits' own standard deviation instead.

use madang_inference::decoder::cache::BlockId;
use madang_inference::decoder::weights::MappedFile;
use madang_inference::decoder::{Decoder, Output, Piece, Place, Want};
use madang_kernels::{BLOCK, Pool};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const TIMES: f64 = 2.0;
const LEAST: f64 = 2e-3;
/// Tokens written after the prompt.
const WRITTEN: usize = 24;

#[derive(Deserialize)]
struct Greedy {
    ids: Vec<u32>,
    /// How far each token was ahead of the second.
    gaps: Vec<f64>,
}

/// Python that has llama.cpp.
struct Peer(PathBuf);

impl Peer {
    fn find() -> Option<Self> {
        let usual = workspace().join("target/peers/venv/bin/python");
        let python = std::env::var_os("MADANG_PEER_PYTHON").map_or(usual, PathBuf::from);
        let there =
            Command::new(&python).args(["-c", "import llama_cpp"]).output().is_ok_and(|output| output.status.success());
        if !there {
            eprintln!("skipped: no llama.cpp for Python; see `xtask peers --build` and MADANG_PEER_PYTHON");
        }
        there.then_some(Self(python))
    }

    fn run(&self, command: &str, file: &Path, arguments: &[&str]) -> Vec<u8> {
        let script = workspace().join("xtask/peer/llama_cpp_peer.py");
        let output = Command::new(&self.0).arg(script).args([command, "--model"]).arg(file).args(arguments).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Logits at positions, with llama.cpp's fused attention (`on`) or without (`off`).
    fn logits(&self, file: &Path, tokens: &Path, positions: &[usize], flash: &str) -> Vec<Vec<f32>> {
        let out = file.with_extension("f32");
        let list = positions.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let (tokens, path) = (tokens.to_str().unwrap(), out.to_str().unwrap());
        let arguments = ["--tokens-file", tokens, "--positions", &list, "--out", path, "--flash-attn", flash];
        self.run("logits", file, &arguments);
        let numbers: Vec<f32> = std::fs::read(&out)
            .unwrap()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        numbers.chunks(numbers.len() / positions.len()).map(<[f32]>::to_vec).collect()
    }

    fn greedy(&self, file: &Path, tokens: &Path) -> Greedy {
        let arguments = ["--tokens-file", tokens.to_str().unwrap(), "--n", &WRITTEN.to_string()];
        serde_json::from_slice(&self.run("greedy", file, &arguments)).unwrap()
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn xtask(arguments: &[&str], out: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).arg("--out").arg(out).status();
    assert!(status.expect("xtask runs").success(), "{arguments:?}");
}

/// Our side: one sequence from position 0 on.
struct Ours {
    decoder: Decoder,
    tokens: Vec<u32>,
    vocab: usize,
}

impl Ours {
    fn open(file: &Path, place: Place) -> Self {
        let map = MappedFile::open(file).unwrap();
        let content = map.gguf().unwrap();
        let decoder = Decoder::from_gguf(&map, &content, Arc::new(Pool::new(2)), place).unwrap();
        let vocab = decoder.config().vocab;
        Self { decoder, tokens: Vec::new(), vocab }
    }

    /// The same ids in every run.
    fn with_tokens(mut self, count: usize) -> Self {
        let next = |i: usize| ((i * 7919 + i / 13 * 104_729 + 17) % (self.vocab - 3) + 3) as u32;
        self.tokens = (0..count).map(next).collect();
        self
    }

    fn write_tokens(&self, beside: &Path, count: usize) -> PathBuf {
        let path = beside.with_extension(format!("{count}.tokens"));
        let words: Vec<String> = self.tokens[..count].iter().map(u32::to_string).collect();
        std::fs::write(&path, words.join(" ")).unwrap();
        path
    }

    /// Logits at some positions, and the tokens written after `after` of them.
    fn compute(&mut self, positions: &[usize], after: usize) -> (Vec<Vec<f32>>, Vec<u32>) {
        let blocks: Vec<BlockId> = (0..(self.tokens.len() + WRITTEN) / BLOCK + 1).map(|i| BlockId(i as u32)).collect();
        let mut cache = self.decoder.cache(blocks.len()).unwrap();
        let mut rows = Vec::new();
        // Uneven, so that pieces begin and end inside blocks.
        for (i, tokens) in self.tokens.chunks(250).enumerate() {
            let start = i * 250;
            let here: Vec<usize> =
                positions.iter().filter_map(|p| p.checked_sub(start)).filter(|p| *p < tokens.len()).collect();
            let want = if here.is_empty() { Want::Nothing } else { Want::All };
            let piece = Piece { tokens, start, blocks: &blocks, want };
            let logits = self.decoder.forward(&mut cache, &[piece], Output::Logits).unwrap();
            rows.extend(here.iter().map(|p| logits[p * self.vocab..(p + 1) * self.vocab].to_vec()));
        }
        let mut written: Vec<u32> = Vec::new();
        let mut last = self.tokens[after - 1];
        for start in after - 1..after - 1 + WRITTEN {
            let piece = Piece { tokens: &[last], start, blocks: &blocks, want: Want::Last };
            let logits = self.decoder.forward(&mut cache, &[piece], Output::Logits).unwrap();
            last = (0..self.vocab).reduce(|a, b| if logits[b] > logits[a] { b } else { a }).unwrap() as u32;
            written.push(last);
        }
        (rows, written)
    }
}

fn rms(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

fn farthest(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
}

fn deviation(row: &[f32]) -> f64 {
    let mean = row.iter().sum::<f32>() / row.len() as f32;
    rms(row, &vec![mean; row.len()])
}

/// Holds one file against llama.cpp at its beginning, at the given positions and at its end.
fn compare(peer: &Peer, name: &str, file: &Path, inner: &[usize]) {
    let ours = Ours::open(file, Place::Cpu);
    let context = ours.decoder.config().context;
    let mut ours = ours.with_tokens(context - WRITTEN);
    let end = ours.tokens.len() - 1;
    let positions: Vec<usize> =
        [0, 1].into_iter().chain(inner.iter().copied().filter(|p| (2..end).contains(p))).chain([end]).collect();
    let all = ours.write_tokens(file, end + 1);
    let after = positions[positions.len() - 2].max(8);
    let prompt = ours.write_tokens(file, after);
    let (rows, written) = ours.compute(&positions, after);
    let fused = peer.logits(file, &all, &positions, "on");
    let plain = peer.logits(file, &all, &positions, "off");
    // The spread at one position is itself a matter of chance; a file's is its largest.
    let spread = fused.iter().zip(&plain).map(|(a, b)| rms(a, b)).fold(0.0, f64::max);
    let farthest = fused.iter().zip(&plain).map(|(a, b)| farthest(a, b)).fold(0.0, f64::max);
    for (i, position) in positions.iter().enumerate() {
        let away = rms(&rows[i], &plain[i]).min(rms(&rows[i], &fused[i]));
        let allowed = (TIMES * spread).max(LEAST * deviation(&plain[i]));
        println!(
            "{name} at {position}: {away:.5} away, their spread {spread:.5}, logits' deviation {:.2}",
            deviation(&plain[i])
        );
        assert!(away <= allowed, "{name} at {position}: {away} > {allowed}");
    }
    let theirs = peer.greedy(file, &prompt);
    for (i, gap) in theirs.gaps.iter().enumerate() {
        if written[i] != theirs.ids[i] {
            // Two engines may part where the two best tokens are nearer than both may move, and have different texts to
            // go on from.
            println!("{name}: text parts at token {i}, {gap:.3} ahead of the second; a logit moves by {farthest:.3}");
            assert!(*gap <= 2.0 * farthest.max(LEAST), "{name}: token {i} differs, {gap} ahead of the second");
            break;
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn small_files_of_every_format_and_family() {
    let Some(peer) = Peer::find() else { return };
    let folder = folder();
    for (family, quant) in [
        ("qwen3", "f32"),
        ("qwen2", "f32"),
        ("llama", "f32"),
        ("qwen3", "f16"),
        ("llama", "q4_k_m"),
        ("qwen2", "q5_k_m"),
        ("qwen3", "q6_k"),
        ("qwen2", "q8_0"),
        ("llama", "q4_0"),
    ] {
        let file = folder.path().join(format!("{family}-{quant}.gguf"));
        xtask(&["synthetic-model", "--family", family, "--quant", quant, "--context", "2304"], &file);
        compare(&peer, &format!("{family} {quant}"), &file, &[600, 2100]);
    }
}

#[test]
fn scaled_positions() {
    let Some(peer) = Peer::find() else { return };
    let folder = folder();
    for (family, scaling) in [("qwen2", "yarn"), ("qwen3", "linear"), ("llama", "llama3"), ("llama", "yarn")] {
        let file = folder.path().join(format!("{family}-{scaling}.gguf"));
        let scaled =
            ["--context", "2304", "--rope-scaling", scaling, "--rope-factor", "4", "--original-context", "576"];
        xtask(&[&["synthetic-model", "--family", family, "--quant", "f32"], &scaled[..]].concat(), &file);
        compare(&peer, &format!("{family} {scaling}"), &file, &[600, 2100]);
    }
}

#[test]
fn real_weights() {
    let Some(peer) = Peer::find() else { return };
    let Some(stories) = std::env::var_os("MADANG_STORIES").map(PathBuf::from) else {
        eprintln!("skipped: MADANG_STORIES names no folder with stories260K.bin and tok512.bin");
        return;
    };
    let folder = folder();
    for quant in ["f32", "f16", "q8_0"] {
        let file = folder.path().join(format!("stories-{quant}.gguf"));
        let (model, words) = (stories.join("stories260K.bin"), stories.join("tok512.bin"));
        let paths = ["--model", model.to_str().unwrap(), "--tokenizer", words.to_str().unwrap()];
        xtask(&[&["convert-stories260k", "--quant", quant], &paths[..]].concat(), &file);
        compare(&peer, &format!("stories260K {quant}"), &file, &[60, 300]);
    }
}

#[test]
#[ignore = "minutes for each file"]
fn real_dimensions() {
    let Some(peer) = Peer::find() else { return };
    let folder = folder();
    for like in ["qwen3-0.6b", "llama-3.2-1b", "qwen2.5-0.5b"] {
        let file = folder.path().join(format!("{like}.gguf"));
        xtask(&["synthetic-model", "--like", like, "--quant", "q4_k_m", "--context", "2304"], &file);
        compare(&peer, like, &file, &[600, 2100]);
        std::fs::remove_file(file).unwrap();
    }
}

/// Real dimensions of one layer to the very end of the published context.
#[test]
#[ignore = "minutes for each file"]
fn the_end_of_long_contexts() {
    let Some(peer) = Peer::find() else { return };
    let folder = folder();
    for like in ["qwen3-0.6b", "qwen2.5-0.5b"] {
        let file = folder.path().join(format!("{like}.gguf"));
        xtask(&["synthetic-model", "--like", like, "--quant", "q4_k_m", "--layers", "2"], &file);
        compare(&peer, &format!("{like}, 2 layers"), &file, &[2100]);
        std::fs::remove_file(file).unwrap();
    }
}

//! Developer commands: synthetic models, conversion of small real weights, the peer that speed and correctness are
//! measured against, the benchmarks of inference and search, and the training of word vectors. Nothing here ships with the
//! product.

mod bench;
mod bench_search;
mod embedding;
mod encode;
mod gguf;
mod peers;
mod stories;
mod synthetic;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Developer commands of the workspace: `cargo run --release -p xtask -- COMMAND`.
#[derive(Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a model with random weights and the real dimensions of a family, as GGUF or safetensors.
    SyntheticModel(synthetic::Args),
    /// Convert llama2.c's stories260K with its 512-token vocabulary into a GGUF file.
    ConvertStories260k(stories::Args),
    /// Download the sources of llama-cpp-python: real tokenizers and templates, and the peer of the benchmark.
    Peers(peers::Args),
    /// Measure this engine beside llama.cpp on the same files and print one Markdown table.
    BenchInference(bench::Args),
    /// Build the embedded index at scale, search it by readers of much and of little, and print the tables.
    BenchSearch(bench_search::Args),
    /// Train a small table of Korean word vectors and measure what it adds to BM25.
    TrainEmbedding(embedding::Args),
    /// Our side of the benchmark: a request as JSON on stdin, the report on stdout.
    #[command(name = bench::ours::COMMAND, hide = true)]
    BenchOurs,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::SyntheticModel(args) => synthetic::run(&args),
        Command::ConvertStories260k(args) => stories::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::BenchInference(args) => bench::run(&args),
        Command::BenchSearch(args) => bench_search::run(&args),
        Command::TrainEmbedding(args) => embedding::run(&args),
        Command::BenchOurs => bench::ours::child(),
    }
}

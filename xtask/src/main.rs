//! Developer commands: synthetic models, conversion of small real weights, the peer that speed and correctness are
//! measured against, and the inference benchmark. Nothing here ships with the product.

mod encode;
mod gguf;
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
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::SyntheticModel(args) => synthetic::run(&args),
        Command::ConvertStories260k(args) => stories::run(&args),
    }
}

//! `xtask bench-inference`: this engine and llama.cpp on the same file with the same numbers of tokens and threads, in
//! turns, as one Markdown table. Each side runs in a process of its own, so that its peak memory is its own.

mod bandwidth;
pub mod ours;
mod peer;
mod table;

use crate::peers;
use crate::synthetic::{quantisation::Quantisation, write_benchmark_model};
use anyhow::{Context, Result, ensure};
use madang_inference::bench::{Report, Request};
use std::path::PathBuf;
use table::{Measured, Side};

#[derive(clap::Args)]
pub struct Args {
    /// One round with short runs: shows that everything works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// Rounds of both engines; the table shows medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measure these files instead of the two synthetic ones.
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Python with llama-cpp-python; by default the one that `xtask peers --build` makes.
    #[arg(long, env = "MADANG_PEER_PYTHON")]
    python: Option<PathBuf>,
    /// Leave llama.cpp out.
    #[arg(long)]
    no_peer: bool,
    /// Also write every single report, as JSON, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Measures and prints the table.
///
/// # Errors
/// When a model cannot be made or an engine fails.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0 && args.threads > 0, "--rounds and --threads must be at least 1");
    let python = args.python.clone().unwrap_or_else(|| peers::folder().join("venv/bin/python"));
    ensure!(
        args.no_peer || python.is_file(),
        "{}: no such file. Run `cargo run --release -p xtask -- peers --build` first, or give --python or --no-peer.",
        python.display()
    );
    let sides: &[Side] = if args.no_peer { &[Side::Ours] } else { &[Side::Ours, Side::Peer] };
    let models = models(args)?;
    let (mut measured, busy) = (Vec::new(), bandwidth::load_average());
    // taken before and after: other work on the machine can only lower it
    let mut bandwidth = bandwidth::read_bytes_per_second(args.threads);
    for model in models {
        let request =
            if args.quick { Request::quick(&model, args.threads) } else { Request::new(&model, args.threads) };
        let mut reports: Vec<(Side, Report)> = Vec::new();
        for round in 0..if args.quick { 1 } else { args.rounds } {
            // who goes first changes: the second finds a warmer machine
            let order: Vec<Side> = if round % 2 == 0 { sides.to_vec() } else { sides.iter().rev().copied().collect() };
            for side in order {
                eprintln!("{} round {} {side:?} ...", model.display(), round + 1);
                let report = match side {
                    Side::Ours => ours::run(&request)?,
                    Side::Peer => peer::run(&python, &request)?,
                };
                reports.push((side, report));
            }
        }
        measured.push(Measured::new(&model, reports)?);
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&measured)?).with_context(|| path.display().to_string())?;
    }
    bandwidth = bandwidth.max(bandwidth::read_bytes_per_second(args.threads));
    let machine = table::Machine { bandwidth, threads: args.threads, busy };
    println!("{}", table::markdown(&measured, &machine));
    Ok(())
}

/// The files to measure; the synthetic ones are made once.
fn models(args: &Args) -> Result<Vec<PathBuf>> {
    if !args.model.is_empty() {
        return Ok(args.model.clone());
    }
    let folder = peers::workspace().join("target/models");
    let wanted = [(Quantisation::Q4KM, "q4_k_m"), (Quantisation::Q8_0, "q8_0")];
    let mut paths = Vec::new();
    for (quant, name) in wanted {
        let path = folder.join(format!("qwen3-0.6b-{name}.gguf"));
        if !path.is_file() {
            eprintln!("writing {} ...", path.display());
            write_benchmark_model(quant, &path)?;
        }
        paths.push(path);
    }
    Ok(paths)
}

//! `xtask train-embedding`: trains a small table of Korean word vectors from public texts, on the CPU, and measures what
//! it adds to BM25. Always the same table from the same texts.
//!
//! Three steps: a vocabulary of stems and their syllable pairs and triples; first vectors from co-occurrence; then what
//! BM25 misses, from questions and passages with its own mistakes as negatives. The product ships no such table: what was
//! measured is in docs/search.md.

mod cooccurrence;
mod lexical;
mod measure;
mod soft;
mod svd;
mod table;
mod texts;
mod training;
mod words;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use std::path::PathBuf;
use std::time::Instant;
use training::Source;
use words::{Vocabulary, Words};

/// A row stands in at least this many texts.
const LEAST_TEXTS: u32 = 4;

#[derive(clap::Args)]
pub struct Args {
    /// Folder with `text`, `law` and, for `--measure`, `retrieval`.
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// Folder for `model.safetensors`; nothing is written without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Most rows.
    #[arg(long, default_value_t = 40_000)]
    rows: usize,
    /// Length of a vector, a multiple of 16.
    #[arg(long, default_value_t = 128)]
    dimension: usize,
    /// Passes over the questions; 0 keeps the vectors of co-occurrence.
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// A set of `retrieval` to measure on, none of which is read for training; may be repeated.
    #[arg(long)]
    measure: Vec<String>,
    /// Weight of the soft match beside BM25, where both reach from 0 to 1.
    #[arg(long, default_value_t = 0.3)]
    weight: f32,
}

/// Trains, writes, measures.
///
/// # Errors
/// Texts that are missing or not as expected, and I/O.
#[allow(clippy::print_stdout)] // the table of figures
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.dimension > 0 && args.dimension.is_multiple_of(16), "--dimension: a multiple of 16");
    let start = Instant::now();
    let progress = |what: String| eprintln!("{:>5.0} s  {what}", start.elapsed().as_secs_f64());
    let (pairs, headlines) = texts::read(&args.data)?;
    // The first three sources; the others are made of the same texts.
    let all = pairs.iter().take(3).flat_map(|p| p.passages.iter().chain(p.questions.iter().map(|q| &q.0)));
    let all: Vec<&String> = all.chain(&headlines).collect();
    let all: Vec<Vec<String>> = all.par_iter().map(|t| words::content(t)).collect();
    let vocabulary = Vocabulary::of(&all, LEAST_TEXTS, args.rows);
    progress(format!("{} texts, {} rows", all.len(), vocabulary.names.len()));
    let mut table = cooccurrence::first_table(&all, &vocabulary, args.dimension);
    drop(all);
    progress("co-occurrence".into());
    if args.epochs > 0 {
        let mut words = Words::default();
        let sources: Vec<Source> = pairs.iter().map(|p| Source::of(p, &vocabulary, &mut words)).collect();
        progress(format!("{} questions looked up", pairs.iter().map(|p| p.questions.len()).sum::<usize>()));
        training::train(&mut table, &words, &sources, args.epochs, |epoch, loss| {
            progress(format!("epoch {} of {}: loss {loss:.4}", epoch + 1, args.epochs));
        });
    }
    table.quantise();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        table.write(&vocabulary, &out.join("model.safetensors"))?;
        progress(out.display().to_string());
    }
    if !args.measure.is_empty() {
        println!("| set | questions | BM25 hit@1 | hit@5 | nDCG@10 | both hit@1 | hit@5 | nDCG@10 |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    }
    for name in &args.measure {
        let folder = args.data.join("retrieval").join(name);
        println!("{}", measure::line(&folder, &table, &vocabulary, args.weight)?);
    }
    Ok(())
}

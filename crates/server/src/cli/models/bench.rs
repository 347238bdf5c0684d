//! `madang models bench`: reading, writing and several at a time, on this machine.

use super::{Home, resolve};
use madang_inference::bench::{Report, Request, run};
use madang_inference::catalogue::human;
use std::io::Write;
use std::process::ExitCode;

/// Prompt of each sequence where several are written together.
const PARALLEL_PROMPT: usize = 128;

#[derive(clap::Args)]
pub struct Bench {
    #[command(flatten)]
    home: Home,
    /// Name of an installed model, a GGUF file or a model folder.
    model: String,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 512, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=131_072))]
    prompt: usize,
    /// Tokens that are written.
    #[arg(long, default_value_t = 128, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    generate: usize,
    /// Sequences at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,4,8", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    parallel: Vec<usize>,
    /// By default as many as the machine has.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let path = resolve(&self.home, &self.model)?;
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        let request = Request {
            prefill: vec![self.prompt],
            decode_depth: vec![0, self.prompt],
            decode_n: self.generate,
            parallel: self.parallel.clone(),
            parallel_prompt: PARALLEL_PROMPT,
            parallel_n: self.generate,
            prefix: self.prompt,
            question: 64,
            ..Request::new(&path, threads)
        };
        let report = run(&request)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            for line in table(&self.model, threads, &report) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(model: &str, threads: usize, report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{model}  스레드 {threads}, 여는 데 {:.1}초", report.load_seconds)];
    lines.push(format!("{:>34}", "토큰/초"));
    let row = |what: String, per_second: f64| format!("{what:<22}{per_second:>12.1}");
    lines.extend(report.prefill.iter().map(|p| row(format!("read {}", p.tokens), p.per_second)));
    lines.extend(report.decode.iter().map(|d| row(format!("write @{}", d.depth), d.per_second)));
    lines.extend(report.parallel.iter().map(|p| row(format!("write x{}", p.sequences), p.per_second)));
    let first = &report.first_token;
    lines.push(format!(
        "첫 토큰까지 {:.2}초 ({}토큰), 앞 {}토큰이 계산되어 있으면 {:.2}초",
        first.fresh_seconds,
        first.prefix + first.question,
        first.prefix,
        first.shared_seconds
    ));
    lines.push(format!("메모리 최고 {}", human(report.peak_bytes)));
    lines
}

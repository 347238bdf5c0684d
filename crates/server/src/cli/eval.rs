//! `madang eval`: measures on files. Retrieval: a folder in BEIR layout through the real analyser and index.

use anyhow::Context;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Eval {
    /// Search quality and speed over corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.
    Retrieval(Retrieval),
}

#[derive(clap::Args)]
pub struct Retrieval {
    /// Folder in BEIR layout.
    dir: PathBuf,
    /// Name of the file of judgements.
    #[arg(long, default_value = "dev")]
    split: String,
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Eval::Retrieval(retrieval) => retrieval.run(),
        }
    }
}

impl Retrieval {
    fn run(self) -> anyhow::Result<ExitCode> {
        let report = madang_search::eval::evaluate(&self.dir, &self.split)
            .with_context(|| format!("{} 평가를 마치지 못했습니다", self.dir.display()))?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "hit@1    {:.3}", report.hit_at_1)?;
        writeln!(out, "hit@5    {:.3}", report.hit_at_5)?;
        writeln!(out, "ndcg@10  {:.3}", report.ndcg_at_10)?;
        writeln!(out, "mrr@10   {:.3}", report.mrr_at_10)?;
        writeln!(out, "queries  {}", report.queries)?;
        writeln!(out, "passages {} ({:.0}/s)", report.passages, report.passages_per_second)?;
        writeln!(out, "p50      {:.2} ms", report.p50_ms)?;
        writeln!(out, "p99      {:.2} ms", report.p99_ms)?;
        Ok(ExitCode::SUCCESS)
    }
}

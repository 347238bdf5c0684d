//! `madang eval`: measures on files in BEIR layout. Each measure is a file here; reading such folders is in `search`.

mod quoting;
mod retrieval;

use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Eval {
    /// Search quality and speed over corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.
    Retrieval(retrieval::Retrieval),
    /// Is the answer inside the sentences that the quoting engine quotes, and is there none without its document?
    Quoting(quoting::Quoting),
}

impl Eval {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Eval::Retrieval(retrieval) => retrieval.run(),
            Eval::Quoting(quoting) => quoting.run().await,
        }
    }
}

//! `madang ledger verify`: checks the record of an installation, or an exported one, from its first entry.
//! Exit codes: 0 the record holds; 1 it does not, or cannot be read; 2 wrong use.

use super::Home;
use crate::app::open_store;
use crate::chain;
use anyhow::{Context, ensure};
use madang_store::Clock;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Ledger {
    /// Verify the chain of records and name the first bad one. Works while the server runs.
    Verify(Verify),
}

#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    home: Home,
    /// An exported record (JSON Lines, exported without filters) instead of an installation's.
    export: Option<PathBuf>,
}

impl Ledger {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Ledger::Verify(verify) = self;
        match &verify.export {
            Some(file) => of_export(file),
            None => of_home(&verify.home).await,
        }
    }
}

fn of_export(path: &Path) -> anyhow::Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display()))?;
    match madang_ledger::verify_lines(BufReader::new(file), None) {
        Ok(verified) => sound(verified.entries, &verified.head.hash),
        Err(fault) => broken(&fault.to_string()),
    }
}

async fn of_home(home: &Home) -> anyhow::Result<ExitCode> {
    let settings = home.settings();
    let missing = settings.database_url.is_none() && !settings.sqlite_path().is_file();
    ensure!(!missing, "{}에 마당의 데이터베이스가 없습니다. --home을 확인해 주세요.", settings.home.display());
    let store = open_store(&settings, Clock::System).await?;
    let found = chain::verify(&store).await?;
    store.close().await;
    match found.fault_seq {
        None => sound(found.records, &found.head),
        Some(seq) => broken(&format!("원장 {seq}번 기록: {}", found.fault.unwrap_or_default())),
    }
}

fn sound(records: u64, head: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "원장의 기록 {records}건이 처음부터 끝까지 이어집니다. 마지막 해시 {head}")?;
    Ok(ExitCode::SUCCESS)
}

fn broken(words: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{words}")?;
    Ok(ExitCode::FAILURE)
}

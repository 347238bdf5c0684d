//! `madang ledger`: verify the record of an installation or an exported one, export it, its public key, another key, and
//! the way of a checkpoint to the witness and back. Exit codes: 0 the record holds, or it is done; 1 it does not hold, or
//! cannot be read; 2 wrong use.

mod exported;
mod keep;
mod reconcile;

pub use keep::{new_file, read};

use super::Home;
use crate::app::open_store;
use crate::chain;
use crate::settings::Settings;
use anyhow::ensure;
use madang_store::{Clock, Store};
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Ledger {
    /// Verify a record and name the first bad entry: an exported one, with public keys alone, or the installation's,
    /// also while the server runs.
    Verify(exported::Verify),
    /// Write the whole record into a file that proves itself. Needs a reason, which is recorded.
    Export(keep::Export),
    /// Compare a provider's bill with what the record says was sent to it.
    Reconcile(reconcile::Reconcile),
    /// Print the public keys that sign the record, the one in use last.
    Key(keep::Key),
    /// Replace the key that signs the record.
    RotateKey(keep::RotateKey),
    /// Write a request for the witness's cosignature, to be carried to it.
    RequestCosignature(keep::RequestCosignature),
    /// Keep what the witness answered.
    AddCosignature(keep::AddCosignature),
}

impl Ledger {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Ledger::Verify(command) => command.run().await,
            Ledger::Export(command) => command.run().await,
            Ledger::Reconcile(command) => command.run().await,
            Ledger::Key(command) => command.run().await,
            Ledger::RotateKey(command) => command.run().await,
            Ledger::RequestCosignature(command) => command.run().await,
            Ledger::AddCosignature(command) => command.run().await,
        }
    }
}

/// The database of an installation that is there already.
async fn open(home: &Home) -> anyhow::Result<(Settings, Store)> {
    let settings = home.settings();
    let missing = settings.database_url.is_none() && !settings.sqlite_path().is_file();
    ensure!(!missing, "{}에 마당의 데이터베이스가 없습니다. --home을 확인해 주세요.", settings.home.display());
    let store = open_store(&settings, Clock::System).await?;
    Ok((settings, store))
}

async fn verify_home(home: &Home) -> anyhow::Result<ExitCode> {
    let (_, store) = open(home).await?;
    let found = chain::verify(&store).await?;
    let signed = store.last_checkpoint().await?.map_or(0, |c| c.size());
    store.close().await;
    match found.fault_seq {
        None => {
            sound(found.records, &found.head)?;
            writeln!(std::io::stdout(), "{signed}번까지 서명되어 있습니다.")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(seq) => broken(&format!("원장 {seq}번 기록: {}", found.fault.unwrap_or_default())),
    }
}

fn sound(records: u64, head: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "원장의 기록 {records}건이 처음부터 끝까지 이어집니다. 마지막 해시 {head}")
}

fn broken(words: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{words}")?;
    Ok(ExitCode::FAILURE)
}

//! The commands that keep the record: export, keys, requests to the witness and its answers. Each acts on a home folder,
//! also beside a running server, and what changes something is recorded.

use super::super::Home;
use super::super::models::local_user;
use super::open;
use crate::api::words::within_bounds;
use crate::app::open_signer;
use crate::ledger_export::Whole;
use anyhow::{Context, anyhow};
use madang_gateway::Inspector;
use madang_store::ledger::Event;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    home: Home,
    /// New file to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Why it is exported.
    #[arg(long)]
    reason: String,
}

impl Export {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let reason = within_bounds(&self.reason).map_err(|failure| anyhow!(failure.message))?;
        // Also where the key to the body's own dictionary is gone: the record must come out then, too.
        let reason = Inspector::default().masked(reason);
        let (settings, store) = open(&self.home).await?;
        let signer = open_signer(&settings, &store)?;
        let mut whole = Whole::begin(store.clone(), &signer).await?;
        let detail = json!({ "format": "jsonl", "reason": reason, "filter": {}, "records": whole.records() });
        store.record(Event::new("ledger_exported", None, local_user().fields(detail))).await?;
        let mut file = BufWriter::new(new_file(&self.output)?);
        while let Some(text) = whole.chunk().await? {
            file.write_all(text.as_bytes())?;
        }
        file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
        let records = whole.records();
        store.close().await;
        writeln!(std::io::stdout(), "{}에 원장의 기록 {records}건을 내보냈습니다.", self.output.display())?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub struct Key {
    #[command(flatten)]
    home: Home,
}

impl Key {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (settings, store) = open(&self.home).await?;
        let keys = open_signer(&settings, &store)?.keys().await?;
        store.close().await;
        let mut out = std::io::stdout().lock();
        keys.iter().try_for_each(|key| writeln!(out, "{}", key.public))?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub struct RotateKey {
    #[command(flatten)]
    home: Home,
}

impl RotateKey {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (settings, store) = open(&self.home).await?;
        let new = open_signer(&settings, &store)?.rotate(|detail| local_user().fields(detail)).await?;
        store.close().await;
        writeln!(
            std::io::stdout(),
            "{new}\n이제 이 키로 서명합니다. 옛 키와 새 키가 함께 서명한 체크포인트를 남겼으니, 증인에게 확인서명을 받아 주세요."
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub struct RequestCosignature {
    #[command(flatten)]
    home: Home,
    /// New file to write and carry to the witness.
    #[arg(short, long)]
    output: PathBuf,
    /// Name of the witness, where several are listed in witnesses.toml.
    #[arg(long)]
    witness: Option<String>,
    /// Up to which entry the witness cosigned, where it says so.
    #[arg(long)]
    old: Option<u64>,
}

impl RequestCosignature {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (settings, store) = open(&self.home).await?;
        let request = open_signer(&settings, &store)?.request(self.witness.as_deref(), self.old).await?;
        store.close().await;
        new_file(&self.output)?.write_all(request.to_string().as_bytes())?;
        let checkpoint = request.checkpoint.checkpoint();
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}에 {}건까지의 확인서명 요청을 적었습니다. 증인의 컴퓨터에서 `madang witness cosign`에 넣어 주세요.",
            self.output.display(),
            checkpoint.size
        )?;
        if checkpoint.next_key().is_ok_and(|next| next.is_some()) {
            writeln!(out, "원장의 키를 바꾼 체크포인트입니다. 확인서명을 받아 넣은 뒤 한 번 더 요청해 주세요.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub struct AddCosignature {
    #[command(flatten)]
    home: Home,
    /// What `madang witness cosign` wrote.
    answer: PathBuf,
}

impl AddCosignature {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let answer = read(&self.answer)?;
        let (settings, store) = open(&self.home).await?;
        let event = |detail| Event::new("cosignature_added", None, local_user().fields(detail));
        let (size, names) = open_signer(&settings, &store)?.add_cosignatures(&answer, event).await?;
        store.close().await;
        writeln!(std::io::stdout(), "{size}건까지의 확인서명을 원장에 더했습니다({}).", names.join(", "))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Longest file of a witness that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads a small text.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let fault = || format!("{} 파일을 읽을 수 없습니다", path.display());
    let mut text = String::new();
    File::open(path).with_context(fault)?.take(MAX_FILE).read_to_string(&mut text).with_context(fault)?;
    Ok(text)
}

/// Creates a file that is not there yet, readable by its owner alone.
pub fn new_file(path: &Path) -> anyhow::Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.with_context(|| format!("{} 파일을 새로 만들 수 없습니다", path.display()))
}

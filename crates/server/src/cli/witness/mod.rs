//! `madang witness`: run by the security team on a machine of its own, which needs neither a network nor an installation.
//! What a witness signs and what it refuses is the `ledger` crate's. Exit codes: 0 done; 1 refused or failed; 2 wrong use.

mod folder;
mod serve;

use super::ledger::{new_file, read};
use anyhow::{Context, ensure};
use folder::Folder;
use madang_ledger::keys::{Purpose, SigningKey, VerifierKey};
use madang_ledger::witness::AddCheckpoint;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(clap::Subcommand)]
pub enum Witness {
    /// Make a witness: its key and what it remembers live in a new folder. Prints its public key.
    Init(Init),
    /// Cosign what was carried here, if it continues what was cosigned before.
    Cosign(Cosign),
    /// Print the public key.
    Key(Key),
    /// Print the checkpoint cosigned last, for `madang ledger verify --kept`.
    Checkpoint(Checkpoint),
    /// Answer requests over HTTP inside the network (C2SP tlog-witness, POST /add-checkpoint).
    Serve(serve::Serve),
}

#[derive(clap::Args)]
pub struct Init {
    /// New folder.
    dir: PathBuf,
    /// Name of the witness, such as audit.city.go.kr/witness.
    #[arg(long)]
    name: String,
    /// Public key of the log to be witnessed, as `madang ledger key` prints it; may be repeated.
    #[arg(long = "log", value_name = "VKEY", required = true)]
    logs: Vec<VerifierKey>,
}

#[derive(clap::Args)]
pub struct Cosign {
    dir: PathBuf,
    /// What `madang ledger request-cosignature` wrote.
    request: PathBuf,
    /// New file for the answer, to be carried back; without it the answer is printed.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Key {
    dir: PathBuf,
}

#[derive(clap::Args)]
pub struct Checkpoint {
    dir: PathBuf,
    /// Name of the log, where the witness has several.
    #[arg(long)]
    log: Option<String>,
    /// New file to write instead.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Witness {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Witness::Init(command) => command.run(),
            Witness::Cosign(command) => command.run(),
            Witness::Key(command) => say(&format!("{}\n", Folder::at(&command.dir).key()?.verifier())),
            Witness::Checkpoint(command) => command.run(),
            Witness::Serve(command) => command.run(),
        }
    }
}

impl Init {
    fn run(self) -> anyhow::Result<ExitCode> {
        let key = SigningKey::generate(&self.name, Purpose::Witness)?;
        let fit = self.logs.iter().all(|log| log.purpose() == Purpose::Log);
        ensure!(fit, "--log에는 증인의 키가 아니라 원장의 공개키를 넣어 주세요.");
        Folder::create(&self.dir, &key, &self.logs)?;
        say(&format!("{}\n", key.verifier()))
    }
}

impl Cosign {
    fn run(self) -> anyhow::Result<ExitCode> {
        let request: AddCheckpoint = read(&self.request)?.parse()?;
        let mut witness = Folder::at(&self.dir).open()?;
        let line = witness.add_checkpoint(&request, now())?;
        let mut cosigned = request.checkpoint;
        cosigned.add(line);
        let size = cosigned.checkpoint().size;
        match &self.output {
            None => return say(&cosigned.to_string()),
            Some(path) => new_file(path)?.write_all(cosigned.to_string().as_bytes())?,
        }
        say(&format!(
            "{size}건까지 확인서명했습니다. 답 파일을 마당의 원장 화면이나 `madang ledger add-cosignature`에 넣어 주세요.\n"
        ))
    }
}

impl Checkpoint {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::at(&self.dir);
        let origin = match self.log {
            Some(origin) => origin,
            None => folder.only_log()?,
        };
        let witness = folder.open()?;
        let latest =
            witness.latest(&origin).with_context(|| format!("{origin}의 체크포인트에 아직 확인서명하지 않았습니다"))?;
        match &self.output {
            None => return say(&latest.to_string()),
            Some(path) => new_file(path)?.write_all(latest.to_string().as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Seconds since 1970; 0, which a witness refuses, where the clock stands before.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn say(words: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(words.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

//! The command line: `madang serve | user | …`. Each subcommand is a file here.

mod backup;
mod eval;
mod extract;
mod index;
mod ledger;
mod models;
mod pii;
mod serve;
mod user;
mod witness;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// 마당 — a sovereign AI app store for a public body.
#[derive(Parser)]
#[command(name = "madang", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server.
    Serve(serve::Serve),
    /// Manage people from the machine itself.
    #[command(subcommand)]
    User(user::User),
    /// Print the text of a document, or its passages.
    Extract(extract::Extract),
    /// Measure on files.
    #[command(subcommand)]
    Eval(eval::Eval),
    /// Find personal identifiers in text.
    #[command(subcommand)]
    Pii(pii::Pii),
    /// The record: verify, export, keys, cosignatures.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// A witness of the record, for the security team on a machine of its own.
    #[command(subcommand)]
    Witness(witness::Witness),
    /// Local models: list, add, fetch, use, remove, verify, try and measure.
    #[command(subcommand)]
    Models(models::Models),
    /// Check the search index, make it anew, or move it to a Qdrant server and back.
    #[command(subcommand)]
    Index(index::Index),
    /// Copy database, originals and keys into a new folder, also while the server runs.
    Backup(backup::Backup),
    /// Put a backup into an empty home folder.
    Restore(backup::Restore),
    /// Read one document from standard input; started by the server itself.
    #[command(hide = true)]
    ParseChild,
}

/// Where an installation lives.
#[derive(clap::Args, Clone)]
struct Home {
    /// Home folder: database, originals, index and keys.
    #[arg(long, env = "MADANG_HOME", default_value_os_t = default_home())]
    home: PathBuf,
    /// PostgreSQL address; without it a SQLite file in the home folder is used.
    #[arg(long, env = "MADANG_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Home {
    fn settings(&self) -> crate::settings::Settings {
        crate::settings::Settings {
            database_url: self.database_url.clone(),
            ..crate::settings::Settings::for_home(self.home.clone())
        }
    }
}

fn default_home() -> PathBuf {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("madang")
}

/// Runs the command line and turns its outcome into an exit code: 0 done, 1 failed, 2 wrong use.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(command) => block_on(command.run()),
        Command::User(command) => block_on(command.run()),
        Command::Extract(command) => block_on(command.run()),
        Command::Eval(command) => block_on(command.run()),
        Command::Pii(command) => command.run(),
        Command::Ledger(command) => block_on(command.run()),
        Command::Witness(command) => command.run(),
        Command::Models(command) => block_on(command.run()),
        Command::Index(command) => block_on(command.run()),
        Command::Backup(command) => block_on(command.run()),
        Command::Restore(command) => block_on(command.run()),
        Command::ParseChild => extract::parse_child(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("madang: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

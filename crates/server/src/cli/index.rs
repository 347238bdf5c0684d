//! `madang index`: compares the index with the database, makes it anew, moves it between this machine and a Qdrant
//! server. A running server does it while it serves; without one the command does it itself.

use super::Home;
use crate::app::open_store;
use crate::blocking;
use crate::index_home::{IndexHome, ServerSettings};
use crate::ingest::fill::Watch;
use crate::ingest::remake::{Outcome, What, Workshop, ask, complete};
use crate::ingest::{Rebuild, drain, recover};
use crate::serving::Serving;
use crate::shelf::ModelShelf;
use anyhow::ensure;
use clap::{Subcommand, ValueEnum};
use madang_inference::remote::InternalNetworks;
use madang_search::{Library, SearchError};
use madang_store::{Clock, Store};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Subcommand)]
pub enum Index {
    /// Compare the index with the database; exit code 1 where they differ.
    Check(Plain),
    /// Make the index anew from the database; the old one serves until the new one is complete.
    Rebuild(Plain),
    /// Move the index between this machine and a Qdrant server; it serves throughout.
    Move(Move),
}

#[derive(clap::Args)]
pub struct Plain {
    #[command(flatten)]
    home: Home,
}

#[derive(clap::Args)]
pub struct Move {
    #[command(flatten)]
    home: Home,
    #[arg(long)]
    to: Target,
    #[command(flatten)]
    server: ServerSettings,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Target {
    /// In the home folder of this machine.
    Embedded,
    /// On the Qdrant server at --url.
    Server,
}

impl Index {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (home, what) = match self {
            Self::Check(plain) => (plain.home, What::Check),
            Self::Rebuild(plain) => (plain.home, What::Rebuild),
            Self::Move(asked) if asked.to == Target::Embedded => (asked.home, What::Move { server: None }),
            Self::Move(asked) => {
                ensure!(!asked.server.url.is_empty(), "--url에 Qdrant 서버의 주소를 적어 주세요: https://이름:6334");
                (asked.home, What::Move { server: Some(asked.server.absolute()?) })
            }
        };
        let outcome = carry_out(&home, what).await?;
        let mut out = std::io::stdout().lock();
        for line in &outcome.lines {
            writeln!(out, "{line}")?;
        }
        Ok(if outcome.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// By the running server, else here.
async fn carry_out(home: &Home, what: What) -> anyhow::Result<Outcome> {
    let settings = home.settings();
    ensure!(
        settings.database_url.is_some() || settings.sqlite_path().is_file(),
        "{}에 마당의 데이터베이스가 없습니다. --home을 확인해 주세요.",
        settings.home.display()
    );
    let now = IndexHome::read(&settings.home)?;
    let shelf = ModelShelf::open(&settings.home)?;
    let networks = InternalNetworks::parse(shelf.lock().internal_networks())?;
    let (dir, at) = (now.dir(&settings.home), now.clone());
    let checks = what == What::Check;
    let (reached, inside) = (networks.clone(), dir.clone());
    let opened = blocking::run(move || -> anyhow::Result<_> {
        let place = at.place(&reached)?;
        match Library::open(&inside, &place) {
            // Making it anew needs nothing of the old one.
            Err(SearchError::NeedsRebuild { reason }) if !checks => {
                eprintln!("madang: {reason}");
                Ok(Library::recreate(&inside, &place))
            }
            opened => Ok(opened),
        }
    });
    let index = match opened.await?? {
        Err(SearchError::InUse(_)) => return ask(&settings.home, what, said()).await,
        Err(error @ SearchError::NeedsRebuild { .. }) => {
            let advice = "다음 시작 때 데이터베이스에서 다시 만듭니다. 지금 만들려면 ‘madang index rebuild’를 쓰세요.";
            return Ok(Outcome { lines: vec![error.to_string(), advice.to_owned()], sound: false });
        }
        opened => Arc::new(opened?),
    };
    let store = open_store(&settings, Clock::System).await?;
    // What the last end of the server left half done, as its next start would.
    recover(&store, &index).await?;
    complete(&store, &index).await?;
    let serving = Arc::new(Serving::new(index));
    let workshop = Workshop { home: &settings.home, store: &store, serving: &serving, networks: &networks };
    let mut watch = Here { store: &store, serving: &serving, say: said() };
    let outcome = workshop.carry_out(&what, &mut watch).await;
    store.close().await;
    outcome
}

/// Nobody else changes anything meanwhile, but for what the last end of the server left to do.
struct Here<'a, F> {
    store: &'a Store,
    serving: &'a Arc<Serving>,
    say: F,
}

impl<F: FnMut(Rebuild) + Send> Watch for Here<'_, F> {
    async fn step(&mut self, progress: Option<Rebuild>) -> anyhow::Result<bool> {
        progress.into_iter().for_each(&mut self.say);
        drain(self.store, self.serving).await?;
        Ok(true)
    }
}

/// Says each new tenth of the way.
fn said() -> impl FnMut(Rebuild) {
    let mut tenth = 0;
    move |progress| {
        let now = progress.percent() / 10;
        if now > tenth {
            tenth = now;
            eprintln!("madang: {} / {}", progress.done, progress.total);
        }
    }
}

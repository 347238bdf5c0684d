//! `madang models pull`: fetches a known model through the gateway and puts it onto the shelf as `add` does. Where nothing
//! can be fetched it says how to carry the files in. Exit codes: 0 on the shelf; 1 not.

use super::hosts::local_user;
use super::{Meter, carry, open, report};
use crate::app::open_store;
use crate::cli::Home;
use anyhow::{Context, bail};
use madang_gateway::download::{self, Ask, DownloadError, Downloads, Limits, Received, Stop};
use madang_inference::catalogue::{AddOptions, Added, Entry, ModelFormat, Shelf, ShelfError, Wanted, human};
use madang_store::Clock;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Between two lines of progress.
const TICK: Duration = Duration::from_millis(200);
const NOT_FOUND: u16 = 404;

#[derive(clap::Args)]
pub struct Pull {
    #[command(flatten)]
    home: Home,
    name: String,
    /// Folder of the model's files at the body's own mirror, in place of the hub; its host may stand inside the network.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// PEM file with the certificate authority that alone is trusted.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Proxy through which what comes from outside is fetched, as http://host:port; a mirror inside is reached without it.
    #[arg(long, env = "MADANG_EGRESS_PROXY", value_name = "URL")]
    egress_proxy: Option<madang_gateway::Proxy>,
    /// Do not ask before fetching.
    #[arg(long, short)]
    yes: bool,
    /// Give up after so many seconds in which nothing comes.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    stall: u64,
    /// Lets loopback addresses count as outside ones: for tests.
    #[arg(long, hide = true)]
    allow_loopback: bool,
}

impl Pull {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let shelf = open(&self.home)?;
        let Some(entry) = shelf.catalogue().find(&self.name).cloned() else {
            bail!("‘{}’은(는) 모델 목록에 없습니다. madang models list로 이름을 확인해 주세요.", self.name)
        };
        if shelf.find(&entry.name).is_some() {
            writeln!(std::io::stdout(), "{}은(는) 이미 들여놓았습니다. 아무것도 받지 않았습니다.", entry.name)?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(base) = self.base(&shelf, &entry)? else {
            eprintln!("madang: 모델 목록에 {}을(를) 받을 주소가 없습니다.", entry.name);
            carry::explain(&entry)?;
            return Ok(ExitCode::FAILURE);
        };
        match self.fetch(&entry, &base).await {
            Ok(fetched) => self.add(shelf, &entry, fetched).await,
            Err(error) if error.is_offline() || matches!(error, DownloadError::NotAllowed(_)) => {
                eprintln!("madang: {error}\n");
                carry::explain(&entry)?;
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The folder of the files, as an address.
    fn base(&self, shelf: &Shelf, entry: &Entry) -> anyhow::Result<Option<String>> {
        let Some(from) = &self.from else { return Ok(entry.address(shelf.catalogue().hub())) };
        if from.contains(['?', '#']) {
            bail!("--from에는 파일이 든 폴더의 주소를 ?와 # 없이 적어 주세요.");
        }
        Ok(Some(from.trim_end_matches('/').to_owned()))
    }

    /// The door, with this command's settings.
    async fn door(&self) -> Result<Downloads, DownloadError> {
        let failed = |e: anyhow::Error| DownloadError::NotRecorded(format!("{e:#}"));
        let store = open_store(&self.home.settings(), Clock::System).await.map_err(failed)?;
        let limits = Limits { stall: Duration::from_secs(self.stall), ..Limits::default() };
        let door = Downloads::open(store, &self.home.home, local_user()).await?;
        let door =
            door.with_limits(limits).allowing_loopback(self.allow_loopback).with_proxy(self.egress_proxy.clone());
        let Some(file) = &self.ca else { return Ok(door) };
        let pem = std::fs::read(file).map_err(|e| DownloadError::Certificate(format!("{}: {e}", file.display())))?;
        door.with_authority(&pem)
    }

    async fn fetch(&self, entry: &Entry, base: &str) -> Result<Fetched, DownloadError> {
        let door = self.door().await?;
        let door = if self.from.is_some() { door.with_mirror(base)? } else { door };
        door.check(&entry.name, &address(base, &entry.file)).await?;
        if !self.yes && !agreed(entry, base) {
            return Err(DownloadError::Declined);
        }
        let (stop, cancelled) = stopping()?;
        let mut job =
            Job { door: &door, entry, base, stop, folder: door.folder().join(format!("{}.files", entry.name)) };
        let path = match entry.format {
            ModelFormat::Gguf => job.file().await?,
            ModelFormat::Safetensors => job.files().await?,
        };
        Ok(Fetched { path, cancelled })
    }

    async fn add(&self, mut shelf: Shelf, entry: &Entry, fetched: Fetched) -> anyhow::Result<ExitCode> {
        let options =
            AddOptions { name: Some(entry.name.clone()), cancelled: fetched.cancelled, ..AddOptions::default() };
        let path = fetched.path.clone();
        let adding =
            tokio::task::spawn_blocking(move || shelf.add(&path, &options, &mut Meter::default().hears())).await;
        let added: Result<Added, ShelfError> = adding.context("모델을 들여놓다 멈췄습니다")?;
        // What is sound and known by its hash serves the next attempt; what may be anything does not.
        if added.as_ref().map_or_else(|e| is_useless(e, entry), |_| true) {
            download::discard(&fetched.path);
        }
        report(&added?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A model's files, whole.
struct Fetched {
    path: PathBuf,
    cancelled: Arc<AtomicBool>,
}

/// One model on its way.
struct Job<'a> {
    door: &'a Downloads,
    entry: &'a Entry,
    base: &'a str,
    stop: Stop,
    /// Where the files of a folder are gathered.
    folder: PathBuf,
}

impl Job<'_> {
    /// The one file of a GGUF model.
    async fn file(&mut self) -> Result<PathBuf, DownloadError> {
        let part = self.door.folder().join(format!("{}.part", self.entry.name));
        for wanted in self.entry.wanted() {
            self.fetch(&wanted, &part).await?;
        }
        Ok(part)
    }

    /// The files of a folder; those that came whole before are not asked for again.
    async fn files(&mut self) -> Result<PathBuf, DownloadError> {
        download::same_origin(&self.folder, self.base)?;
        for wanted in self.entry.wanted() {
            self.fetch_into(&wanted).await?;
        }
        for wanted in self.entry.wanted_besides(&self.folder).map_err(DownloadError::Contents)? {
            self.fetch_into(&wanted).await?;
        }
        Ok(self.folder.clone())
    }

    async fn fetch_into(&mut self, wanted: &Wanted) -> Result<(), DownloadError> {
        let to = self.folder.join(&wanted.path);
        if to.is_file() {
            return Ok(());
        }
        let part = self.folder.join(format!("{}.part", wanted.path));
        match self.fetch(wanted, &part).await {
            Ok(()) => download::place(&part, &to),
            Err(DownloadError::Status(NOT_FOUND)) if !wanted.required => {
                download::discard(&part);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn fetch(&mut self, wanted: &Wanted, part: &Path) -> Result<(), DownloadError> {
        let url = address(self.base, &wanted.path);
        let ask = Ask {
            model: &self.entry.name,
            url: &url,
            part,
            size: wanted.size,
            most: wanted.most,
            sha256: wanted.sha256.as_deref(),
            // The shelf takes a copy; what is here goes only then.
            beside: wanted.size.unwrap_or_else(|| self.entry.weight_bytes()),
        };
        let mut bar = Bar::new(&wanted.path);
        let fetched = self.door.fetch(&ask, &mut |received| bar.show(received), &mut self.stop).await;
        bar.end();
        fetched.map(drop)
    }
}

fn address(base: &str, path: &str) -> String {
    format!("{base}/{path}")
}

/// The next attempt would fetch these files again, or needs none.
fn is_useless(error: &ShelfError, entry: &Entry) -> bool {
    match error {
        ShelfError::Already(_) | ShelfError::NameTaken(_) | ShelfError::Differs { .. } => true,
        ShelfError::NotAModel { .. } | ShelfError::Model(_) | ShelfError::Probe(_) => entry.sha256.is_empty(),
        _ => false,
    }
}

/// Asks on the terminal; without one nobody can agree.
fn agreed(entry: &Entry, base: &str) -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return false;
    }
    eprintln!("모델      {} ({})", entry.label, entry.licence);
    eprintln!("받는 곳   {base}");
    eprintln!("크기      약 {}", human(entry.weight_bytes()));
    eprint!("바깥으로는 이 주소만 나가고 원장에 남습니다. 받을까요? [y/N] ");
    let mut line = String::new();
    stdin.lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes" | "예" | "네")
}

/// From now on INT and TERM stop the work in order: what came is kept and the outcome recorded.
fn stopping() -> Result<(Stop, Arc<AtomicBool>), DownloadError> {
    let (tell, hear) = watch::channel(false);
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    let listen = |kind| signal(kind).map_err(|e| DownloadError::Broken(e.to_string()));
    let (mut int, mut term) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        flag.store(true, Ordering::Relaxed);
        let _ = tell.send(true);
    });
    Ok((Stop(hear), cancelled))
}

/// Progress on a terminal; elsewhere nothing is written.
struct Bar {
    name: String,
    terminal: bool,
    /// When the first bytes came and how many were here before.
    began: Option<(Instant, u64)>,
    shown: Option<Instant>,
}

impl Bar {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), terminal: std::io::stderr().is_terminal(), began: None, shown: None }
    }

    fn show(&mut self, received: Received) {
        let (began, before) = *self.began.get_or_insert((Instant::now(), received.done));
        let whole = received.total == Some(received.done);
        if !self.terminal || !whole && self.shown.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        self.shown = Some(Instant::now());
        let rate = (received.done - before) as f64 / began.elapsed().as_secs_f64().max(0.001);
        let of = received.total.map(|total| {
            format!(
                "{:3}% ({} / {})",
                received.done.saturating_mul(100) / total.max(1),
                human(received.done),
                human(total)
            )
        });
        let of = of.unwrap_or_else(|| human(received.done));
        // What cannot be shown does not stop the work.
        let _ = write!(std::io::stderr(), "\r받는 중 {} {of} {}/초\u{1b}[K", self.name, human(rate as u64));
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

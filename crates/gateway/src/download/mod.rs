//! Fetching files of models through the door: a GET, and what leaves is the URL. Every request is recorded like any
//! outside call: the host must be on the list (empty at first), the intent is committed before the connection is opened,
//! the outcome after. A redirect that is followed is a request of its own, checked and recorded like the first.
//!
//! Order of a fetch: list → address → intent → connection → outcome, again for each redirect. The name is resolved after
//! the list was asked, once, and the connection goes to an address that was checked and recorded.

mod error;
mod part;
mod rules;
mod wire;

pub use error::DownloadError;
pub use part::{discard, place, same_origin};
pub use rules::{MOST_HOPS, Rules, host_name};

use crate::connect::Proxy;
use crate::destination::{self, Destination};
use crate::switch::Switch;
use crate::tls;
use madang_domain::DownloadId;
use madang_store::downloads::{DownloadEnd, DownloadState, LocalUser, NewDownload};
use madang_store::{Store, StoreError};
use part::Part;
use std::fs::{File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use wire::{Failed, Step, Way};

/// Below `HOME/models`.
const INCOMING: &str = "incoming";
const LOCK: &str = ".lock";
/// Addresses of one name that are tried, one of which may be out of reach.
const MOST_ADDRESSES: usize = 8;

/// Bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// Longest time in which nothing comes.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), stall: Duration::from_secs(60) }
    }
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Name of the model, for the record.
    pub model: &'a str,
    pub url: &'a str,
    /// Where the bytes are gathered, below [`Downloads::folder`].
    pub part: &'a Path,
    /// The exact bytes, where they are known.
    pub size: Option<u64>,
    /// Most bytes that are taken.
    pub most: u64,
    /// The hash (hex) that the file must have, where one is known.
    pub sha256: Option<&'a str>,
    /// Bytes of disk that are needed besides, for the copy onto the shelf.
    pub beside: u64,
}

/// A file that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub sha256: String,
    pub bytes: u64,
}

/// Bytes so far, those of earlier attempts included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    pub done: u64,
    pub total: Option<u64>,
}

/// Tells a fetch to stop. Whoever holds the sender sets it to `true`.
#[derive(Debug, Clone)]
pub struct Stop(pub watch::Receiver<bool>);

impl Stop {
    /// Ends once somebody wants to stop; never where nobody can any more.
    async fn stopped(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The door for files: holds the installation's one place for them while it lives.
pub struct Downloads {
    store: Store,
    folder: PathBuf,
    by: LocalUser,
    mirror: Option<String>,
    allow_loopback: bool,
    /// PEM; empty: the machine's.
    authority: String,
    proxy: Option<Proxy>,
    limits: Limits,
    _lock: File,
}

impl Downloads {
    /// Takes the place for incoming files of a home folder and settles what a process that died was fetching.
    ///
    /// # Errors
    /// [`DownloadError::Busy`] while another process fetches.
    pub async fn open(store: Store, home: &Path, by: LocalUser) -> Result<Self, DownloadError> {
        let folder = incoming(home);
        let lock = claim(&folder)?;
        store.settle_downloads().await?;
        Ok(Self {
            store,
            folder,
            by,
            mirror: None,
            allow_loopback: false,
            authority: String::new(),
            proxy: None,
            limits: Limits::default(),
            _lock: lock,
        })
    }

    /// Names the host of `url` as the body's own mirror: it may stand inside the body's networks. It has to be on the
    /// list like any other.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn with_mirror(mut self, url: &str) -> Result<Self, DownloadError> {
        let inside = |_: &str| crate::Policy { allow_loopback: self.allow_loopback, allow_inside: true };
        self.mirror = Some(Destination::file(url, inside).map_err(DownloadError::address)?.authority());
        Ok(self)
    }

    /// Trusts the authority of a PEM bundle, and it alone.
    ///
    /// # Errors
    /// [`DownloadError::Certificate`].
    pub fn with_authority(mut self, pem: &[u8]) -> Result<Self, DownloadError> {
        let text = String::from_utf8_lossy(pem).into_owned();
        let settings = tls::Settings { pins: &[], authority: &text, identity: "" };
        match tls::config(&settings) {
            Ok(_) if !text.trim().is_empty() => self.authority = text,
            Ok(_) => return Err(DownloadError::Certificate("인증서가 없습니다".to_owned())),
            Err(error) => return Err(DownloadError::Certificate(error.to_string())),
        }
        Ok(self)
    }

    /// Fetches through the body's egress proxy, which is asked for the addresses that were checked. A mirror inside the
    /// body's networks is reached without it.
    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Other bounds than the usual ones.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Loopback addresses count as outside ones: for tests and trials on one machine.
    pub fn allowing_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// `HOME/models/incoming`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Could this be fetched, as far as can be told without a network? A refusal is recorded.
    ///
    /// # Errors
    /// [`DownloadError`] says what to do.
    pub async fn check(&self, model: &str, url: &str) -> Result<(), DownloadError> {
        let first = self.rules().await?.first(url);
        self.or_refused(model, url, first).await.map(drop)
    }

    /// Fetches a file, or the rest of it, and compares it with what is known. What an attempt that broke off has
    /// brought stays for the next one.
    ///
    /// # Errors
    /// [`DownloadError`]; whatever was asked is in the record.
    pub async fn fetch(
        &self,
        ask: &Ask<'_>,
        on: &mut (dyn FnMut(Received) + Send),
        stop: &mut Stop,
    ) -> Result<Fetched, DownloadError> {
        let rules = self.rules().await?;
        let mut destination = self.or_refused(ask.model, ask.url, rules.first(ask.url)).await?;
        let mut part = self.open_part(ask, &destination).await?;
        if part.is_whole() {
            let sha256 = part.finish()?;
            return compared(ask, part, sha256);
        }
        wire::room(ask, ask.size.unwrap_or(0).saturating_sub(part.length()))?;
        for hop in 0.. {
            match self.request(ask, &destination, hop, &mut part, on, stop).await? {
                Step::Whole { sha256, .. } => return compared(ask, part, sha256),
                Step::Redirect { location, .. } => {
                    let next = rules.next(&destination, &location, hop);
                    destination = self.or_refused(ask.model, &location, next).await?;
                }
            }
        }
        Err(DownloadError::TooManyHops)
    }

    /// One request between its two records.
    async fn request(
        &self,
        ask: &Ask<'_>,
        destination: &Destination,
        hop: usize,
        part: &mut Part,
        on: &mut (dyn FnMut(Received) + Send),
        stop: &mut Stop,
    ) -> Result<Step, DownloadError> {
        if *stop.0.borrow() {
            return Err(DownloadError::Stopped);
        }
        let resolved = destination.resolve().await.map_err(DownloadError::address);
        let addresses = self.or_refused(ask.model, destination.url().as_str(), resolved).await?;
        let addresses = addresses.get(..MOST_ADDRESSES.min(addresses.len())).unwrap_or_default();
        let id = self.begin(ask, destination, addresses, hop, part).await?;
        let way = Way {
            destination,
            addresses,
            proxy: self.proxy.as_ref().filter(|_| !self.is_mirror_inside(destination, addresses)),
            authority: &self.authority,
            limits: &self.limits,
        };
        let got = self.until_stopped(stop, async |stop| wire::get(ask, &way, part, on, stop).await);
        let got = got.await;
        self.store.finish_download(id, &end(ask, &got), &self.by).await?;
        got.map_err(|failed| failed.error)
    }

    /// The body's own mirror, at addresses of its own networks: no way out leads there.
    fn is_mirror_inside(&self, destination: &Destination, addresses: &[SocketAddr]) -> bool {
        self.mirror.as_deref() == Some(destination.authority().as_str())
            && addresses.iter().all(|address| destination::is_inside(address.ip()))
    }

    /// Lets a request go on until somebody stops it or everything outside, which may be another process's doing.
    async fn until_stopped(
        &self,
        stop: &mut Stop,
        get: impl AsyncFnOnce(&mut Stop) -> Result<Step, Failed>,
    ) -> Result<Step, Failed> {
        let switch = Switch::new(self.store.clone());
        let (tell, told) = watch::channel(false);
        let mut told = Stop(told);
        let mut by_switch = false;
        let mut got = std::pin::pin!(get(&mut told));
        let ended = loop {
            tokio::select! {
                got = &mut got => break got,
                () = stop.stopped(), if !*tell.borrow() => { tell.send_replace(true); }
                () = switch.stopped(), if !*tell.borrow() => {
                    by_switch = true;
                    tell.send_replace(true);
                }
            }
        };
        ended.map_err(|failed| match failed.error {
            DownloadError::Stopped if by_switch => Failed { error: DownloadError::OutsideStopped, ..failed },
            _ => failed,
        })
    }

    async fn begin(
        &self,
        ask: &Ask<'_>,
        destination: &Destination,
        addresses: &[SocketAddr],
        hop: usize,
        part: &Part,
    ) -> Result<DownloadId, DownloadError> {
        let id = DownloadId::new();
        let host = destination.authority();
        let pinned: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let new = NewDownload {
            id,
            model: ask.model,
            host: &host,
            path: destination.url().path(),
            address: &pinned.join(", "),
            hop,
            resumed_from: part.etag().map_or(0, |_| part.length()),
            by: &self.by,
        };
        match self.store.begin_download(&new).await {
            Ok(()) => Ok(id),
            // Taken off the list a moment ago.
            Err(StoreError::Denied(_)) => Err(DownloadError::NotAllowed(host)),
            Err(StoreError::Conflict(_)) => Err(DownloadError::OutsideStopped),
            Err(error) => Err(DownloadError::NotRecorded(error.to_string())),
        }
    }

    async fn rules(&self) -> Result<Rules, DownloadError> {
        let hosts = self.store.download_hosts().await?;
        Ok(Rules { hosts, mirror: self.mirror.clone(), allow_loopback: self.allow_loopback })
    }

    /// Records what was refused before anything left.
    async fn or_refused<T>(&self, model: &str, url: &str, found: Result<T, DownloadError>) -> Result<T, DownloadError> {
        if let Err(error) = &found {
            self.store.refuse_download(model, &shown_host(url), &error.to_string(), &self.by).await?;
        }
        found
    }

    async fn open_part(&self, ask: &Ask<'_>, destination: &Destination) -> Result<Part, DownloadError> {
        if let Some(folder) = ask.part.parent() {
            std::fs::create_dir_all(folder).map_err(DownloadError::io(folder))?;
        }
        let mut origin = destination.url().clone();
        origin.set_query(None);
        let path = ask.part.to_owned();
        // What is there is read for its hash, gigabytes perhaps.
        let opened = tokio::task::spawn_blocking(move || Part::open(&path, origin.as_str())).await;
        opened.map_err(|e| DownloadError::Broken(e.to_string()))?
    }
}

/// At start: what a process that died was fetching may have left, and counts as sent. What another process fetches
/// now is left alone. Returns how many there were.
///
/// # Errors
/// The database or the folder cannot be used.
pub async fn settle(store: &Store, home: &Path) -> Result<usize, DownloadError> {
    if store.open_downloads().await?.is_empty() {
        return Ok(0);
    }
    match claim(&incoming(home)) {
        Ok(_lock) => Ok(store.settle_downloads().await?),
        Err(DownloadError::Busy) => Ok(0),
        Err(error) => Err(error),
    }
}

fn incoming(home: &Path) -> PathBuf {
    home.join("models").join(INCOMING)
}

/// Given back when dropped, also by a process that dies.
fn claim(folder: &Path) -> Result<File, DownloadError> {
    std::fs::create_dir_all(folder).map_err(DownloadError::io(folder))?;
    let path = folder.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(DownloadError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DownloadError::Busy),
        Err(TryLockError::Error(e)) => Err(DownloadError::io(&path)(e)),
    }
}

/// A file that is not what it should be does not stay.
fn compared(ask: &Ask<'_>, part: Part, sha256: String) -> Result<Fetched, DownloadError> {
    let bytes = part.length();
    match differs(ask, &sha256) {
        Some(error) => {
            part.discard();
            Err(error)
        }
        None => Ok(Fetched { sha256, bytes }),
    }
}

fn differs(ask: &Ask<'_>, found: &str) -> Option<DownloadError> {
    let expected = ask.sha256.filter(|expected| *expected != found)?;
    Some(DownloadError::Differs { expected: expected.to_owned(), found: found.to_owned() })
}

/// The outcome for the record.
fn end(ask: &Ask<'_>, got: &Result<Step, Failed>) -> DownloadEnd {
    match got {
        Ok(Step::Redirect { status, .. }) => {
            DownloadEnd { state: DownloadState::Redirected, status: Some(*status), bytes: 0, sha256: None, error: None }
        }
        Ok(Step::Whole { status, sha256, bytes }) => {
            let error = differs(ask, sha256);
            let state = error.as_ref().map_or(DownloadState::Fetched, DownloadError::state);
            DownloadEnd {
                state,
                status: Some(*status),
                bytes: *bytes,
                sha256: Some(sha256.clone()),
                error: error.map(|e| e.to_string()),
            }
        }
        Err(failed) => DownloadEnd {
            state: failed.error.state(),
            status: failed.status,
            bytes: failed.bytes,
            sha256: None,
            error: Some(failed.error.to_string()),
        },
    }
}

/// Host of an address that may be no address, for the record: without user info, path or query.
fn shown_host(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed.and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default().chars().take(200).collect()
}

//! The wired application: one value that every handler shares.

use crate::auth::Passwords;
use crate::blocking;
use crate::board::Board;
use crate::bundled;
use crate::engines::Engines;
use crate::index_home::IndexHome;
use crate::ingest::{self, Ingest};
use crate::serving::Serving;
use crate::settings::Settings;
use crate::shelf::ModelShelf;
use crate::signing::Signer;
use crate::watch::Watch;
use anyhow::Context;
use madang_documents::child::Sandbox;
use madang_documents::{DistributionPolicy, Limits};
use madang_gateway::{Bodies, Gateway, MasterKey, Policy};
use madang_inference::TextEngine;
use madang_inference::remote::InternalNetworks;
use madang_registry::checks::Detector;
use madang_registry::quoting::QuotingEngine;
use madang_search::Synonyms;
use madang_store::{Clock, Originals, Store};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Documents looked through for personal data at once.
const LOOKING: usize = 3;

/// Shared by all handlers and background work; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of the application.
pub struct Inner {
    pub settings: Settings,
    pub store: Store,
    pub originals: Originals,
    /// The index over passages. Its calls block: use `blocking::run`.
    pub index: Arc<Serving>,
    /// Switchboard of the background work on documents, which `ingest::start` begins.
    pub ingest: Ingest,
    /// Words of one meaning, for questions.
    synonyms: RwLock<Arc<Synonyms>>,
    /// Wakes the looking into followed folders, which `watch::follow` does.
    pub watch: Watch,
    /// Reads untrusted files in a child process.
    pub sandbox: Sandbox,
    pub passwords: Passwords,
    /// Answers runs; screens name it.
    pub engine: Arc<dyn TextEngine>,
    /// The models behind it.
    pub engines: Engines,
    /// Models that are installed, and what they are for.
    pub shelf: ModelShelf,
    /// The one door out.
    pub gateway: Arc<Gateway>,
    /// Places for documents that are looked through for personal data and not kept.
    pub looking: Semaphore,
    /// Looks into sealed texts, for security officers.
    pub bodies: Bodies,
    /// The body's own dictionary, as rule checks use it; renewed before each.
    pub detector: Detector,
    /// Signs the record.
    pub signer: Signer,
    /// Runs under way.
    pub board: Board,
    /// Cancelled when the server stops: streams and workers end.
    pub shutdown: CancellationToken,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    /// Opens everything below the home folder, creating what is missing. Needs no network. One process at a time:
    /// commands that only need the database use [`open_store`].
    ///
    /// # Errors
    /// When the home folder cannot be used, another process has it open, or the database is newer than this program.
    pub async fn open(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let detector = Detector::default();
        let engine = Arc::new(QuotingEngine::with_detector(detector.clone()));
        Self::open_with(settings, clock, engine, detector).await
    }

    /// As [`App::open`], with another engine where no model answers.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_with_engine(
        settings: Settings,
        clock: Clock,
        engine: Arc<dyn TextEngine>,
    ) -> anyhow::Result<Self> {
        Self::open_with(settings, clock, engine, Detector::default()).await
    }

    async fn open_with(
        settings: Settings,
        clock: Clock,
        engine: Arc<dyn TextEngine>,
        detector: Detector,
    ) -> anyhow::Result<Self> {
        create_private_dir(&settings.home)?;
        let engines = Engines::new(engine);
        let shelf = ModelShelf::open(&settings.home)?;
        let store = open_store(&settings, clock).await?;
        // From here on this is the only process: the index is locked.
        let index_home = IndexHome::read(&settings.home)?;
        let networks = InternalNetworks::parse(shelf.lock().internal_networks())?;
        let dir = index_home.dir(&settings.home);
        let place = blocking::run(move || index_home.place(&networks)).await??;
        let (index, todo) = ingest::open_index(&dir, place, &store).await?;
        bundled::load(&store).await?;
        store.fail_interrupted_runs().await?;
        ensure_policy(&store).await?;
        let signer = open_signer(&settings, &store)?;
        signer.prepare().await?;
        let gateway = open_gateway(&settings, &store).await?;
        let bodies = Bodies::new(store.clone(), master_key(&settings)?);
        let synonyms = Synonyms::parse(&store.synonyms().await?);
        let originals = Originals::open(&settings.home.join("originals"))?;
        originals.clear_incoming()?;
        let passwords = Passwords::new()?;
        let inner = Inner {
            sandbox: sandbox(&settings),
            settings,
            store,
            originals,
            index: Arc::new(Serving::new(index)),
            ingest: Ingest::new(todo),
            watch: Watch::default(),
            synonyms: RwLock::new(Arc::new(synonyms)),
            passwords,
            engine: Arc::clone(engines.router()) as Arc<dyn TextEngine>,
            engines,
            shelf,
            gateway: Arc::new(gateway),
            looking: Semaphore::new(LOOKING),
            bodies,
            detector,
            signer,
            board: Board::default(),
            shutdown: CancellationToken::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Words of one meaning that questions are widened by.
    pub fn synonyms(&self) -> Arc<Synonyms> {
        Arc::clone(&self.synonyms.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place, from the next search on. They were stored before.
    pub fn set_synonyms(&self, synonyms: Synonyms) {
        *self.synonyms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(synonyms);
    }

    /// Name of the session cookie: the `__Host-` prefix where browsers accept it.
    pub fn cookie_name(&self) -> &'static str {
        if self.settings.is_https() { "__Host-madang" } else { "madang_session" }
    }
}

/// Opens the database alone, beside a running server if need be.
///
/// # Errors
/// When the home folder cannot be used or the database is newer than this program.
pub async fn open_store(settings: &Settings, clock: Clock) -> anyhow::Result<Store> {
    create_private_dir(&settings.home)?;
    match &settings.database_url {
        Some(url) => Store::open(url, clock).await,
        None => Store::open_sqlite(&settings.sqlite_path(), clock).await,
    }
    .context("데이터베이스를 열 수 없습니다")
}

/// The master key, made at the first start.
fn master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    let keys = settings.home.join("keys");
    create_private_dir(&keys)?;
    Ok(MasterKey::load_or_create(&keys.join("master.key"))?)
}

/// Whoever signs the record of an installation, also beside a running server.
///
/// # Errors
/// When the master key cannot be read.
pub fn open_signer(settings: &Settings, store: &Store) -> anyhow::Result<Signer> {
    Ok(Signer::new(settings, store.clone(), master_key(settings)?))
}

/// A new installation starts with the template as its policy for outside calls.
async fn ensure_policy(store: &Store) -> anyhow::Result<()> {
    let template = madang_policy::Policy::template()?;
    store.ensure_policy(madang_policy::DEFAULT_POLICY, &template.hash(), template.revision()).await?;
    Ok(())
}

/// The way out, and what a killed server left half done settled.
async fn open_gateway(settings: &Settings, store: &Store) -> anyhow::Result<Gateway> {
    let key = master_key(settings)?;
    let interrupted = store.settle_interrupted_calls().await?;
    if interrupted > 0 {
        tracing::warn!(interrupted, "outside calls were cut off while being sent; they count as sent");
    }
    let unsettled = madang_gateway::download::settle(store, &settings.home).await?;
    if unsettled > 0 {
        tracing::warn!(unsettled, "downloads were cut off by the end of their process; they count as sent");
    }
    let policy = Policy { allow_loopback: settings.allow_loopback_providers, ..Policy::default() };
    let gateway = Gateway::new(store.clone(), key, policy).with_proxy(settings.egress_proxy.clone());
    gateway.switch().refresh().await?;
    Ok(gateway)
}

/// The child that reads untrusted files: this very program, or another that takes the same subcommand.
pub fn sandbox(settings: &Settings) -> Sandbox {
    // The link leads to the running program even after an upgrade has replaced its file.
    let own = || PathBuf::from("/proc/self/exe");
    let input_bytes = settings.max_upload as u64;
    let program = settings.parser.clone().unwrap_or_else(own);
    let distribution = if settings.open_sealed { DistributionPolicy::Decrypt } else { DistributionPolicy::Refuse };
    Sandbox::new(program, vec!["parse-child".to_owned()], Limits { input_bytes, distribution, ..Limits::default() })
}

/// Creates a folder that only its owner may enter.
fn create_private_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if !dir.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("{} 폴더를 만들 수 없습니다", dir.display()))?;
    }
    let mode = std::fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(home = %dir.display(), "home folder is readable by others; chmod 700 is advised");
    }
    Ok(())
}

/// Key of the hash of the one-time set-up secret among the installation's settings.
const SETUP_SECRET: &str = "setup_secret";

impl App {
    /// Makes a new one-time set-up secret while nobody has an account; `None` afterwards.
    pub async fn new_setup_token(&self) -> anyhow::Result<Option<String>> {
        if self.store.has_people().await? {
            return Ok(None);
        }
        let secret = madang_store::auth::new_secret();
        self.store.set_meta(SETUP_SECRET, Some(&digest(&secret))).await?;
        Ok(Some(secret))
    }

    /// Is this the set-up secret that was printed last?
    pub async fn is_setup_token(&self, secret: &str) -> Result<bool, madang_store::StoreError> {
        use subtle::ConstantTimeEq;
        let stored = self.store.meta(SETUP_SECRET).await?.unwrap_or_default();
        Ok(!stored.is_empty() && bool::from(stored.as_bytes().ct_eq(digest(secret).as_bytes())))
    }

    /// Name of the public body: set at set-up, else the setting.
    pub async fn body_name(&self) -> Result<String, madang_store::StoreError> {
        Ok(self.store.meta("body_name").await?.unwrap_or_else(|| self.settings.body_name.clone()))
    }
}

fn digest(secret: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(secret.as_bytes()))
}

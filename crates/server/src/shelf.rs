//! The shelf of models beside the running server: what the command line or the admin's screen changed there is taken up
//! within seconds. What a shelf is lives in `inference::catalogue`, what is loaded in `engines`.

use crate::app::App;
use crate::engines::ModelFile;
use crate::views::Lang;
use madang_inference::ModelCard;
use madang_inference::catalogue::{ModelKind, Shelf, ShelfError};
use madang_inference::remote::{InternalNetworks, ModelServers, RemoteLimits, ServerConfig};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the list is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Name and context of servers inside the network, for which nobody tells a length.
const SERVER: &str = "server";
const SERVER_CONTEXT: usize = 32_768;

/// The shelf of this home folder.
pub struct ModelShelf {
    shelf: Mutex<Shelf>,
    /// A request read a change that is not in force yet.
    read_ahead: AtomicBool,
    trouble: Mutex<Trouble>,
    /// Taken by whoever puts servers, and models, in force: the latest list wins.
    servers: tokio::sync::Mutex<()>,
    models: tokio::sync::Mutex<()>,
}

/// What is not in force, in Korean.
#[derive(Default)]
struct Trouble {
    list: Option<String>,
    /// Name and fault of a server.
    servers: Option<(String, String)>,
    models: Option<String>,
}

impl ModelShelf {
    /// # Errors
    /// A damaged list.
    pub fn open(home: &Path) -> Result<Self, ShelfError> {
        let shelf = Mutex::new(Shelf::open(home)?);
        Ok(Self {
            shelf,
            read_ahead: AtomicBool::new(false),
            trouble: Mutex::default(),
            servers: Default::default(),
            models: Default::default(),
        })
    }

    /// The shelf itself; not to be held over anything that takes long.
    pub fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shelf as it stands on the disk at this moment: the command line may have carried a model in a second ago.
    ///
    /// # Errors
    /// A damaged list.
    pub fn fresh(&self) -> Result<MutexGuard<'_, Shelf>, ShelfError> {
        let mut shelf = self.lock();
        if shelf.refresh()? {
            self.read_ahead.store(true, Ordering::Relaxed);
        }
        Ok(shelf)
    }

    /// Why what the shelf says is not in force, in the reader's language.
    pub fn trouble(&self, lang: Lang) -> Option<String> {
        let trouble = self.troubles();
        let server = trouble.servers.as_ref().map(|(name, fault)| match name.as_str() {
            "" => lang.said(fault),
            name => format!("{name}: {}", lang.said(fault)),
        });
        let plain = [&trouble.list, &trouble.models].into_iter().flatten().map(|t| lang.said(t));
        let words = plain.chain(server).collect::<Vec<_>>().join(" ");
        (!words.is_empty()).then_some(words)
    }

    fn troubles(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the shelf's roles, choice and servers in force, now and whenever they change, until the server stops.
pub async fn follow(app: App) {
    // A request that changed the list put its own part in force, and perhaps not what another program had changed.
    let mut in_force = None;
    loop {
        let (read, generation) = {
            let mut shelf = app.shelf.lock();
            (shelf.refresh(), shelf.generation())
        };
        let changed = matches!(read, Ok(true)) | app.shelf.read_ahead.swap(false, Ordering::Relaxed);
        if let Err(error) = &read {
            tracing::warn!(%error, "list of models");
        }
        app.shelf.troubles().list = read.err().map(|e| e.to_string());
        if changed || in_force != Some(generation) {
            in_force = Some(generation);
            let choice = app.shelf.lock().choice().clone();
            app.engines.router().choose(choice);
            // What went wrong stands on the screen, and in the log.
            let ((), _told) = tokio::join!(take_up_servers(&app), take_up_models(&app));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Loads what has a role and is not loaded, and lets go of what has none.
///
/// # Errors
/// The first thing that failed, in Korean; the rest is in force.
pub async fn take_up_models(app: &App) -> Result<(), String> {
    let _turn = app.shelf.models.lock().await;
    let done = set_models(app).await;
    if let Err(error) = &done {
        tracing::warn!(error, "models");
    }
    app.shelf.troubles().models = done.clone().err();
    done
}

async fn set_models(app: &App) -> Result<(), String> {
    let Wanted { chat, embedding, ranking } = wanted_models(app).map_err(|e| e.to_string())?;
    let mut failed = None;
    let loaded: Vec<String> = app.engines.loaded().into_iter().filter(|l| l.of_shelf).map(|l| l.file.name).collect();
    for name in loaded.iter().filter(|n| chat.as_ref().is_none_or(|w| w.name != **n)) {
        app.engines.unload(name);
    }
    if let Some(file) = chat.filter(|w| !loaded.contains(&w.name)) {
        failed = app.engines.load(file, true).await.err().map(|e| e.to_string());
    }
    let current = app.engines.embedder().map(|e| e.card().name.clone());
    match embedding {
        Some(file) if current.as_deref() != Some(&file.name) => {
            failed = failed.or(app.engines.embed_with(file).await.err().map(|e| e.to_string()));
        }
        None => app.engines.forget_embedder(),
        Some(_) => {}
    }
    match ranking {
        Some(file) if app.engines.ranking().is_none_or(|r| r.name() != file.name) => {
            failed = failed.or(app.engines.rank_with(file).await.err().map(|e| e.to_string()));
        }
        None => app.engines.forget_ranking(),
        Some(_) => {}
    }
    failed.map_or(Ok(()), Err)
}

/// The models that have a role.
struct Wanted {
    chat: Option<ModelFile>,
    embedding: Option<ModelFile>,
    ranking: Option<ModelFile>,
}

fn wanted_models(app: &App) -> Result<Wanted, ShelfError> {
    let shelf = app.shelf.lock();
    let file = |kind: ModelKind| -> Result<Option<ModelFile>, ShelfError> {
        shelf
            .role(kind)
            .map(|m| Ok(ModelFile { name: m.name.clone(), label: m.label.clone(), path: shelf.path(&m.name)? }))
            .transpose()
    };
    let (chat, embedding) = (file(ModelKind::Chat)?, file(ModelKind::Embedding)?);
    Ok(Wanted { chat, embedding, ranking: file(ModelKind::Reranker)? })
}

/// Sets the servers inside the network; those that did not change go on as they are. What is wrong with one of them
/// stands on the screen, and the others are in force.
pub async fn take_up_servers(app: &App) {
    let _turn = app.shelf.servers.lock().await;
    let (configs, networks, wrong) = wanted_servers(app);
    let failed = set_servers(app, configs, &networks).await.err().map(|error| (String::new(), error));
    let fault = wrong.or(failed);
    if let Some((server, error)) = &fault {
        tracing::warn!(server, error, "model servers");
    }
    app.shelf.troubles().servers = fault;
}

async fn set_servers(app: &App, configs: Vec<ServerConfig>, networks: &InternalNetworks) -> Result<(), String> {
    if configs.is_empty() {
        app.engines.serve_with(None);
        return Ok(());
    }
    if app.engines.served_by(&configs, networks) {
        return Ok(());
    }
    let servers = ModelServers::new(card(&configs), configs, networks, RemoteLimits::default());
    let servers = servers.map_err(|e| e.to_string())?;
    // Known to answer before they take the place of those that do.
    servers.check().await;
    app.engines.serve_with(Some(servers));
    Ok(())
}

/// The servers that can be asked, the networks, and what is wrong with the first one that cannot.
fn wanted_servers(app: &App) -> (Vec<ServerConfig>, InternalNetworks, Option<(String, String)>) {
    let shelf = app.shelf.lock();
    let (networks, mut wrong) = match InternalNetworks::parse(shelf.internal_networks()) {
        Ok(networks) => (networks, None),
        // Nothing is inside a list that cannot be read.
        Err(error) => (InternalNetworks::default(), Some((String::new(), error.to_string()))),
    };
    let mut sound = Vec::new();
    for server in shelf.servers() {
        let config = server.config(shelf.home()).map_err(|e| e.to_string()).and_then(|config| {
            let alone = std::slice::from_ref(&config);
            let tried = ModelServers::new(card(alone), alone.to_vec(), &networks, RemoteLimits::default());
            tried.map(|_| config).map_err(|e| e.to_string())
        });
        match config {
            Ok(config) => sound.push(config),
            Err(error) => wrong = wrong.or(Some((server.name.clone(), error))),
        }
    }
    (sound, networks, wrong)
}

/// Servers together are one model, which the first of them names.
fn card(configs: &[ServerConfig]) -> ModelCard {
    let label = configs.first().map_or_else(String::new, |c| c.model.clone());
    ModelCard { name: SERVER.to_owned(), label, context: SERVER_CONTEXT }
}

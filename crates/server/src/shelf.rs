//! The shelf of models beside the running server: what the command line or the admin's screen changed there is taken up
//! within seconds. What a shelf is lives in `inference::catalogue`, what is loaded in `engines`.

use crate::app::App;
use crate::engines::ModelFile;
use madang_inference::ModelCard;
use madang_inference::catalogue::{ModelKind, Shelf, ShelfError};
use madang_inference::remote::{InternalNetworks, ModelServers, RemoteLimits};
use std::path::Path;
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
    /// What went wrong when it was last taken up, in Korean.
    trouble: Mutex<Option<String>>,
}

impl ModelShelf {
    /// # Errors
    /// A damaged list.
    pub fn open(home: &Path) -> Result<Self, ShelfError> {
        Ok(Self { shelf: Mutex::new(Shelf::open(home)?), trouble: Mutex::default() })
    }

    /// The shelf itself; not to be held over anything that takes long.
    pub fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why what the shelf says is not in force.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Puts the shelf's roles, choice and servers in force, now and whenever they change, until the server stops.
pub async fn follow(app: App) {
    let mut first = true;
    loop {
        let changed = app.shelf.lock().refresh();
        let outcome = match &changed {
            Ok(changed) if *changed || first => take_up(&app).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &outcome {
            tracing::warn!(error, "models");
        }
        if changed.is_err() || outcome.is_err() || matches!(changed, Ok(true)) {
            *app.shelf.trouble.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
        }
        first = false;
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What the shelf says now.
struct Wanted {
    chat: Option<ModelFile>,
    embedding: Option<ModelFile>,
    servers: Option<ModelServers>,
}

/// Loads what has a role and is not loaded, lets go of what has none, sets servers and choice.
///
/// # Errors
/// The first thing that failed, in Korean; the rest is in force.
pub async fn take_up(app: &App) -> Result<(), String> {
    let wanted = wanted(app).map_err(|e| e.to_string())?;
    app.engines.router().choose(app.shelf.lock().choice().clone());
    app.engines.serve_with(wanted.servers);
    let mut failed = None;
    let loaded: Vec<String> = app.engines.loaded().into_iter().filter(|l| l.of_shelf).map(|l| l.file.name).collect();
    for name in loaded.iter().filter(|n| wanted.chat.as_ref().is_none_or(|w| w.name != **n)) {
        app.engines.unload(name);
    }
    if let Some(file) = wanted.chat.filter(|w| !loaded.contains(&w.name)) {
        failed = app.engines.load(file, true).await.err().map(|e| e.to_string());
    }
    let current = app.engines.embedder().map(|e| e.card().name.clone());
    match wanted.embedding {
        Some(file) if current.as_deref() != Some(&file.name) => {
            failed = failed.or(app.engines.embed_with(file).await.err().map(|e| e.to_string()));
        }
        None => app.engines.forget_embedder(),
        Some(_) => {}
    }
    failed.map_or(Ok(()), Err)
}

fn wanted(app: &App) -> Result<Wanted, ShelfError> {
    let shelf = app.shelf.lock();
    let file = |kind: ModelKind| -> Result<Option<ModelFile>, ShelfError> {
        shelf
            .role(kind)
            .map(|m| Ok(ModelFile { name: m.name.clone(), label: m.label.clone(), path: shelf.path(&m.name)? }))
            .transpose()
    };
    let servers = if shelf.servers().is_empty() {
        None
    } else {
        let configs = shelf.servers().iter().map(|s| s.config(shelf.home())).collect::<Result<Vec<_>, _>>()?;
        let setting = |e: String| ShelfError::Setting(e);
        let networks = InternalNetworks::parse(shelf.internal_networks()).map_err(|e| setting(e.to_string()))?;
        let label = configs.first().map_or_else(String::new, |c| c.model.clone());
        let card = ModelCard { name: SERVER.to_owned(), label, context: SERVER_CONTEXT };
        let limits = RemoteLimits::default();
        Some(ModelServers::new(card, configs, &networks, limits).map_err(|e| setting(e.to_string()))?)
    };
    Ok(Wanted { chat: file(ModelKind::Chat)?, embedding: file(ModelKind::Embedding)?, servers })
}

//! The engines of this installation: models loaded on this machine, servers inside the network, and the router that picks
//! one of them or the quoting engine for each answer. What an engine does lives in `inference` and `registry`.

use crate::meaning::MeaningModel;
use crate::ranking::RankingModel;
use madang_inference::embed::{EmbedSettings, Embedder, open_embedder, open_reranker};
use madang_inference::remote::{InternalNetworks, ModelServers, ServerConfig, ServersStatus};
use madang_inference::writer::{ModelWriter, WriterOptions};
use madang_inference::{
    Bounds, Candidate, ChatModel, EngineChoice, EngineRouter, LocalModel, Metrics, ModelError, Options, Permits, Place,
    TextEngine,
};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Calls for embeddings, waiting or under way. One computes at a time; the others only must not pile up.
const EMBEDDING: Bounds = Bounds { total: 16, per_person: 2 };

/// A model file to be loaded.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// Stable name.
    pub name: String,
    /// For screens.
    pub label: String,
    /// A GGUF file, or a folder with safetensors.
    pub path: PathBuf,
}

impl ModelFile {
    /// A file without an entry anywhere: its own name serves.
    pub fn at(path: PathBuf) -> Self {
        let name = path.file_stem().map_or_else(|| "model".to_owned(), |n| n.to_string_lossy().into_owned());
        Self { label: name.clone(), name, path }
    }
}

/// A model on this machine and how it came.
#[derive(Clone)]
pub struct Loaded {
    pub file: ModelFile,
    pub model: Arc<LocalModel>,
    pub took: Duration,
    /// The shelf asked for it; else the command line did.
    pub of_shelf: bool,
}

#[derive(Default)]
struct Models {
    loaded: Vec<Loaded>,
    servers: Option<ModelServers>,
    meaning: Option<MeaningModel>,
    ranking: Option<RankingModel>,
}

/// All engines; shared by handlers.
pub struct Engines {
    rules: Arc<dyn TextEngine>,
    router: Arc<EngineRouter>,
    models: Mutex<Models>,
    embedding: Arc<Permits>,
}

impl Engines {
    /// Only `rules`, the engine that needs no model.
    pub fn new(rules: Arc<dyn TextEngine>) -> Self {
        let router = Arc::new(EngineRouter::new(Arc::clone(&rules), EngineChoice::default(), Vec::new()));
        Self { rules, router, models: Mutex::default(), embedding: Permits::new(EMBEDDING) }
    }

    /// Answers runs with whichever engine is set.
    pub fn router(&self) -> &Arc<EngineRouter> {
        &self.router
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a model beside those that are loaded; one of the same name is replaced once the new one stands.
    ///
    /// # Errors
    /// The files cannot be used; what was loaded stays.
    pub async fn load(&self, file: ModelFile, of_shelf: bool) -> Result<Loaded, ModelError> {
        let started = Instant::now();
        let options = Options { name: file.name.clone(), label: file.label.clone(), ..Options::default() };
        let path = file.path.clone();
        let model = tokio::task::spawn_blocking(move || LocalModel::load(&path, &options))
            .await
            .map_err(|e| ModelError::Damaged { what: e.to_string() })??;
        let loaded = Loaded { file, model: Arc::new(model), took: started.elapsed(), of_shelf };
        let mut models = self.models();
        let before: Vec<Loaded> = models.loaded.extract_if(.., |l| l.file.name == loaded.file.name).collect();
        models.loaded.push(loaded.clone());
        let candidates = self.offer(&models);
        drop(models);
        drop_apart((before, candidates));
        Ok(loaded)
    }

    /// Lets go of a model. Whoever has an answer of it under way holds it until the answer's end; the memory comes back
    /// then. `false`: no such model.
    pub fn unload(&self, name: &str) -> bool {
        let mut models = self.models();
        let gone: Vec<Loaded> = models.loaded.extract_if(.., |l| l.file.name == name).collect();
        let candidates = self.offer(&models);
        drop(models);
        let found = !gone.is_empty();
        drop_apart((gone, candidates));
        found
    }

    /// Loads the model that turns texts into vectors, in place of the one before.
    ///
    /// # Errors
    /// The files cannot be used; the one before stays.
    pub async fn embed_with(&self, file: ModelFile) -> Result<(), ModelError> {
        let settings = EmbedSettings::new(file.name, file.label);
        let opened =
            tokio::task::spawn_blocking(move || open_embedder(&file.path, settings).map(MeaningModel::measured));
        let model = opened.await.map_err(|e| ModelError::Damaged { what: e.to_string() })??;
        let before = self.models().meaning.replace(model);
        drop_apart(before);
        Ok(())
    }

    /// No model turns texts into vectors any more: searches go by words.
    pub fn forget_embedder(&self) {
        let before = self.models().meaning.take();
        drop_apart(before);
    }

    /// The model that turns texts into vectors.
    pub fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.meaning().map(|m| m.embedder)
    }

    /// The same, with what the search needs to know of it.
    pub fn meaning(&self) -> Option<MeaningModel> {
        self.models().meaning.clone()
    }

    /// Loads the model that ranks what was found, in place of the one before.
    ///
    /// # Errors
    /// The files cannot be used, or the model cannot rank; the one before stays.
    pub async fn rank_with(&self, file: ModelFile) -> Result<(), ModelError> {
        let damaged = |what: String| ModelError::Damaged { what };
        let opened = tokio::task::spawn_blocking(move || {
            let reranker = open_reranker(&file.path, EmbedSettings::new(file.name, file.label))?;
            RankingModel::measured(reranker).map_err(|e| damaged(e.to_string()))
        });
        let model = opened.await.map_err(|e| damaged(e.to_string()))??;
        let before = self.models().ranking.replace(model);
        drop_apart(before);
        Ok(())
    }

    /// No model ranks what was found any more.
    pub fn forget_ranking(&self) {
        let before = self.models().ranking.take();
        drop_apart(before);
    }

    /// The model that ranks what was found.
    pub fn ranking(&self) -> Option<RankingModel> {
        self.models().ranking.clone()
    }

    /// Leave to have texts embedded through the routes for clients.
    pub fn embedding(&self) -> &Arc<Permits> {
        &self.embedding
    }

    /// Health and load of the servers inside the network.
    pub fn servers(&self) -> Option<ServersStatus> {
        self.models().servers.as_ref().map(ModelServers::status)
    }

    /// Are these the servers that are set?
    pub fn served_by(&self, configs: &[ServerConfig], networks: &InternalNetworks) -> bool {
        self.models().servers.as_ref().is_some_and(|s| s.is_of(configs, networks))
    }

    /// Sets the servers inside the network, watched from now on.
    pub fn serve_with(&self, servers: Option<ModelServers>) {
        if let Some(servers) = &servers {
            servers.watch();
        }
        let mut models = self.models();
        let before = std::mem::replace(&mut models.servers, servers);
        let candidates = self.offer(&models);
        drop(models);
        drop_apart((before, candidates));
    }

    /// Tells the router what there is now. Gives back what there was, to be dropped without the lock.
    fn offer(&self, models: &Models) -> Vec<Candidate> {
        let writer = |model: Arc<dyn ChatModel>, grammar: bool| -> Arc<dyn TextEngine> {
            let options = WriterOptions { grammar, ..WriterOptions::default() };
            Arc::new(ModelWriter::new(model, Arc::clone(&self.rules), options))
        };
        let mut candidates = Vec::new();
        if let Some(servers) = models.servers.clone() {
            let watched = servers.clone();
            candidates.push(Candidate {
                place: Place::Server,
                engine: writer(Arc::new(servers.clone()), servers.takes_grammars()),
                ready: Arc::new(move || watched.healthy()),
            });
        }
        // A model that only continues texts cannot follow an app's instructions.
        for loaded in models.loaded.iter().filter(|l| l.model.converses()) {
            candidates.push(Candidate {
                place: Place::Local,
                engine: writer(Arc::clone(&loaded.model) as Arc<dyn ChatModel>, true),
                ready: Arc::new(|| true),
            });
        }
        self.router.offer(candidates)
    }

    /// The models on this machine.
    pub fn loaded(&self) -> Vec<Loaded> {
        self.models().loaded.clone()
    }

    /// Figures of each model on this machine.
    pub fn metrics(&self) -> Vec<(ModelFile, Metrics)> {
        self.loaded().into_iter().map(|l| (l.file, l.model.metrics())).collect()
    }

    /// Every model that holds conversations now: servers first, as the router prefers them.
    pub fn chat_models(&self) -> Vec<Arc<dyn ChatModel>> {
        let models = self.models();
        let servers = models.servers.iter().filter(|s| s.healthy()).map(|s| Arc::new(s.clone()) as Arc<dyn ChatModel>);
        let local = models.loaded.iter().filter(|l| l.model.converses());
        servers.chain(local.map(|l| Arc::clone(&l.model) as Arc<dyn ChatModel>)).collect()
    }

    /// The model that the setting names for work beyond answers, such as composing; `None` where rules do it.
    pub fn composer(&self) -> Option<Arc<dyn ChatModel>> {
        let name = self.router.card().name;
        self.chat_models().into_iter().find(|m| m.card().name == name)
    }
}

/// Drops what may be the last handle of a model, whose memory takes its time to give back: under no lock and on none of
/// the runtime's workers.
fn drop_apart<T: Send + 'static>(last: T) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(last))),
        Err(_) => drop(last),
    }
}

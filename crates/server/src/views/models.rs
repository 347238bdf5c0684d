//! Models and model servers, for the admin.

use super::{Frame, Lang};
use askama::Template;

/// `/admin/models`
#[derive(Template)]
#[template(path = "admin_models.html")]
pub struct ModelsPage {
    pub frame: Frame,
    pub l: Lang,
    /// Label of the engine that would answer now, and whether it writes text of its own.
    pub answering: String,
    pub generates: bool,
    pub options: Vec<EngineOption>,
    pub loaded: Vec<LoadedRow>,
    pub rows: Vec<ModelRow>,
    /// Passages that can be found by meaning, and all of them.
    pub vectors: Option<(usize, usize)>,
    pub servers: Vec<ServerRow>,
    /// Why what is set is not in force, in Korean.
    pub trouble: Option<String>,
}

/// A choice of engine.
pub struct EngineOption {
    pub value: String,
    pub label: String,
    pub chosen: bool,
}

/// A model in memory and its work.
pub struct LoadedRow {
    pub label: String,
    pub running: usize,
    pub waiting: usize,
    /// Tokens per second.
    pub written: String,
    pub read: String,
    /// Share of prompt tokens that were not computed again, percent.
    pub reused: u64,
    pub weights: String,
    pub cache: String,
    pub cache_limit: String,
    pub refused: u64,
}

/// A model on the shelf.
pub struct ModelRow {
    pub name: String,
    pub label: String,
    pub kind: &'static str,
    pub size: String,
    pub memory: String,
    pub licence: String,
    pub loaded: bool,
    pub loadable: bool,
}

/// A server inside the network.
pub struct ServerRow {
    pub name: String,
    pub host: String,
    pub healthy: bool,
    pub in_flight: usize,
    pub capacity: usize,
    pub error: Option<String>,
}

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
    /// Passages that the ranking model reads for one question; 0 where it is too slow here.
    pub reads: Option<usize>,
    pub servers: ServersView,
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
}

/// The servers inside the network, as a section of the page.
pub struct ServersView {
    pub rows: Vec<ServerRow>,
    /// Networks they may stand in.
    pub networks: Vec<String>,
    /// Requests that wait for a server.
    pub waiting: usize,
    /// They are used as one, and these names differ.
    pub models_differ: bool,
}

/// A server inside the network.
pub struct ServerRow {
    pub name: String,
    /// Where the API removes it.
    pub path: String,
    pub url: String,
    pub model: String,
    pub has_key: bool,
    pub health: ServerHealth,
    pub in_flight: usize,
    pub capacity: usize,
    /// Seconds to the first token, on the average.
    pub first_token: Option<String>,
    /// Minutes since it answered last, of one that does not.
    pub silent_for: Option<u64>,
    /// What last went wrong, in the reader's language.
    pub error: Option<String>,
}

/// How a server does, for screens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ServerHealth {
    Good,
    /// Not asked yet.
    Unknown,
    Silent,
    /// What is set cannot be used; why stands on top of the page.
    Unusable,
}

impl ServerHealth {
    /// Korean, for [`Lang::t`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "이상 없음",
            Self::Unknown => "확인 중",
            Self::Silent => "답이 없음",
            Self::Unusable => "쓰지 않음",
        }
    }

    /// Class of the mark before it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "busy",
            Self::Silent | Self::Unusable => "bad",
        }
    }
}

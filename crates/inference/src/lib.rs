//! Text engines: the trait that composer and runner talk to. Local models on candle and the body's own model
//! servers join here; the quoting engine, which needs no model, stands in `registry` beside the analyser it uses.
//!
//! What does not live here: retrieval, rights, storage. An engine sees only passages its reader may read.

mod engine;

pub use engine::{EngineCard, EngineError, EngineEvent, EngineInput, EngineTask, Finish, TextEngine};

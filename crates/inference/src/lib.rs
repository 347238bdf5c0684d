//! Text engines: the trait that composer and runner talk to. Local models on candle and the body's own model
//! servers join here; the quoting engine, which needs no model, stands in `registry` beside the analyser it uses.
//!
//! What does not live here: retrieval, rights, storage. An engine sees only passages its reader may read.

pub mod bench;
#[cfg(test)]
#[path = "../tests/common/bytes.rs"]
mod byte_vocabulary;
pub mod catalogue;
mod chat;
mod constraint;
pub mod decoder;
pub mod embed;
mod engine;
mod error;
mod local;
pub mod remote;
mod router;
mod sampler;
pub mod shape;
mod template;
mod thinking;
mod tokenizer;
pub mod writer;

pub use chat::{
    Asker, ChatError, ChatEvent, ChatModel, ChatRequest, ChatStream, Constraint, Message, ModelCard, Role, Sampling,
    ScopeKey, StepLogprobs, StopReason, TokenLogprob, Usage,
};
pub use constraint::{ConstraintFactory, ConstraintState};
pub use engine::{
    EngineCard, EngineError, EngineEvent, EngineInput, EngineTask, Finish, MAX_PASTED, Stage, TextEngine,
};
pub use error::ModelError;
pub use local::{Bounds, LocalModel, Metrics, Options, Permits, Ticket};
pub use router::{Candidate, EngineChoice, EngineRouter, Place};
pub use sampler::{SampledToken, Sampler, TokenLogprobs};
pub use template::ChatTemplate;
pub use tokenizer::{Segment, TextStream, Tokenizer};

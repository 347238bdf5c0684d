//! The only door out: what would leave is inspected, bound to its approval, sealed at rest and sent from here alone.
//!
//! The order of records lives in `flow`, who may approve in the store's states; the detector is `madang-pii`, the chain
//! `madang-ledger`.

pub mod approval;
pub mod bodies;
pub mod breaker;
mod connect;
mod deciding;
pub mod destination;
mod dictionary;
pub mod download;
pub mod envelope;
pub mod flow;
pub mod inspect;
pub mod prompt;
pub mod provider;
mod ruling;
pub mod seal;
mod sending;
pub mod switch;
pub mod syslog;
pub mod tls;
pub mod transport;
pub mod wire;

pub use approval::{ApprovalFault, approval_binding, approval_holds};
pub use bodies::{Bodies, SearchLimits, Searched};
pub use breaker::Circuit;
pub use connect::{Proxy, ProxyError};
pub use deciding::Revealed;
pub use destination::{Destination, DestinationError, Policy};
pub use envelope::{Envelope, Header, PartRole, Place, PromptPart, Raised, Refusal, Where, build};
pub use flow::{FlowError, Flowed, Gateway, Opened, Preview, Shown};
pub use inspect::{Inspector, Uninspected};
pub use provider::Registration;
pub use ruling::Ruling;
pub use seal::{MasterKey, SealError};
pub use transport::{Limits, Line, Reply, SendError, Usage};
pub use wire::{Fault, Form, WireForm};

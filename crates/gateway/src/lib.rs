//! The only door out: what would leave is inspected, bound to its approval, sealed at rest and sent from here alone.
//!
//! The order of records lives in `flow`, who may approve in the store's states; the detector is `madang-pii`, the chain
//! `madang-ledger`.

pub mod approval;
pub mod bodies;
pub mod destination;
pub mod download;
pub mod envelope;
pub mod flow;
pub mod prompt;
pub mod seal;
pub mod syslog;
pub mod transport;

pub use approval::{ApprovalFault, approval_binding, approval_holds};
pub use bodies::{Bodies, SearchLimits, Searched};
pub use destination::{Destination, DestinationError, Policy};
pub use envelope::{Envelope, Header, PartRole, Place, PromptPart, Refusal, Where, build};
pub use flow::{FlowError, Flowed, Gateway, Opened, Preview, Shown};
pub use seal::{MasterKey, SealError};
pub use transport::{Limits, Reply, SendError, Usage, send, send_within};

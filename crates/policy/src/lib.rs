//! The rules for outside calls: a policy file, its decisions, budgets, what changes between two policies, anomalies in
//! past calls, the monthly sample and a bill against the record.
//!
//! Pure: no I/O, no database, no clock and no randomness; time and seeds are arguments. Who may read or change a policy,
//! and where it is kept, is the store's; the order of an outside call is the gateway's.

pub mod anomaly;
pub mod approval;
pub mod budget;
mod check;
pub mod diff;
pub mod evaluate;
pub mod facts;
pub mod floor;
mod hash;
pub mod kinds;
pub mod lint;
mod matching;
pub mod model;
pub mod money;
pub mod reconcile;
pub mod rehearse;
pub mod sampling;
mod template;
mod text;
pub mod time;
mod words;

pub use evaluate::{Decision, Verdict};
pub use facts::Facts;
pub use model::{Policy, Unit};
pub use template::DEFAULT_POLICY;
pub use text::{FORMAT, Fault, Faults, MAX_TEXT};
pub use words::{Line, LineKind};

//! The append-only record as a hash chain: canonical JSON, chaining, verification. Knows nothing of what is in a
//! record, nothing of where it is kept.

mod canonical;
mod chain;

pub use canonical::{CanonicalError, canonical_json};
pub use chain::{Entry, Fault, Head, Verified, chain, verify};

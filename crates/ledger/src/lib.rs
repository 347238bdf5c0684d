//! Append-only, tamper-evident chain of records. Knows nothing of what is in a record, of files or of databases.
//!
//! Each [`Entry`] carries the hash of the one before it, so that altering, removing, inserting or reordering any of
//! them breaks the chain at that place. Cutting entries off the end shows only against a [`Head`] kept elsewhere:
//! hand it to [`verify`].
//!
//! A chain that its operator can rewrite from some entry on proves nothing against that operator. The entry hash is
//! therefore domain-separated and fixed-width, fit to be the leaf of a Merkle tree (RFC 6962) with checkpoints signed
//! and witnessed elsewhere; such a tree reads [`Entry::hash`] in order and changes nothing here.

mod canonical;
mod chain;
mod finite;
mod lines;

pub use canonical::{CanonicalError, canonical, is_canonical};
pub use chain::{ChainError, Entry, Fault, Head, Verified, Verifier, chain, verify};
pub use lines::{read_lines, to_line, verify_lines};

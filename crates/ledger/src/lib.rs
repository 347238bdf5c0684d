//! Append-only, tamper-evident record. Knows nothing of what is in a record, and nothing of databases or networks.
//!
//! Each [`Entry`] carries the hash of the one before it, so that altering, removing, inserting or reordering any of
//! them breaks the chain at that place. Cutting entries off the end shows only against a [`Head`] kept elsewhere:
//! hand it to [`verify`].
//!
//! A chain that its operator can rewrite from some entry on proves nothing against that operator. So the entries are
//! the leaves of a Merkle tree ([`tree`], RFC 6962), its size and root are signed ([`checkpoint`], C2SP), a witness
//! with a key of its own cosigns whatever continues what it cosigned before ([`witness`]), and all of it can be
//! verified on another machine: the whole record or a part of it ([`export`]), one record
//! ([`record_proof`]). Bodies of records are no part of the record and can be deleted.

mod canonical;
mod chain;
mod finite;
mod leaf;
mod lines;

pub mod checkpoint;
pub mod export;
pub mod keys;
pub mod note;
pub mod pairing;
pub mod record_proof;
pub mod tree;
pub mod trust;
pub mod witness;

pub use canonical::{CanonicalError, canonical, is_canonical};
pub use chain::{ChainError, Entry, Fault, Head, Verified, Verifier, chain, verify};
pub use lines::{read_lines, to_line, verify_lines};

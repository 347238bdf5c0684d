//! The index over passages: BM25 as a sparse vector in Qdrant, filtered by the reader's collections inside every query;
//! beside it, where an embedding model is chosen, a dense vector for meaning. Qdrant runs in this process or on a server.
//!
//! Computes no vectors: they come from outside, named by their model's fingerprint. Holds no text and decides no rights:
//! it returns ids, which the store checks again. Everything in it can be rebuilt from the store.

mod bm25;
mod edge;
mod error;
pub mod eval;
mod explain;
mod files;
mod fold;
mod fusion;
mod home;
mod index;
mod library;
mod line;
mod server;
mod synonyms;
mod vectors;
mod wire;

pub use error::SearchError;
pub use explain::{Explanation, Field, Word, explain};
pub use fold::fold;
pub use home::{Place, QdrantServer, private_networks};
pub use index::{Health, Hit, Index, IndexedPassage, SearchOptions};
pub use library::{Library, Shelved};
pub use synonyms::{BadLine, MOST_GROUPS, Synonyms};
pub use vectors::{Coverage, Filled, PassageVector, QueryVector, VectorModel, VectorModels, Waiting};

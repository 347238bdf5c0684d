//! The one index over passages: BM25 as a sparse vector in an embedded Qdrant shard, filtered by the reader's
//! collections inside every query; beside it, where an embedding model is chosen, a dense vector for meaning.
//!
//! Computes no vectors: they come from outside, named by their model's fingerprint. Holds no text and decides no rights: it returns ids, which the store checks again. Everything in it can be rebuilt
//! from the store.

mod bm25;
mod engine;
mod error;
pub mod eval;
mod explain;
mod files;
mod fold;
mod index;
mod synonyms;
mod vectors;

pub use error::SearchError;
pub use explain::{Explanation, Field, Word, explain};
pub use fold::fold;
pub use index::{Health, Hit, Index, IndexedPassage, SearchOptions};
pub use synonyms::{BadLine, MOST_GROUPS, Synonyms};
pub use vectors::{Coverage, Filled, PassageVector, QueryVector, VectorModel, VectorModels, Waiting};

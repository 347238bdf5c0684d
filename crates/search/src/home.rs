//! What the index needs of the engine that keeps it, and the two places where that engine runs: in this process (`edge`)
//! or on a Qdrant server (`server`). Each side of a search is found alone; joining ranks is `fusion`'s, rights are the
//! store's.

use crate::SearchError;
use crate::bm25::Sparse;
use crate::fusion::Nearest;
use ipnet::IpNet;
use madang_domain::{CollectionId, DocumentId, PassageId};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Name of the sparse vector.
pub(crate) const LEXICAL: &str = "lexical";
/// Fields of a point's payload.
pub(crate) const COLLECTION: &str = "collection";
pub(crate) const DOCUMENT: &str = "document";
/// Points per operation: keeps one write-ahead record well below a segment of the log.
pub(crate) const POINTS_PER_OPERATION: usize = 128;

/// Where an index lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// In this process, in the index's own folder.
    #[default]
    Embedded,
    /// On a Qdrant server or cluster; the index's folder keeps what it knows of itself.
    Server(Box<QdrantServer>),
}

/// A Qdrant server or cluster of version 1.16 or later, spoken to over gRPC.
#[derive(Clone, PartialEq, Eq)]
pub struct QdrantServer {
    /// `https://qdrant.city.local:6334`; `http://` only where the line itself is safe.
    pub url: String,
    /// API key; never shown.
    pub key: Option<String>,
    /// PEM file of the authority that signed the server's certificate; `None`: the machine's own authorities.
    pub authority: Option<PathBuf>,
    /// Begins the names of this installation's collections on the server.
    pub prefix: String,
    /// Shards of each collection; `None`: as the server does by itself.
    pub shards: Option<u32>,
    /// Copies of each shard.
    pub replicas: u32,
    /// Copies that must have taken a write before it counts; `None`: all, so that no reader meets an old one.
    pub write_consistency: Option<u32>,
    /// Longest wait for an answer to a search.
    pub timeout: Duration,
    /// Networks in which the server may be: no connection leads elsewhere, whatever its name comes to mean.
    pub networks: Vec<IpNet>,
}

impl QdrantServer {
    /// One shard of one copy per node, ten seconds, no key; on this machine or at a private address.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: None,
            authority: None,
            prefix: "madang".into(),
            shards: None,
            replicas: 1,
            write_consistency: None,
            timeout: Duration::from_secs(10),
            networks: private_networks(),
        }
    }
}

/// This machine, and the addresses of RFC 1918 and RFC 4193.
pub fn private_networks() -> Vec<IpNet> {
    let v4 = [([127, 0, 0, 0], 8), ([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];
    let v6 = [(Ipv6Addr::LOCALHOST, 128), (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)];
    let v4 = v4.into_iter().map(|(address, length)| IpNet::new_assert(IpAddr::from(address), length));
    v4.chain(v6.into_iter().map(|(address, length)| IpNet::new_assert(IpAddr::V6(address), length))).collect()
}

impl std::fmt::Debug for QdrantServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QdrantServer")
            .field("url", &self.url)
            .field("key", &self.key.as_ref().map(|_| "…"))
            .field("prefix", &self.prefix)
            .field("shards", &self.shards)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// A passage ready for the engine.
pub(crate) struct Point {
    pub passage: PassageId,
    pub collection: CollectionId,
    pub document: DocumentId,
    pub weights: Sparse,
}

/// A dense vector to look for.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a> {
    pub name: &'a str,
    pub vector: &'a [f32],
    /// Cosine below which nothing counts as found.
    pub least: f32,
}

/// Which points a deletion or a query is about.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    Documents(&'a [DocumentId]),
    Collections(&'a [CollectionId]),
}

impl Which<'_> {
    /// The payload's field and its values.
    pub fn field(&self) -> (&'static str, Vec<String>) {
        match self {
            Which::Documents(ids) => (DOCUMENT, ids.iter().map(ToString::to_string).collect()),
            Which::Collections(ids) => (COLLECTION, ids.iter().map(ToString::to_string).collect()),
        }
    }
}

/// The engine that keeps the points. One point per passage: the sparse vector [`LEXICAL`], `collection` and `document`,
/// and under each embedding model's name a dense vector, which a passage may still lack. Calls block. What a call wrote
/// is seen by every later one. Writers must not run beside each other.
pub(crate) trait Home: Send + Sync {
    /// May this process still write? Asked before each write.
    fn may_write(&self) -> Result<(), SearchError>;

    /// Adds points; one that is there is replaced whole and loses its dense vectors.
    fn upsert(&self, points: Vec<Point>) -> Result<(), SearchError>;

    fn delete(&self, which: &Which<'_>) -> Result<(), SearchError>;

    /// Points that satisfy all of `which`, by words, best first; none where no words are given.
    fn nearest_words(&self, words: Sparse, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError>;

    /// Points that satisfy all of `which`, by meaning, best first.
    fn nearest_meaning(&self, dense: &Dense<'_>, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError>;

    /// Both sides at the price of the slower one where they can be asked at once.
    fn nearest(
        &self,
        words: Sparse,
        dense: &Dense<'_>,
        which: &[Which<'_>],
        limit: usize,
    ) -> Result<(Nearest, Nearest), SearchError> {
        Ok((self.nearest_words(words, which, limit)?, self.nearest_meaning(dense, which, limit)?))
    }

    /// Names of the dense vectors.
    fn vector_names(&self) -> Result<Vec<String>, SearchError>;

    /// A dense vector that every point lacks so far.
    fn create_vector(&self, name: &str, dimension: usize) -> Result<(), SearchError>;

    /// Removes a dense vector from every point.
    fn delete_vector(&self, name: &str) -> Result<(), SearchError>;

    /// Points that lack the dense vector, by id, those after `after` only.
    fn without_vector(
        &self,
        name: &str,
        after: Option<PassageId>,
        limit: usize,
    ) -> Result<Vec<(PassageId, DocumentId)>, SearchError>;

    /// Number of points that have the dense vector.
    fn count_with_vector(&self, name: &str) -> Result<usize, SearchError>;

    /// Gives points their dense vector; those that are not there are passed over. Returns how many were there.
    fn put_vectors(&self, name: &str, vectors: &[(PassageId, &[f32])]) -> Result<usize, SearchError>;

    /// The dense vectors of those points that have one, of unit length.
    fn vectors(&self, name: &str, passages: &[PassageId]) -> Result<Vec<(PassageId, Vec<f32>)>, SearchError>;

    /// Exact number of points; all without a filter.
    fn count(&self, which: Option<&Which<'_>>) -> Result<usize, SearchError>;

    /// Merges and indexes what was added.
    fn optimise(&self) -> Result<(), SearchError>;

    /// Puts everything on disk.
    fn flush(&self) -> Result<(), SearchError>;
}

/// An entry that no version of ours wrote.
pub(crate) fn unknown_entry() -> SearchError {
    SearchError::rebuild("색인에 알 수 없는 항목이 있습니다.")
}

/// The id that follows `after`: engines begin with the offset itself.
pub(crate) fn following(after: PassageId) -> uuid::Uuid {
    uuid::Uuid::from_u128(after.0.as_u128().saturating_add(1))
}

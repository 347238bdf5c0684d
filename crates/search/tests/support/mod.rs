//! What the tests of the index share: passages, searches, and a Qdrant server to stand in for a real one.
#![allow(dead_code, reason = "each test uses its part")]

pub mod qdrant;

use madang_domain::{CollectionId, DocumentId, PassageId, ReadableCollections};
use madang_search::{Hit, Index, IndexedPassage, Place, QdrantServer, SearchOptions};
use std::path::Path;
use tempfile::TempDir;

/// Where a suite runs.
pub struct House {
    pub place: Place,
    dir: TempDir,
    /// Kept while the suite runs.
    _server: Option<qdrant::StandIn>,
}

impl House {
    pub fn embedded() -> Self {
        Self { place: Place::Embedded, dir: folder(), _server: None }
    }

    /// Over gRPC to the engine in this process.
    pub fn over_the_wire() -> Self {
        let server = qdrant::StandIn::start(qdrant::Manner::default());
        Self { place: Place::Server(Box::new(server.address())), dir: folder(), _server: Some(server) }
    }

    /// A real server; `None`, said aloud, where none is named.
    pub fn server() -> Option<Self> {
        let Ok(url) = std::env::var("MADANG_TEST_QDRANT_URL") else {
            eprintln!("skipped: MADANG_TEST_QDRANT_URL names no Qdrant server");
            return None;
        };
        let key = std::env::var("MADANG_TEST_QDRANT_API_KEY").ok();
        let at = QdrantServer { key, prefix: "madang-test".into(), ..QdrantServer::at(url) };
        Some(Self { place: Place::Server(Box::new(at)), dir: folder(), _server: None })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn open(&self) -> Index {
        Index::open_at(self.dir(), &self.place).expect("open")
    }
}

impl Drop for House {
    /// A real server is left as it was found.
    fn drop(&mut self) {
        let _ = Index::remove(self.dir.path(), &self.place);
        let _ = Index::remove(&self.dir.path().join("closed"), &self.place);
    }
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

pub fn passage(collection: CollectionId, document: DocumentId, title: &str, text: &str) -> IndexedPassage {
    IndexedPassage {
        id: PassageId::new(),
        collection,
        document,
        title: title.into(),
        heading_path: vec!["개요".into()],
        text: text.into(),
    }
}

pub fn readable(ids: &[CollectionId]) -> ReadableCollections {
    ReadableCollections::resolved(ids.to_vec())
}

pub fn search(index: &Index, query: &str, ids: &[CollectionId]) -> Vec<Hit> {
    index.search(query, &readable(ids), &SearchOptions::default()).expect("search")
}

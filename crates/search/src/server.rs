//! The home on a Qdrant server or cluster: which calls are made, and in which order. What the messages say is `wire`'s, the
//! connection is `line`'s.

use crate::SearchError;
use crate::bm25::Sparse;
use crate::fusion::Nearest;
use crate::home::{COLLECTION, Dense, Home, POINTS_PER_OPERATION, Point, QdrantServer, Which, following};
use crate::line::{Line, WRITE};
use crate::wire;
use madang_domain::{DocumentId, PassageId};
use qdrant_client::qdrant::{
    CollectionExistsRequest, CollectionInfo, DeleteCollection, GetCollectionInfoRequest, ListCollectionsRequest,
    UpdateCollection,
};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Vectors per write: a few MiB at the largest dimensions in use.
const VECTORS_PER_OPERATION: usize = 64;
const MOST_PREFIX: usize = 40;

/// The collections of one index on a server.
pub(crate) struct Server {
    line: Line,
    at: QdrantServer,
    /// The collection of words; its name begins those of the vectors.
    name: String,
    /// Identifiers grow with time: who opened the collections last has the greatest.
    session: uuid::Uuid,
    /// Dense vectors that there are; this process alone changes them.
    vectors: RwLock<Vec<String>>,
}

impl Server {
    /// A name that no other index has.
    pub fn new_name(at: &QdrantServer) -> Result<String, SearchError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if at.prefix.is_empty() || at.prefix.len() > MOST_PREFIX || !at.prefix.chars().all(plain) {
            let reason = format!("컬렉션 이름의 머리말은 {MOST_PREFIX}자까지의 영문자, 숫자, -, _입니다.");
            return Err(SearchError::Settings(reason));
        }
        Ok(format!("{}-{}", at.prefix, uuid::Uuid::now_v7().simple()))
    }

    pub fn create(at: &QdrantServer, name: &str) -> Result<Self, SearchError> {
        let server = Self::connect(at, name)?;
        server.create_collection(name, None)?;
        server.claim()?;
        Ok(server)
    }

    pub fn load(at: &QdrantServer, name: &str) -> Result<Self, SearchError> {
        let mut server = Self::connect(at, name)?;
        let info = server.info()?;
        if !info.payload_schema.contains_key(COLLECTION) {
            server.create_indexes(name)?;
        }
        server.claim()?;
        let mut vectors = Vec::new();
        for vector in server.vectors_there()? {
            if server.agree(&vector)? {
                vectors.push(vector);
            } else {
                tracing::warn!(%vector, "vectors and their marks differ: they are made anew");
                server.drop_vector(&vector)?;
            }
        }
        server.vectors = RwLock::new(vectors);
        Ok(server)
    }

    /// Removes the collections; those that are not there are passed over.
    pub fn remove(at: &QdrantServer, name: &str) -> Result<(), SearchError> {
        let server = Self::connect(at, name)?;
        for vector in server.vectors_there()? {
            server.delete_collection(&wire::dense_collection(name, &vector))?;
        }
        server.delete_collection(name)
    }

    fn connect(at: &QdrantServer, name: &str) -> Result<Self, SearchError> {
        let line = Line::new(at)?;
        let (name, session) = (name.to_owned(), uuid::Uuid::now_v7());
        Ok(Self { line, at: at.clone(), name, session, vectors: RwLock::default() })
    }

    /// From here on this process writes; one that opened the collections before is refused.
    fn claim(&self) -> Result<(), SearchError> {
        let metadata = wire::session(&self.session.to_string());
        let update = UpdateCollection { collection_name: self.name.clone(), metadata, ..Default::default() };
        self.line.collections(WRITE, |mut c| async move { c.update(update).await }).map(drop)
    }

    fn info(&self) -> Result<CollectionInfo, SearchError> {
        let request = GetCollectionInfoRequest { collection_name: self.name.clone() };
        let answer = self.line.collections(self.at.timeout, |mut c| async move { c.get(request).await })?;
        answer.result.ok_or_else(|| SearchError::Server("빈 답".into()))
    }

    fn create_collection(&self, name: &str, dimension: Option<usize>) -> Result<(), SearchError> {
        let there = CollectionExistsRequest { collection_name: name.to_owned() };
        let there = self.line.collections(self.at.timeout, |mut c| async move { c.collection_exists(there).await })?;
        if !there.result.is_some_and(|r| r.exists) {
            let create = wire::create(&self.at, name, dimension);
            self.line.collections(WRITE, |mut c| async move { c.create(create).await })?;
        }
        self.create_indexes(name)
    }

    fn create_indexes(&self, name: &str) -> Result<(), SearchError> {
        for index in wire::indexes(name) {
            self.line.write(|mut p| async move { p.create_field_index(index).await })?;
        }
        Ok(())
    }

    fn delete_collection(&self, name: &str) -> Result<(), SearchError> {
        let delete = DeleteCollection { collection_name: name.to_owned(), ..Default::default() };
        match self.line.collections(WRITE, |mut c| async move { c.delete(delete).await }) {
            Err(SearchError::NeedsRebuild { .. }) => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Names of the dense vectors that the server has collections for.
    fn vectors_there(&self) -> Result<Vec<String>, SearchError> {
        let listed =
            self.line.collections(self.at.timeout, |mut c| async move { c.list(ListCollectionsRequest {}).await })?;
        let head = wire::dense_collection(&self.name, "");
        let names = listed.collections.into_iter();
        Ok(names.filter_map(|c| c.name.strip_prefix(&head).map(str::to_owned)).collect())
    }

    /// Does every passage that is marked have its vector, and no other?
    fn agree(&self, vector: &str) -> Result<bool, SearchError> {
        let marked = self.line.count(self.at.timeout, wire::count_marked(&self.name, vector))?;
        Ok(marked == self.count_with_vector(vector)?)
    }

    /// Marks first: a passage without one waits for its vector, whatever became of the old.
    fn drop_vector(&self, vector: &str) -> Result<(), SearchError> {
        let unmark = wire::unmark(&self.name, vector);
        self.line.write(|mut p| async move { p.delete_payload(unmark).await })?;
        self.delete_collection(&wire::dense_collection(&self.name, vector))
    }

    fn known_vectors(&self) -> Vec<String> {
        self.vectors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Home for Server {
    fn may_write(&self) -> Result<(), SearchError> {
        let info = self.info()?;
        let metadata = info.config.map(|c| c.metadata).unwrap_or_default();
        let last = wire::text(&metadata, wire::SESSION).and_then(|s| s.parse::<uuid::Uuid>().ok());
        // A node of a cluster that does not know of us yet shows an older one.
        if last.is_some_and(|last| last > self.session) { Err(SearchError::Taken) } else { Ok(()) }
    }

    fn upsert(&self, points: Vec<Point>) -> Result<(), SearchError> {
        let vectors = self.known_vectors();
        let mut points = points.into_iter().peekable();
        while points.peek().is_some() {
            let batch: Vec<_> = points.by_ref().take(POINTS_PER_OPERATION).collect();
            let passages: Vec<_> = batch.iter().map(|p| p.passage).collect();
            // The new words take the marks away, so that vectors of the old ones are waited for again.
            let upsert = wire::upsert_words(&self.name, batch);
            self.line.write(|mut p| async move { p.upsert(upsert).await })?;
            for vector in &vectors {
                let delete = wire::delete_ids(&wire::dense_collection(&self.name, vector), &passages);
                self.line.write(|mut p| async move { p.delete(delete).await })?;
            }
        }
        Ok(())
    }

    fn delete(&self, which: &Which<'_>) -> Result<(), SearchError> {
        let dense = self.known_vectors().into_iter().map(|v| wire::dense_collection(&self.name, &v));
        for collection in std::iter::once(self.name.clone()).chain(dense) {
            let delete = wire::delete(&collection, which);
            self.line.write(|mut p| async move { p.delete(delete).await })?;
        }
        Ok(())
    }

    fn nearest_words(&self, words: Sparse, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        self.line.find(self.at.timeout, wire::by_words(&self.name, words, which, limit))
    }

    fn nearest_meaning(&self, dense: &Dense<'_>, which: &[Which<'_>], limit: usize) -> Result<Nearest, SearchError> {
        self.line.find(self.at.timeout, wire::by_meaning(&self.name, dense, which, limit))
    }

    fn nearest(
        &self,
        words: Sparse,
        dense: &Dense<'_>,
        which: &[Which<'_>],
        limit: usize,
    ) -> Result<(Nearest, Nearest), SearchError> {
        let words = wire::by_words(&self.name, words, which, limit);
        let meaning = wire::by_meaning(&self.name, dense, which, limit);
        self.line.find_both(self.at.timeout, words, meaning)
    }

    fn vector_names(&self) -> Result<Vec<String>, SearchError> {
        Ok(self.known_vectors())
    }

    fn create_vector(&self, name: &str, dimension: usize) -> Result<(), SearchError> {
        // What an earlier attempt, cut off, left of it has marks or vectors of its own.
        self.drop_vector(name)?;
        self.create_collection(&wire::dense_collection(&self.name, name), Some(dimension))?;
        let index = wire::mark_index(&self.name, name);
        self.line.write(|mut p| async move { p.create_field_index(index).await })?;
        self.vectors.write().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        Ok(())
    }

    fn delete_vector(&self, name: &str) -> Result<(), SearchError> {
        self.drop_vector(name)?;
        self.vectors.write().unwrap_or_else(PoisonError::into_inner).retain(|v| v != name);
        Ok(())
    }

    fn without_vector(
        &self,
        name: &str,
        after: Option<PassageId>,
        limit: usize,
    ) -> Result<Vec<(PassageId, DocumentId)>, SearchError> {
        let scroll = wire::unmarked(&self.name, name, after.map(following), limit);
        let page = self.line.points(self.at.timeout, |mut p| {
            let scroll = scroll.clone();
            async move { p.scroll(scroll).await }
        })?;
        page.result.iter().map(wire::document_of).collect()
    }

    fn count_with_vector(&self, name: &str) -> Result<usize, SearchError> {
        self.line.count(self.at.timeout, wire::count(&wire::dense_collection(&self.name, name), None))
    }

    fn put_vectors(&self, name: &str, vectors: &[(PassageId, &[f32])]) -> Result<usize, SearchError> {
        let mut put = 0;
        for some in vectors.chunks(VECTORS_PER_OPERATION) {
            let ids: Vec<_> = some.iter().map(|(id, _)| *id).collect();
            let place = wire::place(&self.name, &ids);
            let there = self.line.points(self.at.timeout, |mut p| {
                let place = place.clone();
                async move { p.get(place).await }
            })?;
            let of: HashMap<_, _> = some.iter().copied().collect();
            let mut points = Vec::with_capacity(some.len());
            let mut marked = Vec::with_capacity(some.len());
            for point in there.result {
                let passage = wire::passage(point.id.as_ref())?;
                if let Some(vector) = of.get(&passage) {
                    points.push((point, vector.to_vec()));
                    marked.push(passage);
                }
            }
            if points.is_empty() {
                continue;
            }
            put += points.len();
            let upsert = wire::upsert_vectors(&wire::dense_collection(&self.name, name), points);
            self.line.write(|mut p| async move { p.upsert(upsert).await })?;
            let mark = wire::mark(&self.name, name, &marked);
            self.line.write(|mut p| async move { p.set_payload(mark).await })?;
        }
        Ok(put)
    }

    fn vectors(&self, name: &str, passages: &[PassageId]) -> Result<Vec<(PassageId, Vec<f32>)>, SearchError> {
        let mut found = Vec::with_capacity(passages.len());
        for some in passages.chunks(VECTORS_PER_OPERATION) {
            let get = wire::vectors(&wire::dense_collection(&self.name, name), some);
            let there = self.line.points(self.at.timeout, |mut p| {
                let get = get.clone();
                async move { p.get(get).await }
            })?;
            for point in &there.result {
                found.push(wire::vector_of(point)?);
            }
        }
        Ok(found)
    }

    fn count(&self, which: Option<&Which<'_>>) -> Result<usize, SearchError> {
        self.line.count(self.at.timeout, wire::count(&self.name, which))
    }

    fn optimise(&self) -> Result<(), SearchError> {
        // The server does it in the background.
        Ok(())
    }

    fn flush(&self) -> Result<(), SearchError> {
        // Every write was awaited.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn settings_that_cannot_work_are_told_before_a_connection() {
        let wrong = |at: QdrantServer| matches!(Server::connect(&at, "x"), Err(SearchError::Settings(_)));
        assert!(wrong(QdrantServer::at("qdrant:6334")));
        assert!(wrong(QdrantServer::at("ftp://qdrant")));
        assert!(wrong(QdrantServer { key: Some("줄\n바꿈".into()), ..QdrantServer::at("http://a:1") }));
        let prefix = |prefix: &str| Server::new_name(&QdrantServer { prefix: prefix.into(), ..QdrantServer::at("") });
        assert!(prefix("").is_err() && prefix("a/b").is_err() && prefix(&"a".repeat(41)).is_err());
        assert!(prefix("madang-city").is_ok_and(|name| name.starts_with("madang-city-")));
    }

    #[test]
    fn nobody_there_is_told_in_time() {
        let at = QdrantServer { timeout: Duration::from_secs(2), ..QdrantServer::at("http://127.0.0.1:9") };
        assert!(matches!(Server::load(&at, "x"), Err(SearchError::Unreachable(_))));
    }
}

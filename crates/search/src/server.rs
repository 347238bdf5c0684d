//! The home on a Qdrant server or cluster: the line to it and the order of calls. What the messages say is `wire`'s.

use crate::SearchError;
use crate::bm25::Sparse;
use crate::fusion::Nearest;
use crate::home::{COLLECTION, Dense, Home, POINTS_PER_OPERATION, Point, QdrantServer, Which, following};
use crate::wire;
use madang_domain::{DocumentId, PassageId};
use qdrant_client::qdrant::collections_client::CollectionsClient;
use qdrant_client::qdrant::points_client::PointsClient;
use qdrant_client::qdrant::{
    CollectionExistsRequest, CollectionInfo, DeleteCollection, GetCollectionInfoRequest, ListCollectionsRequest,
    PointsOperationResponse, QueryPoints, ScoredPoint, UpdateCollection, UpdateStatus,
};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for a write: the server answers when it has been applied.
const WRITE: Duration = Duration::from_secs(120);
/// Vectors per write: a few MiB at the largest dimensions in use.
const VECTORS_PER_OPERATION: usize = 64;
/// A page of vectors can be larger than gRPC's customary 4 MiB.
const MOST_ANSWER: usize = 64 << 20;
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

type Guarded = InterceptedService<Channel, Key>;

/// The connection, opened with the first call and again whenever it broke.
struct Line {
    /// Calls come from threads that block, with a runtime around them or none: this one carries the connection.
    runtime: Option<Runtime>,
    points: PointsClient<Guarded>,
    collections: CollectionsClient<Guarded>,
}

impl Line {
    fn new(at: &QdrantServer) -> Result<Self, SearchError> {
        let wrong = |reason: String| SearchError::Settings(reason);
        let key = Key::new(at.key.as_deref())?;
        let endpoint = endpoint(at)?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            runtime.worker_threads(1).thread_name("qdrant").enable_all().build().map_err(|e| wrong(e.to_string()))?;
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        let guarded = InterceptedService::new(channel, key);
        Ok(Self {
            points: PointsClient::new(guarded.clone()).max_decoding_message_size(MOST_ANSWER),
            collections: CollectionsClient::new(guarded),
            runtime: Some(runtime),
        })
    }

    /// Waits for an answer on a thread of its own runtime: whoever calls may be inside another.
    fn wait<T, F>(&self, limit: Duration, call: F) -> Result<T, SearchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().ok_or_else(|| SearchError::Unreachable("닫힌 연결".into()))?;
        let (done, answer) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let late = |_| Status::deadline_exceeded(format!("{}초 안에 답이 없습니다", limit.as_secs()));
            let _ = done.send(tokio::time::timeout(limit, call).await.unwrap_or_else(|e| Err(late(e))));
        });
        answer.recv().map_err(|_| SearchError::Unreachable("끊긴 연결".into()))?.map_err(told)
    }

    /// A question; asked once more where the line broke, which is how a restarted server shows.
    fn points<T, F>(&self, limit: Duration, call: impl Fn(PointsClient<Guarded>) -> F) -> Result<T, SearchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let ask = || {
            let asked = call(self.points.clone());
            self.wait(limit, async move { asked.await.map(Response::into_inner) })
        };
        match ask() {
            Err(SearchError::Unreachable(_)) => ask(),
            answered => answered,
        }
    }

    /// A change of points, which has been applied when it returns.
    fn write<F>(&self, call: impl FnOnce(PointsClient<Guarded>) -> F) -> Result<(), SearchError>
    where
        F: Future<Output = Result<Response<PointsOperationResponse>, Status>> + Send + 'static,
    {
        let asked = call(self.points.clone());
        let answer = self.wait(WRITE, async move { asked.await.map(Response::into_inner) })?;
        match answer.result.map(|r| r.status()) {
            Some(UpdateStatus::Completed) => Ok(()),
            status => Err(SearchError::Server(format!("쓰기가 끝나지 않음: {status:?}"))),
        }
    }

    fn collections<T, F>(
        &self,
        limit: Duration,
        call: impl FnOnce(CollectionsClient<Guarded>) -> F,
    ) -> Result<T, SearchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let asked = call(self.collections.clone());
        self.wait(limit, async move { asked.await.map(Response::into_inner) })
    }

    fn find(&self, limit: Duration, query: QueryPoints) -> Result<Nearest, SearchError> {
        let answer = self.points(limit, |mut p| {
            let query = query.clone();
            async move { p.query(query).await }
        })?;
        answer.result.into_iter().map(wire::found).collect()
    }

    /// Two questions on their way at once.
    fn find_both(
        &self,
        limit: Duration,
        one: QueryPoints,
        other: QueryPoints,
    ) -> Result<(Nearest, Nearest), SearchError> {
        let (one, other) = self.points(limit, |p| {
            let (mut first, mut second, one, other) = (p.clone(), p, one.clone(), other.clone());
            async move {
                let (one, other) = tokio::try_join!(first.query(one), second.query(other))?;
                Ok(Response::new((one.into_inner().result, other.into_inner().result)))
            }
        })?;
        let read = |points: Vec<ScoredPoint>| points.into_iter().map(wire::found).collect::<Result<Nearest, _>>();
        Ok((read(one)?, read(other)?))
    }

    fn count(&self, limit: Duration, count: qdrant_client::qdrant::CountPoints) -> Result<usize, SearchError> {
        let answer = self.points(limit, |mut p| {
            let count = count.clone();
            async move { p.count(count).await }
        })?;
        let count = answer.result.ok_or_else(|| SearchError::Server("빈 답".into()))?.count;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting here would panic inside another runtime.
            runtime.shutdown_background();
        }
    }
}

fn endpoint(at: &QdrantServer) -> Result<Endpoint, SearchError> {
    let wrong = |e: tonic::transport::Error| SearchError::Settings(format!("주소나 인증서: {e}"));
    let tls = match at.url.split_once("://") {
        Some(("https", _)) => true,
        Some(("http", _)) => false,
        _ => return Err(SearchError::Settings("주소는 https://이름:6334처럼 적어 주세요.".into())),
    };
    let endpoint = Endpoint::from_shared(at.url.clone()).map_err(wrong)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    if !tls {
        return Ok(endpoint);
    }
    let config = match &at.authority {
        Some(path) => {
            let pem = std::fs::read(path).map_err(SearchError::io(path))?;
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    endpoint.tls_config(config).map_err(wrong)
}

/// Puts the API key into every request, marked so that nothing prints it.
#[derive(Clone)]
struct Key(Option<MetadataValue<Ascii>>);

impl Key {
    fn new(key: Option<&str>) -> Result<Self, SearchError> {
        let value = key.map(|key| {
            let mut value = MetadataValue::try_from(key)
                .map_err(|_| SearchError::Settings("API 키에 쓸 수 없는 글자가 있습니다.".into()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        value.transpose().map(Self)
    }
}

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}

/// A server's refusal, or the line's, in our words.
fn told(status: Status) -> SearchError {
    // What the server itself said has no cause on our side.
    if let Some(cause) = std::error::Error::source(&status) {
        return SearchError::Unreachable(format!("{} ({cause})", status.message()));
    }
    let reason = status.message().to_owned();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            SearchError::Unreachable(reason)
        }
        Code::Unauthenticated | Code::PermissionDenied => SearchError::Refused,
        Code::NotFound => SearchError::rebuild(format!("검색 서버에 이 색인이 없습니다: {reason}")),
        _ => SearchError::Server(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_key_is_never_shown() {
        let at = QdrantServer { key: Some("very-secret".into()), ..QdrantServer::at("http://a:1") };
        assert!(!format!("{at:?}").contains("very-secret"));
        let mut key = Key::new(at.key.as_deref()).expect("key");
        let request = key.call(Request::new(())).expect("request");
        assert!(request.metadata().contains_key("api-key"));
        assert!(!format!("{request:?}").contains("very-secret"));
    }

    #[test]
    fn nobody_there_is_told_in_time() {
        let at = QdrantServer { timeout: Duration::from_secs(2), ..QdrantServer::at("http://127.0.0.1:9") };
        assert!(matches!(Server::load(&at, "x"), Err(SearchError::Unreachable(_))));
    }
}

//! The line to a Qdrant server: addresses it may lead to, TLS, key, waiting, and errors in our words. Which calls are made
//! is `server`'s, what they say `wire`'s.

use crate::SearchError;
use crate::fusion::Nearest;
use crate::home::QdrantServer;
use crate::wire;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use qdrant_client::qdrant::collections_client::CollectionsClient;
use qdrant_client::qdrant::points_client::PointsClient;
use qdrant_client::qdrant::{PointsOperationResponse, QueryPoints, ScoredPoint, UpdateStatus};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for a write: the server answers when it has been applied.
pub(crate) const WRITE: Duration = Duration::from_secs(120);
/// A page of vectors can be larger than gRPC's customary 4 MiB.
const MOST_ANSWER: usize = 64 << 20;
/// Port of gRPC where the address names none.
const PORT: u16 = 6334;

type Guarded = InterceptedService<Channel, Key>;

/// The connection, opened with the first call and again whenever it broke.
pub(crate) struct Line {
    /// Calls come from threads that block, with a runtime around them or none: this one carries the connection.
    runtime: Option<Runtime>,
    points: PointsClient<Guarded>,
    collections: CollectionsClient<Guarded>,
}

impl Line {
    pub fn new(at: &QdrantServer) -> Result<Self, SearchError> {
        let wrong = |reason: String| SearchError::Settings(reason);
        let key = Key::new(at.key.as_deref())?;
        let endpoint = endpoint(at)?;
        let networks: Arc<[IpNet]> = at.networks.as_slice().into();
        let connector = service_fn(move |uri: Uri| connect(uri, Arc::clone(&networks)));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            runtime.worker_threads(1).thread_name("qdrant").enable_all().build().map_err(|e| wrong(e.to_string()))?;
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_with_connector_lazy(connector)
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
    pub fn points<T, F>(&self, limit: Duration, call: impl Fn(PointsClient<Guarded>) -> F) -> Result<T, SearchError>
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
    pub fn write<F>(&self, call: impl FnOnce(PointsClient<Guarded>) -> F) -> Result<(), SearchError>
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

    pub fn collections<T, F>(
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

    pub fn find(&self, limit: Duration, query: QueryPoints) -> Result<Nearest, SearchError> {
        let answer = self.points(limit, |mut p| {
            let query = query.clone();
            async move { p.query(query).await }
        })?;
        answer.result.into_iter().map(wire::found).collect()
    }

    /// Two questions on their way at once.
    pub fn find_both(
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

    pub fn count(&self, limit: Duration, count: qdrant_client::qdrant::CountPoints) -> Result<usize, SearchError> {
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

/// Opens a connection. The name is asked anew each time and each of its addresses is checked: what it leads to may have
/// changed since the settings were read, and with the connection go the key and what the index knows.
async fn connect(uri: Uri, networks: Arc<[IpNet]>) -> io::Result<TokioIo<TcpStream>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(PORT))).await?.collect();
    for address in &found {
        let ip = address.ip().to_canonical();
        if !networks.iter().any(|n| n.contains(&ip)) {
            return Err(io::Error::other(format!("{ip}은(는) 내부망 주소가 아닙니다")));
        }
        if uri.scheme_str() == Some("http") && !ip.is_loopback() {
            return Err(io::Error::other(format!("{ip}에는 https로만 연결합니다")));
        }
    }
    let stream = TcpStream::connect(found.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

/// Puts the API key into every request, marked so that nothing prints it.
#[derive(Clone)]
pub(crate) struct Key(Option<MetadataValue<Ascii>>);

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
    fn a_key_is_never_shown() {
        let at = QdrantServer { key: Some("very-secret".into()), ..QdrantServer::at("http://a:1") };
        assert!(!format!("{at:?}").contains("very-secret"));
        let mut key = Key::new(at.key.as_deref()).expect("key");
        let request = key.call(Request::new(())).expect("request");
        assert!(request.metadata().contains_key("api-key"));
        assert!(!format!("{request:?}").contains("very-secret"));
    }

    #[tokio::test]
    async fn a_line_leads_to_the_given_networks_alone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let port = listener.local_addr().expect("address").port();
        let reach = |uri: String, networks: &[&str]| {
            let networks: Vec<IpNet> = networks.iter().map(|n| n.parse().expect("network")).collect();
            connect(uri.parse().expect("uri"), networks.into())
        };
        assert!(reach(format!("http://127.0.0.1:{port}"), &["127.0.0.0/8"]).await.is_ok());
        assert!(reach(format!("https://127.0.0.1:{port}"), &["10.0.0.0/8"]).await.is_err());
        assert!(reach(format!("https://[::ffff:203.0.113.9]:{port}"), &["10.0.0.0/8", "fc00::/7"]).await.is_err());
        let plain = reach("http://10.0.0.1:1".into(), &["10.0.0.0/8"]).await;
        assert!(plain.is_err_and(|e| e.to_string().contains("https")));
    }
}

//! The HTTP client of one model server: pinned to the addresses that were checked, no redirect, no proxy, the admin's
//! own certificate authority where one is given.

use super::network::{InternalNetworks, NetworkError, ServerAddress};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A resolved name is believed for so long; then it is resolved and checked again.
const PIN_FOR: Duration = Duration::from_secs(30);

/// Why no request could be made. Messages are Korean, for the admin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("모델 서버의 키에 쓸 수 없는 글자가 있습니다. 키를 다시 등록해 주세요.")]
    Key,
    #[error("모델 서버의 인증기관 인증서를 읽을 수 없습니다. PEM 형식의 파일인지 확인해 주세요: {0}")]
    Certificate(String),
    #[error("모델 서버에 보낼 준비를 하지 못했습니다: {0}")]
    Client(String),
}

/// Makes requests to one server.
pub(super) struct ServerClient {
    address: ServerAddress,
    networks: InternalNetworks,
    headers: HeaderMap,
    authority: Option<Vec<reqwest::Certificate>>,
    connect: Duration,
    pinned: Mutex<Option<Pinned>>,
}

#[allow(clippy::disallowed_types)] // Inside the body's own network alone: every address is checked against its list.
type Client = reqwest::Client;

#[derive(Clone)]
struct Pinned {
    addresses: Vec<SocketAddr>,
    client: Client,
    at: Instant,
}

impl ServerClient {
    /// `authority` is a PEM bundle that alone is trusted for https; without it the machine's own roots are.
    ///
    /// # Errors
    /// An address outside, an unusable key or certificate.
    pub fn new(
        url: &str,
        networks: &InternalNetworks,
        key: Option<&SecretString>,
        authority: Option<&[u8]>,
        connect: Duration,
    ) -> Result<Self, ClientError> {
        let address = ServerAddress::parse(url, networks)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let bearer = format!("Bearer {}", key.expose_secret());
            let mut value = HeaderValue::from_str(&bearer).map_err(|_| ClientError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let certificates = |pem: &[u8]| match reqwest::Certificate::from_pem_bundle(pem) {
            Ok(found) if found.is_empty() => Err(ClientError::Certificate("빈 파일".into())),
            Ok(found) => Ok(found),
            Err(e) => Err(ClientError::Certificate(e.to_string())),
        };
        let authority = authority.map(certificates).transpose()?;
        Ok(Self { address, networks: networks.clone(), headers, authority, connect, pinned: Mutex::new(None) })
    }

    /// For screens.
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// A POST of JSON to a route below the base URL.
    ///
    /// # Errors
    /// [`ClientError`]: nothing has left.
    pub async fn post(&self, route: &str, body: Vec<u8>) -> Result<reqwest::RequestBuilder, ClientError> {
        let request = self.client().await?.post(self.address.route(route)).headers(self.headers.clone());
        Ok(request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body))
    }

    /// A GET of a route below the base URL.
    ///
    /// # Errors
    /// [`ClientError`]: nothing has left.
    pub async fn get(&self, route: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client().await?.get(self.address.route(route)).headers(self.headers.clone()))
    }

    /// A GET of a route of the server itself.
    ///
    /// # Errors
    /// [`ClientError`]: nothing has left.
    pub async fn get_root(&self, path: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client().await?.get(self.address.root_route(path)).headers(self.headers.clone()))
    }

    /// The client pinned to addresses checked within [`PIN_FOR`]; one more client only where the addresses changed.
    async fn client(&self) -> Result<Client, ClientError> {
        let held = self.pinned.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(fresh) = held.as_ref().filter(|p| p.at.elapsed() < PIN_FOR) {
            return Ok(fresh.client.clone());
        }
        let addresses = self.address.resolve(&self.networks).await?;
        let client = match held.filter(|p| p.addresses == addresses) {
            Some(same) => same.client,
            None => self.build(&addresses).map_err(|e| ClientError::Client(e.to_string()))?,
        };
        let pinned = Pinned { addresses, client: client.clone(), at: Instant::now() };
        *self.pinned.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(pinned);
        Ok(client)
    }

    #[allow(clippy::disallowed_types)] // As above.
    fn build(&self, addresses: &[SocketAddr]) -> reqwest::Result<Client> {
        // Fails only when a provider is installed already, which serves as well.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .resolve_to_addrs(self.address.host(), addresses)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            // A dropped reply closes its connection, which is how a server learns that nobody reads.
            .http1_only()
            .connect_timeout(self.connect);
        let builder = match (&self.authority, self.address.is_plain()) {
            // Plain http has no use for the machine's certificates, and a bare machine may have none.
            (_, true) => builder.tls_certs_only([]),
            (Some(authority), false) => builder.https_only(true).tls_certs_only(authority.clone()),
            (None, false) => builder.https_only(true),
        };
        builder.build()
    }
}

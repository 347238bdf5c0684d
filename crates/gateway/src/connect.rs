//! One connection to an address that was checked: straight, or through the installation's egress proxy. No byte of a
//! request goes over it here, so that whatever fails here has let nothing out.

use crate::destination::Destination;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Url;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;
/// Longest answer of a proxy to CONNECT.
const MOST_HEAD: usize = 8 << 10;

/// A connection that is ready for a request.
pub(crate) trait Io: Read + Write + Unpin + Send {}
impl<T: Read + Write + Unpin + Send> Io for T {}

/// Drives a connection, and closes it when dropped.
pub(crate) struct Closing(JoinHandle<()>);

impl Closing {
    /// From now on.
    pub(crate) fn driving<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            let _ended = connection.await.is_ok();
        }))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The installation's way out, `http://host:port`. It is asked to reach the very address that was checked, not the
/// name: it could resolve the name to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
}

/// A proxy's address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("프록시 주소 ‘{0}’을(를) 쓸 수 없습니다. http://10.1.2.3:3128처럼 사용자 이름과 경로 없이 적어 주세요.")]
pub struct ProxyError(String);

impl std::str::FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let fault = || ProxyError(text.chars().filter(|c| !c.is_control()).take(100).collect());
        let url = Url::parse(text.trim()).map_err(|_| fault())?;
        let bare = url.scheme() == "http"
            && !text.contains('@')
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| bare).ok_or_else(fault)?;
        // Brackets belong to the URL, not to the address.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(80) })
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Connects to the first of the addresses that answers, within `within` for all of them.
pub(crate) async fn open(
    destination: &Destination,
    addresses: &[SocketAddr],
    proxy: Option<&Proxy>,
    tls: Option<&Arc<ClientConfig>>,
    within: Duration,
) -> Result<Box<dyn Io>, String> {
    let addresses = addresses.get(..MOST_ADDRESSES.min(addresses.len())).unwrap_or_default();
    let share = within / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut last = "주소가 없습니다".to_owned();
    for address in addresses {
        match tokio::time::timeout(share, one(destination, *address, proxy, tls)).await {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(error)) => last = error,
            Err(_) => last = "시간 안에 연결되지 않았습니다".to_owned(),
        }
    }
    Err(last)
}

async fn one(
    destination: &Destination,
    address: SocketAddr,
    proxy: Option<&Proxy>,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Io>, String> {
    let socket = match proxy {
        // A plain destination is this very machine: no proxy leads there.
        Some(proxy) if !destination.is_plain() => tunnel(proxy, address).await?,
        _ => TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?,
    };
    let _quicker = socket.set_nodelay(true);
    if destination.is_plain() {
        return Ok(Box::new(TokioIo::new(socket)));
    }
    let config = tls.ok_or("TLS가 준비되지 않았습니다")?;
    let name = ServerName::try_from(destination.host().to_owned()).map_err(|e| e.to_string())?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await.map_err(|e| e.to_string())?;
    Ok(Box::new(TokioIo::new(stream)))
}

/// Has the proxy connect to `address`.
async fn tunnel(proxy: &Proxy, address: SocketAddr) -> Result<TcpStream, String> {
    let named = |e: std::io::Error| format!("프록시 {proxy}: {e}");
    let mut socket = TcpStream::connect((proxy.host.as_str(), proxy.port)).await.map_err(named)?;
    let request = format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.map_err(named)?;
    let mut head = Vec::new();
    // One byte at a time: what follows the head belongs to TLS.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MOST_HEAD {
            return Err(format!("프록시 {proxy}의 답을 읽을 수 없습니다"));
        }
        head.push(socket.read_u8().await.map_err(named)?);
    }
    match status(&head) {
        Some(200..=299) => Ok(socket),
        Some(status) => Err(format!("프록시 {proxy}이(가) 상태 {status}(으)로 거절했습니다")),
        None => Err(format!("프록시 {proxy}의 답을 읽을 수 없습니다")),
    }
}

/// `HTTP/1.1 200 …`
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let version = words.next()?;
    let status = words.next().filter(|s| s.len() == 3)?;
    if version.starts_with("HTTP/1.") { status.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        let shown = |text: &str| text.parse::<Proxy>().map(|p| p.to_string()).ok();
        assert_eq!(shown("http://10.1.2.3:3128").as_deref(), Some("10.1.2.3:3128"));
        assert_eq!(shown(" http://proxy.city.local/ ").as_deref(), Some("proxy.city.local:80"));
        assert_eq!("http://[::1]:8080".parse::<Proxy>().map(|p| (p.host, p.port)), Ok(("::1".to_owned(), 8080)));
        for bad in [
            "",
            "10.1.2.3:3128",
            "https://p:1",
            "socks5://p:1",
            "http://u:p@p:1",
            "http://@p:1",
            "http://p/x",
            "http://p?x",
            "http://p#x",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_clear_yes_of_a_proxy_counts() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 403\r\n\r\n"), Some(403));
        for bad in [&b""[..], b"200 OK\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 2000\r\n", b"HTTP/1.1  200\r\n", b"\xff"] {
            assert_eq!(status(bad), None);
        }
    }
}

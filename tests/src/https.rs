//! A file host over TLS on loopback that does what a test tells it, counts its connections and keeps what it was asked.

use crate::certificate::Authority;
use anyhow::{Context, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

type Connection = StreamOwned<ServerConnection, TcpStream>;
/// Answers one request.
type Answer = Box<dyn Fn(&Asked, &mut Connection) -> anyhow::Result<()> + Send + Sync>;
/// Called when a connection is accepted, before the first byte of TLS.
type Accepted = Box<dyn Fn() + Send + Sync>;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The first line and the headers.
    pub head: String,
    /// Path and query.
    pub target: String,
}

impl Asked {
    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The host; it serves until the test ends.
pub struct FileHost {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    served: Mutex<Receiver<()>>,
}

impl FileHost {
    /// Serves with `answer`, under a certificate of `authority`.
    ///
    /// # Errors
    /// No port, or no certificate.
    pub fn start(
        authority: &Authority,
        answer: impl Fn(&Asked, &mut Connection) -> anyhow::Result<()> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::start_watched(authority, || {}, answer)
    }

    /// As [`FileHost::start`]; `accepted` is called at each connection before the first byte of TLS is answered.
    ///
    /// # Errors
    /// No port, or no certificate.
    pub fn start_watched(
        authority: &Authority,
        accepted: impl Fn() + Send + Sync + 'static,
        answer: impl Fn(&Asked, &mut Connection) -> anyhow::Result<()> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let leaf = authority.leaf()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(leaf.certificate)], key)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (connections, asked): (Arc<AtomicUsize>, Arc<Mutex<Vec<Asked>>>) = Default::default();
        let (tell, served) = channel();
        let desk = Desk {
            config: Arc::new(config),
            connections: Arc::clone(&connections),
            asked: Arc::clone(&asked),
            answer: Box::new(answer),
            accepted: Box::new(accepted),
        };
        std::thread::spawn(move || desk.serve(&listener, &tell));
        Ok(Self { port, connections, asked, served: Mutex::new(served) })
    }

    /// As the list of allowed hosts names it.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.name())
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().map(|a| a.clone()).unwrap_or_default()
    }

    /// Waits until one more answer was given to its end.
    ///
    /// # Errors
    /// It never is.
    pub fn wait_served(&self) -> anyhow::Result<()> {
        let served = self.served.lock().ok().context("served")?;
        Ok(served.recv_timeout(std::time::Duration::from_secs(60))?)
    }
}

struct Desk {
    config: Arc<ServerConfig>,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Answer,
    accepted: Accepted,
}

impl Desk {
    fn serve(&self, listener: &TcpListener, tell: &Sender<()>) {
        while let Ok((socket, _)) = listener.accept() {
            self.connections.fetch_add(1, Ordering::SeqCst);
            (self.accepted)();
            // Whoever goes away in the middle is a part of many tests.
            let _ = self.one(socket);
            let _ = tell.send(());
        }
    }

    fn one(&self, socket: TcpStream) -> anyhow::Result<()> {
        let mut connection = StreamOwned::new(ServerConnection::new(Arc::clone(&self.config))?, socket);
        let asked = request(&mut connection)?;
        self.asked.lock().ok().context("asked")?.push(asked.clone());
        (self.answer)(&asked, &mut connection)?;
        connection.conn.send_close_notify();
        Ok(connection.flush()?)
    }
}

fn request(connection: &mut Connection) -> anyhow::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        ensure!(connection.read(&mut byte)? == 1 && head.len() < 1 << 16, "the request ended early");
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let target = head.split(' ').nth(1).context("target")?.to_owned();
    Ok(Asked { head, target })
}

/// Writes the head of a reply.
///
/// # Errors
/// The asker went away.
pub fn reply(out: &mut impl Write, status: &str, headers: &[(&str, &str)]) -> anyhow::Result<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Ok(out.write_all(format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n").as_bytes())?)
}

/// Answers as a file server does, ranges included, with the tag `"v1"`.
///
/// # Errors
/// The asker went away.
pub fn serve_file(asked: &Asked, out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    let tag = "\"v1\"";
    let range = asked.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = range.filter(|_| asked.header("if-range") == Some(tag)).unwrap_or(0);
    let rest = bytes.get(from..).context("range")?;
    let length = rest.len().to_string();
    let span = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    if from > 0 {
        reply(out, "206 Partial Content", &[("content-length", &length), ("content-range", &span), ("etag", tag)])?;
    } else {
        reply(out, "200 OK", &[("content-length", &length), ("etag", tag), ("accept-ranges", "bytes")])?;
    }
    Ok(out.write_all(rest)?)
}

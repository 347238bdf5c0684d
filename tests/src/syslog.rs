//! A syslog receiver over TLS on loopback (RFC 5425): reads each connection to its end and keeps the messages.

use crate::certificate::Authority;
use anyhow::{Context, ensure};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The receiver; it listens until the test ends.
pub struct SyslogReceiver {
    port: u16,
    messages: Receiver<String>,
    refuse: Arc<AtomicUsize>,
}

impl SyslogReceiver {
    /// Listens under a certificate of `authority`.
    ///
    /// # Errors
    /// No port, or no certificate.
    pub fn start(authority: &Authority) -> anyhow::Result<Self> {
        let leaf = authority.leaf()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(leaf.certificate)], key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (tell, messages) = channel();
        let refuse = Arc::new(AtomicUsize::new(0));
        let refusing = Arc::clone(&refuse);
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let refused = refusing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                // Whoever is cut off sends again: that is what the tests are about.
                let _ = one(&config, socket, refused, &tell);
            }
        });
        Ok(Self { port, messages, refuse })
    }

    /// As `--siem` names it.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts off the next so many connections after all was read from them.
    pub fn cut(&self, connections: usize) {
        self.refuse.store(connections, Ordering::SeqCst);
    }

    /// The next message.
    ///
    /// # Errors
    /// None comes.
    pub fn next(&self) -> anyhow::Result<String> {
        self.messages.recv_timeout(Duration::from_secs(60)).context("no message came")
    }
}

fn one(config: &Arc<ServerConfig>, socket: TcpStream, cut: bool, tell: &Sender<String>) -> anyhow::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, socket);
    if cut {
        let mut some = [0; 64];
        let _ = stream.read(&mut some)?;
        return Ok(());
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    for message in frames(&bytes)? {
        tell.send(message)?;
    }
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// Takes messages out of their frames.
fn frames(mut bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|b| *b == b' ').context("a frame without a length")?;
        let length: usize = std::str::from_utf8(bytes.get(..blank).context("length")?)?.parse()?;
        let message = bytes.get(blank + 1..blank + 1 + length).context("a frame that ends early")?;
        ensure!(message.starts_with(b"<"), "not a message");
        out.push(String::from_utf8(message.to_vec())?);
        bytes = bytes.get(blank + 1 + length..).context("rest")?;
    }
    Ok(out)
}

//! The line to a provider over real TLS on loopback: which certificates and keys are trusted, which certificate is
//! shown, what a proxy is asked for; and a real OpenAI-compatible server as a provider, where one is named.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_gateway::tls::{self, Settings};
use madang_gateway::{Destination, Form, Limits, Line, Policy, Proxy, Reply, SendError, WireForm};
use madang_tests::{Authority, proxy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

type Test = anyhow::Result<()>;

const ANSWER: &str = r#"{"id":"r-1","choices":[{"message":{"content":"답"}}]}"#;
const SECRETS: [&str; 2] = ["secret-key", "secret-body"];

/// A certificate with its key.
struct Pair {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Pair {
    fn new(authority: &Authority) -> anyhow::Result<Self> {
        let leaf = authority.leaf()?;
        Ok(Self { certificate: CertificateDer::from(leaf.certificate), key: leaf.key })
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    fn pin(&self) -> anyhow::Result<String> {
        let key = ParsedCertificate::try_from(&self.certificate)?.subject_public_key_info();
        Ok(STANDARD.encode(Sha256::digest(key.as_ref())))
    }

    fn pem(&self) -> String {
        let block = |name: &str, bytes: &[u8]| {
            format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", STANDARD.encode(bytes))
        };
        block("CERTIFICATE", &self.certificate) + &block("PRIVATE KEY", &self.key)
    }
}

/// A provider over TLS that answers every request and tells what it read, in the clear.
struct Host {
    port: u16,
    pair: Pair,
    read: Receiver<String>,
}

impl Host {
    /// `clients`: whose certificates it asks for.
    fn start(authority: &Authority, clients: Option<&Authority>) -> anyhow::Result<Self> {
        let pair = Pair::new(authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                let pem = clients.pem();
                let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
                roots.add(CertificateDer::from(STANDARD.decode(body)?))?;
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
                )
            }
        };
        let config = Arc::new(builder.with_single_cert(vec![pair.certificate.clone()], pair.private())?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (tell, read) = channel();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                // Whoever turns away in the middle is what many of these tests are about.
                let seen = answer(&config, socket).unwrap_or_default();
                let _ = tell.send(seen);
            }
        });
        Ok(Self { port, pair, read })
    }

    fn line(&self, settings: &Settings<'_>) -> anyhow::Result<Line> {
        let url = format!("https://127.0.0.1:{}/v1", self.port);
        let destination = Destination::parse(&url, Policy { allow_loopback: true, ..Policy::default() })?;
        let form = Form { wire: WireForm::OpenAi, max_output_tokens: 8, stream: false };
        let limits = Limits { attempts: 1, ..Limits::default() };
        let line = Line::new(destination, form, "m", "", SECRETS[0].to_owned()).with_limits(limits);
        Ok(line.with_tls(tls::config(settings)?))
    }

    /// What came over the next connection.
    fn saw(&self) -> anyhow::Result<String> {
        Ok(self.read.recv_timeout(Duration::from_secs(60))?)
    }

    /// The line was refused before a byte of the request left.
    async fn refuses(&self, line: &Line, why: &str) -> Test {
        let sent = send(line).await;
        ensure!(matches!(sent, Err(SendError::NothingLeft(_))), "{why}: {sent:?}");
        let seen = self.saw()?;
        ensure!(SECRETS.iter().all(|secret| !seen.contains(secret)), "{why}: {seen}");
        Ok(())
    }

    async fn takes(&self, line: &Line, why: &str) -> Test {
        let reply = send(line).await.with_context(|| why.to_owned())?;
        ensure!(reply.text().as_deref() == Some("답"), "{why}: {reply:?}");
        let seen = self.saw()?;
        ensure!(SECRETS.iter().all(|secret| seen.contains(secret)), "{why}: {seen}");
        Ok(())
    }
}

fn answer(config: &Arc<ServerConfig>, socket: TcpStream) -> anyhow::Result<String> {
    let mut connection = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, socket);
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !seen.ends_with(SECRETS[1].as_bytes()) {
        let n = connection.read(&mut chunk)?;
        ensure!(n > 0, "the request ended early");
        seen.extend_from_slice(chunk.get(..n).context("chunk")?);
    }
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
    connection.write_all(reply.as_bytes())?;
    connection.conn.send_close_notify();
    connection.flush()?;
    Ok(String::from_utf8(seen)?)
}

async fn send(line: &Line) -> Result<Reply, SendError> {
    line.send("call-1", SECRETS[1].as_bytes(), std::future::pending()).await
}

#[tokio::test]
async fn a_pin_is_asked_beside_the_usual_verification() -> Test {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let host = Host::start(&authority, None)?;
    let (ca, strange_ca) = (authority.pem(), stranger.pem());
    let (pin, other) = (host.pair.pin()?, Pair::new(&authority)?.pin()?);
    fn settings<'a>(pins: &'a [String], authority: &'a str) -> Settings<'a> {
        Settings { pins, authority, identity: "" }
    }
    host.takes(&host.line(&settings(&[], &ca))?, "verified").await?;
    host.takes(&host.line(&settings(std::slice::from_ref(&pin), &ca))?, "verified and pinned").await?;
    host.takes(&host.line(&settings(&[other.clone(), pin.clone()], &ca))?, "one of two pins").await?;
    host.refuses(&host.line(&settings(&[other], &ca))?, "another key of the same authority").await?;
    host.refuses(&host.line(&settings(&[pin], &strange_ca))?, "the pin alone is not enough").await?;
    host.refuses(&host.line(&settings(&[], &strange_ca))?, "not verified").await
}

#[tokio::test]
async fn a_certificate_is_shown_where_one_is_asked_for() -> Test {
    let (authority, clients, stranger) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let host = Host::start(&authority, Some(&clients))?;
    let ca = authority.pem();
    let (own, strange) = (Pair::new(&clients)?.pem(), Pair::new(&stranger)?.pem());
    let settings = |identity| Settings { pins: &[], authority: &ca, identity };
    host.takes(&host.line(&settings(&own))?, "its own client").await?;
    // TLS 1.3 tells the client of a refusal only after its first bytes, which the server never read.
    for (identity, why) in [("", "no certificate"), (strange.as_str(), "somebody else's")] {
        let sent = send(&host.line(&settings(identity))?).await;
        ensure!(sent.is_err(), "{why}: {sent:?}");
        ensure!(host.saw()?.is_empty(), "{why}: nothing was read");
    }
    let mismatched = format!("{}{}", own.split_inclusive("END CERTIFICATE-----\n").next().context("pem")?, {
        strange.split_once("-----BEGIN PRIVATE").map(|(_, key)| format!("-----BEGIN PRIVATE{key}")).context("key")?
    });
    ensure!(tls::config(&settings(&mismatched)).is_err(), "a key of another certificate");
    Ok(())
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_address_that_was_checked() -> Test {
    let authority = Authority::new()?;
    let host = Host::start(&authority, None)?;
    let ca = authority.pem();
    let settings = Settings { pins: &[host.pair.pin()?], authority: &ca, identity: "" };
    let (through, asked) = proxy(false)?;
    let through: Proxy = through.parse()?;
    // By name: the name is resolved here, and verified in the certificate, and never told to the proxy.
    let url = format!("https://localhost:{}/v1", host.port);
    let named = Destination::parse(&url, Policy { allow_loopback: true, ..Policy::default() })?;
    let form = Form { wire: WireForm::OpenAi, max_output_tokens: 8, stream: false };
    let line = Line::new(named, form, "m", "", SECRETS[0].to_owned())
        .with_tls(tls::config(&settings)?)
        .with_proxy(Some(through.clone()));
    host.takes(&line, "through the proxy").await?;
    let head = asked.recv()?;
    let last = std::iter::once(head.clone()).chain(asked.try_iter()).last().context("asked")?;
    for head in [head, last] {
        let first = head.lines().next().context("line")?;
        ensure!(
            [format!("CONNECT 127.0.0.1:{} HTTP/1.1", host.port), format!("CONNECT [::1]:{} HTTP/1.1", host.port)]
                .iter()
                .any(|expected| expected == first),
            "{head}"
        );
        ensure!(!head.contains("secret") && !head.contains("localhost"), "{head}");
    }
    let (refusing, _asked) = proxy(true)?;
    let line = host.line(&settings)?.with_proxy(Some(refusing.parse()?));
    let sent = send(&line).await;
    ensure!(matches!(&sent, Err(SendError::NothingLeft(why)) if why.contains("403")), "{sent:?}");
    // An address that may not be reached is not asked of the proxy either.
    let inside = Destination::parse("https://localhost/v1", Policy::default())?;
    let (through, asked) = proxy(false)?;
    let line = Line::new(inside, form, "m", "", "k".to_owned()).with_proxy(Some(through.parse()?));
    ensure!(matches!(send(&line).await, Err(SendError::NothingLeft(_))));
    ensure!(asked.try_recv().is_err(), "the proxy was asked");
    Ok(())
}

/// `MADANG_TEST_OPENAI_URL`: base of an OpenAI-compatible server on this machine, such as `http://127.0.0.1:8000/v1`.
#[tokio::test]
async fn a_real_server_answers_whole_and_streamed() -> Test {
    let Ok(url) = std::env::var("MADANG_TEST_OPENAI_URL") else {
        eprintln!("skipped: MADANG_TEST_OPENAI_URL names no server");
        return Ok(());
    };
    let prompt = [(madang_gateway::PartRole::User, "Once upon a time".to_owned())];
    for stream in [false, true] {
        let destination = Destination::parse(&url, Policy { allow_loopback: true, ..Policy::default() })?;
        let form = Form { wire: WireForm::OpenAi, max_output_tokens: 12, stream };
        let line = Line::new(destination, form, "m", "", "none".to_owned());
        let reply = line.send("call-1", &form.body("m", &prompt), std::future::pending()).await?;
        let text = reply.text().context("no text")?;
        eprintln!("stream {stream}: {:?} in {} ms, {text:?}", reply.usage, reply.latency_ms);
        ensure!(!text.is_empty() && reply.attempts == 1 && reply.provider_request_id.is_some(), "{reply:?}");
        ensure!(stream || reply.usage.is_some_and(|u| u.completion_tokens <= 12), "{:?}", reply.usage);
    }
    Ok(())
}

//! Syslog to the body's own monitoring (SIEM): messages of RFC 5424, framed as RFC 5425 frames them, over TLS to the one
//! address that the command line names. What a message says is decided in `server`.
//!
//! It stands here, with the other connections that leave the server (law 4): nobody else may open one. A batch is one
//! connection: it is written, closed with `close_notify`, and counts as delivered only when the other side has closed
//! too, since syslog itself has no answer. A batch that was cut off is sent again as a whole, so a message may come twice
//! and never not at all; its structured data names the record, by which a SIEM tells doubles.

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a connection, a write or the other side's close.
const WAIT: Duration = Duration::from_secs(10);
/// Facility of audit logs (RFC 5424, 6.2.1).
const LOG_AUDIT: u8 = 13;
/// Longest value of structured data, characters: a message stays well under what receivers must take (2048 octets,
/// RFC 5425, 4.3.1) in ordinary use.
const MAX_VALUE: usize = 200;

/// Where messages go, as `host:port`; port 6514 where none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    host: String,
    port: u16,
}

impl FromStr for Receiver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("'{text}'은(는) 받는 곳이 아닙니다. siem.city.local:6514처럼 적어 주세요.");
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(fault)?)),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(6514), str::parse).map_err(|_| fault())?;
        if port == 0 || ServerName::try_from(host).is_err() {
            return Err(fault());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How grave a message is (RFC 5424, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Warning = 4,
    Notice = 5,
    Informational = 6,
}

/// A message before it is written out.
#[derive(Debug, Clone)]
pub struct Message {
    pub severity: Severity,
    /// As the record has it, RFC 3339; anything else becomes "unknown".
    pub time: String,
    pub host: String,
    /// What happened, such as `outside_call_intent`.
    pub id: String,
    /// Structured data: names and values.
    pub data: Vec<(&'static str, String)>,
    pub text: String,
}

impl Message {
    /// The message as RFC 5424 has it, UTF-8.
    pub fn line(&self) -> String {
        let priority = LOG_AUDIT * 8 + self.severity as u8;
        let time = self.time.parse::<Timestamp>().map_or_else(|_| "-".to_owned(), |t| format!("{t:.3}"));
        let mut out =
            format!("<{priority}>1 {time} {} madang - {} [madang@32473", field(&self.host, 255), field(&self.id, 32));
        for (name, value) in &self.data {
            let value: String = value.chars().take(MAX_VALUE).collect();
            let _ = write!(out, " {name}=\"{}\"", escaped(&value));
        }
        out.push(']');
        if !self.text.is_empty() {
            // A mark that says that the text is UTF-8 (RFC 5424, 6.4).
            let text: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = write!(out, " \u{feff}{text}");
        }
        out
    }
}

/// Printable ASCII without blanks, as header fields ask for; "-" for none.
fn field(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Length, a blank, the message: RFC 5425, 4.3.
pub fn frame(line: &str) -> Vec<u8> {
    [format!("{} ", line.len()).as_bytes(), line.as_bytes()].concat()
}

/// Why nothing was delivered. Korean, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SyslogError {
    #[error("SIEM의 인증기관 파일 {path}을(를) 읽을 수 없습니다: {cause}")]
    Authority { path: String, cause: String },
    #[error("SIEM {to}에 보내지 못했습니다: {cause}")]
    Send { to: Receiver, cause: io::Error },
}

/// Sends batches to one receiver that an authority of the body vouches for.
#[derive(Clone)]
pub struct Sender {
    to: Receiver,
    config: Arc<ClientConfig>,
}

impl Sender {
    /// Trusts the certificates of the PEM file `authority`, and nothing else.
    ///
    /// # Errors
    /// [`SyslogError::Authority`] for a file without a certificate.
    pub fn new(to: Receiver, authority: &Path) -> Result<Self, SyslogError> {
        let fault = |cause: String| SyslogError::Authority { path: authority.display().to_string(), cause };
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(authority).map_err(|e| fault(e.to_string()))?;
        for certificate in certificates {
            roots.add(certificate.map_err(|e| fault(e.to_string()))?).map_err(|e| fault(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fault("인증서가 없습니다".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| fault(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { to, config: Arc::new(config) })
    }

    pub fn receiver(&self) -> &Receiver {
        &self.to
    }

    /// Writes the messages over one connection and waits until the other side has closed it: blocking.
    ///
    /// # Errors
    /// [`SyslogError::Send`]; part of the batch may have arrived.
    pub fn deliver(&self, lines: &[String]) -> Result<(), SyslogError> {
        self.try_deliver(lines).map_err(|cause| SyslogError::Send { to: self.to.clone(), cause })
    }

    fn try_deliver(&self, lines: &[String]) -> io::Result<()> {
        let mut fault = io::Error::new(ErrorKind::NotFound, "주소를 찾지 못했습니다");
        let mut socket = None;
        for address in (self.to.host.as_str(), self.to.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, WAIT) {
                Ok(connected) => {
                    socket = Some(connected);
                    break;
                }
                Err(e) => fault = e,
            }
        }
        let socket = socket.ok_or(fault)?;
        socket.set_read_timeout(Some(WAIT))?;
        socket.set_write_timeout(Some(WAIT))?;
        let name = ServerName::try_from(self.to.host.clone()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        for line in lines {
            stream.write_all(&frame(line))?;
        }
        stream.flush()?;
        stream.conn.send_close_notify();
        stream.flush()?;
        closed(&mut stream)
    }
}

/// Reads until the other side has closed: all that was written before is then read there.
fn closed(stream: &mut impl Read) -> io::Result<()> {
    let mut rest = [0; 256];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Anybody on the path could have ended it so: that all was read, the notice alone tells.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                let words = "SIEM이 다 받았다는 종료 알림(TLS close_notify) 없이 연결을 끊었습니다";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, words));
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// What the command line says of a receiver.
#[derive(Debug, Clone)]
pub struct Target {
    pub to: Receiver,
    /// PEM file of the authority that vouches for it.
    pub authority: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> Message {
        Message {
            severity: Severity::Warning,
            time: "2026-11-22T06:20:00.000Z".into(),
            host: "madang.city.local".into(),
            id: "outside_call_intent".into(),
            data: vec![("seq", "7".into()), ("login", "a\"]\\b\n".into())],
            text: "외부호출 보냄".into(),
        }
    }

    #[test]
    fn a_message_is_of_the_standard() {
        let line = message().line();
        let expected = "<108>1 2026-11-22T06:20:00.000Z madang.city.local madang - outside_call_intent \
                        [madang@32473 seq=\"7\" login=\"a\\\"\\]\\\\b \"] \u{feff}외부호출 보냄";
        assert_eq!(line, expected);
        assert_eq!(frame("가1"), "4 가1".as_bytes());
    }

    /// Ends as TLS does where no notice came.
    struct Cut;

    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    #[test]
    fn without_a_notice_nothing_counts_as_delivered() {
        assert!(closed(&mut io::empty()).is_ok());
        assert!(closed(&mut Cut).is_err_and(|e| e.to_string().contains("close_notify")));
    }

    #[test]
    fn receivers_are_hosts_with_a_port() {
        for (text, shown) in [
            ("siem.city.local", "siem.city.local:6514"),
            ("10.0.0.5:514", "10.0.0.5:514"),
            ("[fd00::5]:6514", "[fd00::5]:6514"),
        ] {
            assert_eq!(text.parse::<Receiver>().unwrap().to_string(), shown);
        }
        for bad in ["", ":6514", "a b", "host:0", "host:70000", "host:x", "https://host", "[fd00::5"] {
            assert!(bad.parse::<Receiver>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// Nothing in a value ends the structured data or the line.
        #[test]
        fn values_stay_inside(id: String, value: String, text: String) {
            let line = Message { id, data: vec![("v", value)], text, ..message() }.line();
            prop_assert!(!line.chars().any(|c| c.is_control()));
            let data = line.split_once("[madang@32473 v=\"").unwrap().1;
            let mut escape = false;
            let end = data.char_indices().find(|(_, c)| {
                let ends = *c == '"' && !escape;
                escape = *c == '\\' && !escape;
                ends
            });
            let rest = data.get(end.unwrap().0..).unwrap();
            prop_assert!(rest == "\"]" || rest.starts_with("\"] \u{feff}"), "{}", rest);
        }
    }
}

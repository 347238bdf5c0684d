//! Settings of one installation: where its home is, which address it serves, how it is reached. No secret has a
//! default and none is a setting: keys live in files of the home folder that only its owner may read.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything the server is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Home folder: database, originals, index, keys.
    pub home: PathBuf,
    pub addr: SocketAddr,
    /// `postgres://…`; `None`: a SQLite file in the home folder.
    pub database_url: Option<String>,
    /// Address that people type, such as `https://madang.city.local`. With `https` cookies are `Secure`.
    pub public_url: Option<String>,
    /// Name of the public body on every page.
    pub body_name: String,
    /// Allows an outside provider on a loopback address: for tests and trials on one machine.
    pub allow_loopback_providers: bool,
    /// The body's way out, `http://host:port`; `None`: straight.
    pub egress_proxy: Option<madang_gateway::Proxy>,
    /// Program that parses untrusted files in a child process, with its arguments; `None`: this binary.
    pub parser: Option<PathBuf>,
    /// Largest upload, bytes.
    pub max_upload: usize,
    /// Opens 배포용 HWP, which their authors sealed against copying; whoever sets it answers for the right to do so.
    pub open_sealed: bool,
    /// Departments' shares on the disk, below which their collections may follow folders.
    pub shares: Vec<crate::watch::Share>,
    /// Where the metadata of each record goes, over TLS; named by the command line alone.
    pub siem: Option<Siem>,
}

/// The body's monitoring.
#[derive(Debug, Clone)]
pub struct Siem {
    pub target: madang_gateway::syslog::Target,
    pub form: crate::desk::metadata::Form,
}

impl Settings {
    /// Defaults for a home folder: loopback address, SQLite, plain HTTP.
    pub fn for_home(home: PathBuf) -> Self {
        Self {
            home,
            addr: SocketAddr::from(([127, 0, 0, 1], 7878)),
            database_url: None,
            public_url: None,
            body_name: "마당".to_owned(),
            allow_loopback_providers: false,
            egress_proxy: None,
            parser: None,
            max_upload: 100 * 1024 * 1024,
            open_sealed: false,
            shares: Vec::new(),
            siem: None,
        }
    }

    /// Do browsers reach the server over TLS? Decides cookie name and `Secure`.
    pub fn is_https(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Name of this server in messages to others: the host of the address that people type.
    pub fn host_name(&self) -> String {
        let host = self.public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
        host.map_or("-", |rest| rest.split(['/', ':']).next().unwrap_or("-")).to_owned()
    }

    /// Database address: the setting, else the SQLite file of the home folder.
    pub fn sqlite_path(&self) -> PathBuf {
        self.home.join("madang.db")
    }
}

//! Where the index lives: `index.toml` in the home folder, written by `madang index` and read at every start. Without
//! the file it is embedded, in `index/`. The key of a server is in a file of its own or in the environment, never here.

use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use madang_inference::remote::InternalNetworks;
use madang_search::{Place, QdrantServer, private_networks};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "index.toml";
const FOLDER: &str = "index";
/// The key of a Qdrant server, before that of the file.
const KEY: &str = "MADANG_QDRANT_API_KEY";

/// What `index.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexHome {
    /// Folder below the home folder: the embedded index, or what an index on a server knows of itself.
    pub folder: String,
    /// `None`: embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSettings>,
}

/// A Qdrant server or cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address of the gRPC port: https://qdrant.city.local:6334.
    #[arg(long, default_value = "")]
    pub url: String,
    /// File with the API key; MADANG_QDRANT_API_KEY goes before it.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate; without it the machine's own authorities count.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_file: Option<PathBuf>,
    /// Begins the names of the collections on the server.
    #[arg(long, default_value = "madang")]
    pub prefix: String,
    /// Shards of each collection; without it as the server does by itself.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
    /// Copies of each shard.
    #[arg(long, default_value_t = 1)]
    pub replicas: u32,
    /// Copies that must have taken a write before it counts; without it all.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_consistency: Option<u32>,
    /// Longest wait for an answer to a search, seconds.
    #[arg(long, default_value_t = 10)]
    pub timeout_seconds: u64,
}

impl Default for IndexHome {
    fn default() -> Self {
        Self { folder: FOLDER.to_owned(), server: None }
    }
}

impl IndexHome {
    /// What the home folder says.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(home: &Path) -> anyhow::Result<Self> {
        let path = home.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e).with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display())),
        };
        let read: Self = toml::from_str(&text)
            .with_context(|| format!("{} 파일을 고쳐 주세요. 색인을 둔 곳을 읽을 수 없습니다", path.display()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let inside = read.folder.starts_with(FOLDER) && read.folder.chars().all(plain);
        ensure!(inside, "{}의 folder는 index로 시작하는 이름이어야 합니다.", path.display());
        Ok(read)
    }

    /// Writes it whole or not at all: from the next start on the index is there.
    ///
    /// # Errors
    /// The home folder cannot be written.
    pub fn write(&self, home: &Path) -> anyhow::Result<()> {
        let (path, temporary) = (home.join(FILE), home.join("index.toml.tmp"));
        let text = toml::to_string(self)?;
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            std::fs::File::open(home)?.sync_all()
        };
        write().with_context(|| format!("{} 파일을 쓸 수 없습니다", path.display()))
    }

    pub fn dir(&self, home: &Path) -> PathBuf {
        home.join(&self.folder)
    }

    /// As the operator knows it.
    pub fn named(&self) -> String {
        match &self.server {
            None => format!("내장({})", self.folder),
            Some(server) => format!("Qdrant 서버 {}({})", server.url, self.folder),
        }
    }

    /// Folders of indexes that were cut off while being made or removed.
    ///
    /// # Errors
    /// The home folder cannot be read.
    pub fn unused(&self, home: &Path) -> anyhow::Result<Vec<String>> {
        let mut unused = Vec::new();
        for entry in std::fs::read_dir(home)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let of_an_index = name == FOLDER || name.starts_with("index-");
            if of_an_index && name != self.folder && entry.file_type()?.is_dir() {
                unused.push(name);
            }
        }
        unused.sort();
        Ok(unused)
    }

    /// A folder that this index does not use: where another is made beside it.
    pub fn next_folder(&self) -> String {
        let number: u64 = self.folder.rsplit_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(1);
        format!("{FOLDER}-{}", number + 1)
    }

    /// The place for the index, with the key. A server must stand inside: on this machine, at a private address, or in
    /// `networks`, which are the body's own.
    ///
    /// # Errors
    /// A server outside or unknown, a key that cannot be read.
    pub fn place(&self, networks: &InternalNetworks) -> anyhow::Result<Place> {
        let Some(server) = &self.server else { return Ok(Place::Embedded) };
        ensure!(server.replicas >= 1 && server.shards != Some(0), "shards와 replicas는 1 이상이어야 합니다.");
        ensure!(server.timeout_seconds >= 1, "timeout_seconds는 1 이상이어야 합니다.");
        let networks = [private_networks().as_slice(), networks.all()].concat();
        check_inside(&server.url, &networks)?;
        Ok(Place::Server(Box::new(QdrantServer {
            url: server.url.clone(),
            key: server.key()?,
            authority: server.authority_file.clone(),
            prefix: server.prefix.clone(),
            shards: server.shards,
            replicas: server.replicas,
            write_consistency: server.write_consistency,
            timeout: Duration::from_secs(server.timeout_seconds),
            networks,
        })))
    }
}

impl ServerSettings {
    /// With files named from the root: the server that reads them runs elsewhere.
    ///
    /// # Errors
    /// The current folder cannot be told.
    pub fn absolute(mut self) -> std::io::Result<Self> {
        for path in [&mut self.key_file, &mut self.authority_file].into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        Ok(self)
    }

    fn key(&self) -> anyhow::Result<Option<String>> {
        if let Ok(key) = std::env::var(KEY) {
            return Ok(Some(key));
        }
        let Some(path) = &self.key_file else { return Ok(None) };
        let key =
            std::fs::read_to_string(path).with_context(|| format!("{} 키 파일을 읽을 수 없습니다", path.display()))?;
        Ok(Some(key.trim().to_owned()))
    }
}

/// Passages of classified collections are known by these numbers too: they go to no address outside. Told here before
/// anything is made there; each connection looks again.
fn check_inside(url: &str, networks: &[IpNet]) -> anyhow::Result<()> {
    let (scheme, host) = url.split_once("://").unwrap_or(("", url));
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    ensure!(!host.is_empty() && !host.contains('@'), "검색 서버의 주소를 https://이름:6334처럼 적어 주세요.");
    let addresses = host.to_socket_addrs().with_context(|| format!("검색 서버 {host}을(를) 찾지 못했습니다"))?;
    for address in addresses {
        let ip = address.ip().to_canonical();
        if !networks.iter().any(|n| n.contains(&ip)) {
            bail!("{ip}은(는) 내부망 주소가 아니어서 색인을 두지 않습니다. 주소를 고치거나 내부망 목록에 더해 주세요.");
        }
        ensure!(
            scheme != "http" || ip.is_loopback(),
            "다른 기기의 검색 서버({host})에는 https로만 연결합니다. 주소를 https://로 적고 서버에 인증서를 두어 주세요."
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> IndexHome {
        let server = ServerSettings {
            url: url.to_owned(),
            key_file: None,
            authority_file: None,
            prefix: "madang".to_owned(),
            shards: Some(3),
            replicas: 2,
            write_consistency: None,
            timeout_seconds: 5,
        };
        IndexHome { folder: "index-2".to_owned(), server: Some(server) }
    }

    #[test]
    fn what_is_written_is_read() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(IndexHome::read(home.path()).unwrap(), IndexHome::default());
        let there = server("https://10.0.0.7:6334");
        there.write(home.path()).unwrap();
        assert_eq!(IndexHome::read(home.path()).unwrap(), there);
        assert_eq!((IndexHome::default().next_folder(), there.next_folder()), ("index-2".into(), "index-3".into()));
        for wrong in ["folder = 3", "folder = \"../x\"", "folder = \"originals\"", "folder = \"index\"\nkey = \"s\""] {
            std::fs::write(home.path().join(FILE), wrong).unwrap();
            assert!(IndexHome::read(home.path()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_stands_inside() {
        let none = InternalNetworks::default();
        let Place::Server(at) = server("http://127.0.0.1:6334").place(&none).unwrap() else { panic!("embedded") };
        assert_eq!((at.shards, at.replicas, at.timeout), (Some(3), 2, Duration::from_secs(5)));
        assert!(server("https://10.1.2.3:6334").place(&none).is_ok());
        assert!(server("https://[fd00::7]:6334").place(&none).is_ok());
        assert!(server("http://10.1.2.3:6334").place(&none).is_err(), "the key would go in the clear");
        let outside = server("https://203.0.113.9:6334");
        assert!(outside.place(&none).is_err());
        assert!(outside.place(&InternalNetworks::parse(["203.0.113.0/24"]).unwrap()).is_ok());
        for wrong in ["", "https://", "https://user@10.0.0.1:1", "https://10.0.0.1"] {
            assert!(server(wrong).place(&none).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_file_is_read_at_each_start() {
        let home = tempfile::tempdir().unwrap();
        let key_file = home.path().join("qdrant.key");
        let mut there = server("http://127.0.0.1:6334");
        there.server.as_mut().unwrap().key_file = Some(key_file.clone());
        assert!(there.place(&InternalNetworks::default()).is_err());
        std::fs::write(&key_file, "secret-key\n").unwrap();
        let Place::Server(at) = there.place(&InternalNetworks::default()).unwrap() else { panic!("embedded") };
        assert_eq!(at.key.as_deref(), Some("secret-key"));
    }
}

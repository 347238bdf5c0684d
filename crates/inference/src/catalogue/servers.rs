//! The body's own model servers on the shelf: added and removed one at a time, with their keys in files that their owner
//! alone reads, and the networks that they may stand in.

use super::state::{InternalServer, State};
use super::{Shelf, ShelfError, disk};
use crate::ModelCard;
use crate::remote::{GrammarSupport, InternalNetworks, ModelServers, RemoteLimits, ServerConfig};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// Keys that came by way of the screen lie here, below the home folder; no model's name begins with a full stop.
const KEYS: &str = "models/.keys";
/// Beyond these a list is no longer read by anybody.
const MOST_SERVERS: usize = 64;
const MOST_NETWORKS: usize = 64;
const LONGEST_NAME: usize = 60;
const LONGEST_MODEL: usize = 200;
const MOST_CAPACITY: usize = 1024;

/// A server to be added.
#[derive(Debug, Clone)]
pub struct NewServer {
    /// For screens; the host where empty.
    pub name: String,
    pub url: String,
    pub model: String,
    /// Most requests at once.
    pub capacity: usize,
    pub key: Option<SecretString>,
}

impl NewServer {
    /// The server as it would be asked, for a trial.
    pub fn config(&self) -> ServerConfig {
        ServerConfig {
            name: self.name.clone(),
            url: self.url.clone(),
            model: self.model.clone(),
            grammar: GrammarSupport::None,
            weight: 1,
            capacity: self.capacity,
            key: self.key.clone(),
            authority: None,
        }
    }

    fn check(&self) -> Result<(), ShelfError> {
        let short = |text: &str, most: usize| {
            let length = text.chars().count();
            (1..=most).contains(&length) && !text.chars().any(char::is_control)
        };
        if !short(&self.name, LONGEST_NAME) {
            return Err(ShelfError::Server {
                field: "name", why: format!("이름은 {LONGEST_NAME}자까지입니다.")
            });
        }
        if !short(&self.model, LONGEST_MODEL) {
            let why = "서버가 부르는 모델 이름을 적어 주세요.".to_owned();
            return Err(ShelfError::Server { field: "model", why });
        }
        if !(1..=MOST_CAPACITY).contains(&self.capacity) {
            let why = format!("한꺼번에 맡길 요청은 1에서 {MOST_CAPACITY}까지입니다.");
            return Err(ShelfError::Server { field: "capacity", why });
        }
        Ok(())
    }
}

impl Shelf {
    /// Adds a server; its key goes into a file of its own and is not in the list.
    ///
    /// # Errors
    /// [`ShelfError::Server`]: a name that is taken, a server that is there, an address outside the networks.
    pub fn add_server(&mut self, mut new: NewServer) -> Result<InternalServer, ShelfError> {
        (new.name, new.url) = (new.name.trim().to_owned(), new.url.trim().trim_end_matches('/').to_owned());
        new.model = new.model.trim().to_owned();
        new.check()?;
        let home = self.home().to_owned();
        let mut written = None;
        let added = self.change(|state| {
            let server = place(state, &new)?;
            let key_file = format!("{KEYS}/{}.key", state.generation + 1);
            let key_file = match &new.key {
                None => None,
                Some(key) => {
                    disk::write_secret(&home.join(&key_file), key.expose_secret())?;
                    written = Some(home.join(&key_file));
                    Some(key_file)
                }
            };
            let server = InternalServer { key_file, ..server };
            state.servers.push(server.clone());
            Ok(server)
        });
        if let (Err(_), Some(key)) = (&added, written) {
            let _ = std::fs::remove_file(key);
        }
        added
    }

    /// Takes a server out of the list, and its key away where the key came with it.
    ///
    /// # Errors
    /// [`ShelfError::UnknownServer`].
    pub fn remove_server(&mut self, name: &str) -> Result<InternalServer, ShelfError> {
        let home = self.home().to_owned();
        let (gone, key) = self.change(|state| {
            let at = state.servers.iter().position(|s| s.name == name);
            let gone = state.servers.remove(at.ok_or_else(|| ShelfError::UnknownServer(name.to_owned()))?);
            let shared = |file: &String| state.servers.iter().any(|s| s.key_file.as_ref() == Some(file));
            // Files that somebody else laid down are theirs.
            let own = |file: &String| Path::new(file).starts_with(KEYS);
            let key = gone.key_file.clone().filter(|file| own(file) && !shared(file));
            Ok((gone, key))
        })?;
        if let Some(key) = key {
            let _ = std::fs::remove_file(home.join(key));
        }
        Ok(gone)
    }

    /// Sets the networks that servers may stand in; gives those before.
    ///
    /// # Errors
    /// [`ShelfError::Setting`]: an entry that is no network; [`ShelfError::LeftOutside`]: a server would be outside.
    pub fn set_networks(&mut self, networks: Vec<String>) -> Result<Vec<String>, ShelfError> {
        let mut wanted: Vec<String> = Vec::new();
        for network in networks.iter().map(|n| n.trim()).filter(|n| !n.is_empty()) {
            if !wanted.iter().any(|w| w == network) {
                wanted.push(network.to_owned());
            }
        }
        if wanted.len() > MOST_NETWORKS {
            return Err(ShelfError::Setting(format!("내부망은 {MOST_NETWORKS}개까지 적을 수 있습니다.")));
        }
        let allowed = parsed(&wanted)?;
        self.change(|state| {
            let outside = |s: &&InternalServer| stands(&s.url, &allowed).is_err();
            if let Some(server) = state.servers.iter().find(outside) {
                return Err(ShelfError::LeftOutside { name: server.name.clone(), url: server.url.clone() });
            }
            Ok(std::mem::replace(&mut state.internal_networks, wanted))
        })
    }
}

/// The entry of a new server, where it has a place.
fn place(state: &State, new: &NewServer) -> Result<InternalServer, ShelfError> {
    let taken = |field: &'static str, why: String| Err(ShelfError::Server { field, why });
    if state.servers.iter().any(|s| s.name == new.name) {
        return taken("name", format!("‘{}’ 서버가 이미 있습니다. 다른 이름을 적어 주세요.", new.name));
    }
    if let Some(same) = state.servers.iter().find(|s| s.url == new.url && s.model == new.model) {
        return taken("url", format!("같은 주소와 모델의 서버가 이미 있습니다: {}", same.name));
    }
    if state.servers.len() >= MOST_SERVERS {
        return taken("name", format!("서버는 {MOST_SERVERS}대까지 더할 수 있습니다."));
    }
    stands(&new.url, &parsed(&state.internal_networks)?)
        .map_err(|why| ShelfError::Server { field: "url", why: why.to_string() })?;
    Ok(InternalServer {
        name: new.name.clone(),
        url: new.url.clone(),
        model: new.model.clone(),
        grammar: GrammarSupport::None,
        key_file: None,
        authority_file: None,
        weight: 1,
        capacity: new.capacity,
    })
}

fn parsed(networks: &[String]) -> Result<InternalNetworks, ShelfError> {
    InternalNetworks::parse(networks).map_err(|e| ShelfError::Setting(e.to_string()))
}

/// Does an address stand in the networks, as far as can be told without asking for a name's addresses?
fn stands(url: &str, networks: &InternalNetworks) -> Result<(), crate::remote::ClientError> {
    let new = NewServer { name: String::new(), url: url.to_owned(), model: String::new(), capacity: 1, key: None };
    let card = ModelCard { name: String::new(), label: String::new(), context: 1 };
    ModelServers::new(card, vec![new.config()], networks, RemoteLimits::default()).map(drop)
}

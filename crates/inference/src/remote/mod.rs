//! Model servers inside the body's network (vLLM, llama.cpp server, TGI and whatever else speaks the OpenAI routes) as
//! one [`ChatModel`]: several servers of one model with health checks, least-loaded routing, failover before the first
//! words, and a bounded queue that is fair between people.
//!
//! Such a server is the body's own, so that a call to it is not an outside call; its address must lie in the admin's
//! list of internal networks. Calls beyond go through `gateway`, never from here.

mod client;
mod estimate;
mod network;
mod pool;
mod reply;
mod sse;
#[cfg(test)]
mod tests;
mod trial;
mod wire;

pub use client::ClientError;
pub use network::{InternalNetworks, NetworkError};
pub use pool::{Health, ServerStatus};
pub use trial::{TrialError, Tried, try_server};
pub use wire::GrammarSupport;

use crate::chat::{ChatError, ChatModel, ChatRequest, ChatStream, Constraint, ModelCard};
use async_trait::async_trait;
use client::ServerClient;
use estimate::estimate_tokens;
use pool::{Member, Needs, Pool};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Pieces that wait for a slow reader; then the server waits too.
const WAITING_EVENTS: usize = 32;
/// A health check that takes longer has failed.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// One server as the admin set it.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// For screens.
    pub name: String,
    /// Base URL of the OpenAI routes: `http://10.1.2.3:8000/v1`.
    pub url: String,
    /// What this server calls the model.
    pub model: String,
    pub grammar: GrammarSupport,
    /// Share of the load beside the other servers; at least 1.
    pub weight: u32,
    /// Most requests at once.
    pub capacity: usize,
    /// Bearer key, where the server asks for one.
    pub key: Option<SecretString>,
    /// PEM bundle of the certificate authority that alone is trusted for https; the machine's own roots otherwise.
    pub authority: Option<Vec<u8>>,
}

impl PartialEq for ServerConfig {
    /// Also compares the keys: a server with another key is set anew.
    fn eq(&self, other: &Self) -> bool {
        let key = |c: &Self| c.key.as_ref().map(|k| k.expose_secret().to_owned());
        let rest = |c: &Self| (c.grammar, c.weight, c.capacity);
        (&self.name, &self.url, &self.model, &self.authority)
            == (&other.name, &other.url, &other.model, &other.authority)
            && rest(self) == rest(other)
            && key(self) == key(other)
    }
}

/// Bounds of queue, time and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteLimits {
    /// Requests that wait for a server.
    pub waiting: usize,
    /// Requests of one person, waiting or under way.
    pub per_person: usize,
    pub connect: Duration,
    /// From a server's acceptance to its first words.
    pub first_token: Duration,
    /// Between two pieces of a reply.
    pub idle: Duration,
    /// The whole request, waiting included.
    pub total: Duration,
    /// Largest reply, bytes on the wire.
    pub reply_bytes: usize,
    /// Longest line of a reply, bytes on the wire.
    pub line_bytes: usize,
    /// Between two health checks.
    pub check_every: Duration,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            waiting: 64,
            per_person: 4,
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
            reply_bytes: 32 << 20,
            line_bytes: 1 << 20,
            check_every: Duration::from_secs(10),
        }
    }
}

/// A server with its client.
struct Endpoint {
    name: String,
    model: String,
    grammar: GrammarSupport,
    client: ServerClient,
}

struct Shared {
    card: ModelCard,
    /// What these servers were made of.
    configs: Vec<ServerConfig>,
    networks: InternalNetworks,
    endpoints: Vec<Endpoint>,
    pool: Arc<Pool>,
    limits: RemoteLimits,
}

/// What a screen shows of all servers of a model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ServersStatus {
    pub waiting: usize,
    pub servers: Vec<ServerStatus>,
}

/// Several servers of one model as one model. Cheap to clone.
#[derive(Clone)]
pub struct ModelServers(Arc<Shared>);

impl ModelServers {
    /// Reads the configuration; opens no connection. `card` is the model as apps and screens know it.
    ///
    /// # Errors
    /// An address outside `networks`, an unusable key or certificate.
    pub fn new(
        card: ModelCard,
        servers: Vec<ServerConfig>,
        networks: &InternalNetworks,
        limits: RemoteLimits,
    ) -> Result<Self, ClientError> {
        let member = |s: &ServerConfig| Member {
            capacity: s.capacity,
            weight: s.weight,
            grammar: s.grammar != GrammarSupport::None,
        };
        let pool = Pool::new(servers.iter().map(member), limits.waiting, limits.per_person);
        let endpoints = servers
            .iter()
            .map(|s| {
                let authority = s.authority.as_deref();
                let client = ServerClient::new(&s.url, networks, s.key.as_ref(), authority, limits.connect)?;
                Ok(Endpoint { name: s.name.clone(), model: s.model.clone(), grammar: s.grammar, client })
            })
            .collect::<Result<_, ClientError>>()?;
        Ok(Self(Arc::new(Shared { card, configs: servers, networks: networks.clone(), endpoints, pool, limits })))
    }

    /// Would these settings make the same servers? Then those that serve go on, with what is known of them.
    pub fn is_of(&self, servers: &[ServerConfig], networks: &InternalNetworks) -> bool {
        self.0.configs == servers && self.0.networks == *networks
    }

    /// Does any server take a Lark grammar?
    pub fn takes_grammars(&self) -> bool {
        self.0.endpoints.iter().any(|e| e.grammar != GrammarSupport::None)
    }

    /// Is at least one server known to answer?
    pub fn healthy(&self) -> bool {
        self.0.pool.healthy()
    }

    /// For screens.
    pub fn status(&self) -> ServersStatus {
        let names = self.0.endpoints.iter().map(|e| (e.name.as_str(), e.client.host()));
        ServersStatus { waiting: self.0.pool.waiting(), servers: self.0.pool.status(names) }
    }

    /// Asks every server that is not in its pause how it is.
    pub async fn check(&self) {
        let checks = self.0.endpoints.iter().enumerate().filter(|(i, _)| self.0.pool.due(*i));
        futures_util::future::join_all(checks.map(|(i, endpoint)| self.check_one(i, endpoint))).await;
    }

    /// Checks at once and then every [`RemoteLimits::check_every`], until all handles are dropped. Needs a runtime.
    pub fn watch(&self) {
        let (weak, every) = (Arc::downgrade(&self.0), self.0.limits.check_every);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(shared) = weak.upgrade() else { return };
                Self(shared).check().await;
            }
        });
    }

    async fn check_one(&self, server: usize, endpoint: &Endpoint) {
        let checked = tokio::time::timeout(CHECK_WITHIN, check(endpoint)).await;
        match checked.unwrap_or_else(|_| Err("상태를 물었으나 답이 없습니다.".into())) {
            Ok(()) => self.0.pool.well(server),
            Err(error) => self.0.pool.failed(server, error),
        }
    }
}

/// `GET /v1/models`, or `GET /health` where a server has no such route.
async fn check(endpoint: &Endpoint) -> Result<(), String> {
    let get = endpoint.client.get("models").await.map_err(|e| e.to_string())?;
    let mut status = get.send().await.map_err(reply::reason)?.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        let get = endpoint.client.get_root("health").await.map_err(|e| e.to_string())?;
        status = get.send().await.map_err(reply::reason)?.status();
    }
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(format!("{}: 서버가 키를 받지 않습니다. 키를 확인해 주세요.", status.as_u16()))
        }
        other => Err(format!("{}: 서버가 준비되지 않았습니다.", other.as_u16())),
    }
}

#[async_trait]
impl ChatModel for ModelServers {
    fn card(&self) -> ModelCard {
        self.0.card.clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        estimate_tokens(text)
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, ChatError> {
        let accepted = Instant::now();
        let grammar = matches!(request.constraint, Some(Constraint::Lark(_)));
        if grammar && !self.takes_grammars() {
            return Err(wire::no_grammar());
        }
        if request.messages.is_empty() || request.max_tokens == 0 {
            return Err(ChatError::Invalid("모델에 보낼 글이 비어 있습니다.".into()));
        }
        if request.deadline.is_some_and(|d| d <= accepted) {
            return Err(ChatError::Deadline);
        }
        let needs = Needs { grammar, not: vec![] };
        let place = self.0.pool.admit(&request.asker, &needs)?;
        let (out, stream) = mpsc::channel(WAITING_EVENTS);
        let job = reply::Job { shared: Arc::clone(&self.0), request, needs, place, accepted };
        tokio::spawn(job.run(out));
        Ok(stream)
    }
}

//! Which server takes a request: least loaded by weight among the healthy ones, a bounded queue that is fair between
//! people, and the circuit of each server. Decides only; the requests themselves are made in `reply` and `health`.

use crate::chat::{Asker, ChatError};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// First pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Share of the newest value in the running mean of times.
const NEWEST: f64 = 0.2;

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not asked yet; requests may go there.
    Unknown,
    Healthy,
    /// Failing: no request goes there until its pause is over, then one to try.
    Unhealthy,
}

/// One server, for screens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerStatus {
    pub name: String,
    pub host: String,
    pub health: Health,
    /// Seconds since `health` last changed.
    pub for_seconds: u64,
    pub in_flight: usize,
    /// Most requests at once.
    pub capacity: usize,
    pub answered: u64,
    pub failed: u64,
    /// Running mean of the time to the first token, milliseconds; `None` before the first reply.
    pub first_token_ms: Option<u64>,
    /// What last went wrong, also when it is healthy again.
    pub last_error: Option<String>,
}

/// What the pool knows of a server.
#[derive(Debug)]
struct Server {
    capacity: usize,
    weight: u32,
    grammar: bool,
    in_flight: usize,
    health: Health,
    since: Instant,
    failures: u32,
    /// Of an unhealthy server: when one request may try it.
    retry_at: Instant,
    answered: u64,
    failed: u64,
    first_token: Option<Duration>,
    last_error: Option<String>,
}

impl Server {
    fn open(&self, now: Instant) -> bool {
        match self.health {
            Health::Unknown | Health::Healthy => self.in_flight < self.capacity,
            // Half open: one request tries.
            Health::Unhealthy => now >= self.retry_at && self.in_flight == 0,
        }
    }

    fn hopeful(&self, now: Instant) -> bool {
        self.health != Health::Unhealthy || now >= self.retry_at
    }

    fn set(&mut self, health: Health) {
        if self.health != health {
            self.health = health;
            self.since = Instant::now();
        }
    }
}

/// What a request needs of its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub grammar: bool,
    /// Servers that failed this request.
    pub not: Vec<usize>,
}

struct Waiter {
    needs: Needs,
    asker: Asker,
    give: oneshot::Sender<Slot>,
}

/// Requests of one person.
#[derive(Debug, Clone, Copy, Default)]
struct Person {
    /// Waiting or under way.
    admitted: usize,
    under_way: usize,
}

#[derive(Default)]
struct State {
    servers: Vec<Server>,
    waiting: VecDeque<Waiter>,
    people: HashMap<Asker, Person>,
    /// Waiting or under way, everybody's.
    admitted: usize,
    /// Running mean of a request's whole time.
    mean_time: Option<Duration>,
}

/// All servers of one model.
pub(super) struct Pool {
    state: Mutex<State>,
    most_waiting: usize,
    most_per_person: usize,
}

/// A server as the admin set it: most requests at once, weight (at least 1), takes grammars.
pub(super) struct Member {
    pub capacity: usize,
    pub weight: u32,
    pub grammar: bool,
}

impl Pool {
    pub fn new(members: impl IntoIterator<Item = Member>, most_waiting: usize, most_per_person: usize) -> Arc<Self> {
        let now = Instant::now();
        let server = |m: Member| Server {
            capacity: m.capacity.max(1),
            weight: m.weight.max(1),
            grammar: m.grammar,
            in_flight: 0,
            health: Health::Unknown,
            since: now,
            failures: 0,
            retry_at: now,
            answered: 0,
            failed: 0,
            first_token: None,
            last_error: None,
        };
        let servers = members.into_iter().map(server).collect();
        let state = Mutex::new(State { servers, ..State::default() });
        Arc::new(Self { state, most_waiting, most_per_person: most_per_person.max(1) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a request of `asker` into the queue.
    ///
    /// # Errors
    /// [`ChatError::Busy`] beyond a bound; [`ChatError::Failed`] where every fitting server is failing.
    pub fn admit(self: &Arc<Self>, asker: &Asker, needs: &Needs) -> Result<Place, ChatError> {
        let mut state = self.lock();
        if !state.hopeful(needs) {
            return Err(unreachable_servers());
        }
        let own = state.people.get(asker).map_or(0, |p| p.admitted);
        if own >= self.most_per_person {
            return Err(ChatError::Busy { retry_after: state.retry_after(), person: true });
        }
        // Counted here and not by who stands in the queue: one that was admitted stands there only a moment later.
        if state.admitted >= state.places() + self.most_waiting {
            return Err(ChatError::Busy { retry_after: state.retry_after(), person: false });
        }
        state.admitted += 1;
        state.people.entry(asker.clone()).or_default().admitted += 1;
        Ok(Place { pool: Arc::clone(self), asker: asker.clone() })
    }

    /// Hands free servers to those who wait, the person with the fewest replies under way first.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            let Some((waiter, server)) = next else { return };
            // A waiter who has gone gives the slot back by dropping it, which dispatches again.
            let slot = Slot { pool: Arc::clone(self), server, asker: waiter.asker.clone() };
            let _gone = waiter.give.send(slot);
        }
    }

    fn release(self: &Arc<Self>, slot: &Slot) {
        let mut state = self.lock();
        if let Some(server) = state.servers.get_mut(slot.server) {
            server.in_flight = server.in_flight.saturating_sub(1);
        }
        if let Some(person) = state.people.get_mut(&slot.asker) {
            person.under_way = person.under_way.saturating_sub(1);
        }
        drop(state);
        self.dispatch();
    }

    /// The server answered: its circuit closes.
    pub fn well(self: &Arc<Self>, server: usize) {
        if let Some(server) = self.lock().servers.get_mut(server) {
            server.failures = 0;
            server.set(Health::Healthy);
        }
        self.dispatch();
    }

    /// The server failed: its circuit opens, for longer each time. Those who can only wait for it are let go.
    pub fn failed(self: &Arc<Self>, server: usize, error: String) {
        let mut state = self.lock();
        if let Some(server) = state.servers.get_mut(server) {
            let pause = FIRST_PAUSE.saturating_mul(1 << server.failures.min(10)).min(LONGEST_PAUSE);
            server.failures = server.failures.saturating_add(1);
            server.failed += 1;
            server.retry_at = Instant::now() + pause;
            server.last_error = Some(error);
            server.set(Health::Unhealthy);
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (stay, go): (VecDeque<_>, VecDeque<_>) = waiting.into_iter().partition(|w| state.hopeful(&w.needs));
        state.waiting = stay;
        drop(state);
        drop(go);
    }

    /// The server is busy or refused a request, which is no failure of its own.
    pub fn noted(&self, server: usize, error: String) {
        if let Some(server) = self.lock().servers.get_mut(server) {
            server.last_error = Some(error);
        }
    }

    /// A reply came to its end.
    pub fn answered(&self, server: usize, first_token: Duration, total: Duration) {
        let mut state = self.lock();
        state.mean_time = Some(mean(state.mean_time, total));
        if let Some(server) = state.servers.get_mut(server) {
            server.answered += 1;
            server.first_token = Some(mean(server.first_token, first_token));
        }
    }

    /// May a check ask this server now? An unhealthy one is left alone during its pause.
    pub fn due(&self, server: usize) -> bool {
        self.lock().servers.get(server).is_some_and(|s| s.hopeful(Instant::now()))
    }

    /// Is at least one server known to answer?
    pub fn healthy(&self) -> bool {
        self.lock().servers.iter().any(|s| s.health == Health::Healthy)
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// One line per server; `names` are name and host in the same order.
    pub fn status<'a>(&self, names: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<ServerStatus> {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.lock()
            .servers
            .iter()
            .zip(names)
            .map(|(s, (name, host))| ServerStatus {
                name: name.to_owned(),
                host: host.to_owned(),
                health: s.health,
                for_seconds: s.since.elapsed().as_secs(),
                in_flight: s.in_flight,
                capacity: s.capacity,
                answered: s.answered,
                failed: s.failed,
                first_token_ms: s.first_token.map(millis),
                last_error: s.last_error.clone(),
            })
            .collect()
    }
}

/// No fitting server answers.
pub(super) fn unreachable_servers() -> ChatError {
    ChatError::Failed("모델 서버에 연결할 수 없습니다. 잠시 뒤에 다시 하거나 운영자에게 알려 주세요.".into())
}

fn mean(old: Option<Duration>, new: Duration) -> Duration {
    old.map_or(new, |old| old.mul_f64(1.0 - NEWEST) + new.mul_f64(NEWEST))
}

impl State {
    fn fits(server: &Server, at: usize, needs: &Needs) -> bool {
        (server.grammar || !needs.grammar) && !needs.not.contains(&at)
    }

    fn hopeful(&self, needs: &Needs) -> bool {
        let now = Instant::now();
        self.servers.iter().enumerate().any(|(i, s)| Self::fits(s, i, needs) && s.hopeful(now))
    }

    /// Requests that the servers take at once, as they stand now.
    fn places(&self) -> usize {
        let now = Instant::now();
        let places = |s: &Server| match s.health {
            Health::Unknown | Health::Healthy => s.capacity,
            Health::Unhealthy => usize::from(s.hopeful(now)),
        };
        self.servers.iter().map(places).sum()
    }

    /// The open server with the least load for its weight; a healthy one before one that is only tried.
    fn best(&self, needs: &Needs) -> Option<usize> {
        let now = Instant::now();
        let load = |s: &Server| (s.in_flight + 1) as f64 / f64::from(s.weight);
        let open = self.servers.iter().enumerate().filter(|(i, s)| Self::fits(s, *i, needs) && s.open(now));
        let tried = |s: &Server| s.health == Health::Unhealthy;
        open.min_by(|(_, a), (_, b)| {
            tried(a).cmp(&tried(b)).then(load(a).total_cmp(&load(b))).then(a.answered.cmp(&b.answered))
        })
        .map(|(i, _)| i)
    }

    /// Takes the next waiter that a server is free for, and the server for it.
    fn next(&mut self) -> Option<(Waiter, usize)> {
        let own = |w: &Waiter| self.people.get(&w.asker).map_or(0, |p| p.under_way);
        let order = self.waiting.iter().enumerate().filter_map(|(at, w)| Some((own(w), at, self.best(&w.needs)?)));
        let (_, at, server) = order.min_by_key(|(own, at, _)| (*own, *at))?;
        let waiter = self.waiting.remove(at)?;
        if let Some(server) = self.servers.get_mut(server) {
            server.in_flight += 1;
        }
        self.people.entry(waiter.asker.clone()).or_default().under_way += 1;
        Some((waiter, server))
    }

    /// About when a place should be free: what waits, at the pace of late.
    fn retry_after(&self) -> Duration {
        let capacity: usize = self.servers.iter().map(|s| s.capacity).sum();
        let mean = self.mean_time.unwrap_or(Duration::from_secs(5));
        let rounds = 1.0 + self.waiting.len() as f64 / capacity.max(1) as f64;
        mean.mul_f64(rounds).clamp(Duration::from_secs(1), Duration::from_secs(120))
    }
}

/// An admitted request of one person, until dropped.
pub(super) struct Place {
    pool: Arc<Pool>,
    asker: Asker,
}

impl Place {
    /// Waits for a server. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`ChatError::Failed`] where every fitting server is failing.
    pub async fn slot(&self, needs: &Needs) -> Result<Slot, ChatError> {
        let (give, take) = oneshot::channel();
        {
            let mut state = self.pool.lock();
            if !state.hopeful(needs) {
                return Err(unreachable_servers());
            }
            state.waiting.retain(|w| !w.give.is_closed());
            let waiter = Waiter { needs: needs.clone(), asker: self.asker.clone(), give };
            // One that a server failed has waited already.
            if needs.not.is_empty() { state.waiting.push_back(waiter) } else { state.waiting.push_front(waiter) }
        }
        self.pool.dispatch();
        take.await.map_err(|_| unreachable_servers())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.admitted = state.admitted.saturating_sub(1);
        if let Some(own) = state.people.get_mut(&self.asker) {
            own.admitted = own.admitted.saturating_sub(1);
            if own.admitted == 0 {
                state.people.remove(&self.asker);
            }
        }
        state.waiting.retain(|w| !w.give.is_closed());
    }
}

/// One of a server's places, until dropped.
pub(super) struct Slot {
    pool: Arc<Pool>,
    pub server: usize,
    asker: Asker,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("server", &self.server).field("asker", &self.asker).finish()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.clone().release(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody has come as far as the queue yet, and still no more are admitted than have a place or may wait.
    #[test]
    fn the_bound_holds_however_fast_requests_come() {
        let member = Member { capacity: 2, weight: 1, grammar: false };
        let pool = Pool::new([member], 3, 100);
        let asker = |n: usize| Asker(n.to_string().into());
        let mut places: Vec<Place> =
            (0..5).map(|n| pool.admit(&asker(n), &Needs::default()).expect("there is room")).collect();
        let refused = pool.admit(&asker(9), &Needs::default()).err();
        assert!(matches!(refused, Some(ChatError::Busy { person: false, .. })), "{refused:?}");
        places.pop();
        assert!(pool.admit(&asker(9), &Needs::default()).is_ok());
    }
}

//! Who may wait, and whose turn it is: permits bounded in total and per person, and a line that is fair between people.

use super::sequence::Job;
use crate::chat::{Asker, ChatError};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most requests accepted and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub total: usize,
    pub per_person: usize,
}

/// The permits of one model.
pub struct Permits {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    by_person: HashMap<Asker, usize>,
    /// Seconds that a request took of late, from acceptance to end.
    typical: f64,
    refused: u64,
}

/// Leave to wait and be computed; given back when dropped.
pub struct Ticket {
    permits: Arc<Permits>,
    asker: Asker,
    since: Instant,
}

impl Permits {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::new(State { typical: 5.0, ..State::default() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket, unless too many wait already.
    ///
    /// # Errors
    /// [`ChatError::Busy`] with the time after which one of those before is likely done.
    pub fn acquire(self: &Arc<Self>, asker: &Asker) -> Result<Ticket, ChatError> {
        let mut state = self.state();
        let own = state.by_person.get(asker).copied().unwrap_or(0);
        let person = own >= self.bounds.per_person;
        if person || state.total >= self.bounds.total {
            state.refused += 1;
            let retry_after = Duration::from_secs_f64(state.typical.clamp(1.0, 120.0));
            return Err(ChatError::Busy { retry_after, person });
        }
        state.total += 1;
        *state.by_person.entry(asker.clone()).or_default() += 1;
        Ok(Ticket { permits: Arc::clone(self), asker: asker.clone(), since: Instant::now() })
    }

    /// Requests turned away so far.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }
}

impl Ticket {
    /// Accepted at.
    pub fn since(&self) -> Instant {
        self.since
    }

    pub fn asker(&self) -> &Asker {
        &self.asker
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.permits.state();
        state.total -= 1;
        state.typical = 0.8 * state.typical + 0.2 * self.since.elapsed().as_secs_f64();
        if let Some(own) = state.by_person.get_mut(&self.asker) {
            *own -= 1;
            if *own == 0 {
                state.by_person.remove(&self.asker);
            }
        }
    }
}

/// Those who wait, and how much was computed for each person who waits or runs.
#[derive(Default)]
pub struct Line {
    waiting: BTreeMap<Asker, VecDeque<Job>>,
    served: HashMap<Asker, u64>,
}

impl Line {
    /// The person counts from where the least served stands: neither absence nor a first visit is saved up.
    pub fn push(&mut self, job: Job) {
        let asker = job.ticket.asker().clone();
        let least = self.served.values().min().copied().unwrap_or(0);
        self.served.entry(asker.clone()).or_insert(least);
        self.waiting.entry(asker).or_default().push_back(job);
    }

    /// Puts a job back to the front of its person's.
    pub fn push_front(&mut self, job: Job) {
        self.waiting.entry(job.ticket.asker().clone()).or_default().push_front(job);
    }

    /// The oldest job of the person for whom least was computed.
    pub fn pop(&mut self) -> Option<Job> {
        let asker = self.waiting.keys().min_by_key(|a| self.served(a))?.clone();
        let jobs = self.waiting.get_mut(&asker)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.waiting.remove(&asker);
        }
        job
    }

    /// Tokens computed for a person.
    pub fn served(&self, asker: &Asker) -> u64 {
        self.served.get(asker).copied().unwrap_or(0)
    }

    pub fn serve(&mut self, asker: &Asker, tokens: usize) {
        if let Some(served) = self.served.get_mut(asker) {
            *served += tokens as u64;
        }
    }

    /// Takes out the jobs that need not be computed any more.
    pub fn drain_where(&mut self, mut out: impl FnMut(&Job) -> bool) -> Vec<Job> {
        let mut taken = Vec::new();
        for jobs in self.waiting.values_mut() {
            for _ in 0..jobs.len() {
                let Some(job) = jobs.pop_front() else { break };
                if out(&job) { taken.push(job) } else { jobs.push_back(job) }
            }
        }
        self.waiting.retain(|_, jobs| !jobs.is_empty());
        taken
    }

    /// Forgets people who neither wait nor run.
    pub fn forget(&mut self, running: impl Fn(&Asker) -> bool) {
        let waiting = &self.waiting;
        self.served.retain(|asker, _| waiting.contains_key(asker) || running(asker));
    }

    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }
}

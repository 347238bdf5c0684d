//! Who may wait, and whose turn it is: permits bounded in total and per person, and a line that is fair between people.

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
    accepted: u64,
}

/// Leave to wait and be computed; given back when dropped.
pub struct Ticket {
    permits: Arc<Permits>,
    asker: Asker,
    since: Instant,
    number: u64,
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
        state.accepted += 1;
        *state.by_person.entry(asker.clone()).or_default() += 1;
        let number = state.accepted;
        Ok(Ticket { permits: Arc::clone(self), asker: asker.clone(), since: Instant::now(), number })
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

    /// Later ones have higher numbers.
    pub fn number(&self) -> u64 {
        self.number
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

/// What stands in line.
pub trait Waits {
    fn ticket(&self) -> &Ticket;
}

/// Those who wait, and how much was computed for each person who waits or runs.
pub struct Line<T> {
    waiting: BTreeMap<Asker, VecDeque<T>>,
    served: HashMap<Asker, u64>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), served: HashMap::new() }
    }
}

impl<T: Waits> Line<T> {
    /// The person counts from where the least served stands: neither absence nor a first visit is saved up. One that
    /// was in line before goes back to its place among its person's.
    pub fn push(&mut self, item: T) {
        let asker = item.ticket().asker().clone();
        let least = self.served.values().min().copied().unwrap_or(0);
        self.served.entry(asker.clone()).or_insert(least);
        let own = self.waiting.entry(asker).or_default();
        own.insert(own.partition_point(|other| other.ticket().number() < item.ticket().number()), item);
    }

    /// The oldest of the person with the fewest `running`; of equals of the one for whom least was computed, then of
    /// the one who came first.
    pub fn pop(&mut self, running: impl Fn(&Asker) -> usize) -> Option<T> {
        let first = |own: &VecDeque<T>| own.front().map_or(u64::MAX, |t| t.ticket().number());
        let turn = |(asker, own): &(&Asker, &VecDeque<T>)| (running(asker), self.served(asker), first(own));
        let asker = self.waiting.iter().min_by_key(turn)?.0.clone();
        let own = self.waiting.get_mut(&asker)?;
        let item = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&asker);
        }
        item
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

    /// Takes out what need not be computed any more.
    pub fn drain_where(&mut self, mut out: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for own in self.waiting.values_mut() {
            for _ in 0..own.len() {
                let Some(item) = own.pop_front() else { break };
                if out(&item) { taken.push(item) } else { own.push_back(item) }
            }
        }
        self.waiting.retain(|_, own| !own.is_empty());
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

#[cfg(test)]
mod tests {
    use super::*;

    impl Waits for Ticket {
        fn ticket(&self) -> &Ticket {
            self
        }
    }

    fn line(askers: &[&str]) -> Line<Ticket> {
        let permits = Permits::new(Bounds { total: 64, per_person: 64 });
        let mut line = Line::default();
        for asker in askers {
            line.push(permits.acquire(&Asker((*asker).into())).unwrap());
        }
        line
    }

    /// Lets in `slots` at once, as an idle engine does.
    fn let_in(line: &mut Line<Ticket>, slots: usize) -> Vec<String> {
        let mut running: Vec<Ticket> = Vec::new();
        while running.len() < slots {
            let Some(next) = line.pop(|a| running.iter().filter(|t| t.asker() == a).count()) else { break };
            running.push(next);
        }
        running.iter().map(|t| t.asker().0.to_string()).collect()
    }

    #[test]
    fn an_idle_engines_places_are_shared_whatever_people_are_called() {
        let mut all = line(&["c", "c", "c", "c", "b", "b", "b", "b", "a", "a", "a", "a"]);
        assert_eq!(let_in(&mut all, 8), ["c", "b", "a", "c", "b", "a", "c", "b"]);
    }

    #[test]
    fn of_equals_the_least_served_comes_first() {
        let mut all = line(&["a", "b"]);
        all.serve(&Asker("a".into()), 10);
        assert_eq!(let_in(&mut all, 2), ["b", "a"]);
    }

    #[test]
    fn who_goes_back_into_line_keeps_its_place() {
        let mut all = line(&["a", "a", "a"]);
        let first = all.pop(|_| 0).unwrap();
        let second = all.pop(|_| 0).unwrap();
        let numbers = (first.number(), second.number());
        all.push(second);
        all.push(first);
        assert_eq!((all.pop(|_| 0).unwrap().number(), all.pop(|_| 0).unwrap().number()), numbers);
    }
}

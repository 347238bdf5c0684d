//! A circuit breaker per provider: after so many failures in a row nothing is tried for a while, then one call at a time
//! until one succeeds. Pure: time comes as an argument. What counts as a failure is decided by whoever sends.

use madang_domain::ProviderId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Failures in a row that open it.
pub const FAILURES: u32 = 5;
/// How long it stays open, milliseconds.
pub const OPEN_MS: i64 = 60_000;

/// Where it stands, as screens tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circuit {
    #[default]
    Closed,
    /// Nothing is tried until then.
    Open { until: i64 },
    /// One call is tried, or may be.
    HalfOpen,
}

/// How a call went, as far as its provider is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    Well,
    Badly,
    /// It says nothing about the provider: stopped, or never sent.
    Neither,
}

/// The state of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    /// In a row.
    failures: u32,
    /// Open, or half open once this has passed.
    open_until: Option<i64>,
    /// The one call that is tried half open.
    trying: bool,
}

impl Breaker {
    /// Where it stands at `now`.
    pub fn circuit(&self, now: i64) -> Circuit {
        match self.open_until {
            None => Circuit::Closed,
            Some(until) if now < until => Circuit::Open { until },
            Some(_) => Circuit::HalfOpen,
        }
    }

    /// May a call be tried now? One that may has to be [`Breaker::ended`].
    pub fn admit(&mut self, now: i64) -> bool {
        match self.circuit(now) {
            Circuit::Closed => true,
            Circuit::Open { .. } => false,
            Circuit::HalfOpen => !std::mem::replace(&mut self.trying, true),
        }
    }

    /// A call that was admitted has ended.
    pub fn ended(&mut self, went: Went, now: i64) {
        self.trying = false;
        match went {
            Went::Well => *self = Self::default(),
            Went::Neither => {}
            Went::Badly => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES {
                    self.open_until = Some(now.saturating_add(OPEN_MS));
                }
            }
        }
    }
}

/// The breakers of all providers of this process.
#[derive(Debug, Clone, Default)]
pub struct Breakers(Arc<Mutex<HashMap<ProviderId, Breaker>>>);

impl Breakers {
    fn all(&self) -> MutexGuard<'_, HashMap<ProviderId, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a provider's stands.
    pub fn circuit(&self, provider: ProviderId, now: i64) -> Circuit {
        self.all().get(&provider).map_or(Circuit::Closed, |b| b.circuit(now))
    }

    /// Nothing is known of a provider any more: it stands elsewhere.
    pub fn forget(&self, provider: ProviderId) {
        self.all().remove(&provider);
    }

    /// Leave to try one call; `None` while it is open or another call is being tried.
    pub fn admit(&self, provider: ProviderId, now: i64) -> Option<Leave> {
        let admitted = self.all().entry(provider).or_default().admit(now);
        admitted.then(|| Leave { breakers: self.clone(), provider, now, went: Went::Neither })
    }
}

/// Leave for one call. Dropped without a word it says nothing about the provider.
#[derive(Debug)]
pub struct Leave {
    breakers: Breakers,
    provider: ProviderId,
    now: i64,
    went: Went,
}

impl Leave {
    /// How the call went.
    pub fn ended(mut self, went: Went, now: i64) {
        (self.went, self.now) = (went, now);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.breakers.all().entry(self.provider).or_default().ended(self.went, self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_opens_tries_one_and_closes() {
        let mut b = Breaker::default();
        for n in 0..FAILURES {
            assert_eq!(b.circuit(0), Circuit::Closed, "after {n}");
            assert!(b.admit(0));
            b.ended(Went::Badly, 0);
        }
        assert_eq!(b.circuit(OPEN_MS - 1), Circuit::Open { until: OPEN_MS });
        assert!(!b.admit(OPEN_MS - 1));
        assert_eq!(b.circuit(OPEN_MS), Circuit::HalfOpen);
        assert!(b.admit(OPEN_MS) && !b.admit(OPEN_MS), "one at a time");
        b.ended(Went::Neither, OPEN_MS);
        assert!(b.admit(OPEN_MS), "a call that says nothing gives its place back");
        b.ended(Went::Badly, OPEN_MS + 5);
        assert_eq!(b.circuit(OPEN_MS + 5), Circuit::Open { until: 2 * OPEN_MS + 5 });
        assert!(b.admit(2 * OPEN_MS + 5));
        b.ended(Went::Well, 2 * OPEN_MS + 6);
        assert_eq!(b, Breaker::default());
    }

    #[test]
    fn leave_that_is_dropped_gives_its_place_back() {
        let (breakers, provider) = (Breakers::default(), ProviderId::new());
        for _ in 0..FAILURES {
            breakers.admit(provider, 0).unwrap().ended(Went::Badly, 0);
        }
        assert!(breakers.admit(provider, 1).is_none());
        let leave = breakers.admit(provider, OPEN_MS).unwrap();
        assert!(breakers.admit(provider, OPEN_MS).is_none());
        drop(leave);
        assert_eq!(breakers.circuit(provider, OPEN_MS), Circuit::HalfOpen);
        breakers.admit(provider, OPEN_MS).unwrap().ended(Went::Well, OPEN_MS);
        assert_eq!(breakers.circuit(provider, OPEN_MS), Circuit::Closed);
        assert_eq!(breakers.circuit(ProviderId::new(), 0), Circuit::Closed, "each has its own");
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Wait(i64),
        Admit,
        End(Went),
    }

    fn step() -> impl Strategy<Value = Step> {
        let went = prop_oneof![1 => Just(Went::Well), 4 => Just(Went::Badly), 1 => Just(Went::Neither)];
        prop_oneof![
            1 => (0i64..OPEN_MS).prop_map(Step::Wait),
            3 => Just(Step::Admit),
            3 => went.prop_map(Step::End),
        ]
    }

    proptest! {
        /// Against a plain account of what happened.
        #[test]
        fn it_keeps_its_promises(steps in proptest::collection::vec(step(), 0..120)) {
            let mut b = Breaker::default();
            let (mut now, mut in_a_row, mut opened, mut under_way, mut probing) = (0i64, 0u32, None::<i64>, 0u32, false);
            for step in steps {
                match step {
                    Step::Wait(ms) => now += ms,
                    Step::Admit => {
                        let open = opened.is_some_and(|at| now < at + OPEN_MS);
                        let half = opened.is_some() && !open;
                        let expected = !(open || half && probing);
                        prop_assert_eq!(b.admit(now), expected);
                        if expected {
                            under_way += 1;
                            probing |= half;
                        }
                    }
                    Step::End(went) if under_way > 0 => {
                        under_way -= 1;
                        probing = false;
                        b.ended(went, now);
                        match went {
                            Went::Well => (in_a_row, opened) = (0, None),
                            Went::Badly => {
                                in_a_row += 1;
                                if in_a_row >= FAILURES {
                                    opened = Some(now);
                                }
                            }
                            Went::Neither => {}
                        }
                    }
                    Step::End(_) => {}
                }
                prop_assert_eq!(b.circuit(now) == Circuit::Closed, opened.is_none());
            }
        }
    }
}

//! The board of active runs: how many there are in all and per person, and the handle by which each is stopped.

use crate::error::Failure;
use madang_domain::{PersonId, RunId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Most runs at once on one server.
pub const MAX_RUNS: usize = 24;
/// Most runs at once of one person.
pub const MAX_RUNS_OF_ONE: usize = 3;

/// Active runs; cheap to clone.
#[derive(Clone, Default)]
pub struct Board(Arc<Inner>);

#[derive(Default)]
struct Inner {
    active: Mutex<Active>,
    changed: Notify,
}

#[derive(Default)]
struct Active {
    /// Next seat.
    next: u64,
    seats: HashMap<u64, Seat>,
}

struct Seat {
    person: PersonId,
    /// Known once the run is stored.
    run: Option<RunId>,
    stop: CancellationToken,
}

/// A place on the board; dropping it frees the place.
pub struct Ticket {
    board: Board,
    seat: u64,
    /// Cancelled by the reader's stop and by the server's.
    pub stop: CancellationToken,
}

impl Board {
    /// Takes a place for a person; `shutdown` stops the run too.
    ///
    /// # Errors
    /// 429 when the server or the person has as many runs as allowed.
    pub fn enter(&self, person: PersonId, shutdown: &CancellationToken) -> Result<Ticket, Failure> {
        let mut active = self.active();
        if active.seats.values().filter(|s| s.person == person).count() >= MAX_RUNS_OF_ONE {
            return Err(Failure::busy(
                format!(
                    "한 번에 {MAX_RUNS_OF_ONE}개까지 실행할 수 있습니다. 앞의 실행이 끝나거나 멈춘 뒤 다시 해 주세요."
                ),
                5,
            ));
        }
        if active.seats.len() >= MAX_RUNS {
            return Err(Failure::busy("지금 많은 사람이 실행하고 있습니다. 잠시 뒤 다시 해 주세요.", 10));
        }
        let stop = shutdown.child_token();
        let seat = active.next;
        active.next += 1;
        active.seats.insert(seat, Seat { person, run: None, stop: stop.clone() });
        Ok(Ticket { board: self.clone(), seat, stop })
    }

    /// Stops a run of this very person; `false` when it is not active.
    pub fn stop(&self, run: RunId, person: PersonId) -> bool {
        let active = self.active();
        let found = active.seats.values().find(|s| s.run == Some(run) && s.person == person);
        found.map(|s| s.stop.cancel()).is_some()
    }

    /// Number of active runs.
    pub fn len(&self) -> usize {
        self.active().seats.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until every run has ended and is stored.
    pub async fn idle(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Names the run that sits here, so that it can be stopped.
    pub fn name(&self, run: RunId) {
        if let Some(seat) = self.board.active().seats.get_mut(&self.seat) {
            seat.run = Some(run);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.board.active().seats.remove(&self.seat);
        self.board.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_free() {
        let (board, shutdown) = (Board::default(), CancellationToken::new());
        let person = PersonId::new();
        let mut held: Vec<_> = (0..MAX_RUNS_OF_ONE).map(|_| board.enter(person, &shutdown).expect("a place")).collect();
        let refused = board.enter(person, &shutdown).err().expect("full for this person");
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(5)));
        held.pop();
        held.push(board.enter(person, &shutdown).expect("a place came free"));
        while board.len() < MAX_RUNS {
            held.push(board.enter(PersonId::new(), &shutdown).expect("room for others"));
        }
        assert_eq!(board.enter(PersonId::new(), &shutdown).err().map(|f| f.status.as_u16()), Some(429));
        drop(held);
        assert!(board.is_empty());
    }

    #[test]
    fn only_its_person_stops_a_run_and_shutdown_stops_all() {
        let (board, shutdown) = (Board::default(), CancellationToken::new());
        let (person, run) = (PersonId::new(), RunId::new());
        let ticket = board.enter(person, &shutdown).expect("a place");
        ticket.name(run);
        assert!(!board.stop(run, PersonId::new()) && !ticket.stop.is_cancelled());
        assert!(board.stop(run, person) && ticket.stop.is_cancelled());
        let other = board.enter(person, &shutdown).expect("a place");
        shutdown.cancel();
        assert!(other.stop.is_cancelled());
    }
}

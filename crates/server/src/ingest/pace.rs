//! How fast documents are read, and how long the ones that wait will still wait.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Documents that the rate is taken from, and how far back.
const LAST: usize = 200;
const WINDOW: Duration = Duration::from_secs(300);

/// When documents came to their end.
#[derive(Default)]
pub(super) struct Pace(Mutex<VecDeque<Instant>>);

/// What a collection's owner is told of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Queue {
    /// Documents of the collection that wait.
    pub waiting: usize,
    /// Owners whose documents wait; they take turns.
    pub owners: usize,
    /// Documents read in a minute, of all owners; absent before enough were read.
    pub per_minute: Option<usize>,
    /// Seconds until the last of them is read, as things stand.
    pub seconds: Option<u64>,
}

impl Pace {
    /// A document came to its end.
    pub fn ended(&self, now: Instant) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.push_back(now);
        while ends.len() > LAST {
            ends.pop_front();
        }
    }

    /// Documents in a minute, over the last ones within five minutes.
    fn per_minute(&self, now: Instant) -> Option<f64> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent: Vec<_> = ends.iter().filter(|end| now.duration_since(**end) <= WINDOW).collect();
        let span = now.duration_since(**recent.first()?).as_secs_f64();
        (recent.len() > 2).then(|| (recent.len() - 1) as f64 * 60.0 / span.max(1.0))
    }

    /// For a collection with `waiting` documents while documents of `owners` wait.
    pub fn queue(&self, waiting: usize, owners: usize, now: Instant) -> Queue {
        let rate = self.per_minute(now);
        let owners = owners.max(1);
        let seconds = rate.map(|rate| (waiting as f64 * owners as f64 * 60.0 / rate.max(0.1)).ceil() as u64);
        Queue { waiting, owners, per_minute: rate.map(|r| r.round() as usize), seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_a_few_documents() {
        let start = Instant::now();
        let pace = Pace::default();
        assert_eq!(pace.queue(5, 0, start), Queue { waiting: 5, owners: 1, per_minute: None, seconds: None });
        for second in 0..=30 {
            pace.ended(start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(30);
        assert_eq!(pace.queue(10, 2, now), Queue { waiting: 10, owners: 2, per_minute: Some(60), seconds: Some(20) });
        let later = now + WINDOW + Duration::from_secs(60);
        assert_eq!(pace.queue(1, 1, later).per_minute, None, "what is long past tells nothing");
    }
}

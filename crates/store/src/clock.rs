//! Time is injected, so that expiry and lock-out are tested without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Set by hand: Unix milliseconds.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Now, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        match self {
            Clock::System => jiff::Timestamp::now().as_millisecond(),
            Clock::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// Now as RFC 3339 in UTC with milliseconds.
    pub fn now_rfc3339(&self) -> String {
        rfc3339(self.now_ms())
    }
}

/// RFC 3339 in UTC with milliseconds; the epoch for a time out of range.
pub(crate) fn rfc3339(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

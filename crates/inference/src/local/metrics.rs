//! What a model says of its work, for screens and for tests.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Speed is told over this long.
const WINDOW: Duration = Duration::from_secs(30);

/// A moment's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Sequences being computed, and requests that wait.
    pub running: usize,
    pub waiting: usize,
    /// Since start.
    pub prompt_tokens: u64,
    /// Of these, not computed again because their beginning was.
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    /// Tokens guessed by prompt lookup, and those that held.
    pub guessed_tokens: u64,
    pub guessed_right: u64,
    pub requests: u64,
    /// Turned away because too many waited.
    pub refused: u64,
    /// Given up because nobody read any more.
    pub abandoned: u64,
    /// Put back into line because older replies needed the memory.
    pub put_back: u64,
    /// Tokens computed and tokens written per second over the last half minute in which there was work.
    pub prompt_per_second: f64,
    pub completion_per_second: f64,
    /// Bytes.
    pub weight_bytes: usize,
    pub cache_bytes: usize,
    pub cache_limit: usize,
    /// Blocks held by somebody now.
    pub blocks_in_use: usize,
}

/// Tokens of recent steps.
#[derive(Default)]
pub struct Speed {
    steps: VecDeque<(Instant, Duration, usize, usize)>,
}

impl Speed {
    pub fn add(&mut self, now: Instant, took: Duration, prompt: usize, written: usize) {
        self.steps.push_back((now, took, prompt, written));
        while self.steps.front().is_some_and(|(at, ..)| now.duration_since(*at) > WINDOW) {
            self.steps.pop_front();
        }
    }

    /// Prompt tokens and written tokens per second of computing.
    pub fn per_second(&self) -> (f64, f64) {
        let busy: f64 = self.steps.iter().map(|s| s.1.as_secs_f64()).sum();
        let per = |n: usize| if busy > 0.0 { n as f64 / busy } else { 0.0 };
        (per(self.steps.iter().map(|s| s.2).sum()), per(self.steps.iter().map(|s| s.3).sum()))
    }
}

//! The engine's thread: it owns the weights and the cache, and computes step after step whatever is due. A step takes one
//! token (and its guesses) of every reply under way and, beside these, a chunk of prompts.

use super::blocks::Blocks;
use super::metrics::{Metrics, Speed};
use super::outbox::Outbox;
use super::queue::{Line, Permits, Waits};
use super::sequence::{Job, Sequence};
use crate::chat::{Asker, ChatError};
use crate::decoder::{Decoder, Output, Piece, Want};
use crate::error::ModelError;
use crate::tokenizer::Tokenizer;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rows of one step that pass over the weights nearly for free while memory is what bounds it.
const FREE_ROWS: usize = 16;
/// How soon a reader who was behind is looked at again.
const READER_POLL: Duration = Duration::from_millis(2);

/// What the engine's thread and everybody else share.
pub struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    metrics: Mutex<Metrics>,
    permits: Arc<Permits>,
}

#[derive(Default)]
struct Inbox {
    jobs: Vec<Job>,
    closed: bool,
}

impl Shared {
    pub fn new(permits: Arc<Permits>) -> Arc<Self> {
        Arc::new(Self { inbox: Mutex::default(), arrived: Condvar::new(), metrics: Mutex::default(), permits })
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the engine.
    ///
    /// # Errors
    /// [`ChatError::Failed`] when the model is being unloaded.
    pub fn submit(&self, job: Job) -> Result<(), ChatError> {
        let mut inbox = self.inbox();
        if inbox.closed {
            return Err(ChatError::Failed("모델을 내리는 중입니다. 잠시 뒤에 다시 해 주세요.".into()));
        }
        inbox.jobs.push(job);
        self.arrived.notify_one();
        Ok(())
    }

    /// Ends the engine after its current step.
    pub fn close(&self) {
        self.inbox().closed = true;
        self.arrived.notify_one();
    }

    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        metrics.refused = self.permits.refused();
        metrics.waiting += self.inbox().jobs.len();
        metrics
    }
}

/// Limits of the engine's thread.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most replies under way at a time.
    pub running: usize,
    /// Most prompt tokens of a step beside replies under way; twice as many without.
    pub chunk: usize,
}

/// The engine.
pub struct Scheduler {
    shared: Arc<Shared>,
    decoder: Decoder,
    blocks: Blocks,
    tokenizer: Arc<Tokenizer>,
    limits: Limits,
    line: Line<Sequence>,
    /// The oldest first.
    running: Vec<Sequence>,
    outbox: Outbox,
    metrics: Metrics,
    speed: Speed,
}

impl Scheduler {
    pub fn new(
        shared: Arc<Shared>,
        decoder: Decoder,
        cache_blocks: usize,
        tokenizer: Arc<Tokenizer>,
        limits: Limits,
    ) -> Result<Self, ModelError> {
        let blocks = Blocks::new(decoder.cache(cache_blocks)?);
        let metrics = Metrics {
            weight_bytes: decoder.weight_bytes(),
            cache_limit: cache_blocks * decoder.block_bytes(),
            ..Metrics::default()
        };
        let scheduler = Self {
            shared,
            decoder,
            blocks,
            tokenizer,
            limits,
            line: Line::default(),
            running: Vec::new(),
            outbox: Outbox::default(),
            metrics,
            speed: Speed::default(),
        };
        scheduler.tell();
        Ok(scheduler)
    }

    /// Works until the model is closed.
    pub fn run(mut self) {
        let mut worked = true;
        while self.collect(worked) {
            self.admit();
            worked = match catch_unwind(AssertUnwindSafe(|| self.step())) {
                Ok(Ok(worked)) => worked,
                Ok(Err(error)) => self.fault(&error.to_string()),
                Err(_) => self.fault("panic"),
            };
            self.reap();
            self.tell();
        }
        let closing = ChatError::Failed("모델을 내렸습니다. 다시 실행해 주세요.".into());
        for mut sequence in self.line.drain_where(|_| true).into_iter().chain(self.running.drain(..)) {
            sequence.fail(closing.clone());
            sequence.deliver();
        }
        self.outbox.deliver();
    }

    /// Takes in what has arrived, and sleeps where there is nothing to do. `false`: closed.
    fn collect(&mut self, worked: bool) -> bool {
        let mut inbox = self.shared.inbox();
        let idle = self.running.is_empty() && self.line.len() == 0 && self.outbox.is_empty();
        while idle && inbox.jobs.is_empty() && !inbox.closed {
            inbox = self.shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        if !idle && !worked && inbox.jobs.is_empty() && !inbox.closed {
            let waited = self.shared.arrived.wait_timeout(inbox, READER_POLL);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let open = !inbox.closed;
        for job in inbox.jobs.drain(..) {
            self.metrics.requests += 1;
            self.line.push(Sequence::new(job));
        }
        open
    }

    /// Lets in whose turn it is while there is room.
    fn admit(&mut self) {
        let now = Instant::now();
        for mut sequence in self.line.drain_where(|s| s.abandoned() || s.late(now)) {
            self.metrics.abandoned += u64::from(sequence.abandoned());
            sequence.fail(ChatError::Deadline);
            self.keep_unread(sequence);
        }
        while self.running.len() < self.limits.running {
            let running = &self.running;
            let own = |asker: &Asker| running.iter().filter(|s| s.ticket().asker() == asker).count();
            let Some(mut sequence) = self.line.pop(own) else { break };
            let again = sequence.begun();
            if !sequence.start(&mut self.blocks) {
                self.line.push(sequence);
                break;
            }
            if !again {
                self.metrics.cached_tokens += sequence.cached() as u64;
            }
            self.running.push(sequence);
        }
    }

    /// Sets memory aside for the next step. Where there is none left, the youngest goes back into line: its tokens
    /// stay, its blocks are for the older ones. The oldest therefore always comes to its end, because the longest reply
    /// fits alone.
    fn make_room(&mut self) {
        self.running.sort_by_key(|s| s.ticket().number());
        let mut at = 0;
        while let Some(sequence) = self.running.get_mut(at) {
            if sequence.widen(FREE_ROWS, &mut self.blocks) {
                at += 1;
            } else if let Some(mut youngest) = self.running.pop() {
                youngest.release(&mut self.blocks);
                self.metrics.put_back += 1;
                self.line.push(youngest);
            }
        }
    }

    /// Computes one step; `false` when nothing could be computed.
    fn step(&mut self) -> Result<bool, ModelError> {
        let started = Instant::now();
        self.make_room();
        let takes = self.plan();
        if takes.is_empty() {
            return Ok(false);
        }
        let mut inputs = Vec::with_capacity(takes.len());
        for (i, count) in &takes {
            let sequence = &mut self.running[*i];
            sequence.grow(sequence.computed + count + sequence.guess.len(), &mut self.blocks);
            let mut tokens = sequence.tokens[sequence.computed..sequence.computed + count].to_vec();
            tokens.extend_from_slice(&sequence.guess);
            inputs.push(tokens);
        }
        let pieces: Vec<Piece<'_>> = takes
            .iter()
            .zip(&inputs)
            .map(|((i, count), tokens)| {
                let sequence = &self.running[*i];
                let want = match () {
                    () if *count < sequence.behind() => Want::Nothing,
                    () if sequence.guess.is_empty() => Want::Last,
                    () => Want::All,
                };
                Piece { tokens, start: sequence.computed, blocks: &sequence.blocks, want }
            })
            .collect();
        let mut logits = self.decoder.forward(&mut self.blocks.cache, &pieces, Output::Logits)?;
        let wants: Vec<Want> = pieces.iter().map(|p| p.want).collect();
        let (prompt, written) = self.advance(&takes, &wants, &mut logits);
        self.speed.add(Instant::now(), started.elapsed(), prompt, written);
        Ok(true)
    }

    /// How many tokens of which sequences the next step computes.
    fn plan(&mut self) -> Vec<(usize, usize)> {
        let ready = |s: &Sequence| !s.ended() && !s.waits_for_reader();
        let writing = self.running.iter().filter(|s| ready(s) && s.behind() == 1).count();
        let guesses = FREE_ROWS.saturating_sub(writing).checked_div(writing).unwrap_or(0);
        let mut budget = if writing > 0 { self.limits.chunk } else { 2 * self.limits.chunk };
        let mut order: Vec<usize> = (0..self.running.len()).filter(|i| ready(&self.running[*i])).collect();
        order.sort_by_key(|i| self.line.served(self.running[*i].ticket().asker()));
        let mut takes = Vec::new();
        for i in order {
            let sequence = &mut self.running[i];
            let behind = sequence.behind();
            if behind == 1 {
                sequence.prepare_guess(guesses);
                takes.push((i, 1));
            } else if budget > 0 {
                let count = behind.min(budget);
                budget -= count;
                takes.push((i, count));
            }
        }
        takes
    }

    /// Samples from a step's rows. Returns prompt tokens computed and tokens written.
    fn advance(&mut self, takes: &[(usize, usize)], wants: &[Want], logits: &mut [f32]) -> (usize, usize) {
        let vocab = self.decoder.config().vocab;
        let (mut prompt, mut written) = (0, 0);
        let mut rest = logits;
        for ((i, count), want) in takes.iter().zip(wants) {
            let sequence = &mut self.running[*i];
            let rows = match want {
                Want::Nothing => 0,
                Want::Last => 1,
                Want::All => 1 + sequence.guess.len(),
            };
            let (own, others) = std::mem::take(&mut rest).split_at_mut(rows * vocab);
            rest = others;
            if sequence.prefilling() {
                prompt += count;
            }
            let progress = sequence.advance(*count, own, &self.tokenizer);
            sequence.publish(&mut self.blocks);
            written += progress.written;
            self.metrics.guessed_tokens += progress.guessed as u64;
            self.metrics.guessed_right += progress.right as u64;
            let asker = sequence.ticket().asker().clone();
            self.line.serve(&asker, count + progress.written);
        }
        self.metrics.prompt_tokens += prompt as u64;
        self.metrics.completion_tokens += written as u64;
        (prompt, written)
    }

    /// Delivers, and gives back memory and permit of replies that ended, that are late or that nobody reads: a reader
    /// who is behind keeps no more than unread words.
    fn reap(&mut self) {
        let now = Instant::now();
        for sequence in self.running.iter_mut().filter(|s| s.late(now)) {
            sequence.fail(ChatError::Deadline);
        }
        // Who reads a reply's end may ask again at once: what ended is delivered after its permit is back.
        let gone: Vec<Sequence> = self.running.extract_if(.., |s| s.ended() || !s.deliver()).collect();
        for mut sequence in gone {
            self.metrics.abandoned += u64::from(!sequence.ended());
            sequence.release(&mut self.blocks);
            self.keep_unread(sequence);
        }
        self.outbox.deliver();
        let running = &self.running;
        self.line.forget(|asker| running.iter().any(|s| s.ticket().asker() == asker));
    }

    fn keep_unread(&mut self, sequence: Sequence) {
        let (unread, deadline) = sequence.into_unread();
        self.outbox.keep(unread, deadline);
    }

    /// A step went wrong in a way that should not be possible: everybody under way is told, and nothing computed so far
    /// is trusted any more.
    fn fault(&mut self, error: &str) -> bool {
        tracing::error!(error, "a step of the model failed");
        for mut sequence in std::mem::take(&mut self.running) {
            sequence.fail(ChatError::Failed("모델이 답을 쓰다가 멈췄습니다. 다시 실행해 주세요.".into()));
            self.keep_unread(sequence);
        }
        self.blocks.reset();
        true
    }

    fn tell(&self) {
        let (prompt_per_second, completion_per_second) = self.speed.per_second();
        let metrics = Metrics {
            running: self.running.len(),
            waiting: self.line.len(),
            prompt_per_second,
            completion_per_second,
            cache_bytes: self.blocks.cache.resident(),
            blocks_in_use: self.blocks.in_use(),
            ..self.metrics.clone()
        };
        *self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner) = metrics;
    }
}

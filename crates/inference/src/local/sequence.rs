//! One reply under way: its tokens, its blocks, and what has become text. When it computes is the scheduler's matter.

use super::blocks::{Blocks, Chain, Content, Found};
use super::lookup::Lookup;
use super::outbox::{Event, Unread};
use super::queue::{Ticket, Waits};
use super::words::Words;
use crate::chat::{ChatError, ChatEvent, ScopeKey, StopReason, Usage};
use crate::constraint::ConstraintState;
use crate::decoder::cache::BlockId;
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;
use madang_kernels::BLOCK;
use std::time::Instant;
use tokio::sync::mpsc;

/// Tokens of reply that memory is set aside for at a time: replies end long before the most they may take up.
const STEP: usize = 256;

/// An accepted request with everything made ready off the engine's thread.
pub struct Job {
    pub ticket: Ticket,
    pub prompt: Vec<u32>,
    pub max_tokens: usize,
    pub sampler: Sampler,
    pub constraint: Option<ConstraintState>,
    pub words: Words,
    pub logprobs: Option<usize>,
    pub scope: ScopeKey,
    pub deadline: Option<Instant>,
    pub lookup: bool,
    pub out: mpsc::Sender<Event>,
}

/// A job in line or under way.
pub struct Sequence {
    ticket: Ticket,
    max_tokens: usize,
    sampler: Sampler,
    constraint: Option<ConstraintState>,
    words: Words,
    logprobs: Option<usize>,
    scope: ScopeKey,
    deadline: Option<Instant>,
    /// Length of the prompt.
    prompt: usize,
    /// Prompt and reply.
    pub tokens: Vec<u32>,
    /// Positions whose keys and values are in the cache.
    pub computed: usize,
    pub blocks: Vec<BlockId>,
    /// Blocks set aside, those held among them.
    reserved: usize,
    /// Guessed tokens that the next step tries.
    pub guess: Vec<u32>,
    lookup: Option<Lookup>,
    /// Name of the blocks published so far, and how many.
    chain: Chain,
    published: usize,
    /// Prompt tokens that were found computed; `None` before the first start.
    cached: Option<usize>,
    first_token: Option<Instant>,
    /// Events that the reader has not taken yet.
    unread: Unread,
    ended: bool,
}

/// What sampling a step's rows brought.
#[derive(Debug, Default, Clone, Copy)]
pub struct Progress {
    pub written: usize,
    pub guessed: usize,
    pub right: usize,
}

impl Waits for Sequence {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl Sequence {
    /// A job that holds no memory yet.
    pub fn new(job: Job) -> Self {
        Self {
            ticket: job.ticket,
            max_tokens: job.max_tokens,
            sampler: job.sampler,
            constraint: job.constraint,
            words: job.words,
            logprobs: job.logprobs,
            deadline: job.deadline,
            prompt: job.prompt.len(),
            tokens: job.prompt,
            computed: 0,
            blocks: Vec::new(),
            reserved: 0,
            guess: Vec::new(),
            lookup: job.lookup.then(Lookup::new),
            chain: Chain::start(&job.scope),
            scope: job.scope,
            published: 0,
            cached: None,
            first_token: None,
            unread: Unread::new(job.out),
            ended: false,
        }
    }

    /// Sets memory aside for what is there and a step more, and holds what of it is computed already. `false` when the
    /// memory is not there now.
    pub fn start(&mut self, blocks: &mut Blocks) -> bool {
        let need = self.reach(STEP);
        if !blocks.reserve(need) {
            return false;
        }
        self.reserved = need;
        // The last token is always computed: its row says what comes next.
        let found = blocks.find(&self.scope, &self.tokens[..self.tokens.len() - 1]);
        Found { blocks: self.blocks, computed: self.computed, chain: self.chain } = found;
        self.published = self.computed / BLOCK;
        self.cached.get_or_insert(self.computed);
        true
    }

    /// Blocks of all tokens and `more` of the reply.
    fn reach(&self, more: usize) -> usize {
        (self.tokens.len() + more).min(self.prompt + self.max_tokens).div_ceil(BLOCK)
    }

    /// Sets more memory aside where the next step, which adds `most` tokens at most, might need it. `false` when it is
    /// not there.
    pub fn widen(&mut self, most: usize, blocks: &mut Blocks) -> bool {
        let need = self.reach(most);
        if need <= self.reserved || self.ended || self.waits_for_reader() {
            return true;
        }
        let taken = [self.reach(STEP.max(most)), need].into_iter().find(|n| blocks.reserve(n - self.reserved));
        self.reserved = taken.unwrap_or(self.reserved);
        taken.is_some()
    }

    /// Gives the memory back. Tokens and text stay: started again the reply goes on where it was, to the bit, because
    /// what is computed does not depend on how it is cut into steps.
    pub fn release(&mut self, blocks: &mut Blocks) {
        blocks.release(&self.blocks, self.reserved);
        self.blocks.clear();
        self.guess.clear();
        (self.reserved, self.computed, self.published) = (0, 0, 0);
    }

    /// Prompt tokens that were found computed; 0 before the first start.
    pub fn cached(&self) -> usize {
        self.cached.unwrap_or(0)
    }

    /// It had a place before.
    pub fn begun(&self) -> bool {
        self.cached.is_some()
    }

    /// Tokens that are not computed yet: the prompt's rest, or the last token written.
    pub fn behind(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Nothing was written yet.
    pub fn prefilling(&self) -> bool {
        self.tokens.len() == self.prompt
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Its deadline has passed.
    pub fn late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|d| d <= now)
    }

    fn written(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Guesses what follows, at most `most` tokens.
    pub fn prepare_guess(&mut self, most: usize) {
        self.guess.clear();
        let room = (self.max_tokens - self.written()).saturating_sub(1);
        if let Some(lookup) = self.lookup.as_mut().filter(|_| self.tokens.len() == self.computed + 1) {
            self.guess.extend_from_slice(lookup.guess(&self.tokens, most.min(room)));
        }
    }

    /// Makes the blocks reach to position `end`; within the reservation this always succeeds.
    pub fn grow(&mut self, end: usize, blocks: &mut Blocks) {
        while self.blocks.len() * BLOCK < end {
            match blocks.take() {
                Some(id) => self.blocks.push(id),
                None => {
                    return self
                        .fail(ChatError::Failed("모델의 기억 공간이 모자랍니다. 잠시 뒤에 다시 해 주세요.".into()));
                }
            }
        }
    }

    /// `count` tokens were computed; when they were the last ones, `rows` holds the logits after the final token and
    /// after each guessed one.
    pub fn advance(&mut self, count: usize, rows: &mut [f32], tokenizer: &Tokenizer) -> Progress {
        self.computed += count;
        if rows.is_empty() {
            return Progress::default();
        }
        let guess = std::mem::take(&mut self.guess);
        let mut progress = Progress { guessed: guess.len(), ..Progress::default() };
        let vocab = rows.len() / (guess.len() + 1);
        for (i, logits) in rows.chunks_exact_mut(vocab).enumerate() {
            let before = self.tokens.len();
            match self.choose(logits, tokenizer) {
                Ok(forced) => {
                    progress.written += self.tokens.len() - before;
                    let held = !self.ended && !forced && guess.get(i) == self.tokens.last();
                    if !held {
                        break;
                    }
                    progress.right += 1;
                    self.computed += 1;
                }
                Err(error) => {
                    self.fail(error);
                    break;
                }
            }
        }
        if let Some(lookup) = &mut self.lookup {
            lookup.learn(progress.guessed, progress.right);
        }
        progress
    }

    /// Chooses one token; `true` when the constraint then forced others.
    fn choose(&mut self, logits: &mut [f32], tokenizer: &Tokenizer) -> Result<bool, ChatError> {
        let position = self.tokens.len() as u64;
        let mask = self.constraint.as_mut().map(ConstraintState::mask).transpose()?;
        let sampled = self.sampler.sample(logits, &self.tokens, mask, position, self.logprobs)?;
        self.first_token.get_or_insert_with(Instant::now);
        if tokenizer.eos().contains(&sampled.id) {
            self.finish(StopReason::Stop);
            return Ok(false);
        }
        let logprobs = sampled.step_logprobs(tokenizer);
        self.write(sampled.id, logprobs);
        let Some(constraint) = &mut self.constraint else { return Ok(false) };
        constraint.commit(sampled.id)?;
        // Where log-probabilities are wanted every token is sampled, so that each has one.
        let forced = if self.logprobs.is_none() { constraint.forced() } else { Vec::new() };
        let complete = constraint.is_complete();
        for token in &forced {
            if !self.ended {
                self.write(*token, None);
            }
        }
        if complete && !self.ended {
            self.finish(StopReason::Stop);
        }
        Ok(!forced.is_empty())
    }

    fn write(&mut self, token: u32, logprobs: Option<crate::StepLogprobs>) {
        self.tokens.push(token);
        if let Some(event) = self.words.push(token, logprobs) {
            self.unread.push(Ok(event));
        }
        if self.words.stopped() {
            self.finish(StopReason::Stop);
        } else if self.written() >= self.max_tokens {
            let stopped = self.constraint.as_ref().is_some_and(ConstraintState::is_complete);
            self.finish(if stopped { StopReason::Stop } else { StopReason::Length });
        }
    }

    fn finish(&mut self, reason: StopReason) {
        if let Some(event) = self.words.finish() {
            self.unread.push(Ok(event));
        }
        let started = self.ticket.since();
        let usage = Usage {
            prompt_tokens: self.prompt,
            cached_tokens: self.cached(),
            completion_tokens: self.written(),
            first_token: self.first_token.unwrap_or(started).duration_since(started),
            total: started.elapsed(),
        };
        self.unread.push(Ok(ChatEvent::Done { reason, usage }));
        self.ended = true;
    }

    /// Ends the reply with an error.
    pub fn fail(&mut self, error: ChatError) {
        if !self.ended {
            self.unread.push(Err(error));
            self.ended = true;
        }
    }

    /// Hands over what the reader has room for. `false`: nobody reads any more.
    pub fn deliver(&mut self) -> bool {
        self.unread.deliver()
    }

    /// Nobody reads any more.
    pub fn abandoned(&self) -> bool {
        self.unread.is_closed()
    }

    /// What the reader has still to take, and until when.
    pub fn into_unread(self) -> (Unread, Option<Instant>) {
        (self.unread, self.deadline)
    }

    /// The reader is behind: nothing more is computed for now.
    pub fn waits_for_reader(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Lets others of the scope use the blocks that are full.
    pub fn publish(&mut self, blocks: &mut Blocks) {
        while (self.published + 1) * BLOCK <= self.computed {
            let at = self.published * BLOCK;
            let content = Content::new(self.chain, &self.tokens[at..at + BLOCK]);
            self.chain = content.name;
            blocks.publish(self.blocks[self.published], content);
            self.published += 1;
        }
    }
}

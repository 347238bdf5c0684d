//! One reply under way: its tokens, its blocks, and what has become text. When it computes is the scheduler's matter.

use super::blocks::{Blocks, Chain};
use super::lookup::Lookup;
use super::queue::Ticket;
use crate::chat::{ChatError, ChatEvent, ScopeKey, StopReason, Usage};
use crate::constraint::ConstraintState;
use crate::decoder::cache::BlockId;
use crate::sampler::Sampler;
use crate::thinking::Thinking;
use crate::tokenizer::{TextStream, Tokenizer};
use madang_kernels::BLOCK;
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::mpsc::{self, error::TrySendError};

/// An accepted request with everything made ready off the engine's thread.
pub struct Job {
    pub ticket: Ticket,
    pub prompt: Vec<u32>,
    pub max_tokens: usize,
    pub sampler: Sampler,
    pub constraint: Option<ConstraintState>,
    pub stream: TextStream,
    pub thinking: Thinking,
    pub logprobs: Option<usize>,
    pub scope: ScopeKey,
    pub deadline: Option<Instant>,
    pub lookup: bool,
    pub out: mpsc::Sender<Result<ChatEvent, ChatError>>,
}

impl Job {
    /// Blocks that prompt and longest reply take up.
    pub fn blocks(&self) -> usize {
        (self.prompt.len() + self.max_tokens).div_ceil(BLOCK)
    }
}

/// A job that holds memory.
pub struct Sequence {
    pub job: Job,
    /// Prompt and reply.
    pub tokens: Vec<u32>,
    /// Positions whose keys and values are in the cache.
    pub computed: usize,
    pub blocks: Vec<BlockId>,
    /// Guessed tokens that the next step tries.
    pub guess: Vec<u32>,
    lookup: Option<Lookup>,
    /// Name of the blocks published so far, and how many.
    chain: Chain,
    published: usize,
    cached: usize,
    first_token: Option<Instant>,
    /// Events that the reader has not taken yet.
    unread: VecDeque<Result<ChatEvent, ChatError>>,
    ended: bool,
}

/// What sampling a step's rows brought.
#[derive(Debug, Default, Clone, Copy)]
pub struct Progress {
    pub written: usize,
    pub guessed: usize,
    pub right: usize,
}

impl Sequence {
    /// Holds what is computed of the prompt already; `None` when the memory is not there now.
    pub fn start(job: Job, blocks: &mut Blocks) -> Result<Self, Job> {
        if !blocks.reserve(job.blocks()) {
            return Err(job);
        }
        // The last token is always computed: its row says what comes next.
        let (held, chain) = blocks.find(&job.scope, &job.prompt[..job.prompt.len() - 1]);
        let cached = held.len() * BLOCK;
        Ok(Self {
            tokens: job.prompt.clone(),
            computed: cached,
            published: held.len(),
            blocks: held,
            guess: Vec::new(),
            lookup: job.lookup.then(Lookup::new),
            chain,
            cached,
            first_token: None,
            unread: VecDeque::new(),
            ended: false,
            job,
        })
    }

    /// Prompt tokens that were found computed.
    pub fn cached(&self) -> usize {
        self.cached
    }

    /// Tokens that are not computed yet: the prompt's rest, or the last token written.
    pub fn behind(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Nothing was written yet.
    pub fn prefilling(&self) -> bool {
        self.tokens.len() == self.job.prompt.len()
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    fn written(&self) -> usize {
        self.tokens.len() - self.job.prompt.len()
    }

    /// Guesses what follows, at most `most` tokens.
    pub fn prepare_guess(&mut self, most: usize) {
        self.guess.clear();
        let room = (self.job.max_tokens - self.written()).saturating_sub(1);
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
        let mask = self.job.constraint.as_mut().map(ConstraintState::mask).transpose()?;
        let sampled = self.job.sampler.sample(logits, &self.tokens, mask, position, self.job.logprobs)?;
        self.first_token.get_or_insert_with(Instant::now);
        if tokenizer.eos().contains(&sampled.id) {
            self.finish(StopReason::Stop);
            return Ok(false);
        }
        let logprobs = sampled.step_logprobs(tokenizer);
        self.write(sampled.id, logprobs);
        let Some(constraint) = &mut self.job.constraint else { return Ok(false) };
        constraint.commit(sampled.id)?;
        // Where log-probabilities are wanted every token is sampled, so that each has one.
        let forced = if self.job.logprobs.is_none() { constraint.forced() } else { Vec::new() };
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
        let text = self.job.stream.push(token).and_then(|t| self.job.thinking.pass(&t)).unwrap_or_default();
        if !text.is_empty() || logprobs.is_some() {
            self.unread.push_back(Ok(ChatEvent::Text { text, logprobs: logprobs.into_iter().collect() }));
        }
        if self.job.stream.stopped() {
            self.finish(StopReason::Stop);
        } else if self.written() >= self.job.max_tokens {
            let stopped = self.job.constraint.as_ref().is_some_and(ConstraintState::is_complete);
            self.finish(if stopped { StopReason::Stop } else { StopReason::Length });
        }
    }

    fn finish(&mut self, reason: StopReason) {
        let mut rest = self.job.stream.finish().and_then(|t| self.job.thinking.pass(&t)).unwrap_or_default();
        rest.push_str(&self.job.thinking.finish());
        if !rest.is_empty() {
            self.unread.push_back(Ok(ChatEvent::Text { text: rest, logprobs: Vec::new() }));
        }
        let started = self.job.ticket.since();
        let usage = Usage {
            prompt_tokens: self.job.prompt.len(),
            cached_tokens: self.cached,
            completion_tokens: self.written(),
            first_token: self.first_token.unwrap_or(started).duration_since(started),
            total: started.elapsed(),
        };
        self.unread.push_back(Ok(ChatEvent::Done { reason, usage }));
        self.ended = true;
    }

    /// Ends the reply with an error.
    pub fn fail(&mut self, error: ChatError) {
        if !self.ended {
            self.unread.push_back(Err(error));
            self.ended = true;
        }
    }

    /// Hands over what the reader has room for. `false`: nobody reads any more.
    pub fn deliver(&mut self) -> bool {
        while let Some(event) = self.unread.pop_front() {
            match self.job.out.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.unread.push_front(event);
                    return true;
                }
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        !self.job.out.is_closed()
    }

    /// The reader is behind: nothing more is computed for now.
    pub fn waits_for_reader(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Lets others of the scope use the blocks that are full.
    pub fn publish(&mut self, blocks: &mut Blocks) {
        while (self.published + 1) * BLOCK <= self.computed {
            let at = self.published * BLOCK;
            self.chain = self.chain.then(&self.tokens[at..at + BLOCK]);
            blocks.publish(self.blocks[self.published], self.chain);
            self.published += 1;
        }
    }

    /// Gives the memory back.
    pub fn release(&self, blocks: &mut Blocks) {
        blocks.release(&self.blocks, self.job.blocks());
    }
}

//! Which token comes next: penalty, mask, greedy or a draw, and log-probabilities. Which tokens a grammar allows is
//! computed in `constraint`.
//!
//! Order as in llama.cpp: repetition penalty, mask of the constraint, top-k, top-p, min-p, then temperature and the
//! draw; so top-p and min-p look at the model's own probabilities, whatever the temperature. The draw is a function of
//! the seed and the token's position alone (counter-based, SHA-256), so that a sequence gets the same text in every
//! company and when steps are computed again.

use crate::{ChatError, Sampling, StepLogprobs, TokenLogprob, Tokenizer};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;

/// First guess of how many tokens `top_p` keeps; grown until it is enough.
const TOP_P_GUESS: usize = 128;

/// The chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledToken {
    pub id: u32,
    /// Where asked for.
    pub logprobs: Option<TokenLogprobs>,
}

/// Natural logarithms of the model's own probabilities: before penalty, mask and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    pub chosen: f32,
    /// The likeliest tokens, best first, ties by id.
    pub top: Vec<(u32, f32)>,
}

impl SampledToken {
    /// The log-probabilities with the tokens' texts, where they were asked for.
    pub fn step_logprobs(&self, tokenizer: &Tokenizer) -> Option<StepLogprobs> {
        let named = |id: u32, logprob: f32| {
            let bytes = tokenizer.token_bytes(id).to_vec();
            TokenLogprob { token: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob }
        };
        self.logprobs.as_ref().map(|l| StepLogprobs {
            chosen: named(self.id, l.chosen),
            top: l.top.iter().map(|(id, logprob)| named(*id, *logprob)).collect(),
        })
    }
}

/// Chooses the tokens of one sequence. Holds no state between steps but scratch memory.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    candidates: Vec<Candidate>,
    weights: Vec<f64>,
    seen: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    logit: f32,
    id: u32,
}

impl Candidate {
    /// Better first; of equals the lower id.
    fn rank(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

impl Sampler {
    /// # Errors
    /// [`ChatError::Invalid`] for settings that mean nothing, with the Korean name of the first.
    pub fn new(sampling: &Sampling) -> Result<Self, ChatError> {
        let s = sampling;
        let checks = [
            (s.temperature.is_finite() && s.temperature >= 0.0, "temperature는 0 이상이어야 합니다."),
            (s.top_p > 0.0 && s.top_p <= 1.0, "top_p는 0보다 크고 1 이하여야 합니다."),
            ((0.0..=1.0).contains(&s.min_p), "min_p는 0 이상 1 이하여야 합니다."),
            (s.repetition_penalty.is_finite() && s.repetition_penalty > 0.0, "repetition_penalty는 0보다 커야 합니다."),
        ];
        match checks.iter().find(|(sound, _)| !sound) {
            Some((_, message)) => Err(ChatError::Invalid((*message).to_owned())),
            None => {
                Ok(Self { sampling: sampling.clone(), candidates: Vec::new(), weights: Vec::new(), seen: Vec::new() })
            }
        }
    }

    /// The token after `context` (tokens of prompt and reply, for the penalty), which stands at `position` of the
    /// sequence.
    ///
    /// `logits`: one per id, changed by the penalty. `mask`: a bit per id, 32 to a word, set where the token is
    /// allowed; ids beyond it are not. `logprobs`: how many alternatives to tell.
    ///
    /// # Errors
    /// [`ChatError::Failed`] where a logit is no number or nothing is allowed.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        context: &[u32],
        mask: Option<&[u32]>,
        position: u64,
        logprobs: Option<usize>,
    ) -> Result<SampledToken, ChatError> {
        let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if logits.iter().any(|l| l.is_nan()) || peak == f32::INFINITY || peak == f32::NEG_INFINITY {
            return Err(ChatError::Failed("모델이 셈할 수 없는 값을 냈습니다. 모델 파일을 점검해 주세요.".to_owned()));
        }
        let table = logprobs.map(|n| Logprobs::of(logits, peak, n));
        // The chosen token's own logit must be the raw one too.
        let raw: Option<Vec<f32>> = (table.is_some() && self.penalises()).then(|| logits.to_vec());
        self.penalise(logits, context);
        let id =
            if self.sampling.temperature == 0.0 { greedy(logits, mask) } else { self.draw(logits, mask, position) };
        let id =
            id.ok_or_else(|| ChatError::Failed("답의 형식에 맞는 글자가 이 모델의 어휘에 없습니다.".to_owned()))?;
        let logprobs = table.map(|t| {
            let own = raw.as_deref().unwrap_or(logits).get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
            TokenLogprobs { chosen: t.logprob(own), top: t.top }
        });
        Ok(SampledToken { id, logprobs })
    }

    fn penalises(&self) -> bool {
        self.sampling.repetition_penalty != 1.0
    }

    /// Each token of the context once (Keskar et al., CTRL, 2019).
    fn penalise(&mut self, logits: &mut [f32], context: &[u32]) {
        if !self.penalises() {
            return;
        }
        let penalty = self.sampling.repetition_penalty;
        self.seen.clear();
        self.seen.resize(logits.len().div_ceil(64), 0);
        for id in context {
            let bit = 1u64 << (id % 64);
            let (Some(word), Some(logit)) = (self.seen.get_mut(*id as usize / 64), logits.get_mut(*id as usize)) else {
                continue;
            };
            if *word & bit == 0 {
                *word |= bit;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    fn draw(&mut self, logits: &[f32], mask: Option<&[u32]>, position: u64) -> Option<u32> {
        self.candidates.clear();
        let candidates = &mut self.candidates;
        candidates.extend(allowed(logits, mask).map(|(id, logit)| Candidate { logit, id }));
        let k = self.sampling.top_k;
        if k > 0 && k < candidates.len() {
            keep_best(candidates, k);
        }
        if self.sampling.top_p < 1.0 {
            keep_nucleus(candidates, self.sampling.top_p);
        }
        let peak = candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
        if self.sampling.min_p > 0.0 {
            let least = peak + self.sampling.min_p.ln();
            candidates.retain(|c| c.logit >= least);
        }
        let temperature = f64::from(self.sampling.temperature);
        self.weights.clear();
        self.weights.extend(candidates.iter().map(|c| (f64::from(c.logit - peak) / temperature).exp()));
        let total: f64 = self.weights.iter().sum();
        let mut left = uniform(self.sampling.seed, position) * total;
        for (candidate, weight) in candidates.iter().zip(&self.weights) {
            left -= weight;
            if left < 0.0 {
                return Some(candidate.id);
            }
        }
        // Rounding may leave a little over: then it is the last one that can be drawn at all.
        candidates.iter().zip(&self.weights).rev().find(|(_, weight)| **weight > 0.0).map(|(c, _)| c.id)
    }
}

/// A number in [0, 1) that depends on nothing else.
fn uniform(seed: u64, position: u64) -> f64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(position.to_le_bytes());
    let bits = hash.finalize().iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

/// Ids and logits that the mask lets through; impossible ones (-inf) are left out.
fn allowed<'a>(logits: &'a [f32], mask: Option<&'a [u32]>) -> impl Iterator<Item = (u32, f32)> + 'a {
    (0u32..)
        .zip(logits)
        .filter(move |(id, logit)| {
            let open = mask.is_none_or(|m| m.get(*id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1));
            open && **logit > f32::NEG_INFINITY
        })
        .map(|(id, logit)| (id, *logit))
}

fn greedy(logits: &[f32], mask: Option<&[u32]>) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, logit) in allowed(logits, mask) {
        if best.is_none_or(|(_, b)| logit > b) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id)
}

/// Keeps the best `n`, sorted.
fn keep_best(candidates: &mut Vec<Candidate>, n: usize) {
    if n < candidates.len() {
        candidates.select_nth_unstable_by(n, Candidate::rank);
        candidates.truncate(n);
    }
    candidates.sort_unstable_by(Candidate::rank);
}

/// Keeps the smallest set of best candidates whose probabilities sum to `p` (Holtzman et al., 2020), sorted. Sorts only
/// as many as are needed.
fn keep_nucleus(candidates: &mut Vec<Candidate>, p: f32) {
    let peak = candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
    let weight = |c: &Candidate| f64::from(c.logit - peak).exp();
    let goal = f64::from(p) * candidates.iter().map(weight).sum::<f64>();
    let mut count = TOP_P_GUESS;
    loop {
        if count < candidates.len() {
            candidates.select_nth_unstable_by(count, Candidate::rank);
        }
        let head = count.min(candidates.len());
        let Some(best) = candidates.get_mut(..head) else { return };
        best.sort_unstable_by(Candidate::rank);
        let mut sum = 0.0;
        let enough = best.iter().position(|c| {
            sum += weight(c);
            sum >= goal
        });
        match enough {
            Some(last) => return candidates.truncate(last + 1),
            None if head == candidates.len() => return,
            None => count = count.saturating_mul(8),
        }
    }
}

/// The log-softmax of raw logits.
struct Logprobs {
    peak: f64,
    /// Logarithm of the sum of exp(logit - peak).
    log_sum: f64,
    top: Vec<(u32, f32)>,
}

impl Logprobs {
    fn of(logits: &[f32], peak: f32, n: usize) -> Self {
        let sum: f64 = logits.iter().map(|l| f64::from(*l - peak).exp()).sum();
        let mut table = Self { peak: f64::from(peak), log_sum: sum.ln(), top: Vec::new() };
        if n > 0 {
            let mut best: Vec<Candidate> = (0u32..).zip(logits).map(|(id, l)| Candidate { logit: *l, id }).collect();
            keep_best(&mut best, n);
            table.top = best.iter().map(|c| (c.id, table.logprob(c.logit))).collect();
        }
        table
    }

    fn logprob(&self, logit: f32) -> f32 {
        (f64::from(logit) - self.peak - self.log_sum) as f32
    }
}

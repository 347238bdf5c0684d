//! SentencePiece BPE by scores: the neighbours whose union has the best score are merged first, what is left without a
//! token is spelt in bytes. Source: Kudo & Richardson 2018; order of ties (leftmost first) as in llama.cpp's SPM.

use super::vocabulary::{Entry, Kind};
use crate::ModelError;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// The vocabulary, arranged for merging.
pub(super) struct ScoreMerges {
    pieces: HashMap<Box<str>, (u32, f32)>,
    byte_tokens: [u32; 256],
    add_space_prefix: bool,
}

/// A possible merge of two neighbours.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when this was proposed; another length now means that one of them has changed.
    len: usize,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

/// A stretch of the text; `end == start` once it was merged into its left neighbour.
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl ScoreMerges {
    /// Ordinary pieces with their scores and the 256 byte tokens.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] without byte tokens; [`ModelError::Damaged`] without scores for all.
    pub fn new(entries: &[Entry], scores: &[f32], add_space_prefix: bool) -> Result<Self, ModelError> {
        if scores.len() != entries.len() {
            return Err(ModelError::damaged(format!("토큰 {}개에 점수가 {}개입니다", entries.len(), scores.len())));
        }
        let mut pieces = HashMap::new();
        let mut bytes = [None; 256];
        for ((id, entry), score) in (0u32..).zip(entries).zip(scores) {
            match (entry.kind, entry.bytes.as_slice()) {
                (Kind::Byte, [byte]) => bytes[usize::from(*byte)] = Some(id),
                (Kind::Normal, _) => {
                    pieces.entry(entry.text.as_str().into()).or_insert((id, *score));
                }
                _ => {}
            }
        }
        let mut byte_tokens = [0; 256];
        for (byte, (slot, token)) in byte_tokens.iter_mut().zip(bytes).enumerate() {
            *slot = token.ok_or_else(|| ModelError::unsupported(format!("바이트 토큰 <0x{byte:02X}>이 없는 어휘")))?;
        }
        Ok(Self { pieces, byte_tokens, add_space_prefix })
    }

    /// Appends the tokens of `text`, which stands at the beginning or after a special token.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let prefix = if self.add_space_prefix { "▁" } else { "" };
        let text = format!("{prefix}{}", text.replace(' ', "▁"));
        let mut symbols = characters(&text);
        let mut queue = BinaryHeap::new();
        for right in 1..symbols.len() {
            self.propose(&text, &symbols, Some(right - 1), Some(right), &mut queue);
        }
        while let Some(candidate) = queue.pop() {
            if let Some((previous, next)) = merge(&mut symbols, &candidate) {
                self.propose(&text, &symbols, previous, Some(candidate.left), &mut queue);
                self.propose(&text, &symbols, Some(candidate.left), next, &mut queue);
            }
        }
        for symbol in &symbols {
            let piece = text.get(symbol.start..symbol.end).unwrap_or_default();
            match self.pieces.get(piece) {
                Some((id, _)) => out.push(*id),
                None => out.extend(piece.bytes().map(|b| self.byte_tokens[usize::from(b)])),
            }
        }
    }

    fn propose(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: Option<usize>,
        right: Option<usize>,
        queue: &mut BinaryHeap<Candidate>,
    ) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let (Some(a), Some(b)) = (symbols.get(left), symbols.get(right)) else { return };
        let union = text.get(a.start..b.end).unwrap_or_default();
        if let Some((_, score)) = self.pieces.get(union) {
            queue.push(Candidate { score: *score, left, right, len: union.len() });
        }
    }
}

fn characters(text: &str) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = text
        .char_indices()
        .enumerate()
        .map(|(i, (start, c))| Symbol {
            start,
            end: start + c.len_utf8(),
            previous: i.checked_sub(1),
            next: Some(i + 1),
        })
        .collect();
    if let Some(last) = symbols.last_mut() {
        last.next = None;
    }
    symbols
}

/// Merges if both neighbours are still what they were; returns the new neighbours of the union.
fn merge(symbols: &mut [Symbol], candidate: &Candidate) -> Option<(Option<usize>, Option<usize>)> {
    let right = symbols.get(candidate.right)?;
    let (start, end, next) = (right.start, right.end, right.next);
    let left = symbols.get_mut(candidate.left)?;
    if left.start == left.end || start == end || end - left.start != candidate.len || left.end != start {
        return None;
    }
    left.end = end;
    left.next = next;
    let previous = left.previous;
    if let Some(right) = symbols.get_mut(candidate.right) {
        right.start = end;
        right.end = end;
    }
    if let Some(symbol) = next.and_then(|n| symbols.get_mut(n)) {
        symbol.previous = Some(candidate.left);
    }
    Some((previous, next))
}

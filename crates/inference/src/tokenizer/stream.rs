//! Tokens as a stream of text: always whole UTF-8, ended before the first stop string. Which token comes next is the
//! sampler's business.

use super::Tokenizer;
use std::sync::Arc;

/// Turns one reply's tokens into text as they come.
///
/// Characters whose bytes lie in several tokens (most Hangul in small vocabularies) are held back until they are whole;
/// bytes that can no longer become a character are U+FFFD, exactly where [`String::from_utf8_lossy`] puts it. Text that
/// may be the beginning of a stop string is held back too. Of several stop strings the one that is complete first
/// counts, the longest of those, so that the cut does not depend on where tokens end.
pub struct TextStream {
    tokenizer: Arc<Tokenizer>,
    stops: Vec<String>,
    /// Bytes of an unfinished character.
    bytes: Vec<u8>,
    /// Text that may begin a stop string.
    held: String,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends before the first of `stops`; empty ones do not count.
    pub fn new(tokenizer: Arc<Tokenizer>, stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { tokenizer, stops, bytes: Vec::new(), held: String::new(), stopped: false }
    }

    /// The next token's share of the text, if any can be told yet. After a stop string nothing comes.
    pub fn push(&mut self, token: u32) -> Option<String> {
        if self.stopped {
            return None;
        }
        self.bytes.extend_from_slice(self.tokenizer.token_bytes(token));
        self.take_characters();
        self.release(false)
    }

    /// What was held back, when no more tokens come. A broken character at the end is U+FFFD.
    pub fn finish(&mut self) -> Option<String> {
        if self.stopped {
            return None;
        }
        self.take_characters();
        let rest = std::mem::take(&mut self.bytes);
        self.held.push_str(&String::from_utf8_lossy(&rest));
        self.release(true)
    }

    /// A stop string came: the reply is over.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Moves whole characters from `bytes` to `held`.
    fn take_characters(&mut self) {
        let mut done = 0;
        while let Some(rest) = self.bytes.get(done..).filter(|r| !r.is_empty()) {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    done = self.bytes.len();
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    self.held.push_str(&String::from_utf8_lossy(valid));
                    done += valid.len();
                    match error.error_len() {
                        Some(n) => {
                            self.held.push(char::REPLACEMENT_CHARACTER);
                            done += n.min(broken.len());
                        }
                        None => break,
                    }
                }
            }
        }
        self.bytes.drain(..done);
    }

    fn release(&mut self, last: bool) -> Option<String> {
        let cut = self.stops.iter().filter_map(|s| self.held.find(s.as_str()).map(|at| (at + s.len(), at))).min();
        let keep = match cut {
            Some((_, at)) => {
                self.stopped = true;
                self.held.truncate(at);
                0
            }
            None if last => 0,
            None => self.stops.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0),
        };
        let rest = self.held.split_off(self.held.len() - keep);
        let out = std::mem::replace(&mut self.held, rest);
        Some(out).filter(|t| !t.is_empty())
    }
}

/// Bytes at the end of `text` that are a beginning of `stop`, but not all of it.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(i, _)| i).filter(|n| *n > 0).rev().find(|n| text.ends_with(&stop[..*n])).unwrap_or(0)
}

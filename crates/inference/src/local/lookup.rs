//! Prompt lookup: guesses the next tokens by finding where the last few stood before (Saxena, 2023). An answer that
//! quotes its passages is guessed well; whether a guess holds is decided by the model, so the text is the same without.

use std::collections::HashMap;

/// Tokens that must have stood together before.
const GRAM: usize = 3;
/// Longest guess.
const MOST: usize = 12;
/// Steps without a guess after guesses failed.
const PAUSE: usize = 8;

/// What one sequence has seen, and how well guessing went.
pub struct Lookup {
    /// Where the token after these last stood.
    after: HashMap<[u32; GRAM], usize>,
    /// Tokens that are in `after`.
    read: usize,
    len: usize,
    misses: usize,
    pause: usize,
}

impl Lookup {
    pub fn new() -> Self {
        Self { after: HashMap::new(), read: 0, len: 4, misses: 0, pause: 0 }
    }

    /// What may follow `tokens`, at most `most` tokens.
    pub fn guess<'a>(&mut self, tokens: &'a [u32], most: usize) -> &'a [u32] {
        // The last token has no follower yet, so the end never finds itself.
        for at in self.read.max(GRAM)..tokens.len() {
            if let Some(gram) = tokens[at - GRAM..at].first_chunk() {
                self.after.insert(*gram, at);
            }
        }
        self.read = tokens.len();
        if self.pause > 0 {
            self.pause -= 1;
            return &[];
        }
        let found = tokens.last_chunk().and_then(|gram: &[u32; GRAM]| self.after.get(gram)).copied();
        let Some(from) = found else { return &[] };
        &tokens[from..tokens.len().min(from + self.len.min(most))]
    }

    /// How many of the guessed tokens were right.
    pub fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        if right == guessed {
            self.len = (self.len * 2).min(MOST);
        } else {
            self.len = (right + 1).clamp(2, MOST);
        }
        self.misses = if right == 0 { self.misses + 1 } else { 0 };
        if self.misses >= 2 {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_before_is_guessed() {
        let mut lookup = Lookup::new();
        assert!(lookup.guess(&[1, 2, 3], 8).is_empty());
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 8), [4, 5, 6, 1]);
        lookup.learn(4, 4);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5], 8), [6, 1, 2, 3, 4, 5]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5], 2), [6, 1]);
    }

    #[test]
    fn failing_guesses_are_paused() {
        let mut lookup = Lookup::new();
        let tokens = [1, 2, 3, 1, 2, 3];
        assert!(!lookup.guess(&tokens, 8).is_empty());
        lookup.learn(3, 0);
        assert!(!lookup.guess(&tokens, 8).is_empty());
        lookup.learn(2, 0);
        assert!(lookup.guess(&tokens, 8).is_empty());
    }
}

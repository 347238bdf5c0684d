//! Intents and their outcomes: each outcome belongs to one intent before it, and an intent without one may have
//! happened. Which entries are either is for the caller to say; nothing of it is known here.

use crate::chain::Entry;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// What an entry is to the pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Neither.
    Other,
    /// Something is about to be done, under an identifier of its own.
    Intent(String),
    /// How it ended.
    Outcome(String),
}

/// Says what an entry is to the pairing.
pub type Roles<'a> = dyn FnMut(&Entry) -> Role + 'a;

/// An intent of which nobody knows how it ended: it counts as done (as sent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Number of the intent's entry.
    pub seq: u64,
    pub id: String,
}

/// Pairs as they come. Memory grows with the number of intents.
#[derive(Debug, Default)]
pub struct Pairing {
    /// Number of the entry by identifier.
    open: HashMap<String, u64>,
    /// Identifiers that ended, shortened.
    ended: HashSet<[u8; 16]>,
}

impl Pairing {
    /// Without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// In Korean: an outcome without an intent, a second outcome, or an identifier used twice.
    pub fn push(&mut self, seq: u64, role: Role) -> Result<(), String> {
        match role {
            Role::Other => Ok(()),
            Role::Intent(id) if self.ended.contains(&short(&id)) || self.open.contains_key(&id) => {
                Err(format!("앞서 적은 의도({id})가 다시 적혔습니다. 한 번의 일이 두 번 적혔습니다."))
            }
            Role::Intent(id) => {
                self.open.insert(id, seq);
                Ok(())
            }
            Role::Outcome(id) if self.open.remove(&id).is_some() => {
                self.ended.insert(short(&id));
                Ok(())
            }
            Role::Outcome(id) if self.ended.contains(&short(&id)) => {
                Err(format!("결과({id})가 두 번 적혔습니다. 어느 쪽이 맞는지 조사해 주세요."))
            }
            Role::Outcome(id) => {
                Err(format!("의도 없이 결과({id})만 있습니다. 먼저 적지 않고 내보냈을 수 있으니 조사해 주세요."))
            }
        }
    }

    /// The intents without an outcome, in order.
    pub fn unknown(self) -> Vec<Unknown> {
        let mut unknown: Vec<_> = self.open.into_iter().map(|(id, seq)| Unknown { seq, id }).collect();
        unknown.sort_by_key(|u| u.seq);
        unknown
    }
}

fn short(id: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(id).into();
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(roles: &[(char, &str)]) -> Result<Vec<u64>, u64> {
        let mut pairing = Pairing::new();
        for (seq, (kind, id)) in (1..).zip(roles) {
            let role = match kind {
                'i' => Role::Intent(id.to_string()),
                'o' => Role::Outcome(id.to_string()),
                _ => Role::Other,
            };
            pairing.push(seq, role).map_err(|_| seq)?;
        }
        Ok(pairing.unknown().into_iter().map(|u| u.seq).collect())
    }

    #[test]
    fn every_outcome_has_its_intent() {
        assert_eq!(run(&[('i', "a"), ('-', ""), ('i', "b"), ('o', "b"), ('o', "a")]), Ok(vec![]));
        assert_eq!(run(&[('i', "b"), ('i', "a"), ('i', "c"), ('o', "a")]), Ok(vec![1, 3]));
        assert_eq!(run(&[('o', "a")]), Err(1));
        assert_eq!(run(&[('i', "a"), ('o', "b")]), Err(2));
        assert_eq!(run(&[('i', "a"), ('o', "a"), ('o', "a")]), Err(3));
        assert_eq!(run(&[('i', "a"), ('i', "a")]), Err(2));
        assert_eq!(run(&[('i', "a"), ('o', "a"), ('i', "a")]), Err(3));
    }
}

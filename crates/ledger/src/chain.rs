//! Chaining and verification. A hash chain shows that a record was altered, not who keeps it honest: a Merkle tree
//! with checkpoints cosigned outside the operator's reach (RFC 6962) is laid on top of these entries.

use crate::canonical::{CanonicalError, canonical_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Separates these hashes from any other use of SHA-256.
const DOMAIN: &[u8] = b"madang-ledger-v1";

/// One record of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the first.
    pub seq: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// Canonical JSON.
    pub payload: String,
    /// Hash of the entry before, hexadecimal; 64 zeros for the first.
    pub prev_hash: String,
    /// Hash of this entry, hexadecimal.
    pub hash: String,
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of entries.
    pub seq: u64,
    pub hash: String,
}

impl Head {
    /// Head of the empty chain.
    pub fn genesis() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

impl Entry {
    /// The head of a chain that ends with this entry.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}

/// The first record that does not hold, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("record {seq}: {reason}")]
pub struct Fault {
    pub seq: u64,
    pub reason: String,
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub entries: u64,
    pub head: Head,
}

/// SHA-256 over the domain tag and the length-prefixed fields.
fn hash(seq: u64, time: &str, prev_hash: &str, payload: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(DOMAIN);
    digest.update(seq.to_be_bytes());
    for field in [time, prev_hash, payload] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field.as_bytes());
    }
    hex::encode(digest.finalize())
}

/// The entry that follows `head`.
///
/// # Errors
/// When the payload has no canonical form.
pub fn chain(head: &Head, time: String, payload: &Value) -> Result<Entry, CanonicalError> {
    let payload = canonical_json(payload)?;
    let seq = head.seq + 1;
    let hash = hash(seq, &time, &head.hash, &payload);
    Ok(Entry { seq, time, payload, prev_hash: head.hash.clone(), hash })
}

/// Verifies a whole chain in order and, where a head is known from elsewhere, that the chain reaches it unchanged.
///
/// # Errors
/// [`Fault`] names the first bad record.
pub fn verify(entries: impl IntoIterator<Item = Entry>, expected: Option<&Head>) -> Result<Verified, Fault> {
    let mut head = Head::genesis();
    let mut met = expected.is_none_or(|e| *e == head);
    for entry in entries {
        let wanted = head.seq + 1;
        let fault = |reason: &str| Err(Fault { seq: wanted, reason: reason.to_owned() });
        if entry.seq != wanted {
            return fault("missing or out of order");
        }
        if entry.prev_hash != head.hash {
            return fault("does not follow from the record before");
        }
        if hash(entry.seq, &entry.time, &entry.prev_hash, &entry.payload) != entry.hash {
            return fault("was altered");
        }
        head = entry.head();
        met |= expected.is_some_and(|e| *e == head);
    }
    if met { Ok(Verified { entries: head.seq, head }) } else {
        Err(Fault { seq: head.seq + 1, reason: "the chain does not reach the known head".to_owned() })
    }
}

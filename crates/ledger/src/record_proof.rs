//! One record with everything that proves it, as a single text (C2SP tlog-proof, file extension `.tlog-proof`):
//! verified anywhere with public keys alone. The record itself travels in the proof's `extra` line, as
//! [`crate::to_line`] writes it without the line feed; it is believed for its hash's place in the tree, not for
//! standing there.

use crate::chain::Entry;
use crate::checkpoint::{SignedCheckpoint, decimal};
use crate::lines::{parse_entry, to_line};
use crate::tree::{Hash, ProofError, verify_inclusion};
use crate::trust::{Trust, TrustError, Vouched};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;
use std::str::FromStr;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Longest proof read, bytes: a record of 16 MiB in base64 and more.
const MAX_TEXT: usize = 32 << 20;

/// Why a record is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordProofError {
    #[error("기록 증명서의 형식이 아닙니다. 받은 파일을 고치지 말고 그대로 넣어 주세요.")]
    Malformed,
    #[error("증명서에 기록이 들어 있지 않습니다. 기록을 담아 다시 내려받아 주세요.")]
    NoRecord,
    #[error("증명서에 든 기록이 올바르지 않습니다. {0}")]
    Record(String),
    #[error("기록의 번호가 증명된 자리와 다릅니다.")]
    Place,
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    #[error("서명된 원장에 있는 기록이 아닙니다. {0}")]
    Proof(#[from] ProofError),
}

/// That something is in a log at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProof {
    /// Not authenticated by itself; the record's line where Madang made the proof.
    pub extra: Option<Vec<u8>>,
    /// Place of the leaf, from 0: the record's number less one.
    pub index: u64,
    /// Inclusion proof, leaf's sibling first.
    pub proof: Vec<Hash>,
    pub checkpoint: SignedCheckpoint,
}

impl RecordProof {
    /// The proof of a record, which travels with it.
    ///
    /// # Errors
    /// [`RecordProofError::Record`] for an entry without a line; [`RecordProofError::Place`] for number 0.
    pub fn of(entry: &Entry, proof: Vec<Hash>, checkpoint: SignedCheckpoint) -> Result<Self, RecordProofError> {
        let line = to_line(entry).map_err(|e| RecordProofError::Record(e.to_string()))?;
        let index = entry.seq.checked_sub(1).ok_or(RecordProofError::Place)?;
        Ok(RecordProof { extra: Some(line.trim_end().as_bytes().to_vec()), index, proof, checkpoint })
    }

    /// Verifies that a leaf is in the log at the proof's place, in a checkpoint that the trust accepts.
    ///
    /// # Errors
    /// [`RecordProofError`] says why not.
    pub fn verify_leaf(&self, leaf: &Hash, trust: &Trust) -> Result<Vouched, RecordProofError> {
        let vouched = trust.verify(&self.checkpoint)?;
        let checkpoint = self.checkpoint.checkpoint();
        verify_inclusion(self.index, checkpoint.size, leaf, &self.proof, &checkpoint.root)?;
        Ok(vouched)
    }

    /// Verifies the record that the proof carries, and gives it.
    ///
    /// # Errors
    /// [`RecordProofError`] says why it is not proven.
    pub fn verify(&self, trust: &Trust) -> Result<(Entry, Vouched), RecordProofError> {
        let extra = self.extra.as_deref().ok_or(RecordProofError::NoRecord)?;
        let entry = parse_entry(&[extra, b"\n"].concat()).map_err(RecordProofError::Record)?;
        entry.holds().map_err(RecordProofError::Record)?;
        if entry.seq.checked_sub(1) != Some(self.index) {
            return Err(RecordProofError::Place);
        }
        let leaf = entry.leaf().ok_or(RecordProofError::Malformed)?;
        let vouched = self.verify_leaf(&leaf, trust)?;
        Ok((entry, vouched))
    }
}

impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for RecordProof {
    type Err = RecordProofError;

    fn from_str(text: &str) -> Result<Self, RecordProofError> {
        let parsed = (|| {
            let (head, note) = text.split_once("\n\n").filter(|_| text.len() <= MAX_TEXT)?;
            let mut lines = head.split('\n').peekable();
            lines.next().filter(|&line| line == HEADER)?;
            let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
                Some(encoded) => {
                    lines.next();
                    Some(STANDARD.decode(encoded).ok()?)
                }
                None => None,
            };
            let index = decimal(lines.next()?.strip_prefix("index ")?)?;
            let proof: Vec<Hash> = lines.map(Hash::from_base64).collect::<Option<_>>()?;
            let checkpoint = note.parse().ok()?;
            (proof.len() <= 63).then_some(RecordProof { extra, index, proof, checkpoint })
        })();
        parsed.ok_or(RecordProofError::Malformed)
    }
}

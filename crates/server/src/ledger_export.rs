//! The record as a file that proves itself: the whole of it, or those records that a filter finds, each with its proof.
//! Made chunk by chunk while it is sent. The forms are the `ledger` crate's.

use crate::signing::{SignError, Signer};
use madang_domain::Scope;
use madang_ledger::export::{ExportLines, PartialLines, Selection};
use madang_store::checkpoints::StoredCheckpoint;
use madang_store::ledger::LedgerFilter;
use madang_store::{Store, StoreError};

const BATCH: u64 = 1000;
/// Records of a part read at once: each may need hashes of its own.
const PROVEN: i64 = 200;
/// A checkpoint that no witness cosigned is in the file once in so many records: one a minute would make a year's file
/// slow to verify and would tell nothing more.
const APART: u64 = 100;

/// Which of the log's checkpoints go into a file: given by size.
#[derive(Debug, Default)]
pub struct Milestones {
    last: u64,
}

impl Milestones {
    /// Whether this one does; the newest always should.
    pub fn takes(&mut self, checkpoint: &StoredCheckpoint) -> bool {
        let kept = checkpoint.hands_over || checkpoint.witnessed_at.is_some();
        let takes = kept || checkpoint.size() >= self.last.saturating_add(APART);
        if takes {
            self.last = checkpoint.size();
        }
        takes
    }
}

/// The whole record up to a checkpoint that is signed now. Where signing is refused, all there is: whoever verifies the
/// file is to see what is wrong.
pub struct Whole {
    store: Store,
    /// What comes next; `None` at the end.
    lines: Option<ExportLines>,
    out: String,
    next: u64,
    end: u64,
    /// Up to which size checkpoints were written.
    covered: u64,
    /// Number of the newest checkpoint.
    newest: i64,
    milestones: Milestones,
}

impl Whole {
    /// Begins.
    ///
    /// # Errors
    /// When the database fails or there is no key.
    pub async fn begin(store: Store, signer: &Signer) -> Result<Self, SignError> {
        let origin = origin(signer).await?;
        let (newest, end) = match signer.sign().await {
            Ok(newest) => (newest.as_ref().map_or(0, |c| c.number), newest.map_or(0, |c| c.size())),
            Err(SignError::Refused(_)) => {
                let newest = store.last_checkpoint().await?.map_or(0, |c| c.number);
                (newest, u64::try_from(store.ledger_end().await?).unwrap_or(0))
            }
            Err(error) => return Err(error),
        };
        let (lines, out) = ExportLines::begin(&origin).map_err(|_| StoreError::Corrupt("ledger"))?;
        let milestones = Milestones::default();
        Ok(Whole { store, lines: Some(lines), out, next: 1, end, covered: 0, newest, milestones })
    }

    /// How many records the file will have, if none is missing.
    pub fn records(&self) -> u64 {
        self.end
    }

    /// The next part of the file; `None` after its end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn chunk(&mut self) -> Result<Option<String>, StoreError> {
        let Some(mut lines) = self.lines.take() else { return Ok(None) };
        let mut out = std::mem::take(&mut self.out);
        let left = (self.end + 1).saturating_sub(self.next).min(BATCH);
        let mut entries = match left {
            0 => Vec::new(),
            left => self.store.ledger_chain(as_number(self.next), as_number(left)).await?,
        };
        entries.retain(|entry| entry.seq <= self.end);
        let last = entries.last().map(|entry| entry.seq);
        let until = last.unwrap_or(u64::MAX);
        let found = self.store.checkpoints_between(self.covered.saturating_add(1), until, self.newest).await?;
        let mut found = found.into_iter().peekable();
        let unwritten = |_| StoreError::Corrupt("ledger");
        for entry in &entries {
            out += &lines.entry(entry).map_err(unwritten)?;
            while let Some(checkpoint) = found.next_if(|c| c.size() <= entry.seq) {
                if self.milestones.takes(&checkpoint) || checkpoint.number == self.newest {
                    out += &lines.checkpoint(&checkpoint.signed).map_err(unwritten)?;
                }
            }
        }
        match last {
            Some(last) => {
                (self.next, self.covered, self.lines) = (last.saturating_add(1), last, Some(lines));
            }
            None => {
                // Of records that are gone: the file shows that they were signed.
                for checkpoint in found {
                    out += &lines.checkpoint(&checkpoint.signed).map_err(unwritten)?;
                }
                out += &lines.end().map_err(unwritten)?;
            }
        }
        Ok(Some(out))
    }
}

/// The records that a filter finds, each with the proof that it stands in the log. That none is missing, no proof tells.
pub struct Part {
    store: Store,
    scope: Scope,
    filter: LedgerFilter,
    lines: Option<PartialLines>,
    out: String,
    after: i64,
    /// Of the checkpoint that the proofs lead to.
    size: u64,
}

impl Part {
    /// Begins. `words` say what was looked for; they are in the file.
    ///
    /// # Errors
    /// [`SignError::Refused`] where nothing can be proven.
    pub async fn begin(
        store: Store,
        signer: &Signer,
        scope: Scope,
        mut filter: LedgerFilter,
        words: String,
    ) -> Result<Self, SignError> {
        let origin = origin(signer).await?;
        let newest = signer.sign().await?.ok_or(SignError::NoKey)?;
        let size = newest.size();
        let end = as_number(size).saturating_add(1);
        filter.before = Some(filter.before.unwrap_or(end).min(end));
        let mut checkpoints = store.handovers().await?;
        checkpoints.retain(|c| c.number < newest.number);
        checkpoints.push(newest);
        let checkpoints: Vec<_> = checkpoints.into_iter().map(|c| c.signed).collect();
        let (lines, out) = PartialLines::begin(&origin, Selection::Filter(words), &checkpoints)
            .map_err(|_| StoreError::Corrupt("ledger"))?;
        Ok(Part { store, scope, filter, lines: Some(lines), out, after: 0, size })
    }

    /// What it will have, for counting.
    pub fn filter(&self) -> &LedgerFilter {
        &self.filter
    }

    /// The next part of the file; `None` after its end.
    ///
    /// # Errors
    /// When the database fails or the reader may not read the record.
    pub async fn chunk(&mut self) -> Result<Option<String>, StoreError> {
        let Some(mut lines) = self.lines.take() else { return Ok(None) };
        let mut out = std::mem::take(&mut self.out);
        let unwritten = |_| StoreError::Corrupt("ledger");
        let entries = self.store.ledger_after(&self.scope, &self.filter, self.after, PROVEN).await?;
        let Some(last) = entries.last() else {
            out += &lines.end().map_err(unwritten)?;
            return Ok(Some(out));
        };
        self.after = as_number(last.seq);
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
        let proofs = self.store.inclusion_proofs(&numbers, self.size).await?;
        for (entry, proof) in entries.iter().zip(&proofs) {
            out += &lines.record(entry, proof).map_err(unwritten)?;
        }
        self.lines = Some(lines);
        Ok(Some(out))
    }
}

/// The log's name.
async fn origin(signer: &Signer) -> Result<String, SignError> {
    let keys = signer.keys().await?;
    keys.first().map(|key| key.public.name().to_owned()).ok_or(SignError::NoKey)
}

fn as_number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

//! Verifying the record in the database from its first entry: the chain, the checkpoints that were signed of it, and the
//! end that the last sound verification saw, so that entries cut off the end show too. What the database's owner did
//! with the log's key shows in an exported record with a witness's key alone. The rules are the `ledger` crate's.

use crate::ledger_export::Milestones;
use madang_ledger::tree::Frontier;
use madang_ledger::trust::KeyHistory;
use madang_ledger::{Entry, Fault, Head, Verifier};
use madang_store::checkpoints::StoredCheckpoint;
use madang_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Settings of the installation: the last verification, and the end that the last sound one saw.
const LAST: &str = "ledger_verification";
const END: &str = "ledger_verified_end";
const BATCH: i64 = 2000;

/// What a verification found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    pub sound: bool,
    /// Records that hold, from the first.
    pub records: u64,
    /// Hash of the last record that holds.
    pub head: String,
    /// Unix milliseconds.
    pub at: i64,
    /// Number of the first bad record.
    pub fault_seq: Option<u64>,
    /// Korean: what is wrong with it.
    pub fault: Option<String>,
}

/// Verifies the whole record; changes nothing.
///
/// # Errors
/// Only when the database fails: a broken chain is a finding.
pub async fn verify(store: &Store) -> Result<Verification, StoreError> {
    // What is signed while this goes on may be of records that were not read yet.
    let newest = store.last_checkpoint().await?;
    let mut check = Check::new(store, newest.as_ref()).await?;
    let mut from = 1;
    let mut fault = None;
    'chain: loop {
        let batch = store.ledger_chain(from, BATCH).await?;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { break };
        from = i64::try_from(last.seq).unwrap_or(i64::MAX).saturating_add(1);
        let signed = store.checkpoints_between(first.seq, last.seq, check.newest).await?;
        let mut signed = signed.into_iter().peekable();
        for entry in &batch {
            if let Err(found) = check.push(entry) {
                fault = Some(found);
                break 'chain;
            }
            while let Some(checkpoint) = signed.next_if(|c| c.size() <= entry.seq) {
                if let Err(found) = check.agrees(&checkpoint) {
                    fault = Some(found);
                    break 'chain;
                }
            }
        }
    }
    let (records, head) = (check.tree.size(), check.head.hash.clone());
    let fault = fault.or_else(|| check.finish(newest.as_ref()).err());
    Ok(Verification {
        sound: fault.is_none(),
        records,
        head,
        at: store.now(),
        fault_seq: fault.as_ref().map(|f| f.seq),
        fault: fault.map(|f| f.reason),
    })
}

struct Check {
    /// The end that the last sound verification saw.
    kept: Option<Head>,
    chain: Verifier,
    tree: Frontier,
    /// Of the last record that holds.
    head: Head,
    /// The log's keys, where it has one.
    keys: Option<KeyHistory>,
    /// Number of the newest checkpoint that counts.
    newest: i64,
    milestones: Milestones,
}

impl Check {
    async fn new(store: &Store, newest: Option<&StoredCheckpoint>) -> Result<Self, StoreError> {
        let first = store.ledger_keys().await?.into_iter().next();
        Ok(Check {
            kept: store.meta(END).await?.and_then(|text| serde_json::from_str(&text).ok()),
            chain: Verifier::new(),
            tree: Frontier::new(),
            head: Head::genesis(),
            keys: first.and_then(|key| KeyHistory::pinned([key.public]).ok()),
            newest: newest.map_or(0, |c| c.number),
            milestones: Milestones::default(),
        })
    }

    fn push(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.chain.push(entry)?;
        let fault = |reason: &str| Fault { seq: entry.seq, reason: reason.to_owned() };
        if self.kept.as_ref().is_some_and(|k| k.seq == entry.seq && k.hash != entry.hash) {
            return Err(fault("지난번에 확인한 해시와 다릅니다. 기록이 통째로 다시 쓰였습니다."));
        }
        let leaf = entry.leaf().ok_or_else(|| fault("해시의 형식이 아닙니다."))?;
        self.tree.push(leaf).map_err(|full| fault(&full.to_string()))?;
        self.head = Head::from(entry);
        Ok(())
    }

    /// The records so far are those that were signed. Of the signatures themselves, so many are verified that the time
    /// does not grow with the minutes that the server ran.
    fn agrees(&mut self, signed: &StoredCheckpoint) -> Result<(), Fault> {
        let seq = signed.size();
        if signed.signed.checkpoint().root != self.tree.root() {
            let reason = "기록이 서명된 체크포인트의 값과 다릅니다. 서명된 뒤에 다시 쓰였습니다.".to_owned();
            return Err(Fault { seq, reason });
        }
        match &mut self.keys {
            Some(keys) if self.milestones.takes(signed) || signed.number == self.newest => {
                keys.follow(&signed.signed).map(|_| ()).map_err(|e| Fault { seq, reason: e.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn finish(self, newest: Option<&StoredCheckpoint>) -> Result<(), Fault> {
        let records = self.tree.size();
        if let Some(newest) = newest.filter(|c| c.size() > records) {
            let reason = format!("여기서부터 {}번까지 서명된 기록이 없습니다. 끝이 잘렸습니다.", newest.size());
            return Err(Fault { seq: records + 1, reason });
        }
        // A head that was passed and matched is behind; only one that was never reached is a fault.
        self.chain.finish(self.kept.filter(|k| k.seq > records).as_ref()).map(|_| ())
    }
}

/// Verifies and keeps what was found for the screens.
pub async fn verify_and_keep(store: &Store) -> Result<Verification, StoreError> {
    let found = verify(store).await?;
    if found.sound {
        let end = Head { seq: found.records, hash: found.head.clone() };
        store.set_meta(END, serde_json::to_string(&end).ok().as_deref()).await?;
    }
    store.set_meta(LAST, serde_json::to_string(&found).ok().as_deref()).await?;
    Ok(found)
}

/// The last verification that was kept; the first time, one made now.
pub async fn last(store: &Store) -> Result<Verification, StoreError> {
    match store.meta(LAST).await?.and_then(|text| serde_json::from_str(&text).ok()) {
        Some(found) => Ok(found),
        None => verify_and_keep(store).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_store::Clock;
    use madang_store::ledger::Event;

    #[tokio::test]
    async fn a_cut_end_shows_after_a_sound_verification() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(&dir.path().join("a.db"), Clock::System).await.unwrap();
        for _ in 0..3 {
            store.record(Event::new("sign_in", None, serde_json::json!({}))).await.unwrap();
        }
        let found = verify_and_keep(&store).await.unwrap();
        assert!(found.sound && found.records == 3, "{found:?}");
        // The end as it would read had more been verified before.
        let end = Head { seq: 5, hash: found.head.clone() };
        store.set_meta(END, Some(&serde_json::to_string(&end).unwrap())).await.unwrap();
        assert_eq!(verify(&store).await.unwrap().fault_seq, Some(4));
        let other = Head { seq: 2, hash: found.head };
        store.set_meta(END, Some(&serde_json::to_string(&other).unwrap())).await.unwrap();
        assert_eq!(verify(&store).await.unwrap().fault_seq, Some(2));
    }
}

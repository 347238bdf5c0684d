//! Verifying the record in the database from its first entry, against the end that the last sound verification saw, so
//! that entries cut off the end show too. The chain itself is the `ledger` crate's.

use madang_ledger::{Head, Verifier};
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
    let kept: Option<Head> = store.meta(END).await?.and_then(|text| serde_json::from_str(&text).ok());
    let mut verifier = Verifier::new();
    let (mut records, mut hash, mut from) = (0, Head::genesis().hash, 1);
    let mut fault = None;
    'chain: loop {
        let batch = store.ledger_chain(from, BATCH).await?;
        let Some(last) = batch.last() else { break };
        from = i64::try_from(last.seq).unwrap_or(i64::MAX).saturating_add(1);
        for entry in &batch {
            if let Err(found) = verifier.push(entry) {
                fault = Some(found);
                break 'chain;
            }
            if kept.as_ref().is_some_and(|k| k.seq == entry.seq && k.hash != entry.hash) {
                let reason = "지난번에 확인한 해시와 다릅니다. 기록이 통째로 다시 쓰였습니다.".to_owned();
                fault = Some(madang_ledger::Fault { seq: entry.seq, reason });
                break 'chain;
            }
            (records, hash) = (entry.seq, entry.hash.clone());
        }
    }
    if fault.is_none() {
        // A head that was passed and matched is behind; only one that was never reached is a fault.
        fault = verifier.finish(kept.filter(|k| k.seq > records).as_ref()).err();
    }
    Ok(Verification {
        sound: fault.is_none(),
        records,
        head: hash,
        at: store.now(),
        fault_seq: fault.as_ref().map(|f| f.seq),
        fault: fault.map(|f| f.reason),
    })
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

//! The keys that sign the record and what they signed: rows, and whether another checkpoint may be signed. The private
//! keys come sealed; who signs, and who may ask, is decided in `server`.

use crate::ledger::{Event, entry};
use crate::ledger_tree::{StoredTiles, number};
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use madang_ledger::keys::VerifierKey;
use madang_ledger::tree::{
    Hash, NodeId, Plan, ProofError, consistency_plan, empty_root, root_plan, verify_consistency,
};
use sqlx::any::AnyRow;

/// Most records since the last checkpoint that are compared with the tree before the next one is signed; the record as a
/// whole is compared by a verification.
const COMPARED: u64 = 10_000;
const BATCH: i64 = 1000;

/// A key of the log.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// From 1, in the order in which they signed.
    pub number: i64,
    /// Its name is the log's origin.
    pub public: VerifierKey,
    /// The private key, sealed under the public key's text; `None` once another took its place.
    pub sealed: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A checkpoint as stored.
#[derive(Debug, Clone)]
pub struct StoredCheckpoint {
    /// From 1, in the order in which they were signed.
    pub number: i64,
    pub signed: SignedCheckpoint,
    /// Names the log's next key.
    pub hands_over: bool,
    /// Unix milliseconds.
    pub created_at: i64,
    /// When a witness's answer was last added, Unix milliseconds.
    pub witnessed_at: Option<i64>,
}

impl StoredCheckpoint {
    /// Number of records that it covers.
    pub fn size(&self) -> u64 {
        self.signed.checkpoint().size
    }
}

/// Whether a checkpoint may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Everything is signed.
    Nothing,
    /// This one: it continues the last one that was signed.
    Sign(Checkpoint),
    /// The record contradicts what was signed. Korean, for the security officer.
    Refused(String),
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT number, note, hands_over, created_at, witnessed_at FROM ledger_checkpoints ", $rest)
    };
}

impl Store {
    /// The log's keys, oldest first: the last one signs.
    pub async fn ledger_keys(&self) -> Result<Vec<StoredKey>> {
        let rows = sqlx::query("SELECT number, public, sealed, created_at FROM ledger_keys ORDER BY number")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(key).collect()
    }

    /// Keeps the log's first key, with its record; `false` where there is a key already.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where checkpoints were signed and no key is left: a new one would hide that.
    pub async fn insert_first_key(&self, public: &VerifierKey, sealed: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        tx.lock_ledger().await?;
        if tx.signing_key().await?.is_some() {
            return Ok(false);
        }
        if tx.last_checkpoint().await?.is_some() {
            return Err(StoreError::conflict("원장의 키가 데이터베이스에서 없어졌습니다. 백업에서 되살려 주세요."));
        }
        tx.insert_key(public, sealed).await?;
        tx.append(Event::new("ledger_key_created", None, serde_json::json!({ "key": public.to_string() }))).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The checkpoint signed last.
    pub async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>> {
        let row = sqlx::query(select!("ORDER BY number DESC LIMIT 1")).fetch_optional(&self.pool).await?;
        row.as_ref().map(checkpoint).transpose()
    }

    /// Checkpoints that witnesses cosigned, the newest first.
    pub async fn witnessed_checkpoints(&self, limit: i64) -> Result<Vec<StoredCheckpoint>> {
        let rows = sqlx::query(select!("WHERE witnessed_at IS NOT NULL ORDER BY number DESC LIMIT $1"))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Checkpoints in which the log handed over to another key, the oldest first.
    pub async fn handovers(&self) -> Result<Vec<StoredCheckpoint>> {
        let rows = sqlx::query(select!("WHERE hands_over = 1 ORDER BY size, number")).fetch_all(&self.pool).await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Checkpoints with sizes from `first` to `last`, signed no later than number `until`, by size.
    pub async fn checkpoints_between(&self, first: u64, last: u64, until: i64) -> Result<Vec<StoredCheckpoint>> {
        let rows = sqlx::query(select!("WHERE size >= $1 AND size <= $2 AND number <= $3 ORDER BY size, number"))
            .bind(number(first)?)
            .bind(i64::try_from(last).unwrap_or(i64::MAX))
            .bind(until)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// The newest checkpoints.
    pub async fn newest_checkpoints(&self, limit: i64) -> Result<Vec<StoredCheckpoint>> {
        let rows = sqlx::query(select!("ORDER BY number DESC LIMIT $1")).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Adds the cosignatures that `signed` has beyond the stored checkpoint with this number, and records it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for no such checkpoint, [`StoreError::Conflict`] where it says something else.
    pub async fn add_cosignatures(&self, number: i64, signed: &SignedCheckpoint, event: Event) -> Result<()> {
        let mut tx = self.write().await?;
        let row = sqlx::query(select!("WHERE number = $1")).bind(number).fetch_one(&mut *tx.tx).await?;
        let mut stored = checkpoint(&row)?.signed;
        if stored.note().text() != signed.note().text() {
            return Err(StoreError::conflict("다른 체크포인트의 확인서명입니다."));
        }
        signed.note().signatures().iter().for_each(|line| stored.add(line.clone()));
        sqlx::query("UPDATE ledger_checkpoints SET note = $1, witnessed_at = $2 WHERE number = $3")
            .bind(stored.to_string())
            .bind(tx.now)
            .bind(number)
            .execute(&mut *tx.tx)
            .await?;
        tx.append(event).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// The key that signs now; `None` before the first.
    pub async fn signing_key(&mut self) -> Result<Option<StoredKey>> {
        let row =
            sqlx::query("SELECT number, public, sealed, created_at FROM ledger_keys ORDER BY number DESC LIMIT 1")
                .fetch_optional(&mut *self.tx)
                .await?;
        row.as_ref().map(key).transpose()
    }

    /// Keeps a key that signs from now on, and lets go of the private part of those before it.
    pub async fn insert_key(&mut self, public: &VerifierKey, sealed: &str) -> Result<()> {
        sqlx::query("UPDATE ledger_keys SET sealed = NULL, retired_at = $1 WHERE retired_at IS NULL")
            .bind(self.now)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query(
            "INSERT INTO ledger_keys (number, public, sealed, created_at) \
             SELECT COALESCE(MAX(number), 0) + 1, $1, $2, CAST($3 AS BIGINT) FROM ledger_keys",
        )
        .bind(public.to_string())
        .bind(sealed)
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// The checkpoint to be signed with this key: of the tree as it stands, if the record ends where the tree ends, the
    /// tree is what its stored hashes make, it continues the checkpoint signed last, and the records since are those in
    /// the tree.
    pub async fn due_checkpoint(&mut self, key: &VerifierKey) -> Result<Due> {
        self.lock_ledger().await?;
        let Some(tree) = self.tree().await? else {
            return Ok(refused("원장의 해시 트리가 없어졌거나 상했습니다."));
        };
        if self.ledger_head().await? != tree.head {
            let reason = format!("원장의 끝이 해시 트리의 끝({}번 기록)과 다릅니다.", tree.head.seq);
            return Ok(Due::Refused(reason + ADVICE));
        }
        let last = self.last_checkpoint().await?;
        let (size, root) = (tree.frontier.size(), tree.frontier.root());
        let (old, old_root) = match &last {
            Some(last) if last.signed.note().verify([key]).is_err() => {
                return Ok(refused("마지막 체크포인트의 서명이 원장의 키와 맞지 않습니다."));
            }
            Some(last) => (last.size(), last.signed.checkpoint().root),
            None => (0, empty_root()),
        };
        if (size, root) == (old, old_root) {
            return Ok(Due::Nothing);
        }
        if self.continues(old, size, &old_root, &root).await? {
            match self.first_stranger(old, size).await? {
                None => Ok(Due::Sign(Checkpoint::of(key.name(), &tree.frontier))),
                Some(seq) => {
                    let reason = format!("원장 {seq}번 기록이 적을 때 셈해 둔 해시와 다릅니다.");
                    Ok(Due::Refused(reason + ADVICE))
                }
            }
        } else {
            let reason = format!("지금의 원장이 앞서 서명한 {old}건과 이어지지 않습니다.");
            Ok(Due::Refused(reason + ADVICE))
        }
    }

    /// Keeps a checkpoint that was just signed.
    pub async fn keep_checkpoint(&mut self, signed: &SignedCheckpoint) -> Result<()> {
        let checkpoint = signed.checkpoint();
        let hands_over = checkpoint.next_key().is_ok_and(|next| next.is_some());
        sqlx::query(
            "INSERT INTO ledger_checkpoints (number, size, root, note, hands_over, created_at) \
             SELECT COALESCE(MAX(number), 0) + 1, CAST($1 AS BIGINT), $2, $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT) \
             FROM ledger_checkpoints",
        )
        .bind(number(checkpoint.size)?)
        .bind(checkpoint.root.to_string())
        .bind(signed.to_string())
        .bind(i64::from(hands_over))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// The checkpoint signed last.
    pub async fn last_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>> {
        let row = sqlx::query(select!("ORDER BY number DESC LIMIT 1")).fetch_optional(&mut *self.tx).await?;
        row.as_ref().map(checkpoint).transpose()
    }

    /// The stored hashes make this root, and prove that it continues the old one.
    async fn continues(&mut self, old: u64, size: u64, old_root: &Hash, root: &Hash) -> Result<bool> {
        let plans = || -> std::result::Result<(Plan, Plan), ProofError> {
            Ok((root_plan(size)?, consistency_plan(old, size)?))
        };
        let Ok((whole, proof)) = plans() else { return Ok(false) };
        let mut tiles = StoredTiles::default();
        tiles.read(&mut self.tx, whole.tiles().into_iter().chain(proof.tiles())).await?;
        let (Ok(whole), Ok(proof)) = (tiles.resolve(&whole), tiles.resolve(&proof)) else { return Ok(false) };
        Ok(whole == [*root] && verify_consistency(old, size, old_root, root, &proof).is_ok())
    }

    /// The first of the records after `old` that is not the one in the tree.
    async fn first_stranger(&mut self, old: u64, size: u64) -> Result<Option<u64>> {
        let mut next = old.max(size.saturating_sub(COMPARED)) + 1;
        while next <= size {
            let rows = sqlx::query(
                "SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE seq >= $1 ORDER BY seq LIMIT $2",
            )
            .bind(number(next)?)
            .bind(BATCH)
            .fetch_all(&mut *self.tx)
            .await?;
            let mut tiles = StoredTiles::default();
            let leaf = |seq: u64| NodeId { level: 0, index: seq - 1 };
            let until = next.saturating_add(BATCH as u64).min(size);
            let mut wanted: Vec<_> = (next..=until).map(|seq| leaf(seq).tile()).collect();
            wanted.dedup();
            tiles.read(&mut self.tx, wanted).await?;
            if rows.is_empty() {
                return Ok(Some(next));
            }
            for row in &rows {
                let record = entry(row)?;
                let same = record.seq == next
                    && record.holds().is_ok()
                    && record.leaf().is_some_and(|hash| tiles.holds(leaf(next), hash));
                if !same {
                    return Ok(Some(next));
                }
                next += 1;
                if next > size {
                    break;
                }
            }
        }
        Ok(None)
    }
}

const ADVICE: &str = " 그래서 서명하지 않았습니다. 데이터베이스가 밖에서 고쳐졌거나 일부만 되살려졌을 수 있으니, 지금의 \
                      데이터베이스를 따로 보관하고 백업과 견주어 주세요.";

fn refused(reason: &str) -> Due {
    Due::Refused(format!("{reason}{ADVICE}"))
}

fn key(row: &AnyRow) -> Result<StoredKey> {
    Ok(StoredKey {
        number: row.int("number")?,
        public: row.parsed("public")?,
        sealed: row.opt_text("sealed")?,
        created_at: row.int("created_at")?,
    })
}

fn checkpoint(row: &AnyRow) -> Result<StoredCheckpoint> {
    Ok(StoredCheckpoint {
        number: row.int("number")?,
        signed: row.parsed("note")?,
        hands_over: row.flag("hands_over")?,
        created_at: row.int("created_at")?,
        witnessed_at: row.opt_int("witnessed_at")?,
    })
}

//! The Merkle tree over the record: grown by the transaction that appends, caught up with older records at start, read
//! for proofs. What is signed of it is in `checkpoints`, the tree itself in the `ledger` crate.
//!
//! A tree that does not end where the record ends is left as it is: records go on being appended, because whoever has
//! to look into the matter must be able to sign in, but nothing is signed any more until the matter is settled.

use crate::ledger::entry;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_ledger::tree::{
    Frontier, Hash, NodeId, Plan, TILE_WIDTH, TileId, TileNodes, consistency_plan, inclusion_plan,
};
use madang_ledger::{Entry, Head};
use sqlx::{AnyConnection, AssertSqlSafe};
use std::collections::{BTreeSet, HashMap};

/// Records taken into the tree in one transaction at start.
const BATCH: i64 = 2000;
/// Hashes of one INSERT: three parameters each.
const ROWS: usize = 100;

/// The tree as stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredTree {
    pub frontier: Frontier,
    /// Number and hash of the last record in it.
    pub head: Head,
}

impl WriteTx {
    /// The tree; `None` where its row is gone or does not read back.
    pub(crate) async fn tree(&mut self) -> Result<Option<StoredTree>> {
        let row = sqlx::query("SELECT size, head, frontier FROM ledger_tree WHERE id = 1")
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (size, hash) = (row.count("size")? as u64, row.text("head")?);
        let frontier = hex::decode(row.text("frontier")?).ok().and_then(|bytes| Frontier::from_bytes(&bytes));
        let head = Head { seq: size, hash };
        Ok(frontier.filter(|f| f.size() == size).map(|frontier| StoredTree { frontier, head }))
    }

    /// Takes a record that was just appended after `before` into the tree.
    pub(crate) async fn grow_by(&mut self, before: &Head, appended: &Entry) -> Result<()> {
        match self.tree().await? {
            Some(mut tree) if tree.head == *before => self.grow(&mut tree, std::slice::from_ref(appended)).await,
            _ => {
                tracing::error!(
                    record = appended.seq,
                    "the ledger's tree does not end where the ledger ends; nothing is signed"
                );
                Ok(())
            }
        }
    }

    /// Pushes records that follow the tree's last one.
    async fn grow(&mut self, tree: &mut StoredTree, entries: &[Entry]) -> Result<()> {
        let mut hashes = Vec::with_capacity(entries.len() + 1);
        for entry in entries {
            let leaf = entry.leaf().ok_or(StoreError::Corrupt("ledger.hash"))?;
            let stored = tree.frontier.push_with(leaf, |node, hash| {
                if let Some((tile, _)) = node.slot() {
                    hashes.push((tile.level, node.index, hash));
                }
            });
            stored.map_err(|_| StoreError::Corrupt("ledger.seq"))?;
            tree.head = Head::from(entry);
        }
        for rows in hashes.chunks(ROWS) {
            let mut statement = sqlx::query(AssertSqlSafe(insert_hashes(rows.len())));
            for (level, place, hash) in rows {
                statement = statement.bind(i64::from(*level)).bind(number(*place)?).bind(hash.to_string());
            }
            statement.execute(&mut *self.tx).await?;
        }
        sqlx::query("UPDATE ledger_tree SET size = $1, head = $2, frontier = $3 WHERE id = 1")
            .bind(number(tree.head.seq)?)
            .bind(tree.head.hash.as_str())
            .bind(hex::encode(tree.frontier.to_bytes()))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Takes the next records into the tree: how many. None where there are no more or they do not continue it.
    async fn catch_up(&mut self) -> Result<usize> {
        self.lock_ledger().await?;
        let Some(mut tree) = self.tree().await? else { return Ok(0) };
        let last = sqlx::query("SELECT hash FROM ledger WHERE seq = $1")
            .bind(number(tree.head.seq)?)
            .fetch_optional(&mut *self.tx)
            .await?;
        let last = last.map(|row| row.text("hash")).transpose()?;
        if tree.head.seq > 0 && last.as_ref() != Some(&tree.head.hash) {
            return Ok(0);
        }
        let rows =
            sqlx::query("SELECT seq, time, payload, prev_hash, hash FROM ledger WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(number(tree.head.seq)?)
                .bind(BATCH)
                .fetch_all(&mut *self.tx)
                .await?;
        let mut head = tree.head.clone();
        let mut follow = Vec::with_capacity(rows.len());
        for row in &rows {
            let next = entry(row)?;
            let continues = Some(next.seq) == head.seq.checked_add(1) && next.prev_hash == head.hash;
            if !continues || next.leaf().is_none() {
                break;
            }
            head = Head::from(&next);
            follow.push(next);
        }
        if !follow.is_empty() {
            self.grow(&mut tree, &follow).await?;
        }
        Ok(follow.len())
    }
}

/// `INSERT` of as many hashes.
fn insert_hashes(rows: usize) -> String {
    let values = (0..rows).map(|i| format!("(${}, ${}, ${})", 3 * i + 1, 3 * i + 2, 3 * i + 3));
    format!("INSERT INTO ledger_hashes (level, place, hash) VALUES {}", values.collect::<Vec<_>>().join(", "))
}

pub(crate) fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt("ledger.seq"))
}

impl Store {
    /// Takes records that are in no tree yet into it, as those of an older database: in order and in several
    /// transactions, so that it goes on where it was cut off.
    pub(crate) async fn catch_up_tree(&self) -> Result<()> {
        let mut taken = 0;
        loop {
            let row = sqlx::query(
                "SELECT (SELECT COALESCE(MAX(seq), 0) FROM ledger) AS records, \
                 (SELECT COALESCE(MAX(size), -1) FROM ledger_tree) AS size",
            )
            .fetch_one(&self.pool)
            .await?;
            let (records, size) = (row.int("records")?, row.int("size")?);
            if records <= size {
                break;
            }
            let mut tx = self.write_alone().await?;
            let more = tx.catch_up().await?;
            tx.commit().await?;
            if more == 0 {
                tracing::error!(records, size, "records do not continue the ledger's tree; nothing is signed");
                break;
            }
            taken += more;
        }
        if taken > 0 {
            tracing::info!(records = taken, "records taken into the ledger's tree");
        }
        Ok(())
    }

    /// Number of records in the tree.
    pub async fn tree_size(&self) -> Result<u64> {
        let row = sqlx::query("SELECT COALESCE(MAX(size), 0) AS size FROM ledger_tree").fetch_one(&self.pool).await?;
        Ok(row.count("size")? as u64)
    }

    /// Proof that the tree of `old` records is the beginning of the one of `new`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where `old` is the larger or the tree is not that large.
    pub async fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>> {
        let plan = consistency_plan(old, new).map_err(|e| StoreError::invalid("old", e.to_string()))?;
        let mut tiles = StoredTiles::default();
        tiles.read(&mut *self.pool.acquire().await?, plan.tiles()).await?;
        tiles.resolve(&plan)
    }

    /// Proofs that these records are in the tree of `size`, in their order.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a record that is not in that tree.
    pub async fn inclusion_proofs(&self, records: &[u64], size: u64) -> Result<Vec<Vec<Hash>>> {
        let plan = |seq: &u64| inclusion_plan(seq.wrapping_sub(1), size);
        let plans: Vec<Plan> = records
            .iter()
            .map(plan)
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| StoreError::invalid("seq", e.to_string()))?;
        let wanted: BTreeSet<TileId> = plans.iter().flat_map(|plan| plan.tiles()).collect();
        let mut tiles = StoredTiles::default();
        tiles.read(&mut *self.pool.acquire().await?, wanted).await?;
        plans.iter().map(|plan| tiles.resolve(plan)).collect()
    }
}

/// Stored hashes, tile by tile.
#[derive(Default)]
pub(crate) struct StoredTiles(HashMap<TileId, Vec<u8>>);

impl StoredTiles {
    /// Reads tiles as far as they are filled without a gap.
    pub async fn read(
        &mut self,
        connection: &mut AnyConnection,
        tiles: impl IntoIterator<Item = TileId>,
    ) -> Result<()> {
        for tile in tiles {
            let first = number(tile.index)?.saturating_mul(TILE_WIDTH as i64);
            let rows = sqlx::query(
                "SELECT place, hash FROM ledger_hashes WHERE level = $1 AND place >= $2 AND place < $3 ORDER BY place",
            )
            .bind(i64::from(tile.level))
            .bind(first)
            .bind(first.saturating_add(TILE_WIDTH as i64))
            .fetch_all(&mut *connection)
            .await?;
            let mut bytes = Vec::with_capacity(rows.len() * 32);
            for (row, place) in rows.iter().zip(first..) {
                let Some(hash) = Hash::from_base64(&row.text("hash")?).filter(|_| row.int("place").ok() == Some(place))
                else {
                    break;
                };
                bytes.extend(hash.as_bytes());
            }
            self.0.insert(tile, bytes);
        }
        Ok(())
    }

    /// The stored node is this one.
    pub fn holds(&self, node: NodeId, hash: Hash) -> bool {
        let mut nodes = TileNodes::new(|tile| self.0.get(&tile).cloned().ok_or(()));
        nodes.node(node) == Ok(hash)
    }

    /// The hashes that a plan is made of.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one is not stored.
    pub fn resolve(&self, plan: &Plan) -> Result<Vec<Hash>> {
        let mut nodes = TileNodes::new(|tile| self.0.get(&tile).cloned().ok_or(()));
        plan.resolve(|node| nodes.node(node)).map_err(|_| StoreError::Corrupt("ledger_hashes"))
    }
}

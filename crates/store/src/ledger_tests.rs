//! The tree over the record and what may be signed of it, on SQLite and, where `MADANG_TEST_POSTGRES` names a database,
//! in a schema of its own there.

use crate::checkpoints::Due;
use crate::ledger::Event;
use crate::test_house::{Database, databases};
use crate::{Clock, Dialect, Store};
use madang_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use madang_ledger::keys::{Purpose, SigningKey};
use madang_ledger::tree::{MemoryTiles, verify_consistency, verify_inclusion};
use serde_json::json;
use sqlx::AssertSqlSafe;

pub(crate) struct House {
    pub store: Store,
    pub database: Database,
    key: SigningKey,
}

/// Databases to run on.
pub(crate) async fn houses() -> Vec<House> {
    let mut out = Vec::new();
    for database in databases().await {
        out.push(House::open(database).await);
    }
    out
}

impl House {
    async fn open(database: Database) -> Self {
        let key = SigningKey::generate("city/ledger", Purpose::Log).expect("a key");
        House { store: database.open(Clock::System).await, database, key }
    }

    async fn append(&self, records: usize) {
        for n in 0..records {
            self.store.record(Event::new("sign_in", None, json!({ "n": n }))).await.expect("appended");
        }
    }

    async fn due(&self) -> Due {
        self.store.write().await.expect("tx").due_checkpoint(self.key.verifier()).await.expect("decided")
    }

    /// Signs what is due.
    async fn sign(&self) -> SignedCheckpoint {
        let mut tx = self.store.write().await.expect("tx");
        let Due::Sign(checkpoint) = tx.due_checkpoint(self.key.verifier()).await.expect("decided") else {
            panic!("nothing to sign")
        };
        let signed = SignedCheckpoint::signed(&checkpoint, &self.key).expect("signed");
        tx.keep_checkpoint(&signed).await.expect("kept");
        tx.commit().await.expect("committed");
        signed
    }

    /// As somebody with the database's password would.
    async fn tamper(&self, sql: &str) {
        let mut tx = self.store.write().await.expect("tx");
        for table in ["ledger", "ledger_hashes"] {
            let statements = match self.store.dialect {
                Dialect::Sqlite => [
                    format!("DROP TRIGGER IF EXISTS {table}_no_update"),
                    format!("DROP TRIGGER IF EXISTS {table}_no_delete"),
                ],
                Dialect::Postgres => [format!("ALTER TABLE {table} DISABLE TRIGGER USER"), "SELECT 1".to_owned()],
            };
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx.tx).await.expect("trigger");
            }
        }
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *tx.tx).await.expect("tampered");
        tx.commit().await.expect("committed");
    }

    async fn refused(&self) -> String {
        match self.due().await {
            Due::Refused(reason) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_stored_tree_is_the_records_tree() {
    for house in houses().await {
        assert_eq!(house.due().await, Due::Nothing);
        house.append(300).await;
        let first = house.sign().await;
        assert_eq!(house.due().await, Due::Nothing);
        house.append(223).await;
        let second = house.sign().await;
        let entries = house.store.ledger_chain(1, 1000).await.unwrap();
        let mut tree = MemoryTiles::new();
        entries.iter().for_each(|e| tree.push(e.leaf().unwrap()).unwrap());
        assert_eq!(*second.checkpoint(), Checkpoint::of("city/ledger", tree.frontier()));
        let (old, new) = (first.checkpoint(), second.checkpoint());
        let proof = house.store.consistency_proof(old.size, new.size).await.unwrap();
        assert_eq!(verify_consistency(old.size, new.size, &old.root, &new.root, &proof), Ok(()));
        let seqs = [1, 256, 257, 512, 523];
        let proofs = house.store.inclusion_proofs(&seqs, new.size).await.unwrap();
        for (seq, proof) in seqs.iter().zip(&proofs) {
            let leaf = entries[*seq as usize - 1].leaf().unwrap();
            assert_eq!(verify_inclusion(seq - 1, new.size, &leaf, proof, &new.root), Ok(()), "{seq}");
        }
        assert!(house.store.inclusion_proofs(&[524], new.size).await.is_err());
        assert!(house.store.inclusion_proofs(&[0], new.size).await.is_err());
        assert!(house.store.consistency_proof(9, 8).await.is_err());
        assert!(house.store.consistency_proof(9, 4096).await.is_err(), "not that large yet");
    }
}

/// A transaction that is given up leaves neither a record nor a leaf.
#[tokio::test]
async fn record_and_leaf_stand_or_fall_together() {
    for house in houses().await {
        house.append(3).await;
        let mut tx = house.store.write().await.unwrap();
        tx.append(Event::new("sign_in", None, json!({}))).await.unwrap();
        drop(tx);
        assert_eq!((house.store.ledger_end().await.unwrap(), house.store.tree_size().await.unwrap()), (3, 3));
        house.append(1).await;
        assert_eq!(house.sign().await.checkpoint().size, 4);
    }
}

#[tokio::test]
async fn records_of_an_older_database_are_taken_in_at_start() {
    for house in houses().await {
        house.append(700).await;
        let Due::Sign(expected) = house.due().await else { panic!("nothing due") };
        // As before the tree came, and as a process left it that was cut off half-way.
        let zeros = "0".repeat(64);
        house.tamper("DELETE FROM ledger_hashes").await;
        house
            .tamper(&format!("UPDATE ledger_tree SET size = 0, head = '{zeros}', frontier = '0000000000000000'"))
            .await;
        house.append(1).await;
        assert_eq!(house.store.tree_size().await.unwrap(), 0, "nothing is put behind a gap");
        let again = Store::open(&house.database.url, Clock::System).await.unwrap();
        assert_eq!(again.tree_size().await.unwrap(), 701);
        assert_eq!(house.sign().await.checkpoint().size, 701);
        let proof = again.consistency_proof(700, 701).await.unwrap();
        let last = again.last_checkpoint().await.unwrap().unwrap();
        let (root, new) = (expected.root, last.signed.checkpoint().root);
        assert_eq!(verify_consistency(700, 701, &root, &new, &proof), Ok(()));
        again.close().await;
    }
}

#[tokio::test]
async fn what_contradicts_the_tree_is_not_signed() {
    for house in houses().await {
        house.append(20).await;
        house.sign().await;
        house.append(10).await;
        house.tamper("UPDATE ledger SET payload = replace(payload, 'sign_in', 'sign_on') WHERE seq = 25").await;
        assert!(house.refused().await.contains("25번"), "an altered record is named");
        house.tamper("UPDATE ledger SET payload = replace(payload, 'sign_on', 'sign_in') WHERE seq = 25").await;
        assert!(matches!(house.due().await, Due::Sign(_)));
        let tail = house.store.ledger_chain(30, 1).await.unwrap().remove(0);
        house.tamper("DELETE FROM ledger WHERE seq = 30").await;
        assert!(house.refused().await.contains("30번"), "a cut tail");
        // Appending goes on, and the tree is not led along.
        house.append(2).await;
        assert_eq!((house.store.ledger_end().await.unwrap(), house.store.tree_size().await.unwrap()), (31, 30));
        assert!(house.refused().await.contains("30번"));
        house.tamper("DELETE FROM ledger WHERE seq >= 30").await;
        let row = sqlx::query("INSERT INTO ledger (seq, time, payload, prev_hash, hash) VALUES (30, $1, $2, $3, $4)");
        row.bind(tail.time)
            .bind(tail.payload)
            .bind(tail.prev_hash)
            .bind(tail.hash)
            .execute(&house.store.pool)
            .await
            .unwrap();
        assert!(matches!(house.due().await, Due::Sign(_)), "restored as it was");
        house.tamper("UPDATE ledger_hashes SET hash = (SELECT hash FROM ledger_hashes WHERE place = 4 AND level = 0) WHERE place = 3 AND level = 0").await;
        assert!(house.refused().await.contains("20건"), "altered hashes");
        let other = SigningKey::generate("city/ledger", Purpose::Log).unwrap();
        let mut tx = house.store.write().await.unwrap();
        assert!(matches!(tx.due_checkpoint(other.verifier()).await.unwrap(), Due::Refused(_)), "not signed by us");
    }
}

#[tokio::test]
async fn the_first_key_is_made_once_and_never_anew() {
    for house in houses().await {
        let other = SigningKey::generate("other", Purpose::Log).unwrap();
        assert!(house.store.insert_first_key(house.key.verifier(), "sealed").await.unwrap());
        assert!(!house.store.insert_first_key(other.verifier(), "sealed").await.unwrap());
        house.sign().await;
        let keys = house.store.ledger_keys().await.unwrap();
        assert_eq!((keys.len(), &keys[0].public), (1, house.key.verifier()));
        house.tamper("DELETE FROM ledger_keys").await;
        assert!(house.store.insert_first_key(other.verifier(), "sealed").await.is_err(), "checkpoints stand there");
    }
}

#[tokio::test]
async fn cosignatures_are_added_to_the_checkpoint_that_they_are_of() {
    for house in houses().await {
        let witness = SigningKey::generate("w", Purpose::Witness).unwrap();
        house.append(2).await;
        let mut first = house.sign().await;
        house.append(2).await;
        let second = house.sign().await;
        let line = first.note().cosignature(&witness, 1_795_000_000).unwrap();
        first.add(line);
        let stored = house.store.checkpoints_between(0, 2, i64::MAX).await.unwrap().remove(0);
        let last = house.store.last_checkpoint().await.unwrap().unwrap();
        assert_eq!((stored.size(), last.size()), (2, second.checkpoint().size));
        let event = || Event::new("cosignature_added", None, json!({}));
        assert!(house.store.add_cosignatures(last.number, &first, event()).await.is_err());
        house.store.add_cosignatures(stored.number, &first, event()).await.unwrap();
        let witnessed = house.store.witnessed_checkpoints(5).await.unwrap();
        assert_eq!((witnessed.len(), &witnessed[0].signed), (1, &first));
    }
}

//! A log with its keys, records and checkpoints, for the tests of exports and proofs.

#![allow(dead_code, reason = "each test file uses a part")]

use madang_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use madang_ledger::export::ExportLines;
use madang_ledger::keys::{Purpose, SigningKey};
use madang_ledger::tree::{Hash, MemoryTiles, consistency_plan, inclusion_plan, root_plan};
use madang_ledger::trust::{KeyHistory, Trust};
use madang_ledger::{Entry, Head, canonical, chain};
use serde_json::json;

pub const ORIGIN: &str = "city.example.kr/ledger";
pub const NOW: u64 = 1_795_000_000;

pub fn log_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, Purpose::Log, &[seed; 32]).unwrap()
}

pub fn witness_key() -> SigningKey {
    SigningKey::from_seed("security.example.kr/witness", Purpose::Witness, &[77; 32]).unwrap()
}

pub fn of_log() -> Trust {
    Trust::of_log(KeyHistory::pinned([log_key(1).verifier().clone()]).unwrap())
}

pub fn witnessed() -> Trust {
    of_log().witnessed(vec![witness_key().verifier().clone()], 1).unwrap()
}

/// Records and their tree.
#[derive(Clone)]
pub struct Log {
    pub entries: Vec<Entry>,
    pub tiles: MemoryTiles,
}

impl Log {
    pub fn of(records: u64) -> Self {
        Log { entries: vec![], tiles: MemoryTiles::new() }.grown(records, 0)
    }

    /// The same records before number `from`, others from there on, their chain and tree right.
    pub fn rewritten(&self, from: u64) -> Self {
        let mut log = Log { entries: vec![], tiles: MemoryTiles::new() };
        self.entries.iter().take(from as usize - 1).for_each(|entry| log.push(entry.clone()));
        log.grown(self.entries.len() as u64, 1)
    }

    fn grown(mut self, records: u64, version: u64) -> Self {
        for i in self.entries.len() as u64..records {
            let head = self.entries.last().map(Head::from).unwrap_or_default();
            let payload =
                canonical(&json!({"action": "외부호출", "n": i, "version": version, "메모": "\"줄\"\n"})).unwrap();
            self.push(chain(&head, &format!("2026-11-22T06:20:{:02}.000Z", i % 60), &payload).unwrap());
        }
        self
    }

    fn push(&mut self, entry: Entry) {
        self.tiles.push(entry.leaf().unwrap()).unwrap();
        self.entries.push(entry);
    }

    fn resolve(&self, plan: madang_ledger::tree::Plan) -> Vec<Hash> {
        plan.resolve(|node| self.tiles.node(node).ok_or(())).unwrap()
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = self.resolve(root_plan(size).unwrap())[0];
        Checkpoint { origin: ORIGIN.into(), size, root, extensions: vec![] }
    }

    pub fn signed(&self, size: u64) -> SignedCheckpoint {
        SignedCheckpoint::signed(&self.checkpoint(size), &log_key(1)).unwrap()
    }

    pub fn cosigned(&self, size: u64) -> SignedCheckpoint {
        let mut signed = self.signed(size);
        signed.add(signed.note().cosignature(&witness_key(), NOW + size).unwrap());
        signed
    }

    pub fn inclusion(&self, seq: u64, size: u64) -> Vec<Hash> {
        self.resolve(inclusion_plan(seq - 1, size).unwrap())
    }

    pub fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
        self.resolve(consistency_plan(old, new).unwrap())
    }
}

/// Lines of an export with these checkpoints.
pub fn export(entries: &[Entry], checkpoints: &[SignedCheckpoint]) -> Vec<String> {
    let (mut export, first) = ExportLines::begin(ORIGIN).unwrap();
    let mut lines = vec![first];
    for size in 0..=entries.len() {
        if size > 0 {
            lines.push(export.entry(&entries[size - 1]).unwrap());
        }
        for checkpoint in checkpoints.iter().filter(|c| c.checkpoint().size == size as u64) {
            lines.push(export.checkpoint(checkpoint).unwrap());
        }
    }
    lines.push(export.end().unwrap());
    lines
}

//! A witness signs what continues what it signed before, and nothing else, also after it was stopped anywhere.

use madang_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use madang_ledger::keys::{Purpose, SigningKey};
use madang_ledger::tree::{Hash, MemoryTiles, consistency_plan, leaf_hash, root_plan};
use madang_ledger::trust::{KeyHistory, TrustError};
use madang_ledger::witness::{AddCheckpoint, Witness, WitnessError, parse_conflict};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

const NOW: u64 = 1_795_000_000;

fn key(name: &str, purpose: Purpose, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, purpose, &[seed; 32]).unwrap()
}

fn log_key() -> SigningKey {
    key("log", Purpose::Log, 1)
}

fn open(folder: &Path) -> Result<Witness, WitnessError> {
    let log = KeyHistory::pinned([log_key().verifier().clone()]).unwrap();
    Witness::open(folder, key("witness", Purpose::Witness, 2), &[], [log])
}

fn state_file(folder: &Path) -> PathBuf {
    fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).find(|p| p.extension().is_some()).unwrap()
}

/// A log whose records from `fork` on are others.
struct Log(MemoryTiles);

impl Log {
    fn of(size: u64, fork: u64) -> Self {
        let mut tiles = MemoryTiles::new();
        (0..size).for_each(|i| tiles.push(leaf_hash(&[i as u8, u8::from(i >= fork)])).unwrap());
        Log(tiles)
    }

    fn node(&self) -> impl FnMut(madang_ledger::tree::NodeId) -> Result<Hash, ()> {
        |node| self.0.node(node).ok_or(())
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = root_plan(size).unwrap().resolve(self.node()).unwrap()[0];
        Checkpoint { origin: "log".into(), size, root, extensions: vec![] }
    }

    fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let proof = consistency_plan(old, new).unwrap().resolve(self.node()).unwrap();
        let checkpoint = SignedCheckpoint::signed(&self.checkpoint(new), &log_key()).unwrap();
        AddCheckpoint { old_size: old, proof, checkpoint }
    }
}

#[test]
fn cosigns_what_continues_and_remembers_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::of(40, 99);
    let mut witness = open(folder.path()).unwrap();
    let mut checkpoint = log.request(0, 7).checkpoint;
    let line = witness.add_checkpoint(&log.request(0, 7), NOW).unwrap();
    let keys = [witness.verifier().clone()];
    assert_eq!(checkpoint.add_cosignatures(&format!("{line}\n"), &keys), Ok(1));
    assert_eq!(witness.latest("log"), Some(&checkpoint));
    // The same again is signed again: the first answer may have been lost.
    witness.add_checkpoint(&log.request(7, 7), NOW + 1).unwrap();
    drop(witness);
    let mut witness = open(folder.path()).unwrap();
    let behind = witness.add_checkpoint(&log.request(0, 20), NOW).unwrap_err();
    assert_eq!((behind.status(), parse_conflict(&behind.body())), (409, Some(7)));
    witness.add_checkpoint(&log.request(7, 20), NOW).unwrap();
    assert_eq!(witness.add_checkpoint(&log.request(20, 20), 0), Err(WitnessError::Clock));
}

#[test]
fn rollback_forks_and_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (log, fork) = (Log::of(40, 99), Log::of(40, 12));
    let mut witness = open(folder.path()).unwrap();
    witness.add_checkpoint(&log.request(0, 20), NOW).unwrap();
    let before = fs::read_dir(folder.path()).unwrap().map(|f| fs::read(f.unwrap().path()).unwrap()).collect::<Vec<_>>();
    let mut refused = |request: &AddCheckpoint| witness.add_checkpoint(request, NOW).unwrap_err();
    assert_eq!(refused(&log.request(0, 10)), WitnessError::Conflict { size: 20 });
    assert_eq!(refused(&log.request(10, 30)), WitnessError::Conflict { size: 20 });
    let backwards = AddCheckpoint { old_size: 20, ..log.request(0, 10) };
    assert_eq!(refused(&backwards), WitnessError::Backwards { old: 20, new: 10 });
    assert_eq!(refused(&fork.request(20, 20)), WitnessError::Inconsistent { size: 20 });
    assert_eq!(refused(&fork.request(20, 30)), WitnessError::Inconsistent { size: 20 });
    assert_eq!(
        refused(&AddCheckpoint { proof: vec![], ..log.request(20, 30) }),
        WitnessError::Inconsistent { size: 20 }
    );
    let empty = AddCheckpoint { old_size: 0, proof: vec![leaf_hash(b"")], ..log.request(0, 20) };
    assert_eq!(refused(&empty), WitnessError::Conflict { size: 20 });
    let sign = |checkpoint: &Checkpoint, key: &SigningKey| AddCheckpoint {
        checkpoint: SignedCheckpoint::signed(checkpoint, key).unwrap(),
        ..log.request(20, 30)
    };
    let forged = sign(&log.checkpoint(30), &key("log", Purpose::Log, 9));
    assert_eq!(refused(&forged), WitnessError::Untrusted(TrustError::Unsigned));
    let other = Checkpoint { origin: "other".into(), ..log.checkpoint(30) };
    assert_eq!(refused(&sign(&other, &key("other", Purpose::Log, 1))), WitnessError::UnknownLog("other".into()));
    let statuses: Vec<u16> = [forged, fork.request(20, 30), backwards].iter().map(|r| refused(r).status()).collect();
    assert_eq!(statuses, [403, 422, 400]);
    let after = fs::read_dir(folder.path()).unwrap().map(|f| fs::read(f.unwrap().path()).unwrap()).collect::<Vec<_>>();
    assert_eq!(before, after);
    witness.add_checkpoint(&log.request(20, 30), NOW).unwrap();
}

#[test]
fn an_empty_tree_has_one_root() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = open(folder.path()).unwrap();
    let wrong = Checkpoint { root: leaf_hash(b""), ..Log::of(0, 0).checkpoint(0) };
    let request = |checkpoint: &Checkpoint| AddCheckpoint {
        checkpoint: SignedCheckpoint::signed(checkpoint, &log_key()).unwrap(),
        ..Log::of(0, 0).request(0, 0)
    };
    assert_eq!(witness.add_checkpoint(&request(&wrong), NOW), Err(WitnessError::Inconsistent { size: 0 }));
    witness.add_checkpoint(&request(&Log::of(0, 0).checkpoint(0)), NOW).unwrap();
    let proven = AddCheckpoint { proof: vec![leaf_hash(b"")], ..Log::of(3, 9).request(0, 3) };
    assert_eq!(witness.add_checkpoint(&proven, NOW), Err(WitnessError::Inconsistent { size: 0 }));
}

#[test]
fn a_log_that_hands_over_is_followed_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::of(40, 99);
    let next = key("log", Purpose::Log, 5);
    let with = |old, new, keys: &[&SigningKey], over: Option<&SigningKey>| {
        let checkpoint = log.checkpoint(new);
        let checkpoint = over.map_or(checkpoint.clone(), |k| checkpoint.handing_over_to(k.verifier()));
        let mut signed = SignedCheckpoint::signed(&checkpoint, keys[0]).unwrap();
        keys[1..].iter().for_each(|key| signed.sign(key).unwrap());
        AddCheckpoint { checkpoint: signed, ..log.request(old, new) }
    };
    let mut witness = open(folder.path()).unwrap();
    let half = with(0, 10, &[&log_key()], Some(&next));
    assert_eq!(witness.add_checkpoint(&half, NOW), Err(WitnessError::Untrusted(TrustError::HalfSigned)));
    witness.add_checkpoint(&with(0, 10, &[&log_key(), &next], Some(&next)), NOW).unwrap();
    drop(witness);
    let mut witness = open(folder.path()).unwrap();
    let old = witness.add_checkpoint(&with(10, 12, &[&log_key()], None), NOW);
    assert_eq!(old, Err(WitnessError::Untrusted(TrustError::Retired(10))));
    witness.add_checkpoint(&with(10, 12, &[&next], None), NOW).unwrap();
}

#[test]
fn one_process_at_a_time_and_no_damaged_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(WitnessError::InUse(_))));
    witness.add_checkpoint(&Log::of(9, 9).request(0, 9), NOW).unwrap();
    drop(witness);
    let file = state_file(folder.path());
    let text = fs::read_to_string(&file).unwrap();
    for bad in [String::new(), text.replace("9\\n", "8\\n"), text[..text.len() - 1].into(), "{}".into()] {
        fs::write(&file, bad).unwrap();
        assert!(matches!(open(folder.path()), Err(WitnessError::Damaged(_))));
    }
    fs::write(&file, &text).unwrap();
    assert_eq!(open(folder.path()).unwrap().latest("log").unwrap().checkpoint().size, 9);
    let log = KeyHistory::pinned([log_key().verifier().clone()]).unwrap();
    assert_eq!(Witness::open(folder.path(), log_key(), &[], [log]).unwrap_err(), WitnessError::Key);
}

#[test]
fn a_witness_may_change_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = open(folder.path()).unwrap();
    witness.add_checkpoint(&Log::of(9, 9).request(0, 5), NOW).unwrap();
    let earlier = [witness.verifier().clone()];
    drop(witness);
    let again = |earlier: &[_]| {
        let log = KeyHistory::pinned([log_key().verifier().clone()]).unwrap();
        Witness::open(folder.path(), key("witness", Purpose::Witness, 3), earlier, [log])
    };
    assert!(matches!(again(&[]), Err(WitnessError::Damaged(_))));
    let mut witness = again(&earlier).unwrap();
    witness.add_checkpoint(&Log::of(9, 9).request(5, 9), NOW).unwrap();
    drop(witness);
    assert!(again(&[]).is_ok());
}

/// Stopped while it wrote: the old state stands, and what was left of the new one is in nobody's way.
#[test]
fn half_a_state_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = open(folder.path()).unwrap();
    witness.add_checkpoint(&Log::of(9, 9).request(0, 5), NOW).unwrap();
    drop(witness);
    let file = state_file(folder.path());
    let state = fs::read(&file).unwrap();
    for half in [0, 10, state.len()] {
        fs::write(file.with_extension("new"), &state[..half]).unwrap();
        assert_eq!(open(folder.path()).unwrap().latest("log").unwrap().checkpoint().size, 5);
    }
    open(folder.path()).unwrap().add_checkpoint(&Log::of(9, 9).request(5, 9), NOW).unwrap();
    assert_eq!(open(folder.path()).unwrap().latest("log").unwrap().checkpoint().size, 9);
}

#[test]
fn what_cannot_be_kept_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let mut witness = open(folder.path()).unwrap();
    witness.add_checkpoint(&Log::of(9, 9).request(0, 5), NOW).unwrap();
    let file = state_file(folder.path());
    // A folder in the way of the draft: writing fails as on a full disk.
    fs::create_dir(file.with_extension("new")).unwrap();
    let failed = witness.add_checkpoint(&Log::of(9, 99).request(5, 9), NOW).unwrap_err();
    assert!(matches!(failed, WitnessError::State { .. }) && failed.status() == 500);
    assert_eq!(witness.latest("log").unwrap().checkpoint().size, 5);
    fs::remove_dir(file.with_extension("new")).unwrap();
    witness.add_checkpoint(&Log::of(9, 99).request(5, 9), NOW).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is asked in whatever order, all that was ever cosigned is one history.
    #[test]
    fn all_that_was_cosigned_is_one_history(asked in prop::collection::vec((0u64..30, 0u64..30, 0u64..30, any::<bool>()), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = open(folder.path()).unwrap();
        let mut cosigned: Vec<(u64, u64)> = Vec::new();
        for (a, b, fork, restart) in asked {
            let request = Log::of(30, fork).request(a.min(b), a.max(b));
            if witness.add_checkpoint(&request, NOW).is_ok() {
                cosigned.push((a.max(b), fork));
            }
            if restart {
                drop(witness);
                witness = open(folder.path()).unwrap();
            }
        }
        for pair in cosigned.windows(2) {
            let [(old, old_fork), (new, new_fork)] = [pair[0], pair[1]];
            prop_assert!(old <= new);
            prop_assert_eq!(Log::of(30, old_fork).checkpoint(old), Log::of(30, new_fork).checkpoint(old));
        }
    }
}

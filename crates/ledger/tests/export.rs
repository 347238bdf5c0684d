//! Whatever is done to an exported record is found, and the first bad record is named.

mod common;

use common::{Log, NOW, export, log_key, of_log, witness_key, witnessed};
use madang_ledger::checkpoint::SignedCheckpoint;
use madang_ledger::export::{ExportFault, ExportReport, Place, VerifyOptions, verify_export};
use madang_ledger::pairing::Role;
use madang_ledger::trust::{KeyHistory, Trust};
use madang_ledger::{Entry, Head};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

fn check(lines: &[String], options: &VerifyOptions) -> Result<ExportReport, ExportFault> {
    verify_export(lines.concat().as_bytes(), options, None)
}

fn strict() -> VerifyOptions {
    VerifyOptions::strict(witnessed())
}

fn place(lines: &[String], options: &VerifyOptions) -> Place {
    check(lines, options).unwrap_err().place
}

/// Ten records with a checkpoint after each third and at the end, all witnessed.
fn ten() -> (Log, Vec<SignedCheckpoint>) {
    static TEN: LazyLock<(Log, Vec<SignedCheckpoint>)> = LazyLock::new(|| {
        let log = Log::of(10);
        let checkpoints = [0, 3, 6, 9, 10].map(|size| log.cosigned(size)).to_vec();
        (log, checkpoints)
    });
    TEN.clone()
}

#[test]
fn a_whole_record_holds() {
    let (log, checkpoints) = ten();
    let mut options = strict();
    options.kept = vec![log.cosigned(4), log.signed(10)];
    options.head = log.entries.last().map(Head::from);
    let report = check(&export(&log.entries, &checkpoints), &options).unwrap();
    assert_eq!((report.records, report.checkpoints, report.signed, report.witnessed), (10, 5, 10, 10));
    assert_eq!(report.witnesses, [(witness_key().verifier().name().to_owned(), NOW + 10)]);
    assert_eq!(report.root, log.tiles.frontier().root().to_string());
    let empty = Log::of(0);
    assert_eq!(check(&export(&[], &[empty.cosigned(0)]), &strict()).unwrap().records, 0);
    assert_eq!(place(&export(&[], &[]), &strict()), Place::Checkpoint(0));
}

#[test]
fn the_end_must_be_signed_and_witnessed_as_far_as_asked() {
    let (log, _) = ten();
    let lines = export(&log.entries, &[log.cosigned(4), log.signed(7)]);
    assert_eq!(place(&lines, &strict()), Place::Records { first: 8, last: 10 });
    let mut options = VerifyOptions { unsigned_tail: true, ..strict() };
    assert_eq!(place(&lines, &options), Place::Records { first: 5, last: 10 });
    options.unwitnessed_tail = 6;
    let report = check(&lines, &options).unwrap();
    assert_eq!((report.signed, report.witnessed), (7, 4));
    let never = export(&log.entries, &[log.signed(10)]);
    assert_eq!(
        place(&never, &VerifyOptions { unwitnessed_tail: 99, ..strict() }),
        Place::Records { first: 1, last: 10 }
    );
    assert!(check(&never, &VerifyOptions::strict(of_log())).is_ok());
}

#[test]
fn a_cut_end_shows_against_what_was_kept() {
    let (log, checkpoints) = ten();
    let cut = export(&log.entries[..6], &checkpoints[..3]);
    assert_eq!(check(&cut, &strict()).unwrap().records, 6);
    for kept in [log.signed(9), log.cosigned(7)] {
        assert_eq!(place(&cut, &VerifyOptions { kept: vec![kept], ..strict() }), Place::Record(7));
    }
    let head = log.entries.last().map(Head::from);
    assert_eq!(place(&cut, &VerifyOptions { head, ..strict() }), Place::Record(7));
}

#[test]
fn a_kept_checkpoint_counts_only_if_signed() {
    let (log, checkpoints) = ten();
    let lines = export(&log.entries, &checkpoints);
    let strange = |size| SignedCheckpoint::signed(&log.rewritten(2).checkpoint(size), &log_key(9)).unwrap();
    for size in [5, 20] {
        let fault = check(&lines, &VerifyOptions { kept: vec![strange(size.min(10))], ..strict() }).unwrap_err();
        assert_eq!(fault.place, Place::Checkpoint(size.min(10)));
        assert!(fault.reason.contains("믿을 수 없습니다"));
    }
}

#[test]
fn misplaced_and_foreign_checkpoints_are_faults() {
    let (log, checkpoints) = ten();
    let lines = export(&log.entries, &checkpoints);
    let at = lines.iter().position(|l| l.contains("\\n6\\n")).unwrap();
    let mut early = lines.clone();
    early.swap(at - 1, at);
    assert_eq!(place(&early, &strict()), Place::Record(6));
    let mut late = lines.clone();
    late.swap(at, at + 1);
    assert_eq!(place(&late, &strict()), Place::Checkpoint(6));
    let forged = SignedCheckpoint::signed(&log.checkpoint(10), &log_key(9)).unwrap();
    assert_eq!(place(&export(&log.entries, &[forged]), &strict()), Place::Checkpoint(10));
    let mut appended = lines.clone();
    appended.push(lines[1].clone());
    assert_eq!(place(&appended, &strict()), Place::File);
    let other = Trust::of_log(
        KeyHistory::pinned(["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap()])
            .unwrap(),
    );
    assert_eq!(place(&lines, &VerifyOptions::strict(other)), Place::File);
}

#[test]
fn keys_are_followed_through_the_record() {
    let log = Log::of(9);
    let (old, new) = (log_key(1), log_key(2));
    let mut over = SignedCheckpoint::signed(&log.checkpoint(5).handing_over_to(new.verifier()), &old).unwrap();
    over.sign(&new).unwrap();
    let end = SignedCheckpoint::signed(&log.checkpoint(9), &new).unwrap();
    let options = VerifyOptions { kept: vec![over.clone(), end.clone()], ..VerifyOptions::strict(of_log()) };
    let lines = export(&log.entries, &[log.signed(3), over.clone(), end]);
    assert_eq!(check(&lines, &options).unwrap().signed, 9);
    let stale = export(&log.entries, &[over, log.signed(9)]);
    let fault = check(&stale, &VerifyOptions::strict(of_log())).unwrap_err();
    assert_eq!(fault.place, Place::Checkpoint(9));
    assert!(fault.reason.contains("옛 키"));
}

#[test]
fn intents_and_outcomes_are_paired_on_the_way() {
    let log = Log::of(6);
    let lines = export(&log.entries, &[log.cosigned(6)]).concat();
    let run = |roles: [Role; 6]| {
        let mut role = |entry: &Entry| roles[entry.seq as usize - 1].clone();
        verify_export(lines.as_bytes(), &strict(), Some(&mut role))
    };
    let (intent, outcome) = (|id: &str| Role::Intent(id.into()), |id: &str| Role::Outcome(id.into()));
    let report = run([intent("a"), intent("b"), outcome("b"), Role::Other, intent("c"), outcome("c")]).unwrap();
    assert_eq!(report.unknown.iter().map(|u| (u.seq, u.id.as_str())).collect::<Vec<_>>(), [(1, "a")]);
    let twice = run([intent("a"), outcome("a"), Role::Other, Role::Other, outcome("a"), Role::Other]).unwrap_err();
    assert_eq!(twice.place, Place::Record(5));
}

/// What the operator signed alone does not narrow down where a rewritten history begins; what others saw does.
#[test]
fn the_place_of_a_rewriting_is_bounded_by_what_others_saw() {
    let (log, _) = ten();
    let forged = log.rewritten(5);
    let lines = export(&forged.entries, &[log.cosigned(3), forged.signed(6), log.cosigned(9), forged.signed(10)]);
    assert_eq!(place(&lines, &strict()), Place::Records { first: 4, last: 9 });
    let kept = |sizes: &[u64]| sizes.iter().map(|&size| log.signed(size)).collect();
    let lines = export(&forged.entries, &[log.cosigned(3), forged.signed(6), forged.signed(10)]);
    let options = VerifyOptions { kept: kept(&[9]), ..strict() };
    assert_eq!(place(&lines, &options), Place::Records { first: 4, last: 9 });
    let lines = export(&forged.entries, &[log.signed(2), log.signed(9), forged.signed(10)]);
    let options = VerifyOptions { kept: kept(&[3]), ..VerifyOptions::strict(of_log()) };
    assert_eq!(place(&lines, &options), Place::Records { first: 4, last: 9 });
}

/// Files that were exported once must verify in every later version: whoever changes this changes the format's name.
#[test]
fn the_format_is_frozen() {
    let (log, checkpoints) = ten();
    let text = export(&log.entries, &checkpoints).concat();
    assert_eq!(hex::encode(Sha256::digest(text)), "b51eacafb233918f0f0206b984f612aa49d78b4de16f4ee461915fd015d360cf");
}

#[test]
fn faults_are_said_in_korean_sentences() {
    let (log, checkpoints) = ten();
    let mut lines = export(&log.entries, &checkpoints);
    let said = |lines: &[String]| check(lines, &strict()).unwrap_err().to_string();
    lines[4] = lines[4].replace("외부호출", "내부호출");
    assert_eq!(said(&lines), "원장 3번 기록(파일 5번째 줄): 내용이 해시와 맞지 않습니다. 기록이 바뀌었습니다.");
    let unsigned = said(&export(&log.entries, &[log.cosigned(4)]));
    assert!(
        unsigned.starts_with("원장 5~10번 기록(파일 14번째 줄): 원장이 서명한 체크포인트가 없습니다."),
        "{unsigned}"
    );
}

/// The first record that is not the original's at its place.
fn first_change(original: &[Entry], changed: &[Entry]) -> Option<u64> {
    let differs = |i: &usize| original.get(*i) != changed.get(*i);
    (0..original.len().max(changed.len())).find(differs).map(|i| i as u64 + 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_changed_byte_is_found_at_its_line(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (log, checkpoints) = ten();
        let lines = export(&log.entries, &checkpoints);
        let mut bytes = lines.concat().into_bytes();
        let i = at.index(bytes.len());
        let line = 1 + bytes[..i].iter().filter(|&&b| b == b'\n').count();
        bytes[i] ^= flip;
        let fault = verify_export(&bytes[..], &strict(), None).unwrap_err();
        // A witness's line whose name changed is a stranger's, which nothing but the checksum covers.
        let renamed = lines[line - 1].starts_with("{\"checkpoint\":") && fault.place == Place::File;
        prop_assert!(fault.line == line as u64 || renamed && fault.line == lines.len() as u64, "{fault}");
        let before = lines[..line].iter().filter(|l| l.starts_with("{\"seq\":")).count() as u64;
        if lines[line - 1].starts_with("{\"seq\":") {
            prop_assert_eq!(fault.place, Place::Record(before));
        } else {
            prop_assert!(fault.first_bad().is_none_or(|seq| seq == before + 1), "{fault}");
        }
    }

    /// Signatures of keys that the verifier does not know prove nothing, but the file's checksum covers them.
    #[test]
    fn a_changed_byte_of_an_unknown_signature_is_found(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (log, checkpoints) = ten();
        let mut bytes = export(&log.entries, &checkpoints).concat().into_bytes();
        let i = at.index(bytes.len());
        bytes[i] ^= flip;
        prop_assert!(verify_export(&bytes[..], &VerifyOptions::strict(of_log()), None).is_err());
    }

    #[test]
    fn removed_inserted_and_moved_records_are_named(a in 0usize..10, b in 0usize..10, what in 0..3, resealed: bool) {
        let (log, checkpoints) = ten();
        let mut changed = log.entries.clone();
        match what {
            0 => drop(changed.remove(a)),
            1 => changed.insert(b, log.entries[a].clone()),
            _ => changed.swap(a, b),
        }
        let expected = first_change(&log.entries, &changed);
        prop_assume!(expected.is_some());
        // Either somebody cut lines out of the file, or exported a database that somebody had changed.
        let mut lines = export(&changed, &checkpoints);
        if !resealed {
            let original = export(&log.entries, &checkpoints);
            lines.pop();
            lines.push(original.last().unwrap().clone());
        }
        // A record that was cut off the end shows only against what the witness remembers.
        let options = VerifyOptions { kept: vec![log.cosigned(10)], ..strict() };
        prop_assert_eq!(check(&lines, &options).unwrap_err().first_bad(), expected);
    }

    #[test]
    fn a_file_cut_anywhere_names_the_first_missing_record(at in any::<prop::sample::Index>()) {
        let (log, checkpoints) = ten();
        let lines = export(&log.entries, &checkpoints);
        let bytes = lines.concat().into_bytes();
        let cut = at.index(bytes.len());
        let fault = verify_export(&bytes[..cut], &strict(), None).unwrap_err();
        let whole = bytes[..cut].split_inclusive(|&b| b == b'\n').filter(|l| l.starts_with(b"{\"seq\":") && l.ends_with(b"\n"));
        match fault.place {
            Place::File => prop_assert!(cut < lines[0].len()),
            found => prop_assert_eq!(found, Place::Record(whole.count() as u64 + 1)),
        }
    }

    #[test]
    fn a_cut_that_was_sealed_again_shows_against_the_witness(kept in 1usize..10) {
        let (log, _) = ten();
        let cut = export(&log.entries[..kept], &[log.cosigned(kept as u64)]);
        prop_assert!(check(&cut, &strict()).is_ok());
        let options = VerifyOptions { kept: vec![log.cosigned(10)], ..strict() };
        prop_assert_eq!(check(&cut, &options).unwrap_err().place, Place::Record(kept as u64 + 1));
    }

    /// The operator rewrites records from `from` on, with the right chain, and signs every checkpoint anew.
    #[test]
    fn a_history_rewritten_with_the_operators_key_is_caught(from in 1u64..=10, seen in prop::collection::btree_set(1u64..=10, 1..4)) {
        let (log, _) = ten();
        let forged = log.rewritten(from);
        let newest = *seen.last().unwrap();
        prop_assume!(from <= newest);
        let proven = seen.iter().copied().filter(|&size| size < from).max().unwrap_or(0);
        let end = forged.signed(10);
        let surely = |fault: ExportFault, last: u64| {
            prop_assert_eq!(fault.place, Place::Records { first: proven + 1, last });
            prop_assert!((proven + 1..=last).contains(&from));
            Ok(())
        };
        // Without a witness nothing shows: the operator's key vouches for the forgery.
        let resigned: Vec<_> = seen.iter().map(|&size| forged.signed(size)).filter(|c| c.checkpoint().size < 10).chain([end.clone()]).collect();
        prop_assert!(check(&export(&forged.entries, &resigned), &VerifyOptions::strict(of_log())).is_ok());
        // Cosigned checkpoints left in the file contradict the records.
        let left: Vec<_> = seen.iter().map(|&size| log.cosigned(size)).collect();
        let contradicted = *seen.iter().find(|&&size| size >= from).unwrap();
        surely(check(&export(&forged.entries, &left), &strict()).unwrap_err(), contradicted)?;
        // Taken out, they are missing: what comes after the last that still fits is not witnessed.
        let dropped: Vec<_> = seen.iter().filter(|&&size| size < from).map(|&size| log.cosigned(size)).chain([end]).collect();
        surely(check(&export(&forged.entries, &dropped), &strict()).unwrap_err(), 10)?;
        // What the witness remembers contradicts it, whatever the file says, also for those who trust the log alone.
        let options = VerifyOptions { kept: left, ..VerifyOptions::strict(of_log()) };
        surely(check(&export(&forged.entries, &resigned), &options).unwrap_err(), contradicted)?;
    }

    #[test]
    fn files_of_anything_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), from in 0usize..14) {
        let (log, checkpoints) = ten();
        let lines = export(&log.entries, &checkpoints);
        let mixed = [lines[..from].concat().as_bytes(), &bytes].concat();
        prop_assert!(verify_export(&mixed[..], &strict(), None).is_err());
    }
}

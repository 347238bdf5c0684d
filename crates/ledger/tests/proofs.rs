//! One record or a part of the record, proven by itself.

mod common;

use common::{Log, ORIGIN, log_key, of_log, witnessed};
use madang_ledger::checkpoint::SignedCheckpoint;
use madang_ledger::export::{ExportFault, PartialLines, PartialReport, Place, Selection, verify_partial};
use madang_ledger::record_proof::{RecordProof, RecordProofError};
use madang_ledger::tree::ProofError;
use madang_ledger::trust::{Trust, TrustError};
use proptest::prelude::*;

fn proof(log: &Log, seq: u64, checkpoint: SignedCheckpoint) -> RecordProof {
    let size = checkpoint.checkpoint().size;
    RecordProof::of(&log.entries[seq as usize - 1], log.inclusion(seq, size), checkpoint).unwrap()
}

fn partial(log: &Log, seqs: &[u64], selection: Selection, checkpoints: &[SignedCheckpoint]) -> Vec<String> {
    let size = checkpoints.last().map_or(0, |c| c.checkpoint().size);
    let (mut lines, first) = PartialLines::begin(ORIGIN, selection, checkpoints).unwrap();
    let mut text = vec![first];
    for &seq in seqs {
        text.push(lines.record(&log.entries[seq as usize - 1], &log.inclusion(seq, size)).unwrap());
    }
    text.push(lines.end().unwrap());
    text
}

fn check(lines: &[String], trust: &Trust) -> Result<(PartialReport, Vec<u64>), ExportFault> {
    let mut seen = Vec::new();
    verify_partial(lines.concat().as_bytes(), trust, |entry| seen.push(entry.seq)).map(|report| (report, seen))
}

#[test]
fn a_record_is_carried_with_its_proof() {
    let log = Log::of(13);
    for seq in 1..=13 {
        let text = proof(&log, seq, log.cosigned(13)).to_string();
        let read: RecordProof = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        let (entry, vouched) = read.verify(&witnessed()).unwrap();
        assert_eq!((&entry, vouched.witnesses.len()), (&log.entries[seq as usize - 1], 1));
    }
}

#[test]
fn what_a_proof_lacks_is_told() {
    let log = Log::of(13);
    let good = proof(&log, 5, log.cosigned(13));
    let fails = |proof: RecordProof, trust: &Trust| proof.verify(trust).unwrap_err();
    assert_eq!(fails(RecordProof { extra: None, ..good.clone() }, &witnessed()), RecordProofError::NoRecord);
    assert_eq!(fails(RecordProof { index: 5, ..good.clone() }, &witnessed()), RecordProofError::Place);
    assert_eq!(
        fails(RecordProof { proof: vec![], ..good.clone() }, &witnessed()),
        RecordProofError::Proof(ProofError::Length)
    );
    let unwitnessed = RecordProof { checkpoint: log.signed(13), ..good.clone() };
    assert_eq!(
        fails(unwitnessed, &witnessed()),
        RecordProofError::Untrusted(TrustError::Witnesses { found: 0, wanted: 1 })
    );
    let forged = log.rewritten(5);
    let other = RecordProof { extra: proof(&forged, 5, log.cosigned(13)).extra, ..good.clone() };
    assert_eq!(fails(other, &witnessed()), RecordProofError::Proof(ProofError::Mismatch));
    let stranger = SignedCheckpoint::signed(&log.checkpoint(13), &log_key(9)).unwrap();
    let stranger = RecordProof { checkpoint: stranger, ..good.clone() };
    assert_eq!(fails(stranger, &of_log()), RecordProofError::Untrusted(TrustError::Unsigned));
    // Without the record, its hash proves its place just as well.
    let leaf = log.entries[4].leaf().unwrap();
    assert!(RecordProof { extra: None, ..good.clone() }.verify_leaf(&leaf, &witnessed()).is_ok());
    assert!(good.verify_leaf(&log.entries[5].leaf().unwrap(), &witnessed()).is_err());
}

#[test]
fn a_range_is_complete_and_a_filter_is_in_order() {
    let log = Log::of(20);
    let range = Selection::Range { first: 5, last: 9 };
    let lines = partial(&log, &[5, 6, 7, 8, 9], range.clone(), &[log.cosigned(18)]);
    let (report, seen) = check(&lines, &witnessed()).unwrap();
    assert_eq!((report.records, report.size, report.witnesses.len(), seen), (5, 18, 1, vec![5, 6, 7, 8, 9]));
    let place = |seqs: &[u64], selection: &Selection| {
        check(&partial(&log, seqs, selection.clone(), &[log.cosigned(18)]), &witnessed()).unwrap_err().place
    };
    assert_eq!(place(&[5, 6, 8, 9], &range), Place::Record(7));
    assert_eq!(place(&[6, 7, 8, 9], &range), Place::Record(5));
    assert_eq!(place(&[5, 6, 7, 8], &range), Place::Record(9));
    assert_eq!(place(&[5, 6, 7, 8, 9, 10], &range), Place::Record(11));
    let filter = Selection::Filter("부서 = 정보통신과".into());
    assert_eq!(place(&[3, 2], &filter), Place::File);
    let few = partial(&log, &[2, 11, 17], filter.clone(), &[log.cosigned(18)]);
    assert_eq!(check(&few, &witnessed()).unwrap().1, [2, 11, 17]);
    let none = partial(&log, &[], filter.clone(), &[log.cosigned(18)]);
    assert_eq!(check(&none, &witnessed()).unwrap().0.records, 0);
    assert_eq!(place(&[], &range), Place::Record(5));
    let unwitnessed = partial(&log, &[2], filter, &[log.signed(18)]);
    assert_eq!(check(&unwitnessed, &witnessed()).unwrap_err().place, Place::Checkpoint(18));
}

#[test]
fn a_part_may_carry_the_change_of_keys() {
    let log = Log::of(9);
    let (old, new) = (log_key(1), log_key(2));
    let mut over = SignedCheckpoint::signed(&log.checkpoint(5).handing_over_to(new.verifier()), &old).unwrap();
    over.sign(&new).unwrap();
    let end = SignedCheckpoint::signed(&log.checkpoint(9), &new).unwrap();
    let filter = Selection::Filter("모두".into());
    let lines = partial(&log, &[1, 8], filter.clone(), &[over, end.clone()]);
    assert_eq!(check(&lines, &of_log()).unwrap().0.size, 9);
    let without = partial(&log, &[1, 8], filter.clone(), &[end]);
    assert_eq!(check(&without, &of_log()).unwrap_err().place, Place::Checkpoint(9));
    assert_eq!(check(&partial(&log, &[], filter, &[]), &of_log()).unwrap_err().place, Place::File);
}

#[test]
fn a_record_that_is_not_in_the_log_is_named() {
    let log = Log::of(12);
    let forged = log.rewritten(6);
    let filter = Selection::Filter("모두".into());
    let lines = partial(&forged, &[2, 6, 9], filter, &[log.cosigned(12)]);
    // Record 2 is genuine, but its path runs through forged neighbours.
    assert_eq!(check(&lines, &witnessed()).unwrap_err().place, Place::Record(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_changed_byte_of_a_proof_is_found(seq in 1u64..=13, at in any::<prop::sample::Index>(), flip in 1u8..) {
        let log = Log::of(13);
        let mut bytes = proof(&log, seq, log.cosigned(13)).to_string().into_bytes();
        let i = at.index(bytes.len());
        bytes[i] ^= flip;
        let held = String::from_utf8(bytes).ok().and_then(|t| t.parse::<RecordProof>().ok()).is_some_and(|p| p.verify(&witnessed()).is_ok());
        prop_assert!(!held);
    }

    #[test]
    fn a_changed_byte_of_a_part_is_found_at_its_line(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let log = Log::of(20);
        let lines = partial(&log, &[5, 6, 7, 8, 9], Selection::Range { first: 5, last: 9 }, &[log.cosigned(18)]);
        let mut bytes = lines.concat().into_bytes();
        let i = at.index(bytes.len());
        let line = 1 + bytes[..i].iter().filter(|&&b| b == b'\n').count() as u64;
        bytes[i] ^= flip;
        let fault = verify_partial(&bytes[..], &witnessed(), |_| ()).unwrap_err();
        // A changed last number of the range shows only when the entries end, a witness's changed name (of a stranger
        // then) when the first entry asks for the witness.
        let later = line == 1 && fault.line >= 8 || line == 2 && fault.line == 3;
        prop_assert!(fault.line == line || later, "{fault}");
        if (3..=7).contains(&line) {
            prop_assert_eq!(fault.place, Place::Record(line + 2));
        }
    }

    #[test]
    fn anything_is_read_or_refused(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z0-9]{0,8}\n)?(index [0-9]{0,3}\n)?\\PC{0,50}\n\n\\PC{0,50}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(text.parse::<RecordProof>().is_err());
        prop_assert!(verify_partial(&bytes[..], &of_log(), |_| ()).is_err());
    }
}

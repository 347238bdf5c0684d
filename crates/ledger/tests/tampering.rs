//! Whatever is done to a chain or to its exported file is detected at the right place.

use madang_ledger::{Entry, Head, canonical, chain, read_lines, to_line, verify, verify_lines};
use proptest::prelude::*;
use serde_json::json;

fn make(n: usize) -> Vec<Entry> {
    let mut head = Head::genesis();
    (0..n)
        .map(|i| {
            let payload = canonical(&json!({"kind": "intent", "n": i, "메모": "한글 \n \"따옴표\""})).unwrap();
            let entry = chain(&head, &format!("2026-11-22T06:20:{:02}Z", i % 60), &payload).unwrap();
            head = Head::from(&entry);
            entry
        })
        .collect()
}

fn export(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|e| to_line(e).unwrap().into_bytes()).collect()
}

fn head(entries: &[Entry]) -> Head {
    entries.last().map(Head::from).unwrap_or_default()
}

#[test]
fn a_whole_chain_holds_in_memory_and_as_a_file() {
    let entries = make(20);
    let verified = verify(entries.clone(), Some(&head(&entries))).unwrap();
    assert_eq!((verified.entries, verified.head.seq), (20, 20));
    let bytes = export(&entries);
    assert_eq!(read_lines(&bytes[..]).collect::<Result<Vec<_>, _>>().unwrap(), entries);
    assert_eq!(verify_lines(&bytes[..], Some(&head(&entries))).unwrap(), verified);
}

#[test]
fn faults_name_the_first_bad_record() {
    let entries = make(6);
    let broken = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut copy = entries.clone();
        change(&mut copy);
        verify(copy, Some(&head(&entries))).unwrap_err().seq
    };
    assert_eq!(broken(&|e| e[2].payload = r#"{"n":9}"#.into()), 3);
    assert_eq!(broken(&|e| e[2].time = "2026-11-23T00:00:00Z".into()), 3);
    assert_eq!(broken(&|e| drop(e.remove(3))), 4);
    assert_eq!(broken(&|e| e.swap(1, 2)), 2);
    assert_eq!(broken(&|e| e.insert(4, e[3].clone())), 5);
    assert_eq!(broken(&|e| e.truncate(4)), 5);
    assert_eq!(broken(&|e| e[5].hash = "0".repeat(64)), 6);
    assert_eq!(broken(&|e| e.clear()), 1);
}

#[test]
fn an_entry_rewritten_with_its_own_hash_breaks_the_next() {
    let mut entries = make(4);
    entries[1] = chain(&Head::from(&entries[0]), "2026-11-22T06:20:01Z", "{}").unwrap();
    assert_eq!(verify(entries, None).unwrap_err().seq, 3);
}

#[test]
fn a_line_in_another_spelling_is_a_fault() {
    let line = to_line(&make(1)[0]).unwrap();
    for bad in [
        line.replacen(':', ": ", 1),
        line.replace("\"seq\"", "\"\\u0073eq\""),
        line.replacen('{', "{\"x\":1,", 1),
        line.trim_end().into(),
    ] {
        assert_eq!(verify_lines(bad.as_bytes(), None).unwrap_err().seq, 1, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_byte_changed_is_detected(n in 1usize..6, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let entries = make(n);
        let mut bytes = export(&entries);
        let i = at.index(bytes.len());
        bytes[i] ^= 1 << bit;
        prop_assert!(verify_lines(&bytes[..], Some(&head(&entries))).is_err());
    }

    #[test]
    fn any_byte_removed_or_inserted_is_detected(n in 1usize..6, at in any::<prop::sample::Index>(), insert in any::<Option<u8>>()) {
        let entries = make(n);
        let mut bytes = export(&entries);
        let i = at.index(bytes.len());
        match insert {
            Some(b) => bytes.insert(i, b),
            None => drop(bytes.remove(i)),
        }
        prop_assert!(verify_lines(&bytes[..], Some(&head(&entries))).is_err());
    }

    #[test]
    fn any_entry_removed_doubled_or_moved_is_detected(n in 2usize..8, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), what in 0..3) {
        let entries = make(n);
        let (a, b) = (a.index(n), b.index(n));
        let mut copy = entries.clone();
        match what {
            0 => drop(copy.remove(a)),
            1 => copy.insert(b, entries[a].clone()),
            _ => copy.swap(a, b),
        }
        prop_assume!(copy != entries);
        prop_assert!(verify(copy, Some(&head(&entries))).is_err());
    }

    #[test]
    fn lines_of_anything_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let read = read_lines(&bytes[..]).count();
        prop_assert!(read <= bytes.len() + 1);
    }
}

//! A bill against the record, from the file's bytes to the report.

use madang_domain::ExternalCallId;
use madang_policy::money::MicroWon;
use madang_policy::reconcile::{MatchedBy, ReadOptions, Reconciliation, RecordedCall, Rules, read, reconcile};
use proptest::prelude::*;

/// 2026-11-02 01:00 UTC.
const AT: i64 = 1_793_581_200_000;
const MINUTE: i64 = 60_000;
const HEAD: &str = "time,model,input_tokens,output_tokens,cost,request_id\n";

fn call(at_ms: i64, tokens: u64, id: Option<&str>) -> RecordedCall {
    RecordedCall {
        id: ExternalCallId::new(),
        at_ms,
        model: "model-x".into(),
        request_id: id.map(str::to_owned),
        tokens_in: Some(tokens),
        tokens_out: Some(5),
        won: Some(MicroWon::won(10)),
        left: true,
    }
}

fn compare(rows: &str, calls: &[RecordedCall]) -> Reconciliation {
    reconcile(&read(format!("{HEAD}{rows}").as_bytes(), &ReadOptions::default()).unwrap(), calls, &Rules::default())
}

#[test]
fn ids_pair_first_whatever_else_differs() {
    let calls = [call(AT, 10, Some("r1")), call(AT, 99, Some("r2"))];
    let r = compare("2026-11-02T03:00:00Z,model-x,99,5,10,r1\n2026-11-02T01:00:00Z,model-x,99,5,12,r2\n", &calls);
    let found: Vec<_> = r.pairs.iter().map(|p| (p.line, p.call, p.by, p.differences.len())).collect();
    assert_eq!(found, [(2, calls[0].id, MatchedBy::RequestId, 1), (3, calls[1].id, MatchedBy::RequestId, 1)]);
    let fields: Vec<_> = r.pairs.iter().flat_map(|p| &p.differences).map(|d| d.field).collect();
    assert_eq!(fields, ["입력 토큰", "금액"]);
}

#[test]
fn without_ids_time_model_and_tokens_pair_and_the_nearest_wins() {
    let calls = [call(AT, 10, None), call(AT + 3 * MINUTE, 10, None), call(AT, 11, None)];
    let r =
        compare("2026-11-02T01:04:00Z,model-x-2026-05-01,10,5,10,\n2026-11-02T01:01:00Z,model-x,10,5,10,\n", &calls);
    let found: Vec<_> = r.pairs.iter().map(|p| (p.line, p.call)).collect();
    assert_eq!(found, [(2, calls[1].id), (3, calls[0].id)]);
    assert_eq!(r.only_recorded, [calls[2].id]);
    assert!(compare("2026-11-02T01:11:00Z,model-x,10,5,10,\n", &calls[..1]).pairs.is_empty(), "too far apart");
    assert!(compare("2026-11-02T01:00:00Z,model-xl,10,5,10,\n", &calls[..1]).pairs.is_empty(), "another model");
    assert_eq!(compare("2026-11-02,model-x,10,5,10,\n", &calls[..1]).pairs.len(), 1, "the day alone");
}

#[test]
fn what_went_past_the_door_or_was_billed_twice_is_named() {
    let calls = [call(AT, 10, Some("r1"))];
    let r = compare(
        "2026-11-02T01:00:00Z,model-x,10,5,10,r1\n2026-11-02T01:00:00Z,model-x,10,5,10,r1\n2026-11-02T01:00:01Z,model-x,10,5,10,r9\n",
        &calls,
    );
    assert_eq!(r.only_billed.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 4]);
    assert!(!r.clean());
    assert!(r.report().iter().any(|l| l.contains("거치지 않은") && l.contains("r9")), "{:?}", r.report());
}

#[test]
fn a_call_that_never_left_is_paired_by_id_alone_and_is_grave() {
    let never = RecordedCall { left: false, ..call(AT, 10, Some("r1")) };
    let r = compare("2026-11-02T01:00:00Z,model-x,10,5,10,r1\n", std::slice::from_ref(&never));
    assert!(r.pairs[0].never_left && !r.clean());
    let unnamed = RecordedCall { request_id: None, ..never };
    let r = compare("2026-11-02T01:00:00Z,model-x,10,5,10,r1\n", &[unnamed]);
    assert_eq!((r.pairs.len(), r.only_billed.len(), r.only_recorded.len()), (0, 1, 0));
}

#[test]
fn a_call_without_known_tokens_is_paired_by_time() {
    let unknown = RecordedCall { tokens_in: None, tokens_out: None, won: None, ..call(AT, 0, None) };
    let r = compare("2026-11-02T01:00:30Z,model-x,10,5,10,r1\n", &[unknown]);
    assert_eq!(r.pairs[0].by, MatchedBy::TimeAndTokens);
    assert!(r.clean());
}

proptest! {
    /// Never panics; every row is paired, only billed, or bad, and every call that left is paired or only recorded.
    #[test]
    fn nothing_is_lost(rows in "([0-9a-z\\-:,. \"\n]|2026-11-02 01:0[0-9]|,model-x,|10,5,10,){0,60}", n in 0i64..6) {
        let calls: Vec<_> = (0..n).map(|i| call(AT + i * MINUTE, 10, None)).collect();
        let invoice = read(format!("{HEAD}{rows}").as_bytes(), &ReadOptions::default()).unwrap();
        let r = reconcile(&invoice, &calls, &Rules::default());
        prop_assert_eq!(r.pairs.len() + r.only_billed.len(), invoice.rows.len());
        prop_assert_eq!(r.pairs.len() + r.only_recorded.len(), calls.len());
        prop_assert!(r.report().len() >= 3);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &ReadOptions::default());
    }

    /// A bill made from the record itself is clean, in any order of its rows and by ids or without.
    #[test]
    fn an_honest_bill_is_clean(tokens in prop::collection::vec(1u64..9, 1..30), ids in any::<bool>(), seed in any::<u64>()) {
        let at = |i: usize| AT + i64::try_from(i).unwrap() * MINUTE;
        let calls: Vec<_> = tokens.iter().enumerate()
            .map(|(i, t)| call(at(i), *t, ids.then(|| format!("r{i}")).as_deref()))
            .collect();
        let mut rows: Vec<_> = calls.iter()
            .map(|c| format!("{},model-x,{},5,10,{}\n", c.at_ms, c.tokens_in.unwrap(), c.request_id.as_deref().unwrap_or("")))
            .collect();
        let turn = usize::try_from(seed).unwrap_or_default() % rows.len();
        rows.rotate_left(turn);
        let r = compare(&rows.concat(), &calls);
        prop_assert!(r.clean(), "{:?}", r.report());
    }
}

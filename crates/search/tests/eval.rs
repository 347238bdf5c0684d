//! Retrieval evaluation: over a small folder of our own, over bad folders, and over real questions where they are.

use madang_search::eval::{EvalError, evaluate};
use std::fs;
use std::path::Path;

fn write(dir: &Path, corpus: &str, queries: &str, judgements: &str) {
    fs::create_dir_all(dir.join("qrels")).expect("folder");
    fs::write(dir.join("corpus.jsonl"), corpus).expect("corpus");
    fs::write(dir.join("queries.jsonl"), queries).expect("queries");
    fs::write(dir.join("qrels/dev.tsv"), judgements).expect("qrels");
}

const CORPUS: &str = r#"{"_id":"a","title":"여권","text":"여권은 시청 민원실에서 발급한다."}
{"_id":"b","title":"","text":"재활용품은 수요일에 내놓는다."}
{"_id":"c","text":"수도 요금은 매달 말일까지 낸다."}
"#;
const QUERIES: &str = r#"{"_id":"q1","text":"여권 발급은 어디서 하나요"}
{"_id":"q2","text":"수도요금 납부"}
{"_id":"q3","text":"아무도 판정하지 않은 질문"}
"#;

#[test]
fn reports_under_the_agreed_keys() {
    let dir = tempfile::tempdir().expect("folder");
    write(dir.path(), CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tc\t1\nq2\tb\t0\n");
    let report = evaluate(dir.path(), "dev").expect("report");
    assert_eq!((report.queries, report.passages), (2, 3));
    assert!((report.hit_at_1 - 1.0).abs() < 1e-9, "{report:?}");
    let json = serde_json::to_value(&report).expect("json");
    let keys: Vec<_> = json.as_object().expect("object").keys().cloned().collect();
    let mut expected =
        vec!["hit@1", "hit@5", "ndcg@10", "mrr@10", "queries", "passages", "passages_per_second", "p50_ms", "p99_ms"];
    expected.sort_unstable();
    let mut keys: Vec<_> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
}

#[test]
fn bad_folders_are_named() {
    let dir = tempfile::tempdir().expect("folder");
    let fault = |split: &str| match evaluate(dir.path(), split) {
        Err(EvalError::Folder { path, reason }) => format!("{} {reason}", path.display()),
        other => panic!("{other:?}"),
    };
    assert!(fault("dev").contains("corpus.jsonl"));
    write(dir.path(), "{\"_id\":\"a\"}\n", QUERIES, "q1\ta\t1\n");
    assert!(fault("dev").contains("1째 줄"));
    write(dir.path(), CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1 a 1\n");
    assert!(fault("dev").contains("2째 줄"));
    write(dir.path(), CORPUS, QUERIES, "query-id\tcorpus-id\tscore\n");
    assert!(fault("dev").contains("정답"));
    assert!(fault("../dev").contains("분할"));
    assert!(fault("test").contains("test.tsv"));
}

/// hit@1 of plain BM25 over character bigrams, which the analyser must beat on every set.
const BIGRAMS: [(&str, f64); 4] =
    [("municipal_faq", 0.549), ("consumer_complaints", 0.603), ("wiki_questions", 0.900), ("web_questions", 0.733)];

#[test]
fn beats_character_bigrams_on_real_questions() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/retrieval"));
    for (set, bigrams) in BIGRAMS {
        let dir = root.join(set);
        if !dir.exists() {
            eprintln!("skipped: {set} is not here");
            continue;
        }
        let report = evaluate(&dir, "dev").expect("report");
        eprintln!("{set}: {}", serde_json::to_string(&report).expect("json"));
        assert!(report.hit_at_1 > bigrams, "{set}: {} is not above {bigrams}", report.hit_at_1);
    }
}

//! The child process: answers, refusals, crashes, limits, cancellation; and every real document at hand.

mod common;

use common::*;
use madang_documents::{
    Format, Limits, ReadError,
    child::{Reuse, Sandbox},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The survey example doubles as the child; cargo builds examples before tests.
fn sandbox(limits: Limits) -> Sandbox {
    let mut program = std::env::current_exe().expect("this test has a path");
    program.pop();
    program.pop();
    program.push("examples/survey");
    assert!(program.exists(), "{} is missing: run `cargo build --release --examples` first", program.display());
    Sandbox::new(program, vec!["parse-child".into()], limits)
}

fn shell(script: &str, limits: Limits) -> Sandbox {
    Sandbox::new("/bin/sh", vec!["-c".into(), script.into()], limits)
}

/// Children of this test process whose command line holds `mark`, by their ids.
fn children(mark: &str) -> Vec<u32> {
    let mut found: Vec<u32> = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let parent = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent = parent.rsplit(") ").next().and_then(|s| s.split(' ').nth(1)).unwrap_or_default().to_owned();
            String::from_utf8_lossy(&line).contains(mark) && parent == std::process::id().to_string()
        })
        .collect();
    found.sort_unstable();
    found
}

/// A sandbox whose children can be told from those of other tests.
fn marked(mark: &str, reuse: Reuse) -> Sandbox {
    let program = std::env::current_exe().expect("a path").with_file_name("../examples/survey");
    Sandbox::new(program, vec!["parse-child".into(), mark.into()], Limits::default()).with_reuse(reuse)
}

#[tokio::test]
async fn one_child_reads_many_documents_and_is_replaced_when_worn() {
    let sandbox = marked("mark-many", Reuse { documents: 3, ..Reuse::default() });
    let mut seen = Vec::new();
    for _ in 0..3 {
        assert!(sandbox.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
        seen.push(children("mark-many"));
    }
    assert!(seen[0].len() == 1 && seen[0] == seen[1], "{seen:?}");
    // The third was its last.
    assert!(sandbox.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
    assert_ne!(children("mark-many"), seen[0]);
    let fresh = marked("mark-fresh", Reuse::none());
    assert!(fresh.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
    let plain = marked("mark-plain", Reuse::default());
    assert_eq!(plain.read(b" ", "a.txt").await, Err(ReadError::Empty));
    let kept = children("mark-plain");
    assert!(plain.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
    assert_eq!(children("mark-plain"), kept, "a plain refusal costs no child");
}

#[tokio::test]
async fn a_killed_child_harms_no_other_document() {
    let sandbox = marked("mark-killed", Reuse::default());
    assert!(sandbox.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
    for id in children("mark-killed") {
        let killed = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }
    while !children("mark-killed").is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        assert!(sandbox.read(KOREAN.as_bytes(), "a.txt").await.is_ok());
    }
    let (a, b) = tokio::join!(sandbox.read(KOREAN.as_bytes(), "a.txt"), sandbox.read(b"<html>", "b.html"));
    assert!(a.is_ok() && b == Err(ReadError::Empty));
    assert_eq!(children("mark-killed").len(), 2, "each runs in a child of its own");
}

#[tokio::test]
async fn a_child_that_serves_one_document_and_ends_is_no_failure() {
    // Answers once, as soon as it has read a header line, and is gone.
    let reply = r#"{"refused":{"kind":"empty"}}"#;
    let sandbox = shell(&format!("read line; echo '{reply}'"), Limits::default());
    for _ in 0..20 {
        assert_eq!(sandbox.read(b"x", "a.txt").await, Err(ReadError::Empty));
    }
}

/// Waits for the number that a child writes to `file` when it has come so far.
async fn told(file: &Path) -> u32 {
    loop {
        match std::fs::read_to_string(file).unwrap_or_default().trim().parse() {
            Ok(number) => return number,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_cancelled_reading_leaves_the_idle_children_alone() {
    // Refuses every document but one, at which it never comes to an end.
    let held = std::env::temp_dir().join(format!("madang-held-{}", std::process::id()));
    let script = format!(
        r#"while read -r line; do case "$line" in
        *hang*) echo $$ > {}; sleep infinity;;
        *file_name*) echo '{{"refused":{{"kind":"empty"}}}}';; esac; done"#,
        held.display()
    );
    let sandbox = Sandbox::new("/bin/sh", vec!["-c".into(), script, "mark-cancel".into()], Limits::default());
    let plain = async || sandbox.read(b"\n", "plain.txt").await;
    let both = tokio::join!(plain(), plain());
    assert_eq!(both, (Err(ReadError::Empty), Err(ReadError::Empty)));
    let mut idle = children("mark-cancel");
    assert_eq!(idle.len(), 2);
    let hanging = tokio::select! {
        ended = sandbox.read(b"\n", "hang.txt") => panic!("{ended:?}"),
        id = told(&held) => id,
    };
    let _ = std::fs::remove_file(&held);
    idle.retain(|id| *id != hanging);
    assert_eq!(idle.len(), 1, "it took one of them");
    while children("mark-cancel").contains(&hanging) {
        tokio::task::yield_now().await;
    }
    assert_eq!(children("mark-cancel"), idle, "the other lives");
    assert_eq!(plain().await, Err(ReadError::Empty));
    assert_eq!(children("mark-cancel"), idle, "and reads the next document");
}

#[tokio::test]
async fn answers_and_refusals_come_back_whole() {
    let sandbox = sandbox(Limits::default());
    for (name, bytes) in all() {
        let there = sandbox.read(&bytes, name).await;
        assert_eq!(there, madang_documents::read(&bytes, name, &Limits::default()), "{name}");
    }
    let refused = sandbox.read(&ole(&[("/FileHeader", &hwp_header(4))]), "a.hwp").await;
    assert_eq!(refused, Err(ReadError::Distribution));
    assert_eq!(sandbox.read(b"", "a.txt").await, Err(ReadError::Empty));
}

#[tokio::test]
async fn memory_is_limited() {
    let limits = Limits { memory_bytes: 160 << 20, ..Limits::default() };
    let text = "가나다라 ".repeat(8 << 20);
    assert_eq!(sandbox(limits).read(text.as_bytes(), "a.txt").await.map(|e| e.text.len()), Err(ReadError::TooLarge));
}

#[tokio::test]
async fn deaths_are_told_apart() {
    let limits = || Limits { time: Duration::from_secs(1), output_bytes: 1000, ..Limits::default() };
    let run = async |script: &str| shell(script, limits()).read(b"x", "a.txt").await.expect_err(script);
    assert_eq!(run("kill -SEGV $$").await, ReadError::Damaged);
    assert_eq!(run("kill -XCPU $$").await, ReadError::Timeout);
    assert_eq!(run("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$").await, ReadError::TooLarge);
    assert_eq!(run("echo 'thread has overflowed its stack' >&2; kill -ABRT $$").await, ReadError::TooDeep);
    assert!(matches!(run("yes").await, ReadError::Unavailable { .. }));
    assert_eq!(run("yes | tr -d '\\n'").await, ReadError::TooLarge);
    assert!(matches!(run("echo broken >&2; exit 3").await, ReadError::Unavailable { .. }));
    assert_eq!(run("exec sleep infinity").await, ReadError::Timeout);
    let missing = Sandbox::new("/nonexistent/program", vec![], limits());
    assert!(matches!(missing.read(b"x", "a.txt").await, Err(ReadError::Unavailable { .. })));
}

#[tokio::test]
async fn the_child_sees_no_environment_and_a_cancelled_one_dies() {
    let answer = shell("env | grep -v -E '^(PWD|SHLVL|_)=' >&2; exit 1", Limits::default()).read(b"x", "a").await;
    match answer {
        Err(ReadError::Unavailable { detail }) => assert!(detail.ends_with(": "), "{detail}"),
        other => panic!("{other:?}"),
    }
    // Holds the lock on a file for as long as it lives; the lock is free again once the group is gone.
    let lock = std::env::temp_dir().join(format!("madang-sandbox-{}", std::process::id()));
    let held = lock.with_extension("held");
    let script = format!("exec 9>{}; flock 9; echo $$ > {}; sleep infinity", lock.display(), held.display());
    let sandbox = shell(&script, Limits::default());
    tokio::select! {
        ended = sandbox.read(b"x", "a.txt") => panic!("{ended:?}"),
        _ = told(&held) => {}
    }
    let freed = std::process::Command::new("flock").arg(&lock).arg("true").status();
    let _ = std::fs::remove_file(&lock);
    let _ = std::fs::remove_file(&held);
    assert!(freed.expect("flock runs").success());
}

/// Every file under `folder`.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

#[tokio::test]
async fn real_documents_neither_crash_nor_hang_nor_come_back_empty() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let mut paths = Vec::new();
    for folder in ["documents", "seeds", "law"] {
        if data.join(folder).is_dir() {
            files(&data.join(folder), &mut paths);
        } else {
            eprintln!("skipped: {} is absent", data.join(folder).display());
        }
    }
    let sandbox = sandbox(Limits { time: Duration::from_secs(20), ..Limits::default() });
    let mut read = 0;
    for path in &paths {
        let bytes = std::fs::read(path).expect("readable");
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match sandbox.read(&bytes, &name).await {
            Ok(extracted) => {
                assert!(extracted.text.chars().any(char::is_alphanumeric), "silent empty: {}", path.display());
                assert!(!extracted.passages.is_empty(), "no passages: {}", path.display());
                let notice = extracted.format == Format::Hwp && extracted.text.contains("상위 버전의 배포용 문서");
                assert!(!notice, "a notice was read: {}", path.display());
                read += 1;
            }
            Err(error) => assert!(
                !matches!(error, ReadError::Timeout | ReadError::Unavailable { .. } | ReadError::TooDeep),
                "{}: {error:?}",
                path.display()
            ),
        }
    }
    eprintln!("{read} of {} files gave text", paths.len());
    assert!(paths.is_empty() || read * 4 > paths.len() * 3, "{read} of {}", paths.len());
}

//! The child process: answers, refusals, crashes, limits, cancellation; and every real document at hand.

mod common;

use common::*;
use madang_documents::{Format, Limits, ReadError, child::Sandbox};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The survey example doubles as the child; cargo builds examples before tests.
fn sandbox(limits: Limits) -> Sandbox {
    let mut program = std::env::current_exe().expect("this test has a path");
    program.pop();
    program.pop();
    program.push("examples/survey");
    assert!(program.exists(), "{} is missing: run `cargo build --release --examples` first", program.display());
    Sandbox { program, args: vec!["parse-child".into()], limits }
}

fn shell(script: &str, limits: Limits) -> Sandbox {
    Sandbox { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()], limits }
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
    assert_eq!(run("yes").await, ReadError::TooLarge);
    assert!(matches!(run("echo broken >&2; exit 3").await, ReadError::Unavailable { .. }));
    let started = Instant::now();
    assert_eq!(run("exec sleep 600").await, ReadError::Timeout);
    assert!(started.elapsed() < Duration::from_secs(20));
    let missing = Sandbox { program: PathBuf::from("/nonexistent/program"), args: vec![], limits: limits() };
    assert!(matches!(missing.read(b"x", "a.txt").await, Err(ReadError::Unavailable { .. })));
}

#[tokio::test]
async fn the_child_sees_no_environment_and_a_cancelled_one_dies() {
    let told = shell("env | grep -v -E '^(PWD|SHLVL|_)=' >&2; exit 1", Limits::default()).read(b"x", "a").await;
    match told {
        Err(ReadError::Unavailable { detail }) => assert!(detail.ends_with(": "), "{detail}"),
        other => panic!("{other:?}"),
    }
    // Holds the lock on a file for as long as it lives; the lock is free again once the group is gone.
    let lock = std::env::temp_dir().join(format!("madang-sandbox-{}", std::process::id()));
    let script = format!("exec 9>{0}; flock 9; echo held >&2; sleep 600", lock.display());
    let sandbox = shell(&script, Limits::default());
    let reading = sandbox.read(b"x", "a.txt");
    assert!(tokio::time::timeout(Duration::from_millis(500), reading).await.is_err());
    let freed = std::process::Command::new("flock").args(["-w", "5"]).arg(&lock).arg("true").status();
    let _ = std::fs::remove_file(&lock);
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

//! Commits that are shared: who joins, who fails alone, and what is left when the database, a caller or a member gives
//! up. On SQLite and, where `MADANG_TEST_POSTGRES` names a database, on PostgreSQL.

use crate::ledger::Event;
use crate::ledger_tests::houses;
use crate::{Dialect, Result, Store};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::Executor;
use std::time::Duration;
use tokio::task::{JoinHandle, yield_now};

fn event(n: usize) -> Event {
    Event::new("sign_in", None, json!({ "n": n }))
}

/// Starts writers that queue behind the transaction at work, in their order.
async fn queue<F>(store: &Store, writers: usize, work: impl Fn(Store, usize) -> F) -> Vec<JoinHandle<Result<i64>>>
where
    F: Future<Output = Result<i64>> + Send + 'static,
{
    let mut tasks = Vec::new();
    for n in 0..writers {
        tasks.push(tokio::spawn(work(store.clone(), n)));
        // One thread runs the test: the writer stands in the queue when it yields.
        yield_now().await;
    }
    tasks
}

async fn results(tasks: Vec<JoinHandle<Result<i64>>>) -> Vec<Result<i64>> {
    join_all(tasks).await.into_iter().map(|done| done.expect("no panic")).collect()
}

/// The chain is whole; how many records it has.
async fn chain(store: &Store) -> usize {
    let entries = store.ledger_chain(1, 100_000).await.expect("chain");
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(entry.seq, place as u64 + 1);
        assert!(entry.holds().is_ok());
        assert!(place == 0 || entry.prev_hash == entries[place - 1].hash);
    }
    assert_eq!(store.tree_size().await.expect("tree"), entries.len() as u64);
    entries.len()
}

#[tokio::test]
async fn writers_that_queue_share_one_commit_and_hear_of_it_when_it_is_there() {
    for house in houses().await {
        let store = &house.store;
        let before = store.groups().await;
        let mut first = store.write().await.expect("begun");
        first.append(event(0)).await.expect("appended");
        let tasks = queue(store, 60, |store, n| async move {
            let seq = store.record(event(n + 1)).await?;
            // Another connection sees it: it is committed.
            assert!(store.ledger_end().await? >= seq);
            Ok(seq)
        })
        .await;
        assert_eq!(store.ledger_end().await.expect("end"), 0, "nothing is there before the commit");
        first.commit().await.expect("committed");
        let seqs: Vec<i64> = results(tasks).await.into_iter().map(|seq| seq.expect("appended")).collect();
        assert_eq!(seqs, (2..=61).collect::<Vec<_>>(), "in the order of the queue");
        assert_eq!(store.groups().await - before, 1);
        assert_eq!(chain(store).await, 61);
    }
}

#[tokio::test]
async fn a_group_has_a_size_and_a_long_transaction_is_in_none() {
    let house = houses().await.remove(0);
    let store = &house.store;
    let before = store.groups().await;
    let first = store.write().await.expect("begun");
    let tasks = queue(store, 300, |store, n| async move { store.record(event(n)).await }).await;
    let long = queue(store, 1, |store, _| async move {
        let mut tx = store.write_alone().await?;
        let seq = tx.append(event(300)).await?;
        // Those before it are told while it is at work.
        while store.ledger_end().await? < seq - 1 {
            yield_now().await;
        }
        tx.commit().await?;
        Ok(seq)
    })
    .await;
    drop(first);
    assert!(results(tasks).await.iter().all(Result::is_ok));
    assert!(results(long).await.iter().all(Result::is_ok));
    assert_eq!(store.groups().await - before, 3, "128, 128 and 44");
    assert_eq!(chain(store).await, 301);
}

#[tokio::test]
async fn a_member_that_fails_or_leaves_takes_nobody_along() {
    for house in houses().await {
        let store = &house.store;
        let first = store.write().await.expect("begun");
        let tasks = queue(store, 30, |store, n| async move {
            let mut tx = store.write().await?;
            let seq = tx.append(event(n)).await?;
            match n % 3 {
                0 => tx.commit().await.map(|()| seq),
                // An error of the database, which on PostgreSQL spoils a transaction until it is rolled back.
                1 => match tx.tx.execute("INSERT INTO ledger (seq) VALUES (NULL)").await {
                    Err(error) => Err(error.into()),
                    Ok(_) => panic!("accepted"),
                },
                _ => Ok(0),
            }
        })
        .await;
        first.commit().await.expect("committed");
        let done = results(tasks).await;
        for (n, done) in done.iter().enumerate() {
            assert_eq!(done.is_err(), n % 3 == 1, "{n}: {done:?}");
        }
        let kept: Vec<i64> = done.into_iter().filter_map(Result::ok).filter(|seq| *seq > 0).collect();
        assert_eq!(kept, (1..=10).collect::<Vec<_>>());
        assert_eq!(chain(store).await, 10);
    }
}

#[tokio::test]
async fn where_the_database_gives_up_the_transaction_all_hear_of_it_and_nothing_is_left() {
    let house = houses().await.remove(0);
    let store = &house.store;
    assert_eq!(store.dialect, Dialect::Sqlite);
    let mut tx = store.write().await.expect("begun");
    tx.tx
        .execute(
            "CREATE TRIGGER fault BEFORE INSERT ON meta WHEN NEW.key = 'fault' BEGIN SELECT RAISE(ROLLBACK, 'fault'); END",
        )
        .await
        .expect("trigger");
    tx.commit().await.expect("committed");

    let first = store.write().await.expect("begun");
    let tasks = queue(store, 12, |store, n| async move {
        if n == 5 { store.set_meta("fault", Some("1")).await.map(|()| 0) } else { store.record(event(n)).await }
    })
    .await;
    first.commit().await.expect_err("it was in the group");
    let done = results(tasks).await;
    assert!(done[..=5].iter().all(Result::is_err), "{done:?}");
    assert!(done[6..].iter().all(Result::is_ok), "{done:?}");
    assert_eq!(chain(store).await, 6, "those after the fault have a group of their own");
}

#[tokio::test]
async fn a_transaction_that_nobody_ended_frees_the_writer_by_itself() {
    let house = houses().await.remove(0);
    let mut dropped = house.store.write().await.expect("begun");
    dropped.append(event(0)).await.expect("appended");
    drop(dropped);
    // Another process: it would wait for SQLite's lock and fail.
    let other = Store::open(&house.url, crate::Clock::System).await.expect("opens");
    other.record(event(1)).await.expect("the lock is free");
    assert_eq!(chain(&other).await, 1);
}

/// Callers that go away at any moment: what was reported done is there, and the chain is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_may_go_away_at_any_moment() {
    for house in houses().await {
        let store = &house.store;
        let mut done = 0;
        for round in 0..40_usize {
            let tasks: Vec<_> = (0..16)
                .map(|n| {
                    let store = store.clone();
                    tokio::spawn(async move { store.record(event(n)).await })
                })
                .collect();
            for (n, task) in tasks.iter().enumerate() {
                if (n + round) % 3 == 0 {
                    // When it is cut off is left to chance on purpose; nothing is measured.
                    tokio::time::sleep(Duration::from_micros((round * 37 + n * 11) as u64 % 400)).await;
                    task.abort();
                }
            }
            for task in join_all(tasks).await {
                match task {
                    Ok(seq) => done += usize::from(seq.is_ok()),
                    Err(gone) => assert!(gone.is_cancelled()),
                }
            }
        }
        let records = chain(store).await;
        assert!(done >= 40 * 10, "{done}");
        assert!((done..=40 * 16).contains(&records), "{records} records, {done} reported");
    }
}

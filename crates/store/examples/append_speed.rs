//! How many records a second the ledger takes: `cargo run --release -p madang-store --example append_speed [RECORDS]`.
//! Prints a table: writers that ask at the same time and share commits, the same with a commit for each record, and,
//! as what the disk allows, lines appended to a file with an fsync for each.

#![allow(clippy::print_stdout)] // the table

use madang_store::ledger::Event;
use madang_store::{Clock, Store};
use serde_json::json;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let records: usize = std::env::args().nth(1).map_or(Ok(5000), |n| n.parse())?;
    let home = tempfile::tempdir_in(std::env::current_dir()?)?;
    println!("| way | writers | records | commits | records/s | of one commit each |");
    println!("|---|---:|---:|---:|---:|---:|");
    let alone = records / 5;
    let store = Store::open_sqlite(&home.path().join("alone.db"), Clock::System).await?;
    let started = Instant::now();
    for n in 0..alone {
        let mut tx = store.write_alone().await?;
        tx.append(event(n)).await?;
        tx.commit().await?;
    }
    let base = rate(alone, started.elapsed());
    row("a commit each", 1, alone, alone as u64, base, base);
    for writers in [1, 8, 64, 256] {
        let store = Store::open_sqlite(&home.path().join(format!("{writers}.db")), Clock::System).await?;
        let each = records / writers;
        let (before, started) = (store.groups().await, Instant::now());
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0..each {
                        store.record(event(n)).await?;
                    }
                    Ok::<_, madang_store::StoreError>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let rate = rate(each * writers, started.elapsed());
        row("shared commits", writers, each * writers, store.groups().await - before, rate, base);
    }
    let mut file = std::fs::File::create(home.path().join("lines"))?;
    let started = Instant::now();
    for n in 0..alone {
        writeln!(file, "{:0700}", n)?;
        file.sync_data()?;
    }
    row("a file's line and fsync", 1, alone, alone as u64, rate(alone, started.elapsed()), base);
    Ok(())
}

fn event(n: usize) -> Event {
    Event::new("outside_call_intent", None, json!({ "n": n, "bytes": 8000, "hmac": "0".repeat(64) }))
}

fn rate(records: usize, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

fn row(way: &str, writers: usize, records: usize, commits: u64, rate: f64, base: f64) {
    println!("| {way} | {writers} | {records} | {commits} | {rate:.0} | ×{:.1} |", rate / base);
}

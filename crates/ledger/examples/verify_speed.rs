//! Measures how fast an exported record is verified on one core, and in how much memory: `verify_speed [RECORDS]`
//! (1,000,000 unless told). Writes an export with records of ordinary size, a cosigned checkpoint after each thousand
//! and paired intents and outcomes to a temporary file, then verifies it.

use madang_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use madang_ledger::export::{ExportLines, VerifyOptions, verify_export};
use madang_ledger::keys::{Purpose, SigningKey};
use madang_ledger::pairing::Role;
use madang_ledger::tree::Frontier;
use madang_ledger::trust::{KeyHistory, Trust};
use madang_ledger::{Entry, Head, canonical, chain};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::time::Instant;

const ORIGIN: &str = "city.example.kr/ledger";
const STEP: u64 = 1000;

/// A record like those of outside calls: every tenth pair lacks nothing, every thousandth intent its outcome.
fn payload(i: u64) -> Value {
    let (action, call) = if i.is_multiple_of(2) { ("outside_call_intent", i) } else { ("outside_call_outcome", i - 1) };
    let call = if i % 2000 == 1 { i } else { call };
    let action = if i % 2000 == 1 { "sign_in" } else { action };
    json!({
        "event": format!("0199aaaa-0000-7000-8000-{i:012x}"),
        "action": action,
        "actor": {
            "person": format!("0199bbbb-0000-7000-8000-{:012x}", i % 2007),
            "login": format!("user{}", i % 2007),
            "name": "홍길동",
            "posts": [{"post": "주무관", "department": "정보통신과", "roles": ["official"]}],
        },
        "detail": {
            "call": format!("0199cccc-0000-7000-8000-{call:012x}"),
            "provider": "provider.example",
            "model": "model-large",
            "bytes": 8123 + i % 997,
            "prompt_hmac": format!("{i:064x}"),
            "purpose": "보도자료 초안을 다듬기 위함",
        },
    })
}

fn role(entry: &Entry) -> Role {
    let payload: Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    let call = payload["detail"]["call"].as_str().unwrap_or_default().to_owned();
    match payload["action"].as_str() {
        Some("outside_call_intent") => Role::Intent(call),
        Some("outside_call_outcome") => Role::Outcome(call),
        _ => Role::Other,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let log = SigningKey::generate(ORIGIN, Purpose::Log)?;
    let witness = SigningKey::generate("security.example.kr/witness", Purpose::Witness)?;
    let started = Instant::now();
    let mut file = tempfile::tempfile()?;
    write(&file, records, &log, &witness)?;
    file.rewind()?;
    let megabytes = file.metadata()?.len() as f64 / 1e6;
    let mut out = io::stdout();
    writeln!(out, "{records} records, {megabytes:.0} MB, written in {:.1} s", started.elapsed().as_secs_f64())?;
    let history = KeyHistory::pinned([log.verifier().clone()])?;
    let options = VerifyOptions::strict(Trust::of_log(history).witnessed(vec![witness.verifier().clone()], 1)?);
    for pairing in [false, true] {
        file.rewind()?;
        let started = Instant::now();
        let reader = BufReader::with_capacity(1 << 16, &file);
        let report = match pairing {
            true => verify_export(reader, &options, Some(&mut role))?,
            false => verify_export(reader, &options, None)?,
        };
        let seconds = started.elapsed().as_secs_f64();
        let peak = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
        writeln!(
            out,
            "pairing {pairing}: {:.1} s, {:.0} records/s, {} checkpoints, {} unknown, {peak}",
            seconds,
            report.records as f64 / seconds,
            report.checkpoints,
            report.unknown.len(),
        )?;
    }
    Ok(())
}

fn write(file: &File, records: u64, log: &SigningKey, witness: &SigningKey) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(file);
    let (mut lines, first) = ExportLines::begin(ORIGIN)?;
    out.write_all(first.as_bytes())?;
    let (mut head, mut tree) = (Head::genesis(), Frontier::new());
    for i in 0..records {
        let entry =
            chain(&head, &format!("2026-11-22T06:{:02}:{:02}.000Z", i / 60 % 60, i % 60), &canonical(&payload(i))?)?;
        tree.push(entry.leaf().ok_or("no leaf")?)?;
        out.write_all(lines.entry(&entry)?.as_bytes())?;
        if entry.seq % STEP == 0 || entry.seq == records {
            let mut signed = SignedCheckpoint::signed(&Checkpoint::of(ORIGIN, &tree), log)?;
            signed.add(signed.note().cosignature(witness, 1_795_000_000 + i)?);
            out.write_all(lines.checkpoint(&signed)?.as_bytes())?;
        }
        head = Head::from(&entry);
    }
    out.write_all(lines.end()?.as_bytes())?;
    Ok(out.flush()?)
}

//! What the record must say of everything that arrived, and what must never have arrived.

use crate::world::{SECRET, World};
use anyhow::{Context, ensure};
use madang_store::{Clock, Store};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Audit {
    pub arrived: usize,
    pub attempts: usize,
    pub intents: usize,
    pub outcomes: BTreeMap<String, usize>,
    pub records: usize,
    pub bytes: usize,
}

/// What the record knows of one call.
#[derive(Default)]
struct Known {
    asker: String,
    body: String,
    grade: String,
    /// Bytes that were approved or let pass, until when (RFC 3339), by whom.
    approved: Option<(String, String, String)>,
    /// Others who approved these bytes before the last one.
    approvals: BTreeSet<(String, String)>,
    intents: usize,
    outcomes: Vec<String>,
}

/// # Errors
/// Names the first thing that is wrong.
pub async fn audit(world: &World) -> anyhow::Result<Audit> {
    let seen = &world.recorder.seen;
    ensure!(seen.faults.lock().expect("no poison").is_empty(), "{:?}", seen.faults);
    ensure!(seen.trapped.load(Ordering::SeqCst) == 0, "a redirect was followed");
    let store = Store::open_sqlite(&world.home().join("madang.db"), Clock::System).await?;
    let entries = store.ledger_chain(1, i64::MAX).await?;
    store.close().await;
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for entry in &entries {
        let payload: Value = serde_json::from_str(&entry.payload)?;
        step(&mut known, &payload, &entry.time)?;
    }
    let mut audit = Audit { records: entries.len(), bytes: seen.bytes.load(Ordering::SeqCst), ..Audit::default() };
    for (id, call) in &known {
        audit.intents += call.intents;
        ensure!(call.intents <= 1, "{id} has {} intents", call.intents);
        ensure!(call.outcomes.len() == call.intents, "{id}: {} intents, outcomes {:?}", call.intents, call.outcomes);
        for outcome in &call.outcomes {
            *audit.outcomes.entry(outcome.clone()).or_default() += 1;
        }
    }
    for (id, arrived) in seen.calls.lock().expect("no poison").iter() {
        let call = known.get(id).with_context(|| format!("{id} arrived and is not on record"))?;
        ensure!(call.intents == 1, "{id} arrived without an intent");
        ensure!(call.outcomes.iter().all(|o| o != "failed"), "{id} arrived, and the record says that nothing left");
        ensure!(arrived.bodies.len() == 1, "{id} arrived in {} forms", arrived.bodies.len());
        audit.arrived += 1;
        audit.attempts += arrived.times;
        arrived.bodies.iter().try_for_each(|body| clean(id, &String::from_utf8_lossy(body)))?;
    }
    ensure!(world.server.command(&["ledger", "verify"])?.status.success(), "the chain does not hold");
    Ok(audit)
}

fn step(known: &mut BTreeMap<String, Known>, payload: &Value, time: &str) -> anyhow::Result<()> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (action, id) = (text("/action"), text("/detail/call"));
    if id.is_empty() {
        return Ok(());
    }
    let call = known.entry(id.clone()).or_default();
    let (actor, body) = (text("/actor/person"), text("/detail/body_hmac"));
    match action.as_str() {
        "outside_call_requested" | "outside_call_allowed" => {
            (call.asker, call.body, call.grade) = (actor.clone(), body.clone(), text("/detail/grade"));
            if action == "outside_call_allowed" {
                let passing = text("/detail/verdict");
                ensure!(matches!(passing.as_str(), "allow" | "allow_masked"), "{id} was let pass as {passing}");
                call.approved = Some((body, text("/detail/expires_at"), String::new()));
            }
        }
        "outside_call_masked" => (call.body, call.approved) = (body, None),
        "outside_call_approved" => {
            ensure!(actor != call.asker, "{id} was approved by its asker");
            ensure!(body == call.body, "{id} was approved for other bytes");
            call.approvals.insert((actor.clone(), body.clone()));
            if payload.pointer("/detail/complete") == Some(&Value::Bool(true)) {
                let asked = payload.pointer("/detail/asked").and_then(Value::as_u64).unwrap_or_default();
                let people = call.approvals.iter().filter(|(_, of)| *of == body).count();
                ensure!(people as u64 >= asked, "{id}: {people} of {asked} officers approved");
                call.approved = Some((body, text("/detail/expires_at"), actor));
            }
        }
        "outside_call_intent" => {
            call.intents += 1;
            let (approved, until, _) = call.approved.clone().with_context(|| format!("{id} was sent unapproved"))?;
            ensure!(approved == body, "{id} was sent with other bytes than were approved");
            ensure!(time < until.as_str(), "{id} was sent at {time}, approved until {until}");
            ensure!(text("/detail/grade") == "O" && call.grade == "O", "{id} was sent at a grade above O");
            ensure!(actor == call.asker, "{id} was sent by somebody else");
        }
        "outside_call_outcome" => call.outcomes.push(text("/detail/outcome")),
        _ => {}
    }
    Ok(())
}

/// Nothing that blocks, nothing that is masked, nothing marked: six digits of an identifier are too many.
fn clean(id: &str, body: &str) -> anyhow::Result<()> {
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    for never in ["900101", "197000", "12345678", "98765432", "22223333"] {
        ensure!(!digits.contains(never), "{id}: {never} arrived");
    }
    for never in [SECRET, "한-울", "한울신도시", "대외비", "hunter2", "hong@example", "남궁민수", "M12345678"]
    {
        ensure!(!body.contains(never), "{id}: {never} arrived");
    }
    Ok(())
}

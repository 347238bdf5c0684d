//! The door under fire: requests by chance over data of every grade, identifiers, dictionary words and markings, under
//! policies, grades and dictionaries that change, with faults at each step and the process killed, against a provider
//! that records. Nothing closed arrives, nothing arrives without an intent on disk and a valid approval, and after a
//! restart the record knows every send.
//!
//! `MADANG_DOOR_REQUESTS` says how many (400), `MADANG_DOOR_SEED` which ones (1).

mod audit;
mod chance;
mod recorder;
mod world;

use chance::Chance;
use reqwest::StatusCode;
use serde_json::{Value, json};
use world::{World, number};

type Test = anyhow::Result<()>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_closed_leaves_and_every_send_is_on_record() -> Test {
    let (requests, seed) = (number("MADANG_DOOR_REQUESTS", 400), number("MADANG_DOOR_SEED", 1));
    let home = tempfile::tempdir()?;
    let mut world = World::build(&home.path().join("home"), seed).await?;
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    for n in 0..requests {
        world.change_something(&mut chance).await?;
        one_request(&mut world, &mut chance, &mut tally).await?;
        if n % 500 == 499 {
            eprintln!("{} requests: {tally:?}", n + 1);
        }
    }
    world.restart().await?;
    let audit = audit::audit(&world).await?;
    let (records, bytes) = (audit.records, audit.bytes);
    eprintln!("seed {seed}, {requests} requests: {tally:?}; {audit:?}; {records} records, {bytes} bytes arrived");
    anyhow::ensure!(tally.sent > 0 && tally.refused > 0 && tally.killed > 0, "too little happened: {tally:?}");
    Ok(())
}

/// What became of the requests.
#[derive(Debug, Default)]
struct Tally {
    /// Refused when they were asked for.
    refused: usize,
    asked: usize,
    approved: usize,
    /// Tried to send without an approval, or by somebody else.
    forced: usize,
    /// The server took it for sending.
    sent: usize,
    /// The server would not send.
    held: usize,
    killed: usize,
    /// Database faults set.
    broken: usize,
}

async fn one_request(world: &mut World, chance: &mut Chance, tally: &mut Tally) -> Test {
    let run = world.some_run(chance).await?;
    let provider = chance.pick(&world.providers).clone();
    let official = world.city.ict_official.client.clone();
    let ask = json!({ "provider": provider, "purpose": world::purpose(chance), "legal_basis": "업무 지침 제3조" });
    if chance.once_in(10) {
        official.post(&format!("/api/v1/runs/{run}/outside/preview"), ask.clone()).await?;
    }
    let asked = official.post(&format!("/api/v1/runs/{run}/outside"), ask).await?;
    server_faults(world, asked.status(), "asking")?;
    if asked.status() != StatusCode::CREATED {
        tally.refused += 1;
        return Ok(());
    }
    tally.asked += 1;
    let call = asked.json::<Value>().await?["id"].as_str().unwrap_or_default().to_owned();
    decide(world, chance, &call, tally).await?;
    send(world, chance, &call, tally).await?;
    // Live calls would stand in the way of the run's next one; one that is being sent waits for the next restart.
    world.city.ict_official.client.post(&format!("/api/v1/outside/{call}/cancel"), json!({})).await?;
    Ok(())
}

/// Approvals by those who may and those who may not, masks, returns.
async fn decide(world: &World, chance: &mut Chance, call: &str, tally: &mut Tally) -> Test {
    let path = format!("/api/v1/outside/{call}");
    let strangers = [&world.city.ict_official, &world.city.civil_official, &world.city.admin];
    let stranger = &chance.pick(&strangers).client;
    let refused = stranger.post(&format!("{path}/approve"), json!({ "hours": 1 })).await?;
    anyhow::ensure!(!refused.status().is_success(), "a stranger approved {call}");
    let officers = [world.city.security.client.clone(), world.second.client.clone()];
    if chance.once_in(12) {
        let phrases = json!({ "phrases": ["가람 캠핑장"] });
        chance.pick(&officers).post(&format!("{path}/mask"), phrases).await?;
    }
    for officer in officers.iter().take(chance.below(3)) {
        let verb = if chance.once_in(12) { "return" } else { "approve" };
        let answer = officer.post(&format!("{path}/{verb}"), json!({ "reason": "확인함" })).await?;
        server_faults(world, answer.status(), verb)?;
        tally.approved += usize::from(verb == "approve" && answer.status().is_success());
    }
    Ok(())
}

async fn send(world: &mut World, chance: &mut Chance, call: &str, tally: &mut Tally) -> Test {
    let official = world.city.ict_official.client.clone();
    let path = format!("/api/v1/outside/{call}/send");
    if chance.once_in(8) {
        tally.forced += 1;
        let other = &world.city.civil_official.client;
        anyhow::ensure!(!other.post(&path, json!({})).await?.status().is_success(), "somebody else sent {call}");
    }
    let fault = chance.once_in(25).then(|| *chance.pick(&world::STEPS));
    if let Some(step) = fault {
        tally.broken += 1;
        world.break_step(step).await?;
    }
    if chance.once_in(60) {
        tally.killed += 1;
        let patience = chance.below(12);
        let sending = tokio::spawn(async move { official.post(&path, json!({})).await });
        world.let_pass(patience).await;
        world.server.kill()?;
        let _cut = sending.await?;
        world.mend().await?;
        return world.restart().await;
    }
    let sent = official.post(&path, json!({})).await?;
    let status = sent.status();
    if fault.is_some() {
        world.mend().await?;
    } else {
        server_faults(world, status, "sending")?;
    }
    match status.is_success() {
        true => tally.sent += 1,
        false => tally.held += 1,
    }
    Ok(())
}

/// A fault of ours where none was made is a fault of the server.
fn server_faults(world: &World, status: StatusCode, step: &str) -> Test {
    let ours = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
    anyhow::ensure!(!ours, "{status} when {step}: {}", world.log());
    Ok(())
}

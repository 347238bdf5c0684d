//! Fetching a model while the emergency stop is thrown by another process: what is on its way is cut, and nothing more
//! is asked for. Everything else about fetching is in `pull`.

use anyhow::{Context, ensure};
use madang_store::{Clock, Store};
use madang_tests::{Authority, FileHost, binary, eventually, model, reply, serve_file};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

type Test = anyhow::Result<()>;

fn madang(home: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(arguments).env("MADANG_HOME", home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// As a server beside it commits it.
async fn switch(home: &Path, stopped: i64) -> Test {
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", home.join("madang.db").display())).await?;
    sqlx::query("UPDATE outside_switch SET stopped = $1 WHERE id = 1").bind(stopped).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

/// Payloads of the outcomes, in order.
async fn outcomes(home: &Path) -> anyhow::Result<Vec<String>> {
    let store = Store::open_sqlite(&home.join("madang.db"), Clock::System).await?;
    let entries = store.ledger_chain(1, 10_000).await?;
    store.close().await;
    Ok(entries.into_iter().map(|e| e.payload).filter(|p| p.contains("\"model_download_outcome\"")).collect())
}

/// Sends half of the file and then waits for `go`, once; afterwards it serves with ranges.
fn faltering(authority: &Authority, bytes: &Arc<Vec<u8>>) -> anyhow::Result<(FileHost, std::sync::mpsc::Sender<()>)> {
    let (go, wait) = channel();
    let (wait, first, bytes) = (Mutex::new(wait), AtomicBool::new(true), Arc::clone(bytes));
    let host = FileHost::start(authority, move |asked, out| {
        if !first.swap(false, Ordering::SeqCst) {
            return serve_file(asked, out, &bytes);
        }
        reply(out, "200 OK", &[("content-length", &bytes.len().to_string()), ("etag", "\"v1\"")])?;
        out.write_all(bytes.get(..bytes.len() / 2).context("half")?)?;
        out.flush()?;
        let _ = wait.lock().ok().context("lock")?.recv();
        Ok(())
    })?;
    Ok((host, go))
}

#[tokio::test]
async fn the_emergency_stop_of_another_process_cuts_it_off() -> Test {
    let (place, authority) = (tempfile::tempdir()?, Authority::new()?);
    let (home, bytes) = (place.path(), Arc::new(std::fs::read(model("qwen3", "q8_0")?)?));
    let (host, go) = faltering(&authority, &bytes)?;
    let ca = home.join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    std::fs::create_dir_all(home.join("models"))?;
    let catalogue = format!(
        "hub = \"{}\"\n[[models]]\nname = \"tiny\"\nlabel = \"작은 모델\"\nkind = \"chat\"\narchitecture = \"qwen3\"\n\
         parameters = 1000\nformat = \"gguf\"\nquantisation = \"Q8_0\"\nfile = \"tiny.gguf\"\nlicence = \"MIT\"\n\
         source = \"maker/tiny\"\ncontext = 128\ngood_for = \"시험합니다.\"\nsize = {}\nsha256 = \"{}\"\n",
        host.url("/hub"),
        bytes.len(),
        hex::encode(Sha256::digest(bytes.as_slice()))
    );
    std::fs::write(home.join("models/catalogue.toml"), catalogue)?;
    ensure!(madang(home, &["models", "allow-host", &host.name()])?.output()?.status.success());
    let ca = ca.to_string_lossy().into_owned();
    let pull = || madang(home, &["models", "pull", "tiny", "--yes", "--allow-loopback", "--ca", &ca]);
    let child = pull()?.spawn()?;
    let (part, half) = (home.join("models/incoming/tiny.part"), bytes.len() as u64 / 2);
    eventually("half of the file is here", || async {
        Ok(part.metadata().is_ok_and(|m| m.len() == half).then_some(()))
    })
    .await?;
    switch(home, 1).await?;
    let told = child.wait_with_output()?;
    ensure!(!told.status.success() && said(&told).contains("비상 정지"), "{}", said(&told));
    drop(go);
    host.wait_served()?;
    let cut = outcomes(home).await?;
    ensure!(cut.len() == 1 && cut.iter().all(|o| o.contains("\"stopped\"") && o.contains("비상 정지")), "{cut:?}");
    let refused = pull()?.output()?;
    ensure!(!refused.status.success() && said(&refused).contains("비상 정지"), "{}", said(&refused));
    ensure!(host.connections() == 1 && outcomes(home).await?.len() == 1, "nothing was asked for");
    switch(home, 0).await?;
    let told = pull()?.output()?;
    ensure!(told.status.success() && home.join("models/tiny/model.gguf").is_file(), "{}", said(&told));
    Ok(())
}

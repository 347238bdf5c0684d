//! Fetching a model through the door, against the real binary and file hosts over TLS on loopback: only from hosts that
//! were allowed, recorded before it leaves, checked at every redirect, taken up again where it broke off.

use anyhow::{Context, ensure};
use madang_store::{Clock, Store};
use madang_tests::{Asked, Authority, FileHost, Madang, Postgres, binary, eventually, model, reply, serve_file};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};

type Test = anyhow::Result<()>;

const FILE: &str = "/hub/maker/tiny/resolve/main/tiny.gguf";

/// A small model that can be loaded, made once.
fn gguf() -> anyhow::Result<Arc<Vec<u8>>> {
    static MADE: OnceLock<Mutex<Option<Arc<Vec<u8>>>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().ok().context("lock")?;
    if let Some(bytes) = &*made {
        return Ok(Arc::clone(bytes));
    }
    let bytes = Arc::new(std::fs::read(model("qwen3", "q8_0")?)?);
    *made = Some(Arc::clone(&bytes));
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A home whose catalogue knows one model.
struct Site {
    home: tempfile::TempDir,
    authority: Authority,
    ca: PathBuf,
}

impl Site {
    fn new() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let authority = Authority::new()?;
        let ca = home.path().join("ca.pem");
        std::fs::write(&ca, authority.pem())?;
        std::fs::create_dir_all(home.path().join("models"))?;
        Ok(Self { home, authority, ca })
    }

    /// Lets the catalogue name `tiny` at `hub`, with these further lines.
    fn knows(&self, hub: &str, lines: &str) -> Test {
        let text = format!(
            "hub = \"{hub}\"\n[[models]]\nname = \"tiny\"\nlabel = \"작은 모델\"\nkind = \"chat\"\narchitecture = \"qwen3\"\n\
             parameters = 1000\nformat = \"gguf\"\nquantisation = \"Q8_0\"\nfile = \"tiny.gguf\"\nlicence = \"MIT\"\n\
             source = \"maker/tiny\"\ncontext = 128\ngood_for = \"시험합니다.\"\n{lines}\n"
        );
        Ok(std::fs::write(self.home.path().join("models/catalogue.toml"), text)?)
    }

    /// As [`Site::knows`], with the size and hash of `bytes`.
    fn knows_exactly(&self, hub: &FileHost, bytes: &[u8]) -> Test {
        self.knows(&hub.url("/hub"), &format!("size = {}\nsha256 = \"{}\"", bytes.len(), sha256(bytes)))
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(arguments).env("MADANG_HOME", self.home.path()).stdin(Stdio::null());
        Ok(command)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    fn allow(&self, host: &str) -> Test {
        let told = self.run(&["models", "allow-host", host])?;
        ensure!(told.status.success(), "{}", said(&told));
        Ok(())
    }

    fn pulling(&self, more: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(&["models", "pull", "tiny", "--yes", "--allow-loopback", "--ca"])?;
        command.arg(&self.ca).args(more);
        Ok(command)
    }

    fn pull(&self) -> anyhow::Result<Output> {
        Ok(self.pulling(&[])?.output()?)
    }

    fn started(&self) -> anyhow::Result<Child> {
        Ok(self.pulling(&[])?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    fn part(&self) -> PathBuf {
        self.home.path().join("models/incoming/tiny.part")
    }

    fn installed(&self) -> bool {
        self.home.path().join("models/tiny/model.gguf").is_file()
    }

    /// The records as (action, detail), in order.
    async fn records(&self) -> anyhow::Result<Vec<(String, Value)>> {
        records(self.home.path()).await
    }

    /// Outcomes of the requests, in order.
    async fn outcomes(&self) -> anyhow::Result<Vec<Value>> {
        Ok(details(&self.records().await?, "model_download_outcome"))
    }
}

async fn records(home: &Path) -> anyhow::Result<Vec<(String, Value)>> {
    let store = Store::open_sqlite(&home.join("madang.db"), Clock::System).await?;
    let entries = store.ledger_chain(1, 100_000).await?;
    store.close().await;
    entries
        .iter()
        .map(|entry| {
            let payload: Value = serde_json::from_str(&entry.payload)?;
            Ok((payload["action"].as_str().context("action")?.to_owned(), payload["detail"].clone()))
        })
        .collect()
}

fn details(records: &[(String, Value)], action: &str) -> Vec<Value> {
    records.iter().filter(|(found, _)| found == action).map(|(_, detail)| detail.clone()).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A host that serves the file as it is.
fn serving(site: &Site, bytes: &Arc<Vec<u8>>) -> anyhow::Result<FileHost> {
    let bytes = Arc::clone(bytes);
    FileHost::start(&site.authority, move |asked, out| serve_file(asked, out, &bytes))
}

/// A host that sends everybody on.
fn sending_on(site: &Site, location: String) -> anyhow::Result<FileHost> {
    FileHost::start(&site.authority, move |_, out| {
        reply(out, "302 Found", &[("location", &location), ("content-length", "0")])
    })
}

#[tokio::test]
async fn a_model_is_fetched_after_its_intent_and_can_be_used() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let recorded = Arc::new(AtomicBool::new(false));
    let (seen, home, served) = (Arc::clone(&recorded), site.home.path().to_owned(), Arc::clone(&bytes));
    let look = move || {
        let found = tokio::runtime::Runtime::new().map(|r| r.block_on(records(&home)));
        let intent = found.is_ok_and(|f| f.is_ok_and(|f| !details(&f, "model_download_intent").is_empty()));
        seen.store(intent, Ordering::SeqCst);
    };
    let host = FileHost::start_watched(&site.authority, look, move |asked, out| serve_file(asked, out, &served))?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let told = site.pull()?;
    ensure!(told.status.success(), "{}", said(&told));
    ensure!(recorded.load(Ordering::SeqCst), "the intent was not on the disk when the connection came");
    let [asked] = host.asked().try_into().ok().context("one request")?;
    check_request(&asked);
    let hash = sha256(&bytes);
    ensure!(said(&told).contains(&hash), "{}", said(&told));
    ensure!(!String::from_utf8_lossy(&told.stderr).contains('\r'), "no bar where nobody looks");
    for arguments in [&["models", "use", "chat", "tiny"][..], &["models", "verify", "tiny"], &["ledger", "verify"]] {
        let told = site.run(arguments)?;
        ensure!(told.status.success(), "{arguments:?}: {}", said(&told));
    }
    let records = site.records().await?;
    let actions: Vec<&str> = records.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["download_host_allowed", "model_download_intent", "model_download_outcome"]);
    let intent = &details(&records, "model_download_intent")[0];
    let of = |key: &str| intent[key].as_str().unwrap_or_default();
    assert_eq!(
        (of("host"), of("path"), of("model"), of("purpose")),
        (host.name().as_str(), FILE, "tiny", "model download")
    );
    ensure!(of("pinned") == host.name() && intent["uid"].is_u64() && intent["os_user"].is_string(), "{intent}");
    let outcome = &site.outcomes().await?[0];
    assert_eq!(
        (&outcome["outcome"], &outcome["status"], &outcome["sha256"]),
        (&json!("fetched"), &json!(200), &json!(hash))
    );
    assert_eq!(outcome["reply_bytes"].as_u64(), Some(bytes.len() as u64));
    ensure!(!site.part().exists(), "what was copied does not stay");
    let again = site.pull()?;
    ensure!(again.status.success() && host.connections() == 1, "{}", said(&again));
    Ok(())
}

/// What leaves is the address and nothing that tells of the body.
fn check_request(asked: &Asked) {
    assert!(asked.head.starts_with(&format!("GET {FILE} HTTP/1.1\r\n")), "{}", asked.head);
    let mut names: Vec<String> =
        asked.head.lines().skip(1).filter_map(|l| Some(l.split_once(':')?.0.to_lowercase())).collect();
    names.sort();
    assert_eq!(names, ["accept", "host", "user-agent"], "{}", asked.head);
    assert!(asked.header("user-agent").is_some_and(|a| a.starts_with("madang/")));
}

#[tokio::test]
async fn what_nobody_allowed_is_not_asked_for() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let host = serving(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    let told = site.pull()?;
    let words = said(&told);
    ensure!(
        told.status.code() == Some(1) && words.contains(&format!("madang models allow-host {}", host.name())),
        "{words}"
    );
    ensure!(words.contains("madang models add"), "how to carry it in: {words}");
    let from = format!("https://localhost:{}/files", host.name().rsplit(':').next().context("port")?);
    ensure!(!site.pulling(&["--from", &from])?.status()?.success(), "a mirror has to be allowed too");
    // Allowed for a moment.
    site.allow(&host.name())?;
    ensure!(said(&site.run(&["models", "allow-host"])?).contains(&host.name()));
    ensure!(site.run(&["models", "allow-host", &host.name(), "--remove"])?.status.success());
    ensure!(!site.pull()?.status.success());
    for bad in ["https://x.example", "*.example", "a/b", ""] {
        ensure!(!site.run(&["models", "allow-host", bad])?.status.success(), "{bad}");
    }
    assert_eq!(host.connections(), 0, "nothing was ever sent");
    let actions: Vec<String> = site.records().await?.into_iter().map(|(action, _)| action).collect();
    let refused = "model_download_refused";
    assert_eq!(actions, [refused, refused, "download_host_allowed", "download_host_removed", refused]);
    ensure!(!site.installed());
    // Without --yes and without a terminal nobody has agreed.
    site.allow(&host.name())?;
    let asked = site.command(&["models", "pull", "tiny", "--allow-loopback"])?.output()?;
    ensure!(!asked.status.success() && said(&asked).contains("--yes") && host.connections() == 0, "{}", said(&asked));
    Ok(())
}

#[tokio::test]
async fn a_redirect_between_allowed_hosts_is_followed_and_recorded() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let content = serving(&site, &bytes)?;
    let hub = sending_on(&site, content.url("/blobs/1?signature=s3cret@x"))?;
    site.knows_exactly(&hub, &bytes)?;
    site.allow(&hub.name())?;
    site.allow(&content.name())?;
    let told = site.pull()?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    assert_eq!(content.asked()[0].target, "/blobs/1?signature=s3cret@x");
    ensure!(content.asked()[0].header("referer").is_none());
    let records = site.records().await?;
    let hops: Value = details(&records, "model_download_intent").iter().map(|i| json!([i["host"], i["hop"]])).collect();
    assert_eq!(hops, json!([[hub.name(), 0], [content.name(), 1]]));
    let outcomes: Value = site.outcomes().await?.iter().map(|o| json!([o["outcome"], o["status"]])).collect();
    assert_eq!(outcomes, json!([["redirected", 302], ["fetched", 200]]));
    ensure!(!format!("{records:?}").contains("s3cret"), "signatures of content hosts are no matter of the record");
    Ok(())
}

#[tokio::test]
async fn other_redirects_are_not_followed() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let stranger = serving(&site, &bytes)?;
    let plain = format!("http://{}/x", stranger.name());
    let with_user = format!("https://u:p@{}/x", stranger.name());
    let bad = [
        plain,
        stranger.url("/x"),
        with_user,
        "https://10.0.0.1/x".to_owned(),
        "https://169.254.169.254/x".to_owned(),
        "https://[::ffff:10.0.0.1]/x".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    for location in bad {
        let hub = sending_on(&site, location.clone())?;
        site.knows_exactly(&hub, &bytes)?;
        site.allow(&hub.name())?;
        for host in ["10.0.0.1", "[::ffff:a00:1]"] {
            // The list does not make an inside address an outside one.
            let _ = site.run(&["models", "allow-host", host])?;
        }
        let told = site.pull()?;
        ensure!(!told.status.success() && hub.connections() == 1 && !site.installed(), "{location}: {}", said(&told));
        assert_eq!(site.outcomes().await?.last().context("outcome")?["outcome"], "redirected", "{location}");
        assert_eq!(site.records().await?.last().context("record")?.0, "model_download_refused", "{location}");
    }
    assert_eq!(stranger.connections(), 0);
    let circle = sending_on(&site, FILE.to_owned())?;
    site.knows_exactly(&circle, &bytes)?;
    site.allow(&circle.name())?;
    let told = site.pull()?;
    ensure!(!told.status.success() && circle.connections() == 4, "three redirects: {}", said(&told));
    Ok(())
}

#[tokio::test]
async fn another_file_than_the_known_one_is_not_installed() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let mut other = bytes.to_vec();
    *other.last_mut().context("empty")? ^= 1;
    let found = sha256(&other);
    let host = serving(&site, &Arc::new(other))?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let told = site.pull()?;
    let words = said(&told);
    ensure!(!told.status.success() && words.contains(&sha256(&bytes)) && words.contains(&found), "{words}");
    ensure!(!site.installed() && !site.part().exists(), "nothing of it stays");
    let outcome = &site.outcomes().await?[0];
    assert_eq!((&outcome["outcome"], &outcome["sha256"]), (&json!("refused"), &json!(found)));
    Ok(())
}

/// A host that sends half of the file and then waits for `go`, once; afterwards it serves with ranges.
fn faltering(site: &Site, bytes: &Arc<Vec<u8>>) -> anyhow::Result<(FileHost, std::sync::mpsc::Sender<()>)> {
    let (go, wait) = channel();
    let (wait, first, bytes) = (Mutex::new(wait), AtomicBool::new(true), Arc::clone(bytes));
    let host = FileHost::start(&site.authority, move |asked, out| {
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

async fn half_has_come(site: &Site, bytes: &[u8]) -> Test {
    let half = bytes.len() as u64 / 2;
    eventually("half of the file is here", || async {
        Ok(site.part().metadata().is_ok_and(|m| m.len() == half).then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_broke_off_goes_on_where_it_was() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let (host, go) = faltering(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let child = site.started()?;
    half_has_come(&site, &bytes).await?;
    let busy = site.pull()?;
    ensure!(!busy.status.success() && host.connections() == 1, "one at a time: {}", said(&busy));
    ensure!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success());
    let told = child.wait_with_output()?;
    ensure!(told.status.code() == Some(1) && said(&told).contains("이어 받습니다"), "{}", said(&told));
    drop(go);
    host.wait_served()?;
    let stopped = &site.outcomes().await?[0];
    assert_eq!(
        (&stopped["outcome"], stopped["reply_bytes"].as_u64()),
        (&json!("stopped"), Some(bytes.len() as u64 / 2))
    );
    let told = site.pull()?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    let second = &host.asked()[1];
    assert_eq!(second.header("range"), Some(format!("bytes={}-", bytes.len() / 2).as_str()));
    assert_eq!(second.header("if-range"), Some("\"v1\""));
    assert_eq!(site.outcomes().await?[1]["status"], 206);
    Ok(())
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_comes_from_the_start() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let sent = Arc::clone(&bytes);
    let first = AtomicBool::new(true);
    let host = FileHost::start(&site.authority, move |_, out| {
        let (once, length) = (first.swap(false, Ordering::SeqCst), sent.len().to_string());
        let tag = if once { "\"old\"" } else { "\"new\"" };
        reply(out, "200 OK", &[("content-length", &length), ("etag", tag)])?;
        // The old file's bytes are others, and the connection ends before its time.
        if once { Ok(out.write_all(&vec![7; sent.len() / 2])?) } else { Ok(out.write_all(&sent)?) }
    })?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let broken = site.pull()?;
    ensure!(!broken.status.success() && site.part().exists(), "{}", said(&broken));
    let told = site.pull()?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    assert_eq!(host.asked()[1].header("if-range"), Some("\"old\""));
    Ok(())
}

#[tokio::test]
async fn a_killed_process_counts_as_sent() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let (host, _go) = faltering(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let mut child = site.started()?;
    half_has_come(&site, &bytes).await?;
    {
        let _running = Madang::start_in(site.home.path(), &[])?;
        ensure!(site.outcomes().await?.is_empty(), "what another process fetches is left alone");
    }
    child.kill()?;
    child.wait()?;
    let server = Madang::start_in(site.home.path(), &[])?;
    let outcomes = site.outcomes().await?;
    assert_eq!((outcomes.len(), &outcomes[0]["outcome"]), (1, &json!("unknown")));
    ensure!(server.command(&["ledger", "verify"])?.status.success());
    Ok(())
}

#[tokio::test]
async fn a_host_that_falls_silent_is_given_up() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let (host, _go) = faltering(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let told = site.pulling(&["--stall", "1"])?.output()?;
    ensure!(!told.status.success() && said(&told).contains("1초 동안"), "{}", said(&told));
    let half = bytes.len() as u64 / 2;
    assert_eq!(site.part().metadata()?.len(), half, "what came is kept");
    assert_eq!(site.outcomes().await?[0]["outcome"], "stopped");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_taken() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let said_size = FileHost::start(&site.authority, |_, out| {
        reply(out, "200 OK", &[("content-length", "9000000000000")])?;
        Ok(out.write_all(&[0; 1000])?)
    })?;
    site.allow(&said_size.name())?;
    site.knows(&said_size.url("/hub"), "")?;
    let told = site.pull()?;
    ensure!(!told.status.success() && said(&told).contains("9000.0 GB"), "{}", said(&told));
    site.knows_exactly(&said_size, &bytes)?;
    let told = site.pull()?;
    ensure!(!told.status.success() && said(&told).contains("9000000000000바이트"), "{}", said(&told));
    // No length is said and more comes than the catalogue knows of.
    let more = Arc::new([bytes.as_slice(), &[0; 4096]].concat());
    let silent = FileHost::start(&site.authority, move |_, out| {
        reply(out, "200 OK", &[])?;
        Ok(out.write_all(&more)?)
    })?;
    site.allow(&silent.name())?;
    site.knows_exactly(&silent, &bytes)?;
    let told = site.pull()?;
    ensure!(!told.status.success() && said(&told).contains("보다 큽니다"), "{}", said(&told));
    ensure!(!site.installed());
    for outcome in site.outcomes().await? {
        assert_eq!((&outcome["outcome"], &outcome["status"]), (&json!("refused"), &json!(200)), "{outcome}");
    }
    Ok(())
}

#[tokio::test]
async fn a_mirror_inside_is_for_whoever_names_it() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let host = serving(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    site.allow(&host.name())?;
    let ca = site.ca.to_str().context("path")?;
    // An address inside is no outside host, even one on the list.
    let told = site.run(&["models", "pull", "tiny", "--yes", "--ca", ca])?;
    ensure!(!told.status.success() && said(&told).contains("--from") && host.connections() == 0, "{}", said(&told));
    let unknown = site.run(&["models", "pull", "tiny", "--yes", "--from", &host.url("/files")])?;
    ensure!(
        !unknown.status.success() && host.asked().is_empty(),
        "an authority that nobody trusts: {}",
        said(&unknown)
    );
    let from = host.url("/files/");
    let told = site.run(&["models", "pull", "tiny", "--yes", "--ca", ca, "--from", &from])?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    assert_eq!(host.asked()[0].target, "/files/tiny.gguf");
    Ok(())
}

#[tokio::test]
async fn without_a_network_the_way_by_hand_is_told() -> Test {
    let (site, bytes) = (Site::new()?, gguf()?);
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let nobody = format!("127.0.0.1:{port}");
    site.allow(&nobody)?;
    site.knows(&format!("https://{nobody}"), &format!("sha256 = \"{}\"", sha256(&bytes)))?;
    let told = site.pull()?;
    let add = format!("madang models add /옮긴/곳/tiny.gguf --name tiny --sha256 {}", sha256(&bytes));
    ensure!(told.status.code() == Some(1) && said(&told).contains(&add), "{}", said(&told));
    assert_eq!(site.outcomes().await?[0]["outcome"], "failed", "nothing left");
    site.allow("nobody.invalid")?;
    site.knows("https://nobody.invalid", "")?;
    let told = site.pull()?;
    ensure!(told.status.code() == Some(1) && said(&told).contains("madang models add"), "{}", said(&told));
    site.knows("", "")?;
    let told = site.pull()?;
    ensure!(told.status.code() == Some(1) && said(&told).contains("madang models add"), "{}", said(&told));
    assert_eq!(site.outcomes().await?.len(), 1);
    Ok(())
}

/// The smallest model that is a folder: two words with two numbers each.
fn folder() -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
    let shard = json!({ "embeddings": { "dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16] } }).to_string();
    let numbers: Vec<u8> = [0.0_f32, 1.0, 1.0, 0.0].iter().flat_map(|n| n.to_le_bytes()).collect();
    let weights = [&(shard.len() as u64).to_le_bytes()[..], shard.as_bytes(), &numbers].concat();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": { "[UNK]": 0, "a": 1 }, "unk_token": "[UNK]" },
    });
    let config = json!({ "model_type": "model2vec", "architectures": ["StaticModel"] });
    let index = json!({ "weight_map": { "embeddings": "model-00001-of-00001.safetensors" } });
    Ok(BTreeMap::from([
        ("config.json", serde_json::to_vec(&config)?),
        ("tokenizer.json", serde_json::to_vec(&tokenizer)?),
        ("model.safetensors.index.json", serde_json::to_vec(&index)?),
        ("model-00001-of-00001.safetensors", weights),
    ]))
}

#[tokio::test]
async fn a_folder_is_fetched_file_by_file() -> Test {
    let (site, files) = (Site::new()?, folder()?);
    let ready = Arc::new(AtomicBool::new(false));
    let served = (files.clone(), Arc::clone(&ready));
    let host = FileHost::start(&site.authority, move |asked, out| {
        let name = asked.target.strip_prefix("/hub/maker/tiny/resolve/main/").context("path")?;
        match served.0.get(name) {
            Some(_) if name.starts_with("model-") && !served.1.load(Ordering::SeqCst) => {
                reply(out, "503 Service Unavailable", &[("content-length", "0")])
            }
            Some(bytes) => serve_file(asked, out, bytes),
            None => reply(out, "404 Not Found", &[("content-length", "0")]),
        }
    })?;
    site.knows(&host.url("/hub"), "")?;
    let list = site.home.path().join("models/catalogue.toml");
    let text = std::fs::read_to_string(&list)?.replace("\"gguf\"", "\"safetensors\"");
    let text = text.replace("tiny.gguf", "model.safetensors.index.json").replace("\"chat\"", "\"embedding\"");
    std::fs::write(&list, text.replace("\"qwen3\"", "\"model2vec\""))?;
    site.allow(&host.name())?;
    let broken = site.pull()?;
    ensure!(!broken.status.success() && said(&broken).contains("503"), "{}", said(&broken));
    let before = host.connections();
    ready.store(true, Ordering::SeqCst);
    let told = site.pull()?;
    ensure!(told.status.success(), "{}", said(&told));
    for (name, bytes) in &files {
        ensure!(std::fs::read(site.home.path().join("models/tiny").join(name))? == *bytes, "{name}");
        let times = host.asked().iter().filter(|a| a.target.ends_with(&format!("/{name}"))).count();
        assert_eq!(
            times,
            if name.starts_with("model-") { 2 } else { 1 },
            "{name}: what is here is not asked for again"
        );
    }
    ensure!(host.connections() > before && site.run(&["models", "verify", "tiny"])?.status.success());
    ensure!(!site.home.path().join("models/incoming/tiny.files").exists(), "what was copied does not stay");
    Ok(())
}

#[tokio::test]
async fn postgresql_keeps_the_same_record() -> Test {
    let Some(cluster) = Postgres::start()? else { return Ok(()) };
    let (site, bytes, url) = (Site::new()?, gguf()?, cluster.database("pull")?);
    let host = serving(&site, &bytes)?;
    site.knows_exactly(&host, &bytes)?;
    let refused = site.pulling(&["--database-url", &url])?.output()?;
    ensure!(!refused.status.success() && host.connections() == 0, "{}", said(&refused));
    ensure!(site.run(&["models", "allow-host", &host.name(), "--database-url", &url])?.status.success());
    let told = site.pulling(&["--database-url", &url])?.output()?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    let store = Store::open(&url, Clock::System).await?;
    let kept: Vec<String> = store.ledger_chain(1, 100).await?.into_iter().map(|e| e.payload).collect();
    store.close().await;
    for action in ["_refused", "_host_allowed", "_download_intent", "_download_outcome"] {
        ensure!(kept.iter().filter(|payload| payload.contains(action)).count() == 1, "{action}: {kept:?}");
    }
    Ok(())
}

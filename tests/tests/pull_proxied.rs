//! Fetching a model through the body's egress proxy, and a mirror inside without it. Everything else about fetching is
//! in `pull`.

use anyhow::{Context, ensure};
use madang_store::{Clock, Store};
use madang_tests::{Authority, FileHost, binary, model, proxy, reply, serve_file};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

type Test = anyhow::Result<()>;

/// A small model that can be loaded, made once.
fn gguf() -> anyhow::Result<Arc<Vec<u8>>> {
    static MADE: Mutex<Option<Arc<Vec<u8>>>> = Mutex::new(None);
    let mut made = MADE.lock().ok().context("lock")?;
    if made.is_none() {
        *made = Some(Arc::new(std::fs::read(model("qwen3", "q8_0")?)?));
    }
    made.clone().context("made")
}

/// A home whose catalogue knows one model at a host, which is allowed.
struct Site {
    home: tempfile::TempDir,
    ca: PathBuf,
}

impl Site {
    fn new(authority: &Authority, hub: &str, bytes: &[u8], hosts: &[String]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let ca = home.path().join("ca.pem");
        std::fs::write(&ca, authority.pem())?;
        std::fs::create_dir_all(home.path().join("models"))?;
        let text = format!(
            "hub = \"{hub}\"\n[[models]]\nname = \"tiny\"\nlabel = \"작은 모델\"\nkind = \"chat\"\narchitecture = \"qwen3\"\n\
             parameters = 1000\nformat = \"gguf\"\nquantisation = \"Q8_0\"\nfile = \"tiny.gguf\"\nlicence = \"MIT\"\n\
             source = \"maker/tiny\"\ncontext = 128\ngood_for = \"시험합니다.\"\nsize = {}\nsha256 = \"{}\"\n",
            bytes.len(),
            hex::encode(Sha256::digest(bytes))
        );
        std::fs::write(home.path().join("models/catalogue.toml"), text)?;
        let site = Self { home, ca };
        for host in hosts {
            let told = site.run(&["models", "allow-host", host], None)?;
            ensure!(told.status.success(), "{}", said(&told));
        }
        Ok(site)
    }

    fn run(&self, arguments: &[&str], proxy: Option<&str>) -> anyhow::Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(arguments).env("MADANG_HOME", self.home.path()).stdin(Stdio::null());
        // The environment's own proxies are nobody's business here.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", "http://127.0.0.1:1");
        if let Some(proxy) = proxy {
            command.env("MADANG_EGRESS_PROXY", proxy);
        }
        Ok(command.output()?)
    }

    fn pull(&self, proxy: Option<&str>, more: &[&str]) -> anyhow::Result<Output> {
        let ca = self.ca.to_string_lossy().into_owned();
        self.run(&[&["models", "pull", "tiny", "--yes", "--ca", &ca][..], more].concat(), proxy)
    }

    fn installed(&self) -> bool {
        self.run(&["models", "verify", "tiny"], None).is_ok_and(|told| told.status.success())
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn outcomes(home: &Path) -> anyhow::Result<Vec<String>> {
    let store = Store::open_sqlite(&home.join("madang.db"), Clock::System).await?;
    let entries = store.ledger_chain(1, 10_000).await?;
    store.close().await;
    Ok(entries.into_iter().map(|e| e.payload).filter(|p| p.contains("\"model_download_outcome\"")).collect())
}

#[tokio::test]
async fn every_request_of_a_download_goes_through_the_proxy_to_the_address_that_was_checked() -> Test {
    let (authority, bytes) = (Authority::new()?, gguf()?);
    let served = Arc::clone(&bytes);
    let file = FileHost::start(&authority, move |asked, out| serve_file(asked, out, &served))?;
    let location = file.url("/hub/maker/tiny/resolve/main/tiny.gguf");
    let hub = FileHost::start(&authority, move |_, out| {
        reply(out, "302 Found", &[("location", &location), ("content-length", "0")])
    })?;
    let site = Site::new(&authority, &hub.url("/hub"), &bytes, &[hub.name(), file.name()])?;
    let (through, asked) = proxy(false)?;
    let told = site.pull(Some(&through), &["--allow-loopback"])?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    let connects: Vec<String> = asked.try_iter().collect();
    assert_eq!(connects.len(), 2, "the hub and the file: {connects:?}");
    for (connect, host) in connects.iter().zip([&hub, &file]) {
        let port = host.name().rsplit(':').next().context("port")?.to_owned();
        ensure!(connect.starts_with("CONNECT ") && connect.contains(&format!(":{port} HTTP/1.1")), "{connect}");
        ensure!(!connect.contains("tiny") && !connect.contains("localhost"), "an address and nothing more: {connect}");
    }
    assert_eq!(outcomes(site.home.path()).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_lets_nothing_through_and_the_record_says_so() -> Test {
    let (authority, bytes) = (Authority::new()?, gguf()?);
    let served = Arc::clone(&bytes);
    let hub = FileHost::start(&authority, move |asked, out| serve_file(asked, out, &served))?;
    let site = Site::new(&authority, &hub.url("/hub"), &bytes, &[hub.name()])?;
    let (refusing, asked) = proxy(true)?;
    let told = site.pull(Some(&refusing), &["--allow-loopback"])?;
    ensure!(!told.status.success() && said(&told).contains("403"), "{}", said(&told));
    assert_eq!((hub.connections(), asked.try_iter().count() > 0), (0, true));
    let [outcome] = outcomes(site.home.path()).await?.try_into().ok().context("one outcome")?;
    ensure!(outcome.contains("\"failed\""), "nothing left: {outcome}");
    let told = site.pull(Some("socks5://127.0.0.1:1"), &["--allow-loopback"])?;
    ensure!(!told.status.success() && said(&told).contains("프록시 주소"), "{}", said(&told));
    Ok(())
}

#[tokio::test]
async fn a_mirror_inside_is_reached_without_the_proxy() -> Test {
    let (authority, bytes) = (Authority::new()?, gguf()?);
    let served = Arc::clone(&bytes);
    let mirror = FileHost::start(&authority, move |asked, out| serve_file(asked, out, &served))?;
    let site = Site::new(&authority, "https://hub.example.kr", &bytes, &[mirror.name()])?;
    let (through, asked) = proxy(false)?;
    let told = site.pull(Some(&through), &["--from", &mirror.url("/files/")])?;
    ensure!(told.status.success() && site.installed(), "{}", said(&told));
    assert_eq!((mirror.connections(), asked.try_iter().count()), (1, 0));
    Ok(())
}

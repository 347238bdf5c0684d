//! The real binary `madang`, started on a free port with a home folder of its own.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The binary beside the running test: `target/<profile>/madang`.
///
/// # Errors
/// When it was not built: the test command builds it first.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MADANG_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    // target/<profile>/deps/<test> → target/<profile>/madang
    let found = own.ancestors().skip(1).take(4).map(|dir| dir.join("madang")).find(|path| path.is_file());
    found.context("the binary madang is not built: run `cargo build --release` first")
}

/// A running server; killed when dropped.
pub struct Madang {
    child: Child,
    home: PathBuf,
    /// Kept so that the folder lives as long as the server; absent for a home that the caller owns.
    _own_home: Option<tempfile::TempDir>,
    pub base: String,
    /// Secret of the one-time set-up link, on a fresh start.
    pub setup: Option<String>,
}

impl Madang {
    /// Starts on a fresh home folder.
    pub fn start() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut server = Self::start_in(home.path(), &[])?;
        server._own_home = Some(home);
        Ok(server)
    }

    /// Starts on a fresh home folder with further arguments.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut server = Self::start_in(home.path(), arguments)?;
        server._own_home = Some(home);
        Ok(server)
    }

    /// Starts on the home folder `home`, which stays the caller's.
    pub fn start_in(home: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let output = home.with_extension(format!("stdout-{}", std::process::id()));
        let log = home.with_extension("stderr");
        let child = Command::new(binary()?)
            .args(["serve", "--addr", "127.0.0.1:0", "--home"])
            .arg(home)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output)?)
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let mut server = Self { child, home: home.to_owned(), _own_home: None, base: String::new(), setup: None };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = std::fs::read_to_string(&output)?;
            if text.contains("ready") {
                server.read_address(&text)?;
                std::fs::remove_file(&output)?;
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("madang ended with {status}: {text}{}", std::fs::read_to_string(&log)?);
            }
            ensure!(Instant::now() < deadline, "madang never printed its address: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn read_address(&mut self, text: &str) -> anyhow::Result<()> {
        let address = text.split_whitespace().find(|word| word.starts_with("http://"));
        self.base = address.context("no address printed")?.to_owned();
        self.setup = text.split_whitespace().find_map(|w| w.split_once("/setup/")).map(|(_, secret)| secret.to_owned());
        Ok(())
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, as a power cut would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// TERM, then the exit status.
    pub fn stop(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(done.success(), "kill failed");
        Ok(self.child.wait()?)
    }

    /// Runs another subcommand on the same home and returns its output.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        Ok(Command::new(binary()?).args(arguments).env("MADANG_HOME", &self.home).output()?)
    }
}

impl Drop for Madang {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small model of random weights with one token for each byte, made by `xtask` once for all tests of this build.
///
/// # Errors
/// When `xtask` is not built or fails.
pub fn model(family: &str, quant: &str) -> anyhow::Result<PathBuf> {
    let binary = binary()?.with_file_name("xtask");
    let file = std::env::temp_dir().join(format!("madang-{family}-{quant}-{}.gguf", std::process::id()));
    let args = ["synthetic-model", "--like", "tiny", "--tokenizer", "bytes", "--family", family, "--quant", quant];
    let made = Command::new(&binary).args(args).arg("--out").arg(&file).output();
    let made = made.with_context(|| format!("{}: run `cargo build --release --workspace` first", binary.display()))?;
    anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(file)
}

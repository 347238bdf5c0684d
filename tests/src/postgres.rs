//! A private PostgreSQL cluster in a temporary folder, where PostgreSQL is installed.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running cluster that listens on a socket in its own folder; stopped when dropped.
pub struct Postgres {
    dir: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts a cluster; `None`, said aloud, where PostgreSQL is not installed.
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(bin) = server_programs() else {
            eprintln!("skipped: PostgreSQL is not installed");
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        // A free port now; the cluster listens on loopback only.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let cluster = Self { dir, bin, port };
        if is_root() {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(cluster.dir.path()).status()?;
            ensure!(owned.success(), "the user postgres is missing");
        }
        cluster.run("initdb", &["-A", "trust", "-U", "madang", "-E", "UTF8", "--no-sync", "-D"])?;
        let log = cluster.dir.path().join("log");
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off");
        cluster.run("pg_ctl", &["-w", "-t", "60", "-l", &log.to_string_lossy(), "-o", &options, "start", "-D"])?;
        Ok(Some(cluster))
    }

    /// Address of a fresh database.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        let port = self.port.to_string();
        let made = Command::new(self.bin.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "madang", "-T", "template0", "-E", "UTF8", name])
            .output()?;
        ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(format!("postgres://madang@127.0.0.1:{port}/{name}"))
    }

    /// Runs a server program on the cluster's folder, as `postgres` where we are root: it refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let done = command
            .args(arguments)
            .arg(self.dir.path().join("data"))
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .status()
            .with_context(|| format!("{command:?}"))?;
        ensure!(done.success(), "{command:?} ended with {done}");
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.run("pg_ctl", &["-m", "immediate", "stop", "-D"]);
    }
}

fn is_root() -> bool {
    std::env::var("USER").is_ok_and(|user| user == "root")
        || Path::new("/proc/self").metadata().is_ok_and(|m| {
            use std::os::unix::fs::MetadataExt;
            m.uid() == 0
        })
}

/// Folder of `initdb` and `pg_ctl`: Debian keeps them off the path.
fn server_programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = debian.collect();
    all.sort();
    all.reverse();
    all.extend(std::env::split_paths(&path));
    all.into_iter().find(|dir| ["initdb", "pg_ctl", "createdb"].iter().all(|p| dir.join(p).is_file()))
}

//! `madang backup` and `madang restore`: database, originals and keys with a manifest of their digests. The index is not
//! in a backup: it is rebuilt from the database at the next start.

use super::Home;
use crate::app::open_store;
use crate::chain;
use crate::settings::Settings;
use anyhow::{Context, bail, ensure};
use madang_store::{Clock, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "madang.db";
/// Folders of the home that a backup holds.
const FOLDERS: [&str; 2] = ["originals", "keys"];
/// Uploads on their way in: no part of an installation yet.
const INCOMING: &str = "incoming";

#[derive(clap::Args)]
pub struct Backup {
    #[command(flatten)]
    home: Home,
    /// New folder to write; it must be empty or not exist. It holds the keys: guard it like the home folder.
    dir: PathBuf,
}

#[derive(clap::Args)]
pub struct Restore {
    #[command(flatten)]
    home: Home,
    /// A folder that `madang backup` wrote.
    dir: PathBuf,
}

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    version: String,
    created: String,
    /// Path below the backup → SHA-256, hexadecimal.
    files: BTreeMap<String, String>,
}

impl Backup {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = self.home.settings();
        if settings.database_url.is_some() {
            bail!("PostgreSQL은 pg_dump로 백업하고, 홈 폴더의 originals와 keys를 함께 복사해 주세요.");
        }
        ensure!(
            settings.sqlite_path().is_file(),
            "{}에 마당의 데이터베이스가 없습니다. --home을 확인해 주세요.",
            settings.home.display()
        );
        require_empty(&self.dir)?;
        private_dir(&self.dir)?;
        let store = open_store(&settings, Clock::System).await?;
        // The database first: originals are on disk before a row speaks of them.
        store.copy_to(&self.dir.join(DATABASE)).await?;
        store.close().await;
        File::open(self.dir.join(DATABASE))?.sync_all()?;
        let mut files = BTreeMap::from([(DATABASE.to_owned(), digest(&self.dir.join(DATABASE))?)]);
        for folder in FOLDERS {
            for name in below(&settings.home, folder)? {
                if let Some(sum) = copy(&settings.home.join(&name), &self.dir.join(&name))? {
                    files.insert(name, sum);
                }
            }
        }
        let count = files.len();
        let manifest = Manifest {
            format: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created: Clock::System.now_rfc3339(),
            files,
        };
        write_new(&self.dir.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
        writeln!(
            std::io::stdout(),
            "{} 에 파일 {count}개를 백업했습니다. 암호화 키가 들어 있으니 안전한 곳에 두세요.",
            self.dir.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = self.home.settings();
        if settings.database_url.is_some() {
            bail!("PostgreSQL은 pg_restore로 되살리고, originals와 keys를 홈 폴더에 복사해 주세요.");
        }
        let text = fs::read(self.dir.join(MANIFEST))
            .with_context(|| format!("{}은(는) 마당의 백업이 아닙니다", self.dir.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).context("백업의 목록(manifest.json)을 읽을 수 없습니다")?;
        ensure!(manifest.format == 1, "더 새로운 판의 백업입니다. 마당을 먼저 올려 주세요.");
        require_empty(&settings.home)?;
        check(&self.dir, &manifest)?;
        private_dir(&settings.home)?;
        for (name, sum) in &manifest.files {
            let copied = copy(&self.dir.join(name), &settings.home.join(name))?;
            ensure!(
                copied.as_ref() == Some(sum),
                "{name} 파일을 옮기는 사이에 달라졌습니다. 홈 폴더를 비우고 다시 해 주세요."
            );
        }
        let found = self.verify(&settings).await?;
        writeln!(
            std::io::stdout(),
            "{} 에 파일 {}개를 되살렸고 원장의 기록 {found}건이 이어집니다. 색인은 다음 시작 때 다시 만듭니다.",
            settings.home.display(),
            manifest.files.len()
        )?;
        Ok(ExitCode::SUCCESS)
    }

    /// Opens what was restored and checks its record.
    async fn verify(&self, settings: &Settings) -> anyhow::Result<u64> {
        let store: Store = open_store(settings, Clock::System).await?;
        let found = chain::verify(&store).await?;
        store.close().await;
        match found.fault_seq {
            None => Ok(found.records),
            Some(seq) => bail!("되살렸으나 원장 {seq}번 기록이 이어지지 않습니다: {}", found.fault.unwrap_or_default()),
        }
    }
}

/// Every file of the backup is there, named soundly and unchanged.
fn check(dir: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    ensure!(manifest.files.contains_key(DATABASE), "백업에 데이터베이스가 없습니다.");
    for (name, sum) in &manifest.files {
        let path = Path::new(name);
        let inside = path.components().all(|c| matches!(c, Component::Normal(_)));
        let known = name == DATABASE || FOLDERS.iter().any(|f| path.starts_with(f));
        ensure!(inside && known, "백업의 목록에 쓸 수 없는 이름이 있습니다: {name}");
        let found = digest(&dir.join(path)).with_context(|| format!("백업에 {name} 파일이 없습니다"))?;
        ensure!(found == *sum, "백업의 {name} 파일이 바뀌었거나 상했습니다. 다른 백업을 써 주세요.");
    }
    Ok(())
}

fn require_empty(dir: &Path) -> anyhow::Result<()> {
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(e).with_context(|| format!("{} 폴더를 볼 수 없습니다", dir.display())),
    };
    ensure!(empty, "{} 폴더가 비어 있지 않습니다. 빈 폴더나 새 이름을 적어 주세요.", dir.display());
    Ok(())
}

fn private_dir(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("{} 폴더를 만들 수 없습니다", dir.display()))
}

/// Files below `folder` of `home` as relative paths; links are not followed.
fn below(home: &Path, folder: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut waiting = vec![PathBuf::from(folder)];
    while let Some(relative) = waiting.pop() {
        let entries = match fs::read_dir(home.join(&relative)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e.into()),
        };
        for entry in entries {
            let entry = entry?;
            let name = relative.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != INCOMING {
                waiting.push(name);
            } else if kind.is_file() {
                names.push(name.to_str().context("읽을 수 없는 파일 이름이 있습니다")?.to_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Copies to a new file that only its owner may read, and returns the digest; `None` when it is gone meanwhile.
fn copy(from: &Path, to: &Path) -> anyhow::Result<Option<String>> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("{} 파일을 읽을 수 없습니다", from.display())),
    };
    if let Some(parent) = to.parent() {
        private_dir(parent)?;
    }
    let mut target = create(to)?;
    let sum = pour(&mut source, &mut target)?;
    target.sync_all()?;
    Ok(Some(sum))
}

fn create(path: &Path) -> anyhow::Result<File> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.with_context(|| format!("{} 파일을 쓸 수 없습니다", path.display()))
}

fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

fn digest(path: &Path) -> anyhow::Result<String> {
    pour(&mut File::open(path)?, &mut std::io::sink())
}

/// Moves all bytes and returns their SHA-256.
fn pour(source: &mut impl Read, target: &mut impl Write) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let n = source.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..n).filter(|c| !c.is_empty()) else { return Ok(hex::encode(hasher.finalize())) };
        hasher.update(chunk);
        target.write_all(chunk)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_cannot_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DATABASE), b"x").unwrap();
        let sum = digest(&dir.path().join(DATABASE)).unwrap();
        for bad in ["../x", "/etc/passwd", "originals/../../x", "index/x"] {
            let files = BTreeMap::from([(DATABASE.to_owned(), sum.clone()), (bad.to_owned(), sum.clone())]);
            let manifest = Manifest { format: 1, version: String::new(), created: String::new(), files };
            assert!(check(dir.path(), &manifest).is_err(), "{bad}");
        }
        let files = BTreeMap::from([(DATABASE.to_owned(), sum)]);
        let manifest = Manifest { format: 1, version: String::new(), created: String::new(), files };
        check(dir.path(), &manifest).unwrap();
        fs::write(dir.path().join(DATABASE), b"y").unwrap();
        assert!(check(dir.path(), &manifest).is_err());
    }
}

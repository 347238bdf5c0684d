//! A witness's folder: its key (`key`, for its owner alone), the public keys of the logs that it witnesses (`logs`, a line
//! each, edited by hand), and what it remembers of them (`seen/`, the `ledger` crate's).

use super::super::ledger::{new_file, read};
use anyhow::{Context, ensure};
use madang_ledger::keys::{SigningKey, VerifierKey};
use madang_ledger::trust::KeyHistory;
use madang_ledger::witness::Witness;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEY: &str = "key";
const LOGS: &str = "logs";
const SEEN: &str = "seen";

pub struct Folder(PathBuf);

impl Folder {
    pub fn at(dir: &Path) -> Self {
        Folder(dir.to_owned())
    }

    /// Makes the folder, which must not be there yet: a witness that forgets what it signed is none.
    pub fn create(dir: &Path, key: &SigningKey, logs: &[VerifierKey]) -> anyhow::Result<()> {
        DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("{} 폴더를 새로 만들 수 없습니다", dir.display()))?;
        let write = |name: &str, text: &str| -> anyhow::Result<()> {
            let mut file = new_file(&dir.join(name))?;
            file.write_all(text.as_bytes())?;
            Ok(file.sync_all()?)
        };
        write(LOGS, &logs.iter().map(|log| format!("{log}\n")).collect::<String>())?;
        let secret = key.to_secret();
        write(KEY, &Zeroizing::new(format!("{}\n", *secret)))?;
        Ok(File::open(dir)?.sync_all()?)
    }

    /// The witness's key.
    pub fn key(&self) -> anyhow::Result<SigningKey> {
        let path = self.0.join(KEY);
        let fault = || format!("{} 증인의 키를 읽을 수 없습니다", path.display());
        let mode = std::fs::metadata(&path).with_context(fault)?.permissions().mode() & 0o777;
        ensure!(
            mode & 0o077 == 0,
            "증인의 키를 다른 사용자가 읽을 수 있습니다. `chmod 600 {}` 뒤 다시 해 주세요.",
            path.display()
        );
        let secret = Zeroizing::new(read(&path)?);
        SigningKey::from_secret(&secret).with_context(fault)
    }

    /// The logs, those of one name with all their keys.
    fn logs(&self) -> anyhow::Result<BTreeMap<String, Vec<VerifierKey>>> {
        let path = self.0.join(LOGS);
        let fault = || format!("{} 파일에 원장의 공개키가 아닌 줄이 있습니다", path.display());
        let mut logs: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for line in read(&path)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let key: VerifierKey = line.parse().with_context(fault)?;
            logs.entry(key.name().to_owned()).or_default().push(key);
        }
        Ok(logs)
    }

    /// Name of the log where there is one alone.
    pub fn only_log(&self) -> anyhow::Result<String> {
        let mut names: Vec<String> = self.logs()?.into_keys().collect();
        ensure!(names.len() == 1, "--log에 원장의 이름을 적어 주세요: {}", names.join(", "));
        names.pop().context("no log")
    }

    /// The witness at work; nobody else may use its folder meanwhile.
    pub fn open(&self) -> anyhow::Result<Witness> {
        let histories: Vec<KeyHistory> =
            self.logs()?.into_values().map(KeyHistory::pinned).collect::<Result<_, _>>().context(LOGS)?;
        Ok(Witness::open(&self.0.join(SEEN), self.key()?, &[], histories)?)
    }
}

//! The witnesses whose cosignatures the product takes: `witnesses.toml` in the home folder, written by hand. Whoever
//! verifies an export gives the witnesses' keys anew and trusts no file of the operator's.

use anyhow::{Context, ensure};
use madang_ledger::keys::{Purpose, VerifierKey};
use serde::Deserialize;
use std::path::Path;

/// Name of the file.
pub const FILE: &str = "witnesses.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Witnesses {
    /// Verifier keys, as `madang witness init` prints them.
    keys: Vec<String>,
}

/// The keys in the file; none without it.
///
/// # Errors
/// A file that cannot be read, or a line in it that is no witness's key.
pub fn read(home: &Path) -> anyhow::Result<Vec<VerifierKey>> {
    let path = home.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display())),
    };
    let fault = || format!("{} 파일을 고쳐 주세요", path.display());
    let list: Witnesses = toml::from_str(&text).with_context(fault)?;
    let keys: Vec<VerifierKey> =
        list.keys.iter().map(|key| key.parse()).collect::<Result<_, _>>().with_context(fault)?;
    ensure!(keys.iter().all(|key| key.purpose() == Purpose::Witness), "{}: 증인의 키만 적어 주세요.", fault());
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_ledger::keys::SigningKey;

    #[test]
    fn only_witnesses_keys_are_taken() {
        let home = tempfile::tempdir().unwrap();
        assert!(read(home.path()).unwrap().is_empty());
        let key = |purpose| SigningKey::generate("w", purpose).unwrap().verifier().clone();
        let (witness, log) = (key(Purpose::Witness), key(Purpose::Log));
        let write = |text: String| std::fs::write(home.path().join(FILE), text).unwrap();
        write(format!("# 감사실\nkeys = [\"{witness}\"]\n"));
        assert_eq!(read(home.path()).unwrap(), [witness]);
        for bad in [format!("keys = [\"{log}\"]"), "keys = [\"x\"]".into(), "keyz = []".into(), "keys".into()] {
            write(bad);
            assert!(read(home.path()).unwrap_err().to_string().contains(FILE));
        }
    }
}

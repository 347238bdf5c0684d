//! Encryption at rest and keyed hashes: the master key's file, sealed records, HMACs. No database here.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hmac::{Hmac, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// First byte of a sealed record; another layout takes another number.
const VERSION: u8 = 1;

/// Why the master key or a sealed record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "암호화 키 파일 {path}을(를) 다른 사용자가 읽을 수 있습니다(권한 {mode:o}). `chmod 600 {path}` 뒤 다시 시작해 주세요."
    )]
    Exposed { path: String, mode: u32 },
    #[error(
        "암호화 키 파일 {0}의 길이가 32바이트가 아닙니다. 백업에서 되살려 주세요. 새로 만들면 저장된 키와 본문을 열 수 없습니다."
    )]
    Malformed(String),
    #[error("암호화 키 파일 {path}을(를) 쓰지 못했습니다: {source}")]
    Io { path: String, source: io::Error },
    #[error("안전한 난수를 얻지 못했습니다. 운영체제의 난수 장치를 확인해 주세요.")]
    Randomness,
    #[error("저장된 내용을 열 수 없습니다. 키가 다르거나 내용이 바뀌었습니다.")]
    Sealed,
    #[error("내용이 너무 길어 암호화하지 못했습니다.")]
    TooLong,
}

/// The installation's key. Wiped from memory when dropped; never printed.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// A key that the caller keeps.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        MasterKey(Zeroizing::new(bytes))
    }

    /// Reads the key file, or creates it with 32 random bytes and mode 0600.
    ///
    /// # Errors
    /// Refuses a file that group or others may touch, and one of another length; both say what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        let failed = |source| SealError::Io { path: path.display().to_string(), source };
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::read(path, File::open(path).map_err(failed)?)
            }
            Err(e) => Err(failed(e)),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, SealError> {
        let name = path.display().to_string();
        let failed = |source| SealError::Io { path: name.clone(), source };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealError::Exposed { path: name, mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| SealError::Malformed(name.clone()))?;
        Ok(Self::from_bytes(key))
    }

    /// Encrypts with AES-256-GCM under a key of this record alone. `record` names the record (its id): the sealed
    /// bytes open under no other name. Layout: version, 12 bytes of nonce, ciphertext, 16 bytes of tag.
    ///
    /// # Errors
    /// [`SealError::Randomness`] without a nonce, [`SealError::TooLong`] past the limit of GCM.
    pub fn seal(&self, plain: &[u8], record: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE_BYTES];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| SealError::Randomness)?;
        let payload = Payload { msg: plain, aad: record };
        let sealed = self.cipher(record)?.encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::TooLong)?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Decrypts what [`MasterKey::seal`] made under the same name.
    ///
    /// # Errors
    /// [`SealError::Sealed`] for another key, another record or a single changed bit.
    pub fn open(&self, sealed: &[u8], record: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let Some((&VERSION, rest)) = sealed.split_first() else {
            return Err(SealError::Sealed);
        };
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Sealed)?;
        let payload = Payload { msg: body, aad: record };
        let plain = self.cipher(record)?.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SealError::Sealed)?;
        Ok(Zeroizing::new(plain))
    }

    /// HMAC-SHA-256 of `bytes` as hex, for records of prompts and replies: a bare hash of a text with a resident's
    /// number could be tried out in seconds.
    pub fn hmac(&self, bytes: &[u8]) -> String {
        hex::encode(*mac(&*self.derive(b"madang.record-hmac.v1"), &[bytes]))
    }

    /// HMAC-SHA-256 over several parts under a key for `purpose` alone; each part follows its length.
    pub(crate) fn bind(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let lengths: Vec<[u8; 8]> = parts.iter().map(|p| (p.len() as u64).to_be_bytes()).collect();
        let framed: Vec<&[u8]> = lengths.iter().zip(parts).flat_map(|(l, p)| [&l[..], p]).collect();
        *mac(&*self.derive(purpose), &framed)
    }

    fn cipher(&self, record: &[u8]) -> Result<Aes256Gcm, SealError> {
        let length = (record.len() as u64).to_be_bytes();
        let key = mac(&*self.derive(b"madang.seal.v1"), &[&length, record]);
        Aes256Gcm::new_from_slice(&*key).map_err(|_| SealError::Sealed)
    }

    /// One block of HKDF-Expand (RFC 5869, 2.3); the master key is uniform already, so nothing is extracted.
    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        mac(&*self.0, &[purpose, &[1]])
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Writes a new key beside `path` and links it into place, so that nobody ever reads half a key and of two processes
/// that start at once both use the one that came first.
fn create(path: &Path) -> Result<(), SealError> {
    let failed = |source| SealError::Io { path: path.display().to_string(), source };
    let mut random = Zeroizing::new([0u8; KEY_BYTES + 8]);
    SysRng.try_fill_bytes(&mut *random).map_err(|_| SealError::Randomness)?;
    let (key, suffix) = random.split_at(KEY_BYTES);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(suffix)));
    let draft = Path::new(&name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(key)?;
        file.sync_all()?;
        match fs::hard_link(draft, path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        match path.parent().filter(|p| !p.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    })();
    let removed = fs::remove_file(draft);
    written.and(removed).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> MasterKey {
        MasterKey::from_bytes([7; 32])
    }

    #[test]
    fn the_key_file_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let sealed = MasterKey::load_or_create(&path).unwrap().seal(b"x", b"r").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*MasterKey::load_or_create(&path).unwrap().open(&sealed, b"r").unwrap(), b"x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_exposed_or_cut_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(SealError::Exposed { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bytes in [&[1u8; 31][..], &[1u8; 33]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(MasterKey::load_or_create(&path), Err(SealError::Malformed(_))));
        }
    }

    #[test]
    fn two_starters_share_the_first_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let hashes: std::collections::HashSet<String> = std::thread::scope(|s| {
            let starters: Vec<_> =
                (0..8).map(|_| s.spawn(|| MasterKey::load_or_create(&path).unwrap().hmac(b"m"))).collect();
            starters.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(hashes.len(), 1);
    }

    #[test]
    fn keys_and_purposes_are_apart() {
        assert_ne!(key().hmac(b"a"), MasterKey::from_bytes([8; 32]).hmac(b"a"));
        assert_ne!(key().bind(b"p", &[b"ab", b"c"]), key().bind(b"p", &[b"a", b"bc"]));
        assert_ne!(key().bind(b"p", &[b"a"]), key().bind(b"q", &[b"a"]));
        assert_ne!(key().seal(b"a", b"r").unwrap(), key().seal(b"a", b"r").unwrap());
        assert_eq!(format!("{:?}", key()), "MasterKey(..)");
    }

    proptest! {
        #[test]
        fn opens_only_unchanged_under_its_name(plain: Vec<u8>, record: Vec<u8>, other: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let sealed = key().seal(&plain, &record).unwrap();
            prop_assert_eq!(&*key().open(&sealed, &record).unwrap(), &plain);
            prop_assert_eq!(key().open(&sealed, &other).is_ok(), record == other);
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= 1 << bit;
            prop_assert!(key().open(&changed, &record).is_err());
            prop_assert!(key().open(&sealed[..at.index(sealed.len())], &record).is_err());
        }
    }
}

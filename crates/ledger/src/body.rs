//! Bodies of records, encrypted each under a key of its own and kept beside the record: what the record holds of a
//! body is the hash of the sealed bytes. Deleting the body, or its key alone, leaves every proof as it was.
//!
//! AES-256-GCM throughout. The body is sealed under a random data key; the data key is wrapped under a key that is
//! derived from the master key for this record alone, so that no key ever encrypts twice with random nonces. The
//! record's id is authenticated in both. A new master key needs new wrappings only; the sealed bodies stay.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hmac::{Hmac, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// First byte of a sealed body and of a wrapped key; another layout takes another number.
const VERSION: u8 = 1;
/// Bytes of a [`KeyId`].
const ID_BYTES: usize = 16;

/// Why a body cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("안전한 난수를 얻지 못했습니다. 운영체제의 난수 장치를 확인해 주세요.")]
    Randomness,
    #[error("본문이 너무 길어 암호화하지 못했습니다.")]
    TooLong,
    #[error("다른 마스터 키로 잠근 본문입니다. 그때의 키 파일을 백업에서 되살려 주세요.")]
    OtherMaster,
    #[error("본문을 열 수 없습니다. 키나 본문이 바뀌었거나 다른 기록의 것입니다.")]
    Sealed,
}

/// Names a key without telling anything of it: the first 16 bytes of an HMAC under the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; ID_BYTES]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        KeyId(mac(key, &[b"madang.body.key-id.v1"]).first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A body as it is stored: the two parts in columns of their own, so that either can be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBody {
    /// Version, the data key's id, nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
    /// Version, the master key's id, nonce, the data key's ciphertext and tag: without it nobody opens the body again.
    pub wrapped_key: Vec<u8>,
}

impl SealedBody {
    /// SHA-256 of the sealed bytes, 64 hex digits, for the record. Tells nothing of the body: equal bodies are sealed
    /// under different keys.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.sealed))
    }

    /// The master key with which the data key is wrapped.
    pub fn master(&self) -> Option<KeyId> {
        Parts::read(&self.wrapped_key).map(|parts| parts.key)
    }
}

/// The key that wraps the bodies' keys. Wiped from memory when dropped; never printed.
pub struct BodyMaster {
    id: KeyId,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for BodyMaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyMaster({}, ..)", self.id)
    }
}

impl BodyMaster {
    /// A key that the caller keeps: 32 uniform bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        BodyMaster { id: KeyId::of(&bytes), key: Zeroizing::new(bytes) }
    }

    /// Names this key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals a body for the record with this id, under a new key.
    ///
    /// # Errors
    /// [`BodyError::Randomness`]; [`BodyError::TooLong`] past the limit of GCM (64 GiB).
    pub fn seal(&self, record: &[u8], body: &[u8]) -> Result<SealedBody, BodyError> {
        let mut data_key = Zeroizing::new([0u8; KEY_BYTES]);
        SysRng.try_fill_bytes(&mut *data_key).map_err(|_| BodyError::Randomness)?;
        let sealed = encrypt(&data_key, KeyId::of(&data_key), BODY, record, body)?;
        Ok(SealedBody { sealed, wrapped_key: self.wrap(record, &data_key)? })
    }

    /// Opens a body of the record with this id.
    ///
    /// # Errors
    /// [`BodyError::OtherMaster`] where another master key wrapped it, [`BodyError::Sealed`] for a single changed bit,
    /// another record's body or another body's key.
    pub fn open(&self, record: &[u8], body: &SealedBody) -> Result<Zeroizing<Vec<u8>>, BodyError> {
        let data_key = self.unwrap_key(record, &body.wrapped_key)?;
        decrypt(&data_key, KeyId::of(&data_key), BODY, record, &body.sealed)
    }

    /// Wraps a body's key under another master key; the sealed bytes and so the record's digest stay as they are.
    ///
    /// # Errors
    /// As [`BodyMaster::open`].
    pub fn rewrap(&self, record: &[u8], wrapped_key: &[u8], next: &BodyMaster) -> Result<Vec<u8>, BodyError> {
        next.wrap(record, &*self.unwrap_key(record, wrapped_key)?)
    }

    fn wrap(&self, record: &[u8], data_key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, BodyError> {
        encrypt(&self.wrapping_key(record), self.id, WRAP, record, data_key)
    }

    fn unwrap_key(&self, record: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, BodyError> {
        if Parts::read(wrapped).is_some_and(|parts| parts.key != self.id) {
            return Err(BodyError::OtherMaster);
        }
        let plain = decrypt(&self.wrapping_key(record), self.id, WRAP, record, wrapped)?;
        plain.as_slice().try_into().map(Zeroizing::new).map_err(|_| BodyError::Sealed)
    }

    fn wrapping_key(&self, record: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        mac(&self.key, &[WRAP, record])
    }
}

const BODY: &[u8] = b"madang.body.v1\0";
const WRAP: &[u8] = b"madang.body.wrap.v1\0";

/// Version, key id, nonce, ciphertext.
struct Parts<'a> {
    key: KeyId,
    nonce: [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        (version == VERSION).then_some(Parts { key: KeyId(*id), nonce: *nonce, ciphertext })
    }
}

fn encrypt(
    key: &[u8; KEY_BYTES],
    id: KeyId,
    purpose: &[u8],
    record: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, BodyError> {
    let mut nonce = [0u8; NONCE_BYTES];
    SysRng.try_fill_bytes(&mut nonce).map_err(|_| BodyError::Randomness)?;
    let aad = [purpose, &[VERSION], &id.0, record].concat();
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| BodyError::Sealed)?;
    let sealed =
        cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: &aad }).map_err(|_| BodyError::TooLong)?;
    Ok([&[VERSION][..], &id.0, &nonce, &sealed].concat())
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    id: KeyId,
    purpose: &[u8],
    record: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let parts = Parts::read(bytes).filter(|parts| parts.key == id).ok_or(BodyError::Sealed)?;
    let aad = [purpose, &[VERSION], &id.0, record].concat();
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| BodyError::Sealed)?;
    let payload = Payload { msg: parts.ciphertext, aad: &aad };
    cipher.decrypt(&Nonce::from(parts.nonce), payload).map(Zeroizing::new).map_err(|_| BodyError::Sealed)
}

fn mac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    // HMAC pads a short key with zeros to the hash's block itself (RFC 2104): spelled out, no length can be wrong.
    let mut block = Zeroizing::new([0u8; 2 * KEY_BYTES]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new((&*block).into());
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn master(seed: u8) -> BodyMaster {
        BodyMaster::from_bytes([seed; 32])
    }

    /// Made by another implementation after the description above: what is stored once must always open.
    #[test]
    fn the_layout_is_frozen() {
        let stored = SealedBody { sealed: hex::decode(SEALED).unwrap(), wrapped_key: hex::decode(WRAPPED).unwrap() };
        assert_eq!(*master(1).open(b"0199cccc", &stored).unwrap(), "본문".as_bytes());
    }

    const SEALED: &str = concat!(
        "01fbce413547c06e5a460485c6fd84af640303030303030303030303032e4e43c2bb4738f02b0b3b7252be062313ed57",
        "b2235c",
    );
    const WRAPPED: &str = concat!(
        "0113c0a9fc129b9d0fd674990ac0950189040404040404040404040404a3db7f98287e8aba556b653c8911e491c04d56",
        "268f778ec538b3fc413d92b7ff7215b835277a3c088f58efb978a1dc9b",
    );

    #[test]
    fn a_new_master_key_leaves_the_sealed_bytes() {
        let (old, new) = (master(1), master(2));
        let body = old.seal(b"r1", "본문".as_bytes()).unwrap();
        let moved = SealedBody { wrapped_key: old.rewrap(b"r1", &body.wrapped_key, &new).unwrap(), ..body.clone() };
        assert_eq!((moved.digest(), moved.master()), (body.digest(), Some(new.id())));
        assert_eq!(*new.open(b"r1", &moved).unwrap(), "본문".as_bytes());
        assert_eq!(new.open(b"r1", &body), Err(BodyError::OtherMaster));
        assert_eq!(old.open(b"r1", &moved), Err(BodyError::OtherMaster));
        assert_eq!(old.rewrap(b"r2", &body.wrapped_key, &new), Err(BodyError::Sealed));
    }

    #[test]
    fn bodies_and_keys_of_other_records_do_not_fit() {
        let key = master(1);
        let (one, two) = (key.seal(b"r1", b"same").unwrap(), key.seal(b"r1", b"same").unwrap());
        assert_ne!(one.digest(), two.digest());
        let mixed = SealedBody { wrapped_key: two.wrapped_key, ..one.clone() };
        assert_eq!(key.open(b"r1", &mixed), Err(BodyError::Sealed));
        assert_eq!(key.open(b"r2", &one), Err(BodyError::Sealed));
        let keyless = SealedBody { wrapped_key: vec![], ..one };
        assert_eq!(key.open(b"r1", &keyless), Err(BodyError::Sealed));
        assert_eq!(format!("{key:?}"), format!("BodyMaster({}, ..)", key.id()));
    }

    proptest! {
        #[test]
        fn opens_only_unchanged(plain: Vec<u8>, record: Vec<u8>, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let body = master(3).seal(&record, &plain).unwrap();
            prop_assert_eq!(&*master(3).open(&record, &body).unwrap(), &plain);
            let mut changed = body.clone();
            let i = at.index(body.sealed.len() + body.wrapped_key.len());
            match changed.sealed.get_mut(i) {
                Some(byte) => *byte ^= 1 << bit,
                None => changed.wrapped_key[i - body.sealed.len()] ^= 1 << bit,
            }
            prop_assert!(master(3).open(&record, &changed).is_err());
            let cut = SealedBody { sealed: body.sealed[..at.index(body.sealed.len())].to_vec(), ..body };
            prop_assert!(master(3).open(&record, &cut).is_err());
        }
    }
}

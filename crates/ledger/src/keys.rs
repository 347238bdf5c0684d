//! Ed25519 keys of logs and witnesses in C2SP signed-note's texts: how they are made, written down and read.
//! What is signed with them is in `note`; which of them may be trusted, in `trust`. No file here.
//!
//! `ed25519-dalek` rather than `ring`, although that is built anyway: it wipes private keys when they are dropped and
//! verifies strictly (no weak keys, no second spelling of a signature).

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
/// As Go's `note` package, the formats' origin, begins a private key.
const PRIVATE: &str = "PRIVATE+KEY+";
/// Longest key text read, bytes.
const MAX_KEY_TEXT: usize = 1024;

/// What a key signs: the signature type byte of C2SP signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A log's own notes (0x01).
    Log,
    /// A witness's timestamped cosignatures of checkpoints (0x04).
    Witness,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Purpose::Log => 0x01,
            Purpose::Witness => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Purpose::Log, Purpose::Witness].into_iter().find(|purpose| purpose.byte() == byte)
    }
}

/// A key's text cannot be used, or no key can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("키 이름에는 빈칸과 + 기호를 쓸 수 없고, 비워 둘 수 없습니다. city.example.kr/ledger처럼 적어 주세요.")]
    Name,
    #[error("키의 형식이 아닙니다. 키를 만들 때 나온 한 줄을 빠짐없이 붙여 넣어 주세요.")]
    Malformed,
    #[error("키의 이름이나 내용이 그 안의 확인 값과 다릅니다. 잘못 옮겨 적었는지 확인해 주세요.")]
    Identifier,
    #[error("이 프로그램이 쓰는 종류(Ed25519)의 키가 아닙니다.")]
    Kind,
    #[error("안전하지 않은 공개키입니다. 키를 새로 만들어 주세요.")]
    Weak,
    #[error("안전한 난수를 얻지 못했습니다. 운영체제의 난수 장치를 확인해 주세요.")]
    Randomness,
}

/// The name may stand in a signature line: not empty, no blanks, no plus, no control characters.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 512 && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// First four bytes of `SHA-256(name ‖ LF ‖ type ‖ public key)`.
fn key_id(name: &str, purpose: Purpose, public: &[u8; KEY_BYTES]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', purpose.byte()]);
    hasher.update(public);
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    u32::from_be_bytes([a, b, c, d])
}

/// A public key with its name: text `name+hash+base64(type ‖ key)`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    purpose: Purpose,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, purpose: Purpose, public: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(VerifierKey { name: name.to_owned(), id: key_id(name, purpose, public), purpose, key })
    }

    /// The name in signature lines; of a log's key also the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short identifier in signature lines.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The public key itself, 32 bytes.
    pub fn public(&self) -> [u8; KEY_BYTES] {
        self.key.to_bytes()
    }

    /// The signature (64 bytes) is this key's of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.purpose.byte()][..], self.key.as_bytes()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads the text; the one spelling that [`fmt::Display`] writes, blanks around it left out.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, purpose, key) = parts(text.trim())?;
        let verifier = VerifierKey::new(name, purpose, &key)?;
        (verifier.id == id).then_some(verifier).ok_or(KeyError::Identifier)
    }
}

/// A private key with its name. Wiped when dropped; never printed unless asked for by [`SigningKey::to_secret`].
pub struct SigningKey {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Name`] for a name that cannot stand in a signature line, [`KeyError::Randomness`].
    pub fn generate(name: &str, purpose: Purpose) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0u8; KEY_BYTES]);
        SysRng.try_fill_bytes(&mut *seed).map_err(|_| KeyError::Randomness)?;
        Self::from_seed(name, purpose, &seed)
    }

    /// The key of a seed (RFC 8032's private key, 32 bytes).
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, purpose: Purpose, seed: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, purpose, key.verifying_key().as_bytes())?;
        Ok(SigningKey { verifier, key })
    }

    /// The public part, for whoever verifies.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The key with its name and purpose as one line, `PRIVATE+KEY+name+hash+base64(type ‖ seed)`: to be sealed before
    /// it is stored, or kept in a file that only its owner reads.
    pub fn to_secret(&self) -> Zeroizing<String> {
        let mut seed = Zeroizing::new(Vec::with_capacity(1 + KEY_BYTES));
        seed.push(self.verifier.purpose.byte());
        seed.extend(self.key.as_bytes());
        let encoded = Zeroizing::new(STANDARD.encode(&*seed));
        let VerifierKey { name, id, .. } = &self.verifier;
        let id = format!("{id:08x}");
        let parts = [PRIVATE, name, "+", &id, "+", &encoded];
        // At its full length from the start: a text that grows leaves copies of itself behind.
        let mut line = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| line.push_str(part));
        line
    }

    /// Reads [`SigningKey::to_secret`], blanks around it left out.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong, without any part of the key.
    pub fn from_secret(text: &str) -> Result<Self, KeyError> {
        let text = text.trim().strip_prefix(PRIVATE).ok_or(KeyError::Malformed)?;
        let (name, id, purpose, seed) = parts(text)?;
        let key = Self::from_seed(name, purpose, &seed)?;
        (key.verifier.id == id).then_some(key).ok_or(KeyError::Identifier)
    }

    /// Signs `message`: 64 bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.verifier.name)
    }
}

type Parts<'a> = (&'a str, u32, Purpose, Zeroizing<[u8; KEY_BYTES]>);

/// Splits `name+hash+base64(type ‖ key)`.
fn parts(text: &str) -> Result<Parts<'_>, KeyError> {
    if text.len() > MAX_KEY_TEXT {
        return Err(KeyError::Malformed);
    }
    let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
    let (id, key) = rest.split_once('+').ok_or(KeyError::Malformed)?;
    let lower_hex = id.len() == 8 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = u32::from_str_radix(id, 16).ok().filter(|_| lower_hex).ok_or(KeyError::Malformed)?;
    let bytes = Zeroizing::new(STANDARD.decode(key).map_err(|_| KeyError::Malformed)?);
    let (&kind, key) = bytes.split_first().ok_or(KeyError::Malformed)?;
    let purpose = Purpose::from_byte(kind).ok_or(KeyError::Kind)?;
    let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| KeyError::Malformed)?;
    Ok((name, id, purpose, Zeroizing::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_survive_their_texts() {
        for purpose in [Purpose::Log, Purpose::Witness] {
            let key = SigningKey::generate("city.example.kr/ledger", purpose).unwrap();
            let again = SigningKey::from_secret(&format!(" {}\n", *key.to_secret())).unwrap();
            assert_eq!(again.verifier(), key.verifier());
            assert_eq!(key.verifier().to_string().parse(), Ok(key.verifier().clone()));
            assert!(key.verifier().verifies(b"m", &again.sign(b"m")));
            assert!(!key.verifier().verifies(b"n", &again.sign(b"m")));
            assert!(!format!("{key:?}").contains(&key.to_secret()[40..]));
        }
    }

    #[test]
    fn one_seed_has_another_identifier_for_each_purpose_and_name() {
        let id = |name, purpose| SigningKey::from_seed(name, purpose, &[1; 32]).unwrap().verifier().id();
        assert_ne!(id("a", Purpose::Log), id("a", Purpose::Witness));
        assert_ne!(id("a", Purpose::Log), id("b", Purpose::Log));
    }

    #[test]
    fn other_names_kinds_and_weak_keys_are_refused() {
        for name in ["", "a b", "a+b", "a\u{3000}b", "a\nb", &"x".repeat(513)] {
            assert_eq!(SigningKey::generate(name, Purpose::Log).unwrap_err(), KeyError::Name);
        }
        let key = SigningKey::from_seed("a", Purpose::Log, &[1; 32]).unwrap().verifier().to_string();
        assert_eq!(key.replacen('a', "b", 1).parse::<VerifierKey>(), Err(KeyError::Identifier));
        assert_eq!(key.to_uppercase().parse::<VerifierKey>(), Err(KeyError::Malformed));
        let mut identity = [0u8; 33];
        (identity[0], identity[1]) = (1, 1);
        let weak = format!("a+00000000+{}", STANDARD.encode(identity));
        assert_eq!(weak.parse::<VerifierKey>(), Err(KeyError::Weak));
        let ecdsa = format!("a+00000000+{}", STANDARD.encode([&[2u8][..], &[0; 32]].concat()));
        assert_eq!(ecdsa.parse::<VerifierKey>(), Err(KeyError::Kind));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(PRIVATE\\+KEY\\+)?\\PC{0,20}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/=]{0,60}") {
            let _read = text.parse::<VerifierKey>();
            prop_assert!(SigningKey::from_secret(&text).is_err());
        }
    }
}

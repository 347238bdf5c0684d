//! C2SP signed-note: a text with signature lines, and C2SP tlog-cosignature's timestamped ones among them. Parsing,
//! writing, signing, verifying; what the text means is `checkpoint`'s.

use crate::keys::{Purpose, SigningKey, VerifierKey, is_key_name};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;
use std::str::FromStr;

/// Longest note read, bytes.
const MAX_NOTE: usize = 256 << 10;
/// Most signature lines of a note; others' notes may carry at least sixteen.
const MAX_SIGNATURES: usize = 100;
const DASH: &str = "— ";

/// Why a note cannot be read, signed or trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("서명된 글의 형식이 아닙니다. 받은 파일을 고치지 말고 그대로 넣어 주세요.")]
    Malformed,
    #[error("서명된 글이 너무 깁니다.")]
    TooLong,
    #[error("{0} 키의 서명이 글과 맞지 않습니다. 글이나 서명이 바뀌었습니다.")]
    Invalid(String),
    #[error("아는 키로 서명되지 않았습니다. 공개키를 확인해 주세요.")]
    Unsigned,
    #[error("이 키는 이 일에 쓰는 키가 아닙니다. 원장의 키와 증인의 키를 바꾸어 넣었는지 확인해 주세요.")]
    Purpose,
    #[error("확인서명의 시각이 올바르지 않습니다. 컴퓨터의 시계를 확인해 주세요.")]
    Time,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// The key's identifier.
    pub key_id: u32,
    /// What the key's kind makes: 64 bytes of a log's key, 8 bytes of time before them of a witness's.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// The line without its line feed.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let parsed = (|| {
            let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = STANDARD.decode(encoded).ok()?;
            let (id, signature) = bytes.split_first_chunk()?;
            let fits = is_key_name(name) && !signature.is_empty();
            fits.then(|| Signature {
                name: name.to_owned(),
                key_id: u32::from_be_bytes(*id),
                bytes: signature.to_vec(),
            })
        })();
        parsed.ok_or(NoteError::Malformed)
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.key_id == key.id() && self.name == key.name()
    }
}

impl fmt::Display for Signature {
    /// The line without its line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes()[..], &self.bytes].concat();
        write!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'k> {
    pub key: &'k VerifierKey,
    /// When a witness signed, seconds since 1970; `None` of a log's own signature.
    pub time: Option<u64>,
}

/// A text and its signatures. Nothing in the text may be believed before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text to be signed.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] where it does not end in a line feed or has other control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        match text.len() {
            0 => Err(NoteError::Malformed),
            1..=MAX_NOTE if is_text(&text) => Ok(Note { text, signatures: Vec::new() }),
            1..=MAX_NOTE => Err(NoteError::Malformed),
            _ => Err(NoteError::TooLong),
        }
    }

    /// The text, with its final line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a log's signature. A key signs once: signing again changes nothing.
    ///
    /// # Errors
    /// [`NoteError::Purpose`] for a witness's key.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        let verifier = key.verifier();
        if verifier.purpose() != Purpose::Log {
            return Err(NoteError::Purpose);
        }
        let bytes = key.sign(self.text.as_bytes()).to_vec();
        self.add(Signature { name: verifier.name().to_owned(), key_id: verifier.id(), bytes });
        Ok(())
    }

    /// A witness's signature of the text at `time`, seconds since 1970, to be given out or added.
    ///
    /// # Errors
    /// [`NoteError::Purpose`] for a log's key, [`NoteError::Time`] for zero or past 2^63.
    pub fn cosignature(&self, key: &SigningKey, time: u64) -> Result<Signature, NoteError> {
        let verifier = key.verifier();
        if verifier.purpose() != Purpose::Witness {
            return Err(NoteError::Purpose);
        }
        if time == 0 || i64::try_from(time).is_err() {
            return Err(NoteError::Time);
        }
        let signature = key.sign(cosigned(time, &self.text).as_bytes());
        let bytes = [&time.to_be_bytes()[..], &signature].concat();
        Ok(Signature { name: verifier.name().to_owned(), key_id: verifier.id(), bytes })
    }

    /// Adds a signature line unless the same one stands there.
    pub fn add(&mut self, signature: Signature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Keeps only the signatures of these keys.
    pub fn keep(&mut self, keys: &[&VerifierKey]) {
        self.signatures.retain(|signature| keys.iter().any(|key| signature.is_of(key)));
    }

    /// The signatures by known keys; lines of unknown keys are passed over.
    ///
    /// # Errors
    /// [`NoteError::Invalid`] where one line of a known key does not hold, [`NoteError::Unsigned`] where there is none.
    pub fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k VerifierKey>) -> Result<Vec<Verified<'k>>, NoteError> {
        let keys: Vec<&VerifierKey> = keys.into_iter().collect();
        let mut verified = Vec::new();
        for signature in &self.signatures {
            // Two keys may share name and identifier by accident: it is enough that one of them signed.
            let mut known = keys.iter().filter(|key| signature.is_of(key)).peekable();
            if known.peek().is_none() {
                continue;
            }
            let held = known.find_map(|key| self.check(key, signature));
            verified.push(held.ok_or_else(|| NoteError::Invalid(signature.name.clone()))?);
        }
        if verified.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }

    fn check<'k>(&self, key: &'k VerifierKey, signature: &Signature) -> Option<Verified<'k>> {
        match key.purpose() {
            Purpose::Log => {
                key.verifies(self.text.as_bytes(), &signature.bytes).then_some(Verified { key, time: None })
            }
            Purpose::Witness => {
                let (time, rest) = signature.bytes.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let dated = time != 0 && i64::try_from(time).is_ok();
                let held = dated && key.verifies(cosigned(time, &self.text).as_bytes(), rest);
                held.then_some(Verified { key, time: Some(time) })
            }
        }
    }
}

/// What a witness signs (C2SP tlog-cosignature, Ed25519).
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.bytes().any(|b| b < 0x20 && b != b'\n')
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    /// Reads a note with at least one signature line.
    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if !is_text(note) {
            return Err(NoteError::Malformed);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let signatures: Vec<_> = lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooLong);
        }
        let mut text = text.to_owned();
        text.push('\n');
        Ok(Note { text, signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of C2SP signed-note.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key(name: &str, purpose: Purpose, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, purpose, &[seed; 32]).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_verifies() {
        let key: VerifierKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let note: Note = NOTE.parse().unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.verify([&key]), Ok(vec![Verified { key: &key, time: None }]));
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn a_known_key_with_a_bad_signature_spoils_the_note() {
        let key: VerifierKey = KEY.parse().unwrap();
        let changed: Note = NOTE.replace("This", "That").parse().unwrap();
        assert_eq!(changed.verify([&key]), Err(NoteError::Invalid("example.com/foo".into())));
        let other = self::key("example.com/foo", Purpose::Log, 9);
        let mut note: Note = NOTE.parse().unwrap();
        assert_eq!(note.verify([other.verifier()]), Err(NoteError::Unsigned));
        note.sign(&other).unwrap();
        note.sign(&other).unwrap();
        assert_eq!(note.signatures().len(), 2);
        assert_eq!(note.verify([&key, other.verifier()]).unwrap().len(), 2);
        note.keep(&[&key]);
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn a_cosignature_binds_its_time_and_is_of_a_witness_alone() {
        let (log, witness) = (key("log", Purpose::Log, 1), key("w", Purpose::Witness, 2));
        let mut note = Note::new("log\n1\nx\n".into()).unwrap();
        assert_eq!(note.cosignature(&log, 5), Err(NoteError::Purpose));
        assert_eq!(note.sign(&witness), Err(NoteError::Purpose));
        assert_eq!(note.cosignature(&witness, 0), Err(NoteError::Time));
        assert_eq!(note.cosignature(&witness, u64::MAX), Err(NoteError::Time));
        let line = note.cosignature(&witness, 1_679_315_147).unwrap();
        assert_eq!(Signature::parse(&line.to_string()), Ok(line.clone()));
        note.add(line.clone());
        assert_eq!(note.verify([witness.verifier()]).unwrap()[0].time, Some(1_679_315_147));
        let mut later = Note::new(note.text().into()).unwrap();
        let mut bytes = line.bytes.clone();
        bytes[7] ^= 1;
        later.add(Signature { bytes, ..line });
        assert!(later.verify([witness.verifier()]).is_err());
    }

    #[test]
    fn texts_that_are_no_notes_are_refused() {
        for text in ["", "\n", "x", "x\n", "x\n\n", "x\n\n\n", "x\n\ny\n", "x\r\n", "\n\n— a AAAAAAA=\nx"] {
            assert!(text.parse::<Note>().is_err(), "{text:?}");
        }
        for bad in ["— a AAAA", "— a AAAAAA==", "— a  AAAAAAA=", "- a AAAAAAA=", "— a+b AAAAAAA=", "— a AAAAAAB="]
        {
            assert!(format!("x\n\n{bad}\n").parse::<Note>().is_err(), "{bad:?}");
        }
        assert!("x\n\n— a AAAAAAA=\n".parse::<Note>().is_ok());
        let many = "— a AAAAAAA=\n".repeat(MAX_SIGNATURES + 1);
        assert_eq!(format!("x\n\n{many}").parse::<Note>(), Err(NoteError::TooLong));
        assert_eq!(Note::new("x\ty\n".into()), Err(NoteError::Malformed));
        assert_eq!(Note::new("x".repeat(MAX_NOTE + 1)), Err(NoteError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(note in "(\\PC|\n){0,40}\n\n(— [a-z]{1,3} [A-Za-z0-9+/]{8}\n){0,3}") {
            if let Ok(read) = note.parse::<Note>() {
                prop_assert_eq!(read.to_string(), note);
            }
        }

        #[test]
        fn a_changed_byte_is_another_note_or_none(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = NOTE.as_bytes().to_vec();
            let i = at.index(bytes.len());
            bytes[i] ^= 1 << bit;
            let key: VerifierKey = KEY.parse().unwrap();
            let held = String::from_utf8(bytes).ok().and_then(|t| t.parse::<Note>().ok()).is_some_and(|n| n.verify([&key]).is_ok());
            prop_assert!(!held);
        }
    }
}

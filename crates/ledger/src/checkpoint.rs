//! C2SP tlog-checkpoint: size and root of a tree as a note that its log signs and witnesses cosign. Whose signatures
//! count is decided in `trust`.

use crate::keys::{Purpose, SigningKey, VerifierKey};
use crate::note::{Note, NoteError, Signature};
use crate::tree::{Frontier, Hash, MAX_SIZE};
use std::fmt;
use std::str::FromStr;

/// Begins the extension line by which a log hands over to its next key: the line ends with that key's text. The
/// specification advises against extension lines because nobody audits them; this one every verifier here reads, every
/// witness sees, and the export carries.
const NEXT_KEY: &str = "next-key ";

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log, which its keys bear too.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Lines after the first three.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Of a log's tree as it stands.
    pub fn of(origin: &str, tree: &Frontier) -> Self {
        Checkpoint { origin: origin.to_owned(), size: tree.size(), root: tree.root(), extensions: Vec::new() }
    }

    /// The same checkpoint, saying that from here on `next` signs: the old and the new key must both sign it
    /// ([`SignedCheckpoint::sign`] with each).
    pub fn handing_over_to(mut self, next: &VerifierKey) -> Self {
        self.extensions.push(format!("{NEXT_KEY}{next}"));
        self
    }

    /// The key that signs from this checkpoint on, where it hands over.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] where the line has no key of this log, or there are several.
    pub fn next_key(&self) -> Result<Option<VerifierKey>, NoteError> {
        let mut lines = self.extensions.iter().filter_map(|line| line.strip_prefix(NEXT_KEY));
        let Some(line) = lines.next() else { return Ok(None) };
        let key: VerifierKey = line.parse().map_err(|_| NoteError::Malformed)?;
        let fits = lines.next().is_none() && key.purpose() == Purpose::Log && key.name() == self.origin;
        if fits { Ok(Some(key)) } else { Err(NoteError::Malformed) }
    }
}

impl fmt::Display for Checkpoint {
    /// The note's text, with its final line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Reads the note's text in its one spelling.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let parsed = (|| {
            let mut lines = text.strip_suffix('\n')?.split('\n');
            let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
            let size = decimal(lines.next()?)?;
            let root = Hash::from_base64(lines.next()?)?;
            let extensions: Vec<String> = lines.map(str::to_owned).collect();
            let whole = extensions.iter().all(|line| !line.is_empty());
            whole.then_some(Checkpoint { origin, size, root, extensions })
        })();
        parsed.ok_or(NoteError::Malformed)
    }
}

/// A size or index: decimal without leading zeros, at most [`MAX_SIZE`].
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|&n| plain && n <= MAX_SIZE)
}

/// A checkpoint with its signatures; what it says may be believed once [`crate::trust::Trust`] vouched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs a checkpoint.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] where the checkpoint has no text that could be read again, [`NoteError::Purpose`] for a
    /// key that is not the log's.
    pub fn signed(checkpoint: &Checkpoint, key: &SigningKey) -> Result<Self, NoteError> {
        let mut signed = Self::try_from(Note::new(checkpoint.to_string())?)?;
        if signed.checkpoint != *checkpoint {
            return Err(NoteError::Malformed);
        }
        signed.sign(key)?;
        Ok(signed)
    }

    /// Adds the signature of another key of the same log.
    ///
    /// # Errors
    /// [`NoteError::Purpose`] for a key that is not the log's.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        if key.verifier().name() != self.checkpoint.origin {
            return Err(NoteError::Purpose);
        }
        self.note.sign(key)
    }

    /// Takes over a witness's answer, signature lines of it alone, and gives how many of them hold under `witnesses`;
    /// lines of other keys are left out.
    ///
    /// # Errors
    /// [`NoteError`] where a line is none or a known witness's signature does not hold; nothing is taken then.
    pub fn add_cosignatures(&mut self, answer: &str, witnesses: &[VerifierKey]) -> Result<usize, NoteError> {
        let mut answered = Note::new(self.note.text().to_owned())?;
        for line in answer.lines() {
            answered.add(Signature::parse(line)?);
        }
        let witnesses: Vec<&VerifierKey> = witnesses.iter().filter(|k| k.purpose() == Purpose::Witness).collect();
        let held = answered.verify(witnesses.iter().copied())?.len();
        answered.keep(&witnesses);
        answered.signatures().iter().for_each(|signature| self.note.add(signature.clone()));
        Ok(held)
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Text and signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds a signature line, whoever made it: it counts only where its key is known.
    pub fn add(&mut self, signature: Signature) {
        self.note.add(signature);
    }
}

impl TryFrom<Note> for SignedCheckpoint {
    type Error = NoteError;

    fn try_from(note: Note) -> Result<Self, NoteError> {
        Ok(SignedCheckpoint { checkpoint: note.text().parse()?, note })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        text.parse::<Note>()?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of C2SP tlog-checkpoint and tlog-cosignature; their keys are not published.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn key(name: &str, purpose: Purpose, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, purpose, &[seed; 32]).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written_alike() {
        let signed: SignedCheckpoint = EXAMPLE.parse().unwrap();
        let checkpoint = signed.checkpoint();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert!(checkpoint.extensions.is_empty());
        assert_eq!(signed.to_string(), EXAMPLE);
        // A cosignature's time stands in its first eight bytes.
        let cosignature = &signed.note().signatures()[1];
        assert_eq!(cosignature.bytes[..8], 1_679_315_147u64.to_be_bytes());
    }

    /// Made by another implementation of Ed25519 after the specifications.
    const COSIGNED: &str = "city.example.kr/ledger\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\
        — city.example.kr/ledger /l6REc4RpgTT343M197St83gT+qOcgU+/n9WgT8ecMBuWW9N+xBDI+w6Xb5xoDWGlJJIYY3JNMaIp8GqYzs0jNsKRQI=\n\
        — security.example.kr/witness 8vVkfAAAAABq/YbAOh6mx45JNlCgI8qMjjMGuHhgn45ESnXf6BPmL8mHFjSmKhjUMYJlL0pNh2a+RvKiYST7NxNSVE1MwB56zFMJAg==\n";

    #[test]
    fn signatures_and_cosignatures_are_as_others_make_them() {
        let log = key("city.example.kr/ledger", Purpose::Log, 1);
        let witness = key("security.example.kr/witness", Purpose::Witness, 2);
        assert_eq!(
            log.verifier().to_string(),
            "city.example.kr/ledger+fe5e9111+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"
        );
        assert_eq!(
            witness.verifier().to_string(),
            "security.example.kr/witness+f2f5647c+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU"
        );
        let mut signed =
            SignedCheckpoint::signed(&Checkpoint::of(log.verifier().name(), &Frontier::new()), &log).unwrap();
        signed.add(signed.note().cosignature(&witness, 1_795_000_000).unwrap());
        assert_eq!(signed.to_string(), COSIGNED);
        assert_eq!(signed.note().verify([log.verifier(), witness.verifier()]).unwrap().len(), 2);
    }

    #[test]
    fn texts_that_are_no_checkpoints_are_refused() {
        let good = EXAMPLE.split_once("\n\n").unwrap().0.to_owned() + "\n";
        assert!(good.parse::<Checkpoint>().is_ok());
        for bad in [
            good.replace("20852163", "020852163"),
            good.replace("20852163", "+20852163"),
            good.replace("20852163", "9223372036854775808"),
            good.replace("20852163", ""),
            good.replace("example.com/behind-the-sofa", ""),
            good.replace("CsU", "Cs"),
            good.trim_end().into(),
            format!("{good}\n"),
            format!("{good}a\n\nb\n"),
            "a\n1\n".into(),
        ] {
            assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
        }
        assert_eq!(format!("{good}a\nb\n").parse::<Checkpoint>().unwrap().extensions, ["a", "b"]);
    }

    #[test]
    fn a_log_signs_its_own_checkpoints_alone() {
        let checkpoint = Checkpoint::of("log", &Frontier::new());
        assert!(SignedCheckpoint::signed(&checkpoint, &key("log", Purpose::Log, 1)).is_ok());
        for other in [key("other", Purpose::Log, 1), key("log", Purpose::Witness, 1)] {
            assert_eq!(SignedCheckpoint::signed(&checkpoint, &other), Err(NoteError::Purpose));
        }
        let hidden = Checkpoint { extensions: vec!["a\n\nb".into()], ..checkpoint };
        assert_eq!(SignedCheckpoint::signed(&hidden, &key("log", Purpose::Log, 1)), Err(NoteError::Malformed));
    }

    #[test]
    fn handing_over_names_one_key_of_the_same_log() {
        let plain = Checkpoint::of("log", &Frontier::new());
        assert_eq!(plain.next_key(), Ok(None));
        let next = key("log", Purpose::Log, 2);
        let over = plain.clone().handing_over_to(next.verifier());
        assert_eq!(over.to_string().parse::<Checkpoint>().unwrap().next_key(), Ok(Some(next.verifier().clone())));
        assert!(over.clone().handing_over_to(next.verifier()).next_key().is_err());
        assert!(plain.clone().handing_over_to(key("other", Purpose::Log, 2).verifier()).next_key().is_err());
        assert!(plain.handing_over_to(key("log", Purpose::Witness, 2).verifier()).next_key().is_err());
    }

    #[test]
    fn only_known_witnesses_answers_are_taken() {
        let log = key("log", Purpose::Log, 1);
        let (known, unknown) = (key("w", Purpose::Witness, 2), key("v", Purpose::Witness, 3));
        let mut signed = SignedCheckpoint::signed(&Checkpoint::of("log", &Frontier::new()), &log).unwrap();
        let line = |key| format!("{}\n", signed.note().cosignature(key, 7).unwrap());
        let (unknown, answer) = (line(&unknown), line(&known) + &line(&unknown));
        let bad = line(&known).replace("— w ", "— w A");
        let keys = [known.verifier().clone()];
        assert!(signed.add_cosignatures(&bad, &keys).is_err());
        assert!(signed.add_cosignatures(&unknown, &keys).is_err());
        assert_eq!(signed.add_cosignatures(&answer, &keys), Ok(1));
        assert_eq!(signed.note().signatures().len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in "[a-z]{0,3}\n[0-9]{0,20}\n[A-Za-z0-9+/]{42}[AEIMQ]=\n([a-z]{0,2}\n){0,2}") {
            if let Ok(read) = text.parse::<Checkpoint>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}

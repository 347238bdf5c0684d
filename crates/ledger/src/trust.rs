//! Whose signatures count: the keys of a log over its life, the witnesses, and how many of them are asked for. Decides
//! about checkpoints; the tree behind them is checked elsewhere.

use crate::checkpoint::SignedCheckpoint;
use crate::keys::{Purpose, VerifierKey};
use crate::note::{NoteError, Verified};
use std::collections::HashSet;

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("다른 원장({0})의 체크포인트입니다. 이 원장의 파일인지 확인해 주세요.")]
    Origin(String),
    #[error("원장의 키로 서명되지 않았습니다. 원장의 공개키를 확인해 주세요.")]
    Unsigned,
    #[error("{0}번까지만 쓰고 바꾼 옛 키로 서명되었습니다. 옛 키가 새어 나갔는지 확인해 주세요.")]
    Retired(u64),
    #[error("키를 바꾸는 체크포인트에는 옛 키와 새 키의 서명이 모두 있어야 합니다.")]
    HalfSigned,
    #[error("증인 {wanted}곳의 확인서명이 있어야 하는데 {found}곳의 것만 있습니다.")]
    Witnesses { found: usize, wanted: usize },
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A log's key and the sizes of the checkpoints that it may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Period {
    key: VerifierKey,
    from: u64,
    /// Inclusive: the checkpoint that hands over is the last.
    until: Option<u64>,
}

/// The keys of one log, each with its time. It begins with keys that were handed over by a person and follows the
/// checkpoints in which an old key names the next. Whoever holds an old key can still sign for verifiers that never saw
/// it replaced: against that stand witnesses, who did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory {
    origin: String,
    periods: Vec<Period>,
}

impl KeyHistory {
    /// Keys trusted from the beginning, usually one: all of the same log, whose origin is their name. Who knows a later
    /// key and verifies what is older gives the older keys too; the checkpoints that hand over say when each ended.
    ///
    /// # Errors
    /// [`NoteError::Purpose`] without keys, with a witness's key, or with keys of several logs.
    pub fn pinned(keys: impl IntoIterator<Item = VerifierKey>) -> Result<Self, NoteError> {
        let periods: Vec<Period> = keys.into_iter().map(|key| Period { key, from: 0, until: None }).collect();
        let origin = periods.first().map(|p| p.key.name().to_owned()).ok_or(NoteError::Purpose)?;
        let fit = periods.iter().all(|p| p.key.purpose() == Purpose::Log && p.key.name() == origin);
        if fit { Ok(KeyHistory { origin, periods }) } else { Err(NoteError::Purpose) }
    }

    /// Name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The keys with which a checkpoint of this size may be signed.
    pub fn keys_at(&self, size: u64) -> impl Iterator<Item = &VerifierKey> {
        self.periods.iter().filter(move |p| p.from <= size && p.until.is_none_or(|until| size <= until)).map(|p| &p.key)
    }

    /// The checkpoint is this log's and signed with a key of its time; one that hands over, with the next key too.
    ///
    /// # Errors
    /// [`TrustError`] says why not.
    pub fn verify(&self, signed: &SignedCheckpoint) -> Result<(), TrustError> {
        let checkpoint = signed.checkpoint();
        if checkpoint.origin != self.origin {
            return Err(TrustError::Origin(checkpoint.origin.clone()));
        }
        match signed.note().verify(self.keys_at(checkpoint.size)) {
            Ok(_) => {}
            Err(NoteError::Unsigned) => return Err(self.unsigned(signed)),
            Err(other) => return Err(other.into()),
        }
        match checkpoint.next_key()? {
            Some(next) => signed.note().verify([&next]).map(|_| ()).map_err(|_| TrustError::HalfSigned),
            None => Ok(()),
        }
    }

    /// Verifies a checkpoint and, where it hands over, follows it: `true` where a key was learnt.
    ///
    /// # Errors
    /// As [`KeyHistory::verify`].
    pub fn follow(&mut self, signed: &SignedCheckpoint) -> Result<bool, TrustError> {
        self.verify(signed)?;
        let size = signed.checkpoint().size;
        let Some(next) = signed.checkpoint().next_key()? else { return Ok(false) };
        for period in self.periods.iter_mut().filter(|p| p.key != next && p.from <= size) {
            period.until = Some(period.until.map_or(size, |until| until.min(size)));
        }
        let known = self.periods.iter().any(|p| p.key == next);
        if !known {
            self.periods.push(Period { key: next, from: size, until: None });
        }
        Ok(!known)
    }

    fn unsigned(&self, signed: &SignedCheckpoint) -> TrustError {
        let size = signed.checkpoint().size;
        let retired = self.periods.iter().filter(|p| p.until.is_some_and(|until| until < size));
        let signer = retired.into_iter().find(|p| signed.note().verify([&p.key]).is_ok());
        signer.and_then(|p| p.until).map_or(TrustError::Unsigned, TrustError::Retired)
    }
}

/// What a verifier trusts.
#[derive(Debug, Clone)]
pub struct Trust {
    pub log: KeyHistory,
    witnesses: Vec<VerifierKey>,
    wanted: usize,
}

/// Who stands behind a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouched {
    /// Names of the witnesses, each once, and when they signed last, seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
}

impl Trust {
    /// The log's keys alone: finds whatever others do to the record, and nothing that its operator does.
    pub fn of_log(log: KeyHistory) -> Self {
        Trust { log, witnesses: Vec::new(), wanted: 0 }
    }

    /// Beside the log, `wanted` of these witnesses must have signed.
    ///
    /// # Errors
    /// [`NoteError::Purpose`] for a key that is not a witness's, for one key twice (under another name
    /// too: a cosignature does not bind the name), and for more wanted than there are.
    pub fn witnessed(mut self, witnesses: Vec<VerifierKey>, wanted: usize) -> Result<Self, NoteError> {
        let fit = witnesses.iter().all(|key| key.purpose() == Purpose::Witness);
        let apart = witnesses.iter().map(VerifierKey::public).collect::<HashSet<_>>().len() == witnesses.len();
        if !fit || !apart || wanted > witnesses.len() {
            return Err(NoteError::Purpose);
        }
        (self.witnesses, self.wanted) = (witnesses, wanted);
        Ok(self)
    }

    /// How many witnesses must have signed.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Known witnesses that signed the checkpoint, whoever else did.
    ///
    /// # Errors
    /// [`TrustError::Origin`] for another log's, [`TrustError::Note`] where a known witness's signature does not hold.
    pub fn witnesses_of(&self, signed: &SignedCheckpoint) -> Result<Vouched, TrustError> {
        let origin = &signed.checkpoint().origin;
        if origin != self.log.origin() {
            return Err(TrustError::Origin(origin.clone()));
        }
        let verified = match signed.note().verify(&self.witnesses) {
            Err(NoteError::Unsigned) => return Ok(Vouched::default()),
            other => other?,
        };
        let mut vouched = Vouched::default();
        for key in &self.witnesses {
            let times = verified.iter().filter(|v: &&Verified<'_>| v.key == key).filter_map(|v| v.time);
            vouched.witnesses.extend(times.max().map(|time| (key.name().to_owned(), time)));
        }
        Ok(vouched)
    }

    /// The log signed the checkpoint, and enough witnesses did.
    ///
    /// # Errors
    /// [`TrustError`] says what is missing.
    pub fn verify(&self, signed: &SignedCheckpoint) -> Result<Vouched, TrustError> {
        self.log.verify(signed)?;
        let vouched = self.witnesses_of(signed)?;
        match vouched.witnesses.len() {
            found if found < self.wanted => Err(TrustError::Witnesses { found, wanted: self.wanted }),
            _ => Ok(vouched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::keys::SigningKey;
    use crate::tree::{Frontier, leaf_hash};

    fn key(name: &str, purpose: Purpose, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, purpose, &[seed; 32]).unwrap()
    }

    fn log_key(seed: u8) -> SigningKey {
        key("log", Purpose::Log, seed)
    }

    fn at(size: u64) -> Checkpoint {
        let mut tree = Frontier::new();
        (0..size).for_each(|i| tree.push(leaf_hash(&i.to_be_bytes())).unwrap());
        Checkpoint::of("log", &tree)
    }

    fn signed(checkpoint: &Checkpoint, keys: &[&SigningKey]) -> SignedCheckpoint {
        let mut signed = SignedCheckpoint::signed(checkpoint, keys[0]).unwrap();
        keys[1..].iter().for_each(|key| signed.sign(key).unwrap());
        signed
    }

    #[test]
    fn keys_follow_each_other_and_old_ones_end() {
        let (old, new, newest) = (log_key(1), log_key(2), log_key(3));
        let mut history = KeyHistory::pinned([old.verifier().clone()]).unwrap();
        let over = at(5).handing_over_to(new.verifier());
        assert_eq!(history.follow(&signed(&over, &[&old])), Err(TrustError::HalfSigned));
        assert_eq!(history.follow(&signed(&over, &[&new])), Err(TrustError::Unsigned));
        assert_eq!(history.verify(&signed(&at(6), &[&new])), Err(TrustError::Unsigned));
        assert_eq!(history.follow(&signed(&over, &[&old, &new])), Ok(true));
        assert_eq!(history.follow(&signed(&over, &[&old, &new])), Ok(false));
        for (size, key, expected) in [
            (4, &old, Ok(())),
            (5, &old, Ok(())),
            (5, &new, Ok(())),
            (6, &new, Ok(())),
            (4, &new, Err(TrustError::Unsigned)),
            (6, &old, Err(TrustError::Retired(5))),
        ] {
            assert_eq!(history.verify(&signed(&at(size), &[key])), expected, "size {size}");
        }
        let again = at(9).handing_over_to(newest.verifier());
        assert_eq!(history.follow(&signed(&again, &[&old, &newest])), Err(TrustError::Retired(5)));
        assert_eq!(history.follow(&signed(&again, &[&new, &newest])), Ok(true));
        assert_eq!(history.keys_at(9).count(), 2);
        assert_eq!(history.keys_at(10).collect::<Vec<_>>(), [newest.verifier()]);
        // A key that was replaced does not come back.
        let back = at(12).handing_over_to(old.verifier());
        history.follow(&signed(&back, &[&newest, &old])).unwrap();
        assert_eq!(history.verify(&signed(&at(13), &[&old])), Err(TrustError::Retired(5)));
    }

    #[test]
    fn other_logs_and_mixed_keys_are_refused() {
        let mine = KeyHistory::pinned([log_key(1).verifier().clone()]).unwrap();
        let other = Checkpoint { origin: "other".into(), ..at(1) };
        let theirs = SignedCheckpoint::signed(&other, &key("other", Purpose::Log, 1)).unwrap();
        assert_eq!(mine.verify(&theirs), Err(TrustError::Origin("other".into())));
        for keys in [
            vec![],
            vec![key("log", Purpose::Witness, 1).verifier().clone()],
            vec![log_key(1).verifier().clone(), key("b", Purpose::Log, 1).verifier().clone()],
        ] {
            assert_eq!(KeyHistory::pinned(keys), Err(NoteError::Purpose));
        }
    }

    #[test]
    fn each_witness_counts_once() {
        let (log, one, two) = (log_key(1), key("w1", Purpose::Witness, 2), key("w2", Purpose::Witness, 3));
        let history = KeyHistory::pinned([log.verifier().clone()]).unwrap();
        let witnesses = vec![one.verifier().clone(), two.verifier().clone()];
        assert!(Trust::of_log(history.clone()).witnessed(witnesses.clone(), 3).is_err());
        let renamed = key("w3", Purpose::Witness, 2).verifier().clone();
        assert!(Trust::of_log(history.clone()).witnessed(vec![one.verifier().clone(), renamed], 2).is_err());
        assert!(Trust::of_log(history.clone()).witnessed(vec![log.verifier().clone()], 1).is_err());
        let trust = Trust::of_log(history).witnessed(witnesses, 2).unwrap();
        let mut checkpoint = signed(&at(3), &[&log]);
        for time in [7, 9] {
            let line = checkpoint.note().cosignature(&one, time).unwrap();
            checkpoint.add(line);
        }
        assert_eq!(trust.verify(&checkpoint), Err(TrustError::Witnesses { found: 1, wanted: 2 }));
        let line = checkpoint.note().cosignature(&two, 8).unwrap();
        checkpoint.add(line);
        let vouched = trust.verify(&checkpoint).unwrap();
        assert_eq!(vouched.witnesses, [("w1".to_owned(), 9), ("w2".to_owned(), 8)]);
    }
}

//! A witness (C2SP tlog-witness): remembers the last checkpoint that it cosigned of each log, and cosigns another only
//! if it continues that one. Pure but for its folder (`state`); how requests come and answers go is the caller's.
//!
//! Held by other people than the log's operator, on another machine: the operator can then neither rewrite nor cut off
//! nor fork what was once cosigned, whatever it signs itself.

mod request;
mod state;

pub use request::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_conflict};

use crate::checkpoint::SignedCheckpoint;
use crate::keys::{Purpose, SigningKey, VerifierKey};
use crate::note::{NoteError, Signature};
use crate::tree::{self, empty_root};
use crate::trust::{KeyHistory, TrustError};
use state::{Seen, StateFolder};
use std::collections::BTreeMap;
use std::path::Path;

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    #[error("확인서명 요청의 형식이 아닙니다. 마당에서 내려받은 파일을 고치지 말고 그대로 넣어 주세요.")]
    Malformed,
    #[error("이 증인에 등록되지 않은 원장({0})입니다. 원장의 공개키를 먼저 등록해 주세요.")]
    UnknownLog(String),
    #[error("원장의 서명을 믿을 수 없어 확인서명하지 않았습니다. {0}")]
    Untrusted(TrustError),
    #[error("요청이 {old}건까지에서 {new}건까지로 거꾸로 갑니다. 원장이 줄어들 수는 없습니다.")]
    Backwards { old: u64, new: u64 },
    /// The log believes the witness elsewhere than it is: ask again from this size.
    #[error("이 증인은 {size}건까지 확인서명했습니다. 그 크기에서 다시 요청해 주세요.")]
    Conflict { size: u64 },
    #[error(
        "앞서 확인서명한 {size}건과 이어지지 않아 확인서명하지 않았습니다. 원장이 다시 쓰였을 수 있으니 요청 파일을 보관하고 조사해 주세요."
    )]
    Inconsistent { size: u64 },
    #[error("증인의 키가 아닙니다. 증인용으로 만든 키를 넣어 주세요.")]
    Key,
    #[error("컴퓨터의 시계가 올바르지 않아 확인서명하지 않았습니다.")]
    Clock,
    #[error("증인의 상태 폴더 {0}을(를) 다른 프로그램이 쓰고 있습니다. 증인은 한 곳에서만 띄워 주세요.")]
    InUse(String),
    #[error("증인의 상태 파일 {0}이(가) 상했습니다. 백업에서 되살려 주세요. 지우면 되돌린 원장을 알아볼 수 없습니다.")]
    Damaged(String),
    #[error("증인의 상태를 {path}에 쓰거나 읽지 못해 확인서명하지 않았습니다: {reason}")]
    State { path: String, reason: String },
}

impl WitnessError {
    /// HTTP status of the answer in C2SP tlog-witness.
    pub fn status(&self) -> u16 {
        match self {
            WitnessError::Malformed | WitnessError::Backwards { .. } => 400,
            WitnessError::Untrusted(_) => 403,
            WitnessError::UnknownLog(_) => 404,
            WitnessError::Conflict { .. } => 409,
            WitnessError::Inconsistent { .. } => 422,
            _ => 500,
        }
    }

    /// Body of the answer: of a conflict the size alone ([`SIZE_CONTENT_TYPE`]), else the sentence.
    pub fn body(&self) -> String {
        match self {
            WitnessError::Conflict { size } => format!("{size}\n"),
            other => format!("{other}\n"),
        }
    }
}

/// A witness at work.
#[derive(Debug)]
pub struct Witness {
    key: SigningKey,
    logs: BTreeMap<String, (KeyHistory, Seen)>,
    state: StateFolder,
}

impl Witness {
    /// Opens the witness's folder, which no other process may have open, and reads what it knows of these logs;
    /// `earlier` are keys that this witness used before.
    ///
    /// # Errors
    /// [`WitnessError::Key`] for a log's key or two histories of one log; [`WitnessError::InUse`],
    /// [`WitnessError::Damaged`] or [`WitnessError::State`] for the folder. A remembered checkpoint without a valid
    /// signature of this witness counts as damaged.
    pub fn open(
        folder: &Path,
        key: SigningKey,
        earlier: &[VerifierKey],
        logs: impl IntoIterator<Item = KeyHistory>,
    ) -> Result<Self, WitnessError> {
        if key.verifier().purpose() != Purpose::Witness {
            return Err(WitnessError::Key);
        }
        let state = StateFolder::open(folder)?;
        let mut known = BTreeMap::new();
        for mut keys in logs {
            let origin = keys.origin().to_owned();
            let seen = state.load(&origin)?;
            let own = || earlier.iter().chain([key.verifier()]).filter(|key| key.purpose() == Purpose::Witness);
            let mine = |c: &SignedCheckpoint| c.note().verify(own()).is_ok() && c.checkpoint().origin == origin;
            let followed = seen.handovers.iter().try_for_each(|handover| keys.follow(handover).map(|_| ()));
            if followed.is_err() || !seen.latest.as_ref().is_none_or(mine) {
                return Err(WitnessError::Damaged(folder.display().to_string()));
            }
            if known.insert(origin, (keys, seen)).is_some() {
                return Err(WitnessError::Key);
            }
        }
        Ok(Witness { key, logs: known, state })
    }

    /// The key with which this witness's signatures are verified.
    pub fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// The checkpoint of a log cosigned last, with both signatures.
    pub fn latest(&self, origin: &str) -> Option<&SignedCheckpoint> {
        self.logs.get(origin).and_then(|(_, seen)| seen.latest.as_ref())
    }

    /// Cosigns a checkpoint at `now`, seconds since 1970. What is cosigned is on disk before the signature is given
    /// out; a checkpoint in which the log hands over to another key is followed. The signature line, with a line feed,
    /// is the body of the answer.
    ///
    /// # Errors
    /// [`WitnessError`] says why it is not signed; nothing changed then.
    pub fn add_checkpoint(&mut self, request: &AddCheckpoint, now: u64) -> Result<Signature, WitnessError> {
        let signed = &request.checkpoint;
        let checkpoint = signed.checkpoint();
        let unknown = || WitnessError::UnknownLog(checkpoint.origin.clone());
        let (keys, seen) = self.logs.get(&checkpoint.origin).ok_or_else(unknown)?;
        let mut keys = keys.clone();
        let learnt = keys.follow(signed).map_err(WitnessError::Untrusted)?;
        check_consistency(request, seen)?;
        let cosignature = signed.note().cosignature(&self.key, now).map_err(|error| match error {
            NoteError::Time => WitnessError::Clock,
            _ => WitnessError::Key,
        })?;
        let mut seen = seen.clone();
        if learnt {
            seen.handovers.push(signed.clone());
        }
        seen.latest = Some(cosigned(signed, &keys, &cosignature).map_err(WitnessError::Untrusted)?);
        self.state.save(&checkpoint.origin, &seen)?;
        self.logs.insert(checkpoint.origin.clone(), (keys, seen));
        Ok(cosignature)
    }
}

/// The checkpoint continues the one cosigned last.
fn check_consistency(request: &AddCheckpoint, seen: &Seen) -> Result<(), WitnessError> {
    let new = request.checkpoint.checkpoint();
    if request.old_size > new.size {
        return Err(WitnessError::Backwards { old: request.old_size, new: new.size });
    }
    let (size, root) = seen.latest.as_ref().map_or((0, empty_root()), |c| (c.checkpoint().size, c.checkpoint().root));
    if request.old_size != size {
        return Err(WitnessError::Conflict { size });
    }
    tree::verify_consistency(size, new.size, &root, &new.root, &request.proof)
        .map_err(|_| WitnessError::Inconsistent { size })
}

/// The checkpoint to remember: with the signatures that were verified, and no others.
fn cosigned(signed: &SignedCheckpoint, keys: &KeyHistory, line: &Signature) -> Result<SignedCheckpoint, TrustError> {
    let mut note = signed.note().clone();
    note.keep(&keys.keys_at(signed.checkpoint().size).collect::<Vec<_>>());
    note.add(line.clone());
    Ok(note.try_into()?)
}

//! Signs the record: its key, sealed in the database, a checkpoint a minute while records come, hand-over to another key,
//! and what witnesses answer. Whether a checkpoint may be signed is decided in the store, next to the rows.

use crate::app::App;
use crate::settings::Settings;
use crate::witnesses;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use madang_gateway::{MasterKey, SealError};
use madang_ledger::checkpoint::SignedCheckpoint;
use madang_ledger::keys::{KeyError, Purpose, SigningKey, VerifierKey};
use madang_ledger::note::NoteError;
use madang_ledger::witness::AddCheckpoint;
use madang_store::checkpoints::{Due, StoredCheckpoint, StoredKey};
use madang_store::ledger::Event;
use madang_store::{Store, StoreError, WriteTx};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Pause between checkpoints.
const EVERY: Duration = Duration::from_secs(60);
/// Setting of the installation: why nothing is signed.
const REFUSED: &str = "ledger_refused";
/// Checkpoints looked through for a witness's last one, and for the one that an answer without a checkpoint is of.
const LOOKED_THROUGH: i64 = 500;

/// Why nothing was signed or taken.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record contradicts what was signed before.
    #[error("{0}")]
    Refused(String),
    #[error("원장의 키를 열 수 없습니다. {0}")]
    Seal(#[from] SealError),
    #[error("원장의 키를 쓸 수 없습니다. {0}")]
    Key(#[from] KeyError),
    #[error("체크포인트를 만들 수 없습니다. {0}")]
    Note(#[from] NoteError),
    #[error("원장의 키가 아직 없습니다. 마당을 한 번 시작하면 만들어집니다.")]
    NoKey,
    /// What came from a witness, or its list, is not usable. Korean.
    #[error("{0}")]
    Witness(String),
}

impl SignError {
    /// For whoever asks, signed in or not: nothing of how the database failed.
    fn plain(&self) -> String {
        match self {
            Self::Store(_) => "데이터베이스가 응답하지 않아 원장에 서명하지 못했습니다.".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Why nothing is signed, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: String,
    /// Unix milliseconds.
    pub since: i64,
}

/// Whether the record is signed as it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signing {
    pub signed: bool,
    /// Korean: why not.
    pub reason: Option<String>,
    /// Since when it was refused, Unix milliseconds, where that is known.
    pub since: Option<i64>,
}

impl Signing {
    fn broken(reason: String, since: Option<i64>) -> Self {
        Self { signed: false, reason: Some(reason), since }
    }
}

/// Signs with the log's key; cheap to make, keeps no key in memory.
pub struct Signer {
    store: Store,
    master: MasterKey,
    home: PathBuf,
    /// Why the last attempt of this process failed.
    failed: Mutex<Option<Refusal>>,
}

impl Signer {
    /// Signs the record of an installation.
    pub fn new(settings: &Settings, store: Store, master: MasterKey) -> Self {
        Signer { store, master, home: settings.home.clone(), failed: Mutex::default() }
    }

    /// Makes the log's key, where there is none yet, under a name of the log's own that it keeps for good.
    ///
    /// # Errors
    /// [`SignError::Store`] where a key is missing that signed before.
    pub async fn prepare(&self) -> Result<(), SignError> {
        if !self.store.ledger_keys().await?.is_empty() {
            return Ok(());
        }
        let name = format!("madang/{}", uuid::Uuid::new_v4().simple());
        let key = SigningKey::generate(&name, Purpose::Log)?;
        self.store.insert_first_key(key.verifier(), &self.seal(&key)?).await?;
        Ok(())
    }

    /// The log's keys, oldest first; the last one signs.
    ///
    /// # Errors
    /// [`SignError::NoKey`] before the first start.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, SignError> {
        let keys = self.store.ledger_keys().await?;
        if keys.is_empty() { Err(SignError::NoKey) } else { Ok(keys) }
    }

    /// Signs the tree as it stands, unless everything is signed; gives the newest checkpoint.
    ///
    /// # Errors
    /// [`SignError::Refused`] where the record contradicts what was signed: said aloud and kept for the screens.
    pub async fn sign(&self) -> Result<Option<StoredCheckpoint>, SignError> {
        let mut tx = self.store.write_alone().await?;
        let key = self.key(&mut tx).await?;
        match tx.due_checkpoint(key.verifier()).await? {
            Due::Nothing => drop(tx),
            Due::Refused(reason) => {
                drop(tx);
                return Err(self.refuse(reason).await?);
            }
            Due::Sign(checkpoint) => {
                tx.keep_checkpoint(&SignedCheckpoint::signed(&checkpoint, &key)?).await?;
                tx.commit().await?;
            }
        }
        if self.refusal().await?.is_some() {
            self.store.set_meta(REFUSED, None).await?;
        }
        Ok(self.store.last_checkpoint().await?)
    }

    /// Whether records came since the last checkpoint, or nothing is signed at present.
    async fn has_something_to_sign(&self) -> Result<bool, SignError> {
        let signed = self.store.last_checkpoint().await?.map_or(0, |last| last.size());
        let end = u64::try_from(self.store.ledger_end().await?).unwrap_or(0);
        Ok(signed != end || self.store.tree_size().await? != end || self.refusal().await?.is_some())
    }

    /// Signs if records came.
    pub async fn sign_if_grown(&self) {
        let signed = async {
            if self.has_something_to_sign().await? {
                self.sign().await?;
            }
            Ok::<_, SignError>(())
        };
        let failed = signed.await.err().map(|error| {
            tracing::error!(%error, "the ledger was not signed");
            error.plain()
        });
        let mut kept = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.take();
        *kept = failed.map(|reason| {
            let since = before.filter(|b| b.reason == reason).map_or_else(|| self.store.now(), |b| b.since);
            Refusal { reason, since }
        });
    }

    /// Whether the record can be signed now: the tree ends where the record ends, nothing contradicts what was signed,
    /// and the key opens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state(&self) -> Result<Signing, StoreError> {
        // Both ends move on while records come: a sound tree reaches the end that was read in between.
        let before = self.store.tree_size().await?;
        let end = u64::try_from(self.store.ledger_end().await?).unwrap_or(0);
        let after = self.store.tree_size().await?;
        if !(before..=after).contains(&end) {
            let reason = format!(
                "원장의 끝({end}번)과 해시 트리의 끝({after}번)이 달라 서명하지 않습니다. 원장이 바뀌었을 수 있으니 백업과 견주어 주세요."
            );
            return Ok(Signing::broken(reason, None));
        }
        if let Some(refusal) = self.refusal().await? {
            return Ok(Signing::broken(refusal.reason, Some(refusal.since)));
        }
        if let Err(error) = self.key_opens().await {
            return Ok(Signing::broken(error.plain(), None));
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(match failed {
            Some(failed) => Signing::broken(failed.reason, Some(failed.since)),
            None => Signing { signed: true, reason: None, since: None },
        })
    }

    async fn key_opens(&self) -> Result<(), SignError> {
        // A server that runs has made one.
        let gone = "원장의 키가 데이터베이스에서 없어져 서명하지 못합니다. 백업에서 되살려 주세요.";
        let stored = self.store.ledger_keys().await?.pop().ok_or_else(|| SignError::Refused(gone.to_owned()))?;
        self.opened(stored).map(|_| ())
    }

    /// Puts another key in the place of the one that signs: a record names both, and one checkpoint, signed with both,
    /// hands over. From then on the old key signs nothing, and its private part is gone.
    ///
    /// # Errors
    /// As [`Signer::sign`]; nothing changed then.
    pub async fn rotate(&self, who: impl FnOnce(Value) -> Value) -> Result<VerifierKey, SignError> {
        let mut tx = self.store.write_alone().await?;
        let old = self.key(&mut tx).await?;
        let new = SigningKey::generate(old.verifier().name(), Purpose::Log)?;
        let detail = json!({ "old_key": old.verifier().to_string(), "key": new.verifier().to_string() });
        tx.append(Event::new("ledger_key_rotated", None, who(detail))).await?;
        let checkpoint = match tx.due_checkpoint(old.verifier()).await? {
            Due::Sign(checkpoint) => checkpoint.handing_over_to(new.verifier()),
            Due::Nothing => return Err(SignError::Refused("원장에 적히지 않아 키를 바꾸지 않았습니다.".into())),
            Due::Refused(reason) => {
                drop(tx);
                return Err(self.refuse(reason).await?);
            }
        };
        let mut signed = SignedCheckpoint::signed(&checkpoint, &old)?;
        signed.sign(&new)?;
        tx.keep_checkpoint(&signed).await?;
        tx.insert_key(new.verifier(), &self.seal(&new)?).await?;
        tx.commit().await?;
        Ok(new.verifier().clone())
    }

    /// Why nothing is signed at present.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refusal(&self) -> Result<Option<Refusal>, StoreError> {
        Ok(self.store.meta(REFUSED).await?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn refuse(&self, reason: String) -> Result<SignError, StoreError> {
        tracing::error!(%reason, "the ledger contradicts what was signed");
        if self.refusal().await?.is_none_or(|kept| kept.reason != reason) {
            let refusal = Refusal { reason: reason.clone(), since: self.store.now() };
            self.store.set_meta(REFUSED, serde_json::to_string(&refusal).ok().as_deref()).await?;
        }
        Ok(SignError::Refused(reason))
    }

    async fn key(&self, tx: &mut WriteTx) -> Result<SigningKey, SignError> {
        self.opened(tx.signing_key().await?.ok_or(SignError::NoKey)?)
    }

    fn opened(&self, stored: StoredKey) -> Result<SigningKey, SignError> {
        let sealed = STANDARD.decode(stored.sealed.unwrap_or_default()).map_err(|_| SealError::Sealed)?;
        let secret = self.master.open(&sealed, &record(&stored.public))?;
        let key = SigningKey::from_secret(std::str::from_utf8(&secret).map_err(|_| SealError::Sealed)?)?;
        if *key.verifier() == stored.public { Ok(key) } else { Err(SealError::Sealed.into()) }
    }

    fn seal(&self, key: &SigningKey) -> Result<String, SealError> {
        Ok(STANDARD.encode(self.master.seal(key.to_secret().as_bytes(), &record(key.verifier()))?))
    }

    /// The witnesses whose answers are taken, from `witnesses.toml` in the home folder.
    ///
    /// # Errors
    /// [`SignError::Witness`] for a file that cannot be used.
    pub fn witnesses(&self) -> Result<Vec<VerifierKey>, SignError> {
        witnesses::read(&self.home).map_err(|error| SignError::Witness(format!("{error:#}")))
    }

    /// What is asked of a witness: to cosign the newest checkpoint, which is signed now if need be, or first the one in
    /// which the log handed over to another key. `old`: how far the witness is, where it says otherwise than we know.
    ///
    /// # Errors
    /// As [`Signer::sign`]; [`SignError::Witness`] for a witness that is not in the list.
    pub async fn request(&self, witness: Option<&str>, old: Option<u64>) -> Result<AddCheckpoint, SignError> {
        let keys = self.witnesses()?;
        let key =
            match witness {
                None => keys.first(),
                Some(name) => Some(keys.iter().find(|key| key.name() == name).ok_or_else(|| {
                    SignError::Witness(format!("{name}은(는) {}에 없는 증인입니다.", witnesses::FILE))
                })?),
            };
        let newest = self.sign().await?.ok_or_else(|| SignError::Witness("아직 서명할 기록이 없습니다.".into()))?;
        let cosigned = |c: &StoredCheckpoint| key.is_some_and(|key| c.signed.note().verify([key]).is_ok());
        let known = self.store.witnessed_checkpoints(LOOKED_THROUGH).await?.into_iter().find(&cosigned);
        let old = old.unwrap_or_else(|| known.map_or(0, |c| c.size()));
        // A witness learns a key from the checkpoint that hands over: it must see that one before any later.
        let handovers = self.store.handovers().await?;
        let handover = handovers.into_iter().find(|c| c.size() >= old && c.size() > 0 && !cosigned(c));
        let asked = handover.unwrap_or(newest);
        let proof = self.store.consistency_proof(old, asked.size()).await?;
        Ok(AddCheckpoint { old_size: old, proof, checkpoint: asked.signed })
    }

    /// Takes a witness's answer, signature lines alone or the whole cosigned checkpoint, and keeps it with the
    /// checkpoint that it is of. Gives that checkpoint's size and the names of the witnesses.
    ///
    /// # Errors
    /// [`SignError::Witness`] where no known witness signed any of the log's checkpoints with it.
    pub async fn add_cosignatures(
        &self,
        answer: &str,
        event: impl FnOnce(Value) -> Event,
    ) -> Result<(u64, Vec<String>), SignError> {
        let keys = self.witnesses()?;
        if keys.is_empty() {
            let file = self.home.join(witnesses::FILE);
            let words = format!("등록된 증인이 없습니다. 증인의 공개키를 {}에 적어 주세요.", file.display());
            return Err(SignError::Witness(words));
        }
        let answer = answer.replace("\r\n", "\n");
        let (lines, candidates) = match answer.parse::<SignedCheckpoint>() {
            Ok(whole) => {
                let size = whole.checkpoint().size;
                let lines = whole.note().signatures().iter().map(|line| format!("{line}\n")).collect();
                let of_size = self.store.checkpoints_between(size, size, i64::MAX).await?;
                let same = |c: &StoredCheckpoint| c.signed.note().text() == whole.note().text();
                (lines, of_size.into_iter().filter(same).collect::<Vec<_>>())
            }
            Err(_) => (answer.trim().to_owned(), self.store.newest_checkpoints(LOOKED_THROUGH).await?),
        };
        for candidate in candidates {
            let mut signed = candidate.signed.clone();
            if signed.add_cosignatures(&lines, &keys).is_err() {
                continue;
            }
            let names: Vec<String> = signed.note().verify(&keys)?.iter().map(|v| v.key.name().to_owned()).collect();
            let detail = json!({ "size": candidate.size(), "witnesses": names });
            self.store.add_cosignatures(candidate.number, &signed, event(detail)).await?;
            return Ok((candidate.size(), names));
        }
        Err(SignError::Witness(
            "이 원장의 체크포인트에 등록된 증인이 한 확인서명이 아닙니다. 증인에게서 받은 파일을 그대로 넣었는지, 증인의 \
             공개키가 맞는지 확인해 주세요."
                .into(),
        ))
    }
}

/// Under which name a key is sealed.
fn record(public: &VerifierKey) -> Vec<u8> {
    format!("ledger-key/{public}").into_bytes()
}

/// Signs at start, and once a minute where records came, until the server stops.
pub async fn follow(app: App) {
    while !app.shutdown.is_cancelled() {
        app.signer.sign_if_grown().await;
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

//! The order of things for an outside call: inspect → ask → approve → record the intent → send → record the outcome.
//! Rights and states are the store's, bytes the envelope's, the connection `transport`'s; nothing else calls that one.

use crate::approval::{ApprovalFault, approval_binding, approval_holds};
use crate::breaker::Breakers;
use crate::connect::Proxy;
use crate::destination::{Destination, DestinationError, Policy};
use crate::envelope::{Envelope, Header, Refusal, build};
use crate::prompt::{self, Prompt};
use crate::seal::{MasterKey, SealError};
use crate::switch::Switch;
use crate::transport::{Reply, SendError};
use crate::wire::Form;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use madang_domain::{
    AppVersionId, DesignSheet, ExternalCallId, Grade, OutsideCalls, Passage, ProviderId, RunId, Scope,
};
use madang_pii::{Action, Kind, mask, restore, scan};
use madang_store::calls::{Call, CallEnd, CallSource, CallState, NewCall};
use madang_store::providers::{Provider, SealedProvider};
use madang_store::runs::{Run, RunState};
use madang_store::{Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Life of an approval where the officer names none, hours.
pub const APPROVAL_HOURS: i64 = 24;
/// Longest life of an approval, hours.
pub const MAX_APPROVAL_HOURS: i64 = 24 * 14;
/// Longest purpose, legal basis and reason, characters.
pub const MAX_WORDS: usize = 400;
/// Characters of the local answer kept beside a request.
const LOCAL_ANSWER: usize = 300;
const MS_PER_HOUR: i64 = 3_600_000;

/// Why a step of an outside call was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Destination(#[from] DestinationError),
    #[error(transparent)]
    Approval(#[from] ApprovalFault),
    /// The intent could not be written, and so nothing left.
    #[error("원장에 적지 못해 보내지 않았습니다. 잠시 뒤 다시 하거나 운영자에게 알려 주세요.")]
    NotRecorded(String),
    /// The rules do not allow it; Korean, says what to do.
    #[error("{0}")]
    NotAllowed(String),
}

/// Result of a step.
pub type Flowed<T> = Result<T, FlowError>;

/// The door: the database, the key and what the installation allows.
pub struct Gateway {
    pub(crate) store: Store,
    key: MasterKey,
    pub(crate) policy: Policy,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) breakers: Breakers,
    pub(crate) switch: Switch,
}

/// A finding, as the asker sees it beside what leaves in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub kind: Kind,
    /// Korean name of where it stands.
    pub place: String,
    /// The asker's own words where they are masked; the first letters alone where they block.
    pub words: String,
    /// The token that leaves in their place; `None` where nothing may leave.
    pub token: Option<String>,
    pub block: bool,
}

/// An envelope before it is asked for.
#[derive(Debug, Clone)]
pub struct Preview {
    pub run: Run,
    pub provider: Provider,
    pub host: String,
    pub envelope: Envelope,
    pub shown: Vec<Shown>,
    sources: Vec<CallSource>,
    version: AppVersionId,
}

impl Preview {
    /// The outgoing bytes as text.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.envelope.body).into_owned()
    }
}

/// A call with the parts that its reader may see opened.
#[derive(Debug, Clone)]
pub struct Opened {
    pub call: Call,
    /// The exact outgoing JSON.
    pub body: String,
    /// Markdown: with the masked words put back for the asker, with their tokens for an officer.
    pub reply: Option<String>,
}

impl Gateway {
    pub fn new(store: Store, key: MasterKey, policy: Policy) -> Self {
        let switch = Switch::new(store.clone());
        Self { store, key, policy, proxy: None, breakers: Breakers::default(), switch }
    }

    /// All providers, each with the last letters of its key; empty for a short key or one that does not open.
    pub async fn providers(&self, scope: &Scope) -> Flowed<Vec<(Provider, String)>> {
        let all = self.store.providers(scope).await?;
        Ok(all.into_iter().map(|p| (self.hint(&p), p.provider)).map(|(hint, p)| (p, hint)).collect())
    }

    fn hint(&self, sealed: &SealedProvider) -> String {
        let Ok(key) = self.unseal(&sealed.sealed_key, &sealed.provider.id.to_string()) else { return String::new() };
        let characters = key.chars().count();
        if characters < 12 { String::new() } else { key.chars().skip(characters - 4).collect() }
    }

    /// The host of a provider's address, for screens.
    pub fn host(&self, provider: &Provider) -> Flowed<String> {
        Ok(Destination::parse(&provider.base_url, self.policy)?.host().to_owned())
    }

    /// The envelope of a run of the reader's own, inspected, before anything is asked for. `provider`: one that is
    /// switched on; by default the first.
    ///
    /// # Errors
    /// Says why this run may not ask: the app does not allow it, a grade above O, no provider.
    pub async fn preview(
        &self,
        scope: &Scope,
        run: RunId,
        provider: Option<ProviderId>,
        purpose: &str,
        legal_basis: &str,
    ) -> Flowed<Preview> {
        let run = self.store.run(scope, run).await?;
        let (version, sheet) = self.allowed(scope, &run).await?;
        let provider = self.chosen(scope, provider).await?;
        let passages = self.cited(scope, &run).await?;
        let sources_grade = self.store.grade_of(&sheet.collections()).await?;
        let grade = Grade::highest(passages.iter().map(|(_, p)| p.grade).chain([run.grade, sources_grade]));
        let prompt = prompt::of_run(&sheet, &run.inputs, &passages);
        let header = Header {
            provider: provider.name.clone(),
            model: provider.model.clone(),
            purpose: purpose.to_owned(),
            legal_basis: legal_basis.to_owned(),
            grade,
        };
        let envelope = build(&prompt.parts, header, &Form::of(&provider));
        if let Err(refusal @ Refusal::Grade(_)) = envelope.sendable() {
            return Err(refusal.into());
        }
        let shown = shown(&prompt, &envelope);
        let host = self.host(&provider)?;
        Ok(Preview { run, provider, host, envelope, shown, sources: sources(&passages), version })
    }

    /// The sheet of a run that may ask for an outside call.
    async fn allowed(&self, scope: &Scope, run: &Run) -> Flowed<(AppVersionId, DesignSheet)> {
        let refuse = |words: &str| Err(FlowError::NotAllowed(words.to_owned()));
        let Some(version) = run.version else {
            return refuse(
                "저장하지 않은 앱의 시험 실행에서는 외부호출을 신청할 수 없습니다. 앱을 저장하고 실행해 주세요.",
            );
        };
        if run.state != RunState::Done {
            return refuse("끝난 실행에서만 외부호출을 신청할 수 있습니다.");
        }
        let sheet = self.store.version(scope, version).await?.sheet;
        if sheet.outside != OutsideCalls::Ask {
            return refuse("이 앱은 외부호출을 하지 않도록 만들어졌습니다. 만든 부서가 설계서에서 바꿀 수 있습니다.");
        }
        let grade = Grade::highest([run.grade, self.store.grade_of(&sheet.collections()).await?]);
        if grade != Grade::Open {
            return Err(Refusal::Grade(grade).into());
        }
        Ok((version, sheet))
    }

    /// May this run ask for a call? For the run's own page.
    pub async fn may_ask(&self, scope: &Scope, run: &Run) -> bool {
        self.allowed(scope, run).await.is_ok()
    }

    async fn chosen(&self, scope: &Scope, wanted: Option<ProviderId>) -> Flowed<Provider> {
        let enabled = self.store.enabled_providers(scope).await?;
        let found = enabled.into_iter().find(|p| wanted.is_none_or(|w| w == p.id));
        found
            .ok_or_else(|| FlowError::NotAllowed("켜져 있는 외부 제공자가 없습니다. 운영자에게 물어보세요.".to_owned()))
    }

    /// The passages that the run cited and the reader may open now, with their numbers; a passage cited twice once.
    async fn cited(&self, scope: &Scope, run: &Run) -> Flowed<Vec<(u32, Passage)>> {
        let mut numbers = HashMap::new();
        for citation in &run.citations {
            numbers.entry(citation.passage).or_insert(citation.number);
        }
        let mut ids: Vec<_> = numbers.iter().map(|(id, number)| (*number, *id)).collect();
        ids.sort();
        let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
        let passages = self.store.passages(scope, &ids).await?;
        Ok(passages.into_iter().filter_map(|p| Some((*numbers.get(&p.id)?, p))).collect())
    }

    /// Asks for a call: the bytes are sealed and wait for a security officer.
    pub async fn request(
        &self,
        scope: &Scope,
        run: RunId,
        provider: Option<ProviderId>,
        purpose: &str,
        legal_basis: &str,
    ) -> Flowed<ExternalCallId> {
        let purpose = words("purpose", purpose, 5, "왜 외부호출이 필요한지 5~400자로 적어 주세요.")?;
        let legal_basis = words("legal_basis", legal_basis, 0, "근거 법령은 400자까지 적을 수 있습니다.")?;
        let preview = self.preview(scope, run, provider, &purpose, &legal_basis).await?;
        preview.envelope.sendable()?;
        let app = preview.run.app.ok_or(StoreError::NotFound)?;
        let id = ExternalCallId::new();
        let tokens = serde_json::to_vec(&preview.envelope.tokens).unwrap_or_default();
        let findings = preview.envelope.findings.iter().map(|(k, n)| (k.as_str().to_owned(), *n)).collect();
        let new = NewCall {
            id,
            run: preview.run.id,
            app,
            version: preview.version,
            provider: preview.provider.id,
            host: &preview.host,
            model: &preview.provider.model,
            // Both stay in the record for years.
            purpose: &masked(&purpose),
            legal_basis: &masked(&legal_basis),
            grade: preview.envelope.header.grade,
            findings: &findings,
            sources: &preview.sources,
            local_answer: &local_answer(&preview.run),
            body_bytes: preview.envelope.body.len(),
            body_hmac: &self.key.hmac(&preview.envelope.body),
            sealed_body: &self.seal(&preview.envelope.body, &format!("{id}/body"))?,
            sealed_tokens: &self.seal(&tokens, &format!("{id}/tokens"))?,
        };
        self.store.insert_call(scope, new).await?;
        Ok(id)
    }

    /// A security officer other than the asker approves these very bytes for a number of hours.
    pub async fn approve(&self, scope: &Scope, id: ExternalCallId, hours: i64, reason: &str) -> Flowed<()> {
        if !(1..=MAX_APPROVAL_HOURS).contains(&hours) {
            return Err(StoreError::invalid("hours", format!("승인 기한은 1~{MAX_APPROVAL_HOURS}시간입니다.")).into());
        }
        let reason = masked(&words("reason", reason, 0, "남길 말은 400자까지 적을 수 있습니다.")?);
        let call = self.store.call(scope, id).await?;
        let body = self.unseal_bytes(&call.sealed_body, &format!("{id}/body"))?;
        let provider = self.store.enabled_provider(scope, call.provider).await?.provider;
        if provider.model != call.model {
            return Err(ApprovalFault::Altered.into());
        }
        let endpoint = self.endpoint(&provider)?;
        // Whole seconds: that is what the binding holds.
        let expires_at = (self.store.now() + hours * MS_PER_HOUR) / 1000 * 1000;
        let binding = approval_binding(&self.key, &body, &endpoint, &call.model, timestamp(expires_at));
        Ok(self.store.approve_call(scope, id, &binding, expires_at, &reason).await?)
    }

    /// A security officer other than the asker returns it, with a reason.
    pub async fn return_with(&self, scope: &Scope, id: ExternalCallId, reason: &str) -> Flowed<()> {
        let reason = masked(&words("reason", reason, 2, "반려하는 까닭을 2~400자로 적어 주세요.")?);
        Ok(self.store.return_call(scope, id, &reason).await?)
    }

    /// Sends an approved call of the reader's own, once. Run it to its end even when the asker goes away.
    ///
    /// The intent is committed before the connection is opened; if it cannot be, nothing is sent.
    ///
    /// # Errors
    /// Before the intent only. Afterwards the outcome, whatever it is, is in the call.
    pub async fn send(&self, scope: &Scope, id: ExternalCallId) -> Flowed<Call> {
        let call = self.store.call(scope, id).await?;
        if !call.own {
            return Err(StoreError::denied("신청한 사람만 보낼 수 있습니다.").into());
        }
        let body = self.unseal_bytes(&call.sealed_body, &format!("{id}/body"))?;
        let sealed = self.store.enabled_provider(scope, call.provider).await?;
        let line = self.line(&sealed)?;
        self.verify(&call, &sealed.provider, &body, line.endpoint())?;
        let leave = self.leave(&sealed.provider)?;
        self.store.begin_sending(scope, &call, line.endpoint()).await.map_err(not_recorded)?;
        let outcome = self.transmit(&line, leave, id, &body).await;
        let end = self.end(id, outcome);
        self.store.finish_call(scope, id, &end).await?;
        Ok(self.store.call(scope, id).await?)
    }

    /// Everything that was approved is still so, and nothing in the bytes keeps them from leaving.
    fn verify(&self, call: &Call, provider: &Provider, body: &[u8], endpoint: &str) -> Flowed<()> {
        let (Some(binding), Some(expires_at), CallState::Approved) = (&call.binding, call.expires_at, call.state)
        else {
            return Err(FlowError::NotAllowed("승인된 외부호출만 보낼 수 있습니다.".to_owned()));
        };
        let (expiry, now) = (timestamp(expires_at), timestamp(self.store.now()));
        approval_holds(&self.key, binding, body, endpoint, &provider.model, expiry, now)?;
        if call.grade != Grade::Open {
            return Err(Refusal::Grade(call.grade).into());
        }
        if scan(&String::from_utf8_lossy(body)).action != Action::Pass {
            return Err(ApprovalFault::Altered.into());
        }
        Ok(())
    }

    fn end(&self, id: ExternalCallId, outcome: Result<Reply, SendError>) -> CallEnd {
        let failed = |state, error: String| CallEnd {
            state,
            status: None,
            sealed_reply: None,
            reply_bytes: 0,
            reply_hmac: None,
            provider_request_id: None,
            tokens_in: None,
            tokens_out: None,
            attempts: None,
            latency_ms: None,
            error: Some(error),
        };
        match outcome {
            Err(e @ SendError::NothingLeft(_)) => failed(CallState::Failed, e.to_string()),
            Err(e @ SendError::Unknown(_)) => failed(CallState::Unknown, e.to_string()),
            Ok(reply) => self.answered(id, reply),
        }
    }

    fn answered(&self, id: ExternalCallId, reply: Reply) -> CallEnd {
        let text = reply.text().map(|text| without_blocked(&text));
        let sealed = text.as_ref().map(|text| self.seal(text.as_bytes(), &format!("{id}/reply")));
        let error = match (&sealed, reply.status) {
            (Some(Ok(_)), _) if reply.at_limit => {
                Some("답이 출력 한도에 닿아 끝까지 오지 않았습니다. 필요하면 나누어 다시 신청해 주세요.".to_owned())
            }
            (Some(Ok(_)), _) => None,
            (Some(Err(e)), _) => Some(e.to_string()),
            (None, _) if let Some(fault) = reply.fault => Some(format!("보냈으나 {fault}")),
            (None, 200) => Some("보냈으나 돌아온 답을 읽을 수 없습니다.".to_owned()),
            (None, status) => {
                Some(format!("보냈으나 제공자가 받지 않았습니다(상태 {status}). 운영자에게 알려 주세요."))
            }
        };
        let tokens = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        CallEnd {
            state: CallState::Sent,
            status: Some(i64::from(reply.status)),
            sealed_reply: sealed.and_then(Result::ok),
            reply_bytes: reply.body.len(),
            reply_hmac: Some(self.key.hmac(&reply.body)),
            provider_request_id: reply.provider_request_id,
            tokens_in: reply.usage.map(|u| tokens(u.prompt_tokens)),
            tokens_out: reply.usage.map(|u| tokens(u.completion_tokens)),
            attempts: Some(reply.attempts),
            latency_ms: Some(reply.latency_ms),
            error,
        }
    }

    /// A call with its bytes and reply, for its asker or a security officer.
    pub async fn open(&self, scope: &Scope, id: ExternalCallId) -> Flowed<Opened> {
        let call = self.store.call(scope, id).await?;
        let body = self.unseal(&call.sealed_body, &format!("{id}/body"))?;
        let reply = match &call.sealed_reply {
            Some(sealed) => Some(self.reply(&call, sealed)?),
            None => None,
        };
        Ok(Opened { call, body, reply })
    }

    fn reply(&self, call: &Call, sealed: &str) -> Flowed<String> {
        let reply = self.unseal(sealed, &format!("{}/reply", call.id))?;
        if !call.own {
            return Ok(reply);
        }
        let tokens = self.unseal_bytes(&call.sealed_tokens, &format!("{}/tokens", call.id))?;
        let tokens: Vec<(String, String)> = serde_json::from_slice(&tokens).map_err(|_| SealError::Sealed)?;
        Ok(restore(&reply, &tokens))
    }

    pub(crate) fn seal(&self, plain: &[u8], record: &str) -> Flowed<String> {
        Ok(STANDARD.encode(self.key.seal(plain, record.as_bytes())?))
    }

    fn unseal_bytes(&self, sealed: &str, record: &str) -> Flowed<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Sealed)?;
        Ok(self.key.open(&bytes, record.as_bytes())?.to_vec())
    }

    pub(crate) fn unseal(&self, sealed: &str, record: &str) -> Flowed<String> {
        Ok(String::from_utf8(self.unseal_bytes(sealed, record)?).map_err(|_| SealError::Sealed)?)
    }
}

/// A database that fails is told apart from a call that may not be sent.
fn not_recorded(error: StoreError) -> FlowError {
    match error {
        StoreError::Database(_) | StoreError::File(_) | StoreError::Corrupt(_) => {
            FlowError::NotRecorded(error.to_string())
        }
        other => FlowError::Store(other),
    }
}

/// Times come from the store's clock and are in range.
fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Trimmed words of bounded length.
pub(crate) fn words(field: &str, text: &str, least: usize, message: &str) -> Flowed<String> {
    let text = text.trim();
    if (least..=MAX_WORDS).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(StoreError::invalid(field, message).into())
    }
}

/// The text without identifiers: for what is kept unsealed.
pub(crate) fn masked(text: &str) -> String {
    mask(text, &scan(text)).text
}

/// A reply may hold identifiers of its own: those that block are shown to nobody, the others as they came.
fn without_blocked(reply: &str) -> String {
    let report = scan(reply);
    if report.action < Action::Block {
        return reply.to_owned();
    }
    let hidden = mask(reply, &report);
    restore(&hidden.text, &hidden.tokens)
}

/// Why the engine inside did not do, in short.
fn local_answer(run: &Run) -> String {
    if !run.answered {
        return format!("{}: 자료에서 답을 찾지 못했습니다.", run.engine.label);
    }
    let answer: String = masked(&run.answer).split_whitespace().collect::<Vec<_>>().join(" ");
    let clipped: String = answer.chars().take(LOCAL_ANSWER).collect();
    let more = if clipped.len() < answer.len() { "…" } else { "" };
    format!("{}: {clipped}{more}", run.engine.label)
}

/// Each source document once, with the highest grade among its passages.
fn sources(passages: &[(u32, Passage)]) -> Vec<CallSource> {
    let mut by_document: BTreeMap<_, CallSource> = BTreeMap::new();
    for (_, passage) in passages {
        let source = by_document.entry(passage.document).or_insert_with(|| CallSource {
            document: passage.document,
            title: masked(&passage.document_title),
            grade: passage.grade,
        });
        source.grade = source.grade.max(passage.grade);
    }
    by_document.into_values().collect()
}

/// Findings side by side with what leaves in their place.
fn shown(prompt: &Prompt, envelope: &Envelope) -> Vec<Shown> {
    let mut out: Vec<Shown> = envelope
        .blocked
        .iter()
        .map(|place| Shown {
            kind: place.kind,
            place: prompt.place(place),
            words: String::new(),
            token: None,
            block: true,
        })
        .collect();
    let tokens: HashMap<&str, &str> =
        envelope.tokens.iter().map(|(token, words)| (words.as_str(), token.as_str())).collect();
    for (index, part) in prompt.parts.iter().enumerate() {
        let characters: Vec<char> = part.text.chars().collect();
        for finding in scan(&part.text).findings.into_iter().filter(|f| f.action == Action::Mask) {
            let words: String = characters.get(finding.start..finding.end).unwrap_or_default().iter().collect();
            let token = tokens.get(words.as_str()).map(|t| (*t).to_owned());
            out.push(Shown {
                kind: finding.kind,
                place: prompt.section_at(index, finding.start),
                words,
                token,
                block: false,
            });
        }
    }
    out.dedup();
    out
}

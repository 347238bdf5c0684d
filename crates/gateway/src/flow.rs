//! The order of things for an outside call: inspect → ask the policy → ask people → record the intent → send → record
//! the outcome. Here: registering providers, inspecting, asking, reading. What the policy says is in `ruling`, what
//! people decide in `deciding`, what leaves in `sending`. Rights and states are the store's, bytes the envelope's.

use crate::approval::{ApprovalFault, approval_binding};
use crate::breaker::Breakers;
use crate::connect::Proxy;
use crate::destination::{Destination, DestinationError, Policy};
use crate::envelope::{Envelope, Header, Refusal, build};
use crate::inspect::{Inspector, Loaded, Uninspected, marked};
use crate::prompt::{self, Prompt};
use crate::ruling::{Asked, Known, Ruling, passes};
use crate::seal::{MasterKey, SealError};
use crate::switch::Switch;
use crate::wire::Form;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use madang_domain::{
    AppId, AppVersionId, DepartmentId, DesignSheet, ExternalCallId, Grade, OutsideCalls, Passage, ProviderId, RunId,
    Scope,
};
use madang_pii::{Action, Kind, restore};
use madang_policy::Unit;
use madang_policy::facts::AppFacts;
use madang_store::askers::Asker;
use madang_store::call_moves::NewCall;
use madang_store::calls::{Call, CallSource};
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
pub(crate) const MS_PER_HOUR: i64 = 3_600_000;

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
    /// The detector's dictionary cannot be used, and so nothing leaves.
    #[error(transparent)]
    Uninspected(Uninspected),
    /// The intent could not be written, and so nothing left.
    #[error("원장에 적지 못해 보내지 않았습니다. 잠시 뒤 다시 하거나 운영자에게 알려 주세요.")]
    NotRecorded(String),
    /// The state of things does not allow it; Korean, says what to do.
    #[error("{0}")]
    NotAllowed(String),
    /// The policy refuses it; Korean reasons, each says what to do.
    #[error("{}", .0.join(" "))]
    Denied(Vec<String>),
    /// The policy in force does not read, and so nothing passes.
    #[error("외부호출 정책을 읽을 수 없어 아무것도 보내지 않습니다. 보안담당에게 알려 주세요.")]
    NoPolicy(String),
}

/// Result of a step.
pub type Flowed<T> = Result<T, FlowError>;

/// The door: the database, the key and what the installation allows.
pub struct Gateway {
    pub(crate) store: Store,
    pub(crate) key: MasterKey,
    /// Where calls may go.
    pub(crate) reach: Policy,
    /// The policy as it was read last.
    pub(crate) policy: Known,
    /// The dictionary that texts are inspected with.
    pub(crate) loaded: Loaded,
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

/// A run that may ask, with what its app says.
pub(crate) struct Allowed {
    version: AppVersionId,
    digest: String,
    pub(crate) sheet: DesignSheet,
    /// Highest grade of the run and of the app's sources as they are now.
    pub(crate) grade: Grade,
}

/// An envelope before it is asked for.
#[derive(Debug, Clone)]
pub struct Preview {
    pub run: Run,
    pub provider: Provider,
    pub host: String,
    pub envelope: Envelope,
    pub shown: Vec<Shown>,
    /// What the policy says to it.
    pub ruling: Ruling,
    pub sources: Vec<CallSource>,
    version: AppVersionId,
    app: AppId,
    department: DepartmentId,
    characters: usize,
    sketch: Option<u64>,
    inspector: Inspector,
    /// Why it may not leave, whatever the policy says.
    pub refusal: Option<Refusal>,
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
    /// `reach`: where calls may go at all.
    pub fn new(store: Store, key: MasterKey, reach: Policy) -> Self {
        Self {
            switch: Switch::new(store.clone()),
            store,
            key,
            reach,
            policy: Known::default(),
            loaded: Loaded::default(),
            proxy: None,
            breakers: Breakers::default(),
        }
    }

    /// All providers, each with the last letters of its key; empty for a short key or one that does not open.
    pub async fn providers(&self, scope: &Scope) -> Flowed<Vec<(Provider, String)>> {
        let all = self.store.providers(scope).await?;
        Ok(all.into_iter().map(|p| (self.hint(&p), p.provider)).map(|(hint, p)| (p, hint)).collect())
    }

    /// One of them.
    pub async fn provider(&self, scope: &Scope, id: ProviderId) -> Flowed<(Provider, String)> {
        let found = self.providers(scope).await?.into_iter().find(|(p, _)| p.id == id);
        Ok(found.ok_or(StoreError::NotFound)?)
    }

    fn hint(&self, sealed: &SealedProvider) -> String {
        let Ok(key) = self.unseal(&sealed.sealed_key, &sealed.provider.id.to_string()) else { return String::new() };
        let characters = key.chars().count();
        if characters < 12 { String::new() } else { key.chars().skip(characters - 4).collect() }
    }

    /// The host of a provider's address, for screens.
    pub fn host(&self, provider: &Provider) -> Flowed<String> {
        Ok(Destination::parse(&provider.base_url, self.reach)?.host().to_owned())
    }

    /// The envelope of a run of the reader's own, inspected, before anything is asked for; that it may not leave at all
    /// is on record from here on. `provider`: one that is switched on; by default the first.
    ///
    /// # Errors
    /// Says why this run may not ask: the app does not allow it, a grade above O, no provider. What the policy refuses
    /// is no error here but in the ruling.
    pub async fn preview(
        &self,
        scope: &Scope,
        run: RunId,
        provider: Option<ProviderId>,
        purpose: &str,
        legal_basis: &str,
    ) -> Flowed<Preview> {
        let preview = self.prepare(scope, run, provider, purpose, legal_basis).await?;
        // Whoever sees here that it may not leave asks no further: it is on record all the same, once.
        let refused = preview.refusal.is_some() && !preview.ruling.decision.denied.is_empty();
        if refused && !self.store.was_denied(scope, preview.run.id, &self.key.hmac(&preview.envelope.body)).await? {
            self.keep(scope, ExternalCallId::new(), &preview, None).await?;
        }
        match preview.refusal {
            Some(refusal @ (Refusal::Grade(_) | Refusal::Marked(..))) => Err(refusal.into()),
            _ => Ok(preview),
        }
    }

    async fn prepare(
        &self,
        scope: &Scope,
        run: RunId,
        provider: Option<ProviderId>,
        purpose: &str,
        legal_basis: &str,
    ) -> Flowed<Preview> {
        let run = self.store.run(scope, run).await?;
        let allowed = self.allowed(scope, &run).await?;
        let app = run.app.ok_or(StoreError::NotFound)?;
        let asker = self.store.asker(scope).await?;
        let provider = match self.chosen(scope, provider).await {
            // The grade is the better reason, and nobody can mend it by switching a provider on.
            Err(_) if allowed.grade > Grade::Open => return Err(Refusal::Grade(allowed.grade).into()),
            found => found?,
        };
        let host = self.host(&provider)?;
        let passages = self.cited(scope, &run).await?;
        let grade = Grade::highest(passages.iter().map(|(_, p)| p.grade).chain([allowed.grade]));
        let prompt = prompt::of_run(&allowed.sheet, &run.inputs, &passages);
        let header = Header {
            provider: provider.name.clone(),
            model: provider.model.clone(),
            purpose: purpose.to_owned(),
            legal_basis: legal_basis.to_owned(),
            grade,
        };
        let inspector = self.inspector().await?;
        let envelope = build(&prompt.parts, header, &Form::of(&provider), &inspector);
        let facts = AppFacts { app: Unit::new(app.to_string(), &allowed.sheet.title), version: allowed.digest };
        let documents: Vec<_> = passages.iter().map(|(_, p)| p.document).collect();
        let regraded_from = self.store.standing(&allowed.sheet.collections(), &documents).await?.regraded_from;
        let Asker { department, .. } = asker;
        let asked = Asked {
            asker: &asker,
            app: facts,
            provider: &provider,
            host: &host,
            purpose: &inspector.masked(purpose),
            regraded_from,
            envelope: &envelope,
        };
        let ruling = self.rule(scope, &asked).await?;
        Ok(Preview {
            shown: shown(&prompt, &envelope, &inspector),
            refusal: envelope.sendable().err().map(|refusal| marked(&prompt, &envelope, refusal)),
            characters: prompt.parts.iter().map(|p| p.text.chars().count()).sum(),
            sketch: self.sketch(&prompt.parts),
            sources: sources(&passages, &inspector),
            version: allowed.version,
            app,
            department,
            run,
            provider,
            host,
            envelope,
            ruling,
            inspector,
        })
    }

    /// The sheet of a run that may ask for an outside call, as far as the run and its app tell.
    pub(crate) async fn allowed(&self, scope: &Scope, run: &Run) -> Flowed<Allowed> {
        let refuse = |words: &str| Err(FlowError::NotAllowed(words.to_owned()));
        let Some(version) = run.version else {
            return refuse(
                "저장하지 않은 앱의 시험 실행에서는 외부호출을 신청할 수 없습니다. 앱을 저장하고 실행해 주세요.",
            );
        };
        if run.state != RunState::Done {
            return refuse("끝난 실행에서만 외부호출을 신청할 수 있습니다.");
        }
        if run.erased_at.is_some() {
            return refuse("글이 지워진 실행에서는 외부호출을 신청할 수 없습니다. 다시 실행하고 신청해 주세요.");
        }
        let found = self.store.version(scope, version).await?;
        if found.sheet.outside != OutsideCalls::Ask {
            return refuse("이 앱은 외부호출을 하지 않도록 만들어졌습니다. 만든 부서가 설계서에서 바꿀 수 있습니다.");
        }
        let grade = Grade::highest([run.grade, self.store.grade_of(&found.sheet.collections()).await?]);
        Ok(Allowed { version, digest: found.digest, sheet: found.sheet, grade })
    }

    /// May this run ask for a call? For the run's own page.
    pub async fn may_ask(&self, scope: &Scope, run: &Run) -> bool {
        self.allowed(scope, run).await.is_ok_and(|a| a.grade == Grade::Open)
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

    /// Asks for a call. The policy lets it pass, has people decide on it, or refuses it; a refusal is on record too.
    ///
    /// # Errors
    /// [`FlowError::Denied`] and [`FlowError::Refused`] once the refusal is recorded.
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
        let preview = self.prepare(scope, run, provider, &purpose, &legal_basis).await?;
        let refused = preview.refusal.clone();
        let id = ExternalCallId::new();
        if !preview.ruling.decision.denied.is_empty() {
            self.keep(scope, id, &preview, None).await?;
            return Err(match refused {
                Some(refusal) => refusal.into(),
                None => FlowError::Denied(preview.ruling.decision.denied.iter().map(|d| d.reason.clone()).collect()),
            });
        }
        // The floor of every policy refuses what the envelope does; this is for what no policy knows.
        refused.map_or(Ok(()), |refusal| Err(FlowError::from(refusal)))?;
        let passing = passes(preview.ruling.decision.verdict).then(|| self.bound(&preview)).transpose()?;
        self.keep(scope, id, &preview, passing).await?;
        Ok(id)
    }

    /// What stands in for an approval where the policy asks for none.
    fn bound(&self, preview: &Preview) -> Flowed<(String, i64)> {
        let expires_at = self.expiry(APPROVAL_HOURS);
        let (endpoint, model) = (self.endpoint(&preview.provider)?, &preview.provider.model);
        let binding = approval_binding(&self.key, &preview.envelope.body, &endpoint, model, timestamp(expires_at));
        Ok((binding, expires_at))
    }

    /// So many hours from now. Whole seconds: that is what the binding holds.
    pub(crate) fn expiry(&self, hours: i64) -> i64 {
        (self.store.now() + hours * MS_PER_HOUR) / 1000 * 1000
    }

    async fn keep(
        &self,
        scope: &Scope,
        id: ExternalCallId,
        preview: &Preview,
        passing: Option<(String, i64)>,
    ) -> Flowed<()> {
        let (envelope, ruling) = (&preview.envelope, &preview.ruling);
        let tokens = serde_json::to_vec(&envelope.tokens).unwrap_or_default();
        let denied = !ruling.decision.denied.is_empty();
        let seal = |plain: &[u8], part: &str| {
            if denied { Ok(String::new()) } else { self.seal(plain, &format!("{id}/{part}")) }
        };
        let new = NewCall {
            id,
            run: preview.run.id,
            app: preview.app,
            version: preview.version,
            provider: &preview.provider,
            department: preview.department,
            host: &preview.host,
            model: &preview.provider.model,
            // Both stay in the record for years.
            purpose: &preview.inspector.masked(&envelope.header.purpose),
            legal_basis: &preview.inspector.masked(&envelope.header.legal_basis),
            grade: envelope.header.grade,
            findings: &envelope.findings,
            detector: &envelope.detector,
            sources: &preview.sources,
            local_answer: &local_answer(&preview.run, &preview.inspector),
            answered_inside: preview.run.answered,
            body_bytes: envelope.body.len(),
            body_hmac: &self.key.hmac(&envelope.body),
            sealed_body: &seal(&envelope.body, "body")?,
            sealed_tokens: &seal(&tokens, "tokens")?,
            policy: (ruling.in_force.revision, &ruling.in_force.hash),
            decision: &ruling.decision,
            facts: &ruling.facts,
            masked: envelope.masked,
            characters: preview.characters,
            sketch: preview.sketch,
            tokens_most: ruling.cost.tokens_most,
            won_most: ruling.cost.won_most,
            price_version: ruling.cost.price_version.as_deref(),
            binding: passing.as_ref().map(|(binding, at)| (binding.as_str(), *at)),
        };
        Ok(self.store.insert_call(scope, new).await?)
    }

    /// A call with its bytes and reply, for its asker and for whoever decides or reviews. That anybody but the asker has
    /// opened it is on record before anything is unsealed.
    pub async fn open(&self, scope: &Scope, id: ExternalCallId) -> Flowed<Opened> {
        let call = self.store.call(scope, id).await?;
        if self.store.eligibility(scope, &call).await?.may() {
            self.store.note_opened(scope, &call).await?;
        } else if !call.own {
            self.store.note_read(scope, &call).await?;
        }
        // What was denied is not kept, and what was erased is gone.
        let body = match call.sealed_body.as_str() {
            "" => String::new(),
            sealed => self.unseal(sealed, &format!("{id}/body"))?,
        };
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

    pub(crate) fn unseal_bytes(&self, sealed: &str, record: &str) -> Flowed<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Sealed)?;
        Ok(self.key.open(&bytes, record.as_bytes())?.to_vec())
    }

    pub(crate) fn unseal(&self, sealed: &str, record: &str) -> Flowed<String> {
        Ok(String::from_utf8(self.unseal_bytes(sealed, record)?).map_err(|_| SealError::Sealed)?)
    }
}

/// A database that fails is told apart from a call that may not be sent.
pub(crate) fn not_recorded(error: StoreError) -> FlowError {
    match error {
        StoreError::Database(_) | StoreError::File(_) | StoreError::Corrupt(_) => {
            FlowError::NotRecorded(error.to_string())
        }
        other => FlowError::Store(other),
    }
}

/// Times come from the store's clock and are in range.
pub(crate) fn timestamp(ms: i64) -> Timestamp {
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

/// Why the engine inside did not do, in short.
fn local_answer(run: &Run, inspector: &Inspector) -> String {
    if !run.answered {
        return format!("{}: 자료에서 답을 찾지 못했습니다.", run.engine.label);
    }
    let answer: String = inspector.masked(&run.answer).split_whitespace().collect::<Vec<_>>().join(" ");
    let clipped: String = answer.chars().take(LOCAL_ANSWER).collect();
    let more = if clipped.len() < answer.len() { "…" } else { "" };
    format!("{}: {clipped}{more}", run.engine.label)
}

/// Each source document once, with the highest grade among its passages.
fn sources(passages: &[(u32, Passage)], inspector: &Inspector) -> Vec<CallSource> {
    let mut by_document: BTreeMap<_, CallSource> = BTreeMap::new();
    for (_, passage) in passages {
        let source = by_document.entry(passage.document).or_insert_with(|| CallSource {
            document: passage.document,
            title: inspector.masked(&passage.document_title),
            grade: passage.grade,
        });
        source.grade = source.grade.max(passage.grade);
    }
    by_document.into_values().collect()
}

/// Findings side by side with what leaves in their place.
fn shown(prompt: &Prompt, envelope: &Envelope, inspector: &Inspector) -> Vec<Shown> {
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
        for finding in inspector.scan(&part.text).findings.into_iter().filter(|f| f.action == Action::Mask) {
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

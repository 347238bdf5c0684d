//! Providers as the door uses them: registering and changing one with its sealed secrets, the line to it, sending over that line
//! under its breaker and the emergency stop. The order of records is in `flow`.

use crate::breaker::{Circuit, Leave, Went};
use crate::connect::Proxy;
use crate::destination::Destination;
use crate::flow::{FlowError, Flowed, Gateway, words};
use crate::switch::{self, CUT};
use crate::tls;
use crate::transport::{Limits, Line, Reply, SendError};
use crate::wire::{Form, WireForm};
use madang_domain::{ExternalCallId, ProviderId, Scope};
use madang_store::StoreError;
use madang_store::outside_switch::OutsideSwitch;
use madang_store::providers::{
    Edited, MAX_OUTPUT_TOKENS, NewProvider, Patience, Provider, ProviderEdit, SealedProvider,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MAX_KEY: usize = 500;
/// Longest PEM that is taken.
const MAX_PEM: usize = 64 << 10;

/// A provider about to be registered or changed, as it was typed.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    pub name: &'a str,
    pub base_url: &'a str,
    pub model: &'a str,
    pub api_key: &'a str,
    pub wire: WireForm,
    pub api_version: &'a str,
    pub max_output_tokens: u32,
    pub stream: bool,
    pub pins: &'a [String],
    pub authority: &'a str,
    pub identity: &'a str,
    pub patience: Patience,
}

impl Default for Registration<'_> {
    fn default() -> Self {
        Self {
            name: "",
            base_url: "",
            model: "",
            api_key: "",
            wire: WireForm::default(),
            api_version: "",
            max_output_tokens: MAX_OUTPUT_TOKENS,
            stream: false,
            pins: &[],
            authority: "",
            identity: "",
            patience: Patience::default(),
        }
    }
}

impl Gateway {
    /// Sends through the body's egress proxy.
    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Registers a provider, switched off, with its secrets sealed under the provider's id.
    pub async fn add_provider(&self, scope: &Scope, typed: &Registration<'_>) -> Flowed<ProviderId> {
        let (id, checked) = (ProviderId::new(), self.checked(typed)?);
        let secrets = self.sealed_secrets(id, key(typed.api_key)?, checked.identity)?;
        self.store.create_provider(scope, checked.provider(id, typed, &secrets)).await?;
        Ok(id)
    }

    /// Changes a provider. An empty key stays as it is; so does an empty client certificate, unless it is to go.
    /// Approvals for where it stood before count for nothing where it stands elsewhere now.
    pub async fn edit_provider(
        &self,
        scope: &Scope,
        id: ProviderId,
        typed: &Registration<'_>,
        without_identity: bool,
    ) -> Flowed<Edited> {
        let checked = self.checked(typed)?;
        let other_key = !typed.api_key.trim().is_empty();
        let api_key = if other_key { key(typed.api_key)? } else { "" };
        let identity = if without_identity { "" } else { checked.identity };
        let secrets = self.sealed_secrets(id, api_key, identity)?;
        let edit = ProviderEdit {
            new: checked.provider(id, typed, &secrets),
            other_key,
            other_identity: without_identity || !identity.is_empty(),
        };
        let edited = self.store.edit_provider(scope, edit).await?;
        if edited.elsewhere {
            // What failed failed elsewhere.
            self.breakers.forget(id);
        }
        Ok(edited)
    }

    fn checked<'a>(&self, typed: &Registration<'a>) -> Flowed<Checked<'a>> {
        let destination = Destination::parse(typed.base_url, self.reach)
            .map_err(|e| StoreError::invalid("base_url", e.to_string()))?;
        let (pins, authority, identity) = trust(typed)?;
        let api_version = typed.api_version.trim();
        if api_version.len() > 40 || !api_version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(StoreError::invalid("api_version", "API 판을 2024-10-21처럼 적어 주세요.").into());
        }
        Ok(Checked { host: destination.host().to_owned(), pins, authority, identity, api_version })
    }

    /// The key and the client certificate, sealed; what is empty stays so.
    fn sealed_secrets(&self, id: ProviderId, api_key: &str, identity: &str) -> Flowed<(String, String)> {
        let sealed = |secret: &str, record: &str| {
            if secret.is_empty() { Ok(String::new()) } else { self.seal(secret.as_bytes(), record) }
        };
        Ok((sealed(api_key, &id.to_string())?, sealed(identity, &identity_record(id))?))
    }

    /// The line to a provider, ready but for the connection.
    pub(crate) fn line(&self, sealed: &SealedProvider) -> Flowed<Line> {
        let provider = &sealed.provider;
        let destination = Destination::parse(&provider.base_url, self.reach)?;
        let api_key = self.unseal(&sealed.sealed_key, &provider.id.to_string())?;
        let plain = destination.is_plain();
        let line = Line::new(destination, Form::of(provider), &provider.model, &provider.api_version, api_key)
            .with_proxy(self.proxy.clone())
            .with_limits(limits(&provider.patience));
        if plain {
            return Ok(line);
        }
        let identity = match sealed.sealed_identity.as_str() {
            "" => String::new(),
            sealed => self.unseal(sealed, &identity_record(provider.id))?,
        };
        let settings = tls::Settings { pins: &provider.pins, authority: &provider.authority, identity: &identity };
        let tls = tls::config(&settings).map_err(|e| FlowError::NotAllowed(e.to_string()))?;
        Ok(line.with_tls(tls))
    }

    /// The endpoint of a provider, which approvals are bound to.
    pub(crate) fn endpoint(&self, provider: &Provider) -> Flowed<String> {
        let destination = Destination::parse(&provider.base_url, self.reach)?;
        Ok(destination.endpoint(&crate::wire::path(provider.wire, &provider.model, &provider.api_version)))
    }

    /// Leave to try a provider, unless its breaker is open. Before the intent.
    pub(crate) fn leave(&self, provider: &Provider) -> Flowed<Leave> {
        let now = self.store.now();
        self.breakers.admit(provider.id, now).ok_or_else(|| {
            let wait = match self.breakers.circuit(provider.id, now) {
                Circuit::Open { until } => (until.saturating_sub(now) / 1000).max(1),
                Circuit::Closed | Circuit::HalfOpen => 1,
            };
            FlowError::NotAllowed(format!(
                "제공자 {}이(가) 잇달아 답하지 않아 잠시 보내지 않습니다. 아무것도 나가지 않았습니다. {wait}초 뒤에 다시 해 주세요.",
                provider.name
            ))
        })
    }

    /// Sends over a line, until everything outside is stopped. After the intent.
    pub(crate) async fn transmit(
        &self,
        line: &Line,
        leave: Leave,
        call: ExternalCallId,
        body: &[u8],
    ) -> Result<Reply, SendError> {
        let stopped = AtomicBool::new(false);
        let stop = async {
            self.switch.stopped().await;
            stopped.store(true, Ordering::SeqCst);
            CUT.to_owned()
        };
        let outcome = line.send(&call.to_string(), body, stop).await;
        let went = match &outcome {
            _ if stopped.load(Ordering::SeqCst) => Went::Neither,
            Ok(reply) if reply.status >= 500 || reply.status == 429 => Went::Badly,
            Ok(_) => Went::Well,
            Err(_) => Went::Badly,
        };
        leave.ended(went, self.store.now());
        outcome
    }

    /// Where a provider's breaker stands, for the admin's screen.
    pub fn circuit(&self, provider: ProviderId) -> Circuit {
        self.breakers.circuit(provider, self.store.now())
    }

    /// The emergency stop of this process.
    pub fn switch(&self) -> &switch::Switch {
        &self.switch
    }

    /// A security officer or an admin stops everything outside, what is on its way too.
    pub async fn stop_outside(&self, scope: &Scope, reason: &str) -> Flowed<OutsideSwitch> {
        let reason =
            self.inspector().await?.masked(&words("reason", reason, 2, "멈추는 까닭을 2~400자로 적어 주세요.")?);
        self.store.stop_outside(scope, &reason).await?;
        Ok(self.switch.refresh().await?)
    }

    /// A security officer opens the way out again.
    pub async fn resume_outside(&self, scope: &Scope, reason: &str) -> Flowed<OutsideSwitch> {
        let reason =
            self.inspector().await?.masked(&words("reason", reason, 2, "다시 여는 까닭을 2~400자로 적어 주세요.")?);
        self.store.resume_outside(scope, &reason).await?;
        Ok(self.switch.refresh().await?)
    }
}

/// What was typed of a provider, checked.
struct Checked<'a> {
    host: String,
    pins: Vec<String>,
    authority: &'a str,
    identity: &'a str,
    api_version: &'a str,
}

impl Checked<'_> {
    fn provider<'a>(
        &'a self,
        id: ProviderId,
        typed: &Registration<'a>,
        (sealed_key, sealed_identity): &'a (String, String),
    ) -> NewProvider<'a> {
        NewProvider {
            id,
            name: typed.name,
            base_url: typed.base_url,
            host: &self.host,
            model: typed.model,
            sealed_key,
            wire: typed.wire,
            api_version: self.api_version,
            max_output_tokens: typed.max_output_tokens,
            stream: typed.stream,
            pins: &self.pins,
            authority: self.authority,
            sealed_identity,
            patience: typed.patience,
        }
    }
}

fn key(typed: &str) -> Flowed<&str> {
    let api_key = typed.trim();
    if api_key.is_empty() || api_key.len() > MAX_KEY || !api_key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(StoreError::invalid("api_key", "API 키를 빈칸 없이 영문과 숫자, 기호로 적어 주세요.").into());
    }
    Ok(api_key)
}

/// What is trusted and shown, checked before it is kept.
fn trust<'a>(typed: &Registration<'a>) -> Flowed<(Vec<String>, &'a str, &'a str)> {
    let (authority, identity) = (typed.authority.trim(), typed.identity.trim());
    let pins = typed.pins.iter().map(|text| tls::pin(text)).collect::<Result<Vec<_>, _>>();
    let pins = pins.map_err(|e| StoreError::invalid("pins", e.to_string()))?;
    if authority.len().max(identity.len()) > MAX_PEM {
        return Err(StoreError::invalid("authority", "인증서는 64KiB까지 붙일 수 있습니다.").into());
    }
    let settings = tls::Settings { pins: &pins, authority, identity };
    match tls::config(&settings) {
        Ok(_) => {}
        Err(e @ tls::TlsError::Pin(_)) => return Err(StoreError::invalid("pins", e.to_string()).into()),
        Err(e @ tls::TlsError::Authority) => return Err(StoreError::invalid("authority", e.to_string()).into()),
        Err(e @ tls::TlsError::Identity) => return Err(StoreError::invalid("identity", e.to_string()).into()),
        // A bare machine has no certificates yet: said when something is sent.
        Err(tls::TlsError::Other(_)) => {}
    }
    Ok((pins, authority, identity))
}

fn identity_record(id: ProviderId) -> String {
    format!("{id}/identity")
}

fn limits(patience: &Patience) -> Limits {
    Limits {
        connect: Duration::from_millis(patience.connect_ms),
        first_byte: Duration::from_millis(patience.first_byte_ms),
        total: Duration::from_millis(patience.total_ms),
        ..Limits::default()
    }
}

//! Providers as the door uses them: registering one with its sealed secrets, the line to it, sending over that line
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
use madang_store::providers::{MAX_OUTPUT_TOKENS, NewProvider, Patience, Provider, SealedProvider};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MAX_KEY: usize = 500;
/// Longest PEM that is taken.
const MAX_PEM: usize = 64 << 10;

/// A provider about to be registered, as it was typed.
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
        let destination = Destination::parse(typed.base_url, self.reach)
            .map_err(|e| StoreError::invalid("base_url", e.to_string()))?;
        let api_key = typed.api_key.trim();
        if api_key.is_empty() || api_key.len() > MAX_KEY || !api_key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(StoreError::invalid("api_key", "API 키를 빈칸 없이 영문과 숫자, 기호로 적어 주세요.").into());
        }
        let (pins, authority, identity) = trust(typed)?;
        let api_version = typed.api_version.trim();
        if api_version.len() > 40 || !api_version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(StoreError::invalid("api_version", "API 판을 2024-10-21처럼 적어 주세요.").into());
        }
        let id = ProviderId::new();
        let sealed_key = self.seal(api_key.as_bytes(), &id.to_string())?;
        let sealed_identity =
            if identity.is_empty() { String::new() } else { self.seal(identity.as_bytes(), &identity_record(id))? };
        let new = NewProvider {
            id,
            name: typed.name,
            base_url: typed.base_url,
            host: destination.host(),
            model: typed.model,
            sealed_key: &sealed_key,
            wire: typed.wire,
            api_version,
            max_output_tokens: typed.max_output_tokens,
            stream: typed.stream,
            pins: &pins,
            authority,
            sealed_identity: &sealed_identity,
            patience: typed.patience,
        };
        self.store.create_provider(scope, new).await?;
        Ok(id)
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

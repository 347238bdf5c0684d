//! Outside providers, for the admin: the list, and one to be changed.

use super::page;
use crate::app::App;
use crate::auth::Admin;
use crate::frame::{Page, frame, render};
use crate::views::Choice;
use crate::views::admin::{CircuitView, ProviderForm, ProviderPage, ProviderRow, ProvidersPage};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_gateway::Circuit;
use madang_store::auth::parse_id;
use madang_store::providers::{MAX_OUTPUT_TOKENS, Patience, Provider, WireForm};

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin/providers", providers), page("/admin/providers/{id}", edit)]
}

async fn providers(State(app): State<App>, Admin(reader): Admin, uri: Uri) -> Page {
    let all = app.gateway.providers(reader.scope()).await?;
    let now = app.store.now();
    let rows = all.into_iter().map(|(p, key_hint)| ProviderRow {
        wire: p.wire.korean(),
        max_output_tokens: p.max_output_tokens,
        stream: p.stream,
        pins: p.pins.len(),
        own_authority: !p.authority.is_empty(),
        has_identity: p.has_identity,
        circuit: match app.gateway.circuit(p.id) {
            Circuit::Closed => CircuitView::Closed,
            Circuit::Open { until } => CircuitView::Open((until - now) / 1000 + 1),
            Circuit::HalfOpen => CircuitView::HalfOpen,
        },
        id: p.id,
        name: p.name,
        base_url: p.base_url,
        model: p.model,
        enabled: p.enabled,
        key_hint,
        calls: p.calls,
    });
    let frame = frame(&app, &reader, &uri).await?;
    render(ProvidersPage { frame, l: reader.lang, rows: rows.collect(), form: fresh() })
}

async fn edit(State(app): State<App>, Admin(reader): Admin, uri: Uri, Path(id): Path<String>) -> Page {
    let (provider, key_hint) = app.gateway.provider(reader.scope(), parse_id(&id)?).await?;
    let frame = frame(&app, &reader, &uri).await?;
    let (id, enabled, name) = (provider.id, provider.enabled, provider.name.clone());
    render(ProviderPage { frame, l: reader.lang, id, enabled, name, form: filled(provider, key_hint) })
}

/// The form of a provider that is not there yet.
fn fresh() -> ProviderForm {
    let patience = Patience::default();
    ProviderForm {
        name: String::new(),
        base_url: String::new(),
        model: String::new(),
        wires: wires(WireForm::default()),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        stream: false,
        api_version: String::new(),
        seconds: seconds(&patience),
        pins: String::new(),
        authority: String::new(),
        kept: None,
    }
}

fn filled(p: Provider, key_hint: String) -> ProviderForm {
    ProviderForm {
        wires: wires(p.wire),
        max_output_tokens: p.max_output_tokens,
        stream: p.stream,
        seconds: seconds(&p.patience),
        pins: p.pins.join("\n"),
        kept: Some((key_hint, p.has_identity)),
        name: p.name,
        base_url: p.base_url,
        model: p.model,
        api_version: p.api_version,
        authority: p.authority,
    }
}

/// The forms, each with what it puts behind the address.
fn wires(chosen: WireForm) -> Vec<(Choice, &'static str)> {
    let choice = |wire: WireForm| {
        let behind = match wire {
            WireForm::OpenAi => "…/chat/completions",
            WireForm::Anthropic => "…/v1/messages",
            WireForm::Azure => "…/openai/deployments/…",
            WireForm::Clova => "…/v3/chat-completions/…",
        };
        let (value, label) = (wire.as_str().to_owned(), wire.korean().to_owned());
        (Choice { value, label, selected: wire == chosen }, behind)
    };
    WireForm::ALL.map(choice).into()
}

/// Whole seconds, rounded up.
fn seconds(patience: &Patience) -> [u64; 3] {
    [patience.connect_ms, patience.first_byte_ms, patience.total_ms].map(|ms| ms.div_ceil(1000))
}

//! Outside providers, for the admin.

use super::page;
use crate::app::App;
use crate::auth::Admin;
use crate::frame::{Page, frame, render};
use crate::views::admin::{CircuitView, ProviderRow, ProvidersPage};
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_gateway::Circuit;
use madang_store::providers::MAX_OUTPUT_TOKENS;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin/providers", providers)]
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
    render(ProvidersPage { frame, l: reader.lang, rows: rows.collect(), usual_tokens: MAX_OUTPUT_TOKENS })
}

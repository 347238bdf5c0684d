//! Outside providers, for the admin.

use super::page;
use crate::app::App;
use crate::auth::Admin;
use crate::frame::{Page, frame, render};
use crate::views::admin::{ProviderRow, ProvidersPage};
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin/providers", providers)]
}

async fn providers(State(app): State<App>, Admin(reader): Admin, uri: Uri) -> Page {
    let all = app.gateway.providers(reader.scope()).await?;
    let rows = all.into_iter().map(|(p, key_hint)| ProviderRow {
        id: p.id,
        name: p.name,
        base_url: p.base_url,
        model: p.model,
        enabled: p.enabled,
        key_hint,
        calls: p.calls,
    });
    render(ProvidersPage { frame: frame(&app, &reader, &uri).await?, l: reader.lang, rows: rows.collect() })
}

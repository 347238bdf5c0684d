//! Models and model servers, for the admin: which engine answers, what is loaded, how busy it is.

use super::size::bytes;
use super::{encode, page};
use crate::api::model_servers::{Server, servers};
use crate::api::models::loaded;
use crate::app::App;
use crate::auth::Admin;
use crate::frame::{Page, frame, render};
use crate::meaning::coverage;
use crate::views::Lang;
use crate::views::models::{EngineOption, LoadedRow, ModelRow, ModelsPage, ServerHealth, ServerRow, ServersView};
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_inference::Metrics;
use madang_inference::catalogue::{Installed, ModelKind};
use madang_inference::remote::Health;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin/models", models)]
}

async fn models(State(app): State<App>, Admin(reader): Admin, uri: Uri) -> Page {
    let (choice, installed) = {
        let shelf = app.shelf.lock();
        (shelf.choice().to_string(), shelf.installed().to_vec())
    };
    let running = loaded(&app);
    let embedding = app.engines.embedder().map(|e| e.card().name.clone());
    let ranking = app.engines.ranking();
    let ranks = |name: &str| ranking.as_ref().is_some_and(|r| r.name() == name);
    let in_use = |m: &Installed| {
        running.iter().any(|l| l.name == m.name) || embedding.as_ref() == Some(&m.name) || ranks(&m.name)
    };
    let rows = installed.iter().map(|m| ModelRow {
        name: m.name.clone(),
        label: m.label.clone(),
        kind: m.kind.label(),
        size: shown(m.size),
        memory: shown(m.memory),
        licence: m.licence.clone(),
        loaded: in_use(m),
    });
    let rows: Vec<ModelRow> = rows.collect();
    let card = app.engine.card();
    render(ModelsPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        answering: card.label,
        generates: card.generates,
        options: options(&choice, &installed),
        loaded: running.iter().map(|l| loaded_row(&l.label, &l.metrics)).collect(),
        rows,
        vectors: coverage(&app).await.map(|c| (c.done, c.total)),
        reads: ranking.map(|r| r.reads()),
        servers: servers_view(&app, reader.lang),
        trouble: app.shelf.trouble(reader.lang),
    })
}

fn shown(size: u64) -> String {
    bytes(i64::try_from(size).unwrap_or(i64::MAX))
}

fn options(choice: &str, installed: &[Installed]) -> Vec<EngineOption> {
    let fixed = [
        ("auto", "알아서: 모델 서버, 없으면 이 서버의 모델, 그것도 없으면 인용 엔진"),
        ("quoting", "인용 엔진만"),
        ("server", "내부망의 모델 서버"),
    ];
    let mut all: Vec<EngineOption> = fixed
        .iter()
        .map(|(value, label)| EngineOption {
            value: (*value).to_owned(),
            label: (*label).to_owned(),
            chosen: choice == *value,
        })
        .collect();
    all.extend(installed.iter().filter(|m| m.kind == ModelKind::Chat).map(|m| {
        let value = format!("model:{}", m.name);
        EngineOption { chosen: choice == value, label: m.label.clone(), value }
    }));
    all
}

fn loaded_row(label: &str, m: &Metrics) -> LoadedRow {
    let asked = m.prompt_tokens + m.cached_tokens;
    LoadedRow {
        label: label.to_owned(),
        running: m.running,
        waiting: m.waiting,
        written: format!("{:.1}", m.completion_per_second),
        read: format!("{:.0}", m.prompt_per_second),
        reused: (m.cached_tokens * 100).checked_div(asked).unwrap_or(0),
        weights: shown(m.weight_bytes as u64),
        cache: shown(m.cache_bytes as u64),
        cache_limit: shown(m.cache_limit as u64),
        refused: m.refused,
    }
}

fn servers_view(app: &App, lang: Lang) -> ServersView {
    let all = servers(app);
    let models_differ = all.servers.windows(2).any(|pair| matches!(pair, [a, b] if a.model != b.model));
    let rows = all.servers.into_iter().map(|s| server_row(s, lang)).collect();
    ServersView { rows, networks: all.networks, waiting: all.waiting, models_differ }
}

fn server_row(s: Server, lang: Lang) -> ServerRow {
    let status = s.status.as_ref();
    let health = match status.map(|s| s.health) {
        Some(Health::Healthy) => ServerHealth::Good,
        Some(Health::Unknown) => ServerHealth::Unknown,
        Some(Health::Unhealthy) => ServerHealth::Silent,
        None => ServerHealth::Unusable,
    };
    ServerRow {
        path: format!("/api/v1/models/servers/{}", encode(&s.name)),
        health,
        in_flight: status.map_or(0, |s| s.in_flight),
        first_token: status.and_then(|s| s.first_token_ms).map(|ms| format!("{:.1}", ms as f64 / 1000.0)),
        silent_for: status.filter(|s| s.health == Health::Unhealthy).map(|s| s.for_seconds / 60).filter(|m| *m > 0),
        error: status.and_then(|s| s.last_error.as_deref()).map(|e| lang.said(e)),
        name: s.name,
        url: s.url,
        model: s.model,
        has_key: s.has_key,
        capacity: s.capacity,
    }
}

//! Models on this machine and servers inside the network, for the admin: what is there, what is loaded, which engine
//! answers.

use super::body::Body;
use crate::app::App;
use crate::auth::Admin;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::shelf::take_up_models;
use crate::views::Lang;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_inference::EngineChoice;
use madang_inference::Metrics;
use madang_inference::catalogue::{Installed, ModelKind, Shelf, ShelfError};
use madang_inference::remote::ServersStatus;
use madang_store::ledger::Event;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(choose)).routes(routes!(load, unload))
}

/// A model that is loaded, with its figures.
#[derive(Serialize, ToSchema)]
pub struct LoadedModel {
    pub name: String,
    pub label: String,
    #[schema(value_type = Object)]
    pub metrics: Metrics,
}

#[derive(Serialize, ToSchema)]
struct Overview {
    /// `auto`, `quoting`, `server` or `model:<name>`.
    choice: String,
    /// The engine that would answer now.
    answering: String,
    #[schema(value_type = Vec<Object>)]
    installed: Vec<Installed>,
    loaded: Vec<LoadedModel>,
    /// Name of the model that makes vectors for the search.
    embedding: Option<String>,
    /// The model that ranks what the search found.
    #[schema(value_type = Option<Object>)]
    ranking: Option<Ranking>,
    #[schema(value_type = Object)]
    servers: Option<ServersStatus>,
    /// Why what is set is not in force, in Korean.
    trouble: Option<String>,
}

/// A model that ranks.
#[derive(Serialize)]
struct Ranking {
    name: String,
    /// Passages it reads for one question; 0: too slow on this machine, so the order stays as the search gave it.
    reads: usize,
}

/// Everything about models at this moment.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", responses((status = 200, body = Overview), (status = 403)))]
async fn list(State(app): State<App>, Admin(_): Admin) -> Handled<Json<Overview>> {
    let (choice, installed) = {
        let shelf = app.shelf.lock();
        (shelf.choice().to_string(), shelf.installed().to_vec())
    };
    Ok(Json(Overview {
        choice,
        answering: app.engine.card().name,
        installed,
        loaded: loaded(&app),
        embedding: app.engines.embedder().map(|e| e.card().name.clone()),
        ranking: app.engines.ranking().map(|r| Ranking { name: r.name().to_owned(), reads: r.reads() }),
        servers: app.engines.servers(),
        trouble: app.shelf.trouble(Lang::Ko),
    }))
}

/// The loaded models with their figures.
pub fn loaded(app: &App) -> Vec<LoadedModel> {
    let all = app.engines.metrics().into_iter();
    all.map(|(file, metrics)| LoadedModel { name: file.name, label: file.label, metrics }).collect()
}

#[derive(Deserialize, ToSchema)]
struct Choice {
    /// `auto`, `quoting`, `server` or `model:<name>`.
    choice: String,
}

/// Sets which engine answers, from the next run on.
#[utoipa::path(put, path = "/api/v1/models/choice", tag = "models", request_body = Choice, responses((status = 204), (status = 403), (status = 422)))]
async fn choose(State(app): State<App>, Admin(reader): Admin, Body(body): Body<Choice>) -> Handled<StatusCode> {
    let choice: EngineChoice = body.choice.parse().map_err(|e: String| Failure::invalid("choice", e))?;
    let chosen = choice.clone();
    on_shelf(&app, move |shelf| shelf.set_choice(chosen).map_err(refused)).await?;
    app.engines.router().choose(choice);
    let detail = json!({ "choice": body.choice });
    app.store.record(Event::new("engine_chosen", Some(reader.scope().person()), detail)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a model its role and loads it; answers when it is ready.
#[utoipa::path(post, path = "/api/v1/models/{name}/load", tag = "models", params(("name" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 422)))]
async fn load(State(app): State<App>, Admin(reader): Admin, Path(name): Path<String>) -> Handled<StatusCode> {
    let wanted = name.clone();
    let before = change_role(&app, &name, move |shelf, kind| {
        let before = shelf.role(kind).map(|m| m.name.clone());
        shelf.use_role(kind, &wanted).map(|()| (kind, before)).map_err(refused)
    });
    let before = before.await?;
    if let Err(failure) = put_in_force(&app).await {
        restore(&app, &name, before).await;
        return Err(failure);
    }
    let detail = json!({ "model": name });
    app.store.record(Event::new("model_loaded", Some(reader.scope().person()), detail)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a model's role away and gives its memory back.
#[utoipa::path(delete, path = "/api/v1/models/{name}/load", tag = "models", params(("name" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn unload(State(app): State<App>, Admin(reader): Admin, Path(name): Path<String>) -> Handled<StatusCode> {
    let unwanted = name.clone();
    let change = change_role(&app, &name, move |shelf, kind| match shelf.role(kind) {
        Some(model) if model.name == unwanted => shelf.free_role(kind).map_err(refused),
        _ => Err(Failure::conflict("지금 쓰고 있는 모델이 아닙니다. 화면을 새로 고쳐 확인해 주세요.")),
    });
    change.await?;
    put_in_force(&app).await?;
    let detail = json!({ "model": name });
    app.store.record(Event::new("model_unloaded", Some(reader.scope().person()), detail)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the list off the async threads: it waits for other programs, and for the disk.
async fn on_shelf<T: Send + 'static>(
    app: &App,
    change: impl FnOnce(&mut Shelf) -> Handled<T> + Send + 'static,
) -> Handled<T> {
    let app = app.clone();
    let changed = blocking::run(move || change(&mut *app.shelf.fresh().map_err(refused)?));
    changed.await.map_err(Failure::internal)?
}

async fn change_role<T: Send + 'static>(
    app: &App,
    name: &str,
    change: impl FnOnce(&mut Shelf, ModelKind) -> Handled<T> + Send + 'static,
) -> Handled<T> {
    let name = name.to_owned();
    let change = move |shelf: &mut Shelf| {
        let kind = shelf.find(&name).ok_or_else(|| refused(ShelfError::Unknown(name.clone())))?.kind;
        change(shelf, kind)
    };
    on_shelf(app, change).await
}

/// A model that could not be loaded gives its role back to the one that had it, unless somebody chose another meanwhile.
async fn restore(app: &App, name: &str, (kind, before): (ModelKind, Option<String>)) {
    let name = name.to_owned();
    let restored = on_shelf(app, move |shelf| {
        let restored = match before.filter(|b| *b != name) {
            _ if shelf.role(kind).is_none_or(|m| m.name != name) => return Ok(()),
            Some(before) => shelf.use_role(kind, &before),
            None => shelf.free_role(kind),
        };
        restored.map_err(refused)
    });
    if let Err(failure) = restored.await {
        tracing::warn!(why = failure.message, "role of a model that could not be loaded");
        return;
    }
    // What goes wrong now stands on the screen.
    let _told = take_up_models(app).await;
}

async fn put_in_force(app: &App) -> Handled<()> {
    take_up_models(app).await.map_err(|message| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "model", message))
}

/// What the shelf refused, in words for the admin.
pub fn refused(error: ShelfError) -> Failure {
    let message = error.to_string();
    match error {
        ShelfError::Unknown(_) | ShelfError::UnknownServer(_) => {
            Failure::new(StatusCode::NOT_FOUND, "not_found", message)
        }
        ShelfError::Server { field, .. } => Failure::invalid(field, message),
        ShelfError::Locked => Failure::conflict(message),
        ShelfError::Io { .. } => Failure::internal(message),
        _ => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "model", message),
    }
}

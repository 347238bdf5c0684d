//! The routes that OpenAI's clients speak, under `/v1`: models and apps behind one list, chat, embeddings. Calls carry a
//! personal access token and have its owner's rights; an app is `app:<id>`.
//!
//! Here are the routes; `wire` holds what goes over them, `reply` turns streams into answers, `embeddings` has vectors.

mod embeddings;
mod reply;
mod wire;

use super::body::Body;
use crate::app::App;
use crate::auth::{Reader, Runner};
use crate::error::{Failure, Handled};
use crate::running;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use embeddings::{EmbeddingList, EmbeddingsBody};
use madang_domain::{AppId, DesignSheet, FieldKind, Scope};
use madang_inference::{Asker, ChatError, ChatModel, ChatRequest};
use madang_registry::runner::Caller;
use madang_store::auth::parse_id;
use madang_store::runs::RunOf;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::{ChatBody, Model, ModelList};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(models))
        .routes(routes!(model))
        .routes(routes!(chat))
        .routes(routes!(embeddings))
}

/// The models that answer here, and the published apps as `app:<id>`.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList)))]
async fn models(State(app): State<App>, reader: Reader) -> Handled<Json<ModelList>> {
    Ok(Json(ModelList { object: "list", data: listed(&app, reader.scope()).await? }))
}

/// One of them.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai", params(("id" = String, Path)), responses((status = 200, body = Model), (status = 404)))]
async fn model(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Model>> {
    let found = listed(&app, reader.scope()).await?.into_iter().find(|m| m.id == id);
    found.map(Json).ok_or_else(|| no_model(&id))
}

async fn listed(app: &App, scope: &Scope) -> Handled<Vec<Model>> {
    let mut all: Vec<Model> = app.engines.chat_models().iter().map(|m| Model::local(&m.card().name)).collect();
    all.extend(app.engines.embedder().map(|e| Model::local(&e.card().name)));
    let apps = app.store.store_apps(scope).await?;
    all.extend(apps.into_iter().map(|a| Model::app(&a.id.to_string(), a.sheet.title, a.published_at / 1000)));
    Ok(all)
}

/// A reply of a model, or an app's answer. With `stream` as server-sent events.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai", request_body = Object, responses((status = 200, body = Object), (status = 404), (status = 422), (status = 429)))]
async fn chat(State(app): State<App>, Runner(reader): Runner, Body(body): Body<ChatBody>) -> Handled<Response> {
    body.check()?;
    let about = reply::About::new(&body, app.store.now() / 1000);
    if let Some(id) = body.model.strip_prefix("app:") {
        body.check_app()?;
        return run_app(&app, reader.scope(), parse_id(id)?, &body, about).await;
    }
    let model = find(&app, &body.model)?;
    let caller = Caller::of(reader.scope().person(), &app.store.readable_collections(reader.scope()).await?);
    let request: ChatRequest = body.request(caller)?;
    let stream = model.chat(request).await.map_err(failure)?;
    reply::of_model(model, stream, about).await
}

fn find(app: &App, name: &str) -> Handled<Arc<dyn ChatModel>> {
    let models = app.engines.chat_models();
    models.into_iter().find(|m| m.card().name == name).ok_or_else(|| no_model(name))
}

fn no_model(name: &str) -> Failure {
    Failure {
        field: Some("model".to_owned()),
        ..Failure::new(
            StatusCode::NOT_FOUND,
            "model_not_found",
            format!("모델 ‘{name}’이(가) 없습니다. GET /v1/models에 있는 이름이나 app:<앱 번호>를 적어 주세요."),
        )
    }
}

async fn run_app(app: &App, scope: &Scope, id: AppId, body: &ChatBody, about: reply::About) -> Handled<Response> {
    let version = app.store.current_version(scope, id).await?;
    let inputs = form(&version.sheet, body.last_user()?)?;
    let running = running::start(app, scope, RunOf::Version(&version), &inputs).await?;
    reply::of_app(app, scope, running, about).await
}

/// The message as the app's form: a JSON object of its fields, else the words go into the field that holds text.
fn form(sheet: &DesignSheet, text: &str) -> Handled<BTreeMap<String, String>> {
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, String>>(text) {
        return Ok(fields);
    }
    let words = |kind: &FieldKind| matches!(kind, FieldKind::Text | FieldKind::LongText);
    let field = sheet
        .inputs
        .iter()
        .find(|i| i.required && words(&i.kind))
        .or_else(|| sheet.inputs.iter().find(|i| words(&i.kind)));
    let missing: Vec<&str> = sheet
        .inputs
        .iter()
        .filter(|i| i.required && field.is_none_or(|f| f.key != i.key))
        .map(|i| i.key.as_str())
        .collect();
    match field {
        Some(field) if missing.is_empty() => Ok([(field.key.clone(), text.to_owned())].into()),
        _ => {
            let keys: Vec<&str> = sheet.inputs.iter().map(|i| i.key.as_str()).collect();
            let message = format!(
                "이 앱은 칸이 여럿입니다. 마지막 메시지를 {{\"칸\": \"값\"}} 모양의 JSON으로 보내 주세요. 칸: {}",
                keys.join(", ")
            );
            Err(Failure::invalid("messages", message))
        }
    }
}

/// Vectors of texts by the model that the search uses.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = Object, responses((status = 200, body = Object), (status = 404), (status = 422), (status = 429)))]
async fn embeddings(
    State(app): State<App>,
    Runner(reader): Runner,
    Body(body): Body<EmbeddingsBody>,
) -> Handled<Json<EmbeddingList>> {
    let asker = Asker(reader.scope().person().to_string().into());
    embeddings::embed(&app, &asker, &body).await.map(Json)
}

/// A model's refusal as a response. Its words are for the reader and go out as they are.
fn failure(error: ChatError) -> Failure {
    let message = error.to_string();
    match error {
        ChatError::Busy { retry_after, .. } => Failure::busy(message, retry_after.as_secs().max(1)),
        ChatError::TooLong { .. } => Failure {
            field: Some("messages".to_owned()),
            ..Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "context_length_exceeded", message)
        },
        ChatError::Invalid(_) => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message),
        ChatError::Deadline => Failure::new(StatusCode::GATEWAY_TIMEOUT, "deadline", message),
        // Nothing is wrong: somebody stopped it.
        ChatError::Stopped => {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "답이 멈췄습니다. 다시 보내 주세요.")
        }
        ChatError::Failed(_) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "failed", message),
    }
}

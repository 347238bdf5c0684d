//! Drafts: compose from a prompt, edit, answer the composer's questions, save as a version.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::composing;
use crate::error::{Failure, Handled};
use crate::views::build::Question;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use madang_domain::{DesignSheet, DraftId, Grade, OutsideCalls, SheetFault};
use madang_registry::compose::Composition;
use madang_registry::diff;
use madang_store::auth::parse_id;
use madang_store::drafts::{Draft, DraftLine, DraftUpdate};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Drafts listed.
const LISTED: i64 = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, remove))
        .routes(routes!(answer))
        .routes(routes!(save_version))
}

/// The reader's unfinished sheets, last changed first.
#[utoipa::path(get, path = "/api/v1/drafts", tag = "drafts", responses((status = 200, body = Vec<Object>)))]
async fn list(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<DraftLine>>> {
    Ok(Json(app.store.own_drafts(reader.scope(), LISTED).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewDraft {
    /// What the app is to do, in Korean.
    prompt: Option<String>,
    /// A whole design sheet instead: one saved elsewhere.
    #[schema(value_type = Option<Object>)]
    sheet: Option<DesignSheet>,
}

/// Composes a draft from a prompt, or takes over a sheet as it is.
#[utoipa::path(post, path = "/api/v1/drafts", tag = "drafts", request_body = NewDraft, responses((status = 201, body = Created), (status = 409), (status = 422)))]
async fn create(
    State(app): State<App>,
    reader: Reader,
    Body(body): Body<NewDraft>,
) -> Handled<(StatusCode, Json<Created>)> {
    let (prompt, composition, sheet) = match (body.prompt, body.sheet) {
        (_, Some(sheet)) => (String::new(), json!({}), sheet),
        (Some(prompt), None) => {
            let composed = composing::compose(&app, reader.scope(), prompt.clone()).await?;
            (prompt, json!(composed), composed.sheet)
        }
        (None, None) => return Err(Failure::invalid("prompt", "무엇을 하는 앱인지 적어 주세요.")),
    };
    let id = app.store.create_draft(reader.scope(), &prompt, &composition, sheet).await?;
    Ok((StatusCode::CREATED, Created::new(id)))
}

#[derive(Serialize)]
struct DraftView {
    #[serde(flatten)]
    draft: Draft,
    questions: Vec<Question>,
    faults: Vec<SheetFault>,
}

/// One draft.
#[utoipa::path(get, path = "/api/v1/drafts/{id}", tag = "drafts", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn read(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Value>> {
    let draft = app.store.draft(reader.scope(), parse_id(&id)?).await?;
    let faults = faults(&app, &draft.sheet).await?;
    let view = DraftView { questions: questions(&draft), faults, draft };
    let mut value = serde_json::to_value(view).map_err(Failure::internal)?;
    // The composer's own notes are its business; what it asks is in `questions`.
    if let Some(object) = value.as_object_mut() {
        object.remove("composition");
    }
    Ok(Json(value))
}

#[derive(Deserialize, ToSchema)]
struct ChangedDraft {
    /// The revision that the change was made from.
    revision: i64,
    #[schema(value_type = Object)]
    sheet: DesignSheet,
}

/// Saves a draft. 409 says who changed it since, with the draft as it stands in `current` and what differs.
#[utoipa::path(put, path = "/api/v1/drafts/{id}", tag = "drafts", params(("id" = String, Path)), request_body = ChangedDraft, responses((status = 200, body = Object), (status = 404), (status = 409), (status = 422)))]
async fn update(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<ChangedDraft>,
) -> Handled<Response> {
    let id: DraftId = parse_id(&id)?;
    match app.store.update_draft(reader.scope(), id, body.revision, body.sheet.clone(), None).await? {
        DraftUpdate::Saved(revision) => {
            let faults = faults(&app, &body.sheet).await?;
            Ok(Json(json!({ "revision": revision, "faults": faults })).into_response())
        }
        DraftUpdate::Stale(current) => Ok(stale(&current, Some(&body.sheet))),
    }
}

/// Deletes a draft; saved versions stay.
#[utoipa::path(delete, path = "/api/v1/drafts/{id}", tag = "drafts", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn remove(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.delete_draft(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Answer {
    revision: i64,
    /// Identifier of the question.
    question: String,
    /// Place of the chosen option, from 0.
    option: usize,
}

/// Answers one of the composer's questions: the sheet changes accordingly.
#[utoipa::path(post, path = "/api/v1/drafts/{id}/answers", tag = "drafts", params(("id" = String, Path)), request_body = Answer, responses((status = 200, body = Object), (status = 404), (status = 409), (status = 422)))]
async fn answer(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Answer>,
) -> Handled<Response> {
    let draft = app.store.draft(reader.scope(), parse_id(&id)?).await?;
    let unknown = || Failure::invalid("question", "이미 답한 물음입니다. 화면을 새로 고쳐 주세요.");
    let mut composition = composition(&draft).ok_or_else(unknown)?;
    let at: usize = body.question.parse().map_err(|_| unknown())?;
    if at >= composition.questions.len() {
        return Err(unknown());
    }
    let question = composition.questions.remove(at);
    let chosen =
        question.options.get(body.option).ok_or_else(|| Failure::invalid("option", "목록에서 골라 주세요."))?;
    let sheet = chosen.patch.apply(&draft.sheet);
    let kept = json!(composition);
    match app.store.update_draft(reader.scope(), draft.id, body.revision, sheet, Some(&kept)).await? {
        DraftUpdate::Stale(current) => Ok(stale(&current, None)),
        DraftUpdate::Saved(revision) => {
            let now = app.store.draft(reader.scope(), draft.id).await?;
            let questions = questions(&now);
            Ok(Json(json!({ "revision": revision, "sheet": now.sheet, "questions": questions })).into_response())
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct NewVersion {
    revision: i64,
    /// What this version is about.
    #[serde(default)]
    note: String,
}

#[derive(Serialize, ToSchema)]
struct SavedVersion {
    app: String,
    /// Number of the version.
    version: u32,
}

/// Saves the draft as the next version of its app; the first save makes the app.
#[utoipa::path(post, path = "/api/v1/drafts/{id}/versions", tag = "drafts", params(("id" = String, Path)), request_body = NewVersion, responses((status = 201, body = SavedVersion), (status = 404), (status = 409), (status = 422)))]
async fn save_version(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<NewVersion>,
) -> Handled<(StatusCode, Json<SavedVersion>)> {
    let draft = app.store.draft(reader.scope(), parse_id(&id)?).await?;
    let faults = faults(&app, &draft.sheet).await?;
    if !faults.is_empty() {
        return Err(Failure {
            fields: faults.into_iter().map(|f| (f.field, f.message)).collect(),
            ..Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "설계서에 고칠 곳이 있어 판으로 저장하지 못했습니다.",
            )
        });
    }
    let saved = app.store.save_version(reader.scope(), draft.id, body.revision, &body.note).await?;
    Ok((StatusCode::CREATED, Json(SavedVersion { app: saved.app.to_string(), version: saved.number })))
}

/// What keeps a sheet from becoming a version.
async fn faults(app: &App, sheet: &DesignSheet) -> Handled<Vec<SheetFault>> {
    let mut faults = sheet.faults();
    if sheet.outside == OutsideCalls::Ask && app.store.grade_of(&sheet.collections()).await? != Grade::Open {
        let message = "외부호출은 O 등급 자료만 쓰는 앱에서 고를 수 있습니다.".to_owned();
        faults.push(SheetFault { field: "outside".to_owned(), message });
    }
    Ok(faults)
}

/// What the composer wrote, for a draft that began with a prompt.
pub fn composition(draft: &Draft) -> Option<Composition> {
    serde_json::from_value(draft.composition.clone()).ok()
}

/// What the composer still asks; a question's identifier is its place.
pub fn questions(draft: &Draft) -> Vec<Question> {
    let asked = composition(draft).map(|c| c.questions).unwrap_or_default();
    let options = |q: &madang_registry::compose::Question| q.options.iter().map(|o| o.label.clone()).collect();
    asked
        .iter()
        .enumerate()
        .map(|(i, q)| Question { id: i.to_string(), text: q.text.clone(), options: options(q) })
        .collect()
}

/// Somebody else saved: who, and to trials and versions alike, that the screen is behind.
pub fn stale_words(current: &Draft) -> Failure {
    Failure::conflict(format!("{}님이 그사이 설계서를 고쳤습니다. 다시 열어 확인해 주세요.", current.edited_by_name))
}

/// 409 with the draft as it stands and, against `mine`, what differs.
fn stale(current: &Draft, mine: Option<&DesignSheet>) -> Response {
    let failure = stale_words(current);
    let changes: Vec<String> = mine
        .map(|mine| diff::sentences(mine, &current.sheet).iter().map(diff::SheetChange::line).collect())
        .unwrap_or_default();
    let body = json!({
        "error": { "code": failure.code, "message": failure.message },
        "current": {
            "revision": current.revision,
            "sheet": current.sheet,
            "edited_by": current.edited_by_name,
            "updated_at": current.updated_at,
            "changes": changes,
        },
    });
    (StatusCode::CONFLICT, Json(body)).into_response()
}

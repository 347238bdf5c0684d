//! What is signed of the record, and the way of a checkpoint to the witness and back, carried by hand: a request to
//! download, the answer to hand in.

use super::body::Body;
use crate::app::App;
use crate::auth::Security;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use madang_store::checkpoints::StoredCheckpoint;
use madang_store::ledger::Event;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longest answer of a witness, characters.
const MAX_ANSWER: usize = 64 * 1024;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(state)).routes(routes!(request)).routes(routes!(answer))
}

/// A checkpoint in short.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Signed {
    /// Number of records that it covers.
    pub size: u64,
    /// Unix milliseconds: when it was signed, or when the witness's answer came.
    pub at: i64,
}

/// What is signed of the record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LedgerState {
    /// Name of the log.
    pub origin: String,
    /// Verifier keys of the log, oldest first; the last one signs.
    pub keys: Vec<String>,
    /// Records in the tree.
    pub size: u64,
    pub signed: Option<Signed>,
    pub witnessed: Option<Signed>,
    /// Names of the witnesses that cosigned it.
    pub witnessed_by: Vec<String>,
    /// Verifier keys of the witnesses whose answers are taken.
    pub witnesses: Vec<String>,
    /// Why nothing is signed at present, in Korean.
    pub refused: Option<String>,
    /// Unix milliseconds.
    pub refused_since: Option<i64>,
}

/// What is signed of the record at this moment.
///
/// # Errors
/// When the database fails.
pub async fn state_of(app: &App) -> Handled<LedgerState> {
    let keys = app.signer.keys().await?;
    let witnesses = app.signer.witnesses().unwrap_or_else(|error| {
        tracing::error!(%error, "the list of witnesses cannot be used");
        Vec::new()
    });
    let refusal = app.signer.refusal().await?;
    let witnessed = app.store.witnessed_checkpoints(1).await?.into_iter().next();
    let known = witnessed.as_ref().and_then(|c| c.signed.note().verify(&witnesses).ok()).unwrap_or_default();
    let short = |c: StoredCheckpoint| Signed { size: c.size(), at: c.witnessed_at.unwrap_or(c.created_at) };
    let signed = app.store.last_checkpoint().await?;
    Ok(LedgerState {
        origin: keys.first().map(|key| key.public.name().to_owned()).unwrap_or_default(),
        keys: keys.iter().map(|key| key.public.to_string()).collect(),
        size: app.store.tree_size().await?,
        signed: signed.map(|c| Signed { size: c.size(), at: c.created_at }),
        witnessed_by: known.iter().map(|v| v.key.name().to_owned()).collect(),
        witnessed: witnessed.map(short),
        witnesses: witnesses.iter().map(ToString::to_string).collect(),
        refused_since: refusal.as_ref().map(|r| r.since),
        refused: refusal.map(|r| r.reason),
    })
}

/// What is signed of the record: its keys, the last checkpoint, the last one that a witness cosigned.
#[utoipa::path(get, path = "/api/v1/ledger/signed", tag = "ledger", responses((status = 200, body = LedgerState), (status = 403)))]
async fn state(State(app): State<App>, Security(_): Security) -> Handled<Json<LedgerState>> {
    Ok(Json(state_of(&app).await?))
}

#[derive(Deserialize, IntoParams)]
struct Asked {
    /// Name of a witness of the list; without it the first one.
    #[serde(default)]
    witness: Option<String>,
    /// Up to which record the witness cosigned, where it says otherwise than is known here.
    #[serde(default)]
    old: Option<u64>,
}

/// A request for the witness's cosignature (C2SP tlog-witness, add-checkpoint), to be carried to it.
#[utoipa::path(get, path = "/api/v1/ledger/cosignature", tag = "ledger", params(Asked), responses((status = 200, content_type = "text/plain"), (status = 403), (status = 409), (status = 422)))]
async fn request(State(app): State<App>, Security(_): Security, Query(asked): Query<Asked>) -> Handled<Response> {
    let request = app.signer.request(asked.witness.as_deref(), asked.old).await?;
    let size = request.checkpoint.checkpoint().size;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"madang-request-{size}.txt\"")),
    ];
    Ok((headers, request.to_string()).into_response())
}

#[derive(Deserialize, ToSchema)]
struct Answer {
    /// What the witness gave: the cosigned checkpoint, or its signature lines alone.
    answer: String,
}

#[derive(Serialize, ToSchema)]
struct Taken {
    /// Records that the cosigned checkpoint covers.
    size: u64,
    /// The witnesses.
    witnesses: Vec<String>,
}

/// Keeps a witness's answer with the checkpoint that it is of, if the witness is known and its signature holds.
#[utoipa::path(post, path = "/api/v1/ledger/cosignatures", tag = "ledger", request_body = Answer, responses((status = 200, body = Taken), (status = 403), (status = 422)))]
async fn answer(State(app): State<App>, Security(reader): Security, Body(body): Body<Answer>) -> Handled<Json<Taken>> {
    if body.answer.len() > MAX_ANSWER {
        return Err(Failure::invalid("answer", "확인서가 너무 깁니다. 증인에게서 받은 파일을 그대로 넣어 주세요."));
    }
    let by = Some(reader.scope().person());
    let event = |detail| Event::new("cosignature_added", by, detail);
    let (size, witnesses) = app.signer.add_cosignatures(&body.answer, event).await?;
    Ok(Json(Taken { size, witnesses }))
}

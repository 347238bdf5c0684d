//! Outside calls: see the envelope, ask, decide, send, read. The order of things is the gateway's.

use super::Created;
use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::markdown;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use madang_domain::{ExternalCallId, Grade, ProviderId};
use madang_gateway::{Opened, Preview, Revealed, Shown};
use madang_policy::{Decision, Verdict};
use madang_store::auth::parse_id;
use madang_store::call_approvals::{Given, Progressed};
use madang_store::calls::Call;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Own calls listed.
const LISTED: i64 = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(preview))
        .routes(routes!(request))
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(approve))
        .routes(routes!(return_with))
        .routes(routes!(mask))
        .routes(routes!(reveal))
        .routes(routes!(cancel))
        .routes(routes!(send))
}

#[derive(Deserialize, ToSchema)]
struct Asked {
    /// One that is switched on; absent: the first.
    provider: Option<String>,
    /// Why it is needed.
    #[serde(default)]
    purpose: String,
    /// Law or duty it rests on.
    #[serde(default)]
    legal_basis: String,
}

impl Asked {
    fn provider(&self) -> Handled<Option<ProviderId>> {
        let given = self.provider.as_deref().filter(|p| !p.is_empty());
        given.map(|p| p.parse().map_err(|_| Failure::invalid("provider", "제공자를 목록에서 골라 주세요."))).transpose()
    }
}

/// The envelope as it would leave.
#[derive(Serialize)]
struct PreviewView {
    provider: ProviderId,
    provider_name: String,
    host: String,
    model: String,
    grade: Grade,
    /// Exact outgoing JSON.
    body: String,
    bytes: usize,
    /// What was found, the reader's own words beside what leaves in their place.
    findings: Vec<Shown>,
    /// It cannot be asked for as it is; why, in Korean.
    refusal: Option<String>,
    /// What the policy says to it.
    verdict: Verdict,
    decision: Decision,
    /// The decision in Korean sentences.
    explained: Vec<String>,
    policy_revision: u32,
    /// The most tokens that budgets reckon with, and the most that it may cost in micro-won.
    tokens_most: u64,
    won_most: Option<i64>,
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        Self {
            body: preview.body(),
            bytes: preview.envelope.body.len(),
            grade: preview.envelope.header.grade,
            refusal: preview.envelope.sendable().err().map(|r| r.to_string()),
            provider: preview.provider.id,
            provider_name: preview.provider.name,
            host: preview.host,
            model: preview.provider.model,
            findings: preview.shown,
            verdict: preview.ruling.decision.verdict,
            explained: preview.ruling.decision.explain(),
            decision: preview.ruling.decision.told(),
            policy_revision: preview.ruling.in_force.revision,
            tokens_most: preview.ruling.cost.tokens_most,
            won_most: preview.ruling.cost.won_most.map(|w| w.0),
        }
    }
}

/// Shows exactly what would leave for a run of the reader's own; asks for nothing.
#[utoipa::path(post, path = "/api/v1/runs/{id}/outside/preview", tag = "outside", params(("id" = String, Path)), request_body = Asked, responses((status = 200, body = Object), (status = 403), (status = 404), (status = 409)))]
async fn preview(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Asked>,
) -> Handled<Json<PreviewView>> {
    let provider = body.provider()?;
    let preview =
        app.gateway.preview(reader.scope(), parse_id(&id)?, provider, &body.purpose, &body.legal_basis).await?;
    Ok(Json(preview.into()))
}

/// Asks for an outside call. The policy lets it pass, has people decide on it, or refuses it.
#[utoipa::path(post, path = "/api/v1/runs/{id}/outside", tag = "outside", params(("id" = String, Path)), request_body = Asked, responses((status = 201, body = Created), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn request(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Asked>,
) -> Handled<(StatusCode, Json<Created>)> {
    reader.require_browser()?;
    let provider = body.provider()?;
    let call = app.gateway.request(reader.scope(), parse_id(&id)?, provider, &body.purpose, &body.legal_basis).await?;
    Ok((StatusCode::CREATED, Created::new(call)))
}

#[derive(Deserialize, IntoParams)]
struct Listing {
    /// `own` (default), or `waiting`: those that the reader may decide on.
    which: Option<String>,
}

/// The reader's own calls, newest first; or those that they may decide on, oldest first.
#[utoipa::path(get, path = "/api/v1/outside", tag = "outside", params(Listing), responses((status = 200, body = Vec<Object>), (status = 403), (status = 422)))]
async fn list(State(app): State<App>, reader: Reader, Query(query): Query<Listing>) -> Handled<Json<Vec<Call>>> {
    match query.which.as_deref() {
        None | Some("" | "own") => Ok(Json(app.store.own_calls(reader.scope(), LISTED).await?)),
        Some("waiting") => Ok(Json(app.store.decidable_calls(reader.scope()).await?)),
        Some(_) => Err(Failure::invalid("which", "own이나 waiting 가운데 하나를 적어 주세요.")),
    }
}

/// A call with its bytes and reply.
#[derive(Serialize)]
struct CallView {
    #[serde(flatten)]
    call: Call,
    /// Exact outgoing JSON.
    body: String,
    /// Markdown; masked words are put back for the asker alone.
    reply: Option<String>,
    /// Sanitised.
    reply_html: Option<String>,
    /// How far the approvals that the policy asks for have come, and who opened and decided.
    progress: Progressed,
    decisions: Vec<Given>,
}

/// One call: the reader's own, any for a security officer, and one that the reader decides on.
#[utoipa::path(get, path = "/api/v1/outside/{id}", tag = "outside", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
async fn read(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<CallView>> {
    let Opened { call, body, reply } = app.gateway.open(reader.scope(), parse_id(&id)?).await?;
    let decisions = app.store.decisions_on(reader.scope(), call.id).await?;
    let reply_html = reply.as_deref().map(|text| markdown::answer(text, []).0);
    Ok(Json(CallView { progress: call.progress(&decisions), call, body, reply, reply_html, decisions }))
}

#[derive(Deserialize, ToSchema)]
struct Approval {
    /// Life of the approval, 1 to 336 hours and no longer than the policy says; absent: as long as it says.
    hours: Option<i64>,
    #[serde(default)]
    reason: String,
}

/// Somebody whom the policy names, other than the asker, approves these very bytes.
#[utoipa::path(post, path = "/api/v1/outside/{id}/approve", tag = "outside", params(("id" = String, Path)), request_body = Approval, responses((status = 200, body = Object), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn approve(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Approval>,
) -> Handled<Json<Progressed>> {
    reader.require_browser()?;
    Ok(Json(app.gateway.approve(reader.scope(), parse_id(&id)?, body.hours, &body.reason).await?))
}

#[derive(Deserialize, ToSchema)]
struct Reason {
    reason: String,
}

/// Somebody who may approve it returns it with a reason.
#[utoipa::path(post, path = "/api/v1/outside/{id}/return", tag = "outside", params(("id" = String, Path)), request_body = Reason, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn return_with(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.gateway.return_with(reader.scope(), parse_id(&id)?, &body.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Phrases {
    /// As they stand in the outgoing text.
    phrases: Vec<String>,
}

/// Somebody who may approve it has more masked. Approvals given before count for nothing.
#[utoipa::path(post, path = "/api/v1/outside/{id}/mask", tag = "outside", params(("id" = String, Path)), request_body = Phrases, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn mask(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Phrases>,
) -> Handled<StatusCode> {
    reader.require_browser()?;
    app.gateway.mask_more(reader.scope(), parse_id(&id)?, &body.phrases).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the words behind the masks to somebody who may approve it and says why; recorded first.
#[utoipa::path(post, path = "/api/v1/outside/{id}/reveal", tag = "outside", params(("id" = String, Path)), request_body = Reason, responses((status = 200, body = Vec<Object>), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn reveal(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<Json<Vec<Revealed>>> {
    reader.require_browser()?;
    Ok(Json(app.gateway.reveal(reader.scope(), parse_id(&id)?, &body.reason).await?))
}

/// The asker takes back a call that has not been sent.
#[utoipa::path(post, path = "/api/v1/outside/{id}/cancel", tag = "outside", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn cancel(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.cancel_call(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The asker sends an approved call, once. The outcome is in the call that comes back.
#[utoipa::path(post, path = "/api/v1/outside/{id}/send", tag = "outside", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 403), (status = 404), (status = 409), (status = 503), (status = 507)))]
async fn send(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Call>> {
    reader.require_browser()?;
    let id: ExternalCallId = parse_id(&id)?;
    let (gateway, scope) = (app.gateway.clone(), reader.scope().clone());
    // A task of its own: a browser that goes away must not leave a call half sent.
    let sent = tokio::spawn(async move { gateway.send(&scope, id).await }).await.map_err(Failure::internal)?;
    Ok(Json(sent?))
}

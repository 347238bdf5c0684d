//! The policy for outside calls: read, check, rehearse, put into force or propose, confirm, decline, withdraw, download.

use super::body::Body;
use super::words::masked;
use crate::app::App;
use crate::auth::{Reader, Security};
use crate::error::{Failure, Handled};
use crate::policies::{self, Checked, DryRun};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use madang_domain::PolicyProposalId;
use madang_policy::diff::{Change, diff};
use madang_policy::{Faults, Line, Policy};
use madang_store::auth::parse_id;
use madang_store::policies::{NewPolicy, PolicyRevision, StoredPolicy};
use madang_store::policy_proposals::PolicyProposal;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Revisions in one answer.
const REVISIONS: i64 = 100;
/// Proposals in one answer.
pub const PROPOSALS: i64 = 50;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read, put))
        .routes(routes!(check))
        .routes(routes!(rehearse))
        .routes(routes!(revisions))
        .routes(routes!(revision))
        .routes(routes!(file))
        .routes(routes!(compare))
        .routes(routes!(proposals))
        .routes(routes!(proposal))
        .routes(routes!(confirm))
        .routes(routes!(decline))
        .routes(routes!(withdraw))
}

/// A policy as it was written, and as people read it.
#[derive(Serialize)]
struct PolicyView {
    #[serde(flatten)]
    stored: StoredPolicy,
    preview: Vec<Line>,
}

impl PolicyView {
    fn of(stored: StoredPolicy) -> Handled<Json<Self>> {
        let preview = policies::read_stored(&stored)?.preview();
        Ok(Json(Self { stored, preview }))
    }
}

/// The policy in force. For security officers and admins.
#[utoipa::path(get, path = "/api/v1/policy", tag = "policy", responses((status = 200, body = Object), (status = 403)))]
async fn read(State(app): State<App>, reader: Reader) -> Handled<Json<PolicyView>> {
    let revision = app.store.policy_in_force().await?.revision;
    PolicyView::of(app.store.policy_revision(reader.scope(), revision).await?)
}

#[derive(Deserialize, IntoParams)]
struct Listing {
    /// Only revisions before this one.
    before: Option<u32>,
}

/// Policies that are or were in force, newest first, a hundred at a time.
#[utoipa::path(get, path = "/api/v1/policy/revisions", tag = "policy", params(Listing), responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn revisions(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<Listing>,
) -> Handled<Json<Vec<PolicyRevision>>> {
    Ok(Json(app.store.policy_revisions(reader.scope(), query.before, REVISIONS).await?))
}

/// One of them, as it was written.
#[utoipa::path(get, path = "/api/v1/policy/revisions/{revision}", tag = "policy", params(("revision" = String, Path)), responses((status = 200, body = Object), (status = 403), (status = 404)))]
async fn revision(State(app): State<App>, reader: Reader, Path(revision): Path<String>) -> Handled<Json<PolicyView>> {
    PolicyView::of(app.store.policy_revision(reader.scope(), parse_id(&revision)?).await?)
}

/// One of them as a TOML file.
#[utoipa::path(get, path = "/api/v1/policy/revisions/{revision}/file", tag = "policy", params(("revision" = String, Path)), responses((status = 200, content_type = "application/toml"), (status = 403), (status = 404)))]
async fn file(State(app): State<App>, reader: Reader, Path(revision): Path<String>) -> Handled<Response> {
    let stored = app.store.policy_revision(reader.scope(), parse_id(&revision)?).await?;
    let disposition = format!("attachment; filename=\"madang-policy-{}.toml\"", stored.revision);
    let headers = [
        (header::CONTENT_TYPE, "application/toml; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, stored.text).into_response())
}

/// What changes from one revision to another.
#[utoipa::path(get, path = "/api/v1/policy/revisions/{a}/diff/{b}", tag = "policy", params(("a" = String, Path), ("b" = String, Path)), responses((status = 200, body = Vec<Object>), (status = 403), (status = 404)))]
async fn compare(
    State(app): State<App>,
    reader: Reader,
    Path((a, b)): Path<(String, String)>,
) -> Handled<Json<Vec<Change>>> {
    let before = app.store.policy_revision(reader.scope(), parse_id(&a)?).await?;
    let after = app.store.policy_revision(reader.scope(), parse_id(&b)?).await?;
    Ok(Json(diff(&policies::read_stored(&before)?, &policies::read_stored(&after)?)))
}

#[derive(Deserialize, ToSchema)]
struct Text {
    /// The policy file.
    text: String,
}

/// What is wrong with a text line by line, or what it would mean in place of the policy in force. Changes nothing.
#[utoipa::path(post, path = "/api/v1/policy/check", tag = "policy", request_body = Text, responses((status = 200, body = Object), (status = 403)))]
async fn check(State(app): State<App>, reader: Reader, Body(body): Body<Text>) -> Handled<Json<Checked>> {
    Ok(Json(policies::check(&app, reader.scope(), body.text).await?))
}

#[derive(Deserialize, ToSchema)]
struct Rehearse {
    /// The policy file.
    text: String,
    /// A month such as `2026-10`; absent: the last thirty days.
    month: Option<String>,
}

/// What a text would have said to the calls of the past. Changes nothing.
#[utoipa::path(post, path = "/api/v1/policy/rehearse", tag = "policy", request_body = Rehearse, responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn rehearse(State(app): State<App>, reader: Reader, Body(body): Body<Rehearse>) -> Handled<Json<DryRun>> {
    // The right comes before the faults: who may not read the policy learns nothing of one.
    app.store.policy_revisions(reader.scope(), None, 1).await?;
    let policy = Policy::parse(&body.text).map_err(faulty)?;
    Ok(Json(policies::dry_run(&app, reader.scope(), policy, body.month.as_deref()).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewText {
    /// The policy file, its revision one more than that in force.
    text: String,
    /// Why: recorded.
    reason: String,
    /// Revision of the policy in force that it was made from.
    expected_revision: u32,
}

/// What became of a new policy.
#[derive(Serialize, ToSchema)]
struct Put {
    /// `in_force`, or `proposed` where a second person is needed.
    state: &'static str,
    revision: u32,
    /// The proposal.
    proposal: Option<String>,
}

/// Puts a policy into force, or proposes it where it may let something pass that does not pass now.
#[utoipa::path(put, path = "/api/v1/policy", tag = "policy", request_body = NewText, responses((status = 200, body = Put), (status = 403), (status = 409), (status = 422)))]
async fn put(State(app): State<App>, Security(reader): Security, Body(body): Body<NewText>) -> Handled<Json<Put>> {
    let policy = Policy::parse(&body.text).map_err(faulty)?;
    // The store refuses where what it is compared with is not what the writer saw, or is in force no longer.
    let stored = app.store.policy_in_force().await?;
    let in_force = policies::read_stored(&stored)?;
    policies::require_given(&policy, &in_force, reader.scope().person(), None)?;
    let changes = diff(&in_force, &policy);
    let (hash, reason, sentences) = (policy.hash(), masked(&app, &body.reason).await?, policies::sentences(&changes));
    let revision = policy.revision();
    let new = NewPolicy {
        text: &body.text,
        hash: &hash,
        revision,
        compared_with: stored.revision,
        reason: &reason,
        changes: &sentences,
    };
    let (scope, expected) = (reader.scope(), body.expected_revision);
    if changes.iter().any(Change::may_loosen) {
        let id = app.store.propose_policy(scope, &new, expected).await?;
        return Ok(Json(Put { state: "proposed", revision, proposal: Some(id.to_string()) }));
    }
    app.store.put_policy_in_force(scope, &new, expected).await?;
    Ok(Json(Put { state: "in_force", revision, proposal: None }))
}

/// The faults of a text, each with its line.
fn faulty(faults: Faults) -> Failure {
    let told: Vec<_> = faults.0.iter().map(|f| ("text".to_owned(), f.to_string())).collect();
    let message = told.first().map(|(_, words)| words.clone()).unwrap_or_default();
    Failure { fields: told, ..Failure::invalid("text", message) }
}

/// Proposed policies, those that wait first.
#[utoipa::path(get, path = "/api/v1/policy/proposals", tag = "policy", responses((status = 200, body = Vec<Object>), (status = 403)))]
async fn proposals(State(app): State<App>, reader: Reader) -> Handled<Json<Vec<PolicyProposal>>> {
    Ok(Json(app.store.policy_proposals(reader.scope(), PROPOSALS).await?))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/policy/proposals/{id}", tag = "policy", params(("id" = String, Path)), responses((status = 200, body = Object), (status = 403), (status = 404)))]
async fn proposal(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<PolicyProposal>> {
    Ok(Json(app.store.policy_proposal(reader.scope(), parse_id(&id)?).await?))
}

/// The second person puts it into force.
#[utoipa::path(post, path = "/api/v1/policy/proposals/{id}/confirm", tag = "policy", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn confirm(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    let (scope, id) = (reader.scope(), parse_id::<PolicyProposalId>(&id)?);
    let proposal = app.store.policy_proposal(scope, id).await?;
    let Ok(policy) = Policy::parse(&proposal.text) else {
        return Err(Failure::conflict("제안된 정책을 더는 읽을 수 없습니다. 반려하고 다시 제안하도록 알려 주세요."));
    };
    let in_force = policies::read_stored(&app.store.policy_in_force().await?)?;
    if proposal.may_decide {
        policies::require_given(&policy, &in_force, proposal.proposer, Some(scope))?;
    }
    app.store.confirm_policy(scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Reason {
    reason: String,
}

/// The second person declines it with a reason.
#[utoipa::path(post, path = "/api/v1/policy/proposals/{id}/decline", tag = "policy", params(("id" = String, Path)), request_body = Reason, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn decline(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<Reason>,
) -> Handled<StatusCode> {
    app.store.decline_policy(reader.scope(), parse_id(&id)?, &masked(&app, &body.reason).await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The proposer takes it back.
#[utoipa::path(post, path = "/api/v1/policy/proposals/{id}/withdraw", tag = "policy", params(("id" = String, Path)), responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn withdraw(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<StatusCode> {
    app.store.withdraw_policy(reader.scope(), parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

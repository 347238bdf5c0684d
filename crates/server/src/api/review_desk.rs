//! What reviewers decide: an anomaly looked at, a month's sample drawn, each pick reviewed, the month signed off.

use super::body::Body;
use super::words::checked_note;
use crate::app::App;
use crate::auth::Security;
use crate::desk::facts::{self, candidates, kind_name};
use crate::desk::month::Month;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use madang_domain::{ExternalCallId, Scope};
use madang_policy::anomaly::Severity;
use madang_policy::sampling::{Sizes, sample};
use madang_store::auth::parse_id;
use madang_store::reviews::{NewSample, PickVerdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(see)).routes(routes!(draw)).routes(routes!(review)).routes(routes!(sign))
}

#[derive(Deserialize, ToSchema)]
struct Seen {
    /// Its hash, as the list names it.
    #[serde(default)]
    anomaly: String,
    /// What was found.
    #[serde(default)]
    note: String,
}

/// Notes that an anomaly was looked at.
#[utoipa::path(post, path = "/api/v1/outside/anomalies/seen", tag = "review", request_body = Seen, responses((status = 204), (status = 403), (status = 404), (status = 422)))]
async fn see(State(app): State<App>, Security(reader): Security, Body(seen): Body<Seen>) -> Handled<StatusCode> {
    let note = checked_note(&app, "note", &seen.note, 2).await?;
    let found = facts::found(&app, reader.scope()).await?;
    let pattern = found.into_iter().find(|f| f.key == seen.anomaly).ok_or_else(Failure::not_found)?;
    let kind = kind_name(pattern.anomaly.kind);
    app.store.see_anomaly(reader.scope(), &pattern.key, &kind, &pattern.anomaly.calls, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
struct Drawn {
    month: String,
    calls: usize,
    picks: usize,
}

/// Draws the sample of a month that is over, once: by the last checkpoint of the month, so that nobody chooses.
#[utoipa::path(post, path = "/api/v1/outside/months/{month}/sample", tag = "review", params(("month" = String, Path)), responses((status = 201, body = Drawn), (status = 403), (status = 404), (status = 409)))]
async fn draw(
    State(app): State<App>,
    Security(reader): Security,
    Path(month): Path<String>,
) -> Handled<(StatusCode, Json<Drawn>)> {
    let month = Month::parse(&month)?;
    if month.ends_ms() > app.store.now() {
        return Err(Failure::conflict(format!("{}이 끝난 뒤에 표본을 뽑을 수 있습니다.", month.korean())));
    }
    Ok((StatusCode::CREATED, Json(drawn(&app, reader.scope(), month).await?)))
}

async fn drawn(app: &App, scope: &Scope, month: Month) -> Handled<Drawn> {
    let Some((checkpoint, seed)) = app.store.checkpoint_for_seed(scope, month.ends_ms()).await? else {
        return Err(Failure::conflict("원장에 서명된 체크포인트가 아직 없습니다. 잠시 뒤 다시 해 주세요."));
    };
    let calls = facts::calls(app, scope, month.starts_ms(), month.ends_ms()).await?;
    // Of the month itself: whenever it is drawn, and by whom, the same calls are looked at in any case.
    let mut found = facts::found_between(app, scope, month.starts_ms(), month.ends_ms()).await?;
    found.retain(|f| f.anomaly.severity == Severity::High);
    let always: Vec<String> = found.iter().map(|f| f.key.clone()).collect();
    let policy = app.store.policy_for_review(scope, month.ends_ms()).await?.map(|(revision, _)| revision);
    let sample = sample(&candidates(&calls, &found), format!("{month} {seed}").as_bytes(), &Sizes::default());
    let picks: Vec<(ExternalCallId, String)> = sample.picks.into_iter().map(|p| (p.id, p.why)).collect();
    let strata = serde_json::to_string(&sample.strata).map_err(Failure::internal)?;
    let (name, count) = (month.to_string(), picks.len());
    let (calls, strata) = (calls.len(), strata.as_str());
    let new =
        NewSample { month: &name, seed: &seed, checkpoint, calls, strata, picks: &picks, always: &always, policy };
    app.store.keep_sample(scope, new).await?;
    Ok(Drawn { month: name, calls, picks: count })
}

#[derive(Deserialize, ToSchema)]
struct Reviewed {
    /// `sound`, `question` or `fault`.
    #[serde(default)]
    verdict: String,
    /// Needed unless all is well.
    #[serde(default)]
    note: String,
}

/// What a reviewer, neither asker nor approver, found in a pick.
#[utoipa::path(post, path = "/api/v1/outside/months/{month}/picks/{call}", tag = "review", params(("month" = String, Path), ("call" = String, Path)), request_body = Reviewed, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn review(
    State(app): State<App>,
    Security(reader): Security,
    Path((month, call)): Path<(String, String)>,
    Body(reviewed): Body<Reviewed>,
) -> Handled<StatusCode> {
    let month = Month::parse(&month)?;
    let verdict: PickVerdict = reviewed
        .verdict
        .parse()
        .map_err(|_| Failure::invalid("verdict", "적정, 확인 필요, 부적정 가운데 하나를 골라 주세요."))?;
    let least = if verdict == PickVerdict::Sound { 0 } else { 2 };
    let note = checked_note(&app, "note", &reviewed.note, least).await?;
    app.store.review_pick(reader.scope(), &month.to_string(), parse_id(&call)?, verdict, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Summary {
    /// What the month's review found, in a few sentences.
    #[serde(default)]
    summary: String,
}

/// Signs a month off, once every pick was looked at.
#[utoipa::path(post, path = "/api/v1/outside/months/{month}/signature", tag = "review", params(("month" = String, Path)), request_body = Summary, responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
async fn sign(
    State(app): State<App>,
    Security(reader): Security,
    Path(month): Path<String>,
    Body(body): Body<Summary>,
) -> Handled<StatusCode> {
    let month = Month::parse(&month)?;
    let summary = checked_note(&app, "summary", &body.summary, 2).await?;
    app.store.sign_month(reader.scope(), &month.to_string(), &summary).await?;
    Ok(StatusCode::NO_CONTENT)
}

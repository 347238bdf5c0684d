//! The store: listing and searching published apps, offering one in place of a new one, ratings.

use super::body::Body;
use crate::app::App;
use crate::auth::Reader;
use crate::catalogue::{self, Filter, StoreQuery};
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use madang_domain::{AppId, Grade};
use madang_pii::Action;
use madang_store::auth::parse_id;
use madang_store::ratings::Rating;
use madang_store::shelves::{Reuse, StoreApp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(suggest))
        .routes(routes!(reuse))
        .routes(routes!(ratings))
        .routes(routes!(rate))
}

/// A published app in a list.
#[derive(Serialize, ToSchema)]
struct Listed {
    #[schema(value_type = String)]
    id: AppId,
    title: String,
    purpose: String,
    /// Kind of task, stored name.
    task: &'static str,
    /// Absent for a bundled app.
    department: Option<String>,
    #[schema(value_type = String)]
    grade: Grade,
    /// Number of the version in the store.
    version: u32,
    uses: usize,
    /// Mean of the stars with one decimal.
    rating: Option<String>,
    /// The reader may read all its sources.
    ready: bool,
    /// Unix milliseconds.
    published_at: i64,
}

impl From<StoreApp> for Listed {
    fn from(app: StoreApp) -> Self {
        Self {
            id: app.id,
            task: app.sheet.task.as_str(),
            title: app.sheet.title,
            purpose: app.sheet.purpose,
            department: app.department_name,
            grade: app.grade,
            version: app.number,
            uses: app.uses,
            rating: app.stars.mean(),
            ready: app.ready,
            published_at: app.published_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Listing {
    apps: Vec<Listed>,
}

/// Published apps.
#[utoipa::path(get, path = "/api/v1/store", tag = "store", params(StoreQuery), responses((status = 200, body = Listing), (status = 422)))]
async fn list(State(app): State<App>, reader: Reader, Query(query): Query<StoreQuery>) -> Handled<Json<Listing>> {
    let filter = Filter::try_from(&query)?;
    let apps = catalogue::find(&app, reader.scope(), &filter).await?;
    Ok(Json(Listing { apps: apps.into_iter().map(Listed::from).collect() }))
}

#[derive(Deserialize, IntoParams)]
struct Wanted {
    /// What somebody is about to build.
    #[serde(default)]
    q: String,
}

/// At most three published apps that already do what is described; none where none clearly does.
#[utoipa::path(get, path = "/api/v1/apps/suggest", tag = "store", params(Wanted), responses((status = 200, body = Listing)))]
async fn suggest(State(app): State<App>, reader: Reader, Query(wanted): Query<Wanted>) -> Handled<Json<Listing>> {
    let apps = catalogue::offered(&app, reader.scope(), &wanted.q).await?;
    Ok(Json(Listing { apps: apps.into_iter().map(Listed::from).collect() }))
}

/// Figures of reuse in this month.
#[utoipa::path(get, path = "/api/v1/store/reuse", tag = "store", responses((status = 200, body = Object)))]
async fn reuse(State(app): State<App>, reader: Reader) -> Handled<Json<Reuse>> {
    let since = catalogue::month_start(app.store.now());
    Ok(Json(app.store.reuse(reader.scope(), since).await?))
}

/// Ratings of an app, latest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/ratings", tag = "store", params(("id" = String, Path)), responses((status = 200, body = Vec<Object>), (status = 404)))]
async fn ratings(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Handled<Json<Vec<Rating>>> {
    Ok(Json(app.store.ratings(reader.scope(), parse_id(&id)?).await?))
}

#[derive(Deserialize, ToSchema)]
struct NewRating {
    /// 1 to 5.
    stars: u8,
    #[serde(default)]
    comment: String,
}

/// Sets the reader's rating of an app that they have used and did not make.
#[utoipa::path(put, path = "/api/v1/apps/{id}/rating", tag = "store", params(("id" = String, Path)), request_body = NewRating,
    responses((status = 204), (status = 403), (status = 404), (status = 422)))]
async fn rate(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Body(body): Body<NewRating>,
) -> Handled<StatusCode> {
    // Everybody reads a comment, so no unique identifier of a person may stand in it.
    if madang_pii::scan(&body.comment).action == Action::Block {
        return Err(Failure::invalid(
            "comment",
            "한마디에 주민등록번호 같은 고유식별정보가 있습니다. 지우고 남겨 주세요.",
        ));
    }
    app.store.rate(reader.scope(), parse_id(&id)?, body.stars, &body.comment).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Words of one meaning, for the admin: reading the list and replacing it. It counts from the next search on.

use super::body::Body;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Failure, Handled};
use axum::Json;
use axum::extract::State;
use madang_search::Synonyms;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, replace))
}

/// The list as it was written.
#[derive(Serialize, Deserialize, ToSchema)]
struct List {
    /// One group a line, words between commas; lines that begin with `#` are remarks.
    text: String,
}

/// Words of one meaning.
#[utoipa::path(get, path = "/api/v1/synonyms", tag = "search", responses((status = 200, body = List), (status = 403)))]
async fn show(State(app): State<App>, Admin(_): Admin) -> Handled<Json<List>> {
    Ok(Json(List { text: app.store.synonyms().await? }))
}

#[derive(Serialize, ToSchema)]
struct Replaced {
    groups: usize,
}

/// Replaces the words of one meaning; a list with a faulty line changes nothing.
#[utoipa::path(put, path = "/api/v1/synonyms", tag = "search", request_body = List,
    responses((status = 200, body = Replaced), (status = 403), (status = 422)))]
async fn replace(State(app): State<App>, Admin(reader): Admin, Body(list): Body<List>) -> Handled<Json<Replaced>> {
    if let Some(fault) = Synonyms::faults(&list.text).into_iter().next() {
        return Err(Failure::invalid("text", format!("{}째 줄: {}", fault.line, fault.reason)));
    }
    let synonyms = Synonyms::parse(&list.text);
    let groups = synonyms.len();
    app.store.set_synonyms(reader.scope(), &list.text, groups).await?;
    app.set_synonyms(synonyms);
    Ok(Json(Replaced { groups }))
}

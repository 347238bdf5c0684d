//! Search over everything that the reader may read.

use crate::app::App;
use crate::auth::Reader;
use crate::blocking;
use crate::error::{Failure, Handled};
use crate::find;
use crate::ingest::Rebuild;
use axum::Json;
use axum::extract::{Query, State};
use madang_domain::Passage;
use madang_search::Explanation;
use madang_store::auth::parse_id;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Most hits of one answer.
const MAX_HITS: usize = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Deserialize, IntoParams)]
struct Asked {
    /// What to look for.
    #[serde(default)]
    q: String,
    /// At most 100; 10 if absent.
    limit: Option<usize>,
    /// Only in this collection.
    collection: Option<String>,
}

#[derive(Serialize)]
struct Hit {
    #[serde(flatten)]
    passage: Passage,
    score: f32,
    /// Its meaning is near, whether or not it shares words with the question.
    near: bool,
    /// Log-odds that it answers the question, where a ranking model read it: such hits stand first, by this.
    #[serde(skip_serializing_if = "Option::is_none")]
    relevance: Option<f32>,
    /// Which words of the question stand where, and how much of it that is.
    why: Explanation,
    /// Passages that say the same.
    also: Vec<Passage>,
}

#[derive(Serialize)]
struct Answer {
    hits: Vec<Hit>,
    ms: u64,
    /// Present while the index is being filled again: hits may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<Rebuild>,
}

/// Passages for a question, best first.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(Asked), responses((status = 200, body = Object), (status = 404), (status = 422)))]
async fn search(State(app): State<App>, reader: Reader, Query(asked): Query<Asked>) -> Handled<Json<Answer>> {
    let q = asked.q.trim();
    if q.is_empty() || q.chars().count() > find::MAX_QUERY {
        return Err(Failure::invalid("q", format!("찾을 말을 1~{}자로 적어 주세요.", find::MAX_QUERY)));
    }
    let within = match &asked.collection {
        Some(id) => Some([app.store.collection_summary(reader.scope(), parse_id(id)?).await?.id]),
        None => None,
    };
    let limit = asked.limit.unwrap_or(10).min(MAX_HITS);
    let found = find::passages(&app, reader.scope(), q, within.as_ref().map(<[_; 1]>::as_slice), limit).await?;
    let ms = found.ms;
    let (question, words) = (q.to_owned(), app.synonyms());
    let hit = move |f: find::Found| Hit {
        why: find::why(&words, &question, &f.passage),
        passage: f.passage,
        score: f.score,
        near: f.near,
        relevance: f.relevance,
        also: f.also,
    };
    let hits = blocking::run(move || found.hits.into_iter().map(hit).collect()).await.map_err(Failure::internal)?;
    Ok(Json(Answer { hits, ms, rebuild: app.ingest.rebuild() }))
}

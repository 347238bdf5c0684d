//! The search page: passages of everything that the reader may read, apps of the store, runs of their own.

use super::{encode, page, when};
use crate::app::App;
use crate::auth::Reader;
use crate::catalogue;
use crate::error::Handled;
use crate::find::{self, Findings, Found};
use crate::frame::{Page, frame, render};
use crate::ingest::Rebuild;
use crate::snippet::snippet;
use crate::views::search::{Hit, RunHit, SearchPage};
use crate::views::{AppCard, Pager};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_search::Field;
use madang_store::runs::RunFilter;
use serde::Deserialize;

const PER_PAGE: usize = 20;
/// Hits looked at: what is not among them will not be found by paging on.
const MOST: usize = 200;
/// Apps and runs shown beside the passages.
const BESIDE: usize = 5;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/search", search)]
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    page: Option<usize>,
}

async fn search(State(app): State<App>, reader: Reader, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let q: String = asked.q.trim().chars().take(find::MAX_QUERY).collect();
    let empty = Findings { hits: Vec::new(), ms: 0 };
    let Findings { hits, ms } =
        if q.is_empty() { empty } else { find::passages(&app, reader.scope(), &q, None, MOST).await? };
    let pages = hits.len().div_ceil(PER_PAGE).max(1);
    let current = asked.page.unwrap_or(1).clamp(1, pages);
    let link = |n: usize| format!("/search?q={}&page={n}", encode(&q));
    render(SearchPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        apps: apps(&app, &reader, &q).await?,
        hits: hits.into_iter().skip((current - 1) * PER_PAGE).take(PER_PAGE).map(|f| hit(&app, f, &q)).collect(),
        runs: runs(&app, &reader, &q).await?,
        ms,
        pager: Pager {
            page: current,
            pages,
            previous: (current > 1).then(|| link(current - 1)),
            next: (current < pages).then(|| link(current + 1)),
        },
        rebuilding: app.ingest.rebuild().as_ref().map(Rebuild::percent),
        q,
    })
}

async fn apps(app: &App, reader: &Reader, q: &str) -> Handled<Vec<AppCard>> {
    if q.is_empty() {
        return Ok(Vec::new());
    }
    let offered = catalogue::offered(app, reader.scope(), q).await?;
    Ok(offered.iter().take(BESIDE).map(|a| catalogue::card(a, reader.lang)).collect())
}

async fn runs(app: &App, reader: &Reader, q: &str) -> Handled<Vec<RunHit>> {
    if q.is_empty() {
        return Ok(Vec::new());
    }
    let filter = RunFilter { text: Some(q.to_owned()), app: None };
    let (runs, _) = app.store.runs(reader.scope(), &filter, BESIDE as i64, 0).await?;
    let now = app.store.now();
    Ok(runs
        .into_iter()
        .map(|r| RunHit {
            id: r.id,
            title: r.title,
            detail: r.inputs.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join(" · "),
            when: when::ago(r.started_at, now, reader.lang),
        })
        .collect())
}

/// Where a word stands, in Korean.
fn place(field: Field) -> &'static str {
    match field {
        Field::Title => "제목",
        Field::Heading => "소제목",
        Field::Text => "본문",
    }
}

/// Log-odds as a probability of 0 to 100.
fn percent(log_odds: f32) -> u8 {
    (100.0 / (1.0 + (-log_odds).exp())).round() as u8
}

fn hit(app: &App, found: Found, q: &str) -> Hit {
    let Found { passage: p, also, relevance, near, .. } = found;
    let why = find::why(&app.synonyms(), q, &p);
    let mut words = Vec::new();
    let mut missing = Vec::new();
    for word in why.words {
        match (word.fields.is_empty(), word.instead.is_empty()) {
            (false, _) => words.push((word.word, word.fields.into_iter().map(place).collect())),
            (true, false) => words.push((format!("{} ≈ {}", word.word, word.instead.join(", ")), vec!["같은 말"])),
            (true, true) => missing.push(word.word),
        }
    }
    Hit {
        found: words,
        missing,
        near,
        relevance: relevance.map(percent),
        also: also.into_iter().map(|p| (p.id, p.document, p.document_title)).collect(),
        passage: p.id,
        document: p.document,
        document_title: p.document_title,
        collection_name: p.collection_name,
        grade: p.grade,
        heading: p.heading_path.last().cloned().unwrap_or_default(),
        page: p.page,
        page_estimated: p.page_estimated,
        pieces: snippet(&p.text, q),
    }
}

//! The search page: passages of everything that the reader may read.

use super::{encode, page};
use crate::app::App;
use crate::auth::Reader;
use crate::find::{self, Found};
use crate::frame::{Page, frame, render};
use crate::ingest::Rebuild;
use crate::snippet::snippet;
use crate::views::Pager;
use crate::views::search::{Hit, SearchPage};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use serde::Deserialize;

const PER_PAGE: usize = 20;
/// Hits looked at: what is not among them will not be found by paging on.
const MOST: usize = 200;

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
    let (hits, ms) = if q.is_empty() {
        (Vec::new(), 0)
    } else {
        let found = find::passages(&app, reader.scope(), &q, None, MOST).await?;
        (found.hits, found.ms)
    };
    let pages = hits.len().div_ceil(PER_PAGE).max(1);
    let current = asked.page.unwrap_or(1).clamp(1, pages);
    let link = |n: usize| format!("/search?q={}&page={n}", encode(&q));
    render(SearchPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        apps: Vec::new(),
        hits: hits.into_iter().skip((current - 1) * PER_PAGE).take(PER_PAGE).map(|f| hit(f, &q)).collect(),
        runs: Vec::new(),
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

fn hit(found: Found, q: &str) -> Hit {
    let p = found.passage;
    Hit {
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

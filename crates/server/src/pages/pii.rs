//! Looking for personal data in a text, for everybody; the body's own dictionary, for security officers.

use super::{page, when};
use crate::api::tools::{MAX_DOCUMENT, MAX_TEXT};
use crate::app::App;
use crate::auth::{Reader, Security};
use crate::frame::{Page, frame, render};
use crate::views::JsonIsland;
use crate::views::pii::{DictionaryPage, LookPage, RevisionRow};
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;
use serde_json::json;

/// Changes of the dictionary that are listed.
const LISTED: i64 = 20;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/tools/pii", look), page("/review/dictionary", dictionary)]
}

async fn look(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let (max_text, max_document) = (MAX_TEXT, MAX_DOCUMENT);
    render(LookPage { frame: frame(&app, &reader, &uri).await?, l: reader.lang, max_text, max_document })
}

async fn dictionary(State(app): State<App>, Security(reader): Security, uri: Uri) -> Page {
    let (revision, dictionary) = app.gateway.dictionary(reader.scope()).await?;
    let revisions = app.store.dictionary_revisions(reader.scope(), LISTED).await?;
    render(DictionaryPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        data: JsonIsland::new(&json!({ "revision": revision, "rules": dictionary.rules })),
        revisions: revisions
            .into_iter()
            .map(|r| RevisionRow {
                revision: r.revision,
                when: when::date_time(r.at),
                by: r.by,
                rules: r.rules,
                terms: r.terms,
                patterns: r.patterns,
                reason: r.reason,
            })
            .collect(),
    })
}

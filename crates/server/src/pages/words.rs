//! Words of one meaning, for the admin.

use super::page;
use crate::app::App;
use crate::auth::Admin;
use crate::frame::{Page, frame, render};
use crate::views::admin::WordsPage;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::MethodRouter;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin/words", words)]
}

async fn words(State(app): State<App>, Admin(reader): Admin, uri: Uri) -> Page {
    let text = app.store.synonyms().await?;
    render(WordsPage { frame: frame(&app, &reader, &uri).await?, l: reader.lang, groups: app.synonyms().len(), text })
}

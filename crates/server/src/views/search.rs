//! Search over everything that the reader may read.

use super::{AppCard, Frame, Lang, Pager};
use askama::Template;
use madang_domain::{DocumentId, Grade, PassageId, RunId};

/// `/search?q=`
#[derive(Template)]
#[template(path = "search.html")]
pub struct SearchPage {
    pub frame: Frame,
    pub l: Lang,
    pub q: String,
    pub apps: Vec<AppCard>,
    pub hits: Vec<Hit>,
    pub runs: Vec<RunHit>,
    /// Milliseconds that the index took.
    pub ms: u64,
    pub pager: Pager,
    /// Percent done while the index is being filled again: hits may be missing.
    pub rebuilding: Option<u8>,
}

/// A passage found.
pub struct Hit {
    pub passage: PassageId,
    pub document: DocumentId,
    pub document_title: String,
    pub collection_name: String,
    pub grade: Grade,
    pub heading: String,
    pub page: Option<u32>,
    pub page_estimated: bool,
    /// Text in pieces; `true` ones match the question.
    pub pieces: Vec<(bool, String)>,
    /// Words of the question that stand in it, each with where, in Korean, through [`Lang::t`].
    pub found: Vec<(String, Vec<&'static str>)>,
    /// Words of the question that do not.
    pub missing: Vec<String>,
    /// Its meaning is near.
    pub near: bool,
    /// How surely it answers the question, per cent, where a ranking model read it.
    pub relevance: Option<u8>,
    /// Other documents that say the same: passage, document, title.
    pub also: Vec<(PassageId, DocumentId, String)>,
}

/// A run of my own.
pub struct RunHit {
    pub id: RunId,
    pub title: String,
    pub detail: String,
    pub when: String,
}

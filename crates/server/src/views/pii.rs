//! Looking for personal data, and the dictionary of the body's own words.

use super::{Frame, JsonIsland, Lang};
use askama::Template;

/// `/tools/pii`
#[derive(Template)]
#[template(path = "tools_pii.html")]
pub struct LookPage {
    pub frame: Frame,
    pub l: Lang,
    /// Characters.
    pub max_text: usize,
    /// Bytes.
    pub max_document: usize,
}

/// `/review/dictionary`
#[derive(Template)]
#[template(path = "dictionary.html")]
pub struct DictionaryPage {
    pub frame: Frame,
    pub l: Lang,
    /// `{revision, rules}`
    pub data: JsonIsland,
    /// The newest first.
    pub revisions: Vec<RevisionRow>,
}

pub struct RevisionRow {
    pub revision: i64,
    pub when: String,
    pub by: String,
    pub rules: usize,
    pub terms: usize,
    pub patterns: usize,
    pub reason: String,
}

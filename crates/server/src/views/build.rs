//! The builder: where an app is asked for, and its design sheet.

use super::{Frame, JsonIsland, Lang};
use askama::Template;
use madang_domain::{AppId, CollectionId, DesignSheet, DraftId, Grade};
use serde::Serialize;

/// `/build`
#[derive(Template)]
#[template(path = "build_start.html")]
pub struct BuildStartPage {
    pub frame: Frame,
    pub l: Lang,
    /// Words brought from home; may be empty.
    pub prompt: String,
    pub examples: Vec<String>,
    pub drafts: Vec<DraftRow>,
    pub mine: Vec<MyAppRow>,
}

/// An unfinished sheet of mine.
pub struct DraftRow {
    pub id: DraftId,
    pub title: String,
    pub purpose: String,
    pub changed: String,
}

/// An app of mine or of my post.
pub struct MyAppRow {
    pub id: AppId,
    pub title: String,
    pub version: u32,
    /// Korean, through [`Lang::t`]: "나만 씀", "승인 대기", "공개됨", "반려됨".
    pub state: &'static str,
    pub grade: Grade,
    pub uses: usize,
    pub changed: String,
}

/// `/build/{draft}`
#[derive(Template)]
#[template(path = "builder.html")]
pub struct BuilderPage {
    pub frame: Frame,
    pub l: Lang,
    pub draft: DraftId,
    /// The app this draft becomes a version of; `None` before the first save.
    pub app: Option<AppId>,
    /// Latest saved version.
    pub version: Option<u32>,
    pub sheet: DesignSheet,
    /// Made by [`BuilderPage::island`].
    pub data: JsonIsland,
    /// What the composer understood, as short Korean sentences.
    pub understood: Vec<String>,
    /// What it filled in without being told.
    pub guessed: Vec<String>,
    /// Highest grade among the sources.
    pub grade: Grade,
    pub engine_label: String,
    pub engine_generates: bool,
    /// Title of the app this one was forked from.
    pub forked_from: Option<(AppId, String)>,
    /// Why the manager sent it back, if that is the last word.
    pub returned: Option<String>,
}

/// What `builder.js` starts from.
#[derive(Serialize)]
pub struct BuilderData<'a> {
    pub draft: DraftId,
    pub app: Option<AppId>,
    /// Counts up with each save; sent back so that a second editor is noticed.
    pub revision: i64,
    pub sheet: &'a DesignSheet,
    /// At most three.
    pub questions: Vec<Question>,
    /// Collections that the author may read.
    pub collections: Vec<CollectionChoice>,
    /// Values to try the form with.
    pub example: std::collections::BTreeMap<String, String>,
}

/// Something that the composer would like to know.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    pub id: String,
    pub text: String,
    /// Answers to press.
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CollectionChoice {
    pub id: CollectionId,
    pub name: String,
    pub grade: Grade,
    pub documents: usize,
}

impl BuilderPage {
    pub fn island(data: &BuilderData<'_>) -> JsonIsland {
        JsonIsland::new(data)
    }
}

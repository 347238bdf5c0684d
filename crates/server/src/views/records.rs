//! My records: what I ran.

use super::{Choice, Frame, Lang, Pager};
use askama::Template;
use madang_domain::{Grade, RunId};

/// `/records`
#[derive(Template)]
#[template(path = "records.html")]
pub struct RecordsPage {
    pub frame: Frame,
    pub l: Lang,
    pub q: String,
    /// Apps that I ran.
    pub apps: Vec<Choice>,
    pub rows: Vec<RunRow>,
    pub total: usize,
    pub pager: Pager,
}

pub struct RunRow {
    pub id: RunId,
    pub app_title: String,
    pub version: u32,
    /// First words of the inputs.
    pub asked: String,
    /// First words of the answer.
    pub answer: String,
    pub grade: Grade,
    pub engine_label: String,
    /// Korean, through [`Lang::t`].
    pub state: &'static str,
    pub citations: usize,
    pub when: String,
}

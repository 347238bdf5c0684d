//! Home and the page that says what went wrong.

use super::{AppCard, Frame, Lang};
use askama::Template;

/// `/`
#[derive(Template)]
#[template(path = "home.html")]
pub struct HomePage {
    pub frame: Frame,
    pub l: Lang,
    /// Three prompts that fit the department.
    pub examples: Vec<String>,
    /// My last runs and drafts, newest first.
    pub resume: Vec<ResumeItem>,
    /// Used most by my department.
    pub popular: Vec<AppCard>,
    pub newest: Vec<AppCard>,
    pub waiting: Vec<WaitingItem>,
    /// Korean label of the engine that answers now: "인용 엔진".
    pub engine_label: String,
}

/// Something to go on with.
pub struct ResumeItem {
    pub title: String,
    /// A draft of mine; otherwise a run.
    pub draft: bool,
    /// One quiet line: the question asked, the sheet's purpose.
    pub detail: String,
    pub when: String,
    pub href: String,
}

/// Something that waits for me.
pub struct WaitingItem {
    /// Korean word for its kind, through [`Lang::t`]: "공유 승인", "외부호출", "반려된 앱".
    pub kind: &'static str,
    pub title: String,
    pub detail: String,
    pub when: String,
    pub href: String,
}

/// Any failure of a page. Works with and without a signed-in reader.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub l: Lang,
    pub body_name: String,
    /// HTTP status.
    pub status: u16,
    /// Korean heading in plain words, already translated.
    pub title: String,
    /// What happened and what to do, already translated.
    pub message: String,
    /// For the record, shown small: lets an administrator find the log line.
    pub reference: Option<String>,
}

//! The store and an app's own page.

use super::{AppCard, Choice, Frame, Lang, Pager, SafeHtml};
use askama::Template;
use madang_domain::{AppId, AppVersionId, Grade, SubmissionId};

/// `/store`
#[derive(Template)]
#[template(path = "store.html")]
pub struct StorePage {
    pub frame: Frame,
    pub l: Lang,
    pub q: String,
    /// Task kinds; labels through [`Lang::t`].
    pub tasks: Vec<Choice>,
    pub departments: Vec<Choice>,
    pub grades: Vec<Choice>,
    /// Values `used`, `newest`, `rated`; labels through [`Lang::t`].
    pub sorts: Vec<Choice>,
    /// Only apps whose sources I may read.
    pub ready_only: bool,
    pub totals: StoreTotals,
    /// Without search or filter.
    pub shelves: Vec<Shelf>,
    /// With search or filter; `None` shows the shelves.
    pub results: Option<Vec<AppCard>>,
    pub result_count: usize,
    pub pager: Pager,
}

/// City-wide figures of reuse.
pub struct StoreTotals {
    pub apps: usize,
    /// Departments that ran another department's app this month.
    pub departments_reusing: usize,
    pub runs_this_month: usize,
    /// As users estimated; `None` before anyone did.
    pub hours_saved: Option<String>,
}

/// A row of cards.
pub struct Shelf {
    /// Through [`Lang::t`].
    pub title: String,
    /// The same selection as a filtered page.
    pub href: String,
    pub apps: Vec<AppCard>,
}

/// `/apps/{id}`
#[derive(Template)]
#[template(path = "app.html")]
pub struct AppPage {
    pub frame: Frame,
    pub l: Lang,
    pub card: AppCard,
    /// Post that owns it: "정보통신과 주무관".
    pub owner_post: String,
    /// Person who made this version.
    pub made_by: String,
    pub published: Option<String>,
    /// A version of it is in the store.
    pub in_store: bool,
    pub engine_label: String,
    /// Outside calls are allowed on request.
    pub outside_allowed: bool,
    /// "전체 실행 중 0.4%"; `None` before the first run.
    pub outside_rate: Option<String>,
    /// Uses this month by department, most first.
    pub usage: Vec<DepartmentUse>,
    pub sentences: Vec<String>,
    pub sources: Vec<SourceRow>,
    pub output: String,
    pub schedule: Option<String>,
    pub example: Option<Example>,
    pub versions: Vec<VersionRow>,
    pub forked_from: Option<(AppId, String)>,
    pub forks: Vec<(AppId, String, String)>,
    pub ratings: Vec<Rating>,
    /// My own stars, 1 to 5.
    pub my_stars: Option<u8>,
    pub my_comment: String,
    /// I may rate it: I ran it.
    pub can_rate: bool,
    /// I am of the owning department.
    pub can_edit: bool,
    /// Number of the latest version, when I may ask for it to be shared.
    pub to_submit: Option<u32>,
    /// Waiting or returned, for the owning department.
    pub submission: Option<(SubmissionId, String)>,
}

pub struct DepartmentUse {
    pub department: String,
    pub uses: usize,
    /// Largest `uses` in the list, for the bar.
    pub of: usize,
}

pub struct SourceRow {
    pub name: String,
    pub grade: Grade,
    pub documents: usize,
    /// I may read it.
    pub readable: bool,
}

/// What goes in and what comes out.
pub struct Example {
    /// Label and value of each field.
    pub inputs: Vec<(String, String)>,
    /// What this reader would get.
    pub output: SafeHtml,
}

pub struct VersionRow {
    pub id: AppVersionId,
    pub number: u32,
    pub when: String,
    pub by: String,
    /// The one in the store.
    pub current: bool,
    /// A manager approved it once and I am of the owning department.
    pub can_roll_back: bool,
    pub note: String,
    /// Against the version before; empty for the first.
    pub changes: Vec<SentenceChange>,
}

pub struct SentenceChange {
    /// `added`, `removed` or `same`.
    pub kind: &'static str,
    pub text: String,
}

pub struct Rating {
    pub stars: u8,
    pub comment: String,
    pub name: String,
    pub department: String,
    pub when: String,
}

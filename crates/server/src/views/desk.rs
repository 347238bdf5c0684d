//! The reviewer's desk: the list of outside calls, anomalies, monthly reviews and figures, retention, evidence.

use super::{Choice, Frame, Lang, Pager};
use crate::desk::evidence::Section;
use askama::Template;
use madang_domain::{AppId, ExternalCallId, Grade};

/// `/review/calls`
#[derive(Template)]
#[template(path = "desk_calls.html")]
pub struct CallsPage {
    pub frame: Frame,
    pub l: Lang,
    pub rows: Vec<CallLine>,
    pub total: usize,
    pub pager: Pager,
    pub person: String,
    pub departments: Vec<Choice>,
    pub apps: Vec<Choice>,
    pub providers: Vec<Choice>,
    pub grades: Vec<Choice>,
    pub kinds: Vec<Choice>,
    pub verdicts: Vec<Choice>,
    pub states: Vec<Choice>,
    pub from: String,
    pub to: String,
    /// Filters as an address has them, without page and end: `state=sent&`.
    pub kept: String,
    /// Filters as names and values, for the export.
    pub given: Vec<(&'static str, String)>,
    /// Unix milliseconds of the newest call shown: what is newer is new.
    pub newest: i64,
    /// How the last search in sealed texts is bounded, calls.
    pub search_calls: usize,
}

pub struct CallLine {
    pub id: ExternalCallId,
    pub when: String,
    pub who: String,
    pub department: String,
    pub app: String,
    pub provider: String,
    pub host: String,
    pub grade: Grade,
    /// Kinds with how many.
    pub found: String,
    pub verdict: &'static str,
    pub state: String,
    pub left: bool,
    pub erased: bool,
}

/// `/review/anomalies`
#[derive(Template)]
#[template(path = "desk_anomalies.html")]
pub struct AnomaliesPage {
    pub frame: Frame,
    pub l: Lang,
    pub days: i64,
    pub open: Vec<AnomalyCard>,
    pub seen: Vec<AnomalyCard>,
    pub thresholds: Vec<(&'static str, String)>,
}

pub struct AnomalyCard {
    pub key: String,
    /// Korean, through [`Lang::t`].
    pub kind: &'static str,
    pub severity: &'static str,
    pub grave: bool,
    pub when: String,
    pub who: String,
    pub sentence: String,
    pub advice: &'static str,
    pub calls: Vec<ExternalCallId>,
    /// Calls beyond those that are linked.
    pub more: usize,
    /// Who looked at it, when, and the note.
    pub seen: Option<(String, String, String)>,
}

/// `/review/monthly`
#[derive(Template)]
#[template(path = "desk_months.html")]
pub struct MonthsPage {
    pub frame: Frame,
    pub l: Lang,
    pub months: Vec<MonthRow>,
}

pub struct MonthRow {
    /// `2026-11`
    pub month: String,
    pub name: String,
    pub calls: usize,
    /// Picks and how many were looked at; `None` before the sample was drawn.
    pub picks: Option<(i64, i64)>,
    pub signed: Option<(String, String)>,
    pub over: bool,
}

/// `/review/monthly/{month}`
#[derive(Template)]
#[template(path = "desk_monthly.html")]
pub struct MonthlyPage {
    pub frame: Frame,
    pub l: Lang,
    pub month: String,
    pub name: String,
    pub calls: usize,
    pub over: bool,
    pub sample: Option<SampleView>,
    pub picks: Vec<PickRow>,
}

pub struct SampleView {
    pub checkpoint: i64,
    pub seed: String,
    pub drawn: (String, String),
    pub signed: Option<(String, String)>,
    pub summary: String,
    pub looked_at: i64,
    pub sound: usize,
    pub questions: usize,
    pub faults: usize,
    pub strata: Vec<StratumRow>,
}

impl SampleView {
    pub fn percent(&self, of: usize) -> i64 {
        i64::try_from(of).ok().filter(|n| *n > 0).map_or(100, |n| self.looked_at * 100 / n)
    }
}

pub struct StratumRow {
    pub department: String,
    pub decision: &'static str,
    pub grade: Grade,
    pub calls: usize,
    pub picked: usize,
}

pub struct PickRow {
    pub call: ExternalCallId,
    pub when: String,
    pub who: String,
    pub app: String,
    pub provider: String,
    pub grade: Grade,
    pub state: String,
    pub why: String,
    pub verdict: Option<&'static str>,
    pub fault: bool,
    pub note: String,
    pub reviewed: Option<(String, String)>,
    pub may_review: bool,
}

/// `/review/month/{month}`
#[derive(Template)]
#[template(path = "desk_month.html")]
pub struct MonthPage {
    pub frame: Frame,
    pub l: Lang,
    pub month: String,
    pub name: String,
    pub before: (String, String),
    pub after: Option<(String, String)>,
    pub runs: String,
    pub runs_outside: String,
    /// Share of the runs in percent with one decimal.
    pub share: Option<String>,
    pub asked: String,
    pub left: String,
    pub denied: String,
    pub reused: String,
    pub won: String,
    pub tokens: String,
    pub trigger: BarChart,
    pub departments: BarChart,
    pub apps: BarChart,
    pub providers: BarChart,
    pub app_rows: Vec<ShareRow>,
    pub department_rows: Vec<ShareRow>,
    pub provider_rows: Vec<ShareRow>,
    pub avoidable: Vec<AvoidRow>,
}

pub struct ShareRow {
    pub name: String,
    pub asked: u64,
    pub left: u64,
    pub won: String,
    /// Share of the app's runs, in words; empty for others.
    pub share: String,
}

pub struct AvoidRow {
    pub app: AppId,
    pub title: String,
    pub calls: u64,
    pub advice: String,
}

/// Horizontal bars, drawn by the server: 360 units wide, one row of [`BarChart::ROW`] units for each.
pub struct BarChart {
    /// Distinguishes the titles of several charts on a page.
    pub id: &'static str,
    pub title: String,
    pub desc: String,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub label: String,
    pub value: String,
    pub label_y: usize,
    pub bar_y: usize,
    pub value_y: usize,
    pub width: u64,
    pub value_x: u64,
}

impl BarChart {
    pub const ROW: usize = 44;
    const WIDEST: u64 = 300;
    const LABEL: usize = 28;
    const MOST: usize = 10;

    /// Bars for the first ten of names with their values, the longest for the largest.
    pub fn new(id: &'static str, title: &str, desc: &str, rows: &[(String, u64)]) -> Self {
        let largest = rows.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
        let bar = |(i, (name, n)): (usize, &(String, u64))| {
            let width = (n * Self::WIDEST).div_ceil(largest);
            let cut: String = name.chars().take(Self::LABEL).collect();
            let more = if cut.len() < name.len() { "…" } else { "" };
            Bar {
                label: format!("{cut}{more}"),
                value: madang_policy::money::grouped(*n),
                label_y: i * Self::ROW + 14,
                bar_y: i * Self::ROW + 20,
                value_y: i * Self::ROW + 32,
                width,
                value_x: width + 8,
            }
        };
        Self {
            id,
            title: title.to_owned(),
            desc: desc.to_owned(),
            bars: rows.iter().take(Self::MOST).enumerate().map(bar).collect(),
        }
    }

    pub fn height(&self) -> usize {
        self.bars.len() * Self::ROW
    }
}

/// `/review/retention`
#[derive(Template)]
#[template(path = "desk_retention.html")]
pub struct RetentionPage {
    pub frame: Frame,
    pub l: Lang,
    pub kinds: Vec<KeptKind>,
    pub least: i64,
    pub most: i64,
    /// Of all kinds.
    pub due: usize,
    pub targets: Vec<Choice>,
    /// What waits for a second person.
    pub proposals: Vec<KeepingRow>,
    pub holds: Vec<HoldRow>,
    pub erasures: Vec<ErasureRow>,
}

/// A kind of texts with its period.
pub struct KeptKind {
    pub key: &'static str,
    /// Korean, through [`Lang::t`].
    pub name: &'static str,
    pub days: i64,
    pub changed: Option<(String, String)>,
    pub kept: usize,
    pub gone: usize,
    pub due: usize,
}

pub struct KeepingRow {
    pub id: String,
    /// A sentence.
    pub what: String,
    pub reason: String,
    /// Who proposed it and when.
    pub by: (String, String),
    pub own: bool,
    pub may_decide: bool,
}

pub struct HoldRow {
    pub id: String,
    pub target: &'static str,
    pub subject: String,
    pub reason: String,
    pub placed: (String, String),
    pub lifted: Option<(String, String, String)>,
}

pub struct ErasureRow {
    pub id: String,
    /// Korean, through [`Lang::t`].
    pub kind: &'static str,
    pub when: String,
    pub items: i64,
    pub period: String,
    pub digest: String,
    pub seq: i64,
    pub holds: bool,
}

/// `/review/evidence`
#[derive(Template)]
#[template(path = "desk_evidence.html")]
pub struct EvidencePage {
    pub frame: Frame,
    pub l: Lang,
    pub when: String,
    pub sections: Vec<Section>,
    /// The link to the body's monitoring, in words; `None` where none is set.
    pub siem: Option<(String, bool)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_and_are_ten_at_most() {
        let rows: Vec<_> = (0..20)
            .map(|n| ("이름이 아주 길어서 자리를 넘치는 부서의 이름입니다 정말로".to_owned(), n * 1000))
            .collect();
        let chart = BarChart::new("x", "제목", "설명", &rows);
        assert_eq!((chart.bars.len(), chart.height()), (10, 440));
        assert!(chart.bars.iter().all(|b| b.width <= 300 && b.label.ends_with('…')));
        assert_eq!(BarChart::new("x", "", "", &[("없음".to_owned(), 0)]).bars.first().map(|b| b.width), Some(0));
    }
}

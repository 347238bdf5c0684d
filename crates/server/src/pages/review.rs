//! The desk: submissions for managers, with what their approver weighs. Outside calls join it from `outside`.

use super::{changes, outside, page, policy, when};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Failure;
use crate::frame::{Page, frame, render};
use crate::views::Lang;
use crate::views::review::{CheckRow, DecidedRow, ReviewPage, SubmissionPage, SubmissionRow};
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{DesignSheet, Grade, OutsideCalls, Role, Source};
use madang_registry::leak::leaks;
use madang_store::auth::parse_id;
use madang_store::sharing::{Readers, SourceReaders, Submission, SubmissionState};

/// Last decisions on outside calls shown.
const DECIDED: i64 = 10;
/// Departments named in a line before the rest are counted.
const NAMED: usize = 6;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/review", desk), page("/review/submissions/{id}", submission)]
}

async fn desk(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    // A policy may name others than security officers: whoever decides sees what waits.
    let calls = outside::waiting_rows(&app, scope, l).await?;
    if !scope.has_role(Role::Manager) && !scope.has_role(Role::Security) && calls.is_empty() {
        return Err(Failure::denied("부서장과 보안담당이 보는 화면입니다."));
    }
    let now = app.store.now();
    let waiting = app.store.submissions_to_decide(scope).await?;
    let decided = app.store.submissions_decided(scope).await?;
    let mut decisions: Vec<_> =
        decided.iter().map(|s| (s.decided_at.unwrap_or(s.created_at), decided_row(s, now, l))).collect();
    let mut ledger = None;
    let ledger_reader = scope.has_role(Role::Security) && reader.session().is_some();
    if ledger_reader {
        decisions.extend(outside::decided_rows(&app, scope, DECIDED, l).await?);
        ledger = Some(outside::ledger_health(&app).await?);
    }
    decisions.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    render(ReviewPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        submissions: waiting.iter().map(|s| row(s, now, l)).collect(),
        calls,
        decided: decisions.into_iter().map(|(_, row)| row).collect(),
        ledger,
        keeping: if ledger_reader { app.store.keeping_proposals(scope).await?.len() } else { 0 },
        officers: policy::desk_officers(&app, &reader).await?,
    })
}

fn row(s: &Submission, now: i64, l: Lang) -> SubmissionRow {
    SubmissionRow {
        id: s.id,
        title: s.title.clone(),
        by: s.submitter_name.clone(),
        department: s.department_name.clone(),
        version: s.number,
        grade: s.grade,
        when: when::ago(s.created_at, now, l),
    }
}

fn decided_row(s: &Submission, now: i64, l: Lang) -> DecidedRow {
    DecidedRow {
        title: s.title.clone(),
        href: format!("/review/submissions/{}", s.id),
        decision: s.state.korean(),
        by: s.decided_by.clone().unwrap_or_default(),
        when: when::ago(s.decided_at.unwrap_or(s.created_at), now, l),
    }
}

async fn submission(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let detail = app.store.submission(scope, parse_id(&id)?).await?;
    let s = &detail.submission;
    let old = detail.published.as_ref().map(|(_, sheet)| sheet);
    let decided = (s.state != SubmissionState::Waiting).then(|| (s.state.korean(), decision_words(s)));
    render(SubmissionPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        id: s.id,
        app: s.app,
        row: row(s, app.store.now(), l),
        purpose: s.purpose.clone(),
        note: s.note.clone(),
        sentences: changes::with_sentences(old, &s.sheet),
        first_version: old.is_none(),
        sources: source_lines(&s.sheet, &detail.sources, l),
        outside_allowed: s.sheet.outside == OutsideCalls::Ask,
        checks: checks(&s.sheet, &detail.sources, l),
        can_decide: s.can_decide,
        can_withdraw: s.state == SubmissionState::Waiting && !s.can_decide,
        decided,
    })
}

fn decision_words(s: &Submission) -> String {
    let mut words =
        vec![s.decided_by.clone().unwrap_or_default(), s.decided_at.map(when::date_time).unwrap_or_default()];
    words.push(s.reason.clone());
    words.retain(|w| !w.is_empty());
    words.join(" · ")
}

fn source_lines(sheet: &DesignSheet, sources: &[SourceReaders], l: Lang) -> Vec<(String, Option<Grade>, String)> {
    let readable = sheet.sources.contains(&Source::Readable).then(|| {
        let readers = l.t("사람마다 다릅니다. 자기가 볼 수 있는 자료에서 답을 받습니다.").to_owned();
        (l.t("쓰는 사람이 볼 수 있는 모든 자료").to_owned(), None, readers)
    });
    sources.iter().map(|r| (r.name.clone(), Some(r.grade), readers_line(r, l))).chain(readable).collect()
}

/// Who may read a source, and for whom the app will answer without it.
fn readers_line(source: &SourceReaders, l: Lang) -> String {
    match &source.readers {
        Readers::Everyone => l.t("모든 부서가 볼 수 있습니다.").to_owned(),
        Readers::Personal => l.t("한 사람의 개인 자료입니다. 다른 사람은 이 자료의 답을 받지 못합니다.").to_owned(),
        Readers::Gone => l.t("지워진 자료입니다. 아무도 이 자료의 답을 받지 못합니다.").to_owned(),
        Readers::Departments(may) if source.excluded.is_empty() => {
            l.f("{} 볼 수 있습니다. 빠지는 부서가 없습니다.", names(may, l))
        }
        Readers::Departments(may) => l.f2(
            "볼 수 있는 부서: {a}. 이 자료의 답을 받지 못하는 부서: {b}.",
            names(may, l),
            names(&source.excluded, l),
        ),
    }
}

/// "민원과, 건축과, 세무과 밖 12곳"
fn names(all: &[String], l: Lang) -> String {
    let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => l.f2("{a} 밖 {b}곳", shown, more),
    }
}

fn checks(sheet: &DesignSheet, sources: &[SourceReaders], l: Lang) -> Vec<CheckRow> {
    let found = leaks(sheet);
    let (markings, personal): (Vec<_>, Vec<_>) = found.into_iter().partition(|leak| leak.what.contains("등급 표시"));
    let listed =
        |found: Vec<madang_registry::leak::Leak>| found.into_iter().map(|f| f.what).collect::<Vec<_>>().join(", ");
    let result = |none: bool| if none { "pass" } else { "fail" };
    let closed = sources.iter().filter(|s| !s.excluded.is_empty()).count();
    let private = sources.iter().any(|s| matches!(s.readers, Readers::Personal | Readers::Gone));
    let highest = Grade::highest(sources.iter().map(|s| s.grade));
    vec![
        CheckRow {
            name: "설계서의 개인정보".into(),
            result: result(personal.is_empty()),
            detail: if personal.is_empty() { l.t("찾지 못했습니다.").to_owned() } else { listed(personal) },
        },
        CheckRow {
            name: "설계서의 등급 표시".into(),
            result: result(markings.is_empty()),
            detail: if markings.is_empty() { l.t("찾지 못했습니다.").to_owned() } else { listed(markings) },
        },
        CheckRow {
            name: "자료를 못 보는 부서".into(),
            result: match (closed, private) {
                (0, _) => "pass",
                (_, true) => "fail",
                (_, false) => "none",
            },
            detail: match (closed, private) {
                (0, _) => l.t("모든 부서가 모든 자료를 봅니다.").to_owned(),
                (_, true) => l.t("개인 자료나 지워진 자료가 있어 다른 사람은 그 답을 받지 못합니다.").to_owned(),
                (n, false) => l.f("자료 {}개에 볼 수 없는 부서가 있습니다.", n),
            },
        },
        CheckRow {
            name: "외부호출과 등급".into(),
            result: result(sheet.outside == OutsideCalls::Never || highest == Grade::Open),
            detail: match (sheet.outside, highest) {
                (OutsideCalls::Never, _) => l.t("밖으로 보내지 않습니다.").to_owned(),
                (OutsideCalls::Ask, Grade::Open) => l.t("물을 때마다 보안담당이 봅니다.").to_owned(),
                (OutsideCalls::Ask, _) => l.t("공개 등급이 아닌 자료가 있어 밖으로 보낼 수 없습니다.").to_owned(),
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_departments_are_counted() {
        let all: Vec<String> = (1..=8).map(|n| format!("{n}과")).collect();
        assert_eq!(names(&all, Lang::Ko), "1과, 2과, 3과, 4과, 5과, 6과 밖 2곳");
        assert_eq!(names(&all[..2], Lang::Ko), "1과, 2과");
    }

    #[test]
    fn readers_are_told_in_words() {
        let source = |readers, excluded: &[&str]| SourceReaders {
            name: "조례".into(),
            grade: Grade::Open,
            readers,
            excluded: excluded.iter().map(|s| (*s).to_owned()).collect(),
        };
        let line = readers_line(&source(Readers::Departments(vec!["민원과".into()]), &["건축과"]), Lang::Ko);
        assert_eq!(line, "볼 수 있는 부서: 민원과. 이 자료의 답을 받지 못하는 부서: 건축과.");
        assert_eq!(readers_line(&source(Readers::Everyone, &[]), Lang::Ko), "모든 부서가 볼 수 있습니다.");
    }
}

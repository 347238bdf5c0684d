//! My records: what I ran.

use super::{encode, page, when};
use crate::api::runs::{PAGE, filter};
use crate::app::App;
use crate::auth::Reader;
use crate::frame::{Page, frame, render};
use crate::markdown::without_citations;
use crate::views::records::{RecordsPage, RunRow};
use crate::views::{Choice, Lang, Pager};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_store::runs::RunLine;
use serde::Deserialize;

/// Characters of inputs and answer shown.
const SHOWN: usize = 140;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/records", records)]
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    app: String,
    #[serde(default)]
    page: String,
}

async fn records(State(app): State<App>, reader: Reader, uri: Uri, Query(query): Query<Asked>) -> Page {
    let (scope, l, now) = (reader.scope(), reader.lang, app.store.now());
    let at = query.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000);
    let filter = filter(Some(query.q.clone()), Some(&query.app))?;
    let (rows, total) = app.store.runs(scope, &filter, PAGE, (at - 1) * PAGE).await?;
    let mut apps = vec![Choice { value: String::new(), label: "전체".to_owned(), selected: query.app.is_empty() }];
    for (id, title) in app.store.apps_run(scope).await? {
        let value = id.to_string();
        apps.push(Choice { selected: value == query.app, value, label: title });
    }
    render(RecordsPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        apps,
        rows: rows.into_iter().map(|r| row(r, now, l)).collect(),
        total,
        pager: pager(at, total, &query),
        q: query.q,
    })
}

fn pager(at: i64, total: usize, query: &Asked) -> Pager {
    let pages = total.div_ceil(usize::try_from(PAGE).unwrap_or(1)).max(1);
    let at = usize::try_from(at).unwrap_or(1);
    let link = |page: usize| format!("/records?q={}&app={}&page={page}", encode(&query.q), encode(&query.app));
    Pager {
        page: at,
        pages,
        previous: (at > 1).then(|| link((at - 1).min(pages))),
        next: (at < pages).then(|| link(at + 1)),
    }
}

fn row(run: RunLine, now: i64, l: Lang) -> RunRow {
    let asked = run.inputs.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join(" · ");
    RunRow {
        id: run.id,
        app_title: run.title,
        version: run.version_number,
        asked: if run.erased_at.is_some() {
            l.t("글 삭제됨(보존기간 만료)").to_owned()
        } else if asked.is_empty() {
            l.t("적은 내용 없음").to_owned()
        } else {
            clip(&asked)
        },
        answer: clip(&plain(&run.answer)),
        grade: run.grade,
        engine_label: run.engine.label,
        state: run.state.korean(),
        citations: run.citations,
        when: when::ago(run.started_at, now, l),
    }
}

/// One line of at most [`SHOWN`] characters.
fn clip(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// Markdown without its marks and citations, good enough for a line in a list.
fn plain(markdown: &str) -> String {
    let markdown = without_citations(markdown);
    markdown
        .lines()
        .filter(|l| !l.trim_start().starts_with("|-"))
        .collect::<Vec<_>>()
        .join(" ")
        .replace(['*', '#', '|', '\\', '`', '>'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_plain() {
        assert_eq!(plain("## 예산\n|---|\n| **3억** |"), " 예산  3억 ");
        assert_eq!(clip(&"가 ".repeat(200)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn pages_know_their_neighbours() {
        let query = Asked { q: "예산 안".into(), app: String::new(), page: String::new() };
        let middle = pager(2, 50, &query);
        assert_eq!((middle.page, middle.pages), (2, 3));
        assert!(middle.previous.is_some_and(|p| p.ends_with("page=1") && p.contains("q=%EC")));
        assert!(pager(3, 50, &query).next.is_none() && pager(1, 0, &query).previous.is_none());
    }
}

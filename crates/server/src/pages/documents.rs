//! A document as text, passage by passage, opened at the passage that an answer cited.

use super::{page, size, when};
use crate::app::App;
use crate::auth::Reader;
use crate::frame::{Page, frame, render};
use crate::markdown;
use crate::views::Pager;
use crate::views::collections::{DocumentPage, DocumentPassage};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{DocumentId, Passage, PassageId};
use madang_store::StoreError;
use madang_store::auth::parse_id;
use madang_store::documents::{DocumentState, DocumentView};
use serde::Deserialize;
use std::ops::Range;

/// Passages on one page.
const PER_PAGE: usize = 30;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/documents/{id}", document)]
}

#[derive(Deserialize)]
struct At {
    /// Passage to open at.
    passage: Option<String>,
    /// Characters of the stored text to mark in it.
    start: Option<usize>,
    end: Option<usize>,
    page: Option<usize>,
}

async fn document(
    State(app): State<App>,
    reader: Reader,
    uri: Uri,
    Path(id): Path<String>,
    Query(at): Query<At>,
) -> Page {
    let id: DocumentId = parse_id(&id)?;
    let scope = reader.scope();
    let view = app.store.document(scope, id).await?;
    let pages = view.passages.div_ceil(PER_PAGE).max(1);
    let target: Option<PassageId> = at.passage.as_deref().and_then(|p| p.parse().ok());
    let position = match target {
        Some(passage) => match app.store.passage_position(scope, id, passage).await {
            // The document was read anew since: it opens at its beginning.
            Err(StoreError::NotFound) => None,
            position => Some(position?),
        },
        None => None,
    };
    let current = position.map_or(at.page.unwrap_or(1), |p| p / PER_PAGE + 1).clamp(1, pages);
    let passages = app.store.document_passages(scope, id, (current - 1) * PER_PAGE, PER_PAGE).await?;
    let marked = at.start.zip(at.end);
    let shown = shown(&passages, target, marked);
    let versions = app.store.document_versions(scope, id).await?;
    let version = |d: DocumentView| (d.id, d.file_name, when::date(d.created_at), d.state == DocumentState::Ready);
    render(DocumentPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        id,
        title: view.title,
        collection: view.collection,
        collection_name: view.collection_name,
        grade: view.grade,
        format: view.format,
        bytes: size::bytes(view.bytes),
        added: when::date(view.created_at),
        pages: view.pages,
        pages_estimated: view.pages_estimated,
        outline: outline(&passages),
        passages: shown,
        pager: Pager {
            page: current,
            pages,
            previous: (current > 1).then(|| format!("/documents/{id}?page={}", current - 1)),
            next: (current < pages).then(|| format!("/documents/{id}?page={}", current + 1)),
        },
        can_edit: view.can_change && scope.token().is_none(),
        superseded: view.state == DocumentState::Superseded,
        withdrawn: view.state == DocumentState::Superseded && view.superseded_by.is_none(),
        newest: versions.iter().find(|d| d.state == DocumentState::Ready).map(|d| d.id),
        versions: versions.into_iter().map(version).collect(),
    })
}

fn anchor(passage: &Passage) -> String {
    format!("p-{}", passage.id)
}

/// Headings of this page, each with its first passage.
fn outline(passages: &[Passage]) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut last: &[String] = &[];
    for passage in passages {
        if passage.heading_path != last
            && let Some(heading) = passage.heading_path.last()
        {
            out.push((heading.clone(), anchor(passage)));
        }
        last = &passage.heading_path;
    }
    out
}

fn shown(passages: &[Passage], target: Option<PassageId>, marked: Option<(usize, usize)>) -> Vec<DocumentPassage> {
    let mut last: &[String] = &[];
    passages
        .iter()
        .map(|passage| {
            let heading = new_heading(last, &passage.heading_path);
            last = &passage.heading_path;
            let is_target = target == Some(passage.id);
            let skip = heading_lines(passage);
            let body: String = passage.text.chars().skip(skip).collect();
            let marked =
                marked.filter(|_| is_target).and_then(|m| within(passage.span.start + skip, passage.span.end, m));
            DocumentPassage {
                anchor: anchor(passage),
                heading,
                page: passage.page,
                page_estimated: passage.page_estimated,
                html: markdown::passage(&body, marked),
                target: is_target,
            }
        })
        .collect()
}

/// The part of the path that the passage before did not have.
fn new_heading(last: &[String], path: &[String]) -> Option<String> {
    if last == path {
        return None;
    }
    let common = last.iter().zip(path).take_while(|(a, b)| a == b).count();
    let new = path.get(common..).filter(|new| !new.is_empty()).or_else(|| path.last().map(std::slice::from_ref))?;
    Some(new.join(" › "))
}

/// Characters of the leading lines that only repeat the headings shown above the passage; 0 if nothing would remain.
fn heading_lines(passage: &Passage) -> usize {
    let mut skipped = 0;
    for line in passage.text.split_inclusive('\n') {
        let bare = line.trim().trim_start_matches('#').trim();
        if !bare.is_empty() && !passage.heading_path.iter().any(|h| h == bare) {
            return skipped;
        }
        skipped += line.chars().count();
    }
    0
}

/// A span of the stored text as one of the text between `start` and `end`; `None` if it begins outside.
fn within(start: usize, end: usize, (from, to): (usize, usize)) -> Option<Range<usize>> {
    let from = from.checked_sub(start)?;
    let to = to.min(end).checked_sub(start)?;
    (from < to).then_some(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{CollectionId, Grade, Span};

    fn passage(path: &[&str], text: &str, start: usize) -> Passage {
        Passage {
            id: PassageId::new(),
            document: DocumentId::new(),
            document_title: "회의실 안내".into(),
            collection: CollectionId::new(),
            collection_name: "안내".into(),
            grade: Grade::Open,
            heading_path: path.iter().map(|h| (*h).to_owned()).collect(),
            page: None,
            page_estimated: false,
            text: text.into(),
            span: Span { start, end: start + text.chars().count() },
        }
    }

    #[test]
    fn marks_what_lies_in_the_passage() {
        assert_eq!(within(100, 116, (105, 111)), Some(5..11));
        assert_eq!(within(100, 116, (109, usize::MAX)), Some(9..16));
        for outside in [(0, 10), (111, 105), (90, 105), (500, 600), (usize::MAX, usize::MAX)] {
            assert_eq!(within(100, 116, outside), None, "{outside:?}");
        }
    }

    #[test]
    fn headings_stand_once() {
        let first = passage(&["안내", "1. 예약"], "# 안내\n\n## 1. 예약\n\n예약은 사흘 전까지 한다.", 100);
        let second = passage(&["안내", "2. 반납"], "## 2. 반납\n\n열쇠를 돌려준다.", 140);
        let target = Some(first.id);
        let shown = shown(&[first, second], target, Some((120, 126)));
        let headings: Vec<_> = shown.iter().filter_map(|p| p.heading.as_deref()).collect();
        assert_eq!(headings, ["안내 › 1. 예약", "2. 반납"]);
        assert!(shown.iter().all(|p| !p.html.0.contains("<h")));
        assert!(shown[0].html.0.contains("<mark>사흘 전까지</mark>"), "{}", shown[0].html);
        assert!(shown[0].target && !shown[1].target);
        let bare = passage(&["안내"], "# 안내", 0);
        assert_eq!(heading_lines(&bare), 0, "a passage is never empty");
    }
}

//! A document as text, passage by passage, opened at the passage that an answer cited.

use super::{page, size, when};
use crate::app::App;
use crate::auth::Reader;
use crate::frame::{Page, frame, render};
use crate::views::Pager;
use crate::views::collections::{DocumentPage, DocumentPassage};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{DocumentId, Passage, PassageId};
use madang_store::StoreError;
use madang_store::auth::parse_id;
use serde::Deserialize;

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

async fn document(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>, Query(at): Query<At>) -> Page {
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
        can_edit: view.can_change,
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
            let heading = (passage.heading_path != last && !passage.heading_path.is_empty())
                .then(|| passage.heading_path.join(" › "));
            last = &passage.heading_path;
            let is_target = target == Some(passage.id);
            let (before, marked, after) = split(passage, marked.filter(|_| is_target));
            DocumentPassage {
                anchor: anchor(passage),
                heading,
                page: passage.page,
                page_estimated: passage.page_estimated,
                before,
                marked,
                after,
                target: is_target,
            }
        })
        .collect()
}

/// Text before, inside and after the marked span of the stored text; all before where there is none.
fn split(passage: &Passage, marked: Option<(usize, usize)>) -> (String, String, String) {
    let inside = marked.and_then(|(start, end)| {
        let from = start.checked_sub(passage.span.start)?;
        let to = end.min(passage.span.end).checked_sub(passage.span.start)?;
        (from < to).then_some((from, to))
    });
    let Some((from, to)) = inside else { return (passage.text.clone(), String::new(), String::new()) };
    let part = |skip: usize, take: usize| passage.text.chars().skip(skip).take(take).collect();
    (part(0, from), part(from, to - from), part(to, usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{CollectionId, Grade, Span};

    fn passage(text: &str, start: usize) -> Passage {
        Passage {
            id: PassageId::new(),
            document: DocumentId::new(),
            document_title: "예산 편람".into(),
            collection: CollectionId::new(),
            collection_name: "편람".into(),
            grade: Grade::Open,
            heading_path: Vec::new(),
            page: None,
            page_estimated: false,
            text: text.into(),
            span: Span { start, end: start + text.chars().count() },
        }
    }

    #[test]
    fn marks_what_lies_in_the_passage() {
        let p = passage("회의실은 사흘 전까지 신청한다", 100);
        let (before, marked, after) = split(&p, Some((105, 111)));
        assert_eq!((before.as_str(), marked.as_str(), after.as_str()), ("회의실은 ", "사흘 전까지", " 신청한다"));
        for outside in [(0, 10), (111, 105), (90, 105), (500, 600), (usize::MAX, usize::MAX)] {
            assert_eq!(split(&p, Some(outside)).1, "", "{outside:?}");
        }
        assert_eq!(split(&p, Some((109, usize::MAX))).1, "까지 신청한다");
    }
}

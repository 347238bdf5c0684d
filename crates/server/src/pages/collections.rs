//! The list of collections, and one collection with its documents and readers.

use super::{page, size, when};
use crate::api::documents::{Item, queue};
use crate::api::folders::{Followed, followed};
use crate::app::App;
use crate::auth::Reader;
use crate::frame::{Page, frame, render};
use crate::views::collections::{
    CollectionPage, CollectionRow, CollectionsPage, DocumentRow, FolderPanel, ReaderDepartment, ReaderPerson,
};
use crate::views::{Choice, Lang, Pager};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{CollectionId, Grade, Scope};
use madang_store::auth::{HeldPost, parse_id};
use madang_store::collections::{Because, CollectionReader, CollectionSummary, NamedReaders};
use madang_store::people::Department;
use madang_store::watched::WatchedFolder;
use serde::Deserialize;

/// Documents on one page.
const PER_PAGE: usize = 50;
/// Withdrawn documents listed below the others, latest first.
const WITHDRAWN_SHOWN: i64 = 50;
/// People listed by name under "누가 볼 수 있나요?".
const PEOPLE_SHOWN: usize = 200;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/collections", list), page("/collections/{id}", one)]
}

async fn list(State(app): State<App>, reader: Reader, uri: Uri) -> Page {
    let now = app.store.now();
    let summaries = app.store.collection_summaries(reader.scope()).await?;
    render(CollectionsPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        rows: summaries.into_iter().map(|s| row(s, now, reader.lang)).collect(),
        my_departments: my_departments(&reader.identity.posts),
    })
}

/// Departments in which the reader holds a post, each once, in the order of the posts.
fn my_departments(posts: &[HeldPost]) -> Vec<(madang_domain::DepartmentId, String)> {
    let mut out = Vec::new();
    for post in posts {
        if out.iter().all(|(id, _)| *id != post.department) {
            out.push((post.department, post.department_name.clone()));
        }
    }
    out
}

fn row(s: CollectionSummary, now: i64, l: Lang) -> CollectionRow {
    CollectionRow {
        readers: readers_in_a_word(&s, l),
        id: s.id,
        name: s.name,
        description: s.description,
        owner: s.owner,
        mine: s.can_change,
        grade: s.grade,
        documents: s.documents,
        changed: when::ago(s.updated_at, now, l),
        waiting: s.waiting,
        failed: s.failed,
    }
}

fn readers_in_a_word(s: &CollectionSummary, l: Lang) -> String {
    let departments = s.reader_departments + usize::from(s.owner_department.is_some());
    match (s.everyone, departments) {
        (true, _) => l.t("전 직원").to_owned(),
        (false, 0) => l.t("나만").to_owned(),
        (false, 1) if s.can_change && s.owner_department.is_some() => l.t("우리 부서").to_owned(),
        (false, n) => l.f("{}개 부서", n),
    }
}

#[derive(Deserialize)]
struct At {
    page: Option<usize>,
}

async fn one(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>, Query(at): Query<At>) -> Page {
    let id: CollectionId = parse_id(&id)?;
    let scope = reader.scope();
    let l = reader.lang;
    let summary = app.store.collection_summary(scope, id).await?;
    let pages = summary.documents.div_ceil(PER_PAGE).max(1);
    let current = at.page.unwrap_or(1).clamp(1, pages);
    let documents = app.store.documents(scope, id, (current - 1) * PER_PAGE, PER_PAGE).await?;
    let named = app.store.named_readers(scope, id).await?;
    let people = app.store.collection_readers(scope, id).await?;
    let departments = app.store.departments().await?;
    let can_lower = summary.owner_department.is_some_and(|d| scope.manages(d));
    let Followed { folder, skipped, choices, choices_note } = followed(&app, &reader, &summary).await?;
    let can_edit = summary.can_change && scope_may_write(scope);
    let withdrawn = match can_edit {
        true => app.store.withdrawn_documents(scope, id, WITHDRAWN_SHOWN).await?,
        false => Vec::new(),
    };
    render(CollectionPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        can_edit,
        documents: documents.into_iter().map(|d| document_row(Item::new(&app, d), app.store.now(), l)).collect(),
        passages: summary.passages,
        bytes: size::bytes(summary.bytes),
        pager: Pager {
            page: current,
            pages,
            previous: (current > 1).then(|| format!("/collections/{id}?page={}", current - 1)),
            next: (current < pages).then(|| format!("/collections/{id}?page={}", current + 1)),
        },
        everyone: summary.everyone,
        classified: summary.grade == Grade::Classified,
        departments: reader_departments(departments, &summary, &named),
        people_count: people.len(),
        people: people.into_iter().take(PEOPLE_SHOWN).map(reader_person).collect(),
        max_file: size::bytes(i64::try_from(app.settings.max_upload).unwrap_or(i64::MAX)),
        grades: grades(summary.grade, can_lower),
        can_lower: can_lower && summary.grade != Grade::Open,
        hand_to: if summary.owner_person.is_some() { my_departments(&reader.identity.posts) } else { Vec::new() },
        queue: queue(&app, summary.waiting)
            .await?
            .map(|q| (q.waiting, q.owners, q.per_minute, q.seconds.map(|s| s.div_ceil(60)))),
        folder: folder.map(|f| folder_panel(f, skipped, app.store.now(), l)),
        folders: choices.filter(|_| can_edit),
        folders_note: choices_note,
        withdrawn: withdrawn.into_iter().map(|d| (d.id, d.title, when::date(d.updated_at))).collect(),
        row: row(summary, app.store.now(), l),
    })
}

fn folder_panel(folder: WatchedFolder, skipped: Vec<(String, usize)>, now: i64, l: Lang) -> FolderPanel {
    let looked = folder.looked_at.map(|at| when::ago(at, now, l));
    let stopped = !folder.allowed && folder.error.is_some();
    FolderPanel { path: folder.path, looked, error: folder.error, stopped, found: folder.summary, skipped }
}

/// A page is shown to browsers and read-only tokens alike; only the former may be offered changes.
fn scope_may_write(scope: &Scope) -> bool {
    scope.token().is_none()
}

/// Grades that the reader may choose: the present and higher ones, lower ones for the named officer.
fn grades(now: Grade, can_lower: bool) -> Vec<Choice> {
    let label = |g: Grade| match g {
        Grade::Classified => "C 기밀",
        Grade::Sensitive => "S 민감",
        Grade::Open => "O 공개",
    };
    let offered = Grade::ALL.into_iter().rev().filter(|g| *g >= now || can_lower);
    offered.map(|g| Choice { value: g.letter().to_owned(), label: label(g).to_owned(), selected: g == now }).collect()
}

fn document_row(item: Item, now: i64, l: Lang) -> DocumentRow {
    let d = item.view;
    DocumentRow {
        id: d.id,
        title: d.title,
        format: d.format,
        bytes: size::bytes(d.bytes),
        state: d.state.as_str(),
        percent: item.percent,
        note: item.note,
        pages: d.pages,
        pages_estimated: d.pages_estimated,
        passages: d.passages,
        added: when::ago(d.created_at, now, l),
    }
}

fn reader_departments(
    all: Vec<Department>,
    summary: &CollectionSummary,
    named: &NamedReaders,
) -> Vec<ReaderDepartment> {
    all.into_iter()
        .map(|d| ReaderDepartment {
            reads: named.departments.contains(&d.id),
            owner: summary.owner_department == Some(d.id),
            id: d.id,
            name: d.name,
        })
        .collect()
}

fn reader_person(person: CollectionReader) -> ReaderPerson {
    ReaderPerson {
        name: person.name,
        post: person.post,
        department: person.department,
        because: match person.because {
            Because::Owner => "주인",
            Because::OwningDepartment => "같은 부서",
            Because::ReaderDepartment => "열람 부서",
            Because::Everyone => "전 직원",
        },
    }
}

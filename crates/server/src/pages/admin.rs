//! Administration pages: the tree of departments with posts and holders, people, and the personnel move with what
//! follows from it. Outside providers have their own page in `outside`.

use super::{page, when};
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Failure, Handled};
use crate::frame::{Page, frame, render};
use crate::views::admin::{
    AdminPage, Consequence, DepartmentDetail, DepartmentNode, MovePage, PeoplePage, PersonRow, PostRow,
};
use crate::views::{Choice, Lang, Pager};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{DepartmentId, PersonId, PostId, Role};
use madang_store::auth::parse_id;
use madang_store::people::{Department, Person, Post};
use serde::Deserialize;
use std::collections::HashMap;

/// People on one page of the list.
const PER_PAGE: usize = 50;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/admin", departments), page("/admin/people", people), page("/admin/moves/{person}", personnel_move)]
}

#[derive(Deserialize)]
struct Selected {
    department: Option<String>,
}

async fn departments(State(app): State<App>, Admin(reader): Admin, uri: Uri, Query(query): Query<Selected>) -> Page {
    let all = app.store.departments().await?;
    let posts = app.store.posts().await?;
    let selected = query.department.as_deref().and_then(|d| d.parse().ok()).or_else(|| all.first().map(|d| d.id));
    let detail = match selected.and_then(|id| all.iter().find(|d| d.id == id)) {
        Some(department) => {
            let holdings = app.store.department_holdings(reader.scope(), department.id).await?;
            Some(detail(department, &posts, holdings.apps, holdings.collections))
        }
        None => None,
    };
    render(AdminPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        departments: tree(&all, &posts, selected),
        selected: detail,
        people: app.store.people(reader.scope()).await?.len(),
        posts: posts.len(),
    })
}

fn detail(department: &Department, posts: &[Post], apps: i64, collections: i64) -> DepartmentDetail {
    let rows = posts.iter().filter(|p| p.department == department.id).map(|p| PostRow {
        id: p.id,
        title: p.title.clone(),
        roles: p.roles.iter().map(|r| r.korean()).collect(),
        holders: p.holders.iter().map(|h| (h.id, h.name.clone())).collect(),
    });
    DepartmentDetail {
        id: department.id,
        name: department.name.clone(),
        parent: department.parent,
        posts: rows.collect(),
        apps: usize::try_from(apps).unwrap_or(0),
        collections: usize::try_from(collections).unwrap_or(0),
    }
}

/// Parents before children, siblings by name.
fn tree(all: &[Department], posts: &[Post], selected: Option<DepartmentId>) -> Vec<DepartmentNode> {
    let mut people: HashMap<DepartmentId, usize> = HashMap::new();
    for post in posts {
        *people.entry(post.department).or_default() += post.holders.len();
    }
    let known = |id: &Option<DepartmentId>| id.filter(|p| all.iter().any(|d| d.id == *p));
    let mut out = Vec::with_capacity(all.len());
    let mut waiting: Vec<(&Department, usize)> =
        all.iter().rev().filter(|d| known(&d.parent).is_none()).map(|d| (d, 0)).collect();
    while let Some((department, depth)) = waiting.pop() {
        out.push(DepartmentNode {
            id: department.id,
            name: department.name.clone(),
            depth,
            people: people.get(&department.id).copied().unwrap_or(0),
            selected: selected == Some(department.id),
        });
        waiting.extend(all.iter().rev().filter(|d| d.parent == Some(department.id)).map(|d| (d, depth + 1)));
    }
    out
}

#[derive(Deserialize)]
struct PeopleQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: usize,
}

async fn people(State(app): State<App>, Admin(reader): Admin, uri: Uri, Query(query): Query<PeopleQuery>) -> Page {
    let now = app.store.now();
    let l = reader.lang;
    let wanted = query.q.trim().to_lowercase();
    let mut found = app.store.people(reader.scope()).await?;
    found.retain(|p| wanted.is_empty() || p.name.contains(&wanted) || p.login.contains(&wanted));
    let total = found.len();
    let pages = total.div_ceil(PER_PAGE).max(1);
    let current = query.page.clamp(1, pages);
    let link = |page: usize| format!("/admin/people?q={}&page={page}", super::encode(&query.q));
    let rows = found.into_iter().skip((current - 1) * PER_PAGE).take(PER_PAGE).map(|p| person_row(p, now, l));
    render(PeoplePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        rows: rows.collect(),
        total,
        pager: Pager {
            page: current,
            pages,
            previous: (current > 1).then(|| link(current - 1)),
            next: (current < pages).then(|| link(current + 1)),
        },
        vacant: post_choices(&app.store.posts().await?, None, l),
        q: query.q,
    })
}

fn person_row(person: Person, now: i64, l: Lang) -> PersonRow {
    PersonRow {
        id: person.id,
        posts: person.posts.iter().map(|p| format!("{} {}", p.department_name, p.title)).collect::<Vec<_>>().join(", "),
        name: person.name,
        login: person.login,
        last_seen: person.last_seen.map(|at| when::ago(at, now, l)).unwrap_or_default(),
        locked: person.locked_until.is_some(),
        active: person.active,
    }
}

/// All posts as choices: department, title, who holds it.
fn post_choices(posts: &[Post], selected: Option<PostId>, l: Lang) -> Vec<Choice> {
    posts
        .iter()
        .map(|p| {
            let holders = p.holders.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ");
            let holders = if holders.is_empty() { l.t("비어 있음").to_owned() } else { holders };
            Choice {
                value: p.id.to_string(),
                label: format!("{} · {} ({holders})", p.department_name, p.title),
                selected: selected == Some(p.id),
            }
        })
        .collect()
}

#[derive(Deserialize)]
struct Target {
    to: Option<String>,
}

async fn personnel_move(
    State(app): State<App>,
    Admin(reader): Admin,
    uri: Uri,
    Path(person): Path<String>,
    Query(query): Query<Target>,
) -> Page {
    let l = reader.lang;
    let id: PersonId = parse_id(&person)?;
    let person =
        app.store.people(reader.scope()).await?.into_iter().find(|p| p.id == id).ok_or_else(Failure::not_found)?;
    let posts = app.store.posts().await?;
    let target: Option<PostId> = query.to.as_deref().and_then(|t| t.parse().ok());
    let target = target.and_then(|t| posts.iter().find(|p| p.id == t));
    let consequences = match target {
        Some(post) => consequences(&app, &reader, &person, post, l).await?,
        None => Vec::new(),
    };
    render(MovePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        person: id,
        person_name: person.name.clone(),
        from: person.posts.iter().map(|p| (p.post, format!("{} {}", p.department_name, p.title))).collect(),
        to: post_choices(&posts, target.map(|p| p.id), l),
        consequences,
        target: target.map(|p| (p.id, format!("{} {}", p.department_name, p.title))),
    })
}

/// What stays, what is gained and what is lost, in plain sentences.
async fn consequences(
    app: &App,
    reader: &crate::auth::Reader,
    person: &Person,
    post: &Post,
    l: Lang,
) -> Handled<Vec<Consequence>> {
    let mut out = Vec::new();
    for held in person.posts.iter().filter(|p| p.department != post.department) {
        let holdings = app.store.department_holdings(reader.scope(), held.department).await?;
        out.push(Consequence {
            kind: "stays",
            text: l.f2("앱 {a}개와 자료 모음 {b}개는 옛 부서에 그대로 남습니다.", holdings.apps, holdings.collections),
        });
        out.push(Consequence {
            kind: "loses",
            text: l.f("{}의 부서 자료와 앱 초안을 더는 볼 수 없습니다.", &held.department_name),
        });
    }
    let lost = |r: &Role| *r != Role::Official && !post.roles.contains(r);
    for role in person.posts.iter().flat_map(|p| p.roles.iter()).filter(|r| lost(r)) {
        out.push(Consequence { kind: "loses", text: l.f("{} 역할을 놓습니다.", l.t(role.korean())) });
    }
    out.push(Consequence {
        kind: "gains", text: l.f("{}의 자료와 앱을 바로 씁니다.", &post.department_name)
    });
    for role in post.roles.iter().filter(|r| **r != Role::Official) {
        out.push(Consequence { kind: "gains", text: l.f("{} 역할을 맡습니다.", l.t(role.korean())) });
    }
    out.push(Consequence {
        kind: "stays", text: l.t("개인 자료 모음과 실행 기록은 본인에게 남습니다.").to_owned()
    });
    Ok(out)
}

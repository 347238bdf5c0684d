//! The store: shelves, search and filters. An app's own page is `app_page`.

use super::{encode, page};
use crate::app::App;
use crate::auth::Reader;
use crate::catalogue::{self, Filter, Maker, StoreQuery, card};
use crate::frame::{Page, frame, render};
use crate::views::store::{Shelf, StorePage, StoreTotals};
use crate::views::{AppCard, Choice, Lang, Pager};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{DepartmentId, Grade, TaskKind};
use madang_store::shelves::StoreApp;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Cards on a page of results.
const PAGE: usize = 24;
/// Cards on a shelf.
const SHELF: usize = 4;
/// Fewer apps than this stand on their kind's shelf only.
const WORTH_A_SHELF: usize = 2;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/store", store)]
}

async fn store(State(app): State<App>, reader: Reader, uri: Uri, Query(query): Query<StoreQuery>) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let filter = Filter::try_from(&query)?;
    let all = app.store.store_apps(scope).await?;
    let departments = departments(&all, &filter, l);
    let totals = app.store.reuse(scope, catalogue::month_start(app.store.now())).await?;
    let (mut shelves, found) =
        if query.is_set() { (Vec::new(), Some(catalogue::choose(all, &filter))) } else { (shelves(&all, l), None) };
    let result_count = found.as_ref().map_or(0, Vec::len);
    let pager = pager(&query, result_count);
    let mut results: Option<Vec<AppCard>> =
        found.map(|apps| apps.iter().skip((pager.page.max(1) - 1) * PAGE).take(PAGE).map(|a| card(a, l)).collect());
    let shown = results.iter_mut().flatten().chain(shelves.iter_mut().flat_map(|s| &mut s.apps));
    catalogue::with_outside(&app.store, scope, shown).await?;
    render(StorePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        q: filter.q.clone(),
        tasks: tasks(&filter),
        departments,
        grades: grades(&filter),
        sorts: sorts(&query),
        ready_only: filter.ready,
        totals: StoreTotals {
            apps: totals.apps,
            departments_reusing: totals.departments_reusing,
            runs_this_month: totals.runs,
            hours_saved: None,
        },
        shelves,
        results,
        result_count,
        pager,
    })
}

fn choice(value: &str, label: &str, selected: bool) -> Choice {
    Choice { value: value.to_owned(), label: label.to_owned(), selected }
}

fn tasks(filter: &Filter) -> Vec<Choice> {
    let mut out = vec![choice("", "모든 종류", filter.task.is_none())];
    out.extend(TaskKind::ALL.into_iter().map(|t| choice(t.as_str(), t.korean(), filter.task == Some(t))));
    out
}

fn grades(filter: &Filter) -> Vec<Choice> {
    let words = |g: Grade| match g {
        Grade::Classified => "C 기밀",
        Grade::Sensitive => "S 민감",
        Grade::Open => "O 공개",
    };
    let mut out = vec![choice("", "모든 등급", filter.grade.is_none())];
    out.extend(Grade::ALL.into_iter().map(|g| choice(g.letter(), words(g), filter.grade == Some(g))));
    out
}

fn sorts(query: &StoreQuery) -> Vec<Choice> {
    let first = if query.q.trim().is_empty() { "많이 쓰는" } else { "찾은 말에 맞는" };
    let mut out = vec![choice("", first, query.sort.is_empty())];
    for (value, label) in [("used", "많이 쓰는"), ("newest", "새로 나온"), ("rated", "별점 높은")] {
        if label != first || query.sort == value {
            out.push(choice(value, label, query.sort == value));
        }
    }
    out
}

/// Departments that have an app in the store, by name.
fn departments(apps: &[StoreApp], filter: &Filter, l: Lang) -> Vec<Choice> {
    let mut out = vec![choice("", "모든 부서", filter.maker.is_none())];
    if apps.iter().any(|a| a.department.is_none()) {
        out.push(choice("bundled", l.t("기본 제공 앱"), filter.maker == Some(Maker::Bundled)));
    }
    out.extend(
        by_department(apps)
            .into_iter()
            .map(|((name, id), _)| choice(&id.to_string(), name, filter.maker == Some(Maker::Department(id)))),
    );
    out
}

fn by_department(apps: &[StoreApp]) -> BTreeMap<(&str, DepartmentId), Vec<&StoreApp>> {
    let mut out: BTreeMap<(&str, DepartmentId), Vec<&StoreApp>> = BTreeMap::new();
    for app in apps {
        if let (Some(name), Some(id)) = (app.department_name.as_deref(), app.department) {
            out.entry((name, id)).or_default().push(app);
        }
    }
    out
}

/// `apps` come newest first.
fn shelves(apps: &[StoreApp], l: Lang) -> Vec<Shelf> {
    let shelf = |title: &str, href: String, mut apps: Vec<&StoreApp>, by_use: bool| {
        if by_use {
            apps.sort_by_key(|a| Reverse(a.uses));
        }
        Shelf { title: title.to_owned(), href, apps: apps.into_iter().take(SHELF).map(|a| card(a, l)).collect() }
    };
    let used: Vec<&StoreApp> = apps.iter().filter(|a| a.uses > 0).collect();
    let made: Vec<&StoreApp> = apps.iter().filter(|a| a.department.is_some()).collect();
    let mut out = vec![shelf("부서가 새로 내놓은 앱", "/store?sort=newest".into(), made, false)];
    if used.len() >= WORTH_A_SHELF {
        out.insert(0, shelf("많이 쓰는 앱", "/store?sort=used".into(), used, true));
    }
    for task in TaskKind::ALL {
        let of_task = apps.iter().filter(|a| a.sheet.task == task).collect();
        out.push(shelf(task.korean(), format!("/store?task={}", task.as_str()), of_task, true));
    }
    for ((name, id), of_department) in by_department(apps).into_iter().filter(|(_, apps)| apps.len() >= WORTH_A_SHELF) {
        out.push(shelf(name, format!("/store?department={id}"), of_department, true));
    }
    out.retain(|s| !s.apps.is_empty());
    out
}

fn pager(query: &StoreQuery, count: usize) -> Pager {
    let pages = count.div_ceil(PAGE).max(1);
    let page = query.page.parse::<usize>().unwrap_or(1).clamp(1, pages);
    let address = |page: usize| {
        let mut href = String::from("/store?");
        for (key, value) in [
            ("q", &query.q),
            ("task", &query.task),
            ("department", &query.department),
            ("grade", &query.grade),
            ("ready", &query.ready),
            ("sort", &query.sort),
        ] {
            if !value.is_empty() {
                href.push_str(&format!("{key}={}&", encode(value)));
            }
        }
        format!("{href}page={page}")
    };
    Pager {
        page,
        pages,
        previous: (page > 1).then(|| address(page - 1)),
        next: (page < pages).then(|| address(page + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_the_filters() {
        let query = StoreQuery { q: "민원 답변".into(), page: "2".into(), ..StoreQuery::default() };
        let p = pager(&query, 60);
        assert_eq!((p.page, p.pages), (2, 3));
        assert_eq!(p.next.as_deref(), Some("/store?q=%EB%AF%BC%EC%9B%90%20%EB%8B%B5%EB%B3%80&page=3"));
        let far = pager(&StoreQuery { page: "999".into(), ..query }, 10);
        assert_eq!((far.page, far.next), (1, None));
    }
}

//! Choosing among the published apps: filters, order, ranking by words, cards. The rows and rights are `store`'s, the
//! ranking `registry::find`'s.

use crate::app::App;
use crate::error::{Failure, Handled};
use crate::views::{AppCard, Lang};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use madang_domain::{DepartmentId, Grade, Scope, TaskKind};
use madang_registry::find::{self, AppWords};
use madang_store::shelves::StoreApp;
use serde::Deserialize;
use utoipa::IntoParams;

/// Longest search, characters.
const MAX_QUERY: usize = 400;
/// An app is offered in place of a new one when it bears at least this share of the words asked.
const OFFERED_COVERAGE: f32 = 0.6;
/// Apps offered at most.
const MOST_OFFERED: usize = 3;

/// Filters of the store as they stand in the address; empty ones do not filter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct StoreQuery {
    /// Words of the task.
    pub q: String,
    /// Stored or Korean name of a kind of task.
    pub task: String,
    /// A department's id, or `bundled`.
    pub department: String,
    /// `C`, `S` or `O`.
    pub grade: String,
    /// `1`: only apps whose sources the reader may read.
    pub ready: String,
    /// `newest`, `used` or `rated`; by fit to `q`, else by use, when empty.
    pub sort: String,
    /// From 1.
    pub page: String,
}

impl StoreQuery {
    /// Is anything chosen? Otherwise the store shows its shelves.
    pub fn is_set(&self) -> bool {
        let chosen = [&self.q, &self.task, &self.department, &self.grade, &self.ready, &self.sort];
        chosen.iter().any(|v| !v.trim().is_empty())
    }
}

/// Who made the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    Bundled,
    Department(DepartmentId),
}

/// Order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Best fit to the words asked; most used where none were.
    Fit,
    Newest,
    Used,
    Rated,
}

/// A checked [`StoreQuery`].
#[derive(Debug, Clone)]
pub struct Filter {
    pub q: String,
    pub task: Option<TaskKind>,
    pub maker: Option<Maker>,
    pub grade: Option<Grade>,
    pub ready: bool,
    pub sort: Sort,
}

impl TryFrom<&StoreQuery> for Filter {
    type Error = Failure;

    fn try_from(query: &StoreQuery) -> Handled<Self> {
        let q = query.q.trim();
        if q.chars().count() > MAX_QUERY {
            return Err(Failure::invalid("q", "찾을 말은 400자까지 쓸 수 있습니다."));
        }
        let task = match query.task.as_str() {
            "" => None,
            name => Some(
                TaskKind::ALL
                    .into_iter()
                    .find(|t| t.as_str() == name || t.korean() == name)
                    .ok_or_else(|| Failure::invalid("task", "없는 종류입니다. 목록에서 골라 주세요."))?,
            ),
        };
        let maker = match query.department.as_str() {
            "" => None,
            "bundled" => Some(Maker::Bundled),
            id => Some(Maker::Department(
                id.parse().map_err(|_| Failure::invalid("department", "없는 부서입니다. 목록에서 골라 주세요."))?,
            )),
        };
        let grade = match query.grade.as_str() {
            "" => None,
            letter => Some(letter.parse().map_err(|_| Failure::invalid("grade", "등급은 C, S, O 가운데 하나입니다."))?),
        };
        let sort = match query.sort.as_str() {
            "" => Sort::Fit,
            "newest" => Sort::Newest,
            "used" => Sort::Used,
            "rated" => Sort::Rated,
            _ => return Err(Failure::invalid("sort", "차례는 newest, used, rated 가운데 하나입니다.")),
        };
        Ok(Self { q: q.to_owned(), task, maker, grade, ready: query.ready == "1", sort })
    }
}

impl Filter {
    fn takes(&self, app: &StoreApp) -> bool {
        let maker = match self.maker {
            None => true,
            Some(Maker::Bundled) => app.department.is_none(),
            Some(Maker::Department(id)) => app.department == Some(id),
        };
        maker
            && self.task.is_none_or(|t| app.sheet.task == t)
            && self.grade.is_none_or(|g| app.grade == g)
            && (!self.ready || app.ready)
    }
}

/// Published apps that pass the filter, in its order.
pub async fn find(app: &App, scope: &Scope, filter: &Filter) -> Handled<Vec<StoreApp>> {
    Ok(choose(app.store.store_apps(scope).await?, filter))
}

/// The pure part of [`find`]: `apps` come newest first.
pub fn choose(apps: Vec<StoreApp>, filter: &Filter) -> Vec<StoreApp> {
    let apps: Vec<StoreApp> = apps.into_iter().filter(|a| filter.takes(a)).collect();
    let mut apps = if filter.q.is_empty() { apps } else { by_words(&filter.q, apps, 0.0) };
    match filter.sort {
        Sort::Fit if filter.q.is_empty() => apps.sort_by_key(|a| std::cmp::Reverse(a.uses)),
        Sort::Fit => {}
        Sort::Newest => apps.sort_by_key(|a| std::cmp::Reverse(a.published_at)),
        Sort::Used => apps.sort_by_key(|a| std::cmp::Reverse(a.uses)),
        Sort::Rated => apps.sort_by(|a, b| b.stars.weight().total_cmp(&a.stars.weight())),
    }
    apps
}

/// Apps that already do what somebody is about to build; empty where none clearly does.
pub async fn offered(app: &App, scope: &Scope, q: &str) -> Handled<Vec<StoreApp>> {
    let q: String = q.trim().chars().take(MAX_QUERY).collect();
    let mut apps = by_words(&q, app.store.store_apps(scope).await?, OFFERED_COVERAGE);
    apps.truncate(MOST_OFFERED);
    Ok(apps)
}

/// Apps that share words with `q`, best first; those that bear less than `coverage` of its content words drop out.
fn by_words(q: &str, apps: Vec<StoreApp>, coverage: f32) -> Vec<StoreApp> {
    let rests: Vec<Vec<&str>> = apps
        .iter()
        .map(|a| {
            let mut rest: Vec<&str> = a.sheet.sentences.iter().map(|s| s.text.as_str()).collect();
            rest.push(a.sheet.task.korean());
            rest.extend(a.department_name.as_deref());
            rest
        })
        .collect();
    let words: Vec<AppWords<'_>> = apps
        .iter()
        .zip(&rests)
        .map(|(a, rest)| AppWords { title: &a.sheet.title, purpose: &a.sheet.purpose, rest })
        .collect();
    let order: Vec<usize> =
        find::rank(q, &words).into_iter().filter(|m| m.coverage >= coverage).map(|m| m.index).collect();
    let mut apps: Vec<Option<StoreApp>> = apps.into_iter().map(Some).collect();
    order.into_iter().filter_map(|i| apps.get_mut(i).and_then(Option::take)).collect()
}

/// An app as it stands on a shelf.
pub fn card(app: &StoreApp, l: Lang) -> AppCard {
    AppCard {
        id: app.id,
        title: app.sheet.title.clone(),
        purpose: app.sheet.purpose.clone(),
        department: maker_name(app.department_name.as_deref(), l),
        task: app.sheet.task.korean(),
        grade: app.grade,
        uses: app.uses,
        rating: app.stars.mean(),
        version: app.number,
        ready: app.ready,
        outside: None,
    }
}

/// Days over which cards tell how often an app goes outside.
const OUTSIDE_DAYS: i64 = 90;

/// Puts on cards how often their apps went outside.
///
/// # Errors
/// When the database fails.
pub async fn with_outside<'a>(
    store: &madang_store::Store,
    scope: &madang_domain::Scope,
    cards: impl Iterator<Item = &'a mut AppCard>,
) -> Result<(), madang_store::StoreError> {
    let shares = store.outside_shares(scope, store.now() - OUTSIDE_DAYS * 86_400_000).await?;
    for card in cards {
        let tenths = shares.get(&card.id).and_then(|(runs, outside)| (outside * 1000 + runs / 2).checked_div(*runs));
        card.outside = tenths.filter(|n| *n > 0).map(|n| format!("{}.{}", n / 10, n % 10));
    }
    Ok(())
}

/// Department that made an app; bundled ones come with the product.
pub fn maker_name(department: Option<&str>, l: Lang) -> String {
    department.map_or_else(|| l.t("기본 제공 앱").to_owned(), str::to_owned)
}

/// First moment of the month in Seoul in which `now` lies, Unix milliseconds.
pub fn month_start(now: i64) -> i64 {
    let zone = TimeZone::fixed(jiff::tz::offset(9));
    let at = Timestamp::from_millisecond(now).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    let first = at.date().first_of_month().to_zoned(zone);
    first.map_or(now, |z| z.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_in_seoul() {
        // 2026-11-22T06:20:00Z → 2026-11-01T00:00+09:00
        assert_eq!(month_start(1_795_328_400_000), 1_793_458_800_000);
        // 2026-10-31T15:00:00Z is already November in Seoul.
        assert_eq!(month_start(1_793_458_800_000), 1_793_458_800_000);
    }

    #[test]
    fn filters_are_checked_not_guessed() {
        let with = |change: fn(&mut StoreQuery)| {
            let mut query = StoreQuery::default();
            change(&mut query);
            Filter::try_from(&query)
        };
        assert_eq!(with(|q| q.task = "요약".into()).expect("Korean name").task, Some(TaskKind::Summary));
        assert_eq!(with(|q| q.task = "summary".into()).expect("stored name").task, Some(TaskKind::Summary));
        for bad in [
            with(|q| q.task = "모름".into()),
            with(|q| q.grade = "X".into()),
            with(|q| q.sort = "best".into()),
            with(|q| q.department = "..".into()),
            with(|q| q.q = "가".repeat(401)),
        ] {
            assert_eq!(bad.expect_err("refused").status, axum::http::StatusCode::UNPROCESSABLE_ENTITY);
        }
    }
}

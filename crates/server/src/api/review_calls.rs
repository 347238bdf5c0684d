//! Outside calls for security officers: the list, whether there are new ones, words in sealed texts, exports with a reason.

use super::body::Body;
use super::words::{FilterWords, checked_reason};
use crate::app::App;
use crate::auth::Security;
use crate::desk::{cef, csv_form, ocsf};
use crate::error::{Failure, Handled};
use axum::Json;
use axum::body::Body as Stream;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use madang_domain::{ExternalCallId, Scope};
use madang_gateway::{SearchLimits, Searched};
use madang_policy::time::CalendarDay;
use madang_store::calls_review::{ReviewFilter, ReviewedCall};
use madang_store::ledger::Event;
use madang_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Calls on a page.
pub const PAGE: i64 = 50;
/// Calls of an export read at once.
const BATCH: i64 = 500;
/// Longest word of a filter, characters.
const MAX_WORD: usize = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(news)).routes(routes!(search)).routes(routes!(export))
}

/// Filters of a list or an export; empty ones do not filter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
pub struct CallFilters {
    /// An identifier, or a part of a name or login.
    #[serde(default)]
    pub person: String,
    /// Identifiers.
    #[serde(default)]
    pub department: String,
    #[serde(default)]
    pub app: String,
    #[serde(default)]
    pub provider: String,
    /// `C`, `S` or `O`.
    #[serde(default)]
    pub grade: String,
    /// A kind of finding, such as `phone`.
    #[serde(default)]
    pub kind: String,
    /// What the policy said, such as `one_officer`.
    #[serde(default)]
    pub verdict: String,
    /// Where the call stands, such as `waiting`.
    #[serde(default)]
    pub state: String,
    /// First day, `YYYY-MM-DD` in Korea.
    #[serde(default)]
    pub from: String,
    /// Last day.
    #[serde(default)]
    pub to: String,
    /// From 1.
    #[serde(default)]
    pub page: String,
    /// Only calls asked for up to then, Unix milliseconds: keeps pages apart while new ones come.
    #[serde(default)]
    pub before: String,
}

impl CallFilters {
    /// Names and values of what is set, but for page and end.
    pub fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("person", &self.person),
            ("department", &self.department),
            ("app", &self.app),
            ("provider", &self.provider),
            ("grade", &self.grade),
            ("kind", &self.kind),
            ("verdict", &self.verdict),
            ("state", &self.state),
            ("from", &self.from),
            ("to", &self.to),
        ];
        all.into_iter().filter(|(_, v)| !v.trim().is_empty()).map(|(k, v)| (k, v.trim())).collect()
    }

    /// For the store.
    ///
    /// # Errors
    /// 422 for a day or a grade that is none.
    pub fn filter(&self) -> Handled<ReviewFilter> {
        let some = |text: &str| Some(text.trim().chars().take(MAX_WORD).collect::<String>()).filter(|t| !t.is_empty());
        let grade = some(&self.grade)
            .map(|g| g.parse().map_err(|_| Failure::invalid("grade", "등급은 C, S, O 가운데 하나입니다.")));
        let before = self.before.parse::<i64>().ok().map(|at| at.saturating_add(1));
        let until = day("to", &self.to)?.map(CalendarDay::ends_ms);
        Ok(ReviewFilter {
            person: some(&self.person),
            department: some(&self.department),
            app: some(&self.app),
            provider: some(&self.provider),
            grade: grade.transpose()?,
            kind: some(&self.kind),
            verdict: some(&self.verdict),
            state: some(&self.state),
            from: day("from", &self.from)?.map(CalendarDay::starts_ms),
            until: [until, before].into_iter().flatten().min(),
        })
    }

    /// For the record of the reading: no personal value stays in it.
    fn recorded(&self, words: &FilterWords) -> Value {
        let given = self.given().into_iter();
        given.map(|(k, v)| (k.to_owned(), json!(words.safe(v, MAX_WORD)))).collect::<serde_json::Map<_, _>>().into()
    }

    /// Page number, from 1.
    pub fn page(&self) -> i64 {
        self.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000)
    }
}

fn day(field: &str, text: &str) -> Handled<Option<CalendarDay>> {
    let text = text.trim();
    let read = |_| Failure::invalid(field, "날짜를 2026-11-22처럼 적어 주세요.");
    if text.is_empty() { Ok(None) } else { CalendarDay::try_from(text.to_owned()).map(Some).map_err(read) }
}

/// A page of calls.
#[derive(Serialize)]
pub struct Listed {
    pub calls: Vec<ReviewedCall>,
    pub total: usize,
    pub page: i64,
}

/// Reads a page of the list, and records that.
///
/// # Errors
/// 422 for filters that cannot be read.
pub async fn page_of(app: &App, scope: &Scope, filters: &CallFilters) -> Handled<Listed> {
    let filter = filters.filter()?;
    let page = filters.page();
    let calls = app.store.reviewed_calls(scope, &filter, PAGE, (page - 1) * PAGE).await?;
    let total = app.store.reviewed_calls_count(scope, &filter).await?;
    let detail =
        json!({ "filter": filters.recorded(&FilterWords::of(app).await), "page": page, "records": calls.len() });
    app.store.record(Event::new("outside_calls_listed", Some(scope.person()), detail)).await?;
    Ok(Listed { calls, total, page })
}

/// Calls of everybody, newest first, fifty a page, without their texts.
#[utoipa::path(get, path = "/api/v1/outside/calls", tag = "review", params(CallFilters), responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn list(
    State(app): State<App>,
    Security(reader): Security,
    Query(filters): Query<CallFilters>,
) -> Handled<Json<Listed>> {
    Ok(Json(page_of(&app, reader.scope(), &filters).await?))
}

#[derive(Deserialize, IntoParams)]
struct Since {
    /// Unix milliseconds.
    #[serde(default)]
    after: i64,
}

#[derive(Serialize, ToSchema)]
struct News {
    count: usize,
}

/// How many calls came since, for a page that stays open. A number alone: it is not recorded.
#[utoipa::path(get, path = "/api/v1/outside/calls/news", tag = "review", params(Since, CallFilters), responses((status = 200, body = News), (status = 403), (status = 422)))]
async fn news(
    State(app): State<App>,
    Security(reader): Security,
    Query(since): Query<Since>,
    Query(filters): Query<CallFilters>,
) -> Handled<Json<News>> {
    let mut filter = CallFilters { before: String::new(), ..filters }.filter()?;
    let after = since.after.saturating_add(1);
    filter.from = Some(filter.from.map_or(after, |from| from.max(after)));
    Ok(Json(News { count: app.store.reviewed_calls_count(reader.scope(), &filter).await? }))
}

#[derive(Deserialize, ToSchema)]
struct Wanted {
    /// All of them must stand in a text.
    #[serde(default)]
    words: String,
    /// Why sealed texts are opened: recorded. The words are not.
    #[serde(default)]
    reason: String,
}

/// Looks for words in the sealed texts of calls, newest first, within bounds that the answer names.
#[utoipa::path(post, path = "/api/v1/outside/bodies/search", tag = "review", request_body = Wanted, responses((status = 200, body = Object), (status = 403), (status = 422)))]
async fn search(
    State(app): State<App>,
    Security(reader): Security,
    Body(wanted): Body<Wanted>,
) -> Handled<Json<Searched>> {
    let reason = checked_reason(&app, &wanted.reason).await?;
    let found = app.bodies.search(reader.scope(), &wanted.words, &reason, SearchLimits::default()).await?;
    Ok(Json(found))
}

#[derive(Deserialize)]
struct Export {
    /// `csv`, `jsonl`, `ocsf` (1.8.0, API Activity) or `cef`.
    #[serde(default)]
    format: String,
    /// Why it is exported: recorded.
    #[serde(default)]
    reason: String,
    #[serde(flatten)]
    filters: CallFilters,
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
    Ocsf,
    Cef,
}

impl Format {
    fn of(name: &str) -> Handled<Self> {
        match name {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::JsonLines),
            "ocsf" => Ok(Self::Ocsf),
            "cef" => Ok(Self::Cef),
            _ => Err(Failure::invalid("format", "형식은 csv, jsonl, ocsf, cef 가운데 하나입니다.")),
        }
    }

    /// Its media type and the ending of a file's name.
    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
            Self::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
            Self::Ocsf => ("application/jsonl; charset=utf-8", "ocsf.jsonl"),
            Self::Cef => ("text/plain; charset=utf-8", "cef.txt"),
        }
    }

    fn chunk(self, calls: &[ReviewedCall], first: bool) -> Vec<u8> {
        let lines = |line: &dyn Fn(&ReviewedCall) -> String| calls.iter().map(line).collect::<String>().into_bytes();
        match self {
            Self::Csv => csv_form::csv(calls, first),
            Self::JsonLines => lines(&csv_form::json_line),
            Self::Ocsf => lines(&|c| format!("{}\n", ocsf::event(c))),
            Self::Cef => lines(&|c| format!("{}\n", cef::of_call(c))),
        }
    }
}

/// Exports the metadata of calls, newest first: never prompts, replies or purposes. `{format, reason}` and the list's
/// filters. Needs a reason and is itself a record, which no link can make somebody write.
#[utoipa::path(post, path = "/api/v1/outside/calls/export", tag = "review", request_body = Object, responses((status = 200, content_type = "text/csv"), (status = 403), (status = 422)))]
async fn export(State(app): State<App>, Security(reader): Security, Body(export): Body<Export>) -> Handled<Response> {
    let reason = checked_reason(&app, &export.reason).await?;
    let filters = &export.filters;
    let format = Format::of(&export.format)?;
    let scope = reader.scope();
    let mut filter = filters.filter()?;
    // What comes while it is written is not in it: pages stay apart.
    let end = app.store.now().saturating_add(1);
    filter.until = Some(filter.until.map_or(end, |until| until.min(end)));
    let total = app.store.reviewed_calls_count(scope, &filter).await?;
    let detail = json!({ "format": export.format, "reason": reason, "filter": filters.recorded(&FilterWords::of(&app).await), "records": total });
    app.store.record(Event::new("outside_calls_exported", Some(scope.person()), detail)).await?;
    let (kind, ending) = format.kind();
    let disposition = format!("attachment; filename=\"madang-outside.{ending}\"");
    let body = stream(app.store.clone(), scope.clone(), filter, format);
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body).into_response())
}

/// Batches of calls as they are read, never all of them in memory.
fn stream(store: Store, scope: Scope, filter: ReviewFilter, format: Format) -> Stream {
    let batches = try_unfold(Some(None), move |before: Option<Option<(i64, ExternalCallId)>>| {
        let (store, scope, filter) = (store.clone(), scope.clone(), filter.clone());
        async move {
            let Some(before) = before else { return Ok(None) };
            let calls = store.reviewed_calls_before(&scope, &filter, before, BATCH).await?;
            let chunk = format.chunk(&calls, before.is_none());
            Ok::<_, StoreError>(Some((chunk, calls.last().map(|last| Some((last.created_at, last.id))))))
        }
    });
    Stream::from_stream(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_and_recorded_without_values() {
        let filters = CallFilters {
            person: " 900101-1970000 ".into(),
            from: "2026-11-22".into(),
            to: "2026-11-22".into(),
            ..CallFilters::default()
        };
        let read = filters.filter().unwrap();
        assert_eq!(read.until.unwrap() - read.from.unwrap(), 86_400_000);
        assert!(!filters.recorded(&FilterWords::plain()).to_string().contains("1970000"));
        assert!(CallFilters { grade: "X".into(), ..CallFilters::default() }.filter().is_err());
        assert!(CallFilters { to: "2026-13-01".into(), ..CallFilters::default() }.filter().is_err());
    }
}

//! The record, for security officers: list, open, verify. Reading it is a record too. Exports are in `ledger_export`,
//! what is signed in `ledger_signing`.

use super::words::FilterWords;
use crate::app::App;
use crate::auth::Security;
use crate::chain::{self, Verification};
use crate::error::{Failure, Handled};
use crate::pages::when;
use axum::Json;
use axum::extract::{Path, Query, State};
use madang_domain::Scope;
use madang_ledger::Entry;
use madang_store::auth::parse_id;
use madang_store::ledger::{Event, LedgerFilter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Records on a page.
pub const PAGE: i64 = 50;
/// Longest search word, characters.
const MAX_WORD: usize = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .merge(super::ledger_export::router())
        .merge(super::ledger_signing::router())
        .routes(routes!(check, check_now))
        .routes(routes!(read))
}

/// Filters of a list or an export; empty ones do not filter.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
pub struct Filters {
    /// Words anywhere in a record.
    #[serde(default)]
    pub q: String,
    /// A kind, such as `outside_call_intent`.
    #[serde(default)]
    pub kind: String,
    /// Name of a department of the actor at that time.
    #[serde(default)]
    pub department: String,
    /// First day, `YYYY-MM-DD` in Korea.
    #[serde(default)]
    pub from: String,
    /// Last day.
    #[serde(default)]
    pub to: String,
    /// From 1.
    #[serde(default)]
    pub page: String,
    /// Only records before this number: keeps pages apart while new records come.
    #[serde(default)]
    pub before: String,
}

impl Filters {
    /// For the store.
    ///
    /// # Errors
    /// 422 for a day that is none.
    pub fn filter(&self) -> Handled<LedgerFilter> {
        let some = |text: &str| Some(text.trim().chars().take(MAX_WORD).collect::<String>()).filter(|t| !t.is_empty());
        Ok(LedgerFilter {
            action: some(&self.kind),
            actor: None,
            from: day("from", &self.from, 0)?,
            until: day("to", &self.to, 1)?,
            before: self.before.parse().ok(),
            text: some(&self.q),
            department: some(&self.department),
        })
    }

    /// Is anything left out?
    pub fn is_set(&self) -> bool {
        let given = [&self.q, &self.kind, &self.department, &self.from, &self.to, &self.before];
        given.iter().any(|v| !v.trim().is_empty())
    }

    /// For the record of the reading: no personal value stays in it.
    pub fn recorded(&self, words: &FilterWords) -> Value {
        let given = [
            ("q", &self.q),
            ("kind", &self.kind),
            ("department", &self.department),
            ("from", &self.from),
            ("to", &self.to),
        ];
        given
            .into_iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| (k.to_owned(), json!(words.safe(v, MAX_WORD))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Page number, from 1.
    pub fn page(&self) -> i64 {
        self.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000)
    }
}

/// Begin of a day in Korea, `later` days on, as the record writes times.
fn day(field: &str, text: &str, later: i64) -> Handled<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Failure::invalid(field, "날짜를 2026-11-22처럼 적어 주세요.");
    let date: jiff::civil::Date = text.parse().map_err(|_| invalid())?;
    let date = date.checked_add(jiff::Span::new().days(later)).map_err(|_| invalid())?;
    let at = date.to_zoned(when::korea()).map_err(|_| invalid())?.timestamp();
    Ok(Some(format!("{at:.3}")))
}

/// A record as scripts read it.
#[derive(Serialize, ToSchema)]
struct Record {
    seq: u64,
    time: String,
    prev_hash: String,
    hash: String,
    #[schema(value_type = Object)]
    payload: Value,
}

fn record(entry: Entry) -> Record {
    let payload = serde_json::from_str(&entry.payload).unwrap_or(Value::Null);
    Record { seq: entry.seq, time: entry.time, prev_hash: entry.prev_hash, hash: entry.hash, payload }
}

#[derive(Serialize, ToSchema)]
struct Records {
    records: Vec<Record>,
    total: usize,
    page: i64,
}

/// Reads a page of the record, and records that.
///
/// # Errors
/// 422 for filters that cannot be read.
pub async fn page_of(app: &App, scope: &Scope, filters: &Filters) -> Handled<(Vec<Entry>, usize)> {
    let filter = filters.filter()?;
    let rows = app.store.ledger(scope, &filter, PAGE, (filters.page() - 1) * PAGE).await?;
    let total = app.store.ledger_count(scope, &filter).await?;
    let detail = json!({ "filter": filters.recorded(&FilterWords::of(app).await), "page": filters.page(), "records": rows.len() });
    app.store.record(Event::new("ledger_read", Some(scope.person()), detail)).await?;
    Ok((rows, total))
}

/// One record, and records that it was read.
///
/// # Errors
/// 404 where there is none.
pub async fn one_of(app: &App, scope: &Scope, seq: &str) -> Handled<Entry> {
    let entry = app.store.ledger_entry(scope, parse_id(seq)?).await?;
    app.store.record(Event::new("ledger_read", Some(scope.person()), json!({ "seq": entry.seq }))).await?;
    Ok(entry)
}

/// Records, newest first, fifty a page.
#[utoipa::path(get, path = "/api/v1/ledger", tag = "ledger", params(Filters), responses((status = 200, body = Records), (status = 403), (status = 422)))]
async fn list(
    State(app): State<App>,
    Security(reader): Security,
    Query(filters): Query<Filters>,
) -> Handled<Json<Records>> {
    let (rows, total) = page_of(&app, reader.scope(), &filters).await?;
    Ok(Json(Records { records: rows.into_iter().map(record).collect(), total, page: filters.page() }))
}

/// One record.
#[utoipa::path(get, path = "/api/v1/ledger/{seq}", tag = "ledger", params(("seq" = i64, Path)), responses((status = 200, body = Record), (status = 403), (status = 404)))]
async fn read(State(app): State<App>, Security(reader): Security, Path(seq): Path<String>) -> Handled<Json<Record>> {
    Ok(Json(record(one_of(&app, reader.scope(), &seq).await?)))
}

/// Verifies the whole record.
#[utoipa::path(get, path = "/api/v1/ledger/verify", tag = "ledger", responses((status = 200, body = Verification), (status = 403)))]
async fn check(State(app): State<App>, Security(reader): Security) -> Handled<Json<Verification>> {
    verified(&app, reader.scope()).await
}

/// The same, for a page's button.
#[utoipa::path(post, path = "/api/v1/ledger/verify", tag = "ledger", responses((status = 200, body = Verification), (status = 403)))]
async fn check_now(State(app): State<App>, Security(reader): Security) -> Handled<Json<Verification>> {
    verified(&app, reader.scope()).await
}

async fn verified(app: &App, scope: &Scope) -> Handled<Json<Verification>> {
    let found = chain::verify_and_keep(&app.store).await?;
    let detail = json!({ "sound": found.sound, "records": found.records, "fault_seq": found.fault_seq });
    app.store.record(Event::new("ledger_verified", Some(scope.person()), detail)).await?;
    Ok(Json(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_korean_days() {
        assert_eq!(day("from", "2026-11-22", 0).unwrap().as_deref(), Some("2026-11-21T15:00:00.000Z"));
        assert_eq!(day("to", "2026-11-22", 1).unwrap().as_deref(), Some("2026-11-22T15:00:00.000Z"));
        assert!(day("to", "2026-13-01", 1).is_err() && day("to", "", 1).unwrap().is_none());
    }
}

//! The record, for security officers: list, open, export, verify. Reading it is a record too.

use crate::app::App;
use crate::auth::Security;
use crate::chain::{self, Verification};
use crate::error::{Failure, Handled};
use crate::pages::when;
use crate::record_words;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use madang_domain::Scope;
use madang_ledger::{Entry, to_line};
use madang_pii::{mask, scan};
use madang_store::auth::parse_id;
use madang_store::ledger::{Event, LedgerFilter};
use madang_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Records on a page.
pub const PAGE: i64 = 50;
const BATCH: i64 = 1000;
/// Longest search word, characters.
const MAX_WORD: usize = 100;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
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

    /// For the record of the reading: no personal value stays in it.
    fn recorded(&self) -> Value {
        let q = mask(&self.q, &scan(&self.q)).text.chars().take(MAX_WORD).collect::<String>();
        let given = [
            ("q", q.as_str()),
            ("kind", &self.kind),
            ("department", &self.department),
            ("from", &self.from),
            ("to", &self.to),
        ];
        given
            .into_iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| (k.to_owned(), json!(v.chars().take(MAX_WORD).collect::<String>())))
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
    let detail = json!({ "filter": filters.recorded(), "page": filters.page(), "records": rows.len() });
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

#[derive(Deserialize, IntoParams)]
struct Export {
    /// `csv`, or `jsonl`: the form that `madang ledger verify` reads; whole only without filters.
    format: String,
    /// Why it is exported: recorded.
    #[serde(default)]
    reason: String,
}

/// Exports records in the chain's order. Needs a reason and is itself a record.
#[utoipa::path(get, path = "/api/v1/ledger/export", tag = "ledger", params(Export, Filters), responses((status = 200, content_type = "text/csv"), (status = 403), (status = 422)))]
async fn export(
    State(app): State<App>,
    Security(reader): Security,
    Query(export): Query<Export>,
    Query(filters): Query<Filters>,
) -> Handled<Response> {
    let reason = export.reason.trim();
    if !(2..=400).contains(&reason.chars().count()) {
        return Err(Failure::invalid("reason", "내보내는 까닭을 2~400자로 적어 주세요. 원장에 남습니다."));
    }
    let (kind, write): (_, fn(&[Entry], bool) -> Vec<u8>) = match export.format.as_str() {
        "csv" => ("text/csv; charset=utf-8", csv_rows),
        "jsonl" => ("application/jsonl; charset=utf-8", json_lines),
        _ => return Err(Failure::invalid("format", "형식은 csv, jsonl 가운데 하나입니다.")),
    };
    let mut filter = filters.filter()?;
    // The export ends before its own record.
    let end = app.store.ledger_end().await?.saturating_add(1);
    filter.before = Some(filter.before.unwrap_or(end).min(end));
    let total = app.store.ledger_count(reader.scope(), &filter).await?;
    let reason = mask(reason, &scan(reason)).text;
    let detail = json!({ "format": export.format, "reason": reason, "filter": filters.recorded(), "records": total });
    app.store.record(Event::new("ledger_exported", Some(reader.scope().person()), detail)).await?;
    let disposition = format!("attachment; filename=\"madang-ledger.{}\"", export.format);
    let body = stream(app.store.clone(), reader.scope().clone(), filter, write);
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body).into_response())
}

/// Batches of records as they are read, never the whole record in memory.
fn stream(store: Store, scope: Scope, filter: LedgerFilter, write: fn(&[Entry], bool) -> Vec<u8>) -> Body {
    let batches = try_unfold(Some(0), move |after: Option<i64>| {
        let (store, scope, filter) = (store.clone(), scope.clone(), filter.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let rows = store.ledger_after(&scope, &filter, after, BATCH).await?;
            let next = rows.last().and_then(|e| i64::try_from(e.seq).ok());
            if next.is_none() && after > 0 {
                return Ok(None);
            }
            Ok::<_, StoreError>(Some((write(&rows, after == 0), next)))
        }
    });
    Body::from_stream(batches)
}

fn json_lines(rows: &[Entry], _first: bool) -> Vec<u8> {
    rows.iter().filter_map(|e| to_line(e).ok()).collect::<String>().into_bytes()
}

fn csv_rows(rows: &[Entry], first: bool) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail.
    if first {
        let _header = out.write_record([
            "\u{feff}번호",
            "일시",
            "종류",
            "사람",
            "아이디",
            "부서",
            "내용",
            "상세",
            "해시",
            "앞 해시",
        ]);
    }
    for entry in rows {
        let read = record_words::read(entry);
        let cells = [
            entry.seq.to_string(),
            when::date_time(read.at),
            record_words::kind(&read.action).to_owned(),
            read.who,
            read.login,
            read.department,
            record_words::summary(&read.detail),
            read.detail.to_string(),
            entry.hash.clone(),
            entry.prev_hash.clone(),
        ];
        let _row = out.write_record(cells.iter().map(|c| cell(c)));
    }
    out.into_inner().unwrap_or_default()
}

/// A spreadsheet would run a cell that begins like a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_never_begin_a_formula() {
        for bad in ["=1+1", "+82", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(cell(bad), format!("'{bad}"));
        }
        assert_eq!(cell("가나 =1"), "가나 =1");
    }

    #[test]
    fn days_are_korean_days() {
        assert_eq!(day("from", "2026-11-22", 0).unwrap().as_deref(), Some("2026-11-21T15:00:00.000Z"));
        assert_eq!(day("to", "2026-11-22", 1).unwrap().as_deref(), Some("2026-11-22T15:00:00.000Z"));
        assert!(day("to", "2026-13-01", 1).is_err() && day("to", "", 1).unwrap().is_none());
    }
}

//! Exports of the record, with a reason: CSV for reading, and JSON Lines that prove themselves, the whole record or what
//! a filter finds.

use super::body::Body as Posted;
use super::ledger::Filters;
use super::words::{FilterWords, checked_reason};
use crate::app::App;
use crate::auth::Security;
use crate::desk::csv_form::cell;
use crate::error::{Failure, Handled};
use crate::ledger_export::{Part, Whole};
use crate::pages::when;
use crate::record_words;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use madang_domain::Scope;
use madang_ledger::Entry;
use madang_store::ledger::{Event, LedgerFilter};
use madang_store::{Store, StoreError};
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const BATCH: i64 = 1000;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

#[derive(Deserialize)]
struct Export {
    /// `csv`, or `jsonl`: the form that `madang ledger verify` reads. With filters each record has a proof of its own,
    /// but that none is missing shows in the whole record alone.
    format: String,
    /// Why it is exported: recorded.
    #[serde(default)]
    reason: String,
    #[serde(flatten)]
    filters: Filters,
}

/// Exports records in the chain's order: `{format, reason}` and the list's filters. Needs a reason and is itself a
/// record, which no link can make somebody write.
#[utoipa::path(post, path = "/api/v1/ledger/export", tag = "ledger", request_body = Object, responses((status = 200, content_type = "text/csv"), (status = 403), (status = 409), (status = 422)))]
async fn export(
    State(app): State<App>,
    Security(reader): Security,
    Posted(export): Posted<Export>,
) -> Handled<Response> {
    let reason = checked_reason(&app, &export.reason).await?;
    let (filters, words) = (&export.filters, FilterWords::of(&app).await);
    let filter = filters.filter()?;
    let scope = reader.scope();
    // Each export ends before its own record.
    let (kind, total, body) = match export.format.as_str() {
        "csv" => {
            let mut filter = filter;
            let end = app.store.ledger_end().await?.saturating_add(1);
            filter.before = Some(filter.before.unwrap_or(end).min(end));
            let total = app.store.ledger_count(scope, &filter).await?;
            ("text/csv; charset=utf-8", total, csv(app.store.clone(), scope.clone(), filter))
        }
        "jsonl" if filters.is_set() => {
            let looked_for = filters.recorded(&words).to_string();
            let part = Part::begin(app.store.clone(), &app.signer, scope.clone(), filter, looked_for).await?;
            let total = app.store.ledger_count(scope, part.filter()).await?;
            let chunks = try_unfold(part, move |mut part: Part| async move {
                Ok::<_, StoreError>(part.chunk().await?.map(|text| (text, part)))
            });
            (JSON_LINES, total, Body::from_stream(chunks))
        }
        "jsonl" => {
            let whole = Whole::begin(app.store.clone(), &app.signer).await?;
            let total = usize::try_from(whole.records()).unwrap_or(usize::MAX);
            let chunks = try_unfold(whole, move |mut whole: Whole| async move {
                Ok::<_, StoreError>(whole.chunk().await?.map(|text| (text, whole)))
            });
            (JSON_LINES, total, Body::from_stream(chunks))
        }
        _ => return Err(Failure::invalid("format", "형식은 csv, jsonl 가운데 하나입니다.")),
    };
    let detail =
        json!({ "format": export.format, "reason": reason, "filter": filters.recorded(&words), "records": total });
    app.store.record(Event::new("ledger_exported", Some(scope.person()), detail)).await?;
    let disposition = format!("attachment; filename=\"madang-ledger.{}\"", export.format);
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body).into_response())
}

const JSON_LINES: &str = "application/jsonl; charset=utf-8";

/// Batches of rows as they are read, never the whole record in memory.
fn csv(store: Store, scope: Scope, filter: LedgerFilter) -> Body {
    let batches = try_unfold(Some(0), move |after: Option<i64>| {
        let (store, scope, filter) = (store.clone(), scope.clone(), filter.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let rows = store.ledger_after(&scope, &filter, after, BATCH).await?;
            let next = rows.last().and_then(|e| i64::try_from(e.seq).ok());
            if next.is_none() && after > 0 {
                return Ok(None);
            }
            Ok::<_, StoreError>(Some((csv_rows(&rows, after == 0), next)))
        }
    });
    Body::from_stream(batches)
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

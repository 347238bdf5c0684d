//! The record: a list whose filters stay in the address, and one record with its proof.

use super::outside::ledger_health;
use super::{encode, page, when};
use crate::api::ledger::{Filters, PAGE, one_of, page_of};
use crate::api::ledger_signing::state_of;
use crate::app::App;
use crate::auth::Security;
use crate::error::Handled;
use crate::frame::{Page, frame, render};
use crate::record_words;
use crate::views::review::{LedgerPage, LedgerRecordPage, LedgerRow, LedgerTrust};
use crate::views::{Choice, JsonIsland, Pager};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_ledger::{Entry, Head, Verifier};

/// First letters of a hash in a list.
const HASH_SHOWN: usize = 10;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/ledger", list), page("/ledger/{seq}", one)]
}

async fn list(State(app): State<App>, Security(reader): Security, uri: Uri, Query(filters): Query<Filters>) -> Page {
    let l = reader.lang;
    let (rows, total) = page_of(&app, reader.scope(), &filters).await?;
    let anchor = match filters.before.parse::<i64>() {
        Ok(before) => before,
        Err(_) => rows.first().map_or(0, |r| i64::try_from(r.seq).unwrap_or(0) + 1),
    };
    let names: Vec<(String, String)> =
        app.store.departments().await?.into_iter().map(|d| (d.name.clone(), d.name)).collect();
    let kinds: Vec<(String, String)> =
        record_words::KINDS.iter().map(|(k, label)| ((*k).to_owned(), (*label).to_owned())).collect();
    render(LedgerPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        health: ledger_health(&app).await?,
        trust: trust(&app).await?,
        kinds: choices(kinds, &filters.kind),
        departments: choices(names, &filters.department),
        rows: rows.iter().map(row).collect(),
        total,
        pager: pager(&filters, total, anchor),
        q: filters.q,
        kind: filters.kind,
        department: filters.department,
        from: filters.from,
        to: filters.to,
    })
}

async fn trust(app: &App) -> Handled<LedgerTrust> {
    let state = state_of(app).await?;
    let names = state.witnessed_by.join(", ");
    Ok(LedgerTrust {
        size: state.size,
        signed: state.signed.map(|s| (s.size, when::date_time(s.at))),
        witnessed: state.witnessed.map(|s| (s.size, when::date_time(s.at), names)),
        has_witness: !state.witnesses.is_empty(),
        key: state.keys.last().cloned().unwrap_or_default(),
        refused: state.refused.map(|reason| (reason, when::date_time(state.refused_since.unwrap_or_default()))),
    })
}

fn choices(all: Vec<(String, String)>, selected: &str) -> Vec<Choice> {
    let first = Choice { value: String::new(), label: "전체".to_owned(), selected: selected.is_empty() };
    let rest = all.into_iter().map(|(value, label)| Choice { selected: value == selected, value, label });
    std::iter::once(first).chain(rest).collect()
}

/// Links that keep the filters, and the record's end as it was on the first page.
fn pager(filters: &Filters, total: usize, anchor: i64) -> Pager {
    let pages = total.div_ceil(usize::try_from(PAGE).unwrap_or(1)).max(1);
    let at = usize::try_from(filters.page()).unwrap_or(1);
    let given = [
        ("q", &filters.q),
        ("kind", &filters.kind),
        ("department", &filters.department),
        ("from", &filters.from),
        ("to", &filters.to),
    ];
    let kept: String =
        given.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}&", encode(v))).collect();
    let link = |page: usize| format!("/ledger?{kept}page={page}&before={anchor}");
    Pager {
        page: at,
        pages,
        previous: (at > 1).then(|| link((at - 1).min(pages))),
        next: (at < pages).then(|| link(at + 1)),
    }
}

fn row(entry: &Entry) -> LedgerRow {
    let read = record_words::read(entry);
    LedgerRow {
        seq: entry.seq,
        when: when::date_time(read.at),
        kind: record_words::kind(&read.action).to_owned(),
        who: read.who,
        department: read.department,
        summary: record_words::summary(&read.detail),
        hash: entry.hash.chars().take(HASH_SHOWN).collect(),
    }
}

async fn one(State(app): State<App>, Security(reader): Security, uri: Uri, Path(seq): Path<String>) -> Page {
    let end = app.store.ledger_end().await?;
    let entry = one_of(&app, reader.scope(), &seq).await?;
    let detail = record_words::read(&entry).detail;
    let payload: serde_json::Value = serde_json::from_str(&entry.payload).unwrap_or_default();
    render(LedgerRecordPage {
        frame: frame(&app, &reader, &uri).await?,
        l: reader.lang,
        row: row(&entry),
        fields: record_words::fields(&detail),
        sound: follows(&app, &entry).await?,
        subject: record_words::subject(&detail),
        json: serde_json::to_string_pretty(&payload).unwrap_or_default(),
        data: JsonIsland::new(&payload),
        previous: (entry.seq > 1).then(|| entry.seq - 1),
        next: i64::try_from(entry.seq).is_ok_and(|seq| seq < end).then(|| entry.seq + 1),
        hash: entry.hash,
        previous_hash: entry.prev_hash,
    })
}

/// Does the record follow the one before it, by its recomputed hash, and the one after it this one?
async fn follows(app: &App, entry: &Entry) -> Handled<bool> {
    let seq = i64::try_from(entry.seq).unwrap_or(i64::MAX);
    let around = app.store.ledger_chain((seq - 1).max(1), if seq > 1 { 3 } else { 2 }).await?;
    let before = around.iter().find(|e| e.seq.checked_add(1) == Some(entry.seq)).map(Head::from);
    let head = match before {
        Some(head) => head,
        None if entry.seq == 1 => Head::genesis(),
        None => return Ok(false),
    };
    let mut verifier = Verifier::after(head);
    Ok(around.iter().filter(|e| e.seq >= entry.seq).all(|e| verifier.push(e).is_ok()))
}

//! Each new record of the ledger to the body's SIEM: metadata alone, in the record's order, from a cursor in the database
//! that moves when a batch was delivered. A batch that failed is sent again, later and later up to five minutes.

use super::metadata::{Form, message};
use crate::app::App;
use madang_gateway::syslog::{Sender, SyslogError};
use madang_store::ledger::Event;
use madang_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);
/// Records of a batch.
const BATCH: i64 = 500;
/// Settings of the installation.
const CURSOR: &str = "siem_cursor";
const TARGET: &str = "siem_target";
const STATE: &str = "siem_state";

/// How it goes, for screens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Number of the last record that was delivered.
    pub cursor: i64,
    /// Unix milliseconds.
    pub at: i64,
    /// Why the last batch was not delivered. Korean.
    pub error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Syslog(#[from] SyslogError),
    #[error("보내던 일이 끊겼습니다")]
    Cut,
}

/// Who receives, and in what form.
#[derive(Clone)]
pub struct Link {
    pub sender: Sender,
    pub form: Form,
}

/// Sends until the server stops. What was not delivered then is sent at the next start.
pub async fn follow(app: App, link: Link) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match batch(&app, &link).await {
            Ok(sent) if sent == BATCH => Duration::ZERO,
            Ok(_) => EVERY,
            Err(error) => {
                tracing::warn!(%error, "records were not delivered to the SIEM");
                note_fault(&app, &error.to_string()).await;
                (pause * 2).clamp(EVERY, LONGEST)
            }
        };
    }
}

/// Where delivery stands; `None` where nothing was ever set up.
///
/// # Errors
/// When the database fails.
pub async fn state(store: &Store) -> Result<Option<State>, StoreError> {
    let stored = store.meta(STATE).await?;
    Ok(stored.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The last record that was delivered. Where another receiver was named it begins with the record that says so.
async fn cursor(app: &App, link: &Link) -> Result<i64, StoreError> {
    let to = link.sender.receiver().to_string();
    let stored = app.store.meta(CURSOR).await?.and_then(|n| n.parse().ok());
    let same = app.store.meta(TARGET).await?.as_deref() == Some(&to);
    if let Some(cursor) = stored.filter(|_| same) {
        return Ok(cursor);
    }
    let begin = match stored {
        Some(cursor) => cursor,
        None => app.store.ledger_end().await?,
    };
    app.store.record(Event::new("siem_target_changed", None, json!({ "host": to }))).await?;
    app.store.set_meta(CURSOR, Some(&begin.to_string())).await?;
    app.store.set_meta(TARGET, Some(&to)).await?;
    Ok(begin)
}

async fn batch(app: &App, link: &Link) -> Result<i64, Fault> {
    let from = cursor(app, link).await?;
    let entries = app.store.ledger_chain(from.saturating_add(1), BATCH).await?;
    let Some(last) = entries.last().and_then(|e| i64::try_from(e.seq).ok()) else { return Ok(0) };
    let host = app.settings.host_name();
    let lines: Vec<String> = entries.iter().map(|e| message(e, &host, link.form).line()).collect();
    let sender = link.sender.clone();
    tokio::task::spawn_blocking(move || sender.deliver(&lines)).await.map_err(|_| Fault::Cut)??;
    app.store.set_meta(CURSOR, Some(&last.to_string())).await?;
    let state = State { cursor: last, at: app.store.now(), error: None };
    app.store.set_meta(STATE, Some(&json!(state).to_string())).await?;
    Ok(i64::try_from(entries.len()).unwrap_or(BATCH))
}

async fn note_fault(app: &App, words: &str) {
    let kept = async {
        let mut state = state(&app.store).await?.unwrap_or_default();
        state.error = Some(words.to_owned());
        app.store.set_meta(STATE, Some(&json!(state).to_string())).await
    };
    if let Err(error) = kept.await {
        tracing::error!(%error, "the state of the SIEM link was not kept");
    }
}

//! Deadlines of outside calls: approvals that ran out and requests on which nobody decided end within a minute. What
//! that means is the store's.

use crate::app::App;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(60);

/// Looks once a minute until the server stops.
pub async fn follow(app: App) {
    while !app.shutdown.is_cancelled() {
        if let Err(error) = app.store.end_overdue_calls().await {
            tracing::warn!(%error, "overdue outside calls could not be ended; tried again in a minute");
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

//! The daily job that deletes texts past their time. What is due, and the proof, are the store's.

use crate::app::App;
use madang_store::StoreError;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// How much was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Erased {
    /// Outside calls whose texts went.
    pub calls: usize,
    /// Runs and trials whose texts went.
    pub runs: usize,
}

/// Deletes all that is due.
///
/// # Errors
/// When the database fails; what was deleted before stays deleted, with its record.
pub async fn erase(app: &App) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    while !app.shutdown.is_cancelled() {
        let (calls, runs) = (app.store.erase_due_texts().await?, app.bodies.erase_due_runs().await?);
        if calls + runs == 0 {
            break;
        }
        erased.calls += calls;
        erased.runs += runs;
    }
    Ok(erased)
}

/// Once at the start, and every day, until the server stops.
pub async fn follow(app: App) {
    loop {
        let pause = match erase(&app).await {
            Ok(Erased { calls: 0, runs: 0 }) => EVERY,
            Ok(Erased { calls, runs }) => {
                tracing::info!(calls, runs, "texts past their retention were deleted");
                EVERY
            }
            Err(error) => {
                tracing::error!(%error, "texts past their retention could not be deleted");
                AGAIN
            }
        };
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

//! The daily job that deletes texts past their time. What is due, and the proof, are the store's.

use crate::app::App;
use madang_store::StoreError;
use std::time::Duration;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// Deletes all that is due; how many calls.
///
/// # Errors
/// When the database fails; what was deleted before stays deleted, with its record.
pub async fn erase(app: &App) -> Result<usize, StoreError> {
    let mut erased = 0;
    loop {
        match app.store.erase_due_texts().await? {
            0 => return Ok(erased),
            n => erased += n,
        }
        if app.shutdown.is_cancelled() {
            return Ok(erased);
        }
    }
}

/// Once at the start, and every day, until the server stops.
pub async fn follow(app: App) {
    loop {
        let pause = match erase(&app).await {
            Ok(0) => EVERY,
            Ok(erased) => {
                tracing::info!(erased, "texts of outside calls past their retention were deleted");
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

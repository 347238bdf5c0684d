//! Calls that block on the disk or compute for long, off the async threads.

/// Runs `call` on a thread for blocking work.
///
/// # Errors
/// Only when it panicked.
pub async fn run<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(std::io::Error::other)
}

//! The harness: the real binary over HTTP, a client that behaves like a browser or a script, a small city to act in.
//! Tests live in `tests/tests`; what they need in common lives here, and no expectations do.

mod browser;
mod certificate;
mod city;
mod client;
mod https;
mod model_server;
pub mod outside;
mod postgres;
mod process;
mod proxy;
mod syslog;

pub use browser::{Browser, key};
pub use certificate::Authority;
pub use city::{City, Member, PASSWORD};
pub use client::{Client, SseEvent};
pub use https::{Asked, FileHost, reply, serve_file};
pub use model_server::ModelServer;
pub use postgres::Postgres;
pub use process::{Madang, binary, model};
pub use proxy::proxy;
pub use syslog::SyslogReceiver;

/// Waits until `condition` gives a value, asking again and again for at most two minutes.
///
/// # Errors
/// Names what was waited for.
pub async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        anyhow::ensure!(std::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

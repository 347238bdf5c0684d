//! Our side of the benchmark.

use super::report::{Report, Request};
use anyhow::Result;

/// One run in a process of its own; `None` where this build has no engine to measure.
///
/// # Errors
/// When the engine fails.
pub fn run(_request: &Request) -> Result<Option<Report>> {
    Ok(None)
}

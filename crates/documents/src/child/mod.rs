//! Reading in a process of its own: [`serve`] is what the child runs, [`Sandbox`] what its parent holds. A child
//! answers requests one after another: a header line of JSON, then the bytes; one line of JSON comes back.

mod sandbox;
mod serve;
mod worker;

pub use sandbox::{Reuse, Sandbox};
pub use serve::{ServeError, serve};

use crate::{Extracted, Limits, ReadError};
use serde::{Deserialize, Serialize};

/// First line of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    file_name: String,
    /// Bytes that follow the line.
    length: u64,
    limits: Limits,
}

/// The whole reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Read(Box<Extracted>),
    Refused(ReadError),
}

/// Longest header line: a file name and some numbers.
const MAX_HEADER: u64 = 64 << 10;

//! The record as a file that proves itself: JSON Lines with the entries, the log's checkpoints each after the last
//! entry that it covers, and an end with a checksum. How a whole one is verified is in `verify`; a part of the record,
//! which proves each of its entries, in `partial`.
//!
//! ```text
//! {"export":{"format":"madang.ledger.export.v1","origin":"city.example.kr/ledger"}}
//! {"seq":1,…}                        an entry, as `to_line` writes it
//! {"checkpoint":"city.example.kr/ledger\n1\n…\n\n— …\n"}
//! {"end":{"records":1,"sha256":"…"}}  checksum of all bytes before this line
//! ```

mod partial;
mod verify;

pub use partial::{PartialLines, PartialReport, Selection, verify_partial};
pub use verify::{ExportReport, VerifyOptions, verify_export};

use crate::chain::Entry;
use crate::checkpoint::SignedCheckpoint;
use crate::lines::to_line;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

const FORMAT: &str = "madang.ledger.export.v1";

/// A line that is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Meta {
    Export { format: String, origin: String },
    Checkpoint(String),
    End { records: u64, sha256: String },
}

/// Reads a line that is no entry, with its line feed, in its one spelling.
fn parse_line<T: Serialize + for<'d> Deserialize<'d>>(line: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(line).ok()?;
    let written = write_line(&read).ok()?;
    (written.as_bytes() == line).then_some(read)
}

fn write_line<T: Serialize>(line: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(line).map(|text| text + "\n")
}

/// Writes an export line by line; each line is given out with its line feed, to be written wherever the file goes.
/// Checks nothing: what is wrong with a record must be exportable too, and shows when the file is verified.
#[derive(Debug, Clone)]
pub struct ExportLines {
    digest: Sha256,
    records: u64,
}

impl ExportLines {
    /// Begins an export: gives the first line.
    ///
    /// # Errors
    /// None that occurs: a struct of strings has a JSON text. So of all these.
    pub fn begin(origin: &str) -> Result<(Self, String), serde_json::Error> {
        let mut lines = ExportLines { digest: Sha256::new(), records: 0 };
        let first = lines.add(write_line(&Meta::Export { format: FORMAT.to_owned(), origin: origin.to_owned() })?);
        Ok((lines, first))
    }

    /// The next entry, in the chain's order.
    ///
    /// # Errors
    /// As [`ExportLines::begin`].
    pub fn entry(&mut self, entry: &Entry) -> Result<String, serde_json::Error> {
        let line = to_line(entry)?;
        self.records += 1;
        Ok(self.add(line))
    }

    /// A checkpoint: right after the entry whose number is its size, checkpoints of one size one after another.
    ///
    /// # Errors
    /// As [`ExportLines::begin`].
    pub fn checkpoint(&mut self, checkpoint: &SignedCheckpoint) -> Result<String, serde_json::Error> {
        Ok(self.add(write_line(&Meta::Checkpoint(checkpoint.to_string()))?))
    }

    /// The last line. A checkpoint of all entries should stand before it.
    ///
    /// # Errors
    /// As [`ExportLines::begin`].
    pub fn end(self) -> Result<String, serde_json::Error> {
        write_line(&Meta::End { records: self.records, sha256: hex::encode(self.digest.finalize()) })
    }

    fn add(&mut self, line: String) -> String {
        self.digest.update(&line);
        line
    }
}

/// Where a file or the record in it does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// This entry, the first bad one, or the one that is missing.
    Record(u64),
    /// Some of these entries, both ends included: up to the one before, everything is proven.
    Records { first: u64, last: u64 },
    /// The checkpoint of this size.
    Checkpoint(u64),
    /// The file itself rather than anything recorded.
    File,
}

/// The first place where a file or the record in it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
pub struct ExportFault {
    pub place: Place,
    /// Line of the file, from 1; one past the last for what is missing at its end.
    pub line: u64,
    /// In Korean, for the security officer.
    pub reason: String,
}

impl ExportFault {
    /// Number of the first entry that is bad or no longer proven.
    pub fn first_bad(&self) -> Option<u64> {
        match self.place {
            Place::Record(seq) | Place::Records { first: seq, .. } => Some(seq),
            Place::Checkpoint(_) | Place::File => None,
        }
    }
}

impl fmt::Display for ExportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportFault { place, line, reason } = self;
        match place {
            Place::Record(seq) => write!(f, "원장 {seq}번 기록(파일 {line}번째 줄): {reason}"),
            Place::Records { first, last } if first == last => {
                write!(f, "원장 {first}번 기록(파일 {line}번째 줄): {reason}")
            }
            Place::Records { first, last } => write!(f, "원장 {first}~{last}번 기록(파일 {line}번째 줄): {reason}"),
            Place::Checkpoint(size) => write!(f, "원장 {size}번까지의 체크포인트(파일 {line}번째 줄): {reason}"),
            Place::File => write!(f, "내보낸 파일 {line}번째 줄: {reason}"),
        }
    }
}

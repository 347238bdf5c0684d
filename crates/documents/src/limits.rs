//! Bounds on one reading: what an honest municipal document stays well under.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How passages are cut, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassageSize {
    /// A passage is closed once it holds this many.
    pub target: usize,
    /// No unit is joined beyond this; a longer unit is split at sentence ends.
    pub max: usize,
}

impl Default for PassageSize {
    fn default() -> Self {
        Self { target: 600, max: 900 }
    }
}

/// What to do with 배포용 HWP, whose author sealed it against copying and printing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributionPolicy {
    /// [`crate::ReadError::Distribution`].
    #[default]
    Refuse,
    /// Open it as Hancom's published format says. Whoever sets this answers for the right to do so.
    Decrypt,
}

/// Bounds on one reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Size of the file.
    pub input_bytes: u64,
    /// Sum of everything inside the file once inflated.
    pub inflated_bytes: u64,
    /// Entries of a package.
    pub entries: usize,
    /// Depth of nested elements in a package's XML.
    pub depth: usize,
    /// Characters of stored text.
    pub text_chars: usize,
    /// Filled cells over all sheets of a workbook.
    pub cells: usize,
    /// Wall-clock time; the child process also gets it as processor time.
    pub time: Duration,
    /// Address space of the child process.
    pub memory_bytes: u64,
    /// Most bytes that the child process may answer.
    pub output_bytes: u64,
    pub passages: PassageSize,
    #[serde(default)]
    pub distribution: DistributionPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 200 << 20,
            inflated_bytes: 512 << 20,
            entries: 20_000,
            depth: 200,
            text_chars: 10_000_000,
            cells: 2_000_000,
            time: Duration::from_secs(60),
            memory_bytes: 3 << 30,
            output_bytes: 256 << 20,
            passages: PassageSize::default(),
            distribution: DistributionPolicy::default(),
        }
    }
}

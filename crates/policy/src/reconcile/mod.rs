//! A provider's bill beside the record: what both know, what only one of them knows, and where they differ. Reading the
//! file is `invoice`'s, pairing `matching`'s, words `report`'s.

mod columns;
mod invoice;
mod matching;
mod report;

use crate::money::MicroWon;
use madang_domain::ExternalCallId;
use serde::Serialize;

pub use columns::{Column, Columns};
pub use invoice::{BadRow, Invoice, InvoiceError, InvoiceRow, MAX_ROWS, ReadOptions, read};
pub use matching::{Rules, reconcile};

/// A call as the record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    pub id: ExternalCallId,
    /// When it was sent, Unix milliseconds.
    pub at_ms: i64,
    pub model: String,
    /// The provider's own identifier, as it came with the reply.
    pub request_id: Option<String>,
    /// `None`: the outcome is not known.
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub won: Option<MicroWon>,
    /// It left, or may have; false: the record says that nothing left.
    pub left: bool,
}

/// How a row and a call were paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    RequestId,
    /// Near in time, the same model, tokens within tolerance.
    TimeAndTokens,
}

/// A field in which a paired row and call differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Korean name of the field.
    pub field: &'static str,
    /// As shown.
    pub billed: String,
    pub recorded: String,
}

/// A row with the call that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    pub line: u64,
    pub call: ExternalCallId,
    pub by: MatchedBy,
    pub differences: Vec<Difference>,
    /// Billed although the record says that nothing left.
    pub never_left: bool,
}

/// Sums of one side; what a row or call does not say counts as nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub rows: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub won: MicroWon,
}

/// What came out of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    pub pairs: Vec<Pair>,
    /// Billed, and not in the record: a call that went past the door, or a row that is not ours.
    pub only_billed: Vec<InvoiceRow>,
    /// On record as sent, and not billed (yet).
    pub only_recorded: Vec<ExternalCallId>,
    /// Rows that could not be read; they are not in the totals.
    pub bad: Vec<BadRow>,
    pub billed: Totals,
    pub recorded: Totals,
}

impl Reconciliation {
    /// Nothing to explain.
    pub fn clean(&self) -> bool {
        let even = |p: &Pair| p.differences.is_empty() && !p.never_left;
        self.only_billed.is_empty()
            && self.only_recorded.is_empty()
            && self.bad.is_empty()
            && self.pairs.iter().all(even)
    }

    /// The comparison in Korean, line by line.
    pub fn report(&self) -> Vec<String> {
        report::lines(self)
    }
}

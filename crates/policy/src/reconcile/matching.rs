//! Pairs the rows of a bill with recorded calls: by the provider's request id, else by nearness in time, model and
//! tokens. A row and a call are each used once.

use super::{Difference, Invoice, InvoiceRow, MatchedBy, Pair, Reconciliation, RecordedCall, Totals};
use crate::money::{MicroWon, grouped};
use std::collections::{BTreeMap, BTreeSet};

const DAY: i64 = 86_400_000;

/// How near is near enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Farthest a row and a call may lie apart. Default 10 minutes: clocks differ, and some bills name the end of a call.
    pub window_ms: i64,
    /// Tokens by which a pair without a common id may differ. Default 0.
    pub token_tolerance: u64,
    /// Money by which a pair may differ unremarked. Default one won.
    pub won_tolerance: MicroWon,
}

impl Default for Rules {
    fn default() -> Self {
        Self { window_ms: 600_000, token_tolerance: 0, won_tolerance: MicroWon(1_000_000) }
    }
}

/// Compares a bill with the calls on record, which should reach as far beyond the bill's first and last row as
/// [`Rules::window_ms`].
pub fn reconcile(invoice: &Invoice, recorded: &[RecordedCall], rules: &Rules) -> Reconciliation {
    let mut matcher = Matcher::new(recorded, rules);
    let mut paired: BTreeMap<usize, (usize, MatchedBy)> = BTreeMap::new();
    for (i, row) in invoice.rows.iter().enumerate() {
        if let Some(call) = matcher.by_id(row) {
            paired.insert(i, (call, MatchedBy::RequestId));
        }
    }
    // Rows in the order of time: of two alike the earlier one gets the earlier call.
    let mut rest: Vec<usize> = (0..invoice.rows.len()).filter(|i| !paired.contains_key(i)).collect();
    rest.sort_by_key(|i| invoice.rows.get(*i).map(|r| (r.day_only, r.at_ms, r.line)));
    for i in rest {
        if let Some(call) = invoice.rows.get(i).and_then(|row| matcher.by_nearness(row)) {
            paired.insert(i, (call, MatchedBy::TimeAndTokens));
        }
    }
    let pairs =
        paired.iter().filter_map(|(i, (c, by))| Some(pair(invoice.rows.get(*i)?, recorded.get(*c)?, *by, rules)));
    let unpaired = invoice.rows.iter().enumerate().filter(|(i, _)| !paired.contains_key(i));
    let left_over = recorded.iter().enumerate().filter(|(i, c)| c.left && !matcher.used.contains(i));
    Reconciliation {
        pairs: pairs.collect(),
        only_billed: unpaired.map(|(_, row)| row.clone()).collect(),
        only_recorded: left_over.map(|(_, call)| call.id).collect(),
        bad: invoice.bad.clone(),
        billed: totals(invoice.rows.iter().map(|r| (r.tokens_in, r.tokens_out, r.won))),
        recorded: totals(recorded.iter().filter(|c| c.left).map(|c| (c.tokens_in, c.tokens_out, c.won))),
    }
}

fn totals(all: impl Iterator<Item = (Option<u64>, Option<u64>, Option<MicroWon>)>) -> Totals {
    all.fold(Totals::default(), |sum, (tokens_in, tokens_out, won)| Totals {
        rows: sum.rows.saturating_add(1),
        tokens_in: sum.tokens_in.saturating_add(tokens_in.unwrap_or_default()),
        tokens_out: sum.tokens_out.saturating_add(tokens_out.unwrap_or_default()),
        won: MicroWon(sum.won.0.saturating_add(won.unwrap_or_default().0)),
    })
}

struct Matcher<'a> {
    recorded: &'a [RecordedCall],
    rules: &'a Rules,
    ids: BTreeMap<&'a str, Vec<usize>>,
    /// By time; calls that never left come last, since only an id proves that one was billed.
    times: BTreeSet<(i64, usize)>,
    used: BTreeSet<usize>,
}

impl<'a> Matcher<'a> {
    fn new(recorded: &'a [RecordedCall], rules: &'a Rules) -> Self {
        let mut ids: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, call) in recorded.iter().enumerate() {
            if let Some(id) = &call.request_id {
                ids.entry(id.trim()).or_default().push(i);
            }
        }
        let times = recorded.iter().enumerate().filter(|(_, c)| c.left).map(|(i, c)| (c.at_ms, i)).collect();
        Self { recorded, rules, ids, times, used: BTreeSet::new() }
    }

    fn take(&mut self, index: usize) -> usize {
        self.used.insert(index);
        if let Some(call) = self.recorded.get(index) {
            self.times.remove(&(call.at_ms, index));
        }
        index
    }

    /// A call with the row's id that is not taken yet: an id billed twice is paired once.
    fn by_id(&mut self, row: &InvoiceRow) -> Option<usize> {
        let calls = self.ids.get(row.request_id.as_deref()?.trim())?;
        let free = calls.iter().copied().find(|i| !self.used.contains(i))?;
        Some(self.take(free))
    }

    fn by_nearness(&mut self, row: &InvoiceRow) -> Option<usize> {
        let at = row.at_ms?;
        // A bill that has tokens in neither column gives no ground to pair by.
        if row.tokens_in.is_none() && row.tokens_out.is_none() {
            return None;
        }
        let (before, after) =
            (self.rules.window_ms, if row.day_only { DAY + self.rules.window_ms } else { self.rules.window_ms });
        let range = (at.saturating_sub(before), 0)..=(at.saturating_add(after), usize::MAX);
        let fits = |i: usize| self.recorded.get(i).is_some_and(|call| self.alike(row, call));
        let near = self.times.range(range).filter(|(_, i)| fits(*i));
        let (_, best) = near.min_by_key(|(time, i)| (if row.day_only { 0 } else { time.abs_diff(at) }, *i)).copied()?;
        Some(self.take(best))
    }

    /// Could stand for each other although no id says so. Two different ids say that they do not.
    fn alike(&self, row: &InvoiceRow, call: &RecordedCall) -> bool {
        let ids = row.request_id.as_deref().map(str::trim).zip(call.request_id.as_deref().map(str::trim));
        let near = |billed: Option<u64>, known: Option<u64>| {
            billed.zip(known).is_none_or(|(b, k)| b.abs_diff(k) <= self.rules.token_tolerance)
        };
        ids.is_none_or(|(a, b)| a == b)
            && same_model(&row.model, &call.model)
            && near(row.tokens_in, call.tokens_in)
            && near(row.tokens_out, call.tokens_out)
    }
}

/// Bills name the dated model where a request named its alias: `model-x` and `model-x-2026-05-01`.
fn same_model(billed: &str, asked: &str) -> bool {
    let (billed, asked) = (billed.to_lowercase(), asked.to_lowercase());
    let dated = |long: &str, short: &str| {
        let rest = long.strip_prefix(short).and_then(|rest| rest.strip_prefix(['-', '@', ':']));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
    };
    billed == asked || dated(&billed, &asked) || dated(&asked, &billed)
}

fn pair(row: &InvoiceRow, call: &RecordedCall, by: MatchedBy, rules: &Rules) -> Pair {
    let mut differences = Vec::new();
    if !row.model.is_empty() && !same_model(&row.model, &call.model) {
        differences.push(Difference { field: "모델", billed: row.model.clone(), recorded: call.model.clone() });
    }
    for (field, billed, known) in
        [("입력 토큰", row.tokens_in, call.tokens_in), ("출력 토큰", row.tokens_out, call.tokens_out)]
    {
        if let Some((b, k)) = billed.zip(known).filter(|(b, k)| b != k) {
            differences.push(Difference { field, billed: grouped(b), recorded: grouped(k) });
        }
    }
    let apart = |(b, k): &(MicroWon, MicroWon)| b.0.abs_diff(k.0) > rules.won_tolerance.0.max(0).unsigned_abs();
    if let Some((b, k)) = row.won.zip(call.won).filter(apart) {
        differences.push(Difference { field: "금액", billed: b.to_string(), recorded: k.to_string() });
    }
    Pair { line: row.line, call: call.id, by, differences, never_left: !call.left }
}

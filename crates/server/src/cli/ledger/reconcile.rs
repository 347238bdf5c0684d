//! `madang ledger reconcile`: a provider's bill beside what the record says was sent to it. The comparison is
//! `madang-policy`'s. Exit codes: 0 they agree, 1 they do not, 2 wrong use.

use super::super::Home;
use super::open;
use crate::desk::left;
use crate::desk::month::Month;
use anyhow::{Context, anyhow};
use madang_policy::money::{MICRO_PER_WON, MicroWon};
use madang_policy::reconcile::{
    Invoice, ReadOptions, Reconciliation, RecordedCall, Rules, read as read_bill, reconcile,
};
use madang_policy::time::shown;
use madang_store::Store;
use madang_store::calls_review::ReviewedCall;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Reconcile {
    #[command(flatten)]
    home: Home,
    /// The provider's bill or usage file: CSV, UTF-8.
    invoice: PathBuf,
    /// The provider, as its name stands in the list of providers, or its host.
    #[arg(long)]
    provider: String,
    /// The month that was billed, as 2026-11 in Korea; without it the span of the bill's rows.
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,
    /// Hours from UTC of times in the bill that name no zone.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i8).range(-12..=14), allow_negative_numbers = true)]
    zone: i8,
    /// Won in one unit of the bill's cost column: 1 for a bill in won, the rate for one in another currency.
    #[arg(long, default_value_t = 1)]
    won_per_unit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Reconcile {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let month = match self.month.as_deref().map(Month::parse).transpose() {
            Ok(month) => month,
            Err(_) => return wrong("달을 2026-11처럼 적어 주세요."),
        };
        let fault = || format!("{} 파일을 읽을 수 없습니다", self.invoice.display());
        let bytes = std::fs::read(&self.invoice).with_context(fault)?;
        let options = ReadOptions {
            zone_hours: self.zone,
            micro_won_per_unit: i64::from(self.won_per_unit) * MICRO_PER_WON,
            ..ReadOptions::default()
        };
        let invoice = match read_bill(&bytes, &options) {
            Ok(invoice) => invoice,
            Err(fault) => return wrong(&fault.to_string()),
        };
        let rules = Rules::default();
        let Some((from, until)) = month.map(|m| (m.starts_ms(), m.ends_ms())).or_else(|| span(&invoice)) else {
            return wrong("청구서에 일시가 없습니다. --month로 청구한 달을 적어 주세요.");
        };
        let (_, store) = open(&self.home).await?;
        let calls = self.calls(&store, from - rules.window_ms, until + rules.window_ms).await;
        store.close().await;
        let Some(calls) = calls? else {
            return wrong(&format!("'{}'(이)라는 제공자가 없습니다. 이름을 확인해 주세요.", self.provider));
        };
        let found = reconcile(&invoice, &within(&invoice, calls, &rules, from, until), &rules);
        if self.json {
            told_as_json(&self.provider, from, until, &found)?
        } else {
            told(&self.provider, from, until, &found)?
        }
        Ok(if found.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Calls that the provider may have billed; `None` where there is no such provider.
    async fn calls(&self, store: &Store, from: i64, until: i64) -> anyhow::Result<Option<Vec<RecordedCall>>> {
        let calls = store.calls_of_provider(&self.provider, from, until).await?;
        let known = !calls.is_empty() || store.provider_names().await?.contains(&self.provider);
        Ok(known.then(|| calls.iter().filter(|c| c.reply_from.is_none()).filter_map(recorded).collect()))
    }
}

/// A call that was sent, or was about to be.
fn recorded(call: &ReviewedCall) -> Option<RecordedCall> {
    let tokens = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    Some(RecordedCall {
        id: call.id,
        at_ms: call.sent_at?,
        model: call.model.clone(),
        request_id: call.provider_request_id.clone(),
        tokens_in: tokens(call.tokens_in),
        tokens_out: tokens(call.tokens_out),
        won: call.won_spent.map(MicroWon),
        left: left(call),
    })
}

/// From the bill's first to its last row.
fn span(invoice: &Invoice) -> Option<(i64, i64)> {
    let times = || invoice.rows.iter().filter_map(|r| r.at_ms);
    Some((times().min()?, times().max()?.saturating_add(86_400_000)))
}

/// Calls of the period, and those beside it that the bill names; others beside it are another bill's.
fn within(invoice: &Invoice, mut calls: Vec<RecordedCall>, rules: &Rules, from: i64, until: i64) -> Vec<RecordedCall> {
    let named: BTreeSet<_> = reconcile(invoice, &calls, rules).pairs.into_iter().map(|p| p.call).collect();
    calls.retain(|c| (from..until).contains(&c.at_ms) || named.contains(&c.id));
    calls
}

fn told(provider: &str, from: i64, until: i64, found: &Reconciliation) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{provider}: {}부터 {}까지", shown(from), shown(until))?;
    writeln!(out, "  맞음 {}건", found.pairs.iter().filter(|p| p.differences.is_empty() && !p.never_left).count())?;
    writeln!(out, "  다름 {}건", found.pairs.iter().filter(|p| !p.differences.is_empty()).count())?;
    writeln!(out, "  보내지 않았는데 청구됨 {}건", found.pairs.iter().filter(|p| p.never_left).count())?;
    writeln!(out, "  청구서에만 있음 {}건", found.only_billed.len())?;
    writeln!(out, "  원장에만 있음 {}건", found.only_recorded.len())?;
    writeln!(out, "  읽지 못한 줄 {}건", found.bad.len())?;
    for line in found.report() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn told_as_json(provider: &str, from: i64, until: i64, found: &Reconciliation) -> anyhow::Result<()> {
    let value = json!({ "provider": provider, "from_ms": from, "until_ms": until, "agrees": found.clean(), "comparison": found });
    let text = serde_json::to_string_pretty(&value).map_err(|e| anyhow!(e)).context("JSON")?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn wrong(words: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stderr(), "{words}")?;
    Ok(ExitCode::from(2))
}

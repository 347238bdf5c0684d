//! Medians of the reports as one Markdown table.

use super::bandwidth::{TokenBytes, token_bytes};
use anyhow::Result;
use madang_inference::bench::Report;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// Whose report it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Ours,
    Peer,
}

/// All reports about one file.
#[derive(Debug, Serialize)]
pub struct Measured {
    model: String,
    #[serde(skip)]
    bytes: TokenBytes,
    reports: Vec<(Side, Report)>,
}

impl Measured {
    /// # Errors
    /// When the file cannot be read.
    pub fn new(model: &Path, reports: Vec<(Side, Report)>) -> Result<Self> {
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { model: name, bytes: token_bytes(model)?, reports })
    }

    /// Median over one side's runs; `None` where it has none.
    fn median(&self, side: Side, value: impl Fn(&Report) -> Option<f64>) -> Option<f64> {
        let own = self.reports.iter().filter(|(one, _)| *one == side);
        let mut values: Vec<f64> = own.filter_map(|(_, report)| value(report)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            length if length % 2 == 1 => values.get(middle).copied(),
            _ => Some((values.get(middle - 1)? + values.get(middle)?) / 2.0),
        }
    }
}

/// How a row's numbers are written and which way is better.
#[derive(Clone, Copy)]
enum Unit {
    /// Tokens per second: more is better. With the bytes that one token reads where that is what may bound it.
    Speed(Option<u64>),
    /// Milliseconds: less is better.
    Time,
    /// Bytes: less is better.
    Memory,
}

/// What was measured of the machine.
pub struct Machine {
    /// Bytes per second that all threads read together.
    pub bandwidth: f64,
    pub threads: usize,
    /// Load average before the first run.
    pub busy: Option<f64>,
}

/// The table, with what was measured of the machine before it.
pub fn markdown(measured: &[Measured], machine: &Machine) -> String {
    let Machine { bandwidth, threads, busy } = *machine;
    let mut text = String::new();
    if let Some(busy) = busy.filter(|busy| *busy > 0.5) {
        let _ = writeln!(text, "**Other work was on this machine (load average {busy:.1} before the first run).**\n");
    }
    let engines: std::collections::BTreeSet<&str> =
        measured.iter().flat_map(|one| one.reports.iter().map(|(_, report)| report.engine.as_str())).collect();
    let names: Vec<&str> = engines.into_iter().collect();
    let _ = writeln!(
        text,
        "{}; {threads} threads; memory read at {:.1} GB/s by {threads} threads. Ratio: above 1 ours is ahead. Bound: the \
         share of that bandwidth that the weights and cached keys and values read per token amount to, ours / peer.\n",
        names.join(", "),
        bandwidth / 1e9
    );
    text.push_str("| model | what | ours | llama.cpp | ratio | bound |\n| --- | --- | ---: | ---: | ---: | ---: |\n");
    for one in measured {
        rows(one, bandwidth, &mut text);
    }
    for one in measured {
        let (weights, position) = (one.bytes.weights as f64 / 1e6, one.bytes.per_position as f64 / 1e3);
        let most = bandwidth / one.bytes.weights as f64;
        let _ = writeln!(
            text,
            "\n{}: a decoded token reads {weights:.0} MB of weights and {position:.0} kB per position before it: at most \
             {most:.1} tokens/s at depth 0.",
            one.model
        );
    }
    text
}

fn rows(one: &Measured, bandwidth: f64, text: &mut String) {
    let Some((_, shape)) = one.reports.first() else { return };
    let mut row = |what: String, unit: Unit, value: &dyn Fn(&Report) -> Option<f64>| {
        let (ours, peer) = (one.median(Side::Ours, value), one.median(Side::Peer, value));
        let cell = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| written(number, unit));
        let ratio = match (ours, peer, unit) {
            (Some(ours), Some(peer), Unit::Speed(_)) => format!("{:.2}", ours / peer),
            (Some(ours), Some(peer), _) => format!("{:.2}", peer / ours),
            _ => "–".into(),
        };
        let share = |number: Option<f64>, bytes: u64| {
            number.map_or_else(|| "–".to_owned(), |number| format!("{:.0}%", 100.0 * number * bytes as f64 / bandwidth))
        };
        let bound = match unit {
            Unit::Speed(Some(bytes)) => format!("{} / {}", share(ours, bytes), share(peer, bytes)),
            _ => String::new(),
        };
        let _ = writeln!(text, "| {} | {what} | {} | {} | {ratio} | {bound} |", one.model, cell(ours), cell(peer));
    };
    for (i, prefill) in shape.prefill.iter().enumerate() {
        let what = format!("prefill {}, tokens/s", prefill.tokens);
        row(what, Unit::Speed(None), &|report| Some(report.prefill.get(i)?.per_second));
    }
    for (i, decode) in shape.decode.iter().enumerate() {
        let bytes = one.bytes.weights + one.bytes.per_position * decode.depth as u64;
        let what = format!("decode at depth {}, tokens/s", decode.depth);
        row(what, Unit::Speed(Some(bytes)), &|report| Some(report.decode.get(i)?.per_second));
    }
    for (i, parallel) in shape.parallel.iter().enumerate() {
        let what = format!("{} parallel, tokens/s of all", parallel.sequences);
        row(what, Unit::Speed(None), &|report| Some(report.parallel.get(i)?.per_second));
    }
    let first = &shape.first_token;
    let prompt = first.prefix + first.question;
    row(format!("first token of {prompt}, ms"), Unit::Time, &|report| Some(report.first_token.fresh_seconds));
    let what = format!("first token of {prompt}, {} shared, ms", first.prefix);
    row(what, Unit::Time, &|report| Some(report.first_token.shared_seconds));
    row("load, ms".into(), Unit::Time, &|report| Some(report.load_seconds));
    row("peak memory, MB".into(), Unit::Memory, &|report| Some(report.peak_bytes as f64));
}

fn written(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Speed(_) => format!("{number:.1}"),
        Unit::Time => format!("{:.0}", number * 1e3),
        Unit::Memory => format!("{:.0}", number / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, Measured, Side, TokenBytes, markdown};
    use madang_inference::bench::{Decode, FirstToken, Parallel, Prefill, Report};

    fn report(speed: f64) -> Report {
        Report {
            engine: "some engine".into(),
            load_seconds: 1.0,
            prefill: vec![Prefill { tokens: 128, per_second: speed }],
            decode: vec![Decode { depth: 2048, per_second: speed }],
            parallel: vec![Parallel { sequences: 8, per_second: speed }],
            first_token: FirstToken {
                prefix: 1500,
                question: 64,
                fresh_seconds: 8.0 / speed,
                shared_seconds: 1.0 / speed,
            },
            peak_bytes: 1_000_000,
        }
    }

    fn measured(reports: Vec<(Side, Report)>) -> Measured {
        Measured { model: "m".into(), bytes: TokenBytes { weights: 4000, per_position: 1 }, reports }
    }

    fn machine(busy: Option<f64>) -> Machine {
        Machine { bandwidth: 60_480.0, threads: 2, busy }
    }

    #[test]
    fn medians_and_ratios() {
        let runs = [(Side::Ours, 10.0), (Side::Peer, 5.0), (Side::Ours, 1000.0), (Side::Peer, 4.0), (Side::Ours, 8.0)];
        let one = measured(runs.into_iter().map(|(side, speed)| (side, report(speed))).collect());
        let text = markdown(&[one], &machine(None));
        assert!(text.contains("| m | prefill 128, tokens/s | 10.0 | 4.5 | 2.22 |  |"), "{text}");
        assert!(text.contains("| m | decode at depth 2048, tokens/s | 10.0 | 4.5 | 2.22 | 100% / 45% |"), "{text}");
        // less time is better: 0.8 s against (1.6 + 2.0) / 2
        assert!(text.contains("| m | first token of 1564, ms | 800 | 1800 | 2.25 |  |"), "{text}");
        assert!(text.contains("| m | peak memory, MB | 1 | 1 | 1.00 |  |"), "{text}");
    }

    #[test]
    fn one_side_alone_has_no_ratio() {
        let text = markdown(&[measured(vec![(Side::Ours, report(10.0))])], &machine(Some(3.0)));
        assert!(text.contains("| m | 8 parallel, tokens/s of all | 10.0 | – | – |  |"), "{text}");
        assert!(text.starts_with("**Other work was on this machine (load average 3.0"), "{text}");
    }
}

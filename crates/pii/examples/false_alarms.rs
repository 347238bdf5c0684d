//! Counts what the detector finds in texts of one sentence a line, by kind and per 1,000 lines:
//! `cargo run --release -p madang-pii --example false_alarms -- PATH…`. With `--show KIND` it prints the lines too.

use madang_pii::{Action, scan};
use std::collections::BTreeMap;
use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let show = arguments.iter().position(|a| a == "--show").map(|at| {
        arguments.remove(at);
        if at < arguments.len() { arguments.remove(at) } else { String::new() }
    });
    for path in arguments {
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        let (mut lines, mut blocked, mut kinds) = (0usize, 0usize, BTreeMap::<String, usize>::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            lines += 1;
            let report = scan(line);
            blocked += usize::from(report.action == Action::Block);
            for (kind, count) in report.counts() {
                *kinds.entry(kind.to_string()).or_default() += count;
            }
            for marking in &report.markings {
                *kinds.entry(format!("marking {}", marking.grade.letter())).or_default() += 1;
            }
            let chars: Vec<char> = line.chars().collect();
            for finding in report.findings.iter().filter(|f| show.as_deref() == Some(f.kind.as_str())) {
                let around = finding.start.saturating_sub(25)..(finding.end + 15).min(chars.len());
                let words: String = chars.get(around).unwrap_or_default().iter().collect();
                let value: String = chars.get(finding.start..finding.end).unwrap_or_default().iter().collect();
                writeln!(out, "{value}\t{words}")?;
            }
        }
        let rate = |n: usize| n as f64 * 1000.0 / lines.max(1) as f64;
        writeln!(out, "{path}: {lines} lines, {blocked} blocked ({:.2} per 1,000)", rate(blocked))?;
        for (kind, count) in kinds {
            writeln!(out, "  {kind:<24} {count:>7} {:>8.2} per 1,000", rate(count))?;
        }
    }
    Ok(())
}

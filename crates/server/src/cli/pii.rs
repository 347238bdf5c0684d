//! `madang pii scan`: finds personal identifiers in a file or standard input, with the detector that guards the door.
//! Exit codes: 0 scanned, whatever was found; 1 could not be read or written; 2 wrong use.

use anyhow::Context;
use madang_pii::{Report, scan};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Pii {
    /// Scan text and say what would be blocked, masked or passed. Bytes that are no UTF-8 count as one character (U+FFFD)
    /// for each broken sequence. Exits 0 when the text was scanned, whatever was found.
    Scan(Scan),
}

#[derive(clap::Args)]
pub struct Scan {
    /// Text file; `-` or nothing: standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// One JSON object per input line: {"action", "findings": [{"kind", "start", "end"}]}, offsets in characters.
    #[arg(long)]
    lines: bool,
    /// One JSON object for the whole text.
    #[arg(long)]
    json: bool,
}

impl Pii {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Pii::Scan(command) = self;
        let input: Box<dyn Read> = if command.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(
                File::open(&command.file)
                    .with_context(|| format!("{} 파일을 읽을 수 없습니다", command.file.display()))?,
            )
        };
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut input = BufReader::new(input);
        if command.lines {
            by_line(&mut input, &mut out)?;
        } else {
            whole(&mut input, &mut out, command.json)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn by_line(input: &mut impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        writeln!(out, "{}", described(&scan(&String::from_utf8_lossy(text))))?;
        line.clear();
    }
    Ok(())
}

fn whole(input: &mut impl Read, out: &mut impl Write, json: bool) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let report = scan(&text);
    if json {
        writeln!(out, "{}", described(&report))?;
        return Ok(());
    }
    for (finding, (line, column)) in report.findings.iter().zip(places(&text, report.findings.iter().map(|f| f.start)))
    {
        let action = json!(finding.action);
        let action = action.as_str().unwrap_or_default();
        writeln!(out, "{line}:{column}\t{action}\t{}\t{}자", finding.kind.korean(), finding.end - finding.start)?;
    }
    let action = json!(report.action);
    writeln!(out, "{}\t{}곳", action.as_str().unwrap_or_default(), report.findings.len())?;
    Ok(())
}

/// The form that scripts hold on to.
fn described(report: &Report) -> Value {
    let findings: Vec<Value> =
        report.findings.iter().map(|f| json!({ "kind": f.kind, "start": f.start, "end": f.end })).collect();
    json!({ "action": report.action, "findings": findings })
}

/// Line and column, from 1, of character offsets in ascending order.
fn places(text: &str, offsets: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut characters = text.chars();
    let (mut at, mut line, mut column) = (0, 1, 1);
    let step = |offset: usize| {
        for c in characters.by_ref().take(offset.saturating_sub(at)) {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        at = at.max(offset);
        (line, column)
    };
    offsets.map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_a_line_with_character_offsets() {
        let mut out = Vec::new();
        let input = "번호 900101-1970000\r\n\n\u{fffd}".as_bytes().to_vec();
        let input = [input, vec![0xff, b' '], "010-1234-5678".as_bytes().to_vec()].concat();
        by_line(&mut &input[..], &mut out).unwrap();
        let lines: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0], json!({ "action": "block", "findings": [{ "kind": "rrn", "start": 3, "end": 17 }] }));
        assert_eq!(lines[1], json!({ "action": "pass", "findings": [] }));
        assert_eq!(lines[2]["findings"][0]["start"], 3);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn places_count_from_one() {
        assert_eq!(places("가\n나다", [0, 2, 3].into_iter()), [(1, 1), (2, 1), (2, 2)]);
    }
}

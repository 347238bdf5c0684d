//! `madang pii scan`: finds personal identifiers in a file or standard input, with the detector that guards the door.
//! Exit codes: 0 scanned, whatever was found; 1 could not be read or written; 2 wrong use.

use anyhow::Context;
use madang_domain::Grade;
use madang_pii::{Report, Rules, StreamPart, scan, scan_reader, scan_with};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Pii {
    /// Scan text and say what would be blocked, masked or passed, and which grade its markings ask for. A file may be of
    /// any size. Bytes that are no UTF-8 count as one character (U+FFFD) for each broken sequence. Exits 0 when the text
    /// was scanned, whatever was found.
    Scan(Scan),
}

#[derive(clap::Args)]
pub struct Scan {
    /// Text file; `-` or nothing: standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// One JSON object per input line: {"action", "grade", "findings": [{"kind", "start", "end"}]}, offsets in characters.
    #[arg(long)]
    lines: bool,
    /// One JSON object for the whole text.
    #[arg(long)]
    json: bool,
    /// The body's own words and patterns besides: a TOML file of rules.
    #[arg(long)]
    rules: Option<PathBuf>,
}

impl Pii {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Pii::Scan(command) = self;
        let rules = command.rules.as_deref().map(read_rules).transpose()?;
        let input: Box<dyn Read> = if command.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(
                File::open(&command.file)
                    .with_context(|| format!("{} 파일을 읽을 수 없습니다", command.file.display()))?,
            )
        };
        let look = |text: &str| rules.as_ref().map_or_else(|| scan(text), |rules| scan_with(text, rules));
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut input = BufReader::new(input);
        match (command.lines, command.json) {
            (true, _) => by_line(&mut input, &mut out, look)?,
            (false, true) => {
                let mut bytes = Vec::new();
                input.read_to_end(&mut bytes)?;
                writeln!(out, "{}", described(&look(&String::from_utf8_lossy(&bytes))))?;
            }
            (false, false) => listed(input, rules.as_ref(), &mut out)?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read_rules(path: &Path) -> anyhow::Result<Rules> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} 파일을 읽을 수 없습니다", path.display()))?;
    Rules::from_toml(&text).with_context(|| format!("{} 파일을 고쳐 주세요", path.display()))
}

/// One line for each find as it comes, never the value itself, then the sum.
fn listed(input: impl Read, rules: Option<&Rules>, out: &mut impl Write) -> anyhow::Result<()> {
    let word = |action: madang_pii::Action| json!(action).as_str().unwrap_or_default().to_owned();
    let mut written = Ok(());
    let mut told = |part: StreamPart| -> std::io::Result<()> {
        for f in part.findings {
            let rule = f.rule.map(|name| format!(" ({name})")).unwrap_or_default();
            writeln!(out, "{}\t{}\t{}{rule}\t{} B", f.line, word(f.action), f.kind.korean(), f.end - f.start)?;
        }
        for m in part.markings {
            writeln!(out, "{}\t{}\t{}\t{}", m.line, m.grade.letter(), m.word, m.reason)?;
        }
        Ok(())
    };
    let sum = scan_reader(input, rules, |part| {
        if written.is_ok() {
            written = told(part);
        }
    })?;
    written?;
    let grade = sum.raised_grade();
    let raised = if grade == Grade::Open { String::new() } else { format!("\t등급 {}", grade.letter()) };
    writeln!(out, "{}\t{}곳{raised}", word(sum.action), sum.counts.values().sum::<u64>())?;
    Ok(())
}

fn by_line(input: &mut impl BufRead, out: &mut impl Write, look: impl Fn(&str) -> Report) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        writeln!(out, "{}", described(&look(&String::from_utf8_lossy(text))))?;
        line.clear();
    }
    Ok(())
}

/// The form that scripts hold on to.
fn described(report: &Report) -> Value {
    let findings: Vec<Value> =
        report.findings.iter().map(|f| json!({ "kind": f.kind, "start": f.start, "end": f.end })).collect();
    json!({ "action": report.action, "grade": report.raised_grade(), "findings": findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_a_line_with_character_offsets() {
        let mut out = Vec::new();
        let input = "번호 900101-1970000\r\n\n\u{fffd}".as_bytes().to_vec();
        let input = [input, vec![0xff, b' '], "010-1234-5678".as_bytes().to_vec()].concat();
        by_line(&mut &input[..], &mut out, scan).unwrap();
        let lines: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({ "action": "block", "grade": "O", "findings": [{ "kind": "rrn", "start": 3, "end": 17 }] })
        );
        assert_eq!(lines[1], json!({ "action": "pass", "grade": "O", "findings": [] }));
        assert_eq!(lines[2]["findings"][0]["start"], 3);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_listing_names_places_and_never_values() {
        let rules = "[[rule]]\nname = \"사업\"\nterms = [\"한울 사업\"]\naction = \"block\"\n";
        let rules = Rules::from_toml(rules).unwrap();
        let mut out = Vec::new();
        listed("(대외비)\n연락처 010-1234-5678\n한울 사업 추진\n".as_bytes(), Some(&rules), &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert!(told.contains("2\tmask\t전화번호") && told.contains("3\tblock") && told.contains("(사업)"), "{told}");
        assert!(told.lines().last().is_some_and(|sum| sum.starts_with("block\t2곳\t등급")), "{told}");
        assert!(!told.contains("1234") && !told.contains("한울"), "{told}");
    }
}

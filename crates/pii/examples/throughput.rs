//! Measures the detector on one core: `cargo run --release -p madang-pii --example throughput -- PATH…`. Behind
//! the texts at PATH come some made to slow it down, each at two sizes; `--prose` leaves them out.

use madang_pii::scan;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Instant;

const ADVERSARIES: [(&str, &str); 27] = [
    ("digits", "9"),
    ("digits with blanks", "9 "),
    ("separators", "-"),
    ("digits and separators", "9-./ "),
    ("numerals", "공일이삼"),
    ("letters like digits", "O1lI"),
    ("percent escapes", "%39"),
    ("nested percent escapes", "%2539"),
    ("entities", "&#57;"),
    ("backslashes", "\\\\"),
    ("base64", "OTAwMTAxLTE5NzAwMDA"),
    ("base64 of one letter", "YWFh"),
    ("at signs", "@"),
    ("local parts", "a@"),
    ("labels", "주민등록번호 계좌 여권 "),
    ("name labels", "성명: "),
    ("honorifics", "김씨님 "),
    ("heads of keys", "sk-"),
    ("heads of PEM blocks", "-----BEGIN PRIVATE KEY-----"),
    ("addresses", "행복로 12, 101동 "),
    ("markings", "[대외비] "),
    ("jamo", "ㄱㅏ"),
    ("tags", "<b>9</td>"),
    ("tags without end", "<b"),
    ("heads of tables", "성명,주소\n"),
    ("joints of strings", "\"+"),
    ("ringed digits", "①9"),
];

/// Scans about this many bytes for each line of the table.
const ENOUGH: usize = 32 << 20;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    scan("사전을 미리 만든다");
    writeln!(out, "{:<44} {:>9} {:>8} {:>9} {:>9}", "text", "KiB", "MB/s", "findings", "markings")?;
    let (options, paths): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a == "--prose");
    let prose_only = !options.is_empty();
    for path in paths {
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        line(&mut out, path.rsplit('/').next().unwrap_or(&path), &text, ENOUGH)?;
    }
    if prose_only {
        return Ok(());
    }
    for (name, unit) in ADVERSARIES {
        for size in [1 << 20, 4 << 20] {
            line(&mut out, name, &unit.repeat(size / unit.len()), size)?;
        }
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, text: &str, enough: usize) -> std::io::Result<()> {
    let rounds = (enough / text.len().max(1)).clamp(1, 100);
    let (start, mut found) = (processor_seconds(), (0, 0));
    for _ in 0..rounds {
        let report = scan(text);
        found = (report.findings.len(), report.markings.len());
    }
    let speed = (text.len() * rounds) as f64 / (processor_seconds() - start).max(1e-9) / 1e6;
    writeln!(out, "{name:<44} {:>9} {speed:>8.1} {:>9} {:>9}", text.len() / 1024, found.0, found.1)
}

/// Seconds that this process has spent on a processor, so that neighbours on a shared machine do not count; elsewhere
/// than on Linux the seconds on the clock.
fn processor_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let spent = std::fs::read_to_string("/proc/self/schedstat").ok();
    let spent = spent.as_deref().and_then(|s| s.split_whitespace().next()).and_then(|ns| ns.parse::<f64>().ok());
    spent.map_or_else(|| START.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

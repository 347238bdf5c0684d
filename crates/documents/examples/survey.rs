//! Reads every file below the folders given, each in a child process, and prints a table: per format how many were
//! read, were refused and why, and how long the slowest took. With `parse-child` it is that child.

use madang_documents::{Limits, ReadError, child, child::Sandbox, detect};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Default)]
struct Row {
    files: usize,
    text: usize,
    passages: usize,
    refused: BTreeMap<&'static str, usize>,
    slowest_ms: u128,
    slowest: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "parse-child") {
        return Ok(child::serve(std::io::stdin().lock(), std::io::stdout().lock())?);
    }
    if args.is_empty() {
        return Err("usage: survey DIR…".into());
    }
    let mut files = Vec::new();
    for folder in &args {
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let sandbox =
        Sandbox { program: std::env::current_exe()?, args: vec!["parse-child".into()], limits: Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for path in &files {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = std::fs::read(path)?;
        let started = Instant::now();
        let outcome = runtime.block_on(sandbox.read(&bytes, &name));
        let took = started.elapsed().as_millis();
        let row = rows.entry(label(&bytes, &name)).or_default();
        row.files += 1;
        if took >= row.slowest_ms {
            (row.slowest_ms, row.slowest) = (took, name.clone());
        }
        match outcome {
            Ok(extracted) => {
                row.text += 1;
                row.passages += extracted.passages.len();
            }
            Err(error) => {
                eprintln!("{}: {}", path.display(), error.kind());
                if let ReadError::Unavailable { detail } = &error {
                    eprintln!("  {detail}");
                }
                *row.refused.entry(error.kind()).or_default() += 1;
            }
        }
    }
    print(&rows);
    Ok(())
}

fn label(bytes: &[u8], name: &str) -> String {
    match detect(bytes, name) {
        Ok(found) => found.format.label().to_owned(),
        Err(_) => format!("({})", name.rsplit_once('.').map_or("none", |(_, e)| e)),
    }
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.is_file() {
        out.push(folder.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        collect(&entry?.path(), out)?;
    }
    Ok(())
}

fn print(rows: &BTreeMap<String, Row>) {
    let mut out =
        format!("{:<10} {:>5} {:>5} {:>8} {:>9}  refused\n", "format", "files", "text", "passages", "slowest");
    for (format, row) in rows {
        let refused: Vec<String> = row.refused.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        let line = format!(
            "{format:<10} {:>5} {:>5} {:>8} {:>6} ms  {} [{}]\n",
            row.files,
            row.text,
            row.passages,
            row.slowest_ms,
            refused.join(", "),
            row.slowest
        );
        out.push_str(&line);
    }
    use std::io::Write;
    // A closed pipe is the reader's choice.
    let _ = std::io::stdout().write_all(out.as_bytes());
}

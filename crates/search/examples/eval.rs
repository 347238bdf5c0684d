//! Prints the retrieval report of folders in BEIR layout as JSON, one line each:
//! `cargo run --release -p madang-search --example eval -- DIR... [--split NAME]`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut split = "dev".to_owned();
    let mut folders = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--split" => split = arguments.next().unwrap_or_default(),
            _ => folders.push(argument),
        }
    }
    for folder in &folders {
        match madang_search::eval::evaluate(Path::new(folder), &split).map(|r| serde_json::to_string(&r)) {
            Ok(Ok(line)) => println!("{line}"),
            Ok(Err(e)) => eprintln!("{folder}: {e}"),
            Err(e) => {
                eprintln!("{e}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

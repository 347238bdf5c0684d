//! The table of `survey` over the folders given; with `parse-child` the child that reads for it, which the tests use
//! too. `decrypt` before the folders opens 배포용 HWP; `fresh` starts a process for each file; `text` before one file prints what is stored of it.

use madang_documents::{
    DistributionPolicy, Limits, ReadError,
    child::{self, Reuse, Sandbox},
    survey::survey,
};
use std::{io::Write, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "parse-child") {
        return Ok(child::serve(std::io::stdin().lock(), std::io::stdout().lock())?);
    }
    let mut limits = Limits::default();
    if args.first().is_some_and(|a| a == "decrypt") {
        limits.distribution = DistributionPolicy::Decrypt;
        args.remove(0);
    }
    let fresh = args.first().is_some_and(|a| a == "fresh");
    if fresh {
        args.remove(0);
    }
    if let Some(file) = args.get(1).filter(|_| args.first().is_some_and(|a| a == "text")) {
        let read = madang_documents::read(&std::fs::read(file)?, file, &limits)?;
        read.warnings.iter().for_each(|w| eprintln!("{w}"));
        let last = read.pages.last().map_or(0, |p| p.page);
        eprintln!("{} pages, {} passages", last, read.passages.len());
        let _ = writeln!(std::io::stdout(), "{}", read.text);
        return Ok(());
    }
    if args.is_empty() {
        return Err("usage: survey [decrypt] DIR…".into());
    }
    let folders: Vec<PathBuf> = args.into_iter().map(PathBuf::from).collect();
    let mut sandbox = Sandbox::new(std::env::current_exe()?, vec!["parse-child".into()], limits);
    if fresh {
        sandbox = sandbox.with_reuse(Reuse::none());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let table = runtime.block_on(survey(&sandbox, &folders, |path, error| {
        eprintln!("{}: {}", path.display(), error.kind());
        if let ReadError::Unavailable { detail } = error {
            eprintln!("  {detail}");
        }
    }))?;
    // A closed pipe is the reader's choice.
    let _ = write!(std::io::stdout(), "{table}");
    Ok(())
}

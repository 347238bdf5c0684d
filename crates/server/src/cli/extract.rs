//! `madang extract`: one file through the reader of documents, in the child process that the server uses too, or a table
//! of counts over a folder; and `madang parse-child`, which is that child.

use crate::app::sandbox;
use crate::settings::Settings;
use anyhow::Context;
use madang_documents::survey::survey;
use madang_documents::{Extracted, ReadError};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Extract {
    /// HWP, HWPX, PDF, DOCX, XLSX, XLS, PPTX, ODT, ODS, EML, CSV, TXT, Markdown or HTML; or a folder of them, for a table
    /// of what can be read.
    file: PathBuf,
    /// Print the passages with page and heading path as JSON instead of Markdown.
    #[arg(long)]
    json: bool,
}

impl Extract {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if self.file.is_dir() {
            return surveyed(self.file).await;
        }
        let bytes =
            std::fs::read(&self.file).with_context(|| format!("{} 파일을 읽을 수 없습니다", self.file.display()))?;
        let name = self.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let read = sandbox(&Settings::for_home(PathBuf::new())).read(&bytes, &name).await;
        let mut out = std::io::stdout().lock();
        match read {
            Ok(extracted) => {
                for warning in &extracted.warnings {
                    eprintln!("madang: {warning}");
                }
                if self.json {
                    writeln!(out, "{}", serde_json::to_string_pretty(&described(&extracted))?)?;
                } else {
                    writeln!(out, "{}", extracted.text.trim_end())?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                if self.json {
                    writeln!(out, "{}", json!({ "error": { "kind": error.kind(), "message": error.to_string() } }))?;
                }
                if let ReadError::Unavailable { detail } = &error {
                    eprintln!("madang: {detail}");
                }
                eprintln!("madang: {error}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Reads everything below the folder and prints counts by format; why a file was refused goes to standard error.
async fn surveyed(folder: PathBuf) -> anyhow::Result<ExitCode> {
    let sandbox = sandbox(&Settings::for_home(PathBuf::new()));
    let table = survey(&sandbox, &[folder], |path, error| eprintln!("madang: {}: {error}", path.display())).await?;
    write!(std::io::stdout().lock(), "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn described(extracted: &Extracted) -> serde_json::Value {
    json!({
        "format": extracted.format.label(),
        "title": extracted.title,
        "pages": extracted.pages.last().map(|p| p.page),
        "characters": extracted.text.chars().count(),
        "warnings": extracted.warnings,
        "passages": extracted.passages,
    })
}

/// The child: requests on standard input, a reply to each on standard output, until the input ends.
pub fn parse_child() -> anyhow::Result<ExitCode> {
    madang_documents::child::serve(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

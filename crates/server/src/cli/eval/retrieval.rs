//! `madang eval retrieval`: folders in BEIR layout through the real analyser and index, by words, and with an embedding
//! model also by meaning and by both.

use anyhow::Context;
use madang_inference::embed::{EmbedSettings, Embedder, TextKind, least_similarity, open_embedder};
use madang_search::VectorModel;
use madang_search::eval::{Meaning, Method, Report, compare, evaluate};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Retrieval {
    /// Folders in BEIR layout.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    /// Name of the file of judgements.
    #[arg(long, default_value = "dev")]
    split: String,
    /// Folder or GGUF file of an embedding model, to search by meaning and by both as well.
    #[arg(long)]
    embedding: Option<PathBuf>,
    /// One line of JSON for each folder and method.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Line<'a> {
    set: &'a str,
    method: Method,
    #[serde(flatten)]
    report: Report,
}

impl Retrieval {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let embedder = self.embedding.as_deref().map(open).transpose()?;
        let mut out = std::io::stdout().lock();
        if !self.json {
            writeln!(
                out,
                "{:<24} {:<8} {:>6} {:>6} {:>8} {:>7} {:>8} {:>9} {:>7} {:>8} {:>8}",
                "set", "method", "hit@1", "hit@5", "ndcg@10", "mrr@10", "queries", "passages", "/s", "p50 ms", "p99 ms"
            )?;
        }
        for dir in &self.dirs {
            let reports = self.measure(dir, embedder.as_ref());
            let reports = reports.with_context(|| format!("{} 평가를 마치지 못했습니다", dir.display()))?;
            let set = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            for (method, report) in reports {
                if self.json {
                    writeln!(out, "{}", serde_json::to_string(&Line { set, method, report })?)?;
                } else {
                    writeln!(out, "{}", row(set, method, &report))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self, dir: &Path, embedder: Option<&Opened>) -> anyhow::Result<Vec<(Method, Report)>> {
        let Some(Opened { model, least }) = embedder else {
            return Ok(vec![(Method::Words, evaluate(dir, &self.split)?)]);
        };
        let card = model.card();
        let make = |question: bool, texts: &[&str]| -> Result<Vec<Vec<f32>>, String> {
            let kind = if question { TextKind::Query } else { TextKind::Passage };
            let made = model.embed(kind, texts, &|| false).map_err(|e| e.to_string())?;
            Ok(made.into_iter().map(|e| e.vector).collect())
        };
        let model = VectorModel { fingerprint: card.fingerprint.clone(), dimension: card.dimension };
        Ok(compare(dir, &self.split, &Meaning { model, least_similarity: *least, make: &make })?)
    }
}

/// A model and its bound of likeness.
struct Opened {
    model: std::sync::Arc<dyn Embedder>,
    least: f32,
}

fn open(path: &Path) -> anyhow::Result<Opened> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("model");
    let model = open_embedder(path, EmbedSettings::new(name, name))
        .with_context(|| format!("{} 임베딩 모델을 열지 못했습니다", path.display()))?;
    let least = least_similarity(model.as_ref()).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(Opened { model, least })
}

fn row(set: &str, method: Method, report: &Report) -> String {
    let method = match method {
        Method::Words => "words",
        Method::Meaning => "meaning",
        Method::Hybrid => "hybrid",
    };
    format!(
        "{set:<24} {method:<8} {:>6.3} {:>6.3} {:>8.3} {:>7.3} {:>8} {:>9} {:>7.0} {:>8.2} {:>8.2}",
        report.hit_at_1,
        report.hit_at_5,
        report.ndcg_at_10,
        report.mrr_at_10,
        report.queries,
        report.passages,
        report.passages_per_second,
        report.p50_ms,
        report.p99_ms
    )
}

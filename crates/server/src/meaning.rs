//! Search by meaning: vectors of questions as they are asked, and of passages in the background. The old model's vectors
//! serve until every passage has one of the new model's. Vectors are made in `inference`, kept in `search`.

use crate::app::App;
use crate::blocking;
use anyhow::Context;
use madang_inference::embed::{Embedder, TextKind};
use madang_search::{Coverage, Filled, PassageVector, QueryVector, VectorModel, Waiting};
use madang_store::Store;
use madang_store::ingest::StoredPassage;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Passages that get their vectors at a time.
const BATCH: usize = 32;
/// How often passages without a vector are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Cosine below which a passage is not found by meaning alone.
const LEAST: f32 = 0.3;

/// Vectors of questions, where a model makes them; a model that fails leaves the search to the words. Blocks.
pub fn of_questions(embedder: Option<&Arc<dyn Embedder>>, questions: &[&str]) -> Vec<Option<QueryVector>> {
    let none = || questions.iter().map(|_| None).collect();
    let Some(embedder) = embedder else { return none() };
    match embedder.embed(TextKind::Query, questions, &|| false) {
        Ok(made) => made
            .into_iter()
            .map(|e| {
                let fingerprint = embedder.card().fingerprint.clone();
                Some(QueryVector { fingerprint, vector: e.vector, least_similarity: LEAST })
            })
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "no vectors of questions");
            none()
        }
    }
}

/// How far the vectors of the loaded model have come; `None` without one.
pub fn coverage(app: &App) -> Option<Coverage> {
    let embedder = app.engines.embedder()?;
    app.index.vector_coverage(&embedder.card().fingerprint).ok()
}

/// Gives passages their vectors until the server stops.
pub async fn follow(app: App) {
    loop {
        if let Some(embedder) = app.engines.embedder()
            && let Err(error) = fill(&app, embedder).await
        {
            tracing::warn!(error = format!("{error:#}"), "vectors of passages");
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn fill(app: &App, embedder: Arc<dyn Embedder>) -> anyhow::Result<Filled> {
    let card = embedder.card();
    let model = VectorModel { fingerprint: card.fingerprint.clone(), dimension: card.dimension };
    let (work, handle) = (app.clone(), Handle::current());
    blocking::run(move || -> anyhow::Result<Filled> {
        work.index.choose_vectors(Some(model.clone()))?;
        let make = |waiting: &[Waiting]| -> anyhow::Result<Vec<PassageVector>> {
            let passages = handle.block_on(texts(&work.store, waiting))?;
            let texts: Vec<String> = passages.iter().map(read).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let made = embedder.embed(TextKind::Passage, &texts, &|| work.shutdown.is_cancelled());
            let made = made.context("임베딩")?;
            let pairs = passages.iter().zip(made);
            Ok(pairs.map(|(p, e)| PassageVector { passage: p.id, document: p.document, vector: e.vector }).collect())
        };
        // Another model was chosen meanwhile: this one's work is over.
        let stop = || {
            let current = work.engines.embedder();
            work.shutdown.is_cancelled() || current.is_none_or(|e| e.card().fingerprint != model.fingerprint)
        };
        work.index.fill_vectors(&model.fingerprint, BATCH, make, |_| (), stop)
    })
    .await?
}

/// The stored passages behind ids that wait; those deleted meanwhile are left out.
async fn texts(store: &Store, waiting: &[Waiting]) -> anyhow::Result<Vec<StoredPassage>> {
    let mut documents: Vec<_> = waiting.iter().map(|w| w.document).collect();
    documents.dedup();
    let mut found = HashMap::new();
    for document in documents {
        found.extend(store.passages_to_index(document).await?.into_iter().map(|p| (p.id, p)));
    }
    Ok(waiting.iter().filter_map(|w| found.remove(&w.passage)).collect())
}

/// A passage as the model reads it: where it stands, then its words.
fn read(passage: &StoredPassage) -> String {
    format!("{}\n{}\n{}", passage.title, passage.heading_path.join(" > "), passage.text)
}

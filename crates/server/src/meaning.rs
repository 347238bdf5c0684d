//! Search by meaning: vectors of questions as they are asked, and of passages in the background. The old model's vectors
//! serve until every passage has one of the new model's. Vectors are made in `inference`, kept in `search`.

use crate::app::App;
use crate::blocking;
use anyhow::Context;
use madang_domain::PassageId;
use madang_inference::embed::{EmbedError, Embedder, TextKind, least_similarity};
use madang_search::{Coverage, Filled, PassageVector, QueryVector, VectorModel, Waiting};
use madang_store::Store;
use madang_store::indexed::StoredPassage;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Passages that get their vectors at a time.
const BATCH: usize = 32;
/// How often passages without a vector are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Every model can read this; one that cannot is at fault itself.
const PLAIN: &str = "마당";

/// A model that turns texts into vectors, and from where on two texts are near to it.
#[derive(Clone)]
pub struct MeaningModel {
    pub embedder: Arc<dyn Embedder>,
    /// Cosine below which a passage is not found by meaning alone; `None`: the model failed when it was measured.
    least: Option<f32>,
}

impl MeaningModel {
    /// Measures the bound, for which the model computes some short texts: before it serves, not when the first question
    /// waits for it. Blocks.
    pub fn measured(embedder: Arc<dyn Embedder>) -> Self {
        let least = least_similarity(embedder.as_ref());
        match &least {
            Ok(least) => tracing::info!(model = %embedder.card().name, least, "least similarity"),
            Err(error) => tracing::warn!(model = %embedder.card().name, %error, "least similarity"),
        }
        Self { embedder, least: least.ok() }
    }
}

/// Vectors of questions, where a model makes them; a model that fails leaves the search to the words. Blocks.
pub fn of_questions(model: Option<&MeaningModel>, questions: &[&str]) -> Vec<Option<QueryVector>> {
    let none = || questions.iter().map(|_| None).collect();
    let Some((embedder, least_similarity)) = model.and_then(|m| Some((&m.embedder, m.least?))) else { return none() };
    let fingerprint = &embedder.card().fingerprint;
    match embedder.embed(TextKind::Query, questions, &|| false) {
        Ok(made) => made
            .into_iter()
            .map(|e| Some(QueryVector { fingerprint: fingerprint.clone(), vector: e.vector, least_similarity }))
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "no vectors of questions");
            none()
        }
    }
}

/// How far the vectors of the loaded model have come; `None` without one.
pub async fn coverage(app: &App) -> Option<Coverage> {
    let embedder = app.engines.embedder()?;
    let index = app.index.now();
    // Counting can wait for whoever writes the index.
    blocking::run(move || index.vector_coverage(&embedder.card().fingerprint).ok()).await.ok().flatten()
}

/// Gives passages their vectors until the server stops.
pub async fn follow(app: App) {
    loop {
        // One that failed when it was measured was told of in the log, and gives nobody vectors.
        if let Some(model) = app.engines.meaning().filter(|m| m.least.is_some())
            && let Err(error) = fill(&app, model.embedder).await
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
        let index = work.index.now();
        index.choose_vectors(Some(model.clone()))?;
        let make = |waiting: &[Waiting]| -> anyhow::Result<Vec<PassageVector>> {
            let passages = handle.block_on(texts(&work.store, waiting))?;
            let texts: Vec<_> = passages.iter().map(|p| (p.id, read(p))).collect();
            let made = vectors(embedder.as_ref(), &texts, &|| work.shutdown.is_cancelled()).context("임베딩")?;
            let pairs = passages.iter().zip(made);
            Ok(pairs.map(|(p, vector)| PassageVector { passage: p.id, document: p.document, vector }).collect())
        };
        // Another model was chosen meanwhile, or another index serves: this work is over.
        let stop = || {
            let current = work.engines.embedder();
            let other = current.is_none_or(|e| e.card().fingerprint != model.fingerprint);
            work.shutdown.is_cancelled() || other || !Arc::ptr_eq(&index, &work.index.now())
        };
        index.fill_vectors(&model.fingerprint, BATCH, make, stop)
    })
    .await?
}

/// One vector for each text. A text that the model cannot read alone gets zeros: nothing is near them, and the texts
/// after it have their turn; asked again and again it would hold them up for ever. It is read again when its document
/// or the model changes.
///
/// # Errors
/// The model fails at a plain word too: then no text is to blame, and none is passed over.
fn vectors(
    embedder: &dyn Embedder,
    passages: &[(PassageId, String)],
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Vec<f32>>, EmbedError> {
    let texts: Vec<&str> = passages.iter().map(|(_, text)| text.as_str()).collect();
    match embedder.embed(TextKind::Passage, &texts, cancelled) {
        Err(EmbedError::Failed(_)) => {}
        made => return made.map(|all| all.into_iter().map(|e| e.vector).collect()),
    }
    embedder.embed(TextKind::Passage, &[PLAIN], cancelled)?;
    let one = |(id, text): &(PassageId, String)| match embedder.embed(TextKind::Passage, &[text], cancelled) {
        Ok(made) => Ok(made.into_iter().next().map_or_else(Vec::new, |e| e.vector)),
        Err(EmbedError::Failed(_)) => {
            tracing::warn!(passage = %id, "the model cannot read a passage: it is found by its words alone");
            Ok(vec![0.0; embedder.card().dimension])
        }
        Err(EmbedError::Stopped) => Err(EmbedError::Stopped),
    };
    passages.iter().map(one).collect()
}

/// The stored passages behind ids that wait; those deleted meanwhile are left out.
async fn texts(store: &Store, waiting: &[Waiting]) -> anyhow::Result<Vec<StoredPassage>> {
    let ids: Vec<_> = waiting.iter().map(|w| w.passage).collect();
    Ok(store.passages_by_id(&ids).await?)
}

/// A passage as the model reads it: where it stands, then its words.
fn read(passage: &StoredPassage) -> String {
    format!("{}\n{}\n{}", passage.title, passage.heading_path.join(" > "), passage.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_inference::embed::{Cancelled, EmbedderCard, Embedding, Prefixes};

    /// Fails at texts that hold its word, and at everything where that is empty.
    struct Picky {
        card: EmbedderCard,
        word: &'static str,
    }

    impl Picky {
        fn new(word: &'static str) -> Self {
            let card = EmbedderCard {
                name: "toy".into(),
                label: "장난감".into(),
                architecture: "toy".into(),
                dimension: 2,
                max_tokens: 8,
                prefixes: Prefixes::default(),
                fingerprint: format!("picky-{word}"),
            };
            Self { card, word }
        }
    }

    impl Embedder for Picky {
        fn card(&self) -> &EmbedderCard {
            &self.card
        }

        fn embed(&self, _: TextKind, texts: &[&str], cancelled: Cancelled<'_>) -> Result<Vec<Embedding>, EmbedError> {
            if cancelled() {
                return Err(EmbedError::Stopped);
            }
            match texts.iter().find(|t| t.contains(self.word)) {
                Some(_) => Err(EmbedError::Failed("못 읽음".into())),
                None => Ok(vec![Embedding { vector: vec![1.0, 0.0], tokens: 1, truncated: false }; texts.len()]),
            }
        }
    }

    fn passages(texts: &[&str]) -> Vec<(PassageId, String)> {
        texts.iter().map(|t| (PassageId::new(), (*t).to_owned())).collect()
    }

    #[test]
    fn a_passage_that_cannot_be_read_holds_none_up() {
        let texts = passages(&["회의", "고장 난 글", "예산"]);
        let made = vectors(&Picky::new("고장"), &texts, &|| false).expect("the model works");
        assert_eq!(made, [vec![1.0, 0.0], vec![0.0, 0.0], vec![1.0, 0.0]]);
        assert!(matches!(vectors(&Picky::new("고장"), &texts, &|| true), Err(EmbedError::Stopped)));
        let broken = vectors(&Picky::new(""), &texts, &|| false);
        assert!(matches!(broken, Err(EmbedError::Failed(_))), "a model that fails at everything passes none over");
    }

    #[test]
    fn a_failing_model_leaves_questions_to_the_words() {
        let ask = |word| of_questions(Some(&MeaningModel::measured(Arc::new(Picky::new(word)))), &["주차", "여권"]);
        assert_eq!(ask(""), [None, None]);
        // Every pair of this one is alike, so only the highest bound tells anything apart.
        let found = ask("고장");
        assert!(found.iter().flatten().all(|q| q.least_similarity == 0.9 && q.fingerprint == "picky-고장"));
        assert_eq!(found.iter().flatten().count(), 2);
    }
}

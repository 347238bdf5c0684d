//! Keeping index and originals in step with the database: at start what an end left behind, then what deletions leave.

use super::work::{BATCH, remove, upsert};
use super::{PAUSE, Rebuild};
use crate::app::App;
use crate::blocking;
use madang_domain::DocumentId;
use madang_search::{Index, IndexedPassage, SearchError};
use madang_store::ingest::StoredPassage;
use madang_store::{Originals, Store};
use std::path::Path;
use std::sync::Arc;

/// Documents, or originals, handled at a time.
const STEP: usize = 400;

/// What must be indexed after the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Todo {
    /// These documents, whose last write was cut off.
    Documents(Vec<DocumentId>),
    /// Everything: the index was made anew.
    All,
}

impl Default for Todo {
    fn default() -> Self {
        Self::Documents(Vec::new())
    }
}

/// Opens the index and brings it in step with the database: what was being read or had been deleted when the process
/// ended leaves it. An index that cannot be used, or holds another number of passages than the database, is made anew.
///
/// # Errors
/// When another process has it open, or database or disk fail.
pub async fn open_index(dir: &Path, store: &Store) -> anyhow::Result<(Arc<Index>, Todo)> {
    let root = dir.to_owned();
    let (index, fresh) = blocking::run(move || open_or_recreate(&root)).await??;
    let index = Arc::new(index);
    // Only now: the index is locked to this process, so nobody else is reading documents.
    let interrupted = store.recover_documents().await?;
    if !interrupted.is_empty() {
        tracing::warn!(documents = interrupted.len(), "documents were being read when the server ended");
    }
    remove_from(&index, interrupted).await?;
    while drain_step(store, |gone| remove_from(&index, gone)).await? {}
    if fresh {
        return Ok((index, Todo::All));
    }
    let dropped = index.interrupted().to_vec();
    let mut missing = 0;
    for document in &dropped {
        missing += store.passages_to_index(*document).await?.len();
    }
    let expected = store.ready_passage_count().await?;
    if index.count()? + missing == expected {
        return Ok((index, Todo::Documents(dropped)));
    }
    tracing::warn!(expected, found = index.count()?, "index and database differ: the index is made anew");
    drop(index);
    let root = dir.to_owned();
    let index = blocking::run(move || Index::recreate(&root)).await??;
    Ok((Arc::new(index), Todo::All))
}

/// The index and whether it is a new, empty one.
fn open_or_recreate(dir: &Path) -> Result<(Index, bool), SearchError> {
    match Index::open(dir) {
        Err(SearchError::NeedsRebuild { reason }) => {
            tracing::warn!(%reason, "the index is made anew from the database");
            Ok((Index::recreate(dir)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

async fn remove_from(index: &Arc<Index>, documents: Vec<DocumentId>) -> anyhow::Result<()> {
    let index = Arc::clone(index);
    Ok(blocking::run(move || index.remove_documents(&documents)).await??)
}

/// Takes some deleted documents out of the index; `false` when none were left.
async fn drain_step<F, E>(store: &Store, remove: impl FnOnce(Vec<DocumentId>) -> F) -> anyhow::Result<bool>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let gone = store.pending_index_removals(STEP as i64).await?;
    if gone.is_empty() {
        return Ok(false);
    }
    remove(gone.clone()).await.map_err(Into::into)?;
    store.index_removals_done(&gone).await?;
    Ok(true)
}

/// Fills what the start found missing, then follows deletions until the server stops.
pub(super) async fn keep(app: App) {
    let todo = std::mem::take(&mut *app.ingest.todo.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let swept = sweep_all(&app).await;
    if let Err(error) = swept {
        tracing::error!(%error, "originals without a document could not be removed");
    }
    until_done(&app, || fill(&app, &todo)).await;
    app.ingest.set_rebuild(None);
    while !app.shutdown.is_cancelled() {
        until_done(&app, || drain(&app)).await;
        tokio::select! {
            _ = app.shutdown.cancelled() => {}
            _ = app.ingest.removed.notified() => {}
        }
    }
}

/// Repeats what failed after a pause, until it succeeds or the server stops.
async fn until_done<F: Future<Output = anyhow::Result<()>>>(app: &App, work: impl Fn() -> F) {
    while let Err(error) = work().await {
        tracing::error!(%error, "upkeep of the index");
        tokio::select! {
            _ = app.shutdown.cancelled() => return,
            _ = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn drain(app: &App) -> anyhow::Result<()> {
    while drain_step(&app.store, |gone| remove(app, gone)).await? {}
    Ok(())
}

/// Indexes from the database what `todo` names.
async fn fill(app: &App, todo: &Todo) -> anyhow::Result<()> {
    match todo {
        Todo::Documents(documents) => {
            let mut batch = Vec::new();
            for document in documents {
                add(app, *document, &mut batch).await?;
            }
            flush(app, &mut batch).await
        }
        Todo::All => fill_all(app).await,
    }
}

async fn fill_all(app: &App) -> anyhow::Result<()> {
    let total = app.store.ready_passage_count().await?;
    if total == 0 {
        return Ok(());
    }
    let mut progress = Rebuild { done: 0, total };
    let mut batch = Vec::new();
    let mut after = None;
    loop {
        let documents = app.store.ready_documents(after, STEP as i64).await?;
        let Some((last, _)) = documents.last() else { break };
        after = Some(*last);
        for (document, passages) in documents {
            if app.shutdown.is_cancelled() {
                // The count differs at the next start, which begins anew.
                return Ok(());
            }
            app.ingest.set_rebuild(Some(progress));
            add(app, document, &mut batch).await?;
            progress.done += passages;
        }
        drain(app).await?;
    }
    flush(app, &mut batch).await?;
    optimise(app).await;
    tracing::info!(passages = progress.done, "index filled from the database");
    Ok(())
}

/// Writes ready documents into the index anew: their titles changed. What cannot be written now keeps its old title in
/// the index until that is made anew.
pub async fn reindex(app: &App, documents: &[DocumentId]) {
    let todo = Todo::Documents(documents.to_vec());
    if let Err(error) = fill(app, &todo).await {
        tracing::warn!(%error, "titles in the index");
    }
}

/// Adds the passages of a document to the batch and writes it when it is large enough.
async fn add(app: &App, document: DocumentId, batch: &mut Vec<IndexedPassage>) -> anyhow::Result<()> {
    batch.extend(app.store.passages_to_index(document).await?.into_iter().map(indexed));
    if batch.len() >= BATCH { flush(app, batch).await } else { Ok(()) }
}

async fn flush(app: &App, batch: &mut Vec<IndexedPassage>) -> anyhow::Result<()> {
    Ok(upsert(app, std::mem::take(batch)).await?)
}

fn indexed(passage: StoredPassage) -> IndexedPassage {
    IndexedPassage {
        id: passage.id,
        collection: passage.collection,
        document: passage.document,
        title: passage.title,
        heading_path: passage.heading_path,
        text: passage.text,
    }
}

/// Merges what was added; the index stays usable if it fails.
pub(super) async fn optimise(app: &App) {
    let index = Arc::clone(&app.index);
    match blocking::run(move || index.optimise()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "index not optimised"),
        Err(error) => tracing::error!(%error, "index not optimised"),
    }
}

/// Removes those originals that no document refers to any more. What cannot be removed now goes at the next start.
pub async fn sweep_originals(app: &App, digests: Vec<String>) {
    if let Err(error) = sweep(&app.store, &app.originals, digests).await {
        tracing::error!(%error, "originals could not be removed");
    }
}

async fn sweep_all(app: &App) -> anyhow::Result<()> {
    let originals = app.originals.clone();
    let digests = blocking::run(move || originals.digests()).await??;
    for step in digests.chunks(STEP) {
        sweep(&app.store, &app.originals, step.to_vec()).await?;
    }
    Ok(())
}

async fn sweep(store: &Store, originals: &Originals, digests: Vec<String>) -> anyhow::Result<()> {
    // Nobody adds a document while its original is judged.
    let _gate = originals.sweeping().await;
    let used = store.originals_in_use(&digests).await?;
    let originals = originals.clone();
    let unused: Vec<_> = digests.into_iter().filter(|d| !used.contains(d)).collect();
    blocking::run(move || unused.iter().try_for_each(|digest| originals.remove(digest))).await??;
    Ok(())
}

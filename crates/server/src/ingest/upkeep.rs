//! Keeping index and originals in step with the database: at start what an end left behind, then what deletions leave,
//! changes of grade move and new titles alter.

use super::fill::{Batch, STEP, Watch, everything, indexed};
use super::{PAUSE, Rebuild, remake};
use crate::app::App;
use crate::blocking;
use crate::serving::Serving;
use madang_domain::{CollectionId, DocumentId, Grade};
use madang_search::{IndexedPassage, Library, Place, SearchError, Shelved};
use madang_store::{Originals, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a wish for another index is looked for: whoever wishes sits at the command line.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
/// ended leaves it. An index that cannot be used, or holds other numbers of passages than the database, is made anew.
///
/// # Errors
/// When another process has it open, its server cannot be asked, or database or disk fail.
pub async fn open_index(dir: &Path, place: Place, store: &Store) -> anyhow::Result<(Arc<Library>, Todo)> {
    let (root, at) = (dir.to_owned(), place.clone());
    let (index, fresh) = blocking::run(move || open_or_recreate(&root, &at)).await??;
    let index = Arc::new(index);
    recover(store, &index).await?;
    if fresh {
        return Ok((index, Todo::All));
    }
    let dropped = index.interrupted();
    let mut expected = shelved(store).await?;
    for document in &dropped {
        let passages = store.passages_to_index(*document).await?;
        match passages.first().map(|p| p.grade) {
            Some(Grade::Classified) => expected.closed = expected.closed.saturating_sub(passages.len()),
            _ => expected.open = expected.open.saturating_sub(passages.len()),
        }
    }
    let found = count(&index).await?;
    if found == expected {
        return Ok((index, Todo::Documents(dropped)));
    }
    tracing::warn!(?expected, ?found, "index and database differ: the index is made anew");
    drop(index);
    let root = dir.to_owned();
    let index = blocking::run(move || Library::recreate(&root, &place)).await??;
    Ok((Arc::new(index), Todo::All))
}

/// Takes out of the index what was being read or had been deleted when the process ended. Only for an index that is
/// open here, and so locked to this process: nobody else is reading documents.
///
/// # Errors
/// Those of database and index.
pub async fn recover(store: &Store, index: &Arc<Library>) -> anyhow::Result<()> {
    let interrupted = store.recover_documents().await?;
    if !interrupted.is_empty() {
        tracing::warn!(documents = interrupted.len(), "documents were being read when the server ended");
    }
    remove_from(index, interrupted).await?;
    while drain_step(store, |gone| remove_from(index, gone)).await? {}
    Ok(())
}

/// What the index should hold.
pub(super) async fn shelved(store: &Store) -> anyhow::Result<Shelved> {
    let ready = store.ready_passages().await?;
    Ok(Shelved { open: ready.open, closed: ready.classified })
}

pub(super) async fn count(index: &Arc<Library>) -> anyhow::Result<Shelved> {
    let index = Arc::clone(index);
    Ok(blocking::run(move || index.count()).await??)
}

/// The index and whether it is a new, empty one.
fn open_or_recreate(dir: &Path, place: &Place) -> Result<(Library, bool), SearchError> {
    match Library::open(dir, place) {
        Err(SearchError::NeedsRebuild { reason }) => {
            tracing::warn!(%reason, "the index is made anew from the database");
            Ok((Library::recreate(dir, place)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

async fn remove_from(index: &Arc<Library>, documents: Vec<DocumentId>) -> anyhow::Result<()> {
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

/// Fills what the start found missing, then follows deletions, changes of grade and title, and wishes for another index
/// until the server stops.
pub(super) async fn keep(app: App) {
    let todo = std::mem::take(&mut *app.ingest.todo.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let swept = sweep_all(&app).await;
    if let Err(error) = swept {
        tracing::error!(%error, "originals without a document could not be removed");
    }
    until_done(&app, || fill(&app, &todo)).await;
    app.ingest.set_rebuild(None);
    while !app.shutdown.is_cancelled() {
        until_done(&app, || drain_all(&app)).await;
        until_done(&app, || reshelve(&app)).await;
        until_done(&app, || retitle(&app)).await;
        if app.ingest.take_unmerged() {
            optimise(&app).await;
        }
        remake::follow(&app).await;
        tokio::select! {
            _ = app.shutdown.cancelled() => {}
            _ = app.ingest.removed.notified() => {}
            _ = tokio::time::sleep(LOOK_EVERY) => {}
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

/// Takes deleted documents out of the index; `true` if there were any.
///
/// # Errors
/// Those of database and index; what is left is done by the next call.
pub async fn drain(store: &Store, index: &Arc<Serving>) -> anyhow::Result<bool> {
    let remove = |gone: Vec<DocumentId>| {
        let index = Arc::clone(index);
        async move { anyhow::Ok(blocking::run(move || index.remove_documents(&gone)).await??) }
    };
    let mut any = false;
    while drain_step(store, remove).await? {
        any = true;
    }
    Ok(any)
}

/// As [`drain`]; documents that waited for it are read now.
pub(super) async fn drain_all(app: &App) -> anyhow::Result<()> {
    if drain(&app.store, &app.index).await? {
        app.ingest.wake();
    }
    Ok(())
}

/// Brings the documents of collections whose grade was changed to where it belongs; what failed stays noted.
pub(super) async fn reshelve(app: &App) -> anyhow::Result<()> {
    while let Some(collection) = app.ingest.next_regraded() {
        let shelved = shelve_all(app, collection).await;
        if shelved.is_err() {
            app.ingest.regraded(collection);
        }
        shelved?;
    }
    Ok(())
}

async fn shelve_all(app: &App, collection: CollectionId) -> anyhow::Result<()> {
    for document in app.store.ready_documents_of(collection).await? {
        write_again(app, document, Serving::shelve).await?;
    }
    Ok(())
}

/// Writes documents whose title was changed into the index anew; what failed stays noted.
async fn retitle(app: &App) -> anyhow::Result<()> {
    while let Some(document) = app.ingest.next_retitled() {
        let written = write_again(app, document, Serving::upsert).await;
        if written.is_err() {
            app.ingest.retitled(document);
        }
        written?;
    }
    Ok(())
}

/// Hands a ready document, as the database has it, to the index.
async fn write_again(
    app: &App,
    document: DocumentId,
    write: fn(&Serving, Grade, &[IndexedPassage]) -> Result<(), SearchError>,
) -> anyhow::Result<()> {
    let passages = app.store.passages_to_index(document).await?;
    let Some(grade) = passages.first().map(|p| p.grade) else { return Ok(()) };
    let index = Arc::clone(&app.index);
    let passages: Vec<_> = passages.into_iter().map(indexed).collect();
    Ok(blocking::run(move || write(&index, grade, &passages)).await??)
}

/// Indexes from the database what `todo` names.
async fn fill(app: &App, todo: &Todo) -> anyhow::Result<()> {
    let index = app.index.now();
    match todo {
        Todo::Documents(documents) => {
            let mut batch = Batch::new(&index, None);
            for document in documents {
                batch.add(&app.store, *document).await?;
            }
            batch.flush().await
        }
        Todo::All => fill_all(app, &index).await,
    }
}

async fn fill_all(app: &App, index: &Arc<Library>) -> anyhow::Result<()> {
    if everything(&app.store, index, None, &mut AtStart(app)).await? {
        optimise(app).await;
        tracing::info!("index filled from the database");
    }
    Ok(())
}

/// Screens show how far the index has come.
struct AtStart<'a>(&'a App);

impl Watch for AtStart<'_> {
    async fn step(&mut self, progress: Option<Rebuild>) -> anyhow::Result<bool> {
        self.0.ingest.set_rebuild(progress.filter(|p| p.total > 0));
        drain_all(self.0).await?;
        // Stopped half-way, the count differs at the next start, which begins anew.
        Ok(!self.0.shutdown.is_cancelled())
    }
}

/// Merges what was added; the index stays usable if it fails.
pub(super) async fn optimise(app: &App) {
    let index = app.index.now();
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

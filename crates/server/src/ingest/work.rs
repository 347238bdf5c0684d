//! What one document goes through: original → child process → text and passages in the database → index → ready. It
//! becomes readable in the last step alone, so no answer cites half a document.

use crate::app::App;
use crate::blocking;
use madang_documents::{Extracted, ReadError};
use madang_domain::{DocumentId, Grade, PassageId};
use madang_search::{IndexedPassage, SearchError};
use madang_store::StoreError;
use madang_store::ingest::{Job, MadeReady, ReadDocument};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Passages per write to the index: a write is synced to the disk, and between two the work can be stopped.
pub(super) const BATCH: usize = 512;
/// Percent shown while the child reads, and from where indexing counts on.
const READING: u8 = 10;
const INDEXING: u8 = 50;
/// Longest pause between tries to give a document back to a database that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a document did not become ready.
enum Setback {
    /// Cancelled, deleted, or the server stops.
    Stopped,
    /// Its fault or ours, in Korean for its owner.
    Failed(String),
    /// The database does not take it now.
    Store(StoreError),
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Failed("원본 파일을 찾을 수 없습니다. 파일을 다시 올려 주세요.".to_owned()),
            StoreError::Corrupt("original") => {
                Self::Failed("저장된 원본이 바뀌었습니다. 파일을 지우고 다시 올려 주세요.".to_owned())
            }
            other => Self::Store(other),
        }
    }
}

impl From<ReadError> for Setback {
    fn from(error: ReadError) -> Self {
        if let ReadError::Unavailable { detail } = &error {
            tracing::error!(%detail, "the reading program does not work");
        }
        Self::Failed(error.to_string())
    }
}

impl From<SearchError> for Setback {
    fn from(error: SearchError) -> Self {
        tracing::error!(%error, "index");
        Self::Failed("검색 색인에 넣지 못했습니다. 잠시 뒤 다시 읽기를 눌러 주세요.".to_owned())
    }
}

/// Takes a claimed document to its end, whatever that is.
pub(super) async fn process(app: &App, job: Job, stop: &CancellationToken) {
    let document = job.document;
    let started = std::time::Instant::now();
    let setback = match ready(app, &job, stop).await {
        Ok(passages) => {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%document, passages, ms, "document ready");
            return;
        }
        Err(setback) => setback,
    };
    // A database that failed just after it had made the document ready: it is, and its passages belong into the index.
    match is_ready(app, document).await {
        Some(true) => {
            tracing::warn!(%document, "document ready; the upkeep looks at its grade and title");
            app.ingest.regraded(job.collection);
            return app.ingest.retitled(document);
        }
        Some(false) => leave_index(app, document).await,
        // The next start finds it as it is.
        None => return,
    }
    match setback {
        Setback::Stopped if app.shutdown.is_cancelled() => until_stored(app, document, None).await,
        // Its new state is in the database already.
        Setback::Stopped => {}
        Setback::Failed(reason) => {
            tracing::info!(%document, attempt = job.attempt, %reason, "document failed");
            until_stored(app, document, Some(&reason)).await;
        }
        Setback::Store(error) => {
            tracing::error!(%document, %error, "document could not be stored");
            let reason = match error {
                StoreError::Full => error.to_string(),
                _ => "읽은 내용을 저장하지 못했습니다. 잠시 뒤 다시 읽기를 눌러 주세요.".to_owned(),
            };
            until_stored(app, document, Some(&reason)).await;
        }
    }
}

/// Returns the number of passages.
async fn ready(app: &App, job: &Job, stop: &CancellationToken) -> Result<usize, Setback> {
    app.ingest.set_percent(job.document, READING);
    let read = read(app, job, stop).await?;
    let Some(ids) = app.store.store_read_document(job.document, &read).await? else { return Err(Setback::Stopped) };
    app.ingest.set_percent(job.document, INDEXING);
    let passages: Vec<_> = ids.into_iter().zip(read.passages).map(|(id, p)| indexed(job, id, p)).collect();
    let total = passages.len();
    let _gate = app.index.gate.read().await;
    let Some(grade) = app.store.document_grade(job.document).await? else { return Err(Setback::Stopped) };
    for (at, batch) in passages.chunks(BATCH).enumerate() {
        if stop.is_cancelled() {
            return Err(Setback::Stopped);
        }
        upsert(app, grade, batch.to_vec()).await?;
        let share = ((at + 1) * BATCH).min(total) * usize::from(100 - INDEXING) / total.max(1);
        app.ingest.set_percent(job.document, INDEXING + u8::try_from(share).unwrap_or(0));
    }
    let Some(made) = app.store.make_ready(job.document).await? else { return Err(Setback::Stopped) };
    settle(app, job, grade, made).await;
    Ok(total)
}

/// What becoming ready leaves to do. The document is ready, whatever comes of it.
async fn settle(app: &App, job: &Job, grade: Grade, made: MadeReady) {
    match app.store.document_grade(job.document).await {
        Ok(now) if now.is_none_or(|now| now == grade) => {}
        // Whoever changed the grade meanwhile did not see this document among the ready ones.
        Ok(_) => app.ingest.regraded(job.collection),
        Err(error) => {
            tracing::error!(document = %job.document, %error, "the grade is looked at by the upkeep");
            app.ingest.regraded(job.collection);
        }
    }
    if made.title != job.title {
        app.ingest.retitled(job.document);
    }
    if made.replaced {
        app.ingest.removed(&[]);
    }
    if !made.unused_originals.is_empty() {
        super::sweep_originals(app, made.unused_originals).await;
    }
}

/// Reads the original in the child process; ends the child when stopped.
async fn read(app: &App, job: &Job, stop: &CancellationToken) -> Result<ReadDocument, Setback> {
    let originals = app.originals.clone();
    let digest = job.original.clone();
    let bytes = blocking::run(move || originals.get(&digest)).await.map_err(StoreError::from)??;
    let extracted = tokio::select! {
        _ = stop.cancelled() => return Err(Setback::Stopped),
        extracted = app.sandbox.read(&bytes, &job.file_name) => extracted?,
    };
    if extracted.passages.is_empty() {
        return Err(ReadError::Empty.into());
    }
    Ok(stored(extracted))
}

fn stored(extracted: Extracted) -> ReadDocument {
    ReadDocument {
        format: extracted.format.label().to_owned(),
        pages: extracted.pages.last().map(|p| p.page),
        pages_estimated: extracted.pages.iter().any(|p| p.estimated),
        text: extracted.text,
        warnings: extracted.warnings,
        passages: extracted.passages,
    }
}

fn indexed(job: &Job, id: PassageId, passage: madang_domain::PassageDraft) -> IndexedPassage {
    IndexedPassage {
        id,
        collection: job.collection,
        document: job.document,
        title: job.title.clone(),
        heading_path: passage.heading_path,
        text: passage.text,
    }
}

/// Adds a batch to the index; durable when it returns.
async fn upsert(app: &App, grade: Grade, batch: Vec<IndexedPassage>) -> Result<(), SearchError> {
    let index = Arc::clone(&app.index);
    in_index(app, move || index.upsert(grade, &batch)).await
}

/// Removes documents from the index; durable when it returns.
async fn remove(app: &App, documents: Vec<DocumentId>) -> Result<(), SearchError> {
    let index = Arc::clone(&app.index);
    in_index(app, move || index.remove_documents(&documents)).await
}

async fn in_index<T: Send + 'static>(
    app: &App,
    call: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
) -> Result<T, SearchError> {
    let path = app.index.now().dir().to_owned();
    blocking::run(call).await.map_err(|source| SearchError::Io { path, source })?
}

/// Takes out of the index what this attempt brought in.
async fn leave_index(app: &App, document: DocumentId) {
    let index = app.index.now();
    let counted = in_index(app, move || index.count_document(document)).await;
    if matches!(counted, Ok(0)) {
        return;
    }
    if let Err(error) = remove(app, vec![document]).await {
        tracing::error!(%document, %error, "left in the index for now");
        if let Err(error) = app.store.queue_index_removal(document).await {
            tracing::error!(%document, %error, "removal from the index could not be noted");
        }
        app.ingest.removed(&[]);
    }
}

/// Did the document become ready? Asks until the database answers; `None` where the server stops before.
async fn is_ready(app: &App, document: DocumentId) -> Option<bool> {
    let mut pause = super::PAUSE;
    loop {
        match app.store.was_made_ready(document).await {
            Ok(ready) => return Some(ready),
            Err(error) => tracing::error!(%document, %error, "state of the document could not be asked for"),
        }
        tokio::select! {
            _ = app.shutdown.cancelled() => return None,
            _ = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Marks a document as failed, or gives it back without a reason. Tries until the database takes it; if the server
/// stops before, the next start finds the document as it is.
async fn until_stored(app: &App, document: DocumentId, reason: Option<&str>) {
    let mut pause = super::PAUSE;
    loop {
        let stored = match reason {
            Some(reason) => app.store.fail_document(document, reason).await,
            None => app.store.release_document(document).await,
        };
        let Err(error) = stored else { return };
        tracing::error!(%document, %error, "state of the document could not be stored");
        tokio::select! {
            _ = app.shutdown.cancelled() => return,
            _ = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

//! Background work on documents: claims what waits, fairly between departments; reads it in a child process; brings
//! passages into the index and out of it again. What one document goes through is `work`, the upkeep of index and
//! originals is `upkeep`, another index beside the serving one is `remake`. States live in the store: after any end of
//! the process the next start goes on from there.

mod check;
pub mod fill;
mod pace;
pub mod remake;
mod turns;
mod upkeep;
mod work;

use crate::app::App;
use crate::watch;
use madang_domain::{CollectionId, DocumentId};
use madang_store::ingest::Job;
use pace::Pace;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use turns::Turns;

pub use pace::Queue;
pub use upkeep::{Todo, drain, open_index, recover, sweep_originals};

/// Most documents read at once, however many cores there are.
const MOST_AT_ONCE: usize = 8;
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_secs(3);

/// Switchboard between handlers and the workers.
#[derive(Default)]
pub struct Ingest {
    /// A document waits.
    added: Notify,
    /// Passages must leave the index, move in it or be written anew.
    removed: Notify,
    running: Mutex<HashMap<DocumentId, Running>>,
    rebuild: Mutex<Option<Rebuild>>,
    /// Left to be indexed by what was found at start.
    todo: Mutex<Todo>,
    /// Collections whose passages may lie in the index of another grade.
    regraded: Mutex<BTreeSet<CollectionId>>,
    /// Nothing waits any more, and what was added is not merged yet.
    unmerged: AtomicBool,
    /// Documents that the index holds under another title.
    retitled: Mutex<BTreeSet<DocumentId>>,
    pace: Pace,
}

struct Running {
    stop: CancellationToken,
    percent: u8,
}

/// How far the index has been filled again from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rebuild {
    /// Passages indexed so far.
    pub done: usize,
    pub total: usize,
}

impl Rebuild {
    /// 0 to 99 while it goes on.
    pub fn percent(&self) -> u8 {
        u8::try_from((self.done * 100 / self.total.max(1)).min(99)).unwrap_or(99)
    }
}

impl Ingest {
    /// With what the opening of the index left to do.
    pub fn new(todo: Todo) -> Self {
        Self { todo: Mutex::new(todo), ..Self::default() }
    }

    /// Tells the workers that a document waits.
    pub fn wake(&self) {
        self.added.notify_one();
    }

    /// Tells the upkeep that passages must leave the index, and stops reading these documents.
    pub fn removed(&self, documents: &[DocumentId]) {
        for document in documents {
            self.stop(*document);
        }
        self.removed.notify_one();
    }

    /// Tells the upkeep that the grade of a collection was changed.
    pub fn regraded(&self, collection: CollectionId) {
        self.regraded.lock().unwrap_or_else(PoisonError::into_inner).insert(collection);
        self.removed.notify_one();
    }

    fn next_regraded(&self) -> Option<CollectionId> {
        self.regraded.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// Tells the upkeep that the title of a document was changed.
    pub fn retitled(&self, document: DocumentId) {
        self.retitled.lock().unwrap_or_else(PoisonError::into_inner).insert(document);
        self.removed.notify_one();
    }

    fn next_retitled(&self) -> Option<DocumentId> {
        self.retitled.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// Tells the upkeep that the queue is empty: a good time to merge what was added.
    fn settled(&self) {
        self.unmerged.store(true, Ordering::Release);
        self.removed.notify_one();
    }

    fn take_unmerged(&self) -> bool {
        self.unmerged.swap(false, Ordering::AcqRel)
    }

    /// Stops reading a document; its state has been changed in the store before.
    pub fn stop(&self, document: DocumentId) {
        if let Some(running) = self.running().get(&document) {
            running.stop.cancel();
        }
    }

    /// How far a document under way has come, 0 to 100; 0 for one that waits.
    pub fn percent(&self, document: DocumentId) -> u8 {
        self.running().get(&document).map_or(0, |r| r.percent)
    }

    /// How long `waiting` documents of one collection still wait, while documents of `owners` do.
    pub fn queue(&self, waiting: usize, owners: usize) -> Queue {
        self.pace.queue(waiting, owners, Instant::now())
    }

    /// `None` when the index is complete.
    pub fn rebuild(&self) -> Option<Rebuild> {
        *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_rebuild(&self, rebuild: Option<Rebuild>) {
        *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner) = rebuild;
    }

    fn running(&self) -> MutexGuard<'_, HashMap<DocumentId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_percent(&self, document: DocumentId, percent: u8) {
        if let Some(running) = self.running().get_mut(&document) {
            running.percent = percent;
        }
    }
}

/// The background tasks of a running server.
#[must_use = "stop it, so that work under way is given back"]
pub struct Background(Vec<JoinHandle<()>>);

impl Background {
    /// Waits for all tasks to end; cancel the application's shutdown token first.
    pub async fn ended(self) {
        for task in self.0 {
            if let Err(error) = task.await {
                tracing::error!(%error, "background task");
            }
        }
    }
}

/// Starts reading what waits and keeping the index in step; ends with the application's shutdown token.
pub fn start(app: &App) -> Background {
    Background(vec![tokio::spawn(dispatch(app.clone())), tokio::spawn(upkeep::keep(app.clone()))])
}

/// Hands waiting documents to workers, as many at once as there are cores.
async fn dispatch(app: App) {
    let most = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_ONCE);
    let mut turns = Turns::default();
    let mut tasks = JoinSet::new();
    let mut unmerged = false;
    while !app.shutdown.is_cancelled() {
        if tasks.len() >= most {
            tokio::select! {
                _ = app.shutdown.cancelled() => {}
                _ = tasks.join_next() => {}
            }
            continue;
        }
        match next(&app, &mut turns).await {
            Ok(Some(job)) => {
                unmerged = true;
                launch(&app, &mut tasks, job);
            }
            Ok(None) => {
                if tasks.is_empty() && std::mem::take(&mut unmerged) {
                    app.ingest.settled();
                }
                tokio::select! {
                    _ = app.shutdown.cancelled() => {}
                    _ = app.ingest.added.notified() => {}
                    Some(_) = tasks.join_next() => {}
                }
            }
            Err(error) => {
                tracing::error!(%error, "the queue of documents cannot be read");
                tokio::select! {
                    _ = app.shutdown.cancelled() => {}
                    _ = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Claims the document whose turn it is.
async fn next(app: &App, turns: &mut Turns) -> madang_store::Result<Option<Job>> {
    let mut heads = app.store.waiting_heads().await?;
    // One that was cancelled and retried waits until its first reading has cleaned up.
    heads.retain(|h| !app.ingest.running().contains_key(&h.document));
    while let Some(at) = turns.choose(&heads) {
        let head = heads.swap_remove(at);
        if let Some(job) = app.store.claim_document(head.document).await? {
            turns.took(&head);
            return Ok(Some(job));
        }
    }
    Ok(None)
}

fn launch(app: &App, tasks: &mut JoinSet<()>, job: Job) {
    let stop = app.shutdown.child_token();
    app.ingest.running().insert(job.document, Running { stop: stop.clone(), percent: 0 });
    let app = app.clone();
    tasks.spawn(async move {
        let (document, collection) = (job.document, job.collection);
        work::process(&app, job, &stop).await;
        app.ingest.running().remove(&document);
        app.ingest.pace.ended(Instant::now());
        watch::document_ended(&app, collection).await;
    });
}

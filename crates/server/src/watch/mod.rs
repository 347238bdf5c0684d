//! Folders that collections follow: which share belongs to whom, and when each is looked at. What is in a share is
//! `share`, how it is asked is `door`, what one look does is `look`; rights are the store's.

mod door;
mod look;
mod share;

pub use door::{Door, SILENT};
pub use look::{LookError, reasons};
pub use share::{Share, ShareError};

use crate::app::App;
use madang_domain::CollectionId;
use madang_store::watched::{MOST_WAITING, WatchedFolder};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// Pause between looks: network shares tell nobody what changes in them.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Switchboard between handlers, the reading of documents and the looking into folders.
#[derive(Default)]
pub struct Watch {
    wake: Notify,
    /// By department.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    /// Collections of which a look left files, because so many documents wait.
    left: Mutex<HashSet<CollectionId>>,
}

impl Watch {
    /// Looks into all folders soon.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The way to a department's share.
    pub fn door(&self, department: &str) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(department.to_owned()).or_default())
    }

    fn left(&self, collection: CollectionId) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(collection);
    }

    fn has_left(&self, collection: CollectionId) -> bool {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).contains(&collection)
    }

    /// Looks again, for what was left.
    fn go_on(&self, collection: CollectionId) {
        if self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(&collection) {
            self.wake();
        }
    }
}

/// The share of a department.
pub fn share_of<'a>(app: &'a App, department: &str) -> Option<&'a Share> {
    app.settings.shares.iter().find(|s| s.department == department)
}

/// A document of the collection came to its end: the folder that it follows goes on when half of its queue is read.
pub async fn document_ended(app: &App, collection: CollectionId) {
    if !app.watch.has_left(collection) {
        return;
    }
    match app.store.folder_room(collection).await {
        Ok(room) if room * 2 >= MOST_WAITING => app.watch.go_on(collection),
        Ok(_) => {}
        Err(error) => tracing::error!(%collection, %error, "what waits of a followed folder cannot be counted"),
    }
}

/// Looks into every followed folder, again and again, until the server stops: the folders of one share one after
/// another, those of different shares side by side.
pub async fn follow(app: App) {
    let mut looks = Looks::default();
    looks.begin(&app).await;
    let mut next = Instant::now() + LOOK_EVERY;
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => break,
            () = app.watch.wake.notified() => looks.asked = true,
            () = tokio::time::sleep_until(next) => {}
            Some(ended) = looks.tasks.join_next_with_id() => {
                let again = looks.end(ended.map_or_else(|error| error.id(), |(id, ())| id));
                if !again {
                    continue;
                }
            }
        }
        looks.begin(&app).await;
        next = Instant::now() + LOOK_EVERY;
    }
    // Each ends at its next step, and none waits for its share.
    while looks.tasks.join_next().await.is_some() {}
}

/// Looks under way, at most one for each share.
#[derive(Default)]
struct Looks {
    tasks: JoinSet<()>,
    /// Departments by the task that looks into their share, and whether to look once more after it.
    under_way: HashMap<Id, (String, bool)>,
    /// Somebody wants folders looked at now.
    asked: bool,
}

impl Looks {
    /// Begins a look into every share that none is under way in.
    async fn begin(&mut self, app: &App) {
        let folders = match app.store.watched_folders().await {
            Ok(folders) => folders,
            Err(error) => return tracing::error!(%error, "followed folders cannot be read"),
        };
        let mut shares: BTreeMap<String, Vec<WatchedFolder>> = BTreeMap::new();
        for folder in folders {
            shares.entry(folder.department_name.clone()).or_default().push(folder);
        }
        for (department, again) in self.under_way.values_mut() {
            *again |= self.asked && shares.contains_key(department);
            shares.remove(department);
        }
        self.asked = false;
        for (department, folders) in shares {
            let app = app.clone();
            let task = self.tasks.spawn(async move {
                for folder in folders {
                    once(&app, &folder).await;
                }
            });
            self.under_way.insert(task.id(), (department, false));
        }
    }

    /// A look has ended; `true` where another was asked for meanwhile.
    fn end(&mut self, task: Id) -> bool {
        self.under_way.remove(&task).is_some_and(|(_, again)| again)
    }
}

async fn once(app: &App, folder: &WatchedFolder) {
    if app.shutdown.is_cancelled() {
        return;
    }
    let outcome = look::look(app, folder, share_of(app, &folder.department_name)).await;
    match &outcome {
        Err(LookError::Stopped) => return,
        Err(error) => tracing::warn!(collection = %folder.collection, %error, "followed folder"),
        Ok(looked) if looked.left > 0 => app.watch.left(folder.collection),
        Ok(_) => {}
    }
    let told = outcome.map_err(|e| e.to_string());
    let told = told.as_ref().map(|looked| *looked).map_err(String::as_str);
    if let Err(error) = app.store.looked_at_folder(folder, told).await {
        tracing::error!(collection = %folder.collection, %error, "the look into a folder cannot be noted");
    }
}

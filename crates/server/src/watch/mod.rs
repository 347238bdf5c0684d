//! Folders that collections follow: which share belongs to whom, and when each is looked at. What is in a share is
//! `share`, what one look does is `look`; rights are the store's.

mod look;
mod share;

pub use look::{LookError, reasons};
pub use share::{Share, ShareError};

use crate::app::App;
use madang_store::watched::WatchedFolder;
use std::time::Duration;
use tokio::sync::Notify;

/// Pause between looks: network shares tell nobody what changes in them.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Wakes the looking before its time.
#[derive(Default)]
pub struct Watch(Notify);

impl Watch {
    /// Looks into all folders soon.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// The share of a department.
pub fn share_of<'a>(app: &'a App, department: &str) -> Option<&'a Share> {
    app.settings.shares.iter().find(|s| s.department == department)
}

/// Looks into every followed folder, again and again, until the server stops.
pub async fn follow(app: App) {
    while !app.shutdown.is_cancelled() {
        match app.store.watched_folders().await {
            Ok(folders) => {
                for folder in folders {
                    once(&app, &folder).await;
                }
            }
            Err(error) => tracing::error!(%error, "followed folders cannot be read"),
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.watch.0.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn once(app: &App, folder: &WatchedFolder) {
    if app.shutdown.is_cancelled() {
        return;
    }
    let outcome = look::look(app, folder, share_of(app, &folder.department_name)).await;
    if let Err(error) = &outcome {
        tracing::warn!(collection = %folder.collection, %error, "followed folder");
    }
    let told = outcome.map_err(|e| e.to_string());
    let told = told.as_ref().map(|looked| *looked).map_err(String::as_str);
    if let Err(error) = app.store.looked_at_folder(folder, told).await {
        tracing::error!(collection = %folder.collection, %error, "the look into a folder cannot be noted");
    }
}

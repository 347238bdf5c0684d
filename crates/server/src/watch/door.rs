//! Calls to the share of a department, which may never return: a network share that went away holds whoever asks it. Each
//! share is asked by one thread of its own at a time, so that a stuck one holds back nothing but itself, neither other
//! shares nor the end of the server. What is asked is not known here.

use super::share::{Share, ShareError};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// The way to one share.
pub struct Door {
    turn: Arc<Semaphore>,
    /// Somebody waited in vain, and no call has returned since.
    silent: AtomicBool,
    /// The subfolders that the last listing told.
    offered: Mutex<Option<Vec<String>>>,
}

/// The subfolders of a share, as far as it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub folders: Vec<String>,
    /// Why they may be out of date or missing, in Korean.
    pub note: Option<String>,
}

impl Default for Door {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), silent: AtomicBool::new(false), offered: Mutex::default() }
    }
}

impl Door {
    /// Runs `call` once those before it have returned. Dropped while it runs, the call goes on and keeps its turn.
    ///
    /// # Errors
    /// When no thread can be had, or the call panicked.
    pub async fn through<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(io::Error::other)?;
        let (tell, told) = oneshot::channel();
        let door = Arc::clone(self);
        // Not a thread for blocking work: the runtime would wait for it when the server ends.
        std::thread::Builder::new().name("share".to_owned()).spawn(move || {
            let value = call();
            door.silent.store(false, Ordering::SeqCst);
            drop(turn);
            // Nobody waits any more: the value is not needed.
            let _ = tell.send(value);
        })?;
        told.await.map_err(io::Error::other)
    }

    /// As [`Door::through`], for somebody who waits at a screen: `None` when the share does not answer within `patience`,
    /// and at once after it has not.
    ///
    /// # Errors
    /// As [`Door::through`].
    pub async fn within<T: Send + 'static>(
        self: &Arc<Self>,
        patience: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        if self.silent.load(Ordering::SeqCst) {
            return Ok(None);
        }
        match tokio::time::timeout(patience, self.through(call)).await {
            Ok(told) => told.map(Some),
            Err(_) => {
                // Unless it answered in this very moment.
                self.silent.store(self.turn.available_permits() == 0, Ordering::SeqCst);
                Ok(None)
            }
        }
    }

    /// Subfolders of the share; those of the last listing where it does not answer.
    ///
    /// # Errors
    /// As [`Door::through`].
    pub async fn folders(self: &Arc<Self>, share: &Share, patience: Duration) -> io::Result<Offered> {
        let (door, share) = (Arc::clone(self), share.clone());
        // Kept from within the call: an answer that comes too late serves the next one who asks.
        let listed = self.within(patience, move || {
            let listed = share.folders()?;
            *door.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed.clone());
            Ok::<_, ShareError>(listed)
        });
        Ok(match listed.await? {
            Some(Ok(folders)) => Offered { folders, note: None },
            Some(Err(error)) => Offered { folders: Vec::new(), note: Some(error.to_string()) },
            None => {
                let last = self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let note = match last {
                    Some(_) => "공유 폴더가 지금 응답하지 않습니다. 폴더 목록은 전에 본 것입니다.",
                    None => SILENT,
                };
                Offered { folders: last.unwrap_or_default(), note: Some(note.to_owned()) }
            }
        })
    }
}

/// What somebody is told whose share does not answer.
pub const SILENT: &str =
    "공유 폴더가 응답하지 않습니다. 공유가 연결되어 있는지 운영자에게 확인하고 잠시 뒤 다시 해 주세요.";

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A call that returns when it is told to, and how to tell it.
    fn stuck() -> (mpsc::Sender<()>, impl FnOnce() -> u8 + Send + 'static) {
        let (free, held) = mpsc::channel::<()>();
        (free, move || {
            let _ = held.recv();
            1
        })
    }

    #[tokio::test]
    async fn a_stuck_share_holds_back_itself_alone() {
        let (one, other) = (Arc::new(Door::default()), Arc::new(Door::default()));
        let (free, call) = stuck();
        assert_eq!(one.within(Duration::ZERO, call).await.expect("a thread"), None);
        assert_eq!(one.within(Duration::MAX, || 2).await.expect("a thread"), None, "nobody waits for it twice");
        assert_eq!(other.within(Duration::MAX, || 3).await.expect("a thread"), Some(3));
        let waiting = tokio::spawn({
            let one = Arc::clone(&one);
            async move { one.through(|| 4).await }
        });
        assert_eq!(one.turn.available_permits(), 0, "one call at a time");
        free.send(()).expect("it still runs");
        assert_eq!(waiting.await.expect("no panic").expect("a thread"), 4);
        assert_eq!(one.within(Duration::MAX, || 5).await.expect("a thread"), Some(5), "it answers again");
    }

    #[tokio::test]
    async fn a_silent_share_offers_what_it_told_last() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::create_dir(dir.path().join("계획")).expect("folder");
        let share = Share { department: "세정과".into(), root: dir.path().to_owned() };
        let door = Arc::new(Door::default());
        let (free, call) = stuck();
        assert_eq!(door.within(Duration::ZERO, call).await.expect("a thread"), None);
        let none = door.folders(&share, Duration::MAX).await.expect("a thread");
        assert_eq!(none, Offered { folders: Vec::new(), note: Some(SILENT.into()) });
        free.send(()).expect("it still runs");
        door.through(|| ()).await.expect("its turn");
        let told = door.folders(&share, Duration::MAX).await.expect("a thread");
        assert_eq!(told, Offered { folders: vec![String::new(), "계획".into()], note: None });
        let (free, call) = stuck();
        assert_eq!(door.within(Duration::ZERO, call).await.expect("a thread"), None);
        let last = door.folders(&share, Duration::MAX).await.expect("a thread");
        assert!(last.folders == told.folders && last.note.is_some(), "{last:?}");
        drop(free);
    }
}

//! The emergency stop (비상 정지) as the door sees it: what the store says, kept in memory so that whatever is being sent
//! notices at once. Who may move it, and its records, are the store's.

use madang_store::Store;
use madang_store::outside_switch::OutsideSwitch;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is asked whether another process has stopped everything.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Why a call ended that was on its way.
pub const CUT: &str = "비상 정지로 연결을 끊었습니다";

/// The switch of this process.
#[derive(Clone)]
pub struct Switch {
    store: Store,
    known: watch::Sender<Option<OutsideSwitch>>,
}

impl Switch {
    /// Nothing is known before it is asked for.
    pub fn new(store: Store) -> Self {
        Self { store, known: watch::Sender::new(None) }
    }

    /// Asks the store, and tells whoever is sending.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn refresh(&self) -> madang_store::Result<OutsideSwitch> {
        let found = self.store.outside_switch().await?;
        self.known.send_if_modified(|known| known.replace(found.clone()).as_ref() != Some(&found));
        Ok(found)
    }

    /// As it was last known in this process, for every page; `None` while the way out is open.
    pub fn stopped_now(&self) -> Option<OutsideSwitch> {
        self.known.borrow().clone().filter(|s| s.stopped)
    }

    /// Ends once everything outside is stopped, here or by another process.
    pub async fn stopped(&self) {
        let mut known = self.known.subscribe();
        loop {
            if known.borrow_and_update().as_ref().is_some_and(|s| s.stopped) {
                return;
            }
            let ask = async {
                tokio::time::sleep(ASK_EVERY).await;
                // A database that does not answer cuts nothing: what may leave was committed before.
                let _unanswered = self.refresh().await;
            };
            tokio::select! {
                // The sender lives as long as this does.
                _ = known.changed() => {}
                () = ask => {}
            }
        }
    }
}

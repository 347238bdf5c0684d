//! Another index beside the serving one: filled from the database while the old one answers and takes what is written,
//! then put in its place. In the running server on a wish from the command line, or by the command line itself where no
//! server runs. The wish and its outcome are files of the home folder: whoever may write there may wish.

use super::check::check;
use super::fill::{Batch, Watch, everything};
use super::{Rebuild, upkeep};
use crate::app::App;
use crate::blocking;
use crate::index_home::{IndexHome, ServerSettings};
use crate::serving::Serving;
use anyhow::{Context, bail};
use madang_inference::remote::InternalNetworks;
use madang_search::{Library, Place};
use madang_store::Store;
use madang_store::ledger::Event;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const WISH: &str = "index-wish.json";
const TOLD: &str = "index-told.json";
/// Tries to find index and database in step while documents change.
const TRIES: usize = 5;
/// How often the command line looks, and how often in a row it finds no server before it gives up.
const ASK_EVERY: Duration = Duration::from_millis(200);
const GONE: u32 = 25;
/// Longest wait for searches that still use the old index, before its files are left to the operator.
const LAST_SEARCHES: Duration = Duration::from_secs(120);

/// What is to be done with the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Compared with the database.
    Check,
    /// Made anew where it lives.
    Rebuild,
    /// Made at another place; `None`: embedded.
    Move { server: Option<ServerSettings> },
}

/// A wish of the command line to the running server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wish {
    id: uuid::Uuid,
    #[serde(flatten)]
    what: What,
}

/// How a wish goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Told {
    Running { wish: uuid::Uuid, progress: Rebuild },
    Ended { wish: uuid::Uuid, outcome: Result<Outcome, String> },
}

/// What the operator is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub lines: Vec<String>,
    /// Nothing is wrong with the index.
    pub sound: bool,
}

/// What making an index needs.
pub struct Workshop<'a> {
    pub home: &'a Path,
    pub store: &'a Store,
    pub serving: &'a Arc<Serving>,
    pub networks: &'a InternalNetworks,
}

impl Workshop<'_> {
    /// Does what is wished.
    ///
    /// # Errors
    /// The old index goes on serving.
    pub async fn carry_out(&self, what: &What, watch: &mut impl Watch) -> anyhow::Result<Outcome> {
        let now = IndexHome::read(self.home)?;
        let (server, carry) = match what {
            What::Check => {
                // A document on its way in is neither ready nor missing.
                let _gate = self.serving.gate.write().await;
                watch.step(None).await?;
                return check(self.home, self.store, &self.serving.now()).await;
            }
            What::Rebuild => (now.server.clone(), false),
            What::Move { server } => (server.clone(), true),
        };
        let wanted = IndexHome { folder: now.next_folder(), server };
        let (from, to) = (self.place(&now).await?, self.place(&wanted).await?);
        let dir = wanted.dir(self.home);
        let old = match self.make(&wanted, &to, carry, watch).await {
            Ok(old) => old,
            Err(error) => {
                self.serving.end(None);
                remove(dir, to).await.unwrap_or_else(|left| tracing::error!(%left, "a half-made index is left"));
                return Err(error);
            }
        };
        let total = upkeep::count(&self.serving.now()).await?.total();
        let detail = json!({ "from": now.named(), "to": wanted.named(), "passages": total });
        self.store.record(Event::new(if carry { "index_moved" } else { "index_rebuilt" }, None, detail)).await?;
        let mut lines = vec![format!("색인을 새로 만들었습니다: 구절 {total}개, {}", wanted.named())];
        if let Err(error) = discard(old, now.dir(self.home), from).await {
            lines.push(format!("옛 색인을 지우지 못했습니다({}): {error:#}", now.named()));
        }
        Ok(Outcome { lines, sound: true })
    }

    async fn place(&self, at: &IndexHome) -> anyhow::Result<Place> {
        let (at, networks) = (at.clone(), self.networks.clone());
        blocking::run(move || at.place(&networks)).await?
    }

    /// Makes it and puts it in the old one's place, which is returned.
    async fn make(
        &self,
        wanted: &IndexHome,
        place: &Place,
        carry: bool,
        watch: &mut impl Watch,
    ) -> anyhow::Result<Arc<Library>> {
        let (dir, place, old) = (wanted.dir(self.home), place.clone(), self.serving.now());
        let from = Arc::clone(&old);
        let coming = blocking::run(move || {
            let coming = Library::recreate(&dir, &place)?;
            if carry {
                coming.take_models(&from)?;
            }
            Ok::<_, madang_search::SearchError>(Arc::new(coming))
        });
        let coming = coming.await??;
        {
            let _gate = self.serving.gate.write().await;
            self.serving.begin(Arc::clone(&coming));
        }
        let vectors = carry.then_some(&old);
        if !everything(self.store, &coming, vectors, watch).await? {
            bail!("멈추라는 말이 있어 색인을 옮기지 않았습니다.");
        }
        let index = Arc::clone(&coming);
        blocking::run(move || index.optimise()).await??;
        // From here on nothing becomes ready until the new one serves.
        let _gate = self.serving.gate.write().await;
        self.agree(&coming, watch).await?;
        wanted.write(self.home)?;
        self.serving.end(Some(coming)).context("색인")
    }

    /// Does the new index hold what the database says?
    async fn agree(&self, coming: &Arc<Library>, watch: &mut impl Watch) -> anyhow::Result<()> {
        for _ in 0..TRIES {
            watch.step(None).await?;
            if self.serving.missed() {
                bail!("새 색인이 쓰기 하나를 놓쳤습니다. 검색 서버를 확인하고 다시 해 주세요.");
            }
            if upkeep::count(coming).await? == upkeep::shelved(self.store).await? {
                return Ok(());
            }
        }
        bail!("새 색인의 구절 수가 데이터베이스와 맞지 않습니다. 다시 해 주세요.")
    }
}

/// Removes an index that serves no more, when the last search has left it.
async fn discard(old: Arc<Library>, dir: PathBuf, place: Place) -> anyhow::Result<()> {
    let alone = async {
        while Arc::strong_count(&old) > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LAST_SEARCHES, alone).await.context("아직 쓰이고 있습니다")?;
    // Closing flushes, which blocks.
    blocking::run(move || drop(old)).await?;
    remove(dir, place).await
}

async fn remove(dir: PathBuf, place: Place) -> anyhow::Result<()> {
    blocking::run(move || -> anyhow::Result<()> {
        Library::remove(&dir, &place)?;
        Ok(std::fs::remove_dir_all(&dir)?)
    })
    .await?
}

/// Carries out the wish that lies in the home folder, if one does.
pub(super) async fn follow(app: &App) {
    let home = &app.settings.home;
    let Some(wish) = read::<Wish>(&home.join(WISH)) else { return };
    tracing::info!(what = ?wish.what, "a wish for the index");
    let networks = InternalNetworks::parse(app.shelf.lock().internal_networks()).unwrap_or_default();
    let workshop = Workshop { home, store: &app.store, serving: &app.index, networks: &networks };
    let mut watch = InServer { app, wish: wish.id, percent: None };
    let outcome = workshop.carry_out(&wish.what, &mut watch).await;
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "the wish for the index");
    }
    let outcome = outcome.map_err(|error| format!("{error:#}"));
    // Told before the wish is gone: one that is found again is carried out again, which does no harm.
    let told = write(&home.join(TOLD), &Told::Ended { wish: wish.id, outcome });
    if let Err(error) = told.and_then(|()| Ok(std::fs::remove_file(home.join(WISH))?)) {
        tracing::error!(%error, "the outcome of a wish could not be told");
    }
}

/// Tells the command line, and goes on with what the upkeep would do.
struct InServer<'a> {
    app: &'a App,
    wish: uuid::Uuid,
    percent: Option<u8>,
}

impl Watch for InServer<'_> {
    async fn step(&mut self, progress: Option<Rebuild>) -> anyhow::Result<bool> {
        let app = self.app;
        if let Some(progress) = progress
            && self.percent.replace(progress.percent()) != Some(progress.percent())
        {
            write(&app.settings.home.join(TOLD), &Told::Running { wish: self.wish, progress })?;
        }
        upkeep::drain_all(app).await?;
        upkeep::reshelve(app).await?;
        Ok(!app.shutdown.is_cancelled())
    }
}

/// Puts into the index again what its opening dropped because its last write was cut off.
///
/// # Errors
/// Those of database and index.
pub async fn complete(store: &Store, index: &Arc<Library>) -> anyhow::Result<()> {
    let mut batch = Batch::new(index, None);
    for document in index.interrupted() {
        batch.add(store, document).await?;
    }
    batch.flush().await
}

/// Leaves a wish, unless one is there: the server carries out one at a time.
fn leave(home: &Path, wish: &Wish) -> anyhow::Result<()> {
    let (own, shared) = (home.join(format!("index-wish-{}.json", wish.id)), home.join(WISH));
    write(&own, wish)?;
    let left = renameat_with(CWD, &own, CWD, &shared, RenameFlags::NOREPLACE);
    if left.is_err() {
        let _ = std::fs::remove_file(&own);
    }
    match left {
        Err(Errno::EXIST) => bail!("다른 명령이 색인을 다루고 있습니다. 그 일이 끝난 뒤 다시 해 주세요."),
        left => left.with_context(|| format!("{} 파일을 쓸 수 없습니다", shared.display())),
    }
}

/// Asks the running server, and waits for what it tells.
///
/// # Errors
/// What the server could not do; another wish that is not done yet; a home folder that cannot be written.
pub async fn ask(home: &Path, what: What, mut progress: impl FnMut(Rebuild)) -> anyhow::Result<Outcome> {
    let id = uuid::Uuid::now_v7();
    leave(home, &Wish { id, what })?;
    let mut gone = 0;
    while gone < GONE {
        match read::<Told>(&home.join(TOLD)) {
            Some(Told::Ended { wish, outcome }) if wish == id => return outcome.map_err(anyhow::Error::msg),
            Some(Told::Running { wish, progress: at }) if wish == id => progress(at),
            _ => {}
        }
        tokio::time::sleep(ASK_EVERY).await;
        // Between two folders nobody holds either for a moment.
        gone = if Library::is_in_use(&IndexHome::read(home)?.dir(home))? { 0 } else { gone + 1 };
    }
    let _ = std::fs::remove_file(home.join(WISH));
    bail!("서버가 일을 마치기 전에 끝났습니다. 서버를 다시 켜거나, 끈 채로 다시 해 주세요.")
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice(&text).inspect_err(|error| tracing::warn!(%error, "{}", path.display())).ok()
}

fn write<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, serde_json::to_vec(value)?)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("{} 파일을 쓸 수 없습니다", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_wish_does_not_take_the_place_of_the_first() {
        let home = tempfile::tempdir().expect("folder");
        let first = Wish { id: uuid::Uuid::now_v7(), what: What::Rebuild };
        leave(home.path(), &first).expect("left");
        let refused = ask(home.path(), What::Check, |_| {}).await.expect_err("one is there");
        assert!(refused.to_string().contains("다른 명령"), "{refused}");
        let kept: Wish = read(&home.path().join(WISH)).expect("a wish");
        assert_eq!((kept.id, kept.what), (first.id, first.what));
        assert_eq!(std::fs::read_dir(home.path()).expect("folder").count(), 1, "nothing is left beside it");
    }
}

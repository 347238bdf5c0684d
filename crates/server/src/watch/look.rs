//! One look into a followed folder: what is new, changed, moved or gone, and taking it over into the collection. Nothing
//! is removed unless the whole folder could be read, nor much at once unless somebody says that it is on purpose.

use super::share::{Folder, Seen, Share, ShareError};
use crate::app::App;
use crate::blocking;
use crate::ingest::sweep_originals;
use crate::names::{clean_name, split_name};
use madang_store::documents::NewDocument;
use madang_store::watched::{LetGo, Looked, WatchedFile, WatchedFolder};
use madang_store::{Incoming, Originals, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

/// A file that changed this short a time ago (milliseconds) may still be being written: it waits for the next look.
const SETTLING: i64 = 3_000;
const CHUNK: usize = 1 << 20;
/// What documents are read from; anything else in a share is left alone.
const READABLE: [&str; 17] = [
    "hwp", "hwpx", "pdf", "docx", "xlsx", "xls", "pptx", "txt", "md", "csv", "tsv", "html", "htm", "odt", "ods", "eml",
    "log",
];

/// Files of which so many may be gone at once without a question; above, if they are more than half of what is known.
const FEW: usize = 5;
/// Why a file is not taken in that may not be read. It is tried again at every look: rights change without a trace.
const UNREADABLE: &str = "읽을 권한이 없는 파일입니다. 공유 폴더에서 권한을 확인해 주세요.";

/// Why a look came to nothing, in Korean.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("이 부서의 공유 폴더가 서버에 등록되어 있지 않습니다. 운영자에게 등록을 부탁해 주세요.")]
    NoShare,
    #[error(
        "폴더를 연결한 사람이 더는 이 모음을 바꿀 수 없어 맞추기를 멈췄습니다. 문서는 그대로 두었습니다. 부서의 다른 분이 다시 연결해 주세요."
    )]
    NoRight,
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("지금은 저장할 수 없습니다. 다음에 다시 맞춥니다.")]
    Store(#[from] StoreError),
    #[error("지금은 읽을 수 없습니다. 다음에 다시 맞춥니다.")]
    Io(#[from] std::io::Error),
    #[error("서버가 멈추는 중입니다.")]
    Stopped,
}

/// Brings the collection in step with its folder.
///
/// # Errors
/// What stood in the way; what was taken over until then stays.
pub async fn look(app: &App, folder: &WatchedFolder, share: Option<&Share>) -> Result<Looked, LookError> {
    if !folder.allowed {
        return Err(LookError::NoRight);
    }
    let share = share.ok_or(LookError::NoShare)?.clone();
    let path = folder.path.clone();
    let listed = move || -> Result<_, ShareError> {
        let root = share.open(&path)?;
        let seen = root.files()?;
        Ok((Arc::new(root), seen))
    };
    let (root, seen) = ask(app, folder, listed).await??;
    let known = app.store.watched_files(folder.collection).await?;
    let documents = known.iter().filter(|f| f.document.is_some()).count();
    let looked = Looked { files: seen.len(), ..Looked::default() };
    let room = app.store.folder_room(folder.collection).await?;
    let mut step = Step { app, folder, root, looked, room, left: HashSet::new() };
    let Difference { fresh, mut gone } = difference(known, seen, app.store.clock().now_ms());
    for (file, before) in fresh {
        if app.shutdown.is_cancelled() {
            return Err(LookError::Stopped);
        }
        step.take_over(file, before, &mut gone).await?;
    }
    // One of those that were left may be the same file at another place.
    gone.retain(|_, file| !step.left.contains(&file.bytes));
    let missing = gone.values().filter(|f| f.document.is_some()).count();
    if missing > folder.removal_allowed && is_doubtful(missing, documents, step.looked.files) {
        step.looked.missing = missing;
        gone.retain(|_, file| file.document.is_none());
    }
    step.remove(gone).await?;
    Ok(step.looked)
}

/// Asks the folder's share, which may not answer: then the server may still stop.
async fn ask<T: Send + 'static>(
    app: &App,
    folder: &WatchedFolder,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LookError> {
    let door = app.watch.door(&folder.department_name);
    tokio::select! {
        () = app.shutdown.cancelled() => Err(LookError::Stopped),
        told = door.through(call) => Ok(told?),
    }
}

/// Is it more likely that a disk went away than that somebody removed so many files?
fn is_doubtful(missing: usize, documents: usize, seen: usize) -> bool {
    seen == 0 || (missing > FEW && missing * 2 > documents)
}

/// What a folder holds against what was known of it.
#[derive(Debug, Default)]
struct Difference {
    /// New or changed files, with what was known of the path.
    fresh: Vec<(Seen, Option<WatchedFile>)>,
    /// Known files that are gone, by path.
    gone: BTreeMap<String, WatchedFile>,
}

fn difference(known: Vec<WatchedFile>, seen: Vec<Seen>, now: i64) -> Difference {
    let mut gone: BTreeMap<String, WatchedFile> = known.into_iter().map(|f| (f.path.clone(), f)).collect();
    let mut fresh = Vec::new();
    for file in seen {
        let before = gone.remove(&file.path);
        let same = before.as_ref().is_some_and(|b| {
            b.bytes == file.bytes && b.modified == file.modified && b.reason.as_deref() != Some(UNREADABLE)
        });
        // A time ahead of ours tells nothing.
        let settled = !(0..SETTLING).contains(&now.saturating_sub(file.modified));
        if !same && settled {
            fresh.push((file, before));
        }
    }
    Difference { fresh, gone }
}

struct Step<'a> {
    app: &'a App,
    folder: &'a WatchedFolder,
    root: Arc<Folder>,
    looked: Looked,
    /// How many more documents of the folder may wait to be read.
    room: usize,
    /// Sizes of the files that are left to a later look.
    left: HashSet<i64>,
}

/// What copying a file came to.
enum Copied {
    Whole(Incoming),
    /// Gone, held by its writer, or grown too large meanwhile: the next look sees it again.
    Not,
    Refused,
}

impl Step<'_> {
    async fn take_over(
        &mut self,
        seen: Seen,
        before: Option<WatchedFile>,
        gone: &mut BTreeMap<String, WatchedFile>,
    ) -> Result<(), LookError> {
        let file = WatchedFile {
            path: seen.path,
            bytes: seen.bytes,
            modified: seen.modified,
            original: None,
            document: None,
            reason: None,
        };
        if let Some(reason) = refusal(&file, self.app.settings.max_upload) {
            return self.refuse(file, before, reason).await;
        }
        if self.room == 0 {
            self.looked.left += 1;
            self.left.insert(file.bytes);
            return Ok(());
        }
        let incoming = match self.copy(&file.path).await? {
            Copied::Whole(incoming) => incoming,
            Copied::Not => return Ok(()),
            Copied::Refused => return self.refuse(file, before, UNREADABLE.to_owned()).await,
        };
        let original = incoming.digest();
        let bytes = i64::try_from(incoming.written()).unwrap_or(i64::MAX);
        let file = WatchedFile { original: Some(original.clone()), bytes, ..file };
        if let Some(same) = before.as_ref().filter(|b| b.original.as_ref() == Some(&original)) {
            return Ok(self.app.store.note_file(self.folder, &WatchedFile { document: same.document, ..file }).await?);
        }
        let name = clean_name(&file.path);
        let (title, format) = split_name(&name);
        let moved = gone.iter().find(|(_, g)| g.original.as_ref() == Some(&original)).map(|(path, _)| path.clone());
        if before.is_none()
            && let Some(from) = moved
            && let Some(old) = gone.remove(&from)
        {
            self.looked.moved += 1;
            let to = WatchedFile { document: old.document, ..file };
            self.app.store.move_file(self.folder, &from, &to, &name, &title).await?;
            old.document.into_iter().for_each(|document| self.app.ingest.retitled(document));
            return Ok(());
        }
        match before.is_some_and(|b| b.document.is_some()) {
            true => self.looked.changed += 1,
            false => self.looked.added += 1,
        }
        let new = NewDocument { title, file_name: name, format, original, bytes, replaces: None };
        self.take_in(incoming, file, new).await
    }

    /// Stores what was copied and adds its document.
    async fn take_in(&mut self, incoming: Incoming, file: WatchedFile, new: NewDocument) -> Result<(), LookError> {
        let original = new.original.clone();
        let gate = self.app.originals.adding().await;
        blocking::run(move || incoming.store()).await??;
        let taken = self.app.store.take_in_file(self.folder, file, new).await;
        drop(gate);
        if !matches!(taken, Ok(Some(_))) {
            sweep_originals(self.app, vec![original]).await;
        }
        let taken = taken?.ok_or(LookError::NoRight)?;
        if !taken.duplicate {
            self.room = self.room.saturating_sub(1);
        }
        self.let_go(taken.gone).await;
        self.app.ingest.wake();
        Ok(())
    }

    /// Notes why a file is not taken in; what it held before stays its own.
    async fn refuse(
        &mut self,
        file: WatchedFile,
        before: Option<WatchedFile>,
        reason: String,
    ) -> Result<(), LookError> {
        self.looked.skipped += 1;
        let (document, original) = before.map(|b| (b.document, b.original)).unwrap_or_default();
        let file = WatchedFile { document, original, reason: Some(reason), ..file };
        Ok(self.app.store.note_file(self.folder, &file).await?)
    }

    async fn remove(&mut self, gone: BTreeMap<String, WatchedFile>) -> Result<(), LookError> {
        for file in gone.into_values() {
            self.looked.removed += 1;
            let gone = self.app.store.remove_file(self.folder, &file).await?;
            self.let_go(gone).await;
        }
        Ok(())
    }

    /// Ends the reading of documents that are gone, and what is left of them on the disk.
    async fn let_go(&self, gone: LetGo) {
        if !gone.documents.is_empty() {
            self.app.ingest.removed(&gone.documents);
        }
        if !gone.unused.is_empty() {
            sweep_originals(self.app, gone.unused).await;
        }
    }

    /// Copies a file beside the originals. Nobody waits for it but this folder.
    async fn copy(&self, path: &str) -> Result<Copied, LookError> {
        let (root, path, originals) = (Arc::clone(&self.root), path.to_owned(), self.app.originals.clone());
        let most = self.app.settings.max_upload as u64;
        let copied = ask(self.app, self.folder, move || copy(&root, &path, &originals, most)).await?;
        Ok(copied?)
    }
}

fn copy(root: &Folder, path: &str, originals: &Originals, most: u64) -> Result<Copied, StoreError> {
    let mut file = match root.file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(Copied::Refused),
        Err(_) => return Ok(Copied::Not),
    };
    let mut incoming = originals.receive()?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let Ok(read) = file.read(&mut chunk) else { return Ok(Copied::Not) };
        incoming.write(chunk.get(..read).unwrap_or_default())?;
        if incoming.written() > most {
            return Ok(Copied::Not);
        }
        if read == 0 {
            return Ok(Copied::Whole(incoming));
        }
    }
}

/// Why a file is not taken in, in Korean.
fn refusal(file: &WatchedFile, most: usize) -> Option<String> {
    let extension = file.path.rsplit_once('.').map(|(_, e)| e.to_lowercase()).unwrap_or_default();
    if !READABLE.contains(&extension.as_str()) {
        return Some("읽을 수 있는 문서 형식이 아닙니다.".to_owned());
    }
    if file.bytes == 0 {
        return Some("빈 파일입니다.".to_owned());
    }
    let too_large = usize::try_from(file.bytes).is_ok_and(|b| b > most);
    too_large.then(|| format!("한 파일은 {}MB까지 읽습니다. 나누어 저장해 주세요.", most >> 20))
}

/// Reasons and how many files each keeps out.
pub fn reasons(files: &[WatchedFile]) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for reason in files.iter().filter_map(|f| f.reason.as_deref()) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut out: Vec<_> = counts.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect();
    out.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str, modified: i64) -> Seen {
        Seen { path: path.into(), bytes: 10, modified }
    }

    fn known(path: &str, modified: i64) -> WatchedFile {
        WatchedFile { path: path.into(), bytes: 10, modified, original: None, document: None, reason: None }
    }

    #[test]
    fn files_that_are_being_written_wait() {
        let now = 100_000;
        let found = difference(
            vec![known("같다", 1), known("바뀐다", 1), known("없다", 1), known("쓰는 중", 1)],
            vec![
                seen("같다", 1),
                seen("바뀐다", 2),
                seen("새것", 3),
                seen("쓰는 중", now - 10),
                seen("미래", now + 9_000),
            ],
            now,
        );
        let fresh: Vec<_> = found.fresh.iter().map(|(f, before)| (f.path.as_str(), before.is_some())).collect();
        assert_eq!(fresh, [("바뀐다", true), ("새것", false), ("미래", false)]);
        assert_eq!(found.gone.keys().collect::<Vec<_>>(), ["없다"]);
        // What could not be read is tried again, though it looks as it did.
        let unreadable = WatchedFile { reason: Some(UNREADABLE.into()), ..known("잠긴 것", 1) };
        assert_eq!(difference(vec![unreadable], vec![seen("잠긴 것", 1)], now).fresh.len(), 1);
    }

    #[test]
    fn much_that_is_gone_at_once_is_asked_about() {
        assert!(is_doubtful(1, 1, 0), "an empty folder");
        assert!(is_doubtful(6, 11, 5));
        assert!(!is_doubtful(6, 12, 6), "half of it");
        assert!(!is_doubtful(5, 5, 1), "a few");
    }

    #[test]
    fn a_file_that_grows_too_large_is_not_stored() {
        let dir = tempfile::tempdir().expect("folder");
        let share = Share { department: "세정과".into(), root: dir.path().join("share") };
        std::fs::create_dir(&share.root).expect("folder");
        std::fs::write(share.root.join("대장.txt"), "가나다").expect("file");
        let root = share.open("").expect("open");
        let originals = Originals::open(&dir.path().join("originals")).expect("originals");
        assert!(matches!(copy(&root, "대장.txt", &originals, 8), Ok(Copied::Not)));
        assert!(matches!(copy(&root, "없다.txt", &originals, 9), Ok(Copied::Not)));
        let Ok(Copied::Whole(incoming)) = copy(&root, "대장.txt", &originals, 9) else { panic!("it fits") };
        let digest = incoming.digest();
        assert_eq!(incoming.store().expect("stored"), digest);
    }

    #[test]
    fn what_is_no_document_is_left_alone() {
        let most = 1 << 20;
        assert_eq!(refusal(&known("가/나.HWPX", 1), most), None);
        for path in ["사진.jpg", "확장자없음", "프로그램.exe"] {
            assert!(refusal(&known(path, 1), most).is_some(), "{path}");
        }
        assert!(refusal(&WatchedFile { bytes: 0, ..known("가.txt", 1) }, most).is_some());
        assert!(
            refusal(&WatchedFile { bytes: 2 << 20, ..known("가.txt", 1) }, most).is_some_and(|r| r.contains("1MB"))
        );
    }
}

//! One look into a followed folder: what is new, changed, moved or gone, and taking it over into the collection. Nothing
//! is removed unless the whole folder could be read.

use super::share::{Folder, Seen, Share, ShareError};
use crate::app::App;
use crate::blocking;
use crate::ingest::sweep_originals;
use crate::names::split_name;
use madang_store::StoreError;
use madang_store::documents::NewDocument;
use madang_store::watched::{Looked, WatchedFile, WatchedFolder};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// A file that changed this short a time ago (milliseconds) may still be being written: it waits for the next look.
const SETTLING: i64 = 3_000;
const CHUNK: usize = 1 << 20;
/// What documents are read from; anything else in a share is left alone.
const READABLE: [&str; 17] = [
    "hwp", "hwpx", "pdf", "docx", "xlsx", "xls", "pptx", "txt", "md", "csv", "tsv", "html", "htm", "odt", "ods", "eml",
    "log",
];

/// Why a look came to nothing, in Korean.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("이 부서의 공유 폴더가 서버에 등록되어 있지 않습니다. 운영자에게 등록을 부탁해 주세요.")]
    NoShare,
    #[error(
        "폴더가 비어 있습니다. 공유가 끊긴 것일 수 있어 문서를 그대로 두었습니다. 정말 비웠다면 연결을 끊고 문서를 지워 주세요."
    )]
    Empty,
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error("지금은 저장할 수 없습니다. 다음에 다시 맞춥니다.")]
    Store(#[from] StoreError),
    #[error("지금은 읽을 수 없습니다. 다음에 다시 맞춥니다.")]
    Io(#[from] std::io::Error),
}

/// Brings the collection in step with its folder.
///
/// # Errors
/// What stood in the way; what was taken over until then stays.
pub async fn look(app: &App, folder: &WatchedFolder, share: Option<&Share>) -> Result<Looked, LookError> {
    let share = share.ok_or(LookError::NoShare)?.clone();
    let path = folder.path.clone();
    let (root, seen) = blocking::run(move || -> Result<_, ShareError> {
        let root = share.open(&path)?;
        let seen = root.files()?;
        Ok((Arc::new(root), seen))
    })
    .await??;
    let known = app.store.watched_files(folder.collection).await?;
    if seen.is_empty() && known.iter().any(|f| f.document.is_some()) {
        return Err(LookError::Empty);
    }
    let mut step = Step { app, folder, root, looked: Looked { files: seen.len(), ..Looked::default() } };
    let Difference { fresh, mut gone } = difference(known, seen, app.store.clock().now_ms());
    for (file, before) in fresh {
        if app.shutdown.is_cancelled() {
            return Ok(step.looked);
        }
        step.take_over(file, before, &mut gone).await?;
    }
    for file in gone.into_values() {
        step.looked.removed += 1;
        if let Some(original) = app.store.remove_file(folder, &file).await? {
            sweep_originals(app, vec![original]).await;
        }
        app.ingest.removed(file.document.as_slice());
    }
    Ok(step.looked)
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
        let same = before.as_ref().is_some_and(|b| b.bytes == file.bytes && b.modified == file.modified);
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
            self.looked.skipped += 1;
            return Ok(self.app.store.note_file(self.folder, &WatchedFile { reason: Some(reason), ..file }).await?);
        }
        let gate = self.app.originals.adding().await;
        // Gone or locked by its writer: the next look sees it again.
        let Some((original, bytes)) = self.store_original(&file.path).await? else { return Ok(()) };
        let file = WatchedFile { original: Some(original.clone()), bytes, ..file };
        if let Some(same) = before.as_ref().filter(|b| b.original.as_ref() == Some(&original)) {
            return Ok(self.app.store.note_file(self.folder, &WatchedFile { document: same.document, ..file }).await?);
        }
        let (title, format) = split_name(&name_of(&file.path));
        let moved = gone.iter().find(|(_, g)| g.original.as_ref() == Some(&original)).map(|(path, _)| path.clone());
        if before.is_none()
            && let Some(from) = moved
            && let Some(old) = gone.remove(&from)
        {
            self.looked.moved += 1;
            let to = WatchedFile { document: old.document, ..file };
            self.app.store.move_file(self.folder, &from, &to, &title).await?;
            old.document.into_iter().for_each(|document| self.app.ingest.retitled(document));
            return Ok(());
        }
        let replaces = before.as_ref().and_then(|b| b.document);
        match replaces {
            Some(_) => self.looked.changed += 1,
            None => self.looked.added += 1,
        }
        let file_name = name_of(&file.path);
        let new = NewDocument { title, file_name, format, original: original.clone(), bytes, replaces };
        let added = self.app.store.take_in_file(self.folder, file.clone(), new.clone()).await;
        let added = match added {
            // The document before was deleted by hand: the file is a new one.
            Err(StoreError::NotFound) => {
                self.app.store.take_in_file(self.folder, file, NewDocument { replaces: None, ..new }).await
            }
            other => other,
        };
        drop(gate);
        if !matches!(added, Ok(Some(_))) {
            sweep_originals(self.app, vec![original]).await;
        }
        self.app.ingest.wake();
        added?;
        Ok(())
    }

    /// Copies a file to the originals; digest and size.
    async fn store_original(&self, path: &str) -> Result<Option<(String, i64)>, LookError> {
        let (root, path, originals) = (Arc::clone(&self.root), path.to_owned(), self.app.originals.clone());
        let most = self.app.settings.max_upload as u64;
        Ok(blocking::run(move || -> Result<Option<(String, i64)>, StoreError> {
            let Ok(mut file) = root.file(&path) else { return Ok(None) };
            let mut incoming = originals.receive()?;
            let mut chunk = vec![0; CHUNK];
            loop {
                let Ok(read) = file.read(&mut chunk) else { return Ok(None) };
                incoming.write(chunk.get(..read).unwrap_or_default())?;
                if read == 0 || incoming.written() > most {
                    break;
                }
            }
            let bytes = i64::try_from(incoming.written()).unwrap_or(i64::MAX);
            Ok(Some((incoming.store()?, bytes)))
        })
        .await??)
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

/// The last part, composed: some file systems keep Hangul decomposed.
fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().nfc().collect()
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

//! A department's share on the disk: listing it, and opening files in it. Whoever may write to a share must not be able
//! to lead the server elsewhere, so every path is resolved by the kernel beneath the share, without links. What becomes
//! of the files is not known here.

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization;

/// Most files of one folder, deepest nesting, and most subfolders offered.
const MOST_FILES: usize = 50_000;
const DEEPEST: usize = 24;
const MOST_OFFERED: usize = 500;

/// A folder on the disk that belongs to a department.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The department's name.
    pub department: String,
    pub root: PathBuf,
}

impl std::str::FromStr for Share {
    type Err = String;

    /// `세정과=/srv/share/tax`
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((department, root)) if !department.trim().is_empty() && Path::new(root.trim()).is_absolute() => {
                Ok(Self { department: department.trim().nfc().collect(), root: root.trim().into() })
            }
            _ => Err("'부서 이름=/절대/경로'처럼 적어 주세요.".to_owned()),
        }
    }
}

/// A file as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Below the folder, parts joined by `/`, as the disk spells it.
    pub path: String,
    pub bytes: i64,
    /// Unix milliseconds.
    pub modified: i64,
}

/// Why a folder cannot be followed, in Korean.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    #[error("폴더를 열 수 없습니다. 공유가 연결되어 있는지 확인해 주세요. 문서는 그대로 두었습니다. ({0})")]
    Closed(io::Error),
    #[error("폴더에 파일이 너무 많습니다({MOST_FILES}개까지). 아래 폴더를 골라 연결해 주세요.")]
    TooMany,
    #[error("폴더가 너무 깊습니다. 아래 폴더를 골라 연결해 주세요.")]
    TooDeep,
    #[error(
        "‘{0}’에 다른 저장 장치가 연결되어 있어 이 폴더를 맞출 수 없습니다. 아래 폴더를 골라 따로 연결해 주세요. 문서는 그대로 두었습니다."
    )]
    Mounted(String),
    #[error("이름이 UTF-8이 아닌 파일이 있습니다: {0}")]
    Name(String),
}

/// An open folder of a share.
pub struct Folder(OwnedFd);

impl Share {
    /// Opens a folder below the share; an empty path is the share itself.
    ///
    /// # Errors
    /// [`ShareError::Closed`] also for a path that leads out of the share.
    pub fn open(&self, path: &str) -> Result<Folder, ShareError> {
        let root = openat2(CWD, &self.root, directory(), Mode::empty(), ResolveFlags::NO_MAGICLINKS);
        let root = root.map_err(closed)?;
        let path = if path.is_empty() { "." } else { path };
        open_beneath(root.as_fd(), Path::new(path), directory(), ResolveFlags::empty()).map(Folder).map_err(closed)
    }

    /// Paths of the subfolders, two levels deep, the share itself as an empty one.
    ///
    /// # Errors
    /// [`ShareError::Closed`].
    pub fn folders(&self) -> Result<Vec<String>, ShareError> {
        let root = self.open("")?;
        let mut out = vec![String::new()];
        for first in root.subfolders("")? {
            out.push(first.clone());
            // One that cannot be entered is still named.
            out.extend(root.subfolders(&first).unwrap_or_default());
            if out.len() > MOST_OFFERED {
                out.truncate(MOST_OFFERED);
                break;
            }
        }
        Ok(out)
    }
}

impl Folder {
    /// All files below the folder by path, without hidden and temporary ones. Links are passed over.
    ///
    /// # Errors
    /// When any folder of it cannot be read: half a listing would look like deleted files. So would that of a disk that
    /// is mounted further down and goes away: there is to be none.
    pub fn files(&self) -> Result<Vec<Seen>, ShareError> {
        let mut out = Vec::new();
        let mut open = vec![(String::new(), 0)];
        while let Some((path, depth)) = open.pop() {
            if depth > DEEPEST {
                return Err(ShareError::TooDeep);
            }
            let directory = self.directory(&path)?;
            for (name, kind) in entries(&directory)? {
                let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                match kind {
                    FileType::Directory => open.push((below, depth + 1)),
                    FileType::RegularFile => out.extend(seen(&directory, &name, below)?),
                    _ => {}
                }
                if out.len() > MOST_FILES {
                    return Err(ShareError::TooMany);
                }
            }
        }
        out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(out)
    }

    /// Opens a file of the folder for reading.
    ///
    /// # Errors
    /// When it is gone, is no regular file, or leads out of the folder.
    pub fn file(&self, path: &str) -> io::Result<File> {
        // A pipe must not hold the reader up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(open_beneath(self.0.as_fd(), Path::new(path), flags, ResolveFlags::NO_XDEV)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn directory(&self, path: &str) -> Result<OwnedFd, ShareError> {
        let below = if path.is_empty() { "." } else { path };
        let opened = open_beneath(self.0.as_fd(), Path::new(below), directory(), ResolveFlags::NO_XDEV);
        opened.map_err(|error| match error {
            Errno::XDEV => ShareError::Mounted(path.to_owned()),
            error => closed(error),
        })
    }

    fn subfolders(&self, path: &str) -> Result<Vec<String>, ShareError> {
        let directory = self.directory(path)?;
        let folders = entries(&directory)?.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
        let mut out: Vec<String> =
            folders.map(|(name, _)| if path.is_empty() { name } else { format!("{path}/{name}") }).collect();
        out.sort();
        Ok(out)
    }
}

/// A file of an open folder, not opened itself: whether it may be read shows when it is copied. `None` for one that went
/// away meanwhile.
fn seen(directory: &OwnedFd, name: &str, path: String) -> Result<Option<Seen>, ShareError> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(closed(error)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let modified = stat.st_mtime.saturating_mul(1000).saturating_add(stat.st_mtime_nsec as i64 / 1_000_000);
    Ok(Some(Seen { path, bytes: stat.st_size, modified }))
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags, also: ResolveFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve | also)
}

/// Names and kinds, without hidden and temporary files.
fn entries(directory: &OwnedFd) -> Result<Vec<(String, FileType)>, ShareError> {
    let mut out = Vec::new();
    for entry in Dir::read_from(directory).map_err(closed)? {
        let entry = entry.map_err(closed)?;
        let bytes = entry.file_name().to_bytes();
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let name = std::str::from_utf8(bytes).map_err(|_| ShareError::Name(String::from_utf8_lossy(bytes).into()))?;
        if is_passing(name) {
            continue;
        }
        let kind = match entry.file_type() {
            // Some network file systems do not tell.
            FileType::Unknown => kind_of(directory, name),
            kind => kind,
        };
        out.push((name.to_owned(), kind));
    }
    Ok(out)
}

fn kind_of(directory: &OwnedFd, name: &str) -> FileType {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode))
}

/// Hidden, or left by a program that has a document open.
fn is_passing(name: &str) -> bool {
    let lower = name.to_lowercase();
    name.starts_with('.')
        || name.starts_with("~$")
        || [".tmp", ".lnk", ".bak", ".asv", ".partial", ".crdownload"].iter().any(|end| lower.ends_with(end))
        || matches!(lower.as_str(), "thumbs.db" | "desktop.ini")
}

fn closed(error: impl Into<io::Error>) -> ShareError {
    ShareError::Closed(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn share(root: &Path) -> Share {
        Share { department: "세정과".into(), root: root.to_owned() }
    }

    #[test]
    fn lists_files_and_nothing_that_passes() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir_all(dir.path().join("2026/계획")).expect("folders");
        for name in ["가.txt", "2026/나.hwpx", "2026/계획/다.pdf", "~$가.docx", ".숨김", "2026/Thumbs.db"] {
            fs::write(dir.path().join(name), name).expect("file");
        }
        let share = share(dir.path());
        let paths = |path: &str| -> Vec<String> {
            share.open(path).expect("open").files().expect("files").into_iter().map(|f| f.path).collect()
        };
        assert_eq!(paths(""), ["2026/계획/다.pdf", "2026/나.hwpx", "가.txt"]);
        assert_eq!(paths("2026"), ["계획/다.pdf", "나.hwpx"]);
        assert_eq!(share.folders().expect("folders"), ["", "2026", "2026/계획"]);
    }

    #[test]
    fn no_link_and_no_dots_lead_out() {
        let dir = tempfile::tempdir().expect("folder");
        let (inside, outside) = (dir.path().join("share"), dir.path().join("secret"));
        fs::create_dir_all(&inside).expect("folder");
        fs::create_dir_all(&outside).expect("folder");
        fs::write(outside.join("비밀.txt"), "비밀").expect("file");
        std::os::unix::fs::symlink(&outside, inside.join("길")).expect("link");
        std::os::unix::fs::symlink(outside.join("비밀.txt"), inside.join("글.txt")).expect("link");
        let share = share(&inside);
        for path in ["길", "../secret", "..", "/etc"] {
            assert!(share.open(path).is_err(), "{path}");
        }
        let root = share.open("").expect("open");
        assert_eq!(root.files().expect("files"), []);
        for path in ["글.txt", "길/비밀.txt", "../secret/비밀.txt"] {
            assert!(root.file(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_disk_further_down_is_not_followed() {
        // Where Linux mounts terminals; a folder like any other but for being a disk of its own.
        let share = share(Path::new("/dev"));
        if fs::metadata("/dev/pts").is_err() {
            return eprintln!("skipped: nothing is mounted at /dev/pts");
        }
        let root = share.open("").expect("open");
        assert!(matches!(root.files(), Err(ShareError::Mounted(_))));
        share.open("pts").expect("the disk itself").files().expect("files");
    }

    #[test]
    fn a_file_that_may_not_be_read_ends_no_listing() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("가.txt");
        fs::write(&file, "가").expect("file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("rights");
        let root = share(dir.path()).open("").expect("open");
        assert_eq!(root.files().expect("files").len(), 1);
        match fs::File::open(&file) {
            Ok(_) => eprintln!("skipped: this user may read everything"),
            Err(_) => assert_eq!(root.file("가.txt").expect_err("closed").kind(), io::ErrorKind::PermissionDenied),
        }
    }

    #[test]
    fn shares_are_named_by_department() {
        let share: Share = "세정과=/srv/share/tax".parse().expect("share");
        assert_eq!((share.department.as_str(), share.root.as_path()), ("세정과", Path::new("/srv/share/tax")));
        for wrong in ["/srv/share", "=/srv", "세정과=srv"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}

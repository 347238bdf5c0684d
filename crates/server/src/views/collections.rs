//! Collections, their documents, and a document with a passage in it.

use super::{Choice, Frame, Lang, Pager, SafeHtml};
use askama::Template;
use madang_domain::{CollectionId, DepartmentId, DocumentId, Grade};
use madang_store::watched::Looked;

/// `/collections`
#[derive(Template)]
#[template(path = "collections.html")]
pub struct CollectionsPage {
    pub frame: Frame,
    pub l: Lang,
    pub rows: Vec<CollectionRow>,
    /// Departments in which I may make one.
    pub my_departments: Vec<(DepartmentId, String)>,
}

pub struct CollectionRow {
    pub id: CollectionId,
    pub name: String,
    pub description: String,
    /// Person or department.
    pub owner: String,
    pub mine: bool,
    pub grade: Grade,
    /// "우리 부서", "전 직원", "3개 부서".
    pub readers: String,
    pub documents: usize,
    pub changed: String,
    pub waiting: usize,
    pub failed: usize,
}

/// `/collections/{id}`
#[derive(Template)]
#[template(path = "collection.html")]
pub struct CollectionPage {
    pub frame: Frame,
    pub l: Lang,
    pub row: CollectionRow,
    pub can_edit: bool,
    pub documents: Vec<DocumentRow>,
    pub passages: usize,
    /// "12.4 MB"
    pub bytes: String,
    pub pager: Pager,
    /// Everyone of the body may read.
    pub everyone: bool,
    /// Grade C: never open to everyone.
    pub classified: bool,
    pub departments: Vec<ReaderDepartment>,
    /// Who may read now, for "누가 볼 수 있나요?".
    pub people: Vec<ReaderPerson>,
    pub people_count: usize,
    /// Largest file, as shown: "100 MB".
    pub max_file: String,
    /// Grades that the reader may choose.
    pub grades: Vec<Choice>,
    /// The reader is the officer who may lower the grade, with a reason.
    pub can_lower: bool,
    /// Departments to which a personal collection may be handed; empty for a department's.
    pub hand_to: Vec<(DepartmentId, String)>,
    /// Documents that wait, of how many owners, read in a minute, and minutes left; the last two once they are known.
    pub queue: Option<(usize, usize, Option<usize>, Option<u64>)>,
    /// The folder of the department's share that it follows.
    pub folder: Option<FolderPanel>,
    /// Folders that it could follow; `None` where the department has no share, or the reader may not choose.
    pub folders: Option<Vec<String>>,
    /// Why these may be out of date or missing, in Korean.
    pub folders_note: Option<String>,
    /// Documents whose files are gone, for those who may delete them: with title and date of their last change.
    pub withdrawn: Vec<(DocumentId, String, String)>,
}

pub struct FolderPanel {
    /// Below the department's share; empty for the share itself.
    pub path: String,
    /// How long ago it was looked at; `None` before the first time.
    pub looked: Option<String>,
    /// Why it could not be brought in step.
    pub error: Option<String>,
    /// Until somebody connects it anew.
    pub stopped: bool,
    /// By the last look that was not in vain.
    pub found: Looked,
    /// Why files are not taken in, and how many.
    pub skipped: Vec<(String, usize)>,
}

pub struct DocumentRow {
    pub id: DocumentId,
    pub title: String,
    /// "HWPX", "PDF"…
    pub format: String,
    pub bytes: String,
    /// `waiting`, `processing`, `indexing`, `ready`, `failed` or `cancelled`.
    pub state: &'static str,
    /// 0 to 100 while it is under way.
    pub percent: u8,
    /// Why it failed and what to do, or a note on a ready one.
    pub note: String,
    pub pages: Option<u32>,
    pub pages_estimated: bool,
    pub passages: usize,
    pub added: String,
}

impl DocumentRow {
    /// Korean word for the state, through [`Lang::t`].
    pub fn state_word(&self) -> &'static str {
        match self.state {
            "waiting" => "기다리는 중",
            "processing" => "읽는 중",
            "indexing" => "색인하는 중",
            "ready" => "준비됨",
            "failed" => "읽지 못함",
            _ => "취소됨",
        }
    }

    pub fn is_active(&self) -> bool {
        matches!(self.state, "waiting" | "processing" | "indexing")
    }
}

pub struct ReaderDepartment {
    pub id: DepartmentId,
    pub name: String,
    pub reads: bool,
    /// The owner always reads.
    pub owner: bool,
}

pub struct ReaderPerson {
    pub name: String,
    pub post: String,
    pub department: String,
    /// Korean reason, through [`Lang::t`]: "주인", "같은 부서", "열람 부서", "전 직원".
    pub because: &'static str,
}

/// `/documents/{id}?passage=`
#[derive(Template)]
#[template(path = "document.html")]
pub struct DocumentPage {
    pub frame: Frame,
    pub l: Lang,
    pub id: DocumentId,
    pub title: String,
    pub collection: CollectionId,
    pub collection_name: String,
    pub grade: Grade,
    pub format: String,
    pub bytes: String,
    pub added: String,
    pub pages: Option<u32>,
    pub pages_estimated: bool,
    /// Headings with the anchor of their first passage.
    pub outline: Vec<(String, String)>,
    pub passages: Vec<DocumentPassage>,
    pub pager: Pager,
    pub can_edit: bool,
    /// A newer version took its place, or its file is gone from the folder.
    pub superseded: bool,
    /// Without a successor: its file is gone.
    pub withdrawn: bool,
    /// The version in its place.
    pub newest: Option<DocumentId>,
    /// Other versions: id, file name, when it was added, whether it is the one that is found.
    pub versions: Vec<(DocumentId, String, String, bool)>,
}

pub struct DocumentPassage {
    /// Anchor: `p-{id}`.
    pub anchor: String,
    /// Only where it differs from the passage before.
    pub heading: Option<String>,
    pub page: Option<u32>,
    pub page_estimated: bool,
    /// The text, with the words that were asked for marked.
    pub html: SafeHtml,
    /// The passage that was asked for.
    pub target: bool,
}

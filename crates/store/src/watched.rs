//! Folders that collections are kept in step with: which, what was seen in them, and what became of each file. Looking
//! into folders is the server's; here is no file system.

use crate::documents::{DocumentState, MAX_WAITING, NewDocument, Origin};
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{CollectionId, DepartmentId, DocumentId, PersonId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Most documents of a followed folder that wait to be read: its further files are left to later looks, so that one
/// folder does not fill the queue of all.
pub const MOST_WAITING: usize = 500;

/// A folder and the collection that follows it.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedFolder {
    pub collection: CollectionId,
    /// The department that owns the collection: its share is the only place where the folder may lie.
    pub department: DepartmentId,
    pub department_name: String,
    /// Below the department's share.
    pub path: String,
    /// Documents are added in this person's name.
    pub connected_by: PersonId,
    /// That person may still do so: active, with a post in the department, whose share it is.
    pub allowed: bool,
    /// So many files that are gone were said to be gone on purpose.
    #[serde(skip)]
    pub removal_allowed: usize,
    /// Why the last look failed, in Korean.
    pub error: Option<String>,
    pub summary: Looked,
    /// Unix milliseconds of the last look.
    pub looked_at: Option<i64>,
}

/// What a look into a folder found and did, in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Looked {
    pub files: usize,
    pub added: usize,
    pub changed: usize,
    pub moved: usize,
    pub removed: usize,
    /// Seen and not taken in.
    pub skipped: usize,
    /// Left to a later look, because so many of the folder's documents wait to be read.
    pub left: usize,
    /// Gone, so many of them that their documents stay until somebody says that it is on purpose.
    pub missing: usize,
}

/// A file that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    pub document: DocumentId,
    /// The collection held these bytes already.
    pub duplicate: bool,
    /// What the file held before and nothing holds any more.
    pub gone: LetGo,
}

/// What became of a document that no file holds any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetGo {
    /// Out of search and lists: to be stopped where they are being read, and taken out of the index.
    pub documents: Vec<DocumentId>,
    /// Digests of the originals of those that were never ready; they are deleted.
    pub unused: Vec<String>,
}

/// A file as the last look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    /// Below the folder, parts joined by `/`.
    pub path: String,
    pub bytes: i64,
    /// Unix milliseconds.
    pub modified: i64,
    /// SHA-256, of those that were taken in.
    pub original: Option<String>,
    pub document: Option<DocumentId>,
    /// Why it is not taken in, in Korean.
    pub reason: Option<String>,
}

/// May the one who connected the folder still add to the collection, and does it lie in the owner's share? As
/// `rights::changeable`, which a sign-in has asked before for whether the person is active.
const FOLDER: &str = "SELECT w.collection_id, w.path, w.connected_by, w.error, w.summary, w.looked_at, w.removal_allowed, \
     d.id AS department_id, d.name AS department_name, \
     CASE WHEN w.department_id = d.id AND EXISTS (SELECT 1 FROM people p JOIN post_holders h ON h.person_id = p.id \
       JOIN posts o ON o.id = h.post_id WHERE p.id = w.connected_by AND p.active = 1 AND o.deleted_at IS NULL \
       AND o.department_id = d.id) THEN 1 ELSE 0 END AS allowed FROM watched_folders w \
     JOIN collections c ON c.id = w.collection_id AND c.deleted_at IS NULL \
     JOIN departments d ON d.id = c.owner_department AND d.deleted_at IS NULL";

impl Store {
    /// Lets a department's collection follow a folder below the department's share, in the reader's name from here on;
    /// another folder takes the place of the one before, whose documents stay.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for a reader who may not change the collection, [`StoreError::Conflict`] for a personal
    /// one.
    pub async fn connect_folder(&self, scope: &Scope, collection: CollectionId, path: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let Some(department) = tx.changeable_collection(scope, collection).await?.owner_department else {
            return Err(StoreError::conflict(
                "개인 자료 모음에는 폴더를 연결할 수 없습니다. 모음을 부서로 넘긴 뒤 연결해 주세요.",
            ));
        };
        // What is known of the files of the same folder goes on.
        let again = sqlx::query(
            "UPDATE watched_folders SET connected_by = $4, state = 'waiting', error = NULL, removal_allowed = 0 \
             WHERE collection_id = $1 AND path = $2 AND department_id = $3",
        )
        .bind(collection.to_string())
        .bind(path)
        .bind(department.to_string())
        .bind(scope.person().to_string())
        .execute(&mut *tx.tx)
        .await?;
        if again.rows_affected() == 0 {
            tx.forget_folder(collection).await?;
            sqlx::query(
                "INSERT INTO watched_folders (collection_id, path, connected_by, state, summary, created_at, department_id) \
                 VALUES ($1, $2, $3, 'waiting', $4, $5, $6)",
            )
            .bind(collection.to_string())
            .bind(path)
            .bind(scope.person().to_string())
            .bind(to_json(&Looked::default()))
            .bind(tx.now)
            .bind(department.to_string())
            .execute(&mut *tx.tx)
            .await?;
        }
        let detail = json!({ "collection": collection, "path": path });
        tx.append(Event::new("folder_connected", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Ends following; documents stay.
    pub async fn disconnect_folder(&self, scope: &Scope, collection: CollectionId) -> Result<()> {
        let mut tx = self.write().await?;
        tx.changeable_collection(scope, collection).await?;
        if tx.forget_folder(collection).await? {
            let detail = json!({ "collection": collection });
            tx.append(Event::new("folder_disconnected", Some(scope.person()), detail)).await?;
        }
        tx.commit().await
    }

    /// Says that the files which the last look missed are gone on purpose: their documents go at the next look, unless
    /// still more are missing by then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the last look missed none.
    pub async fn allow_removals(&self, scope: &Scope, collection: CollectionId) -> Result<()> {
        let mut tx = self.write().await?;
        tx.changeable_collection(scope, collection).await?;
        let row = sqlx::query("SELECT summary FROM watched_folders WHERE collection_id = $1")
            .bind(collection.to_string())
            .fetch_optional(&mut *tx.tx)
            .await?;
        let summary: Looked = row.map(|r| r.json("summary")).transpose()?.unwrap_or_default();
        if summary.missing == 0 {
            return Err(StoreError::conflict("없어진 파일이 없습니다. 화면을 새로 고쳐 주세요."));
        }
        sqlx::query("UPDATE watched_folders SET removal_allowed = $2 WHERE collection_id = $1")
            .bind(collection.to_string())
            .bind(i64::try_from(summary.missing).unwrap_or(i64::MAX))
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "collection": collection, "files": summary.missing });
        tx.append(Event::new("folder_removal_allowed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// How many more of a folder's files may be taken in now. For the worker.
    pub async fn folder_room(&self, collection: CollectionId) -> Result<usize> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n, COUNT(CASE WHEN collection_id = $1 THEN 1 END) AS own FROM documents \
             WHERE state = 'waiting'",
        )
        .bind(collection.to_string())
        .fetch_one(&self.pool)
        .await?;
        // Half of the whole queue is kept for what people upload.
        Ok(MOST_WAITING.saturating_sub(row.count("own")?).min((MAX_WAITING / 2).saturating_sub(row.count("n")?)))
    }

    /// The folder that a collection follows.
    pub async fn watched_folder(&self, scope: &Scope, collection: CollectionId) -> Result<Option<WatchedFolder>> {
        self.collection_summary(scope, collection).await?;
        self.folder_to_look_at(collection).await
    }

    /// As [`Store::watched_folder`], for the worker.
    pub async fn folder_to_look_at(&self, collection: CollectionId) -> Result<Option<WatchedFolder>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{FOLDER} WHERE w.collection_id = $1")))
            .bind(collection.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(folder).transpose()
    }

    /// All folders that are followed, the one looked at longest ago first. For the worker.
    pub async fn watched_folders(&self) -> Result<Vec<WatchedFolder>> {
        let sql = format!("{FOLDER} ORDER BY COALESCE(w.looked_at, 0), w.collection_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(folder).collect()
    }

    /// Files as the last look saw them, by path. For the worker.
    pub async fn watched_files(&self, collection: CollectionId) -> Result<Vec<WatchedFile>> {
        let rows = sqlx::query(
            "SELECT path, bytes, modified, original, document_id, reason FROM watched_files \
             WHERE collection_id = $1 ORDER BY path",
        )
        .bind(collection.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(file).collect()
    }

    /// Files that are not taken in, with the reason.
    pub async fn skipped_files(&self, scope: &Scope, collection: CollectionId) -> Result<Vec<WatchedFile>> {
        self.collection_summary(scope, collection).await?;
        let mut files = self.watched_files(collection).await?;
        files.retain(|f| f.reason.is_some());
        Ok(files)
    }

    /// Takes a new or changed file in, in the name of whoever connected the folder; [`NewDocument::replaces`] is found
    /// here. A changed file's document is replaced, unless another file holds it too or somebody uploaded it: then it
    /// stays as it is. Call it with the gate of `Originals` held. `None` if the folder is not followed any more.
    pub async fn take_in_file(
        &self,
        folder: &WatchedFolder,
        file: WatchedFile,
        new: NewDocument,
    ) -> Result<Option<TakenIn>> {
        let collection = folder.collection;
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(None);
        }
        tx.touch(collection).await?;
        let before = tx.held_by(collection, &file.path).await?;
        tx.forget_file(collection, &file.path).await?;
        let replaces = match before {
            Some(document) if tx.is_of_no_file(collection, document).await? => Some(document),
            _ => None,
        };
        let new = NewDocument { replaces, ..new };
        let added = tx.insert_document(collection, new, folder.connected_by, Origin::Folder).await?;
        let file = WatchedFile { document: Some(added.id), ..file };
        tx.note_file(collection, &file).await?;
        let mut gone = LetGo::default();
        if added.duplicate {
            // A file holds these bytes, so nothing takes their place.
            sqlx::query(
                "UPDATE documents SET replaces = NULL WHERE replaces = $1 AND state NOT IN ('ready', 'superseded')",
            )
            .bind(added.id.to_string())
            .execute(&mut *tx.tx)
            .await?;
            if let Some(before) = before {
                gone = tx.let_go(folder, before, &file.path).await?;
            }
        }
        tx.commit().await?;
        Ok(Some(TakenIn { document: added.id, duplicate: added.duplicate, gone }))
    }

    /// Notes a file as seen: one whose time changed without its bytes, or one that is not taken in.
    pub async fn note_file(&self, folder: &WatchedFolder, file: &WatchedFile) -> Result<()> {
        let mut tx = self.write().await?;
        if tx.follows(folder).await? {
            tx.note_file(folder.collection, file).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// A file has another path. Its document takes the new name and title, and keeps its passages; one that somebody
    /// uploaded, or that another file holds too, keeps its name.
    pub async fn move_file(
        &self,
        folder: &WatchedFolder,
        from: &str,
        to: &WatchedFile,
        name: &str,
        title: &str,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(());
        }
        tx.forget_file(folder.collection, from).await?;
        if let Some(document) = to.document
            && tx.is_of_no_file(folder.collection, document).await?
        {
            sqlx::query("UPDATE documents SET file_name = $2, title = $3, updated_at = $4 WHERE id = $1")
                .bind(document.to_string())
                .bind(name)
                .bind(title)
                .bind(tx.now)
                .execute(&mut *tx.tx)
                .await?;
            let detail = json!({ "collection": folder.collection, "document": document, "from": from, "to": to.path });
            tx.append(Event::new("document_moved", Some(folder.connected_by), detail)).await?;
        }
        tx.note_file(folder.collection, to).await?;
        tx.commit().await
    }

    /// A file is gone: its document leaves search and lists at once, its collection's readers still open it. One that
    /// never became ready is deleted, and what it was to replace goes in its stead. What another file holds too, or
    /// somebody uploaded, stays.
    pub async fn remove_file(&self, folder: &WatchedFolder, gone: &WatchedFile) -> Result<LetGo> {
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(LetGo::default());
        }
        tx.forget_file(folder.collection, &gone.path).await?;
        let mut out = LetGo::default();
        if let Some(document) = gone.document {
            out = tx.let_go(folder, document, &gone.path).await?;
        }
        tx.commit().await?;
        Ok(out)
    }

    /// Ends a look. What was allowed for it is used up; what was allowed meanwhile is for the next.
    pub async fn looked_at_folder(
        &self,
        folder: &WatchedFolder,
        outcome: std::result::Result<Looked, &str>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let (summary, error) = match outcome {
            Ok(summary) => (summary, None),
            Err(error) => (folder.summary, Some(error)),
        };
        sqlx::query(
            "UPDATE watched_folders SET state = $2, error = $3, summary = $4, looked_at = $5, \
             removal_allowed = CASE WHEN removal_allowed = $7 THEN 0 ELSE removal_allowed END \
             WHERE collection_id = $1 AND path = $6",
        )
        .bind(folder.collection.to_string())
        .bind(if error.is_some() { "failed" } else { "ready" })
        .bind(error)
        .bind(to_json(&summary))
        .bind(tx.now)
        .bind(&folder.path)
        .bind(i64::try_from(folder.removal_allowed).unwrap_or(i64::MAX))
        .execute(&mut *tx.tx)
        .await?;
        tx.commit().await
    }
}

fn folder(row: &AnyRow) -> Result<WatchedFolder> {
    Ok(WatchedFolder {
        collection: row.parsed("collection_id")?,
        department: row.parsed("department_id")?,
        department_name: row.text("department_name")?,
        path: row.text("path")?,
        connected_by: row.parsed("connected_by")?,
        allowed: row.flag("allowed")?,
        removal_allowed: row.count("removal_allowed")?,
        error: row.opt_text("error")?,
        summary: row.json("summary")?,
        looked_at: row.opt_int("looked_at")?,
    })
}

fn file(row: &AnyRow) -> Result<WatchedFile> {
    Ok(WatchedFile {
        path: row.text("path")?,
        bytes: row.int("bytes")?,
        modified: row.int("modified")?,
        original: row.opt_text("original")?,
        document: row.opt_parsed("document_id")?,
        reason: row.opt_text("reason")?,
    })
}

impl WriteTx {
    /// Is this very folder still followed, in the name of the same person, who may still do so?
    async fn follows(&mut self, looked_at: &WatchedFolder) -> Result<bool> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{FOLDER} WHERE w.collection_id = $1")))
            .bind(looked_at.collection.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        let now = row.as_ref().map(folder).transpose()?;
        Ok(now
            .is_some_and(|now| now.allowed && now.path == looked_at.path && now.connected_by == looked_at.connected_by))
    }

    async fn forget_folder(&mut self, collection: CollectionId) -> Result<bool> {
        sqlx::query("DELETE FROM watched_files WHERE collection_id = $1")
            .bind(collection.to_string())
            .execute(&mut *self.tx)
            .await?;
        let done = sqlx::query("DELETE FROM watched_folders WHERE collection_id = $1")
            .bind(collection.to_string())
            .execute(&mut *self.tx)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn note_file(&mut self, collection: CollectionId, file: &WatchedFile) -> Result<()> {
        self.forget_file(collection, &file.path).await?;
        sqlx::query(
            "INSERT INTO watched_files (collection_id, path, bytes, modified, original, document_id, reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(collection.to_string())
        .bind(&file.path)
        .bind(file.bytes)
        .bind(file.modified)
        .bind(file.original.as_deref())
        .bind(file.document.map(|d| d.to_string()))
        .bind(file.reason.as_deref())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn forget_file(&mut self, collection: CollectionId, path: &str) -> Result<()> {
        sqlx::query("DELETE FROM watched_files WHERE collection_id = $1 AND path = $2")
            .bind(collection.to_string())
            .bind(path)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The document of the file at this path.
    async fn held_by(&mut self, collection: CollectionId, path: &str) -> Result<Option<DocumentId>> {
        let row = sqlx::query("SELECT document_id FROM watched_files WHERE collection_id = $1 AND path = $2")
            .bind(collection.to_string())
            .bind(path)
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(row.map(|r| r.opt_parsed("document_id")).transpose()?.flatten())
    }

    /// Did a folder bring the document, and does no file hold it now? Then it follows what becomes of its last file.
    async fn is_of_no_file(&mut self, collection: CollectionId, document: DocumentId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM documents x WHERE id = $2 AND collection_id = $1 AND by_folder = 1 AND NOT EXISTS \
             (SELECT 1 FROM watched_files f WHERE f.collection_id = x.collection_id AND f.document_id = x.id)",
        )
        .bind(collection.to_string())
        .bind(document.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(row.is_some())
    }

    /// Withdraws a document whose file is gone; one that was never ready is removed, and what it was to replace is let
    /// go too.
    async fn let_go(&mut self, folder: &WatchedFolder, document: DocumentId, path: &str) -> Result<LetGo> {
        let mut out = LetGo::default();
        let mut next = Some(document);
        while let Some(id) = next.take() {
            if !self.is_of_no_file(folder.collection, id).await? {
                break;
            }
            match self.state_of(id).await? {
                DocumentState::Superseded => break,
                DocumentState::Ready => self.withdraw(id, None).await?,
                _ => {
                    let removed = self.remove_document(id).await?;
                    out.unused.push(removed.original);
                    next = removed.replaced;
                }
            }
            out.documents.push(id);
        }
        if !out.documents.is_empty() {
            self.touch(folder.collection).await?;
            let detail = json!({ "collection": folder.collection, "document": document, "path": path });
            self.append(Event::new("document_withdrawn", Some(folder.connected_by), detail)).await?;
        }
        Ok(out)
    }

    async fn state_of(&mut self, document: DocumentId) -> Result<DocumentState> {
        let row = sqlx::query("SELECT state FROM documents WHERE id = $1")
            .bind(document.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        DocumentState::from_str(&row.text("state")?)
    }
}

//! Folders that collections are kept in step with: which, what was seen in them, and what became of each file. Looking
//! into folders is the server's; here is no file system.

use crate::documents::{AddedDocument, NewDocument};
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{CollectionId, DepartmentId, DocumentId, PersonId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;

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

const FOLDER: &str = "SELECT w.collection_id, w.path, w.connected_by, w.error, w.summary, w.looked_at, \
     d.id AS department_id, d.name AS department_name FROM watched_folders w \
     JOIN collections c ON c.id = w.collection_id AND c.deleted_at IS NULL \
     JOIN departments d ON d.id = c.owner_department";

impl Store {
    /// Lets a department's collection follow a folder below the department's share; another folder takes the place of
    /// the one before, whose documents stay.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for a reader who may not change the collection, [`StoreError::Conflict`] for a personal
    /// one.
    pub async fn connect_folder(&self, scope: &Scope, collection: CollectionId, path: &str) -> Result<()> {
        let mut tx = self.write().await?;
        if tx.changeable_collection(scope, collection).await?.owner_department.is_none() {
            return Err(StoreError::conflict(
                "개인 자료 모음에는 폴더를 연결할 수 없습니다. 모음을 부서로 넘긴 뒤 연결해 주세요.",
            ));
        }
        tx.forget_folder(collection).await?;
        sqlx::query(
            "INSERT INTO watched_folders (collection_id, path, connected_by, state, summary, created_at) \
             VALUES ($1, $2, $3, 'waiting', $4, $5)",
        )
        .bind(collection.to_string())
        .bind(path)
        .bind(scope.person().to_string())
        .bind(to_json(&Looked::default()))
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
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

    /// Takes a new or changed file in, in the name of whoever connected the folder. Call it with the gate of `Originals`
    /// held. `None` if the folder is not followed any more.
    pub async fn take_in_file(
        &self,
        folder: &WatchedFolder,
        file: WatchedFile,
        new: NewDocument,
    ) -> Result<Option<AddedDocument>> {
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(None);
        }
        let added = tx.insert_document(folder.collection, new, folder.connected_by).await?;
        tx.note_file(folder.collection, &WatchedFile { document: Some(added.id), ..file }).await?;
        tx.commit().await?;
        Ok(Some(added))
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

    /// A file has another path. Its document takes the new name and title, and keeps its passages.
    pub async fn move_file(&self, folder: &WatchedFolder, from: &str, to: &WatchedFile, title: &str) -> Result<()> {
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(());
        }
        tx.forget_file(folder.collection, from).await?;
        tx.note_file(folder.collection, to).await?;
        if let Some(document) = to.document {
            let name = to.path.rsplit('/').next().unwrap_or_default();
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
        tx.commit().await
    }

    /// A file is gone: its document leaves search and lists at once, what cited it still opens it. One that never became
    /// ready is deleted; then the digest of its original comes back. Another path with the same bytes keeps it.
    pub async fn remove_file(&self, folder: &WatchedFolder, gone: &WatchedFile) -> Result<Option<String>> {
        let mut tx = self.write().await?;
        if !tx.follows(folder).await? {
            return Ok(None);
        }
        tx.forget_file(folder.collection, &gone.path).await?;
        let mut unused = None;
        if let Some(document) = gone.document
            && !tx.elsewhere(folder.collection, document).await?
        {
            unused = tx.withdraw_or_remove(document).await?;
            tx.touch(folder.collection).await?;
            let detail = json!({ "collection": folder.collection, "document": document, "path": gone.path });
            tx.append(Event::new("document_withdrawn", Some(folder.connected_by), detail)).await?;
        }
        tx.commit().await?;
        Ok(unused)
    }

    /// Ends a look.
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
            "UPDATE watched_folders SET state = $2, error = $3, summary = $4, looked_at = $5 \
             WHERE collection_id = $1 AND path = $6",
        )
        .bind(folder.collection.to_string())
        .bind(if error.is_some() { "failed" } else { "ready" })
        .bind(error)
        .bind(to_json(&summary))
        .bind(tx.now)
        .bind(&folder.path)
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
    /// Is this very folder still followed?
    async fn follows(&mut self, folder: &WatchedFolder) -> Result<bool> {
        let row = sqlx::query("SELECT path FROM watched_folders WHERE collection_id = $1")
            .bind(folder.collection.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        Ok(row.map(|r| r.text("path")).transpose()?.is_some_and(|path| path == folder.path))
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

    /// Does another file of the folder hold the same document?
    async fn elsewhere(&mut self, collection: CollectionId, document: DocumentId) -> Result<bool> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM watched_files WHERE collection_id = $1 AND document_id = $2")
            .bind(collection.to_string())
            .bind(document.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(row.count("n")? > 0)
    }
}

//! Documents as their readers see them: adding, listing, reading, cancelling, retrying, deleting. What the worker does
//! with a waiting document is `ingest`; bytes of originals are `originals`.

use crate::collections::{CITED, passage};
use crate::ledger::Event;
use crate::rights::{changeable, readable};
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{CollectionId, DocumentId, Grade, Passage, PassageId, PersonId, Scope};
use serde::Serialize;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Most documents that may wait to be read, over all collections.
pub(crate) const MAX_WAITING: usize = 20_000;
/// Most of them that one department's or person's collections may hold, so that there is room for others.
const MAX_WAITING_OF_OWNER: usize = 10_000;

/// Where a document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentState {
    Waiting,
    /// Being read by the child process.
    Processing,
    /// Read; its passages are entering the index.
    Indexing,
    Ready,
    Failed,
    Cancelled,
    /// A newer version took its place, or its file is gone: no search finds it, its collection's readers open it.
    Superseded,
}

impl DocumentState {
    const ALL: [Self; 7] =
        [Self::Waiting, Self::Processing, Self::Indexing, Self::Ready, Self::Failed, Self::Cancelled, Self::Superseded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Processing => "processing",
            Self::Indexing => "indexing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Waiting or under way.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Processing | Self::Indexing)
    }
}

impl FromStr for DocumentState {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(StoreError::Corrupt("state"))
    }
}

/// An uploaded file whose bytes are stored.
#[derive(Debug, Clone)]
pub struct NewDocument {
    pub title: String,
    /// As the sender named it; shown, never used as a path.
    pub file_name: String,
    /// What the name says it is, until it has been read.
    pub format: String,
    /// SHA-256 of the bytes.
    pub original: String,
    pub bytes: i64,
    /// Document of the same collection whose newer version this is: superseded when this one is ready.
    pub replaces: Option<DocumentId>,
}

/// Outcome of adding a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AddedDocument {
    pub id: DocumentId,
    /// The collection already held these bytes; nothing was added.
    pub duplicate: bool,
}

/// A document with its collection.
#[derive(Debug, Clone, Serialize)]
pub struct DocumentView {
    pub id: DocumentId,
    pub collection: CollectionId,
    pub collection_name: String,
    pub grade: Grade,
    pub title: String,
    pub file_name: String,
    pub format: String,
    /// SHA-256 of the original.
    pub original: String,
    pub bytes: i64,
    pub state: DocumentState,
    /// Why it failed, in Korean.
    pub error: Option<String>,
    /// What its reader should know: mislabelled, partly left out.
    pub warnings: Vec<String>,
    pub pages: Option<u32>,
    pub pages_estimated: bool,
    pub characters: usize,
    pub passages: usize,
    pub created_at: i64,
    pub updated_at: i64,
    /// The version that took its place.
    pub superseded_by: Option<DocumentId>,
    pub can_change: bool,
}

/// A passage with the text around it.
#[derive(Debug, Clone, Serialize)]
pub struct Surroundings {
    #[serde(flatten)]
    pub passage: Passage,
    /// Stored text just before the passage.
    pub before: String,
    /// Stored text just after it.
    pub after: String,
}

/// What is left to do about a document whose rows are gone.
#[derive(Debug)]
pub(crate) struct Removed {
    /// Digest of its original, which may now be without a document.
    pub(crate) original: String,
    /// The document that it was to replace.
    pub(crate) replaced: Option<DocumentId>,
}

/// Who brought a document in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Somebody uploaded it: what becomes of files in a followed folder does not touch it.
    Hand,
    /// A followed folder, whose files it stays in step with.
    Folder,
}

pub(crate) const VIEW: &str = concat!(
    "SELECT x.id, x.collection_id, c.name AS collection_name, c.grade, x.title, x.file_name, x.format, x.original, \
     x.bytes, x.state, x.stage, x.error, x.warnings, x.pages, x.pages_estimated, x.characters, x.passages, \
     x.created_at, x.updated_at, x.superseded_by, CASE WHEN ",
    changeable!(),
    " THEN 1 ELSE 0 END AS can_change FROM documents x JOIN collections c ON c.id = x.collection_id WHERE ",
    readable!()
);

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Store {
    /// Adds a document to wait for reading. The same bytes again add nothing; if they had failed or been cancelled,
    /// they wait once more. Call it with the gate of `Originals` held, so that the bytes are not swept away meanwhile.
    pub async fn add_document(
        &self,
        scope: &Scope,
        collection: CollectionId,
        new: NewDocument,
    ) -> Result<AddedDocument> {
        let mut tx = self.write().await?;
        tx.changeable_collection(scope, collection).await?;
        let added = tx.insert_document(collection, new, scope.person(), Origin::Hand).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// May the reader add to this collection? Asked before bytes are taken in.
    pub async fn check_changeable(&self, scope: &Scope, collection: CollectionId) -> Result<()> {
        if self.collection_summary(scope, collection).await?.can_change {
            Ok(())
        } else {
            Err(StoreError::denied("이 모음은 주인만 바꿀 수 있습니다."))
        }
    }

    /// Documents of a collection, latest first; older versions are left out.
    pub async fn documents(
        &self,
        scope: &Scope,
        collection: CollectionId,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<DocumentView>> {
        let sql = format!(
            "{VIEW} AND c.id = $2 AND x.state <> 'superseded' ORDER BY x.created_at DESC, x.id DESC LIMIT $3 OFFSET $4"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.person().to_string())
            .bind(collection.to_string())
            .bind(number(limit))
            .bind(number(offset))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(view).collect()
    }

    /// One document.
    pub async fn document(&self, scope: &Scope, id: DocumentId) -> Result<DocumentView> {
        let row = sqlx::query(AssertSqlSafe(format!("{VIEW} AND x.id = $2")))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        view(&row)
    }

    /// Passages of a ready or superseded document in order, from number `from` (0-based) on.
    pub async fn document_passages(
        &self,
        scope: &Scope,
        id: DocumentId,
        from: usize,
        limit: usize,
    ) -> Result<Vec<Passage>> {
        let sql = format!("{CITED} AND x.id = $2 AND g.ordinal >= $3 ORDER BY g.ordinal LIMIT $4");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .bind(number(from))
            .bind(number(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(passage).collect()
    }

    /// Position of a passage in its document, 0-based.
    pub async fn passage_position(&self, scope: &Scope, document: DocumentId, id: PassageId) -> Result<usize> {
        let sql = concat!(
            "SELECT g.ordinal FROM passages g JOIN documents x ON x.id = g.document_id AND x.state IN ('ready', 'superseded') \
             JOIN collections c ON c.id = x.collection_id WHERE ",
            readable!(),
            " AND x.id = $2 AND g.id = $3"
        );
        let row = sqlx::query(sql)
            .bind(scope.person().to_string())
            .bind(document.to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        row.count("ordinal")
    }

    /// A passage, also of an older version, with up to `around` characters of stored text on each side.
    pub async fn surroundings(&self, scope: &Scope, id: PassageId, around: usize) -> Result<Surroundings> {
        let row = sqlx::query(AssertSqlSafe(format!("{CITED} AND g.id = $2")))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        let passage = passage(&row)?;
        let start = passage.span.start.saturating_sub(around);
        let row = sqlx::query(
            "SELECT substr(text, CAST($2 AS INTEGER), CAST($3 AS INTEGER)) AS before_text, \
             substr(text, CAST($4 AS INTEGER), CAST($5 AS INTEGER)) AS after_text FROM document_texts WHERE document_id = $1",
        )
        .bind(passage.document.to_string())
        .bind(number(start.saturating_add(1)))
        .bind(number(passage.span.start - start))
        .bind(number(passage.span.end.saturating_add(1)))
        .bind(number(around))
        .fetch_one(&self.pool)
        .await?;
        Ok(Surroundings { passage, before: row.text("before_text")?, after: row.text("after_text")? })
    }

    /// Stops a document that waits or is being read; what was read of it is dropped.
    pub async fn cancel_document(&self, scope: &Scope, id: DocumentId) -> Result<()> {
        let mut tx = self.write().await?;
        tx.changeable_document(scope, id).await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'cancelled', stage = '', passages = 0, updated_at = $2 \
             WHERE id = $1 AND state IN ('waiting', 'processing')",
        )
        .bind(id.to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::conflict("이미 끝난 문서라 취소할 것이 없습니다."));
        }
        tx.drop_passages(id).await?;
        tx.append(Event::new("document_cancelled", Some(scope.person()), json!({ "document": id }))).await?;
        tx.commit().await
    }

    /// Lets a failed or cancelled document wait for reading again.
    pub async fn retry_document(&self, scope: &Scope, id: DocumentId) -> Result<()> {
        let mut tx = self.write().await?;
        let collection = tx.changeable_document(scope, id).await?;
        tx.room_to_wait(collection).await?;
        if !tx.wait_again(id).await? {
            return Err(StoreError::conflict("읽지 못했거나 취소한 문서만 다시 읽을 수 있습니다."));
        }
        tx.append(Event::new("document_retried", Some(scope.person()), json!({ "document": id }))).await?;
        tx.commit().await
    }

    /// Deletes a document with its older versions and their passages at once; the index follows. Returns the digests
    /// of the originals, which may now be without a document.
    pub async fn delete_document(&self, scope: &Scope, id: DocumentId) -> Result<Vec<String>> {
        let mut tx = self.write().await?;
        let collection = tx.changeable_document(scope, id).await?;
        let mut originals = Vec::new();
        for version in tx.with_older_versions(id).await? {
            let original = tx.remove_document(version).await?.original;
            let detail = json!({ "collection": collection, "document": version, "sha256": original });
            tx.append(Event::new("document_deleted", Some(scope.person()), detail)).await?;
            originals.push(original);
        }
        tx.touch(collection).await?;
        tx.commit().await?;
        Ok(originals)
    }
}

pub(crate) fn view(row: &AnyRow) -> Result<DocumentView> {
    let state: DocumentState = row.parsed("state")?;
    let indexing = state == DocumentState::Processing && row.text("stage")? == "indexing";
    let pages = row.opt_int("pages")?.map(u32::try_from).transpose().map_err(|_| StoreError::Corrupt("pages"))?;
    Ok(DocumentView {
        id: row.parsed("id")?,
        collection: row.parsed("collection_id")?,
        collection_name: row.text("collection_name")?,
        grade: row.parsed("grade")?,
        title: row.text("title")?,
        file_name: row.text("file_name")?,
        format: row.text("format")?,
        original: row.text("original")?,
        bytes: row.int("bytes")?,
        state: if indexing { DocumentState::Indexing } else { state },
        error: row.opt_text("error")?,
        warnings: row.json("warnings")?,
        pages,
        pages_estimated: row.flag("pages_estimated")?,
        characters: row.count("characters")?,
        passages: row.count("passages")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        superseded_by: row.opt_parsed("superseded_by")?,
        can_change: row.flag("can_change")?,
    })
}

impl WriteTx {
    /// Adds a document to wait for reading, as [`Store::add_document`], for somebody whose right to do so was checked.
    pub(crate) async fn insert_document(
        &mut self,
        collection: CollectionId,
        new: NewDocument,
        by: PersonId,
        origin: Origin,
    ) -> Result<AddedDocument> {
        self.room_to_wait(collection).await?;
        let mut unread = None;
        if let Some(old) = new.replaces {
            self.document_of(collection, old).await?;
            unread = self.give_way(collection, &new.original, old).await?;
        }
        let id = DocumentId::new();
        let done = sqlx::query(
            "INSERT INTO documents (id, collection_id, title, file_name, original, bytes, format, state, stage, warnings, \
             pages_estimated, characters, passages, attempts, replaces, created_by, created_at, updated_at, by_folder) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', '', '[]', 0, 0, 0, 0, $8, $9, $10, $10, $11) \
             ON CONFLICT (collection_id, original) WHERE state <> 'superseded' DO NOTHING",
        )
        .bind(id.to_string())
        .bind(collection.to_string())
        .bind(&new.title)
        .bind(&new.file_name)
        .bind(&new.original)
        .bind(new.bytes)
        .bind(&new.format)
        .bind(new.replaces.map(|d| d.to_string()))
        .bind(by.to_string())
        .bind(self.now)
        .bind(i64::from(origin == Origin::Folder))
        .execute(&mut *self.tx)
        .await?;
        if done.rows_affected() == 0 {
            let id = self.duplicate_of(collection, &new.original, origin).await?;
            return Ok(AddedDocument { id, duplicate: true });
        }
        if let Some(unread) = unread {
            sqlx::query("UPDATE watched_files SET document_id = $2 WHERE collection_id = $3 AND document_id = $1")
                .bind(unread.to_string())
                .bind(id.to_string())
                .bind(collection.to_string())
                .execute(&mut *self.tx)
                .await?;
        }
        self.touch(collection).await?;
        let detail = json!({ "collection": collection, "document": id, "sha256": new.original, "bytes": new.bytes,
            "replaces": new.replaces });
        self.append(Event::new("document_added", Some(by), detail)).await?;
        Ok(AddedDocument { id, duplicate: false })
    }

    /// The document's collection, if the reader may change it.
    async fn changeable_document(&mut self, scope: &Scope, id: DocumentId) -> Result<CollectionId> {
        let row = sqlx::query("SELECT collection_id FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let collection = row.parsed("collection_id")?;
        self.changeable_collection(scope, collection).await?;
        Ok(collection)
    }

    /// Parent and child together: the document is in this very collection.
    async fn document_of(&mut self, collection: CollectionId, id: DocumentId) -> Result<()> {
        sqlx::query("SELECT id FROM documents WHERE id = $1 AND collection_id = $2")
            .bind(id.to_string())
            .bind(collection.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn room_to_wait(&mut self, collection: CollectionId) -> Result<()> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n, COUNT(CASE WHEN COALESCE(c.owner_department, c.owner_person) = \
               (SELECT COALESCE(k.owner_department, k.owner_person) FROM collections k WHERE k.id = $1) THEN 1 END) AS own \
             FROM documents x JOIN collections c ON c.id = x.collection_id WHERE x.state = 'waiting'",
        )
        .bind(collection.to_string())
        .fetch_one(&mut *self.tx)
        .await?;
        if row.count("n")? < MAX_WAITING && row.count("own")? < MAX_WAITING_OF_OWNER {
            return Ok(());
        }
        Err(StoreError::conflict("읽기를 기다리는 문서가 너무 많습니다. 앞선 문서가 처리된 뒤 다시 올려 주세요."))
    }

    /// Bytes that come as the next version of `replaces` and lie here unread as a version of something else: a newer
    /// document takes that one's place, so that it counts as the newest. Returns the one that is gone.
    async fn give_way(
        &mut self,
        collection: CollectionId,
        original: &str,
        replaces: DocumentId,
    ) -> Result<Option<DocumentId>> {
        let row = sqlx::query(
            "SELECT id FROM documents WHERE collection_id = $1 AND original = $2 AND id <> $3 \
             AND state IN ('waiting', 'failed', 'cancelled') AND COALESCE(replaces, '') <> $3",
        )
        .bind(collection.to_string())
        .bind(original)
        .bind(replaces.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        let unread = row.map(|r| r.parsed("id")).transpose()?;
        if let Some(unread) = unread {
            self.remove_document(unread).await?;
        }
        Ok(unread)
    }

    /// The document that already holds these bytes, set waiting again if it had come to nothing. One that a folder
    /// brought and somebody uploads as well is theirs from here on.
    async fn duplicate_of(&mut self, collection: CollectionId, original: &str, origin: Origin) -> Result<DocumentId> {
        let row = sqlx::query(
            "SELECT id FROM documents WHERE collection_id = $1 AND original = $2 AND state <> 'superseded'",
        )
        .bind(collection.to_string())
        .bind(original)
        .fetch_one(&mut *self.tx)
        .await?;
        let id: DocumentId = row.parsed("id")?;
        self.wait_again(id).await?;
        if origin == Origin::Hand {
            sqlx::query("UPDATE documents SET by_folder = 0 WHERE id = $1")
                .bind(id.to_string())
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(id)
    }

    async fn wait_again(&mut self, id: DocumentId) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE documents SET state = 'waiting', stage = '', error = NULL, attempts = 0, updated_at = $2 \
             WHERE id = $1 AND state IN ('failed', 'cancelled')",
        )
        .bind(id.to_string())
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(crate) async fn touch(&mut self, collection: CollectionId) -> Result<()> {
        sqlx::query("UPDATE collections SET updated_at = $2 WHERE id = $1")
            .bind(collection.to_string())
            .bind(self.now)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Drops what was read of a document.
    pub(crate) async fn drop_passages(&mut self, id: DocumentId) -> Result<()> {
        for statement in
            ["DELETE FROM passages WHERE document_id = $1", "DELETE FROM document_texts WHERE document_id = $1"]
        {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Removes the rows of a document and notes that the index must follow. What pointed at it points on: older
    /// versions at what took its place, replacements under way at that or at what it was to replace itself.
    pub(crate) async fn remove_document(&mut self, id: DocumentId) -> Result<Removed> {
        let row = sqlx::query("SELECT original, replaces, superseded_by FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        let (replaced, successor) = (row.opt_text("replaces")?, row.opt_text("superseded_by")?);
        for (statement, target) in [
            ("UPDATE documents SET superseded_by = $2 WHERE superseded_by = $1", successor.as_deref()),
            (
                "UPDATE documents SET replaces = $2 WHERE replaces = $1 AND state NOT IN ('ready', 'superseded')",
                successor.as_deref().or(replaced.as_deref()),
            ),
        ] {
            sqlx::query(statement).bind(id.to_string()).bind(target).execute(&mut *self.tx).await?;
        }
        self.drop_passages(id).await?;
        self.note_removal(id).await?;
        sqlx::query("DELETE FROM documents WHERE id = $1").bind(id.to_string()).execute(&mut *self.tx).await?;
        Ok(Removed { original: row.text("original")?, replaced: row.opt_parsed("replaces")? })
    }

    pub(crate) async fn note_removal(&mut self, id: DocumentId) -> Result<()> {
        sqlx::query(
            "INSERT INTO index_removals (document_id, created_at) VALUES ($1, $2) ON CONFLICT (document_id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

//! The worker's side of documents: what waits, what was read, what the index must still do. No reader is involved and
//! nothing here is shown to a person; what readers see is `documents` and `collections`.

use crate::collections::BATCH;
use crate::ledger::Event;
use crate::rights::placeholders;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{CollectionId, DocumentId, PassageDraft, PassageId};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::HashSet;

/// How often a document may take the server down, or be cut off by its end, before it counts as failed.
const MAX_ATTEMPTS: i64 = 3;
/// Passages per INSERT.
const ROWS: usize = 50;
const COLUMNS: usize = 10;

/// The first waiting document of a collection, and whose turn it would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingHead {
    /// Department or person that owns the collection.
    pub owner: String,
    pub collection: CollectionId,
    pub document: DocumentId,
}

/// A document claimed for reading.
#[derive(Debug, Clone)]
pub struct Job {
    pub document: DocumentId,
    pub collection: CollectionId,
    pub title: String,
    pub file_name: String,
    /// SHA-256 of the bytes.
    pub original: String,
    /// 1 for the first.
    pub attempt: i64,
}

/// What was read of a document.
#[derive(Debug, Clone)]
pub struct ReadDocument {
    /// Name for screens: `HWPX`.
    pub format: String,
    pub text: String,
    pub pages: Option<u32>,
    pub pages_estimated: bool,
    pub warnings: Vec<String>,
    pub passages: Vec<PassageDraft>,
}

/// What came with a document's becoming ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeReady {
    /// Its title at that moment: it may have been renamed since it was claimed.
    pub title: String,
    /// A version left the index: an older one, or this one where a newer one stands already.
    pub replaced: bool,
    /// Digests of the originals of versions that nobody could ever cite.
    pub unused_originals: Vec<String>,
}

/// Condition on `documents x`: its passages of an earlier reading have left the index, or it had none.
const OUT_OF_INDEX: &str = "NOT EXISTS (SELECT 1 FROM index_removals r WHERE r.document_id = x.id)";

impl Store {
    /// First waiting document of every collection that has one. One whose earlier passages must still leave the index
    /// waits until they have, or their removal would take the new ones along.
    pub async fn waiting_heads(&self) -> Result<Vec<WaitingHead>> {
        // Identifiers grow with time, so the least is the first.
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT COALESCE(c.owner_department, c.owner_person) AS owner, c.id AS collection_id, MIN(x.id) AS id \
             FROM documents x JOIN collections c ON c.id = x.collection_id WHERE x.state = 'waiting' AND {OUT_OF_INDEX} \
             GROUP BY COALESCE(c.owner_department, c.owner_person), c.id"
        )))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(WaitingHead {
                    owner: r.text("owner")?,
                    collection: r.parsed("collection_id")?,
                    document: r.parsed("id")?,
                })
            })
            .collect()
    }

    /// Claims a waiting document; `None` if it no longer waits or must first leave the index.
    pub async fn claim_document(&self, id: DocumentId) -> Result<Option<Job>> {
        let mut tx = self.write().await?;
        let done = sqlx::query(AssertSqlSafe(format!(
            "UPDATE documents AS x SET state = 'processing', stage = 'reading', attempts = attempts + 1, updated_at = $2 \
             WHERE id = $1 AND state = 'waiting' AND {OUT_OF_INDEX}"
        )))
        .bind(id.to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT collection_id, title, file_name, original, attempts FROM documents WHERE id = $1")
                .bind(id.to_string())
                .fetch_one(&mut *tx.tx)
                .await?;
        tx.commit().await?;
        Ok(Some(Job {
            document: id,
            collection: row.parsed("collection_id")?,
            title: row.text("title")?,
            file_name: row.text("file_name")?,
            original: row.text("original")?,
            attempt: row.int("attempts")?,
        }))
    }

    /// Stores text and passages of a claimed document, all or nothing; nobody sees them before [`Store::make_ready`].
    /// Returns the passages' ids in order; `None` if the document was cancelled or deleted meanwhile.
    pub async fn store_read_document(&self, id: DocumentId, read: &ReadDocument) -> Result<Option<Vec<PassageId>>> {
        let mut tx = self.write_alone().await?;
        let characters = i64::try_from(read.text.chars().count()).map_err(|_| StoreError::Corrupt("characters"))?;
        let done = sqlx::query(
            "UPDATE documents SET stage = 'indexing', format = $2, warnings = $3, pages = $4, pages_estimated = $5, \
             characters = $6, passages = $7, updated_at = $8 WHERE id = $1 AND state = 'processing'",
        )
        .bind(id.to_string())
        .bind(&read.format)
        .bind(to_json(&read.warnings))
        .bind(read.pages.map(i64::from))
        .bind(i64::from(read.pages_estimated))
        .bind(characters)
        .bind(i64::try_from(read.passages.len()).map_err(|_| StoreError::Corrupt("passages"))?)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        tx.drop_passages(id).await?;
        sqlx::query("INSERT INTO document_texts (document_id, text) VALUES ($1, $2)")
            .bind(id.to_string())
            .bind(storable(&read.text))
            .execute(&mut *tx.tx)
            .await?;
        let collection = sqlx::query("SELECT collection_id FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx.tx)
            .await?
            .text("collection_id")?;
        let ids = tx.insert_passages(id, &collection, &read.passages).await?;
        tx.commit().await?;
        Ok(Some(ids))
    }

    /// Makes an indexed document readable and supersedes the one it replaces; `None` if it was cancelled or deleted
    /// meanwhile: its passages must then leave the index again.
    pub async fn make_ready(&self, id: DocumentId) -> Result<Option<MadeReady>> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'ready', stage = '', error = NULL, updated_at = $2 \
             WHERE id = $1 AND state = 'processing' AND stage = 'indexing'",
        )
        .bind(id.to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        // A removal noted for an earlier reading is not meant for these passages.
        sqlx::query("DELETE FROM index_removals WHERE document_id = $1")
            .bind(id.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let row = sqlx::query(
            "SELECT x.collection_id, x.title, o.id AS old FROM documents x \
             LEFT JOIN documents o ON o.id = x.replaces AND o.collection_id = x.collection_id WHERE x.id = $1",
        )
        .bind(id.to_string())
        .fetch_one(&mut *tx.tx)
        .await?;
        let collection: CollectionId = row.parsed("collection_id")?;
        // Two versions of one document that become ready at once queue here.
        tx.touch(collection).await?;
        let mut made = MadeReady { title: row.text("title")?, ..MadeReady::default() };
        if let Some(old) = row.opt_parsed::<DocumentId>("old")? {
            let succession = tx.supersede(old, id).await?;
            made.replaced = !succession.replaced.is_empty();
            made.unused_originals = succession.unused;
            for (document, by) in succession.replaced {
                let detail = json!({ "collection": collection, "document": document, "by": by });
                tx.append(Event::new("document_replaced", None, detail)).await?;
            }
        }
        tx.commit().await?;
        Ok(Some(made))
    }

    /// Marks a claimed document as failed with a Korean reason and drops what was read of it.
    pub async fn fail_document(&self, id: DocumentId, reason: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'failed', stage = '', error = $2, passages = 0, updated_at = $3 \
             WHERE id = $1 AND state = 'processing'",
        )
        .bind(id.to_string())
        .bind(reason)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() > 0 {
            tx.drop_passages(id).await?;
        }
        tx.commit().await
    }

    /// Is it ready, or was it and is an older version now? `false` for one that is gone.
    pub async fn was_made_ready(&self, id: DocumentId) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM documents WHERE id = $1 AND state IN ('ready', 'superseded')")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Gives a claimed document back to the queue, as if it had not been tried: the server stops.
    pub async fn release_document(&self, id: DocumentId) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE documents SET state = 'waiting', stage = '', attempts = attempts - 1, passages = 0, updated_at = $2 \
             WHERE id = $1 AND state = 'processing'",
        )
        .bind(id.to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() > 0 {
            tx.drop_passages(id).await?;
        }
        tx.commit().await
    }

    /// At start: documents that were being processed when the server ended wait again, or have failed after
    /// [`MAX_ATTEMPTS`]. Returns them all: their passages must leave the index.
    pub async fn recover_documents(&self) -> Result<Vec<DocumentId>> {
        let mut tx = self.write().await?;
        let rows =
            sqlx::query("SELECT id, attempts FROM documents WHERE state = 'processing'").fetch_all(&mut *tx.tx).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: DocumentId = row.parsed("id")?;
            let given_up = row.int("attempts")? >= MAX_ATTEMPTS;
            let (state, reason) = if given_up {
                ("failed", Some("이 문서를 읽는 동안 서버가 세 번 멈췄습니다. 다른 형식으로 저장해 올려 주세요."))
            } else {
                ("waiting", None)
            };
            sqlx::query(
                "UPDATE documents SET state = $2, stage = '', error = $3, passages = 0, updated_at = $4 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(state)
            .bind(reason)
            .bind(tx.now)
            .execute(&mut *tx.tx)
            .await?;
            tx.drop_passages(id).await?;
            ids.push(id);
        }
        tx.commit().await?;
        Ok(ids)
    }

    /// Notes that a document's passages must leave the index.
    pub async fn queue_index_removal(&self, id: DocumentId) -> Result<()> {
        let mut tx = self.write().await?;
        tx.note_removal(id).await?;
        tx.commit().await
    }

    /// Documents whose passages must leave the index, oldest first.
    pub async fn pending_index_removals(&self, limit: i64) -> Result<Vec<DocumentId>> {
        let rows = sqlx::query("SELECT document_id FROM index_removals ORDER BY created_at, document_id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| r.parsed("document_id")).collect()
    }

    /// These have left the index.
    pub async fn index_removals_done(&self, ids: &[DocumentId]) -> Result<()> {
        let mut tx = self.write().await?;
        for batch in ids.chunks(BATCH) {
            let sql = format!("DELETE FROM index_removals WHERE document_id IN ({})", placeholders(1, batch.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in batch {
                query = query.bind(id.to_string());
            }
            query.execute(&mut *tx.tx).await?;
        }
        tx.commit().await
    }

    /// Those of the digests that some document refers to.
    pub async fn originals_in_use(&self, digests: &[String]) -> Result<HashSet<String>> {
        let mut used = HashSet::new();
        for batch in digests.chunks(BATCH) {
            let list = placeholders(1, batch.len());
            let sql = format!("SELECT DISTINCT original FROM documents WHERE original IN ({list})");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for digest in batch {
                query = query.bind(digest);
            }
            for row in query.fetch_all(&self.pool).await? {
                used.insert(row.text("original")?);
            }
        }
        Ok(used)
    }
}

/// PostgreSQL takes no NUL in text; the replacement keeps every offset.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl WriteTx {
    async fn insert_passages(
        &mut self,
        document: DocumentId,
        collection: &str,
        passages: &[PassageDraft],
    ) -> Result<Vec<PassageId>> {
        let number = |n: usize| i64::try_from(n).map_err(|_| StoreError::Corrupt("span"));
        let ids: Vec<_> = passages.iter().map(|_| PassageId::new()).collect();
        let numbered: Vec<_> = ids.iter().zip(passages).enumerate().collect();
        for batch in numbered.chunks(ROWS) {
            let rows: Vec<_> =
                (0..batch.len()).map(|i| format!("({})", placeholders(i * COLUMNS + 1, COLUMNS))).collect();
            let sql = format!(
                "INSERT INTO passages (id, document_id, collection_id, ordinal, heading_path, page, page_estimated, \
                 span_start, span_end, text) VALUES {}",
                rows.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (ordinal, (id, passage)) in batch {
                query = query
                    .bind(id.to_string())
                    .bind(document.to_string())
                    .bind(collection.to_owned())
                    .bind(number(*ordinal)?)
                    .bind(storable(&to_json(&passage.heading_path)))
                    .bind(passage.page.map(i64::from))
                    .bind(i64::from(passage.page_estimated))
                    .bind(number(passage.span.start)?)
                    .bind(number(passage.span.end)?)
                    .bind(storable(&passage.text));
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(ids)
    }
}

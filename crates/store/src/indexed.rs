//! What the index must hold, for those who fill it, move it and check it: ready documents, their passages, and the
//! grades that say in which of the two indexes they belong. No reader is involved and nothing here is shown to a person.

use crate::collections::BATCH;
use crate::rights::placeholders;
use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::{CollectionId, DocumentId, Grade, PassageId};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// A passage as the index takes it.
#[derive(Debug, Clone)]
pub struct StoredPassage {
    pub id: PassageId,
    pub document: DocumentId,
    pub collection: CollectionId,
    /// The collection's, now.
    pub grade: Grade,
    pub title: String,
    pub heading_path: Vec<String>,
    pub text: String,
}

/// Numbers of passages of ready documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadyPassages {
    /// In collections of grade O or S.
    pub open: usize,
    /// In those of grade C.
    pub classified: usize,
}

impl ReadyPassages {
    pub fn total(&self) -> usize {
        self.open + self.classified
    }
}

/// A collection as the index should hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedCollection {
    pub id: CollectionId,
    pub name: String,
    pub grade: Grade,
    /// Passages of its ready documents.
    pub passages: usize,
}

const PASSAGES: &str = "SELECT g.id, g.document_id, x.collection_id, c.grade, x.title, g.heading_path, g.text \
     FROM passages g JOIN documents x ON x.id = g.document_id JOIN collections c ON c.id = x.collection_id \
     WHERE x.state = 'ready' AND ";

impl Store {
    /// Numbers of passages that the index should hold.
    pub async fn ready_passages(&self) -> Result<ReadyPassages> {
        let mut ready = ReadyPassages::default();
        for collection in self.indexed_collections().await? {
            match collection.grade {
                Grade::Classified => ready.classified += collection.passages,
                Grade::Open | Grade::Sensitive => ready.open += collection.passages,
            }
        }
        Ok(ready)
    }

    /// Every collection with the number of passages that the index should hold of it, by name.
    pub async fn indexed_collections(&self) -> Result<Vec<IndexedCollection>> {
        let rows = sqlx::query(
            "SELECT c.id, c.name, c.grade, COUNT(g.id) AS n FROM collections c \
             LEFT JOIN documents x ON x.collection_id = c.id AND x.state = 'ready' \
             LEFT JOIN passages g ON g.document_id = x.id GROUP BY c.id, c.name, c.grade ORDER BY c.name, c.id",
        )
        .fetch_all(&self.pool)
        .await?;
        let collection = |r: &AnyRow| {
            let (id, grade) = (r.parsed("id")?, r.parsed("grade")?);
            Ok(IndexedCollection { id, name: r.text("name")?, grade, passages: r.count("n")? })
        };
        rows.iter().map(collection).collect()
    }

    /// Grade of the collection that a document is in now; `None` for a document that is gone.
    pub async fn document_grade(&self, id: DocumentId) -> Result<Option<Grade>> {
        let row =
            sqlx::query("SELECT c.grade FROM documents x JOIN collections c ON c.id = x.collection_id WHERE x.id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?;
        row.map(|r| r.parsed("grade")).transpose()
    }

    /// Ready documents after `after` in order of their identifiers, with their number of passages.
    pub async fn ready_documents(&self, after: Option<DocumentId>, limit: i64) -> Result<Vec<(DocumentId, usize)>> {
        let rows =
            sqlx::query("SELECT id, passages FROM documents WHERE state = 'ready' AND id > $1 ORDER BY id LIMIT $2")
                .bind(after.map(|d| d.to_string()).unwrap_or_default())
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|r| Ok((r.parsed("id")?, r.count("passages")?))).collect()
    }

    /// Ready documents of one collection.
    pub async fn ready_documents_of(&self, collection: CollectionId) -> Result<Vec<DocumentId>> {
        let rows = sqlx::query("SELECT id FROM documents WHERE state = 'ready' AND collection_id = $1 ORDER BY id")
            .bind(collection.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| r.parsed("id")).collect()
    }

    /// Passages of a ready document, to be indexed again; empty if it is not ready any more.
    pub async fn passages_to_index(&self, id: DocumentId) -> Result<Vec<StoredPassage>> {
        let rows = sqlx::query(AssertSqlSafe(format!("{PASSAGES} x.id = $1 ORDER BY g.ordinal")))
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(stored_passage).collect()
    }

    /// Passages behind ids, in the order given; those that are gone or belong to a document that is not ready are left
    /// out. For the worker, who makes vectors of them: readers ask [`Store::passages`].
    pub async fn passages_by_id(&self, ids: &[PassageId]) -> Result<Vec<StoredPassage>> {
        let mut found = HashMap::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            let sql = format!("{PASSAGES} g.id IN ({})", placeholders(1, batch.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in batch {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&self.pool).await? {
                let passage = stored_passage(&row)?;
                found.insert(passage.id, passage);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

fn stored_passage(row: &AnyRow) -> Result<StoredPassage> {
    Ok(StoredPassage {
        id: row.parsed("id")?,
        document: row.parsed("document_id")?,
        collection: row.parsed("collection_id")?,
        grade: row.parsed("grade")?,
        title: row.text("title")?,
        heading_path: row.json("heading_path")?,
        text: row.text("text")?,
    })
}

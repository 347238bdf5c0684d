//! Collections and passages as a reader sees them: what is readable, how a collection stands, who else reads it, and
//! the passages behind ids that the index returned. Changing a collection is `collection_changes`, documents are
//! `documents`.

use crate::rights::{changeable, placeholders, readable};
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{
    CollectionId, DepartmentId, Grade, Passage, PassageId, PersonId, ReadableCollections, Scope, Span,
};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::HashMap;

/// Ids per statement: far below what either database takes as parameters.
pub(crate) const BATCH: usize = 400;

/// A collection and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionSummary {
    pub id: CollectionId,
    pub name: String,
    pub description: String,
    pub grade: Grade,
    /// The owner where it is a department.
    pub owner_department: Option<DepartmentId>,
    /// The owner where it is a person.
    pub owner_person: Option<PersonId>,
    /// Name of the owner.
    pub owner: String,
    /// The reader may change it.
    pub can_change: bool,
    /// Every member of the body may read it.
    pub everyone: bool,
    /// Departments that may read it beside the owner.
    pub reader_departments: usize,
    /// All documents, whatever their state.
    pub documents: usize,
    pub ready: usize,
    /// Waiting or being processed.
    pub waiting: usize,
    pub failed: usize,
    /// Passages of ready documents.
    pub passages: usize,
    /// Size of the originals.
    pub bytes: i64,
    /// Last change of the collection or of its documents, Unix milliseconds.
    pub updated_at: i64,
}

/// Why somebody may read a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    Owner,
    OwningDepartment,
    ReaderDepartment,
    Everyone,
}

/// Somebody who may read a collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionReader {
    pub id: PersonId,
    pub name: String,
    /// Title of the post through which they read; empty without one.
    pub post: String,
    pub department: String,
    pub because: Because,
}

/// Who is named as reader of a collection.
#[derive(Debug, Clone, Serialize)]
pub struct NamedReaders {
    pub everyone: bool,
    pub departments: Vec<DepartmentId>,
}

const SUMMARY: &str = concat!(
    "SELECT c.id, c.name, c.description, c.grade, c.owner_department, c.owner_person, c.everyone, c.updated_at, \
     COALESCE(d.name, p.name) AS owner, CASE WHEN ",
    changeable!(),
    " THEN 1 ELSE 0 END AS can_change, \
     (SELECT COUNT(*) FROM collection_readers r WHERE r.collection_id = c.id) AS reader_departments, \
     COALESCE(n.documents, 0) AS documents, COALESCE(n.ready, 0) AS ready, COALESCE(n.waiting, 0) AS waiting, \
     COALESCE(n.failed, 0) AS failed, COALESCE(n.passages, 0) AS passages, COALESCE(n.bytes, 0) AS bytes \
     FROM collections c LEFT JOIN departments d ON d.id = c.owner_department \
     LEFT JOIN people p ON p.id = c.owner_person \
     LEFT JOIN (SELECT collection_id, COUNT(*) AS documents, \
       COUNT(CASE WHEN state = 'ready' THEN 1 END) AS ready, \
       COUNT(CASE WHEN state IN ('waiting', 'processing') THEN 1 END) AS waiting, \
       COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed, \
       CAST(SUM(CASE WHEN state = 'ready' THEN passages ELSE 0 END) AS BIGINT) AS passages, \
       CAST(SUM(bytes) AS BIGINT) AS bytes FROM documents WHERE state <> 'superseded' GROUP BY collection_id) n ON n.collection_id = c.id WHERE ",
    readable!()
);

/// Columns of a passage with its document and collection; see [`passage`].
macro_rules! passage_columns {
    ($states:literal) => {
        concat!(
            "SELECT g.id, g.document_id, x.title, c.id AS collection_id, c.name AS collection_name, c.grade, \
             g.heading_path, g.page, g.page_estimated, g.span_start, g.span_end, g.text FROM passages g \
             JOIN documents x ON x.id = g.document_id AND x.state IN (",
            $states,
            ") JOIN collections c ON c.id = x.collection_id WHERE ",
            crate::rights::readable!()
        )
    };
}

/// Of documents that a search may find, of those the reader may read.
const FOUND: &str = passage_columns!("'ready'");
/// Of documents that a run may have cited: also of older versions.
pub(crate) const CITED: &str = passage_columns!("'ready', 'superseded'");

impl Store {
    /// Collections that the reader may read now: the filter of every query to the index.
    pub async fn readable_collections(&self, scope: &Scope) -> Result<ReadableCollections> {
        let rows = sqlx::query(concat!("SELECT c.id FROM collections c WHERE ", readable!(), " ORDER BY c.id"))
            .bind(scope.person().to_string())
            .fetch_all(&self.pool)
            .await?;
        let ids = rows.iter().map(|r| r.parsed("id")).collect::<Result<_>>()?;
        // The one place that says what a reader may read.
        #[allow(clippy::disallowed_methods)]
        Ok(ReadableCollections::resolved(ids))
    }

    /// All collections that the reader may read: their own and their departments' first, then by name.
    pub async fn collection_summaries(&self, scope: &Scope) -> Result<Vec<CollectionSummary>> {
        let rows = sqlx::query(AssertSqlSafe(format!("{SUMMARY} ORDER BY can_change DESC, c.name, c.id")))
            .bind(scope.person().to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(summary).collect()
    }

    /// One collection.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also for one that the reader may not read.
    pub async fn collection_summary(&self, scope: &Scope, id: CollectionId) -> Result<CollectionSummary> {
        let row = sqlx::query(AssertSqlSafe(format!("{SUMMARY} AND c.id = $2")))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        summary(&row)
    }

    /// Passages behind ids, in the order given. Rights are checked here again; passages that are gone, belong to a
    /// document that is not ready, or may not be read are left out without a word.
    pub async fn passages(&self, scope: &Scope, ids: &[PassageId]) -> Result<Vec<Passage>> {
        let mut found: HashMap<PassageId, Passage> = HashMap::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            let sql = format!("{FOUND} AND g.id IN ({})", placeholders(2, batch.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(scope.person().to_string());
            for id in batch {
                query = query.bind(id.to_string());
            }
            for row in query.fetch_all(&self.pool).await? {
                let passage = passage(&row)?;
                found.insert(passage.id, passage);
            }
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    /// Who is named as reader beside the owner.
    pub async fn named_readers(&self, scope: &Scope, id: CollectionId) -> Result<NamedReaders> {
        let summary = self.collection_summary(scope, id).await?;
        let rows = sqlx::query(
            "SELECT r.department_id FROM collection_readers r JOIN departments d ON d.id = r.department_id \
             WHERE r.collection_id = $1 AND d.deleted_at IS NULL ORDER BY d.name",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await?;
        let departments = rows.iter().map(|r| r.parsed("department_id")).collect::<Result<_>>()?;
        Ok(NamedReaders { everyone: summary.everyone, departments })
    }

    /// Every active person who may read the collection now, each once with the nearest reason.
    pub async fn collection_readers(&self, scope: &Scope, id: CollectionId) -> Result<Vec<CollectionReader>> {
        self.collection_summary(scope, id).await?;
        let rows = sqlx::query(
            "SELECT p.id, p.name, o.title, d.name AS department, \
             CASE WHEN p.id = c.owner_person THEN 0 WHEN o.department_id = c.owner_department THEN 1 \
               WHEN r.department_id IS NOT NULL THEN 2 ELSE 3 END AS because \
             FROM collections c JOIN people p ON p.active = 1 \
             LEFT JOIN (post_holders h JOIN posts o ON o.id = h.post_id AND o.deleted_at IS NULL) ON h.person_id = p.id \
             LEFT JOIN departments d ON d.id = o.department_id \
             LEFT JOIN collection_readers r ON r.collection_id = c.id AND r.department_id = o.department_id \
             WHERE c.id = $1 AND c.deleted_at IS NULL AND (p.id = c.owner_person OR o.department_id = c.owner_department \
               OR r.department_id IS NOT NULL OR (c.everyone = 1 AND c.grade <> 'C')) \
             ORDER BY because, d.name, p.name, p.id",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await?;
        let mut seen = std::collections::HashSet::new();
        let mut out = Vec::new();
        for row in &rows {
            let id: PersonId = row.parsed("id")?;
            if !seen.insert(id) {
                continue;
            }
            let because = match row.int("because")? {
                0 => Because::Owner,
                1 => Because::OwningDepartment,
                2 => Because::ReaderDepartment,
                _ => Because::Everyone,
            };
            out.push(CollectionReader {
                id,
                name: row.text("name")?,
                post: row.opt_text("title")?.unwrap_or_default(),
                department: row.opt_text("department")?.unwrap_or_default(),
                because,
            });
        }
        Ok(out)
    }
}

fn summary(row: &AnyRow) -> Result<CollectionSummary> {
    Ok(CollectionSummary {
        id: row.parsed("id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        grade: row.parsed("grade")?,
        owner_department: row.opt_parsed("owner_department")?,
        owner_person: row.opt_parsed("owner_person")?,
        owner: row.text("owner")?,
        can_change: row.flag("can_change")?,
        everyone: row.flag("everyone")?,
        reader_departments: row.count("reader_departments")?,
        documents: row.count("documents")?,
        ready: row.count("ready")?,
        waiting: row.count("waiting")?,
        failed: row.count("failed")?,
        passages: row.count("passages")?,
        bytes: row.int("bytes")?,
        updated_at: row.int("updated_at")?,
    })
}

/// A passage from a row with the columns of `passage_columns!`.
pub(crate) fn passage(row: &AnyRow) -> Result<Passage> {
    let page = row.opt_int("page")?.map(u32::try_from).transpose().map_err(|_| StoreError::Corrupt("page"))?;
    Ok(Passage {
        id: row.parsed("id")?,
        document: row.parsed("document_id")?,
        document_title: row.text("title")?,
        collection: row.parsed("collection_id")?,
        collection_name: row.text("collection_name")?,
        grade: row.parsed("grade")?,
        heading_path: row.json("heading_path")?,
        page,
        page_estimated: row.flag("page_estimated")?,
        text: row.text("text")?,
        span: Span { start: row.count("span_start")?, end: row.count("span_end")? },
    })
}

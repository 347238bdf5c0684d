//! Versions of documents: the newest is found, older ones stay open to the collection's readers. Adding and deleting is
//! `documents`, the moment a new version becomes ready is `ingest`.

use crate::documents::{DocumentState, DocumentView, VIEW, view};
use crate::row::RowExt;
use crate::{Result, Store, WriteTx};
use madang_domain::{CollectionId, DocumentId, Scope};
use sqlx::AssertSqlSafe;
use std::str::FromStr;

impl Store {
    /// The other versions of a document that were ever read, latest first.
    pub async fn document_versions(&self, scope: &Scope, id: DocumentId) -> Result<Vec<DocumentView>> {
        let sql = format!(
            "{VIEW} AND x.id <> $2 AND x.state IN ('ready', 'superseded') \
             AND x.series = (SELECT series FROM documents WHERE id = $2) ORDER BY x.created_at DESC, x.id DESC"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(view).collect()
    }

    /// Documents of a collection that left it without a successor, latest first: their files are gone.
    pub async fn withdrawn_documents(
        &self,
        scope: &Scope,
        collection: CollectionId,
        limit: i64,
    ) -> Result<Vec<DocumentView>> {
        let sql = format!(
            "{VIEW} AND c.id = $2 AND x.state = 'superseded' AND x.superseded_by IS NULL \
             ORDER BY x.superseded_at DESC, x.id DESC LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.person().to_string())
            .bind(collection.to_string())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(view).collect()
    }
}

/// What a new version put out of its place.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// Who went, and what stands in its place.
    pub(crate) replaced: Vec<(DocumentId, DocumentId)>,
    /// Digests of the originals of those that nobody could ever cite: they are removed.
    pub(crate) unused: Vec<String>,
}

impl WriteTx {
    /// Puts `new` in the place of `old`, or of the version that took old's place meanwhile: out of the index, open to
    /// the readers of the collection. Versions that were never ready, so that nobody can have cited them, are removed,
    /// and what they were to replace goes in their stead. Where a version younger than `new` stands already, `new` is
    /// the older version.
    pub(crate) async fn supersede(&mut self, old: DocumentId, new: DocumentId) -> Result<Succession> {
        let mut out = Succession::default();
        let mut next = Some(old);
        while let Some(id) = next.take() {
            let Some((old, state)) = self.newest(id, new).await? else { break };
            match state {
                // Identifiers grow with time.
                DocumentState::Ready if old > new => {
                    self.withdraw(new, Some(old)).await?;
                    self.join_series(new, old).await?;
                    out.replaced.push((new, old));
                }
                DocumentState::Ready | DocumentState::Superseded => {
                    self.withdraw(old, Some(new)).await?;
                    self.join_series(new, old).await?;
                    out.replaced.push((old, new));
                }
                _ => {
                    let removed = self.remove_document(old).await?;
                    out.unused.push(removed.original);
                    out.replaced.push((old, new));
                    next = removed.replaced;
                }
            }
        }
        Ok(out)
    }

    /// Both are versions of one document from here on.
    async fn join_series(&mut self, new: DocumentId, old: DocumentId) -> Result<()> {
        for id in [old, new] {
            sqlx::query(
                "UPDATE documents SET series = (SELECT COALESCE(series, id) FROM documents WHERE id = $2) WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(old.to_string())
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(())
    }

    /// The last of the versions that followed `id` before `new`, with its state; `None` where they are gone.
    async fn newest(&mut self, mut id: DocumentId, new: DocumentId) -> Result<Option<(DocumentId, DocumentState)>> {
        loop {
            let row = sqlx::query("SELECT state, superseded_by FROM documents WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&mut *self.tx)
                .await?;
            let Some(row) = row else { return Ok(None) };
            match row.opt_parsed::<DocumentId>("superseded_by")?.filter(|next| *next != new) {
                Some(next) => id = next,
                None => return Ok(Some((id, DocumentState::from_str(&row.text("state")?)?))),
            }
        }
    }

    /// Takes a ready document out of the index and out of lists; its collection's readers still open it. One that was
    /// withdrawn without a successor gets one.
    pub(crate) async fn withdraw(&mut self, id: DocumentId, by: Option<DocumentId>) -> Result<()> {
        sqlx::query(
            "UPDATE documents SET state = 'superseded', superseded_by = $2, superseded_at = COALESCE(superseded_at, $3), \
             updated_at = $3 WHERE id = $1 AND state IN ('ready', 'superseded') AND superseded_by IS NULL",
        )
        .bind(id.to_string())
        .bind(by.map(|d| d.to_string()))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        self.note_removal(id).await
    }

    /// The document, then the versions before it; only itself where another took its place.
    pub(crate) async fn with_older_versions(&mut self, id: DocumentId) -> Result<Vec<DocumentId>> {
        let rows = sqlx::query(
            "SELECT o.id FROM documents o JOIN documents x ON x.id = $1 WHERE o.id = x.id OR (o.series = x.series \
             AND o.state = 'superseded' AND x.superseded_by IS NULL) ORDER BY CASE WHEN o.id = $1 THEN 0 ELSE 1 END, o.id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *self.tx)
        .await?;
        if rows.is_empty() {
            return Err(crate::StoreError::NotFound);
        }
        rows.iter().map(|r| r.parsed("id")).collect()
    }
}

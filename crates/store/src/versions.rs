//! Versions of documents: the newest is found, older ones stay open to the runs that cited them. Adding and deleting is
//! `documents`, the moment a new version becomes ready is `ingest`.

use crate::documents::{DocumentState, DocumentView, VIEW, view};
use crate::row::RowExt;
use crate::{Result, Store, WriteTx};
use madang_domain::{DocumentId, Scope};
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
}

impl WriteTx {
    /// Puts `new` in the place of `old`, or of the version that took old's place meanwhile: out of the index, open to
    /// those who cited it. One that was never ready, so that nobody can have cited it, is removed; then the digest of its
    /// original comes back.
    pub(crate) async fn supersede(&mut self, old: DocumentId, new: DocumentId) -> Result<Option<String>> {
        let (old, state) = self.newest(old, new).await?;
        match state {
            DocumentState::Ready => self.withdraw(old, Some(new)).await?,
            DocumentState::Superseded => {}
            _ => return Ok(Some(self.remove_document(old).await?)),
        }
        for id in [old, new] {
            sqlx::query(
                "UPDATE documents SET series = (SELECT COALESCE(series, id) FROM documents WHERE id = $2) WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(old.to_string())
            .execute(&mut *self.tx)
            .await?;
        }
        Ok(None)
    }

    /// The last of the versions that followed `id` before `new`, with its state.
    async fn newest(&mut self, mut id: DocumentId, new: DocumentId) -> Result<(DocumentId, DocumentState)> {
        loop {
            let row = sqlx::query("SELECT state, superseded_by FROM documents WHERE id = $1")
                .bind(id.to_string())
                .fetch_one(&mut *self.tx)
                .await?;
            match row.opt_parsed::<DocumentId>("superseded_by")?.filter(|next| *next != new) {
                Some(next) => id = next,
                None => return Ok((id, DocumentState::from_str(&row.text("state")?)?)),
            }
        }
    }

    /// Takes a ready document out of the index and out of lists; what cited it still opens it.
    pub(crate) async fn withdraw(&mut self, id: DocumentId, by: Option<DocumentId>) -> Result<()> {
        sqlx::query(
            "UPDATE documents SET state = 'superseded', superseded_by = $2, superseded_at = $3 WHERE id = $1 \
             AND state = 'ready'",
        )
        .bind(id.to_string())
        .bind(by.map(|d| d.to_string()))
        .bind(self.now)
        .execute(&mut *self.tx)
        .await?;
        self.note_removal(id).await
    }

    /// Withdraws a document; one that was never ready is removed, and the digest of its original comes back. A document
    /// that is gone already is passed over.
    pub(crate) async fn withdraw_or_remove(&mut self, id: DocumentId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT state FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        match DocumentState::from_str(&row.text("state")?)? {
            DocumentState::Superseded => Ok(None),
            DocumentState::Ready => self.withdraw(id, None).await.map(|()| None),
            _ => self.remove_document(id).await.map(Some),
        }
    }

    /// The document, then the versions before it; only itself where it is an older version.
    pub(crate) async fn with_older_versions(&mut self, id: DocumentId) -> Result<Vec<DocumentId>> {
        let rows = sqlx::query(
            "SELECT o.id FROM documents o JOIN documents x ON x.id = $1 WHERE o.id = x.id OR (o.series = x.series \
             AND o.state = 'superseded' AND x.state <> 'superseded') ORDER BY CASE WHEN o.id = $1 THEN 0 ELSE 1 END, o.id",
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

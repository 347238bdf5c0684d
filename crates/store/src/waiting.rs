//! How many outside calls wait for a person: counted on every page, so nothing sealed is opened for it.

use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::Scope;

impl Store {
    /// Calls that the reader may decide on, and approved ones of their own still to be sent.
    pub async fn calls_waiting(&self, scope: &Scope) -> Result<usize> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM external_calls WHERE state = 'approved' AND person_id = $1 AND expires_at > $2",
        )
        .bind(scope.person().to_string())
        .bind(self.now())
        .fetch_one(&self.pool)
        .await?;
        Ok(row.count("n")? + self.decidable(scope).await?.len())
    }
}

//! How many outside calls wait for a person: counted on every page, so nothing sealed is read for it.

use crate::row::RowExt;
use crate::{Result, Store};
use madang_domain::{Role, Scope};

impl Store {
    /// Calls that the reader has to decide on as a security officer, and approved ones of their own still to be sent.
    pub async fn calls_waiting(&self, scope: &Scope) -> Result<usize> {
        let decides = scope.has_role(Role::Security) && scope.token().is_none();
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM external_calls WHERE (state = 'waiting' AND person_id <> $1 AND $2 = 1) \
             OR (state = 'approved' AND person_id = $1 AND expires_at > $3)",
        )
        .bind(scope.person().to_string())
        .bind(i64::from(decides))
        .bind(self.now())
        .fetch_one(&self.pool)
        .await?;
        row.count("n")
    }
}

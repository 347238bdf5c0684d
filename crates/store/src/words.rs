//! Lists of words that the admin edits, as text. What they mean is not known here.

use crate::auth::require_admin;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::Scope;
use serde_json::json;

/// Longest list, characters.
const MAX_TEXT: usize = 500_000;

impl Store {
    /// Words of one meaning, a group a line. Empty where nobody wrote any. They count in everybody's searches.
    pub async fn synonyms(&self) -> Result<String> {
        let row = sqlx::query("SELECT text FROM word_lists WHERE name = 'synonyms'").fetch_optional(&self.pool).await?;
        row.map_or_else(|| Ok(String::new()), |r| r.text("text"))
    }

    /// Replaces the words of one meaning; `groups` is their number, for the record.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but admins, [`StoreError::Invalid`] for more than 500,000 characters.
    pub async fn set_synonyms(&self, scope: &Scope, text: &str, groups: usize) -> Result<()> {
        require_admin(scope)?;
        if text.chars().count() > MAX_TEXT {
            return Err(StoreError::invalid("text", "낱말 목록이 너무 깁니다."));
        }
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO word_lists (name, text, changed_by, updated_at) VALUES ('synonyms', $1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET text = excluded.text, changed_by = excluded.changed_by, \
             updated_at = excluded.updated_at",
        )
        .bind(text.replace('\0', ""))
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        tx.append(Event::new("synonyms_changed", Some(scope.person()), json!({ "groups": groups }))).await?;
        tx.commit().await
    }
}

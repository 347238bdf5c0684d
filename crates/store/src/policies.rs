//! Policies for outside calls, as they were written: the one in force and those before it. What a policy means is not
//! known here; whoever calls has parsed it.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store};
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;

/// A policy that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPolicy {
    pub revision: u32,
    /// SHA-256 of its canonical form.
    pub hash: String,
    pub text: String,
    pub reason: String,
    /// Name of whoever put it into force; `None` for the one of a new installation.
    pub by: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// Everything but the condition.
macro_rules! columns {
    () => {
        "SELECT o.revision, o.hash, o.text, o.reason, o.created_at, p.name AS by_name FROM policies o \
         LEFT JOIN people p ON p.id = o.person_id "
    };
}

fn stored(row: &AnyRow) -> Result<StoredPolicy> {
    Ok(StoredPolicy {
        revision: row.parsed_int("revision")?,
        hash: row.text("hash")?,
        text: row.text("text")?,
        reason: row.text("reason")?,
        by: row.opt_text("by_name")?,
        created_at: row.int("created_at")?,
    })
}

impl Store {
    /// The policy in force. Nobody's data: the gateway asks it for every call, for whoever calls.
    ///
    /// # Errors
    /// [`crate::StoreError::NotFound`] where there is none, so that nothing passes.
    pub async fn policy_in_force(&self) -> Result<StoredPolicy> {
        let sql = concat!(columns!(), "ORDER BY o.revision DESC LIMIT 1");
        stored(&sqlx::query(sql).fetch_one(&self.pool).await?)
    }

    /// At the start: puts the first policy into force where there is none, and records it. Later it does nothing.
    pub async fn ensure_policy(&self, text: &str, hash: &str, revision: u32) -> Result<()> {
        let reason = "새로 설치한 기본 정책";
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "INSERT INTO policies (revision, hash, text, reason, person_id, created_at) \
             SELECT CAST($1 AS BIGINT), $2, $3, $4, NULL, CAST($5 AS BIGINT) WHERE NOT EXISTS (SELECT 1 FROM policies)",
        )
        .bind(i64::from(revision))
        .bind(hash)
        .bind(text)
        .bind(reason)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        let detail = json!({ "revision": revision, "policy_hash": hash, "reason": reason });
        tx.append(Event::new("policy_changed", None, detail)).await?;
        tx.commit().await
    }
}

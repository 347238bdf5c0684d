//! The body's own dictionary of words that may not leave, as revisions. Its text comes sealed: what it says, and how it is
//! used, is the gateway's.

use crate::auth::require_security;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{PassageId, Scope};
use serde_json::json;

/// A revision without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryRevision {
    /// From 1.
    pub revision: i64,
    pub rules: usize,
    pub terms: usize,
    pub patterns: usize,
    pub reason: String,
    pub by: String,
    /// Unix milliseconds.
    pub at: i64,
}

/// A dictionary about to be kept.
pub struct NewDictionary<'a> {
    /// The revision that was edited: 0 where there was none.
    pub edited: i64,
    pub sealed: &'a str,
    /// Keyed: words could be tried out against a bare one.
    pub hash: &'a str,
    pub rules: usize,
    pub terms: usize,
    pub patterns: usize,
    /// Without words of the dictionary.
    pub reason: &'a str,
}

impl Store {
    /// Revision in force, 0 without any. Every inspection asks.
    pub async fn dictionary_revision(&self) -> Result<i64> {
        let row = sqlx::query("SELECT COALESCE(MAX(revision), 0) AS revision FROM pii_dictionaries")
            .fetch_one(&self.pool)
            .await?;
        row.int("revision")
    }

    /// The sealed text of a revision, for the gateway.
    pub async fn sealed_dictionary(&self, revision: i64) -> Result<String> {
        let row = sqlx::query("SELECT sealed FROM pii_dictionaries WHERE revision = $1")
            .bind(revision)
            .fetch_optional(&self.pool)
            .await?;
        row.ok_or(StoreError::NotFound)?.text("sealed")
    }

    /// The newest revisions, for security officers.
    pub async fn dictionary_revisions(&self, scope: &Scope, limit: i64) -> Result<Vec<DictionaryRevision>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT d.revision, d.rules, d.terms, d.patterns, d.reason, p.name, d.created_at FROM pii_dictionaries d \
             JOIN people p ON p.id = d.person_id ORDER BY d.revision DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(DictionaryRevision {
                revision: row.int("revision")?,
                rules: row.count("rules")?,
                terms: row.count("terms")?,
                patterns: row.count("patterns")?,
                reason: row.text("reason")?,
                by: row.text("name")?,
                at: row.int("created_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps a dictionary, which is in force from then on; gives its revision.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers, [`StoreError::Conflict`] where another was kept since the one
    /// that was edited.
    pub async fn keep_dictionary(&self, scope: &Scope, new: NewDictionary<'_>) -> Result<i64> {
        require_security(scope)?;
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut tx = self.write().await?;
        // Two officers who save at once on PostgreSQL: the second one sees what the first one kept.
        tx.lock_ledger().await?;
        let row = sqlx::query("SELECT COALESCE(MAX(revision), 0) AS revision FROM pii_dictionaries")
            .fetch_one(&mut *tx.tx)
            .await?;
        let last = row.int("revision")?;
        if last != new.edited {
            return Err(StoreError::conflict(
                "그사이 다른 보안담당이 사전을 바꾸었습니다. 화면을 새로 고쳐 바뀐 사전에서 다시 고쳐 주세요.",
            ));
        }
        let revision = last + 1;
        sqlx::query(
            "INSERT INTO pii_dictionaries (revision, sealed, hash, rules, terms, patterns, reason, person_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(revision)
        .bind(new.sealed)
        .bind(new.hash)
        .bind(number(new.rules))
        .bind(number(new.terms))
        .bind(number(new.patterns))
        .bind(new.reason)
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({
            "revision": revision, "rules": new.rules, "terms": new.terms, "patterns": new.patterns,
            "dictionary_hmac": new.hash, "reason": new.reason,
        });
        tx.append(Event::new("pii_dictionary_changed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(revision)
    }

    /// Number of passages of all collections.
    pub async fn passage_count(&self, scope: &Scope) -> Result<usize> {
        require_security(scope)?;
        sqlx::query("SELECT COUNT(*) AS n FROM passages").fetch_one(&self.pool).await?.count("n")
    }

    /// Texts of passages, the newest first, older than `before`. For telling a security officer how common a word is:
    /// they come from collections that the officer may not read, and are counted and shown to nobody.
    pub async fn passages_to_count(
        &self,
        scope: &Scope,
        before: Option<PassageId>,
        limit: i64,
    ) -> Result<Vec<(PassageId, String)>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT id, text FROM passages WHERE CAST($1 AS TEXT) IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(before.map(|id| id.to_string()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.parsed("id")?, row.text("text")?))).collect()
    }
}

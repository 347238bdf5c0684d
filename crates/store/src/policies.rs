//! Policies for outside calls, as they were written: the one in force, those before it, and the calls of the past for a
//! dry run. What a policy means is not known here; whoever calls has parsed it. Proposals are in `policy_proposals`.

use crate::auth::require_security;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{ExternalCallId, PersonId, Role, Scope};
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;

/// Sentences of a change kept in a record, at most.
const RECORDED: usize = 20;
/// Longest of them, characters.
const RECORDED_LENGTH: usize = 300;
/// Calls of the past read for a dry run, at most.
pub const PAST_CALLS: usize = 20_000;

/// A policy that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPolicy {
    pub revision: u32,
    /// SHA-256 of its canonical form.
    pub hash: String,
    pub text: String,
    pub reason: String,
    /// Name of its author; `None` for the one of a new installation.
    pub by: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A policy that is or was in force, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyRevision {
    pub revision: u32,
    pub hash: String,
    pub reason: String,
    /// Name of its author.
    pub by: Option<String>,
    /// Name of the second person, where one was needed.
    pub confirmed_by: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A policy about to go into force: parsed, hashed and compared by the caller.
#[derive(Debug, Clone)]
pub struct NewPolicy<'a> {
    pub text: &'a str,
    pub hash: &'a str,
    pub revision: u32,
    /// Revision of the policy that `changes` were found against.
    pub compared_with: u32,
    pub reason: &'a str,
    /// What changes, in Korean sentences.
    pub changes: &'a [String],
}

/// An outside call of the past, for a dry run. `facts` and `verdict` are of `madang-policy`.
#[derive(Debug, Clone)]
pub struct PastCallRow {
    pub id: ExternalCallId,
    /// JSON.
    pub facts: String,
    /// Snake case.
    pub verdict: String,
    pub masked: bool,
    /// It left, or may have.
    pub left: bool,
    /// Micro-won and tokens that it cost; the most they can be where that is not known.
    pub won: i64,
    pub tokens: i64,
}

/// Outside calls of a stretch of time.
#[derive(Debug, Clone, Default)]
pub struct PastCalls {
    /// The latest [`PAST_CALLS`].
    pub calls: Vec<PastCallRow>,
    /// Asked for before there was a policy: nothing to compare.
    pub without_facts: usize,
    /// All with facts, read or not.
    pub total: usize,
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
    /// [`StoreError::NotFound`] where there is none, so that nothing passes.
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

    /// Puts a policy into force that lets nothing pass which did not pass before; one that may is proposed. Proposals
    /// that waited rest on what is no longer in force, and end.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for all but security officers in a browser; [`StoreError::Conflict`] names who changed it
    /// since `expected_revision`; [`StoreError::Invalid`] where the revision is not the next one or the reason is missing.
    pub async fn put_policy_in_force(&self, scope: &Scope, new: &NewPolicy<'_>, expected_revision: u32) -> Result<()> {
        require_security(scope)?;
        new.check(expected_revision)?;
        let mut tx = self.write().await?;
        let old = tx.require_compared(new, expected_revision).await?;
        tx.insert_policy(new, scope.person()).await?;
        let overtaken = tx.overtake_proposals().await?;
        let mut detail = new.recorded(&old, false);
        detail["overtaken"] = json!(overtaken);
        tx.append(Event::new("policy_changed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Policies that are or were in force, newest first: at most `limit` before revision `before`.
    pub async fn policy_revisions(
        &self,
        scope: &Scope,
        before: Option<u32>,
        limit: i64,
    ) -> Result<Vec<PolicyRevision>> {
        require_policy_reader(scope)?;
        let rows = sqlx::query(
            "SELECT o.revision, o.hash, o.reason, o.created_at, p.name AS by_name, c.name AS confirmed_by FROM policies o \
             LEFT JOIN people p ON p.id = o.person_id \
             LEFT JOIN policy_proposals r ON r.revision = o.revision AND r.state = 'confirmed' \
             LEFT JOIN people c ON c.id = r.decided_by \
             WHERE CAST($1 AS BIGINT) IS NULL OR o.revision < $1 ORDER BY o.revision DESC LIMIT $2",
        )
        .bind(before.map(i64::from))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(PolicyRevision {
                    revision: r.parsed_int("revision")?,
                    hash: r.text("hash")?,
                    reason: r.text("reason")?,
                    by: r.opt_text("by_name")?,
                    confirmed_by: r.opt_text("confirmed_by")?,
                    created_at: r.int("created_at")?,
                })
            })
            .collect()
    }

    /// One of them, as it was written.
    pub async fn policy_revision(&self, scope: &Scope, revision: u32) -> Result<StoredPolicy> {
        require_policy_reader(scope)?;
        let sql = concat!(columns!(), "WHERE o.revision = $1");
        stored(&sqlx::query(sql).bind(i64::from(revision)).fetch_one(&self.pool).await?)
    }

    /// Outside calls asked for in a stretch of time (Unix milliseconds, the end not included), for a dry run.
    pub async fn past_calls(&self, scope: &Scope, from: i64, until: i64) -> Result<PastCalls> {
        require_policy_reader(scope)?;
        let counted = sqlx::query(
            "SELECT COUNT(*) AS n, COUNT(CASE WHEN facts IS NOT NULL AND verdict IS NOT NULL THEN 1 END) AS told \
             FROM external_calls WHERE created_at >= $1 AND created_at < $2",
        )
        .bind(from)
        .bind(until)
        .fetch_one(&self.pool)
        .await?;
        let total = counted.count("told")?;
        let rows = sqlx::query(
            "SELECT id, facts, verdict, masked, \
             CASE WHEN reply_from IS NULL AND state IN ('sending', 'sent', 'unknown') THEN 1 ELSE 0 END AS has_left, \
             COALESCE(won_spent, won_most, 0) AS won, \
             COALESCE(CASE WHEN tokens_in IS NULL AND tokens_out IS NULL THEN NULL \
               ELSE COALESCE(tokens_in, 0) + COALESCE(tokens_out, 0) END, tokens_most) AS tokens \
             FROM external_calls WHERE created_at >= $1 AND created_at < $2 AND facts IS NOT NULL AND verdict IS NOT NULL \
             ORDER BY created_at DESC, id DESC LIMIT $3",
        )
        .bind(from)
        .bind(until)
        .bind(i64::try_from(PAST_CALLS).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let calls = rows
            .iter()
            .map(|r| {
                Ok(PastCallRow {
                    id: r.parsed("id")?,
                    facts: r.text("facts")?,
                    verdict: r.text("verdict")?,
                    masked: r.flag("masked")?,
                    left: r.flag("has_left")?,
                    won: r.int("won")?,
                    tokens: r.int("tokens")?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(PastCalls { calls, without_facts: counted.count("n")?.saturating_sub(total), total })
    }
}

impl NewPolicy<'_> {
    pub(crate) fn check(&self, expected_revision: u32) -> Result<()> {
        if expected_revision.checked_add(1) != Some(self.revision) {
            return Err(StoreError::invalid(
                "text",
                format!("정책의 판(revision)을 {}로 고쳐 주세요.", expected_revision.saturating_add(1)),
            ));
        }
        checked_reason(self.reason, "정책을 바꾸는 까닭을 2~400자로 적어 주세요. 원장에 남습니다.")?;
        Ok(())
    }

    /// What a record says of it.
    pub(crate) fn recorded(&self, old: &StoredPolicy, loosens: bool) -> serde_json::Value {
        recorded(old, (self.revision, self.hash), self.reason, loosens, self.changes)
    }
}

/// What a record says of a change of policy: the sentences are bounded, the text is in the database.
pub(crate) fn recorded(
    old: &StoredPolicy,
    (revision, hash): (u32, &str),
    reason: &str,
    loosens: bool,
    changes: &[String],
) -> serde_json::Value {
    let told: Vec<String> = changes.iter().take(RECORDED).map(|c| c.chars().take(RECORDED_LENGTH).collect()).collect();
    json!({
        "revision": revision, "old_revision": old.revision, "policy_hash": hash, "old_policy_hash": old.hash,
        "reason": reason.trim(), "loosens": loosens, "changes": told, "changes_in_all": changes.len(),
    })
}

/// A reason that is kept: 2 to 400 characters.
pub(crate) fn checked_reason(reason: &str, message: &str) -> Result<String> {
    let reason = reason.trim();
    if (2..=400).contains(&reason.chars().count()) && !reason.contains('\0') {
        Ok(reason.to_owned())
    } else {
        Err(StoreError::invalid("reason", message))
    }
}

/// Security officers keep the policy, admins may look at it, both in a browser.
pub(crate) fn require_policy_reader(scope: &Scope) -> Result<()> {
    if scope.token().is_none() && (scope.has_role(Role::Security) || scope.has_role(Role::Admin)) {
        Ok(())
    } else {
        Err(StoreError::denied("보안담당과 운영자가 보는 화면입니다."))
    }
}

impl WriteTx {
    /// The policy in force, which must be of this revision.
    pub(crate) async fn require_revision(&mut self, expected: u32) -> Result<StoredPolicy> {
        let sql = concat!(columns!(), "ORDER BY o.revision DESC LIMIT 1");
        let now = stored(&sqlx::query(sql).fetch_one(&mut *self.tx).await?)?;
        if now.revision == expected {
            return Ok(now);
        }
        let by = now.by.map_or_else(|| "다른 사람이".to_owned(), |name| format!("{name} 님이"));
        Err(StoreError::conflict(format!(
            "그 사이에 {by} 정책을 {}판으로 바꾸었습니다. 무엇이 바뀌었는지 보고 그 위에서 다시 고쳐 주세요.",
            now.revision
        )))
    }

    /// As [`WriteTx::require_revision`], and the new one was compared with the policy in force: what it changes decides
    /// whether a second person is needed.
    pub(crate) async fn require_compared(&mut self, new: &NewPolicy<'_>, expected: u32) -> Result<StoredPolicy> {
        let old = self.require_revision(expected).await?;
        if new.compared_with == old.revision {
            return Ok(old);
        }
        Err(StoreError::conflict("고치는 사이에 다른 정책이 시행되었습니다. 새로 고친 뒤 다시 해 주세요."))
    }

    pub(crate) async fn insert_policy(&mut self, new: &NewPolicy<'_>, author: PersonId) -> Result<()> {
        let done = sqlx::query(
            "INSERT INTO policies (revision, hash, text, reason, person_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(i64::from(new.revision))
        .bind(new.hash)
        .bind(new.text)
        .bind(new.reason.trim())
        .bind(author.to_string())
        .bind(self.now)
        .execute(&mut *self.tx)
        .await;
        done.map_err(|e| {
            crate::people::duplicate(e, "그 사이에 다른 사람이 정책을 바꾸었습니다. 새로 고친 뒤 다시 해 주세요.")
        })?;
        Ok(())
    }
}

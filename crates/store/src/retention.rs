//! How long sealed texts of outside calls are kept, what holds them longer, and their deletion with its proof: the row,
//! its HMACs and its records stay, the texts go. When the job runs is decided in `server`.

use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{Role, Scope};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Days that texts are kept unless somebody said otherwise: three years.
pub const DEFAULT_DAYS: i64 = 3 * 365;
/// Shortest and longest retention, days: access records are kept for a year at least (안전성 확보조치 기준 §8), and what
/// somebody may have to account for is not deleted earlier.
pub const DAYS: std::ops::RangeInclusive<i64> = 365..=3650;
/// The kind of texts that outgoing bodies, their tokens and replies are.
pub const OUTSIDE_BODIES: &str = "outside_bodies";
/// Calls of one deletion, so that no transaction is long.
pub const BATCH: i64 = 500;
const DAY_MS: i64 = 86_400_000;
const DOMAIN: &[u8] = b"madang.erasure.v1\n";

/// What a hold is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldTarget {
    Call,
    App,
    Person,
    /// Calls asked for within a span of time.
    Period,
}

impl HoldTarget {
    pub const ALL: [Self; 4] = [Self::Call, Self::App, Self::Person, Self::Period];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::App => "app",
            Self::Person => "person",
            Self::Period => "period",
        }
    }

    pub fn korean(self) -> &'static str {
        match self {
            Self::Call => "외부호출 한 건",
            Self::App => "앱",
            Self::Person => "직원",
            Self::Period => "기간",
        }
    }
}

impl std::str::FromStr for HoldTarget {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|t| t.as_str() == s).ok_or_else(|| format!("unknown target {s:?}"))
    }
}

/// A retention as set.
#[derive(Debug, Clone, Serialize)]
pub struct Retention {
    pub days: i64,
    /// Who set it and when, Unix milliseconds; `None`: the default.
    pub changed: Option<(String, i64)>,
}

/// A hold about to be placed.
pub struct NewHold<'a> {
    pub target: HoldTarget,
    /// An identifier; for a person a login too. Not read for a period.
    pub subject: &'a str,
    /// Unix milliseconds, inclusive and exclusive: a period's.
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub reason: &'a str,
}

/// A hold.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    pub id: String,
    pub target: HoldTarget,
    pub subject: String,
    /// What it is of, for people.
    pub subject_name: String,
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub reason: String,
    pub placed_by: String,
    pub placed_at: i64,
    pub lifted_by: Option<String>,
    pub lifted_at: Option<i64>,
    pub lift_reason: String,
}

/// A deletion and its proof.
#[derive(Debug, Clone, Serialize)]
pub struct Erasure {
    pub id: String,
    pub erased_at: i64,
    pub items: i64,
    /// The first and last call deleted were asked for then.
    pub from: i64,
    pub until: i64,
    /// SHA-256 over the deleted calls' ids and HMACs.
    pub digest: String,
    /// Number of its record in the ledger.
    pub seq: i64,
    /// The digest over the rows as they stand is the recorded one.
    pub holds: bool,
}

/// Condition on `external_calls c`: over, not deleted, older than `$1`, and held by nothing.
macro_rules! due {
    () => {
        "c.erased_at IS NULL AND c.state NOT IN ('waiting', 'approved', 'sending') AND COALESCE(c.ended_at, c.created_at) < $1 \
         AND NOT EXISTS (SELECT 1 FROM legal_holds h WHERE h.lifted_at IS NULL AND ((h.target = 'call' AND h.subject = c.id) \
         OR (h.target = 'app' AND h.subject = c.app_id) OR (h.target = 'person' AND h.subject = c.person_id) \
         OR (h.target = 'period' AND c.created_at >= h.from_at AND c.created_at < h.until_at)))"
    };
}

fn require_keeper(scope: &Scope) -> Result<()> {
    let may = scope.has_role(Role::Security) || scope.has_role(Role::Admin);
    if may && scope.token().is_none() {
        Ok(())
    } else {
        Err(StoreError::denied("보안담당과 운영자만 할 수 있는 일입니다."))
    }
}

/// What proves a deletion: a hash over the calls' ids and HMACs in the order of the ids.
pub fn erasure_digest(items: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = items.iter().collect();
    sorted.sort();
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    for (id, hmac) in sorted {
        hash.update(format!("{id} {hmac}\n"));
    }
    hex::encode(hash.finalize())
}

impl Store {
    /// How long the texts of outside calls are kept.
    pub async fn retention(&self, scope: &Scope) -> Result<Retention> {
        require_keeper(scope)?;
        let row = sqlx::query(
            "SELECT r.days, p.name, r.changed_at FROM retention_rules r JOIN people p ON p.id = r.changed_by WHERE r.kind = $1",
        )
        .bind(OUTSIDE_BODIES)
        .fetch_optional(&self.pool)
        .await?;
        match row {
            None => Ok(Retention { days: DEFAULT_DAYS, changed: None }),
            Some(r) => Ok(Retention { days: r.int("days")?, changed: Some((r.text("name")?, r.int("changed_at")?)) }),
        }
    }

    async fn retention_days(&self) -> Result<i64> {
        let row = sqlx::query("SELECT days FROM retention_rules WHERE kind = $1")
            .bind(OUTSIDE_BODIES)
            .fetch_optional(&self.pool)
            .await?;
        row.map_or(Ok(DEFAULT_DAYS), |r| r.int("days"))
    }

    /// Sets how long the texts of outside calls are kept, with a reason for the record.
    pub async fn set_retention(&self, scope: &Scope, days: i64, reason: &str) -> Result<()> {
        require_keeper(scope)?;
        if !DAYS.contains(&days) {
            let words = format!("보존기간은 {}일부터 {}일 사이로 정해 주세요.", DAYS.start(), DAYS.end());
            return Err(StoreError::invalid("days", words));
        }
        let before = self.retention_days().await?;
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO retention_rules (kind, days, changed_by, changed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (kind) DO UPDATE SET days = excluded.days, changed_by = excluded.changed_by, changed_at = excluded.changed_at",
        )
        .bind(OUTSIDE_BODIES)
        .bind(days)
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "kind": OUTSIDE_BODIES, "from": before, "to": days, "reason": reason });
        tx.append(Event::new("retention_changed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// How many calls hold texts, how many of them are held, and how many the next deletion takes.
    pub async fn retained(&self, scope: &Scope) -> Result<(usize, usize, usize)> {
        require_keeper(scope)?;
        let cutoff = self.now().saturating_sub(self.retention_days().await?.saturating_mul(DAY_MS));
        let row = sqlx::query(concat!(
            "SELECT (SELECT COUNT(*) FROM external_calls c WHERE c.erased_at IS NULL) AS kept, \
             (SELECT COUNT(*) FROM external_calls c WHERE c.erased_at IS NOT NULL) AS gone, \
             (SELECT COUNT(*) FROM external_calls c WHERE ",
            due!(),
            ") AS due"
        ))
        .bind(cutoff)
        .fetch_one(&self.pool)
        .await?;
        Ok((row.count("kept")?, row.count("gone")?, row.count("due")?))
    }

    /// All holds, those in force first.
    pub async fn holds(&self, scope: &Scope) -> Result<Vec<Hold>> {
        require_keeper(scope)?;
        let rows = sqlx::query(
            "SELECT h.id, h.target, h.subject, h.from_at, h.until_at, h.reason, p.name AS placed_by, h.placed_at, l.name AS lifted_by, \
             h.lifted_at, h.lift_reason, (SELECT s.name FROM people s WHERE s.id = h.subject) AS person_name, \
             (SELECT MAX(v.title) FROM app_versions v WHERE v.app_id = h.subject) AS app_title \
             FROM legal_holds h JOIN people p ON p.id = h.placed_by LEFT JOIN people l ON l.id = h.lifted_by \
             ORDER BY CASE WHEN h.lifted_at IS NULL THEN 0 ELSE 1 END, h.placed_at DESC LIMIT 500",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(hold).collect()
    }

    /// Places a hold: what it is of is not deleted until it is lifted.
    pub async fn place_hold(&self, scope: &Scope, new: NewHold<'_>) -> Result<String> {
        require_keeper(scope)?;
        let (subject, from, until) = match new.target {
            HoldTarget::Period => match (new.from, new.until) {
                (Some(from), Some(until)) if from < until => (String::new(), Some(from), Some(until)),
                _ => return Err(StoreError::invalid("from", "기간의 첫날과 끝날을 적어 주세요.")),
            },
            target => (self.hold_subject(target, new.subject.trim()).await?, None, None),
        };
        let id = Uuid::now_v7().to_string();
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO legal_holds (id, target, subject, from_at, until_at, reason, placed_by, placed_at, lift_reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '')",
        )
        .bind(id.clone())
        .bind(new.target.as_str())
        .bind(subject.clone())
        .bind(from)
        .bind(until)
        .bind(new.reason.to_owned())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({
            "hold": id, "target": new.target, "subject": subject, "from": from, "to": until, "reason": new.reason,
        });
        tx.append(Event::new("legal_hold_placed", Some(scope.person()), detail)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The identifier that a hold is of, checked to be one of something.
    async fn hold_subject(&self, target: HoldTarget, subject: &str) -> Result<String> {
        let sql = match target {
            HoldTarget::Call => "SELECT id FROM external_calls WHERE id = $1",
            HoldTarget::App => "SELECT id FROM apps WHERE id = $1",
            HoldTarget::Person | HoldTarget::Period => "SELECT id FROM people WHERE id = $1 OR login = $1",
        };
        let row = sqlx::query(sql).bind(subject.to_owned()).fetch_optional(&self.pool).await?;
        row.ok_or_else(|| {
            StoreError::invalid("subject", "붙잡을 외부호출·앱·직원을 찾지 못했습니다. 번호나 아이디를 확인해 주세요.")
        })?
        .text("id")
    }

    /// Lifts a hold, with a reason.
    pub async fn lift_hold(&self, scope: &Scope, id: &str, reason: &str) -> Result<()> {
        require_keeper(scope)?;
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE legal_holds SET lifted_by = $1, lifted_at = $2, lift_reason = $3 WHERE id = $4 AND lifted_at IS NULL",
        )
        .bind(scope.person().to_string())
        .bind(tx.now)
        .bind(reason.to_owned())
        .bind(id.to_owned())
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        tx.append(Event::new("legal_hold_lifted", Some(scope.person()), json!({ "hold": id, "reason": reason })))
            .await?;
        tx.commit().await
    }

    /// Deletes the sealed texts of calls past their time, [`BATCH`] at most, with the record that proves it; how many.
    pub async fn erase_due_texts(&self) -> Result<usize> {
        let days = self.retention_days().await?;
        let mut tx = self.write_alone().await?;
        let cutoff = tx.now.saturating_sub(days.saturating_mul(DAY_MS));
        let rows = sqlx::query(concat!(
            "SELECT c.id, c.body_hmac, c.created_at FROM external_calls c WHERE ",
            due!(),
            " ORDER BY c.created_at, c.id LIMIT $2"
        ))
        .bind(cutoff)
        .bind(BATCH)
        .fetch_all(&mut *tx.tx)
        .await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(0) };
        let (from, until) = (first.int("created_at")?, last.int("created_at")?);
        let items = rows
            .iter()
            .map(|r| Ok((r.text("id")?, r.text("body_hmac")?)))
            .collect::<Result<Vec<(String, String)>>>()?;
        let (erasure, digest) = (Uuid::now_v7().to_string(), erasure_digest(&items));
        for (id, _) in &items {
            sqlx::query(
                "UPDATE external_calls SET sealed_body = '', sealed_tokens = '', sealed_reply = NULL, local_answer = '', \
                 erased_at = $1, erasure = $2 WHERE id = $3 AND erased_at IS NULL",
            )
            .bind(tx.now)
            .bind(erasure.clone())
            .bind(id.clone())
            .execute(&mut *tx.tx)
            .await?;
        }
        let detail = json!({
            "erasure": erasure, "kind": OUTSIDE_BODIES, "items": items.len(), "days": days, "digest": digest,
            "from": crate::clock::rfc3339(from), "to": crate::clock::rfc3339(until),
        });
        let seq = tx.append(Event::new("bodies_erased", None, detail)).await?;
        sqlx::query("INSERT INTO erasures (id, kind, erased_at, items, from_at, until_at, digest, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(erasure)
            .bind(OUTSIDE_BODIES)
            .bind(tx.now)
            .bind(i64::try_from(items.len()).unwrap_or(i64::MAX))
            .bind(from)
            .bind(until)
            .bind(digest)
            .bind(seq)
            .execute(&mut *tx.tx)
            .await?;
        tx.commit().await?;
        Ok(items.len())
    }

    /// Deletions, newest first, each compared with its record and with the rows that it left.
    pub async fn erasures(&self, scope: &Scope, limit: i64) -> Result<Vec<Erasure>> {
        require_keeper(scope)?;
        let rows = sqlx::query(
            "SELECT e.id, e.erased_at, e.items, e.from_at, e.until_at, e.digest, e.seq, l.payload FROM erasures e \
             LEFT JOIN ledger l ON l.seq = e.seq ORDER BY e.erased_at DESC, e.id DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            let (id, digest) = (r.text("id")?, r.text("digest")?);
            let recorded = r.opt_text("payload")?.unwrap_or_default();
            let recorded: serde_json::Value = serde_json::from_str(&recorded).unwrap_or_default();
            let left = self.erased_items(&id).await?;
            out.push(Erasure {
                holds: recorded["detail"]["digest"] == digest.as_str() && erasure_digest(&left) == digest,
                erased_at: r.int("erased_at")?,
                items: r.int("items")?,
                from: r.int("from_at")?,
                until: r.int("until_at")?,
                seq: r.int("seq")?,
                id,
                digest,
            });
        }
        Ok(out)
    }

    /// The calls of a deletion whose texts are gone, with their HMACs, in the order of their ids.
    pub async fn erasure_items(&self, scope: &Scope, erasure: &str) -> Result<Vec<(String, String)>> {
        require_keeper(scope)?;
        self.erased_items(erasure).await
    }

    async fn erased_items(&self, erasure: &str) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query(
            "SELECT id, body_hmac FROM external_calls WHERE erasure = $1 AND sealed_body = '' AND sealed_reply IS NULL ORDER BY id",
        )
        .bind(erasure.to_owned())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|r| Ok((r.text("id")?, r.text("body_hmac")?))).collect()
    }
}

fn hold(r: &AnyRow) -> Result<Hold> {
    let subject = r.text("subject")?;
    let named = r.opt_text("person_name")?.or(r.opt_text("app_title")?);
    Ok(Hold {
        id: r.text("id")?,
        target: r.parsed("target")?,
        subject_name: named.unwrap_or_else(|| subject.clone()),
        subject,
        from: r.opt_int("from_at")?,
        until: r.opt_int("until_at")?,
        reason: r.text("reason")?,
        placed_by: r.text("placed_by")?,
        placed_at: r.int("placed_at")?,
        lifted_by: r.opt_text("lifted_by")?,
        lifted_at: r.opt_int("lifted_at")?,
        lift_reason: r.text("lift_reason")?,
    })
}

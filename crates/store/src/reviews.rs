//! What reviewers did: monthly samples with a verdict on each pick and their sign-off, and anomalies that somebody looked
//! at. Who is drawn is decided in `madang-policy`; a sample stays as it was drawn.

use crate::auth::require_security;
use crate::ledger::Event;
use crate::row::RowExt;
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{ExternalCallId, Grade, Scope};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::str::FromStr;

/// Anomalies that a sample's record names one by one; their digest is over all.
const RECORDED: usize = 200;

/// What a reviewer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PickVerdict {
    /// As it should be.
    Sound,
    /// To be asked about.
    Question,
    /// Against the rules.
    Fault,
}

impl PickVerdict {
    pub const ALL: [Self; 3] = [Self::Sound, Self::Question, Self::Fault];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Question => "question",
            Self::Fault => "fault",
        }
    }

    pub fn korean(self) -> &'static str {
        match self {
            Self::Sound => "적정",
            Self::Question => "확인 필요",
            Self::Fault => "부적정",
        }
    }
}

impl FromStr for PickVerdict {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|v| v.as_str() == s).ok_or_else(|| format!("unknown verdict {s:?}"))
    }
}

/// A month's review.
#[derive(Debug, Clone, Serialize)]
pub struct MonthlyReview {
    pub month: String,
    /// Root of the checkpoint whose number follows.
    pub seed: String,
    pub checkpoint: i64,
    /// Calls of the month.
    pub calls: i64,
    /// JSON.
    pub strata: String,
    pub drawn_by: String,
    pub drawn_at: i64,
    pub signed_by: Option<String>,
    pub signed_at: Option<i64>,
    pub summary: String,
    pub picks: i64,
    pub looked_at: i64,
}

/// A call of a sample.
#[derive(Debug, Clone, Serialize)]
pub struct ReviewPick {
    pub call: ExternalCallId,
    /// Korean: why it was drawn.
    pub why: String,
    pub verdict: Option<PickVerdict>,
    pub note: String,
    pub reviewer: Option<String>,
    pub reviewed_at: Option<i64>,
    pub created_at: i64,
    pub person_name: String,
    pub department_name: String,
    pub app_title: String,
    pub provider_name: String,
    pub grade: Grade,
    pub state: String,
    /// The reader may look at it: they neither asked for it nor decided on it.
    pub may_review: bool,
}

/// A sample about to be kept.
pub struct NewSample<'a> {
    pub month: &'a str,
    pub seed: &'a str,
    pub checkpoint: i64,
    pub calls: usize,
    pub strata: &'a str,
    pub picks: &'a [(ExternalCallId, String)],
    /// Hashes of the anomalies whose calls are looked at in any case, and the policy by which they were found.
    pub always: &'a [String],
    pub policy: Option<i64>,
}

impl NewSample<'_> {
    /// SHA-256 over the hashes of those anomalies, in their order, each ended by a newline.
    fn always_digest(&self) -> String {
        let lines = self.always.iter().fold(Sha256::new(), |hash, key| hash.chain_update(format!("{key}\n")));
        hex::encode(lines.finalize())
    }
}

/// Who looked at an anomaly.
#[derive(Debug, Clone)]
pub struct AnomalySeen {
    pub by: String,
    pub at: i64,
    pub note: String,
}

macro_rules! months {
    ($rest:literal) => {
        concat!(
            "SELECT m.month, m.seed, m.checkpoint, m.calls, m.strata, p.name AS drawn_by, m.drawn_at, s.name AS signed_by, m.signed_at, \
             m.summary, (SELECT COUNT(*) FROM review_picks k WHERE k.month = m.month) AS picks, \
             (SELECT COUNT(*) FROM review_picks k WHERE k.month = m.month AND k.verdict IS NOT NULL) AS looked_at \
             FROM monthly_reviews m JOIN people p ON p.id = m.drawn_by LEFT JOIN people s ON s.id = m.signed_by ",
            $rest
        )
    };
}

/// Person `$1` neither asked for call `c` nor decided on it.
macro_rules! unconcerned {
    () => {
        "c.person_id <> $1 AND (c.approver IS NULL OR c.approver <> $1) AND NOT EXISTS \
         (SELECT 1 FROM call_approvals ca WHERE ca.call_id = c.id AND ca.person_id = $1 AND ca.decided_at IS NOT NULL)"
    };
}

impl Store {
    /// Number and root of the checkpoint that seeds a month's sample: the last one signed before the month's end, or the
    /// first one after it where there is none.
    pub async fn checkpoint_for_seed(&self, scope: &Scope, month_ends: i64) -> Result<Option<(i64, String)>> {
        require_security(scope)?;
        let before = "SELECT number, root FROM ledger_checkpoints WHERE created_at < $1 ORDER BY number DESC LIMIT 1";
        let after = "SELECT number, root FROM ledger_checkpoints WHERE created_at >= $1 ORDER BY number LIMIT 1";
        for sql in [before, after] {
            if let Some(row) = sqlx::query(sql).bind(month_ends).fetch_optional(&self.pool).await? {
                return Ok(Some((row.int("number")?, row.text("root")?)));
            }
        }
        Ok(None)
    }

    /// Reviews of all months, the newest first.
    pub async fn monthly_reviews(&self, scope: &Scope) -> Result<Vec<MonthlyReview>> {
        require_security(scope)?;
        let rows = sqlx::query(months!("ORDER BY m.month DESC LIMIT 120")).fetch_all(&self.pool).await?;
        rows.iter().map(review).collect()
    }

    /// One month's review; `None` before its sample was drawn.
    pub async fn monthly_review(&self, scope: &Scope, month: &str) -> Result<Option<MonthlyReview>> {
        require_security(scope)?;
        let row = sqlx::query(months!("WHERE m.month = $1")).bind(month.to_owned()).fetch_optional(&self.pool).await?;
        row.as_ref().map(review).transpose()
    }

    /// The calls of a month's sample.
    pub async fn review_picks(&self, scope: &Scope, month: &str) -> Result<Vec<ReviewPick>> {
        require_security(scope)?;
        let rows = sqlx::query(concat!(
            "SELECT k.call_id, k.why, k.verdict, k.note, r.name AS reviewer, k.reviewed_at, c.created_at, p.name AS person_name, \
             d.name AS department_name, v.title AS app_title, o.name AS provider_name, c.grade, c.state, CASE WHEN ",
            unconcerned!(),
            " THEN 1 ELSE 0 END AS may_review FROM review_picks k JOIN external_calls c ON c.id = k.call_id \
             JOIN people p ON p.id = c.person_id LEFT JOIN departments d ON d.id = c.department_id \
             JOIN app_versions v ON v.id = c.version_id JOIN providers o ON o.id = c.provider_id \
             LEFT JOIN people r ON r.id = k.reviewer WHERE k.month = $2 ORDER BY c.created_at, c.id"
        ))
        .bind(scope.person().to_string())
        .bind(month.to_owned())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(pick).collect()
    }

    /// Keeps a month's sample, once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it was drawn before.
    pub async fn keep_sample(&self, scope: &Scope, new: NewSample<'_>) -> Result<()> {
        require_security(scope)?;
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "INSERT INTO monthly_reviews (month, seed, checkpoint, calls, strata, drawn_by, drawn_at, summary) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, '') ON CONFLICT (month) DO NOTHING",
        )
        .bind(new.month.to_owned())
        .bind(new.seed.to_owned())
        .bind(new.checkpoint)
        .bind(i64::try_from(new.calls).unwrap_or(i64::MAX))
        .bind(new.strata.to_owned())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::conflict("이 달의 표본은 이미 뽑았습니다. 다시 뽑을 수 없습니다."));
        }
        for (call, why) in new.picks {
            sqlx::query("INSERT INTO review_picks (month, call_id, why, note) VALUES ($1, $2, $3, '')")
                .bind(new.month.to_owned())
                .bind(call.to_string())
                .bind(why.clone())
                .execute(&mut *tx.tx)
                .await?;
        }
        let detail = json!({
            "month": new.month, "seed": new.seed, "checkpoint": new.checkpoint, "calls": new.calls, "picks": new.picks.len(),
            "always": new.always.iter().take(RECORDED).collect::<Vec<_>>(), "always_in_all": new.always.len(),
            "always_digest": new.always_digest(), "policy_revision": new.policy,
        });
        tx.append(Event::new("monthly_sample_drawn", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// What a reviewer found in a pick. It may be said anew until the month is signed off.
    ///
    /// # Errors
    /// [`StoreError::Denied`] for whoever asked for the call or decided on it, [`StoreError::Conflict`] after the sign-off.
    pub async fn review_pick(
        &self,
        scope: &Scope,
        month: &str,
        call: ExternalCallId,
        verdict: PickVerdict,
        note: &str,
    ) -> Result<()> {
        require_security(scope)?;
        let mut tx = self.write().await?;
        tx.require_open(month).await?;
        let row = sqlx::query(concat!(
            "SELECT CASE WHEN ",
            unconcerned!(),
            " THEN 1 ELSE 0 END AS free FROM review_picks k JOIN external_calls c ON c.id = k.call_id WHERE k.month = $2 AND k.call_id = $3"
        ))
        .bind(scope.person().to_string())
        .bind(month.to_owned())
        .bind(call.to_string())
        .fetch_one(&mut *tx.tx)
        .await?;
        if !row.flag("free")? {
            return Err(StoreError::denied("자기가 신청했거나 승인·반려한 외부호출은 다른 보안담당이 점검합니다."));
        }
        sqlx::query("UPDATE review_picks SET verdict = $1, note = $2, reviewer = $3, reviewed_at = $4 WHERE month = $5 AND call_id = $6")
            .bind(verdict.as_str())
            .bind(note.to_owned())
            .bind(scope.person().to_string())
            .bind(tx.now)
            .bind(month.to_owned())
            .bind(call.to_string())
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({ "month": month, "call": call, "verdict": verdict, "note": note });
        tx.append(Event::new("monthly_pick_reviewed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Signs a month off, once every pick was looked at.
    pub async fn sign_month(&self, scope: &Scope, month: &str, summary: &str) -> Result<()> {
        require_security(scope)?;
        let mut tx = self.write().await?;
        tx.require_open(month).await?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(CASE WHEN verdict IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) AS unseen, \
             CAST(COALESCE(SUM(CASE WHEN verdict = 'fault' THEN 1 ELSE 0 END), 0) AS BIGINT) AS faults, \
             CAST(COALESCE(SUM(CASE WHEN verdict = 'question' THEN 1 ELSE 0 END), 0) AS BIGINT) AS questions \
             FROM review_picks WHERE month = $1",
        )
        .bind(month.to_owned())
        .fetch_one(&mut *tx.tx)
        .await?;
        let unseen = row.int("unseen")?;
        if unseen > 0 {
            return Err(StoreError::conflict(format!(
                "아직 보지 않은 것이 {unseen}건 있습니다. 모두 본 뒤 마쳐 주세요."
            )));
        }
        sqlx::query("UPDATE monthly_reviews SET signed_by = $1, signed_at = $2, summary = $3 WHERE month = $4")
            .bind(scope.person().to_string())
            .bind(tx.now)
            .bind(summary.to_owned())
            .bind(month.to_owned())
            .execute(&mut *tx.tx)
            .await?;
        let detail = json!({
            "month": month, "picks": row.int("n")?, "faults": row.int("faults")?, "questions": row.int("questions")?, "note": summary,
        });
        tx.append(Event::new("monthly_review_signed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Anomalies that somebody looked at, by their hash.
    pub async fn anomalies_seen(&self, scope: &Scope) -> Result<HashMap<String, AnomalySeen>> {
        require_security(scope)?;
        let rows = sqlx::query(
            "SELECT s.anomaly, s.note, p.name, s.seen_at FROM anomalies_seen s JOIN people p ON p.id = s.person_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let seen = |r: &AnyRow| {
            Ok((r.text("anomaly")?, AnomalySeen { by: r.text("name")?, at: r.int("seen_at")?, note: r.text("note")? }))
        };
        rows.iter().map(seen).collect()
    }

    /// Notes that the reader looked at an anomaly; whoever looks again replaces the note, and both are recorded.
    pub async fn see_anomaly(
        &self,
        scope: &Scope,
        anomaly: &str,
        kind: &str,
        calls: &[ExternalCallId],
        note: &str,
    ) -> Result<()> {
        require_security(scope)?;
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO anomalies_seen (anomaly, kind, note, person_id, seen_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (anomaly) DO UPDATE SET note = excluded.note, person_id = excluded.person_id, seen_at = excluded.seen_at",
        )
        .bind(anomaly.to_owned())
        .bind(kind.to_owned())
        .bind(note.to_owned())
        .bind(scope.person().to_string())
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "anomaly": anomaly, "kind": kind, "calls": calls, "note": note });
        tx.append(Event::new("anomaly_looked_at", Some(scope.person()), detail)).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// The month was drawn and is not signed off.
    async fn require_open(&mut self, month: &str) -> Result<()> {
        let row = sqlx::query("SELECT signed_at FROM monthly_reviews WHERE month = $1")
            .bind(month.to_owned())
            .fetch_one(&mut *self.tx)
            .await?;
        match row.opt_int("signed_at")? {
            None => Ok(()),
            Some(_) => Err(StoreError::conflict("이미 마친 달입니다. 마친 점검은 고칠 수 없습니다.")),
        }
    }
}

fn review(r: &AnyRow) -> Result<MonthlyReview> {
    Ok(MonthlyReview {
        month: r.text("month")?,
        seed: r.text("seed")?,
        checkpoint: r.int("checkpoint")?,
        calls: r.int("calls")?,
        strata: r.text("strata")?,
        drawn_by: r.text("drawn_by")?,
        drawn_at: r.int("drawn_at")?,
        signed_by: r.opt_text("signed_by")?,
        signed_at: r.opt_int("signed_at")?,
        summary: r.text("summary")?,
        picks: r.int("picks")?,
        looked_at: r.int("looked_at")?,
    })
}

fn pick(r: &AnyRow) -> Result<ReviewPick> {
    Ok(ReviewPick {
        call: r.parsed("call_id")?,
        why: r.text("why")?,
        verdict: r.opt_parsed("verdict")?,
        note: r.text("note")?,
        reviewer: r.opt_text("reviewer")?,
        reviewed_at: r.opt_int("reviewed_at")?,
        created_at: r.int("created_at")?,
        person_name: r.text("person_name")?,
        department_name: r.opt_text("department_name")?.unwrap_or_default(),
        app_title: r.text("app_title")?,
        provider_name: r.text("provider_name")?,
        grade: r.parsed("grade")?,
        state: r.text("state")?,
        may_review: r.flag("may_review")?,
    })
}

//! Deletion of texts past their time, with what proves it: the row, its HMAC and its records stay, the texts go. How
//! long texts are kept and what holds them is in `retention`, when the job runs in `server`.

use crate::ledger::Event;
use crate::retention::{TextKind, require_keeper};
use crate::row::{RowExt, to_json};
use crate::{Result, Store, WriteTx};
use madang_domain::Scope;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use uuid::Uuid;

/// Calls or runs of one deletion, so that no transaction is long.
pub const BATCH: i64 = 500;
const DAY_MS: i64 = 86_400_000;
const DOMAIN: &[u8] = b"madang.erasure.v1\n";

/// A deletion and its proof.
#[derive(Debug, Clone, Serialize)]
pub struct Erasure {
    pub id: String,
    pub kind: TextKind,
    pub erased_at: i64,
    pub items: i64,
    /// The first and last of what was deleted were asked for or begun then.
    pub from: i64,
    pub until: i64,
    /// SHA-256 over the ids and HMACs of what was deleted.
    pub digest: String,
    /// Number of its record in the ledger.
    pub seq: i64,
    /// The digest over the rows as they stand is the recorded one.
    pub holds: bool,
}

/// How much of a kind of texts there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retained {
    pub kind: TextKind,
    /// Calls or runs that hold texts.
    pub kept: usize,
    /// Those whose texts were deleted.
    pub gone: usize,
    /// Those whose texts the next deletion takes.
    pub due: usize,
}

/// Condition on `external_calls c`: over, not deleted, older than `$1`, and held by nothing.
macro_rules! due_calls {
    () => {
        "c.erased_at IS NULL AND c.state NOT IN ('waiting', 'approved', 'sending') AND COALESCE(c.ended_at, c.created_at) < $1 \
         AND NOT EXISTS (SELECT 1 FROM legal_holds h WHERE h.lifted_at IS NULL AND ((h.target = 'call' AND h.subject = c.id) \
         OR (h.target = 'run' AND h.subject = c.run_id) OR (h.target = 'app' AND h.subject = c.app_id) \
         OR (h.target = 'person' AND h.subject = c.person_id) \
         OR (h.target = 'period' AND c.created_at >= h.from_at AND c.created_at < h.until_at)))"
    };
}

/// Condition on `runs r`: a hold keeps its texts. A trial is held with the app of its draft.
macro_rules! run_held {
    () => {
        "EXISTS (SELECT 1 FROM legal_holds h WHERE h.lifted_at IS NULL AND ((h.target = 'run' AND h.subject = r.id) \
         OR (h.target = 'call' AND EXISTS (SELECT 1 FROM external_calls hc WHERE hc.id = h.subject AND hc.run_id = r.id)) \
         OR (h.target = 'app' AND (h.subject = r.app_id OR h.subject = r.trial_of \
         OR EXISTS (SELECT 1 FROM drafts hd WHERE hd.id = r.draft_id AND hd.app_id = h.subject))) \
         OR (h.target = 'person' AND h.subject = r.person_id) \
         OR (h.target = 'period' AND r.started_at >= h.from_at AND r.started_at < h.until_at)))"
    };
}
pub(crate) use run_held;

/// Condition on `runs r`: over, not deleted, older than `$1`, held by nothing, and no call of it is under way.
macro_rules! due_runs {
    () => {
        concat!(
            "r.erased_at IS NULL AND r.state <> 'running' AND r.started_at < $1 AND COALESCE(r.ended_at, r.started_at) < $1 \
             AND NOT EXISTS (SELECT 1 FROM external_calls c WHERE c.run_id = r.id AND c.state IN ('waiting', 'approved', 'sending')) \
             AND NOT ",
            run_held!()
        )
    };
}

/// What proves a deletion: a hash over the ids and HMACs of what was deleted, in the order of the ids.
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

/// A deletion about to be recorded.
struct Batch {
    id: String,
    kind: TextKind,
    days: i64,
    from: i64,
    until: i64,
    items: Vec<(String, String)>,
}

impl Batch {
    /// From rows in the order of their times, with the HMAC of each; `None` where nothing is due.
    fn new(kind: TextKind, days: i64, time: &'static str, rows: &[AnyRow]) -> Result<Option<Self>> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
        let (from, until) = (first.int(time)?, last.int(time)?);
        Ok(Some(Self {
            id: Uuid::now_v7().to_string(),
            kind,
            days,
            from,
            until,
            items: Vec::with_capacity(rows.len()),
        }))
    }

    /// The record and the row that names it.
    async fn keep(self, tx: &mut WriteTx) -> Result<usize> {
        let digest = erasure_digest(&self.items);
        let detail = json!({
            "erasure": self.id, "kind": self.kind, "items": self.items.len(), "days": self.days, "digest": digest,
            "from": crate::clock::rfc3339(self.from), "to": crate::clock::rfc3339(self.until),
        });
        let action = match self.kind {
            TextKind::OutsideBodies => "bodies_erased",
            TextKind::Runs => "run_texts_erased",
        };
        let seq = tx.append(Event::new(action, None, detail)).await?;
        sqlx::query("INSERT INTO erasures (id, kind, erased_at, items, from_at, until_at, digest, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(self.id)
            .bind(self.kind.as_str())
            .bind(tx.now)
            .bind(i64::try_from(self.items.len()).unwrap_or(i64::MAX))
            .bind(self.from)
            .bind(self.until)
            .bind(digest)
            .bind(seq)
            .execute(&mut *tx.tx)
            .await?;
        Ok(self.items.len())
    }
}

impl Store {
    /// How much of each kind there is, and how much of it the next deletion takes.
    pub async fn retained(&self, scope: &Scope) -> Result<Vec<Retained>> {
        require_keeper(scope)?;
        let mut out = Vec::new();
        for kind in TextKind::ALL {
            let sql = match kind {
                TextKind::OutsideBodies => concat!(
                    "SELECT (SELECT COUNT(*) FROM external_calls c WHERE c.erased_at IS NULL) AS kept, \
                     (SELECT COUNT(*) FROM external_calls c WHERE c.erased_at IS NOT NULL) AS gone, \
                     (SELECT COUNT(*) FROM external_calls c WHERE ",
                    due_calls!(),
                    ") AS due"
                ),
                TextKind::Runs => concat!(
                    "SELECT (SELECT COUNT(*) FROM runs r WHERE r.erased_at IS NULL) AS kept, \
                     (SELECT COUNT(*) FROM runs r WHERE r.erased_at IS NOT NULL) AS gone, \
                     (SELECT COUNT(*) FROM runs r WHERE ",
                    due_runs!(),
                    ") AS due"
                ),
            };
            let cutoff = cutoff(self.now(), self.retention_days(kind).await?);
            let row = sqlx::query(sql).bind(cutoff).fetch_one(&self.pool).await?;
            out.push(Retained { kind, kept: row.count("kept")?, gone: row.count("gone")?, due: row.count("due")? });
        }
        Ok(out)
    }

    /// Deletes the sealed texts of calls past their time, [`BATCH`] at most, with the record that proves it; how many.
    pub async fn erase_due_texts(&self) -> Result<usize> {
        let days = self.retention_days(TextKind::OutsideBodies).await?;
        let mut tx = self.write_alone().await?;
        let rows = sqlx::query(concat!(
            "SELECT c.id, c.body_hmac, c.created_at FROM external_calls c WHERE ",
            due_calls!(),
            " ORDER BY c.created_at, c.id LIMIT $2"
        ))
        .bind(cutoff(tx.now, days))
        .bind(BATCH)
        .fetch_all(&mut *tx.tx)
        .await?;
        let Some(mut batch) = Batch::new(TextKind::OutsideBodies, days, "created_at", &rows)? else { return Ok(0) };
        for row in &rows {
            let id = row.text("id")?;
            sqlx::query(
                "UPDATE external_calls SET sealed_body = '', sealed_tokens = '', sealed_reply = NULL, local_answer = '', \
                 erased_at = $1, erasure = $2 WHERE id = $3 AND erased_at IS NULL",
            )
            .bind(tx.now)
            .bind(batch.id.clone())
            .bind(id.clone())
            .execute(&mut *tx.tx)
            .await?;
            batch.items.push((id, row.text("body_hmac")?));
        }
        let erased = batch.keep(&mut tx).await?;
        tx.commit().await?;
        Ok(erased)
    }

    /// Deletes the texts of runs and trials past their time, [`BATCH`] at most, with the record that proves it; how
    /// many. Who ran what when, its grade and its counts stay. `hmac` is keyed by whoever holds the master key: a bare
    /// hash of a short text could be guessed.
    pub async fn erase_due_runs(&self, hmac: impl Fn(&[u8]) -> String + Send) -> Result<usize> {
        let days = self.retention_days(TextKind::Runs).await?;
        let mut tx = self.write_alone().await?;
        let rows = sqlx::query(concat!(
            "SELECT r.id, r.started_at, r.inputs, r.answer, r.unfilled, r.error, r.report FROM runs r WHERE ",
            due_runs!(),
            " ORDER BY r.started_at, r.id LIMIT $2"
        ))
        .bind(cutoff(tx.now, days))
        .bind(BATCH)
        .fetch_all(&mut *tx.tx)
        .await?;
        let Some(mut batch) = Batch::new(TextKind::Runs, days, "started_at", &rows)? else { return Ok(0) };
        for row in &rows {
            let id = row.text("id")?;
            let hmac = hmac(run_texts(&mut tx, row).await?.as_bytes());
            sqlx::query(
                "UPDATE runs SET inputs = '[]', answer = '', unfilled = '[]', error = NULL, report = NULL, text_hmac = $1, \
                 erased_at = $2, erasure = $3 WHERE id = $4 AND erased_at IS NULL",
            )
            .bind(hmac.clone())
            .bind(tx.now)
            .bind(batch.id.clone())
            .bind(id.clone())
            .execute(&mut *tx.tx)
            .await?;
            // The rows of its citations stay: how many there were, and of which documents.
            sqlx::query("UPDATE run_citations SET citation = '' WHERE run_id = $1")
                .bind(id.clone())
                .execute(&mut *tx.tx)
                .await?;
            batch.items.push((id, hmac));
        }
        let erased = batch.keep(&mut tx).await?;
        tx.commit().await?;
        Ok(erased)
    }

    /// Deletions, newest first, each compared with its record and with the rows that it left.
    pub async fn erasures(&self, scope: &Scope, limit: i64) -> Result<Vec<Erasure>> {
        require_keeper(scope)?;
        let rows = sqlx::query(
            "SELECT e.id, e.kind, e.erased_at, e.items, e.from_at, e.until_at, e.digest, e.seq, l.payload FROM erasures e \
             LEFT JOIN ledger l ON l.seq = e.seq ORDER BY e.erased_at DESC, e.id DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut out = Vec::with_capacity(rows.len());
        for r in &rows {
            let (id, kind, digest) = (r.text("id")?, r.parsed("kind")?, r.text("digest")?);
            let recorded = r.opt_text("payload")?.unwrap_or_default();
            let recorded: serde_json::Value = serde_json::from_str(&recorded).unwrap_or_default();
            let left = self.erased_items(kind, &id).await?;
            out.push(Erasure {
                holds: recorded["detail"]["digest"] == digest.as_str() && erasure_digest(&left) == digest,
                kind,
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

    /// The calls or runs of a deletion whose texts are gone, with their HMACs, in the order of their ids.
    pub async fn erasure_items(&self, scope: &Scope, erasure: &str) -> Result<Vec<(String, String)>> {
        require_keeper(scope)?;
        let row = sqlx::query("SELECT kind FROM erasures WHERE id = $1")
            .bind(erasure.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        match row {
            Some(row) => self.erased_items(row.parsed("kind")?, erasure).await,
            None => Ok(Vec::new()),
        }
    }

    async fn erased_items(&self, kind: TextKind, erasure: &str) -> Result<Vec<(String, String)>> {
        let sql = match kind {
            TextKind::OutsideBodies => {
                "SELECT id, body_hmac AS hmac FROM external_calls WHERE erasure = $1 AND sealed_body = '' AND sealed_reply IS NULL \
                 ORDER BY id"
            }
            TextKind::Runs => {
                "SELECT r.id, COALESCE(r.text_hmac, '') AS hmac FROM runs r WHERE r.erasure = $1 AND r.inputs = '[]' AND r.answer = '' \
                 AND r.unfilled = '[]' AND r.error IS NULL AND r.report IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM run_citations c WHERE c.run_id = r.id AND c.citation <> '') ORDER BY r.id"
            }
        };
        let rows = sqlx::query(sql).bind(erasure.to_owned()).fetch_all(&self.pool).await?;
        rows.iter().map(|r| Ok((r.text("id")?, r.text("hmac")?))).collect()
    }
}

/// Before when something must have ended to be past its time.
fn cutoff(now: i64, days: i64) -> i64 {
    now.saturating_sub(days.saturating_mul(DAY_MS))
}

/// All texts of a run as one: a JSON array of its inputs, answer, places left empty, error, report and citations, each
/// as it stands in its column.
async fn run_texts(tx: &mut WriteTx, row: &AnyRow) -> Result<String> {
    let citations = sqlx::query("SELECT citation FROM run_citations WHERE run_id = $1 ORDER BY number")
        .bind(row.text("id")?)
        .fetch_all(&mut *tx.tx)
        .await?;
    let citations = citations.iter().map(|c| c.text("citation")).collect::<Result<Vec<_>>>()?;
    let (inputs, answer, unfilled) = (row.text("inputs")?, row.text("answer")?, row.text("unfilled")?);
    Ok(to_json(&(inputs, answer, unfilled, row.opt_text("error")?, row.opt_text("report")?, citations)))
}

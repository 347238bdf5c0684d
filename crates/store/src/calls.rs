//! Outside calls: their rows, who may read them, and the moves from one state to the next, each guarded by the state
//! before it and recorded in the same transaction.
//!
//! ```text
//! waiting ─► approved ─► sending ─► sent | failed (nothing left) | unknown (counts as sent)
//!    ├─► returned   └─► expired
//!    └─► cancelled (also from approved)
//! ```
//!
//! Texts arrive sealed; what may leave is decided in `gateway`.

use crate::auth::require_security;
use crate::ledger::Event;
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{AppId, AppVersionId, DocumentId, ExternalCallId, Grade, ProviderId, Role, RunId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Waiting,
    Returned,
    Approved,
    /// The intent is on disk; the bytes may be on their way.
    Sending,
    Sent,
    /// Nothing left.
    Failed,
    /// It may have left: counts as sent.
    Unknown,
    Cancelled,
    Expired,
}

impl CallState {
    const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Returned,
        Self::Approved,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Unknown,
        Self::Cancelled,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Returned => "returned",
            Self::Approved => "approved",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Korean name, as screens show it.
    pub fn korean(self) -> &'static str {
        match self {
            Self::Waiting => "승인 대기",
            Self::Returned => "반려됨",
            Self::Approved => "승인됨",
            Self::Sending => "보내는 중",
            Self::Sent => "답 받음",
            Self::Failed => "보내지 못함",
            Self::Unknown => "알 수 없음(보낸 것으로 셈)",
            Self::Cancelled => "취소됨",
            Self::Expired => "승인 기한 지남",
        }
    }
}

impl std::str::FromStr for CallState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == s).ok_or_else(|| format!("unknown state {s:?}"))
    }
}

/// A source whose words are in the outgoing text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSource {
    pub document: DocumentId,
    pub title: String,
    pub grade: Grade,
}

/// A call about to be asked for.
pub struct NewCall<'a> {
    pub id: ExternalCallId,
    pub run: RunId,
    pub app: AppId,
    pub version: AppVersionId,
    pub provider: ProviderId,
    pub host: &'a str,
    pub model: &'a str,
    pub purpose: &'a str,
    pub legal_basis: &'a str,
    pub grade: Grade,
    /// Kind → how many; never the values.
    pub findings: &'a BTreeMap<String, usize>,
    pub sources: &'a [CallSource],
    /// What the engine inside answered, in short.
    pub local_answer: &'a str,
    pub body_bytes: usize,
    pub body_hmac: &'a str,
    pub sealed_body: &'a str,
    pub sealed_tokens: &'a str,
}

/// A call, as its asker and security officers see it. Sealed parts open in the gateway alone.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    pub id: ExternalCallId,
    pub run: RunId,
    pub app: AppId,
    pub version: AppVersionId,
    pub app_title: String,
    pub person_name: String,
    pub department_name: String,
    pub provider: ProviderId,
    pub provider_name: String,
    pub host: String,
    pub model: String,
    pub purpose: String,
    pub legal_basis: String,
    pub grade: Grade,
    pub state: CallState,
    pub findings: BTreeMap<String, usize>,
    pub sources: Vec<CallSource>,
    pub local_answer: String,
    pub body_bytes: usize,
    pub body_hmac: String,
    #[serde(skip)]
    pub sealed_body: String,
    #[serde(skip)]
    pub sealed_tokens: String,
    #[serde(skip)]
    pub binding: Option<String>,
    pub expires_at: Option<i64>,
    pub approver_name: Option<String>,
    pub reason: String,
    #[serde(skip)]
    pub sealed_reply: Option<String>,
    pub status: Option<i64>,
    pub provider_request_id: Option<String>,
    pub tokens_in: Option<i64>,
    pub tokens_out: Option<i64>,
    pub error: Option<String>,
    pub created_at: i64,
    pub decided_at: Option<i64>,
    pub sent_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// The reader asked for it.
    pub own: bool,
}

/// How a call ended.
pub struct CallEnd {
    pub state: CallState,
    pub status: Option<i64>,
    pub sealed_reply: Option<String>,
    pub reply_bytes: usize,
    pub reply_hmac: Option<String>,
    pub provider_request_id: Option<String>,
    pub tokens_in: Option<i64>,
    pub tokens_out: Option<i64>,
    /// How often it was tried, and how long all of it took; `None` where it did not come to a reply.
    pub attempts: Option<u32>,
    pub latency_ms: Option<u64>,
    /// Korean, for the asker.
    pub error: Option<String>,
}

/// Everything but the condition; `$1` is the reader.
macro_rules! columns {
    () => {
        "SELECT c.id, c.run_id, c.app_id, c.version_id, v.title AS app_title, p.name AS person_name, d.name AS department_name, \
         c.provider_id, o.name AS provider_name, c.host, c.model, c.purpose, c.legal_basis, c.grade, c.state, c.findings, \
         c.sources, c.local_answer, c.body_bytes, c.body_hmac, c.sealed_body, c.sealed_tokens, c.binding, c.expires_at, \
         a.name AS approver_name, c.reason, c.sealed_reply, c.status, c.provider_request_id, c.tokens_in, c.tokens_out, \
         c.error, c.created_at, c.decided_at, c.sent_at, c.ended_at, CASE WHEN c.person_id = $1 THEN 1 ELSE 0 END AS own \
         FROM external_calls c JOIN app_versions v ON v.id = c.version_id JOIN people p ON p.id = c.person_id \
         LEFT JOIN departments d ON d.id = c.department_id JOIN providers o ON o.id = c.provider_id \
         LEFT JOIN people a ON a.id = c.approver "
    };
}

impl Store {
    /// Keeps a call that waits for a decision. The run must be the reader's own and have no other call under way.
    pub async fn insert_call(&self, scope: &Scope, new: NewCall<'_>) -> Result<()> {
        let department = scope.home_department().ok_or_else(|| {
            StoreError::denied("맡은 직위가 없어 외부호출을 신청할 수 없습니다. 운영자에게 알려 주세요.")
        })?;
        let mut tx = self.write().await?;
        tx.require_no_live_call(scope, new.run).await?;
        sqlx::query(
            "INSERT INTO external_calls (id, run_id, app_id, version_id, person_id, department_id, provider_id, host, model, purpose, \
             legal_basis, grade, state, findings, sources, local_answer, body_bytes, body_hmac, sealed_body, sealed_tokens, reason, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'waiting', $13, $14, $15, $16, $17, $18, $19, '', $20)",
        )
        .bind(new.id.to_string())
        .bind(new.run.to_string())
        .bind(new.app.to_string())
        .bind(new.version.to_string())
        .bind(scope.person().to_string())
        .bind(department.to_string())
        .bind(new.provider.to_string())
        .bind(new.host)
        .bind(new.model)
        .bind(new.purpose)
        .bind(new.legal_basis)
        .bind(new.grade.letter())
        .bind(to_json(new.findings))
        .bind(to_json(&new.sources))
        .bind(new.local_answer)
        .bind(i64::try_from(new.body_bytes).unwrap_or(i64::MAX))
        .bind(new.body_hmac)
        .bind(new.sealed_body)
        .bind(new.sealed_tokens)
        .bind(tx.now)
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({
            "call": new.id, "run": new.run, "app": new.app, "version": new.version, "provider": new.provider, "host": new.host,
            "model": new.model, "purpose": new.purpose, "legal_basis": new.legal_basis, "grade": new.grade,
            "findings": new.findings, "sources": new.sources.len(), "bytes": new.body_bytes, "body_hmac": new.body_hmac,
        });
        tx.append(Event::new("outside_call_requested", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// One call: the reader's own, or any for a security officer.
    pub async fn call(&self, scope: &Scope, id: ExternalCallId) -> Result<Call> {
        let officer = scope.has_role(Role::Security) && scope.token().is_none();
        let row = sqlx::query(concat!(columns!(), "WHERE c.id = $2 AND (c.person_id = $1 OR CAST($3 AS BIGINT) = 1)"))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .bind(i64::from(officer))
            .fetch_one(&self.pool)
            .await?;
        call(&row)
    }

    /// The reader's own calls, newest first.
    pub async fn own_calls(&self, scope: &Scope, limit: i64) -> Result<Vec<Call>> {
        let rows =
            sqlx::query(concat!(columns!(), "WHERE c.person_id = $1 ORDER BY c.created_at DESC, c.id DESC LIMIT $2"))
                .bind(scope.person().to_string())
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(call).collect()
    }

    /// Calls that wait for a security officer, oldest first.
    pub async fn waiting_calls(&self, scope: &Scope) -> Result<Vec<Call>> {
        require_security(scope)?;
        let rows = sqlx::query(concat!(columns!(), "WHERE c.state = 'waiting' ORDER BY c.created_at, c.id LIMIT 200"))
            .bind(scope.person().to_string())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(call).collect()
    }

    /// Calls decided by any security officer, newest first.
    pub async fn decided_calls(&self, scope: &Scope, limit: i64) -> Result<Vec<Call>> {
        require_security(scope)?;
        let rows =
            sqlx::query(concat!(columns!(), "WHERE c.decided_at IS NOT NULL ORDER BY c.decided_at DESC LIMIT $2"))
                .bind(scope.person().to_string())
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(call).collect()
    }

    /// The last call asked for from a run of the reader's own.
    pub async fn last_call_of_run(&self, scope: &Scope, run: RunId) -> Result<Option<Call>> {
        let row = sqlx::query(concat!(
            columns!(),
            "WHERE c.person_id = $1 AND c.run_id = $2 ORDER BY c.created_at DESC, c.id DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(run.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(call).transpose()
    }

    /// Sequence numbers of the records that speak of a call, for a security officer.
    pub async fn call_records(&self, scope: &Scope, id: ExternalCallId) -> Result<Vec<u64>> {
        require_security(scope)?;
        let rows = sqlx::query("SELECT seq FROM ledger WHERE payload LIKE $1 ORDER BY seq LIMIT 50")
            .bind(format!("%\"call\":\"{id}\"%"))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|r| u64::try_from(r.int("seq")?).map_err(|_| StoreError::Corrupt("seq"))).collect()
    }

    /// A security officer other than the asker approves these bytes until `expires_at`.
    pub async fn approve_call(
        &self,
        scope: &Scope,
        id: ExternalCallId,
        binding: &str,
        expires_at: i64,
        reason: &str,
    ) -> Result<()> {
        let detail = json!({ "call": id, "decision": "approved", "expires_at": crate::clock::rfc3339(expires_at), "reason": reason });
        let mut tx = self.write().await?;
        tx.require_other_officer(scope, id).await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'approved', approver = $1, binding = $2, expires_at = $3, reason = $4, decided_at = $5 \
             WHERE id = $6 AND state = 'waiting' AND person_id <> $1",
        )
        .bind(scope.person().to_string())
        .bind(binding)
        .bind(expires_at)
        .bind(reason)
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        tx.append(Event::new("outside_call_approved", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// A security officer other than the asker returns a call with a reason.
    pub async fn return_call(&self, scope: &Scope, id: ExternalCallId, reason: &str) -> Result<()> {
        let mut tx = self.write().await?;
        tx.require_other_officer(scope, id).await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'returned', approver = $1, reason = $2, decided_at = $3, ended_at = $3 \
             WHERE id = $4 AND state = 'waiting' AND person_id <> $1",
        )
        .bind(scope.person().to_string())
        .bind(reason)
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({ "call": id, "decision": "returned", "reason": reason });
        tx.append(Event::new("outside_call_returned", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// The asker takes back a call that has not been sent.
    pub async fn cancel_call(&self, scope: &Scope, id: ExternalCallId) -> Result<()> {
        if !self.call(scope, id).await?.own {
            return Err(StoreError::denied("신청한 사람만 취소할 수 있습니다."));
        }
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'cancelled', ended_at = $1 WHERE id = $2 AND person_id = $3 AND state IN ('waiting', 'approved')",
        )
        .bind(tx.now)
        .bind(id.to_string())
        .bind(scope.person().to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        tx.append(Event::new("outside_call_cancelled", Some(scope.person()), json!({ "call": id }))).await?;
        tx.commit().await
    }

    /// Commits the intent to send: afterwards, and only afterwards, the connection may be opened. Refused unless the
    /// call is the reader's own, approved, within its time, and its provider switched on at this very moment.
    pub async fn begin_sending(&self, scope: &Scope, call: &Call, destination: &str) -> Result<()> {
        let mut tx = self.write().await?;
        tx.require_outside_open().await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'sending', sent_at = $1 WHERE id = $2 AND person_id = $3 AND state = 'approved' \
             AND expires_at > $1 AND EXISTS (SELECT 1 FROM providers p WHERE p.id = external_calls.provider_id AND p.enabled = 1 \
             AND p.deleted_at IS NULL)",
        )
        .bind(tx.now)
        .bind(call.id.to_string())
        .bind(scope.person().to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({
            "call": call.id, "run": call.run, "app": call.app, "version": call.version, "provider": call.provider,
            "destination": destination, "host": call.host, "model": call.model, "purpose": call.purpose, "grade": call.grade,
            "findings": call.findings, "bytes": call.body_bytes, "body_hmac": call.body_hmac, "approver": call.approver_name,
        });
        tx.append(Event::new("outside_call_intent", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Keeps how a call that was being sent ended, with its record.
    pub async fn finish_call(&self, scope: &Scope, id: ExternalCallId, end: &CallEnd) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = $1, status = $2, sealed_reply = $3, provider_request_id = $4, tokens_in = $5, \
             tokens_out = $6, error = $7, ended_at = $8 WHERE id = $9 AND state = 'sending'",
        )
        .bind(end.state.as_str())
        .bind(end.status)
        .bind(end.sealed_reply.clone())
        .bind(end.provider_request_id.clone())
        .bind(end.tokens_in)
        .bind(end.tokens_out)
        .bind(end.error.clone())
        .bind(tx.now)
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({
            "call": id, "outcome": end.state, "status": end.status, "reply_bytes": end.reply_bytes, "reply_hmac": end.reply_hmac,
            "provider_request_id": end.provider_request_id, "tokens_in": end.tokens_in, "tokens_out": end.tokens_out,
            "attempts": end.attempts, "latency_ms": end.latency_ms, "error": end.error,
        });
        tx.append(Event::new("outside_call_outcome", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// At start: what a killed server was sending may have left, and counts as sent; approvals past their time end.
    /// Returns how many were being sent.
    pub async fn settle_interrupted_calls(&self) -> Result<usize> {
        let mut tx = self.write().await?;
        let now = tx.now;
        let cut = tx
            .settle("state = 'sending'", CallState::Unknown, "보내는 사이에 서버가 멈췄습니다. 보낸 것으로 봅니다.")
            .await?;
        for id in &cut {
            let detail = json!({ "call": id, "outcome": CallState::Unknown });
            tx.append(Event::new("outside_call_outcome", None, detail)).await?;
        }
        let past = format!("state = 'approved' AND expires_at <= {now}");
        for id in tx.settle(&past, CallState::Expired, "승인 기한이 지났습니다.").await? {
            tx.append(Event::new("outside_call_expired", None, json!({ "call": id }))).await?;
        }
        tx.commit().await?;
        Ok(cut.len())
    }
}

impl WriteTx {
    /// Moves every call that meets the condition (of constants and numbers) to `state`.
    async fn settle(&mut self, condition: &str, state: CallState, error: &str) -> Result<Vec<ExternalCallId>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT id FROM external_calls WHERE {condition}")))
            .fetch_all(&mut *self.tx)
            .await?;
        let ids = rows.iter().map(|r| r.parsed("id")).collect::<Result<Vec<ExternalCallId>>>()?;
        for id in &ids {
            sqlx::query("UPDATE external_calls SET state = $1, error = $2, ended_at = $3 WHERE id = $4")
                .bind(state.as_str())
                .bind(error)
                .bind(self.now)
                .bind(id.to_string())
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(ids)
    }

    async fn require_no_live_call(&mut self, scope: &Scope, run: RunId) -> Result<()> {
        let own = sqlx::query("SELECT id FROM runs WHERE id = $1 AND person_id = $2")
            .bind(run.to_string())
            .bind(scope.person().to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        if own.is_none() {
            return Err(StoreError::NotFound);
        }
        let live = sqlx::query(
            "SELECT id FROM external_calls WHERE run_id = $1 AND state IN ('waiting', 'approved', 'sending') LIMIT 1",
        )
        .bind(run.to_string())
        .fetch_optional(&mut *self.tx)
        .await?;
        match live {
            None => Ok(()),
            Some(_) => Err(StoreError::conflict("이 실행에서 신청한 외부호출이 아직 끝나지 않았습니다.")),
        }
    }

    /// Four eyes: nobody decides on what they asked for.
    async fn require_other_officer(&mut self, scope: &Scope, id: ExternalCallId) -> Result<()> {
        require_security(scope)?;
        let row = sqlx::query("SELECT person_id FROM external_calls WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *self.tx)
            .await?;
        if row.text("person_id")? == scope.person().to_string() {
            return Err(StoreError::denied(
                "자기가 신청한 외부호출은 스스로 정할 수 없습니다. 다른 보안담당이 정합니다.",
            ));
        }
        Ok(())
    }
}

/// The guarded update found the call in another state.
fn moved(rows: u64) -> Result<()> {
    match rows {
        0 => Err(StoreError::conflict("그 사이에 처리 상태가 바뀌었습니다. 화면을 새로 고쳐 확인해 주세요.")),
        _ => Ok(()),
    }
}

fn call(row: &AnyRow) -> Result<Call> {
    Ok(Call {
        id: row.parsed("id")?,
        run: row.parsed("run_id")?,
        app: row.parsed("app_id")?,
        version: row.parsed("version_id")?,
        app_title: row.text("app_title")?,
        person_name: row.text("person_name")?,
        department_name: row.opt_text("department_name")?.unwrap_or_default(),
        provider: row.parsed("provider_id")?,
        provider_name: row.text("provider_name")?,
        host: row.text("host")?,
        model: row.text("model")?,
        purpose: row.text("purpose")?,
        legal_basis: row.text("legal_basis")?,
        grade: row.parsed("grade")?,
        state: row.parsed("state")?,
        findings: row.json("findings")?,
        sources: row.json("sources")?,
        local_answer: row.text("local_answer")?,
        body_bytes: row.count("body_bytes")?,
        body_hmac: row.text("body_hmac")?,
        sealed_body: row.text("sealed_body")?,
        sealed_tokens: row.text("sealed_tokens")?,
        binding: row.opt_text("binding")?,
        expires_at: row.opt_int("expires_at")?,
        approver_name: row.opt_text("approver_name")?,
        reason: row.text("reason")?,
        sealed_reply: row.opt_text("sealed_reply")?,
        status: row.opt_int("status")?,
        provider_request_id: row.opt_text("provider_request_id")?,
        tokens_in: row.opt_int("tokens_in")?,
        tokens_out: row.opt_int("tokens_out")?,
        error: row.opt_text("error")?,
        created_at: row.int("created_at")?,
        decided_at: row.opt_int("decided_at")?,
        sent_at: row.opt_int("sent_at")?,
        ended_at: row.opt_int("ended_at")?,
        own: row.flag("own")?,
    })
}

//! Outside calls: their rows and who may read them. How they move from one state to the next is in `call_moves`, who
//! decides on them in `call_approvals`. Texts arrive sealed; what may leave is decided in `gateway`.

use crate::auth::require_security;
use crate::rights::placeholders;
use crate::row::RowExt;
use crate::{Result, Store, StoreError};
use madang_domain::{
    AppId, AppVersionId, DepartmentId, DocumentId, ExternalCallId, Grade, PersonId, ProviderId, Role, RunId, Scope,
};
use madang_policy::money::MicroWon;
use madang_policy::{Decision, Facts};
use serde::{Deserialize, Serialize};
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
    /// The policy refused it, or something in it may not leave: nobody could approve it.
    Denied,
    /// Nobody decided within the deadline.
    Lapsed,
}

impl CallState {
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Returned,
        Self::Approved,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Unknown,
        Self::Cancelled,
        Self::Expired,
        Self::Denied,
        Self::Lapsed,
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
            Self::Denied => "denied",
            Self::Lapsed => "lapsed",
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
            Self::Denied => "거부됨",
            Self::Lapsed => "결정 없이 기한 지남",
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

/// A call, as its asker and security officers see it. Sealed parts open in the gateway alone.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    pub id: ExternalCallId,
    pub run: RunId,
    pub app: AppId,
    pub version: AppVersionId,
    pub app_title: String,
    pub person: PersonId,
    pub person_name: String,
    pub department: DepartmentId,
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
    /// What the policy said when it was asked for; `None` for a call older than policies.
    pub ruled: Option<Ruled>,
    /// Last moment for a decision.
    pub deadline_at: Option<i64>,
    /// Personal data was masked in it.
    pub masked: bool,
    /// What an officer has to read.
    pub characters: usize,
    /// The engine inside had found an answer.
    pub answered_inside: bool,
    /// The most tokens, in and out, and the most it may cost.
    pub tokens_most: u64,
    pub won_most: Option<MicroWon>,
    pub won_spent: Option<MicroWon>,
    pub latency_ms: Option<i64>,
    /// The sent call whose reply answers this one: nothing left.
    pub reply_from: Option<ExternalCallId>,
    /// Its texts were deleted at the end of their retention.
    pub erased_at: Option<i64>,
    /// The reader asked for it.
    pub own: bool,
}

/// What a policy said to a call.
#[derive(Debug, Clone, Serialize)]
pub struct Ruled {
    pub policy_revision: u32,
    pub policy_hash: String,
    #[serde(serialize_with = "told")]
    pub decision: Decision,
    /// What was known of it.
    #[serde(skip)]
    pub facts: Facts,
}

/// Rules that had no part in it are for those who read the policy.
fn told<S: serde::Serializer>(decision: &Decision, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    decision.clone().told().serialize(serializer)
}

/// Everything but the condition; `$1` is the reader. `bare`: without sealed texts, which lists do not need.
macro_rules! columns {
    () => {
        columns!("c.sealed_body, c.sealed_tokens, c.sealed_reply")
    };
    (bare) => {
        columns!("'' AS sealed_body, '' AS sealed_tokens, CAST(NULL AS TEXT) AS sealed_reply")
    };
    ($sealed:literal) => {
        concat!("SELECT  c.id, c.run_id, c.app_id, c.version_id, v.title AS app_title, p.name AS person_name, d.name AS department_name, \
         c.person_id, c.department_id, c.provider_id, o.name AS provider_name, c.host, c.model, c.purpose, c.legal_basis, c.grade, c.state, c.findings, \
         c.sources, c.local_answer, c.body_bytes, c.body_hmac, ", $sealed, ", c.binding, c.expires_at, \
         a.name AS approver_name, c.reason, c.status, c.provider_request_id, c.tokens_in, c.tokens_out, \
         c.error, c.created_at, c.decided_at, c.sent_at, c.ended_at, c.policy_revision, c.policy_hash, c.decision, c.facts, \
         c.deadline_at, c.masked, c.characters, c.answered_inside, c.tokens_most, c.won_most, c.won_spent, c.latency_ms, c.reply_from, \
         c.erased_at, CASE WHEN c.person_id = $1 THEN 1 ELSE 0 END AS own \
         FROM external_calls c JOIN app_versions v ON v.id = c.version_id JOIN people p ON p.id = c.person_id \
         LEFT JOIN departments d ON d.id = c.department_id JOIN providers o ON o.id = c.provider_id \
         LEFT JOIN people a ON a.id = c.approver ")
    };
}

impl Store {
    /// One call: the reader's own, any for a security officer, and one that the reader decides or decided on.
    pub async fn call(&self, scope: &Scope, id: ExternalCallId) -> Result<Call> {
        let row = sqlx::query(concat!(columns!(), "WHERE c.id = $2"))
            .bind(scope.person().to_string())
            .bind(id.to_string())
            .fetch_one(&self.pool)
            .await?;
        let call = call(&row)?;
        let officer = scope.has_role(Role::Security) && scope.token().is_none();
        if call.own || officer || self.decides(scope, &call).await? { Ok(call) } else { Err(StoreError::NotFound) }
    }

    /// The reader's own calls, newest first, without their texts.
    pub async fn own_calls(&self, scope: &Scope, limit: i64) -> Result<Vec<Call>> {
        let rows = sqlx::query(concat!(
            columns!(bare),
            "WHERE c.person_id = $1 ORDER BY c.created_at DESC, c.id DESC LIMIT $2"
        ))
        .bind(scope.person().to_string())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(call).collect()
    }

    /// A call that was answered with the very same outgoing bytes, at the same provider and model and for the same
    /// department, since `since`: its reply answers this one too.
    pub async fn answered_before(&self, scope: &Scope, like: &Call, since: i64) -> Result<Option<Call>> {
        let row = sqlx::query(concat!(
            columns!(),
            "WHERE c.body_hmac = $2 AND c.provider_id = $3 AND c.model = $4 AND c.department_id = $5 AND c.state = 'sent' \
             AND c.sealed_reply IS NOT NULL AND c.reply_from IS NULL AND c.sent_at >= $6 AND c.host = $7 \
             ORDER BY c.sent_at DESC, c.id DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(&like.body_hmac)
        .bind(like.provider.to_string())
        .bind(&like.model)
        .bind(like.department.to_string())
        .bind(since)
        .bind(&like.host)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(call).transpose()
    }

    /// Calls decided by any security officer, newest first, without their texts.
    pub async fn decided_calls(&self, scope: &Scope, limit: i64) -> Result<Vec<Call>> {
        require_security(scope)?;
        let rows =
            sqlx::query(concat!(columns!(bare), "WHERE c.decided_at IS NOT NULL ORDER BY c.decided_at DESC LIMIT $2"))
                .bind(scope.person().to_string())
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(call).collect()
    }

    /// These calls, oldest first, without their texts; whether the reader may see them was asked before.
    pub(crate) async fn calls_without_texts(&self, scope: &Scope, ids: &[ExternalCallId]) -> Result<Vec<Call>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let among = placeholders(2, ids.len());
        let sql = format!(concat!(columns!(bare), "WHERE c.id IN ({}) ORDER BY c.created_at, c.id"), among);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(scope.person().to_string());
        for id in ids {
            query = query.bind(id.to_string());
        }
        query.fetch_all(&self.pool).await?.iter().map(call).collect()
    }

    /// Were these very bytes denied to the reader's run before?
    pub async fn was_denied(&self, scope: &Scope, run: RunId, body_hmac: &str) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM external_calls WHERE person_id = $1 AND run_id = $2 AND body_hmac = $3 AND state = 'denied' LIMIT 1",
        )
        .bind(scope.person().to_string())
        .bind(run.to_string())
        .bind(body_hmac)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// The last call asked for from a run of the reader's own, without its texts.
    pub async fn last_call_of_run(&self, scope: &Scope, run: RunId) -> Result<Option<Call>> {
        let row = sqlx::query(concat!(
            columns!(bare),
            "WHERE c.person_id = $1 AND c.run_id = $2 ORDER BY c.created_at DESC, c.id DESC LIMIT 1"
        ))
        .bind(scope.person().to_string())
        .bind(run.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(call).transpose()
    }
}

fn call(row: &AnyRow) -> Result<Call> {
    Ok(Call {
        id: row.parsed("id")?,
        run: row.parsed("run_id")?,
        app: row.parsed("app_id")?,
        version: row.parsed("version_id")?,
        app_title: row.text("app_title")?,
        person: row.parsed("person_id")?,
        person_name: row.text("person_name")?,
        department: row.parsed("department_id")?,
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
        ruled: ruled(row)?,
        deadline_at: row.opt_int("deadline_at")?,
        masked: row.flag("masked")?,
        characters: row.count("characters")?,
        answered_inside: row.flag("answered_inside")?,
        tokens_most: u64::try_from(row.int("tokens_most")?).map_err(|_| StoreError::Corrupt("tokens_most"))?,
        won_most: row.opt_int("won_most")?.map(MicroWon),
        won_spent: row.opt_int("won_spent")?.map(MicroWon),
        latency_ms: row.opt_int("latency_ms")?,
        reply_from: row.opt_parsed("reply_from")?,
        erased_at: row.opt_int("erased_at")?,
        own: row.flag("own")?,
    })
}

fn ruled(row: &AnyRow) -> Result<Option<Ruled>> {
    let (Some(revision), Some(hash)) = (row.opt_int("policy_revision")?, row.opt_text("policy_hash")?) else {
        return Ok(None);
    };
    let policy_revision = u32::try_from(revision).map_err(|_| StoreError::Corrupt("policy_revision"))?;
    Ok(Some(Ruled { policy_revision, policy_hash: hash, decision: row.json("decision")?, facts: row.json("facts")? }))
}

//! How an outside call moves from one state to the next: each move guarded by the state before it and recorded, with
//! what it does to budgets, in one transaction. Who decides is in `call_approvals`.
//!
//! ```text
//! denied
//! waiting ─► approved ─► sending ─► sent | failed (nothing left) | unknown (counts as sent)
//!    │          ├─► sent (answered before with the same bytes: nothing left)
//!    │          └─► expired
//!    ├─► returned, lapsed
//!    └─► cancelled (also from approved)
//! ```

use crate::askers::standing;
use crate::calls::{Call, CallSource, CallState};
use crate::ledger::Event;
use crate::providers::{Patience, Provider};
use crate::row::{RowExt, to_json};
use crate::{Result, Store, StoreError, WriteTx};
use madang_domain::{AppId, AppVersionId, CollectionId, DepartmentId, ExternalCallId, Grade, RunId, Scope};
use madang_policy::budget::{Request, Subjects};
use madang_policy::evaluate::Looked;
use madang_policy::money::{Amounts, MicroWon};
use madang_policy::{Decision, Facts, Policy};
use serde_json::json;
use std::collections::BTreeMap;

/// No call is under way for longer, milliseconds: the longest that a provider may take, and room to keep the outcome.
const LONGEST_MS: i64 = Patience::MOST_MS as i64 + 300_000;

/// A call about to be kept, with what the policy said to it.
pub struct NewCall<'a> {
    pub id: ExternalCallId,
    pub run: RunId,
    pub app: AppId,
    pub version: AppVersionId,
    /// As its bytes were written for.
    pub provider: &'a Provider,
    pub department: DepartmentId,
    pub host: &'a str,
    pub model: &'a str,
    pub purpose: &'a str,
    pub legal_basis: &'a str,
    pub grade: Grade,
    /// Kind → how many; never the values.
    pub findings: &'a BTreeMap<String, usize>,
    /// What looked for them: the detector's version and the dictionary's revision.
    pub detector: &'a str,
    pub sources: &'a [CallSource],
    /// What the engine inside answered, in short.
    pub local_answer: &'a str,
    pub answered_inside: bool,
    pub body_bytes: usize,
    pub body_hmac: &'a str,
    /// Empty where it was denied: what may not leave is not kept for leaving.
    pub sealed_body: &'a str,
    pub sealed_tokens: &'a str,
    pub policy: (u32, &'a str),
    pub decision: &'a Decision,
    pub facts: &'a Facts,
    pub masked: bool,
    pub characters: usize,
    /// Keyed sketch of what an officer has to read.
    pub sketch: Option<u64>,
    pub tokens_most: u64,
    pub won_most: Option<MicroWon>,
    pub price_version: Option<&'a str>,
    /// Where the policy lets it pass without anybody: the binding of its bytes, and until when it holds.
    pub binding: Option<(&'a str, i64)>,
}

impl NewCall<'_> {
    fn state(&self) -> CallState {
        match (self.decision.denied.is_empty(), self.binding) {
            (false, _) => CallState::Denied,
            (true, Some(_)) => CallState::Approved,
            (true, None) => CallState::Waiting,
        }
    }
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
    /// What it cost; `None` where that is not known, and all that was held counts.
    pub spent: Option<Amounts>,
    /// How often it was tried, and how long all of it took; `None` where it did not come to a reply.
    pub attempts: Option<u32>,
    pub latency_ms: Option<u64>,
    /// Korean, for the asker.
    pub error: Option<String>,
}

/// Whether a call may be sent now, by the policy in force now.
pub struct Sending<'a> {
    pub policy: &'a Policy,
    pub policy_hash: &'a str,
    pub decision: &'a Decision,
    pub subjects: &'a Subjects,
    /// The most that it may take, at today's price.
    pub tokens_most: u64,
    pub won_most: Option<MicroWon>,
    /// The detector and the revision of the body's dictionary that the bytes passed.
    pub detector: &'a str,
    pub dictionary: i64,
    /// Collections that its app reads.
    pub collections: &'a [CollectionId],
}

impl Store {
    /// Keeps a call that waits for a decision, was let pass, or was denied. The run must be the reader's own and have no
    /// other call under way.
    pub async fn insert_call(&self, scope: &Scope, new: NewCall<'_>) -> Result<()> {
        let state = new.state();
        let mut tx = self.write().await?;
        tx.require_own_run(scope, new.run).await?;
        if state != CallState::Denied {
            tx.require_no_live_call(new.run).await?;
            tx.require_same_provider(new.provider).await?;
        }
        tx.insert_call_row(scope, &new, state).await?;
        let action = match state {
            CallState::Denied => "outside_call_denied",
            CallState::Approved => "outside_call_allowed",
            _ => "outside_call_requested",
        };
        let detail = json!({
            "call": new.id, "run": new.run, "app": new.app, "version": new.version, "provider": new.provider.id, "host": new.host,
            "model": new.model, "purpose": new.purpose, "legal_basis": new.legal_basis, "grade": new.grade,
            "regraded_from": new.facts.regraded_from, "findings": new.findings, "detector": new.detector, "sources": new.sources.len(),
            "bytes": new.body_bytes, "body_hmac": new.body_hmac, "policy": { "revision": new.policy.0, "hash": new.policy.1 },
            "verdict": new.decision.verdict, "rules": rules(new.decision), "denied": new.decision.denied,
            "preapprovals": used(new.decision), "expires_at": new.binding.map(|(_, at)| crate::clock::rfc3339(at)),
        });
        tx.append(Event::new(action, Some(scope.person()), detail)).await?;
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

    /// Whoever decides on a call has more masked in it: other bytes, for which no earlier approval counts.
    pub async fn remask_call(
        &self,
        scope: &Scope,
        call: &Call,
        (body_hmac, sealed_body, sealed_tokens): (&str, &str, &str),
        (body_bytes, added): (usize, usize),
    ) -> Result<()> {
        self.require_decider(scope, call).await?;
        let mut tx = self.write().await?;
        tx.require_waiting(call).await?;
        sqlx::query(
            "UPDATE external_calls SET body_hmac = $1, sealed_body = $2, sealed_tokens = $3, body_bytes = $4, masked = 1 WHERE id = $5",
        )
        .bind(body_hmac)
        .bind(sealed_body)
        .bind(sealed_tokens)
        .bind(i64::try_from(body_bytes).unwrap_or(i64::MAX))
        .bind(call.id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        let detail = json!({ "call": call.id, "added": added, "before": call.body_hmac, "body_hmac": body_hmac, "bytes": body_bytes });
        tx.append(Event::new("outside_call_masked", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Records that somebody who decides looked at the words behind the masks, and why.
    pub async fn note_revealed(&self, scope: &Scope, call: &Call, reason: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let detail = json!({ "call": call.id, "reason": reason });
        tx.append(Event::new("outside_call_revealed", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Commits the intent to send with the budget that it holds: afterwards, and only afterwards, the connection may be
    /// opened. Refused unless the call is the reader's own, approved, within its time, its provider switched on, and what
    /// it was judged by still so at this very moment.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the policy, the dictionary or a grade changed since it was judged: judge it again.
    /// [`StoreError::Budget`] where a budget does not allow it; nothing is held then.
    pub async fn begin_sending(
        &self,
        scope: &Scope,
        call: &Call,
        destination: &str,
        sending: &Sending<'_>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        tx.require_outside_open().await?;
        tx.require_as_judged(call, sending).await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'sending', sent_at = $1 WHERE id = $2 AND person_id = $3 AND state = 'approved' \
             AND expires_at > $1 AND body_hmac = $4 AND EXISTS (SELECT 1 FROM providers p WHERE p.id = external_calls.provider_id \
             AND p.enabled = 1 AND p.deleted_at IS NULL)",
        )
        .bind(tx.now)
        .bind(call.id.to_string())
        .bind(scope.person().to_string())
        .bind(&call.body_hmac)
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let (won, tokens) = (sending.won_most, sending.tokens_most);
        let request = Request { call: call.id, subjects: sending.subjects, won, tokens };
        let held = tx.hold_budget(sending.policy, &request).await?;
        let detail = json!({
            "call": call.id, "run": call.run, "app": call.app, "version": call.version, "provider": call.provider,
            "destination": destination, "host": call.host, "model": call.model, "purpose": call.purpose, "grade": call.grade,
            "findings": call.findings, "detector": sending.detector, "bytes": call.body_bytes, "body_hmac": call.body_hmac,
            "approver": call.approver_name,
            "policy": { "revision": sending.policy.revision(), "hash": sending.policy_hash },
            "verdict": sending.decision.verdict, "rules": rules(sending.decision),
            "held": { "won_micro": held.amount.won, "tokens": held.amount.tokens },
        });
        tx.append(Event::new("outside_call_intent", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Records that a call which was approved may not be sent now, and why; it stays approved until its time is over.
    pub async fn note_unsendable(&self, scope: &Scope, call: &Call, by: serde_json::Value) -> Result<()> {
        let mut tx = self.write().await?;
        let detail = json!({ "call": call.id, "at": "sending", "denied": by, "grade": call.grade, "host": call.host, "model": call.model });
        tx.append(Event::new("outside_call_denied", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// Keeps how a call that was being sent ended, what it cost and its record.
    pub async fn finish_call(&self, scope: &Scope, id: ExternalCallId, end: &CallEnd) -> Result<()> {
        let mut tx = self.write().await?;
        let booked = tx.settle_budget(id, end.state != CallState::Failed, end.spent).await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = $1, status = $2, sealed_reply = $3, provider_request_id = $4, tokens_in = $5, \
             tokens_out = $6, error = $7, ended_at = $8, won_spent = $9, latency_ms = $10 WHERE id = $11 AND state = 'sending'",
        )
        .bind(end.state.as_str())
        .bind(end.status)
        .bind(end.sealed_reply.clone())
        .bind(end.provider_request_id.clone())
        .bind(end.tokens_in)
        .bind(end.tokens_out)
        .bind(end.error.clone())
        .bind(tx.now)
        .bind(booked.map(|b| b.won.0))
        .bind(end.latency_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
        .bind(id.to_string())
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({
            "call": id, "outcome": end.state, "status": end.status, "reply_bytes": end.reply_bytes, "reply_hmac": end.reply_hmac,
            "provider_request_id": end.provider_request_id, "tokens_in": end.tokens_in, "tokens_out": end.tokens_out,
            "won_micro": booked.map(|b| b.won), "attempts": end.attempts, "latency_ms": end.latency_ms, "error": end.error,
        });
        tx.append(Event::new("outside_call_outcome", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// An approved call whose very bytes were answered before takes that reply: nothing leaves, nothing is spent.
    pub async fn answer_from(
        &self,
        scope: &Scope,
        call: &Call,
        before: ExternalCallId,
        sealed_reply: &str,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "UPDATE external_calls SET state = 'sent', sealed_reply = $1, reply_from = $2, ended_at = $3, won_spent = 0 \
             WHERE id = $4 AND person_id = $5 AND state = 'approved' AND expires_at > $3 AND body_hmac = $6",
        )
        .bind(sealed_reply)
        .bind(before.to_string())
        .bind(tx.now)
        .bind(call.id.to_string())
        .bind(scope.person().to_string())
        .bind(&call.body_hmac)
        .execute(&mut *tx.tx)
        .await?;
        moved(done.rows_affected())?;
        let detail = json!({ "call": call.id, "reply_from": before, "body_hmac": call.body_hmac });
        tx.append(Event::new("outside_call_answered_inside", Some(scope.person()), detail)).await?;
        tx.commit().await
    }

    /// At start: what a killed server was sending may have left, and counts as sent with all that was held for it.
    /// Returns how many were being sent.
    pub async fn settle_interrupted_calls(&self) -> Result<usize> {
        let mut tx = self.write().await?;
        let cut =
            tx.settle_as_sent("state = 'sending'", "보내는 사이에 서버가 멈췄습니다. 보낸 것으로 봅니다.").await?;
        tx.commit().await?;
        self.end_overdue_calls().await?;
        Ok(cut)
    }

    /// Ends approvals past their time, requests on which nobody decided within the deadline, and calls whose outcome
    /// never came to be kept. Returns how many.
    pub async fn end_overdue_calls(&self) -> Result<usize> {
        let now = self.now();
        let lost = format!("state = 'sending' AND sent_at <= {}", now.saturating_sub(LONGEST_MS));
        let past = format!("state = 'approved' AND expires_at <= {now}");
        let late = format!("state = 'waiting' AND deadline_at <= {now}");
        let due = format!("SELECT id FROM external_calls WHERE ({past}) OR ({late}) OR ({lost}) LIMIT 1");
        if sqlx::query(sqlx::AssertSqlSafe(due)).fetch_optional(&self.pool).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let expired = tx.settle(&past, CallState::Expired, "승인 기한이 지났습니다.").await?;
        for id in &expired {
            tx.append(Event::new("outside_call_expired", None, json!({ "call": id }))).await?;
        }
        let lapsed = tx
            .settle(&late, CallState::Lapsed, "정한 시간 안에 아무도 결정하지 않았습니다. 다시 신청해 주세요.")
            .await?;
        for id in &lapsed {
            tx.append(Event::new("outside_call_lapsed", None, json!({ "call": id }))).await?;
        }
        let lost = tx.settle_as_sent(&lost, "보낸 결과를 적어 두지 못했습니다. 보낸 것으로 봅니다.").await?;
        tx.commit().await?;
        Ok(expired.len() + lapsed.len() + lost)
    }
}

impl WriteTx {
    /// What a call was judged by is still so: the policy, the body's dictionary, the grades of its sources.
    async fn require_as_judged(&mut self, call: &Call, sending: &Sending<'_>) -> Result<()> {
        // On PostgreSQL: whoever changes any of them appends a record too, before this or after it.
        self.lock_ledger().await?;
        let row = sqlx::query(
            "SELECT (SELECT COALESCE(MAX(revision), 0) FROM policies) AS policy, \
             (SELECT COALESCE(MAX(revision), 0) FROM pii_dictionaries) AS dictionary",
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let documents: Vec<_> = call.sources.iter().map(|s| s.document).collect();
        let sources = standing(&mut self.tx, sending.collections, &documents).await?;
        let same = row.int("policy")? == i64::from(sending.policy.revision())
            && row.int("dictionary")? == sending.dictionary
            && sources.grade == Grade::Open
            && !sources.gone;
        if same {
            Ok(())
        } else {
            Err(StoreError::conflict("그 사이에 정책이나 기관 사전, 자료 등급이 바뀌었습니다. 다시 눌러 주세요."))
        }
    }

    async fn insert_call_row(&mut self, scope: &Scope, new: &NewCall<'_>, state: CallState) -> Result<()> {
        let deadline = (state == CallState::Waiting)
            .then(|| new.decision.needs.iter().map(|n| n.deadline_ms(self.now)).min())
            .flatten();
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO external_calls (id, run_id, app_id, version_id, person_id, department_id, provider_id, host, model, purpose, \
             legal_basis, grade, state, findings, sources, local_answer, body_bytes, body_hmac, sealed_body, sealed_tokens, reason, \
             created_at, policy_revision, policy_hash, verdict, decision, needs, facts, masked, deadline_at, regraded_from, characters, \
             sketch, answered_inside, tokens_most, won_most, price_version, binding, expires_at, ended_at, detector) VALUES ($1, $2, $3, $4, $5, \
             $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, '', $21, $22, $23, $24, $25, $26, $27, $28, $29, \
             $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40)",
        )
        .bind(new.id.to_string())
        .bind(new.run.to_string())
        .bind(new.app.to_string())
        .bind(new.version.to_string())
        .bind(scope.person().to_string())
        .bind(new.department.to_string())
        .bind(new.provider.id.to_string())
        .bind(new.host)
        .bind(new.model)
        .bind(new.purpose)
        .bind(new.legal_basis)
        .bind(new.grade.letter())
        .bind(state.as_str())
        .bind(to_json(new.findings))
        .bind(to_json(&new.sources))
        .bind(new.local_answer)
        .bind(number(new.body_bytes))
        .bind(new.body_hmac)
        .bind(new.sealed_body)
        .bind(new.sealed_tokens)
        .bind(self.now)
        .bind(i64::from(new.policy.0))
        .bind(new.policy.1)
        .bind(verdict(new.decision))
        .bind(to_json(new.decision))
        .bind(to_json(&new.decision.needs))
        .bind(to_json(new.facts))
        .bind(i64::from(new.masked))
        .bind(deadline)
        .bind(new.facts.regraded_from.map(|g| g.letter()))
        .bind(number(new.characters))
        .bind(new.sketch.map(|s| format!("{s:016x}")))
        .bind(i64::from(new.answered_inside))
        .bind(i64::try_from(new.tokens_most).unwrap_or(i64::MAX))
        .bind(new.won_most.map(|w| w.0))
        .bind(new.price_version)
        .bind(new.binding.map(|(binding, _)| binding))
        .bind(new.binding.map(|(_, at)| at))
        .bind((state == CallState::Denied).then_some(self.now))
        .bind(new.detector)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Ends calls of which nobody knows any more whether they left: they count as sent, with all that was held for them.
    async fn settle_as_sent(&mut self, condition: &str, error: &str) -> Result<usize> {
        let cut = self.settle(condition, CallState::Unknown, error).await?;
        for id in &cut {
            let booked = self.settle_budget(*id, true, None).await?;
            sqlx::query("UPDATE external_calls SET won_spent = $1 WHERE id = $2")
                .bind(booked.map(|b| b.won.0))
                .bind(id.to_string())
                .execute(&mut *self.tx)
                .await?;
            let detail = json!({ "call": id, "outcome": CallState::Unknown, "won_micro": booked.map(|b| b.won) });
            self.append(Event::new("outside_call_outcome", None, detail)).await?;
        }
        Ok(cut.len())
    }

    /// Moves every call that meets the condition (of constants and numbers) to `state`.
    pub(crate) async fn settle(
        &mut self,
        condition: &str,
        state: CallState,
        error: &str,
    ) -> Result<Vec<ExternalCallId>> {
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

    async fn require_own_run(&mut self, scope: &Scope, run: RunId) -> Result<()> {
        let own = sqlx::query("SELECT id FROM runs WHERE id = $1 AND person_id = $2 AND erased_at IS NULL")
            .bind(run.to_string())
            .bind(scope.person().to_string())
            .fetch_optional(&mut *self.tx)
            .await?;
        own.map(|_| ()).ok_or(StoreError::NotFound)
    }

    async fn require_no_live_call(&mut self, run: RunId) -> Result<()> {
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
}

/// The guarded update found the call in another state.
pub(crate) fn moved(rows: u64) -> Result<()> {
    match rows {
        0 => Err(StoreError::conflict("그 사이에 처리 상태가 바뀌었습니다. 화면을 새로 고쳐 확인해 주세요.")),
        _ => Ok(()),
    }
}

/// Identifiers of the rules that had a part in a decision.
fn rules(decision: &Decision) -> Vec<&str> {
    decision.hit().map(|Looked { rule, .. }| rule.as_str()).collect()
}

/// Records of the pre-approvals that were used.
fn used(decision: &Decision) -> Vec<&str> {
    decision.preapprovals.iter().filter(|p| p.why.is_none()).map(|p| p.record.as_str()).collect()
}

/// Stored name of the outcome.
fn verdict(decision: &Decision) -> String {
    serde_json::to_value(decision.verdict).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

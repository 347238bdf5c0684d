//! Sending an approved call, once: everything is asked again, the budget is held and the intent committed, the bytes
//! leave or do not, and the outcome is committed. Also the reply that came for the same bytes before.

use crate::approval::approval_holds;
use crate::envelope::Refusal;
use crate::flow::{FlowError, Flowed, Gateway, not_recorded, timestamp};
use crate::inspect::Inspector;
use crate::ruling::{Cost, InForce, Now, passes, subjects};
use crate::transport::{Reply, SendError};
use madang_domain::{CollectionId, ExternalCallId, Grade, Scope};
use madang_policy::money::Amounts;
use madang_policy::{Decision, Facts};
use madang_store::StoreError;
use madang_store::call_moves::{CallEnd, Sending};
use madang_store::calls::{Call, CallState};
use madang_store::providers::Provider;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Days for which a reply answers the same bytes again.
const REPLY_DAYS: i64 = 30;
const MS_PER_DAY: i64 = 86_400_000;
/// Pauses between tries to keep an outcome: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(1);
const FOUND_SINCE: &str = "승인된 뒤 기관 사전이나 검사 기준이 바뀌어, 보낼 글에서 새로 걸리는 말이 있습니다. 보내지 않았습니다. 내용을 확인하고 다시 신청해 주세요.";

/// What the policy says to a call when it is sent, and by what.
struct Judged {
    in_force: Arc<InForce>,
    facts: Facts,
    decision: Decision,
    cost: Cost,
    collections: Vec<CollectionId>,
}

impl Gateway {
    /// Sends an approved call of the reader's own, once. Run it to its end even when the asker goes away.
    ///
    /// The intent is committed before the connection is opened; if it cannot be, nothing is sent. Where the very same
    /// bytes were answered before, that reply is taken and nothing leaves.
    ///
    /// # Errors
    /// Before the intent only. Afterwards the outcome, whatever it is, is in the call.
    pub async fn send(&self, scope: &Scope, id: ExternalCallId) -> Flowed<Call> {
        let call = self.store.call(scope, id).await?;
        if !call.own {
            return Err(StoreError::denied("신청한 사람만 보낼 수 있습니다.").into());
        }
        let body = self.unseal_bytes(&call.sealed_body, &format!("{id}/body"))?;
        let sealed = self.store.enabled_provider(scope, call.provider).await?;
        let line = self.line(&sealed)?;
        let inspector = self.inspector().await?;
        self.verify(&call, &sealed.provider, &body, line.endpoint())?;
        // What was clean when it was approved may not be so any more: the dictionary has changed since.
        if !inspector.passes(&String::from_utf8_lossy(&body)) {
            self.store.note_unsendable(scope, &call, json!([{ "by": "detector" }])).await?;
            return Err(FlowError::NotAllowed(FOUND_SINCE.to_owned()));
        }
        let judged = self.judge_again(scope, &call, &sealed.provider, &body).await?;
        if self.answered_before(scope, &call, &inspector).await? {
            return Ok(self.store.call(scope, id).await?);
        }
        let leave = self.leave(&sealed.provider)?;
        self.begin(scope, &call, line.endpoint(), &judged, &inspector).await?;
        let outcome = self.transmit(&line, leave, id, &body).await;
        let mut end = self.end(id, outcome, &inspector);
        end.spent = spent(&judged, &end);
        self.keep_end(scope, id, &end).await?;
        Ok(self.store.call(scope, id).await?)
    }

    /// Keeps the outcome, which happened whatever the database says; tries again where it does not take it. What is
    /// lost all the same counts as sent later on.
    async fn keep_end(&self, scope: &Scope, id: ExternalCallId, end: &CallEnd) -> Flowed<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.finish_call(scope, id, end).await {
                Err(error @ (StoreError::Database(_) | StoreError::Full)) if pause <= LAST_PAUSE => {
                    tracing::warn!(%error, call = %id, "the outcome of an outside call was not kept; tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Everything that was approved is still so, and nothing in the bytes keeps them from leaving.
    fn verify(&self, call: &Call, provider: &Provider, body: &[u8], endpoint: &str) -> Flowed<()> {
        let (Some(binding), Some(expires_at), CallState::Approved) = (&call.binding, call.expires_at, call.state)
        else {
            return Err(FlowError::NotAllowed("승인된 외부호출만 보낼 수 있습니다.".to_owned()));
        };
        let (expiry, now) = (timestamp(expires_at), timestamp(self.store.now()));
        approval_holds(&self.key, binding, body, endpoint, &provider.model, expiry, now)?;
        if call.grade != Grade::Open {
            return Err(Refusal::Grade(call.grade).into());
        }
        Ok(())
    }

    /// The policy in force now lets it pass too, with the approvals that were given, by what its sources, its asker and
    /// its price are now.
    async fn judge_again(&self, scope: &Scope, call: &Call, provider: &Provider, body: &[u8]) -> Flowed<Judged> {
        let refuse = |words: &str| Err(FlowError::NotAllowed(words.to_owned()));
        let in_force = self.in_force().await?;
        let run = self.store.run(scope, call.run).await?;
        let allowed = self.allowed(scope, &run).await?;
        let collections = allowed.sheet.collections();
        let documents: Vec<_> = call.sources.iter().map(|s| s.document).collect();
        let sources = self.store.standing(&collections, &documents).await?;
        if sources.gone {
            self.store.note_unsendable(scope, call, json!([{ "by": "source_gone" }])).await?;
            return refuse("승인된 뒤 출처 문서가 지워져 등급을 확인할 수 없습니다. 취소하고 다시 신청해 주세요.");
        }
        let grade = Grade::highest([allowed.grade, sources.grade]);
        let asker = self.store.asker(scope).await?;
        if asker.department != call.department {
            self.store.note_unsendable(scope, call, json!([{ "by": "department" }])).await?;
            return refuse("신청한 뒤 부서가 바뀌었습니다. 취소하고 지금 부서에서 다시 신청해 주세요.");
        }
        let now = Now { grade, regraded_from: sources.regraded_from, asker: &asker, provider, body };
        let Some((facts, decision, cost)) = self.rule_again(&in_force, call, now) else {
            return refuse("규칙이 생기기 전에 신청한 외부호출입니다. 다시 신청해 주세요.");
        };
        if !decision.denied.is_empty() {
            self.store.note_unsendable(scope, call, json!(decision.denied)).await?;
            let reasons = decision.denied.iter().map(|d| d.reason.clone()).collect();
            return Err(if grade > Grade::Open { Refusal::Grade(grade).into() } else { FlowError::Denied(reasons) });
        }
        if !passes(decision.verdict) {
            let given = self.store.decisions_on(scope, call.id).await?;
            if !call.progress_to(&decision.needs, &given).complete {
                self.store.note_unsendable(scope, call, json!([{ "by": "needs" }])).await?;
                return refuse("그 사이에 정책이 바뀌어 승인이 더 필요합니다. 취소하고 다시 신청해 주세요.");
            }
        }
        Ok(Judged { in_force, facts, decision, cost, collections })
    }

    async fn begin(
        &self,
        scope: &Scope,
        call: &Call,
        endpoint: &str,
        judged: &Judged,
        inspector: &Inspector,
    ) -> Flowed<()> {
        let Some(subjects) = subjects(&judged.facts) else {
            return Err(FlowError::NotAllowed("누구의 예산으로 보낼지 알 수 없습니다. 다시 신청해 주세요.".to_owned()));
        };
        let sending = Sending {
            policy: &judged.in_force.policy,
            policy_hash: &judged.in_force.hash,
            decision: &judged.decision,
            subjects: &subjects,
            tokens_most: judged.cost.tokens_most,
            won_most: judged.cost.won_most,
            detector: &inspector.detector(),
            dictionary: inspector.revision(),
            collections: &judged.collections,
        };
        let begun = self.store.begin_sending(scope, call, endpoint, &sending).await;
        if let Err(StoreError::Budget(refused)) = &begun {
            let by = json!([{ "by": "budget", "reason": refused.to_string() }]);
            self.store.note_unsendable(scope, call, by).await?;
        }
        begun.map_err(not_recorded)
    }

    /// Takes the reply that the same bytes brought before, within the asker's department; false where there is none.
    async fn answered_before(&self, scope: &Scope, call: &Call, inspector: &Inspector) -> Flowed<bool> {
        let since = self.store.now() - REPLY_DAYS * MS_PER_DAY;
        let Some(before) = self.store.answered_before(scope, call, since).await? else { return Ok(false) };
        let Some(sealed) = &before.sealed_reply else { return Ok(false) };
        let reply = inspector.without_blocked(&self.unseal(sealed, &format!("{}/reply", before.id))?);
        let resealed = self.seal(reply.as_bytes(), &format!("{}/reply", call.id))?;
        self.store.answer_from(scope, call, before.id, &resealed).await?;
        Ok(true)
    }

    fn end(&self, id: ExternalCallId, outcome: Result<Reply, SendError>, inspector: &Inspector) -> CallEnd {
        let failed = |state, error: String| CallEnd {
            state,
            status: None,
            sealed_reply: None,
            reply_bytes: 0,
            reply_hmac: None,
            provider_request_id: None,
            tokens_in: None,
            tokens_out: None,
            spent: None,
            attempts: None,
            latency_ms: None,
            error: Some(error),
        };
        match outcome {
            Err(e @ SendError::NothingLeft(_)) => failed(CallState::Failed, e.to_string()),
            Err(e @ SendError::Unknown(_)) => failed(CallState::Unknown, e.to_string()),
            Ok(reply) => self.answered(id, reply, inspector),
        }
    }

    fn answered(&self, id: ExternalCallId, reply: Reply, inspector: &Inspector) -> CallEnd {
        let text = reply.text().map(|text| inspector.without_blocked(&text));
        let sealed = text.as_ref().map(|text| self.seal(text.as_bytes(), &format!("{id}/reply")));
        let error = match (&sealed, reply.status) {
            (Some(Ok(_)), _) if reply.at_limit => {
                Some("답이 출력 한도에 닿아 끝까지 오지 않았습니다. 필요하면 나누어 다시 신청해 주세요.".to_owned())
            }
            (Some(Ok(_)), _) => None,
            (Some(Err(e)), _) => Some(e.to_string()),
            (None, _) if let Some(fault) = reply.fault => Some(format!("보냈으나 {fault}")),
            (None, 200) => Some("보냈으나 돌아온 답을 읽을 수 없습니다.".to_owned()),
            (None, status) => {
                Some(format!("보냈으나 제공자가 받지 않았습니다(상태 {status}). 운영자에게 알려 주세요."))
            }
        };
        let tokens = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        CallEnd {
            state: CallState::Sent,
            status: Some(i64::from(reply.status)),
            sealed_reply: sealed.and_then(Result::ok),
            reply_bytes: reply.body.len(),
            reply_hmac: Some(self.key.hmac(&reply.body)),
            provider_request_id: reply.provider_request_id,
            tokens_in: reply.usage.map(|u| tokens(u.prompt_tokens)),
            tokens_out: reply.usage.map(|u| tokens(u.completion_tokens)),
            spent: None,
            attempts: Some(reply.attempts),
            latency_ms: Some(reply.latency_ms),
            error,
        }
    }
}

/// What a call cost, by the provider's own count; `None`: not known, and all that was held counts. A provider that did
/// not take the request counted nothing.
fn spent(Judged { in_force, facts, .. }: &Judged, end: &CallEnd) -> Option<Amounts> {
    if end.state != CallState::Sent {
        return None;
    }
    let count = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    let (input, output) = match (count(end.tokens_in), count(end.tokens_out)) {
        (Some(input), Some(output)) => (input, output),
        _ if end.status != Some(200) => (0, 0),
        _ => return None,
    };
    let cost = in_force.policy.cost(&facts.provider, &facts.model, facts.at_ms, input, output);
    Some(Amounts { won: cost.map(|c| c.won).unwrap_or_default(), tokens: input.saturating_add(output), calls: 1 })
}

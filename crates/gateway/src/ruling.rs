//! What the policy in force says to an envelope: the facts gathered for it, its decision, what the call can cost. The
//! policy's meaning is `madang-policy`'s; what follows from a decision is in `flow`, `deciding` and `sending`.

use crate::envelope::{Envelope, PromptPart};
use crate::flow::{FlowError, Flowed, Gateway};
use madang_domain::{Grade, Scope};
use madang_policy::anomaly::{Sketch, SketchKey};
use madang_policy::budget::Subjects;
use madang_policy::facts::AppFacts;
use madang_policy::money::{MicroWon, estimate_tokens};
use madang_policy::{Decision, Facts, Policy, Unit, Verdict};
use madang_store::askers::Asker;
use madang_store::calls::Call;
use madang_store::providers::Provider;
use std::sync::{Arc, Mutex, PoisonError};

/// A policy with what records call it.
#[derive(Debug)]
pub struct InForce {
    pub revision: u32,
    pub hash: String,
    pub policy: Policy,
}

/// The last policy that was read, so that an unchanged one is not parsed again.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<Arc<InForce>>>);

/// What the policy says to a call that is asked for.
#[derive(Debug, Clone)]
pub struct Ruling {
    pub in_force: Arc<InForce>,
    pub facts: Facts,
    pub decision: Decision,
    pub cost: Cost,
}

/// The most that a call can cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// In and out together.
    pub tokens_most: u64,
    /// In, as it will probably be.
    pub tokens_likely: u64,
    /// `None`: no price is known.
    pub won_most: Option<MicroWon>,
    pub price_version: Option<String>,
}

/// What a call is asked for with.
pub(crate) struct Asked<'a> {
    pub asker: &'a Asker,
    pub app: AppFacts,
    pub provider: &'a Provider,
    pub host: &'a str,
    /// Without identifiers, as it is kept.
    pub purpose: &'a str,
    pub regraded_from: Option<Grade>,
    pub envelope: &'a Envelope,
}

/// What of a call may have changed since it was asked for.
pub(crate) struct Now<'a> {
    pub grade: Grade,
    pub regraded_from: Option<Grade>,
    pub asker: &'a Asker,
    pub provider: &'a Provider,
    pub body: &'a [u8],
}

impl Gateway {
    /// The policy in force.
    ///
    /// # Errors
    /// Where there is none, or the stored one does not read: then nothing passes.
    pub async fn in_force(&self) -> Flowed<Arc<InForce>> {
        let stored = self.store.policy_in_force().await?;
        let known = self.policy.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|k| k.revision == stored.revision && k.hash == stored.hash) {
            return Ok(known);
        }
        let policy = Policy::parse(&stored.text).map_err(|faults| FlowError::NoPolicy(faults.to_string()))?;
        if policy.hash() != stored.hash {
            return Err(FlowError::NoPolicy("저장된 정책이 기록된 지문과 다릅니다.".to_owned()));
        }
        let found = Arc::new(InForce { revision: stored.revision, hash: stored.hash, policy });
        *self.policy.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
        Ok(found)
    }

    pub(crate) async fn rule(&self, scope: &Scope, asked: &Asked<'_>) -> Flowed<Ruling> {
        let in_force = self.in_force().await?;
        let envelope = asked.envelope;
        let facts = Facts {
            at_ms: self.store.now(),
            person: scope.person(),
            login: asked.asker.login.clone(),
            departments: asked.asker.line.clone(),
            app: Some(asked.app.clone()),
            provider: unit(asked.provider),
            host: asked.host.to_lowercase(),
            model: asked.provider.model.clone(),
            purpose: asked.purpose.to_owned(),
            grade: Some(envelope.header.grade),
            regraded_from: asked.regraded_from,
            found: Some(envelope.findings.iter().map(|(kind, n)| (kind.clone(), *n as u64)).collect()),
            detector_blocked: !envelope.blocked.is_empty(),
            bytes: envelope.body.len() as u64,
        };
        let decision = in_force.policy.decide(&facts);
        let cost = cost(&in_force.policy, &facts, &envelope.body, asked.provider.max_output_tokens);
        Ok(Ruling { in_force, facts, decision, cost })
    }

    /// What the policy in force now says to a call that was asked for before, and what it may cost now.
    pub(crate) fn rule_again(&self, in_force: &InForce, call: &Call, now: Now<'_>) -> Option<(Facts, Decision, Cost)> {
        let mut facts = call.ruled.as_ref()?.facts.clone();
        facts.at_ms = self.store.now();
        facts.login = now.asker.login.clone();
        facts.departments = now.asker.line.clone();
        facts.grade = facts.grade.max(Some(now.grade));
        facts.regraded_from = facts.regraded_from.max(now.regraded_from);
        facts.bytes = now.body.len() as u64;
        let decision = in_force.policy.decide(&facts);
        let cost = cost(&in_force.policy, &facts, now.body, now.provider.max_output_tokens);
        Some((facts, decision, cost))
    }

    /// Keyed sketch of what an officer reads: near copies have near sketches.
    pub(crate) fn sketch(&self, parts: &[PromptPart]) -> Option<u64> {
        let secret = self.key.bind(b"madang.sketch.v1", &[]);
        let key = SketchKey::new(*secret.first_chunk::<16>()?);
        let text: String = parts.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("\n");
        Sketch::of(&key, &text).map(|s| s.0)
    }
}

/// A provider as rules name it.
pub(crate) fn unit(provider: &Provider) -> Unit {
    Unit::new(provider.id.to_string(), &provider.name)
}

/// For whom a call counts.
pub(crate) fn subjects(facts: &Facts) -> Option<Subjects> {
    Some(Subjects {
        person: facts.asker(),
        department: facts.departments.first()?.clone(),
        app: facts.app.as_ref()?.app.clone(),
        provider: facts.provider.clone(),
    })
}

fn cost(policy: &Policy, facts: &Facts, body: &[u8], max_output_tokens: u32) -> Cost {
    let output = u64::from(max_output_tokens);
    let tokens = estimate_tokens(&String::from_utf8_lossy(body));
    let most = policy.cost(&facts.provider, &facts.model, facts.at_ms, tokens.most, output);
    Cost {
        tokens_most: tokens.most.saturating_add(output),
        tokens_likely: tokens.likely,
        won_most: most.as_ref().map(|c| c.won),
        price_version: most.map(|c| c.price_version).filter(|v| !v.is_empty()),
    }
}

/// Nobody is asked where the policy lets it pass.
pub(crate) fn passes(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Allow | Verdict::AllowMasked | Verdict::Preapproved)
}

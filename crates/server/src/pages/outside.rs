//! An outside call: the envelope before it is asked for, and the call itself for its asker and for security officers.

use super::{page, when};
use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::frame::{Page, frame, render};
use crate::markdown;
use crate::record_words::pii_kind;
use crate::views::review::{CallRow, DecidedRow, DecisionRow, EnvelopePage, LedgerHealth};
use crate::views::run::{FindingRow, OutsideAskPage, OutsideReply, OutsideState};
use crate::views::{Choice, Lang};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::routing::MethodRouter;
use madang_domain::{ExternalCallId, Role, RunId, Scope};
use madang_gateway::Shown;
use madang_policy::Decision;
use madang_policy::money::{MicroWon, grouped};
use madang_store::auth::parse_id;
use madang_store::call_approvals::Given;
use madang_store::calls::{Call, CallState};
use madang_store::runs::Run;
use serde::Deserialize;
use serde_json::Value;

pub fn pages() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![page("/runs/{id}/outside", ask), page("/review/outside/{id}", envelope)]
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    provider: String,
}

async fn ask(
    State(app): State<App>,
    reader: Reader,
    uri: Uri,
    Path(id): Path<String>,
    Query(query): Query<Chosen>,
) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let run: RunId = parse_id(&id)?;
    let preview = app.gateway.preview(scope, run, query.provider.parse().ok(), "", "").await?;
    let refusal = preview.envelope.sendable().err();
    let providers = app.store.enabled_providers(scope).await?;
    let raw = preview.body();
    render(OutsideAskPage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        run,
        title: preview.run.title.clone(),
        grade: preview.envelope.header.grade,
        providers: providers
            .into_iter()
            .map(|p| Choice {
                value: p.id.to_string(),
                label: format!("{} · {}", p.name, p.model),
                selected: p.id == preview.provider.id,
            })
            .collect(),
        provider_id: preview.provider.id,
        provider: preview.provider.name.clone(),
        model: preview.provider.model.clone(),
        host: preview.host.clone(),
        outgoing: readable(&raw, l),
        raw,
        bytes: preview.envelope.body.len(),
        findings: preview.shown.iter().map(finding).collect(),
        blocked: refusal.is_some() || !preview.ruling.decision.denied.is_empty(),
        refusal: refusal.map_or_else(|| denied(&preview.ruling.decision, l), |r| l.said(&r.to_string())),
        passes: preview.ruling.decision.needs.is_empty(),
        cost: cost(preview.ruling.cost.tokens_most, preview.ruling.cost.won_most, l),
        explained: explained(&preview.ruling.decision, l),
        sources: preview.sources.iter().map(|s| (s.title.clone(), s.grade)).collect(),
    })
}

/// Why the policy refuses, for the asker; empty where it does not.
fn denied(decision: &Decision, l: Lang) -> String {
    decision.denied.iter().map(|d| l.said(&d.reason)).collect::<Vec<_>>().join(" ")
}

/// What the policy says, sentence by sentence.
fn explained(decision: &Decision, l: Lang) -> Vec<String> {
    decision.explain().iter().map(|sentence| l.said(sentence)).collect()
}

/// The most that a call may cost, in words.
fn cost(tokens: u64, won: Option<MicroWon>, l: Lang) -> String {
    let tokens = l.f("많아야 {}토큰", grouped(tokens));
    won.map_or_else(|| tokens.clone(), |won| format!("{tokens}, {won}"))
}

/// The asker's own words beside what leaves in their place.
fn finding(shown: &Shown) -> FindingRow {
    let words = match &shown.token {
        Some(token) => format!("{} → {token}", shown.words),
        None => shown.words.clone(),
    };
    FindingRow { kind: shown.kind.korean().to_owned(), place: shown.place.clone(), shown: words, block: shown.block }
}

/// The messages of the outgoing JSON, one after the other; the bytes as they are where they do not read.
fn readable(body: &str, l: Lang) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let messages = json.get("messages").and_then(Value::as_array);
    let one = |m: &Value| {
        let role = match m.get("role").and_then(Value::as_str) {
            Some("system") => l.t("지시문"),
            _ => l.t("물음과 자료"),
        };
        Some(format!("── {role} ──\n{}", m.get("content")?.as_str()?.trim_end()))
    };
    // Anthropic's form holds the instructions apart.
    let system = json.get("system").and_then(Value::as_str);
    let system = system.map(|text| format!("── {} ──\n{}", l.t("지시문"), text.trim_end()));
    let parts: Vec<String> = system.into_iter().chain(messages.into_iter().flatten().filter_map(one)).collect();
    if parts.is_empty() { body.to_owned() } else { parts.join("\n\n") }
}

async fn envelope(State(app): State<App>, reader: Reader, uri: Uri, Path(id): Path<String>) -> Page {
    let (scope, l) = (reader.scope(), reader.lang);
    let id: ExternalCallId = parse_id(&id)?;
    let opened = app.gateway.open(scope, id).await?;
    let call = opened.call;
    let officer = scope.has_role(Role::Security) && reader.session().is_some();
    let records = if officer { app.store.call_records(scope, id).await? } else { Vec::new() };
    let approved = call.state == CallState::Approved && call.expires_at.is_some_and(|at| at > app.store.now());
    let decisions = app.store.decisions_on(scope, id).await?;
    let can_decide = app.store.eligibility(scope, &call).await?.may() && !decided(&decisions, scope, &call);
    let progress = call.progress(&decisions);
    render(EnvelopePage {
        frame: frame(&app, &reader, &uri).await?,
        l,
        id,
        app: call.app,
        when: when::date_time(call.created_at),
        outgoing: readable(&opened.body, l),
        raw: opened.body,
        bytes: call.body_bytes,
        findings: findings(&call),
        state: if call.state == CallState::Approved && !approved {
            CallState::Expired.korean()
        } else {
            call.state.korean()
        },
        decided_by: call.approver_name.clone(),
        expires: call.expires_at.map(when::date_time),
        reply: opened.reply.map(|text| markdown::answer(&text, [])),
        records,
        can_decide,
        explained: call.ruled.as_ref().map(|r| explained(&r.decision, l)).unwrap_or_default(),
        policy: call.ruled.as_ref().map(|r| r.policy_revision),
        progress: (call.state == CallState::Waiting && progress.asked > 0).then_some((progress.given, progress.asked)),
        decisions: decisions.iter().filter(|d| d.approved.is_some()).map(|d| decision_row(d, &call)).collect(),
        deadline: call.deadline_at.filter(|_| call.state == CallState::Waiting).map(when::date_time),
        cost: (call.tokens_most > 0).then(|| cost(call.tokens_most, call.won_most, l)),
        spent: call.won_spent.filter(|_| call.sent_at.is_some()).map(|won| won.to_string()),
        from_before: call.reply_from,
        erased: call.erased_at.map(when::date_time),
        has_masks: call.masked,
        hours: hours(&call),
        can_send: call.own && approved,
        can_cancel: call.own && matches!(call.state, CallState::Waiting | CallState::Approved),
        run: call.own.then_some(call.run),
        ask_again: call.own && may_ask_again(call.state),
        sent: call.sent_at.map(when::date_time),
        used: tokens(&call, l),
        sources: call.sources.iter().map(|s| (s.title.clone(), s.grade)).collect(),
        app_title: call.app_title,
        purpose: call.purpose,
        legal_basis: call.legal_basis,
        by: call.person_name,
        department: call.department_name,
        grade: call.grade,
        provider: call.provider_name,
        model: call.model,
        host: call.host,
        why: call.local_answer,
        digest: call.body_hmac,
        decision_reason: call.reason,
        error: call.error,
    })
}

fn may_ask_again(state: CallState) -> bool {
    use CallState::{Cancelled, Denied, Expired, Failed, Lapsed, Returned};
    matches!(state, Returned | Cancelled | Expired | Failed | Denied | Lapsed)
}

/// The reader decided on these bytes already, and another approval is still owed.
fn decided(decisions: &[Given], scope: &Scope, call: &Call) -> bool {
    decisions.iter().any(|d| d.person == scope.person() && d.approved.is_some() && d.body_hmac == call.body_hmac)
}

fn decision_row(given: &Given, call: &Call) -> DecisionRow {
    DecisionRow {
        by: given.name.clone(),
        decision: match given.approved {
            Some(true) if given.body_hmac != call.body_hmac => "고치기 전 글에 승인",
            Some(true) => "승인",
            _ => "반려",
        },
        when: given.decided_at.map(when::date_time).unwrap_or_default(),
        reason: given.reason.clone(),
    }
}

/// Choices of how long an approval lives, in hours: those that the policy allows, its own last.
fn hours(call: &Call) -> Vec<i64> {
    let most = call.needs().iter().map(|n| i64::from(n.valid_hours)).min().unwrap_or(1);
    let mut all: Vec<i64> = [1, 24, 72, 168].into_iter().filter(|h| *h < most).collect();
    all.push(most);
    all
}

fn tokens(call: &Call, l: Lang) -> Option<String> {
    Some(l.f2("보냄 {a}, 받음 {b}", call.tokens_in?, call.tokens_out?))
}

/// Is it masked? What passes is of bodies; words of the body's own dictionary never pass.
fn masked(name: &str) -> bool {
    name.starts_with(madang_gateway::inspect::CUSTOM_PREFIX)
        || madang_pii::Kind::ALL.iter().any(|k| k.as_str() == name && k.action() != madang_pii::Action::Pass)
}

/// Kinds and counts alone: an officer needs no citizen's number.
fn findings(call: &Call) -> Vec<FindingRow> {
    let rows = call.findings.iter().filter(|(name, _)| masked(name));
    rows.map(|(name, n)| FindingRow {
        kind: pii_kind(name).to_owned(),
        place: String::new(),
        shown: format!("{n}"),
        block: false,
    })
    .collect()
}

/// What a run's own page says of the outside, and the reply that came back.
pub async fn of_run(app: &App, scope: &Scope, run: &Run) -> Handled<(OutsideState, Option<OutsideReply>)> {
    let Some(call) = app.store.last_call_of_run(scope, run.id).await? else {
        let may = app.gateway.may_ask(scope, run).await && !app.store.enabled_providers(scope).await?.is_empty();
        return Ok((if may { OutsideState::MayAsk } else { OutsideState::NotAllowed }, None));
    };
    let href = format!("/review/outside/{}", call.id);
    let state = OutsideState::Asked { state: call.state.korean(), href };
    let opened = app.gateway.open(scope, call.id).await?;
    let reply = opened.reply.map(|text| OutsideReply {
        provider: call.provider_name,
        model: call.model,
        when: when::date_time(call.ended_at.unwrap_or(call.created_at)),
        html: markdown::answer(&text, run.citations.iter().map(|c| c.number)),
    });
    Ok((state, reply))
}

/// Calls that the reader may decide on, for the desk.
pub async fn waiting_rows(app: &App, scope: &Scope, l: Lang) -> Result<Vec<CallRow>, Failure> {
    let now = app.store.now();
    let calls = app.store.decidable_calls(scope).await?;
    Ok(calls
        .into_iter()
        .map(|c| CallRow {
            id: c.id,
            masked: findings(&c).iter().filter_map(|f| f.shown.parse::<usize>().ok()).sum(),
            app_title: c.app_title,
            purpose: c.purpose,
            by: c.person_name,
            department: c.department_name,
            provider: c.provider_name,
            when: when::ago(c.created_at, now, l),
        })
        .collect())
}

/// The last decisions on outside calls, newest first with their times, for the desk.
pub async fn decided_rows(app: &App, scope: &Scope, limit: i64, l: Lang) -> Result<Vec<(i64, DecidedRow)>, Failure> {
    let now = app.store.now();
    let calls = app.store.decided_calls(scope, limit).await?;
    let row = |c: Call| {
        let at = c.decided_at.unwrap_or(c.created_at);
        let decided = DecidedRow {
            title: format!("{} · {}", c.app_title, c.purpose),
            href: format!("/review/outside/{}", c.id),
            decision: if c.state == CallState::Returned { "반려" } else { "승인" },
            by: c.approver_name.unwrap_or_default(),
            when: when::ago(at, now, l),
        };
        (at, decided)
    };
    Ok(calls.into_iter().map(row).collect())
}

/// State of the record in plain words, for the desk and the record's own page.
pub async fn ledger_health(app: &App) -> Result<LedgerHealth, Failure> {
    let found = crate::chain::last(&app.store).await?;
    let refused = app.signer.refusal().await?;
    Ok(LedgerHealth {
        sound: found.sound && refused.is_none(),
        records: found.records,
        verified: when::date_time(found.at),
        head: found.head.chars().take(12).collect(),
        fault: found.fault_seq.zip(found.fault),
    })
}

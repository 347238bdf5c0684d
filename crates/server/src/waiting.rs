//! What waits for a person: the bell's figure and home's list. Each room says what waits there; here they meet.

use crate::api::policy::PROPOSALS;
use crate::app::App;
use crate::auth::Reader;
use crate::error::Handled;
use crate::pages::when;
use crate::views::home::WaitingItem;
use madang_domain::Scope;
use madang_store::calls::{Call, CallState};
use madang_store::keeping::KeepingProposal;
use madang_store::policy_proposals::PolicyProposal;

/// Own calls looked through for approved ones.
const OWN_CALLS: i64 = 50;

/// How many things wait for the reader.
pub async fn count(app: &App, scope: &Scope) -> Handled<usize> {
    let decisions = app.store.sharing_waits(scope).await? + app.store.calls_waiting(scope).await?;
    let proposals = app.store.policy_proposals_waiting(scope).await? + app.store.keeping_waiting(scope).await?;
    Ok(decisions + proposals)
}

/// What waits for the reader, what they decide on first.
pub async fn items(app: &App, reader: &Reader) -> Handled<Vec<WaitingItem>> {
    let (scope, l) = (reader.scope(), reader.lang);
    let now = app.store.now();
    let to_decide = app.store.submissions_to_decide(scope).await?.into_iter().map(|s| WaitingItem {
        kind: "공유 승인",
        detail: format!("{} {} · {}", s.department_name, s.submitter_name, l.f("{}판", s.number)),
        title: s.title,
        when: when::ago(s.created_at, now, l),
        href: format!("/review/submissions/{}", s.id),
    });
    let returned = app.store.submissions_returned(scope).await?.into_iter().map(|s| WaitingItem {
        kind: "반려된 앱",
        title: s.title,
        detail: s.reason,
        when: when::ago(s.decided_at.unwrap_or(s.created_at), now, l),
        href: format!("/review/submissions/{}", s.id),
    });
    let policies = policies(app, reader).await?;
    let keeping = keeping(app, reader).await?;
    Ok(to_decide.chain(policies).chain(keeping).chain(calls(app, reader).await?).chain(returned).collect())
}

/// Proposed policies whose second person the reader is.
async fn policies(app: &App, reader: &Reader) -> Handled<Vec<WaitingItem>> {
    let (scope, l) = (reader.scope(), reader.lang);
    if app.store.policy_proposals_waiting(scope).await? == 0 {
        return Ok(Vec::new());
    }
    let now = app.store.now();
    let all = app.store.policy_proposals(scope, PROPOSALS).await?.into_iter().filter(|p| p.may_decide);
    let item = |p: PolicyProposal| WaitingItem {
        kind: "정책 확인",
        title: p.reason,
        detail: p.by,
        when: when::ago(p.created_at, now, l),
        href: format!("/review/policy#proposal-{}", p.id),
    };
    Ok(all.map(item).collect())
}

/// Shorter retentions and holds to be lifted whose second person the reader is.
async fn keeping(app: &App, reader: &Reader) -> Handled<Vec<WaitingItem>> {
    let (scope, l) = (reader.scope(), reader.lang);
    if app.store.keeping_waiting(scope).await? == 0 {
        return Ok(Vec::new());
    }
    let now = app.store.now();
    let all = app.store.keeping_proposals(scope).await?.into_iter().filter(|p| p.may_decide);
    let item = |p: KeepingProposal| WaitingItem {
        kind: "보존 확인",
        title: p.reason,
        detail: p.by,
        when: when::ago(p.at, now, l),
        href: format!("/review/retention#proposal-{}", p.id),
    };
    Ok(all.map(item).collect())
}

/// Outside calls that the reader decides on, and approved ones of their own still to be sent.
async fn calls(app: &App, reader: &Reader) -> Handled<Vec<WaitingItem>> {
    let (scope, l) = (reader.scope(), reader.lang);
    let now = app.store.now();
    let waiting = app.store.decidable_calls(scope).await?;
    let approved = app.store.own_calls(scope, OWN_CALLS).await?.into_iter();
    let approved = approved.filter(|c| c.state == CallState::Approved && c.expires_at.is_some_and(|at| at > now));
    let item = |kind, c: Call| WaitingItem {
        kind,
        title: c.purpose,
        detail: format!("{} {} · {}", c.department_name, c.person_name, c.app_title),
        when: when::ago(c.decided_at.unwrap_or(c.created_at), now, l),
        href: format!("/review/outside/{}", c.id),
    };
    let waiting = waiting.into_iter().map(|c| item("외부호출", c));
    Ok(waiting.chain(approved.map(|c| item("보낼 외부호출", c))).collect())
}

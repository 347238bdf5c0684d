//! What waits for a person: the bell's figure and home's list. Each room says what waits there; here they meet.

use crate::app::App;
use crate::auth::Reader;
use crate::error::Handled;
use crate::pages::when;
use crate::views::home::WaitingItem;
use madang_domain::Scope;
use madang_store::calls::{Call, CallState};

/// Own calls looked through for approved ones.
const OWN_CALLS: i64 = 50;

/// How many things wait for the reader.
pub async fn count(app: &App, scope: &Scope) -> Handled<usize> {
    Ok(app.store.sharing_waits(scope).await? + app.store.calls_waiting(scope).await?)
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
    Ok(to_decide.chain(calls(app, reader).await?).chain(returned).collect())
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

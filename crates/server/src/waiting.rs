//! What waits for a person: the bell's figure and home's list. Each room says what waits there; here they meet.

use crate::app::App;
use crate::auth::Reader;
use crate::error::Handled;
use crate::pages::when;
use crate::views::home::WaitingItem;
use madang_domain::Scope;

/// How many things wait for the reader.
pub async fn count(app: &App, scope: &Scope) -> Handled<usize> {
    Ok(app.store.sharing_waits(scope).await?)
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
    Ok(to_decide.chain(returned).collect())
}

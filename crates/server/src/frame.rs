//! The frame around a signed-in page, and rendering.

use crate::app::App;
use crate::auth::Reader;
use crate::error::{Failure, Handled};
use crate::pages::when;
use crate::views::{Frame, OutsideStopped, Roles};
use crate::waiting;
use askama::Template;
use axum::http::Uri;
use axum::response::Html;
use madang_domain::Role;

/// A page as it is sent.
pub type Page = Handled<Html<String>>;

/// Renders a view.
///
/// # Errors
/// Only for a defect in a template.
pub fn render(view: impl Template) -> Page {
    view.render().map(Html).map_err(Failure::internal)
}

/// What the frame says of the reader.
pub async fn frame(app: &App, reader: &Reader, uri: &Uri) -> Handled<Frame> {
    let identity = &reader.identity;
    let scope = reader.scope();
    let post = identity.posts.first();
    Ok(Frame {
        body_name: app.body_name().await?,
        person_name: identity.name.clone(),
        post_title: post.map(|p| p.title.clone()).unwrap_or_default(),
        department_name: post.map(|p| p.department_name.clone()).unwrap_or_default(),
        roles: Roles {
            manager: scope.has_role(Role::Manager),
            security: scope.has_role(Role::Security),
            admin: scope.has_role(Role::Admin),
        },
        waiting: waiting::count(app, scope).await?,
        csrf: identity.session.as_ref().map(|(_, csrf)| csrf.clone()).unwrap_or_default(),
        path: uri.path_and_query().map(|p| p.as_str().to_owned()).unwrap_or_default(),
        lang_code: reader.lang.code(),
        version: env!("CARGO_PKG_VERSION"),
        outside_stopped: app.gateway.switch().stopped_now().map(|s| OutsideStopped {
            by: s.by.unwrap_or_default(),
            when: when::date_time(s.changed_at),
            reason: s.reason,
        }),
    })
}

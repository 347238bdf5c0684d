//! What each page shows: one view struct per template of `web/templates`, one file per room.
//!
//! Views hold ready words and numbers; they read nothing, decide no rights and know no database. Times arrive
//! formatted for the reader; user-facing Korean goes through [`Lang`].

pub mod account;
pub mod admin;
pub mod build;
pub mod collections;
pub mod desk;
pub mod home;
pub mod lang;
pub mod models;
pub mod pii;
pub mod policy;
pub mod records;
pub mod review;
pub mod run;
pub mod search;
pub mod store;

pub use lang::Lang;

use madang_domain::{AppId, Grade};
use serde::Serialize;
use std::fmt;

/// What the frame around every signed-in page shows.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The public body's name: "가람시".
    pub body_name: String,
    pub person_name: String,
    /// First post held; empty for a person without a post.
    pub post_title: String,
    pub department_name: String,
    pub roles: Roles,
    /// Number of things that wait for this person: the bell's figure.
    pub waiting: usize,
    /// Sent back as `X-CSRF-Token` with every change.
    pub csrf: String,
    /// Path and query of this page, for the language switch and the menu.
    pub path: String,
    /// `ko` or `en`.
    pub lang_code: &'static str,
    pub version: &'static str,
    /// Everything outside is stopped.
    pub outside_stopped: Option<OutsideStopped>,
}

/// The emergency stop, as pages about the outside tell it.
#[derive(Debug, Clone)]
pub struct OutsideStopped {
    pub by: String,
    pub when: String,
    pub reason: String,
}

impl Frame {
    /// Is the page in this room? `/` only for home itself.
    pub fn is_in(&self, prefix: &str) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        if prefix == "/" { path == "/" } else { path.starts_with(prefix) }
    }
}

/// Roles that open further rooms in the menu.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roles {
    pub manager: bool,
    pub security: bool,
    pub admin: bool,
}

/// An app on a shelf.
#[derive(Debug, Clone)]
pub struct AppCard {
    pub id: AppId,
    pub title: String,
    pub purpose: String,
    pub department: String,
    /// Korean name of the task; goes through [`Lang::t`].
    pub task: &'static str,
    pub grade: Grade,
    /// Runs by anyone.
    pub uses: usize,
    /// Mean of the stars with one decimal: "4.6"; `None` before the first rating.
    pub rating: Option<String>,
    pub version: u32,
    /// The reader may read all its sources: it works at once.
    pub ready: bool,
    /// Share of its runs of the last 90 days that led outside, in percent: "2.5"; `None` where nothing left.
    pub outside: Option<String>,
}

/// A choice in a list of filters or a select.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Sent value; empty means "all".
    pub value: String,
    pub label: String,
    pub selected: bool,
}

/// Links to the neighbours of a page of a list.
#[derive(Debug, Clone, Default)]
pub struct Pager {
    /// 1-based.
    pub page: usize,
    pub pages: usize,
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// One step of a path to the page: label and address.
#[derive(Debug, Clone)]
pub struct Crumb {
    pub label: String,
    pub href: String,
}

/// JSON inside a `<script type="application/json">`: no character in it can end the element.
#[derive(Debug, Clone, Default)]
pub struct JsonIsland(String);

impl JsonIsland {
    /// `null` for a value that cannot be written as JSON.
    pub fn new(value: &impl Serialize) -> Self {
        let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        let mut safe = String::with_capacity(json.len());
        for c in json.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", c as u32)),
                other => safe.push(other),
            }
        }
        Self(safe)
    }
}

impl fmt::Display for JsonIsland {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Model or document text already turned into HTML and sanitised by the server; printed as it is.
#[derive(Debug, Clone, Default)]
pub struct SafeHtml(pub String);

impl fmt::Display for SafeHtml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_cannot_leave_its_element() {
        let island = JsonIsland::new(&"</script><!-- & \u{2028}").to_string();
        assert!(!island.contains('<') && !island.contains('&') && !island.contains('\u{2028}'));
        let back: String = serde_json::from_str(&island).expect("still JSON");
        assert_eq!(back, "</script><!-- & \u{2028}");
    }
}

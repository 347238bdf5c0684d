//! Signing in, the first set-up, and one's own account.

use super::{Frame, Lang};
use askama::Template;
use madang_domain::{SessionId, TokenId};

/// `/sign-in`
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    pub l: Lang,
    pub body_name: String,
    pub csrf: String,
    /// Where to go afterwards; a path of this server.
    pub next: String,
    /// The last session ended by itself.
    pub expired: bool,
}

/// `/setup/{token}`
#[derive(Template)]
#[template(path = "setup.html")]
pub struct SetupPage {
    pub l: Lang,
    pub csrf: String,
    pub token: String,
    /// Used or unknown link: the form is replaced by what to do.
    pub valid: bool,
}

/// `/profile`
#[derive(Template)]
#[template(path = "profile.html")]
pub struct ProfilePage {
    pub frame: Frame,
    pub l: Lang,
    pub login: String,
    /// Department and title of each post.
    pub posts: Vec<(String, String)>,
    pub sessions: Vec<SessionRow>,
    pub tokens: Vec<TokenRow>,
}

pub struct SessionRow {
    pub id: SessionId,
    pub device: String,
    pub address: String,
    pub last_seen: String,
    pub current: bool,
}

pub struct TokenRow {
    pub id: TokenId,
    pub name: String,
    /// `read`, `run` or `write`.
    pub scope: &'static str,
    pub created: String,
    pub expires: String,
    pub last_used: Option<String>,
}

//! Administration: departments, posts, people, moves, outside providers.

use super::{Choice, Frame, Lang, Pager};
use askama::Template;
use madang_domain::{DepartmentId, PersonId, PostId, ProviderId};

/// `/admin`: departments as a tree, with posts and holders of the chosen one.
#[derive(Template)]
#[template(path = "admin.html")]
pub struct AdminPage {
    pub frame: Frame,
    pub l: Lang,
    pub departments: Vec<DepartmentNode>,
    pub selected: Option<DepartmentDetail>,
    pub people: usize,
    pub posts: usize,
}

/// A line of the tree, parents before children.
pub struct DepartmentNode {
    pub id: DepartmentId,
    pub name: String,
    /// 0 for the top; at most 5 is shown indented.
    pub depth: usize,
    pub people: usize,
    pub selected: bool,
}

pub struct DepartmentDetail {
    pub id: DepartmentId,
    pub name: String,
    pub parent: Option<DepartmentId>,
    pub posts: Vec<PostRow>,
    pub apps: usize,
    pub collections: usize,
}

pub struct PostRow {
    pub id: PostId,
    pub title: String,
    /// Korean names of the roles, through [`Lang::t`].
    pub roles: Vec<&'static str>,
    pub holders: Vec<(PersonId, String)>,
}

/// `/admin/people`
#[derive(Template)]
#[template(path = "admin_people.html")]
pub struct PeoplePage {
    pub frame: Frame,
    pub l: Lang,
    pub q: String,
    pub rows: Vec<PersonRow>,
    pub total: usize,
    pub pager: Pager,
    /// Posts with who holds them, for a new person.
    pub vacant: Vec<Choice>,
}

pub struct PersonRow {
    pub id: PersonId,
    pub name: String,
    pub login: String,
    /// "정보통신과 주무관"; empty without a post.
    pub posts: String,
    pub last_seen: String,
    pub locked: bool,
    pub active: bool,
}

/// `/admin/moves/{person}`: a personnel move with what follows from it.
#[derive(Template)]
#[template(path = "admin_move.html")]
pub struct MovePage {
    pub frame: Frame,
    pub l: Lang,
    pub person: PersonId,
    pub person_name: String,
    pub from: Vec<(PostId, String)>,
    /// Posts with who holds them.
    pub to: Vec<Choice>,
    /// A target was chosen: what will happen, as plain sentences.
    pub consequences: Vec<Consequence>,
    pub target: Option<(PostId, String)>,
}

pub struct Consequence {
    /// `stays`, `gains` or `loses`.
    pub kind: &'static str,
    /// Already translated.
    pub text: String,
}

/// `/admin/words`
#[derive(Template)]
#[template(path = "admin_words.html")]
pub struct WordsPage {
    pub frame: Frame,
    pub l: Lang,
    /// As it was written.
    pub text: String,
    pub groups: usize,
}

/// `/admin/providers`
#[derive(Template)]
#[template(path = "admin_providers.html")]
pub struct ProvidersPage {
    pub frame: Frame,
    pub l: Lang,
    pub rows: Vec<ProviderRow>,
    /// Of the next one.
    pub form: ProviderForm,
}

/// `/admin/providers/{id}`
#[derive(Template)]
#[template(path = "admin_provider.html")]
pub struct ProviderPage {
    pub frame: Frame,
    pub l: Lang,
    pub id: ProviderId,
    pub name: String,
    pub enabled: bool,
    pub form: ProviderForm,
}

/// The fields of a provider.
pub struct ProviderForm {
    pub name: String,
    pub base_url: String,
    pub model: String,
    /// Forms, each with what it puts behind the address.
    pub wires: Vec<(Choice, &'static str)>,
    pub max_output_tokens: u32,
    pub stream: bool,
    pub api_version: String,
    /// Until the connection stands, until the reply begins, in all.
    pub seconds: [u64; 3],
    /// One a line.
    pub pins: String,
    pub authority: String,
    /// Last letters of the key, and whether there is a client certificate; `None` for a new one.
    pub kept: Option<(String, bool)>,
}

pub struct ProviderRow {
    pub id: ProviderId,
    pub name: String,
    pub base_url: String,
    pub model: String,
    pub enabled: bool,
    /// Last letters of the key; the key itself is never shown.
    pub key_hint: String,
    pub calls: usize,
    /// Korean, through [`Lang::t`].
    pub wire: &'static str,
    pub max_output_tokens: u32,
    pub stream: bool,
    pub pins: usize,
    pub own_authority: bool,
    pub has_identity: bool,
    pub circuit: CircuitView,
}

/// Whether a provider is tried, as its breaker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CircuitView {
    Closed,
    /// Not for so many seconds more.
    Open(i64),
    /// One call is tried next.
    HalfOpen,
}

//! Rights of a reader: who is asking. Every read of somebody's data takes a [`Scope`].

use crate::{CollectionId, DepartmentId, PersonId, Role};
use serde::{Deserialize, Serialize};

/// What a personal access token may be used for; a browser session may do everything its holder may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// GET requests only.
    Read,
    /// Run apps and search (and read).
    Run,
    /// Everything but administration, approvals and tokens.
    Write,
}

impl TokenScope {
    pub const ALL: [TokenScope; 3] = [TokenScope::Read, TokenScope::Run, TokenScope::Write];

    /// Stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenScope::Read => "read",
            TokenScope::Run => "run",
            TokenScope::Write => "write",
        }
    }
}

/// The authenticated reader. Made by authentication alone: [`Scope::authenticated`] is banned by `clippy.toml`
/// everywhere but in `store::auth`, where a session or token has just been checked against the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    person: PersonId,
    /// Department of each post held, with the roles held there.
    posts: Vec<(DepartmentId, Role)>,
    token: Option<TokenScope>,
}

impl Scope {
    /// For `store::auth` only, see the type's documentation.
    pub fn authenticated(person: PersonId, posts: Vec<(DepartmentId, Role)>, token: Option<TokenScope>) -> Self {
        Self { person, posts, token }
    }

    pub fn person(&self) -> PersonId {
        self.person
    }

    /// Departments in which the person holds a post, without repeats.
    pub fn departments(&self) -> Vec<DepartmentId> {
        let mut all: Vec<_> = self.posts.iter().map(|(d, _)| *d).collect();
        all.sort();
        all.dedup();
        all
    }

    /// First post's department: where what the person makes belongs. `None` for a person without a post.
    pub fn home_department(&self) -> Option<DepartmentId> {
        self.posts.first().map(|(d, _)| *d)
    }

    pub fn in_department(&self, department: DepartmentId) -> bool {
        self.posts.iter().any(|(d, _)| *d == department)
    }

    /// Does the person manage this very department?
    pub fn manages(&self, department: DepartmentId) -> bool {
        self.posts.iter().any(|(d, r)| *d == department && *r == Role::Manager)
    }

    pub fn has_role(&self, role: Role) -> bool {
        self.posts.iter().any(|(_, r)| *r == role)
    }

    /// `None` for a browser session.
    pub fn token(&self) -> Option<TokenScope> {
        self.token
    }
}

/// Collections that one reader may read now: what a query to the index is filtered by. Made by the store from a
/// [`Scope`]; [`ReadableCollections::resolved`] is banned elsewhere by `clippy.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadableCollections(Vec<CollectionId>);

impl ReadableCollections {
    /// For the store, and for the retrieval evaluation over a throw-away index.
    pub fn resolved(ids: Vec<CollectionId>) -> Self {
        Self(ids)
    }

    pub fn ids(&self) -> &[CollectionId] {
        &self.0
    }

    pub fn contains(&self, id: CollectionId) -> bool {
        self.0.contains(&id)
    }

    /// Only those also in `wanted`: an app's sources as far as its reader may read them.
    pub fn narrowed(&self, wanted: &[CollectionId]) -> Self {
        Self(self.0.iter().copied().filter(|id| wanted.contains(id)).collect())
    }
}

//! Typed identifiers: UUIDv7 in lower-case text form. One type per kind of thing, so that a document's id
//! cannot be passed where a collection's is asked for.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier")]
pub struct InvalidId;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier; later ones sort after earlier ones.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self { Self(Uuid::now_v7()) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.0.as_hyphenated()) }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> { Uuid::parse_str(s).map(Self).map_err(|_| InvalidId) }
        }
    )*};
}

id! {
    /// A department (부서).
    DepartmentId,
    /// A post (직위) in a department; people hold posts.
    PostId,
    /// A person (직원).
    PersonId,
    /// A signed-in browser.
    SessionId,
    /// A personal access token.
    TokenId,
    /// A collection (자료 모음).
    CollectionId,
    /// A document (문서) in a collection.
    DocumentId,
    /// A passage (구절) of a document.
    PassageId,
    /// An app (앱).
    AppId,
    /// An immutable version (판) of an app.
    AppVersionId,
    /// An unfinished sheet of one author.
    DraftId,
    /// One use of one version by one reader (실행).
    RunId,
    /// A request to publish a version.
    SubmissionId,
    /// An outside provider.
    ProviderId,
    /// An outside call (외부호출).
    ExternalCallId,
    /// One request for a model's file.
    DownloadId,
    /// A policy that waits for a second person.
    PolicyProposalId,
    /// A time in which an officer is away.
    AbsenceId,
}

//! Words of the field: identifiers, grades, rights, design sheets, passages and citations.
//!
//! Pure data and arithmetic. No I/O, no clock, no database, nothing of ours below it.

mod citation;
mod grade;
mod ids;
mod people;
mod plan;
mod scope;
mod sheet;

pub use citation::{Citation, Passage, PassageDraft, Span};
pub use grade::Grade;
pub use ids::*;
pub use people::Role;
pub use plan::Plan;
pub use scope::{ReadableCollections, Scope, TokenScope};
pub use sheet::*;

//! What is known of a request when a policy decides on it. The caller gathers it; a fact that is missing is `None`,
//! and whatever asks for it cannot be decided.

use crate::kinds::{Class, class};
use crate::model::Unit;
use madang_domain::{Grade, PersonId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The app version that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFacts {
    pub app: Unit,
    /// Digest of the immutable version.
    pub version: String,
}

/// One request for an outside call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Unix milliseconds.
    pub at_ms: i64,
    pub person: PersonId,
    /// Unique name by which the person signs in.
    pub login: String,
    /// The department for which the person asks, and those above it, nearest first. Empty: none.
    pub departments: Vec<Unit>,
    pub app: Option<AppFacts>,
    pub provider: Unit,
    /// Host of the destination, lower case.
    pub host: String,
    pub model: String,
    /// In the asker's own words; empty: not given yet.
    pub purpose: String,
    /// Highest grade of everything in the prompt now.
    pub grade: Option<Grade>,
    /// Highest grade that any of it had before a named officer lowered it.
    pub regraded_from: Option<Grade>,
    /// Stored name of each kind that was found, with how many; `None`: the inspection failed.
    pub found: Option<BTreeMap<String, u64>>,
    /// The detector holds that something in it may not leave.
    pub detector_blocked: bool,
    /// Outgoing bytes.
    pub bytes: u64,
}

impl Facts {
    /// The person as rules name them.
    pub fn asker(&self) -> Unit {
        Unit::new(self.person.to_string(), &self.login)
    }

    /// Names of the kinds that were found; none where the inspection failed.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.found.iter().flatten().filter(|(_, n)| **n > 0).map(|(kind, _)| kind.as_str())
    }

    /// Names of the found kinds that are masked before they leave.
    pub fn personal(&self) -> impl Iterator<Item = &str> {
        self.kinds().filter(|kind| class(kind) == Class::Personal)
    }
}

//! Roles, held through posts.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What a post lets its holder do beyond an official's own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 직원: builds, runs, collects.
    Official,
    /// 부서장: approves or returns what their department wants to share.
    Manager,
    /// 보안담당: approves outside calls, reads the ledger.
    Security,
    /// 운영자: departments, posts, people, providers.
    Admin,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Official, Role::Manager, Role::Security, Role::Admin];

    /// Stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Official => "official",
            Role::Manager => "manager",
            Role::Security => "security",
            Role::Admin => "admin",
        }
    }

    /// Korean name, as screens show it (English through the page's dictionary).
    pub fn korean(self) -> &'static str {
        match self {
            Role::Official => "직원",
            Role::Manager => "부서장",
            Role::Security => "보안담당",
            Role::Admin => "운영자",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Role::ALL.into_iter().find(|r| r.as_str() == s).ok_or_else(|| format!("unknown role {s:?}"))
    }
}

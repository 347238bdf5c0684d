//! The policy's name in records: SHA-256 of its canonical form.
//!
//! Canonical form: JSON with sorted keys (`madang_ledger::canonical`) of the checked policy, in which sets are sorted
//! and rules, windows, pre-approvals, budgets and prices stand in the order of their identifiers, since the order of the
//! file decides nothing. Blanks, comments, quoting, aliases and order do not change it; every word with a meaning does,
//! titles and notes included.

use crate::model::Policy;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"madang.policy.v1\n";

impl Policy {
    /// The policy with everything in the order of its identifiers.
    pub fn canonical(&self) -> Policy {
        let mut out = self.clone();
        out.rules.sort_by(|a, b| a.id.cmp(&b.id));
        out.windows.sort();
        out.preapprovals.sort_by(|a, b| a.id.cmp(&b.id));
        out.budgets.sort_by(|a, b| a.id.cmp(&b.id));
        out.prices.models.sort();
        out
    }

    /// SHA-256 of the canonical form, lower-case hex of 64 digits.
    pub fn hash(&self) -> String {
        // Strings, integers and lists: the form cannot fail, and a failure would give one hash to no policy at all.
        let text = madang_ledger::canonical(&self.canonical()).unwrap_or_default();
        hex::encode(Sha256::new().chain_update(DOMAIN).chain_update(text).finalize())
    }
}

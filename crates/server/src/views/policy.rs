//! The policy for outside calls, and when officers are away.

use super::{Choice, Frame, Lang};
use askama::Template;
use madang_domain::{AbsenceId, PolicyProposalId};

/// `/review/policy`
#[derive(Template)]
#[template(path = "policy.html")]
pub struct PolicyPage {
    pub frame: Frame,
    pub l: Lang,
    /// Security officers change it, admins read it.
    pub may_edit: bool,
    pub revision: u32,
    pub title: String,
    pub note: String,
    /// When it went into force, by whom and why.
    pub since: String,
    pub reason: String,
    /// First letters of its hash.
    pub hash: String,
    pub groups: Vec<LineGroup>,
    pub proposals: Vec<ProposalCard>,
    /// Proposals that ended.
    pub ended: Vec<EndedProposal>,
    /// The file in force, and the same with its next revision, for the editor.
    pub text: String,
    pub next_text: String,
    pub next_revision: u32,
    pub revisions: Vec<RevisionRow>,
    pub compare_from: Vec<Choice>,
    pub compare_to: Vec<Choice>,
    pub compared: Option<Compared>,
}

/// Sentences of one kind.
pub struct LineGroup {
    /// Korean, through [`Lang::t`].
    pub heading: &'static str,
    pub is_floor: bool,
    pub lines: Vec<PolicyLine>,
}

pub struct PolicyLine {
    /// Name of the rule in the file; empty for none.
    pub id: String,
    pub title: String,
    pub sentence: String,
}

/// A proposed policy that waits.
pub struct ProposalCard {
    pub id: PolicyProposalId,
    pub revision: u32,
    pub by: String,
    pub when: String,
    pub reason: String,
    pub changes: Vec<String>,
    pub text: String,
    /// Mine: I may take it back.
    pub own: bool,
    /// I am its second person.
    pub may_decide: bool,
}

pub struct EndedProposal {
    pub revision: u32,
    pub reason: String,
    pub by: String,
    /// Korean, through [`Lang::t`].
    pub state: &'static str,
    pub decided: String,
}

pub struct RevisionRow {
    pub revision: u32,
    pub when: String,
    pub by: String,
    pub confirmed_by: Option<String>,
    pub reason: String,
    /// First letters.
    pub hash: String,
}

/// What changes from one revision to another.
pub struct Compared {
    pub from: u32,
    pub to: u32,
    pub changes: Vec<ChangeRow>,
}

pub struct ChangeRow {
    /// `looser`, `stricter` or `other`.
    pub kind: &'static str,
    /// Korean, through [`Lang::t`].
    pub direction: &'static str,
    pub sentence: String,
}

/// On the desk: proposed policies and who is away.
pub struct DeskOfficers {
    pub proposals: Vec<ProposalLine>,
    pub absences: Vec<AbsenceLine>,
}

pub struct ProposalLine {
    pub id: PolicyProposalId,
    pub reason: String,
    pub by: String,
    pub changes: usize,
    pub when: String,
}

pub struct AbsenceLine {
    pub id: AbsenceId,
    pub name: String,
    pub from: String,
    pub until: String,
    pub now: bool,
    pub own: bool,
}

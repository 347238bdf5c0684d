//! The desk of managers and security officers: submissions, outside calls, the ledger.

use super::policy::DeskOfficers;
use super::run::FindingRow;
use super::store::SentenceChange;
use super::{Choice, Frame, JsonIsland, Lang, Pager, SafeHtml};
use askama::Template;
use madang_domain::{AppId, ExternalCallId, Grade, RunId, SubmissionId};

/// `/review`
#[derive(Template)]
#[template(path = "review.html")]
pub struct ReviewPage {
    pub frame: Frame,
    pub l: Lang,
    pub submissions: Vec<SubmissionRow>,
    pub calls: Vec<CallRow>,
    /// Last decisions by this desk.
    pub decided: Vec<DecidedRow>,
    /// `None` for a manager who does not read the ledger.
    pub ledger: Option<LedgerHealth>,
    /// Shorter retentions and holds to be lifted that wait for a second person.
    pub keeping: usize,
    /// Proposed policies to decide on, and who is away.
    pub officers: DeskOfficers,
}

pub struct SubmissionRow {
    pub id: SubmissionId,
    pub title: String,
    pub by: String,
    pub department: String,
    pub version: u32,
    pub grade: Grade,
    pub when: String,
}

pub struct CallRow {
    pub id: ExternalCallId,
    pub app_title: String,
    pub purpose: String,
    pub by: String,
    pub department: String,
    pub provider: String,
    pub masked: usize,
    pub when: String,
}

pub struct DecidedRow {
    pub title: String,
    pub href: String,
    /// Korean, through [`Lang::t`]: "승인", "반려".
    pub decision: &'static str,
    pub by: String,
    pub when: String,
}

/// State of the record in plain words.
pub struct LedgerHealth {
    /// The last verification found nothing wrong, and what was signed since continues what was signed before.
    pub sound: bool,
    pub records: u64,
    pub verified: String,
    /// First letters of the last hash.
    pub head: String,
    /// Number of the first bad record and what is wrong with it.
    pub fault: Option<(u64, String)>,
}

/// What is signed of the record.
pub struct LedgerTrust {
    /// Records in the tree.
    pub size: u64,
    /// Records that the last checkpoint covers, and when it was signed.
    pub signed: Option<(u64, String)>,
    /// Records that witnesses confirmed, when their answer came, and their names.
    pub witnessed: Option<(u64, String, String)>,
    /// A witness is registered.
    pub has_witness: bool,
    /// The public key that signs.
    pub key: String,
    /// Why nothing is signed, and since when.
    pub refused: Option<(String, String)>,
}

impl LedgerTrust {
    /// Records that no witness confirmed yet.
    pub fn unwitnessed(&self) -> u64 {
        self.size.saturating_sub(self.witnessed.as_ref().map_or(0, |(size, ..)| *size))
    }
}

/// `/review/submissions/{id}`
#[derive(Template)]
#[template(path = "review_submission.html")]
pub struct SubmissionPage {
    pub frame: Frame,
    pub l: Lang,
    pub id: SubmissionId,
    pub app: AppId,
    pub row: SubmissionRow,
    pub purpose: String,
    pub note: String,
    pub sentences: Vec<SentenceChange>,
    pub first_version: bool,
    /// Name, grade (of a collection), readers of each source.
    pub sources: Vec<(String, Option<Grade>, String)>,
    pub outside_allowed: bool,
    pub checks: Vec<CheckRow>,
    /// I manage the owning department and neither submitted nor wrote it.
    pub can_decide: bool,
    /// It waits and I am of the owning department: I may take it back.
    pub can_withdraw: bool,
    /// Korean, through [`Lang::t`]; `None` while it waits.
    pub decided: Option<(&'static str, String)>,
}

/// A check run at submission.
pub struct CheckRow {
    /// Korean, through [`Lang::t`].
    pub name: String,
    /// `pass`, `fail` or `none`.
    pub result: &'static str,
    pub detail: String,
}

/// `/review/outside/{id}`: the envelope, read in a minute.
#[derive(Template)]
#[template(path = "envelope.html")]
pub struct EnvelopePage {
    pub frame: Frame,
    pub l: Lang,
    pub id: ExternalCallId,
    pub app: AppId,
    pub app_title: String,
    pub purpose: String,
    pub legal_basis: String,
    pub by: String,
    pub department: String,
    pub when: String,
    pub grade: Grade,
    /// Documents whose words are in it.
    pub sources: Vec<(String, Grade)>,
    pub provider: String,
    pub model: String,
    pub host: String,
    /// Why the engine inside did not do.
    pub why: String,
    /// Outgoing messages, for reading.
    pub outgoing: String,
    /// Exact outgoing JSON.
    pub raw: String,
    pub bytes: usize,
    /// HMAC of the outgoing bytes.
    pub digest: String,
    pub findings: Vec<FindingRow>,
    /// Korean, through [`Lang::t`]: "승인 대기", "승인됨", "반려됨", "보냄", "답 받음", "실패", "알 수 없음(보낸 것으로 셈)".
    pub state: &'static str,
    pub decided_by: Option<String>,
    pub decision_reason: String,
    pub expires: Option<String>,
    pub reply: Option<SafeHtml>,
    pub sent: Option<String>,
    /// Tokens, in words.
    pub used: Option<String>,
    /// Why there is no reply.
    pub error: Option<String>,
    /// Ledger sequence numbers of its records.
    pub records: Vec<u64>,
    pub can_decide: bool,
    /// Approved, mine, not sent: shows the send button.
    pub can_send: bool,
    /// Mine and not sent.
    pub can_cancel: bool,
    /// My run.
    pub run: Option<RunId>,
    /// Mine, ended without leaving: may be asked for anew.
    pub ask_again: bool,
    /// The policy's decision in Korean sentences, and its revision.
    pub explained: Vec<String>,
    pub policy: Option<u32>,
    /// Approvals given and asked for, while it waits.
    pub progress: Option<(usize, usize)>,
    pub decisions: Vec<DecisionRow>,
    /// Last moment for a decision.
    pub deadline: Option<String>,
    /// The most that it may cost; what it did cost.
    pub cost: Option<String>,
    pub spent: Option<String>,
    /// The call whose reply this is.
    pub from_before: Option<ExternalCallId>,
    /// When its texts were deleted.
    pub erased: Option<String>,
    pub has_masks: bool,
    /// Lives of an approval to choose from, hours; the last is chosen.
    pub hours: Vec<i64>,
}

/// Somebody's decision on a call.
pub struct DecisionRow {
    pub by: String,
    /// Korean, through [`Lang::t`].
    pub decision: &'static str,
    pub when: String,
    pub reason: String,
}

/// `/ledger`
#[derive(Template)]
#[template(path = "ledger.html")]
pub struct LedgerPage {
    pub frame: Frame,
    pub l: Lang,
    pub health: LedgerHealth,
    pub trust: LedgerTrust,
    pub q: String,
    pub kinds: Vec<Choice>,
    pub departments: Vec<Choice>,
    /// `YYYY-MM-DD` or empty.
    pub from: String,
    pub to: String,
    pub rows: Vec<LedgerRow>,
    pub total: usize,
    /// Chosen kind and department, for the exports.
    pub kind: String,
    pub department: String,
    pub pager: Pager,
}

pub struct LedgerRow {
    pub seq: u64,
    pub when: String,
    /// Korean, through [`Lang::t`].
    pub kind: String,
    pub who: String,
    pub department: String,
    pub summary: String,
    /// First letters.
    pub hash: String,
}

/// `/ledger/{seq}`
#[derive(Template)]
#[template(path = "ledger_record.html")]
pub struct LedgerRecordPage {
    pub frame: Frame,
    pub l: Lang,
    pub row: LedgerRow,
    /// Label and value, in order.
    pub fields: Vec<(String, String)>,
    pub hash: String,
    pub previous_hash: String,
    /// The chain around it was checked just now.
    pub sound: bool,
    /// Address of what it speaks of.
    pub subject: Option<String>,
    /// The record as JSON, pretty.
    pub json: String,
    pub data: JsonIsland,
    pub previous: Option<u64>,
    pub next: Option<u64>,
}

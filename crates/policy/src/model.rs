//! A policy as data: rules, pre-approvals, windows, budgets and prices. Made by [`Policy::parse`] alone, so that one
//! which was never checked does not exist; what it decides is in `evaluate`.

use crate::kinds::KindName;
use crate::time::{CalendarDay, Window};
use madang_domain::{Grade, PersonId, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Longest name, identifier or word in a policy, characters.
pub const MAX_NAME: usize = 200;
/// Longest life of an approval and longest deadline, hours: as long as the gateway keeps one.
pub const MAX_HOURS: u32 = 24 * 14;
/// Life of an approval where the rule names none, hours.
pub const DEFAULT_HOURS: u32 = 24;

/// A name or stable identifier, NFC, without blanks around it, never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same thing by its identifier or its name.
    pub fn is(&self, unit: &Unit) -> bool {
        self.0 == unit.id || self.0 == unit.name
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name: String = text.trim().nfc().collect();
        if name.is_empty() {
            return Err("이름이 비어 있습니다. 이름이나 고유번호를 적거나 그 칸을 지워 주세요.".to_owned());
        }
        if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("이름은 줄바꿈 없이 {MAX_NAME}자까지 적을 수 있습니다."));
        }
        Ok(Self(name))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A department, app, provider or person: what it is known by for good, and what it is called now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit {
    pub id: String,
    /// For a person the login, which is unique; names of people are not.
    pub name: String,
}

impl Unit {
    /// The name is brought to NFC, as names in a policy are.
    pub fn new(id: impl Into<String>, name: &str) -> Self {
        Self { id: id.into(), name: name.trim().nfc().collect() }
    }
}

/// A set of names; absent: any. An empty one is refused by the check, since it says neither.
pub type Names = Option<BTreeSet<Name>>;

/// What a request must be for a rule to apply: everything that is named, and any one of the names within each.
///
/// Of what makes a request riskier there are two kinds of condition. *From* conditions (`found_any`, `regraded = true`,
/// `bytes_over`) hold for the risky; *up to* conditions (`found_at_most`, `regraded = false`, `bytes_up_to`) bound what
/// a rule lets pass. See `evaluate` for why they are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Highest grade among the sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grades: Option<BTreeSet<Grade>>,
    /// The asker's department, by identifier or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departments: Names,
    /// The departments below those named too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sub_departments: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Names,
    /// Digests of app versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Names,
    /// People, by identifier or login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Names,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Names,
    /// Host names; `*.example.kr` stands for every name below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Names,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Names,
    /// Words of which one stands in the purpose, blanks aside. The asker writes the purpose: no proof of anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purposes: Names,
    /// Inside any of these windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Names,
    /// Inside none of these windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Names,
    /// At least one of these kinds was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_any: Option<BTreeSet<KindName>>,
    /// No personal data but these kinds was found; empty: none at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_at_most: Option<BTreeSet<KindName>>,
    /// A source was of a higher grade before a named officer lowered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regraded: Option<bool>,
    /// More outgoing bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_over: Option<u64>,
    /// No more outgoing bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_up_to: Option<u64>,
}

impl Conditions {
    /// Holds only for what is risky in some way.
    pub fn has_from(&self) -> bool {
        self.found_any.is_some() || self.regraded == Some(true) || self.bytes_over.is_some()
    }

    /// Holds only up to some risk.
    pub fn has_up_to(&self) -> bool {
        self.found_at_most.is_some() || self.regraded == Some(false) || self.bytes_up_to.is_some()
    }
}

/// Who may approve: every named part must hold of one post of the approver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproverKind {
    #[serde(default, skip_serializing_if = "Option::is_none", with = "role_name")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Name>,
    /// The department of the asker.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_department: bool,
}

/// Approval that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// 1 or 2, different people, never the asker.
    pub officers: u8,
    pub from: ApproverKind,
    /// Undecided this long after it was asked for, a request lapses.
    #[serde(default = "default_hours")]
    pub deadline_hours: u32,
    /// Life of the approval once given.
    #[serde(default = "default_hours")]
    pub valid_hours: u32,
    /// Who may approve while the regular officers are away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub substitutes: Vec<ApproverKind>,
    /// Waited this long, substitutes may approve even where nobody is marked away; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitutes_after_hours: Option<u32>,
}

fn default_hours() -> u32 {
    DEFAULT_HOURS
}

/// What a rule does with the requests it applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Lets requests without personal data pass, with nobody asked.
    Allow,
    /// Lets requests pass once personal data is masked.
    AllowWithMasking,
    /// Lets requests pass that officers approve; personal data is masked.
    NeedsApproval(Approval),
    /// Refuses, and tells the asker why.
    Deny { reason: String },
}

impl Effect {
    /// 0 mildest; of two rules that apply the higher one decides.
    pub fn strictness(&self) -> u8 {
        match self {
            Effect::Allow => 0,
            Effect::AllowWithMasking => 1,
            Effect::NeedsApproval(a) if a.officers <= 1 => 2,
            Effect::NeedsApproval(_) => 3,
            Effect::Deny { .. } => 4,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Short and stable: records name rules by it.
    pub id: Name,
    pub title: String,
    pub effect: Effect,
    pub when: Conditions,
    /// The exception: where all of this holds the rule does not apply.
    pub unless: Option<Conditions>,
}

/// An approval given beforehand for one version of an app until a day. It stands in for the approval that the named
/// rules ask for; it never lifts a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preapproval {
    pub id: Name,
    pub app: Name,
    /// Digest of the version.
    pub version: Name,
    /// Last day.
    pub until: CalendarDay,
    /// The officers who gave it: as many as the covered rules ask for, none of them the asker. Nobody gives one in
    /// another's name: they are those who put the policy into force that has it first.
    pub by: BTreeSet<PersonId>,
    /// Number of the document or record in which they gave it.
    pub record: Name,
    /// Rules whose approval it stands for.
    pub covers: BTreeSet<Name>,
    /// No personal data but these kinds; empty: none at all.
    #[serde(default)]
    pub found_at_most: BTreeSet<KindName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_up_to: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Names,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Names,
}

/// What a budget counts for each of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    #[serde(alias = "직원")]
    Person,
    #[serde(alias = "부서")]
    Department,
    #[serde(alias = "앱")]
    App,
    #[serde(alias = "제공자")]
    Provider,
    /// The whole body together.
    #[serde(alias = "기관")]
    Body,
}

impl Per {
    pub const ALL: [Per; 5] = [Per::Person, Per::Department, Per::App, Per::Provider, Per::Body];

    pub fn korean(self) -> &'static str {
        match self {
            Per::Person => "직원",
            Per::Department => "부서",
            Per::App => "앱",
            Per::Provider => "제공자",
            Per::Body => "기관",
        }
    }
}

/// Over how long a budget counts, in Korean time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    #[serde(alias = "일")]
    Day,
    #[serde(alias = "월")]
    Month,
}

impl Period {
    pub const ALL: [Period; 2] = [Period::Day, Period::Month];

    pub fn korean(self) -> &'static str {
        match self {
            Period::Day => "하루",
            Period::Month => "한 달",
        }
    }
}

/// Most that may be spent. What is absent is not limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub id: Name,
    pub per: Per,
    pub period: Period,
    /// Only these, by identifier or name; absent: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Names,
    /// Whole won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub won: Option<u64>,
    /// Tokens in and out together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

/// Price of a model from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    pub provider: Name,
    pub model: Name,
    /// First day on which it holds; of several the latest that has begun.
    pub from: CalendarDay,
    /// Whole won per million input tokens, which is micro-won per token.
    pub input: u64,
    /// Whole won per million output tokens.
    pub output: u64,
}

/// Prices, with a version that records name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    pub version: String,
    #[serde(rename = "model", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPrice>,
}

/// A checked policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    pub(crate) revision: u32,
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) holidays: BTreeSet<CalendarDay>,
    pub(crate) windows: Vec<Window>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) preapprovals: Vec<Preapproval>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) prices: Prices,
}

impl Policy {
    /// Counts up with each change that goes into force.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    /// Pre-approvals that another policy does not have just so.
    pub fn preapprovals_since<'a>(&'a self, before: &'a Policy) -> impl Iterator<Item = &'a Preapproval> {
        self.preapprovals.iter().filter(|p| !before.preapprovals.contains(p))
    }

    pub fn note(&self) -> &str {
        &self.note
    }

    pub fn holidays(&self) -> &BTreeSet<CalendarDay> {
        &self.holidays
    }

    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// In the order of the file, which decides nothing.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn preapprovals(&self) -> &[Preapproval] {
        &self.preapprovals
    }

    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    pub(crate) fn window(&self, name: &Name) -> Option<&Window> {
        self.windows.iter().find(|w| w.name == *name)
    }

    /// The sizes at which a rule or pre-approval draws a line, bytes: what splitting would stay below.
    pub fn size_limits(&self) -> BTreeSet<u64> {
        let rules = self.rules.iter().flat_map(|r| [r.when.bytes_over, r.when.bytes_up_to]);
        rules.chain(self.preapprovals.iter().map(|p| p.bytes_up_to)).flatten().collect()
    }
}

/// Roles by their stored or Korean names.
mod role_name {
    use madang_domain::Role;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(role: &Option<Role>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(role.map_or("", Role::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Role::ALL.into_iter().find(|r| r.as_str() == text || r.korean() == text);
        found.map(Some).ok_or_else(|| {
            let all = Role::ALL.map(|r| format!("{}({})", r.as_str(), r.korean())).join(", ");
            serde::de::Error::custom(format!("'{text}'은(는) 없는 역할입니다. 다음 가운데 하나를 적어 주세요: {all}."))
        })
    }
}

//! The decision on a request, with every rule that was looked at and why.
//!
//! **How rules combine.** The strictest rule that applies decides; their order in the file means nothing. First-match
//! was the alternative: there, inserting a line can silently loosen every line below it, and whoever reads one rule has
//! to have read all rules above. Here a refusal that stands anywhere in the file holds, and reading one rule tells what
//! it guarantees. Exceptions stand in the rule itself (`unless`). Nothing applies → denied; a fact that a rule asks for is missing →
//! denied. Deny by default and forbid over permit, without order, is also how Cedar decides.
//!
//! **More risk is never treated more loosely.** A rule does two things: it *lets pass* what is within its `~까지`
//! conditions, and it *demands* (refusal, officers, masking) of everything that meets its other conditions. A request
//! beyond a rule's bound is not let pass by it, and still owes what it demands: if clean text needs an officer, so does
//! the same text with a telephone number. So whatever rules a file holds, adding a found kind, bytes or a regraded
//! source never makes the decision milder; the floor sees to the grade.

use crate::facts::Facts;
use crate::floor::{self, FloorLaw};
use crate::matching::{Match, found_at_most, from_risk, up_to_risk, who_and_when};
use crate::model::{Approval, ApproverKind, Effect, Policy, Preapproval, Rule, Unit};
use serde::{Deserialize, Serialize};

/// Outcome, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May be sent as it is.
    Allow,
    /// May be sent once masked.
    AllowMasked,
    /// May be sent on approvals given beforehand.
    Preapproved,
    /// Waits for one officer (of each kind that is asked for).
    OneOfficer,
    /// Waits for two officers of one kind at least.
    TwoOfficers,
    Deny,
}

impl Verdict {
    pub const ALL: [Verdict; 6] = [
        Verdict::Allow,
        Verdict::AllowMasked,
        Verdict::Preapproved,
        Verdict::OneOfficer,
        Verdict::TwoOfficers,
        Verdict::Deny,
    ];

    pub fn korean(self) -> &'static str {
        match self {
            Verdict::Allow => "허용",
            Verdict::AllowMasked => "마스킹 후 허용",
            Verdict::Preapproved => "사전승인으로 허용",
            Verdict::OneOfficer => "담당관 승인 필요",
            Verdict::TwoOfficers => "담당관 두 명 승인 필요",
            Verdict::Deny => "거부",
        }
    }
}

/// What refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Refuser {
    Floor {
        #[serde(flatten)]
        law: FloorLaw,
    },
    Rule {
        id: String,
    },
    /// A fact that this rule asks for is missing.
    Undecided {
        id: String,
    },
    /// No rule lets it pass.
    Default,
}

/// One reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    pub by: Refuser,
    /// Korean, for the asker.
    pub reason: String,
}

/// Approval that is still owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// Different people, never the asker.
    pub officers: u8,
    pub from: ApproverKind,
    pub deadline_hours: u32,
    pub valid_hours: u32,
    pub substitutes: Vec<ApproverKind>,
    pub substitutes_after_hours: Option<u32>,
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "did")]
pub enum Did {
    /// Lets it pass, at its price.
    Grants,
    /// Asks for what it asks for, but does not let it pass. Korean: why not.
    Demands { why: String },
    /// Refuses it.
    Denies,
    /// Does not apply. Korean: why.
    NotHit { why: String },
    /// Its exception holds.
    Excepted,
    /// Cannot be decided. Korean: what is not known.
    Undecided { missing: String },
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    pub rule: String,
    pub title: String,
    #[serde(flatten)]
    pub did: Did,
}

impl Looked {
    fn is_hit(&self) -> bool {
        !matches!(self.did, Did::NotHit { .. } | Did::Excepted)
    }
}

/// A pre-approval that could have mattered. `why`: Korean, why it was not used; `None`: it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedPreapproval {
    pub id: String,
    pub record: String,
    pub why: Option<String>,
}

/// What the policy says to a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    /// Personal data is masked before it leaves. Always where any was found.
    pub masking: bool,
    /// Why it is denied; empty unless it is.
    pub denied: Vec<Denial>,
    /// Approvals still owed; empty where it is denied.
    pub needs: Vec<Need>,
    /// Every rule, in the order of the file.
    pub looked: Vec<Looked>,
    pub preapprovals: Vec<LookedPreapproval>,
}

impl Decision {
    /// As its asker is told it: the rules that had a part in it, nothing of the others.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.looked.retain(Looked::is_hit);
        self
    }

    /// Rules that had a part in it.
    pub fn hit(&self) -> impl Iterator<Item = &Looked> {
        self.looked.iter().filter(|l| l.is_hit())
    }
}

impl Policy {
    /// Decides on a request. Total and pure: the same policy and facts always give the same decision.
    pub fn decide(&self, facts: &Facts) -> Decision {
        let looked: Vec<Looked> = self
            .rules
            .iter()
            .map(|rule| Looked { rule: rule.id.to_string(), title: rule.title.clone(), did: self.look(rule, facts) })
            .collect();
        let denied = self.denials(facts, &looked);
        let demanding =
            self.rules.iter().zip(&looked).filter(|(_, l)| matches!(l.did, Did::Grants | Did::Demands { .. }));
        let masking = facts.personal().next().is_some()
            || demanding.clone().any(|(rule, _)| rule.effect == Effect::AllowWithMasking);
        let (needs, preapprovals) = self.needs(demanding.map(|(rule, _)| rule), facts);
        let verdict = match (denied.is_empty(), needs.iter().map(|n| n.officers).max()) {
            (false, _) => Verdict::Deny,
            (true, Some(n)) if n >= 2 => Verdict::TwoOfficers,
            (true, Some(_)) => Verdict::OneOfficer,
            (true, None) if preapprovals.iter().any(|p| p.why.is_none()) => Verdict::Preapproved,
            (true, None) if masking => Verdict::AllowMasked,
            (true, None) => Verdict::Allow,
        };
        let needs = if verdict == Verdict::Deny { Vec::new() } else { needs };
        Decision { verdict, masking, denied, needs, looked, preapprovals }
    }

    fn look(&self, rule: &Rule, facts: &Facts) -> Did {
        match who_and_when(self, &rule.when, facts).and(|| from_risk(&rule.when, facts)) {
            Match::No(why) => return Did::NotHit { why },
            // An exception that holds settles it, whatever is missing.
            Match::Unknown(missing) if self.excepted(rule, facts) != Match::Yes => return Did::Undecided { missing },
            _ => {}
        }
        match self.excepted(rule, facts) {
            Match::Yes => return Did::Excepted,
            Match::Unknown(missing) => return Did::Undecided { missing },
            Match::No(_) => {}
        }
        let masked = match rule.effect {
            Effect::Deny { .. } => return Did::Denies,
            Effect::Allow => false,
            Effect::AllowWithMasking | Effect::NeedsApproval(_) => true,
        };
        if rule.when.has_from() {
            return Did::Demands { why: "요구만 더하는 규칙임".to_owned() };
        }
        match up_to_risk(&rule.when, facts, masked) {
            Match::Yes => Did::Grants,
            Match::No(why) => Did::Demands { why },
            Match::Unknown(missing) => Did::Undecided { missing },
        }
    }

    fn excepted(&self, rule: &Rule, facts: &Facts) -> Match {
        match &rule.unless {
            Some(unless) => who_and_when(self, unless, facts),
            None => Match::No(String::new()),
        }
    }

    fn denials(&self, facts: &Facts, looked: &[Looked]) -> Vec<Denial> {
        let floor =
            floor::broken(facts).into_iter().map(|law| Denial { reason: law.korean(), by: Refuser::Floor { law } });
        let mut out: Vec<Denial> = floor.collect();
        for (rule, look) in self.rules.iter().zip(looked) {
            let id = look.rule.clone();
            match (&rule.effect, &look.did) {
                (Effect::Deny { reason }, Did::Denies) => {
                    out.push(Denial { by: Refuser::Rule { id }, reason: reason.clone() });
                }
                (_, Did::Undecided { missing }) => out.push(Denial {
                    reason: format!(
                        "{missing}을(를) 알 수 없어 '{id}' 규칙을 판단하지 못했습니다. 빠진 것을 채워 다시 신청해 주세요."
                    ),
                    by: Refuser::Undecided { id },
                }),
                _ => {}
            }
        }
        if out.is_empty() && !looked.iter().any(|l| l.did == Did::Grants) {
            out.push(Denial { by: Refuser::Default, reason: default_reason(looked) });
        }
        out
    }

    /// What is owed to the rules that apply, less what was approved beforehand.
    fn needs<'a>(
        &'a self,
        demanding: impl Iterator<Item = &'a Rule>,
        facts: &Facts,
    ) -> (Vec<Need>, Vec<LookedPreapproval>) {
        let mut needs: Vec<Need> = Vec::new();
        let mut looked: Vec<LookedPreapproval> = Vec::new();
        for rule in demanding {
            let Effect::NeedsApproval(approval) = &rule.effect else { continue };
            let mut covered = false;
            for pre in self.preapprovals.iter().filter(|p| p.covers.contains(&rule.id)) {
                let why = unusable(pre, approval, facts);
                covered |= why.is_none();
                note(&mut looked, pre, why);
            }
            if !covered {
                owe(&mut needs, rule, approval);
            }
        }
        (needs, looked)
    }
}

fn default_reason(looked: &[Looked]) -> String {
    let near = looked.iter().find_map(|l| match &l.did {
        Did::Demands { why } => {
            Some(format!("외부호출을 허용하는 규칙에 맞지 않습니다: {why}. 고쳐서 다시 신청해 주세요."))
        }
        _ => None,
    });
    near.unwrap_or_else(|| {
        "이 외부호출을 허용하는 규칙이 없습니다. 필요하면 보안담당에게 정책에 넣어 달라고 요청해 주세요.".to_owned()
    })
}

/// Each pre-approval once; used for one rule, it was used.
fn note(looked: &mut Vec<LookedPreapproval>, pre: &Preapproval, why: Option<String>) {
    match looked.iter_mut().find(|l| l.id == pre.id.as_str()) {
        Some(seen) if why.is_none() => seen.why = None,
        Some(_) => {}
        None => looked.push(LookedPreapproval { id: pre.id.to_string(), record: pre.record.to_string(), why }),
    }
}

/// Why a pre-approval does not stand in for this approval; `None`: it does.
fn unusable(pre: &Preapproval, approval: &Approval, facts: &Facts) -> Option<String> {
    let Some(app) = &facts.app else { return Some("어느 앱인지 알 수 없음".to_owned()) };
    let listed =
        |names: &crate::model::Names, unit: &Unit| names.as_ref().is_none_or(|all| all.iter().any(|n| n.is(unit)));
    let faults = [
        (!pre.app.is(&app.app), "앱이 다름"),
        (pre.version.as_str() != app.version, "앱의 판이 바뀜"),
        (facts.at_ms >= pre.until.ends_ms(), "기한이 지남"),
        (pre.by.contains(&facts.person), "신청한 사람이 스스로 승인함"),
        (pre.by.len() < usize::from(approval.officers), "승인한 사람이 모자람"),
        (!listed(&pre.providers, &facts.provider), "제공자가 다름"),
        (!listed(&pre.models, &Unit::new("", &facts.model)), "모델이 다름"),
        (pre.bytes_up_to.is_some_and(|most| facts.bytes > most), "크기가 한도를 넘음"),
    ];
    if let Some((_, why)) = faults.iter().find(|(fault, _)| *fault) {
        return Some((*why).to_owned());
    }
    match found_at_most(Some(&pre.found_at_most), facts) {
        Match::Yes => None,
        Match::No(why) => Some(why),
        Match::Unknown(missing) => Some(format!("{missing}을(를) 알 수 없음")),
    }
}

/// Rules that ask the same people are met together, at the strictest of their terms.
fn owe(needs: &mut Vec<Need>, rule: &Rule, approval: &Approval) {
    let same = needs.iter_mut().find(|n| {
        n.from == approval.from
            && n.substitutes == approval.substitutes
            && n.substitutes_after_hours == approval.substitutes_after_hours
    });
    match same {
        Some(need) => {
            need.rules.push(rule.id.to_string());
            need.officers = need.officers.max(approval.officers);
            need.deadline_hours = need.deadline_hours.min(approval.deadline_hours);
            need.valid_hours = need.valid_hours.min(approval.valid_hours);
        }
        None => needs.push(Need {
            rules: vec![rule.id.to_string()],
            officers: approval.officers,
            from: approval.from.clone(),
            deadline_hours: approval.deadline_hours,
            valid_hours: approval.valid_hours,
            substitutes: approval.substitutes.clone(),
            substitutes_after_hours: approval.substitutes_after_hours,
        }),
    }
}

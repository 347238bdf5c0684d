//! Who may approve what a decision asks for, and whether the approvals given are enough. The asker never may, whatever
//! a policy says. What an approval is bound to is the gateway's.

use crate::evaluate::Need;
use crate::model::{ApproverKind, Unit};
use madang_domain::{PersonId, Role};
use serde::{Deserialize, Serialize};

const MS_PER_HOUR: i64 = 3_600_000;

/// A post that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPost {
    pub department: Unit,
    pub roles: Vec<Role>,
}

/// Somebody who approved, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    pub person: PersonId,
    /// As they were held when the approval was given.
    pub posts: Vec<HeldPost>,
}

/// The request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<'a> {
    pub asker: PersonId,
    /// The department for which the asker asks.
    pub department: Option<&'a Unit>,
    /// Unix milliseconds.
    pub since_ms: i64,
    /// All regular officers are marked away.
    pub officers_away: bool,
}

/// An approval that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub approver: Approver,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// It was a substitute's turn for this need at that moment.
    pub stood_in: bool,
}

/// May this person approve?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Eligibility {
    Regular,
    Substitute,
    /// The person asked for it.
    Asker,
    /// A substitute whose turn has not come.
    NotYet,
    /// The deadline has passed: nobody may.
    Lapsed,
    /// Neither regular nor substitute.
    Stranger,
}

impl Eligibility {
    pub fn may(self) -> bool {
        matches!(self, Eligibility::Regular | Eligibility::Substitute)
    }

    /// Korean, for whoever may not; empty for whoever may.
    pub fn korean(self) -> &'static str {
        match self {
            Eligibility::Regular | Eligibility::Substitute => "",
            Eligibility::Asker => "자기가 신청한 외부호출은 스스로 승인할 수 없습니다. 다른 담당관이 정합니다.",
            Eligibility::NotYet => {
                "대신 승인할 차례가 아닙니다. 담당관이 자리를 비우거나 정한 시간이 지나면 승인할 수 있습니다."
            }
            Eligibility::Lapsed => "승인 기한이 지났습니다. 신청한 사람이 다시 신청해야 합니다.",
            Eligibility::Stranger => "이 외부호출을 승인할 담당관이 아닙니다. 정책에 적힌 담당관에게 알려 주세요.",
        }
    }
}

/// How far a need is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Different people who may approve and did.
    pub given: usize,
    pub asked: usize,
}

impl Progress {
    pub fn met(&self) -> bool {
        self.given >= self.asked
    }
}

impl Need {
    /// Last moment for an approval, Unix milliseconds.
    pub fn deadline_ms(&self, since_ms: i64) -> i64 {
        since_ms.saturating_add(i64::from(self.deadline_hours) * MS_PER_HOUR)
    }

    /// May this person approve at this moment?
    pub fn eligibility(&self, approver: &Approver, waiting: &Waiting<'_>, now_ms: i64) -> Eligibility {
        if approver.person == waiting.asker {
            return Eligibility::Asker;
        }
        if now_ms >= self.deadline_ms(waiting.since_ms) {
            return Eligibility::Lapsed;
        }
        if holds(&self.from, approver, waiting) {
            return Eligibility::Regular;
        }
        if !self.substitutes.iter().any(|kind| holds(kind, approver, waiting)) {
            return Eligibility::Stranger;
        }
        let late = self
            .substitutes_after_hours
            .is_some_and(|hours| now_ms >= waiting.since_ms.saturating_add(i64::from(hours) * MS_PER_HOUR));
        if waiting.officers_away || late { Eligibility::Substitute } else { Eligibility::NotYet }
    }

    /// Counts approvals; one person counts once, and a substitute where it was their turn. `waiting.officers_away` says
    /// nothing here: that was at another moment for each.
    pub fn progress(&self, given: &[Approval], waiting: &Waiting<'_>) -> Progress {
        let counts = |approval: &&Approval| {
            let then = Waiting { officers_away: approval.stood_in, ..waiting.clone() };
            self.eligibility(&approval.approver, &then, approval.at_ms).may()
        };
        let mut people: Vec<PersonId> = given.iter().filter(counts).map(|a| a.approver.person).collect();
        people.sort();
        people.dedup();
        Progress { given: people.len(), asked: usize::from(self.officers) }
    }
}

/// Every part that is named holds of one and the same post.
fn holds(kind: &ApproverKind, approver: &Approver, waiting: &Waiting<'_>) -> bool {
    if kind.role.is_none() && kind.department.is_none() && !kind.own_department {
        return false;
    }
    approver.posts.iter().any(|post| {
        kind.role.is_none_or(|role| post.roles.contains(&role))
            && kind.department.as_ref().is_none_or(|name| name.is(&post.department))
            && (!kind.own_department || waiting.department.is_some_and(|own| own.id == post.department.id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u128) -> PersonId {
        serde_json::from_value(serde_json::json!(format!("00000000-0000-0000-0000-{n:012x}"))).unwrap()
    }

    fn holder(n: u128, role: Role, department: &str) -> Approver {
        let post = HeldPost { department: Unit::new(department, department), roles: vec![role] };
        Approver { person: person(n), posts: vec![post] }
    }

    fn kind(role: Role) -> ApproverKind {
        ApproverKind { role: Some(role), department: None, own_department: false }
    }

    fn need(officers: u8) -> Need {
        Need {
            rules: vec!["r".into()],
            officers,
            from: kind(Role::Security),
            deadline_hours: 24,
            valid_hours: 24,
            substitutes: vec![ApproverKind { own_department: true, ..kind(Role::Manager) }],
            substitutes_after_hours: Some(4),
        }
    }

    #[test]
    fn the_asker_never_counts_and_nobody_counts_twice() {
        let own = Unit::new("교통과", "교통과");
        let waiting = Waiting { asker: person(1), department: Some(&own), since_ms: 0, officers_away: false };
        let officer =
            |n| Approval { approver: holder(n, Role::Security, "정보통신과"), at_ms: 1, stood_in: false };
        assert_eq!(need(2).eligibility(&officer(1).approver, &waiting, 1), Eligibility::Asker);
        assert_eq!(need(2).progress(&[officer(1), officer(2), officer(2)], &waiting), Progress { given: 1, asked: 2 });
        assert!(need(2).progress(&[officer(3), officer(2)], &waiting).met());
    }

    #[test]
    fn a_substitute_counts_only_where_it_was_their_turn() {
        let own = Unit::new("교통과", "교통과");
        let waiting = Waiting { asker: person(1), department: Some(&own), since_ms: 0, officers_away: true };
        let given = |stood_in| Approval { approver: holder(5, Role::Manager, "교통과"), at_ms: 1, stood_in };
        assert_eq!(need(1).progress(&[given(false)], &waiting).given, 0);
        assert_eq!(need(1).progress(&[given(true)], &waiting).given, 1);
    }

    #[test]
    fn substitutes_wait_for_their_turn_and_everyone_for_the_deadline() {
        let own = Unit::new("교통과", "교통과");
        let hour = MS_PER_HOUR;
        let mut waiting = Waiting { asker: person(1), department: Some(&own), since_ms: 0, officers_away: false };
        let manager = holder(5, Role::Manager, "교통과");
        let need = need(1);
        assert_eq!(need.eligibility(&manager, &waiting, 4 * hour - 1), Eligibility::NotYet);
        assert_eq!(need.eligibility(&manager, &waiting, 4 * hour), Eligibility::Substitute);
        assert_eq!(need.eligibility(&manager, &waiting, 24 * hour), Eligibility::Lapsed);
        assert_eq!(need.eligibility(&holder(6, Role::Manager, "세정과"), &waiting, 5 * hour), Eligibility::Stranger);
        waiting.officers_away = true;
        assert_eq!(need.eligibility(&manager, &waiting, 1), Eligibility::Substitute);
        waiting.department = None;
        assert_eq!(need.eligibility(&manager, &waiting, 1), Eligibility::Stranger);
    }
}

//! What no policy can lower. The evaluator asks here before any rule; the check refuses files that would say otherwise.

use crate::facts::Facts;
use crate::kinds::{self, Class};
use madang_domain::Grade;
use serde::{Deserialize, Serialize};

/// The floor in one sentence, for messages about files.
pub const KOREAN_FLOOR: &str = "이 바닥 원칙은 정책으로 바꿀 수 없습니다.";

/// A law of the floor that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "law")]
pub enum FloorLaw {
    /// N2SF 1.0: C never leaves.
    Classified,
    /// N2SF 1.0: S leaves only after a named officer regraded it, and is O by then.
    Sensitive,
    /// Unique identifiers (개인정보 보호법 §24, §24-2) and credentials never leave.
    Identifiers { kinds: Vec<String> },
    /// The detector says that something may not leave, whatever it calls it.
    DetectorBlocked,
    /// The grade of the sources is not known.
    GradeUnknown,
    /// The text was not inspected to its end.
    NotInspected,
    /// The time is out of range.
    TimeUnknown,
}

impl FloorLaw {
    /// For the asker: why, and what to do.
    pub fn korean(&self) -> String {
        match self {
            FloorLaw::Classified => "기밀(C) 등급 자료는 외부로 보낼 수 없습니다. 그 자료를 빼고 다시 신청해 주세요.".into(),
            FloorLaw::Sensitive => {
                "민감(S) 등급 자료는 외부로 보낼 수 없습니다. 자료를 빼거나, 지정된 담당관에게 등급 재분류를 먼저 받아 주세요.".into()
            }
            FloorLaw::Identifiers { kinds } => {
                let names: Vec<_> = kinds.iter().map(|k| kinds::korean(k)).collect();
                format!("외부로 보낼 수 없는 정보가 들어 있습니다({}). 지우고 다시 신청해 주세요.", names.join(", "))
            }
            FloorLaw::DetectorBlocked => "검사에서 외부로 보낼 수 없는 정보가 나왔습니다. 지우고 다시 신청해 주세요.".into(),
            FloorLaw::GradeUnknown => "자료의 등급을 알 수 없어 보낼 수 없습니다. 자료 모음의 등급을 정한 뒤 다시 신청해 주세요.".into(),
            FloorLaw::NotInspected => "내용을 검사하지 못해 보낼 수 없습니다. 잠시 뒤 다시 하거나 운영자에게 알려 주세요.".into(),
            FloorLaw::TimeUnknown => "지금 시각을 알 수 없어 보낼 수 없습니다. 운영자에게 서버 시각을 확인하도록 알려 주세요.".into(),
        }
    }
}

/// Every law of the floor that the request breaks; empty: the rules decide. That nobody approves what they asked for
/// is kept in `approval` and, for pre-approvals, in `evaluate`.
pub fn broken(facts: &Facts) -> Vec<FloorLaw> {
    let mut out = Vec::new();
    match facts.grade {
        Some(Grade::Open) => {}
        Some(Grade::Sensitive) => out.push(FloorLaw::Sensitive),
        Some(Grade::Classified) => out.push(FloorLaw::Classified),
        None => out.push(FloorLaw::GradeUnknown),
    }
    let kinds: Vec<String> = facts.kinds().filter(|k| kinds::class(k) == Class::Blocked).map(str::to_owned).collect();
    if facts.found.is_none() {
        out.push(FloorLaw::NotInspected);
    }
    if !kinds.is_empty() {
        out.push(FloorLaw::Identifiers { kinds });
    } else if facts.detector_blocked {
        out.push(FloorLaw::DetectorBlocked);
    }
    if crate::time::korean_time(facts.at_ms).is_none() {
        out.push(FloorLaw::TimeUnknown);
    }
    out
}

//! Does a rule's condition hold for a request: yes, no with the reason, or unknown because a fact is missing.
//! What follows from it is `evaluate`'s.

use crate::facts::Facts;
use crate::kinds;
use crate::model::{Conditions, Name, Names, Policy, Unit};
use crate::time::korean_time;
use std::collections::BTreeSet;

/// Three-valued: a missing fact is neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    /// Korean: which condition does not hold.
    No(String),
    /// Korean: which fact is missing.
    Unknown(String),
}

impl Match {
    fn when(holds: bool, otherwise: impl FnOnce() -> String) -> Self {
        if holds { Match::Yes } else { Match::No(otherwise()) }
    }

    /// Kleene's conjunction: one no decides, then one unknown.
    pub(crate) fn and(self, next: impl FnOnce() -> Match) -> Match {
        match self {
            Match::No(_) => self,
            Match::Yes => next(),
            Match::Unknown(_) => match next() {
                no @ Match::No(_) => no,
                _ => self,
            },
        }
    }
}

fn listed(names: &Names, unit: &Unit, what: &str) -> Match {
    let holds = names.as_ref().is_none_or(|all| all.iter().any(|n| n.is(unit)));
    Match::when(holds, || format!("{what}이(가) 다름({})", unit.name))
}

/// Whom, what, where to and when: everything but the conditions on risk.
pub(crate) fn who_and_when(policy: &Policy, c: &Conditions, facts: &Facts) -> Match {
    grades(c, facts)
        .and(|| departments(c, facts))
        .and(|| apps(c, facts))
        .and(|| listed(&c.people, &facts.asker(), "직원"))
        .and(|| listed(&c.providers, &facts.provider, "제공자"))
        .and(|| hosts(c.hosts.as_ref(), &facts.host))
        .and(|| listed(&c.models, &Unit::new("", &facts.model), "모델"))
        .and(|| purposes(c.purposes.as_ref(), &facts.purpose))
        .and(|| windows(policy, c, facts.at_ms))
}

fn grades(c: &Conditions, facts: &Facts) -> Match {
    match (&c.grades, facts.grade) {
        (None, _) => Match::Yes,
        (Some(_), None) => Match::Unknown("자료의 등급".to_owned()),
        (Some(all), Some(grade)) => Match::when(all.contains(&grade), || format!("등급이 다름({})", grade.letter())),
    }
}

fn departments(c: &Conditions, facts: &Facts) -> Match {
    let Some(names) = &c.departments else { return Match::Yes };
    let Some(own) = facts.departments.first() else { return Match::Unknown("신청한 사람의 부서".to_owned()) };
    let reach = if c.sub_departments { facts.departments.len() } else { 1 };
    let holds = facts.departments.iter().take(reach).any(|d| names.iter().any(|n| n.is(d)));
    Match::when(holds, || format!("부서가 다름({})", own.name))
}

fn apps(c: &Conditions, facts: &Facts) -> Match {
    if c.apps.is_none() && c.versions.is_none() {
        return Match::Yes;
    }
    let Some(app) = &facts.app else { return Match::Unknown("어느 앱에서 신청했는지".to_owned()) };
    let version = Unit::new(app.version.as_str(), &app.version);
    listed(&c.apps, &app.app, "앱").and(|| listed(&c.versions, &version, "앱의 판"))
}

fn hosts(names: Option<&BTreeSet<Name>>, host: &str) -> Match {
    let host = host.trim_end_matches('.').to_lowercase();
    let fits = |name: &Name| {
        let name = name.as_str().to_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => host == name,
        }
    };
    Match::when(names.is_none_or(|all| all.iter().any(fits)), || format!("보낼 곳이 다름({host})"))
}

fn purposes(words: Option<&BTreeSet<Name>>, purpose: &str) -> Match {
    let Some(words) = words else { return Match::Yes };
    let bare = |text: &str| Unit::new("", text).name.split_whitespace().collect::<String>().to_lowercase();
    let purpose = bare(purpose);
    if purpose.is_empty() {
        return Match::Unknown("용도".to_owned());
    }
    Match::when(words.iter().any(|w| purpose.contains(&bare(w.as_str()))), || "용도가 다름".to_owned())
}

fn windows(policy: &Policy, c: &Conditions, at_ms: i64) -> Match {
    if c.during.is_none() && c.outside.is_none() {
        return Match::Yes;
    }
    let Some(local) = korean_time(at_ms) else { return Match::Unknown("지금 시각".to_owned()) };
    let inside = |name: &Name| policy.window(name).map(|w| w.contains(local, &policy.holidays));
    // The check has refused names of windows that do not exist; one that is missing all the same decides nothing.
    if c.during.iter().chain(&c.outside).flatten().any(|n| inside(n).is_none()) {
        return Match::Unknown("시간대".to_owned());
    }
    let within = |names: &BTreeSet<Name>| names.iter().any(|n| inside(n) == Some(true));
    Match::when(c.during.as_ref().is_none_or(within), || "정한 시간대가 아님".to_owned())
        .and(|| Match::when(!c.outside.as_ref().is_some_and(within), || "제외한 시간대임".to_owned()))
}

/// The conditions that hold *from* some risk on.
pub(crate) fn from_risk(c: &Conditions, facts: &Facts) -> Match {
    found_any(c, facts)
        .and(|| match c.regraded {
            Some(true) => Match::when(facts.regraded_from.is_some(), || "등급을 내린 자료가 없음".to_owned()),
            _ => Match::Yes,
        })
        .and(|| {
            Match::when(c.bytes_over.is_none_or(|over| facts.bytes > over), || {
                format!("크기가 {}바이트로 기준보다 크지 않음", facts.bytes)
            })
        })
}

fn found_any(c: &Conditions, facts: &Facts) -> Match {
    let Some(kinds) = &c.found_any else { return Match::Yes };
    if facts.found.is_none() {
        return Match::Unknown("개인정보 검사 결과".to_owned());
    }
    let holds = facts.kinds().any(|found| kinds.iter().any(|k| k.covers(found)));
    Match::when(holds, || "해당하는 개인정보가 없음".to_owned())
}

/// The conditions that bound what a rule lets pass; `masked`: personal data that is not bounded may pass masked.
pub(crate) fn up_to_risk(c: &Conditions, facts: &Facts, masked: bool) -> Match {
    let none = BTreeSet::new();
    let bound = c.found_at_most.as_ref().or(if masked { None } else { Some(&none) });
    found_at_most(bound, facts)
        .and(|| match c.regraded {
            Some(false) => Match::when(facts.regraded_from.is_none(), || "등급을 내린 자료가 들어 있음".to_owned()),
            _ => Match::Yes,
        })
        .and(|| {
            Match::when(c.bytes_up_to.is_none_or(|most| facts.bytes <= most), || {
                format!("크기가 {}바이트로 한도를 넘음", facts.bytes)
            })
        })
}

pub(crate) fn found_at_most(bound: Option<&BTreeSet<kinds::KindName>>, facts: &Facts) -> Match {
    let Some(bound) = bound else { return Match::Yes };
    if facts.found.is_none() {
        return Match::Unknown("개인정보 검사 결과".to_owned());
    }
    let beyond: Vec<_> =
        facts.personal().filter(|found| !bound.iter().any(|k| k.covers(found))).map(kinds::korean).collect();
    Match::when(beyond.is_empty(), || format!("허용하지 않은 개인정보가 들어 있음({})", beyond.join(", ")))
}

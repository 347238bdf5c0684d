//! Rules beside each other: which one covers another, which only overlap. Works on the text alone and errs on the side
//! of saying nothing: what it calls covered is covered.

use super::{Findings, Issue, Weight, verdict};
use crate::kinds::KindName;
use crate::model::{Conditions, Effect, Names, Policy, Rule};
use std::collections::BTreeSet;

/// Most rules named in one finding.
const SHOWN: usize = 5;

pub(super) fn pairs(out: &mut Findings, policy: &Policy) {
    for (i, rule) in policy.rules.iter().enumerate() {
        let at = format!("rule.{}", rule.id);
        let stricter =
            policy.rules.iter().find(|o| o.effect.strictness() > rule.effect.strictness() && demands_all_of(o, rule));
        let twin = policy.rules.iter().take(i).find(|o| same(o, rule));
        if let Some(twin) = twin {
            let sentence = format!("'{}' 규칙은 '{}' 규칙과 같습니다. 하나를 지워 주세요.", rule.id, twin.id);
            out.add(Issue::Duplicate, Weight::Warning, at, sentence);
        } else if let Some(by) = stricter {
            let sentence = format!(
                "'{}' 규칙({})이 적용되는 요청은 모두 더 엄격한 '{}' 규칙({})에도 걸립니다. 조건을 좁히거나 예외(unless)를 두거나 규칙을 지워 주세요.",
                rule.id,
                verdict(&rule.effect).korean(),
                by.id,
                verdict(&by.effect).korean()
            );
            out.add(Issue::Shadowed, Weight::Warning, at, sentence);
        } else if !matches!(rule.effect, Effect::Deny { .. }) {
            contradictions(out, policy, rule, at);
        }
    }
}

/// Refusing rules that a permitting one meets in part, told together.
fn contradictions(out: &mut Findings, policy: &Policy, rule: &Rule, at: String) {
    let denies = |o: &&Rule| matches!(o.effect, Effect::Deny { .. }) && overlap(o, rule);
    let ids: Vec<_> = policy.rules.iter().filter(denies).map(|o| o.id.as_str()).collect();
    if ids.is_empty() {
        return;
    }
    let more = if ids.len() > SHOWN { format!(" 등 {}개", ids.len()) } else { String::new() };
    let shown = crate::words::quoted(ids.iter().take(SHOWN));
    let sentence = format!("'{}' 규칙이 거부 규칙 {shown}{more}과(와) 겹칩니다. 겹치는 요청은 거부합니다.", rule.id);
    out.add(Issue::Contradiction, Weight::Note, at, sentence);
}

fn same(a: &Rule, b: &Rule) -> bool {
    (&a.effect, &a.when, &a.unless) == (&b.effect, &b.when, &b.unless)
}

/// Wherever `inner` lets pass or demands, `outer` demands too. Bounds of `outer` do not matter: what it demands holds
/// beyond them.
fn demands_all_of(outer: &Rule, inner: &Rule) -> bool {
    let excepts_no_more = match (&outer.unless, &inner.unless) {
        (None, _) => true,
        (Some(outer), Some(inner)) => outer == inner,
        (Some(_), None) => false,
    };
    excepts_no_more && covers(&outer.when, &inner.when)
}

/// Every request that meets `inner` meets `outer`, bounds (`~까지`) of `outer` aside.
pub(super) fn covers(outer: &Conditions, inner: &Conditions) -> bool {
    fn within<T: Ord>(outer: &Option<BTreeSet<T>>, inner: &Option<BTreeSet<T>>) -> bool {
        match (outer, inner) {
            (None, _) => true,
            (Some(outer), Some(inner)) => inner.is_subset(outer),
            (Some(_), None) => false,
        }
    }
    let lists: [(&Names, &Names); 8] = [
        (&outer.apps, &inner.apps),
        (&outer.versions, &inner.versions),
        (&outer.people, &inner.people),
        (&outer.providers, &inner.providers),
        (&outer.hosts, &inner.hosts),
        (&outer.models, &inner.models),
        (&outer.purposes, &inner.purposes),
        (&outer.during, &inner.during),
    ];
    let departments = within(&outer.departments, &inner.departments)
        && (outer.departments.is_none() || outer.sub_departments || !inner.sub_departments);
    // Outside fewer windows is wider.
    let outside = match (&outer.outside, &inner.outside) {
        (None, _) => true,
        (Some(outer), Some(inner)) => outer.is_subset(inner),
        (Some(_), None) => false,
    };
    let found = match (&outer.found_any, &inner.found_any) {
        (None, _) => true,
        (Some(outer), Some(inner)) => inner.iter().all(|k| outer.contains(k) || covered_kind(outer, k)),
        (Some(_), None) => false,
    };
    let regraded = outer.regraded != Some(true) || inner.regraded == Some(true);
    let bytes = outer.bytes_over.is_none_or(|outer| inner.bytes_over.is_some_and(|inner| inner >= outer));
    // Without grades only O ever reaches a rule that decides.
    let grades = match (&outer.grades, &inner.grades) {
        (Some(outer), None) => outer.contains(&madang_domain::Grade::Open),
        (outer, inner) => within(outer, inner),
    };
    grades && departments && outside && found && regraded && bytes && lists.into_iter().all(|(o, i)| within(o, i))
}

fn covered_kind(outer: &BTreeSet<KindName>, kind: &KindName) -> bool {
    outer.iter().any(|k| k.covers(kind.as_str()))
}

/// Some request may meet both, as far as their lists tell.
fn overlap(a: &Rule, b: &Rule) -> bool {
    fn meet<T: Ord>(a: &Option<BTreeSet<T>>, b: &Option<BTreeSet<T>>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a.intersection(b).next().is_some(),
            _ => true,
        }
    }
    let (x, y) = (&a.when, &b.when);
    let excluded = |rule: &Rule, other: &Rule| rule.unless.as_ref().is_some_and(|u| covers(u, &other.when));
    // With sub-departments a department above may meet one below: lists do not tell.
    let departments = x.sub_departments || y.sub_departments || meet(&x.departments, &y.departments);
    let kinds = match (&x.found_any, &y.found_at_most) {
        (Some(any), Some(most)) => {
            any.iter().any(|k| covered_kind(most, k) || k.as_str() == crate::kinds::PERSONAL && !most.is_empty())
        }
        (Some(_), None) => !matches!(b.effect, Effect::Allow),
        (None, _) => true,
    };
    let sizes = x.bytes_over.zip(y.bytes_up_to).is_none_or(|(over, most)| over < most);
    let regraded = !(x.regraded == Some(true) && y.regraded == Some(false));
    let open = |c: &Conditions| c.grades.as_ref().is_none_or(|g| g.contains(&madang_domain::Grade::Open));
    departments
        && kinds
        && sizes
        && regraded
        && open(x)
        && open(y)
        && meet(&x.apps, &y.apps)
        && meet(&x.versions, &y.versions)
        && meet(&x.people, &y.people)
        && meet(&x.providers, &y.providers)
        && meet(&x.hosts, &y.hosts)
        && meet(&x.models, &y.models)
        && !excluded(a, b)
        && !excluded(b, a)
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, Issue, lint};
    use crate::model::Policy;

    fn issues(rest: &str) -> Vec<(Issue, String)> {
        let policy = Policy::parse(&format!("format=1\nrevision=1\n{rest}")).unwrap();
        let kept = [Issue::Shadowed, Issue::Duplicate, Issue::Contradiction, Issue::NeverMatches];
        lint(&policy, &Directory::default(), 0)
            .into_iter()
            .filter(|f| kept.contains(&f.issue))
            .map(|f| (f.issue, f.at))
            .collect()
    }

    fn rule(id: &str, effect: &str, when: &str) -> String {
        let rest = if effect == "deny" { "reason=\"x\"" } else { "" };
        format!("[[rule]]\nid=\"{id}\"\neffect=\"{effect}\"\n{rest}\n[rule.when]\n{when}\n")
    }

    #[test]
    fn a_rule_below_a_wider_stricter_one_is_shadowed_and_an_exception_frees_it() {
        let narrow = rule("a", "allow", "departments=[\"교통과\"]\nmodels=[\"m\"]");
        let wide = rule("b", "deny", "departments=[\"교통과\", \"세정과\"]");
        assert_eq!(issues(&format!("{narrow}{wide}")), [(Issue::Shadowed, "rule.a".to_owned())]);
        let freed = format!("{narrow}{wide}[rule.unless]\nmodels=[\"m\"]\n");
        assert_eq!(issues(&freed), []);
    }

    #[test]
    fn partial_overlap_is_told_and_disjoint_rules_are_not() {
        let open = rule("a", "allow", "departments=[\"교통과\"]");
        let model = rule("b", "deny", "models=[\"m\"]");
        assert_eq!(issues(&format!("{open}{model}")), [(Issue::Contradiction, "rule.a".to_owned())]);
        assert_eq!(issues(&format!("{open}{}", rule("b", "deny", "departments=[\"세정과\"]"))), []);
        assert_eq!(
            issues(&format!("{open}{}", rule("b", "deny", "found_any=[\"card\"]"))),
            [],
            "allow is for clean text"
        );
        assert_eq!(
            issues(&format!("{open}{}", rule("b", "allow", "departments=[\"교통과\"]"))),
            [(Issue::Duplicate, "rule.b".to_owned())]
        );
    }

    #[test]
    fn a_rule_that_excepts_itself_never_matches() {
        let text = format!(
            "{}[rule.unless]\ndepartments=[\"교통과\", \"세정과\"]\n",
            rule("a", "allow", "departments=[\"교통과\"]")
        );
        assert_eq!(issues(&text), [(Issue::NeverMatches, "rule.a".to_owned())]);
    }
}

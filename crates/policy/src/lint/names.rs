//! Names in a policy that nothing in the body answers to.

use super::{Directory, Findings, Issue, Weight};
use crate::model::{Conditions, Effect, Name, Names, Per, Policy, Unit};
use std::collections::BTreeSet;

pub(super) fn unknown(out: &mut Findings, policy: &Policy, directory: &Directory) {
    let known = Known::of(directory);
    for rule in &policy.rules {
        let at = format!("rule.{}", rule.id);
        for conditions in [Some(&rule.when), rule.unless.as_ref()].into_iter().flatten() {
            known.conditions(out, &at, conditions);
        }
        if let Effect::NeedsApproval(approval) = &rule.effect {
            let departments =
                [&approval.from].into_iter().chain(&approval.substitutes).filter_map(|k| k.department.as_ref());
            departments.for_each(|name| known.name(out, &at, "부서", &known.departments, name));
        }
    }
    for pre in &policy.preapprovals {
        let at = format!("preapproval.{}", pre.id);
        known.name(out, &at, "앱", &known.apps, &pre.app);
        known.name(out, &at, "앱의 판", &known.versions, &pre.version);
        known.names(out, &at, "제공자", &known.providers, &pre.providers);
        known.names(out, &at, "모델", &known.models, &pre.models);
        for person in pre.by.iter().filter(|p| !directory.people.iter().any(|k| k.id == **p)) {
            add(out, &at, "직원", &person.to_string());
        }
    }
    for budget in &policy.budgets {
        let (what, all) = match budget.per {
            Per::Person => ("직원", &known.people),
            Per::Department => ("부서", &known.departments),
            Per::App => ("앱", &known.apps),
            Per::Provider => ("제공자", &known.providers),
            Per::Body => continue,
        };
        known.names(out, &format!("budget.{}", budget.id), what, all, &budget.only);
    }
    for price in &policy.prices.models {
        known.name(out, "prices", "제공자", &known.providers, &price.provider);
        known.name(out, "prices", "모델", &known.models, &price.model);
    }
}

/// Everything that a name may stand for.
struct Known {
    departments: Vec<Unit>,
    apps: Vec<Unit>,
    versions: Vec<Unit>,
    people: Vec<Unit>,
    providers: Vec<Unit>,
    hosts: Vec<String>,
    models: Vec<Unit>,
}

impl Known {
    fn of(directory: &Directory) -> Self {
        let alone = |text: &String| Unit::new(text.as_str(), text);
        Self {
            departments: directory.departments.clone(),
            apps: directory.apps.iter().map(|a| a.unit.clone()).collect(),
            versions: directory.apps.iter().flat_map(|a| &a.versions).map(alone).collect(),
            people: directory.people.iter().map(|p| Unit::new(p.id.to_string(), &p.login)).collect(),
            providers: directory.providers.iter().map(|p| p.unit.clone()).collect(),
            hosts: directory.providers.iter().map(|p| p.host.to_lowercase()).collect(),
            models: directory.providers.iter().flat_map(|p| &p.models).map(alone).collect(),
        }
    }

    fn conditions(&self, out: &mut Findings, at: &str, c: &Conditions) {
        self.names(out, at, "부서", &self.departments, &c.departments);
        self.names(out, at, "앱", &self.apps, &c.apps);
        self.names(out, at, "앱의 판", &self.versions, &c.versions);
        self.names(out, at, "직원", &self.people, &c.people);
        self.names(out, at, "제공자", &self.providers, &c.providers);
        self.names(out, at, "모델", &self.models, &c.models);
        for host in c.hosts.iter().flatten() {
            let name = host.as_str().to_lowercase();
            let fits = |known: &String| match name.strip_prefix("*.") {
                Some(parent) => known.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
                None => *known == name,
            };
            if !self.hosts.iter().any(fits) {
                add(out, at, "제공자 주소", host.as_str());
            }
        }
    }

    fn names(&self, out: &mut Findings, at: &str, what: &str, all: &[Unit], names: &Names) {
        names.iter().flatten().for_each(|name| self.name(out, at, what, all, name));
    }

    fn name(&self, out: &mut Findings, at: &str, what: &str, all: &[Unit], name: &Name) {
        let answering: BTreeSet<&str> = all.iter().filter(|u| name.is(u)).map(|u| u.id.as_str()).collect();
        match answering.len() {
            0 => add(out, at, what, name.as_str()),
            1 => {}
            n => {
                let sentence = format!("'{name}': 그런 {what}이(가) {n}개 있습니다. 이름 대신 고유번호를 적어 주세요.");
                out.add(Issue::AmbiguousName, Weight::Error, at, sentence);
            }
        }
    }
}

fn add(out: &mut Findings, at: &str, what: &str, name: &str) {
    let sentence = format!("'{name}': 그런 {what}이(가) 없습니다. 이름을 확인하거나 지워 주세요.");
    out.add(Issue::UnknownName, Weight::Error, at, sentence);
}

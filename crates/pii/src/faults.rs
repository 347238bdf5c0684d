//! Everything that is wrong with a dictionary while it is being edited, each by its place. Whether it can be compiled at all
//! is decided in `rules`.

use crate::kind::Kind;
use crate::rules::{Dictionary, Rules, check_size, checked_term, compiled};
use crate::scan_with;
use serde::Serialize;
use std::collections::HashSet;

/// Longest name of a rule, in characters.
const MAX_NAME: usize = 40;

/// Part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultField {
    /// The dictionary or the rule as a whole.
    Whole,
    Name,
    Terms,
    Patterns,
}

/// Something to put right in a dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// From 1; 0 for the dictionary as a whole.
    pub rule: usize,
    pub field: FaultField,
    /// Line among the terms or patterns, from 1; 0 for the field as a whole.
    pub line: usize,
    /// A Korean sentence for whoever edits it. It may quote words of the dictionary.
    pub message: String,
}

impl Dictionary {
    /// Everything to put right, in order; a dictionary without faults compiles. More than [`Rules::new`] asks for: names are
    /// short, told apart, and hold no word of the dictionary, since they stand in records.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Err(error) = check_size(self) {
            faults.push(Fault { rule: 0, field: FaultField::Whole, line: 0, message: error.to_string() });
            return faults;
        }
        let mut names = HashSet::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let mut fault = |field, line, message| faults.push(Fault { rule: i + 1, field, line, message });
            let name = rule.name.trim();
            if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
                let message = format!("무엇을 지키는 규칙인지 이름을 1~{MAX_NAME}자로 적으세요.");
                fault(FaultField::Name, 0, message);
            } else if !names.insert(name) {
                fault(FaultField::Name, 0, format!("‘{name}’이라는 규칙이 이미 있습니다. 다른 이름을 적으세요."));
            }
            if rule.terms.is_empty() && rule.patterns.is_empty() {
                fault(FaultField::Whole, 0, "낱말이나 형식을 하나 이상 적으세요.".to_owned());
            }
            let mut seen = HashSet::new();
            for (line, term) in rule.terms.iter().enumerate() {
                match checked_term(name, term) {
                    Err(error) => fault(FaultField::Terms, line + 1, error.to_string()),
                    Ok(term) if !seen.insert(term.clone()) => {
                        fault(FaultField::Terms, line + 1, "위에 같은 낱말이 있습니다. 한쪽을 지우세요.".to_owned());
                    }
                    Ok(_) => {}
                }
            }
            for (line, pattern) in rule.patterns.iter().enumerate() {
                if let Err(error) = compiled(name, pattern) {
                    fault(FaultField::Patterns, line + 1, error.to_string());
                }
            }
        }
        if faults.is_empty() {
            self.telling_names(&mut faults);
        }
        faults
    }

    /// Names that give away what they protect.
    fn telling_names(&self, faults: &mut Vec<Fault>) {
        let rules = match Rules::new(self) {
            Ok(rules) => rules,
            Err(error) => {
                faults.push(Fault { rule: 0, field: FaultField::Whole, line: 0, message: error.to_string() });
                return;
            }
        };
        for (i, rule) in self.rules.iter().enumerate() {
            if scan_with(&rule.name, &rules).findings.iter().any(|f| f.kind == Kind::Custom) {
                let message = "이름에 사전의 말이 들어 있습니다. 이름은 기록에 남으니 다른 말로 적으세요.".to_owned();
                faults.push(Fault { rule: i + 1, field: FaultField::Name, line: 0, message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rule;

    fn rule(name: &str, terms: &[&str], patterns: &[&str]) -> Rule {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Rule { name: name.into(), terms: words(terms), patterns: words(patterns), ..Rule::default() }
    }

    fn places(rules: Vec<Rule>) -> Vec<(usize, FaultField, usize)> {
        Dictionary { rules }.faults().into_iter().map(|f| (f.rule, f.field, f.line)).collect()
    }

    #[test]
    fn each_fault_is_told_by_its_place() {
        use FaultField::{Name, Patterns, Terms, Whole};
        let rules = vec![
            rule("사업", &["한울 사업", "가", "한울-사업"], &[]),
            rule("사업", &[], &["GR-[0-9]{4}", "(", "a*"]),
            rule(" ", &[], &[]),
        ];
        let expected = [
            (1, Terms, 2),
            (1, Terms, 3),
            (2, Name, 0),
            (2, Patterns, 2),
            (2, Patterns, 3),
            (3, Name, 0),
            (3, Whole, 0),
        ];
        assert_eq!(places(rules), expected);
        assert_eq!(places(vec![rule("사업", &["한울 사업"], &["GR-[0-9]{4}"])]), []);
    }

    #[test]
    fn a_name_may_not_give_away_a_word() {
        let rules = vec![rule("사업", &["한울 사업"], &[]), rule("한-울 사업의 예산", &["한울 예산"], &[])];
        assert_eq!(places(rules), [(2, FaultField::Name, 0)]);
        assert_eq!(places(vec![rule("많음", &["가나"; 20_001], &[])]), [(0, FaultField::Whole, 0)]);
    }
}

//! What changes between two policies: as data, and as Korean sentences. Things are compared by their identifiers;
//! order and spelling make no difference.

use crate::model::{Budget, Conditions, Effect, Policy, Rule};
use crate::words;
use serde::Serialize;
use std::collections::BTreeSet;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Rule,
    Preapproval,
    Budget,
    Window,
    Holidays,
    Price,
    /// Title, note and revision.
    Heading,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Looser,
    Stricter,
    /// Neither, or not to be told from the text alone.
    Other,
}

impl Change {
    /// May something pass now that did not pass before? Titles, notes and the revision decide nothing.
    pub fn may_loosen(&self) -> bool {
        self.direction != Direction::Stricter && self.part != Part::Heading && self.field != "title"
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub part: Part,
    /// Identifier of the rule, budget and so on; empty for parts that there is one of.
    pub id: String,
    /// Field that changed; empty where the whole was added or removed.
    pub field: String,
    /// Korean; empty where it was added.
    pub before: String,
    /// Korean; empty where it was removed.
    pub after: String,
    pub direction: Direction,
    /// The change in one Korean sentence.
    pub sentence: String,
}

/// Everything that changes from one policy to the other; empty exactly when their hashes are equal.
pub fn diff(before: &Policy, after: &Policy) -> Vec<Change> {
    let mut out = Vec::new();
    rules(&mut out, before, after);
    preapprovals(&mut out, before, after);
    budgets(&mut out, before, after);
    windows(&mut out, before, after);
    holidays(&mut out, before, after);
    prices(&mut out, before, after);
    heading(&mut out, before, after);
    out
}

/// Both sides of every identifier, in their order.
fn pairs<'a, T, K: Ord>(
    before: &'a [T],
    after: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<(K, Option<&'a T>, Option<&'a T>)> {
    let keys: BTreeSet<K> = before.iter().chain(after).map(&key).collect();
    let find = |all: &'a [T], wanted: &K| all.iter().find(|t| key(t) == *wanted);
    keys.into_iter().map(|k| (find(before, &k), find(after, &k), k)).map(|(b, a, k)| (k, b, a)).collect()
}

fn rules(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    for (id, before, after) in pairs(&old.rules, &new.rules, |r| r.id.as_str()) {
        match (before, after) {
            (Some(b), Some(a)) => rule(out, (old, b), (new, a)),
            (Some(b), None) => {
                out.push(added_or_removed(Part::Rule, id, Some(words::rule(old, b)), None, gone(&b.effect)))
            }
            (None, Some(a)) => {
                // A rule that lets something pass can open what was closed; what only demands closes.
                let direction = if a.effect.strictness() == 4 || a.when.has_from() {
                    Direction::Stricter
                } else {
                    Direction::Other
                };
                out.push(added_or_removed(Part::Rule, id, None, Some(words::rule(new, a)), direction));
            }
            (None, None) => {}
        }
    }
}

fn gone(effect: &Effect) -> Direction {
    if matches!(effect, Effect::Deny { .. }) { Direction::Looser } else { Direction::Other }
}

fn added_or_removed(
    part: Part,
    id: &str,
    before: Option<String>,
    after: Option<String>,
    direction: Direction,
) -> Change {
    let name = match part {
        Part::Rule => "규칙",
        Part::Preapproval => "사전승인",
        Part::Budget => "예산",
        Part::Window => "시간대",
        Part::Price => "단가",
        Part::Holidays | Part::Heading => "항목",
    };
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let (verb, what) = if before.is_empty() { ("추가", &after) } else { ("삭제", &before) };
    let sentence = format!("'{id}' {name} {verb}: {what}");
    Change { part, id: id.to_owned(), field: String::new(), before, after, direction, sentence }
}

/// A rule's subject in few words: those it names, or else its title.
fn subject(policy: &Policy, rule: &Rule) -> String {
    let who = words::who(&Conditions { grades: None, ..rule.when.clone() });
    match (who.is_empty(), rule.title.is_empty()) {
        (false, _) => who.join(", "),
        (true, false) => format!("'{}' 규칙", rule.title),
        (true, true) => words::conditions(policy, &rule.when),
    }
}

fn rule(out: &mut Vec<Change>, (old, b): (&Policy, &Rule), (new, a): (&Policy, &Rule)) {
    let subject = subject(new, a);
    let id = a.id.as_str();
    let mut add = |field: &str, before: String, after: String, direction: Direction, sentence: String| {
        let (id, field) = (id.to_owned(), field.to_owned());
        out.push(Change { part: Part::Rule, id, field, before, after, direction, sentence });
    };
    if b.effect != a.effect {
        let full = words::effect(&b.effect) == words::effect(&a.effect);
        let say = |e: &Effect| if full { words::effect_in_full(e) } else { words::effect(e) };
        let (before, after) = (say(&b.effect), say(&a.effect));
        let direction = effect_towards(b, a);
        let sentence = format!("{subject}: {before} → {after}");
        add("effect", before, after, direction, sentence);
    }
    if b.when != a.when {
        let (before, after) = (words::conditions(old, &b.when), words::conditions(new, &a.when));
        let sentence = format!("'{id}' 규칙의 적용 대상: {before} → {after}");
        add("when", before, after, Direction::Other, sentence);
    }
    if b.unless != a.unless {
        let say = |p: &Policy, c: &Option<Conditions>| {
            c.as_ref().map_or_else(|| "없음".to_owned(), |c| words::conditions(p, c))
        };
        let (before, after) = (say(old, &b.unless), say(new, &a.unless));
        let sentence = format!("'{id}' 규칙의 예외: {before} → {after}");
        add("unless", before, after, Direction::Other, sentence);
    }
    if b.title != a.title {
        let sentence = format!("'{id}' 규칙의 제목: '{}' → '{}'", b.title, a.title);
        add("title", b.title.clone(), a.title.clone(), Direction::Other, sentence);
    }
}

/// Stricter only where nothing that the old effect refused can pass under the new one.
fn effect_towards(before: &Rule, after: &Rule) -> Direction {
    let stricter = match (&before.effect, &after.effect) {
        (_, Effect::Deny { .. }) => true,
        // An approval or a mask lets personal data pass that a plain permission stops.
        (Effect::Allow, _) => {
            before.when.has_from() || before.when.found_at_most.as_ref().is_some_and(BTreeSet::is_empty)
        }
        // Two of a kind that is easier to find may be less than one.
        (Effect::NeedsApproval(b), Effect::NeedsApproval(a)) => {
            b.from == a.from
                && a.substitutes.iter().all(|s| b.substitutes.contains(s))
                && a.substitutes_after_hours.unwrap_or(u32::MAX) >= b.substitutes_after_hours.unwrap_or(u32::MAX)
                && a.deadline_hours <= b.deadline_hours
                && a.valid_hours <= b.valid_hours
        }
        _ => true,
    };
    match before.effect.strictness().cmp(&after.effect.strictness()) {
        std::cmp::Ordering::Less if stricter => Direction::Stricter,
        std::cmp::Ordering::Greater => Direction::Looser,
        _ => Direction::Other,
    }
}

fn preapprovals(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    for (id, before, after) in pairs(&old.preapprovals, &new.preapprovals, |p| p.id.as_str()) {
        match (before, after) {
            (Some(b), Some(a)) if b != a => {
                let direction = if a.until > b.until { Direction::Looser } else { Direction::Other };
                out.push(replaced(
                    Part::Preapproval,
                    id,
                    "사전승인",
                    words::preapproval(b),
                    words::preapproval(a),
                    direction,
                ));
            }
            (Some(b), None) => {
                out.push(added_or_removed(
                    Part::Preapproval,
                    id,
                    Some(words::preapproval(b)),
                    None,
                    Direction::Stricter,
                ));
            }
            (None, Some(a)) => {
                out.push(added_or_removed(Part::Preapproval, id, None, Some(words::preapproval(a)), Direction::Looser));
            }
            _ => {}
        }
    }
}

fn replaced(part: Part, id: &str, name: &str, before: String, after: String, direction: Direction) -> Change {
    let sentence = format!("'{id}' {name}: {before} → {after}");
    Change { part, id: id.to_owned(), field: String::new(), before, after, direction, sentence }
}

fn budgets(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    let say = |b: &Budget| format!("{}에 {}", words::budget_subject(b), words::limits(b));
    for (id, before, after) in pairs(&old.budgets, &new.budgets, |b| b.id.as_str()) {
        match (before, after) {
            (Some(b), Some(a)) if b != a => {
                out.push(replaced(Part::Budget, id, "예산", say(b), say(a), towards(b, a)));
            }
            (Some(b), None) => out.push(added_or_removed(Part::Budget, id, Some(say(b)), None, Direction::Looser)),
            (None, Some(a)) => out.push(added_or_removed(Part::Budget, id, None, Some(say(a)), Direction::Stricter)),
            _ => {}
        }
    }
}

/// Every limit no lower and the rest the same: looser; no higher: stricter.
fn towards(before: &Budget, after: &Budget) -> Direction {
    if (before.per, before.period, &before.only) != (after.per, after.period, &after.only) {
        return Direction::Other;
    }
    // An absent limit is above every other.
    let limits = |b: &Budget| [b.won, b.tokens, b.calls].map(|l| l.unwrap_or(u64::MAX));
    let (b, a) = (limits(before), limits(after));
    match (b.iter().zip(&a).all(|(b, a)| a >= b), b.iter().zip(&a).all(|(b, a)| a <= b)) {
        (true, false) => Direction::Looser,
        (false, true) => Direction::Stricter,
        _ => Direction::Other,
    }
}

fn windows(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    for (id, before, after) in pairs(&old.windows, &new.windows, |w| w.name.as_str()) {
        match (before.map(words::window), after.map(words::window)) {
            (Some(b), Some(a)) if b != a => out.push(replaced(Part::Window, id, "시간대", b, a, Direction::Other)),
            (Some(_), Some(_)) | (None, None) => {}
            (b, a) => out.push(added_or_removed(Part::Window, id, b, a, Direction::Other)),
        }
    }
}

fn holidays(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    let list = |from: &Policy, other: &Policy| {
        from.holidays.difference(&other.holidays).map(|d| d.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (before, after) = (list(old, new), list(new, old));
    if before.is_empty() && after.is_empty() {
        return;
    }
    let told = [(&after, "추가"), (&before, "삭제")].into_iter().filter(|(days, _)| !days.is_empty());
    let told: Vec<_> = told.map(|(days, verb)| format!("{verb} {days}")).collect();
    let sentence = format!("공휴일: {}", told.join(", "));
    let (id, field) = (String::new(), "holidays".to_owned());
    out.push(Change { part: Part::Holidays, id, field, before, after, direction: Direction::Other, sentence });
}

fn prices(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    let all = |p: &Policy| -> BTreeSet<_> { p.prices.models.iter().cloned().collect() };
    let (before, after) = (all(old), all(new));
    let say = |p: &crate::model::ModelPrice| {
        format!(
            "{}부터 백만 토큰에 입력 {}원, 출력 {}원",
            p.from,
            crate::money::grouped(p.input),
            crate::money::grouped(p.output)
        )
    };
    for gone in before.difference(&after) {
        let id = format!("{} {}", gone.provider, gone.model);
        out.push(added_or_removed(Part::Price, &id, Some(say(gone)), None, Direction::Other));
    }
    for new in after.difference(&before) {
        let id = format!("{} {}", new.provider, new.model);
        out.push(added_or_removed(Part::Price, &id, None, Some(say(new)), Direction::Other));
    }
    if old.prices.version != new.prices.version {
        let (b, a) = (format!("'{}'", old.prices.version), format!("'{}'", new.prices.version));
        out.push(replaced(Part::Price, "version", "단가표의 판", b, a, Direction::Other));
    }
}

fn heading(out: &mut Vec<Change>, old: &Policy, new: &Policy) {
    let fields = [
        ("revision", "정책의 판", old.revision.to_string(), new.revision.to_string()),
        ("title", "정책의 제목", format!("'{}'", old.title), format!("'{}'", new.title)),
        ("note", "정책의 설명", format!("'{}'", old.note), format!("'{}'", new.note)),
    ];
    for (field, name, before, after) in fields {
        if before != after {
            let sentence = format!("{name}: {before} → {after}");
            let (part, direction) = (Part::Heading, Direction::Other);
            out.push(Change { part, id: String::new(), field: field.to_owned(), before, after, direction, sentence });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rest: &str) -> Policy {
        Policy::parse(&format!("format=1\nrevision=1\n{rest}")).unwrap()
    }

    fn sentences(before: &str, after: &str) -> Vec<String> {
        diff(&policy(before), &policy(after)).into_iter().map(|c| c.sentence).collect()
    }

    #[test]
    fn a_changed_effect_reads_as_one_would_say_it() {
        let rule = |effect: &str, rest: &str| {
            format!("[[rule]]\nid=\"t\"\neffect=\"{effect}\"\n{rest}\n[rule.when]\ndepartments=[\"교통과\"]\n")
        };
        let approval = "[rule.approval]\nofficers=1\nfrom={role=\"security\"}\n";
        let (masked, officer) = (rule("allow_with_masking", ""), rule("needs_approval", approval));
        assert_eq!(sentences(&masked, &officer), ["'교통과' 부서: 마스킹 후 허용 → 담당관 승인 필요"]);
        assert_eq!(diff(&policy(&masked), &policy(&officer))[0].direction, Direction::Stricter);
        let later = officer.replace("officers=1", "officers=1\nvalid_hours=2");
        let told = sentences(&officer, &later);
        assert!(told.len() == 1 && told[0].contains("24시간 유효") && told[0].contains("2시간 유효"), "{told:?}");
    }

    #[test]
    fn budgets_holidays_windows_and_prices_are_told() {
        let before = "holidays=[\"2026-01-01\"]\n[[budget]]\nid=\"m\"\nper=\"body\"\nperiod=\"month\"\nwon=1000\n";
        let after = "holidays=[\"2027-01-01\"]\n[[window]]\nname=\"밤\"\ndays=[\"월\"]\nfrom=\"22:00\"\nto=\"06:00\"\n\
                     [[budget]]\nid=\"m\"\nper=\"body\"\nperiod=\"month\"\nwon=2000\n";
        assert_eq!(
            sentences(before, after),
            [
                "'m' 예산: 기관 전체 한 달에 1,000원 → 기관 전체 한 달에 2,000원",
                "'밤' 시간대 추가: 월 22:00~06:00",
                "공휴일: 추가 2027-01-01, 삭제 2026-01-01",
            ]
        );
        assert_eq!(diff(&policy(before), &policy(after))[0].direction, Direction::Looser);
    }

    #[test]
    fn more_officers_of_another_kind_and_masks_in_place_of_a_stop_are_not_called_stricter() {
        let rule = |effect: &str, found: &str| {
            format!("[[rule]]\nid=\"t\"\neffect=\"{effect}\"\n[rule.when]\ngrades=[\"O\"]\n{found}\n")
        };
        let asks = |officers: u8, role: &str, more: &str| {
            let approval = format!("[rule.approval]\nofficers={officers}\nfrom={{role=\"{role}\"}}\n{more}\n");
            rule("needs_approval", "") + &approval
        };
        let way = |b: &str, a: &str| diff(&policy(b), &policy(a)).iter().map(|c| c.direction).collect::<Vec<_>>();
        assert_eq!(way(&rule("allow", ""), &rule("allow_with_masking", "")), [Direction::Other]);
        let clean = "found_at_most=[]";
        assert_eq!(way(&rule("allow", clean), &rule("allow_with_masking", clean)), [Direction::Stricter]);
        assert_eq!(way(&asks(1, "security", ""), &asks(2, "security", "")), [Direction::Stricter]);
        assert_eq!(way(&asks(1, "security", ""), &asks(2, "official", "")), [Direction::Other]);
        assert_eq!(way(&asks(1, "security", ""), &asks(2, "security", "valid_hours=48")), [Direction::Other]);
        let substitute = "substitutes=[{role=\"manager\"}]";
        assert_eq!(way(&asks(1, "security", ""), &asks(2, "security", substitute)), [Direction::Other]);
        let renamed = diff(&policy("title=\"가\""), &policy("title=\"나\""));
        assert!(renamed.len() == 1 && !renamed[0].may_loosen(), "{renamed:?}");
    }

    #[test]
    fn removing_a_refusal_is_told_as_looser() {
        let deny = "[[rule]]\nid=\"n\"\neffect=\"deny\"\nreason=\"x\"\nwhen={}\n";
        let change = &diff(&policy(deny), &policy(""))[0];
        assert_eq!(
            (change.direction, change.sentence.as_str()),
            (Direction::Looser, "'n' 규칙 삭제: 모든 요청: 보낼 수 없습니다(까닭: x).")
        );
    }
}

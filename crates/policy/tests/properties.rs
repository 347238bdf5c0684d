//! Laws of the policy under random rules and requests: more risk is never treated more loosely, the floor holds under
//! every policy, budgets hold under every interleaving, one meaning has one hash.

use madang_domain::{ExternalCallId, Grade, PersonId};
use madang_policy::budget::{Account, Book, Request, Subjects};
use madang_policy::diff::diff;
use madang_policy::evaluate::{Decision, Refuser};
use madang_policy::facts::AppFacts;
use madang_policy::model::{Per, Period};
use madang_policy::money::{Amounts, MicroWon};
use madang_policy::{Facts, Policy, Unit, Verdict};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::BTreeMap;

const KINDS: [&str; 5] = ["phone", "email", "card", "name", "custom:비공개"];
const DEPARTMENTS: [&str; 3] = ["교통과", "세정과", "정보통신과"];
/// Monday 2026-11-02, 10:00 in Korea.
const MONDAY: i64 = 1_793_581_200_000;

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|n| format!("{n:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

/// Lines of conditions on whom, where and when.
fn who() -> impl Strategy<Value = String> {
    let departments = prop::option::weighted(0.2, (subsequence(DEPARTMENTS.to_vec(), 1..=2), any::<bool>()));
    let one = |field: &'static str, names: &'static [&'static str]| {
        prop::option::weighted(0.2, select(names))
            .prop_map(move |n| n.map_or_else(String::new, |n| format!("{field} = [{n:?}]\n")))
    };
    (
        departments,
        one("models", &["m1", "m2"]),
        one("providers", &["제공자", "다른 곳"]),
        one("hosts", &["*.example.kr", "api.example.kr"]),
        one("purposes", &["번역", "요약"]),
        one("during", &["근무"]),
        one("apps", &["a1"]),
    )
        .prop_map(|(d, m, p, h, w, t, a)| {
            let d = d.map_or_else(String::new, |(names, sub)| {
                format!("departments = {}\nsub_departments = {sub}\n", list(&names))
            });
            [d, m, p, h, w, t, a].concat()
        })
}

fn up_to(masked: bool) -> impl Strategy<Value = String> {
    let kinds = prop::option::of(subsequence(KINDS.to_vec(), 0..=4));
    (kinds, any::<bool>(), prop::option::of(500u64..1500)).prop_map(move |(kinds, regraded, bytes)| {
        let kinds = kinds
            .map_or_else(String::new, |k| format!("found_at_most = {}\n", if masked { list(&k) } else { "[]".into() }));
        let regraded = if regraded { "regraded = false\n" } else { "" };
        let bytes = bytes.map_or_else(String::new, |b| format!("bytes_up_to = {b}\n"));
        [kinds, regraded.to_owned(), bytes].concat()
    })
}

fn from() -> impl Strategy<Value = String> {
    prop_oneof![
        subsequence(KINDS.to_vec(), 1..=3).prop_map(|k| format!("found_any = {}\n", list(&k))),
        Just("regraded = true\n".to_owned()),
        (500u64..1500).prop_map(|b| format!("bytes_over = {b}\n")),
        Just(String::new()),
    ]
}

/// One rule without its id: effect, what the effect needs, conditions.
fn rule() -> impl Strategy<Value = String> {
    let approval = |officers: u8| {
        format!(
            "[rule.approval]\nofficers = {officers}\nfrom = {{ role = \"security\" }}\nvalid_hours = {}\n",
            officers * 10
        )
    };
    let body = prop_oneof![
        3 => up_to(false).prop_map(|risk| ("effect = \"allow\"\n".to_owned(), String::new(), risk)),
        3 => up_to(true).prop_map(|risk| ("effect = \"allow_with_masking\"\n".to_owned(), String::new(), risk)),
        4 => (1u8..=2, prop_oneof![up_to(true), from()])
            .prop_map(move |(n, risk)| ("effect = \"needs_approval\"\n".to_owned(), approval(n), risk)),
        1 => from().prop_map(|risk| ("effect = \"deny\"\nreason = \"안 됩니다.\"\n".to_owned(), String::new(), risk)),
    ];
    (body, who(), prop::option::of(who())).prop_map(|((effect, approval, risk), who, unless)| {
        let unless = unless.filter(|u| !u.is_empty()).map_or_else(String::new, |u| format!("[rule.unless]\n{u}"));
        format!("{effect}{approval}[rule.when]\n{who}{risk}{unless}")
    })
}

const HEAD: &str = "format = 1\nrevision = 7\n[[window]]\nname = \"근무\"\ndays = [\"mon\", \"tue\"]\nfrom = \"09:00\"\nto = \"18:00\"\n";

fn written(rules: &[String]) -> String {
    let numbered = rules.iter().enumerate().map(|(i, r)| format!("[[rule]]\nid = \"r{i}\"\n{r}\n"));
    format!("{HEAD}{}", numbered.collect::<String>())
}

fn text() -> impl Strategy<Value = String> {
    // Half of the policies let most requests pass in some way, so that verdicts other than denial are common.
    let base = prop::option::of(select(&[
        "effect = \"allow\"\nwhen = {}\n",
        "effect = \"allow_with_masking\"\nwhen = {}\n",
        "effect = \"needs_approval\"\nwhen = {}\n[rule.approval]\nofficers = 1\nfrom = { role = \"security\" }\n",
    ][..]).prop_map(str::to_owned));
    (base, prop::collection::vec(rule(), 0..6), prop::option::of((subsequence(KINDS.to_vec(), 0..3), 500u64..1500)))
        .prop_map(|(base, rules, pre)| {
            let rules = [base.into_iter().collect(), rules].concat();
            let covered = rules.iter().position(|r| r.starts_with("effect = \"needs_approval\""));
            let pre = pre.zip(covered).map_or_else(String::new, |((kinds, bytes), rule)| {
                format!(
                    "[[preapproval]]\nid = \"p\"\napp = \"a1\"\nversion = \"v1\"\nuntil = \"2026-12-31\"\n\
                     by = [\"00000000-0000-0000-0000-000000000009\"]\nrecord = \"12\"\ncovers = [\"r{rule}\"]\n\
                     found_at_most = {}\nbytes_up_to = {bytes}\n",
                    list(&kinds)
                )
            });
            written(&rules) + &pre
        })
}

fn person(n: u8) -> PersonId {
    format!("00000000-0000-0000-0000-0000000000{n:02x}").parse().unwrap()
}

fn facts() -> impl Strategy<Value = Facts> {
    let found = subsequence(KINDS.to_vec(), 0..=3);
    let base =
        (select(&DEPARTMENTS[..]), select(&["m1", "m2"][..]), select(&["번역 다듬기", "요 약", ""][..]), any::<bool>());
    (base, found, prop::option::of(Just(Grade::Sensitive)), 0u64..2000, 0i64..168).prop_map(
        |((department, model, purpose, has_app), found, regraded_from, bytes, hours)| Facts {
            at_ms: MONDAY + hours * 3_600_000,
            person: person(1),
            login: "kim".into(),
            departments: vec![Unit::new("d1", department), Unit::new("d0", "시청")],
            app: has_app.then(|| AppFacts { app: Unit::new("a1", "민원 요약"), version: "v1".into() }),
            provider: Unit::new("o1", "제공자"),
            host: "api.example.kr".into(),
            model: model.into(),
            purpose: purpose.into(),
            grade: Some(Grade::Open),
            regraded_from,
            found: Some(found.into_iter().map(|k| (k.to_owned(), 1)).collect()),
            detector_blocked: false,
            bytes,
        },
    )
}

fn parse(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

/// What a later decision owes covers what an earlier one owed.
fn no_looser(before: &Decision, after: &Decision) -> bool {
    let owed = before.needs.iter().all(|n| after.needs.iter().any(|m| m.from == n.from && m.officers >= n.officers));
    after.verdict == Verdict::Deny || (after.verdict >= before.verdict && after.masking >= before.masking && owed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn more_risk_is_never_treated_more_loosely(
        text in text(), facts in facts(), kind in select(&KINDS[..]), more in 1u64..1000, grade in select(&Grade::ALL[..]),
    ) {
        let policy = parse(&text);
        let before = policy.decide(&facts);
        let mut riskier = vec![
            Facts { bytes: facts.bytes + more, ..facts.clone() },
            Facts { regraded_from: Some(Grade::Sensitive), ..facts.clone() },
            Facts { grade: Some(grade), ..facts.clone() },
            Facts { grade: None, ..facts.clone() },
            Facts { found: None, ..facts.clone() },
            Facts { detector_blocked: true, ..facts.clone() },
        ];
        let mut found = facts.clone();
        found.found.get_or_insert_default().insert(kind.to_owned(), 1);
        riskier.push(found);
        for facts in riskier {
            let after = policy.decide(&facts);
            prop_assert!(no_looser(&before, &after), "{before:?}\n{after:?}\n{text}");
        }
    }

    #[test]
    fn the_floor_holds_under_every_policy(text in text(), facts in facts(), broken in 0usize..10) {
        let blocked = ["rrn", "foreigner_registration", "drivers_license", "passport", "credential"];
        let mut facts = facts;
        match broken {
            0 => facts.grade = Some(Grade::Sensitive),
            1 => facts.grade = Some(Grade::Classified),
            2 => facts.grade = None,
            3 => facts.found = None,
            4 => facts.detector_blocked = true,
            n => {
                facts.found.get_or_insert_default().insert(blocked[n - 5].to_owned(), 1);
            }
        }
        let decision = parse(&text).decide(&facts);
        prop_assert_eq!(decision.verdict, Verdict::Deny);
        let by_floor = matches!(decision.denied[0].by, Refuser::Floor { .. });
        prop_assert!(by_floor);
        prop_assert!(decision.needs.is_empty());
    }

    #[test]
    fn decisions_are_consistent_and_without_rules_everything_is_denied(text in text(), facts in facts()) {
        let d = parse(&text).decide(&facts);
        prop_assert_eq!(d.verdict == Verdict::Deny, !d.denied.is_empty());
        prop_assert_eq!(d.verdict >= Verdict::OneOfficer && d.verdict < Verdict::Deny, !d.needs.is_empty());
        prop_assert!(facts.personal().next().is_none() || d.masking);
        prop_assert!(d.denied.iter().all(|r| r.reason.ends_with('.')));
        prop_assert_eq!(parse(HEAD).decide(&facts).verdict, Verdict::Deny);
    }

    /// Any rule but a permitting one can be taken for a promise: adding rules to a request that is let pass never
    /// loosens it.
    #[test]
    fn another_rule_never_loosens_what_is_let_pass(rules in prop::collection::vec(rule(), 1..5), extra in rule(), facts in facts()) {
        let before = parse(&written(&rules)).decide(&facts);
        let after = parse(&written(&[rules, vec![extra]].concat())).decide(&facts);
        prop_assert!(before.verdict == Verdict::Deny || no_looser(&before, &after));
    }

    #[test]
    fn the_order_of_rules_decides_nothing(rules in prop::collection::vec(rule(), 1..6), facts in facts()) {
        let block = |(i, r): (usize, &String)| format!("[[rule]]\nid = \"r{i}\"\n{r}\n");
        let blocks: Vec<_> = rules.iter().enumerate().map(block).collect();
        let forward = parse(&format!("{HEAD}{}", blocks.concat()));
        let backward = parse(&format!("{HEAD}{}", blocks.iter().rev().cloned().collect::<String>()));
        prop_assert_eq!(forward.hash(), backward.hash());
        prop_assert_eq!(diff(&forward, &backward), []);
        let (a, b) = (forward.decide(&facts), backward.decide(&facts));
        prop_assert_eq!((a.verdict, a.masking, a.needs.len()), (b.verdict, b.masking, b.needs.len()));
    }

    #[test]
    fn printed_it_reads_back_as_the_same(text in text()) {
        let policy = parse(&text);
        let printed = policy.print();
        let again = parse(&printed);
        prop_assert_eq!(&again, &policy);
        prop_assert_eq!(again.hash(), policy.hash());
        prop_assert_eq!(again.print(), printed);
        prop_assert_eq!(diff(&policy, &again), []);
        prop_assert!(policy.preview().len() >= policy.rules().len() + 2);
    }

    #[test]
    fn reformatting_keeps_the_hash(text in text()) {
        let spaced: String = text
            .lines()
            .map(|l| format!("  {}   # 주석 \"[]\"\r\n\r\n", l.replace(" = ", "=").replace("\"mon\", \"tue\"", "'화', '월'")))
            .collect();
        prop_assert_eq!(parse(&spaced).hash(), parse(&text).hash());
    }

    #[test]
    fn a_difference_is_told_exactly_where_hashes_differ(a in text(), b in text()) {
        let (a, b) = (parse(&a), parse(&b));
        prop_assert_eq!(diff(&a, &b).is_empty(), a.hash() == b.hash());
    }

    #[test]
    fn any_text_is_read_or_refused_in_korean(text in r#"(format = 1\n)?(revision = 1\n)?(\[\[rule\]\]\n|[a-z_]{1,8} = |["\[\]{}0-9가-힣\n.#,-]){0,20}"#) {
        if let Err(faults) = Policy::parse(&text) {
            prop_assert!(!faults.0.is_empty());
            for fault in faults.0 {
                prop_assert!(fault.message.chars().any(|c| ('가'..='힣').contains(&c)), "{}", fault.message);
                prop_assert!(fault.line.is_none_or(|l| l >= 1 && l <= text.lines().count() + 1));
            }
        }
    }
}

/// A step of somebody who spends.
#[derive(Debug, Clone)]
enum Step {
    Reserve {
        person: u8,
        won: u64,
        tokens: u64,
        hours: i64,
    },
    /// The n-th open reservation costs this share of what was held, in percent.
    Settle(usize, u64),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..3, 0u64..40, 0u64..4000, 0i64..72)
            .prop_map(|(person, won, tokens, hours)| Step::Reserve { person, won, tokens, hours }),
        2 => (any::<usize>(), 0u64..=100).prop_map(|(n, share)| Step::Settle(n, share)),
        1 => any::<usize>().prop_map(Step::Release),
    ]
}

fn subjects(n: u8) -> Subjects {
    Subjects {
        person: Unit::new(person(n).to_string(), &format!("login{n}")),
        department: Unit::new(format!("d{}", n / 2), "교통과"),
        app: Unit::new("a1", "앱"),
        provider: Unit::new("o1", "제공자"),
    }
}

fn sum(account: &Account) -> Amounts {
    account.used.checked_add(account.reserved).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn budgets_hold_under_any_interleaving(steps in prop::collection::vec(step(), 1..120)) {
        let policy = parse(
            "format = 1\nrevision = 1\n\
             [[budget]]\nid = \"a\"\nper = \"person\"\nperiod = \"day\"\nwon = 100\ncalls = 6\n\
             [[budget]]\nid = \"b\"\nper = \"department\"\nperiod = \"month\"\ntokens = 20000\n\
             [[budget]]\nid = \"c\"\nper = \"body\"\nperiod = \"day\"\nwon = 150\n",
        );
        let mut book = Book::default();
        let mut spent = Amounts::default();
        for step in steps {
            let open: Vec<_> = book.reservations().cloned().collect();
            let pick = |n: usize| open.get(n % open.len().max(1));
            match step {
                Step::Reserve { person, won, tokens, hours } => {
                    let before = book.clone();
                    let subjects = subjects(person);
                    let request = Request { call: ExternalCallId::new(), subjects: &subjects, won: Some(MicroWon::won(won)), tokens };
                    if book.reserve(&policy, &request, MONDAY + hours * 3_600_000).is_err() {
                        prop_assert_eq!(&book, &before, "a refusal changes nothing");
                    }
                }
                Step::Settle(n, share) => if let Some(r) = pick(n) {
                    let actual = Amounts {
                        won: MicroWon(r.amount.won.0 * i64::try_from(share).unwrap() / 100),
                        tokens: r.amount.tokens * share / 100,
                        calls: 1,
                    };
                    let settled = book.settle(r.call, actual).unwrap();
                    prop_assert_eq!(settled.overrun, Amounts::default());
                    prop_assert_eq!(settled.freed.checked_add(actual), Some(r.amount));
                    spent = spent.checked_add(actual).unwrap();
                    prop_assert!(book.settle(r.call, actual).is_err() && book.release(r.call).is_err());
                },
                Step::Release(n) => if let Some(r) = pick(n) {
                    book.release(r.call).unwrap();
                },
            }
            for (key, account) in book.accounts() {
                let total = sum(account);
                match (key.per, key.period) {
                    (Per::Person, Period::Day) => prop_assert!(total.won <= MicroWon::won(100) && total.calls <= 6),
                    (Per::Department, Period::Month) => prop_assert!(total.tokens <= 20_000),
                    (Per::Body, Period::Day) => prop_assert!(total.won <= MicroWon::won(150)),
                    _ => {}
                }
            }
        }
        // Books balance: what is held is what is open, what is used is what was settled.
        let mut held: BTreeMap<_, Amounts> = BTreeMap::new();
        for r in book.reservations() {
            for key in &r.accounts {
                let sum = held.entry(key.clone()).or_default();
                *sum = sum.checked_add(r.amount).unwrap();
            }
        }
        for (key, account) in book.accounts() {
            prop_assert_eq!(account.reserved, held.get(key).copied().unwrap_or_default());
        }
        let body = |period| book.accounts().filter(|(k, _)| k.per == Per::Body && k.period == period).map(|(_, a)| a.used).sum::<Amounts>();
        prop_assert_eq!(body(Period::Month), spent);
        prop_assert_eq!(body(Period::Day), spent);
    }
}

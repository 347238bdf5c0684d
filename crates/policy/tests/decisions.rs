//! Decisions of whole policies on single requests, with their explanations.

use madang_domain::{Grade, PersonId};
use madang_policy::evaluate::{Did, Refuser};
use madang_policy::facts::AppFacts;
use madang_policy::{Decision, Facts, Policy, Unit, Verdict};

/// Monday 2026-11-02, 10:00 in Korea.
const MONDAY: i64 = 1_793_581_200_000;
const HOUR: i64 = 3_600_000;

fn person(n: u8) -> PersonId {
    format!("00000000-0000-0000-0000-0000000000{n:02x}").parse().unwrap()
}

fn facts(found: &[&str]) -> Facts {
    Facts {
        at_ms: MONDAY,
        person: person(1),
        login: "kim".into(),
        departments: vec![Unit::new("d2", "교통행정팀"), Unit::new("d1", "교통과")],
        app: Some(AppFacts { app: Unit::new("a1", "민원 요약"), version: "v1".into() }),
        provider: Unit::new("o1", "제공자"),
        host: "api.example.kr".into(),
        model: "m1".into(),
        purpose: "보도자료 번역".into(),
        grade: Some(Grade::Open),
        regraded_from: None,
        found: Some(found.iter().map(|k| ((*k).to_owned(), 1)).collect()),
        detector_blocked: false,
        bytes: 1000,
    }
}

fn policy(rest: &str) -> Policy {
    let text = format!(
        "format = 1\nrevision = 1\nholidays = [\"2026-11-03\"]\n[[window]]\nname = \"근무\"\n\
         days = [\"월\", \"화\"]\nfrom = \"09:00\"\nto = \"18:00\"\n{rest}"
    );
    Policy::parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn rule(id: &str, effect: &str, when: &str) -> String {
    let rest = match effect {
        "deny" => "reason = \"이 규칙이 막습니다.\"",
        _ => "",
    };
    format!("[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\n{rest}\n[rule.when]\n{when}\n")
}

fn officers(id: &str, n: u8, when: &str) -> String {
    let approval = format!("[rule.approval]\nofficers = {n}\nfrom = {{ role = \"security\" }}");
    format!("[[rule]]\nid = \"{id}\"\neffect = \"needs_approval\"\n{approval}\n[rule.when]\n{when}\n")
}

fn did<'a>(decision: &'a Decision, id: &str) -> &'a Did {
    &decision.looked.iter().find(|l| l.rule == id).unwrap().did
}

#[test]
fn the_shipped_policy_does_what_the_gateway_does_today() {
    let policy = Policy::template().unwrap();
    for found in [&[][..], &["phone", "email"], &["custom:사업명"], &["business_number"]] {
        let decision = policy.decide(&facts(found));
        assert_eq!(decision.verdict, Verdict::OneOfficer, "{found:?}");
        assert_eq!(decision.needs.len(), 1);
        assert_eq!((decision.needs[0].officers, decision.needs[0].valid_hours), (1, 24));
        assert_eq!(decision.masking, !matches!(found, [] | ["business_number"]));
    }
    let denied = |facts: Facts| policy.decide(&facts).denied[0].reason.clone();
    assert!(denied(facts(&["rrn"])).contains("주민등록번호"));
    assert!(denied(facts(&["credential"])).contains("인증정보"));
    assert!(denied(Facts { grade: Some(Grade::Classified), ..facts(&[]) }).contains("기밀(C)"));
    assert!(denied(Facts { grade: Some(Grade::Sensitive), ..facts(&[]) }).contains("재분류"));
    assert!(denied(Facts { bytes: (1 << 20) + 1, ..facts(&[]) }).contains("크기"));
    let far = Facts { at_ms: i64::MAX, ..facts(&[]) };
    assert_eq!(policy.decide(&far).verdict, Verdict::Deny);
}

#[test]
fn departments_match_by_name_and_id_and_from_above_only_when_asked() {
    let verdict = |when: &str| policy(&rule("r", "allow", when)).decide(&facts(&[])).verdict;
    assert_eq!(verdict("departments = [\"교통행정팀\"]"), Verdict::Allow);
    assert_eq!(verdict("departments = [\"d2\"]"), Verdict::Allow);
    assert_eq!(verdict("departments = [\"교통과\"]"), Verdict::Deny);
    assert_eq!(verdict("departments = [\"교통과\"]\nsub_departments = true"), Verdict::Allow);
    // Decomposed Hangul names the same department.
    let decomposed = "\u{1100}\u{116D}\u{1110}\u{1169}\u{11BC}\u{1112}\u{1162}\u{11BC}\u{110C}\u{1165}\u{11BC}\u{1110}\u{1175}\u{11B7}";
    assert_eq!(verdict(&format!("departments = [\"{decomposed}\"]")), Verdict::Allow);
}

#[test]
fn hosts_models_purposes_people_and_windows_are_conditions() {
    let verdict = |when: &str, facts: &Facts| policy(&rule("r", "allow", when)).decide(facts).verdict;
    let base = facts(&[]);
    let yes = [
        "hosts = [\"*.example.kr\"]",
        "hosts = [\"API.example.kr\"]",
        "models = [\"m1\"]",
        "people = [\"kim\"]",
        "purposes = [\"보도 자료\"]",
        "versions = [\"v1\"]",
        "apps = [\"민원 요약\"]",
        "during = [\"근무\"]",
        "providers = [\"o1\"]",
    ];
    yes.iter().for_each(|when| assert_eq!(verdict(when, &base), Verdict::Allow, "{when}"));
    let no = [
        "hosts = [\"example.kr\"]",
        "hosts = [\"*.kr.example\"]",
        "models = [\"m\"]",
        "people = [\"김\"]",
        "purposes = [\"요약\"]",
        "versions = [\"v2\"]",
        "outside = [\"근무\"]",
    ];
    no.iter().for_each(|when| assert_eq!(verdict(when, &base), Verdict::Deny, "{when}"));
    let spoofed = Facts { host: "evilexample.kr".into(), ..base.clone() };
    assert_eq!(verdict("hosts = [\"*.example.kr\"]", &spoofed), Verdict::Deny);
    for closed in [MONDAY - HOUR - 1, MONDAY + 8 * HOUR, MONDAY + 24 * HOUR] {
        assert_eq!(verdict("during = [\"근무\"]", &Facts { at_ms: closed, ..base.clone() }), Verdict::Deny);
    }
}

#[test]
fn the_strictest_rule_decides_and_an_exception_stands_in_the_rule() {
    let base = rule("open", "allow_with_masking", "");
    let night = rule("night", "deny", "models = [\"m1\"]");
    let both = policy(&format!("{base}{night}")).decide(&facts(&[]));
    assert_eq!(both.verdict, Verdict::Deny);
    assert_eq!(both.denied[0].reason, "이 규칙이 막습니다.");
    assert_eq!((did(&both, "open"), did(&both, "night")), (&Did::Grants, &Did::Denies));
    let excepted = policy(&format!("{base}{night}[rule.unless]\ndepartments = [\"교통과\"]\nsub_departments = true\n"));
    let excepted = excepted.decide(&facts(&[]));
    assert_eq!((excepted.verdict, did(&excepted, "night")), (Verdict::AllowMasked, &Did::Excepted));
    assert_eq!(excepted.hit().map(|l| l.rule.as_str()).collect::<Vec<_>>(), ["open"]);
}

#[test]
fn what_clean_text_owes_the_same_text_with_personal_data_owes_too() {
    let text = officers("clean", 1, "found_at_most = []")
        + &rule("masked", "allow_with_masking", "found_at_most = [\"phone\"]");
    let decision = policy(&text).decide(&facts(&["phone"]));
    assert_eq!((decision.verdict, decision.masking), (Verdict::OneOfficer, true));
    assert!(matches!(did(&decision, "clean"), Did::Demands { why } if why.contains("전화번호")), "{decision:?}");
    let beyond = policy(&text).decide(&facts(&["phone", "card"]));
    assert_eq!(beyond.verdict, Verdict::Deny);
    assert_eq!(beyond.denied[0].by, Refuser::Default);
    assert!(beyond.denied[0].reason.contains("카드번호"), "{}", beyond.denied[0].reason);
}

#[test]
fn rules_that_only_demand_let_nothing_pass_by_themselves() {
    let card = officers("card", 2, "found_any = [\"card\"]");
    assert_eq!(policy(&card).decide(&facts(&["card"])).verdict, Verdict::Deny);
    let with = policy(&format!("{card}{}", rule("open", "allow_with_masking", "")));
    assert_eq!(with.decide(&facts(&["card"])).verdict, Verdict::TwoOfficers);
    assert_eq!(with.decide(&facts(&["phone"])).verdict, Verdict::AllowMasked);
}

#[test]
fn a_missing_fact_that_a_rule_asks_for_denies() {
    let open = rule("open", "allow", "");
    let cases: [(&str, Facts); 3] = [
        ("apps = [\"x\"]", Facts { app: None, ..facts(&[]) }),
        ("departments = [\"x\"]", Facts { departments: vec![], ..facts(&[]) }),
        ("purposes = [\"x\"]", Facts { purpose: " ".into(), ..facts(&[]) }),
    ];
    for (when, facts) in cases {
        let decision = policy(&format!("{open}{}", rule("r", "deny", when))).decide(&facts);
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.denied[0].by, Refuser::Undecided { id: "r".into() });
        // Where another condition settles it nothing is missing.
        let settled = policy(&format!("{open}{}", rule("r", "deny", &format!("{when}\nmodels = [\"other\"]"))));
        assert_eq!(settled.decide(&facts).verdict, Verdict::Allow, "{when}");
    }
}

#[test]
fn needs_of_several_rules_join_at_their_strictest() {
    let two = officers("b", 2, "bytes_over = 10").replace("officers = 2", "officers = 2\nvalid_hours = 3");
    let manager = officers("c", 1, "").replace("role = \"security\"", "role = \"부서장\", own_department = true");
    let decision = policy(&(officers("a", 1, "") + &two + &manager)).decide(&facts(&[]));
    assert_eq!(decision.verdict, Verdict::TwoOfficers);
    let needs: Vec<_> = decision.needs.iter().map(|n| (n.rules.join("+"), n.officers, n.valid_hours)).collect();
    assert_eq!(needs, [("a+b".to_owned(), 2, 3), ("c".to_owned(), 1, 24)]);
}

fn preapproved(change: (&str, &str)) -> Decision {
    let text = officers("a", 1, "found_at_most = [\"phone\"]")
        + "[[preapproval]]\nid = \"p\"\napp = \"민원 요약\"\nversion = \"v1\"\nuntil = \"2026-11-02\"\n\
           by = [\"00000000-0000-0000-0000-000000000009\"]\nrecord = \"77\"\ncovers = [\"a\"]\nbytes_up_to = 1000\n";
    policy(&text.replace(change.0, change.1)).decide(&facts(&[]))
}

#[test]
fn a_preapproval_stands_in_for_officers_and_for_nothing_else() {
    let used = preapproved(("", ""));
    assert_eq!((used.verdict, used.needs.len()), (Verdict::Preapproved, 0));
    assert_eq!((used.preapprovals[0].record.as_str(), &used.preapprovals[0].why), ("77", &None));
    let unusable = [
        (("v1\"\nuntil", "v0\"\nuntil"), "판이 바뀜"),
        (("2026-11-02", "2026-11-01"), "기한"),
        (("000000000009", "000000000001"), "스스로"),
        (("officers = 1", "officers = 2"), "모자람"),
        (("bytes_up_to = 1000", "bytes_up_to = 999"), "크기"),
        (("covers = [\"a\"]", "covers = [\"a\"]\nmodels = [\"m2\"]"), "모델"),
    ];
    for (change, why) in unusable {
        let decision = preapproved(change);
        assert!(decision.verdict >= Verdict::OneOfficer && decision.verdict < Verdict::Deny, "{change:?}");
        assert!(decision.preapprovals[0].why.as_ref().unwrap().contains(why), "{decision:?}");
    }
    let denied = preapproved(("[[preapproval]]", &format!("{}[[preapproval]]", rule("d", "deny", ""))));
    assert_eq!(denied.verdict, Verdict::Deny);
}

#[test]
fn a_file_that_loosens_the_floor_is_refused_with_its_line() {
    let security = "[rule.approval]\nofficers = 1\nfrom = { role = \"security\" }\n";
    let cases = [
        ("allow", "", "grades = [\"O\", \"S\"]", "S, C 등급"),
        ("needs_approval", security, "grades = [\"C\"]", "S, C 등급"),
        ("allow_with_masking", "", "found_at_most = [\"rrn\"]", "주민등록번호"),
        ("needs_approval", security, "found_at_most = [\"여권번호\"]", "여권번호"),
        ("needs_approval", security, "found_any = [\"credential\"]", "인증정보"),
        ("allow", "", "found_at_most = [\"phone\"]", "allow_with_masking"),
        ("needs_approval", "[rule.approval]\nofficers = 0\nfrom = { role = \"security\" }\n", "", "1이나 2"),
        (
            "needs_approval",
            "[rule.approval]\nofficers = 1\nfrom = { role = \"security\" }\nallow_self_approval = true\n",
            "",
            "바닥 원칙",
        ),
        ("allow", "", "found_any = [\"phone\"]", "'~부터'"),
        ("deny", "reason = \"x\"\n", "found_at_most = []", "'~까지'"),
        ("deny", "", "", "reason"),
        ("allow", "", "departments = []", "빈 목록"),
    ];
    for (effect, rest, when, expected) in cases {
        let text = format!(
            "format = 1\nrevision = 1\n[[rule]]\nid = \"r\"\neffect = \"{effect}\"\n{rest}[rule.when]\n{when}\n"
        );
        let faults = Policy::parse(&text).expect_err(&text).0;
        assert!(faults.iter().any(|f| f.message.contains(expected) && f.line.is_some()), "{text}: {faults:?}");
    }
    let excepted = "format = 1\nrevision = 1\n[[rule]]\nid = \"r\"\neffect = \"deny\"\nreason = \"x\"\n[rule.when]\n[rule.unless]\n";
    for unless in ["grades = [\"O\"]", "found_any = [\"phone\"]", "bytes_over = 1", ""] {
        assert!(Policy::parse(&format!("{excepted}{unless}\n")).is_err(), "{unless}");
    }
}

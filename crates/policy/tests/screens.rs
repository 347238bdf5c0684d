//! What the admin reads: the preview, warnings and a dry run of whole policies.

use madang_domain::{ExternalCallId, Grade, PersonId};
use madang_policy::facts::AppFacts;
use madang_policy::lint::{Directory, Issue, KnownApp, KnownPerson, KnownProvider, Weight, lint};
use madang_policy::money::{Amounts, MicroWon};
use madang_policy::rehearse::{PastCall, rehearse};
use madang_policy::{Facts, Policy, Unit, Verdict};
use std::collections::BTreeMap;

/// Monday 2026-11-02, 10:00 in Korea.
const MONDAY: i64 = 1_793_581_200_000;
const DAY: i64 = 86_400_000;

fn person(n: u8) -> PersonId {
    format!("00000000-0000-0000-0000-0000000000{n:02x}").parse().unwrap()
}

fn policy(rest: &str) -> Policy {
    let text = format!("format = 1\nrevision = 1\n{rest}");
    Policy::parse(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn directory() -> Directory {
    Directory {
        departments: vec![Unit::new("d1", "교통과")],
        apps: vec![KnownApp { unit: Unit::new("a1", "민원 요약"), versions: vec!["v1".into()] }],
        providers: vec![KnownProvider {
            unit: Unit::new("o1", "제공자"),
            host: "api.example.kr".into(),
            models: vec!["m1".into()],
        }],
        people: vec![KnownPerson { id: person(9), login: "officer".into() }],
    }
}

fn issues(rest: &str) -> Vec<(Issue, String)> {
    lint(&policy(rest), &directory(), MONDAY).into_iter().map(|f| (f.issue, f.at)).collect()
}

#[test]
fn the_shipped_policy_has_nothing_to_warn_of() {
    let found = lint(&Policy::template().unwrap(), &directory(), MONDAY);
    assert!(found.iter().all(|f| f.weight == Weight::Note && f.issue == Issue::UnusedWindow), "{found:?}");
}

#[test]
fn the_preview_says_every_rule_in_korean() {
    let lines = Policy::template().unwrap().preview();
    let of = |id: &str| &lines.iter().find(|l| l.id == id).unwrap().sentence;
    assert_eq!(
        of("open-clean"),
        "O 등급, 개인정보가 없는, 1,048,576바이트 이하인 요청: 개인정보를 가리고 보안담당 한 명의 승인(72시간 안에 결정, 승인 뒤 24시간 유효)을 받으면 보낼 수 있습니다."
    );
    assert_eq!(of("person-day"), "모든 직원마다 하루에 20건까지 쓸 수 있습니다. 넘으면 보내지 않습니다.");
    assert!(lines[0].sentence.contains("기밀(C)"));
    assert_eq!(of("근무시간"), "월화수목금 08:00~20:00");
    let priced = policy(
        "holidays = [\"2026-12-25\"]\n[prices]\nversion = \"11월\"\n[[prices.model]]\nprovider = \"p\"\nmodel = \"m\"\n\
         from = \"2026-11-01\"\ninput = 2000\noutput = 8000\n",
    );
    let last: Vec<_> = priced.preview().into_iter().rev().take(2).map(|l| l.sentence).collect();
    assert_eq!(last, ["2026-12-25", "p m: 2026-11-01부터 백만 토큰에 입력 2,000원, 출력 8,000원"]);
    assert!(policy("").preview()[1].sentence.contains("모든 외부호출을 거부"));
}

#[test]
fn names_that_do_not_exist_are_told_wherever_they_stand() {
    let text = "[[rule]]\nid = \"r\"\neffect = \"allow\"\n[rule.when]\ndepartments = [\"교통과\", \"교통가\"]\napps = [\"a1\"]\n\
                hosts = [\"*.example.kr\", \"*.other.kr\"]\nmodels = [\"m2\"]\n\
                [[budget]]\nid = \"b\"\nper = \"app\"\nperiod = \"day\"\ncalls = 1\nonly = [\"없는 앱\"]\n";
    let found = lint(&policy(text), &directory(), MONDAY);
    let unknown: Vec<_> = found.iter().filter(|f| f.issue == Issue::UnknownName).map(|f| f.sentence.as_str()).collect();
    assert_eq!(unknown.len(), 4, "{unknown:?}");
    for name in ["교통가", "*.other.kr", "m2", "없는 앱"] {
        assert!(unknown.iter().any(|s| s.starts_with(&format!("'{name}'"))), "{name}: {unknown:?}");
    }
}

#[test]
fn a_name_that_two_things_answer_to_is_told_and_so_is_an_app_by_its_title() {
    let rule = |app: &str| format!("[[rule]]\nid = \"r\"\neffect = \"allow\"\n[rule.when]\napps = [\"{app}\"]\n");
    assert_eq!(issues(&rule("a1")), []);
    assert_eq!(issues(&rule("민원 요약")), [(Issue::WeakGround, "rule.r".to_owned())]);
    let mut twice = directory();
    twice.apps.push(KnownApp { unit: Unit::new("a2", "민원 요약"), versions: vec![] });
    let found = lint(&policy(&rule("민원 요약")), &twice, MONDAY);
    assert_eq!(found[0].issue, Issue::AmbiguousName);
}

#[test]
fn expired_and_idle_things_are_told() {
    let rule = "[[rule]]\nid = \"r\"\neffect = \"needs_approval\"\nwhen = {}\n[rule.approval]\nofficers = 2\nfrom = { role = \"security\" }\n";
    let pre = |until: &str| {
        format!(
            "{rule}[[preapproval]]\nid = \"p\"\napp = \"a1\"\nversion = \"v1\"\nuntil = \"{until}\"\n\
             by = [\"00000000-0000-0000-0000-000000000009\"]\nrecord = \"1\"\ncovers = [\"r\"]\n"
        )
    };
    let at = |issue| (issue, "preapproval.p".to_owned());
    assert_eq!(issues(&pre("2026-11-01")), [at(Issue::ExpiredPreapproval), at(Issue::IdlePreapproval)]);
    assert_eq!(issues(&pre("2026-11-02")), [at(Issue::IdlePreapproval)]);
    let budgets = "[[budget]]\nid = \"zero\"\nper = \"person\"\nperiod = \"day\"\ncalls = 0\n\
                   [[budget]]\nid = \"won\"\nper = \"body\"\nperiod = \"month\"\nwon = 5\n\
                   [[budget]]\nid = \"idle\"\nper = \"person\"\nperiod = \"day\"\nwon = 9\n";
    let found: Vec<_> = issues(&format!("{rule}{budgets}"));
    for expected in
        [(Issue::ZeroBudget, "budget.zero"), (Issue::MissingPrice, "budget.won"), (Issue::IdleBudget, "budget.idle")]
    {
        assert!(found.contains(&(expected.0, expected.1.to_owned())), "{expected:?}: {found:?}");
    }
}

#[test]
fn weak_grounds_old_holidays_and_a_closed_door_are_told() {
    assert_eq!(issues(""), [(Issue::NothingAllowed, "rule".to_owned())]);
    let purpose = "[[rule]]\nid = \"r\"\neffect = \"allow\"\n[rule.when]\npurposes = [\"번역\"]\n";
    assert_eq!(issues(purpose), [(Issue::WeakGround, "rule.r".to_owned())]);
    let anybody = "[[rule]]\nid = \"r\"\neffect = \"needs_approval\"\nwhen = {}\n[rule.approval]\nofficers = 1\nfrom = { department = \"교통과\" }\n";
    assert_eq!(issues(anybody), [(Issue::WeakApprover, "rule.r".to_owned())]);
    let window = "[[window]]\nname = \"w\"\ndays = [\"월\"]\nfrom = \"09:00\"\nto = \"18:00\"\n\
                  [[rule]]\nid = \"r\"\neffect = \"allow\"\n[rule.when]\nduring = [\"w\"]\n";
    assert_eq!(issues(window), [(Issue::OldHolidays, "holidays".to_owned())]);
    assert_eq!(issues(&format!("holidays = [\"2026-12-25\"]\n{window}")), []);
}

#[test]
fn a_decision_explains_itself() {
    let policy = Policy::template().unwrap();
    let explained = policy.decide(&past(0, "m1", Verdict::Deny).facts).explain();
    assert_eq!(explained[0], "결정: 담당관 승인 필요.");
    assert!(explained[1].contains("'open-clean', 'open-masked' 규칙에 따라 보안담당 한 명의 승인"), "{explained:?}");
    let grade = Some(Grade::Classified);
    let denied = policy.decide(&Facts { grade, ..past(0, "m1", Verdict::Deny).facts }).explain();
    assert!(denied[0].starts_with("결정: 거부") && denied[1].contains("기밀(C)"), "{denied:?}");
}

fn past(day: i64, model: &str, decided: Verdict) -> PastCall {
    PastCall {
        id: ExternalCallId::new(),
        facts: Facts {
            at_ms: MONDAY + day * DAY,
            person: person(1),
            login: "kim".into(),
            departments: vec![Unit::new("d1", "교통과")],
            app: Some(AppFacts { app: Unit::new("a1", "민원 요약"), version: "v1".into() }),
            provider: Unit::new("o1", "제공자"),
            host: "api.example.kr".into(),
            model: model.into(),
            purpose: "번역".into(),
            grade: Some(Grade::Open),
            regraded_from: None,
            found: Some(BTreeMap::new()),
            detector_blocked: false,
            bytes: 10,
        },
        decided,
        masked: false,
        spent: (decided != Verdict::Deny).then_some(Amounts { won: MicroWon::won(10), tokens: 100, calls: 1 }),
    }
}

#[test]
fn a_dry_run_counts_what_would_change_and_says_why() {
    let new = policy(
        "[[rule]]\nid = \"m1\"\neffect = \"allow\"\n[rule.when]\nmodels = [\"m1\"]\n\
         [[budget]]\nid = \"b\"\nper = \"person\"\nperiod = \"month\"\nwon = 15\n",
    );
    let calls = [
        past(3, "m2", Verdict::OneOfficer),
        past(0, "m1", Verdict::OneOfficer),
        past(1, "m1", Verdict::Allow),
        past(2, "m2", Verdict::Deny),
    ];
    let run = rehearse(&new, &calls);
    assert_eq!((run.calls, run.unchanged, run.stricter, run.looser), (4, 2, 1, 1));
    let turned: Vec<_> = run.turned.iter().map(|t| (t.id, t.before, t.after)).collect();
    assert_eq!(
        turned,
        [(calls[1].id, Verdict::OneOfficer, Verdict::Allow), (calls[0].id, Verdict::OneOfficer, Verdict::Deny)]
    );
    assert!(run.turned[0].sentence.contains("담당관 승인 필요 → 허용. 'm1' 규칙"), "{}", run.turned[0].sentence);
    // 10 of 15 won are spent on Monday; Tuesday's call does not fit.
    assert_eq!(run.over_budget.iter().map(|o| o.id).collect::<Vec<_>>(), [calls[2].id]);
    assert_eq!(run.summary[0], "외부호출 4건 가운데 2건의 결정이 달라집니다.");
    assert_eq!(run.summary.len(), 4);
    assert_eq!(rehearse(&new, &[]).summary, ["비교할 외부호출이 없습니다."]);
}

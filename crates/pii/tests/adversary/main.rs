//! Strings written against the detector by someone who had not read its tests: every kind in many sentences, each with
//! every change that people, programs and scanners make, and thousands of harmless official sentences.

mod again;
mod harmless;
mod mutations;
mod names;
mod structured;
mod unique;
mod values;

use madang_pii::{Action, Finding, Kind, mask, scan};
use std::collections::{BTreeMap, BTreeSet};
use values::Dice;

/// One string and what must be found in it.
struct Case {
    kind: Kind,
    /// Which change, or "clean".
    change: &'static str,
    text: String,
    /// The value, as it stands in the text; empty where the text is encoded as a whole.
    value: String,
}

fn put(template: &str, value: &str) -> String {
    template.replacen("{}", value, 1)
}

/// Characters of `value` in `text` that must be covered are letters and digits.
fn covered(case: &Case, findings: &[Finding]) -> bool {
    let Some(at) = case.text.find(&case.value).filter(|_| !case.value.is_empty()) else { return true };
    let start = case.text[..at].chars().count();
    let bare = |i: usize| !findings.iter().any(|f| f.action != Action::Pass && (f.start..f.end).contains(&i));
    // The letters of a tag around digits may stay.
    let is_sign = |c: char| if ["tag inside", "link", "particle", "glued before", "comment inside", "span inside"].contains(&case.change) { c.is_ascii_digit() } else { c.is_alphanumeric() };
    case.value.chars().enumerate().filter(|(i, c)| is_sign(*c) && bare(start + i)).count() == 0
}

#[derive(PartialEq, PartialOrd, Eq, Ord, Debug, Clone, Copy)]
enum Outcome {
    Found,
    /// Stopped, but as another kind.
    Otherwise,
    /// Something of the value stays.
    Partly,
    Missed,
}

fn outcome(case: &Case) -> Outcome {
    let report = scan(&case.text);
    let strict = report.findings.iter().any(|f| f.kind == case.kind);
    let left = !covered(case, &report.findings) || (report.action != Action::Pass && leaks(case, &mask(&case.text, &report).text));
    match (report.action >= case.kind.action(), strict, left) {
        (false, ..) => Outcome::Missed,
        (true, _, true) => Outcome::Partly,
        (true, true, false) => Outcome::Found,
        (true, false, false) => Outcome::Otherwise,
    }
}

/// Six digits of the value in a row are in the masked text.
fn leaks(case: &Case, masked: &str) -> bool {
    let plain = |s: &str| -> String { unicode_normalization::UnicodeNormalization::nfkc(s).filter(char::is_ascii_digit).collect() };
    let (value, masked) = (plain(&case.value), plain(masked));
    value.as_bytes().windows(6).any(|six| masked.as_bytes().windows(6).any(|m| m == six))
}

fn tally(cases: &[Case], show: bool) -> BTreeMap<(Kind, bool), [usize; 4]> {
    let mut out: BTreeMap<(Kind, bool), [usize; 4]> = BTreeMap::new();
    let mut shown: BTreeMap<(Kind, &str), Vec<String>> = BTreeMap::new();
    for case in cases {
        let o = outcome(case);
        out.entry((case.kind, case.change == "clean")).or_default()[o as usize] += 1;
        if o != Outcome::Found {
            let kinds: BTreeSet<&str> = scan(&case.text).findings.iter().map(|f| f.kind.as_str()).collect();
            shown.entry((case.kind, case.change)).or_default().push(format!("{o:?} {:?} {kinds:?}", case.text));
        }
    }
    if show {
        for ((kind, change), lines) in shown {
            println!("== {kind} {change}: {}", lines.len());
            lines.iter().take(8).for_each(|l| println!("     {l}"));
        }
    }
    for ((kind, clean), [found, otherwise, partly, missed]) in &out {
        println!("{kind:<24} {} {found:>5} {otherwise:>4} {partly:>4} {missed:>4}", if *clean { "clean  " } else { "mutated" });
    }
    out
}

fn cases(dice: &mut Dice, kind: Kind, templates: &[&str], make: fn(&mut Dice) -> String, changes: &[(&'static str, mutations::Change)], out: &mut Vec<Case>) {
    for t in templates {
        let value = make(dice);
        out.push(Case { kind, change: "clean", text: put(t, &value), value });
    }
    for (change, f) in changes {
        for _ in 0..3 {
            let t = dice.of(templates);
            let value = make(dice);
            let value = f(&value, dice);
            let text = put(t, &value);
            out.push(Case { kind, change, text, value });
        }
    }
    for (change, f) in mutations::WHOLE {
        for _ in 0..3 {
            let t = dice.of(templates);
            let value = make(dice);
            out.push(Case { kind, change, text: f(&put(t, &value)), value: String::new() });
        }
    }
}

fn all_changes() -> Vec<(&'static str, mutations::Change)> {
    mutations::DASHED.into_iter().chain(mutations::DIGITS).chain(mutations::ENCODED).collect()
}

fn encoded() -> Vec<(&'static str, mutations::Change)> {
    mutations::ENCODED.to_vec()
}

#[test]
fn unique() {
    let mut dice = Dice(seed());
    let all = all_changes();
    let mut out = Vec::new();
    cases(&mut dice, Kind::Rrn, unique::RESIDENT, values::resident, &all, &mut out);
    cases(&mut dice, Kind::ForeignerRegistration, unique::FOREIGNER, values::foreigner, &all, &mut out);
    cases(&mut dice, Kind::DriversLicense, unique::LICENSE, values::license, &all, &mut out);
    cases(&mut dice, Kind::DriversLicense, unique::LICENSE, values::old_license, &all, &mut out);
    let plain: Vec<_> = mutations::DIGITS.into_iter().chain(mutations::ENCODED).collect();
    cases(&mut dice, Kind::Passport, unique::PASSPORT, values::passport, &plain, &mut out);
    for i in 0..unique::pieces("", "").len() {
        let value = values::resident(&mut dice);
        let (front, back) = value.split_once('-').unwrap_or_default();
        let text = unique::pieces(front, back).swap_remove(i);
        out.push(Case { kind: Kind::Rrn, change: "pieces", text, value: String::new() });
    }
    tally(&out, true);
}

#[test]
fn structured() {
    let mut dice = Dice(seed());
    let all = all_changes();
    let mut out = Vec::new();
    cases(&mut dice, Kind::Phone, structured::PHONE, values::mobile, &all, &mut out);
    cases(&mut dice, Kind::Phone, structured::PHONE, values::landline, &all, &mut out);
    cases(&mut dice, Kind::Phone, structured::BARE_PHONE, values::mobile, &all, &mut out);
    let account: Vec<String> = structured::ACCOUNT.iter().map(|t| t.replace("{bank}", dice.of(&["국민은행", "신한은행", "농협", "카카오뱅크", "기업은행", "새마을금고", "우체국", "하나은행", "토스뱅크"]))).collect();
    let account: Vec<&str> = account.iter().map(String::as_str).collect();
    cases(&mut dice, Kind::Account, &account, |d| values::account(d).1, &all, &mut out);
    cases(&mut dice, Kind::Card, structured::CARD, values::card, &all, &mut out);
    cases(&mut dice, Kind::HealthInsurance, structured::HEALTH, values::health, &mutations::DIGITS, &mut out);
    cases(&mut dice, Kind::VehiclePlate, structured::PLATE, values::plate, &encoded(), &mut out);
    cases(&mut dice, Kind::Email, structured::EMAIL, values::email, &encoded(), &mut out);
    cases(&mut dice, Kind::Ip, structured::IP, values::ip, &encoded(), &mut out);
    for &t in structured::ADDRESS {
        out.push(Case { kind: Kind::Address, change: "clean", text: t.to_string(), value: String::new() });
        for (change, f) in mutations::WHOLE {
            out.push(Case { kind: Kind::Address, change, text: f(t), value: String::new() });
        }
    }
    for t in structured::SECRETS {
        out.push(secret(t, &mut dice));
    }
    tally(&out, true);
}

#[test]
fn again() {
    let mut dice = Dice(seed());
    let mut out = Vec::new();
    let all = again::DIGITS;
    cases(&mut dice, Kind::Rrn, again::RESIDENT, values::resident, all, &mut out);
    cases(&mut dice, Kind::ForeignerRegistration, again::FOREIGNER, values::foreigner, all, &mut out);
    cases(&mut dice, Kind::DriversLicense, again::LICENSE, values::license, all, &mut out);
    cases(&mut dice, Kind::DriversLicense, again::LICENSE, values::old_license, &[], &mut out);
    cases(&mut dice, Kind::Passport, again::PASSPORT, values::passport, all, &mut out);
    cases(&mut dice, Kind::Phone, again::PHONE, values::mobile, all, &mut out);
    cases(&mut dice, Kind::Phone, again::PHONE, values::landline, &all[..20], &mut out);
    cases(&mut dice, Kind::Account, again::ACCOUNT, |d| values::account(d).1, all, &mut out);
    cases(&mut dice, Kind::Card, again::CARD, values::card, all, &mut out);
    cases(&mut dice, Kind::HealthInsurance, again::HEALTH, values::health, all, &mut out);
    cases(&mut dice, Kind::VehiclePlate, again::PLATE, values::plate, &[], &mut out);
    cases(&mut dice, Kind::Name, again::NAMES, values::long_name, &[], &mut out);
    for t in again::ADDRESS {
        out.push(Case { kind: Kind::Address, change: "clean", text: t.to_string(), value: String::new() });
    }
    for t in again::SECRETS {
        out.push(secret(t, &mut dice));
    }
    tally(&out, true);
}

fn secret(t: &str, dice: &mut Dice) -> Case {
    let s = dice.letters(6) + dice.of(&["!", "@1", "#9", "77", "2026!"]);
    let (n, akia) = (dice.letters(36), dice.letters(16).to_uppercase());
    let text = t.replace("{s}", &s).replace("{n}", &n).replace("{AKIA}", &akia);
    let value = if t.contains("{s}") { s } else if t.contains("{n}") { n } else { akia };
    Case { kind: Kind::Credential, change: "clean", text, value }
}

#[test]
fn persons() {
    let mut dice = Dice(seed());
    let mut out = Vec::new();
    for _ in 0..3 {
        cases(&mut dice, Kind::Name, names::LABELLED, values::name, &[], &mut out);
    }
    for &t in names::OTHER {
        out.push(Case { kind: Kind::Name, change: "clean", text: t.to_string(), value: String::new() });
    }
    tally(&out, true);
    for &t in names::NOBODY {
        let f = scan(t).findings;
        if !f.is_empty() {
            println!("nobody: {t:?} {:?}", f.iter().map(|f| f.kind).collect::<Vec<_>>());
        }
    }
}

#[test]
fn harmless_lines() {
    let mut dice = Dice(seed());
    let (mut n, mut block, mut masked) = (0, 0, 0);
    let mut shown: BTreeMap<(Action, &str), Vec<String>> = BTreeMap::new();
    for _ in 0..30 {
        for &t in harmless::TEMPLATES.iter().chain(harmless::AGAIN) {
            let text = harmless::filled(t, &mut dice);
            let report = scan(&text);
            n += 1;
            block += usize::from(report.action == Action::Block);
            masked += usize::from(report.action == Action::Mask);
            if report.action != Action::Pass {
                let kinds: BTreeSet<&str> = report.findings.iter().map(|f| f.kind.as_str()).collect();
                shown.entry((report.action, t)).or_default().push(format!("{text:?} {kinds:?}"));
            }
        }
    }
    for ((action, _), lines) in shown {
        println!("{action:?} {}x {}", lines.len(), lines[0]);
    }
    println!("harmless {n}: {block} blocked, {masked} masked");
}

fn seed() -> u64 {
    std::env::var("MADANG_PII_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

//! Recall on fresh random identifiers under every mutation. The bars: unique identifiers always clean and 99 % mutated,
//! others 97 %.

use crate::identifiers::{Identifier, structured, unique, worded};
use crate::mutations::{ANY, DIGITS, Mutation, RARER};
use crate::random::Random;
use madang_pii::{Action, scan};
use std::collections::BTreeMap;

/// Rounds of fresh identifiers.
const ROUNDS: u64 = 60;

#[derive(Default)]
struct Tally {
    tried: usize,
    found: usize,
    example: String,
}

/// What must be done with the identifier is done.
fn caught(id: &Identifier, text: &str) -> bool {
    let report = scan(text);
    report.action >= id.kind.action()
}

fn run(
    make: fn(&mut Random) -> Vec<Identifier>,
    mutations: &[&[Mutation]],
    seed: u64,
) -> BTreeMap<(String, &'static str), Tally> {
    let mut tallies: BTreeMap<(String, &'static str), Tally> = BTreeMap::new();
    let mut random = Random::new(seed);
    for _ in 0..ROUNDS {
        for id in make(&mut random) {
            for (name, mutate) in mutations.iter().flat_map(|list| list.iter()) {
                let Some(text) = mutate(&id, &mut random) else { continue };
                let tally = tallies.entry((id.kind.to_string(), name)).or_default();
                tally.tried += 1;
                if caught(&id, &text) {
                    tally.found += 1;
                } else {
                    tally.example = text;
                }
            }
        }
    }
    tallies
}

/// Recall over all of `tallies` that are (not) clean; misses are told.
fn recall(what: &str, tallies: &BTreeMap<(String, &'static str), Tally>, clean: bool) -> f64 {
    let chosen = || tallies.iter().filter(|((_, name), _)| (*name == "clean") == clean);
    for ((kind, name), t) in chosen().filter(|(_, t)| t.found < t.tried) {
        eprintln!("{what}: {kind}, {name}: {} of {}, e.g. {:?}", t.found, t.tried, t.example);
    }
    let (found, tried) = chosen().fold((0, 0), |(f, n), (_, t)| (f + t.found, n + t.tried));
    let recall = found as f64 / tried.max(1) as f64;
    eprintln!("{what}: {found} of {tried} {}: {:.2} %", if clean { "clean" } else { "mutated" }, recall * 100.0);
    recall
}

#[test]
fn unique_identifiers() {
    let known = run(unique, &[ANY, DIGITS], 1);
    assert_eq!(recall("unique", &known, true), 1.0);
    assert!(recall("unique", &known, false) >= 0.99);
}

#[test]
fn unique_identifiers_in_rarer_disguises() {
    assert!(recall("unique, rarer", &run(unique, &[RARER], 2), false) >= 0.99);
}

#[test]
fn structured_identifiers() {
    let known = run(structured, &[ANY, DIGITS], 3);
    assert!(recall("structured", &known, true) >= 0.97);
    assert!(recall("structured", &known, false) >= 0.97);
    assert!(recall("structured, rarer", &run(structured, &[RARER], 4), false) >= 0.97);
}

#[test]
fn worded_identifiers() {
    let known = run(worded, &[ANY], 5);
    assert!(recall("worded", &known, true) >= 0.97);
    assert!(recall("worded", &known, false) >= 0.97);
}

/// Blocking alone is no proof: under the plain mutations the kind and the place are right too.
#[test]
fn kinds_are_told_apart() {
    let mut random = Random::new(6);
    let (mut right, mut all) = (0, 0);
    for _ in 0..ROUNDS {
        for id in unique(&mut random).into_iter().chain(structured(&mut random)).chain(worded(&mut random)) {
            let text = format!("{}{}{}", id.before, id.value, id.after);
            let report = scan(&text);
            let start = id.before.chars().count();
            let end = start + id.value.chars().count();
            all += 1;
            let hit = report.findings.iter().find(|f| f.kind == id.kind && f.action >= Action::Mask);
            match hit {
                Some(f) if f.start <= start + 1 && f.end == end => right += 1,
                hit => eprintln!("{:?} in {text:?}: {hit:?} among {:?}", id.kind, report.findings),
            }
        }
    }
    assert!(right * 100 >= all * 97, "{right} of {all}");
}

//! Identifiers made of digits with letters or dots among them: passports, plates, addresses of hosts.

use crate::checks;
use crate::digits::{Digit, Digits, Sort};
use crate::kind::Kind;
use crate::labels::Label;
use crate::text::Text;
use crate::window::{Candidate, Window, gaps_at};
use std::net::Ipv6Addr;

/// How far the word for a passport reaches.
const PASSPORT_REACH: usize = 20;
/// How far the word for a car reaches.
const VEHICLE_REACH: usize = 20;
/// Longest address of a host (IPv6 with an IPv4 tail).
const LONGEST_HOST: usize = 45;
/// Blanks at the head of a line that goes on with a number.
const MAX_INDENT: usize = 12;
/// Syllables on plates.
const PLATE_SYLLABLES: &str =
    "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호바사아자배육해공국합";
/// Syllables among them that stand behind other numbers too: particles and counters.
const LIKE_PARTICLES: &str = "가나도로조호부수자주구서하사보";
/// What a number is counted in, so that it is none of a car.
const COUNTERS: &str = "억만천백원년월일명호개건회조%,.층동번점권매세평리길";

/// Passports, plates and addresses of hosts.
pub(crate) fn find(text: &Text, digits: &Digits) -> Vec<Candidate> {
    let mut out = Vec::new();
    let written: Vec<&[Digit]> = digits.written().collect();
    for (i, run) in written.iter().enumerate() {
        pair(text, run, written.get(i + 1).copied(), &mut out);
    }
    for (i, run) in digits.runs.iter().enumerate() {
        let next = digits.runs.get(i + 1);
        if run.mixed || next.is_some_and(|next| next.mixed) {
            pair(text, digits.run(run), next.map(|next| digits.run(next)), &mut out);
        }
    }
    written.iter().for_each(|run| hosts(text, run, &mut out));
    long_hosts(text, &mut out);
    out
}

/// A run, and what it makes with the next one.
fn pair(text: &Text, run: &[Digit], next: Option<&[Digit]>, out: &mut Vec<Candidate>) {
    let next = next.filter(|next| are_neighbours(run, next));
    passports(text, run, next, out);
    out.extend(next.and_then(|next| plate(text, run, next)));
}

/// No more than a letter and a few separators stand between the runs.
fn are_neighbours(first: &[Digit], second: &[Digit]) -> bool {
    let from = first.last().map_or(0, Digit::end);
    second.len() >= 4 && second.first().is_some_and(|d| (1..=16).contains(&d.at.saturating_sub(from)))
}

/// Letters that passports begin with, and those of other scripts that look like them.
fn passport_letter(c: char) -> bool {
    matches!(c.to_ascii_uppercase(), 'M' | 'S' | 'R' | 'O' | 'D' | 'G' | 'T' | 'М' | 'м' | 'Μ' | 'Ѕ' | 'ѕ' | 'О' | 'Ο')
}

/// The letter before byte `at`, no more than three separators away: its start, and how many separators.
fn letter_before(text: &Text, at: usize) -> Option<(usize, usize)> {
    // A line may end behind the letter, however the next one is indented.
    let indent = text.slice(text.back(at, MAX_INDENT)..at);
    let indent = indent.len() - indent.trim_end_matches(' ').len();
    let at = if text.before(at - indent) == Some('\n') { at - indent } else { at };
    let from = text.back(at, 4);
    let before = text.slice(from..at);
    let trimmed = before.trim_end_matches(|c: char| c.is_whitespace() || "-._/:·*`~,()".contains(c));
    let separators = before.chars().count() - trimmed.chars().count();
    let letter = trimmed.chars().next_back()?;
    let start = from + trimmed.len() - letter.len_utf8();
    let joined = text.before(start).is_some_and(|c| c.is_ascii_alphanumeric());
    (separators <= 3 && !joined && (passport_letter(letter) || letter == '엠')).then_some((start, separators))
}

fn passports(text: &Text, run: &[Digit], next: Option<&[Digit]>, out: &mut Vec<Candidate>) {
    // Old passports: letter and eight digits, wherever in the run they begin.
    for start in 0..run.len().min(64).saturating_sub(6) {
        let window = Window { run, start, text };
        if let Some(found) = window.opens().then(|| eight_digits(&window)).flatten() {
            out.push(found);
        }
    }
    let Some(next) = next else { return };
    let first = Window { run, start: run.len().saturating_sub(3), text };
    let second = Window { run: next, start: 0, text };
    let doubtful = first.of_sort(3, Sort::Doubtful) + second.of_sort(4.min(next.len()), Sort::Doubtful) > 0;
    if first.values(3).is_none() || second.values(4).is_none() || !first.opens() || doubtful {
        return;
    }
    let between = text.slice(first.end(3)..second.at(0));
    let letter = between.trim_matches(|c: char| c.is_whitespace() || "-._/:·*`~,()".contains(c));
    let one_letter = letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_alphabetic());
    if !one_letter || between.chars().count() > 7 {
        return;
    }
    let Some((from, separators)) = letter_before(text, first.at(0)) else { return };
    let labelled = text.has_label_before(from, PASSPORT_REACH, Label::Passport);
    let followed = text.after(second.end(4)).is_some_and(|c| c.is_ascii_alphanumeric());
    let compact = separators == 0 && between.len() == 1 && first.gaps(3) == 0 && second.gaps(4) == 0;
    let bracketed = text.slice(from..second.at(0)).contains(['(', ')']);
    if labelled || !followed && !bracketed && (compact || first.at(0) - from <= 4) {
        let confidence = if labelled { 0.95 } else { 0.7 };
        out.push(Candidate { kind: Kind::Passport, range: from..second.end(4), confidence });
    }
}

fn eight_digits(window: &Window) -> Option<Candidate> {
    let text = window.text;
    let labelled = window.labelled(PASSPORT_REACH, Label::Passport);
    if labelled && let Some(found) = labelled_passport(window) {
        return Some(found);
    }
    let d = window.values(8)?;
    let (from, separators) = letter_before(text, window.at(0))?;
    let followed = text.after(window.end(8)).is_some_and(|c| c.is_ascii_alphabetic());
    let cells = window.inner_gaps(8).any(|g| g.is_cell() || g.has_plus() || g.is_strange());
    let compact = separators == 0 && window.gaps(8) == 0;
    let dated = matches!(*d, [1, 9, ..] | [2, 0, ..]) && d.get(2..).is_some_and(checks::birth_date);
    let tidy = window.shaped(8, gaps_at(&[3, 4])) && !window.spaced(8);
    // "DOI 10.4594": letters of a word are no digits; "T. 0 1 1 2" is a telephone.
    let written = compact || window.of_sort(8, Sort::Letter) == 0 && window.label(PASSPORT_REACH) != Some(Label::Phone);
    // "R-R-445-36566": the number of a thing, in parts.
    let parts =
        !compact && text.before(from).is_some_and(|c| c.is_ascii_punctuation() && !"([{\"'<>|*`:,=".contains(c));
    let other = parts || text.after(from).is_some_and(|c| matches!(c.to_ascii_uppercase(), 'G' | 'T'));
    let telephone = letter_is_zero(text, from) && window.label(PASSPORT_REACH) == Some(Label::Phone);
    let bracketed = text.slice(from..window.at(0)).contains(['(', ')']);
    let other = other || bracketed;
    let fits = labelled
        || !followed
            && !cells
            && !telephone
            && !other
            && written
            && !window.goes_on(8)
            && (compact || !dated && (tidy || window.alone(8)));
    let confidence = if labelled { 0.95 } else { 0.7 };
    (fits && window.believable(8)).then_some(Candidate { kind: Kind::Passport, range: from..window.end(8), confidence })
}

/// The letter at byte `at` looks like the 0 that telephones begin with.
fn letter_is_zero(text: &Text, at: usize) -> bool {
    matches!(text.after(at), Some('O' | 'o' | 'О' | 'Ο'))
}

/// Beside the word for it: one or two letters of any sort and seven or eight digits.
fn labelled_passport(window: &Window) -> Option<Candidate> {
    let n = [8, 7].into_iter().find(|n| window.values(*n).is_some())?;
    let text = window.text;
    let from = text.back(window.at(0), 5);
    let before = text.slice(from..window.at(0)).trim_end_matches(|c: char| c.is_whitespace() || c == '-');
    let letters = before.len() - before.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
    let start = from + before.len() - letters;
    ((1..=2).contains(&letters) && window.opens()).then_some(Candidate {
        kind: Kind::Passport,
        range: start..window.end(n),
        confidence: 0.8,
    })
}

/// 차량번호: two or three digits, a syllable, four digits.
fn plate(text: &Text, first: &[Digit], second: &[Digit]) -> Option<Candidate> {
    let front_digits = [3, 2]
        .into_iter()
        .find(|n| first.len().checked_sub(*n).is_some_and(|start| Window { run: first, start, text }.opens()));
    let region = |n: usize| first.len() >= n;
    let n = front_digits.or_else(|| region(1).then_some(1))?;
    let front = Window { run: first, start: first.len().checked_sub(n)?, text };
    let back = Window { run: second, start: 0, text };
    back.values(4)?;
    let (start, end) = (front.at(0), back.end(4));
    let between = text.slice(front.end(n)..back.at(0));
    let syllable = between.trim_matches(|c: char| c.is_whitespace() || "-._/·~".contains(c));
    let one = syllable.chars().next().filter(|_| syllable.chars().count() == 1)?;
    if !PLATE_SYLLABLES.contains(one) || between.chars().count() > 7 || front.digit(0)?.gap.is_dash() {
        return None;
    }
    let regional = region_start(text, start);
    let labelled = text.has_label_near(start, end, VEHICLE_REACH, Label::Vehicle);
    let apart = between.chars().count() > 1 || front.gaps(n) != 0 || back.gaps(4) != 0;
    let spelt = front.soft(n) + back.soft(4) > 0;
    // "12조 3456억", "101호 1203호": an amount or a room, not a plate.
    let figure = text.str().as_bytes().get(end + 1).is_some_and(u8::is_ascii_digit);
    let counted = text.after(end).is_some_and(|c| {
        COUNTERS.contains(c) && (figure || !matches!(c, ',' | '.')) && !(labelled && matches!(c, '번' | '호'))
    });
    let case = text.label_before(start, VEHICLE_REACH) == Some(Label::Court);
    let numbered = matches!(text.before(start), Some(',' | '제' | '.' | '-'));
    // "12 가 3456", "123-가-4567"; a year behind is none of a car.
    let even = between.chars().count() == 3
        && (between.starts_with(' ') && between.ends_with(' ') || between.starts_with('-') && between.ends_with('-'));
    let year = matches!(text.slice(back.at(0)..end).as_bytes(), [b'1', b'9', ..] | [b'2', b'0', ..]);
    let spread = even && !year && front.gaps(n) == 0 && back.gaps(4) == 0;
    // "12가 3456" is how plates are read out; behind a particle or a counter the next number is another.
    let usual = between.chars().count() == 2
        && between.ends_with(' ')
        && !(year && LIKE_PARTICLES.contains(one))
        && front.gaps(n) == 0
        && back.gaps(4) == 0
        && (!LIKE_PARTICLES.contains(one) || ends_alone(text, start, end));
    let plain = n >= 2 && (!apart || spread || usual) && !spelt && !case && !numbered;
    let sure = labelled && n >= 2 || regional.is_some() && !numbered;
    (!counted && (sure || plain)).then_some(Candidate {
        kind: Kind::VehiclePlate,
        range: regional.unwrap_or(start)..end,
        confidence: 0.8,
    })
}

/// Nothing but a field's border, or a word for a number of a car, stands around the bytes.
fn ends_alone(text: &Text, start: usize, end: usize) -> bool {
    let border =
        |c: Option<char>| c.is_none_or(|c| matches!(c, '\n' | '|' | '\t' | ',' | '(' | ')' | '"' | '\'' | ':' | ';'));
    let before = text.slice(text.back(start, 2)..start).trim_end_matches(' ').chars().next_back();
    let after = text.slice(end..text.forth(end, 2)).trim_start_matches(' ').chars().next();
    border(before) && (border(after) || after.is_some_and(|c| c == '번' || c == '차'))
        || border(after) && text.before(start).is_none()
}

/// Start of the region's name right before a plate of the old form.
fn region_start(text: &Text, at: usize) -> Option<usize> {
    const REGIONS: [&str; 17] = [
        "서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종", "경기", "강원", "충북", "충남", "전북", "전남",
        "경북", "경남", "제주",
    ];
    let before = text.slice(text.back(at, 4)..at);
    let name = before.trim_end();
    let region = REGIONS.iter().find(|r| name.ends_with(**r))?;
    (before.len() - name.len() <= 2).then_some(at - (before.len() - name.len()) - region.len())
}

/// IPv4: four numbers up to 255 with dots between, however the dots are hidden ("10[.]0[.]0[.]1").
fn hosts(text: &Text, run: &[Digit], out: &mut Vec<Candidate>) {
    let mut groups: Vec<&[Digit]> = Vec::new();
    let mut rest = run;
    while !rest.is_empty() {
        let length = 1 + rest.iter().skip(1).take_while(|d| d.gap.is_none()).count();
        let (group, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        groups.push(group);
        rest = tail;
    }
    let mut i = 0;
    while let Some(quad) = groups.get(i..i + 4) {
        match host(text, quad) {
            Some(found) => {
                out.push(found);
                i += 4;
            }
            None => i += 1,
        }
    }
}

fn host(text: &Text, quad: &[&[Digit]]) -> Option<Candidate> {
    let value =
        |group: &[Digit]| group.iter().fold(0u32, |n, d| n.saturating_mul(10).saturating_add(u32::from(d.value)));
    let (start, end) = (quad.first()?.first()?.at, quad.last()?.last()?.end());
    let dotted = quad.windows(2).all(|pair| match pair {
        [a, b] => a
            .last()
            .zip(b.first())
            .is_some_and(|(a, b)| text.slice(a.end()..b.at).trim_matches(['[', ']', '(', ')', ' ']) == "."),
        _ => false,
    });
    let spaced = quad.iter().skip(1).any(|g| g.first().is_some_and(|d| d.gap.count > 1));
    let octets: Vec<u32> = quad.iter().map(|g| value(g)).collect();
    let padded = quad.iter().any(|g| g.len() > 3 || g.len() > 1 && g.first().is_some_and(|d| d.value == 0));
    let goes_on = text.after(end) == Some('.') && text.str().as_bytes().get(end + 1).is_some_and(u8::is_ascii_digit);
    let beside = text.before(start) == Some('.') || goes_on;
    let labelled = text.has_label_before(start, 20, Label::Ip);
    let section =
        text.has_label_before(start, 10, Label::Reference) || matches!(text.before(start), Some('제' | 'v' | 'V'));
    // "2026. 1. 2. 3"; sections and versions have small numbers.
    let private = octets.first() == Some(&10) && octets.iter().skip(1).any(|&p| p >= 20 || p == 0);
    let usual = !section && !spaced && (private || octets.iter().any(|&p| p >= 32));
    let fits = dotted && !padded && !beside && octets.iter().all(|&p| p <= 255) && octets.first() != Some(&0);
    (fits && (labelled || usual)).then_some(Candidate { kind: Kind::Ip, range: start..end, confidence: 0.8 })
}

/// IPv6.
fn long_hosts(text: &Text, out: &mut Vec<Candidate>) {
    let bytes = text.str().as_bytes();
    let part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut done = 0;
    for (colon, _) in text.str().match_indices(':') {
        if colon < done || !bytes.get(colon + 1).is_some_and(part) {
            continue;
        }
        let left = bytes.get(done..colon).unwrap_or_default();
        let start = colon - left.iter().rev().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
        let token = bytes.get(start..).unwrap_or_default();
        let end = start + token.iter().take(LONGEST_HOST).take_while(|b| part(b)).count();
        let word = text.slice(start..end).trim_end_matches(['.', ':']);
        let whole = [text.before(start), text.after(end)].into_iter().flatten().all(|c| !c.is_ascii_alphanumeric());
        let long = word.bytes().filter(u8::is_ascii_hexdigit).count() >= 4;
        if long && whole && word.parse::<Ipv6Addr>().is_ok() && !text.touches_token(&(start..end)) {
            out.push(Candidate { kind: Kind::Ip, range: start..start + word.len(), confidence: 0.8 });
        }
        done = end.max(colon + 1);
    }
}

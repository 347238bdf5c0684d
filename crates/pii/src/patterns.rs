//! Identifiers with letters in them: passports, old licences, e-mail, plates, addresses, IP, credentials, and the
//! spoken form of a resident's number. Regular expressions without look-around; neighbours are checked in code.
//!
//! Every repetition is bounded or is of one class, so that a failed attempt never reads far ahead.

use crate::kind::Kind;
use crate::numbers::Candidate;
use crate::text::{Label, Text};
use crate::{checks, names};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are tested")
}

macro_rules! patterns {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| regex(&$pattern));)*
        #[cfg(test)]
        fn compile_all() { $(LazyLock::force(&$name);)* }
    };
}

const REGION: &str = r"(?:[가-힣]{1,6}(?:특별시|광역시|특별자치시|특별자치도|도|시|군|구|읍|면|동|리) ?){0,4}";
const ROAD: &str = r"[가-힣0-9]{1,15}(?:로|길)(?: ?[0-9]{1,4}(?:번|가|나|다)?길)? ?[0-9]{1,4}(?:-[0-9]{1,4})?";
const LOT: &str = r"[가-힣0-9]{1,8}(?:동|리|가) ?(?:산 ?)?[0-9]{1,4}(?:-[0-9]{1,4})?(?:번지)?";
const BETWEEN: &str = r"[ ,\n]{1,3}(?:\([^()\n]{1,30}\)[ ,]{0,3})?(?:[가-힣A-Za-z0-9]{1,20}(?:아파트|빌라|오피스텔|맨션|타운|빌|주택|APT|apt|A)[ ,]{0,3})?";
const UNIT: &str = r"(?:(?:[0-9]{1,4}|[가-힣A-Za-z]) ?동[ ,-]{0,2}(?:[0-9]{1,2}층 ?)?[0-9]{1,5} ?호|(?:[0-9]{1,2}층 ?)?[0-9]{2,5} ?호)";

patterns! {
    PASSPORT = r"[MSRODmsrod](?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})";
    PASSPORT_SPACED = r"[MSRODmsrod][ -]?[0-9]{3}[ -]?[A-Za-z0-9][ -]?[0-9]{4}";
    OLD_LICENSE = r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기(?:남부|북부)?|강원|충북|충남|전북|전남|경북|경남|제주)[ -]{0,3}[0-9]{2}[ -]{1,3}[0-9]{6}[ -]{1,3}[0-9]{2}";
    BACK_PART = r"(?:([0-9]{6})[^0-9]{0,20})?뒤? ?자리[^0-9]{0,10}([1-8][0-9]{6})";
    EMAIL = r"[A-Za-z0-9._%+-]{1,64} ?(?:@|\( ?at ?\)|\[ ?at ?\]|\{ ?at ?\}|골뱅이) ?(?:[A-Za-z0-9-]{1,63} ?(?:\.|\( ?dot ?\)|\[ ?dot ?\]|점) ?){1,5}[A-Za-z]{2,24}";
    PLATE = r"(?:(서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주) ?)?[0-9]{2,3}( ?)([가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호바사아자배육해공국합])( ?)[0-9]{4}";
    IP = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}";
    API_KEY = r"sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35}";
    JWT = r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}";
    PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----";
    SECRET = r#"(?i:비밀 ?번호|패스워드|암호|인증 ?키|서비스 ?키|password|passwd|pwd|api[_ -]?key|secret(?:[_ -]?key)?|access[_ -]?token)["']? ?[:=] ?["']?([!-~]{6,200})"#;
    ADDRESS = format!("{REGION}(?:{ROAD}|{LOT}){BETWEEN}{UNIT}");
    BARE_UNIT = r"[0-9]{2,4}동 ?[0-9]{2,5}호";
    PLACE = format!("{REGION}(?:{ROAD}|{LOT})");
    LABELLED_PLACE = format!("(?:주소|거주지|자택|주민등록지)[ :]{{1,3}}({REGION}(?:{ROAD}|{LOT}))");
}

/// Every identifier with letters in it.
pub(crate) fn find(text: &Text) -> Vec<Candidate> {
    let mut out = Vec::new();
    passports(text, &mut out);
    resident_parts(text, &mut out);
    credentials(text, &mut out);
    plates(text, &mut out);
    for m in OLD_LICENSE.find_iter(&text.string) {
        out.extend(apart_from_digits(text, m.range(), Kind::DriversLicense, 0.9));
    }
    for m in EMAIL.find_iter(&text.string) {
        push(text, m.range(), Kind::Email, 0.95, &mut out);
    }
    for m in IP.find_iter(&text.string) {
        out.extend(apart_from_digits(text, m.range(), Kind::Ip, 0.8).filter(|c| is_address(m.as_str(), text, c)));
    }
    let people = names::find(text);
    addresses(text, &people, &mut out);
    out.extend(people);
    out
}

fn push(text: &Text, bytes: Range<usize>, kind: Kind, confidence: f32, out: &mut Vec<Candidate>) {
    out.push(Candidate { kind, range: text.chars(bytes), confidence });
}

fn neighbours(text: &Text, range: &Range<usize>) -> [Option<char>; 2] {
    [range.start.checked_sub(1).and_then(|i| text.view.get(i)), text.view.get(range.end)]
}

/// The match, unless a digit adjoins it.
fn apart_from_digits(text: &Text, bytes: Range<usize>, kind: Kind, confidence: f32) -> Option<Candidate> {
    let range = text.chars(bytes);
    let joined = neighbours(text, &range).into_iter().flatten().any(|c| c.is_ascii_digit());
    (!joined).then_some(Candidate { kind, range, confidence })
}

fn passports(text: &Text, out: &mut Vec<Candidate>) {
    let alone =
        |range: &Range<usize>| !neighbours(text, range).into_iter().flatten().any(|c| c.is_ascii_alphanumeric());
    for (pattern, needs_label) in [(&PASSPORT, false), (&PASSPORT_SPACED, true)] {
        for m in pattern.find_iter(&text.string) {
            let range = text.chars(m.range());
            let labelled = text.label_before(range.start, 20) == Some(Label::Passport);
            if alone(&range) && (labelled || !needs_label) {
                out.push(Candidate { kind: Kind::Passport, range, confidence: if labelled { 0.95 } else { 0.7 } });
            }
        }
    }
}

/// "생년월일 900101, 뒷자리 1970000": the halves of a number with words between them.
fn resident_parts(text: &Text, out: &mut Vec<Candidate>) {
    for found in BACK_PART.captures_iter(&text.string) {
        let (Some(whole), Some(back)) = (found.get(0), found.get(2)) else {
            continue;
        };
        let front = found.get(1).filter(|f| {
            let digits: Vec<u8> = f.as_str().bytes().map(|b| b.wrapping_sub(b'0')).collect();
            checks::birth_date(&digits)
        });
        let start = front.map_or(back.start(), |f| f.start());
        let kind =
            if back.as_str().starts_with(['5', '6', '7', '8']) { Kind::ForeignerRegistration } else { Kind::Rrn };
        let confidence = if front.is_some() { 0.9 } else { 0.6 };
        out.extend(apart_from_digits(text, start..whole.end(), kind, confidence));
    }
}

fn credentials(text: &Text, out: &mut Vec<Candidate>) {
    for m in API_KEY.find_iter(&text.string).chain(JWT.find_iter(&text.string)) {
        push(text, m.range(), Kind::Credential, 0.95, out);
    }
    for value in SECRET.captures_iter(&text.string).filter_map(|c| c.get(1)) {
        push(text, value.range(), Kind::Credential, 0.8, out);
    }
    let begins: Vec<Range<usize>> = PRIVATE_KEY.find_iter(&text.string).map(|m| m.range()).collect();
    let mut ends = text.string.match_indices("-----END").map(|(at, _)| at).peekable();
    for (i, begin) in begins.iter().enumerate() {
        while ends.next_if(|&end| end < begin.end).is_some() {}
        // A key cut off before its end line reaches to the next key or to the end of the text.
        let limit = begins.get(i + 1).map_or(text.string.len(), |next| next.start);
        let end = ends.peek().copied().filter(|&end| end < limit).unwrap_or(limit);
        push(text, begin.start..end, Kind::Credential, 0.95, out);
    }
}

fn plates(text: &Text, out: &mut Vec<Candidate>) {
    for found in PLATE.captures_iter(&text.string) {
        let Some(whole) = found.get(0) else { continue };
        let Some(candidate) = apart_from_digits(text, whole.range(), Kind::VehiclePlate, 0.8) else {
            continue;
        };
        let blank = [2, 4].iter().any(|&i| found.get(i).is_some_and(|m| !m.is_empty()));
        let sure = found.get(1).is_some()
            || text.has_label_near(candidate.range.start, candidate.range.end, 20, Label::Vehicle);
        // "12조 3456억", "101호 1203호": an amount or a room, not a plate.
        let [before, after] = neighbours(text, &candidate.range);
        let counted = after.is_some_and(|c| "억만천백원년월일명호개건회조%,.층동번점권매".contains(c));
        let case = text.label_before(candidate.range.start, 20) == Some(Label::Court);
        if sure && !counted || !blank && !counted && !case && before != Some(',') {
            out.push(candidate);
        }
    }
}

/// Four octets that are an address rather than the number of a section or a version.
fn is_address(octets: &str, text: &Text, candidate: &Candidate) -> bool {
    let dotted = neighbours(text, &candidate.range)[0] == Some('.');
    let parts: Vec<u16> = octets.split('.').filter_map(|p| p.parse().ok()).collect();
    let labelled = text.label_before(candidate.range.start, 20) == Some(Label::Ip);
    !dotted
        && parts.iter().all(|&p| p <= 255)
        && (labelled || parts.first() == Some(&10) || parts.iter().any(|&p| p >= 32))
}

fn addresses(text: &Text, people: &[Candidate], out: &mut Vec<Candidate>) {
    for m in ADDRESS.find_iter(&text.string) {
        push(text, m.range(), Kind::Address, 0.85, out);
    }
    for m in BARE_UNIT.find_iter(&text.string) {
        out.extend(apart_from_digits(text, m.range(), Kind::Address, 0.6));
    }
    for place in LABELLED_PLACE.captures_iter(&text.string).filter_map(|c| c.get(1)) {
        push(text, place.range(), Kind::Address, 0.8, out);
    }
    if people.is_empty() {
        return;
    }
    for m in PLACE.find_iter(&text.string) {
        let range = text.chars(m.range());
        // People are in order: only the last before and the first after can be near.
        let after = people.partition_point(|p| p.range.start < range.start);
        let left = after
            .checked_sub(1)
            .and_then(|i| people.get(i))
            .is_some_and(|p| range.start.saturating_sub(p.range.end) <= 20);
        let right = people.get(after).is_some_and(|p| p.range.start.saturating_sub(range.end) <= 20);
        if left || right {
            out.push(Candidate { kind: Kind::Address, range, confidence: 0.6 });
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_compile() {
        super::compile_all();
    }
}

//! Evasions generated at random are found at the right place; nothing panics.

use madang_pii::{Action, Kind, mask, restore, scan};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

/// Thirteen digits with a real date and a century digit.
fn registration() -> impl Strategy<Value = Vec<u8>> {
    (0u8..100, 1u8..=12, 1u8..=28, 1u8..=8, 0u32..1_000_000).prop_map(|(year, month, day, century, rest)| {
        format!("{year:02}{month:02}{day:02}{century}{rest:06}").bytes().map(|b| b - b'0').collect()
    })
}

/// One digit as written by an evader.
fn written(digit: u8) -> impl Strategy<Value = char> {
    let n = u32::from(digit);
    let forms = [0x30, 0xFF10, 0x660, 0x1D7CE].map(|zero| char::from_u32(zero + n).unwrap());
    prop::sample::select(forms.to_vec())
}

/// The separators cut a year, a month and a day out of the number, at its head or its end: a date looks the same.
fn holds_a_date(number: &str) -> bool {
    let plain: String = number.nfkc().map(|c| if ('٠'..='٩').contains(&c) { arabic(c) } else { c }).collect();
    let separators = |c: char| "-./–\n \u{A0}".contains(c);
    let visible: String = plain.chars().filter(|c| c.is_ascii_digit() || separators(*c)).collect();
    let groups: Vec<&str> = visible.split(separators).filter(|group| !group.is_empty()).collect();
    let date = |three: &[&str]| {
        three[0].len() == 4
            && (three[0].starts_with("19") || three[0].starts_with("20"))
            && three[1..].iter().all(|g| g.len() <= 2)
    };
    let day = |group: &&str| group.len() == 8 && (group.starts_with("19") || group.starts_with("20"));
    groups.windows(3).any(date) || groups.iter().any(day)
}

fn arabic(c: char) -> char {
    char::from_digit(u32::from(c) - 0x660, 10).unwrap_or(c)
}

/// What an evader puts between two digits: nothing, invisible characters, one to three separators.
fn between() -> impl Strategy<Value = String> {
    let quiet = prop::sample::select(vec!["", "\u{200B}", "\u{AD}", "\u{2060}\u{FEFF}", "\u{FE0F}"]);
    let separators =
        prop::collection::vec(prop::sample::select(vec!['-', ' ', '.', '–', '\u{A0}', '\n', '－', '/']), 0..=3);
    (quiet, separators).prop_map(|(q, s)| q.to_string() + &s.into_iter().collect::<String>())
}

fn evasion() -> impl Strategy<Value = (String, Vec<u8>)> {
    registration().prop_flat_map(|digits| {
        let letters: Vec<_> = digits.iter().map(|&d| written(d)).collect();
        (letters, prop::collection::vec(between(), 12), Just(digits)).prop_map(|(letters, gaps, digits)| {
            let mut text = String::new();
            for (i, c) in letters.into_iter().enumerate() {
                text.push(c);
                text.push_str(gaps.get(i).map_or("", |g| g));
            }
            (text, digits)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_registration_number_is_found_however_separated((number, digits) in evasion(), before in "[가-나 ]{0,6}", after in "[가-나 ]{0,6}") {
        // A company of Seoul with its check digit is the one thing that may look the same.
        prop_assume!(!digits.starts_with(&[1, 1, 0, 1]));
        // So may a bare serial number that begins with a date: somebody born in 1919 or 1920.
        prop_assume!(!digits.starts_with(&[1, 9]) && !digits.starts_with(&[2, 0]));
        prop_assume!(!holds_a_date(&number));
        let text = format!("{before}{number}{after}");
        let report = scan(&text);
        prop_assert_eq!(report.action, Action::Block, "{:?}", text);
        let start = before.chars().count();
        let end = start + number.chars().count();
        let hit = report.findings.iter().find(|f| matches!(f.kind, Kind::Rrn | Kind::ForeignerRegistration));
        prop_assert!(hit.is_some_and(|f| f.start <= start && f.end >= end && f.end <= text.chars().count()), "{:?} in {:?}", hit, text);
        let exact = report.findings.iter().any(|f| f.start == start && f.end == end);
        prop_assert!(exact, "{:?} in {:?}", report.findings, text);
    }

    #[test]
    fn masked_text_holds_no_registration_number((number, _) in evasion()) {
        let text = format!("앞 {number} 뒤");
        let masked = mask(&text, &scan(&text));
        prop_assert!(scan(&masked.text).action != Action::Block, "{}", masked.text);
    }

    #[test]
    fn any_text_gives_findings_in_order_inside_it(text in any::<String>()) {
        let count = text.chars().count();
        let report = scan(&text);
        let mut last = 0;
        for f in &report.findings {
            prop_assert!(last <= f.start && f.start < f.end && f.end <= count);
            last = f.end;
        }
    }

    #[test]
    fn texts_near_identifiers_never_panic(text in r#"[0-9O공일이 \-.@%&#;\\u가나로동호님씨:MA/=\n+()]{0,120}"#) {
        let report = scan(&text);
        mask(&text, &report);
    }

    #[test]
    fn masking_any_text_twice_is_masking_it_once(text in r#"([0-9]{1,8}|[-. ,/:]|공|일|[가-힣]{1,3}|계좌 |연락처 |성명: |씨 |행복로 |동 |호 |@|a|\[전화번호-1\]|\[|\]|\n|%39|M){0,40}"#) {
        let once = mask(&text, &scan(&text));
        let again = scan(&once.text);
        prop_assert_eq!(again.action, Action::Pass, "{:?}", once.text);
        prop_assert_eq!(&mask(&once.text, &again).text, &once.text);
        if scan(&text).action != Action::Block && !text.contains("[전화번호-1]") {
            let blocked = once.tokens.len() < once.text.matches('[').count().saturating_sub(text.matches('[').count());
            prop_assert!(blocked || restore(&once.text, &once.tokens) == text, "{:?}", once);
        }
    }
}

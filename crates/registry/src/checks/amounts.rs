//! Amounts as `금234,580원(금이십삼만사천오백팔십원)`, the Hangul verified against the figures.

use super::{Looked, place_at};

pattern!(AMOUNT, r"(금\s*)?([0-9][0-9,]*)\s*원(?:정)?(?:\s*\(\s*(금)?\s*([가-힣\s]+?)\s*원(?:정)?\s*\))?");

/// Digits in Hangul, as documents read them aloud.
const DIGITS: [char; 10] = ['영', '일', '이', '삼', '사', '오', '육', '칠', '팔', '구'];
const SMALL: [(char, u64); 3] = [('천', 1000), ('백', 100), ('십', 10)];
const LARGE: [(char, u64); 3] = [('조', 1_000_000_000_000), ('억', 100_000_000), ('만', 10_000)];
/// From here on the reading is left to people: no budget reaches it.
const TOO_LARGE: u64 = 10_000_000_000_000_000;

/// Hangul reading with every 일 written out, as amounts are: 113560 → "일십일만삼천오백육십". `None` for 0 and from
/// ten quadrillion (1경) on.
pub fn hangul_amount(won: u64) -> Option<String> {
    if won == 0 || won >= TOO_LARGE {
        return None;
    }
    let mut out = String::new();
    let mut rest = won;
    for (name, size) in LARGE {
        if rest >= size {
            out.push_str(&below_ten_thousand(rest / size));
            out.push(name);
            rest %= size;
        }
    }
    out.push_str(&below_ten_thousand(rest));
    Some(out)
}

fn below_ten_thousand(mut n: u64) -> String {
    let mut out = String::new();
    for (name, size) in SMALL {
        if n >= size {
            out.extend(digit(n / size));
            out.push(name);
            n %= size;
        }
    }
    if n > 0 {
        out.extend(digit(n));
    }
    out
}

fn digit(n: u64) -> Option<char> {
    usize::try_from(n).ok().and_then(|n| DIGITS.get(n).copied())
}

/// The number a Hangul amount reads ("이십삼만사천오백팔십", with or without 일 before 십, 백, 천); `None` where it is
/// no such reading.
pub fn parse_hangul_amount(text: &str) -> Option<u64> {
    let (mut total, mut group, mut unit) = (0u64, 0u64, None::<u64>);
    let (mut last_small, mut last_large) = (u64::MAX, u64::MAX);
    let mut any = false;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        any = true;
        if let Some(d) = DIGITS.iter().position(|x| *x == c || (c == '륙' && *x == '육')) {
            if unit.replace(d as u64).is_some() {
                return None;
            }
        } else if let Some((_, size)) = SMALL.iter().find(|(name, _)| *name == c) {
            if *size >= last_small {
                return None;
            }
            last_small = *size;
            group += unit.take().unwrap_or(1) * size;
        } else if let Some((_, size)) = LARGE.iter().find(|(name, _)| *name == c) {
            if *size >= last_large {
                return None;
            }
            last_large = *size;
            last_small = u64::MAX;
            let group_value = group + unit.take().unwrap_or(0);
            total += group_value.max(1) * size;
            group = 0;
        } else {
            return None;
        }
    }
    any.then(|| total + group + unit.unwrap_or(0))
}

/// Looks at every amount in won written in figures; "천원" and "만 원" are units of tables and are left.
pub(super) fn amounts(text: &str) -> Looked {
    let mut looked = Looked { seen: 0, places: vec![] };
    for found in AMOUNT.captures_iter(text) {
        let (Some(whole), Some(figures)) = (found.get(0), found.get(2)) else {
            continue;
        };
        let Ok(won) = figures.as_str().replace(',', "").parse::<u64>() else {
            continue;
        };
        let Some(hangul) = hangul_amount(won) else { continue };
        looked.seen += 1;
        let right = format!("금{}원(금{hangul}원)", with_commas(won));
        let read = found.get(4).map(|m| parse_hangul_amount(m.as_str()));
        let fix = match read {
            Some(Some(n)) if n != won => format!("숫자와 한글 금액이 다릅니다. 숫자가 맞으면 ‘{right}’로 적습니다."),
            Some(Some(_))
                if found.get(1).is_none() || found.get(3).is_none() || figures.as_str() != with_commas(won) =>
            {
                format!("‘{right}’로 적습니다.")
            }
            Some(Some(_)) => continue,
            Some(None) | None => format!("한글 금액을 함께 적어 ‘{right}’로 적습니다."),
        };
        looked.places.push(place_at(text, whole.start(), whole.as_str(), fix));
    }
    looked
}

/// 234580 → "234,580".
fn with_commas(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_hangul() {
        assert_eq!(hangul_amount(234_580).as_deref(), Some("이십삼만사천오백팔십"));
        assert_eq!(hangul_amount(113_560).as_deref(), Some("일십일만삼천오백육십"));
        assert_eq!(parse_hangul_amount("십일만 삼천오백육십"), Some(113_560));
        assert_eq!(parse_hangul_amount("일억이천만"), Some(120_000_000));
        for wrong in ["", "삼사", "백천", "만억", "예산"] {
            assert_eq!(parse_hangul_amount(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_official_form_passes_and_others_are_put_right() {
        let good = amounts("계약금액: 금234,580원(금이십삼만사천오백팔십원)");
        assert_eq!((good.seen, good.places.len()), (1, 0));
        let fix = |t: &str| amounts(t).places.first().map(|p| p.fix.clone()).unwrap_or_default();
        assert!(fix("금234,580원(금이십삼만오천오백팔십원)").starts_with("숫자와 한글 금액이 다릅니다"));
        assert!(fix("234,580원").contains("금234,580원(금이십삼만사천오백팔십원)"));
        assert!(fix("금234580원(금이십삼만사천오백팔십원)").starts_with("‘금234,580원"));
    }

    #[test]
    fn units_of_tables_and_zero_are_left() {
        for text in ["예산 21백만 원", "5,000천원", "0원", "3명이 원했다"] {
            assert_eq!(amounts(text).seen, 0, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(won in 1u64..TOO_LARGE) {
            let hangul = hangul_amount(won).unwrap_or_default();
            prop_assert_eq!(parse_hangul_amount(&hangul), Some(won));
            let looked = amounts(&format!("금{}원(금{hangul}원)", with_commas(won)));
            prop_assert_eq!((looked.seen, looked.places.len()), (1, 0));
        }

        #[test]
        fn never_panics(text in "[금일이삼만억조천백십원0-9,() ]{0,60}") {
            amounts(&text);
            parse_hangul_amount(&text);
        }
    }
}

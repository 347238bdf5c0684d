//! Check digits and dates of Korean identifiers. Pure arithmetic over digits 0–9; positions are not looked at here.

/// `YYMMDD` names a day that a calendar has (29 February always counts: the century is not known here).
pub(crate) fn birth_date(d: &[u8]) -> bool {
    let &[_, _, m1, m2, d1, d2] = d else { return false };
    let (month, day) = (m1 * 10 + m2, d1 * 10 + d2);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 29,
        _ => return false,
    };
    (1..=last).contains(&day)
}

/// Begins with a day of our times, `YYYYMMDD`: a serial number rather than a person born in 1919 to 1920 or 2019 to 2020.
pub(crate) fn dated_serial(d: &[u8]) -> bool {
    matches!(d, [1, 9, 5..=9, ..] | [2, 0, 0..=4, ..]) && d.get(2..8).is_some_and(birth_date)
}

/// Born since October 2020, when numbers lost their check digit, or more than a hundred years ago: a right check digit
/// of a number that begins with a day says nothing then.
pub(crate) fn hardly_a_birth(d: &[u8]) -> bool {
    let newborn = matches!(d, [2, 0, 1, ..] | [2, 1..=9, ..]) && matches!(d.get(6), Some(3 | 4 | 7 | 8));
    newborn || matches!(d, [1, 9, ..] | [2, 0, ..]) && matches!(d.get(6), Some(1 | 2 | 5 | 6))
}

fn weighted(d: &[u8], weights: &[u32]) -> u32 {
    d.iter().zip(weights).map(|(&d, &w)| u32::from(d) * w).sum()
}

const REGISTRATION: [u32; 12] = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];

/// Check digit of a resident's number (주민등록번호): `(11 − Σ dᵢ·wᵢ mod 11) mod 10`.
///
/// Numbers given since October 2020 have no check digit, so a failure never rejects.
pub(crate) fn resident(d: &[u8]) -> bool {
    d.len() == 13 && d.get(12).is_some_and(|&c| u32::from(c) == (11 - weighted(d, &REGISTRATION) % 11) % 10)
}

/// Check digit of a foreigner's number (외국인등록번호): `(13 − Σ dᵢ·wᵢ mod 11) mod 10`.
pub(crate) fn foreigner(d: &[u8]) -> bool {
    d.len() == 13 && d.get(12).is_some_and(|&c| u32::from(c) == (13 - weighted(d, &REGISTRATION) % 11) % 10)
}

/// Check digit of a business (사업자등록번호): weights 1,3,7,1,3,7,1,3,5 plus the tens of 5·d₉.
pub(crate) fn business(d: &[u8]) -> bool {
    let (&[.., ninth, last], 10) = (d, d.len()) else {
        return false;
    };
    let sum = weighted(d, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + u32::from(ninth) * 5 / 10;
    u32::from(last) == (10 - sum % 10) % 10
}

/// Check digit of a corporation (법인등록번호): weights 1,2 repeating.
pub(crate) fn corporation(d: &[u8]) -> bool {
    let (&[.., last], 13) = (d, d.len()) else { return false };
    u32::from(last) == (10 - weighted(d, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10) % 10
}

/// Check digit of goods (GTIN-13, ISBN-13): weights 1,3 repeating.
pub(crate) fn goods(d: &[u8]) -> bool {
    let (&[.., last], 13) = (d, d.len()) else { return false };
    u32::from(last) == (10 - weighted(d, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10) % 10
}

/// Luhn's check (ISO/IEC 7812-1) of a card number.
pub(crate) fn luhn(d: &[u8]) -> bool {
    let sum: u32 = d
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &d)| match (i % 2, u32::from(d)) {
            (0, d) => d,
            (_, d) if d > 4 => d * 2 - 9,
            (_, d) => d * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// First digits that card networks in Korea use: Visa, Mastercard, Amex, Diners, JCB, UnionPay, domestic 9.
pub(crate) fn card_issuer(d: &[u8]) -> bool {
    let prefix = d.iter().take(4).fold(0u32, |n, &d| n * 10 + u32::from(d));
    match d.len() {
        16 => matches!(prefix, 4000..=4999 | 5100..=5599 | 2221..=2720 | 3528..=3589 | 6000..=6999 | 9000..=9999),
        15 => matches!(prefix / 100, 34 | 37),
        14 => matches!(prefix / 100, 36 | 38),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(s: &str) -> Vec<u8> {
        s.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect()
    }

    #[test]
    fn check_digits() {
        assert!(resident(&digits("900101-1970000")) && !resident(&digits("900101-1970001")));
        assert!(foreigner(&digits("850505-5970013")) && !foreigner(&digits("850505-5970014")));
        assert!(business(&digits("220-81-62517")) && !business(&digits("220-81-62518")));
        assert!(corporation(&digits("110111-0006240")) && !corporation(&digits("110111-0006241")));
        assert!(goods(&digits("8801234567893")) && !goods(&digits("8801234567894")));
        assert!(luhn(&digits("4111111111111111")) && !luhn(&digits("4111111111111112")));
    }

    #[test]
    fn dates() {
        assert!(dated_serial(&digits("2002011906614")) && dated_serial(&digits("2011033110522")));
        assert!(!dated_serial(&digits("2013133110522")) && !dated_serial(&digits("9001011970000")));
        assert!(hardly_a_birth(&digits("2010033110220")) && !hardly_a_birth(&digits("9001011970000")));
        assert!(birth_date(&digits("000229")) && !birth_date(&digits("001332")) && !birth_date(&digits("900431")));
        assert!(!birth_date(&[]));
    }
}

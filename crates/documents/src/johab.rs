//! Johab (조합형, KS X 1001 annex 3), in which texts of DOS days are kept: a syllable is its three letters of five bits,
//! signs and hanja are those of KS X 1001 in other places.

use encoding_rs::EUC_KR;

/// Decodes Johab. `None` when a pair of bytes is none of its characters, or hardly any syllable is among them.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    let (mut syllables, mut pairs) = (0usize, 0usize);
    while let Some(lead) = rest.next() {
        if lead < 0x80 {
            out.push(char::from(lead));
            continue;
        }
        let trail = rest.next()?;
        pairs += 1;
        let c = match lead {
            0x84..=0xD3 => hangul(u16::from_be_bytes([lead, trail]))?,
            _ => other(lead, trail)?,
        };
        syllables += usize::from(('가'..='힣').contains(&c));
        out.push(c);
    }
    (syllables * 2 > pairs).then_some(out)
}

fn hangul(code: u16) -> Option<char> {
    let part = |shift: u16| u32::from(code >> shift & 31);
    let initial = part(10).checked_sub(2).filter(|i| *i < 19);
    let vowel = match part(5) {
        v @ 3..=7 => Some(v - 3),
        v @ 10..=15 => Some(v - 5),
        v @ 18..=23 => Some(v - 7),
        v @ 26..=29 => Some(v - 9),
        2 => None,
        _ => return None,
    };
    let last = match part(0) {
        l @ 1..=17 => l - 1,
        l @ 19..=29 => l - 2,
        _ => return None,
    };
    match (initial, vowel, last) {
        (Some(initial), Some(vowel), last) => char::from_u32(0xAC00 + (initial * 21 + vowel) * 28 + last),
        // A letter on its own.
        (Some(initial), None, 0) => "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ".chars().nth(initial as usize),
        (None, Some(vowel), 0) => char::from_u32(0x314F + vowel),
        _ => None,
    }
}

/// Signs and hanja: two rows of KS X 1001 share a lead byte.
fn other(lead: u8, trail: u8) -> Option<char> {
    let row = match lead {
        0xD9..=0xDE => (lead - 0xD9) * 2 + 0xA1,
        0xE0..=0xF9 => (lead - 0xE0) * 2 + 0xCA,
        _ => return None,
    };
    let pair = match trail {
        0x31..=0x7E => [row, trail - 0x31 + 0xA1],
        0x91..=0xA0 => [row, trail - 0x91 + 0xEF],
        0xA1..=0xFE => [row + 1, trail],
        _ => return None,
    };
    let (text, bad) = EUC_KR.decode_without_bom_handling(&pair);
    let mut chars = text.chars();
    chars.next().filter(|_| !bad && chars.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syllables_letters_signs_and_hanja() {
        // 한글, 가, ㄱ; the ideographic space is the first sign, 伽 the first hanja.
        assert_eq!(decode(&[0xD0, 0x65, 0x8B, 0x69, b' ', 0x88, 0x61, 0x88, 0x41]).as_deref(), Some("한글 가ㄱ"));
        assert_eq!(other(0xD9, 0x31), Some('\u{3000}'));
        assert_eq!(other(0xE0, 0x31), Some('伽'));
        assert_eq!(decode(&[0xFF, 0xFF]), None);
        assert_eq!(decode(&[0x88]), None);
    }

    #[test]
    fn what_is_cp949_is_not_taken() {
        let (bytes, _, _) = EUC_KR.encode("정보통신과는 행정망을 점검하고 누리집을 고친다.");
        assert_eq!(decode(&bytes), None);
    }
}

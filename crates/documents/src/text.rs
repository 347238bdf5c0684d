//! Bytes → characters, and the one normal form that stored text has: NFC, LF, no control characters, known
//! private-use characters replaced. Knows nothing of documents.

use encoding_rs::{EUC_KR, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Decodes text of an unknown encoding: a byte order mark first, then UTF-8, UTF-16 without a mark, then a guess
/// that leans Korean (CP949, and Johab where CP949 fails). `None` when the bytes are not text.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return Some(encoding.decode_without_bom_handling(bytes.get(mark..)?).0.into_owned());
    }
    if let Some(encoding) = unmarked_utf16(bytes) {
        return Some(encoding.decode_without_bom_handling(bytes).0.into_owned());
    }
    if !looks_like_text(bytes) {
        return None;
    }
    match utf8_prefix(bytes) {
        Some(text) => Some(text.to_owned()),
        None => {
            let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(bytes, true);
            let encoding = detector.guess(Some(b"kr"), chardetng::Utf8Detection::Allow);
            let (text, bad) = encoding.decode_without_bom_handling(bytes);
            let korean = encoding == EUC_KR && !bad;
            Some(if korean { None } else { johab(bytes) }.unwrap_or_else(|| text.into_owned()))
        }
    }
}

/// The bytes as Johab, when CP949 cannot read them.
fn johab(bytes: &[u8]) -> Option<String> {
    let (_, bad) = EUC_KR.decode_without_bom_handling(bytes);
    if bad { crate::johab::decode(bytes) } else { None }
}

/// The bytes as UTF-8, forgiving a character cut at the very end (a sample or a truncated file).
fn utf8_prefix(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() => std::str::from_utf8(bytes.get(..e.valid_up_to())?).ok(),
        Err(_) => None,
    }
}

/// UTF-16 without a byte order mark: line feeds and spaces leave zeroes on one side only.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(4096))?;
    if head.len() < 4 || std::str::from_utf8(head).is_ok_and(|t| !t.contains('\0')) {
        return None;
    }
    let zeroes = |side: usize| head.iter().skip(side).step_by(2).filter(|b| **b == 0).count();
    let (even, odd, pairs) = (zeroes(0), zeroes(1), head.len() / 2);
    // A few syllables (가, 였) end in a zero byte of their own, so the sides are compared rather than required pure.
    let encoding = match (even, odd) {
        (low, high) if high * 20 >= pairs && high > low * 2 => UTF_16LE,
        (high, low) if high * 20 >= pairs && high > low * 2 => UTF_16BE,
        _ => return None,
    };
    let (text, bad) = encoding.decode_without_bom_handling(head.get(..head.len() & !1)?);
    let strange = text.chars().filter(|c| c.is_control() && !c.is_whitespace()).count();
    (!bad && strange == 0).then_some(encoding)
}

/// No NULs and few other control bytes.
fn looks_like_text(bytes: &[u8]) -> bool {
    let strange = bytes.iter().filter(|b| matches!(b, 1..=8 | 14..=26 | 28..=31 | 127)).count();
    !bytes.contains(&0) && strange * 200 <= bytes.len()
}

/// Decodes an XML or HTML document that may name its encoding; falls back to [`decode`].
pub(crate) fn decode_markup(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(bytes.get(..bytes.len().min(2048))?).to_ascii_lowercase();
    let label = head.split("charset=").nth(1).or_else(|| head.split("encoding=").nth(1));
    let label = label.map(|l| l.trim_start_matches(['"', '\'']));
    let label = label.and_then(|l| l.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next());
    match label.and_then(|l| Encoding::for_label(l.as_bytes())) {
        Some(encoding) if Encoding::for_bom(bytes).is_none() && encoding != UTF_8 && utf8_prefix(bytes).is_none() => {
            Some(encoding.decode_without_bom_handling(bytes).0.into_owned())
        }
        _ => decode(bytes),
    }
}

/// Normal form of stored text. Tabs and line feeds stay.
pub(crate) fn normalise(text: &str) -> Cow<'_, str> {
    let clean = |c: char| c == '\n' || c == '\t' || !(c.is_control() || replaced(c).is_some());
    if text.chars().all(clean) && is_nfc(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            _ => match replaced(c) {
                Some(instead) => out.push_str(instead),
                None if c.is_control() && c != '\n' && c != '\t' => {}
                None => out.push(c),
            },
        }
    }
    Cow::Owned(out.nfc().collect())
}

/// Normalised text on one line, with single spaces.
pub(crate) fn one_line(text: &str) -> String {
    normalise(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands for a character that means nothing outside its font, or nothing at all.
fn replaced(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{FEFF}' | '\u{200B}' | '\u{2060}' | '\u{AD}' | '\u{FFFC}' => "",
        '\u{A0}' | '\u{2007}' | '\u{202F}' | '\u{3000}' => " ",
        '\u{2028}' | '\u{2029}' => "\n",
        // Symbol and Wingdings characters that office programs keep in the private use area.
        '\u{F0B7}' | '\u{F09F}' => "•",
        '\u{F06C}' => "●",
        '\u{F06E}' | '\u{F0A7}' => "■",
        '\u{F06F}' | '\u{F071}' | '\u{F0A8}' => "□",
        '\u{F075}' => "◆",
        '\u{F0D8}' => "➢",
        '\u{F0E0}' | '\u{F0E8}' => "→",
        '\u{F0F0}' => "⇒",
        '\u{F0FC}' => "✓",
        '\u{F0FE}' => "☑",
        '\u{F0AB}' => "★",
        // 한 with the old vowel, as 한글 writes its own name.
        '\u{F53A}' => "\u{1112}\u{119E}\u{11AB}",
        // Hanyang's own signs in the supplementary area, as 한글 draws them.
        '\u{F02EF}' => "·",
        '\u{F02B1}'..='\u{F02C4}' => circled(c, '\u{F02B1}', CIRCLED),
        '\u{F02CE}'..='\u{F02E1}' => circled(c, '\u{F02CE}', BLACK_CIRCLED),
        _ => return None,
    })
}

/// Characters that only one font can draw: old Hangul and signs of Hanyang and Hancom that are not mapped here.
pub(crate) fn private(text: &str) -> usize {
    text.chars().filter(|c| matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}')).count()
}

const CIRCLED: &[&str] =
    &["①", "②", "③", "④", "⑤", "⑥", "⑦", "⑧", "⑨", "⑩", "⑪", "⑫", "⑬", "⑭", "⑮", "⑯", "⑰", "⑱", "⑲", "⑳"];
const BLACK_CIRCLED: &[&str] =
    &["❶", "❷", "❸", "❹", "❺", "❻", "❼", "❽", "❾", "❿", "⓫", "⓬", "⓭", "⓮", "⓯", "⓰", "⓱", "⓲", "⓳", "⓴"];

fn circled(c: char, first: char, signs: &[&'static str]) -> &'static str {
    signs.get((c as usize).saturating_sub(first as usize)).copied().unwrap_or("○")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: &str = "파주시 정보통신과\n똠방각하와 펲시콜라를 좋아하는 사람들이 모였다.\n";

    const JOHAB: &[u8] =
        b"\xCCa\xBA\x81\xAF\xA1 \xB8\xF7\xA5\xA1\xC9\xB7\xAF\xA5\x89\xC1\x93e \xD0\x97\xB8\xF7\xA0w\xB7i \xB8\
        \xF1\x88\xF1\xD0e\x94a. \xB5\x81\xACe\xB7e \xD9H\xB9\xA1\x9D\x81\xD9I\xB5A \x98a\x9Fe\x94a.\x0A";

    #[test]
    fn korean_encodings_are_told_apart() {
        let (cp949, _, bad) = encoding_rs::EUC_KR.encode(SENTENCE);
        assert!(!bad);
        assert_eq!(decode(&cp949).as_deref(), Some(SENTENCE));
        assert_eq!(decode(SENTENCE.as_bytes()).as_deref(), Some(SENTENCE));
        let utf16 = |swap: bool| -> Vec<u8> {
            SENTENCE.encode_utf16().flat_map(|u| if swap { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        for (mark, swap) in [(&b"\xFF\xFE"[..], false), (b"\xFE\xFF", true)] {
            assert_eq!(decode(&[mark, &utf16(swap)].concat()).as_deref(), Some(SENTENCE));
            assert_eq!(decode(&utf16(swap)).as_deref(), Some(SENTENCE));
        }
        assert_eq!(
            decode(JOHAB).as_deref(),
            Some("파주시 정보통신과는 행정망을 점검한다. 예산은 「조례」에 따른다.\n")
        );
        assert_eq!(decode(&[0, 1, 2, 3, 0, 0, 9, 9]), None);
    }

    #[test]
    fn named_encoding_of_markup_is_followed() {
        let html = "<meta charset=\"euc-kr\"><p>한글</p>";
        let (bytes, _, _) = encoding_rs::EUC_KR.encode(html);
        assert_eq!(decode_markup(&bytes).as_deref(), Some(html));
        assert_eq!(decode_markup(html.as_bytes()).as_deref(), Some(html));
    }

    #[test]
    fn normal_form() {
        assert_eq!(normalise("\u{1112}\u{1161}\u{11AB}글\r\n\u{F0B7}\u{0}끝\u{200B}"), "한글\n•끝");
        assert_eq!(normalise("\u{F53A}글 \u{F02B3}"), "\u{1112}\u{119E}\u{11AB}글 ③");
        assert_eq!(private("가\u{E0BC}나\u{F03A0}"), 2);
        assert!(matches!(normalise("그대로\n"), Cow::Borrowed(_)));
    }
}

//! Encodings that hide an identifier from the eye: HTML entities, URL escapes, string escapes, base64.
//! Each decoder keeps the range of the original that a decoded character stands for.

use crate::view::View;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Shorter tokens cannot hold an identifier.
const MIN_BASE64: usize = 12;
/// Shorter stretches of decoded text are chance.
const MIN_READABLE: usize = 8;
/// A line of base64 at least this long may go on in the next line (MIME breaks at 76, PEM at 64).
const WRAPPED_LINE: usize = 40;

/// One round of decoding entities, URL escapes and string escapes; `None` where the text holds none.
pub(crate) fn unescape(view: &View) -> Option<View> {
    let mut out = View::default();
    let mut changed = false;
    let mut i = 0;
    while let Some(c) = view.get(i) {
        let used = match c {
            '%' => percent(view, i, &mut out),
            '&' => entity(view, i, &mut out),
            '\\' => backslash(view, i, &mut out),
            _ => 0,
        };
        changed |= used > 0;
        if used == 0 {
            out.push(c, view.span(i));
        }
        i += used.max(1);
    }
    changed.then_some(out)
}

fn covering(view: &View, from: usize, to: usize) -> (u32, u32) {
    (view.span(from).0, view.span(to.saturating_sub(1)).1)
}

fn hex_pair(view: &View, at: usize) -> Option<u8> {
    let high = view.get(at)?.to_digit(16)?;
    let low = view.get(at + 1)?.to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Decodes a run of `%XX` from `start`; returns how many characters it took.
fn percent(view: &View, start: usize, out: &mut View) -> usize {
    let mut bytes = Vec::new();
    let mut end = start;
    while view.get(end) == Some('%') {
        let Some(byte) = hex_pair(view, end + 1) else { break };
        bytes.push(byte);
        end += 3;
    }
    let mut at = start;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let next = at + 3 * c.len_utf8();
            out.push(c, covering(view, at, next));
            at = next;
        }
        if !chunk.invalid().is_empty() {
            let next = at + 3 * chunk.invalid().len();
            out.push(char::REPLACEMENT_CHARACTER, covering(view, at, next));
            at = next;
        }
    }
    end - start
}

/// Decodes one entity at `start`; returns how many characters it took.
fn entity(view: &View, start: usize, out: &mut View) -> usize {
    const LONGEST: usize = 12;
    let body: String =
        view.chars().get(start + 1..).unwrap_or_default().iter().take(LONGEST).take_while(|c| **c != ';').collect();
    let length = body.chars().count();
    let closed = view.get(start + 1 + length) == Some(';');
    let numeric = body.strip_prefix('#').map(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => (leading(hex, |c| c.is_ascii_hexdigit()), 16, 2),
        None => (leading(digits, |c| c.is_ascii_digit()), 10, 1),
    });
    let (decoded, used) = match numeric {
        // Browsers read a number without its semicolon too.
        Some((digits, radix, prefix)) => {
            let whole = closed && digits.len() + prefix == length;
            let c = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
            (c, 1 + prefix + digits.len() + usize::from(whole))
        }
        None if closed => (named(&body), length + 2),
        None => (None, 0),
    };
    let Some(c) = decoded else { return 0 };
    out.push(c, covering(view, start, start + used));
    used
}

fn leading(text: &str, accept: fn(char) -> bool) -> &str {
    text.find(|c| !accept(c)).map_or(text, |end| text.get(..end).unwrap_or_default())
}

fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" | "ensp" | "emsp" | "thinsp" | "numsp" => ' ',
        "ndash" | "mdash" | "minus" | "hyphen" | "dash" | "horbar" => '-',
        "shy" | "zwj" | "zwnj" | "ZeroWidthSpace" => '\u{200B}',
        "period" => '.',
        "commat" => '@',
        "lpar" => '(',
        "rpar" => ')',
        "percnt" => '%',
        "num" => '#',
        "sol" => '/',
        "NewLine" => '\n',
        "Tab" => '\t',
        _ => return None,
    })
}

/// Decodes one escape of a JSON or source string at `start`; returns how many characters it took.
fn backslash(view: &View, start: usize, out: &mut View) -> usize {
    let simple = match view.get(start + 1) {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('/') => '/',
        Some('"') => '"',
        Some('\\') => '\\',
        Some('x') => match hex_pair(view, start + 2) {
            Some(byte) => return put(view, start, 4, char::from(byte), out),
            None => return 0,
        },
        Some('u') => return unicode_escape(view, start, out),
        _ => return 0,
    };
    put(view, start, 2, simple, out)
}

fn put(view: &View, start: usize, used: usize, c: char, out: &mut View) -> usize {
    out.push(c, covering(view, start, start + used));
    used
}

fn unicode_escape(view: &View, start: usize, out: &mut View) -> usize {
    let unit = |at| Some(u16::from_be_bytes([hex_pair(view, at)?, hex_pair(view, at + 2)?]));
    let Some(first) = unit(start + 2) else { return 0 };
    if let Some(c) = char::from_u32(u32::from(first)) {
        return put(view, start, 6, c, out);
    }
    let second =
        (view.get(start + 6) == Some('\\') && view.get(start + 7) == Some('u')).then(|| unit(start + 8)).flatten();
    match second.and_then(|low| char::decode_utf16([first, low]).next()?.ok()) {
        Some(c) => put(view, start, 12, c, out),
        None => 0,
    }
}

/// Texts inside base64, each with the original range of its whole token.
pub(crate) fn base64_texts(view: &View) -> Vec<(String, (u32, u32))> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < view.chars().len() {
        let end = token_end(view, i);
        if end - i >= MIN_BASE64 {
            let padded =
                end + view.chars().get(end..).unwrap_or_default().iter().take(2).take_while(|c| **c == '=').count();
            let sextets = sextets(view.chars().get(i..end).unwrap_or_default());
            let texts = (0..4).filter_map(|skip| readable(sextets.get(skip..)?));
            out.extend(texts.map(|text| (text, covering(view, i, padded))));
        }
        i = end.max(i + 1);
    }
    out
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// End of the base64 token at `start`, over line breaks after long lines.
fn token_end(view: &View, start: usize) -> usize {
    let (mut end, mut line) = (start, 0);
    while let Some(c) = view.get(end) {
        let break_length = match (c, view.get(end + 1)) {
            ('\r', Some('\n')) => 2,
            ('\n', _) => 1,
            _ => 0,
        };
        if is_base64(c) {
            (end, line) = (end + 1, line + 1);
        } else if break_length > 0 && line >= WRAPPED_LINE && view.get(end + break_length).is_some_and(is_base64) {
            (end, line) = (end + break_length, 0);
        } else {
            break;
        }
    }
    end
}

/// The token in the standard alphabet, without line breaks.
fn sextets(token: &[char]) -> Vec<u8> {
    token
        .iter()
        .filter_map(|c| match c {
            '-' => Some(b'+'),
            '_' => Some(b'/'),
            c => u8::try_from(*c).ok().filter(|b| !b.is_ascii_whitespace()),
        })
        .collect()
}

/// The stretches of the decoded bytes that read as text, `None` where there is none.
///
/// A token is decoded from each of its first four characters, since a path or a name before it shifts the groups of
/// four; what comes out of a wrong start, and out of pictures and keys, has no long readable stretch.
fn readable(sextets: &[u8]) -> Option<String> {
    let whole = if sextets.len() % 4 == 1 { sextets.len() - 1 } else { sextets.len() };
    let bytes = BASE64.decode(sextets.get(..whole)?).ok()?;
    // UTF-16 of digits is every other byte zero: drop them and read on.
    let text = String::from_utf8_lossy(&bytes).replace('\0', "");
    let strange = |c: char| c == char::REPLACEMENT_CHARACTER || c.is_control() && !c.is_whitespace();
    let stretches: Vec<&str> = text.split(strange).filter(|s| s.chars().count() >= MIN_READABLE).collect();
    (!stretches.is_empty()).then(|| stretches.join("\u{FFFD}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn once(text: &str) -> Option<String> {
        unescape(&View::of(text)).map(|v| v.chars().iter().collect())
    }

    #[test]
    fn decodes_each_encoding() {
        assert_eq!(once("%39%30-%EA%B0%80!").as_deref(), Some("90-가!"));
        assert_eq!(once("&#57;&#x30;&ndash;&#49 x").as_deref(), Some("90-1 x"));
        assert_eq!(once(r"9\u0030\n\x31").as_deref(), Some("90\n1"));
        assert_eq!(once(r"\ud83d\ude00").as_deref(), Some("😀"));
        assert_eq!(once("100% & \\q %zz &x; &#;"), None);
    }

    #[test]
    fn decoded_characters_stand_for_the_escape() {
        let view = unescape(&View::of("a%EA%B0%80b")).unwrap_or_default();
        assert_eq!(view.original(1..2), 1..10);
        assert_eq!(view.original(2..3), 10..11);
    }

    #[test]
    fn finds_base64_whole_wrapped_and_in_paths() {
        let token = base64::engine::general_purpose::STANDARD
            .encode("주민번호 900101-1970000 입니다. 이 글은 줄이 나뉠 만큼 깁니다.");
        let wrapped = format!("{}\r\n{}", &token[..64], &token[64..]);
        for text in [token.clone(), wrapped, format!("path/{token}")] {
            let texts = base64_texts(&View::of(&text));
            assert!(texts.iter().any(|(t, _)| t.contains("900101-1970000")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_inside(text in r#"[%&#;\\a-fux0-9+/=\n가-나]{0,200}"#) {
            let count = text.chars().count() as u32;
            let view = View::of(&text);
            if let Some(out) = unescape(&view) {
                for i in 0..out.chars().len() { prop_assert!(out.span(i).0 < out.span(i).1 && out.span(i).1 <= count); }
            }
            for (_, span) in base64_texts(&view) { prop_assert!(span.0 < span.1 && span.1 <= count); }
        }
    }
}

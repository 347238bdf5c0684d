//! Encodings that hide an identifier from the eye: HTML entities, URL escapes, quoted-printable, string escapes, base64
//! and hexadecimal. Each decoded character keeps the range of the original that it stands for.

use crate::text::windows;
use crate::view::{Builder, View};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::ops::Range;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Shorter tokens cannot hold an identifier.
const MIN_BASE64: usize = 12;
const MIN_HEX: usize = 18;
/// Shorter stretches of decoded text are chance.
const MIN_READABLE: usize = 8;
/// … unless so many of its characters are Korean.
const MIN_SYLLABLES: usize = 4;
/// A line of base64 at least this long may go on in the next line (MIME breaks at 76, PEM at 64).
const WRAPPED_LINE: usize = 40;
/// Bytes around an escape that are read with it: as far as labels reach.
const CONTEXT: usize = 128;
/// Escapes of quoted-printable are single signs of equality as often as not: only so many in a row count.
const MIN_QUOTED: usize = 3;

/// Longest name of a tag that is looked for, and longest tag.
const LONGEST_TAG_NAME: usize = 8;
const LONGEST_TAG: usize = 200;
/// Bytes around an escape of quoted-printable in which another makes it one.
const QUOTED_REACH: usize = 24;
/// Bytes before a `+` in which an escape makes it a blank.
const FORM_REACH: usize = 16;
/// Longest joint of two strings of source text.
const LONGEST_JOINT: usize = 8;
const INLINE_TAGS: [&str; 21] = [
    "b", "i", "u", "s", "em", "strong", "span", "font", "sub", "sup", "small", "big", "mark", "del", "ins", "a",
    "code", "wbr", "tt", "label", "nobr",
];
const CELL_TAGS: [&str; 10] = ["td", "th", "tr", "li", "p", "div", "dd", "dt", "hp", "cell"];

/// One round of decoding entities and escapes: the parts of the text that hold any, decoded, with what stands around.
pub(crate) fn unescape<'v>(view: &'v View<'v>) -> Vec<View<'static>> {
    let text = view.text();
    let mut places: Vec<Range<usize>> = Vec::new();
    let (mut at, mut heads) = (0, Heads::of(text));
    while let Some(next) = heads.next(at) {
        let used = escape(view, next, None);
        if used > 0 {
            match places.last_mut() {
                Some(last) if next <= last.end => last.end = next + used,
                _ => places.push(next..next + used),
            }
        }
        at = next + used.max(1);
    }
    let mut out = Vec::new();
    let mut heads = Heads::of(text);
    for window in windows(text, places, CONTEXT, CONTEXT) {
        let window = whole_words(text, window);
        let mut builder = Builder::new(view);
        let mut at = window.start;
        while let Some(next) = heads.next(at).filter(|next| *next < window.end) {
            builder.copy(at..next);
            let used = escape(view, next, Some(&mut builder));
            if used == 0 {
                builder.copy(next..next + 1);
            }
            at = next + used.max(1);
        }
        builder.copy(at..window.end.max(at));
        if builder.len() > 0 {
            out.push(builder.finish());
        }
    }
    out
}

/// The window up to white space, so that no number is cut, or as far as twice its reach.
fn whole_words(text: &str, window: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let plain = |b: &&u8| !b.is_ascii_whitespace();
    let before = bytes.get(..window.start).unwrap_or_default().iter().rev().take(CONTEXT).take_while(plain).count();
    let after = bytes.get(window.end..).unwrap_or_default().iter().take(CONTEXT).take_while(plain).count();
    crate::view::whole_chars(text, window.start - before..window.end + after)
}

/// Bytes that escapes begin with, in groups as many as one search takes.
const HEADS: [[u8; 3]; 3] = [[b'%', b'&', b'\\'], [b'=', b'<', b'+'], [b'"', b'"', b'"']];

/// Where the next escape may begin. Each group is searched for once through the text, and no further than needed.
struct Heads<'t> {
    bytes: &'t [u8],
    /// The next of each group, at the end of the text where there is none.
    next: [usize; HEADS.len()],
}

impl<'t> Heads<'t> {
    fn of(text: &'t str) -> Self {
        let mut heads = Heads { bytes: text.as_bytes(), next: [0; HEADS.len()] };
        for group in 0..HEADS.len() {
            heads.search(group, 0);
        }
        heads
    }

    fn search(&mut self, group: usize, from: usize) {
        let Some((&[a, b, c], next)) = HEADS.get(group).zip(self.next.get_mut(group)) else { return };
        let rest = self.bytes.get(from..).unwrap_or_default();
        *next = memchr::memchr3(a, b, c, rest).map_or(self.bytes.len(), |at| from + at);
    }

    /// The first at or after `from`, which never goes back.
    fn next(&mut self, from: usize) -> Option<usize> {
        for group in 0..HEADS.len() {
            if self.next.get(group).is_some_and(|next| *next < from) {
                self.search(group, from);
            }
        }
        self.next.into_iter().min().filter(|at| *at < self.bytes.len())
    }
}

/// Decodes what stands at byte `at` into `out`; returns how many bytes it took, 0 for no escape.
fn escape(view: &View, at: usize, out: Option<&mut Builder>) -> usize {
    let text = view.text();
    match text.as_bytes().get(at) {
        Some(b'%') if text.as_bytes().get(at + 1) == Some(&b'u') => put(at, unicode_escape(text, at), out),
        Some(b'%') => octets(text, at, b'%', 1, out),
        Some(b'"') => joint(text, at, out),
        Some(b'=') => octets(text, at, b'=', least_quoted(text, at), out),
        Some(b'<') => tag(text, at, out),
        Some(b'+') => plus(text, at, out),
        Some(b'&') => put(at, entity(text, at), out),
        Some(b'\\') => put(at, backslash(text, at), out),
        _ => 0,
    }
}

/// Single escapes of signs count: an address or a number is torn by them ("010=2D1234"). "id=2026" is none.
fn least_quoted(text: &str, at: usize) -> usize {
    let sign = hex_pair(text, at + 1).is_some_and(|b| b.is_ascii_punctuation());
    let letter = text.as_bytes().get(at + 2).is_some_and(u8::is_ascii_uppercase);
    // Beside such an escape a blank or another sign is one too.
    let from = at.saturating_sub(QUOTED_REACH);
    let around = text.as_bytes().get(from..text.len().min(at + QUOTED_REACH)).unwrap_or_default();
    let beside = || around.windows(3).any(|w| matches!(w, [b'=', b'2' | b'3' | b'5', b'A'..=b'F']));
    let blank = text.as_bytes().get(at + 1..at + 3) == Some(b"20");
    if sign && letter || (sign || blank) && beside() { 1 } else { MIN_QUOTED }
}

/// The `+` of a form beside an escape is a blank.
fn plus(text: &str, at: usize, out: Option<&mut Builder>) -> usize {
    let bytes = text.as_bytes();
    let escaped =
        |from: Option<usize>| from.is_some_and(|i| bytes.get(i) == Some(&b'%') && hex_pair(text, i + 1).is_some());
    let near = || {
        bytes.get(at.saturating_sub(FORM_REACH)..at).unwrap_or_default().contains(&b'%')
            && (1..FORM_REACH).any(|k| escaped(at.checked_sub(k)))
    };
    if !escaped(Some(at + 1)) && !near() {
        return 0;
    }
    if let Some(out) = out {
        out.replace(at..at + 1, " ");
    }
    1
}

/// Two strings of source text that are joined into one: `"900101" + "-" + "1970000"`.
fn joint(text: &str, at: usize, out: Option<&mut Builder>) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    let sign = rest.trim_start_matches(' ').strip_prefix('+').map(|r| r.trim_start_matches(' '));
    let Some(behind) = sign.and_then(|r| r.strip_prefix('"')) else { return 0 };
    let used = 1 + rest.len() - behind.len();
    if used > LONGEST_JOINT {
        return 0;
    }
    if let Some(out) = out {
        out.replace(at..at + used, "");
    }
    used
}

/// Comments and tags that change how a text looks vanish; those of a table or a form end a cell. Returns the bytes of the tag.
fn tag(text: &str, start: usize, out: Option<&mut Builder>) -> usize {
    let rest = text.as_bytes().get(start + 1..).unwrap_or_default();
    if rest.starts_with(b"!--") {
        let end = rest
            .iter()
            .take(LONGEST_TAG)
            .position(|b| *b == b'>')
            .filter(|end| rest.get(..*end).is_some_and(|r| r.ends_with(b"--")));
        let used = end.map_or(0, |end| end + 2);
        if let Some(out) = out.filter(|_| used > 0) {
            out.replace(start..start + used, "");
        }
        return used;
    }
    let closing = rest.first() == Some(&b'/');
    let name_at = start + 1 + usize::from(closing);
    let name = leading(text.get(name_at..).unwrap_or_default(), |c| c.is_ascii_alphanumeric());
    if name.is_empty() || name.len() > LONGEST_TAG_NAME {
        return 0;
    }
    let Some(length) = rest.iter().take(LONGEST_TAG).position(|b| matches!(b, b'>' | b'<' | b'\n')) else { return 0 };
    let known = |list: &[&str]| list.iter().any(|t| t.eq_ignore_ascii_case(name));
    let (inline, cell) = (known(&INLINE_TAGS), known(&CELL_TAGS));
    if rest.get(length) != Some(&b'>') || !inline && !cell {
        return 0;
    }
    let used = length + 2;
    if let Some(out) = out {
        // A cell is divided once, where the next one begins.
        out.replace(start..start + used, if cell && !closing { "|" } else { "" });
    }
    used
}

fn put(at: usize, decoded: Option<(char, usize)>, out: Option<&mut Builder>) -> usize {
    let Some((c, used)) = decoded else { return 0 };
    if let Some(out) = out {
        out.replace(at..at + used, c.encode_utf8(&mut [0; 4]));
    }
    used
}

fn hex_pair(text: &str, at: usize) -> Option<u8> {
    let digits = text.get(at..at + 2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

/// Decodes a run of `%XX` or `=XX` from `start`.
fn octets(text: &str, start: usize, sign: u8, least: usize, out: Option<&mut Builder>) -> usize {
    let mut bytes = Vec::new();
    let mut end = start;
    while text.as_bytes().get(end) == Some(&sign) {
        let Some(byte) = hex_pair(text, end + 1) else { break };
        bytes.push(byte);
        end += 3;
    }
    if bytes.len() < least {
        return 0;
    }
    let Some(out) = out else { return end - start };
    let mut at = start;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let next = at + 3 * c.len_utf8();
            out.replace(at..next, c.encode_utf8(&mut [0; 4]));
            at = next;
        }
        if !chunk.invalid().is_empty() {
            let next = at + 3 * chunk.invalid().len();
            out.replace(at..next, "\u{FFFD}");
            at = next;
        }
    }
    end - start
}

/// The character of the entity at `start`, and its length.
fn entity(text: &str, start: usize) -> Option<(char, usize)> {
    const LONGEST: usize = 24;
    let rest = text.get(start + 1..)?;
    let length = rest.bytes().take(LONGEST).take_while(|b| b.is_ascii_alphanumeric() || *b == b'#').count();
    let body = rest.get(..length)?;
    let closed = rest.as_bytes().get(length) == Some(&b';');
    let Some(number) = body.strip_prefix('#') else {
        return closed.then(|| named(body)).flatten().map(|c| (c, length + 2));
    };
    let (digits, radix, prefix) = match number.strip_prefix(['x', 'X']) {
        Some(hex) => (leading(hex, |c| c.is_ascii_hexdigit()), 16, 2),
        None => (leading(number, |c| c.is_ascii_digit()), 10, 1),
    };
    // Browsers read a number without its semicolon too.
    let whole = closed && digits.len() + prefix == length;
    let c = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)?;
    Some((c, 1 + prefix + digits.len() + usize::from(whole)))
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
        "middot" | "centerdot" => '·',
        "period" => '.',
        "comma" => ',',
        "colon" => ':',
        "commat" => '@',
        "lowbar" => '_',
        "lpar" => '(',
        "rpar" => ')',
        "percnt" => '%',
        "num" => '#',
        "sol" => '/',
        "equals" => '=',
        "NewLine" => '\n',
        "Tab" => '\t',
        _ => return None,
    })
}

/// The character of the escape of a JSON or source string at `start`, and its length.
fn backslash(text: &str, start: usize) -> Option<(char, usize)> {
    Some(match text.as_bytes().get(start + 1)? {
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        b'/' => ('/', 2),
        b'"' => ('"', 2),
        b'\\' => ('\\', 2),
        b'x' => (char::from(hex_pair(text, start + 2)?), 4),
        b'u' if text.as_bytes().get(start + 2) == Some(&b'{') => return braced(text, start),
        b'u' => return unicode_escape(text, start),
        _ => return None,
    })
}

/// `\u{30}`.
fn braced(text: &str, start: usize) -> Option<(char, usize)> {
    let body = text.get(start + 3..)?;
    let close = body.bytes().take(7).position(|b| b == b'}')?;
    let c = u32::from_str_radix(body.get(..close)?, 16).ok().and_then(char::from_u32)?;
    Some((c, close + 4))
}

fn unicode_escape(text: &str, start: usize) -> Option<(char, usize)> {
    let unit = |at| Some(u16::from_be_bytes([hex_pair(text, at)?, hex_pair(text, at + 2)?]));
    let first = unit(start + 2)?;
    if let Some(c) = char::from_u32(u32::from(first)) {
        return Some((c, 6));
    }
    let low = text.get(start + 6..).filter(|rest| rest.starts_with("\\u")).and_then(|_| unit(start + 8))?;
    char::decode_utf16([first, low]).next()?.ok().map(|c| (c, 12))
}

/// Texts inside base64 and hexadecimal, each with the bytes of its whole token.
pub(crate) fn encoded_texts(text: &str) -> Vec<(String, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    // A token stands on each so-manieth byte wherever it begins: prose is passed in steps of its least length.
    while let Some(&probe) = bytes.get(at + MIN_BASE64 - 1) {
        if !is_base64(probe) {
            at += MIN_BASE64;
            continue;
        }
        let before = bytes.get(at..at + MIN_BASE64 - 1).unwrap_or_default();
        let start = at + before.iter().rposition(|b| !is_base64(*b)).map_or(0, |i| i + 1);
        let end = token_end(bytes, start);
        if end - start >= MIN_BASE64 {
            let padding = bytes.get(end..).unwrap_or_default().iter().take(2).take_while(|b| **b == b'=').count();
            let sextets = sextets(bytes.get(start..end).unwrap_or_default());
            let texts = (0..4).filter_map(|skip| readable(&from_base64(sextets.get(skip..)?)?));
            let hexadecimal = from_hex(&sextets).and_then(|bytes| readable(&bytes));
            out.extend(texts.chain(hexadecimal).map(|text| (text, start..end + padding)));
        }
        at = end.max(start + 1);
    }
    out
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_')
}

/// End of the token at `start`, over line breaks after long lines.
fn token_end(bytes: &[u8], start: usize) -> usize {
    let (mut end, mut line) = (start, 0);
    while let Some(b) = bytes.get(end) {
        if is_base64(*b) {
            (end, line) = (end + 1, line + 1);
        } else if *b == b'\n' && line >= WRAPPED_LINE && bytes.get(end + 1).is_some_and(|b| is_base64(*b)) {
            (end, line) = (end + 1, 0);
        } else {
            break;
        }
    }
    end
}

/// The token in the standard alphabet, without line breaks.
fn sextets(token: &[u8]) -> Vec<u8> {
    let standard = |b: &u8| match b {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'\n' => None,
        b => Some(*b),
    };
    token.iter().filter_map(standard).collect()
}

fn from_base64(sextets: &[u8]) -> Option<Vec<u8>> {
    let whole = if sextets.len() % 4 == 1 { sextets.len() - 1 } else { sextets.len() };
    BASE64.decode(sextets.get(..whole)?).ok()
}

fn from_hex(token: &[u8]) -> Option<Vec<u8>> {
    let token = token.strip_prefix(b"0x").unwrap_or(token);
    if token.len() < MIN_HEX || !token.len().is_multiple_of(2) || !token.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = std::str::from_utf8(token).ok()?;
    (0..token.len()).step_by(2).map(|at| hex_pair(text, at)).collect()
}

/// The stretches of the decoded bytes that read as text, `None` where there is none.
///
/// A token is decoded from each of its first four characters, since a path or a name before it shifts the groups of
/// four; what comes out of a wrong start, and out of pictures and keys, has no long readable stretch.
fn readable(bytes: &[u8]) -> Option<String> {
    // UTF-16 of digits is every other byte zero: drop them and read on.
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    let strange = |c: char| c == char::REPLACEMENT_CHARACTER || c.is_control() && !c.is_whitespace();
    // Syllables of Korean hardly come by chance.
    let long = |s: &&str| {
        s.chars().nth(MIN_READABLE - 1).is_some()
            || s.chars().filter(|c| matches!(c, '가'..='힣')).count() >= MIN_SYLLABLES
    };
    let stretches: Vec<&str> = text.split(strange).filter(long).collect();
    (!stretches.is_empty()).then(|| stretches.join("\u{FFFD}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn once(text: &str) -> Vec<String> {
        unescape(&View::of(text)).iter().map(|v| v.text().to_string()).collect()
    }

    #[test]
    fn decodes_each_encoding() {
        assert_eq!(once("%39%30-%EA%B0%80!"), ["90-가!"]);
        assert_eq!(once("&#57;&#x30;&ndash;&#49 x"), ["90-1 x"]);
        assert_eq!(once(r"9\u0030\n\x31\u{32}"), ["90\n12"]);
        assert_eq!(once(r"\ud83d\ude00"), ["😀"]);
        assert_eq!(once("=39=30=30-=3"), ["900-=3"]);
        assert_eq!(once("100% & \\q %zz &x; &#; a=12 b=34"), Vec::<String>::new());
    }

    #[test]
    fn decoded_characters_stand_for_the_escape() {
        let source = View::of("a%EA%B0%80b");
        let views = unescape(&source);
        assert_eq!(views[0].original(1..4), 1..10);
        assert_eq!(views[0].original(4..5), 10..11);
    }

    #[test]
    fn escapes_far_apart_are_read_apart() {
        let far = "가 ".repeat(400);
        let texts = once(&format!("x%39y {far} z%38"));
        assert_eq!(texts.len(), 2);
        assert!(texts[0].starts_with("x9y") && texts[1].ends_with("z8"));
    }

    #[test]
    fn finds_base64_whole_wrapped_and_in_paths() {
        let token = base64::engine::general_purpose::STANDARD
            .encode("주민번호 900101-1970000 입니다. 이 글은 줄이 나뉠 만큼 깁니다.");
        let wrapped = format!("{}\n{}", &token[..64], &token[64..]);
        let hexadecimal: String = "번호 900101-1970000".bytes().map(|b| format!("{b:02x}")).collect();
        for text in [token.clone(), wrapped, format!("path/{token}"), hexadecimal] {
            let texts = encoded_texts(&text);
            assert!(texts.iter().any(|(t, _)| t.contains("900101-1970000")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_inside(text in r#"[%&#;\\a-fux0-9+/=\n가-나{}]{0,200}"#) {
            for view in unescape(&View::of(&text)) {
                let whole = view.original(0..view.text().len());
                prop_assert!(whole.start < whole.end && whole.end <= text.len());
            }
            for (_, span) in encoded_texts(&text) { prop_assert!(span.start < span.end && span.end <= text.len()); }
        }
    }
}

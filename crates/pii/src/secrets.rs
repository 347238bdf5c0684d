//! Passwords, keys, tokens and connection strings: by the head that a service gives its keys, by a label before the
//! value, by the frame of a PEM block, or by their place in a URL.

use crate::kind::Kind;
use crate::labels::Cue;
use crate::text::Text;
use crate::window::Candidate;
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// A key cut off before its end line reaches no further than this, in bytes.
const LONGEST_PEM: usize = 32 * 1024;
/// Longest value looked at, in bytes.
const LONGEST_VALUE: usize = 300;
/// Shortest rest of a key behind its head.
const SHORTEST_KEY: usize = 16;

/// Shortest value that is a key without any digit in it.
const SHORTEST_OPAQUE: usize = 24;

static VALUE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"^["'\])]{0,2} {0,2}(?:\([^()\n]{1,12}\) ?)?(?:([:=>|\t]|=>|->|→)|([은는]) |[이가을를] )? {0,2}["'`]?([!-~]{4,})"#;
    Regex::new(pattern).expect("a fixed pattern")
});

static PRIVATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY").expect("a fixed pattern"));

/// Words in a value's place that are none.
const NO_VALUES: [&str; 22] = [
    "null",
    "none",
    "true",
    "false",
    "undefined",
    "required",
    "optional",
    "string",
    "password",
    "passwd",
    "secret",
    "token",
    "example",
    "changeme",
    "your",
    "http://",
    "https://",
    "encrypted",
    "hidden",
    "masked",
    "redacted",
    "empty",
];

/// Every credential in the text.
pub(crate) fn find(text: &Text) -> Vec<Candidate> {
    let mut out = Vec::new();
    let mut heads: Vec<Range<usize>> = Vec::new();
    let mut read = 0;
    for found in &text.cues {
        let at = found.range.clone();
        match found.cue {
            // A head inside a key that was read already is part of it.
            Cue::KeyHead if at.start >= read => {
                read = token(text, at.end, is_key_byte).end;
                out.extend(key(text, at).map(|range| credential(range, 0.95)));
            }
            Cue::SecretLabel => out.extend(labelled(text, at).map(|range| credential(range, 0.8))),
            Cue::Authority => out.extend(authority(text, at.end).map(|range| credential(range, 0.9))),
            Cue::PemHead if PRIVATE.is_match(text.ahead(at.start, 60)) => heads.push(at),
            _ => {}
        }
    }
    for (i, head) in heads.iter().enumerate() {
        let limit = heads.get(i + 1).map_or(text.str().len(), |next| next.start).min(head.start + LONGEST_PEM);
        let limit = text.str().floor_char_boundary(limit);
        let body = text.slice(head.end..limit);
        let end = body.find("-----END").map_or(limit, |end| head.end + end);
        let end = if end < limit { end + text.line_after(end, 80).len() } else { end };
        out.push(credential(head.start..end, 0.95));
    }
    out
}

fn credential(range: Range<usize>, confidence: f32) -> Candidate {
    Candidate { kind: Kind::Credential, range, confidence }
}

/// Bytes at `from` as far as `accept` goes, no more than [`LONGEST_VALUE`].
fn token(text: &Text, from: usize, accept: fn(&u8) -> bool) -> Range<usize> {
    let bytes = text.str().as_bytes().get(from..).unwrap_or_default();
    from..from + bytes.iter().take(LONGEST_VALUE).take_while(|b| accept(b)).count()
}

fn is_key_byte(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'+' | b'=' | b'%' | b'~')
}

fn key(text: &Text, head: Range<usize>) -> Option<Range<usize>> {
    let begins = text.slice(head.clone());
    let body = token(text, head.end, is_key_byte);
    let rest = text.slice(body.clone()).trim_end_matches(['.', '=', '-', '/']);
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    let letters = rest.bytes().filter(u8::is_ascii_alphabetic).count();
    let opaque = rest.len() >= SHORTEST_KEY && digits >= 1 && letters >= 4 || rest.len() >= 40 && letters >= 20;
    let fits = match begins {
        "AKIA" | "ASIA" => rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
        "eyJ" => rest.len() >= SHORTEST_KEY && rest.contains('.') && !rest.contains('/'),
        "dapi" => rest.len() >= 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()),
        "LTAI" => opaque && rest.bytes().all(|b| b.is_ascii_alphanumeric()),
        "SG." => rest.len() >= 40 && rest.contains('.'),
        // Words joined by dashes are no key: "sk-learn-…".
        "sk-" | "sig=" => opaque && digits >= 2,
        known => opaque && head_is_exact(known),
    };
    let joined = text.before(head.start).is_some_and(|c| c.is_ascii_alphanumeric());
    (fits && !joined).then_some(head.start..body.start + rest.len())
}

/// Heads are written in the letters that the service gives them: the cues match in either case.
fn head_is_exact(head: &str) -> bool {
    crate::labels::CUES.iter().any(|(cue, words)| *cue == Cue::KeyHead && words.split('|').any(|word| word == head))
}

/// The value behind a label.
fn labelled(text: &Text, label: Range<usize>) -> Option<Range<usize>> {
    let from = label.end;
    let rest = text.ahead(from, LONGEST_VALUE);
    let found = VALUE.captures(rest)?;
    let (assigned, named, value) = (found.get(1).is_some(), found.get(2).is_some(), found.get(3)?);
    let word = value.as_str().split(['"', '\'', '`', ',', ';', '&', ')', '}', '<']).next().unwrap_or_default();
    let word = word.trim_end_matches(['.', ':', '?']);
    let lower = word.to_ascii_lowercase();
    let placeholder = word.starts_with(['<', '{', '$', '%', '[', '='])
        || word.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-' | b'_' | b'#' | b'?' | b'0'))
        || NO_VALUES.iter().any(|w| lower.starts_with(w));
    let digits = word.bytes().any(|b| b.is_ascii_digit());
    let letters = word.bytes().any(|b| b.is_ascii_alphabetic());
    let signs = word.bytes().any(|b| b.is_ascii_punctuation());
    let mixed = letters && (digits || signs) && word.len() >= 8 || letters && digits && word.len() >= 6;
    // Long and in both cases: no word.
    let opaque = word.len() >= SHORTEST_OPAQUE
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let scheme = matches!(text.slice(label.clone()).to_ascii_lowercase().as_str(), "bearer" | "basic");
    let count = word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'~' | b'-' | b'.' | b'/'));
    let next = rest.get(value.start() + word.len()..).and_then(|r| r.chars().next());
    // "비밀번호: 2026년", "암호: 1234자리": a count, not a value.
    let counted =
        count && next.is_some_and(|c| matches!(c, '자' | '년' | '개' | '회' | '일' | '월' | '분' | '초' | '건'));
    let fits = if scheme {
        word.len() >= SHORTEST_KEY && (digits || word.len() >= 24)
    } else {
        word.len() >= 4 && (assigned || named && is_stated(rest.get(value.start() + word.len()..).unwrap_or_default()))
            || mixed && digits
            || opaque
    };
    let start = from + value.start();
    let end = start + word.len();
    let both = text.before(label.start) == Some('/');
    (fits && !placeholder && !counted).then_some(start..if both { second_value(text, end) } else { end })
}

/// What follows says that the word before was named: "비밀번호는 1234입니다".
fn is_stated(after: &str) -> bool {
    let after = after.trim_start_matches(['"', ' ', '\'', '`', ')', '!', '.']);
    after.is_empty()
        || ["입니다", "이다", "이고", "이며", "이에요", "예요", "임", "으로", "로", "\n"]
            .iter()
            .any(|e| after.starts_with(e))
}

/// End of the second value of a pair as in "ID/PW: admin / secret"; `end` where there is none.
fn second_value(text: &Text, end: usize) -> usize {
    let rest = text.ahead(end, LONGEST_VALUE);
    let behind = rest.trim_start_matches(' ').strip_prefix('/').map(|r| r.trim_start_matches(' '));
    behind.map_or(end, |value| {
        let from = end + rest.len() - value.len();
        token(text, from, u8::is_ascii_graphic).end
    })
}

/// `user:password` before the `@` of a URL.
fn authority(text: &Text, from: usize) -> Option<Range<usize>> {
    let whole = token(text, from, |b| b.is_ascii_graphic() && !matches!(b, b'/' | b'"' | b'\'' | b'<' | b'>'));
    let word = text.slice(whole);
    let at = word.rfind('@')?;
    let (user, password) = word.get(..at)?.split_once(':')?;
    let real = !password.is_empty() && !password.starts_with(['<', '{', '$', '[', '*']) && user.len() < 100;
    real.then_some(from..from + at)
}

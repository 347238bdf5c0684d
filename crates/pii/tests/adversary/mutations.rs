//! What persons and programs do to a number on its way into a text. Which numbers is in `values`.

use super::values::Dice;
use base64::Engine as _;

/// What is done to the value alone.
pub type Change = fn(&str, &mut Dice) -> String;
/// What is done to a whole sentence.
pub type Wrap = fn(&str) -> String;

fn digits(value: &str, zero: u32) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|d| char::from_u32(zero + d)).unwrap_or(c);
    value.chars().map(digit).collect()
}

fn ringed(value: &str, zero: char, one: u32) -> String {
    let digit = |c: char| match c.to_digit(10) {
        Some(0) => zero,
        Some(d) => char::from_u32(one + d - 1).unwrap_or(c),
        None => c,
    };
    value.chars().map(digit).collect()
}

fn words(value: &str, zero_to_nine: [&str; 10], between: &str, dash: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for c in value.chars() {
        match c.to_digit(10) {
            Some(d) => out.push(zero_to_nine[d as usize].to_string()),
            None if c == '-' => out.push(dash.to_string()),
            None => out.push(c.to_string()),
        }
    }
    out.retain(|part| !part.is_empty());
    out.join(between)
}

fn between(value: &str, sign: &str) -> String {
    let chars: Vec<String> = value.chars().filter(|c| *c != '-').map(String::from).collect();
    chars.join(sign)
}

fn dash(value: &str, sign: &str) -> String {
    value.replace('-', sign)
}

/// `sign` behind the character at a random place inside.
fn inside(value: &str, dice: &mut Dice, sign: &str) -> String {
    let n = value.chars().count() as u64;
    let at = dice.between(1, n - 1) as usize;
    value.chars().enumerate().flat_map(|(i, c)| (if i == at { sign } else { "" }).chars().chain([c])).collect()
}

/// The value in two parts.
fn parted<'v>(value: &'v str, dice: &mut Dice) -> (&'v str, &'v str) {
    let n = dice.between(1, 4) as usize;
    value.split_at(value.char_indices().nth(n).map_or(value.len(), |(at, _)| at))
}

fn swap(value: &str, from: &[char], to: &str) -> String {
    value.chars().map(|c| if from.contains(&c) { to.to_string() } else { c.to_string() }).collect()
}

const SPOKEN: [&str; 10] = ["공", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구"];
const SPOKEN_ZERO: [&str; 10] = ["영", "일", "이", "삼", "사", "오", "륙", "칠", "팔", "구"];
const HAN: [&str; 10] = ["〇", "一", "二", "三", "四", "五", "六", "七", "八", "九"];

/// Changes of a number that has dashes.
pub const DASHED: [(&str, Change); 37] = [
    ("no dash", |v, _| dash(v, "")),
    ("blank", |v, _| dash(v, " ")),
    ("blanks around", |v, _| dash(v, " - ")),
    ("dot", |v, _| dash(v, ".")),
    ("middle dot", |v, _| dash(v, "·")),
    ("slash", |v, _| dash(v, "/")),
    ("underscore", |v, _| dash(v, "_")),
    ("tilde", |v, _| dash(v, "~")),
    ("colon", |v, _| dash(v, ":")),
    ("equals", |v, _| dash(v, "=")),
    ("star", |v, _| dash(v, "*")),
    ("bar", |v, _| dash(v, " | ")),
    ("tab", |v, _| dash(v, "\t")),
    ("comma", |v, _| dash(v, ", ")),
    ("en dash", |v, _| dash(v, "–")),
    ("em dash", |v, _| dash(v, "—")),
    ("two dashes", |v, _| dash(v, "--")),
    ("bar of a line", |v, _| dash(v, "―")),
    ("minus", |v, _| dash(v, "−")),
    ("hyphen that holds", |v, _| dash(v, "\u{2011}")),
    ("small hyphen", |v, _| dash(v, "﹣")),
    ("wide dash", |v, _| dash(v, "－")),
    ("vowel for a dash", |v, _| dash(v, "ㅡ")),
    ("long sound mark", |v, _| dash(v, "ー")),
    ("box line", |v, _| dash(v, "─")),
    ("hyphen dot", |v, _| dash(v, "‧")),
    ("bullet", |v, _| dash(v, "•")),
    ("fixed blank", |v, _| dash(v, "\u{A0}")),
    ("figure blank", |v, _| dash(v, "\u{2007}-\u{2007}")),
    ("wide blank", |v, _| dash(v, "\u{3000}")),
    ("line after dash", |v, _| dash(v, "-\n")),
    ("line of Windows", |v, _| dash(v, "-\r\n")),
    ("line before dash", |v, _| dash(v, "\n-")),
    ("brackets", |v, _| format!("({})", dash(v, ")-("))),
    ("quotes", |v, _| format!("\"{}\"", dash(v, "\"-\""))),
    ("hidden hyphen", |v, _| dash(v, "\u{AD}-")),
    ("arrow", |v, _| dash(v, "→")),
];

/// Changes of any number.
pub const DIGITS: [(&str, Change); 47] = [
    ("wide", |v, _| digits(v, 0xFF10)),
    ("wide with dash", |v, _| digits(&dash(v, "－"), 0xFF10)),
    ("ringed", |v, _| ringed(v, '⓪', 0x2460)),
    ("dark rings", |v, _| ringed(v, '⓿', 0x2776)),
    ("double rings", |v, _| ringed(v, '⓪', 0x24F5)),
    ("bold", |v, _| digits(v, 0x1D7CE)),
    ("outlined", |v, _| digits(v, 0x1D7D8)),
    ("typewriter", |v, _| digits(v, 0x1D7F6)),
    ("segments", |v, _| digits(v, 0x1FBF0)),
    ("Arabic", |v, _| digits(v, 0x660)),
    ("Persian", |v, _| digits(v, 0x6F0)),
    ("Devanagari", |v, _| digits(v, 0x966)),
    ("Thai", |v, _| digits(v, 0xE50)),
    ("lowered", |v, _| digits(v, 0x2080)),
    ("keycaps", |v, _| {
        v.chars().map(|c| if c.is_ascii_digit() { format!("{c}\u{FE0F}\u{20E3}") } else { c.into() }).collect()
    }),
    ("struck through", |v, _| v.chars().map(|c| format!("{c}\u{336}")).collect()),
    ("underlined", |v, _| v.chars().map(|c| format!("{c}\u{332}")).collect()),
    ("spoken", |v, _| words(v, SPOKEN, "", "")),
    ("spoken with blanks", |v, _| words(v, SPOKEN, " ", "")),
    ("spoken 영", |v, _| words(v, SPOKEN_ZERO, "", " ")),
    ("spoken 다시", |v, _| words(v, SPOKEN, "", " 다시 ")),
    ("spoken 에", |v, _| words(v, SPOKEN, "", "에 ")),
    ("spoken 하이픈", |v, _| words(v, SPOKEN, " ", "하이픈")),
    ("spoken with dash", |v, _| words(v, SPOKEN, "", "-")),
    ("spoken with commas", |v, _| words(v, SPOKEN, ", ", "")),
    ("half spoken", |v, _| {
        v.chars()
            .enumerate()
            .map(|(i, c)| match c.to_digit(10) {
                Some(d) if i % 3 == 1 => SPOKEN[d as usize].to_string(),
                _ => c.to_string(),
            })
            .collect()
    }),
    ("Han", |v, _| words(v, HAN, "", "-")),
    ("blanks between", |v, _| between(v, " ")),
    ("two blanks between", |v, _| between(v, "  ")),
    ("dots between", |v, _| between(v, ".")),
    ("dashes between", |v, _| between(v, "-")),
    ("thin blanks between", |v, _| between(v, "\u{2009}")),
    ("zero width between", |v, _| v.chars().map(|c| format!("{c}\u{200B}")).collect()),
    ("joiner", |v, dice| inside(v, dice, "\u{2060}")),
    ("zero width joiner", |v, dice| inside(v, dice, "\u{200D}")),
    ("byte order mark", |v, dice| inside(v, dice, "\u{FEFF}")),
    ("soft hyphen", |v, dice| inside(v, dice, "\u{AD}")),
    ("right to left mark", |v, dice| inside(v, dice, "\u{200F}")),
    ("line inside", |v, dice| inside(v, dice, "\n")),
    ("line and indent inside", |v, dice| inside(v, dice, "\n    ")),
    ("bold inside", |v, dice| {
        let (head, tail) = parted(v, dice);
        format!("**{head}**{tail}")
    }),
    ("tag inside", |v, dice| {
        let (head, tail) = parted(v, dice);
        format!("<b>{head}</b>{tail}")
    }),
    ("code", |v, _| format!("`{v}`")),
    ("letter O", |v, _| swap(v, &['0'], "O")),
    ("letters o and l", |v, _| swap(&swap(v, &['0'], "o"), &['1'], "l")),
    ("Cyrillic O, capital I", |v, _| swap(&swap(v, &['0'], "О"), &['1'], "I")),
    ("entity blank", |v, dice| inside(v, dice, "&nbsp;")),
];

/// Encodings of the value; `whole` ones take the sentence with it.
pub const ENCODED: [(&str, Change); 11] = [
    ("entities", |v, _| v.chars().map(|c| format!("&#{};", u32::from(c))).collect()),
    ("hexadecimal entities", |v, _| v.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect()),
    ("few entities", |v, _| {
        v.chars().enumerate().map(|(i, c)| if i % 4 == 2 { format!("&#{};", u32::from(c)) } else { c.into() }).collect()
    }),
    ("dash entity", |v, _| dash(v, "&ndash;")),
    ("zero width entity", |v, dice| inside(v, dice, "&#8203;")),
    ("soft hyphen entity", |v, dice| inside(v, dice, "&shy;")),
    ("percent", |v, _| v.bytes().map(|b| format!("%{b:02X}")).collect()),
    ("percent of dash", |v, _| dash(v, "%2D")),
    ("percent twice", |v, _| v.bytes().map(|b| format!("%25{b:02x}")).collect()),
    ("escapes", |v, _| v.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()),
    ("few escapes", |v, _| {
        v.chars()
            .enumerate()
            .map(|(i, c)| if i % 3 == 0 { format!("\\u{:04X}", u32::from(c)) } else { c.into() })
            .collect()
    }),
];

/// Encodings of a whole sentence.
pub const WHOLE: [(&str, Wrap); 9] = [
    ("base64", |t| base64::engine::general_purpose::STANDARD.encode(t)),
    ("base64 for URLs", |t| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(t)),
    ("base64 in a line", |t| format!("data:text/plain;base64,{}", base64::engine::general_purpose::STANDARD.encode(t))),
    ("hexadecimal", |t| t.bytes().map(|b| format!("{b:02x}")).collect()),
    ("percent whole", |t| t.bytes().map(|b| format!("%{b:02X}")).collect()),
    ("query", |t| {
        t.bytes()
            .map(|b| match b {
                b' ' => "+".into(),
                b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect()
    }),
    ("quoted-printable", |t| {
        t.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("={b:02X}") })
            .collect()
    }),
    ("NFD", |t| unicode_normalization::UnicodeNormalization::nfd(t).collect()),
    ("JSON", |t| serde_json::json!({ "본문": t, "n": 3 }).to_string()),
];

//! Words typed with the keyboard in the other language: `durnjs` for 여권, `ㅔㅇㄹ` for pdf. The standard two-set layout
//! (KS X 5002). Pure spelling: whether either reading means something is for whoever searches to see.

const LEADS: [char; 19] =
    ['ㄱ', 'ㄲ', 'ㄴ', 'ㄷ', 'ㄸ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅃ', 'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅉ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ', 'ㅎ'];
const VOWELS: [char; 21] = [
    'ㅏ', 'ㅐ', 'ㅑ', 'ㅒ', 'ㅓ', 'ㅔ', 'ㅕ', 'ㅖ', 'ㅗ', 'ㅘ', 'ㅙ', 'ㅚ', 'ㅛ', 'ㅜ', 'ㅝ', 'ㅞ', 'ㅟ', 'ㅠ', 'ㅡ',
    'ㅢ', 'ㅣ',
];
/// Finals in Unicode's order, the first for none.
const TAILS: [char; 28] = [
    '\0', 'ㄱ', 'ㄲ', 'ㄳ', 'ㄴ', 'ㄵ', 'ㄶ', 'ㄷ', 'ㄹ', 'ㄺ', 'ㄻ', 'ㄼ', 'ㄽ', 'ㄾ', 'ㄿ', 'ㅀ', 'ㅁ', 'ㅂ', 'ㅄ',
    'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ', 'ㅎ',
];
/// Letters that take two keys.
const PAIRS: [(char, [char; 2]); 18] = [
    ('ㅘ', ['ㅗ', 'ㅏ']),
    ('ㅙ', ['ㅗ', 'ㅐ']),
    ('ㅚ', ['ㅗ', 'ㅣ']),
    ('ㅝ', ['ㅜ', 'ㅓ']),
    ('ㅞ', ['ㅜ', 'ㅔ']),
    ('ㅟ', ['ㅜ', 'ㅣ']),
    ('ㅢ', ['ㅡ', 'ㅣ']),
    ('ㄳ', ['ㄱ', 'ㅅ']),
    ('ㄵ', ['ㄴ', 'ㅈ']),
    ('ㄶ', ['ㄴ', 'ㅎ']),
    ('ㄺ', ['ㄹ', 'ㄱ']),
    ('ㄻ', ['ㄹ', 'ㅁ']),
    ('ㄼ', ['ㄹ', 'ㅂ']),
    ('ㄽ', ['ㄹ', 'ㅅ']),
    ('ㄾ', ['ㄹ', 'ㅌ']),
    ('ㄿ', ['ㄹ', 'ㅍ']),
    ('ㅀ', ['ㄹ', 'ㅎ']),
    ('ㅄ', ['ㅂ', 'ㅅ']),
];
/// Keys and what stands on them; upper case is with shift.
const KEYS: [(char, char); 33] = [
    ('q', 'ㅂ'),
    ('w', 'ㅈ'),
    ('e', 'ㄷ'),
    ('r', 'ㄱ'),
    ('t', 'ㅅ'),
    ('y', 'ㅛ'),
    ('u', 'ㅕ'),
    ('i', 'ㅑ'),
    ('o', 'ㅐ'),
    ('p', 'ㅔ'),
    ('a', 'ㅁ'),
    ('s', 'ㄴ'),
    ('d', 'ㅇ'),
    ('f', 'ㄹ'),
    ('g', 'ㅎ'),
    ('h', 'ㅗ'),
    ('j', 'ㅓ'),
    ('k', 'ㅏ'),
    ('l', 'ㅣ'),
    ('z', 'ㅋ'),
    ('x', 'ㅌ'),
    ('c', 'ㅊ'),
    ('v', 'ㅍ'),
    ('b', 'ㅠ'),
    ('n', 'ㅜ'),
    ('m', 'ㅡ'),
    ('Q', 'ㅃ'),
    ('W', 'ㅉ'),
    ('E', 'ㄸ'),
    ('R', 'ㄲ'),
    ('T', 'ㅆ'),
    ('O', 'ㅒ'),
    ('P', 'ㅖ'),
];
/// Shorter words are abbreviations far more often than slips.
const LEAST_LETTERS: usize = 3;
const FIRST_SYLLABLE: u32 = 0xAC00;
const SYLLABLES: u32 = 19 * 21 * 28;

/// The word as its keys would have spelled it in the other language; `None` where that spells nothing: Latin letters that
/// make no whole syllables, Hangul without a letter standing alone, which is no slip.
pub fn retyped(word: &str) -> Option<String> {
    let letters = word.chars().count();
    if letters < LEAST_LETTERS {
        return None;
    }
    if word.chars().all(|c| c.is_ascii_alphabetic()) { to_hangul(word) } else { to_latin(word) }
}

fn to_hangul(word: &str) -> Option<String> {
    let on_key = |key: char| KEYS.iter().find(|(k, _)| *k == key).map(|(_, jamo)| *jamo);
    let jamo: Vec<char> =
        word.chars().map(|c| on_key(c).or_else(|| on_key(c.to_ascii_lowercase()))).collect::<Option<_>>()?;
    let mut rest = jamo.as_slice();
    let mut out = String::new();
    while !rest.is_empty() {
        let (syllable, after) = syllable(rest)?;
        out.push(syllable);
        rest = after;
    }
    Some(out)
}

/// The first syllable and what follows it.
fn syllable(jamo: &[char]) -> Option<(char, &[char])> {
    let (lead, rest) = jamo.split_first()?;
    let lead = LEADS.iter().position(|l| l == lead)?;
    let (vowel, rest) = match *rest {
        [a, b, ..] if joined(a, b).is_some_and(|j| VOWELS.contains(&j)) => (joined(a, b)?, rest.get(2..)?),
        [a, ..] => (a, rest.get(1..)?),
        [] => return None,
    };
    let vowel = VOWELS.iter().position(|v| *v == vowel)?;
    let consonants = rest.iter().take_while(|c| !VOWELS.contains(c)).count();
    // The last one before a vowel begins the next syllable.
    let tails = if consonants == rest.len() { consonants } else { consonants.checked_sub(1)? };
    let tail = match *rest.get(..tails)? {
        [] => 0,
        [one] => TAILS.iter().position(|t| *t == one)?,
        [a, b] => TAILS.iter().position(|t| Some(*t) == joined(a, b))?,
        _ => return None,
    };
    let code = FIRST_SYLLABLE + ((lead * VOWELS.len() + vowel) * TAILS.len() + tail) as u32;
    Some((char::from_u32(code)?, rest.get(tails..)?))
}

fn joined(a: char, b: char) -> Option<char> {
    PAIRS.iter().find(|(_, pair)| *pair == [a, b]).map(|(whole, _)| *whole)
}

fn to_latin(word: &str) -> Option<String> {
    let alone = |c: char| ('ㄱ'..='ㅣ').contains(&c);
    word.chars().any(alone).then(|| keys(word)).flatten()
}

/// The keys that spell Hangul; `None` with anything else in it.
fn keys(word: &str) -> Option<String> {
    let mut out = String::new();
    for c in word.chars() {
        let index = (c as u32).checked_sub(FIRST_SYLLABLE).filter(|i| *i < SYLLABLES).map(|i| i as usize);
        let jamo = match index {
            Some(i) => vec![*LEADS.get(i / 588)?, *VOWELS.get(i / 28 % 21)?, *TAILS.get(i % 28)?],
            None => vec![c],
        };
        for letter in jamo.into_iter().filter(|l| *l != '\0') {
            let pair = PAIRS.iter().find(|(whole, _)| *whole == letter).map(|(_, pair)| pair.to_vec());
            for single in pair.unwrap_or_else(|| vec![letter]) {
                out.push(KEYS.iter().find(|(_, jamo)| *jamo == single)?.0);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slips_are_read_as_they_were_meant() {
        for (typed, meant) in [
            ("durnjs", "여권"),
            ("alsdnjs", "민원"),
            ("wjdqhxhdtlsrhk", "정보통신과"),
            ("dlfrWkfl", "읽짜리"),
            ("ehdgoWka", "동해짬"),
            ("ㅔㅇㄹ", "pdf"),
            ("ㅗ디ㅣㅐ", "hello"),
        ] {
            assert_eq!(retyped(typed).as_deref(), Some(meant), "{typed}");
        }
        assert_eq!(retyped("eksrP").as_deref(), Some("단계"));
    }

    #[test]
    fn what_is_no_slip_stays() {
        for word in ["pdf", "email", "data", "AI", "여권", "2026", "a1b2", "", "ㅋ", "ㅎㅎ", "e메일"] {
            assert_eq!(retyped(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn keys_spell_one_word_alone(word in "[가-힣]{2,12}") {
            let typed = keys(&word).expect("syllables have keys");
            prop_assert_eq!(retyped(&typed), Some(word));
        }

        #[test]
        fn nothing_breaks_it(word in "\\PC{0,20}") {
            let _ = retyped(&word);
        }
    }
}

//! Small readings of Korean instruction sentences that composer, plan and checks share: lists, counts, quoted
//! words, particles. Words and dates of running text are read by `madang-korean`, not here.

/// Declares a static compiled on first use from a literal pattern of this crate; a wrong literal fails every test
/// that touches it.
macro_rules! pattern {
    ($(#[$doc:meta])* $name:ident, $source:literal) => {
        $(#[$doc])*
        static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new($source).expect("literal pattern"));
    };
}

pub(crate) use madang_inference::shape::escape_markdown;

pattern!(QUOTED, r#"['"‘“「『]([^'"‘’“”「」『』]{1,60})['"’”」』]"#);
pattern!(LIST_MARK, r"^\s*(?:[0-9]{1,2}[.)]|[①-⑳]|[-*•·○◦□▪])\s*");
pattern!(LIST_END, r"\s*(?:등등|등의 항목|등|의 항목|항목들?|모두|각각|순서대로)\s*$");

/// Particles that may close a listed word, longest first; 이, 가, 로, 의 and 과 end too many nouns (평가, 나이, 결과).
const PARTICLES: [&str; 9] = ["에서", "으로", "까지", "이나", "에게", "을", "를", "은", "는"];

/// Nouns that end in 과: no particle there.
const NOUNS_IN_GWA: [&str; 6] = ["결과", "성과", "효과", "경과", "초과", "부과"];

/// Does the word end in a consonant (받침)? Digits count as they are read; other characters as vowels.
pub(crate) fn ends_in_consonant(word: &str) -> bool {
    match word.chars().rev().find(|c| c.is_alphanumeric()) {
        Some(c @ '가'..='힣') => !(c as u32 - '가' as u32).is_multiple_of(28),
        Some('0' | '1' | '3' | '6' | '7' | '8' | 'L' | 'l' | 'M' | 'm' | 'N' | 'n' | 'R' | 'r') => true,
        _ => false,
    }
}

/// `word` followed by the particle that fits: `with_particle("예산", "을", "를")`.
pub(crate) fn with_particle(word: &str, after_consonant: &str, after_vowel: &str) -> String {
    format!("{word}{}", if ends_in_consonant(word) { after_consonant } else { after_vowel })
}

/// Words in quotation marks, in order.
pub(crate) fn quoted_words(text: &str) -> Vec<String> {
    QUOTED.captures_iter(text).filter_map(|c| c.get(1)).map(|m| m.as_str().trim().to_owned()).collect()
}

/// Splits "예산, 기간 및 담당부서를" into its words: separators are commas, middle dots, 및, 그리고 and 와/과 between
/// words; list marks, quotes and closing particles are dropped. Items longer than 30 characters are dropped, as they
/// are clauses rather than names.
pub(crate) fn list_items(text: &str) -> Vec<String> {
    let unified = text.replace(" 및 ", ",").replace(" 그리고 ", ",").replace(" 또는 ", ",").replace(" 혹은 ", ",");
    let mut out: Vec<String> = Vec::new();
    for part in unified.split([',', '，', '、', '·', '/', ';', '|', '\n']) {
        for piece in split_conjoined(part) {
            let item = clean_item(&piece);
            let n = item.chars().count();
            if (1..=30).contains(&n) && !out.contains(&item) {
                out.push(item);
            }
        }
    }
    out
}

/// "교통과 환경" → 교통, 환경: only where a word of two syllables or more bears 와/과/랑/하고 before a space.
fn split_conjoined(part: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for word in part.split_whitespace() {
        let stem = ["이랑", "하고", "와", "과", "랑"].iter().find_map(|p| word.strip_suffix(p)).filter(|stem| {
            let n = stem.chars().count();
            let noun = NOUNS_IN_GWA.iter().any(|noun| word.ends_with(noun));
            let agrees = match word.chars().last() {
                Some('과') => ends_in_consonant(stem) && !noun,
                Some('와') => !ends_in_consonant(stem),
                _ => true,
            };
            n >= 2 && agrees
        });
        if let Some(last) = out.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(stem.unwrap_or(word));
        }
        if stem.is_some() {
            out.push(String::new());
        }
    }
    out.retain(|s| !s.is_empty());
    out
}

fn clean_item(raw: &str) -> String {
    let unmarked = LIST_MARK.replace(raw.trim(), "");
    let unquoted = unmarked.trim_matches(|c: char| "'\"‘’“”「」『』[]<>.!? ".contains(c)).to_owned();
    let cut = LIST_END.replace(&unquoted, "").into_owned();
    strip_particle(cut.trim()).trim_matches(|c: char| "'\"‘’“”「」『』 ".contains(c)).to_owned()
}

/// The word without one closing case particle, where what remains has two characters or more and the particle agrees
/// with the consonant before it (so that 마을 stays whole).
pub(crate) fn strip_particle(word: &str) -> &str {
    for p in PARTICLES {
        let Some(stem) = word.strip_suffix(p) else { continue };
        if stem.trim_end().chars().count() < 2 || !stem.ends_with(|c: char| c.is_alphanumeric() || c == ')') {
            continue;
        }
        let consonant = ends_in_consonant(stem);
        let agrees = match p {
            "을" | "은" | "으로" | "이나" => consonant,
            "를" | "는" => !consonant,
            _ => true,
        };
        if agrees {
            return stem.trim_end();
        }
    }
    word
}

/// A count in figures or native words: `"3"`, `"세"`, `"다섯"`.
pub(crate) fn count_word(word: &str) -> Option<usize> {
    const WORDS: [(&str, usize); 22] = [
        ("한", 1),
        ("하나", 1),
        ("두", 2),
        ("둘", 2),
        ("세", 3),
        ("셋", 3),
        ("네", 4),
        ("넷", 4),
        ("다섯", 5),
        ("여섯", 6),
        ("일곱", 7),
        ("여덟", 8),
        ("아홉", 9),
        ("열", 10),
        ("일", 1),
        ("이", 2),
        ("삼", 3),
        ("사", 4),
        ("오", 5),
        ("십", 10),
        ("스무", 20),
        ("스물", 20),
    ];
    word.parse().ok().or_else(|| WORDS.iter().find(|(w, _)| *w == word).map(|(_, n)| *n))
}

/// First `n` characters, with `…` where something was cut.
pub(crate) fn shorten(text: &str, n: usize) -> String {
    if text.chars().count() <= n {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(n.saturating_sub(1)).collect();
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// The text without any white space: Korean compounds are spaced at will.
pub(crate) fn unspaced(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lose_separators_and_particles() {
        assert_eq!(list_items("예산, 기간, 담당부서를"), ["예산", "기간", "담당부서"]);
        assert_eq!(list_items("교통과 환경 및 복지로"), ["교통", "환경", "복지로"]);
        assert_eq!(list_items("1. 추진배경, 2. 현황 등"), ["추진배경", "현황"]);
        assert_eq!(list_items("'성과', '평가'와 결과"), ["성과", "평가", "결과"]);
        assert_eq!(list_items("추진 결과, 주요 성과"), ["추진 결과", "주요 성과"]);
        assert_eq!(list_items(""), Vec::<String>::new());
    }

    #[test]
    fn particles_agree_with_the_word() {
        assert_eq!(with_particle("예산", "을", "를"), "예산을");
        assert_eq!(with_particle("부서", "을", "를"), "부서를");
        assert_eq!(strip_particle("예산을"), "예산");
        assert_eq!(strip_particle("마을"), "마을");
    }

    #[test]
    fn counts_and_quotes() {
        assert_eq!(count_word("다섯"), Some(5));
        assert_eq!(count_word("12"), Some(12));
        assert_eq!(count_word("많이"), None);
        assert_eq!(quoted_words("'소요예산'과 “추진일정” 항목"), ["소요예산", "추진일정"]);
        assert_eq!(shorten("가나다라마", 3), "가나…");
    }
}

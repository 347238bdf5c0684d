//! Particles (조사) and predicate endings (어미) cut from the end of a Hangul word.
//!
//! Suffix tables, no dictionary and no morphological analysis: what a table cannot tell apart ("도로" the road, "도" +
//! "로" the particle) is left whole by asking for a longer stem.

/// Particles that hardly ever end a noun: a stem of one syllable is enough ("집에서" → "집").
const SURE: &[&str] = &[
    "으로부터",
    "에서부터",
    "에게서",
    "한테서",
    "에서는",
    "에서도",
    "에서의",
    "으로서",
    "으로써",
    "으로는",
    "으로도",
    "으로의",
    "까지의",
    "까지는",
    "까지도",
    "부터의",
    "에게는",
    "에게도",
    "이라는",
    "이라고",
    "이라도",
    "이라면",
    "이지만",
    "이든지",
    "입니다만",
    "입니까",
    "입니다",
    "인가요",
    "인지요",
    "에서",
    "에게",
    "에는",
    "에도",
    "에의",
    "께서",
    "한테",
    "으로",
    "까지",
    "부터",
    "마다",
    "조차",
    "마저",
    "밖에",
    "처럼",
    "이란",
    "이며",
    "이고",
    "이나",
    "이라",
];

/// Particles that also end nouns ("논란", "국가", "도로"): the stem needs two syllables.
const LIKELY: &[&str] = &[
    "들에게",
    "로서",
    "로써",
    "로는",
    "로도",
    "로의",
    "과의",
    "와의",
    "과는",
    "와는",
    "과도",
    "와도",
    "보다",
    "같이",
    "만큼",
    "대로",
    "하고",
    "라는",
    "라고",
    "라도",
    "라면",
    "라서",
    "지만",
    "든지",
    "이랑",
    "만이",
    "만을",
    "만은",
    "만의",
    "들이",
    "들은",
    "들을",
    "들의",
    "들에",
    "들도",
    "들과",
    "란",
    "랑",
    "은",
    "는",
    "이",
    "가",
    "을",
    "를",
    "의",
    "에",
    "로",
    "와",
    "과",
    "도",
    "만",
    "나",
    "야",
];

/// Forms of 하다 and 되다 behind a noun ("신청하려면" → "신청"): the stem needs two syllables.
const PREDICATE: &[&str] = &[
    "하였습니다",
    "되었습니다",
    "했습니다",
    "됐습니다",
    "하겠습니다",
    "하십시오",
    "하시기",
    "하세요",
    "합니다",
    "됩니다",
    "합니까",
    "됩니까",
    "하나요",
    "되나요",
    "한가요",
    "된가요",
    "할까요",
    "될까요",
    "했나요",
    "됐나요",
    "하는지",
    "되는지",
    "하는데",
    "되는데",
    "했는지",
    "하려면",
    "하려고",
    "하고자",
    "하도록",
    "되도록",
    "하여야",
    "하면서",
    "되면서",
    "하였다",
    "되었다",
    "하면",
    "되면",
    "하여",
    "되어",
    "해서",
    "돼서",
    "하는",
    "되는",
    "하며",
    "되며",
    "하고",
    "되고",
    "하지",
    "되지",
    "하기",
    "되기",
    "하던",
    "되던",
    "하게",
    "되게",
    "했던",
    "됐던",
    "한다",
    "된다",
    "했다",
    "됐다",
    "해야",
    "돼야",
    "하다",
    "되다",
    "했을",
    "됐을",
    "하였",
    "되었",
    "하나",
    "해",
    "한",
    "할",
    "함",
    "된",
    "될",
    "됨",
    "돼",
];

/// The word without its longest particle or 하다/되다 ending; the word itself where none fits.
///
/// `word` is one run of Hangul syllables. What is cut is always a suffix, never the whole word.
pub fn stem(word: &str) -> &str {
    let syllables = word.chars().count();
    let mut cut = 0;
    for (suffixes, least_stem) in [(SURE, 1), (PREDICATE, 2), (LIKELY, 2)] {
        for suffix in suffixes {
            if suffix.len() > cut && word.ends_with(suffix) && syllables >= suffix.chars().count() + least_stem {
                cut = suffix.len();
            }
        }
    }
    word.get(..word.len() - cut).unwrap_or(word)
}

/// Is the whole word a particle? So read when it is glued to Latin letters or digits ("AI가", "365는").
pub fn is_particle(word: &str) -> bool {
    SURE.contains(&word) || LIKELY.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_particles_and_endings() {
        for (word, expected) in [
            ("시청에서는", "시청"),
            ("집에서", "집"),
            ("민원인에게", "민원인"),
            ("주민등록등본을", "주민등록등본"),
            ("신청하려면", "신청"),
            ("지원됩니다", "지원"),
            ("보조금은", "보조금"),
            ("서류들의", "서류"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    #[test]
    fn leaves_short_nouns_whole() {
        for word in ["도로", "국가", "논란", "가", "에서", "회의", "차도"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn particles_alone_are_known() {
        assert!(is_particle("가") && is_particle("에서") && !is_particle("월"));
    }
}

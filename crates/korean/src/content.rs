//! Content words: what a text is about, for labels, for the composer and for matching collections.

use crate::analyser::{Script, normalise, runs};
use crate::particles::stem;
use crate::stopwords::{is_request_word, is_stop_word};

/// Endings of predicates that leave no noun behind.
const PREDICATE_ENDINGS: &[&str] =
    &["습니다", "습니까", "세요", "어요", "아요", "해요", "는데", "니까", "나요", "까요", "겠다", "았다", "었다"];

/// Particle-stripped words in order of appearance, repeats kept; without stop words, words of requests, predicates,
/// bare numbers and single syllables. Latin words are lower-cased and need two letters.
pub fn content_words(text: &str) -> Vec<String> {
    let text = normalise(text);
    runs(&text)
        .into_iter()
        .filter_map(|run| match run.script {
            Script::Hangul => hangul_content(run.text),
            Script::Letters | Script::Han => run.text.chars().nth(1).map(|_| run.text.to_owned()),
            Script::Digits => None,
        })
        .collect()
}

fn hangul_content(word: &str) -> Option<String> {
    let stem = stem(word);
    let dropped = is_stop_word(word, stem)
        || is_request_word(word, stem)
        || (stem.len() == word.len() && PREDICATE_ENDINGS.iter().any(|e| word.ends_with(e)));
    (!dropped && stem.chars().nth(1).is_some()).then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_what_names_things() {
        assert_eq!(
            content_words("민원 답변의 근거를 조례에서 찾아주는 앱을 만들어 줘"),
            ["민원", "답변", "근거", "조례"]
        );
        assert_eq!(content_words("2026년 AI 교육 계획은 어떻게 되나요?"), ["ai", "교육", "계획"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            for w in content_words(&text) {
                prop_assert!(w.chars().nth(1).is_some());
            }
        }
    }
}

//! Words of one meaning, as an administrator lists them: a question that holds one also looks for the others. Applied to
//! questions alone, so that a change counts at once and no passage is indexed again.

use madang_korean::{normalise, stem};
use std::collections::HashMap;

/// What another word of the same meaning weighs beside the word asked.
pub(crate) const SYNONYM: f32 = 0.7;
/// Most groups, words of a group, and characters of a word.
pub const MOST_GROUPS: usize = 5_000;
const MOST_WORDS: usize = 20;
const MOST_CHARACTERS: usize = 40;

/// Most groups that one word counts in: a word of many meanings helps no question.
const MOST_MEANINGS: usize = 20;

/// Groups of words of one meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synonyms {
    groups: Vec<Vec<String>>,
    /// Normalised word → its groups.
    by_word: HashMap<String, Vec<usize>>,
}

/// A line that makes no group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// 1-based.
    pub line: usize,
    /// What to do, in Korean.
    pub reason: String,
}

impl Synonyms {
    /// One group a line, words between commas; lines that begin with `#` and lines that make no group are passed over.
    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for (_, words) in lines(text).filter(|(_, words)| fault(words).is_none()).take(MOST_GROUPS) {
            let group = all.groups.len();
            for word in &words {
                let groups = all.by_word.entry(normalise(word)).or_default();
                if groups.last() != Some(&group) && groups.len() < MOST_MEANINGS {
                    groups.push(group);
                }
            }
            all.groups.push(words);
        }
        all
    }

    /// Lines that [`Synonyms::parse`] passes over though they say something.
    pub fn faults(text: &str) -> Vec<BadLine> {
        let mut faults: Vec<BadLine> =
            lines(text).filter_map(|(line, words)| fault(&words).map(|reason| BadLine { line, reason })).collect();
        if let Some((line, _)) = lines(text).nth(MOST_GROUPS) {
            faults.push(BadLine { line, reason: format!("{MOST_GROUPS}줄까지 적을 수 있습니다.") });
        }
        faults
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Other words for a normalised word, or for its stem.
    pub fn of(&self, word: &str) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for form in [word, stem(word)] {
            let groups = self.by_word.get(form).into_iter().flatten();
            for other in groups.filter_map(|g| self.groups.get(*g)).flatten() {
                if normalise(other) != form && !out.contains(other) {
                    out.push(other.clone());
                }
            }
        }
        out
    }

    /// Other words for everything in the question that has some, words of several parts included.
    pub fn of_question(&self, question: &str) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let question = normalise(question);
        let words: Vec<&str> = question.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut out: Vec<String> = Vec::new();
        for length in 1..=3 {
            for some in words.windows(length) {
                for joint in [" ", ""].iter().take(if length == 1 { 1 } else { 2 }) {
                    out.extend(self.of(&some.join(joint)));
                }
            }
        }
        out.sort();
        out.dedup();
        out
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
    let words = |line: &str| -> Vec<String> {
        let words = line.split([',', '，', '、']).map(|w| w.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|w| !w.is_empty()).collect()
    };
    let said = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    said.map(move |(number, line)| (number + 1, words(line)))
}

fn fault(words: &[String]) -> Option<String> {
    if words.len() < 2 {
        return Some("같은 뜻의 말을 둘 넘게 쉼표로 나누어 적어 주세요.".to_owned());
    }
    if words.len() > MOST_WORDS {
        return Some(format!("한 줄에는 {MOST_WORDS}개까지 적을 수 있습니다."));
    }
    let long = words.iter().find(|w| w.chars().count() > MOST_CHARACTERS);
    long.map(|w| format!("‘{}…’: 한 말은 {MOST_CHARACTERS}자까지입니다.", w.chars().take(10).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_question_gets_the_other_words() {
        let all = Synonyms::parse("# 업무 용어\n쓰레기, 폐기물, 생활 폐기물\n와이파이,wi-fi,무선인터넷\n혼자\n");
        assert_eq!(all.len(), 2);
        assert_eq!(all.of_question("쓰레기를 어떻게 버리나요?"), ["생활 폐기물", "폐기물"]);
        assert_eq!(all.of_question("생활 폐기물 배출"), ["생활 폐기물", "쓰레기", "폐기물"]);
        assert_eq!(all.of_question("무선 인터넷이 안 됩니다"), ["wi-fi", "와이파이"]);
        assert!(all.of_question("도로 점용").is_empty());
        let faults = Synonyms::faults("쓰레기, 폐기물\n혼자\n");
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [2]);
    }

    proptest! {
        #[test]
        fn any_text_is_a_list(text in "\\PC{0,80}|([가-힣a-z ,#\n]){0,80}", question in "[가-힣a-z ]{0,40}") {
            let all = Synonyms::parse(&text);
            prop_assert!(all.of_question(&question).iter().all(|w| !w.is_empty()));
            prop_assert!(all.len() + Synonyms::faults(&text).len() <= text.lines().count() + 1);
        }
    }
}

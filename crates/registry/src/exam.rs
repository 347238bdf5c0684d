//! Exam questions of an app: a filled form and what a right answer shows. Judging only; the server runs the app.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A golden question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub inputs: BTreeMap<String, String>,
    /// Words that the answer holds, spacing and Markdown escapes aside.
    #[serde(default)]
    pub expect_contains: Vec<String>,
    /// Whether the sources hold an answer.
    #[serde(default)]
    pub expect_answered: Option<bool>,
    /// Title of a document that is cited.
    #[serde(default)]
    pub expect_citation_document: Option<String>,
}

/// What the app answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Markdown.
    pub answer: String,
    pub answered: bool,
    /// Titles of the documents cited.
    pub documents: Vec<String>,
}

/// What is wrong with the answer, in Korean; empty for a right one.
pub fn judge(question: &Question, outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    let answer = comparable(&outcome.answer);
    for words in &question.expect_contains {
        if !answer.contains(&comparable(words)) {
            faults.push(format!("답에 ‘{words}’이(가) 없습니다."));
        }
    }
    match question.expect_answered {
        Some(true) if !outcome.answered => faults.push("답을 찾지 못했습니다.".to_owned()),
        Some(false) if outcome.answered => faults.push("자료에 없는 것을 답했습니다.".to_owned()),
        _ => {}
    }
    if let Some(title) = &question.expect_citation_document
        && !outcome.documents.iter().any(|d| comparable(d) == comparable(title))
    {
        faults.push(format!("‘{title}’을(를) 근거로 들지 않았습니다."));
    }
    faults
}

/// Without white space and backslashes: Korean is spaced at will, and Markdown escapes figures.
fn comparable(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            inputs: BTreeMap::new(),
            expect_contains: vec!["2026. 6. 12.".into()],
            expect_answered: Some(true),
            expect_citation_document: Some("당직 규칙".into()),
        }
    }

    #[test]
    fn a_right_answer_has_no_faults() {
        let outcome =
            Outcome {
                answer: "기한은 2026\\. 6\\.12.이다".into(), answered: true, documents: vec!["당직규칙".into()]
            };
        assert_eq!(judge(&question(), &outcome), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(judge(&question(), &Outcome::default()).len(), 3);
        let silent = Question {
            expect_answered: Some(false),
            ..Question { expect_contains: vec![], expect_citation_document: None, ..question() }
        };
        assert_eq!(judge(&silent, &Outcome { answered: true, ..Outcome::default() }), ["자료에 없는 것을 답했습니다."]);
    }
}

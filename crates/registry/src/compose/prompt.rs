//! The prompt as typed, made comparable: spacing and width do not matter, common slips are put right.

use crate::phrases::unspaced;
use madang_korean::{content_words, normalise};

/// A prompt ready for reading.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    /// As typed, slips put right, white space single.
    pub text: String,
    /// Normalised, without spaces.
    pub flat: String,
    /// Content words with the word as typed, in order.
    words: Vec<(String, String)>,
}

/// Slips of the keyboard and the ear in words that decide.
const SLIPS: &[(&str, &str)] = &[
    ("요악", "요약"),
    ("욧약", "요약"),
    ("요얏", "요약"),
    ("추츌", "추출"),
    ("츄출", "추출"),
    ("분뉴", "분류"),
    ("붇류", "분류"),
    ("졈검", "점검"),
    ("점껌", "점검"),
    ("초얀", "초안"),
    ("쵸안", "초안"),
    ("보도자룔", "보도자료를"),
    ("뽑아죠", "뽑아줘"),
    ("뽀바", "뽑아"),
    ("알려죠", "알려줘"),
    ("찿아", "찾아"),
    ("찾아죠", "찾아줘"),
    ("정리헤", "정리해"),
    ("만드러", "만들어"),
    ("맨들", "만들"),
    ("해죠", "해줘"),
    ("질믄", "질문"),
];

/// Words that say how, not about what.
const HOW: &[&str] = &[
    "자료",
    "문서",
    "내용",
    "파일",
    "앱",
    "결과",
    "표",
    "목록",
    "정리",
    "요약",
    "추출",
    "분류",
    "점검",
    "검토",
    "초안",
    "작성",
    "질문",
    "답변",
    "질의응답",
    "답",
    "근거",
    "검색",
    "분석",
    "확인",
    "형식",
    "문장",
    "이내",
    "글머리표",
    "핵심",
    "요점",
    "항목",
    "매월",
    "매일",
    "매주",
    "매년",
    "매달",
    "평일",
    "오전",
    "오후",
    "아침",
    "저녁",
    "하루",
    "이틀",
    "마감",
    "자동",
    "자동으로",
    "이번",
    "올해",
    "요즘",
    "정도",
    "그거",
    "이거",
    "저거",
    "누가",
    "텍스트",
    "글",
    "붙여넣기",
    "입력",
    "출력",
    "사용",
    "필요",
    "도움",
    "도우미",
    "서비스",
    "기능",
    "한눈",
    "한번",
    "위반",
    "여부",
    "누락",
    "오류",
    "순서",
    "차례",
    "줄",
    "개조식",
    "간단",
    "간단히",
    "짧게",
    "빠르게",
    "쉽게",
    "전체",
    "주요",
    "중요",
    "가운데",
    "하나",
    "체크",
    "체크리스트",
    "기준",
    "관련",
    "일정",
    "집계",
    "그래프",
    "차트",
];

/// Endings of predicates and of words that modify.
const PREDICATES: &[&str] = &[
    "하면",
    "으면",
    "이면",
    "되면",
    "오면",
    "주면",
    "리면",
    "하는",
    "되는",
    "있는",
    "없는",
    "오는",
    "가는",
    "주는",
    "보는",
    "들어온",
    "올라온",
    "궁금한",
    "필요한",
    "중요한",
    "간단한",
    "해당하는",
    "받은",
    "붙여",
    "붙인",
    "올린",
    "쓰인",
    "적힌",
    "하게",
    "되게",
    "해서",
    "돼서",
    "봐서",
    "와서",
    "넣어서",
    "읽고",
    "보고서는지",
    "하고",
    "되고",
    "면서",
    "려고",
    "도록",
    "려면",
    "인데",
    "건데",
    "는데",
    "거든",
    "니까",
    "는지",
    "줄래",
    "싶어",
    "싶은",
    "줘",
    "줘요",
    "주세요",
    "주십시오",
];

impl Prompt {
    pub fn read(raw: &str) -> Prompt {
        let mut text = raw.split_whitespace().collect::<Vec<_>>().join(" ");
        for (slip, right) in SLIPS {
            if text.contains(slip) {
                text = text.replace(slip, right);
            }
        }
        let flat = unspaced(&normalise(&text));
        let words = text
            .split([' ', ',', '/', '·', '.', '?', '!', '(', ')', '"', '\''])
            .flat_map(|w| content_words(w).into_iter().map(move |c| (c, w.to_owned())))
            .collect();
        Prompt { text, flat, words }
    }

    /// Does the prompt hold one of these, spacing aside?
    pub fn has(&self, needles: &[&str]) -> bool {
        needles.iter().any(|n| self.flat.contains(n))
    }

    /// What the prompt is about: its nouns without words of how, predicates, `items` and the kind of document.
    pub fn subject_words(&self, items: &[String], document: Option<&str>) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (word, typed) in &self.words {
            let bare = typed.trim_end_matches(|c: char| !c.is_alphanumeric());
            let dropped = HOW.contains(&word.as_str())
                || PREDICATES.iter().any(|e| bare.ends_with(e))
                || crate::compose::intent::is_cue(word)
                || items.iter().any(|i| unspaced(i) == *word || unspaced(i).contains(word.as_str()))
                || document.is_some_and(|d| d == word || d.contains(word.as_str()))
                || crate::compose::schedule::is_schedule_word(bare);
            if !dropped && !out.contains(word) {
                out.push(word.clone());
            }
        }
        out
    }

    /// At most three subject words, 24 characters; "업무" where the prompt names nothing.
    pub fn topic(&self, items: &[String], document: Option<&str>) -> String {
        let mut out = String::new();
        for word in self.subject_words(items, document).iter().take(3) {
            // Latin words were lower-cased for comparison: show them as typed.
            let shown = self.as_typed(word);
            if out.chars().count() + shown.chars().count() > 23 {
                break;
            }
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&shown);
        }
        if out.is_empty() { "업무".to_owned() } else { out }
    }

    fn as_typed(&self, word: &str) -> String {
        if !word.is_ascii() {
            return word.to_owned();
        }
        let lower = self.text.to_ascii_lowercase();
        lower.find(word).and_then(|at| self.text.get(at..at + word.len())).unwrap_or(word).to_owned()
    }
}

//! What a question asks: its words, what kind of answer fits, and how well a unit matches.

use super::units::Unit;
use crate::phrases::unspaced;
use madang_korean::{TokenKind, analyse_query, content_words, normalise, stem};
use std::collections::BTreeMap;

/// Kind of answer that a question word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Date,
    Amount,
    Number,
    Who,
    Place,
    Article,
    How,
    Why,
    Meaning,
    Anything,
}

pattern!(ASKS_DATE, r"언제|며칠|몇\s*(?:년|월|일|시)|기한|기간|일정|날짜|연도는|년도는|날은|시기|마감|까지인|때는");
pattern!(ASKS_AMOUNT, r"얼마|예산|금액|비용|사업비|지원금|수수료|과태료|가격|단가|보조금액");
pattern!(ASKS_NUMBER, r"몇|수는|개수|인원|명수|비율|규모|횟수|면적|얼마나|퍼센트|몇 ?%");
pattern!(ASKS_WHO, r"누구|누가|담당|부서|어느\s*과|어느\s*팀|기관은|인물|사람은|이름은|주관|소관|어디서\s*담당");
pattern!(ASKS_PLACE, r"어디|장소|위치|주소|어느\s*(?:곳|지역|도시|나라|국가)");
pattern!(ASKS_ARTICLE, r"몇\s*조|어느\s*(?:조|조항|규정|법)|조항은|법적\s*근거|근거\s*(?:법령|법률|조항|규정|조례)");
pattern!(COUNTED, r"몇\s*([가-힣]{1,6})");
pattern!(ASKS_HOW, r"어떻게|방법|절차|신청하려면|하려면|서류");
pattern!(ASKS_WHY, r"왜|이유|까닭|원인|때문");
pattern!(ASKS_MEANING, r"무엇|뭐|뜻|의미|정의|이란");

pattern!(
    HAS_DATE,
    r"[0-9]{4}\s*[년.]|[0-9]{1,2}\s*월|[0-9]{1,2}\s*일|오전|오후|[0-9]{1,2}시|[0-9]{1,2}:[0-9]{2}|매년|매월|매주|상반기|하반기|이내"
);
pattern!(
    HAS_AMOUNT,
    r"[0-9][0-9,.]*\s*(?:조|억|천만|백만|십만|만|천)?\s*원|[0-9][0-9,.]*\s*(?:천원|백만원|억원|달러)|무료|예산"
);
pattern!(HAS_NUMBER, r"[0-9]");
pattern!(
    HAS_BODY,
    r"[가-힣]+(?:과|팀|국|실|부|청|센터|담당관|위원회|공단|재단|협회|사업소|시장|구청장|의회|장관)(?:[^가-힣]|은|는|이|가|에|의|$)"
);
pattern!(
    HAS_PLACE,
    r"[가-힣0-9]+(?:시|군|구|동|로|길|층|호|관|센터|역|면|읍|청|공원|도|산|강|국)(?:[^가-힣]|에|의|로|을|를|은|는|이|가|$)"
);
pattern!(HAS_ARTICLE, r"제\s*[0-9]{1,4}\s*조|「[^」]{2,40}」|(?:법|시행령|시행규칙|조례|규칙)\s*제");
pattern!(HAS_HOW, r"신청|방문|온라인|접수|제출|통해|이용|절차|서류|작성");
pattern!(HAS_WHY, r"때문|위해|위하여|인해|따라|이유|원인|므로|어서|아서");
pattern!(HAS_MEANING, r"이란|란 |말한다|뜻|의미|이다|입니다|일컫|불린|불리");

impl Asked {
    /// The kind asked for; the more telling words first.
    pub fn of(question: &str) -> Asked {
        let kinds = [
            (&ASKS_ARTICLE, Asked::Article),
            (&ASKS_DATE, Asked::Date),
            (&ASKS_AMOUNT, Asked::Amount),
            (&ASKS_WHO, Asked::Who),
            (&ASKS_PLACE, Asked::Place),
            (&ASKS_NUMBER, Asked::Number),
            (&ASKS_HOW, Asked::How),
            (&ASKS_WHY, Asked::Why),
            (&ASKS_MEANING, Asked::Meaning),
        ];
        kinds.iter().find(|(re, _)| re.is_match(question)).map_or(Asked::Anything, |(_, kind)| *kind)
    }

    /// Does the text hold something of this kind? `Anything` is in no text.
    pub fn held_by(self, text: &str) -> bool {
        match self {
            Asked::Date => HAS_DATE.is_match(text),
            Asked::Amount => HAS_AMOUNT.is_match(text),
            Asked::Number => HAS_NUMBER.is_match(text),
            Asked::Who => HAS_BODY.is_match(text),
            Asked::Place => HAS_PLACE.is_match(text),
            Asked::Article => HAS_ARTICLE.is_match(text),
            Asked::How => HAS_HOW.is_match(text),
            Asked::Why => HAS_WHY.is_match(text),
            Asked::Meaning => HAS_MEANING.is_match(text),
            Asked::Anything => false,
        }
    }
}

/// A question ready for matching.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Content words and figures, each once.
    pub words: Vec<String>,
    /// Terms of the analyser with their weights, which add up to 1.
    pub terms: Vec<(u32, f32)>,
    pub asked: Asked,
    /// "몇 명": the unit that a figure in the answer carries.
    counted: Option<String>,
}

impl Question {
    pub fn read(text: &str) -> Question {
        let mut words: Vec<String> = Vec::new();
        let figures = analyse_query(text)
            .into_iter()
            .filter(|t| t.kind == TokenKind::Run && t.text.chars().all(|c| c.is_ascii_digit()))
            .map(|t| t.text);
        for word in content_words(text).into_iter().chain(figures) {
            if !words.contains(&word) && !ASKING.contains(&word.as_str()) && !is_manner(&word) {
                words.push(word);
            }
        }
        Question { words, terms: weighted(text), asked: Asked::of(text), counted: counted(text) }
    }

    /// Does the text hold something of the kind asked for?
    pub fn answered_in(&self, text: &str) -> bool {
        match &self.counted {
            Some(unit) => has_count(text, unit),
            None => self.asked.held_by(text),
        }
    }
}

/// As the index weighs a query: the root of the summed weights of a term's kinds.
fn weighted(text: &str) -> Vec<(u32, f32)> {
    let mut sums: BTreeMap<u32, f32> = BTreeMap::new();
    for token in analyse_query(text) {
        *sums.entry(token.term()).or_default() += token.kind.weight();
    }
    let total: f32 = sums.values().map(|w| w.sqrt()).sum();
    sums.into_iter().map(|(term, weight)| (term, weight.sqrt() / total.max(f32::EPSILON))).collect()
}

/// The unit behind "몇": at most two syllables, particles and endings off.
fn counted(question: &str) -> Option<String> {
    let unit = COUNTED.captures(question)?.get(1)?.as_str();
    let whole = stem(unit);
    Some(whole.chars().take(2).collect()).filter(|u: &String| !matches!(u.as_str(), "가지" | "번째"))
}

/// A figure with this unit behind it.
fn has_count(text: &str, unit: &str) -> bool {
    text.match_indices(unit).any(|(at, _)| {
        let before = text.get(..at).unwrap_or("").trim_end();
        before.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '천' | '만' | '억' | '백' | '여'))
    })
}

/// Adverbs of manner ("늦게"), bare nouns of time ("날이") and what a cost does ("드는 비용"): documents say these in other words.
fn is_manner(word: &str) -> bool {
    let n = word.chars().count();
    (n <= 3 && word.ends_with('게') && !matches!(word, "가게" | "무게" | "휴게"))
        || matches!(word, "날이" | "날은" | "때가" | "경우" | "드는")
}

/// Words that ask for a kind of answer and need not stand in it.
const ASKING: [&str; 30] = [
    "무엇",
    "누구",
    "어디",
    "언제",
    "얼마",
    "이유",
    "이름",
    "설명",
    "알려",
    "질문",
    "궁금",
    "내용",
    "정리",
    "요약",
    "인물",
    "사람",
    "날짜",
    "연도",
    "년도",
    "뜻",
    "의미",
    "부탁",
    "확인",
    "문의",
    "가르쳐",
    "말해",
    "답변",
    "어느",
    "무슨",
    "몇",
];

/// How well `word` matches the unit's own text: 1 for the word itself, less for part of a compound; 0 for nothing.
pub(crate) fn match_word(word: &str, unit: &Unit) -> f32 {
    if unit.words.contains(word) {
        return 1.0;
    }
    if word.chars().all(|c| c.is_ascii_digit()) {
        return if holds_figure(&unit.flat, word) { 1.0 } else { 0.0 };
    }
    if unit.flat.contains(word) {
        return 0.9;
    }
    let n = word.chars().count() as f32;
    let part = unit.words.iter().map(|w| shared(word, w)).max().unwrap_or(0) as f32;
    if part >= 2.0 { 0.8 * part / n } else { 0.0 }
}

/// The same against the headings above the unit.
pub(crate) fn match_above(word: &str, unit: &Unit) -> f32 {
    if word.chars().all(|c| c.is_ascii_digit()) {
        return if holds_figure(&unit.flat_above, word) { 1.0 } else { 0.0 };
    }
    if unit.flat_above.contains(word) { 1.0 } else { 0.0 }
}

/// Characters of `word` found in `other`: all of `other` inside `word`, or a common start of two or more.
fn shared(word: &str, other: &str) -> usize {
    let n = other.chars().count();
    if n >= 2 && word.contains(other) {
        return n;
    }
    word.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
}

/// The figure with no digit beside it.
fn holds_figure(flat: &str, figure: &str) -> bool {
    flat.match_indices(figure).any(|(at, _)| {
        let before = flat.get(..at).and_then(|t| t.chars().next_back());
        let after = flat.get(at + figure.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(|c| c.is_ascii_digit()) && !after.is_some_and(|c| c.is_ascii_digit())
    })
}

/// Similarity of two names ("소요예산", "소요 예산(천원)") from 0 to 1: shared words over the shorter name's.
pub(crate) fn alike(a: &str, b: &str) -> f32 {
    let (fa, fb) = (unspaced(&normalise(a)), unspaced(&normalise(b)));
    if fa.is_empty() || fb.is_empty() {
        return 0.0;
    }
    if fa == fb {
        return 1.0;
    }
    let (short, long) = if fa.chars().count() <= fb.chars().count() { (&fa, &fb) } else { (&fb, &fa) };
    let n = short.chars().count();
    if n >= 2 && long.contains(short.as_str()) {
        return 0.9;
    }
    // 담당부서 and 담당 과: a common start of two syllables or more.
    let common = short.chars().zip(long.chars()).take_while(|(x, y)| x == y).count();
    if common >= 2 { 0.7 * common as f32 / n as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_words_tell_the_kind() {
        for (q, kind) in [
            ("신청 기한은 언제인가요?", Asked::Date),
            ("운영비 예산은 얼마인가요?", Asked::Amount),
            ("담당 부서는 어디인가요?", Asked::Who),
            ("교육 장소는 어디인가요?", Asked::Place),
            ("서버는 몇 대인가요?", Asked::Number),
            ("어떻게 신청하나요?", Asked::How),
            ("중단한 이유는?", Asked::Why),
            ("스마트경로당", Asked::Anything),
        ] {
            assert_eq!(Asked::of(q), kind, "{q}");
        }
    }

    #[test]
    fn figures_match_whole() {
        assert!(holds_figure("2026년1월", "2026") && !holds_figure("120260", "2026"));
        let q = Question::read("2026년 예산은 얼마인가요?");
        assert_eq!(q.words, ["예산", "2026"]);
    }

    #[test]
    fn names_are_alike_across_spacing() {
        assert!(alike("소요예산", "소요 예산(천원)") > 0.8);
        assert!(alike("기간", "사업기간") > 0.8);
        assert_eq!(alike("예산", "장소"), 0.0);
    }
}

//! Finding an app by the task that a person describes: a small BM25F over the words of the apps themselves
//! (Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, §3.6).
//!
//! A store holds hundreds of apps, so every query weighs all of them in memory; documents are the `search` crate's.

use madang_korean::{Token, TokenKind, analyse, analyse_query, content_words};
use std::collections::{HashMap, HashSet};

const K1: f32 = 1.2;
const B: f32 = 0.4;
/// An occurrence in each field counts as this many in a sentence.
const TITLE: f32 = 4.0;
const PURPOSE: f32 = 2.0;
/// Longest query in distinct terms: a pasted document is searched by its beginning.
const MOST_QUERY_TERMS: usize = 200;

/// The words of one app.
#[derive(Debug, Clone, Copy)]
pub struct AppWords<'a> {
    pub title: &'a str,
    pub purpose: &'a str,
    /// Sentences, names of its kind of task and department: whatever else describes it.
    pub rest: &'a [&'a str],
}

/// An app that shares words with the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Place in the list given.
    pub index: usize,
    pub score: f32,
    /// Share of the query's content words that the app bears, 0 to 1.
    pub coverage: f32,
}

type Term = (u8, String);

fn term(token: &Token) -> Term {
    (token.kind.tag(), token.text.clone())
}

/// Apps that share a content word with `query` (or, where it has none, any term), best first.
pub fn rank(query: &str, apps: &[AppWords<'_>]) -> Vec<Match> {
    let asked = query_terms(query);
    let words: HashSet<String> = content_words(query).into_iter().collect();
    let counted: Vec<Counted> = apps.iter().map(Counted::of).collect();
    let average = counted.iter().map(|c| c.length).sum::<f32>() / counted.len().max(1) as f32;
    let idf: HashMap<&Term, f32> = asked
        .keys()
        .map(|t| {
            let bearing = counted.iter().filter(|c| c.frequencies.contains_key(t)).count() as f32;
            (t, (1.0 + (counted.len() as f32 - bearing + 0.5) / (bearing + 0.5)).ln())
        })
        .collect();
    let mut out: Vec<Match> = counted
        .iter()
        .enumerate()
        .filter_map(|(index, app)| {
            let score: f32 = asked.iter().map(|(t, w)| w * idf.get(t).unwrap_or(&0.0) * app.weight(t, average)).sum();
            let coverage = app.coverage(&words);
            let fits = score > 0.0 && (coverage > 0.0 || words.is_empty());
            fits.then_some(Match { index, score, coverage })
        })
        .collect();
    out.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    out
}

fn query_terms(query: &str) -> HashMap<Term, f32> {
    let mut out = HashMap::new();
    for token in analyse_query(query) {
        if out.len() >= MOST_QUERY_TERMS {
            break;
        }
        out.insert(term(&token), token.kind.weight());
    }
    out
}

struct Counted {
    frequencies: HashMap<Term, f32>,
    length: f32,
}

impl Counted {
    fn of(app: &AppWords<'_>) -> Self {
        let mut counted = Self { frequencies: HashMap::new(), length: 0.0 };
        counted.add(app.title, TITLE);
        counted.add(app.purpose, PURPOSE);
        for text in app.rest {
            counted.add(text, 1.0);
        }
        counted
    }

    fn add(&mut self, text: &str, field: f32) {
        for token in analyse(text) {
            self.length += field * token.kind.weight();
            *self.frequencies.entry(term(&token)).or_default() += field;
        }
    }

    fn weight(&self, term: &Term, average: f32) -> f32 {
        let Some(tf) = self.frequencies.get(term) else { return 0.0 };
        tf * (K1 + 1.0) / (tf + K1 * (1.0 - B + B * self.length / average.max(1.0)))
    }

    fn coverage(&self, words: &HashSet<String>) -> f32 {
        let borne = words.iter().filter(|w| self.bears(w)).count();
        borne as f32 / words.len().max(1) as f32
    }

    /// Does the app bear the word, whole or, inside a compound such as "민원답변", by all of its bigrams?
    fn bears(&self, word: &str) -> bool {
        let mut bigrams = 0;
        let tokens = analyse(word);
        let whole = |t: &Token| matches!(t.kind, TokenKind::Stem | TokenKind::Run | TokenKind::Counter);
        if tokens.iter().any(|t| whole(t) && self.frequencies.contains_key(&term(t))) {
            return true;
        }
        let all = tokens.iter().filter(|t| !whole(t)).all(|t| {
            bigrams += 1;
            self.frequencies.contains_key(&term(t))
        });
        all && bigrams > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const APPS: [(&str, &str, &str); 4] = [
        ("민원 답변 근거 찾기", "민원에 답할 때 쓸 조항과 사례를 찾는다.", "민원 내용과 관련된 조례를 찾는다."),
        ("보도자료 초안", "행사와 사업을 알리는 보도자료를 쓴다.", "제목과 본문을 쓴다."),
        ("공문서 형식 점검", "공문서가 규정에 맞는지 점검한다.", "항목 번호와 날짜를 본다."),
        ("회의 건의사항 정리", "회의록에서 건의사항을 뽑아 표로 만든다.", "부서와 기한을 적는다."),
    ];

    fn best(query: &str) -> Vec<&'static str> {
        let rests: Vec<[&str; 1]> = APPS.iter().map(|a| [a.2]).collect();
        let words: Vec<AppWords<'_>> =
            APPS.iter().zip(&rests).map(|(a, r)| AppWords { title: a.0, purpose: a.1, rest: r }).collect();
        rank(query, &words).into_iter().map(|m| APPS[m.index].0).collect()
    }

    #[test]
    fn a_task_in_everyday_words_finds_its_app() {
        assert_eq!(best("민원 답변")[0], "민원 답변 근거 찾기");
        assert_eq!(best("민원답변에 쓸 근거를 찾아 줘")[0], "민원 답변 근거 찾기");
        assert_eq!(best("보도자료를 써 주세요")[0], "보도자료 초안");
        assert_eq!(best("회의에서 나온 건의사항을 정리하고 싶어요")[0], "회의 건의사항 정리");
    }

    #[test]
    fn nothing_in_common_is_nothing() {
        assert_eq!(best("우주정거장 왕복선 좌석 요금표"), Vec::<&str>::new());
        assert_eq!(best(""), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn shares_stay_shares(query in "\\PC{0,80}") {
            let app = AppWords { title: "민원 답변", purpose: "조례를 찾는다", rest: &["2026년 AI"] };
            for m in rank(&query, &[app]) {
                prop_assert!(m.score.is_finite() && (0.0..=1.0).contains(&m.coverage));
            }
        }
    }
}

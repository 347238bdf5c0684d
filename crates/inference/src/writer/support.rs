//! Does a sentence stand in the sources? By its words and, strictly, by its figures and dates. A sign for the reader,
//! no proof: it finds invented figures and sentences about something else, not a wrong "not".

use super::figures::Figures;
use madang_domain::Passage;
use madang_korean::dates::find_dates;
use madang_korean::{content_words, normalise, sentences};
use std::ops::Range;

/// Share of a sentence's content words that its cited passages must bear.
const CITED: f32 = 0.5;
/// The same for a passage that the sentence does not name.
const FOUND: f32 = 0.7;
/// Weight of a word that only begins like one of the source: verbs and compounds are inflected and spaced at will.
const BEGINNING: f32 = 0.6;

/// Stands behind a sentence without support, in emphasis.
pub const UNSUPPORTED: &str = "⚠ 근거 없음";
/// Stands before the figures that no source holds.
pub const UNSUPPORTED_FIGURES: &str = "⚠ 근거에 없는 수치";

/// How a sentence came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// Claims nothing that a source could hold.
    NoClaim,
    /// Stands in the reader's own text.
    Own,
    /// Stands in these passages (indices of the task's), each with the characters that say so.
    Passages(Vec<(usize, Range<usize>)>),
    /// Stands nowhere; the figures that are missing, as written.
    Unsupported { cited: Vec<(usize, Range<usize>)>, figures: Vec<String> },
}

impl Verdict {
    /// What is added behind the sentence; empty for one with support.
    pub fn warning(&self) -> String {
        match self {
            Verdict::Unsupported { figures, .. } if figures.is_empty() => format!(" _({UNSUPPORTED})_"),
            Verdict::Unsupported { figures, .. } => format!(" _({UNSUPPORTED_FIGURES}: {})_", figures.join(", ")),
            _ => String::new(),
        }
    }
}

/// A source made comparable.
struct Source {
    text: String,
    /// Normalised, without spaces; title and headings included.
    flat: String,
    figures: Figures,
}

impl Source {
    fn of(text: &str, above: &str) -> Self {
        let whole = format!("{above}\n{text}");
        Self { text: text.to_owned(), flat: flat(&whole), figures: Figures::of(&whole) }
    }
}

/// Everything that an answer may rest on.
pub(super) struct Sources {
    passages: Vec<Source>,
    /// The pasted text.
    own: Option<Source>,
    /// Figures of all inputs: what the reader said may be said again.
    given: Figures,
}

/// A sentence made comparable.
struct Claim {
    text: String,
    words: Vec<String>,
    figures: Figures,
}

impl Sources {
    /// `inputs` are all that the reader typed, `pasted` the text among it that is worked on.
    pub fn of(passages: &[Passage], pasted: Option<&str>, inputs: &str) -> Self {
        let source = |p: &Passage| Source::of(&p.text, &format!("{} {}", p.document_title, p.heading_path.join(" ")));
        Self {
            passages: passages.iter().map(source).collect(),
            own: pasted.map(|text| Source::of(text, "")),
            given: Figures::of(inputs),
        }
    }

    /// Judges a sentence (without its marks) that names the passages `cited`. Passages that say the same and are not
    /// named serve as well: a small model names the wrong number at times.
    pub fn judge(&self, sentence: &str, cited: &[usize]) -> Verdict {
        let claim = Claim::of(sentence);
        if claim.words.is_empty() && claim.figures.is_empty() {
            return if cited.is_empty() { Verdict::NoClaim } else { Verdict::Passages(self.places(&claim, cited)) };
        }
        let named: Vec<&Source> = cited.iter().filter_map(|i| self.passages.get(*i)).collect();
        if !named.is_empty() && self.holds(&claim, &named, CITED) {
            return Verdict::Passages(self.places(&claim, cited));
        }
        let own = self.own.as_ref().is_some_and(|own| self.holds(&claim, &[own], CITED));
        if own {
            return Verdict::Own;
        }
        let other = self.passages.iter().position(|source| self.holds(&claim, &[source], FOUND));
        if let Some(found) = other {
            return Verdict::Passages(self.places(&claim, &[found]));
        }
        let mut all = named;
        all.extend(&self.own);
        let figures = self.missing(&claim, &all);
        Verdict::Unsupported { cited: self.places(&claim, cited), figures }
    }

    /// Figures of a sentence that neither the pasted text nor the inputs hold: all that is checked where the words are
    /// another language's.
    pub fn foreign_figures(&self, sentence: &str) -> Vec<String> {
        let own = self.own.as_ref().map(|o| &o.figures);
        let known: Vec<&Figures> = own.into_iter().chain([&self.given]).collect();
        Figures::of(sentence).missing(&known).iter().map(|f| f.written.clone()).collect()
    }

    /// Words of a question that no passage bears.
    pub fn missing_words(&self, question: &str) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for word in content_words(question) {
            if !out.contains(&word) && !self.passages.iter().any(|p| bears(&p.flat, &word) > 0.0) {
                out.push(word);
            }
        }
        out
    }

    fn holds(&self, claim: &Claim, sources: &[&Source], least: f32) -> bool {
        claim.coverage(sources) >= least && self.missing(claim, sources).is_empty()
    }

    /// Figures, then dates as a whole, that stand neither in `sources` nor in what the reader typed.
    fn missing(&self, claim: &Claim, sources: &[&Source]) -> Vec<String> {
        let mut known: Vec<&Figures> = sources.iter().map(|s| &s.figures).collect();
        known.push(&self.given);
        let mut out: Vec<String> = claim.figures.missing(&known).iter().map(|f| f.written.clone()).collect();
        for date in find_dates(&claim.text, None) {
            // Day and month may each stand in the source, of different dates.
            let year = Some(date.value.year());
            let stands = |s: &&Source| {
                let dates = find_dates(&s.text, year);
                // A source that writes its dates in a way of its own ("3.~11.") is judged by the figures.
                dates.is_empty() || dates.iter().any(|d| d.value == date.value)
            };
            let written = claim.text.get(date.range).unwrap_or_default().to_owned();
            if out.is_empty() && !sources.is_empty() && !sources.iter().any(stands) {
                out.push(written);
            }
        }
        out
    }

    /// Of each passage the sentence that bears most of the claim, in characters of its text; the whole where none does.
    fn places(&self, claim: &Claim, cited: &[usize]) -> Vec<(usize, Range<usize>)> {
        let place = |i: &usize| {
            let source = self.passages.get(*i)?;
            let best = sentences(&source.text)
                .into_iter()
                .filter_map(|range| {
                    let text = source.text.get(range.clone())?;
                    let figures = Figures::of(text);
                    let shared = claim.figures.len() - claim.figures.missing(&[&figures]).len();
                    let flat = flat(text);
                    let words: f32 = claim.words.iter().map(|w| bears(&flat, w)).sum();
                    Some((words + 3.0 * shared as f32, range))
                })
                .filter(|(score, _)| *score > 0.0)
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.start.cmp(&a.1.start)));
            let chars = |to: usize| source.text.get(..to).map_or(0, |t| t.chars().count());
            let span = best.map_or(0..source.text.chars().count(), |(_, r)| chars(r.start)..chars(r.end));
            Some((*i, span))
        };
        cited.iter().filter_map(place).collect()
    }
}

impl Claim {
    fn of(sentence: &str) -> Self {
        let text = madang_korean::without_marker(sentence).replace("**", "");
        let mut words: Vec<String> = Vec::new();
        for word in content_words(&text) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Self { figures: Figures::of(&text), words, text }
    }

    /// Share of the words that the sources together bear; 1 for a sentence of figures alone.
    fn coverage(&self, sources: &[&Source]) -> f32 {
        if self.words.is_empty() {
            return 1.0;
        }
        let best = |w: &String| sources.iter().map(|s| bears(&s.flat, w)).fold(0.0, f32::max);
        self.words.iter().map(best).sum::<f32>() / self.words.len() as f32
    }
}

/// 1 where the word stands in the text, less where only its beginning does.
fn bears(flat: &str, word: &str) -> f32 {
    if flat.contains(word) {
        return 1.0;
    }
    let n = word.chars().count();
    let beginning: String = word.chars().take((n - n / 3).max(2)).collect();
    if n > 2 && flat.contains(&beginning) { BEGINNING } else { 0.0 }
}

fn flat(text: &str) -> String {
    normalise(text).chars().filter(|c| !c.is_whitespace()).collect()
}

/// Does the sentence only say that something is not in the sources?
pub(super) fn says_nothing_found(sentence: &str) -> bool {
    let flat = flat(sentence);
    [
        "찾지못했",
        "찾을수없",
        "찾지못하",
        "자료에없",
        "자료에는없",
        "글에없",
        "확인할수없",
        "확인되지않",
        "나와있지않",
        "나오지않",
        "명시되어있지않",
        "언급되어있지않",
        "언급이없",
        "언급되지않",
        "정보가없",
        "내용이없",
    ]
    .iter()
    .any(|w| flat.contains(w))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::passage;
    use super::*;

    const PLAN: &str = "1. 경로당 화상 수업\n□ 사업개요\n- 사업기간: 2026. 3.~11.\n- 대상: 경로당 50개소\n□ 소요예산\n- 운영비 63백만 원(시비)\n□ 기대효과\n- 어르신의 건강 증진을 기대한다.";

    fn sources() -> Sources {
        let fees =
            passage("여권 안내", "여권 재발급 수수료는 53,000원이다. 접수는 2026년 5월 3일과 2026년 6월 9일에 한다.");
        Sources::of(&[passage("복지 계획", PLAN), fees], None, "2025년과 견주면?")
    }

    #[test]
    fn supported_sentences_name_the_words_that_say_so() {
        let verdict = sources().judge("경로당 화상 수업의 운영비는 6,300만 원입니다.", &[0]);
        let Verdict::Passages(places) = verdict else { panic!("{verdict:?}") };
        let quote: String = PLAN.chars().skip(places[0].1.start).take(places[0].1.len()).collect();
        assert_eq!((places[0].0, quote.as_str()), (0, "- 운영비 63백만 원(시비)"));
    }

    #[test]
    fn figures_and_dates_decide() {
        let unsupported = |sentence: &str, cited: &[usize]| match sources().judge(sentence, cited) {
            Verdict::Unsupported { figures, .. } => figures,
            other => panic!("{sentence}: {other:?}"),
        };
        assert_eq!(unsupported("경로당 운영비는 63억 원입니다.", &[0]), ["63억"]);
        assert_eq!(unsupported("여권 접수는 2026년 5월 9일에 합니다.", &[1]), ["2026년 5월 9일"]);
        assert_eq!(unsupported("도서관은 밤에도 문을 엽니다.", &[0]), Vec::<String>::new());
        assert_eq!(sources().judge("도서관은 밤에도 문을 엽니다.", &[0]).warning(), " _(⚠ 근거 없음)_");
        // The reader's own figure may be said again.
        assert!(matches!(sources().judge("2025년 여권 재발급 수수료는 53,000원입니다.", &[1]), Verdict::Passages(_)));
    }

    #[test]
    fn a_wrong_number_is_put_right_and_small_talk_claims_nothing() {
        let verdict = sources().judge("여권 재발급 수수료는 53,000원입니다.", &[0]);
        assert!(matches!(verdict, Verdict::Passages(p) if p[0].0 == 1));
        assert_eq!(sources().judge("네, 그렇습니다.", &[]), Verdict::NoClaim);
        assert!(says_nothing_found("담당자는 자료에서 찾지 못했습니다.") && !says_nothing_found("수수료는 없습니다."));
    }
}

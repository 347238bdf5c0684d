//! What the detector says of a text, cut into pieces for a screen: what stands where, what would happen to it, page by
//! page. Keeps nothing; who may look is decided by the caller.

use madang_domain::Grade;
use madang_gateway::Inspector;
use madang_pii::{Action, Finding, Kind, Marking, Report};
use serde::Serialize;
use std::collections::BTreeMap;

/// Whose names a screen may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Words of the body's dictionary are told as its kind alone.
    Kinds,
    /// With the names of its rules, for those who edit it.
    Rules,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub struct PageAt {
    /// First character.
    pub offset: usize,
    /// 1-based; `None` where the format knows no pages.
    pub number: Option<u32>,
}

/// A text, looked through.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// The strictest action of all findings.
    pub action: Action,
    /// Grade that the markings ask for at least.
    pub grade: Grade,
    pub counts: Vec<Count>,
    pub markings: Vec<MarkingAt>,
    /// Of a document with several pages, those alone on which something was found.
    pub pages: Vec<LookedPage>,
    /// All pages, also those that are left out.
    pub page_count: usize,
    /// The whole text as it would leave.
    pub masked: String,
}

/// How often something was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Korean name of the kind, or of the rule.
    pub kind: String,
    pub action: Action,
    pub count: usize,
}

/// A marking that raises the grade.
#[derive(Debug, Serialize)]
pub struct MarkingAt {
    pub word: String,
    pub grade: Grade,
    /// Korean: why it counts as one.
    pub reason: String,
    pub page: Option<u32>,
}

/// A page in pieces.
#[derive(Debug, Serialize)]
pub struct LookedPage {
    pub number: Option<u32>,
    pub pieces: Vec<Piece>,
}

/// A run of characters that are alike.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    pub text: String,
    /// Name of what was found here; `None` for plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The grade that a marking here asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
}

/// Looks through a text whose pages begin at `pages` (in order; empty: one page without a number).
pub fn look(text: &str, inspector: &Inspector, pages: &[PageAt], names: Names) -> Looked {
    let report = inspector.scan(text);
    let characters: Vec<char> = text.chars().collect();
    let spans = spans(&report, names);
    let pages = if pages.is_empty() { &[PageAt { offset: 0, number: None }] } else { pages };
    let page_of = |at: usize| pages.iter().take_while(|p| p.offset <= at).last().and_then(|p| p.number);
    let markings = report.markings.iter().map(|m| MarkingAt {
        word: m.word.clone(),
        grade: m.grade,
        reason: m.reason.clone(),
        page: page_of(m.start),
    });
    let ends = pages.iter().skip(1).map(|p| p.offset).chain([characters.len()]);
    let cut = pages.iter().zip(ends).enumerate().map(|(i, (page, end))| {
        // What stands before the first page belongs to it.
        let start = if i == 0 { 0 } else { page.offset };
        LookedPage { number: page.number, pieces: pieces(&characters, &spans, start, end) }
    });
    let cut: Vec<LookedPage> = cut.collect();
    let page_count = cut.len();
    let found = |page: &LookedPage| page.pieces.iter().any(|p| p.kind.is_some());
    Looked {
        action: report.action,
        grade: report.raised_grade(),
        counts: counts(&report.findings, names),
        markings: markings.collect(),
        pages: cut.into_iter().filter(|page| page_count == 1 || found(page)).collect(),
        page_count,
        masked: inspector.masked(text),
    }
}

fn name(finding: &Finding, names: Names) -> String {
    match (&finding.rule, names) {
        (Some(rule), Names::Rules) if finding.kind == Kind::Custom => rule.clone(),
        (Some(rule), Names::Rules) => format!("{} · {rule}", finding.kind.korean()),
        _ => finding.kind.korean().to_owned(),
    }
}

/// Strictest first, then by how often.
fn counts(findings: &[Finding], names: Names) -> Vec<Count> {
    let mut by_kind: BTreeMap<(Action, String), usize> = BTreeMap::new();
    for finding in findings {
        *by_kind.entry((finding.action, name(finding, names))).or_default() += 1;
    }
    let mut counts: Vec<Count> =
        by_kind.into_iter().map(|((action, kind), count)| Count { kind, action, count }).collect();
    counts.sort_by(|a, b| b.action.cmp(&a.action).then(b.count.cmp(&a.count)));
    counts
}

struct Shown {
    start: usize,
    end: usize,
    kind: String,
    action: Option<Action>,
    grade: Option<Grade>,
}

/// Findings and markings in order; a marking that meets a finding gives it its grade.
fn spans(report: &Report, names: Names) -> Vec<Shown> {
    let mut spans: Vec<Shown> = report
        .findings
        .iter()
        .map(|f| Shown { start: f.start, end: f.end, kind: name(f, names), action: Some(f.action), grade: None })
        .collect();
    let mut alone: Vec<&Marking> = Vec::new();
    for marking in &report.markings {
        let first = spans.partition_point(|s| s.end <= marking.start);
        match spans.get_mut(first).filter(|s| s.start < marking.end) {
            Some(span) => span.grade = span.grade.max(Some(marking.grade)),
            None => alone.push(marking),
        }
    }
    spans.extend(alone.into_iter().map(|m| Shown {
        start: m.start,
        end: m.end,
        kind: m.word.clone(),
        action: None,
        grade: Some(m.grade),
    }));
    spans.sort_by_key(|s| s.start);
    spans
}

/// The characters from `start` to `end` in pieces; spans over the edge are cut there.
fn pieces(characters: &[char], spans: &[Shown], start: usize, end: usize) -> Vec<Piece> {
    let text = |from: usize, to: usize| -> String { characters.get(from..to).unwrap_or_default().iter().collect() };
    let mut out = Vec::new();
    let mut at = start;
    let plain = |from: usize, to: usize, out: &mut Vec<Piece>| {
        if from < to {
            out.push(Piece { text: text(from, to), kind: None, action: None, grade: None });
        }
    };
    for span in spans.iter().filter(|s| s.end > start && s.start < end) {
        let (from, to) = (span.start.max(at), span.end.min(end));
        plain(at, from, &mut out);
        if from < to {
            let kind = Some(span.kind.clone());
            out.push(Piece { text: text(from, to), kind, action: span.action, grade: span.grade });
        }
        at = at.max(to);
    }
    plain(at, end, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_pii::Rules;
    use proptest::prelude::*;

    fn inspector() -> Inspector {
        let toml = "[[rule]]\nname = \"비공개 사업\"\nterms = [\"한울 신도시\"]\naction = \"grade_s\"\n";
        Inspector::new(Rules::from_toml(toml).unwrap_or_default(), 1)
    }

    fn page(offset: usize, number: u32) -> PageAt {
        PageAt { offset, number: Some(number) }
    }

    #[test]
    fn pieces_tell_kind_action_and_grade() {
        let looked = look("[대외비] 담당 010-1234-5678", &inspector(), &[], Names::Kinds);
        let piece = |text: &str, kind: Option<&str>, action, grade| Piece {
            text: text.into(),
            kind: kind.map(str::to_owned),
            action,
            grade,
        };
        let expected = [
            piece("[", None, None, None),
            piece("대외비", Some("대외비"), None, Some(Grade::Classified)),
            piece("] 담당 ", None, None, None),
            piece("010-1234-5678", Some("전화번호"), Some(Action::Mask), None),
        ];
        assert_eq!(looked.pages[0].pieces, expected);
        assert_eq!((looked.grade, looked.action), (Grade::Classified, Action::Mask));
        assert_eq!(looked.masked, "[대외비] 담당 [전화번호-1]");
        assert_eq!(looked.counts, [Count { kind: "전화번호".into(), action: Action::Mask, count: 1 }]);
    }

    #[test]
    fn rules_are_named_for_their_officers_alone() {
        let named = |names| look("한울신도시 계획", &inspector(), &[], names).pages[0].pieces[0].kind.clone();
        assert_eq!(named(Names::Kinds).as_deref(), Some("등록어"));
        assert_eq!(named(Names::Rules).as_deref(), Some("비공개 사업"));
        assert_eq!(look("한울신도시", &inspector(), &[], Names::Kinds).grade, Grade::Sensitive);
    }

    #[test]
    fn pages_without_finds_are_left_out_and_what_lies_over_the_edge_is_found() {
        let text = "첫 쪽\n둘째 쪽 900101-1970000 끝\n셋째";
        let looked = look(text, &inspector(), &[page(0, 1), page(4, 2), page(15, 3), page(25, 4)], Names::Kinds);
        let numbers: Vec<_> = looked.pages.iter().map(|p| p.number).collect();
        assert_eq!((numbers, looked.page_count), (vec![Some(2), Some(3)], 4));
        assert_eq!(looked.counts[0].count, 1);
    }

    proptest! {
        #[test]
        fn nothing_of_the_text_is_lost(text in r"[가-힣 0-9\-\n]{0,60}(대외비|010-1234-5678|한울 신도시)?[가-힣 ()\n]{0,20}", at in 0usize..40) {
            let at = at.min(text.chars().count());
            let whole = look(&text, &inspector(), &[], Names::Kinds);
            let joined: String = whole.pages.iter().flat_map(|p| &p.pieces).map(|p| p.text.as_str()).collect();
            prop_assert_eq!(&joined, &text);
            let spans = spans(&inspector().scan(&text), Names::Kinds);
            let characters: Vec<char> = text.chars().collect();
            let halves = [pieces(&characters, &spans, 0, at), pieces(&characters, &spans, at, characters.len())];
            let cut: String = halves.iter().flatten().map(|p| p.text.as_str()).collect();
            prop_assert_eq!(cut, text);
        }
    }
}

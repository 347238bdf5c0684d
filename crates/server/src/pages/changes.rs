//! A sheet's sentences with what changed in them, as the pages show it. The comparison itself is `registry::diff`'s.

use crate::views::store::SentenceChange;
use madang_domain::DesignSheet;
use madang_registry::diff::{self, ChangeKind, SheetChange, SheetPart};

/// All sentences of `new`, those that changed since `old` marked, and below them changes of the other parts. Without
/// `old` the sentences alone.
pub fn with_sentences(old: Option<&DesignSheet>, new: &DesignSheet) -> Vec<SentenceChange> {
    let changes = old.map(|old| diff::sentences(old, new)).unwrap_or_default();
    let mut out = sentences(&changes, old, new);
    out.extend(changes.iter().filter(|c| c.part != SheetPart::Sentence).flat_map(both_sides));
    out
}

/// What changed from `old` to `new` and nothing else.
pub fn only(old: &DesignSheet, new: &DesignSheet) -> Vec<SentenceChange> {
    diff::sentences(old, new).iter().flat_map(both_sides).collect()
}

fn sentences(changes: &[SheetChange], old: Option<&DesignSheet>, new: &DesignSheet) -> Vec<SentenceChange> {
    let of = |kind: ChangeKind, number: usize| {
        changes.iter().find(|c| c.part == SheetPart::Sentence && c.kind == kind && c.number == Some(number))
    };
    let mut out = Vec::new();
    // Next sentence of the old sheet, from 1: a removed one is shown where it stood.
    let mut at = 1;
    let removed_here = |at: &mut usize, out: &mut Vec<SentenceChange>| {
        while let Some(gone) = of(ChangeKind::Removed, *at) {
            out.extend(both_sides(gone));
            *at += 1;
        }
    };
    for (i, sentence) in new.sentences.iter().enumerate() {
        if let Some(added) = of(ChangeKind::Added, i + 1) {
            out.extend(both_sides(added));
            continue;
        }
        removed_here(&mut at, &mut out);
        match of(ChangeKind::Changed, i + 1) {
            Some(changed) => out.extend(both_sides(changed)),
            None => out.push(SentenceChange { kind: "same", text: sentence.text.clone() }),
        }
        at += 1;
    }
    if old.is_some() {
        removed_here(&mut at, &mut out);
    }
    out
}

/// What went and what came; parts other than sentences by their name.
fn both_sides(change: &SheetChange) -> Vec<SentenceChange> {
    let words = |text: &String| match change.part {
        SheetPart::Sentence => text.clone(),
        part => format!("{}: {text}", part.korean()),
    };
    let gone = change.old.as_ref().map(|t| SentenceChange { kind: "removed", text: words(t) });
    let come = change.new.as_ref().map(|t| SentenceChange { kind: "added", text: words(t) });
    gone.into_iter().chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{OutputForm, OutsideCalls, Sentence, Source, TaskKind};

    fn sheet(sentences: &[&str]) -> DesignSheet {
        DesignSheet {
            title: "조례".into(),
            purpose: "조례를 찾는다.".into(),
            task: TaskKind::QuestionAnswering,
            sentences: sentences.iter().map(|t| Sentence { text: (*t).into(), guessed: false }).collect(),
            inputs: vec![],
            sources: vec![Source::Readable],
            output: OutputForm::Answer,
            schedule: None,
            outside: OutsideCalls::Never,
        }
    }

    fn shown(old: Option<&DesignSheet>, new: &DesignSheet) -> Vec<String> {
        let sign = |kind: &str| match kind {
            "added" => "+",
            "removed" => "-",
            _ => " ",
        };
        with_sentences(old, new).iter().map(|c| format!("{}{}", sign(c.kind), c.text)).collect()
    }

    #[test]
    fn a_first_version_shows_its_sentences() {
        assert_eq!(shown(None, &sheet(&["찾는다.", "답한다."])), [" 찾는다.", " 답한다."]);
    }

    #[test]
    fn every_sentence_of_both_sides_stands_once() {
        let old = sheet(&["근거를 찾는다.", "세 문장 이내로 답한다.", "쪽수를 적는다.", "끝에 인사한다."]);
        let mut new = sheet(&["근거를 찾는다.", "다섯 문장 이내로 답한다.", "개인정보는 가린다."]);
        new.outside = OutsideCalls::Ask;
        let lines = shown(Some(&old), &new);
        assert_eq!(lines.iter().filter(|l| l.starts_with(' ')).count(), 1, "{lines:?}");
        for text in ["세 문장 이내로 답한다.", "쪽수를 적는다.", "끝에 인사한다."] {
            assert_eq!(lines.iter().filter(|l| **l == format!("-{text}")).count(), 1, "{text} in {lines:?}");
        }
        for text in ["다섯 문장 이내로 답한다.", "개인정보는 가린다."] {
            assert_eq!(lines.iter().filter(|l| **l == format!("+{text}")).count(), 1, "{text} in {lines:?}");
        }
        assert!(lines.last().is_some_and(|l| l.starts_with("+외부호출: ")), "{lines:?}");
    }

    #[test]
    fn only_changes() {
        let old = sheet(&["근거를 찾는다.", "세 문장 이내로 답한다."]);
        let new = sheet(&["근거를 찾는다.", "다섯 문장 이내로 답한다."]);
        assert_eq!(only(&old, &new).len(), 2);
        assert!(only(&old, &old).is_empty());
    }
}

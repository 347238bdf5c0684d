//! The leak test of a design sheet: personal identifiers and grade markings in the sheet's own words, which everybody
//! who sees the app in the store will read.
//!
//! Only the sheet is looked at. What its sources hold never travels with it: a run has its reader's rights.

use madang_domain::{DesignSheet, FieldKind, OutputForm, Source};
use madang_korean::normalise;
use madang_pii::{Action, Kind};
use serde::Serialize;

/// Words that mark a protected document; found in a sheet they are a question to the approver, not a proof.
const MARKINGS: &[&str] = &["대외비", "급비밀", "군사기밀", "열람제한", "c등급", "s등급", "기밀등급"];

/// Something in the sheet that should not be read by everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// Where: `title`, `sentences.3`, `inputs.0.placeholder`, `sources.1`, …
    pub field: String,
    /// What, in Korean, without its value: "주민등록번호", "등급 표시 ‘대외비’".
    pub what: String,
    /// Must be taken out before the version is shared; otherwise the approver decides.
    pub refused: bool,
}

/// All leaks of a sheet, in the order in which it is read. Parts are scanned as one text, so that an identifier spread
/// over two neighbouring sentences is found too.
pub fn leaks(sheet: &DesignSheet) -> Vec<Leak> {
    let parts = parts(sheet);
    let mut text = String::new();
    let mut starts = Vec::with_capacity(parts.len());
    let mut length = 0;
    for (_, part) in &parts {
        starts.push(length);
        text.push_str(part);
        text.push('\n');
        length += part.chars().count() + 1;
    }
    let mut out: Vec<Leak> = Vec::new();
    for finding in madang_pii::scan(&text).findings.iter().filter(|f| f.action != Action::Pass) {
        let at = starts.partition_point(|start| *start <= finding.start).saturating_sub(1);
        if let Some((field, _)) = parts.get(at) {
            let refused = finding.action == Action::Block || finding.kind == Kind::Credential;
            out.push(Leak { field: field.clone(), what: finding.kind.korean().to_owned(), refused });
        }
    }
    for (field, part) in &parts {
        let squeezed: String = normalise(part).chars().filter(|c| !c.is_whitespace()).collect();
        for marking in MARKINGS.iter().filter(|m| squeezed.contains(**m)) {
            out.push(Leak { field: field.clone(), what: format!("등급 표시 ‘{marking}’"), refused: false });
        }
    }
    let place = |leak: &Leak| parts.iter().position(|(field, _)| *field == leak.field);
    out.sort_by_key(place);
    out.dedup();
    out
}

/// Every word of the sheet that a reader of the store sees, with its place.
fn parts(sheet: &DesignSheet) -> Vec<(String, &str)> {
    let mut out: Vec<(String, &str)> = vec![("title".into(), &sheet.title), ("purpose".into(), &sheet.purpose)];
    out.extend(sheet.sentences.iter().enumerate().map(|(i, s)| (format!("sentences.{i}"), s.text.as_str())));
    for (i, input) in sheet.inputs.iter().enumerate() {
        out.push((format!("inputs.{i}.label"), &input.label));
        out.push((format!("inputs.{i}.placeholder"), &input.placeholder));
        if let FieldKind::Choice { options } = &input.kind {
            out.extend(options.iter().map(|o| (format!("inputs.{i}.kind"), o.as_str())));
        }
    }
    for (i, source) in sheet.sources.iter().enumerate() {
        if let Source::Collection { name, .. } = source {
            out.push((format!("sources.{i}"), name));
        }
    }
    let listed = match &sheet.output {
        OutputForm::Table { columns } => columns.as_slice(),
        OutputForm::Draft { sections } => sections.as_slice(),
        OutputForm::Label { classes } => classes.as_slice(),
        OutputForm::Answer | OutputForm::Bullets | OutputForm::Checklist => &[],
    };
    out.extend(listed.iter().map(|l| ("output".to_owned(), l.as_str())));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{OutsideCalls, Sentence, TaskKind};

    fn sheet(sentences: &[&str]) -> DesignSheet {
        DesignSheet {
            title: "민원 답변 근거".into(),
            purpose: "민원 답변에 쓸 근거를 찾는다.".into(),
            task: TaskKind::QuestionAnswering,
            sentences: sentences.iter().map(|t| Sentence { text: (*t).into(), guessed: false }).collect(),
            inputs: vec![],
            sources: vec![Source::Readable],
            output: OutputForm::Answer,
            schedule: None,
            outside: OutsideCalls::Never,
        }
    }

    #[test]
    fn words_about_identifiers_are_no_leak() {
        assert_eq!(leaks(&sheet(&["주민등록번호와 전화번호는 가린다.", "근거가 없으면 없다고 답한다."])), vec![]);
    }

    #[test]
    fn identifiers_are_found_with_their_place_and_without_their_value() {
        let found = leaks(&sheet(&["근거를 찾는다.", "예: 900101-1970000", "문의는 010-0000-1234로 받는다."]));
        let seen: Vec<_> = found.iter().map(|l| (l.field.as_str(), l.what.as_str(), l.refused)).collect();
        assert_eq!(seen, [("sentences.1", "주민등록번호", true), ("sentences.2", "전화번호", false)]);
    }

    #[test]
    fn an_identifier_over_two_sentences_is_found() {
        let found = leaks(&sheet(&["신청인은 900101-", "1970000 이다."]));
        assert!(found.iter().any(|l| l.refused && l.what == "주민등록번호"), "{found:?}");
    }

    #[test]
    fn markings_ask_the_approver() {
        let found = leaks(&sheet(&["대 외 비 문서를 요약한다."]));
        assert_eq!(found, [Leak { field: "sentences.0".into(), what: "등급 표시 ‘대외비’".into(), refused: false }]);
    }
}

//! What a run would ask of an outside model: the sheet's instructions, the inputs and the cited passages as parts of a
//! prompt, with the place of each section, so that a finding can be named by where it stands. Decides nothing.

use crate::envelope::{PartRole, Place, PromptPart, Where};
use madang_domain::{DesignSheet, OutputForm, Passage};
use madang_store::runs::RunInput;
use std::ops::Range;

/// The parts of a prompt and where their sections lie.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    pub parts: Vec<PromptPart>,
    /// Part, characters of it, Korean name of the section.
    sections: Vec<(usize, Range<usize>, String)>,
}

/// Writes the prompt of a run. `passages` carry the numbers of their citations.
pub fn of_run(sheet: &DesignSheet, inputs: &[RunInput], passages: &[(u32, Passage)]) -> Prompt {
    let mut system = Writer::default();
    system.section(
        "앱의 이름과 목적",
        &format!("당신은 대한민국 공공기관의 업무를 돕습니다.\n일: {}\n목적: {}\n", sheet.title, sheet.purpose),
    );
    system.plain("\n지시:\n");
    for (i, sentence) in sheet.sentences.iter().enumerate() {
        system.section(&format!("설계서 {}번 문장", i + 1), &format!("{}. {}\n", i + 1, sentence.text));
    }
    system.plain(&format!("\n답의 형식: {}\n", form(&sheet.output)));
    system.plain("아래 자료에 있는 것만 쓰고, 쓴 자료를 [번호]로 밝히고, 자료에 없으면 없다고 쓰세요. 대괄호로 된 표시는 그대로 두세요.");
    let mut user = Writer::default();
    for input in inputs.iter().filter(|i| !i.value.trim().is_empty()) {
        user.section(&format!("입력 ‘{}’", input.label), &format!("{}: {}\n", input.label, input.value));
    }
    if !passages.is_empty() {
        user.plain("\n자료:\n");
    }
    for (number, passage) in passages {
        let heading = passage.heading_path.join(" > ");
        let text = format!("[{number}] {} {heading}\n{}\n\n", passage.document_title, passage.text);
        user.section(&format!("자료 [{number}] {}", passage.document_title), &text);
    }
    let mut prompt = Prompt::default();
    for (index, (role, writer)) in [(PartRole::System, system), (PartRole::User, user)].into_iter().enumerate() {
        prompt.sections.extend(writer.sections.into_iter().map(|(range, name)| (index, range, name)));
        prompt.parts.push(PromptPart { role, text: writer.text });
    }
    prompt
}

impl Prompt {
    /// Korean name of where a finding stands.
    pub fn place(&self, place: &Place) -> String {
        self.place_of(place.part, place.start)
    }

    /// Korean name of where a character stands.
    pub fn place_of(&self, part: Where, start: usize) -> String {
        match part {
            Where::Part(part) => self.section_at(part, start),
            Where::Purpose => "신청 목적".to_owned(),
            Where::LegalBasis => "근거 법령".to_owned(),
            Where::Body => "보낼 글 전체".to_owned(),
        }
    }

    /// Korean name of the section that holds a character of a part.
    pub fn section_at(&self, part: usize, at: usize) -> String {
        let found = self.sections.iter().find(|(p, range, _)| *p == part && range.contains(&at));
        found.map_or_else(|| "지시문".to_owned(), |(_, _, name)| name.clone())
    }
}

fn form(output: &OutputForm) -> String {
    match output {
        OutputForm::Answer => "문단".to_owned(),
        OutputForm::Bullets => "글머리표 목록".to_owned(),
        OutputForm::Table { columns } => format!("Markdown 표 (열: {})", columns.join(", ")),
        OutputForm::Draft { sections } => format!("문서 초안 (항목: {})", sections.join(", ")),
        OutputForm::Label { classes } => format!("다음 가운데 하나와 그 까닭: {}", classes.join(", ")),
        OutputForm::Checklist => "점검표 (항목, 맞음 또는 틀림, 근거)".to_owned(),
    }
}

/// Gathers text and counts its characters.
#[derive(Default)]
struct Writer {
    text: String,
    characters: usize,
    sections: Vec<(Range<usize>, String)>,
}

impl Writer {
    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        self.characters += text.chars().count();
    }

    fn section(&mut self, name: &str, text: &str) {
        let start = self.characters;
        self.plain(text);
        self.sections.push((start..self.characters, name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Header, build};
    use crate::wire::{Form, WireForm};
    use madang_domain::{Grade, Sentence, TaskKind};

    #[test]
    fn a_finding_is_named_by_its_section() {
        let sheet = DesignSheet {
            title: "시험".into(),
            purpose: "시험한다".into(),
            task: TaskKind::Summary,
            sentences: vec![Sentence { text: "두 줄로 쓴다".into(), guessed: false }],
            inputs: Vec::new(),
            sources: Vec::new(),
            output: OutputForm::Bullets,
            schedule: None,
            outside: madang_domain::OutsideCalls::Ask,
        };
        let inputs = [RunInput { key: "q".into(), label: "질문".into(), value: "900101-1970000의 민원".into() }];
        let prompt = of_run(&sheet, &inputs, &[]);
        let header = Header {
            provider: "p".into(),
            model: "m".into(),
            purpose: String::new(),
            legal_basis: String::new(),
            grade: Grade::Open,
        };
        let form = Form { wire: WireForm::Anthropic, max_output_tokens: 2048, stream: false };
        let envelope = build(&prompt.parts, header, &form, &crate::Inspector::default());
        assert_eq!(prompt.place(&envelope.blocked[0]), "입력 ‘질문’");
        assert!(prompt.parts[0].text.contains("1. 두 줄로 쓴다"));
    }
}

//! What would leave: the exact outgoing bytes, what was masked in them, and why they may not leave.
//! Built before anyone approves, never changed afterwards; sending is in `transport`.

use crate::inspect::{Inspector, MAX_PASSES, counts};
use crate::wire::Form;
use madang_domain::Grade;
use madang_pii::{Action, Finding, Kind, Masker, Report, restore};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest body that is sent, in bytes: more is a copy of documents rather than a question.
pub const MAX_BODY: usize = 1 << 20;

/// Whose words a part of the prompt is, as the provider is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartRole {
    System,
    User,
    Assistant,
}

/// One message of the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptPart {
    pub role: PartRole,
    pub text: String,
}

/// What is recorded about a call beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Name of the registered provider.
    pub provider: String,
    pub model: String,
    /// Why the official needs it. Recorded, not sent.
    pub purpose: String,
    /// The law or duty it rests on. Recorded, not sent.
    pub legal_basis: String,
    /// Highest grade among everything in the prompt; markings in its text raise it.
    pub grade: Grade,
}

/// Where an identifier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// The prompt's part of this index.
    Part(usize),
    Purpose,
    LegalBasis,
    /// The finished bytes: found only there, in how the parts came together.
    Body,
}

/// An identifier that keeps the envelope from leaving. Offsets are characters of the text as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub part: Where,
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// A marking that raises the grade of the whole. Offsets are characters of the text as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub part: Where,
    pub grade: Grade,
    pub start: usize,
    pub end: usize,
    /// The marking's word; a word of the body's own dictionary is not told.
    pub word: String,
}

/// Why an envelope cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{} 등급 자료가 들어 있어 외부로 보낼 수 없습니다. 공개(O) 등급만 보낼 수 있습니다.", .0.letter())]
    Grade(Grade),
    #[error(
        "{1} 표시가 있어 이 글은 {letter} 등급입니다. 외부로는 공개(O) 등급만 보낼 수 있으니, 그 자료나 문장을 빼고 다시 시도해 주세요.",
        letter = .0.letter()
    )]
    Marked(Grade, String),
    #[error("외부로 보낼 수 없는 정보가 {}곳 있습니다({}). 지우고 다시 시도해 주세요.", .0.len(), kinds(.0))]
    Identifiers(Vec<Place>),
    #[error("보낼 내용이 너무 깁니다({0}바이트). 1MiB보다 짧게 줄여 주세요.")]
    TooLong(usize),
}

fn kinds(places: &[Place]) -> String {
    let names: std::collections::BTreeSet<Kind> = places.iter().map(|p| p.kind).collect();
    names.into_iter().map(Kind::korean).collect::<Vec<_>>().join(", ")
}

/// A call as it would leave. Holds, in `tokens`, the words that were masked: store it only sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    #[serde(flatten)]
    pub header: Header,
    /// The exact outgoing JSON. Identifiers that block are replaced here too, so that it can be shown.
    #[serde(with = "text_bytes")]
    pub body: Vec<u8>,
    /// Something was masked.
    pub masked: bool,
    /// How many of each kind were found, what passes included; never the values. Rules of the body's own dictionary are
    /// named `custom:…`.
    pub findings: BTreeMap<String, usize>,
    /// Markings in the text that raised the grade.
    pub raised: Vec<Raised>,
    /// What keeps it from leaving; empty when nothing does.
    pub blocked: Vec<Place>,
    /// Each token in `body` with the words it stands for, to put them back into the reply.
    pub tokens: Vec<(String, String)>,
    /// The detector that inspected it.
    pub detector: String,
}

impl Envelope {
    /// Nothing found, and nothing about the grade, keeps it from leaving. Ask again right before sending.
    ///
    /// # Errors
    /// The first [`Refusal`], for the official to read.
    pub fn sendable(&self) -> Result<(), Refusal> {
        if self.header.grade > Grade::Open {
            return Err(Refusal::Grade(self.header.grade));
        }
        if !self.blocked.is_empty() {
            return Err(Refusal::Identifiers(self.blocked.clone()));
        }
        if self.body.len() > MAX_BODY {
            return Err(Refusal::TooLong(self.body.len()));
        }
        Ok(())
    }

    /// The reply with the masked words put back, for the official's eyes alone.
    pub fn restore(&self, reply: &str) -> String {
        restore(reply, &self.tokens)
    }
}

/// Inspects and masks the parts, writes the outgoing bytes in the provider's form, and inspects those again.
pub fn build(parts: &[PromptPart], mut header: Header, form: &Form, inspector: &Inspector) -> Envelope {
    let mut inspection = Inspection::new(inspector);
    parts.iter().for_each(|part| inspection.masker.reserve(&part.text));
    let messages: Vec<(PartRole, String)> =
        parts.iter().enumerate().map(|(i, part)| (part.role, inspection.part(i, &part.text))).collect();
    // Both stay in the record for years: what may not leave may not stand in them either.
    inspection.note(Where::Purpose, &inspector.scan(&header.purpose));
    inspection.note(Where::LegalBasis, &inspector.scan(&header.legal_basis));
    let body = form.body(&header.model, &messages);
    inspection.rescan(&body);
    let tokens = inspection.tokens();
    header.grade = Grade::highest(inspection.raised.iter().map(|r| r.grade).chain([header.grade]));
    Envelope {
        masked: !tokens.is_empty(),
        header,
        body,
        findings: inspection.findings,
        raised: inspection.raised,
        blocked: inspection.blocked,
        tokens,
        detector: inspector.detector(),
    }
}

struct Inspection<'i> {
    inspector: &'i Inspector,
    masker: Masker,
    findings: BTreeMap<String, usize>,
    raised: Vec<Raised>,
    blocked: Vec<Place>,
}

impl<'i> Inspection<'i> {
    fn new(inspector: &'i Inspector) -> Self {
        let (findings, raised, blocked) = Default::default();
        Inspection { inspector, masker: Masker::new(), findings, raised, blocked }
    }

    /// The part with everything masked.
    fn part(&mut self, index: usize, text: &str) -> String {
        let mut text = text.to_string();
        for pass in 0..MAX_PASSES {
            let report = self.inspector.scan(&text);
            if pass == 0 {
                self.note(Where::Part(index), &report);
            }
            if report.action == Action::Pass {
                break;
            }
            text = self.masker.mask(&text, &report);
        }
        text
    }

    fn note(&mut self, part: Where, report: &Report) {
        for (kind, n) in counts(&report.findings) {
            *self.findings.entry(kind).or_default() += n;
        }
        self.raise(part, report);
        self.block(part, report.findings.iter().filter(|f| f.action == Action::Block));
    }

    fn raise(&mut self, part: Where, report: &Report) {
        self.raised.extend(report.markings.iter().map(|m| Raised {
            part,
            grade: m.grade,
            start: m.start,
            end: m.end,
            word: m.word.clone(),
        }));
    }

    fn block<'a>(&mut self, part: Where, findings: impl Iterator<Item = &'a Finding>) {
        self.blocked.extend(findings.map(|f| Place { part, kind: f.kind, start: f.start, end: f.end }));
    }

    /// Whatever is still found in the finished bytes blocks, since nothing masks it any more.
    fn rescan(&mut self, body: &[u8]) {
        let report = self.inspector.scan(&String::from_utf8_lossy(body));
        if self.raised.is_empty() {
            self.raise(Where::Body, &report);
        }
        self.block(Where::Body, report.findings.iter().filter(|f| f.action > Action::Pass));
    }

    /// Tokens with their words; words masked in a later pass may hold earlier tokens, which are put back first.
    fn tokens(&self) -> Vec<(String, String)> {
        let mut whole: Vec<(String, String)> = Vec::new();
        for (token, words) in self.masker.tokens() {
            let words = restore(words, &whole);
            whole.push((token.clone(), words));
        }
        whole
    }
}

/// The body is UTF-8 JSON: kept as text rather than as a list of numbers.
mod text_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(bytes).map_err(serde::ser::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::WireForm;
    use proptest::prelude::*;

    const FORM: Form = Form { wire: WireForm::OpenAi, max_output_tokens: 2048, stream: false };

    fn header(grade: Grade) -> Header {
        Header {
            provider: "시험 제공자".into(),
            model: "model-1".into(),
            purpose: "보도자료 문장 다듬기".into(),
            legal_basis: "행정 효율과 협업 촉진에 관한 규정".into(),
            grade,
        }
    }

    fn user(text: &str) -> Envelope {
        with(text, &Inspector::default())
    }

    fn with(text: &str, inspector: &Inspector) -> Envelope {
        build(&[PromptPart { role: PartRole::User, text: text.into() }], header(Grade::Open), &FORM, inspector)
    }

    #[test]
    fn clean_text_leaves_byte_for_byte() {
        let envelope = user("안녕하세요\n\"따옴표\"");
        let expected = r#"{"model":"model-1","messages":[{"role":"user","content":"안녕하세요\n\"따옴표\""}],"max_tokens":2048,"stream":false}"#;
        assert_eq!(String::from_utf8_lossy(&envelope.body), expected);
        assert_eq!(envelope.sendable(), Ok(()));
        assert!(!envelope.masked && envelope.findings.is_empty());
    }

    #[test]
    fn phone_and_mail_are_masked_and_restored_across_parts() {
        let part = |role, text: &str| PromptPart { role, text: text.into() };
        let envelope = build(
            &[part(PartRole::System, "담당 010-1234-5678"), part(PartRole::User, "010-1234-5678, hong@example.kr")],
            header(Grade::Open),
            &FORM,
            &Inspector::default(),
        );
        let body = String::from_utf8_lossy(&envelope.body).into_owned();
        assert!(!body.contains("1234") && !body.contains("hong"), "{body}");
        assert_eq!(envelope.sendable(), Ok(()));
        assert_eq!(envelope.findings, BTreeMap::from([("phone".into(), 2), ("email".into(), 1)]));
        assert_eq!(envelope.restore("답: [전화번호-1], [전자우편-1]"), "답: 010-1234-5678, hong@example.kr");
    }

    #[test]
    fn a_resident_number_blocks_with_its_place_and_stands_nowhere() {
        let envelope = user("번호는900101-1970000입니다");
        assert_eq!(envelope.blocked, [Place { part: Where::Part(0), kind: Kind::Rrn, start: 3, end: 17 }]);
        let refusal = envelope.sendable().unwrap_err().to_string();
        assert!(refusal.contains("1곳") && refusal.contains("주민등록번호"), "{refusal}");
        assert!(!serde_json::to_string(&envelope).unwrap().contains("1970000"));
    }

    #[test]
    fn purpose_model_and_grade_are_inspected_too() {
        let none = Inspector::default();
        let purpose = Header { purpose: "900101-1970000의 민원".into(), ..header(Grade::Open) };
        assert_eq!(build(&[], purpose, &FORM, &none).blocked[0].part, Where::Purpose);
        let model = Header { model: "900101-1970000".into(), ..header(Grade::Open) };
        assert_eq!(build(&[], model, &FORM, &none).blocked[0].part, Where::Body);
        for grade in [Grade::Sensitive, Grade::Classified] {
            assert_eq!(build(&[], header(grade), &FORM, &none).sendable(), Err(Refusal::Grade(grade)));
        }
        assert!(matches!(user(&"가".repeat(MAX_BODY)).sendable(), Err(Refusal::TooLong(_))));
    }

    #[test]
    fn it_survives_storage() {
        let envelope = user("담당 010-1234-5678");
        let stored = serde_json::to_string(&envelope).unwrap();
        assert_eq!(serde_json::from_str::<Envelope>(&stored).unwrap(), envelope);
    }

    fn dictionary() -> Inspector {
        let toml = "[[rule]]\nname = \"사업\"\nterms = [\"한울 신도시\"]\naction = \"block\"\n[[rule]]\nname = \"과제\"\n\
                    terms = [\"푸른별\"]\n[[rule]]\nname = \"감사\"\nterms = [\"특별 점검\"]\naction = \"grade_s\"\n";
        Inspector::new(madang_pii::Rules::from_toml(toml).unwrap(), 1)
    }

    #[test]
    fn words_of_the_dictionary_block_mask_and_raise() {
        let blocked = with("한-울 신도시 계획", &dictionary());
        assert!(matches!(blocked.sendable(), Err(Refusal::Identifiers(_))));
        assert_eq!(blocked.findings, BTreeMap::from([("custom:사업".into(), 1)]));
        let masked = with("푸른 별의 예산", &dictionary());
        assert_eq!(masked.sendable(), Ok(()));
        assert!(String::from_utf8_lossy(&masked.body).contains("[등록어-1]의 예산"));
        let raised = with("특별\n점검 결과", &dictionary());
        assert_eq!(raised.sendable(), Err(Refusal::Grade(Grade::Sensitive)));
        assert_eq!(raised.raised[0].word, "등록어");
        let purpose = Header { purpose: "한울신도시 안내문".into(), ..header(Grade::Open) };
        assert_eq!(build(&[], purpose, &FORM, &dictionary()).blocked[0].part, Where::Purpose);
    }

    #[test]
    fn a_marking_raises_the_grade_and_says_where() {
        let envelope = user("면담 기록\n(대외비)\n민원인이 말하였다.");
        assert_eq!(envelope.header.grade, Grade::Classified);
        let raised = &envelope.raised[0];
        assert_eq!((raised.part, raised.start, raised.word.as_str()), (Where::Part(0), 7, "대외비"));
        assert_eq!(envelope.sendable(), Err(Refusal::Grade(Grade::Classified)));
        assert_eq!(user("대외비 문서를 다루는 방법을 안내한다.").header.grade, Grade::Open);
    }

    proptest! {
        #[test]
        fn no_word_of_the_dictionary_leaves(
            before in "[가-힣 ]{0,8}", word in "한[ .·-]{0,2}울[ \n]{0,2}신도[ -]{0,2}시|푸[ ._]{0,3}른[\u{200b}]{0,3}별", after in "[가-힣 \n]{0,8}",
        ) {
            let envelope = with(&format!("{before} {word} {after}"), &dictionary());
            let body = String::from_utf8_lossy(&envelope.body).into_owned();
            prop_assert!(dictionary().passes(&body), "{body}");
            let letters: String = body.chars().filter(|c| c.is_alphanumeric()).collect();
            prop_assert!(!letters.contains("한울신도시") && !letters.contains("푸른별"), "{body}");
        }

        #[test]
        fn what_is_sendable_holds_nothing_that_the_detector_knows(text in r#"[0-9\-. @a-d가나로동호님"\\n\n:계좌이름]{0,120}"#) {
            let envelope = user(&text);
            if envelope.sendable().is_ok() {
                prop_assert_eq!(madang_pii::scan(&String::from_utf8_lossy(&envelope.body)).action, Action::Pass);
                let body: serde_json::Value = serde_json::from_slice(&envelope.body).unwrap();
                let content = body["messages"][0]["content"].as_str().unwrap();
                prop_assert_eq!(envelope.restore(content), text);
            }
        }
    }
}

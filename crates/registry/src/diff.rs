//! What changed between two design sheets, sentence by sentence, in Korean words.
//!
//! The screens colour the spans; nothing here knows of HTML.

use madang_domain::{DesignSheet, FieldKind, InputField, OutputForm, OutsideCalls, Schedule, Source};
use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, DiffOp, TextDiff, capture_diff_slices};

/// Which part of the sheet changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SheetPart {
    Title,
    Purpose,
    Task,
    Sentence,
    Input,
    Source,
    Output,
    Schedule,
    Outside,
}

impl SheetPart {
    /// Korean name for screens.
    pub fn korean(self) -> &'static str {
        match self {
            SheetPart::Title => "이름",
            SheetPart::Purpose => "목적",
            SheetPart::Task => "작업 종류",
            SheetPart::Sentence => "문장",
            SheetPart::Input => "입력 칸",
            SheetPart::Source => "자료",
            SheetPart::Output => "결과 형식",
            SheetPart::Schedule => "일정",
            SheetPart::Outside => "외부호출",
        }
    }
}

/// How it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// A run of words that both sides have, or one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordSpan {
    pub text: String,
    /// `None`: in both. `Removed`: in the old text alone. `Added`: in the new text alone.
    pub kind: Option<ChangeKind>,
}

/// One change, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetChange {
    pub part: SheetPart,
    pub kind: ChangeKind,
    /// 1-based number of the sentence: in the new sheet, or in the old one where it was removed.
    pub number: Option<usize>,
    pub old: Option<String>,
    pub new: Option<String>,
    /// Old and new text interleaved, for `Changed`; one span otherwise.
    pub words: Vec<WordSpan>,
}

impl SheetChange {
    /// One Korean line: "문장 3 바뀜: … → …".
    pub fn line(&self) -> String {
        let place = match self.number {
            Some(n) => format!("{} {n}", self.part.korean()),
            None => self.part.korean().to_owned(),
        };
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{place} 바뀜: {old} → {new}"),
            (None, Some(new)) => format!("{place} 더함: {new}"),
            (Some(old), None) => format!("{place} 뺌: {old}"),
            (None, None) => format!("{place} 그대로"),
        }
    }
}

/// Changes from `old` to `new`, in the order in which a sheet is read; empty for equal sheets.
///
/// A confirmed guess alone ([`madang_domain::Sentence::guessed`]) is no change.
pub fn sentences(old: &DesignSheet, new: &DesignSheet) -> Vec<SheetChange> {
    let mut out = Vec::new();
    scalar(&mut out, SheetPart::Title, Some(&old.title), Some(&new.title));
    scalar(&mut out, SheetPart::Purpose, Some(&old.purpose), Some(&new.purpose));
    scalar(&mut out, SheetPart::Task, Some(old.task.korean()), Some(new.task.korean()));
    let texts = |s: &DesignSheet| s.sentences.iter().map(|s| s.text.clone()).collect::<Vec<_>>();
    numbered(&mut out, &texts(old), &texts(new));
    keyed(&mut out, SheetPart::Input, &inputs(old), &inputs(new));
    keyed(&mut out, SheetPart::Source, &sources(old), &sources(new));
    scalar(&mut out, SheetPart::Output, Some(&output_words(&old.output)), Some(&output_words(&new.output)));
    let schedule = |s: &DesignSheet| s.schedule.as_ref().map(|w| schedule_words(w, &s.inputs));
    scalar(&mut out, SheetPart::Schedule, schedule(old).as_deref(), schedule(new).as_deref());
    scalar(&mut out, SheetPart::Outside, Some(outside_words(old.outside)), Some(outside_words(new.outside)));
    out
}

fn change(part: SheetPart, number: Option<usize>, old: Option<&str>, new: Option<&str>) -> SheetChange {
    let (kind, words) = match (old, new) {
        (Some(o), Some(n)) => (ChangeKind::Changed, word_spans(o, n)),
        (None, n) => {
            (ChangeKind::Added, vec![WordSpan { text: n.unwrap_or("").into(), kind: Some(ChangeKind::Added) }])
        }
        (Some(o), None) => (ChangeKind::Removed, vec![WordSpan { text: o.into(), kind: Some(ChangeKind::Removed) }]),
    };
    SheetChange { part, kind, number, old: old.map(str::to_owned), new: new.map(str::to_owned), words }
}

fn scalar(out: &mut Vec<SheetChange>, part: SheetPart, old: Option<&str>, new: Option<&str>) {
    if old != new {
        out.push(change(part, None, old, new));
    }
}

/// Sentences keep their order; within a replaced stretch those that resemble each other pair up.
fn numbered(out: &mut Vec<SheetChange>, old: &[String], new: &[String]) {
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        match op {
            DiffOp::Equal { .. } => {}
            DiffOp::Delete { old_index, old_len, .. } => removed(out, old, old_index, old_len),
            DiffOp::Insert { new_index, new_len, .. } => added(out, new, new_index, new_len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                replaced(out, old, new, (old_index, old_len), (new_index, new_len));
            }
        }
    }
}

fn removed(out: &mut Vec<SheetChange>, old: &[String], from: usize, len: usize) {
    for (i, text) in old.iter().enumerate().skip(from).take(len) {
        out.push(change(SheetPart::Sentence, Some(i + 1), Some(text), None));
    }
}

fn added(out: &mut Vec<SheetChange>, new: &[String], from: usize, len: usize) {
    for (i, text) in new.iter().enumerate().skip(from).take(len) {
        out.push(change(SheetPart::Sentence, Some(i + 1), None, Some(text)));
    }
}

fn replaced(out: &mut Vec<SheetChange>, old: &[String], new: &[String], o: (usize, usize), n: (usize, usize)) {
    /// Below this share of common characters two sentences are read as one gone and one come.
    const ALIKE: f32 = 0.4;
    let mut left: Vec<usize> = (o.0..o.0 + o.1).collect();
    for (j, text) in new.iter().enumerate().skip(n.0).take(n.1) {
        let best = left
            .iter()
            .enumerate()
            .filter_map(|(at, i)| Some((at, TextDiff::from_chars(old.get(*i)?.as_str(), text.as_str()).ratio())))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, ratio)| *ratio >= ALIKE);
        match best {
            Some((at, _)) => {
                // What stands before its partner has none: it was removed.
                let mut passed: Vec<usize> = left.drain(..=at).collect();
                let partner = passed.pop().and_then(|i| old.get(i));
                for i in passed {
                    removed(out, old, i, 1);
                }
                out.push(change(SheetPart::Sentence, Some(j + 1), partner.map(String::as_str), Some(text)));
            }
            None => out.push(change(SheetPart::Sentence, Some(j + 1), None, Some(text))),
        }
    }
    for i in left {
        removed(out, old, i, 1);
    }
}

/// Things with a stable key: same key and other words is a change; order does not matter.
fn keyed(out: &mut Vec<SheetChange>, part: SheetPart, old: &[(String, String)], new: &[(String, String)]) {
    let find = |all: &[(String, String)], key: &str| all.iter().find(|(k, _)| k == key).map(|(_, w)| w.clone());
    for (key, words) in old {
        match find(new, key) {
            None => out.push(change(part, None, Some(words), None)),
            Some(now) if now != *words => out.push(change(part, None, Some(words), Some(&now))),
            Some(_) => {}
        }
    }
    for (key, words) in new {
        if find(old, key).is_none() {
            out.push(change(part, None, None, Some(words)));
        }
    }
}

/// Word-level spans of the old and new text interleaved; neighbours of one kind are joined.
fn word_spans(old: &str, new: &str) -> Vec<WordSpan> {
    let mut out: Vec<WordSpan> = Vec::new();
    for piece in TextDiff::from_unicode_words(old, new).iter_all_changes() {
        let kind = match piece.tag() {
            ChangeTag::Equal => None,
            ChangeTag::Delete => Some(ChangeKind::Removed),
            ChangeTag::Insert => Some(ChangeKind::Added),
        };
        match out.last_mut() {
            Some(last) if last.kind == kind => last.text.push_str(piece.value()),
            _ => out.push(WordSpan { text: piece.value().to_owned(), kind }),
        }
    }
    out
}

fn inputs(sheet: &DesignSheet) -> Vec<(String, String)> {
    sheet.inputs.iter().map(|i| (i.key.clone(), input_words(i))).collect()
}

fn input_words(input: &InputField) -> String {
    let kind = match &input.kind {
        FieldKind::Text => "한 줄".to_owned(),
        FieldKind::LongText => "여러 줄".to_owned(),
        FieldKind::Date => "날짜".to_owned(),
        FieldKind::Number => "숫자".to_owned(),
        FieldKind::Choice { options } => format!("고르기: {}", options.join(", ")),
    };
    let must = if input.required { "반드시 적음" } else { "비워도 됨" };
    format!("{} ({kind}, {must})", input.label)
}

fn sources(sheet: &DesignSheet) -> Vec<(String, String)> {
    sheet
        .sources
        .iter()
        .map(|s| match s {
            Source::Collection { id, name, .. } => (id.to_string(), format!("자료 모음 ‘{name}’")),
            Source::Readable => ("readable".to_owned(), "읽을 수 있는 모든 자료".to_owned()),
        })
        .collect()
}

/// The output form in Korean words, as the sheet shows it.
pub fn output_words(form: &OutputForm) -> String {
    let listed = |name: &str, items: &[String]| {
        if items.is_empty() { name.to_owned() } else { format!("{name}({})", items.join(", ")) }
    };
    match form {
        OutputForm::Answer => "근거를 붙인 글".to_owned(),
        OutputForm::Bullets => "글머리표 목록".to_owned(),
        OutputForm::Table { columns } => listed("표", columns),
        OutputForm::Draft { sections } => listed("문서 초안", sections),
        OutputForm::Label { classes } => listed("분류", classes),
        OutputForm::Checklist => "점검표".to_owned(),
    }
}

/// The schedule in Korean words: "매월 6일 09:00". `inputs` names the deadline field of a
/// [`Schedule::BeforeDate`].
pub fn schedule_words(schedule: &Schedule, inputs: &[InputField]) -> String {
    const DAYS: [&str; 7] = ["월", "화", "수", "목", "금", "토", "일"];
    let clock = |h: &u8, m: &u8| format!("{h:02}:{m:02}");
    match schedule {
        Schedule::Daily { hour, minute, weekdays_only: false } => format!("매일 {}", clock(hour, minute)),
        Schedule::Daily { hour, minute, weekdays_only: true } => format!("평일 {}", clock(hour, minute)),
        Schedule::Weekly { weekday, hour, minute } => {
            let day = DAYS.get(usize::from(*weekday).wrapping_sub(1)).unwrap_or(&"?");
            format!("매주 {day}요일 {}", clock(hour, minute))
        }
        Schedule::Monthly { day: 31, hour, minute } => format!("매월 말일 {}", clock(hour, minute)),
        Schedule::Monthly { day, hour, minute } => format!("매월 {day}일 {}", clock(hour, minute)),
        Schedule::Yearly { month, day, hour, minute } => format!("매년 {month}월 {day}일 {}", clock(hour, minute)),
        Schedule::BeforeDate { days, field, hour, minute } => {
            let label = inputs.iter().find(|i| i.key == *field).map_or(field.as_str(), |i| i.label.as_str());
            format!("‘{label}’ {days}일 전 {}", clock(hour, minute))
        }
    }
}

fn outside_words(outside: OutsideCalls) -> &'static str {
    match outside {
        OutsideCalls::Never => "쓰지 않음",
        OutsideCalls::Ask => "이용자가 요청하면 보안담당이 승인",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_domain::{CollectionId, Sentence, TaskKind};

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
    fn equal_sheets_and_confirmed_guesses_are_no_change() {
        let old = sheet(&["근거를 찾는다.", "세 문장 이내로 답한다."]);
        let mut new = old.clone();
        new.sentences[0].guessed = true;
        assert_eq!(sentences(&old, &new), vec![]);
    }

    #[test]
    fn a_reworded_sentence_is_one_change_with_its_words() {
        let old = sheet(&["근거를 찾는다.", "세 문장 이내로 답한다.", "쪽수를 적는다."]);
        let new = sheet(&["근거를 찾는다.", "다섯 문장 이내로 답한다.", "쪽수를 적는다."]);
        let changes = sentences(&old, &new);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!((changes[0].kind, changes[0].number), (ChangeKind::Changed, Some(2)));
        let of = |kind| changes[0].words.iter().filter(|w| w.kind == kind).map(|w| w.text.as_str()).collect::<String>();
        assert_eq!(of(Some(ChangeKind::Removed)), "세");
        assert_eq!(of(Some(ChangeKind::Added)), "다섯");
        assert_eq!(of(None), " 문장 이내로 답한다.");
    }

    #[test]
    fn unlike_sentences_are_removed_and_added() {
        let old = sheet(&["근거를 찾는다.", "쪽수를 적는다."]);
        let new = sheet(&["근거를 찾는다.", "2026년 자료만 쓴다.", "개인정보는 가린다."]);
        let kinds: Vec<_> = sentences(&old, &new).into_iter().map(|c| (c.kind, c.number)).collect();
        assert_eq!(kinds, [(ChangeKind::Added, Some(2)), (ChangeKind::Added, Some(3)), (ChangeKind::Removed, Some(2))]);
    }

    #[test]
    fn other_parts_speak_korean() {
        let old = sheet(&["근거를 찾는다."]);
        let mut new = old.clone();
        new.title = "민원 답변 도우미".into();
        new.output = OutputForm::Table { columns: vec!["항목".into(), "근거".into()] };
        new.schedule = Some(Schedule::Monthly { day: 6, hour: 9, minute: 0 });
        new.sources = vec![Source::Collection { id: CollectionId::new(), name: "조례".into(), guessed: false }];
        new.inputs.push(InputField {
            key: "question".into(),
            label: "질문".into(),
            kind: FieldKind::LongText,
            required: true,
            placeholder: String::new(),
            guessed: false,
        });
        let lines: Vec<_> = sentences(&old, &new).iter().map(SheetChange::line).collect();
        assert_eq!(lines[0], "이름 바뀜: 민원 답변 근거 → 민원 답변 도우미");
        assert!(lines.contains(&"입력 칸 더함: 질문 (여러 줄, 반드시 적음)".to_owned()));
        assert!(lines.contains(&"자료 뺌: 읽을 수 있는 모든 자료".to_owned()));
        assert!(lines.contains(&"자료 더함: 자료 모음 ‘조례’".to_owned()));
        assert!(lines.contains(&"결과 형식 바뀜: 근거를 붙인 글 → 표(항목, 근거)".to_owned()));
        assert!(lines.contains(&"일정 더함: 매월 6일 09:00".to_owned()));
    }

    #[test]
    fn a_broken_weekday_does_not_panic() {
        let words = schedule_words(&Schedule::Weekly { weekday: 0, hour: 9, minute: 0 }, &[]);
        assert_eq!(words, "매주 ?요일 09:00");
    }
}

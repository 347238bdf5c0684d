//! The sheet itself: title, purpose and numbered sentences in the style of official documents.

use super::{Brief, Notes};
use crate::diff::{output_words, schedule_words};
use crate::phrases::{shorten, with_particle};
use madang_domain::{DesignSheet, OutputForm, OutsideCalls, Sentence, TaskKind};

/// Beginnings of sentences that a button may replace.
pub(super) const FIELDS_OPENING: &str = "다음 항목을 뽑는다:";
pub(super) const CLASSES_OPENING: &str = "입력한 글을 다음 가운데 하나로 분류한다:";
pub(super) const SECTIONS_OPENING: &str = "다음 차례로 쓴다:";

/// Builds the sheet and notes what was understood and guessed.
pub(super) fn build(brief: &Brief, notes: &mut Notes) -> DesignSheet {
    let mut sentences = Vec::new();
    match brief.task {
        TaskKind::QuestionAnswering => answering(brief, &mut sentences),
        TaskKind::Summary => summary(brief, &mut sentences),
        TaskKind::Draft => draft(brief, &mut sentences),
        TaskKind::Extraction => extraction(brief, &mut sentences),
        TaskKind::Classification => classification(brief, &mut sentences),
        TaskKind::RuleCheck => rule_check(brief, &mut sentences),
        TaskKind::TableAnalysis => table_analysis(&mut sentences),
    }
    for wish in &brief.wishes {
        push(&mut sentences, wish.clone(), false);
    }
    sentences.truncate(DesignSheet::MAX_SENTENCES);
    let sheet = DesignSheet {
        title: title(brief),
        purpose: purpose(brief),
        task: brief.task,
        sentences,
        inputs: brief.inputs.clone(),
        sources: brief.sources.clone(),
        output: brief.form.value.clone(),
        schedule: brief.schedule.as_ref().map(|s| s.schedule.clone()),
        outside: OutsideCalls::Never,
    };
    note(brief, &sheet, notes);
    sheet
}

/// Adds a sentence unless it is there, cut to the longest that a sheet takes.
pub(super) fn push(sentences: &mut Vec<Sentence>, text: String, guessed: bool) {
    let text = shorten(&text, DesignSheet::MAX_SENTENCE);
    if !sentences.iter().any(|s| s.text == text) {
        sentences.push(Sentence { text, guessed });
    }
}

fn title(brief: &Brief) -> String {
    let topic = &brief.topic;
    let title = match (brief.task, brief.document) {
        (TaskKind::Draft, Some(kind)) if topic == "업무" => format!("{kind} 초안"),
        (TaskKind::Draft, kind) => format!("{topic} {} 초안", kind.unwrap_or("문서")),
        (TaskKind::QuestionAnswering, _) => format!("{topic} 질의응답"),
        (TaskKind::Summary, kind) => format!("{} 요약", joined(topic, kind)),
        (TaskKind::Extraction, kind) => format!("{} 항목 추출", joined(topic, kind)),
        (TaskKind::Classification, _) => format!("{topic} 분류"),
        (TaskKind::RuleCheck, kind) => format!("{} 점검", joined(topic, kind)),
        (TaskKind::TableAnalysis, _) => format!("{topic} 표 분석"),
    };
    shorten(&title, DesignSheet::MAX_TITLE)
}

/// Topic and kind of document: "보도자료", "체육대회 보도자료".
fn joined(topic: &str, kind: Option<&str>) -> String {
    match kind {
        Some(kind) if topic == "업무" => kind.to_owned(),
        Some(kind) if !topic.contains(kind) => format!("{topic} {kind}"),
        _ => topic.to_owned(),
    }
}

fn purpose(brief: &Brief) -> String {
    let topic = &brief.topic;
    let kind = brief.document;
    match brief.task {
        TaskKind::QuestionAnswering => format!("{topic}에 관한 질문에 자료의 문장을 근거로 들어 답한다."),
        TaskKind::Summary => format!("{} 관련 글의 핵심을 짧게 간추려 빨리 파악하게 한다.", joined(topic, kind)),
        TaskKind::Draft => {
            let document = with_particle(&format!("{} 초안", kind.unwrap_or("문서")), "을", "를");
            format!("자료에 근거하여 {topic} {document} 작성한다.")
        }
        TaskKind::Extraction => format!("{} 관련 글에서 필요한 항목만 뽑아 한눈에 보게 한다.", joined(topic, kind)),
        TaskKind::Classification => format!("{topic} 관련 글을 정한 갈래로 나누어 처리할 곳을 빨리 정하게 한다."),
        TaskKind::RuleCheck => {
            format!("{} 관련 글이 기준을 지켰는지 내보내기 전에 점검한다.", joined(topic, kind))
        }
        TaskKind::TableAnalysis => format!("{topic} 표의 값을 계산하여 질문에 답한다."),
    }
}

fn answering(brief: &Brief, out: &mut Vec<Sentence>) {
    push(out, "질문과 관련된 구절을 자료에서 찾아 그 문장으로 답한다.".into(), false);
    push(out, format!("답은 {}로 쓴다.", brief.limit.value), brief.limit.guessed);
    form_sentence(brief, out);
    push(out, "답마다 근거가 된 문서와 문장을 밝힌다.".into(), false);
    push(out, "자료에 답이 없으면 없다고 밝힌다.".into(), true);
}

fn summary(brief: &Brief, out: &mut Vec<Sentence>) {
    let from = if brief.sources.is_empty() { "입력한 글" } else { "자료" };
    push(out, format!("{from}에서 핵심이 되는 문장을 골라 간추린다."), false);
    push(out, format!("{}로 줄인다.", brief.limit.value), brief.limit.guessed);
    form_sentence(brief, out);
    push(out, "날짜, 금액, 결정 사항은 빠뜨리지 않는다.".into(), true);
}

fn draft(brief: &Brief, out: &mut Vec<Sentence>) {
    let kind = brief.document.unwrap_or("문서");
    push(
        out,
        format!("주제에 맞는 구절을 자료에서 찾아 {} 작성한다.", with_particle(&format!("{kind} 초안"), "을", "를")),
        false,
    );
    push(out, format!("{SECTIONS_OPENING} {}.", brief.items.value.join(", ")), brief.items.guessed);
    push(out, "자료로 채우지 못한 항목은 비워 두고 따로 밝힌다.".into(), false);
    push(out, "인용한 문장마다 근거를 밝힌다.".into(), true);
}

fn extraction(brief: &Brief, out: &mut Vec<Sentence>) {
    push(out, format!("{FIELDS_OPENING} {}.", brief.items.value.join(", ")), brief.items.guessed);
    form_sentence(brief, out);
    push(out, "글에 없는 항목은 ‘자료에 없음’이라고 적는다.".into(), true);
}

fn classification(brief: &Brief, out: &mut Vec<Sentence>) {
    push(out, format!("{CLASSES_OPENING} {}.", brief.items.value.join(", ")), brief.items.guessed);
    push(out, "고른 까닭이 된 문장을 함께 보인다.".into(), true);
    push(out, "둘 이상에 가까우면 다음으로 가까운 갈래도 밝힌다.".into(), true);
}

fn rule_check(brief: &Brief, out: &mut Vec<Sentence>) {
    push(out, "입력한 문서를 아래 기준으로 하나씩 점검한다.".into(), false);
    for rule in &brief.items.value {
        push(out, rule.clone(), brief.items.guessed);
    }
    push(out, "어긋난 곳의 위치와 고치는 방법을 함께 보인다.".into(), true);
}

fn table_analysis(out: &mut Vec<Sentence>) {
    push(out, "표에서 질문에 맞는 값을 계산하여 답한다.".into(), false);
    push(out, "표 분석은 표 기능과 함께 제공됩니다. 그때까지는 문서에서 관련 문장을 찾아 보인다.".into(), false);
    push(out, "계산하지 않은 값을 지어내지 않는다.".into(), true);
}

/// The form as a sentence, so that editing it edits the app.
fn form_sentence(brief: &Brief, out: &mut Vec<Sentence>) {
    push(out, form_words(&brief.form.value).into(), brief.form.guessed);
}

/// The sentence that names a form.
pub(super) fn form_words(form: &OutputForm) -> &'static str {
    match form {
        OutputForm::Table { .. } => "결과를 표로 정리한다.",
        OutputForm::Bullets => "결과를 글머리표 목록으로 정리한다.",
        _ => "결과를 문장으로 적는다.",
    }
}

fn note(brief: &Brief, sheet: &DesignSheet, notes: &mut Notes) {
    let items = brief.items.value.join(", ");
    let what = match brief.task {
        TaskKind::Extraction => Some(format!("뽑을 항목: {items}")),
        TaskKind::Classification => Some(format!("나눌 갈래: {items}")),
        TaskKind::Draft => Some(format!("문서의 차례: {items}")),
        TaskKind::RuleCheck => Some(format!("점검할 기준 {}개", brief.items.value.len())),
        _ => None,
    };
    let mut tell = |guessed: bool, line: String| {
        if guessed { notes.guessed.push(line) } else { notes.understood.push(line) }
    };
    if let Some(line) = what {
        tell(brief.items.guessed, line);
    }
    if let Some(kind) = brief.document.filter(|_| brief.task == TaskKind::Draft) {
        tell(false, format!("문서 종류: {kind}"));
    }
    tell(brief.form.guessed, format!("결과 형식: {}", output_words(&OutputFormName(&sheet.output).bare())));
    if matches!(brief.task, TaskKind::QuestionAnswering | TaskKind::Summary) {
        tell(brief.limit.guessed, format!("분량: {}", brief.limit.value));
    }
    if let Some(found) = &brief.schedule {
        let words = schedule_words(&found.schedule, &sheet.inputs);
        tell(found.day_guessed || found.time_guessed, format!("일정: {words}"));
    }
    if brief.task == TaskKind::TableAnalysis {
        tell(false, "표 분석은 표 기능과 함께 제공됩니다.".into());
    }
}

/// The form without its list, which is told on a line of its own.
struct OutputFormName<'a>(&'a OutputForm);

impl OutputFormName<'_> {
    fn bare(&self) -> OutputForm {
        match self.0 {
            OutputForm::Table { .. } => OutputForm::Table { columns: vec![] },
            OutputForm::Draft { .. } => OutputForm::Draft { sections: vec![] },
            OutputForm::Label { .. } => OutputForm::Label { classes: vec![] },
            other => other.clone(),
        }
    }
}

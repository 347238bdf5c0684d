//! Questions back to the author, each answered by a button.

use super::intent::Intent;
use super::prompt::Prompt;
use super::sheet::{CLASSES_OPENING, FIELDS_OPENING, SECTIONS_OPENING, form_words};
use super::{Brief, Choice, CollectionSummary, MAX_QUESTIONS, Notes, Question, SheetPatch, kinds, sheet, sources};
use madang_domain::{DesignSheet, OutputForm, Schedule, Source, TaskKind};

/// At most [`MAX_QUESTIONS`], what matters most first.
pub(super) fn ask(
    prompt: &Prompt,
    intent: &Intent,
    brief: &Brief,
    sheet: &DesignSheet,
    catalogue: &[CollectionSummary],
) -> Vec<Question> {
    let all = [
        which_task(prompt, intent, catalogue),
        which_items(brief),
        which_sources(prompt, brief, catalogue),
        which_time(brief),
        which_form(brief, sheet),
    ];
    all.into_iter().flatten().take(MAX_QUESTIONS).collect()
}

fn choice(label: impl Into<String>, patch: SheetPatch) -> Choice {
    Choice { label: label.into(), patch }
}

fn which_task(prompt: &Prompt, intent: &Intent, catalogue: &[CollectionSummary]) -> Option<Question> {
    if intent.others.is_empty() {
        return None;
    }
    let composed = |task: TaskKind| {
        let mut notes = Notes::default();
        let brief = Brief::read(prompt, task, catalogue, &mut notes);
        choice(task.korean(), SheetPatch::Sheet { sheet: Box::new(sheet::build(&brief, &mut notes)) })
    };
    let options = std::iter::once(intent.task).chain(intent.others.iter().copied()).map(composed).collect();
    Some(Question { text: "어떤 일에 가장 가깝나요?".into(), options })
}

fn which_items(brief: &Brief) -> Option<Question> {
    if !brief.items.guessed {
        return None;
    }
    let listed = |opening: &str, items: Vec<String>, output: OutputForm| {
        let patch = SheetPatch::Sentence {
            opening: opening.to_owned(),
            sentence: format!("{opening} {}.", items.join(", ")),
            output: Some(output),
        };
        choice(items.join(", "), patch)
    };
    let (text, options) = match brief.task {
        TaskKind::Extraction => {
            let sets = kinds::offered_fields().into_iter();
            let output = |f: &Vec<String>| match brief.form.value {
                OutputForm::Table { .. } => OutputForm::Table { columns: f.clone() },
                _ => OutputForm::Bullets,
            };
            let options = sets
                .map(|f| {
                    let o = output(&f);
                    listed(FIELDS_OPENING, f, o)
                })
                .collect();
            ("어떤 항목을 뽑을까요?", options)
        }
        TaskKind::Classification => {
            let sets = kinds::offered_classes().into_iter();
            let options = sets.map(|c| listed(CLASSES_OPENING, c.clone(), OutputForm::Label { classes: c })).collect();
            ("어떤 갈래로 나눌까요?", options)
        }
        TaskKind::Draft => {
            let options = kinds::OFFERED
                .iter()
                .map(|kind| {
                    let sections = kinds::sections_of(Some(kind));
                    let mut c = listed(SECTIONS_OPENING, sections.clone(), OutputForm::Draft { sections });
                    c.label = (*kind).to_owned();
                    c
                })
                .collect();
            ("어떤 문서를 쓰나요?", options)
        }
        _ => return None,
    };
    Some(Question { text: text.into(), options })
}

fn which_sources(prompt: &Prompt, brief: &Brief, catalogue: &[CollectionSummary]) -> Option<Question> {
    if brief.sources != [Source::Readable] || catalogue.is_empty() {
        return None;
    }
    let mut all = sources::scored(prompt, catalogue);
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.collection.documents.cmp(&a.collection.documents)));
    let mut options: Vec<Choice> = all
        .iter()
        .take(3)
        .map(|p| {
            let c = p.collection;
            let source = Source::Collection { id: c.id, name: c.name.clone(), guessed: false };
            let label = format!("{} (등급 {}, {}개 문서)", c.name, c.grade.letter(), c.documents);
            choice(label, SheetPatch::Sources { sources: vec![source] })
        })
        .collect();
    options.push(choice("읽을 수 있는 모든 자료", SheetPatch::Sources { sources: vec![Source::Readable] }));
    Some(Question { text: "어느 자료에서 찾을까요?".into(), options })
}

fn which_time(brief: &Brief) -> Option<Question> {
    let found = brief.schedule.as_ref()?;
    if found.day_guessed {
        return which_day(&found.schedule);
    }
    if !found.time_guessed {
        return None;
    }
    let options = [(9, "오전 9시"), (14, "오후 2시"), (17, "오후 5시")]
        .map(|(hour, label)| choice(label, SheetPatch::Schedule { schedule: Some(at_hour(&found.schedule, hour)) }));
    Some(Question { text: "몇 시에 실행할까요?".into(), options: options.into() })
}

fn which_day(schedule: &Schedule) -> Option<Question> {
    let options: Vec<Choice> = match *schedule {
        Schedule::Weekly { hour, minute, .. } => [(1, "월요일"), (3, "수요일"), (5, "금요일")]
            .map(|(weekday, l)| {
                choice(l, SheetPatch::Schedule { schedule: Some(Schedule::Weekly { weekday, hour, minute }) })
            })
            .into(),
        Schedule::Monthly { hour, minute, .. } => [(1, "1일"), (15, "15일"), (31, "말일")]
            .map(|(day, l)| choice(l, SheetPatch::Schedule { schedule: Some(Schedule::Monthly { day, hour, minute }) }))
            .into(),
        _ => return None,
    };
    Some(Question { text: "어느 날에 실행할까요?".into(), options })
}

fn at_hour(schedule: &Schedule, at: u8) -> Schedule {
    let mut out = schedule.clone();
    match &mut out {
        Schedule::Daily { hour, .. }
        | Schedule::Weekly { hour, .. }
        | Schedule::Monthly { hour, .. }
        | Schedule::Yearly { hour, .. }
        | Schedule::BeforeDate { hour, .. } => *hour = at,
    }
    out
}

fn which_form(brief: &Brief, sheet: &DesignSheet) -> Option<Question> {
    if !brief.form.guessed {
        return None;
    }
    let columns = match &sheet.output {
        OutputForm::Table { columns } if !columns.is_empty() => columns.clone(),
        _ => ["항목", "내용", "근거"].map(String::from).into(),
    };
    let mut forms = vec![("글머리표 목록", OutputForm::Bullets), ("표", OutputForm::Table { columns })];
    if brief.task != TaskKind::Extraction {
        forms.insert(0, ("문장", OutputForm::Answer));
    }
    let option = |(label, output): (&str, OutputForm)| {
        let sentence = form_words(&output).to_owned();
        choice(label, SheetPatch::Form { output, sentence })
    };
    Some(Question {
        text: "결과를 어떤 꼴로 볼까요?".into(), options: forms.into_iter().map(option).collect()
    })
}

//! The design sheet (설계서): an app as numbered Korean sentences plus inputs, sources, output and schedule.

use crate::CollectionId;
use serde::{Deserialize, Serialize};

/// What kind of task the app does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// 질의응답
    QuestionAnswering,
    /// 요약
    Summary,
    /// 문서 초안
    Draft,
    /// 항목 추출
    Extraction,
    /// 분류
    Classification,
    /// 기준 점검
    RuleCheck,
    /// 표 분석
    TableAnalysis,
}

impl TaskKind {
    pub const ALL: [TaskKind; 7] = [
        TaskKind::QuestionAnswering,
        TaskKind::Summary,
        TaskKind::Draft,
        TaskKind::Extraction,
        TaskKind::Classification,
        TaskKind::RuleCheck,
        TaskKind::TableAnalysis,
    ];

    /// Korean name; also the store's shelf.
    pub fn korean(self) -> &'static str {
        match self {
            TaskKind::QuestionAnswering => "질의응답",
            TaskKind::Summary => "요약",
            TaskKind::Draft => "문서 초안",
            TaskKind::Extraction => "항목 추출",
            TaskKind::Classification => "분류",
            TaskKind::RuleCheck => "기준 점검",
            TaskKind::TableAnalysis => "표 분석",
        }
    }

    /// Stored name, same as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskKind::QuestionAnswering => "question_answering",
            TaskKind::Summary => "summary",
            TaskKind::Draft => "draft",
            TaskKind::Extraction => "extraction",
            TaskKind::Classification => "classification",
            TaskKind::RuleCheck => "rule_check",
            TaskKind::TableAnalysis => "table_analysis",
        }
    }
}

/// A numbered sentence: an instruction that the app follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    pub text: String,
    /// The composer guessed it; shown as 추정 until the author confirms or edits it.
    #[serde(default)]
    pub guessed: bool,
}

/// Kind of a form field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FieldKind {
    /// One line.
    Text,
    /// Several lines: a question, a pasted document.
    LongText,
    Date,
    Number,
    Choice {
        options: Vec<String>,
    },
}

/// One field of the form that a reader fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputField {
    /// `[a-z][a-z0-9_]*`, unique in the sheet.
    pub key: String,
    pub label: String,
    pub kind: FieldKind,
    pub required: bool,
    #[serde(default)]
    pub placeholder: String,
    #[serde(default)]
    pub guessed: bool,
}

/// Where the app looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// One collection, as far as the reader may read it.
    Collection {
        id: CollectionId,
        name: String,
        #[serde(default)]
        guessed: bool,
    },
    /// Everything the reader may read.
    Readable,
}

/// Form of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputForm {
    /// Prose with citations.
    Answer,
    /// Bulleted list.
    Bullets,
    /// Table with these columns.
    Table { columns: Vec<String> },
    /// Document with these sections, each filled or named as unfilled.
    Draft { sections: Vec<String> },
    /// One of these classes with the reason.
    Label { classes: Vec<String> },
    /// List of checks: passed, failed, with the place.
    Checklist,
}

/// When the app runs by itself (stored now, run by a later scheduler).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Schedule {
    /// `hour:minute` every day, or on the weekdays only.
    Daily { hour: u8, minute: u8, weekdays_only: bool },
    /// `weekday` 1 (Monday) to 7.
    Weekly { weekday: u8, hour: u8, minute: u8 },
    /// `day` 1 to 31; the last day of shorter months.
    Monthly { day: u8, hour: u8, minute: u8 },
    /// `month` 1 to 12.
    Yearly { month: u8, day: u8, hour: u8, minute: u8 },
    /// So many days before the date in the input field `field` (a deadline).
    BeforeDate { days: u16, field: String, hour: u8, minute: u8 },
}

/// May a run ask for an outside call?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OutsideCalls {
    /// Never: the default.
    #[default]
    Never,
    /// The reader may ask; a security officer decides each time.
    Ask,
}

/// An app as its author reads and edits it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesignSheet {
    pub title: String,
    pub purpose: String,
    pub task: TaskKind,
    pub sentences: Vec<Sentence>,
    pub inputs: Vec<InputField>,
    pub sources: Vec<Source>,
    pub output: OutputForm,
    #[serde(default)]
    pub schedule: Option<Schedule>,
    #[serde(default)]
    pub outside: OutsideCalls,
}

/// A fault of a sheet, in Korean words for its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SheetFault {
    /// Where: `title`, `sentences.3`, `inputs.0.key`, …
    pub field: String,
    pub message: String,
}

impl DesignSheet {
    /// Largest sizes, in characters or items: a sheet is read by people.
    pub const MAX_TITLE: usize = 60;
    pub const MAX_SENTENCES: usize = 30;
    pub const MAX_SENTENCE: usize = 400;
    pub const MAX_INPUTS: usize = 12;

    /// Collections named as sources; empty when the app looks in everything readable or in nothing.
    pub fn collections(&self) -> Vec<CollectionId> {
        self.sources
            .iter()
            .filter_map(|s| match s {
                Source::Collection { id, .. } => Some(*id),
                Source::Readable => None,
            })
            .collect()
    }

    /// All faults that keep the sheet from being saved; empty when it is sound.
    pub fn faults(&self) -> Vec<SheetFault> {
        let mut out = Vec::new();
        let mut fault = |field: String, message: &str| out.push(SheetFault { field, message: message.to_owned() });
        let title = self.title.trim().chars().count();
        if title == 0 {
            fault("title".into(), "앱 이름을 적어 주세요.");
        } else if title > Self::MAX_TITLE {
            fault("title".into(), "앱 이름은 60자까지 쓸 수 있습니다.");
        }
        if self.purpose.trim().is_empty() {
            fault("purpose".into(), "무엇을 위한 앱인지 한 문장으로 적어 주세요.");
        } else if self.purpose.chars().count() > Self::MAX_SENTENCE {
            fault("purpose".into(), "목적은 400자까지 쓸 수 있습니다.");
        }
        if self.sentences.is_empty() {
            fault("sentences".into(), "하는 일을 적어도 한 문장 적어 주세요.");
        }
        if self.sentences.len() > Self::MAX_SENTENCES {
            fault("sentences".into(), "문장은 30개까지 쓸 수 있습니다.");
        }
        for (i, s) in self.sentences.iter().enumerate() {
            let n = s.text.trim().chars().count();
            if n == 0 {
                fault(format!("sentences.{i}"), "빈 문장은 지우거나 채워 주세요.");
            } else if n > Self::MAX_SENTENCE {
                fault(format!("sentences.{i}"), "한 문장은 400자까지 쓸 수 있습니다.");
            }
        }
        if self.inputs.len() > Self::MAX_INPUTS {
            fault("inputs".into(), "입력 칸은 12개까지 둘 수 있습니다.");
        }
        let mut seen = std::collections::HashSet::new();
        for (i, input) in self.inputs.iter().enumerate() {
            if !valid_key(&input.key) || !seen.insert(&input.key) {
                fault(format!("inputs.{i}.key"), "입력 칸의 이름표가 겹치거나 쓸 수 없는 글자가 있습니다.");
            }
            if input.label.trim().is_empty() || input.label.chars().count() > 60 {
                fault(format!("inputs.{i}.label"), "입력 칸의 이름은 1~60자로 적어 주세요.");
            }
            if matches!(&input.kind, FieldKind::Choice { options } if options.is_empty()) {
                fault(format!("inputs.{i}.kind"), "고를 항목을 하나 이상 적어 주세요.");
            }
        }
        out
    }
}

fn valid_key(key: &str) -> bool {
    key.len() <= 40
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

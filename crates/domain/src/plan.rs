//! What the sentences of a sheet ask of an engine, as far as rules can read them.

use crate::{OutputForm, TaskKind};
use serde::{Deserialize, Serialize};

/// Read from a sheet's sentences at each run, so that editing a sentence edits the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub task: TaskKind,
    /// A sentence such as "표로 정리한다" wins over the sheet's output setting.
    pub form: OutputForm,
    /// Most sentences, bullets or rows in the answer ("세 문장 이내").
    pub max_items: usize,
    /// Things to extract or columns to fill ("예산, 기간, 담당부서를 뽑는다").
    pub fields: Vec<String>,
    /// Classes to choose from.
    pub classes: Vec<String>,
    /// Sentences that state a rule to check.
    pub rules: Vec<String>,
    /// Words that every source passage should bear ("2026년 자료만").
    pub must_mention: Vec<String>,
}

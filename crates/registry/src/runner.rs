//! From a sheet and a filled form to an engine's task: checked inputs, what to look for, which collections count,
//! which of the passages found are used, and the grade of what came out.
//!
//! Pure: the server asks index and store in between, always with the reader's rights.

use madang_domain::{
    Citation, CollectionId, DesignSheet, FieldKind, Grade, InputField, OutputForm, Passage, PassageId, PersonId, Plan,
    ReadableCollections, SheetFault, Source, TaskKind,
};
use madang_inference::{Asker, EngineCard, EngineInput, EngineTask, ScopeKey};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Longest value of a one-line field, characters.
pub const MAX_LINE: usize = 2_000;
/// Longest value of a long field, characters.
pub const MAX_LONG: usize = 300_000;
/// Characters of one field that are searched with: a pasted document says what it is about at its beginning.
const MAX_QUERY: usize = 1_000;
/// Weight of rank in fusing several searches (reciprocal rank fusion; Cormack, Clarke and Büttcher, 2009).
const FUSION: f64 = 60.0;

/// Reads the reader's form against the sheet: every required field filled, choices among the options, dates and
/// numbers well formed. Empty optional fields are left out.
///
/// # Errors
/// All faults at once, each with the field's key, in Korean.
pub fn read_inputs(sheet: &DesignSheet, given: &BTreeMap<String, String>) -> Result<Vec<EngineInput>, Vec<SheetFault>> {
    let mut faults: Vec<SheetFault> = given
        .keys()
        .filter(|key| !sheet.inputs.iter().any(|i| i.key == **key))
        .map(|key| {
            fault(
                &key.chars().take(40).collect::<String>(),
                "이 앱에 없는 칸입니다. 화면을 새로 고친 뒤 다시 해 주세요.",
            )
        })
        .collect();
    let mut inputs = Vec::new();
    for field in &sheet.inputs {
        let value = given.get(&field.key).map_or("", |v| v.trim());
        match checked(field, value) {
            Err(message) => faults.push(fault(&field.key, message)),
            Ok(()) if value.is_empty() => {}
            Ok(()) => {
                inputs.push(EngineInput { key: field.key.clone(), label: field.label.clone(), value: value.to_owned() })
            }
        }
    }
    if faults.is_empty() { Ok(inputs) } else { Err(faults) }
}

fn fault(field: &str, message: &str) -> SheetFault {
    SheetFault { field: field.to_owned(), message: message.to_owned() }
}

fn checked(field: &InputField, value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return if field.required { Err("이 칸을 채워 주세요.") } else { Ok(()) };
    }
    let long = |most: usize| value.chars().nth(most).is_some();
    match &field.kind {
        FieldKind::Text if long(MAX_LINE) => Err("2,000자까지 적을 수 있습니다."),
        FieldKind::LongText if long(MAX_LONG) => Err("300,000자까지 적을 수 있습니다. 나누어 실행해 주세요."),
        FieldKind::Date if value.parse::<jiff::civil::Date>().is_err() => Err("날짜를 2026-11-22처럼 적어 주세요."),
        FieldKind::Number if long(40) || !value.replace(',', "").parse::<f64>().is_ok_and(f64::is_finite) => {
            Err("숫자를 적어 주세요.")
        }
        FieldKind::Choice { options } if !options.iter().any(|o| o == value) => Err("목록에서 골라 주세요."),
        _ => Ok(()),
    }
}

/// Which collections a run looks in, as far as its reader may read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSources {
    pub readable: ReadableCollections,
    /// Names of collections that the sheet names and the reader may not read (or that are gone).
    pub unreadable: Vec<String>,
    /// The sheet names sources at all.
    pub any: bool,
}

impl RunSources {
    /// Narrows what the reader may read to what the sheet names.
    pub fn of(sheet: &DesignSheet, readable: &ReadableCollections) -> Self {
        let named: Vec<CollectionId> = sheet.collections();
        let everything = sheet.sources.iter().any(|s| matches!(s, Source::Readable));
        let unreadable = sheet
            .sources
            .iter()
            .filter_map(|s| match s {
                Source::Collection { id, name, .. } if !readable.contains(*id) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let narrowed = if everything { readable.clone() } else { readable.narrowed(&named) };
        Self { readable: narrowed, unreadable, any: !sheet.sources.is_empty() }
    }

    /// What the reader is told before the answer; `None` where all sources are readable. Markdown.
    pub fn notice(&self) -> Option<String> {
        if self.unreadable.is_empty() {
            return None;
        }
        let names = self.unreadable.iter().map(|n| format!("‘{}’", escaped(n))).collect::<Vec<_>>().join(", ");
        Some(if self.readable.ids().is_empty() {
            format!(
                "이 앱이 찾아보는 자료 모음 {names}을(를) 볼 권한이 없습니다. 자료를 가진 부서에 열람을 부탁해 주세요.\n\n"
            )
        } else {
            format!("자료 모음 {names}은(는) 볼 권한이 없어 빼고 답합니다.\n\n")
        })
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// What to look for: the main query first, then one for each part of the answer that needs its own passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieval {
    pub queries: Vec<String>,
    /// Passages handed to the engine.
    pub take: usize,
}

impl Retrieval {
    /// Reads the queries from the form, the plan and, where the form says little, the sheet's own words.
    pub fn of(sheet: &DesignSheet, plan: &Plan, inputs: &[EngineInput]) -> Self {
        let asked: Vec<String> = inputs
            .iter()
            .filter(|input| is_words(sheet, &input.key))
            .map(|input| input.value.chars().take(MAX_QUERY).collect())
            .collect();
        let asked = asked.join(" ");
        let mut main = asked.clone();
        if madang_korean::content_words(&asked).len() < 2 {
            main = format!("{main} {} {}", sheet.title, sheet.purpose);
        }
        main = format!("{main} {}", plan.must_mention.join(" ")).trim().to_owned();
        // A section or column is looked for beside what was asked, not beside the whole of a pasted text.
        let subject: String =
            if asked.trim().is_empty() { sheet.title.clone() } else { asked.chars().take(200).collect() };
        let mut queries = vec![main];
        match &plan.form {
            OutputForm::Draft { sections } => {
                queries.extend(sections.iter().take(12).map(|s| format!("{subject} {s}")));
            }
            _ if !plan.fields.is_empty() => queries.push(format!("{subject} {}", plan.fields.join(" "))),
            _ => {}
        }
        Self { queries, take: take(plan) }
    }
}

/// A date or a number finds nothing by its words.
fn is_words(sheet: &DesignSheet, key: &str) -> bool {
    let kind = sheet.inputs.iter().find(|i| i.key == key).map(|i| &i.kind);
    !matches!(kind, Some(FieldKind::Date | FieldKind::Number))
}

fn take(plan: &Plan) -> usize {
    match &plan.form {
        OutputForm::Draft { sections } => (8 + 4 * sections.len()).min(40),
        OutputForm::Table { .. } => 24,
        _ if plan.task == TaskKind::Summary => 24,
        _ => 12,
    }
}

/// One ranking out of several, best first: what stands high in many of them comes first. The first ranking counts
/// double.
pub fn fuse(rankings: &[Vec<PassageId>]) -> Vec<PassageId> {
    let mut scores: HashMap<PassageId, f64> = HashMap::new();
    for (i, ranking) in rankings.iter().enumerate() {
        let weight = if i == 0 { 2.0 } else { 1.0 };
        for (rank, id) in ranking.iter().enumerate() {
            *scores.entry(*id).or_default() += weight / (FUSION + rank as f64 + 1.0);
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused.into_iter().map(|(id, _)| id).collect()
}

/// The passages handed to the engine: those that bear the words that the sheet demands, or the best ones where none
/// does, so that the engine can say so.
pub fn select(passages: Vec<Passage>, plan: &Plan, take: usize) -> Vec<Passage> {
    let words: Vec<String> = plan.must_mention.iter().map(|w| madang_korean::normalise(w)).collect();
    let bears = |p: &Passage| {
        let whole = madang_korean::normalise(&format!("{} {} {}", p.document_title, p.heading_path.join(" "), p.text));
        words.iter().all(|w| whole.contains(w.as_str()))
    };
    let (with, without): (Vec<_>, Vec<_>) = passages.into_iter().partition(bears);
    let mut chosen = if with.is_empty() { without } else { with };
    chosen.truncate(take);
    chosen
}

/// Who asks, as a model's queue and its reuse of computed context see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub scope: ScopeKey,
    pub asker: Asker,
}

impl Caller {
    /// The person and what that person may read: a change of rights is another scope, and two people never share one.
    pub fn of(person: PersonId, readable: &ReadableCollections) -> Self {
        let mut collections: Vec<String> = readable.ids().iter().map(ToString::to_string).collect();
        collections.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(person.to_string());
        for id in collections {
            hash.update([b'\n']);
            hash.update(id);
        }
        Self { scope: ScopeKey(hash.finalize().into()), asker: Asker(person.to_string().into()) }
    }
}

/// The engine's task.
pub fn task(
    sheet: &DesignSheet,
    plan: Plan,
    inputs: Vec<EngineInput>,
    passages: Vec<Passage>,
    caller: Caller,
) -> EngineTask {
    EngineTask {
        title: sheet.title.clone(),
        purpose: sheet.purpose.clone(),
        instructions: sheet.sentences.iter().map(|s| s.text.clone()).collect(),
        plan,
        inputs,
        passages,
        has_sources: !sheet.sources.is_empty(),
        scope: caller.scope,
        asker: caller.asker,
    }
}

/// Grade of an answer: the highest of the passages it was made from. An engine that writes was shown them all; one
/// that quotes used those it cites.
pub fn grade(card: &EngineCard, given: &[Passage], cited: &[Citation]) -> Grade {
    if card.generates {
        Grade::highest(given.iter().map(|p| p.grade))
    } else {
        Grade::highest(cited.iter().map(|c| c.grade))
    }
}

#[cfg(test)]
mod tests;

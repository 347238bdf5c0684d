//! Tables and field lists: cells from labels, table rows, headings and patterns; what the sources lack is said.

use super::question::{Question, alike, match_word};
use super::rank::{ANSWER_THRESHOLD, choose, rank};
use super::summary::Wanted;
use super::units::{Origin, Unit};
use super::writer::Writer;
use super::{Material, answer};
use crate::phrases::{escape_markdown, shorten, unspaced};
use madang_domain::DocumentId;
use madang_inference::shape::{self, EMPTY};
use madang_inference::{EngineError, EngineTask, Finish};
use std::collections::HashSet;

/// How alike a label, column or heading must be to a field.
const SAME: f32 = 0.7;
/// Longest cell, in characters.
const MAX_CELL: usize = 200;

pattern!(
    DATES,
    r"(?:[0-9]{4}\s*[.년]\s*)?[0-9]{1,2}\s*[.월]\s*(?:[0-9]{1,2}\s*[.일]?)?(?:\s*\([월화수목금토일]\))?(?:\s*[~∼-]\s*(?:[0-9]{4}\s*[.년]\s*)?[0-9]{1,2}\s*[.월]?(?:\s*[0-9]{1,2}\s*[.일]?)?)?"
);
pattern!(AMOUNTS, r"[0-9][0-9,.]*\s*(?:조|억|천만|백만|십만|만|천)?\s*원");
pattern!(
    BODIES,
    r"[가-힣]{2,10}(?:과|팀|담당관|사업소|센터|위원회|공단|재단|주민센터|보건소)(?:[^가-힣]|은|는|이|가|에서|에|의|$)"
);
/// Units that a column's name may give for bare figures.
const UNITS: [&str; 16] =
    ["원", "천원", "만원", "백만원", "천만원", "억원", "명", "개", "개소", "대", "건", "회", "%", "㎡", "km", "시간"];

pattern!(PHONES, r"0[0-9]{1,2}-[0-9]{3,4}-[0-9]{4}");

/// One record: for each field the unit and the words that fill it.
type Record<'a> = Vec<Option<(&'a Unit, String)>>;

/// Writes a Markdown table. Columns that only ask for "항목" and "내용" are filled with the best sentences.
pub(super) async fn write_table(
    columns: &[String],
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    if columns.iter().all(|c| Generic::of(c).is_some()) {
        return write_sentences(columns, task, material, writer).await;
    }
    let records = records(columns, task, material);
    if records.is_empty() {
        return nothing(task, material, writer).await;
    }
    writer.line(&shape::table_header(columns)).await?;
    for record in records.iter().take(task.plan.max_items.max(1)) {
        let mut row = Vec::with_capacity(columns.len());
        for (column, cell) in columns.iter().zip(record) {
            let text = match (cell, Generic::of(column)) {
                (Some((unit, words)), _) => format!("{}{}", escape_markdown(words), writer.mark(unit).await?),
                (None, Some(Generic::Source)) => source_of(task, record, writer).await?,
                (None, _) => EMPTY.to_owned(),
            };
            row.push(text);
        }
        writer.line(&shape::table_row(&row)).await?;
    }
    Ok(Finish { answered: true, unfilled: unfilled(columns, &records) })
}

/// Writes each field as a bullet: "- **예산**: 21백만 원 [1]".
pub(super) async fn write_list(
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let fields = &task.plan.fields;
    let records = records(fields, task, material);
    if records.is_empty() {
        return nothing(task, material, writer).await;
    }
    let several = records.len() > 1;
    for (n, record) in records.iter().take(task.plan.max_items.max(1)).enumerate() {
        if several {
            writer.line(&shape::record(n + 1)).await?;
        }
        for (field, cell) in fields.iter().zip(record) {
            let text = match cell {
                Some((unit, words)) => format!("{}{}", escape_markdown(words), writer.mark(unit).await?),
                None => EMPTY.to_owned(),
            };
            writer.line(&shape::field(field, &text)).await?;
        }
    }
    Ok(Finish { answered: true, unfilled: unfilled(fields, &records) })
}

async fn nothing(task: &EngineTask, material: &Material, writer: &mut Writer<'_>) -> Result<Finish, EngineError> {
    let units = if material.input_units.is_empty() { &material.passage_units } else { &material.input_units };
    let ranking = rank(&Question::read(&material.question(task)), units);
    answer::no_answer(task, &ranking, units, writer).await?;
    Ok(Finish { answered: false, unfilled: task.plan.fields.clone() })
}

/// Fields that no record fills; columns for sources fill themselves.
fn unfilled(fields: &[String], records: &[Record<'_>]) -> Vec<String> {
    let filled = |i: usize| records.iter().any(|r| r.get(i).is_some_and(Option::is_some));
    let own = |f: &String| Generic::of(f) == Some(Generic::Source);
    fields.iter().enumerate().filter(|(i, f)| !filled(*i) && !own(f)).map(|(_, f)| f.clone()).collect()
}

/// Title of the document that filled the record's first cell.
async fn source_of(task: &EngineTask, record: &Record<'_>, writer: &mut Writer<'_>) -> Result<String, EngineError> {
    let Some((unit, _)) = record.iter().flatten().next() else {
        return Ok(EMPTY.to_owned());
    };
    let Origin::Passage(i) = unit.origin else {
        return Ok("붙여 넣은 글".to_owned());
    };
    let title = task.passages.get(i).map_or(String::new(), |p| format!("「{}」", escape_markdown(&p.document_title)));
    Ok(format!("{title}{}", writer.mark(unit).await?))
}

/// Columns that name no field of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generic {
    Item,
    Content,
    Source,
}

impl Generic {
    fn of(column: &str) -> Option<Generic> {
        match column.trim() {
            "항목" | "구분" | "제목" | "주제" | "번호" => Some(Generic::Item),
            "내용" | "답" | "요지" | "핵심" | "주요 내용" | "핵심 내용" | "요약" => {
                Some(Generic::Content)
            }
            source if shape::is_source_column(source) => Some(Generic::Source),
            _ => None,
        }
    }
}

/// A table of the best sentences: heading or label, words, document.
async fn write_sentences(
    columns: &[String],
    task: &EngineTask,
    material: &Material,
    writer: &mut Writer<'_>,
) -> Result<Finish, EngineError> {
    let own = !material.input_units.is_empty();
    let units = if own { &material.input_units } else { &material.passage_units };
    let ranking = rank(&Question::read(&material.question(task)), units);
    let chosen = if own && material.query.is_empty() {
        super::summary::central(units, task.plan.max_items.max(1), &Wanted::of(&task.instructions))
    } else if ranking.confidence < ANSWER_THRESHOLD {
        return nothing(task, material, writer).await;
    } else {
        choose(&ranking, units, task.plan.max_items.max(1))
    };
    writer.line(&shape::table_header(columns)).await?;
    for unit in chosen.iter().filter_map(|i| units.get(*i)) {
        let label = unit.labelled();
        let mut row = Vec::with_capacity(columns.len());
        for column in columns {
            let text = match Generic::of(column) {
                Some(Generic::Item) => {
                    let above = label.map(|(l, _)| l).or(unit.above.last().map(String::as_str)).unwrap_or("-");
                    escape_markdown(&shorten(above, 40))
                }
                Some(Generic::Source) => source_of(task, &vec![Some((unit, String::new()))], writer).await?,
                _ => {
                    let words = label.map_or_else(|| unit.shown(), |(_, value)| value.to_owned());
                    format!("{}{}", escape_markdown(&shorten(&words, MAX_CELL)), writer.mark(unit).await?)
                }
            };
            row.push(text);
        }
        writer.line(&shape::table_row(&row)).await?;
    }
    Ok(Finish { answered: !chosen.is_empty(), unfilled: vec![] })
}

/// Records of the material; none where not one field could be filled.
fn records<'a>(fields: &[String], task: &EngineTask, material: &'a Material) -> Vec<Record<'a>> {
    let groups: Vec<Vec<&Unit>> = if material.input_units.is_empty() {
        by_document(task, material)
    } else {
        vec![material.input_units.iter().collect()]
    };
    let records: Vec<Record<'a>> = groups
        .iter()
        .flat_map(|units| {
            let rows = table_rows(fields, &material.query, units);
            if rows.is_empty() { label_records(fields, units) } else { rows }
        })
        .filter(|record| filled(record) > 0)
        .collect();
    let fullest = records.iter().map(filled).max().unwrap_or_default();
    // Beside full records, one with a stray word is noise.
    records.into_iter().filter(|record| 2 * filled(record) > fullest || fullest < 2).collect()
}

fn filled(record: &Record<'_>) -> usize {
    record.iter().flatten().count()
}

/// Units of each document together, in the order of their documents' best passages; only of passages about what was
/// asked, where something was.
fn by_document<'a>(task: &EngineTask, material: &'a Material) -> Vec<Vec<&'a Unit>> {
    let mut groups: Vec<(DocumentId, Vec<&Unit>)> = Vec::new();
    let about = passages_about(task, material);
    for unit in &material.passage_units {
        let Origin::Passage(i) = unit.origin else { continue };
        let Some(document) = task.passages.get(i).map(|p| p.document).filter(|_| about.contains(&i)) else {
            continue;
        };
        match groups.iter_mut().find(|(d, _)| *d == document) {
            Some((_, group)) => group.push(unit),
            None => groups.push((document, vec![unit])),
        }
    }
    groups.into_iter().map(|(_, units)| units).collect()
}

/// Passages that cover the query, and those of the same section beside them: a plan names a project once and lists its
/// budget a passage later.
fn passages_about(task: &EngineTask, material: &Material) -> HashSet<usize> {
    let all = 0..task.passages.len();
    if material.query.is_empty() {
        return all.collect();
    }
    let question = Question::read(&material.query);
    let covers = |i: &usize| {
        let units: Vec<Unit> =
            material.passage_units.iter().filter(|u| u.origin == Origin::Passage(*i)).cloned().collect();
        rank(&question, &units).confidence >= ANSWER_THRESHOLD
    };
    let direct: Vec<usize> = all.clone().filter(covers).collect();
    let section = |i: usize| {
        let p = task.passages.get(i)?;
        let depth = p.heading_path.len().saturating_sub(1).max(1);
        Some((p.document, p.heading_path.get(..depth)?.to_vec()))
    };
    all.filter(|i| direct.contains(i) || (section(*i).is_some() && direct.iter().any(|d| section(*d) == section(*i))))
        .collect()
}

/// Rows of a table that has columns for at least two of the fields; only those about what was asked, where some are.
fn table_rows<'a>(fields: &[String], query: &str, units: &[&'a Unit]) -> Vec<Record<'a>> {
    let cell = |unit: &'a Unit, field: &String| {
        let cells = unit.row.as_ref()?;
        let best = cells
            .iter()
            .map(|(name, value)| (alike(field, name), value, unit_of(name)))
            .max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 >= SAME && !best.1.is_empty()).then(|| (unit, shorten(&with_unit(&best.2, best.1), MAX_CELL)))
    };
    let question = Question::read(query);
    let rows: Vec<(bool, Record<'a>)> = units
        .iter()
        .map(|u| (about(&question, u), fields.iter().map(|f| cell(u, f)).collect::<Record<'a>>()))
        .filter(|(_, r)| r.iter().flatten().count() >= 2.min(fields.len()))
        .collect();
    let some = rows.iter().any(|(about, _)| *about);
    rows.into_iter().filter(|(about, _)| *about || !some).map(|(_, r)| r).collect()
}

/// Does the row itself bear most of the words asked for?
fn about(question: &Question, unit: &Unit) -> bool {
    let found: f32 = question.words.iter().map(|w| match_word(w, unit)).sum();
    !question.words.is_empty() && found >= 0.6 * question.words.len() as f32
}

/// "소요예산(백만 원)" → 백만 원: the unit that a column's name gives for its figures.
fn unit_of(column: &str) -> Option<String> {
    let inside = column.rsplit_once(['(', '（'])?.1.trim_end_matches([')', '）', ' ']);
    let unit = inside.trim_start_matches("단위").trim_start_matches([':', '：', ' ']).trim();
    UNITS.contains(&unspaced(unit).as_str()).then(|| unit.to_owned())
}

/// A bare figure with its column's unit; anything else as it stands.
fn with_unit(unit: &Option<String>, value: &str) -> String {
    let bare = value.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.'))
        && value.chars().any(|c| c.is_ascii_digit());
    match unit {
        Some(unit) if bare => format!("{value}{unit}"),
        _ => value.to_owned(),
    }
}

/// One record, or several where the first field's label comes again and again.
fn label_records<'a>(fields: &[String], units: &[&'a Unit]) -> Vec<Record<'a>> {
    let labels = |unit: &Unit, field: &str| unit.labelled().is_some_and(|(l, _)| alike(field, l) >= 0.9);
    let starts: Vec<usize> = match fields.first() {
        Some(first) => units.iter().enumerate().filter(|(_, u)| labels(u, first)).map(|(i, _)| i).collect(),
        None => vec![],
    };
    if starts.len() < 2 {
        return vec![fields.iter().map(|f| fill(f, units)).collect()];
    }
    let ends = starts.iter().skip(1).copied().chain([units.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(from, to)| units.get(*from..to))
        .map(|part| fields.iter().map(|f| fill(f, part)).collect())
        .collect()
}

/// A field's value: behind its label, under its heading, in its column, or by the pattern of its kind.
fn fill<'a>(field: &str, units: &[&'a Unit]) -> Option<(&'a Unit, String)> {
    by_label(field, units).or_else(|| under_heading(field, units)).or_else(|| by_pattern(field, units))
}

fn by_label<'a>(field: &str, units: &[&'a Unit]) -> Option<(&'a Unit, String)> {
    let of = |unit: &'a Unit| {
        let from_row = unit.row.iter().flatten().map(|(n, v)| (alike(field, n), v.as_str()));
        // "구분 | 내용": the first cell may be the label of the second.
        let pair = unit.row.as_ref().and_then(|c| Some((alike(field, &c.first()?.1), c.get(1)?.1.as_str())));
        let from_line = unit.labelled().map(|(l, v)| (alike(field, l), v));
        let all = from_row.chain(pair).chain(from_line).filter(|(s, v)| *s >= SAME && !v.is_empty());
        all.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(s, v)| (s, unit, v.to_owned()))
    };
    // A label that holds the field's whole name: the first one, as passages come best first. Else the likest.
    let found: Vec<(f32, &Unit, String)> = units.iter().filter_map(|u| of(u)).collect();
    let best = match found.iter().position(|(alike, _, _)| *alike >= 0.9) {
        Some(at) => found.into_iter().nth(at),
        None => found.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)),
    };
    best.map(|(_, unit, value)| (unit, shorten(&value, MAX_CELL)))
}

fn under_heading<'a>(field: &str, units: &[&'a Unit]) -> Option<(&'a Unit, String)> {
    let under = |u: &&&Unit| !u.heading && u.above.last().is_some_and(|h| alike(field, h) >= SAME);
    units.iter().find(under).map(|u| (*u, shorten(&u.shown(), MAX_CELL)))
}

/// Dates for 기간, amounts for 예산, departments for 담당, numbers for 연락처; the unit must name the field or hold the
/// only such thing.
fn by_pattern<'a>(field: &str, units: &[&'a Unit]) -> Option<(&'a Unit, String)> {
    let has = |words: &[&str]| words.iter().any(|w| field.contains(w));
    let re: &regex::Regex = if has(&["기간", "일시", "날짜", "기한", "일자", "시기", "마감", "일정"]) {
        &DATES
    } else if has(&["예산", "금액", "사업비", "비용", "수수료", "단가", "지원금"]) {
        &AMOUNTS
    } else if has(&["전화", "연락처", "문의처"]) {
        &PHONES
    } else if has(&["부서", "담당", "주관", "기관"]) {
        &BODIES
    } else {
        let question = Question::read(field);
        let named = |u: &&&Unit| !u.heading && question.words.iter().any(|w| u.flat.contains(w.as_str()));
        return units.iter().find(named).map(|u| (*u, shorten(&u.shown(), MAX_CELL)));
    };
    let hits: Vec<(&'a Unit, String)> = units
        .iter()
        .filter(|u| !u.heading)
        .filter_map(|u| {
            let m = re.find(&u.text)?;
            let words = m.as_str().trim_end_matches(|c: char| !c.is_alphanumeric() && c != '.' && c != ')').trim();
            Some((*u, strip_tail(re, words)))
        })
        .collect();
    let question = Question::read(field);
    let naming = hits.iter().position(|(u, _)| question.words.iter().any(|w| u.flat.contains(w.as_str())));
    match (naming, hits.len()) {
        (Some(at), _) => hits.into_iter().nth(at),
        (None, 1) => hits.into_iter().next(),
        _ => None,
    }
}

/// The pattern for bodies takes the particle behind them along.
fn strip_tail(re: &regex::Regex, words: &str) -> String {
    if !std::ptr::eq(re, &*BODIES) {
        return words.to_owned();
    }
    ["에서", "은", "는", "이", "가", "에", "의"].iter().find_map(|p| words.strip_suffix(p)).unwrap_or(words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::units::of_input;
    use super::*;

    fn filled(field: &str, text: &str) -> Option<String> {
        let units = of_input(text);
        fill(field, &units.iter().collect::<Vec<_>>()).map(|(_, words)| words)
    }

    #[test]
    fn cells_come_from_labels_headings_rows_and_patterns() {
        let text = "사업명: 통신망 정비\n- 사업 기간: 2026. 1. ~ 12.\n□ 소요예산\n- 21백만 원(시비)\n이 사업은 정보통신과에서 맡는다.";
        assert_eq!(filled("사업기간", text).as_deref(), Some("2026. 1. ~ 12."));
        assert_eq!(filled("예산", text).as_deref(), Some("21백만 원(시비)"));
        assert_eq!(filled("담당부서", text).as_deref(), Some("정보통신과"));
        assert_eq!(filled("장소", text), None);
        assert_eq!(filled("수량", "| 장비 | 수량 |\n|---|---|\n| 서버 | 42대 |").as_deref(), Some("42대"));
    }

    #[test]
    fn rows_asked_for_come_alone_and_figures_bear_their_unit() {
        let units = of_input(
            "| 사업명 | 소요예산(백만 원) |\n|---|---|\n| 전화 교체 | 274 |\n| 공공와이파이 운영 | 318 |\n| 교육 | 비예산 |",
        );
        let refs: Vec<&Unit> = units.iter().collect();
        let fields = ["사업명".to_owned(), "예산".to_owned()];
        let words = |query: &str| {
            let rows = table_rows(&fields, query, &refs);
            rows.iter().map(|r| r[1].as_ref().map(|(_, w)| w.clone()).unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(words("공공와이파이"), ["318백만 원"]);
        assert_eq!(words(""), ["274백만 원", "318백만 원", "비예산"]);
        assert_eq!(words("여권"), ["274백만 원", "318백만 원", "비예산"]);
    }

    #[test]
    fn repeated_labels_make_several_records() {
        let text = "사업명: 가\n예산: 1억 원\n사업명: 나\n예산: 2억 원\n사업명: 다";
        let units = of_input(text);
        let refs: Vec<&Unit> = units.iter().collect();
        let found = label_records(&["사업명".to_owned(), "예산".to_owned()], &refs);
        assert_eq!(found.len(), 3);
        assert!(found[2][1].is_none());
    }
}

//! Tables and field lists: the model fills records by a schema, each cell is judged against the sources, and the shape
//! is every engine's.

use super::answer::{self, question};
use super::cut::{Piece, cut};
use super::material::{Material, gather, too_small};
use super::prompt::fenced;
use super::rows::{Row, RowReader, schema};
use super::support::Verdict;
use super::{Reply, Run, apart};
use crate::chat::Constraint;
use crate::engine::{EngineError, Finish, Stage};
use crate::shape::{self, EMPTY, escape_markdown};
use std::collections::HashSet;

/// Tokens of one cell, generously.
const PER_CELL: usize = 64;
const LONGEST: usize = 3072;

/// A filled cell with what the sources say to it.
type Cell = (String, Verdict);
type Record = Vec<Option<Cell>>;

/// Writes a table row by row as the model fills it.
pub(super) async fn write_table(run: &mut Run<'_>, columns: &[String]) -> Result<Finish, EngineError> {
    let own: Vec<String> = columns.iter().filter(|c| !shape::is_source_column(c)).cloned().collect();
    let own = if own.is_empty() { columns.to_vec() } else { own };
    let mut reader = Reader::new(run, &own);
    let mut filled = vec![false; own.len()];
    while let Some(record) = reader.next(run).await? {
        if !filled.contains(&true) {
            run.emit.hold(&shape::table_header(columns));
        }
        for (slot, cell) in filled.iter_mut().zip(&record) {
            *slot |= cell.is_some();
        }
        let mut row = Vec::with_capacity(columns.len());
        for column in columns {
            let at = own.iter().position(|c| c == column);
            let cell = at.and_then(|at| record.get(at)).cloned().flatten();
            row.push(match (cell, at) {
                (Some(cell), _) => shown(run, &cell).await?,
                (None, Some(_)) => EMPTY.to_owned(),
                (None, None) => source(run, &record).await?,
            });
        }
        run.emit.text(&shape::table_row(&row)).await?;
    }
    finish(run, &own, &filled, reader.cut).await
}

/// Writes each field as a bullet: "- **예산**: 21백만 원 [1]".
pub(super) async fn write_list(run: &mut Run<'_>) -> Result<Finish, EngineError> {
    let fields = run.task.plan.fields.clone();
    let mut reader = Reader::new(run, &fields);
    let mut records: Vec<Record> = Vec::new();
    while let Some(record) = reader.next(run).await? {
        records.push(record);
    }
    let mut filled = vec![false; fields.len()];
    for (n, record) in records.iter().enumerate() {
        if records.len() > 1 {
            run.emit.text(&shape::record(n + 1)).await?;
        }
        for ((field, cell), slot) in fields.iter().zip(record).zip(filled.iter_mut()) {
            *slot |= cell.is_some();
            let text = match cell {
                Some(cell) => shown(run, cell).await?,
                None => EMPTY.to_owned(),
            };
            run.emit.text(&shape::field(field, &text)).await?;
        }
    }
    finish(run, &fields, &filled, reader.cut).await
}

/// The end; `cut`: rows may be missing.
async fn finish(run: &mut Run<'_>, fields: &[String], filled: &[bool], cut: bool) -> Result<Finish, EngineError> {
    if !filled.contains(&true) {
        return answer::nothing(run, run.task.plan.fields.clone()).await;
    }
    if cut {
        run.emit.cut().await?;
    }
    let unfilled = fields.iter().zip(filled).filter(|(_, filled)| !**filled).map(|(f, _)| f.clone()).collect();
    Ok(Finish { answered: true, unfilled })
}

/// The cell as Markdown with its marks and, where the sources do not hold it, a warning.
async fn shown(run: &mut Run<'_>, (text, verdict): &Cell) -> Result<String, EngineError> {
    let marks = match verdict {
        Verdict::Passages(places) | Verdict::Unsupported { cited: places, .. } => run.emit.marks(places).await?,
        Verdict::NoClaim | Verdict::Own => String::new(),
    };
    Ok(format!("{}{marks}{}", escape_markdown(text), verdict.warning()))
}

/// Title of the document that filled the record's first cell.
async fn source(run: &mut Run<'_>, record: &Record) -> Result<String, EngineError> {
    let places = record.iter().flatten().find_map(|(_, verdict)| match verdict {
        Verdict::Passages(places) => Some(places.clone()),
        _ => None,
    });
    let title = |at: usize| run.task.passages.get(at).map(|p| format!("「{}」", escape_markdown(&p.document_title)));
    match places.as_ref().and_then(|p| p.first()) {
        Some((at, _)) => {
            let title = title(*at).unwrap_or_default();
            Ok(format!("{title}{}", run.emit.marks(&places.unwrap_or_default()).await?))
        }
        None if run.pasted.is_some() => Ok("붙여 넣은 글".to_owned()),
        None => Ok(EMPTY.to_owned()),
    }
}

/// Records of all the material: a pasted text that is too long for one reply is read part by part.
struct Reader<'f> {
    fields: &'f [String],
    most: usize,
    system: String,
    inputs: String,
    reply: usize,
    /// Material still to be read, last first; `None` before it was gathered.
    parts: Option<Vec<Material>>,
    total: usize,
    /// Of the part under way.
    open: Option<(Reply, RowReader, Vec<usize>)>,
    ready: Vec<Record>,
    given: usize,
    /// A reply came to its bound: rows may be missing.
    cut: bool,
    seen: HashSet<Vec<Option<String>>>,
}

const NOW: &str = "위의 글에서 rows를 채웁니다.";

impl<'f> Reader<'f> {
    fn new(run: &Run<'_>, fields: &'f [String]) -> Self {
        let most = run.task.plan.max_items.max(1);
        let named = if run.task.passages.is_empty() {
            ""
        } else {
            "- ‘근거’에는 그 줄의 근거가 된 자료의 번호를 하나 씁니다.\n"
        };
        let form = format!(
            "- 답은 JSON으로만 씁니다. rows에 한 건씩 적고, 칸은 {}입니다.\n\
             - 칸에는 글에 적힌 말을 짧게 그대로 옮깁니다. 글에 없는 칸은 \"\"로 둡니다. 맞는 것이 없으면 rows를 비웁니다.\n{named}",
            fields.join(", ")
        );
        Self {
            fields,
            most,
            system: run.prompter.system(&form),
            inputs: run.prompter.inputs(),
            reply: run.prompter.reply((PER_CELL * (fields.len() + 1) * most.min(24)).clamp(256, LONGEST)),
            parts: None,
            total: 0,
            open: None,
            ready: vec![],
            given: 0,
            cut: false,
            seen: HashSet::new(),
        }
    }

    /// The next record with at least one filled cell that has not been told.
    async fn next(&mut self, run: &mut Run<'_>) -> Result<Option<Record>, EngineError> {
        loop {
            if self.given >= self.most {
                return Ok(None);
            }
            if !self.ready.is_empty() {
                self.given += 1;
                return Ok(Some(self.ready.remove(0)));
            }
            if self.open.is_none() && !self.begin(run).await? {
                return Ok(None);
            }
            let Some((reply, rows, numbers)) = &mut self.open else { return Ok(None) };
            let Some(piece) = run.next(reply).await? else {
                self.cut |= reply.cut;
                self.open = None;
                continue;
            };
            let found: Vec<Row> = rows.feed(&piece).iter().map(|v| Row::read(v, self.fields)).collect();
            let numbers = numbers.clone();
            for row in found {
                if row.cells.iter().any(Option::is_some) && self.seen.insert(row.cells.clone()) {
                    self.ready.push(judged(run, row, &numbers));
                }
            }
        }
    }

    /// Asks about the next part of the material; `false` when there is none left.
    async fn begin(&mut self, run: &mut Run<'_>) -> Result<bool, EngineError> {
        if self.parts.is_none() {
            let mut parts = apart(|| self.gather(run))?;
            parts.reverse();
            self.total = parts.len();
            self.parts = Some(parts);
        }
        let Some(part) = self.parts.as_mut().and_then(Vec::pop) else { return Ok(false) };
        if self.total > 1 {
            let left = self.parts.as_ref().map_or(0, Vec::len) + 1;
            run.emit.progress(Stage::Reading, self.total - left, self.total).await?;
        }
        let schema = Constraint::JsonSchema(schema(self.fields, &part.numbers, self.most));
        let messages = run.prompter.messages(&self.system, &part.text, &self.inputs, NOW);
        let reply = run.chat(messages, self.reply, Some(schema)).await?;
        self.open = Some((reply, RowReader::default(), part.numbers));
        Ok(true)
    }

    fn gather(&self, run: &mut Run<'_>) -> Result<Vec<Material>, EngineError> {
        let fixed = [self.system.as_str(), self.inputs.as_str(), NOW];
        let room = run.prompter.room(&fixed, self.reply).ok_or_else(too_small)?;
        let alone = run.task.demanded().is_empty();
        match &run.pasted {
            Some(text) if alone && run.prompter.count(text) + 32 > room => {
                let pieces = cut(text, room.saturating_sub(32).max(1), |t| run.prompter.count(t));
                let part = |piece: &Piece| Material { text: fenced("입력: 글", &piece.text), numbers: vec![] };
                Ok(pieces.iter().map(part).collect())
            }
            _ => {
                let about = format!("{} {}", question(run), self.fields.join(" "));
                Ok(vec![gather(run, &fixed, self.reply, &about)?])
            }
        }
    }
}

fn judged(run: &Run<'_>, row: Row, numbers: &[usize]) -> Record {
    let cited: Vec<usize> = row.source.filter(|n| numbers.contains(n)).map(|n| n - 1).into_iter().collect();
    let judge = |text: String| {
        let verdict = run.sources.judge(&text, &cited);
        (text, verdict)
    };
    row.cells.into_iter().map(|cell| cell.map(judge)).collect()
}

//! Bodies of HWP 5: streams of records whose levels make a tree. Paragraphs hold controls; a control's own paragraphs
//! (cells, notes, text boxes, running heads) lie one or more levels below it.

use super::{
    Walked,
    flow::{self, Grid, Item, Line, MAX_DEPTH, Section},
    pages::{LinePlace, Pages},
    seal,
};
use crate::{
    Limits, ReadError,
    archive::{self, HwpHeader},
};
use std::ops::Range;
use unhwp::model::{NumberingState, ParagraphStyle, StyleRegistry};

/// Tags of records in a body, from Hancom's published format.
mod tag {
    pub const PARA_HEADER: u16 = 66;
    pub const PARA_TEXT: u16 = 67;
    pub const PARA_CHAR_SHAPE: u16 = 68;
    pub const PARA_LINE_SEG: u16 = 69;
    pub const CTRL_HEADER: u16 = 71;
    pub const LIST_HEADER: u16 = 72;
    pub const TABLE: u16 = 77;
    pub const EQUATION: u16 = 88;
}

pub(super) fn sections(
    bytes: &[u8],
    header: HwpHeader,
    styles: &StyleRegistry,
    limits: &Limits,
) -> Result<Walked, ReadError> {
    let mut walked = Walked::default();
    let mut pages = Pages::default();
    let streams = archive::hwp_sections(bytes, header, limits.inflated_bytes, seal::open)?;
    walked.broken = streams.is_empty();
    for stream in streams {
        let (records, whole) = records(&stream);
        walked.broken |= !whole;
        pages.section();
        let mut walker = Walker { records: &records, styles, numbering: NumberingState::new(), pages: &mut pages };
        let story = walker.story(0..records.len(), 0, true);
        walked.sections.push(story);
    }
    walked.pages_known = pages.make_sense();
    Ok(walked)
}

struct Record<'a> {
    tag: u16,
    level: u16,
    data: &'a [u8],
}

impl Record<'_> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.data.get(at..)?.first_chunk()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.data.get(at..)?.first_chunk()?))
    }
}

/// Splits a stream into records; `false` when its end is cut off.
fn records(stream: &[u8]) -> (Vec<Record<'_>>, bool) {
    let mut out = Vec::new();
    let mut rest = stream;
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let head = u32::from_le_bytes(*head);
        let (mut size, mut body) = ((head >> 20) as usize, behind);
        if size == 0xFFF {
            let Some((long, behind)) = body.split_first_chunk::<4>() else { return (out, false) };
            (size, body) = (u32::from_le_bytes(*long) as usize, behind);
        }
        let Some((data, behind)) = body.split_at_checked(size) else { return (out, false) };
        out.push(Record { tag: (head & 0x3FF) as u16, level: (head >> 10 & 0x3FF) as u16, data });
        rest = behind;
    }
    // Opened sealed streams end in the padding of their cipher.
    (out, rest.iter().all(|b| *b == 0))
}

struct Walker<'a> {
    records: &'a [Record<'a>],
    styles: &'a StyleRegistry,
    numbering: NumberingState,
    pages: &'a mut Pages,
}

impl<'a> Walker<'a> {
    fn record(&self, at: usize) -> Option<&'a Record<'a>> {
        self.records.get(at)
    }

    /// The records below the one at `at`, within `end`.
    fn below(&self, at: usize, end: usize) -> Range<usize> {
        let level = self.record(at).map_or(0, |r| r.level);
        let rest = self.records.get(at + 1..end).unwrap_or_default();
        let length = rest.iter().position(|r| r.level <= level).unwrap_or(rest.len());
        at + 1..at + 1 + length
    }

    /// All paragraphs of a range that are in no other paragraph of it.
    fn story(&mut self, range: Range<usize>, depth: usize, top: bool) -> Section {
        let mut out = Section::new();
        let mut at = range.start;
        while at < range.end {
            match self.record(at) {
                Some(record) if record.tag == tag::PARA_HEADER => {
                    let below = self.below(at, range.end);
                    at = below.end;
                    out.append(&mut self.paragraph(record, below, depth, top));
                }
                Some(record) if record.tag == tag::CTRL_HEADER && !top => {
                    // A shape inside a group, or a control that lost its paragraph.
                    let below = self.below(at, range.end);
                    let mut line = Line::default();
                    self.control(record, below.clone(), &mut line, depth);
                    out.append(&mut line.finish(ParagraphStyle::default(), None));
                    at = below.end;
                }
                _ => at += 1,
            }
        }
        out
    }

    fn paragraph(&mut self, header: &Record<'_>, below: Range<usize>, depth: usize, top: bool) -> Section {
        let style = self.style(header);
        let label = flow::label(&style, &mut self.numbering, self.styles);
        let mut units = Vec::new();
        let mut shapes = Vec::new();
        let mut places = Vec::new();
        let mut controls = Vec::new();
        let mut at = below.start;
        while at < below.end {
            let Some(record) = self.record(at) else { break };
            match record.tag {
                tag::PARA_TEXT => units = utf16(record.data),
                tag::PARA_CHAR_SHAPE => shapes = pairs(record.data),
                tag::PARA_LINE_SEG => places = line_places(record.data),
                tag::CTRL_HEADER => controls.push(at),
                _ => {}
            }
            at = self.below(at, below.end).end;
        }
        let mut line = Line::default();
        let mut out = Section::new();
        if top {
            self.note_columns(&controls);
            let breaks = header.u8(11).unwrap_or(0) & 0x04 != 0;
            for (unit, page) in self.pages.paragraph(&places, breaks) {
                if unit == 0 { out.push(Item::Page(page)) } else { line.breaks.push((unit, page)) }
            }
        }
        self.text(&units, &shapes, &controls, below.end, &mut line, depth);
        out.append(&mut line.finish(style, label));
        out
    }

    /// A definition of columns holds from its paragraph on.
    fn note_columns(&mut self, controls: &[usize]) {
        for control in controls.iter().filter_map(|at| self.records.get(*at)) {
            if control.data.starts_with(b"dloc") {
                self.pages.columns(u32::from(control.u16(4).unwrap_or(0) >> 2 & 0xFF));
            }
        }
    }

    fn style(&self, header: &Record<'_>) -> ParagraphStyle {
        let shape = u32::from(header.u16(8).unwrap_or(0));
        let mut style = self.styles.get_para_style(shape).cloned().unwrap_or_default();
        // A named style brings the outline level of its own paragraph shape.
        let named = self.styles.get_named_style(u32::from(header.u8(10).unwrap_or(0)));
        if let Some(shape) = named.and_then(|n| self.styles.get_para_style(n.para_shape_id))
            && shape.heading_level > 0
        {
            style.heading_level = shape.heading_level;
        }
        style
    }

    /// Characters of a paragraph; each extended control character takes the next control record.
    fn text(
        &mut self,
        units: &[u16],
        shapes: &[(usize, u32)],
        controls: &[usize],
        end: usize,
        line: &mut Line,
        depth: usize,
    ) {
        let mut controls = controls.iter().copied();
        let mut shapes = shapes.iter().peekable();
        let mut at = 0;
        while let Some(&unit) = units.get(at) {
            while let Some((_, shape)) = shapes.next_if(|(from, _)| *from <= at) {
                line.style(self.styles.get_char_style(*shape).cloned().unwrap_or_default());
            }
            line.units = at;
            match unit {
                13 => break,
                10 => line.line_break(),
                // A hyphen, a space that does not break, one of fixed width.
                24 => line.char('-'),
                30 | 31 => line.char(' '),
                9 => line.char('\t'),
                1..=3 | 11 | 12 | 14..=18 | 21..=23 => {
                    if let Some(control) = controls.next() {
                        self.control_at(control, end, line, depth);
                    }
                }
                0..=31 => {}
                _ => {
                    let pair = units.get(at..units.len().min(at + 2)).unwrap_or_default();
                    let decoded = char::decode_utf16(pair.iter().copied()).next().and_then(Result::ok);
                    line.char(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
                    at += decoded.map_or(1, char::len_utf16);
                    continue;
                }
            }
            at += width(unit);
        }
        line.units = at;
        for control in controls {
            self.control_at(control, end, line, depth);
        }
    }

    fn control_at(&mut self, at: usize, end: usize, line: &mut Line, depth: usize) {
        if let Some(record) = self.record(at) {
            let below = self.below(at, end);
            self.control(record, below, line, depth);
        }
    }

    fn control(&mut self, record: &Record<'_>, below: Range<usize>, line: &mut Line, depth: usize) {
        if depth >= MAX_DEPTH {
            return;
        }
        // Ids are written backwards.
        match record.data.first_chunk::<4>().unwrap_or(b"    ") {
            b" lbt" => {
                let grid = self.table(below, line, depth + 1);
                line.after.push(Item::Table(grid));
            }
            b"  nf" | b"  ne" => {
                let note = self.story(below, depth + 1, false);
                line.note(flow::in_one_line(&note));
                line.after.extend(note.into_iter().filter(|item| matches!(item, Item::Table(_))));
            }
            b"deqe" => {
                let script = self.records.get(below).unwrap_or_default().iter().find(|r| r.tag == tag::EQUATION);
                if let Some(script) = script.and_then(|r| counted(r.data, 4)) {
                    line.equation(&script);
                }
            }
            b"dces" => self.numbering.set_outline_id(u32::from(record.u16(18).unwrap_or(0))),
            // Running heads repeat on every page, comments are not the document's words.
            b"daeh" | b"toof" | b"tmct" => {}
            // Numbers of pictures, tables and equations; page and note numbers say nothing here.
            b"onta" if matches!(record.u32(4).unwrap_or(0) & 0xF, 3..=5) => {
                line.aside(&record.u16(8).unwrap_or(0).to_string());
            }
            b"tudt" => over_and_under(record.data, line),
            b"spct" => line.aside(&counted(record.data, 4).unwrap_or_default()),
            _ => {
                let mut story = self.story(below, depth + 1, false);
                line.after.append(&mut story);
            }
        }
    }

    fn table(&mut self, below: Range<usize>, line: &mut Line, depth: usize) -> Grid {
        let mut grid = Grid::default();
        let Some(level) = self.record(below.start).map(|r| r.level) else { return grid };
        let parts: Vec<usize> = below
            .clone()
            .filter(|at| {
                self.record(*at).is_some_and(|r| r.level == level && matches!(r.tag, tag::LIST_HEADER | tag::TABLE))
            })
            .collect();
        let mut cells = Vec::new();
        let mut in_table = false;
        for (index, at) in parts.iter().copied().enumerate() {
            let end = parts.get(index + 1).copied().unwrap_or(below.end);
            let Some(record) = self.record(at) else { continue };
            if record.tag == tag::TABLE {
                in_table = true;
                continue;
            }
            let story = self.story(at + 1..end, depth, false);
            if !in_table {
                // The caption.
                line.after.extend(story);
                continue;
            }
            let number = |at: usize| usize::from(record.u16(at).unwrap_or(0));
            let cell = grid.cell(story, number(14), number(12));
            let titled = record.u32(4).unwrap_or(0) & 1 << 18 != 0;
            cells.push((number(10), number(8), titled, cell));
        }
        // Cells may be written in any order.
        cells.sort_by_key(|(row, column, ..)| (*row, *column));
        grid.header = lay_out(cells, &mut grid.rows);
        grid
    }
}

/// Groups sorted cells into rows; tells how many leading rows are marked as the table's head.
fn lay_out(
    cells: Vec<(usize, usize, bool, crate::blocks::Cell)>,
    rows: &mut Vec<Vec<crate::blocks::Cell>>,
) -> Option<usize> {
    let mut head = 0;
    let mut last = None;
    for (row, _, titled, cell) in cells {
        // Rows that hold no cell of their own lie under cells from above.
        let gap = last.map_or(0, |l: usize| row.saturating_sub(l + 1)).min(64);
        if last != Some(row) {
            rows.resize_with(rows.len() + gap + 1, Vec::new);
            last = Some(row);
        }
        if titled && head + 1 >= rows.len() {
            head = rows.len();
        }
        if let Some(line) = rows.last_mut() {
            line.push(cell);
        }
    }
    (head > 0).then_some(head)
}

/// Units that a control character takes.
fn width(unit: u16) -> usize {
    match unit {
        0 | 10 | 13 | 24..=31 => 1,
        1..=23 => 8,
        _ => 1,
    }
}

fn utf16(data: &[u8]) -> Vec<u16> {
    data.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

/// Positions and character shapes.
fn pairs(data: &[u8]) -> Vec<(usize, u32)> {
    let both = data.as_chunks::<8>().0.iter();
    both.map(|b| {
        let [a, b, c, d, rest @ ..] = *b;
        (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes(rest))
    })
    .collect()
}

fn line_places(data: &[u8]) -> Vec<LinePlace> {
    const SIZE: usize = 36;
    let number = |b: &[u8], at: usize| b.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| i32::from_le_bytes(*b));
    let place = |b: &[u8]| LinePlace {
        at: usize::try_from(number(b, 0)).unwrap_or(0),
        down: number(b, 4),
        right: number(b, 24),
    };
    data.chunks_exact(SIZE).map(place).collect()
}

/// A string behind its length in units.
fn counted(data: &[u8], at: usize) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(*data.get(at..)?.first_chunk()?));
    let units = utf16(data.get(at + 2..at + 2 + length * 2)?);
    Some(String::from_utf16_lossy(&units))
}

/// 덧말: a main text with small letters above or below it.
fn over_and_under(data: &[u8], line: &mut Line) {
    let Some(main) = counted(data, 4) else { return };
    let small = counted(data, 6 + main.encode_utf16().count() * 2).unwrap_or_default();
    line.aside(&main);
    if !small.trim().is_empty() {
        line.aside(&format!("({small})"));
    }
}

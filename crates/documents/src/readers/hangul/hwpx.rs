//! Bodies of HWPX: section files of XML, walked as a stream of tags. Names are read without their prefixes.

use super::{
    Walked,
    flow::{self, Grid, Item, Line, MAX_DEPTH, Section},
    pages::{LinePlace, Pages},
};
use crate::{
    Limits, ReadError, archive,
    xml::{Event, Tags},
};
use std::collections::HashMap;
use unhwp::model::{NumberingState, ParagraphStyle, StyleRegistry};

pub(super) fn sections(bytes: &[u8], styles: &StyleRegistry, limits: &Limits) -> Result<Walked, ReadError> {
    let mut walked = Walked::default();
    let mut pages = Pages::default();
    let mut names: Vec<(u32, String)> = archive::zip_names(bytes)?.into_iter().filter_map(section_number).collect();
    names.sort_unstable();
    walked.broken = names.is_empty();
    let named = archive::zip_text(bytes, "Contents/header.xml", limits.inflated_bytes);
    let named = named.map(|xml| named_shapes(&xml)).unwrap_or_default();
    for (_, name) in names {
        let Some(xml) = archive::zip_text(bytes, &name, limits.inflated_bytes) else {
            walked.broken = true;
            continue;
        };
        pages.section();
        let mut walker = Walker {
            tags: Tags::new(&xml),
            styles,
            named: &named,
            numbering: NumberingState::new(),
            pages: &mut pages,
            deleted: false,
        };
        let story = walker.story(0, true);
        walked.broken |= walker.tags.is_broken();
        walked.sections.push(story);
    }
    walked.pages_known = pages.make_sense();
    Ok(walked)
}

/// Named styles: id → id of the paragraph shape that they stand for.
fn named_shapes(header: &str) -> HashMap<u32, u32> {
    let mut tags = Tags::new(header);
    let mut out = HashMap::new();
    loop {
        match tags.next() {
            Event::Start(tag) | Event::Empty(tag) if tag.name == "style" => {
                let number = |name: &str| tag.get(name).and_then(|v| v.parse().ok());
                if let (Some(id), Some(shape)) = (number("id"), number("paraPrIDRef")) {
                    out.insert(id, shape);
                }
            }
            Event::Eof => return out,
            _ => {}
        }
    }
}

fn section_number(name: String) -> Option<(u32, String)> {
    let number = name.strip_prefix("Contents/section")?.strip_suffix(".xml")?.parse().ok()?;
    Some((number, name))
}

struct Walker<'a> {
    tags: Tags<'a>,
    styles: &'a StyleRegistry,
    named: &'a HashMap<u32, u32>,
    numbering: NumberingState,
    pages: &'a mut Pages,
    /// Between the marks of a deletion that is still tracked.
    deleted: bool,
}

impl Walker<'_> {
    /// Paragraphs and tables up to the end of the open element, however deep they lie in others.
    fn story(&mut self, depth: usize, top: bool) -> Section {
        let mut out = Section::new();
        let mut open = 0usize;
        loop {
            match self.tags.next() {
                Event::Start(tag) => match tag.name.as_str() {
                    "p" if depth < MAX_DEPTH => {
                        let mut paragraph = self.paragraph(&tag, depth, top);
                        out.append(&mut paragraph);
                    }
                    "tbl" if depth < MAX_DEPTH => {
                        let mut line = Line::default();
                        let grid = self.table(&mut line, depth + 1);
                        out.append(&mut line.after);
                        out.push(Item::Table(grid));
                    }
                    // Names of colours and fonts, notes on how shapes were made.
                    "shapeComment" | "parameterset" | "script" => self.tags.skip(),
                    _ => open += 1,
                },
                Event::End(_) if open == 0 && !top => return out,
                Event::End(_) => open = open.saturating_sub(1),
                Event::Eof => return out,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
    }

    fn paragraph(&mut self, tag: &crate::xml::Tag, depth: usize, top: bool) -> Section {
        let style = self.style(tag);
        let label = flow::label(&style, &mut self.numbering, self.styles);
        let breaks = tag.get("pageBreak") == Some("1");
        let mut line = Line::default();
        let mut places = Vec::new();
        // Line positions come last, so the text is kept with its units until they are known.
        let mut runs: Vec<Piece> = Vec::new();
        loop {
            match self.tags.next() {
                Event::Start(tag) => match tag.name.as_str() {
                    "run" => self.run(&tag, &mut runs, depth),
                    "linesegarray" => places = self.line_places(),
                    _ => self.tags.skip(),
                },
                Event::End(_) | Event::Eof => break,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
        let mut out = Section::new();
        if top {
            for (unit, page) in self.pages.paragraph(&places, breaks) {
                if unit == 0 { out.push(Item::Page(page)) } else { line.breaks.push((unit, page)) }
            }
        }
        for piece in runs {
            piece.write(&mut line, self.styles);
        }
        out.append(&mut line.finish(style, label));
        out
    }

    fn style(&self, tag: &crate::xml::Tag) -> ParagraphStyle {
        let number = |name: &str| tag.get(name).and_then(|v| v.parse::<u32>().ok());
        let shape = number("paraPrIDRef").and_then(|id| self.styles.get_para_style(id));
        let mut style = shape.cloned().unwrap_or_default();
        let named = number("styleIDRef").and_then(|id| self.named.get(&id));
        if let Some(named) = named.and_then(|shape| self.styles.get_para_style(*shape))
            && named.heading_level > 0
        {
            style.heading_level = named.heading_level;
        }
        style
    }

    fn line_places(&mut self) -> Vec<LinePlace> {
        let mut out = Vec::new();
        loop {
            match self.tags.next() {
                Event::Empty(tag) => {
                    let number = |name: &str| tag.get(name).and_then(|v| v.parse().ok()).unwrap_or(0);
                    let at = usize::try_from(number("textpos")).unwrap_or(0);
                    out.push(LinePlace { at, down: number("vertpos"), right: number("horzpos") });
                }
                Event::Start(_) => self.tags.skip(),
                Event::End(_) | Event::Eof => return out,
                Event::Text(_) => {}
            }
        }
    }

    fn run(&mut self, tag: &crate::xml::Tag, pieces: &mut Vec<Piece>, depth: usize) {
        if let Some(shape) = tag.get("charPrIDRef").and_then(|v| v.parse().ok()) {
            pieces.push(Piece::Style(shape));
        }
        loop {
            match self.tags.next() {
                Event::Start(tag) => match tag.name.as_str() {
                    "t" => self.text(pieces),
                    "secPr" => {
                        self.outline(&tag);
                        self.tags.skip();
                        pieces.push(Piece::Control);
                    }
                    "ctrl" => self.controls(pieces, depth),
                    _ => self.object(&tag, pieces, depth),
                },
                Event::Empty(tag) if tag.name == "secPr" => self.outline(&tag),
                Event::Empty(tag) if tag.name == "compose" => compose(&tag, pieces),
                Event::End(_) | Event::Eof => return,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
    }

    fn outline(&mut self, tag: &crate::xml::Tag) {
        if let Some(id) = tag.get("outlineShapeIDRef").and_then(|v| v.parse().ok()) {
            self.numbering.set_outline_id(id);
        }
    }

    fn text(&mut self, pieces: &mut Vec<Piece>) {
        let mut open = 0usize;
        loop {
            match self.tags.next() {
                Event::Text(text) if !self.deleted => pieces.push(Piece::Text(text)),
                Event::Text(_) => {}
                Event::Empty(tag) => self.sign(&tag.name, pieces),
                Event::Start(tag) => {
                    self.sign(&tag.name, pieces);
                    open += 1;
                }
                Event::End(_) if open > 0 => open -= 1,
                Event::End(_) | Event::Eof => return,
            }
        }
    }

    /// What stands between characters of a text element.
    fn sign(&mut self, name: &str, pieces: &mut Vec<Piece>) {
        match name {
            "tab" => pieces.push(Piece::Tab),
            "lineBreak" => pieces.push(Piece::Break),
            "nbSpace" | "fwSpace" => pieces.push(Piece::Text(" ".to_owned())),
            "hyphen" | "hypen" => pieces.push(Piece::Text("-".to_owned())),
            "deleteBegin" => self.deleted = true,
            "deleteEnd" => self.deleted = false,
            _ => {}
        }
    }

    fn controls(&mut self, pieces: &mut Vec<Piece>, depth: usize) {
        loop {
            match self.tags.next() {
                Event::Start(tag) => {
                    self.note_columns(&tag, depth);
                    pieces.push(Piece::Control);
                    match tag.name.as_str() {
                        "footNote" | "endNote" if depth < MAX_DEPTH => {
                            let story = self.story(depth + 1, false);
                            pieces.push(Piece::Note(flow::in_one_line(&story)));
                            let tables = story.into_iter().filter(|i| matches!(i, Item::Table(_)));
                            pieces.push(Piece::Behind(tables.collect()));
                        }
                        "autoNum" => {
                            auto_number(&tag, pieces);
                            self.tags.skip();
                        }
                        _ => self.tags.skip(),
                    }
                }
                Event::Empty(tag) => {
                    self.note_columns(&tag, depth);
                    auto_number(&tag, pieces);
                    pieces.push(Piece::Control);
                }
                Event::End(_) | Event::Eof => return,
                Event::Text(_) => {}
            }
        }
    }

    /// A definition of columns holds from its paragraph on.
    fn note_columns(&mut self, tag: &crate::xml::Tag, depth: usize) {
        if tag.name == "colPr" && depth == 0 {
            self.pages.columns(tag.get("colCount").and_then(|c| c.parse().ok()).unwrap_or(1));
        }
    }

    fn object(&mut self, tag: &crate::xml::Tag, pieces: &mut Vec<Piece>, depth: usize) {
        pieces.push(Piece::Control);
        match tag.name.as_str() {
            _ if depth >= MAX_DEPTH => self.tags.skip(),
            "tbl" => {
                let mut line = Line::default();
                let grid = self.table(&mut line, depth + 1);
                let mut behind = line.after;
                behind.push(Item::Table(grid));
                pieces.push(Piece::Behind(behind));
            }
            "equation" => {
                let script = self.text_of("script");
                pieces.push(Piece::Equation(script));
            }
            "dutmal" => {
                let (main, small) = self.dutmal();
                pieces.push(Piece::Aside(if small.is_empty() { main } else { format!("{main}({small})") }));
            }
            "compose" => {
                compose(tag, pieces);
                self.tags.skip();
            }
            "textart" => {
                let text = tag.get("text").unwrap_or_default().to_owned();
                pieces.push(Piece::Behind(plain(&text)));
                self.tags.skip();
            }
            _ => {
                let story = self.story(depth + 1, false);
                pieces.push(Piece::Behind(story));
            }
        }
    }

    /// Text of the elements of this name within the open one.
    fn text_of(&mut self, name: &str) -> String {
        let mut out = String::new();
        let (mut open, mut inside) = (0usize, false);
        loop {
            match self.tags.next() {
                Event::Start(tag) => {
                    open += 1;
                    inside = tag.name == name;
                }
                Event::Text(text) if inside => out.push_str(&text),
                Event::End(_) if open > 0 => {
                    open -= 1;
                    inside = false;
                }
                Event::End(_) | Event::Eof => return out,
                Event::Text(_) | Event::Empty(_) => {}
            }
        }
    }

    fn dutmal(&mut self) -> (String, String) {
        let (mut main, mut small) = (String::new(), String::new());
        let mut inside = None;
        loop {
            match self.tags.next() {
                Event::Start(tag) => inside = Some(tag.name == "mainText"),
                Event::Text(text) => match inside {
                    Some(true) => main.push_str(&text),
                    Some(false) => small.push_str(&text),
                    None => {}
                },
                Event::End(_) if inside.is_some() => inside = None,
                Event::End(_) | Event::Eof => return (main, small),
                Event::Empty(_) => {}
            }
        }
    }

    fn table(&mut self, line: &mut Line, depth: usize) -> Grid {
        let mut grid = Grid::default();
        let mut head = 0;
        loop {
            match self.tags.next() {
                Event::Start(tag) => match tag.name.as_str() {
                    "tr" => {
                        let titled = self.row(&mut grid, depth);
                        if titled && head + 1 >= grid.rows.len() {
                            head = grid.rows.len();
                        }
                    }
                    "caption" => line.after.extend(self.story(depth, false)),
                    _ => self.tags.skip(),
                },
                Event::End(_) | Event::Eof => break,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
        grid.header = (head > 0).then_some(head);
        grid
    }

    /// Reads a row; tells whether it is marked as part of the table's head.
    fn row(&mut self, grid: &mut Grid, depth: usize) -> bool {
        let mut row = Vec::new();
        let mut titled = false;
        loop {
            match self.tags.next() {
                Event::Start(tag) if tag.name == "tc" => {
                    titled |= tag.get("header") == Some("1");
                    row.push(self.cell(grid, depth));
                }
                Event::Start(_) => self.tags.skip(),
                Event::End(_) | Event::Eof => break,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
        grid.rows.push(row);
        titled
    }

    fn cell(&mut self, grid: &mut Grid, depth: usize) -> crate::blocks::Cell {
        let (mut rows, mut columns) = (1, 1);
        let mut story = Section::new();
        loop {
            match self.tags.next() {
                Event::Start(tag) if tag.name == "subList" => story.append(&mut self.story(depth, false)),
                Event::Start(_) => self.tags.skip(),
                Event::Empty(tag) if tag.name == "cellSpan" => {
                    let span = |name: &str| tag.get(name).and_then(|v| v.parse().ok()).unwrap_or(1);
                    (rows, columns) = (span("rowSpan"), span("colSpan"));
                }
                Event::End(_) | Event::Eof => return grid.cell(story, rows, columns),
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
    }
}

/// A piece of a paragraph, kept until its line positions are read.
enum Piece {
    Style(u32),
    Text(String),
    Tab,
    Break,
    /// A control, whose only trace is the room it takes.
    Control,
    Aside(String),
    Note(String),
    Equation(String),
    Behind(Section),
}

impl Piece {
    fn write(self, line: &mut Line, styles: &StyleRegistry) {
        match self {
            Piece::Style(id) => line.style(styles.get_char_style(id).cloned().unwrap_or_default()),
            Piece::Text(text) => text.chars().for_each(|c| line.char(c)),
            Piece::Tab => {
                line.char('\t');
                line.units += 7;
            }
            Piece::Break => line.line_break(),
            Piece::Control => line.units += 8,
            Piece::Aside(text) => line.aside(&text),
            Piece::Note(text) => line.note(text),
            Piece::Equation(script) => line.equation(&script),
            Piece::Behind(mut story) => line.after.append(&mut story),
        }
    }
}

/// Numbers of pictures, tables and equations; page and note numbers say nothing here.
fn auto_number(tag: &crate::xml::Tag, pieces: &mut Vec<Piece>) {
    if tag.name == "autoNum" && matches!(tag.get("numType"), Some("PICTURE" | "TABLE" | "EQUATION")) {
        pieces.push(Piece::Aside(tag.get("num").unwrap_or_default().to_owned()));
    }
}

/// 글자 겹침: characters drawn over one another.
fn compose(tag: &crate::xml::Tag, pieces: &mut Vec<Piece>) {
    pieces.push(Piece::Aside(tag.get("composeText").unwrap_or_default().to_owned()));
}

/// A story of one unstyled paragraph.
fn plain(text: &str) -> Section {
    let mut line = Line::default();
    line.aside(text);
    line.finish(ParagraphStyle::default(), None)
}

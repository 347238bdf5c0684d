//! What both walkers produce, and how it becomes stored text: paragraphs, tables and page starts in reading order.

use crate::blocks::{Builder, Cell};
use unhwp::{
    Document,
    model::{
        Block, Equation, InlineContent, NumberingState, Paragraph, ParagraphStyle, StyleRegistry, TextRun, TextStyle,
    },
    render::HeadingAnalyzer,
};

/// Deepest story (a cell, a note, a text box) inside stories.
pub(super) const MAX_DEPTH: usize = 24;

/// Stands inside a paragraph's text where a page begins; no document can hold it, control characters are no text.
const PAGE_MARK: char = '\u{1}';

pub(super) type Section = Vec<Item>;

/// A piece of a section in reading order.
#[derive(Debug)]
pub(super) enum Item {
    /// What follows stands on this page.
    Page(u32),
    Paragraph(Flowing),
    Table(Grid),
}

/// A paragraph, and the pages that begin inside it, one for each mark in its text.
#[derive(Debug, Default)]
pub(super) struct Flowing {
    pub paragraph: Paragraph,
    pub pages: Vec<u32>,
}

/// A table with the tables that stand in its cells.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub rows: Vec<Vec<Cell>>,
    /// Rows that the document itself calls headings of the table.
    pub header: Option<usize>,
    pub nested: Vec<Grid>,
}

impl Grid {
    /// Puts a story into a cell: its paragraphs as lines, its tables behind this one.
    pub fn cell(&mut self, story: Section, rows: usize, columns: usize) -> Cell {
        let mut lines = Vec::new();
        for item in story {
            match item {
                Item::Paragraph(flowing) => lines.push(words(&flowing.paragraph)),
                Item::Table(grid) => self.nested.push(grid),
                Item::Page(_) => {}
            }
        }
        Cell::spanning(lines.join("\n"), rows, columns)
    }
}

/// The text of a story on one line, for notes.
pub(super) fn in_one_line(story: &Section) -> String {
    let lines = story.iter().filter_map(|item| match item {
        Item::Paragraph(flowing) => Some(words(&flowing.paragraph)),
        _ => None,
    });
    lines
        .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A paragraph being put together.
#[derive(Default)]
pub(super) struct Line {
    content: Vec<InlineContent>,
    text: String,
    style: TextStyle,
    /// Position in the units that line positions count in: UTF-16, eight for a control.
    pub units: usize,
    /// Page starts inside the paragraph still to come: position and page.
    pub breaks: Vec<(usize, u32)>,
    pages: Vec<u32>,
    /// Text boxes and tables anchored in the paragraph.
    pub after: Section,
}

impl Line {
    pub fn style(&mut self, style: TextStyle) {
        if style != self.style {
            self.flush();
            self.style = style;
        }
    }

    pub fn char(&mut self, c: char) {
        self.mark();
        self.text.push(c);
        self.units += c.len_utf16();
    }

    /// Text that takes no room in the units.
    pub fn aside(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn line_break(&mut self) {
        self.flush();
        self.content.push(InlineContent::LineBreak);
        self.units += 1;
    }

    pub fn note(&mut self, text: String) {
        if !text.is_empty() {
            self.flush();
            self.content.push(InlineContent::Footnote(text));
        }
    }

    pub fn equation(&mut self, script: &str) {
        self.flush();
        self.content.push(InlineContent::Equation(Equation::new(super::equation::readable(script))));
    }

    /// A page begins here if one is due.
    fn mark(&mut self) {
        while let Some(&(at, page)) = self.breaks.first()
            && at <= self.units
        {
            self.breaks.remove(0);
            self.pages.push(page);
            self.text.push(PAGE_MARK);
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.content.push(InlineContent::Text(TextRun::with_style(text, self.style.clone())));
        }
    }

    /// The paragraph (unless it is empty), what is anchored in it, and the pages that began behind its last letter.
    pub fn finish(mut self, style: ParagraphStyle, label: Option<String>) -> Section {
        self.flush();
        let has_text =
            self.content.iter().any(|c| !matches!(c, InlineContent::Text(run) if run.text.trim().is_empty()));
        let mut out = Section::new();
        if has_text {
            if let Some(label) = label {
                self.content.insert(0, InlineContent::Text(TextRun::new(format!("{label} "))));
            }
            let paragraph = Paragraph { style, content: self.content };
            out.push(Item::Paragraph(Flowing { paragraph, pages: self.pages }));
        }
        out.append(&mut self.after);
        out.extend(self.breaks.into_iter().map(|(_, page)| Item::Page(page)));
        out
    }
}

/// The number or bullet that a paragraph is shown with; counts it.
pub(super) fn label(style: &ParagraphStyle, numbering: &mut NumberingState, styles: &StyleRegistry) -> Option<String> {
    style.head.as_ref().and_then(|head| numbering.label(head, styles))
}

/// Text of a paragraph with its notes in brackets where they are called.
pub(super) fn words(paragraph: &Paragraph) -> String {
    let mut out = String::new();
    for part in &paragraph.content {
        match part {
            InlineContent::Text(run) => out.push_str(&run.text),
            InlineContent::LineBreak => out.push('\n'),
            InlineContent::Link { text, .. } => out.push_str(text),
            InlineContent::Equation(equation) => out.push_str(&equation.script),
            InlineContent::Footnote(note) => out.push_str(&format!(" (주: {note})")),
            InlineContent::Image(_) => {}
        }
    }
    out
}

/// Writes sections into the builder. Headings are judged over the whole document: which size is large, say, depends on
/// what most of it is set in.
pub(super) fn push(builder: &mut Builder, sections: Vec<Section>, styles: StyleRegistry, pages_known: bool) {
    let mut document = Document { styles, ..Document::default() };
    let mut shown = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let mut judged = unhwp::model::Section::new(index);
        for item in section {
            if let Item::Paragraph(flowing) = &item {
                judged.content.push(Block::Paragraph(flowing.paragraph.clone()));
            }
            shown.push(item);
        }
        document.sections.push(judged);
    }
    // One decision per paragraph, in order.
    let mut decisions = HeadingAnalyzer::with_defaults().analyze(&document).into_iter();
    for item in shown {
        match item {
            Item::Page(page) if pages_known => builder.page_estimated(page),
            Item::Page(_) => {}
            Item::Paragraph(flowing) => {
                let level = decisions.next().and_then(|d| d.level());
                push_paragraph(builder, &flowing, level, pages_known);
            }
            Item::Table(grid) => push_grid(builder, &grid),
        }
    }
}

fn push_paragraph(builder: &mut Builder, flowing: &Flowing, level: Option<u8>, pages_known: bool) {
    let text = words(&flowing.paragraph);
    let letters = |part: &str| part.chars().filter(|c| !c.is_whitespace() && *c != PAGE_MARK).count();
    let marks =
        text.char_indices().filter(|(_, c)| *c == PAGE_MARK).map(|(at, _)| letters(text.get(..at).unwrap_or("")));
    let inside: Vec<(usize, u32)> =
        if pages_known { marks.zip(flowing.pages.iter().copied()).collect() } else { Vec::new() };
    match level {
        // Whole sentences in large letters are no headings.
        Some(level) if text.chars().count() <= 80 => {
            builder.heading(level, &text);
            inside.last().into_iter().for_each(|(_, page)| builder.page_estimated(*page));
        }
        _ => builder.paragraph_over_pages(&text, &inside),
    }
}

fn push_grid(builder: &mut Builder, grid: &Grid) {
    builder.table_with_header(&grid.rows, grid.header);
    for nested in &grid.nested {
        push_grid(builder, nested);
    }
}

//! PDF through unpdf, page by page: page numbers are exact, a slow page is stopped between pages. What a page repeats
//! at its edges goes, bookmarks become headings where the text has them.

mod heads;
mod painted;

use crate::{
    Limits, ReadError,
    blocks::{Body, Builder, Cell},
};
use painted::Painted;
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};
use unpdf::{
    Block, Error, InlineContent, Page, PageStreamOptions, Paragraph, ParseEvent, ParseOptions, PdfParser, Table,
    model::OutlineItem, render::PageSelection,
};

pub(in crate::readers) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let started = Instant::now();
    // The signature may stand behind a few stray bytes.
    let start = crate::format::find(bytes.get(..bytes.len().min(1024)).unwrap_or(bytes), b"%PDF-").unwrap_or(0);
    let bytes = bytes.get(start..).unwrap_or(bytes);
    let options = ParseOptions::new().lenient().with_resources(false).sequential();
    let parser = PdfParser::from_bytes_with_options(bytes, options).map_err(|e| refusal(&e))?;
    let mut seen = Seen::default();
    let painted = painted(bytes, limits.time)?;
    seen.failed = painted.iter().filter(|(_, p)| p.far).map(|(number, _)| *number).collect();
    let mut sheets = Vec::new();
    let mut bookmarks = Vec::new();
    let mut title = None;
    let mut letters = 0;
    let pages = match seen.failed.len() {
        0 => PageSelection::All,
        failed if failed == painted.len() => return Err(ReadError::Damaged),
        _ => PageSelection::Pages(painted.iter().filter(|(_, p)| !p.far).map(|(number, _)| *number).collect()),
    };
    let stream = PageStreamOptions { parallel: false, window_size: 1, pages, ..PageStreamOptions::default() };
    let outcome = parser.for_each_page(stream, |event| {
        if started.elapsed() > limits.time {
            seen.late = true;
            return ControlFlow::Break(());
        }
        match event {
            ParseEvent::DocumentStart { metadata, outline, .. } => {
                title = metadata.title;
                outline.iter().for_each(|o| collect(&o.items, 1, &mut bookmarks));
            }
            ParseEvent::PageParsed(page) => {
                seen.note(&page);
                let sheet = Sheet::of(page);
                letters += sheet.letters();
                sheets.push(sheet);
            }
            ParseEvent::PageFailed { page, .. } => seen.failed.push(page),
            _ => {}
        }
        if letters > limits.text_chars { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if seen.late {
        return Err(ReadError::Timeout);
    }
    let quality = outcome.map_err(|e| refusal(&e))?;
    mend(&mut sheets, &painted);
    let mut builder = Builder::new(limits.text_chars);
    builder.title = title.filter(|t| is_telling(t));
    push(&mut builder, &sheets, &bookmarks);
    let body = builder.finish()?;
    judge(body, &seen, quality.pages_incomplete || quality.undecodable_content_streams > 0)
}

/// Every page as it is painted, by its number.
fn painted(bytes: &[u8], time: Duration) -> Result<BTreeMap<u32, Painted>, ReadError> {
    let started = Instant::now();
    let pages = painted::Pages::new(bytes);
    let mut out = BTreeMap::new();
    for number in pages.numbers() {
        if started.elapsed() > time {
            return Err(ReadError::Timeout);
        }
        out.insert(number, pages.page(number));
    }
    Ok(out)
}

/// A page's blocks with their texts.
struct Sheet {
    number: u32,
    blocks: Vec<Block>,
    /// Text of each paragraph, `None` for other blocks.
    texts: Vec<Option<String>>,
}

impl Sheet {
    fn of(page: Page) -> Self {
        let blocks: Vec<Block> = page
            .elements
            .into_iter()
            .filter(|b| matches!(b, Block::Paragraph(_) | Block::Table(_) | Block::Code { .. } | Block::Raw { .. }))
            .collect();
        let texts = blocks.iter().map(|b| if let Block::Paragraph(p) = b { Some(joined(p)) } else { None }).collect();
        Self { number: page.number, blocks, texts }
    }

    fn letters(&self) -> usize {
        self.texts.iter().flatten().map(|t| t.chars().count()).sum()
    }
}

/// Share of lines with white space painted at their ends from which its absence means a torn word.
const SPACED_ENDS: usize = 4;

/// Gives list items their own marks back, joins what a mark inside a sentence tore apart, and closes words that a line
/// end tore, where the program that wrote the file paints the spaces at line ends.
fn mend(sheets: &mut [Sheet], pages: &BTreeMap<u32, Painted>) {
    let (joints, spaced) =
        pages.values().map(Painted::line_joints).fold((0, 0), |sum, page| (sum.0 + page.0, sum.1 + page.1));
    let ends_are_painted = spaced * SPACED_ENDS >= joints && spaced > 0;
    let words = painted::Words::of(sheets.iter().flat_map(|s| s.texts.iter().flatten()).map(String::as_str));
    let one_word = |before: &str, behind: &str| ends_are_painted || words.one_word(before, behind);
    for sheet in sheets {
        let Some(painted) = pages.get(&sheet.number) else { continue };
        let mut from = 0;
        let mut last: Option<usize> = None;
        for index in 0..sheet.texts.len() {
            let Some(Some(text)) = sheet.texts.get(index) else {
                last = None;
                continue;
            };
            let bulleted = text.strip_prefix('•').map(str::trim_start);
            let own = bulleted.unwrap_or(text);
            let Some(at) = painted.find(own, from) else {
                last = Some(index);
                continue;
            };
            from = at;
            let mut mended = painted.mended(own, at, one_word);
            if let Some(year) = painted.digits_before(at).filter(|_| own.starts_with('년')) {
                mended.insert_str(0, &year);
            }
            let mark = bulleted.and_then(|_| painted.mark_before(at));
            let open_sentence =
                last.and_then(|l| sheet.texts.get(l)?.as_ref()).is_some_and(|t| t.ends_with(char::is_alphanumeric));
            match (mark, last) {
                // A middle dot at a line's start goes on with the sentence before.
                (Some(mark @ ('ㆍ' | '·' | '∙')), Some(before)) if open_sentence => {
                    if let Some(Some(earlier)) = sheet.texts.get_mut(before) {
                        earlier.push(mark);
                        earlier.push_str(&mended);
                    }
                    sheet.texts.get_mut(index).into_iter().for_each(|t| *t = Some(String::new()));
                    continue;
                }
                (mark, _) => {
                    let mark = mark.map(|m| format!("{m} ")).or(bulleted.map(|_| "• ".to_owned())).unwrap_or_default();
                    sheet.texts.get_mut(index).into_iter().for_each(|t| *t = Some(format!("{mark}{mended}")));
                }
            }
            last = Some(index);
        }
    }
}

/// An entry of the outline.
struct Bookmark {
    /// Without white space.
    title: String,
    page: Option<u32>,
    level: u8,
}

/// Most bookmarks kept, and their deepest level.
const MAX_BOOKMARKS: usize = 5000;

fn collect(items: &[OutlineItem], level: u8, out: &mut Vec<Bookmark>) {
    for item in items {
        if out.len() < MAX_BOOKMARKS {
            out.push(Bookmark { title: solid(&item.title), page: item.page, level });
        }
        if level < 6 {
            collect(&item.children, level + 1, out);
        }
    }
}

fn solid(text: &str) -> String {
    crate::text::normalise(text).chars().filter(|c| !c.is_whitespace()).collect()
}

fn push(builder: &mut Builder, sheets: &[Sheet], bookmarks: &[Bookmark]) {
    let texts: Vec<Vec<Option<String>>> = sheets.iter().map(|s| s.texts.clone()).collect();
    let repeated = heads::repeated(&texts);
    for (page, sheet) in sheets.iter().enumerate() {
        builder.page(sheet.number);
        for (index, (block, text)) in sheet.blocks.iter().zip(&sheet.texts).enumerate() {
            if repeated.contains(&(page, index)) {
                continue;
            }
            match (block, text) {
                (Block::Paragraph(paragraph), Some(text)) => {
                    let level = bookmarked(bookmarks, text, sheet.number).or_else(|| paragraph.heading_level());
                    match level {
                        Some(level) => builder.heading(level, text),
                        None => builder.paragraph(text),
                    }
                }
                (Block::Table(table), _) => push_table(builder, table),
                (Block::Code { content } | Block::Raw { content }, _) => builder.paragraph(content),
                _ => {}
            }
        }
    }
}

/// The level of the bookmark that names this line on this page.
fn bookmarked(bookmarks: &[Bookmark], text: &str, page: u32) -> Option<u8> {
    if bookmarks.is_empty() || text.chars().count() > 120 {
        return None;
    }
    let text = solid(text);
    let named = |b: &&Bookmark| b.title == text && b.page.is_none_or(|p| p == page);
    bookmarks.iter().find(named).map(|b| b.level)
}

/// What the pages held beside text.
#[derive(Default)]
struct Seen {
    pages: u32,
    pictures: u32,
    unreadable: Vec<u32>,
    /// Pages that are pictures of text.
    scanned: Vec<u32>,
    failed: Vec<u32>,
    late: bool,
}

impl Seen {
    fn note(&mut self, page: &Page) {
        let silent = !page.plain_text().chars().any(char::is_alphanumeric);
        let pictured = page.image_op_count > 0 || page.image_coverage > 0.0 || page.ocr_text_suppressed;
        // A page number under a picture of the page is no text layer.
        let only_margins = page.image_coverage > 0.6
            && page.painted_text_chars <= page.margin_text_chars
            && page.invisible_text_chars == 0;
        self.pages += 1;
        self.pictures += u32::from(pictured);
        if silent && pictured || only_margins {
            self.scanned.push(page.number);
        }
        if page.suppressed_text_runs > 0 || page.undecoded_text_codes > 0 {
            self.unreadable.push(page.number);
        }
    }
}

fn judge(mut body: Body, seen: &Seen, incomplete: bool) -> Result<Body, ReadError> {
    if !body.text.chars().any(char::is_alphanumeric) {
        return Err(match (seen.pictures, seen.failed.len() + seen.unreadable.len()) {
            (1.., _) => ReadError::Scanned,
            (0, 1..) => ReadError::Damaged,
            (0, 0) if seen.pages == 0 || incomplete => ReadError::Damaged,
            _ => ReadError::Empty,
        });
    }
    if !seen.scanned.is_empty() {
        let (pages, count) = (ranges(&seen.scanned), seen.scanned.len());
        body.warnings.push(format!("그림뿐인 쪽은 글자를 읽지 못했습니다: {pages}쪽(모두 {count}쪽)."));
    }
    if !seen.unreadable.is_empty() {
        body.warnings.push(format!("글꼴 정보가 없어 빠진 글자가 있습니다: {}쪽.", ranges(&seen.unreadable)));
    }
    if !seen.failed.is_empty() {
        body.warnings.push(format!("손상되어 읽지 못한 쪽이 있습니다: {}쪽.", ranges(&seen.failed)));
    } else if incomplete {
        body.warnings.push("파일 일부가 손상되어 빠진 쪽이 있을 수 있습니다.".to_owned());
    }
    Ok(body)
}

/// `[1, 2, 3, 7]` → `1–3, 7`; many ranges are cut short.
fn ranges(pages: &[u32]) -> String {
    const SHOWN: usize = 30;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &page in pages {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == page => *last = page,
            _ => runs.push((page, page)),
        }
    }
    let shown = runs.iter().take(SHOWN).map(|(a, b)| if a == b { a.to_string() } else { format!("{a}–{b}") });
    let mut out = shown.collect::<Vec<_>>().join(", ");
    if runs.len() > SHOWN {
        out.push_str(" …");
    }
    out
}

/// Titles that programs leave behind say nothing.
fn is_telling(title: &str) -> bool {
    let title = title.trim();
    let lower = title.to_lowercase();
    let left = ["untitled", "microsoft word", "microsoft powerpoint", "제목 없음", "presentation"];
    let file = [".hwp", ".hwpx", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".indd"];
    !title.is_empty() && !left.iter().any(|l| lower.starts_with(l)) && !file.iter().any(|f| lower.ends_with(f))
}

/// The words of a paragraph; alternative texts of pictures are left out.
fn joined(paragraph: &Paragraph) -> String {
    if paragraph.content.iter().any(|c| matches!(c, InlineContent::Image { .. })) {
        let words = paragraph.content.iter().map(|c| match c {
            InlineContent::Text(run) => run.text.as_str(),
            InlineContent::Link { text, .. } => text.as_str(),
            InlineContent::LineBreak => "\n",
            InlineContent::Image { .. } => "",
        });
        return words.collect();
    }
    paragraph.plain_text()
}

fn push_table(builder: &mut Builder, table: &Table) {
    let rows: Vec<Vec<Cell>> = table
        .rows
        .iter()
        .map(|row| {
            let cell = |c: &unpdf::TableCell| Cell::spanning(c.plain_text(), c.rowspan.into(), c.colspan.into());
            row.cells.iter().map(cell).collect()
        })
        .collect();
    builder.table(&rows);
}

fn refusal(error: &Error) -> ReadError {
    match error {
        Error::Encrypted | Error::InvalidPassword => ReadError::PasswordProtected,
        _ => ReadError::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_name_headings_on_their_page() {
        let mut inner = OutlineItem::new("1. 추진  배경", Some(2), 1);
        inner.add_child(OutlineItem::new("가. 현황", None, 2));
        let mut outline = OutlineItem::new("업무 계획", Some(1), 0);
        outline.add_child(inner);
        let mut bookmarks = Vec::new();
        collect(&[outline], 1, &mut bookmarks);
        assert_eq!(bookmarked(&bookmarks, "1. 추진 배경", 2), Some(2));
        assert_eq!(bookmarked(&bookmarks, "1. 추진 배경", 3), None);
        assert_eq!(bookmarked(&bookmarks, "가. 현황", 7), Some(3));
    }

    #[test]
    fn page_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1–3, 7, 9–10");
        assert_eq!(ranges(&[]), "");
    }
}

//! Stored text → passages that follow its structure: headings stay with their text, a table's chunks carry its
//! header, pages are not crossed. Reads Markdown lines; knows nothing of file formats.

use crate::{Heading, PageStart, PassageSize, headings};
use madang_domain::{PassageDraft, Span};
use std::ops::Range;

/// Cuts stored text into passages.
///
/// Every letter of `text` lies in some passage; spans are in order and do not overlap. `passage.text` equals
/// `text[span]`, except for the later chunks of a table (and of a row too long for one), which repeat the table's
/// header before the rows that the span covers.
///
/// `pages` must be in order of offset; a passage starts at each stated page start, so that its page is exact.
pub fn passages(text: &str, pages: &[PageStart], size: PassageSize) -> Vec<PassageDraft> {
    cut(text, pages, size).passages
}

/// Passages and the headings met on the way.
pub(crate) struct Cut {
    pub passages: Vec<PassageDraft>,
    pub headings: Vec<Heading>,
}

pub(crate) fn cut(text: &str, pages: &[PageStart], size: PassageSize) -> Cut {
    let size = PassageSize { target: size.target.max(1), max: size.max.max(size.target).max(1) };
    let units = units(text);
    let found = units.iter().filter_map(|u| if let Unit::Heading(_, found) = u { Some(found) } else { None });
    let mut cutter = Cutter::new(text, pages, size, headings::Order::of(found));
    for (index, unit) in units.iter().enumerate() {
        cutter.add(unit, units.get(index + 1));
    }
    cutter.finish();
    Cut { passages: cutter.passages, headings: cutter.headings }
}

/// A stretch of the text in bytes and in characters.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stretch {
    bytes: Range<usize>,
    chars: Range<usize>,
}

impl Stretch {
    fn len(&self) -> usize {
        self.chars.end - self.chars.start
    }

    /// From the start of `self` to the end of `other`.
    fn to(&self, other: &Stretch) -> Stretch {
        Stretch { bytes: self.bytes.start..other.bytes.end, chars: self.chars.start..other.chars.end }
    }

    fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.bytes.clone()).unwrap_or_default()
    }
}

#[derive(Debug)]
enum Unit {
    Heading(Stretch, headings::Found),
    /// Lines without a blank one between them.
    Text(Stretch),
    /// Rows of a pipe table; the first `header` of them are its header and rule.
    Table {
        rows: Vec<Stretch>,
        header: usize,
    },
}

/// Splits text into units; surrounding white space belongs to none.
fn units(text: &str) -> Vec<Unit> {
    let mut out: Vec<Unit> = Vec::new();
    let mut open = false;
    for line in lines(text) {
        let content = line.of(text);
        if content.is_empty() {
            open = false;
        } else if is_row(content) {
            match (out.last_mut(), open) {
                (Some(Unit::Table { rows, .. }), true) => rows.push(line),
                _ => out.push(Unit::Table { rows: vec![line], header: 0 }),
            }
            open = true;
        } else if let Some(found) = headings::find(content) {
            out.push(Unit::Heading(line, found));
            open = false;
        } else {
            match (out.last_mut(), open) {
                (Some(Unit::Text(stretch)), true) => *stretch = stretch.to(&line),
                _ => out.push(Unit::Text(line)),
            }
            open = true;
        }
    }
    for unit in &mut out {
        if let Unit::Table { rows, header } = unit {
            *header = match rows.get(1) {
                Some(rule) if is_rule(rule.of(text)) => 2,
                _ => 0,
            };
        }
    }
    titles(text, out)
}

/// Joins boxed numbers with their titles: lines of their own, or a table of one row (number, title).
fn titles(text: &str, units: Vec<Unit>) -> Vec<Unit> {
    let mut out: Vec<Unit> = Vec::with_capacity(units.len());
    for unit in units {
        let found = match (out.last(), &unit) {
            (Some(Unit::Text(number)), Unit::Text(title)) => {
                headings::boxed(number.of(text), title.of(text)).map(|f| (number.to(title), f, true))
            }
            (_, Unit::Table { rows, .. }) => boxed_row(text, rows).map(|(whole, f)| (whole, f, false)),
            _ => None,
        };
        let Some((whole, found, replaces)) = found else {
            out.push(unit);
            continue;
        };
        if replaces {
            out.pop();
        }
        if let Some(Unit::Text(line)) = out.last()
            && let Some(part) = headings::part(line.of(text))
        {
            let line = line.clone();
            out.pop();
            out.push(Unit::Heading(line, part));
        }
        out.push(Unit::Heading(whole, found));
    }
    out
}

fn boxed_row(text: &str, rows: &[Stretch]) -> Option<(Stretch, headings::Found)> {
    let [row, rest @ ..] = rows else { return None };
    let rule = match rest {
        [] => row,
        [rule] if is_rule(rule.of(text)) => rule,
        _ => return None,
    };
    let mut cells = row.of(text).split('|').map(str::trim).filter(|c| !c.is_empty());
    let (number, title) = (cells.next()?, cells.next()?);
    if cells.next().is_some() {
        return None;
    }
    headings::boxed(number, title).map(|found| (row.to(rule), found))
}

/// Lines of the text, trimmed.
fn lines(text: &str) -> impl Iterator<Item = Stretch> {
    let (mut byte, mut char) = (0, 0);
    text.split_inclusive('\n').map(move |line| {
        let lead = line.len() - line.trim_start().len();
        let content = line.trim();
        let lead_chars = line.get(..lead).map_or(0, |l| l.chars().count());
        let (bytes, chars) = (byte + lead, char + lead_chars);
        let stretch = Stretch { bytes: bytes..bytes + content.len(), chars: chars..chars + content.chars().count() };
        byte += line.len();
        char += line.chars().count();
        stretch
    })
}

fn is_row(line: &str) -> bool {
    line.starts_with('|') && line.len() > 1
}

fn is_rule(line: &str) -> bool {
    line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

struct Cutter<'a> {
    text: &'a str,
    pages: &'a [PageStart],
    size: PassageSize,
    order: headings::Order,
    path: headings::Path,
    /// The passage being filled.
    current: Option<Stretch>,
    /// Headings above the first body text of `current`.
    current_path: Vec<String>,
    /// Headings behind `current` whose text is still to come.
    lead: Option<Stretch>,
    passages: Vec<PassageDraft>,
    headings: Vec<Heading>,
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str, pages: &'a [PageStart], size: PassageSize, order: headings::Order) -> Self {
        Self {
            text,
            pages,
            size,
            order,
            path: headings::Path::new(order),
            current: None,
            current_path: Vec::new(),
            lead: None,
            passages: Vec::new(),
            headings: Vec::new(),
        }
    }

    fn add(&mut self, unit: &Unit, next: Option<&Unit>) {
        match unit {
            Unit::Heading(line, found) if is_heading(found, next, self.text) => self.heading(line, found),
            Unit::Heading(line, _) | Unit::Text(line) => self.body(line),
            Unit::Table { rows, header } => self.table(rows, *header),
        }
    }

    fn heading(&mut self, line: &Stretch, found: &headings::Found) {
        let share = if found.kind.is_deep() { 4 } else { 2 };
        let enough = self.length() >= self.size.target * share / 5;
        if self.current.is_some() && (self.order.opens(found.kind) || enough || self.crosses_page(line)) {
            self.flush();
        }
        if self.length() + line.len() > self.size.max {
            self.flush();
        }
        if self.length() + line.len() > self.size.max {
            // Headings alone fill a passage: an index, say.
            self.settle();
            self.flush();
        }
        self.leave_page(line);
        self.path.enter(found);
        let offset = line.chars.start;
        self.headings.push(Heading { level: self.path.depth(), text: found.text.clone(), offset });
        if found.has_body {
            self.body(line);
        } else {
            self.lead = Some(self.lead.take().map_or_else(|| line.clone(), |lead| lead.to(line)));
        }
    }

    fn body(&mut self, stretch: &Stretch) {
        for piece in self.pieces(stretch) {
            self.make_room(&piece, piece.len());
            self.extend(&piece);
        }
    }

    /// Closes the open passage when what comes next does not fit or belongs elsewhere. The headings that lead it stay
    /// with it.
    fn make_room(&mut self, next: &Stretch, length: usize) {
        let full = self.length() + length > self.size.max;
        let done = self.current.as_ref().is_some_and(|c| c.len() >= self.size.target);
        if self.current.is_some() && (full || done || self.crosses_page(next)) {
            self.flush();
        }
        self.leave_page(next);
    }

    /// Headings alone on the page before, a cover say, are a passage of their own: what follows has another page.
    fn leave_page(&mut self, next: &Stretch) {
        let (None, Some(lead)) = (&self.current, &self.lead) else { return };
        let page = self.page_at(next.chars.start);
        if self.page_at(lead.chars.start) != page && page.is_some_and(|p| !p.estimated) {
            self.settle();
            self.flush();
        }
    }

    fn table(&mut self, rows: &[Stretch], header: usize) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return;
        };
        let whole = first.to(last);
        if self.current.is_some() && (self.length() + whole.len() > self.size.max || self.crosses_page(&whole)) {
            self.flush();
        }
        self.leave_page(&whole);
        if self.length() + whole.len() <= self.size.max && !self.crossed_inside(&whole) {
            self.extend(&whole);
            return;
        }
        self.long_table(rows, header);
    }

    /// The first chunk is plain text behind its headings; each later one repeats the header.
    fn long_table(&mut self, rows: &[Stretch], header: usize) {
        let head = match (rows.first(), rows.get(header.wrapping_sub(1))) {
            (Some(first), Some(last)) => first.to(last).of(self.text),
            _ => "",
        };
        // A header longer than half a passage would crowd out the rows.
        let head = if head.chars().count() * 2 > self.size.target { "" } else { head };
        let head_length = head.chars().count();
        let mut first_chunk = true;
        for (index, row) in rows.iter().enumerate() {
            for piece in self.pieces(row) {
                let length = self.length() + piece.len() + if first_chunk { 0 } else { head_length };
                let full = length > self.size.max || self.length() >= self.size.target;
                if index >= header && self.current.is_some() && (full || self.crosses_page(&piece)) {
                    self.flush_with(if first_chunk { "" } else { head });
                    first_chunk = false;
                }
                self.extend(&piece);
            }
        }
        self.flush_with(if first_chunk { "" } else { head });
    }

    /// Splits what is longer than a passage at line ends, sentence ends, spaces, and at last anywhere.
    fn pieces(&self, whole: &Stretch) -> Vec<Stretch> {
        if whole.len() <= self.size.max {
            return vec![whole.clone()];
        }
        let mut out = Vec::new();
        let mut rest = whole.clone();
        while rest.len() > self.size.max {
            let (head, tail) = split(self.text, &rest, self.size);
            out.push(head);
            rest = tail;
            if rest.len() == 0 {
                return out;
            }
        }
        out.push(rest);
        out
    }

    /// Characters of the open passage and of the headings that wait behind it.
    fn length(&self) -> usize {
        let whole = match (&self.current, &self.lead) {
            (Some(current), Some(lead)) => return lead.chars.end - current.chars.start,
            (current, lead) => current.as_ref().or(lead.as_ref()),
        };
        whole.map_or(0, Stretch::len)
    }

    /// Adds body text, with the headings that lead it.
    fn extend(&mut self, stretch: &Stretch) {
        if self.current.is_none() {
            self.current_path = self.path.texts();
        }
        self.settle();
        self.current = Some(match self.current.take() {
            Some(current) => current.to(stretch),
            None => stretch.clone(),
        });
    }

    /// Takes the waiting headings into the open passage.
    fn settle(&mut self) {
        let Some(lead) = self.lead.take() else { return };
        if self.current.is_none() {
            self.current_path = self.path.texts();
        }
        self.current = Some(match self.current.take() {
            Some(current) => current.to(&lead),
            None => lead,
        });
    }

    /// Does a page begin between the start of the open passage and `next`? Where pages are only guessed, a passage is
    /// not torn for one as long as it is short.
    fn crosses_page(&self, next: &Stretch) -> bool {
        let Some(current) = &self.current else { return false };
        let next_page = self.page_at(self.lead.as_ref().unwrap_or(next).chars.start);
        let guessed = next_page.is_some_and(|p| p.estimated);
        self.page_at(current.chars.start) != next_page && (!guessed || current.len() >= self.size.target * 2 / 5)
    }

    fn crossed_inside(&self, stretch: &Stretch) -> bool {
        let start = self.current.as_ref().or(self.lead.as_ref()).map_or(stretch.chars.start, |c| c.chars.start);
        let last = self.page_at(stretch.chars.end.saturating_sub(1));
        self.page_at(start) != last && !last.is_some_and(|p| p.estimated)
    }

    fn page_at(&self, offset: usize) -> Option<&PageStart> {
        let after = self.pages.partition_point(|p| p.offset <= offset);
        self.pages.get(after.checked_sub(1)?)
    }

    /// Headings at the very end, without text, go with what stands before them if they fit.
    fn finish(&mut self) {
        if self.length() > self.size.max {
            self.flush();
        }
        self.settle();
        self.flush();
    }

    fn flush(&mut self) {
        self.flush_with("");
    }

    fn flush_with(&mut self, header: &str) {
        let Some(stretch) = self.current.take() else { return };
        let own = stretch.of(self.text);
        let text = if header.is_empty() { own.to_owned() } else { format!("{header}\n{own}") };
        let heading_path = std::mem::take(&mut self.current_path);
        let page = self.page_at(stretch.chars.start).copied();
        self.passages.push(PassageDraft {
            heading_path,
            page: page.map(|p| p.page),
            page_estimated: page.is_some_and(|p| p.estimated),
            text,
            span: Span { start: stretch.chars.start, end: stretch.chars.end },
        });
    }
}

/// A weak heading must have something under it; else it is an item of a list.
fn is_heading(found: &headings::Found, next: Option<&Unit>, text: &str) -> bool {
    if found.kind.is_strong() {
        return true;
    }
    match next {
        None => false,
        Some(Unit::Heading(_, following)) if found.kind.is_deep() => following.kind.stands_under(found.kind),
        Some(Unit::Heading(_, following)) => following.kind != found.kind && !following.kind.is_strong(),
        // A line of a list looks alike; what it heads begins with a mark of its own.
        Some(Unit::Text(body)) if found.kind.is_deep() => body.of(text).starts_with(INNER_MARKS),
        Some(_) => true,
    }
}

/// Marks of the innermost items of official documents.
const INNER_MARKS: [char; 14] = ['-', '–', '·', '•', '※', '*', '▪', '∙', '‧', '⇒', '→', '☞', '▸', 'ㆍ'];

/// Cuts `whole` (longer than `size.max`) in two; white space at the cut belongs to neither.
fn split(text: &str, whole: &Stretch, size: PassageSize) -> (Stretch, Stretch) {
    let body = whole.of(text);
    let mut best: Option<(u8, usize, usize)> = None;
    let mut end = (body.len(), whole.len());
    let mut previous = ' ';
    for (chars, (byte, c)) in body.char_indices().enumerate() {
        if chars >= size.max {
            end = (byte, chars);
            break;
        }
        if chars > 0 && c.is_whitespace() {
            let sentence = matches!(previous, '.' | '?' | '!' | '。' | ';');
            let rank = if c == '\n' {
                // The paragraphs of an article (항) are told apart by their numbers.
                let next = body.get(byte + 1..).and_then(|rest| rest.trim_start().chars().next());
                if next.is_some_and(|n| ('①'..='⑳').contains(&n)) { 4 } else { 3 }
            } else if sentence {
                2
            } else {
                1
            };
            // A late break is wanted, but a sentence end in the second half beats a space near the end.
            if best.is_none_or(|(r, _, at)| rank >= r || at * 2 < size.target) {
                best = Some((rank, byte, chars));
            }
        }
        previous = c;
    }
    let (mut byte, mut chars) = best.map_or(end, |(_, byte, chars)| (byte, chars));
    let head = body.get(..byte).unwrap_or_default();
    chars -= head.chars().rev().take_while(|c| c.is_whitespace()).count();
    byte = head.trim_end().len();
    let tail = body.get(byte..).unwrap_or_default();
    let skipped = tail.len() - tail.trim_start().len();
    let skipped_chars = tail.get(..skipped).map_or(0, |s| s.chars().count());
    let head = Stretch {
        bytes: whole.bytes.start..whole.bytes.start + byte,
        chars: whole.chars.start..whole.chars.start + chars,
    };
    let rest = Stretch {
        bytes: head.bytes.end + skipped..whole.bytes.end,
        chars: head.chars.end + skipped_chars..whole.chars.end,
    };
    (head, rest)
}

//! Running text out of a model, sentence by sentence: marks are read and put at the sentence's end, numbers that were
//! not given are dropped, each sentence is judged against the sources, and the form's own shape is kept.

use super::support::{Verdict, says_nothing_found};
use super::{Reply, Run};
use crate::engine::EngineError;
use madang_korean::{sentences, without_marker};

/// List items of an answer that do not count as sentences of their own.
const MOST_LISTED: usize = 12;

/// What a model is told to write where there is nothing to write.
pub(super) const NOTHING: &str = "없음";

/// The shape of running text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Paragraphs, and lists where the model makes them.
    Paragraphs,
    /// One bullet a line.
    Bullets,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Sentences or bullets.
    pub items: usize,
    /// Of these, how many the sources hold or that claim nothing.
    pub sound: usize,
    /// The model said at once that there is nothing.
    pub nothing: bool,
}

/// A sentence as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    text: String,
    /// Behind it the line ends.
    ends_line: bool,
}

/// Sentences out of text that comes bit by bit.
#[derive(Debug, Default)]
struct Splitter {
    held: String,
}

impl Splitter {
    /// Takes the next whole sentence; at the end of the reply also what is left.
    fn next(&mut self, at_end: bool) -> Option<Piece> {
        loop {
            let line_end = self.held.find('\n');
            let line = self.held.get(..line_end.unwrap_or(self.held.len())).unwrap_or_default();
            let ends = line_end.is_some() || at_end;
            match first_sentence(line, ends) {
                Some(to) => {
                    let text = line.get(..to).unwrap_or_default().trim().to_owned();
                    let rest_of_line = line.get(to..).unwrap_or_default().trim().is_empty();
                    let drop_to = if rest_of_line && line_end.is_some() { line.len() + 1 } else { to };
                    self.held.drain(..drop_to.min(self.held.len()));
                    return Some(Piece { text, ends_line: rest_of_line && ends });
                }
                // An empty line, or one of punctuation alone.
                None if line_end.is_some() => {
                    let to = line.len() + 1;
                    self.held.drain(..to.min(self.held.len()));
                }
                None => return None,
            }
        }
    }
}

/// End of the first sentence of a line with the marks behind it; `None` where it may go on.
fn first_sentence(line: &str, whole: bool) -> Option<usize> {
    if !line.chars().any(char::is_alphanumeric) {
        return None;
    }
    let ranges = sentences(line);
    // Marks stand behind the full stop, so that they look like the beginning of the next sentence.
    let mut to = ranges.first().map_or(line.len(), |r| r.end);
    to += marks_at(line.get(to..).unwrap_or_default());
    let behind = line.get(to..).unwrap_or_default();
    let certain = behind.chars().filter(|c| !c.is_whitespace()).count() > 1 && !opens_mark(behind);
    if certain {
        Some(to)
    } else if whole {
        Some(line.len())
    } else {
        None
    }
}

/// Could the text be the beginning of a mark that is not whole yet?
fn opens_mark(text: &str) -> bool {
    text.trim_start().strip_prefix('[').is_some_and(|rest| !rest.contains(']'))
}

/// Bytes of white space and marks at the beginning; 0 without a mark.
fn marks_at(text: &str) -> usize {
    let mut end = 0;
    while let Some((_, length)) = mark(text.get(end..).unwrap_or_default()) {
        end += length;
    }
    // A full stop may stand behind its marks: "이다[1]."
    let stop = text.get(end..).is_some_and(|rest| end > 0 && rest.starts_with('.'));
    end + usize::from(stop)
}

/// A mark behind white space: "[3]", "[자료 3]", "[1, 2]"; its numbers and length in bytes.
fn mark(text: &str) -> Option<(Vec<usize>, usize)> {
    let start = text.len() - text.trim_start().len();
    let rest = text.get(start..)?.strip_prefix('[')?;
    let close = rest.find(']')?;
    let inside = rest.get(..close)?.trim().trim_start_matches("자료").trim();
    let numbers: Option<Vec<usize>> =
        inside.split(',').map(|n| n.trim().trim_start_matches("자료").trim().parse().ok()).collect();
    Some((numbers?, start + close + 2))
}

/// The sentence without marks, and the numbers in them.
pub(super) fn without_marks(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut numbers) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if (c == '[' || c.is_whitespace())
            && let Some((found, length)) = mark(rest)
        {
            numbers.extend(found);
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    (out.trim().to_owned(), numbers)
}

/// "- ", "1. ", "2) ": the mark of a list item as Markdown, and the rest.
fn list_item(line: &str) -> Option<(String, &str)> {
    let rest = line.trim_start();
    for bullet in ["- ", "* ", "• ", "· ", "○ ", "ㅇ "] {
        if let Some(body) = rest.strip_prefix(bullet) {
            return Some(("- ".into(), body.trim_start()));
        }
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, behind) = rest.split_at_checked(digits)?;
    let body = behind.strip_prefix(['.', ')'])?.strip_prefix(' ')?;
    ((1..=2).contains(&digits)).then(|| (format!("{number}. "), body.trim_start()))
}

/// Writes running text of at most `limit` sentences (bullets, where the shape is bullets). Stops reading, which stops
/// the model, once the limit is reached.
pub(super) async fn write(
    run: &mut Run<'_>,
    reply: &mut Reply,
    shape: Shape,
    limit: usize,
    numbers: &[usize],
) -> Result<Told, EngineError> {
    let mut pen = Pen { shape, limit, numbers, told: Told::default(), listed: 0, line_open: false, list_open: false };
    let mut splitter = Splitter::default();
    loop {
        let piece = run.next(reply).await?;
        let at_end = piece.is_none();
        splitter.held.push_str(&piece.unwrap_or_default());
        while let Some(piece) = splitter.next(at_end) {
            if !pen.put(run, &piece).await? {
                return pen.close(run).await;
            }
        }
        if at_end {
            return pen.close(run).await;
        }
    }
}

/// Writes sentences in their shape.
struct Pen<'a> {
    shape: Shape,
    limit: usize,
    /// Numbers of the passages that the model was given.
    numbers: &'a [usize],
    told: Told,
    listed: usize,
    line_open: bool,
    list_open: bool,
}

impl Pen<'_> {
    /// Writes one sentence; `false` when enough has been told.
    async fn put(&mut self, run: &mut Run<'_>, piece: &Piece) -> Result<bool, EngineError> {
        let raw = piece.text.replace('|', " / ");
        let bare = raw.trim_start_matches('#');
        // A heading adds nothing to an answer of sentences.
        if bare.len() < raw.len() && !self.line_open {
            return Ok(true);
        }
        let (item, body) = if self.line_open { (None, bare) } else { split_item(bare) };
        let (text, found) = without_marks(body);
        if !text.chars().any(char::is_alphanumeric) {
            self.end_line(run, piece.ends_line).await?;
            return Ok(true);
        }
        let nothing = says_nothing_found(&text) || text.trim_end_matches('.') == NOTHING;
        if nothing && self.told.items == 0 && found.is_empty() {
            self.told.nothing = true;
            return Ok(false);
        }
        if !self.room_for(item.is_some()) {
            return Ok(false);
        }
        let cited: Vec<usize> = found.iter().filter(|n| self.numbers.contains(n)).map(|n| n - 1).collect();
        let verdict = if nothing { Verdict::NoClaim } else { run.sources.judge(&text, &cited) };
        let places = match &verdict {
            Verdict::Passages(places) | Verdict::Unsupported { cited: places, .. } => places.as_slice(),
            Verdict::NoClaim | Verdict::Own => &[],
        };
        let marks = run.emit.marks(places).await?;
        let lead = self.lead(item.as_deref());
        run.emit.text(&format!("{lead}{text}{marks}{}", verdict.warning())).await?;
        self.told.sound += usize::from(!matches!(verdict, Verdict::Unsupported { .. }));
        self.line_open = true;
        self.end_line(run, piece.ends_line).await?;
        Ok(true)
    }

    /// May one more sentence, or list item, be told? Counts it.
    fn room_for(&mut self, item: bool) -> bool {
        if self.line_open && (self.shape == Shape::Bullets || self.list_open) {
            // A further sentence of the same bullet.
            return true;
        }
        if item && self.shape == Shape::Paragraphs && self.told.items > 0 {
            self.listed += 1;
            self.told.items += 1;
            return self.listed <= MOST_LISTED;
        }
        if self.told.items - self.listed >= self.limit {
            return false;
        }
        self.told.items += 1;
        true
    }

    fn lead(&mut self, item: Option<&str>) -> String {
        if self.line_open {
            return " ".into();
        }
        match (self.shape, item) {
            (Shape::Bullets, _) => "- ".into(),
            (Shape::Paragraphs, Some(mark)) => {
                self.list_open = true;
                mark.to_owned()
            }
            (Shape::Paragraphs, None) => {
                // A paragraph behind a list needs an empty line between.
                if std::mem::take(&mut self.list_open) { "\n".into() } else { String::new() }
            }
        }
    }

    async fn end_line(&mut self, run: &mut Run<'_>, ends: bool) -> Result<(), EngineError> {
        if ends && std::mem::take(&mut self.line_open) {
            let end = if self.shape == Shape::Bullets || self.list_open { "\n" } else { "\n\n" };
            run.emit.text(end).await?;
        }
        Ok(())
    }

    async fn close(mut self, run: &mut Run<'_>) -> Result<Told, EngineError> {
        self.end_line(run, true).await?;
        // Sentences behind the first of a bullet are of the same item.
        self.told.sound = self.told.sound.min(self.told.items);
        Ok(self.told)
    }
}

/// The mark of a list item, and the line without it; marks of other kinds go.
fn split_item(line: &str) -> (Option<String>, &str) {
    match list_item(line) {
        Some((mark, body)) => (Some(mark), body),
        None => (None, without_marker(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(text: &str, size: usize) -> Vec<Piece> {
        let chars: Vec<char> = text.chars().collect();
        let mut splitter = Splitter::default();
        let mut out = vec![];
        for chunk in chars.chunks(size.max(1)) {
            splitter.held.extend(chunk);
            while let Some(piece) = splitter.next(false) {
                out.push(piece);
            }
        }
        while let Some(piece) = splitter.next(true) {
            out.push(piece);
        }
        out
    }

    #[test]
    fn marks_stay_with_their_sentence() {
        let text = "운영비는 63백만 원이다. [1][2] 기간은 3월부터다 [3].\n\n- 대상은 50개소다.[1]\n끝";
        for size in [1, 3, 200] {
            let found = pieces(text, size);
            let texts: Vec<&str> = found.iter().map(|p| p.text.as_str()).collect();
            assert_eq!(
                texts,
                ["운영비는 63백만 원이다. [1][2]", "기간은 3월부터다 [3].", "- 대상은 50개소다.[1]", "끝"]
            );
            assert_eq!(found.iter().map(|p| p.ends_line).collect::<Vec<_>>(), [false, true, true, true]);
        }
    }

    #[test]
    fn marks_are_read_in_the_ways_models_write_them() {
        assert_eq!(without_marks("기간은 3월부터다 [자료 3]."), ("기간은 3월부터다.".into(), vec![3]));
        assert_eq!(without_marks("[별표 1]은 [1, 2] 같다 [99]"), ("[별표 1]은 같다".into(), vec![1, 2, 99]));
        assert_eq!(without_marks("[ 열린"), ("[ 열린".into(), vec![]));
    }

    proptest! {
        #[test]
        fn any_text_in_any_cut_loses_no_letter(text in "([가-힣a-z0-9 .?!]|\\[1\\]|\n|- ){0,120}", size in 1usize..20) {
            let letters = |t: &str| t.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let found: String = pieces(&text, size).iter().map(|p| p.text.clone()).collect();
            prop_assert_eq!(letters(&found), letters(&text));
        }
    }
}

//! Files and streams of any size, window by window: findings with their bytes and lines, in bounded memory.

use crate::detect::Hit;
use crate::kind::{Action, Kind};
use crate::passes::{CONTEXT, Found, OVERLAP, WINDOW};
use crate::report::settle;
use crate::rules::Rules;
use crate::view::View;
use madang_domain::Grade;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// One identifier in a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamFinding {
    pub kind: Kind,
    pub action: Action,
    /// First byte in the stream.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
    /// Line of the first byte, counted from 1.
    pub line: u64,
    /// 0 to 1.
    pub confidence: f32,
    /// The rule of the body's own dictionary that found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A word in a stream that raises its grade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMarking {
    pub grade: Grade,
    /// First byte in the stream.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
    /// Line of the first byte, counted from 1.
    pub line: u64,
    pub word: String,
    /// Why it counts as a marking, in Korean.
    pub reason: String,
}

/// What is known of a stream, so far or in the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamSummary {
    /// The strictest action among the findings.
    pub action: Action,
    /// How many findings of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// How many grade markings of each grade.
    pub markings: BTreeMap<Grade, u64>,
    pub bytes: u64,
    /// Line breaks, and one more for what stands behind the last.
    pub lines: u64,
}

impl StreamSummary {
    /// The least grade that the markings give the stream.
    pub fn raised_grade(&self) -> Grade {
        Grade::highest(self.markings.keys().copied())
    }
}

/// What one step of a scan found, in order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamPart {
    pub findings: Vec<StreamFinding>,
    pub markings: Vec<StreamMarking>,
}

/// Scans a stream that comes in pieces. Bytes that are no UTF-8 count as separators between characters.
///
/// Memory is that of one window of half a megabyte and what is found in it, however long the stream is. An identifier
/// across the border of two windows is found once.
#[derive(Debug, Default)]
pub struct StreamScanner<'r> {
    rules: Option<&'r Rules>,
    /// Bytes from `base` on that are still needed.
    buffer: Vec<u8>,
    base: usize,
    /// First byte that no window owned yet.
    from: usize,
    /// Line breaks before `base`.
    breaks: u64,
    /// Findings that what comes may still join, each with its line.
    open: Vec<(Hit, u64)>,
    summary: StreamSummary,
}

impl<'r> StreamScanner<'r> {
    /// A scan with or without the body's own dictionary.
    pub fn new(rules: Option<&'r Rules>) -> Self {
        StreamScanner { rules, ..StreamScanner::default() }
    }

    /// Takes the next bytes; returns what is settled by now.
    pub fn push(&mut self, mut bytes: &[u8]) -> StreamPart {
        let mut part = StreamPart::default();
        self.summary.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = WINDOW.saturating_sub(self.buffer.len()).max(1);
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= WINDOW {
                self.window(false, &mut part);
            }
        }
        part
    }

    /// Ends the stream; returns what was still open, and the summary of all.
    pub fn finish(mut self) -> (StreamPart, StreamSummary) {
        let mut part = StreamPart::default();
        self.window(true, &mut part);
        self.summary.lines = self.breaks + 1;
        (part, self.summary)
    }

    /// Looks through the buffer and drops what no later window needs.
    fn window(&mut self, last: bool, part: &mut StreamPart) {
        let buffer = std::mem::take(&mut self.buffer);
        let end = if last { buffer.len() } else { whole_characters(&buffer) };
        let upto = if last { end } else { char_start(&buffer, end.saturating_sub(OVERLAP)) };
        let mut found = Found::default();
        found.look(
            &View::lossy(buffer.get(..end).unwrap_or_default()),
            self.base,
            self.from..self.base + upto,
            self.rules,
        );
        let mut lines = Lines { buffer: &buffer, base: self.base, at: 0, breaks: self.breaks };
        self.mark(found.markings, &mut lines, part);
        let mut lines = Lines { at: 0, breaks: self.breaks, ..lines };
        self.settle(found.hits, self.base + upto, last, &mut lines, part);
        let keep = if last { end } else { char_start(&buffer, upto.saturating_sub(CONTEXT)) };
        let dropped = buffer.get(..keep).unwrap_or_default();
        self.breaks += dropped.iter().filter(|b| **b == b'\n').count() as u64;
        self.from = self.base + upto;
        self.base += keep;
        self.buffer = buffer.get(keep..).unwrap_or_default().to_vec();
    }

    fn settle(&mut self, hits: Vec<Hit>, upto: usize, last: bool, lines: &mut Lines, part: &mut StreamPart) {
        let earlier: BTreeMap<usize, u64> = self.open.iter().map(|(hit, line)| (hit.range.start, *line)).collect();
        let open = std::mem::take(&mut self.open);
        for hit in settle(open.into_iter().map(|(hit, _)| hit).chain(hits).collect()) {
            let line = earlier.get(&hit.range.start).copied().unwrap_or_else(|| lines.of(hit.range.start));
            if !last && hit.range.end >= upto {
                self.open.push((hit, line));
                continue;
            }
            *self.summary.counts.entry(hit.kind).or_default() += 1;
            self.summary.action = self.summary.action.max(hit.action);
            part.findings.push(StreamFinding {
                kind: hit.kind,
                action: hit.action,
                start: hit.range.start as u64,
                end: hit.range.end as u64,
                line,
                confidence: hit.confidence,
                rule: hit.rule.map(|rule| rule.to_string()),
            });
        }
    }

    fn mark(&mut self, found: Vec<crate::markings::Marked>, lines: &mut Lines, part: &mut StreamPart) {
        for marked in found {
            *self.summary.markings.entry(marked.grade).or_default() += 1;
            part.markings.push(StreamMarking {
                grade: marked.grade,
                line: lines.of(marked.range.start),
                start: marked.range.start as u64,
                end: marked.range.end as u64,
                word: marked.word,
                reason: marked.reason.to_string(),
            });
        }
    }
}

/// Counts lines up to bytes that come in order.
struct Lines<'b> {
    buffer: &'b [u8],
    base: usize,
    at: usize,
    breaks: u64,
}

impl Lines<'_> {
    fn of(&mut self, byte: usize) -> u64 {
        let at = byte.saturating_sub(self.base).max(self.at);
        let passed = self.buffer.get(self.at..at).unwrap_or_default();
        self.breaks += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.at = at;
        self.breaks + 1
    }
}

/// Length without a character that the end cuts.
fn whole_characters(bytes: &[u8]) -> usize {
    let cut = bytes.iter().rev().take(4).position(|b| b & 0xC0 != 0x80);
    let Some(back) = cut else { return bytes.len() };
    let lead = bytes.len() - 1 - back;
    let length = match bytes.get(lead) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => 1,
    };
    if lead + length > bytes.len() { lead } else { bytes.len() }
}

/// The last byte at or before `at` that begins a character.
fn char_start(bytes: &[u8], at: usize) -> usize {
    let inner = bytes.get(..=at.min(bytes.len().saturating_sub(1))).unwrap_or_default();
    if at >= bytes.len() {
        return bytes.len();
    }
    let back = inner.iter().rev().take(4).position(|b| b & 0xC0 != 0x80).unwrap_or(0);
    at - back.min(at)
}

/// Scans everything that `reader` gives, telling `each` what was found as it comes.
///
/// # Errors
/// Those of the reader.
pub fn scan_reader(
    mut reader: impl Read,
    rules: Option<&Rules>,
    mut each: impl FnMut(StreamPart),
) -> io::Result<StreamSummary> {
    let mut scanner = StreamScanner::new(rules);
    let mut piece = vec![0; READ];
    loop {
        let count = match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = scanner.push(piece.get(..count).unwrap_or_default());
        if part != StreamPart::default() {
            each(part);
        }
    }
    let (part, summary) = scanner.finish();
    if part != StreamPart::default() {
        each(part);
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], piece: usize) -> (Vec<StreamFinding>, Vec<StreamMarking>, StreamSummary) {
        let mut scanner = StreamScanner::new(None);
        let (mut findings, mut markings) = (Vec::new(), Vec::new());
        let mut take = |part: StreamPart| {
            findings.extend(part.findings);
            markings.extend(part.markings);
        };
        bytes.chunks(piece).for_each(|chunk| take(scanner.push(chunk)));
        let (part, summary) = scanner.finish();
        take(part);
        (findings, markings, summary)
    }

    #[test]
    fn findings_across_borders_are_found_once_with_their_lines() {
        let filler = "가나다라 마바사아 자차카타\n".repeat(40);
        let mut text = String::new();
        let mut places = Vec::new();
        while text.len() < 2 * WINDOW {
            text.push_str(&filler);
            places.push((text.len() as u64 + 9, text.matches('\n').count() as u64 + 1));
            text.push_str("번호 - 900101-1970000입니다\n[대외비]\n");
        }
        for piece in [7777, 64 * 1024, text.len()] {
            let (findings, markings, summary) = all(text.as_bytes(), piece);
            assert!(findings.iter().map(|f| (f.start, f.line)).eq(places.iter().copied()));
            assert!(findings.iter().all(|f| f.kind == Kind::Rrn && f.end - f.start == 14));
            assert_eq!(markings.len(), places.len());
            assert!(markings.iter().zip(&places).all(|(m, (_, line))| m.line == line + 1));
            assert_eq!(summary.counts.get(&Kind::Rrn).copied(), Some(places.len() as u64));
            assert_eq!((summary.action, summary.bytes), (Action::Block, text.len() as u64));
            assert_eq!(summary.lines as usize, text.matches('\n').count() + 1);
            assert_eq!(summary.raised_grade(), Grade::Classified);
        }
    }

    #[test]
    fn a_stream_and_a_text_give_the_same() {
        let text = "신청인: 김민수, 010-2345-6789\n주소: 가람시 행복로 12, 101동 1203호\n".repeat(3);
        let (findings, _, _) = all(text.as_bytes(), 5);
        let report = crate::scan(&text);
        let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(i, _)| i) as u64;
        let expected: Vec<_> = report.findings.iter().map(|f| (f.kind, byte(f.start), byte(f.end))).collect();
        assert_eq!(findings.iter().map(|f| (f.kind, f.start, f.end)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        let mut bytes = vec![0xFF; WINDOW + 10];
        bytes.extend_from_slice(b" 900101-1970000 \n\xE3");
        let (findings, _, summary) = all(&bytes, 4096);
        assert_eq!(findings.iter().map(|f| (f.start, f.line)).collect::<Vec<_>>(), [(WINDOW as u64 + 11, 1)]);
        assert_eq!(summary.lines, 2);
    }

    #[test]
    fn scan_reader_reads_to_the_end() {
        let mut count = 0;
        let summary = scan_reader(&b"a@b.kr 900101-1970000"[..], None, |part| count += part.findings.len());
        assert_eq!((summary.map(|s| s.counts.len()).ok(), count), (Some(2), 2));
    }
}

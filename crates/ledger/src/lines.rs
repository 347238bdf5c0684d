//! The chain as JSON Lines, one entry a line, for export and for verification of an exported file.

use crate::chain::{Entry, Fault, Head, Verified, Verifier};
use std::io::{BufRead, Read};

/// Longest line read; a longer one is a fault, not a full memory.
const MAX_LINE: u64 = 16 << 20;

/// The entry as its one line, with the line feed.
///
/// # Errors
/// Never for an entry that [`crate::chain`] made; JSON of strings and one integer always exists.
pub fn to_line(entry: &Entry) -> Result<String, serde_json::Error> {
    serde_json::to_string(entry).map(|line| line + "\n")
}

/// Reads entries line by line. Ends after the first fault.
///
/// A line counts only in the exact form that [`to_line`] writes, so that no byte of a file can change unnoticed. A
/// fault that is not about an entry's number names the line's.
pub fn read_lines<R: BufRead>(reader: R) -> impl Iterator<Item = Result<Entry, Fault>> {
    Lines { reader, line: 0, ended: false }
}

/// Verifies an exported chain from its first entry.
///
/// # Errors
/// As [`crate::verify`], and for lines that are no entries.
pub fn verify_lines<R: BufRead>(reader: R, expected_head: Option<&Head>) -> Result<Verified, Fault> {
    let mut verifier = Verifier::new();
    for entry in read_lines(reader) {
        // Read in order from 1, a line that does not parse stands where the next entry must.
        let entry = entry.map_err(|fault| Fault { seq: verifier.next_seq(), ..fault })?;
        verifier.push(&entry)?;
    }
    verifier.finish(expected_head)
}

struct Lines<R> {
    reader: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn read(&mut self) -> Result<Option<Entry>, String> {
        let mut line = Vec::new();
        if next_line(&mut self.reader, &mut line)? { parse_entry(&line).map(Some) } else { Ok(None) }
    }
}

/// Reads a line with its line feed into `line`, which is emptied first; `false` at the end of the file.
pub(crate) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    line.clear();
    match reader.by_ref().take(MAX_LINE).read_until(b'\n', line) {
        Err(e) => Err(format!("파일을 읽지 못했습니다: {e}")),
        Ok(0) => Ok(false),
        Ok(_) if line.last() != Some(&b'\n') => {
            Err("줄이 끝나지 않았습니다. 파일이 잘렸거나 원장 파일이 아닙니다.".into())
        }
        Ok(_) => Ok(true),
    }
}

/// Reads an entry's line with its line feed, in its one spelling.
pub(crate) fn parse_entry(line: &[u8]) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_slice(line).map_err(|_| "원장 기록의 형식이 아닙니다.".to_string())?;
    let same = to_line(&entry).is_ok_and(|written| written.as_bytes() == line);
    same.then_some(entry).ok_or_else(|| "내보낸 형식과 글자가 다릅니다. 파일이 바뀌었습니다.".into())
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.line += 1;
        match self.read() {
            Ok(entry) => {
                self.ended = entry.is_none();
                entry.map(Ok)
            }
            Err(reason) => {
                self.ended = true;
                Some(Err(Fault { seq: self.line, reason }))
            }
        }
    }
}

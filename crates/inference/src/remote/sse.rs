//! Server-sent events out of bytes as they arrive, within bounds (WHATWG HTML, section 9.2.6). Only the data of events
//! is kept: names, ids and retry times mean nothing to a reply.

/// Why a stream of events is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SseError {
    #[error("한 줄이 너무 깁니다")]
    Line,
    #[error("한 조각이 너무 큽니다")]
    Event,
    #[error("글자를 읽을 수 없습니다")]
    Encoding,
}

/// Reads events piece by piece; holds at most one line and one event.
#[derive(Debug)]
pub(super) struct EventReader {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was a carriage return: a line feed behind it ends no second line.
    after_cr: bool,
    first_line: bool,
    longest_line: usize,
    largest_event: usize,
}

impl EventReader {
    /// `longest_line` and `largest_event` in bytes.
    pub fn new(longest_line: usize, largest_event: usize) -> Self {
        Self { line: vec![], data: None, after_cr: false, first_line: true, longest_line, largest_event }
    }

    /// The data of the events that `bytes` complete. An event that the stream's end cuts is dropped, as the standard
    /// says.
    ///
    /// # Errors
    /// A line or event beyond its bound, or a line that is no UTF-8. The reader is of no use afterwards.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, SseError> {
        let mut out = Vec::new();
        for &byte in bytes {
            let second_half = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => self.end_line(&mut out)?,
                _ if self.line.len() >= self.longest_line => return Err(SseError::Line),
                _ => self.line.push(byte),
            }
        }
        Ok(out)
    }

    fn end_line(&mut self, out: &mut Vec<String>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&line).map_err(|_| SseError::Encoding)?;
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            out.extend(self.data.take());
            return Ok(());
        }
        // A line that begins with a colon is a comment: its field name is empty.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field != "data" {
            return Ok(());
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            None => self.data = Some(value.to_owned()),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
        }
        let size = self.data.as_ref().map_or(0, String::len);
        if size > self.largest_event { Err(SseError::Event) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Result<Vec<String>, SseError> {
        let mut reader = EventReader::new(64, 100);
        let mut out = vec![];
        for piece in pieces {
            out.extend(reader.feed(piece)?);
        }
        Ok(out)
    }

    #[test]
    fn events_comments_and_line_ends() {
        let text = "\u{feff}: hello\r\n\r\ndata: 하나\r\n\r\nevent: x\nid: 3\ndata:둘\ndata: 셋\n\ndata\n\ndata: cut";
        assert_eq!(all(&[text.as_bytes()]).unwrap(), ["하나", "둘\n셋", ""]);
        assert_eq!(all(&[b"data: a\r", b"\n\r", b"\ndata: b\r\r"]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(all(&[&[b'x'; 65]]), Err(SseError::Line));
        assert_eq!(
            all(&["data: 123456789012345678901234567890123456789012\n".repeat(3).as_bytes()]),
            Err(SseError::Event)
        );
        assert_eq!(all(&[b"data: \xff\n"]), Err(SseError::Encoding));
    }

    proptest! {
        #[test]
        fn any_cut_reads_the_same(words in proptest::collection::vec("[가-힣a-z ]{0,8}", 0..6), cuts in proptest::collection::vec(0usize..200, 0..8), crlf in any::<bool>()) {
            let end = if crlf { "\r\n" } else { "\n" };
            let text: String = words.iter().map(|w| format!("data: {w}{end}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).filter_map(|w| bytes.get(w[0]..w[1])).collect();
            prop_assert_eq!(all(&pieces).unwrap(), words);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = all(&[&bytes]);
        }
    }
}

//! Server-sent events as the HTML standard has them, read piece by piece within bounds. What an event means is the
//! form's.

/// Longest line and longest event, bytes.
const MOST: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Empty where the stream named none.
    pub name: String,
    pub data: String,
}

/// The bytes are no stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("제공자의 답이 흐름의 형식에 맞지 않습니다")]
pub struct Unreadable;

/// Reads events out of pieces of any size.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A line has ended before, so that a byte order mark is none.
    begun: bool,
}

impl Events {
    /// The events that these bytes complete.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Unreadable> {
        let mut out = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    out.extend(self.line_ended()?);
                }
                _ => {
                    self.after_cr = false;
                    if self.line.len() == MOST {
                        return Err(Unreadable);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(out)
    }

    fn line_ended(&mut self) -> Result<Option<Event>, Unreadable> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| Unreadable)?;
        let line = if self.begun { line.as_str() } else { line.strip_prefix('\u{FEFF}').unwrap_or(&line) };
        self.begun = true;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if self.event.data.len() + value.len() >= MOST {
                    return Err(Unreadable);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments, ids and times to reconnect.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, Unreadable> {
        let mut events = Events::default();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(events.push(piece)?.into_iter().map(|e| (e.name, e.data)));
        }
        Ok(out)
    }

    #[test]
    fn lines_end_in_three_ways_and_data_is_joined() {
        let stream = b"\xEF\xBB\xBF: hello\r\nevent: token\rdata: a\ndata:b\n\n\nid: 7\ndata\n\ndata: left over";
        let expected = [("token".to_owned(), "a\nb".to_owned()), (String::new(), String::new())];
        assert_eq!(read(&[stream]).unwrap(), expected);
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_refused() {
        assert_eq!(read(&[b"data: \xFF\n\n"]), Err(Unreadable));
        let long = vec![b'x'; MOST + 1];
        assert_eq!(read(&[&long]), Err(Unreadable));
        let line = [b"data: ".to_vec(), vec![b'x'; MOST / 2], b"\n".to_vec()].concat();
        assert_eq!(read(&[&line, &line]), Err(Unreadable), "many lines are one event");
    }

    proptest! {
        #[test]
        fn the_cuts_do_not_matter(
            stream in r"((data|event|id|: x)(:| |: )?[a가\u{1F600} ]{0,6}(\r\n|\r|\n)){0,12}",
            cuts in proptest::collection::vec(0usize..400, 0..6),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).filter_map(|w| bytes.get(w[0]..w[1])).collect();
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _events = read(&[&bytes]);
        }
    }
}

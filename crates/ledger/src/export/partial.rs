//! A part of the record as a file: each entry with the proof that it stands at its place in the log whose signed
//! checkpoint is in the file too. A range is complete or a fault; what a filter left out, no proof can tell.
//!
//! ```text
//! {"partial":{"format":"madang.ledger.partial.v1","origin":"…","selection":{"range":{"first":5,"last":9}}}}
//! {"checkpoint":"…"}                       those that hand over keys, then the one of the proofs
//! {"record":{"entry":{…},"proof":["…"]}}   hashes as base64, leaf first
//! {"end":{"records":5,"sha256":"…"}}
//! ```

use super::{ExportFault, Place, parse_line, write_line};
use crate::chain::Entry;
use crate::checkpoint::SignedCheckpoint;
use crate::lines::next_line;
use crate::note::NoteError;
use crate::tree::{Hash, verify_inclusion};
use crate::trust::Trust;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::BufRead;

const FORMAT: &str = "madang.ledger.partial.v1";

/// Which entries a partial export has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selection {
    /// All entries from one number to another, both included.
    Range { first: u64, last: u64 },
    /// Those that somebody selected; how, in words. Nothing proves that none is missing.
    Filter(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Partial { format: String, origin: String, selection: Selection },
    Checkpoint(String),
    Record { entry: Box<Entry>, proof: Vec<String> },
    End { records: u64, sha256: String },
}

/// Writes a partial export line by line; each line is given out with its line feed.
#[derive(Debug, Clone)]
pub struct PartialLines {
    digest: Sha256,
    records: u64,
}

impl PartialLines {
    /// Begins: gives the first lines. Of the checkpoints, the last is the one that the entries are proven against;
    /// before it come those in which the log handed over to another key, oldest first.
    ///
    /// # Errors
    /// None that occurs: a struct of strings has a JSON text. So of all these.
    pub fn begin(
        origin: &str,
        selection: Selection,
        checkpoints: &[SignedCheckpoint],
    ) -> Result<(Self, String), serde_json::Error> {
        let mut text = write_line(&Line::Partial { format: FORMAT.to_owned(), origin: origin.to_owned(), selection })?;
        for checkpoint in checkpoints {
            text.push_str(&write_line(&Line::Checkpoint(checkpoint.to_string()))?);
        }
        let mut digest = Sha256::new();
        digest.update(&text);
        Ok((PartialLines { digest, records: 0 }, text))
    }

    /// An entry with its inclusion proof in the tree of the last checkpoint; in the order of their numbers.
    ///
    /// # Errors
    /// As [`PartialLines::begin`].
    pub fn record(&mut self, entry: &Entry, proof: &[Hash]) -> Result<String, serde_json::Error> {
        let proof = proof.iter().map(ToString::to_string).collect();
        let line = write_line(&Line::Record { entry: Box::new(entry.clone()), proof })?;
        self.digest.update(&line);
        self.records += 1;
        Ok(line)
    }

    /// The last line.
    ///
    /// # Errors
    /// As [`PartialLines::begin`].
    pub fn end(self) -> Result<String, serde_json::Error> {
        write_line(&Line::End { records: self.records, sha256: hex::encode(self.digest.finalize()) })
    }
}

/// A part of a record that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartialReport {
    pub origin: String,
    pub selection: Selection,
    /// How many entries the file has, all proven.
    pub records: u64,
    /// Size of the log at the checkpoint that proves them.
    pub size: u64,
    /// Witnesses of that checkpoint and when each signed it, seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
}

/// Verifies a partial export; `each` is handed every proven entry.
///
/// # Errors
/// The first place where it does not hold.
pub fn verify_partial(
    reader: impl BufRead,
    trust: &Trust,
    mut each: impl FnMut(&Entry),
) -> Result<PartialReport, ExportFault> {
    let mut reader = reader;
    let mut line = Vec::new();
    let mut check =
        Check { trust: trust.clone(), line: 0, digest: Sha256::new(), found: Found::default(), ended: false };
    loop {
        check.line += 1;
        match next_line(&mut reader, &mut line) {
            Ok(true) => check.take(&line, &mut each)?,
            Ok(false) => return check.finish(),
            Err(reason) => return Err(check.fault(check.next(), reason)),
        }
    }
}

#[derive(Default)]
struct Found {
    selection: Option<Selection>,
    checkpoint: Option<SignedCheckpoint>,
    witnesses: Vec<(String, u64)>,
    records: u64,
    /// Number of the last entry.
    seq: u64,
}

struct Check {
    /// Its log's keys follow the file's checkpoints.
    trust: Trust,
    line: u64,
    digest: Sha256,
    found: Found,
    ended: bool,
}

impl Check {
    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(&Entry)) -> Result<(), ExportFault> {
        if self.ended {
            return Err(self.fault(Place::File, "끝줄 뒤에 다른 것이 있습니다. 파일에 덧붙여졌습니다."));
        }
        let begun = self.found.selection.is_some();
        match parse_line(bytes) {
            Some(Line::Partial { format, origin, selection }) if !begun && format == FORMAT => {
                if origin != self.trust.log.origin() {
                    let reason = format!("다른 원장({origin})의 파일입니다. 원장의 공개키를 확인해 주세요.");
                    return Err(self.fault(Place::File, reason));
                }
                self.found.selection = Some(selection);
            }
            Some(Line::Checkpoint(note)) if begun && self.found.records == 0 => self.checkpoint(&note)?,
            Some(Line::Record { entry, proof }) if begun => {
                self.record(&entry, &proof)?;
                each(&entry);
            }
            Some(Line::End { records, sha256 }) if begun => return self.end(records, &sha256),
            _ if begun => return Err(self.fault(self.next(), "내보낸 형식과 글자가 다릅니다. 파일이 바뀌었습니다.")),
            _ => return Err(self.fault(Place::File, "마당이 내보낸 원장 일부의 첫 줄이 아닙니다.")),
        }
        self.digest.update(bytes);
        Ok(())
    }

    fn checkpoint(&mut self, note: &str) -> Result<(), ExportFault> {
        let before = self.found.checkpoint.as_ref().map_or(0, |c| c.checkpoint().size);
        let signed: SignedCheckpoint =
            note.parse().map_err(|e: NoteError| self.fault(Place::Checkpoint(before), e.to_string()))?;
        let size = signed.checkpoint().size;
        if size < before {
            return Err(self.fault(Place::Checkpoint(size), "체크포인트의 순서가 바뀌었습니다."));
        }
        self.trust.log.follow(&signed).map_err(|e| self.fault(Place::Checkpoint(size), e.to_string()))?;
        self.found.checkpoint = Some(signed);
        Ok(())
    }

    fn record(&mut self, entry: &Entry, proof: &[String]) -> Result<(), ExportFault> {
        let place = Place::Record(entry.seq);
        if self.found.records == 0 {
            self.found.witnesses = self.witnesses()?;
        }
        let expected = match self.found.selection {
            Some(Selection::Range { first, .. }) if self.found.records == 0 => entry.seq == first,
            Some(Selection::Range { .. }) => Some(entry.seq) == self.found.seq.checked_add(1),
            _ => entry.seq > self.found.seq,
        };
        if !expected {
            let reason = format!("{}번이 올 자리가 아닙니다. 기록이 빠졌거나 순서가 바뀌었습니다.", entry.seq);
            return Err(self.fault(self.next(), reason));
        }
        entry.holds().map_err(|reason| self.fault(place, reason))?;
        let proof: Option<Vec<Hash>> = proof.iter().map(|hash| Hash::from_base64(hash)).collect();
        let (Some(proof), Some(leaf), Some(signed)) = (proof, entry.leaf(), &self.found.checkpoint) else {
            return Err(self.fault(place, "증명의 형식이 아닙니다. 파일이 바뀌었습니다."));
        };
        let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
        verify_inclusion(entry.seq - 1, size, &leaf, &proof, &root)
            .map_err(|e| self.fault(place, format!("서명된 원장에 있는 기록이 아닙니다. {e}")))?;
        self.found.seq = entry.seq;
        self.found.records += 1;
        Ok(())
    }

    /// The witnesses of the checkpoint of the proofs, enough of them.
    fn witnesses(&self) -> Result<Vec<(String, u64)>, ExportFault> {
        let Some(signed) = &self.found.checkpoint else {
            return Err(self.fault(Place::File, "체크포인트가 없습니다. 파일이 바뀌었습니다."));
        };
        let vouched = self.trust.verify(signed);
        let size = signed.checkpoint().size;
        Ok(vouched.map_err(|e| self.fault(Place::Checkpoint(size), e.to_string()))?.witnesses)
    }

    fn end(&mut self, records: u64, sha256: &str) -> Result<(), ExportFault> {
        if let Some(Selection::Range { last, .. }) = self.found.selection
            && self.found.seq != last
        {
            return Err(self.fault(self.next(), format!("여기서부터 {last}번까지 기록이 없습니다. 끝이 잘렸습니다.")));
        }
        if records != self.found.records {
            let reason =
                format!("끝줄에는 기록이 {records}건이라고 적혀 있습니다. 기록이 빠졌거나 끝줄이 바뀌었습니다.");
            return Err(self.fault(self.next(), reason));
        }
        if hex::encode(std::mem::take(&mut self.digest).finalize()) != sha256 {
            return Err(self.fault(Place::File, "파일의 확인 값이 다릅니다. 옮기다 상했으면 다시 내보내 주세요."));
        }
        if self.found.records == 0 {
            self.found.witnesses = self.witnesses()?;
        }
        self.ended = true;
        Ok(())
    }

    fn finish(self) -> Result<PartialReport, ExportFault> {
        let cut = self.fault(self.next(), "끝줄이 없습니다. 여기서부터 파일이 잘렸습니다.");
        let Found { selection: Some(selection), checkpoint: Some(signed), witnesses, records, .. } = self.found else {
            return Err(cut);
        };
        if !self.ended {
            return Err(cut);
        }
        let origin = self.trust.log.origin().to_owned();
        Ok(PartialReport { origin, selection, records, size: signed.checkpoint().size, witnesses })
    }

    /// Where the next entry must stand: its number in a range, the file alone otherwise.
    fn next(&self) -> Place {
        match self.found.selection {
            Some(Selection::Range { first, .. }) if self.found.records == 0 => Place::Record(first),
            Some(Selection::Range { .. }) => Place::Record(self.found.seq.saturating_add(1)),
            _ => Place::File,
        }
    }

    fn fault(&self, place: Place, reason: impl Into<String>) -> ExportFault {
        ExportFault { place, line: self.line, reason: reason.into() }
    }
}

//! Verifies a whole exported record in one pass, with nothing but the file and public keys, in bounded memory (but for
//! the pairing of intents and outcomes).

use super::{ExportFault, FORMAT, Meta, Place, parse_line};
use crate::chain::{Head, Verifier};
use crate::checkpoint::SignedCheckpoint;
use crate::lines::{next_line, parse_entry};
use crate::note::NoteError;
use crate::pairing::{Pairing, Roles, Unknown};
use crate::tree::{Frontier, Hash};
use crate::trust::{KeyHistory, Trust, Vouched};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::BufRead;

/// What is asked of an exported record.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The log's keys; the witnesses' and how many of them must have cosigned.
    pub trust: Trust,
    /// Checkpoints kept elsewhere, such as the one that the witness remembers: the record must continue each of them.
    pub kept: Vec<SignedCheckpoint>,
    /// Head of the chain kept elsewhere.
    pub head: Option<Head>,
    /// Whether entries after the newest checkpoint are accepted although nothing is signed about them.
    pub unsigned_tail: bool,
    /// How many entries may come after the newest checkpoint that enough witnesses cosigned.
    pub unwitnessed_tail: u64,
}

impl VerifyOptions {
    /// Strict: everything is signed, and witnessed where the trust asks for witnesses.
    pub fn strict(trust: Trust) -> Self {
        VerifyOptions { trust, kept: Vec::new(), head: None, unsigned_tail: false, unwitnessed_tail: 0 }
    }
}

/// A record that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportReport {
    pub origin: String,
    pub records: u64,
    /// End of the chain.
    pub head: Head,
    /// Root of the tree over all entries, base64.
    pub root: String,
    /// How many checkpoints the file has.
    pub checkpoints: u64,
    /// Up to which entry the log signed.
    pub signed: u64,
    /// Up to which entry enough known witnesses cosigned, at least one; 0 where none did.
    pub witnessed: u64,
    /// These witnesses and when each signed that checkpoint last, seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// Intents without an outcome: they count as sent. Empty without a pairing.
    pub unknown: Vec<Unknown>,
}

/// Verifies an export from its first line to its last; `roles` also pairs intents with their outcomes.
///
/// Finds gaps, removed, inserted, reordered and altered entries, a changed byte anywhere in the file, signatures that
/// do not hold, an end cut off that the options know of, and a history rewritten with the log's own key, which the
/// cosignatures or the checkpoints kept elsewhere contradict.
///
/// # Errors
/// The first place where the record does not hold.
pub fn verify_export(
    reader: impl BufRead,
    options: &VerifyOptions,
    roles: Option<&mut Roles<'_>>,
) -> Result<ExportReport, ExportFault> {
    let mut check = Check::new(options, roles);
    let mut reader = reader;
    let mut line = Vec::new();
    loop {
        check.line += 1;
        match next_line(&mut reader, &mut line) {
            Ok(true) => check.take(&line)?,
            Ok(false) => return check.finish(),
            Err(reason) => return Err(check.at_next(reason)),
        }
    }
}

/// Where the file stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Begin,
    Records,
    Ended,
}

struct Check<'a, 'r, 'f> {
    options: &'a VerifyOptions,
    roles: Option<&'r mut Roles<'f>>,
    /// By size, those still to come last.
    kept: Vec<&'a SignedCheckpoint>,
    compared: usize,
    part: Part,
    line: u64,
    digest: Sha256,
    chain: Verifier,
    tree: Frontier,
    /// The log's keys as followed so far.
    log: KeyHistory,
    pairing: Pairing,
    checkpoints: u64,
    /// Size of the last checkpoint that agreed.
    signed: Option<u64>,
    /// Size up to which a witness or a kept checkpoint agreed: nobody rewrote anything before.
    anchored: u64,
    witnessed: Option<(u64, Vouched)>,
}

impl<'a, 'r, 'f> Check<'a, 'r, 'f> {
    fn new(options: &'a VerifyOptions, roles: Option<&'r mut Roles<'f>>) -> Self {
        let mut kept: Vec<_> = options.kept.iter().collect();
        kept.sort_by_key(|c| c.checkpoint().size);
        Check {
            options,
            roles,
            kept,
            compared: 0,
            part: Part::Begin,
            line: 0,
            digest: Sha256::new(),
            chain: Verifier::new(),
            tree: Frontier::new(),
            log: options.trust.log.clone(),
            pairing: Pairing::new(),
            checkpoints: 0,
            signed: None,
            anchored: 0,
            witnessed: None,
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        match self.part {
            Part::Begin => self.begin(line)?,
            Part::Records if line.starts_with(b"{\"checkpoint\":") => self.checkpoint(line)?,
            Part::Records if line.starts_with(b"{\"end\":") => return self.end(line),
            Part::Records => self.entry(line)?,
            Part::Ended => return Err(self.fault(Place::File, "끝줄 뒤에 다른 것이 있습니다. 파일에 덧붙여졌습니다.")),
        }
        self.digest.update(line);
        Ok(())
    }

    fn begin(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        match parse_line(line) {
            Some(Meta::Export { format, origin }) if format == FORMAT && origin == self.log.origin() => {
                self.part = Part::Records;
                self.compare_kept()
            }
            Some(Meta::Export { format, origin }) if format == FORMAT => {
                Err(self
                    .fault(Place::File, format!("다른 원장({origin})의 파일입니다. 원장의 공개키를 확인해 주세요.")))
            }
            _ => Err(self.fault(Place::File, "마당이 내보낸 원장 파일의 첫 줄이 아닙니다.")),
        }
    }

    fn entry(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        let entry = parse_entry(line).map_err(|reason| self.at_next(reason))?;
        self.chain.push(&entry).map_err(|fault| self.fault(Place::Record(fault.seq), fault.reason))?;
        let leaf = entry.leaf().ok_or_else(|| self.fault(Place::Record(entry.seq), "해시의 형식이 아닙니다."))?;
        self.tree.push(leaf).map_err(|full| self.fault(Place::Record(entry.seq), full.to_string()))?;
        if let Some(roles) = &mut self.roles {
            let role = roles(&entry);
            self.pairing.push(entry.seq, role).map_err(|reason| self.fault(Place::Record(entry.seq), reason))?;
        }
        self.compare_kept()
    }

    fn checkpoint(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        let here = self.tree.size();
        let unreadable = || self.fault(Place::Checkpoint(here), NoteError::Malformed.to_string());
        let Some(Meta::Checkpoint(note)) = parse_line(line) else { return Err(unreadable()) };
        let signed: SignedCheckpoint = note.parse().map_err(|_| unreadable())?;
        let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
        if size > here {
            let reason = format!("{size}번까지의 체크포인트 앞에서 여기부터의 기록이 빠졌습니다.");
            return Err(self.fault(Place::Record(here + 1), reason));
        }
        if size < here {
            return Err(
                self.fault(Place::Checkpoint(size), "체크포인트가 제자리에 있지 않습니다. 파일이 바뀌었습니다.")
            );
        }
        self.log.follow(&signed).map_err(|e| self.fault(Place::Checkpoint(size), e.to_string()))?;
        let vouched = self.options.trust.witnesses_of(&signed);
        let vouched = vouched.map_err(|e| self.fault(Place::Checkpoint(size), e.to_string()))?;
        // What a witness saw before is right; of what the log alone signed, only as long as its key is in good hands.
        let alone = vouched.witnesses.is_empty();
        let proven = if alone { self.signed.unwrap_or(0).max(self.anchored) } else { self.anchored };
        self.agrees(size, &root, proven, "서명된 체크포인트")?;
        self.checkpoints += 1;
        self.signed = Some(size);
        if vouched.witnesses.len() >= self.options.trust.wanted().max(1) {
            self.anchored = size;
            self.witnessed = Some((size, vouched));
        }
        Ok(())
    }

    /// The entries so far have this root; those up to `proven` are known to be right.
    fn agrees(&self, size: u64, root: &Hash, proven: u64, of: &str) -> Result<(), ExportFault> {
        if self.tree.root() == *root {
            return Ok(());
        }
        let reason = format!("기록이 {of}의 값과 다릅니다. 서명된 뒤에 다시 쓰였습니다.");
        let place =
            if proven < size { Place::Records { first: proven + 1, last: size } } else { Place::Checkpoint(size) };
        Err(self.fault(place, reason))
    }

    /// Compares with the checkpoints of exactly this size that were kept elsewhere.
    fn compare_kept(&mut self) -> Result<(), ExportFault> {
        while let Some(kept) = self.kept.get(self.compared).filter(|k| k.checkpoint().size == self.tree.size()) {
            let (size, root) = (kept.checkpoint().size, kept.checkpoint().root);
            if self.tree.root() != root {
                self.vouched(kept)?;
            }
            self.agrees(size, &root, self.anchored, "따로 보관한 체크포인트")?;
            self.anchored = size;
            self.compared += 1;
        }
        Ok(())
    }

    /// A kept checkpoint counts where the log or a known witness signed it.
    fn vouched(&self, kept: &SignedCheckpoint) -> Result<(), ExportFault> {
        let by_log = self.log.verify(kept);
        let by_witness = self.options.trust.witnesses_of(kept).is_ok_and(|v| !v.witnesses.is_empty());
        match by_log {
            Err(error) if !by_witness => {
                let reason = format!("따로 보관한 체크포인트를 믿을 수 없습니다. {error}");
                Err(self.fault(Place::Checkpoint(kept.checkpoint().size), reason))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, line: &[u8]) -> Result<(), ExportFault> {
        let Some(Meta::End { records, sha256 }) = parse_line(line) else {
            return Err(self.fault(Place::File, "끝줄의 형식이 아닙니다. 파일이 바뀌었습니다."));
        };
        if records != self.tree.size() {
            let reason =
                format!("끝줄에는 기록이 {records}건이라고 적혀 있습니다. 기록이 빠졌거나 끝줄이 바뀌었습니다.");
            return Err(self.at_next(reason));
        }
        if hex::encode(std::mem::take(&mut self.digest).finalize()) != sha256 {
            let reason = "기록은 모두 이어지지만 파일의 확인 값이 다릅니다. 파일을 옮기다 상했거나, 첫 줄이나 체크포인트가 \
                          바뀌었습니다. 다시 내보내 주세요.";
            return Err(self.fault(Place::File, reason));
        }
        self.part = Part::Ended;
        Ok(())
    }

    fn finish(self) -> Result<ExportReport, ExportFault> {
        let size = self.tree.size();
        match self.part {
            Part::Begin => return Err(self.fault(Place::File, "빈 파일입니다. 내보낸 원장 파일을 넣어 주세요.")),
            Part::Records => return Err(self.at_next("끝줄이 없습니다. 여기서부터 파일이 잘렸습니다.".into())),
            Part::Ended => {}
        }
        self.options.kept.iter().try_for_each(|kept| self.vouched(kept))?;
        if let Some(beyond) = self.kept.last().map(|k| k.checkpoint().size).filter(|&last| last > size) {
            return Err(self.at_next(format!("여기서부터 {beyond}번까지 기록이 없습니다. 끝이 잘렸습니다.")));
        }
        self.check_tail()?;
        let chain = self.chain.clone().finish(self.options.head.as_ref());
        let chain = chain.map_err(|fault| self.fault(Place::Record(fault.seq), fault.reason))?;
        let (witnessed, vouched) = self.witnessed.unwrap_or_default();
        Ok(ExportReport {
            origin: self.log.origin().to_owned(),
            records: size,
            head: chain.head,
            root: self.tree.root().to_string(),
            checkpoints: self.checkpoints,
            signed: self.signed.unwrap_or(0),
            witnessed,
            witnesses: vouched.witnesses,
            unknown: self.pairing.unknown(),
        })
    }

    /// The end of the record is signed and witnessed as far as asked.
    fn check_tail(&self) -> Result<(), ExportFault> {
        let size = self.tree.size();
        let since = |proven: u64| match proven < size {
            true => Place::Records { first: proven + 1, last: size },
            false => Place::Checkpoint(size),
        };
        if !self.options.unsigned_tail && self.signed != Some(size) {
            let reason = "원장이 서명한 체크포인트가 없습니다. 서명된 곳까지만 믿을 수 있습니다.";
            return Err(self.fault(since(self.signed.unwrap_or(0)), reason));
        }
        let witnessed = self.witnessed.as_ref().map(|(size, _)| *size);
        let missing = witnessed.is_none_or(|witnessed| size - witnessed > self.options.unwitnessed_tail);
        if self.options.trust.wanted() > 0 && missing {
            let reason = "증인의 확인서명이 없습니다. 확인서명된 뒤에 다시 쓰였을 수 있으니 증인이 보관한 체크포인트와 \
                          견주어 주세요.";
            return Err(self.fault(since(witnessed.unwrap_or(0)), reason));
        }
        Ok(())
    }

    /// A fault where the next entry must stand.
    fn at_next(&self, reason: String) -> ExportFault {
        let place = if self.part == Part::Begin { Place::File } else { Place::Record(self.chain.next_seq()) };
        self.fault(place, reason)
    }

    fn fault(&self, place: Place, reason: impl Into<String>) -> ExportFault {
        ExportFault { place, line: self.line, reason: reason.into() }
    }
}

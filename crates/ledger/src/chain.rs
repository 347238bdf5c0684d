//! The chain: what an entry is, how the next one follows, and how a run of them is verified.

use crate::canonical::is_canonical;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Separates these hashes from every other use of SHA-256; a change of the layout below changes it.
const DOMAIN: &[u8] = b"madang.ledger.entry.v1";
const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One record of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// 1 for the first entry, then one more each.
    pub seq: u64,
    /// RFC 3339 in UTC, ending in `Z`.
    pub time: String,
    /// Canonical JSON ([`crate::canonical`]), kept as text.
    pub payload: String,
    /// Hash of the entry before, 64 lower-case hex digits; zeros for the first.
    pub prev_hash: String,
    /// Hash of this entry, 64 lower-case hex digits.
    pub hash: String,
}

/// Where a chain ends: enough to append to it and to notice that its end was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub hash: String,
}

impl Head {
    /// The head of a chain without entries.
    pub fn genesis() -> Self {
        Head { seq: 0, hash: GENESIS_HASH.to_string() }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::genesis()
    }
}

impl From<&Entry> for Head {
    fn from(entry: &Entry) -> Self {
        Head { seq: entry.seq, hash: entry.hash.clone() }
    }
}

/// The record cannot be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the time {0:?} is not RFC 3339 in UTC, such as 2026-11-22T06:20:00Z")]
    Time(String),
    #[error("the payload is not canonical JSON")]
    Payload,
    #[error("the chain has no numbers left")]
    Full,
}

/// The first place where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("원장 {seq}번 기록: {reason}")]
pub struct Fault {
    /// Number of the first bad record: the one expected there where it is missing.
    pub seq: u64,
    /// In Korean, for the security officer.
    pub reason: String,
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many entries were looked at.
    pub entries: u64,
    /// Where the chain ends: keep it outside the database to notice a cut later.
    pub head: Head,
}

/// The entry that follows `prev`.
///
/// # Errors
/// [`ChainError`] where the time is not RFC 3339 in UTC or the payload is not canonical JSON.
pub fn chain(prev: &Head, time: &str, payload: &str) -> Result<Entry, ChainError> {
    if !is_utc_time(time) {
        return Err(ChainError::Time(time.to_string()));
    }
    if !is_canonical(payload) {
        return Err(ChainError::Payload);
    }
    let seq = prev.seq.checked_add(1).ok_or(ChainError::Full)?;
    let hash = entry_hash(seq, time, &prev.hash, payload);
    Ok(Entry { seq, time: time.to_string(), payload: payload.to_string(), prev_hash: prev.hash.clone(), hash })
}

/// Verifies a chain from its first entry; `expected_head` also shows entries cut off the end.
///
/// # Errors
/// The first bad record: a gap, a broken link, an altered or reordered entry, or an end before the expected head.
pub fn verify<I>(entries: I, expected_head: Option<&Head>) -> Result<Verified, Fault>
where
    I: IntoIterator<Item = Entry>,
{
    let mut verifier = Verifier::new();
    for entry in entries {
        verifier.push(&entry)?;
    }
    verifier.finish(expected_head)
}

/// Verifies entries one by one, for chains that are streamed.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    head: Head,
    entries: u64,
    /// Set by the first fault: nothing after it is trusted.
    fault: Option<Fault>,
}

impl Verifier {
    /// From the first entry on.
    pub fn new() -> Self {
        Self::default()
    }

    /// From the entry after `head` on, for a part of a chain whose beginning was verified before.
    pub fn after(head: Head) -> Self {
        Verifier { head, ..Self::default() }
    }

    /// Number of the entry that must come next.
    pub fn next_seq(&self) -> u64 {
        self.head.seq.saturating_add(1)
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// Why it cannot follow; the same fault again for every entry after a bad one.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if let Err(reason) = self.check(entry) {
            let fault = Fault { seq: self.next_seq(), reason };
            self.fault = Some(fault.clone());
            return Err(fault);
        }
        self.head = Head::from(entry);
        self.entries += 1;
        Ok(())
    }

    /// Ends the chain.
    ///
    /// # Errors
    /// An earlier fault, or an end that is not the expected head.
    pub fn finish(self, expected_head: Option<&Head>) -> Result<Verified, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match expected_head {
            Some(head) if head.seq > self.head.seq => Err(Fault {
                seq: self.head.seq.saturating_add(1),
                reason: format!("여기서부터 {}번까지 기록이 없습니다. 끝이 잘렸습니다.", head.seq),
            }),
            Some(head) if head.seq < self.head.seq => Err(Fault {
                seq: head.seq.saturating_add(1),
                reason: "보관한 끝 번호보다 뒤의 기록이 있습니다. 끝 번호를 다시 확인해 주세요.".into(),
            }),
            Some(head) if *head != self.head => Err(Fault {
                seq: head.seq,
                reason: "마지막 기록이 보관한 끝 해시와 다릅니다. 기록이 바뀌었습니다.".into(),
            }),
            _ => Ok(Verified { entries: self.entries, head: self.head }),
        }
    }

    fn check(&self, entry: &Entry) -> Result<(), String> {
        let next = self.next_seq();
        if entry.seq != next {
            return Err(format!(
                "{next}번이 있어야 할 곳에 {}번이 있습니다. 기록이 빠졌거나 순서가 바뀌었습니다.",
                entry.seq
            ));
        }
        if entry.prev_hash != self.head.hash {
            return Err("앞 기록의 해시와 이어지지 않습니다. 이 기록이나 앞 기록이 바뀌었습니다.".into());
        }
        check_entry(entry)
    }
}

/// Whether an entry is sound by itself, wherever it stands; if not, why.
pub(crate) fn check_entry(entry: &Entry) -> Result<(), String> {
    if entry.seq == 0 {
        return Err("번호가 1부터가 아닙니다.".into());
    }
    if entry.hash != entry_hash(entry.seq, &entry.time, &entry.prev_hash, &entry.payload) {
        return Err("내용이 해시와 맞지 않습니다. 기록이 바뀌었습니다.".into());
    }
    if !is_utc_time(&entry.time) || !is_canonical(&entry.payload) {
        return Err("시각이나 내용이 원장의 형식이 아닙니다.".into());
    }
    Ok(())
}

/// `SHA-256(tag ‖ seq ‖ time ‖ prev_hash ‖ payload)` as lower-case hex. Each part follows its length as eight bytes,
/// big-endian, so that no two different entries give the same bytes.
fn entry_hash(seq: u64, time: &str, prev_hash: &str, payload: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [DOMAIN, &seq.to_be_bytes(), time.as_bytes(), prev_hash.as_bytes(), payload.as_bytes()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

/// `YYYY-MM-DDThh:mm:ss[.fraction]Z`.
fn is_utc_time(time: &str) -> bool {
    let Some(body) = time.strip_suffix('Z') else {
        return false;
    };
    let (seconds, fraction) = body.split_once('.').map_or((body, None), |(s, f)| (s, Some(f)));
    let digits_ok = fraction.is_none_or(|f| (1..=9).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
    let shape_ok = seconds.len() == 19
        && seconds
            .bytes()
            .zip("0000-00-00T00:00:00".bytes())
            .all(|(b, p)| if p == b'0' { b.is_ascii_digit() } else { b == p });
    let part = |from: usize| seconds.get(from..from + 2).and_then(|p| p.parse::<u8>().ok()).unwrap_or(99);
    digits_ok
        && shape_ok
        && (1..=12).contains(&part(5))
        && (1..=31).contains(&part(8))
        && part(11) < 24
        && part(14) < 60
        && part(17) <= 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_the_hash_does_not_change_unnoticed() {
        let entry = chain(&Head::genesis(), "2026-11-22T06:20:00Z", r#"{"kind":"intent"}"#).unwrap();
        let mut bytes = Vec::new();
        for part in
            [DOMAIN, &1u64.to_be_bytes(), b"2026-11-22T06:20:00Z", GENESIS_HASH.as_bytes(), br#"{"kind":"intent"}"#]
        {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        }
        assert_eq!(entry.hash, hex::encode(Sha256::digest(&bytes)));
        assert_eq!(entry.prev_hash.len(), 64);
    }

    #[test]
    fn refuses_other_times_and_payloads() {
        let head = Head::genesis();
        for time in [
            "",
            "2026-11-22",
            "2026-11-22T06:20:00+09:00",
            "2026-13-22T06:20:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T06:20:00.Z",
        ] {
            assert_eq!(chain(&head, time, "{}"), Err(ChainError::Time(time.into())));
        }
        assert!(chain(&head, "2026-11-22T06:20:00.123Z", "{}").is_ok());
        assert_eq!(chain(&head, "2026-11-22T06:20:00Z", "{ }"), Err(ChainError::Payload));
        let full = Head { seq: u64::MAX, ..Head::genesis() };
        assert_eq!(chain(&full, "2026-11-22T06:20:00Z", "{}"), Err(ChainError::Full));
    }

    #[test]
    fn an_empty_chain_holds_unless_a_head_is_expected() {
        assert_eq!(verify([], None), Ok(Verified { entries: 0, head: Head::genesis() }));
        assert!(verify([], Some(&Head { seq: 3, ..Head::genesis() })).is_err_and(|f| f.seq == 1));
    }
}

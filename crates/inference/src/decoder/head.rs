//! A look over the head of a GGUF file before it is read: what is read becomes values in memory, many times the size
//! of the bytes, and the reader divides by the file's own alignment. A file that asks for what no model needs is refused
//! here, in a pass that keeps nothing. The format is described in ggml's `docs/gguf.md`.

/// Metadata and directory of a file with 250,000 tokens take less than 20 MB.
const MOST_BYTES: usize = 256 << 20;
/// In all lists together: the largest vocabularies have a million entries in four lists.
const MOST_ELEMENTS: u64 = 8 << 20;
const MOST_KEYS: u64 = 1 << 16;
const MOST_TENSORS: u64 = 1 << 17;
const MOST_ALIGNMENT: u64 = 1 << 20;

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// # Errors
/// What is wrong with the head, for the file's installer.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let mut head = Head { rest: bytes.get(..bytes.len().min(MOST_BYTES)).unwrap_or_default(), elements: 0 };
    if head.take(4)? != b"GGUF" {
        return Err("GGUF 파일이 아님".to_owned());
    }
    let version = head.number(4)?;
    if !matches!(version, 2 | 3) {
        return Err(format!("GGUF 판 {version}(아는 판: 2, 3)"));
    }
    let (tensors, keys) = (head.number(8)?, head.number(8)?);
    if tensors > MOST_TENSORS || keys > MOST_KEYS {
        return Err(format!("텐서 {tensors}개, 메타데이터 {keys}개"));
    }
    for _ in 0..keys {
        let key = head.string()?;
        let kind = head.kind()?;
        // The reader drops zeros at the end of a text.
        let end = key.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        if key.get(..end) == Some(b"general.alignment".as_slice()) {
            let size = width(kind).filter(|_| kind < 6).ok_or("general.alignment 값의 종류")?;
            let alignment = head.number(size)?;
            if !alignment.is_power_of_two() || alignment > MOST_ALIGNMENT {
                return Err(format!("general.alignment = {alignment}"));
            }
        } else {
            head.value(kind)?;
        }
    }
    // The directory's entries are small, and as many as were allowed above.
    Ok(())
}

/// What is left of the head.
struct Head<'a> {
    rest: &'a [u8],
    elements: u64,
}

impl<'a> Head<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let cut = usize::try_from(count).ok().and_then(|n| self.rest.split_at_checked(n));
        let (taken, rest) = cut.ok_or("메타데이터가 잘렸거나 너무 큼")?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned number of `size` bytes.
    fn number(&mut self, size: u64) -> Result<u64, String> {
        Ok(self.take(size)?.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn kind(&mut self) -> Result<u32, String> {
        Ok(self.number(4)? as u32)
    }

    fn string(&mut self) -> Result<&'a [u8], String> {
        let length = self.number(8)?;
        self.take(length)
    }

    fn value(&mut self, kind: u32) -> Result<(), String> {
        if kind != ARRAY {
            return self.plain(kind);
        }
        let (kind, count) = (self.kind()?, self.number(8)?);
        self.elements = self.elements.saturating_add(count);
        if self.elements > MOST_ELEMENTS {
            return Err(format!("메타데이터 목록에 값이 {}개", self.elements));
        }
        match width(kind) {
            Some(size) => self.take(count * size).map(drop),
            // No known key holds lists of lists.
            None if kind == ARRAY => Err("메타데이터의 겹친 목록".to_owned()),
            None => (0..count).try_for_each(|_| self.plain(kind)),
        }
    }

    fn plain(&mut self, kind: u32) -> Result<(), String> {
        match width(kind) {
            Some(size) => self.take(size).map(drop),
            None if kind == STRING => self.string().map(drop),
            None => Err(format!("메타데이터 값의 종류 {kind}")),
        }
    }
}

/// Bytes of a value of a type with a fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u32, keys: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(version.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.extend((keys.len() as u64).to_le_bytes());
        for (key, kind, value) in keys {
            out.extend((key.len() as u64).to_le_bytes());
            out.extend(key.as_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(*value);
        }
        out
    }

    fn list(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
        [kind.to_le_bytes().as_slice(), &count.to_le_bytes(), values].concat()
    }

    #[test]
    fn what_would_fill_the_memory_or_divide_by_zero_is_refused() {
        let alignment = |n: u32| check(&file(3, &[("general.alignment", 4, &n.to_le_bytes())]));
        assert!(alignment(32).is_ok() && alignment(1).is_ok());
        for wrong in [0, 3, u32::MAX] {
            assert!(alignment(wrong).is_err(), "{wrong}");
        }
        assert!(check(&file(3, &[("general.alignment\0", 4, &0_u32.to_le_bytes())])).is_err());
        assert!(check(&file(3, &[("general.alignment", 8, &1_u64.to_le_bytes())])).is_err());
        let many = list(0, MOST_ELEMENTS + 1, &vec![0; MOST_ELEMENTS as usize + 1]);
        assert!(check(&file(3, &[("bytes", ARRAY, &many)])).unwrap_err().contains("값이"));
        assert!(check(&file(3, &[("few", ARRAY, &list(0, 3, b"abc"))])).is_ok());
        assert!(check(&file(3, &[("short", ARRAY, &list(0, u64::MAX, b"abc"))])).is_err());
        assert!(check(&file(3, &[("short", ARRAY, &list(8, 2, b"abc"))])).is_err());
        assert!(check(&file(3, &[("deep", ARRAY, &list(ARRAY, 1, &list(0, 0, b"")))])).is_err());
        assert!(check(&file(1, &[])).is_err() && check(b"GGUF").is_err() && check(b"").is_err());
    }
}

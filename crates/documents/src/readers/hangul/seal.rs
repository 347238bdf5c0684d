//! 배포용 HWP: its body lies sealed in ViewText. The first record of each stream holds the key, scattered as Hancom's
//! published format says: a seed, a pseudo-random mask over the record, an offset, a key for AES-128 in ECB.

use aes::{
    Aes128,
    cipher::{BlockCipherDecrypt, KeyInit},
};

/// Tag of the record that holds the key.
const DISTRIBUTE_DOC_DATA: u32 = 28;
const RECORD: usize = 256;

/// Opens one stream; what comes back is still deflated where the file is. `None` when it is not sealed this way.
pub(super) fn open(stream: &[u8]) -> Option<Vec<u8>> {
    let head = u32::from_le_bytes(*stream.first_chunk::<4>()?);
    if head & 0x3FF != DISTRIBUTE_DOC_DATA || head >> 20 != RECORD as u32 {
        return None;
    }
    let record = unmasked(stream.get(4..4 + RECORD)?)?;
    let key = key(&record)?;
    let cipher = Aes128::new(&key.into());
    let mut body = stream.get(4 + RECORD..)?.to_vec();
    body.truncate(body.len() & !15);
    for block in body.chunks_exact_mut(16) {
        if let Ok(block) = <&mut [u8; 16]>::try_from(block) {
            cipher.decrypt_block(block.into());
        }
    }
    Some(body)
}

/// Takes the mask off: runs of one random byte, their lengths random too. The seed itself is not masked.
fn unmasked(record: &[u8]) -> Option<Vec<u8>> {
    let mut random = Random(u32::from_le_bytes(*record.first_chunk::<4>()?));
    let (mut mask, mut left) = (0u8, 0u32);
    let open = record.iter().enumerate().map(|(at, byte)| {
        if left == 0 {
            mask = (random.next() & 0xFF) as u8;
            left = (random.next() & 0xF) + 1;
        }
        left -= 1;
        if at < 4 { *byte } else { byte ^ mask }
    });
    Some(open.collect())
}

/// The key: the first 16 bytes of a digest written as UTF-16, at an offset that the seed gives.
fn key(record: &[u8]) -> Option<[u8; 16]> {
    let offset = 4 + usize::from(record.first()? & 0xF);
    record.get(offset..offset + 16)?.try_into().ok()
}

/// The generator of Microsoft's C library.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(214_013).wrapping_add(2_531_011);
        self.0 >> 16 & 0x7FFF
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aes::cipher::BlockCipherEncrypt;

    /// Seals a stream as 한글 does, with this seed and key.
    pub fn sealed(body: &[u8], seed: u32, key: [u8; 16]) -> Vec<u8> {
        let mut record = vec![0xA5u8; RECORD];
        record[..4].copy_from_slice(&seed.to_le_bytes());
        let offset = 4 + (seed & 0xF) as usize;
        record[offset..offset + 16].copy_from_slice(&key);
        // The mask is its own inverse.
        let record = unmasked(&record).expect("a record");
        let cipher = Aes128::new(&key.into());
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(16), 0);
        for block in padded.chunks_exact_mut(16) {
            let block: &mut [u8; 16] = block.try_into().expect("a block");
            cipher.encrypt_block(block.into());
        }
        let head = DISTRIBUTE_DOC_DATA | (RECORD as u32) << 20;
        [&head.to_le_bytes()[..], &record, &padded].concat()
    }

    #[test]
    fn a_sealed_stream_opens_again() {
        let body = "본문입니다. ".repeat(9);
        for seed in [0, 7, 0x1234_567F] {
            let opened = open(&sealed(body.as_bytes(), seed, *b"0123456789abcdef")).expect("sealed");
            assert!(opened.starts_with(body.as_bytes()));
        }
        assert_eq!(open(b"no record at all"), None);
        assert_eq!(open(b""), None);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = Random(1);
        assert_eq!([random.next(), random.next(), random.next()], [41, 18467, 6334]);
    }
}
